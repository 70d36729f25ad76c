"""Which rows of a data set in parts each fold of a cross-validation holds out.

Folds are those of scikit-learn's ``KFold`` and ``StratifiedKFold`` without shuffling: neighbouring
rows, of all rows or of each class. So a row's fold follows from its place among all rows, or among
those of its class, and from how many of them there are; both are counted in a pass, and no list of
rows is kept.
"""

import warnings
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold

from fastgd._data.shards import Rows
from fastgd._data.validation import encode_labels, labels_of_some

FOLDS = 5  # scikit-learn's default


class Counts(NamedTuple):
    """What there is to count of rows before they are held out.

    sizes : dict of a shard's number to its number of rows
    labels : dict of a shard's number to its labels, how many rows have each, and where the first
        of them is; empty for numbers
    """

    sizes: dict[int, int]
    labels: dict[int, tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]]


def counts_of(rows: Rows, classifies: bool) -> Counts:
    """Return what there is to count of a shard."""
    n = int(rows.X.shape[0])
    if not classifies:
        return Counts({rows.shard: n}, {})
    labels, codes = labels_of_some(np.asarray(rows.y))
    counts = np.bincount(codes, minlength=labels.shape[0]).astype(np.int64)
    first = np.unique(codes, return_index=True)[1].astype(np.int64)
    return Counts({rows.shard: n}, {rows.shard: (labels, counts, first)})


def counts_of_both(first: Counts, second: Counts) -> Counts:
    """Return what there is to count of two sets of shards."""
    return Counts({**first.sizes, **second.sizes}, {**first.labels, **second.labels})


class HeldOut(NamedTuple):
    """Folds of rows in shards.

    n_folds : int
    classes : ndarray, whose rows are divided class by class; empty where all rows are alike
    before : dict of a shard's number to (n_classes,), how many rows of each class come before it
    ends : (n_classes, n_folds), where among the rows of a class each fold ends
    """

    n_folds: int
    classes: NDArray[Any]
    before: dict[int, NDArray[np.int64]]
    ends: NDArray[np.int64]

    def folds_of(self, rows: Rows) -> NDArray[np.int64]:
        """Return the number of the fold that holds each row out."""
        before = self.before[rows.shard]
        if self.classes.shape[0] == 0:
            places = before[0] + np.arange(rows.X.shape[0])
            return np.searchsorted(self.ends[0], places, side="right")
        codes = encode_labels(np.asarray(rows.y).ravel(), self.classes)
        found = np.empty(codes.shape[0], np.int64)
        for c in np.unique(codes):
            own = np.flatnonzero(codes == c)
            places = before[c] + np.arange(own.shape[0])
            found[own] = np.searchsorted(self.ends[c], places, side="right")
        return found


def held_out_by(cv: Any, counts: Counts, *, classifies: bool) -> HeldOut:
    """Return the folds that ``cv`` stands for.

    Parameters
    ----------
    cv : None, int, KFold or StratifiedKFold
        As in scikit-learn; without shuffling.
    counts : Counts
        Of all shards.
    classifies : bool
        Whether a number means folds of each class.

    Raises
    ------
    ValueError
        If it is another kind of splitter, or there are more folds than rows, or rows of any class.
    """
    n_folds, by_class = _meant(cv, classifies=classifies)
    shards = sorted(counts.sizes)
    if not by_class:
        sizes = np.array([counts.sizes[k] for k in shards], np.int64)
        starts, n = np.cumsum(sizes) - sizes, int(sizes.sum())
        if n_folds > n:
            raise ValueError(
                f"Cannot have number of splits n_splits={n_folds} greater than the number of "
                f"samples: n_samples={n}."
            )
        own = n // n_folds + (np.arange(n_folds) < n % n_folds)
        before = {k: starts[i : i + 1] for i, k in enumerate(shards)}
        return HeldOut(n_folds, np.empty(0), before, np.cumsum(own)[None])
    return _by_class(n_folds, counts, shards)


def _meant(cv: Any, *, classifies: bool) -> tuple[int, bool]:
    """Return the number of folds, and whether each class is divided by itself."""
    if cv is None or isinstance(cv, Integral):
        n_folds = FOLDS if cv is None else int(cv)
        if n_folds < 2:
            raise ValueError(f"cv must be 2 folds or more, got {cv!r}.")
        return n_folds, classifies
    kind = type(cv)
    if kind in (KFold, StratifiedKFold) and not cv.shuffle:
        if kind is StratifiedKFold and not classifies:
            raise ValueError("StratifiedKFold needs labels, and these targets are numbers.")
        return int(cv.get_n_splits()), kind is StratifiedKFold
    raise ValueError(
        f"cv={cv!r} needs all rows in memory; data sets in parts are taken with a number of folds, "
        "KFold(k) or StratifiedKFold(k), which hold neighbouring rows out."
    )


def _by_class(n_folds: int, counts: Counts, shards: list[int]) -> HeldOut:
    """Return folds of each class's rows, as many of each as ``StratifiedKFold`` has."""
    classes = np.unique(np.concatenate([counts.labels[k][0] for k in shards]))
    C, n_before = classes.shape[0], 0
    total, first = np.zeros(C, np.int64), np.full(C, np.iinfo(np.int64).max)
    before = {}
    for k in shards:
        labels, own, firsts = counts.labels[k]
        at = np.searchsorted(classes, labels)
        before[k] = total.copy()
        total[at] += own
        first[at] = np.minimum(first[at], n_before + firsts)
        n_before += counts.sizes[k]
    _refuse_few(n_folds, total)
    order = np.argsort(first, kind="stable")  # scikit-learn numbers classes as they appear
    ends = np.empty((C, n_folds), np.int64)
    start, folds = 0, np.arange(n_folds)
    for c in order:
        stop = start + int(total[c])
        own = -((folds - stop) // n_folds) + ((folds - start) // n_folds)
        ends[c], start = np.cumsum(own), stop
    return HeldOut(n_folds, classes, before, ends)


def _refuse_few(n_folds: int, total: NDArray[np.int64]) -> None:
    if np.all(n_folds > total):
        raise ValueError(
            f"n_splits={n_folds} cannot be greater than the number of members in each class."
        )
    if n_folds > total.min():
        warnings.warn(
            f"The least populated class in y has only {total.min()} members, which is less than "
            f"n_splits={n_folds}.",
            UserWarning,
            stacklevel=6,
        )
