"""From a user's X, y and weights to the arrays that kernels take, without a copy if none is needed.

Dense X of float32 or float64 in C order and canonical CSR go to the kernels as they are, through
read-only views, so that memory maps and frozen arrays share one compiled kernel with the rest.
"""

from collections.abc import Callable
from numbers import Real
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import _fit_context
from sklearn.utils import assert_all_finite
from sklearn.utils import check_X_y as sklearn_check_X_y
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, validate_data

from fastgd._data.arrays import is_plain, is_plain_column, learn_shape
from fastgd._runtime.devices import RowsThere, chosen, is_on_device, is_there, stays_there, to_host
from fastgd.kernels.losses import NONNEGATIVE, POSITIVE, domain_of
from fastgd.kernels.rows import CSR, Dense

LEAST_WEIGHT, LARGEST_WEIGHT = 1e-300, 1e300  # sums of weights that can be divided by
CHUNK = 1 << 16  # labels are encoded this many at a time
ACCEPTED = {"accept_sparse": "csr", "order": "C", "accept_large_sparse": True}

Fit = TypeVar("Fit", bound=Callable[..., Any])


def fit_context(method: Fit) -> Fit:
    """Check the constructor's parameters before a method; scikit-learn's, which hides its type."""
    decorated: Fit = _fit_context(prefer_skip_nested_validation=True)(method)
    return decorated


def check_X_y(
    estimator: Any, X: Any, y: Any, *, reset: bool, dtype: Any, **checks: Any
) -> tuple[Any, NDArray[Any]]:
    """Validate training data as scikit-learn does, and the structure of sparse X besides."""
    if is_there(getattr(estimator, "device", None)):
        chosen(estimator, X)  # refuses what has no form for a device
    if is_plain(estimator, X, dtype, reset=reset) and is_plain_column(y, X.shape[0]):
        if reset:
            learn_shape(estimator, X)
        return check_sparse(X), y
    from fastgd._data.parts import refuse_parts  # which imports this

    refuse_parts(estimator, X)
    if is_on_device(X):
        if stays_there(estimator, X):
            return _checked_there(estimator, X, to_host(y), reset=reset, dtype=dtype, **checks)
        chosen(estimator, X, warns=True)
    X, y = to_host(X), to_host(y)
    X, y = validate_data(estimator, X, y, reset=reset, dtype=dtype, **ACCEPTED, **checks)
    if sp.issparse(y):
        raise TypeError(
            "Sparse data was passed for y, but dense data is required. Use '.toarray()' to convert "
            "to a dense numpy array."
        )
    return check_sparse(X), y


def _checked_there(
    estimator: Any, X: Any, y: Any, *, reset: bool, dtype: Any, **checks: Any
) -> tuple[Any, NDArray[Any]]:
    """Validate rows on a device where they lie, and their targets as those of any rows."""
    rows = RowsThere(X)
    if rows.dtype not in tuple(np.atleast_1d(dtype)):
        raise ValueError(f"X must be of {dtype}, as in the first call, got {rows.dtype}.")
    if not reset and rows.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"X has {rows.shape[1]} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )
    rows.refuse_what_is_not_finite()
    _, y = sklearn_check_X_y(np.zeros((rows.shape[0], 1)), y, **checks)
    if reset:
        learn_shape(estimator, rows)
    return rows, y


def check_X(estimator: Any, X: Any, *, reset: bool, dtype: Any = "numeric") -> Any:
    """Validate rows without targets: float32, float64 and CSR of them are not copied."""
    if not reset and is_plain(estimator, X, dtype, reset=False):
        return X if dtype == "numeric" else check_sparse(X)
    X = to_host(X)
    if not reset and dtype == "numeric":  # to predict takes no kernel, and any layout
        return validate_data(estimator, X, reset=False, accept_sparse="csr")
    return check_sparse(validate_data(estimator, X, reset=reset, dtype=dtype, **ACCEPTED))


def check_sparse(X: Any) -> Any:
    """Return X canonical: columns in range, sorted and distinct. The user's arrays stay as are.

    Raises
    ------
    ValueError
        If indices are out of range or indptr is not that of a CSR matrix: a kernel that trusted
        them would read outside the arrays.
    """
    if not sp.issparse(X):
        return X
    fault = _fault_of_csr(X.indptr, X.indices, X.data, X.shape[1])
    if fault is not None:
        raise ValueError(f"X is not a valid CSR matrix: {fault}.")
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def _fault_of_csr(
    indptr: NDArray[Any], indices: NDArray[Any], data: NDArray[Any], n_features: int
) -> str | None:
    """Say what is wrong with a CSR matrix's arrays; None where nothing is."""
    if indptr[0] != 0 or np.any(indptr[1:] < indptr[:-1]):
        return "indptr must begin with 0 and never decrease"
    stored = indptr[-1]
    if indices.shape[0] < stored or data.shape[0] < stored:
        return f"indptr ends with {stored}, beyond {indices.shape[0]} indices"
    if stored > 0 and (indices[:stored].min() < 0 or indices[:stored].max() >= n_features):
        low, high = indices[:stored].min(), indices[:stored].max()
        return f"indices run from {low} to {high}, allowed are 0 to {n_features - 1}"
    return None


def as_rows(X: Any) -> Dense | CSR:
    """Return X for the kernels, as read-only views."""
    if sp.issparse(X):
        return CSR(frozen(X.data), frozen(X.indices), frozen(X.indptr))
    if isinstance(X, RowsThere):
        return Dense(X.values)
    return Dense(frozen(X))


def frozen(values: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view."""
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


def check_weight(sample_weight: Any, X: Any, dtype: Any, *, all_zero: bool = False) -> NDArray[Any]:
    """Return sample weights in X's dtype; none at all, which means 1 each, is an empty array.

    ``all_zero`` allows weights that are all zero.
    """
    if sample_weight is None:
        return np.empty(0, dtype)
    sample_weight = to_host(sample_weight)
    if isinstance(sample_weight, Real):
        sample_weight = np.full(X.shape[0], sample_weight, dtype)
    weight = check_array(
        sample_weight, dtype=dtype, ensure_2d=False, order="C", input_name="sample_weight"
    )
    if weight.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {weight.ndim}D array.")
    if weight.shape[0] != X.shape[0]:
        raise ValueError(
            f"sample_weight.shape == {weight.shape}, expected {(X.shape[0],)}: one weight for each "
            "row of X."
        )
    if not all_zero:
        refuse_no_weight(weight)
    return weight


def refuse_no_weight(weight: NDArray[Any]) -> None:
    """Refuse weights that are all zero; an empty array stands for weights of 1."""
    if weight.shape[0] > 0 and not weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")


def refuse_extreme_weight(weight: NDArray[Any]) -> None:
    """Refuse weights whose sum leaves what float64 holds with all digits.

    Raises
    ------
    ValueError
        What the sum is, and what is allowed.
    """
    if weight.shape[0] == 0:
        return
    with np.errstate(over="ignore"):
        total = float(weight.sum(dtype=np.float64))
    if not LEAST_WEIGHT <= total <= LARGEST_WEIGHT:
        raise ValueError(
            f"sample_weight must add up to a number from {LEAST_WEIGHT:g} to {LARGEST_WEIGHT:g}, "
            f"got {total:.3g}: multiply all weights by a constant."
        )


def inverse_strength(C: float, mass: float) -> float:
    """Return 1 / (C mass), the penalty of a mean loss whose weights add up to ``mass``.

    Raises
    ------
    ValueError
        If C times the weights is too small to be divided by.
    """
    product = float(C) * mass
    if product < LEAST_WEIGHT:
        raise ValueError(
            f"C={C} times the sum of the weights, {mass:.3g}, must be at least {LEAST_WEIGHT:g}, "
            f"got {product:.3g}."
        )
    return 1.0 / product


def in_dtype(values: Any, dtype: Any) -> NDArray[Any]:
    """Return parameters in the dtype of X; in float64 where float32 cannot hold them."""
    wide = np.asarray(values, np.float64)
    return wide.astype(dtype) if fits_in(wide, dtype) else wide


def fits_in(values: Any, dtype: Any) -> bool:
    """Tell whether a dtype can hold parameters: their largest magnitude, that is."""
    if dtype == np.float64:
        return True
    largest = float(np.abs(values).max(initial=0.0))
    limits = np.finfo(dtype)
    return largest == 0.0 or float(limits.tiny) <= largest <= float(limits.max)


def check_targets(loss: Any, y: NDArray[Any]) -> None:
    """Refuse targets that the loss is not defined for.

    Raises
    ------
    ValueError
        If y holds a negative number, or a zero where the loss asks for positive ones.
    """
    allowed, least = domain_of(loss), y.min()
    if (allowed == NONNEGATIVE and least < 0) or (allowed == POSITIVE and least <= 0):
        raise ValueError(
            f"Some value(s) of y are out of the valid range of the loss {type(loss).__name__!r}: "
            f"y {'>=' if allowed == NONNEGATIVE else '>'} 0 is allowed, got a minimum of {least}."
        )


def encode_labels(y: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int32]:
    """Return each label's place in ``classes`` (sorted), a chunk at a time.

    Raises
    ------
    ValueError
        If y holds a label that is not among ``classes``; the message names it.
    """
    codes = np.empty(y.shape[0], np.int32)
    for start in range(0, y.shape[0], CHUNK):
        labels = y[start : start + CHUNK]
        places = np.minimum(np.searchsorted(classes, labels), classes.shape[0] - 1)
        is_unseen = classes[places] != labels
        if is_unseen.any():
            unseen = np.unique(labels[is_unseen])
            raise ValueError(
                f"y contains labels that are not among the classes: {unseen.tolist()}; the classes "
                f"are {classes.tolist()}. Training data, or the first call of partial_fit, must "
                "name all of them."
            )
        codes[start : start + CHUNK] = places
    return codes


def labels_of_some(y: Any) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Return the distinct labels of some of the rows, sorted, and each label's place among them.

    Raises
    ------
    ValueError
        If there are none, or they are no labels: missing, broken numbers, or words and numbers.
    """
    if y is None:
        raise ValueError("the rows have no targets: name the column of the target.")
    labels = np.asarray(y).ravel()
    if labels.dtype.kind == "f":
        assert_all_finite(labels, input_name="y")
        if np.any(labels != np.floor(labels)):
            check_classification_targets(labels)
    try:
        return classes_and_codes(labels)
    except TypeError:
        raise ValueError(
            "labels must all be words or all be numbers, and none may be missing, got objects that "
            "have no order."
        ) from None


def classes_and_codes(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Return the distinct labels, sorted, and each label's place among them.

    Whole numbers in a small range are counted, which takes a twentieth of the time of a sort.
    """
    if y.dtype.kind in "iu" and y.size > 0:
        wide = np.uint64 if y.dtype.kind == "u" else np.int64
        low, high = int(y.min()), int(y.max())
        if high - low < CHUNK:
            offsets = (y.astype(wide, copy=False) - wide(low)).astype(np.int64, copy=False)
            present = np.bincount(offsets) > 0
            places = present.cumsum(dtype=np.int32) - np.int32(1)
            classes = present.nonzero()[0].astype(wide, copy=False) + wide(low)
            return classes.astype(y.dtype, copy=False), places[offsets]
    classes, codes = np.unique(y, return_inverse=True)
    return classes, codes.astype(np.int32)


def binary_targets(codes: NDArray[np.int32], negative: float, dtype: Any) -> NDArray[Any]:
    """Return 1 for the second class and ``negative`` for the first, in the kernels' dtype."""
    return np.array([negative, 1.0], dtype)[codes]
