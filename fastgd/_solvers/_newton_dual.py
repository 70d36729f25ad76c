"""A dual point from Newton's step: a bound as small as the decrement, however small l2 is.

With the derivatives r_i = loss'(m_i) of a point u, the bound of ``_certificates`` has the term
|g|^2 / (2 l2), g the gradient: with l2 = 1/n all of the objective until the gradient is tiny.
Let v be Newton's step from u, H v = -g, and

    t_i = r_i + loss''(m_i) z_i v

Then sum_i s_i t_i (z_i, 1) is the gradient of the quadratic model's losses at u + v, which the
penalty's balances: the dual point has no such term. What the conjugates leave is the model's
decrease, g'H^-1 g / 2, up to third powers of v. So the bound is right where Newton's decrement is.

A step that is not exact leaves a residual p = g + H v, and a term |p|^2 / (2 l2) again. Conjugate
gradients make it small; any metric that is at hand preconditions them. Each product costs a pass.

The t_i are taken as derivatives at other raw predictions h_i, which are found row by row, so that
they lie in the domain of the conjugate, and  loss(m) + loss*(t) - t m  is the Bregman divergence
loss(m) - loss(h) - loss'(h) (m - h). Whatever h is, the bound is valid.

References
----------
.. [1] Boyd & Vandenberghe, "Convex Optimization", 2004, section 10.2.4 (a dual point from Newton's
   step) and 11.2.2.
"""

import numpy as np

from fastgd._solvers._certificates import (
    ACCEPTED,
    ALLOWANCE,
    best_intercepts,
    can_prove,
    gap_of_penalty,
    predictions,
    slopes_and_losses,
)
from fastgd._solvers._columns import as_matrix
from fastgd._solvers._dual_points import products_with
from fastgd._solvers._implicit import HessianProduct, Implicit, blocks
from fastgd._solvers._precondition import AnyMetric, solve
from fastgd._solvers._problem import Floats, Point, Problem, evaluate
from fastgd.kernels.certificate import best_intercept, divergence, dual_predictions
from fastgd.kernels.rows import Dense

PART_OF_TARGET = 0.5  # that the residual's term may be
COST_OF_BOUND, MOST_TRIES = 3, 4  # reads of X; parts of a step
LONGEST = 1e150  # part of a step: its square is a number
LEAST_SHARE = 0.01  # of a class's probability that a step may leave


def bound_by_newton_steps(
    problem: Problem, point: Point, metric: AnyMetric, target: float, most: int
) -> float:
    """Bound the suboptimality of a point of a smooth problem; inf where there is no bound.

    Where rows are far out, a step leads to where curvatures are others, and the bound is large.
    Then the step is taken, and the next point bounds the optimum from below.

    Parameters
    ----------
    problem : Problem, in float64
    point : Point, evaluated in float64
    metric : AnyMetric, near the Hessian there
    target : float, a bound that is small enough
    most : int, reads of X at most, but for some at the end
    """
    if not (can_prove(problem) and problem.is_smooth and problem.l2 > 0.0):
        return float("inf")
    start, lower = point.objective, -np.inf
    while most > 0:
        step, n_products = _newton_step(problem, point, metric, PART_OF_TARGET * target, most)
        lower = max(lower, point.objective - _bound(problem, point, step))
        if start - lower <= target:
            break
        following, tries = _following(problem, point, step)
        if following is None:
            break
        point, most = following, most - n_products - tries - COST_OF_BOUND
    return start - lower


def _following(problem: Problem, point: Point, step: Floats) -> tuple[Point | None, int]:
    """Return the point after a step, or after a part of it; None if none is lower."""
    for tries in range(MOST_TRIES):
        following = evaluate(problem, point.u + 0.25**tries * step)
        if following.objective < point.objective:
            return following, tries + 1
    return None, MOST_TRIES


def _bound(problem: Problem, point: Point, step: Floats) -> float:
    """Return the bound by the dual point of a step; inf where there is none."""
    raw, moved = predictions(problem, point.u), predictions(problem, step)
    if not (np.all(np.isfinite(raw)) and np.all(np.isfinite(moved))):
        return float("inf")
    find = _of_classes if problem.n_outputs else _of_one_output
    slopes, apart = find(problem, raw, moved)
    gradient = _gradient(problem, slopes) + (point.u.T * problem.ridge).T
    off = float(np.max(np.abs(gradient[-1]))) if problem.fit_intercept else 0.0
    share = off / max(float(np.sum(np.abs(slopes))), 1e-300)
    if not share <= ACCEPTED:  # the best intercept was not found
        return float("inf")
    gap = apart + gap_of_penalty(problem, point._replace(gradient=gradient))
    return (
        gap + ALLOWANCE * (abs(point.objective) + abs(problem.least)) + share * abs(point.objective)
    )


def _newton_step(
    problem: Problem, point: Point, metric: AnyMetric, enough: float, most: int
) -> tuple[Floats, int]:
    """Solve H v = -g by conjugate gradients until the residual costs the bound ``enough``.

    Returns v and the number of products.
    """
    hessian = HessianProduct(problem, point)
    step, residual = np.zeros(point.u.shape), -point.gradient
    z = _preconditioned(metric, residual)
    direction, size = z, float(np.vdot(residual, z))
    for _ in range(most):
        if _price(problem, residual) <= enough or not size > 0.0:
            break
        bent = hessian.times(direction)
        bend = float(np.vdot(direction, bent))
        length = size / bend if bend > 0.0 else np.inf
        if not length * float(np.max(np.abs(direction))) < LONGEST:  # nothing bends there
            break
        step += length * direction
        residual -= length * bent
        z = _preconditioned(metric, residual)
        before, size = size, float(np.vdot(residual, z))
        direction = z + size / before * direction
    return step, hessian.n_products


def _price(problem: Problem, residual: Floats) -> float:
    """Return |p|^2 / (2 l2) of the raw columns."""
    ridge = problem.ridge[:-1]
    squares = residual[:-1].T ** 2
    return 0.5 * float(np.sum(squares[..., ridge > 0.0] / ridge[ridge > 0.0]))


def _preconditioned(metric: AnyMetric, residual: Floats) -> Floats:
    """Return about H^-1 p, without a read of X."""
    if isinstance(metric, Implicit):
        return (residual.T * metric.inverse_diagonal.T).T
    return solve(metric, residual)


def _of_one_output(problem: Problem, raw: Floats, moved: Floats) -> tuple[Floats, float]:
    """Return s_i t_i, which sum to zero, and the losses' part of the bound."""
    given = problem.loss, problem.y, problem.weight
    dual, slopes = np.empty_like(raw), np.empty_like(raw)
    rest = dual_predictions(*given, raw, moved, problem.fit_intercept, dual)
    if problem.fit_intercept and not rest <= ACCEPTED:
        dual += best_intercept(*given, dual)
    return slopes, float(divergence(*given, raw, dual, slopes))


def _of_classes(problem: Problem, raw: Floats, moved: Floats) -> tuple[Floats, float]:
    """Do the same for softmax: the probabilities p of a row become p (1 + z - p'z)."""
    p, before = slopes_and_losses(raw, problem.y)
    p[np.arange(p.shape[0]), problem.y] += 1.0
    moved = moved - np.einsum("ik,ik->i", p, moved)[:, None]
    dual = raw + np.log(np.maximum(1.0 + moved, LEAST_SHARE))
    if problem.fit_intercept:
        dual += best_intercepts(problem, dual)
    slopes, after = slopes_and_losses(dual, problem.y)
    apart = before - after - np.einsum("ik,ik->i", slopes, raw - dual)
    return slopes * problem.weight[:, None], float(problem.weight @ np.maximum(apart, 0.0))


def _gradient(problem: Problem, slopes: Floats) -> Floats:
    """Return sum_i slopes_i (z_i, 1), of each output."""
    if problem.n_outputs == 0:
        return products_with(problem, slopes)
    found, scaler = np.zeros((problem.shape[1] + 1, problem.n_outputs)), problem.scaler
    if isinstance(problem.rows, Dense):
        for first, x in blocks(problem.rows.values, 0, problem.shape[0]):
            found[:-1] += x.T @ slopes[first : first + x.shape[0]]
    else:
        found[:-1] = as_matrix(problem.rows, *problem.shape).T @ slopes
    if problem.fit_intercept:
        found[-1] = np.einsum("ik->k", slopes)
    found[:-1] -= np.outer(scaler.center, found[-1])
    found[:-1] *= scaler.inverse_std[:, None]
    return found
