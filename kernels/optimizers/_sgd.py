"""Steps along the gradient, or a sum of gradients."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import penalties
from fastgd.kernels._jit import helper
from fastgd.kernels.optimizers._protocol import SAME_LENGTH, VELOCITY, step_columns
from fastgd.kernels.optimizers._skipped import backward_coasts, faded
from fastgd.kernels.rows import entries, entry


class Sgd(NamedTuple):
    """Plain stochastic gradient descent: w <- w - rate g.

    References
    ----------
    .. [1] Robbins & Monro, "A Stochastic Approximation Method", 1951.
    """

    n_slots = 0
    eta0 = 0.01
    follows_rates = True
    skipped_steps = SAME_LENGTH
    side_by_side = True
    is_plain = True
    rate_is_constant = False

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        return step_columns(rates)

    @staticmethod
    def lengths(optimizer, step_coefficients):
        return step_coefficients[:, 0]

    @staticmethod
    def recurrence(optimizer, step_coefficients, strengths):
        left = 1.0 - step_coefficients[:, 0] * strengths
        return np.stack([left, *(np.zeros_like(left),) * 3], axis=1)

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        return -step_coefs[0] * g, step_coefs[0]


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
    follows_rates = True
    skipped_steps = SAME_LENGTH
    side_by_side = True
    is_plain = True
    rate_is_constant = True
    loss_methods = ("value", "gradient")
    step_coefficients = staticmethod(Sgd.step_coefficients)
    lengths = staticmethod(Sgd.lengths)
    update = staticmethod(Sgd.update)

    @staticmethod
    def slope(optimizer, step_coefs, rows, i, value, slope):
        square = _square_of_row(rows, i)
        if optimizer.squared_slack:
            tau = value / (square + 0.5 / step_coefs[0])
        elif square > 0:
            tau = min(np.float64(step_coefs[0]), value / square)
        else:
            tau = 0.0 * value
        # the step multiplies by the rate again
        toward = 1.0 if slope > 0 else (-1.0 if slope < 0 else 0.0)
        return toward * tau / step_coefs[0]


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
    follows_rates = True
    skipped_steps = VELOCITY

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        return step_columns(rates, 1.0 / (1.0 - optimizer.momentum))

    @staticmethod
    def lengths(optimizer, step_coefficients):
        return step_coefficients[:, 0] * step_coefficients[:, 1]

    @staticmethod
    def carries(optimizer, penalty, step_coefficients, times):
        momentum = float(optimizer.momentum)
        reach = step_coefficients[:, 0] * momentum * (momentum if optimizer.nesterov else 1.0)
        out = np.zeros(step_coefficients.shape[0] + 1)
        backward_coasts(penalty, momentum, reach, times, out)
        return out

    @staticmethod
    def recurrence(optimizer, step_coefficients, strengths):
        rates, kept = step_coefficients[:, 0], np.full_like(strengths, optimizer.momentum)
        ahead = strengths * (1.0 + kept) if optimizer.nesterov else strengths
        carried = kept * kept if optimizer.nesterov else kept
        return np.stack([1.0 - rates * ahead, -rates * carried, strengths, kept], axis=1)

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        velocity = optimizer.momentum * state[0, j] + g
        state[0, j] = velocity
        ahead = optimizer.momentum * velocity + g if optimizer.nesterov else velocity
        return -step_coefs[0] * ahead, step_coefs[0] * step_coefs[1]

    @staticmethod
    def recall(optimizer, state, j):
        return np.float64(state[0, j])

    @staticmethod
    def keep(optimizer, state, j, slot):
        state[0, j] = slot

    @staticmethod
    def catch_up(optimizer, penalty, param, slot, skipped, c):
        # The path is a geometric sum of the velocity, shrunk on its way by the (linear) penalty.
        # It is reckoned backward from the span's end: nothing is ever divided by momentum^t.
        left = faded(slot, optimizer.momentum, skipped.steps)
        start = penalties.skip(penalty, param - slot * skipped.carry_before, skipped.time)
        return start + left * skipped.carry_after, left
