"""Newton's method for few columns and a smooth loss: each Hessian is a matrix, and exact.

Where a pass costs less than the bookkeeping of a descent, there is no need of samples, stale
Hessians and estimates: the whole descent is one kernel, on a standardised copy of the columns, and
ends at the rounding of the coefficients. Where a Hessian is ill-conditioned or nothing lower is
found, nothing is returned, and descent takes over.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._monitoring.observer import Model
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._certificates import ACCEPTED, ALLOWANCE, penalty_terms
from fastgd._solvers._columns import as_dense
from fastgd._solvers._costs import FINISHED_IN_FLOAT64
from fastgd._solvers._direct import CONSTANT, are_plain, is_nearly_dense, is_plain
from fastgd._solvers._problem import is_deviance, least_and_terms, lowest_of
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd.kernels import losses
from fastgd.kernels.newton import (
    EPSILON,
    FAILED,
    USED_UP,
    Classes,
    Columns,
    Place,
    newton_steps,
)

Floats = NDArray[np.float64]

MOST_PARAMETERS, MOST_PRODUCTS = 128, 5_000_000  # of a Hessian: a millisecond
MOST_PASSES = 50  # of a descent: most take 10


class Standard(NamedTuple):
    """A task in standardised columns, the intercept's column of ones last.

    columns : Columns or Classes
    mean : (d,), what was taken off the raw columns
    shrink : (d,), what they were multiplied by then; 0 for constant ones
    """

    columns: Any
    mean: Floats
    shrink: Floats


class Reached(NamedTuple):
    """Where Newton's steps have led."""

    u: Floats
    gradient: Floats
    objective: float
    suboptimality: float


def newton(task: Task, options: Options, start: Any) -> Solution | None:
    """Solve a small task with a smooth loss and an l2 penalty; None where descent should."""
    if not _is_small(task) or options.max_iter < 1:
        return None
    with one_blas_thread():
        standard = _standardised(task)
        return None if standard is None else _solved(task, options, standard, start)


def _is_small(task: Task) -> bool:
    """Tell whether a Hessian costs next to nothing, and the loss has one everywhere."""
    if task.positive or task.l1 > 0.0 or not task.l2 > 0.0 or not _is_smooth(task.loss):
        return False
    n, d = task.y.shape[0], task.n_features
    size = (d + 1) * task.n_outputs
    if size > MOST_PARAMETERS or n * size * size > 2 * MOST_PRODUCTS:
        return False
    return n * d <= FINISHED_IN_FLOAT64 and is_nearly_dense(task.rows, n, d)


def _is_smooth(loss: Any) -> bool:
    """Tell whether a loss is convex and >= 0 with curvatures everywhere, and no least squares."""
    if losses.kind_of(loss) == losses.MULTINOMIAL:
        return losses.is_cross_entropy(loss)
    has_curvature = losses.has(loss, "curvature") and losses.is_smooth(loss)
    is_bounded = losses.is_convex(loss) and lowest_of(loss) == 0.0
    return has_curvature and is_bounded and not losses.is_half_square(loss)


# -- standardised columns -------------------------------------------------------------------------


def _standardised(task: Task) -> Standard | None:
    """Return the task in standardised columns; None where float64 would lose too much by it."""
    n, d = task.y.shape[0], task.n_features
    x, weight = as_dense(task.rows, n, d), np.full(n, 1.0 / n)
    if task.weight is not None:
        weight = np.asarray(task.weight, np.float64)
        weight = weight / weight.sum()
    z, mean = np.ones((n, d + task.fit_intercept)), np.zeros(d)
    inner = z[:, :d]
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is not plain
        if task.fit_intercept:
            mean = weight @ x
        np.subtract(x, mean, out=inner)
        square = weight @ (inner * inner)
        if not are_plain(inner, mean, square) or not _has_plain_targets(task, weight):
            return None
    known = square > CONSTANT * CONSTANT * mean * mean
    shrink = known / np.sqrt(np.where(known, square, 1.0))
    inner *= shrink
    ridge = np.zeros(z.shape[1])
    ridge[:d] = task.l2 * shrink * shrink + ~known
    return Standard(_columns(task, z, weight, ridge), mean, shrink)


def _has_plain_targets(task: Task, weight: Floats) -> bool:
    """Tell whether targets need no units of their own."""
    if losses.kind_of(task.loss) != losses.REGRESSION or is_deviance(task.loss):
        return True
    level = float(weight @ task.y)
    return is_plain(level, float(weight @ (task.y - level) ** 2))


def _columns(task: Task, z: Floats, weight: Floats, ridge: Floats) -> Columns | Classes:
    """Return what the kernel minimises; y as a copy, since kernels tell apart what is frozen."""
    if task.n_outputs > 1:
        K, width = task.n_outputs, z.shape[1]
        scratch = np.empty((1 + K * (K + 1) // 2, width * (width + 1) // 2))
        own = z, np.array(task.y, np.int32), weight, np.tile(ridge, K)
        return Classes(*own, bool(task.fit_intercept), scratch, 0.0, EPSILON * EPSILON)
    y = np.array(task.y, np.float64)
    least, terms = least_and_terms(task.loss, y, weight)
    rounding = 4.0 * EPSILON * terms if is_deviance(task.loss) else EPSILON * EPSILON
    return Columns(z, y, weight, task.loss, ridge, least, rounding)


# -- the descent ----------------------------------------------------------------------------------


def _solved(task: Task, options: Options, standard: Standard, start: Any) -> Solution | None:
    """Take Newton's steps until rounding hides the rest, passes are used up, or one is stopped."""
    columns, observer = standard.columns, options.observer
    u, n = _start(task, standard, start), columns.y.shape[0]
    shape, size = (n, task.n_outputs) if task.n_outputs > 1 else n, u.shape[0]
    place = Place(u, np.empty(size), np.empty(shape), np.empty((size, size)), *np.empty((3, size)))
    history: dict[str, list[float]] = {"objective": [], "suboptimality": []}
    most, stops, status, n_done = min(options.max_iter, MOST_PASSES), False, USED_UP, 0
    pause = 1 if observer.is_watching else most
    while status == USED_UP and n_done < most and not stops:
        reported = np.empty((most - n_done, 2))
        status, n_passes, objective, suboptimality = newton_steps(columns, place, reported, pause)
        if status == FAILED or not np.isfinite(objective):
            return None
        if n_passes == n_done == 0:  # one entry at least, of the first point
            reported[0], n_passes = (objective, suboptimality), 1
        for row in reported[:n_passes].tolist():
            figures = dict(zip(history, row, strict=True))
            for name, value in figures.items():
                history[name].append(value)
            stops = observer.passed(partial(_model, task, standard, u.copy()), figures) or stops
        n_done += n_passes
    if status == USED_UP and not stops and options.max_iter > MOST_PASSES:
        return None
    return _solution(
        task, options, standard, Reached(u, place.gradient, objective, suboptimality), history
    )


def _start(task: Task, standard: Standard, start: Any) -> Floats:
    """Return where to begin: at given coefficients, or at the model without X."""
    d, K = standard.shrink.shape[0], max(1, task.n_outputs)
    parts = np.zeros((K, d + task.fit_intercept))
    if isinstance(start, State):
        known, coef = standard.shrink > 0.0, np.asarray(start.coef, np.float64).reshape(K, d)
        parts[:, :d][:, known] = coef[:, known] / standard.shrink[known]
        if task.fit_intercept:
            parts[:, d] = np.ravel(start.intercept) + np.sum(coef * standard.mean, axis=1)
    elif task.fit_intercept:
        parts[:, d] = _null_level(task, standard.columns)
    return parts.ravel()


def _null_level(task: Task, columns: Any) -> Any:
    """Return about the best raw predictions without X."""
    if task.n_outputs > 1:
        level = np.log(np.maximum(np.bincount(columns.y, columns.weight, task.n_outputs), 1e-12))
        return level - level.mean()
    mean = float(columns.weight @ columns.y)
    if losses.kind_of(task.loss) == losses.BINARY:
        negative = losses.negative(task.loss)
        share = min(max((mean - negative) / (1.0 - negative), 1e-12), 1.0 - 1e-12)
        return losses.raw_of_mean(task.loss, share)
    return losses.raw_of_mean(task.loss, mean)


# -- what was found -------------------------------------------------------------------------------


def _model(task: Task, standard: Standard, u: Floats) -> Model:
    """Return raw coefficients and intercepts."""
    d = standard.shrink.shape[0]
    parts = u.reshape(max(1, task.n_outputs), -1)
    coef = parts[:, :d] * standard.shrink
    intercept = np.zeros(parts.shape[0])
    if task.fit_intercept:
        intercept = parts[:, d] - np.sum(coef * standard.mean, axis=1)
        if task.n_outputs > 1:  # what all classes share changes no prediction
            intercept -= intercept.mean()
    if task.n_outputs > 1:
        return Model(coef, intercept)
    return Model(coef[0], float(intercept[0]))


def _solution(
    task: Task,
    options: Options,
    standard: Standard,
    reached: Reached,
    history: dict[str, list[float]],
) -> Solution:
    """Return raw coefficients, with a proven bound of the suboptimality."""
    objective, gap = reached.objective, _gap(task, standard, reached)
    suboptimality = min(reached.suboptimality, gap)
    floor = EPSILON * objective + standard.columns.rounding
    converged = suboptimality <= max(options.tol * objective, floor)
    coef, intercept, _ = _model(task, standard, reached.u)
    counts = len(history["objective"]), converged, history, State(coef, intercept)
    return Solution(coef, intercept, objective, gap, suboptimality, *counts)


def _gap(task: Task, standard: Standard, reached: Reached) -> float:
    """Return the bound of ``_certificates``; no objective is negative."""
    objective, columns, known = reached.objective, standard.columns, standard.shrink > 0.0
    shrink, parts = standard.shrink[known], (max(1, task.n_outputs), -1)
    u, slope = reached.u.reshape(parts), (reached.gradient - columns.ridge * reached.u)
    slope = slope.reshape(parts)[:, : known.shape[0]][:, known] / shrink
    coef = u[:, : known.shape[0]][:, known] * shrink
    is_regression = losses.kind_of(task.loss) == losses.REGRESSION
    size = float(np.sqrt(2.0 * objective)) if is_regression else min(1.0, objective)
    rest = 0.0
    if task.fit_intercept:
        rest = float(np.abs(reached.gradient.reshape(parts)[:, -1]).max())
    if not rest <= ACCEPTED * size:
        return objective
    reach = rest / shrink  # to balance the slopes exactly would change theirs by that
    ends = [penalty_terms(coef, slope + by, 0.0, task.l2) for by in (-reach, reach)]
    rounding = ALLOWANCE * (objective + abs(columns.least)) + rest / max(size, 1e-300) * objective
    return min(objective, float(np.maximum(*ends).sum()) + rounding)
