"""Some of the rows: drawn evenly, and what they say of all rows.

A sum over some rows is at most the sum over all, if no term is negative. So the Hessian of some
rows, with the weights that they have among all, is a lower bound of the whole Hessian, and a
decrement reckoned by it an upper bound of Newton's.
"""

import numpy as np
from numpy.typing import NDArray

from fastgd._solvers._passes import predictions
from fastgd._solvers._precondition import AnyMetric, hessian
from fastgd._solvers._problem import Floats, Point, Problem, evaluate, take
from fastgd.kernels import losses

RARE = 200  # rows that a sample keeps of each class, if there are as many
MOST_ROWS = 20_000  # that are asked how their curvature changes
ROWS_FOR_RANK = 10  # for each parameter: with fewer, some directions are hardly seen


def hessian_from_below(problem: Problem, point: Point, share: float) -> AnyMetric | None:
    """Return the Hessian of a share of the rows alone, in float64; None if these are too few.

    None as well where a device has the rows, whose own Hessian takes less than a sample on the
    processor.

    Those are at least ten for each parameter; which ones, their number decides.
    """
    n = problem.shape[0]
    size = max(int(share * n), ROWS_FOR_RANK * point.u.size)
    if 2 * size > n or problem.passes is not None:
        return None
    chosen, _ = draw(problem, size, np.random.default_rng(size))
    part = take(problem, chosen, problem.weight[chosen])
    part = part._replace(l2=problem.l2, prior=problem.prior, dtype=np.float64)
    curvature = point.curvature[chosen] if point.curvature.size else point.curvature
    return hessian(part, point._replace(curvature=curvature))


def fall_of_curvature(problem: Problem, u: Floats, step: Floats) -> float:
    """Return by what factor a step's own curvature falls on its way, on some of the rows.

    That is d'H d over the same with each row's curvature the smaller one of both ends. Where it is
    large, rows that are far out made the step short, and Newton's decrement says little of how far
    the optimum is.
    """
    part = problem
    if problem.shape[0] > MOST_ROWS:
        part = take(problem, *draw(problem, MOST_ROWS, np.random.default_rng(0)))
    moved = predictions(part, step)
    if problem.n_outputs:
        raw = predictions(part, u)
        ends = [
            _bends(problem.loss.probability(problem.loss, r), moved) for r in (raw, raw + moved)
        ]
        ends = [part.weight * bends for bends in ends]
    else:
        ends = [evaluate(part, at).curvature * moved**2 for at in (u, u + step)]
    penalty = float(np.sum((step.T * problem.ridge) * step.T))
    before, after = float(np.sum(ends[0])), float(np.sum(np.minimum(*ends)))
    return (before + penalty) / max(after + penalty, 1e-300)


def _bends(p: Floats, moved: Floats) -> Floats:
    """Return each row's m'(diag(p) - p p')m."""
    mean = np.sum(p * moved, axis=1)
    bends: Floats = np.sum(p * (moved - mean[:, None]) ** 2, axis=1)
    return bends


def draw(problem: Problem, size: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Floats]:
    """Draw about ``size`` rows, evenly over the order they lie in, rare classes more often.

    Returns the rows' numbers, ascending, and weights that sum to 1 and are right on average.
    """
    n = problem.shape[0]
    if losses.kind_of(problem.loss) == losses.REGRESSION:
        groups = [np.arange(n)]
    else:
        groups = [np.flatnonzero(problem.y == label) for label in np.unique(problem.y)]
    chosen, share = [], []
    for group in groups:
        count = min(group.shape[0], max(RARE, group.shape[0] * size // n))
        edges = -(-np.arange(count + 1) * group.shape[0] // count)  # rounded up: all differ
        at = edges[:-1] + (rng.random(count) * np.diff(edges)).astype(np.int64)
        chosen.append(group[at])
        share.append(np.full(count, group.shape[0] / count))
    rows = np.concatenate(chosen)
    order = np.argsort(rows)
    rows = rows[order]
    weight = np.concatenate(share)[order] * problem.weight[rows]
    return rows, weight / weight.sum()
