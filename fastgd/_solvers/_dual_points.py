"""Piecewise linear losses as boxes of dual variables, and the bounds that dual points prove.

Each of these losses is, for a row, a sum of one or two terms  max_{low <= r <= high} r (raw - at),
times the row's weight; squares of a distance have - give r^2 / 2 beside it. The dual of
sum_i s_i loss_i(x_i w + b) + l1 |w|_1 + l2/2 |w|^2  has a variable r_i for each row, and for r
within the boxes, with sum_i r_i = 0 if there is an intercept, the gap of primal and dual is a sum
of terms that are none of them negative; for kinks

    sum_i (high_i - r_i) max(z_i, 0) + (r_i - low_i) max(-z_i, 0),   z_i = raw_i - at_i
    sum_j (l2 w_j - e_j)^2 / (2 l2) + l1 |w_j| - c_j w_j

with t = -X'r, c_j the nearest number to t_j in [-l1, l1], and e = t - c. Without l2 every e_j must
be zero: for l1 the point is scaled down, without a penalty it is projected on X'r = 0. As sums of
what is not negative they lose no digits, however small the gap is.

References
----------
.. [1] Rockafellar, "Convex Analysis", 1970, section 31 (Fenchel's duality).
"""

from typing import Any, NamedTuple

import numpy as np

from fastgd._solvers._passes import predictions, products_with
from fastgd._solvers._precondition import solve
from fastgd._solvers._problem import Floats, Problem
from fastgd._solvers._thin import RowsBasis, is_thin
from fastgd.kernels import losses

STATIONARY = 1e-13  # beside the sum of the rows' slopes: rounding
EPSILON = float(np.finfo(np.float64).eps)
SURELY = 1e-8  # of the targets: more than that is never called rounding
NEARLY = 1e-5  # of a slope
UNSEEN, CONTRACTED = 1e-11, 0.5  # slopes that are rounding; what a second projection leaves of one
REST = 1e-9  # of what a gradient is summed from
PROJECTIONS = 2  # the second one takes away what the first one's rounding left


class Pieces(NamedTuple):
    """The terms of a piecewise linear loss; there are k of them for each row.

    at : (k, n_samples), the raw prediction at which a term turns
    low, high : (k, n_samples), its slopes before and after, times the row's weight
    give : (k, n_samples), by how much a residual grows with the slope in between; 0 at a kink
    """

    at: Floats
    low: Floats
    high: Floats
    give: Floats | float = 0.0

    @property
    def has_kinks(self) -> bool:
        """Tell whether slopes jump."""
        return not np.any(self.give)

    def slopes(self, z: Floats) -> Floats:
        """Return each term's derivative at residuals z, times the row's weight."""
        if self.has_kinks:
            return np.where(z > 0.0, self.high, self.low)
        slopes: Floats = np.clip(z / self.give, self.low, self.high)
        return slopes


def pieces_of(loss: Any, y: Floats, weight: Floats) -> Pieces:
    """Return the terms of a loss."""
    at, low, high = type(loss).pieces(loss, y)
    return Pieces(at, weight * low, weight * high)


def loss_of(pieces: Pieces, raw: Floats) -> float:
    """Return the weighted loss."""
    z = raw - pieces.at
    if pieces.has_kinks:
        return float(np.sum(pieces.high * np.maximum(z, 0.0) + pieces.low * np.minimum(z, 0.0)))
    slopes = pieces.slopes(z)
    return float(np.sum(slopes * (z - 0.5 * pieces.give * slopes)))


def missed_by(pieces: Pieces, raw: Floats, dual: Floats) -> float:
    """Return the rows' part of the duality gap; ``dual`` (n_samples,) is within the boxes."""
    z = raw - pieces.at
    r = dual[None] if pieces.at.shape[0] == 1 else _split(dual)
    if pieces.has_kinks:
        parts = (pieces.high - r) * np.maximum(z, 0.0) + (pieces.low - r) * np.minimum(z, 0.0)
        return float(np.sum(parts))
    slopes = pieces.slopes(z)
    beyond = (slopes - r) * (z - pieces.give * slopes)  # of an end of the box
    return float(np.sum(beyond + 0.5 * pieces.give * np.square(slopes - r)))


def _split(dual: Floats) -> Floats:
    """Return the shares of two terms in a row's dual variable."""
    return np.stack([np.maximum(dual, 0.0), np.minimum(dual, 0.0)])


class Certificate(NamedTuple):
    """A dual point, and the gap it proves for some parameters.

    dual : (n_samples,), times the weights
    gap : float
    missed : float, the rows' part of it
    """

    dual: Floats
    gap: float
    missed: float


def certify(
    problem: Problem,
    pieces: Pieces,
    covariance: Any,
    u: Floats,
    raw: Floats,
    dual: Floats,
    *,
    is_stationary: bool = False,
) -> Certificate:
    """Make a point feasible, and return the gap it proves for u, whose raw predictions are given.

    covariance : Covariance, of the standardised columns
    is_stationary : whether rows inside their boxes can take up what rounding leaves of a gradient
    """
    low, high = pieces.low.sum(axis=0), pieces.high.sum(axis=0)
    dual = np.clip(dual, low, high)
    if problem.fit_intercept:
        dual = balanced(dual)
    is_free = problem.l1 == 0.0 and problem.l2 == 0.0
    if is_free:
        return _by_projection(problem, pieces, covariance, (u, raw, dual))
    pull = products_with(problem, dual)[:-1]  # of standardised columns
    at, is_tiny = (u, raw, dual), problem.l2 == 0.0 and _is_tiny(problem, dual)
    if problem.l2 == 0.0:
        scale = share_within(problem.threshold[:-1], pull)
        dual, pull = scale * dual, scale * pull
    missed, rest = missed_by(pieces, raw, dual), penalty_gap(problem, u, pull)
    gradient = problem.ridge[:-1] * u[:-1] + pull
    size = float(np.sum(np.abs(dual)))
    if is_stationary and np.max(np.abs(gradient), initial=0.0) <= STATIONARY * size:
        return Certificate(dual, missed, missed)
    has_targets = losses.kind_of(problem.loss) == losses.REGRESSION and pieces.has_kinks
    if is_tiny or (rest > missed and problem.l1 == 0.0 and has_targets):
        # beside a tiny penalty what rounding leaves of a gradient proves nothing
        other = _by_projection(problem, pieces, covariance, at)
        if other.gap < missed + rest:
            return other
    return Certificate(dual, missed + rest, missed)


def _is_tiny(problem: Problem, dual: Floats) -> bool:
    """Tell whether l1's bounds are near a gradient's rounding, which no scale brings within."""
    return bool(np.max(problem.threshold, initial=0.0) <= UNSEEN * float(np.sum(np.abs(dual))))


def _by_projection(
    problem: Problem,
    pieces: Pieces,
    covariance: Any,
    at: tuple[Floats, Floats, Floats],
) -> Certificate:
    """Return the gap of the point near ``dual`` at which u is stationary, scaled into the boxes."""
    u, raw, dual = at
    dual, off = projected(problem, covariance, u, dual)
    low, high = pieces.low.sum(axis=0), pieces.high.sum(axis=0)
    share = share_within(np.where(dual > 0.0, high, -low), dual)
    missed = missed_by(pieces, raw, share * dual)
    distance = float(problem.weight @ np.max(np.abs(raw - pieces.at), axis=0))
    gap = missed + shared_gap(problem, u, share, dual) + 2.0 * off * distance
    return Certificate(share * dual, gap, missed)


def shared_gap(problem: Problem, u: Floats, share: float, dual: Floats) -> float:
    """Return the penalty's part of the gap of ``share`` times a point at which u is stationary.

    Where none was found, ``dual`` is zero: that is no part of such a point. An l1 penalty, of which
    the point knows nothing, counts in full.
    """
    share = share if np.any(dual) else 0.0
    gap = 0.5 * (1.0 - share) ** 2 * float(np.sum(problem.ridge * u * u))
    return gap + float(problem.threshold @ np.abs(u))


def share_within(bound: Floats, of: Floats) -> float:
    """Return the largest factor up to 1 by which ``of`` is within its bounds."""
    share = np.divide(bound, np.abs(of), out=np.ones_like(of), where=of != 0.0)
    return max(min(1.0, float(np.min(share, initial=1.0))), 0.0)


def penalty_gap(problem: Problem, u: Floats, pull: Floats) -> float:
    """Return the penalties' part of the gap; ``pull`` is Z'r of the standardised columns."""
    inverse_std = problem.scaler.inverse_std
    known = inverse_std > 0.0
    w, t = u[:-1][known], -pull[known]
    bound = problem.l1 * inverse_std[known]
    c = np.clip(t, -bound, bound)
    gap = float(np.sum(bound * np.abs(w) - c * w))
    if problem.l2 > 0.0:
        off = (problem.l2 * inverse_std[known] * w) - (t - c) / inverse_std[known]
        gap += float(off @ off) / (2.0 * problem.l2)
    return gap


def balanced(dual: Floats) -> Floats:
    """Scale the positive or the negative part down until both cancel: then no intercept helps."""
    above, below = np.maximum(dual, 0.0), np.minimum(dual, 0.0)
    up, down = float(above.sum()), -float(below.sum())
    if up > down:
        return above * (down / up) + below
    return above + below * (up / down) if down > 0.0 else dual


def projected(problem: Problem, covariance: Any, u: Floats, dual: Floats) -> tuple[Floats, float]:
    """Return a point near ``dual`` at which u is stationary, zero if none is found; and how nearly.

    The least change in the metric of the weights is s Z (Z'SZ)^-1 (Z'r + ridge u). The second
    number is the largest slope by which a row would still have to change, which rounding leaves.
    """
    metric = covariance()
    zero = np.zeros_like(dual), 0.0
    if metric is None:
        return zero
    start, pull, changes = dual, problem.ridge * u, []
    for _ in range(PROJECTIONS + 1):
        rest = products_with(problem, dual) + pull
        step = solve(metric, rest)
        change = predictions(problem, step)
        changes.append(float(np.max(np.abs(change), initial=0.0)))
        if len(changes) <= PROJECTIONS:
            dual = dual - problem.weight * change
    if not _is_rounding(problem, rest, pull, dual):
        return zero  # no rows can take up what is left
    before, off = changes[-2:]
    # a covariance that rounding hides parts of may leave there what it cannot show
    if off <= NEARLY and not (is_thin(metric) and off > max(UNSEEN, CONTRACTED * before)):
        return np.where(problem.weight > 0.0, dual, 0.0), off
    return _by_rows(problem, covariance.basis(), pull, start) or zero


def _is_rounding(problem: Problem, rest: Floats, pull: Floats, dual: Floats) -> bool:
    """Tell whether what is left of a gradient is small beside what it is summed from."""
    offset = 1.0 + np.append(np.abs(problem.scaler.center) * problem.scaler.inverse_std, 0.0)
    size = float(np.sum(np.abs(dual)) + np.max(np.abs(pull), initial=0.0))
    return bool(np.all(np.abs(rest) <= REST * offset * size))


def _by_rows(
    problem: Problem, basis: RowsBasis, pull: Floats, dual: Floats
) -> tuple[Floats, float] | None:
    """Return the same by a basis of the columns, which knows what their products do not show."""
    if not basis.is_known:
        return None
    dual = basis.without(dual) + basis.change(pull)
    change = basis.change(products_with(problem, dual) + pull)
    slopes = np.divide(change, problem.weight, out=np.zeros_like(change), where=problem.weight > 0)
    off = float(np.max(np.abs(slopes), initial=0.0))
    return (dual, off) if off <= NEARLY else None


def renewed(pieces: Pieces, raw: Floats, dual: Floats, weight: Floats, mu: float) -> Floats:
    """Return the derivatives of the loss's envelope with smoothing mu about ``dual``."""
    shifted = mu * np.divide(dual, weight, out=np.zeros_like(dual), where=weight > 0.0)
    if pieces.at.shape[0] == 1:
        free = shifted + (raw - pieces.at[0])
    else:
        free = np.maximum(raw + shifted - pieces.at[0], 0.0)
        free += np.minimum(raw + shifted - pieces.at[1], 0.0)
    clipped: Floats = np.clip(weight * (free / mu), pieces.low.sum(axis=0), pieces.high.sum(axis=0))
    return clipped


def rounding_of(problem: Problem, pieces: Pieces, u: Floats) -> float:
    """Return what rounding leaves of a loss that is zero: that of targets and of predictions."""
    targets, raw = _sizes(problem, pieces, u)
    return 16.0 * EPSILON * targets + min(4.0 * EPSILON * raw, SURELY * targets)


def rounding_of_gap(problem: Problem, pieces: Pieces, u: Floats) -> float:
    """Return by what the sum of residuals may be off, which both sides of a gap are made of.

    That of margins, which are near 1, is below what any sum of losses is off by.
    """
    if losses.kind_of(problem.loss) != losses.REGRESSION:
        return 0.0
    return EPSILON * sum(_sizes(problem, pieces, u))


def _sizes(problem: Problem, pieces: Pieces, u: Floats) -> tuple[float, float]:
    """Return the weighted sums of the targets' sizes, and of the predictions' parts."""
    weight = np.maximum(pieces.high, -pieces.low).max(axis=0, initial=0.0)
    targets = float(weight @ np.max(np.abs(pieces.at), axis=0, initial=0.0))
    offset = np.append(np.abs(problem.scaler.center) * problem.scaler.inverse_std, 0.0)
    raw = float(weight.sum() * (np.abs(u) @ (1.0 + offset)))
    return targets, raw
