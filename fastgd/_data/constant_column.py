"""The intercept as the coefficient of a constant column, and so penalised, as liblinear has it."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


def with_constant(X: Any, value: float) -> Any:
    """Return a copy of X with one more column, all ``value``."""
    n, d = X.shape
    if not sp.issparse(X):
        return np.ascontiguousarray(np.hstack([X, np.full((n, 1), value, X.dtype)]))
    X = X.tocsr()
    ends = X.indptr[1:]
    parts = np.insert(X.data, ends, X.dtype.type(value)), np.insert(X.indices, ends, d)
    starts = X.indptr + np.arange(n + 1, dtype=X.indptr.dtype)
    return sp.csr_matrix((*parts, starts), shape=(n, d + 1))


def without_constant(coef: NDArray[Any], value: float) -> tuple[NDArray[Any], Any]:
    """Return coefficients and intercepts of coefficients (..., n_features + 1)."""
    return coef[..., :-1], value * coef[..., -1]
