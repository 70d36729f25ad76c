"""Proven bounds of the suboptimality, from a dual point.

For a convex loss with derivatives r_i at the raw predictions m_i, sum_i s_i = 1,

    D(r) = -sum_i s_i loss*(y_i, r_i) - sum_j h*(-G_j),    G = sum_i s_i r_i x_i,

is no larger than the optimum of  F(w, b) = sum_i s_i loss(y_i, m_i) + sum_j h(w_j),
h(w) = l1 |w| + l2/2 w^2, if  sum_i s_i r_i = 0  (b has no penalty). With r_i = loss'(m_i) the
losses' part of F - D is zero, and what is left is a sum of terms that are not negative:

    h(w_j) + h*(-G_j) + G_j w_j

So the intercept has to be at its best; where l2 = 0, h* is finite for |G_j| <= l1 only, and r is
scaled into that box, which costs  sum_i s_i (loss(m_i) + loss*(t r_i) - t r_i m_i).

References
----------
.. [1] Boyd & Vandenberghe, "Convex Optimization", 2004, section 5.5.
.. [2] Ndiaye, Fercoq, Gramfort & Salmon, "Gap Safe Screening Rules for Sparsity Enforcing
   Penalties", 2017, section 2 (scaling into the box).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._solvers._passes import predictions
from fastgd._solvers._problem import (
    Floats,
    Point,
    Problem,
    evaluate,
    has_log_link,
    is_deviance,
)
from fastgd.kernels import losses
from fastgd.kernels.certificate import best_intercept, fenchel_total

INTERCEPT_STEPS = 50
BALANCED, ACCEPTED = (
    1e-13,
    1e-9,
)  # sum_i s_i r_i, relative to sum_i s_i |r_i|: what is left is counted
SMALL_SLOPE, SMALL_STEP = 1e-3, 1e-6  # a step's square is left
UNSUMMED = 1e-13  # relative: by what sums over all rows, in another order, may differ
UNSEEN = 1e-10  # of the slopes: more than that is never taken for rounding
ALLOWANCE = 8 * float(np.finfo(np.float64).eps)  # relative: the rounding of both objectives


class Certificate(NamedTuple):
    """What a proof needs and gives.

    point : Point, with the intercept at its best
    gap : float, a bound of ``point.objective`` minus the optimum; inf where there is none
    """

    point: Point
    gap: float


def certify(problem: Problem, point: Point) -> Certificate:
    """Bound the suboptimality of a point; two passes over X where its intercept is not the best.

    There is no bound without a penalty of all coefficients, and none for a loss that is not
    convex.
    """
    if not can_prove(problem):
        return Certificate(point, np.inf)
    balanced = _balanced(problem, point)
    if balanced is None:
        return Certificate(point, max(point.objective - problem.lowest_objective, 0.0))
    gap = gap_of_penalty(problem, balanced)
    if problem.l2 == 0.0:
        gap = _gap_in_box(problem, balanced)
    share = _imbalance(problem, balanced) / max(_size_of_slopes(problem, balanced), 1e-300)
    rounding = rounding_of_bound(problem, balanced)
    return Certificate(balanced, gap + rounding + share * abs(balanced.objective))


def rounding_of_bound(problem: Problem, point: Point) -> float:
    """Return what rounding may take from a bound: that of the primal and the dual objective.

    With a log link both have terms linear in raw predictions, which cancel: y m, or m.
    """
    size = abs(point.objective) + abs(problem.least)
    if has_log_link(problem.loss):
        size += problem.terms * (1.0 + size_of_terms(problem, point.u))
    return ALLOWANCE * size


def size_of_terms(problem: Problem, u: Floats) -> float:
    """Return the size of the terms that one output's raw predictions are sums of.

    Passes work on raw columns: what a mean adds to the entries' terms, the raw intercept takes off.
    """
    means = np.abs(problem.scaler.center) * problem.scaler.inverse_std
    return abs(float(u[-1])) + float(np.sum((problem.peak + 2.0 * means) * np.abs(u[:-1])))


def can_prove(problem: Problem) -> bool:
    """Tell whether there is a dual point that bounds the optimum."""
    if not losses.is_convex(problem.loss):
        return False
    has_conjugate = problem.n_outputs > 0 or losses.has(problem.loss, "conjugate")
    return problem.l2 > 0.0 or (problem.l1 > 0.0 and has_conjugate)


def quick_gap(problem: Problem, point: Point) -> float:
    """Return the bound without reading X; inf where the intercept is not at its best."""
    if not can_prove(problem) or problem.l2 == 0.0:
        return float("inf")
    if _imbalance(problem, point) > ACCEPTED * _size_of_slopes(problem, point):
        return float("inf")
    return gap_of_penalty(problem, point)


# -- the intercept ----------------------------------------------------------------------------


def _imbalance(problem: Problem, point: Point) -> float:
    """Return |sum_i s_i r_i|, the largest of many outputs'."""
    return float(np.max(np.abs(point.gradient[-1]))) if problem.fit_intercept else 0.0


def _is_balanced(problem: Problem, point: Point) -> bool:
    """Tell whether sum_i s_i r_i is so small that it can be counted against the bound."""
    return _imbalance(problem, point) <= BALANCED * _size_of_slopes(problem, point)


def _size_of_slopes(problem: Problem, point: Point) -> float:
    """Return about sum_i s_i |r_i|, from above, but not far."""
    if problem.n_outputs > 0 or losses.kind_of(problem.loss) == losses.BINARY:
        return min(1.0, max(point.objective, 1e-300))
    return float(np.sqrt(2.0 * max(point.objective, 0.0)))


def _balanced(problem: Problem, point: Point) -> Point | None:
    """Return the point with its intercepts at their best; None where they were not found.

    A pass shows what is likely to be best already.
    """
    if _is_balanced(problem, point):
        return point
    step = step_of_intercept(problem, point)
    if step is not None:
        moved = _moved(problem, point, step)
        if _is_balanced(problem, moved):
            return moved
    raw: Any = predictions(problem, point.u)
    if problem.n_outputs == 0:
        shift: Any = best_intercept(problem.loss, problem.y, problem.weight, raw)
    else:
        shift = best_intercepts(problem, raw)
    moved = _moved(problem, point, shift)
    rounding = max(rounding_of_bound(problem, point), UNSUMMED * abs(point.objective))
    is_better = moved.objective <= point.objective + rounding
    if not is_better or _imbalance(problem, moved) > _imbalance(problem, point):
        moved = point
    is_accepted = _imbalance(problem, moved) <= ACCEPTED * _size_of_slopes(problem, moved)
    return moved if is_accepted else None


def step_of_intercept(problem: Problem, point: Point) -> float | None:
    """Return what the best intercept differs by, known without the rows; None where it is not.

    A deviance's slopes are  e^(a t) - y e^(b t)  with  a = 2 - p = b + 1,  and its curvatures
    a e^(a t) - b y e^(b t):  two sums for two unknown ones, whose quotient is e^step. Other losses
    take a step of Newton's method, which near the optimum squares what is left.
    """
    if problem.n_outputs > 0:
        return None
    slope, bend = float(point.gradient[-1]), float(np.sum(point.curvature))
    if is_deviance(problem.loss):
        first = bend + (losses.variance_power(problem.loss) - 1.0) * slope
        return float(np.log1p(-slope / first)) if first > max(slope, 0.0) else None
    return -slope / bend if bend > 0.0 and abs(slope) <= SMALL_STEP * bend else None


def _moved(problem: Problem, point: Point, shift: Any) -> Point:
    """Return the point with other intercepts."""
    u = point.u.copy()
    u[-1] += shift
    return evaluate(problem, u)


def best_intercepts(problem: Problem, raw: Floats) -> Floats:
    """Return what to add to the intercepts of softmax, by Newton's method.

    The exponentials are those of ``raw``, times one factor for each class.
    """
    weight, y, shift = problem.weight, problem.y, np.zeros(raw.shape[1])
    at, exponentials = (np.arange(raw.shape[0]), y), np.exp(raw - np.max(raw, axis=1)[:, None])
    last = np.inf
    for _ in range(INTERCEPT_STEPS):
        p = exponentials * np.exp(shift)
        own, p[at] = p[at], 0.0
        others = np.sum(p, axis=1)  # with all digits where the own class is certain
        total = own + others
        p /= total[:, None]
        missed = weight * others / total
        excess = weight @ p - np.bincount(y, missed, shift.size)
        bends = weight @ (p * (1.0 - p)) + np.bincount(y, missed * own / total, shift.size)
        p[at] = own / total
        hessian = -(p.T @ (p * weight[:, None]))
        np.fill_diagonal(hessian, bends)
        hessian += hessian.trace() / shift.size**2  # all alike: no change
        step = np.linalg.lstsq(hessian, -excess, rcond=1e-14)[0]
        step *= min(1.0, 1.0 / max(np.abs(step).max(), 1e-300))
        shift += step
        before, last = last, float(np.abs(step).max())
        if last <= 1e-14 or (last <= SMALL_SLOPE and last > 0.5 * before):  # rounding's
            break
    return shift


# -- the penalty's part ------------------------------------------------------------------------


def _raw_parts(problem: Problem, point: Point) -> tuple[Floats, Floats]:
    """Return w and G of the raw columns; constant columns are left out."""
    scaler = problem.scaler
    known = scaler.inverse_std > 0.0
    inverse_std = scaler.inverse_std[known]
    u = point.u[:-1][known]
    own = (point.gradient - (point.u.T * problem.ridge).T)[:-1][known]
    return (u.T * inverse_std).T, (own.T / inverse_std).T


def gap_of_penalty(problem: Problem, point: Point) -> float:
    """Return sum_j h(w_j) + h*(-G_j) + G_j w_j for l2 > 0.

    To balance r exactly would change G by as much as its sum is, times a standard deviation: the
    terms are convex in G, and the larger one of both ends counts.
    """
    if problem.l2 == 0.0:
        return float("inf")
    w, g = _raw_parts(problem, point)
    inverse_std = problem.scaler.inverse_std[problem.scaler.inverse_std > 0.0]
    reach = np.broadcast_to((_imbalance(problem, point) / inverse_std).T, g.T.shape).T
    given = (problem.l1, problem.l2, problem.positive)
    with np.errstate(over="ignore", invalid="ignore"):  # coefficients may be as far as 1e300
        ends = penalty_terms(w, g - reach, *given), penalty_terms(w, g + reach, *given)
        gap = float(np.sum(np.maximum(*ends)))
    return gap if np.isfinite(gap) else float("inf")


def penalty_terms(w: Floats, g: Floats, l1: float, l2: float, positive: bool = False) -> Floats:
    """Return h(w_j) + h*(-g_j) + g_j w_j for l2 > 0, summed from parts that are not negative."""
    terms: Floats
    if l1 == 0.0 and not positive:
        terms = 0.5 * l2 * (w + g / l2) ** 2
        return terms
    if positive:
        beyond = np.maximum(-g - l1, 0.0)
        terms = 0.5 * l2 * (w - beyond / l2) ** 2 + (l1 + g + beyond) * w
        return terms
    inside, side = np.minimum(np.abs(g), l1), -np.sign(g)
    beyond = np.abs(g) - inside
    terms = 0.5 * l2 * (w - side * beyond / l2) ** 2
    terms += (l1 - inside) * np.abs(w) + inside * (np.abs(w) - side * w)
    return terms


def _gap_in_box(problem: Problem, point: Point) -> float:
    """Return the gap of the dual point scaled into |G_j| <= l1, where l2 = 0."""
    gap, share = box_gap(problem, point)
    return gap if share == 1.0 else gap + loss_gap(problem, point.u, share)


def box_gap(problem: Problem, point: Point) -> tuple[float, float]:
    """Return the penalty's part of that gap, and t, by which the dual point is scaled.

    A column's slope is not known better than to rounding, which beside the threshold of a column of
    large numbers may be much: it is no reason to scale, and counts as far as the coefficient goes.
    """
    w, g = _raw_parts(problem, point)
    noise = (
        rounding_of_slopes(problem, point)[problem.scaler.inverse_std > 0.0].T * np.ones(g.T.shape)
    ).T
    with np.errstate(over="ignore"):
        size = np.maximum((-g if problem.positive else np.abs(g)) - noise, 0.0)
    largest = float(np.max(size, initial=0.0))
    share = min(1.0, problem.l1 / largest) if largest > 0.0 else 1.0
    scaled = share * g
    if problem.positive:
        terms = np.maximum(problem.l1 + scaled, 0.0) * w
    else:
        inside, side = np.minimum(np.abs(scaled), problem.l1), -np.sign(scaled)
        terms = (problem.l1 - inside) * np.abs(w) + inside * (np.abs(w) - side * w)
    terms = np.maximum(terms, 0.0) + np.minimum(noise, problem.l1) * np.abs(w)
    return float(np.sum(terms)), share


def rounding_of_slopes(problem: Problem, point: Point) -> Floats:
    """Return what rounding may add to sum_i s_i r_i x_ij of raw columns, (n_features,).

    It is that of the sum, and that of r, whose raw predictions are sums over columns.
    """
    inverse_std = problem.scaler.inverse_std
    offset = 1.0 + np.abs(problem.scaler.center) * inverse_std
    slopes = _size_of_slopes(problem, point)
    raw = float(np.max(offset @ np.abs(point.u[:-1]), initial=0.0))
    size = offset * min(ALLOWANCE * (slopes + raw), UNSEEN * slopes)
    with np.errstate(over="ignore"):
        return np.divide(size, inverse_std, out=np.zeros_like(inverse_std), where=inverse_std > 0.0)


def loss_gap(problem: Problem, u: Floats, share: float) -> float:
    """Return sum_i s_i (loss(m_i) + loss*(t r_i) - t r_i m_i), t the share."""
    raw: Any = predictions(problem, u)
    if problem.n_outputs == 0:
        return float(fenchel_total(problem.loss, problem.y, problem.weight, raw, share))
    slopes, losses_of_rows = slopes_and_losses(raw, problem.y)
    missed = -slopes[np.arange(raw.shape[0]), problem.y]
    # of the probabilities: those of the dual point are t p, and 1 - t (1 - p) of the own class
    apart = (1.0 - share * missed) * (np.log1p(-share * missed) + losses_of_rows)
    apart += share * missed * np.log(max(share, 1e-300))
    return float(problem.weight @ np.maximum(apart, 0.0))


def slopes_and_losses(raw: Floats, y: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return softmax - onehot, and each row's loss, with all digits where the own class is certain.

    raw : (n_samples, n_outputs)
    """
    at, largest = (np.arange(raw.shape[0]), y), np.max(raw, axis=1)
    slopes = np.exp(raw - largest[:, None])
    own, beyond = slopes[at], raw[at] - largest
    slopes[at] = 0.0
    others = np.sum(slopes, axis=1)
    found = np.where(beyond == 0.0, np.log1p(others), np.log(own + others) - beyond)
    slopes[at] = -others
    slopes /= (own + others)[:, None]
    return slopes, found
