"""Rows of weight 0 that are larger than all others.

They have no part in the objective. But sums over all rows meet them, where 0 times 1e20 is 0, and
products of rows, beside whose largest entry the others would be rounding.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd._data.validation import frozen
from fastgd._solvers._task import Task
from fastgd.kernels.rows import CSR, Dense


def without_idle_rows(task: Task) -> Task:
    """Return a task whose rows of weight 0 are zeros, where one is larger than those that count."""
    if task.weight is None or task.device is not None:
        return task
    counts = np.asarray(task.weight) > 0.0
    if np.all(counts) or not np.any(counts):
        return task
    sizes = _largest_of_rows(task.rows)
    if not np.max(sizes[~counts]) > np.max(sizes[counts]):
        return task
    return task._replace(rows=_that_count(task.rows, counts))


def _largest_of_rows(rows: Any) -> NDArray[Any]:
    """Return the largest |x_ij| of each row."""
    if isinstance(rows, Dense):
        values = rows.values
        return np.maximum(np.max(values, axis=1), -np.min(values, axis=1))
    found = np.zeros(rows.indptr.shape[0] - 1, rows.data.dtype)
    np.maximum.at(found, np.repeat(np.arange(found.shape[0]), np.diff(rows.indptr)), abs(rows.data))
    return found


def _that_count(rows: Any, counts: NDArray[np.bool_]) -> Any:
    """Return the rows with zeros in place of those that do not count."""
    if isinstance(rows, Dense):
        values = np.zeros_like(rows.values)
        values[counts] = rows.values[counts]
        return Dense(frozen(values))
    kept = np.repeat(counts, np.diff(rows.indptr))
    data = np.where(kept, rows.data, rows.data.dtype.type(0))
    return CSR(frozen(data), rows.indices, rows.indptr)
