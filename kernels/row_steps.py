"""What Newton's method in the rows does row by row; see ``fastgd._solvers._newton_rows``."""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses
from fastgd.kernels._jit import helper, kernel

STEEP = 0.1  # of a ray's slope at its beginning: what is left where it is long enough
LONGEST, MOST_TRIES = 100.0, 20  # times Newton's step; places of a ray
MOST_PRODUCTS = 30  # of a step


class System(NamedTuple):
    """What Newton's step in the rows solves with.

    rows : (n, n) or (n, n_features), float32 or float64, K or centred rows Z with K = Z Z'
    is_matrix : bool, whether it is K
    bends : (n,), float64, the diagonal of W
    unit : float, the square of what an intercept is measured by; 0 without one
    l2 : float
    """

    rows: np.ndarray
    is_matrix: bool
    bends: np.ndarray
    unit: float
    l2: float


@kernel()
def losses_of_rows(y, weight, loss, raw, slopes, curvature):
    """Return sum_i s_i loss(y_i, raw_i); write s_i loss' and s_i loss''.

    Parameters
    ----------
    y, weight, raw : (n_samples,), float64
    loss : a loss object with curvatures
    slopes, curvature : (n_samples,), float64, written
    """
    total = 0.0
    for i in range(y.shape[0]):
        total += weight[i] * losses.value(loss, y[i], raw[i])
        slopes[i] = weight[i] * losses.gradient(loss, y[i], raw[i])
        curvature[i] = weight[i] * losses.curvature(loss, y[i], raw[i])
    return total


@kernel()
def length_of_step(y, weight, loss, raw, moved, slope, bend):
    """Return about the best length t > 0 of a step, which moves raw predictions by m.

    It minimises  sum_i s_i loss(y_i, raw_i + t m_i) + slope t + bend t^2 / 2.  Where curvatures
    fall along a step of Newton's method, as those of classes do while predictions become certain,
    that is more than 1, and half as many steps arrive.

    Parameters
    ----------
    y, weight, raw, moved : (n_samples,), float64
    loss : a convex loss object with curvatures
    slope, bend : float, the penalty's part

    Notes
    -----
    Newton's steps in a bracket, from 1, until the slope is a tenth of what it was at 0.
    """
    start, _ = _along_ray(y, weight, loss, raw, moved, 0.0)
    enough = STEEP * abs(start + slope)
    low, high, t = 0.0, LONGEST, 1.0
    for _ in range(MOST_TRIES):
        own, curvature = _along_ray(y, weight, loss, raw, moved, t)
        rest, curvature = own + slope + t * bend, curvature + bend
        if abs(rest) <= enough:
            break
        if rest > 0.0 or not math.isfinite(rest):
            high = t
        else:
            low = t
        following = t - rest / curvature if curvature > 0.0 else high
        t = following if low < following < high else 0.5 * (low + min(high, 4.0 * t))
    return t


@helper()
def _along_ray(y, weight, loss, raw, moved, t):
    """Return the first and the second derivative of the losses along a ray."""
    slope, curvature = 0.0, 0.0
    for i in range(y.shape[0]):
        at, s = raw[i] + t * moved[i], weight[i] * moved[i]
        slope += s * losses.gradient(loss, y[i], at)
        curvature += s * moved[i] * losses.curvature(loss, y[i], at)
    return slope, curvature


@kernel(allocates=True)
def conjugate_step(system, gradient, image, level, least, out):
    """Solve  (l2 + W K) x + W b = -g,  1'W (K x + b) = -h  by conjugate gradients; return b.

    They are those of the inner product p'K q + b c, in which the Hessian is symmetric, and end
    where the residual is small, or after ``MOST_PRODUCTS``.

    Parameters
    ----------
    system : System
    gradient, image : (n,), float64, g and K g
    level : float, h; 0 without an intercept
    least : float, what part of the residual may be left, in the norm of that inner product
    out : (2, n), float64, written: x and K x

    Returns
    -------
    level : float, b
    products : int
    """
    rows, bends, unit, l2 = system.rows, system.bends, system.unit, system.l2
    n, step, step_image, level_of_step = bends.shape[0], out[0], out[1], 0.0
    own, own_image, rest = -gradient, -image, -level
    out[:] = 0.0
    along, along_image, along_level = own.copy(), own_image.copy(), unit * rest
    bent, bent_image = np.empty(n), np.empty(n)
    vector, sums = np.empty(n, rows.dtype), np.empty(rows.shape[1], rows.dtype)
    norm = first = _dot(own, own_image) + unit * rest * rest
    for products in range(1, MOST_PRODUCTS + 1):
        level_bent, bend = 0.0, 0.0
        for i in range(n):
            bent[i] = bends[i] * (along_image[i] + along_level)
            level_bent += bent[i]
            bend += along_image[i] * (bent[i] + l2 * along[i])
        bend += along_level * level_bent
        if not bend > 0.0:
            return level_of_step, products
        _multiply(rows, system.is_matrix, bent, vector, sums, bent_image)
        part = norm / bend
        for i in range(n):
            step[i] += part * along[i]
            step_image[i] += part * along_image[i]
            own[i] -= part * (bent[i] + l2 * along[i])
            own_image[i] -= part * (bent_image[i] + l2 * along_image[i])
        level_of_step += part * along_level
        rest -= part * level_bent
        following = _dot(own, own_image) + unit * rest * rest
        if not following > least * least * first:
            return level_of_step, products
        for i in range(n):
            along[i] = own[i] + following / norm * along[i]
            along_image[i] = own_image[i] + following / norm * along_image[i]
        along_level = unit * rest + following / norm * along_level
        norm = following
    return level_of_step, MOST_PRODUCTS


@helper()
def _dot(a, b):
    """Return the inner product."""
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@helper()
def _multiply(rows, is_matrix, given, vector, sums, out):
    """Write K given, in the type of the rows."""
    for i in range(given.shape[0]):
        vector[i] = given[i]
    if not is_matrix:
        _add_up(rows, vector, sums)
    right = vector if is_matrix else sums
    for i in range(rows.shape[0]):
        row, total = rows[i], rows.dtype.type(0.0)
        for j in range(row.shape[0]):
            total += row[j] * right[j]
        out[i] = total


@helper()
def _add_up(rows, vector, sums):
    """Write the rows' sum with given factors, four of them at a time."""
    n = rows.shape[0]
    for j in range(sums.shape[0]):
        sums[j] = 0.0
    for i in range(0, n - n % 4, 4):
        a, b, c, d = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        p, q, r, s = vector[i], vector[i + 1], vector[i + 2], vector[i + 3]
        for j in range(sums.shape[0]):
            sums[j] += (p * a[j] + q * b[j]) + (r * c[j] + s * d[j])
    for i in range(n - n % 4, n):
        a, p = rows[i], vector[i]
        for j in range(sums.shape[0]):
            sums[j] += p * a[j]
