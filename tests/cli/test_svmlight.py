"""svmlight's text: the compiled parser against scikit-learn's reader and Python's float."""

import gzip
import struct
from dataclasses import replace

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

from fastgd._readers import svmlight as reading
from fastgd._readers.errors import BadData
from fastgd._readers.layout import Wishes
from fastgd._readers.limits import Limits
from fastgd._readers.opening import open_reader
from fastgd._readers.reader import Format
from fastgd._readers.streams import Text
from fastgd.datasets import open as open_rows
from fastgd.kernels import _words, svmlight

pytestmark = pytest.mark.nojit


def parsed(text, lowest=0, highest=1 << 20):
    content = np.frombuffer(text, np.uint8)
    return reading.parse_part(content, text, svmlight.Span(0, len(text), lowest, highest))


def as_texts(rng):
    """Yield numbers as text: of any bits, short, long, at the middle of two doubles."""
    for _ in range(150):
        bits = int(rng.integers(0, 2**63)) * 2
        yield repr(struct.unpack("d", struct.pack("Q", bits))[0])
        yield f"{rng.normal():.17g}"
        yield f"-{rng.random():.{rng.integers(0, 12)}f}"
        yield f"{10 ** rng.uniform(-4, 7):.{rng.integers(6, 20)}f}"
        yield f"{rng.integers(0, 2**62)}e{rng.integers(-345, 310)}"
        yield f"+{rng.integers(99)}.{rng.integers(10**9)}E{rng.integers(-30, 30):+d}"
        yield str((int(rng.integers(2**52, 2**53)) * 2 + 1) << int(rng.integers(9)))


SPECIAL = ["0", "-0", "-0.0", ".5", "5.", "1e22", "1e23", "8.5e-5", "5e-324", "2.5e-324"]
SPECIAL += ["1.7976931348623157e308", "1.7976931348623159e308", "2.2250738585072011e-308"]
SPECIAL += ["0" * 400 + "1", "1" * 25, "0." + "3" * 40, "1e400", "-inf", "1_0", "1e-99999999"]
SPECIAL += ["9007199254740993", "9007199254740992.99999", "18446744073709551615", "1e+05"]


def test_numbers_are_rounded_as_python_rounds_them(rng):
    words = [*SPECIAL, *as_texts(rng)]
    rows, fault = parsed("".join(f"{word} 3:{word}\n" for word in words).encode())
    assert fault is None
    expected = np.array([float(word) for word in words]).view(np.uint64)
    np.testing.assert_array_equal(rows.y.view(np.uint64), expected)
    np.testing.assert_array_equal(rows.values.view(np.uint64), expected)


def test_decimals_about_the_largest_exact_whole_number():
    whole = [2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2, 2**53 + 3]
    words = [f"{w // 10**k}.{w % 10**k:0{k}d}" for w in whole for k in range(9, 16)]
    rows, fault = parsed("".join(f"1 3:{word}\n" for word in words).encode() + b"1\n" * 20)
    assert fault is None
    np.testing.assert_array_equal(rows.values, np.array([float(word) for word in words]))


@numba.njit
def digits_at(text, at):
    return _words.digits(text, at)


def test_digits_end_at_any_other_byte():
    for n_digits in range(9):
        for byte in (*range(48), *range(58, 256)):
            rest = bytes([byte]) + b"7" * 7
            text = np.frombuffer((b"0" + b"90125678"[:n_digits] + rest)[:9], np.uint8)
            found, n_found = digits_at(text, 1)
            assert n_found == n_digits
            assert found == int(b"0" + b"90125678"[:n_digits])


def test_numbers_at_the_end_of_a_text_are_those_before_it(rng):
    words = [f"{x:.{n}f}" for n in range(10) for x in 10.0 ** rng.uniform(-3, 9, 20)]
    words += ["7", "-7.", ".5", "+.25", "99999999", "9999999.99999999", "1234567.12345678"]
    for word in words:
        alone = parsed(f"{word} 3:{word}\n".encode()).rows
        first = parsed(f"{word} 3:{word}\n{'1' * 40} 2:1\n".encode()).rows
        assert alone.y[0] == first.y[0] == alone.values[0] == first.values[0] == float(word)


@pytest.mark.parametrize("index", ["7", "1234567", "12345678", "0012345678"])
def test_indices_of_any_length(index):
    for rest in ("", "2 9:1\n" * 9):
        rows, fault = parsed(f"1 {index}:5\n{rest}".encode(), highest=1 << 30)
        assert fault is None
        assert rows.indices[0] == int(index)
    assert parsed(f"1 {index}:5\n".encode(), highest=6).fault == reading.Fault(svmlight.OUTSIDE, 2)


def test_few_numbers_are_left_to_python(rng):
    text = "".join(
        f"{float(number)!r} 1:{number:.6f}\n" for number in rng.normal(size=300)
    ).encode()
    content = np.frombuffer(text, np.uint8)
    room = svmlight.Stored(*(np.empty(301, t) for t in (np.uint64, np.int64, np.int32, np.uint64)))
    span = svmlight.Span(0, len(text), 0, 9)
    code, at, n_rows, n_left = svmlight.parse(content, span, reading.powers(), room)
    assert (code, at, n_rows, n_left) == (svmlight.FINE, len(text), 300, 0)


TEXT = b"""# a comment
1 qid:3 1:2 3:4.5 # more: text
\t
-1\r
+1.5 2:1#2:7
   0 7:nan  9:1e5\t11:3\r
"""


def test_comments_blanks_and_queries():
    rows, fault = parsed(TEXT)
    assert fault is None
    np.testing.assert_array_equal(rows.y, [1, -1, 1.5, 0])
    np.testing.assert_array_equal(rows.indptr, [0, 2, 2, 3, 6])
    np.testing.assert_array_equal(rows.indices, [1, 3, 2, 7, 9, 11])
    np.testing.assert_array_equal(rows.values, [2, 4.5, 1, np.nan, 1e5, 3])


@pytest.mark.parametrize(
    ("line", "code", "word"),
    [
        ("1 2:1 2:1", svmlight.NOT_RISING, "2:1"),
        ("1 2:1 1:1", svmlight.NOT_RISING, "1:1"),
        ("1 9", svmlight.NO_PAIR, "9"),
        ("1 :4", svmlight.NO_PAIR, ":4"),
        ("1 1:", svmlight.NO_PAIR, "1:"),
        ("1 1:#", svmlight.NO_PAIR, "1:"),
        ("1 -1:4", svmlight.NO_PAIR, "-1:4"),
        ("1 1:1 qid:4", svmlight.NO_PAIR, "qid:4"),
        ("1 qi", svmlight.NO_PAIR, "qi"),
        ("1 21:4", svmlight.OUTSIDE, "21:4"),
        (f"1 {'9' * 50}:4", svmlight.OUTSIDE, f"{'9' * 50}:4"),
        ("1 1:1:1", reading.NO_NUMBER, "1:1"),
        ("x 1:1", reading.NO_NUMBER, "x"),
        ("1 1:0x1 y", reading.NO_NUMBER, "0x1"),
        ("1 1:1e", reading.NO_NUMBER, "1e"),
        ("1 1:--1", reading.NO_NUMBER, "--1"),
    ],
)
def test_a_fault_is_found_at_its_word(line, code, word):
    text = f"1 1:1\n{line}\n1 1:1\n".encode()
    fault = parsed(text, highest=20).fault
    assert (fault.code, reading.word_at(text, fault.at).decode()) == (code, word)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_parts_are_cut_at_lines(size, rng):
    lines = [b"x" * int(n) + b"\n" for n in rng.integers(0, 20, 50)]
    text = b"".join(lines)
    whole = Text(bytearray(text + b"1 2"), len(text), 0)
    parts = [text[first:last] for first, last in reading.spans_of(whole, size)]
    assert b"".join(parts) == text
    assert all(part.endswith(b"\n") for part in parts)
    assert len(parts) >= (len(lines) if size == 1 else 1)


@pytest.mark.parametrize("zero_based", [True, False])
@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize("n_rows", [None, 1, 10])
def test_files_hold_what_scikit_learn_reads(zero_based, ending, n_rows, rng, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PART", 100)
    monkeypatch.setattr(reading, "BLOCK", 333)
    X = rng.normal(size=(37, 6)) * (rng.random((37, 6)) < 0.5)
    X[0] = 1.0
    plain, path = tmp_path / "rows.svm", tmp_path / f"rows.svm{ending}"
    dump_svmlight_file(X, rng.normal(size=37), str(plain), zero_based=zero_based, comment="a")
    packed(plain, path)
    reader = open_reader(path)
    layout = reader.layout(Wishes())
    expected, y = load_svmlight_file(str(plain), zero_based=zero_based)
    for _ in range(2):  # kept from the first pass, and read again
        chunks = list(reader.read(layout, n_rows, target=True))
        assert [chunk.n_rows for chunk in chunks[:-1]] == [n_rows] * (len(chunks) - 1)
        X = np.concatenate([chunk.X.toarray() for chunk in chunks])
        np.testing.assert_array_equal(X, expected.toarray())
        np.testing.assert_array_equal(np.concatenate([c.y for c in chunks]), y)
    assert reader.size().n_rows == 37


@pytest.fixture
def text_files(rng, tmp_path, monkeypatch):
    """Files of 40 rows in pieces of a few lines, and a list that tells when one is parsed."""
    monkeypatch.setattr(reading, "PART", 60)
    X = rng.normal(size=(40, 6)) * (rng.random((40, 6)) < 0.5)
    X[0, 5] = 1.0
    rows = [" ".join(f"{j + 1}:{float(x)!r}" for j, x in enumerate(row) if x) for row in X]
    (tmp_path / "rows.svm").write_text("".join(f"{k} {row}\n" for k, row in enumerate(rows)))
    (tmp_path / "rows.vw").write_text("".join(f"{k} | {row}\n" for k, row in enumerate(rows)))
    passes, pieces = [], reading.TextRows._pieces

    def counted(reader, layout):
        passes.append(reader.path.name)
        return pieces(reader, layout)

    monkeypatch.setattr(reading.TextRows, "_pieces", counted)
    return tmp_path, X, passes


@pytest.mark.parametrize("name", ["rows.svm", "rows.vw"])
@pytest.mark.parametrize("n_rows", [7, 40, 100])
def test_text_is_parsed_once(name, n_rows, text_files):
    folder, X, passes = text_files
    rows = open_rows(folder / name, chunk_rows=n_rows)
    passes.clear()
    first = 1 if name == "rows.svm" else 0  # where Vowpal Wabbit's indices begin
    for _ in range(3):
        whole = sp.vstack([part for part, _ in rows]).toarray()
        np.testing.assert_array_equal(whole[:, 1 - first : 7 - first], X)
        assert rows.n_rows == 40
    np.testing.assert_array_equal(rows.targets(), np.arange(40))
    # svmlight's was parsed to learn how many columns there are
    assert len(passes) == (0 if name == "rows.svm" else 1)


@pytest.mark.parametrize("name", ["rows.svm", "rows.vw"])
def test_what_is_done_to_a_chunk_is_not_seen_by_the_next_pass(name, text_files):
    rows = open_rows(text_files[0] / name, chunk_rows=100, read_ahead=False)
    for _ in range(3):
        for X, y in rows:
            assert abs(X.data).max() < 100
            np.testing.assert_array_equal(y, np.arange(40))
            X.data[:], X.indices[:], y[:] = 1e3, 0, -1


@pytest.mark.parametrize("name", ["rows.svm", "rows.vw"])
def test_rows_that_have_no_room_are_parsed_again(name, text_files, monkeypatch):
    folder, _, passes = text_files
    kept = [(X.toarray(), y) for X, y in open_rows(folder / name, chunk_rows=7)]
    monkeypatch.setattr(reading, "KEPT_BYTES", 1000)
    rows = open_rows(folder / name, chunk_rows=7)
    for _ in range(2):
        passes.clear()
        for (X, y), (expected, labels) in zip(rows, kept, strict=True):
            np.testing.assert_array_equal(X.toarray(), expected)
            np.testing.assert_array_equal(y, labels)
        assert passes == [name]


def test_files_that_are_read_together_share_the_room(text_files, monkeypatch):
    folder, X, passes = text_files
    paths = [folder / f"{k}.svm" for k in range(2)]
    for path in paths:
        path.write_bytes((folder / "rows.svm").read_bytes())
    size = 8 * 2 * 40 + 12 * np.count_nonzero(X)  # and what each piece has more
    for room, n_parsed in ((2.6 * size, 0), (1.9 * size, 2)):
        monkeypatch.setattr(reading, "KEPT_BYTES", room)
        rows = open_rows(paths, chunk_rows=7)
        assert rows.n_rows == 80
        passes.clear()
        assert sum(X.shape[0] for X, _ in rows) == 80
        assert len(passes) == n_parsed


def test_a_pass_that_is_cut_short_counts_nothing(text_files):
    rows = open_rows(text_files[0] / "rows.vw", chunk_rows=7)
    for X, _ in rows:
        assert X.shape[0] == 7
        break
    assert rows.n_chunks == 6
    pairs = iter(rows)
    next(pairs)
    assert sum(X.shape[0] for X, _ in rows) == rows.n_rows == 40
    assert sum(X.shape[0] for X, _ in pairs) == 33


def test_rows_are_kept_for_the_layout_that_they_were_read_by(text_files):
    reader = open_reader(text_files[0] / "rows.svm")
    layout = reader.layout(Wishes())
    (chunk,) = reader.read(layout, 100, target=True)
    other = replace(layout, n_features=8, zero_based=True)
    (moved,) = reader.read(other, 100, target=True)
    np.testing.assert_array_equal(moved.X.toarray()[:, 1:7], chunk.X.toarray())
    with pytest.raises(BadData, match="there is a feature 6, and the model knows 1 to 4"):
        list(reader.read(replace(layout, n_features=4), 100, target=True))


def packed(plain, path):
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(plain.read_bytes()))
    elif path.suffix == ".zst":
        import pyarrow

        path.write_bytes(pyarrow.compress(plain.read_bytes(), "zstd", asbytes=True))


def test_lines_are_counted_over_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "BLOCK", 50)
    path = tmp_path / "rows.svm"
    path.write_text("# x\n\n1 1:1\n" * 40 + "1 1:1 a:2\n")
    with pytest.raises(BadData, match=r"rows.svm, line 121: 'a:2' is not index:value\.$"):
        open_reader(path).layout(Wishes())


def test_a_file_that_changes_is_read_again(tmp_path):
    path = tmp_path / "rows.svm"
    path.write_text("1 1:1\n")
    reader = open_reader(path)
    layout = reader.layout(Wishes())
    path.write_text("1 1:1\n2 1:3\n")
    (chunk,) = reader.read(layout, None, target=True)
    np.testing.assert_array_equal(chunk.y, [1, 2])


@pytest.mark.parametrize("name", ["rows.svm", "rows.vw"])
def test_a_byte_order_mark_is_no_part_of_the_text(name, tmp_path):
    path = tmp_path / name
    text = "1 1:1\n2 2:3\n" if name.endswith("svm") else "1 | a:1\n2 | b:3\n"
    path.write_text(text, encoding="utf-8-sig")
    reader = open_reader(path)
    (chunk,) = reader.read(reader.layout(Wishes()), None, target=True)
    np.testing.assert_array_equal(chunk.y, [1, 2])


def test_a_line_longer_than_memory_is_refused(tmp_path):
    path = tmp_path / "rows.svm"
    path.write_text("1 " + " ".join(f"{k}:1" for k in range(1, 60_000)) + "\n")
    reader = open_reader(path, Format(limits=Limits(memory=1 << 18)))
    with pytest.raises(BadData, match="a line would take"):
        reader.layout(Wishes())


def changed(text, rng):
    """Return a text in which some bytes are others, missing or there twice."""
    some = bytearray(text)
    for _ in range(rng.integers(1, 4)):
        at, to = sorted(rng.integers(0, len(some), 2))
        kind = rng.integers(4)
        if kind == 0:
            some[at] = b"0123456789:.-+eE# \n\r\x00\xffqid_"[rng.integers(25)]
        elif kind == 1:
            del some[at : min(to, at + 9)]
        elif kind == 2:
            some[at:at] = some[at : min(to, at + 30)]
        else:
            some[at] ^= 1 << rng.integers(8)
    return bytes(some)


def test_changed_texts_are_read_as_scikit_learn_reads_them_or_refused(rng, tmp_path):
    """Without the compiler, too, where a place beyond an array would be an IndexError."""
    n_fine = 0
    path = tmp_path / "changed.svm"
    for _ in range(150):
        text = changed(TEXT, rng) + b"\n"
        rows, fault = parsed(text)
        path.write_bytes(text)
        try:
            X, y = load_svmlight_file(str(path), zero_based=True)
        except (ValueError, OverflowError, TypeError):
            assert fault is not None
            continue
        if fault is None:
            n_fine += 1
            np.testing.assert_array_equal(rows.y, y)
            np.testing.assert_array_equal(rows.values, X.data)
            np.testing.assert_array_equal(rows.indices, X.indices)
            np.testing.assert_array_equal(rows.indptr, X.indptr)
        else:  # what is not digits before a colon, or a number that only Python knows
            assert fault.code in (svmlight.NO_PAIR, svmlight.OUTSIDE)
    assert n_fine > 30
