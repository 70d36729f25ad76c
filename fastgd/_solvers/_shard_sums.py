"""What a pass adds up over the shards of a data set: how its columns lie, and a descent's sums.

The first pass looks at all there is: means and deviations of the columns, classes, the range of the
targets, and rows drawn at random with equal chances. Each further pass returns the loss, its
gradient and, where asked for, its Hessian at some parameters.

References
----------
.. [1] Chan, Golub & LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
   Variances", 1979, equation 2.1 (moments of two parts).
.. [2] Efraimidis & Spirakis, "Weighted random sampling with a reservoir", 2006: the rows with the
   smallest of independent uniform keys are a sample without replacement.
"""

import zlib
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.validation import check_array, check_consistent_length

from fastgd._data.chunks import stacked
from fastgd._data.constant_column import with_constant
from fastgd._data.shards import Rows
from fastgd._data.validation import (
    ACCEPTED,
    as_rows,
    check_sparse,
    check_targets,
    encode_labels,
    labels_of_some,
    refuse_extreme_weight,
)
from fastgd._solvers._certificates import loss_gap
from fastgd._solvers._implicit import probabilities
from fastgd._solvers._precondition import product_at
from fastgd._solvers._problem import (
    Floats,
    Problem,
    evaluate,
    is_deviance,
    least_and_terms,
    scaler_of,
)
from fastgd._solvers._units import counted_from
from fastgd.kernels import losses

FLOATS = [np.float64, np.float32]
FEW_CLASSES = 10_000
MORE_THAN_PART = 1.5  # of its part of the sample, that each of many shards sends
LEAST_PART = 1000  # rows that it sends at least


class Kind(NamedTuple):
    """What all shards have to agree on.

    n_features : int or None, None where that is not known yet
    classifies : bool
    loss : loss object of regression, whose domain targets must be in; else None
    seed : int
    most_rows, most_entries : int, how large the sample may be
    n_shards : int, as far as that is known: each sends about its part of the sample; 1 if not
    """

    n_features: int | None
    classifies: bool
    loss: Any
    seed: int
    most_rows: int
    most_entries: int
    n_shards: int = 1


class Look(NamedTuple):
    """What there is to know of rows before a descent.

    n_rows : int
    mass : float, the sum of the weights
    mean, std : (n_features,), of the columns: means and standard deviations
    peak : (n_features,), the largest magnitudes
    classes, masses, counts : ndarrays, labels in order, and the weight and the number of the rows
        that have each; empty for numbers
    y_mean, y_square : float, weighted means of the targets and of their squares; 0 and 1 for labels
    y_least, y_largest : float; the least that is above zero
    X, y, weight, keys : a sample, its rows in no order
    reach : float, up to which no row's key is missing, as where a shard sent some of its rows
    dtype : dtype of X
    """

    n_rows: int
    mass: float
    mean: Floats
    std: Floats
    peak: Floats
    classes: NDArray[Any]
    masses: Floats
    counts: NDArray[np.int64]
    y_mean: float
    y_square: float
    y_least: float
    y_largest: float
    X: Any
    y: NDArray[Any]
    weight: Floats
    keys: Floats
    reach: float
    dtype: np.dtype[Any]


class Valid(NamedTuple):
    """Rows of a shard, validated."""

    X: Any
    y: NDArray[Any]
    weight: Floats


def validated(rows: Rows, kind: Kind, dtype: Any = None) -> Valid:
    """Return X in C order or as canonical CSR, targets and weights, all of them numbers.

    Raises
    ------
    ValueError
        If they are not, or do not agree with what is known of the others.
    """
    X = check_array(rows.X, dtype=FLOATS if dtype is None else dtype, **ACCEPTED)
    X = check_sparse(X)
    if kind.n_features is not None and X.shape[1] != kind.n_features:
        raise ValueError(
            f"a shard has {X.shape[1]} columns, and the first one {kind.n_features}: all must have "
            "the same."
        )
    return Valid(X, *validated_targets(rows, X.shape[0], kind))


def validated_targets(rows: Rows, n: int, kind: Kind) -> tuple[NDArray[Any], Floats]:
    """Return targets and weights of n rows.

    Raises
    ------
    ValueError
        If they are none, or not as many.
    """
    if rows.y is None:
        raise ValueError("the rows have no targets: name the column of the target.")
    y = np.asarray(rows.y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(f"targets must be one number or label a row, got the shape {y.shape}.")
    check_consistent_length(np.empty((n, 0)), y)
    if not kind.classifies:
        y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
        check_targets(kind.loss, y)
    return y, weight_of(rows.weight, n)


def weight_of(given: Any, n_rows: int) -> Floats:
    """Return the weights of rows, 1 each where none are given.

    Raises
    ------
    ValueError
        If they are not one number >= 0 for each row.
    """
    if given is None:
        return np.ones(n_rows)
    weight: Floats = check_array(given, dtype=np.float64, ensure_2d=False, input_name="weight")
    if weight.shape != (n_rows,) or np.any(weight < 0.0):
        raise ValueError(
            f"weights must be one number >= 0 for each of {n_rows} rows, got the shape "
            f"{weight.shape} and a least of {weight.min()}."
        )
    refuse_extreme_weight(weight + 1e-300)
    return weight


def look_at(rows: Rows, kind: Kind) -> Look:
    """Return what there is to know of a shard."""
    X, y, weight = validated(rows, kind)
    scaler, peak = scaler_of(as_rows(X), shares_of(weight), X.shape[1], True)
    known = scaler.inverse_std > 0.0
    std = np.divide(1.0, scaler.inverse_std, out=np.zeros_like(peak), where=known)
    largest = np.where(known, peak * std + np.abs(scaler.center), np.abs(scaler.center))
    chosen, keys, reach = _drawn(X, kind)
    sample = (X[chosen], chosen, keys)
    found = looked(kind, y, weight, (scaler.center, std, largest), sample)
    return found._replace(reach=reach)


def shares_of(weight: Floats) -> Floats:
    """Return what part of the whole each row is."""
    n, mass = weight.shape[0], float(weight.sum())
    return weight / mass if mass > 0.0 else np.full(n, 1.0 / n)


def looked(
    kind: Kind,
    y: NDArray[Any],
    weight: Floats,
    columns: tuple[Floats, Floats, Floats],
    sample: tuple[Any, NDArray[Any], Floats],
) -> Look:
    """Return what there is to know of rows whose columns are known.

    Parameters
    ----------
    kind : Kind
    y, weight : ndarrays of shape (n,), validated
    columns : their means, standard deviations and largest magnitudes
    sample : some rows of X, their numbers, and the keys by which they were chosen
    """
    classes: NDArray[Any] = np.empty(0)
    masses: Floats = np.empty(0)
    counts = np.empty(0, np.int64)
    level, shares = [0.0, 1.0, 0.0, 0.0], shares_of(weight)
    if kind.classifies:
        classes, codes = labels_of_some(y)
        masses = np.asarray(np.bincount(codes, weight, classes.shape[0]), np.float64)
        counts = np.bincount(codes, minlength=classes.shape[0])
    else:
        positive = y[y > 0.0]
        ends = np.min(positive, initial=np.inf), np.max(np.abs(y))
        level = [float(one) for one in (shares @ y, shares @ (y * y), *ends)]
    X, chosen, keys = sample
    return Look(
        *(y.shape[0], float(weight.sum()), *columns, classes, masses, counts),
        *(level[0], level[1], level[2], level[3]),
        *(X, y[chosen], weight[chosen], keys),
        np.inf,
        X.dtype,
    )


def keys_of(X: Any, seed: int) -> Floats:
    """Return the keys by which rows are chosen, evenly between 0 and 1.

    They depend on the seed and the shard's contents, wherever and whenever it is read.
    """
    n = X.shape[0]
    some = (X.data[:512], X.indices[:512]) if sp.issparse(X) else (X[:: max(n - 1, 1)],)
    stamp = n
    for part in some:
        stamp = zlib.crc32(np.ascontiguousarray(part).tobytes(), stamp)
    return np.random.default_rng((seed, stamp)).random(n)


class Brought(NamedTuple):
    """Rows of shards as they are, validated."""

    parts: list[Valid]


def brought(rows: Rows, kind: Kind, dtype: Any, share: float) -> Brought:
    """Return a share of a shard's rows, chosen by the same keys as a sample; 1.0 is all of them."""
    X, y, weight = validated(rows, kind, dtype)
    if share < 1.0:
        chosen = np.flatnonzero(keys_of(X, kind.seed) < share)
        X, y, weight = X[chosen], y[chosen], weight[chosen]
    return Brought([Valid(X, y, weight)])


def _drawn(X: Any, kind: Kind) -> tuple[NDArray[Any], Floats, float]:
    """Return some rows, the keys by which they are chosen among those of all shards, and the reach.

    Where there are many shards, each sends some more than its part of the sample; then rows of
    other shards count up to the same key only.
    """
    n, keys = X.shape[0], keys_of(X, kind.seed)
    most = _most(kind, X)
    part = min(most, int(MORE_THAN_PART * most / kind.n_shards) + LEAST_PART)
    chosen = smallest(keys, part)
    reach = float(keys[chosen[-1]]) if part < n else np.inf
    return chosen, keys[chosen], reach


def _most(kind: Kind, *parts: Any) -> int:
    """Return how many rows a sample of such rows may have."""
    n = max(sum(X.shape[0] for X in parts), 1)
    is_sparse = sp.issparse(parts[0])
    width = sum(X.nnz for X in parts) / n + 1.0 if is_sparse else float(parts[0].shape[1])
    return int(min(kind.most_rows, max(kind.most_entries / max(width, 1.0), 1.0)))


def both(first: Look, second: Look, kind: Kind) -> Look:
    """Return what there is to know of two sets of rows."""
    mass = first.mass + second.mass
    part = second.mass / mass if mass > 0.0 else 0.0
    apart = second.mean - first.mean
    # of roots, as squares of what float64 holds may leave it
    within = np.hypot(np.sqrt(1.0 - part) * first.std, np.sqrt(part) * second.std)
    std = np.hypot(within, np.sqrt(part * (1.0 - part)) * apart)
    classes, masses, counts = _classes_of_both(first, second)
    X, kept, reach = _sample_of_both(first, second, kind)
    keys = np.concatenate([first.keys, second.keys])
    return Look(
        first.n_rows + second.n_rows,
        mass,
        first.mean + part * apart,
        std,
        np.maximum(first.peak, second.peak),
        classes,
        masses,
        counts,
        first.y_mean + part * (second.y_mean - first.y_mean),
        first.y_square + part * (second.y_square - first.y_square),
        min(first.y_least, second.y_least),
        max(first.y_largest, second.y_largest),
        X,
        np.concatenate([first.y, second.y])[kept],
        np.concatenate([first.weight, second.weight])[kept],
        keys[kept],
        reach,
        np.promote_types(first.dtype, second.dtype),
    )


def smallest(keys: Floats, count: int) -> NDArray[np.int64]:
    """Return the places of the smallest keys in their order, in linear time if they are few."""
    if count >= keys.shape[0]:
        return np.argsort(keys, kind="stable")
    found = np.sort(np.argpartition(keys, count - 1)[:count])
    return found[np.argsort(keys[found], kind="stable")]


def _sample_of_both(first: Look, second: Look, kind: Kind) -> tuple[Any, NDArray[Any], float]:
    """Return the rows of a sample of both, their numbers among those of both, and its reach."""
    n_first, reach = first.keys.shape[0], min(first.reach, second.reach)
    keys = np.concatenate([first.keys, second.keys])
    kept = smallest(keys, _most(kind, first.X, second.X))
    if kept.shape[0] < keys.shape[0]:
        reach = min(reach, float(keys[kept[-1]]))
    kept = np.sort(kept[keys[kept] <= reach])
    of_first, of_second = kept[kept < n_first], kept[kept >= n_first] - n_first
    return stacked([first.X[of_first], second.X[of_second]]), kept, reach


def _classes_of_both(first: Look, second: Look) -> tuple[NDArray[Any], Floats, NDArray[np.int64]]:
    classes = np.union1d(first.classes, second.classes)
    if classes.shape[0] > FEW_CLASSES:
        raise ValueError(
            f"there are more than {FEW_CLASSES:,} different labels: is this target a class? For "
            "numbers there are regressors."
        )
    masses, counts = np.zeros(classes.shape[0]), np.zeros(classes.shape[0], np.int64)
    for one in (first, second):
        at = np.searchsorted(classes, one.classes)
        masses[at] += one.masses
        counts[at] += one.counts
    return classes, masses, counts


# -- the sums of a descent ------------------------------------------------------------------------


class Frame(NamedTuple):
    """What the parts of all shards have in common.

    kind : Kind
    dtype : dtype in which X is read
    problem : Problem without rows
    classes, factors : ndarrays, labels and their weights; empty for numbers
    mass : float, the weights' sum
    origin : (n_features,), what columns are counted from; None for zero
    constant : float, what a last column holds that the rows come without; 0.0 for none
    own_class : int, the place of the class that one output is 1 for, in ``classes``
    """

    kind: Kind
    dtype: np.dtype[Any]
    problem: Problem
    classes: NDArray[Any]
    factors: Floats
    mass: float
    origin: Floats | None
    constant: float = 0.0
    own_class: int = 1


class Sums(NamedTuple):
    """Of a mean loss, over the rows of some shards, the penalty not counted.

    loss : float, above the least that the targets allow
    least, terms : float, what was taken off, and the size of what cancels in it
    gradient : ndarray, of the standardised parameters
    product : (P, P), the Hessian; 0.0 if it was not asked for
    bend : float, the sum of the curvatures, of one output
    """

    loss: float
    least: float
    terms: float
    gradient: Floats
    product: Any
    bend: float


class ShardTargets(NamedTuple):
    """What comes with a shard's rows, as the loss takes it.

    y : ndarray, int32 for many outputs, else float64
    weight : ndarray, shares of the whole's
    least, terms : float, as in ``Problem``
    """

    y: NDArray[Any]
    weight: Floats
    least: float
    terms: float


def targets_of(y: NDArray[Any], weight: Floats, frame: Frame) -> ShardTargets:
    """Return what comes with a shard's rows, from labels or numbers and weights."""
    if frame.classes.shape[0] > 0:
        codes = encode_labels(y, frame.classes)
        weight, y = weight * frame.factors[codes], codes
    problem, many = frame.problem, frame.problem.n_outputs > 0
    if not many and frame.classes.shape[0] > 0:
        y = np.where(y == frame.own_class, 1.0, losses.negative(problem.loss))
    y = np.ascontiguousarray(y, np.int32 if many else np.float64)
    weight = weight / frame.mass
    return ShardTargets(y, weight, *least_and_terms(problem.loss, y, weight))


def problem_of(rows: Rows, frame: Frame) -> Problem:
    """Return the problem of a shard's rows; their weights are shares of the whole's."""
    X, y, weight = validated(rows, frame.kind, frame.dtype)
    stored = as_rows(with_constant(X, frame.constant) if frame.constant else X)
    if frame.origin is not None:
        stored = counted_from(stored, frame.origin)
    return frame.problem._replace(rows=stored, **targets_of(y, weight, frame)._asdict())


def sums_at(rows: Rows, frame: Frame, u: Floats, wants_hessian: bool) -> Sums:
    """Return a shard's sums at some parameters."""
    problem = problem_of(rows, frame)
    point = evaluate(problem, u)
    product = product_at(problem, point) if wants_hessian else 0.0
    terms = problem.terms if is_deviance(problem.loss) else 0.0  # of residuals it is no sum
    bend = float(np.sum(point.curvature)) if problem.n_outputs == 0 else 0.0
    return Sums(point.objective, float(problem.least), terms, point.gradient, product, bend)


class Scalar(NamedTuple):
    """One number that is added up."""

    value: float


def loss_gap_at(rows: Rows, frame: Frame, u: Floats, share: float) -> Scalar:
    """Return a shard's part of what it costs to scale the dual point."""
    return Scalar(loss_gap(problem_of(rows, frame), u, share))


class Values(NamedTuple):
    """Numbers that are added up."""

    values: Floats


def losses_at(rows: Rows, frame: Frame, places: list[Floats]) -> Values:
    """Return a shard's part of the losses at some parameters."""
    problem = problem_of(rows, frame)
    return Values(np.array([evaluate(problem, u).objective for u in places]))


def bend_of_classes_at(rows: Rows, frame: Frame, u: Floats) -> Values:
    """Return a shard's part of the Hessian of softmax's intercepts, sum_i s_i (diag(p) - p p')."""
    problem = problem_of(rows, frame)
    p = probabilities(problem, u)
    weighted = p * problem.weight[:, None]
    return Values(np.diag(weighted.sum(axis=0)) - p.T @ weighted)
