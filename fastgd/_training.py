"""Epochs: what lies between an estimator's ``fit`` and the kernels' spans of steps.

``Trainer`` takes data and a rule, and descends: it asks the schedule for rates, the sampler for an
order, hands a span of steps at a time to the kernel, and after each epoch looks whether the
objective, or the score on rows held out, still improves. All that outlives a call, so that 2 + 3
epochs are 5, is in ``Progress``, plain arrays and numbers that pickle.
"""

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from tqdm.auto import tqdm

from fastgd._frames import Frames
from fastgd._order import Order
from fastgd._progress import Data, Progress, Settings
from fastgd._resolve import check_together, in_dtype, spread, start_within
from fastgd._threads import one_blas_thread
from fastgd._validation import as_rows, frozen
from fastgd.kernels import frames
from fastgd.kernels.sgd import Memory, Plan, Rule, Samples, sgd_batches, sgd_rows
from fastgd.kernels.sgd_multi import MultiMemory, MultiRule, MultiSamples, sgd_batches_multi

SPAN_STEPS = 1 << 16  # steps handed to a kernel at once: bounds the arrays of rates to 3 MB
BLOCK_ROWS = 256  # dense rows of a many-output batch gathered at a time


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
        self._order = Order(data, settings, progress.seed)
        self._data = self._order.arrange(data)
        dtype = progress.params.dtype
        check_together(rule.loss, rule.penalty, rule.optimizer)
        start_within(rule.penalty, progress.params)
        penalty = spread(rule.penalty, progress.params.shape)
        tags = [in_dtype(tag, dtype) for tag in (rule.loss, penalty, rule.optimizer)]
        self._many = progress.params.ndim == 2
        self._rule = (
            MultiRule(*tags, rule.fit_intercept, progress.params.shape[1])
            if self._many
            else Rule(*tags, rule.fit_intercept)
        )
        self._rows = as_rows(self._data.X)
        self._memory = self._allocate()
        self._frame = Frames(self._rule, self._rows, progress)

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
        everywhere = isinstance(frame, frames.Plain | frames.Tied) and self._rows.is_sparse
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
