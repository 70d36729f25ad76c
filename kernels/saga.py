"""Mini-batch SAGA: stochastic gradients whose noise dies out, with steps of constant size.

A linear model's stored gradient is one number a row (K for softmax): r_i = loss'(raw_i). A batch
of m rows, with weights s_i that sum to 1 and mean sbar, on standardised columns z:

    delta_i = s_i (loss'(raw_i) - r_i)
    g       = sum_i delta_i z_i / (m sbar) + A        A = sum_i s_i r_i z_i before the batch
    u      <- prox(u - step_size P (g + ridge u))     P a metric's inverse
    A      += sum_i delta_i z_i,   r_i = loss'(raw_i)

At the optimum delta vanishes, so that nothing needs to decay.

References
----------
.. [1] Defazio, Bach & Lacoste-Julien, "SAGA", 2014. arXiv:1407.0202
.. [2] Gazagnadou, Gower & Salmon, "Optimal mini-batch and step sizes for SAGA", 2019.
   arXiv:1902.00071
.. [3] Frangella, Rathore, Zhao & Udell, "PROMISE", 2023. arXiv:2309.02014
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.rows import accumulate, entries, entry, margins, row_at


class Samples(NamedTuple):
    """What comes with the rows of X.

    y : (n_samples,), float64; int32 for softmax
    weight : (n_samples,), float64, sums to 1
    order : (n_samples,), integer
    """

    y: np.ndarray
    weight: np.ndarray
    order: np.ndarray


class Shape(NamedTuple):
    """The coordinates, the penalty and the metric.

    center, inverse_std : (d,), float64, the standardisation (x - center) * inverse_std
    ridge, threshold : (d + 1,), float64, of standardised coefficients, 0 for the intercept
    inverse : (d + 1, d + 1), float64, P; (1, d + 1) for a diagonal, which any threshold needs
    """

    center: np.ndarray
    inverse_std: np.ndarray
    ridge: np.ndarray
    threshold: np.ndarray
    inverse: np.ndarray


class Table(NamedTuple):
    """What a pass changes.

    params : (d + 1,) or (d + 1, K), float64, standardised, the intercept last
    slopes : (n_samples,) or (n_samples, K), float64, r
    mean : like ``params``, A
    """

    params: np.ndarray
    slopes: np.ndarray
    mean: np.ndarray


@kernel(allocates=True)
def saga_pass(rows, samples, loss, shape, table, batch_size, step_size, fill):
    """Visit every row once, one output.

    Parameters
    ----------
    rows : Dense or CSR
    samples : Samples
    loss : a loss spec
    shape : Shape
    table : Table, changed in place
    batch_size : int
    step_size : float
    fill : bool
        The table is empty: take plain stochastic steps, and fill it. A is then the mean over the
        rows seen so far.

    Notes
    -----
    Floor: one read of X; with a full metric 2 d^2 flops a batch. The kernel works on raw columns:
    z' delta = inverse_std * (x' delta - center * sum delta), and the same for margins.
    """
    y, weight, order = samples.y, samples.weight, samples.order
    params, slopes, mean = table.params, table.slopes, table.mean
    center, inverse_std, inverse = shape.center, shape.inverse_std, shape.inverse
    d, n = inverse_std.shape[0], order.shape[0]
    raw_params, sums, g, step = np.zeros(d + 1), np.zeros(d + 1), np.zeros(d + 1), np.zeros(d + 1)
    raw, seen = np.empty(batch_size), 0.0
    for start in range(0, n, batch_size):
        stop = min(start + batch_size, n)
        intercept = _to_raw(params, center, inverse_std, raw_params)
        margins(rows, order, start, stop, raw_params, raw)
        total, mass = 0.0, 0.0
        for position in range(start, stop):
            i, o = row_at(order, position), position - start
            slope = losses.gradient(loss, y[i], raw[o] + intercept)
            raw[o] = weight[i] * (slope - slopes[i])
            slopes[i] = slope
        for position in range(start, stop):  # apart from stores, as in ``objective.pass_one``
            total += raw[position - start]
            mass += weight[row_at(order, position)]
        sums[:] = 0.0
        accumulate(rows, order, start, stop, raw, sums)
        seen += mass
        # While filling, A sums what was seen: as a mean it is the better estimate by far.
        scale = 1.0 / seen if fill else n / (stop - start)
        kept = scale if fill else 1.0
        for j in range(d):
            change = (sums[j] - center[j] * total) * inverse_std[j]
            g[j] = scale * change + kept * mean[j] + shape.ridge[j] * params[j]
            mean[j] += change
        g[d] = scale * total + kept * mean[d]
        mean[d] += total
        _precondition(inverse, g, step)
        _descend(params, step, shape.threshold, inverse, step_size)


@helper()
def _to_raw(params, center, inverse_std, out):
    """Write the raw coefficients and return the raw intercept."""
    d = center.shape[0]
    intercept = params[d]
    for j in range(d):
        out[j] = params[j] * inverse_std[j]
    for j in range(d):
        intercept -= out[j] * center[j]
    return intercept


@helper()
def _precondition(inverse, g, step):
    """Write P g into ``step``."""
    size = g.shape[0]
    if inverse.shape[0] == 1:
        for j in range(size):
            step[j] = inverse[0, j] * g[j]
        return
    for i in range(size):
        total = 0.0
        for j in range(size):
            total += inverse[i, j] * g[j]
        step[i] = total


@helper()
def _descend(params, step, threshold, inverse, step_size):
    """Take the step, and the proximal one of l1, whose length is the diagonal metric's."""
    for j in range(params.shape[0]):
        moved = params[j] - step_size * step[j]
        t = threshold[j]
        if t > 0.0:
            t *= step_size * inverse[0, j]
            moved = max(moved - t, 0.0) + min(moved + t, 0.0)
        params[j] = moved


@kernel(allocates=True)
def saga_pass_softmax(rows, samples, loss, shape, table, batch_size, step_size, fill):
    """Visit every row once, many outputs that share the metric; else as ``saga_pass``.

    Notes
    -----
    Floor: 4 d K flops a row, and 2 d^2 K a batch with a full metric: BLAS's, held to one thread.
    """
    y, weight, order = samples.y, samples.weight, samples.order
    params, slopes, mean = table.params, table.slopes, table.mean
    d, n_outputs, n = shape.inverse_std.shape[0], params.shape[1], order.shape[0]
    block, raw = np.empty((batch_size, d + 1)), np.empty((batch_size, n_outputs))
    g, seen = np.zeros((d + 1, n_outputs)), 0.0
    for start in range(0, n, batch_size):
        size = min(start + batch_size, n) - start
        z, delta = block[:size], raw[:size]
        _gather(rows, order, start, size, shape.center, shape.inverse_std, z)
        np.dot(z, params, delta)
        for o in range(size):
            i = row_at(order, start + o)
            losses.gradient_row(loss, y[i], delta[o], delta[o])
            for k in range(n_outputs):
                slope = delta[o, k]
                delta[o, k] = weight[i] * (slope - slopes[i, k])
                slopes[i, k] = slope
            seen += weight[i]
        change = np.dot(z.T, delta)
        scale = 1.0 / seen if fill else n / size
        kept = scale if fill else 1.0
        for j in range(d + 1):
            for k in range(n_outputs):
                g[j, k] = scale * change[j, k] + kept * mean[j, k] + shape.ridge[j] * params[j, k]
                mean[j, k] += change[j, k]
        if shape.inverse.shape[0] == 1:
            for j in range(d + 1):
                for k in range(n_outputs):
                    change[j, k] = shape.inverse[0, j] * g[j, k]
        else:
            np.dot(shape.inverse, g, change)
        for j in range(d + 1):
            t = shape.threshold[j]
            if t > 0.0:
                t *= step_size * shape.inverse[0, j]
            for k in range(n_outputs):
                moved = params[j, k] - step_size * change[j, k]
                params[j, k] = max(moved - t, 0.0) + min(moved + t, 0.0)


@helper()
def _gather(rows, order, start, size, center, inverse_std, z):
    """Write the standardised rows of a batch, and a last column of ones."""
    d = center.shape[0]
    for o in range(size):
        i = row_at(order, start + o)
        for j in range(d):
            z[o, j] = -center[j] * inverse_std[j]
        z[o, d] = 1.0
        begin, end = entries(rows, i)
        for k in range(begin, end):
            j, x = entry(rows, i, k)
            z[o, j] = (x - center[j]) * inverse_std[j]
