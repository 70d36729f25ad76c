"""Rates of each coordinate's own, by the squares of its gradients."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import penalties
from fastgd.kernels._hook import cast
from fastgd.kernels.optimizers._protocol import MOMENTS, OWN_LENGTH, step_columns
from fastgd.kernels.optimizers._skipped import faded


class Adagrad(NamedTuple):
    """Rates of each coordinate's own, by all its gradients so far.

    n <- n + g^2;  w <- w - rate g / (sqrt(n) + epsilon)

    Without a gradient nothing changes but the penalty's share, so sparse rows give the same
    coefficients as dense ones.

    Parameters
    ----------
    epsilon : float, default=1e-10
        What is added to the root, >= 0.

    Notes
    -----
    The paper's delta is added to the root (its section 1.1) or under it by implementations;
    here to the root, as in PyTorch.

    References
    ----------
    .. [1] Duchi, Hazan & Singer, "Adaptive Subgradient Methods for Online Learning and
       Stochastic Optimization", 2011, Figure 1 (composite mirror descent, diagonal).
    """

    epsilon: float = 1e-10

    n_slots = 1
    eta0 = 0.1
    follows_rates = True
    skipped_steps = OWN_LENGTH
    side_by_side = True

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        return step_columns(rates)

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        n = state[0, j] + g * g
        state[0, j] = n
        step = step_coefs[0] / (np.sqrt(n) + optimizer.epsilon)
        return -step * g, step

    @staticmethod
    def recall(optimizer, state, j):
        return np.float64(state[0, j])

    @staticmethod
    def penalty_rate(optimizer, slot):
        return 1.0 / (np.sqrt(slot) + np.float64(optimizer.epsilon))

    @staticmethod
    def penalty_rate_at(optimizer, state, j):
        n = state[0, j]
        return cast(1.0, n) / (np.sqrt(n) + optimizer.epsilon)


class Adadelta(NamedTuple):
    """Steps in the units of the coordinate: as long as the last ones, by gradients as large.

    v <- rho v + (1 - rho) g^2
    d = g sqrt(u + epsilon) / sqrt(v + epsilon)
    u <- rho u + (1 - rho) d^2;  w <- w - rate d

    The paper has no rate, that is 1. On sparse rows a step is O(non-zeros), and exact without a
    penalty. With one, the length of its step would change in every skipped step, and no closed form
    sums that up: absent features keep their moments then, unless ``lazy=False`` has every step pass
    over all coefficients.

    Parameters
    ----------
    rho : float, default=0.9
        Decay of both mean squares, in [0, 1).
    epsilon : float, default=1e-6
        What is added under both roots, >= 0.
    lazy : bool or None, default=None
        Whether absent features keep their moments; None: on sparse data, where what is exact would
        cost a pass over all of them. See ``Adam``.

    Notes
    -----
    epsilon stands under both roots. The rate multiplies what u does not see (PyTorch's way).

    References
    ----------
    .. [1] Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012, Algorithm 1.
       arXiv:1212.5701
    """

    rho: float = 0.9
    epsilon: float = 1e-6
    lazy: bool | None = None

    n_slots = 2
    eta0 = 1.0
    follows_rates = True
    skipped_steps = MOMENTS
    lazy_on_sparse = False
    side_by_side = True

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        return step_columns(rates)

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        v = g * g + optimizer.rho * (state[0, j] - g * g)
        u = state[1, j]
        response = np.sqrt(u + optimizer.epsilon) / np.sqrt(v + optimizer.epsilon)
        square = response * response * g * g
        state[0, j] = v
        state[1, j] = square + optimizer.rho * (u - square)
        return -step_coefs[0] * response * g, step_coefs[0] * response

    @staticmethod
    def length(optimizer, step_coefs, state, j):
        v, u = state[0, j], state[1, j]
        return step_coefs[0] * (np.sqrt(u + optimizer.epsilon) / np.sqrt(v + optimizer.epsilon))

    @staticmethod
    def penalty_rate(optimizer, slot):
        epsilon = np.float64(optimizer.epsilon)
        return np.sqrt(slot[1] + epsilon) / np.sqrt(slot[0] + epsilon)

    @staticmethod
    def recall(optimizer, state, j):
        return np.float64(state[0, j]), np.float64(state[1, j])

    @staticmethod
    def keep(optimizer, state, j, slot):
        state[0, j] = slot[0]
        state[1, j] = slot[1]

    @staticmethod
    def catch_up(optimizer, penalty, param, slot, skipped, c):
        v = faded(slot[0], optimizer.rho, skipped.steps)
        u = faded(slot[1], optimizer.rho, skipped.steps)
        return penalties.skip(penalty, param, skipped.time), (v, u)


class RMSprop(NamedTuple):
    """The gradient over a moving root of its mean square.

    v <- rho v + (1 - rho) g^2
    s = g / (sqrt(v) + epsilon);  b <- momentum b + s;  w <- w - rate b

    ``centered`` takes the mean gradient's square from v under the root: the variance, after
    Graves. On sparse rows, without momentum and penalty, a step is O(non-zeros) and exact. With
    either no closed form sums up skipped steps: absent features keep their moments then, unless
    ``lazy=False`` has every step pass over all coefficients.

    Parameters
    ----------
    rho : float, default=0.99
        Decay of the mean square, in [0, 1).
    epsilon : float, default=1e-8
        What is added to the root, >= 0.
    momentum : float, default=0.0
        Share of the velocity that is kept, in [0, 1).
    centered : bool, default=False
        Whether the squared mean is taken off the mean square.
    lazy : bool or None, default=None
        Whether absent features keep their moments; None: on sparse data, where what is exact would
        cost a pass over all of them. See ``Adam``.

    Notes
    -----
    epsilon is added to the root, and momentum adds up steps and not gradients (PyTorch's way;
    Graves has epsilon under the root). A variance below zero, by rounding, counts as zero.

    References
    ----------
    .. [1] Tieleman & Hinton, "Lecture 6.5 - rmsprop", COURSERA, 2012.
    .. [2] Graves, "Generating Sequences With Recurrent Neural Networks", 2013, equations 38-45.
       arXiv:1308.0850
    """

    rho: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0
    centered: bool = False
    lazy: bool | None = None

    eta0 = 0.01
    follows_rates = True
    side_by_side = True

    @property
    def n_slots(self):
        """The mean square, the mean and the velocity, as far as they are needed."""
        return 1 + bool(self.centered) + (self.momentum > 0)

    @property
    def skipped_steps(self):
        """Moments fade, and a velocity would move the coefficient on: that has no closed form."""
        return MOMENTS if self.momentum == 0 else None

    @property
    def lazy_on_sparse(self):
        """Whether ``lazy`` None means True on sparse rows."""
        return self.momentum > 0

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        return step_columns(rates, 1.0 / (1.0 - optimizer.momentum))

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        square = g * g + optimizer.rho * (state[0, j] - g * g)
        state[0, j] = square
        velocity = 1
        if optimizer.centered:
            mean = g + optimizer.rho * (state[1, j] - g)
            state[1, j] = mean
            square = max(square - mean * mean, cast(0.0, g))
            velocity = 2
        step = step_coefs[0] / (np.sqrt(square) + optimizer.epsilon)
        if optimizer.momentum == 0:
            return -step * g, step
        b = optimizer.momentum * state[velocity, j] + g / (np.sqrt(square) + optimizer.epsilon)
        state[velocity, j] = b
        return -step_coefs[0] * b, step * step_coefs[1]

    @staticmethod
    def length(optimizer, step_coefs, state, j):
        square = state[0, j]
        if optimizer.centered:
            square = max(square - state[1, j] * state[1, j], cast(0.0, square))
        return step_coefs[0] * step_coefs[1] / (np.sqrt(square) + optimizer.epsilon)

    @staticmethod
    def penalty_rate(optimizer, slot):
        root = np.sqrt(max(slot[0] - slot[1] * slot[1], 0.0)) + np.float64(optimizer.epsilon)
        return 1.0 / (root * (1.0 - np.float64(optimizer.momentum)))

    @staticmethod
    def recall(optimizer, state, j):
        mean = np.float64(state[1, j]) if optimizer.centered else 0.0
        return np.float64(state[0, j]), mean

    @staticmethod
    def keep(optimizer, state, j, slot):
        state[0, j] = slot[0]
        if optimizer.centered:
            state[1, j] = slot[1]

    @staticmethod
    def catch_up(optimizer, penalty, param, slot, skipped, c):
        square = faded(slot[0], optimizer.rho, skipped.steps)
        mean = faded(slot[1], optimizer.rho, skipped.steps)
        return penalties.skip(penalty, param, skipped.time), (square, mean)
