"""Callbacks: what is done after each epoch of a fit.

They are given as ``callbacks=[...]``. Each is an object with any of the methods of ``Callback``, or
a function that is called as its ``on_epoch_end``. scikit-learn's own callbacks are given to
``set_callbacks``. docs/watching.md has examples.
"""

import contextlib
import csv
import inspect
import logging
import math
import os
import pickle
import re
import string
import time
from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any

import joblib

from fastgd._monitoring.display import be_heard, figures_of, has_rate, target_of, unit_of
from fastgd._monitoring.watching import View
from fastgd.kernels._files import remove_stale, whole_file

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "LearningRateLogger",
    "ProgressBar",
    "View",
    "WeightRecorder",
]


class Callback:
    """Base class of callbacks: it does nothing, in each of its methods.

    An object need not derive from it; one of the methods will do. What a callback remembers of a
    fit it begins in ``on_fit_begin``, for the same object may see many fits. A fit that goes on
    from a file (``Checkpoint(resume=True)``) gives back the attributes whose names are in
    ``of_fit``, a tuple of strings, before it calls ``on_fit_resume``.
    """

    def on_fit_begin(self, view: View) -> None:
        """Take in that training begins: the data are validated, nothing is learned yet.

        Parameters
        ----------
        view : View
            What can be seen of the fit.
        """

    def on_epoch_end(self, view: View) -> bool | None:
        """Take in an epoch; returning True is ``view.stop()``.

        Parameters
        ----------
        view : View
            What can be seen of the fit.

        Returns
        -------
        bool or None
        """

    def on_steps_end(self, view: View) -> bool | None:
        """Take in some steps within an epoch, of an estimator with a learning rate.

        That is after at most 65,536 steps (1,024 of a network), or a chunk of rows in parts; not
        after the last ones of an epoch.

        Parameters
        ----------
        view : View
            What can be seen of the fit; ``epoch`` are those that have ended.

        Returns
        -------
        bool or None
        """

    def on_fit_resume(self, view: View) -> None:
        """Take in, after ``on_fit_begin``, that the fit goes on from a file.

        Parameters
        ----------
        view : View
            What can be seen of the fit, with the epochs before.
        """

    def on_fit_end(self, view: View) -> None:
        """Take in that the estimator is fitted, whatever has ended its training.

        Parameters
        ----------
        view : View
            What can be seen of the fit.
        """

    def on_fit_error(self, view: View, error: BaseException) -> None:
        """Take in that the fit fails with this error, in place of ``on_fit_end``.

        Parameters
        ----------
        view : View
            What can be seen of the fit.
        error : BaseException
            It is raised again when all have been notified.
        """

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters.values()
        given = [p.name for p in parameters if getattr(self, p.name, p.default) != p.default]
        settings = ", ".join(f"{name}={getattr(self, name)!r}" for name in given)
        return f"{type(self).__name__}({settings})"


class _Best:
    """The best value that a monitored figure has had in a fit of one target."""

    def __init__(self, monitor: Any, mode: str, min_delta: float = 0.0) -> None:
        is_score = mode == "max" or (mode == "auto" and str(monitor).endswith("score"))
        self._sign = -1.0 if is_score else 1.0
        self._monitor, self._min_delta, self._target = monitor, min_delta, -1

    def improves(self, view: View) -> bool:
        """Take in an epoch; tell whether it is the best so far."""
        if view.target != self._target:
            self._target, self.value, self.epoch = view.target, math.nan, 0
        value = self._value(view)
        gain = self._sign * (self.value - value)
        is_better = gain > self._min_delta or (math.isnan(self.value) and not math.isnan(value))
        if is_better:
            self.value, self.epoch = value, view.epoch
        return is_better

    def _value(self, view: View) -> float:
        if callable(self._monitor):
            return float(self._monitor(view))
        if self._monitor not in view.history:
            raise ValueError(
                f"monitor={self._monitor!r} is not in the history of "
                f"{type(view.estimator).__name__}; it has {', '.join(view.history)}."
            )
        return view.history[self._monitor][-1]


class EarlyStopping(Callback):
    """Stop where a figure no longer improves.

    Parameters
    ----------
    monitor : str or callable, default="objective"
        A name of ``history_``, such as "validation_score" or "gradient_norm"; or a function of the
        view that returns a number, such as a loss on rows of your own.
    patience : int, default=5
        Epochs without improvement that end the fit, >= 1.
    min_delta : float, default=0.0
        A smaller improvement is none, >= 0.
    mode : {"auto", "min", "max"}, default="auto"
        Whether less is better, or more; "auto" is "max" for names that end in "score".
    restore_best : bool, default=False
        End with the coefficients of the best epoch, in place of the last one. The objective of a
        stochastic epoch is that of the coefficients on its way, not of those at its end.

    Attributes
    ----------
    best_ : float
        The best value, of the target fitted last.
    best_epoch_ : int
        When it was reached.
    stopped_epoch_ : int
        The epoch after which this callback ended the fit; 0 where it did not.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from fastgd import SGDClassifier
    >>> from fastgd.callbacks import EarlyStopping
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> stopper = EarlyStopping(patience=3, min_delta=1e-2)
    >>> model = SGDClassifier(callbacks=[stopper], tol=None, random_state=0).fit(scale(X), y)
    >>> model.n_iter_ == stopper.stopped_epoch_ == stopper.best_epoch_ + 3
    True
    """

    of_fit = ("_best", "_n_bad", "best_", "best_epoch_", "stopped_epoch_")

    def __init__(
        self,
        monitor: str | Callable[[View], float] = "objective",
        *,
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = False,
    ) -> None:
        _refuse_unless(patience >= 1, f"patience must be >= 1, got {patience!r}.")
        _refuse_unless(min_delta >= 0.0, f"min_delta must be >= 0, got {min_delta!r}.")
        _check_monitor(monitor, mode)
        self.monitor = monitor
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode
        self.restore_best = restore_best

    def on_fit_begin(self, view: View) -> None:  # noqa: ARG002
        """Forget earlier fits."""
        self._best = _Best(self.monitor, self.mode, self.min_delta)
        self._n_bad = self.stopped_epoch_ = self.best_epoch_ = 0
        self.best_ = math.nan

    def on_epoch_end(self, view: View) -> bool:
        """Stop after ``patience`` epochs without improvement.

        Returns
        -------
        bool
            Whether to stop.
        """
        if self._best.improves(view):
            self.best_, self.best_epoch_ = self._best.value, self._best.epoch
            self._n_bad = 0
            if self.restore_best:
                view.keep()
            return False
        self._n_bad += 1
        if self._n_bad < self.patience:
            return False
        self.stopped_epoch_, self._n_bad = view.epoch, 0
        return True


class Checkpoint(Callback):
    """Write the model to a file while it is fitted.

    A file is never seen in part: it takes its place when it is complete, and a process that is
    killed in the middle leaves the one that was there. What it holds is the estimator as if the
    fit had ended in that epoch, without its callbacks; ``partial_fit`` goes on from there.

    With ``resume=True`` a program that was killed is simply started again: its ``fit`` goes on from
    the file, in the middle of an epoch as well, and ends with the same bits as if it had never been
    killed. A fit that had ended is not repeated. Delete the file to begin anew.

    Parameters
    ----------
    path : str or Path
        The extension says how: ".joblib", ".pkl" or ".pickle", or ".skops" (needs skops). "{epoch}"
        in the file's name becomes the epoch's number, "{epoch:04d}" with zeros in front; "{target}"
        that of the target, where targets are fitted one after the other.
    every : int, default=1
        Write after each ``every``-th epoch, >= 1, and when the fit ends.
    best_only : bool, default=False
        Write only where ``monitor`` has never been better, and not when the fit ends.
    monitor : str or callable, default="objective"
        As in ``EarlyStopping``.
    mode : {"auto", "min", "max"}, default="auto"
        As in ``EarlyStopping``.
    seconds : float, default=None
        Write within epochs as well, where the last file is so many seconds old, >= 0: after at most
        65,536 steps (1,024 of a network), or a chunk of rows in parts.
    resume : bool, default=False
        Go on from the file, where there is one. Of estimators with a learning rate, with a number
        as ``random_state``; class, parameters, rows, weights and the start (``coef_init``) must be
        the same, only ``max_iter`` of a fit that had not ended may be another. (Of rows in parts,
        sizes and the first part are compared.) So each fit needs a file of its own. A path without
        "{epoch}", not in .skops: to read a pickle is to run what is in it, so go on from files that
        you trust only.

    Attributes
    ----------
    last_path_ : Path or None
        The file written last.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_breast_cancer
    >>> from fastgd import SGDClassifier
    >>> from fastgd.callbacks import Checkpoint
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(folder + "/model.joblib", seconds=60, resume=True)
    ...     model = SGDClassifier(random_state=0, callbacks=[checkpoint]).fit(X, y)
    ...     again = SGDClassifier(random_state=0, callbacks=[checkpoint]).fit(X, y)
    >>> bool((again.coef_ == model.coef_).all())
    True
    """

    of_fit = ("_best",)

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every: int = 1,
        best_only: bool = False,
        monitor: str | Callable[[View], float] = "objective",
        mode: str = "auto",
        seconds: float | None = None,
        resume: bool = False,
    ) -> None:
        suffix = Path(path).suffix
        _refuse_unless(
            suffix in _WRITERS,
            f"path must end in one of {', '.join(_WRITERS)}, which says how to write the model; "
            f"got {os.fspath(path)!r}.",
        )
        try:
            _numbered(Path(path), 1, 0)
        except (LookupError, ValueError) as error:
            raise ValueError(
                f"The name of path may hold {{epoch}} and {{target}} only, got {os.fspath(path)!r}."
            ) from error
        _refuse_unless(every >= 1, f"every must be >= 1, got {every!r}.")
        _check_monitor(monitor, mode)
        _refuse_unless(
            seconds is None or seconds >= 0, f"seconds must be >= 0 or None, got {seconds!r}."
        )
        if resume:
            _refuse_unless(not best_only, "resume=True goes on from the last epoch, not the best.")
            _refuse_unless(
                suffix in _READERS and _numbered(Path(path), 1, 0) == Path(path),
                f"resume=True needs one path in {' or '.join(_READERS)}, got {os.fspath(path)!r}.",
            )
        self.path = path
        self.every = every
        self.best_only = best_only
        self.monitor = monitor
        self.mode = mode
        self.seconds = seconds
        self.resume = resume

    def on_fit_begin(self, view: View) -> None:
        """Forget earlier fits; refuse at once what could not be written later.

        Raises
        ------
        ValueError
            If the folder does not exist, or the fit cannot go on from the file.
        """
        self._best = _Best(self.monitor, self.mode)
        self.last_path_: Path | None = None
        if Path(self.path).suffix == ".skops":
            _skops()
        folder = Path(self.path).parent
        _refuse_unless(folder.is_dir(), f"The folder of path, {str(folder)!r}, does not exist.")
        names = _names_of(Path(self.path))
        remove_stale(folder, lambda name: names.fullmatch(name) is not None)
        self._written = time.monotonic()
        if self.resume:
            self._resume(view)

    def on_epoch_end(self, view: View) -> None:
        """Write, if it is time."""
        is_better = self.best_only and self._best.improves(view)
        if is_better or (not self.best_only and view.epoch % self.every == 0):
            self._write(view)

    def on_steps_end(self, view: View) -> None:
        """Write, if it is time, or if Ctrl-C ends the epoch here."""
        is_old = self.seconds is not None and time.monotonic() - self._written >= self.seconds
        if (is_old and not self.best_only) or (self.resume and view.was_interrupted):
            self._write(view)

    def on_fit_end(self, view: View) -> None:
        """Write what the fit ended with; Ctrl-C does not end one that can go on."""
        if not (self.best_only or (self.resume and view.was_interrupted)):
            self._write(view)

    def _write(self, view: View) -> None:
        path = _numbered(Path(self.path), view.epoch, view.target)
        with whole_file(path) as file:
            _WRITERS[path.suffix](view.unfinished if self.resume else view.model, file)
        self.last_path_, self._written = path, time.monotonic()

    def _resume(self, view: View) -> None:
        """Let the fit go on from the file, if there is one."""
        seed, path = getattr(view.estimator, "random_state", None), Path(self.path)
        _refuse_unless(
            isinstance(seed, Integral),
            f"resume=True needs a number as random_state, by which orders are the same; got "
            f"{seed!r}.",
        )
        if path.exists():
            view.resume(_read(path))


class CSVLogger(Callback):
    """Write the history to a CSV file, a row an epoch, as it grows.

    The columns are "epoch" and the names that the history has after the first epoch, and "target"
    in front where targets are fitted one after the other.

    Parameters
    ----------
    path : str or Path
    append : bool, default=False
        Go on with a file that exists, under its columns; else it is replaced when a fit begins.
    """

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False) -> None:
        self.path = path
        self.append = append

    def on_fit_begin(self, view: View) -> None:  # noqa: ARG002
        """Begin the file, or look at its columns."""
        self._columns: list[str] = []
        if self.append and Path(self.path).exists():
            with open(self.path, newline="", encoding="utf-8") as file:
                self._columns = next(csv.reader(file), [])
        else:
            open(self.path, "w").close()

    def on_fit_resume(self, view: View) -> None:
        """Begin the file with the epochs before, unless it goes on."""
        if self.append or not view.history:
            return
        names = list(view.history)
        n_epochs = len(view.history[names[0]])
        self._columns = ["epoch", *names]
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(self._columns)
            for e in range(n_epochs):
                number = view.epoch - n_epochs + e + 1
                csv.writer(file).writerow([number, *(view.history[name][e] for name in names)])

    def on_epoch_end(self, view: View) -> None:
        """Add a row."""
        row: dict[str, Any] = {"target": view.target} if view.n_targets > 1 else {}
        row |= {"epoch": view.epoch}
        row |= {name: values[-1] for name, values in view.history.items()}
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            if not self._columns:
                self._columns = list(row)
                csv.writer(file).writerow(self._columns)
            csv.writer(file).writerow([row.get(name, "") for name in self._columns])


class ProgressBar(Callback):
    """Show a bar over the epochs with objective, learning rate and gradient norm.

    It is tqdm's, in a terminal or a notebook; ``verbose=1`` is the same. The gradient's norm is
    known with ``monitor=True``; else ``|update|`` is shown, how far the epoch moved the parameters.
    For estimators without a learning rate it counts passes, and shows the suboptimality: how far
    the objective is thought to be above the optimum. For those that choose a strength by folds it
    counts the strengths of the grid.

    Parameters
    ----------
    leave : bool, default=True
        Leave the bar standing when the fit ends.
    """

    def __init__(self, *, leave: bool = True) -> None:
        self.leave = leave
        self._bar: Any = None

    def on_fit_begin(self, view: View) -> None:
        """Show an empty bar."""
        from tqdm.auto import tqdm

        unit, name = unit_of(view), type(view.estimator).__name__
        total = None if unit == "pass" else view.max_epochs - view.epoch
        self._bar = tqdm(desc=name, total=total, unit=unit, leave=self.leave)

    def on_epoch_end(self, view: View) -> None:
        """Advance."""
        name = type(view.estimator).__name__
        if view.n_targets > 1:
            self._bar.set_description_str(name + target_of(view), refresh=False)
        self._bar.set_postfix(figures_of(view), refresh=False)
        self._bar.update(view.n_passes - self._bar.n)

    def on_fit_end(self, view: View) -> None:  # noqa: ARG002
        """Complete the bar: a fit that stops early is not a part of one."""
        if self._bar.total is not None:
            self._bar.total = self._bar.n
        self._bar.refresh()
        self._close()

    def on_fit_error(self, view: View, error: BaseException) -> None:  # noqa: ARG002
        """Leave the bar as far as it came."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None


class LearningRateLogger(Callback):
    """Write a line through ``logging`` whenever the learning rate has changed.

    The logger is "fastgd", the rate that of an epoch's last step.

    Parameters
    ----------
    min_change : float, default=0.01
        A relative change since the last line that is worth another one, >= 0.

    Attributes
    ----------
    rates_ : list of float
        The rate of each epoch.
    """

    of_fit = ("rates_", "_last")

    def __init__(self, *, min_change: float = 0.01) -> None:
        _refuse_unless(min_change >= 0.0, f"min_change must be >= 0, got {min_change!r}.")
        self.min_change = min_change

    def on_fit_begin(self, view: View) -> None:
        """Refuse estimators that have no rate."""
        name = type(view.estimator).__name__
        _refuse_unless(has_rate(view.estimator), f"LearningRateLogger: {name} has no such rate.")
        be_heard()
        self.rates_: list[float] = []
        self._last = math.nan

    def on_epoch_end(self, view: View) -> None:
        """Take in the rate."""
        rate = view.history["learning_rate"][-1]
        self.rates_.append(rate)
        if not abs(rate - self._last) <= self.min_change * abs(self._last):
            name, logger = type(view.estimator).__name__, logging.getLogger("fastgd")
            logger.info("%s epoch %d: learning rate %.4g", name, view.epoch, rate)
            self._last = rate


class WeightRecorder(Callback):
    """Keep copies of the weights while a model is fitted, to look at how they move.

    The first copy is of the weights that training begins with, the others of those after epochs,
    and the last of what the fit ends with: the best, where those are put back. An epoch is one step
    with ``batch_size="full"``; the steps in between are those of calls of ``partial_fit`` on parts
    of the rows. ``fastgd.plot.NetworkDisplay`` draws weights as images, and matplotlib's
    ``FuncAnimation`` makes a film of them.

    Parameters
    ----------
    every : int, default=1
        Record after each ``every``-th epoch, >= 1, and when the fit ends.
    layers : list of int or None, default=None
        Which weights of a network to record, by their place in ``coefs_``; None: all.

    Attributes
    ----------
    weights_ : list of lists of ndarray
        For each record the weights of each layer, as ``coefs_`` has them; of a linear model with a
        learning rate the list of its ``coef_``.
    epochs_ : list of int
        The epoch of each record; the first is where training began.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastgd.callbacks import WeightRecorder
    >>> from fastgd.neural_network import MLPClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> recorder = WeightRecorder(every=2, layers=[0])
    >>> model = MLPClassifier((16,), max_iter=5, tol=None, callbacks=[recorder]).fit(X / 16, y)
    >>> recorder.epochs_, recorder.weights_[0][0].shape
    ([0, 2, 4, 5], (64, 16))
    """

    of_fit = ("weights_", "epochs_")

    def __init__(self, *, every: int = 1, layers: list[int] | None = None) -> None:
        _refuse_unless(every >= 1, f"every must be >= 1, got {every!r}.")
        self.every = every
        self.layers = layers

    def on_fit_begin(self, view: View) -> None:
        """Forget earlier fits; record where this one begins, if it begins somewhere.

        Raises
        ------
        ValueError
            For the number of a layer that the network does not have.
        """
        self.weights_: list[list[Any]] = []
        self.epochs_: list[int] = []
        if has_rate(view.estimator):
            self._record(view)

    def on_epoch_end(self, view: View) -> None:
        """Record, if it is time."""
        if view.epoch % self.every == 0:
            self._record(view)

    def on_fit_end(self, view: View) -> None:
        """Record what the fit ended with, in place of a record of the same epoch."""
        if self.epochs_ and self.epochs_[-1] == view.epoch:
            self.epochs_.pop()
            self.weights_.pop()
        self._record(view)

    def _record(self, view: View) -> None:
        model = view.model
        weights = model.coefs_ if hasattr(model, "coefs_") else [model.coef_]
        numbers = range(len(weights)) if self.layers is None else self.layers
        wrong = [number for number in numbers if not -len(weights) <= number < len(weights)]
        _refuse_unless(
            not wrong,
            f"layers={self.layers!r}: {type(model).__name__} has {len(weights)} layers with "
            "weights, numbered from 0.",
        )
        self.weights_.append([weights[number].copy() for number in numbers])
        self.epochs_.append(view.epoch)


def _refuse_unless(is_right: bool, message: str) -> None:
    if not is_right:
        raise ValueError(message)


def _check_monitor(monitor: Any, mode: str) -> None:
    if not (isinstance(monitor, str) or callable(monitor)):
        raise ValueError(
            f"monitor must be a name of the history, or a function of the view; got {monitor!r}."
        )
    _refuse_unless(mode in ("auto", "min", "max"), f"mode must be auto, min or max, got {mode!r}.")


def _numbered(path: Path, epoch: int, target: int) -> Path:
    """Return a path with the numbers that its name asks for."""
    return path.with_name(path.name.format(epoch=epoch, target=target))


def _names_of(path: Path) -> re.Pattern[str]:
    """Return what all the names look like that a path with numbers stands for."""
    parts = string.Formatter().parse(path.name)
    text = (re.escape(text) + ("" if field is None else "-?[0-9]+") for text, field, _, _ in parts)
    return re.compile("".join(text))


def _skops() -> Any:
    with contextlib.suppress(ImportError):
        import skops.io

        return skops.io
    raise ImportError('A checkpoint in .skops needs skops: pip install "fastgd[skops]".')


_READERS: dict[str, Callable[[Any], Any]] = {  # of the same files, but for .skops
    ".joblib": joblib.load,
    ".pkl": pickle.load,
    ".pickle": pickle.load,
}

_WRITERS: dict[str, Callable[[Any, Any], Any]] = {  # of a model into an open file
    ".joblib": joblib.dump,
    ".pkl": pickle.dump,
    ".pickle": pickle.dump,
    ".skops": lambda model, file: _skops().dump(model, file),
}


def _read(path: Path) -> Any:
    """Return what a file holds that a fit is to go on from."""
    try:
        with open(path, "rb") as file:
            return _READERS[path.suffix](file)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises anything
        raise ValueError(
            f"resume=True: the file {str(path)!r} cannot be read as a checkpoint "
            f"({type(error).__name__}: {error}). Delete it to begin anew, or give the Checkpoint "
            "another path."
        ) from error
