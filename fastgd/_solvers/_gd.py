"""Full-batch descent in a metric: first on samples of the rows, then on all of them.

A step follows -H^-1 g, H a metric of ``_precondition`` and BFGS's corrections from the last
steps. A metric grows stale as the curvatures move; a new one costs as much as some passes, so it
is made when the corrected old one would need more passes than that to the end. With few
parameters that is Newton's method with as few Hessians as pay; with many (mnist has 7,850) it is
L-BFGS in coordinates where the columns are uncorrelated.

Rows that outnumber the parameters many times say nearly the same: a sample of them finds the
optimum to its own statistical error, where all rows take over with the sample's metric.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._observer import UNWATCHED, Model, Observer, Silenced
from fastgd._solvers._implicit import Implicit
from fastgd._solvers._precondition import (
    SHORT,
    AnyMetric,
    Damping,
    bound,
    can_have_hessian,
    can_renew,
    cost_of_hessian,
    hessian,
    left_out,
    limit,
    metric_to_start,
    n_products,
    newton_metric,
    soften,
    solve,
    solve_l1,
    transfer,
    with_matrix_at_last,
)
from fastgd._solvers._problem import (
    FINISHED_IN_FLOAT64,
    Floats,
    Point,
    Problem,
    evaluate,
    from_raw,
    has_log_link,
    pose,
    take,
    to_raw,
)
from fastgd._solvers._task import Effort, Solution, Task
from fastgd._threads import one_blas_thread
from fastgd.kernels import losses
from fastgd.kernels.gd import first_loop, second_loop
from fastgd.kernels.losses import SquaredError
from fastgd.kernels.objective import total_loss

MEMORY = 50  # pairs of the BFGS correction; 30 took 3 % more passes on mnist, 100 as many
MEMORY_BYTES, LEAST_MEMORY = 1 << 29, 8  # fewer pairs where parameters are many millions
ROWS_PER_PARAMETER = 20  # a sample's optimum is then within 1/40 nat a row of the whole's
GROWTH = 8
RARE = 200  # rows that a sample keeps of each class, if there are as many
SUFFICIENT = 1e-4  # Armijo
SMALLEST_STEP = 1e-10
SMALL_IS_FINISHED_TO = 1e-12
SMALLEST_DECREASE = 1e-15  # relative: what rounding leaves of an objective
# A stale metric's estimates were 1 to 3 times too small on the problems tried, but 20 to 300 times
# on raw mnist near the optimum, where convergence is slower than any geometric series.
CAUTION = 2.5
WINDOW = 10
CONFIRMING_SHARE = 0.3
FORETELLABLE = 1e-4  # of the objective: what is left after so large a fall has 12 digits
LEAST_SAMPLE, HESSIAN_ROWS = 20_000, 200  # rows a parameter: directions are then right to 1/14
SLOW, SLOWEST = 0.9, 0.99
CAUTION_LATE = 1.5  # raw mnist: what is left was 1.5 times that from pass 100 to 390


class State(NamedTuple):
    """What continues a fit."""

    coef: Floats
    intercept: Any


class Goal(NamedTuple):
    """When to stop: suboptimality at most ``tol`` times the objective, at least ``floor``."""

    tol: float
    floor: float
    max_passes: int
    observer: Observer = UNWATCHED

    def target(self, objective: float) -> float:
        """Return the suboptimality that suffices here."""
        return max(self.tol * objective, self.floor)

    def tells(self, problem: Problem, point: Point, left: float) -> bool:
        """Report where a descent stands; return whether it is told to stop there."""
        figures = {"objective": point.objective, "suboptimality": left}
        return self.observer.passed(partial(model_at, problem, point.u), figures)


class Outcome(NamedTuple):
    """Where a descent ended."""

    point: Point
    metric: Any  # AnyMetric
    left: float  # estimated suboptimality
    objectives: list[float]
    lefts: list[float]
    converged: bool


def gd(task: Task, effort: Effort, start: State | None = None) -> Solution:
    """Solve a task by full-batch descent; the loss needs a curvature.

    ``start`` is the ``state`` of another solution; the result is not worse than it. The
    suboptimality that stops it is an estimate; passes over samples are not counted. ``history``
    has ``objective`` and ``suboptimality``, one entry a pass.
    """
    with one_blas_thread():
        problem = pose(task)
        outcome = _fit(problem, effort, start)
    return solution(problem, outcome, effort)


def _fit(problem: Problem, effort: Effort, start: State | None) -> Outcome:
    """Descend on samples, if there is no better start, then on all rows."""
    null, prior = null_model(problem)
    u = null if start is None else from_raw(problem, start.coef, start.intercept)
    first = None if start is None else evaluate(problem, u)
    f_null = scale_of(problem, prior)
    tol = finished_tolerance(problem, effort.tol)
    metric = None
    if start is None:
        u, metric = from_samples(problem, u, prior, tol, f_null, effort)
        if metric is not None:
            u, metric, first = _better_of(problem, null, u, metric, f_null)
    goal = Goal(tol, tol * 1e-6 * f_null, effort.max_iter, effort.observer)
    if metric is None:
        if has_log_link(problem.loss):
            first = first or evaluate(problem, u)
        metric = metric_to_start(problem, prior, first if has_log_link(problem.loss) else None)
    return descend(problem, u, metric, goal, first)


def _better_of(
    problem: Problem, null: Floats, u: Floats, metric: AnyMetric, f_null: float
) -> tuple[Floats, AnyMetric | None, Point]:
    """Return what samples led to, or the null model if better: no sample has all outliers."""
    point = evaluate(problem, u)
    if point.objective > f_null:
        start = evaluate(problem, null)
        if not point.objective < start.objective:
            return null, None, start
    return u, metric, point


def finished_tolerance(problem: Problem, tol: float) -> float:
    """Return ``tol``, or rounding's where the problem is small enough to be finished anyway."""
    small = problem.shape[0] * problem.shape[1] <= FINISHED_IN_FLOAT64
    return min(tol, SMALL_IS_FINISHED_TO) if small else tol


def null_model(problem: Problem) -> tuple[Floats, Floats]:
    """Return the parameters that predict without X, and the classes' shares."""
    shape = (problem.shape[1] + 1, *([problem.n_outputs] if problem.n_outputs else []))
    u, prior = np.zeros(shape), np.zeros(0)
    level: Any
    if problem.n_outputs:
        prior = np.zeros(problem.n_outputs)
        np.add.at(prior, problem.y, problem.weight)
        level = np.log(np.maximum(prior, 1e-12))
        level -= level.mean()
    elif problem.loss.kind == losses.BINARY:
        share = float(problem.weight @ (problem.y > problem.loss.negative))
        share = min(max(share, 1e-12), 1.0 - 1e-12)
        level = np.log(share / (1.0 - share)) if isinstance(problem.loss, losses.LogLoss) else 0.0
    else:
        level = float(problem.weight @ problem.y)
        level = np.log(max(level, 1e-300)) if has_log_link(problem.loss) else level
    if problem.fit_intercept:
        u[-1] = level
    return u, prior


def scale_of(problem: Problem, prior: Floats) -> float:
    """Return the scale of the objective: that of the null model, without reading X."""
    if problem.loss.kind == losses.REGRESSION:
        mean = float(problem.weight @ problem.y)
        if has_log_link(problem.loss):
            raw = np.full(problem.y.shape[0], np.log(max(mean, 1e-300)))
            return total_loss(problem.y, problem.weight, problem.loss, raw) - problem.least
        return float(problem.weight @ (problem.y - mean) ** 2) / 2.0
    if problem.n_outputs == 0:
        return float(np.log(2.0))
    return float(-np.sum(prior * np.log(np.maximum(prior, 1e-300))))


def from_samples(
    problem: Problem, u: Floats, prior: Floats, tol: float, f_null: float, effort: Effort
) -> tuple[Floats, AnyMetric | None]:
    """Descend on growing samples of the rows; return where that leads, and the last metric."""
    if isinstance(problem.loss, SquaredError) or not can_have_hessian(problem):
        return u, None  # one step finds the optimum; or no sample is large enough to help
    metric, observer = None, Silenced(effort.observer)
    for number, size in enumerate(sample_sizes(problem)):
        if observer.stops:
            break
        chosen, weight = draw(problem, size, np.random.default_rng((effort.seed, number)))
        sample = take(problem, chosen, weight)
        error = 0.04 * f_null * u.size / chosen.shape[0]  # a part of the statistical one
        goal = Goal(tol, max(tol * 1e-6 * f_null, error), 100, observer)
        if metric is not None:
            known = transfer(sample, metric)
        elif has_log_link(problem.loss):
            known = hessian(sample, evaluate(sample, u))
        else:
            known = bound(sample, prior)
        outcome = descend(sample, u, known, goal, None)
        u, metric = outcome.point.u, outcome.metric
    if metric is None:
        return u, None
    return u, transfer(problem, soften(sample, metric))


def sample_sizes(problem: Problem) -> list[int]:
    """Return the sizes of the samples to begin with, smallest first; none if rows are few."""
    n, d = problem.shape
    smallest = max(2000, ROWS_PER_PARAMETER * (d + 1) * max(1, problem.n_outputs))
    sizes: list[int] = []
    size = n // GROWTH
    while size >= smallest:
        sizes.insert(0, size)
        size //= GROWTH
    return sizes


def draw(problem: Problem, size: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Floats]:
    """Draw about ``size`` rows, evenly over the order they lie in, rare classes more often.

    Returns the rows' numbers, ascending, and weights that sum to 1 and are right on average.
    """
    n = problem.shape[0]
    if problem.loss.kind == losses.REGRESSION:
        groups = [np.arange(n)]
    else:
        groups = [np.flatnonzero(problem.y == label) for label in np.unique(problem.y)]
    chosen, share = [], []
    for group in groups:
        count = min(group.shape[0], max(RARE, group.shape[0] * size // n))
        edges = -(-np.arange(count + 1) * group.shape[0] // count)  # rounded up: all differ
        at = edges[:-1] + (rng.random(count) * np.diff(edges)).astype(np.int64)
        chosen.append(group[at])
        share.append(np.full(count, group.shape[0] / count))
    rows = np.concatenate(chosen)
    order = np.argsort(rows)
    rows = rows[order]
    weight = np.concatenate(share)[order] * problem.weight[rows]
    return rows, weight / weight.sum()


def descend(
    problem: Problem, u: Floats, metric: AnyMetric, goal: Goal, first: Point | None
) -> Outcome:
    """Follow the metric's directions from u until the goal."""
    point = first if first is not None else evaluate(problem, u)
    pairs = Pairs(u.size)
    objectives, lefts = [point.objective], []
    since, stuck, fresh = 0, False, isinstance(metric, Implicit)
    constant, damping = is_exact(problem, metric), Damping()
    decrements: list[float] = []
    n_spent = 0  # a product with an implicit Hessian reads X as a pass does
    limit(metric, goal.max_passes)
    while True:
        target = goal.target(point.objective)
        problem = with_matrix_at_last(problem, len(objectives) + n_spent)
        if isinstance(metric, Implicit) and not fresh:  # free to make, but not to solve with
            metric, fresh = newton_metric(problem, point, damping), True
            limit(metric, goal.max_passes - n_spent, 0.1 * target)
            pairs.clear()
        before = n_products(metric)
        step, decrement = _direction(problem, point, metric, pairs)
        n_spent += n_products(metric) - before
        decrements.append(decrement)
        is_newton = constant or (fresh and damping.amount == 0.0)
        left = decrement + left_out(metric) if is_newton else left_of(decrements, objectives)
        worth = stuck or _is_worth(problem, decrements, left, target, since)
        if left <= target and not (constant or fresh):
            worth = _can_confirm(problem, len(objectives))
        if worth and can_renew(problem) and not (constant or fresh):
            metric, since, fresh = _hessian_of_some(problem, point, damping), 0, True
            limit(metric, goal.max_passes - n_spent, 0.1 * target)
            pairs.clear()
            decrements.clear()
            continue
        lefts.append(left)
        if goal.tells(problem, point, left):
            break
        if left <= target or len(objectives) + n_spent > goal.max_passes:
            break
        following, length = None, 1.0
        if constant and problem.dtype == np.float64:
            following = _foretold(problem, point, metric, step)
        if following is None:
            following, length = _search(problem, point, step, decrement)
        if following is None:  # nothing lower along a direction of descent: rounding decides
            if problem.dtype == np.float64:
                if not (_shows(decrement, point, objectives[0]) and damping.can_grow(problem)):
                    break
                damping.learn(0.0)
                stuck, fresh = True, False
                lefts.pop()
                continue
            lefts.pop()
            problem = problem._replace(dtype=np.float64)
            point, stuck = evaluate(problem, point.u), True
            pairs.clear()
            continue
        pairs.add(following.u - point.u, following.gradient - point.gradient)
        objectives.append(following.objective)
        stuck = length < SHORT
        damping.learn(length)
        point, since, fresh = following, since + 1, False
    return Outcome(point, metric, left, objectives, lefts, left <= target)


def _shows(decrement: float, point: Point, first: float) -> bool:
    """Tell whether rounding leaves something to see of what a metric promised."""
    return decrement > 1e3 * SMALLEST_DECREASE * max(abs(point.objective), abs(first))


def _hessian_of_some(problem: Problem, point: Point, damping: Damping) -> AnyMetric:
    """Return the Hessian, from a sample of the rows where they outnumber what it needs."""
    n = problem.shape[0]
    size = max(LEAST_SAMPLE, HESSIAN_ROWS * point.u.size)
    # a sample misjudges rare classes
    if 2 * size > n or problem.n_outputs > 0 or not can_have_hessian(problem):
        return newton_metric(problem, point, damping)
    chosen, weight = draw(problem, size, np.random.default_rng(len(damping.sampled)))
    damping.sampled.append(size)
    sample = take(problem, chosen, weight)._replace(l2=problem.l2, prior=problem.prior)
    grown = weight / np.maximum(problem.weight[chosen], 1e-300)
    point = point._replace(curvature=point.curvature[chosen] * grown)
    return transfer(problem, hessian(sample, point, damping))


def is_exact(problem: Problem, metric: AnyMetric) -> bool:
    """Tell whether a metric is the Hessian everywhere."""
    return isinstance(problem.loss, SquaredError) and metric.product.ndim == 2


def _direction(
    problem: Problem, point: Point, metric: AnyMetric, pairs: "Pairs"
) -> tuple[Floats, float]:
    """Return a step and half what its model promises: the decrement."""
    if not problem.is_smooth:
        return solve_l1(metric, problem, point, 1e-6)
    step = -pairs.correct(metric, point.gradient)
    return step, -0.5 * float(np.vdot(point.gradient, step))


class Pairs:
    """The last steps and what they changed of the gradient, for BFGS's corrections."""

    def __init__(self, size: int) -> None:
        self._most = int(np.clip(MEMORY_BYTES // (16 * size), LEAST_MEMORY, MEMORY))
        self._size = size
        self.clear()

    def clear(self) -> None:
        """Forget all pairs."""
        self._steps = self._changes = np.zeros((0, self._size))
        self._curvatures, self._newest, self._shares = np.zeros(0), -1, np.zeros(0)

    def add(self, step: Floats, change: Floats) -> None:
        """Remember a pair, in place of the oldest if need be; memory grows as pairs come."""
        if self._newest + 1 == self._curvatures.shape[0] < self._most:
            self._grow()
        self._newest = (self._newest + 1) % self._most
        self._steps[self._newest], self._changes[self._newest] = step.ravel(), change.ravel()
        self._curvatures[self._newest] = np.vdot(step, change)

    def _grow(self) -> None:
        more = min(max(8, self._curvatures.shape[0]), self._most - self._curvatures.shape[0])
        self._steps = np.vstack([self._steps, np.zeros((more, self._size))])
        self._changes = np.vstack([self._changes, np.zeros((more, self._size))])
        self._curvatures = np.append(self._curvatures, np.zeros(more))
        self._shares = np.zeros(self._curvatures.shape[0])

    def correct(self, metric: AnyMetric, gradient: Floats) -> Floats:
        """Multiply by the inverse metric with the corrections (Nocedal & Wright, 7.4)."""
        kept = (self._steps, self._changes, self._curvatures, self._newest)
        q = gradient.flatten()
        first_loop(*kept, q, self._shares)
        q = np.ascontiguousarray(solve(metric, q.reshape(gradient.shape))).ravel()
        second_loop(*kept, q, self._shares)
        return q.reshape(gradient.shape)


def left_of(decrements: list[float], objectives: list[float]) -> float:
    """Estimate the suboptimality: the decrement, or what the recent decrease extrapolates to.

    A stale metric's decrement sees little of the flat directions that are left at the end; the
    objective's decrease, continued as a geometric series with the decrements' ratio, does.
    """
    span = min(WINDOW, len(objectives) - 1)
    if span == 0:
        return float("inf")
    ratio = _ratio(decrements)
    fall = (objectives[-1 - span] - objectives[-1]) / span
    if ratio < 0.5:  # fast: what lies ten passes back is no guide
        fall = min(fall, objectives[-2] - objectives[-1])
    left = CAUTION * max(decrements[-1], fall * ratio / (1.0 - ratio))
    if ratio > SLOW:  # slower than any geometric series, later: then what the last third gained
        left = max(left, CAUTION_LATE * (objectives[-1 - len(objectives) // 3] - objectives[-1]))
    return left


def _ratio(decrements: list[float]) -> float:
    """Return by what a pass shrinks the decrement, over the last few."""
    span = min(WINDOW, len(decrements) - 1)
    if span == 0 or decrements[-1 - span] <= 0.0:
        return 0.5
    return float(min(SLOWEST, max(decrements[-1], 0.0) / decrements[-1 - span]) ** (1.0 / span))


def _is_worth(
    problem: Problem, decrements: list[float], left: float, target: float, since: int
) -> bool:
    """Tell whether a new Hessian costs less than the passes it would save."""
    if since < 2 or len(decrements) < 2 or decrements[-1] <= 0.0:
        return False
    ratio = min(_ratio(decrements[-4:]), SLOWEST)
    # a stale metric's decrement may long be small enough, while more is known to be left
    level = decrements[-1] if decrements[-1] > target else left / CAUTION
    needed = np.log(max(level, 1e-300) / max(target, 1e-300)) / -np.log(ratio)
    return bool(needed > cost_of_hessian(problem) + 2.0)


def _cost_of_new(problem: Problem) -> float:
    """Return about how many passes a new Hessian costs, from as many rows as it would take."""
    rows = max(LEAST_SAMPLE, HESSIAN_ROWS * (problem.shape[1] + 1)) / problem.shape[0]
    share = rows if problem.n_outputs == 0 and rows < 0.5 else 1.0
    return share * cost_of_hessian(problem)


def _foretold(problem: Problem, point: Point, metric: Any, step: Floats) -> Point | None:
    """Return where a step leads on a parabola, without reading X; None where digits are lost."""
    change = metric.full @ step
    u, threshold = point.u + step, problem.threshold
    objective = point.objective + float(point.gradient @ step + 0.5 * (step @ change))
    objective += float(threshold @ (np.abs(u) - np.abs(point.u)))
    if not objective > FORETELLABLE * point.objective:
        return None
    return Point(u, objective, point.gradient + change, point.curvature)


def _can_confirm(problem: Problem, n_passes: int) -> bool:
    """Tell whether a last Hessian, whose decrement is no estimate, is cheap beside the rest."""
    return _cost_of_new(problem) <= CONFIRMING_SHARE * n_passes + 2.0


def _search(
    problem: Problem, point: Point, step: Floats, decrement: float
) -> tuple[Point | None, float]:
    """Take the step, or as much of it as lowers the objective."""
    length = 1.0
    promise = 2.0 * decrement if problem.is_smooth else decrement
    rounding = SMALLEST_DECREASE * abs(point.objective)
    while length > SMALLEST_STEP:
        following = evaluate(problem, point.u + length * step)
        fall = point.objective - following.objective
        if fall >= SUFFICIENT * length * promise - rounding and np.isfinite(following.objective):
            return (following if fall > -rounding else None), length
        if length * promise < rounding:
            return None, length
        # the parabola through both values and the slope at the start
        excess = length * promise - fall
        best = 0.5 * length * length * promise / excess if np.isfinite(excess) else 0.0
        length = min(max(best, 0.1 * length), 0.5 * length)
    return None, length


def model_at(problem: Problem, u: Floats) -> Model:
    """Return raw coefficients and intercepts."""
    raw = to_raw(problem, u)
    coef, intercept = raw[:-1].T, raw[-1]
    if not problem.fit_intercept:
        intercept = np.zeros_like(intercept)
    if problem.n_outputs == 0:
        intercept = float(intercept)
    else:  # what all classes share changes no prediction
        intercept = intercept - intercept.mean()
        coef = coef - coef.mean(axis=0) if problem.l1 == problem.l2 == 0.0 else coef
    return Model(coef, intercept)


def solution(problem: Problem, outcome: Outcome, effort: Effort) -> Solution:
    """Return raw coefficients, and what is known about them."""
    point = outcome.point
    coef, intercept, _ = model_at(problem, point.u)
    history = {"objective": outcome.objectives, "suboptimality": outcome.lefts}
    state = State(coef, intercept)
    exact = is_exact(problem, outcome.metric) and problem.is_smooth
    gap = min(_gap(problem, point), outcome.left) if exact else _gap(problem, point)
    # small problems are finished further than was asked for
    asked = effort.tol * abs(point.objective)
    counts = max(1, len(outcome.objectives) - 1), outcome.converged or outcome.left <= asked
    return Solution(coef, intercept, point.objective, gap, outcome.left, *counts, history, state)


def _gap(problem: Problem, point: Point) -> float:
    """Return |g|^2 / (2 l2), which bounds the suboptimality where b is at its best; else inf."""
    if problem.l2 <= 0.0 or not problem.is_smooth:
        return float("inf")
    shrink = problem.frame.shrink
    spread = np.divide(1.0, shrink, out=np.zeros(shrink.shape), where=shrink > 0.0)
    g = point.gradient[:-1].T * spread
    return float(np.vdot(g, g)) / (2.0 * problem.l2)
