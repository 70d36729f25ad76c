"""Stochastic dual coordinate ascent of a linear model with one output, without the dual.

The objective, with S = sum_i s_i and an intercept b that is free:

    F(w, b) = 1/S sum_i s_i loss(y_i, x_i w + b) + l1 |w|_1 + l2/2 |w|^2,    l2 > 0

At its optimum w is made of the derivatives r_i = loss'(raw_i), one number a sample:

    w = soft_threshold(v, l1/l2),    v = -1/(S l2) sum_i s_i r_i x_i,    sum_i s_i r_i = 0

so the solver keeps v tied to r and lets a step solve for one r_i, touching only the columns of
its own sample; there is no step size:

    q = s_i |x_i|^2 / (S l2);   r = loss'(raw_i - q (r - r_i));   v -= s_i (r - r_i) x_i / (S l2)

The intercept is tied to all samples and moves between them, by a damped Newton step on
sum_i s_i r_i, whose derivative is known from the steps since the last one.

The duality gap needs no dual variables but r: where sum_i s_i r_i = 0,

    gap = 1/S sum_i s_i (loss(raw_i) + loss*(r_i) - r_i raw_i)

References
----------
.. [1] Shalev-Shwartz & Zhang, "Stochastic Dual Coordinate Ascent Methods for Regularized Loss
   Minimization", 2013.
.. [2] Shalev-Shwartz, "SDCA without Duality, Regularization, and Individual Convexity", 2016.
   arXiv:1602.01582
.. [3] Yu, Huang & Lin, "Dual coordinate descent methods for logistic regression and maximum
   entropy models", 2011.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.rows import entries, entry, margins

INTERCEPT_STEPS = 20  # in a pass
TAIL = 8  # the last 1/8 of a pass tells how far it came
SMALLEST_SLOPE = 1e-6


class Samples(NamedTuple):
    """What comes with the rows of X.

    y : ndarray of shape (n_samples,), float64
    weight : ndarray of shape (n_samples,), float64; empty means 1
    """

    y: np.ndarray
    weight: np.ndarray


class Rule(NamedTuple):
    """What is solved.

    loss : a tag of ``losses``
    scale : float, 1 / (S l2)
    threshold : float, l1 / l2
    fit_intercept : bool
    """

    loss: NamedTuple
    scale: float
    threshold: float
    fit_intercept: bool


class Memory(NamedTuple):
    """What a pass changes; all float64.

    params : (d + 1,), v and then the intercept
    dual : (n_samples,), r
    pace : (3,), sum_i s_i r_i, its size at the last step of the intercept, and that step's damping
    """

    params: np.ndarray
    dual: np.ndarray
    pace: np.ndarray


@kernel()
def sdca_pass(rows, samples, rule, memory, order):
    """Take one step for each row of ``order``.

    Returns
    -------
    gap : float
        The mean of loss(raw) + loss*(r) - r raw over the last rows, each before its step. As none
        of them was visited for a pass, it is above the duality gap at the end.

    Notes
    -----
    Floor: one read of X, and for each non-zero a read and a write of v at a random place. |x_i|^2
    is summed beside the dot product, where it costs less than fetching it would.
    """
    y, weight, params, dual = samples.y, samples.weight, memory.params, memory.dual
    n_rows, last = order.shape[0], np.uint64(params.shape[0] - 1)
    threshold, period = rule.threshold, max(n_rows // INTERCEPT_STEPS, 1)
    total, slope, mass, gap, gap_mass = memory.pace[0], 0.0, 0.0, 0.0, 0.0
    for position in range(n_rows):
        i = np.uint64(order[position])
        begin, end = entries(rows, i)
        raw, square = params[last], 0.0
        for k in range(begin, end):
            j, x = entry(rows, i, k)
            v, x = params[j], np.float64(x)
            raw += x * (max(v - threshold, 0.0) + min(v + threshold, 0.0))
            square += x * x
        s = weight[i] if weight.shape[0] > 0 else 1.0
        old, scale = dual[i], rule.scale * s
        new, response = losses.dual_step(rule.loss, y[i], raw, old, scale * square)
        if TAIL * (n_rows - position) <= n_rows + TAIL:
            gap += s * fenchel(rule.loss, y[i], raw, old)
            gap_mass += s
        change = scale * (new - old)
        if change != 0.0:
            for k in range(begin, end):
                j, x = entry(rows, i, k)
                params[j] -= change * np.float64(x)
        dual[i] = new
        total += s * (new - old)
        slope += s * response
        mass += s
        if rule.fit_intercept and (position + 1) % period == 0:
            share = rule.scale * mass / max(slope, SMALLEST_SLOPE * mass)
            params[last] -= intercept_step(memory.pace, total, share)
            slope, mass = 0.0, 0.0
    memory.pace[0] = total
    return gap / max(gap_mass, losses.TINY)


@helper()
def intercept_step(pace, total, share):
    """Return the damped Newton step of the intercept, and note the sum it is meant to lower."""
    if abs(total) > pace[1]:
        pace[2] *= 0.5
    pace[1] = abs(total)
    return pace[2] * share * total


@helper()
def fenchel(loss, y_true, raw, dual):
    """Return loss(raw) + loss*(dual) - dual raw: zero where dual = loss'(raw), else above it."""
    pair = losses.value(loss, y_true, raw) + losses.conjugate(loss, y_true, dual)
    return max(pair - dual * raw, 0.0)
