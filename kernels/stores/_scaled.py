"""Coefficients that share a factor."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import optimizers, penalties
from fastgd.kernels._hook import cast
from fastgd.kernels._jit import helper
from fastgd.kernels.stores._dense import Plain
from fastgd.kernels.stores._outputs import count
from fastgd.kernels.stores._touched import list_columns

SMALLEST_FACTOR = 1e-6  # below it the factor is multiplied out, so that float32 keeps its digits


class Scaled(NamedTuple):
    """Coefficients times a common factor.

    factors : (2,), float64: the common factor, and its sum over the averaged steps
    behind : (0,), float64; read by ``Averaged`` only
    columns : Scattered, or Touched where a transform wants to see the gradient
    """

    factors: np.ndarray
    behind: np.ndarray
    columns: NamedTuple

    fetch_columns = Plain.fetch_columns
    ready_row = Plain.ready_row
    made_up = Plain.made_up
    couple = Plain.couple

    @staticmethod
    def factor(store):
        return store.factors[0]

    @staticmethod
    def begin_step(store, rule, step_coefs, params, average):
        one = np.float64(1.0)
        shrinkage = penalties.proximal(rule.penalty, one, one - one, np.float64(step_coefs[0]), 0)
        store.factors[0] *= shrinkage
        if store.factors[0] < SMALLEST_FACTOR:
            _multiply_out(store, rule, params, average)
        # the penalty is quadratic: the factor comes out squared
        stored = (
            step_coefs[0] / cast(store.factors[0], step_coefs[0]),
            step_coefs[1],
            step_coefs[2],
            step_coefs[3],
        )
        return stored, shrinkage * shrinkage

    @staticmethod
    def ready_batch(store, rule, rows, batch, t, params, state, gradient):
        return list_columns(store.columns, rule, rows, batch, gradient)

    @staticmethod
    def descend(store, rule, step_coefs, g, params, state, c):
        before = params[c]
        change, _ = optimizers.update(rule.optimizer, step_coefs, g, state, c)
        after = before + change
        params[c] = after
        return penalties.value(rule.penalty, after, c) - penalties.value(rule.penalty, before, c)

    @staticmethod
    def cost_after(store, cost, shares):
        return cost + shares * store.factors[0] * store.factors[0]

    @staticmethod
    def add_to_average(store, rule, params, average):
        pass

    @staticmethod
    def finish(store, rule, t, params, state, average):
        _multiply_out(store, rule, params, average)


@helper()
def _multiply_out(store, rule, params, average):
    """Write the coefficients out, so that their common factor is one again.

    The average's share of the steps so far is settled first: a coefficient u that changed by
    du_i when the factors of the averaged steps had the sum c_i adds u c - sum(du_i c_i).
    """
    factor, total = store.factors[0], store.factors[1]
    for c in range(store.behind.shape[0]):
        average[c] += params[c] * total - store.behind[c]
        store.behind[c] = 0.0
    for c in range(params.shape[0] - count(rule.outputs)):
        params[c] = factor * params[c]
    store.factors[0], store.factors[1] = 1.0, 0.0


class Averaged(Scaled):
    """Coefficients times a common factor, and the sum of the iterates that they go through.

    behind : (d K,), float64, what ``factors[1] * param`` is ahead of the sum
    """

    __slots__ = ()

    @staticmethod
    def descend(store, rule, step_coefs, g, params, state, c):
        before = params[c]
        change, _ = optimizers.update(rule.optimizer, step_coefs, g, state, c)
        after = before + change
        params[c] = after
        store.behind[c] += (after - before) * store.factors[1]
        return penalties.value(rule.penalty, after, c) - penalties.value(rule.penalty, before, c)

    @staticmethod
    def add_to_average(store, rule, params, average):
        store.factors[1] += store.factors[0]
        for c in range(params.shape[0] - count(rule.outputs), params.shape[0]):
            average[c] += params[c]
