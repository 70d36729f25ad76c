"""Full passes: the objective, its gradient, and the columns' moments and weighted products.

A pass visits a span of rows in blocks that stay in cache between X_b w and X_b' r, so that it reads
X from memory once. Spans are summed by the caller, who may run them in threads.

Two coordinate systems meet here. One-output passes take raw parameters in float64, which is what
memory bandwidth allows anyway. Many-output passes and matrix products work on standardised blocks
(x - center) * shrink, written into a scratch block: they are BLAS's work, often in float32, where
columns of 1e9 would overflow a square and a large offset would eat all digits.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses
from fastgd.kernels._hook import cast
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.rows import accumulate, entries, entry, margins, standardise

ROWS_IN_CACHE = 64


class Frame(NamedTuple):
    """The coordinates u in which a solver works: (x - center) * shrink.

    center, shrink : (n_features,), float64; shrink is 0 for a constant column
    """

    center: np.ndarray
    shrink: np.ndarray


@kernel()
def add_moments(rows, is_sparse, weight, shift, start, stop, first, second):
    """Add sum_i s_i (x_ij - c_j) and sum_i s_i (x_ij - c_j)^2, columns j.

    Sparse rows add what their stored entries differ from zeros: (x - c) - (-c) and
    (x - c)^2 - c^2. The caller adds the zeros', -c and c^2 times the weights' sum.

    Parameters
    ----------
    rows : Dense or CSR
    is_sparse : bool, of ``rows``
    weight : (n_samples,), float64
    shift : (n_features,), c, near the means so that nothing cancels
    first, second : (n_features,), float64, changed in place
    """
    sparse = 1.0 if is_sparse else 0.0
    for i in range(start, stop):
        s = weight[i]
        begin, end = entries(rows, i)
        for k in range(begin, end):
            j, x = entry(rows, i, k)
            c = shift[j]
            distance = x - c
            first[j] += s * (distance + sparse * c)
            second[j] += s * (distance * distance - sparse * c * c)


@kernel()
def pass_one(rows, y, weight, loss, params, start, stop, gradient, curvature):
    """Add up loss and gradient of one output over the rows ``start`` to ``stop``.

    Parameters
    ----------
    rows : Dense or CSR
    y, weight : (n_samples,), float64
    params : (n_features + 1,), float64, raw, the intercept last
    gradient : (n_features + 1,), float64, changed in place: sum_i s_i loss'_i (x_i, 1)
    curvature : (n_samples,), float64, written: s_i loss''_i

    Returns
    -------
    float : sum_i s_i loss_i

    Notes
    -----
    Floor: one read of X; in float64 arithmetic about twice that on one core.
    """
    order, raw = np.empty(0, np.int64), np.empty(ROWS_IN_CACHE)
    last = params.shape[0] - 1
    intercept, total, slopes = params[last], 0.0, 0.0
    for first in range(start, stop, ROWS_IN_CACHE):
        beyond = min(first + ROWS_IN_CACHE, stop)
        margins(rows, order, first, beyond, params, raw)
        for i in range(first, beyond):
            o = np.uint64(i - first)
            at, s = raw[o] + intercept, weight[i]
            total += s * losses.value(loss, y[i], at)
            curvature[i] = s * losses.curvature(loss, y[i], at)
            slope = s * losses.gradient(loss, y[i], at)
            slopes += slope
            raw[o] = slope
        accumulate(rows, order, first, beyond, raw, gradient)
    gradient[last] += slopes
    return total


@kernel()
def pass_softmax(rows, y, weight, loss, frame, params, start, stop, block, gradient):
    """Add up loss and gradient of many outputs, on standardised blocks.

    Parameters
    ----------
    rows : Dense or CSR
    y : (n_samples,), int32, the classes' numbers
    weight : (n_samples,), float64
    loss : Softmax
    frame : Frame
    params : (n_features + 1, n_outputs), float64, in the frame's coordinates
    block : (n_block, n_features), scratch; its type is the type of the arithmetic
    gradient : (n_features + 1, n_outputs), float64, changed in place

    Returns
    -------
    float : sum_i s_i loss_i

    Notes
    -----
    Floor: 4 d K flops a row, BLAS's; call it with BLAS held to one thread.
    """
    center, shrink = frame.center, frame.shrink
    d, n_outputs = params.shape[0] - 1, params.shape[1]
    one = block[0, 0] * 0 + 1
    coef = np.empty((d, n_outputs), block.dtype)
    for j in range(d):
        for k in range(n_outputs):
            coef[j, k] = cast(params[j, k], one)
    raw, total = np.empty((block.shape[0], n_outputs), block.dtype), 0.0
    for first in range(start, stop, block.shape[0]):
        size = min(first + block.shape[0], stop) - first
        standardise(rows, center, shrink, first, size, block)
        np.dot(block[:size], coef, raw[:size])
        total += _slopes_of_block(y, weight, loss, params[d], first, size, raw, gradient[d])
        add_block(np.dot(block[:size].T, raw[:size]), gradient)
    return total


@helper()
def _slopes_of_block(y, weight, loss, intercept, first, size, raw, sums):
    """Replace X_b W by s_i (softmax - onehot); return the weighted loss and add up the slopes."""
    total = 0.0
    for o in range(size):
        row, s = raw[o], weight[first + o]
        for k in range(row.shape[0]):
            row[k] += intercept[k]
        total += s * losses.gradient_row(loss, y[first + o], row, row)
        for k in range(row.shape[0]):
            row[k] *= s
            sums[k] += row[k]
    return total


@helper()
def add_block(block, total):
    """Add a block of BLAS's sums to the float64 total, whose last row is the intercept's."""
    for j in range(block.shape[0]):
        for k in range(block.shape[1]):
            total[j, k] += block[j, k]


@kernel()
def weigh_rows(rows, frame, weight, first, size, out):
    """Write sqrt(weight_i) (z_i, 1) into ``out``, z_i the standardised row.

    Then out' out adds the rows' part to the weighted products sum_i h_i (z_i, 1) (z_i, 1)'.

    Parameters
    ----------
    rows : Dense or CSR
    frame : Frame
    weight : (n_samples,), float64, >= 0
    out : (size or more, n_features + 1), changed in place; its type is that of the arithmetic
    """
    d = out.shape[1] - 1
    standardise(rows, frame.center, frame.shrink, first, size, out)
    for o in range(size):
        root = cast(np.sqrt(weight[first + o]), out[0, 0])
        for j in range(d):
            out[o, j] *= root
        out[o, d] = root


@kernel()
def weigh_classes(rows, frame, weight, params, first, size, block, raw, out):
    """Write sqrt(s_i) p_ik (z_i, 1) for all classes k, side by side, into ``out``.

    Then out' out is what the softmax's Hessian subtracts from its diagonal blocks
    sum_i s_i p_ik (z_i, 1) (z_i, 1)'; ``raw`` keeps p_ik for these.

    Parameters
    ----------
    rows : Dense or CSR
    frame : Frame
    weight : (n_samples,), float64
    params : (n_features + 1, n_outputs), float64, in the frame's coordinates
    block : (size or more, n_features + 1), changed in place: sqrt(s_i) (z_i, 1)
    raw : (size or more, n_outputs), changed in place: p_ik
    out : (size or more, n_outputs (n_features + 1)), changed in place
    """
    width, n_outputs = params.shape
    standardise(rows, frame.center, frame.shrink, first, size, block)
    for o in range(size):
        root = cast(np.sqrt(weight[first + o]), block[0, 0])
        block[o, width - 1] = 1
        _probabilities(block[o], params, raw[o])
        for j in range(width):
            block[o, j] *= root
        for k in range(n_outputs):
            p = raw[o, k]
            for j in range(width):
                out[o, np.uint64(k * width + j)] = p * block[o, j]


@helper()
def _probabilities(row, params, raw):
    """Write softmax(row params) into ``raw``."""
    n_outputs = params.shape[1]
    total = np.zeros(n_outputs)
    for j in range(row.shape[0]):
        for k in range(n_outputs):
            total[k] += row[j] * params[j, k]
    losses.inverse_link_row(losses.Softmax(), total, total)
    for k in range(n_outputs):
        raw[k] = total[k]
