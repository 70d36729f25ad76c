"""Optimizers: how a gradient becomes a step of one coordinate.

An optimizer is a ``NamedTuple`` of its hyperparameters with static methods, the scalar ones
compiled into the kernels' inner loops:

``update(optimizer, pace, g, state, j)``
    Update ``state[:, j]`` and return ``(change, step)``: what to add to the coordinate, and the
    length of the step that the penalty takes with it.
``catch_up(optimizer, penalty, param, slot, rest)``
    What steps with a gradient of zero would have made of a coordinate that they did not touch,
    in closed form; ``recall`` and ``keep`` read and write the slot of its state that matters.
    It takes and returns scalars only: arrays would have numba count references in a hot loop.
``paces(optimizer, rates, first)``
    Plain numpy: the three numbers that ``update`` may need of each step, from the schedule's
    rates and the number of the first step (1-based); shape (n_steps, 3), column 0 proportional to
    the rate. Bias corrections live here, computed once a step and not once a coordinate.

``lengths(optimizer, paces)``
    Plain numpy: the lengths of the penalty's steps, where they are the same for all coordinates.

``n_slots`` is the number of arrays of the parameters' shape in ``state``.

The length of the penalty's step is the optimizer's own reply to a constant gradient of one, so
that the point where the loss's and the penalty's forces balance is the minimum of the objective
whatever the optimizer: rate for sgd, rate / (1 - momentum) for momentum, rate / (sqrt(v) +
epsilon) of each coordinate for Adam.
"""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels import penalties
from fastgd.kernels._hook import cast, hook
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.elementary import exp

SMALLEST_MOMENTUM = 1e-300  # has a logarithm, and fades in one step
NEGLIGIBLE_VELOCITY = 1e-30  # float32 turns denormal, and slow, at 1e-38


@hook
def update(optimizer, pace, g, state, j):
    """Update the state of coordinate j by its gradient g; return its change and step length."""
    return type(optimizer).update(optimizer, pace, g, state, j)


@hook
def recall(optimizer, state, j):
    """Return the part of a coordinate's state that ``catch_up`` needs."""
    return type(optimizer).recall(optimizer, state, j)


@hook
def keep(optimizer, state, j, slot):
    """Put back what ``catch_up`` made of it."""
    return type(optimizer).keep(optimizer, state, j, slot)


@hook
def catch_up(optimizer, penalty, param, slot, rest):
    """Return a coordinate and its slot after steps in which its gradient was zero."""
    return type(optimizer).catch_up(optimizer, penalty, param, slot, rest)


def _columns(*numbers):
    """Return paces: each step's numbers side by side, 0 for those that an optimizer lacks."""
    paces = np.zeros((numbers[0].shape[0], 3))
    for k, number in enumerate(numbers):
        paces[:, k] = number
    return paces


@helper()
def pace_of(paces, t):
    """Return what ``update`` needs of step t, as scalars."""
    return paces[t, 0], paces[t, 1], paces[t, 2]


class Rest(NamedTuple):
    """Steps that did not touch a coordinate.

    steps : how many
    time : how long they were, for ``penalties.rest``
    coast_before, coast_after : how far a unit of velocity carries from the first of them, and
        from the first after them, to the end of the span (``backward_coasts``)
    """

    steps: int
    time: float
    coast_before: float
    coast_after: float


class Sgd(NamedTuple):
    """Plain stochastic gradient descent: w <- w - rate g.

    References
    ----------
    .. [1] Robbins & Monro, "A Stochastic Approximation Method", 1951.
    """

    n_slots = 0
    eta0 = 0.01

    @staticmethod
    def paces(optimizer, rates, first):
        return _columns(rates)

    @staticmethod
    def lengths(optimizer, paces):
        return paces[:, 0]

    @staticmethod
    def update(optimizer, pace, g, state, j):
        return -pace[0] * g, pace[0]

    @staticmethod
    def recall(optimizer, state, j):
        return 0.0

    @staticmethod
    def keep(optimizer, state, j, slot):
        pass

    @staticmethod
    def catch_up(optimizer, penalty, param, slot, rest):
        return penalties.rest(penalty, param, rest.time), slot


class Momentum(NamedTuple):
    """Heavy-ball momentum, or Nesterov's: v <- momentum v + g;  w <- w - rate v.

    With ``nesterov`` the step is rate (g + momentum v), the form of Sutskever et al. that looks
    ahead without a second gradient. The rate multiplies the velocity (PyTorch's convention;
    Keras folds it in, which differs when the rate changes).

    References
    ----------
    .. [1] Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
    .. [2] Sutskever, Martens, Dahl & Hinton, "On the importance of initialization and momentum
       in deep learning", 2013, equations 1-4.
    """

    momentum: float = 0.9
    nesterov: bool = False

    n_slots = 1
    eta0 = 0.01

    @staticmethod
    def paces(optimizer, rates, first):
        return _columns(rates, 1.0 / (1.0 - optimizer.momentum))

    @staticmethod
    def lengths(optimizer, paces):
        return paces[:, 0] * paces[:, 1]

    @staticmethod
    def update(optimizer, pace, g, state, j):
        velocity = optimizer.momentum * state[0, j] + g
        state[0, j] = velocity
        ahead = optimizer.momentum * velocity + g if optimizer.nesterov else velocity
        return -pace[0] * ahead, pace[0] * pace[1]

    @staticmethod
    def recall(optimizer, state, j):
        return np.float64(state[0, j])

    @staticmethod
    def keep(optimizer, state, j, slot):
        state[0, j] = slot

    @staticmethod
    def catch_up(optimizer, penalty, param, slot, rest):
        # The path is a geometric sum of the velocity, shrunk on its way by the (linear) penalty.
        # It is reckoned backward from the span's end: nothing is ever divided by momentum^t.
        left = faded(slot, optimizer.momentum, rest.steps)
        start = penalties.rest(penalty, param - slot * rest.coast_before, rest.time)
        return start + left * rest.coast_after, left


class Adam(NamedTuple):
    """Adaptive moments, with bias correction and epsilon outside the root.

    m <- beta_1 m + (1 - beta_1) g;  v <- beta_2 v + (1 - beta_2) g^2
    w <- w - rate m_hat / (sqrt(v_hat) + epsilon),  m_hat = m / (1 - beta_1^t), v_hat likewise

    ``lazy`` says what becomes of a coefficient whose gradient is exactly zero, as that of a
    feature absent from a sparse batch. If False its moments decay and carry it on, as the paper
    has it; on sparse data that takes work for every feature in every step. If True it keeps its
    moments and only its penalty moves it (``LazyAdam``), and a sparse step costs O(non-zeros).
    None means True on sparse data and False on dense.

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

    @staticmethod
    def paces(optimizer, rates, first):
        # m_hat / (sqrt(v_hat) + eps) = (1 / c1) m sqrt(c2) / (sqrt(v) + sqrt(c2) eps)
        t = np.arange(first, first + rates.shape[0], dtype=np.float64)
        c1 = -np.expm1(t * math.log(optimizer.beta_1)) if optimizer.beta_1 > 0 else 1.0
        c2 = -np.expm1(t * math.log(optimizer.beta_2)) if optimizer.beta_2 > 0 else np.ones_like(t)
        return _columns(rates * np.sqrt(c2), np.sqrt(c2) * optimizer.epsilon, 1.0 / c1)

    @staticmethod
    def update(optimizer, pace, g, state, j):
        # beta x + (1 - beta) g without a literal 1, which would be float64
        m = g + optimizer.beta_1 * (state[0, j] - g)
        v = g * g + optimizer.beta_2 * (state[1, j] - g * g)
        state[0, j] = m
        state[1, j] = v
        step = pace[0] / (np.sqrt(v) + pace[1])
        return -step * pace[2] * m, step


class LazyAdam(NamedTuple):
    """Adam in which a coefficient with a gradient of exactly zero keeps its moments.

    Only the penalty moves such a coefficient, with the step length that its second moment gives;
    a rest of several steps is taken at once, equal to single steps to second order in rate x l2.

    Notes
    -----
    TensorFlow's LazyAdam and PyTorch's SparseAdam rest likewise; they have no penalty to keep up.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    n_slots = 2
    eta0 = 0.001

    @staticmethod
    def paces(optimizer, rates, first):
        return Adam.paces(optimizer, rates, first)

    @staticmethod
    def update(optimizer, pace, g, state, j):
        m, v = state[0, j], state[1, j]
        if g != 0:
            m = g + optimizer.beta_1 * (m - g)
            v = g * g + optimizer.beta_2 * (v - g * g)
            state[0, j] = m
            state[1, j] = v
        step = pace[0] / (np.sqrt(v) + pace[1])
        return (-step * pace[2] * m if g != 0 else cast(0.0, g)), step

    @staticmethod
    def recall(optimizer, state, j):
        return np.float64(state[1, j])

    @staticmethod
    def keep(optimizer, state, j, slot):
        pass

    @staticmethod
    def catch_up(optimizer, penalty, param, slot, rest):
        root = np.sqrt(slot) + np.float64(optimizer.epsilon)
        return penalties.rest(penalty, param, rest.time / root), slot


@helper()
def faded(velocity, momentum, steps):
    """Return what a rest leaves of a velocity: nothing, before float32 turns denormal and slow."""
    left = velocity * exp(math.log(max(np.float64(momentum), SMALLEST_MOMENTUM)) * steps)
    return left if abs(left) > NEGLIGIBLE_VELOCITY else 0.0


@kernel()
def cumulative_times(penalty, lengths, out):
    """Write the time, for ``penalties.rest``, that has passed after 0, 1, ... n steps."""
    out[0] = 0.0
    for t in range(lengths.shape[0]):
        out[t + 1] = out[t] + penalties.clock(penalty, lengths[t])


@kernel()
def backward_coasts(penalty, momentum, reach, times, out):
    """Write how far a unit of velocity carries from each step to the span's end.

    C_t = (reach_{t+1} + momentum C_{t+1}) / shrinkage_{t+1}, with reach_t = rate_t x momentum:
    backward, so that nothing cancels.
    """
    n_steps = reach.shape[0]
    out[n_steps] = 0.0
    for t in range(n_steps - 1, -1, -1):
        shrinkage = penalties.rest(penalty, 1.0, times[t + 1] - times[t])
        out[t] = (reach[t] + momentum * out[t + 1]) / shrinkage


OPTIMIZERS = {
    "sgd": Sgd(),
    "momentum": Momentum(),
    "nesterov": Momentum(nesterov=True),
    "adam": Adam(),
}
