"""Huber's loss and its scale together, as ``newton_steps`` minimises them.

    F(u, sigma) = sigma + sum_i s_i sigma H((y_i - z_i u) / sigma) + sum_j ridge_j u_j^2 / 2

H(t) = c (2 t - c) with c = t clipped at epsilon. F is convex and piecewise smooth: with t_i the
residual over sigma, its Hessian is the sum of 2 s_i / sigma (z_i, t_i) (z_i, t_i)' over the rows
with |t_i| < epsilon. Newton's method thus finds the scale as it finds a coefficient.

References
----------
.. [1] Owen, "A robust hybrid of lasso and ridge regression", 2007, section 3 (joint convexity).
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels.newton import add_products


class Joint(NamedTuple):
    """What is minimised, for ``newton_steps``.

    z : (n_samples, P), float64, written: the last column is t, and the last parameter the scale
    y, weight : (n_samples,), float64
    epsilon : float
    ridge : (P,), float64, 0 last
    least, rounding : float, 0 and how far the losses may be off whatever they are
    """

    z: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    epsilon: float
    ridge: np.ndarray
    least: float
    rounding: float

    @staticmethod
    def add_losses(columns, place):
        """Return the losses and the scale; add their gradient, write t_i and the curvatures.

        No scale is zero or less: there the sum is inf.
        """
        z, u, gradient, epsilon = columns.z, place.u, place.gradient, columns.epsilon
        last = u.shape[0] - 1
        scale = u[last]
        if not scale > 0.0:
            return np.inf
        total = scale
        gradient[last] += 1.0
        for i in range(z.shape[0]):
            raw = 0.0
            for j in range(last):
                raw += z[i, j] * u[j]
            s, t = columns.weight[i], (columns.y[i] - raw) / scale
            c = min(max(t, -epsilon), epsilon)
            total += s * scale * c * (2.0 * t - c)
            slope = -2.0 * s * c
            for j in range(last):
                gradient[j] += slope * z[i, j]
            gradient[last] -= s * c * c
            z[i, last] = t
            place.curvature[i] = 2.0 * s / scale if abs(t) < epsilon else 0.0
        return total

    @staticmethod
    def add_hessian(columns, place):
        """Add sum_i 2 s_i / sigma (z_i, t_i) (z_i, t_i)' to the lower triangle."""
        add_products(columns.z, place.curvature, place.hessian)
