"""Huber's regression with its scale: coefficients and scale in turn, the scale by secants.

    F(w, b, sigma) = sigma + 2/sigma mean_i h(y_i - raw_i) + l2 |w|^2

h is Huber's loss with the corner at epsilon sigma. For a fixed scale that is 2/sigma times an
ordinary problem with l2 sigma in place of l2; for fixed residuals the best scale is the root of

    1 - mean_i min(residual_i / sigma, epsilon)^2

At epsilon = 1, or where a model fits (nearly) all rows, that has no root but 0, where all is least
absolute deviations:  F = 2 epsilon mean_i |y_i - raw_i| + l2 |w|^2.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from fastgd._observer import Model, Scaled, Silenced
from fastgd._solvers._gd import (
    Goal,
    Outcome,
    State,
    descend,
    finished_tolerance,
    from_samples,
    model_at,
    null_model,
    scale_of,
    solution,
)
from fastgd._solvers._piecewise import piecewise_linear
from fastgd._solvers._precondition import bound, factorise
from fastgd._solvers._problem import Floats, Problem, from_raw, over_shards, pose, to_raw
from fastgd._solvers._task import Effort, Solution, Task
from fastgd._threads import one_blas_thread
from fastgd.kernels.losses import EpsilonInsensitive, Huber
from fastgd.kernels.objective import predict_raw

NORMAL = 0.6745  # the median of |z|, z standard normal
ROUNDS = 50
LEAST_SCALE = 1e-15  # of the targets' spread, where residuals vanish
SCALE_TOL = 1e-12
INNER_SHARE = 0.1
VANISHING = 1e-7  # of the targets' spread: then a scale of zero is tried
MOST_SHRUNK = 0.01  # of a scale, in a round: the secant of few points may point below zero


class HuberStart(NamedTuple):
    """What continues a fit."""

    state: State
    scale: float


class _Joint(NamedTuple):
    """The joint problem: ``problem`` has the loss of some scale, the rest says which."""

    problem: Problem
    epsilon: float
    l2: float

    def at(self, scale: float) -> Problem:
        """Return the problem of a fixed scale, in units of scale / 2."""
        return self.problem._replace(loss=Huber(self.epsilon * scale), l2=self.l2 * scale)


def huber_with_scale(
    task: Task, effort: Effort, start: HuberStart | None = None
) -> tuple[Solution, float]:
    """Return the solution and the scale; ``task.loss.epsilon`` is in units of the scale."""
    if task.loss.epsilon <= 1.0:
        return _least_absolute(task, effort)
    with one_blas_thread():
        problem = pose(task)
        # a corner at epsilon sigma has |w|^2 l2 = (2/sigma) (l2 sigma) |w|^2 / 2
        joint = _Joint(problem, task.loss.epsilon, task.l2)
        spread = _spread(problem, problem.weight @ problem.y)
        found, scale = _fit(joint, effort, start, VANISHING * spread + 1e-300)
    if scale > VANISHING * spread + 1e-300:
        return found, scale
    return _of_vanishing_scale(task, joint, effort, LEAST_SCALE * spread + 1e-300)


def _of_vanishing_scale(
    task: Task, joint: _Joint, effort: Effort, least: float
) -> tuple[Solution, float]:
    """Solve the problem of a scale of zero, or of what that solution's residuals call for."""
    found, scale = _least_absolute(task, effort)
    found = found._replace(gap=np.inf)
    with one_blas_thread():
        u = from_raw(joint.problem, found.coef, found.intercept)
        residual = joint.problem.y - _predictions(joint.problem, u)
        again = _best_scale(residual, joint.problem.weight, joint.epsilon, 1e9 * least)
        if again <= 1e3 * least:
            return found, scale
        other, at = _fit(joint, effort, HuberStart(found.state, again), least)
    return (other, at) if other.objective < found.objective else (found, scale)


def _least_absolute(task: Task, effort: Effort) -> tuple[Solution, float]:
    """Solve the problem of a vanishing scale."""
    weight = 2.0 * task.loss.epsilon
    half = task._replace(loss=EpsilonInsensitive(0.0), l2=2.0 * task.l2 / weight)
    found = piecewise_linear(half, effort._replace(observer=Scaled(effort.observer, weight)))
    numbers = {name: weight * getattr(found, name) for name in ("objective", "gap", "left")}
    history = {name: [weight * value for value in column] for name, column in found.history.items()}
    return found._replace(**numbers, history=history), LEAST_SCALE


def _fit(
    joint: _Joint, effort: Effort, start: HuberStart | None, least: float
) -> tuple[Solution, float]:
    """Find scale and coefficients in turn until both stay."""
    problem = joint.problem
    u, scale, metric = _begin(joint, effort, start, least)
    tol = finished_tolerance(problem, effort.tol)
    objectives: list[float] = []
    lefts: list[float] = []
    tried: list[tuple[float, float]] = []
    n_iter = 0
    while True:
        now = joint.at(scale)
        metric = bound(now, np.empty(0)) if metric is None else factorise(now, *metric[:1], False)
        floor = 0.5 * INNER_SHARE * tol * scale**2  # in F, part of the scale alone
        most, quiet = max(1, effort.max_iter - n_iter), Silenced(effort.observer)
        inner = Goal(INNER_SHARE * tol, floor, most, quiet)
        outcome = descend(now, u, metric, inner, None)
        n_iter += len(outcome.objectives)
        u, metric = outcome.point.u, outcome.metric
        residual = problem.y - _predictions(problem, u)
        objectives.append(_objective(outcome, scale))
        wanted = max(_best_scale(residual, problem.weight, joint.epsilon, scale), least)
        slope = 1.0 - _clipped(residual, problem.weight, joint.epsilon, scale)
        lefts.append(abs(slope * (wanted - scale)) + 2.0 * outcome.left / scale)
        converged = lefts[-1] <= tol * objectives[-1]
        known = {"objective": objectives[-1], "suboptimality": lefts[-1]}
        model, n_passes = partial(_model, problem, u, scale), len(outcome.objectives)
        if effort.observer.passed(model, known, n_passes):
            break
        if converged or n_iter >= effort.max_iter or len(lefts) >= ROUNDS or scale <= least:
            break
        tried.append((scale, wanted))
        scale = max(_secant(tried), MOST_SHRUNK * scale)
        scale = scale if scale > 2.0 * least else least
    outcome = outcome._replace(
        objectives=objectives, lefts=lefts, left=lefts[-1], converged=converged
    )
    done = solution(problem, outcome, effort)
    return done._replace(objective=objectives[-1], gap=np.inf, n_iter=n_iter), scale


def _model(problem: Problem, u: Floats, scale: float) -> Model:
    model = model_at(problem, u)
    return model._replace(state=HuberStart(State(model.coef, model.intercept), scale))


def _begin(
    joint: _Joint, effort: Effort, start: HuberStart | None, least: float
) -> tuple[Floats, float, None]:
    """Return where to start: from samples of the rows, the scale from the median residual."""
    problem = joint.problem
    if start is not None:
        u = from_raw(problem, start.state.coef, start.state.intercept)
        if start.scale > LEAST_SCALE * 1e3 * _spread(problem, problem.weight @ problem.y):
            return u, start.scale, None
        return u, max(_median_scale(problem, _predictions(problem, u)), least), None
    u, _ = null_model(problem)
    if problem.fit_intercept:
        u[-1] = np.median(problem.y)
    scale = max(_median_scale(problem, u[-1]), least)
    f_null = scale_of(problem, np.empty(0))
    u, _ = from_samples(joint.at(scale), u, np.empty(0), effort.tol, f_null, effort)
    return u, max(_median_scale(problem, _predictions(problem, u)), least), None


def _median_scale(problem: Problem, raw: Any) -> float:
    """Return the residuals' scale by their median; where most of them vanish, by their squares."""
    median = float(np.median(np.abs(problem.y - raw)[problem.weight > 0.0]))
    return median / NORMAL or _spread(problem, raw)


def _spread(problem: Problem, raw: Any) -> float:
    """Return the root of the residuals' mean square."""
    return float(np.sqrt(problem.weight @ (problem.y - raw) ** 2))


def _clipped(residual: Floats, weight: Floats, epsilon: float, scale: float) -> float:
    """Return mean_i min(|residual_i| / scale, epsilon)^2."""
    return float(weight @ np.minimum(np.abs(residual) / scale, epsilon) ** 2)


def _best_scale(residual: Floats, weight: Floats, epsilon: float, near: float) -> float:
    """Return the scale that these residuals call for; 0 where nearly all of them vanish."""

    def excess(log_scale: float) -> float:
        return _clipped(residual, weight, epsilon, np.exp(log_scale)) - 1.0

    low = high = np.log(near)
    if not np.any(residual[weight > 0.0]):
        return 0.0
    while excess(low) < 0.0:
        low -= 1.0
        if low < np.log(near) - 100.0:
            return 0.0
    while excess(high) > 0.0:
        high += 1.0
    return float(np.exp(brentq(excess, low, high, xtol=SCALE_TOL) if high > low else low))


def _secant(tried: list[tuple[float, float]]) -> float:
    """Return the fixed point of the line through the last two (scale, scale called for)."""
    scale, wanted = tried[-1]
    if len(tried) == 1:
        return wanted
    before, then = tried[-2]
    slope = (wanted - then) / (scale - before) if scale != before else 0.0
    if not -1.0 < slope < 0.9:
        return wanted
    return scale + (wanted - scale) / (1.0 - slope)


def _objective(outcome: Outcome, scale: float) -> float:
    return scale + 2.0 / scale * outcome.point.objective


def _predictions(problem: Problem, u: Floats) -> Floats:
    """Return the raw predictions of all rows."""
    n, d = problem.shape
    params, raw = to_raw(problem, u), np.empty(n)
    over_shards(lambda a, b: predict_raw(problem.rows, params, a, b, raw), n, n * d)
    return raw
