"""Flat arrays on a device: sums in a fixed order, clipping and quantizing of gradients.

A sum has two drivers: blocks write a line each, and one block adds the lines in their order. What
quantizers round by, and the random numbers, are the processor's functions; all of it is computed in
float64, as there.
"""

import math

import numpy as np

from fastgd.kernels.cuda._compiler import BLOCK, cuda, driver, part
from fastgd.kernels.transforms._clip import TINY, _limited
from fastgd.kernels.transforms._quantizer import key_of
from fastgd.kernels.transforms._rounding import _level, _noise, _of_level

SHARDS = 1 << 7  # blocks of a sum
HIGHEST = 0x7FF0_0000_0000_0000  # bits of an infinite float64


@part
def block_sum(scratch, value):
    """Return the sum over the block's threads, to the first of them."""
    cuda.syncthreads()
    scratch[cuda.threadIdx.x] = value
    cuda.syncthreads()
    total = np.float64(0)
    if cuda.threadIdx.x == 0:
        for t in range(BLOCK):
            total += scratch[t]
    return total


@driver
def add_up(table, out, first):
    """Write the columns' sums into ``out`` from ``first`` on, a block for each column."""
    scratch = cuda.shared.array(BLOCK, np.float64)
    for k in range(cuda.blockIdx.x, table.shape[1], cuda.gridDim.x):
        total = np.float64(0)
        for i in range(cuda.threadIdx.x, table.shape[0], BLOCK):
            total += table[i, k]
        total = block_sum(scratch, total)
        if cuda.threadIdx.x == 0:
            out[first + k] = total


@driver
def fill(values, number):
    """Write one number everywhere."""
    for c in range(cuda.grid(1), values.shape[0], cuda.gridsize(1)):
        values[c] = number


@driver
def add_to(values, total):
    """Add an array to another one."""
    for c in range(cuda.grid(1), values.shape[0], cuda.gridsize(1)):
        total[c] += values[c]


@driver
def flag_what_is_not_finite(values, flags, place):
    """Write 1 into a flag if a number is not finite."""
    for c in range(cuda.grid(1), values.shape[0], cuda.gridsize(1)):
        if not math.isfinite(values[c]):
            flags[place] = 1.0


# -- clipping --------------------------------------------------------------------------------------


@driver
def limit(bound, gradient, changed):
    """Clip each entry to +-bound; entry c is of problem c modulo the length of ``changed``."""
    for c in range(cuda.grid(1), gradient.shape[0], cuda.gridsize(1)):
        g = gradient[c]
        if abs(g) > bound:
            changed[c % changed.shape[0]] = 1.0  # by any thread: all write the same
        gradient[c] = _limited(g, bound)


@driver
def add_squares(gradient, partial):
    """Write sums of squares, and of those of entries times ``TINY``, which do not overflow.

    Parameters
    ----------
    gradient : (P,)
    partial : (n_shards, 2 n_problems), float64; blocks are (n_shards, n_problems)
    """
    scratch = cuda.shared.array(BLOCK, np.float64)
    problem, n_problems = cuda.blockIdx.y, partial.shape[1] // 2
    shard, n_shards = cuda.blockIdx.x, cuda.gridDim.x
    squares, tiny = np.float64(0), np.float64(0)
    first = (shard * BLOCK + cuda.threadIdx.x) * n_problems + problem
    for c in range(first, gradient.shape[0], n_shards * BLOCK * n_problems):
        g = np.float64(gradient[c])
        squares += g * g
        tiny += (TINY * g) * (TINY * g)
    squares = block_sum(scratch, squares)
    tiny = block_sum(scratch, tiny)
    if cuda.threadIdx.x == 0:
        partial[shard, 2 * problem] = squares
        partial[shard, 2 * problem + 1] = tiny


@driver
def write_factors(partial, bound, changed, factors, clipped):
    """Write what each problem's gradient is multiplied by, and count those that are changed.

    Parameters
    ----------
    partial : (n_shards, 2 n_problems), of ``add_squares``
    bound : float, the longest that a gradient may be; infinite for no bound
    changed : (n_problems,), float64, of ``limit``; zero afterwards
    factors : (n_problems,), of the gradient's type
    clipped : (n_problems,), float64, added to
    """
    for p in range(cuda.grid(1), factors.shape[0], cuda.gridsize(1)):
        squares, tiny = np.float64(0), np.float64(0)
        for shard in range(partial.shape[0]):
            squares += partial[shard, 2 * p]
            tiny += partial[shard, 2 * p + 1]
        unit = 1.0
        if squares == np.inf:
            unit, squares = TINY, tiny
        factors[p] = 1.0
        if squares > (bound * unit) * (bound * unit):
            factors[p] = bound * unit / math.sqrt(squares)
            changed[p] = 1.0
        clipped[p] += changed[p]
        changed[p] = 0.0


@driver
def scale(gradient, factors):
    """Multiply each problem's entries."""
    for c in range(cuda.grid(1), gradient.shape[0], cuda.gridsize(1)):
        gradient[c] *= factors[c % factors.shape[0]]


# -- quantizing ------------------------------------------------------------------------------------


@driver
def feed_back(gradient, residual):
    """Add what was not sent, and remember the sum."""
    for c in range(cuda.grid(1), gradient.shape[0], cuda.gridsize(1)):
        gradient[c] += residual[c]
        residual[c] = gradient[c]


@driver
def keep_rest(gradient, residual):
    """Leave of what was remembered what was not sent."""
    for c in range(cuda.grid(1), gradient.shape[0], cuda.gridsize(1)):
        residual[c] -= gradient[c]


@driver
def largest_of_buckets(gradient, bucket, scales):
    """Write max |g| of each bucket, NaN where an entry is not finite; a block for a bucket."""
    scratch = cuda.shared.array(BLOCK, np.float64)
    thread = cuda.threadIdx.x
    for b in range(cuda.blockIdx.x, scales.shape[0], cuda.gridDim.x):
        largest, poison = np.float64(0), np.float64(0)
        for c in range(b * bucket + thread, min((b + 1) * bucket, gradient.shape[0]), BLOCK):
            g = np.float64(gradient[c])
            poison += g - g
            largest = max(largest, abs(g))
        cuda.syncthreads()
        scratch[thread] = largest
        cuda.syncthreads()
        if thread == 0:
            for t in range(BLOCK):
                largest = max(largest, scratch[t])
        poison = block_sum(scratch, poison)
        if thread == 0:
            scales[b] = largest + poison


@driver
def round_entries(gradient, bucket, scales, half, seed, step):
    """Round each entry stochastically to a level between -scale and scale of its bucket."""
    key = key_of(seed, step)
    for c in range(cuda.grid(1), gradient.shape[0], cuda.gridsize(1)):
        scale = scales[c // bucket]
        level = _level(gradient[c], scale, half, _noise(key, c))
        gradient[c] = _of_level(level, scale, half)


@driver
def write_sizes(gradient, sizes):
    """Write |g|, infinite for what is no number."""
    for c in range(cuda.grid(1), gradient.shape[0], cuda.gridsize(1)):
        size = abs(np.float64(gradient[c]))
        sizes[c] = size if size < np.inf else np.inf


@driver
def add_shards(values, partial):
    """Write sums of |v| over parts of an array, a block for each part."""
    scratch = cuda.shared.array(BLOCK, np.float64)
    total = np.float64(0)
    for c in range(cuda.grid(1), values.shape[0], cuda.gridsize(1)):
        total += abs(np.float64(values[c]))
    total = block_sum(scratch, total)
    if cuda.threadIdx.x == 0:
        partial[cuda.blockIdx.x, 0] = total


@driver
def write_signs(gradient, total):
    """Replace entries by their signs times the mean size, of which ``total`` has the sum."""
    for c in range(cuda.grid(1), gradient.shape[0], cuda.gridsize(1)):
        scale = total[0] / gradient.shape[0]
        gradient[c] = -scale if gradient[c] < 0 else scale


@driver
def keep_largest(gradient, bits, count):
    """Leave the ``count`` entries that are largest in size; of equal ones the first: one block.

    The least of them is found by halving the range of float64's bits, which order positive numbers
    as the numbers themselves.

    Parameters
    ----------
    gradient : (P,)
    bits : (P,), int64, of ``write_sizes``
    count : int
    """
    scratch = cuda.shared.array(BLOCK, np.float64)
    shared = cuda.shared.array(1, np.float64)
    thread, n = cuda.threadIdx.x, gradient.shape[0]
    low, high = np.int64(0), np.int64(HIGHEST)
    while low < high:
        middle = low + (high - low) // 2
        above = _count_above(bits, middle, scratch, shared)
        if above >= count:
            low = middle + 1
        else:
            high = middle
    ties = count - _count_above(bits, low, scratch, shared)
    per_thread = (n + BLOCK - 1) // BLOCK
    first = min(thread * per_thread, n)
    beyond = min(first + per_thread, n)
    own = np.float64(0)
    for c in range(first, beyond):
        own += 1.0 if bits[c] == low else 0.0
    cuda.syncthreads()
    scratch[thread] = own
    cuda.syncthreads()
    for t in range(thread):
        ties -= scratch[t]
    for c in range(first, beyond):
        if bits[c] == low and ties > 0:
            ties -= 1.0
        elif bits[c] <= low:
            gradient[c] = 0


@part
def _count_above(bits, bound, scratch, shared):
    """Return to all threads how many numbers lie above a bound."""
    count = np.float64(0)
    for c in range(cuda.threadIdx.x, bits.shape[0], BLOCK):
        count += 1.0 if bits[c] > bound else 0.0
    count = block_sum(scratch, count)
    if cuda.threadIdx.x == 0:
        shared[0] = count
    cuda.syncthreads()
    return shared[0]
