"""A rate that is found while training goes on."""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels import penalties
from fastgd.kernels._hook import cast
from fastgd.kernels._jit import helper
from fastgd.kernels.optimizers._protocol import step_columns


class Prodigy(NamedTuple):
    """Adam whose rate is an estimate d of how far the minimum is from the start.

    r <- sqrt(beta_2) r + d / d0 rate d <g, w_0 - w>
    s <- sqrt(beta_2) s + d / d0 rate d g
    m <- beta_1 m + (1 - beta_1) d g;  v <- beta_2 v + (1 - beta_2) d^2 g^2
    d' = max(d, d_coef r / |s|_1)
    w <- (1 - rate d weight_decay) w - rate d m / (sqrt(v) + d' epsilon);  d <- d'

    The rate is a factor of the estimate, 1 unless asked for otherwise; a schedule that falls, such
    as "cosine", helps at the end. d is one number for all parameters, so that each step reads the
    whole gradient twice.

    Parameters
    ----------
    beta_1 : float, default=0.9
        Decay of the mean gradient, in [0, 1).
    beta_2 : float, default=0.999
        Decay of the mean square, and, by its root, of r and s, in [0, 1).
    epsilon : float, default=1e-8
        What is added to the root, times d, >= 0.
    weight_decay : float, default=0.0
        As in ``AdamW``, >= 0.
    d0 : float, default=1e-6
        The first estimate, > 0; too small costs some steps, too large is never taken back.
    d_coef : float, default=1.0
        What estimates are multiplied by, > 0.
    growth_rate : float, default=inf
        The factor by which d may grow in a step, >= 1.
    bias_correction : bool, default=False
        Whether steps are multiplied by sqrt(1 - beta_2^t) / (1 - beta_1^t).
    safeguard_warmup : bool, default=False
        Whether s leaves out the rate, which keeps d small while a warm-up lasts.

    Notes
    -----
    The step is the authors' package's, in which the new d is used from the next step on. The
    penalty's step is the reply to a constant gradient of one, as in ``Adam``; with several outputs
    all share d. On sparse rows every step passes over all coefficients. Six numbers are kept for
    each parameter, seven with a finite ``growth_rate``.

    References
    ----------
    .. [1] Mishchenko & Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner", 2024,
       Algorithm 4. arXiv:2306.06101
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    d0: float = 1e-6
    d_coef: float = 1.0
    growth_rate: float = math.inf
    bias_correction: bool = False
    safeguard_warmup: bool = False

    eta0 = 1.0
    finds_rate = True

    @property
    def n_slots(self):
        """m, v, s, what steps have moved, d, r; the largest estimate where d may lag behind it."""
        return 6 + math.isfinite(self.growth_rate)

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        t = np.arange(first, first + rates.shape[0], dtype=np.float64)
        beta_1, beta_2 = np.float64(optimizer.beta_1), np.float64(optimizer.beta_2)
        corrected = np.sqrt(1.0 - beta_2**t) / (1.0 - beta_1**t)
        return step_columns(rates, corrected if optimizer.bias_correction else 1.0)

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        """The step of one coordinate by the estimate as it is, which stays."""
        d, beta_2 = cast(_estimate(optimizer, state), g), optimizer.beta_2
        m = d * g + optimizer.beta_1 * (state[0, j] - d * g)
        v = d * d * g * g + beta_2 * (state[1, j] - d * d * g * g)
        state[0, j] = m
        state[1, j] = v
        step = d * step_coefs[0] * step_coefs[1] / (np.sqrt(v) + d * optimizer.epsilon)
        return -step * m, d * step

    @staticmethod
    def step_of_all(optimizer, penalty, step_coefs, params, gradient, state, n_penalised, strength):
        if step_coefs[0] == 0:
            return 0.0
        d = _estimate(optimizer, state)
        length = d * np.float64(step_coefs[0]) * np.float64(step_coefs[1])
        found = _next_estimate(optimizer, (d, length), gradient, state)
        if found == 0.0:  # no gradient has been anything but zero
            return 0.0
        factors = _factors_of_step(optimizer, (d, length, found), step_coefs)
        for c in range(gradient.shape[0]):
            _step_of_one(penalty, factors, params, state, c, c < n_penalised)
        return 0.0


@helper()
def _estimate(optimizer, state):
    """Return d, which stands first in the fifth slot; none stands there before the first step."""
    d = np.float64(state[4, 0])
    return d if d > 0 else np.float64(optimizer.d0)


@helper()
def _next_estimate(optimizer, sizes, gradient, state):
    """Take a gradient into the moments and sums; return the next d, and remember it."""
    factors, inner, total = _factors_of_sums(optimizer, sizes, gradient[0]), 0.0, 0.0
    for c in range(gradient.shape[0]):
        along, size = _take_in(optimizer, factors, gradient[c], state, c)
        inner -= along
        total += size
    return _found(optimizer, sizes, inner, total, state)


@helper()
def _factors_of_sums(optimizer, sizes, like):
    """Return what gradients are multiplied by in s, m and v, and what a step leaves of s."""
    (d, length), beta_2 = sizes, np.float64(optimizer.beta_2)
    fade, scale = math.sqrt(beta_2), d / np.float64(optimizer.d0)
    of_s = cast(scale * (d if optimizer.safeguard_warmup else length), like)
    of_m = cast(d * (1.0 - np.float64(optimizer.beta_1)), like)
    of_v, kept = cast(d * d * (1.0 - beta_2), like), cast(fade, like)
    return of_s, of_m, of_v, kept


@helper()
def _take_in(optimizer, factors, g, state, c):
    """Take a coordinate's gradient into its sums; return <g, w - w_0> and |s| of it."""
    of_s, of_m, of_v, kept = factors
    along = np.float64(g) * np.float64(state[3, c])  # w_0 - w is what steps have left behind
    state[0, c] = optimizer.beta_1 * state[0, c] + of_m * g
    state[1, c] = optimizer.beta_2 * state[1, c] + of_v * g * g
    s = kept * state[2, c] + of_s * g
    state[2, c] = s
    return along, abs(np.float64(s))


@helper()
def _found(optimizer, sizes, inner, total, state):
    """Return the next d, and remember it; 0 before any gradient but zero.

    inner, total : <g, w_0 - w> and |s|_1
    """
    (d, length), fade = sizes, math.sqrt(np.float64(optimizer.beta_2))
    if total == 0.0:
        return 0.0
    numerator = fade * np.float64(state[5, 0]) + d / np.float64(optimizer.d0) * length * inner
    estimate = np.float64(optimizer.d_coef) * numerator / total
    now = max(d, estimate) if d == np.float64(optimizer.d0) else d
    most, found = max(d, estimate), max(d, estimate)
    if state.shape[0] > 6:
        most = max(np.float64(state[6, 0]), most)
        found = min(most, now * np.float64(optimizer.growth_rate))
        state[6, 0] = most
    state[5, 0], state[4, 0] = numerator, found
    return found


@helper()
def _factors_of_step(optimizer, sizes, step_coefs):
    """Return the decay, the step, the reply to a gradient of one, and what is added to roots."""
    d, length, found = sizes
    decay = cast(length * np.float64(optimizer.weight_decay), step_coefs[0])
    step, reply = cast(length, step_coefs[0]), cast(length * d, step_coefs[0])
    return decay, step, reply, cast(found * np.float64(optimizer.epsilon), step_coefs[0])


@helper()
def _step_of_one(penalty, factors, params, state, c, is_penalised):
    """Step a coordinate, and remember how far it went."""
    decay, step, reply, edge = factors
    before, root = params[c], np.sqrt(state[1, c]) + edge
    change = -step * state[0, c] / root
    after = before + change
    if is_penalised:
        held = before - decay * before
        after = penalties.proximal(penalty, held, change, reply / root, c)
    state[3, c] += after - before
    params[c] = after
