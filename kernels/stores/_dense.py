"""Every step passes over all coefficients."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import optimizers, penalties
from fastgd.kernels._hook import cast
from fastgd.kernels.stores._outputs import count
from fastgd.kernels.stores._protocol import cost_of_all
from fastgd.kernels.stores._touched import AllColumns


class Plain(NamedTuple):
    """Coefficients as they are; every step passes over all of them."""

    columns: AllColumns = AllColumns()

    @staticmethod
    def factor(store):
        return 1.0

    @staticmethod
    def begin_step(store, rule, step_coefs, params, average):
        return step_coefs, 1.0

    @staticmethod
    def fetch_columns(store, rows, order, position, params, state):
        pass

    @staticmethod
    def ready_row(store, rule, rows, i, t, params, state):
        pass

    @staticmethod
    def ready_batch(store, rule, rows, batch, t, params, state, gradient):
        return params.shape[0] // count(rule.outputs) - 1

    @staticmethod
    def made_up(store, output):
        return 0.0

    @staticmethod
    def descend(store, rule, step_coefs, g, params, state, c):
        after, _ = optimizers.move(rule.optimizer, rule.penalty, step_coefs, params[c], g, state, c)
        params[c] = after
        return penalties.value(rule.penalty, after, c)

    @staticmethod
    def cost_after(store, cost, shares):
        return shares

    @staticmethod
    def couple(store, rule, params, costs):
        pass

    @staticmethod
    def add_to_average(store, rule, params, average):
        for c in range(params.shape[0]):
            average[c] += params[c]

    @staticmethod
    def finish(store, rule, t, params, state, average):
        pass


class Coupled(NamedTuple):
    """As ``Plain``, with a second pass in which the penalty ties coefficients together.

    lengths : params' shape, flat, its dtype: of the penalty's step of each coefficient
    """

    lengths: np.ndarray
    columns: AllColumns = AllColumns()

    factor = Plain.factor
    begin_step = Plain.begin_step
    fetch_columns = Plain.fetch_columns
    ready_row = Plain.ready_row
    ready_batch = Plain.ready_batch
    made_up = Plain.made_up
    cost_after = Plain.cost_after
    add_to_average = Plain.add_to_average
    finish = Plain.finish

    @staticmethod
    def descend(store, rule, step_coefs, g, params, state, c):
        after, step = optimizers.move(
            rule.optimizer, rule.penalty, step_coefs, params[c], g, state, c
        )
        params[c] = after
        store.lengths[c] = step
        return cast(0.0, after)  # what it costs is known once it is tied

    @staticmethod
    def couple(store, rule, params, costs):
        penalties.joint_proximal(rule.penalty, params, store.lengths, count(rule.outputs))
        for output in range(costs.shape[0]):
            costs[output] = cost_of_all(rule, params, output)
