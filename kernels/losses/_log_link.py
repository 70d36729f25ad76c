"""Deviances of a mean that is e^raw: Poisson, gamma, Tweedie."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels._jit import kernel
from fastgd.kernels.elementary import exp
from fastgd.kernels.losses._protocol import LOG, NONNEGATIVE, POSITIVE, REGRESSION

EDGE = 60.0  # the largest exponent that losses with a log link take as it is


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
    convex = True
    variance_power = 1.0
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
    convex = True
    variance_power = 2.0
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
    def variance_power(loss):
        return float(loss.power)

    @staticmethod
    def domain(loss):
        if loss.power <= 0:
            return None
        return NONNEGATIVE if loss.power < 2 else POSITIVE

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


@kernel(forceinline=True)
def _exponents(power, edge):
    """Return 2 - p, 1 - p, and the |t| up to which both exponents are taken as they are."""
    p = np.float64(power)
    a, b = 2.0 - p, 1.0 - p
    return a, b, edge / max(abs(a), abs(b))


@kernel(forceinline=True)
def _integral(a, reach, t):
    """Return e^(a t) / a, continued beyond ``reach``; t for a = 0."""
    return growth(a * t, abs(a) * reach) / a if a != 0.0 else np.float64(t)
