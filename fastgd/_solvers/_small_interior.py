"""Small problems with hinge or epsilon-insensitive losses: the interior point method as one kernel.

Where a step costs less than the bookkeeping of ``_interior``, all of it is compiled, on a
standardised copy of the columns. Where it proves less than was asked for, nothing is returned, and
that method takes over.
"""

from functools import partial
from typing import Any

import numpy as np

from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._dual_points import EPSILON, SURELY, kinks_of
from fastgd._solvers._gd import SMALL_IS_FINISHED_TO
from fastgd._solvers._newton import (
    Floats,
    Standard,
    Taken,
    begin,
    descended,
    has_small_hessian,
    model_of,
    standardised,
)
from fastgd._solvers._task import Effort, Solution, State, Task
from fastgd.kernels import losses
from fastgd.kernels.interior import (
    BEST,
    GAP,
    OBJECTIVE,
    USED_UP,
    Boxes,
    interior_steps,
    path_from,
)

MOST_PASSES = 60


def interior_at_once(task: Task, effort: Effort, start: Any) -> Solution | None:
    """Solve a small task with an l2 penalty; None where ``_interior`` should."""
    is_small = losses.is_piecewise_linear(task.loss) and has_small_hessian(task)
    if not is_small or effort.max_iter < 1:
        return None
    with one_blas_thread():
        standard = standardised(task)
        return None if standard is None else _solved(task, effort, standard, start)


def _solved(task: Task, effort: Effort, standard: Standard, start: Any) -> Solution | None:
    """Follow the path until the gap is rounding, or steps prove no more and that is enough."""
    is_regression = losses.kind_of(task.loss) == losses.REGRESSION
    u = begin(task, standard, start, np.median(task.y) if is_regression else 0.0)
    boxes = _boxes(task, standard)
    path = path_from(u, *boxes.at.shape)
    most, tol = min(effort.max_iter, MOST_PASSES), min(effort.tol, SMALL_IS_FINISHED_TO)

    def take(n_done: int, most: int, pause: int) -> Taken:
        told = np.empty((min(pause, most - n_done), 2))
        status, n_passes = interior_steps(boxes, path, told, tol)
        return Taken(status, told[:n_passes])

    best = path.params[BEST]
    descent = descended(take, most, effort.observer, partial(model_of, task, standard, best))
    objective, gap = float(path.known[OBJECTIVE]), float(path.known[GAP])
    is_enough = gap <= effort.tol * objective
    is_used_up = descent.last.status == USED_UP and effort.max_iter <= MOST_PASSES
    if not np.isfinite(objective) or not (is_enough or is_used_up or descent.is_stopped):
        return None
    coef, intercept, _ = model_of(task, standard, best)
    proven = min(gap + _rounding(boxes, standard, best) * is_regression, objective)
    about = len(descent.history["objective"]), is_enough, descent.history, State(coef, intercept)
    return Solution(coef, intercept, objective, proven, gap, *about)


def _boxes(task: Task, standard: Standard) -> Boxes:
    """Return the terms of all rows that have a weight."""
    used = slice(None) if task.weight is None else np.flatnonzero(standard.weight > 0.0)
    y = np.array(task.y[used], np.float64)
    kinks = kinks_of(task.loss, y, standard.weight[used])
    terms = map(np.ascontiguousarray, kinks)
    z = np.ascontiguousarray(standard.z[used])
    return Boxes(z, *terms, standard.ridge, bool(task.fit_intercept))


def _rounding(boxes: Boxes, standard: Standard, u: Floats) -> float:
    """Return what ``rounding_of_gap`` does."""
    weight = np.maximum(boxes.high, -boxes.low).max(axis=0)
    targets = float(weight @ np.abs(boxes.at).max(axis=0))
    sizes = np.abs(u[: standard.shrink.shape[0]]) @ (1.0 + np.abs(standard.mean) * standard.shrink)
    raw = float(weight.sum()) * (float(sizes) + float(np.abs(u[standard.shrink.shape[0] :]).sum()))
    return EPSILON * targets + min(EPSILON * raw, SURELY * targets)
