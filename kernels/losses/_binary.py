"""Losses of two classes."""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels.elementary import exp, log1p
from fastgd.kernels.losses._multiclass import Softmax
from fastgd.kernels.losses._protocol import BINARY, LOGIT, gradient
from fastgd.kernels.losses._regression import NEWTON_LIMIT, SMALLEST_Q

TINY = 1e-300  # 0 log 0 = 0


def _sigmoid(raw):
    """Return 1 / (1 + e^-raw) of an array, without overflow on either side."""
    e = np.exp(-np.abs(raw))
    return np.where(raw >= 0, 1, e) / (1 + e)


class LogLoss(NamedTuple):
    """Logistic loss of a label in {0, 1}: log(1 + e^raw) - y raw.

    Written with e^-|raw|, so that nothing overflows and small losses keep their digits:
    log(1 + e^-|raw|) + max(raw, 0) - y raw. So do small derivatives, as (1 - y) p - y (1 - p).
    """

    kind = BINARY
    link = LOGIT
    convex = True
    nonnegative = True
    curvature_bound = 0.25
    negative = 0.0

    @staticmethod
    def of_classes(loss):
        return Softmax()

    @staticmethod
    def probability(loss, raw):
        return _sigmoid(raw)

    @staticmethod
    def value(loss, y_true, raw):
        return log1p(exp(-abs(raw))) + max(raw, 0.0) - y_true * raw

    @staticmethod
    def gradient(loss, y_true, raw):
        e = exp(-abs(raw))
        is_positive = 1.0 if raw >= 0.0 else 0.0
        # (1 - y) - y e or (1 - y) e - y: no branch, which random labels would make a costly one
        return ((is_positive - y_true) + (1.0 - is_positive - y_true) * e) / (1.0 + e)

    @staticmethod
    def slope(loss, y_true, raw):
        return gradient(loss, y_true, raw)  # it is never beyond +-1

    @staticmethod
    def curvature(loss, y_true, raw):
        e = exp(-abs(raw))
        return e / ((1.0 + e) * (1.0 + e))

    @staticmethod
    def conjugate(loss, y_true, dual):
        q = abs(dual)  # for labels of 0 and 1 what p = dual + y misses, with all digits
        rest = math.log1p(-q) if q < 0.5 else math.log(max(1.0 - q, TINY))
        return q * math.log(max(q, TINY)) + (1.0 - q) * rest

    @staticmethod
    def dual_bounds(loss, y_true):
        return -y_true, 1.0 - y_true

    @staticmethod
    def dual_curvature(loss, y_true, dual):
        p = dual + y_true
        return max(p * (1.0 - p), 0.0)

    @staticmethod
    def dual_step(loss, y_true, raw, dual, q):
        # With r = sigma(z) - y, solve z + q sigma(z) = target for z. The left side rises, convex
        # below z = 0 and concave above, so that Newton kept on the solution's side of 0 passes it
        # once at most. Kept between values that differ in sign alone, it may go to and fro.
        target = raw + q * (dual + y_true)
        low, high = target - q, target
        low, high = (low, min(high, 0.0)) if target < 0.5 * q else (max(low, 0.0), high)
        z, r, curvature = min(max(raw, low), high), dual, 0.25
        allowed = 1e-15 * (1.0 + abs(target))
        for _ in range(NEWTON_LIMIT):
            e = exp(-abs(z))
            is_positive = 1.0 if z >= 0.0 else 0.0
            curvature = e / ((1.0 + e) * (1.0 + e))
            r = ((is_positive - y_true) + (1.0 - is_positive - y_true) * e) / (1.0 + e)
            excess = z + q * (r + y_true) - target
            step = excess / (1.0 + q * curvature)
            # 1 % of r's change may be lost: that spares an exp
            is_near = abs(step) <= 0.1 and curvature * abs(step) <= 0.01 * abs(r - dual)
            if is_near or abs(excess) <= allowed:
                break
            z = min(max(z - step, low), high)
        return r, curvature / (1.0 + q * curvature)

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
    convex = True
    nonnegative = True
    smooth = False
    negative = -1.0

    @staticmethod
    def pieces(loss, y_true):
        low = np.where(y_true > 0.0, -1.0, 0.0)[None]
        return (loss.margin * y_true)[None], low, low + 1.0

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
    convex = True
    nonnegative = True
    curvature_bound = 2.0
    jumps = True
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
    def interval(loss, y_true):
        return np.where(y_true > 0.0, y_true, -np.inf), np.where(y_true > 0.0, np.inf, y_true)

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
    convex = True
    nonnegative = True
    curvature_bound = 2.0
    jumps = True
    negative = -1.0

    @staticmethod
    def probability(loss, raw):
        return (np.clip(raw, -1, 1) + 1) / 2

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
    convex = True
    nonnegative = True
    negative = -1.0
    jumps = True

    @staticmethod
    def curvature_bound(loss):
        return 1.0 / loss.smoothing

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
    link = LOGIT
    nonnegative = True
    negative = 0.0
    convex = False

    @staticmethod
    def probability(loss, raw):
        return _sigmoid(raw)

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
    convex = True
    nonnegative = True
    smooth = False
    negative = -1.0

    @staticmethod
    def value(loss, y_true, raw):
        return max(0.0, 1.0 - raw)

    @staticmethod
    def gradient(loss, y_true, raw):
        return -1.0 if raw <= 1.0 else 0.0

    @staticmethod
    def intercept_gradient(loss):
        return loss.nu
