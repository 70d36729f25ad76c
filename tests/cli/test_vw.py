"""Vowpal Wabbit's text, and stdin in the place of a file."""

import gzip
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils import murmurhash3_32

from fastgd import cli
from fastgd._readers import svmlight as text_rows
from fastgd._readers import vw as reading
from fastgd._readers.errors import BadData
from fastgd._readers.layout import Wishes
from fastgd._readers.opening import open_reader
from fastgd._readers.reader import Format
from fastgd.kernels import vw

N_FEATURES = 1 << 18


def parsed(text, n_features=N_FEATURES):
    content = np.frombuffer(text, np.uint8)
    return reading.parse_part(content, text, 0, len(text), n_features)


def place(name, namespace="", nameless=0):
    """Return where Vowpal Wabbit puts a feature."""
    seed = murmurhash3_32(namespace.encode(), 0, positive=True) if namespace else 0
    if not name:
        return (seed + nameless) % N_FEATURES
    if name.isdigit():
        return (int(name) + seed) % N_FEATURES
    return murmurhash3_32(name.encode(), seed, positive=True) % N_FEATURES


TEXT = b"""1 2.5 'first|user age:0.25 name=ann |item 17 price:-3e1
-1 |a:2 x y:4 :5 :6
\t
0.5 |b longer_than_four:1\r
tag|c u
"""


@pytest.mark.nojit
def test_rows_labels_weights_and_places():
    rows, fault = parsed(TEXT)
    assert fault is None
    np.testing.assert_array_equal(rows.y, [1, -1, 0.5, np.nan])
    np.testing.assert_array_equal(rows.weights, [2.5, 1, 1, 1])
    np.testing.assert_array_equal(rows.indptr, [0, 4, 8, 9, 10])
    np.testing.assert_array_equal(rows.values, [0.25, 1, 1, -30, 2, 8, 10, 12, 1, 1])
    places = [("age", "user"), ("name=ann", "user"), ("17", "item"), ("price", "item"), ("x", "a")]
    places += [("y", "a"), ("", "a", 0), ("", "a", 1), ("longer_than_four", "b"), ("u", "c")]
    np.testing.assert_array_equal(rows.indices, [place(*one) for one in places])


@pytest.mark.nojit
@pytest.mark.parametrize("name", ["a", "ab", "abc", "abcd", "abcde", "\u00e9t\u00e9", "x" * 99])
def test_hashes_are_murmur3(name):
    content = np.frombuffer(name.encode(), np.uint8)
    text = f"|{name} {name}\n".encode()
    assert parsed(text).rows.indices[0] == place(name, name)
    if not isinstance(vw.murmur, type(vw.parse)):
        return
    for seed in (0, 2**32 - 1):
        expected = murmurhash3_32(name.encode(), seed, positive=True)
        assert vw.murmur(content, 0, len(content), np.uint64(seed)) == expected


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("line", "code", "word"),
    [
        ("1 a:1", vw.NO_BAR, "1"),
        ("1 2 3 |a b", vw.WORDS, "3"),
        ("x |a b", text_rows.NO_NUMBER, "x"),
        ("1 y |a b", text_rows.NO_NUMBER, "y"),
        ("1 |a b:c", text_rows.NO_NUMBER, "c"),
        ("1 |a b:", text_rows.NO_NUMBER, ""),
        ("1 |a b:1:2", text_rows.NO_NUMBER, "1:2"),
        ("1 |a:q b", vw.NO_NUMBER, "q"),
        ("1 |a:1e999 b", vw.NO_NUMBER, "1e999"),
        ("1 |a:2 b:q", text_rows.NO_NUMBER, "q"),
    ],
)
def test_a_fault_is_found_at_its_word(line, code, word):
    text = f"1 |a b\n{line}\n1 |a b\n".encode()
    fault = parsed(text).fault
    found = text_rows.word_at(text, fault.at, reading.WORD).decode()
    assert (fault.code, found) == (code, word)


@pytest.mark.nojit
def test_a_namespace_has_a_value_of_its_own():
    long = "0.12345678901234567890123"
    rows, fault = parsed(f"1 |a:2 b c:3 d:{long} |e f:{long} g |h:4 i |:5 j |k l\n".encode())
    assert fault is None
    number = float(long)
    np.testing.assert_array_equal(rows.values, [2, 6, 2 * number, number, 1, 4, 5, 1])


@pytest.mark.nojit
def test_changed_texts_are_read_or_refused(rng):
    """Without the compiler, too, where a place beyond an array would be an IndexError."""
    letters = b"0123456789:.-+eE# \n\r\x00\xff|'abc"
    n_fine = 0
    for _ in range(200):
        some = bytearray(TEXT)
        for _ in range(rng.integers(1, 5)):
            some[rng.integers(len(some))] = letters[rng.integers(len(letters))]
        rows, fault = parsed(bytes(some) + b"\n", 1 << 4)
        n_fine += fault is None
        assert rows.indices.size == 0 or 0 <= rows.indices.min() <= rows.indices.max() < 1 << 4
        assert len(rows.y) == len(rows.weights) == len(rows.indptr) - 1
    assert n_fine > 20


def rows_of_text(rng, n_rows=80):
    X = rng.normal(size=(n_rows, 3))
    lines = [
        f"{1 if row[0] > 0 else -1} |u a:{row[0]:.6f} b:{row[1]:.6f} |i {int(9 * abs(row[2]))}"
        for row in X
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def run(tmp_path, capsysbinary, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(line, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        status = cli.main(line.split())
        captured = capsysbinary.readouterr()
        return status, captured.out.decode(), captured.err.decode()

    return call


TRAIN = "--model logistic --quiet -o m.fastgd"


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_model_of_hashed_features(ending, run, rng):
    text = rows_of_text(rng).encode()
    Path(f"rows.vw{ending}").write_bytes(gzip.compress(text) if ending else text)
    assert run(f"train rows.vw{ending} --bits 12 {TRAIN}") == (0, "", "")
    status, out, _ = run(f"evaluate m.fastgd rows.vw{ending}")
    assert status == 0
    assert float(out.split("accuracy")[1].split()[0]) > 0.95
    Path("new.vw").write_text("|u a:3\n|u a:-3 unknown\n")
    assert run("predict m.fastgd new.vw")[1] == "prediction\n1\n-1\n"


def test_features_in_one_column_are_added_up(tmp_path):
    path = tmp_path / "rows.vw"
    path.write_text("1 |a x:1 x:2 y\n")
    reader = open_reader(path, Format(bits=1))
    layout = reader.layout(Wishes())
    (chunk,) = reader.read(layout, None, target=True)
    assert layout.n_features == 2
    assert chunk.X.has_canonical_format
    assert chunk.X.sum() == 4


def test_weights_count_as_rows_that_are_there_so_often(run, rng):
    from fastgd.cli import _archive

    lines = rows_of_text(rng, 40).splitlines()
    Path("twice.vw").write_text("\n".join(lines + lines[:20]) + "\n")
    weighted = [line.replace(" |u", " 2 |u") for line in lines[:20]] + lines[20:]
    Path("weights.vw").write_text("\n".join(weighted) + "\n")
    coefs = []
    for name in ("twice.vw", "weights.vw"):
        assert run(f"train {name} --bits 8 --set tol=1e-10 {TRAIN}")[0] == 0
        coefs.append(_archive.load(Path("m.fastgd"))[1]["model"].coef_)
    np.testing.assert_allclose(*coefs, rtol=1e-5, atol=1e-8)
    said = run(f"train weights.vw --bits 8 --chunk-rows 9 {TRAIN}")[2]
    assert "rows have weights, which are heeded only where all rows are in memory" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 |a b\n\n1 a\n", "rows.vw, line 3: there is no | before the features."),
        ("1 |a b\n1 2 3 |a\n", "rows.vw, line 2: '3' is a third word before the |."),
        ("1 |a b\n|a b\n", "rows.vw, line 2: the target is missing."),
        ("1 |a:1e999 b\n", "rows.vw, line 1: '1e999' is the value of a namespace, which must be"),
        ("", "rows.vw is empty."),
    ],
)
def test_what_is_said_of_faults(text, said, run):
    Path("rows.vw").write_text(text)
    status, _, err = run(f"train rows.vw {TRAIN}")
    assert status == 1
    assert said in err


def test_models_of_other_widths_are_refused(tmp_path):
    path = tmp_path / "rows.vw"
    path.write_text("1 |a b\n")
    svm = tmp_path / "rows.svm"
    svm.write_text("1 1:1 3:1\n")
    with pytest.raises(BadData, match="has hashed features"):
        open_reader(path).check_layout(open_reader(svm).layout(Wishes()))


# -- stdin -------------------------------------------------------------------------------------


def test_stdin_is_trained_on_predicted_from_and_evaluated(run, rng):
    text = rows_of_text(rng).encode()
    assert run(f"train - --format vw --bits 12 {TRAIN}", gzip.compress(text)) == (0, "", "")
    status, out, err = run("predict m.fastgd - --format vw -o -", text)
    assert (status, err) == (0, "")
    assert len(out.splitlines()) == 81
    status, out, _ = run("evaluate m.fastgd - --format vw", text)
    assert status == 0
    assert "on stdin\n" in out


def test_stdin_is_csv_unless_said_otherwise(run):
    status, _, err = run(f"train - --target y {TRAIN}", b"a,y\n1,0\nx,1\n2,1\n")
    assert status == 1
    assert err.startswith("fastgd train: stdin, line 3, column 'a': 'x' is not a number.")
    assert "fastgd-" not in err


def test_stdin_that_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    from fastgd._readers.errors import UserError
    from fastgd.cli._parser import parser
    from fastgd.cli._standard_input import standard_input

    args = parser().parse_args(f"train - --target y {TRAIN}".split())
    with pytest.raises(UserError, match="stdin is closed"), standard_input(args):
        pass


def test_a_data_set_of_files(tmp_path, rng):
    from fastgd.datasets import open as open_rows

    path = tmp_path / "rows.vw"
    path.write_text(rows_of_text(rng))
    ((X, y),) = open_rows(str(path))
    assert X.shape == (80, N_FEATURES)
    assert set(y) == {-1.0, 1.0}
    path.write_text("1 2 |a b\n-1 |a c\n")
    with pytest.raises(ValueError, match="have weights, which are not heeded here"):
        list(open_rows(str(path)))
