"""Of all solutions of a larger least squares problem, the one of least norm in the user's columns.

Where columns depend on each other, descent ends at one of many solutions. Small problems are
factorised (``_exact``); here products of the columns, or of the rows where these are fewer, tell
what no row sees.
"""

from typing import Any

import numpy as np
import scipy.linalg as sl
from numpy.typing import NDArray
from scipy.linalg.lapack import dpstrf

from fastgd._solvers._columns import as_matrix
from fastgd._solvers._gd import State
from fastgd._solvers._precondition import LARGEST_METRIC, products
from fastgd._solvers._problem import Problem, from_raw, pose, to_raw
from fastgd._solvers._task import Solution, Task
from fastgd._threads import one_blas_thread
from fastgd.kernels.rows import Dense

Floats = NDArray[np.float64]

NEGLIGIBLE = 1e-12  # part of a unit diagonal, or of the largest eigenvalue: below it is rounding
SAMPLED = 4  # rows a column, from which independence is seen as well as from all
ROUNDS = 2


def least_norm(task: Task, found: Solution) -> Solution:
    """Take what no row sees off a solution; min(n, d)^3 time, for up to 3,000 rows or columns."""
    n, d = task.y.shape[0], task.n_features
    if min(n, d) > LARGEST_METRIC:
        return found
    with one_blas_thread():
        problem = pose(task)._replace(dtype=np.float64)
        u = from_raw(problem, found.coef, found.intercept)
        if n <= d:
            u[:-1] = _in_span_of_rows(problem, u[:-1])
        elif d < LARGEST_METRIC and _may_depend(problem):
            u[:-1] = _shortest(problem, u[:-1])
        else:
            return found
    raw = to_raw(problem, u)
    coef, intercept = raw[:-1], float(raw[-1]) if task.fit_intercept else 0.0
    state = State(coef, intercept) if hasattr(found.state, "coef") else found.state
    return found._replace(coef=coef, intercept=intercept, state=state)


def _may_depend(problem: Problem) -> bool:
    """Tell whether columns depend on each other, in as many rows as should show it."""
    n, d = problem.shape
    usable = problem.frame.shrink > 0.0
    some = min(n, SAMPLED * d + 50)
    weight = np.where(np.arange(n) % max(1, n // some) == 0, problem.weight, 0.0)
    gram = _centered_products(problem, weight)[np.ix_(usable, usable)]
    diagonal = np.diagonal(gram)
    if not np.all(diagonal > 0.0):
        return True
    root = np.sqrt(diagonal)
    _, _, rank, _ = dpstrf(gram / np.outer(root, root), tol=NEGLIGIBLE)
    return bool(rank < gram.shape[0])


def _shortest(problem: Problem, u: Floats) -> Floats:
    """Move along what no row sees to the least norm in the user's columns."""
    usable = np.flatnonzero(problem.frame.shrink > 0.0)
    gram = _centered_products(problem, problem.weight)
    values, vectors = np.linalg.eigh(gram[np.ix_(usable, usable)])
    unseen = vectors[:, values <= NEGLIGIBLE * values[-1]]
    if unseen.shape[1] == 0:
        return u
    scale = problem.frame.shrink[usable] / np.max(problem.frame.shrink)
    order = np.argsort(-scale, kind="stable")
    q, r, pivots = sl.qr((scale[:, None] * unseen)[order], mode="economic", pivoting=True)
    along = q.T @ (scale * u[usable])[order]
    moved = u.copy()
    moved[usable] -= unseen[:, pivots] @ sl.solve_triangular(r, along)
    return moved


def _centered_products(problem: Problem, weight: Floats) -> Floats:
    """Return the columns' products, about their means where an intercept is fitted."""
    gram = products(problem, weight)
    own, mean = gram[:-1, :-1], gram[:-1, -1]
    if not problem.fit_intercept:
        return own
    centered: Floats = own - np.outer(mean, mean) / max(gram[-1, -1], 1e-300)
    return centered


def _in_span_of_rows(problem: Problem, u: Floats) -> Floats:
    """Project coefficients of the user's columns onto what the centered rows span."""
    rows, n, d = problem.rows, *problem.shape
    frame = problem.frame
    root: Floats = np.sqrt(problem.weight)
    x: Any = rows.values if isinstance(rows, Dense) else as_matrix(rows, n, d)
    scale = np.where(frame.shrink > 0.0, frame.shrink, 0.0)
    largest = float(np.max(scale, initial=0.0))
    if largest == 0.0:
        return u
    usable: Floats = (
        scale > 0.0
    ) * largest  # columns in units of the largest: powers stay in range
    center = frame.center * usable

    def ahead(w: Floats) -> Floats:
        return root * (x @ (usable * w) - center @ w)

    def back(v: Floats) -> Floats:
        v = root * v
        return usable * (x.T @ v) - center * v.sum()

    kernel = _products_of_rows(x, usable, center, root)
    values, vectors = np.linalg.eigh(kernel)
    seen = values > NEGLIGIBLE * values[-1]
    basis, values = vectors[:, seen], values[seen]
    w, wanted = np.zeros(d), ahead(u * (scale / largest))
    for _ in range(ROUNDS):
        w += back(basis @ ((basis.T @ (wanted - ahead(w))) / values))
    known = scale > 0.0
    moved = u.copy()
    moved[known] = w[known] / (scale[known] / largest)
    return moved


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
