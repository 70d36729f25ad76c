"""Into how many shards and strips a batch of a network is cut: by sizes alone."""

from typing import Any

import numpy as np

from fastgd._engines.shards import MOST
from fastgd._networks.assembly import Assembly
from fastgd.kernels._nonzeros import width_of
from fastgd.kernels.layers import INPUT, N_OUT, N_WEIGHTS, SPEC, UNITS, Affine
from fastgd.kernels.network import NetworkRule
from fastgd.kernels.strips import Strips, Whole
from fastgd.kernels.tiles import Lists

LEAST_WORK = 1 << 22  # flops of a shard: what starts it takes some microseconds
WORK_OF_PARAMETER = 640  # flops for each, from which its gradient is added for nothing
LEAST_STRIP = 1 << 15  # weights: a strip is handed over in a microsecond, and computed in twenty
SHARE_OF_STRIPS = 0.75  # of all weights: what is in no strip is one thread's
PARTS = 1 << 22  # numbers of all strips' weighted sums that no one misses
UNPACKED = 10**6  # products m x k x n up to which OpenBLAS does not copy its operands (AVX-512)
LISTED = 0.4  # share of a tile's numbers: it costs as much as a dense product with twice as many
HEIGHT, LEAST_DEPTH = 64, 16  # rows and features; of fewer, sums are read and written too often


def n_shards_of(assembly: Assembly, size: int, *, is_sparse: bool) -> int:
    """Return into how many shards a batch is cut: a power of two, by sizes alone.

    Shards are so large that one thread computes them as fast as it would the whole batch. Layers
    with running statistics see the whole batch; the gradients of sparse rows, in which most
    features are absent, are not added up.
    """
    if is_sparse or assembly.n_params > assembly.n_trained:
        return 1
    work = size * flops_of_row(assembly)
    fitting = work // max(LEAST_WORK, WORK_OF_PARAMETER * assembly.n_trained)
    n_shards = min(int(fitting), size, MOST)
    return 1 << max(n_shards.bit_length() - 1, 0)


def flops_of_row(assembly: Assembly) -> int:
    """Return the flops of the products of a row, forward and backward."""
    table = assembly.table
    positions = table[:, N_OUT] // np.maximum(table[:, UNITS], 1)
    return int(6 * np.sum(np.where(table[:, UNITS] > 0, positions * table[:, N_WEIGHTS], 0)))


def strips_of(
    assembly: Assembly, rule: NetworkRule, size: int, dtype: Any, *, is_sparse: bool
) -> Strips | Whole:
    """Return the strips of the first layer, for batches of up to ``size`` rows.

    A layer is stepped strip by strip if it is dense, comes first and has most of the weights, and
    if each parameter steps by itself: clipping by norm needs the whole gradient. Their number is a
    power of two, by sizes alone. Every strip keeps weighted sums of all rows: a batch that has as
    many shards as there may be is shared by them, in a fraction of the memory. A larger one that
    cannot be, for batch normalisation, has so few strips that these sums are no more numbers than
    its rows have, or two.
    """
    if n_shards_of(assembly, size, is_sparse=is_sparse) == MOST:
        return Whole()
    first = assembly.table[0]
    n_weights, units = int(first[N_WEIGHTS]), int(first[N_OUT])
    is_dense = not is_sparse and isinstance(assembly.specs[first[SPEC]], Affine)
    is_alone = not any(one.adds == INPUT for one in assembly.placed)
    is_most = n_weights >= max(2 * LEAST_STRIP, SHARE_OF_STRIPS * assembly.n_weights)
    if not (is_dense and is_alone and is_most and rule.is_plain):
        return Whole()
    n_features = n_weights // units
    n_fitting = max(max(PARTS // size, n_features) // units, 2)
    n_strips = min(n_weights // LEAST_STRIP, n_fitting, MOST, n_features)
    n_strips = 1 << (n_strips.bit_length() - 1)
    width = -(-n_features // n_strips)
    height = min(size, HEIGHT)
    depth = max(UNPACKED // (height * units), LEAST_DEPTH)
    n_strips, n_blocks = -(-n_features // width), -(-width // depth)
    parts = np.empty((n_strips, size, units), dtype)
    depth = -(-width // n_blocks)
    lists = _lists_of(n_strips, depth, height, size, n_features, units, dtype)
    return Strips(width, depth, height, units, parts, np.zeros(n_strips), lists)


def _lists_of(
    n_strips: int, depth: int, height: int, size: int, n_features: int, units: int, dtype: Any
) -> Lists:
    """Return where the non-zeros of tiles are listed; no room for it if there are few units."""
    width = width_of(np.dtype(dtype).itemsize)
    share = LISTED * units / (-(-units // width) * width) if units >= width else 0.0
    if share == 0:
        n_strips, size, n_features = 0, 0, 0
    return Lists(
        share,
        width,
        np.empty(size * n_features, np.uint8),
        np.empty((-(-size // height), n_features), np.int32),
        np.empty((n_strips, height * depth), np.int32),
        np.empty((n_strips, height * depth), dtype),
        np.empty((n_strips, height), np.int32),
    )
