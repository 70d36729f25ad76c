"""The short way in for the plainest of data: arrays that need no conversion.

scikit-learn's validation of one row takes longer than a step of training. For a NumPy array of
floats in C order, or CSR of them, with numbers as targets, what it does comes down to a few
comparisons. Whatever is not as plain as that, or wrong, is left to scikit-learn and its messages.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


def is_plain(estimator: Any, X: Any, dtype: Any, *, reset: bool) -> bool:
    """Tell whether X is an array or CSR that ``validate_data`` would return as it is.

    Parameters
    ----------
    estimator : estimator
    X : object
    dtype : dtype, list of dtypes or "numeric"
        What may be returned.
    reset : bool
        Whether X says how many features there are, and that they have no names.
    """
    values = X
    if type(X) in (sp.csr_matrix, sp.csr_array):
        if X.indices.dtype != np.int32 or X.indptr.dtype != np.int32:
            return False
        values = X.data
    elif type(X) is not np.ndarray or not X.flags.c_contiguous:
        return False
    if X.ndim != 2:
        return False
    if X.dtype not in _FLOATS or not _is_allowed(X.dtype, dtype) or 0 in X.shape:
        return False
    known = vars(estimator)
    if not reset and ("feature_names_in_" in known or known.get("n_features_in_") != X.shape[1]):
        return False
    return _is_finite(values)


def _is_allowed(found: Any, dtype: Any) -> bool:
    """Tell whether a dtype is what is asked for: one, one of a list, or any number."""
    if isinstance(dtype, str) and dtype == "numeric":
        return True
    return found in dtype if isinstance(dtype, list | tuple) else bool(found == dtype)


def is_plain_column(y: Any, n_rows: int) -> bool:
    """Tell whether y is a contiguous column of that many finite numbers."""
    if type(y) is not np.ndarray or y.shape != (n_rows,) or y.dtype.kind not in "fiu":
        return False
    return y.flags.c_contiguous and (y.dtype.kind != "f" or _is_finite(y))


def learn_shape(estimator: Any, X: Any) -> None:
    """Note how many features there are, and that they have no names, as scikit-learn does."""
    vars(estimator).pop("feature_names_in_", None)
    estimator.n_features_in_ = X.shape[1]


def _is_finite(values: NDArray[Any]) -> bool:
    """Tell whether all are finite; where their sum overflows, scikit-learn looks closer."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()))
