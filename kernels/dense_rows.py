"""Plain steps on single dense rows, whose raw predictions are taken ahead.

The step of row t under a quadratic penalty,  w <- q w - h d_t x_t  with q = 1 - h l2,  has the raw
prediction of the next row wait for the slope d_t, which waits for that of row t. With

    x_{t+1} w_{t+1} = q x_{t+1} w_t - h d_t x_{t+1} x_t

what waits is one addition: both products are known before d_t is. One pass over the columns takes
the step and both products of the row after the next, while the processor is busy with the
exponential and the quotient of the next slope. In exact arithmetic these are the steps of
``sgd._one_after_another``; they differ by rounding. The loss's values are nobody's to wait for:
they are vector code, for some rows at a time.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses, optimizers, penalties
from fastgd.kernels._ahead import step_ahead, whole_lines
from fastgd.kernels._hook import cast
from fastgd.kernels._jit import helper
from fastgd.kernels.outputs import lay_targets
from fastgd.kernels.rows import fetch_from, row_at, row_dot, rows_ahead
from fastgd.kernels.stores import Batch, add_to_average, cost_of_all

ROWS_TOGETHER = 64  # whose losses are evaluated at once
LARGEST = 1e200


class AheadScratch(NamedTuple):
    """Scratch of one output whose steps are taken row by row.

    target, weight : (ROWS_TOGETHER,), of X's dtype
    coef : (``whole_lines(n_features)``,), of X's dtype, zeros beyond the features
    """

    target: np.ndarray
    weight: np.ndarray
    coef: np.ndarray

    @classmethod
    def of(cls, n_features, dtype):
        """Plain numpy: return it."""
        coef = np.zeros(whole_lines(n_features, np.dtype(dtype).itemsize), dtype)
        return cls(*np.empty((2, ROWS_TOGETHER), dtype), coef)


@helper()
def steps_ahead(rows, samples, rule, plan, memory, store):
    """Take the steps of ``sgd.sgd_rows``; return the sums of loss, penalty and clipped steps."""
    n_steps, order, params = plan.step_coefficients.shape[0], samples.order, memory.params
    loss_sum, penalty_sum, cost = 0.0, 0.0, cost_of_all(rule, params, 0)
    if n_steps == 0:
        return loss_sum, penalty_sum, 0.0
    last, coef = params.shape[0] - 1, memory.scratch.coef
    _copy(params, coef, last)
    zero, ahead = cast(0.0, params[last]), rows_ahead(rows.values)
    now, following = row_at(order, 0), row_at(order, min(1, n_steps - 1))
    raw = np.float64(row_dot(rows, now, params)) + params[last]
    dot, product = row_dot(rows, following, params), _product_of(rows, now, following, zero)
    for start in range(0, n_steps, ROWS_TOGETHER):
        part = Batch(order, start, min(start + ROWS_TOGETHER, n_steps))
        lay_targets(samples, part, memory.scratch)
        for number in range(part.stop - start):
            t, o = start + number, np.uint64(number)
            fetch_from(rows.values, order, t + ahead, ahead)
            after = row_at(order, min(t + 2, n_steps - 1))
            step_coefs, intercept = (
                optimizers.coefs_of_step(plan.step_coefficients, t),
                params[last],
            )
            penalty_sum += cost + losses.intercept_gradient(rule.loss) * intercept
            memory.margin[o] = raw
            share = memory.scratch.weight[o] * (1.0 / plan.unit)
            slope = _slope_of_row(rows, rule, step_coefs, now, memory.scratch.target[o], raw)
            left = penalties.proximal(rule.penalty, zero + 1, zero, step_coefs[0], 0)
            known, by_slope = _parts_of_next(rule, step_coefs[0], (left, dot, product), intercept)
            raw = _next_raw(known, share * by_slope, slope)
            delta = cast(share * slope, zero)
            change = -step_coefs[0] * delta
            dot, product, square = step_ahead(
                coef, rows.values, now, following, after, left, change
            )
            cost = penalties.value(rule.penalty, 1.0, 0) * np.float64(square)
            if rule.fit_intercept:
                g = cast(delta + losses.intercept_gradient(rule.loss), zero)
                params[last] = intercept - cast(rule.intercept_rate, zero) * step_coefs[0] * g
            if t >= plan.average_from:
                _copy(coef, params, last)
                add_to_average(store, rule, params, memory.average)
            now, following = following, after
        loss_sum += _loss_of_rows(rule, part, memory)
    _copy(coef, params, last)
    return loss_sum, penalty_sum, 0.0


@helper()
def _product_of(rows, i, other, zero):
    """Return the inner product of two rows."""
    total = zero
    for j in range(rows.values.shape[1]):
        total += rows.values[i, j] * rows.values[other, j]
    return total


@helper()
def _slope_of_row(rows, rule, step_coefs, i, target, raw):
    """Return the slope that row i's step goes by."""
    value = losses.value(rule.loss, target, raw)
    slope = losses.slope(rule.loss, target, raw)
    return optimizers.slope(rule.optimizer, step_coefs, rows, i, value, slope)


@helper()
def _parts_of_next(rule, rate, products, intercept):
    """Return the next raw prediction but for this row's slope, and what that is multiplied by."""
    left, dot, product = products
    share = rule.intercept_rate if rule.fit_intercept else 0.0  # of the intercept in a step
    pull = share * losses.intercept_gradient(rule.loss)
    known = np.float64(left) * dot + (intercept - pull * rate)
    product = min(max(np.float64(product), -LARGEST), LARGEST)  # infinity times 0 is no number
    return known, -np.float64(rate) * (product + share)


@helper(fastmath={"contract"})  # to reassociate would have the slope wait for more
def _next_raw(known, by_slope, slope):
    return known + by_slope * slope


@helper()
def _copy(source, target, n):
    for j in range(n):
        target[j] = source[j]


@helper()
def _loss_of_rows(rule, part, memory):
    """Return the weighted loss of some rows: vector code."""
    total, (target, weight, _), raw = 0.0, memory.scratch, memory.margin
    for number in range(part.stop - part.start):
        o = np.uint64(number)
        total += weight[o] * losses.value(rule.loss, target[o], np.float64(raw[o]))
    return total
