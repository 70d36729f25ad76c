"""Products of columns on a device, sum_i h_i (z_i, 1) (z_i, 1)', z standardised: tile by tile.

A block of threads computes a tile of the product over a span of rows, of which ``DEPTH`` at a time
lie in shared memory, standardised and weighted as they are read. Each thread keeps ``MICRO`` x
``MICRO`` sums in registers. They are of the arithmetic's type over ``LONGEST`` rows, and then added
in float64.
"""

import numpy as np

from fastgd.kernels.cuda._compiler import GROUPS, LANES, SIDE, cuda, driver, part
from fastgd.kernels.rows import entries, entry

MICRO = 2 if SIDE == 2 else 4
TILE = SIDE * MICRO
DEPTH = SIDE
LONGEST = 16 * DEPTH
TILES_AND_SHARDS = 1 << 10  # blocks, a few for each multiprocessor of any card
MOST_BYTES = 1 << 28  # of partial sums


def grid_of_products(n_rows: int, width: int) -> tuple[int, int, int]:
    """Return how many tiles a side has, how many spans of rows there are, and rows of a span."""
    n_tiles = -(-width // TILE)
    n_shards = max(min(TILES_AND_SHARDS // n_tiles**2, MOST_BYTES // (8 * width * width)), 1)
    per_shard = LONGEST * max(-(-n_rows // (LONGEST * n_shards)), 1)
    return n_tiles, max(-(-n_rows // per_shard), 1), per_shard


@part
def _standardised(values, scaler, i, j):
    """Return entry j of the standardised row i; the one after the last is 1."""
    if j < values.shape[1]:
        return np.float64((values[i, j] - scaler.center[j]) * scaler.inverse_std[j])
    return np.float64(1)


@driver
def products(values, scaler, weight, per_shard, partial):
    """Write each span's part of the products, the upper tiles.

    Parameters
    ----------
    values : (n_samples, n_features)
    scaler : Scaler
    weight : (n_samples,), h, of any sign
    per_shard : int, rows of a span
    partial : (n_shards, width, width), float64, zero before; width = n_features + 1
    """
    left = cuda.shared.array((DEPTH, TILE), np.float64)
    right = cuda.shared.array((DEPTH, TILE), np.float64)
    sums = cuda.local.array((MICRO, MICRO), np.float64)
    a0, b0, shard = cuda.blockIdx.x * TILE, cuda.blockIdx.y * TILE, cuda.blockIdx.z
    if a0 > b0:
        return
    x, y, width = cuda.threadIdx.x, cuda.threadIdx.y, partial.shape[1]
    first = shard * per_shard
    beyond = min(first + per_shard, values.shape[0])
    for start in range(first, beyond, LONGEST):
        for p in range(MICRO):
            for q in range(MICRO):
                sums[p, q] = 0.0
        for base in range(start, min(start + LONGEST, beyond), DEPTH):
            i = base + y
            for p in range(MICRO):
                c = x * MICRO + p
                inside = i < beyond
                h = np.float64(weight[i]) if inside else np.float64(0)
                is_left, is_right = inside and a0 + c < width, inside and b0 + c < width
                left[y, c] = h * _standardised(values, scaler, i, a0 + c) if is_left else 0.0
                right[y, c] = _standardised(values, scaler, i, b0 + c) if is_right else 0.0
            cuda.syncthreads()
            for o in range(DEPTH):
                for p in range(MICRO):
                    for q in range(MICRO):
                        sums[p, q] += left[o, y * MICRO + p] * right[o, x * MICRO + q]
            cuda.syncthreads()
        for p in range(MICRO):
            for q in range(MICRO):
                a, b = a0 + y * MICRO + p, b0 + x * MICRO + q
                if a < width and b < width:
                    partial[shard, a, b] += sums[p, q]


@driver
def weights_of_classes(slopes, targets, k, m, out):
    """Write the curvature s (p_k (k == m) - p_k p_m) of softmax's rows.

    Parameters
    ----------
    slopes : (n_samples, n_outputs), float64: s (p_k - (k == y)), which has the digits of 1 - p_y
    targets : objective.Targets
    k, m : int
    out : (n_samples,), float64, written
    """
    for i in range(cuda.grid(1), out.shape[0], cuda.gridsize(1)):
        s, truth = targets.weight[i], targets.y[i]
        out[i] = 0.0
        if s > 0.0:
            rest = slopes[i, k] / s
            own = 1.0 + rest if k == truth else rest
            if k == m:
                out[i] = s * own * (-rest if k == truth else 1.0 - rest)
            else:
                other = slopes[i, m] / s
                out[i] = -s * own * (1.0 + other if m == truth else other)


@driver
def standardised_rows(rows, scaler, first, out):
    """Write standardised sparse rows from ``first`` on densely into ``out``, its width theirs."""
    lane, group = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    for base in range(cuda.blockIdx.x * GROUPS, out.shape[0], cuda.gridDim.x * GROUPS):
        o = base + group
        if o < out.shape[0]:
            for j in range(lane, out.shape[1], LANES):
                out[o, j] = -scaler.center[j] * scaler.inverse_std[j]
        cuda.syncthreads()
        if o < out.shape[0]:
            begin, end = entries(rows, first + o)
            for at in range(begin + lane, end, LANES):
                j, x = entry(rows, first + o, at)
                out[o, j] = (x - scaler.center[j]) * scaler.inverse_std[j]
