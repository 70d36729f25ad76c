"""Rows of a training on a CUDA device: where they stay, or part by part where they do not fit."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._data.source import Block
from fastgd._runtime.warned import warn
from fastgd.kernels.rows import CSR, Dense

MOST_OF_MEMORY = 0.8  # of what is free on the device, for rows that stay there
SHARE_OF_MEMORY = 0.2  # for the rows of one part


class Sent(NamedTuple):
    """Rows on the device, and what comes with them.

    rows : Dense or CSR
    dense : (n_samples, n_features), the same; (0, 0) for CSR
    samples : steps.Samples
    peaks : (n_features,), float64, the columns' largest magnitudes; (0,) for dense rows
    lengths : ndarray of shape (n_samples,) in host memory, entries of sparse rows; None for dense
    """

    rows: Any
    dense: Any
    samples: Any
    peaks: Any
    lengths: NDArray[Any] | None = None


class Visit(NamedTuple):
    """Rows on the device that are visited one after the other.

    sent : Sent
    order : (n_visited,), their numbers, on the device; empty means as they lie
    first, n_steps : int, which steps of a plan visit them
    n_visited : int
    """

    sent: Sent
    order: Any
    first: int
    n_steps: int
    n_visited: int


class RowsOnDevice:
    """What a training has sent to the device.

    Parameters
    ----------
    by_class : bool
        Whether an output is a class against the rest.
    n_features : int
    dtype : dtype
        Of the parameters.
    """

    def __init__(self, *, by_class: bool, n_features: int, dtype: Any) -> None:
        self._by_class, self._n_features, self._dtype = by_class, n_features, dtype
        # the host's arrays are kept, so that no others come to lie in their places
        self._key: tuple[Any, ...] = ()
        self._there: tuple[NDArray[Any], ...] = ()
        self._sent: Sent | None = None
        self._streams = False

    def visits(self, block: Block, batch_size: int) -> Iterator[Visit]:
        """Yield a block's rows on the device, where they stay for further epochs if they fit.

        Raises
        ------
        MemoryError
            If X lies there already, and there is no room for what comes with it.
        """
        from fastgd.kernels.cuda import memory

        n_steps = -(-block.n_visited // batch_size)
        if not self._streams:
            try:
                sent = self._resident(block)
            except Exception as error:
                if not memory.is_out_of_memory(error) or lie_there(block.rows):
                    raise
                self._streams = True
                warn(
                    "X does not fit into the device's memory: its rows are sent in parts, anew in "
                    "each epoch.",
                    UserWarning,
                    stacklevel=2,
                )
            else:
                order = memory.upload(np.asarray(block.order, np.int64))
                yield Visit(sent, order, 0, n_steps, block.n_visited)
                return
        yield from self._parts(block, batch_size, n_steps)

    def _parts(self, block: Block, batch_size: int, n_steps: int) -> Iterator[Visit]:
        """Send the rows of some steps at a time, in the order in which they are visited."""
        from fastgd.kernels.cuda import memory

        of_row = max(_bytes_of(block.rows) // max(block.y.shape[0], 1), 1)
        fit = int(SHARE_OF_MEMORY * memory.free_bytes()) // (of_row * batch_size)
        steps, as_they_lie = max(fit, 1), memory.upload(np.empty(0, np.int64))
        for first in range(0, n_steps, steps):
            count = min(steps, n_steps - first)
            stop = min((first + count) * batch_size, block.n_visited)
            part = _laid_out(block.part(first * batch_size, stop))
            yield Visit(self._send(part), as_they_lie, first, count, part.n_visited)

    def _resident(self, block: Block) -> Sent:
        arrays = (*block.rows, block.y, block.weight)
        key = tuple((_address(array), array.shape) for array in arrays)
        if self._sent is None or self._key != key:
            self._sent = None  # its memory is free before more is asked for
            self._refuse_too_much(arrays)
            self._key, self._there = key, arrays
            self._sent = self._send(block)
        return self._sent

    @staticmethod
    def _refuse_too_much(arrays: tuple[Any, ...]) -> None:
        """Leave room for what steps ask for when they come to it.

        Raises
        ------
        MemoryError
            If what is to be sent is more than most of the device's memory.
        """
        from fastgd.kernels.cuda import memory

        size = sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))
        if size > MOST_OF_MEMORY * memory.free_bytes():
            raise memory.no_room(size)

    def _send(self, block: Block) -> Sent:
        """Copy rows, targets and weights to the device, but what lies there."""
        from fastgd.kernels.cuda import memory, steps

        y = block.y if block.y.ndim == 2 else block.y[:, None]
        weight = np.asarray(block.weight, self._dtype)
        positive = np.asarray(block.positive_weight, self._dtype)
        sent = map(memory.upload, (y, weight, positive))
        by_class = self._by_class and block.y.ndim == 1
        samples = steps.Samples(*sent, by_class)
        if not block.rows.is_sparse:
            values = memory.there(block.rows.values)
            return Sent(Dense(values), values, samples, memory.empty(0))
        start, stop = int(block.rows.indptr[0]), int(block.rows.indptr[-1])
        data, indices = block.rows.data[start:stop], block.rows.indices[start:stop]
        peaks = np.zeros(self._n_features)
        np.maximum.at(peaks, indices, np.abs(data.astype(np.float64)))
        arrays = map(memory.upload, (data, indices, block.rows.indptr - block.rows.indptr[0]))
        rows = CSR(*arrays)
        dense, lengths = memory.empty((0, 0), data.dtype), np.diff(block.rows.indptr)
        return Sent(rows, dense, samples, memory.upload(peaks), lengths)


def lie_there(rows: Any) -> bool:
    """Tell whether rows have come on the device."""
    return not rows.is_sparse and not isinstance(rows.values, np.ndarray)


def _address(array: Any) -> int:
    """Return where an array lies."""
    interface = getattr(array, "__cuda_array_interface__", None)
    return int(array.ctypes.data if interface is None else interface["data"][0])


def _bytes_of(rows: Any) -> int:
    return sum(array.nbytes for array in rows)


def _laid_out(block: Block) -> Block:
    """Return the rows of a block in the order in which they are visited."""
    order = block.order
    if order.shape[0] == 0:
        return block
    weight = block.weight[order] if block.weight.shape[0] > 0 else block.weight
    rows, none = _taken(block.rows, order), order[:0]
    return block._replace(rows=rows, y=block.y[order], weight=weight, order=none)


def _taken(rows: Any, order: NDArray[Any]) -> Any:
    """Return some rows, one after the other."""
    if not rows.is_sparse:
        return Dense(rows.values[order])
    import scipy.sparse as sp

    shape = (rows.indptr.shape[0] - 1, int(rows.indices.max(initial=0)) + 1)
    taken = sp.csr_matrix((rows.data, rows.indices, rows.indptr), shape=shape)[order]
    return CSR(taken.data, taken.indices, taken.indptr)
