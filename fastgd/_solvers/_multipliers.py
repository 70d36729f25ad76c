"""Losses with kinks: smooth problems whose optima lead to theirs (``kernels.envelope``)."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastgd._observer import Silenced
from fastgd._solvers._gd import (
    Goal,
    Outcome,
    State,
    descend,
    finished_tolerance,
    model_at,
    solution,
)
from fastgd._solvers._precondition import Metric, factorise, hessian, products, solve
from fastgd._solvers._problem import (
    Floats,
    Point,
    Problem,
    evaluate,
    from_raw,
    over_shards,
    pose,
    to_raw,
)
from fastgd._solvers._task import Effort, Solution, Task
from fastgd._threads import one_blas_thread
from fastgd.kernels import losses
from fastgd.kernels.envelope import Envelope, renew

SHARPER = 0.2  # mu's factor after a round that gained little
LITTLE = 0.3  # of the gap left over from a round
LEAST_SMOOTHING = 1e-3  # of the first: below it, rounding hides what a round gains
INNER_SHARE = 0.1  # of the gap, to which a round is solved
INNER_PASSES = 50
SEASONED, GAINED = 4, 5.0  # rounds before, and times, what the last two gained is believed
PATIENCE = 8  # rounds without a better bound: rounding decides


class Round(NamedTuple):
    """What a round knows about the loss itself."""

    objective: float
    gap: float
    left: float
    missed: float  # the losses' part of the duality gap


def by_multipliers(task: Task, effort: Effort, start: State | None = None) -> Solution:
    """Solve a task whose loss is piecewise linear; it needs the dual hooks."""
    with one_blas_thread():
        problem = _pose(task)
        outcome, last = _rounds(problem, effort, start)
    return solution(problem, outcome, effort)._replace(
        objective=last.objective, gap=last.gap, left=last.left
    )


def _pose(task: Task) -> Problem:
    """Return the problem of the first envelope."""
    y = np.zeros((task.y.shape[0], 2))
    y[:, 0] = task.y
    scale = 1.0
    if task.loss.kind == losses.REGRESSION:  # half of the targets are about that close
        scale = float(np.std(y[:, 0])) or 1.0
    plain = pose(task._replace(loss=losses.SquaredError(), y=y[:, 0]))
    return plain._replace(y=y, loss=Envelope(task.loss, scale))


def _rounds(problem: Problem, effort: Effort, start: State | None) -> tuple[Outcome, Round]:
    """Solve envelopes, each about what the one before it found."""
    u = _first(problem, start)
    f_null = _scale(problem, u)
    # floored: along directions that no row varies in, a gradient is rounding
    coarse = problem._replace(dtype=np.float32)
    covariance = factorise(coarse, products(problem, problem.weight), False)
    tol, history = finished_tolerance(problem, effort.tol), History([], [], [])
    first = problem.loss.smoothing
    gap, passes, best = f_null, 0, None
    while True:
        reach = max(_spread(covariance, u), first)
        wanted = INNER_SHARE * max(min(gap, f_null), 0.3 * tol * f_null)
        # |g| reach <= wanted, where the decrement is at least mu |g|^2 / 2
        floor = 0.5 * problem.loss.smoothing * (wanted / reach) ** 2
        allowed = min(INNER_PASSES, effort.max_iter - passes)
        point = evaluate(problem, u)
        inner = Goal(0.0, floor, allowed, Silenced(effort.observer))
        outcome = descend(problem, u, hessian(problem, point), inner, point)
        u, passes = outcome.point.u, passes + len(outcome.objectives)
        last = history.judged(_renew(problem, outcome.point, covariance))
        history.add(last)
        if best is None or last.objective <= best[1].objective:
            best = outcome, last
        target = max(tol * abs(last.objective), tol * 1e-6 * f_null)
        known = {"objective": last.objective, "suboptimality": last.left}
        model, n_passes = partial(model_at, problem, u), len(outcome.objectives)
        if effort.observer.passed(model, known, n_passes):
            break
        if last.left <= target or passes >= effort.max_iter or history.is_stuck():
            break
        if last.left > LITTLE * gap:
            mu = max(SHARPER * problem.loss.smoothing, LEAST_SMOOTHING * first)
            problem = problem._replace(loss=problem.loss._replace(smoothing=mu))
        gap = last.left
    outcome, lowest = best
    # small problems are finished further than was asked for
    asked = effort.tol * max(abs(lowest.objective), 1e-6 * f_null)
    done = outcome._replace(
        objectives=history.objective,
        lefts=history.suboptimality,
        left=min(history.suboptimality),  # a bound holds for any lower objective as well
        converged=min(history.suboptimality) <= max(target, asked),
    )
    return done, lowest._replace(left=done.left, gap=min(history.gap))


class History(NamedTuple):
    """What is told of each round."""

    objective: list[float]
    suboptimality: list[float]
    gap: list[float]

    def is_stuck(self) -> bool:
        """Tell whether the last rounds brought no better bound."""
        left = self.suboptimality
        return len(left) > PATIENCE and min(left[-PATIENCE:]) >= min(left[:-PATIENCE])

    def judged(self, last: Round) -> Round:
        """Return a round with what the rounds before it say is left.

        Along columns that depend on each other a gradient is rounding, which bounds nothing: where
        rounds gain no more, the losses' part of the gap tells.
        """
        if len(self.objective) < SEASONED:
            return last
        gained = max(self.objective[-2], self.objective[-1]) - last.objective
        return last._replace(left=min(last.left, last.missed + GAINED * abs(gained)))

    def add(self, last: Round) -> None:
        """Note a round."""
        self.gap.append(last.gap)
        self.objective.append(last.objective)
        self.suboptimality.append(last.left)


def _first(problem: Problem, start: State | None) -> Floats:
    """Return where to begin."""
    u = np.zeros(problem.shape[1] + 1)
    if start is not None:
        return from_raw(problem, start.coef, start.intercept)
    if problem.fit_intercept and problem.loss.loss.kind == losses.REGRESSION:
        u[-1] = np.median(problem.y[:, 0])
    return u


def _spread(covariance: Metric, u: Floats) -> float:
    """Return the standard deviation of the raw predictions."""
    product = covariance.product
    square = u**2 @ product if product.ndim == 1 else u @ product @ u
    return float(np.sqrt(max(square - u[-1] ** 2, 0.0)))


def _scale(problem: Problem, u: Floats) -> float:
    """Return the loss of the model without features."""
    value, _ = _pass(problem._replace(y=problem.y.copy()), np.append(0.0 * u[:-1], u[-1]))
    return value


def _renew(problem: Problem, point: Point, covariance: Metric) -> Round:
    """Take the derivatives over, and say how good this point is for the loss itself.

    What the gradient leaves counts as far as raw predictions could have to go: one spread.
    """
    u, g = point.u, _rest(problem, point)
    value, missed = _pass(problem, to_raw(problem, u))
    penalty = 0.5 * float(np.sum(problem.ridge * u * u)) + float(problem.threshold @ np.abs(u))
    reach = max(_spread(covariance, u), problem.loss.smoothing)
    steepness = float(g @ solve(covariance, g))
    left = missed + reach * float(np.sqrt(max(steepness, 0.0)))
    if problem.l1 > 0.0:
        left = min(left, missed + _reach_of_l1(problem, u, g, value + penalty, reach))
    gap = np.inf
    if problem.l2 > 0.0 and problem.is_smooth:
        shrink = problem.frame.shrink
        slope = np.divide(g[:-1], shrink, out=np.zeros_like(shrink), where=shrink > 0.0)
        gap = missed + float(slope @ slope) / (2.0 * problem.l2)
    return Round(value + penalty, gap, min(left, gap), missed)


def _reach_of_l1(problem: Problem, u: Floats, g: Floats, objective: float, reach: float) -> float:
    """Return |g'(u - u*)| at most: no penalty l1 |w*|_1 is larger than the objective is here.

    Where columns outnumber rows, predictions do not bound coefficients, but this does.
    """
    t = problem.threshold
    known = t > 0.0
    largest = float(np.max(np.abs(g[known]) / t[known], initial=0.0))
    return largest * (float(t @ np.abs(u)) + objective) + abs(float(g[-1])) * reach


def _rest(problem: Problem, point: Point) -> Floats:
    """Return the least subgradient: zero at the optimum of a round."""
    g, u, t = point.gradient, point.u, problem.threshold
    rest = np.where(u != 0.0, g + t * np.sign(u), np.sign(g) * np.maximum(np.abs(g) - t, 0.0))
    at_bound = (u <= problem.lowest) & (rest > 0.0)
    least: Floats = np.where(at_bound, 0.0, rest)
    return least


def _pass(problem: Problem, params: Floats) -> tuple[float, float]:
    """Set r_old <- r in all rows."""
    n, d = problem.shape
    task: Any = (problem.rows, problem.y, problem.weight, problem.loss, params)
    parts = over_shards(lambda start, stop: renew(*task, start, stop), n, n * d)
    return sum(part[0] for part in parts), sum(part[1] for part in parts)
