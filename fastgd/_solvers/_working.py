"""Working sets: an l1 penalty leaves few columns, and only these are solved for.

A round solves the problem of some columns, then looks at the gradient of all: a column outside,
whose coefficient is zero, stays there as long as |g_j| <= l1. Those that exceed it most come in
next, as many as there are columns in the model, so that few rounds suffice and no matrix is larger
than twice the model's [1]_.

References
----------
.. [1] Massias, Gramfort & Salmon, "Celer: a fast solver for the lasso with dual extrapolation",
   2018, section 3.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._monitoring.observer import Silenced
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers import _costs
from fastgd._solvers._accelerated import accelerate
from fastgd._solvers._descent import DescentResult, StoppingRule, descend
from fastgd._solvers._gd import certified, finished_tolerance, null_model, scale_of
from fastgd._solvers._precondition import bound, can_have_hessian, hessian
from fastgd._solvers._problem import (
    Floats,
    Point,
    Problem,
    evaluate,
    from_raw,
    lowest_of,
    model_at,
    pose,
)
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd.kernels import losses
from fastgd.kernels.objective import Scaler
from fastgd.kernels.rows import CSR, Dense

FEWEST = 100  # columns that come in at once
FEW_ROWS = 2.0  # columns for each of them
INNER_SHARE = 0.1  # of what the best column outside promises, to which a round is solved
LEAST_SHARE = 0.1  # of the target, to which the last round is solved
SHARPER = 0.1  # and its factor where that was not enough: a bound feels a gradient's error itself
ENDED_AT = 1e-6  # of the null model's loss: then rounds end, whether or not they have converged
SHARE_OF_BOUND = 0.1  # to which a round without a matrix is solved
NEARLY_ALL = 0.5  # of the target, where no column is left out
WORTHWHILE = 0.3  # of X's entries: such a round leaves others out if it has no more of them
PATIENCE = 3  # rounds that gain nothing


class Choice(NamedTuple):
    """Which columns a round solves for."""

    columns: NDArray[np.int64]
    promise: float  # what the best of those that come in would lower the objective alone


def wants_working_sets(task: Task) -> bool:
    """Tell whether an l1 penalty will leave far fewer columns than there are.

    That is sure where rows are few; else it is worth a try where a matrix of all columns costs too
    much. On 1,000 x 1,000, where half of the columns stay, one such matrix took a third of the time
    that rounds took.
    """
    n, d = task.y.shape[0], task.n_features
    is_bounded = losses.is_convex(task.loss) and lowest_of(task.loss) == 0.0
    if task.l1 <= 0.0 or not is_bounded:  # it could not tell when to stop
        return False
    largest = _costs.largest_matrix(task.rows, n, d, task.n_outputs, True)
    return (d + 1) * task.n_outputs > largest or d >= max(FEWEST + 1, FEW_ROWS * n)


def by_working_sets(task: Task, options: Options, start: State | None = None) -> Solution:
    """Solve a task with an l1 penalty and a smooth loss."""
    with one_blas_thread():
        problem = pose(task)
        if problem.n_outputs > 0:  # float32 would hide what a proof needs of the gradient
            problem = problem._replace(dtype=np.float64)
        result, n_iter = _rounds(problem, options, start)
        found = certified(problem, result, options)
    return found._replace(n_iter=n_iter)


def _rounds(problem: Problem, options: Options, start: State | None) -> tuple[DescentResult, int]:
    """Solve for the columns of one set after another."""
    u, prior = null_model(problem)
    f_null = scale_of(problem, prior)
    u = u if start is None else from_raw(problem, start.coef, start.intercept)
    point, curvature = evaluate(problem, u), _mean_curvature(problem, prior)
    stop = StoppingRule(finished_tolerance(problem, options.tol), 0.0, options.max_iter)
    if losses.has_jumps(problem.loss):  # of curvature: the last digits take passes without end
        stop = stop._replace(floor=stop.tol * ENDED_AT * f_null)
    if options.max_iter == 0:
        return DescentResult(point, bound(problem, prior), np.inf, [], [], False), 0
    objectives: list[float] = []
    suboptimalities: list[float] = []
    n_iter, share = 0, LEAST_SHARE
    gains = [np.inf]
    suboptimality, n_more = bound_of(problem, point, curvature), FEWEST
    while True:
        target = max(stop.target(point.objective, stop.tol), problem.rounding(point.objective))
        choice = _choose(problem, point, curvature, n_more)
        sub, first = _of_columns(problem, choice.columns), _restricted(point, choice.columns)
        remaining = max(options.max_iter - n_iter, 0)
        if can_have_hessian(sub):
            floor = max(min(INNER_SHARE * choice.promise, gains[-1]), share * target)
            inner = StoppingRule(0.0, floor, remaining, Silenced(options.observer))
            result = descend(sub, first.u, hessian(sub, first), inner, first)
        else:  # steps take long to speed up again in each round, and no matrix grows with a set
            n_more = problem.shape[1]
            if _costs.n_entries(sub.rows) > WORTHWHILE * _costs.n_entries(problem.rows):
                sub, first, choice = problem, point, choice._replace(columns=np.arange(n_more))
            floor = max(SHARE_OF_BOUND * suboptimality, share * target)
            floor = NEARLY_ALL * target if sub is problem else floor
            result = _accelerated(sub, first, prior, curvature, floor, remaining)
        gains.append(max(point.objective - result.point.objective, 0.0))
        point = evaluate(problem, _whole(problem, result.point.u, choice.columns))
        suboptimality = bound_of(problem, point, curvature)
        passes = len(result.objectives)  # the first point of a round is known
        n_iter += passes
        objectives.extend([point.objective] * passes)
        suboptimalities.extend([suboptimality] * passes)
        target = max(stop.target(point.objective, stop.tol), problem.rounding(point.objective))
        known = {"objective": point.objective, "suboptimality": suboptimality}
        model = partial(model_at, problem, point.u)
        if options.observer.passed(model, known, passes):
            break
        if suboptimality <= target or n_iter >= options.max_iter or sum(gains[-PATIENCE:]) <= 0.0:
            break
        if floor <= share * target:  # solved far enough, and still not within the bound
            share *= SHARPER
    result = result._replace(
        point=point,
        suboptimality=suboptimality,
        objectives=objectives,
        suboptimalities=suboptimalities,
    )
    enough = max(stop.tol * point.objective, problem.rounding(point.objective))
    return result._replace(converged=suboptimality <= enough), n_iter


def bound_of(problem: Problem, point: Point, curvature: float) -> float:
    """Bound the suboptimality, of a convex loss that is not negative.

    Convexity gives F* >= F - (t|u| + g'u) + sum_j (t_j |u*_j| + g_j u*_j). The last sum is at
    least -r t|u*| where no |g_j| exceeds (1 + r) t_j, and t|u*| <= F* <= F. The intercept's part
    is taken for that of its parabola.
    """
    t, u, g = problem.threshold[:-1], point.u[:-1], point.gradient[:-1]
    known = t > 0.0
    size = (-g if problem.positive else np.abs(g))[known]
    excess = np.max((size.T / t[known]).T, initial=1.0) - 1.0
    apart = float(np.sum(t @ np.abs(u)) + np.vdot(g, u))
    level = float(np.sum(np.square(point.gradient[-1]))) / curvature
    return max(apart, 0.0) + float(excess) * point.objective + level


def _accelerated(
    sub: Problem, first: Point, prior: Floats, curvature: float, floor: float, most: int
) -> DescentResult:
    """Solve a round without a matrix, until it is proven to be within ``floor``."""
    metric = bound(sub, prior)

    def is_enough(point: Point) -> bool:
        return bound_of(sub, point, curvature) <= floor

    diagonal = np.diagonal(metric.full) if metric.full.ndim == 2 else metric.full
    diagonal = np.where(metric.jacobi > 0.0, diagonal, 0.0)
    point, passes = accelerate(sub, first, diagonal, is_enough, most)
    left, history = bound_of(sub, point, curvature), [point.objective] * max(passes, 1)
    suboptimalities = [left] * len(history)
    return DescentResult(point, metric, left, history, suboptimalities, left <= floor)


def _mean_curvature(problem: Problem, prior: Floats) -> float:
    """Return the mean curvature of the loss at the null model."""
    if problem.n_outputs:
        return float(np.mean(prior * (1.0 - prior)))
    u, _ = null_model(problem)
    raw = np.full(1, float(u[-1]))
    y = (
        float(problem.weight @ problem.y)
        if losses.kind_of(problem.loss) == losses.REGRESSION
        else 1.0
    )
    return max(abs(float(losses.curvature(problem.loss, y, raw[0]))), 1e-3)


def _excess(problem: Problem, point: Point) -> Floats:
    """Return by how much the gradient exceeds the threshold of each column that is not in."""
    gradient, u, t = point.gradient[:-1], point.u[:-1], problem.threshold[:-1]
    size = -gradient if problem.positive else np.abs(gradient)
    excess = np.maximum((size.T - t).T, 0.0)
    excess[u != 0.0] = 0.0
    if excess.ndim == 2:
        excess = np.sqrt(np.sum(excess**2, axis=1))
    excess[problem.scaler.inverse_std <= 0.0] = 0.0
    return excess


def _choose(problem: Problem, point: Point, curvature: float, least: int) -> Choice:
    """Return the columns of the model and those that ask most to come in, ``least`` or as many."""
    excess, u = _excess(problem, point), point.u[:-1]
    inside = np.any(u.reshape(u.shape[0], -1) != 0.0, axis=1)
    n_more = max(least, int(np.count_nonzero(inside)))
    outside = np.flatnonzero((excess > 0.0) & ~inside)
    if outside.shape[0] > n_more:
        largest = np.argsort(-excess[outside], kind="stable")[:n_more]
        outside = outside[largest]
    columns = np.union1d(np.flatnonzero(inside), outside)
    return Choice(columns, float(np.max(excess, initial=0.0)) ** 2 / (2.0 * curvature))


def _of_columns(problem: Problem, columns: NDArray[np.int64]) -> Problem:
    """Return the problem of some columns; their part of X is copied."""
    rows, (n, d) = problem.rows, problem.shape
    if isinstance(rows, Dense):
        parts = [np.ascontiguousarray(rows.values[:, columns])]
    else:
        matrix = sp.csr_matrix((rows.data, rows.indices, rows.indptr), shape=(n, d))[:, columns]
        matrix.sort_indices()
        parts = [matrix.data, matrix.indices.astype(rows.indices.dtype)]
        parts.append(matrix.indptr.astype(rows.indptr.dtype))
    for part in parts:
        part.flags.writeable = False
    some: Any = Dense(*parts) if len(parts) == 1 else CSR(*parts)
    scaler, size = problem.scaler, columns.shape[0]
    return problem._replace(
        rows=some,
        passes=None if problem.passes is None else problem.passes.over(some, (n, size)),
        scaler=Scaler(scaler.center[columns], scaler.inverse_std[columns]),
        peak=problem.peak[columns],
        largest=_costs.largest_matrix(some, n, size, problem.n_outputs, True),
    )


def _restricted(point: Point, columns: NDArray[np.int64]) -> Point:
    """Return a point as the problem of some columns sees it."""
    kept = np.append(columns, point.u.shape[0] - 1)
    return point._replace(u=point.u[kept], gradient=point.gradient[kept])


def _whole(problem: Problem, u: Floats, columns: NDArray[np.int64]) -> Floats:
    """Return all parameters, zero outside some columns."""
    whole = np.zeros((problem.shape[1] + 1, *u.shape[1:]))
    whole[columns], whole[-1] = u[:-1], u[-1]
    return whole
