"""Moments that wait while there is no gradient."""

from typing import Any, NamedTuple

import numpy as np

from fastgd.kernels import penalties
from fastgd.kernels._hook import cast
from fastgd.kernels.elementary import exp
from fastgd.kernels.optimizers._protocol import (
    OWN_LENGTH,
    decayed,
    decays,
    length,
    penalty_rate,
    penalty_rate_at,
    recall,
    update,
)
from fastgd.kernels.optimizers._skipped import forward_decays


class LazyMoments(NamedTuple):
    """An optimizer in which a coefficient with a gradient of exactly zero keeps its moments.

    Only the penalty and its own decay move such a coefficient, by the step length that its
    moments give. Where both do, several skipped steps are equal to single steps to second order
    in the decay.

    Notes
    -----
    TensorFlow's LazyAdam and PyTorch's SparseAdam do likewise; they have no penalty to keep up.
    """

    optimizer: Any

    skipped_steps = OWN_LENGTH

    @property
    def n_slots(self):
        return self.optimizer.n_slots

    @property
    def eta0(self):
        return self.optimizer.eta0

    @property
    def side_by_side(self):
        return getattr(self.optimizer, "side_by_side", False)

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        inner = optimizer.optimizer
        return type(inner).step_coefficients(inner, rates, first)

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        if g != 0:
            return update(optimizer.optimizer, step_coefs, g, state, j)
        return cast(0.0, g), length(optimizer.optimizer, step_coefs, state, j)

    @staticmethod
    def decayed(optimizer, step_coefs, param):
        return decayed(optimizer.optimizer, step_coefs, param)

    @staticmethod
    def recall(optimizer, state, j):
        return recall(optimizer.optimizer, state, j)

    @staticmethod
    def carries(optimizer, penalty, step_coefficients, times):
        return (
            forward_decays(step_coefficients)
            if decays(optimizer)
            else np.zeros(step_coefficients.shape[0] + 1)
        )

    @staticmethod
    def penalty_rate(optimizer, slot):
        return penalty_rate(optimizer.optimizer, slot)

    @staticmethod
    def penalty_rate_at(optimizer, state, j):
        return penalty_rate_at(optimizer.optimizer, state, j)

    @staticmethod
    def catch_up(optimizer, penalty, param, slot, skipped, c):
        # decay and penalty alternate: half of the one before the other is right to second order
        half = cast(1.0, param)
        if decays(optimizer):
            half = cast(exp(0.5 * (skipped.carry_after - skipped.carry_before)), param)
        none = cast(0.0, param)
        made_up = half * penalties.skip(penalty, half * param, skipped.time)
        return penalties.proximal(penalty, made_up, none, none, c), slot
