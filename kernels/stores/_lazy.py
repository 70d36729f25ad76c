"""Coefficients that are brought up to date when they are read."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import optimizers, penalties
from fastgd.kernels._hook import hook
from fastgd.kernels._jit import helper
from fastgd.kernels._prefetch import prefetch_column
from fastgd.kernels.penalties import at
from fastgd.kernels.rows import column_of, entries, row_at
from fastgd.kernels.stores._dense import Plain
from fastgd.kernels.stores._outputs import count
from fastgd.kernels.stores._touched import Touched, list_columns

FORGOTTEN = 60.0  # e^-60 of a coefficient is none
SAME = 1e-5  # variance of step lengths, of their squared mean, up to which they count together
LEFT_OUT = 3e-8  # of the time; what lengths of SAME leave out where h l2 is one
SHORT = 0.5  # h l2 up to which a step is short
# Rows from now, of the one whose coefficients are fetched: each lies at three random places.
COLUMNS_AHEAD = 3
LARGEST_SPEED = 1e60  # of a moment of zero without epsilon; its fourth power is a number


class Lazy(NamedTuple):
    """Coefficients that are brought up to date when they are read.

    columns : Touched
    seen : (d,), int32, the number of steps that a coefficient has taken
    pending : (n_outputs,), float64, what skipped steps have changed in the penalty; ``made_up``
    skipped : ClosedForm, OneByOne, OwnLengths or InBlocks: how skipped steps are made up for
    """

    columns: Touched
    seen: np.ndarray
    pending: np.ndarray
    skipped: NamedTuple

    factor = Plain.factor
    begin_step = Plain.begin_step
    couple = Plain.couple

    @staticmethod
    def fetch_columns(store, rows, order, position, params, state):
        n_visited = order.shape[0] if order.shape[0] > 0 else rows.indptr.shape[0] - 1
        if position + COLUMNS_AHEAD < n_visited:
            begin, end = entries(rows, row_at(order, position + COLUMNS_AHEAD))
            for k in range(begin, end):
                c = column_of(rows, k)
                prefetch_column(store.seen, c)
                prefetch_column(state, c)
                prefetch_column(params, c)

    @staticmethod
    def ready_row(store, rule, rows, i, t, params, state):
        begin, end = entries(rows, i)
        _catch_up(store, rule, rows, (begin, end), t, params, state)

    @staticmethod
    def ready_batch(store, rule, rows, batch, t, params, state, gradient):
        n_touched = list_columns(store.columns, rule, rows, batch, gradient)
        _catch_up(store, rule, store.columns, (0, n_touched), t, params, state)
        return n_touched

    @staticmethod
    def made_up(store, output):
        change = store.pending[output]
        store.pending[output] = 0.0
        return change

    @staticmethod
    def descend(store, rule, step_coefs, g, params, state, c):
        before = params[c]
        after, _ = optimizers.move(rule.optimizer, rule.penalty, step_coefs, before, g, state, c)
        params[c] = after
        return penalties.value(rule.penalty, after, c) - penalties.value(rule.penalty, before, c)

    @staticmethod
    def cost_after(store, cost, shares):
        return cost + shares

    @staticmethod
    def add_to_average(store, rule, params, average):
        pass  # an average needs all coefficients in every step: such a rule gets a Plain store

    @staticmethod
    def finish(store, rule, t, params, state, average):
        n_features = store.seen.shape[0]
        for j in range(n_features):
            store.columns.numbers[j] = j
        _catch_up(store, rule, store.columns, (0, n_features), t, params, state)
        store.seen[:] = 0
        store.pending[:] = 0.0


@helper()
def _catch_up(store, rule, listed, entries_of, t, params, state):
    """Bring coefficients to where they are after t steps.

    ``listed`` are sparse rows or ``Touched`` columns, ``entries_of`` the first and the end of what
    is read of them.
    """
    bring(store.skipped, store, rule, listed, entries_of, t, params, state)


@hook
def bring(skipped, store, rule, listed, entries_of, t, params, state):
    """Do so by this way of making up for skipped steps."""
    return type(skipped).bring(skipped, store, rule, listed, entries_of, t, params, state)


@helper()
def _bring_each(skipped, store, rule, listed, entries_of, t, params, state):
    n_outputs, pending = count(rule.outputs), store.pending
    for k in range(entries_of[0], entries_of[1]):
        j = column_of(listed, k)
        lapse = lapse_of(skipped, store.seen[j], t)
        for output in range(n_outputs):
            c = at(j, n_outputs, output)
            before = np.float64(params[c])
            after = make_up(skipped, rule, lapse, before, state, c)
            params[c] = after
            pending[output] += penalties.value(rule.penalty, after, c)
            pending[output] -= penalties.value(rule.penalty, before, c)
        store.seen[j] = t + 1


@hook
def lapse_of(skipped, since, t):
    """Return what all coefficients of a column have in common of the steps from ``since`` to t."""
    return type(skipped).lapse_of(skipped, since, t)


@hook
def make_up(skipped, rule, lapse, before, state, c):
    """Return coefficient c after its skipped steps, float64; change its state."""
    return type(skipped).make_up(skipped, rule, lapse, before, state, c)


class ClosedForm(NamedTuple):
    """All coefficients count the same steps, made up for by ``optimizers.catch_up``.

    times : (n_steps + 1,), float64, the penalty's time after t steps
    coasts : (n_steps + 1,), float64; see ``optimizers.SkippedSteps``
    """

    times: np.ndarray
    carries: np.ndarray

    @staticmethod
    def bring(skipped, store, rule, listed, entries_of, t, params, state):
        _bring_each(skipped, store, rule, listed, entries_of, t, params, state)

    @staticmethod
    def lapse_of(skipped, since, t):
        times, carries = skipped.times, skipped.carries
        return optimizers.SkippedSteps(
            t - since, times[t] - times[since], carries[since], carries[t]
        )

    @staticmethod
    def make_up(skipped, rule, lapse, before, state, c):
        return _catch_up_one(rule, lapse, before, state, c)


class OwnLengths(NamedTuple):
    """Penalty steps whose length is each coefficient's own, otherwise as ``ClosedForm``.

    The length is h = c q of a step, with c = ``step_coefs[0]`` and a speed q that does not change
    while steps are skipped. The penalty's accumulated length, the sum of -log(1 - h l2) / l2 over
    the steps, is a power series in q with one coefficient for each step and power: sums of those
    are kept for the chunk, so that any number of skipped steps costs one polynomial. Where h l2 is
    not small, ``time_of_steps`` adds them up.

    times : (n_steps + 1, 4), float64, sums of  l2^(k - 1) c^k / k  over the steps before
    carries : as in ``ClosedForm``
    step_coefficients : (n_steps,), float64: of the penalty's steps
    fastest : float, the largest q for which the series is exact to rounding
    """

    times: np.ndarray
    carries: np.ndarray
    step_coefficients: np.ndarray
    fastest: float

    bring = ClosedForm.bring

    @staticmethod
    def lapse_of(skipped, since, t):
        times = skipped.times
        first, second = times[t, 0] - times[since, 0], times[t, 1] - times[since, 1]
        third, fourth = times[t, 2] - times[since, 2], times[t, 3] - times[since, 3]
        return since, t, first, second, third, fourth

    @staticmethod
    def make_up(skipped, rule, lapse, before, state, c):
        since, t, first, second, third, fourth = lapse
        slot = optimizers.recall(rule.optimizer, state, c)
        q = speed_of(rule.optimizer, slot) * optimizers.common_speed(rule.optimizer, state)
        q *= penalties.penalty_factor(rule.penalty, c)
        time = q * (first + q * (second + q * (third + q * fourth)))
        if q > skipped.fastest and before != 0:  # what never moved is fastest, and stays zero
            time = time_of_steps(rule.penalty, skipped, since, t, q)
        own = optimizers.SkippedSteps(t - since, time, skipped.carries[since], skipped.carries[t])
        return _catch_up_one(rule, own, before, state, c)


class OneByOne(NamedTuple):
    """Momentum under a penalty with a kink at zero, one step after another.

    A coefficient that moves on while the penalty pulls it across zero has no closed form. Its
    steps are made up for one by one while its velocity matters: log(eps) / log(momentum) of
    them, 340 for a momentum of 0.9, however many were skipped.

    times : as in ``ClosedForm``
    step_coefficients : (n_steps, 4), float64; see ``optimizers.step_coefficients``
    """

    times: np.ndarray
    step_coefficients: np.ndarray

    bring = ClosedForm.bring

    @staticmethod
    def lapse_of(skipped, since, t):
        return since, t

    @staticmethod
    def make_up(skipped, rule, lapse, before, state, c):
        return _walk(skipped, rule, lapse, before, state, c)


@helper()
def speed_of(optimizer, slot):
    """Return a coefficient's speed: a number, so that no steps at all take no time."""
    return min(optimizers.penalty_rate(optimizer, slot), LARGEST_SPEED)


@helper()
def _catch_up_one(rule, lapse, before, state, c):
    """Return coefficient c after its skipped steps, in closed form; change its state."""
    slot = optimizers.recall(rule.optimizer, state, c)
    after, slot = optimizers.catch_up(rule.optimizer, rule.penalty, before, slot, lapse, c)
    optimizers.keep(rule.optimizer, state, c, slot)
    return after


@helper()
def time_of_steps(penalty, skipped, since, t, q):
    """Return the penalty's time of the steps from ``since`` to t, for a speed q.

    Steps whose lengths hardly differ are counted together: n f(c), c their mean length, and
    f''(c) / 2 times the sum of squares about it, which the power sums tell; what is left out is of
    third order in how much they differ, times (h l2)^2. Spans are halved until that is nothing: one
    term where rates are constant or steps short, a few where rates fall smoothly. It ends where
    nothing is left to shrink: one step of h l2 >= 1 is enough.
    """
    time, step, n_steps = 0.0, since, t - since
    while step < t and penalty.l2 * time < FORGOTTEN:
        n_steps = min(n_steps, t - step)
        if n_steps == 1:
            time += penalties.time_of_step(penalty, skipped.step_coefficients[step] * q)
            step += 1
            n_steps = 2
            continue
        mean, variance = _lengths_between(penalty, skipped, step, step + n_steps)
        if _count_together(variance / (mean * mean), penalty.l2 * q * mean):
            left = 1.0 - penalty.l2 * q * mean
            time += n_steps * penalties.time_of_step(penalty, q * mean)
            if left > 0:
                time += 0.5 * n_steps * variance * penalty.l2 * (q / left) ** 2
        else:
            n_steps = (n_steps + 1) // 2
            continue
        step += n_steps
        n_steps *= 2
    return time


@helper()
def _count_together(spread, length):
    """Tell whether steps of a mean h l2, whose relative variance is ``spread``, may be one term."""
    left_out = spread * np.sqrt(spread) * length * length
    return spread <= SAME or (length <= SHORT and left_out <= LEFT_OUT)


@helper()
def _lengths_between(penalty, skipped, start, stop):
    """Return the mean and the variance of the step coefficients of a span."""
    times, n_steps = skipped.times, stop - start
    mean = (times[stop, 0] - times[start, 0]) / n_steps
    squares = 2.0 * (times[stop, 1] - times[start, 1]) / (penalty.l2 * n_steps)
    return mean, max(squares - mean * mean, 0.0)


@helper()
def _walk(skipped, rule, lapse, before, state, c):
    """Return coefficient c after its skipped steps, taken while it moves; change its velocity."""
    times, step_coefficients = skipped.times, skipped.step_coefficients
    momentum, nesterov = np.float64(rule.optimizer.momentum), rule.optimizer.nesterov
    step, t = lapse
    param, velocity = before, optimizers.recall(rule.optimizer, state, c)
    kept = optimizers.faded(velocity, momentum, t - step)
    optimizers.keep(rule.optimizer, state, c, kept)
    negligible = 1e-16 * (abs(velocity) + abs(param))
    while step < t and abs(velocity) > negligible:
        rate = step_coefficients[step, 0]
        velocity *= momentum
        change = -rate * (momentum * velocity if nesterov else velocity)
        length = rate * step_coefficients[step, 1]
        param = penalties.proximal(rule.penalty, param, change, length, c)
        step += 1
    return penalties.skip(rule.penalty, param, times[t] - times[step])
