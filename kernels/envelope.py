"""Smooth stand-ins of losses with kinks: Moreau envelopes about given derivatives.

The loss is charged at a point t near the raw prediction, and their distance as well:

    e(raw) = min_t  loss(t) + r_old (raw - t) + (raw - t)^2 / (2 mu)

Its derivative is r = loss'(raw - mu (r - r_old)), which is what a dual step solves for; it moves
by at most 1/mu. With r_old = loss'(raw) at the optimum, the envelope's minimum is the loss's own
whatever mu is: so r_old <- r again and again (the method of multipliers, which is the proximal
point method of the dual) finds the exact optimum by smooth problems.

References
----------
.. [1] Rockafellar, "Augmented Lagrangians and Applications of the Proximal Point Algorithm in
   Convex Programming", 1976.
.. [2] Li, Sun & Toh, "A Highly Efficient Semismooth Newton Augmented Lagrangian Method for
   Solving Lasso Problems", 2018.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses
from fastgd.kernels._jit import kernel
from fastgd.kernels.objective import ROWS_IN_CACHE
from fastgd.kernels.rows import margins

# Part of the largest curvature 1/mu that is never gone below: where no row is at a kink, a
# Hessian would know no direction.
LEAST_CURVATURE = 1e-3


class Envelope(NamedTuple):
    """The envelope of a loss; its ``y_true`` is the pair (y, r_old).

    loss : a tag with dual hooks
    smoothing : float, mu > 0, in units of raw squared over the loss's
    """

    loss: NamedTuple
    smoothing: float

    kind = losses.REGRESSION

    @staticmethod
    def value(loss, y_true, raw):
        old, mu = y_true[1], loss.smoothing
        r, _ = losses.dual_step(loss.loss, y_true[0], raw, old, mu)
        near = raw - mu * (r - old)
        return losses.value(loss.loss, y_true[0], near) + 0.5 * mu * (r * r - old * old)

    @staticmethod
    def gradient(loss, y_true, raw):
        r, _ = losses.dual_step(loss.loss, y_true[0], raw, y_true[1], loss.smoothing)
        return r

    @staticmethod
    def curvature(loss, y_true, raw):
        _, slope = losses.dual_step(loss.loss, y_true[0], raw, y_true[1], loss.smoothing)
        return max(slope, LEAST_CURVATURE / loss.smoothing)

    @staticmethod
    def inverse_link(loss, raw):
        return losses.inverse_link(loss.loss, raw)


@kernel(allocates=True)
def renew(rows, y, weight, loss, params, start, stop):
    """Set r_old <- r in rows ``start`` to ``stop``.

    Parameters
    ----------
    rows : Dense or CSR
    y : (n_samples, 2), float64, y and r_old; the second column is changed
    weight : (n_samples,), float64
    loss : Envelope
    params : (n_features + 1,), float64, raw, the intercept last

    Returns
    -------
    value, missed : float
        sum_i s_i loss(raw_i) of the loss itself, and sum_i s_i (loss(raw_i) + loss*(r_i) -
        r_i raw_i), which is what the duality gap has of it.
    """
    order, raw = np.empty(0, np.int64), np.empty(ROWS_IN_CACHE)
    intercept, value, missed = params[params.shape[0] - 1], 0.0, 0.0
    for first in range(start, stop, ROWS_IN_CACHE):
        beyond = min(first + ROWS_IN_CACHE, stop)
        margins(rows, order, first, beyond, params, raw)
        for i in range(first, beyond):
            at, y_true = raw[i - first] + intercept, y[i, 0]
            r, _ = losses.dual_step(loss.loss, y_true, at, y[i, 1], loss.smoothing)
            y[i, 1] = r
            here = losses.value(loss.loss, y_true, at)
            value += weight[i] * here
            pair = here + losses.conjugate(loss.loss, y_true, r)
            missed += weight[i] * max(pair - r * at, 0.0)
    return value, missed
