"""The entries of a batch's sparse rows column by column, each column's in the order of the rows.

Whoever compares the values of a column with those before it needs them in their order, and threads
read rows in any. Entries are counted by column, by additions of whole numbers, which any order may
have; the counts before a column say where its entries begin; they are written there as threads come
to them, and sorted. An entry is written as the number of its row in the batch and its place within
the row, so that the order of whole numbers is that of the rows.
"""

from typing import Any, NamedTuple

import numpy as np

from fastgd.kernels.cuda import memory
from fastgd.kernels.cuda._compiler import BLOCK, GROUPS, LANES, cuda, driver, part
from fastgd.kernels.cuda.passes import row_at
from fastgd.kernels.cuda.vectors import SHARDS, block_sum
from fastgd.kernels.rows import entries, entry

PLACES = 1 << 32  # within a row, of which there may be as many
SHORT = 2 if BLOCK < 32 else 32  # lists that one thread sorts
MOST_BLOCKS = 1 << 10


class Listed(NamedTuple):
    """Entries column by column.

    counts : (n_features,), int64: how many entries a column has
    begins : (n_features,), int64: where they begin
    keys : int64: ``PLACES`` times the row's number in the batch, plus the place within the row
    partial : (n_shards,), float64, scratch
    """

    counts: np.ndarray
    begins: np.ndarray
    keys: np.ndarray
    partial: np.ndarray


@part
def has_part(samples, i):
    """Tell whether a row has a weight."""
    return samples.weight.shape[0] == 0 or samples.weight[i] != 0


@driver
def list_entries(rows, samples, span, listed, writes):
    """Count the entries of a batch's rows that are not zero by column; a group for a row.

    Where it ``writes``, counts are zero before, and each entry is written to its column's list, in
    any order.
    """
    lane, group = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    size = span.stop - span.start
    for o in range(cuda.blockIdx.x * GROUPS + group, size, cuda.gridDim.x * GROUPS):
        i = row_at(span.order, span.start + o)
        if has_part(samples, i):
            begin, end = entries(rows, i)
            for at in range(begin + lane, end, LANES):
                j, x = entry(rows, i, at)
                if x != 0:
                    place = cuda.atomic.add(listed.counts, j, np.int64(1))
                    if writes:
                        key = np.int64(o) * PLACES + (at - begin)
                        listed.keys[listed.begins[j] + place] = key


@driver
def add_shards_of_counts(listed, per_block):
    """Write how many entries each span of ``per_block`` columns has, a block for a span."""
    scratch = cuda.shared.array(BLOCK, np.float64)
    first, total = cuda.blockIdx.x * per_block, np.float64(0)
    beyond = min(first + per_block, listed.counts.shape[0])
    for j in range(first + cuda.threadIdx.x, beyond, BLOCK):
        total += listed.counts[j]
    total = block_sum(scratch, total)
    if cuda.threadIdx.x == 0:
        listed.partial[cuda.blockIdx.x] = total


@driver
def find_begins(listed, per_block):
    """Write where each column's entries begin, and set the counts to zero."""
    scratch = cuda.shared.array(BLOCK, np.float64)
    thread, before, own = cuda.threadIdx.x, np.float64(0), np.float64(0)
    first = cuda.blockIdx.x * per_block
    beyond = min(first + per_block, listed.counts.shape[0])
    per_thread = (per_block + BLOCK - 1) // BLOCK
    first = min(first + thread * per_thread, beyond)
    beyond = min(first + per_thread, beyond)
    for j in range(first, beyond):
        own += listed.counts[j]
    scratch[thread] = own
    cuda.syncthreads()
    for shard in range(cuda.blockIdx.x):
        before += listed.partial[shard]
    for t in range(thread):
        before += scratch[t]
    for j in range(first, beyond):
        listed.begins[j] = np.int64(before)
        before += listed.counts[j]
        listed.counts[j] = 0


@part
def _put_in_order(keys, low, high):
    """Exchange two keys of a list that are not in order; beyond its end there are the largest."""
    if high < keys.shape[0] and keys[low] > keys[high]:
        keys[low], keys[high] = keys[high], keys[low]


@driver
def sort_long_lists(listed):
    """Sort the lists that are longer than ``SHORT``: a block for a list, in bitonic passes.

    References
    ----------
    .. [1] Batcher, "Sorting networks and their applications", 1968.
    """
    for j in range(cuda.blockIdx.x, listed.counts.shape[0], cuda.gridDim.x):
        count = listed.counts[j]  # the same to all threads of the block, which wait for each other
        if count > SHORT:
            keys = listed.keys[listed.begins[j] : listed.begins[j] + count]
            half = np.int64(1)
            while half < count:
                n_pairs = (count + 2 * half - 1) // (2 * half) * half
                for pair in range(cuda.threadIdx.x, n_pairs, BLOCK):
                    first, o = pair // half * 2 * half, pair % half
                    _put_in_order(keys, first + o, first + 2 * half - 1 - o)
                cuda.syncthreads()
                apart = half // 2
                while apart > 0:
                    for pair in range(cuda.threadIdx.x, n_pairs, BLOCK):
                        low = pair // apart * 2 * apart + pair % apart
                        _put_in_order(keys, low, low + apart)
                    cuda.syncthreads()
                    apart //= 2
                half *= 2


@part
def sort_short(keys):
    """Sort a list by insertion, if it is short: a thread."""
    if keys.shape[0] <= SHORT:
        for n in range(1, keys.shape[0]):
            key, place = keys[n], n
            while place > 0 and keys[place - 1] > key:
                keys[place] = keys[place - 1]
                place -= 1
            keys[place] = key


class Columns:
    """What queues the lists.

    Parameters
    ----------
    n_features : int
    """

    def __init__(self, n_features: int) -> None:
        self._per_block = max(-(-n_features // SHARDS), 1)
        self._n_blocks = max(-(-n_features // self._per_block), 1)
        counts, begins = (memory.zeros(n_features, np.int64) for _ in range(2))
        keys, partial = memory.empty(0, np.int64), memory.zeros(self._n_blocks)
        self.listed = Listed(counts, begins, keys, partial)
        self._room_for: tuple[Any, int] = None, 0

    def make_room(self, lengths: Any, batch_size: int) -> None:
        """Make room for any batch of rows of these lengths, (n_samples,)."""
        if self._room_for[0] is lengths and self._room_for[1] == batch_size:
            return
        self._room_for = lengths, batch_size
        size = min(batch_size, lengths.shape[0])
        most = int(np.partition(lengths, -size)[-size:].sum()) if size > 0 else 0
        if most > self.listed.keys.shape[0]:
            self.listed = self.listed._replace(keys=memory.empty(0, np.int64))  # is freed first
            self.listed = self.listed._replace(keys=memory.empty(most, np.int64))

    def write(self, rows: Any, samples: Any, span: Any) -> None:
        """Queue the lists of a batch; those of up to ``SHORT`` keys are left to ``sort_short``."""
        listed, of_rows = self.listed, (rows, samples, span)
        size, per_block = int(span.stop) - int(span.start), self._per_block
        n_blocks = min(-(-size // GROUPS), MOST_BLOCKS)
        list_entries.launch(n_blocks, BLOCK, *of_rows, listed, False)
        add_shards_of_counts.launch(self._n_blocks, BLOCK, listed, per_block)
        find_begins.launch(self._n_blocks, BLOCK, listed, per_block)
        list_entries.launch(n_blocks, BLOCK, *of_rows, listed, True)
        n_columns = listed.counts.shape[0]
        sort_long_lists.launch(min(max(n_columns, 1), MOST_BLOCKS), BLOCK, listed)
