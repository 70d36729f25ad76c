"""Squared errors of rows in shards: sums of products, of each fold, in one pass.

Least squares with any penalty, any number of targets and any folds needs of its rows no more than

    sum_i s_i z_i z_i',   sum_i s_i t_i z_i,   sum_i s_i t_i^2,   and the sums of s_i, z_i and t_i

for the rows that each fold holds out: all other rows are what is left of the whole. One pass finds
means, from which z and t are counted, so that sums lose no digits, and how many rows there are; the
next one adds up. Paths of any length, for all folds, are then solved without the rows.
"""

from collections.abc import Iterator
from functools import partial, reduce
from math import inf
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.validation import check_array, check_consistent_length

from fastgd._data.held_out import Counts, HeldOut, counts_of, counts_of_both
from fastgd._data.shards import Rows, Shards
from fastgd._data.validation import ACCEPTED, check_sparse, encode_labels
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._idle_rows import with_zeros_for_idle_rows
from fastgd._solvers._magnitudes import Magnitudes, magnitudes_of_peaks
from fastgd._solvers._paths import Sums, Table
from fastgd._solvers._shard_sums import FLOATS, weight_of

Floats = NDArray[np.float64]

MOST_COLUMNS = 2000  # 32 MB for each matrix of products
COPIES = 3.5  # of such a matrix, of each fold and of all rows, while a path is solved
MOST_BYTES = 1 << 31  # of all of them
ENTRIES_AT_ONCE = 1 << 18  # of a block of rows: 2 MiB


class Moments(NamedTuple):
    """What is known of rows before their products are added up.

    counts : Counts
    mass : float, the sum of the weights
    mean : (n_features,), of the columns, each row counting once
    level : (n_targets,), likewise of the targets; empty for labels
    peak, height : (n_features,), (n_targets,), the largest magnitudes of columns and targets
    masses : dict of label to the weight of its rows; empty for numbers
    is_table : bool, whether targets came in columns
    is_sparse : bool
    dtype : dtype of X
    """

    counts: Counts
    mass: float
    mean: Floats
    level: Floats
    peak: Floats
    height: Floats
    masses: dict[Any, float]
    is_table: bool
    is_sparse: bool
    dtype: np.dtype[Any]

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return sum(self.counts.sizes.values())

    def labels(self) -> tuple[NDArray[Any], NDArray[np.int64], Floats]:
        """Return the labels in order, how many rows have each, and the weight of these."""
        parts = self.counts.labels.values()
        names, places = np.unique(np.concatenate([part[0] for part in parts]), return_inverse=True)
        counts = np.concatenate([part[1] for part in parts])
        found = np.bincount(places.ravel(), counts, names.shape[0]).astype(np.int64)
        return names, found, np.array([self.masses[label] for label in names.tolist()])


class Valid(NamedTuple):
    """Rows of a shard, validated; y is (n, n_targets), or labels of shape (n,)."""

    X: Any
    y: NDArray[Any]
    weight: Floats
    is_table: bool


def _validated(rows: Rows, classifies: bool) -> Valid:
    X = check_sparse(check_array(rows.X, dtype=FLOATS, **ACCEPTED))
    if X.shape[1] > MOST_COLUMNS:
        raise ValueError(
            f"X has {X.shape[1]:,} columns: of data in parts, all products of up to "
            f"{MOST_COLUMNS:,} columns are kept for each fold. Lasso, ElasticNet, Ridge and "
            "RidgeClassifier take more: a fit for each strength, judged on rows that "
            "rows.split(0.1) holds out."
        )
    if rows.y is None:
        raise ValueError("the rows have no targets: name the column of the target.")
    y, weight = np.asarray(rows.y), weight_of(rows.weight, X.shape[0])
    check_consistent_length(X, y)
    X, is_table = with_zeros_for_idle_rows(X, weight), y.ndim == 2
    if classifies:
        if is_table and y.shape[1] > 1:
            raise ValueError(f"labels must be one for each row, got the shape {y.shape}.")
        return Valid(X, y.ravel(), weight, False)
    y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
    if y.ndim > 2:
        raise ValueError(f"targets must be of shape (n,) or (n, n_targets), got {y.shape}.")
    return Valid(X, y if is_table else y[:, None], weight, is_table)


def moments_of(rows: Rows, classifies: bool) -> Moments:
    """Return what there is to know of a shard."""
    X, y, weight, is_table = _validated(rows, classifies)
    counts = counts_of(rows._replace(X=X, y=y), classifies)
    level, height, masses = np.zeros(0), np.zeros(0), {}
    if classifies:
        labels = counts.labels[rows.shard][0]
        found = np.bincount(encode_labels(y, labels), weight, labels.shape[0])
        masses = dict(zip(labels.tolist(), found.tolist(), strict=True))
    else:
        level, height = y.mean(axis=0), np.abs(y).max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.asarray(X.mean(axis=0, dtype=np.float64)).ravel()
    columns = mean, level, _peak_of(X), height
    shape = is_table, sp.issparse(X), X.dtype
    return Moments(counts, float(weight.sum()), *columns, masses, *shape)


def _peak_of(X: Any) -> Floats:
    """Return the largest magnitude of each column."""
    ends: list[Any] = [X.max(axis=0), -X.min(axis=0)]
    largest, least = (end.toarray().ravel() if sp.issparse(end) else end for end in ends)
    return np.maximum(largest, least).astype(np.float64)


def moments_of_both(first: Moments, second: Moments) -> Moments:
    """Return what there is to know of two sets of shards."""
    part = second.n_rows / (first.n_rows + second.n_rows)
    masses = dict(first.masses)
    for label, mass in second.masses.items():
        masses[label] = masses.get(label, 0.0) + mass
    return first._replace(
        counts=counts_of_both(first.counts, second.counts),
        mass=first.mass + second.mass,
        mean=first.mean + part * (second.mean - first.mean),
        level=first.level + part * (second.level - first.level),
        peak=np.maximum(first.peak, second.peak),
        height=np.maximum(first.height, second.height),
        masses=masses,
        dtype=np.promote_types(first.dtype, second.dtype),
    )


class Frame(NamedTuple):
    """What the sums of all shards have in common.

    center, level : what columns and targets are counted from
    classes, factors : labels and their weights; empty for numbers
    columns : (n_classes, n_targets), the targets of each label
    units : Magnitudes, of the sums and of all the other numbers here
    held_out : HeldOut, or None for no folds
    """

    center: Floats
    level: Floats
    classes: NDArray[Any]
    factors: Floats
    columns: Floats
    units: Magnitudes
    held_out: HeldOut | None = None

    @property
    def classifies(self) -> bool:
        """Whether targets are labels."""
        return self.classes.shape[0] > 0


class Block(NamedTuple):
    """Some rows of a shard: centered columns and targets, weights, and the folds' numbers."""

    z: Floats
    t: Floats
    weight: Floats
    folds: NDArray[np.int64]

    def of_fold(self, f: int) -> "Block":
        """Return the rows that a fold holds out."""
        own = self.folds == f
        return self if np.all(own) else Block(*(part[own] for part in self))


def blocks_of(rows: Rows, frame: Frame) -> Iterator[Block]:
    """Yield the rows of a shard, some at a time, as the sums take them."""
    X, y, weight, _ = _validated(rows, frame.classifies)
    folds = np.zeros(X.shape[0], np.int64)
    if frame.held_out is not None:
        folds = frame.held_out.folds_of(rows._replace(X=X, y=y))
    if frame.classifies:
        codes = encode_labels(y, frame.classes)
        y, weight = frame.columns[codes], weight * frame.factors[codes]
    size = max(1, ENTRIES_AT_ONCE // max(1, X.shape[1]))
    for start in range(0, X.shape[0], size):
        some = slice(start, start + size)
        own = X[some].toarray() if sp.issparse(X) else X[some]
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused later
            z = np.asarray(frame.units.of_rows(own) - frame.center, np.float64)
        t = frame.units.of_targets(y[some]) - frame.level
        yield Block(z, t, weight[some], folds[some])


def sums_of(rows: Rows, frame: Frame) -> dict[int, Sums]:
    """Return the sums over the rows of a shard that each fold holds out."""
    found: dict[int, Sums] = {}
    for block in blocks_of(rows, frame):
        for f in np.unique(block.folds):
            with np.errstate(over="ignore", invalid="ignore"):
                sums = _sums_of_block(block.of_fold(int(f)))
            found[int(f)] = plus(found[int(f)], sums) if int(f) in found else sums
    return found


def _sums_of_block(block: Block) -> Sums:
    z, t, weight, _ = block
    weighted = z if np.all(weight == 1.0) else z * weight[:, None]
    squares = np.einsum("i,ik,ik->k", weight, t, t)
    of_rows = float(weight.sum()), weighted.sum(axis=0), weight @ t
    return Sums(*of_rows, weighted.T @ z, t.T @ weighted, squares)


def plus(first: Sums, second: Sums) -> Sums:
    """Return the sums over the rows of both."""
    pairs: Any = zip(first, second, strict=True)
    return Sums(*(one + other for one, other in pairs))


def sums_of_both(first: dict[int, Sums], second: dict[int, Sums]) -> dict[int, Sums]:
    """Return the sums of each fold over the shards of both."""
    found = dict(first)
    for f, sums in second.items():
        found[f] = plus(found[f], sums) if f in found else sums
    return found


def look_for_products(shards: Shards, *, classifies: bool) -> Moments:
    """Take the pass that tells what rows there are.

    Raises
    ------
    ValueError
        If shards do not agree, hold what is no number, or have too many columns.
    """
    with one_blas_thread():
        found = shards.total(partial(moments_of, classifies=classifies), moments_of_both)
    if not found.mass > 0.0:
        raise ValueError("the weights of all rows are 0.")
    return found


class SummedRows(NamedTuple):
    """What a table knows of its rows: their number, the columns, and what these are counted from.

    targets : (0, n_targets)
    """

    n: int
    d: int
    mean: Floats
    level: Floats
    targets: Floats


class SummedTable(Table):
    """A table of all columns whose sums were added up over shards.

    Parameters
    ----------
    shards : Shards
    moments : Moments
    frame : Frame
        With ``held_out`` folds, or none.
    fit_intercept : bool

    Attributes
    ----------
    dtype : dtype of X

    Raises
    ------
    ValueError
        If sums leave float64, a fold has no row of positive weight to fit or to predict, or there
        are so many folds that their products have no room in memory.
    """

    def __init__(self, shards: Shards, moments: Moments, frame: Frame, fit_intercept: bool) -> None:
        n_folds = 0 if frame.held_out is None else frame.held_out.n_folds
        _refuse_many_products(shards, n_folds, frame.center.shape[0])
        with one_blas_thread():
            parts = shards.total(partial(sums_of, frame=frame), sums_of_both)
        with np.errstate(over="ignore", invalid="ignore"):
            whole = reduce(plus, [parts[f] for f in sorted(parts)])
        if not all(np.all(np.isfinite(sums)) for sums in whole):
            raise ValueError(
                "X or y hold numbers too large to add up. Divide such columns by a constant."
            )
        for f in range(n_folds):
            if f not in parts or not 0.0 < parts[f].mass < whole.mass:
                raise ValueError(f"fold {f} has no row of positive weight to fit or to predict.")
        d, K = whole.x.shape[0], whole.t.shape[0]
        targets = np.empty((0, K))
        self.units, self.dtype = frame.units, moments.dtype
        self.rows = SummedRows(moments.n_rows, d, frame.center, frame.level, targets)  # type: ignore[assignment]
        self.fit_intercept = fit_intercept
        self.fit_sums = [whole, *(whole.less(parts[f]) for f in range(n_folds))]
        self.held_out_sums = [None, *(parts[f] for f in range(n_folds))]
        self.folds = [None] * (n_folds + 1)  # type: ignore[list-item]
        self.columns, self.values = np.arange(d), np.empty((d, 0))
        self._centered, self._means = {}, {}
        self.is_full, self.has_few_rows = True, False
        along = [self.blocks(f).along for f in range(n_folds + 1)]
        self.correlations = np.array(along)

    def size_of_products(self) -> float:
        """Return the product of the largest root mean squares of a column and of a target."""
        sums = self.fit_sums[0]
        squares = np.max(np.diagonal(sums.xx), initial=0.0), np.max(sums.tt, initial=0.0)
        return float(np.sqrt(squares[0] / sums.mass) * np.sqrt(squares[1] / sums.mass))


def has_room_for_products(shards: Shards, n_folds: int, d: int) -> bool:
    """Tell whether the products of columns, of each fold and of all rows, fit into memory."""
    return _of_products(n_folds, d) <= _room_of(shards)


def _of_products(n_folds: int, d: int) -> float:
    """Return the bytes that they take while a path is solved."""
    return COPIES * 8.0 * (n_folds + 1) * d * d


def _room_of(shards: Shards) -> float:
    """Return the bytes that they may take: rows may take a quarter of what is left."""
    return min(MOST_BYTES, 4.0 * float(getattr(shards, "room", inf)))


def _refuse_many_products(shards: Shards, n_folds: int, d: int) -> None:
    if not has_room_for_products(shards, n_folds, d):
        room = _room_of(shards)
        limit = "the limit is" if room == MOST_BYTES else "memory leaves"
        raise ValueError(
            f"the products of {d:,} columns, of {n_folds} folds and of all rows, take about "
            f"{_of_products(n_folds, d) / 1e9:.2g} GB, and {limit} {room / 1e9:.2g} GB: take fewer "
            "folds or columns, or fit Ridge or Lasso for each strength, judged on rows that "
            "rows.split(0.1) holds out."
        )


def table_of_numbers(
    shards: Shards, moments: Moments, held_out: HeldOut | None, fit_intercept: bool
) -> SummedTable:
    """Return the table of rows whose targets are numbers."""
    units = magnitudes_of_peaks(moments.peak, moments.height)
    frame = frame_of_numbers(moments, units, fit_intercept)._replace(held_out=held_out)
    return SummedTable(shards, moments, frame, fit_intercept)


def frame_of_numbers(moments: Moments, units: Magnitudes, fit_intercept: bool) -> Frame:
    """Return the frame of rows whose targets are numbers, without folds."""
    share, none = float(fit_intercept), np.empty(0)
    center, level = units.of_rows(moments.mean), units.of_targets(moments.level)
    return Frame(share * center, share * level, none, none, np.empty((0, 0)), units)
