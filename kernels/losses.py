"""Losses: what one prediction costs, and the derivatives that descend it.

A loss is a ``NamedTuple`` of its hyperparameters with scalar static methods:

``value(loss, y_true, raw)``
    The loss of one sample; ``raw = x @ coef + intercept``, before any link.
``gradient(loss, y_true, raw)``
    The derivative of ``value`` with respect to ``raw``.
``curvature(loss, y_true, raw)``
    The derivative of ``gradient``; a generalised one where that jumps.
``inverse_link(loss, raw)``
    The prediction that ``raw`` stands for.

A loss over many outputs (softmax) has ``value_row``, ``gradient_row`` and ``inverse_link_row``
instead, which take a row of K raw predictions. ``kind`` says what ``y_true`` is and
``negative`` how the negative class of a binary loss is written (1 is the positive one).
Conventions: 1/2 in the squared losses; everything is finite for ``|raw| <= 1e4``.
"""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels._hook import hook
from fastgd.kernels.elementary import exp, log1p

REGRESSION, BINARY, MULTINOMIAL = "regression", "binary", "multinomial"


@hook
def value(loss, y_true, raw):
    """Return the loss of one sample."""
    return type(loss).value(loss, y_true, raw)


@hook
def gradient(loss, y_true, raw):
    """Return the derivative of the loss with respect to ``raw``."""
    return type(loss).gradient(loss, y_true, raw)


@hook
def curvature(loss, y_true, raw):
    """Return the second derivative of the loss with respect to ``raw``."""
    return type(loss).curvature(loss, y_true, raw)


@hook
def inverse_link(loss, raw):
    """Return the prediction that ``raw`` stands for."""
    return type(loss).inverse_link(loss, raw)


@hook
def value_row(loss, y_true, raw):
    """Return the loss of one sample with K raw predictions; ``y_true`` is the class's number."""
    return type(loss).value_row(loss, y_true, raw)


@hook
def gradient_row(loss, y_true, raw, out):
    """Write the K derivatives into ``out`` (which may be ``raw``) and return the loss's value."""
    return type(loss).gradient_row(loss, y_true, raw, out)


@hook
def inverse_link_row(loss, raw, out):
    """Write the K predictions that ``raw`` stands for into ``out`` (which may be ``raw``)."""
    return type(loss).inverse_link_row(loss, raw, out)


class SquaredError(NamedTuple):
    """Half the squared residual: (raw - y)^2 / 2."""

    kind = REGRESSION

    @staticmethod
    def value(loss, y_true, raw):
        return 0.5 * (raw - y_true) * (raw - y_true)

    @staticmethod
    def gradient(loss, y_true, raw):
        return raw - y_true

    @staticmethod
    def curvature(loss, y_true, raw):
        return 1.0

    @staticmethod
    def inverse_link(loss, raw):
        return raw


class Huber(NamedTuple):
    """Quadratic within ``epsilon`` of the target, linear beyond.

    References
    ----------
    .. [1] Huber, "Robust Estimation of a Location Parameter", 1964.
    """

    epsilon: float = 0.1

    kind = REGRESSION

    @staticmethod
    def value(loss, y_true, raw):
        distance = abs(raw - y_true)
        near = min(distance, loss.epsilon)  # the quadratic part; what is beyond it is linear
        return near * (distance - 0.5 * near)

    @staticmethod
    def gradient(loss, y_true, raw):
        return min(max(raw - y_true, -loss.epsilon), loss.epsilon)

    @staticmethod
    def curvature(loss, y_true, raw):
        return 1.0 if abs(raw - y_true) <= loss.epsilon else 0.0

    @staticmethod
    def inverse_link(loss, raw):
        return raw


class EpsilonInsensitive(NamedTuple):
    """Zero within ``epsilon`` of the target, linear beyond: max(0, |raw - y| - epsilon)."""

    epsilon: float = 0.1

    kind = REGRESSION

    @staticmethod
    def value(loss, y_true, raw):
        return max(0.0, abs(raw - y_true) - loss.epsilon)

    @staticmethod
    def gradient(loss, y_true, raw):
        residual = raw - y_true
        return (1.0 if residual > loss.epsilon else 0.0) - (
            1.0 if residual < -loss.epsilon else 0.0
        )

    @staticmethod
    def curvature(loss, y_true, raw):
        return 0.0

    @staticmethod
    def inverse_link(loss, raw):
        return raw


class SquaredEpsilonInsensitive(NamedTuple):
    """Zero within ``epsilon`` of the target, quadratic beyond: max(0, |raw - y| - epsilon)^2."""

    epsilon: float = 0.1

    kind = REGRESSION

    @staticmethod
    def value(loss, y_true, raw):
        excess = max(0.0, abs(raw - y_true) - loss.epsilon)
        return excess * excess

    @staticmethod
    def gradient(loss, y_true, raw):
        residual = raw - y_true
        # one of the two is zero: the excess above the tube, or the one below it
        return 2.0 * (max(0.0, residual - loss.epsilon) - max(0.0, -residual - loss.epsilon))

    @staticmethod
    def curvature(loss, y_true, raw):
        return 2.0 if abs(raw - y_true) > loss.epsilon else 0.0

    @staticmethod
    def inverse_link(loss, raw):
        return raw


class LogLoss(NamedTuple):
    """Logistic loss of a label in {0, 1}: log(1 + e^raw) - y raw.

    Written with e^-|raw|, so that nothing overflows and small losses keep their digits:
    log(1 + e^-|raw|) + max(raw, 0) - y raw.
    """

    kind = BINARY
    negative = 0.0

    @staticmethod
    def value(loss, y_true, raw):
        return log1p(exp(-abs(raw))) + max(raw, 0.0) - y_true * raw

    @staticmethod
    def gradient(loss, y_true, raw):
        e = exp(-abs(raw))
        return (1.0 if raw >= 0.0 else e) / (1.0 + e) - y_true

    @staticmethod
    def curvature(loss, y_true, raw):
        e = exp(-abs(raw))
        return e / ((1.0 + e) * (1.0 + e))

    @staticmethod
    def inverse_link(loss, raw):
        e = exp(-abs(raw))
        return (1.0 if raw >= 0.0 else e) / (1.0 + e)


class Hinge(NamedTuple):
    """Loss of the support vector machine, labels in {-1, 1}: max(0, margin - y raw).

    ``margin`` is 1 for the machine and 0 for the perceptron. At the kink the sub-gradient is -y,
    as in scikit-learn.
    """

    margin: float = 1.0

    kind = BINARY
    negative = -1.0

    @staticmethod
    def value(loss, y_true, raw):
        return max(0.0, loss.margin - y_true * raw)

    @staticmethod
    def gradient(loss, y_true, raw):
        return -y_true if y_true * raw <= loss.margin else 0.0 * y_true

    @staticmethod
    def curvature(loss, y_true, raw):
        return 0.0

    @staticmethod
    def inverse_link(loss, raw):
        return 1.0 if raw > 0.0 else -1.0


class SquaredHinge(NamedTuple):
    """Squared hinge, labels in {-1, 1}: max(0, 1 - y raw)^2."""

    kind = BINARY
    negative = -1.0

    @staticmethod
    def value(loss, y_true, raw):
        excess = max(0.0, 1.0 - y_true * raw)
        return excess * excess

    @staticmethod
    def gradient(loss, y_true, raw):
        return -2.0 * y_true * max(0.0, 1.0 - y_true * raw)

    @staticmethod
    def curvature(loss, y_true, raw):
        return 2.0 if y_true * raw < 1.0 else 0.0

    @staticmethod
    def inverse_link(loss, raw):
        return 1.0 if raw > 0.0 else -1.0


class ModifiedHuber(NamedTuple):
    """Squared hinge made linear below -1, labels in {-1, 1}.

    max(0, 1 - y raw)^2 where y raw >= -1, else -4 y raw. Its probabilities are
    (clip(raw, -1, 1) + 1) / 2.

    References
    ----------
    .. [1] Zhang, "Statistical behavior and consistency of classification methods based on convex
       risk minimization", 2004, section 3.5.
    """

    kind = BINARY
    negative = -1.0

    @staticmethod
    def value(loss, y_true, raw):
        agreement = y_true * raw
        excess = max(0.0, 1.0 - agreement)
        return excess * excess if agreement >= -1.0 else -4.0 * agreement

    @staticmethod
    def gradient(loss, y_true, raw):
        return -2.0 * y_true * min(max(0.0, 1.0 - y_true * raw), 2.0)

    @staticmethod
    def curvature(loss, y_true, raw):
        return 2.0 if abs(y_true * raw) < 1.0 else 0.0

    @staticmethod
    def inverse_link(loss, raw):
        return 0.5 * (min(max(raw, -1.0), 1.0) + 1.0)


class Softmax(NamedTuple):
    """Cross-entropy of K classes: log(sum_k e^raw_k) - raw_y.

    The largest raw prediction is taken off first, so that nothing overflows.
    """

    kind = MULTINOMIAL

    @staticmethod
    def value_row(loss, y_true, raw):
        largest = raw[0]
        for k in range(1, raw.shape[0]):
            largest = max(largest, raw[k])
        total = 0.0
        for k in range(raw.shape[0]):
            total += exp(raw[k] - largest)
        return math.log(total) + np.float64(largest) - np.float64(raw[y_true])

    @staticmethod
    def gradient_row(loss, y_true, raw, out):
        largest = raw[0]
        for k in range(1, raw.shape[0]):
            largest = max(largest, raw[k])
        of_truth = np.float64(raw[y_true]) - np.float64(largest)
        total = 0.0
        for k in range(raw.shape[0]):
            e = exp(raw[k] - largest)
            total += e
            out[k] = e
        scale = 1.0 / total
        for k in range(raw.shape[0]):
            out[k] *= scale
        out[y_true] -= 1.0
        return math.log(total) - of_truth

    @staticmethod
    def inverse_link_row(loss, raw, out):
        largest = raw[0]
        for k in range(1, raw.shape[0]):
            largest = max(largest, raw[k])
        total = 0.0
        for k in range(raw.shape[0]):
            e = exp(raw[k] - largest)
            total += e
            out[k] = e
        for k in range(raw.shape[0]):
            out[k] /= total


# What a constructor's ``loss=`` may say; ``epsilon`` of the constructor fills the field of that
# name. The perceptron is the hinge without a margin.
LOSSES = {
    "squared_error": SquaredError(),
    "huber": Huber(),
    "epsilon_insensitive": EpsilonInsensitive(),
    "squared_epsilon_insensitive": SquaredEpsilonInsensitive(),
    "log_loss": LogLoss(),
    "hinge": Hinge(1.0),
    "perceptron": Hinge(0.0),
    "squared_hinge": SquaredHinge(),
    "modified_huber": ModifiedHuber(),
    "softmax": Softmax(),
}
