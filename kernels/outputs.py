"""One output or many: how raw predictions, slopes and gradients of a batch are held.

The steps of ``sgd`` are the same for both; what differs is here. With one output, a row's raw
prediction is a number, and sums are kept in registers. With K, parameters are (n_features + 1, K),
so that a non-zero touches K neighbours, and each sample has a row of K raw predictions:

* softmax: one loss of the whole row;
* one-vs-rest: a binary loss for each column, whose target is whether y is that class;
* multi-task: a regression loss for each column, whose target is y's own column.

Outputs that do not share a loss do not share anything: column k is what ``OneOutput`` would make of
that column alone.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses, optimizers
from fastgd.kernels._hook import cast, implement
from fastgd.kernels._jit import helper
from fastgd.kernels._views import line_in, row_in, table_in
from fastgd.kernels.elementary import exp
from fastgd.kernels.rows import (
    accumulate,
    accumulate_multi,
    at_once,
    entries,
    entry,
    margins,
    margins_multi,
    row_at,
)
from fastgd.kernels.stores import Batch, at, column, descend, factor, gather

LOSS, PENALTY, CLIPPED, COST, TOTAL = range(5)  # rows of ``Memory.sums``
EARLIER, CENTRE, STEP_SIZE = range(5, 8)  # further ones, of ``rate_free``


class Share(NamedTuple):
    """What makes a row's slope its share in the batch's gradient."""

    step_coefs: tuple
    batch: Batch
    unit: float


@helper()
def intercept_change(rule, step_coefs, g, state, c):
    """Return what a step adds to intercept c.

    The factor is the rate's and not the change's: of what an optimizer keeps in units of changes
    (``ScheduleFreeSGD``) the intercept's has it as well.
    """
    own = (
        cast(rule.intercept_rate, step_coefs[0]) * step_coefs[0],
        step_coefs[1],
        step_coefs[2],
        step_coefs[3],
    )
    return optimizers.update(rule.optimizer, own, g, state, c)[0]


class OneScratch(NamedTuple):
    """Scratch of one output: a batch's targets and weights, (batch_size,)."""

    target: np.ndarray
    weight: np.ndarray


class OneOutput(NamedTuple):
    """Parameters of shape (n_features + 1,)."""

    @staticmethod
    def count(outputs):
        return 1

    @staticmethod
    def evaluate_batch(outputs, rule, rows, samples, share, store, memory):
        # some rows at a time: what was read for their margins is still in cache when read again
        batch, loss_sum, total = share.batch, 0.0, 0.0
        of_batch, stride = 1.0 / ((batch.stop - batch.start) * share.unit), at_once(rows)
        for start in range(batch.start, batch.stop, stride):
            part = Batch(batch.order, start, min(start + stride, batch.stop))
            slopes = memory.margin[start - batch.start :]
            margins(rows, part.order, part.start, part.stop, memory.params, slopes)
            lay_targets(samples, part, memory.scratch)
            scale = factor(store)
            sums = slopes_of_one(
                rule, share.step_coefs, rows, part, of_batch, scale, slopes, memory
            )
            loss_sum += sums[0]
            total += sums[1]
            gather(store.columns, rule, rows, part, slopes, memory)
        memory.sums[LOSS, 0] += loss_sum
        memory.sums[TOTAL, 0] = total

    @staticmethod
    def accumulate_slopes(outputs, rows, batch, slopes, memory):
        accumulate(rows, batch.order, batch.start, batch.stop, slopes, memory.gradient)

    @staticmethod
    def descend_columns(outputs, store, rule, step_coefs, memory, n_touched):
        params, state, gradient = memory.params, memory.state, memory.gradient
        shares = cast(0.0, step_coefs[0])
        for i in range(n_touched):
            j = column(store.columns, i)
            shares += descend(store, rule, step_coefs, gradient[j], params, state, j)
            gradient[j] = 0
        memory.shares[0] = shares

    @staticmethod
    def scatter_rows(outputs, store, rule, rows, batch, step_coefs, memory):
        params, state, slopes = memory.params, memory.state, memory.margin
        shares = cast(0.0, step_coefs[0])
        for position in range(batch.start, batch.stop):
            i, slope = row_at(batch.order, position), slopes[position - batch.start]
            begin, end = entries(rows, i)
            for k in range(begin, end):
                j, x = entry(rows, i, k)
                shares += descend(store, rule, step_coefs, slope * x, params, state, j)
        memory.shares[0] = shares

    @staticmethod
    def slope_of(outputs, memory, o, k):
        return memory.margin[o]

    @staticmethod
    def target_of(outputs, samples, i, k):
        return np.float64(samples.y[i])


@helper()
def lay_targets(samples, batch, scratch):
    """Lay the batch's targets and weights side by side, so that slopes are vector code."""
    weighted = samples.weight.shape[0] > 0
    for position in range(batch.start, batch.stop):
        i, o = np.uint64(row_at(batch.order, position)), np.uint64(position - batch.start)
        scratch.target[o] = samples.y[i]
        scratch.weight[o] = samples.weight[i] if weighted else 1


@helper()
def slopes_of_one(rule, step_coefs, rows, part, of_batch, scale, margin, memory):
    """Replace the margins of a part of a batch by the rows' shares in the batch's gradient.

    Returns their weighted loss, and the sum of the shares.
    """
    target, weight = memory.scratch.target, memory.scratch.weight
    intercept = memory.params[memory.params.shape[0] - 1]
    loss_sum, total = 0.0, 0.0
    for o in range(part.stop - part.start):
        raw, i = scale * margin[o] + intercept, row_at(part.order, part.start + o)
        value = losses.value(rule.loss, target[o], raw)
        loss_sum += weight[o] * value
        slope = losses.slope(rule.loss, target[o], raw)
        slope = optimizers.slope(rule.optimizer, step_coefs, rows, i, value, slope)
        slope = of_batch * weight[o] * slope
        total += slope
        margin[o] = slope
    return loss_sum, total


class ManyScratch(NamedTuple):
    """Scratch of many outputs.

    table : (d + 1, K), the same memory as ``Memory.params``
    block, product : (rows, d) and (d, K), scratch of dense batches; (0, 0) for sparse rows
    """

    table: np.ndarray
    block: np.ndarray
    product: np.ndarray


class ManyOutputs(NamedTuple):
    """Parameters of shape (n_features + 1, n_outputs).

    Notes
    -----
    Floor, dense: the two matrix products of a batch, 4 d K flops a row.
    """

    n_outputs: int

    @staticmethod
    def count(outputs):
        return outputs.n_outputs

    @staticmethod
    def evaluate_batch(outputs, rule, rows, samples, share, store, memory):
        # some rows at a time: what was copied for their margins serves for the gradient, too
        batch, scratch, losses_of = share.batch, memory.scratch, memory.sums[LOSS]
        first, size = batch.start, batch.stop - batch.start
        stride = scratch.block.shape[0] if scratch.block.shape[0] > 0 else max(size, 1)
        for start in range(first, batch.stop, stride):
            part = Batch(batch.order, start, min(start + stride, batch.stop))
            n_rows = part.stop - start
            of_part = Share(share.step_coefs, part, share.unit * (size / n_rows))
            margin = memory.margin[start - first : part.stop - first]
            margins_multi(rows, batch.order, start, part.stop, scratch.table, margin, scratch.block)
            _raw_from_margins(margin, memory.params, factor(store), n_rows)
            slopes_of_many(rule, rows, samples, of_part, margin, losses_of)
            gather(store.columns, rule, rows, part, margin, memory)
        _sum_rows(memory.margin, size, memory.sums[TOTAL])

    @staticmethod
    def accumulate_slopes(outputs, rows, batch, slopes, memory):
        order, start, stop = batch.order, batch.start, batch.stop
        n_columns, n_outputs = memory.scratch.table.shape
        gradient = table_in(memory.gradient, 0, n_columns, n_outputs)
        _, block, product = memory.scratch
        accumulate_multi(rows, order, start, stop, slopes, gradient, block, product)

    @staticmethod
    def descend_columns(outputs, store, rule, step_coefs, memory, n_touched):
        params, state, gradient = memory.params, memory.state, memory.gradient
        shares, n_outputs = memory.shares, memory.shares.shape[0]
        for i in range(n_touched):
            j = column(store.columns, i)
            for k in range(n_outputs):
                c = at(j, n_outputs, k)
                shares[k] += descend(store, rule, step_coefs, gradient[c], params, state, c)
                gradient[c] = 0

    @staticmethod
    def scatter_rows(outputs, store, rule, rows, batch, step_coefs, memory):
        params, state, slopes = memory.params, memory.state, memory.margin
        shares, n_outputs = memory.shares, memory.shares.shape[0]
        for position in range(batch.start, batch.stop):
            i, o = row_at(batch.order, position), position - batch.start
            begin, end = entries(rows, i)
            for entry_number in range(begin, end):
                j, x = entry(rows, i, entry_number)
                for k in range(n_outputs):
                    c, g = at(j, n_outputs, k), slopes[o, k] * x
                    shares[k] += descend(store, rule, step_coefs, g, params, state, c)

    @staticmethod
    def slope_of(outputs, memory, o, k):
        return memory.margin[o, k]

    @staticmethod
    def target_of(outputs, samples, i, k):
        return _target_in(samples.y, i, k)


def _target_in(y, i, k):
    return np.float64(y[i, k]) if y.ndim == 2 else 0.0


@implement(_target_in)
def _compiled_target_in(y, i, k):
    if y.ndim == 2:
        return lambda y, i, k: np.float64(y[i, k])
    return lambda y, i, k: 0.0


@helper()
def _raw_from_margins(margin, params, scale, size):
    """Turn X_b W into raw predictions, in place."""
    first = params.shape[0] - margin.shape[1]
    for o in range(size):
        for k in range(margin.shape[1]):
            margin[o, k] = scale * margin[o, k] + params[np.uint64(first + k)]


def slopes_of_many(rule, rows, samples, share, margin, loss_sums):
    """Replace a batch's raw predictions by their share in its gradient.

    Adds the batch's weighted losses to ``loss_sums``.
    """
    if losses.kind_of(rule.loss) == losses.MULTINOMIAL:
        if hasattr(type(rule.loss), "begin_row"):
            return _slopes_of_exponentials(rule, rows, samples, share, margin, loss_sums)
        return _slopes_of_row(rule, rows, samples, share, margin, loss_sums)
    if samples.y.ndim == 2:
        return _slopes_of_tasks(rule, rows, samples, share, margin, loss_sums)
    return _slopes_of_classes(rule, rows, samples, share, margin, loss_sums)


@implement(slopes_of_many)
def _slopes_of_many(rule, rows, samples, share, margin, loss_sums):
    if losses.kind_of(rule[0]) == losses.MULTINOMIAL:
        in_parts = hasattr(rule[0].instance_class, "begin_row")
        of_batch = _slopes_of_exponentials if in_parts else _slopes_of_row
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
def _slopes_of_exponentials(rule, rows, samples, share, margin, loss_sums):
    """Do the same with all exponentials of the batch in one pass, which is vector code."""
    batch = share.batch
    size = batch.stop - batch.start
    for o in range(size):
        i = row_at(batch.order, batch.start + o)
        weight, _ = _weigh(samples, i, share)
        loss_sums[0] += weight * losses.begin_row(rule.loss, samples.y[i], row_in(margin, o))
    numbers = line_in(margin, 0, size * margin.shape[1])
    for c in range(numbers.shape[0]):
        numbers[c] = exp(numbers[c])
    for o in range(size):
        i = row_at(batch.order, batch.start + o)
        weight, part = _weigh(samples, i, share)
        loss_sums[0] += weight * losses.end_row(rule.loss, samples.y[i], row_in(margin, o))
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
