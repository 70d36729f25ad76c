"""Full-batch descent in a metric: first on samples of the rows, then on all of them.

A step follows -H^-1 g, H a metric of ``_precondition`` and BFGS's corrections from the last
steps. A metric grows stale as the curvatures move; a new one costs as much as some passes, so it
is made when the corrected old one would need more passes than that to the end. With few
parameters that is Newton's method with as few Hessians as pay; with many (mnist has 7,850) it is
L-BFGS in coordinates where the columns are uncorrelated.

Rows that outnumber the parameters many times say nearly the same: a sample of them finds the
optimum to its own statistical error, where all rows take over with the sample's metric.
"""

from typing import Any

import numpy as np

from fastgd._monitoring.observer import Observer, Silenced
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._certificates import (
    ALLOWANCE,
    Certificate,
    can_prove,
    certify,
    rounding_of_bound,
    size_of_terms,
)
from fastgd._solvers._descent import (
    SMALLEST_TOL,
    DescentResult,
    StoppingRule,
    descend,
    is_exact,
)
from fastgd._solvers._deviance import SEEN, Deviance, precise_deviance, rounding_of_bound_by
from fastgd._solvers._implicit import Implicit
from fastgd._solvers._newton_dual import (
    LEAST_READS,
    bound_by_newton_steps,
    lower_bound,
    nearer,
)
from fastgd._solvers._newton_sampled import by_sampled_newton, can_be_sampled
from fastgd._solvers._passes import predictions
from fastgd._solvers._precondition import (
    AnyMetric,
    bound,
    can_have_hessian,
    cost_of_hessian,
    hessian,
    metric_to_start,
    rounding_of_solution,
    soften,
    solve,
    transfer,
)
from fastgd._solvers._problem import (
    EPSILON,
    FINISHED_IN_FLOAT64,
    TINIEST,
    Floats,
    Point,
    Problem,
    evaluate,
    from_raw,
    has_log_link,
    is_deviance,
    model_at,
    pose,
    take,
)
from fastgd._solvers._requirements import Requires
from fastgd._solvers._sample import draw
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd.kernels import losses
from fastgd.kernels.objective import total_loss

ROWS_PER_PARAMETER = 20  # a sample's optimum is then within 1/40 nat a row of the whole's
GROWTH = 8
MOST_SAMPLED = 100_000  # rows where a device makes the passes: samples are the processor's
ROUNDINGS = 4.0  # of a residual, from its target and its prediction
SMALL_IS_FINISHED_TO = 1e-12
LAST_STEPS = 8
LEAST_RIDGE = 1e-7  # from which on three steps of a sample's Hessian may be enough for a bound
DIGITS = 1e-3  # more of a gradient at least, after a proof that did not arrive
SHORTENED = 0.05  # by each last step, or the metric is not the Hessian


REQUIRES = Requires(("value", "gradient", "curvature"), smooth=True)


def gd(task: Task, options: Options, start: State | None = None) -> Solution:
    """Solve a task by full-batch descent; the loss needs a curvature.

    ``start`` is the ``state`` of another solution; the result is not worse than it. What stops it
    is a bound of the suboptimality, Newton's decrement with the curvatures at the point, or a
    careful estimate; passes over samples are not counted. ``history`` has ``objective`` and
    ``suboptimality``, one entry a pass.
    """
    with one_blas_thread():
        problem = pose(task)
        result = _fit(problem, options, start)
        if has_plain_bound(problem) and not can_be_sampled(problem):
            result = _to_plain_bound(problem, result, options)
        return certified(problem, result, options)


def _fit(problem: Problem, options: Options, start: State | None) -> DescentResult:
    """Descend on samples, if there is no better start, then on all rows."""
    null, prior = null_model(problem)
    u = null if start is None else from_raw(problem, start.coef, start.intercept)
    f_null = scale_of(problem, prior)
    if options.max_iter > 0 and can_be_sampled(problem):
        found = by_sampled_newton(problem, null, f_null, None if start is None else u, options)
        is_last = len(found.objectives) >= options.max_iter or options.observer.stops
        return found if found.converged or is_last else _gone_on(problem, found, options)
    first = None if start is None else evaluate(problem, u)
    tol = finished_tolerance(problem, options.tol)
    metric = None
    if start is None:
        u, metric = from_samples(problem, u, prior, f_null, options)
        if metric is not None:
            u, metric, first = _better_of(problem, null, u, metric, f_null)
    stop = StoppingRule(
        tol, 0.0, options.max_iter, options.observer, True, has_plain_bound(problem)
    )
    if metric is None:
        if has_log_link(problem.loss):
            first = first or evaluate(problem, u)
        metric = metric_to_start(problem, prior, first if has_log_link(problem.loss) else None)
    if options.max_iter == 0:
        return DescentResult(first or evaluate(problem, u), metric, np.inf, [], [], False)
    result = descend(problem, u, metric, stop, first)
    enough = max(options.tol * abs(result.point.objective), result.floor)
    if (
        problem.shape[0] * problem.shape[1] <= FINISHED_IN_FLOAT64
        and result.suboptimality <= enough
    ):
        return result._replace(point=polished(problem, result))
    return result


def has_plain_bound(problem: Problem) -> bool:
    """Tell whether a few steps beyond a descent's end the gradient alone bounds what is left.

    Where the l2 penalty is not tiny beside the curvatures, which are about 1.
    """
    if problem.n_outputs > 0 or problem.passes is not None or problem.l2 == 0.0:
        return False
    if losses.is_quadratic(problem.loss):
        return False
    if not (problem.is_smooth and can_prove(problem) and can_have_hessian(problem)):
        return False
    if problem.shape[0] * problem.shape[1] <= FINISHED_IN_FLOAT64:
        return False  # finished further than that
    ridge = problem.ridge[:-1][problem.scaler.inverse_std > 0.0]
    return bool(np.min(ridge, initial=np.inf) >= LEAST_RIDGE)


def _to_plain_bound(problem: Problem, result: DescentResult, options: Options) -> DescentResult:
    """Prove an estimate by a few more steps; where they do not, descend with more care.

    The solution stays where the descent ended, which is on the way of any smaller tolerance.
    """
    if result.converged:
        result = result._replace(lower=_lower_bound(problem, result, options))
        objective = result.point.objective
        if objective - result.lower <= max(options.tol * abs(objective), result.floor):
            return result
    return _gone_on(problem, result, options)


def _gone_on(problem: Problem, result: DescentResult, options: Options) -> DescentResult:
    """Descend with all care from where a result is."""
    most = options.max_iter - len(result.objectives)
    if most <= 0 or options.observer.stops:
        return result
    stop = StoppingRule(options.tol, 0.0, most, options.observer, True)
    more = descend(problem, result.point.u, result.metric, stop, result.point)
    return more._replace(
        objectives=result.objectives + more.objectives,
        suboptimalities=result.suboptimalities + more.suboptimalities,
    )


def _lower_bound(problem: Problem, result: DescentResult, options: Options) -> float:
    """Return what is no more than the optimum: where steps lead, or a step's dual point, proves it.

    The latter takes five reads of X, which are spent where the former is not enough.
    """
    problem, point = problem._replace(dtype=np.float64), result.point  # gradients are, in any case
    target = max(options.tol * abs(point.objective), result.floor)
    best, gap = certify(problem, nearer(problem, point, result.metric, target))
    lower = best.objective - gap
    if point.objective - lower > target:
        given = point, result.metric, target, len(result.objectives)
        lower = max(lower, lower_bound(problem, *given))
    return lower


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
    elif losses.kind_of(problem.loss) == losses.BINARY:
        share = float(problem.weight @ (problem.y > losses.negative(problem.loss)))
        share = min(max(share, 1e-12), 1.0 - 1e-12)
        level = losses.raw_of_mean(problem.loss, share)
    else:
        level = float(problem.weight @ problem.y)
        level = float(losses.raw_of_mean(problem.loss, level))
    if problem.fit_intercept:
        u[-1] = level
    return u, prior


def scale_of(problem: Problem, prior: Floats) -> float:
    """Return the scale of the objective: that of the null model, without reading X."""
    if losses.kind_of(problem.loss) == losses.REGRESSION:
        mean = float(problem.weight @ problem.y)
        if has_log_link(problem.loss):
            return _loss_at_mean(problem, mean) - problem.least
        return float(problem.weight @ (problem.y - mean) ** 2) / 2.0
    if problem.n_outputs == 0:
        return float(np.log(2.0))
    return float(-np.sum(prior * np.log(np.maximum(prior, 1e-300))))


def _loss_at_mean(problem: Problem, mean: float) -> float:
    """Return the mean loss where all rows are predicted their mean.

    Deviances but that of power 0 are linear in the targets: one row of their mean is all rows.
    """
    y, weight = problem.y, problem.weight
    if is_deviance(problem.loss) and losses.variance_power(problem.loss) != 0.0:
        y, weight = np.full(1, mean), np.ones(1)
    raw = np.full(y.shape[0], losses.raw_of_mean(problem.loss, mean))
    return float(total_loss(y, weight, problem.loss, raw))


def from_samples(
    problem: Problem, u: Floats, prior: Floats, f_null: float, options: Options
) -> tuple[Floats, AnyMetric | None]:
    """Descend on growing samples of the rows; return where that leads, and the last metric."""
    if losses.is_quadratic(problem.loss) or not can_have_hessian(problem):
        return u, None  # one step finds the optimum; or no sample is large enough to help
    metric, observer = None, Silenced(options.observer)
    for number, size in enumerate(sample_sizes(problem)):
        if observer.stops:
            break
        chosen, weight = draw(problem, size, np.random.default_rng((options.seed, number)))
        sample = take(problem, chosen, weight)
        error = 0.04 * f_null * u.size / chosen.shape[0]  # a part of the statistical one
        stop = StoppingRule(0.0, error, 100, observer)
        if metric is not None:
            known = transfer(sample, metric)
        elif has_log_link(problem.loss):
            known = hessian(sample, evaluate(sample, u))
        else:
            known = bound(sample, prior)
        result = descend(sample, u, known, stop, None)
        u, metric = result.point.u, _metric_at(sample, result)
    if metric is None:
        return u, None
    return u, transfer(problem, soften(sample, metric))


def _metric_at(sample: Problem, result: DescentResult) -> Any:
    """Return the Hessian where a sample led, if it costs less than a step that it spares."""
    if cost_of_hessian(sample) > GROWTH:
        return result.metric
    return hessian(sample, result.point)


def sample_sizes(problem: Problem) -> list[int]:
    """Return the sizes of the samples to begin with, smallest first; none if rows are few."""
    n, d = problem.shape
    smallest = max(2000, ROWS_PER_PARAMETER * (d + 1) * max(1, problem.n_outputs))
    sizes: list[int] = []
    size = n // GROWTH if problem.passes is None else min(n // GROWTH, MOST_SAMPLED)
    while size >= smallest:
        sizes.insert(0, size)
        size //= GROWTH
    return sizes


def solution(problem: Problem, result: DescentResult, options: Options) -> Solution:
    """Return raw coefficients, and what a descent knows of them; nothing is proven."""
    point = result.point
    coef, intercept, _ = model_at(problem, point.u)
    history = {"objective": result.objectives, "suboptimality": result.suboptimalities}
    # small problems are finished further than was asked for
    asked = options.tol * abs(point.objective)
    counts = len(result.objectives), result.converged or result.suboptimality <= asked
    state = State(coef, intercept)
    return Solution(
        coef, intercept, point.objective, np.inf, result.suboptimality, *counts, history, state
    )


def certified(problem: Problem, result: DescentResult, options: Options) -> Solution:
    """Return raw coefficients, with a proven bound of the suboptimality where there is one.

    Under an l1 penalty nothing but the proof says that a fit has converged.
    """
    precise = problem._replace(dtype=np.float64)
    point, gap = _proven(problem, result, options)
    gap = min(gap, max(point.objective, 0.0)) if gap < np.inf else gap
    found = solution(precise, result._replace(point=point), options)
    suboptimality = min(
        found.suboptimality, gap, max(point.objective - problem.lowest_objective, 0.0)
    )
    if needs_proof(problem):
        suboptimality = gap
    target = max(options.tol * abs(found.objective), result.floor)
    converged = suboptimality <= target or (
        result.converged and found.suboptimality > suboptimality
    )
    found = found._replace(gap=gap, suboptimality=suboptimality, converged=converged)
    return _seen_precisely(precise, point, found, options) if is_deviance(problem.loss) else found


def _seen_precisely(problem: Problem, point: Point, found: Solution, options: Options) -> Solution:
    """Return a solution with what rounding hides of a deviance, whose terms cancel.

    Where that is much of it, it is reckoned again. A fit has then converged if what is left, its
    bound where there is one, is as small as asked.
    """
    hidden, objective, gap = rounding_of_bound(problem, point), found.objective, found.gap
    if hidden <= SEEN * objective or problem.l1 > 0.0:
        return found
    u, ridge = point.u, problem.ridge
    farthest = size_of_terms(problem, u)
    given = problem.loss, problem.y, problem.weight, predictions(problem, u), farthest
    again = precise_deviance(*given) or Deviance(objective, hidden)
    objective = again.value + 0.5 * float(ridge @ (u * u))
    left = max(found.suboptimality, again.rounding)
    if gap < np.inf:
        more = min(rounding_of_bound_by(point.gradient, ridge), hidden) - hidden
        left = gap = min(max(gap + more, 0.0) + again.rounding + ALLOWANCE * objective, objective)
    found = found._replace(objective=objective, gap=gap)
    if objective <= hidden or left <= options.tol * objective:  # terms do not tell it from exact
        return found
    return found._replace(converged=False, suboptimality=left)


def needs_proof(problem: Problem) -> bool:
    """Tell whether no estimate may decide: a corner's decrement says little of what is left."""
    return problem.l1 > 0.0 and can_prove(problem)


def _proven(problem: Problem, result: DescentResult, options: Options) -> Certificate:
    """Return where a descent ended, with its intercept at its best, and the bound.

    The intercept is moved whatever the tolerance, so that a smaller one never ends higher.
    """
    precise, point = problem._replace(dtype=np.float64), result.point
    if problem.dtype != np.float64 and problem.n_outputs > 0:
        point = evaluate(precise, point.u)  # float32 hides what the intercepts gain
    point, gap = certify(precise, point)
    target = max(options.tol * abs(point.objective), result.floor)
    is_solved = is_exact(problem, result.metric) and not isinstance(result.metric, Implicit)
    if is_solved and problem.is_smooth and result.converged:
        # of a parabola the decrement is all that is left; conjugate gradients only estimate it
        gap = min(gap, result.suboptimality + rounding_of_decrement(problem, result))
    gap = min(gap, max(point.objective - result.lower, 0.0))
    # where a descent was cut short, no more passes are to be spent
    if gap > target and result.converged and can_prove(problem):
        most = max(LEAST_READS, len(result.objectives))
        if problem.is_smooth:
            lower = bound_by_newton_steps(precise, point, result.metric, target, most)
        else:
            further = result._replace(point=point), target, LEAST_READS
            lower = _bound_from_further_on(precise, *further, options.observer)
        gap = min(gap, lower)
    return Certificate(point, gap)


def _bound_from_further_on(
    problem: Problem, result: DescentResult, target: float, most: int, observer: Observer
) -> float:
    """Bound the suboptimality by what is proven where more steps lead.

    Under l1 the dual point is scaled into its box, which costs the gradient's error and not its
    square: a proof takes twice the digits. The solution itself stays where it is. Steps begin with
    the descent's metric, if it is a Hessian of all columns; a new one follows where that is not
    enough.
    """
    if observer.stops or not can_have_hessian(problem):
        return float("inf")
    stop = StoppingRule(0.0, 0.0, most, Silenced(observer))
    bound, spent = float("inf"), 0
    if _is_a_hessian(problem, result.metric):
        bound, spent = _bound_by_steps(problem, result, target, stop)
    if bound > target and spent < most:
        renewed = result._replace(metric=hessian(problem, result.point))
        again, _ = _bound_by_steps(problem, renewed, target, stop._replace(max_passes=most - spent))
        bound = min(bound, again)
    return max(bound, 0.0)


def _bound_by_steps(
    problem: Problem, result: DescentResult, target: float, stop: StoppingRule
) -> tuple[float, int]:
    """Return what steps from a result prove of it, to more and more digits, and their number."""
    point, bound, spent = result.point, float("inf"), 0
    tol = np.sqrt(target / max(abs(point.objective), TINIEST))
    while bound > target and tol > SMALLEST_TOL and spent < stop.max_passes:
        tol = max(tol * min(tol, DIGITS), SMALLEST_TOL)
        own = stop._replace(tol=tol, max_passes=stop.max_passes - spent)
        result = descend(problem, result.point.u, result.metric, own, result.point)
        spent += len(result.objectives)
        bound = min(bound, _bound_through(problem, point, result.point))
    if bound > target:
        bound = min(bound, _bound_through(problem, point, polished(problem, result)))
    return bound, spent


def _is_a_hessian(problem: Problem, metric: AnyMetric) -> bool:
    """Tell whether a metric is the Hessian at some point, and no diagonal or block of it."""
    size = (problem.shape[1] + 1) * max(1, problem.n_outputs)
    return bool(metric.product.shape == (size, size))


def _bound_through(problem: Problem, point: Point, lower: Point) -> float:
    """Bound the suboptimality of a point by what is proven at one that is lower."""
    best, gap = certify(problem, lower)
    return point.objective - best.objective + gap


def rounding_of_decrement(problem: Problem, result: DescentResult) -> float:
    """Return what rounding of residuals and slopes may hide of the decrement of squared errors.

    The decrement is half the square of the residuals' part in the span of the columns, so that what
    rounding moves residuals by counts as it is.
    """
    point = result.point
    offset = 1.0 + np.abs(problem.scaler.center) * problem.scaler.inverse_std
    sizes = float(offset @ np.abs(point.u[:-1])) + abs(float(point.u[-1]))
    moved = ROUNDINGS * EPSILON * (problem.terms + sizes)
    grown = moved * (float(np.sqrt(2.0 * result.suboptimality)) + 0.5 * moved)
    return grown + rounding_of_solution(result.metric, point.objective)


def polished(problem: Problem, result: DescentResult) -> Point:
    """Take the last Newton steps, whose gain the objective's digits do not show.

    A suboptimality of 1e-16 leaves 1e-8 in the coefficients. Steps are taken while they shorten.
    """
    precise, point, metric = problem._replace(dtype=np.float64), result.point, result.metric
    if not can_have_hessian(problem) or isinstance(metric, Implicit):
        return point
    rounding = max(result.floor, ALLOWANCE * abs(point.objective))  # of two objectives
    length = np.inf
    for _ in range(LAST_STEPS):
        step = _last_step(precise, point, metric)
        now = float(np.linalg.norm(step))
        is_known = metric is not result.metric or is_exact(problem, metric)
        following = None
        if (now > 0.0 or is_known) and now < (0.5 if is_known else SHORTENED) * length:
            following = evaluate(precise, point.u + step)
        if following is not None and following.objective <= point.objective + rounding:
            point, length = following, now
            if length == 0.0:
                break
        elif is_known:
            break
        else:
            metric, length = hessian(precise, point), np.inf
    return point


def _last_step(problem: Problem, point: Point, metric: Any) -> Floats:
    """Return Newton's step; under l1 that of the coefficients that are not zero."""
    if problem.is_smooth:
        return -solve(metric, point.gradient)
    n_outputs = max(1, problem.n_outputs)
    u, gradient = point.u.T.ravel(), point.gradient.T.ravel()
    threshold = np.tile(problem.threshold, n_outputs)
    level = np.append(np.zeros(problem.shape[1], bool), problem.fit_intercept)
    free = (u != 0.0) | np.tile(level, n_outputs)
    step = np.zeros(u.shape)
    size = metric.full.shape[0]
    if metric.full.ndim == 2 and size == u.size and np.all(metric.jacobi[free] > 0.0):
        at = np.flatnonzero(free)
        slope = gradient[at] + threshold[at] * np.sign(u[at])
        scale = metric.jacobi[at]
        matrix = metric.full[np.ix_(at, at)] * scale * scale[:, None]
        step[at] = -scale * np.linalg.lstsq(matrix, scale * slope, rcond=1e-15)[0]
        crosses = (u != 0.0) & (threshold > 0.0) & (np.sign(u + step) != np.sign(u))
        if np.any(crosses) or np.any(u + step < np.tile(problem.lowest, n_outputs)):
            step[:] = 0.0
    return step.reshape(point.u.T.shape).T
