"""The Hessian as a product with vectors, and its inverse by conjugate gradients.

A product Z'D Z v costs two reads of X's non-zeros and no memory beyond v: the standardised rows are
never written, since (x - m) v = x v - m v. Curvatures D are the point's, one a row; for softmax the
probabilities stand for them.

Conjugate gradients, preconditioned with the Hessian's diagonal or, for a softmax of few columns,
with a block for each class, lower the model by 1/2 a_k r_k'z_k in step k. Steps end when what is
left of that sum, continued as a geometric series, is a small part of it (Newton's method needs no
more while it is far from the end [1]_) or of what is asked for.

References
----------
.. [1] Nocedal & Wright, "Numerical Optimization", 2006, section 7.1 (inexact Newton methods).
"""

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from fastgd._solvers import _costs
from fastgd._solvers._passes import BLOCK_ENTRIES, blocks, raw_by_blocks, work_of_product
from fastgd._solvers._problem import (
    PRODUCTS_OF_BLAS,
    Floats,
    Point,
    Problem,
    over_shards,
    to_raw,
)
from fastgd.kernels.losses import is_quadratic
from fastgd.kernels.objective import weigh_rows
from fastgd.kernels.products import add_squares, curve, curve_softmax, write_probabilities
from fastgd.kernels.rows import Dense

FORCING = 0.05  # of the model's decrease, what conjugate gradients may leave
MOST_STEPS = 500
WINDOW = 4  # steps over which their ratio is taken
SLOWEST = 0.99
COST_OF_PRODUCT = 0.7  # of a pass: no loss to evaluate
EXPECTED_STEPS = 25.0  # one-hot tables took 5 to 20, correlated columns 30 to 200
EXPECTED_WITH_BLOCKS = 4.0  # digits took 3 with new ones
LEAST_CURVATURE = 1e-12  # of the mean: below it, a diagonal is rounding
FLOOR_OF_BLOCKS = 1e-6  # relative to a unit diagonal: about what float32 rounds of a product
MOST_FLOOR = 1.0
SAME = 1e-8  # of a gradient's square
KEPT_UP_TO = 8  # products that blocks of another point may take


class _Course(NamedTuple):
    """Where conjugate gradients ended.

    direction : of the last step
    size : r'z before it
    residual : after it
    gains : list of float, of all steps so far
    """

    direction: Floats
    size: float
    residual: Floats
    gains: list[float]

    def leads_to(self, gradient: Floats) -> bool:
        """Tell whether a gradient is the residual that was left, but for rounding."""
        apart = gradient - self.residual
        return float(np.vdot(apart, apart)) <= SAME * float(np.vdot(gradient, gradient))


class HessianProduct:
    """A Hessian at a point, as a product with vectors.

    Parameters
    ----------
    problem : Problem
    point : Point
        The place whose curvatures are taken.
    more : float
        How much of the average row's curvature is added to each.

    Attributes
    ----------
    n_products : int
        That were asked for.
    """

    def __init__(self, problem: Problem, point: Point, more: float = 0.0) -> None:
        self._problem, self._more = problem, more
        self._probabilities, self._curvature = np.empty((0, 0)), point.curvature
        if problem.n_outputs:
            self._probabilities = probabilities(problem, point.u)
        elif more > 0.0:
            self._curvature = point.curvature + more * problem.weight
        self.n_products = 0

    def times(self, v: Floats) -> Floats:
        """Return H v."""
        problem, scaler = self._problem, self._problem.scaler
        n = problem.shape[0]
        params = np.ascontiguousarray(to_raw(problem, v))
        self.n_products += 1

        def shard(start: int, stop: int) -> Floats:
            out = np.zeros(params.shape)
            if problem.n_outputs == 0:
                curve(problem.rows, self._curvature, params, start, stop, out)
            elif isinstance(problem.rows, Dense):
                self._add_dense(params, start, stop, out)
            else:
                given = (problem.rows, problem.weight, self._probabilities, self._more, params)
                curve_softmax(*given, start, stop, out)
            return out

        found: Floats = sum(over_shards(shard, n, work_of_product(problem)))
        found[:-1] = (
            (found[:-1].T - np.multiply.outer(found[-1], scaler.center)) * scaler.inverse_std
        ).T
        found += (v.T * problem.ridge).T
        if not problem.fit_intercept:
            found[-1] = 0.0
        return found

    def _add_dense(self, params: Floats, start: int, stop: int, out: Floats) -> None:
        """Do what ``curve_softmax`` does, by products of matrices."""
        p, weight, more = self._probabilities.T, self._problem.weight, self._more
        for at, raw, x in raw_by_blocks(self._problem, params, start, stop):
            pull = raw - np.einsum("ki,ki->i", p[:, at], raw)
            pull *= p[:, at]
            raw = pull if more == 0.0 else pull + more * raw
            raw *= weight[at]
            out[:-1] += (raw @ x).T
            out[-1] += raw.sum(axis=1)


class Implicit(HessianProduct):
    """A Hessian at a point, what preconditions it, and what solving with it may take and leave.

    Parameters
    ----------
    before : object or None
        The metric of the point before, whose blocks serve while they take few products. Of squared
        errors the Hessian is the same one, and conjugate gradients go on from where they ended: to
        begin anew would forget which directions were searched.

    Attributes
    ----------
    product : (P,), the diagonal, without the penalty
    inverse_diagonal : (P,), of the whole; 0 where nothing may move
    class_blocks : (K, d + 1, d + 1), the inverse of the part that each class of a softmax has to
        itself, or None where those cost more than they save
    is_hessian : True
    left_out : float
        An estimate of what the last solution leaves of the model's decrease, from above; infinity
        where nothing was solved.
    enough : float
        A decrease that need not be distinguished from zero.
    most : int
        Products that a solution may take.
    """

    is_hessian = True

    def __init__(
        self, problem: Problem, point: Point, more: float = 0.0, before: Any = None
    ) -> None:
        super().__init__(problem, point, more)
        self.left_out, self.enough = 0.0, 0.0
        self.most = MOST_STEPS
        self.class_blocks: Floats | None = None
        is_same = isinstance(before, Implicit) and is_quadratic(problem.loss)
        self._course: _Course | None = before._course if is_same else None
        if have_cheap_blocks(problem):
            kept = before.class_blocks if isinstance(before, Implicit) else None
            is_good = kept is not None and before.n_products <= KEPT_UP_TO
            self.class_blocks = kept if is_good else self._inverse_blocks()

    @cached_property
    def inverse_diagonal(self) -> Floats:
        full = (self.product.T + self._problem.ridge).T
        usable = np.isfinite(full) & (full > 0.0)
        inverse = np.divide(1.0, full, out=np.zeros(full.shape), where=usable)
        if not self._problem.fit_intercept:
            inverse[-1] = 0.0
        return inverse

    def preconditioned(self, residual: Floats) -> Floats:
        """Return about H^-1 residual, without a read of X."""
        if self.class_blocks is not None:
            found: Floats = np.einsum("kij,jk->ik", self.class_blocks, residual)
            return found
        return (residual.T * self.inverse_diagonal.T).T

    def _inverse_blocks(self) -> Floats:
        """Return the inverse of each class's Hessian, of a unit diagonal with a floor.

        The floor grows until no rounding of float32 leaves a negative eigenvalue, with which
        conjugate gradients would end at once, and say that nothing is left.
        """
        problem, p = self._problem, self._probabilities
        roots = np.sqrt((p.T * (1.0 - p.T) + self._more) * problem.weight)
        full = _products_of_each_class(problem, roots)
        diagonal = np.einsum("kii->ki", full)
        diagonal += problem.ridge
        usable = np.isfinite(diagonal) & (diagonal > 0.0)
        usable[:, -1] &= problem.fit_intercept
        jacobi = np.where(usable, 1.0 / np.sqrt(np.where(usable, diagonal, 1.0)), 0.0)
        full *= jacobi[:, :, None]
        full *= jacobi[:, None, :]
        floor = FLOOR_OF_BLOCKS
        diagonal[:] = 1.0 + floor
        while floor < MOST_FLOOR and not _are_positive(full):
            floor *= 10.0
            diagonal[:] = 1.0 + floor
        inverse: Any = np.linalg.inv(full)
        inverse *= jacobi[:, :, None]
        inverse *= jacobi[:, None, :]
        return inverse

    @cached_property
    def product(self) -> Floats:
        """Return the diagonal of Z'D Z, of the parameters' shape."""
        problem = self._problem
        if problem.n_outputs == 0:
            return _diagonal_of(problem, _squares(problem, self._curvature))
        p, weight = self._probabilities, problem.weight
        curvature = weight[:, None] * (p * (1.0 - p) + self._more)
        if isinstance(problem.rows, Dense):
            return _diagonal_of(problem, _squares_dense(problem, curvature))
        columns = [_diagonal_of(problem, _squares(problem, own)) for own in curvature.T]
        return np.stack(columns, axis=1)

    @np.errstate(over="ignore", invalid="ignore")
    def solve(self, gradient: Floats) -> Floats:
        """Return H^-1 gradient to within ``left_out`` of the model's decrease."""
        found, residual = np.zeros(gradient.shape), gradient.copy()
        z = self.preconditioned(residual)
        direction, size = z.copy(), float(np.vdot(residual, z))
        self.left_out = 0.0 if size == 0.0 else np.inf  # where the first step breaks down
        gains: list[float] = []
        course, self._course = self._course, None
        if course is not None and course.leads_to(gradient):
            direction += size / course.size * course.direction
            gains = course.gains.copy()
        forcing = 1e-3 * FORCING if is_quadratic(self._problem.loss) else FORCING
        first, begun = len(gains), sum(gains)
        while 0.0 < size < np.inf and len(gains) - first < self.most:
            bent = self.times(direction)
            bend = float(np.vdot(direction, bent))
            if not 0.0 < bend < np.inf:  # rounding has taken over: what was found so far is finite
                break
            length = size / bend
            gains.append(0.5 * length * size)
            found += length * direction
            residual -= length * bent
            z = self.preconditioned(residual)
            before, size = size, float(np.vdot(residual, z))
            self._course = _Course(direction, before, residual, gains)
            self.left_out = _tail(gains)
            enough = self.enough if len(gains) > 1 else 0.0  # one gain says nothing of the next
            if self.left_out <= max(forcing * (sum(gains) - begun), enough):
                break
            direction = z + size / before * direction
        return found


def probabilities(problem: Problem, u: Floats) -> Floats:
    """Return the softmax of all rows."""
    n, loss = problem.shape[0], problem.loss
    params, found = np.ascontiguousarray(to_raw(problem, u)), np.empty((n, problem.n_outputs))
    if isinstance(problem.rows, Dense):  # loops over rows are longer than those over classes
        found = np.empty(found.T.shape).T

    def shard(start: int, stop: int) -> None:
        if not isinstance(problem.rows, Dense):
            write_probabilities(problem.rows, params, start, stop, found)
            return
        for at, raw, _ in raw_by_blocks(problem, params, start, stop):
            found[at] = loss.probability(loss, raw.T)

    over_shards(shard, n, work_of_product(problem))
    return found


def _are_positive(matrices: Floats) -> bool:
    """Tell whether all matrices are positive definite."""
    try:
        np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        return False
    return True


def have_cheap_blocks(problem: Problem) -> bool:
    """Tell whether a matrix for each class costs less than the products that it saves."""
    return problem.n_outputs > 0 and _costs.have_cheap_blocks(
        problem.rows, *problem.shape, problem.n_outputs, COST_OF_PRODUCT * EXPECTED_STEPS
    )


def expected_steps(problem: Problem) -> float:
    """Return about how many products a solution takes."""
    return EXPECTED_WITH_BLOCKS if have_cheap_blocks(problem) else EXPECTED_STEPS


def _products_of_each_class(problem: Problem, roots: Floats) -> Floats:
    """Return sum_i roots_ki^2 (z_i, 1) (z_i, 1)' for each class k, by BLAS.

    roots : (K, n_samples)
    """
    (n, d), K = problem.shape, problem.n_outputs
    roots = roots.astype(np.float32)

    def shard(start: int, stop: int) -> Floats:
        total, size = np.zeros((K, d + 1, d + 1)), max(1, BLOCK_ENTRIES // (d + 1))
        block = np.empty((min(size, stop - start), d + 1), problem.dtype)
        for first in range(start, stop, size):
            z = block[: min(size, stop - first)]
            weigh_rows(problem.rows, problem.scaler, np.empty(0), first, z.shape[0], z)
            z = z.astype(np.float32, copy=False)
            for k in range(K):
                own = z * roots[k, first : first + z.shape[0], None]
                total[k] += own.T @ own
        return total

    most = _costs.most_shards(problem.rows, (d + 1) * int(np.ceil(np.sqrt(K))))
    found: Floats = sum(over_shards(shard, n, n * d * d * K // PRODUCTS_OF_BLAS, most))
    return found


class _Sums(NamedTuple):
    """Sums of h_i (x_ij, 1), and of h_i x_ij^2; of many h_i, a column for each."""

    first: Any
    second: Any


def _squares(problem: Problem, weight: Floats) -> _Sums:
    """Return the sums for one h, (n_samples,)."""
    n, d = problem.shape

    def shard(start: int, stop: int) -> tuple[Floats, Floats]:
        first, second = np.zeros(d + 1), np.zeros(d)
        add_squares(problem.rows, weight, start, stop, first, second)
        return first, second

    parts = over_shards(shard, n, _costs.n_entries(problem.rows))
    return _Sums(*(sum(some) for some in zip(*parts, strict=True)))


def _squares_dense(problem: Problem, weight: Floats) -> _Sums:
    """Return the sums for many h, (n_samples, K), by products of matrices."""
    n, d = problem.shape
    first, second = np.zeros((d + 1, weight.shape[1])), np.zeros((d, weight.shape[1]))
    for start, x in blocks(problem.rows.values, 0, n):
        own = weight[start : start + x.shape[0]]
        first[:-1] += x.T @ own
        second += (x * x).T @ own
    first[-1] = weight.sum(axis=0)
    return _Sums(first, second)


def _diagonal_of(problem: Problem, sums: _Sums) -> Floats:
    """Return sum_i h_i (z_ij, 1)^2."""
    center, inverse_std, mass = problem.scaler.center, problem.scaler.inverse_std, sums.first[-1]
    offset = center * (2.0 * sums.first[:-1].T - np.multiply.outer(mass, center))
    centred = (sums.second.T - offset) * inverse_std * inverse_std
    least = np.multiply.outer(LEAST_CURVATURE * mass, inverse_std > 0.0)
    found: Floats = np.append(np.maximum(centred, least).T, mass[None], axis=0)
    return found


def _tail(gains: list[float]) -> float:
    """Return what is left of the gains, if they go on falling as they did."""
    window = min(WINDOW, len(gains) - 1)
    if window == 0:
        return gains[-1]
    ratio = min((gains[-1] / gains[-1 - window]) ** (1.0 / window), SLOWEST)
    return gains[-1] * max(ratio / (1.0 - ratio), 0.5)
