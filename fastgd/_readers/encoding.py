"""What a fitted preparation makes of rows, from the codes that words were read as.

scikit-learn's transformer looks each cell of a column up; here each different word is, once.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

NUMBERS, CATEGORIES = "numbers", "categories"  # the branches of the transformer of a table
SLICE_ROWS = 1 << 14  # rows that are laid out at once: bounds the scratch
FULL = 0.75  # the share of numbers other than zero from which on to pick them takes too long


class Encoder:
    """A transformer's ``transform``, with the same numbers.

    Parameters
    ----------
    transformer : fitted transformer or None
        What ``summary.preparation`` returned, or a model file holds.
    """

    def __init__(self, transformer: Any) -> None:
        self._transformer = transformer

    def transform(self, X: Any) -> Any:
        """Return rows as the model is given them."""
        if self._transformer is None:
            return X
        if not self._knows(X):
            return self._transformer.transform(X)
        return self._encoded(X)

    def _knows(self, X: Any) -> bool:
        """Tell whether these are columns of codes, and branches as they are made here."""
        if not hasattr(self._transformer, "transformers_") or not hasattr(X, "dtypes"):
            return False
        branches = dict(self._branches())
        others = set(branches) - {NUMBERS, CATEGORIES}
        if CATEGORIES not in branches or (others and not self._transformer.sparse_output_):
            return False
        names = self._names(CATEGORIES)
        return len(names) == sum(hasattr(X[name], "cat") for name in names)

    def _branches(self) -> list[tuple[str, Any]]:
        return [(name, part) for name, part, _ in self._transformer.transformers_]

    def _names(self, branch: str) -> list[str]:
        columns = self._transformer._transformer_to_input_indices[branch]
        return [str(name) for name in self._transformer.feature_names_in_[columns]]

    def _encoded(self, X: Any) -> Any:
        branches = dict(self._branches())
        numbers = np.empty((len(X), 0))
        if NUMBERS in branches:
            numbers = _prepared(branches[NUMBERS], X[self._names(NUMBERS)])
        known = branches[CATEGORIES].categories_
        starts = numbers.shape[1] + np.cumsum([0, *map(len, known)])
        codes = np.empty((len(X), len(known)), np.int32)
        for k, name in enumerate(self._names(CATEGORIES)):
            column = X[name].cat
            places = np.append(_places(column.categories.to_numpy(object), known[k]), -1)
            found = places[column.codes.to_numpy()]
            codes[:, k] = np.where(found < 0, -1, found + starts[k])
        width = int(starts[-1])
        if self._transformer.sparse_output_:
            texts = [
                branches[name].transform(X[self._names(name)[0]])
                for name in branches
                if name not in (NUMBERS, CATEGORIES)
            ]
            made = _sparse(numbers, codes, width)
            return sp.hstack([made, *texts], format="csr") if texts else made
        return _dense(numbers, codes, width)


def _prepared(part: Any, numbers: Any) -> NDArray[np.float64]:
    """Return numbers as their branch makes them, without its copies: it fills gaps, or scales."""
    values = numbers.to_numpy()
    means = getattr(part, "statistics_", None)
    if means is not None and not (np.isnan(means).any() or np.isnan(values).any()):
        return np.asarray(values, np.float64)
    if isinstance(part, Pipeline) and [name for name, _ in part.steps] == ["scale", "impute"]:
        scaler = part.steps[0][1]
        if np.isfinite(scaler.mean_).all() and np.isfinite(scaler.scale_).all():
            return _scaled(values, scaler)
    return np.asarray(part.transform(numbers), np.float64)


def _scaled(values: NDArray[Any], scaler: Any) -> NDArray[np.float64]:
    """Return numbers less their means, in units of their deviations; gaps are filled with zeros."""
    made = np.subtract(values, scaler.mean_, order="C")
    made /= scaler.scale_
    made[np.isnan(made)] = 0.0
    return made


def _places(words: NDArray[Any], known: NDArray[Any]) -> NDArray[np.int64]:
    """Return the places of words among those that are known, which are sorted; -1 for others."""
    known = known.astype(object)
    places = np.minimum(np.searchsorted(known, words), len(known) - 1)
    return np.where(known[places] == words, places, -1).astype(np.int64)


def _dense(numbers: NDArray[Any], codes: NDArray[np.int32], width: int) -> NDArray[np.float64]:
    made = np.zeros((len(numbers), width))
    made[:, : numbers.shape[1]] = numbers
    rows, columns = np.nonzero(codes >= 0)
    made[rows, codes[rows, columns]] = 1.0
    return made


def _sparse(numbers: NDArray[Any], codes: NDArray[np.int32], width: int) -> Any:
    """Return rows that store what is not zero; where few of the numbers are, zeros as well."""
    is_full = np.count_nonzero(numbers) >= FULL * numbers.size and bool((codes >= 0).all())
    lengths, indices, values = (_all_of if is_full else _non_zeros)(numbers, codes)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    whole = np.int32 if max(int(indptr[-1]), width) < 2**31 else np.int64
    arrays = (values, indices.astype(whole, copy=False), indptr.astype(whole))
    made = sp.csr_matrix(arrays, shape=(len(numbers), width))
    made.has_canonical_format = True
    return made


def _all_of(numbers: NDArray[Any], codes: NDArray[np.int32]) -> tuple[NDArray[Any], ...]:
    """Return how many numbers each row stores, their columns and values: all there are."""
    n_rows, n_numbers = numbers.shape
    columns = np.empty((n_rows, n_numbers + codes.shape[1]), np.int32)
    columns[:, :n_numbers] = np.arange(n_numbers)
    columns[:, n_numbers:] = codes
    values = np.empty(columns.shape)
    values[:, :n_numbers] = numbers
    values[:, n_numbers:] = 1.0
    return np.full(n_rows, columns.shape[1]), columns.reshape(-1), values.reshape(-1)


def _non_zeros(numbers: NDArray[Any], codes: NDArray[np.int32]) -> tuple[NDArray[Any], ...]:
    """Do the same with what is not zero, some rows at a time."""
    parts = []
    for first in range(0, max(len(numbers), 1), SLICE_ROWS):
        part = slice(first, first + SLICE_ROWS)
        _, columns, values = _all_of(numbers[part], codes[part])
        is_stored = ((values != 0.0) & (columns >= 0)).reshape(len(numbers[part]), -1)
        flat = is_stored.reshape(-1)
        parts.append((is_stored.sum(axis=1), columns[flat], values[flat]))
    lengths, indices, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    return lengths, indices, values


def parts_of(pipeline: Pipeline) -> tuple[Encoder, Any]:
    """Return what prepares rows in a fitted pipeline, and the model behind it."""
    before = [step for _, step in pipeline.steps[:-1]]
    if len(before) > 1:
        return Encoder(pipeline[:-1]), pipeline.steps[-1][1]
    return Encoder(before[0] if before else None), pipeline.steps[-1][1]
