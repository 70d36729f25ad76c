"""Epochs: what lies between an estimator's ``fit`` and the kernels' spans of steps.

``Trainer`` takes data and a rule, and descends: it asks the schedule for rates, the sampler for an
order, hands a span of steps at a time to the kernel, and after each epoch looks whether the
objective, or the score on rows held out, still improves. All that outlives a call, so that 2 + 3
epochs are 5, is in ``Progress``, plain arrays and numbers that pickle.
"""

import dataclasses
import time
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from fastgd._divergence import (
    BACKOFF,
    EXPLODED,
    IN_VAIN,
    MOST_BACKOFFS,
    RISEN,
    Diverged,
    largest_column,
)
from fastgd._frames import Frames
from fastgd._order import Order
from fastgd._progress import Data, Progress, Reference, Settings
from fastgd._resolve import check_together, in_dtype, spread, start_within, transform_in_dtype
from fastgd._threads import one_blas_thread
from fastgd._validation import as_rows, frozen
from fastgd._watching import TrainingWatch
from fastgd.kernels import frames
from fastgd.kernels.optimizers import Sgd
from fastgd.kernels.sgd import Memory, Plan, Rule, Samples, sgd_batches, sgd_rows
from fastgd.kernels.sgd_multi import MultiMemory, MultiRule, MultiSamples, sgd_batches_multi
from fastgd.kernels.transforms import Identity
from fastgd.schedules import Constant

SPAN_STEPS = 1 << 16  # steps handed to a kernel at once: bounds the arrays of rates to 3 MB
BLOCK_ROWS = 256  # dense rows of a many-output batch gathered at a time


Score = Callable[[NDArray[Any]], NDArray[np.float64]]


def train(
    data: Data,
    rule: Rule,
    progress: Progress,
    settings: Settings,
    score: Score | None = None,
    observer: TrainingWatch | None = None,
) -> tuple[Progress, int]:
    """Descend for ``max_iter`` epochs, or until it no longer helps.

    Parameters
    ----------
    data : Data
    rule : Rule
        Loss, penalty, optimizer, whether there is an intercept, the gradient's transform.
    progress : Progress
        Where to start; it is left as it is.
    settings : Settings
    score : callable, default=None
        From parameters to scores on rows held out, one for each thing that stops by itself; the
        best parameters are kept. By default training stops by its objective.
    observer : TrainingWatch, default=None
        Is told of each epoch, and may stop the training after any span of steps.

    Returns
    -------
    progress : Progress
    n_iter : int
        Epochs taken.

    Raises
    ------
    Diverged
        If the parameters or the objective explode and ``on_divergence`` is "raise".
    """
    adapts = getattr(settings.schedule, "begin", lambda _: None)(1) is not None
    # a schedule that shrinks the rate where training stalls ends it as well
    patience = settings._replace(tol=None) if adapts else settings
    watch = _Watch(patience, keep_best=score is not None)
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore", under="ignore"):
        measure = "objective" if score is None else "score"
        trainer = _Trainer(data, rule, progress.copy(), settings, observer, measure)
        for _ in range(settings.max_iter):
            if not trainer.takes_epoch(watch):
                break
            objectives = trainer.objectives
            measured = objectives if score is None else -score(trainer.progress.reported())
            if score is not None:
                trainer.note(validation_score=-float(np.mean(measured)))
            stalled = watch.stalled(measured, trainer.progress)
            by_schedule = trainer.stalls(measured)
            ends = stalled if by_schedule is None else by_schedule
            if ends and trainer.ends_in_vain():
                watch.forgive()
                ends = False
            # last of all: what an observer keeps is where the next epoch begins
            is_told_to_stop = observer is not None and observer.epoch_ended(trainer.progress)
            if ends or is_told_to_stop:
                break
        trainer.warn_of_a_rise()
        trainer.warn_of_too_strong_a_decay()
    watch.restore(trainer.progress)
    if observer is not None:
        observer.restore(trainer.progress)
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
            worse = ~(values <= self._best - self._tol)  # no number is no improvement
            self._count = np.where(worse, self._count + 1, 0)
        ends = (self._count >= self._patience) & ~self._ended
        better = (values < self._best) & ~self._ended
        self._keep(better if self._keep_best else ends, progress)
        self._best = np.where(better, values, self._best)
        self._ended |= ends
        return bool(self._ended.all())

    def forgive(self) -> None:
        """Count anew from here on: training went back, and goes on with smaller steps."""
        if self._best is not None:
            self._count[:], self._ended[:] = 0, False

    def _keep(self, columns: NDArray[np.bool_], progress: Progress) -> None:
        if not (self._keep_best or self._ended.size > 1) or not columns.any():
            return
        # the mean of the iterates: their number goes on to grow, and is shared by the columns
        now = (progress.params, progress.average / max(progress.averaged, 1))
        if self._kept is None:
            self._kept = (now[0].copy(), now[1].copy())
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
        best = (self._kept[0], self._kept[1] * progress.averaged)
        for kept, part in zip(best, (progress.params, progress.average), strict=True):
            if columns.size == 1:
                part[...] = kept
            elif part.size > 0:
                part[:, columns] = kept[:, columns]


class _Trainer:
    """One call's worth of epochs: the rows in the order of training, and the kernels' arrays."""

    def __init__(
        self,
        data: Data,
        rule: Rule,
        progress: Progress,
        settings: Settings,
        observer: TrainingWatch | None = None,
        measure: str = "objective",
    ) -> None:
        self.progress = progress
        self._settings = settings
        self._observer = observer
        self._asked = rule
        self._order = Order(data, settings, progress.seed)
        self._data = self._order.arrange(data)
        dtype = progress.params.dtype
        check_together(rule.loss, rule.penalty, rule.optimizer)
        start_within(rule.penalty, progress.params)
        penalty = spread(rule.penalty, progress.params.shape)
        tags = [in_dtype(tag, dtype) for tag in (rule.loss, penalty, rule.optimizer)]
        self._many = progress.params.ndim == 2
        self._shared = not self._many or hasattr(rule.loss, "gradient_row")
        plain = isinstance(rule.transform, Identity)
        self._clips = not plain and not isinstance(rule.transform.clip, Identity)
        self._quantizes = not plain and not isinstance(rule.transform.quantize, Identity)
        transform = transform_in_dtype(rule.transform, dtype, is_shared=self._shared)
        self._rule = (
            MultiRule(*tags, rule.fit_intercept, progress.params.shape[1], transform)
            if self._many
            else Rule(*tags, rule.fit_intercept, transform)
        )
        self._remember(progress)
        self._rows = as_rows(self._data.X)
        self._memory = self._allocate()
        self._frame = Frames(self._rule, self._rows, progress)
        self._begin_course(measure)
        self._goes_back = settings.on_divergence != "raise"
        self._reference = self._begin_reference()

    def takes_epoch(self, watch: "_Watch") -> bool:
        """Take an epoch, with smaller steps as often as it explodes; return whether one was."""
        while True:
            try:
                self.objectives = self.epoch()
                return True
            except Diverged as explosion:
                if not self.recovers(explosion):
                    return False
                watch.forgive()

    def epoch(self) -> NDArray[np.float64]:
        """Visit all rows once; return the objective as training met it, one for each column.

        Columns that share a loss (softmax) have one objective.
        """
        started, progress = time.perf_counter(), self.progress
        start = progress.params.copy()
        before = self._without_past() if self._goes_back else progress
        loss, penalty = self._visit()
        progress.epochs += 1
        objective = float(loss.sum() + penalty.sum())
        if objective <= self._reference.least:
            # the epoch's objective tells of the parameters that it began with
            self._reference.best, self._reference.least = before, objective
        if self._goes_back:
            progress.reference = dataclasses.replace(self._reference)
        self.note(
            objective=objective,
            loss=float(loss.sum()),
            penalty=float(penalty.sum()),
            learning_rate=float(self._rates(progress.steps, 1)[0]),
            update_norm=float(np.linalg.norm(progress.params - start)),
            coef_norm=float(np.linalg.norm(progress.params[:-1])),
            samples=float(self._n_seen + progress.history.get("samples", [0.0])[-1]),
            seconds=time.perf_counter() - started,
        )
        if self._clips:
            self.note(clipped=self._clipped)
        if self._settings.on_divergence == "backoff":
            self.note(backoffs=float(progress.backoffs))
        if self._settings.monitor:
            self._monitor()
        return np.array([loss.sum() + penalty.sum()]) if self._shared else loss + penalty

    def _visit(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Take the steps of an epoch; return the mean loss and penalty that they met."""
        progress, batch_size = self.progress, self._settings.batch_size
        order = self._order.of_epoch(progress.epochs)
        n_visited = self._data.n_visited
        n_steps = -(-n_visited // batch_size)
        sums = np.zeros((3, progress.params.shape[1] if self._many else 1))
        for first in range(0, n_steps, SPAN_STEPS):
            last = min(first + SPAN_STEPS, n_steps)
            span = slice(first * batch_size, min(last * batch_size, n_visited))
            sums += self._span(order, span, last - first)
            loss, penalty = sums[0] / self._data.unit / span.stop, sums[1] / span.stop
            self._look_out(float(loss.sum() + penalty.sum()))
            if self._observer is not None and self._observer.stops:
                break
        self._n_seen = span.stop
        if self._clips:
            n_problems = 1 if self._shared else sums.shape[1]
            self._clipped = float(sums[2].sum()) / last / n_problems
        return loss, penalty

    def _begin_course(self, measure: str) -> None:
        """Let a schedule that depends on how training goes go on, or begin."""
        schedule, progress = self._settings.schedule, self.progress
        course = progress.course
        begun = schedule.begin(1) if hasattr(schedule, "begin") else None
        if begun is None or course is None or course.eta0 != begun.eta0:
            progress.course = begun
        elif progress.measure != measure:  # scores and objectives cannot be compared
            progress.course = begun._replace(eta=course.eta)
        progress.measure = measure

    def _begin_reference(self) -> Reference:
        """Return what tells an explosion: that of the last call, if it was of the same rows."""
        progress, known = self.progress, self.progress.reference
        progress.reference = None
        if not self._goes_back:
            return Reference(0, progress.params.copy(), None, progress, np.inf)
        rows = _checksum(self._data)
        if known is not None and known.rows == rows:
            return dataclasses.replace(known)
        return Reference(rows, progress.params.copy(), None, self._without_past(), np.inf)

    def _without_past(self) -> Progress:
        """Return a copy to go back to: the history goes on, and references are no chain."""
        return dataclasses.replace(self.progress.copy(), history={}, reference=None)

    def stalls(self, measured: NDArray[np.float64]) -> bool | None:
        """Tell a schedule how the epoch went; return whether it ends training, None without one.

        Columns share a rate, and so what it depends on: the mean over them.
        """
        settings, course = self._settings, self.progress.course
        if course is None:
            return None
        schedule: Any = settings.schedule
        value = np.array([measured.mean()])
        tol, patience = settings.schedule_tol, settings.n_iter_no_change
        self.progress.course = schedule.after_epoch(course, value, tol, patience)
        return bool(self.progress.course.stop) and settings.tol is not None

    def _remember(self, progress: Progress) -> None:
        """Give a quantizer that feeds back a memory, unless it has one; take it from others."""
        feeds_back = self._quantizes and self._rule.transform.quantize.feeds_back
        shape = progress.params.shape if feeds_back else (0,)
        if progress.residual.shape != shape:
            progress.residual = np.zeros(shape)
        progress.residual = progress.residual.astype(progress.params.dtype, copy=False)

    def note(self, **values: float) -> None:
        """Add an epoch's figures to the history."""
        history = self.progress.history
        for name, value in values.items():
            n_before = len(history.get("objective", [])) - (name != "objective")
            entries = history.setdefault(name, [])
            entries.extend([np.nan] * (n_before - len(entries)))
            entries.append(value)

    def _span(self, order: NDArray[Any], span: slice, n_steps: int) -> NDArray[np.float64]:
        """Take ``n_steps`` steps on the visited rows of a span.

        Returns sums of loss and penalty, and how many steps were clipped.
        """
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
            progress.seed,
            progress.steps + 1,
        )
        rows, samples = self._visited(order, span)
        frame = self._frame.of_span(paces)
        sums = self._descend(rows, samples, plan, frame)
        progress.steps += n_steps
        progress.averaged += n_steps - onset
        return sums

    def _descend(self, rows: Any, samples: Any, plan: Plan, frame: Any) -> NDArray[np.float64]:
        if self._many:
            sums = (self._memory.losses, self._memory.penalties, self._memory.clipped)
            for one in sums:
                one[:] = 0.0
            sgd_batches_multi(rows, samples, self._rule, plan, self._memory, frame)
            return np.stack(sums)
        everywhere = isinstance(frame, frames.Plain | frames.Tied) and self._rows.is_sparse
        by_rows = plan.batch_size == 1 and not everywhere and not self._quantizes
        descend = sgd_rows if by_rows else sgd_batches
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
        rates = np.asarray(self._settings.schedule(t))
        _check_rates(rates, first, n_steps)
        course = self.progress.course
        factor = self.progress.factor * (1.0 if course is None else float(course.factor[0]))
        return np.ascontiguousarray(rates, dtype=np.float64) * factor

    def _allocate(self) -> Memory | MultiMemory:
        """Return the kernel's arrays for this call."""
        params, progress = self.progress.params, self.progress
        size, dtype = min(self._settings.batch_size, self._data.n_visited), params.dtype
        gradient = np.zeros_like(params)
        if not self._many:
            margin, target, weight = np.empty((3, size), dtype)
            arrays = (params, progress.state, gradient, margin, target, weight)
            return Memory(*arrays, progress.average, progress.residual, np.empty(1))
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
            residual=progress.residual.reshape(-1),
            clipped=np.zeros(n_outputs),
            costs=np.empty(n_outputs),
            totals=np.empty(n_outputs),
            shares=np.zeros(n_outputs, dtype),
        )

    # -- divergence -----------------------------------------------------------------------------

    def _look_out(self, objective: float) -> None:
        """Raise ``Diverged`` where parameters or objective have exploded."""
        if np.isfinite(self.progress.params).all() and np.isfinite(objective):
            limit = EXPLODED[self._settings.on_divergence]
            if objective <= limit or objective <= limit * self._start_objective():
                return
        raise self._explosion()

    def _explosion(self) -> Diverged:
        """Return what there is to say of it."""
        progress = self.progress
        column, scale = largest_column(self._data.X)
        rate = float(self._rates(progress.steps, 1)[0])
        return Diverged(progress.epochs + 1, progress.steps, rate, column, scale)

    def ends_in_vain(self) -> bool:
        """Go back, to go on with smaller steps, where training ends above its start."""
        last = self.progress.history["objective"][-1]
        if self._settings.on_divergence != "backoff" or last <= IN_VAIN * self._start_objective():
            return False
        return self.recovers(self._explosion())

    def _start_objective(self) -> float:
        """Return the objective at the parameters that this call began with: another pass over X."""
        reference = self._reference
        if reference.start_objective is None:
            loss, penalty, _ = self._probe(reference.start)
            reference.start_objective = loss + penalty
        return reference.start_objective

    def recovers(self, explosion: Diverged) -> bool:
        """Go back to before the epoch that exploded; return whether to go on from there."""
        answer = self._settings.on_divergence
        self.progress.backoffs += 1
        if answer == "raise" or self.progress.backoffs > MOST_BACKOFFS:
            raise explosion
        now, self.progress = self.progress, self._reference.best.copy()
        self.progress.factor, self.progress.epochs = now.factor, now.epochs
        self.progress.backoffs = now.backoffs
        self.progress.history, self.progress.is_shared = now.history, now.is_shared
        self.progress.reference = dataclasses.replace(self._reference)
        self._memory = self._allocate()
        self._frame = Frames(self._rule, self._rows, self.progress)
        if answer == "warn":
            self._note_explosion()
            warnings.warn(
                f"{explosion} Training ended with the parameters of the best epoch.",
                ConvergenceWarning,
                stacklevel=2,
            )
            return False
        self.progress.factor *= BACKOFF
        return True

    def _note_explosion(self) -> None:
        """Give the epoch that exploded an entry: that of the parameters that were put back."""
        progress = self.progress
        progress.epochs += 1
        loss, penalty, gradient = self._probe(progress.reported())
        self.note(
            objective=loss + penalty,
            loss=loss,
            penalty=penalty,
            learning_rate=float(self._rates(max(progress.steps, 1), 1)[0]),
            update_norm=0.0,
            coef_norm=float(np.linalg.norm(progress.params[:-1])),
            samples=progress.history.get("samples", [0.0])[-1],
            seconds=0.0,
        )
        if self._settings.monitor:
            norm = float(np.linalg.norm(gradient))
            self.note(true_objective=loss + penalty, gradient_norm=norm)

    def warn_of_too_strong_a_decay(self) -> None:
        """Warn where the last step's decay left nothing of the coefficients.

        A step of length h keeps the share max(0, 1 - h l2): beyond h l2 = 1 it rests elsewhere
        than at the minimum.
        """
        optimizer, steps = self._asked.optimizer, self.progress.steps
        strength = _largest_l2(self._asked.penalty)
        if strength == 0.0 or steps == 0 or not hasattr(optimizer, "lengths"):
            return
        paces = optimizer.paces(optimizer, self._rates(steps, 1), steps)
        length = float(type(optimizer).lengths(optimizer, paces)[0])
        if length * strength <= 1.0:
            return
        warnings.warn(
            f"The last step had a length of {length:.3g} (the learning rate, divided by 1 - "
            f"momentum where there is one), and the strength of the l2 penalty is {strength:.3g}: "
            "their product is above 1, so that each step drops all of the coefficients, and they "
            "are not near the minimum of the objective. Take a smaller eta0, momentum or alpha.",
            ConvergenceWarning,
            stacklevel=2,
        )

    def warn_of_a_rise(self) -> None:
        """Warn where the last epoch's objective is many times that of the start."""
        last = self.progress.history.get("objective", [])[-1:]
        if not last or last[0] <= RISEN or last[0] <= RISEN * self._start_objective():
            return
        warnings.warn(
            f"The objective rose from {self._start_objective():.3g} to {last[0]:.3g}: the "
            "coefficients have been thrown off. Scale the features, take a smaller eta0, or pass "
            "clip_norm=1.0 or on_divergence='backoff'.",
            ConvergenceWarning,
            stacklevel=2,
        )

    # -- monitoring -----------------------------------------------------------------------------

    def _monitor(self) -> None:
        """Note the objective of all rows at the parameters as they are, and its gradient's norm."""
        loss, penalty, gradient = self._probe(self.progress.reported())
        norm = float(np.linalg.norm(gradient))
        self.note(true_objective=loss + penalty, gradient_norm=norm)

    def _probe(self, params: NDArray[Any]) -> tuple[float, float, NDArray[Any]]:
        """Return loss and penalty of the rows that are visited, and the proximal gradient.

        One step with all rows as its batch meets the objective before it moves; what it moves, by
        the length of the step, is the gradient, of the absolute penalty its proximal map.
        """
        rule, penalty = self._asked, self._asked.penalty
        length = 1.0 / max(1.0, 2.0 * _largest_l2(penalty))
        plain = Rule(rule.loss, penalty, Sgd(), rule.fit_intercept)
        once = Settings(
            batch_size=self._data.n_visited,
            schedule=Constant(length),
            shuffle=False,
            average=0,
            max_iter=1,
            tol=None,
            n_iter_no_change=1,
        )
        start = Progress.begin(params, plain.optimizer, average=False, seed=0)
        probe = _Trainer(self._data, plain, start.copy(), once)
        probe._reference.start_objective = np.inf  # it reports, and judges nothing
        loss, cost = probe._visit()
        moved = (params - probe.progress.params) / length
        return float(loss.sum()), float(cost.sum()), moved


def _checksum(data: Data) -> int:
    """Return a number by which calls on the same rows are known: of all targets, and some of X."""
    X = data.X.data[:512] if sp.issparse(data.X) else data.X[:: max(data.X.shape[0] - 1, 1)]
    found = data.n_visited
    for part in (data.y, X):
        found = zlib.crc32(np.ascontiguousarray(part).tobytes(), found)
    return found


def _largest_l2(penalty: Any) -> float:
    """Return the strongest l2 penalty of any coefficient."""
    return float(penalty.l2 * np.max(getattr(penalty, "factors", 1.0)))


def _check_rates(rates: NDArray[Any], first: int, n_steps: int) -> None:
    """Refuse what a callable returned for ``learning_rate`` that is not a rate for each step."""
    if rates.shape != (n_steps,) or rates.dtype.kind not in "fiu":
        raise ValueError(
            f"learning_rate must return a number for each step: for {n_steps} steps an array of "
            f"shape ({n_steps},), got shape {rates.shape} of {rates.dtype}."
        )
    is_rate = np.isfinite(rates) & (rates >= 0)
    if not is_rate.all():
        bad = int(np.argmin(is_rate))
        raise ValueError(
            f"learning_rate must return finite rates >= 0, got {rates[bad]} for step {first + bad}."
        )
