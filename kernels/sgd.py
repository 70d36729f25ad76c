"""Mini-batch gradient descent of a linear model with one output, one span of steps at a time.

A step, on a batch of m rows:

    raw   = X_b w + b
    delta = loss'(y, raw) * weight
    g     = X_b' delta / (m * mean weight)
    g     = transform(g)                            where the rule has one: clip, quantize
    w     = prox(update(optimizer, w, g, state, rate))

The batch's rows stay in cache between the two products, so that a pass reads X from memory
once. On sparse rows a step touches the columns of its batch only; ``frames`` tells how the other
coefficients get what they are owed.
"""

from typing import NamedTuple

import numpy as np
from numba.extending import overload

from fastgd.kernels import losses, optimizers, transforms
from fastgd.kernels._hook import cast
from fastgd.kernels._jit import INLINED, helper, kernel
from fastgd.kernels.frames import (
    Batch,
    add_to_average,
    begin_step,
    column,
    cost_after,
    cost_of_all,
    descend,
    factor,
    finish,
    made_up,
    ready_batch,
    ready_row,
    tie,
)
from fastgd.kernels.rows import accumulate, at_once, entries, entry, fetch, margins, row_at, row_dot


class Samples(NamedTuple):
    """What comes with the rows of X.

    y : ndarray of shape (n_samples,), X's dtype
    weight : ndarray of shape (n_samples,), X's dtype; empty means 1
    order : ndarray of shape (n_visited,), integer; empty means as they lie
    """

    y: np.ndarray
    weight: np.ndarray
    order: np.ndarray


class Rule(NamedTuple):
    """What a step does."""

    loss: NamedTuple
    penalty: NamedTuple
    optimizer: NamedTuple
    fit_intercept: bool
    transform: NamedTuple = transforms.Identity()

    @staticmethod
    def n_outputs_of(rule):
        return 1


class Plan(NamedTuple):
    """The steps of a span.

    batch_size : int
    n_visited : int, rows of the span
    step_coefficients : ndarray of shape (n_steps, 4), X's dtype; see ``optimizers``
    unit : float, the mean weight that gradients are divided by
    average_from : int, the number of steps before the first that is averaged; n_steps for none
    seed, first_step : int, the number of the span's first step of all, 1-based: they name the
        random numbers of quantizers
    """

    batch_size: int
    n_visited: int
    step_coefficients: np.ndarray
    unit: float
    average_from: int
    seed: int
    first_step: int


class Memory(NamedTuple):
    """What a span changes; all but the average is of X's dtype.

    params : (d + 1,), the intercept last
    state : (n_slots, d + 1), the optimizer's
    gradient : (d + 1,), zero between steps
    margin, target, weight : (batch_size,)
    average : (d + 1,), float64, sum of the averaged iterates; (0,) where none is asked for
    residual : (d + 1,), what a quantizer has not sent yet; (0,) for one without memory
    costs : (1,), float64, scratch: the penalty
    """

    params: np.ndarray
    state: np.ndarray
    gradient: np.ndarray
    margin: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    average: np.ndarray
    residual: np.ndarray
    costs: np.ndarray


class Trace(NamedTuple):
    """What several epochs leave.

    sums : (n_epochs, 3), float64, what ``sgd_rows`` returns of each
    iterates : (n_epochs, d + 1), the parameters after each
    """

    sums: np.ndarray
    iterates: np.ndarray


@kernel()
def sgd_rows(rows, samples, rule, plan, memory, frame):
    """Take the steps of a plan with batches of one row each.

    No pass over a gradient is needed: its entry j is delta x_j.

    Parameters
    ----------
    rows : Dense or CSR
    samples : Samples
    rule : Rule, its transform the identity or clipping
    plan : Plan
    memory : Memory, changed in place
    frame : Plain (dense rows only), Scaled or Lazy, changed in place

    Returns
    -------
    loss_sum, penalty_sum : float
        Sums over the visited rows: of the weighted loss before the row's step, and of the
        penalty at that time. Over their number: the objective as training meets it.
    n_clipped : float, the number of steps whose gradient was clipped

    Notes
    -----
    Floor, dense: one read of X from memory, 4 flops an entry. Sparse: one read of data and
    indices, and two accesses to a parameter at a random place for each non-zero.
    """
    return _steps_of_rows(rows, samples, rule, plan, memory, frame)


@kernel()
def sgd_epochs(rows, samples, rule, plan, memory, frame, trace):
    """Take the steps of several epochs of ``sgd_rows``, where each is short.

    Parameters
    ----------
    rows : Dense or CSR
    samples : Samples, its order that of one epoch after the other
    rule : Rule, of an optimizer without state
    plan : Plan of all these steps, none of them averaged
    memory : Memory, changed in place
    frame : Plain or Scaled, changed in place
    trace : Trace, written
    """
    n_epochs = trace.sums.shape[0]
    n_visited = plan.n_visited // n_epochs
    for e in range(n_epochs):
        first, last = e * n_visited, (e + 1) * n_visited
        part = Samples(samples.y, samples.weight, samples.order[first:last])
        steps = Plan(
            plan.batch_size,
            n_visited,
            plan.step_coefficients[first:last],
            plan.unit,
            n_visited,
            plan.seed,
            plan.first_step + first,
        )
        sums = _steps_of_rows(rows, part, rule, steps, memory, frame)
        trace.sums[e, 0], trace.sums[e, 1], trace.sums[e, 2] = sums
        for j in range(memory.params.shape[0]):
            trace.iterates[e, j] = memory.params[j]


@helper()
def _steps_of_rows(rows, samples, rule, plan, memory, frame):
    """Do what ``sgd_rows`` says."""
    params, state, average = memory.params, memory.state, memory.average
    last = params.shape[0] - 1
    loss_sum, penalty_sum, costs = 0.0, 0.0, memory.costs
    costs[0] = cost_of_all(rule, params, 0)
    n_clipped, share = 0, 1.0 / plan.unit
    for t in range(plan.step_coefficients.shape[0]):
        i = row_at(samples.order, t)
        fetch(rows, samples.order, t)
        step_coefs = optimizers.coefs_of_step(plan.step_coefficients, t)
        ready_row(frame, rule, rows, i, t, params, state)
        costs[0] += made_up(frame, 0)
        penalty_sum += costs[0] + losses.pull(rule.loss) * params[last]
        raw = factor(frame) * row_dot(rows, i, params) + params[last]
        weight = samples.weight[i] if samples.weight.shape[0] > 0 else cast(1.0, step_coefs[0])
        value = losses.value(rule.loss, samples.y[i], raw)
        loss_sum += weight * value
        slope = losses.slope(rule.loss, samples.y[i], raw)
        slope = share * weight * optimizers.slope(rule.optimizer, step_coefs, rows, i, value, slope)
        delta, shares = cast(slope, step_coefs[0]), cast(0.0, step_coefs[0])
        scale, clipped = transforms.clip_row(rule.transform, rows, i, delta, rule.fit_intercept)
        n_clipped += clipped
        own_coefs, left = begin_step(frame, rule, step_coefs, params, average)
        begin, end = entries(rows, i)
        for k in range(begin, end):
            j, x = entry(rows, i, k)
            g = transforms.clipped_entry(rule.transform, delta * x, scale)
            shares += descend(frame, rule, own_coefs, g, params, state, j)
        costs[0] = cost_after(frame, left * costs[0], np.float64(shares))
        tie(frame, rule, params, costs)
        if rule.fit_intercept:
            g = transforms.clipped_entry(rule.transform, delta, scale)
            g = cast(g + losses.pull(rule.loss), step_coefs[0])
            params[last] += optimizers.update(rule.optimizer, step_coefs, g, state, last)[0]
        if t >= plan.average_from:
            add_to_average(frame, rule, params, average)
    finish(frame, rule, plan.step_coefficients.shape[0], params, state, average)
    return loss_sum, penalty_sum, float(n_clipped)


@kernel()
def sgd_batches(rows, samples, rule, plan, memory, frame):
    """Take the steps of a plan with batches of ``plan.batch_size`` rows.

    Parameters and sums are those of ``sgd_rows``; any frame goes with any rows, and with a
    transform any frame that does not scatter.

    Notes
    -----
    Floor: as for ``sgd_rows``, and per step one pass over the coefficients it touches.
    """
    params, state, gradient = memory.params, memory.state, memory.gradient
    average, last = memory.average, memory.params.shape[0] - 1
    loss_sum, penalty_sum, costs = 0.0, 0.0, memory.costs
    costs[0] = cost_of_all(rule, params, 0)
    n_clipped = 0
    for t in range(plan.step_coefficients.shape[0]):
        start = t * plan.batch_size
        stop = min(start + plan.batch_size, plan.n_visited)
        step_coefs = optimizers.coefs_of_step(plan.step_coefficients, t)
        batch = Batch(samples.order, start, stop)
        n_touched = ready_batch(frame, rule, rows, batch, t, params, state, gradient)
        costs[0] += made_up(frame, 0)
        penalty_sum += (stop - start) * (costs[0] + losses.pull(rule.loss) * params[last])
        loss, total = _meet(rule, step_coefs, samples, rows, batch, plan.unit, frame, memory)
        loss_sum += loss
        draw = (plan.seed, plan.first_step + t)
        total, clipped = transforms.transform(
            rule.transform, frame, rule, memory, total, n_touched, draw
        )
        n_clipped += clipped
        own_coefs, left = begin_step(frame, rule, step_coefs, params, average)
        shares = step_of_batch(frame, rule, rows, batch, own_coefs, memory, n_touched)
        costs[0] = cost_after(frame, left * costs[0], np.float64(shares))
        tie(frame, rule, params, costs)
        if rule.fit_intercept:
            g = cast(total + losses.pull(rule.loss), step_coefs[0])
            params[last] += optimizers.update(rule.optimizer, step_coefs, g, state, last)[0]
        if t >= plan.average_from:
            add_to_average(frame, rule, params, average)
    finish(frame, rule, plan.step_coefficients.shape[0], params, state, average)
    return loss_sum, penalty_sum, float(n_clipped)


@helper()
def _meet(rule, step_coefs, samples, rows, batch, unit, frame, memory):
    """Write a batch's slopes into ``memory.margin``, and add up its gradient.

    Some rows at a time: what was read for their margins is still in cache when it is read again.
    Returns the batch's weighted loss, and the sum of the slopes.
    """
    share, loss_sum, total = 1.0 / ((batch.stop - batch.start) * unit), 0.0, 0.0
    stride = at_once(rows)
    for start in range(batch.start, batch.stop, stride):
        part = Batch(batch.order, start, min(start + stride, batch.stop))
        slopes = memory.margin[start - batch.start :]
        margins(rows, part.order, part.start, part.stop, memory.params, slopes)
        _fetch(samples, part, memory.target, memory.weight)
        sums = _slopes(rule, step_coefs, rows, part, share, factor(frame), slopes, memory)
        loss_sum += sums[0]
        total += sums[1]
        gather(frame, rows, part, slopes, memory.gradient)
    return loss_sum, total


@helper()
def _fetch(samples, batch, target, weight):
    """Lay the batch's targets and weights side by side, so that ``_slopes`` is vector code."""
    weighted = samples.weight.shape[0] > 0
    for position in range(batch.start, batch.stop):
        i = row_at(batch.order, position)
        target[position - batch.start] = samples.y[i]
        weight[position - batch.start] = samples.weight[i] if weighted else 1


@helper()
def _slopes(rule, step_coefs, rows, batch, share, scale, margin, memory):
    """Replace rows' margins by their share in the batch's gradient.

    Returns their weighted loss, and the sum of the shares.
    """
    target, weight = memory.target, memory.weight
    intercept = memory.params[memory.params.shape[0] - 1]
    loss_sum, total = 0.0, 0.0
    for o in range(batch.stop - batch.start):
        raw, i = scale * margin[o] + intercept, row_at(batch.order, batch.start + o)
        value = losses.value(rule.loss, target[o], raw)
        loss_sum += weight[o] * value
        slope = losses.slope(rule.loss, target[o], raw)
        slope = optimizers.slope(rule.optimizer, step_coefs, rows, i, value, slope)
        slope = share * weight[o] * slope
        total += slope
        margin[o] = slope
    return loss_sum, total


def gather(frame, rows, batch, slopes, gradient):
    """Add up the gradient of a batch, for a frame that steps from it."""
    if not type(frame).scatters:
        accumulate(rows, batch.order, batch.start, batch.stop, slopes, gradient)


@overload(gather, jit_options=INLINED)
def _gather(frame, rows, batch, slopes, gradient):
    if frame.instance_class.scatters:
        return lambda frame, rows, batch, slopes, gradient: None
    return lambda frame, rows, batch, slopes, gradient: accumulate(
        rows, batch.order, batch.start, batch.stop, slopes, gradient
    )


def step_of_batch(frame, rule, rows, batch, step_coefs, memory, n_touched):
    """Step the coefficients of a batch by its gradient; return the sum of their shares."""
    step = _scatter if type(frame).scatters else _descend_columns
    return step(frame, rule, rows, batch, step_coefs, memory, n_touched)


@overload(step_of_batch, jit_options=INLINED)
def _step_of_batch(frame, rule, rows, batch, step_coefs, memory, n_touched):
    step = _scatter if frame.instance_class.scatters else _descend_columns

    def implementation(frame, rule, rows, batch, step_coefs, memory, n_touched):
        return step(frame, rule, rows, batch, step_coefs, memory, n_touched)

    return implementation


@helper()
def _descend_columns(frame, rule, rows, batch, step_coefs, memory, n_touched):
    """Step each coefficient that the batch touches; leave a gradient of zero."""
    params, state, gradient = memory.params, memory.state, memory.gradient
    shares = cast(0.0, step_coefs[0])
    for i in range(n_touched):
        j = column(frame, i)
        shares += descend(frame, rule, step_coefs, gradient[j], params, state, j)
        gradient[j] = 0
    return shares


@helper()
def _scatter(frame, rule, rows, batch, step_coefs, memory, n_touched):
    """Step the coefficients by one row after another, straight from the slopes."""
    params, state, slopes = memory.params, memory.state, memory.margin
    shares = cast(0.0, step_coefs[0])
    for position in range(batch.start, batch.stop):
        i, slope = row_at(batch.order, position), slopes[position - batch.start]
        begin, end = entries(rows, i)
        for k in range(begin, end):
            j, x = entry(rows, i, k)
            shares += descend(frame, rule, step_coefs, slope * x, params, state, j)
    return shares
