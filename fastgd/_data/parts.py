"""Data sets that come in parts, as an estimator's methods meet them in place of X.

Two kinds are known: a ``RowSource`` (``fastgd.datasets.open``), and the collections of Dask.
"""

import copy
import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from numpy.typing import NDArray

from fastgd._data.chunks import Chunks, filled, stacked
from fastgd._data.row_source import RowSource
from fastgd._data.shards import ChunkShards, Shards
from fastgd._runtime.devices import is_dispatched, is_on_device, predicted, to_host

Method = TypeVar("Method", bound=Callable[..., Any])


def is_collection(X: Any) -> bool:
    """Tell whether X is a collection of Dask's, or a list of what will be partitions."""
    if isinstance(X, list):
        return len(X) > 0 and all(map(_is_promise, X))
    return hasattr(X, "to_delayed") or _is_promise(X)


def _is_promise(part: Any) -> bool:
    """Tell whether something is one of Dask's delayed values or futures."""
    return type(part).__module__.startswith(("dask.delayed", "distributed."))


def is_in_parts(X: Any) -> bool:
    """Tell whether X is a data set that comes in parts."""
    return isinstance(X, RowSource) or is_collection(X)


def shards_of(X: Any, y: Any = None, sample_weight: Any = None) -> Shards:
    """Return the shards of a data set that comes in parts.

    Raises
    ------
    ValueError
        If y or the weights are given apart from rows that hold them, or are no collection.
    """
    if isinstance(X, RowSource):
        _refuse_apart(y, sample_weight)
        return ChunkShards(X, X.feature_names)
    from fastgd._distributed.collections import DaskShards

    return DaskShards(X, y, sample_weight)


def chunks_of(X: Any, y: Any = None, sample_weight: Any = None) -> Chunks:
    """Return the chunks of a data set that comes in parts, for steps on one after the other."""
    if isinstance(X, RowSource):
        _refuse_apart(y, sample_weight)
        return X
    if sample_weight is not None:
        raise ValueError(
            "sample_weight: stochastic estimators take no weights of a collection's rows; "
            "estimators without a learning rate do."
        )
    from fastgd._distributed.collections import DaskChunks

    return DaskChunks(X, y)


def _refuse_apart(y: Any, sample_weight: Any) -> None:
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(
                f"{name} must be None where X is a RowSource, which holds its targets: "
                "fastgd.datasets.open(..., target=...)."
            )


def refuse_all_rows(argument: str, instead: str) -> None:
    """Refuse an argument that needs all rows at once.

    Raises
    ------
    ValueError
        What takes data sets in parts instead.
    """
    raise ValueError(
        f"{argument} needs all rows in memory; data sets in parts are taken with {instead}."
    )


def refuse_parts(estimator: Any, X: Any) -> None:
    """Refuse a data set in parts where all rows are needed at once.

    Raises
    ------
    TypeError
        What takes it instead.
    """
    if is_in_parts(X):
        raise TypeError(
            f"{type(estimator).__name__} needs all rows in memory here. Data sets in parts are "
            "taken by fit and predict of the estimators of fastgd.linear_model and "
            "fastgd.neural_network."
        )


def learn_columns(estimator: Any, names: NDArray[Any] | None, n_features: int) -> None:
    """Set how many columns rows in parts have, and their names where they have some."""
    vars(estimator).pop("feature_names_in_", None)
    estimator.n_features_in_ = n_features
    if names is not None:
        estimator.feature_names_in_ = names


def refuse_other_names(estimator: Any, X: RowSource) -> None:
    """Refuse columns that are not those of the fit, where both have names.

    Raises
    ------
    ValueError
    """
    known, names = getattr(estimator, "feature_names_in_", None), X.feature_names
    if known is None or names is None or list(known) == list(names):
        return
    unseen = [name for name in names if name not in set(known)]
    lacking = [name for name in known if name not in set(names)]
    raise ValueError(
        "The columns are not those of the fit: "
        + (f"unknown are {unseen[:5]}, " if unseen else "")
        + (f"missing are {lacking[:5]}." if lacking else "they come in another order.")
    )


@contextmanager
def named(estimator: Any, chunks: Chunks) -> Iterator[None]:
    """Let an estimator be trained on chunks, which are arrays, and know their columns' names."""
    names = getattr(chunks, "feature_names", None)
    known = vars(estimator).pop("feature_names_in_", None)
    if known is not None and names is not None and list(known) != list(names):
        raise ValueError(f"the columns are {list(names)[:5]} ..., and were {list(known)[:5]} ...")
    yield
    if names is not None or known is not None:
        estimator.feature_names_in_ = known if names is None else names


def by_parts(method: Method) -> Method:
    """Let a method of X alone take data sets that come in parts: part by part.

    For a ``RowSource`` the results are put together; for a collection they are one of Dask's.
    """

    @functools.wraps(method)
    def over_parts(self: Any, X: Any) -> Any:
        if isinstance(X, Fetched):
            return to_host(over_parts(self, X.rows))
        if isinstance(X, RowSource):
            refuse_other_names(self, X)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "X does not have valid feature names")
                found = [method(self, part) for part, _ in X.read(filled(X))]
            if not found:
                raise ValueError("there are no rows to predict for.")
            return stacked(found)
        if is_collection(X):
            from fastgd._distributed.collections import mapped

            # a later fit changes no prediction that is yet to be computed
            return mapped(functools.partial(method, copy.copy(self)), X)
        if is_on_device(X) or is_dispatched(X):
            return predicted(method, self, X)
        return method(self, X)

    return over_parts  # type: ignore[return-value]


class Fetched:
    """Rows on a device, predictions for which are copied to the host.

    Parameters
    ----------
    rows : array on a device
    """

    def __init__(self, rows: Any) -> None:
        self.rows = rows


def fetched(*given: Any) -> tuple[Any, ...]:
    """Return X, y and what comes with them as a metric of the host's takes them.

    Where X lies on a device, predictions are made there, and copied from there.
    """
    X, *others = given
    rows = Fetched(X) if is_on_device(X) else X
    return rows, *(to_host(one) if is_on_device(one) else one for one in others)


class ScoredAnywhere:
    """Base class of estimators whose score is scikit-learn's, of rows and targets anywhere."""

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy of a classifier's predictions, R^2 of a regressor's.

        Predictions are made where X lies, and scored on the host.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        rows, y, weight = fetched(X, y, sample_weight)
        found: float = super().score(rows, y, sample_weight=weight)  # type: ignore[misc]
        return found
