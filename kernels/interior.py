"""An interior point method for piecewise linear losses of few rows and columns, as one kernel.

    min_u  sum_ki max_{low_ki <= r <= high_ki} r (z_i u - at_ki) + 1/2 sum_j ridge_j u_j^2

The method is that of ``fastgd/_solvers/_interior.py``, in the columns: Mehrotra's predictor and
corrector, each a weighted least squares problem, and the active set's own equations near the end.
"""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.newton import add_products, cholesky

ARRIVED, USED_UP, STALLED, FAILED = 0, 1, 2, 3

NEAR_BOUNDARY = 0.9995  # part of the way to it
FARTHEST = 1e4  # times the residuals: slacks to begin with, in boxes that are nearly points
SATISFIED, GAINED = 3, 0.9  # steps that left more than that of the gap: rounding, or too hard
POLISHED_FROM = 1e-2  # of the objective, from which an active set may be right
REFINEMENTS = 2  # of the active set's solution
CORRECTIONS = 1  # of a step, for what its matrix lost by rounding
SAME, ROUNDING = 1e-12, 4.0 * 2.0**-52  # relative differences of objectives that are the same
LEAST_PIVOT = 1e-13  # of the equations of an active set


class Boxes(NamedTuple):
    """What is minimised; there are K terms for each row, none with an empty box.

    z : (n_samples, P), float64
    at, low, high : (K, n_samples), float64: where a term turns, and its slopes before and after
    ridge : (P,), float64, positive but for an intercept's, which is last
    is_free : bool, whether there is an intercept
    """

    z: np.ndarray
    at: np.ndarray
    low: np.ndarray
    high: np.ndarray
    ridge: np.ndarray
    is_free: bool


class Path(NamedTuple):
    """Where the method stands; kernels change all of it in place.

    terms : (13, K, n_samples), float64: p and m > 0, the parts of residuals; above and below > 0,
        the dual variables' distances from their bounds, and r, these themselves; a step's dp, dm
        and dr; the changes that it aims at, its shifts and curvatures; a dual point that is tried
    rows : (4, n_samples), float64: raw predictions, those of what is tried, and sums over terms
    params : (9, P), float64: u, the best u, the gradient; a step, the right side and the rest of
        its system, its scale; what is tried, and the gradient there
    matrix : (P, P), float64
    equations : (2 P, 2 P + 1), float64
    between : (P,), int64, the terms of an active set that are held between their bounds
    known : (4,), float64: the best objective, the least gap proven for it, the least gap of any
        point, and the steps since that fell; inf before the first call
    """

    terms: np.ndarray
    rows: np.ndarray
    params: np.ndarray
    matrix: np.ndarray
    equations: np.ndarray
    between: np.ndarray
    known: np.ndarray


P, M, ABOVE, BELOW, R, DP, DM, DR, UP, DOWN, SHIFT, CURVATURE, TRIED_DUAL = range(13)
RAW, TRIED_RAW, SUMS, TOTALS = range(4)
U, BEST, GRADIENT, STEP, RIGHT, REST, SCALE, TRIED, TRIED_GRADIENT = range(9)
OBJECTIVE, GAP, LEAST_GAP, IDLE = range(4)


def path_from(u: np.ndarray, n_terms: int, n_rows: int) -> Path:
    """Return a path that begins at u."""
    size = u.shape[0]
    params = np.empty((9, size))
    params[U] = params[BEST] = u
    shapes = (13, n_terms, n_rows), (4, n_rows)
    matrices = np.empty((size, size)), np.empty((2 * size, 2 * size + 1))
    known = np.array([np.inf, np.inf, np.inf, 0.0])
    return Path(*map(np.empty, shapes), params, *matrices, np.empty(size, np.int64), known)


@kernel()
def interior_steps(boxes, path, told, tol):
    """Minimise until the proven gap is at most ``tol`` times the objective.

    A call with the path that was returned goes on as if there had been one call.

    Parameters
    ----------
    boxes : Boxes
    path : Path, changed in place
    told : (most, 2), float64, written: the best objective and its proven gap after each pass, of
        which there are ``most`` at most
    tol : float

    Returns
    -------
    status : int, ``ARRIVED``, ``USED_UP``, ``STALLED`` where steps prove no more, ``FAILED`` where
        there is none
    passes : int
    """
    known, is_new = path.known, not path.known[OBJECTIVE] < np.inf
    for passes in range(told.shape[0]):
        if not is_new and not advance(boxes, path):
            return FAILED, passes
        judge(boxes, path, is_new)
        is_new = False
        told[passes, 0], told[passes, 1] = known[OBJECTIVE], known[GAP]
        if known[GAP] <= tol * known[OBJECTIVE]:
            return ARRIVED, passes + 1
        if known[IDLE] >= SATISFIED:
            return STALLED, passes + 1
    return USED_UP, told.shape[0]


@helper()
def judge(boxes, path, is_new):
    """Find what is proven here, and from where an active set leads to; keep what is best.

    A new path gets its first interior point, all products p p' and m m' at least their mean.
    """
    terms, params, known = path.terms, path.params, path.known
    for j in range(boxes.ridge.shape[0]):
        params[TRIED, j] = params[U, j]
    products, least = 0.0, np.inf
    for k in range(boxes.at.shape[0]):
        for i in range(boxes.at.shape[1]):
            low, high = boxes.low[k, i], boxes.high[k, i]
            if is_new:
                terms[ABOVE, k, i] = terms[BELOW, k, i] = 0.5 * (high - low)
                terms[R, k, i] = 0.5 * (low + high)
            above, below, r = terms[ABOVE, k, i], terms[BELOW, k, i], terms[R, k, i]
            near = low + below if below < above else high - above
            terms[TRIED_DUAL, k, i] = r if abs(r) < min(below, above) else near
            products += terms[P, k, i] * above + terms[M, k, i] * below
    for attempt in range(1 + REFINEMENTS):
        if attempt == 1:
            is_near = products <= POLISHED_FROM * known[OBJECTIVE] and not is_new
            if not (is_near and choose(boxes, path)):
                break
        if attempt > 0 and not solve_active(boxes, path):
            break
        objective, gap = certify(boxes, path)
        least = min(least, gap)
        slack = min(gap, SAME * objective) + ROUNDING * objective if attempt > 0 else 0.0
        if objective < known[OBJECTIVE] + slack:
            if known[GAP] < np.inf:
                known[GAP] += max(objective - known[OBJECTIVE], 0.0)
            known[OBJECTIVE] = objective
            for j in range(boxes.ridge.shape[0]):
                params[BEST, j] = params[TRIED, j]
        known[GAP] = min(known[GAP], gap, known[OBJECTIVE])
        if attempt == 0:
            for j in range(boxes.ridge.shape[0]):
                params[GRADIENT, j] = params[TRIED_GRADIENT, j]
            for i in range(boxes.z.shape[0]):
                path.rows[RAW, i] = path.rows[TRIED_RAW, i]
            if is_new:
                open_residuals(boxes, path)
    known[IDLE] = 0.0 if least < GAINED * known[LEAST_GAP] else known[IDLE] + 1.0
    known[LEAST_GAP] = min(known[LEAST_GAP], least)


@helper()
def open_residuals(boxes, path):
    """Write the first p and m."""
    terms, raw, mean, largest = path.terms, path.rows[RAW], 0.0, 0.0
    for k in range(boxes.at.shape[0]):
        for i in range(boxes.at.shape[1]):
            size = abs(raw[i] - boxes.at[k, i])
            mean += 2.0 * terms[ABOVE, k, i] * size
            largest = max(largest, size)
    mean = max(mean / boxes.at.size, 1e-300)
    for k in range(boxes.at.shape[0]):
        for i in range(boxes.at.shape[1]):
            z = raw[i] - boxes.at[k, i]
            slack = min(mean / terms[ABOVE, k, i], max(FARTHEST * largest, 1e-300))
            terms[P, k, i], terms[M, k, i] = max(z, 0.0) + slack, max(-z, 0.0) + slack


@helper()
def certify(boxes, path):
    """Return the objective of what is tried, and the gap that its dual point proves.

    Writes raw predictions and the gradient of the dual point as it is; for the proof, it is clipped
    to the boxes, and the larger of its sides scaled down to balance the intercept.
    """
    z, ridge, dual, tried = boxes.z, boxes.ridge, path.terms[TRIED_DUAL], path.params[TRIED]
    sums, totals, gradient = path.rows[SUMS], path.rows[TOTALS], path.params[TRIED_GRADIENT]
    pull, up, down, n_terms = path.params[REST], 0.0, 0.0, boxes.at.shape[0]
    for i in range(z.shape[0]):
        sums[i], low, high = 0.0, 0.0, 0.0
        for k in range(n_terms):
            sums[i] += dual[k, i]
            low += boxes.low[k, i]
            high += boxes.high[k, i]
        totals[i] = min(max(sums[i], low), high)
        up += max(totals[i], 0.0)
        down -= min(totals[i], 0.0)
    positive = down / up if boxes.is_free and up > down else 1.0
    negative = up / down if boxes.is_free and down > up else 1.0
    objective, missed, penalty, rest = 0.0, 0.0, 0.0, 0.0
    for j in range(ridge.shape[0]):
        gradient[j] = pull[j] = ridge[j] * tried[j]
        penalty += 0.5 * gradient[j] * tried[j]
    for i in range(z.shape[0]):
        raw, d = 0.0, totals[i] * (positive if totals[i] > 0.0 else negative)
        for j in range(ridge.shape[0]):
            raw += z[i, j] * tried[j]
        path.rows[TRIED_RAW, i] = raw
        for j in range(ridge.shape[0]):
            gradient[j] += sums[i] * z[i, j]
            pull[j] += d * z[i, j]
        for k in range(n_terms):
            distance, r = raw - boxes.at[k, i], d
            if n_terms == 2:
                r = max(d, 0.0) if k == 0 else min(d, 0.0)
            above, below = max(distance, 0.0), min(distance, 0.0)
            objective += boxes.high[k, i] * above + boxes.low[k, i] * below
            missed += (boxes.high[k, i] - r) * above + (boxes.low[k, i] - r) * below
    for j in range(ridge.shape[0]):
        if ridge[j] > 0.0:
            rest += 0.5 * pull[j] * pull[j] / ridge[j]
    return objective + penalty, missed + rest


# -- the active set -------------------------------------------------------------------------------


@helper()
def choose(boxes, path):
    """Tell which terms are held between their bounds, if they are few; set the others' duals."""
    terms, n, scale = path.terms, boxes.at.shape[1], 0.0
    dual, gradient = terms[TRIED_DUAL], path.params[TRIED_GRADIENT]
    for k in range(boxes.at.shape[0]):
        for i in range(n):
            scale += terms[P, k, i] + terms[M, k, i]
    scale /= boxes.at.size
    between, count = path.between, 0
    for i in range(n):
        moved = 0.0
        for k in range(boxes.at.shape[0]):
            low, high = boxes.low[k, i], boxes.high[k, i]
            p, m, width = terms[P, k, i] / scale, terms[M, k, i] / scale, high - low
            is_up = p >= m and p * width > terms[ABOVE, k, i]
            is_down = p < m and m * width > terms[BELOW, k, i]
            if is_up or is_down:
                bound = high if is_up else low
                moved += bound - dual[k, i]
                dual[k, i] = bound
            elif count >= between.shape[0]:
                return False
            else:
                between[count] = k * n + i
                count += 1
        for j in range(gradient.shape[0]):
            gradient[j] += moved * boxes.z[i, j]
    for b in range(count, between.shape[0]):
        between[b] = -1
    return True


@helper()
def solve_active(boxes, path):
    """Take what is tried to where the gradient and the residuals in between vanish.

        ridge du + C'dr = -gradient,    C du = at - C u

    with C the rows in between. Returns whether there is one such place.
    """
    z, n, size = boxes.z, boxes.at.shape[1], boxes.ridge.shape[0]
    full, between, count = path.equations, path.between, 0
    while count < size and between[count] >= 0:
        count += 1
    total = size + count
    for a in range(total):
        for b in range(total):
            full[a, b] = 0.0
    for j in range(size):
        full[j, j] = boxes.ridge[j]
        full[j, total] = -path.params[TRIED_GRADIENT, j]
    for b in range(count):
        k, i = between[b] // n, between[b] % n
        full[size + b, total] = boxes.at[k, i] - path.rows[TRIED_RAW, i]
        for j in range(size):
            full[j, size + b] = full[size + b, j] = z[i, j]
    if not eliminate(full, total):
        return False
    for j in range(size):
        path.params[TRIED, j] += full[j, total]
    for b in range(count):
        path.terms[TRIED_DUAL, between[b] // n, between[b] % n] += full[size + b, total]
    return True


@helper()
def eliminate(full, size):
    """Solve equations by Gauss's elimination with row pivoting; the last column is the right side.

    Returns whether all pivots were more than rounding.
    """
    largest = 0.0
    for a in range(size):
        for b in range(size):
            largest = max(largest, abs(full[a, b]))
    for a in range(size):
        best = a
        for b in range(a + 1, size):
            if abs(full[b, a]) > abs(full[best, a]):
                best = b
        if not abs(full[best, a]) > LEAST_PIVOT * largest:
            return False
        for c in range(a, size + 1):
            full[a, c], full[best, c] = full[best, c], full[a, c]
        for b in range(a + 1, size):
            if full[b, a] != 0.0:
                factor = full[b, a] / full[a, a]
                for c in range(a + 1, size + 1):
                    full[b, c] -= factor * full[a, c]
    for a in range(size - 1, -1, -1):
        rest = full[a, size]
        for b in range(a + 1, size):
            rest -= full[a, b] * full[b, size]
        full[a, size] = rest / full[a, a]
        if not math.isfinite(full[a, size]):
            return False
    return True


# -- steps ----------------------------------------------------------------------------------------


@helper()
def advance(boxes, path):
    """Take a step; return whether it could be taken."""
    terms, raw, size = path.terms, path.rows[RAW], boxes.ridge.shape[0]
    products, length = 0.0, 0.0
    for k in range(boxes.at.shape[0]):
        for i in range(boxes.at.shape[1]):
            p, m = terms[P, k, i], terms[M, k, i]
            above, below = terms[ABOVE, k, i], terms[BELOW, k, i]
            terms[CURVATURE, k, i] = 1.0 / (p / above + m / below)
            terms[UP, k, i], terms[DOWN, k, i] = -p * above, -m * below
            products += p * above + m * below
    if not factorise(boxes, path) > 0.0:
        return False
    for phase in range(2):
        for k in range(boxes.at.shape[0]):
            for i in range(boxes.at.shape[1]):
                rho = terms[P, k, i] - terms[M, k, i] - (raw[i] - boxes.at[k, i])
                up = terms[UP, k, i] / terms[ABOVE, k, i]
                terms[SHIFT, k, i] = rho + up - terms[DOWN, k, i] / terms[BELOW, k, i]
        direction(boxes, path)
        length = reach(path, 1.0 if phase == 0 else NEAR_BOUNDARY)
        if phase == 0:
            aim(path, length, products)
    if not math.isfinite(length):
        return False
    for j in range(size):
        path.params[U, j] += length * path.params[STEP, j]
    for k in range(boxes.at.shape[0]):
        for i in range(boxes.at.shape[1]):
            terms[P, k, i] += length * terms[DP, k, i]
            terms[M, k, i] += length * terms[DM, k, i]
            terms[ABOVE, k, i] -= length * terms[DR, k, i]
            terms[BELOW, k, i] += length * terms[DR, k, i]
            terms[R, k, i] += length * terms[DR, k, i]
    return True


@helper()
def aim(path, length, products):
    """Write the products' changes that the corrector aims at, from what the predictor reached."""
    terms, after = path.terms, 0.0
    for k in range(terms.shape[1]):
        for i in range(terms.shape[2]):
            p = terms[P, k, i] + length * terms[DP, k, i]
            m = terms[M, k, i] + length * terms[DM, k, i]
            change = length * terms[DR, k, i]
            after += p * (terms[ABOVE, k, i] - change) + m * (terms[BELOW, k, i] + change)
    share = max(after, 0.0) / products
    center = share * share * share * products / (2.0 * terms.shape[1] * terms.shape[2])
    for k in range(terms.shape[1]):
        for i in range(terms.shape[2]):
            dr = terms[DR, k, i]
            terms[UP, k, i] += center + terms[DP, k, i] * dr
            terms[DOWN, k, i] += center - terms[DM, k, i] * dr


@helper()
def factorise(boxes, path):
    """Factorise ridge + Z'DZ, with a unit diagonal; return the least pivot."""
    z, matrix, scale, sums = boxes.z, path.matrix, path.params[SCALE], path.rows[SUMS]
    size = boxes.ridge.shape[0]
    for a in range(size):
        for b in range(a + 1):
            matrix[a, b] = boxes.ridge[a] if a == b else 0.0
    for i in range(z.shape[0]):
        sums[i] = 0.0
        for k in range(boxes.at.shape[0]):
            sums[i] += path.terms[CURVATURE, k, i]
    add_products(z, sums, matrix)
    for a in range(size):
        if not matrix[a, a] > 0.0:
            return 0.0
        scale[a] = 1.0 / math.sqrt(matrix[a, a])
        for b in range(a):
            matrix[a, b] *= scale[a] * scale[b]
        matrix[a, a] = 1.0
    return cholesky(matrix)


@helper()
def direction(boxes, path):
    """Write the step to given shifts: du of the parameters, dp, dm and dr of the terms."""
    z, ridge, terms, sums = boxes.z, boxes.ridge, path.terms, path.rows[SUMS]
    step, right, rest = path.params[STEP], path.params[RIGHT], path.params[REST]
    for j in range(ridge.shape[0]):
        step[j], right[j] = 0.0, -path.params[GRADIENT, j]
    for i in range(z.shape[0]):
        push = 0.0
        for k in range(terms.shape[1]):
            push += terms[CURVATURE, k, i] * terms[SHIFT, k, i]
        for j in range(ridge.shape[0]):
            right[j] += push * z[i, j]
    for j in range(ridge.shape[0]):
        rest[j] = right[j]
    for correction in range(1 + CORRECTIONS):
        if correction > 0:
            for j in range(ridge.shape[0]):
                rest[j] = right[j] - ridge[j] * step[j]
            for i in range(z.shape[0]):
                raw = 0.0
                for j in range(ridge.shape[0]):
                    raw += z[i, j] * step[j]
                raw *= sums[i]
                for j in range(ridge.shape[0]):
                    rest[j] -= raw * z[i, j]
        add_solution(path.matrix, path.params[SCALE], rest, step)
    for i in range(z.shape[0]):
        raw = 0.0
        for j in range(ridge.shape[0]):
            raw += z[i, j] * step[j]
        for k in range(terms.shape[1]):
            dr = terms[CURVATURE, k, i] * (raw - terms[SHIFT, k, i])
            terms[DP, k, i] = (terms[UP, k, i] + terms[P, k, i] * dr) / terms[ABOVE, k, i]
            terms[DM, k, i] = (terms[DOWN, k, i] - terms[M, k, i] * dr) / terms[BELOW, k, i]
            terms[DR, k, i] = dr


@helper()
def add_solution(factor, scale, rest, step):
    """Add the solution of a factorised system to a step; the right side is used up."""
    size = scale.shape[0]
    for a in range(size):
        value = scale[a] * rest[a]
        for b in range(a):
            value -= factor[a, b] * rest[b]
        rest[a] = value / factor[a, a]
    for a in range(size - 1, -1, -1):
        value = rest[a] / factor[a, a]
        for b in range(a):
            rest[b] -= factor[a, b] * value
        step[a] += scale[a] * value


@helper()
def reach(path, share):
    """Return how far all variables may go, at most 1: primal and dual ones go together."""
    terms, slowest = path.terms, 0.0
    for k in range(terms.shape[1]):
        for i in range(terms.shape[2]):
            dr = terms[DR, k, i]
            slowest = max(slowest, -terms[DP, k, i] / terms[P, k, i])
            slowest = max(slowest, -terms[DM, k, i] / terms[M, k, i])
            slowest = max(slowest, dr / terms[ABOVE, k, i], -dr / terms[BELOW, k, i])
    return min(share / slowest, 1.0) if slowest > 0.0 else 1.0
