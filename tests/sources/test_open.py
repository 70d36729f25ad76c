"""``fastgd.datasets.open``: the same rows from whatever holds them, and clear errors."""

import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from fastgd import LogisticRegression
from fastgd._data.shards import ahead
from fastgd._readers.limits import Limits
from fastgd._readers.opening import open_reader
from fastgd._readers.reader import Format
from fastgd.datasets import open as open_rows

N, D = 230, 4
NAMES = [f"c{j}" for j in range(D)]


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(0)
    X = random.normal(size=(N, D)).astype(np.float32)
    return X, (X[:, 0] + random.normal(size=N) > 0).astype(np.int64)


@pytest.fixture(scope="module")
def frame(rows):
    return pd.DataFrame(rows[0], columns=NAMES).assign(label=rows[1])


def read(source):
    parts = list(source)
    X = [part.toarray() if sp.issparse(part) else part for part, _ in parts]
    return np.concatenate(X), np.concatenate([y for _, y in parts])


def written(kind, folder, rows, frame):
    X, y = rows
    if kind == "parquet":
        frame.to_parquet(folder / "rows.parquet")
        return open_rows(folder / "rows.parquet", target="label", chunk_rows=50)
    if kind == "several":
        for k in range(3):
            frame[k * 100 : (k + 1) * 100].to_parquet(folder / f"part-{k}.parquet")
        return open_rows(str(folder / "part-*.parquet"), target="label", chunk_rows=40)
    if kind == "folder":
        for k in range(3):
            frame[k * 100 : (k + 1) * 100].to_csv(folder / f"part-{k}.csv.gz", index=False)
        return open_rows(folder, target="label", chunk_rows=40, dtype=np.float32)
    if kind == "npz":
        np.savez(folder / "rows.npz", X=X, y=y)
        return open_rows(folder / "rows.npz", chunk_rows=50)
    if kind == "csr":
        stored = sp.csr_matrix(X)
        parts = {name: getattr(stored, name) for name in ("data", "indices", "indptr", "shape")}
        np.savez(folder / "rows.npz", y=y, **parts)
        return open_rows(folder / "rows.npz", chunk_rows=50)
    if kind == "npy":
        np.save(folder / "X.npy", X)
        np.save(folder / "y.npy", y)
        return open_rows(folder / "X.npy", target=folder / "y.npy", chunk_rows=50)
    if kind == "svmlight":
        from sklearn.datasets import dump_svmlight_file

        dump_svmlight_file(X, y, str(folder / "rows.svm"))
        return open_rows(folder / "rows.svm", chunk_rows=50, dtype=np.float32)
    if kind == "batches":
        return open_rows([(X[k : k + 50], y[k : k + 50]) for k in range(0, N, 50)])
    if kind == "function":
        return open_rows(lambda: ((X[k : k + 50], y[k : k + 50]) for k in range(0, N, 50)))
    if kind == "arrow":
        import pyarrow.dataset as arrow_datasets

        frame.to_parquet(folder / "rows.parquet")
        dataset = arrow_datasets.dataset(folder / "rows.parquet")
        return open_rows(dataset, target="label", chunk_rows=50)
    if kind == "items":
        return open_rows(Items(X, y), chunk_rows=50)
    return open_rows(rows, chunk_rows=50)


class Items:
    """A map-style data set, as PyTorch's."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, k):
        return self.X[k], self.y[k]


KINDS = ["arrays", "parquet", "several", "folder", "npz", "csr", "npy", "svmlight", "batches"]
KINDS += ["function", "arrow", "items"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rows_from_whatever_holds_them(kind, tmp_path, rows, frame):
    source = written(kind, tmp_path, rows, frame)
    for _ in range(2):  # each time anew
        X, y = read(source)
        np.testing.assert_allclose(X, rows[0], rtol=1e-6)
        np.testing.assert_array_equal(y, rows[1])
        assert X.dtype == np.float32
    assert source.n_rows == N
    assert source.n_chunks > 1
    np.testing.assert_array_equal(source.targets(), rows[1])


def test_lazy_frames_of_polars(rows, frame):
    polars = pytest.importorskip("polars")
    source = open_rows(polars.from_pandas(frame).lazy(), target="label", chunk_rows=50)
    X, y = read(source)
    np.testing.assert_allclose(X, rows[0])
    np.testing.assert_array_equal(y, rows[1])
    assert list(source.feature_names) == NAMES


def test_columns_are_chosen_by_name(tmp_path, frame):
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path)
    chosen = open_rows(path, target="label", columns=["c2", "c0"])
    assert set(chosen.feature_names) == {"c0", "c2"}
    assert list(open_rows(path, target="label", drop=["c1"]).feature_names) == ["c0", "c2", "c3"]


def test_filters_leave_rows_out(tmp_path, frame):
    import pyarrow.dataset as arrow_datasets

    path = tmp_path / "rows.parquet"
    frame.to_parquet(path)
    positive = open_rows(path, target="label", filters=arrow_datasets.field("c0") > 0)
    assert positive.n_rows == int((frame["c0"] > 0).sum())


def test_a_pyarrow_data_set_is_read_in_slices_as_arrow_reads_it(tmp_path, frame):
    import pyarrow.dataset as arrow_datasets

    frame = frame.assign(part=np.arange(len(frame)) % 3, c0=frame["c0"].round(2))
    for part, rows in frame.groupby("part"):
        (tmp_path / f"part={part}").mkdir()
        path = tmp_path / f"part={part}" / "rows.parquet"
        kept = rows.drop(columns=["part", *(["c3"] if part == 2 else [])])
        kept.to_parquet(path, row_group_size=20, index=False)
    field = arrow_datasets.field
    for filters in (None, field("c1") > 0, (field("part") == 1) & (field("c0") < 0.5)):
        found = arrow_datasets.dataset(tmp_path, partitioning="hive", format="parquet")
        wanted = found.to_table(columns=["c0", "c2", "part", "label"], filter=filters)
        source = open_rows(
            found, target="label", columns=["c0", "c2", "part"], filters=filters, chunk_rows=7
        )
        X, y = read(source)
        expected = np.column_stack([wanted[name].to_numpy() for name in ("c0", "c2", "part")])
        np.testing.assert_array_equal(X, expected)
        np.testing.assert_array_equal(y, wanted["label"].to_numpy())
        assert max(source.sizes) <= 7


def test_a_data_set_that_was_filtered_stays_so(tmp_path, frame):
    import pyarrow.dataset as arrow_datasets

    frame.to_parquet(tmp_path / "rows.parquet")
    positive = arrow_datasets.dataset(tmp_path).filter(arrow_datasets.field("c0") > 0)
    assert open_rows(positive, target="label").n_rows == int((frame["c0"] > 0).sum())


def test_categories_become_columns_and_missing_numbers_means(tmp_path, frame):
    path = tmp_path / "rows.csv"
    mixed = frame.assign(color=np.array(["red", "blue"])[frame["label"]])
    mixed.loc[3, "c1"] = np.nan
    mixed.to_csv(path, index=False)
    source = open_rows(path, target="label", missing="mean", chunk_rows=60)
    assert list(source.feature_names) == [*NAMES, "color_blue", "color_red"]
    X, _ = read(source)
    np.testing.assert_allclose(X[3, 1], np.nanmean(mixed["c1"]), rtol=1e-6)
    np.testing.assert_array_equal(X[:, -1], mixed["color"] == "red")


def test_split_gives_each_row_to_one_part(rows):
    kept, held_out = open_rows(rows, chunk_rows=50).split(0.3, random_state=1)
    X = np.concatenate([read(kept)[0], read(held_out)[0]])
    order = np.lexsort(X.T), np.lexsort(rows[0].T)
    np.testing.assert_array_equal(X[order[0]], rows[0][order[1]])
    assert 0.2 < held_out.n_rows / N < 0.4
    again = open_rows(rows, chunk_rows=50).split(0.3, random_state=1)[1]
    np.testing.assert_array_equal(read(held_out)[0], read(again)[0])
    with pytest.raises(ValueError, match="fraction must be between 0 and 1, got 2"):
        kept.split(2)


def test_what_cannot_be_opened_says_why(tmp_path, rows, frame):
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    refused = {
        "there is no file": lambda: open_rows(tmp_path / "none.csv"),
        "holds no file": lambda: open_rows(_made(tmp_path / "empty")),
        "Is 'label' meant": lambda: open_rows(path, target="lable"),
        "no column 'x'": lambda: open_rows(path, target="label", columns=["x"]),
        "drop must be a list": lambda: open_rows(path, target="label", drop="c0"),
        "target must be the name": lambda: open_rows(path, target=3),
        "chunk_rows must be": lambda: open_rows(path, chunk_rows=0),
        "missing must be 'error' or 'mean'": lambda: open_rows(path, missing="no"),
        "errors must be": lambda: open_rows(path, errors="ignore"),
        "dtype must be": lambda: open_rows(path, dtype=int),
        "must be a size": lambda: open_rows(path, memory="lots"),
        "X has 230 rows, and y 3": lambda: open_rows((rows[0], rows[1][:3])),
        "can be iterated once": lambda: open_rows(iter([rows])),
        "filters are for Parquet": lambda: open_rows(path, filters=1),
    }
    for said, opened in refused.items():
        with pytest.raises(ValueError, match=said):
            opened()
    with pytest.raises(ValueError, match="y must be None where X is a RowSource"):
        LogisticRegression().fit(open_rows(rows), rows[1])
    with pytest.raises(ValueError, match="no targets"):
        open_rows((rows[0], None)).targets()


def test_frames_lists_and_other_objects(rows, frame):
    X, y = rows
    arrow = pytest.importorskip("pyarrow")
    cuts = range(0, N, 50)
    sources = {
        "frame": open_rows(frame, target="label", chunk_rows=50),
        "chosen": open_rows(frame, target="label", columns=NAMES, chunk_rows=50),
        "pair": open_rows((frame[NAMES], frame["label"]), chunk_rows=50),
        "frames": open_rows([(frame[NAMES][k : k + 50], frame["label"][k : k + 50]) for k in cuts]),
        "table": open_rows(arrow.Table.from_pandas(frame), target="label", chunk_rows=50),
        "lists": open_rows([(X[k : k + 50].tolist(), y[k : k + 50].tolist()) for k in cuts]),
        "coo": open_rows([(sp.coo_matrix(X[k : k + 50]), y[k : k + 50]) for k in cuts]),
        "array": open_rows(X, target=y, chunk_rows=50),
    }
    for name, source in sources.items():
        kept, held_out = source.split(0.5)
        np.testing.assert_array_equal(read(source)[1], y, err_msg=name)
        np.testing.assert_array_equal(read(source)[0], X, err_msg=name)
        assert kept.n_rows + held_out.n_rows == N
        is_named = name not in ("lists", "coo", "array")
        assert (source.feature_names is not None) == is_named, name
    assert read(open_rows(rows, dtype=np.float64))[0].dtype == np.float64
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LogisticRegression().fit(sources["frames"])
        np.testing.assert_array_equal(model.predict(sources["frames"]), model.predict(frame[NAMES]))


def test_arguments_that_would_not_be_heeded_are_refused(rows, frame):
    refused = {
        "target is for columns with names, got a source of tuple": (rows, {"target": "label"}),
        "columns is for columns with names": ([rows], {"columns": ["c0"]}),
        "categorical is for files": (frame, {"target": "label", "categorical": ["c0"]}),
        "missing is for files": (rows, {"missing": "mean"}),
        "filters is for Parquet files": (rows, {"filters": 1}),
        "source must be files, .*, got int": (3, {}),
        "source must be files, .*, got dict": ({"c0": [1]}, {}),
        "must return an iterable of batches .*, it returned int": (lambda: 3, {}),
        "a batch must be a pair .*, got ndarray": ([rows[0], rows[1]], {}),
        "chunk_rows must be": (rows, {"chunk_rows": True}),
        "memory must be": (rows, {"memory": -1}),
    }
    for said, (source, options) in refused.items():
        with pytest.raises(ValueError, match=said):
            open_rows(source, **options)
    assert open_rows(rows, chunk_rows=np.int64(50)).n_chunks == 5


def _made(folder):
    folder.mkdir()
    return folder


@pytest.mark.parametrize("how", ["read", "filtered", "dataset"])
def test_a_page_that_differs_from_its_checksum_is_named(how, tmp_path, rng):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    arrow_datasets = pytest.importorskip("pyarrow.dataset")
    table = pyarrow.table({"x": rng.normal(size=600), "y": rng.integers(0, 2, 600)})
    given = {"row_group_size": 200, "compression": "none", "use_dictionary": False}
    for k in range(2):
        path = tmp_path / f"part-{k}.parquet"
        parquet.write_table(table, path, write_page_checksum=True, **given)
    content = bytearray(path.read_bytes())
    at = content.index(table["x"].to_numpy()[300].tobytes())
    content[at] ^= 1  # another number, which only the checksum tells
    path.write_bytes(content)
    source, more = tmp_path, {}
    if how == "filtered":
        more = {"filters": arrow_datasets.field("y") >= 0}
    elif how == "dataset":
        source = arrow_datasets.dataset(tmp_path)
    place = "part-1.parquet, from row 201 on: .*CRC" if how == "read" else "part-1.parquet.*CRC"
    model = LogisticRegression()
    with pytest.raises(ValueError, match=place):
        model.fit(open_rows(source, target="y", chunk_rows=100, **more))
    assert not hasattr(model, "coef_")
    if how == "read":
        rest = open_rows(tmp_path, target="y", chunk_rows=100, errors="skip")
        with pytest.warns(UserWarning, match="left out.*part-1"):
            model.fit(rest)
        assert len(rest.skipped) == 1
        y = rest.targets()
        left = np.r_[0:600, 0 : y.shape[0] - 600]
        X, given = table["x"].to_numpy()[:, None], table["y"].to_numpy()
        np.testing.assert_array_equal(y, given[left])
        whole = LogisticRegression().fit(X[left], given[left])
        np.testing.assert_allclose(model.coef_, whole.coef_, rtol=1e-5)


def test_a_pair_of_npy_files_is_mapped(tmp_path, rng):
    X, y = rng.normal(size=(300, 3)), rng.integers(0, 2, 300)
    for name, array in (("X", X), ("y", y)):
        np.save(tmp_path / f"{name}.npy", array)
    names = tmp_path / "X.npy", str(tmp_path / "y.npy")
    whole = LogisticRegression().fit(open_rows((X, y), chunk_rows=70))
    for pair in (names, (names[0], y)):
        rows = open_rows(pair, chunk_rows=70)
        np.testing.assert_array_equal(LogisticRegression().fit(rows).coef_, whole.coef_)
    (tmp_path / "X.npy").write_bytes((tmp_path / "X.npy").read_bytes()[:2000])
    sp.save_npz(tmp_path / "X.npz", sp.csr_matrix(X))
    with pytest.raises(ValueError, match=r"X\.npz holds several arrays"):
        open_rows((tmp_path / "X.npz", y))
    with pytest.raises(ValueError, match=r"X\.npy cannot be mapped"):
        open_rows(names)


def test_a_damaged_file_is_named_or_left_out(tmp_path, frame):
    for k in range(3):
        frame[k * 80 : (k + 1) * 80].to_csv(tmp_path / f"part-{k}.csv", index=False)
    bad = tmp_path / "part-1.csv"
    bad.write_text(bad.read_text().replace("\n", "\nspoiled,", 30))
    with pytest.raises(ValueError, match=r"part-1\.csv, line 2 has 6 fields"):
        read(open_rows(tmp_path, target="label", chunk_rows=30))
    source = open_rows(tmp_path, target="label", chunk_rows=30, errors="skip")
    with pytest.warns(UserWarning, match="left out: .*part-1"):
        _, y = read(source)
    assert len(source.skipped) == 1
    np.testing.assert_array_equal(y, np.concatenate([frame["label"][:80], frame["label"][160:]]))


def as_file(kind, path, frame):
    """Write rows of two numbers and a target; return the path."""
    if kind in ("csv", "csv.gz"):
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    elif kind == "npz":
        np.savez(path, X=frame[["a", "b"]].to_numpy(), y=frame["y"].to_numpy())
    else:
        line = "{} 0:{} 1:{}\n" if kind == "svm" else "{} | a:{} b:{}\n"
        path.write_text("".join(line.format(y, a, b) for a, b, y in frame.to_numpy().tolist()))
    return str(path)


FILES = ["csv", "csv.gz", "parquet", "npz", "svm", "vw"]


@pytest.fixture
def numbers(rng):
    return pd.DataFrame(rng.normal(size=(9, 3)), columns=["a", "b", "y"])


@pytest.mark.parametrize("kind", FILES)
def test_a_file_without_rows_may_lie_anywhere_among_others(kind, tmp_path, numbers):
    named = {} if kind in ("npz", "svm", "vw") else {"target": "y"}
    empty = as_file(kind, tmp_path / f"empty.{kind}", numbers[:0])
    full = as_file(kind, tmp_path / f"full.{kind}", numbers)
    alone = read(open_rows(full, **named))
    for files in ([empty, full], [full, empty], [empty, full, empty]):
        for found, expected in zip(read(open_rows(files, **named)), alone, strict=True):
            np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match=r"no rows|is empty"):
        LogisticRegression().fit(open_rows([empty, empty], **named))


def test_words_are_categories_though_the_first_file_has_none(tmp_path, numbers):
    words = numbers.assign(a=list("xyzxyzxyz"))
    words[:0].assign(a=pd.Series([], dtype=object)).to_parquet(tmp_path / "0.parquet")
    words.to_parquet(tmp_path / "1.parquet")
    X, _ = read(open_rows(tmp_path, target="y"))
    np.testing.assert_array_equal(X[:, 1:], np.tile(np.eye(3), (3, 1)))


@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_is_left_out_where_it_comes_first(kind, tmp_path, numbers):
    named = {} if kind in ("npz", "svm", "vw") else {"target": "y"}
    bad, good = tmp_path / f"0.{kind}", as_file(kind, tmp_path / f"1.{kind}", numbers)
    bad.write_bytes(b"\xff\n\xff")
    with pytest.raises(ValueError, match=bad.name):
        read(open_rows([str(bad), good], **named))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        source = open_rows([str(bad), good], errors="skip", **named)
        X, _ = read(source)
    assert bad.name in str(said[0].message)
    assert len(source.skipped) == 1
    np.testing.assert_array_equal(X, read(open_rows(good, **named))[0])


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("kind", ["parquet", "npz"])
def test_types_are_those_that_hold_the_numbers_of_all_files(kind, order, tmp_path, numbers):
    whole = numbers.assign(a=np.float32(1.0), b=np.float32(2.0), y=np.arange(9))
    files = [as_file(kind, tmp_path / f"{k}.{kind}", f) for k, f in enumerate((whole, numbers))]
    X, y = read(open_rows(files[::order], target="y"))
    both = pd.concat([whole, numbers][::order])
    np.testing.assert_array_equal(X, both[["a", "b"]])
    np.testing.assert_array_equal(y, both["y"])
    alone = read(open_rows(files[0], target="y"))
    assert (alone[0].dtype, alone[1].dtype) == (np.float32, np.int64)


def test_an_infinite_number_is_named_by_the_file_that_has_it(tmp_path, numbers):
    words = numbers.assign(b=list("xyzxyzxyz"))
    words.to_csv(tmp_path / "0.csv", index=False)
    words.assign(a=[*range(8), np.inf]).to_csv(tmp_path / "1.csv", index=False)
    with pytest.raises(ValueError, match=r"1\.csv, line 10, column 'a': an infinite number"):
        open_rows(tmp_path, target="y")


def test_files_that_disagree_in_columns_are_refused(tmp_path, frame):
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.drop(columns="c2").to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(ValueError, match=r"b\.csv lacks column 'c2'"):
        read(open_rows(tmp_path, target="label"))


def test_memory_bounds_the_chunks(tmp_path):
    path = tmp_path / "rows.parquet"
    pd.DataFrame(np.zeros((5000, 40)), columns=[f"c{j}" for j in range(40)]).to_parquet(path)
    small = open_rows(path, memory="1MB")
    assert max(small.sizes) * 40 * 8 < 1 << 20
    assert max(open_rows(path).sizes) == 5000


def test_reading_ahead_keeps_order_and_hands_errors_on():
    assert list(ahead(iter(range(100)))) == list(range(100))

    def broken():
        yield 1
        raise OSError("disk")

    items = ahead(broken())
    assert next(items) == 1
    with pytest.raises(OSError, match="disk"):
        next(items)
    items = ahead(iter(range(10**9)))
    assert next(items) == 0
    items.close()  # the thread ends with the iteration


def test_an_error_that_is_kept_keeps_no_thread(rows):
    passes = iter(range(10))

    def pairs():
        n_rows = 50 - next(passes)
        return ((rows[0][k : k + n_rows], rows[1][k : k + n_rows]) for k in range(0, 200, 50))

    with pytest.raises(ValueError, match="rows when they were counted") as kept:
        LogisticRegression().fit(open_rows(pairs))
    assert kept.value is not None
    assert not [thread for thread in threading.enumerate() if thread.name == "fastgd-ahead"]


def test_what_was_read_of_a_large_parquet_file_is_let_go(tmp_path):
    """By default pyarrow keeps what it has read of a file until it is closed."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    X = np.random.default_rng(0).random((100_000, 10))
    table = pyarrow.table([*X.T, np.zeros(len(X))], names=[*"abcdefghij", "y"])
    parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=4000)
    del table
    rows, before = open_rows(tmp_path, target="y", chunk_rows=3000), pyarrow.total_allocated_bytes()
    held = [pyarrow.total_allocated_bytes() - before for _ in rows]
    assert len(held) == 34
    assert max(held) < 0.3 * X.nbytes


@pytest.mark.parametrize("kind", ["csv", "parquet", "frame"])
def test_many_targets_are_columns(kind, tmp_path):
    table = np.round(np.random.default_rng(0).normal(size=(50, 4)), 3)
    frame, path = pd.DataFrame(table, columns=list("abcd")), tmp_path / f"rows.{kind}"
    if kind != "frame":
        (frame.to_csv if kind == "csv" else frame.to_parquet)(path, index=False)
    source = frame if kind == "frame" else path
    for columns, kept in ((None, [0, 2]), (["c"], [2])):
        rows = open_rows(source, ["d", "b"], columns=columns, chunk_rows=20)
        assert list(rows.feature_names) == ["abcd"[k] for k in kept]
        np.testing.assert_array_equal(np.concatenate([X for X, _ in rows]), table[:, kept])
        np.testing.assert_array_equal(rows.targets(), table[:, [3, 1]])
    with pytest.raises(ValueError, match="no column of numbers"):
        open_rows(source, ["b", "z"])
    if kind != "frame":
        with pytest.raises(ValueError, match="missing='mean'"):
            open_rows(source, ["b"], missing="mean")


@pytest.mark.parametrize("n_groups", [1, 8])
def test_groups_of_rows_are_read_in_slices(n_groups, tmp_path):
    """What Arrow holds at once does not grow with the groups: here one is 40 MB."""
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    n, d = 1_000_000, 5
    random = np.random.default_rng(0)
    columns = {f"x{k}": random.normal(size=n) for k in range(d)}
    table = pa.table({**columns, "y": np.arange(n) % 2})
    how = {"row_group_size": n // n_groups, "use_dictionary": False}
    parquet.write_table(table, tmp_path / "rows.parquet", **how)
    whole, n_rows = table.nbytes, 0
    del table
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    before = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        rows = open_rows(tmp_path / "rows.parquet", target="y", memory="1MB", read_ahead=False)
        for _k, (X, _) in zip(range(20), rows.read(range(len(rows.sizes))), strict=False):
            n_rows += X.shape[0]
            np.testing.assert_array_equal(
                X[0], [columns[f"x{j}"][n_rows - X.shape[0]] for j in range(d)]
            )
        assert n_rows > 1000
    finally:
        pa.set_memory_pool(before)
    assert pool.max_memory() < 0.3 * whole


def test_text_is_parsed_in_blocks_that_memory_allows(tmp_path):
    """Arrow has some 28 blocks at work, so that a limit bounds one of them."""
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n" + "1.5,0\n" * 500_000)
    whole, small = (
        open_reader(path, Format(limits=Limits(memory=limit))) for limit in (None, 600 << 20)
    )
    readers = (whole, small)
    parsed = [[table.num_rows for table in r._batches(r._found(), None)] for r in readers]
    assert sum(parsed[0]) == sum(parsed[1]) == 500_000
    assert max(parsed[1]) * 6 <= (600 << 20) / 28
    assert max(parsed[1]) < max(parsed[0])


def test_rows_that_were_kept_are_not_sent_to_another_process(tmp_path):
    path = tmp_path / "rows.svm"
    path.write_text("".join(f"{i % 2} 1:{i} 3:{i}.5\n" for i in range(20_000)))
    rows = open_rows(path, chunk_rows=3000)
    X, y = read(rows)
    sent = pickle.dumps(rows)
    assert len(sent) < 0.02 * path.stat().st_size
    again = read(pickle.loads(sent))
    np.testing.assert_array_equal(again[0], X)
    np.testing.assert_array_equal(again[1], y)
