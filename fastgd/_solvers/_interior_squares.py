"""Squares of the distance from an interval by the interior point method, with an l1 penalty or l2.

    s max(z, 0)^2 = max_{r >= 0} r z - r^2 / (4 s)

is a term of ``_interior`` whose give is 1 / (2 s). A model that is no worse than some F has
s max(z, 0)^2 <= F in each row, so that  r <= 2 (s F)^1/2  changes nothing at the optimum: that is
the box. Where rows are nearly separable Newton's steps and descent creep towards the few rows that
matter; this method does not care how small what is left of them is.
"""

from typing import Any

import numpy as np

from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._costs import can_factorise
from fastgd._solvers._dual_points import Pieces, loss_of
from fastgd._solvers._gd import finished_tolerance
from fastgd._solvers._interior import Target, interior
from fastgd._solvers._passes import predictions
from fastgd._solvers._piecewise import refuse_infinite
from fastgd._solvers._problem import EPSILON, TINIEST, Floats, Problem, from_raw, model_at, pose
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd.kernels import losses

ROOM = 2.0  # times the largest slope that a model as good as the start may have


def has_squares(task: Task) -> bool:
    """Tell whether a task is one for this method, and so small that its steps cost little."""
    is_penalised = task.l1 > 0.0 or task.l2 > 0.0
    is_small = can_factorise(task.y.shape[0], task.n_features)
    is_own = task.device is None and is_small and is_penalised and not task.positive
    return is_own and losses.is_of_interval(task.loss)


def by_interior(task: Task, options: Options, start: State) -> Solution:
    """Solve a small task; where another method has ended says how large slopes may be."""
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        problem = pose(task._replace(loss=losses.SquaredError()))._replace(loss=task.loss)
        pieces = _pieces_of(problem, from_raw(problem, start.coef, start.intercept))
        target = Target(finished_tolerance(problem, options.tol), options.tol, _nothing)
        begin = np.zeros(problem.shape[1] + 1)
        if problem.fit_intercept:
            begin[-1] = float(problem.weight @ problem.y)
        ended = interior(problem, pieces, options, target, begin)
        coef, intercept, _ = model_at(problem, ended.found.u)
    refuse_infinite(coef, intercept, ended.found.objective)
    found, history = ended.found, {"objective": ended.objectives, "suboptimality": ended.gaps}
    gap = min(found.gap + EPSILON * found.objective, found.objective)
    about = len(ended.gaps), ended.converged, history, State(coef, intercept)
    return Solution(coef, intercept, found.objective, gap, gap, *about)


def _nothing(_: Floats) -> float:
    """Return below which objective nothing is told from zero: squares of rounding."""
    return 0.0


def _pieces_of(problem: Problem, u: Floats) -> Pieces:
    """Return the terms, with boxes for models that are no worse than u."""
    low, high = type(problem.loss).interval(problem.loss, problem.y)
    s = problem.weight
    give = np.divide(0.5, s, out=np.ones_like(s), where=s > 0.0)
    ends: Any = [(high, 0.0, np.inf), (low, -np.inf, 0.0)]
    if not (np.isfinite(low) & np.isfinite(high)).all():
        is_low = np.isfinite(low)
        below, above = np.where(is_low, -np.inf, 0.0), np.where(is_low, 0.0, np.inf)
        ends = [(np.where(is_low, low, high), below, above)]
    at = np.stack([end[0] for end in ends])
    counts = s > 0.0
    lower, upper = (np.stack([np.where(counts, end[k], 0.0) for end in ends]) for k in (1, 2))
    open_ended = Pieces(at, lower, upper, np.broadcast_to(give, at.shape))
    penalty = 0.5 * float(np.sum(problem.ridge * u * u)) + float(problem.threshold @ np.abs(u))
    most = loss_of(open_ended, predictions(problem, u)) + penalty
    largest = ROOM * 2.0 * np.sqrt(s * max(most, TINIEST))
    return open_ended._replace(low=np.maximum(lower, -largest), high=np.minimum(upper, largest))
