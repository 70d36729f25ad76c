"""Deviances of nearly exact fits, to the last digits.

A deviance is a difference of terms. With y = e^s, delta = t - s, a = 2 - p and b = 1 - p it is

    y^a ((e^(a delta) - 1) / a - (e^(b delta) - 1) / b)
        =  y^a sum_{k > 1} (a^(k-1) - b^(k-1)) delta^k / k!

where (e^(0 delta) - 1) / 0 is read as delta: near 0 the series has all digits, and the difference
none. What is left is the rounding of delta, whose square is what matters.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from fastgd._solvers._problem import EPSILON, Floats
from fastgd.kernels import losses

SEEN = 1e-9  # of an objective: where rounding hides less, it is left as it is
NEAR, ORDER = 0.3, 16  # (0.3)^16 / 16! is below the rounding of (0.3)^2 / 2


class Deviance(NamedTuple):
    """The mean of half the deviance, and how far rounding may have moved it."""

    value: float
    rounding: float


def precise_deviance(
    loss: Any, y: Floats, weight: Floats, raw: Floats, farthest: float
) -> Deviance | None:
    """Return the mean of half the deviance of predictions that are near the targets.

    None where a row is beyond what the loss takes as it is.

    Parameters
    ----------
    loss : a spec with ``variance_power``
    y, weight : (n_samples,), targets, and weights that sum to 1
    raw : (n_samples,), predictions
    farthest : float, the size of the terms that a prediction is the sum of
    """
    power = losses.variance_power(loss)
    a, b, t = 2.0 - power, 1.0 - power, raw - loss.level
    if power <= 0.0 or not np.max(np.abs(t), initial=0.0) * max(abs(a), abs(b), 1.0) < loss.reach:
        return None
    is_positive = y > 0.0
    log = np.log(np.where(is_positive, y, 1.0))
    delta, size = t - log, np.exp(a * log)
    with np.errstate(over="ignore", invalid="ignore"):
        apart = _integral(a, delta) - _integral(b, delta)
        is_near = np.abs(delta) * max(abs(a), abs(b)) <= NEAR
        each = size * np.where(is_near, _series(a, b, delta), apart)
        if not np.all(is_positive):
            each[~is_positive] = np.exp(a * t[~is_positive]) / a
    value = float(weight @ np.maximum(each, 0.0))
    moved = 4.0 * EPSILON * (farthest + float(np.max(np.abs(t), initial=0.0)))
    bend = float(weight @ size)  # curvatures near delta = 0
    off = moved * (math.sqrt(2.0 * value * bend) + 0.5 * moved * bend)
    return Deviance(value, EPSILON * value + off)


def rounding_of_bound_by(gradient: Floats, ridge: Floats) -> float:
    """Return what the rounding of slopes of targets near 1 adds to sum_j g_j^2 / (2 ridge_j)."""
    off, known = 4.0 * EPSILON, ridge > 0.0
    more = off * (2.0 * np.abs(gradient[known]) + off) / (2.0 * ridge[known])
    return float(np.sum(more))


def _integral(a: float, delta: Floats) -> Floats:
    """Return the integral of e^(a t) from 0 to delta."""
    found: Floats = np.expm1(a * delta) / a if a != 0.0 else delta
    return found


def _series(a: float, b: float, delta: Floats) -> Floats:
    """Return the difference of both integrals near 0, by Horner's scheme."""
    total = np.zeros_like(delta)
    for k in range(ORDER, 1, -1):
        total = total * delta + (a ** (k - 1) - b ** (k - 1)) / math.factorial(k)
    return total * delta * delta
