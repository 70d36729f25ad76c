"""Some of the rows: drawn evenly, and what they say of all rows.

A sum over some rows is at most the sum over all, if no term is negative. So the Hessian of some
rows, with the weights that they have among all, is a lower bound of the whole Hessian, and a
decrement reckoned by it an upper bound of Newton's.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._solvers._passes import predictions
from fastgd._solvers._precondition import AnyMetric, hessian
from fastgd._solvers._problem import Floats, Point, Problem, evaluate, take
from fastgd.kernels import losses

RARE = 200  # rows that a sample keeps of each class, if there are as many
MOST_ROWS = 10_000  # that are asked how their curvature changes
ROWS_FOR_RANK = 10  # for each parameter: with fewer, some directions are hardly seen


class Sample(NamedTuple):
    """Some of a problem's rows.

    rows : their numbers, ascending; None for all
    problem : Problem, of these rows, with weights that sum to 1 and are right on average, and the
        penalty of the whole
    size : int, how many were asked for: rounding leaves a row less, rare classes add some
    """

    rows: NDArray[np.int64] | None
    problem: Problem
    size: int


def sampled(problem: Problem, size: int) -> Sample:
    """Return about ``size`` rows, which ones their number decides; all if there are no more."""
    if size >= problem.shape[0]:
        return Sample(None, problem, size)
    rows, weight = draw(problem, size, np.random.default_rng(size))
    return Sample(rows, take(problem, rows, weight)._replace(prior=problem.prior), size)


def hessian_from_below(problem: Problem, point: Point, sample: Sample) -> AnyMetric:
    """Return the Hessian of some rows, with the weights that they have among all, in float64."""
    rows = slice(None) if sample.rows is None else sample.rows
    part = sample.problem._replace(weight=problem.weight[rows], dtype=np.float64)
    part = part._replace(largest=problem.largest)  # which may have grown
    curvature = point.curvature[rows] if point.curvature.size else point.curvature
    return hessian(part, point._replace(curvature=curvature))


def fall_of_curvature(part: Problem, u: Floats, step: Floats) -> float:
    """Return by what factor a step's own curvature falls on its way, on rows of a sample.

    That is d'H d over the same with each row's curvature the smaller one of both ends. Where it is
    large, rows that are far out made the step short, and Newton's decrement says little of how far
    the optimum is.
    """
    moved = predictions(part, step)
    if part.n_outputs:
        raw = predictions(part, u)
        ends = [_bends(part.loss.probability(part.loss, r), moved) for r in (raw, raw + moved)]
        ends = [part.weight * bends for bends in ends]
    else:
        ends = [evaluate(part, at).curvature * moved**2 for at in (u, u + step)]
    penalty = float(np.sum((step.T * part.ridge) * step.T))
    before, after = float(np.sum(ends[0])), float(np.sum(np.minimum(*ends)))
    return (before + penalty) / max(after + penalty, 1e-300)


def _bends(p: Floats, moved: Floats) -> Floats:
    """Return each row's m'(diag(p) - p p')m."""
    mean = np.sum(p * moved, axis=1)
    bends: Floats = np.sum(p * (moved - mean[:, None]) ** 2, axis=1)
    return bends


def draw(problem: Problem, size: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Floats]:
    """Draw about ``size`` rows, evenly over the order they lie in, rare classes more often.

    Rows without weight are left out: a sample of nothing else would say nothing. Returns the rows'
    numbers, ascending, and weights that sum to 1 and are right on average.
    """
    counted = np.flatnonzero(problem.weight > 0.0)
    n = counted.shape[0]
    if losses.kind_of(problem.loss) == losses.REGRESSION:
        rows = counted[_evenly(n, min(n, max(RARE, size)), rng)]
        weight = problem.weight[rows]
        return rows, weight / weight.sum()
    chosen, share, labels = [], [], problem.y[counted]
    for label in _labels(problem):
        group = counted[labels == label]
        if group.shape[0] == 0:
            continue
        count = min(group.shape[0], max(RARE, group.shape[0] * size // n))
        chosen.append(group[_evenly(group.shape[0], count, rng)])
        share.append(np.full(count, group.shape[0] / count))
    rows = np.concatenate(chosen)
    order = np.argsort(rows, kind="stable")  # which merges what is in order
    rows = rows[order]
    weight = np.concatenate(share)[order] * problem.weight[rows]
    return rows, weight / weight.sum()


def _evenly(n: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return ``count`` of n numbers, ascending: one at random from each of as many spans."""
    edges = -(-np.arange(count + 1) * n // count)  # rounded up: all differ
    at: NDArray[np.int64] = edges[:-1] + (rng.random(count) * np.diff(edges)).astype(np.int64)
    return at


def _labels(problem: Problem) -> NDArray[Any]:
    """Return what targets of classes can be, in ascending order."""
    if problem.n_outputs:
        return np.arange(problem.n_outputs)
    return np.array([losses.negative(problem.loss), 1.0])
