"""Coefficients of rows in parts in the type in which they are kept, and what rounding costs.

As in memory (``_stored``), but no row is read for it where the columns' deviations say enough:
what a rounding error d_j of each coefficient adds to raw predictions has a root mean square of at
most sum_j |d_j| std_j, once the intercept has made up for its mean.
"""

from functools import partial
from typing import Any

import numpy as np

from fastgd._data.shards import added
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._problem import Floats, from_raw
from fastgd._solvers._shard_sums import Look, losses_at
from fastgd._solvers._sharded import ShardedTask, frame_of
from fastgd._solvers._stored import fits, kept, largest_growth
from fastgd._solvers._task import Solution


def as_stored_in_parts(task: ShardedTask, found: Solution, tol: float) -> Solution:
    """Return a solution as the dtype of X keeps it, with its objective, gap and suboptimality.

    They take a pass where rounding may cost more than next to nothing. Where it costs more than
    ``tol`` allows, the solution is kept in float64.
    """
    if not _is_rounded(task, found):
        return found
    coef, intercept, square = rounded_by_moments(task.look, found, task.fit_intercept)
    if task.factors.shape[0] > 0:  # with which no moments were added up
        square *= float(np.max(task.factors)) * task.look.mass / task.mass
    change = largest_growth(task.loss, found, square)
    stored = kept(found, coef, intercept, change, partial(_objective_at, task))
    return _within(tol, stored, found)


def _is_rounded(task: ShardedTask, found: Solution) -> bool:
    """Tell whether a solution is to be rounded to float32."""
    return np.dtype(task.look.dtype) == np.float32 and fits(found) and not found.in_float64


def _within(tol: float, stored: Solution, exact: Solution) -> Solution:
    """Return the rounded solution, or the exact one if only that is within ``tol``."""
    asked = max(tol * abs(stored.objective), exact.suboptimality)
    if exact.converged and stored.suboptimality > asked:
        return exact._replace(in_float64=True)
    return stored


def rounded_by_moments(
    seen: Look, found: Solution, fit_intercept: bool
) -> tuple[Floats, Any, float]:
    """Return coefficients and intercepts, rounded, and a bound of the mean square that moves.

    It is that of the raw predictions of all outputs; each row counts by its weight.
    """
    exact = np.asarray(found.coef, np.float64)
    coef = exact.astype(np.float32).astype(np.float64)
    lost = exact - coef
    if not fit_intercept:
        moved = np.abs(lost) @ np.hypot(seen.std, seen.mean)
        return coef, found.intercept, float(np.sum(np.square(moved)))
    level = np.asarray(found.intercept, np.float64) + lost @ seen.mean
    stored = level.astype(np.float32).astype(np.float64)
    moved = np.hypot(np.abs(lost) @ seen.std, level - stored)
    intercept = float(stored) if stored.ndim == 0 else stored
    return coef, intercept, float(np.sum(np.square(moved)))


def _objective_at(task: ShardedTask, coef: Floats, intercept: Any) -> float:
    """Return the objective of a model in the user's units: a pass."""
    frame = frame_of(task)
    level = intercept if frame.origin is None else intercept + coef @ frame.origin
    places = [from_raw(frame.problem, coef, level)]
    with one_blas_thread():
        found = task.shards.total(partial(losses_at, frame=frame, places=places), added)
    penalty = task.l1 * float(np.sum(np.abs(coef))) + 0.5 * task.l2 * float(np.sum(coef**2))
    return float(found.values[0]) + penalty


def huber_as_stored_in_parts(task: ShardedTask, found: Solution, tol: float) -> Solution:
    """Do the same where a scale is fitted, over which residuals are divided: s H(r / s).

    An objective that would have to be evaluated anew is counted as the bound of it.
    """
    if not _is_rounded(task, found):
        return found
    coef, intercept, square = rounded_by_moments(task.look, found, task.fit_intercept)
    change = largest_growth(task.loss, found, square, 2.0 / found.state.scale)
    stored = kept(found, coef, intercept, change, lambda *_: found.objective + change)
    return _within(tol, stored, found)
