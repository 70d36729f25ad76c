"""Tables with more columns than rows: the same problem in as many coordinates as there are rows.

The loss sees w through the centred rows A only, so that, with no penalty but l2, the best w is a
combination of rows. Let Q be an orthonormal basis of these, d x r with r <= n, and L = A Q. Then
A w = L v and |w| = |v| for w = Q v: the task of the n x r table L is the same one [1]_. Its
Hessian is r x r, and a pass reads n r numbers. Without a penalty that finds the solution of least
norm.

References
----------
.. [1] Hastie & Tibshirani, "Efficient quadratic regularization for expression arrays", 2004.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp
from scipy.linalg.lapack import dpstrf

from fastgd._monitoring.observer import Converted, Model
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._columns import as_matrix
from fastgd._solvers._costs import is_scattered
from fastgd._solvers._exact import EPSILON, OFFSET_NOISE, factorise_columns, rows_of
from fastgd._solvers._problem import Floats, is_free, scaler_of
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd.kernels.rows import Dense

# The products of all rows cost n/16 passes or so over a dense table, by BLAS, and the steps after
# that n^3: at 1,000 x 5,000 descent on the columns themselves took as long.
MOST_ROWS = 1000
MOST_SPARSE_ROWS = 150  # entry by entry the products cost n passes
# Of the largest pivot: below it, a product of rows has lost more than eight of sixteen digits.
LEAST_PIVOT = 1e-4
NEAR = 3.0  # deviations from zero that a mean may be for products to be centred: one digit
Solve = Callable[[Task, Options, Any], Solution]


class Basis(NamedTuple):
    """An orthonormal basis of the centred rows.

    rows : (n, r), float64, the rows in it: L
    center : (d,), what was taken off the rows
    back : function of v, (r,) or (K, r): Q v, of shape (d,) or (K, d)
    into : function of w: Q'w
    """

    rows: Floats
    center: Floats
    back: Callable[[Floats], Floats]
    into: Callable[[Floats], Floats]


def is_reducible(task: Task) -> bool:
    """Tell whether a task has so few rows that it is better solved in a basis of them."""
    n, d = task.y.shape[0], task.n_features
    if task.l1 > 0.0 or task.positive or not n < d:
        return False
    return n <= (MOST_SPARSE_ROWS if is_scattered(task.rows, n, d) else MOST_ROWS)


def in_basis(solver: Solve, task: Task, options: Options, start: State | None) -> Solution:
    """Solve a reducible task in a basis of its rows."""
    basis, small = reduced(task)
    options = options._replace(observer=Converted(options.observer, partial(model_of, basis)))
    begin = None if start is None else state_in(basis, start)
    return restored(basis, solver(small, options, begin))


def reduced(task: Task) -> tuple[Basis, Task]:
    """Return a basis of a reducible task's rows, and the task in it."""
    with one_blas_thread():
        basis = basis_of(task)
    values = basis.rows
    values.flags.writeable = False
    return basis, task._replace(rows=Dense(values), n_features=values.shape[1])


def state_in(basis: Basis, state: State) -> State:
    """Return where to start, of the user's columns, in a basis."""
    coef = np.asarray(state.coef, np.float64)
    return State(basis.into(coef), state.intercept + coef @ basis.center)


def restored(basis: Basis, found: Solution) -> Solution:
    """Return the solution of a task in a basis in the user's columns."""
    model = model_of(basis, Model(found.coef, found.intercept))
    coef, intercept = model.coef, model.intercept
    return found._replace(coef=coef, intercept=intercept, state=State(coef, intercept))


def basis_of(task: Task) -> Basis:
    """Return a basis from the products of the rows, or, where digits would be lost, by QR."""
    n, d = task.y.shape[0], task.n_features
    weight = np.full(n, 1.0 / n)
    if task.weight is not None:
        weight = np.asarray(task.weight, np.float64) / np.sum(task.weight, dtype=np.float64)
    scaler, _ = scaler_of(task.rows, weight, d, task.fit_intercept, is_free=is_free(task))
    varies = scaler.inverse_std > 0.0
    rows, center = task.rows, scaler.center * varies
    matrix = _as_they_are(rows, n, d, varies)
    if matrix is not None and np.max(np.abs(center) * scaler.inverse_std, initial=0.0) <= NEAR:
        along, products = matrix @ center, matrix @ matrix.T
        products = products.toarray() if sp.issparse(products) else products
        products = products - along - along[:, None] + center @ center
        basis = _by_products(products, matrix, center, n - task.fit_intercept)
        if basis is not None:
            return basis
    kept = varies if np.any(varies) else np.arange(d) < 1  # a table has a column
    values = _centred(rows, n, d, center, varies, kept)
    if task.fit_intercept:  # again: what rounding has left of means far from zero fits any targets
        rest = weight @ values
        values -= rest
        center[kept] += rest
    taken_off = np.zeros(values.shape[1])  # they are centred
    basis = _by_products(values @ values.T, values, taken_off, n - task.fit_intercept)
    return _spread(basis or _by_qr(values, center[kept]), kept)._replace(center=center)


def _as_they_are(rows: Any, n: int, d: int, varies: Any) -> Any:
    """Return the rows in float64, not centred; None where that takes a dense copy."""
    if is_scattered(rows, n, d):
        return as_matrix(rows, n, d).astype(np.float64).multiply(varies).tocsr()
    plain = isinstance(rows, Dense) and rows.values.dtype == np.float64 and np.all(varies)
    return rows.values if plain else None


def _centred(rows: Any, n: int, d: int, center: Floats, varies: Any, kept: Any) -> Floats:
    """Return some columns less their mean, densely; a constant one is zeros.

    Rows of few non-zeros may have many columns without any, which take neither memory nor time.
    """
    if isinstance(rows, Dense):
        values = rows.values if np.all(kept) else rows.values[:, kept]
    else:
        values = as_matrix(rows, n, d)[:, np.flatnonzero(kept)].toarray()
    values = values - center[kept]  # float64, as the means are
    if not np.all(varies[kept]):
        values[:, ~varies[kept]] = 0.0
    return np.ascontiguousarray(values)


def _spread(basis: Basis, kept: Any) -> Basis:
    """Return a basis of some columns as one of all: the others have no part in it."""
    if np.all(kept):
        return basis

    def back(v: Floats) -> Floats:
        w = np.zeros((*v.shape[:-1], kept.shape[0]))
        w[..., kept] = basis.back(v)
        return w

    return basis._replace(back=back, into=lambda w: basis.into(w[..., kept]))


def _by_products(products: Floats, rows: Any, center: Floats, rank: int) -> Basis | None:
    """Return the basis by a pivoted Cholesky factor; None if that is not exact enough.

    With G = A A' and the pivots' rows A_p = L_p Q', Q = A_p' L_p^-T.
    """
    n = products.shape[0]
    largest = float(np.max(np.diagonal(products), initial=0.0))
    if rank < 1 or not 0.0 < largest < np.inf:
        return None
    factor, pivots, found, _ = dpstrf(products, tol=LEAST_PIVOT**2 * largest, lower=1)
    if found < rank:
        return None
    order, triangle = pivots - 1, np.tril(factor)[:, :rank]
    small = np.empty((n, rank))
    small[order] = triangle
    chosen, head = order[:rank], triangle[:rank]

    def back(v: Floats) -> Floats:
        share = np.zeros((n, *v.shape[:-1]))
        share[chosen] = sl.solve_triangular(head, v.T, lower=True, trans="T", check_finite=False)
        w = rows.T @ share
        return (w - np.multiply.outer(center, share.sum(axis=0))).T

    def into(w: Floats) -> Floats:
        along = (rows @ w.T - center @ w.T)[chosen]
        return sl.solve_triangular(head, along, lower=True, check_finite=False).T

    return Basis(small, center, back, into)


def _by_qr(values: Floats, center: Floats) -> Basis:
    """Return the basis of the rows that do not depend on others but for rounding, by QR.

    Which do is decided where all columns are of one scale: beside a column of 1e19 all others would
    be rounding, and what is rounding fits any targets where a penalty is small. With columns z of
    one scale, z[:, order] = q r, A = q seen. The rows of ``seen`` are turned with the columns of X
    in falling order of size, and pivots: small columns keep their digits beside large ones (Cox &
    Higham, "Stability of Householder QR factorization for weighted least squares problems", 1998).
    """
    peak = np.max(np.abs(values), axis=0)
    unit = np.exp2(-np.frexp(peak)[1].astype(np.float64))
    noise = EPSILON * (max(values.shape) + OFFSET_NOISE * (np.abs(center) + peak) * unit)
    q, r, order, rank = factorise_columns(values * unit, noise)
    rank = max(rank, 1)  # a table has a column
    seen = np.empty((rank, values.shape[1]))
    seen[:, order] = r[:rank]
    basis, triangle, first = rows_of(seen / unit)
    small = q[:, :rank][:, first] @ triangle.T
    return Basis(small, np.zeros(basis.shape[0]), lambda v: v @ basis.T, lambda w: w @ basis)


def model_of(basis: Basis, model: Model) -> Model:
    """Return the model in the user's columns."""
    coef = basis.back(np.asarray(model.coef))
    intercept: Any = model.intercept - coef @ basis.center
    return model._replace(coef=coef, intercept=float(intercept) if coef.ndim == 1 else intercept)
