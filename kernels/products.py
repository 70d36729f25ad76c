"""Products with a Hessian: entry by entry into a matrix, or with a vector in one pass over X.

All of it works on raw columns, since a centred sparse row is a dense one; the caller centres the
results.
"""

import numpy as np

from fastgd.kernels import losses
from fastgd.kernels._jit import kernel
from fastgd.kernels.objective import ROWS_IN_CACHE, add_slopes_of_row, raw_of_row
from fastgd.kernels.rows import accumulate, entries, entry, margins


@kernel(allocates=True)
def add_products(rows, place, shift, weight, start, stop, total):
    """Add the rows' part to sum_i h_i (x_i, 1) (x_i, 1)' of some columns, its upper triangle.

    x_ij is less ``shift_j``, where it is stored.

    Parameters
    ----------
    rows : CSR
    place : (n_features,), int64: the column of ``total`` where a column goes, -1 for nowhere;
        ascending
    shift : (n_features,), float64
    weight : (n_samples,), float64, h
    total : (k + 1, k + 1), float64, changed in place; the intercept comes last

    Notes
    -----
    Floor: a read and a write for each pair of non-zeros in a row.
    """
    last = total.shape[0] - 1
    where, values = np.empty(total.shape[0], np.int64), np.empty(total.shape[0])
    for i in range(start, stop):
        h, count = weight[i], 0
        begin, end = entries(rows, i)
        for k in range(begin, end):
            j, x = entry(rows, i, k)
            if place[j] >= 0:
                where[count], values[count] = place[j], x - shift[j]
                count += 1
        where[count], values[count] = last, 1.0
        count += 1
        for a in range(count):
            scaled, at = h * values[a], np.uint64(where[a])
            for b in range(a, count):
                total[at, np.uint64(where[b])] += scaled * values[b]


@kernel()
def standardise_products(total, center, inverse_std):
    """Turn sums of products of raw columns into those of (x - m) inverse_std, both triangles.

    sum h (x - m)(x - m)' = sum h x x' - m s' - (s - m sum h) m',  s = sum h x

    Parameters
    ----------
    total : (n_columns + 1, n_columns + 1), float64, changed in place; the upper triangle is read,
        and its last column is s
    center, inverse_std : (n_columns,), float64
    """
    last = center.shape[0]
    mass = total[last, last]
    for i in range(last):
        rest = total[i, last] - mass * center[i]
        for j in range(i, last):
            moved = (total[i, j] - center[i] * total[j, last]) - rest * center[j]
            total[i, j] = moved * inverse_std[i] * inverse_std[j]
            total[j, i] = total[i, j]
        total[last, i] = rest * inverse_std[i]
    for i in range(last):
        total[i, last] = total[last, i]


@kernel()
def add_squares(rows, weight, start, stop, first, second):
    """Add sum_i h_i x_ij and sum_i h_i x_ij^2; ``first`` has the intercept last."""
    last = first.shape[0] - 1
    for i in range(start, stop):
        h = weight[i]
        begin, end = entries(rows, i)
        for k in range(begin, end):
            j, x = entry(rows, i, k)
            first[j] += h * x
            second[j] += h * x * x
        first[last] += h


@kernel(allocates=True)
def curve(rows, curvature, params, start, stop, out):
    """Add sum_i h_i (x_i, 1) (x_i, 1)'v to ``out``, for one output.

    Parameters
    ----------
    rows : Dense or CSR
    curvature : (n_samples,), float64, h
    params : (n_features + 1,), float64, v, raw, the intercept last
    out : (n_features + 1,), float64, changed in place
    """
    order, raw = np.empty(0, np.int64), np.empty(ROWS_IN_CACHE)
    last, slopes = params.shape[0] - 1, 0.0
    intercept = params[last]
    for first in range(start, stop, ROWS_IN_CACHE):
        beyond = min(first + ROWS_IN_CACHE, stop)
        margins(rows, order, first, beyond, params, raw)
        for o in range(beyond - first):
            raw[o] = curvature[first + o] * (raw[o] + intercept)
        for o in range(beyond - first):
            slopes += raw[o]
        accumulate(rows, order, first, beyond, raw, out)
    out[last] += slopes


@kernel(allocates=True)
def write_probabilities(rows, params, start, stop, out):
    """Write the softmax of the raw predictions of the rows ``start`` to ``stop`` into ``out``.

    Parameters
    ----------
    rows : Dense or CSR
    params : (n_features + 1, n_outputs), float64, raw, the intercepts last
    out : (n_samples, n_outputs), float64
    """
    n_outputs = params.shape[1]
    raw = np.empty(n_outputs)
    for i in range(start, stop):
        raw_of_row(rows, i, params, raw)
        losses.inverse_link_row(losses.Softmax(0.0), raw, raw)
        for k in range(n_outputs):
            out[i, k] = raw[k]


@kernel(allocates=True)
def curve_softmax(rows, weight, probabilities, more, params, start, stop, out):
    """Add sum_i s_i (x_i, 1) [(diag(p_i) - p_i p_i' + a) V'(x_i, 1)]' to ``out``.

    Parameters
    ----------
    rows : Dense or CSR
    weight : (n_samples,), float64, s
    probabilities : (n_samples, n_outputs), float64, p
    more : float, a, what makes the curvature larger
    params : (n_features + 1, n_outputs), float64, V, raw, the intercepts last
    out : (n_features + 1, n_outputs), float64, changed in place

    Notes
    -----
    Floor: for each non-zero a read of K numbers, and a read and a write of K.
    """
    n_outputs = params.shape[1]
    raw = np.empty(n_outputs)
    for i in range(start, stop):
        raw_of_row(rows, i, params, raw)
        mean = 0.0
        for k in range(n_outputs):
            mean += probabilities[i, k] * raw[k]
        for k in range(n_outputs):
            raw[k] = weight[i] * (probabilities[i, k] * (raw[k] - mean) + more * raw[k])
        add_slopes_of_row(rows, i, raw, out)
