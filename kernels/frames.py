"""Frames: how the coefficients are kept while steps are taken.

A frame answers, for a solver that knows only rows and coefficients: which coefficients does this
batch need, are they up to date, and what does a step do to one of them.

``Plain``   every step passes over all coefficients (dense rows, or a rule that demands it).
``Tied``    as that, and then over all once more, for a penalty that ties them together.
``Scaled``  coefficients share a factor, which the quadratic penalty shrinks for all of them at
            once; a step touches the columns of its batch and owes nothing to the others. For plain
            sgd without an absolute penalty (Bottou's trick).
``Lazy``    a step touches the columns of its batch; what penalty and momentum would have done to
            the others is made up for when they are next read, and for all at the end of a span.
            ``Stepped`` and ``Paced`` are its forms for momentum under a kink, and for steps of
            each coefficient's own length.

A frame that ``scatters`` takes a batch's step row by row, straight from the rows to the
coefficients: plain sgd is a sum over rows, and needs no gradient to be gathered first. With
``Scaled`` and ``Lazy`` a step on sparse rows costs O(non-zeros), whatever the number of features.
Parameters come flat: those of a column stand together, one for each output, and the intercepts
are last; "coefficient c" counts in that array. The intercepts are always plain.

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
from fastgd.kernels.penalties import at
from fastgd.kernels.rows import column_of, entries, entry, row_at

FORGOTTEN = 60.0  # e^-60 of a coefficient is none
SMALLEST_FACTOR = 1e-6  # below it the factor is multiplied out, so that float32 keeps its digits


@hook
def lanes(rule):
    """Return the number of outputs: a constant to the compiler where there is one."""
    return type(rule).lanes(rule)


@hook
def factor(frame):
    """Return what a stored coefficient is multiplied by."""
    return type(frame).factor(frame)


@hook
def begin_step(frame, rule, pace, params, average):
    """Do what a step does to all coefficients at once.

    Returns the pace of the stored coefficients, and what is left of their penalty.
    """
    return type(frame).begin_step(frame, rule, pace, params, average)


@hook
def ready_row(frame, rule, rows, i, t, params, state):
    """Bring the coefficients of row i to where they are after t steps."""
    return type(frame).ready_row(frame, rule, rows, i, t, params, state)


@hook
def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
    """Bring a batch's coefficients to where they are after t steps.

    ``gradient`` is all zero, before and after. Returns the number of columns that the step
    touches; ``column`` tells which they are.
    """
    return type(frame).ready_batch(frame, rule, rows, batch, t, params, state, gradient)


@hook
def rested(frame, lane):
    """Return what rests have changed in an output's penalty since the last call."""
    return type(frame).rested(frame, lane)


@hook
def column(frame, i):
    """Return the i-th of the columns that the step at hand touches."""
    return type(frame).column(frame, i)


@hook
def descend(frame, rule, pace, g, params, state, c):
    """Take the step of coefficient c of the flat parameters; return its share of the cost."""
    return type(frame).descend(frame, rule, pace, g, params, state, c)


@hook
def cost_after(frame, cost, shares):
    """Return the penalty after a step, from that before it and the sum of the shares."""
    return type(frame).cost_after(frame, cost, shares)


@hook
def tie(frame, rule, params, costs):
    """Let the penalty tie coefficients together after a step; write what they then cost."""
    return type(frame).tie(frame, rule, params, costs)


@hook
def add_to_average(frame, rule, params, average):
    """Add the iterate to ``average``, a float64 sum of them."""
    return type(frame).add_to_average(frame, rule, params, average)


@hook
def finish(frame, rule, t, params, state, average):
    """Leave all coefficients as they are after t steps, and the frame as new."""
    return type(frame).finish(frame, rule, t, params, state, average)


class Batch(NamedTuple):
    """The rows ``order[start:stop]``; an empty order means the rows as they lie."""

    order: np.ndarray
    start: int
    stop: int


class Listed(NamedTuple):
    """Columns in an array, as ``column_of`` gives them of sparse rows."""

    columns: np.ndarray

    @staticmethod
    def column_of(rows, k):
        return np.uint64(rows.columns[np.uint64(k)])


class Plain(NamedTuple):
    """Coefficients as they are; every step passes over all of them."""

    scatters = False

    @staticmethod
    def factor(frame):
        return 1.0

    @staticmethod
    def begin_step(frame, rule, pace, params, average):
        return pace, 1.0

    @staticmethod
    def ready_row(frame, rule, rows, i, t, params, state):
        pass

    @staticmethod
    def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
        return params.shape[0] // lanes(rule) - 1

    @staticmethod
    def rested(frame, lane):
        return 0.0

    @staticmethod
    def column(frame, i):
        return i

    @staticmethod
    def descend(frame, rule, pace, g, params, state, c):
        after, _ = optimizers.move(rule.optimizer, rule.penalty, pace, params[c], g, state, c)
        params[c] = after
        return penalties.value(rule.penalty, after, c)

    @staticmethod
    def cost_after(frame, cost, shares):
        return shares

    @staticmethod
    def tie(frame, rule, params, costs):
        pass

    @staticmethod
    def add_to_average(frame, rule, params, average):
        for c in range(params.shape[0]):
            average[c] += params[c]

    @staticmethod
    def finish(frame, rule, t, params, state, average):
        pass


class Tied(NamedTuple):
    """As ``Plain``, with a second pass in which the penalty ties coefficients together.

    lengths : params' shape, flat, its dtype: of the penalty's step of each coefficient
    """

    lengths: np.ndarray

    scatters = False
    factor = Plain.factor
    begin_step = Plain.begin_step
    ready_row = Plain.ready_row
    ready_batch = Plain.ready_batch
    rested = Plain.rested
    column = Plain.column
    cost_after = Plain.cost_after
    add_to_average = Plain.add_to_average
    finish = Plain.finish

    @staticmethod
    def descend(frame, rule, pace, g, params, state, c):
        after, step = optimizers.move(rule.optimizer, rule.penalty, pace, params[c], g, state, c)
        params[c] = after
        frame.lengths[c] = step
        return cast(0.0, after)  # what it costs is known once it is tied

    @staticmethod
    def tie(frame, rule, params, costs):
        penalties.settle(rule.penalty, params, frame.lengths, lanes(rule))
        for lane in range(costs.shape[0]):
            costs[lane] = cost_of_all(rule, params, lane)


class Scaled(NamedTuple):
    """Coefficients times a common factor.

    factors : (2,), float64: the common factor, and its sum over the averaged steps
    behind : (0,), float64; read by ``Averaged`` only
    """

    factors: np.ndarray
    behind: np.ndarray

    scatters = True

    @staticmethod
    def factor(frame):
        return frame.factors[0]

    @staticmethod
    def begin_step(frame, rule, pace, params, average):
        one = np.float64(1.0)
        shrinkage = penalties.proximal(rule.penalty, one, one - one, np.float64(pace[0]), 0)
        frame.factors[0] *= shrinkage
        if frame.factors[0] < SMALLEST_FACTOR:
            _multiply_out(frame, rule, params, average)
        # the penalty is quadratic: the factor comes out squared
        stored = (pace[0] / cast(frame.factors[0], pace[0]), pace[1], pace[2], pace[3])
        return stored, shrinkage * shrinkage

    @staticmethod
    def ready_row(frame, rule, rows, i, t, params, state):
        pass

    @staticmethod
    def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
        return 0

    rested = Plain.rested

    @staticmethod
    def column(frame, i):
        return np.uint64(i)

    @staticmethod
    def descend(frame, rule, pace, g, params, state, c):
        before = params[c]
        change, _ = optimizers.update(rule.optimizer, pace, g, state, c)
        after = before + change
        params[c] = after
        return penalties.value(rule.penalty, after, c) - penalties.value(rule.penalty, before, c)

    @staticmethod
    def cost_after(frame, cost, shares):
        return cost + shares * frame.factors[0] * frame.factors[0]

    tie = Plain.tie

    @staticmethod
    def add_to_average(frame, rule, params, average):
        pass

    @staticmethod
    def finish(frame, rule, t, params, state, average):
        _multiply_out(frame, rule, params, average)


class Averaged(NamedTuple):
    """Coefficients times a common factor, and the sum of the iterates that they go through.

    behind : (d K,), float64, what ``factors[1] * param`` is ahead of the sum
    """

    factors: np.ndarray
    behind: np.ndarray

    scatters = True
    factor = Scaled.factor
    begin_step = Scaled.begin_step
    ready_row = Scaled.ready_row
    ready_batch = Scaled.ready_batch
    rested = Scaled.rested
    column = Scaled.column
    cost_after = Scaled.cost_after
    tie = Plain.tie
    finish = Scaled.finish

    @staticmethod
    def descend(frame, rule, pace, g, params, state, c):
        before = params[c]
        change, _ = optimizers.update(rule.optimizer, pace, g, state, c)
        after = before + change
        params[c] = after
        frame.behind[c] += (after - before) * frame.factors[1]
        return penalties.value(rule.penalty, after, c) - penalties.value(rule.penalty, before, c)

    @staticmethod
    def add_to_average(frame, rule, params, average):
        frame.factors[1] += frame.factors[0]
        for c in range(params.shape[0] - lanes(rule), params.shape[0]):
            average[c] += params[c]


class Gathered(NamedTuple):
    """As ``Scaled``, stepping from a gradient that is gathered first: a transform wants to see it.

    touched : (d,), int32, the columns of the batch at hand
    """

    factors: np.ndarray
    behind: np.ndarray
    touched: np.ndarray

    scatters = False
    tie = Plain.tie
    factor = Scaled.factor
    begin_step = Scaled.begin_step
    ready_row = Scaled.ready_row
    rested = Scaled.rested
    descend = Scaled.descend
    cost_after = Scaled.cost_after
    add_to_average = Scaled.add_to_average
    finish = Scaled.finish

    @staticmethod
    def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
        return _list_columns(frame, rule, rows, batch, gradient)

    @staticmethod
    def column(frame, i):
        return np.uint64(frame.touched[i])


class GatheredAveraged(NamedTuple):
    """As ``Averaged``, stepping from a gradient that is gathered first."""

    factors: np.ndarray
    behind: np.ndarray
    touched: np.ndarray

    scatters = False
    tie = Plain.tie
    factor = Scaled.factor
    begin_step = Scaled.begin_step
    ready_row = Scaled.ready_row
    ready_batch = Gathered.ready_batch
    rested = Scaled.rested
    column = Gathered.column
    descend = Averaged.descend
    cost_after = Scaled.cost_after
    add_to_average = Averaged.add_to_average
    finish = Scaled.finish


class Lazy(NamedTuple):
    """Coefficients that are brought up to date when they are read.

    touched : (d,), int32, the columns of the batch at hand
    seen : (d,), int64, the number of steps that a coefficient has taken
    times : (n_steps + 1,), float64, the penalty's time after t steps
    coasts : (n_steps + 1,), float64; see ``optimizers.Rest``
    owed : (n_outputs,), float64, what rests have changed in the penalty; see ``rested``
    """

    touched: np.ndarray
    seen: np.ndarray
    times: np.ndarray
    coasts: np.ndarray
    owed: np.ndarray

    scatters = False

    @staticmethod
    def factor(frame):
        return 1.0

    @staticmethod
    def begin_step(frame, rule, pace, params, average):
        return pace, 1.0

    @staticmethod
    def ready_row(frame, rule, rows, i, t, params, state):
        begin, end = entries(rows, i)
        _catch_up(frame, rule, rows, begin, end, t, params, state)

    @staticmethod
    def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
        n_touched = _list_columns(frame, rule, rows, batch, gradient)
        _catch_up(frame, rule, Listed(frame.touched), 0, n_touched, t, params, state)
        return n_touched

    @staticmethod
    def rested(frame, lane):
        change = frame.owed[lane]
        frame.owed[lane] = 0.0
        return change

    @staticmethod
    def column(frame, i):
        return np.uint64(frame.touched[i])

    @staticmethod
    def descend(frame, rule, pace, g, params, state, c):
        before = params[c]
        after, _ = optimizers.move(rule.optimizer, rule.penalty, pace, before, g, state, c)
        params[c] = after
        return penalties.value(rule.penalty, after, c) - penalties.value(rule.penalty, before, c)

    @staticmethod
    def cost_after(frame, cost, shares):
        return cost + shares

    tie = Plain.tie

    @staticmethod
    def add_to_average(frame, rule, params, average):
        pass  # an average needs all coefficients in every step: such a rule gets a Plain frame

    @staticmethod
    def finish(frame, rule, t, params, state, average):
        for j in range(frame.touched.shape[0]):
            frame.touched[j] = j
        _catch_up(frame, rule, Listed(frame.touched), 0, frame.touched.shape[0], t, params, state)
        frame.seen[:] = 0
        frame.owed[:] = 0.0


class Stepped(NamedTuple):
    """As ``Lazy``, for momentum under a penalty with a kink at zero.

    A coefficient that moves on while the penalty pulls it across zero has no closed form. Its
    steps are made up for one by one while its velocity matters: log(eps) / log(momentum) of
    them, 340 for a momentum of 0.9, whatever the length of its rest.

    touched, seen, times, owed : as in ``Lazy``
    paces : (n_steps, 4), float64; see ``optimizers.paces``
    """

    touched: np.ndarray
    seen: np.ndarray
    times: np.ndarray
    paces: np.ndarray
    owed: np.ndarray

    scatters = False
    factor = Lazy.factor
    begin_step = Lazy.begin_step
    rested = Lazy.rested
    column = Lazy.column
    descend = Lazy.descend
    cost_after = Lazy.cost_after
    tie = Plain.tie
    add_to_average = Lazy.add_to_average

    @staticmethod
    def ready_row(frame, rule, rows, i, t, params, state):
        begin, end = entries(rows, i)
        _walk(frame, rule, rows, begin, end, t, params, state)

    @staticmethod
    def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
        n_touched = _list_columns(frame, rule, rows, batch, gradient)
        _walk(frame, rule, Listed(frame.touched), 0, n_touched, t, params, state)
        return n_touched

    @staticmethod
    def finish(frame, rule, t, params, state, average):
        for j in range(frame.touched.shape[0]):
            frame.touched[j] = j
        _walk(frame, rule, Listed(frame.touched), 0, frame.touched.shape[0], t, params, state)
        frame.seen[:] = 0
        frame.owed[:] = 0.0


class Paced(NamedTuple):
    """As ``Lazy``, for penalty steps whose length is each coefficient's own.

    The length is ``pace[0]`` times a speed q that no rest changes. Its time on the penalty's
    clock, -log(1 - h l2) / l2 summed over steps of h = pace q, is summed as a power series in q
    with one coefficient for each step and power: sums of those are kept for the span, so that
    any rest costs one polynomial. Where h l2 is not small the steps are added up one by one.

    touched, seen, coasts, owed : as in ``Lazy``
    times : (n_steps + 1, 4), float64, sums of  l2^(k - 1) pace^k / k  over the steps before
    paces : (n_steps,), float64: of the penalty's steps
    fastest : float, the largest q for which the series is exact to rounding
    """

    touched: np.ndarray
    seen: np.ndarray
    times: np.ndarray
    coasts: np.ndarray
    owed: np.ndarray
    paces: np.ndarray
    fastest: float

    scatters = False
    factor = Lazy.factor
    begin_step = Lazy.begin_step
    rested = Lazy.rested
    column = Lazy.column
    descend = Lazy.descend
    cost_after = Lazy.cost_after
    tie = Plain.tie
    add_to_average = Lazy.add_to_average

    @staticmethod
    def ready_row(frame, rule, rows, i, t, params, state):
        begin, end = entries(rows, i)
        _catch_up_paced(frame, rule, rows, begin, end, t, params, state)

    @staticmethod
    def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
        n_touched = _list_columns(frame, rule, rows, batch, gradient)
        _catch_up_paced(frame, rule, Listed(frame.touched), 0, n_touched, t, params, state)
        return n_touched

    @staticmethod
    def finish(frame, rule, t, params, state, average):
        for j in range(frame.touched.shape[0]):
            frame.touched[j] = j
        _catch_up_paced(
            frame, rule, Listed(frame.touched), 0, frame.touched.shape[0], t, params, state
        )
        frame.seen[:] = 0
        frame.owed[:] = 0.0


@helper()
def _list_columns(frame, rule, rows, batch, gradient):
    """List the batch's columns once each, and return their number.

    The gradient is zero between steps, so it serves to mark what is listed already.
    """
    n_lanes, n_touched = lanes(rule), 0
    for position in range(batch.start, batch.stop):
        i = row_at(batch.order, position)
        begin, end = entries(rows, i)
        for k in range(begin, end):
            j, _ = entry(rows, i, k)
            if gradient[at(j, n_lanes, 0)] == 0:
                gradient[at(j, n_lanes, 0)] = 1
                frame.touched[n_touched] = j
                n_touched += 1
    for i in range(n_touched):
        gradient[at(frame.touched[i], n_lanes, 0)] = 0
    return n_touched


@helper()
def _multiply_out(frame, rule, params, average):
    """Write the coefficients out, so that their common factor is one again.

    The average's share of the steps so far is settled first: a coefficient u that changed by
    du_i when the factors of the averaged steps had the sum c_i adds u c - sum(du_i c_i).
    """
    factor, total = frame.factors[0], frame.factors[1]
    for c in range(frame.behind.shape[0]):
        average[c] += params[c] * total - frame.behind[c]
        frame.behind[c] = 0.0
    for c in range(params.shape[0] - lanes(rule)):
        params[c] = factor * params[c]
    frame.factors[0], frame.factors[1] = 1.0, 0.0


@helper()
def _catch_up(frame, rule, listed, begin, end, t, params, state):
    """Bring the coefficients of entries ``begin`` to ``end`` to where they are after t steps.

    ``listed`` are sparse rows or ``Listed`` columns.
    """
    n_lanes = lanes(rule)
    seen, times, coasts, owed = frame.seen, frame.times, frame.coasts, frame.owed
    for k in range(begin, end):
        j = column_of(listed, k)
        since = seen[j]
        rest = optimizers.Rest(t - since, times[t] - times[since], coasts[since], coasts[t])
        for lane in range(n_lanes):
            c = at(j, n_lanes, lane)
            slot = optimizers.recall(rule.optimizer, state, c)
            before = np.float64(params[c])
            after, slot = optimizers.catch_up(rule.optimizer, rule.penalty, before, slot, rest, c)
            optimizers.keep(rule.optimizer, state, c, slot)
            params[c] = after
            owed[lane] += penalties.value(rule.penalty, after, c)
            owed[lane] -= penalties.value(rule.penalty, before, c)
        seen[j] = t + 1


@helper()
def _catch_up_paced(frame, rule, listed, begin, end, t, params, state):
    """As ``_catch_up``, each coefficient on a clock of its own."""
    n_lanes, fastest = lanes(rule), frame.fastest
    seen, times, coasts = frame.seen, frame.times, frame.coasts
    owed, paces = frame.owed, frame.paces
    for k in range(begin, end):
        j = column_of(listed, k)
        since = seen[j]
        first, second = times[t, 0] - times[since, 0], times[t, 1] - times[since, 1]
        third, fourth = times[t, 2] - times[since, 2], times[t, 3] - times[since, 3]
        for lane in range(n_lanes):
            c = at(j, n_lanes, lane)
            slot = optimizers.recall(rule.optimizer, state, c)
            q = optimizers.speed(rule.optimizer, slot) * penalties.stretch(rule.penalty, c)
            before = np.float64(params[c])
            time = q * (first + q * (second + q * (third + q * fourth)))
            if q > fastest and before != 0:  # what never moved has the largest q, and stays zero
                time = _time_of_steps(rule.penalty, paces, since, t, q)
            rest = optimizers.Rest(t - since, time, coasts[since], coasts[t])
            after, slot = optimizers.catch_up(rule.optimizer, rule.penalty, before, slot, rest, c)
            optimizers.keep(rule.optimizer, state, c, slot)
            params[c] = after
            owed[lane] += penalties.value(rule.penalty, after, c)
            owed[lane] -= penalties.value(rule.penalty, before, c)
        seen[j] = t + 1


@helper()
def _time_of_steps(penalty, paces, since, t, q):
    """Return the penalty's time of the steps from ``since`` to t, by a loop over them.

    It ends where nothing is left to shrink: one step of h l2 >= 1 is enough.
    """
    time, step = 0.0, since
    while step < t and penalty.l2 * time < FORGOTTEN:
        time += penalties.clock(penalty, paces[step] * q)
        step += 1
    return time


@helper()
def _walk(frame, rule, listed, begin, end, t, params, state):
    """As ``_catch_up``, one step after another while a coefficient moves."""
    n_lanes = lanes(rule)
    seen, times, paces, owed = frame.seen, frame.times, frame.paces, frame.owed
    momentum, nesterov = np.float64(rule.optimizer.momentum), rule.optimizer.nesterov
    for k in range(begin, end):
        j = column_of(listed, k)
        for lane in range(n_lanes):
            c, step = at(j, n_lanes, lane), seen[j]
            param = np.float64(params[c])
            owed[lane] -= penalties.value(rule.penalty, param, c)
            velocity = optimizers.recall(rule.optimizer, state, c)
            kept = optimizers.faded(velocity, momentum, t - step)
            optimizers.keep(rule.optimizer, state, c, kept)
            negligible = 1e-16 * (abs(velocity) + abs(param))
            while step < t and abs(velocity) > negligible:
                rate, length = paces[step, 0], paces[step, 0] * paces[step, 1]
                velocity *= momentum
                change = -rate * (momentum * velocity if nesterov else velocity)
                param = penalties.proximal(rule.penalty, param, change, length, c)
                step += 1
            param = penalties.rest(rule.penalty, param, times[t] - times[step])
            owed[lane] += penalties.value(rule.penalty, param, c)
            params[c] = param
        seen[j] = t + 1


@helper()
def cost_of_all(rule, params, lane):
    """Return the penalty of the coefficients of one output; the intercept, last, has none."""
    n_lanes, total = lanes(rule), 0.0
    for j in range(params.shape[0] // n_lanes - 1):
        c = at(j, n_lanes, lane)
        total += penalties.value(rule.penalty, params[c], c)
    return total + penalties.tied(rule.penalty, params, n_lanes, lane)
