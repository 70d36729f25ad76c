"""Steps of mini-batches on a device: what a batch's rows are met with, and the update.

The host queues the steps of an epoch one after the other and waits for none of them. Batches are
visited as in ``passes``; sums of losses and penalties stay on the device until they are asked for.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses, optimizers, penalties
from fastgd.kernels.cuda._compiler import cuda, driver, part
from fastgd.kernels.outputs import intercept_change

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
    """One step of P parameters, of which those that have a penalty come first.

    coefs : (n_steps, 4), X's dtype, of all steps
    t : int, its number among them
    share : X's dtype, 1 / (rows of the batch * mean weight)
    size : int, rows of the batch
    n_lines : int, lines of ``partial`` that the batch has written
    first_free : int, the number of the first parameter without a penalty
    strength : X's dtype, of a penalty 1/2 |w|^2 that is a part of the gradient
    """

    coefs: np.ndarray
    t: int
    share: float
    size: int
    n_lines: int
    first_free: int
    strength: float


class Memory(NamedTuple):
    """What steps change.

    params : (P,)
    state : (n_slots, P), the optimizer's
    penalties : (P,), float64: each parameter's penalty before a step, times the rows, added up
    lengths : (P,), of the penalty's step of each, where it ties parameters together; else (0,)
    """

    params: np.ndarray
    state: np.ndarray
    penalties: np.ndarray
    lengths: np.ndarray


class Groups(NamedTuple):
    """Which parameters a penalty ties together: groups that are tied each by itself.

    After those of a group there is one place for each of its outputs, of intercepts.

    count : int
    apart : int, from where a group begins to where the next one does
    length, stride : int, how far a group goes, and the step within it
    n_outputs : int, of a group
    """

    count: int
    apart: int
    length: int
    stride: int
    n_outputs: int


class Rule(NamedTuple):
    """What a step does; as ``sgd.Rule``, without a transform."""

    loss: NamedTuple
    penalty: NamedTuple
    optimizer: NamedTuple
    fit_intercept: bool
    intercept_rate: float = 1.0


@part
def coefs_of(step):
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


class Batch(NamedTuple):
    """What comes with the rows of a batch; ``passes.pass_apart`` and ``pass_shared`` meet them.

    samples : Samples
    rule : Rule
    step : Step
    """

    samples: NamedTuple
    rule: NamedTuple
    step: NamedTuple

    @staticmethod
    def meet(given, rows, i, k, raw, out, thread):
        samples, rule, step = given.samples, given.rule, given.step
        y = _target(samples, i, k, losses.negative(rule.loss))
        weight, value = _weight_of(samples, i, k), losses.value(rule.loss, y, raw)
        out.loss[thread, k] += weight * value
        slope = losses.slope(rule.loss, y, raw)
        slope = optimizers.slope(rule.optimizer, coefs_of(step), rows, i, value, slope)
        return step.share * weight * slope

    @staticmethod
    def meet_row(given, i, row, out, thread):
        weight = _weight(given.samples, i)
        value = losses.gradient_row(given.rule.loss, given.samples.y[i, 0], row, row)
        out.loss[thread, 0] += weight * value
        for k in range(row.shape[0]):
            row[k] *= given.step.share * weight


@part
def update_all(rule, step, partial, memory, counts):
    """Do what ``update`` does."""
    params, state, coefs = memory.params, memory.state, coefs_of(step)
    slope = losses.intercept_gradient(rule.loss)
    for c in range(cuda.grid(1), params.shape[0], cuda.gridsize(1)):
        g = np.float64(0)
        for line in range(step.n_lines):
            g += partial[line, c]
        if counts:
            memory.penalties[c] += _penalty(rule, step, params[c], c)
        if c < step.first_free:
            g += step.strength * params[c]
            moved = optimizers.move(rule.optimizer, rule.penalty, coefs, params[c], g, state, c)
            params[c] = moved[0]
            if memory.lengths.shape[0] > 0:
                memory.lengths[c] = moved[1]
        elif rule.fit_intercept:
            params[c] += intercept_change(rule, coefs, g + slope, state, c)


@driver
def update(rule, step, partial, memory, counts):
    """Take the step of all parameters, a thread for each.

    Parameters
    ----------
    rule : Rule
    step : Step
    partial : (n_lines or more, P), the gradient's lines
    memory : Memory, changed in place
    counts : bool, whether what parameters cost is added up
    """
    update_all(rule, step, partial, memory, counts)


@part
def _penalty(rule, step, param, c):
    """Return what a parameter costs before a step, once for each row of the batch."""
    if c >= step.first_free:
        return np.float64(step.size) * losses.intercept_gradient(rule.loss) * param
    cost = penalties.value(rule.penalty, param, c)
    return np.float64(step.size) * (cost + np.float64(0.5) * step.strength * param * param)


@driver
def add_costs_of_ties(rule, step, memory, groups):
    """Add what ties cost before a step to ``memory.penalties``, a thread for each group."""
    for g in range(cuda.grid(1), groups.count, cuda.gridsize(1)):
        first = g * groups.apart
        params = memory.params[first : first + groups.length : groups.stride]
        for k in range(groups.n_outputs):
            cost = penalties.joint_value(rule.penalty, params, groups.n_outputs, k)
            memory.penalties[first + k] += np.float64(step.size) * np.float64(cost)


@driver
def tie(rule, memory, groups):
    """Let the penalty tie parameters together after a step, a thread for each group."""
    for g in range(cuda.grid(1), groups.count, cuda.gridsize(1)):
        first, beyond = g * groups.apart, g * groups.apart + groups.length
        params = memory.params[first : beyond : groups.stride]
        lengths = memory.lengths[first : beyond : groups.stride]
        penalties.joint_proximal(rule.penalty, params, lengths, groups.n_outputs)


@driver
def add_penalties(rule, step, memory):
    """Add what the parameters cost to ``memory.penalties``, as ``update`` does."""
    for c in range(cuda.grid(1), memory.params.shape[0], cuda.gridsize(1)):
        memory.penalties[c] += _penalty(rule, step, memory.params[c], c)


@driver
def write_gradient(rule, step, partial, gradient, first):
    """Write the sums of lines into the gradient from ``first`` on; what is not trained has none.

    Parameters
    ----------
    rule : Rule
    step : Step
    partial : (n_lines or more, P - first)
    gradient : (P,)
    first : int
    """
    for c in range(first + cuda.grid(1), gradient.shape[0], cuda.gridsize(1)):
        g = np.float64(0)
        if c < step.first_free or rule.fit_intercept:
            for line in range(step.n_lines):
                g += partial[line, c - first]
        gradient[c] = g


@driver
def add_strength(step, params, gradient):
    """Add the slope of the penalty that is a part of the gradient."""
    for c in range(cuda.grid(1), step.first_free, cuda.gridsize(1)):
        gradient[c] += step.strength * params[c]


@driver
def add_pull(rule, step, gradient):
    """Add what the loss has of intercepts apart from rows (one class)."""
    for c in range(step.first_free + cuda.grid(1), gradient.shape[0], cuda.gridsize(1)):
        if rule.fit_intercept:
            gradient[c] += losses.intercept_gradient(rule.loss)
