"""The last digits of small least squares problems, with or without a penalty.

Products of columns, which descent uses, lose half of the digits. Here the standardised columns are
factorised themselves (Householder QR with pivoting), and the solution is refined with residuals in
extended precision where the platform has it. Of many solutions, those of dependent columns, the one
of least norm in the user's columns is taken, which is the limit of Ridge as alpha vanishes: which
columns depend on others is decided where all are of one scale, what is least where they are not.

References
----------
.. [1] Bjoerck, "Iterative Refinement of Linear Least Squares Solutions I", 1967.
.. [2] Cox & Higham, "Stability of Householder QR Factorization for Weighted Least Squares
   Problems", 1998: columns of very different scale need sorting and pivoting.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg as sl
from numpy.typing import NDArray

from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._certificates import penalty_terms
from fastgd._solvers._columns import as_matrix
from fastgd._solvers._problem import TINIEST, TINIEST_FREE, is_free
from fastgd._solvers._task import Solution, Task
from fastgd.kernels.rows import Dense

Floats = NDArray[np.float64]
Extended: Any = np.longdouble

EPSILON = float(np.finfo(np.float64).eps)
ROUNDS = 6  # of refinement, each of which gains as many digits as the factorisation has
OFFSET_NOISE = 16.0  # rounding of a column far from zero, in units of its last digit
LEAST_PIVOT = 1e-10  # of columns that a non-smooth penalty has chosen: below it, leave them
SWAPS = 20  # of columns in and out of the model
KEPT = 1e-10  # relative: by so much a column left out may seem to matter
LARGEST = 1e300
WORTH_KEEPING = 1e-9  # relative: less may be the rounding of residuals, extended or not


class System(NamedTuple):
    """Rows times the root of their weights, columns by powers of two to a norm near 1.

    z, t : (n, d), (n,), in extended precision: columns and targets, centered
    mean, level : (d,), float: what was taken off
    inverse_std : (d,), float64, what columns were multiplied by; 0 for constant ones
    noise : (d,), float64, what rounding may have left of a column that depends on others
    """

    z: Any
    t: Any
    mean: Any
    level: Any
    inverse_std: Floats
    noise: Floats


def exact(task: Task, found: Solution) -> Solution:
    """Return a solution of a task with the squared error, finished to rounding."""
    with one_blas_thread():
        system = _system(task)
        if task.l1 > 0.0 or task.positive:
            result = _with_nonsmooth(task, system, found)
        else:
            result = _smooth(task, system)
    if result is None:
        return found
    return _reported(task, system, found, *result)


def _system(task: Task) -> System:
    """Return the task in extended precision; rows without a weight are left out."""
    n, d = task.y.shape[0], task.n_features
    weight = np.ones(n) if task.weight is None else np.asarray(task.weight, np.float64)
    kept = weight > 0.0
    s = weight[kept].astype(Extended)
    s /= s.sum()
    rows = task.rows
    x = rows.values[kept] if isinstance(rows, Dense) else as_matrix(rows, n, d)[kept].toarray()
    x, t = x.astype(Extended), task.y[kept].astype(Extended)
    largest = np.max(np.abs(x), axis=0, initial=0.0)
    mean, level = np.zeros(d, Extended), Extended(0.0)
    if task.fit_intercept:
        mean, level = s @ x, s @ t
    x -= mean
    root = np.sqrt(s)
    x *= root[:, None]
    least = TINIEST_FREE if is_free(task) else TINIEST
    inverse_std, noise = _scales(x, largest, n, least)
    x *= inverse_std
    return System(x, root * (t - level), mean, level, inverse_std, noise)


def _scales(x: Any, largest: Any, n: int, least: float) -> tuple[Floats, Floats]:
    """Return powers of two near 1 / norm of each column, and what rounding leaves of columns.

    What is smaller than ``least`` is no column.
    """
    peak = np.max(np.abs(x), axis=0, initial=0.0)
    unit = np.exp2(-np.frexp(np.maximum(peak, TINIEST_FREE).astype(np.float64))[1])
    norm = np.sqrt(np.sum(np.square((x * unit).astype(np.float64)), axis=0)) / unit
    varies = norm > np.maximum(1e-14 * largest, least)
    exponent = np.frexp(np.where(varies, norm, 1.0).astype(np.float64))[1]
    inverse_std = np.where(varies, np.exp2(-exponent.astype(np.float64)), 0.0)
    far = (largest * inverse_std).astype(np.float64)
    noise: Floats = EPSILON * (max(n, x.shape[1]) + OFFSET_NOISE * far)
    return inverse_std, noise


class Factors(NamedTuple):
    """Columns z[:, order] = q r, the first ``rank`` of them independent."""

    q: Floats
    r: Floats
    order: NDArray[np.int32]
    rank: int


def factorise_columns(z: Any, noise: Floats) -> Factors:
    """Factorise columns, those that add most first."""
    narrow = z.astype(np.float64)
    q, r, order = sl.qr(narrow, mode="economic", pivoting=True, check_finite=False)
    pivots = np.abs(np.diagonal(r))
    small = np.flatnonzero(pivots <= noise[order[: pivots.shape[0]]])
    return Factors(q, r, order, int(small[0]) if small.shape[0] > 0 else pivots.shape[0])


def _smooth(task: Task, system: System) -> tuple[Any, float]:
    """Return all coefficients of the user's columns, and what is left of the objective."""
    usable = np.flatnonzero(system.inverse_std > 0.0)
    coef = np.zeros(system.inverse_std.shape[0], Extended)
    if usable.shape[0] == 0 or system.z.shape[0] == 0:
        return coef, 0.0
    z, inverse_std = system.z[:, usable], system.inverse_std[usable]
    factors = factorise_columns(z, system.noise[usable])
    if task.l2 == 0.0 and factors.rank == usable.shape[0]:
        u, suboptimality = _refined(z, system.t, factors)
        coef[usable] = inverse_std * u
    else:
        coef[usable], suboptimality = _least_norm(z, system.t, factors, inverse_std, task.l2)
    return coef, suboptimality


def _refined(z: Any, t: Any, factors: Factors) -> tuple[Any, float]:
    """Solve least squares of independent columns; refine residuals and coefficients together.

    [I z; z' 0] [residual; u] = [t; 0]
    """
    q, r, order, _ = factors
    u, residual = np.zeros(z.shape[1], Extended), t * 0
    last, suboptimality = np.inf, 0.0
    for _ in range(ROUNDS):
        f, g = (t - residual - z @ u).astype(np.float64), -(z.T @ residual)
        h = sl.solve_triangular(r, g[order].astype(np.float64), trans=1, check_finite=False)
        along = q.T @ f - h
        step = sl.solve_triangular(r, along, check_finite=False)
        size = float(np.linalg.norm(step))
        if not size < last:  # rounding
            break
        u[order] += step
        residual += f - q @ along
        last = size
    suboptimality = 0.5 * float(np.sum(np.square(q.T @ (t - z @ u).astype(np.float64))))
    return u, suboptimality


def _least_norm(
    z: Any, t: Any, factors: Factors, inverse_std: Floats, l2: float
) -> tuple[Any, float]:
    """Solve by the coordinates of the rows that are left of columns in the user's scale.

    z u = q (r P' / scale) w, w = scale u in units of the largest; r P' / scale = (basis lower)',
    so that w = basis v is the shortest that predicts what it does.
    """
    largest = float(np.max(inverse_std))
    scale = np.maximum(inverse_std / largest, 1.0 / LARGEST)
    q, r, order, rank = factors
    if rank == 0:
        return np.zeros(z.shape[1]), 0.0
    seen = np.empty((rank, z.shape[1]))
    seen[:, order] = r[:rank]
    basis, lower, first = rows_of(seen / scale)
    q = q[:, :rank][:, first]
    strength = min(l2 * largest * largest, LARGEST) if l2 > 0.0 else 0.0
    both = np.vstack([lower.T, np.sqrt(strength) * np.eye(rank)]) if l2 > 0.0 else lower.T
    qa, ra = sl.qr(both, mode="economic", check_finite=False)
    w, suboptimality = np.zeros(z.shape[1], Extended), np.inf
    for _ in range(ROUNDS):
        residual = t - z @ (w / scale)
        if l2 > 0.0:
            slope = (residual @ z) / scale - strength * w
            step = sl.solve_triangular(
                ra, basis.T @ slope.astype(np.float64), trans=1, check_finite=False
            )
        else:
            step = qa.T @ (q.T @ residual.astype(np.float64))
        now = 0.5 * float(step @ step)
        if not now < suboptimality:
            break
        w, suboptimality = w + basis @ sl.solve_triangular(ra, step, check_finite=False), now
    return w * largest, suboptimality


def rows_of(seen: Floats) -> tuple[Floats, Floats, NDArray[np.int32]]:
    """Return an orthonormal basis of the rows, and seen[first] = (basis lower)'."""
    size = np.max(np.abs(seen), axis=0)
    order = np.argsort(-size, kind="stable")
    sorted_basis, lower, first = sl.qr(
        seen.T[order], mode="economic", pivoting=True, check_finite=False
    )
    basis = np.empty_like(sorted_basis)
    basis[order] = sorted_basis
    return basis, lower, first


def _with_nonsmooth(task: Task, system: System, found: Solution) -> tuple[Any, float] | None:
    """The same with l1 or bounds, from the columns that a solution has chosen.

    Columns come in and go out until the conditions of the optimum hold; None if they do not.
    """
    signs = np.sign(found.coef) * (system.inverse_std > 0.0)
    if task.positive:
        signs = np.maximum(signs, 0.0)
    rounding = EPSILON * float(np.sqrt(system.t @ system.t))
    for _ in range(SWAPS):
        result = _of_signs(task, system, signs)
        if result is None:
            return None
        u, slope, suboptimality = result
        threshold = task.l1 * system.inverse_std * (1.0 + KEPT) + rounding
        leaves = (signs != 0.0) & (np.sign(u) != signs)
        enters = (signs == 0.0) & (system.inverse_std > 0.0)
        enters &= (slope if task.positive else np.abs(slope)) > threshold
        if not np.any(leaves | enters):
            return system.inverse_std * u, suboptimality
        if np.any(leaves):
            signs = np.where(leaves, 0.0, signs)
        else:
            most = np.argmax(np.where(enters, np.abs(slope) - threshold, -np.inf))
            signs[most] = np.sign(slope[most])
    return None


def _of_signs(task: Task, system: System, signs: Floats) -> tuple[Any, Floats, float] | None:
    """Return the optimum of given signs, the slopes of all columns there, and what is left."""
    chosen = np.flatnonzero(signs)
    z, inverse_std = system.z[:, chosen], system.inverse_std[chosen]
    u = np.zeros(system.inverse_std.shape[0], Extended)
    suboptimality = 0.0
    if chosen.shape[0] > 0:
        ridge = task.l2 * inverse_std * inverse_std
        both = np.vstack([z.astype(np.float64), np.diag(np.sqrt(ridge))])
        if task.l2 == 0.0:
            both = both[: z.shape[0]]
        if both.shape[0] < both.shape[1]:
            return None
        (r,) = sl.qr(both, mode="r", check_finite=False)
        r = r[: chosen.shape[0]]
        if not np.min(np.abs(np.diagonal(r))) > LEAST_PIVOT:
            return None
        push, own, last = (
            task.l1 * inverse_std * signs[chosen],
            np.zeros(chosen.shape[0], Extended),
            np.inf,
        )
        for _ in range(ROUNDS):
            slope = z.T @ (system.t - z @ own) - ridge * own - push
            step = sl.solve_triangular(r, slope.astype(np.float64), trans=1, check_finite=False)
            now = 0.5 * float(step @ step)
            if not now < last:
                break
            own, last = own + sl.solve_triangular(r, step, check_finite=False), now
        u[chosen], suboptimality = own, last
    slope = (system.z.T @ (system.t - system.z @ u)).astype(np.float64)
    return u, slope, suboptimality


def _objective(task: Task, system: System, coef: Any) -> float:
    """Return what the task minimises, the intercept at its best."""
    usable = system.inverse_std > 0.0
    u = np.where(usable, coef / np.where(usable, system.inverse_std, 1.0), 0.0)
    residual = system.t - system.z @ u
    coef = coef.astype(Extended)
    penalty = 0.5 * task.l2 * (coef @ coef) if task.l2 > 0.0 else 0.0
    penalty += task.l1 * np.abs(coef).sum() if task.l1 > 0.0 else 0.0
    return float(0.5 * (residual @ residual) + penalty)


def _gap(task: Task, system: System, coef: Floats) -> float:
    """Return what the residuals prove, as a dual point (``_certificates``), where a penalty is.

    What rounding hides of a slope is treated as in ``_certificates._gap_in_box``.
    """
    usable = system.inverse_std > 0.0
    w, inverse_std = coef[usable].astype(Extended), system.inverse_std[usable]
    residual = system.t - system.z[:, usable] @ (w / inverse_std)
    slopes = -(system.z[:, usable].T @ residual) / inverse_std
    if task.l2 > 0.0:
        return float(np.sum(penalty_terms(w, slopes, task.l1, task.l2, task.positive)))
    if task.l1 == 0.0:
        return np.inf
    noise = EPSILON * float(np.sqrt(system.t @ system.t)) / inverse_std
    seen = (-slopes if task.positive else np.abs(slopes)) - noise
    largest = float(np.max(seen, initial=0.0))
    share = min(1.0, task.l1 / largest) if largest > 0.0 else 1.0
    terms = task.l1 * np.abs(w) + share * slopes * w
    terms = np.maximum(terms, 0.0) + np.minimum(noise, task.l1) * np.abs(w)
    missed = 0.5 * (1.0 - share) ** 2 * float(residual @ residual)
    return float(np.sum(terms)) + missed


def _reported(
    task: Task, system: System, found: Solution, coef: Any, suboptimality: float
) -> Solution:
    """Return the finished solution; the one before it where that is better by more than rounding.

    What descent says of its objective is no guide: where columns nearly depend on each other, it
    has half of the digits.
    """
    objective = _objective(task, system, coef)
    before = _objective(task, system, found.coef)
    rounding = WORTH_KEEPING * before + 1e-20 * float(system.t @ system.t)
    if not (np.all(np.isfinite(coef)) and objective <= before + rounding):
        return found
    intercept = float(system.level - system.mean @ coef) if task.fit_intercept else 0.0
    coef, state = coef.astype(np.float64), found.state
    if hasattr(state, "coef"):
        state = state._replace(coef=coef, intercept=intercept)
    suboptimality += EPSILON * objective
    has_corners = task.l1 > 0.0 or task.positive
    gap = min(
        found.gap, _gap(task, system, coef) + EPSILON * objective if has_corners else suboptimality
    )
    known = (("objective", objective), ("suboptimality", suboptimality))
    last = {k: [*found.history[k][:-1], value] for k, value in known if found.history.get(k)}
    return found._replace(
        coef=coef,
        intercept=intercept,
        objective=objective,
        gap=gap,
        suboptimality=suboptimality,
        converged=True,
        history=found.history | last,
        state=state,
    )
