"""A dual point from Newton's step: a bound as small as the decrement, however small l2 is.

With the derivatives r_i = loss'(m_i) of a point u, the bound of ``_certificates`` has the term
|g|^2 / (2 l2), g the gradient: with l2 = 1/n all of the objective until the gradient is tiny.
Let v be Newton's step from u, H v = -g, and

    t_i = r_i + loss''(m_i) z_i v

Then sum_i s_i t_i (z_i, 1) is the gradient of the quadratic model's losses at u + v, which the
penalty's balances: the dual point has no such term. What the conjugates leave is the model's
decrease, g'H^-1 g / 2, up to third powers of v. So the bound is right where Newton's decrement is.

A step that is not exact leaves a residual p = g + H v, and a term |p|^2 / (2 l2) again: its price.
Each product with H costs a pass, so the step is the one of least price among all that the products
so far allow (conjugate gradients took twice as many). A metric that is at hand preconditions.

The t_i are taken as derivatives at other raw predictions h_i, which are found row by row, so that
they lie in the domain of the conjugate, and  loss(m) + loss*(t) - t m  is the Bregman divergence
loss(m) - loss(h) - loss'(h) (m - h). Whatever h is, the bound is valid.

References
----------
.. [1] Boyd & Vandenberghe, "Convex Optimization", 2004, section 10.2.4 (a dual point from Newton's
   step) and 11.2.2.
.. [2] Eisenstat, Elman & Schultz, "Variational Iterative Methods for Nonsymmetric Systems of Linear
   Equations", 1983, section 2 (generalized conjugate residuals; Orthomin forgets the oldest).
"""

from collections import deque
from functools import partial

import numpy as np

from fastgd._solvers._certificates import (
    ACCEPTED,
    BALANCED,
    best_intercepts,
    can_prove,
    certify,
    gap_of_penalty,
    rounding_of_bound,
    slopes_and_losses,
)
from fastgd._solvers._implicit import HessianProduct, Implicit
from fastgd._solvers._passes import predictions, products_with
from fastgd._solvers._precondition import (
    AnyMetric,
    can_have_hessian,
    cost_of_hessian,
    hessian,
    solve,
    with_matrix_at_last,
)
from fastgd._solvers._problem import Floats, Point, Problem, evaluate, over_shards
from fastgd.kernels.certificate import (
    POLISHING,
    best_intercept,
    divergence,
    dual_predictions,
    sums_of_slopes,
)

PART_OF_TARGET = 0.5  # that the residual's term may be
MOST_STEPS, SHRUNK = 3, 0.1  # of a metric; and what one leaves of a bound if it is near the Hessian
PART_OF_BOUND = 0.02  # where a step has led far: of the bound before
WINDOW = 6  # products over which a price's fall is taken
FARTHEST = 30.0  # square of the deviations by which rows that bend may be off a column's mean
COST_OF_BOUND, MOST_TRIES = 3, 4  # reads of X; parts of a step
LONGEST = 1e150  # part of a step: its square is a number
LEAST_SHARE = 0.01  # of a class's probability that a step may leave
KEPT_BYTES, LEAST_KEPT = 1 << 28, 2  # directions that a step is made of
LEAST_READS = 32  # of X, that a proof may take, or as many as the descent took
WORK_OF_ROW = 32  # products: some exponentials


def nearer(problem: Problem, point: Point, metric: AnyMetric, target: float) -> Point:
    """Take steps of a metric at hand to where the plain bound proves that ``point`` is near enough.

    That bound is about  |g|^2 / (2 l2):  with the Hessian of a large sample of the rows a step
    takes nine tenths of g and more, and a read of X, where the dual point of a step takes five.
    Ends where it is, with what was gained, at most ``target``, but for what the intercept adds, or
    where a step does not make it much smaller.
    """
    if isinstance(metric, Implicit) or metric.product.ndim != 2:
        return point
    begun, gap = point.objective, gap_of_penalty(problem, point)
    for _ in range(MOST_STEPS):
        if begun - point.objective + gap <= target:
            break
        following = evaluate(problem, point.u - solve(metric, point.gradient))
        if not following.objective <= point.objective:
            break
        before, point, gap = gap, following, gap_of_penalty(problem, following)
        if not gap <= SHRUNK * before:
            break
    return point


def lower_bound(
    problem: Problem, point: Point, metric: AnyMetric, target: float, n_passes: int
) -> float:
    """Return what is no more than the optimum of a smooth problem, by Newton's steps from a point.

    ``n_passes`` are those that led there.
    """
    best, _ = certify(problem, point)
    most = max(LEAST_READS, n_passes)
    return best.objective - bound_by_newton_steps(problem, best, metric, target, most)


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
    start, lower, enough = point.objective, -np.inf, PART_OF_TARGET * target
    while most > 0:
        step, n_products, is_exact = _newton_step(problem, point, metric, enough, most)
        most -= n_products
        larger = problem if is_exact else with_matrix_at_last(problem, 2 * most)
        if not is_exact and can_have_hessian(larger) and cost_of_hessian(larger) < most:
            problem, metric = larger, hessian(larger, point)
            most -= int(cost_of_hessian(problem))
            continue
        bound = _bound(problem, point, step)
        lower = max(lower, point.objective - bound)
        if start - lower <= target:
            break
        following, tries = _following(problem, point, step)
        if following is None:
            break
        point, most = following, most - tries - COST_OF_BOUND
        if bound < np.inf:
            enough = max(PART_OF_TARGET * target, PART_OF_BOUND * bound)
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
    gradient = products_with(problem, slopes) + (point.u.T * problem.ridge).T
    off = float(np.max(np.abs(gradient[-1]))) if problem.fit_intercept else 0.0
    share = off / max(float(np.sum(np.abs(slopes))), 1e-300)
    if not share <= ACCEPTED:  # the best intercept was not found
        return float("inf")
    gap = apart + gap_of_penalty(problem, point._replace(gradient=gradient))
    return gap + rounding_of_bound(problem, point) + share * abs(point.objective)


def _newton_step(
    problem: Problem, point: Point, metric: AnyMetric, enough: float, most: int
) -> tuple[Floats, int, bool]:
    """Solve H v = -g by conjugate residuals [2]_ until the residual costs the bound ``enough``.

    Directions' products with H are orthogonal in the norm of the price. Returns v, the number of
    products, and whether it costs no more.
    """
    product, weight = HessianProduct(problem, point), _price_of_residual(problem, point.u)
    step, residual = np.zeros(point.u.shape), point.gradient.copy()
    kept: deque[tuple[Floats, Floats]] = deque(
        maxlen=max(LEAST_KEPT, KEPT_BYTES // (16 * step.size))
    )
    prices: list[float] = []
    with np.errstate(over="ignore", invalid="ignore"):
        while True:
            prices.append(float(np.vdot(weight * residual, residual)))
            rest = most - product.n_products
            if prices[-1] <= enough or rest == 0 or _is_too_slow(prices, enough, rest):
                break
            direction = -_preconditioned(metric, residual)
            bent = product.times(direction)
            for before, image in kept:
                share = float(np.vdot(weight * bent, image))
                direction -= share * before
                bent -= share * image
            size = float(np.sqrt(np.vdot(weight * bent, bent)))
            if not 0.0 < size < np.inf:
                break
            direction, bent = direction / size, bent / size
            length = -float(np.vdot(weight * residual, bent))
            if not abs(length) * float(np.max(np.abs(direction))) < LONGEST:  # nothing bends there
                break
            step += length * direction
            residual += length * bent
            kept.append((direction, bent))
    return step, product.n_products, prices[-1] <= enough


def _is_too_slow(prices: list[float], enough: float, rest: int) -> bool:
    """Tell whether a price that falls twice as fast as it did is too high after the ``rest``."""
    if len(prices) <= WINDOW:
        return False
    return prices[-1] * (prices[-1] / prices[-1 - WINDOW]) ** (2.0 * rest / WINDOW) > enough


def _price_of_residual(problem: Problem, u: Floats) -> Floats:
    """Return what a unit of p^2 costs in each place, 1 / (2 l2) of raw columns.

    To balance an intercept moves all columns, by some of their deviations.
    """
    ridge = problem.ridge
    with np.errstate(over="ignore"):  # no price is too high for a ridge below 1e-308
        weight = np.divide(0.5, ridge, out=np.zeros_like(ridge), where=ridge > 0.0)
        weight[-1] = FARTHEST * weight.sum() if problem.fit_intercept else 0.0
    return np.ascontiguousarray(np.broadcast_to(weight, u.T.shape).T)


def _preconditioned(metric: AnyMetric, residual: Floats) -> Floats:
    """Return about H^-1 p, without a read of X."""
    if isinstance(metric, Implicit):
        return metric.preconditioned(residual)
    return solve(metric, residual)


def _of_one_output(problem: Problem, raw: Floats, moved: Floats) -> tuple[Floats, float]:
    """Return s_i t_i, which sum to zero, and the losses' part of the bound."""
    loss, y, n = problem.loss, problem.y, problem.shape[0]
    dual, slopes = np.empty_like(raw), np.empty_like(raw)
    over_shards(lambda a, b: dual_predictions(loss, y, raw, moved, a, b, dual), n, WORK_OF_ROW * n)
    if problem.fit_intercept:
        dual += _balancing(problem, dual)

    def apart(start: int, stop: int) -> float:
        return float(divergence(loss, y, problem.weight, raw, dual, start, stop, slopes))

    return slopes, sum(over_shards(apart, n, WORK_OF_ROW * n))


def _balancing(problem: Problem, raw: Floats) -> float:
    """Return the b with  sum_i s_i loss'(raw_i + b) = 0, by Newton's steps from 0."""
    given, n, shift = (problem.loss, problem.y, problem.weight, raw), problem.shape[0], 0.0
    for _ in range(2 * POLISHING):
        parts = over_shards(partial(sums_of_slopes, *given, shift), n, WORK_OF_ROW * n)
        slopes, size, bend = (sum(column) for column in zip(*parts, strict=True))
        rest = abs(slopes) / max(size, 1e-300)
        if rest <= BALANCED or not bend > 0.0:
            break
        shift -= slopes / bend
    return shift if rest <= ACCEPTED else float(best_intercept(*given))


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
