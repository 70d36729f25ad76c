"""Averages that take the place of a schedule: gradients at one point, predictions at another."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import penalties
from fastgd.kernels._hook import cast
from fastgd.kernels._jit import helper
from fastgd.kernels.optimizers._protocol import MOMENTS, step_columns
from fastgd.kernels.optimizers._skipped import faded


class ScheduleFreeSGD(NamedTuple):
    """Schedule-free SGD: gradients at y, steps of z, predictions at x, the mean of z.

    y = (1 - momentum) z + momentum x
    z <- z - rate (g(y) + weight_decay y)
    x <- (1 - c) x + c z,  c = rate^2 / (sum of all rate^2 so far)

    No schedule has to know how long training is: the rate stays constant (``WarmUp`` in front of it
    helps). Parameters are y while training goes on, so that the objective in ``history_`` is that
    of y; coefficients, scores on rows held out and all predictions are those of x. An average of
    one's own (``average=True``) is refused. The estimator's penalty acts on z, in steps of the
    rate; under l1 z has exact zeros, and x, which is a mean, has few.

    Parameters
    ----------
    momentum : float, default=0.9
        Where gradients are taken, in [0, 1): 0 at z (SGD with Polyak's average), nearly 1 at x
        (primal averaging).
    weight_decay : float, default=0.0
        What y is multiplied by in its gradient, >= 0; on top of the penalty, not of intercepts.

    Notes
    -----
    On sparse rows without a penalty and without ``weight_decay`` a step is O(non-zeros) and exact:
    z stays, and the share of x that is left after skipped steps is a quotient of sums of squared
    rates. With either, every step passes over all coefficients. The sums decide: coefficients that
    are set by hand between two calls are forgotten. The authors' package weighs the
    mean by the largest rate so far, which is this while rates do not fall. Running statistics of
    ``BatchNorm`` are those of y.

    References
    ----------
    .. [1] Defazio, Yang, Mehta, Mishchenko, Khaled & Cutkosky, "The Road Less Scheduled", 2024,
       equations 2-4; section 4.1 of weights by squared rates. arXiv:2405.15682
    """

    momentum: float = 0.9
    weight_decay: float = 0.0

    n_slots = 2
    eta0 = 1.0

    @property
    def ahead(self):
        """How far y lies ahead of x, in units of z - x, the first slot."""
        return 1.0 - self.momentum

    @property
    def skipped_steps(self):
        """A decay of y moves z in every step: that has no closed form."""
        return MOMENTS if self.weight_decay == 0 else None

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        return step_columns(rates, 0.0, rates)

    @staticmethod
    def carries(optimizer, penalty, step_coefficients, times):
        return _squared_rates(step_coefficients)

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        share = _next_share(step_coefs[2], state, j)
        change = _follow(optimizer.momentum, share, -step_coefs[0] * g, state, j)
        return change, step_coefs[0]

    @staticmethod
    def move(optimizer, penalty, step_coefs, param, g, state, c):
        share = _next_share(step_coefs[2], state, c)
        z = param + optimizer.momentum * state[0, c]
        pulled = z - step_coefs[2] * optimizer.weight_decay * param
        after = penalties.proximal(penalty, pulled, -step_coefs[0] * g, step_coefs[0], c)
        return param + _follow(optimizer.momentum, share, after - z, state, c), step_coefs[0]

    @staticmethod
    def recall(optimizer, state, j):
        return np.float64(state[0, j]), np.float64(state[1, j])

    @staticmethod
    def keep(optimizer, state, j, slot):
        state[0, j] = slot[0]
        state[1, j] = slot[1]

    @staticmethod
    def catch_up(optimizer, penalty, param, slot, skipped, c):
        gap, total = slot
        kept, now = _after_skipped(gap, total, skipped)
        return param + np.float64(optimizer.momentum) * (gap - kept), (kept, now)


class ScheduleFreeAdamW(NamedTuple):
    """Schedule-free AdamW: as ``ScheduleFreeSGD``, by gradients over the roots of mean squares.

    y = (1 - beta_1) z + beta_1 x;  v <- beta_2 v + (1 - beta_2) g(y)^2
    z <- z - rate (g(y) / (sqrt(v_hat) + epsilon) + weight_decay y),  v_hat = v / (1 - beta_2^t)
    x <- (1 - c) x + c z,  c = rate^2 / (sum of all rate^2 so far)

    What ``ScheduleFreeSGD`` says of y, of x and of penalties is so here; a penalty's step of a
    coefficient is as long as its own.

    Parameters
    ----------
    weight_decay : float, default=0.0
        What y is multiplied by beside its step, >= 0; on top of the penalty, not of intercepts.
    beta_1 : float, default=0.9
        Where gradients are taken, in [0, 1); see ``momentum`` of ``ScheduleFreeSGD``.
    beta_2 : float, default=0.999
        Decay of the mean square, in [0, 1).
    epsilon : float, default=1e-8
        What is added to the root, >= 0.

    Notes
    -----
    On sparse rows without a penalty and without ``weight_decay`` a step is O(non-zeros) and exact;
    with either, every step passes over all coefficients.

    References
    ----------
    .. [1] Defazio, Yang, Mehta, Mishchenko, Khaled & Cutkosky, "The Road Less Scheduled", 2024,
       Algorithm 1. arXiv:2405.15682
    """

    weight_decay: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    n_slots = 3
    eta0 = 0.0025
    carries = staticmethod(ScheduleFreeSGD.carries)

    @property
    def ahead(self):
        """How far y lies ahead of x, in units of z - x, the first slot."""
        return 1.0 - self.beta_1

    @property
    def skipped_steps(self):
        """A decay of y moves z in every step: that has no closed form."""
        return MOMENTS if self.weight_decay == 0 else None

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        t = np.arange(first, first + rates.shape[0], dtype=np.float64)
        c2 = np.sqrt(1.0 - np.float64(optimizer.beta_2) ** t)
        return step_columns(rates * c2, c2 * optimizer.epsilon, rates)

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        share = _next_share(step_coefs[2], state, j)
        step = _own_step(optimizer, step_coefs, g, state, j)
        return _follow(optimizer.beta_1, share, -step * g, state, j), step

    @staticmethod
    def move(optimizer, penalty, step_coefs, param, g, state, c):
        share = _next_share(step_coefs[2], state, c)
        step = _own_step(optimizer, step_coefs, g, state, c)
        z = param + optimizer.beta_1 * state[0, c]
        pulled = z - step_coefs[2] * optimizer.weight_decay * param
        after = penalties.proximal(penalty, pulled, -step * g, step, c)
        return param + _follow(optimizer.beta_1, share, after - z, state, c), step

    @staticmethod
    def recall(optimizer, state, j):
        return np.float64(state[0, j]), np.float64(state[1, j]), np.float64(state[2, j])

    @staticmethod
    def keep(optimizer, state, j, slot):
        state[0, j] = slot[0]
        state[1, j] = slot[1]
        state[2, j] = slot[2]

    @staticmethod
    def catch_up(optimizer, penalty, param, slot, skipped, c):
        gap, total, square = slot
        kept, now = _after_skipped(gap, total, skipped)
        faint = faded(square, optimizer.beta_2, skipped.steps)
        return param + np.float64(optimizer.beta_1) * (gap - kept), (kept, now, faint)


@helper()
def _own_step(optimizer, step_coefs, g, state, j):
    """Take a gradient into the mean square; return the length of z's step."""
    v = g * g + optimizer.beta_2 * (state[2, j] - g * g)
    state[2, j] = v
    return step_coefs[0] / (np.sqrt(v) + step_coefs[1])


@helper()
def _next_share(rate, state, j):
    """Return c of this step, and add to the sum of squared rates, the second slot."""
    square = rate * rate
    total = state[1, j] + square
    state[1, j] = total
    return square / total if total > 0 else cast(0.0, rate)


@helper()
def _follow(momentum, share, change, state, j):
    """Move z by ``change`` and x toward it; return y's change.

    The first slot is z - x: it starts at zero, whatever the parameters start with.
    """
    before = state[0, j]
    after = (before + change) - share * (before + change)
    state[0, j] = after
    # y = z - momentum (z - x)
    return change - momentum * (after - before)


@helper()
def _after_skipped(gap, total, skipped):
    """Return z - x, and the sum of squared rates, after steps in which z did not move."""
    now = total + (skipped.carry_after - skipped.carry_before)
    return (gap * (total / now) if now > 0 else gap), now


def _squared_rates(step_coefficients):
    """Return the sum of squared rates after 0, 1, ... n steps."""
    return np.append(0.0, np.cumsum(np.square(step_coefficients[:, 2])))
