"""LossCurveDisplay: how the objective fell, epoch by epoch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastgd.plot._estimators import histories_of, name_of, named
from fastgd.plot._style import (
    axes_or_new,
    curves_of,
    legend,
    plain_ticks,
    style_of,
    tidy,
)

History = Mapping[str, list[float]]

FIRST_OF = ("objective", "loss_estimate")
SCORE = "validation_score"
WIDE = 10.0  # values that differ by so much are read on a log axis
SECOND_AXIS = "validation score of fastgd"


class LossCurveDisplay:
    """Curves of what was minimised, and of the validation score where there is one.

    It is recommended to use ``from_estimator`` or ``from_estimators`` to create a display.

    Parameters
    ----------
    histories : dict of str to dict
        By the curves' names, histories as estimators have them in ``history_``: lists with one
        entry an epoch.
    quantity : str, default=None
        Which list is drawn, such as "objective", "loss", "true_objective" or "gradient_norm". None
        is "objective", and for solutions by SDCA, which has estimates only, "loss_estimate".

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One for each history.
    score_ax_ : matplotlib Axes or None
        The axis at the right, of validation scores.
    score_lines_ : list of matplotlib Line2D

    Raises
    ------
    ValueError
        If there is no history, or none of that quantity.

    See Also
    --------
    ConvergenceDisplay : How far the objective is above the optimum, against passes or seconds.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import StandardScaler
    >>> from fastgd import SGDClassifier
    >>> from fastgd.plot import LossCurveDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> model = SGDClassifier(early_stopping=True, random_state=0).fit(X, y)
    >>> display = LossCurveDisplay.from_estimator(model)  # doctest: +SKIP
    """

    def __init__(self, histories: Mapping[str, History], *, quantity: str | None = None) -> None:
        if not histories:
            raise ValueError("histories is empty: there is no curve to draw.")
        self.histories = {name: dict(history) for name, history in histories.items()}
        self.quantity = quantity
        self._curves = {name: self._curve(name) for name in self.histories}

    def _curve(self, name: str) -> tuple[str, np.ndarray]:
        """Return which quantity of a history is drawn, and its values."""
        history = self.histories[name]
        asked = FIRST_OF if self.quantity is None else (self.quantity,)
        for quantity in asked:
            if len(history.get(quantity, ())) > 0:
                return quantity, np.asarray(history[quantity], np.float64)
        known = ", ".join(repr(key) for key, values in history.items() if len(values) > 0)
        raise ValueError(
            f"The history of {name} has no {' or '.join(map(repr, asked))}; it has "
            f"{known or 'nothing'}."
        )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        quantity: str | None = None,
        name: str | None = None,
        ax: Any = None,
        log_scale: bool | None = None,
        **kwargs: Any,
    ) -> "LossCurveDisplay":
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted one of fastgd, or a pipeline or a search that ends in one.
        quantity : str, default=None
            Which list of ``history_`` is drawn.
        name : str, default=None
            The curve's; None is the class's name.
        ax : matplotlib Axes, default=None
            Where to draw; several estimators share axes so.
        log_scale : bool, default=None
            Whether the objective's axis is logarithmic; None decides by the values.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        """
        histories = histories_of(estimator, name or name_of(estimator))
        return cls(histories, quantity=quantity).plot(ax, log_scale=log_scale, **kwargs)

    @classmethod
    def from_estimators(
        cls,
        estimators: Any,
        *,
        quantity: str | None = None,
        ax: Any = None,
        log_scale: bool | None = None,
        **kwargs: Any,
    ) -> "LossCurveDisplay":
        """Draw the histories of several fitted estimators.

        Parameters
        ----------
        estimators : dict of str to estimator, or list of estimators
            Fitted ones.
        quantity : str, default=None
            Which list of ``history_`` is drawn.
        ax : matplotlib Axes, default=None
            Where to draw.
        log_scale : bool, default=None
            Whether the objective's axis is logarithmic; None decides by the values.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        LossCurveDisplay
        """
        histories: dict[str, dict[str, list[float]]] = {}
        for name, estimator in named(estimators).items():
            histories |= histories_of(estimator, name)
        return cls(histories, quantity=quantity).plot(ax, log_scale=log_scale, **kwargs)

    @classmethod
    def from_history(
        cls,
        history: History,
        *,
        quantity: str | None = None,
        name: str = "objective",
        ax: Any = None,
        log_scale: bool | None = None,
        **kwargs: Any,
    ) -> "LossCurveDisplay":
        """Draw a history that was kept without its estimator.

        Parameters
        ----------
        history : dict of str to list of float
            As in ``history_``.
        quantity : str, default=None
            Which of its lists is drawn.
        name : str, default="objective"
            The curve's.
        ax : matplotlib Axes, default=None
            Where to draw.
        log_scale : bool, default=None
            Whether the objective's axis is logarithmic; None decides by the values.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        LossCurveDisplay
        """
        return cls({name: history}, quantity=quantity).plot(ax, log_scale=log_scale, **kwargs)

    def plot(
        self, ax: Any = None, *, log_scale: bool | None = None, **kwargs: Any
    ) -> "LossCurveDisplay":
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        log_scale : bool, default=None
            Whether the objective's axis is logarithmic; None decides by the values.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        LossCurveDisplay
            This one.
        """
        self.ax_ = axes_or_new(ax, "LossCurveDisplay")
        self.figure_ = self.ax_.figure
        before = len(curves_of(self.ax_))
        self.lines_: list[Any] = []
        self.score_lines_: list[Any] = []
        self.score_ax_ = _second_axis_of(self.ax_)
        for number, (name, (_, values)) in enumerate(self._curves.items(), start=before):
            style = {**style_of(number), "label": name, **kwargs}
            self.lines_ += self.ax_.plot(np.arange(1, len(values) + 1), values, **style)
            self._plot_score(name, self.lines_[-1].get_color())
        self._finish(log_scale)
        return self

    def _plot_score(self, name: str, color: Any) -> None:
        """Draw the validation score on an axis of its own, in its curve's colour."""
        scores = self.histories[name].get(SCORE, ())
        if len(scores) == 0:
            return
        if self.score_ax_ is None:
            self.score_ax_ = self.ax_.twinx()
            self.score_ax_.set_label(SECOND_AXIS)
            self.score_ax_.set_ylabel("validation score")
            self.score_ax_.spines["top"].set_visible(False)
        style = {"color": color, "linestyle": ":", "marker": "o", "markersize": 3.2}
        label = f"{name}, validation score (right)"
        epochs = np.arange(1, len(scores) + 1)
        self.score_lines_ += self.score_ax_.plot(epochs, scores, label=label, **style)

    def _finish(self, log_scale: bool | None) -> None:
        from matplotlib.ticker import MaxNLocator

        ax = self.ax_
        if _is_wide(ax) if log_scale is None else log_scale:
            ax.set_yscale("log")
            plain_ticks(ax.yaxis, minor=True)
        quantities = {quantity for quantity, _ in self._curves.values()}
        ax.set_ylabel(" / ".join(sorted(quantity.replace("_", " ") for quantity in quantities)))
        epochs = all("samples" in history for history in self.histories.values())
        ax.set_xlabel("epoch" if epochs else "pass over the data")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        tidy(ax)
        ax.spines["right"].set_visible(False)
        handles, scores = curves_of(ax), [] if self.score_ax_ is None else self.score_ax_.lines
        n_columns = 1 if len(handles) == 1 else 2
        legend(ax, [*handles, *scores], above=len(scores) > 0, n_columns=n_columns)


def _second_axis_of(ax: Any) -> Any:
    """Return the axis of scores that an earlier curve on these axes has made; None without one."""
    for other in ax.figure.axes:
        if other.get_label() == SECOND_AXIS and other.get_shared_x_axes().joined(ax, other):
            return other
    return None


def _is_wide(ax: Any) -> bool:
    """Tell whether the curves' values are positive and of very unlike sizes."""
    values = np.concatenate([np.asarray(line.get_ydata(), np.float64) for line in curves_of(ax)])
    values = values[np.isfinite(values)]
    return values.size > 0 and values.min() > 0 and values.max() > WIDE * values.min()
