"""Piecewise linear losses on rows in shards: most rows merged, the others solved for exactly.

    F(u) = sum_i s_i loss(y_i, x_i u) + penalty

Rows whose predictions stay on one side of a kink have a loss that is linear there, so that they may
be replaced by one row: their mean, with the sum of their weights. The loss is convex in (x, y), for
labels in x, so that by Jensen's inequality merging never raises F, wherever u is: the optimum of
merged rows is a lower bound of F's. It is F's own optimum where no merged row has changed its side.
Quantile regressions are solved in this way in memory, too [1]_.

The rows nearest to a kink, as many as the sample has, are brought together and solved exactly with
a merged row for each side (and label) of the others. That needs predictions which are known better
than these rows are far from the kink. So where a sample does not tell enough, the descent on
smoothed losses comes first: the envelope e(raw) = min_t loss(t) + (raw - t)^2 / (2 mu), whose
Hessian is the sum of s_i / mu z_i z_i' over the rows nearer than about mu, with mu smaller and
smaller. Nothing is kept of a row between passes.

With an l2 penalty and no free intercept the slopes r_i of the envelope are a dual point that costs
no pass; its gap is that of ``_dual_points``.

References
----------
.. [1] Portnoy & Koenker, "The Gaussian Hare and the Laplacian Tortoise", 1997, section 5
   (preprocessing: "globs" of rows whose signs are known).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._data.chunks import stacked
from fastgd._data.constant_column import with_constant
from fastgd._data.shards import Rows, added
from fastgd._data.validation import as_rows
from fastgd._solvers._columns import chunks
from fastgd._solvers._descent import Pairs
from fastgd._solvers._dual_points import (
    EPSILON,
    loss_of,
    missed_by,
    penalty_gap,
    pieces_of,
    renewed,
)
from fastgd._solvers._passes import predictions, products_with
from fastgd._solvers._piecewise import REQUIRES
from fastgd._solvers._precondition import Metric, factorise, products, solve, transfer
from fastgd._solvers._problem import LARGEST, TINIEST, Floats, Point, Problem, from_raw
from fastgd._solvers._shard_sums import Frame, Values, problem_of, shares_of, validated
from fastgd._solvers._sharded import (
    Descent,
    Place,
    ShardedTask,
    by_shards,
    frame_of,
    shrunk,
)
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd.kernels import losses

SAMPLE_TOL = 1e-4  # a sample's optimum is farther from that of all rows
WIDE = 2.0  # times the expected error of a prediction: rows nearer than that to a kink are kept
DRAWS = 16  # of parameters, from which the error of each prediction is told
SECANT = 0.3  # of the curvature by which a row far from a kink pulls: a majoriser has all of it
FLOOR = 1e-6  # of the curvature 1 / mu, that every row has
SHARPER = 0.2  # mu's factor from one smoothed loss to the next
SHARE = 0.1  # of what smoothing costs, to which a smoothed loss is descended
TOO_SHARP = 2.0  # times what smoothing costs: with more to gain, Newton's steps are short
LEAST_SMOOTHING = 1e-7  # of the distances: below it rounding decides
INNER_TOL = 0.1  # of tol, to which the rows brought together are solved
FEWEST_OF_SAMPLE = 10  # rows, from which a quantile is told
MORE_THAN_ENOUGH = 1.2  # times the ratio by the sample, as it is not all rows
FEW_TOGETHER = 4  # classes whose rows may be brought together, as many each as the sample has
LEAST_INNER, MOST_INNER = 1e-14, 1000
DEPENDENT = 1e-12  # of the largest pivot: maybe rounding, which rows themselves can tell
ROUNDED = 1e-13  # of a column's length: what reflections and means leave of one that depends
PATIENCE = 2  # rounds without a better bound, once smoothing is least
GAINED = 0.5  # of a gap: more than that left is nothing


def kinks_by_shards(
    task: ShardedTask, options: Options, in_memory: Callable[[Task, Options], Solution]
) -> Solution:
    """Solve a task with a piecewise linear loss whose rows are in shards.

    ``in_memory`` solves the sample's task, and those of the rows that are brought together.
    """
    descent = partial(_KinkDescent, in_memory)
    return by_shards(task, options, in_memory, descent, REQUIRES, SAMPLE_TOL)


class KinkSums(NamedTuple):
    """Over the rows of some shards, the penalty not counted.

    loss : float, of the envelope
    slope : ndarray, its gradient by the standardised parameters
    tilt : ndarray, the part of it that comes from rows near a kink; with mu, it changes by -tilt/mu
    product : (P, P), its Hessian, or the diagonal; 0.0 if it was not asked for
    exact : float, the loss itself
    missed : float, the rows' part of the gap that the envelope's slopes prove
    """

    loss: float
    slope: Floats
    tilt: Floats
    product: Any
    exact: float
    missed: float


def kink_sums_at(rows: Rows, frame: Frame, u: Floats, mu: float, wants_hessian: bool) -> KinkSums:
    """Return a shard's sums at u of the envelope with smoothing mu."""
    return kink_sums(problem_of(rows, frame), u, mu, wants_hessian)


def kink_sums(problem: Problem, u: Floats, mu: float, wants_hessian: bool) -> KinkSums:
    """Return the same of rows that are at hand."""
    weight, raw = problem.weight, predictions(problem, u)
    pieces = pieces_of(problem.loss, problem.y, weight)
    slopes = renewed(pieces, raw, np.zeros_like(raw), weight, mu)
    with np.errstate(over="ignore"):
        exact, missed = loss_of(pieces, raw), missed_by(pieces, raw, slopes)
        squares = np.divide(slopes * slopes, weight, out=np.zeros_like(raw), where=weight > 0.0)
        smoothed = exact - missed - 0.5 * mu * float(np.sum(squares))
    low, high = pieces.low.sum(axis=0), pieces.high.sum(axis=0)
    bent = (low < slopes) & (slopes < high) & ((slopes != 0.0) | (pieces.at.shape[0] == 1))
    tilt = products_with(problem, np.where(bent, slopes, 0.0))
    product: Any = 0.0
    if wants_hessian:
        distance = np.min(np.abs(raw - pieces.at), axis=0)
        secant = SECANT * np.abs(slopes) / np.maximum(distance, mu)
        product = products(problem, np.where(bent, weight / mu, secant + FLOOR * weight / mu))
    return KinkSums(smoothed, products_with(problem, slopes), tilt, product, exact, missed)


def smoothed_at(rows: Rows, frame: Frame, places: list[Floats], mu: float) -> Values:
    """Return a shard's part of the envelope at some parameters."""
    problem = problem_of(rows, frame)
    return Values(np.array([kink_sums(problem, u, mu, False).loss for u in places]))


class Sides(NamedTuple):
    """Where the predictions of some rows are.

    group : (n_samples,), a number for each linear piece of the loss, and each label
    ratio : (n_samples,), how far they are from the nearest kink, over their error
    """

    group: NDArray[np.int64]
    ratio: Floats


def sides_at(problem: Problem, u: Floats, draws: Floats) -> Sides:
    """Return where predictions are at u.

    draws : (n_features + 1, DRAWS), changes of u as large as its error; that of a prediction is the
        root mean square of its changes
    """
    raw = predictions(problem, u)
    at = type(problem.loss).pieces(problem.loss, problem.y)[0]
    group = 2 * (raw > at).sum(axis=0)
    if losses.kind_of(problem.loss) != losses.REGRESSION:
        group += problem.y > 0.0
    changes = predictions(problem._replace(n_outputs=draws.shape[1]), draws)
    error = np.sqrt(np.mean(changes * changes, axis=1))
    distance = np.min(np.abs(raw - at), axis=0)
    ratio = np.divide(distance, error, out=np.full_like(raw, np.inf), where=error > 0.0)
    return Sides(group, np.where(problem.weight > 0.0, ratio, np.inf))


class Band(NamedTuple):
    """Rows of some shards near a kink, and the sums of all others by the piece that they are on.

    X, y, weight : rows that are near, targets as the loss takes them, shares of the whole's weight
    sides : Sides, theirs
    total : (n_groups, n_features), weighted sums of the others' rows
    target, mass : (n_groups,), of their targets and weights
    """

    X: Any
    y: Floats
    weight: Floats
    sides: Sides
    total: Floats
    target: Floats
    mass: Floats


def band_at(rows: Rows, frame: Frame, u: Floats, draws: Floats, widest: float, most: int) -> Band:
    """Return a shard's rows with a ratio of ``widest`` at most, and the sums of the others."""
    problem = problem_of(rows, frame)
    X = validated(rows, frame.kind, frame.dtype).X
    X = with_constant(X, frame.constant) if frame.constant else X
    n_groups = 2 * (type(problem.loss).pieces(problem.loss, problem.y)[0].shape[0] + 1)
    none = np.zeros((n_groups, X.shape[1])), np.zeros(n_groups), np.zeros(n_groups)
    whole = Band(X, problem.y, problem.weight, sides_at(problem, u, draws), *none)
    return narrowed(whole, widest, most)


def narrowed(band: Band, widest: float, most: int) -> Band:
    """Sum up the rows beyond a ratio, and those that are more than ``most``."""
    ratio = band.sides.ratio
    kept = np.flatnonzero(ratio <= widest)
    if kept.shape[0] > most:
        kept = np.sort(kept[np.argsort(ratio[kept], kind="stable")[:most]])
    others = band.weight.copy()
    others[kept] = 0.0
    of_group = others * (band.sides.group == np.arange(band.mass.shape[0])[:, None])
    total = band.total + np.asarray((band.X.T @ of_group.T).T, np.float64)
    sums = total, band.target + of_group @ band.y, band.mass + of_group.sum(axis=1)
    sides = Sides(band.sides.group[kept], ratio[kept])
    return Band(band.X[kept], band.y[kept], band.weight[kept], sides, *sums)


def both_bands(first: Band, second: Band, most: int) -> Band:
    """Return the rows of both, ``most`` at most, and the sums."""
    whole = Band(
        stacked([first.X, second.X]),
        np.concatenate([first.y, second.y]),
        np.concatenate([first.weight, second.weight]),
        Sides(*(np.concatenate(pair) for pair in zip(first.sides, second.sides, strict=True))),
        first.total + second.total,
        first.target + second.target,
        first.mass + second.mass,
    )
    return narrowed(whole, np.inf, most) if whole.y.shape[0] > most else whole


def merged(band: Band, sample: Task) -> Task:
    """Return the task of the rows near a kink and a row for each group of the others."""
    filled = band.mass > 0.0
    mass = band.mass[filled]
    means = band.total[filled] / mass[:, None]
    own = sp.csr_matrix(means) if sp.issparse(band.X) else means
    X = stacked([band.X.astype(np.float64), own])
    y = np.concatenate([band.y, band.target[filled] / mass])
    weight = np.concatenate([band.weight, mass])
    return sample._replace(rows=as_rows(X), y=y, weight=weight, dtype=np.float64)


def independent_of(task: Task) -> NDArray[np.int64]:
    """Return columns on which, and on the intercept, all others of a task depend up to rounding.

    By reflections of the rows: their products know a column's distance to others to 1e-8 of it.
    """
    d, n = task.n_features, task.y.shape[0]
    constants = int(task.fit_intercept)
    R, squares = np.empty((0, constants + d)), np.zeros(d)
    peak = np.zeros(d)
    for _, some in chunks(task.rows, (n, d), np.arange(d)):
        np.maximum(peak, np.max(np.abs(some), axis=0, initial=0.0), out=peak)
    inverse = np.divide(1.0, peak, out=np.zeros(d), where=peak > 0.0)
    for _, some in chunks(task.rows, (n, d), np.arange(d)):
        scaled = some * inverse
        squares += np.sum(scaled * scaled, axis=0)
        level = np.ones((scaled.shape[0], constants))
        (R,) = sl.qr(np.vstack([R, np.hstack([level, scaled])]), mode="r", check_finite=False)
        R = R[: constants + d]
    length = np.sqrt(squares)
    beside = R[constants:, constants:] * np.divide(1.0, length, out=inverse, where=length > 0.0)
    R, order = sl.qr(beside, mode="r", pivoting=True, check_finite=False)
    sizes = np.abs(np.diagonal(R))
    return np.sort(order[: sizes.shape[0]][sizes > ROUNDED])


class _KinkDescent(Descent):
    """A descent on smoothed losses, and what merged rows find from where it is."""

    def __init__(
        self,
        in_memory: Callable[[Task, Options], Solution],
        task: ShardedTask,
        options: Options,
        sample: Task,
        start: Solution,
    ) -> None:
        self._in_memory, self._sample = in_memory, sample
        self._near = self._sample_problem(task)
        n, d = self._near.shape
        self._typical = self._typical_distance(start)
        self.mu = self._typical * min(float(np.sqrt(d / n)), 1.0)
        n_tasks = task.classes.shape[0] if task.classes.shape[0] > 2 else 1
        self._most = max(n // min(n_tasks, FEW_TOGETHER), 1)
        self._best, self._objective = np.empty(0), np.inf
        self._lower, self._wide = 0.0, WIDE  # no loss is negative
        self._stops = self._has_sharpened = self._has_merged = False
        super().__init__(task, options, sample, start)

    def _sample_problem(self, task: ShardedTask) -> Problem:
        """Return the problem of the sample's rows, in the coordinates of the descent."""
        self.frame = frame_of(task)
        seen = task.look
        kind = self.frame.kind._replace(n_features=seen.X.shape[1])
        frame = self.frame._replace(mass=1.0, constant=0.0, kind=kind)
        found = problem_of(Rows(seen.X, seen.y, seen.weight), frame)
        return found._replace(weight=shares_of(found.weight))

    def _typical_distance(self, start: Solution) -> float:
        """Return how far the sample's predictions are from a kink, in the mean."""
        near = self._near
        u = from_raw(self.frame.problem, *self._from_user(start.coef, start.intercept))
        at = type(near.loss).pieces(near.loss, near.y)[0]
        return float(np.mean(np.min(np.abs(predictions(near, u) - at), axis=0))) or 1.0

    # -- passes -----------------------------------------------------------------------------------

    def _at(self, u: Floats, wants_hessian: bool) -> Place:
        part = partial(kink_sums_at, frame=self.frame, u=u, mu=self.mu, wants_hessian=wants_hessian)
        sums: KinkSums = self.task.shards.total(part, added)
        problem = self.problem
        with np.errstate(over="ignore"):
            pull = problem.ridge * u
            penalty = 0.5 * float(pull @ u) + float(problem.threshold @ np.abs(u))
        self._keep(u, sums, penalty)
        point = Point(u, sums.loss + penalty, sums.slope + pull, np.empty(0))
        return Place(point, sums.product if wants_hessian else None, sums)

    def _part_along(self, places: list[Floats]) -> Any:
        return partial(smoothed_at, frame=self.frame, places=places, mu=self.mu)

    def _keep(self, u: Floats, sums: KinkSums, penalty: float) -> None:
        """Keep parameters of a lower objective, and a higher bound."""
        objective = sums.exact + penalty
        if objective < self._objective:
            self._best, self._objective = u, objective
        if self._proves_smoothed():
            gap = sums.missed + penalty_gap(self.problem, u, sums.slope[:-1])
            self._lower = max(self._lower, objective - gap)

    @property
    def proven(self) -> float:
        """What is proven: the best objective less the best bound, and what rounding may hide."""
        return min(max(self._objective - self._lower, 0.0) + self.floor, self._objective)

    @property
    def floor(self) -> float:
        """What rounding may hide of the objective: that of the targets, and its own."""
        own = 4.0 * EPSILON * min(self._objective, LARGEST)
        if losses.kind_of(self.task.loss) != losses.REGRESSION:
            return own
        return own + 4.0 * EPSILON * float(np.sqrt(max(self.task.look.y_square, 0.0)))

    def _report(self, left: float) -> bool:  # noqa: ARG002
        """Report a pass with the best that is known; return whether to stop."""
        here, best = self.here, Point(self._best, self._objective, np.empty(0), np.empty(0))
        self.here = here._replace(point=best)
        self._stops = super()._report(self.proven) or self._stops
        self.here = here
        return self._stops

    def _metric_of(self, sample: Task, u: Floats) -> Metric:  # noqa: ARG002
        """Return the sample's Hessian as that of all rows."""
        product = kink_sums(self._near, u, self.mu, True).product
        metric = factorise(self.problem, product, True)
        if product.ndim == 1:
            return metric
        return transfer(self.problem, shrunk(metric, self._near.shape))

    # -- steps ------------------------------------------------------------------------------------

    def run(self) -> Solution:
        """Merge rows where they are likely to stay where they are, else descend, or sharpen."""
        stuck, before = 0, self.proven
        while not self._is_done() and stuck < PATIENCE:
            if self._is_sharpest():
                stuck = 0 if self.proven < GAINED * before else stuck + 1
                before = min(before, self.proven)
            self._advance()
        return self._ended()

    def _advance(self) -> None:
        """Do what is next, in one or two passes, or those of a line search."""
        step, decrement = self._direction()
        missed = self.here.bend.missed
        left = max(decrement + missed, self.floor, TINIEST)
        widest = self._widest(left)
        if self._is_sharpest() or (widest >= self._wide and not self._has_merged):
            self._merge(left, widest)
            return
        self._has_merged = False
        is_sharp = decrement > TOO_SHARP * missed and not self._has_sharpened
        if is_sharp and self.mu < self._typical:
            self._look_again(min(self.mu / SHARPER, self._typical), self.here.point.u)
            return
        has_arrived = decrement <= max(self._enough(missed), self.floor)
        if not has_arrived and self._moves(step, decrement, self.is_newton):
            self._report(self.proven)
        else:
            self._sharpen(step)

    def _enough(self, missed: float) -> float:
        """Return what may be left of a smoothed loss: nothing where that alone is to be proven."""
        is_little = missed <= SHARE * self._target()
        return 0.0 if is_little and self._proves_smoothed() else SHARE * missed

    def _proves_smoothed(self) -> bool:
        """Tell whether the envelope's slopes are a dual point as they are."""
        return self.problem.l2 > 0.0 and not self.problem.fit_intercept

    def _is_done(self) -> bool:
        is_used_up = self.n_passes >= self.options.max_iter
        return self._stops or is_used_up or self.proven <= self._target()

    def _target(self) -> float:
        return max(self.options.tol * self._objective, 2.0 * self.floor)

    def _is_sharpest(self) -> bool:
        return self.mu <= LEAST_SMOOTHING * self._typical

    def _draws(self, left: float) -> Floats:
        """Return changes of the parameters as large as their error, where ``left`` can be gained.

        By a parabola with this Hessian they are within |du|_H <= sqrt(2 left).
        """
        metric = self.metric
        assert metric is not None
        random = np.random.default_rng(self.options.seed)
        draws = random.standard_normal((self.here.point.u.shape[0], DRAWS))
        if metric.full.ndim == 2:
            factor = np.tril(metric.factor)
            draws = sl.solve_triangular(factor, draws, lower=True, trans="T", check_finite=False)
        return np.sqrt(2.0 * left) * metric.jacobi[:, None] * draws

    def _widest(self, left: float) -> float:
        """Return the ratio up to which about as many rows are as can be brought together."""
        ratio = sides_at(self._near, self.here.point.u, self._draws(left)).ratio
        k = int(self._most / self.task.look.n_rows * ratio.shape[0])
        k = min(max(k, FEWEST_OF_SAMPLE), ratio.shape[0] - 1)
        return float(np.partition(ratio, k)[k])

    def _look_again(self, mu: float, u: Floats) -> None:
        """Take a pass with another smoothing."""
        self.mu = mu
        self.here = self._at(u, self.is_newton)
        self._renew_metric()
        self.n_passes += 1
        self._report(self.proven)

    def _renew_metric(self) -> None:
        if not self.is_newton:
            self.pairs = Pairs(self.here.point.u.size)
            self.metric = self._metric_of(self._sample, self.here.point.u)

    def _sharpen(self, step: Floats) -> None:
        """Smooth less, where the path of the smoothed losses' optima leads to."""
        self._has_sharpened = True
        mu, u, exact = self._sharper(), self.here.point.u, self.here.bend.exact
        penalty = self.here.point.objective - self.here.bend.loss
        if self.problem.is_smooth:
            assert self.metric is not None
            along = solve(self.metric, self.here.bend.tilt)
            self._look_again(mu, u + step - (1.0 - mu / self.mu) * along)
            if self.here.point.objective <= exact + penalty or self._is_done():
                return
        self._look_again(mu, u)

    def _sharper(self) -> float:
        return max(SHARPER * self.mu, 0.5 * LEAST_SMOOTHING * self._typical)

    def _merge(self, left: float, widest: float) -> None:
        """Solve for the rows nearest to a kink, the others merged, and look there: two passes."""
        of_rows = partial(band_at, frame=self.frame, u=self.here.point.u, draws=self._draws(left))
        part = partial(of_rows, widest=MORE_THAN_ENOUGH * widest, most=self._most)
        band = self.task.shards.total(part, partial(both_bands, most=self._most))
        self.n_passes += 1
        self._report(self.proven)
        if self._is_done():
            return
        highest, here, mu = self._objective, self.here, self.mu
        u = self._solved(band)
        self.mu = self._sharper()
        self.here = self._at(u, self.is_newton)
        self.n_passes += 1
        self._report(self.proven)
        self._has_merged = True
        self._wide = max(2.0 * self._wide, self._length(u - here.point.u) / np.sqrt(2.0 * left))
        if self._objective < highest:
            self._renew_metric()
        else:
            self.here, self.mu = here, mu

    def _length(self, change: Floats) -> float:
        """Return the length of a change of the parameters in the Hessian's norm."""
        metric = self.metric
        assert metric is not None
        image = metric.full @ change if metric.full.ndim == 2 else metric.full * change
        return float(np.sqrt(max(float(change @ image), 0.0)))

    def _solved(self, band: Band) -> Floats:
        """Solve for the rows of a band and the merged ones; learn the bound that this proves."""
        d = self.problem.shape[1]
        columns, task = np.arange(d), merged(band, self._sample)
        if self._is_free() and self._may_depend():
            # a merged row has a rounding of its own, which without a penalty a solver would take
            # for a difference between dependent columns; without others the bound would not hold
            columns = independent_of(task)
        if columns.shape[0] < d:
            fewer = band._replace(X=band.X[:, columns], total=band.total[:, columns])
            task = merged(fewer, self._sample)._replace(n_features=columns.shape[0])
        tol = max(INNER_TOL * self.options.tol, LEAST_INNER)
        found = self._in_memory(task, Options(tol, MOST_INNER, self.options.seed))
        coef = np.zeros(d)
        coef[columns] = found.coef
        off = EPSILON * float(np.sum(np.abs(band.total) @ np.abs(coef)))  # of the means
        self._lower = max(self._lower, found.objective - found.gap - off)
        return from_raw(self.problem, *self._from_user(coef, found.intercept))

    def _is_free(self) -> bool:
        return self.problem.l1 == 0.0 and self.problem.l2 == 0.0

    def _may_depend(self) -> bool:
        """Tell whether some column hardly differs from a combination of others."""
        metric = self.metric
        assert metric is not None
        if metric.product.ndim == 1:  # which knows of no dependence
            return False
        scaled = metric.full * metric.jacobi * metric.jacobi[:, None]
        own, level = scaled[:-1, :-1], scaled[-1, :-1]
        if metric.jacobi[-1] > 0.0:
            own = own - np.multiply.outer(level, level)
        R, _ = sl.qr(own, mode="r", pivoting=True)
        sizes = np.abs(np.diagonal(R))
        return bool(np.min(sizes) <= DEPENDENT * sizes[0])

    def _ended(self) -> Solution:
        """Return the best that was found."""
        coef, intercept, *_ = self._model_at(self._best)
        gap, objective = self.proven, self._objective
        while len(self.history["objective"]) < max(self.n_passes, 1):
            self._report(gap)
        counts = len(self.history["objective"]), bool(gap <= self._target()), self.history
        state = State(np.array(coef, np.float64), intercept)
        return Solution(coef, intercept, objective, gap, gap, *counts, state)
