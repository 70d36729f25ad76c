"""A stream of rows whose concept drifts, for ``partial_fit``."""

from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from fastgd.datasets._generators import (
    AT_LEAST_ZERO,
    POSITIVE_INTEGER,
    SHARED,
    TASK,
    _check_dtype,
    _in_dtype,
)


@validate_params(
    {
        **SHARED,
        "chunk_size": POSITIVE_INTEGER,
        "drift": [StrOptions({"gradual", "abrupt"})],
        "angle": [Interval(Real, None, None, closed="neither")],
        "period": POSITIVE_INTEGER,
        "noise": AT_LEAST_ZERO,
        "task": TASK,
    },
    prefer_skip_nested_validation=True,
)
def drifting_stream(
    n_samples: int = 100_000,
    n_features: int = 20,
    *,
    chunk_size: int = 1000,
    drift: str = "gradual",
    angle: float = 0.05,
    period: int = 20,
    noise: float = 0.1,
    task: str = "classification",
    coef: bool = False,
    dtype: Any = np.float64,
    random_state: Any = None,
) -> Iterator[tuple[NDArray[Any], ...]]:
    """Make a stream of chunks whose true coefficients change, for ``partial_fit``.

    Rows are standard normal; the target depends on X @ coef, and coef, of length 1, is a rotating
    hyperplane [1]_, or jumps.

    What makes it hard: what was learned grows wrong. A rate that falls quickly follows less and
    less, and so does the mean of the iterates; a constant rate follows, and pays with noise.

    Parameters
    ----------
    n_samples : int, default=100_000
        Rows in all; the last chunk holds those that are left.
    n_features : int, default=20
        2 or more.
    chunk_size : int, default=1000
        Rows in a chunk.
    drift : {"gradual", "abrupt"}, default="gradual"
        Whether coef turns in a plane from chunk to chunk, or is drawn anew now and then.
    angle : float, default=0.05
        Radians by which it turns from a chunk to the next, for gradual drift; 0 stands still.
    period : int, default=20
        Chunks between two jumps, for abrupt drift.
    noise : float, default=0.1
        Share of labels that are wrong, at most 0.5; for regression the standard deviation of what
        is added to X @ coef.
    task : {"classification", "regression"}, default="classification"
        Whether y is if X @ coef is above zero, or the number.
    coef : bool, default=False
        Whether each chunk comes with its true coefficients.
    dtype : dtype, default=np.float64
        Of X, and of what else holds numbers: float32 or float64.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    chunks : iterator of tuples
        X of shape (chunk_size, n_features), y of shape (chunk_size,), 0 and 1 or numbers, and with
        ``coef`` the true coefficients of shape (n_features,).

    References
    ----------
    .. [1] Hulten, Spencer & Domingos, "Mining Time-Changing Data Streams", 2001, section 4.

    Examples
    --------
    >>> from fastgd import SGDClassifier
    >>> from fastgd.datasets import drifting_stream
    >>> model = SGDClassifier(learning_rate="constant", eta0=0.01, random_state=0)
    >>> for X, y in drifting_stream(10_000, random_state=0):
    ...     model = model.partial_fit(X, y, classes=[0, 1])
    """
    if n_features < 2:
        raise ValueError(f"n_features must be 2 or more, to turn in a plane; got {n_features}.")
    if task == "classification" and noise > 0.5:
        raise ValueError(f"noise must be a share of labels, at most 0.5, got {noise}.")
    _check_dtype(dtype)
    random = check_random_state(random_state)
    sizes = [min(chunk_size, n_samples - first) for first in range(0, n_samples, chunk_size)]
    concepts = (
        _turning(n_features, angle, random)
        if drift == "gradual"
        else _jumping(n_features, period, random)
    )
    return (
        _in_dtype(*_chunk(size, true, noise, task, random), true, dtype, coef=coef)
        for size, true in zip(sizes, concepts, strict=False)
    )


def _turning(n_features: int, angle: float, random: Any) -> Iterator[NDArray[np.float64]]:
    """Yield unit vectors, each turned by an angle in one plane."""
    first, second = np.linalg.qr(random.standard_normal((n_features, 2)))[0].T
    turned = 0.0
    while True:
        yield np.cos(turned) * first + np.sin(turned) * second
        turned += angle


def _jumping(n_features: int, period: int, random: Any) -> Iterator[NDArray[np.float64]]:
    """Yield unit vectors, each as often as a period is long."""
    while True:
        true = random.standard_normal(n_features)
        true /= np.linalg.norm(true)
        for _ in range(period):
            yield true


def _chunk(
    size: int, true: NDArray[np.float64], noise: float, task: str, random: Any
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    X = random.standard_normal((size, true.shape[0]))
    raw = X @ true
    if task == "regression":
        return X, raw + noise * random.standard_normal(size)
    is_wrong = random.random_sample(size) < noise
    return X, ((raw > 0.0) ^ is_wrong).astype(np.int64)
