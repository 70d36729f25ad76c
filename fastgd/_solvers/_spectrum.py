"""Ridge regression for many strengths of the penalty from one eigendecomposition.

With Z the rows, centered and multiplied by the roots r_i of their weights, t the targets likewise,
and Z'Z = V diag(e) V', the coefficients are V (V'Z't / (e + alpha)) for every alpha, and the error
of row i in a fit to all rows but this one is

    (t_i - z_i w) / (1 - h_i),   h_i = sum_j (z_i V)_j^2 / (e_j + alpha) + r_i^2 / sum_k r_k^2

(the last term for an intercept). Where columns outnumber rows, the same is had of Z Z' = U diag(e)
U': with c = U (U't / (e + alpha)) the coefficients are Z'c and the errors c_i / d_i, d_i = sum_j
U_ij^2 / (e_j + alpha). (Rifkin and Lippert, "Notes on regularized least squares", MIT, 2007.) Rows
are centered a block at a time, and no more than a block is copied.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ENTRIES_AT_ONCE = 1 << 18  # of a block of rows: 2 MiB
EPSILON = float(np.finfo(np.float64).eps)
HARDLY = 1e-10  # of the largest e: an alpha that rounding is divided by
NOISE = 1e-7  # of the smallest e + alpha: so much may products be off
FAR = 100.0  # a mean in standard deviations, from which on sparse products lose two digits
MOST_REFINEMENTS = 3
FEW = 200  # columns or rows, up to which a decomposition costs next to nothing
KRYLOV_TOL = 1e-9  # of the objective
MOST_PRODUCTS = 300  # with all rows, from which on a decomposition may be cheaper


class Rows:
    """Centered, weighted rows, without a copy of X.

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n, d)
    Y : ndarray of shape (n, n_targets), float64
    weight : ndarray of shape (n,), or None for weights of 1
    fit_intercept : bool
        Whether means are taken off; else they are zero.
    """

    def __init__(self, X: Any, Y: Floats, weight: Floats | None, fit_intercept: bool) -> None:
        self.X, self.fit_intercept = X, fit_intercept
        self.n, self.d = X.shape
        self.weight = np.ones(self.n) if weight is None else weight
        self.mass = float(self.weight.sum())
        self.root = None if weight is None else np.sqrt(weight)
        self.mean, self.level = np.zeros(self.d), np.zeros(Y.shape[1])
        if fit_intercept:
            share = self.weight / self.mass
            self.mean, self.level = self._mean(share), share @ Y
        self.targets = (
            Y - self.level if self.root is None else (Y - self.level) * self._of(slice(None))
        )
        self.is_sparse = sp.issparse(X) and not self._is_far()
        self.is_raw = False

    def _mean(self, share: Floats) -> Floats:
        """Return the columns' weighted means, in two passes: the second one corrects the first."""
        if sp.issparse(self.X):
            return np.asarray(self.X.T @ share, np.float64)
        mean = np.asarray(self.X[0], np.float64)
        rest = [share[rows] @ (self.X[rows] - mean) for rows in self.blocks()]
        return mean + np.sum(rest, axis=0)

    def _is_far(self) -> bool:
        """Tell whether a column's mean is so far from zero that products must be centered."""
        if not self.fit_intercept:
            return False
        square = np.asarray(self.X.multiply(self.X).T @ self.weight) / self.mass
        return bool(np.any(square - self.mean**2 < self.mean**2 / FAR**2))

    def center_products(self) -> None:
        """Let ``back`` center products in place of rows, where that loses no digits.

        It is worth a pass over X where ``back`` is called often.
        """
        if sp.issparse(self.X) or self.X.dtype != np.float64 or self.root is not None:
            return
        square = np.einsum("ij,ij->j", self.X, self.X) / self.n
        self.is_raw = bool(np.all(self.mean**2 <= FAR**2 * (square - self.mean**2)))

    def _of(self, rows: slice) -> Any:
        """Return the roots of these rows' weights, as a column; 1.0 for weights of 1."""
        return 1.0 if self.root is None else self.root[rows, None]

    @property
    def is_large_and_sparse(self) -> bool:
        """Whether products with X are much cheaper than a matrix of products."""
        return self.is_sparse and min(self.n, self.d) > FEW

    def blocks(self) -> Iterator[slice]:
        """Yield slices of rows that are worked on at once."""
        size = max(1, ENTRIES_AT_ONCE // self.d)
        for start in range(0, self.n, size):
            yield slice(start, min(start + size, self.n))

    def dense(self, rows: slice) -> Floats:
        """Return these rows."""
        some = self.X[rows].toarray() if sp.issparse(self.X) else self.X[rows]
        centered = some - self.mean if self.fit_intercept else np.asarray(some, np.float64)
        return centered if self.root is None else centered * self._of(rows)

    def times(self, matrix: Floats, rows: slice) -> Floats:
        """Return Z @ matrix of these rows."""
        if not self.is_sparse:
            return self.dense(rows) @ matrix
        found: Floats = (self.X[rows] @ matrix - self.mean @ matrix) * self._of(rows)
        return found

    def all_times(self, matrix: Floats) -> Floats:
        """Return Z @ matrix."""
        if self.is_sparse:
            return self.times(matrix, slice(None))
        return np.concatenate([self.times(matrix, rows) for rows in self.blocks()])

    def back(self, matrix: Floats) -> Floats:
        """Return Z' @ matrix, of a matrix of shape (n, k)."""
        found = np.zeros((self.d, matrix.shape[1]))
        if self.is_sparse:
            weighted = matrix * self._of(slice(None))
            return np.asarray(self.X.T @ weighted - np.outer(self.mean, weighted.sum(axis=0)))
        if self.is_raw:
            np.dot(self.X.T, matrix, out=found)
            found -= np.outer(self.mean, matrix.sum(axis=0))
            return found
        if self.d > self.n:
            for columns in self._blocks_of_columns():
                found[columns] = self._centered_columns(columns).T @ matrix
            return found
        for rows in self.blocks():
            found += self.dense(rows).T @ matrix[rows]
        return found

    def covariance(self) -> Floats:
        """Return Z'Z, of shape (d, d)."""
        if self.is_sparse:
            scaled = self.X.multiply(self.weight[:, None]).tocsr()
            products = (self.X.T @ scaled).toarray()
            return np.asarray(products - self.mass * np.outer(self.mean, self.mean), np.float64)
        found = np.zeros((self.d, self.d))
        for rows in self.blocks():
            some = self.dense(rows)
            found += some.T @ some
        return found

    def gram(self) -> Floats:
        """Return ZZ', of shape (n, n)."""
        if not self.is_sparse:
            found = np.zeros((self.n, self.n))
            for columns in self._blocks_of_columns():
                some = self._centered_columns(columns)
                found += some @ some.T
            return found
        along = self.X @ self.mean
        found = (self.X @ self.X.T).toarray() - along[:, None] - along
        root = self._of(slice(None))
        return np.asarray((found + self.mean @ self.mean) * root * np.transpose(root))

    def _blocks_of_columns(self) -> Iterator[slice]:
        size = max(1, ENTRIES_AT_ONCE // self.n)
        for start in range(0, self.d, size):
            yield slice(start, min(start + size, self.d))

    def _centered_columns(self, columns: slice) -> Floats:
        """Return columns of Z."""
        some = self.X[:, columns]
        some = some.toarray() if sp.issparse(self.X) else some
        some = np.asarray(some - self.mean[columns], np.float64)
        return some if self.root is None else some * self._of(slice(None))


class Spectrum(NamedTuple):
    """An eigendecomposition, and the targets in its basis.

    values : (r,), eigenvalues of Z'Z or ZZ', >= 0
    basis : (d, r) or (n, r), the eigenvectors
    along : (r, n_targets), V'Z't or U't
    is_wide : bool, whether it is that of ZZ'
    """

    values: Floats
    basis: Floats
    along: Floats
    is_wide: bool


def spectrum_of(rows: Rows, weakest: float, mode: str = "auto") -> Spectrum:
    """Decompose the products of columns or of rows, whichever are fewer.

    Parameters
    ----------
    rows : Rows
    weakest : float
        The least alpha that will be asked for, > 0. Where rounding of the products would count
        beside it, singular values of the rows themselves are taken.
    mode : {"auto", "svd"}
    """
    is_wide = rows.n <= rows.d
    if mode != "svd":
        products = rows.gram() if is_wide else rows.covariance()
        found = _of_products(rows, products, is_wide)
        if found is not None and is_sharp(found.values, weakest):
            return found
    return _of_singular_values(rows, is_wide)


def _of_products(rows: Rows, products: Floats, is_wide: bool) -> Spectrum | None:
    """Return the spectrum of a matrix of products; None where it is not finite."""
    if not np.all(np.isfinite(products)):
        return None
    if is_wide and rows.fit_intercept:
        return _without_intercept(rows, products)
    values, basis = _eigh(products)
    values, basis = np.maximum(values, 0.0), np.ascontiguousarray(basis)
    along = basis.T @ (rows.targets if is_wide else rows.back(rows.targets))
    return Spectrum(values, basis, along, is_wide)


def _without_intercept(rows: Rows, products: Floats) -> Spectrum:
    """Return the spectrum of ZZ' on all directions but the intercept's, of which Z has nothing.

    That direction is given the largest eigenvalue, so that it is no part of any other eigenvector,
    and dropped.
    """
    root = _direction_of_intercept(rows)
    largest = float(np.abs(products).sum(axis=0).max()) or 1.0
    products += 2.0 * largest * np.outer(root, root)
    values, basis = _eigh(products)
    values, basis = np.maximum(values[:-1], 0.0), np.ascontiguousarray(basis[:, :-1])
    return Spectrum(values, basis, basis.T @ rows.targets, True)


def _eigh(products: Floats) -> tuple[Floats, Floats]:
    """Return eigenvalues and vectors, by divide and conquer, in place.

    Relatively robust representations, scipy's default, leave vectors orthogonal to 1e-12 in place
    of 1e-15. Alone on a core both take as long; on two shared ones they waited for each other.
    """
    return scipy.linalg.eigh(products, overwrite_a=True, check_finite=False, driver="evd")


def _direction_of_intercept(rows: Rows) -> Floats:
    """Return the roots of the weights, of length 1: orthogonal to each column of Z."""
    root = np.ones(rows.n) if rows.root is None else rows.root
    return np.asarray(root / np.sqrt(root @ root), np.float64)


def is_sharp(values: Floats, weakest: float) -> bool:
    """Tell whether the rounding of products is small beside what is divided by."""
    off = EPSILON * float(values.max(initial=0.0)) * np.sqrt(values.shape[0])
    return bool(off <= NOISE * (float(values.min(initial=np.inf)) + weakest))


def _of_singular_values(rows: Rows, is_wide: bool) -> Spectrum:
    """Return the spectrum from a singular value decomposition of the rows.

    Raises
    ------
    ValueError
        If the rows leave float64 when they are centered.
    """
    Z = np.concatenate([rows.dense(some) for some in rows.blocks()])
    if not np.all(np.isfinite(Z)):
        raise ValueError("X holds numbers too large to add up. Divide such columns by a constant.")
    if is_wide:
        extra = 2.0 * float(np.linalg.norm(Z)) or 1.0
        if rows.fit_intercept:  # as in _without_intercept
            Z = np.column_stack([Z, extra * _direction_of_intercept(rows)])
        basis, singular, _ = scipy.linalg.svd(Z, full_matrices=False, check_finite=False)
        if rows.fit_intercept:
            basis, singular = basis[:, 1:], singular[1:]
        return Spectrum(singular**2, basis, basis.T @ rows.targets, True)
    triangle = scipy.linalg.qr(Z, mode="r", overwrite_a=False, check_finite=False)[0][: rows.d]
    _, singular, basis_t = scipy.linalg.svd(triangle, check_finite=False)
    along = basis_t @ rows.back(rows.targets)
    return Spectrum(singular**2, basis_t.T, along, False)


def left_out_errors(rows: Rows, found: Spectrum, alphas: Floats) -> Iterator[tuple[slice, Floats]]:
    """Yield each block of rows and the errors of fits without the row.

    These are multiplied by the root of the row's weight, of shape (rows, n_targets, n_alphas).
    """
    inverse = 1.0 / (found.values[:, None] + alphas)  # (r, n_alphas)
    shape = (found.values.shape[0], found.along.shape[1] * alphas.shape[0])
    scaled = (found.along[:, :, None] * inverse[:, None, :]).reshape(shape)
    share = rows.weight / rows.mass if rows.fit_intercept else np.zeros(rows.n)
    for some in rows.blocks():
        basis = found.basis[some] if found.is_wide else rows.times(found.basis, some)
        linear = (basis @ scaled).reshape(-1, rows.targets.shape[1], alphas.shape[0])
        square = (basis * basis) @ inverse
        if found.is_wide:
            yield some, linear / square[:, None, :]
        else:
            kept = 1.0 - share[some, None] - square
            yield some, (rows.targets[some][:, :, None] - linear) / kept[:, None, :]


def paths(rows: Rows, found: Spectrum, alphas: Floats) -> Floats:
    """Return the coefficients for each alpha, (n_alphas, d, n_targets)."""
    inverse = 1.0 / (found.values[:, None] + alphas)
    scaled = found.along[:, :, None] * inverse[:, None, :]
    flat = found.basis @ scaled.reshape(scaled.shape[0], scaled.shape[1] * scaled.shape[2])
    flat = rows.back(flat) if found.is_wide else flat
    return np.moveaxis(flat.reshape(rows.d, found.along.shape[1], -1), 2, 0)


def sparse_paths(rows: Rows, alphas: Floats) -> Floats | None:
    """Return the same of sparse rows without a decomposition; None where it converges too slowly.

    Conjugate gradients for the least alpha find those of all others in the same Krylov space
    (Jegerlehner, "Krylov space solvers for shifted linear systems", hep-lat/9612014). They end
    when each duality gap is proven to be below ``KRYLOV_TOL`` of the objective.
    """
    targets = rows.back(rows.targets)
    found = np.empty((alphas.shape[0], rows.d, targets.shape[1]))
    for k in range(targets.shape[1]):
        one = _shifted_gradients(
            rows, targets[:, k], float(np.sum(rows.targets[:, k] ** 2)), alphas
        )
        if one is None:
            return None
        found[:, :, k] = one.T
    return found


def _shifted_gradients(rows: Rows, right: Floats, square: float, alphas: Floats) -> Floats | None:
    """Solve (Z'Z + alpha) w = right for each alpha: (d, n_alphas).

    Residuals for other shifts are multiples of that for the least one, by factors that three-term
    recurrences give; steps and directions follow from these.
    """
    least = float(alphas.min())
    shift = alphas - least
    coef = np.zeros((rows.d, alphas.shape[0]))
    residual, along = right.copy(), right.copy()
    own = np.repeat(right[:, None], alphas.shape[0], axis=1)  # each shift's direction
    factor, before = np.ones(alphas.shape[0]), np.ones(alphas.shape[0])
    step_before, turn, size = 1.0, 0.0, float(residual @ residual)
    for _ in range(MOST_PRODUCTS):
        # |residual|^2 / alpha is the gap, t't - right'w the objective, both times 2
        gap = factor**2 * size / alphas
        active = gap > KRYLOV_TOL * np.maximum(square - right @ coef, 0.0) + EPSILON * square
        if not np.any(active):
            return coef
        product = rows.back(rows.all_times(along[:, None]))[:, 0] + least * along
        step = size / float(along @ product)
        below = step * turn * (before - factor) + before * step_before * (1.0 + shift * step)
        after = np.divide(
            factor * before * step_before, below, out=np.zeros_like(factor), where=active
        )
        ratio = np.divide(after, factor, out=np.zeros_like(factor), where=active)
        coef += step * ratio * own
        residual -= step * product
        size, last = float(residual @ residual), size
        turn, step_before = size / last, step
        own = after * residual[:, None] + turn * ratio**2 * own
        along = residual + turn * along
        before, factor = factor, after
    return None


class Fitted(NamedTuple):
    """Coefficients (d, n_targets), intercepts, objectives and bounds of their suboptimality."""

    coef: Floats
    intercept: Floats
    objective: Floats
    gap: Floats


def fit_at(rows: Rows, found: Spectrum, alpha: Floats) -> Fitted:
    """Return the model for one alpha a target, refined with the residuals of all rows.

    ``objective`` is (|residuals|^2 + alpha |w|^2) / (2 sum of weights), and ``gap`` bounds what it
    is above the least one: by |gradient|^2 / (2 alpha sum of weights), or by more of Z'Z than that
    it is not negative.
    """
    inverse = 1.0 / (found.values[:, None] + alpha)
    scaled = found.basis @ (found.along * inverse)
    best = _with_status(rows, rows.back(scaled) if found.is_wide else scaled, alpha)
    for _ in range(MOST_REFINEMENTS):
        coef, residual, slope, _, gap = best
        if found.is_wide:  # in the rows' coefficients, with Z'c = w
            scaled = scaled + found.basis @ (
                (found.basis.T @ (residual - alpha * scaled)) * inverse
            )
            other = rows.back(scaled)
        else:
            other = coef + found.basis @ ((found.basis.T @ slope) * inverse)
        tried = _with_status(rows, other, alpha)
        if not np.sum(tried[4]) < 0.25 * np.sum(gap):
            best = tried if np.sum(tried[4]) < np.sum(gap) else best
            break
        best = tried
    coef, _, slope, objective, gap = _without_unseen(rows, found, best, alpha)
    with np.errstate(over="ignore", invalid="ignore"):
        sharper = gap_of(found, slope, alpha) / (2.0 * rows.mass)
    gap = np.fmin(np.fmin(gap, sharper), objective)  # which is no sum of negative terms
    intercept = rows.level - rows.mean @ coef if rows.fit_intercept else 0.0 * rows.level
    return Fitted(coef, intercept, objective, gap)


def _without_unseen(
    rows: Rows, found: Spectrum, best: tuple[Floats, ...], alpha: Floats
) -> tuple[Floats, ...]:
    """Return a model less what no row sees of it, if that is as good: rounding divided by alpha."""
    largest = float(np.max(found.values, initial=0.0))
    seen = found.values > EPSILON * found.values.shape[0] * largest
    if found.is_wide or np.all(seen) or not np.max(alpha) <= HARDLY * largest:
        return best
    unseen = found.basis[:, ~seen]
    shorter = _with_status(rows, best[0] - unseen @ (unseen.T @ best[0]), alpha)
    is_as_good = shorter[3] <= (1.0 + 8.0 * EPSILON) * best[3]
    return shorter if np.all(is_as_good) else best


def gap_of(found: Spectrum, slope: Floats, alpha: Floats) -> Floats:
    """Return a bound of g'(Z'Z + alpha)^-1 g, with g the slope; infinite where Z'Z is not known.

    Eigenvalues are known to their rounding, and g's part along each vector to g's.
    """
    if found.is_wide:
        return np.full(slope.shape[1], np.inf)
    rounding = EPSILON * found.values.shape[0]
    known = np.maximum(found.values - rounding * np.max(found.values, initial=0.0), 0.0)
    along = np.abs(found.basis.T @ slope) + rounding * np.sqrt(np.sum(slope**2, axis=0))
    return np.asarray(np.sum(along**2 / (known[:, None] + alpha), axis=0))


def _with_status(
    rows: Rows, coef: Floats, alpha: Floats
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return coefficients, residuals, minus half the gradient, objectives and gaps."""
    residual = rows.targets - rows.all_times(coef)
    slope = rows.back(residual) - alpha * coef
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.sum(residual**2, axis=0) + alpha * np.sum(coef**2, axis=0)
        gap = np.sum(slope**2, axis=0) / alpha
    return coef, residual, slope, total / (2.0 * rows.mass), gap / (2.0 * rows.mass)
