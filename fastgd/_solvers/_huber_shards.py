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

Where l2 is zero or tiny, X'rho has to be 2 l2 w to the last digit: rho_i = q (2 c_i - z_i v), with
v the solution of  Z'SZ v = e,  e = Z'S 2c - 2 l2 w, which a pass more tells, and another one the
largest |z_i v|, D. Then the gap is at most

    sigma ((1 - q)^2 C + q (1 - q) g'v / 2 + q^2 e'v / 4 + (2 epsilon (1 - q) + q D) A
           + 1 - q^2 mean rho^2 / 4) + (1 - q)^2 l2 |w|^2

with g = Z'S 2c, mean rho^2 = 4 C - 2 g'v + e'v and the largest q <= 1 with q (2 epsilon + D) <= 2
epsilon and q^2 mean rho^2 <= 4.

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
from fastgd._solvers._dual_points import EPSILON, REST, penalty_gap
from fastgd._solvers._huber import (
    INNER_SHARE,
    LEAST_SCALE,
    HuberStart,
    huber_with_scale,
)
from fastgd._solvers._passes import predictions, products_with
from fastgd._solvers._precondition import Metric, factorise, product_at, products, solve, transfer
from fastgd._solvers._problem import Floats, Point, Problem, evaluate, from_raw, model_at
from fastgd._solvers._shard_sums import Frame, Kind, problem_of, validated
from fastgd._solvers._sharded import Descent, Place, ShardedTask, by_shards, shrunk
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd._solvers._units import in_units
from fastgd.kernels.losses import Huber
from fastgd.kernels.objective import Scaler

WIDENINGS = 5
LEAST_ABOUT = 1e-6
MOST_SHRUNK = 0.9  # of a scale, in a step
HARDLY_ANY = 1e-8  # of the curvature that a standardised column has with no row beyond epsilon
SQUARED_SHARE = 1e-4  # of tol^2: what is left grows with the square of what can be proven


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


class Covariance(NamedTuple):
    """The products of the standardised columns of some shards, (P, P)."""

    product: Floats


def covariance_at(rows: Rows, frame: Frame) -> Covariance:
    """Return a shard's."""
    problem = problem_of(rows, frame)
    return Covariance(products(problem, problem.weight))


def largest_at(rows: Rows, frame: Frame, v: Floats) -> float:
    """Return a shard's largest |z_i v|."""
    return float(np.max(np.abs(predictions(problem_of(rows, frame), v)), initial=0.0))


class _HuberDescent(Descent):
    """A descent of coefficients, the scale and the intercept."""

    def __init__(self, task: ShardedTask, options: Options, sample: Task, start: Solution) -> None:
        super().__init__(task, options, sample, start)
        for _ in range(WIDENINGS):  # a sample of few rows for its columns has hardly any residuals
            sums, u = self.here.bend, self.here.point.u.copy()
            if sums.square <= 0.5 * (1.0 + task.loss.epsilon**2):
                break
            u[-2] *= sums.beyond + np.sqrt(sums.square)  # about the mean residual
            self.here = self._at(u, self.is_newton)
            if not self.is_newton:
                self.metric = self._metric_of(sample, u)

    def _posed(self) -> Problem:
        # the scale is a column without deviation: no ridge
        scaler = Scaler(*(np.append(part, 0.0) for part in self.frame.problem.scaler))
        return self.frame.problem._replace(scaler=scaler, l2=2.0 * float(self.task.l2))

    def _first(self, start: Solution) -> Floats:
        u = from_raw(self.frame.problem, *self._from_user(start.coef, start.intercept))
        # a sample's residuals may all be zero where those of other rows are not
        scale = max(start.state.scale, LEAST_SCALE * self._size)
        return np.insert(u, u.shape[0] - 1, scale)

    @property
    def _size(self) -> float:
        """The targets' root mean square; 1 where all of them are 0."""
        return float(np.sqrt(self.task.look.y_square)) or 1.0

    @property
    def floor(self) -> float:
        """What rounding of the targets may hide of the objective."""
        own = EPSILON * self.here.point.objective
        return float(own + 8.0 * self.task.loss.epsilon * EPSILON * self._size)

    def _at(self, u: Floats, wants_hessian: bool) -> Place:
        scale = float(u[-2])
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

    def _part_along(self, places: list[Floats]) -> Any:  # noqa: ARG002
        return None  # the scale limits its steps, and a parabola fits them well

    def _model_at(self, u: Floats) -> Model:
        coef, intercept, *_ = model_at(self.frame.problem, np.delete(u, -2))
        if self.frame.origin is not None:
            intercept = intercept - float(coef @ self.frame.origin)
        state = State(np.array(coef, np.float64), intercept)
        return Model(coef, intercept, HuberStart(state, float(u[-2])))

    def _direction(self) -> tuple[Floats, float]:
        """Return a step, and half of what it promises; also along a slope without curvature.

        The rows beyond epsilon have a slope and no curvature: where a column, or the scale, has no
        other rows, Newton's decrement would not see it.
        """
        point, product = self.here.point, self.here.product
        if product is not None:
            flat = (np.diagonal(product) + self.problem.ridge == 0.0) & (point.gradient != 0.0)
            some = np.diag(flat * (HARDLY_ANY / float(point.u[-2])))
            self.here = self.here._replace(product=product + some)
        return super()._direction()

    def _moves(self, step: Floats, decrement: float, wants_hessian: bool) -> bool:
        """Take a step, or a part of it that leaves a tenth of the scale at least.

        There is none where the scale is as good as zero beside the targets.
        """
        if self.here.point.u[-2] <= LEAST_SCALE * self._size:
            return False
        most = MOST_SHRUNK * float(self.here.point.u[-2])
        share = most / max(-float(step[-2]), most)
        has_moved = super()._moves(share * step, share * decrement, wants_hessian)
        self.is_settled = self.is_settled and share == 1.0
        return has_moved

    def _metric_of(self, sample: Task, u: Floats) -> Metric:  # noqa: ARG002
        """Return the sample's Hessian as that of all rows."""
        seen = self.task.look
        frame = self.frame._replace(mass=float(np.sum(seen.weight)))
        rows = Rows(seen.X, seen.y, seen.weight)
        product = huber_sums_at(rows, frame, u, self.task.loss.epsilon, True).product
        diagonal = np.einsum("ii->i", product) if product.ndim == 2 else product
        # of few rows for their columns hardly a residual is left: the scale's is that of all rows
        diagonal[-2] = max(diagonal[-2], 2.0 * self.here.bend.square / float(u[-2]))
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

    def _wants_proof(self) -> bool:
        near = SQUARED_SHARE * self.options.tol**2 * self.here.point.objective
        is_far = self.is_newton and self.decrements[-1] > near
        return is_far and self._quick_gap() > self._target()

    def _gap(self) -> float:
        """Return a proven bound of the suboptimality; at worst it is the objective."""
        objective, gap = self.here.point.objective, self._quick_gap()
        if gap > self._target() and self.is_newton and self._is_near():
            gap = min(gap, self._gap_of_stationary())
        return float(min(gap + self.floor + ALLOWANCE * objective, objective))

    def _is_near(self) -> bool:
        """Tell whether another pass is likely to prove something."""
        return self.decrements[-1] <= INNER_SHARE * self.here.point.objective

    def _gap_of_stationary(self) -> float:
        """Return the gap of the nearest dual point at which the coefficients are stationary."""
        u, epsilon, sums = np.delete(self.here.point.u, -2), self.task.loss.epsilon, self.here.bend
        narrow = self.frame.problem._replace(l2=0.0)
        found = self.task.shards.total(partial(covariance_at, frame=self.frame), added)
        g = -np.delete(sums.slope, -2)
        pull = narrow._replace(l2=self.problem.l2).ridge * u
        e, metric = g - pull, factorise(narrow, found.product, True)
        v = solve(metric, e)
        v += solve(metric, e - found.product @ v)
        size = float(np.max(np.abs(pull), initial=0.0)) + 2.0 * epsilon
        free = narrow.scaler.inverse_std > 0.0
        rest = np.abs(e - found.product @ v)[:-1][free]
        if not np.max(rest, initial=0.0) <= REST * size:
            return float("inf")
        largest = self.task.shards.total(partial(largest_at, frame=self.frame, v=v), max)
        gv, ev = float(g @ v), float(e @ v)
        square = max(sums.square - 0.5 * gv + 0.25 * ev, 1e-300)
        q = min(1.0, 2.0 * epsilon / (2.0 * epsilon + largest), 1.0 / np.sqrt(square))
        missed = (1.0 - q) ** 2 * sums.square + 0.5 * q * (1.0 - q) * gv + 0.25 * q * q * ev
        missed += (2.0 * epsilon * (1.0 - q) + q * largest) * sums.beyond
        missed += max(1.0 - q * q * square, 0.0)
        gap = float(self.here.point.u[-2]) * max(missed, 0.0)
        return gap + 0.5 * (1.0 - q) ** 2 * float(pull @ u)

    def _balance(self) -> None:
        """Do nothing: the dual point is balanced without a pass."""

    def _solution(self, left: float, is_shown: bool) -> Solution:
        """Return what was found: Newton's decrement counts where the gap says about the same.

        Near a scale of zero hardly a residual is below epsilon times it, and the decrement knows of
        no other.
        """
        found = super()._solution(left, is_shown)
        state = HuberStart(found.state, float(self.here.point.u[-2]))
        about = max(np.sqrt(self.options.tol), LEAST_ABOUT) * found.objective
        can_tell = self.is_newton or self.problem.l2 > 0.0
        if can_tell and found.gap > about and found.objective > self.floor:
            found = found._replace(converged=False, suboptimality=found.gap)
        is_zero = found.objective <= self.floor
        return found._replace(state=state, converged=found.converged or is_zero)
