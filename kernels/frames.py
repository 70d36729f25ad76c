"""Frames: how the coefficients are kept while steps are taken.

A frame answers, for a solver that knows only rows and coefficients: which coefficients does this
batch need, are they up to date, and what does a step do to one of them.

``Plain``   every step passes over all coefficients (dense rows, or a rule that demands it).
``Scaled``  coefficients share a factor, which the quadratic penalty shrinks for all of them at
            once; a step touches the columns of its batch and owes nothing to the others. For plain
            sgd without an absolute penalty (Bottou's trick).
``Lazy``    a step touches the columns of its batch; what penalty and momentum would have done to
            the others is made up for when they are next read, and for all at the end of a span.

With the last two a step on sparse rows costs O(non-zeros), whatever the number of features.
The intercept, last in ``params``, is always plain.

References
----------
.. [1] Bottou, "Stochastic Gradient Descent Tricks", 2012, section 5.1.
.. [2] Xu, "Towards Optimal One Pass Large Scale Learning with Averaged Stochastic Gradient
   Descent", 2011, section 4.1 (the average of scaled coefficients). arXiv:1107.2490
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import optimizers, penalties
from fastgd.kernels._hook import cast, hook
from fastgd.kernels._jit import helper
from fastgd.kernels.rows import entries, entry, row_at

SMALLEST_FACTOR = 1e-6  # below it the factor is multiplied out, so that float32 keeps its digits


@hook
def factor(frame):
    """Return what a stored coefficient is multiplied by."""
    return type(frame).factor(frame)


@hook
def begin_step(frame, rule, pace, params, average, cost):
    """Do what a step does to all coefficients at once.

    Returns the pace of the stored coefficients, and their penalty.
    """
    return type(frame).begin_step(frame, rule, pace, params, average, cost)


@hook
def ready_row(frame, rule, rows, i, t, params, state):
    """Bring the coefficients of row i to where they are after t steps."""
    return type(frame).ready_row(frame, rule, rows, i, t, params, state)


@hook
def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
    """Bring a batch's coefficients to where they are after t steps.

    ``gradient`` is all zero, before and after. Returns the number of coefficients that the step
    touches; ``column`` tells which they are.
    """
    return type(frame).ready_batch(frame, rule, rows, batch, t, params, state, gradient)


@hook
def column(frame, i):
    """Return the i-th of the coefficients that the step at hand touches."""
    return type(frame).column(frame, i)


@hook
def descend(frame, rule, pace, g, params, state, j):
    """Take the step of coefficient j, and return its share in ``cost_after``."""
    return type(frame).descend(frame, rule, pace, g, params, state, j)


@hook
def cost_after(frame, cost, shares):
    """Return the penalty of the stored coefficients after a step, from the sum of the shares."""
    return type(frame).cost_after(frame, cost, shares)


@hook
def add_to_average(frame, params, average):
    """Add the iterate to ``average``, a float64 sum of them."""
    return type(frame).add_to_average(frame, params, average)


@hook
def finish(frame, rule, t, params, state, average):
    """Leave all coefficients as they are after t steps, and the frame as new."""
    return type(frame).finish(frame, rule, t, params, state, average)


class Batch(NamedTuple):
    """The rows ``order[start:stop]``; an empty order means the rows as they lie."""

    order: np.ndarray
    start: int
    stop: int


class Plain(NamedTuple):
    """Coefficients as they are; every step passes over all of them."""

    @staticmethod
    def factor(frame):
        return 1.0

    @staticmethod
    def begin_step(frame, rule, pace, params, average, cost):
        return pace, cost

    @staticmethod
    def ready_row(frame, rule, rows, i, t, params, state):
        pass

    @staticmethod
    def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
        return params.shape[0] - 1

    @staticmethod
    def column(frame, i):
        return i

    @staticmethod
    def descend(frame, rule, pace, g, params, state, j):
        change, step = optimizers.update(rule.optimizer, pace, g, state, j)
        after = penalties.proximal(rule.penalty, params[j], change, step)
        params[j] = after
        return penalties.value(rule.penalty, after)

    @staticmethod
    def cost_after(frame, cost, shares):
        return shares

    @staticmethod
    def add_to_average(frame, params, average):
        for j in range(params.shape[0]):
            average[j] += params[j]

    @staticmethod
    def finish(frame, rule, t, params, state, average):
        pass


class Scaled(NamedTuple):
    """Coefficients times a common factor.

    factors : (2,), float64: the common factor, and its sum over the averaged steps
    touched : (d,), int32, the columns of the batch at hand
    behind : (0,), float64; read by ``Averaged`` only
    """

    factors: np.ndarray
    touched: np.ndarray
    behind: np.ndarray

    @staticmethod
    def factor(frame):
        return frame.factors[0]

    @staticmethod
    def begin_step(frame, rule, pace, params, average, cost):
        one = np.float64(1.0)
        frame.factors[0] *= penalties.proximal(rule.penalty, one, one - one, np.float64(pace[0]))
        if frame.factors[0] < SMALLEST_FACTOR:
            _multiply_out(frame, params, average)
            cost = cost_of_all(rule.penalty, params)
        return (pace[0] / cast(frame.factors[0], pace[0]), pace[1]), cost

    @staticmethod
    def ready_row(frame, rule, rows, i, t, params, state):
        pass

    @staticmethod
    def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
        return _list_columns(frame, rows, batch, gradient)

    @staticmethod
    def column(frame, i):
        return np.uint64(frame.touched[i])

    @staticmethod
    def descend(frame, rule, pace, g, params, state, j):
        before = params[j]
        change, _ = optimizers.update(rule.optimizer, pace, g, state, j)
        after = before + change
        params[j] = after
        return penalties.value(rule.penalty, after) - penalties.value(rule.penalty, before)

    @staticmethod
    def cost_after(frame, cost, shares):
        return cost + shares

    @staticmethod
    def add_to_average(frame, params, average):
        pass

    @staticmethod
    def finish(frame, rule, t, params, state, average):
        _multiply_out(frame, params, average)


class Averaged(NamedTuple):
    """Coefficients times a common factor, and the sum of the iterates that they go through.

    behind : (d,), float64, what ``factors[1] * param`` is ahead of the sum
    """

    factors: np.ndarray
    touched: np.ndarray
    behind: np.ndarray

    factor = Scaled.factor
    begin_step = Scaled.begin_step
    ready_row = Scaled.ready_row
    ready_batch = Scaled.ready_batch
    column = Scaled.column
    cost_after = Scaled.cost_after
    finish = Scaled.finish

    @staticmethod
    def descend(frame, rule, pace, g, params, state, j):
        before = params[j]
        change, _ = optimizers.update(rule.optimizer, pace, g, state, j)
        after = before + change
        params[j] = after
        frame.behind[j] += (after - before) * frame.factors[1]
        return penalties.value(rule.penalty, after) - penalties.value(rule.penalty, before)

    @staticmethod
    def add_to_average(frame, params, average):
        frame.factors[1] += frame.factors[0]
        average[params.shape[0] - 1] += params[params.shape[0] - 1]


class Lazy(NamedTuple):
    """Coefficients that are brought up to date when they are read.

    touched : (d,), int32, the columns of the batch at hand
    seen : (d,), int64, the number of steps that a coefficient has taken
    times : (n_steps + 1,), float64, the penalty's time after t steps
    coasts : (n_steps + 1,), float64; see ``optimizers.backward_coasts``
    """

    touched: np.ndarray
    seen: np.ndarray
    times: np.ndarray
    coasts: np.ndarray

    @staticmethod
    def factor(frame):
        return 1.0

    @staticmethod
    def begin_step(frame, rule, pace, params, average, cost):
        return pace, cost

    @staticmethod
    def ready_row(frame, rule, rows, i, t, params, state):
        begin, end = entries(rows, i)
        for k in range(begin, end):
            j, _ = entry(rows, i, k)
            _catch_up(frame, rule, j, t, params, state)
            frame.seen[j] = t + 1

    @staticmethod
    def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
        n_touched = _list_columns(frame, rows, batch, gradient)
        for i in range(n_touched):
            j = np.uint64(frame.touched[i])
            _catch_up(frame, rule, j, t, params, state)
            frame.seen[j] = t + 1
        return n_touched

    @staticmethod
    def column(frame, i):
        return np.uint64(frame.touched[i])

    @staticmethod
    def descend(frame, rule, pace, g, params, state, j):
        before = params[j]
        change, step = optimizers.update(rule.optimizer, pace, g, state, j)
        after = penalties.proximal(rule.penalty, before, change, step)
        params[j] = after
        return penalties.value(rule.penalty, after) - penalties.value(rule.penalty, before)

    @staticmethod
    def cost_after(frame, cost, shares):
        return cost + shares

    @staticmethod
    def add_to_average(frame, params, average):
        pass  # an average needs all coefficients in every step: such a rule gets a Plain frame

    @staticmethod
    def finish(frame, rule, t, params, state, average):
        for j in range(params.shape[0] - 1):
            _catch_up(frame, rule, j, t, params, state)
        frame.seen[:] = 0


class Stepped(NamedTuple):
    """As ``Lazy``, for momentum under a penalty with a kink at zero.

    A coefficient that moves on while the penalty pulls it across zero has no closed form. Its
    steps are made up for one by one while its velocity matters: log(eps) / log(momentum) of
    them, 340 for a momentum of 0.9, whatever the length of its rest.

    touched, seen, times : as in ``Lazy``
    paces : (n_steps, 2), float64; see ``optimizers.paces``
    """

    touched: np.ndarray
    seen: np.ndarray
    times: np.ndarray
    paces: np.ndarray

    factor = Lazy.factor
    begin_step = Lazy.begin_step
    column = Lazy.column
    descend = Lazy.descend
    cost_after = Lazy.cost_after
    add_to_average = Lazy.add_to_average

    @staticmethod
    def ready_row(frame, rule, rows, i, t, params, state):
        begin, end = entries(rows, i)
        for k in range(begin, end):
            j, _ = entry(rows, i, k)
            _walk(frame, rule, j, t, params, state)
            frame.seen[j] = t + 1

    @staticmethod
    def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
        n_touched = _list_columns(frame, rows, batch, gradient)
        for i in range(n_touched):
            j = np.uint64(frame.touched[i])
            _walk(frame, rule, j, t, params, state)
            frame.seen[j] = t + 1
        return n_touched

    @staticmethod
    def finish(frame, rule, t, params, state, average):
        for j in range(params.shape[0] - 1):
            _walk(frame, rule, j, t, params, state)
        frame.seen[:] = 0


@helper()
def _list_columns(frame, rows, batch, gradient):
    """List the batch's columns once each, and return their number.

    The gradient is zero between steps, so it serves to mark what is listed already.
    """
    n_touched = 0
    for position in range(batch.start, batch.stop):
        i = row_at(batch.order, position)
        begin, end = entries(rows, i)
        for k in range(begin, end):
            j, _ = entry(rows, i, k)
            if gradient[j] == 0:
                gradient[j] = 1
                frame.touched[n_touched] = j
                n_touched += 1
    for i in range(n_touched):
        gradient[np.uint64(frame.touched[i])] = 0
    return n_touched


@helper()
def _multiply_out(frame, params, average):
    """Write the coefficients out, so that their common factor is one again.

    The average's share of the steps so far is settled first: a coefficient u that changed by
    du_i when the factors of the averaged steps had the sum c_i adds u c - sum(du_i c_i).
    """
    factor, total = frame.factors[0], frame.factors[1]
    for j in range(frame.behind.shape[0]):
        average[j] += params[j] * total - frame.behind[j]
        frame.behind[j] = 0.0
    for j in range(params.shape[0] - 1):
        params[j] = factor * params[j]
    frame.factors[0], frame.factors[1] = 1.0, 0.0


@helper()
def _catch_up(frame, rule, j, t, params, state):
    """Bring coefficient j to where it is after t steps of this span."""
    since = frame.seen[j]
    time = frame.times[t] - frame.times[since]
    rest = optimizers.Rest(t - since, time, frame.coasts[since], frame.coasts[t])
    slot = optimizers.recall(rule.optimizer, state, j)
    param = np.float64(params[j])
    param, slot = optimizers.catch_up(rule.optimizer, rule.penalty, param, slot, rest)
    optimizers.keep(rule.optimizer, state, j, slot)
    params[j] = param


@helper()
def _walk(frame, rule, j, t, params, state):
    """Bring coefficient j to where it is after t steps, one by one while it moves."""
    since = frame.seen[j]
    velocity = optimizers.recall(rule.optimizer, state, j)
    momentum = np.float64(rule.optimizer.momentum)
    kept = optimizers.faded(velocity, momentum, t - since)
    optimizers.keep(rule.optimizer, state, j, kept)
    param = np.float64(params[j])
    negligible = 1e-16 * (abs(velocity) + abs(param))
    while since < t and abs(velocity) > negligible:
        rate, length = frame.paces[since, 0], frame.paces[since, 0] * frame.paces[since, 1]
        velocity *= momentum
        change = -rate * (momentum * velocity if rule.optimizer.nesterov else velocity)
        param = penalties.proximal(rule.penalty, param, change, length)
        since += 1
    params[j] = penalties.rest(rule.penalty, param, frame.times[t] - frame.times[since])


@helper()
def cost_of_all(penalty, params):
    """Return the penalty of the stored coefficients; the intercept, last, has none."""
    total = 0.0
    for j in range(params.shape[0] - 1):
        total += penalties.value(penalty, params[j])
    return total
