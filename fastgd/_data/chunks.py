"""Rows that come in chunks, of which few are in memory at a time.

What is shuffled, by a permutation that depends on the seed, the epoch and the chunk alone: the rows
of a chunk, anew in each epoch; and the order of the chunks, where any of them can be read at any
time. Batches do not end with chunks: rows that do not fill one wait for the next chunk, among whose
rows they are shuffled. So without shuffling, steps are those of all rows in memory, whatever the
size of the chunks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._data.agreement import Layout, agreed
from fastgd._data.source import Block, Data, checksum
from fastgd._data.validation import as_rows, frozen
from fastgd.kernels.sampling import shuffled_runs

T = TypeVar("T")
Pair = tuple[Any, Any]  # X and y of some rows; y is None where there are no targets
_AS_THEY_LIE = np.empty(0, np.int32)


class Chunks(Protocol):
    """Rows in chunks that can be read again and again.

    Attributes
    ----------
    sizes : sequence of int
        Rows of each chunk; 0 is allowed.
    seeks : bool
        Whether chunks may be read in any order; else only from the first to the last.
    """

    @property
    def sizes(self) -> Sequence[int]:
        """Rows of each chunk."""

    @property
    def seeks(self) -> bool:
        """Whether chunks may be read in any order."""

    def read(self, numbers: Sequence[int]) -> Iterator[Pair]:
        """Yield X and y of the chunks of these numbers, in their order."""


def filled(chunks: Chunks) -> list[int]:
    """Return the numbers of the chunks that have rows."""
    return [k for k, size in enumerate(chunks.sizes) if size > 0]


def first_rows(chunks: Chunks) -> Pair:
    """Return X and y of the first chunk that has rows, or of its first rows.

    Raises
    ------
    ValueError
        If there is none.
    """
    if filled(chunks) and hasattr(chunks, "head"):  # where rows are elsewhere, some of them
        found: Pair = chunks.head()
        return found
    for pair in chunks.read(filled(chunks)[:1]):
        return pair
    raise ValueError("there are no rows to train on.")


def as_counted(chunks: Chunks, numbers: Sequence[int]) -> Iterator[tuple[int, Pair]]:
    """Yield some chunks and their numbers, which have the rows that were counted.

    Raises
    ------
    ValueError
        If a chunk has another number of rows by now, or is not there any more.
    """
    pairs, sizes = chunks.read(numbers), chunks.sizes
    for k in numbers:
        X, y = next(pairs, (None, None))
        n_rows = 0 if X is None else X.shape[0]
        if n_rows != sizes[k]:
            del pairs  # an error that is kept must not keep a reader's thread
            raise ValueError(
                f"chunk {k} had {sizes[k]:,} rows when they were counted, and has {n_rows:,} now: "
                "each pass must read the same rows."
            )
        yield k, (X, y)


class ArrayChunks:
    """Arrays, memory maps among them, read some rows at a time.

    Parameters
    ----------
    X : ndarray, memory map or CSR of shape (n_samples, n_features)
    y : ndarray of shape (n_samples, ...) or None
    n_rows : int
        Rows of a chunk.
    """

    seeks = True

    def __init__(self, X: Any, y: Any, n_rows: int) -> None:
        self._X, self._y, self._n_rows = X, y, n_rows
        self.sizes = [min(n_rows, X.shape[0] - k) for k in range(0, X.shape[0], n_rows)]

    def read(self, numbers: Sequence[int]) -> Iterator[Pair]:
        """Yield X and y of the chunks of these numbers, in their order."""
        for k in numbers:
            rows = slice(k * self._n_rows, (k + 1) * self._n_rows)
            yield self._X[rows], None if self._y is None else self._y[rows]


class BatchChunks:
    """An iterable of batches, each of which is a chunk; it is iterated once to count their rows.

    Parameters
    ----------
    batches : iterable of (X, y)
        Arrays, sparse matrices, frames, lists or tensors.

    Raises
    ------
    ValueError
        If it is an iterator, which can be iterated only once, or yields what is no pair.
    """

    seeks = False

    def __init__(self, batches: Iterable[Pair]) -> None:
        if iter(batches) is batches:
            raise ValueError(
                "batches must be an iterable that can be iterated once an epoch, such as a list "
                f"or an object with __iter__; got the iterator {type(batches).__name__!r}."
            )
        self._batches = batches
        self._layout = Layout("")  # of frames, whose columns have names
        self.sizes: list[int] = []
        for k, batch in enumerate(batches):
            X, _ = pair_of(batch)
            if not hasattr(X, "__len__") and not hasattr(X, "shape"):
                raise ValueError(f"chunk {k}: X must hold rows, got {type(X).__name__}.")
            n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
            self.sizes.append(int(n_rows))
            if n_rows > 0:
                self._agree(k, X)

    @property
    def names(self) -> NDArray[Any] | None:
        """Of the columns, if there are frames."""
        return self._layout.names

    def _agree(self, k: int, X: Any) -> None:
        """Refuse a frame whose columns are not those of the others."""
        names = names_of(X)
        if names is not None:
            own = Layout(f"chunk {k}", tuple(names))
            self._layout = agreed(self._layout, own) if self._layout.name else own

    def read(self, numbers: Sequence[int]) -> Iterator[Pair]:
        """Yield X and y of the chunks of these numbers, which ascend."""
        wanted = set(numbers)
        for k, one in enumerate(self._batches):
            if k in wanted:
                X, y = pair_of(one)
                if self.sizes[k] > 0:
                    self._agree(k, X)
                yield of_named(f"chunk {k}", arrays_of, X, y)


def pair_of(batch: Any) -> Pair:
    """Return X and y of a batch.

    Raises
    ------
    ValueError
        If it is no pair.
    """
    try:
        X, y = batch
    except (TypeError, ValueError):
        raise ValueError(f"a batch must be a pair (X, y), got {type(batch).__name__}.") from None
    return X, y


def arrays_of(X: Any, y: Any) -> Pair:
    """Return rows as an array or CSR, and targets as an array; frames and lists are none.

    Raises
    ------
    ValueError
        If rows have no axis of columns.
    """
    X = X.tocsr() if sp.issparse(X) else as_array(X)
    if X.ndim < 2:
        raise ValueError(f"X must have an axis of rows and one of columns, got shape {X.shape}.")
    return X, None if y is None else as_array(y)


def as_array(values: Any) -> NDArray[Any]:
    """Return an array of what may be a frame, a column of one, a list or a tensor.

    Missing numbers of pandas are NaN, as float64.
    """
    if not hasattr(values, "to_numpy"):
        return np.asarray(values)
    found: NDArray[Any] = values.to_numpy()
    if found.dtype.kind == "O" and hasattr(values, "isna"):
        kinds = {getattr(dtype, "kind", "O") for dtype in np.atleast_1d(values.dtypes)}
        if kinds <= set("biuf"):
            found = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return found


def names_of(X: Any) -> NDArray[Any] | None:
    """Return the names of a frame's columns, if all are strings."""
    columns = getattr(X, "columns", None)
    if columns is None or not all(isinstance(name, str) for name in columns):
        return None
    return np.asarray(list(columns), object)


class SameRows:
    """Chunks with the rows of other chunks, whose columns are changed when they are read."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks

    @property
    def seeks(self) -> bool:
        """Whether chunks may be read in any order."""
        return self._chunks.seeks

    @property
    def sizes(self) -> Sequence[int]:
        """Rows of each chunk."""
        return self._chunks.sizes


class InDtype(SameRows):
    """Chunks whose X is converted to a dtype."""

    def __init__(self, chunks: Chunks, dtype: Any) -> None:
        super().__init__(chunks)
        self._dtype = np.dtype(dtype)

    def read(self, numbers: Sequence[int]) -> Iterator[Pair]:
        """Yield X and y of the chunks of these numbers."""
        for X, y in self._chunks.read(numbers):
            yield X.astype(self._dtype, copy=False), y


class InChunks:
    """A source of rows that are read in chunks; see the module for the order of an epoch.

    Parameters
    ----------
    chunks : Chunks
    written : callable
        From a chunk's X and y, not validated yet, to ``Data``.
    n_features : int
    is_sparse : bool
    batch_size : int
    shuffles : bool

    Raises
    ------
    ValueError
        While it is read: if the number of rows of a chunk is not what it was.
    """

    unit = 1.0

    def __init__(
        self,
        chunks: Chunks,
        written: Callable[[Any, Any], Data],
        *,
        n_features: int,
        is_sparse: bool,
        batch_size: int,
        shuffles: bool,
    ) -> None:
        self._chunks, self._written = chunks, written
        self.n_rows, self.n_features, self.is_sparse = sum(chunks.sizes), n_features, is_sparse
        self._batch_size, self._shuffles = batch_size, shuffles
        self._filled = filled(chunks)

    def epoch(self, number: int, seed: int, n_done: int = 0) -> Iterator[Block]:
        """Yield the rows that are left, whole batches at a time, in the order of the epoch."""
        streams = number * (len(self._chunks.sizes) + 1)  # of random numbers, one for each order
        numbers = self._in_order(streams, seed)
        first, n_passed = self._whole_batches(numbers, n_done)
        n_done, n_to_come = n_done - n_passed, self.n_rows - n_passed
        for block in self._blocks_of(numbers[first:], streams, seed, n_to_come):
            if block.n_visited > n_done:
                yield block.part(n_done, block.n_visited)
            n_done = max(n_done - block.n_visited, 0)

    def _whole_batches(self, numbers: Sequence[int], n_done: int) -> tuple[int, int]:
        """Return how many chunks need not be read again after so many rows, and their rows.

        Those whose rows are done with, and fill whole batches together: none waits for others.
        """
        ends = np.cumsum([self._chunks.sizes[k] for k in numbers])
        whole = np.flatnonzero((ends <= n_done) & (ends % self._batch_size == 0))
        return (0, 0) if whole.size == 0 else (int(whole[-1]) + 1, int(ends[whole[-1]]))

    def _blocks_of(
        self, numbers: Sequence[int], streams: int, seed: int, n_to_come: int
    ) -> Iterator[Block]:
        """Yield the rows of some chunks, the last of which is the last of all."""
        waiting: list[Data] = []
        n_waiting = 0
        for k, data in self._read(numbers):
            waiting.append(data)
            n_waiting, n_to_come = n_waiting + data.y.shape[0], n_to_come - data.y.shape[0]
            n_now = n_waiting - n_waiting % self._batch_size if n_to_come > 0 else n_waiting
            if n_now == 0:
                continue
            data, order = joined(waiting), self._order(n_waiting, streams + k + 1, seed)
            waiting, n_waiting = _rest(data, order, n_now), n_waiting - n_now
            yield _block(data, order, n_now)

    def epochs(self, number: int, count: int, seed: int) -> Block | None:  # noqa: ARG002
        """Return None: all rows are never in memory together."""
        return None

    def blocks(self) -> Iterator[Block]:
        """Yield the chunks, as they lie."""
        for _, data in self._read(self._filled):
            yield _block(data, _AS_THEY_LIE, data.y.shape[0])

    def fingerprint(self, *, whole: bool = False) -> int:  # noqa: ARG002
        """Return a number that the sizes of all chunks, and the rows of the first, make up."""
        block = next(self.blocks())
        rows: Any = block.rows
        values = rows.data if self.is_sparse else rows.values
        return checksum(np.array(self._chunks.sizes, np.int64), block.y, values)

    def largest_entry(self) -> tuple[int, float]:
        """Return the column of the largest magnitude in X, and that magnitude: a pass."""
        peaks = np.zeros(self.n_features)
        for _, data in self._read(self._filled):
            found: Any = abs(data.X).max(axis=0)
            np.maximum(peaks, found.toarray().ravel() if self.is_sparse else found, out=peaks)
        column = int(np.argmax(peaks))
        return column, float(peaks[column])

    def _in_order(self, stream: int, seed: int) -> list[int]:
        """Return the numbers of the chunks that have rows, in the order of an epoch."""
        if not (self._shuffles and self._chunks.seeks):
            return self._filled
        return [self._filled[k] for k in _permutation(len(self._filled), stream, seed)]

    def _order(self, n_rows: int, stream: int, seed: int) -> NDArray[Any]:
        """Return in which order to visit some rows."""
        return _permutation(n_rows, stream, seed) if self._shuffles else _AS_THEY_LIE

    def _read(self, numbers: Sequence[int]) -> Iterator[tuple[int, Data]]:
        """Yield the chunks of these numbers, which are what they were when they were counted."""
        for k, (X, y) in as_counted(self._chunks, numbers):
            if sp.issparse(X) != self.is_sparse:
                raise ValueError(f"chunk {k}: either all chunks are sparse, or none.")
            yield k, of_named(f"chunk {k}", self._written, X, y)


def of_named(name: str, work: Callable[..., T], *rows: Any) -> T:
    """Return what a function makes of some rows, which have a name.

    Raises
    ------
    ValueError
        What is wrong with them, and the name.
    """
    try:
        return work(*rows)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _permutation(n: int, stream: int, seed: int) -> NDArray[Any]:
    """Return 0 ... n - 1 in the order that a stream and a seed name."""
    order = np.empty(n, np.int32 if n <= np.iinfo(np.int32).max else np.int64)
    shuffled_runs(order[:0], 1, seed, stream, order)
    return order


def joined(parts: Sequence[Data]) -> Data:
    """Return the rows of several parts one after the other; those of one are not copied."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return first._replace(
        X=stacked([part.X for part in parts]),
        y=np.concatenate([part.y for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
    )


def stacked(parts: Sequence[Any]) -> Any:
    """Return arrays or sparse matrices one below the other."""
    if sp.issparse(parts[0]):
        return sp.vstack(parts, format="csr")
    return np.concatenate(parts)


def _rest(data: Data, order: NDArray[Any], n_taken: int) -> list[Data]:
    """Return the rows that come after the first ones of an order, as copies; none for none."""
    n_rows = data.y.shape[0]
    if n_taken == n_rows:
        return []
    rows = order[n_taken:] if order.shape[0] > 0 else np.arange(n_taken, n_rows)
    weight = data.weight[rows] if data.weight.shape[0] > 0 else data.weight
    return [data._replace(X=data.X[rows], y=data.y[rows], weight=weight)]


def _block(data: Data, order: NDArray[Any], n_taken: int) -> Block:
    """Return the first rows of an order."""
    arrays = (frozen(data.y), frozen(data.weight), order[:0], data.positive_weight)
    block = Block(as_rows(data.X), *arrays)
    if order.shape[0] > 0:
        return block._replace(order=order[:n_taken])
    return block.part(0, n_taken)
