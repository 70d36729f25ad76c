"""Compile what is usually needed, before anybody waits for it."""

import warnings
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse as sp
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from tqdm.auto import tqdm

from fastgd import linear_model, neural_network
from fastgd._monitoring.display import not_announcing
from fastgd.kernels._jit import count_compiled
from fastgd.linear_model._solved import SolvedModel
from fastgd.neural_network._base import BaseNetwork

DTYPES = ("float32", "float64")
OPTIMIZERS = ("sgd", "adam")
BATCH_SIZES = (1, 16)
N_ROWS, N_FEATURES = 48, 4


class _Fit(NamedTuple):
    """A model, and how many classes its target has; 0 stands for numbers."""

    model: Any
    n_classes: int


def warmup(*, progress: bool = False, dtypes: Sequence[str] = DTYPES, sparse: bool = True) -> int:
    """Compile the kernels of usual fits, so that later processes read them from disk.

    Every estimator is fitted with its defaults, the stochastic ones with common losses, optimizers
    and batch sizes, too, on a few rows of made-up data; networks of dense layers are, and predict.
    What the cache on disk holds already is read, not compiled. Machine code depends on the
    processor: warm up where the models will run.

    Parameters
    ----------
    progress : bool, default=False
        Draw a progress bar on the standard error stream.
    dtypes : sequence of {"float32", "float64"}, default=("float32", "float64")
        Of X.
    sparse : bool, default=True
        Compile for CSR as well as for dense rows.

    Returns
    -------
    n_compiled : int
        Number of kernels that were compiled now.

    Raises
    ------
    ValueError
        If ``dtypes`` is empty or holds anything else.

    Examples
    --------
    >>> from fastgd._runtime.warmup import warmup
    >>> n_compiled = warmup(dtypes=["float64"], sparse=False)  # doctest: +SKIP
    """
    if not dtypes or not set(dtypes) <= set(DTYPES):
        raise ValueError(f"dtypes must hold 'float32', 'float64' or both, got {dtypes!r}.")
    before = count_compiled()
    layouts = (False, True) if sparse else (False,)
    fits = list(product(_usual_fits(), dtypes, layouts))
    with warnings.catch_warnings(), not_announcing():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FutureWarning)  # of defaults that scikit-learn will change
        for fit, dtype, is_sparse in tqdm(fits, "compiling", unit="fit", disable=not progress):
            for far in (False, True) if isinstance(fit.model, SolvedModel) else (False,):
                X, y = _data(fit.n_classes, dtype, is_sparse, far=far)
                if not fit.model.__sklearn_tags__().target_tags.single_output:
                    y = np.column_stack([y, y])
                fit.model.fit(X, y)
                if isinstance(fit.model, BaseNetwork):
                    fit.model.predict(X)
    return count_compiled() - before


def _usual_fits() -> Iterator[_Fit]:
    """Yield every estimator as it comes, and what users change first."""
    for name in linear_model.__all__:
        kind = getattr(linear_model, name)
        if not isinstance(kind, type):  # a function
            continue
        model = kind()
        yield from (_Fit(model, n) for n in ((2, 3) if is_classifier(model) else (0,)))
    for optimizer, batch_size in product(OPTIMIZERS, BATCH_SIZES):
        params: dict[str, Any] = {
            "optimizer": optimizer,
            "batch_size": batch_size,
            "random_state": 0,
        }
        yield _Fit(linear_model.SGDClassifier(loss="hinge", **params), 2)
        yield _Fit(linear_model.SGDClassifier(loss="log_loss", **params), 2)
        yield _Fit(linear_model.SGDClassifier(loss="log_loss", **params), 3)
        yield _Fit(linear_model.SGDRegressor(**params), 0)
    for n_classes in (2, 3):
        yield _Fit(neural_network.MLPClassifier(max_iter=2, random_state=0), n_classes)
    yield _Fit(neural_network.MLPRegressor(max_iter=2, random_state=0), 0)
    # what solver="auto" means where data are large
    for kind in (linear_model.PoissonRegressor, linear_model.GammaRegressor):
        yield _Fit(kind(alpha=0.0), 0)
    yield _Fit(linear_model.LogisticRegression(solver="sdca"), 2)
    yield _Fit(linear_model.SoftmaxRegression(solver="sdca"), 3)
    yield _Fit(linear_model.LinearSVC(solver="sdca"), 2)
    yield _Fit(linear_model.Ridge(solver="sdca"), 0)


def _data(n_classes: int, dtype: str, is_sparse: bool, *, far: bool) -> tuple[Any, Any]:
    """Return rows, and classes or positive numbers.

    A column ``far`` from zero is what methods for small data leave to those for large data.
    """
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_ROWS, N_FEATURES)).astype(dtype)
    X[:, 0] += 1e4 * far
    y = np.arange(N_ROWS) % n_classes if n_classes else rng.uniform(1.0, 2.0, N_ROWS)
    return (sp.csr_matrix(X) if is_sparse else X), y
