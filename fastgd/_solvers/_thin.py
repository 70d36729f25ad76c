"""A Hessian's factor from the rows themselves, where a matrix of their products is not enough.

Products of columns know a direction's curvature to rounding of the largest: 1e-16 of it. Columns
that are nearly dependent (of a mean far above their deviation, without an intercept; powers of one
number) leave directions of less. A triangle made from the rows by reflections knows the square root
of the curvature to 1e-16, so that directions of 1e-24 are seen.

References
----------
.. [1] Bjoerck, "Numerical Methods for Least Squares Problems", 1996, section 2.4.
"""

from typing import Any

import numpy as np
import scipy.linalg as sl
from numpy.typing import NDArray

from fastgd._solvers._columns import as_dense
from fastgd._solvers._costs import FINISHED_IN_FLOAT64
from fastgd._solvers._problem import Floats, Problem

THIN = 1e-9  # of a column's mean square: what is left of it beside others
NOISE = 16.0  # rounding of a column far from zero, in units of its last digit
LITTLE_WORK = 1e8  # products: reflections take a tenth of a second
CLEAR = 10.0  # times the rounding: a direction that is not it
EPSILON = float(np.finfo(np.float64).eps)


def is_thin(metric: Any) -> bool:
    """Tell whether a factorised matrix leaves hardly anything of a column beside the others."""
    return float(np.min(np.abs(np.diagonal(metric.factor)), initial=1.0)) ** 2 < THIN


def is_thin_on(metric: Any, chosen: NDArray[np.bool_]) -> bool:
    """Tell the same of some coordinates alone, those that an l1 penalty has let in."""
    if not is_thin(metric) or metric.full.shape != (chosen.shape[0],) * 2:
        return is_thin(metric)
    some = np.flatnonzero(chosen & (metric.jacobi > 0.0))
    scale = metric.jacobi[some]
    try:
        factor = sl.cholesky(metric.full[np.ix_(some, some)] * scale * scale[:, None])
    except sl.LinAlgError:
        return True
    return float(np.min(np.diagonal(factor), initial=1.0)) ** 2 < THIN


def with_root(problem: Problem, metric: Any, curvature: Floats) -> Any:
    """Return a Hessian with its factor made from the rows, if it is thin and the problem small.

    Columns that depend on others as far as rounding tells keep the factor with its floor.
    """
    n, d = problem.shape
    is_small = n * d <= FINISHED_IN_FLOAT64 or n * d * d <= LITTLE_WORK
    is_possible = problem.n_outputs == 0 and metric.product.ndim == 2
    if not (is_possible and is_small and problem.dtype == np.float64 and is_thin(metric)):
        return metric
    usable = np.flatnonzero(metric.jacobi > 0.0)
    root = np.sqrt(np.maximum(curvature, 0.0))[:, None] * standardised(problem)
    root = np.vstack([root, np.diag(np.sqrt(problem.ridge))]) * metric.jacobi
    r, order = sl.qr(root[:, usable], mode="r", pivoting=True, check_finite=False)
    r = r[: usable.shape[0]]
    offset = np.append(np.abs(problem.scaler.center) * problem.scaler.inverse_std, 0.0)[usable]
    noise = EPSILON * (max(n, d) + NOISE * offset)
    if r.shape[0] < usable.shape[0] or np.min(np.abs(np.diagonal(r))) <= CLEAR * np.max(noise):
        return metric
    (upper,) = sl.qr(r[:, np.argsort(order)], mode="r", check_finite=False)
    factor = np.eye(d + 1)
    factor[np.ix_(usable, usable)] = upper.T
    return metric._replace(factor=np.asfortranarray(factor))


class RowsBasis:
    """An orthogonal basis of the standardised columns, for points at which gradients vanish."""

    def __init__(self, problem: Problem) -> None:
        n, d = problem.shape
        self._n = n
        self._used = np.flatnonzero(problem.weight > 0.0)
        self._root = np.sqrt(problem.weight[self._used])
        free = np.append(problem.scaler.inverse_std > 0.0, problem.fit_intercept)
        self._columns = np.flatnonzero(free)
        is_small = n * d <= FINISHED_IN_FLOAT64 or n * d * d <= LITTLE_WORK
        self.is_known = is_small and self._used.size >= self._columns.size
        if not self.is_known:
            return
        z = self._root[:, None] * standardised(problem)[np.ix_(self._used, self._columns)]
        with np.errstate(invalid="ignore"):
            self._q, self._r, self._order = sl.qr(z, mode="economic", pivoting=True)
        least = float(np.min(np.abs(np.diagonal(self._r)), initial=np.inf))
        self.is_known = bool(least > CLEAR * NOISE * EPSILON)

    def change(self, pull: Floats) -> Floats:
        """Return the least r in the metric of the weights with Z'r = -pull."""
        part = sl.solve_triangular(self._r, -pull[self._columns][self._order], trans="T")
        return self._std(self._q @ part)

    def without(self, dual: Floats) -> Floats:
        """Return what is left of a point beside the basis: Z'r = 0."""
        flat = dual[self._used] / self._root
        for _ in range(2):  # the second time takes away what the first one's rounding left
            flat = flat - self._q @ (self._q.T @ flat)
        return self._std(flat)

    def _std(self, flat: Floats) -> Floats:
        whole = np.zeros(self._n)
        whole[self._used] = self._root * flat
        return whole


def standardised(problem: Problem) -> Floats:
    """Return the standardised rows as a matrix, with the intercept's column of ones last."""
    rows, (n, d) = problem.rows, problem.shape
    z = (as_dense(rows, n, d) - problem.scaler.center) * problem.scaler.inverse_std
    return np.column_stack([z, np.ones(n)])
