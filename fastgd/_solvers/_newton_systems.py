"""The linear systems of the interior point method: in the columns or in the rows."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp

from fastgd._solvers._columns import as_matrix, dense_rows
from fastgd._solvers._costs import LARGEST_MATRIX
from fastgd._solvers._passes import predictions, products_with
from fastgd._solvers._precondition import Metric, factorise, products, solve
from fastgd._solvers._problem import Floats, Problem
from fastgd._solvers._thin import RowsBasis
from fastgd.kernels.rows import Dense

BLOCK_BYTES = 1 << 24
ACCURACY = 1e-6  # to which a system is solved, in the norm of its preconditioner
MOST_CORRECTIONS = 20
LARGEST_ROOT = 40_000_000  # entries
FLOOR = 1e-15  # relative to a unit diagonal
REGULARISED = 1e-12  # of a column's mean square: a penalty where there is none


class Covariance:
    """The products of the standardised columns, made when they are first asked for."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem._replace(dtype=np.float64, largest=LARGEST_MATRIX)
        self._metric: Metric | None = None
        self._basis: RowsBasis | None = None

    def basis(self) -> RowsBasis:
        """Return a basis of the columns made from the rows."""
        if self._basis is None:
            self._basis = RowsBasis(self._problem)
        return self._basis

    def __call__(self) -> Metric | None:
        """Return them factorised; None where there are too many columns."""
        problem = self._problem
        if problem.shape[1] + 1 > LARGEST_MATRIX:
            return None
        if self._metric is None:
            plain = problem._replace(l2=0.0)
            self._metric = factorise(plain, products(plain, plain.weight), False)
        return self._metric


class Equations(NamedTuple):
    """What a Newton step solves for du and dr:

        ridge_j du_j + sum_k dr_k a_kj = -gradient_j,    dr_k = curvature_k (a_k du - shift_k)

    gradient : (n_features + 1,)
    curvature, shift : the terms' flat arrays
    origin : (n_samples,) or None; if given, the gradient is Z'origin but for the intercept's part
    """

    gradient: Floats
    curvature: Floats
    shift: Floats
    origin: Floats | None


class InColumns:
    """Newton's steps by the matrix ridge + A'DA of the columns."""

    def __init__(self, boxes: Any) -> None:
        self._boxes = boxes
        self._problem = boxes.problem._replace(dtype=np.float64)

    def factorise(self, curvature: Floats) -> None:
        """Prepare for weights of the terms."""
        boxes = self._boxes
        product = products(self._problem, boxes.of_rows(curvature))
        product[np.diag_indices_from(product)] += boxes.of_columns(curvature)
        self._metric = factorise(self._problem, product, True)

    def solve(self, equations: Equations) -> tuple[Floats, Floats]:
        """Return du and dr."""
        boxes, curvature, shift = self._boxes, equations.curvature, equations.shift

        def image(du: Floats) -> Floats:
            product: Floats = boxes.ridge * du + boxes.gather(curvature * boxes.images(du))
            return product

        rhs = boxes.gather(curvature * shift) - equations.gradient
        du = conjugate_gradients(image, partial(solve, self._metric), rhs).x
        return du, curvature * (boxes.images(du) - shift)


class InRows:
    """Newton's steps by the matrix E + Z G^-1 Z' of the rows, E = 1 / D.

    G is the penalty of the standardised coefficients. The intercept, which has none, is a border.
    """

    def __init__(self, boxes: Any) -> None:
        self._boxes, self._problem = boxes, boxes.problem
        self._used = boxes.used
        self._kernel: Floats | None = None
        self._is_graded = False  # too much for a matrix of products

    def factorise(self, curvature: Floats) -> None:
        """Prepare for weights of the terms."""
        problem, boxes = self._problem, self._boxes
        own = problem.ridge + boxes.of_columns(curvature)
        weight = boxes.of_rows(curvature)[self._used]
        least = np.where(
            problem.scaler.inverse_std > 0.0, REGULARISED * float(np.sum(weight)), np.inf
        )
        own[:-1] = np.where(own[:-1] > 0.0, own[:-1], least)
        self._inverse = np.append(1.0 / own[:-1], 0.0)
        self._slack = 1.0 / weight
        self._factorise_root() if self._is_graded else self._factorise_kernel()
        self._ones = self._solve(np.ones(self._used.shape[0]))

    def _factorise_root(self) -> None:
        self._root = root_of(self._problem, self._used, self._inverse[:-1], self._slack)

    def _factorise_kernel(self) -> None:
        full = self._kernel_times()
        full[np.diag_indices_from(full)] += self._slack
        self._jacobi = 1.0 / np.sqrt(np.diagonal(full))
        full *= self._jacobi * self._jacobi[:, None]
        self._factor = cholesky(full)

    def _kernel_times(self) -> Floats:
        """Return Z G^-1 Z', which without l1 is what it was, up to a factor."""
        if self._problem.l1 > 0.0:
            return kernel_of(self._problem, self._used, self._inverse[:-1])
        largest = float(np.max(self._inverse))
        if self._kernel is None:
            self._kernel = kernel_of(self._problem, self._used, self._inverse[:-1] / largest)
        return self._kernel * largest

    def _roughly(self, t: Floats) -> Floats:
        if self._is_graded:
            return self._root.solve(t)
        scaled = sl.cho_solve((self._factor, True), self._jacobi * t, check_finite=False)
        inner: Floats = self._jacobi * scaled
        return inner

    def _image(self, t: Floats) -> Floats:
        image: Floats = self._slack * t + self._forward(self._inverse * self._backward(t))
        return image

    def _forward(self, u: Floats) -> Floats:
        raw: Floats = predictions(self._problem, u)[self._used]
        return raw

    def _backward(self, t: Floats) -> Floats:
        slopes = np.zeros(self._problem.shape[0])
        slopes[self._used] = t
        return products_with(self._problem, slopes)

    def _solve(self, t: Floats) -> Floats:
        found = conjugate_gradients(self._image, self._roughly, t)
        if found.is_accurate or self._is_graded or self._root_size() > LARGEST_ROOT:
            return found.x
        self._is_graded = True
        self._factorise_root()
        return conjugate_gradients(self._image, self._roughly, t).x

    def _root_size(self) -> int:
        n = self._used.shape[0]
        return n * (n + self._problem.shape[1])

    def solve(self, equations: Equations) -> tuple[Floats, Floats]:
        """Return du and dr."""
        boxes, n_rows = self._boxes, self._boxes.n_rows
        gradient, curvature, shift, origin = equations
        moved = curvature * shift
        pushed = boxes.of_rows(moved)[self._used]
        own = self._inverse * (boxes.of_columns(moved) - gradient)
        if origin is None:
            t = self._solve(self._forward(own) - self._slack * pushed)
        else:  # t + origin is small where both are not
            t = self._solve(self._slack * (origin[self._used] - pushed)) - origin[self._used]
        level = 0.0
        if self._problem.fit_intercept:
            level = -(gradient[-1] + t.sum()) / self._ones.sum()
            t = t + level * self._ones
        du = own - self._inverse * self._backward(t)
        du[-1] = level
        rows = np.tile(self._slack * (t + pushed), n_rows // self._used.shape[0])
        dr = curvature * (np.concatenate([rows, du[boxes.bounded]]) - shift)
        return du, dr


class Solved(NamedTuple):
    """A system's solution, and whether corrections came to an end."""

    x: Floats
    is_accurate: bool


def conjugate_gradients(
    image: Callable[[Floats], Floats], roughly: Callable[[Floats], Floats], rhs: Floats
) -> "Solved":
    """Solve by a factor, and correct what its rounding left."""
    x = roughly(rhs)
    rest = rhs - image(x)
    y = roughly(rest)
    size, enough = float(np.sum(rest * y)), ACCURACY**2 * abs(float(np.sum(rhs * x)))
    direction = y
    for _ in range(MOST_CORRECTIONS):
        if not size > enough:
            break
        change = image(direction)
        bend = float(np.sum(direction * change))
        if not bend > 0.0:
            break
        length = size / bend
        x, rest = x + length * direction, rest - length * change
        y = roughly(rest)
        before, size = size, float(np.sum(rest * y))
        direction = y + (size / before) * direction
    return Solved(x, bool(size <= enough))


def cholesky(scaled: Floats) -> Floats:
    """Factorise a matrix with a unit diagonal, raised as little as lets it succeed."""
    floor = FLOOR
    while True:
        np.fill_diagonal(scaled, 1.0 + floor)
        try:
            factor: Floats = sl.cholesky(scaled, lower=True, check_finite=False)
        except sl.LinAlgError:
            floor *= 10.0
        else:
            return factor


def kernel_of(problem: Problem, used: Any, inverse: Floats) -> Floats:
    """Return Z diag(inverse) Z' of the standardised rows that are used."""
    rows, (center, inverse_std) = problem.rows, problem.scaler
    scale = inverse * inverse_std**2
    if not isinstance(rows, Dense):
        matrix = as_matrix(rows, *problem.shape)[used]
        root = matrix @ sp.diags_array(np.sqrt(scale))
        kernel: Floats = (root @ root.T).toarray()
        middle = matrix @ (scale * center)
        return kernel - middle - middle[:, None] + center @ (scale * center)
    n, d = used.shape[0], problem.shape[1]
    kernel, size = np.zeros((n, n)), max(1, BLOCK_BYTES // (8 * n))
    for first in range(0, d, size):
        at = slice(first, first + size)
        block = (rows.values[used, at] - center[at]) * np.sqrt(scale[at])
        kernel += block @ block.T
    return kernel


class Root(NamedTuple):
    """A triangle r with r'r = (E + Z G^-1 Z')[order, order]."""

    r: Floats
    order: Any

    def solve(self, t: Floats) -> Floats:
        """Return the inverse times t."""
        half = sl.solve_triangular(self.r, t[self.order], trans="T", check_finite=False)
        found = np.empty_like(t)
        found[self.order] = sl.solve_triangular(self.r, half, check_finite=False)
        return found


def root_of(problem: Problem, used: Any, inverse: Floats, slack: Floats) -> Root:
    """Factorise E + Z G^-1 Z' by its root, of which none is lost beside larger ones.

    The root's rows are those of G^-1/2 Z' and E^1/2 in falling order [1]_.

    References
    ----------
    .. [1] Cox & Higham, "Stability of Householder QR Factorization for Weighted Least Squares
       Problems", 1998.
    """
    center, inverse_std = problem.scaler
    values = dense_rows(problem.rows, problem.shape, used)
    root = np.vstack(
        [((values - center) * (inverse_std * np.sqrt(inverse))).T, np.diag(np.sqrt(slack))]
    )
    largest = np.max(np.abs(root), axis=1)
    root = root[np.argsort(-largest, kind="stable")]
    r, order = sl.qr(root, mode="r", pivoting=True, overwrite_a=True, check_finite=False)
    return Root(r[: used.shape[0]], order)
