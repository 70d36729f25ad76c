"""Newton's method for few rows and columns, as one kernel: what a step costs is arithmetic only."""

import math
from typing import Any, NamedTuple

import numpy as np

from fastgd.kernels import losses
from fastgd.kernels._jit import helper, kernel

ARRIVED, USED_UP, FAILED = 0, 1, 2

CAUTION = 2.0  # Newton's decrement is 0.4 to 1 of the suboptimality
FINISHED = 1e-12  # relative: from here steps are taken while they shorten
SHORTENED = 0.05  # by each last step, or the Hessian is made anew
LAST_STEPS = 8
LEAST_PIVOT = 1e-10  # of a Hessian with a unit diagonal
SUFFICIENT, SMALLEST_STEP = 1e-4, 1e-10  # Armijo; the smallest part of a step
EPSILON = 2.0**-52


class Columns(NamedTuple):
    """What is minimised:  sum_i s_i loss(y_i, z_i u) - least + sum_j ridge_j u_j^2 / 2.

    z : (n_samples, P), float64
    y, weight : (n_samples,), float64
    loss : a loss object with curvatures
    ridge : (P,), float64
    least : float, the losses' part where predictions are perfect; their difference is not negative
    rounding : float, how far the losses' part may be off whatever it is
    """

    z: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    loss: Any
    ridge: np.ndarray
    least: float
    rounding: float


class Place(NamedTuple):
    """Where a descent stands; kernels change all of it in place.

    u, gradient : (P,), float64, the point, and the objective's gradient there
    curvature : (n_samples,), float64, s_i loss''_i
    """

    u: np.ndarray
    gradient: np.ndarray
    curvature: np.ndarray


@kernel(allocates=True)
def newton_steps(columns, place, told, pause):
    """Minimise to the rounding of u, by Newton's steps with the curvatures at each point.

    Steps are shortened where they would overshoot. The last ones, which only add digits, keep the
    Hessian while they shorten quickly. A call with the place that was returned goes on as if there
    had been one call.

    Parameters
    ----------
    columns : Columns
    place : Place, changed in place; its gradient and curvatures need not be known
    told : (most, 2), float64, written: objective and estimated suboptimality after each pass;
        there are ``most`` at most, that to the first point and the last steps not counted
    pause : int, passes from which on no further step begins

    Returns
    -------
    status : int, ``ARRIVED``, ``USED_UP``, or ``FAILED`` where there is no Hessian to solve with,
        or nothing lower
    passes : int
    objective, left : float; the suboptimality is estimated by twice Newton's decrement

    References
    ----------
    .. [1] Keerthi & DeCoste, "A Modified Finite Newton Method for Fast Solution of Large Scale
       Linear SVMs", 2005: a squared hinge has finitely many Hessians, and the last one is exact.
    """
    size, most = place.u.shape[0], told.shape[0]
    hessian, scale, step = np.empty((size, size)), np.empty(size), np.empty(size)
    before, objective = np.empty(size), evaluate(columns, place)
    passes, n_told, n_last, last, left, is_known = 0, 0, 0, np.inf, np.inf, False
    while True:
        if not is_known and not factorise(columns, place.curvature, hessian, scale) > LEAST_PIVOT:
            return FAILED, passes, objective, left
        decrement, length = direction(hessian, scale, place.gradient, step)
        left = CAUTION * decrement
        while n_told < passes:
            told[n_told, 0], told[n_told, 1] = objective, left
            n_told += 1
        rounding = EPSILON * objective + columns.rounding
        is_last = n_last > 0 or left <= max(FINISHED * objective, rounding)
        if is_last and is_known and length >= SHORTENED * last:
            is_known = False
            continue
        if is_last and (n_last >= LAST_STEPS or not length < 0.5 * last or length == 0.0):
            return ARRIVED, passes, objective, left
        if not is_last and passes >= min(pause, most):
            return USED_UP, passes, objective, left
        before[:] = place.u
        if is_last:
            n_last, last, is_known = n_last + 1, length, True
            found = move(columns, place, before, step, 1.0)
            is_better = found <= objective + 8.0 * rounding
        else:
            found, tries = search(columns, place, before, step, objective, decrement, most - passes)
            passes, is_better = passes + tries, found < objective
        if is_better:
            objective = found
            continue
        move(columns, place, before, step, 0.0)
        status = ARRIVED if is_last else USED_UP if passes >= most else FAILED
        return status, passes, objective, left


@helper()
def search(columns, place, before, step, objective, decrement, most):
    """Take a step, or as much of it as lowers the objective, in ``most`` passes at most.

    Returns the objective, not lower than it was where nothing is, and the passes.
    """
    part, promise, tries = 1.0, 2.0 * decrement, 0
    while part > SMALLEST_STEP and tries < most:
        found = move(columns, place, before, step, part)
        tries += 1
        fall = objective - found
        if fall >= SUFFICIENT * part * promise and fall > 0.0:
            return found, tries
        excess = part * promise - fall  # the parabola through both values and the slope
        best = 0.5 * part * part * promise / excess if math.isfinite(excess) else 0.0
        part = min(max(best, 0.1 * part), 0.5 * part)
    return np.inf, tries


@helper()
def move(columns, place, before, step, part):
    """Go to a part of a step, and evaluate there; return the objective."""
    for j in range(step.shape[0]):
        place.u[j] = before[j] + part * step[j] if part > 0.0 else before[j]
    return evaluate(columns, place)


@helper()
def evaluate(columns, place):
    """Return the objective at a place; write its gradient and the rows' curvatures."""
    z, u, gradient = columns.z, place.u, place.gradient
    size, total, penalty = u.shape[0], -columns.least, 0.0
    for j in range(size):
        gradient[j] = columns.ridge[j] * u[j]
        penalty += 0.5 * gradient[j] * u[j]
    for i in range(columns.y.shape[0]):
        raw = 0.0
        for j in range(size):
            raw += z[i, j] * u[j]
        s, y = columns.weight[i], columns.y[i]
        total += s * losses.value(columns.loss, y, raw)
        place.curvature[i] = s * losses.curvature(columns.loss, y, raw)
        slope = s * losses.gradient(columns.loss, y, raw)
        for j in range(size):
            gradient[j] += slope * z[i, j]
    return max(total, 0.0) + penalty


@helper()
def factorise(columns, curvature, hessian, scale):
    """Write the Hessian's Cholesky factor, scaled to a unit diagonal, into its lower triangle.

    Returns the least pivot, which is not positive where there is no such factor.
    """
    z, size = columns.z, scale.shape[0]
    for a in range(size):
        for b in range(a + 1):
            hessian[a, b] = columns.ridge[a] if a == b else 0.0
    for i in range(curvature.shape[0]):
        if curvature[i] > 0.0:
            for a in range(size):
                pull = curvature[i] * z[i, a]
                for b in range(a + 1):
                    hessian[a, b] += pull * z[i, b]
    for a in range(size):
        if not hessian[a, a] > 0.0:
            return 0.0
        scale[a] = 1.0 / math.sqrt(hessian[a, a])
        for b in range(a):
            hessian[a, b] *= scale[a] * scale[b]
        hessian[a, a] = 1.0
    return cholesky(hessian)


@helper()
def cholesky(matrix):
    """Factorise the lower triangle in place; return the least pivot."""
    least = np.inf
    for a in range(matrix.shape[0]):
        for b in range(a + 1):
            rest = matrix[a, b]
            for k in range(b):
                rest -= matrix[a, k] * matrix[b, k]
            if a > b:
                matrix[a, b] = rest / matrix[b, b]
                continue
            least = min(least, rest)
            if not rest > 0.0:
                return rest
            matrix[a, a] = math.sqrt(rest)
    return least


@helper()
def direction(factor, scale, gradient, step):
    """Write Newton's step; return its decrement, half what its model promises, and its length."""
    size, square, decrement = step.shape[0], 0.0, 0.0
    for a in range(size):
        rest = scale[a] * gradient[a]
        for b in range(a):
            rest -= factor[a, b] * step[b]
        step[a] = rest / factor[a, a]
    for a in range(size - 1, -1, -1):
        rest = step[a] / factor[a, a]
        for b in range(a):
            step[b] -= factor[a, b] * rest
        step[a] = -scale[a] * rest
        square += step[a] * step[a]
        decrement -= 0.5 * step[a] * gradient[a]
    return decrement, math.sqrt(square)
