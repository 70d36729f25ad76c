"""Sums over the columns of a batch's sparse rows, in any order and with the same bits.

Entries of a column lie scattered over the batch's rows, so that threads add to one sum without
knowing of each other. They add whole numbers, which gives one result in any order: each share
x_ij slope_ik is rounded to a multiple of 2^-62 of a bound of the sum, the largest slope of output k
times the largest magnitude of column j times the number of rows.
"""

import math

import numpy as np

from fastgd.kernels.cuda._compiler import BLOCK, GROUPS, LANES, cuda, driver, part
from fastgd.kernels.cuda.passes import row_at
from fastgd.kernels.rows import entries, entry

RANGE = 2.0**62
LEAST = 1e-290  # of a bound: what is less is nothing


@driver
def largest_of_columns(slopes, size, out):
    """Write the largest |slope| of each output of a batch, infinite if one is no finite number."""
    scratch = cuda.shared.array(BLOCK, np.float64)
    thread = cuda.threadIdx.x
    for k in range(cuda.blockIdx.x, out.shape[0], cuda.gridDim.x):
        largest = np.float64(0)
        for o in range(thread, size, BLOCK):
            one = abs(np.float64(slopes[o, k]))
            largest = max(largest, one if one < np.inf else np.inf)
        cuda.syncthreads()
        scratch[thread] = largest
        cuda.syncthreads()
        if thread == 0:
            for t in range(BLOCK):
                largest = max(largest, scratch[t])
            out[k] = largest


@part
def _per_unit(largest, peak, size):
    """Return how many units a number of 1 is; 0 where there is nothing to add up."""
    bound = largest * peak * size
    return RANGE / bound if LEAST < bound < np.inf else 0.0


@driver
def scatter(rows, span, slopes, largest, peaks, out):
    """Add slopes times the entries of a batch's rows.

    Parameters
    ----------
    rows : CSR
    span : Span of the batch
    slopes : (size, n_outputs)
    largest : (n_outputs,), of ``largest_of_columns``
    peaks : (n_features,), float64, the largest magnitude of each column
    out : (n_features, n_outputs), int64
    """
    lane, group = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    n_outputs, size = out.shape[1], span.stop - span.start
    for o in range(cuda.blockIdx.x * GROUPS + group, size, cuda.gridDim.x * GROUPS):
        i = row_at(span.order, span.start + o)
        begin, end = entries(rows, i)
        for number in range(lane, (end - begin) * n_outputs, LANES):
            k = number % n_outputs
            j, x = entry(rows, i, begin + number // n_outputs)
            units = _per_unit(largest[k], peaks[j], np.float64(size))
            share = np.float64(slopes[o, k]) * np.float64(x) * units
            if units > 0.0:
                cuda.atomic.add(out, (j, k), np.int64(math.floor(share + 0.5)))


@driver
def from_units(units, largest, peaks, size, gradient, first):
    """Write what was added up into the gradient from ``first`` on, and leave zeros.

    Where a slope was no finite number, neither is a sum.
    """
    n_outputs = units.shape[1]
    for c in range(cuda.grid(1), units.shape[0] * n_outputs, cuda.gridsize(1)):
        j, k = c // n_outputs, c % n_outputs
        per_unit = _per_unit(largest[k], peaks[j], np.float64(size))
        total = np.float64(units[j, k]) / per_unit if per_unit > 0.0 else 0.0
        bound = largest[k] * peaks[j]
        gradient[first + c] = total if bound < np.inf else bound - bound
        units[j, k] = 0


@driver
def sparse_product(rows, span, weights, out):
    """Write X_b W, (size, n_outputs), of a batch's sparse rows: a thread for an output."""
    n_outputs, size = out.shape[1], span.stop - span.start
    for number in range(cuda.grid(1), size * n_outputs, cuda.gridsize(1)):
        o, k = number // n_outputs, number % n_outputs
        i, total = row_at(span.order, span.start + o), 0.0
        begin, end = entries(rows, i)
        for at in range(begin, end):
            j, x = entry(rows, i, at)
            total += x * weights[j, k]
        out[o, k] = total


@driver
def scatter_numbers(numbers, slopes, largest, out):
    """Add rows of slopes to the lines that whole numbers name, as ``scatter`` does.

    Parameters
    ----------
    numbers : (n,), whole numbers, the lines
    slopes : (n, n_outputs)
    largest : (n_outputs,)
    out : (n_lines, n_outputs), int64
    """
    n_outputs, size = slopes.shape[1], slopes.shape[0]
    for number in range(cuda.grid(1), size * n_outputs, cuda.gridsize(1)):
        o, k = number // n_outputs, number % n_outputs
        units = _per_unit(largest[k], 1.0, np.float64(size))
        if units > 0.0:
            share = np.float64(slopes[o, k]) * units
            cuda.atomic.add(out, (np.int64(numbers[o]), k), np.int64(math.floor(share + 0.5)))
