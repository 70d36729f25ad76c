"""Newton's method for few columns and one smooth loss: each Hessian is a matrix, and exact.

Where a pass costs less than the bookkeeping of a descent, there is no need of samples, stale
Hessians and estimates: the whole descent is one kernel, on a standardised copy of the columns, and
ends at the rounding of the coefficients. Where a Hessian is ill-conditioned or nothing lower is
found, nothing is returned, and descent takes over.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._observer import Model
from fastgd._solvers._certificates import (
    ACCEPTED,
    ALLOWANCE,
    penalty_terms,
)
from fastgd._solvers._columns import as_dense
from fastgd._solvers._costs import FINISHED_IN_FLOAT64
from fastgd._solvers._direct import CONSTANT, is_nearly_dense, is_plain
from fastgd._solvers._problem import has_log_link, least_and_terms, raw_of
from fastgd._solvers._task import Effort, Solution, State, Task
from fastgd._threads import one_blas_thread
from fastgd.kernels import losses
from fastgd.kernels.newton import EPSILON, FAILED, USED_UP, Columns, Place, newton_steps

Floats = NDArray[np.float64]

MOST_COLUMNS, MOST_PASSES = 64, 50
SMOOTH = (
    losses.LogLoss,
    losses.SquaredHinge,
    losses.SquaredEpsilonInsensitive,
    losses.Poisson,
    losses.Gamma,
)


class Standard(NamedTuple):
    """A task in standardised columns, the intercept's column of ones last.

    columns : Columns
    mean : (d,), what was taken off the raw columns
    shrink : (d,), what they were multiplied by then; 0 for constant ones
    """

    columns: Columns
    mean: Floats
    shrink: Floats


def newton(task: Task, effort: Effort, start: Any) -> Solution | None:
    """Solve a small task with a smooth loss and an l2 penalty; None where descent should."""
    if not _is_small(task) or effort.max_iter < 1:
        return None
    with one_blas_thread():
        standard = _standardised(task)
        return None if standard is None else _solved(task, effort, standard, start)


def _is_small(task: Task) -> bool:
    """Tell whether a Hessian costs next to nothing, and the loss has one everywhere."""
    n, d = task.y.shape[0], task.n_features
    if task.positive or task.n_outputs > 1 or task.l1 > 0.0 or not task.l2 > 0.0:
        return False
    if not _is_smooth(task.loss) or d > MOST_COLUMNS or n * d > FINISHED_IN_FLOAT64:
        return False
    return is_nearly_dense(task.rows, n, d)


def _is_smooth(loss: Any) -> bool:
    """Tell whether a loss is convex and has curvatures everywhere."""
    if isinstance(loss, losses.Tweedie):
        return bool(loss.convex(loss))
    return isinstance(loss, SMOOTH)


def _standardised(task: Task) -> Standard | None:
    """Return the task in standardised columns; None where float64 would lose too much by it."""
    n, d = task.y.shape[0], task.n_features
    y = np.array(task.y, np.float64)  # a copy: kernels tell apart what is frozen
    x = as_dense(task.rows, n, d)
    weight = np.full(n, 1.0 / n)
    if task.weight is not None:
        weight = np.asarray(task.weight, np.float64)
        weight = weight / weight.sum()
    z, mean = np.ones((n, d + task.fit_intercept)), np.zeros(d)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is not plain
        if task.fit_intercept:
            mean = weight @ x
            np.subtract(x, mean, out=z[:, :d])
        else:
            z[:] = x
        inner = z[:, :d]
        square = weight @ (inner * inner)
        if not is_plain(mean, square):
            return None
        if task.loss.kind == losses.REGRESSION and not has_log_link(task.loss):
            level = float(weight @ y)
            if not is_plain(level, float(weight @ (y - level) ** 2)):
                return None
    known = square > CONSTANT * CONSTANT * mean * mean
    shrink = known / np.sqrt(np.where(known, square, 1.0))
    inner *= shrink
    ridge = np.zeros(z.shape[1])
    ridge[:d] = task.l2 * shrink * shrink + ~known
    least, terms = least_and_terms(task.loss, y, weight)
    rounding = 4.0 * EPSILON * terms if has_log_link(task.loss) else EPSILON * EPSILON
    return Standard(Columns(z, y, weight, task.loss, ridge, least, rounding), mean, shrink)


def _solved(task: Task, effort: Effort, standard: Standard, start: Any) -> Solution | None:
    """Take Newton's steps until rounding hides the rest, passes are used up, or one is told to."""
    columns, observer = standard.columns, effort.observer
    u = _start(task, standard, start)
    place = Place(u, np.empty(u.shape[0]), np.empty(columns.y.shape[0]))
    objectives: list[float] = []
    lefts: list[float] = []
    most, stops, status = min(effort.max_iter, MOST_PASSES), False, USED_UP
    pause = 1 if observer.is_watching else most
    while status == USED_UP and len(objectives) < most and not stops:
        told = np.empty((most - len(objectives), 2))
        status, n_passes, objective, left = newton_steps(columns, place, told, pause)
        if status == FAILED or not np.isfinite(objective):
            return None
        if n_passes == 0 and not objectives:
            told[0], n_passes = (objective, left), 1
        model = partial(_model, task, standard, u.copy())
        for figures in told[:n_passes].tolist():
            objectives.append(figures[0])
            lefts.append(figures[1])
            named = {"objective": figures[0], "suboptimality": figures[1]}
            stops = observer.passed(model, named) or stops
    if status == USED_UP and not stops and effort.max_iter > MOST_PASSES:
        return None
    return _solution(task, effort, standard, place, (objectives, lefts), (objective, left))


def _start(task: Task, standard: Standard, start: Any) -> Floats:
    """Return where to begin: at given coefficients, or at the model without X."""
    columns, shrink = standard.columns, standard.shrink
    d, u = shrink.shape[0], np.zeros(columns.ridge.shape[0])
    if isinstance(start, State):
        known, coef = shrink > 0.0, np.asarray(start.coef, np.float64)
        u[:d][known] = coef[known] / shrink[known]
        if task.fit_intercept:
            u[d] = float(start.intercept) + float(np.sum(coef * standard.mean))
    elif task.fit_intercept:
        u[d] = _null_level(task.loss, float(columns.weight @ columns.y))
    return u


def _null_level(loss: Any, mean: float) -> float:
    """Return about the best raw prediction without X, from the targets' mean."""
    if has_log_link(loss):
        return float(raw_of(loss, mean))
    if isinstance(loss, losses.LogLoss):
        mean = min(max(mean, 1e-12), 1.0 - 1e-12)
        return math.log(mean / (1.0 - mean))
    return 0.0 if loss.kind == losses.BINARY else mean


def _model(task: Task, standard: Standard, u: Floats) -> Model:
    """Return what observers see."""
    return Model(*_raw(task, standard, u))


def _raw(task: Task, standard: Standard, u: Floats) -> tuple[Floats, float]:
    """Return raw coefficients, and the intercept."""
    coef = standard.shrink * u[: standard.shrink.shape[0]]
    if not task.fit_intercept:
        return coef, 0.0
    return coef, float(u[-1] - np.sum(standard.mean * coef))


def _solution(
    task: Task,
    effort: Effort,
    standard: Standard,
    place: Place,
    history: tuple[list[float], list[float]],
    found: tuple[float, float],
) -> Solution:
    """Return raw coefficients, with a proven bound of the suboptimality."""
    objective, left = found
    coef, intercept = _raw(task, standard, place.u)
    gap = _gap(task, standard, place, objective)
    left = min(left, gap)
    floor = EPSILON * objective + standard.columns.rounding
    converged = left <= max(effort.tol * objective, floor)
    named = dict(zip(("objective", "suboptimality"), history, strict=True))
    counts = len(history[0]), converged, named, State(coef, intercept)
    return Solution(coef, intercept, objective, gap, left, *counts)


def _gap(task: Task, standard: Standard, place: Place, objective: float) -> float:
    """Return the bound of ``_certificates``; no objective is negative."""
    shrink = standard.shrink
    known, d = shrink > 0.0, shrink.shape[0]
    shrink = shrink[known]
    slope = (place.gradient - standard.columns.ridge * place.u)[:d][known] / shrink
    coef = place.u[:d][known] * shrink
    is_binary = task.loss.kind == losses.BINARY
    size = min(1.0, objective) if is_binary else math.sqrt(2.0 * objective)
    rest = abs(float(place.gradient[-1])) if task.fit_intercept else 0.0
    if not rest <= ACCEPTED * size:
        return objective
    terms = penalty_terms(coef, slope, 0.0, task.l2)
    if rest > 0.0:
        ends = [penalty_terms(coef, slope + by / shrink, 0.0, task.l2) for by in (-rest, rest)]
        terms = np.maximum(*ends)
    share = rest / max(size, 1e-300)
    rounding = ALLOWANCE * (objective + abs(standard.columns.least))
    return min(objective, float(terms.sum()) + share * objective + rounding)
