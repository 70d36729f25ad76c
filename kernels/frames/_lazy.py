"""Coefficients that are brought up to date when they are read."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import optimizers, penalties
from fastgd.kernels._jit import helper
from fastgd.kernels.frames._dense import Plain
from fastgd.kernels.frames._protocol import make_up, n_outputs_of
from fastgd.kernels.frames._touched import Listed, list_columns
from fastgd.kernels.penalties import at
from fastgd.kernels.rows import column_of, entries

FORGOTTEN = 60.0  # e^-60 of a coefficient is none


class Lazy(NamedTuple):
    """Coefficients that are brought up to date when they are read.

    touched : (d,), int32, the columns of the batch at hand
    seen : (d,), int64, the number of steps that a coefficient has taken
    times : (n_steps + 1,), float64, the penalty's time after t steps
    coasts : (n_steps + 1,), float64; see ``optimizers.SkippedSteps``
    owed : (n_outputs,), float64, what skipped steps have changed in the penalty; see ``made_up``
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
    def begin_step(frame, rule, step_coefs, params, average):
        return step_coefs, 1.0

    @staticmethod
    def ready_row(frame, rule, rows, i, t, params, state):
        begin, end = entries(rows, i)
        make_up(frame, rule, rows, begin, end, t, params, state)

    @staticmethod
    def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
        n_touched = list_columns(frame, rule, rows, batch, gradient)
        make_up(frame, rule, Listed(frame.touched), 0, n_touched, t, params, state)
        return n_touched

    @staticmethod
    def make_up(frame, rule, listed, begin, end, t, params, state):
        _catch_up(frame, rule, listed, begin, end, t, params, state)

    @staticmethod
    def made_up(frame, output):
        change = frame.owed[output]
        frame.owed[output] = 0.0
        return change

    @staticmethod
    def column(frame, i):
        return np.uint64(frame.touched[i])

    @staticmethod
    def descend(frame, rule, step_coefs, g, params, state, c):
        before = params[c]
        after, _ = optimizers.move(rule.optimizer, rule.penalty, step_coefs, before, g, state, c)
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
        make_up(frame, rule, Listed(frame.touched), 0, frame.touched.shape[0], t, params, state)
        frame.seen[:] = 0
        frame.owed[:] = 0.0


class Stepped(NamedTuple):
    """As ``Lazy``, for momentum under a penalty with a kink at zero.

    A coefficient that moves on while the penalty pulls it across zero has no closed form. Its
    steps are made up for one by one while its velocity matters: log(eps) / log(momentum) of
    them, 340 for a momentum of 0.9, however many were skipped.

    touched, seen, times, owed : as in ``Lazy``
    step_coefficients : (n_steps, 4), float64; see ``optimizers.step_coefficients``
    """

    touched: np.ndarray
    seen: np.ndarray
    times: np.ndarray
    step_coefficients: np.ndarray
    owed: np.ndarray

    scatters = False
    factor = Lazy.factor
    begin_step = Lazy.begin_step
    made_up = Lazy.made_up
    column = Lazy.column
    descend = Lazy.descend
    cost_after = Lazy.cost_after
    tie = Plain.tie
    add_to_average = Lazy.add_to_average
    ready_row = Lazy.ready_row
    ready_batch = Lazy.ready_batch
    finish = Lazy.finish

    @staticmethod
    def make_up(frame, rule, listed, begin, end, t, params, state):
        _walk(frame, rule, listed, begin, end, t, params, state)


class OwnLengths(NamedTuple):
    """As ``Lazy``, for penalty steps whose length is each coefficient's own.

    The length is h = c q of a step, with c = ``step_coefs[0]`` and a speed q that does not change
    while steps are skipped. Its time on the penalty's clock, the sum of -log(1 - h l2) / l2 over
    the steps, is a power series in q with one coefficient for each step and power: sums of those
    are kept for the span, so that any number of skipped steps costs one polynomial. Where h l2 is
    not small the steps are added up one by one.

    touched, seen, coasts, owed : as in ``Lazy``
    times : (n_steps + 1, 4), float64, sums of  l2^(k - 1) c^k / k  over the steps before
    step_coefficients : (n_steps,), float64: of the penalty's steps
    fastest : float, the largest q for which the series is exact to rounding
    """

    touched: np.ndarray
    seen: np.ndarray
    times: np.ndarray
    coasts: np.ndarray
    owed: np.ndarray
    step_coefficients: np.ndarray
    fastest: float

    scatters = False
    factor = Lazy.factor
    begin_step = Lazy.begin_step
    made_up = Lazy.made_up
    column = Lazy.column
    descend = Lazy.descend
    cost_after = Lazy.cost_after
    tie = Plain.tie
    add_to_average = Lazy.add_to_average
    ready_row = Lazy.ready_row
    ready_batch = Lazy.ready_batch
    finish = Lazy.finish

    @staticmethod
    def make_up(frame, rule, listed, begin, end, t, params, state):
        _catch_up_own(frame, rule, listed, begin, end, t, params, state)


@helper()
def _catch_up(frame, rule, listed, begin, end, t, params, state):
    """As ``make_up``, all coefficients on one clock."""
    n_outputs = n_outputs_of(rule)
    seen, times, coasts, owed = frame.seen, frame.times, frame.coasts, frame.owed
    for k in range(begin, end):
        j = column_of(listed, k)
        since = seen[j]
        skipped = optimizers.SkippedSteps(
            t - since, times[t] - times[since], coasts[since], coasts[t]
        )
        for output in range(n_outputs):
            c = at(j, n_outputs, output)
            slot = optimizers.recall(rule.optimizer, state, c)
            before = np.float64(params[c])
            after, slot = optimizers.catch_up(
                rule.optimizer, rule.penalty, before, slot, skipped, c
            )
            optimizers.keep(rule.optimizer, state, c, slot)
            params[c] = after
            owed[output] += penalties.value(rule.penalty, after, c)
            owed[output] -= penalties.value(rule.penalty, before, c)
        seen[j] = t + 1


@helper()
def _catch_up_own(frame, rule, listed, begin, end, t, params, state):
    """As ``_catch_up``, each coefficient on a clock of its own."""
    n_outputs, fastest = n_outputs_of(rule), frame.fastest
    seen, times, coasts = frame.seen, frame.times, frame.coasts
    owed, step_coefficients = frame.owed, frame.step_coefficients
    for k in range(begin, end):
        j = column_of(listed, k)
        since = seen[j]
        first, second = times[t, 0] - times[since, 0], times[t, 1] - times[since, 1]
        third, fourth = times[t, 2] - times[since, 2], times[t, 3] - times[since, 3]
        for output in range(n_outputs):
            c = at(j, n_outputs, output)
            slot = optimizers.recall(rule.optimizer, state, c)
            q = optimizers.speed(rule.optimizer, slot) * penalties.stretch(rule.penalty, c)
            before = np.float64(params[c])
            time = q * (first + q * (second + q * (third + q * fourth)))
            if q > fastest and before != 0:  # what never moved has the largest q, and stays zero
                time = _time_of_steps(rule.penalty, step_coefficients, since, t, q)
            skipped = optimizers.SkippedSteps(t - since, time, coasts[since], coasts[t])
            after, slot = optimizers.catch_up(
                rule.optimizer, rule.penalty, before, slot, skipped, c
            )
            optimizers.keep(rule.optimizer, state, c, slot)
            params[c] = after
            owed[output] += penalties.value(rule.penalty, after, c)
            owed[output] -= penalties.value(rule.penalty, before, c)
        seen[j] = t + 1


@helper()
def _time_of_steps(penalty, step_coefficients, since, t, q):
    """Return the penalty's time of the steps from ``since`` to t, by a loop over them.

    It ends where nothing is left to shrink: one step of h l2 >= 1 is enough.
    """
    time, step = 0.0, since
    while step < t and penalty.l2 * time < FORGOTTEN:
        time += penalties.clock(penalty, step_coefficients[step] * q)
        step += 1
    return time


@helper()
def _walk(frame, rule, listed, begin, end, t, params, state):
    """As ``_catch_up``, one step after another while a coefficient moves."""
    n_outputs = n_outputs_of(rule)
    seen, times, step_coefficients, owed = (
        frame.seen,
        frame.times,
        frame.step_coefficients,
        frame.owed,
    )
    momentum, nesterov = np.float64(rule.optimizer.momentum), rule.optimizer.nesterov
    for k in range(begin, end):
        j = column_of(listed, k)
        for output in range(n_outputs):
            c, step = at(j, n_outputs, output), seen[j]
            param = np.float64(params[c])
            owed[output] -= penalties.value(rule.penalty, param, c)
            velocity = optimizers.recall(rule.optimizer, state, c)
            kept = optimizers.faded(velocity, momentum, t - step)
            optimizers.keep(rule.optimizer, state, c, kept)
            negligible = 1e-16 * (abs(velocity) + abs(param))
            while step < t and abs(velocity) > negligible:
                rate, length = (
                    step_coefficients[step, 0],
                    step_coefficients[step, 0] * step_coefficients[step, 1],
                )
                velocity *= momentum
                change = -rate * (momentum * velocity if nesterov else velocity)
                param = penalties.proximal(rule.penalty, param, change, length, c)
                step += 1
            param = penalties.skip(rule.penalty, param, times[t] - times[step])
            owed[output] += penalties.value(rule.penalty, param, c)
            params[c] = param
        seen[j] = t + 1
