"""Damaged files: whatever a file holds, the command line reports it in a line.

Valid files of each kind are changed by a seeded random generator: cut, flipped bit by bit, given
headers that lie, packed anew with members that were exchanged. Each is then trained on, predicted
from, evaluated or described, in a process of its own for many, so that a crash is seen, too.

    python tests/cli/test_cli_mutations.py SEED COUNT FOLDER

runs COUNT mutations from SEED on, and prints what is wrong with them.
"""

import contextlib
import faulthandler
import gzip
import io
import json
import resource
import struct
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

SECONDS = 200  # that a call may take on a machine that is busy
MOST_LINES, MOST_CHARACTERS = 4, 2000
MOST_MEMORY = 2 << 30

# -- valid files -------------------------------------------------------------------------------


def numbers(rng, n_rows=40):
    X = rng.normal(size=(n_rows, 4)) * (rng.random((n_rows, 4)) < 0.7)
    return X, (X[:, 0] + 0.1 * rng.normal(size=n_rows) > 0).astype(int)


def as_frame(rng):
    import pandas as pd

    X, y = numbers(rng)
    words = pd.Series(rng.choice(["red", "green", "blue, dark"], len(y)), dtype=object)
    words[3] = None
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "n": rng.integers(0, 9, len(y))})
    frame["color"], frame["flag"], frame["y"] = words, X[:, 2] > 0, y
    frame.loc[5, "a"] = np.nan
    return frame


def write_table(folder, rng):
    as_frame(rng).to_csv(folder / "table.csv", index=False)
    as_frame(rng).to_csv(folder / "packed.csv.gz", index=False)
    as_frame(rng).to_parquet(folder / "table.parquet", index=False)
    frame = as_frame(rng)
    frame["color"] = frame["color"].astype("category")
    frame.to_parquet(folder / "other.parquet", index=False, compression="gzip")


def write_words(folder, rng):
    import pandas as pd

    frame = as_frame(rng)
    days = pd.to_timedelta(rng.integers(0, 90_000, len(frame)), unit="h")
    frame["when"] = pd.Timestamp("2020-01-01") + days
    frame["t"] = rng.choice(["a good film", "a bad film", "no film"], len(frame))
    frame.to_csv(folder / "words.csv", index=False)
    frame.to_parquet(folder / "words.parquet", index=False)


def write_matrices(folder, rng):
    import pyarrow
    import scipy.sparse as sp
    from sklearn.datasets import dump_svmlight_file

    X, y = numbers(rng)
    np.savez(folder / "dense.npz", X=X, y=y)
    np.savez_compressed(folder / "packed.npz", X=X.astype(np.float32), y=y)
    csr = sp.csr_matrix(X)
    arrays = {name: getattr(csr, name) for name in ("data", "indices", "indptr", "shape")}
    np.savez(folder / "sparse.npz", **arrays, y=y)
    np.savez_compressed(folder / "sparse2.npz", **arrays, y=y)
    dump_svmlight_file(X, y, str(folder / "rows.svm"), zero_based=False)
    text = (folder / "rows.svm").read_bytes()
    (folder / "rows.svm.gz").write_bytes(gzip.compress(text))
    lines = [
        f"{y} 1.0 'tag|n a:{x[0]:.6f} b:{x[1]:.4f} |m {int(9 * abs(x[2]))}"
        for x, y in zip(X, y, strict=True)
    ]
    text = ("\n".join(lines) + "\n").encode()
    (folder / "rows.vw").write_bytes(text)
    (folder / "rows.vw.zst").write_bytes(pyarrow.compress(text, "zstd", asbytes=True))


TARGETS = {"table": "y", "words": "y", "matrix": None, "hashed": None}
DATA = {
    "table": ("table.csv", "packed.csv.gz", "table.parquet", "other.parquet"),
    "matrix": ("dense.npz", "packed.npz", "sparse.npz", "sparse2.npz", "rows.svm", "rows.svm.gz"),
    "hashed": ("rows.vw", "rows.vw.zst"),
    "words": ("words.csv", "words.parquet"),
}


def write_models(folder):
    for name, data, words in (
        ("table.fastgd", "table.csv", "--target y --model logistic"),
        ("chunks.fastgd", "table.csv", "--target y --model ridge --chunk-rows 20 --epochs 2"),
        ("matrix.fastgd", "dense.npz", "--model logistic"),
        ("words.fastgd", "words.csv", "--target y --model logistic --text t"),
        ("hashed.fastgd", "rows.vw", "--model logistic --bits 9"),
    ):
        line = f"train {folder / data} {words} --quiet -o {folder / name}"
        assert called(line.split())[0] == 0


MODELS = {
    "table": ("table.fastgd", "chunks.fastgd"),
    "matrix": ("matrix.fastgd",),
    "hashed": ("hashed.fastgd",),
    "words": ("words.fastgd",),
}

# -- mutations of bytes ------------------------------------------------------------------------


def cut(data, rng):
    return data[: rng.integers(0, len(data) + 1)]


def flip(data, rng):
    changed = bytearray(data)
    for place in rng.integers(0, max(len(data), 1), rng.integers(1, 9)):
        if len(data) > 0:
            changed[place] ^= 1 << rng.integers(8)
    return bytes(changed)


def overwrite(data, rng):
    first = rng.integers(0, len(data) + 1)
    length = int(rng.choice([1, 2, 4, 8, 64]))
    fill = rng.choice(["zero", "one", "random"])
    new = {"zero": bytes(length), "one": b"\xff" * length, "random": rng.bytes(length)}[fill]
    return data[:first] + new + data[first + length :]


def insert(data, rng):
    first = rng.integers(0, len(data) + 1)
    bits = (
        b"\x00",
        b'"',
        b",",
        b"\n",
        b"\r",
        b"\x1b[2J",
        b"\xff\xfe",
        b"1e999",
        b"-1",
        b":",
        b"9" * 30,
    )
    new = bits[rng.integers(len(bits))]
    return data[:first] + new + data[first:]


def repeat(data, rng):
    first, last = sorted(rng.integers(0, len(data) + 1, 2))
    return data[:last] + data[first:last] * int(rng.integers(1, 4)) + data[last:]


def drop(data, rng):
    first, last = sorted(rng.integers(0, len(data) + 1, 2))
    return data[:first] + data[last:]


def integer(data, rng):
    """Write an extreme number, of the width that headers have."""
    code = str(rng.choice(["<H", "<I", "<Q"]))
    value = int(rng.choice([0, 1, -1, 2**15])) % (1 << (8 * struct.calcsize(code)))
    first = rng.integers(0, len(data) + 1)
    return data[:first] + struct.pack(code, value) + data[first + struct.calcsize(code) :]


def word(data, rng):
    """Put something else in the place of a number in a text."""
    import re

    spans = [match.span() for match in re.finditer(rb"[0-9.]+", data)]
    if not spans:
        return data
    first, last = spans[rng.integers(len(spans))]
    words = (b"", b"nan", b"inf", b"-1", b"1,5", b"x", b"1e400", b"2147483647", b"9" * 25, b"'\x9b")
    return data[:first] + words[rng.integers(len(words))] + data[last:]


BYTES = (cut, flip, overwrite, insert, repeat, drop, integer, word)


def of_bytes(data, rng):
    for _ in range(rng.integers(1, 3)):
        data = BYTES[rng.integers(len(BYTES))](data, rng)
    return data


# -- mutations of what is packed ---------------------------------------------------------------


def of_gzip(data, rng):
    return gzip.compress(of_bytes(gzip.decompress(data), rng))


def unzipped(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts, rng, methods=(zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in parts:
            with warnings.catch_warnings(action="ignore"):  # of names that are there twice
                archive.writestr(name, content, compress_type=int(rng.choice(methods)))
    return memory.getvalue()


def swap_members(data, rng):
    parts = unzipped(data)
    names = list(parts)
    one, other = (names[index] for index in rng.integers(len(names), size=2))
    parts[one], parts[other] = parts[other], parts[one]
    return zipped(parts.items(), rng)


def rename_members(data, rng):
    parts = list(unzipped(data).items())
    place = rng.integers(len(parts))
    name = str(rng.choice(["X.npy", "y.npy", "card.json", "indices.npy", "../x", "\x1b[31m", "/"]))
    parts[place] = (name, parts[place][1])
    if rng.random() < 0.3:
        del parts[rng.integers(len(parts))]
    return zipped(parts, rng)


def repack(data, rng):
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    return zipped(unzipped(data).items(), rng, methods)


def encrypt(data, rng):
    """Set the flag that a member is encrypted, or another one."""
    flag = int(rng.choice([1, 8, 32, 64, 0x800]))
    changed = bytearray(data)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(mark)
        if place >= 0:
            changed[place + offset] |= flag & 0xFF
            changed[place + offset + 1] |= flag >> 8
    return bytes(changed)


def change_member(data, rng):
    """Change a member, and pack it with the right checksum."""
    parts = unzipped(data)
    name = str(rng.choice(list(parts)))
    change = of_zip if zipfile.is_zipfile(io.BytesIO(parts[name])) else of_member
    parts[name] = change(parts[name], rng)
    return zipped(parts.items(), rng)


def of_member(content, rng):
    kinds = [of_bytes]
    if content.startswith(b"\x93NUMPY"):
        kinds += [lie_of_shape, lie_of_values] * 2
    elif content[:1] in b"[{":
        kinds += [lie_in_json] * 3
    return kinds[rng.integers(len(kinds))](content, rng)


def lie_of_shape(content, rng):
    array = np.load(io.BytesIO(content), allow_pickle=False)
    shapes = [(), (0,), (1 << 62,), (-1,), (1 << 31, 1 << 31), (*array.shape, 1), array.shape[::-1]]
    descr = str(
        rng.choice(["<f8", ">f8", "<f2", "|O", "<c16", "<M8[s]", "|V0", "<U3", "|S0", "<i8"])
    )
    header = {"descr": descr, "fortran_order": bool(rng.random() < 0.5), "shape": array.shape}
    if rng.random() < 0.5:
        header["shape"] = shapes[rng.integers(len(shapes))]
    memory = io.BytesIO()
    np.lib.format.write_array_header_1_0(memory, header)
    return memory.getvalue() + array.tobytes()


def lie_of_values(content, rng):
    array = np.atleast_1d(np.load(io.BytesIO(content), allow_pickle=False)).copy()
    if array.size == 0 or array.dtype.kind not in "iuf":
        return content
    extremes = [0, 1, -1, 10**6] + (
        [np.nan, np.inf, 1e300] if array.dtype.kind == "f" else [2**31 - 1]
    )
    places = rng.integers(array.size, size=rng.integers(1, 4))
    with np.errstate(all="ignore"):
        array.flat[places] = np.array(extremes)[rng.integers(len(extremes))].astype(array.dtype)
    if rng.random() < 0.3:
        array = np.concatenate([array, array[:1]])
    memory = io.BytesIO()
    np.save(memory, array)
    return memory.getvalue()


VALUES = (
    None,
    True,
    -1,
    0,
    1 << 70,
    1.5,
    "x",
    "\x1b]0;x\x07",
    [],
    {},
    [[]],
    "numpy.ndarray",
    ["a"],
)


def lie_in_json(content, rng):
    tree = json.loads(content)
    nodes, waiting = [], [tree]
    while waiting:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node))
        nodes += [(node, key) for key in keys]
        waiting += [node[key] for key in keys if isinstance(node[key], dict | list)]
    node, key = nodes[rng.integers(len(nodes))]
    if rng.random() < 0.3:
        del node[key]
    else:
        other, place = nodes[rng.integers(len(nodes))]
        choice = rng.integers(len(VALUES) + 3)
        node[key] = VALUES[choice] if choice < len(VALUES) else json.loads(json.dumps(other[place]))
    return json.dumps(tree).encode()


ZIPS = (swap_members, rename_members, repack, encrypt, change_member, change_member, change_member)


def of_zip(data, rng):
    return ZIPS[rng.integers(len(ZIPS))](data, rng)


def mutated(name, data, rng):
    kinds = [of_bytes]
    if name.endswith(".gz"):
        kinds += [of_gzip] * 2
    elif data.startswith(b"PK"):
        kinds += [of_zip] * 3
    return kinds[rng.integers(len(kinds))](data, rng)


# -- calls -------------------------------------------------------------------------------------


def called(words):
    """Call the command in this process; return its status, and what it printed."""
    from fastgd import cli

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
    return status, out.getvalue(), err.getvalue()


def call(folder, mutation):
    """Return the words of a call on a file that was changed."""
    rng = np.random.default_rng(mutation)
    form = str(rng.choice(list(DATA)))
    data, model = str(rng.choice(DATA[form])), str(rng.choice(MODELS[form]))
    victim = data if rng.random() < 0.7 else model
    changed = folder / "changed" / victim
    changed.write_bytes(mutated(victim, (folder / victim).read_bytes(), rng))
    at = {victim: changed}
    data, model = at.get(data, folder / data), at.get(model, folder / model)
    output = folder / "changed" / "output"
    if victim != model.name or model != changed:
        command = str(rng.choice(["train", "train", "predict", "evaluate"]))
    else:
        command = str(rng.choice(["predict", "evaluate", "info", "inspect", "report"]))
    chunks = ["--chunk-rows", int(rng.choice([1, 7]))] if rng.random() < 0.3 else []
    if command == "train":
        target = [] if TARGETS[form] is None else ["--target", TARGETS[form]]
        kind = str(rng.choice(["logistic", "ridge"]))
        few = ["--epochs", 1] if chunks else ["--set", "max_iter=5"]
        return ["train", data, *target, "--model", kind, *chunks, *few, "-o", output], changed
    if command == "predict":
        proba = ["--proba"] if rng.random() < 0.3 else []
        return ["predict", model, data, *chunks, *proba, "-o", output], changed
    if command == "report":
        return ["report", model, "-o", output], changed
    if command == "inspect":
        return ["inspect", model, *(["--json"] if rng.random() < 0.3 else [])], changed
    if command == "info":
        return ["info", model, *(["--json"] if rng.random() < 0.3 else [])], changed
    return ["evaluate", model, data, *chunks], changed


def faults(words, changed):
    """Make a call; return what is wrong with it."""
    status, out, err = called(words)
    output = changed.with_name("output")
    found = []
    if status not in (0, 1, 2):
        found.append(f"status {status}")
    if "Traceback" in err or "unexpected" in err:
        found.append("an error that nobody expected")
    if len(err.splitlines()) > MOST_LINES or len(err) > MOST_CHARACTERS:
        found.append(f"{len(err.splitlines())} lines of {len(err)} characters")
    if any(not line.isprintable() for line in (*out.splitlines(), *err.splitlines())):
        found.append("control characters")
    if (status == 0) != output.exists() and words[0] in ("train", "predict", "report"):
        found.append("an output that was left, or is missing")
    left = {path.name for path in changed.parent.iterdir()} - {changed.name, "output"}
    if left:
        found.append(f"files left: {left}")
    for path in changed.parent.iterdir():
        path.unlink()
    return [f"{what}\n  {' '.join(map(str, words))}\n  {err[:1500]}" for what in found]


def run(first, count, folder):
    """Make calls; return the number of faults, which are printed."""
    rng = np.random.default_rng(0)
    (folder / "changed").mkdir(parents=True, exist_ok=True)
    write_table(folder, rng)
    write_words(folder, rng)
    write_matrices(folder, rng)
    write_models(folder)
    n_faults = 0
    for mutation in range(first, first + count):
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        (folder / "last").write_text(str(mutation))
        words, changed = call(folder, mutation)
        for fault in faults(words, changed):
            n_faults += 1
            print(f"mutation {mutation}: {fault}", flush=True)
    faulthandler.cancel_dump_traceback_later()
    memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if memory > MOST_MEMORY:
        n_faults += 1
        print(f"{memory:,} bytes of memory were taken")
    return n_faults


def in_a_process(first, count, folder):
    command = [sys.executable, "-X", "faulthandler", __file__, str(first), str(count), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    last = (folder / "last").read_text()
    assert done.returncode == 0, f"mutation {last}:\n{done.stdout}\n{done.stderr[-3000:]}"


def test_damaged_files_are_reported(tmp_path):
    in_a_process(0, 60, tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize("first", range(1000, 5000, 500))
def test_many_damaged_files_are_reported(first, tmp_path):
    in_a_process(first, 500, tmp_path)


if __name__ == "__main__":
    sys.exit(min(run(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])), 100))
