"""All folds and strengths of a cross-validation of rows in shards, in common passes.

A sample's paths are fitted in memory (``_folds.JointFolds``). What they end at is where the folds
of all rows begin, for all strengths at once: a pass over the shards evaluates all models
(``kernels.folds``), and its rows are read once for them. Steps are multiplied by the inverse of
the sample's Hessian, one for each strength that all folds share; BFGS's corrections learn what is
left. So few passes are needed, and no Hessian of all rows.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._data.chunks import stacked
from fastgd._data.constant_column import with_constant
from fastgd._data.held_out import HeldOut
from fastgd._data.shards import Rows, added
from fastgd._data.validation import encode_labels
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._costs import LARGEST_MATRIX
from fastgd._solvers._folds import (
    WIDEST,
    BlockMetric,
    FoldDescent,
    FoldFit,
    JointFolds,
    evaluate_folds,
    folds_of,
    has_arrived,
    metric_of,
)
from fastgd._solvers._problem import Floats, model_at, pose
from fastgd._solvers._shard_sums import Frame, Kind, keys_of, problem_of, validated
from fastgd._solvers._sharded import ROWS_FOR_COLUMN, ShardedTask, frame_of, sample_task
from fastgd._solvers._task import Options, Task
from fastgd._solvers._units import Units, counted_from
from fastgd.kernels.objective import Scaler

MOST_OF_METRICS = 1 << 24  # entries of them at once, 128 MB: more strengths come in groups
SAMPLE_TOL = 1e-4  # of the sample's paths, whose optima are not those of all rows
FEWEST_OF_CLASS = 5  # rows that each fold's sample has of each


class Sampled(NamedTuple):
    """Rows of a shard that are in the sample: X, labels, weights, and the folds of the rows."""

    X: Any
    y: NDArray[Any]
    weight: Floats
    folds: NDArray[np.int64]


class FoldLook(NamedTuple):
    """What a pass tells of folds.

    masses : (n_classes, n_folds), the weight of the rows of each class that each fold holds out
    parts : list of Sampled
    """

    masses: Floats
    parts: list[Sampled]


def folds_at(
    rows: Rows, kind: Kind, dtype: Any, classes: NDArray[Any], held_out: HeldOut, reach: float
) -> FoldLook:
    """Return what a shard's folds hold; ``reach`` bounds the keys of the sample's rows."""
    X, y, weight = validated(rows, kind, dtype)
    folds, codes = held_out.folds_of(rows), encode_labels(y, classes)
    shape = classes.shape[0], held_out.n_folds
    places, size = codes * shape[1] + folds, shape[0] * shape[1]
    own = np.flatnonzero(keys_of(X, kind.seed) <= reach)
    masses: Floats = np.asarray(np.bincount(places, weight, size).reshape(shape), np.float64)
    return FoldLook(masses, [Sampled(X[own], y[own], weight[own], folds[own])])


class FoldedTask(NamedTuple):
    """A task whose rows are in folds.

    task : ShardedTask
        Of all rows; its penalty counts for nothing.
    held_out : HeldOut
    masses : (n_folds,), the weight of the rows that each fold is fitted to
    folds : (n_sampled,), which fold holds each row of the sample out
    has_all : bool, whether each fold, and its sample, has rows of each class
    """

    task: ShardedTask
    held_out: HeldOut
    masses: Floats
    folds: NDArray[np.int64]
    has_all: bool

    @property
    def has_all_rows(self) -> bool:
        """Whether the sample is all rows."""
        return bool(self.folds.shape[0] == self.task.look.n_rows)


def folded(task: ShardedTask, held_out: HeldOut) -> FoldedTask:
    """Take the pass that tells which folds the rows and those of the sample are in.

    Raises
    ------
    ValueError
        If a fold has no row of positive weight to be fitted to.
    """
    seen = task.look
    reach = float(np.max(seen.keys)) if seen.keys.shape[0] < seen.n_rows else np.inf
    same: dict[str, Any] = {"kind": task.kind, "dtype": seen.dtype, "classes": task.classes}
    part = partial(folds_at, held_out=held_out, reach=reach, **same)
    found = task.shards.total(part, added)
    parts = [one for one in found.parts if one.y.shape[0] > 0]
    X = stacked([one.X for one in parts])
    if task.constant:
        X = with_constant(X, task.constant)
    y, weight, folds = (np.concatenate([one[k] for one in parts]) for k in (1, 2, 3))
    own = found.masses * task.factors[:, None]
    masses = own.sum() - own.sum(axis=0)
    if not np.all(masses > 0.0):
        raise ValueError("there are no rows to fit in a fold.")
    codes = np.searchsorted(task.classes, y)
    sampled = np.zeros(own.shape)
    np.add.at(sampled, (codes, folds), weight > 0.0)
    left = sampled.sum(axis=1, keepdims=True) - sampled
    seen = seen._replace(X=X, y=y, weight=weight, keys=np.zeros(y.shape[0]))
    whole = task._replace(look=seen)
    return FoldedTask(whole, held_out, masses, folds, bool(np.all(left >= FEWEST_OF_CLASS)))


def fit_in_memory(
    given: FoldedTask, l1: Floats, l2: Floats, options: Options
) -> list[list[FoldFit]]:
    """Return the fits for each strength of each fold where the sample is all rows.

    ``l1`` and ``l2`` are (n_strengths, n_folds), the strongest first.
    """
    task = sample_task(given.task)._replace(l1=float(l1.min()), l2=float(l2.min()))
    paths = folds_of(task, _weights_of(given, task), options)
    return [paths.at(*pair) for pair in zip(l1, l2, strict=True)]


def _weights_of(given: FoldedTask, task: Task) -> Floats:
    """Return the weights (n_folds, n_sampled) of the sample's rows in each fold."""
    assert task.weight is not None
    which = np.arange(given.held_out.n_folds)
    return task.weight * (given.folds[None, :] != which[:, None])


def can_be_joint(given: FoldedTask) -> bool:
    """Tell whether the sample knows enough of all rows, and its Hessian is a matrix."""
    n_sampled, d = given.task.look.X.shape
    is_told = given.has_all and n_sampled >= ROWS_FOR_COLUMN * d
    size = given.task.n_outputs * (d + 1) ** 2
    return bool(is_told and d + 1 <= LARGEST_MATRIX and 2 * size <= MOST_OF_METRICS)


class SampledFolds(JointFolds):
    """Folds of a sample, on columns that are standardised as those of all rows."""

    def __init__(self, task: Task, weights: Floats, options: Options, scaler: Scaler) -> None:
        self.task, self.weights, self.options = task, weights, options
        self.units, self.kept = Units(task), None
        with one_blas_thread():
            problem = pose(task)._replace(scaler=scaler, dtype=np.float64)
            self._begin(problem._replace(largest=LARGEST_MATRIX))

    def metric_at(self, l2: Floats) -> BlockMetric:
        """Return the metric that all folds share where they have arrived."""
        places = [descent.point.u for descent in self.descents]
        weights = np.ascontiguousarray([d.problem.weight for d in self.descents])
        K, n = max(1, self.problem.n_outputs), self.problem.shape[0]
        flat = np.empty((len(places) * K, n))
        evaluate_folds(self.problem, weights, places, flat)
        bends = flat.reshape(len(places), K, n).mean(axis=0)
        return metric_of(self.problem._replace(l2=float(l2.mean())), bends)


class ModelSums(NamedTuple):
    """Losses (n_models,) and their gradients (n_models, P, K), without the penalty."""

    losses: Floats
    gradients: Floats


class Models(NamedTuple):
    """The models that a pass evaluates.

    frame : Frame
    held_out : HeldOut
    masses : (n_folds,), as in ``FoldedTask``
    places : list of parameters
    fold_of : (n_models,), the models' folds
    """

    frame: Frame
    held_out: HeldOut
    masses: Floats
    places: list[Floats]
    fold_of: NDArray[np.int64]


def sums_of_models(rows: Rows, models: Models) -> ModelSums:
    """Return a shard's sums for all models."""
    problem = problem_of(rows, models.frame)
    which = np.arange(models.held_out.n_folds)[:, None]
    is_fitted = models.held_out.folds_of(rows)[None, :] != which
    weights = problem.weight * is_fitted / models.masses[:, None]
    size = max(1, WIDEST // max(1, problem.n_outputs))
    found = []
    for first in range(0, len(models.places), size):
        some = slice(first, first + size)
        fold_of = models.fold_of[some]
        found.append(evaluate_folds(problem, weights, models.places[some], None, fold_of))
    losses, gradients = zip(*found, strict=True)
    return ModelSums(np.concatenate(losses), np.concatenate(gradients))


class JointShards:
    """The descents of all folds for some strengths at a time.

    Parameters
    ----------
    given : FoldedTask
        For which ``can_be_joint``.
    options : Options
    """

    def __init__(self, given: FoldedTask, options: Options) -> None:
        self.given, self.options = given, options
        self.frame = frame_of(given.task)._replace(mass=1.0)
        task = sample_task(given.task)
        weights = _weights_of(given, task)
        if self.frame.origin is not None:
            task = task._replace(rows=counted_from(task.rows, self.frame.origin))
        own = options._replace(tol=max(options.tol, SAMPLE_TOL))
        self.sample = SampledFolds(task, weights, own, self.frame.problem.scaler)
        self.target = self.sample.target * options.tol / own.tol

    def fits(self, l2: Floats) -> list[list[FoldFit]]:
        """Return the fits (n_strengths, n_folds) for such an l2, the strongest first."""
        metric = self.sample.descents[0].metric.product
        size = max(1, MOST_OF_METRICS // (2 * metric.size))
        found: list[list[FoldFit]] = []
        with one_blas_thread():
            for first in range(0, l2.shape[0], size):
                descents = [self._begun(strengths) for strengths in l2[first : first + size]]
                self._descend(descents)
                found += [[self._fit_of(descent) for descent in own] for own in descents]
        return found

    def _begun(self, l2: Floats) -> list[FoldDescent]:
        """Return descents that begin where the sample's folds have arrived."""
        self.sample.at(np.zeros_like(l2), l2)
        metric = self.sample.metric_at(l2)
        found = []
        for of_sample, strength in zip(self.sample.descents, l2, strict=True):
            descent = FoldDescent(self.frame.problem, of_sample.point.u, metric)
            descent.begin(float(strength))
            found.append(descent)
        return found

    def _descend(self, descents: Sequence[Sequence[FoldDescent]]) -> None:
        """Take steps until each descent has arrived."""
        active = [(f, descent) for own in descents for f, descent in enumerate(own)]
        self._evaluate(active)
        while True:
            for _, descent in active:
                descent.aim()
            most = self.options.max_iter
            active = [pair for pair in active if not has_arrived(pair[1], self.target, most)]
            if not active:
                return
            self._evaluate(active)

    def _evaluate(self, active: Sequence[tuple[int, FoldDescent]]) -> None:
        """Evaluate descents where they aim at, in one pass."""
        fold_of = np.array([f for f, _ in active])
        places = [descent.aimed for _, descent in active]
        given = self.given
        models = Models(self.frame, given.held_out, given.masses, places, fold_of)
        sums = given.task.shards.total(partial(sums_of_models, models=models), added)
        for k, (_, descent) in enumerate(active):
            gradient = sums.gradients[k].reshape(descent.aimed.shape)
            descent.reach(float(sums.losses[k]), gradient)

    def _fit_of(self, descent: FoldDescent) -> FoldFit:
        """Return coefficients in the user's units."""
        coef, intercept, _ = model_at(self.frame.problem, descent.point.u)
        if self.frame.origin is not None:
            intercept = intercept - np.sum(coef * self.frame.origin, axis=-1)
        return FoldFit(coef, intercept, descent.n_passes, descent.converged)
