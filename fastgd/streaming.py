"""Test, then train: a model on an endless stream of batches, with running scores.

Each batch is predicted before it is learned from, so that scores are of rows the model has not seen
(prequential evaluation).

References
----------
.. [1] Gama, Sebastiao & Rodrigues, "On evaluating stream learning algorithms", 2013 (fading
   factors, prequential errors).
.. [2] Bifet & Gavalda, "Learning from Time-Changing Data with Adaptive Windowing", 2007 (ADWIN).
"""

import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, mean_squared_error

from fastgd._data.chunks import pair_of
from fastgd.kernels._files import whole_file

Metric = Callable[[Any, Any], float]
__all__ = ["DriftWarning", "Step", "stream"]

METRICS: dict[str, Metric] = {
    "accuracy": accuracy_score,
    "mean_absolute_error": mean_absolute_error,
    "mean_squared_error": mean_squared_error,
}
OF_PROBABILITIES = "log_loss"


class DriftWarning(UserWarning):
    """The model's errors on a stream are no longer what they were."""


class Step(NamedTuple):
    """What a stream says after a batch; a score that is NaN counts in no running mean.

    n_rows : int, rows that the model has learned from
    scores : dict of str to float, of this batch before it was learned from
    running : dict of str to float, means over the rows so far, the last ones weighing more
    drifts : bool, whether a drift was noticed in this batch
    seconds : float, since the stream began
    model : the estimator
    """

    n_rows: int
    scores: dict[str, float]
    running: dict[str, float]
    drifts: bool
    seconds: float
    model: Any


def stream(
    model: Any,
    source: Iterable[tuple[Any, Any]],
    *,
    metrics: Sequence[str | Metric] | None = None,
    classes: Any = None,
    memory: int = 10_000,
    drift: str | None = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    every: float = 300.0,
    max_rows: int | None = None,
) -> Iterator[Step]:
    """Test a model on each batch of a stream, then train it on the batch.

    Parameters
    ----------
    model : estimator with ``partial_fit``
        It goes on from where it stands.
    source : iterable of (X, y)
        Batches, endless or not: a generator over a socket or a growing file, a consumer of Kafka's,
        a ``RowSource``. Empty batches are passed over.
    metrics : list of str or callable, default=None
        "accuracy" and "log_loss" of classifiers, "mean_absolute_error" and "mean_squared_error", or
        functions of (y_true, y_pred). By default "accuracy" or "mean_squared_error".
    classes : array-like, default=None
        All labels that may come; needed by a classifier that has not been fitted.
    memory : int, default=10_000
        About how many of the last rows the running scores are of: a batch of n rows leaves
        exp(-n / memory) of the weight of those before.
    drift : {"auto", "adwin", None}, default="auto"
        Watch the error of batches by ADWIN of River, and give a ``DriftWarning`` where it changes.
        "auto" does so if River is installed.
    checkpoint : str or path, default=None
        File that the model is written to by joblib; it is never seen in part.
    every : float, default=300.0
        Seconds between two checkpoints; one is written when the stream ends as well.
    max_rows : int, default=None
        Stop after so many rows.

    Returns
    -------
    steps : iterator of Step
        One after each batch; a batch is read when its step is asked for.

    Raises
    ------
    ValueError
        If an argument is none of those, or a batch holds what the model refuses: the model is then
        as it was after the batch before.

    Examples
    --------
    >>> import fastgd
    >>> from fastgd.datasets import drifting_stream
    >>> model = fastgd.SGDClassifier(learning_rate="constant", random_state=0)
    >>> for step in fastgd.stream(model, drifting_stream(5000, random_state=0), classes=[0, 1]):
    ...     pass
    >>> step.n_rows, step.running["accuracy"] > 0.7
    (5000, True)
    """
    watch = _Drift.of(drift)
    named = _named(metrics, model)
    _check(model, memory, every, max_rows, checkpoint)
    return _steps(model, source, named, classes, memory, watch, (checkpoint, every), max_rows)


def _check(model: Any, memory: int, every: float, max_rows: int | None, checkpoint: Any) -> None:
    if not hasattr(model, "partial_fit"):
        raise ValueError(f"model must have partial_fit, which {type(model).__name__} has not.")
    if not (isinstance(memory, Real) and memory > 0):
        raise ValueError(f"memory must be a number of rows above 0, got {memory!r}.")
    if not (isinstance(every, Real) and every > 0):
        raise ValueError(f"every must be a number of seconds above 0, got {every!r}.")
    if max_rows is not None and not (isinstance(max_rows, Integral) and max_rows >= 1):
        raise ValueError(f"max_rows must be 1 or more, got {max_rows!r}.")
    if checkpoint is not None and not Path(checkpoint).parent.is_dir():
        raise ValueError(f"the folder of checkpoint, {Path(checkpoint).parent}, does not exist.")


def _named(metrics: Sequence[str | Metric] | None, model: Any) -> dict[str, Metric | None]:
    """Return the metrics by name; that of probabilities is None."""
    if metrics is None:
        metrics = ["accuracy" if is_classifier(model) else "mean_squared_error"]
    if isinstance(metrics, str):
        raise ValueError(f"metrics must be a list, got the string {metrics!r}.")
    found: dict[str, Metric | None] = {}
    for metric in metrics:
        if callable(metric):
            found[getattr(metric, "__name__", repr(metric))] = metric
        elif metric in METRICS:
            found[metric] = METRICS[metric]
        elif metric == OF_PROBABILITIES:
            if not hasattr(model, "predict_proba"):
                raise ValueError("the metric log_loss needs a model with predict_proba.")
            found[metric] = None
        else:
            known = ", ".join([*METRICS, OF_PROBABILITIES])
            raise ValueError(f"metrics may be {known}, or functions; got {metric!r}.")
    return found


def _steps(
    model: Any,
    source: Iterable[tuple[Any, Any]],
    metrics: dict[str, Metric | None],
    classes: Any,
    memory: int,
    watch: "_Drift",
    saving: tuple[Any, float],
    max_rows: int | None,
) -> Iterator[Step]:
    checkpoint, every = saving
    started = saved = time.monotonic()
    n_rows, running = 0, _Running(metrics, memory)
    is_first = not hasattr(model, "coef_") and not hasattr(model, "coefs_")
    more = {} if classes is None else {"classes": classes}
    try:
        for X, y in map(pair_of, source):
            if y is None:
                raise ValueError("a batch of a stream must have targets y, got None.")
            n = len(y)
            if n == 0:
                continue
            scores: dict[str, float] = {}
            drifts = False
            if not is_first:
                scores = _scores(model, X, y, metrics)
                running.take(scores, n)
                drifts = watch.sees(next(iter(scores.values()), np.nan))
                if drifts:
                    _warn_of_drift(n_rows, running.means)
            model.partial_fit(X, y, **more)
            is_first, more = False, {}
            n_rows += n
            now = time.monotonic()
            if checkpoint is not None and now - saved >= every:
                _save(model, checkpoint)
                saved = now
            yield Step(n_rows, scores, dict(running.means), drifts, now - started, model)
            if max_rows is not None and n_rows >= max_rows:
                return
    finally:
        if checkpoint is not None and n_rows > 0:
            _save(model, checkpoint)


def _scores(model: Any, X: Any, y: Any, metrics: dict[str, Metric | None]) -> dict[str, float]:
    """Return what the metrics say of a batch that the model has not seen."""
    predicted: Any = None
    found = {}
    for name, metric in metrics.items():
        if metric is None:
            found[name] = float(log_loss(y, model.predict_proba(X), labels=model.classes_))
            continue
        predicted = model.predict(X) if predicted is None else predicted
        found[name] = float(metric(y, predicted))
    return found


class _Running:
    """Means of scores over the last rows, each of which weighs less than those that follow it.

    A score that is no number, such as R2 of a single row, counts in none.
    """

    def __init__(self, names: Iterable[str], memory: float) -> None:
        self._memory = memory
        self._weights = dict.fromkeys(names, 0.0)
        self.means = dict.fromkeys(self._weights, np.nan)

    def take(self, scores: dict[str, float], n: int) -> None:
        """Take in the scores of a batch of n rows."""
        for name, score in scores.items():
            if np.isnan(score):
                continue
            kept = self._weights[name] * float(np.exp(-n / self._memory))
            mean, share = self.means[name], n / (kept + n)
            self.means[name] = score if kept == 0.0 else mean + share * (score - mean)
            self._weights[name] = kept + n


def _save(model: Any, path: Any) -> None:
    with whole_file(Path(path)) as scratch:
        joblib.dump(model, scratch)


def _warn_of_drift(n_rows: int, running: dict[str, float]) -> None:
    said = ", ".join(f"{name} {value:.3g}" for name, value in running.items())
    warnings.warn(
        f"The stream has changed near row {n_rows:,}: the model's errors are no longer what they "
        f"were ({said} over the last rows). A constant learning rate follows such changes.",
        DriftWarning,
        stacklevel=3,
    )


class _Drift:
    """ADWIN of River over the scores of batches, or nothing."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector

    @classmethod
    def of(cls, drift: str | None) -> "_Drift":
        """Return what watches for drift."""
        if drift not in ("auto", "adwin", None):
            raise ValueError(f"drift must be 'auto', 'adwin' or None, got {drift!r}.")
        if drift is None:
            return cls(None)
        try:
            return cls(import_module("river.drift").ADWIN())
        except ModuleNotFoundError:
            if drift == "adwin":
                raise ValueError(
                    "drift='adwin' needs River, which is not installed: pip install river"
                ) from None
            return cls(None)

    def sees(self, score: float) -> bool:
        """Take in the score of a batch; tell whether it is another stream from here on."""
        if self._detector is None or not np.isfinite(score):
            return False
        self._detector.update(score)
        return bool(self._detector.drift_detected)
