"""Coefficients that share a factor."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import optimizers, penalties
from fastgd.kernels._hook import cast
from fastgd.kernels._jit import helper
from fastgd.kernels.frames._dense import Plain
from fastgd.kernels.frames._protocol import n_outputs_of
from fastgd.kernels.frames._touched import list_columns

SMALLEST_FACTOR = 1e-6  # below it the factor is multiplied out, so that float32 keeps its digits


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
    def begin_step(frame, rule, step_coefs, params, average):
        one = np.float64(1.0)
        shrinkage = penalties.proximal(rule.penalty, one, one - one, np.float64(step_coefs[0]), 0)
        frame.factors[0] *= shrinkage
        if frame.factors[0] < SMALLEST_FACTOR:
            _multiply_out(frame, rule, params, average)
        # the penalty is quadratic: the factor comes out squared
        stored = (
            step_coefs[0] / cast(frame.factors[0], step_coefs[0]),
            step_coefs[1],
            step_coefs[2],
            step_coefs[3],
        )
        return stored, shrinkage * shrinkage

    @staticmethod
    def ready_row(frame, rule, rows, i, t, params, state):
        pass

    @staticmethod
    def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
        return 0

    made_up = Plain.made_up

    @staticmethod
    def column(frame, i):
        return np.uint64(i)

    @staticmethod
    def descend(frame, rule, step_coefs, g, params, state, c):
        before = params[c]
        change, _ = optimizers.update(rule.optimizer, step_coefs, g, state, c)
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
    made_up = Scaled.made_up
    column = Scaled.column
    cost_after = Scaled.cost_after
    tie = Plain.tie
    finish = Scaled.finish

    @staticmethod
    def descend(frame, rule, step_coefs, g, params, state, c):
        before = params[c]
        change, _ = optimizers.update(rule.optimizer, step_coefs, g, state, c)
        after = before + change
        params[c] = after
        frame.behind[c] += (after - before) * frame.factors[1]
        return penalties.value(rule.penalty, after, c) - penalties.value(rule.penalty, before, c)

    @staticmethod
    def add_to_average(frame, rule, params, average):
        frame.factors[1] += frame.factors[0]
        for c in range(params.shape[0] - n_outputs_of(rule), params.shape[0]):
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
    made_up = Scaled.made_up
    descend = Scaled.descend
    cost_after = Scaled.cost_after
    add_to_average = Scaled.add_to_average
    finish = Scaled.finish

    @staticmethod
    def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
        return list_columns(frame, rule, rows, batch, gradient)

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
    made_up = Scaled.made_up
    column = Gathered.column
    descend = Averaged.descend
    cost_after = Scaled.cost_after
    add_to_average = Averaged.add_to_average
    finish = Scaled.finish


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
    for c in range(params.shape[0] - n_outputs_of(rule)):
        params[c] = factor * params[c]
    frame.factors[0], frame.factors[1] = 1.0, 0.0
