"""Epochs: what lies between an estimator's ``fit`` and the kernels' spans of steps.

``Trainer`` takes data and a rule, and descends: it asks the schedule for rates, the sampler for an
order, hands a span of steps at a time to the kernel, and after each epoch looks whether the
objective, or the score on rows held out, still improves. All that outlives a call, so that 2 + 3
epochs are 5, is in ``Progress``, plain arrays and numbers that pickle.
"""

import dataclasses
import os
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from tqdm.auto import tqdm

from fastgd._resolve import Schedule, in_dtype
from fastgd._threads import one_blas_thread
from fastgd._validation import as_rows, frozen
from fastgd.kernels import frames, optimizers, penalties
from fastgd.kernels.optimizers import LazyAdam, Momentum, Sgd, backward_coasts
from fastgd.kernels.sampling import shuffled_rows, shuffled_runs
from fastgd.kernels.sgd import Memory, Plan, Rule, Samples, sgd_batches, sgd_rows
from fastgd.kernels.sgd_multi import MultiMemory, MultiRule, MultiSamples, sgd_batches_multi

SPAN_STEPS = 1 << 16  # steps handed to a kernel at once: bounds the arrays of rates to 3 MB
RUN_LENGTH = 32  # neighbours that stay together when runs of the shuffled rows are shuffled
FEWEST_RUNS = 2048  # with fewer rows than make so many runs, runs are shorter, down to one row
BLOCK_ROWS = 256  # dense rows of a many-output batch gathered at a time
FEWEST_EPOCHS_TO_COPY = 4  # a copy of X in shuffled order costs about what two epochs save


@dataclasses.dataclass
class Progress:
    """Where training stands; it belongs to the estimator and persists between calls.

    Attributes
    ----------
    params : ndarray of shape (n_features + 1,) or (n_features + 1, n_outputs)
        The iterate, intercept last.
    state : ndarray of shape (n_slots, *params.shape)
        The optimizer's.
    average : ndarray of params' shape, float64, or (0,)
        Sum of the averaged iterates.
    averaged, steps, epochs : int
        Iterates in ``average``; update steps and epochs so far.
    seed : int
        Of the orders in which rows are visited.
    history : dict of str to list
    """

    params: NDArray[Any]
    state: NDArray[Any]
    average: NDArray[np.float64]
    seed: int
    averaged: int = 0
    steps: int = 0
    epochs: int = 0
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    @classmethod
    def begin(cls, params: NDArray[Any], optimizer: Any, *, average: bool, seed: int) -> "Progress":
        """Return the start of a training from these parameters, which are copied."""
        state = np.zeros((optimizer.n_slots, *params.shape), params.dtype)
        total = np.zeros(params.shape if average else (0,) * params.ndim)
        return cls(params.copy(), state, total, seed)

    def copy(self) -> "Progress":
        """Return a copy that shares nothing, so that a failed call can be forgotten."""
        arrays = {name: getattr(self, name).copy() for name in ("params", "state", "average")}
        history = {name: list(values) for name, values in self.history.items()}
        return dataclasses.replace(self, **arrays, history=history)

    def reported(self) -> NDArray[Any]:
        """Return the parameters to predict with: the average where there is one."""
        if self.averaged == 0:
            return self.params
        return (self.average / self.averaged).astype(self.params.dtype)


class Settings(NamedTuple):
    """How to train; the words are the estimators'."""

    batch_size: int
    schedule: Schedule
    shuffle: bool
    average: int
    max_iter: int
    tol: float | None
    n_iter_no_change: int
    verbose: int


class Data(NamedTuple):
    """What to train on.

    X : ndarray or CSR, validated
    y : ndarray of shape (n_samples,) in X's dtype, or the labels' numbers, or (n_samples, K)
    weight : ndarray of shape (n_samples,) in X's dtype; empty means 1
    unit : float, the mean weight that gradients are divided by
    rows : ndarray, the numbers of the rows to visit; empty means all
    positive_weight : ndarray of shape (K,), one-vs-rest only
    """

    X: Any
    y: NDArray[Any]
    weight: NDArray[Any]
    unit: float
    rows: NDArray[Any]
    positive_weight: NDArray[Any]

    @property
    def n_visited(self) -> int:
        """Number of rows that an epoch visits."""
        return self.rows.shape[0] if self.rows.shape[0] > 0 else self.y.shape[0]


Score = Callable[[NDArray[Any]], NDArray[np.float64]]


def train(
    data: Data, rule: Rule, progress: Progress, settings: Settings, score: Score | None = None
) -> tuple[Progress, int]:
    """Descend for ``max_iter`` epochs, or until it no longer helps.

    Parameters
    ----------
    data : Data
    rule : Rule
        Loss, penalty, optimizer, whether there is an intercept.
    progress : Progress
        Where to start; it is left as it is.
    settings : Settings
    score : callable, default=None
        From parameters to scores on rows held out, one for each thing that stops by itself; the
        best parameters are kept. By default training stops by its objective.

    Returns
    -------
    progress : Progress
    n_iter : int
        Epochs taken.

    Raises
    ------
    ValueError
        If the parameters are no longer finite.
    """
    watch = _Watch(settings, keep_best=score is not None)
    epochs = range(settings.max_iter)
    bar = tqdm(epochs, unit="epoch", disable=not settings.verbose, leave=settings.verbose > 1)
    with one_blas_thread(), bar, np.errstate(over="ignore", invalid="ignore", under="ignore"):
        trainer = _Trainer(data, rule, progress.copy(), settings)
        for _ in bar:
            objectives = trainer.epoch()
            measured = objectives if score is None else -score(trainer.progress.reported())
            if score is not None:
                trainer.note(validation_score=-float(np.mean(measured)))
            if settings.verbose:
                bar.set_postfix(objective=f"{objectives.sum():.6g}", refresh=False)
            if watch.stalled(measured, trainer.progress):
                break
    watch.restore(trainer.progress)
    return trainer.progress, trainer.progress.epochs - progress.epochs


def warn_if_unfinished(n_iter: int, settings: Settings) -> None:
    """Warn as scikit-learn does where the last epoch was one too few."""
    if settings.tol is not None and n_iter == settings.max_iter:
        warnings.warn(
            "Maximum number of iteration reached before convergence. Consider increasing max_iter "
            "to improve the fit.",
            ConvergenceWarning,
            stacklevel=2,
        )


class _Watch:
    """Whether training still helps: scikit-learn's rule, for each column that stops by itself.

    A value that does not fall by ``tol`` below the best, ``n_iter_no_change`` epochs in a row,
    ends it. A column that has ended keeps the parameters that it had, while others go on.
    """

    def __init__(self, settings: Settings, *, keep_best: bool) -> None:
        self._tol = settings.tol
        self._patience = settings.n_iter_no_change
        self._keep_best = keep_best
        self._best: NDArray[np.float64] | None = None
        self._kept: tuple[NDArray[Any], NDArray[Any]] | None = None

    def stalled(self, values: NDArray[np.float64], progress: Progress) -> bool:
        """Take in an epoch's values; return whether all columns have ended."""
        if self._best is None:
            self._best = np.full(values.shape, np.inf)
            self._count = np.zeros(values.shape, np.int64)
            self._ended = np.zeros(values.shape, bool)
        if self._tol is not None:
            worse = values > self._best - self._tol
            self._count = np.where(worse, self._count + 1, 0)
        ends = (self._count >= self._patience) & ~self._ended
        better = (values < self._best) & ~self._ended
        self._keep(better if self._keep_best else ends, progress)
        self._best = np.where(better, values, self._best)
        self._ended |= ends
        return bool(self._ended.all())

    def _keep(self, columns: NDArray[np.bool_], progress: Progress) -> None:
        if not (self._keep_best or self._ended.size > 1) or not columns.any():
            return
        now = (progress.params, progress.average)
        if self._kept is None:
            self._kept = (progress.params.copy(), progress.average.copy())
        for kept, part in zip(self._kept, now, strict=True):
            if columns.size == 1:
                kept[...] = part
            elif part.size > 0:
                kept[:, columns] = part[:, columns]

    def restore(self, progress: Progress) -> None:
        """Put back what was kept."""
        if self._kept is None:
            return
        columns: NDArray[Any] = self._ended | self._keep_best
        for kept, part in zip(self._kept, (progress.params, progress.average), strict=True):
            if columns.size == 1:
                part[...] = kept
            elif part.size > 0:
                part[:, columns] = kept[:, columns]


class _Trainer:
    """One call's worth of epochs: the rows in the order of training, and the kernels' arrays."""

    def __init__(self, data: Data, rule: Rule, progress: Progress, settings: Settings) -> None:
        self.progress = progress
        self._settings = settings
        self._order = _Order(data, settings, progress.seed)
        self._data = self._order.arrange(data)
        dtype = progress.params.dtype
        tags = [in_dtype(tag, dtype) for tag in (rule.loss, rule.penalty, rule.optimizer)]
        self._many = progress.params.ndim == 2
        self._rule = (
            MultiRule(*tags, rule.fit_intercept, progress.params.shape[1])
            if self._many
            else Rule(*tags, rule.fit_intercept)
        )
        self._rows = as_rows(self._data.X)
        self._memory = self._allocate()
        self._frame = _Frames(self._rule, self._rows, progress)

    def epoch(self) -> NDArray[np.float64]:
        """Visit all rows once; return the objective as training met it, one for each column.

        Columns that share a loss (softmax) have one objective.
        """
        started, progress = time.perf_counter(), self.progress
        order = self._order.of_epoch(progress.epochs)
        n_visited, batch_size = self._data.n_visited, self._settings.batch_size
        n_steps = -(-n_visited // batch_size)
        sums = np.zeros((2, progress.params.shape[1] if self._many else 1))
        for first in range(0, n_steps, SPAN_STEPS):
            last = min(first + SPAN_STEPS, n_steps)
            span = slice(first * batch_size, min(last * batch_size, n_visited))
            sums += self._span(order, span, last - first)
        progress.epochs += 1
        loss, penalty = sums[0] / self._data.unit / n_visited, sums[1] / n_visited
        self._refuse_divergence(loss)
        total_loss, total_penalty = float(loss.sum()), float(penalty.sum())
        self.note(
            objective=total_loss + total_penalty,
            loss=total_loss,
            penalty=total_penalty,
            learning_rate=float(self._rates(progress.steps, 1)[0]),
            seconds=time.perf_counter() - started,
        )
        shared = hasattr(self._rule.loss, "gradient_row")
        return np.array([total_loss + total_penalty]) if shared else loss + penalty

    def note(self, **values: float) -> None:
        """Add an epoch's figures to the history."""
        for name, value in values.items():
            self.progress.history.setdefault(name, []).append(value)

    def _span(self, order: NDArray[Any], span: slice, n_steps: int) -> NDArray[np.float64]:
        """Take ``n_steps`` steps on the visited rows of a span; return sums of loss and penalty."""
        progress, rule = self.progress, self._rule
        rates = self._rates(progress.steps + 1, n_steps)
        paces = rule.optimizer.paces(rule.optimizer, rates, progress.steps + 1)
        onset = n_steps
        if self._settings.average > 0:
            onset = min(max(self._settings.average - 1 - progress.steps, 0), n_steps)
        kernel_paces = paces.astype(progress.params.dtype)
        plan = Plan(
            self._settings.batch_size,
            span.stop - span.start,
            kernel_paces,
            float(self._data.unit),
            onset,
        )
        rows, samples = self._visited(order, span)
        frame = self._frame.of_span(paces)
        sums = self._descend(rows, samples, plan, frame)
        progress.steps += n_steps
        progress.averaged += n_steps - onset
        return sums

    def _descend(self, rows: Any, samples: Any, plan: Plan, frame: Any) -> NDArray[np.float64]:
        if self._many:
            self._memory.losses[:], self._memory.penalties[:] = 0.0, 0.0
            sgd_batches_multi(rows, samples, self._rule, plan, self._memory, frame)
            return np.stack([self._memory.losses, self._memory.penalties])
        everywhere = isinstance(frame, frames.Plain) and self._rows.is_sparse
        descend = sgd_rows if plan.batch_size == 1 and not everywhere else sgd_batches
        return np.array(descend(rows, samples, self._rule, plan, self._memory, frame))[:, None]

    def _visited(self, order: NDArray[Any], span: slice) -> tuple[Any, Any]:
        """Return the rows and samples of a span: by their numbers, or cut out as they lie."""
        data, rows = self._data, self._rows
        y, weight = data.y, data.weight
        if order.shape[0] > 0:
            order = order[span]
        elif span.stop - span.start < data.y.shape[0]:
            rows, y, weight = as_rows(data.X[span]), y[span], weight[span]
        y, weight = frozen(y), frozen(weight)
        if self._many:
            return rows, MultiSamples(y, weight, order, data.positive_weight)
        return rows, Samples(y, weight, order)

    def _rates(self, first: int, n_steps: int) -> NDArray[np.float64]:
        """Ask the schedule for the rates of the steps from number ``first`` on."""
        t = np.arange(first, first + n_steps, dtype=np.float64)
        return np.ascontiguousarray(self._settings.schedule(t), dtype=np.float64)

    def _allocate(self) -> Memory | MultiMemory:
        """Return the kernel's arrays for this call."""
        params, progress = self.progress.params, self.progress
        size, dtype = min(self._settings.batch_size, self._data.n_visited), params.dtype
        gradient = np.zeros_like(params)
        if not self._many:
            margin, target, weight = np.empty((3, size), dtype)
            return Memory(
                params, progress.state, gradient, margin, target, weight, progress.average
            )
        return self._allocate_many(size, gradient)

    def _allocate_many(self, size: int, gradient: NDArray[Any]) -> MultiMemory:
        """Return the kernel's arrays for many outputs: flat views, and scratch for dense rows."""
        progress, (n_rows, n_outputs) = self.progress, self.progress.params.shape
        dtype = progress.params.dtype
        sparse = self._rows.is_sparse
        block = (0, 0) if sparse else (min(size, BLOCK_ROWS), n_rows - 1)
        product = (0, 0) if sparse else (n_rows - 1, n_outputs)
        return MultiMemory(
            params=progress.params.reshape(-1),
            state=progress.state.reshape(progress.state.shape[0], progress.params.size),
            gradient=gradient.reshape(-1),
            table=progress.params,
            gradient_table=gradient,
            margin=np.empty((size, n_outputs), dtype),
            block=np.empty(block, dtype),
            product=np.empty(product, dtype),
            average=progress.average.reshape(-1),
            losses=np.zeros(n_outputs),
            penalties=np.zeros(n_outputs),
        )

    def _refuse_divergence(self, loss: NDArray[np.float64]) -> None:
        params, progress = self.progress.params, self.progress
        if np.isfinite(params).all() and np.isfinite(loss).all():
            return
        rate = float(self._rates(progress.steps, 1)[0])
        raise ValueError(
            f"Floating-point under-/overflow occurred at epoch #{progress.epochs}. Scaling input "
            "data with StandardScaler or MinMaxScaler might help. The learning rate was "
            f"{rate:.3g} at step {progress.steps}: a smaller eta0 might help too."
        )


def run_length(n_visited: int) -> int:
    """Return how many neighbours stay together: few rows are in cache, and need no company."""
    return min(max(n_visited // FEWEST_RUNS, 1), RUN_LENGTH)


class _Order:
    """In which order an epoch visits the rows, and where they lie.

    Rows are shuffled once; each epoch shuffles runs of neighbours of that order. Where memory
    allows and epochs are many, X is copied into the once shuffled order: the rows visited are the
    same, and no longer scattered over memory.
    """

    def __init__(self, data: Data, settings: Settings, seed: int) -> None:
        self._seed = seed
        # the order of the rows within the full batch means nothing
        self._shuffles = settings.shuffle and settings.batch_size < data.n_visited
        index_dtype = np.int32 if data.y.shape[0] <= np.iinfo(np.int32).max else np.int64
        self._rows = data.rows.astype(index_dtype)
        self._n_visited = data.n_visited
        if self._shuffles:
            order = np.empty(self._n_visited, index_dtype)
            shuffled_rows(seed, order)
            self._rows = self._rows[order] if self._rows.shape[0] > 0 else order
        self._copies = (
            self._shuffles
            and settings.max_iter >= FEWEST_EPOCHS_TO_COPY
            and _size(data.X) < _free_memory() // 4
        )

    def arrange(self, data: Data) -> Data:
        """Return the data with its rows laid out in the once shuffled order, if that pays."""
        if not self._copies:
            return data
        rows, self._rows = self._rows, self._rows[:0]
        weight = data.weight[rows] if data.weight.shape[0] > 0 else data.weight
        return data._replace(X=data.X[rows], y=data.y[rows], weight=weight, rows=self._rows)

    def of_epoch(self, epoch: int) -> NDArray[Any]:
        """Return the numbers of the rows in the order of an epoch; empty means as they lie."""
        if not self._shuffles:
            return self._rows
        order = np.empty(self._n_visited, self._rows.dtype)
        shuffled_runs(self._rows, run_length(self._n_visited), self._seed, epoch, order)
        return order


def _size(X: Any) -> int:
    """Return the bytes that X takes."""
    if sp.issparse(X):
        return int(X.data.nbytes + X.indices.nbytes + X.indptr.nbytes)
    return int(X.nbytes)


def _free_memory() -> int:
    """Return the bytes of memory that are free, or a cautious guess where that cannot be told."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 1 << 30


class _Frames:
    """How the coefficients are kept during a span: see ``fastgd.kernels.frames``."""

    def __init__(self, rule: Rule, rows: Any, progress: Progress) -> None:
        self._rule = rule
        averages = progress.average.size > 0
        n_features = progress.params.shape[0] - 1
        kind: Any = _kind_of_frame(rule, averages=averages, sparse=rows.is_sparse)
        self._kind = kind
        self._behind = np.zeros(progress.params[:-1].size if averages else 0)
        if kind in (frames.Lazy, frames.Stepped):
            self._touched = np.zeros(n_features, np.int32)
            self._seen = np.zeros(n_features, np.int64)
            self._owed = np.zeros(progress.params[-1].size)

    def of_span(self, paces: NDArray[np.float64]) -> Any:
        """Return the frame for a span of steps with these paces."""
        if self._kind is frames.Plain:
            return frames.Plain()
        if self._kind in (frames.Scaled, frames.Averaged):
            return self._kind(np.array([1.0, 0.0]), self._behind)
        times = self._times(paces)
        if self._kind is frames.Stepped or self._outshrinks_velocity(times):
            return frames.Stepped(self._touched, self._seen, times, paces, self._owed)
        coasts = self._coasts(paces, times)
        return frames.Lazy(self._touched, self._seen, times, coasts, self._owed)

    def _outshrinks_velocity(self, times: NDArray[np.float64]) -> bool:
        """Tell whether a step shrinks coefficients about as fast as momentum fades, or faster.

        The backward sum of what velocity is still worth, each term over a shrinkage, then grows
        without bound; steps that long are taken one by one.
        """
        optimizer, penalty = self._rule.optimizer, _in_float64(self._rule.penalty)
        if not isinstance(optimizer, Momentum):
            return False
        shrinkage = float(np.exp(-penalty.l2 * np.max(np.diff(times))))
        return shrinkage < (1.0 + float(optimizer.momentum)) / 2.0

    def _times(self, paces: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the penalty's time after each step."""
        times = np.zeros(paces.shape[0] + 1)
        if isinstance(self._rule.optimizer, LazyAdam):
            np.cumsum(paces[:, 0], out=times[1:])  # each coefficient has a clock of its own speed
        else:
            lengths = type(self._rule.optimizer).lengths(self._rule.optimizer, paces)
            optimizers.cumulative_times(_in_float64(self._rule.penalty), lengths, times)
        return times

    def _coasts(self, paces: NDArray[np.float64], times: NDArray[np.float64]) -> Any:
        """Return how far velocity carries from each step on; nothing without momentum."""
        coasts = np.zeros(paces.shape[0] + 1)
        optimizer = self._rule.optimizer
        if isinstance(optimizer, Momentum):
            momentum = float(optimizer.momentum)
            reach = paces[:, 0] * momentum * (momentum if optimizer.nesterov else 1.0)
            penalty = _in_float64(self._rule.penalty)
            backward_coasts(penalty, momentum, reach, times, coasts)
        return coasts


def _in_float64(penalty: Any) -> penalties.ElasticNet:
    return in_dtype(penalty, np.dtype(np.float64))


def _kind_of_frame(rule: Rule, *, averages: bool, sparse: bool) -> type:
    """Choose how coefficients are kept; each choice gives the same model, to rounding."""
    absolute = rule.penalty.l1 > 0
    if not sparse or not hasattr(rule.optimizer, "catch_up"):  # Adam has no closed form of a rest
        return frames.Plain
    if isinstance(rule.optimizer, Sgd) and not absolute:
        return frames.Averaged if averages else frames.Scaled
    if averages:
        return frames.Plain  # the mean of such paths has no closed form: every step, everywhere
    if isinstance(rule.optimizer, Momentum) and absolute:
        return frames.Stepped
    return frames.Lazy
