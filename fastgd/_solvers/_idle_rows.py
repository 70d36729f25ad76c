"""Rows of weight 0 that are larger than all others.

They have no part in the objective. But sums over all rows meet them, where 0 times 1e20 is 0, and
products of rows, beside whose largest entry the others would be rounding.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._data.validation import frozen
from fastgd._solvers._task import Task
from fastgd.kernels.rows import CSR, Dense


def without_idle_rows(task: Task) -> Task:
    """Return a task whose rows of weight 0 are zeros, where one is larger than those that count."""
    if task.weight is None or task.device is not None:
        return task
    if isinstance(task.rows, Dense):
        values = with_zeros_for_idle_rows(task.rows.values, task.weight)
        return task if values is task.rows.values else task._replace(rows=Dense(frozen(values)))
    data, indices, indptr = task.rows
    given = sp.csr_array((data, indices, indptr), shape=(task.y.shape[0], task.n_features))
    found = with_zeros_for_idle_rows(given, task.weight)
    if found is given:
        return task
    return task._replace(rows=CSR(frozen(found.data), indices, indptr))


def with_zeros_for_idle_rows(X: Any, weight: NDArray[Any]) -> Any:
    """Do so for an array or a sparse matrix, (n_samples, n_features); X itself is not changed."""
    counts = np.asarray(weight) > 0.0
    if np.all(counts):
        return X
    is_sparse = sp.issparse(X)
    sizes = abs(X).max(axis=1).toarray().ravel() if is_sparse else _largest_of_rows(X)
    if not np.max(sizes[~counts]) > np.max(sizes[counts], initial=0.0):  # of a part none may count
        return X
    if not is_sparse:
        return np.where(counts[:, None], X, X.dtype.type(0))
    found = X.copy()
    found.data[~counts[_rows_of_entries(X)]] = 0.0
    return found


def _largest_of_rows(values: NDArray[Any]) -> NDArray[Any]:
    """Return the largest |x_ij| of each row."""
    found: NDArray[Any] = np.maximum(np.max(values, axis=1), -np.min(values, axis=1))
    return found


def _rows_of_entries(X: Any) -> NDArray[Any]:
    """Return in which row each stored entry of CSR or CSC is."""
    if X.format == "csr":
        return np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    found: NDArray[Any] = X.indices
    return found
