"""Where the rows of a training come from.

A ``Source`` gives each epoch as an iterator of blocks, in a seeded order; which rows come when, and
where they lie in memory, is its business alone.
"""

import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._data.order import Order
from fastgd._data.validation import as_rows, frozen
from fastgd._runtime.devices import to_host
from fastgd.kernels.rows import CSR, Dense


class Data(NamedTuple):
    """Arrays to train on.

    X : ndarray or CSR, validated
    y : ndarray of shape (n_samples,) in X's dtype, or the labels' numbers, or (n_samples, K)
    weight : ndarray of shape (n_samples,) in X's dtype; empty means 1
    unit : float, the mean weight that gradients are divided by
    rows : ndarray, the numbers of the rows to visit; empty means all
    positive_weight : ndarray of shape (K,), one-vs-rest only
    """

    X: Any
    y: NDArray[Any]
    weight: NDArray[Any]
    unit: float
    rows: NDArray[Any]
    positive_weight: NDArray[Any]

    @property
    def n_visited(self) -> int:
        """Number of rows that an epoch visits."""
        return self.rows.shape[0] if self.rows.shape[0] > 0 else self.y.shape[0]


class Block(NamedTuple):
    """Rows that are visited one after the other.

    rows : Dense or CSR
    y, weight : ndarrays, what comes with the rows; no weights mean 1
    order : ndarray, the numbers of the rows to visit; empty means as they lie
    positive_weight : ndarray of shape (K,), one-vs-rest only
    """

    rows: Dense | CSR
    y: NDArray[Any]
    weight: NDArray[Any]
    order: NDArray[Any]
    positive_weight: NDArray[Any]

    @property
    def n_visited(self) -> int:
        """Number of rows to visit."""
        return self.order.shape[0] or self.y.shape[0]

    def part(self, start: int, stop: int) -> "Block":
        """Return the rows that are visited from ``start`` to ``stop``, as views."""
        if start == 0 and stop == self.n_visited:
            return self
        if self.order.shape[0] > 0:
            return self._replace(order=self.order[start:stop])
        rows, weight = self.rows, self.weight
        if rows.is_sparse:
            cut: Dense | CSR = rows._replace(indptr=rows.indptr[start : stop + 1])
        else:
            cut = Dense(rows.values[start:stop])
        weight = weight[start:stop] if weight.shape[0] > 0 else weight
        return self._replace(rows=cut, y=self.y[start:stop], weight=weight)


def checksum(*arrays: NDArray[Any], start: int = 0) -> int:
    """Return a number that the bytes of arrays make up."""
    for array in arrays:
        start = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, start)
    return start


class Source(Protocol):
    """Where rows come from.

    Attributes
    ----------
    n_rows : int
        Rows that an epoch visits.
    n_features : int
    is_sparse : bool
        Whether blocks are CSR.
    unit : float
        The mean weight that gradients are divided by.

    One of sparse rows may say in ``entries_of_row`` how many of them a row has on average: then
    large batches are shared by threads.
    """

    n_rows: int
    n_features: int
    is_sparse: bool
    unit: float

    def epoch(self, number: int, seed: int, n_done: int = 0) -> Iterator[Block]:
        """Yield the rows of an epoch, in the order that number and seed name.

        Without the first ``n_done`` of them; further blocks are the same.
        """

    def epochs(self, number: int, count: int, seed: int) -> Block | None:
        """Return several epochs in one block, where all rows lie in memory; else None."""

    def blocks(self) -> Iterator[Block]:
        """Yield the same rows in any fixed order, for a look at all of them."""

    def fingerprint(self, *, whole: bool = False) -> int:
        """Return a number by which the same rows are known again, of all values if ``whole``.

        Rows that are never in memory together are known by their sizes and the first of them.
        """

    def largest_entry(self) -> tuple[int, float]:
        """Return the column of the largest magnitude in X, and that magnitude."""


class InMemory:
    """Rows of arrays, in one block.

    Parameters
    ----------
    data : Data
    shuffles : bool
        Whether each epoch has an order of its own.
    n_epochs : int
        How many there may be: with many it pays to lay the rows out in the shuffled order.
    """

    def __init__(self, data: Data, *, shuffles: bool, n_epochs: int) -> None:
        self.n_rows, self.n_features = data.n_visited, data.X.shape[1]
        self.is_sparse = sp.issparse(data.X)
        if self.is_sparse:
            self.entries_of_row = data.X.nnz / max(data.X.shape[0], 1)
        self.unit = float(data.unit)
        self._data, self._shuffles, self._n_epochs = data, shuffles, n_epochs
        self._order: Order | None = None
        self._block: Block

    def epoch(self, number: int, seed: int, n_done: int = 0) -> Iterator[Block]:
        """Yield the rows that are left, in the order that number and seed name."""
        order = self._arranged(seed)
        block = self._block._replace(order=order.of_epoch(number))
        yield block.part(n_done, block.n_visited)

    def epochs(self, number: int, count: int, seed: int) -> Block | None:
        """Return all rows ``count`` times, each time in the order of its epoch."""
        order = self._arranged(seed)
        return self._block._replace(order=order.of_epochs(number, count))

    def blocks(self) -> Iterator[Block]:
        """Yield all rows, as the first call of ``epoch`` laid them out."""
        self._arranged(0)
        yield self._block

    def _arranged(self, seed: int) -> Order:
        """Lay the rows out once, for the first seed that is asked for; return their order."""
        if self._order is None:
            data = self._data
            self._order = Order(data, self._shuffles, seed)
            data = self._data = self._order.arrange(data, self._n_epochs)
            arrays = (frozen(data.y), frozen(data.weight), self._order.rows, data.positive_weight)
            self._block = Block(as_rows(data.X), *arrays)
        return self._order

    def fingerprint(self, *, whole: bool = False) -> int:
        """Return a number that targets and a part of X make up; all of X and weights if whole."""
        X, y, weight = to_host(self._data.X), self._data.y, self._data.weight
        if whole:
            values = [X.data, X.indices, X.indptr] if self.is_sparse else [X]
            return checksum(y, weight, *values, start=self.n_rows)
        some = X.data[:512] if self.is_sparse else X[:: max(X.shape[0] - 1, 1)]
        return checksum(y, some, start=self.n_rows)

    def largest_entry(self) -> tuple[int, float]:
        """Return the column of the largest magnitude in X, and that magnitude."""
        found: Any = abs(to_host(self._data.X)).max(axis=0)
        peaks = found.toarray().ravel() if self.is_sparse else np.asarray(found)
        column = int(np.argmax(peaks))
        return column, float(peaks[column])
