"""Piecewise linear losses of few rows and columns with an l2 penalty of all, by one kernel.

Where a pass costs less than the bookkeeping of ``_interior``, the same method is a kernel, on a
standardised copy of the columns (``_newton``). When the gap is small, the active set is read off
and solved for, which ends the fit at rounding. Where that is not so, nothing is returned, and
``_piecewise`` takes over.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg.lapack import dgetrf, dgetrs

from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._active_set import NEGLIGIBLE, in_columns
from fastgd._solvers._dual_points import SURELY, pieces_of
from fastgd._solvers._interior import FARTHEST, REFINEMENTS
from fastgd._solvers._newton import (
    MOST_PASSES,
    Descent,
    Standard,
    Taken,
    begin,
    descended,
    has_small_hessian,
    model_of,
    place_at,
    standardised,
)
from fastgd._solvers._problem import Floats
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd.kernels import losses
from fastgd.kernels.interior import Path, Terms, interior_steps
from fastgd.kernels.newton import ARRIVED, EPSILON, FAILED, USED_UP

POLISHED_FROM = 1e-4, 1e-7, 1e-10  # of the objective: a gap from which an active set may be right
FINISHED = 64.0 * EPSILON  # of the objective: more is another active set


def interior_small(task: Task, options: Options, start: Any) -> Solution | None:
    """Solve a small task with a piecewise linear loss and an l2 penalty; None for any other."""
    if task.fit_intercept or options.max_iter < MOST_PASSES:  # no estimator has a free intercept
        return None
    if not losses.is_piecewise_linear(task.loss) or not task.l2 > 0.0:
        return None
    if not has_small_hessian(task):
        return None
    with one_blas_thread(), np.errstate(all="ignore"):
        standard = standardised(task)
        return None if standard is None else _solved(task, options, standard, start)


def _solved(task: Task, options: Options, standard: Standard, start: Any) -> Solution | None:
    """Follow the path until the active set ends it, or a callback does."""
    terms = _terms(task, standard)
    is_regression = losses.kind_of(task.loss) == losses.REGRESSION
    u = begin(task, standard, start, _median(task.y) if is_regression else 0.0)
    steps = _Steps(terms, u)
    model = partial(model_of, task, standard, u)
    descent = descended(steps.take, MOST_PASSES, options.observer, model)
    if descent.last.status == FAILED or (descent.last.status == USED_UP and not descent.is_stopped):
        return None
    return _solution(task, options, standard, (terms, u), descent)


def _median(y: Any) -> float:
    """Return the median, the upper of two; ``np.median`` takes as long as some steps."""
    middle = y.shape[0] // 2
    return float(np.partition(y, middle)[middle])


def _terms(task: Task, standard: Standard) -> Terms:
    """Return what is minimised; rows without weight are left out."""
    z, weight, ridge = standard[:3]
    y = np.array(task.y, np.float64)
    if not weight.min() > 0.0:
        used = weight > 0.0
        z, weight, y = z[used], weight[used], y[used]
    at, low, high, _ = pieces_of(task.loss, y, weight)
    return Terms(z, at, low, high, ridge)


class _Steps:
    """The method on its way: where it stands, and how near its active set has to be."""

    def __init__(self, terms: Terms, u: Floats) -> None:
        self.terms, self.place, self.stage = terms, place_at(u, terms.z.shape[:1]), 0
        self.path = _begin(terms, u)

    def take(self, n_done: int, most: int, pause: int) -> Taken:
        """Take steps, ``pause`` at most; solve for the active set where the gap is small."""
        told: list[Floats] = []
        while pause > 0:
            reported = np.empty((min(pause, most - n_done), 2))
            given = self.terms, self.place, self.path, n_done == 0, reported
            status, n, *figures = interior_steps(*given, POLISHED_FROM[self.stage])
            told.append(reported[:n])
            n_done, pause = n_done + n, pause - n
            if status != ARRIVED:
                return Taken(status, np.concatenate(told), *figures)
            found = self._polish()
            if found is not None:
                told[-1][-1] = found
                return Taken(ARRIVED, np.concatenate(told), *found)
            self.stage += 1
            if self.stage == len(POLISHED_FROM):
                return Taken(FAILED, np.concatenate(told), *figures)
        return Taken(USED_UP, np.concatenate(told), *figures)

    def _polish(self) -> tuple[float, float] | None:
        """Solve for the active set; return objective and gap there if that is the optimum."""
        terms, path = self.terms, self.path
        u, dual = _of_active_set(terms, path, self.place.u)
        kept = path._replace(
            above=np.maximum(terms.high - dual, 0.0), below=np.maximum(dual - terms.low, 0.0)
        )
        kept = kept._replace(r=np.clip(dual, terms.low, terms.high), raw=path.raw.copy())
        there = place_at(u, self.place.curvature.shape)
        figures = interior_steps(terms, there, kept, True, np.empty((1, 2)), FINISHED)
        if figures[0] != ARRIVED:
            return None
        self.place.u[:] = u
        return figures[2], figures[3]


def _begin(terms: Terms, u: Floats) -> Path:
    """Return a point in the interior: all products of p and m are at least their mean."""
    middle, half = 0.5 * (terms.low + terms.high), 0.5 * (terms.high - terms.low)
    residual = terms.z @ u - terms.at
    size = np.abs(residual)
    mu, farthest = float(np.mean(2.0 * half * size)), FARTHEST * float(size.max())
    slack = np.minimum(max(mu, 1e-300) / half, max(farthest, 1e-300))
    p, m = np.maximum(residual, 0.0) + slack, np.maximum(-residual, 0.0) + slack
    scratch = np.empty((6, *half.shape))
    return Path(np.empty(terms.z.shape[0]), p, m, half, half.copy(), middle, *scratch)


def _of_active_set(terms: Terms, path: Path, u: Floats) -> tuple[Floats, Floats]:
    """Return parameters and dual variables that the terms between their bounds determine.

    Those have residual zero: C u = at and ridge u + C'r = -Z'r of the others.
    """
    scale, width = float(np.mean(path.p + path.m)), terms.high - terms.low
    is_up = path.p >= path.m
    up = is_up & (path.p / scale > path.above / width)
    down = ~is_up & (path.m / scale > path.below / width)
    between = ~(up | down)
    C = terms.z[np.nonzero(between)[1]]
    dual = np.where(up, terms.high, np.where(down, terms.low, path.r))
    solve = _equations(C, terms.ridge)
    for _ in range(REFINEMENTS):
        missing = terms.at[between] - C @ u
        rest = -(terms.ridge * u + dual.sum(axis=0) @ terms.z)
        du, dr = solve(missing, rest)
        u = u + du
        dual[between] += dr
    return u, dual


def _equations(C: Floats, ridge: Floats) -> Callable[[Floats, Floats], tuple[Floats, Floats]]:
    """Return what solves  C du = missing,  ridge du + C'dr = rest."""
    P, size = ridge.shape[0], ridge.shape[0] + C.shape[0]
    if size >= 2 * P:
        return partial(_least_change, C, ridge)
    matrix = np.zeros((size, size))
    matrix[:P, P:], matrix[P:, :P] = C.T, C
    matrix[np.arange(P), np.arange(P)] = ridge
    factor, pivots, fault = dgetrf(matrix)
    if fault != 0:  # rows depend on each other
        return partial(_least_change, C, ridge)

    def solve(missing: Floats, rest: Floats) -> tuple[Floats, Floats]:
        found = dgetrs(factor, pivots, np.concatenate([rest, missing]))[0]
        return found[:P], found[P:]

    return solve


def _least_change(C: Floats, ridge: Floats, missing: Floats, rest: Floats) -> tuple[Floats, Floats]:
    """Solve them where many dr do: the least one stays inside the boxes longest."""
    du, _ = in_columns(C, ridge, missing, rest)
    dr: Any = np.linalg.lstsq(C.T, rest - ridge * du, NEGLIGIBLE)[0]
    return du, dr


def _solution(
    task: Task, options: Options, standard: Standard, at: tuple[Terms, Floats], descent: Descent
) -> Solution:
    """Return raw coefficients; what rounding leaves of the residuals counts in the gap."""
    (terms, u), objective, gap = at, descent.last.objective, descent.last.suboptimality
    if losses.kind_of(task.loss) == losses.REGRESSION:
        weight = np.maximum(terms.high, -terms.low).max(axis=0)
        targets = float(weight @ np.abs(terms.at).max(axis=0))
        raw = float(weight.sum() * np.abs(u).sum())
        gap += EPSILON * targets + min(EPSILON * raw, SURELY * targets)
    gap = min(gap, objective)
    coef, intercept = model_of(task, standard, u)[:2]
    converged = descent.last.suboptimality <= options.tol * objective
    history = descent.history
    about = len(history["objective"]), converged, history, State(coef, intercept)
    return Solution(coef, intercept, objective, gap, descent.last.suboptimality, *about)
