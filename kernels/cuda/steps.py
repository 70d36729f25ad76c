"""Steps of mini-batches on a device, two drivers each: the batch's gradient, and the update.

The host queues the steps of an epoch one after the other and waits for none of them. Batches are
visited as in ``passes``; sums of losses and penalties stay on the device until they are asked for.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses, optimizers, penalties
from fastgd.kernels.cuda._compiler import BLOCK, SCRATCH, cuda, driver, part
from fastgd.kernels.cuda.passes import add_columns, begin, margins, raw_of, row_at

MOST_BLOCKS = 1 << 7  # of a batch: the update adds their lines one after the other


class Samples(NamedTuple):
    """What comes with the rows of X.

    y : (n_samples, n_targets), or (n_samples, 1): the classes' numbers
    weight : (n_samples,), X's dtype; empty means 1
    positive_weight : (n_outputs,) or empty: factor of a sample's weight in its own class's column
    by_class : bool, whether an output is a class against the rest
    """

    y: np.ndarray
    weight: np.ndarray
    positive_weight: np.ndarray
    by_class: bool


class Step(NamedTuple):
    """One step.

    coefs : (n_steps, 4), X's dtype, of all steps
    t : int, its number among them
    share : X's dtype, 1 / (rows of the batch * mean weight)
    size : int, rows of the batch
    n_lines : int, lines of ``partial`` that the batch has written
    averages : bool, whether the iterate is added to the average
    """

    coefs: np.ndarray
    t: int
    share: float
    size: int
    n_lines: int
    averages: bool


class Memory(NamedTuple):
    """What steps change.

    params : (n_features + 1, n_outputs), of P numbers
    state : (n_slots, P), the optimizer's
    penalties : (P,), float64: each parameter's penalty before a step, times the rows, added up
    average : (P,), float64, sum of the averaged iterates; (0,) where none is asked for
    """

    params: np.ndarray
    state: np.ndarray
    penalties: np.ndarray
    average: np.ndarray


class Rule(NamedTuple):
    """What a step does; as ``sgd.Rule``, without a transform."""

    loss: NamedTuple
    penalty: NamedTuple
    optimizer: NamedTuple
    fit_intercept: bool


@part
def _coefs(step):
    return (
        step.coefs[step.t, 0],
        step.coefs[step.t, 1],
        step.coefs[step.t, 2],
        step.coefs[step.t, 3],
    )


@part
def _weight(samples, i):
    return samples.weight[i] if samples.weight.shape[0] > 0 else np.float64(1)


@part
def _target(samples, i, k, negative):
    """Return the target of output k."""
    if samples.by_class:
        return np.float64(1) if samples.y[i, 0] == k else np.float64(negative)
    return np.float64(samples.y[i, k])


@part
def _weight_of(samples, i, k):
    """Return the weight of a row in output k."""
    weight = _weight(samples, i)
    if samples.by_class and samples.positive_weight.shape[0] > 0 and samples.y[i, 0] == k:
        weight *= samples.positive_weight[k]
    return weight


@driver
def gradient_apart(rows, samples, rule, params, step, span, out):
    """Write the lines of a batch's gradient, where outputs do not share a loss.

    Parameters
    ----------
    rows : Dense
    samples : Samples
    rule : Rule
    params : (n_features + 1, n_outputs)
    step : Step
    span : Span of the batch
    out : Out; the weighted losses are added to ``loss``
    """
    scratch = cuda.shared.array(SCRATCH, np.float64)
    slopes = cuda.shared.array(BLOCK, np.float64)
    thread, last = cuda.threadIdx.x, params.shape[0] - 1
    first, beyond, number = begin(span, out.partial)
    coefs, negative = _coefs(step), losses.negative(rule.loss)
    for start in range(first, beyond, BLOCK):
        stop = min(start + BLOCK, beyond)
        for k in range(params.shape[1]):
            margins(rows, span.order, start, stop, params, k, scratch)
            cuda.syncthreads()
            if start + thread < stop:
                i = row_at(span.order, start + thread)
                raw, y = raw_of(scratch, params[last, k]), _target(samples, i, k, negative)
                weight, value = _weight_of(samples, i, k), losses.value(rule.loss, y, raw)
                out.loss[cuda.blockIdx.x * BLOCK + thread, k] += weight * value
                slope = losses.slope(rule.loss, y, raw)
                slope = optimizers.slope(rule.optimizer, coefs, rows, i, value, slope)
                slopes[thread] = step.share * weight * slope
            cuda.syncthreads()
            add_columns(rows.values, span.order, start, stop, slopes, out.partial[number], k)


@driver
def gradient_shared(rows, samples, rule, params, step, span, out):
    """Write the lines of a batch's gradient of one loss of all outputs.

    Parameters are those of ``gradient_apart``; ``out.slopes`` is scratch, (size, n_outputs).
    """
    scratch = cuda.shared.array(SCRATCH, np.float64)
    slopes = cuda.shared.array(BLOCK, np.float64)
    thread, last = cuda.threadIdx.x, params.shape[0] - 1
    first, beyond, number = begin(span, out.partial)
    for start in range(first, beyond, BLOCK):
        stop = min(start + BLOCK, beyond)
        o = start + thread - span.start
        for k in range(params.shape[1]):
            margins(rows, span.order, start, stop, params, k, scratch)
            cuda.syncthreads()
            if start + thread < stop:
                out.slopes[o, k] = raw_of(scratch, params[last, k])
            cuda.syncthreads()
        if start + thread < stop:
            i = row_at(span.order, start + thread)
            row, weight = out.slopes[o], _weight(samples, i)
            value = losses.gradient_row(rule.loss, samples.y[i, 0], row, row)
            out.loss[cuda.blockIdx.x * BLOCK + thread, 0] += weight * value
            for k in range(params.shape[1]):
                row[k] *= step.share * weight
        for k in range(params.shape[1]):
            if start + thread < stop:
                slopes[thread] = out.slopes[o, k]
            cuda.syncthreads()
            add_columns(rows.values, span.order, start, stop, slopes, out.partial[number], k)
            cuda.syncthreads()


@driver
def update(rule, step, partial, memory):
    """Take the step of all parameters, a thread for each.

    Parameters
    ----------
    rule : Rule
    step : Step
    partial : (n_lines or more, P), the gradient's lines
    memory : Memory, changed in place
    """
    params, state, sums = memory.params, memory.state, memory.penalties
    n_outputs, coefs = params.shape[1], _coefs(step)
    first, n_params = (params.shape[0] - 1) * n_outputs, params.shape[0] * n_outputs
    slope = losses.intercept_gradient(rule.loss)
    for c in range(cuda.grid(1), n_params, cuda.gridsize(1)):
        j, k = c // n_outputs, c % n_outputs
        g = np.float64(0)
        for line in range(step.n_lines):
            g += partial[line, c]
        if c < first:
            sums[c] += np.float64(step.size) * penalties.value(rule.penalty, params[j, k], c)
            params[j, k] = optimizers.move(
                rule.optimizer, rule.penalty, coefs, params[j, k], g, state, c
            )[0]
        else:
            sums[c] += np.float64(step.size) * slope * params[j, k]
            if rule.fit_intercept:
                change = optimizers.update(rule.optimizer, coefs, g + slope, state, c)[0]
                params[j, k] += change
        if step.averages:
            memory.average[c] += params[j, k]
