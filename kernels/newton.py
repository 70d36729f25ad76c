"""Newton's method for few rows and columns, as one kernel: what a step costs is arithmetic only."""

import math
from typing import Any, NamedTuple

import numpy as np

from fastgd.kernels import losses
from fastgd.kernels._hook import hook
from fastgd.kernels._jit import helper, kernel

ARRIVED, USED_UP, FAILED, GOING_ON = 0, 1, 2, 3

CAUTION = 2.0  # Newton's decrement is 0.4 to 1 of the suboptimality
FINISHED = 1e-12  # relative: from here steps are taken while they shorten
SHORTENED = 0.05  # by each last step, or the Hessian is made anew
LAST_STEPS = 8
LEAST_PIVOT = 1e-10  # of a Hessian with a unit diagonal
SUFFICIENT, SMALLEST_STEP = 1e-4, 1e-10  # Armijo; the smallest part of a step
EPSILON = 2.0**-52
AT_ONCE, LANES = 4, 16  # rows that a softmax's Hessian takes together, numbers in some vectors


class Place(NamedTuple):
    """Where a descent stands; kernels change all of it in place.

    u, gradient : (P,), float64, the point, and the objective's gradient there
    curvature : (n_samples,) or (n_samples, K), float64, what the Hessian is made of
    hessian : (P, P), float64, its Cholesky factor in the lower triangle
    scale, step, before : (P,), float64, what made the Hessian's diagonal 1; a step, and its start
    """

    u: np.ndarray
    gradient: np.ndarray
    curvature: np.ndarray
    hessian: np.ndarray
    scale: np.ndarray
    step: np.ndarray
    before: np.ndarray


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

    @staticmethod
    def add_losses(columns, place):
        """Return sum_i s_i loss_i; add its gradient, write s_i loss''_i."""
        z, u, gradient, total = columns.z, place.u, place.gradient, 0.0
        for i in range(z.shape[0]):
            raw = 0.0
            for j in range(u.shape[0]):
                raw += z[i, j] * u[j]
            s, y = columns.weight[i], columns.y[i]
            total += s * losses.value(columns.loss, y, raw)
            place.curvature[i] = s * losses.curvature(columns.loss, y, raw)
            slope = s * losses.gradient(columns.loss, y, raw)
            for j in range(u.shape[0]):
                gradient[j] += slope * z[i, j]
        return total

    @staticmethod
    def add_hessian(columns, place):
        """Add sum_i s_i loss''_i z_i z_i' to the lower triangle."""
        add_products(columns.z, place.curvature, place.hessian)


class Classes(NamedTuple):
    """The same for softmax: u and ridge hold a part for each of K classes, one after the other.

    y : (n_samples,), int32, the classes' numbers
    is_free : bool, whether the last column is an intercept's, which has no penalty
    scratch : (AT_ONCE + K (K + 1) / 2, P (P + 1) / 2 or more), float64, of one class's P columns;
        whole vectors of ``LANES`` leave no rest that is added number by number
    """

    z: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    ridge: np.ndarray
    is_free: bool
    scratch: np.ndarray
    least: float
    rounding: float

    @staticmethod
    def add_losses(columns, place):
        """Return sum_i s_i loss_i; add its gradient, write each class's probability."""
        z, u, gradient, total = columns.z, place.u, place.gradient, 0.0
        width, n_classes = z.shape[1], place.curvature.shape[1]
        for i in range(z.shape[0]):
            p = place.curvature[i]
            for k in range(n_classes):
                raw = 0.0
                for j in range(width):
                    raw += z[i, j] * u[k * width + j]
                p[k] = raw
            s, truth = columns.weight[i], columns.y[i]
            total += s * losses.gradient_row(losses.Softmax(0.0), truth, p, p)
            p[truth] = -_others(p, truth)  # with all digits, where it is nearly certain
            for k in range(n_classes):
                slope = s * p[k]
                for j in range(width):
                    gradient[k * width + j] += slope * z[i, j]
            p[truth] += 1.0
        return total

    @staticmethod
    def add_hessian(columns, place):
        """Add sum_i s_i (diag(p_i) - p_i p_i') (x) z_i z_i' to the lower triangle.

        What all intercepts share changes no prediction, and has no curvature: it gets one.
        """
        z, scratch, hessian = columns.z, columns.scratch, place.hessian
        width, n_classes = z.shape[1], place.curvature.shape[1]
        scratch[:] = 0.0
        for first in range(0, z.shape[0], AT_ONCE):
            last, pair = z.shape[0] - 1, AT_ONCE
            for row in range(AT_ONCE):
                _multiply_out(z[min(first + row, last)], scratch[row])
            for k in range(n_classes):
                for m in range(k + 1):
                    s0 = _share(columns, place, first, k, m)
                    s1 = _share(columns, place, first + 1, k, m)
                    s2 = _share(columns, place, first + 2, k, m)
                    s3 = _share(columns, place, first + 3, k, m)
                    for e in range(scratch.shape[1]):
                        near = s0 * scratch[0, e] + s1 * scratch[1, e]
                        scratch[pair, e] += near + (s2 * scratch[2, e] + s3 * scratch[3, e])
                    pair += 1
        pair = AT_ONCE
        for k in range(n_classes):
            for m in range(k + 1):
                _place_block(scratch[pair], hessian, k * width, m * width, width)
                if columns.is_free:
                    hessian[(k + 1) * width - 1, (m + 1) * width - 1] += 1.0 / n_classes**2
                pair += 1


@helper()
def add_products(z, weight, matrix):
    """Add sum_i weight_i z_i z_i' to the lower triangle; weights of zero cost nothing.

    Four rows at a time, since what takes the time is to read and to write the matrix.
    """
    n, at = z.shape[0], 0
    while at < n:
        first = _next_weighted(weight, at)
        second = _next_weighted(weight, first + 1)
        third = _next_weighted(weight, second + 1)
        fourth = _next_weighted(weight, third + 1)
        at = fourth + 1
        if first >= n:
            break
        s0, s1 = weight[first], weight[second] if second < n else 0.0
        s2, s3 = weight[third] if third < n else 0.0, weight[fourth] if fourth < n else 0.0
        z0, z1 = z[first], z[min(second, n - 1)]
        z2, z3 = z[min(third, n - 1)], z[min(fourth, n - 1)]
        for a in range(z.shape[1]):
            p0, p1, p2, p3 = s0 * z0[a], s1 * z1[a], s2 * z2[a], s3 * z3[a]
            for b in range(a + 1):
                matrix[a, b] += p0 * z0[b] + p1 * z1[b] + p2 * z2[b] + p3 * z3[b]


@helper()
def _next_weighted(weight, at):
    """Return the first row from ``at`` on whose weight is positive, or how many rows there are."""
    while at < weight.shape[0] and not weight[at] > 0.0:
        at += 1
    return at


@helper()
def _multiply_out(row, products):
    """Write the products of a row's numbers, the lower triangle line by line."""
    at = 0
    for a in range(row.shape[0]):
        for b in range(a + 1):
            products[at + b] = row[a] * row[b]
        at += a + 1


@helper()
def _share(columns, place, i, k, m):
    """Return a row's part of the Hessian's block of two classes; 0 beyond the last row."""
    if i >= columns.weight.shape[0]:
        return 0.0
    p = place.curvature[i]
    return columns.weight[i] * p[k] * (_others(p, k) if k == m else -p[m])


@helper()
def _others(p, k):
    """Return the sum of all entries but one."""
    total = 0.0
    for m in range(p.shape[0]):
        total += p[m] if m != k else 0.0
    return total


@helper()
def _place_block(triangle, matrix, row, column, width):
    """Add a symmetric block, of which the lower triangle is given."""
    at = 0
    for a in range(width):
        for b in range(a + 1):
            matrix[row + a, column + b] += triangle[at + b]
            if b < a and row > column:
                matrix[row + b, column + a] += triangle[at + b]
        at += a + 1


@kernel()
def center_columns(rows, weight, is_centered, z, mean, square, peak):
    """Write the columns less their means, and a last one of ones if there is room for it.

    Parameters
    ----------
    rows : Dense
    weight : (n_samples,), float64, sums to 1
    is_centered : bool, whether to take the means off
    z : (n_samples, n_features or one more), float64, written
    mean, square : (n_features,), float64, zeros; added: the means, and then the mean squares of
        what is left
    peak : (n_features or more,), float64, written: the largest magnitudes of what is left

    Notes
    -----
    Floor: two reads of X and a write of z.
    """
    x, d = rows.values, mean.shape[0]
    if is_centered:
        for i in range(x.shape[0]):
            for j in range(d):
                mean[j] += weight[i] * x[i, j]
    for j in range(d):
        peak[j] = 0.0
    for i in range(x.shape[0]):
        s = weight[i]
        for j in range(d):
            rest = x[i, j] - mean[j]
            z[i, j] = rest
            square[j] += s * (rest * rest)
            peak[j] = max(peak[j], abs(rest))
        for j in range(d, z.shape[1]):
            z[i, j] = 1.0


@kernel()
def scale_columns(z, factor):
    """Multiply the first columns by a factor each; z : (n_samples, n_features or more), float64."""
    for i in range(z.shape[0]):
        for j in range(factor.shape[0]):
            z[i, j] *= factor[j]


@hook
def add_losses(columns, place):
    """Return sum_i s_i loss_i; add its gradient, write what the Hessian is made of."""
    return type(columns).add_losses(columns, place)


@hook
def add_hessian(columns, place):
    """Add the losses' Hessian to the lower triangle."""
    return type(columns).add_hessian(columns, place)


@kernel()
def newton_steps(columns, place, reported, pause):
    """Minimise by Newton's steps with the curvatures at each point, to the rounding of u at best.

    Steps are shortened where they would overshoot. The last ones, which only add digits, keep the
    Hessian while they shorten quickly. A call with the place that was returned goes on as if there
    had been one call.

    Parameters
    ----------
    columns : Columns or Classes
    place : Place, changed in place; its gradient and curvatures need not be known
    reported : (most, 2), float64, written: objective and estimated suboptimality after each pass;
        there are ``most`` at most, that to the first point and the last steps not counted
    pause : int, passes from which on no further step begins

    Returns
    -------
    status : int, ``ARRIVED``, ``USED_UP``, or ``FAILED`` where there is no Hessian to solve with,
        or nothing lower
    passes : int
    objective, suboptimality : float; the suboptimality is estimated by twice Newton's decrement

    References
    ----------
    .. [1] Keerthi & DeCoste, "A Modified Finite Newton Method for Fast Solution of Large Scale
       Linear SVMs", 2005: a squared hinge has finitely many Hessians, and the last one is exact.
    """
    most = reported.shape[0]
    passes, n_reported, n_last, status, part = 0, 0, 0, GOING_ON, 0.0
    objective, promise, rounding, last, suboptimality = np.inf, 0.0, 0.0, np.inf, np.inf
    is_known = False
    for j in range(place.u.shape[0]):
        place.before[j], place.step[j] = place.u[j], 0.0
    while True:  # with one place where evaluate and factorise stand: inlined they compile for long
        found = evaluate(columns, place, part)
        if status != GOING_ON:
            return status, passes, found, suboptimality
        if part > 0.0 and n_last == 0:
            passes, tried = passes + 1, part
            part, status = next_part(part, promise, objective - found, passes >= most)
            if part != tried:
                continue
        elif part > 0.0 and not found <= objective + 8.0 * rounding:
            status, part = ARRIVED, 0.0
            continue
        objective = found
        while True:
            if not is_known and not factorise(columns, place) > LEAST_PIVOT:
                return FAILED, passes, objective, suboptimality
            decrement, length = direction(place)
            is_rounding = n_last > 0 and length <= EPSILON * norm(place.u)
            if is_rounding or not (is_known and length >= SHORTENED * last):
                break
            is_known = False
        suboptimality, promise = CAUTION * decrement, 2.0 * decrement
        n_reported = tell(reported, n_reported, passes, objective, suboptimality)
        rounding = EPSILON * objective + columns.rounding
        if n_last == 0 and suboptimality > max(FINISHED * objective, rounding):
            if passes >= min(pause, most):
                return USED_UP, passes, objective, suboptimality
        else:
            if n_last >= LAST_STEPS or not length < 0.5 * last or length == 0.0 or is_rounding:
                return ARRIVED, passes, objective, suboptimality
            n_last, last, is_known = n_last + 1, length, True
        for j in range(place.u.shape[0]):
            place.before[j] = place.u[j]
        part = 1.0


@kernel()
def newton_until(columns, place, enough, most):
    """Minimise by Newton's steps until twice the decrement is at most ``enough``.

    Parameters
    ----------
    columns : Columns or Classes
    place : Place, changed in place; its gradient and curvatures need not be known
    enough : float, what the objective may be above its least value, about
    most : int, passes at most

    Returns
    -------
    status : int, as of ``newton_steps``
    passes : int
    objective, suboptimality : float
    """
    passes, status, part = 0, GOING_ON, 0.0
    objective, promise, suboptimality = np.inf, 0.0, np.inf
    for j in range(place.u.shape[0]):
        place.before[j], place.step[j] = place.u[j], 0.0
    while True:
        found = evaluate(columns, place, part)
        passes += 1
        if status != GOING_ON:
            return status, passes, found, suboptimality
        if part > 0.0:
            tried = part
            part, status = next_part(part, promise, objective - found, passes >= most)
            if part != tried:
                continue
        objective = found
        if not factorise(columns, place) > LEAST_PIVOT:
            return FAILED, passes, objective, suboptimality
        decrement, _ = direction(place)
        suboptimality, promise = CAUTION * decrement, 2.0 * decrement
        if suboptimality <= enough:
            return ARRIVED, passes, objective, suboptimality
        if passes >= most:
            return USED_UP, passes, objective, suboptimality
        for j in range(place.u.shape[0]):
            place.before[j] = place.u[j]
        part = 1.0


@helper()
def norm(u):
    """Return the Euclidean norm."""
    square = 0.0
    for j in range(u.shape[0]):
        square += u[j] * u[j]
    return math.sqrt(square)


@helper()
def next_part(part, promise, fall, is_last_pass):
    """Return which part of a step to try next, the same if it is accepted; and the status."""
    if fall > 0.0 and fall >= SUFFICIENT * part * promise:
        return part, GOING_ON
    part = shorter(part, promise, fall)
    if part < SMALLEST_STEP or is_last_pass:
        return 0.0, USED_UP if is_last_pass else FAILED
    return part, GOING_ON


@helper()
def tell(reported, n_reported, passes, objective, suboptimality):
    """Write objective and suboptimality after each pass since the last call; return the passes."""
    for number in range(n_reported, passes):
        reported[number, 0], reported[number, 1] = objective, suboptimality
    return max(n_reported, passes)


@helper()
def shorter(part, promise, fall):
    """Return a smaller part of a step: the parabola's through both values and the slope."""
    excess = part * promise - fall
    best = 0.5 * part * part * promise / excess if math.isfinite(excess) else 0.0
    return min(max(best, 0.1 * part), 0.5 * part)


@helper()
def evaluate(columns, place, part):
    """Move by a part of the step, and return the objective there.

    Writes its gradient, and what the Hessian is made of.
    """
    u, penalty = place.u, 0.0
    for j in range(u.shape[0]):
        u[j] = place.before[j] + part * place.step[j]
    for j in range(u.shape[0]):
        place.gradient[j] = columns.ridge[j] * u[j]
        penalty += 0.5 * place.gradient[j] * u[j]
    return max(add_losses(columns, place) - columns.least, 0.0) + penalty


@helper()
def factorise(columns, place):
    """Write the Hessian's Cholesky factor, scaled to a unit diagonal, into its lower triangle.

    Returns the least pivot, which is not positive where there is no such factor.
    """
    hessian, scale = place.hessian, place.scale
    size = scale.shape[0]
    for a in range(size):
        for b in range(a + 1):
            hessian[a, b] = columns.ridge[a] if a == b else 0.0
    add_hessian(columns, place)
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
def direction(place):
    """Write Newton's step; return its decrement, half what its model promises, and its length."""
    factor, scale, gradient, step = place.hessian, place.scale, place.gradient, place.step
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
