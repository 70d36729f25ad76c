"""The epoch loop: what lies between an estimator's ``fit`` and an engine's steps.

A ``Trainer`` asks the source for the blocks of an epoch and the schedule for rates, hands some
steps at a time to the engine, and after each epoch looks whether the objective, or the score on
rows held out, still improves. It knows nothing of X, of layers or of devices. All that outlives a
call, so that 2 + 3 epochs are 5, is in ``Progress``: plain arrays and numbers that pickle.
"""

import functools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from fastgd._data.source import Block, Source
from fastgd._engines.protocol import (
    Engine,
    Plan,
    Reduce,
    Sums,
    is_finite,
    total,
)
from fastgd._monitoring.observer import Observer
from fastgd._parameters.resolve import Schedule
from fastgd._runtime.threads import one_blas_thread
from fastgd._runtime.warned import warn
from fastgd._training.divergence import Diverged, Guard, warn_of_decay
from fastgd._training.progress import Epoch, Progress, Settings, Unfinished
from fastgd._training.stopping import Stopping

CHUNK_STEPS = 1 << 16  # steps handed to an engine at once: bounds the arrays of rates to 3 MB
DENSE_STEPS = 1 << 15  # of dense rows: the allocator has such arrays at hand, longer ones are new
STEPS_AHEAD = 1 << 12  # whose rates are asked for at once, where an epoch has fewer
EPOCHS_AT_ONCE = 8  # that an engine takes in one call, where they are that short
FEW_PARAMETERS = 1 << 12  # whose norm BLAS takes in one thread


class TrainingObserver(Observer):
    """Is notified of each epoch; this one neither sees nor stops anything.

    Attributes
    ----------
    rows : int
        Fingerprint of the rows, where the training may be gone on with; else 0.
    """

    rows = 0

    def epoch_ended(
        self,
        progress: Progress,  # noqa: ARG002
        unfinished: Callable[[], Unfinished] | None = None,  # noqa: ARG002
    ) -> bool:
        """Take in an epoch, and how to go on from it; return whether to stop."""
        return self.stops

    def steps_taken(self, progress: Progress, unfinished: Callable[[], Unfinished]) -> None:
        """Take in steps within an epoch, and how to go on from them."""

    def restore(self, progress: Progress) -> None:
        """Put back what was kept."""


def warn_if_unfinished(n_iter: int, settings: Settings) -> None:
    """Warn as scikit-learn does where the last epoch was one too few."""
    if settings.tol is not None and n_iter == settings.max_iter:
        warn(
            "Maximum number of iteration reached before convergence. Consider increasing max_iter "
            "to improve the fit.",
            ConvergenceWarning,
            stacklevel=2,
        )


class Trainer:
    """One call's worth of epochs.

    Parameters
    ----------
    engine : Engine
    source : Source
    reduce : Reduce
    progress : Progress
        Changed in place, or replaced where training goes back.
    settings : Settings
    stopping : Stopping
    observer : TrainingObserver
    """

    def __init__(
        self,
        engine: Engine,
        source: Source,
        reduce: Reduce,
        progress: Progress,
        settings: Settings,
        stopping: Stopping,
        observer: Any,
    ) -> None:
        self.progress = progress
        self._engine, self._source, self._reduce = engine, source, reduce
        self._settings, self._stopping, self._observer = settings, stopping, observer
        engine.allocate(progress, source, settings.batch_size)
        self._rates = _Rates(settings.schedule, engine)
        self._begin_course(stopping.measure)
        self._has_exploded, self._blamed = False, np.nan
        self._guard = Guard(
            engine, source, progress, settings.on_divergence, monitor=settings.monitor
        )
        self._first, self._has_ended = progress.epochs, False
        self._under_way: Epoch | None = None
        self._go_on(progress.unfinished)

    def train(self) -> Progress:
        """Take epochs until they no longer help; return where training stands."""
        self._last_epoch = self._first + self._settings.max_iter
        with self._blas(), np.errstate(over="ignore", invalid="ignore", under="ignore"):
            ends = self._has_ended
            while self.progress.epochs < self._last_epoch and not ends:
                several = self._several()
                ends = self._ends_within(several) if several > 1 else self._ends_with_epoch()
            self._guard.warn_of_a_rise(self.progress)
            if self._rates.coefficients is not None and not self._has_exploded:
                warn_of_decay(self._engine.last_decay(self._rates.coefficients))
        self._stopping.restore(self.progress)
        self._observer.restore(self.progress)
        return self.progress

    @property
    def n_taken(self) -> int:
        """Epochs of the call, with those before it was interrupted."""
        return self.progress.epochs - self._first

    def _go_on(self, unfinished: Unfinished | None) -> None:
        """Go on from where the same call was interrupted, if it was."""
        self.progress.unfinished = None
        if unfinished is None:
            return
        self._first, self._under_way = unfinished.first, unfinished.epoch
        self._has_ended = unfinished.has_ended
        self._stopping.go_on(unfinished.stopping)
        if unfinished.reference is not None:
            self._guard.reference = unfinished.reference

    def _unfinished(self, epoch: Epoch | None = None, *, has_ended: bool = False) -> Unfinished:
        """Return what it takes to go on from here, besides the progress."""
        stopping, reference = self._stopping.state(), self._guard.reference
        return Unfinished(self._first, self._observer.rows, stopping, reference, epoch, has_ended)

    def _blas(self) -> Any:
        """Hold BLAS to one thread, where it is asked for more than the norm of a few numbers."""
        is_small = self.progress.params.size <= FEW_PARAMETERS and not self._engine.uses_blas
        if is_small and self._stopping.measure == "objective":
            return nullcontext()
        return one_blas_thread()

    def _ends_with_epoch(self) -> bool:
        """Take an epoch; return whether training ends with it."""
        stopping = self._stopping
        while True:
            try:
                objectives, figures = self._epoch()
                break
            except Diverged as explosion:
                if not self._goes_on_after(explosion):
                    return True
        measured = stopping.measured(objectives, self.progress)
        if stopping.measure == "score":
            figures["validation_score"] = -float(np.mean(measured))
        self.progress.note({name: [value] for name, value in figures.items()})
        stalled = stopping.stalled(measured, self.progress)
        by_schedule = self._follow_course(measured)
        ends = stalled if by_schedule is None else by_schedule
        if ends and self._guard.is_in_vain(self.progress):
            rate = self._rates.last
            self._go_back(self._guard.explosion(self.progress, rate))
            ends = False
        # last of all: what an observer keeps is where the next epoch begins
        unfinished = functools.partial(self._unfinished, has_ended=ends)
        return self._observer.epoch_ended(self.progress, unfinished) or ends

    # -- several epochs ---------------------------------------------------------------------------

    def _several(self) -> int:
        """Return how many epochs may be taken at once: more than one where nobody looks between.

        What a short epoch takes is not its steps.
        """
        settings, observer = self._settings, self._observer
        looks = observer.is_watching or settings.monitor or self._guard.goes_back
        by_objective = self._stopping.measure == "objective" and self.progress.course is None
        repeats = self._engine.repeats and self._rates.looks_ahead and self._reduce.is_local
        if looks or not by_objective or not repeats:
            return 1
        most = min(EPOCHS_AT_ONCE, self._last_epoch - self.progress.epochs)
        return max(min(most, STEPS_AHEAD // self._source.n_rows), 1)

    def _ends_within(self, n_epochs: int) -> bool:
        """Take several epochs; return whether training ends with one of them.

        The parameters are then those after that epoch: nothing else has changed.
        """
        started, progress, n_rows = time.perf_counter(), self.progress, self._source.n_rows
        block = self._source.epochs(progress.epochs, n_epochs, progress.seed)
        if block is None:
            return self._ends_with_epoch()
        start, first = progress.params.copy(), progress.steps + 1
        plan = self._plan(n_epochs * n_rows, n_rows)
        sums, iterates = self._engine.run_epochs(block, plan, n_epochs)
        seconds = (time.perf_counter() - started) / n_epochs
        loss, penalty = sums[:, 0] / self._source.unit / n_rows, sums[:, 1] / n_rows
        rates = self._rates.all_of(first, n_epochs * n_rows)[n_rows - 1 :: n_rows].tolist()
        n_taken, ends = self._judged((loss + penalty).tolist(), iterates, rates)
        figures = {
            "objective": (loss + penalty)[:n_taken].tolist(),
            "loss": loss[:n_taken].tolist(),
            "penalty": penalty[:n_taken].tolist(),
            "learning_rate": rates[:n_taken],
            **self._norms(start, iterates[:n_taken]),
            "seconds": [seconds] * n_taken,
        }
        if self._engine.clips:
            figures["clipped"] = (sums[:n_taken, 2] / n_rows).tolist()
        progress.note(figures)
        progress.params[...] = iterates[n_taken - 1]
        return ends or bool(self._observer.stops)

    def _judged(
        self, objectives: list[float], iterates: NDArray[Any], rates: list[float]
    ) -> tuple[int, bool]:
        """Take in epoch after epoch; return how many count, and whether training ends there."""
        progress, n_rows = self.progress, self._source.n_rows
        all_finite = is_finite(iterates.reshape(-1))
        for n_taken, objective in enumerate(objectives, start=1):
            self._rates.last = rates[n_taken - 1]
            progress.steps += n_rows
            finite = all_finite or is_finite(iterates[n_taken - 1])
            if self._guard.has_exploded(objective, finite):
                raise self._guard.explosion(progress, self._rates.last)
            progress.epochs += 1
            if self._stopping.stalled((objective,), progress):
                return n_taken, True
        return len(objectives), False

    def _norms(self, start: NDArray[Any], iterates: NDArray[Any]) -> dict[str, list[float]]:
        """Return how far epochs moved the parameters, their norms, and the rows seen so far."""
        penalised, n_rows = self._engine.layout.penalised, float(self._source.n_rows)
        samples = self.progress.history.get("samples")
        seen = samples[-1] if samples else 0.0
        moved = iterates.copy()
        moved[0] -= start
        moved[1:] -= iterates[:-1]
        return {
            "update_norm": _norms_of(moved),
            "coef_norm": _norms_of(iterates[:, penalised]),
            "samples": [seen + n_rows * e for e in range(1, len(iterates) + 1)],
        }

    # -- an epoch -------------------------------------------------------------------------------

    def _epoch(self) -> tuple[list[float], dict[str, float]]:
        """Visit all rows once.

        Returns the running objectives, of each row before its own step, one for each column that
        stops by itself; and the figures of the epoch.
        """
        started, progress = time.perf_counter(), self.progress
        epoch, self._under_way = self._under_way, None
        if epoch is None:
            epoch = Epoch(progress.params.copy(), self._guard.before(progress))
        started -= epoch.seconds
        self._visit(epoch, started)
        progress.epochs += 1
        objectives, figures = self._figures(epoch, progress.params)
        self._guard.took(epoch.before, figures["objective"], progress)
        figures["seconds"] = time.perf_counter() - started
        self._add_what_is_asked_for(figures)
        return objectives, figures

    def _figures(self, epoch: Epoch, now: NDArray[Any]) -> tuple[list[float], dict[str, float]]:
        """Return the running objectives of an epoch, and its figures."""
        n_seen = epoch.n_seen
        loss, penalty = epoch.loss / self._source.unit / n_seen, epoch.penalty / n_seen
        total_loss, total_penalty = total(loss), total(penalty)
        objective = total_loss + total_penalty
        samples = self.progress.history.get("samples")
        figures = {
            "objective": objective,
            "loss": total_loss,
            "penalty": total_penalty,
            "learning_rate": self._rates.last,
            "update_norm": _norm(now - epoch.start),
            "coef_norm": _norm(now[self._engine.layout.penalised]),
            "samples": float(n_seen + (samples[-1] if samples else 0.0)),
            "seconds": 0.0,
        }
        is_one = self._engine.is_one_problem
        if self._engine.clips:
            n_problems = 1 if is_one else np.size(epoch.n_clipped)
            figures["clipped"] = total(epoch.n_clipped) / epoch.n_steps / n_problems
        return [objective] if is_one else (loss + penalty).tolist(), figures

    def _add_what_is_asked_for(self, figures: dict[str, float]) -> None:
        """Add what ``on_divergence`` and ``monitor`` report of an epoch."""
        if self._settings.on_divergence == "backoff":
            figures["backoffs"] = float(self.progress.backoffs)
            if self._settings.monitor and hasattr(self._engine, "layer_to_blame"):
                figures["exploded_layer"], self._blamed = self._blamed, np.nan
        if self._settings.monitor:
            found = self._engine.evaluate(self._source, self.progress.reported())
            figures["true_objective"] = found.loss + found.penalty
            figures["gradient_norm"] = float(np.linalg.norm(found.gradient))
            figures.update(found.figures or {})

    def _visit(self, epoch: Epoch, started: float) -> None:
        """Take the steps of an epoch that are left, and add them to its sums."""
        unfinished = functools.partial(self._unfinished, epoch)
        for part in self._parts(epoch.n_seen):
            sums, count = self._advance(part)
            epoch.loss, epoch.penalty = epoch.loss + sums.loss, epoch.penalty + sums.penalty
            epoch.n_clipped = epoch.n_clipped + sums.n_clipped
            epoch.n_seen, epoch.n_steps = epoch.n_seen + part.n_visited, epoch.n_steps + count
            loss, penalty = epoch.loss / self._source.unit, epoch.penalty
            met = total(loss / epoch.n_seen) + total(penalty / epoch.n_seen)
            if self._guard.has_exploded(met, self._engine.is_finite()):
                raise self._guard.explosion(self.progress, self._rates.last)
            epoch.seconds = time.perf_counter() - started
            if epoch.n_seen < self._source.n_rows:
                self._observer.steps_taken(self.progress, unfinished)
            if self._observer.stops:
                break

    def _parts(self, n_done: int) -> Iterator[Block]:
        """Yield the rows of the epoch that are left, some steps at a time."""
        usual = CHUNK_STEPS if self._source.is_sparse else min(CHUNK_STEPS, DENSE_STEPS)
        n_steps = getattr(self._engine, "steps_at_once", usual)
        n_rows = n_steps * self._settings.batch_size
        for block in self._source.epoch(self.progress.epochs, self.progress.seed, n_done):
            for start in range(0, block.n_visited, n_rows):
                yield block.part(start, min(start + n_rows, block.n_visited))

    def _advance(self, part: Block) -> tuple[Sums, int]:
        """Take the steps of some rows; return their sums, and how many steps those are."""
        progress, settings = self.progress, self._settings
        n_steps = -(-part.n_visited // settings.batch_size)
        plan = self._plan(n_steps, n_steps)
        run = self._engine.run if self._reduce.is_local else self._run_by_halves
        sums = run(part, plan)
        progress.steps += n_steps
        progress.averaged += n_steps - plan.average_from
        return sums, n_steps

    def _plan(self, n_steps: int, n_of_epoch: int) -> Plan:
        """Return the plan of the next steps."""
        progress, settings = self.progress, self._settings
        course = progress.course
        factor = progress.factor * (1.0 if course is None else float(course.factor[0]))
        n_left = (self._last_epoch - progress.epochs) * n_of_epoch
        coefficients = self._rates.of(progress.steps + 1, n_steps, factor, n_left)
        onset = n_steps
        if settings.average > 0:
            onset = min(max(settings.average - 1 - progress.steps, 0), n_steps)
        first, unit = progress.steps + 1, self._source.unit
        return Plan(settings.batch_size, coefficients, onset, first, progress.seed, unit)

    def _run_by_halves(self, part: Block, plan: Plan) -> Sums:
        """Take steps one at a time, exchanging gradients in between."""
        met = []
        for t in range(plan.coefficients.shape[0]):
            start, step = t * plan.batch_size, plan.step(t)
            batch = part.part(start, min(start + plan.batch_size, part.n_visited))
            gradient = self._reduce.combine(self._engine.gradient(batch, step))
            self._engine.apply(gradient, step)
            met.append(gradient.sums)
        return Sums(*(sum(parts[1:], parts[0]) for parts in zip(*met, strict=True)))

    # -- rates that depend on how training goes -------------------------------------------------

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

    def _follow_course(self, measured: list[float]) -> bool | None:
        """Tell a schedule how the epoch went; return whether it ends training, None without one.

        Columns share a rate, and so what it depends on: the mean over them.
        """
        settings, course = self._settings, self.progress.course
        if course is None:
            return None
        schedule: Any = settings.schedule
        value = np.array([np.mean(measured)])
        tol, patience = settings.schedule_tol, settings.n_iter_no_change
        self.progress.course = schedule.after_epoch(course, value, tol, patience)
        return bool(self.progress.course.stop) and settings.tol is not None

    # -- divergence -----------------------------------------------------------------------------

    def _go_back(self, explosion: Diverged) -> None:
        """Go on from before the best epoch, with smaller steps; or raise."""
        self.progress = self._guard.went_back(self.progress, explosion)
        self._blamed = np.nan if explosion.layer is None else float(explosion.layer[0])
        self._engine.allocate(self.progress, self._source, self._settings.batch_size)
        self._stopping.forgive()

    def _goes_on_after(self, explosion: Diverged) -> bool:
        """Go back to before the best epoch; return whether training goes on from there."""
        self._go_back(explosion)
        if self._settings.on_divergence != "warn":
            return True
        self._has_exploded = True
        self._note_explosion(explosion.rate)
        warn(
            f"{explosion} Training ended with the parameters of the best epoch.",
            ConvergenceWarning,
            stacklevel=2,
        )
        return False

    def _note_explosion(self, rate: float) -> None:
        """Give the epoch that exploded an entry: that of the parameters that were put back."""
        progress = self.progress
        progress.epochs += 1
        found = self._engine.evaluate(self._source, progress.reported())
        figures = {
            "objective": found.loss + found.penalty,
            "loss": found.loss,
            "penalty": found.penalty,
            "learning_rate": rate,
            "update_norm": 0.0,
            "coef_norm": _norm(progress.params[self._engine.layout.penalised]),
            "samples": progress.history.get("samples", [0.0])[-1],
            "seconds": 0.0,
        }
        if self._settings.monitor:
            figures["true_objective"] = figures["objective"]
            figures["gradient_norm"] = float(np.linalg.norm(found.gradient))
        progress.note({name: [value] for name, value in figures.items()})


class _Rates:
    """The schedule's rates, for some epochs ahead, and the engine's coefficients of the steps.

    Attributes
    ----------
    coefficients : ndarray
        Those that were asked for last; None before.
    """

    coefficients: NDArray[np.float64] | None = None

    def __init__(self, schedule: Schedule, engine: Engine) -> None:
        self._schedule, self._engine = schedule, engine
        # a user's own callable may count its calls, or the steps that it is asked for
        self.looks_ahead = getattr(schedule, "looks_ahead", False)
        # what a class inherits does not say so
        is_constant = vars(type(schedule)).get("is_constant", False)
        self._are_alike = is_constant and getattr(engine, "follows_rates", False)
        self._first, self._factor, self._all = 0, np.nan, np.empty(0)

    def of(self, first: int, n_steps: int, factor: float, n_left: int) -> NDArray[np.float64]:
        """Return the coefficients of the steps from number ``first`` on.

        ``n_left`` is how many steps there may be from there to the end of training.
        """
        if self._are_alike:
            self._first = first
        begin = first - self._first
        if factor != self._factor or not 0 <= begin <= self._all.shape[0] - n_steps:
            n_ahead = n_steps
            if self.looks_ahead:
                n_ahead = max(min(n_left, STEPS_AHEAD // n_steps * n_steps), n_steps)
            self._first, self._factor, begin = first, factor, 0
            rates = self._rates(first, n_ahead)
            self._all = rates if factor == 1.0 else rates * factor
            self._coefficients = self._engine.step_coefficients(self._all, first)
        self.coefficients = self._coefficients[begin : begin + n_steps]
        self.last = float(self._all[begin + n_steps - 1])
        return self.coefficients

    def all_of(self, first: int, n_steps: int) -> NDArray[np.float64]:
        """Return the rates of steps whose coefficients were asked for last."""
        begin = first - self._first
        return self._all[begin : begin + n_steps]

    def _rates(self, first: int, n_steps: int) -> NDArray[np.float64]:
        """Ask the schedule."""
        t = np.arange(first, first + n_steps, dtype=np.float64)
        rates = np.asarray(self._schedule(t))
        if not self.looks_ahead:  # our own are rates, whatever t is
            _check_rates(rates, first, n_steps)
        return np.ascontiguousarray(rates, dtype=np.float64)


def _norm(values: NDArray[Any]) -> float:
    """Return the Euclidean norm, as ``np.linalg.norm`` computes it."""
    flat = values.reshape(-1)
    square = flat.dot(flat)
    return math.sqrt(square) if isinstance(square, float) else float(np.sqrt(square))


def _norms_of(rows: NDArray[Any]) -> list[float]:
    """Return the norm of each row, to the same bits as ``_norm``."""
    norms: list[float] = np.sqrt(np.array([row.dot(row) for row in rows], rows.dtype)).tolist()
    return norms


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
