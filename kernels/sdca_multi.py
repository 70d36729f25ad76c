"""Stochastic dual coordinate ascent of softmax regression: K derivatives a sample.

All is as in ``sdca``, with a row r_i = softmax(raw_i) - e_y, which sums to zero, in place of a
number. A step solves the row's proximal problem

    p = softmax(raw_i - q (p - p_old)),    p = r + e_y

by one Newton step, whose matrix I + q (diag(p) - p p') is inverted in O(K) (Sherman & Morrison),
and one softmax, which brings the result back into the simplex. Where that misses the solution by
much, the step is p_old + (softmax(raw_i) - p_old) / (1 + q/2) instead, which always climbs: 1/2
bounds the curvature of the loss.

Parameters are (d + 1, width), width the next multiple of 16 from K on, so that a non-zero touches
whole vectors of neighbours.

References
----------
.. [1] Shalev-Shwartz & Zhang, "Accelerated proximal stochastic dual coordinate ascent for
   regularized loss minimization", 2016, section 5 (multiclass).
.. [2] Boehning, "Multinomial logistic regression algorithm", 1992 (the bound 1/2).
"""

import math

import numpy as np

from fastgd.kernels._hook import cast
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.elementary import exp
from fastgd.kernels.losses import TINY
from fastgd.kernels.rows import entries, entry
from fastgd.kernels.sdca import (
    FORGET,
    INTERCEPT_STEPS,
    MASS,
    MIDDLE,
    PENDING,
    SIZE,
    SLOPE,
    SMALLEST_SLOPE,
    TAIL,
    TOTAL,
)

LANES = 16
# The intercepts' curvature is a graph's Laplacian: its eigenvalues lie within [0, 2] of its
# diagonal. Steps of 2/3 shrink an error three times where the largest is 2, as for two classes.
CAUTION = 1.5
MOST_MISSED = 0.5


@kernel(allocates=True)
def sdca_multi_pass(rows, samples, rule, memory, order, is_first):
    """Take one step for each row of ``order``; parameters and sums are those of ``sdca_pass``."""
    y, weight, params, dual = samples.y, samples.weight, memory.params, memory.dual
    mean, along, running = memory.mean, memory.along, memory.running
    n_rows, last, width = order.shape[0], np.uint64(params.shape[0] - 1), params.shape[1]
    size, n_outputs, threshold = running[SIZE, 0], dual.shape[1], rule.threshold
    period, later = max(n_rows // INTERCEPT_STEPS, 1), np.zeros(n_outputs)
    narrow, raw, step = np.zeros(width, params.dtype), np.zeros(n_outputs), np.zeros(n_outputs)
    p, old, work = np.zeros(n_outputs), np.zeros(n_outputs), np.zeros(n_outputs)
    gap, loss, gap_mass = 0.0, 0.0, 0.0
    for position in range(n_rows):
        i = np.uint64(order[position])
        if is_first:
            begin, end = entries(rows, i)
            shared = 0.0
            for k in range(begin, end):
                j, x = entry(rows, i, k)
                shared += mean[j] * np.float64(x)
            along[i] = shared
        square = _raw_row(rows, i, params, threshold, narrow)
        for k in range(n_outputs):
            lift = rule.scale * running[TOTAL, k] * (along[i] - size)
            raw[k] = narrow[k] + params[last, k] - running[MIDDLE, k] + lift
            old[k] = dual[i, k]
        s = weight[i] if weight.shape[0] > 0 else 1.0
        scale, q = rule.scale * s, max(square - 2.0 * along[i] + size, 0.0)
        cost = _softmax(raw, p) - raw[y[i]]
        old[y[i]] += 1.0
        if TAIL * (n_rows - position) <= n_rows + TAIL:
            gap += s * _divergence(old, p)
            loss += s * cost
            gap_mass += s
        _row_step(raw, old, p, scale * q, step, work)
        for k in range(n_outputs):
            dual[i, k] += step[k]
            running[TOTAL, k] += s * step[k]
            bend = p[k] * (1.0 - p[k])
            running[SLOPE, k] += s * bend / (1.0 + scale * q * bend)
            narrow[k] = scale * step[k]
            running[MIDDLE, k] -= np.float64(narrow[k]) * along[i]
        running[MASS, 0] += s
        _move_row(rows, i, params, narrow)
        if rule.fit_intercept and (position + 1) % period == 0:
            left = (n_rows - position - 1.0) / n_rows
            _move_intercepts(params, running, later, rule.mass, left, period / n_rows)
    for k in range(n_outputs):
        running[PENDING, k] = later[k]
    gap_mass = max(gap_mass, TINY)
    return gap / gap_mass, loss / gap_mass


@helper()
def _raw_row(rows, i, params, threshold, raw):
    """Write x_i soft_threshold(v) into ``raw`` and return |x_i|^2.

    Four non-zeros at a time: they share the loads and stores of ``raw``, and their rows of v are
    fetched side by side, which is worth 2x where v does not fit into the cache.
    """
    begin, end = entries(rows, i)
    width, square = raw.shape[0], 0.0
    raw[:] = 0.0
    last_four = begin + (end - begin) // 4 * 4 if threshold == 0.0 else begin
    for k in range(begin, last_four, 4):
        a, of_a = entry(rows, i, k)
        b, of_b = entry(rows, i, k + 1)
        c, of_c = entry(rows, i, k + 2)
        e, of_e = entry(rows, i, k + 3)
        x_a, x_b = cast(of_a, raw[0]), cast(of_b, raw[0])
        x_c, x_e = cast(of_c, raw[0]), cast(of_e, raw[0])
        square += np.float64(x_a * x_a + x_b * x_b + x_c * x_c + x_e * x_e)
        for o in range(width):
            near = x_a * params[a, o] + x_b * params[b, o]
            raw[o] += near + (x_c * params[c, o] + x_e * params[e, o])
    beyond, zero = cast(threshold, raw[0]), cast(0.0, raw[0])
    for k in range(last_four, end):
        j, of_j = entry(rows, i, k)
        x = cast(of_j, raw[0])
        square += np.float64(x * x)
        for o in range(width):
            v = params[j, o]
            raw[o] += x * (max(v - beyond, zero) + min(v + beyond, zero))
    return square


@helper()
def _move_row(rows, i, params, step):
    """Take x_i' step off the parameters."""
    begin, end = entries(rows, i)
    for k in range(begin, end):
        j, of_j = entry(rows, i, k)
        x = cast(of_j, step[0])
        for o in range(step.shape[0]):
            params[j, o] -= x * step[o]


@helper()
def _softmax(raw, p):
    """Write the softmax of the first len(p) numbers into ``p``; return log(sum_k e^raw_k)."""
    largest, total = raw[0], 0.0
    for k in range(p.shape[0]):
        largest = max(largest, raw[k])
    for k in range(p.shape[0]):
        p[k] = exp(raw[k] - largest)
        total += p[k]
    share = 1.0 / total
    for k in range(p.shape[0]):
        p[k] *= share
    return largest + math.log(total)


@helper()
def _divergence(old, p):
    """Return sum_k old_k log(old_k / p_k), which is loss + loss* - r raw for softmax."""
    total = 0.0
    for k in range(p.shape[0]):
        if old[k] > TINY:
            total += old[k] * (math.log(old[k]) - math.log(max(p[k], TINY)))
    return max(total, 0.0)


@helper()
def _fenchel_row(old, raw, level):
    """Return the same from raw predictions, so far apart that some p_k would be zero.

    ``level`` is log(sum_k e^raw_k).
    """
    total = 0.0
    for k in range(old.shape[0]):
        if old[k] > TINY:
            total += old[k] * (math.log(old[k]) - (raw[k] - level))
    return max(total, 0.0)


@helper()
def _row_step(raw, old, p, q, step, work):
    """Write the change of the row's p from ``old`` into ``step``; p = softmax(raw) is used up."""
    above, below = 0.0, 0.0
    for k in range(p.shape[0]):
        share = p[k] / (1.0 + q * p[k])
        above += share * (p[k] - old[k])
        below += share
    for k in range(p.shape[0]):
        newton = (p[k] - old[k] + q * p[k] * above / below) / (1.0 + q * p[k])
        work[k] = raw[k] - q * newton
        step[k] = newton
    for k in range(p.shape[0]):
        raw[k] = p[k]
    _softmax(work, p)
    missed, length = 0.0, 0.0
    for k in range(p.shape[0]):
        missed += abs(p[k] - old[k] - step[k])
        length += abs(step[k])
        step[k] = p[k] - old[k]
    if missed > MOST_MISSED * length:
        for k in range(p.shape[0]):
            step[k] = (raw[k] - old[k]) / (1.0 + 0.5 * q)


@helper()
def _move_intercepts(params, running, later, mass, left, period):
    """Take the intercepts' Newton steps, as ``sdca`` takes its one, by the curvatures' diagonal."""
    last = params.shape[0] - 1
    for k in range(later.shape[0]):
        running[PENDING, k] *= left / (left + period)
        slope = mass * max(running[SLOPE, k] / max(running[MASS, 0], TINY), SMALLEST_SLOPE)
        change = -(running[TOTAL, k] + running[PENDING, k] + later[k])
        params[last, k] += change / (CAUTION * slope)
        running[PENDING, k] += left * change / CAUTION
        later[k] += (1.0 - left) * change / CAUTION
        running[SLOPE, k] *= FORGET
    running[MASS, 0] *= FORGET


@kernel(allocates=True)
def certify_multi(rows, samples, rule, memory, intercept):
    """Return the mean loss and the duality gap of w = soft_threshold(v) and the intercepts.

    The gap holds where sum_i s_i r_i = 0. Floor: one read of X.
    """
    y, weight, params, dual = samples.y, samples.weight, memory.params, memory.dual
    n_outputs, narrow = dual.shape[1], np.zeros(params.shape[1], params.dtype)
    raw, p, old = np.zeros(n_outputs), np.zeros(n_outputs), np.zeros(n_outputs)
    gap, loss = 0.0, 0.0
    for i in range(y.shape[0]):
        _raw_row(rows, i, params, rule.threshold, narrow)
        for k in range(n_outputs):
            raw[k] = narrow[k] + intercept[k]
        s = weight[i] if weight.shape[0] > 0 else 1.0
        level = _softmax(raw, p)
        loss += s * (level - raw[y[i]])
        for k in range(p.shape[0]):
            old[k] = dual[i, k]
        old[y[i]] += 1.0
        gap += s * _fenchel_row(old, raw, level)
    return loss / rule.mass, gap / rule.mass


@kernel(allocates=True)
def add_rows(rows, samples, rule, order, change, params):
    """Keep v tied to r: v -= s_i x_i change_i / (S l2) for the rows of ``order``."""
    weight, step = samples.weight, np.zeros(params.shape[1], params.dtype)
    for position in range(order.shape[0]):
        i = np.uint64(order[position])
        s = weight[i] if weight.shape[0] > 0 else 1.0
        for k in range(change.shape[1]):
            step[k] = rule.scale * s * change[position, k]
        _move_row(rows, i, params, step)
