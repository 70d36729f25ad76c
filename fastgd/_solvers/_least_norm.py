"""Of all solutions without a penalty to speak of, the one of least norm in the user's columns.

Where columns depend on each other, descent ends at one of many solutions. Small least squares
problems are factorised (``_exact``); here products of the columns, or of the rows where these are
fewer, tell what no row sees.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg.lapack import dpstrf

from fastgd._data.validation import frozen
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._columns import as_matrix
from fastgd._solvers._costs import LARGEST_MATRIX
from fastgd._solvers._passes import predictions
from fastgd._solvers._precondition import products
from fastgd._solvers._problem import Problem, from_raw, pose, to_raw
from fastgd._solvers._task import Solution, State, Task
from fastgd.kernels.rows import CSR, Dense

Floats = NDArray[np.float64]

NEGLIGIBLE = 1e-12  # part of a unit diagonal, or of the largest eigenvalue: below it is rounding
CLEAR = 1e-8  # pivots above this part of the largest are no rounding
SAMPLED = 4  # rows a column, from which independence is seen as well as from all
VISIBLE = 1e-7  # of the predictions
ROUNDS = 2
HARDLY = 1e-10  # of a row's mean square: an l2 below which leaves coefficients six digits or fewer
SEEN, SEEN_ENTRIES = 256, 50_000  # rows, or entries, that tell of the others' size
MOST_WORK = 1e9  # multiplications of sparse columns by each other, ten seconds of them


def is_hardly_penalised(task: Task) -> bool:
    """Tell whether l2 is so small beside rows that rounding decides along what no row sees.

    There the gradient of the loss is rounding, 1e-16 of what it is made of, and l2 divides it.
    """
    if task.l2 == 0.0:
        return True
    n, values = task.y.shape[0], task.rows[0]
    entries = values.size / n  # of a row, all or those that are stored
    step = n // SEEN if isinstance(task.rows, Dense) else values.size // SEEN_ENTRIES
    some = values[:: max(1, step)]
    with np.errstate(over="ignore"):
        square = float(np.sum(np.square(some, dtype=np.float64))) / max(some.size, 1)
    return task.l2 <= HARDLY * entries * square


def least_norm(task: Task, found: Solution) -> Solution:
    """Take what no row sees off a solution; min(n, d)^3 time, for up to 3,000 rows or columns."""
    n, d = task.y.shape[0], task.n_features
    if min(n, d) > LARGEST_MATRIX:
        return found
    with one_blas_thread():
        if n > d and (d >= LARGEST_MATRIX or _work(task) > MOST_WORK or not _may_depend(task)):
            return found
        problem = pose(task)._replace(dtype=np.float64, largest=LARGEST_MATRIX)
        before = u = from_raw(problem, found.coef, found.intercept)
        u = u.copy()
        if n <= d:
            u[:-1] = _in_span_of_rows(problem, u[:-1])
        else:
            u[:-1] = _shortest(problem, u[:-1])
        if _is_seen(problem, u - before, before):
            return found
    raw = to_raw(problem, u)
    coef, intercept = raw[:-1], float(raw[-1]) if task.fit_intercept else 0.0
    state = State(coef, intercept) if hasattr(found.state, "coef") else found.state
    objective = found.objective
    if task.l2 > 0.0:  # else squares of coefficients may leave float64
        shorter = float(np.sum(np.square(found.coef))) - float(coef @ coef)
        objective -= 0.5 * task.l2 * max(shorter, 0.0)
    return found._replace(coef=coef, intercept=intercept, objective=objective, state=state)


def _is_seen(problem: Problem, change: Floats, u: Floats) -> bool:
    """Tell whether rows see a change: products of columns take what is thin for what is not there.

    In the predictions' standard deviation that is more than rounding, and less matters to no loss.
    """
    moved, raw = predictions(problem, change), predictions(problem, u)
    std = float(np.sqrt(problem.weight @ (raw - problem.weight @ raw) ** 2))
    return not float(np.sqrt(problem.weight @ moved**2)) <= VISIBLE * std


def _may_depend(task: Task) -> bool:
    """Tell whether columns depend on each other, in as many rows as should show it."""
    n, d = task.y.shape[0], task.n_features
    chosen = np.arange(0, n, max(1, n // (SAMPLED * d + 50)))
    weight = None if task.weight is None else np.asarray(task.weight, np.float64)[chosen]
    if weight is not None and not np.any(weight > 0.0):
        return True
    if isinstance(task.rows, Dense):
        rows: Any = Dense(frozen(np.take(task.rows.values, chosen, axis=0)))
    else:
        some = as_matrix(task.rows, n, d)[chosen]
        indices = some.indices.astype(task.rows.indices.dtype)
        indptr = some.indptr.astype(task.rows.indptr.dtype)
        rows = CSR(frozen(some.data), frozen(indices), frozen(indptr))
    part = task._replace(rows=rows, y=task.y[chosen], weight=weight, device=None)
    problem = pose(part._replace(l2=1.0))  # or columns that hardly vary here would be refused
    if np.any(problem.scaler.inverse_std <= 0.0):  # constant in these rows
        return True
    gram = _products(problem._replace(dtype=np.float64, largest=LARGEST_MATRIX))
    root = np.sqrt(np.diagonal(gram))
    if not np.all(root > 0.0):
        return True
    _, _, rank, _ = dpstrf(gram / np.outer(root, root), tol=NEGLIGIBLE)
    return bool(rank < gram.shape[0])


def _shortest(problem: Problem, u: Floats) -> Floats:
    """Move along what no row sees to the least norm in the user's columns."""
    usable = np.flatnonzero(problem.scaler.inverse_std > 0.0)
    gram = _products(problem)
    values, vectors = np.linalg.eigh(gram[np.ix_(usable, usable)])
    unseen = vectors[:, values <= NEGLIGIBLE * values[-1]]
    if unseen.shape[1] == 0:
        return u
    scale = problem.scaler.inverse_std[usable] / np.max(problem.scaler.inverse_std)
    order = np.argsort(-scale, kind="stable")
    q, r, pivots = sl.qr((scale[:, None] * unseen)[order], mode="economic", pivoting=True)
    along = q.T @ (scale * u[usable])[order]
    moved = u.copy()
    moved[usable] -= unseen[:, pivots] @ sl.solve_triangular(r, along)
    return moved


def _products(problem: Problem) -> Floats:
    """Return the standardised columns' products, about their means if an intercept is fitted.

    Sparse rows are never made dense.
    """
    own: Floats
    if isinstance(problem.rows, Dense):
        gram = products(problem, problem.weight)
        own, mean = gram[:-1, :-1], gram[:-1, -1]
    else:
        matrix = as_matrix(problem.rows, *problem.shape)
        scaled = sp.diags_array(np.sqrt(problem.weight)) @ matrix.astype(np.float64)
        scaled = sp.csr_array(scaled @ sp.diags_array(problem.scaler.inverse_std))
        own, mean = (scaled.T @ scaled).toarray(), scaled.T @ np.sqrt(problem.weight)
    return own - np.outer(mean, mean) if problem.fit_intercept else own


def _work(task: Task) -> float:
    """Return the multiplications that the products of sparse columns take; 0 for dense ones."""
    if isinstance(task.rows, Dense):
        return 0.0
    return float(np.sum(np.square(np.diff(task.rows.indptr).astype(np.float64))))


def _in_span_of_rows(problem: Problem, u: Floats) -> Floats:
    """Project coefficients of the user's columns onto what the centered rows span."""
    rows, n, d = problem.rows, *problem.shape
    scaler = problem.scaler
    root: Floats = np.sqrt(problem.weight)
    x: Any = rows.values if isinstance(rows, Dense) else as_matrix(rows, n, d)
    known, largest = scaler.inverse_std > 0.0, float(np.max(scaler.inverse_std, initial=0.0))
    if largest == 0.0:
        return u
    usable: Floats = np.where(known, largest, 0.0)  # units in which powers of columns stay in range
    center = scaler.center * usable

    def ahead(w: Floats) -> Floats:
        return root * (x @ (usable * w) - center @ w)

    def back(v: Floats) -> Floats:
        v = root * v
        return usable * (x.T @ v) - center * v.sum()

    invert = _inverse(_products_of_rows(x, usable, center, root), root, problem.fit_intercept)
    w, wanted = np.zeros(d), ahead(u * (scaler.inverse_std / largest))
    for _ in range(ROUNDS):
        w += back(invert(wanted - ahead(w)))
    moved = u.copy()
    moved[known] = w[known] / (scaler.inverse_std[known] / largest)
    return moved


def _inverse(kernel: Floats, root: Floats, is_centered: bool) -> Callable[[Floats], Floats]:
    """Return what multiplies by the pseudo-inverse; centered rows add up to zero, that is known."""
    size = float(np.mean(np.diagonal(kernel)))
    full = kernel + size * np.outer(root, root) if is_centered else kernel
    try:
        factor = sl.cho_factor(full, lower=True, check_finite=False)
        pivots = np.square(np.diagonal(factor[0]))
        if np.min(pivots) > CLEAR * np.max(pivots):
            return lambda v: np.asarray(sl.cho_solve(factor, v, check_finite=False))
    except sl.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(kernel)
    seen = values > NEGLIGIBLE * values[-1]
    basis, values = vectors[:, seen], values[seen]
    return lambda v: np.asarray(basis @ ((basis.T @ v) / values))


def _products_of_rows(x: Any, usable: Floats, center: Floats, root: Floats) -> Floats:
    """Return the products of the centered, weighted rows."""
    n = root.shape[0]
    if isinstance(x, np.ndarray):
        total = np.zeros((n, n))
        for start in range(0, x.shape[1], 2048):
            at = slice(start, start + 2048)
            part = root[:, None] * (x[:, at] * usable[at] - center[at])
            total += part @ part.T
        return total
    scaled = x.multiply(usable[None, :]).tocsr()
    cross = scaled @ center
    plain = np.asarray((scaled @ scaled.T).todense())
    total = plain - cross[:, None] - cross[None, :] + center @ center
    return np.asarray(root[:, None] * total * root)
