"""Optimizers: how a gradient becomes a step of one coordinate.

An optimizer is a ``NamedTuple`` of its hyperparameters with static methods, the scalar ones
compiled into the kernels' inner loops:

``update(optimizer, pace, g, state, j)``
    Update ``state[:, j]`` and return ``(change, step)``: what to add to the coordinate, and the
    length of the step that the penalty takes with it.
``paces(optimizer, rates, first)``
    Plain numpy: the four numbers that ``update`` may need of each step, from the schedule's
    rates and the number of the first step (1-based); shape (n_steps, 4), column 0 proportional to
    the rate. Bias corrections live here, computed once a step and not once a coordinate.

``n_slots`` is the number of arrays of the parameters' shape in ``state``, ``eta0`` the rate that
is taken where no schedule is asked for. What follows is for some of them:

``decayed(optimizer, pace, param)``
    What a decay of its own, apart from the penalty, leaves of a coefficient before the step.
``move(optimizer, penalty, pace, param, g, state, c)``
    The whole step of a coefficient, where it is not "change, then penalty". Intercepts, which
    have neither penalty nor decay, are always stepped by ``update``.
``slope(optimizer, pace, rows, i, value, slope)``
    The slope that a step of a single row goes by, where that depends on the row's loss.

And for those whose steps without a gradient can be made up for, on sparse rows:

``catch_up(optimizer, penalty, param, slot, rest, c)``
    What steps with a gradient of zero would have made of coefficient c, which they did not touch;
    ``recall`` and ``keep`` read and write the slots of its state that matter. It takes and
    returns scalars only: arrays would have numba count references in a hot loop.
``lengths(optimizer, paces)``
    Plain numpy: the lengths of the penalty's steps, where they are the same for all coordinates.
``speed(optimizer, slot)``
    Where they are not: the length of a coordinate's own step, of ``pace[0]`` times it.

The length of the penalty's step is the optimizer's own reply to a constant gradient of one, so
that the point where the loss's and the penalty's forces balance is the minimum of the objective
whatever the optimizer: rate for sgd, rate / (1 - momentum) for momentum, rate / (sqrt(v) +
epsilon) of each coordinate for Adam. (``Lion`` is the exception, for it replies to signs.)

The tags of the Adam kind carry on with their moments where a gradient is zero, which has no
closed form. On sparse rows ``LazyMoments`` lets them rest; the field ``lazy`` says when: None
means on sparse rows only.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from fastgd.kernels import penalties
from fastgd.kernels._hook import cast, hook, optional
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.elementary import exp
from fastgd.kernels.rows import entries, entry

SMALLEST_MOMENTUM = 1e-300  # has a logarithm, and fades in one step
NEGLIGIBLE_VELOCITY = 1e-30  # float32 turns denormal, and slow, at 1e-38
LONGEST_PRODUCT = 745.0  # e^-745 is the smallest number above zero
SMALLEST_DECAY = 1e-30  # a decay by all there is leaves this share, which has a logarithm


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
def catch_up(optimizer, penalty, param, slot, rest, c):
    """Return a coefficient and its slots after steps in which its gradient was zero."""
    return type(optimizer).catch_up(optimizer, penalty, param, slot, rest, c)


@hook
def length(optimizer, pace, state, j):
    """Return the length of the penalty's step of a coordinate that keeps its moments."""
    return type(optimizer).length(optimizer, pace, state, j)


@optional
def speed(optimizer, slot):
    """Return the length of the penalty's step, in units of ``pace[0]``."""
    return 1.0


@optional
def decayed(optimizer, pace, param):
    """Return what a decay of the optimizer's own leaves of a coefficient."""
    return param


@optional
def move(optimizer, penalty, pace, param, g, state, c):
    """Return coefficient c after its step, and the length of the penalty's step."""
    change, step = update(optimizer, pace, g, state, c)
    held = decayed(optimizer, pace, param)
    return penalties.proximal(penalty, held, change, step, c), step


@optional
def slope(optimizer, pace, rows, i, value, slope):
    """Return the slope that row i's step goes by, from its loss and the loss's slope."""
    return slope


def _columns(*numbers):
    """Return paces: each step's numbers side by side, 0 for those that an optimizer lacks."""
    paces = np.zeros((numbers[0].shape[0], 4))
    for k, number in enumerate(numbers):
        paces[:, k] = number
    return paces


@helper()
def pace_of(paces, t):
    """Return what ``update`` needs of step t, as scalars."""
    return paces[t, 0], paces[t, 1], paces[t, 2], paces[t, 3]


class Rest(NamedTuple):
    """Steps that did not touch a coordinate.

    steps : how many
    time : how long they were, for ``penalties.rest``
    coast_before, coast_after : a further measure of the steps at their beginning and end: how
        far a unit of velocity carries on (``backward_coasts``), the logarithm of what decay
        left, or the rate
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
    def catch_up(optimizer, penalty, param, slot, rest, c):
        return penalties.rest(penalty, param, rest.time), slot


class PassiveAggressive(NamedTuple):
    """Passive-aggressive steps: as long as a row's loss asks for, and no longer than allowed.

    w <- w + tau sign x,  with C the rate, sign against the loss's slope, and
    tau = min(C, loss / |x|^2)        (PA-I)
    tau = loss / (|x|^2 + 1 / (2 C))  (PA-II, ``squared_slack``)

    One row a step, one output. The hinge makes it a classifier, the epsilon-insensitive loss a
    regressor. A row without an entry takes no step by PA-I, its intercept included.

    Parameters
    ----------
    squared_slack : bool, default=False
        Whether steps are those of PA-II.

    Notes
    -----
    As scikit-learn's ``learning_rate="pa1"`` and ``"pa2"`` with ``eta0`` = C: the intercept takes
    the row's step though |x|^2 does not count it, weights multiply tau, and a penalty acts with
    steps of C (a row without an entry included, which scikit-learn's PA-I skips). With log_loss
    scikit-learn goes by the sign of y - raw, which is wrong for confident predictions; here it is
    the slope's.

    References
    ----------
    .. [1] Crammer, Dekel, Keshet, Shalev-Shwartz & Singer, "Online Passive-Aggressive
       Algorithms", 2006, section 3 (classification) and 5 (regression).
    """

    squared_slack: bool = False

    n_slots = 0
    eta0 = 1.0
    paces = staticmethod(Sgd.paces)
    lengths = staticmethod(Sgd.lengths)
    update = staticmethod(Sgd.update)
    recall = staticmethod(Sgd.recall)
    keep = staticmethod(Sgd.keep)
    catch_up = staticmethod(Sgd.catch_up)

    @staticmethod
    def slope(optimizer, pace, rows, i, value, slope):
        square = _square_of_row(rows, i)
        if optimizer.squared_slack:
            tau = value / (square + 0.5 / pace[0])
        elif square > 0:
            tau = min(np.float64(pace[0]), value / square)
        else:
            tau = 0.0 * value
        # the step multiplies by the rate again
        toward = 1.0 if slope > 0 else (-1.0 if slope < 0 else 0.0)
        return toward * tau / pace[0]


@helper()
def _square_of_row(rows, i):
    """Return |x_i|^2."""
    total = 0.0
    begin, end = entries(rows, i)
    for k in range(begin, end):
        _, x = entry(rows, i, k)
        total += x * x
    return total


class Momentum(NamedTuple):
    """Heavy-ball momentum, or Nesterov's: v <- momentum v + g;  w <- w - rate v.

    With ``nesterov`` the step is rate (g + momentum v), the form of Sutskever et al. that looks
    ahead without a second gradient. The rate multiplies the velocity (PyTorch's convention;
    Keras folds it in, which differs when the rate changes).

    Parameters
    ----------
    momentum : float, default=0.9
        Share of the velocity that is kept, in [0, 1).
    nesterov : bool, default=False
        Whether to look ahead.

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
    def catch_up(optimizer, penalty, param, slot, rest, c):
        # The path is a geometric sum of the velocity, shrunk on its way by the (linear) penalty.
        # It is reckoned backward from the span's end: nothing is ever divided by momentum^t.
        left = faded(slot, optimizer.momentum, rest.steps)
        start = penalties.rest(penalty, param - slot * rest.coast_before, rest.time)
        return start + left * rest.coast_after, left


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

    @staticmethod
    def paces(optimizer, rates, first):
        return _columns(rates)

    @staticmethod
    def update(optimizer, pace, g, state, j):
        n = state[0, j] + g * g
        state[0, j] = n
        step = pace[0] / (np.sqrt(n) + optimizer.epsilon)
        return -step * g, step

    @staticmethod
    def recall(optimizer, state, j):
        return np.float64(state[0, j])

    @staticmethod
    def keep(optimizer, state, j, slot):
        pass

    @staticmethod
    def speed(optimizer, slot):
        return 1.0 / (np.sqrt(slot) + np.float64(optimizer.epsilon))

    @staticmethod
    def catch_up(optimizer, penalty, param, slot, rest, c):
        return penalties.rest(penalty, param, rest.time), slot


class Adadelta(NamedTuple):
    """Steps in the units of the coordinate: as long as the last ones, by gradients as large.

    v <- rho v + (1 - rho) g^2
    d = g sqrt(u + epsilon) / sqrt(v + epsilon)
    u <- rho u + (1 - rho) d^2;  w <- w - rate d

    The paper has no rate, that is 1. On sparse rows a step is O(non-zeros) and exact without a
    penalty. With one, the length of its step changes in every step of a rest, so that all
    coefficients are stepped, unless ``lazy`` lets absent ones keep their moments.

    Parameters
    ----------
    rho : float, default=0.9
        Decay of both mean squares, in [0, 1).
    epsilon : float, default=1e-6
        What is added under both roots, >= 0.
    lazy : bool or None, default=None
        Whether absent features rest; None is True on sparse data. See ``Adam``.

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
    fades = True
    rests_on_sparse = False

    @staticmethod
    def paces(optimizer, rates, first):
        return _columns(rates)

    @staticmethod
    def update(optimizer, pace, g, state, j):
        v = g * g + optimizer.rho * (state[0, j] - g * g)
        u = state[1, j]
        reply = np.sqrt(u + optimizer.epsilon) / np.sqrt(v + optimizer.epsilon)
        square = reply * reply * g * g
        state[0, j] = v
        state[1, j] = square + optimizer.rho * (u - square)
        return -pace[0] * reply * g, pace[0] * reply

    @staticmethod
    def length(optimizer, pace, state, j):
        v, u = state[0, j], state[1, j]
        return pace[0] * (np.sqrt(u + optimizer.epsilon) / np.sqrt(v + optimizer.epsilon))

    @staticmethod
    def speed(optimizer, slot):
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
    def catch_up(optimizer, penalty, param, slot, rest, c):
        v = faded(slot[0], optimizer.rho, rest.steps)
        u = faded(slot[1], optimizer.rho, rest.steps)
        return penalties.rest(penalty, param, rest.time), (v, u)


class RMSprop(NamedTuple):
    """The gradient over a moving root of its mean square.

    v <- rho v + (1 - rho) g^2
    s = g / (sqrt(v) + epsilon);  b <- momentum b + s;  w <- w - rate b

    ``centered`` takes the mean gradient's square from v under the root: the variance, after
    Graves. On sparse rows, without momentum and penalty, a step is O(non-zeros) and exact. With a
    penalty the length of its step changes in every step of a rest, so that all coefficients are
    stepped, unless ``lazy`` lets absent ones keep their moments. With momentum ``lazy`` None
    means just that, on sparse rows.

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
        Whether absent features rest; None is True on sparse data. See ``Adam``.

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

    @property
    def n_slots(self):
        """The mean square, the mean and the velocity, as far as they are needed."""
        return 1 + bool(self.centered) + (self.momentum > 0)

    @property
    def fades(self):
        """Whether a rest without a penalty changes moments only."""
        return self.momentum == 0

    @property
    def rests_on_sparse(self):
        """Whether ``lazy`` None means True on sparse rows."""
        return self.momentum > 0

    @staticmethod
    def paces(optimizer, rates, first):
        return _columns(rates, 1.0 / (1.0 - optimizer.momentum))

    @staticmethod
    def update(optimizer, pace, g, state, j):
        square = g * g + optimizer.rho * (state[0, j] - g * g)
        state[0, j] = square
        velocity = 1
        if optimizer.centered:
            mean = g + optimizer.rho * (state[1, j] - g)
            state[1, j] = mean
            square = max(square - mean * mean, cast(0.0, g))
            velocity = 2
        step = pace[0] / (np.sqrt(square) + optimizer.epsilon)
        if optimizer.momentum == 0:
            return -step * g, step
        b = optimizer.momentum * state[velocity, j] + g / (np.sqrt(square) + optimizer.epsilon)
        state[velocity, j] = b
        return -pace[0] * b, step * pace[1]

    @staticmethod
    def length(optimizer, pace, state, j):
        square = state[0, j]
        if optimizer.centered:
            square = max(square - state[1, j] * state[1, j], cast(0.0, square))
        return pace[0] * pace[1] / (np.sqrt(square) + optimizer.epsilon)

    @staticmethod
    def speed(optimizer, slot):
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
    def catch_up(optimizer, penalty, param, slot, rest, c):
        square = faded(slot[0], optimizer.rho, rest.steps)
        mean = faded(slot[1], optimizer.rho, rest.steps)
        return penalties.rest(penalty, param, rest.time), (square, mean)


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
        Whether absent features rest, as above.

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
    rests_on_sparse = True

    @staticmethod
    def paces(optimizer, rates, first):
        # m_hat / (sqrt(v_hat) + eps) = (1 / c1) m sqrt(c2) / (sqrt(v) + sqrt(c2) eps)
        c1 = _correction(optimizer.beta_1, rates, first)
        c2 = np.sqrt(_correction(optimizer.beta_2, rates, first))
        return _columns(rates * c2, c2 * optimizer.epsilon, 1.0 / c1)

    @staticmethod
    def update(optimizer, pace, g, state, j):
        # beta x + (1 - beta) g without a literal 1, which would be float64
        m = g + optimizer.beta_1 * (state[0, j] - g)
        v = g * g + optimizer.beta_2 * (state[1, j] - g * g)
        state[0, j] = m
        state[1, j] = v
        step = pace[0] / (np.sqrt(v) + pace[1])
        return -step * pace[2] * m, step

    @staticmethod
    def length(optimizer, pace, state, j):
        return pace[0] / (np.sqrt(state[1, j]) + pace[1])

    @staticmethod
    def recall(optimizer, state, j):
        return np.float64(state[1, j])

    @staticmethod
    def speed(optimizer, slot):
        return 1.0 / (np.sqrt(slot) + np.float64(optimizer.epsilon))


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
        Whether absent features rest; None is True on sparse data. See ``Adam``.

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
    rests_on_sparse = True
    paces = staticmethod(Adam.paces)
    speed = staticmethod(Adam.speed)

    @staticmethod
    def update(optimizer, pace, g, state, j):
        m = g + optimizer.beta_1 * (state[0, j] - g)
        v = g * g + optimizer.beta_2 * (state[1, j] - g * g)
        u = max(state[2, j], v)
        state[0, j] = m
        state[1, j] = v
        state[2, j] = u
        step = pace[0] / (np.sqrt(u) + pace[1])
        return -step * pace[2] * m, step

    @staticmethod
    def length(optimizer, pace, state, j):
        return pace[0] / (np.sqrt(state[2, j]) + pace[1])

    @staticmethod
    def recall(optimizer, state, j):
        return np.float64(state[2, j])


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
        Whether absent features rest; None is True on sparse data. See ``Adam``.

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
    rests_on_sparse = True
    update = staticmethod(Adam.update)
    length = staticmethod(Adam.length)
    recall = staticmethod(Adam.recall)
    speed = staticmethod(Adam.speed)

    @staticmethod
    def paces(optimizer, rates, first):
        paces = Adam.paces(optimizer, rates, first)
        paces[:, 3] = rates * optimizer.weight_decay
        return paces

    @staticmethod
    def decayed(optimizer, pace, param):
        return param - pace[3] * param


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
        Whether absent features rest; None is True on sparse data. See ``Adam``.

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
    rests_on_sparse = True
    length = staticmethod(Adam.length)
    recall = staticmethod(Adam.recall)
    speed = staticmethod(Adam.speed)

    @staticmethod
    def paces(optimizer, rates, first):
        n = rates.shape[0]
        fades = optimizer.beta_1 == 0 or first * -math.log(optimizer.beta_1) > LONGEST_PRODUCT
        start = first if fades else 1  # the product is of all factors so far, while it matters
        t = np.arange(start, first + n + 1, dtype=np.float64)
        mu = optimizer.beta_1 * (1.0 - 0.5 * 0.96 ** (t * optimizer.momentum_decay))
        with np.errstate(under="ignore"):
            product = np.zeros_like(mu) if fades else np.cumprod(mu)
        of_g = ((1.0 - mu) / (1.0 - product))[-n - 1 : -1]
        of_m = (mu / (1.0 - product))[-n:]
        reply = of_g + of_m * _correction(optimizer.beta_1, rates, first)
        c2 = np.sqrt(_correction(optimizer.beta_2, rates, first))
        return _columns(rates * c2 * reply, c2 * optimizer.epsilon, of_m / reply, of_g / reply)

    @staticmethod
    def update(optimizer, pace, g, state, j):
        m = g + optimizer.beta_1 * (state[0, j] - g)
        v = g * g + optimizer.beta_2 * (state[1, j] - g * g)
        state[0, j] = m
        state[1, j] = v
        step = pace[0] / (np.sqrt(v) + pace[1])
        return -step * (pace[2] * m + pace[3] * g), step


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
        Whether absent features rest; None is True on sparse data. See ``Adam``.

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
    rests_on_sparse = True
    recall = staticmethod(Adam.recall)

    @staticmethod
    def paces(optimizer, rates, first):
        return _columns(rates, 0.0, 1.0 / _correction(optimizer.beta_1, rates, first))

    @staticmethod
    def update(optimizer, pace, g, state, j):
        m = g + optimizer.beta_1 * (state[0, j] - g)
        u = max(optimizer.beta_2 * state[1, j], abs(g) + optimizer.epsilon)
        state[0, j] = m
        state[1, j] = u
        step = pace[0] / u
        return -step * pace[2] * m, step

    @staticmethod
    def length(optimizer, pace, state, j):
        return pace[0] / max(state[1, j], optimizer.epsilon)

    @staticmethod
    def speed(optimizer, slot):
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
        Whether absent features rest; None is True on sparse data. See ``Adam``.

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
    rests_on_sparse = True
    decayed = staticmethod(AdamW.decayed)

    @staticmethod
    def paces(optimizer, rates, first):
        return _columns(rates, 0.0, 0.0, rates * optimizer.weight_decay)

    @staticmethod
    def update(optimizer, pace, g, state, j):
        m = state[0, j]
        ahead = g + optimizer.beta_1 * (m - g)
        state[0, j] = g + optimizer.beta_2 * (m - g)
        zero = cast(0.0, g)
        return (-pace[0] if ahead > zero else (pace[0] if ahead < zero else zero)), pace[0]

    @staticmethod
    def length(optimizer, pace, state, j):
        return pace[0]

    @staticmethod
    def recall(optimizer, state, j):
        return 0.0


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

    @staticmethod
    def paces(optimizer, rates, first):
        return _columns(rates)

    @staticmethod
    def update(optimizer, pace, g, state, j):
        n = state[1, j] + g * g
        state[1, j] = n
        root = optimizer.beta + np.sqrt(n)
        step = pace[0] / root if root > 0 else cast(0.0, g)
        return -step * g, step

    @staticmethod
    def move(optimizer, penalty, pace, param, g, state, c):
        before = np.sqrt(state[1, c])
        time = state[2, c]
        z = state[0, c] if time > 0 else -optimizer.beta * param
        _, step = update(optimizer, pace, g, state, c)
        root = np.sqrt(state[1, c])
        z += pace[0] * g - (root - before) * param
        time += pace[0]
        state[0, c] = z
        state[2, c] = time
        return _leader(
            optimizer, penalty, param, (z, optimizer.beta + root, time), pace[0], c
        ), step

    @staticmethod
    def recall(optimizer, state, j):
        return np.float64(state[0, j]), np.float64(state[1, j]), np.float64(state[2, j])

    @staticmethod
    def keep(optimizer, state, j, slot):
        state[0, j] = slot[0]
        state[2, j] = slot[2]

    @staticmethod
    def catch_up(optimizer, penalty, param, slot, rest, c):
        if rest.steps == 0:
            return param, slot
        z, n, time = slot
        if time == 0:
            z = -optimizer.beta * param
        time += rest.time
        curvature = np.float64(optimizer.beta) + np.sqrt(n)
        after = _leader(optimizer, penalty, param, (z, curvature, time), rest.coast_after, c)
        return after, (z, n, time)


@helper()
def _leader(optimizer, penalty, param, sums, rate, c):
    """Return the coefficient that z, the curvature and the penalty's time ask for."""
    z, curvature, time = sums
    if curvature <= 0:  # no gradient yet, and no beta to hold to anything
        return param
    l1, l2 = rate * optimizer.l1, rate * optimizer.l2
    return penalties.leader(penalty, cast(z, param), (curvature + l2, l1, time), c)


class LazyMoments(NamedTuple):
    """An optimizer in which a coefficient with a gradient of exactly zero keeps its moments.

    Only the penalty and its own decay move such a coefficient, by the step length that its
    moments give. Where both do, a rest of several steps is equal to single steps to second order
    in the decay.

    Notes
    -----
    TensorFlow's LazyAdam and PyTorch's SparseAdam rest likewise; they have no penalty to keep up.
    """

    optimizer: Any

    @property
    def n_slots(self):
        return self.optimizer.n_slots

    @property
    def eta0(self):
        return self.optimizer.eta0

    @staticmethod
    def paces(optimizer, rates, first):
        return optimizer.optimizer.paces(optimizer.optimizer, rates, first)

    @staticmethod
    def update(optimizer, pace, g, state, j):
        if g != 0:
            return update(optimizer.optimizer, pace, g, state, j)
        return cast(0.0, g), length(optimizer.optimizer, pace, state, j)

    @staticmethod
    def decayed(optimizer, pace, param):
        return decayed(optimizer.optimizer, pace, param)

    @staticmethod
    def recall(optimizer, state, j):
        return recall(optimizer.optimizer, state, j)

    @staticmethod
    def keep(optimizer, state, j, slot):
        pass

    @staticmethod
    def speed(optimizer, slot):
        return speed(optimizer.optimizer, slot)

    @staticmethod
    def catch_up(optimizer, penalty, param, slot, rest, c):
        # decay and penalty alternate: half of the one before the other is right to second order
        half = exp(0.5 * (rest.coast_after - rest.coast_before))
        rested = half * penalties.rest(penalty, half * param, rest.time)
        return penalties.proximal(penalty, rested, 0.0, 0.0, c), slot


def _correction(beta, rates, first):
    """Return 1 - beta^t, the share of its moment that an average of t gradients has reached."""
    t = np.arange(first, first + rates.shape[0], dtype=np.float64)
    return -np.expm1(t * math.log(beta)) if beta > 0 else np.ones_like(t)


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


def forward_decays(paces):
    """Return the logarithm of what decay leaves after 0, 1, ... n steps."""
    logs = np.zeros(paces.shape[0] + 1)
    np.cumsum(np.log(np.maximum(1.0 - paces[:, 3], SMALLEST_DECAY)), out=logs[1:])
    return logs


OPTIMIZERS = {
    "sgd": Sgd(),
    "momentum": Momentum(),
    "nesterov": Momentum(nesterov=True),
    "adagrad": Adagrad(),
    "adadelta": Adadelta(),
    "rmsprop": RMSprop(),
    "adam": Adam(),
    "amsgrad": AMSGrad(),
    "adamw": AdamW(),
    "nadam": NAdam(),
    "adamax": Adamax(),
    "lion": Lion(),
    "ftrl": Ftrl(),
}
