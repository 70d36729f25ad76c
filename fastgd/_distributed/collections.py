"""Dask's collections: their partitions as shards and as chunks, and predictions by partition.

A pass is one task for each partition and a tree of sums: a pure function of the parameters and the
partition, pinned to no worker and with no state on one. A worker that is lost costs its tasks,
which the scheduler gives to others. Without a client, Dask's own threads do the work.
"""

import functools
import itertools
import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import dask
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._data.agreement import Layout, agreed, agreed_by_all, layout_of
from fastgd._data.chunks import Pair, as_array, names_of, of_named
from fastgd._data.labels import labels_of_rows
from fastgd._data.shards import Rows
from fastgd._distributed.cluster import Cluster
from fastgd._runtime.threads import one_blas_thread, threads

T = TypeVar("T")
FAN_IN = 8  # sums that one task adds up
ROOM_HERE = 1 << 26  # bytes of X that may be brought to the client, twice those of a sample
HEAD_ROWS = 64  # that are brought here to see what rows are


class DaskShards:
    """The partitions of a collection.

    Parameters
    ----------
    X : dask array or dataframe, or list of delayed values or futures of rows
    y : the same of targets
    sample_weight : the same of weights, default=None

    Raises
    ------
    ValueError
        If y is missing, or has another number of partitions than X.
    """

    def __init__(self, X: Any, y: Any, sample_weight: Any = None) -> None:
        if y is None:
            raise ValueError("y is needed where X is a collection of Dask's.")
        self.names = names_of(X)
        self._of_all = _of_collection(self.names)
        columns = [partitions(X, "X"), partitions(y, "y")]
        if sample_weight is not None:
            columns.append(partitions(sample_weight, "sample_weight"))
        counts = {len(column) for column in columns}
        if len(counts) > 1:
            raise ValueError(
                "X, y and sample_weight must have the same partitions, got "
                f"{[len(column) for column in columns]} of them; rechunk or repartition one."
            )
        self._parts = list(zip(*columns, strict=True))
        self.spent = {"seconds": 0.0, "bytes": 0.0}
        self.n_shards = len(self._parts)
        self.room: float = ROOM_HERE
        self._cluster = Cluster()

    def total(self, part: Callable[[Rows], T], add: Callable[[T, T], T]) -> T:
        """Return ``part`` of each partition that has rows, added up in a tree of fixed shape.

        Raises
        ------
        ClusterLost
            If the scheduler no longer answers, or a partition has cost too many workers.
        """
        started = time.perf_counter()
        self._cluster.look()
        (answer,) = self._cluster.computed(self._tree(part, add))
        if answer.layout is None:
            raise ValueError("there are no rows to train on.")
        found: T = answer.value
        self.names = answer.layout.names if self.names is None else self.names
        self._cluster.warn_of_lost(stacklevel=8)
        self.spent["bytes"] += float(answer.sent + len(pickle.dumps(part)) * len(self._parts))
        self.spent["seconds"] += time.perf_counter() - started
        return found

    def _tree(self, part: Callable[[Rows], T], add: Callable[[T, T], T]) -> Any:
        """Return the sum that is yet to be computed; its tasks have names for people."""
        name, number = _name_of(part), f"{os.getpid()}-{next(_NUMBERS)}"
        of_part, add_up = (dask.delayed(task, pure=False) for task in (_of_part, _sum_of))
        sums = [
            of_part(part, k, self._of_all, *parts, dask_key_name=f"fastgd-{name}-{number}-{k}")
            for k, parts in enumerate(self._parts)
        ]
        for level in itertools.count():
            if len(sums) == 1:
                return sums[0]
            groups = [sums[k : k + FAN_IN] for k in range(0, len(sums), FAN_IN)]
            key = f"fastgd-sum-{name}-{number}-{level}"
            sums = [
                add_up(add, group, dask_key_name=f"{key}-{k}") for k, group in enumerate(groups)
            ]


class DaskChunks:
    """The same partitions as chunks, which are brought here one after the other.

    Their sizes are asked for once.
    """

    seeks = True

    def __init__(self, X: Any, y: Any) -> None:
        self.cluster = Cluster()
        self._X = partitions(X, "X")
        self._y = [None] * len(self._X) if y is None else partitions(y, "y")
        if len(self._y) != len(self._X):
            raise ValueError(
                f"X has {len(self._X)} partitions, and y {len(self._y)}; rechunk one of them."
            )
        self.feature_names = names_of(X)
        self.sizes: Sequence[int] = self._counted()

    def _counted(self) -> list[int]:
        """Return the partitions' numbers of rows, in a pass that sees whether they agree."""
        count = dask.delayed(_counted, pure=False)
        pairs = zip(self._X, self._y, strict=True)
        of_all = _of_collection(self.feature_names)
        found = self.cluster.computed(*[count(k, of_all, *pair) for k, pair in enumerate(pairs)])
        layouts = [own for _, own in found if own is not None]
        if layouts:
            self.feature_names = agreed_by_all(layouts).names
        return [n_rows for n_rows, _ in found]

    def partition(self, k: int) -> tuple[Any, Any]:
        """Return X and y of a partition, which are yet to be computed; y may be None."""
        return self._X[k], self._y[k]

    def head(self) -> Pair:
        """Return some rows of the first partition that has any."""
        k = next(k for k, size in enumerate(self.sizes) if size > 0)
        head = dask.delayed(_head_of, pure=False)
        (found,) = self.cluster.computed(head(self._X[k], self._y[k]))
        pair: Pair = found
        return pair

    def labels(self) -> list[tuple[Any, NDArray[np.int64]]]:
        """Return each partition's labels and how many rows have them; they are counted there."""
        count = dask.delayed(_labels_of, pure=False)
        filled = [k for k, size in enumerate(self.sizes) if size > 0]
        return self.cluster.computed(*[count(k, self._y[k]) for k in filled])

    def read(self, numbers: Sequence[int]) -> Iterator[Pair]:
        """Yield X and y of the partitions of these numbers."""
        for k in numbers:
            X, y = self.cluster.computed(self._X[k], self._y[k])
            yield as_rows(X), None if y is None else as_column(y)


def partitions(data: Any, name: str) -> list[Any]:
    """Return the partitions of a collection as delayed values, or the list that was given.

    Raises
    ------
    ValueError
        If it is no collection, or is cut between columns.
    """
    if isinstance(data, list):
        return data
    if not hasattr(data, "to_delayed"):
        raise ValueError(
            f"{name} must be a collection of Dask's as X is, got {type(data).__name__}; "
            "dask.array.from_array makes one."
        )
    parts: NDArray[Any] = np.asarray(data.to_delayed(), object)
    if parts.ndim == 2:
        if parts.shape[1] != 1:
            raise ValueError(
                f"{name} is cut into {parts.shape[1]} blocks of columns: a row must lie in one "
                f"block. Use {name}.rechunk({{1: -1}})."
            )
        parts = parts[:, 0]
    return list(parts)


def mapped(method: Callable[[Any], NDArray[Any]], X: Any) -> Any:
    """Return a lazy collection of what a method says of each partition."""
    if isinstance(X, list):
        return [dask.delayed(_predicted)(method, part) for part in X]
    import dask.array as da

    parts = partitions(X, "X")
    meta = method(_example(X))
    sizes = X.chunks[0] if hasattr(X, "chunks") else (np.nan,) * len(parts)
    of_part = dask.delayed(_predicted)
    blocks = [
        da.from_delayed(of_part(method, part, meta), (size, *meta.shape[1:]), dtype=meta.dtype)
        for part, size in zip(parts, sizes, strict=True)
    ]
    return da.concatenate(blocks, allow_unknown_chunksizes=True)


def _example(X: Any) -> Any:
    """Return rows of X's shape, to see what a prediction looks like."""
    if hasattr(X, "_meta_nonempty"):
        return X._meta_nonempty
    return np.zeros((1, X.shape[1]), X.dtype)


# -- what runs on workers -------------------------------------------------------------------------


class Answer(NamedTuple):
    """What a task of a pass returns.

    value : what its rows add to a sum; None where there are none
    sent : int, the bytes of all values on their way, this one included
    layout : Layout, what all of its rows agree on; None where there are none
    """

    value: Any
    sent: int
    layout: Layout | None


def _of_part(
    part: Callable[[Rows], T], k: int, of_all: Layout | None, X: Any, y: Any, weight: Any = None
) -> Answer:
    """Return what partition k adds to a sum."""
    rows, layout = _rows_of(k, of_all, X, y, weight)
    if layout is None:
        return Answer(None, 0, None)
    with one_blas_thread(), threads(1):  # partitions are what runs side by side
        value = of_named(layout.name, part, rows)
    return Answer(value, _size_of(value), layout)


def _sum_of(add: Callable[[Any, Any], Any], answers: Sequence[Answer]) -> Answer:
    """Return the sum of parts, in their order; they agree in their columns and targets."""
    filled: list[Any] = [answer for answer in answers if answer.layout is not None]
    if not filled:
        return Answer(None, 0, None)
    layout = agreed_by_all([one.layout for one in filled])
    found = functools.reduce(add, [answer.value for answer in filled])
    return Answer(found, sum(answer.sent for answer in answers) + _size_of(found), layout)


def _rows_of(
    k: int, of_all: Layout | None, X: Any, y: Any, weight: Any = None
) -> tuple[Rows, Layout | None]:
    """Return the rows of partition k as arrays, and how they are laid out; None for no rows.

    Raises
    ------
    ValueError
        If they are none, or not what is known of all partitions.
    """
    name, columns = f"partition {k}", names_of(X)
    X = of_named(name, as_rows, X)
    y, weight = (None if one is None else as_column(one) for one in (y, weight))
    rows = Rows(X, y, weight, k)
    if X.shape[0] == 0:
        return rows, None
    layout = layout_of(name, X, y, columns)
    return rows, layout if of_all is None else agreed(of_all, layout)._replace(name=name)


def _of_collection(names: Any) -> Layout | None:
    """Return what is known of all partitions of a collection."""
    return None if names is None else Layout("the collection", tuple(names))


def _size_of(value: Any) -> int:
    """Return how many bytes are sent of a value."""
    return len(pickle.dumps(value, protocol=5))


def _predicted(method: Callable[[Any], Any], X: Any, meta: Any = None) -> Any:
    if X.shape[0] == 0 and meta is not None:
        return meta[:0]
    return method(X)


def _counted(k: int, of_all: Layout | None, X: Any, y: Any) -> tuple[int, Layout | None]:
    """Return how many rows partition k has, and how they are laid out."""
    rows, layout = _rows_of(k, of_all, X, y)
    return int(rows.X.shape[0]), layout


def _head_of(X: Any, y: Any) -> Pair:
    X = X.tocsr() if sp.issparse(X) else X  # other sparse layouts have no slices
    return as_rows(X[:HEAD_ROWS]), None if y is None else as_column(y[:HEAD_ROWS])


def _labels_of(k: int, y: Any) -> Any:
    return of_named(f"partition {k}", labels_of_rows, as_column(y))


def as_rows(X: Any) -> Any:
    """Return a partition as an array or sparse matrix: frames lose their names, which are known.

    Raises
    ------
    ValueError
        If it holds no rows.
    """
    found = X if hasattr(X, "shape") and not hasattr(X, "to_numpy") else as_array(X)
    if len(found.shape) == 0:
        raise ValueError(f"rows are an array, a frame or a sparse matrix, got {type(X).__name__}.")
    return found


def as_column(y: Any) -> NDArray[Any]:
    """Return targets or weights as an array, a single column of them as one number a row."""
    values = as_array(y)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _name_of(part: Any) -> str:
    """Return what a task is called on a dashboard."""
    name: str = getattr(getattr(part, "func", part), "__name__", "pass")
    return name.strip("_").replace("_", "-")


_NUMBERS = itertools.count()
