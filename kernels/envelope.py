"""Smooth approximations of non-smooth losses: Moreau envelopes about given derivatives.

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

from fastgd.kernels import losses

# Part of the largest curvature 1/mu that is never gone below: where no row is at a kink, a
# Hessian would know no direction.
LEAST_CURVATURE = 1e-3


class Envelope(NamedTuple):
    """The envelope of a loss; its ``y_true`` is the pair (y, r_old).

    loss : a loss spec with dual hooks
    smoothing : float, mu > 0, in units of raw squared over the loss's
    """

    loss: NamedTuple
    smoothing: float

    kind = losses.REGRESSION
    convex = True

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
