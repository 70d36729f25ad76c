"""Means of gradients over the roots of means of their squares; signs of means."""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels._hook import cast
from fastgd.kernels.optimizers._protocol import step_columns

LONGEST_PRODUCT = 745.0  # e^-745 is the smallest number above zero


class Adam(NamedTuple):
    """Adaptive moments, with bias correction and epsilon outside the root.

    m <- beta_1 m + (1 - beta_1) g;  v <- beta_2 v + (1 - beta_2) g^2
    w <- w - rate m_hat / (sqrt(v_hat) + epsilon),  m_hat = m / (1 - beta_1^t), v_hat likewise

    ``lazy`` says what becomes of a coefficient whose gradient is exactly zero, as that of a
    feature absent from a sparse batch. If False its moments decay and carry it on, as the paper
    has it; on sparse data that takes work for every feature in every step. If True it keeps its
    moments and only its penalty moves it (``LazyMoments``), and a sparse step costs O(non-zeros).
    None means True on sparse data and False on dense.

    Parameters
    ----------
    beta_1 : float, default=0.9
        Decay of the mean gradient, in [0, 1).
    beta_2 : float, default=0.999
        Decay of the mean square, in [0, 1).
    epsilon : float, default=1e-8
        What is added to the root, >= 0.
    lazy : bool or None, default=None
        Whether absent features keep their moments, as above.

    References
    ----------
    .. [1] Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2015, Algorithm 1.
       arXiv:1412.6980
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    lazy: bool | None = None

    n_slots = 2
    eta0 = 0.001
    lazy_on_sparse = True
    side_by_side = True

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        # m_hat / (sqrt(v_hat) + eps) = (1 / c1) m sqrt(c2) / (sqrt(v) + sqrt(c2) eps)
        c1 = _correction(optimizer.beta_1, rates, first)
        c2 = np.sqrt(_correction(optimizer.beta_2, rates, first))
        return step_columns(rates * c2, c2 * optimizer.epsilon, 1.0 / c1)

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        # beta x + (1 - beta) g without a literal 1, which would be float64
        m = g + optimizer.beta_1 * (state[0, j] - g)
        v = g * g + optimizer.beta_2 * (state[1, j] - g * g)
        state[0, j] = m
        state[1, j] = v
        step = step_coefs[0] / (np.sqrt(v) + step_coefs[1])
        return -step * step_coefs[2] * m, step

    @staticmethod
    def length(optimizer, step_coefs, state, j):
        return step_coefs[0] / (np.sqrt(state[1, j]) + step_coefs[1])

    @staticmethod
    def recall(optimizer, state, j):
        return np.float64(state[1, j])

    @staticmethod
    def penalty_rate(optimizer, slot):
        return 1.0 / (np.sqrt(slot) + np.float64(optimizer.epsilon))

    @staticmethod
    def penalty_rate_at(optimizer, state, j):
        v = state[1, j]
        return cast(1.0, v) / (np.sqrt(v) + optimizer.epsilon)


class AMSGrad(NamedTuple):
    """Adam whose rates never grow: by the largest second moment so far.

    m, v as in ``Adam``;  u <- max(u, v);  w <- w - rate m_hat / (sqrt(u_hat) + epsilon)

    Parameters
    ----------
    beta_1 : float, default=0.9
        Decay of the mean gradient, in [0, 1).
    beta_2 : float, default=0.999
        Decay of the mean square, in [0, 1).
    epsilon : float, default=1e-8
        What is added to the root, >= 0.
    lazy : bool or None, default=None
        Whether absent features keep their moments; None is True on sparse data. See ``Adam``.

    Notes
    -----
    The paper corrects no bias; PyTorch corrects m and u, and so does this. ``lazy`` as in
    ``Adam``.

    References
    ----------
    .. [1] Reddi, Kale & Kumar, "On the Convergence of Adam and Beyond", 2018, Algorithm 2.
       arXiv:1904.09237
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    lazy: bool | None = None

    n_slots = 3
    eta0 = 0.001
    lazy_on_sparse = True
    side_by_side = True
    step_coefficients = staticmethod(Adam.step_coefficients)
    penalty_rate = staticmethod(Adam.penalty_rate)

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        m = g + optimizer.beta_1 * (state[0, j] - g)
        v = g * g + optimizer.beta_2 * (state[1, j] - g * g)
        u = max(state[2, j], v)
        state[0, j] = m
        state[1, j] = v
        state[2, j] = u
        step = step_coefs[0] / (np.sqrt(u) + step_coefs[1])
        return -step * step_coefs[2] * m, step

    @staticmethod
    def length(optimizer, step_coefs, state, j):
        return step_coefs[0] / (np.sqrt(state[2, j]) + step_coefs[1])

    @staticmethod
    def recall(optimizer, state, j):
        return np.float64(state[2, j])

    @staticmethod
    def penalty_rate_at(optimizer, state, j):
        u = state[2, j]
        return cast(1.0, u) / (np.sqrt(u) + optimizer.epsilon)


class AdamW(NamedTuple):
    """Adam with a weight decay that its moments do not see.

    w <- (1 - rate weight_decay) w, then the step of ``Adam``

    The decay comes on top of the estimator's penalty (set ``penalty=None`` for the paper's
    method), and leaves the intercept alone. It is the same for all coefficients, where a
    penalty's step is as long as the gradient's: so it does not minimise an objective with
    ``weight_decay`` / 2 |w|^2.

    Parameters
    ----------
    weight_decay : float, default=0.01
        What the rate times the coefficient is multiplied by, >= 0.
    beta_1 : float, default=0.9
        Decay of the mean gradient, in [0, 1).
    beta_2 : float, default=0.999
        Decay of the mean square, in [0, 1).
    epsilon : float, default=1e-8
        What is added to the root, >= 0.
    lazy : bool or None, default=None
        Whether absent features keep their moments; None is True on sparse data. See ``Adam``.

    Notes
    -----
    The decay is multiplied by the rate, as in PyTorch; the paper multiplies it by the schedule
    alone, that is rate / eta0. ``lazy`` as in ``Adam``: absent features decay, too.

    References
    ----------
    .. [1] Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019, Algorithm 2.
       arXiv:1711.05101
    """

    weight_decay: float = 0.01
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    lazy: bool | None = None

    n_slots = 2
    eta0 = 0.001
    lazy_on_sparse = True
    side_by_side = True
    update = staticmethod(Adam.update)
    length = staticmethod(Adam.length)
    recall = staticmethod(Adam.recall)
    penalty_rate = staticmethod(Adam.penalty_rate)
    penalty_rate_at = staticmethod(Adam.penalty_rate_at)

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        step_coefficients = Adam.step_coefficients(optimizer, rates, first)
        step_coefficients[:, 3] = rates * optimizer.weight_decay
        return step_coefficients

    @staticmethod
    def decayed(optimizer, step_coefs, param):
        return param - step_coefs[3] * param


class NAdam(NamedTuple):
    """Adam with Nesterov's momentum.

        mu_t = beta_1 (1 - 0.96^(t momentum_decay) / 2),  M_t = mu_1 ... mu_t
        w <- w - rate (mu_{t+1} m / (1 - M_{t+1}) + (1 - mu_t) g / (1 - M_t))
                   / (sqrt(v_hat) + epsilon),  m and v as in ``Adam``

    Parameters
    ----------
    beta_1 : float, default=0.9
        Decay of the mean gradient, in [0, 1).
    beta_2 : float, default=0.999
        Decay of the mean square, in [0, 1).
    epsilon : float, default=1e-8
        What is added to the root, >= 0.
    momentum_decay : float, default=0.004
        How fast the momentum grows to beta_1, >= 0.
    lazy : bool or None, default=None
        Whether absent features keep their moments; None is True on sparse data. See ``Adam``.

    Notes
    -----
    m is averaged by beta_1 and weighed by mu, as in PyTorch, so that its reply to a constant
    gradient is not quite one; the penalty's step is as long. ``lazy`` as in ``Adam``.

    References
    ----------
    .. [1] Dozat, "Incorporating Nesterov Momentum into Adam", 2016, Algorithm 2.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    momentum_decay: float = 0.004
    lazy: bool | None = None

    n_slots = 2
    eta0 = 0.002
    lazy_on_sparse = True
    side_by_side = True
    length = staticmethod(Adam.length)
    recall = staticmethod(Adam.recall)
    penalty_rate = staticmethod(Adam.penalty_rate)
    penalty_rate_at = staticmethod(Adam.penalty_rate_at)

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        n = rates.shape[0]
        fades = optimizer.beta_1 == 0 or first * -math.log(optimizer.beta_1) > LONGEST_PRODUCT
        start = first if fades else 1  # the product is of all factors so far, while it matters
        t = np.arange(start, first + n + 1, dtype=np.float64)
        mu = optimizer.beta_1 * (1.0 - 0.5 * 0.96 ** (t * optimizer.momentum_decay))
        with np.errstate(under="ignore"):
            product = np.zeros_like(mu) if fades else np.cumprod(mu)
        of_g = ((1.0 - mu) / (1.0 - product))[-n - 1 : -1]
        of_m = (mu / (1.0 - product))[-n:]
        response = of_g + of_m * _correction(optimizer.beta_1, rates, first)
        c2 = np.sqrt(_correction(optimizer.beta_2, rates, first))
        return step_columns(
            rates * c2 * response, c2 * optimizer.epsilon, of_m / response, of_g / response
        )

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        m = g + optimizer.beta_1 * (state[0, j] - g)
        v = g * g + optimizer.beta_2 * (state[1, j] - g * g)
        state[0, j] = m
        state[1, j] = v
        step = step_coefs[0] / (np.sqrt(v) + step_coefs[1])
        return -step * (step_coefs[2] * m + step_coefs[3] * g), step


class Adamax(NamedTuple):
    """Adam by the largest gradient in place of the mean square.

    m as in ``Adam``;  u <- max(beta_2 u, |g| + epsilon);  w <- w - rate m_hat / u

    Parameters
    ----------
    beta_1 : float, default=0.9
        Decay of the mean gradient, in [0, 1).
    beta_2 : float, default=0.999
        Decay of the largest gradient, in [0, 1).
    epsilon : float, default=1e-8
        What is added to the gradient's magnitude, >= 0.
    lazy : bool or None, default=None
        Whether absent features keep their moments; None is True on sparse data. See ``Adam``.

    Notes
    -----
    The paper has no epsilon and divides by zero before the first gradient; this is PyTorch's.
    ``lazy`` as in ``Adam``.

    References
    ----------
    .. [1] Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2015, Algorithm 2.
       arXiv:1412.6980
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    lazy: bool | None = None

    n_slots = 2
    eta0 = 0.002
    lazy_on_sparse = True
    side_by_side = True
    recall = staticmethod(Adam.recall)

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        return step_columns(rates, 0.0, 1.0 / _correction(optimizer.beta_1, rates, first))

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        m = g + optimizer.beta_1 * (state[0, j] - g)
        u = max(optimizer.beta_2 * state[1, j], abs(g) + optimizer.epsilon)
        state[0, j] = m
        state[1, j] = u
        step = step_coefs[0] / u
        return -step * step_coefs[2] * m, step

    @staticmethod
    def length(optimizer, step_coefs, state, j):
        return step_coefs[0] / max(state[1, j], optimizer.epsilon)

    @staticmethod
    def penalty_rate(optimizer, slot):
        return 1.0 / max(slot, np.float64(optimizer.epsilon))


class Lion(NamedTuple):
    """Steps of one length, in the direction of an interpolated momentum's sign.

    w <- (1 - rate weight_decay) w - rate sign(beta_1 m + (1 - beta_1) g)
    m <- beta_2 m + (1 - beta_2) g

    The reply to any constant gradient is the rate, and so long is the penalty's step: signs
    against a penalty do not balance at the minimum of the objective, and an l1 of one or more
    stops them. ``weight_decay`` acts as in ``AdamW``; ``lazy`` is as in ``Adam``.

    Parameters
    ----------
    beta_1 : float, default=0.9
        Share of the momentum in the direction of a step, in [0, 1).
    beta_2 : float, default=0.99
        Decay of the momentum, in [0, 1).
    weight_decay : float, default=0.0
        As in ``AdamW``, >= 0.
    lazy : bool or None, default=None
        Whether absent features keep their moments; None is True on sparse data. See ``Adam``.

    References
    ----------
    .. [1] Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023, Algorithm 2.
       arXiv:2302.06675
    """

    beta_1: float = 0.9
    beta_2: float = 0.99
    weight_decay: float = 0.0
    lazy: bool | None = None

    n_slots = 1
    eta0 = 0.0001
    lazy_on_sparse = True
    side_by_side = True
    decayed = staticmethod(AdamW.decayed)

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        return step_columns(rates, 0.0, 0.0, rates * optimizer.weight_decay)

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        m = state[0, j]
        ahead = g + optimizer.beta_1 * (m - g)
        state[0, j] = g + optimizer.beta_2 * (m - g)
        zero = cast(0.0, g)
        return (
            -step_coefs[0] if ahead > zero else (step_coefs[0] if ahead < zero else zero)
        ), step_coefs[0]

    @staticmethod
    def length(optimizer, step_coefs, state, j):
        return step_coefs[0]

    @staticmethod
    def recall(optimizer, state, j):
        return 0.0


def _correction(beta, rates, first):
    """Return 1 - beta^t, the share of its moment that an average of t gradients has reached."""
    t = np.arange(first, first + rates.shape[0], dtype=np.float64)
    return -np.expm1(t * math.log(beta)) if beta > 0 else np.ones_like(t)
