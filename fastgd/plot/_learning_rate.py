"""LearningRateDisplay: the range test, which shows what learning rates a model bears."""

import math
import warnings
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import _num_samples

from fastgd._training.divergence import Diverged
from fastgd.base import BaseSGD
from fastgd.plot._estimators import name_of, transformed
from fastgd.plot._style import (
    axes_or_new,
    curves_of,
    legend,
    plain_ticks,
    require_matplotlib,
    style_of,
    tidy,
)

ROWS_OF_A_POINT = 256  # a mean over fewer rows is mostly noise
SMOOTHING = 2.0  # points on either side that a smoothed loss sees most of
RISE = 4.0  # a loss that is so many times the lowest, and above the first, has exploded
BEFORE_THE_LOWEST = 3.0
HEADROOM = 0.5  # above the first loss, of what it fell
WIDE = 4.0  # a fall that is read on a log axis


class LearningRateDisplay:
    """The loss while the learning rate rises: where it falls, and where it explodes.

    It is recommended to use ``from_estimator`` to create a display.

    The learning rate range test [1]_ trains with a rate that grows from step to step. Too small
    rates change nothing; then the loss falls; then it rises and explodes. The suggestion is a
    third of the rate at which the smoothed loss is lowest.

    Parameters
    ----------
    rates : array-like of shape (n_rates,)
        Rising.
    losses : array-like of shape (n_rates,)
        The objective of the rows of each rate, before their steps.
    estimator_name : str, default=None
        The curve's name.

    Attributes
    ----------
    suggestion_ : float
        What to take for ``eta0``.
    smoothed_ : ndarray of shape (n_rates,)
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
        The smoothed losses.
    points_ : matplotlib Line2D
        The losses.
    suggestion_line_ : matplotlib Line2D

    Notes
    -----
    The test is of a constant rate. A schedule that falls may begin higher.

    A third is a compromise. On four data sets, by sgd and Adam, the objective after five epochs was
    up to 46 % above that of the best of a grid of rates at the lowest point itself, up to 80 % at a
    third of it, and up to 230 % at a tenth, which is usual for networks. But the lowest point is
    close to where training explodes, and costs most where rows are noisy.

    References
    ----------
    .. [1] Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.3.
       arXiv:1506.01186

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import StandardScaler
    >>> from fastgd import SGDClassifier
    >>> from fastgd.plot import LearningRateDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> model = SGDClassifier(loss="log_loss", batch_size=32)
    >>> display = LearningRateDisplay.from_estimator(model, X, y)  # doctest: +SKIP
    >>> model.set_params(learning_rate="constant", eta0=display.suggestion_)  # doctest: +SKIP
    """

    def __init__(
        self, rates: ArrayLike, losses: ArrayLike, *, estimator_name: str | None = None
    ) -> None:
        self.rates = np.asarray(rates, np.float64)
        self.losses = np.asarray(losses, np.float64)
        _check_curve(self.rates, self.losses)
        self.estimator_name = estimator_name
        self.smoothed_ = gaussian_filter1d(self.losses, SMOOTHING, mode="nearest")
        self.suggestion_ = _suggestion(self.rates, self.smoothed_)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        start: float = 1e-6,
        stop: float = 10.0,
        n_rates: int = 100,
        random_state: Any = 0,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> "LearningRateDisplay":
        """Train a clone with rising rates, and draw its loss.

        Parameters
        ----------
        estimator : estimator
            ``SGDClassifier``, ``SGDRegressor`` or ``SGDOneClassSVM``, or a pipeline that ends in
            one. It is not changed.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
        start, stop : float, default=1e-6 and 10.0
            The first rate and the last; the test ends earlier where the loss explodes.
        n_rates : int, default=100
            How many rates, at equal ratios. At each the clone is given 256 rows, or as many as fill
            whole batches.
        random_state : int, RandomState instance or None, default=0
            Seeds the order of the rows.
        name : str, default=None
            The curve's; None is the class's name.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to matplotlib's ``plot``, for the smoothed losses.

        Returns
        -------
        LearningRateDisplay

        Raises
        ------
        TypeError
            If the estimator has no learning rate.
        ValueError
            If the rates are not 0 < start < stop, or ``n_rates`` is less than 10.
        """
        require_matplotlib("LearningRateDisplay")
        _check_range(start, stop, n_rates)
        model, rows, _ = transformed(estimator, X, y)
        if not isinstance(model, BaseSGD):
            raise TypeError(f"{type(model).__name__} has no learning rate to look for.")
        rates = np.geomspace(start, stop, n_rates)
        losses = _ramp(model, rows, y, rates, check_random_state(random_state))
        display = cls(rates[: len(losses)], losses, estimator_name=name or name_of(estimator))
        return display.plot(ax, **kwargs)

    def plot(
        self, ax: Any = None, *, name: str | None = None, **kwargs: Any
    ) -> "LearningRateDisplay":
        """Draw the losses, the smoothed losses and the suggestion.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        name : str, default=None
            The curve's; None is ``estimator_name``.
        **kwargs : dict
            Passed to matplotlib's ``plot``, for the smoothed losses.

        Returns
        -------
        LearningRateDisplay
            This one.
        """
        self.ax_ = axes_or_new(ax, "LearningRateDisplay")
        self.figure_ = self.ax_.figure
        label = name or self.estimator_name or "loss"
        suggested = f"{label}: eta0 = {self.suggestion_:.2g} suggested"
        style = {**style_of(len(curves_of(self.ax_))), "label": suggested, **kwargs}
        (self.line_,) = self.ax_.plot(self.rates, self.smoothed_, **style)
        color = self.line_.get_color()
        dots = {"color": color, "alpha": 0.45, "markersize": 3.0, "label": "_rows met"}
        (self.points_,) = self.ax_.plot(self.rates, self.losses, ".", **dots)
        self.suggestion_line_ = self.ax_.axvline(
            self.suggestion_, color=color, linestyle=":", linewidth=1.4, label="_suggestion"
        )
        self._finish()
        return self

    def _finish(self) -> None:
        ax = self.ax_
        ax.set(xscale="log", xlabel="learning rate", ylabel="objective of the rows")
        if (self.losses > 0.0).all() and self.losses[0] > WIDE * self.smoothed_.min():
            ax.set_yscale("log")
            plain_ticks(ax.yaxis, minor=True)
        self._cut_off_the_explosion()
        tidy(ax)
        ax.spines["right"].set_visible(False)
        legend(ax, curves_of(ax), above=True, n_columns=1)

    def _cut_off_the_explosion(self) -> None:
        """Show less of the rise than of the fall, which is what one looks at."""
        curves = [np.asarray(line.get_ydata()) for line in curves_of(self.ax_)]
        first = max(float(curve[0]) for curve in curves)
        low = min(float(self.losses.min()), *(float(curve.min()) for curve in curves))
        top = first + HEADROOM * (first - low)
        if self.ax_.get_yscale() == "log":
            top = first * (first / low) ** HEADROOM
        if low < first and top < self.ax_.get_ylim()[1]:
            self.ax_.set_ylim(top=top)


def _check_curve(rates: NDArray[Any], losses: NDArray[Any]) -> None:
    if rates.ndim != 1 or rates.shape != losses.shape or rates.size < 2:
        raise ValueError(
            "rates and losses must be 1-d, of one length, 2 or more; got shapes "
            f"{rates.shape} and {losses.shape}."
        )
    if not (rates[0] > 0 and (np.diff(rates) > 0).all() and np.isfinite(rates).all()):
        raise ValueError("rates must be positive, finite and rising.")
    if not np.isfinite(losses).all():
        raise ValueError("losses must be finite.")


def _check_range(start: Any, stop: Any, n_rates: Any) -> None:
    are_numbers = isinstance(start, Real) and isinstance(stop, Real)
    if not (are_numbers and 0 < start < stop < np.inf):
        raise ValueError(f"0 < start < stop is needed, got start={start!r}, stop={stop!r}.")
    if not (isinstance(n_rates, Integral) and int(n_rates) >= 10):
        raise ValueError(f"n_rates must be an integer >= 10, got {n_rates!r}.")


def _suggestion(rates: NDArray[np.float64], smoothed: NDArray[np.float64]) -> float:
    """Return a third of the rate at which the smoothed loss is lowest, within what was tried."""
    lowest = float(rates[np.argmin(smoothed)])
    return max(lowest / BEFORE_THE_LOWEST, float(rates[0]))


def _ramp(
    model: BaseSGD, X: Any, y: Any, rates: NDArray[np.float64], random: Any
) -> NDArray[np.float64]:
    """Train with a rate after the other; return the objectives up to where they explode."""
    first = _make_ready(model, y)
    losses: list[float] = []
    lots = _lots(_num_samples(X), model.batch_size, random)
    for rate, rows in zip(rates, lots, strict=False):
        model.set_params(eta0=float(rate))
        targets = () if y is None else (_safe_indexing(y, rows),)
        loss = _loss_of_step(model, (_safe_indexing(X, rows), *targets), {} if losses else first)
        if not math.isfinite(loss) or (losses and _has_exploded(loss, losses)):
            break
        losses.append(loss)
    if len(losses) < 2:
        raise ValueError(
            f"The training explodes at the first rates from {rates[0]:g} on: scale the features, "
            "or begin with a smaller start."
        )
    return np.array(losses)


def _loss_of_step(model: BaseSGD, rows: tuple[Any, ...], params: dict[str, Any]) -> float:
    """Train on some rows; return their objective, inf where it explodes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)  # of an objective that rose
        try:
            model.partial_fit(*rows, **params)
        except (Diverged, ConvergenceWarning):
            return math.inf
    return model.history_["objective"][-1]


def _has_exploded(loss: float, losses: list[float]) -> bool:
    return loss > losses[0] and loss > RISE * abs(min(losses))


def _make_ready(model: BaseSGD, y: Any) -> dict[str, Any]:
    """Set the parameters that a ramp needs; return what the first call of ``partial_fit`` needs."""
    params = {"learning_rate": "constant", "on_divergence": "raise", "average": False}
    model.set_params(**params, monitor=False)
    if "early_stopping" in model.get_params():
        model.set_params(early_stopping=False)
    if not is_classifier(model):
        return {}
    classes = unique_labels(y)
    if getattr(model, "class_weight", None) == "balanced":
        weights = compute_class_weight("balanced", classes=classes, y=np.asarray(y))
        model.set_params(class_weight=dict(zip(classes.tolist(), weights, strict=True)))
    return {"classes": classes}


def _lots(n_rows: int, batch_size: Any, random: Any) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of one point after the other, in shuffled rounds over all rows."""
    size = n_rows
    if batch_size != "full":
        size = min(n_rows, -(-ROWS_OF_A_POINT // batch_size) * batch_size)
    order = np.empty(0, np.int64)
    while True:
        while order.size < size:
            order = np.concatenate([order, random.permutation(n_rows)])
        yield order[:size]
        order = order[size:]
