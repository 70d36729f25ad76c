"""Metrics: what a gradient is multiplied by before it is followed.

A metric H is one of these, by what is cheap beside a pass over X (``_costs``):

- the Hessian of all parameters as a matrix;
- one weighted product of the columns, shared by all outputs;
- the Hessian as a product with vectors, solved by conjugate gradients (``_implicit``);
- the Hessian of the columns that an l1 penalty lets in (``_working``);
- the diagonal.

Matrices are kept without the penalty, which differs between a problem and a sample of its rows.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg as sl
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotrs

from fastgd._solvers import _costs
from fastgd._solvers._implicit import COST_OF_PRODUCT, Implicit, expected_steps
from fastgd._solvers._l1_model import minimise_model
from fastgd._solvers._problem import Point, Problem, over_shards
from fastgd._solvers._thin import is_thin, with_root
from fastgd.kernels import losses
from fastgd.kernels.objective import weigh_classes, weigh_rows
from fastgd.kernels.products import add_products, standardise_products

Floats = NDArray[np.float64]

BLOCK_BYTES = 1 << 22
ROWS_OF_SHARD = 4  # for each column: to add up matrices costs little beside such products
# A mean this many deviations away: centring products entry by entry would cost three digits.
FARTHEST_MEAN = 30.0
# Relative to a unit diagonal: below this, an eigenvalue is rounding of the products.
FLOORS = {np.dtype(np.float32): 1e-7, np.dtype(np.float64): 1e-12}
EPSILON = float(np.finfo(np.float64).eps)
ROUNDINGS = 8.0  # of an objective, that a bound of it allows for
SEEN = 1e-6  # eigenvalues that products of columns of unit length show to eight digits
SEEN_AGAIN = 1e-8  # of the floor: less is left of columns that depend on each other

SOFTENING = (
    0.5  # from 0.3 to 1 the first steps on all rows of flights (179 columns) held; 0.1 overshot
)
# of a sample for each parameter: with more than few it is softened less, with many not at all
FEW_ROWS, MANY_ROWS = 40.0, 400.0
SHORT = 0.3  # a step of which less was taken was far too long
LEAST_DAMPING, FIRST_DAMPING, MOST_DAMPING = 1e-8, 1e-6, 0.5
DAMPING_GROWTH, DAMPING_DECAY = 30.0, 0.1


class Metric(NamedTuple):
    """A symmetric positive matrix, factorised.

    product : (P, P), or (P,) for a diagonal, without the penalty
    full : (P, P) or (P,), with penalty and floor
    factor : (P, P), Cholesky factor of ``full`` with its diagonal scaled to 1
    jacobi : (P,), 1 / sqrt of the diagonal; 0 for a coordinate that must not move
    is_hessian : bool, of all parameters, rather than shared by the outputs
    """

    product: Floats
    full: Floats
    factor: Floats
    jacobi: Floats
    is_hessian: bool


def bound(problem: Problem, prior: NDArray[Any]) -> Metric:
    """Return the metric of a constant curvature, the one at the null model or the largest.

    For softmax the mean of p (1 - p) over the classes' shares: smaller than the proven 1/2, which
    a line search and quasi-Newton corrections make safe.
    """
    if problem.n_outputs:
        curvature = float(np.mean(prior * (1.0 - prior)))
    else:
        curvature = losses.usual_curvature(problem.loss)
    metric = factorise(problem, products(problem, problem.weight) * curvature, False)
    if losses.is_quadratic(problem.loss):
        return sharpened(problem, metric, problem.weight * curvature)
    return metric


def hessian(problem: Problem, point: Point, damping: "Damping | None" = None) -> Metric:
    """Return the Hessian at a point as a matrix, damped if need be, or its diagonal."""
    product = product_at(problem, point)
    if damping is not None and damping.amount > 0.0:
        damping.add_to(product, problem)
        return factorise(problem, product, True)
    return sharpened(problem, factorise(problem, product, True), point.curvature)


def sharpened(problem: Problem, metric: Metric, weight: Floats) -> Metric:
    """Return a Hessian with curvatures that products cannot show.

    What it does not show is no part of the decrement, which says when a descent may stop. Products
    know the curvature of any direction to rounding of the largest, and so the eigenvectors V with
    hardly any: of Z V the products are exact again. With V's complement U, of curvatures L,

        H = (U, V) [L, C'; C, S] (U, V)',    S = V'HV,  C = V'HU,

    whose factor has the blocks  L^1/2,  C L^-1/2  and a root of  S - C L^-1 C'. It costs two
    products of the rows with V. Sparse rows keep the floor: that would cost far more than theirs.
    """
    found = with_root(problem, metric, weight)
    is_possible = problem.is_smooth and problem.n_outputs == 0 and metric.product.ndim == 2
    is_wanted = is_possible and problem.dtype == np.float64 and is_thin(metric)
    if found is not metric or not is_wanted or _costs.is_scattered(problem.rows, *problem.shape):
        return found
    floor, used = FLOORS[np.dtype(np.float64)], metric.jacobi > 0.0
    scaled = metric.full * metric.jacobi * metric.jacobi[:, None]
    np.fill_diagonal(scaled, np.where(used, np.diagonal(scaled), 1.0))
    values, vectors = sl.eigh(scaled, check_finite=False)
    n_thin = int(np.sum(values < SEEN))
    thin, turned = vectors[:, :n_thin], metric.jacobi[:, None] * vectors
    along = _products_along(problem, weight, turned[:, :n_thin]) @ turned
    along += (turned[:, :n_thin].T * problem.ridge) @ turned
    root = np.sqrt(values[n_thin:])
    cross = along[:, n_thin:] / root
    left, along_thin = sl.eigh(along[:, :n_thin] - cross @ cross.T, check_finite=False)
    left = np.where(left > SEEN_AGAIN * floor, left, floor)  # there the first floor stays
    whole = np.hstack(
        [vectors[:, n_thin:] * root + thin @ cross, thin @ along_thin * np.sqrt(left)]
    )
    (upper,) = sl.qr(whole.T, mode="r", check_finite=False)
    return metric._replace(factor=np.asfortranarray(upper.T))


def product_at(problem: Problem, point: Point) -> Floats:
    """Return the Hessian at a point without the penalty, or its diagonal."""
    if problem.n_outputs == 0:
        return products(problem, point.curvature)
    if problem.passes is not None:
        there: Floats = problem.passes.products_of_classes(problem, point.u)
        return there
    return _products_of_classes(problem, point.u)


AnyMetric = Metric | Implicit


def metric_to_start(problem: Problem, prior: NDArray[Any], point: Point | None) -> AnyMetric:
    """Return what a descent starts with; ``point`` is needed for a log link only.

    Of squared errors that is the Hessian. Else, where this is no matrix, a diagonal and corrections
    from steps take fewer passes at first than Newton's steps by conjugate gradients: 5 to 15 on
    one-hot tables, against 3 steps with 30 products.
    """
    if losses.is_quadratic(problem.loss) and not can_have_hessian(problem):
        if can_be_implicit(problem):
            nowhere = Point(np.empty(0), np.inf, np.empty(0), problem.weight)
            return Implicit(problem, nowhere)
    elif point is not None:
        return hessian(problem, point)
    return bound(problem, prior)


def newton_metric(
    problem: Problem, point: Point, damping: "Damping", before: AnyMetric | None = None
) -> AnyMetric:
    """Return the Hessian at a point, as a matrix or else implicitly; ``before`` may lend blocks."""
    if not can_have_hessian(problem) and can_be_implicit(problem):
        return Implicit(problem, point, damping.amount, before)
    return hessian(problem, point, damping)


class Damping:
    """How much of the average row's products is added to a Hessian.

    Where rows are predicted with certainty, curvatures vanish, and a step that trusts them goes
    far too far: a search that shortens it wastes what the other directions had to give. As much
    of the products as would bound the curvature everywhere makes any step safe; the amount grows
    where steps had to be shortened, and goes where they had not.
    """

    def __init__(self) -> None:
        self.amount = 0.0
        self.sampled: list[int] = []
        self._product: Floats | None = None

    def learn(self, length: float) -> None:
        """Note what part of a step was taken."""
        if length < SHORT:
            self.amount = min(max(DAMPING_GROWTH * self.amount, FIRST_DAMPING), MOST_DAMPING)
        elif length >= 1.0:
            self.amount *= DAMPING_DECAY if self.amount > LEAST_DAMPING else 0.0

    def can_grow(self, problem: Problem) -> bool:
        """Tell whether a step could still be made safer."""
        return self.amount < MOST_DAMPING and can_renew(problem)

    def add_to(self, product: Floats, problem: Problem) -> None:
        """Add it to a Hessian's product."""
        if self._product is None:
            self._product = products(problem, problem.weight)
        width = self._product.shape[0]
        for first in range(0, product.shape[0], width):
            at = slice(first, first + width)
            product[(at, at) if product.ndim == 2 else at] += self.amount * self._product


def can_have_hessian(problem: Problem) -> bool:
    """Tell whether a matrix of all parameters is cheap."""
    return affords(problem, (problem.shape[1] + 1) * max(1, problem.n_outputs))


def can_be_implicit(problem: Problem) -> bool:
    """Tell whether conjugate gradients can do without a matrix.

    They solve no model with l1 or bounds, and softmax's need its probabilities. Each of their steps
    reads X on the processor, so that there are none where a device makes the passes.
    """
    if not problem.is_smooth or problem.passes is not None:
        return False
    size = 8 * problem.shape[0] * problem.n_outputs
    return size <= max(_costs.FREE_BYTES, _costs.TIMES_X * _costs.bytes_of(problem.rows))


def with_matrix_at_last(problem: Problem, n_passes: int) -> Problem:
    """Return the problem, with a matrix if it takes more passes than that would have cost."""
    if not problem.is_smooth or can_have_hessian(problem):
        return problem
    if not _costs.pays_at_last(problem.rows, *problem.shape, problem.n_outputs, n_passes):
        return problem
    return problem._replace(largest=_costs.LARGEST_MATRIX)


def can_renew(problem: Problem) -> bool:
    """Tell whether there can be a Hessian of the current point, as a matrix or implicitly."""
    return can_have_hessian(problem) or can_be_implicit(problem)


def affords(problem: Problem, size: int) -> bool:
    """Tell whether a size x size matrix of products costs little beside X and a pass over it."""
    return size <= problem.largest


def cost_of_hessian(problem: Problem) -> float:
    """Return about how many passes a Hessian and its inverse's product with a gradient cost."""
    if not can_have_hessian(problem):
        return 1.0 + COST_OF_PRODUCT * expected_steps(problem)
    size = (problem.shape[1] + 1) * max(1, problem.n_outputs)
    blas = 0.5 if problem.dtype == np.float32 else 1.0
    return 1.0 + _costs.passes_of(problem.rows, *problem.shape, problem.n_outputs, size, blas)


def products(problem: Problem, weight: Floats) -> Floats:
    """Return sum_i h_i (z_i, 1) (z_i, 1)' of the standardised rows, summed in float64.

    Its diagonal, where the matrix would cost too much.
    """
    d = problem.shape[1]
    if not affords(problem, d + 1):
        # standardised columns: the diagonal is what it is up to the weights' correlation
        mass = float(np.sum(weight))
        return np.append((problem.scaler.inverse_std > 0.0) * mass, mass)
    if problem.passes is not None:
        there: Floats = problem.passes.products(problem, weight)
        return there
    if can_centre(problem):
        return products_of(problem, weight, np.arange(d))
    return _products_by_blocks(problem, weight)


def can_centre(problem: Problem) -> bool:
    """Tell whether sparse rows' products may be centred after they are summed."""
    if not _costs.is_scattered(problem.rows, *problem.shape):
        return False
    scaler = problem.scaler
    far = np.abs(scaler.center - _shift(problem)) * scaler.inverse_std
    return bool(np.max(far, initial=0.0) <= FARTHEST_MEAN)


def _shift(problem: Problem) -> Floats:
    """Return what sparse rows' columns are shifted by before their products are summed.

    It is the mean of a column far from zero that all rows store, such as years, else 0.
    """
    scaler, shift = problem.scaler, np.zeros(problem.shape[1])
    for j in np.flatnonzero(np.abs(scaler.center) * scaler.inverse_std > FARTHEST_MEAN):
        if np.count_nonzero(problem.rows.indices == j) == problem.shape[0]:
            shift[j] = scaler.center[j]
    return shift


def products_of(problem: Problem, weight: Floats, columns: NDArray[np.int64]) -> Floats:
    """Return the products of some columns, and of the intercept, last; entry by entry."""
    n, d = problem.shape
    place = np.full(d, -1)
    place[columns] = np.arange(columns.shape[0])
    size, shift = columns.shape[0] + 1, _shift(problem)

    def shard(start: int, stop: int) -> Floats:
        total = np.zeros((size, size))
        add_products(problem.rows, place, shift, weight, start, stop, total)
        return total

    work = int(_costs.n_pairs(problem.rows))
    total = _summed(over_shards(shard, n, work, _costs.most_shards(problem.rows, size)))
    center = (problem.scaler.center - shift)[columns]
    standardise_products(total, center, problem.scaler.inverse_std[columns])
    return total


def _summed(parts: list[Floats]) -> Floats:
    """Add up matrices in place."""
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


def _products_by_blocks(problem: Problem, weight: Floats) -> Floats:
    """Return the products of all columns by BLAS, on standardised blocks of rows."""
    d = problem.shape[1]
    return _over_blocks(problem, weight, lambda z: z.T @ z, d * d)


def _products_along(problem: Problem, weight: Floats, turn: Floats) -> Floats:
    """Return the products of all columns with directions of the parameters, (width, d + 1)."""
    work = 2 * turn.shape[1] * problem.shape[1]
    return _over_blocks(problem, weight, lambda z: (z @ turn).T @ z, work)


def _over_blocks(
    problem: Problem, weight: Floats, product: Callable[[Any], Floats], work: int
) -> Floats:
    """Add up a product of standardised, weighted blocks of rows, of so much work a row."""
    n, d = problem.shape
    size = _rows_at_once(n, d + 1, problem.dtype)

    def shard(start: int, stop: int) -> Floats:
        block = np.empty((size, d + 1), problem.dtype)
        total: Any = 0.0
        for first in range(start, stop, size):
            z = block[: min(size, stop - first)]
            weigh_rows(problem.rows, problem.scaler, weight, first, z.shape[0], z)
            total = total + np.asarray(product(z), np.float64)
        return total

    most = min(_costs.most_shards(problem.rows, d + 1), max(1, n // (ROWS_OF_SHARD * (d + 1))))
    return _summed(over_shards(shard, n, n * work, most))


def _products_of_classes(problem: Problem, u: Floats) -> Floats:
    """Return sum_i s_i (diag(p_i) - p_i p_i') (x) (z_i, 1) (z_i, 1)', classes outermost."""
    n, d = problem.shape
    n_outputs, width = problem.n_outputs, d + 1
    size = _rows_at_once(n, n_outputs * width, problem.dtype)
    params = np.ascontiguousarray(u.T, problem.dtype)

    def shard(start: int, stop: int) -> tuple[Floats, Floats]:
        total, own = np.zeros((n_outputs * width,) * 2), np.zeros((n_outputs * width, width))
        block = np.empty((size, width), problem.dtype)
        out = np.empty((size, n_outputs * width), problem.dtype)
        for first in range(start, stop, size):
            count = min(size, stop - first)
            z, wide = block[:count], out[:count]
            weigh_rows(problem.rows, problem.scaler, np.empty(0), first, count, z)
            raw = params @ z.T
            weigh_classes(problem.weight, first, raw, z, wide)
            total -= wide.T @ wide
            wide.reshape(count, n_outputs, width)[:] *= raw.T[:, :, None]  # by 1 - p
            own += wide.T @ z
        return total, own

    most = _costs.most_shards(problem.rows, n_outputs * width)
    parts = over_shards(shard, n, n * (n_outputs * width) ** 2, most)
    total, own = _summed([part[0] for part in parts]), _summed([part[1] for part in parts])
    for k in range(n_outputs):
        at = slice(k * width, (k + 1) * width)
        total[at, at] = own[at]
    return total


def _rows_at_once(n: int, width: int, dtype: Any) -> int:
    """Return how many rows a block of this width should have, enough for BLAS."""
    return min(n, max(256, BLOCK_BYTES // (width * np.dtype(dtype).itemsize)))


def transfer(problem: Problem, metric: Metric) -> Metric:
    """Return a sample's metric for all rows.

    A column that the sample hardly saw, but all rows vary in, gets the curvature of the average
    row: without it, its first step on all rows would go far too far.
    """
    product, width = metric.product.copy(), problem.shape[1] + 1
    for first in range(0, product.shape[0], width):
        diagonal = np.einsum("ii->i", product)[first : first + width]
        mean = diagonal[-1]
        seen_little = (diagonal < 0.5 * mean) & (np.append(problem.scaler.inverse_std, 1.0) > 0.0)
        diagonal[seen_little] = mean
    return factorise(problem, product, metric.is_hessian)


def soften(problem: Problem, metric: Metric) -> Metric:
    """Return a metric whose curvature is nowhere far below the average row's.

    The fewer rows there are for a parameter, the more they may have missed.
    """
    rows_each = problem.shape[0] / metric.product.shape[0]
    if rows_each >= MANY_ROWS:
        return metric
    amount = SOFTENING * min(1.0, FEW_ROWS / rows_each)
    average, product = products(problem, problem.weight), metric.product.copy()
    width = average.shape[0]
    for first in range(0, product.shape[0], width):
        at = slice(first, first + width)
        mean = product[at, at][-1, -1]
        product[(at, at) if product.ndim == 2 else at] += amount * mean * average
    return metric._replace(product=product)


def factorise(problem: Problem, product: Floats, is_hessian: bool) -> Metric:
    """Add the penalty and the floor to a product, and factorise it with a unit diagonal.

    The floor grows until the factorisation succeeds: rounding can leave negative eigenvalues.
    """
    repeats = max(1, problem.n_outputs) if is_hessian else 1
    ridge = np.tile(problem.ridge, repeats)
    free = np.ones(ridge.shape[0])
    if not problem.fit_intercept:
        free[problem.shape[1] :: problem.shape[1] + 1] = 0.0
    diagonal = (np.diagonal(product) if product.ndim == 2 else product) + ridge
    usable = (diagonal > 0.0) & (free > 0.0)
    jacobi = np.where(usable, 1.0 / np.sqrt(np.where(usable, diagonal, 1.0)), 0.0)
    if product.ndim == 1:
        return Metric(product, diagonal, np.empty((0, 0)), jacobi, is_hessian)
    full = product.copy()
    full[np.diag_indices_from(full)] += ridge
    scaled = full * jacobi
    scaled *= jacobi[:, None]
    floor, fault = FLOORS[np.dtype(problem.dtype)], 1
    while fault != 0 and np.isfinite(floor):
        np.fill_diagonal(scaled, 1.0 + floor)
        factor, fault = dpotrf(scaled.T, lower=True, clean=False)  # in the order that dpotrs takes
        floor *= 10.0
    return Metric(product, full, factor, jacobi, is_hessian)


def rounding_of_solution(metric: AnyMetric, objective: float) -> float:
    """Return what rounding of the sums g_j = sum_i s_i r_i z_ij may hide of g'H^-1 g / 2.

    Each is off by the rounding of |r|, whose square is 2 F at most: along directions of hardly any
    curvature, that is 1/2 trace(H^-1) times it.
    """
    rounding = EPSILON * abs(objective)
    if isinstance(metric, Implicit) or metric.product.ndim == 1 or not is_thin(metric):
        return ROUNDINGS * rounding
    inverse = sl.solve_triangular(np.tril(metric.factor), np.diag(metric.jacobi), lower=True)
    return rounding * (ROUNDINGS + EPSILON * float(np.sum(inverse * inverse)))


def left_out(metric: AnyMetric) -> float:
    """Return what the last ``solve`` may have missed of the model's decrease."""
    return metric.left_out if isinstance(metric, Implicit) else 0.0


def n_products(metric: AnyMetric) -> int:
    """Return how often a metric has read X to be solved with."""
    return metric.n_products if isinstance(metric, Implicit) else 0


def limit(metric: AnyMetric, most: int, enough: float = 0.0) -> None:
    """Bound how often solving with a metric reads X, and say what decrease is negligible."""
    if isinstance(metric, Implicit):
        metric.most, metric.enough = max(1, min(metric.most, most)), enough


def with_penalty_of(problem: Problem, metric: AnyMetric) -> AnyMetric:
    """Return a metric for a problem with another penalty, or another bound of the curvature."""
    if isinstance(metric, Implicit):
        return bound(problem, np.empty(0))
    return factorise(problem, metric.product, metric.is_hessian)


def solve(metric: AnyMetric, gradient: Floats) -> Floats:
    """Return H^-1 gradient; the outputs' common part, which changes no prediction, is removed."""
    if isinstance(metric, Implicit):
        return metric.solve(gradient)
    if metric.product.ndim == 1:
        return (gradient.T * metric.jacobi**2).T
    flat = gradient.T.ravel() if metric.is_hessian else gradient
    scaled = (flat.T * metric.jacobi).T
    found, _ = dpotrs(metric.factor, scaled, lower=True)  # sl.cho_solve's checks cost more
    found = (found.T * metric.jacobi).T
    return found.reshape(gradient.T.shape).T if metric.is_hessian else found


def solve_l1(metric: Any, problem: Problem, point: Point, accuracy: float) -> tuple[Floats, float]:
    """Return the step that minimises the metric's model with l1 and bounds, and its decrease."""
    full = metric.full if metric.full.ndim == 2 else None
    if full is None:
        return _threshold_step(metric, problem, point)
    full = np.where(np.outer(metric.jacobi, metric.jacobi) > 0.0, full, 0.0)
    full[np.diag_indices_from(full)] *= 1.0 + FLOORS[np.dtype(problem.dtype)]
    u, gradient = point.u, point.gradient
    if metric.is_hessian or u.ndim == 1:
        t = np.tile(problem.threshold, max(1, problem.n_outputs))
        lowest = np.tile(problem.lowest, max(1, problem.n_outputs))
        sides = np.stack([t, lowest])
        step, gain = minimise_model(full, gradient.T.ravel(), u.T.ravel(), sides, accuracy)
        return step.reshape(u.T.shape).T, gain
    steps, gain, sides = np.zeros(u.T.shape), 0.0, np.stack([problem.threshold, problem.lowest])
    for k in range(u.shape[1]):
        g, own = np.ascontiguousarray(gradient[:, k]), np.ascontiguousarray(u[:, k])
        steps[k], more = minimise_model(full, g, own, sides, accuracy)
        gain += more
    return steps.T, gain


def _threshold_step(metric: Metric, problem: Problem, point: Point) -> tuple[Floats, float]:
    """The same for a diagonal metric, in closed form."""
    inverse = metric.jacobi**2
    t = problem.threshold
    moved = (point.u.T - inverse * point.gradient.T).T
    kept = (np.sign(moved).T * np.maximum(np.abs(moved).T - inverse * t, 0.0)).T
    kept = np.maximum(kept.T, problem.lowest).T
    step = kept - point.u
    gain = -float(np.vdot(point.gradient, step))
    gain -= 0.5 * float(np.sum(metric.full @ step**2))
    gain += float(np.sum(t @ (np.abs(point.u) - np.abs(kept))))
    return step, gain
