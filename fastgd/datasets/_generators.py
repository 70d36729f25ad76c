"""Data sets that are hard in a known way."""

from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

POSITIVE_INTEGER = [Interval(Integral, 1, None, closed="left")]
AT_LEAST_ZERO = [Interval(Real, 0, None, closed="left")]
SHARED = {
    "n_samples": POSITIVE_INTEGER,
    "n_features": POSITIVE_INTEGER,
    "coef": ["boolean"],
    "dtype": "no_validation",
    "random_state": ["random_state"],
}
TASK = [StrOptions({"regression", "classification"})]


@validate_params(
    {
        **SHARED,
        "condition_number": [Interval(Real, 1, None, closed="left")],
        "rotate": ["boolean"],
        "noise": AT_LEAST_ZERO,
        "task": TASK,
    },
    prefer_skip_nested_validation=True,
)
def make_ill_conditioned(
    n_samples: int = 1000,
    n_features: int = 20,
    *,
    condition_number: float = 1e3,
    rotate: bool = True,
    noise: float = 0.1,
    task: str = "regression",
    coef: bool = False,
    dtype: Any = np.float64,
    random_state: Any = None,
) -> tuple[NDArray[Any], ...]:
    """Make rows whose matrix has a given condition number.

    X is U S V' with orthonormal U and V and singular values that fall from 1 to
    1 / ``condition_number`` at equal ratios, times sqrt(n_samples). The columns of U are orthogonal
    to a column of ones, so that an intercept changes nothing.

    What makes it hard: the Hessian of least squares has the square of the condition number, and
    plain gradient descent needs about as many steps for each digit. Scaling the columns helps
    where ``rotate`` is False; where it is True, only a metric of all coefficients does, such as
    Newton's.

    Parameters
    ----------
    n_samples : int, default=1000
        More than ``n_features``.
    n_features : int, default=20
    condition_number : float, default=1e3
        Largest over smallest singular value of X, at least 1; exact but for the rounding of
        ``dtype``. 1 with one feature.
    rotate : bool, default=True
        Whether V is a random rotation; without one columns are orthogonal, and their norms fall.
    noise : float, default=0.1
        Standard deviation of what is added to X @ coef before the target is taken.
    task : {"regression", "classification"}, default="regression"
        Whether y is that number, or whether it is above zero.
    coef : bool, default=False
        Whether the true coefficients are returned.
    dtype : dtype, default=np.float64
        Of X, and of what else holds numbers: float32 or float64.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
        In ``dtype``; for classification 0 and 1.
    coef : ndarray of shape (n_features,)
        Independent standard normal numbers. Only if ``coef`` is True.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgd.datasets import make_ill_conditioned
    >>> X, y = make_ill_conditioned(condition_number=500, random_state=0)
    >>> round(float(np.linalg.cond(X)), 6)
    500.0
    """
    if n_samples <= n_features:
        raise ValueError(
            f"n_samples must be more than n_features, got {n_samples} and {n_features}."
        )
    _check_dtype(dtype)
    if n_features == 1 and condition_number != 1:
        raise ValueError(
            f"A single column has the condition number 1, got condition_number={condition_number}."
        )
    random = check_random_state(random_state)
    rows = random.standard_normal((n_samples, n_features))
    left = np.linalg.qr(rows - rows.mean(axis=0))[0]
    singular = np.geomspace(1.0, 1.0 / condition_number, n_features) * np.sqrt(n_samples)
    X = left * singular
    if rotate:
        X = X @ np.linalg.qr(random.standard_normal((n_features, n_features)))[0].T
    true = random.standard_normal(n_features)
    y = X @ true + noise * random.standard_normal(n_samples)
    y = y if task == "regression" else (y > 0.0).astype(np.int64)
    return _in_dtype(X, y, true, dtype, coef=coef)


@validate_params(
    {**SHARED, "margin": [Interval(Real, 0, None, closed="neither")]},
    prefer_skip_nested_validation=True,
)
def make_separable(
    n_samples: int = 1000,
    n_features: int = 20,
    *,
    margin: float = 0.1,
    coef: bool = False,
    dtype: Any = np.float64,
    random_state: Any = None,
) -> tuple[NDArray[Any], ...]:
    """Make two classes that a hyperplane separates with a given margin.

    Rows are standard normal, but for their distance from a hyperplane through the origin: all of a
    class lie on its side of it, the nearest at exactly ``margin``.

    What makes it hard: without a penalty the logistic loss has no minimum, and coefficients grow
    for ever; with a weak one, they have far to go. The perceptron makes at most
    (max |x| / margin)^2 mistakes on these rows.

    Parameters
    ----------
    n_samples : int, default=1000
        Even and odd rows are of different classes before they are shuffled, so that classes
        are balanced; at least 2.
    n_features : int, default=20
    margin : float, default=0.1
        Distance of the nearest rows from the hyperplane, > 0. Another hyperplane may have more.
    coef : bool, default=False
        Whether the hyperplane's unit normal is returned.
    dtype : dtype, default=np.float64
        Of X, and of what else holds numbers: float32 or float64.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
        0 and 1: the side on which X @ coef is positive.
    coef : ndarray of shape (n_features,)
        Of length 1. Only if ``coef`` is True.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgd.datasets import make_separable
    >>> X, y, coef = make_separable(margin=0.5, coef=True, random_state=0)
    >>> round(float(np.abs(X @ coef).min()), 6)
    0.5
    """
    if n_samples < 2:
        raise ValueError(f"n_samples must be 2 or more, one of each class, got {n_samples}.")
    _check_dtype(dtype)
    random = check_random_state(random_state)
    true = random.standard_normal(n_features)
    true /= np.linalg.norm(true)
    X = random.standard_normal((n_samples, n_features))
    y = random.permutation(np.arange(n_samples) % 2)
    along = X @ true
    distance = np.abs(along)
    for label in (0, 1):
        distance[y == label] += margin - distance[y == label].min()
    X += np.outer((2 * y - 1) * distance - along, true)
    return _in_dtype(X, y, true, dtype, coef=coef)


@validate_params(
    {
        **SHARED,
        "n_words": [Interval(Real, 0, None, closed="neither")],
        "exponent": [Interval(Real, 0, None, closed="left")],
        "noise": AT_LEAST_ZERO,
        "task": TASK,
    },
    prefer_skip_nested_validation=True,
)
def make_sparse(
    n_samples: int = 10_000,
    n_features: int = 100_000,
    *,
    n_words: float = 80.0,
    exponent: float = 1.0,
    noise: float = 0.5,
    task: str = "classification",
    coef: bool = False,
    dtype: Any = np.float64,
    random_state: Any = None,
) -> tuple[Any, ...]:
    """Make sparse rows that are like texts, weighted by tf-idf.

    The words of a row are drawn with Zipf's law: column k with a probability in proportion to
    (k + 1)^-exponent. Counts become 1 + log(count), times the inverse document frequency, and rows
    have length 1 (scikit-learn's ``TfidfTransformer``). X is never dense.

    What makes it hard: few columns are in most of the rows, most columns in next to none. Rare
    columns are met once in many steps, and a step must not cost time for those that are absent.

    Parameters
    ----------
    n_samples : int, default=10_000
    n_features : int, default=100_000
        Columns; those that no row has are empty.
    n_words : float, default=80.0
        Mean number of words of a row, repeated ones included. It follows a Poisson distribution,
        with at least one word.
    exponent : float, default=1.0
        Of Zipf's law; 0 makes all columns alike. Natural languages have about 1.
    noise : float, default=0.5
        Standard deviation of what is added to X @ coef before the target is taken, in units of
        that of X @ coef.
    task : {"classification", "regression"}, default="classification"
        Whether y is if that number is above its median, or the number.
    coef : bool, default=False
        Whether the true coefficients are returned.
    dtype : dtype, default=np.float64
        Of X, and of what else holds numbers: float32 or float64.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X : csr_matrix of shape (n_samples, n_features)
        Indices are sorted, and int32 where they fit.
    y : ndarray of shape (n_samples,)
        0 and 1; for regression numbers, in ``dtype``.
    coef : ndarray of shape (n_features,)
        Independent standard normal numbers. Only if ``coef`` is True.

    Examples
    --------
    >>> from fastgd.datasets import make_sparse
    >>> X, y = make_sparse(1000, 50_000, random_state=0)
    >>> X.format, X.shape, X.nnz < 80_000
    ('csr', (1000, 50000), True)
    """
    _check_dtype(dtype)
    random = check_random_state(random_state)
    lengths = np.maximum(random.poisson(n_words, n_samples), 1)
    X = sp.csr_matrix(
        (
            np.ones(lengths.sum(), dtype),
            _zipf(int(lengths.sum()), n_features, exponent, random),
            np.concatenate([[0], np.cumsum(lengths)]),
        ),
        shape=(n_samples, n_features),
    )
    X.sum_duplicates()
    X = TfidfTransformer(sublinear_tf=True).fit_transform(X)
    true = random.standard_normal(n_features)
    raw = X @ true
    raw = raw + noise * raw.std() * random.standard_normal(n_samples)
    y = raw if task == "regression" else (raw > np.median(raw)).astype(np.int64)
    return _in_dtype(X, y, true, dtype, coef=coef)


def _zipf(size: int, n_features: int, exponent: float, random: Any) -> NDArray[np.int64]:
    """Draw columns, k with a probability in proportion to (k + 1)^-exponent."""
    cumulated = np.cumsum(np.arange(1, n_features + 1, dtype=np.float64) ** -exponent)
    drawn = random.random_sample(size) * cumulated[-1]
    return np.minimum(np.searchsorted(cumulated, drawn, side="right"), n_features - 1)


def _check_dtype(dtype: Any) -> None:
    if np.dtype(dtype) not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype must be float32 or float64, got {dtype!r}.")


def _in_dtype(
    X: Any, y: NDArray[Any], true: NDArray[np.float64], dtype: Any, *, coef: bool
) -> tuple[Any, ...]:
    """Return X, a target of numbers and, if they are asked for, coefficients in a dtype."""
    y = y.astype(dtype, copy=False) if y.dtype.kind == "f" else y
    made = X.astype(dtype, copy=False), y
    return (*made, true.astype(dtype, copy=False)) if coef else made
