"""In which order an epoch visits the rows, and where they lie."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd.kernels.sampling import shuffled_epochs, shuffled_rows, shuffled_runs

if TYPE_CHECKING:
    from fastgd._data.source import Data

RUN_LENGTH = 32  # neighbours that stay together when runs of the shuffled rows are shuffled
RUN_ENTRIES = 1 << 13  # or more, where rows are narrow: a jump costs what reading 16 KB does
FEWEST_RUNS = 2048  # with fewer rows than make so many runs, runs are shorter, down to one row
SMALL = (
    1 << 14
)  # bytes that are there, whatever the machine: not asking it saves a small fit's time
FEWEST_EPOCHS_TO_COPY = 4  # a copy of X in shuffled order costs about what two epochs save


def run_length(n_visited: int, n_features: int) -> int:
    """Return how many neighbours stay together: few rows are in cache, and need no company."""
    return min(max(n_visited // FEWEST_RUNS, 1), max(RUN_LENGTH, RUN_ENTRIES // n_features))


class Order:
    """In which order an epoch visits the rows, and where they lie.

    Rows are shuffled once; each epoch shuffles runs of neighbours of that order. Where memory
    allows and epochs are many, X is copied into the once shuffled order: the rows visited are the
    same, and no longer scattered over memory.
    """

    def __init__(self, data: "Data", shuffles: bool, seed: int) -> None:
        self._seed, self._shuffles = seed, shuffles
        index_dtype = np.int32 if data.y.shape[0] <= np.iinfo(np.int32).max else np.int64
        self.rows = data.rows.astype(index_dtype)
        self._n_visited = data.n_visited
        self._run_length = run_length(data.n_visited, data.X.shape[1])
        if self._shuffles:
            order = np.empty(self._n_visited, index_dtype)
            shuffled_rows(seed, order)
            self.rows = self.rows[order] if self.rows.shape[0] > 0 else order

    def arrange(self, data: "Data", n_epochs: int) -> "Data":
        """Return the data with its rows laid out in the once shuffled order, if that pays."""
        is_here = isinstance(data.X, np.ndarray) or sp.issparse(data.X)
        pays = self._shuffles and n_epochs >= FEWEST_EPOCHS_TO_COPY and is_here
        if not pays:
            return data
        size = _size(data.X)
        if size > SMALL and size >= _free_memory() // 4:
            return data
        rows, self.rows = self.rows, self.rows[:0]
        weight = data.weight[rows] if data.weight.shape[0] > 0 else data.weight
        return data._replace(X=data.X[rows], y=data.y[rows], weight=weight, rows=self.rows)

    def of_epoch(self, epoch: int) -> NDArray[Any]:
        """Return the numbers of the rows in the order of an epoch; empty means as they lie."""
        if not self._shuffles:
            return self.rows
        order = np.empty(self._n_visited, self.rows.dtype)
        shuffled_runs(self.rows, self._run_length, self._seed, epoch, order)
        return order

    def of_epochs(self, first: int, count: int) -> NDArray[Any]:
        """Return the orders of several epochs, one after the other."""
        if not self._shuffles:
            return np.tile(self.rows, count)
        orders = np.empty((count, self._n_visited), self.rows.dtype)
        shuffled_epochs(self.rows, self._run_length, self._seed, first, orders)
        return orders.reshape(-1)


def _size(X: Any) -> int:
    """Return the bytes that X takes."""
    if sp.issparse(X):
        return int(X.data.nbytes + X.indices.nbytes + X.indptr.nbytes)
    return int(X.nbytes)


def _free_memory() -> int:
    """Return the bytes of memory that are free, or a cautious guess where that is unknown."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 1 << 30
