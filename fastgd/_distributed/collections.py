"""Dask's collections: their partitions as shards and as chunks, and predictions by partition.

A pass is one task for each partition and a tree of sums: a pure function of the parameters and the
partition, pinned to no worker and with no state on one. A worker that is lost costs its tasks,
which the scheduler gives to others. Without a client, Dask's own threads do the work.
"""

import functools
import itertools
import os
import pickle
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import dask
import numpy as np
from dask.base import get_scheduler
from numpy.typing import NDArray

from fastgd._data.chunks import Pair, names_of, of_named
from fastgd._data.labels import labels_of_rows
from fastgd._data.shards import Rows
from fastgd._runtime.threads import one_blas_thread, threads

T = TypeVar("T")
FAN_IN = 8  # sums that one task adds up
ROOM_HERE = 1 << 26  # bytes of X that may be brought to the client, twice those of a sample
HEAD_ROWS = 64  # that are brought here to see what rows are
LOOK_AFTER = 2.0  # seconds without an answer, before the scheduler is looked for


class ClusterLost(RuntimeError):
    """The scheduler no longer answers, or a partition has cost too many workers.

    The estimator is as it was before the fit; a ``fastgd.callbacks.Checkpoint`` has kept the
    coefficients of the last pass.
    """


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
        self._lost = LostWorkers()

    def total(self, part: Callable[[Rows], T], add: Callable[[T, T], T]) -> T:
        """Return ``part`` of each partition that has rows, added up in a tree of fixed shape.

        Raises
        ------
        ClusterLost
            If the scheduler no longer answers, or a partition has cost too many workers.
        """
        started = time.perf_counter()
        self._lost.look()
        (answer,) = computed(self._tree(part, add))
        found: T | None = answer.value
        if found is None:
            raise ValueError("there are no rows to train on.")
        self._lost.warn(stacklevel=8)
        self.spent["bytes"] += float(answer.sent + len(pickle.dumps(part)) * len(self._parts))
        self.spent["seconds"] += time.perf_counter() - started
        return found

    def _tree(self, part: Callable[[Rows], T], add: Callable[[T, T], T]) -> Any:
        """Return the sum that is yet to be computed; its tasks have names for people."""
        name, number = _name_of(part), f"{os.getpid()}-{next(_NUMBERS)}"
        of_part, add_up = (dask.delayed(task, pure=False) for task in (_of_part, _sum_of))
        sums = [
            of_part(part, k, *parts, dask_key_name=f"fastgd-{name}-{number}-{k}")
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


class LostWorkers:
    """Tells of workers that were there when it last looked and are not any more."""

    def __init__(self) -> None:
        self._known: frozenset[str] | None = None

    def look(self) -> None:
        """Look which workers there are, unless that is known."""
        if self._known is None:
            self._known = _workers()

    def warn(self, stacklevel: int) -> None:
        """Warn of those that were lost meanwhile."""
        before, now = self._known, _workers()
        self._known = now
        if before is None or now is None or before <= now:
            return
        lost = sorted(before - now)
        warnings.warn(
            f"{len(lost)} worker(s) of the cluster were lost during the fit: {', '.join(lost[:3])}."
            " What they had was computed anew by others; the result is the same.",
            RuntimeWarning,
            stacklevel=stacklevel,
        )


def _workers() -> frozenset[str] | None:
    """Return the addresses of the current client's workers; None without a client.

    Raises
    ------
    ClusterLost
        If the scheduler does not answer.
    """
    found = client()
    try:
        return None if found is None else frozenset(found.nthreads())
    except lost() as error:
        raise cluster_lost(error) from error


class DaskChunks:
    """The same partitions as chunks, which are brought here one after the other.

    Their sizes are asked for once.
    """

    seeks = True

    def __init__(self, X: Any, y: Any) -> None:
        self._X = partitions(X, "X")
        self._y = [None] * len(self._X) if y is None else partitions(y, "y")
        if len(self._y) != len(self._X):
            raise ValueError(
                f"X has {len(self._X)} partitions, and y {len(self._y)}; rechunk one of them."
            )
        count = dask.delayed(_n_rows_of, pure=False)
        self.sizes: Sequence[int] = computed(*[count(part) for part in self._X])
        self.feature_names = names_of(X)

    def partition(self, k: int) -> tuple[Any, Any]:
        """Return X and y of a partition, which are yet to be computed; y may be None."""
        return self._X[k], self._y[k]

    def head(self) -> Pair:
        """Return some rows of the first partition that has any."""
        k = next(k for k, size in enumerate(self.sizes) if size > 0)
        (found,) = computed(dask.delayed(_head_of, pure=False)(self._X[k], self._y[k]))
        pair: Pair = found
        return pair

    def labels(self) -> list[tuple[Any, NDArray[np.int64]]]:
        """Return each partition's labels and how many rows have them; they are counted there."""
        count = dask.delayed(_labels_of, pure=False)
        filled = [y for y, size in zip(self._y, self.sizes, strict=True) if size > 0]
        return computed(*[count(y) for y in filled])

    def read(self, numbers: Sequence[int]) -> Iterator[Pair]:
        """Yield X and y of the partitions of these numbers."""
        for k in numbers:
            X, y = computed(self._X[k], self._y[k])
            yield as_array(X), None if y is None else as_column(y)


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
    """

    value: Any
    sent: int


def _of_part(part: Callable[[Rows], T], k: int, X: Any, y: Any, weight: Any = None) -> Answer:
    """Return what partition k adds to a sum."""
    weight = None if weight is None else as_column(weight)
    rows = Rows(as_array(X), as_column(y), weight, k)
    if rows.X.shape[0] == 0:
        return Answer(None, 0)
    with one_blas_thread(), threads(1):  # partitions are what runs side by side
        value = of_named(f"partition {k}", part, rows)
    return Answer(value, _size_of(value))


def _sum_of(add: Callable[[Any, Any], Any], answers: Sequence[Answer]) -> Answer:
    """Return the sum of parts, in their order."""
    values = [answer.value for answer in answers if answer.value is not None]
    found = functools.reduce(add, values) if values else None
    return Answer(found, sum(answer.sent for answer in answers) + _size_of(found))


def _size_of(value: Any) -> int:
    """Return how many bytes are sent of a value."""
    return len(pickle.dumps(value, protocol=5))


def _predicted(method: Callable[[Any], Any], X: Any, meta: Any = None) -> Any:
    if X.shape[0] == 0 and meta is not None:
        return meta[:0]
    return method(X)


def _n_rows_of(X: Any) -> int:
    return int(X.shape[0])


def _head_of(X: Any, y: Any) -> Pair:
    return as_array(X[:HEAD_ROWS]), None if y is None else as_column(y[:HEAD_ROWS])


def _labels_of(y: Any) -> Any:
    return labels_of_rows(as_column(y))


def as_array(X: Any) -> Any:
    """Return a partition as an array or sparse matrix: frames lose their names, which are known."""
    return X.to_numpy() if hasattr(X, "to_numpy") else X


def as_column(y: Any) -> NDArray[Any]:
    values: NDArray[Any] = y.to_numpy() if hasattr(y, "to_numpy") else np.asarray(y)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _name_of(part: Any) -> str:
    """Return what a task is called on a dashboard."""
    name: str = getattr(getattr(part, "func", part), "__name__", "pass")
    return name.strip("_").replace("_", "-")


def client() -> Any:
    """Return the current client of Dask's distributed scheduler; None without one."""
    if get_scheduler() is None or "distributed" not in sys.modules:
        return None
    from distributed import get_client

    try:
        return get_client()
    except ValueError:
        return None


def lost() -> tuple[type[BaseException], ...]:
    """Return what Dask raises where a cluster does not answer, or a task kills its workers."""
    try:
        from distributed.client import (
            ClosedClientError,
            FutureCancelledError,
            FuturesCancelledError,
        )
        from distributed.comm.core import CommClosedError
        from distributed.scheduler import KilledWorker
    except ModuleNotFoundError:
        return (ConnectionError,)
    of_client = ClosedClientError, FutureCancelledError, FuturesCancelledError
    return (ConnectionError, CommClosedError, KilledWorker, *of_client)


def cluster_lost(error: object) -> ClusterLost:
    """Return the error that says so."""
    name = "" if isinstance(error, str) else f"{type(error).__name__}: "
    return ClusterLost(f"the cluster was lost: {name}{error}")


def computed(*values: Any) -> list[Any]:
    """Return delayed values, computed by the current client's workers or Dask's threads.

    Raises
    ------
    ClusterLost
        If the scheduler no longer answers, or a partition has cost too many workers.
    """
    here = client()
    if here is None:
        return list(dask.compute(*values))
    from distributed import Future

    try:
        found = here.compute(list(values))
        wait_for_all(here, [one for one in found if isinstance(one, Future)])
        of_all: list[Any] = here.gather(found)
        return of_all
    except lost() as error:
        raise cluster_lost(error) from error


def wait_for_all(here: Any, futures: list[Any], seconds: float | None = None) -> None:
    """Wait until futures are there, while there is a scheduler.

    A scheduler that has ended in good order tells nobody of the futures that were waited for.

    Raises
    ------
    ClusterLost
        If it has ended.
    TimeoutError
        If that takes more than ``seconds``; none is without end.
    """
    from distributed import wait

    end = np.inf if seconds is None else time.monotonic() + seconds
    while True:
        left = end - time.monotonic()
        try:
            wait(futures, timeout=min(LOOK_AFTER, max(left, 0.0)))
            return
        except TimeoutError:
            if left <= LOOK_AFTER:
                raise
            if has_ended(here):
                raise cluster_lost("the scheduler has ended.") from None


def has_ended(here: Any) -> bool:
    """Tell whether a client has no connection to a scheduler, nor tries to get one."""
    if here.status in ("closed", "closing"):
        return True
    comm = here.scheduler_comm
    is_cut = comm is None or comm.closed() or comm.comm.closed()
    return here.status != "connecting" and is_cut


_NUMBERS = itertools.count()
