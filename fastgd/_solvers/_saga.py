"""The driver of SAGA: metric, batch size, step size, and when to stop.

The step size starts from a bound and adapts: twice as long after a pass that lowered the full
objective, half as long after one that did not and was undone. The bound is often 16 times too
careful, because a few rows with a huge leverage decide it.
"""

from collections import deque
from typing import NamedTuple

import numpy as np
import scipy.linalg as sl
from numpy.typing import NDArray

from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._descent import (
    MORE_CAUTION,
    NEWTON_CAUTION,
    DescentResult,
    StoppingRule,
    extrapolated,
)
from fastgd._solvers._gd import certified, finished_tolerance, null_model
from fastgd._solvers._precondition import (
    Metric,
    bound,
    can_have_hessian,
    factorise,
    hessian,
    solve,
    solve_l1,
)
from fastgd._solvers._problem import Floats, Point, Problem, evaluate, from_raw, pose, take
from fastgd._solvers._requirements import Requires
from fastgd._solvers._sample import draw
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd.kernels.losses import usual_curvature
from fastgd.kernels.objective import weigh_rows
from fastgd.kernels.saga import Samples, Shape, Table, saga_pass, saga_pass_softmax
from fastgd.kernels.sampling import shuffled_rows, shuffled_runs

LARGEST_INVERSE = 500  # columns: a batch multiplies by the inverse
RUN_LENGTH = 16
SAMPLED_ENTRIES = 2_000_000
POWER_STEPS = 20
LONGEST = 100.0  # P is a bound: far inside it, curvatures can be that much smaller
SMALLEST_STEP = 1e-12
ABSURD = 1e3  # times the objective that a pass started from


REQUIRES = Requires(("value", "gradient", "curvature"), smooth=True, free=True)


class Pass(NamedTuple):
    """What does not change from pass to pass."""

    problem: Problem
    metric: Metric
    shape: Shape
    batch_size: int
    seed: int


def saga(task: Task, options: Options, start: State | None = None) -> Solution:
    """Solve a task by mini-batch SAGA; the loss needs a Lipschitz gradient.

    ``start`` is the ``state`` of another solution; the result is not worse than it. The
    suboptimality that stops it is an estimate; a pass visits every row once, and once more for
    the objective. ``history`` has ``objective`` and ``suboptimality``, one entry a pass.
    """
    problem = pose(task)
    null, prior = null_model(problem)
    u = null if start is None else from_raw(problem, start.coef, start.intercept)
    tol = finished_tolerance(problem, options.tol)
    stop = StoppingRule(tol, 0.0, options.max_iter, options.observer, True)
    # a pass that goes too far, to where a log link overflows, is undone
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        plan, step_size = _plan(problem, prior, options.seed)
        result = _passes(plan, step_size, u, stop)
        return certified(problem, result, options)


def _plan(problem: Problem, prior: Floats, seed: int) -> tuple[Pass, float]:
    """Choose metric, batch size and first step size."""
    n, d = problem.shape
    metric = bound(problem, prior)
    if problem.l1 > 0.0 or d > LARGEST_INVERSE or metric.product.ndim == 1:
        diagonal = metric.product if metric.product.ndim == 1 else np.diagonal(metric.product)
        metric = factorise(problem, np.ascontiguousarray(diagonal), False)
    size = 1 << int(np.clip(np.ceil(np.log2(d + 1)), 6, 10))
    size = max(1, min(size, n // 8))
    shape = Shape(
        problem.scaler.center,
        problem.scaler.inverse_std,
        problem.ridge,
        problem.threshold,
        _inverse(metric),
    )
    return Pass(problem, metric, shape, size, seed), _first_step_size(problem, metric, size, seed)


def _inverse(metric: Metric) -> Floats:
    """Return P, as the kernels take it."""
    if metric.product.ndim == 1:
        return np.ascontiguousarray((metric.jacobi**2)[None, :])
    identity = np.diag(metric.jacobi)
    found = sl.cho_solve((metric.factor, True), identity, check_finite=False)
    return np.ascontiguousarray(metric.jacobi[:, None] * found)


def _first_step_size(problem: Problem, metric: Metric, m: int, seed: int) -> float:
    """Return 1/(4 L(m)) of Gazagnadou, Gower & Salmon, in P's norm, from a sample of rows."""
    n, d = problem.shape
    size = int(np.clip(SAMPLED_ENTRIES // (d + 1), min(n, 50), min(n, 2000)))
    chosen, weight = draw(problem, size, np.random.default_rng((seed, 1)))
    sample = take(problem, chosen, weight)
    z = np.empty((chosen.shape[0], d + 1))
    weigh_rows(sample.rows, sample.scaler, np.empty(0), 0, z.shape[0], z)
    whitened = _whiten(metric, z) * np.sqrt(usual_curvature(problem.loss))
    largest = float(np.max(np.sum(whitened**2, axis=1)))
    overall = _largest_eigenvalue(whitened, weight)
    if m >= n or n == 1:
        return 1.0 / max(overall, 1e-300)
    spare = (n - m) / (m * (n - 1))
    expected = n * (m - 1) / (m * (n - 1)) * overall + spare * largest
    return float(min(LONGEST, 0.25 / max(expected, 1e-300)))


def _whiten(metric: Metric, z: Floats) -> Floats:
    """Return rows whose inner products are those of P."""
    scaled = z * metric.jacobi
    if metric.product.ndim == 1:
        return scaled
    whitened: Floats = sl.solve_triangular(metric.factor, scaled.T, lower=True, check_finite=False)
    return whitened.T


def _largest_eigenvalue(z: Floats, weight: Floats) -> float:
    """Return that of sum_i s_i z_i z_i', by power iteration, rounded up."""
    v = np.sqrt(np.sum(z**2, axis=0))
    value = float(np.linalg.norm(v))
    for _ in range(POWER_STEPS):
        if value == 0.0:  # rows of zeros
            break
        v /= value
        v = z.T @ (weight * (z @ v))
        value = float(np.linalg.norm(v))
    return 1.1 * value


def _passes(plan: Pass, step_size: float, u: Floats, stop: StoppingRule) -> DescentResult:
    """Pass over the rows until the stopping rule holds, adapting the step size."""
    problem, n = plan.problem, plan.problem.shape[0]
    point = evaluate(problem, u)
    slopes = np.zeros((n, problem.n_outputs) if problem.n_outputs else n)
    table = Table(u.copy(), slopes, np.zeros(u.shape))
    objectives, decrements = [point.objective], [_decrement(plan, point)]
    suboptimalities: list[float] = []
    falls: deque[bool] = deque(maxlen=2)
    base = np.empty(n, np.int64)
    shuffled_rows(plan.seed, base)
    suboptimality = np.inf
    for number in range(stop.max_passes):
        kept = (table.slopes.copy(), table.mean.copy())
        _one_pass(plan, table, base, number, step_size)
        following = evaluate(problem, table.params.copy())
        if not following.objective <= point.objective:
            _undo(table, point.u, kept, following.objective < ABSURD * point.objective)
            step_size *= 0.5
            falls.append(False)
        else:
            point = following
            # after an undone pass a step size is kept for as long as it works
            step_size = min(step_size * (2.0 if all(falls) else 1.0), LONGEST)
            falls.append(True)
        objectives.append(point.objective)
        decrements.append(_decrement(plan, point))
        suboptimality = extrapolated(decrements, objectives) if falls[-1] else np.inf
        target = max(stop.target(point.objective, stop.tol), problem.rounding(point.objective))
        is_last = step_size < SMALLEST_STEP or number + 1 == stop.max_passes
        suboptimality = (
            _shown(problem, point, suboptimality)
            if suboptimality <= target or is_last
            else MORE_CAUTION * suboptimality
        )
        suboptimalities.append(suboptimality)
        if stop.reports(problem, point, suboptimality) or suboptimality <= target or is_last:
            break
    floor = problem.rounding(point.objective)
    converged = suboptimality <= max(stop.target(point.objective, stop.tol), floor)
    return DescentResult(
        point, plan.metric, suboptimality, objectives[1:], suboptimalities, converged, floor
    )


def _one_pass(
    plan: Pass, table: Table, base: NDArray[np.int64], number: int, step_size: float
) -> None:
    """Visit every row once."""
    problem = plan.problem
    order = np.empty_like(base)
    run_length = min(RUN_LENGTH, plan.batch_size)
    shuffled_runs(base, run_length, plan.seed, number, order)
    samples = Samples(problem.y, problem.weight, order)
    run = saga_pass_softmax if problem.n_outputs else saga_pass
    fill = number == 0
    run(problem.rows, samples, problem.loss, plan.shape, table, plan.batch_size, step_size, fill)
    if not problem.fit_intercept:
        table.params[-1] = 0.0


def _undo(table: Table, u: Floats, kept: tuple[Floats, Floats], sane: bool) -> None:
    """Go back to u; slopes and their mean belong together wherever they were taken.

    Those of a far too far place are so large that their sums would lose all digits, though.
    """
    table.params[:] = u
    if not sane:
        table.slopes[:], table.mean[:] = kept


def _decrement(plan: Pass, point: Point) -> float:
    """Return what the metric's model promises."""
    if plan.problem.l1 > 0.0:
        return solve_l1(plan.metric, plan.problem, point, 1e-3)[1]
    return 0.5 * float(np.vdot(point.gradient, solve(plan.metric, point.gradient)))


def _shown(problem: Problem, point: Point, suboptimality: float) -> float:
    """Return what the decrement with the curvatures here says; more caution where there is none."""
    if not can_have_hessian(problem):
        return MORE_CAUTION * suboptimality
    metric = hessian(problem._replace(dtype=np.float64), point)
    if problem.l1 > 0.0:
        return NEWTON_CAUTION * solve_l1(metric, problem, point, 1e-3)[1]
    return NEWTON_CAUTION * 0.5 * float(np.vdot(point.gradient, solve(metric, point.gradient)))
