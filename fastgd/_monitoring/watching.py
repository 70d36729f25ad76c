"""What stands between a fit and its observers: callbacks, displays, and Ctrl-C.

A fit reports to a ``Watch`` (an ``Observer``), which keeps the history so far, hands a ``View`` to
each callback, and stops where they or Ctrl-C ask for it.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from fastgd._monitoring.display import LogLines, announcing
from fastgd._monitoring.interrupt import asking_to_stop
from fastgd._monitoring.observer import Model, Observer
from fastgd._monitoring.sklearn_callbacks import Tasks, has_tasks
from fastgd._runtime.warned import warn
from fastgd._solvers._task import Solution, State
from fastgd._training.progress import Progress, Unfinished

HOOKS = ("on_fit_begin", "on_epoch_end", "on_fit_end")
WITHIN = "on_steps_end"

# what an estimator holds while it is fitted, and a copy of it must not
PASSING = ("_watch", "_callback_fit_ctx", "_skl_callbacks_to_teardown", "_parent_callback_ctx")


class Given(NamedTuple):
    """What ``fit`` was given, validated."""

    X: Any
    y: Any
    sample_weight: Any


class View:
    """What a callback sees of a fit, and what it can ask for.

    Parameters
    ----------
    watch : Watch
        The fit; views are made by it.
    """

    def __init__(self, watch: "Watch") -> None:
        self._watch = watch

    @property
    def estimator(self) -> Any:
        """The estimator that is fitted; what it learns is set when the fit ends."""
        return self._watch.estimator

    @property
    def epoch(self) -> int:
        """Epochs so far, those before this call of ``partial_fit`` included.

        Of the estimators without a learning rate, passes over the rows in this target's fit.
        """
        return self._watch.epoch

    @property
    def max_epochs(self) -> int:
        """The most that ``epoch`` can become in this call."""
        return self._watch.max_epochs

    @property
    def n_passes(self) -> int:
        """Passes over the rows in this call so far."""
        return self._watch.n_passes

    @property
    def unit(self) -> str | None:
        """What ``epoch`` counts where that is neither epochs nor passes: "strength" of a grid."""
        return self._watch.unit

    @property
    def target(self) -> int:
        """Which target, or class against the rest, is fitted where each has a fit of its own."""
        return self._watch.target

    @property
    def n_targets(self) -> int:
        """How many fits that are; 1 where all targets are fitted together."""
        return self._watch.n_targets

    @property
    def history(self) -> Mapping[str, list[float]]:
        """``history_`` so far, of equal-length lists; not to be changed."""
        return MappingProxyType(self._watch.history)

    @property
    def model(self) -> Any:
        """A copy of the estimator as if the fit had ended here, without its callbacks."""
        return self._watch.model()

    @property
    def unfinished(self) -> Any:
        """A copy of the estimator from which ``resume`` goes on, as if the fit had not ended.

        In ``partial_fit`` it is ``model``.
        """
        return self._watch.unfinished()

    @property
    def was_interrupted(self) -> bool:
        """Whether Ctrl-C ends the fit."""
        return self._watch.was_interrupted

    @property
    def coef_(self) -> NDArray[Any]:
        """The coefficients as they are, in the shape of the estimator's."""
        return self.model.coef_

    @property
    def intercept_(self) -> Any:
        """The intercept as it is; ``-offset_`` of a one-class SVM."""
        model = self.model
        return model.intercept_ if hasattr(model, "intercept_") else -model.offset_

    def resume(self, model: Any) -> None:
        """Let the fit that begins go on from ``unfinished`` of one that did not end.

        Parameters
        ----------
        model : estimator
            Of the same class and parameters.

        Raises
        ------
        ValueError
            If it is of another class, other parameters or other rows, or no fit of this kind can
            go on.
        """
        self._watch.resume(model)

    def stop(self) -> None:
        """Let the fit end here; of many targets, this one's."""
        self._watch.stops = self._watch.was_notified = True

    def keep(self) -> None:
        """Let the fit end with the coefficients as they are now, unless this is called again."""
        self._watch.keep()


def checked(callbacks: Any) -> list[Any]:
    """Return the callbacks of an estimator, or say what is wrong with them."""
    found = list(callbacks or ())
    for number, callback in enumerate(found):
        name = f"callbacks[{number}]"
        if isinstance(callback, type):
            raise TypeError(
                f"{name} is the class {callback.__name__}; pass an instance, "
                f"{callback.__name__}(...)."
            )
        if hasattr(callback, "on_fit_task_end"):
            raise TypeError(
                f"{name} is a callback of scikit-learn's, {type(callback).__name__}: those are "
                "given to set_callbacks (scikit-learn 1.9 or later)."
            )
        if not callable(callback) and not any(hasattr(callback, hook) for hook in HOOKS):
            raise TypeError(
                f"{name} must be a function of the view of a fit, or have a method "
                f"{', '.join(HOOKS[:-1])} or {HOOKS[-1]}; got {callback!r}."
            )
    return found


def _verbosity(estimator: Any) -> int:
    return int(getattr(estimator, "verbose", 0))


def _shown_by(verbose: int) -> list[Any]:
    """Return what ``verbose`` asks for."""
    if verbose <= 0:
        return []
    if verbose > 1:
        return [LogLines()]
    from fastgd.callbacks import ProgressBar

    return [ProgressBar()]


class Watch(Observer, ABC):
    """A fit that is watched; a subclass says what the estimator learns in it.

    ``unit`` names what an epoch is, where that is not an epoch or a pass.
    """

    unit: str | None = None

    def __init__(self, estimator: Any, task: str = "fit") -> None:
        self.estimator, self._task = estimator, task
        own = checked(getattr(estimator, "callbacks", None))  # older pickles have none
        shown = _shown_by(_verbosity(estimator))
        tasks = [Tasks(estimator, task)] if has_tasks(estimator) else []
        self.callbacks = [*shown, *tasks, *own]
        self.is_watching = len(self.callbacks) > 0
        self.stops = self.was_notified = self.was_interrupted = False
        self.history: dict[str, list[float]] = {}
        self.epoch = self.max_epochs = self.n_passes = self.target = 0
        self.n_targets = 1
        self.given = Given(None, None, None)
        self._view = View(self)
        self._begun: list[Any] = []
        self._model: Any = None
        self._has_ended = False

    def begin(self, given: Given) -> None:
        """Tell that training begins."""
        self.given = given
        for callback in self.callbacks:
            self._begun.append(callback)
            self._call(callback, "on_fit_begin")

    def end(self) -> None:
        """Tell that the estimator is fitted."""
        self._has_ended, self._model = True, None
        for callback in self.callbacks:
            self._call(callback, "on_fit_end")

    def fail(self, error: BaseException) -> None:
        """Tell those that have begun that the fit has failed."""
        for callback in self._begun:
            if hasattr(callback, "on_fit_error"):
                callback.on_fit_error(self._view, error)

    def keep_in(self, error: BaseException) -> None:
        """Give an error that keeps a model the last one, if there is one and it has none yet."""
        if getattr(error, "model", self) is None and self._has_model():
            self._model = None
            error.model = self.model()  # type: ignore[attr-defined]

    def release(self) -> None:
        """Let go of the view, where no callback has been shown it.

        It and this hold each other, and the rows, on a device too, until they are collected.
        """
        if not self.callbacks:
            vars(self).pop("_view", None)

    def interrupt(self) -> None:
        """Stop where nothing is half-written."""
        self.stops = self.was_interrupted = True

    def notify(self) -> bool:
        """Tell of an epoch's end; return whether to stop."""
        self._model = None
        for callback in self.callbacks:
            if self._call(callback, "on_epoch_end"):
                self._view.stop()
        return self.stops

    def _call(self, callback: Any, hook: str) -> bool:
        """Call a hook, where there is one; return whether it returned True."""
        method = getattr(callback, hook, None)
        if method is None and hook == "on_epoch_end" and callable(callback):
            method = callback
        answer = None if method is None else method(self._view)
        return isinstance(answer, bool | np.bool_) and bool(answer)

    def model(self) -> Any:
        """Return a copy of the estimator as if the fit had ended here."""
        if self._model is None:
            snapshot = copy.copy(self.estimator)
            for name in PASSING:
                vars(snapshot).pop(name, None)
            snapshot.callbacks = None
            if not self._has_ended:
                self._write(snapshot)
            self._model = snapshot
        return self._model

    @abstractmethod
    def _has_model(self) -> bool:
        """Tell whether there are parameters that a pass, an epoch or a strength has found."""

    @abstractmethod
    def _write(self, snapshot: Any) -> None:
        """Write the parameters as they are into a copy of the estimator."""

    @abstractmethod
    def keep(self) -> None:
        """Remember the parameters, which the fit will end with."""

    def unfinished(self) -> Any:
        """Return a copy of the estimator from which the fit can go on."""
        raise self._cannot_go_on()

    def resume(self, model: Any) -> None:  # noqa: ARG002
        """Go on from such a copy."""
        raise self._cannot_go_on()

    def _cannot_go_on(self) -> ValueError:
        return ValueError(
            f"resume=True: the fit of {type(self.estimator).__name__} cannot go on from a file. "
            "Estimators with a learning rate can."
        )

    def warn_if_interrupted(self, when: str, stacklevel: int) -> bool:
        """Say what Ctrl-C has left; return whether there was one."""
        if self.was_interrupted:
            warn(
                f"{type(self.estimator).__name__} was interrupted {when}: it has the coefficients "
                "of that moment, and can be used.",
                ConvergenceWarning,
                stacklevel=stacklevel,
            )
        return self.was_interrupted


class TrainingWatch(Watch):
    """Of an estimator with a learning rate."""

    _kept: Progress | None = None
    resumed: Progress | None = None  # where the fit that goes on had been
    rows = 0  # their checksum, and the start's, where the fit may be gone on with
    _unfinished: Callable[[], Unfinished] | None = None

    @property
    def resumes(self) -> bool:
        """Whether a callback writes files from which the fit can go on.

        ``partial_fit`` goes on from where the model is, not from a file.
        """
        return self._task == "fit" and any(
            getattr(callback, "resume", False) for callback in self.callbacks
        )

    def begin_training(
        self,
        given: Given,
        progress: Progress,
        max_iter: int,
        write: Callable[[Any, Progress], None],
    ) -> None:
        """Tell that training begins; ``write`` writes a progress into a copy of the estimator."""
        self._progress, self._write_progress = progress, write
        self.history, self.epoch = progress.history, progress.epochs
        self._before, self.max_epochs = progress.epochs, progress.epochs + max_iter
        self.begin(given)
        if self.resumed is not None:
            self._go_on(self.resumed)

    def epoch_ended(
        self, progress: Progress, unfinished: Callable[[], Unfinished] | None = None
    ) -> bool:
        """Take in an epoch; return whether to stop."""
        self._look_at(progress, unfinished if self.is_watching else None)  # it holds the rows
        return self.notify() if self.is_watching else self.stops

    def steps_taken(self, progress: Progress, unfinished: Callable[[], Unfinished]) -> None:
        """Take in steps within an epoch."""
        watching = [callback for callback in self.callbacks if hasattr(callback, WITHIN)]
        if watching:
            self._look_at(progress, unfinished)
            self._model = None
        for callback in watching:
            if self._call(callback, WITHIN):
                self._view.stop()

    def _look_at(
        self, progress: Progress, unfinished: Callable[[], Unfinished] | None = None
    ) -> None:
        self._progress, self.epoch = progress, progress.epochs
        self._unfinished = unfinished
        self.n_passes = progress.epochs - self._before

    # -- fits that go on --------------------------------------------------------------------------

    def unfinished(self) -> Any:
        """Return a copy of the estimator from which the fit can go on, what is kept included."""
        snapshot = copy.copy(self.model())
        if self._task != "fit":
            return snapshot
        progress: Progress = snapshot._progress.copy()
        if self._has_ended:
            found = Unfinished(self._before, self.rows, {}, None, is_fitted=True)
        elif self._unfinished is None:
            raise self._cannot_go_on()
        else:
            found = self._unfinished()
        found.of_observer = (self._kept, [_remembered(callback) for callback in self.callbacks])
        progress.unfinished, snapshot._progress = found, progress
        return snapshot

    def resume(self, model: Any) -> None:
        """Go on from such a copy."""
        if self._task != "fit":
            return
        progress = getattr(model, "_progress", None)
        if type(model) is not type(self.estimator) or progress is None:
            raise ValueError(
                f"resume=True: what is to be gone on with is a {type(model).__name__}, and no "
                f"{type(self.estimator).__name__} that was being fitted."
            )
        if progress.unfinished is None:
            raise ValueError(
                "resume=True: the file was written without resume=True or by partial_fit, and "
                "lacks what a fit goes on from. Let partial_fit go on from it, or give the "
                "Checkpoint another path."
            )
        if progress.unfinished.rows != self.rows:
            raise ValueError(
                "resume=True: the file was written while other rows, targets or weights, or from "
                "another start, were fitted. Fit the same, or give the Checkpoint another path."
            )
        _refuse_other_parameters(self.estimator, model, is_fitted=progress.unfinished.is_fitted)
        self.resumed = progress

    def _go_on(self, progress: Progress) -> None:
        """Be where the fit was that goes on, and let callbacks be there."""
        unfinished: Any = progress.unfinished
        progress.is_shared = True
        self._look_at(progress)
        self.history, (self._kept, remembered) = progress.history, unfinished.of_observer
        for callback, state in zip(self.callbacks, remembered, strict=False):
            if state is not None:
                vars(callback).update(state)
            self._call(callback, "on_fit_resume")

    def _has_model(self) -> bool:
        return self.n_passes > 0

    def _write(self, snapshot: Any) -> None:
        progress = self._progress.copy()
        progress.history = {name: list(values) for name, values in self.history.items()}
        self._write_progress(snapshot, progress)

    def keep(self) -> None:
        """Remember parameters and average."""
        self._kept = self._progress.copy()

    def restore(self, progress: Progress) -> None:
        """Put back what was kept."""
        if self._kept is not None:
            if progress.ahead:
                progress.stand_at(self._kept.reported())
                return
            progress.params[...] = self._kept.params
            progress.average[...] = self._kept.average
            progress.averaged = self._kept.averaged


class SolvingWatch(Watch):
    """Of an estimator that a solver fits, one target after the other."""

    _kept: tuple[Model, float, float] | None = None
    _now: Callable[[], Model] | None = None

    def __init__(self, estimator: Any, task: str = "fit") -> None:
        super().__init__(estimator, task)
        self._done: list[Solution] = []

    def begin_solving(
        self,
        given: Given,
        write: Callable[[Any, list[Solution]], None],
        n_targets: int = 1,
    ) -> None:
        """Tell that solving begins; ``write`` writes each target's solution into a copy."""
        self._write_solutions, self.n_targets = write, n_targets
        most = self.estimator.max_iter
        self.max_epochs = 1000 if most is None else int(most)
        self.begin(given)

    def passed(
        self, model: Callable[[], Model], figures: dict[str, float], passes: int = 1
    ) -> bool:
        """Take in a pass; return whether to stop."""
        self._now, self._figures = model, figures
        if not self.is_watching:
            return self.stops
        if self.target < len(self._done):
            self.history, self.epoch, self._kept, self.target = {}, 0, None, len(self._done)
        return any(self._took_pass(figures) for _ in range(passes))

    def _took_pass(self, figures: dict[str, float]) -> bool:
        """Note a pass, and notify the callbacks; return whether to stop."""
        for name in {**self.history, **figures}:
            entries = self.history.setdefault(name, [np.nan] * self.epoch)
            entries.append(float(figures.get(name, np.nan)))
        self.epoch, self.n_passes = self.epoch + 1, self.n_passes + 1
        return self.notify()

    def finished(self, solution: Solution) -> Solution:
        """Take in what was found for a target; return it, or what was kept instead."""
        if self._kept is not None:  # of this target: a pass is reported before it ends
            (coef, intercept, state), objective, suboptimality = self._kept
            solution = solution._replace(
                coef=coef,
                intercept=intercept,
                objective=objective,
                gap=np.inf,
                suboptimality=suboptimality,
                state=state or State(coef, intercept),
            )
        self._done.append(solution)
        self._now = None
        self.stops = self.was_interrupted
        return solution

    def _last(self) -> tuple[float, float]:
        """Return the objective of the parameters as they are, and what is left."""
        return float(self._figures["objective"]), float(self._figures["suboptimality"])

    def _has_model(self) -> bool:
        return self._now is not None or len(self._done) > 0

    def _write(self, snapshot: Any) -> None:
        if not self._has_model():
            raise AttributeError("There are no coefficients before the first pass has ended.")
        found = [*self._done]
        if self._now is not None:
            found.append(self._solution_of(self._now()))
        some = found[-1]
        nothing = some._replace(coef=0.0 * some.coef, intercept=0.0 * some.intercept, history={})
        found += [nothing] * (self.n_targets - len(found))
        self._write_solutions(snapshot, found)
        snapshot._describe(found)
        vars(snapshot).pop("solver_", None)  # that of an earlier fit

    def _solution_of(self, model: Model) -> Solution:
        """Return what a fit would have found that ended with these parameters."""
        coef, intercept, state = model
        objective, suboptimality = self._last()
        history = {name: list(values) for name, values in self.history.items()}
        counts = self.epoch, False
        return Solution(coef, intercept, objective, np.inf, suboptimality, *counts, history, state)

    def keep(self) -> None:
        """Remember the parameters, and how good they are."""
        if self._now is not None:
            self._kept = (self._now(), *self._last())


class GridWatch(Watch):
    """Of an estimator that tries a grid of strengths; an epoch is one of them, for all folds."""

    unit = "strength"

    def begin_grid(self, given: Given, n_tried: int, write: Callable[[Any], object]) -> None:
        """Tell that the search begins; ``write`` writes the best so far into a copy."""
        self._write_best, self.max_epochs = write, n_tried
        self.begin(given)

    def tried(self, figures: dict[str, float]) -> bool:
        """Take in what came of a strength; return whether to stop."""
        if not self.is_watching:
            self.epoch += 1
            return self.stops
        for name in {**self.history, **figures}:
            entries = self.history.setdefault(name, [np.nan] * self.epoch)
            entries.append(float(figures.get(name, np.nan)))
        self.epoch, self.n_passes = self.epoch + 1, self.n_passes + 1
        return self.notify()

    def _has_model(self) -> bool:
        return self.epoch > 0

    def _write(self, snapshot: Any) -> None:
        if self.epoch == 0:
            raise AttributeError("There are no coefficients before the first strength is tried.")
        self._write_best(snapshot)

    def keep(self) -> None:
        """Do nothing: the best is kept anyway."""


def _remembered(callback: Any) -> dict[str, Any] | None:
    """Return what a callback remembers of a fit, as far as it says so."""
    names = getattr(callback, "of_fit", None)
    return None if names is None else {n: v for n, v in vars(callback).items() if n in names}


def _refuse_other_parameters(estimator: Any, before: Any, *, is_fitted: bool) -> None:
    """Refuse to go on with a fit that other parameters have begun."""
    passing = {"callbacks", "verbose", *(() if is_fitted else ("max_iter",))}
    now, then = (model.get_params(deep=False) for model in (estimator, before))
    changed = [
        f"{name}={then.get(name)!r}, which is now {value!r}"
        for name, value in now.items()
        if name not in passing and joblib.hash(value) != joblib.hash(then.get(name))
    ]
    if changed:
        raise ValueError(
            f"resume=True: the file is of a fit with {'; '.join(changed)}. Use the same "
            "parameters, or give the Checkpoint another path."
        )


W = TypeVar("W", bound=Watch)


@contextmanager
def watched(kind: type[W], estimator: Any, task: str = "fit") -> Iterator[W]:
    """Let a fit be watched while the block runs, and Ctrl-C be asked of it.

    Raises
    ------
    TypeError
        If something in ``callbacks`` is no callback.
    """
    watch = kind(estimator, task)
    estimator._watch = watch
    try:
        with asking_to_stop(watch.interrupt), announcing(_verbosity(estimator)):
            yield watch
    except BaseException as error:
        watch.fail(error)
        raise
    finally:
        vars(estimator).pop("_watch", None)
        watch.release()
