"""ConvergenceDisplay: how far above the optimum, after how many passes and seconds."""

import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastgd.base import BaseSGD
from fastgd.linear_model._solved import SolvedModel
from fastgd.plot._estimators import name_of, named, transformed
from fastgd.plot._style import (
    axes_or_new,
    curves_of,
    legend,
    plain_ticks,
    require_matplotlib,
    style_of,
    tidy,
)

N_BUDGETS = 15
REPEATS = 3
MOST_MARKERS = 30
AXES = {"passes": "passes over the data", "seconds": "seconds"}


class Trace(NamedTuple):
    """The objective of a training, and what it had cost by then.

    Attributes
    ----------
    passes : ndarray of shape (n_points,)
        Passes over the data.
    seconds : ndarray of shape (n_points,)
    objective : ndarray of shape (n_points,)
    """

    passes: np.ndarray
    seconds: np.ndarray
    objective: np.ndarray


class ConvergenceDisplay:
    """Curves of the objective minus the lowest known, on log axes.

    It is recommended to use ``from_estimators`` to create a display.

    Parameters
    ----------
    traces : dict of str to Trace
        By the curves' names: (passes, seconds, objective), arrays of one length.
    best : float, default=None
        What is subtracted from the objectives; None is the lowest of them. A point that is not
        above it has no place on a log axis, and is left out.

    Attributes
    ----------
    best_ : float
        What was subtracted.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D

    See Also
    --------
    LossCurveDisplay : The histories of fitted estimators, without training anew.

    Notes
    -----
    Only estimators that minimise the same objective can be compared: ``alpha`` of ``SGDClassifier``
    is 1 / (C n_samples) of ``LogisticRegression``, and alpha / n_samples of ``Ridge`` for
    ``SGDRegressor``.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from fastgd import LogisticRegression
    >>> from fastgd.plot import ConvergenceDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> solvers = {"gd": LogisticRegression(solver="gd"), "saga": LogisticRegression(solver="saga")}
    >>> display = ConvergenceDisplay.from_estimators(solvers, X, y)  # doctest: +SKIP
    """

    def __init__(self, traces: Mapping[str, Any], *, best: float | None = None) -> None:
        if not traces:
            raise ValueError("traces is empty: there is no curve to draw.")
        self.traces = {name: _checked(name, trace) for name, trace in traces.items()}
        lowest = min(float(np.nanmin(trace.objective)) for trace in self.traces.values())
        if best is not None and not np.isfinite(best):
            raise ValueError(f"best must be a finite number or None, got {best!r}.")
        self.best_ = lowest if best is None else float(best)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, name: str | None = None, **kwargs: Any
    ) -> "ConvergenceDisplay":
        """Train a clone of an estimator and draw how it converged.

        Parameters
        ----------
        estimator : estimator
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        name : str, default=None
            The curve's; None is the class's name.
        **kwargs : dict
            Passed to ``from_estimators``.

        Returns
        -------
        ConvergenceDisplay
        """
        return cls.from_estimators({name or name_of(estimator): estimator}, X, y, **kwargs)

    @classmethod
    def from_estimators(
        cls,
        estimators: Any,
        X: Any,
        y: Any,
        *,
        against: str = "passes",
        best: float | None = None,
        objective: Callable[[Any], float] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> "ConvergenceDisplay":
        """Train clones of several estimators and draw how they converged.

        Stochastic estimators are trained once, with ``monitor=True``; their seconds are those of
        their epochs. All others are trained again for each of up to 15 numbers of passes, three
        times, and their seconds are the least that a whole call of ``fit`` took for so many passes
        or more. All are trained once before, so that nothing is compiled while the clock runs.

        Parameters
        ----------
        estimators : dict of str to estimator, or list of estimators
            They must minimise the same. A pipeline's first steps are fitted before the clock runs.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        against : {"passes", "seconds"}, default="passes"
        best : float, default=None
            What is subtracted; None is the lowest objective that was seen.
        objective : callable, default=None
            From a fitted estimator to the objective, for estimators that are not fastgd's.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        ConvergenceDisplay
        """
        require_matplotlib("ConvergenceDisplay")
        _check_against(against)
        traces = {}
        for name, estimator in named(estimators).items():
            model, rows, _ = transformed(estimator, X, y)
            traces[name] = _trace(model, rows, y, objective)
        return cls(traces, best=best).plot(ax, against=against, **kwargs)

    @classmethod
    def from_history(
        cls, history: Mapping[str, list[float]], *, name: str = "objective", **kwargs: Any
    ) -> "ConvergenceDisplay":
        """Draw a history that an estimator noted.

        Parameters
        ----------
        history : dict of str to list of float
            As in ``history_``: its "true_objective" where it has one, else its "objective", which
            stochastic estimators evaluate while they train. Solvers note no "seconds".
        name : str, default="objective"
            The curve's.
        **kwargs : dict
            ``best``, and what ``plot`` takes.

        Returns
        -------
        ConvergenceDisplay
        """
        key = "true_objective" if "true_objective" in history else "objective"
        if len(history.get(key, ())) == 0:
            raise ValueError("The history has no 'objective', or it is empty.")
        objective = np.asarray(history[key], np.float64)
        n_points = objective.shape[0]
        seconds = np.cumsum(history.get("seconds", np.full(n_points, np.nan)))
        best = kwargs.pop("best", None)
        trace = Trace(np.arange(1.0, n_points + 1), seconds, objective)
        return cls({name: trace}, best=best).plot(**kwargs)

    def plot(
        self, ax: Any = None, *, against: str = "passes", **kwargs: Any
    ) -> "ConvergenceDisplay":
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        against : {"passes", "seconds"}, default="passes"
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        ConvergenceDisplay
            This one.
        """
        _check_against(against)
        for name, trace in self.traces.items():
            if np.isnan(getattr(trace, against)).all():
                raise ValueError(f"It is not known how many {against} {name} took.")
        self.ax_ = axes_or_new(ax, "ConvergenceDisplay")
        self.figure_, self.lines_ = self.ax_.figure, []
        for number, (name, trace) in enumerate(self.traces.items(), len(curves_of(self.ax_))):
            marker = "o" if trace.objective.size <= MOST_MARKERS else ""
            dots = {"marker": marker, "markersize": 3.5, "label": name}
            style = {**style_of(number), **dots, **kwargs}
            above = trace.objective - self.best_
            above = np.where(above > 0.0, above, np.nan)
            self.lines_ += self.ax_.plot(getattr(trace, against), above, **style)
        self.ax_.set(xscale="log", yscale="log", xlabel=AXES[against])
        self.ax_.set_ylabel("objective minus the lowest")
        tidy(self.ax_)
        self.ax_.spines["right"].set_visible(False)
        plain_ticks(self.ax_.xaxis)
        legend(self.ax_, curves_of(self.ax_))
        return self


def _check_against(against: str) -> None:
    if against not in AXES:
        raise ValueError(f"against must be 'passes' or 'seconds', got {against!r}.")


def _checked(name: str, trace: Any) -> Trace:
    """Return a trace as arrays of one length."""
    arrays = [np.asarray(part, np.float64) for part in trace]
    if len(arrays) != 3 or any(a.ndim != 1 or a.shape != arrays[0].shape for a in arrays):
        raise ValueError(
            f"The trace of {name} must be (passes, seconds, objective), 1-d arrays of one length."
        )
    if not np.isfinite(arrays[2]).any():
        raise ValueError(f"The trace of {name} has no finite objective.")
    return Trace(*arrays)


def _trace(model: Any, X: Any, y: Any, objective: Callable[[Any], float] | None) -> Trace:
    """Train, and note what was reached by when."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if isinstance(model, BaseSGD):
            return _trace_of_epochs(model, X, y)
        return _trace_of_budgets(model, X, y, objective)


def _trace_of_epochs(model: BaseSGD, X: Any, y: Any) -> Trace:
    """Train once, and once before, by which all is compiled."""
    if model.get_params().get("early_stopping", False):
        raise ValueError(
            f"{type(model).__name__}(early_stopping=True) holds rows out, and so minimises another "
            "objective: set early_stopping=False."
        )
    model.set_params(monitor=True)
    clone(model).set_params(max_iter=1).fit(X, y)
    history = model.fit(X, y).history_
    values = np.asarray(history["true_objective"], np.float64)
    return Trace(np.arange(1.0, values.size + 1), np.cumsum(history["seconds"]), values)


def _trace_of_budgets(
    model: Any, X: Any, y: Any, objective: Callable[[Any], float] | None
) -> Trace:
    """Train to the end, then for fewer passes each time."""
    if "max_iter" not in model.get_params():
        raise TypeError(f"{type(model).__name__} has no max_iter: its passes cannot be counted.")
    if objective is None:
        if not isinstance(model, SolvedModel):
            raise ValueError(
                f"{type(model).__name__} does not report its objective: pass objective=, a "
                "callable that takes the fitted estimator."
            )
        objective = _own_objective
    n_passes = int(np.max(clone(model).fit(X, y).n_iter_))
    budgets = np.unique(np.geomspace(1, max(n_passes, 1), N_BUDGETS).round().astype(int))
    points = [_timed(model.set_params(max_iter=int(b)), X, y, objective) for b in budgets]
    seconds, values = np.array(points).T
    # what took longer with fewer passes was held up by something else
    seconds = np.minimum.accumulate(seconds[::-1])[::-1]
    return Trace(budgets.astype(np.float64), seconds, values)


def _own_objective(model: Any) -> float:
    """Return what a solver reached; many outputs add up."""
    return float(np.sum(model.objective_))


def _timed(model: Any, X: Any, y: Any, objective: Callable[[Any], float]) -> tuple[float, float]:
    """Return the seconds of the fastest fit, and the objective."""
    times = []
    for _ in range(REPEATS):
        fitted, started = clone(model), time.perf_counter()
        fitted.fit(X, y)
        times.append(time.perf_counter() - started)
    return min(times), float(objective(fitted))
