"""Dual coordinate ascent of the support vector machine of all classes (Crammer and Singer).

The problem and its dual, with e_ik = 1 for k != y_i, else 0, and C_i the cost of a row, are

    min 1/2 |W|^2 + sum_i C_i max_k (e_ik + w_k x_i - w_{y_i} x_i)
    max -1/2 |W|^2 - sum_ik e_ik a_ik,  W = sum_i a_i x_i',  a_ik <= C_i [k = y_i],  sum_k a_ik = 0

A step maximises over a row's a_i with the others fixed: with q = |x_i|^2 and B_k = w_k x_i + e_ik -
q a_ik, that is a_ik = min(C_i [k = y_i], (t - B_k) / q), with t such that they sum to zero. The
numbers (C_i [k = y_i] - a_ik) / C_i are a projection onto the simplex.

References
----------
.. [1] Crammer & Singer, "On the algorithmic implementation of multiclass kernel-based vector
   machines", 2001.
.. [2] Keerthi, Sundararajan, Chang, Hsieh & Lin, "A sequential dual method for large scale
   multi-class linear SVMs", 2008.
.. [3] Michelot, "A finite algorithm for finding the projection of a point onto the canonical
   simplex of R^n", 1986.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.rows import entries, entry


class Memory(NamedTuple):
    """What steps change.

    params : (n_features, n_classes), float64, W'
    dual : (n_samples, n_classes), float64, a
    gap : (n_samples,), float64, each row's share of the duality gap when it was visited last
    """

    params: np.ndarray
    dual: np.ndarray
    gap: np.ndarray


@kernel(allocates=True)
def crammer_singer_pass(rows, y, cost, memory, order):
    """Take one step for each row of ``order``.

    Parameters
    ----------
    rows : Dense or CSR
    y : (n_samples,), int32, the classes' numbers
    cost : (n_samples,), float64, C_i
    memory : Memory, changed in place
    order : (n,), int32

    Notes
    -----
    Floor: two reads of a row, 4 K flops for each of its non-zeros.
    """
    params, dual = memory.params, memory.dual
    n_classes = params.shape[1]
    raw, step = np.zeros(n_classes), np.zeros(n_classes)
    for position in range(order.shape[0]):
        i = np.uint64(order[position])
        square = _raw_row(rows, i, params, raw)
        own, bound = y[i], cost[i]
        memory.gap[i] = _gap_of_row(raw, dual[i], own, bound)
        if square == 0.0 or bound == 0.0:
            continue
        for k in range(n_classes):
            step[k] = raw[k] + (square * bound if k == own else 1.0) - square * dual[i, k]
        level = _level(step, square * bound)
        moved = 0.0
        for k in range(n_classes):
            new = (bound if k == own else 0.0) - max(step[k] - level, 0.0) / square
            step[k] = new - dual[i, k]
            dual[i, k] = new
            moved = max(moved, abs(step[k]))
        if moved > 0.0:
            _move_row(rows, i, params, step)


@helper()
def _raw_row(rows, i, params, raw):
    """Write W x_i into ``raw``; return |x_i|^2."""
    begin, end = entries(rows, i)
    raw[:] = 0.0
    square = 0.0
    for k in range(begin, end):
        j, value = entry(rows, i, k)
        x = np.float64(value)
        square += x * x
        for o in range(raw.shape[0]):
            raw[o] += x * params[j, o]
    return square


@helper()
def _move_row(rows, i, params, step):
    """Add step x_i' to W."""
    begin, end = entries(rows, i)
    for k in range(begin, end):
        j, value = entry(rows, i, k)
        x = np.float64(value)
        for o in range(step.shape[0]):
            params[j, o] += x * step[o]


@helper()
def _gap_of_row(raw, dual, own, bound):
    """Return a_i raw_i + C_i loss_i + e_i a_i, which is not negative."""
    largest, total = raw[own], raw[own] * dual[own]
    for k in range(raw.shape[0]):
        if k != own:
            largest = max(largest, raw[k] + 1.0)
            total += dual[k] * (raw[k] + 1.0)
    return max(total + bound * (largest - raw[own]), 0.0)


@helper()
def _level(values, mass):
    """Return t with sum_k max(values_k - t, 0) = mass > 0, by dropping what is below."""
    total, count = 0.0, values.shape[0]
    for k in range(values.shape[0]):
        total += values[k]
    level = (total - mass) / count
    while True:
        total, kept = 0.0, 0
        for k in range(values.shape[0]):
            if values[k] > level:
                total += values[k]
                kept += 1
        if kept == count or kept == 0:
            return level
        count, level = kept, (total - mass) / kept
