"""Ridge regression of dense rows that columns outnumber: solved at once, in the rows.

With Z the centered rows times the root of their weights, t such targets and m the weights' sum, the
best coefficients are w = Z'a, where

    (Z Z' + m l2) a = t.

What takes the time is Z Z'. In float32 it takes half, and is refined with residuals of float64,
t - Z w - m l2 a = r, of which |r|^2 / (2 m) bounds the suboptimality: the gradient is -Z'r / m.

References
----------
.. [1] Carson & Higham, "Accelerating the Solution of Linear Systems by Iterative Refinement in
   Three Precisions", 2018.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import spotrf, spotrs

from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._costs import FINISHED_IN_FLOAT64
from fastgd._solvers._direct import ALLOWANCE, CONSTANT, EPSILON, are_plain, at_once, is_plain
from fastgd._solvers._task import Options, Solution, Task
from fastgd.kernels import losses
from fastgd.kernels.rows import Dense

Floats = np.ndarray

MOST_ROWS, MOST_ENTRIES = 500, 10_000_000  # the products cost a pass for each 20 rows
SINGLE = 1e-18, 1e18  # what may be squared in float32
ROUNDS, SHRUNK = 10, 0.25  # of refinement, and what each has to leave of the residuals at most
SHARE = 0.1  # of ``tol``
ROUNDING = 16.0 * EPSILON  # of residuals, relative to the targets


class Rows(NamedTuple):
    """Centered rows and targets, times the root of their weights.

    z, t : (n, d), (n,)
    mass : float, the weights' sum
    root : (n,), of the weights
    mean, level : (d,), float, what was taken off
    """

    z: Floats
    t: Floats
    mass: float
    root: Floats
    mean: Floats
    level: float


def in_rows(task: Task, options: Options) -> Solution | None:
    """Solve a ridge regression of few dense rows; None where descent should.

    Small ones have all their digits by ``_exact``.
    """
    n, d = task.y.shape[0], task.n_features
    is_ridge = losses.is_half_square(task.loss) and task.l1 == 0.0 and task.l2 > 0.0
    if not (is_ridge and isinstance(task.rows, Dense)) or task.positive or options.max_iter < 1:
        return None
    if not n < d or n > MOST_ROWS or not FINISHED_IN_FLOAT64 < n * d <= MOST_ENTRIES:
        return None
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        rows = _centered(task)
        solve = None if rows is None else _roughly(task, rows)
        return None if rows is None or solve is None else _refined(task, options, rows, solve)


def _centered(task: Task) -> Rows | None:
    """Center rows; None where float64, or squares of float32, would lose too much."""
    n, d = task.y.shape[0], task.n_features
    x, y, mass, root = task.rows.values, task.y, float(n), np.ones(n)
    if task.weight is not None:
        share = np.asarray(task.weight, np.float64)
        mass, root = 1.0, np.sqrt(share / share.sum())
    mean, level = np.zeros(d), 0.0
    if task.fit_intercept:
        mean = (root * root) @ x / mass
        level = float((root * root) @ y / mass)
    z, t = np.asarray(x - mean, np.float64), y - level
    if task.weight is not None:
        z, t = z * root[:, None], t * root
    variance = np.einsum("ij,ij->j", z, z) / mass
    if not are_plain(z, mean, variance) or not is_plain(level, float(t @ t) / mass):
        return None
    varies = variance > CONSTANT * CONSTANT * mean * mean
    if not varies.all():
        z[:, ~varies] = 0.0
    low, high = SINGLE
    if not np.all((variance[varies] > low * low) & (variance[varies] < high * high)):
        return None
    return Rows(z, t, mass, root, mean, level)


def _roughly(task: Task, rows: Rows) -> Callable[[Floats], Floats] | None:
    """Return what solves the equations in float32; None where they are ill-conditioned.

    Centered rows add up to zero, with their weights. That direction gets an eigenvalue of its own.
    """
    z = rows.z.astype(np.float32)
    matrix = z @ z.T
    size = float(np.trace(matrix)) / matrix.shape[0]
    if task.fit_intercept:
        matrix += np.outer(size / rows.mass * rows.root, rows.root).astype(np.float32)
    matrix.flat[:: matrix.shape[0] + 1] += rows.mass * task.l2
    factor, fault = spotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
    if fault != 0 or not np.isfinite(size):
        return None

    def solve(right: Floats) -> Floats:
        unit = float(np.max(np.abs(right))) or 1.0
        found = spotrs(factor, (right / unit).astype(np.float32), lower=1)[0]
        return unit * found.astype(np.float64)

    return solve


def _refined(
    task: Task, options: Options, rows: Rows, solve: Callable[[Floats], Floats]
) -> Solution | None:
    """Refine with the rows' residuals, and say how good that is; None if not as asked."""
    z, t, mass = rows.z, rows.t, rows.mass
    a, rest, last, suboptimality, objective = np.zeros(t.shape[0]), t, np.inf, np.inf, np.nan
    for number in range(ROUNDS):
        tried = a + solve(rest)
        coef = z.T @ tried
        residual = t - z @ coef
        rest = residual - mass * task.l2 * tried
        now = float(rest @ rest)
        if not now < SHRUNK * SHRUNK * last:
            break
        a, last, kept = tried, now, (coef, residual)
        objective = 0.5 * float(residual @ residual) / mass + 0.5 * task.l2 * float(coef @ coef)
        suboptimality = 0.5 * (now + ROUNDING**2 * float(t @ t)) / mass + ALLOWANCE * objective
        if number > 0 and suboptimality <= max(SHARE * options.tol, 2.0 * ALLOWANCE) * objective:
            break
    else:
        return None
    if not suboptimality <= max(options.tol, 2.0 * ALLOWANCE) * objective:
        return None
    coef, residual = kept
    intercept = 0.0
    if task.fit_intercept:
        level = float(rows.root @ residual) / mass
        intercept = float(rows.level - np.sum(rows.mean * coef) + level)
    return at_once(options, coef, intercept, objective, suboptimality)
