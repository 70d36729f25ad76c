"""Every step passes over all coefficients."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import optimizers, penalties
from fastgd.kernels._hook import cast
from fastgd.kernels.frames._protocol import cost_of_all, n_outputs_of


class Plain(NamedTuple):
    """Coefficients as they are; every step passes over all of them."""

    scatters = False

    @staticmethod
    def factor(frame):
        return 1.0

    @staticmethod
    def begin_step(frame, rule, step_coefs, params, average):
        return step_coefs, 1.0

    @staticmethod
    def ready_row(frame, rule, rows, i, t, params, state):
        pass

    @staticmethod
    def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
        return params.shape[0] // n_outputs_of(rule) - 1

    @staticmethod
    def made_up(frame, output):
        return 0.0

    @staticmethod
    def column(frame, i):
        return i

    @staticmethod
    def descend(frame, rule, step_coefs, g, params, state, c):
        after, _ = optimizers.move(rule.optimizer, rule.penalty, step_coefs, params[c], g, state, c)
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
    made_up = Plain.made_up
    column = Plain.column
    cost_after = Plain.cost_after
    add_to_average = Plain.add_to_average
    finish = Plain.finish

    @staticmethod
    def descend(frame, rule, step_coefs, g, params, state, c):
        after, step = optimizers.move(
            rule.optimizer, rule.penalty, step_coefs, params[c], g, state, c
        )
        params[c] = after
        frame.lengths[c] = step
        return cast(0.0, after)  # what it costs is known once it is tied

    @staticmethod
    def tie(frame, rule, params, costs):
        penalties.settle(rule.penalty, params, frame.lengths, n_outputs_of(rule))
        for output in range(costs.shape[0]):
            costs[output] = cost_of_all(rule, params, output)
