"""``fastgd.datasets.open``: rows that are larger than memory, as estimators take them."""

import glob
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from math import inf
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._data.chunks import (
    ArrayChunks,
    BatchChunks,
    Chunks,
    InDtype,
    Pair,
    arrays_of,
    names_of,
)
from fastgd._data.row_source import RowSource, TargetColumns
from fastgd._readers.encoding import Encoder
from fastgd._readers.errors import BadData, NoRows, UserError, listed, quoted
from fastgd._readers.feed import Feed
from fastgd._readers.layout import NUMBER, TABLE, Chunk, Layout, Wishes
from fastgd._readers.limits import Limits, parsed_size
from fastgd._readers.opening import open_reader
from fastgd._readers.reader import Format, Reader, rows_to_stream
from fastgd._readers.streams import bare_name
from fastgd._readers.summary import Summary, preparation
from fastgd._readers.tables import BUFFER_BYTES, exact_dtype

KNOWN = (
    *(".csv", ".tsv", ".txt", ".svm", ".svmlight", ".libsvm", ".vw"),
    *(".parquet", ".pq", ".npz", ".npy"),
)
CHUNK_ROWS, FEWEST_ROWS = 1 << 16, 256
SHARE_OF_LIMIT = 1 / 12  # of the memory, for the rows of a chunk: decoded, prepared and waiting
SHARE_TOGETHER = 1 / 4  # for rows that a solver is to have all at once
ARROW_AHEAD = 1  # batches and files that Arrow reads ahead: it would take 16 and 4


def open(
    source: Any,
    target: Any = None,
    *,
    columns: Sequence[str] | None = None,
    categorical: Sequence[str] = (),
    numeric: Sequence[str] = (),
    drop: Sequence[str] = (),
    filters: Any = None,
    chunk_rows: int | None = None,
    memory: str | int | None = None,
    missing: str = "error",
    errors: str = "raise",
    separator: str | None = None,
    decimal: str = ".",
    thousands: str = "",
    dtype: Any = None,
    read_ahead: bool = True,
) -> RowSource:
    """Open a data set that is read in chunks, to be given to ``fit`` in place of X and y.

    Rows are read as often as a fit needs them, some at a time: stochastic estimators read them once
    an epoch, in a seeded order; estimators without a learning rate a few times in all.

    Parameters
    ----------
    source : str, path, list of them, or other rows
        A file, a folder, a pattern (``"data/*.parquet"``), or a list of files: CSV, svmlight or
        Vowpal Wabbit's format (also .gz or .zst), Parquet, .npz or .npy (which is mapped). Or a
        pair (X, y) of arrays, .npy files, CSR or a frame's parts; a frame; a list of batches
        (X, y), or a function that returns an iterable of them anew for each pass; a pyarrow data
        set;
        a polars LazyFrame; a map-style data set, whose items are (x, y) or which slices into a
        dictionary of columns, as Hugging Face's do.
    target : str, list of str, path or array-like, default=None
        The column (or array, of .npz) to predict, or the columns of many targets, which are
        numbers; for .npy its own file, or an array. In svmlight files, and of .npz files with an
        array "y", it is known.
    columns : list of str, default=None
        The columns to predict from; all others by default.
    categorical, numeric, drop : list of str, default=()
        Columns that are categories though they hold numbers, numbers though they look otherwise, or
        of no use. A category becomes a column of zeros and ones for each of its values.
    filters : default=None
        Of Parquet files: an expression of ``pyarrow.dataset``; rows that it excludes are not read
        where the files' statistics say so.
    chunk_rows : int, default=None
        Rows that are read at a time; by default as ``memory`` allows, at most 65,536.
    memory : str or int, default=None
        What the process may take in all, "2GB" or bytes. It bounds the rows of files that are read
        at a time.
    missing : {"error", "mean"}, default="error"
        Whether missing numbers are an error, or filled in with their column's mean, which takes a
        pass over all rows.
    errors : {"raise", "skip"}, default="raise"
        What to do about damaged files. "skip" leaves out what cannot be read, warns, and keeps a
        list of it in ``skipped``.
    separator, decimal, thousands : str
        How CSV files are written.
    dtype : {numpy.float32, numpy.float64}, default=None
        Of X; by default float32 where that holds all numbers of the file's types exactly, and of
        arrays and batches their own.
    read_ahead : bool, default=True
        Decode the next chunk in a thread while one is computed with.

    Returns
    -------
    rows : RowSource

    Raises
    ------
    ValueError
        If a file is not there, damaged, of an unknown kind, or does not agree with the others in
        its columns: the message names the file and the place. If an argument does not go with the
        source.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgd import LogisticRegression
    >>> from fastgd.datasets import open
    >>> X = np.random.default_rng(0).normal(size=(1000, 3))
    >>> rows = open((X, X[:, 0] > 0), chunk_rows=100)
    >>> LogisticRegression().fit(rows).score(X, X[:, 0] > 0) > 0.95
    True
    """
    _check(chunk_rows, memory, missing, errors, dtype)
    if _names_columns(target, source):
        if missing != "error":
            raise ValueError(f"missing={missing!r} goes with one target.")
        wanted = None if columns is None else list(dict.fromkeys([*columns, *target]))
        of_columns: dict[str, Any] = {"columns": wanted, "drop": drop, "numeric": numeric}
        of_columns |= {"categorical": categorical, "filters": filters, "chunk_rows": chunk_rows}
        of_columns |= {"memory": memory, "errors": errors, "separator": separator, "dtype": dtype}
        of_columns |= {"decimal": decimal, "thousands": thousands, "read_ahead": read_ahead}
        return _OfManyTargets(open(source, **of_columns), list(target))
    limit = parsed_size(memory) if isinstance(memory, str) else memory
    options: dict[str, Any] = {"reads_ahead": bool(read_ahead)}
    if _is_path(source) or _are_paths(source):
        paths = _files(source)
        if all(path.suffix == ".npy" for path in paths):
            source = _mapped(paths, target)
            target = None
        elif filters is not None:
            source = _arrow_dataset(paths)
        else:
            how = Format(separator, decimal, thousands, Limits(limit))
            wishes = _Wishes(target, columns, categorical, numeric, drop)
            files = _Files(paths, how, wishes, chunk_rows, missing, errors, dtype)
            return _OfFiles(files, about=_named(paths), **options)
    of_files = {
        "categorical": len(categorical) > 0,
        "numeric": len(numeric) > 0,
        "missing": missing != "error",
        "errors": errors != "raise",
    }
    _refuse_unused("files that are read without filters", source, of_files)
    n_rows = int(chunk_rows or CHUNK_ROWS)
    if hasattr(source, "to_batches") and hasattr(source, "schema"):
        if not hasattr(source, "scanner"):  # a table
            source = import_module("pyarrow.dataset").dataset(source)
        batches = _ArrowBatches(source, target, columns, drop, filters, n_rows, dtype)
        if chunk_rows is None and limit is not None:
            batches.n_rows = rows_within(limit, n_rows, 8.0 * len(batches.names))
        return RowSource(BatchChunks(batches), batches.names, about="Arrow data set", **options)
    _refuse_unused("Parquet files and pyarrow data sets", source, {"filters": filters is not None})
    if hasattr(source, "collect_schema") and hasattr(source, "collect"):
        frames = _LazyBatches(source, target, columns, drop, n_rows, dtype)
        return RowSource(BatchChunks(frames), frames.names, about="LazyFrame", **options)
    rows, names, about = _of_objects(source, target, columns, drop, n_rows)
    return RowSource(rows if dtype is None else InDtype(rows, dtype), names, about=about, **options)


def _names_columns(target: Any, source: Any) -> bool:
    """Tell whether a target is a list of columns' names, and no array of labels."""
    if not isinstance(target, list | tuple) or not all(isinstance(name, str) for name in target):
        return False
    if _is_path(source) or _are_paths(source):
        return not all(path.suffix == ".npy" for path in _files(source))
    return any(hasattr(source, name) for name in ("columns", "schema", "collect_schema"))


def _of_objects(
    source: Any, target: Any, columns: Sequence[str] | None, drop: Sequence[str], n_rows: int
) -> tuple[Chunks, Any, str]:
    """Return the chunks, the columns' names and the kind of what is no file and no query."""
    if hasattr(source, "columns") and hasattr(source, "to_numpy"):  # a frame
        wanted = _features(list(source.columns), target, columns, drop)
        y = None if target is None else source[target]
        return _of_arrays(source[wanted], y, n_rows), wanted, "frame"
    is_array = isinstance(source, np.ndarray) or sp.issparse(source)
    if is_array and not isinstance(target, str):
        source, target = (source, target), None
    named = {"columns": columns is not None, "drop": len(drop) > 0}
    names = getattr(source, "column_names", None)
    if names is None:
        named["target"] = target is not None
        _refuse_unused("columns with names", source, named)
    if isinstance(source, tuple) and len(source) == 2:
        X, y = (_map_of(Path(part)) if _is_path(part) else part for part in source)
        return _of_arrays(X, y, n_rows), names_of(X), "arrays"
    is_read = callable(source) or isinstance(source, Iterable) or _has_items(source)
    if not is_read or isinstance(source, Mapping):
        raise ValueError(
            "source must be files, a pair (X, y), a frame, an iterable of batches (X, y) or a "
            f"function that returns one, or a data set with items, got {type(source).__name__}."
        )
    if _has_items(source) and not isinstance(source, list | tuple):
        _refuse_unused("other sources", source, {"drop": len(drop) > 0})
        items = _Items(source, target, columns, n_rows)
        return items, items.names, type(source).__name__
    batches = BatchChunks(_Made(source) if callable(source) else source)
    return batches, batches.names, "batches"


def _has_items(source: Any) -> bool:
    return hasattr(source, "__getitem__") and hasattr(source, "__len__")


def _refuse_unused(what: str, source: Any, given: dict[str, bool]) -> None:
    """Refuse arguments that would not be heeded."""
    for name, is_given in given.items():
        if is_given:
            raise ValueError(f"{name} is for {what}, got a source of {type(source).__name__}.")


def _check(chunk_rows: Any, memory: Any, missing: str, errors: str, dtype: Any) -> None:
    for name, value in (("chunk_rows", chunk_rows), ("memory", memory)):
        is_count = isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0
        if not (value is None or is_count or (name == "memory" and isinstance(value, str))):
            raise ValueError(f"{name} must be a whole number from 1 on, got {value!r}.")
    for name, value, allowed in (
        ("missing", missing, ("error", "mean")),
        ("errors", errors, ("raise", "skip")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be {' or '.join(map(repr, allowed))}, got {value!r}.")
    if dtype is not None and np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype must be numpy.float32 or numpy.float64, got {dtype!r}.")


# -- which files ----------------------------------------------------------------------------------


def _is_path(source: Any) -> bool:
    return isinstance(source, str | os.PathLike)


def _are_paths(source: Any) -> bool:
    return isinstance(source, list) and len(source) > 0 and all(map(_is_path, source))


def _files(source: Any) -> list[Path]:
    """Return the files that a path, a pattern, a folder or a list of those means, in order."""
    given = source if isinstance(source, list) else [source]
    found = [path for one in given for path in _of_one(Path(one))]
    if not found:
        raise ValueError(f"there is no file {listed(map(str, given))}.")
    return found


def _of_one(path: Path) -> list[Path]:
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file() and _is_known(p))
        if not inside:
            raise ValueError(f"{path} holds no file that can be read: {listed(KNOWN)}.")
        return inside
    if not path.exists() and any(sign in str(path) for sign in "*?["):
        return sorted(map(Path, glob.glob(str(path), recursive=True)))
    return [path]


def _is_known(path: Path) -> bool:
    name = bare_name(path)
    return name.endswith(KNOWN) and not name.startswith((".", "_"))


def _named(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{len(paths):,} files, {paths[0]} first"


# -- arrays ---------------------------------------------------------------------------------------


def _of_arrays(X: Any, y: Any, n_rows: int) -> ArrayChunks:
    X, y = arrays_of(X, y)
    if y is not None and y.shape[0] != X.shape[0]:
        raise ValueError(f"X has {X.shape[0]:,} rows, and y {y.shape[0]:,}.")
    return ArrayChunks(X, y, n_rows)


def _mapped(paths: Sequence[Path], target: Any) -> tuple[Any, Any]:
    if len(paths) > 1:
        raise ValueError(
            f"one .npy file is mapped at a time, got {len(paths)}; use .npz or a list of pairs."
        )
    return _map_of(paths[0]), _map_of(Path(target)) if _is_path(target) else target


def _map_of(path: Path) -> NDArray[Any]:
    try:
        array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be mapped: {error}") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError(
            f"{path} holds several arrays, and no file of a pair may: pass the path alone, of a "
            ".npz file that holds the target as well."
        )
    return array


# -- files with a reader --------------------------------------------------------------------------


class _Wishes:
    """Which columns are wanted, of a file whose columns are not known yet."""

    def __init__(
        self,
        target: Any,
        columns: Sequence[str] | None,
        categorical: Sequence[str],
        numeric: Sequence[str],
        drop: Sequence[str],
    ) -> None:
        for name, value in (("categorical", categorical), ("numeric", numeric), ("drop", drop)):
            if isinstance(value, str):
                raise ValueError(f"{name} must be a list of columns, got the string {value!r}.")
        if target is not None and not isinstance(target, str):
            raise ValueError(f"target must be the name of a column, got {target!r}.")
        self.target, self.columns = target, columns
        self.categorical, self.numeric, self.drop = categorical, numeric, drop

    def layout(self, reader: Reader) -> Layout:
        """Return what a file holds."""
        target = reader.default_target if self.target is None else self.target
        drop = list(self.drop)
        if self.columns is not None and reader.form == TABLE:
            kept = {*self.columns, target}
            there = reader._names_there()  # type: ignore[attr-defined]
            lacking = [name for name in self.columns if name not in set(there)]
            if lacking:
                raise BadData(
                    f"{reader.path} has no column {listed(map(quoted, lacking))}. Its columns are "
                    f"{listed(there)}."
                )
            drop += [name for name in there if name not in kept]
        return reader.layout(Wishes(target, self.categorical, self.numeric, tuple(drop)))


class _Files:
    """The chunks of one file after the other (``fastgd._data.chunks.Chunks``)."""

    def __init__(
        self,
        paths: Sequence[Path],
        how: Format,
        wishes: _Wishes,
        chunk_rows: int | None,
        missing: str,
        errors: str,
        dtype: Any,
    ) -> None:
        self._skips, self.skipped = errors == "skip", list[str]()
        self._sizes: list[int] | None = None
        self._places: list[tuple[int, int]] = []  # the file of each chunk, and its number there
        self._prepare: Any = None
        self._encoder = Encoder(None)
        with in_words_of_python():
            readers = self._opened(paths, how)
            for reader in readers:
                reader.share_of_room = 1.0 / len(readers)
            first, readers = self._looked_at(readers, wishes)
            self._n_rows = self._rows_at_a_time(first, chunk_rows)
            self._feeds = [Feed(reader, self.layout, self._n_rows) for reader in readers]
            self._dtype = np.dtype(dtype or self._dtype_of(readers))
            is_table = self.layout.form == TABLE
            plain = all(column.kind == NUMBER for column in self.layout.columns)
            if is_table and plain:
                for reader in readers:
                    reader.matrix_dtype = self._dtype  # type: ignore[attr-defined]
            if missing == "mean" or (is_table and not plain):
                self._learn_columns()

    def _opened(self, paths: Sequence[Path], how: Format) -> list[Reader]:
        found = []
        for path in paths:
            try:
                found.append(open_reader(path, how))
            except BadData as error:
                self._skip_or_raise(error)
        if not found:
            raise BadData("none of the files can be read.")
        for reader in found[1:]:
            if reader.form != found[0].form:
                raise BadData(f"{reader.path} is of another kind than {found[0].path}.")
        return found

    def _looked_at(self, readers: list[Reader], wishes: _Wishes) -> tuple[Reader, list[Reader]]:
        """Learn the layout of the first file with rows; return it, and all that can be read."""
        kept, faults = list(readers), list[BadData]()
        for reader in readers:
            try:
                self.layout = wishes.layout(reader)
                return reader, kept
            except NoRows as error:
                faults.append(error)
            except BadData as error:
                self._skip_or_raise(error)
                faults.append(error)
                kept.remove(reader)
        raise faults[0]

    def _rows_at_a_time(self, reader: Reader, asked: int | None) -> int:
        rows = rows_to_stream(reader, asked, reader.size(self.layout))
        limit = reader.how.limits.memory
        if asked is None and limit is not None:
            rows = rows_within(limit, rows, reader.size(self.layout).row_bytes)
        return rows

    @property
    def room(self) -> float:
        """Bytes of X that may be in memory together, beside what a solver makes of them."""
        limit = self._feeds[0].reader.how.limits.memory
        return SHARE_TOGETHER * (inf if limit is None else left_of(limit))

    def _dtype_of(self, readers: Sequence[Reader]) -> Any:
        """Return float32 where it holds the numbers of all files exactly, else float64."""
        for reader in readers:
            with suppress(BadData):  # what is damaged is told when it is read
                if reader.dtype(self.layout) == np.float64:
                    return np.float64
        return np.float32

    def _learn_columns(self) -> None:
        """Take the pass that learns means and categories."""
        reader = self._feeds[0].reader
        summary = Summary(reader, self.layout, classifies=True)
        for feed, chunk in self._chunks_of_all():
            summary.add(chunk, feed.reader)
        if summary.n_rows == 0:
            raise NoRows("there are no rows to train on.")
        self._prepare = preparation(self.layout, summary, standardize=False)
        self._encoder = Encoder(self._prepare)
        self.layout = self.layout.without(summary.empty_columns())

    @property
    def sizes(self) -> list[int]:
        """Rows of each chunk: a pass over files that do not say it."""
        if self._sizes is None:
            with in_words_of_python():
                for _ in self._chunks_of_all():
                    pass
        assert self._sizes is not None
        return self._sizes

    def _chunks_of_all(self) -> Iterator[tuple[Feed, Chunk]]:
        """Yield all chunks and what reads them, and note their sizes, and which can be read."""
        sizes, places = list[int](), list[tuple[int, int]]()
        for number, feed in enumerate(self._feeds):
            local = 0
            try:
                for chunk in feed.read():
                    sizes.append(chunk.n_rows)
                    places.append((number, local))
                    local += 1
                    yield feed, chunk
            except BadData as error:
                self._skip_or_raise(error)
        self._sizes, self._places = sizes, places

    def _skip_or_raise(self, error: BadData) -> None:
        if not self._skips:
            raise error
        import warnings

        if str(error) not in self.skipped:
            self.skipped.append(str(error))
        warnings.warn(f"left out: {error}", stacklevel=6)

    @property
    def seeks(self) -> bool:
        """Whether chunks may be read in any order."""
        return all(feed.reader.seeks(self._n_rows) for feed in self._feeds)

    def read(self, numbers: Sequence[int]) -> Iterator[Pair]:
        """Yield X and y of the chunks of these numbers."""
        self.sizes  # noqa: B018 - which chunk is where
        places = [self._places[k] for k in numbers]
        with in_words_of_python():
            for file, group in itertools.groupby(places, key=lambda place: place[0]):
                for chunk in self._feeds[file].read([local for _, local in group]):
                    yield self._prepared(chunk), _labels(chunk.y, self.layout)

    def in_order(self) -> Iterator[Pair]:
        """Yield X and y of all chunks, whose rows need not have been counted before."""
        if self._sizes is not None:
            yield from self.read(range(len(self._sizes)))
            return
        with in_words_of_python():
            for _, chunk in self._chunks_of_all():
                yield self._prepared(chunk), _labels(chunk.y, self.layout)

    def _prepared(self, chunk: Chunk) -> Any:
        if chunk.is_weighted:
            raise BadData("rows of Vowpal Wabbit's format have weights, which are not heeded here.")
        X = self._encoder.transform(chunk.X)
        return X if X.dtype == self._dtype else X.astype(self._dtype)

    @property
    def names(self) -> list[str] | None:
        """Names of X's columns; None for matrices."""
        if self.layout.form != TABLE:
            return None
        if self._prepare is None:
            return [column.name for column in self.layout.columns]
        return [
            re.sub("^(numbers|categories)__", "", name)
            for name in self._prepare.get_feature_names_out()
        ]


class _OfFiles(RowSource):
    """Rows of files; ``skipped`` lists what could not be read."""

    def __init__(self, files: _Files, **options: Any) -> None:
        super().__init__(files, files.names, **options)
        self._files = files

    @property
    def skipped(self) -> list[str]:
        """What was left out, and why."""
        return list(self._files.skipped)


class _OfManyTargets(RowSource):
    """Rows some of whose columns are the targets."""

    def __init__(self, rows: RowSource, targets: list[str]) -> None:
        names = [] if rows.feature_names is None else list(rows.feature_names)
        lacking = [name for name in targets if name not in names]
        if lacking or not targets:
            raise ValueError(
                f"there is no column of numbers {listed(map(quoted, lacking))}; there are "
                f"{listed(names)}."
            )
        places = [names.index(name) for name in targets]
        chunks = TargetColumns(rows, places)
        about, reads_ahead = rows._about, rows._reads_ahead
        super().__init__(chunks, np.delete(names, places), reads_ahead=reads_ahead, about=about)
        self._rows = rows

    @property
    def skipped(self) -> list[str]:
        """What was left out, and why."""
        return list(getattr(self._rows, "skipped", []))


def _labels(y: NDArray[Any] | None, layout: Layout) -> NDArray[Any] | None:
    """Return targets as the file has them: whole numbers stay whole.

    The layout is that of one file, beside which others may have fractions.
    """
    column = layout.target
    if y is None or column is None:
        return y
    if column.kind == NUMBER and re.fullmatch(r"u?int\d+", column.dtype):
        with np.errstate(invalid="ignore"):  # beyond int64
            whole = y.astype(np.int64)
        return whole if np.array_equal(whole, y) else y
    return y if y.dtype != object else y.astype(str)


def rows_within(limit: int, most: int, row_bytes: float) -> int:
    """Return how many rows to read at a time, so that the process takes ``limit`` bytes."""
    return max(min(most, int(left_of(limit) * SHARE_OF_LIMIT / max(row_bytes, 1.0))), FEWEST_ROWS)


def left_of(limit: int) -> int:
    """Return the bytes that the process may take beside those that it has."""
    return max(limit - _resident(), limit // 4)


def _resident() -> int:
    """Return the bytes that this process takes already."""
    try:
        import psutil
    except ModuleNotFoundError:
        return 0
    return int(psutil.Process().memory_info().rss)


@contextmanager
def in_words_of_python() -> Iterator[None]:
    """Raise what readers say of files as ValueErrors, options as keyword arguments."""
    try:
        yield
    except UserError as error:
        raise ValueError(_as_keywords(str(error))) from None


def _as_keywords(text: str) -> str:
    """Return a message in which "--drop name" reads "drop=['name']"."""
    lists = "categorical|numeric|drop"
    text = re.sub(rf"--({lists}) (\S+?)(?=[.,;]?(\s|$))", r"\1=['\2']", text)
    return re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda m: m[1].replace("-", "_"), text)


# -- batches of other libraries -------------------------------------------------------------------


class _Made:
    """What a function returns, anew for each pass."""

    def __init__(self, make: Callable[[], Iterable[Pair]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Pair]:
        made = self._make()
        if not isinstance(made, Iterable):
            raise ValueError(
                "the function that is the source must return an iterable of batches (X, y), "
                f"it returned {type(made).__name__}."
            )
        return iter(made)


def _arrow_dataset(paths: Sequence[Path]) -> Any:
    try:
        import pyarrow.dataset as arrow_datasets
    except ModuleNotFoundError:
        raise ValueError(
            'filters need pyarrow, which is not installed: pip install "fastgd[cli]"'
        ) from None
    if not all(path.suffix.lower() in (".parquet", ".pq") for path in paths):
        raise ValueError("filters are for Parquet files.")
    return arrow_datasets.dataset([str(path) for path in paths])


def _features(
    there: Sequence[str], target: Any, columns: Sequence[str] | None, drop: Sequence[str]
) -> list[str]:
    """Return which columns to predict from."""
    wanted = list(there if columns is None else columns)
    named = [*wanted, *drop, *([] if target is None else [target])]
    lacking = [name for name in named if name not in there]
    if lacking:
        raise ValueError(
            f"there is no column {listed(map(quoted, lacking))}; there are {listed(there)}."
        )
    return [name for name in wanted if name != target and name not in drop]


class _ArrowBatches:
    """A pyarrow data set in chunks of about ``n_rows``, numbers only."""

    def __init__(
        self,
        dataset: Any,
        target: Any,
        columns: Sequence[str] | None,
        drop: Sequence[str],
        filters: Any,
        n_rows: int,
        dtype: Any,
    ) -> None:
        self.names = _features(dataset.schema.names, target, columns, drop)
        self._dataset, self._target, self._filters = dataset, target, filters
        types = {str(dataset.schema.field(name).type) for name in self.names}
        self._dtype = np.dtype(dtype or exact_dtype(types))
        self.n_rows = n_rows

    def __iter__(self) -> Iterator[Pair]:
        wanted = [*self.names, *([] if self._target is None else [self._target])]
        batches, n_seen = self._batches(wanted), 0
        while True:
            try:
                batch = next(batches, None)
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"{self._damaged()}, after {n_seen:,} rows of all: {error}"
                ) from None
            if batch is None:
                return
            n_seen += batch.num_rows
            if batch.num_rows > 0:
                yield self._pair(batch)

    def _damaged(self) -> str:
        """Return the first file that cannot be read to its end; there is one."""
        names, options = self._dataset.schema.names, _streamed(self._dataset)
        for fragment in self._dataset.get_fragments(self._filters):
            try:
                for _ in fragment.to_batches(self._dataset.schema, names, **options):
                    pass
            except (OSError, ValueError):
                return str(getattr(fragment, "path", "a part of the data set"))
        return "the data set"

    def _batches(self, wanted: list[str]) -> Iterator[Any]:
        """Yield the rows that are asked for in batches, or tables, of these columns."""
        if not _is_parquet(self._dataset) or getattr(self._dataset, "_scan_options", None):
            yield from self._dataset.to_batches(  # no files of Parquet, or some of their rows
                columns=wanted,
                filter=self._filters,
                batch_size=self.n_rows,
                batch_readahead=ARROW_AHEAD,
                fragment_readahead=ARROW_AHEAD,
                **_streamed(self._dataset),
            )
            return
        of_filters = _columns_of(self._filters, self._dataset.schema)
        schema = import_module("pyarrow").schema(
            [self._dataset.schema.field(name) for name in dict.fromkeys([*wanted, *of_filters])]
        )
        for fragment in self._dataset.get_fragments(filter=self._filters):
            for table in _slices(fragment, schema, self._filters, self.n_rows):
                found = table if self._filters is None else table.filter(self._filters)
                yield found.select(wanted).combine_chunks()

    def _pair(self, batch: Any) -> Pair:
        block = np.empty((len(self.names), batch.num_rows), self._dtype)
        for index, name in enumerate(self.names):
            block[index] = _as_numbers(batch.column(name), name)
        y = None
        if self._target is not None:
            y = batch.column(self._target).to_numpy(zero_copy_only=False)
            y = y.astype(str) if y.dtype == object else y
        return np.ascontiguousarray(block.T), y


def _is_parquet(dataset: Any) -> bool:
    return getattr(getattr(dataset, "format", None), "default_extname", "") == "parquet"


def _streamed(dataset: Any) -> dict[str, Any]:
    """Return options by which Arrow's scanner reads Parquet files some bytes at a time."""
    if not _is_parquet(dataset):
        return {}
    options = import_module("pyarrow.dataset").ParquetFragmentScanOptions(
        use_buffered_stream=True,
        buffer_size=BUFFER_BYTES,
        pre_buffer=False,
        page_checksum_verification=True,
    )
    return {"fragment_scan_options": options}


def _columns_of(filters: Any, schema: Any) -> list[str]:
    """Return the columns that an expression asks for: those without which it has no meaning."""
    if filters is None:
        return []
    nothing, needed_ones = schema.empty_table(), []
    nothing.filter(filters)  # or whatever is wrong with it
    for name in schema.names:
        try:
            nothing.drop_columns([name]).filter(filters)
        except (ValueError, KeyError):  # of Arrow, a column that is not there
            needed_ones.append(name)
    return needed_ones


def _slices(fragment: Any, schema: Any, filters: Any, n_rows: int) -> Iterator[Any]:
    """Yield the rows of a file of Parquet as tables of some rows.

    Arrow's own scanner unpacks a whole group of rows at a time, which may be the file.
    """
    arrow, datasets = import_module("pyarrow"), import_module("pyarrow.dataset")
    known = datasets.get_partition_keys(fragment.partition_expression)
    part = fragment if filters is None else fragment.subset(filters, schema=schema)
    groups = [group.id for group in part.row_groups]
    with fragment.open() as file:
        rows = import_module("pyarrow.parquet").ParquetFile(
            file, pre_buffer=False, buffer_size=BUFFER_BYTES, page_checksum_verification=True
        )
        there = [name for name in schema.names if name in rows.schema_arrow.names]
        for batch in rows.iter_batches(n_rows, row_groups=groups, columns=there, use_threads=False):
            columns = [
                batch.column(field.name).cast(field.type)
                if field.name in there
                else arrow.repeat(arrow.scalar(known.get(field.name), field.type), batch.num_rows)
                for field in schema
            ]
            yield arrow.Table.from_arrays(columns, schema=schema)


def _as_numbers(column: Any, name: str) -> NDArray[Any]:
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind not in "biuf":
        raise ValueError(
            f"column {quoted(name)} holds {column.type}, and numbers are needed; leave it out with "
            "columns or drop."
        )
    return values


class _LazyBatches:
    """A polars LazyFrame, collected some rows at a time."""

    def __init__(
        self,
        frame: Any,
        target: Any,
        columns: Sequence[str] | None,
        drop: Sequence[str],
        n_rows: int,
        dtype: Any,
    ) -> None:
        self.names = _features(frame.collect_schema().names(), target, columns, drop)
        self._target, self._n_rows = target, n_rows
        self._dtype = np.dtype(dtype or np.float64)
        self._frame = frame.select([*self.names, *([] if target is None else [target])])

    def __iter__(self) -> Iterator[Pair]:
        if hasattr(self._frame, "collect_batches"):
            frames = self._frame.collect_batches(chunk_size=self._n_rows, maintain_order=True)
        else:
            frames = self._slices()
        return (self._pair(frame) for frame in frames if frame.height > 0)

    def _slices(self) -> Iterator[Any]:
        for first in itertools.count(0, self._n_rows):
            frame = self._frame.slice(first, self._n_rows).collect()
            if frame.height == 0:
                return
            yield frame

    def _pair(self, frame: Any) -> Pair:
        X = frame.select(self.names).to_numpy().astype(self._dtype, order="C")
        return X, None if self._target is None else frame[self._target].to_numpy()


class _Items:
    """A map-style data set: items by their numbers, as PyTorch and Hugging Face have them."""

    seeks = True

    def __init__(self, items: Any, target: Any, columns: Sequence[str] | None, n_rows: int) -> None:
        self._items, self._target, self._n_rows = items, target, n_rows
        names = getattr(items, "column_names", None)
        self._by_columns = names is not None
        self.names = _features(names, target, columns, ()) if names is not None else None
        n = len(items)
        self.sizes = [min(n_rows, n - first) for first in range(0, n, n_rows)]

    def read(self, numbers: Sequence[int]) -> Iterator[Pair]:
        """Yield X and y of the chunks of these numbers."""
        for k in numbers:
            first = k * self._n_rows
            rows = range(first, first + self.sizes[k])
            yield self._of_columns(rows) if self._by_columns else self._of_pairs(rows)

    def _of_columns(self, rows: range) -> Pair:
        part = self._items[rows.start : rows.stop]
        assert self.names is not None
        X = np.column_stack([np.asarray(part[name]) for name in self.names])
        return X, None if self._target is None else np.asarray(part[self._target])

    def _of_pairs(self, rows: range) -> Pair:
        many = getattr(self._items, "__getitems__", None)
        items = many(list(rows)) if many is not None else [self._items[k] for k in rows]
        X, y = zip(*items, strict=True)
        return np.stack([np.asarray(x) for x in X]), np.asarray([np.asarray(one) for one in y])
