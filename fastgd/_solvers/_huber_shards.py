"""Huber's regression with its scale, on rows in shards: one descent of everything together.

    F(w, b, sigma) = sigma + sum_i s_i sigma H(t_i) + l2 |w|^2,    t_i = residual_i / sigma

H(t) = c (2 t - c) with c = t clipped at epsilon. F is convex in all three [1]_, and its Hessian is
the sum of 2 s_i / sigma (z_i, t_i) (z_i, t_i)' over the rows with |t_i| < epsilon: the scale is one
more coefficient, with t as its column, and a pass returns what Newton's method asks for.

The dual point rho_i = 2 q (c_i - m), m the mean of c if there is an intercept, is feasible for the
largest q <= 1 with q (epsilon + |m|) <= epsilon and q^2 (mean c^2 - m^2) <= 1. The gap that
``_huber`` states is then known from a few sums over the rows:

    sigma ((1 - q)^2 C + q (2 - q) m^2 + 2 epsilon (1 - q) A + 2 q m B + 1 - q^2 (C - m^2))
    + |2 l2 w - X'rho|^2 / (4 l2)

with C = mean c^2, A = mean |t - c| and B = mean (t - c).

References
----------
.. [1] Owen, "A robust hybrid of lasso and ridge regression", 2007, section 3 (joint convexity).
"""

from functools import partial
from operator import add
from typing import Any, NamedTuple

import numpy as np

from fastgd._data.shards import Rows, Shards, added
from fastgd._monitoring.observer import Model
from fastgd._solvers._certificates import ALLOWANCE
from fastgd._solvers._dual_points import penalty_gap
from fastgd._solvers._huber import EPSILON, HuberStart, huber_with_scale
from fastgd._solvers._passes import predictions, products_with
from fastgd._solvers._precondition import Metric, factorise, product_at, transfer
from fastgd._solvers._problem import Floats, Point, Problem, evaluate, from_raw, model_at
from fastgd._solvers._shard_sums import Frame, Kind, problem_of, validated
from fastgd._solvers._sharded import Descent, Place, ShardedTask, by_shards, shrunk
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd._solvers._units import in_units
from fastgd.kernels.losses import Huber
from fastgd.kernels.objective import Scaler


def huber_by_shards(task: ShardedTask, options: Options) -> Solution:
    """Fit coefficients and their scale to rows in shards; the state is a ``HuberStart``."""
    return by_shards(task, options, _in_memory, _HuberDescent)


def outliers_of(shards: Shards, kind: Kind, coef: Floats, intercept: float, most: float) -> Any:
    """Return which rows have a residual beyond ``most``, (n_samples,), in a pass."""
    part = partial(_outliers_at, kind=kind, coef=coef, intercept=intercept, most=most)
    return np.concatenate(shards.total(part, add))


def _outliers_at(rows: Rows, kind: Kind, coef: Floats, intercept: float, most: float) -> list[Any]:
    X, y, _ = validated(rows, kind)
    return [np.abs(y - (X @ coef + intercept)) > most]


def _in_memory(task: Task, options: Options) -> Solution:
    found, scale = in_units(huber_with_scale, task._replace(dtype=np.float64), options, None)
    solution: Solution = found._replace(state=HuberStart(found.state, scale))
    return solution


class HuberSums(NamedTuple):
    """Over the rows of some shards, the scale's own part of F and the penalty not counted.

    loss : float
    slope : ndarray, the gradient by the standardised parameters
    product : (P, P), the Hessian, or its diagonal; 0.0 if it was not asked for
    mean, square : float, of c and c^2
    beyond, signed : float, of |t - c| and t - c
    """

    loss: float
    slope: Floats
    product: Any
    mean: float
    square: float
    beyond: float
    signed: float


def huber_sums_at(
    rows: Rows, frame: Frame, u: Floats, epsilon: float, wants_hessian: bool
) -> HuberSums:
    """Return a shard's sums; u are coefficients, the scale and the intercept, in this order."""
    at = u.shape[0] - 2
    scale, own = float(u[at]), np.delete(u, at)
    problem = problem_of(rows, frame)._replace(loss=Huber(epsilon * scale))
    point = evaluate(problem, own)
    t, weight = (problem.y - predictions(problem, own)) / scale, problem.weight
    c = np.clip(t, -epsilon, epsilon)
    slope = np.insert(2.0 / scale * point.gradient, at, -float(weight @ c**2))
    product = _product(problem, point, t, scale) if wants_hessian else 0.0
    means = (float(weight @ part) for part in (c, c**2, np.abs(t - c), t - c))
    return HuberSums(2.0 / scale * point.objective, slope, product, *means)


def _product(problem: Problem, point: Point, t: Floats, scale: float) -> Floats:
    """Return the Hessian of a shard, the scale's row and column before the intercept's."""
    near, at = point.curvature, point.u.shape[0] - 1
    own, square = product_at(problem, point), float(near @ t**2)
    if own.ndim == 1:
        return np.asarray(2.0 / scale * np.insert(own, at, square))
    cross = np.insert(products_with(problem, near * t), at, square)
    whole = np.insert(np.insert(own, at, 0.0, axis=0), at, 0.0, axis=1)
    whole[at], whole[:, at] = cross, cross
    return np.asarray(2.0 / scale * whole)


class _HuberDescent(Descent):
    """A descent of coefficients, the scale and the intercept."""

    def _posed(self) -> Problem:
        # the scale is a column without deviation: no ridge
        scaler = Scaler(*(np.append(part, 0.0) for part in self.frame.problem.scaler))
        return self.frame.problem._replace(scaler=scaler, l2=2.0 * float(self.task.l2))

    def _first(self, start: Solution) -> Floats:
        u = from_raw(self.frame.problem, *self._from_user(start.coef, start.intercept))
        return np.insert(u, u.shape[0] - 1, start.state.scale)

    @property
    def floor(self) -> float:
        """What rounding of the targets may hide of the objective."""
        terms = float(np.sqrt(self.task.look.y_square))
        own = EPSILON * self.here.point.objective
        return float(own + 8.0 * self.task.loss.epsilon * EPSILON * terms)

    def _at(self, u: Floats, wants_hessian: bool) -> Place:
        scale = float(u[-2])
        if not scale > 0.0:
            return Place(Point(u, float("inf"), np.zeros_like(u), np.empty(0)), None, None)
        given = {"frame": self.frame, "u": u, "epsilon": self.task.loss.epsilon}
        part = partial(huber_sums_at, **given, wants_hessian=wants_hessian)
        with np.errstate(over="ignore"):
            sums: HuberSums = self.task.shards.total(part, added)
            pull = self.problem.ridge * u
            objective = scale + sums.loss + 0.5 * float(pull @ u)
        gradient = sums.slope + pull
        gradient[-2] += 1.0
        product = sums.product if wants_hessian else None
        return Place(Point(u, float(objective), gradient, np.empty(0)), product, sums)

    def _model_at(self, u: Floats) -> Model:
        coef, intercept, *_ = model_at(self.frame.problem, np.delete(u, -2))
        if self.frame.origin is not None:
            intercept = intercept - float(coef @ self.frame.origin)
        state = State(np.array(coef, np.float64), intercept)
        return Model(coef, intercept, HuberStart(state, float(u[-2])))

    def _metric_of(self, sample: Task, u: Floats) -> Metric:  # noqa: ARG002
        """Return the sample's Hessian as that of all rows."""
        seen = self.task.look
        frame = self.frame._replace(mass=float(np.sum(seen.weight)))
        rows = Rows(seen.X, seen.y, seen.weight)
        product = huber_sums_at(rows, frame, u, self.task.loss.epsilon, True).product
        metric = factorise(self.problem, product, True)
        if product.ndim == 1:
            return metric
        return transfer(self.problem, shrunk(metric, (seen.X.shape[0], self.problem.shape[1])))

    def _quick_gap(self) -> float:
        """Return the gap of the dual point of these residuals."""
        sums, u, epsilon = self.here.bend, self.here.point.u, self.task.loss.epsilon
        if not self.problem.l2 > 0.0:
            return float("inf")
        m = sums.mean if self.problem.fit_intercept else 0.0
        spread = max(sums.square - m * m, 0.0)
        q = min(1.0, epsilon / (epsilon + abs(m)), 1.0 / max(np.sqrt(spread), 1e-300))
        missed = (1.0 - q) ** 2 * sums.square + q * (2.0 - q) * m * m
        missed += 2.0 * epsilon * (1.0 - q) * sums.beyond + 2.0 * q * m * sums.signed
        missed += max(1.0 - q * q * spread, 0.0)
        pull = q * sums.slope[:-1]
        return float(u[-2] * max(missed, 0.0) + penalty_gap(self.problem, u, pull))

    def _gap(self) -> float:
        """Return a proven bound of the suboptimality; at worst it is the objective."""
        objective = self.here.point.objective
        return float(min(self._quick_gap() + self.floor + ALLOWANCE * objective, objective))

    def _balance(self) -> None:
        """Do nothing: the dual point is balanced without a pass."""

    def _solution(self, left: float, is_shown: bool) -> Solution:
        found = super()._solution(left, is_shown)
        state = HuberStart(found.state, float(self.here.point.u[-2]))
        is_zero = found.objective <= self.floor
        return found._replace(state=state, converged=found.converged or is_zero)
