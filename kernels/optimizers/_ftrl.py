"""The best reply to all gradients so far."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import penalties
from fastgd.kernels._hook import cast
from fastgd.kernels._jit import helper
from fastgd.kernels.optimizers._protocol import SUMS, step_columns, update


class Ftrl(NamedTuple):
    """FTRL-Proximal: each coefficient is the best reply to all gradients so far.

    n_t = sum of g^2;  z_t = sum of g - sigma w,  sigma_t = (sqrt(n_t) - sqrt(n_{t-1})) / rate
    w   = argmin  z_t w + (beta + sqrt(n_t)) / rate  w^2 / 2 + l1 |w| + l2 w^2 / 2 + t psi(w)

    psi is the estimator's penalty, and counts once a step as the loss does: that is what
    minimises the objective, and its l1 gives more zeros than that of single proximal steps. The
    fields ``l1`` and ``l2`` are the paper's lambdas, which count once: a coefficient stays zero
    until the gradients of its feature add up to more than ``l1``. Without any of them the steps
    are those of Adagrad with ``beta`` for its epsilon; so steps the intercept.

    Since w is a function of z, n and t, sparse rows give the same coefficients as dense ones.

    Parameters
    ----------
    beta : float, default=1.0
        What is added to the root of n, >= 0.
    l1 : float, default=0.0
        The paper's lambda_1, >= 0.
    l2 : float, default=0.0
        The paper's lambda_2, >= 0.

    Notes
    -----
    All is kept multiplied by the rate, so that rates may change: z adds up rate g, and psi
    counts by the sum of the rates. Where coefficients do not start from zero, beta holds them to
    their start. In float32 sums of very many steps (10^6) lose digits. The sums decide:
    coefficients that are set by hand between two calls are forgotten at the next step.

    References
    ----------
    .. [1] McMahan et al., "Ad Click Prediction: a View from the Trenches", 2013, Algorithm 1.
    .. [2] McMahan, "Follow-the-Regularized-Leader and Mirror Descent: Equivalence Theorems and
       L1 Regularization", 2011, section 3 (why t psi). arXiv:1009.3240
    """

    beta: float = 1.0
    l1: float = 0.0
    l2: float = 0.0

    n_slots = 3
    eta0 = 0.1
    follows_rates = True
    skipped_steps = SUMS
    penalty_methods = ("ftrl_minimum",)

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        return step_columns(rates)

    @staticmethod
    def carries(optimizer, penalty, step_coefficients, times):
        return np.append(0.0, step_coefficients[:, 0])

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        n = state[1, j] + g * g
        state[1, j] = n
        root = optimizer.beta + np.sqrt(n)
        step = step_coefs[0] / root if root > 0 else cast(0.0, g)
        return -step * g, step

    @staticmethod
    def move(optimizer, penalty, step_coefs, param, g, state, c):
        before = np.sqrt(state[1, c])
        time = state[2, c]
        z = state[0, c] if time > 0 else -optimizer.beta * param
        _, step = update(optimizer, step_coefs, g, state, c)
        root = np.sqrt(state[1, c])
        z += step_coefs[0] * g - (root - before) * param
        time += step_coefs[0]
        state[0, c] = z
        state[2, c] = time
        return _ftrl_minimum(
            optimizer, penalty, param, (z, optimizer.beta + root, time), step_coefs[0], c
        ), step

    @staticmethod
    def recall(optimizer, state, j):
        return np.float64(state[0, j]), np.float64(state[1, j]), np.float64(state[2, j])

    @staticmethod
    def keep(optimizer, state, j, slot):
        state[0, j] = slot[0]
        state[2, j] = slot[2]

    @staticmethod
    def catch_up(optimizer, penalty, param, slot, skipped, c):
        if skipped.steps == 0:
            return param, slot
        z, n, time = slot
        if time == 0:
            z = -optimizer.beta * param
        time += skipped.time
        curvature = np.float64(optimizer.beta) + np.sqrt(n)
        after = _ftrl_minimum(
            optimizer, penalty, param, (z, curvature, time), skipped.carry_after, c
        )
        return after, (z, n, time)


@helper()
def _ftrl_minimum(optimizer, penalty, param, sums, rate, c):
    """Return the coefficient that z, the curvature and the penalty's time ask for."""
    z, curvature, time = sums
    if curvature <= 0:  # no gradient yet, and no beta to hold to anything
        return param
    l1, l2 = rate * optimizer.l1, rate * optimizer.l2
    return penalties.ftrl_minimum(penalty, cast(z, param), (curvature + l2, l1, time), c)
