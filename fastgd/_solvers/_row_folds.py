"""Paths of many folds where columns outnumber rows: descent in the coordinates of the rows.

The best coefficients under an l2 penalty are a combination of rows, w = X'a: a problem in n numbers
for each fold, with predictions f = K a, K = XX' of centred rows, and the gradient (in the inner
product p'K q, in which steepest descent does not depend on how rows overlap) s loss' + l2 a. L-BFGS
needs inner products only: each vector is kept with its image under K, so that these are of length
n, and an iteration costs one product with K for all folds. A step is a combination of vectors whose
images are known: to search along it reads no X at all. What shows that a fold has arrived is a dual
point (``_row_newton``). (Kernel logistic regression: Zhu & Hastie, 2005; L-BFGS by inner products:
Chen, Wang & Zhou, "Large-scale L-BFGS using MapReduce", 2014.)
"""

import numpy as np
import scipy.sparse as sp
from scipy.special import expit, log_softmax

from fastgd._data.validation import as_rows
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers import _costs
from fastgd._solvers._columns import as_matrix
from fastgd._solvers._descent import SUFFICIENT, extrapolated
from fastgd._solvers._problem import EPSILON, Floats, over_shards
from fastgd._solvers._row_newton import Place, gap_of, newton_step
from fastgd._solvers._row_pairs import Image, RowPairs
from fastgd._solvers._task import Task
from fastgd.kernels import losses
from fastgd.kernels.folds import write_products
from fastgd.kernels.rows import CSR, Dense

MOST_ROWS = 3000  # whose products are a matrix
LEAST_PASSES, ROWS_OF_PASS = 4, 150  # a Newton step costs as much as n / 150 passes, or 4
SHARE = 0.5  # of the target: what an estimate must be below
SMALLEST_STEP, LONGEST_STEP = 1e-6, 10.0
MOST_AHEAD = 1.5  # times the last two solutions' distance


class RowProducts:
    """Products with K, and back to columns.

    Parameters
    ----------
    task : Task
    """

    def __init__(self, task: Task) -> None:
        self._rows, self._n, self._d = task.rows, task.y.shape[0], task.n_features
        self._columns: CSR | None = None  # sparse X', in which sums of rows are products as well
        weight = np.full((self._n, 1), float(task.fit_intercept) / self._n)
        self.center = self._back(weight)[:, 0]
        self._along = self._times_back(self.center[:, None])[:, 0]  # rows' products with it
        self._square = float(self.center @ self.center)
        self._matrix: Floats | None = None
        if self._n <= MOST_ROWS:
            matrix = self._all()
            self.noise = EPSILON * float(np.max(np.diagonal(matrix), initial=0.0))
            matrix -= self._along[:, None]
            matrix -= self._along
            self._matrix = matrix + self._square

    @property
    def matrix(self) -> Floats | None:
        """K, (n, n); None where that would be too large."""
        return self._matrix

    def times(self, vectors: Floats) -> Floats:
        """Return K times (n, m)."""
        if self._matrix is not None:
            return np.asarray(self._matrix @ vectors)
        sums = vectors.sum(axis=0)
        shift = self._square * sums - self._along @ vectors
        found = self._times_back(self._back(vectors)) - np.outer(self._along, sums)
        return np.asarray(found + shift)

    def back(self, vectors: Floats) -> Floats:
        """Return the coefficients (n_features, m) that are combinations (n, m) of centred rows."""
        return self._back(vectors) - np.outer(self.center, vectors.sum(axis=0))

    def _all(self) -> Floats:
        if isinstance(self._rows, Dense):
            X = np.asarray(self._rows.values, np.float64)
            return np.asarray(X @ X.T)
        own = self._rows.data, self._rows.indices, self._rows.indptr
        X = sp.csr_array(own, shape=(self._n, self._d)).astype(np.float64)
        return np.asarray((X @ X.T).toarray())

    def _back(self, vectors: Floats) -> Floats:
        if isinstance(self._rows, Dense):
            return np.asarray(self._rows.values.T @ vectors)
        if self._columns is None:
            self._columns = as_rows(as_matrix(self._rows, self._n, self._d).T.tocsr())
        return self._rows_times(self._columns, self._d, vectors)

    def _times_back(self, params: Floats) -> Floats:
        if isinstance(self._rows, Dense):
            return np.asarray(self._rows.values @ params)
        return self._rows_times(self._rows, self._n, params)

    def _rows_times(self, rows: CSR, n: int, params: Floats) -> Floats:
        """Return the products of sparse rows, n of them, with the columns of ``params``."""
        params, out = np.ascontiguousarray(params), np.empty((n, params.shape[1]))
        over_shards(
            lambda start, stop: write_products(rows, params, start, stop, out),
            n,
            rows.data.size * params.shape[1],
        )
        return out


def has_few_rows(task: Task) -> bool:
    """Tell whether rows are fewer than columns, and products of rows are to be had."""
    n, d = task.y.shape[0], task.n_features
    if _costs.is_scattered(task.rows, n, d):
        return n < np.count_nonzero(np.bincount(task.rows.indices, minlength=d))
    return n < d and n <= MOST_ROWS


class RowDescent:
    """A fold's way in the coordinates of the rows.

    Parameters
    ----------
    task : Task
    weight : (n,), the fold's weights, which sum to 1
    """

    def __init__(self, task: Task, weight: Floats) -> None:
        self._weight, self._has_intercept = weight[:, None], task.fit_intercept
        self._is_many = losses.kind_of(task.loss) == losses.MULTINOMIAL
        self._y = task.y.astype(np.intp) if self._is_many else np.asarray(task.y, np.float64)
        K = task.n_outputs if self._is_many else 1
        if self._is_many:
            self._one_of = (self._y[:, None] == np.arange(K)).astype(np.float64)
        zero = np.zeros((weight.shape[0], K))
        self.at = Image(zero, zero.copy(), self._null_level(K))
        self._pairs = RowPairs(*zero.shape)
        self._before: Image | None = None
        self._l2 = 0.0
        self._step: Image | None = None
        self._gradient = self.at
        self._logs: tuple[float, ...] = (0.0, 0.0)
        self.n_passes, self.converged, self.is_stuck = 0, False, False
        self._last_newton, self._n_refuted, self._is_newton, self.is_lost = 0, 0, False, False

    def _null_level(self, K: int) -> Floats:
        if not self._has_intercept:
            return np.zeros(K)
        if self._is_many:
            prior = np.bincount(self._y, self._weight[:, 0], minlength=K)
            level = np.log(np.maximum(prior, 1e-12))
            return np.asarray(level - level.mean())
        share = float(np.clip(self._weight[:, 0] @ self._y, 1e-12, 1.0 - 1e-12))
        return np.array([np.log(share / (1.0 - share))])

    def begin(self, l2: float) -> None:
        """Begin with another strength: pairs learn what the penalty's part of a change is now."""
        self._pairs.add_ridge(l2 - self._l2)
        self._l2, self._logs = l2, (*self._logs[-2:], float(np.log(l2)))
        self._foresee()
        self.objective = self.objective_at(self.at)
        self.objectives, self.decrements = [self.objective], list[float]()
        self.suboptimality, self._step = np.inf, None
        self.n_passes, self.converged, self.is_stuck = 0, False, False
        self._last_newton, self._n_refuted, self._is_newton, self.is_lost = 0, 0, False, False

    def _foresee(self) -> None:
        """Go where the last two strengths' solutions lead to, if that is lower."""
        before, self._before = self._before, self.at
        if before is None or not np.any(before.own):
            return
        older, old, now = self._logs
        share = min((now - old) / (old - older), MOST_AHEAD) if old != older else 0.0
        ahead = self.at.plus(self.at.plus(before, -1.0), max(share, 0.0))
        if self.objective_at(ahead) < self.objective_at(self.at):
            self.at = ahead

    def objective_at(self, at: Image) -> float:
        """Return the objective."""
        raw = at.image + at.level
        if self._is_many:
            loss = -log_softmax(raw, axis=1)[np.arange(raw.shape[0]), self._y]
        else:
            loss = np.logaddexp(0.0, raw[:, 0]) - self._y * raw[:, 0]
        return float(self._weight[:, 0] @ loss + 0.5 * self._l2 * np.vdot(at.own, at.image))

    def slopes(self) -> Floats:
        """Return the weighted derivatives of the losses, (n, K), whose image is asked for."""
        raw = self.at.image + self.at.level
        if self._is_many:
            self._p = np.exp(log_softmax(raw, axis=1))
            slopes = self._p.copy()
            slopes[np.arange(raw.shape[0]), self._y] -= 1.0
        else:
            self._p = expit(raw)
            slopes = self._p - self._y[:, None]
        return np.asarray(self._weight * slopes)

    def take(self, slopes: Floats, image: Floats) -> None:
        """Take in slopes and their image, and find the next step."""
        level = slopes.sum(axis=0) if self._has_intercept else np.zeros(slopes.shape[1])
        own = slopes + self._l2 * self.at.own
        gradient = Image(own, image + self._l2 * self.at.image, level)
        is_new = self._step is not None and self._learn(self._step, gradient)
        self._gradient = gradient
        bend = self._bend(gradient)
        self._direction = self._pairs.corrected(gradient, bend, is_new=is_new)
        self._promise = gradient.along(self._direction)
        self._is_newton = False
        self.decrements.append(0.5 * self._promise)
        self.suboptimality = extrapolated(self.decrements, self.objectives)
        self.is_stuck = self.is_stuck or not self._promise > 0.0

    def _learn(self, step: Image, gradient: Image) -> bool:
        """Remember what a step has changed of the gradient; return whether it curves upwards."""
        change = gradient.plus(self._gradient, -1.0)
        if not step.along(change) > 0.0:
            return False
        self._pairs.add(step, change)
        return True

    def judge(self, products: RowProducts, target: float) -> None:
        """Find out whether the target is reached, where K is a matrix by a bound.

        The bound of the step that is next costs a product. Where an estimate says more than it, a
        Newton step decides, as soon as passes have cost as much, and is the next one. The objective
        is a bound as well, for none is below 0: of separable rows and hardly any penalty the only
        one, because Newton's steps lead beyond the derivatives' range there.
        """
        enough = max(SHARE * target, 4.0 * EPSILON * self.objective)
        if products.matrix is None:
            self.converged, self.is_lost = self.suboptimality <= enough, self.is_stuck
            return
        place = self._place(products.matrix)
        # raw predictions K a, |a| = |slopes| / l2, are off by what products of rows are
        size = float(np.sum(self._weight * np.abs(place.missed)))
        off = products.noise * size * size / self._l2
        target = max(target, enough)
        if self.objective + off <= target:
            self.suboptimality, self.converged = self.objective + off, True
            return
        if self.suboptimality <= enough:
            self._prove(place, target, off)
            self._n_refuted += not self.converged
        most = max(LEAST_PASSES, self._weight.shape[0] // ROWS_OF_PASS)
        since = self.n_passes - self._last_newton
        if self.converged or not (self.is_stuck or max(self._n_refuted, since / 3) >= most):
            return
        step = newton_step(place, self._gradient)
        self._last_newton, self._n_refuted = self.n_passes, 0
        self._is_newton, self.is_stuck, self.is_lost = True, False, step is None
        if step is not None:
            self._direction = Image(*(-part for part in step))
            self._promise = self._gradient.along(self._direction)
            self._prove(place, target, off)
            self.is_lost = self.is_lost or not self._promise > 0.0

    def _place(self, matrix: Floats) -> Place:
        missed = self._p - (self._one_of if self._is_many else self._y[:, None])
        return Place(matrix, self._weight, self._p, missed, self._l2, self._has_intercept)

    def _prove(self, place: Place, target: float, off: float) -> None:
        """Bound the suboptimality by the step that is next."""
        step = Image(*(-part for part in self._direction))
        gap = gap_of(place, self.at, step, self.objective)
        self.suboptimality = gap + off
        self.converged = self.suboptimality <= target
        self.is_lost = gap <= target < self.suboptimality  # products of rows say no more

    def _bend(self, direction: Image) -> float:
        """Return the objective's second derivative along a direction."""
        moved = direction.image + direction.level
        mean = np.sum(self._p * moved, axis=1, keepdims=True)
        if self._is_many:
            bend = np.sum(self._p * (moved - mean) ** 2, axis=1)
        else:
            bend = (self._p * (1.0 - self._p) * moved**2)[:, 0]
        return float(self._weight[:, 0] @ bend + self._l2 * np.vdot(direction.own, direction.image))

    def move(self) -> None:
        """Search along the step, whose image is known, and take it."""
        length = self._promise / max(self._bend(self._direction), 1e-300)
        length = min(length, LONGEST_STEP)
        rounding = 4.0 * EPSILON * abs(self.objective)
        while True:
            there = self.at.plus(self._direction, -length)
            objective = self.objective_at(there)
            fall = self.objective - objective
            if fall >= SUFFICIENT * length * self._promise - rounding:
                break
            length *= 0.5
            if length < SMALLEST_STEP:
                self.is_stuck, self.is_lost = True, self._is_newton
                return
        self.is_stuck = not fall > -rounding
        self.is_lost = self.is_stuck and self._is_newton
        self._step = there.plus(self.at, -1.0)
        self.at, self.objective, self.n_passes = there, objective, self.n_passes + 1
        self.objectives.append(objective)


def descend_rows(
    products: RowProducts, descents: list[RowDescent], target: float, max_iter: int
) -> None:
    """Let all folds descend until each is shown to be within a target, or gets no further.

    Where K is no matrix, there is no proof but an estimate.
    """
    active = list(descents)
    while active:
        slopes = [descent.slopes() for descent in active]
        with one_blas_thread():
            images = products.times(np.concatenate(slopes, axis=1))
            for own, image, descent in zip(
                slopes, np.split(images, len(active), axis=1), active, strict=True
            ):
                descent.take(own, image)
                descent.judge(products, target)
        active = [d for d in active if not _has_ended(d, max_iter)]
        for descent in active:
            descent.move()
        active = [d for d in active if not _has_ended(d, max_iter)]


def _has_ended(descent: RowDescent, max_iter: int) -> bool:
    return descent.converged or descent.is_lost or descent.n_passes >= max_iter
