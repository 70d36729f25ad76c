"""The command line under fire: files that lie, outputs that are no files, signals, full disks."""

import errno
import gzip
import io
import itertools
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from fastgd import cli
from fastgd._readers import errors, limits, numerals, streams
from fastgd._readers.errors import BadData, Misuse, TooLarge, UserError
from fastgd._readers.layout import likeness
from fastgd._readers.numerals import Notation
from fastgd.cli import _output, _predict, _showing, _stopping, _train
from tests.tables import over_product

POSIX = pytest.mark.skipif(os.name != "posix", reason="of POSIX systems")
NOT_ROOT = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="root may write everything"
)
ROWS = "a,b,label\n" + "1,2,yes\n3,4,no\n5,1,yes\n" * 10
# without the time of packing: a test's name must be the same in every process
PACKED = gzip.compress(ROWS.encode(), mtime=0)


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Run the command in a folder of its own; return its status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(line):
        words = line.split() if isinstance(line, str) else line
        try:
            status = cli.main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def refused(run, line, status=1):
    """Return what is said, in one line, of what is wrong."""
    got, _, err = run(line)
    assert got == status, err
    assert err.count("\n") == 1
    assert err.rstrip("\n").isprintable()
    return err.split(": ", 1)[1].rstrip("\n")


@pytest.fixture
def matrix(rng, run):
    """Write a matrix and a model of it; return the rows."""
    X = rng.normal(size=(50, 3)) * (rng.random((50, 3)) < 0.6)
    np.savez("data.npz", X=X, y=(X[:, 0] > 0).astype(int))
    assert run("train data.npz --model logistic --quiet -o m.fastgd")[0] == 0
    return X


TRAIN = "train data.csv --target label --model logistic --quiet -o out.fastgd"


OFTEN_FAILING = [("predict", "full")]


def in_a_process(words, **more):
    command = [sys.executable, "-m", "fastgd", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, **more)


def in_a_child(words, stdout, stderr, prepare=lambda: None):
    """Run the command in a child of this process, which starts at once; return its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if child:
        return child
    status = 70
    try:
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        prepare()
        status = cli.main([str(word) for word in words])
    except SystemExit as end:
        status = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def status_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# -- CSR matrices ------------------------------------------------------------------------------


def sparse_arrays(X):
    csr = sp.csr_matrix(X)
    return {name: getattr(csr, name) for name in ("data", "indices", "indptr", "shape")}


LIES = {
    "an index too large": (
        {"indices": lambda a: set_one(a, 10**8)},
        "there is an index 100,000,000",
    ),
    "an index below zero": ({"indices": lambda a: set_one(a, -1)}, "there is an index -1"),
    "unsigned": (
        {"indices": lambda a: set_one(a.astype(np.uint64), 2**63)},
        "there is an index 9,2",
    ),
    "few columns": ({"shape": lambda _: np.array([50, 1])}, "there is an index"),
    "many rows": ({"shape": lambda _: np.array([10**9, 3])}, "indptr has 51 numbers"),
    "rows below zero": ({"shape": lambda _: np.array([-1, 3])}, "shape must be two whole numbers"),
    "one dimension": ({"shape": lambda _: np.array([50])}, "shape must be two whole numbers"),
    "shape of floats": ({"shape": lambda _: np.array([50.0, 3.0])}, "shape must be two whole"),
    "indptr falls": ({"indptr": lambda a: set_one(a, 10**6)}, "indptr falls"),
    "indptr too long": ({"indptr": lambda a: np.append(a, a[-1])}, "indptr has 52 numbers"),
    "indptr beyond": (
        {"indptr": lambda a: set_last(a, 10**9)},
        "indptr goes from 0 to 1,000,000,0",
    ),
    "indptr from one": ({"indptr": lambda a: set_first(a, 1)}, "indptr goes from 1"),
    "indptr below": ({"indptr": lambda a: set_last(a, -1)}, "indptr falls"),
    "data short": ({"data": lambda a: a[:-1]}, "there are"),
    "data of two": ({"data": lambda a: a.reshape(1, -1)}, "data has 2 dimensions"),
    "data of words": ({"data": lambda a: a.astype(str)}, "data must hold numbers"),
    "complex data": ({"data": lambda a: a.astype(complex)}, "data must hold numbers"),
    "indices of floats": (
        {"indices": lambda a: a.astype(float)},
        "indices must hold whole numbers",
    ),
}


def set_one(array, value, place=7):
    array = array.copy()
    array[place] = value
    return array


def set_last(array, value):
    return set_one(array, value, -1)


def set_first(array, value):
    return set_one(array, value, 0)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("lie", LIES)
def test_a_matrix_that_is_none_is_refused(lie, save, matrix, run):
    changes, said = LIES[lie]
    arrays = sparse_arrays(matrix)
    arrays |= {name: change(arrays[name]) for name, change in changes.items()}
    save("bad.npz", **arrays, y=np.arange(50) % 2)
    for line in (
        "train bad.npz --model logistic -o out",
        "predict m.fastgd bad.npz -o out",
        "evaluate m.fastgd bad.npz --chunk-rows 9",
    ):
        assert said in refused(run, line)
    assert sorted(path.name for path in Path().iterdir()) == ["bad.npz", "data.npz", "m.fastgd"]


def test_columns_in_any_order_and_twice_are_summed(matrix, run):
    """What scipy takes for a CSR matrix is one: kernels get rows in order, each column once."""
    csr = sp.csr_matrix(matrix)
    indices, data = csr.indices.copy(), csr.data.copy()
    for first, last in zip(csr.indptr[:-1], csr.indptr[1:], strict=True):
        indices[first:last], data[first:last] = indices[first:last][::-1], data[first:last][::-1]
    twice = {
        "indices": np.repeat(indices, 2).astype(">i8"),
        "data": np.repeat(data, 2) / 2,
        "indptr": 2 * csr.indptr.astype(np.uint32),
        "shape": np.array(csr.shape, np.int32),
    }
    y = (matrix[:, 0] > 0).astype(int)
    np.savez("right.npz", **sparse_arrays(matrix), y=y)
    np.savez("odd.npz", **twice, y=y)
    outputs = []
    for name in ("right", "odd"):
        assert run(f"train {name}.npz --model logistic --quiet -o {name}.fastgd")[0] == 0
        outputs.append(run(f"predict {name}.fastgd {name}.npz --proba")[1].splitlines()[1:])
    right, odd = (np.array([line.split(",") for line in lines], float) for lines in outputs)
    np.testing.assert_allclose(odd, right, rtol=1e-9)


@pytest.mark.parametrize("dtype", [">f8", ">f4", "<f2", ">i2", "|u1", "|b1"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_numbers_of_all_types_are_read(dtype, save, matrix, run):
    whole = np.rint(matrix).clip(0, 1)
    y = (matrix[:, 0] > 0).astype(int)
    arrays = sparse_arrays(whole)
    save("dense.npz", X=whole.astype(dtype), y=y.astype(">i4"))
    save("sparse.npz", **(arrays | {"data": arrays["data"].astype(dtype)}), y=y)
    np.savez("right.npz", X=whole)
    for name in ("dense", "sparse"):
        assert run(f"train {name}.npz --model logistic --quiet -o {name}.fastgd")[0] == 0
        own = run(f"predict {name}.fastgd {name}.npz")[1]
        assert own == run(f"predict {name}.fastgd right.npz")[1]


def test_a_csc_matrix_is_not_read_as_a_csr_matrix(matrix, run):
    square = matrix[:3]
    arrays = {"format": np.array(b"csc"), **sparse_arrays(square)}
    np.savez("square.npz", **arrays, y=np.array([0, 1, 1]))
    assert "format 'csc'; save it with X.tocsr()" in refused(run, "predict m.fastgd square.npz")


# -- arrays ------------------------------------------------------------------------------------


def archive_of(members, path, **words):
    with zipfile.ZipFile(path, "w", **words) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def npy(array, **lies):
    memory = io.BytesIO()
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(memory, header | lies)
    return memory.getvalue() + array.tobytes()


X, Y = np.arange(12.0).reshape(6, 2), np.arange(6) % 2


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (npy(X, shape=(10**9, 2)), "its header speaks of 16,000,000,128 bytes, and there are 224"),
        (npy(X, shape=(3, 2)), "its header speaks of 176 bytes"),
        (npy(X, shape=(-6, -2)), "its shape is '(-6, -2)'"),
        (npy(X, shape=(1 << 62, 1 << 62)), "its header speaks of"),
        (npy(X, descr="|O"), "Python objects, which only a pickle could read"),
        (npy(X, descr="|V0"), "its header speaks of"),
        (npy(X, descr=[("a", "<f8"), ("b", "<f8")], shape=(6,)), "not one of plain numbers"),
        (npy(X.astype("<M8[s]")), "X must hold numbers, got"),
        (npy(X.astype(complex)), "X must hold numbers, got 'complex128'"),
        (npy(X.astype(str)), "X must hold numbers, got '<U32'"),
        (npy(X.reshape(3, 2, 2)), "its shape is '(3, 2, 2)'"),
        (npy(X[:, :0]), "X has no columns"),
        (b"\x93NUMPY\x09\x00" + npy(X)[8:], "version (9, 0) of the .npy format is not known"),
        (b"no array", "magic string is not correct"),
        (b"", "EOF: reading magic string"),
    ],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_array_that_lies_is_refused(x, said, method, run):
    archive_of({"X.npy": x, "y.npy": npy(Y)}, "data.npz", compression=method)
    assert said in refused(run, "train data.npz --model logistic -o out")
    assert [path.name for path in Path().iterdir()] == ["data.npz"]


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (np.arange(6).astype("<M8[s]"), "the target must hold numbers or words"),
        (np.arange(6) + 1j, "the target must hold numbers or words"),
        (np.array([b"\xff", b"a"] * 3), "codec can't decode"),
        (np.array([0.0, np.inf] * 3), "row 2: the target is infinite"),
        (np.array([0.0, np.nan] * 3), "row 2: the target is missing"),
        (np.array([0.0, 1e300] * 3), "is too large for a class"),
    ],
)
def test_a_target_that_is_none_is_refused(y, said, run):
    np.savez("data.npz", X=X, y=y)
    assert said in refused(run, "train data.npz --model logistic -o out")


def test_words_of_bytes_are_words(run):
    np.savez("data.npz", X=X, y=np.array([b"no", b"yes"] * 3))
    assert run("train data.npz --model logistic --quiet -o m.fastgd")[0] == 0
    assert json.loads(run("info m.fastgd --json")[1])["classes"] == ["no", "yes"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(method, run):
    archive_of({"X.npy": npy(X), "y.npy": npy(Y)}, "data.npz", compression=method)
    assert "is compressed in a way that is not read here" in refused(run, NPZ)


NPZ = "train data.npz --model logistic -o out"


def test_encrypted_members_are_refused(run):
    archive_of({"X.npy": npy(X), "y.npy": npy(Y)}, "data.npz")
    content = bytearray(Path("data.npz").read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(mark) + offset] |= 1
    Path("data.npz").write_bytes(content)
    assert refused(run, NPZ) == "data.npz, array 'X': X.npy is encrypted."


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_that_are_there_twice_are_refused(run):
    with zipfile.ZipFile("data.npz", "w") as archive:
        for content in (npy(X), npy(X), npy(Y)):
            archive.writestr("X.npy", content)
    assert "has more than one member 'X.npy'" in refused(run, NPZ)


def test_a_bit_that_was_flipped_in_a_mapped_array_is_found(run):
    np.savez("data.npz", X=X, y=Y)
    content = bytearray(Path("data.npz").read_bytes())
    content[content.find(X.tobytes()) + 20] ^= 4
    Path("data.npz").write_bytes(content)
    assert "Bad CRC-32" in refused(run, NPZ)


@pytest.mark.parametrize("name", ["data.npz", "data.csv.gz", "data.svm.gz", "data.parquet"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_half_a_file_is_reported(name, part, run):
    frame = pd.DataFrame({"a": np.arange(500.0), "y": np.arange(500) % 2})
    {
        "data.npz": lambda: np.savez_compressed(name, X=frame[["a"]].to_numpy(), y=frame["y"]),
        "data.csv.gz": lambda: frame.to_csv(name, index=False),
        "data.svm.gz": lambda: Path(name).write_bytes(
            gzip.compress(b"".join(b"%d 1:%d\n" % (i % 2, i) for i in range(500)))
        ),
        "data.parquet": lambda: frame.to_parquet(name),
    }[name]()
    content = Path(name).read_bytes()
    Path(name).write_bytes(content[: int(part * len(content))])
    target = "" if ".csv" not in name and ".parquet" not in name else "--target y "
    assert refused(run, f"train {name} {target}--model logistic -o out").startswith(name)


def test_gzip_that_is_damaged_is_reported(run):
    content = bytearray(gzip.compress(ROWS.encode() * 500))
    content[len(content) // 2] ^= 255
    Path("data.csv.gz").write_bytes(content)
    assert refused(run, TRAIN.replace("data.csv", "data.csv.gz")).startswith("data.csv.gz")


# -- more than memory holds --------------------------------------------------------------------


def bomb(matrix_model, name, content):
    """Return a model of which one member is something else, in bytes or piece by piece."""
    with zipfile.ZipFile(matrix_model) as archive:
        parts = {member: archive.read(member) for member in archive.namelist() if member != name}
    archive_of(parts, "bomb.fastgd", compression=zipfile.ZIP_DEFLATED)
    with (
        zipfile.ZipFile("bomb.fastgd", "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(name, "w", force_zip64=True) as member,
    ):
        for piece in [content] if isinstance(content, bytes) else content:
            member.write(piece)
    return Path("bomb.fastgd")


def a_gigabyte():
    """Return pieces of 1.1 GB of zeros, of which one is in memory at a time."""
    return itertools.repeat(bytes(1_000_000), 1_100)


def part_of_a_gigabyte():
    """Return as many zeros as would do, if each took a byte."""
    return itertools.islice(a_gigabyte(), 200)


def inner(schema, **members):
    memory = io.BytesIO()
    archive_of({"schema.json": schema, **members}, memory, compression=zipfile.ZIP_DEFLATED)
    return memory.getvalue()


NODE = '{"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode", '


@pytest.mark.usefixtures("matrix")
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("card.json", lambda: b"[" + b"{}," * 6_000_000 + b"0]"),
        ("card.json", lambda: itertools.chain([b'{"format": 1, "a": "'], a_gigabyte())),
        ("card.json", lambda: itertools.chain(["\N{SNOWMAN}".encode()], part_of_a_gigabyte())),
        ("pipeline.skops", a_gigabyte),
        ("pipeline.skops", lambda: inner(b"[" + b"[]," * 16_000_000 + b"0]")),
        ("pipeline.skops", lambda: inner("[" + ",".join([NODE + '"type": 1}'] * 600_000) + "]")),
        (
            "pipeline.skops",
            lambda: inner(
                "[" + ",".join([NODE + '"type": "numpy", "file": "a.npy"}'] * 200) + "]",
                **{"a.npy": npy(np.zeros(1_250_000))},
            ),
        ),
    ],
    ids=["objects", "long", "wide", "pipeline", "lists", "nodes", "the same again"],
)
def test_a_small_model_that_unpacks_to_gigabytes_is_refused(name, content, run):
    if sys.maxsize < 2**32:
        pytest.skip("of 64 bits")
    path = bomb("m.fastgd", name, content())
    assert path.stat().st_size < 10_000_000
    said = refused(run, "predict bomb.fastgd data.npz")
    assert "of memory, and 1.0 GiB are allowed" in said
    assert said.endswith("--max-memory SIZE or FASTGD_MAX_MEMORY allows more.")


@pytest.mark.usefixtures("matrix")
def test_limits_are_set_by_options_and_the_environment(run, monkeypatch):
    line = "predict m.fastgd data.npz"
    assert "are allowed" in refused(run, f"{line} --max-memory 1K")
    assert "are allowed" in refused(run, "info m.fastgd --max-memory 1K")
    monkeypatch.setenv("FASTGD_MAX_MEMORY", "1K")
    assert "and 1.0 KiB are allowed" in refused(run, line)
    assert run(f"{line} --max-memory 2G")[0] == 0
    monkeypatch.setenv("FASTGD_MAX_MEMORY", "much")
    said = refused(run, line, status=2)
    assert said == "FASTGD_MAX_MEMORY: must be a size such as 500M or 8G, got 'much'"


@pytest.mark.parametrize("name", ["data.csv.gz", "data.svm.gz"])
def test_rows_that_unpack_to_more_than_is_allowed_are_refused(name, run):
    row = b"1,2,yes\n3,4,no\n" if "csv" in name else b"1 1:1 2:3\n0 2:1\n"
    names = b"a,b,label\n" if "csv" in name else b""
    Path(name).write_bytes(gzip.compress(names + row * 700_000, mtime=0))
    target = "--target label " if "csv" in name else ""
    line = f"train {name} {target}--model logistic --max-memory 4M -o out"
    assert "and 4.0 MiB are allowed. --chunk-rows 10000 may need less." in refused(
        run, f"{line} --chunk-rows 1000000"
    )


def test_an_array_larger_than_is_allowed_is_refused(run):
    np.savez_compressed("data.npz", X=np.zeros((100_000, 10)), y=np.arange(100_000) % 2)
    assert "data.npz: array 'X' would take 7.6 MiB" in refused(run, f"{NPZ} --max-memory 4M")


@pytest.mark.parametrize(("most", "left"), [("1000000", 1000000 - 300000 + 50000), ("max", None)])
def test_a_container_has_no_more_than_its_limit(most, left, tmp_path, monkeypatch):
    from fastgd._readers import reader

    free = reader._free_memory()
    (tmp_path / "memory.max").write_text(f"{most}\n")
    (tmp_path / "memory.current").write_text("300000\n")
    (tmp_path / "memory.stat").write_text("anon 7\nfile 50000\n")
    group = (str(tmp_path), "memory.max", "memory.current", "file")
    monkeypatch.setattr(reader, "_CONTROL_GROUPS", (group,))
    assert reader._free_memory() == left if left else reader._free_memory() > free / 100


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500", 500),
        ("1K", 1024),
        ("1.5k", 1536),
        ("8G", 8 << 30),
        ("2 MiB", 2 << 20),
        ("1TB", 1 << 40),
    ],
)
def test_sizes_are_read(text, size):
    assert limits.parsed_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "0", "1e3", "8 gigs", "nan", "9" * 40])
def test_what_is_no_size_is_refused(text, run):
    with pytest.raises(ValueError, match="must be a size"):
        limits.parsed_size(text)
    if text not in ("", "-1"):
        status, _, err = run(["info", "m", "--max-memory", text])
        assert status == 2
        assert "--max-memory: must be a size" in err


@POSIX
def test_words_that_come_often_take_no_memory_each(run):
    """A long word that comes often makes a small file, and as text of each row 5 GB."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    words = ["w" * 1_000_000, "short"]
    column = pa.DictionaryArray.from_arrays(np.arange(10_000) % 2, words)
    table = pa.table({"a": np.arange(10_000) * 1.0, "w": column})
    pq.write_table(table, "data.parquet", store_schema=False)  # it is read as text
    assert Path("data.parquet").stat().st_size < 2_000_000
    line = "train data.parquet --target w --model logistic --quiet -o out"
    done = in_a_process(line.split(), preexec_fn=at_most(4 << 30))
    assert (done.returncode, done.stderr) == (0, "")
    assert run("info out --max-memory 1G")[0] == 0


def at_most(n_bytes):
    """Return what lets a process have no more memory."""
    import resource

    return lambda: resource.setrlimit(resource.RLIMIT_AS, (n_bytes, n_bytes))


@pytest.mark.parametrize("index", [2**31 - 1, 2**31, 2**40, 20_000_000])
def test_a_feature_far_out_is_refused(index, run):
    Path("data.svm").write_text(f"1 1:1\n\n# note\n0 2:1 {index}:2\n")
    said = refused(run, "train data.svm --model logistic -o out")
    assert said.startswith("data.svm, line 4: ")
    assert "columns, and 16,777,216 are allowed" in said or "too large" in said or "int" in said


def test_more_features_can_be_allowed(run):
    Path("data.svm").write_text("1 1:1\n0 2:1 30:2\n" * 5)
    line = "train data.svm --model logistic --quiet -o out"
    said = refused(run, f"{line} --max-features 29")
    assert said.endswith("If that is right: --max-features 31 (or FASTGD_MAX_FEATURES)")
    assert run(f"{line} --max-features 31")[0] == 0


def test_a_matrix_said_to_be_wide_is_refused(matrix, run):
    arrays = sparse_arrays(matrix) | {"shape": np.array([50, 2**40])}
    np.savez("wide.npz", **arrays, y=np.arange(50) % 2)
    said = refused(run, "train wide.npz --model logistic -o out")
    assert "so there would be 1,099,511,627,776 columns" in said


# -- models ------------------------------------------------------------------------------------


def with_card(change, path="m.fastgd"):
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    card = json.loads(parts["card.json"])
    change(card)
    archive_of({**parts, "card.json": json.dumps(card)}, path)


@pytest.mark.usefixtures("matrix")
@pytest.mark.parametrize(
    "change",
    [
        lambda card: card.update(classes=None),
        lambda card: card.update(classes=[0, 1, 2]),
        lambda card: card.update(classes=[{}, []]),
        lambda card: card.update(classes="ab"),
        lambda card: card.update(n_rows="many"),
        lambda card: card.update(settings=None),
        lambda card: card.update(settings={"C": 1}),
        lambda card: card.update(task="regression"),
        lambda card: card.update(estimator="SGDClassifier"),
        lambda card: card.update(model=[]),
        lambda card: card["layout"].update(n_features=10**12),
        lambda card: card["layout"].update(n_features=-1),
        lambda card: card["layout"].update(n_features=True),
        lambda card: card["layout"].update(form="table"),
        lambda card: card["layout"].update(form="square"),
        lambda card: card["layout"].update(zero_based=3),
        lambda card: card["layout"].update(target={"name": 1, "kind": "number", "dtype": "i"}),
        lambda card: card["layout"].update(target={"name": "y", "kind": "dance", "dtype": "i"}),
        lambda card: card["layout"].update(columns=[{"name": "a"}]),
        lambda card: card["layout"].update(columns=7),
    ],
)
def test_a_card_that_lies_is_reported(change, run):
    with_card(change)
    for line in ("predict m.fastgd data.npz", "evaluate m.fastgd data.npz"):
        assert refused(run, line)


@pytest.mark.usefixtures("matrix")
def test_a_card_of_endless_depth_is_reported(run):
    bomb("m.fastgd", "card.json", b"[" * 100_000 + b"]" * 100_000)
    assert "its card.json is damaged" in refused(run, "info bomb.fastgd")


@pytest.mark.usefixtures("matrix")
def test_coefficients_that_are_not_finite_are_reported(run):
    import skops.io

    from fastgd.cli import _archive

    card, pipeline = _archive.load(Path("m.fastgd"))
    pipeline.steps[-1][1].coef_[0, 0] = np.nan
    bomb("m.fastgd", "pipeline.skops", skops.io.dumps(pipeline))
    assert refused(run, "predict bomb.fastgd data.npz").endswith("are not finite numbers.")
    pipeline.steps[-1][1].coef_ = np.ones((1, 9))
    bomb("m.fastgd", "pipeline.skops", skops.io.dumps(pipeline))
    assert refused(run, "predict bomb.fastgd data.npz -o p").startswith(
        "the model refuses the data"
    )
    assert not Path("p").exists()
    assert card.classes == [0, 1]


@pytest.mark.usefixtures("matrix")
@pytest.mark.parametrize(
    "lie", [{"descr": "|S0", "shape": (1 << 62,)}, {"shape": (1 << 40,)}, {"descr": "|O"}]
)
def test_an_array_in_a_model_that_lies_is_reported(lie, run):
    """One of nothing, 2^62 times, took for ever."""
    with zipfile.ZipFile("m.fastgd") as archive:
        pipeline = archive.read("pipeline.skops")
    with zipfile.ZipFile(io.BytesIO(pipeline)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for name in [name for name in parts if name.endswith(".npy")]:
        memory = io.BytesIO()
        archive_of({**parts, name: npy(np.ones(3), **lie)}, memory)
        bomb("m.fastgd", "pipeline.skops", memory.getvalue())
        assert "its pipeline.skops is damaged" in refused(run, "predict bomb.fastgd data.npz")


# -- where -o writes ---------------------------------------------------------------------------


PREDICT = "predict m.fastgd data.npz --quiet -o"


@pytest.fixture
def predictions(matrix, run):
    """Return what should be written."""
    assert len(matrix) == 50
    return run("predict m.fastgd data.npz")[1]


@POSIX
@pytest.mark.parametrize("exists", [True, False])
def test_links_are_followed(exists, predictions, run):
    Path("folder").mkdir()
    Path("near").symlink_to("folder/middle")
    Path("folder/middle").symlink_to("../target.csv")
    if exists:
        Path("target.csv").write_text("old")
    assert run(f"{PREDICT} near")[0] == 0
    assert Path("near").is_symlink()
    assert Path("folder/middle").is_symlink()
    assert Path("target.csv").read_text() == predictions
    assert sorted(path.name for path in Path("folder").iterdir()) == ["middle"]


@POSIX
@pytest.mark.usefixtures("matrix")
def test_links_that_lead_nowhere_are_reported(run):
    Path("one").symlink_to("two")
    Path("two").symlink_to("one")
    assert refused(run, f"{PREDICT} one").endswith("it is a link that leads to itself")
    Path("three").symlink_to("missing/file")
    assert "there is no folder" in refused(run, f"{PREDICT} three")


@POSIX
def test_a_pipe_is_written_into(predictions, run):
    os.mkfifo("pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_text()))
    reader.start()
    assert run(f"{PREDICT} pipe")[0] == 0
    reader.join()
    assert read == [predictions]
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)


@POSIX
def test_a_model_goes_through_a_pipe(matrix, run):
    assert len(matrix) == 50
    os.mkfifo("pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_bytes()))
    reader.start()
    assert run("train data.npz --model logistic --quiet -o pipe")[0] == 0
    reader.join()
    Path("copy.fastgd").write_bytes(read[0])
    assert run("predict copy.fastgd data.npz")[0] == 0


@POSIX
@pytest.mark.usefixtures("matrix")
def test_a_pipe_whose_reader_has_gone_is_an_error():
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    begun = _output.replacing(Path("pipe"))
    file = begun.__enter__()
    os.close(reader)
    with pytest.raises(UserError, match="pipe cannot be written: Broken pipe"):
        file.write(bytes(1 << 17))
    assert not begun.__exit__(UserError, UserError("stop"), None)


@POSIX
@pytest.mark.parametrize(
    ("name", "to_file"),
    [("-", True), ("/dev/stdout", True), ("link", True), ("/dev/stdout", False)],
)
def test_stdout_is_written_into(name, to_file, predictions):
    """Also where it is a file, at whose end more is wanted."""
    Path("link").symlink_to("/dev/stdout")
    Path("log").write_text("before\n")
    with open("log", "a") as log, open("said", "w+") as said:
        ours, theirs = os.pipe()
        out = log.fileno() if to_file else theirs
        child = in_a_child(["predict", "m.fastgd", "data.npz", "-o", name], out, said.fileno())
        os.close(theirs)
        with open(ours) as pipe:
            got = pipe.read()
        assert (status_of(child), said.read()) == (0, "")
    if to_file:
        got = Path("log").read_text().removeprefix("before\n")
    assert got == predictions
    assert Path("link").is_symlink()


@POSIX
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("-", 1),
        ("/dev/stdout", 1),
        ("/dev/stderr", 2),
        ("/dev/fd/1", 1),
        ("/proc/self/fd/7", 7),
        ("/proc/1/fd/1", None),
        ("/dev/null", None),
        ("-/x", None),
        ("link", 1),
    ],
)
def test_names_of_descriptors_are_known(name, number, tmp_path, monkeypatch):
    if name.startswith("/proc") and not Path("/proc/self/fd").exists():
        pytest.skip("there is no /proc")
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("second")
    Path("second").symlink_to("/dev/stdout")
    if number is None and name.startswith("/proc"):
        assert _output._descriptor(name) is None
    else:
        assert _output._resolved(Path(name))[1] == number


@POSIX
def test_another_descriptor_is_written_into(predictions, run, tmp_path):
    with open(tmp_path / "got", "w") as file:
        assert run(f"{PREDICT} /dev/fd/{file.fileno()}")[0] == 0
    assert (tmp_path / "got").read_text() == predictions
    assert "Bad file descriptor" in refused(run, f"{PREDICT} /dev/fd/98765")


@POSIX
@pytest.mark.usefixtures("matrix")
def test_a_model_on_stdout_is_not_mixed_with_notes():
    with open("copy.fastgd", "wb") as out, open("said", "w") as said:
        words = ["train", "data.npz", "--model", "logistic", "-o", "-"]
        assert status_of(in_a_child(words, out.fileno(), said.fileno())) == 0
    assert zipfile.is_zipfile("copy.fastgd")
    assert "on the rows trained on" in Path("said").read_text()


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o666])
@pytest.mark.parametrize("line", [PREDICT, "train data.npz --model logistic --quiet -o"])
@pytest.mark.usefixtures("matrix")
def test_a_file_keeps_its_mode(mode, line, run):
    Path("out").write_text("old")
    os.chmod("out", mode)
    assert run(f"{line} out")[0] == 0
    assert stat.S_IMODE(os.stat("out").st_mode) == mode


@POSIX
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
@pytest.mark.usefixtures("matrix")
def test_a_new_file_follows_the_umask(mask, mode, run):
    before = os.umask(mask)
    try:
        assert run(f"{PREDICT} out")[0] == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat("out").st_mode) == mode


@POSIX
def test_a_file_with_two_names_stays_one(predictions, run):
    Path("one").write_text("old " * 1000)
    os.link("one", "two")
    assert run(f"{PREDICT} one")[0] == 0
    assert Path("two").read_text() == predictions
    assert os.path.samefile("one", "two")


@POSIX
@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room is not taken beforehand")
@pytest.mark.usefixtures("matrix")
def test_a_file_with_two_names_is_whole_after_a_full_disk(run, monkeypatch):
    def full(descriptor, first, length):
        os.truncate(descriptor, first + length // 2)  # what a disk takes before it is full
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    Path("one").write_text("old")
    os.link("one", "two")
    monkeypatch.setattr(os, "posix_fallocate", full)
    assert refused(run, f"{PREDICT} one") == "one cannot be written: No space left on device"
    assert Path("two").read_text() == "old"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="root may give files away")
def test_a_file_keeps_its_owner(predictions, run):
    Path("out").write_text("old")
    os.chown("out", 12345, 23456)
    assert run(f"{PREDICT} out")[0] == 0
    status = os.stat("out")
    assert (status.st_uid, status.st_gid) == (12345, 23456)
    assert Path("out").read_text() == predictions


@POSIX
def test_a_file_whose_owner_would_change_is_written_over(predictions, run, monkeypatch):
    Path("out").write_text("old " * 1000)
    number = os.stat("out").st_ino
    monkeypatch.setattr(_output, "_made_alike", lambda *_: False)
    assert run(f"{PREDICT} out")[0] == 0
    assert os.stat("out").st_ino == number
    assert Path("out").read_text() == predictions
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


@NOT_ROOT
@pytest.mark.usefixtures("matrix")
def test_a_file_that_may_not_be_written_is_not_replaced(run):
    Path("out").write_text("old")
    os.chmod("out", 0o444)
    assert refused(run, f"{PREDICT} out") == "out cannot be written: Permission denied"
    assert Path("out").read_text() == "old"


@NOT_ROOT
def test_a_file_in_a_closed_folder_is_written_over(predictions, run):
    Path("closed").mkdir()
    Path("closed/out").write_text("old")
    os.chmod("closed", 0o555)
    try:
        assert run(f"{PREDICT} closed/out")[0] == 0
        assert Path("closed/out").read_text() == predictions
        assert "Permission denied" in refused(run, f"{PREDICT} closed/new")
    finally:
        os.chmod("closed", 0o755)


@pytest.mark.usefixtures("matrix")
def test_what_is_read_is_not_overwritten(run):
    before = Path("data.npz").read_bytes()
    for line in (
        "train data.npz --model logistic -o data.npz",
        "train data.npz --model logistic -o ./data.npz",
        "predict m.fastgd data.npz -o data.npz",
        "predict m.fastgd data.npz -o m.fastgd",
    ):
        assert "would overwrite" in refused(run, line, status=2)
    with open("data.npz", "r+b") as file:  # as a shell opens it for 9<>data.npz
        line = f"train data.npz --model logistic -o /dev/fd/{file.fileno()}"
        assert os.name != "posix" or "would overwrite" in refused(run, line, status=2)
    assert Path("data.npz").read_bytes() == before


@POSIX
@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
@pytest.mark.usefixtures("matrix")
def test_nothing_is_written_to_what_is_closed(name, monkeypatch):
    monkeypatch.setattr(sys, name, None)
    with pytest.raises(UserError, match=f"{name} is closed: there is nowhere to write to"):
        _output.check_output(Path(f"/dev/{name}"))


@pytest.mark.usefixtures("matrix")
def test_long_names_can_be_written(run):
    name = "x" * 250
    assert run(f"{PREDICT} {name}")[0] == 0
    assert Path(name).exists()


@pytest.mark.usefixtures("matrix")
def test_predictions_that_fail_leave_the_old_ones(run):
    Path("out").write_text("old")
    X = np.zeros((50, 3))
    X[40] = np.nan
    np.savez("new.npz", X=X)
    assert "NaN" in refused(run, "predict m.fastgd new.npz --chunk-rows 7 -o out")
    assert Path("out").read_text() == "old"
    assert sorted(p.name for p in Path().iterdir()) == ["data.npz", "m.fastgd", "new.npz", "out"]


# -- signals, and streams that fail ------------------------------------------------------------


def be_slow():
    # the tests may run where signals are ignored, as in the background of a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    _predict._rows = slow


def slow(pipeline, chunk, width):  # noqa: ARG001
    print("begun", file=sys.stderr, flush=True)
    time.sleep(60)


@POSIX
@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "terminated"),
    ],
)
@pytest.mark.usefixtures("matrix")
def test_a_signal_leaves_nothing_behind(number, status, said):
    ours, theirs = os.pipe()
    words = ["predict", "m.fastgd", "data.npz", "-o", "out"]
    child = in_a_child(words, theirs, theirs, be_slow)
    os.close(theirs)
    with open(ours) as pipe:
        assert pipe.readline() == "begun\n"
        os.kill(child, number)
        assert pipe.read() == f"fastgd predict: {said}\n"
    assert status_of(child) == status
    assert sorted(path.name for path in Path().iterdir()) == ["data.npz", "m.fastgd"]


def test_an_interrupted_training_saves_no_model(run, monkeypatch):
    """A fit by itself answers the first Ctrl-C with the coefficients that it has."""
    from fastgd import LogisticRegression

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    np.savez("data.npz", X=X, y=Y)
    fit = LogisticRegression.fit

    def interrupted(self, X, y):
        os.kill(os.getpid(), signal.SIGINT)
        return fit(self, X, y)

    monkeypatch.setattr(LogisticRegression, "fit", interrupted)
    assert run(NPZ) == (130, "data.npz: 6 rows, 2 features (dense), 2 classes\n", INTERRUPTED)
    assert not Path("out").exists()
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


INTERRUPTED = "fastgd train: interrupted\n"


def test_signals_that_are_ignored_stay_so():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with _stopping.stoppable():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
    with _stopping.stoppable():
        assert signal.getsignal(signal.SIGTERM) is _stopping._stop
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_can_run_commands(run):
    Path("data.csv").write_text(ROWS)
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(cli.main(TRAIN.split())))
    thread.start()
    thread.join()
    assert statuses == [0]
    assert run("info out.fastgd")[0] == 0


@POSIX
@over_product(
    lambda command, how: (command.split()[0], how) in OFTEN_FAILING,
    command=["info m.fastgd", "evaluate m.fastgd data.npz", "predict m.fastgd data.npz"],
    how=["full", "closed", "gone"],
)
@pytest.mark.usefixtures("matrix")
def test_a_stdout_that_fails_is_reported(command, how):
    if how == "full" and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    redirected = {"full": ">/dev/full", "closed": ">&-", "gone": "| true"}[how]
    line = f"set -o pipefail; {sys.executable} -m fastgd {command} {redirected}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    said = {"full": "stdout cannot be written: No space left on device\n"}
    said |= {"closed": "stdout is closed: there is nowhere to write to.\n", "gone": ""}
    expected = f"fastgd {command.split()[0]}: {said[how]}" if said[how] else ""
    assert (done.returncode, done.stderr) == (0 if how == "gone" else 1, expected)


@POSIX
@over_product(lambda how: how == "full", how=["full", "gone"])
@pytest.mark.usefixtures("matrix")
def test_a_model_is_saved_whatever_becomes_of_the_notes(how):
    if how == "full" and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    redirected = {"full": ">/dev/full", "gone": "| true"}[how]
    train = f"{sys.executable} -m fastgd train data.npz --model logistic -o out"
    line = f"set -o pipefail; {train} {redirected}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert zipfile.is_zipfile("out")
    expected = (1, "fastgd train: stdout cannot be written: No space left on device\n")
    assert (done.returncode, done.stderr) == (expected if how == "full" else (0, ""))


def test_a_row_longer_than_what_is_read_at_once_is_reported(run, monkeypatch):
    from fastgd._readers import tables

    monkeypatch.setattr(tables, "BLOCK_BYTES", 1 << 12)
    Path("data.csv").write_text(ROWS + f"1,2,{'x' * 20_000}\n")
    assert refused(run, TRAIN) == "data.csv: a row is longer than 4.0 KiB"


@POSIX
@pytest.mark.usefixtures("matrix")
def test_all_streams_may_be_closed():
    line = f"{sys.executable} -m fastgd train data.npz --model logistic -o out <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", line]).returncode == 0
    assert zipfile.is_zipfile("out")


def test_an_error_that_nobody_expected_is_one_line(run, monkeypatch):
    from fastgd.cli import _information

    def fail(_):
        raise LookupError("first\nsecond \x1b[2J")

    monkeypatch.setattr(_information, "run", fail)
    said = "fastgd info: unexpected LookupError: first (--debug shows where)\n"
    assert run("info") == (1, "", said)
    _, _, err = run("info --debug")
    assert err.startswith("Traceback")
    assert "\x1b" not in err
    assert err.endswith(said)
    monkeypatch.setenv("FASTGD_DEBUG", "1")
    assert run("info")[2].startswith("Traceback")
    monkeypatch.setenv("FASTGD_DEBUG", "0")
    assert run("info")[2] == said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "there is not enough memory."),
        (PermissionError(13, "Permission denied", "some/file"), "some/file: Permission denied"),
        (ImportError("CUDA needs numba-cuda: pip install it"), "CUDA needs numba-cuda: pip"),
        (RecursionError("deep"), "unexpected RecursionError: deep"),
    ],
)
def test_errors_of_the_system_are_reported_plainly(error, said, run, monkeypatch):
    from fastgd.cli import _information

    def fail(_):
        raise error

    monkeypatch.setattr(_information, "run", fail)
    assert refused(run, "info").startswith(said)


def test_less_memory_is_proposed_where_it_can_be_asked_for(run, monkeypatch):
    def fail(_):
        raise MemoryError

    monkeypatch.setattr(_train, "run", fail)
    Path("data.csv").write_text(ROWS)
    assert refused(run, TRAIN) == "there is not enough memory; --chunk-rows 50000 needs less."


@pytest.mark.full
def test_stdout_of_few_characters_is_reported(run):
    pd.DataFrame({"a": range(9), "label": ["\N{SNOWMAN}", "no", "no"] * 3}).to_csv("data.csv")
    assert run(TRAIN)[0] == 0
    few = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = in_a_process(["predict", "out.fastgd", "data.csv", "--proba"], env=few)
    assert done.returncode == 1
    assert "stdout takes ascii only" in done.stderr
    done = in_a_process(["info", "out.fastgd"], env=few)
    assert done.returncode == 0
    assert "\\u2603" in done.stdout


# -- words that are shown ----------------------------------------------------------------------

EVIL = "\x1b[2J\x1b]0;owned\x07\u202e\x9b31m"


@pytest.mark.parametrize("line", ["--show-columns", "--drop x", "--categorical b"])
def test_control_characters_do_not_reach_a_terminal(line, run):
    frame = pd.DataFrame({EVIL: np.arange(30.0), "b": 1, "label": ["yes", EVIL, EVIL] * 10})
    frame.to_csv("data.csv", index=False)
    lines = [f"train data.csv --target label --model logistic {line} -o m.fastgd"]
    lines += ["info m.fastgd", "info m.fastgd --json", "evaluate m.fastgd data.csv"]
    lines += ["predict m.fastgd missing.csv", "train data.csv --target x --model ridge -o n"]
    for words in lines:
        _, out, err = run(words)
        assert all(text.isprintable() for text in (out + err).split("\n"))
    assert EVIL not in run(["train", "--model", EVIL, "-o", EVIL, EVIL])[2]


def test_predictions_are_written_as_they_are_but_to_a_terminal(run, monkeypatch):
    frame = pd.DataFrame({"a": np.arange(30.0), "label": ["yes", EVIL, EVIL] * 10})
    frame.to_csv("data.csv", index=False)
    assert run(TRAIN)[0] == 0
    assert EVIL in run("predict out.fastgd data.csv")[1]
    assert run("predict out.fastgd data.csv -o p.csv")[0] == 0
    assert EVIL in Path("p.csv").read_text(encoding="utf-8")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    shown = run("predict out.fastgd data.csv --proba")[1]
    assert "\\x1b[2J" in shown
    assert all(line.isprintable() for line in shown.split("\n"))


def test_an_open_quotation_mark_is_reported_in_short(run):
    Path("data.csv").write_text(ROWS + '1,"2,yes\n' + "3,4,no\n" * 20_000)
    said = refused(run, TRAIN)
    assert said.startswith("data.csv, line 32")
    assert said.endswith("is a quotation mark never closed?") or said.endswith(
        "Is a quotation mark never closed?"
    )
    assert len(said) < 300


def test_long_values_are_cut(run):
    Path("data.csv").write_text(ROWS + f"1,{'x' * 50_000},yes\n")
    said = refused(run, TRAIN)
    assert "line 32, column 'b': 'xxx" in said
    assert len(said) < 300


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\nb", "a\\nb"),
        ("\x1b[1m", "\\x1b[1m"),
        ("\ud800", "\\ud800"),
        ("é☃", "é☃"),
    ],
)
def test_what_is_not_printable_is_written_as_python_does(text, shown):
    assert errors.plain(text) == shown


# -- numbers that are written in another way ---------------------------------------------------


def table_of(cells, separator=";"):
    rows = [f"{cell}{separator}{'yes' if i % 2 else 'no'}" for i, cell in enumerate(cells)]
    return "\n".join([f"a{separator}label", *rows]) + "\n"


FOREIGN = [
    (["1,5", "2,25", "-3,125"], '--decimal ","', [1.5, 2.25, -3.125]),
    (["0,5e3", ",5", "7"], '--decimal ","', [500.0, 0.5, 7.0]),
    (["-0,586", "1,234", "2,718"], '--decimal ","', [-0.586, 1.234, 2.718]),  # no group of 0
    (["1.234,5", "1.234.567,25", "12"], '--decimal "," --thousands "."', [1234.5, 1234567.25, 12]),
    (["1,234", "12,345,678", "7"], '--thousands ","', [1234.0, 12345678.0, 7.0]),
    (["1,234.5", "-2,345.25", "7.5"], '--thousands ","', [1234.5, -2345.25, 7.5]),
    (["1 234", "1 234 567", "5"], '--thousands " "', [1234.0, 1234567.0, 5.0]),
    (["1'234.5", "1'234'567", "2'000"], '--thousands "\'"', [1234.5, 1234567.0, 2000.0]),
    (
        ["1\u202f234,5", "2\u00a0345,5", "3\u202f000"],
        '--decimal "," --thousands " "',
        [1234.5, 2345.5, 3000.0],
    ),
    (["1,23,456.5", "-12,34,567", "2,345"], '--thousands ","', [123456.5, -1234567.0, 2345.0]),
]


@pytest.mark.parametrize(("cells", "options", "values"), FOREIGN)
def test_numbers_in_another_notation_are_not_taken_for_categories(cells, options, values, run):
    Path("data.csv").write_text(table_of(cells * 10), encoding="utf-8")
    line = [*TRAIN.split(), "--separator", ";"]
    said = refused(run, line)
    assert options in said
    assert "--categorical a" in said
    assert run([*line, "--categorical", "a"])[0] == 0
    words = shlex.split(said.split("It needs ")[1].split(". If they")[0])
    assert run([*line, *words])[0] == 0
    _, written, _ = run(
        ["predict", "out.fastgd", "data.csv", "--separator", ";", "--proba", *words]
    )
    pd.DataFrame({"a": values * 10, "label": ["no", "yes"] * 15}).to_csv("plain.csv", index=False)
    assert run("train plain.csv --target label --model logistic --quiet -o plain.fastgd")[0] == 0
    assert run("predict plain.fastgd plain.csv --proba")[1] == written
    said = refused(run, ["predict", "plain.fastgd", "data.csv", "--separator", ";"])
    assert "is not a number. If it is meant as one: --" in said


def test_both_meanings_of_a_comma_are_named(run):
    Path("data.csv").write_text(table_of(["1,234", "2,718", "3,141"] * 10))
    said = refused(run, [*TRAIN.split(), "--separator", ";"])
    assert 'It needs --thousands ",", or --decimal ",". If they' in said


def test_the_target_is_looked_at_as_well(run):
    Path("data.csv").write_text("x;amount\n" + "1;2,5\n2;3,75\n" * 10)
    line = "train data.csv --target amount --model logistic --separator ; -o out"
    assert '--decimal ","' in refused(run, line)
    assert run(f"{line.replace('logistic', 'ridge')} --decimal ,")[0] == 0


@pytest.mark.parametrize("cells", [["12%", "7%"], ["$1,234.50", "$3"], ["3 EUR", "4,5 EUR"]])
def test_numbers_with_a_unit_are_reported(cells, run):
    Path("data.csv").write_text(table_of(cells * 10, "\t"))
    assert "a file without the signs" in refused(run, [*TRAIN.split(), "--separator", "\t"])


@pytest.mark.parametrize(
    ("cells", "example"),
    [
        (["\u0661\u0662\u066b\u0665", "\u0663"], "'\u0661\u0662\u066b\u0665'"),  # Arabic
        (["\uff11\uff12", "7"], "'\uff11\uff12'"),  # as wide as Chinese characters
        (["\u22121.5", "\u22122"], "'\u22121.5'"),
        (["(12.50)", "3.25"], "'(12.50)'"),
        (["12.50-", "3.25"], "'12.50-'"),
        (["1.257D+04", "-3.5d-1"], "'1.257D+04'"),
    ],
)
def test_numbers_in_other_signs_are_reported(cells, example, run):
    Path("data.csv").write_text(table_of(cells * 10), encoding="utf-8")
    said = refused(run, [*TRAIN.split(), "--separator", ";", "--categorical", "label"])
    if "is not a number" not in said:  # where half of them are numbers as they are
        assert f"{example} looks like a number" in said
        assert "It needs plain digits, as in -1.5e3." in said
    assert run([*TRAIN.split(), "--separator", ";", "--categorical", "a"])[0] == 0


def test_codes_and_words_stay_categories(run):
    Path("data.csv").write_text(table_of(["A1", "1-2", "12/5", "v1.2.3", "1,2,3", "x,y"] * 5))
    status, out, _ = run(
        "train data.csv --target label --model logistic --separator ; -o m --show-columns"
    )
    assert status == 0
    assert "category" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--decimal x", "--decimal must be . or ,"),
        ("--thousands x", "--thousands must be one of"),
        ("--decimal , --thousands ,", "are both ','"),
    ],
)
def test_notations_that_leave_questions_are_refused(words, said, run):
    Path("data.csv").write_text(ROWS)
    assert said in refused(run, f"{TRAIN} {words}", status=2)


def test_notations_are_for_csv(run):
    np.savez("data.npz", X=X, y=Y)
    assert refused(run, f"{NPZ} --decimal ,", status=2) == "--decimal is for CSV files."


@pytest.mark.parametrize(
    ("notation", "yes", "no"),
    [
        (
            Notation(),
            ["1", "-1.5", ".5", "5.", "+1e-3", " 7 ", "inf", "NaN"],
            ["", "1,5", "\N{ARABIC-INDIC DIGIT ONE}", "1_0", "0x1"],
        ),
        (Notation(","), ["1,5", "1", ",5"], ["1.5", "1,5,5"]),
        (Notation(".", ","), ["1,234", "1234", "1,234.5"], ["1,23", "12,3456", ",123", "1,,234"]),
        (Notation(".", ","), ["12,34,567", "1,23,456.5"], ["123,45,678", "1,234,56", "1,2,345"]),
        (Notation(",", "."), ["1.234,5", "1.234.567"], ["1.2", "1,234.5", "10.10.100"]),
        (Notation(".", " "), ["1 234.5"], ["12 34 567"]),
    ],
)
def test_what_is_a_number_is_known(notation, yes, no):
    assert all(notation.is_number(cell) for cell in yes)
    assert not any(notation.is_number(cell) for cell in no)


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "1-", "2+", "2-", "3+", "3-"],  # marks of a school
        ["(1)", "(2)", "(3)"],
        ["\u2460", "\u2461"],  # in circles
        ["m\u00b2", "10\u00b2", "\u00b2"],
        ["10.10.100", "10.10.120"],
        ["10\u201320", "20\u201330"],  # ranges of ages
        ["2020\u201005\u201017", "2020\u201005\u201018"],
    ],
)
def test_words_that_are_like_numbers_are_categories(cells, run):
    Path("data.csv").write_text(table_of(cells * 10), encoding="utf-8")
    assert run([*TRAIN.split(), "--separator", ";", "--categorical", "label"])[0] == 0


def test_the_example_is_a_cell_in_other_signs(run):
    Path("data.csv").write_text(table_of([" 5", "(12.50)", "(12.75)"] * 10), encoding="utf-8")
    said = refused(run, [*TRAIN.split(), "--separator", ";", "--categorical", "label"])
    assert "'(12.50)' looks like a number" in said


@pytest.mark.parametrize("cell", ["2020-01-31", "31.12.2020", "12/31/2020", "2020-01-31 12:30"])
def test_dates_are_known(cell):
    assert numerals.looks_like_a_date(cell)
    assert not numerals.looks_like_a_date(cell[:-3] + "x")


def test_dates_that_could_be_read_in_two_ways_are_reported(run):
    days = pd.date_range("2020-01-01", periods=30).strftime("%d/%m/%Y")
    pd.DataFrame({"a": range(30), "when": days, "label": ["yes", "no"] * 15}).to_csv("data.csv")
    status, _, err = run(TRAIN.replace(" --quiet", ""))
    assert status == 0
    assert "when seems to hold dates, such as '01/01/2020'" in err


# -- files of text -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["DATA.CSV.GZ", "Data.Csv.Gz", "data.CSV.gz", "DATA.TSV.GZ", "D.TXT"]
)
def test_capitals_do_not_matter(name, run):
    text = ROWS.replace(",", "\t") if "TSV" in name else ROWS
    content = text.encode()
    Path(name).write_bytes(gzip.compress(content) if name.lower().endswith("gz") else content)
    assert run(TRAIN.replace("data.csv", name))[0] == 0
    assert run(f"predict out.fastgd {name}")[0] == 0


@pytest.mark.parametrize("name", ["DATA.SVM.GZ", "DATA.NPZ", "DATA.PARQUET", "DATA.PQ"])
def test_capitals_do_not_matter_elsewhere(name, run):
    if "SVM" in name:
        Path(name).write_bytes(gzip.compress(b"1 1:2 2:3\n0 1:1\n" * 10, mtime=0))
    elif "NPZ" in name:
        with open(name, "wb") as file:
            np.savez(file, X=X, y=Y)
    else:
        pd.DataFrame({"a": range(10), "label": [0, 1] * 5}).to_parquet(name)
    target = "--target label " if "P" in name[5:7] and "NPZ" not in name else ""
    assert run(f"train {name} {target}--model logistic --quiet -o out")[0] == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "data.csv is empty."),
        (b"\n\n\n", "data.csv is empty."),
        (b"a,b,label\n", "data.csv has a line of names, and no rows."),
        (b"a,b,label", "data.csv has a line of names, and no rows."),
        (
            ROWS.encode("utf-16"),
            "it is UTF-16. This converts it: iconv -f UTF-16 -t UTF-8 data.csv ",
        ),
        (ROWS.encode("utf-16-be"), "it is UTF-16BE. This converts it: iconv -f UTF-16BE "),
        (ROWS.encode("utf-16-le"), "it is UTF-16LE"),
        (ROWS.encode("utf-32"), "it is UTF-32. This"),
        (b"\0\0\xfe\xff" + ROWS.encode("utf-32-be"), "it is UTF-32. This"),
        (ROWS.encode("utf-32-be"), "it is UTF-32BE"),
        (ROWS.encode().replace(b"yes", b"\xe9t\xe9"), "is not UTF-8. If it is Latin-1"),
        (PACKED, "it is compressed by gzip: let its name end in .gz"),
        (b"PAR1abc", "it is a Parquet file"),
        (b"PK\x03\x04abc", "it is a zip archive"),
        (ROWS.replace(",", ";").encode(), "are separated by ';': --separator \";\""),
        (ROWS.replace(",", "\t").encode(), "are separated by '\\t': --separator $'\\t'"),
        (b"a,a,label\n1,2,no\n", "more than one column named 'a'"),
        (b"a,b, label\n1,2,no\n", "has no column 'label' (the target). Is ' label' meant?"),
        (b"a,b,Label\n1,2,no\n", "Is 'Label' meant?"),
        (b"a,b,lable\n1,2,no\n", "Is 'lable' meant?"),
        (b"a,b,label\n1,2,no\n1,2,no\n", "all rows are of one class, 'no'"),
        (b"a,b,label\n1,2,no\n", "all rows are of one class, 'no'"),
        (b"a,b,label\n1,\x00,no\n1,\x00,yes\n", ""),
        (b"\x00" * 1000, ""),
        (b"a,b,label\n" + b"1," * 100_000 + b"\n", "has 100,001 fields, the first line has 3"),
    ],
)
def test_odd_text_is_reported(content, said, run):
    Path("data.csv").write_bytes(content)
    status, _, err = run(TRAIN)
    assert err.count("\n") <= 1
    if said:
        assert status == 1
        assert said in err
    assert Path("out.fastgd").exists() == (status == 0)


def test_a_command_that_is_proposed_quotes_the_name_of_the_file(run):
    Path("r&d.csv").write_bytes(ROWS.encode("utf-16"))
    status, _, err = run("train r&d.csv --target label --model logistic -o m.fastgd")
    assert (status, "-t UTF-8 'r&d.csv' > utf8.csv" in err) == (1, True)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + ROWS.encode(),
        ROWS.replace("\n", "\r\n").encode(),
        ROWS.replace("\n", "\r").encode(),
        ROWS.encode().rstrip(b"\n"),
        b"\n\n" + ROWS.encode(),
        gzip.compress(ROWS.encode()[:60]) + gzip.compress(ROWS.encode()[60:]),
    ],
    ids=["bom", "crlf", "cr", "no newline", "blank lines", "two parts"],
)
def test_text_as_other_programs_write_it_is_read(content, run):
    name = "data.csv.gz" if content.startswith(b"\x1f\x8b") else "data.csv"
    Path(name).write_bytes(content)
    status, out, err = run(f"{TRAIN.replace('data.csv', name)} --show-columns")
    assert (status, err) == (0, "")
    assert out == "  a  number    float64\n  b  number    float64\n"


def test_tabs_can_be_named(run):
    Path("data.csv").write_text(ROWS.replace(",", "\t"))
    assert run([*TRAIN.split(), "--separator", "\\t"])[0] == 0


@pytest.mark.parametrize("separator", ["a", '"', "\n", "é", ";;"])
def test_separators_that_are_none_are_refused(separator, run):
    Path("data.csv").write_text(ROWS)
    assert "--separator" in refused(run, [*TRAIN.split(), "--separator", separator])


def test_lines_have_an_end(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"ab\n" + bytes(1000))
    with streams.opened(path) as file, pytest.raises(BadData, match="line 2: a line of more than"):
        list(streams.lines_of(file, path, most=100))


def test_folders_and_pipes_are_not_read(run):
    Path("data.csv").mkdir()
    assert refused(run, TRAIN) == "data.csv is a folder."
    if os.name == "posix":
        os.mkfifo("pipe.csv")
        said = refused(run, TRAIN.replace("data.csv", "pipe.csv"))
        assert said.startswith("pipe.csv is no file; rows are read more than once")


@NOT_ROOT
@pytest.mark.parametrize("name", ["data.csv", "data.npz", "data.svm", "data.parquet"])
def test_files_that_may_not_be_read_are_reported(name, run):
    Path(name).write_text(ROWS)
    os.chmod(name, 0)
    line = TRAIN.replace("data.csv", name)
    assert refused(run, line) == f"{name} cannot be read: Permission denied"


def test_names_that_are_almost_right_are_found():
    assert likeness("label", ["a", " label "]) == " Is ' label ' meant?"
    assert likeness("label", ["a", "b"]) == ""


# -- Parquet -----------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["", " --categorical x", " --numeric x"])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("list", "holds list<"),
        ("binary", "holds binary"),
        ("struct", "holds struct<"),
        ("time", "holds duration"),
        ("listed words", "holds dictionary<values=list<"),
    ],
)
def test_columns_of_neither_numbers_nor_words_are_reported(kind, said, option, run):
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = {
        "list": lambda: pa.array([[1], [2]] * 5),
        "binary": lambda: pa.array([b"\xff", b"a"] * 5),
        "struct": lambda: pa.array([{"b": 1}, {"b": 2}] * 5),
        "time": lambda: pa.array(np.arange(10).astype("m8[s]")),
        "listed words": lambda: pa.array([["a"], ["b"]] * 5),
    }[kind]()
    table = pa.table({"x": values, "a": np.arange(10.0), "label": ["no", "yes"] * 5})
    pq.write_table(table, "data.parquet")
    line = TRAIN.replace("data.csv", "data.parquet")
    if kind == "listed words":
        said = "holds list<"
    assert said in refused(run, line + option)
    assert run(f"{line} --drop x")[0] == 0
    pq.write_table(table.set_column(1, "a", table["x"]), "other.parquet")
    assert "holds" in refused(run, "predict out.fastgd other.parquet")


def test_parquet_of_all_kinds_of_numbers_and_words_is_read(run):
    import decimal

    import pyarrow as pa
    import pyarrow.parquet as pq

    n = 40
    columns = {
        "half": pa.array(np.arange(n, dtype=np.float16)),
        "small": pa.array(np.arange(n, dtype=np.uint8)),
        "large": pa.array(np.arange(n, dtype=np.uint64) + 2**63),
        "money": pa.array([decimal.Decimal(i) / 4 for i in range(n)]),
        "word": pa.array(["a", None, "b", "c"] * (n // 4)),
        "wide": pa.array(["a", None, "b", "c"] * (n // 4), pa.large_string()),
        "code": pa.array(["a", "b"] * (n // 2)).dictionary_encode(),
        "number": pa.array([3, 4] * (n // 2)).dictionary_encode(),
        "flag": pa.array([True, None] * (n // 2)),
        "none": pa.nulls(n),
        "label": pa.array(["no", "yes"] * (n // 2)),
    }
    pq.write_table(pa.table(columns), "data.parquet")
    line = TRAIN.replace("data.csv", "data.parquet").replace(" --quiet", "")
    status, out, err = run(f"{line} --show-columns --chunk-rows 7 --epochs 2")
    assert (status, err) == (0, "left out, because they are empty: none\n")
    kinds = dict(text.split()[:2] for text in out.splitlines() if text.startswith("  "))
    words = ("word", "wide", "code", "flag")
    assert [name for name, kind in kinds.items() if kind == "category"] == list(words)
    assert "word    category  string, 3: a, b, c" in out
    assert run("evaluate out.fastgd data.parquet")[0] == 0


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"])
def test_words_are_read_however_they_are_packed(encoding, run):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"a": np.arange(40.0), "w": ["x", None] * 20, "label": ["no", "yes"] * 20})
    packing = {"use_dictionary": False, "column_encoding": {"w": encoding, "label": encoding}}
    pq.write_table(table, "data.parquet", **packing)
    assert run(TRAIN.replace("data.csv", "data.parquet"))[0] == 0
    pq.write_table(table, "plain.parquet")
    predicted = [run(f"predict out.fastgd {name}.parquet --proba") for name in ("data", "plain")]
    assert predicted[0] == predicted[1]


def test_indices_of_words_that_lie_are_refused(run):
    """Arrow hands them out as they are: it is asked to look at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    words = rng.choice(["a", "b", "c"], 400)
    table = pa.table({"x": np.arange(400.0), "w": words, "label": rng.integers(0, 2, 400)})
    pq.write_table(table, "data.parquet", compression="none", data_page_version="2.0")
    content = Path("data.parquet").read_bytes()
    statuses = set()
    for _ in range(60):
        changed = bytearray(content)
        for place in rng.integers(4, len(content) - 1200, 3):
            changed[place] = rng.integers(256)
        Path("data.parquet").write_bytes(changed)
        status, _, err = run(TRAIN.replace("data.csv", "data.parquet") + " --set max_iter=2")
        assert "unexpected" not in err
        statuses.add(status)
    assert statuses <= {0, 1}


# -- what is asked for -------------------------------------------------------------------------


def test_callbacks_are_no_text(run):
    Path("data.csv").write_text(ROWS)
    said = refused(run, [*TRAIN.split(), "--set", "callbacks=['x']"], status=2)
    assert said.startswith("--set callbacks: those are objects of Python")


@pytest.mark.parametrize(
    "value", ["[]", "{}", "1j", "b'x'", "'\x1b'", "(" * 300, "1e999", "...", "-1"]
)
def test_values_that_no_parameter_has_are_reported(value, run):
    Path("data.csv").write_text(ROWS)
    status, _, err = run([*TRAIN.split(), "--set", f"max_iter={value}"])
    assert status in (1, 2)
    assert err.count("\n") == 1
    assert "unexpected" not in err


def test_an_amount_is_not_taken_for_classes(run):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=700), "amount": rng.permutation(700) % 600})
    frame.to_csv("data.csv", index=False)
    line = "train data.csv --target amount --model logistic --set max_iter=1 --quiet -o m.fastgd"
    said = refused(run, line)
    assert said.startswith(
        "data.csv: the target 'amount' holds 600 different numbers, and logistic"
    )
    assert "For numbers: linear, ridge" in said
    assert said.endswith("If they are classes: --categorical amount")
    status, _, err = run(f"{line} --categorical amount")
    assert status == 0
    assert err.startswith("fastgd train: warning: the target 'amount' holds 600 different words")


def test_few_classes_are_not_warned_of(run):
    Path("data.csv").write_text(ROWS)
    assert run(TRAIN) == (0, "", "")


def test_a_long_fit_is_seen(monkeypatch, capsys):
    said = []

    class Slow:
        callbacks = None
        estimator_ = None

        def fit(self):
            view = type("View", (), {"history": {"objective": [0.5]}, "n_targets": 2})()
            view.target, view.n_passes = 1, 7
            self.callbacks[0](view)
            end = time.monotonic() + 60.0
            while "".join(said).count("\n") < 2 and time.monotonic() < end:
                time.sleep(0.01)
                said.append(capsys.readouterr().err)

    monkeypatch.setattr(_showing, "PATIENCE", 0.05)
    model, started = Slow(), time.monotonic()
    with _showing.shown(model, "fastgd train", quiet=False):
        model.fit()
    pauses = (time.monotonic() - started) / 0.05
    assert model.callbacks is None
    lines = "".join([*said, capsys.readouterr().err]).splitlines()
    assert len(lines) >= 2
    assert pauses >= 2 ** len(lines) - 1, "each silence is twice the one before"
    expected = "fastgd train: fitting Slow for [0-9]+ s, target 2 of 2, 7 passes, objective 0.5"
    assert re.fullmatch(expected, lines[0])
    with _showing.shown(model, "fastgd train", quiet=True):
        assert model.callbacks is None


def test_a_fit_on_a_terminal_has_a_bar(run, monkeypatch):
    Path("data.csv").write_text(ROWS)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    status, _, err = run(TRAIN.replace(" --quiet", ""))
    assert status == 0
    assert "LogisticRegression" in err
    settings = json.loads(run("info out.fastgd --json")[1])["settings"]
    assert settings["callbacks"] == "None"


@pytest.mark.parametrize("model", ["logistic", "sgd-classifier", "logistic --chunk-rows 4"])
def test_no_rows_to_validate_by_is_reported(model, run):
    np.savez("data.npz", X=X, y=Y)
    np.savez("none.npz", X=X[:0], y=Y[:0])
    line = NPZ.replace("logistic", model)
    said = refused(run, f"{line} --validation none.npz")
    assert said == "none.npz has no rows to validate by."
    said = refused(run, f"{line} --validation 1e-9")
    assert said == "data.npz has no rows to validate by."
    assert not Path("out").exists()


@POSIX
def test_names_of_any_bytes_are_reported_or_written(matrix, run):
    assert len(matrix) == 50
    name = os.fsdecode(b"\xff\n\x1b[1m")
    assert run(["predict", "m.fastgd", "data.npz", "-o", name])[0] == 0
    assert Path(name).exists()
    Path(f"{name}.csv").write_text(ROWS)
    said = refused(run, ["predict", "m.fastgd", f"{name}.csv"])
    assert "its name is not UTF-8" in said
    assert "there is a NUL in its name" in refused(
        run, ["predict", "m.fastgd", "data.npz", "-o", "\0"]
    )


@pytest.mark.filterwarnings("error::pandas.errors.PerformanceWarning")
def test_wide_tables_cost_as_much_as_they_have_columns(run):
    """Columns put into a frame one by one took sixteen times as much for four times the columns.

    Calls are counted, not seconds; of a frame that is copied for each column pandas warns.
    """

    def calls(width):
        names = [f"c{i}" for i in range(width)]
        frame = pd.DataFrame(np.random.default_rng(0).normal(size=(6, width)), columns=names)
        frame["label"] = ["no", "yes"] * 3
        frame.to_csv("data.csv", index=False)
        count = itertools.count()
        sys.setprofile(lambda *_: next(count))
        try:
            assert run(TRAIN)[0] == 0
            assert run("predict out.fastgd data.csv -o p.csv --quiet")[0] == 0
        finally:
            sys.setprofile(None)
        return next(count)

    calls(10)  # compiles
    assert calls(4000) < 5 * calls(1000)


@pytest.mark.usefixtures("matrix")
def test_errors_of_readers_have_a_type_of_their_own(run):
    from fastgd._readers.opening import open_reader
    from fastgd._readers.reader import Format

    assert issubclass(TooLarge, BadData)
    assert not issubclass(Misuse, BadData)
    with pytest.raises(BadData, match="there is no file"):
        open_reader(Path("missing.csv"))
    Path("data.csv").write_text("a,b\n1\n")
    reader = open_reader(Path("data.csv"), Format())
    with pytest.raises(BadData, match="line 2 has 1 field"):
        reader.size()
    assert run("info m.fastgd")[0] == 0


def test_a_warning_of_many_classes_names_what_they_are(capsys):
    session = object.__new__(_train.Session)
    session.layout = SimpleNamespace(target=None)
    session._args = SimpleNamespace(command="train", model="logistic")
    session.summary = SimpleNamespace(classes=dict.fromkeys(map(str, range(200)), 1), n_rows=300)
    session._warn_of_many_classes(are_numbers=False)
    assert "the target holds 200 different words in 300 rows" in capsys.readouterr().err
