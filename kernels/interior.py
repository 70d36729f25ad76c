"""An interior point method for few rows and columns, as one kernel: a step costs arithmetic only.

    min_u  sum_ik max_{low <= r <= high} r (z_i u - at_ik) + 1/2 sum_j ridge_j u_j^2

is what piecewise linear losses and an l2 penalty are, one term k for each breakpoint of a row i. A
residual is p - m with p, m > 0, and its dual variable r keeps the distances above = high - r > 0
and below = r - low > 0. Newton's method follows p above = m below = mu towards mu = 0.

References
----------
.. [1] Mehrotra, "On the Implementation of a Primal-Dual Interior Point Method", 1992.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.newton import ARRIVED, FAILED, USED_UP, add_products, direction, factorise

NEAR_BOUNDARY = 0.9995  # part of the way to it


class Terms(NamedTuple):
    """What is minimised.

    z : (n_samples, P), float64
    at, low, high : (k, n_samples), float64, a term's breakpoint and the ends of its box
    ridge : (P,), float64, > 0
    """

    z: np.ndarray
    at: np.ndarray
    low: np.ndarray
    high: np.ndarray
    ridge: np.ndarray

    @staticmethod
    def add_hessian(columns, place):
        """Add sum_i curvature_i z_i z_i' to the lower triangle."""
        add_products(columns.z, place.curvature, place.hessian)


class Path(NamedTuple):
    """Where the method stands beside its ``Place``; kernels change all of it in place.

    raw : (n_samples,), float64, the predictions
    p, m, above, below, r : (k, n_samples), float64
    up, down : (k, n_samples), float64, by what a step is to change p above and m below
    dp, dm, dr, bend : (k, n_samples), float64, a step, and the terms' part of its matrix
    """

    raw: np.ndarray
    p: np.ndarray
    m: np.ndarray
    above: np.ndarray
    below: np.ndarray
    r: np.ndarray
    up: np.ndarray
    down: np.ndarray
    dp: np.ndarray
    dm: np.ndarray
    dr: np.ndarray
    bend: np.ndarray


@kernel()
def interior_steps(terms, place, path, is_first, reported, enough):
    """Take steps until the proven gap is a small enough part of the objective.

    Parameters
    ----------
    terms : Terms
    place : Place, changed in place
    path : Path, changed in place; a call with the path that was returned goes on
    is_first : bool, whether to look at the point before the first step
    reported : (most, 2), float64, written: objective and proven gap at each point
    enough : float

    Returns
    -------
    status : int, ``ARRIVED``, ``USED_UP``, or ``FAILED`` where there is no step to take
    points : int
    objective, gap : float
    """
    objective, gap = np.inf, np.inf
    for number in range(reported.shape[0]):
        if (number > 0 or not is_first) and not advance(terms, place, path):
            return FAILED, number, objective, gap
        objective, gap = judge(terms, place, path)
        reported[number, 0], reported[number, 1] = objective, gap
        if gap <= enough * objective:
            return ARRIVED, number + 1, objective, gap
    return USED_UP, reported.shape[0], objective, gap


@helper()
def judge(terms, place, path):
    """Return the objective and a proven gap; write predictions, and the gradient as ``before``.

    With a gradient g the penalty's part of the gap is sum_j g_j^2 / (2 ridge_j), and the terms'
    sums up by how much each residual's slope misses the nearest end of its box.
    """
    z, ridge, u = terms.z, terms.ridge, place.u
    for j in range(u.shape[0]):
        place.before[j] = ridge[j] * u[j]
    total, missed = 0.0, 0.0
    for i in range(z.shape[0]):
        raw, slope = 0.0, 0.0
        for j in range(u.shape[0]):
            raw += z[i, j] * u[j]
        path.raw[i] = raw
        for k in range(terms.at.shape[0]):
            residual = raw - terms.at[k, i]
            total += residual * (terms.high[k, i] if residual > 0.0 else terms.low[k, i])
            missed += residual * (path.above[k, i] if residual > 0.0 else -path.below[k, i])
            slope += dual(terms, path, k, i)
        for j in range(u.shape[0]):
            place.before[j] += slope * z[i, j]
    for j in range(u.shape[0]):
        total += 0.5 * ridge[j] * u[j] * u[j]
        missed += 0.5 * place.before[j] * place.before[j] / ridge[j]
    return total, missed


@helper()
def dual(terms, path, k, i):
    """Return a term's dual variable, from the bound that is nearer, or from zero."""
    above, below, r = path.above[k, i], path.below[k, i], path.r[k, i]
    if abs(r) < min(above, below):
        return r
    return terms.low[k, i] + below if below < above else terms.high[k, i] - above


@helper()
def advance(terms, place, path):
    """Take a step, by a predictor and a corrector; return whether it could be taken."""
    n_terms, n = path.p.shape
    before, after = 0.0, 0.0
    for i in range(n):
        place.curvature[i] = 0.0
        for k in range(n_terms):
            above, below = path.above[k, i], path.below[k, i]
            path.bend[k, i] = 1.0 / (path.p[k, i] / above + path.m[k, i] / below)
            place.curvature[i] += path.bend[k, i]
            path.up[k, i], path.down[k, i] = -path.p[k, i] * above, -path.m[k, i] * below
            before -= path.up[k, i] + path.down[k, i]
    if not factorise(terms, place) > 0.0 or not solve(terms, place, path):
        return False
    length = reach(path, 1.0)
    for k in range(n_terms):
        for i in range(n):
            dr = length * path.dr[k, i]
            after += (path.p[k, i] + length * path.dp[k, i]) * (path.above[k, i] - dr)
            after += (path.m[k, i] + length * path.dm[k, i]) * (path.below[k, i] + dr)
    center = (max(after, 0.0) / before) ** 3 * before / (2.0 * n_terms * n)
    for k in range(n_terms):
        for i in range(n):
            dr = path.dr[k, i]
            path.up[k, i] += center + path.dp[k, i] * dr
            path.down[k, i] += center - path.dm[k, i] * dr
    if not solve(terms, place, path):
        return False
    move(place, path, reach(path, NEAR_BOUNDARY))
    return True


@helper()
def solve(terms, place, path):
    """Write the step at which p above changes by ``up``, m below by ``down``; tell if it is finite.

    (ridge + Z'DZ) du = Z'(D shift) - gradient,  dr = D (Z du - shift)
    """
    z, step, size = terms.z, place.step, 0.0
    for j in range(step.shape[0]):
        place.gradient[j] = place.before[j]
    for i in range(z.shape[0]):
        pull = 0.0
        for k in range(path.p.shape[0]):
            path.dr[k, i] = shift_of(terms, path, k, i)
            pull += path.bend[k, i] * path.dr[k, i]
        for j in range(step.shape[0]):
            place.gradient[j] -= pull * z[i, j]
    direction(place)
    for i in range(z.shape[0]):
        moved = 0.0
        for j in range(step.shape[0]):
            moved += z[i, j] * step[j]
        for k in range(path.p.shape[0]):
            dr = path.bend[k, i] * (moved - path.dr[k, i])
            path.dp[k, i] = (path.up[k, i] + path.p[k, i] * dr) / path.above[k, i]
            path.dm[k, i] = (path.down[k, i] - path.m[k, i] * dr) / path.below[k, i]
            path.dr[k, i] = dr
            size += abs(dr) + abs(path.dp[k, i]) + abs(path.dm[k, i])
    return np.isfinite(size)


@helper()
def shift_of(terms, path, k, i):
    """Return what a term's residual is to change by, but for the part of its dual variable."""
    rho = path.p[k, i] - path.m[k, i] - (path.raw[i] - terms.at[k, i])
    return rho + path.up[k, i] / path.above[k, i] - path.down[k, i] / path.below[k, i]


@helper()
def reach(path, share):
    """Return how far a step may go, ``share`` of the way to the nearest boundary at most."""
    length = np.inf
    for k in range(path.p.shape[0]):
        for i in range(path.p.shape[1]):
            dr = path.dr[k, i]
            length = min(length, until(path.p[k, i], path.dp[k, i]))
            length = min(length, until(path.m[k, i], path.dm[k, i]))
            length = min(length, until(path.above[k, i], -dr), until(path.below[k, i], dr))
    return min(share * length, 1.0)


@helper()
def until(x, dx):
    """Return how far x + t dx stays positive."""
    return x / -dx if dx < 0.0 else np.inf


@helper()
def move(place, path, length):
    """Take a part of the step."""
    for j in range(place.u.shape[0]):
        place.u[j] += length * place.step[j]
    for k in range(path.p.shape[0]):
        for i in range(path.p.shape[1]):
            dr = length * path.dr[k, i]
            path.p[k, i] += length * path.dp[k, i]
            path.m[k, i] += length * path.dm[k, i]
            path.above[k, i] -= dr
            path.below[k, i] += dr
            path.r[k, i] += dr
