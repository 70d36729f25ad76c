"""Huber's regression with its scale: coefficients and scale in turn, the scale by secants.

    F(w, b, sigma) = sigma + 2/sigma mean_i h(y_i - raw_i) + l2 |w|^2

h is Huber's loss with the corner at epsilon sigma. For a fixed scale that is 2/sigma times an
ordinary problem with l2 sigma in place of l2; for fixed residuals the best scale is the root of

    1 - mean_i min(residual_i / sigma, epsilon)^2

At epsilon = 1, or where a model fits (nearly) all rows, that has no root but 0, where all is least
absolute deviations:  F = 2 epsilon mean_i |y_i - raw_i| + l2 |w|^2.

F is convex in all three together. Its dual is to maximise  mean_i rho_i y_i - |X'rho|^2 / (4 l2)
with |rho_i| <= 2 epsilon, mean_i rho_i^2 <= 4 and, if there is an intercept, mean_i rho_i = 0
(means and X' are weighted). With t_i = residual_i / sigma and c_i = t_i clipped at epsilon the gap
of primal and dual is

    sigma mean_i (c_i - rho_i / 2)^2 + (2 epsilon sign(t_i) - rho_i) (t_i - c_i)
    + sigma (1 - mean_i rho_i^2 / 4) + |2 l2 w - X'rho|^2 / (4 l2),

none of whose terms is negative: that is what a fit stops by.

References
----------
.. [1] Owen, "A robust hybrid of lasso and ridge regression", 2007, section 3 (joint convexity).
"""

from functools import partial
from operator import mul
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from fastgd._monitoring.observer import Converted, Model, Silenced
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers import _costs
from fastgd._solvers._boxed_rows import by_boxed_rows
from fastgd._solvers._certificates import ALLOWANCE
from fastgd._solvers._columns import as_dense
from fastgd._solvers._descent import StoppingRule, descend
from fastgd._solvers._dual_points import (
    balanced,
    penalty_gap,
    pieces_of,
    projected,
    rounding_of,
    share_within,
    shared_gap,
)
from fastgd._solvers._gd import finished_tolerance, from_samples, null_model, scale_of
from fastgd._solvers._least_norm import is_hardly_penalised, least_norm
from fastgd._solvers._newton import (
    MOST_PARAMETERS,
    MOST_PRODUCTS,
    descended,
    newton_passes,
    place_at,
)
from fastgd._solvers._newton_systems import Covariance
from fastgd._solvers._passes import predictions, products_with
from fastgd._solvers._piecewise import refuse_infinite, with_dual
from fastgd._solvers._precondition import bound, can_have_hessian, with_penalty_of
from fastgd._solvers._problem import Floats, Problem, from_raw, model_at, pose
from fastgd._solvers._stored import rounded, sizes_of
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd._solvers._units import Units, by_linear_scale, units_of, within
from fastgd._solvers._wide import Basis, is_reducible, model_of, reduced, restored, state_in
from fastgd.kernels.huber import Joint
from fastgd.kernels.losses import EpsilonInsensitive, Huber
from fastgd.kernels.newton import EPSILON, FAILED
from fastgd.kernels.objective import predict_raw

NORMAL = 0.6745  # the median of |z|, z standard normal
ROUNDS = 50
NEARLY_EXACT = 3e-5  # of the targets: absolute errors below it may be rounding
LEAST_SCALE = 1e-15  # of the targets' standard deviation, where residuals vanish
LARGEST_LOG = 700.0  # of a scale
SCALE_TOL = 1e-12
SHARPER = 1e-2
CAUTION = 10.0  # where the dual point's bound feels the last digit of the scale
INNER_SHARE = 0.1
VANISHING = 1e-7  # of the targets' standard deviation: then a scale of zero is tried
MOST_SHRUNK = 0.01  # of a scale, in a round: the secant of few points may point below zero
STEEPEST = 0.99  # of secants: towards a scale of zero, rounds would creep at such a rate
PATIENCE, SATISFIED = 3, 2  # rounds that gained nothing; fewer if what is proven is enough
INNER_PASSES = 50
CREEPING = 2  # rounds to ever smaller scales that did not end, of rows that may all be fitted
LARGEST_DUAL = 4.2  # the mean square of rho: 4, and what steps may be beyond on the way
MOST_JOINT_PRODUCTS = 200_000_000  # of a Hessian of everything, of rows that are nearly dense
SETTLED, CONTRACTED = 1e-6, 0.3  # of a scale, and of its last moves


class HuberStart(NamedTuple):
    """What continues a fit."""

    state: State
    scale: float


class _Joint(NamedTuple):
    """The joint problem: ``problem`` has the loss of some scale, the rest says which.

    least : float, the smallest scale
    """

    problem: Problem
    epsilon: float
    l2: float
    covariance: Covariance
    least: float

    def at(self, scale: float) -> Problem:
        """Return the problem of a fixed scale, in units of scale / 2."""
        return self.problem._replace(loss=Huber(self.epsilon * scale), l2=self.l2 * scale)

    def objective(self, u: Floats, residual: Floats, scale: float) -> float:
        """Return F."""
        t, weight = np.abs(residual) / scale, self.problem.weight
        near = np.minimum(t, self.epsilon)
        loss = float(weight @ (near * (2.0 * t - near)))
        return scale * (1.0 + loss) + 0.5 * float(np.sum(self.doubled.ridge * u * u))

    @property
    def doubled(self) -> Problem:
        """The problem whose penalty is F's, l2 |w|^2."""
        return self.problem._replace(l2=2.0 * self.l2)

    def gap(self, u: Floats, residual: Floats, scale: float, rho: Floats | None = None) -> float:
        """Return what a dual point proves, by default that of these residuals."""
        problem, e, s = self.doubled, self.epsilon, self.problem.weight
        if rho is None:
            rho = 2.0 * np.clip(residual / scale, -e, e)
        dual = -s * rho
        if problem.fit_intercept:
            dual = balanced(dual)
        best = np.inf
        if problem.l2 > 0.0:
            best = self._gap_of(u, residual, scale, dual, is_stationary=False)
        if not best <= INNER_SHARE * scale:  # beside a tiny l2 rounding proves nothing
            other, off = projected(problem, self.covariance, u, dual)
            gap = self._gap_of(u, residual, scale, other, is_stationary=True)
            best = min(best, gap + 2.0 * off * float(s @ np.abs(residual)))
        return best

    def _gap_of(
        self, u: Floats, residual: Floats, scale: float, dual: Floats, *, is_stationary: bool
    ) -> float:
        """Return the gap of a point, which is scaled into the boxes and the ball."""
        problem, e, used = self.doubled, self.epsilon, self.problem.weight > 0.0
        s, t = problem.weight[used], residual[used] / scale
        rho = -dual[used] / s
        length = float(np.sqrt(s @ rho**2 / 4.0))
        share = share_within(2.0 * e * np.ones_like(rho), rho)
        share = min(share, 1.0 / length) if length > 0.0 else share
        rho, c = share * rho, np.clip(t, -e, e)
        missed = float(s @ ((c - 0.5 * rho) ** 2 + (2.0 * e * np.sign(t) - rho) * (t - c)))
        gap = scale * (missed + max(1.0 - (share * length) ** 2, 0.0))
        if problem.l2 == 0.0 or is_stationary:
            return gap + shared_gap(problem, u, share, dual)
        return gap + penalty_gap(problem, u, products_with(problem, share * dual)[:-1])


class _Fitted(NamedTuple):
    """The best of a joint problem so far, and how it was found."""

    u: Floats
    scale: float
    objective: float
    gap: float
    n_iter: int
    objectives: list[float]
    gaps: list[float]
    estimate: float = np.inf  # of the suboptimality, where it was found
    vanishes: bool = False  # whether rounds came to a scale of zero


def huber_with_scale(
    task: Task, options: Options, start: HuberStart | None = None
) -> tuple[Solution, float]:
    """Return the solution and the scale; ``task.loss.epsilon`` is in units of the scale.

    Raises
    ------
    ValueError
        If no finite model was found.
    """
    units = by_linear_scale(Units(task))
    found, scale = within(units, _with_scale, options, start)
    refuse_infinite(found.coef, found.intercept, found.objective)
    state = State(found.coef, found.intercept)
    return found._replace(state=state), units.scale * scale


def _with_scale(task: Task, options: Options, start: HuberStart | None) -> tuple[Solution, float]:
    """Do that for targets near 1."""
    if not task.loss.epsilon > 1.0:
        return _least_absolute(task, options)[0], LEAST_SCALE
    solve = _in_basis if _has_basis(task) else _jointly
    found, scale = solve(task, options, start)
    # where the scale vanishes the loss has a kink, and what hardly moves predictions counts
    is_smooth = scale > SETTLED * float(np.std(task.y))
    if is_smooth and is_hardly_penalised(task) and not options.observer.stops:
        found = least_norm(task, found)
    return found, scale


def _has_basis(task: Task) -> bool:
    """Tell whether a fit with a scale is one in a basis of the rows.

    Without a penalty directions count in which rows hardly differ: a basis has too few digits.
    """
    return task.l2 > 0.0 and task.device is None and is_reducible(task)


def huber_as_stored(task: Task, found: Solution, scale: float, tol: float) -> Solution:
    """Return a solution as ``task.dtype`` keeps it, with its objective and gap.

    What was found in a basis of the rows is another model in the user's columns, by rounding.
    """
    is_rounded = np.dtype(task.dtype) == np.float32
    if not (is_rounded or _has_basis(task)):
        return found
    units = units_of(task)
    coef, intercept = np.asarray(found.coef, np.float64), found.intercept
    if is_rounded:
        coef, intercept, _ = rounded(task, found, units)
    params = np.append(*units.from_user(coef, intercept))
    n, raw = task.y.shape[0], np.empty(task.y.shape[0])
    predict_raw(units.task.rows, params, 0, n, raw)
    weight = np.full(n, 1.0 / n) if task.weight is None else task.weight / np.sum(task.weight)
    t = np.abs(units.task.y - raw) / scale
    near = np.minimum(t, task.loss.epsilon)
    objective = scale * (1.0 + float(weight @ (near * (2.0 * t - near))))
    objective += task.l2 * float(coef @ coef)
    worse = max(objective - found.objective, 0.0)
    gap = found.gap + worse
    stored = found._replace(coef=coef, intercept=intercept, state=State(coef, intercept))
    stored = stored._replace(
        objective=objective, gap=gap, suboptimality=found.suboptimality + worse
    )
    sizes = np.abs(task.y) + sizes_of(task, np.abs(coef)) + abs(float(intercept))
    slope = 2.0 * task.loss.epsilon / units.scale
    floor = 4.0 * EPSILON * slope * float(weight @ sizes)
    is_within = worse <= max(0.1 * tol * objective, floor) or gap <= tol * objective
    # where nothing was left before, and next to nothing of the targets is, all of it is rounding
    rounding = float(np.finfo(np.dtype(task.dtype)).eps) * slope * float(weight @ sizes)
    is_zero = objective <= min(rounding, NEARLY_EXACT * slope * float(weight @ np.abs(task.y)))
    is_zero = is_zero and found.objective <= floor
    if is_rounded and found.converged and not (is_within or is_zero):
        wide = huber_as_stored(task._replace(dtype=np.float64), found, scale, tol)
        if wide.converged:
            return wide._replace(in_float64=True)
    return stored._replace(converged=found.converged and (is_within or is_zero))


def _in_basis(task: Task, options: Options, start: HuberStart | None) -> tuple[Solution, float]:
    """Fit with a scale in a basis of the rows, which columns outnumber."""
    basis, small = reduced(task)
    observer = Converted(options.observer, partial(_model_in_columns, basis))
    if start is not None:
        start = start._replace(state=state_in(basis, start.state))
    found, scale = _jointly(small, options._replace(observer=observer), start)
    return restored(basis, found), scale


def _model_in_columns(basis: Basis, model: Model) -> Model:
    model = model_of(basis, model)
    state = State(model.coef, model.intercept)
    return model._replace(state=model.state and model.state._replace(state=state))


def _jointly(task: Task, options: Options, start: HuberStart | None) -> tuple[Solution, float]:
    """Fit with a scale; where it vanishes, try least absolute deviations and go on from there."""
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        # a corner at epsilon sigma has |w|^2 l2 = (2/sigma) (l2 sigma) |w|^2 / 2
        problem = pose(task)
        std = _std(problem, problem.weight @ problem.y)
        least = VANISHING * std + 1e-300
        joint = _Joint(problem, task.loss.epsilon, task.l2, Covariance(problem), least)
        before, half = None, options.max_iter // 2
        if _is_wide(joint) and half > 0:  # rounds would need ever smaller scales to come near zero
            before, _ = _of_boxed_rows(joint, options, LARGEST_DUAL, half)
        found = _fit(joint, options, start, before)
    remaining = options._replace(max_iter=options.max_iter - found.n_iter)
    if found.vanishes and remaining.max_iter > 0 and not options.observer.stops:
        by_rows = before is not None and before.n_iter < half  # and not found wanting
        found = _of_vanishing_scale(task, joint, remaining, found, by_rows=by_rows)
    objective, gap = found.objective, found.gap
    history = {"objective": found.objectives, "suboptimality": found.gaps}
    pieces = pieces_of(EpsilonInsensitive(0.0), problem.y, problem.weight)
    floor = 2.0 * joint.epsilon * rounding_of(problem, pieces, found.u)
    far = min(gap, CAUTION * found.estimate)
    converged = far <= options.tol * objective or objective <= floor + LEAST_SCALE
    gap = min(gap + floor, objective)
    model = model_at(joint.problem, found.u)
    about = found.n_iter, converged, history, None
    return Solution(model.coef, model.intercept, objective, gap, far, *about), found.scale


def _of_vanishing_scale(
    task: Task, joint: _Joint, options: Options, found: _Fitted, *, by_rows: bool
) -> _Fitted:
    """Solve the problem of a scale of zero, and that of what its residuals call for."""
    if by_rows:
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            absolute, again = _of_boxed_rows(joint, options, np.inf, options.max_iter)
    else:
        absolute, again = _of_absolute_errors(task, joint, options)
    found = _best_of(found, absolute)
    remaining = options._replace(max_iter=options.max_iter - absolute.n_iter)
    is_done = found.gap <= options.tol * found.objective
    is_done = is_done or again <= 1e3 * _with_least_scale(joint).least
    if is_done or remaining.max_iter <= 0 or options.observer.stops:
        return found
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        model = model_at(joint.problem, absolute.u)
        start = HuberStart(State(model.coef, model.intercept), again)
        return _best_of(found, _fit(_with_least_scale(joint), remaining, start))


def _of_absolute_errors(task: Task, joint: _Joint, options: Options) -> tuple[_Fitted, float]:
    """Return the least absolute deviations as a fit, and the scale that they call for."""
    absolute, dual = _least_absolute(task, options)
    problem, history = joint.problem, absolute.history
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        u = from_raw(problem, absolute.coef, absolute.intercept)
        residual = problem.y - predictions(problem, u)
        found, again = _at_vanishing(joint, u, residual, -2.0 * joint.epsilon * dual)
    counts = absolute.n_iter, history["objective"], history["suboptimality"]
    return found._replace(n_iter=counts[0], objectives=counts[1], gaps=counts[2]), again


def _may_fit_all(joint: _Joint) -> bool:
    """Tell whether there are as many parameters as rows that count."""
    n_rows = int(np.count_nonzero(joint.problem.weight))
    return n_rows <= joint.problem.shape[1] + joint.problem.fit_intercept


def _is_wide(joint: _Joint) -> bool:
    """Tell whether many models may fit all rows, of which l2 takes one, and matrices cost more."""
    is_large = joint.problem.passes is None and not can_have_hessian(joint.problem)
    return _may_fit_all(joint) and joint.l2 > 0.0 and is_large


def _of_boxed_rows(
    joint: _Joint, options: Options, limit: float, most: int
) -> tuple[_Fitted, float]:
    """Do the same by the rows' multipliers, where columns outnumber them."""
    problem, tol = joint.problem, finished_tolerance(joint.problem, options.tol)
    bound = 2.0 * joint.epsilon * problem.weight
    boxed = by_boxed_rows(joint.doubled, bound, INNER_SHARE * tol, limit, most)
    found, again = _at_vanishing(joint, boxed.u, boxed.residual, boxed.multipliers)
    known = {"objective": found.objective, "suboptimality": found.gap}
    passes = boxed.n_iter
    options.observer.passed(partial(_model, problem, found.u, found.scale), known, passes)
    history = [found.objective] * passes, [found.gap] * passes
    return found._replace(n_iter=passes, objectives=history[0], gaps=history[1]), again


def _with_least_scale(joint: _Joint) -> _Joint:
    return joint._replace(least=LEAST_SCALE * joint.least / VANISHING)


def _at_vanishing(
    joint: _Joint, u: Floats, residual: Floats, dual: Floats
) -> tuple[_Fitted, float]:
    """Return parameters with the least scale, or what residuals call for, if better; and that.

    dual : (n_samples,), weights times rho, of the least scale
    """
    joint, weight = _with_least_scale(joint), joint.problem.weight
    rho = np.divide(dual, weight, out=np.zeros_like(dual), where=weight > 0.0)
    again = max(_best_scale(residual, weight, joint.epsilon, 1e9 * joint.least), joint.least)
    found = _Fitted(u, joint.least, np.inf, np.inf, 0, [], [])
    found = _better(found, joint, u, residual, joint.least, rho)
    return _better(found, joint, u, residual, again, None), again


def _best_of(found: _Fitted, other: _Fitted) -> _Fitted:
    """Return the better of two fits, with the passes of both and what both prove."""
    best = other if other.objective < found.objective else found
    return best._replace(
        gap=_gap_of_both((found.objective, found.gap), (other.objective, other.gap)),
        n_iter=found.n_iter + other.n_iter,
        objectives=found.objectives + other.objectives,
        gaps=found.gaps + other.gaps,
        estimate=min(found.estimate, other.estimate),  # what is lower is nearer
        vanishes=other.vanishes,
    )


def _better(
    found: _Fitted, joint: _Joint, u: Floats, residual: Floats, scale: float, rho: Floats | None
) -> _Fitted:
    """Take other parameters if they are better, and their dual point's bound."""
    objective = joint.objective(u, residual, scale)
    if not objective < np.inf:
        return found
    gap = min(joint.gap(u, residual, scale, rho), objective)  # F is not negative
    best = found
    if objective < found.objective:
        best = found._replace(u=u, scale=scale, objective=objective)
    return best._replace(gap=_gap_of_both((found.objective, found.gap), (objective, gap)))


def _gap_of_both(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return what two places' objectives and gaps prove of the lower one.

    Each bounds the optimum from below; a difference of objectives is known to their rounding.
    """
    (_, gap), (higher, bound) = sorted((one, other))
    if not higher < np.inf:
        return gap
    apart = higher - min(one[0], other[0])
    return min(gap, max(bound - apart, 0.0) + ALLOWANCE * higher)


def _least_absolute(task: Task, options: Options) -> tuple[Solution, Floats]:
    """Solve the problem of a vanishing scale; return a dual point of the absolute error, too."""
    weight = 2.0 * task.loss.epsilon
    half = task._replace(loss=EpsilonInsensitive(0.0), l2=2.0 * task.l2 / weight)
    observer = Converted(options.observer, lambda model: model, partial(mul, weight))
    found, dual = with_dual(half, options._replace(observer=observer))
    numbers = {
        name: weight * getattr(found, name) for name in ("objective", "gap", "suboptimality")
    }
    history = {name: [weight * value for value in column] for name, column in found.history.items()}
    return found._replace(**numbers, history=history), dual


def _fit(
    joint: _Joint, options: Options, start: HuberStart | None, earlier: _Fitted | None = None
) -> _Fitted:
    """Find scale and coefficients in turn until both stay, if ``earlier`` is not good enough."""
    problem, tol = joint.problem, finished_tolerance(joint.problem, options.tol)
    if earlier is not None:
        if earlier.gap <= tol * earlier.objective or options.observer.stops:
            return earlier
        remaining = options._replace(max_iter=options.max_iter - earlier.n_iter)
        return _best_of(earlier, _fit(joint, remaining, start))
    u, scale = _begin(joint, options, start)
    found, is_stopped = _at_once(joint, options, u, scale)
    if is_stopped or found.gap <= tol * found.objective:
        return found._replace(vanishes=found.scale <= joint.least)
    u, scale = found.u, found.scale
    metric: Any = None
    tried: list[tuple[float, float]] = []
    n_iter, idle, unfinished = found.n_iter, 0, 0
    while n_iter < options.max_iter and len(tried) < ROUNDS:
        now = joint.at(scale)
        metric = bound(now, np.empty(0)) if metric is None else with_penalty_of(now, metric)
        share = INNER_SHARE * SHARPER**idle  # more exactly, where a round proved no more
        floor = 0.5 * share * tol * scale**2  # in F, part of the scale alone
        most = min(options.max_iter - n_iter, INNER_PASSES)
        result = descend(
            now, u, metric, StoppingRule(share * tol, floor, most, Silenced(options.observer)), None
        )
        passes = len(result.objectives)
        n_iter += passes
        u, metric = result.point.u, result.metric
        residual = problem.y - predictions(problem, u)
        wanted = max(_best_scale(residual, problem.weight, joint.epsilon, scale), joint.least)
        before = found.gap
        found = _better(found, joint, u, residual, scale, None)
        found = _better(found, joint, u, residual, wanted, None)
        near = np.minimum(np.abs(residual) / scale, joint.epsilon)
        slope = 1.0 - float(problem.weight @ near**2)  # dF/dsigma
        estimate = abs(slope * (wanted - scale)) + 2.0 * max(result.suboptimality, 0.0) / scale
        estimate = estimate if _has_settled(tried, scale, wanted) else np.inf
        found = found._replace(n_iter=n_iter, estimate=estimate)
        found.objectives.extend([found.objective] * passes)
        found.gaps.extend([found.gap] * passes)
        known = {"objective": found.objective, "suboptimality": found.gap}
        model = partial(_model, problem, found.u, found.scale)
        idle = idle + 1 if found.gap >= before else 0
        if options.observer.passed(model, known, passes) or found.gap <= tol * found.objective:
            break
        enough = found.gap <= options.tol * found.objective
        if scale <= joint.least or idle >= (SATISFIED if enough else PATIENCE):
            break
        is_falling = not result.converged and wanted < scale
        unfinished = unfinished + 1 if is_falling and _may_fit_all(joint) else 0
        if unfinished >= CREEPING:
            return found._replace(vanishes=True)
        tried.append((scale, wanted))
        scale = min(max(_secant(tried), MOST_SHRUNK * scale), scale / MOST_SHRUNK)
        scale = scale if scale > 2.0 * joint.least else joint.least
    return found._replace(vanishes=min(scale, found.scale) <= joint.least)


def _at_once(joint: _Joint, options: Options, u: Floats, scale: float) -> tuple[_Fitted, bool]:
    """Return where Newton's steps of everything together lead, and whether somebody stopped them.

    Those of few columns; of many, on a device, or where there are no such steps, it is where they
    begin.
    """
    problem = joint.problem
    found = _Fitted(u, scale, np.inf, np.inf, 0, [], [])
    n, is_stopped = problem.shape[0], False
    if options.max_iter > 0 and _has_cheap_steps(problem):
        columns = _columns(joint)
        if not np.any(u[:-1]):
            u, scale = _least_squares(columns, u, scale)
        place = place_at(np.append(u, scale), (n,))
        take, model = partial(newton_passes, columns, place), partial(_model_of, problem)
        most = min(options.max_iter, INNER_PASSES)
        descent = descended(take, most, options.observer, partial(model, place.u))
        last, history, is_stopped = descent
        if last.status != FAILED and place.u[-1] > joint.least:
            n_iter, u, scale = len(history["objective"]), place.u[:-1].copy(), float(place.u[-1])
            reported = history["objective"], history["suboptimality"]
            found = _Fitted(u, scale, np.inf, np.inf, n_iter, *reported)
    residual = problem.y - predictions(problem, u)
    return _better(found, joint, u, residual, scale, None), is_stopped


def _has_cheap_steps(problem: Problem) -> bool:
    """Tell whether Newton's steps of everything together cost less than rounds of fixed scales.

    They take a copy of X, dense, and one matrix of products each, where rounds take some twenty
    passes and proofs.
    """
    (n, d), size = problem.shape, problem.shape[1] + 2
    if problem.passes is not None or size > MOST_PARAMETERS:
        return False
    is_scattered = _costs.is_scattered(problem.rows, n, d)
    return n * size * size <= (2 * MOST_PRODUCTS if is_scattered else MOST_JOINT_PRODUCTS)


def _columns(joint: _Joint) -> Joint:
    """Return the joint problem in dense, standardised columns; the scale's is written later."""
    problem, (n, d) = joint.problem, joint.problem.shape
    z = np.empty((n, d + 2))
    np.subtract(as_dense(problem.rows, n, d), problem.scaler.center, out=z[:, :d])
    z[:, :d] *= problem.scaler.inverse_std
    z[:, d] = 1.0 if problem.fit_intercept else 0.0
    ridge = np.append(joint.doubled.ridge, 0.0)
    ridge[:d] += problem.scaler.inverse_std == 0.0
    ridge[d] += not problem.fit_intercept
    own = problem.y.copy(), problem.weight.copy()  # kernels tell apart what is frozen
    return Joint(z, *own, joint.epsilon, ridge, 0.0, EPSILON * problem.terms)


def _least_squares(columns: Joint, u: Floats, scale: float) -> tuple[Floats, float]:
    """Return the coefficients of least squares and their scale, if rows outnumber them."""
    z, (n, size) = columns.z[:, :-1], columns.z[:, :-1].shape
    if n <= size:
        return u, scale
    scaled = z.T * columns.weight
    matrix, ridge = scaled @ z, 0.5 * scale * columns.ridge[:-1]
    matrix[np.diag_indices(size)] += np.maximum(ridge, 1e-6 * np.diagonal(matrix))
    u = np.linalg.solve(matrix, scaled @ columns.y)
    return u, max(float(np.sqrt(columns.weight @ (columns.y - z @ u) ** 2)), 1e-3 * scale)


def _model_of(problem: Problem, u: Floats) -> Model:
    return _model(problem, u[:-1], float(u[-1]))


def _model(problem: Problem, u: Floats, scale: float) -> Model:
    model = model_at(problem, u)
    return model._replace(state=HuberStart(State(model.coef, model.intercept), scale))


def _begin(joint: _Joint, options: Options, start: HuberStart | None) -> tuple[Floats, float]:
    """Return where to start: from samples of the rows, the scale from the median residual."""
    problem, least = joint.problem, joint.least
    if start is not None:
        u = from_raw(problem, start.state.coef, start.state.intercept)
        if start.scale > LEAST_SCALE * 1e3 * _std(problem, problem.weight @ problem.y):
            return u, max(start.scale, least)
        return u, max(_median_scale(problem, predictions(problem, u)), least)
    u, _ = null_model(problem)
    if problem.fit_intercept:
        u[-1] = np.median(problem.y)
    scale = max(_median_scale(problem, u[-1]), least)
    f_null = scale_of(problem, np.empty(0))
    u, _ = from_samples(joint.at(scale), u, np.empty(0), f_null, options)
    return u, max(_median_scale(problem, predictions(problem, u)), least)


def _median_scale(problem: Problem, raw: Any) -> float:
    """Return the residuals' scale by their median; where most of them vanish, by their squares."""
    median = float(np.median(np.abs(problem.y - raw)[problem.weight > 0.0]))
    return median / NORMAL or _std(problem, raw)


def _std(problem: Problem, raw: Any) -> float:
    """Return the root of the residuals' mean square."""
    return float(np.sqrt(problem.weight @ (problem.y - raw) ** 2))


def _best_scale(residual: Floats, weight: Floats, epsilon: float, near: float) -> float:
    """Return the scale that these residuals call for; 0 where nearly all of them vanish."""

    def excess(log_scale: float) -> float:
        clipped = np.minimum(np.abs(residual) / np.exp(log_scale), epsilon)
        return float(weight @ clipped**2) - 1.0

    low = high = np.log(near)
    if not np.any(residual[weight > 0.0]):
        return 0.0
    while excess(low) < 0.0:
        low -= 1.0
        if low < np.log(near) - 100.0:
            return 0.0
    while excess(high) > 0.0 and high < LARGEST_LOG:  # residuals that overflowed are never small
        high += 1.0
    if high >= LARGEST_LOG:
        return float(np.exp(LARGEST_LOG))
    return float(np.exp(brentq(excess, low, high, xtol=SCALE_TOL) if high > low else low))


def _has_settled(tried: list[tuple[float, float]], scale: float, wanted: float) -> bool:
    """Tell whether rounds approach a scale quickly: where they creep, a round says nothing."""
    moved = abs(wanted - scale)
    before = [abs(there - here) for here, there in tried[-2:]]
    return moved <= SETTLED * scale or (len(before) == 2 and moved <= CONTRACTED * min(before))


def _secant(tried: list[tuple[float, float]]) -> float:
    """Return the fixed point of the line through the last two (scale, scale called for)."""
    scale, wanted = tried[-1]
    if len(tried) == 1:
        return wanted
    before, then = tried[-2]
    slope = (wanted - then) / (scale - before) if scale != before else 0.0
    if not -1.0 < slope < STEEPEST:
        return wanted
    return scale + (wanted - scale) / (1.0 - slope)
