"""Rows in shards, over which a solver adds up what it needs.

A pass is a function of the rows of one shard and of plain numbers; what it returns is added up over
the shards, in their order. Files that are read in chunks and the partitions of a Dask collection
are two implementations of the same sum, so that a solver does not know where rows are.
"""

import time
from collections.abc import Callable, Iterator
from math import inf
from queue import Queue
from threading import Event, Thread
from typing import Any, NamedTuple, Protocol, TypeVar

from numpy.typing import NDArray

from fastgd._data.agreement import Layout, agreed, layout_of
from fastgd._data.chunks import Chunks, as_counted, filled, of_named

T = TypeVar("T")
AHEAD = 1  # chunks that are decoded while another one is computed with


class Rows(NamedTuple):
    """Rows of a shard as they come, not validated.

    X : array-like or sparse matrix of shape (n, n_features)
    y : array-like of shape (n,)
    weight : array-like of shape (n,), or None for 1 each
    shard : int, the number of the shard among all
    """

    X: Any
    y: Any
    weight: Any = None
    shard: int = 0


class Shards(Protocol):
    """Rows in shards.

    Attributes
    ----------
    names : ndarray of str or None
        Of the columns.
    spent : dict of str to float
        What passes have cost since the driver last looked: "seconds", and where rows are elsewhere
        "bytes" that were sent.

    Those on a device have ``most_sampled`` besides: the size of the sample whose optimum, found on
    the host, is where a descent begins. Those on a cluster have ``n_shards``, their number. Those
    whose rows may be brought together here, where passes would be many, have ``room``, how many
    bytes of them.
    """

    names: NDArray[Any] | None
    spent: dict[str, float]

    def total(self, part: Callable[[Rows], T], add: Callable[[T, T], T]) -> T:
        """Return ``part`` of each shard that has rows, added up in the shards' order.

        Raises
        ------
        ValueError
            If there are no rows, or two shards do not agree in their columns or targets.
        """


class ChunkShards:
    """Rows that are read in chunks.

    Parameters
    ----------
    chunks : Chunks
    names : ndarray of str, default=None
    """

    def __init__(self, chunks: Chunks, names: NDArray[Any] | None = None) -> None:
        self._chunks, self.names = chunks, names
        self.spent = {"seconds": 0.0}
        self.room: float = getattr(chunks, "room", inf)

    def total(self, part: Callable[[Rows], T], add: Callable[[T, T], T]) -> T:
        """Return ``part`` of each chunk that has rows, added up in their order."""
        found: Any = None
        layout: Layout | None = None
        started = time.perf_counter()
        for k, pair in as_counted(self._chunks, filled(self._chunks)):
            value = of_named(f"chunk {k}", part, Rows(*pair, shard=k))
            own = layout_of(f"chunk {k}", *pair)
            layout = own if layout is None else agreed(layout, own)
            found = value if found is None else add(found, value)
        if found is None:
            raise ValueError("there are no rows to train on.")
        self.spent["seconds"] += time.perf_counter() - started
        return found


def ahead(items: Iterator[T], most: int = AHEAD) -> Iterator[T]:
    """Yield the same items; a thread takes the next ones while one is worked with.

    An error of the thread's is raised where its item would have come. The thread ends when all
    items are taken, or with the iteration.
    """
    waiting: Queue[Any] = Queue(most)
    gives_up = Event()

    def take() -> None:
        end: Any = _END
        try:
            for item in items:
                waiting.put((item, None))
                if gives_up.is_set():
                    return
        except BaseException as error:
            end = error
        waiting.put((_END, None if end is _END else end))

    thread = Thread(target=take, name="fastgd-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        gives_up.set()
        while thread.is_alive():  # it may wait for room
            if not waiting.empty():
                waiting.get_nowait()
            thread.join(0.01)


_END = object()


def added(first: Any, second: Any) -> Any:
    """Return two tuples of numbers and arrays added entry by entry; both are left as they are."""
    return type(first)(*(one + other for one, other in zip(first, second, strict=True)))
