"""Mini-batch gradient descent of a linear model with many outputs, in one pass over X.

The step is that of ``sgd``, with a row of K raw predictions for each sample:

* softmax: one loss of the whole row;
* one-vs-rest: a binary loss for each column, whose target is whether y is that class;
* multi-task: a regression loss for each column, whose target is y's own column.

Parameters are (n_features + 1, K), so that a non-zero touches K neighbours. Outputs that do not
share a loss do not share anything: column k is what ``sgd`` would make of that column alone.
"""

from typing import NamedTuple

import numpy as np
from numba.extending import overload

from fastgd.kernels import losses, optimizers, transforms
from fastgd.kernels._jit import INLINED, helper, kernel
from fastgd.kernels.frames import (
    Batch,
    add_to_average,
    at,
    begin_step,
    column,
    cost_after,
    cost_of_all,
    descend,
    factor,
    finish,
    made_up,
    ready_batch,
    tie,
)
from fastgd.kernels.rows import accumulate_multi, entries, entry, margins_multi, row_at


class MultiSamples(NamedTuple):
    """What comes with the rows of X.

    y : ndarray of shape (n_samples,), integer: the class's number; or (n_samples, K): targets
    weight : ndarray of shape (n_samples,), X's dtype; empty means 1
    order : ndarray of shape (n_visited,), integer; empty means as they lie
    positive_weight : ndarray of shape (K,), X's dtype: factor of a sample's weight in the column
        of its own class, one-vs-rest only
    """

    y: np.ndarray
    weight: np.ndarray
    order: np.ndarray
    positive_weight: np.ndarray


class MultiRule(NamedTuple):
    """What a step does; see ``sgd.Rule``."""

    loss: NamedTuple
    penalty: NamedTuple
    optimizer: NamedTuple
    fit_intercept: bool
    n_outputs: int
    transform: NamedTuple = transforms.Identity()

    @staticmethod
    def n_outputs_of(rule):
        return rule.n_outputs


class MultiMemory(NamedTuple):
    """What a span changes; as ``sgd.Memory``, with K outputs.

    params, gradient : ((d + 1) K,), row after row of (d + 1, K)
    state : (n_slots, (d + 1) K)
    table, gradient_table : (d + 1, K), the same memory as ``params`` and ``gradient``
    margin : (batch_size, K)
    block, product : (rows, d) and (d, K), scratch of dense batches; (0, 0) for sparse rows
    average : ((d + 1) K,), float64; (0,) where none is asked for
    losses, penalties : (K,), float64, the sums that ``sgd`` returns, for each output; those of a
        loss of the whole row are in ``losses[0]``
    residual : ((d + 1) K,), what a quantizer has not sent yet; (0,) for one without memory
    clipped : (K,), float64, the number of steps that were clipped, of each output; those of
        outputs that share one norm are in ``clipped[0]``
    costs, totals : (K,), float64, scratch: the penalty and the intercept's gradient of each output
    shares : (K,), scratch: what a step adds to the penalty; zero between steps
    """

    params: np.ndarray
    state: np.ndarray
    gradient: np.ndarray
    table: np.ndarray
    gradient_table: np.ndarray
    margin: np.ndarray
    block: np.ndarray
    product: np.ndarray
    average: np.ndarray
    losses: np.ndarray
    penalties: np.ndarray
    residual: np.ndarray
    clipped: np.ndarray
    costs: np.ndarray
    totals: np.ndarray
    shares: np.ndarray


@kernel()
def sgd_batches_multi(rows, samples, rule, plan, memory, frame):
    """Take the steps of a plan; the many-output twin of ``sgd.sgd_batches``.

    Parameters
    ----------
    rows : Dense or CSR
    samples : MultiSamples
    rule : MultiRule
    plan : Plan
    memory : MultiMemory, changed in place
    frame : any frame, changed in place

    Notes
    -----
    Floor, dense: the two matrix products of a batch, 4 d K flops a row.
    """
    params, state, gradient = memory.params, memory.state, memory.gradient
    average, margin, n_outputs = memory.average, memory.margin, rule.n_outputs
    costs, totals, shares = memory.costs, memory.totals, memory.shares
    for k in range(n_outputs):
        costs[k] = cost_of_all(rule, params, k)
    for t in range(plan.step_coefficients.shape[0]):
        start = t * plan.batch_size
        stop = min(start + plan.batch_size, plan.n_visited)
        step_coefs = optimizers.coefs_of_step(plan.step_coefficients, t)
        batch = Batch(samples.order, start, stop)
        n_touched = ready_batch(frame, rule, rows, batch, t, params, state, gradient)
        for k in range(n_outputs):
            costs[k] += made_up(frame, k)
            memory.penalties[k] += (stop - start) * costs[k]
        margins_multi(rows, samples.order, start, stop, memory.table, margin, memory.block)
        _raw_from_margins(margin, params, factor(frame), stop - start)
        share = Share(step_coefs, batch, plan.unit)
        slopes(rule, rows, samples, share, margin, memory.losses)
        _sum_rows(margin, stop - start, totals)
        gather(frame, rows, batch, memory)
        draw = (plan.seed, plan.first_step + t)
        transforms.transform_multi(rule.transform, frame, rule, memory, n_touched, draw)
        own_coefs, left = begin_step(frame, rule, step_coefs, params, average)
        step_of_batch(frame, rule, rows, batch, own_coefs, memory, n_touched, shares)
        for k in range(n_outputs):
            costs[k] = cost_after(frame, left * costs[k], np.float64(shares[k]))
            shares[k] = 0
        tie(frame, rule, params, costs)
        if rule.fit_intercept:
            _descend_intercepts(rule.optimizer, step_coefs, totals, params, state)
        if t >= plan.average_from:
            add_to_average(frame, rule, params, average)
    finish(frame, rule, plan.step_coefficients.shape[0], params, state, average)


@helper()
def _raw_from_margins(margin, params, scale, size):
    """Turn X_b W into raw predictions, in place."""
    first = params.shape[0] - margin.shape[1]
    for o in range(size):
        for k in range(margin.shape[1]):
            margin[o, k] = scale * margin[o, k] + params[np.uint64(first + k)]


class Share(NamedTuple):
    """What makes a row's slope its share in the batch's gradient."""

    step_coefs: tuple
    batch: Batch
    unit: float


def slopes(rule, rows, samples, share, margin, loss_sums):
    """Replace a batch's raw predictions by their share in its gradient.

    Adds the batch's weighted losses to ``loss_sums``.
    """
    if losses.kind_of(rule.loss) == losses.MULTINOMIAL:
        return _slopes_of_row(rule, rows, samples, share, margin, loss_sums)
    if samples.y.ndim == 2:
        return _slopes_of_tasks(rule, rows, samples, share, margin, loss_sums)
    return _slopes_of_classes(rule, rows, samples, share, margin, loss_sums)


@overload(slopes, jit_options=INLINED)
def _slopes(rule, rows, samples, share, margin, loss_sums):
    if losses.kind_of(rule[0]) == losses.MULTINOMIAL:
        of_batch = _slopes_of_row
    else:
        of_batch = _slopes_of_tasks if samples[0].ndim == 2 else _slopes_of_classes
    return lambda rule, rows, samples, share, margin, loss_sums: of_batch(
        rule, rows, samples, share, margin, loss_sums
    )


@helper()
def _weigh(samples, i, share):
    """Return row i's weight, and its share of the batch's gradient."""
    weight = samples.weight[i] if samples.weight.shape[0] > 0 else 1.0
    return weight, weight / ((share.batch.stop - share.batch.start) * share.unit)


@helper()
def _slopes_of_row(rule, rows, samples, share, margin, loss_sums):
    for position in range(share.batch.start, share.batch.stop):
        i, o = row_at(share.batch.order, position), position - share.batch.start
        weight, part = _weigh(samples, i, share)
        loss_sums[0] += weight * losses.gradient_row(rule.loss, samples.y[i], margin[o], margin[o])
        for k in range(margin.shape[1]):
            margin[o, k] *= part


@helper()
def _slopes_of_tasks(rule, rows, samples, share, margin, loss_sums):
    for position in range(share.batch.start, share.batch.stop):
        i, o = row_at(share.batch.order, position), position - share.batch.start
        weight, part = _weigh(samples, i, share)
        for k in range(margin.shape[1]):
            raw, target = margin[o, k], samples.y[i, k]
            value = losses.value(rule.loss, target, raw)
            loss_sums[k] += weight * value
            slope = losses.slope(rule.loss, target, raw)
            slope = optimizers.slope(rule.optimizer, share.step_coefs, rows, i, value, slope)
            margin[o, k] = part * slope


@helper()
def _slopes_of_classes(rule, rows, samples, share, margin, loss_sums):
    negative = losses.negative(rule.loss)
    for position in range(share.batch.start, share.batch.stop):
        i, o = row_at(share.batch.order, position), position - share.batch.start
        weight, part = _weigh(samples, i, share)
        for k in range(margin.shape[1]):
            own = samples.y[i] == k
            target = 1.0 if own else negative
            more = samples.positive_weight[k] if own else 1.0
            value = losses.value(rule.loss, target, margin[o, k])
            loss_sums[k] += weight * more * value
            slope = losses.slope(rule.loss, target, margin[o, k])
            slope = optimizers.slope(rule.optimizer, share.step_coefs, rows, i, value, slope)
            margin[o, k] = part * more * slope


@helper()
def _sum_rows(margin, size, totals):
    """Write the intercepts' gradient, the sum over the batch."""
    for k in range(margin.shape[1]):
        totals[k] = 0.0
    for o in range(size):
        for k in range(margin.shape[1]):
            totals[k] += margin[o, k]


@helper()
def _descend_intercepts(optimizer, step_coefs, totals, params, state):
    n_outputs = totals.shape[0]
    for k in range(n_outputs):
        c = np.uint64(params.shape[0] - n_outputs + k)
        g = params.dtype.type(totals[k])
        params[c] += optimizers.update(optimizer, step_coefs, g, state, c)[0]


def gather(frame, rows, batch, memory):
    """Add up the gradient of a batch, for a frame that steps from it."""
    if not type(frame).scatters:
        _accumulate(rows, batch, memory)


@overload(gather, jit_options=INLINED)
def _gather(frame, rows, batch, memory):
    if frame.instance_class.scatters:
        return lambda frame, rows, batch, memory: None
    return lambda frame, rows, batch, memory: _accumulate(rows, batch, memory)


@helper()
def _accumulate(rows, batch, memory):
    order, start, stop = batch.order, batch.start, batch.stop
    slopes, table = memory.margin, memory.gradient_table
    accumulate_multi(rows, order, start, stop, slopes, table, memory.block, memory.product)


def step_of_batch(frame, rule, rows, batch, step_coefs, memory, n_touched, shares):
    """Step the coefficients of a batch by its gradient; add to each output's shares."""
    step = _scatter if type(frame).scatters else _descend_columns
    step(frame, rule, rows, batch, step_coefs, memory, n_touched, shares)


@overload(step_of_batch, jit_options=INLINED)
def _step_of_batch(frame, rule, rows, batch, step_coefs, memory, n_touched, shares):
    step = _scatter if frame.instance_class.scatters else _descend_columns

    def implementation(frame, rule, rows, batch, step_coefs, memory, n_touched, shares):
        step(frame, rule, rows, batch, step_coefs, memory, n_touched, shares)

    return implementation


@helper()
def _descend_columns(frame, rule, rows, batch, step_coefs, memory, n_touched, shares):
    """Step each coefficient that the batch touches; leave a gradient of zero."""
    params, state, gradient = memory.params, memory.state, memory.gradient
    n_outputs = shares.shape[0]
    for i in range(n_touched):
        j = column(frame, i)
        for k in range(n_outputs):
            c = at(j, n_outputs, k)
            shares[k] += descend(frame, rule, step_coefs, gradient[c], params, state, c)
            gradient[c] = 0


@helper()
def _scatter(frame, rule, rows, batch, step_coefs, memory, n_touched, shares):
    """Step the coefficients by one row after another, straight from the slopes."""
    params, state, slopes = memory.params, memory.state, memory.margin
    n_outputs = shares.shape[0]
    for position in range(batch.start, batch.stop):
        i, o = row_at(batch.order, position), position - batch.start
        begin, end = entries(rows, i)
        for entry_number in range(begin, end):
            j, x = entry(rows, i, entry_number)
            for k in range(n_outputs):
                g = slopes[o, k] * x
                shares[k] += descend(frame, rule, step_coefs, g, params, state, at(j, n_outputs, k))
