"""Least squares of few, well-conditioned columns: solved at once, from the products of the columns.

The normal equations are factorised (Cholesky), and the solution is refined with the residuals of
all rows, which brings back the digits that products lose (Bjoerck, "Numerical Methods for Least
Squares Problems", 1996, section 6.6). An l1 penalty first takes coordinate descent on the same
products, to find which coefficients are not zero. Where the equations are ill-conditioned, or what
is asked for lies beyond the arithmetic, nothing is returned, and descent takes over.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpocon, dpotrf, dpotrs

from fastgd._monitoring.observer import Model
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._certificates import penalty_terms
from fastgd._solvers._columns import as_dense
from fastgd._solvers._l1_model import SWEEPS, minimise_model
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd.kernels import losses
from fastgd.kernels.metric_steps import step_in_metric
from fastgd.kernels.rows import Dense

Floats = NDArray[np.float64]

MOST_ENTRIES, MOST_COLUMNS = 1_000_000, 1_000
MOST_WITHOUT_PENALTY = 300  # columns whose products may turn out ill-conditioned for nothing
FREE_PRODUCTS, DENSE_ENOUGH = 2_000_000, 8  # of sparse rows; entries a non-zero
LEAST_CONDITION = 1e-6  # reciprocal: a step of refinement then gains ten digits
FAR = 100.0  # a mean in standard deviations: two digits lost
CONSTANT = 1e-14  # a standard deviation below this part of the mean is rounding
SQUARABLE = 1e-100, 1e100
NEARLY_EXACT = 1e-8  # of the targets' variance: residuals below it are made of rounding
ACCURACY = 1e-8  # of coordinate descent, which has to find signs only
MOST_STAGES = 25  # of sweeps, before they are said to creep
SWAPS = 20  # of columns in and out of the model
KEPT = 1e-10  # relative: by so much a column left out may seem to matter
EPSILON = float(np.finfo(np.float64).eps)
ALLOWANCE = 8.0 * EPSILON  # relative: the rounding of both objectives


class Products(NamedTuple):
    """Centered columns and targets, rows times the root of their weights, and their products.

    z, t : (n, d), (n,)
    mass : float, by which sums over rows are divided
    root : (n,), of the weights, or None where they are equal
    mean, level : (d,), float, what was taken off
    inverse_std : (d,), 1 / root of each column's mean square and l2; 0 for constant columns
    matrix : (d, d), products of the columns times ``inverse_std``, with l2 and a unit diagonal
    along : (d,), products with the targets, times ``inverse_std``
    """

    z: Floats
    t: Floats
    mass: float
    root: Floats | None
    mean: Floats
    level: float
    inverse_std: Floats
    matrix: Floats
    along: Floats


def directly(task: Task, options: Options) -> Solution | None:
    """Solve small least squares, with or without l1 and l2; None where descent should."""
    if not _is_small(task) or options.max_iter < 1:
        return None
    with one_blas_thread():
        moments = _moments(task)
        if moments is None:
            return None
        u = _u_of(task, moments)
        return None if u is None else _solution(task, options, moments, u)


def _is_small(task: Task) -> bool:
    """Tell whether products of columns cost next to nothing, and more rows than columns are left.

    Rows fewer than columns leave no condition to hope for.
    """
    n, d = task.y.shape[0], task.n_features
    if not losses.is_half_square(task.loss) or task.positive:
        return False
    most = MOST_COLUMNS if task.l1 > 0.0 or task.l2 > 0.0 else MOST_WITHOUT_PENALTY
    return d <= min(n, most) and n * d <= MOST_ENTRIES and is_nearly_dense(task.rows, n, d)


def is_nearly_dense(rows: Any, n: int, d: int) -> bool:
    """Tell whether products of dense columns cost no more than sparse ones, or nothing."""
    if isinstance(rows, Dense) or n * d * d <= FREE_PRODUCTS:
        return True
    return bool(DENSE_ENOUGH * rows.data.size >= n * d)


def _moments(task: Task) -> Products | None:
    """Center and multiply columns; None where float64 would lose too much by it."""
    n, d = task.y.shape[0], task.n_features
    x, y = as_dense(task.rows, n, d), task.y
    mass, root, share = float(n), None, None
    if task.weight is not None:
        share = np.asarray(task.weight, np.float64)
        share = share / share.sum()
        mass, root = 1.0, np.sqrt(share)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is not plain
        mean, level = np.zeros(d), 0.0
        z, t = x, y
        if task.fit_intercept:
            mean = x.sum(axis=0) / n if share is None else share @ x
            level = float(y.sum() / n if share is None else share @ y)
            is_copy = not isinstance(task.rows, Dense) or task.rows.values.dtype != np.float64
            z, t = np.subtract(x, mean, out=x if is_copy else None), y - level
        if root is not None:
            z, t = z * root[:, None], t * root
        products, square = z.T @ z / mass, float(t @ t) / mass
        variance = products.diagonal()
        if not are_plain(z, mean, variance) or not is_plain(level, square):
            return None
        known = variance > CONSTANT * CONSTANT * mean * mean
        size = np.where(known, variance + task.l2, 1.0)
        inverse_std = known / np.sqrt(size)
        matrix = (products * inverse_std) * inverse_std[:, None]
        matrix.flat[:: d + 1] = 1.0
        return Products(
            z, t, mass, root, mean, level, inverse_std, matrix, inverse_std * (t @ z) / mass
        )


def are_plain(z: Floats, mean: Floats, square: Floats) -> bool:
    """Tell whether columns keep nearly all digits in float64, and may be squared.

    z : (n, d), what is left of the columns without their means
    mean, square : (d,), the means, and the mean squares of ``z``
    """
    far, (low, high) = mean * mean, SQUARABLE
    plain = (square >= low) & (square <= high) & (far <= FAR * FAR * square)
    if plain.all():
        return True
    plain |= (far >= low) & (far <= high) & (square <= CONSTANT * CONSTANT * far)
    rest = np.flatnonzero(~plain)
    return bool(np.all(square[rest] == 0.0) and np.all(far[rest] == 0.0) and not z[:, rest].any())


def is_plain(mean: float, square: float) -> bool:
    """Tell the same of targets that vary."""
    low, high = SQUARABLE
    return low <= square <= high and mean * mean <= FAR * FAR * square


def _factor(matrix: Floats) -> Floats | None:
    """Return the Cholesky factor of a matrix with a unit diagonal; None if ill-conditioned."""
    factor, fault = dpotrf(matrix.T, lower=1, clean=0)
    if fault != 0:
        return None
    condition, _ = dpocon(factor, float(np.abs(matrix).sum(axis=0).max()), uplo="L")
    return factor if condition >= LEAST_CONDITION else None


def _solved(factor: Floats, right: Floats) -> Floats:
    found: Floats = dpotrs(factor, right, lower=1)[0]
    return found


def _u_of(task: Task, moments: Products) -> tuple[Floats, Floats, NDArray[np.int64]] | None:
    """Return coefficients, the factor, and which columns it is of."""
    every = np.arange(moments.inverse_std.shape[0])
    if task.l1 == 0.0:
        factor = _factor(moments.matrix)
        return None if factor is None else (_solved(factor, moments.along), factor, every)
    return _of_nonsmooth(task.l1 * moments.inverse_std, moments)


def _of_nonsmooth(
    threshold: Floats, moments: Products
) -> tuple[Floats, Floats, NDArray[np.int64]] | None:
    """Return the same under l1: columns come in and go out until the optimum's conditions hold."""
    matrix, along = moments.matrix, moments.along
    nothing = np.zeros(threshold.shape[0])
    sides = np.stack([threshold, nothing - np.inf])
    step = _sweeps(matrix, along, sides)
    signs = np.where(np.abs(step) > KEPT * np.max(np.abs(along)), np.sign(step), 0.0)
    for _ in range(SWAPS):
        chosen = np.flatnonzero(signs)
        u, factor = np.zeros(threshold.shape[0]), np.empty((0, 0))
        if chosen.shape[0] > 0:
            found = _factor(matrix[np.ix_(chosen, chosen)])
            if found is None:
                return None
            factor = found
            u[chosen] = _solved(factor, (along - threshold * signs)[chosen])
        slope = along - matrix @ u
        leaves = (signs != 0.0) & (np.sign(u) != signs)
        over = np.where(signs == 0.0, np.abs(slope) - threshold * (1.0 + KEPT), -np.inf)
        if np.any(leaves):
            signs = np.where(leaves, 0.0, signs)
        elif np.max(over) > EPSILON * np.max(np.abs(along)):
            signs[np.argmax(over)] = np.sign(slope[np.argmax(over)])
        else:
            return u, factor, chosen
    return None


def _sweeps(matrix: Floats, along: Floats, sides: Floats) -> Floats:
    """Return about where coordinate descent leads to; exact steps help it where it creeps."""
    step, nothing, largest = np.zeros(along.shape[0]), np.zeros(along.shape[0]), 0.0
    for _ in range(MOST_STAGES):
        _, worth, most = step_in_metric(matrix, -along, nothing, sides, ACCURACY, SWEEPS, step)
        largest = max(largest, most)
        if worth <= ACCURACY * largest:
            return step
    return minimise_model(matrix, -along, nothing, sides, ACCURACY)[0]


def _solution(
    task: Task,
    options: Options,
    moments: Products,
    found: tuple[Floats, Floats, NDArray[np.int64]],
) -> Solution | None:
    """Refine with the rows' residuals, and say how good that is; None if not as asked."""
    u, factor, chosen = found
    inverse_std, t = moments.inverse_std, moments.t
    push = task.l1 * inverse_std * np.sign(u)
    coef, residual, slope = _residuals(task, moments, u)
    if chosen.shape[0] > 0:
        u = u.copy()
        u[chosen] += _solved(factor, (inverse_std * slope - push)[chosen])
        coef, residual, slope = _residuals(task, moments, u)
    square = float(residual @ residual) / moments.mass
    if not square >= NEARLY_EXACT * float(t @ t) / moments.mass:
        return None
    objective = 0.5 * square + 0.5 * task.l2 * float(coef @ coef)
    objective += task.l1 * float(np.abs(coef).sum())
    if task.l1 == 0.0:
        along = inverse_std * slope
        suboptimality = 0.5 * float(along @ _solved(factor, along)) + EPSILON * objective
    else:
        suboptimality = _gap(task, coef, slope + task.l2 * coef, square) + ALLOWANCE * objective
    if not suboptimality <= max(options.tol * objective, ALLOWANCE * objective):
        return None
    intercept = _intercept(task, moments, coef, residual)
    return at_once(options, coef, intercept, objective, suboptimality)


def at_once(
    options: Options, coef: Any, intercept: float, objective: float, suboptimality: float
) -> Solution:
    """Report what was found in one pass, and return it."""
    history = {"objective": [objective], "suboptimality": [suboptimality]}
    options.observer.passed(lambda: Model(coef, intercept), {k: v[0] for k, v in history.items()})
    state = State(coef, intercept)
    return Solution(
        coef, intercept, objective, suboptimality, suboptimality, 1, True, history, state
    )


def _residuals(task: Task, moments: Products, u: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the coefficients, the rows' residuals, and minus the gradient without l1."""
    coef = moments.inverse_std * u
    residual = moments.t - moments.z @ coef
    return coef, residual, residual @ moments.z / moments.mass - task.l2 * coef


def _intercept(task: Task, moments: Products, coef: Floats, residual: Floats) -> float:
    """Return the best intercept: what centering has left of the residuals' mean is added."""
    if not task.fit_intercept:
        return 0.0
    root = moments.root
    rest = float(residual.sum() if root is None else root @ residual) / moments.mass
    return float(moments.level - np.sum(moments.mean * coef) + rest)


def _gap(task: Task, coef: Floats, slope: Floats, square: float) -> float:
    """Return the duality gap; ``slope`` is minus the gradient of the squared errors alone.

    Where l2 = 0 residuals are scaled into |slope| <= l1, as ``_certificates`` does.
    """
    if task.l2 > 0.0:
        return float(penalty_terms(coef, -slope, task.l1, task.l2).sum())
    largest = float(np.abs(slope).max())
    share = min(1.0, task.l1 / largest) if largest > 0.0 else 1.0
    inside = share * slope
    terms = (task.l1 - np.abs(inside)) * np.abs(coef) + np.abs(inside * coef) - inside * coef
    return float(np.maximum(terms, 0.0).sum()) + 0.5 * (1.0 - share) ** 2 * square
