"""Matrix products on a device: cuBLAS's through CuPy, or tile by tile where that is not installed.

``multiply`` is the door. The tiles are as in ``products``: a block of threads computes a tile over
a span of what is summed over, of which ``DEPTH`` at a time lie in shared memory; where a product is
small and its sums are long, spans are added afterwards, in their order.
"""

from typing import Any

import numpy as np

from fastgd.kernels.cuda import _library, memory
from fastgd.kernels.cuda._compiler import SIDE, cuda, driver
from fastgd.kernels.cuda._launches import queue
from fastgd.kernels.cuda.products import DEPTH, MICRO, TILE

BLOCKS = 1 << 8  # of a product: spans are shorter where tiles are fewer
SHORTEST = 1 << 9  # rows of a span
SQUARE = SIDE * SIDE
ROWS_AT_ONCE = 1 << 14  # whose products are added in float64


def multiply(
    left: Any,
    right: Any,
    out: Any,
    *,
    left_turned: bool = False,
    right_turned: bool = False,
    adds: bool = False,
    room: Any = memory.empty,
) -> None:
    """Write the product of two tables, transposed if they are ``turned``; or add it.

    Parameters
    ----------
    left, right, out : arrays on a device, C-contiguous, of two axes and one type
    left_turned, right_turned : bool
    adds : bool
    room : function of shape and dtype to an array that holds anything
    """
    library = _library.cupy()
    if library is not None:
        with _library.queued():
            left, right, out = map(library.asarray, (left, right, out))
        left, right = left.T if left_turned else left, right.T if right_turned else right
        queue(lambda: _by_library(library, left, right, out, adds=adds))
        return
    depth = left.shape[0] if left_turned else left.shape[1]
    rows, columns = out.shape
    n_tiles = -(-rows // TILE), -(-columns // TILE)
    most = max(min(BLOCKS // (n_tiles[0] * n_tiles[1]), -(-depth // SHORTEST)), 1)
    per_span = DEPTH * max(-(-depth // (DEPTH * most)), 1)
    n_spans = max(-(-depth // per_span), 1)
    is_single = out.dtype == np.float32
    spans = out.reshape(1, rows, columns)
    if n_spans > 1 or adds:
        spans = room((n_spans, rows, columns), out.dtype)
    grid, block = (*n_tiles, n_spans), (SIDE, SIDE)
    arguments = (left, right, left_turned, right_turned, per_span, spans)
    product.launch(grid, block, *arguments, single=is_single)
    if n_spans > 1 or adds:
        size = rows * columns
        flat = spans.reshape(n_spans, size), out.reshape(size), adds
        add_spans.spread(size, *flat, single=is_single)


def _by_library(library: Any, left: Any, right: Any, out: Any, *, adds: bool) -> None:
    with _library.queued():
        if adds:
            out += left @ right
        else:
            library.dot(left, right, out=out)  # as matmul, with less to look at before


def weighted_products(values: Any, scaler: Any, weight: Any, dtype: Any) -> Any:
    """Return sum_i h_i (z_i, 1) (z_i, 1)' of standardised rows, float64, on the device.

    Multiplied in ``dtype``, some rows at a time, and added in float64.

    Parameters
    ----------
    values : (n_samples, n_features)
    scaler : objective.Scaler, on the device
    weight : (n_samples,), h, of any sign
    dtype : dtype

    Returns
    -------
    total : (n_features + 1, n_features + 1), or None without CuPy
    """
    library = _library.cupy()
    if library is None:
        return None
    with _library.queued():
        return _weighted(library, values, scaler, weight, dtype)


def _weighted(library: Any, values: Any, scaler: Any, weight: Any, dtype: Any) -> Any:
    X, h = library.asarray(values), library.asarray(weight)
    center, inverse = library.asarray(scaler.center), library.asarray(scaler.inverse_std)
    n, width = X.shape[0], X.shape[1] + 1
    total = library.zeros((width, width))
    for start in range(0, n, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, n)
        z = library.ones((stop - start, width), dtype)
        z[:, :-1] = (X[start:stop] - center) * inverse
        weighted = z * h[start:stop, None].astype(dtype)
        total += library.matmul(z.T, weighted)
    return total


@driver
def product(left, right, left_turned, right_turned, per_span, spans):
    """Write each span's part of a product.

    Parameters
    ----------
    left, right : tables; of a product of depth D they are (A, D) and (D, B), or turned
    left_turned, right_turned : bool
    per_span : int
    spans : (n_spans, A, B)
    """
    of_left = cuda.shared.array((DEPTH, TILE), np.float64)
    of_right = cuda.shared.array((DEPTH, TILE), np.float64)
    sums = cuda.local.array((MICRO, MICRO), np.float64)
    a0, b0, span = cuda.blockIdx.x * TILE, cuda.blockIdx.y * TILE, cuda.blockIdx.z
    x, y, rows, columns = cuda.threadIdx.x, cuda.threadIdx.y, spans.shape[1], spans.shape[2]
    depth = left.shape[0] if left_turned else left.shape[1]
    beyond = min((span + 1) * per_span, depth)
    for p in range(MICRO):
        for q in range(MICRO):
            sums[p, q] = 0.0
    for base in range(span * per_span, beyond, DEPTH):
        for p in range(MICRO):  # neighbours in memory are read by neighbouring threads
            number = p * SQUARE + y * SIDE + x
            across, down = number % TILE, number // TILE
            along, over = number % DEPTH, number // DEPTH
            a, o = (across, down) if left_turned else (over, along)
            inside = a0 + a < rows and base + o < beyond
            if left_turned:
                of_left[o, a] = left[base + o, a0 + a] if inside else 0.0
            else:
                of_left[o, a] = left[a0 + a, base + o] if inside else 0.0
            b, o = (over, along) if right_turned else (across, down)
            inside = b0 + b < columns and base + o < beyond
            if right_turned:
                of_right[o, b] = right[b0 + b, base + o] if inside else 0.0
            else:
                of_right[o, b] = right[base + o, b0 + b] if inside else 0.0
        cuda.syncthreads()
        for o in range(DEPTH):
            for p in range(MICRO):
                for q in range(MICRO):
                    sums[p, q] += of_left[o, y * MICRO + p] * of_right[o, x * MICRO + q]
        cuda.syncthreads()
    for p in range(MICRO):
        for q in range(MICRO):
            a, b = a0 + y * MICRO + p, b0 + x * MICRO + q
            if a < rows and b < columns:
                spans[span, a, b] = sums[p, q]


@driver
def add_spans(spans, out, adds):
    """Write the sum of the spans' parts into ``out``, (A B,), or add it."""
    for c in range(cuda.grid(1), out.shape[0], cuda.gridsize(1)):
        total = np.float64(out[c]) if adds else np.float64(0)
        for span in range(spans.shape[0]):
            total += spans[span, c]
        out[c] = total
