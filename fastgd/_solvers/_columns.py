"""Some columns of X as they are, in float64 and a chunk of rows at a time: for the rare column
whose moments need more care than one pass over all of X can take.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd.kernels.rows import Dense

Floats = NDArray[np.float64]

ENTRIES_AT_ONCE = 1 << 20


class Moments(NamedTuple):
    """Weighted mean and standard deviation of columns, and their largest distance from a center."""

    mean: Floats
    std: Floats
    peak: Floats


def as_matrix(rows: Any, n_rows: int, n_features: int) -> Any:
    """Return sparse rows as a matrix of scipy's, without a copy."""
    return sp.csr_matrix((rows.data, rows.indices, rows.indptr), shape=(n_rows, n_features))


def as_dense(rows: Any, n_rows: int, n_features: int) -> Floats:
    """Return few rows as an array of float64: X's own where it is one."""
    if isinstance(rows, Dense):
        return np.asarray(rows.values, np.float64)
    dense = np.zeros((n_rows, n_features))
    dense[np.repeat(np.arange(n_rows), np.diff(rows.indptr)), rows.indices] = rows.data
    return dense


def dense_rows(rows: Any, shape: tuple[int, int], chosen: NDArray[Any]) -> Floats:
    """Return some rows as an array of float64, a copy."""
    if isinstance(rows, Dense):
        return rows.values[chosen].astype(np.float64)
    return as_matrix(rows, *shape)[chosen].toarray().astype(np.float64)


def chunks(
    rows: Any, shape: tuple[int, int], columns: NDArray[Any]
) -> Iterator[tuple[int, Floats]]:
    """Yield where each chunk of rows starts, and the columns there, dense."""
    matrix = None if isinstance(rows, Dense) else as_matrix(rows, *shape)
    size = max(1, ENTRIES_AT_ONCE // max(1, columns.shape[0]))
    for start in range(0, shape[0], size):
        if matrix is None:
            some = rows.values[start : start + size, columns]
        else:
            some = matrix[start : start + size][:, columns].toarray()
        yield start, np.asarray(some, np.float64)


def moments_of(
    rows: Any, columns: NDArray[Any], weight: Floats, center: Floats, peak: Floats
) -> Moments:
    """Return the moments of columns of any magnitude, rows without a weight left out.

    Parameters
    ----------
    rows : Dense or CSR
    columns : (k,), their numbers
    weight : (n_samples,), sums to 1
    center, peak : (n_features,), near the columns' means; their largest distances from there
    """
    shape, k = (weight.shape[0], center.shape[0]), columns.shape[0]
    unit = np.exp2(-np.frexp(np.maximum(peak[columns], 1e-300))[1])  # exact, so that squares hold
    first, second = np.zeros(k), np.zeros(k)
    for start, some in chunks(rows, shape, columns):
        share = weight[start : start + some.shape[0], None]
        with np.errstate(over="ignore", invalid="ignore"):  # told by what is not finite
            distance = np.where(share > 0.0, (some - center[columns]) * unit, 0.0)
            first += np.sum(share * distance, axis=0)
            second += np.sum(share * distance**2, axis=0)
    std = np.sqrt(np.maximum(second - first**2, 0.0)) / unit
    return Moments(center[columns] + first / unit, std, peak[columns])
