"""Piecewise linear losses (hinge, epsilon-insensitive, quantile): which method."""

from functools import partial
from typing import Any

import numpy as np

from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._costs import LARGEST_MATRIX
from fastgd._solvers._dual_points import pieces_of, rounding_of, rounding_of_gap
from fastgd._solvers._gd import finished_tolerance
from fastgd._solvers._interior import Ended, Target, interior
from fastgd._solvers._multipliers import by_multipliers
from fastgd._solvers._passes import products_with
from fastgd._solvers._precondition import factorise, products, solve
from fastgd._solvers._problem import Floats, Problem, from_raw, model_at, pose
from fastgd._solvers._requirements import Requires
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd.kernels import losses

LARGEST_ROWS = 3000  # of a matrix of the rows: as much memory and work as the largest metric
MANY_ROWS = (
    200_000  # smooth approximations took a quarter of the time for a million rows, ten columns
)


REQUIRES = Requires(("value", "pieces", "dual_step"))


def has_matrix(n: int, d: int) -> bool:
    """Tell whether a matrix of the columns or of the rows is possible."""
    return d + 1 <= LARGEST_MATRIX or n <= LARGEST_ROWS


def piecewise_linear(task: Task, options: Options, start: State | None = None) -> Solution:
    """Solve a task whose loss is piecewise linear.

    The interior point method where a matrix of the columns or of the rows is affordable, smooth
    approximations of the loss elsewhere, or first where rows are very many. Both stop by a proven
    gap, which is what ``suboptimality`` and ``history["suboptimality"]`` are.

    Raises
    ------
    ValueError
        If no finite model was found.
    """
    return with_dual(task, options, start)[0]


def with_dual(task: Task, options: Options, start: State | None = None) -> tuple[Solution, Floats]:
    """Return the dual point that proves the gap as well, (n_samples,), times the weights."""
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        problem = pose(task._replace(loss=losses.SquaredError()))._replace(loss=task.loss)
        ended, passes = _minimise(problem, options, begin(problem, start))
        found = ended.found
        coef, intercept, _ = model_at(problem, found.u)
    refuse_infinite(coef, intercept, found.objective)
    history = {"objective": ended.objectives, "suboptimality": ended.gaps}
    off = rounding_of_gap(problem, pieces_of(task.loss, problem.y, problem.weight), found.u)
    gap = min(found.gap + off, found.objective)
    about = passes, ended.converged, history, State(coef, intercept)
    return Solution(coef, intercept, found.objective, gap, found.gap, *about), found.dual


def refuse_infinite(*numbers: Any) -> None:
    """Raise ValueError where a model is not finite."""
    if not all(np.isfinite(part).all() for part in numbers):
        raise ValueError(
            "No finite model was found: it, or its objective, leaves the range of float64. Scale "
            "X, y or the weights."
        )


def _minimise(problem: Problem, options: Options, u: Floats) -> tuple[Ended, int]:
    """Choose the methods; return where they ended, and the passes.

    Where a matrix is possible but dear, it is made if nothing else finishes.
    """
    pieces = pieces_of(problem.loss, problem.y, problem.weight)
    tol = finished_tolerance(problem, options.tol)
    target = Target(tol, options.tol, partial(rounding_of, problem, pieces))
    n, d = problem.shape
    is_possible = has_matrix(n, d)
    is_cheap = d + 1 <= problem.largest or n <= LARGEST_ROWS
    if is_cheap and n <= MANY_ROWS:
        ended = interior(problem, pieces, options, target, u)
        return ended, len(ended.gaps)
    given = problem, pieces, options, target, u
    first, passes = by_multipliers(*given, is_last=not is_possible)
    remaining = options._replace(max_iter=options.max_iter - passes)
    if first.converged or not is_possible or remaining.max_iter <= 0 or options.observer.stops:
        return first, passes
    ended = interior(problem, pieces, remaining, target, first.found.u)
    passes += len(ended.gaps)
    gap = min(first.found.gap, ended.found.gap)  # a bound holds for any lower objective as well
    found = ended.found._replace(gap=gap)
    if first.found.gap < ended.found.gap:
        found = found._replace(dual=first.found.dual)
    histories = first.objectives + ended.objectives, first.gaps + ended.gaps
    converged = target.has_converged(found)
    return Ended(found, *histories, converged), passes


def begin(problem: Problem, start: State | None) -> Floats:
    """Return where to begin: least squares, or the median where there is a penalty."""
    if start is not None:
        return from_raw(problem, start.coef, start.intercept)
    u = np.zeros(problem.shape[1] + 1)
    if losses.kind_of(problem.loss) != losses.REGRESSION:
        return u
    is_free = problem.l1 == problem.l2 == 0.0
    if is_free and problem.shape[1] + 1 <= problem.largest:
        exact = problem._replace(dtype=np.float64)
        covariance = factorise(exact, products(exact, problem.weight), False)
        return solve(covariance, products_with(problem, problem.weight * problem.y))
    if problem.fit_intercept:
        u[-1] = np.median(problem.y)
    return u
