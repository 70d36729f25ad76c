"""Losses of a residual, raw - y."""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels.elementary import LOG2, exp, expm1, log1p
from fastgd.kernels.losses._protocol import REGRESSION

SMALLEST_Q = 1e-100
NEWTON_LIMIT = 60
LARGEST_SHARE = 1.0 - 2.0**-53  # the last number below 1


class SquaredError(NamedTuple):
    """Half the squared residual: (raw - y)^2 / 2."""

    kind = REGRESSION
    convex = True
    nonnegative = True
    of_residual = True
    quadratic = True
    curvature_bound = 1.0
    degree = 2

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
    convex = True
    nonnegative = True
    of_residual = True
    curvature_bound = 1.0
    jumps = True

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
    convex = True
    nonnegative = True
    of_residual = True
    smooth = False
    degree = 1

    @staticmethod
    def pieces(loss, y_true):
        one = np.ones((1, y_true.shape[0]))
        return y_true[None], -one, one

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
    convex = True
    nonnegative = True
    of_residual = True
    curvature_bound = 1.0

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
    convex = True
    nonnegative = True
    of_residual = True
    smooth = False
    degree = 1

    @staticmethod
    def pieces(loss, y_true):
        zero, one = np.zeros(y_true.shape[0]), np.ones(y_true.shape[0])
        if loss.epsilon == 0.0:
            return y_true[None], -one[None], one[None]
        edges = np.stack([y_true + loss.epsilon, y_true - loss.epsilon])
        return edges, np.stack([zero, -one]), np.stack([one, zero])

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
    convex = True
    nonnegative = True
    of_residual = True
    curvature_bound = 2.0
    jumps = True
    degree = 2

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
    def interval(loss, y_true):
        return y_true - loss.epsilon, y_true + loss.epsilon

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
    convex = True
    nonnegative = True
    of_residual = True
    smooth = False
    degree = 1

    @staticmethod
    def pieces(loss, y_true):
        one = np.ones((1, y_true.shape[0]))
        return y_true[None], -loss.q * one, (1.0 - loss.q) * one

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
