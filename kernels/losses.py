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

Dual solvers (``sdca``) take four more, of the stored derivative r = loss'(raw), the *dual*:

``conjugate(loss, y_true, dual)``
    sup over raw of ``dual * raw - value(raw)``, for a dual within ``dual_bounds``.
``dual_bounds(loss, y_true)``
    The interval of the derivatives, which is where the conjugate is finite.
``dual_curvature(loss, y_true, dual)``
    The curvature at the raw prediction whose derivative is ``dual``; 1 inside a jump.
``dual_step(loss, y_true, raw, dual, q)``
    The solution r of ``r = loss'(raw - q (r - dual))`` and its derivative by ``raw``.

A loss over many outputs (softmax) has ``value_row``, ``gradient_row`` and ``inverse_link_row``
instead, which take a row of K raw predictions.

``kind`` says what ``y_true`` is, and ``negative`` how the negative class of a binary loss is
written (1 is the positive one). A regression loss may also say ``link``: "log" where predictions
are e^raw, nothing where they are ``raw``; ``convex``: False where it is not (a bool, or a function
of the loss), so that no bound is claimed; and ``domain``: "nonnegative" or "positive" where not
every ``y_true`` is allowed. Conventions: 1/2 in the squared losses; everything is finite for
``|raw| <= 1e4``.
"""

import math
from typing import NamedTuple

import numpy as np
from numba.extending import overload

from fastgd.kernels._hook import hook
from fastgd.kernels._jit import INLINED, helper, kernel
from fastgd.kernels.elementary import LOG2, exp, expm1, log1p

REGRESSION, BINARY, MULTINOMIAL = "regression", "binary", "multinomial"
LOG, NONNEGATIVE, POSITIVE = "log", "nonnegative", "positive"
TINY = 1e-300  # 0 log 0 = 0
SMALLEST_Q = 1e-100
NEWTON_LIMIT = 60
LARGEST_SHARE = 1.0 - 2.0**-53  # the last number below 1
EDGE = 60.0  # the largest exponent that losses with a log link take as it is


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
def conjugate(loss, y_true, dual):
    """Return the convex conjugate of the loss."""
    return type(loss).conjugate(loss, y_true, dual)


@hook
def dual_bounds(loss, y_true):
    """Return the least and the largest derivative of the loss."""
    return type(loss).dual_bounds(loss, y_true)


@hook
def dual_curvature(loss, y_true, dual):
    """Return the second derivative of the loss where its first one is ``dual``."""
    return type(loss).dual_curvature(loss, y_true, dual)


@hook
def dual_step(loss, y_true, raw, dual, q):
    """Return r = loss'(raw - q (r - dual)), and its derivative with respect to ``raw``."""
    return type(loss).dual_step(loss, y_true, raw, dual, q)


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


def kind_of(loss):
    """Return the kind of a loss, or of its type to the compiler; a user's own need not say."""
    return getattr(getattr(loss, "instance_class", type(loss)), "kind", REGRESSION)


def pull(loss):
    """Return the constant slope of the objective along the intercept, 0 for most losses."""
    return type(loss).pull(loss) if hasattr(type(loss), "pull") else 0.0


@overload(pull, jit_options=INLINED)
def _pull(loss):
    if hasattr(loss.instance_class, "pull"):
        return loss.instance_class.pull
    return lambda loss: 0.0


def negative(loss):
    """Return how a loss on classes writes the negative one; a regression loss takes -1 and 1."""
    return getattr(type(loss), "negative", -1.0)


@overload(negative, jit_options=INLINED)
def _negative(loss):
    number = float(getattr(loss.instance_class, "negative", -1.0))
    return lambda loss: number


STEEPEST = 1e12  # scikit-learn's bound: a quadratic loss far from its minimum stays finite


@helper()
def slope(loss, y_true, raw):
    """Return ``gradient`` within +-1e12, as stochastic steps use it."""
    return min(max(gradient(loss, y_true, raw), -STEEPEST), STEEPEST)


@kernel()
def predictions(loss, raw, out):
    """Write the predictions that an array of ``raw`` stands for into ``out``."""
    for i in range(raw.shape[0]):
        out[i] = inverse_link(loss, raw[i])


# e^x leaves float32 at x = 89 and float64 at 710; a step too long takes raw further than that. A
# clipped exponential would stay there: its derivative is zero. Its Taylor polynomial of second
# order, e^60 (1 + t + t^2/2), is finite at 1e4 (6e33) and goes on to rise and to bend, so that
# descent and Newton's method come back. Each of the three is the exact derivative of the one above
# it. They are entry points, because plain Python reaches them through the losses.
@kernel(forceinline=True)
def growth(x, edge):
    """Return e^x; beyond ``edge`` its Taylor polynomial of second order at ``edge``."""
    t = max(x - edge, 0.0)
    return exp(min(x, edge)) * (1.0 + t * (1.0 + 0.5 * t))


@kernel(forceinline=True)
def growth_slope(x, edge):
    """Return the derivative of ``growth``."""
    return exp(min(x, edge)) * (1.0 + max(x - edge, 0.0))


@kernel(forceinline=True)
def growth_bend(x, edge):
    """Return the second derivative of ``growth``."""
    return exp(min(x, edge))


def _without_units(loss):
    """Spell out a loss without the fields that solvers set, where they are as they were."""
    plain = type(loss)()
    fields = [
        f"{name}={value!r}"
        for name, value in zip(loss._fields, loss, strict=True)
        if name not in ("level", "reach") or value != getattr(plain, name)
    ]
    return f"{type(loss).__name__}({', '.join(fields)})"


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
    def conjugate(loss, y_true, dual):
        return dual * (0.5 * dual + y_true)

    @staticmethod
    def dual_bounds(loss, y_true):
        return -np.inf, np.inf

    @staticmethod
    def dual_curvature(loss, y_true, dual):
        return 1.0

    @staticmethod
    def dual_step(loss, y_true, raw, dual, q):
        return (raw - y_true + q * dual) / (1.0 + q), 1.0 / (1.0 + q)

    @staticmethod
    def inverse_link(loss, raw):
        return raw


class Huber(NamedTuple):
    """Quadratic within ``epsilon`` of the target, linear beyond.

    Parameters
    ----------
    epsilon : float, default=0.1
        Where it turns from quadratic to linear, >= 0.

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
    def conjugate(loss, y_true, dual):
        return dual * (0.5 * dual + y_true)

    @staticmethod
    def dual_bounds(loss, y_true):
        return -loss.epsilon, loss.epsilon

    @staticmethod
    def dual_curvature(loss, y_true, dual):
        return 1.0 if abs(dual) < loss.epsilon else 0.0

    @staticmethod
    def dual_step(loss, y_true, raw, dual, q):
        free = (raw - y_true + q * dual) / (1.0 + q)
        slope = 1.0 / (1.0 + q) if abs(free) < loss.epsilon else 0.0
        return min(max(free, -loss.epsilon), loss.epsilon), slope

    @staticmethod
    def inverse_link(loss, raw):
        return raw


class AbsoluteError(NamedTuple):
    """The absolute residual: |raw - y|, whose minimum is the median.

    It is 2 ``Quantile(0.5)``: a scale that matters beside a penalty. At the kink the sub-gradient
    is 0: a row that is met exactly does not move anything.
    """

    kind = REGRESSION

    @staticmethod
    def value(loss, y_true, raw):
        return abs(raw - y_true)

    @staticmethod
    def gradient(loss, y_true, raw):
        return (1.0 if raw > y_true else 0.0) - (1.0 if raw < y_true else 0.0)

    @staticmethod
    def curvature(loss, y_true, raw):
        return 0.0

    @staticmethod
    def conjugate(loss, y_true, dual):
        return dual * y_true

    @staticmethod
    def dual_bounds(loss, y_true):
        return -1.0, 1.0

    @staticmethod
    def dual_curvature(loss, y_true, dual):
        return 1.0 if abs(dual) < 1.0 else 0.0

    @staticmethod
    def dual_step(loss, y_true, raw, dual, q):
        # between its bounds r holds raw at the kink; q = 0 (a row of zeros) has no such r
        q = max(q, SMALLEST_Q)
        free = dual + (raw - y_true) / q
        return min(max(free, -1.0), 1.0), 1.0 / q if abs(free) < 1.0 else 0.0

    @staticmethod
    def inverse_link(loss, raw):
        return raw


class LogCosh(NamedTuple):
    """s^2 log cosh((raw - y) / s), s = ``scale``: quadratic near the target, linear far from it.

    A Huber loss without corners: (raw - y)^2 / 2 for residuals much smaller than s, and
    s |raw - y| - s^2 log 2 for much larger ones. Its slope is s tanh((raw - y) / s).

    Parameters
    ----------
    scale : float, default=1.0
        Residual about which it turns from quadratic to linear, > 0.

    Notes
    -----
    Two forms of log cosh z, because each cancels where the other does not: log(1 + sinh(z)^2) / 2
    near zero, |z| + log(1 + e^-2|z|) - log 2 beyond.

    References
    ----------
    .. [1] Green, "Bayesian Reconstructions From Emission Tomography Data Using a Modified EM
       Algorithm", 1990, where log cosh is a potential.
    """

    scale: float = 1.0

    kind = REGRESSION

    @staticmethod
    def value(loss, y_true, raw):
        distance = abs(raw - y_true) / loss.scale
        shrunk = expm1(-distance)  # of e^-z
        e = 1.0 + shrunk
        is_near = distance < 0.75  # sinh(0.75)^2 < 1, which is how far log1p goes
        sinh = -0.5 * shrunk * (2.0 + shrunk) / max(e, 0.25)
        tail = log1p(sinh * sinh if is_near else e * e)
        softened = 0.5 * tail if is_near else distance + tail - LOG2
        return loss.scale * loss.scale * softened

    @staticmethod
    def gradient(loss, y_true, raw):
        residual = raw - y_true
        shrunk = expm1(-2.0 * abs(residual) / loss.scale)
        tanh = -shrunk / (2.0 + shrunk)
        return loss.scale * (tanh if residual >= 0.0 else -tanh)

    @staticmethod
    def curvature(loss, y_true, raw):
        e = exp(-2.0 * abs(raw - y_true) / loss.scale)
        return 4.0 * e / ((1.0 + e) * (1.0 + e))

    @staticmethod
    def conjugate(loss, y_true, dual):
        share = min(abs(dual) / loss.scale, LARGEST_SHARE)
        entropy = (1.0 + share) * math.log1p(share) + (1.0 - share) * math.log1p(-share)
        return dual * y_true + 0.5 * loss.scale * loss.scale * entropy

    @staticmethod
    def dual_bounds(loss, y_true):
        return -loss.scale, loss.scale

    @staticmethod
    def dual_curvature(loss, y_true, dual):
        share = dual / loss.scale
        return max((1.0 - share) * (1.0 + share), 0.0)

    @staticmethod
    def dual_step(loss, y_true, raw, dual, q):
        # With r = s tanh(z), solve z + q tanh(z) = target for z, by its sign for z >= 0. There the
        # left side is concave and rises, so Newton from below climbs to the solution and never
        # passes it; tanh(z) <= min(z, 1) gives two points below.
        target = (raw - y_true + q * dual) / loss.scale
        goal = abs(target)
        z = max(goal / (1.0 + q), goal - q)
        tanh, bend = 0.0, 1.0
        for _ in range(NEWTON_LIMIT):
            shrunk = expm1(-2.0 * z)
            tanh = -shrunk / (2.0 + shrunk)
            bend = 4.0 * (1.0 + shrunk) / ((2.0 + shrunk) * (2.0 + shrunk))
            excess = z + q * tanh - goal
            if excess >= -1e-15 * (1.0 + goal):
                break
            z -= excess / (1.0 + q * bend)
        r = loss.scale * (tanh if target >= 0.0 else -tanh)
        return r, bend / (1.0 + q * bend)

    @staticmethod
    def inverse_link(loss, raw):
        return raw


class EpsilonInsensitive(NamedTuple):
    """Zero within ``epsilon`` of the target, linear beyond: max(0, |raw - y| - epsilon).

    Parameters
    ----------
    epsilon : float, default=0.1
        How far a prediction may be off for nothing, >= 0.
    """

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
    def conjugate(loss, y_true, dual):
        return dual * y_true + loss.epsilon * abs(dual)

    @staticmethod
    def dual_bounds(loss, y_true):
        return -1.0, 1.0

    @staticmethod
    def dual_curvature(loss, y_true, dual):
        return 1.0 if dual != 0.0 and abs(dual) < 1.0 else 0.0

    @staticmethod
    def dual_step(loss, y_true, raw, dual, q):
        # |r| < 1 holds raw at the tube's edge; q = 0 (a row of zeros) has no such r
        q = max(q, SMALLEST_Q)
        residual = raw - y_true + q * dual
        free = (max(residual - loss.epsilon, 0.0) + min(residual + loss.epsilon, 0.0)) / q
        slope = 1.0 / q if free != 0.0 and abs(free) < 1.0 else 0.0
        return min(max(free, -1.0), 1.0), slope

    @staticmethod
    def inverse_link(loss, raw):
        return raw


class SquaredEpsilonInsensitive(NamedTuple):
    """Zero within ``epsilon`` of the target, quadratic beyond: max(0, |raw - y| - epsilon)^2.

    Parameters
    ----------
    epsilon : float, default=0.1
        How far a prediction may be off for nothing, >= 0.
    """

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
    def conjugate(loss, y_true, dual):
        return dual * (0.25 * dual + y_true) + loss.epsilon * abs(dual)

    @staticmethod
    def dual_bounds(loss, y_true):
        return -np.inf, np.inf

    @staticmethod
    def dual_curvature(loss, y_true, dual):
        return 2.0 if dual != 0.0 else 0.0

    @staticmethod
    def dual_step(loss, y_true, raw, dual, q):
        residual = raw - y_true + q * dual
        excess = max(residual - loss.epsilon, 0.0) + min(residual + loss.epsilon, 0.0)
        return 2.0 * excess / (1.0 + 2.0 * q), 2.0 / (1.0 + 2.0 * q) if excess != 0.0 else 0.0

    @staticmethod
    def inverse_link(loss, raw):
        return raw


class Quantile(NamedTuple):
    """Pinball loss of the quantile ``q``, 0 < q < 1: q max(y - raw, 0) + (1 - q) max(raw - y, 0).

    q = 1/2 is half the absolute error. At the kink the sub-gradient is 0: a row that is met
    exactly does not move anything.

    Parameters
    ----------
    q : float, default=0.5
        Which quantile, in (0, 1).

    References
    ----------
    .. [1] Koenker & Bassett, "Regression Quantiles", 1978.
    """

    q: float = 0.5

    kind = REGRESSION

    @staticmethod
    def value(loss, y_true, raw):
        return loss.q * max(y_true - raw, 0.0) + (1.0 - loss.q) * max(raw - y_true, 0.0)

    @staticmethod
    def gradient(loss, y_true, raw):
        return (1.0 - loss.q if raw > y_true else 0.0) - (loss.q if raw < y_true else 0.0)

    @staticmethod
    def curvature(loss, y_true, raw):
        return 0.0

    @staticmethod
    def conjugate(loss, y_true, dual):
        return dual * y_true

    @staticmethod
    def dual_bounds(loss, y_true):
        return -loss.q, 1.0 - loss.q

    @staticmethod
    def dual_curvature(loss, y_true, dual):
        return 1.0 if -loss.q < dual < 1.0 - loss.q else 0.0

    @staticmethod
    def dual_step(loss, y_true, raw, dual, q):
        # between its bounds r holds raw at the kink; q = 0 (a row of zeros) has no such r
        q = max(q, SMALLEST_Q)
        free = dual + (raw - y_true) / q
        slope = 1.0 / q if -loss.q < free < 1.0 - loss.q else 0.0
        return min(max(free, -loss.q), 1.0 - loss.q), slope

    @staticmethod
    def inverse_link(loss, raw):
        return raw


class Poisson(NamedTuple):
    """Half the Poisson deviance of y >= 0 from e^t, t = raw - level, without what y alone adds:

        e^t - y t

    Beyond t = ``reach`` e^t is ``growth``.

    Parameters
    ----------
    level : float, default=0.0
        Where raw predictions are counted from: y is in units of e^level.
    reach : float, default=60.0
        The largest exponent that is taken as it is, > 0.

    References
    ----------
    .. [1] McCullagh & Nelder, "Generalized Linear Models", 1989, chapter 6.
    """

    level: float = 0.0
    reach: float = EDGE

    kind = REGRESSION
    link = LOG

    def __repr__(self):
        return _without_units(self)

    domain = NONNEGATIVE

    @staticmethod
    def value(loss, y_true, raw):
        t = raw - loss.level
        return growth(t, loss.reach) - y_true * t

    @staticmethod
    def gradient(loss, y_true, raw):
        return growth_slope(raw - loss.level, loss.reach) - y_true

    @staticmethod
    def curvature(loss, y_true, raw):
        return growth_bend(raw - loss.level, loss.reach)

    @staticmethod
    def inverse_link(loss, raw):
        return growth(raw - loss.level, loss.reach)


class Gamma(NamedTuple):
    """Half the gamma deviance of y > 0 from e^t, t = raw - level, without what y alone adds:

        y e^-t + t

    Below t = -``reach`` e^-t is ``growth``.

    Parameters
    ----------
    level : float, default=0.0
        Where raw predictions are counted from: y is in units of e^level.
    reach : float, default=60.0
        The largest exponent that is taken as it is, > 0.

    References
    ----------
    .. [1] McCullagh & Nelder, "Generalized Linear Models", 1989, chapter 8.
    """

    level: float = 0.0
    reach: float = EDGE

    kind = REGRESSION
    link = LOG

    def __repr__(self):
        return _without_units(self)

    domain = POSITIVE

    @staticmethod
    def value(loss, y_true, raw):
        t = raw - loss.level
        return y_true * growth(-t, loss.reach) + t

    @staticmethod
    def gradient(loss, y_true, raw):
        return 1.0 - y_true * growth_slope(loss.level - raw, loss.reach)

    @staticmethod
    def curvature(loss, y_true, raw):
        return y_true * growth_bend(loss.level - raw, loss.reach)

    @staticmethod
    def inverse_link(loss, raw):
        return growth(raw - loss.level, loss.reach)


class Tweedie(NamedTuple):
    """Half the Tweedie deviance of y from e^t, t = raw - level, without what y alone adds:

        e^((2 - p) t) / (2 - p) - y e^((1 - p) t) / (1 - p)

    where p = ``power`` and e^(0 t) / 0 is read as t. p <= 0 or p >= 1: 0 is half the squared error
    (its y^2/2 is kept), 1 is ``Poisson``, 2 is ``Gamma``. y is any number for p <= 0, >= 0 below 2,
    and > 0 from 2 on. Convex for 1 <= p <= 2 only: outside, the curvature is negative at some t.

    Both terms become ``growth`` at the same t, where the larger exponent is ``reach``. Each at its
    own, the one to be subtracted would overtake the other, and a raw far out be sent further.

    Parameters
    ----------
    power : float, default=1.5
        Of the mean, in the variance: <= 0 or >= 1.
    level : float, default=0.0
        Where raw predictions are counted from: y is in units of e^level.
    reach : float, default=60.0
        The largest exponent that is taken as it is, > 0.

    References
    ----------
    .. [1] Jorgensen, "Exponential Dispersion Models", 1987.
    """

    power: float = 1.5
    level: float = 0.0
    reach: float = EDGE

    kind = REGRESSION
    link = LOG

    def __repr__(self):
        return _without_units(self)

    @staticmethod
    def convex(loss):
        return loss.power == 0.0 or 1.0 <= loss.power <= 2.0

    @staticmethod
    def value(loss, y_true, raw):
        a, b, reach = _exponents(loss.power, loss.reach)
        t = raw - loss.level
        constant = 0.5 * y_true * y_true if loss.power == 0.0 else 0.0
        return _integral(a, reach, t) - y_true * _integral(b, reach, t) + constant

    @staticmethod
    def gradient(loss, y_true, raw):
        a, b, reach = _exponents(loss.power, loss.reach)
        t = raw - loss.level
        minuend = growth_slope(a * t, abs(a) * reach)
        return minuend - y_true * growth_slope(b * t, abs(b) * reach)

    @staticmethod
    def curvature(loss, y_true, raw):
        a, b, reach = _exponents(loss.power, loss.reach)
        t = raw - loss.level
        minuend = a * growth_bend(a * t, abs(a) * reach)
        return minuend - y_true * b * growth_bend(b * t, abs(b) * reach)

    @staticmethod
    def inverse_link(loss, raw):
        return growth(raw - loss.level, loss.reach)


@kernel()
def _exponents(power, edge):
    """Return 2 - p, 1 - p, and the |t| up to which both exponents are taken as they are."""
    p = np.float64(power)
    a, b = 2.0 - p, 1.0 - p
    return a, b, edge / max(abs(a), abs(b))


@kernel()
def _integral(a, reach, t):
    """Return e^(a t) / a, continued beyond ``reach``; t for a = 0."""
    return growth(a * t, abs(a) * reach) / a if a != 0.0 else np.float64(t)


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
    def conjugate(loss, y_true, dual):
        p = dual + y_true
        return p * math.log(max(p, TINY)) + (1.0 - p) * math.log(max(1.0 - p, TINY))

    @staticmethod
    def dual_bounds(loss, y_true):
        return -y_true, 1.0 - y_true

    @staticmethod
    def dual_curvature(loss, y_true, dual):
        p = dual + y_true
        return max(p * (1.0 - p), 0.0)

    @staticmethod
    def dual_step(loss, y_true, raw, dual, q):
        # With r = sigma(z) - y, solve z + q sigma(z) = target for z: monotone with a slope between
        # 1 and 1 + q/4, so Newton inside the bracket [target - q, target], and its middle where
        # a step would leave that (it does from q near 10 on).
        target = raw + q * (dual + y_true)
        low, high = target - q, target
        z, first = min(max(raw, low), high), True
        allowed = 1e-15 * (1.0 + abs(target))
        p, curvature = 0.5, 0.25
        for _ in range(NEWTON_LIMIT):
            e = exp(-abs(z))
            p = (1.0 if z >= 0.0 else e) / (1.0 + e)
            curvature = e / ((1.0 + e) * (1.0 + e))
            excess = z + q * p - target
            if abs(excess) <= allowed:
                break
            if first:  # 1 % of the step may be lost: that spares a third exp
                allowed, first = max(allowed, 0.01 * abs(excess)), False
            low, high = (low, z) if excess > 0.0 else (z, high)
            z -= excess / (1.0 + q * curvature)
            if not low <= z <= high:
                z = 0.5 * (low + high)
        return p - y_true, curvature / (1.0 + q * curvature)

    @staticmethod
    def inverse_link(loss, raw):
        e = exp(-abs(raw))
        return (1.0 if raw >= 0.0 else e) / (1.0 + e)


class Hinge(NamedTuple):
    """Loss of the support vector machine, labels in {-1, 1}: max(0, margin - y raw).

    ``margin`` is 1 for the machine and 0 for the perceptron. At the kink the sub-gradient is -y,
    as in scikit-learn.

    Parameters
    ----------
    margin : float, default=1.0
        The y raw from which on a row costs nothing.
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
    def conjugate(loss, y_true, dual):
        return loss.margin * y_true * dual

    @staticmethod
    def dual_bounds(loss, y_true):
        return min(-y_true, 0.0), max(-y_true, 0.0)

    @staticmethod
    def dual_curvature(loss, y_true, dual):
        return 1.0 if -1.0 < y_true * dual < 0.0 else 0.0

    @staticmethod
    def dual_step(loss, y_true, raw, dual, q):
        # between its bounds r holds raw at the kink; q = 0 (a row of zeros) has no such r
        q = max(q, SMALLEST_Q)
        free = y_true * dual + (y_true * raw - loss.margin) / q
        return y_true * min(max(free, -1.0), 0.0), 1.0 / q if -1.0 < free < 0.0 else 0.0

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
    def conjugate(loss, y_true, dual):
        return dual * (0.25 * dual + y_true)

    @staticmethod
    def dual_bounds(loss, y_true):
        return -np.inf if y_true > 0.0 else 0.0, 0.0 if y_true > 0.0 else np.inf

    @staticmethod
    def dual_curvature(loss, y_true, dual):
        return 2.0 if dual != 0.0 else 0.0

    @staticmethod
    def dual_step(loss, y_true, raw, dual, q):
        free = 2.0 * (y_true * (raw + q * dual) - 1.0) / (1.0 + 2.0 * q)
        return y_true * min(free, 0.0), 2.0 / (1.0 + 2.0 * q) if free < 0.0 else 0.0

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
    def conjugate(loss, y_true, dual):
        return dual * (0.25 * dual + y_true)

    @staticmethod
    def dual_bounds(loss, y_true):
        return min(-4.0 * y_true, 0.0), max(-4.0 * y_true, 0.0)

    @staticmethod
    def dual_curvature(loss, y_true, dual):
        return 2.0 if -4.0 < y_true * dual < 0.0 else 0.0

    @staticmethod
    def dual_step(loss, y_true, raw, dual, q):
        free = 2.0 * (y_true * (raw + q * dual) - 1.0) / (1.0 + 2.0 * q)
        slope = 2.0 / (1.0 + 2.0 * q) if -4.0 < free < 0.0 else 0.0
        return y_true * min(max(free, -4.0), 0.0), slope

    @staticmethod
    def inverse_link(loss, raw):
        return 0.5 * (min(max(raw, -1.0), 1.0) + 1.0)


class SmoothHinge(NamedTuple):
    """The hinge with a parabola in place of its kink, labels in {-1, 1}; g = ``smoothing``:

        0 for z >= 1,   (1 - z)^2 / (2 g) for 1 - g < z < 1,   1 - z - g/2 below;   z = y raw

    g = 1 is Rennie and Srebro's; it is the Moreau envelope of the hinge, and tends to it with g.

    Parameters
    ----------
    smoothing : float, default=1.0
        Width of the parabola, > 0.

    References
    ----------
    .. [1] Rennie & Srebro, "Loss Functions for Preference Levels: Regression with Discrete Ordered
       Labels", 2005.
    .. [2] Shalev-Shwartz & Zhang, "Stochastic Dual Coordinate Ascent Methods for Regularized Loss
       Minimization", 2013, for other g.
    """

    smoothing: float = 1.0

    kind = BINARY
    negative = -1.0

    @staticmethod
    def value(loss, y_true, raw):
        excess = max(0.0, 1.0 - y_true * raw)
        near = min(excess, loss.smoothing)  # the quadratic part; what is beyond it is linear
        return near * (excess - 0.5 * near) / loss.smoothing

    @staticmethod
    def gradient(loss, y_true, raw):
        return -y_true * min(max(0.0, 1.0 - y_true * raw) / loss.smoothing, 1.0)

    @staticmethod
    def curvature(loss, y_true, raw):
        return 1.0 / loss.smoothing if 0.0 < 1.0 - y_true * raw < loss.smoothing else 0.0

    @staticmethod
    def conjugate(loss, y_true, dual):
        return dual * (0.5 * loss.smoothing * dual + y_true)

    @staticmethod
    def dual_bounds(loss, y_true):
        return min(-y_true, 0.0), max(-y_true, 0.0)

    @staticmethod
    def dual_curvature(loss, y_true, dual):
        return 1.0 / loss.smoothing if -1.0 < y_true * dual < 0.0 else 0.0

    @staticmethod
    def dual_step(loss, y_true, raw, dual, q):
        free = (y_true * (raw + q * dual) - 1.0) / (loss.smoothing + q)
        slope = 1.0 / (loss.smoothing + q) if -1.0 < free < 0.0 else 0.0
        return y_true * min(max(free, -1.0), 0.0), slope

    @staticmethod
    def inverse_link(loss, raw):
        return 1.0 if raw > 0.0 else -1.0


class Focal(NamedTuple):
    """Logistic loss of a label in {0, 1} that counts what is already right less: -n^g log p,

    where p = sigma(raw) if y = 1 else sigma(-raw) is the label's probability, n = 1 - p, and
    g = ``gamma`` >= 0; 0 is ``LogLoss``. The paper's balance alpha is a weight of the classes. With
    z = raw if y = 1 else -raw and L = -log p:

        d/dz   = -n^g (g p L + n)
        d2/dz2 = n^g p (g L (g p - n) + (2 g + 1) n)

    Not convex for g > 0: the curvature is negative far on the wrong side (z < -2.8 for g = 2).
    It has no dual, and sigma(raw) is no calibrated probability.

    Parameters
    ----------
    gamma : float, default=2.0
        How much less a row counts that is right already, >= 0.

    Notes
    -----
    log n = -log(1 + e^z), so that n^g = exp(g log n) keeps its digits where p is close to 1.

    References
    ----------
    .. [1] Lin, Goyal, Girshick, He & Dollar, "Focal Loss for Dense Object Detection", 2017,
       equation 4 and appendix B. arXiv:1708.02002
    .. [2] Charoenphakdee, Vongkulbhisal, Chairatanakul & Sugiyama, "On Focal Loss for
       Class-Posterior Probability Estimation", 2021, for what is not calibrated. arXiv:2011.09172
    """

    gamma: float = 2.0

    kind = BINARY
    negative = 0.0
    convex = False

    @staticmethod
    def value(loss, y_true, raw):
        z = raw if y_true > 0.5 else -raw
        tail = log1p(exp(-abs(z)))
        return exp(-loss.gamma * (tail + max(z, 0.0))) * (tail + max(-z, 0.0))

    @staticmethod
    def gradient(loss, y_true, raw):
        z = raw if y_true > 0.5 else -raw
        e = exp(-abs(z))
        tail = log1p(e)
        p, n = (1.0 if z >= 0.0 else e) / (1.0 + e), (e if z >= 0.0 else 1.0) / (1.0 + e)
        down = exp(-loss.gamma * (tail + max(z, 0.0)))
        down *= loss.gamma * p * (tail + max(-z, 0.0)) + n
        return -down if y_true > 0.5 else down

    @staticmethod
    def curvature(loss, y_true, raw):
        z = raw if y_true > 0.5 else -raw
        e = exp(-abs(z))
        tail = log1p(e)
        p, n = (1.0 if z >= 0.0 else e) / (1.0 + e), (e if z >= 0.0 else 1.0) / (1.0 + e)
        g, cost = loss.gamma, tail + max(-z, 0.0)
        modulation = exp(-g * (tail + max(z, 0.0)))
        return modulation * p * (g * cost * (g * p - n) + (2.0 * g + 1.0) * n)

    @staticmethod
    def inverse_link(loss, raw):
        e = exp(-abs(raw))
        return (1.0 if raw >= 0.0 else e) / (1.0 + e)


class OneClass(NamedTuple):
    """The one-class SVM's loss of a row, and its pull on the intercept b = 1 - offset.

    nu b + mean_i max(0, 1 - raw_i), where raw = x @ coef + b; y_true is not used.

    References
    ----------
    .. [1] Schoelkopf, Platt, Shawe-Taylor, Smola & Williamson, "Estimating the Support of a
       High-Dimensional Distribution", 2001, equation 3.4, times nu, with rho = 1 - b.
    """

    nu: float = 0.5

    kind = BINARY
    negative = -1.0

    @staticmethod
    def value(loss, y_true, raw):
        return max(0.0, 1.0 - raw)

    @staticmethod
    def gradient(loss, y_true, raw):
        return -1.0 if raw <= 1.0 else 0.0

    @staticmethod
    def pull(loss):
        return loss.nu


class Softmax(NamedTuple):
    """Cross-entropy of K classes: log(sum_k e^raw_k) - sum_k t_k raw_k.

    The target t is 1 for the true class; with e = ``label_smoothing``, 0 <= e < 1, it is 1 - e
    there and e / K are added to all classes, the true one included [1]_, as in PyTorch. The
    solvers without a learning rate know e = 0 only.

    The largest raw prediction is taken off first, so that nothing overflows.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share of the target that all classes have alike, in [0, 1).

    References
    ----------
    .. [1] Szegedy, Vanhoucke, Ioffe, Shlens & Wojna, "Rethinking the Inception Architecture for
       Computer Vision", 2016, section 7. arXiv:1512.00567
    """

    label_smoothing: float = 0.0

    kind = MULTINOMIAL

    @staticmethod
    def value_row(loss, y_true, raw):
        largest = raw[0]
        for k in range(1, raw.shape[0]):
            largest = max(largest, raw[k])
        total = 0.0
        for k in range(raw.shape[0]):
            total += exp(raw[k] - largest)
        of_truth = np.float64(raw[y_true]) - np.float64(largest)
        if loss.label_smoothing > 0.0:
            of_truth += loss.label_smoothing * _mean_beyond(raw, raw[y_true])
        return math.log(total) - of_truth

    @staticmethod
    def gradient_row(loss, y_true, raw, out):
        largest = raw[0]
        for k in range(1, raw.shape[0]):
            largest = max(largest, raw[k])
        of_truth = np.float64(raw[y_true]) - np.float64(largest)
        if loss.label_smoothing > 0.0:
            of_truth += loss.label_smoothing * _mean_beyond(raw, raw[y_true])
        total = 0.0
        for k in range(raw.shape[0]):
            e = exp(raw[k] - largest)
            total += e
            out[k] = e
        scale = 1.0 / total
        for k in range(raw.shape[0]):
            out[k] *= scale
        out[y_true] -= 1.0
        if loss.label_smoothing > 0.0:
            share = loss.label_smoothing / raw.shape[0]
            out[y_true] += loss.label_smoothing
            for k in range(raw.shape[0]):
                out[k] -= share
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


@kernel()
def _mean_beyond(raw, origin):
    """Return the mean of raw_k - origin."""
    total = 0.0
    for k in range(raw.shape[0]):
        total += np.float64(raw[k]) - np.float64(origin)
    return total / raw.shape[0]


# What a constructor's ``loss=`` may say; ``epsilon`` of the constructor fills the field of that
# name, other fields are given by an object. The perceptron is the hinge without a margin.
LOSSES = {
    "squared_error": SquaredError(),
    "absolute_error": AbsoluteError(),
    "huber": Huber(),
    "log_cosh": LogCosh(),
    "epsilon_insensitive": EpsilonInsensitive(),
    "squared_epsilon_insensitive": SquaredEpsilonInsensitive(),
    "quantile": Quantile(),
    "poisson": Poisson(),
    "gamma": Gamma(),
    "tweedie": Tweedie(),
    "log_loss": LogLoss(),
    "hinge": Hinge(1.0),
    "perceptron": Hinge(0.0),
    "squared_hinge": SquaredHinge(),
    "smooth_hinge": SmoothHinge(),
    "modified_huber": ModifiedHuber(),
    "focal": Focal(),
    "softmax": Softmax(),
}

Loss = NamedTuple  # any tag of the form that the module's docstring describes
