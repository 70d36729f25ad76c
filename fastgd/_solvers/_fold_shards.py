"""Folds of rows in shards: the same shards without what a fold holds out, and scores of that.

Each fold and each strength is a problem of its own. Their solvers ask for passes together
(``_together``), first those of a fold, for which its rows are chosen once, then all folds.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit, log_softmax

from fastgd._data.held_out import Counts, HeldOut, counts_of, counts_of_both
from fastgd._data.shards import Rows, Shards, added
from fastgd._data.validation import encode_labels
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._shard_sums import Kind, Look, validated
from fastgd._solvers._sharded import look
from fastgd._solvers._together import together

T = TypeVar("T")
Floats = NDArray[np.float64]
LEAST_PROBABILITY = float(np.finfo(np.float64).eps)  # as scikit-learn's log_loss has it


class FoldShards:
    """Rows in shards without those that a fold holds out; labels are their places among classes.

    Parameters
    ----------
    shards : Shards
    held_out : HeldOut
    f : int
        The fold's number.
    classes : ndarray
        All labels, in order.
    """

    def __init__(self, shards: Shards, held_out: HeldOut, f: int, classes: NDArray[Any]) -> None:
        self._shards, self._chosen = (
            shards,
            partial(_fitted, held_out=held_out, f=f, classes=classes),
        )
        self.names, self.spent = shards.names, shards.spent
        if hasattr(shards, "n_shards"):
            self.n_shards = shards.n_shards

    def total(self, part: Callable[[Rows], T], add: Callable[[T, T], T]) -> T:
        """Return ``part`` of each shard that has rows left, added up in the shards' order."""
        of_left = partial(_of_left, part=part, chosen=self._chosen)
        found = self._shards.total(of_left, partial(_added_some, add=add))
        if found is None:
            raise ValueError("there are no rows to fit in a fold.")
        return found


def _fitted(rows: Rows, held_out: HeldOut, f: int, classes: NDArray[Any]) -> Rows:
    """Return the rows of a shard that a fold is fitted to."""
    left = np.flatnonzero(held_out.folds_of(rows) != f)
    y = encode_labels(np.asarray(rows.y).ravel(), classes)
    if left.shape[0] == y.shape[0]:
        return rows._replace(y=y)
    weight = None if rows.weight is None else np.asarray(rows.weight)[left]
    return rows._replace(X=_some(rows.X, left), y=y[left], weight=weight)


def _some(X: Any, chosen: NDArray[np.int64]) -> Any:
    """Return some rows, which mostly lie beside each other."""
    n = chosen.shape[0]
    if n > 0 and chosen[-1] - chosen[0] == n - 1:
        return X[int(chosen[0]) : int(chosen[-1]) + 1]
    return X[chosen]


def _of_left(rows: Rows, part: Callable[[Rows], T], chosen: Callable[[Rows], Rows]) -> T | None:
    left = chosen(rows)
    return part(left) if left.y.shape[0] > 0 else None


def _added_some(first: Any, second: Any, add: Callable[[Any, Any], Any]) -> Any:
    if first is None or second is None:
        return second if first is None else first
    return add(first, second)


def look_and_count(shards: Shards, seed: int) -> tuple[Look, Kind, Counts]:
    """Take the pass that tells what labelled rows there are, and how many of each."""

    def looked(own: Shards) -> Any:
        return look(own, classifies=True, loss=None, seed=seed)

    def counted(own: Shards) -> Any:
        return own.total(partial(counts_of, classifies=True), counts_of_both)

    with one_blas_thread():
        (seen, kind), counts = together(shards, [looked, counted])
    return seen, kind, counts


def look_at_folds(
    shards: Shards, held_out: HeldOut, classes: NDArray[Any], seed: int
) -> list[tuple[Look, Kind]]:
    """Take the pass that tells what rows each fold is fitted to.

    Labels are 0, 1, ...; those that a fold has not count as having no rows.
    """

    def looker(f: int) -> Callable[[Shards], tuple[Look, Kind]]:
        def looked(own: Shards) -> tuple[Look, Kind]:
            rows = FoldShards(own, held_out, f, classes)
            seen, kind = look(rows, classifies=True, loss=None, seed=seed)
            return _with_all(seen, classes.shape[0]), kind

        return looked

    with one_blas_thread():
        return together(shards, [looker(f) for f in range(held_out.n_folds)])


def _with_all(seen: Look, n_classes: int) -> Look:
    """Return what is known of rows, with the labels 0, 1, ... all named."""
    masses, counts = np.zeros(n_classes), np.zeros(n_classes, np.int64)
    masses[seen.classes], counts[seen.classes] = seen.masses, seen.counts
    return seen._replace(classes=np.arange(n_classes), masses=masses, counts=counts)


def solve_folds(
    shards: Shards,
    held_out: HeldOut,
    classes: NDArray[Any],
    solvers: Sequence[Sequence[Callable[[Shards], T]]],
    most: int,
) -> list[list[T]]:
    """Return what the solvers of each fold make of its rows; each pass serves all of them.

    ``most`` of a fold's solvers run at a time.
    """

    def of_fold(f: int) -> Callable[[Shards], list[T]]:
        def solved(own: Shards) -> list[T]:
            return together(FoldShards(own, held_out, f, classes), solvers[f], most)

        return solved

    with one_blas_thread():
        return together(shards, [of_fold(f) for f in range(held_out.n_folds)])


class Scores(NamedTuple):
    """Sums of the scores of held-out rows, (n_folds, n_models), and of their weights."""

    total: Floats
    mass: Floats


class Judged(NamedTuple):
    """What is scored of held-out rows.

    held_out : HeldOut
    kind : Kind
    classes : ndarray
    coefs : (n_folds, n_models, K, n_features), K being 1 for two classes
    intercepts : (n_folds, n_models, K)
    is_accuracy : bool, whether it is the share of right labels, or the log of probabilities
    """

    held_out: HeldOut
    kind: Kind
    classes: NDArray[Any]
    coefs: Floats
    intercepts: Floats
    is_accuracy: bool


def scores_of_held_out(shards: Shards, judged: Judged) -> Floats:
    """Return the mean score of each fold's models on the rows it holds out: a pass.

    Raises
    ------
    ValueError
        If a fold holds out no row of positive weight.
    """
    with one_blas_thread():
        found = shards.total(partial(_scores_of, judged=judged), added)
    if not np.all(found.mass > 0.0):
        raise ValueError("A fold has no row of positive weight to predict.")
    return np.asarray(found.total / found.mass[:, None])


def _scores_of(rows: Rows, judged: Judged) -> Scores:
    n_folds, n_models, K, d = judged.coefs.shape
    X, y, weight = validated(rows, judged.kind)
    codes, folds = encode_labels(y, judged.classes), judged.held_out.folds_of(rows)
    found = Scores(np.zeros((n_folds, n_models)), np.zeros(n_folds))
    for f in np.unique(folds):
        own = np.flatnonzero(folds == f)
        some, w = codes[own], weight[own]
        raw = np.asarray(_some(X, own) @ judged.coefs[f].reshape(-1, d).T)
        raw = raw.reshape(-1, n_models, K) + judged.intercepts[f]
        found.total[f] = w @ (_right if judged.is_accuracy else _log_likelihood)(raw, some)
        found.mass[f] = w.sum()
    return found


def _right(raw: Floats, codes: NDArray[np.int32]) -> NDArray[np.bool_]:
    chosen = raw.argmax(axis=2) if raw.shape[2] > 1 else raw[:, :, 0] > 0.0
    return np.asarray(chosen == codes[:, None])


def _log_likelihood(raw: Floats, codes: NDArray[np.int32]) -> Floats:
    """Return the log of the probability of each row's label, (n, n_models)."""
    if raw.shape[2] == 1:
        found = log_expit(np.where(codes[:, None] == 1, raw[:, :, 0], -raw[:, :, 0]))
    else:
        found = log_softmax(raw, axis=2)[np.arange(codes.shape[0]), :, codes]
    return np.asarray(np.clip(found, np.log(LEAST_PROBABILITY), np.log1p(-LEAST_PROBABILITY)))
