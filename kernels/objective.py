"""Full passes: the objective, its gradient, and the columns' moments and weighted products.

A pass visits a span of rows in blocks that stay in cache between X_b w and X_b' r, so that it reads
X from memory once. Spans are summed by the caller, who may run them in threads.

Two coordinate systems meet here. One-output passes take raw parameters in float64, which is what
memory bandwidth allows anyway. Many-output passes and matrix products work on standardised blocks
(x - center) * inverse_std, written into a scratch block: they are BLAS's work, often in float32,
where columns of 1e9 would overflow a square and a large offset would eat all digits.
"""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses
from fastgd.kernels._hook import cast
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.elementary import exp
from fastgd.kernels.rows import accumulate, entries, entry, margins, standardise

ROWS_IN_CACHE = 64
NEARLY_CERTAIN = 1e-3  # of the exponentials' sum: less is summed without the largest


class Scaler(NamedTuple):
    """The coordinates u in which a solver works: (x - center) * inverse_std.

    center, inverse_std : (n_features,), float64; inverse_std is 0 for a constant column
    """

    center: np.ndarray
    inverse_std: np.ndarray


class Moments(NamedTuple):
    """Sums over rows, for each column; all (n_features,), float64.

    first, second : of x - c and its square, times the weights
    least, largest : of the entries that are stored
    """

    first: np.ndarray
    second: np.ndarray
    least: np.ndarray
    largest: np.ndarray


class Targets(NamedTuple):
    """What comes with the rows of X.

    y : (n_samples,), float64; for softmax the classes' numbers, int32
    weight : (n_samples,), float64
    """

    y: np.ndarray
    weight: np.ndarray


@kernel()
def add_moments(rows, is_sparse, weight, shift, start, stop, moments):
    """Add sum_i s_i (x_ij - c_j) and sum_i s_i (x_ij - c_j)^2, columns j.

    Sparse rows add what their stored entries differ from zeros: (x - c) - (-c) and
    (x - c)^2 - c^2. The caller adds the zeros', -c and c^2 times the weights' sum.

    Parameters
    ----------
    rows : Dense or CSR
    is_sparse : bool, of ``rows``
    weight : (n_samples,), float64
    shift : (n_features,), c, near the means so that nothing cancels
    moments : Moments, changed in place
    """
    first, second, least, largest = moments
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
            least[j] = min(least[j], x)
            largest[j] = max(largest[j], x)


@kernel(allocates=True)
def pass_one(rows, targets, loss, params, start, stop, gradient, curvature):
    """Add up loss and gradient of one output over the rows ``start`` to ``stop``.

    Parameters
    ----------
    rows : Dense or CSR
    targets : Targets
    params : (n_features + 1,), float64, raw, the intercept last
    gradient : (n_features + 1,), float64, changed in place: sum_i s_i loss'_i (x_i, 1)
    curvature : (n_samples,), float64, written: s_i |loss''_i|, so that a step descends where a
        loss is not convex, too

    Returns
    -------
    float : sum_i s_i loss_i

    Notes
    -----
    Floor: one read of X; in float64 arithmetic about twice that on one core.
    """
    y, weight = targets.y, targets.weight
    order, raw = np.empty(0, np.int64), np.empty(ROWS_IN_CACHE)
    last = params.shape[0] - 1
    intercept, total, slopes = params[last], 0.0, 0.0
    for first in range(start, stop, ROWS_IN_CACHE):
        beyond = min(first + ROWS_IN_CACHE, stop)
        margins(rows, order, first, beyond, params, raw)
        # Sums apart from stores: a loop with both is vector code only where the arrays' addresses
        # pass a test, and its sums' last digits would depend on them.
        for i in range(first, beyond):
            o = np.uint64(i - first)
            total += weight[i] * losses.value(loss, y[i], raw[o] + intercept)
        for i in range(first, beyond):
            o = np.uint64(i - first)
            at = raw[o] + intercept
            curvature[i] = weight[i] * abs(losses.curvature(loss, y[i], at))
            raw[o] = weight[i] * losses.gradient(loss, y[i], at)
        for o in range(beyond - first):
            slopes += raw[o]
        accumulate(rows, order, first, beyond, raw, gradient)
    gradient[last] += slopes
    return total


@kernel(allocates=True)
def predict_raw(rows, params, start, stop, raw):
    """Write x_i w + b into ``raw`` for the rows ``start`` to ``stop``; floor: one read of X."""
    intercept = params[params.shape[0] - 1]
    margins(rows, np.empty(0, np.int64), start, stop, params, raw[start:stop])
    for i in range(start, stop):
        raw[i] += intercept


@kernel(allocates=True)
def add_gradient(rows, slopes, start, stop, gradient):
    """Add sum_i slopes_i (x_i, 1) over the rows ``start`` to ``stop``; floor: one read of X.

    Parameters
    ----------
    rows : Dense or CSR
    slopes : (n_samples,), float64
    gradient : (n_features + 1,), float64, changed in place
    """
    accumulate(rows, np.empty(0, np.int64), start, stop, slopes[start:stop], gradient)
    # not added up in the array: the order of such a sum depends on where both arrays lie
    total = 0.0
    for i in range(start, stop):
        total += slopes[i]
    gradient[gradient.shape[0] - 1] += total


@kernel()
def total_loss(y, weight, loss, raw):
    """Return sum_i s_i loss(y_i, raw_i)."""
    total = 0.0
    for i in range(y.shape[0]):
        total += weight[i] * losses.value(loss, y[i], raw[i])
    return total


@kernel(allocates=True)
def pass_softmax(rows, targets, scaler, params, start, stop, block, gradient):
    """Add up loss and gradient of softmax, on standardised blocks.

    Parameters
    ----------
    rows : Dense or CSR
    targets : Targets
    scaler : Scaler
    params : (n_outputs, n_features + 1), float64, in the scaler's coordinates
    block : (n_block, n_features), scratch; its type is the type of the arithmetic
    gradient : (n_outputs, n_features + 1), float64, changed in place

    Returns
    -------
    float : sum_i s_i loss_i

    Notes
    -----
    Floor: 4 d K flops a row, BLAS's; call it with BLAS held to one thread. Raw predictions lie
    with the classes outermost, so that the loops over a block's rows are vector code: with few
    classes that is what a pass costs.
    """
    y, weight, center, inverse_std = targets.y, targets.weight, scaler.center, scaler.inverse_std
    coef, total = coefficients_in_type(params, block), 0.0
    last = params.shape[1] - 1
    for first in range(start, stop, block.shape[0]):
        size = min(first + block.shape[0], stop) - first
        standardise(rows, center, inverse_std, first, size, block)
        z = block[:size]
        raw = np.dot(coef, z.T)
        total += slopes_of_block(y, weight, params[:, last], first, raw, gradient[:, last])
        products = np.dot(raw, z)
        for k in range(products.shape[0]):
            for j in range(last):
                gradient[k, j] += products[k, j]
    return total


@kernel(allocates=True)
def pass_softmax_sparse(rows, targets, params, start, stop, gradient):
    """Add up loss and gradient of softmax entry by entry, on raw columns.

    Parameters
    ----------
    rows : CSR
    targets : Targets
    params : (n_features + 1, n_outputs), float64, raw, intercepts last
    gradient : (n_features + 1, n_outputs), float64, changed in place

    Returns
    -------
    float : sum_i s_i loss_i

    Notes
    -----
    Floor: for each non-zero a read of K coefficients and a read and a write of K slopes.
    """
    y, weight, n_outputs = targets.y, targets.weight, params.shape[1]
    raw, total = np.empty(n_outputs), 0.0
    for i in range(start, stop):
        raw_of_row(rows, i, params, raw)
        total += weight[i] * losses.gradient_row(losses.Softmax(0.0), y[i], raw, raw)
        for k in range(n_outputs):
            raw[k] *= weight[i]
        add_slopes_of_row(rows, i, raw, gradient)
    return total


@helper()
def raw_of_row(rows, i, params, raw):
    """Write params'(x_i, 1) into ``raw``; params : (n_features + 1, n_outputs)."""
    last = np.uint64(params.shape[0] - 1)
    for k in range(raw.shape[0]):
        raw[k] = params[last, k]
    begin, end = entries(rows, i)
    for at in range(begin, end):
        j, x = entry(rows, i, at)
        for k in range(raw.shape[0]):
            raw[k] += x * params[j, k]


@helper()
def add_slopes_of_row(rows, i, slopes, out):
    """Add (x_i, 1) slopes' to ``out``, (n_features + 1, n_outputs)."""
    last = np.uint64(out.shape[0] - 1)
    begin, end = entries(rows, i)
    for at in range(begin, end):
        j, x = entry(rows, i, at)
        for k in range(slopes.shape[0]):
            out[j, k] += x * slopes[k]
    for k in range(slopes.shape[0]):
        out[last, k] += slopes[k]


@helper(allocates=True)
def coefficients_in_type(params, block):
    """Return the parameters without the intercept, in the type of the arithmetic."""
    coef = np.empty((params.shape[0], params.shape[1] - 1), block.dtype)
    for k in range(coef.shape[0]):
        for j in range(coef.shape[1]):
            coef[k, j] = params[k, j]
    return coef


@helper()
def _exponentials(intercept, raw, largest, total):
    """Replace W'X_b' by exp(raw - its row's largest); write these and the exponentials' sums."""
    n_outputs, size = raw.shape
    for o in range(size):
        largest[o] = raw[0, o] + intercept[0]
        total[o] = 0.0
    for k in range(n_outputs):
        b = cast(intercept[k], raw[0, 0])
        for o in range(size):
            raw[k, o] += b
            largest[o] = max(largest[o], raw[k, o])
    for k in range(n_outputs):
        for o in range(size):
            e = exp(raw[k, o] - largest[o])
            total[o] += e
            raw[k, o] = e


@helper()
def _others(raw, total, k, o):
    """Return the sum of a row's exponentials but class k's, with all digits."""
    rest = total[o] - raw[k, o]
    if rest < NEARLY_CERTAIN * total[o]:
        rest = 0.0
        for m in range(raw.shape[0]):
            rest += raw[m, o] if m != k else 0.0
    return rest


@helper(allocates=True)
def slopes_of_block(y, weight, intercept, first, raw, sums):
    """Replace W'X_b' by s_i (softmax - onehot); return the weighted loss and add up the slopes."""
    n_outputs, size = raw.shape
    largest, total, beyond = np.empty(size), np.empty(size), np.empty(size)
    for o in range(size):
        truth = y[first + o]
        beyond[o] = raw[truth, o] + cast(intercept[truth], raw[0, 0])
    _exponentials(intercept, raw, largest, total)
    loss = 0.0
    for o in range(size):
        truth, beyond[o] = y[first + o], beyond[o] - largest[o]
        others = _others(raw, total, truth, o)
        log_total = math.log1p(others) if beyond[o] == 0.0 else math.log(total[o]) - beyond[o]
        loss += weight[first + o] * log_total
        raw[truth, o] = -others
        total[o] = weight[first + o] / total[o]
    for k in range(n_outputs):
        slopes = 0.0
        for o in range(size):
            raw[k, o] *= total[o]
        for o in range(size):
            slopes += raw[k, o]
        sums[k] += slopes
    return loss


@kernel()
def weigh_rows(rows, scaler, weight, first, size, out):
    """Write sqrt(weight_i) (z_i, 1) into ``out``, z_i the standardised row.

    Then out' out adds the rows' part to the weighted products sum_i h_i (z_i, 1) (z_i, 1)'.

    Parameters
    ----------
    rows : Dense or CSR
    scaler : Scaler
    weight : (n_samples,), float64, >= 0; empty means 1
    out : (size or more, n_features + 1), changed in place; its type is that of the arithmetic
    """
    last = out.shape[1] - 1
    standardise(rows, scaler.center, scaler.inverse_std, first, size, out)
    for o in range(size):
        out[o, last] = 1
        if weight.shape[0] > 0:
            root = cast(np.sqrt(weight[first + o]), out[0, 0])
            for j in range(out.shape[1]):
                out[o, j] *= root


@kernel(allocates=True)
def weigh_classes(weight, first, raw, block, out):
    """Write sqrt(s_i) p_ik (z_i, 1) for all classes k, side by side, into ``out``.

    Then ``out' out`` is what the softmax's Hessian has off its diagonal blocks, but for the sign.
    These blocks are sum_i s_i p_ik (1 - p_ik) (z_i, 1) (z_i, 1)', and no difference.

    Parameters
    ----------
    weight : (n_samples,), float64
    first : int, the row that is the block's first
    raw : (n_outputs, size), raw predictions, replaced by 1 - p_ik
    block : (size, n_features + 1), (z_i, 1), multiplied by sqrt(s_i) in place
    out : (size, n_outputs (n_features + 1)), changed in place

    """
    n_outputs, size = raw.shape
    width = block.shape[1]
    largest, total, rest = np.empty(size), np.empty(size), np.empty(n_outputs)
    _exponentials(np.zeros(n_outputs), raw, largest, total)
    for o in range(size):
        root = cast(np.sqrt(weight[first + o]), block[0, 0])
        for j in range(width):
            block[o, j] *= root
        for k in range(n_outputs):
            rest[k] = _others(raw, total, k, o) / total[o]
        for k in range(n_outputs):
            p = cast(raw[k, o] / total[o], block[0, 0])
            for j in range(width):
                out[o, np.uint64(k * width + j)] = p * block[o, j]
            raw[k, o] = rest[k]
