"""CoefficientPathDisplay: how coefficients grow as the penalty weakens."""

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _get_feature_names

from fastgd.base import BaseSGD
from fastgd.linear_model import ElasticNet
from fastgd.linear_model._solved import SolvedModel
from fastgd.plot._estimators import transformed
from fastgd.plot._style import axes_or_new, plain_ticks, require_matplotlib, style_of, tidy

N_VALUES = 60
DECADES = 3.0  # of strengths below the one that makes all coefficients zero
STRONGER, WEAKER = 1e3, 1e2  # than the estimator's own penalty, where none makes them zero
LINE_HEIGHT = 1.15  # of labels, in font sizes
PALE = {"color": "0.78", "linewidth": 0.8, "linestyle": "-"}
NAMES_OF_STRENGTH = ("alpha", "C")
AXES = ("strength", "l1_norm")


class CoefficientPathDisplay:
    """The coefficients of a model for many strengths of its penalty.

    It is recommended to use ``from_estimator`` to create a display.

    Parameters
    ----------
    strengths : array-like of shape (n_strengths,)
        Values of ``alpha`` or ``C``, positive.
    coefs : array-like of shape (n_strengths, n_features)
    feature_names : array-like of shape (n_features,), default=None
        None is x0, x1, ...
    strength_name : {"alpha", "C"}, default="alpha"
        What the strengths are: ``C`` is the inverse of a penalty.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One for each feature, in their order.
    labels_ : list of matplotlib Annotation
        The names at the ends of lines.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from fastgd import Lasso
    >>> from fastgd.plot import CoefficientPathDisplay
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> display = CoefficientPathDisplay.from_estimator(Lasso(), X, y)  # doctest: +SKIP
    """

    def __init__(
        self,
        strengths: ArrayLike,
        coefs: ArrayLike,
        *,
        feature_names: ArrayLike | None = None,
        strength_name: str = "alpha",
    ) -> None:
        self.strengths = _checked_strengths(strengths)
        self.coefs = np.asarray(coefs, np.float64)
        if self.coefs.ndim != 2 or self.coefs.shape[0] != self.strengths.shape[0]:
            raise ValueError(
                f"coefs must have shape ({self.strengths.shape[0]}, n_features), got "
                f"{self.coefs.shape}."
            )
        n_features = self.coefs.shape[1]
        names = [f"x{j}" for j in range(n_features)] if feature_names is None else feature_names
        self.feature_names = np.asarray(names, dtype=object)
        if self.feature_names.shape != (n_features,):
            raise ValueError(
                f"feature_names must have shape ({n_features},), got {self.feature_names.shape}."
            )
        if strength_name not in NAMES_OF_STRENGTH:
            raise ValueError(f"strength_name must be 'alpha' or 'C', got {strength_name!r}.")
        self.strength_name = strength_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        strengths: ArrayLike | None = None,
        output: int = 0,
        sample_weight: ArrayLike | None = None,
        feature_names: ArrayLike | None = None,
        against: str = "strength",
        n_labels: int = 12,
        ax: Any = None,
        **kwargs: Any,
    ) -> "CoefficientPathDisplay":
        """Fit a clone for each strength, from the strongest penalty on, and draw the coefficients.

        Each fit starts from the last one's coefficients where the estimator has ``warm_start``.

        Parameters
        ----------
        estimator : estimator
            One of fastgd with ``alpha`` or ``C``, or a pipeline that ends in one. It is not
            changed. Features should have like scales, as by ``StandardScaler``.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        strengths : array-like of shape (n_strengths,), default=None
            Values of ``alpha`` or ``C``. None is 60 of them: with l1 and squared error, three
            decades from the penalty that makes all coefficients zero; else from a penalty a
            thousand times the estimator's own to a hundredth of it.
        output : int, default=0
            Which class or target, where there are coefficients for many.
        sample_weight : array-like of shape (n_samples,), default=None
        feature_names : array-like of shape (n_features,), default=None
            None is those of X's columns, or of what a pipeline's first steps return.
        against : {"strength", "l1_norm"}, default="strength"
            What the coefficients are drawn against: the strength, weaker penalties to the right,
            or the sum of the coefficients' magnitudes, as is usual for the lasso.
        n_labels : int, default=12
            How many features have a name and a colour: those that are largest at the end.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        CoefficientPathDisplay

        Raises
        ------
        TypeError
            If the estimator has neither ``alpha`` nor ``C``.
        """
        require_matplotlib("CoefficientPathDisplay")
        model, rows, steps = transformed(estimator, X, y)
        name = _strength_name(model)
        if strengths is None:
            strengths = _default(model, name, rows, y, sample_weight)
        weakening = np.sort(_checked_strengths(strengths))
        weakening = weakening[::-1] if name == "alpha" else weakening
        coefs = _coefs(model, name, weakening, (rows, y), sample_weight, output)
        if feature_names is None:
            feature_names = _names_of(X, steps)
        display = cls(weakening, coefs, feature_names=feature_names, strength_name=name)
        return display.plot(ax, against=against, n_labels=n_labels, **kwargs)

    def plot(
        self, ax: Any = None, *, against: str = "strength", n_labels: int = 12, **kwargs: Any
    ) -> "CoefficientPathDisplay":
        """Draw the coefficients.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        against : {"strength", "l1_norm"}, default="strength"
        n_labels : int, default=12
            How many features have a name and a colour: those that are largest at the end.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        CoefficientPathDisplay
            This one.
        """
        if against not in AXES:
            raise ValueError(f"against must be 'strength' or 'l1_norm', got {against!r}.")
        self.ax_ = axes_or_new(ax, "CoefficientPathDisplay", (7.2, 4.6))
        self.figure_ = self.ax_.figure
        shown = np.argsort(-np.abs(self.coefs[self._weakest]), kind="stable")[: max(n_labels, 0)]
        # from top to bottom, so that neighbours differ
        shown = shown[np.argsort(-self.coefs[self._weakest][shown], kind="stable")]
        styles = {int(j): style_of(place) for place, j in enumerate(shown)}
        places = self._places(against)
        self.lines_ = []
        for j, coef in enumerate(self.coefs.T):
            style = {**styles.get(j, PALE), "label": self.feature_names[j], **kwargs}
            style.setdefault("zorder", 2.0 if j in styles else 1.5)
            self.lines_ += self.ax_.plot(places, coef, **style)
        self._finish(against)
        self._write_names([int(j) for j in shown])
        return self

    @property
    def _weakest(self) -> int:
        """Number of the weakest penalty."""
        find = np.argmin if self.strength_name == "alpha" else np.argmax
        return int(find(self.strengths))

    def _places(self, against: str) -> NDArray[np.float64]:
        return self.strengths if against == "strength" else np.abs(self.coefs).sum(axis=1)

    def _finish(self, against: str) -> None:
        ax = self.ax_
        tidy(ax)
        ax.spines["right"].set_visible(False)
        ax.axhline(0.0, color="0.4", linewidth=0.8, zorder=1, label="_zero")
        ax.set_ylabel("coefficient")
        ends = np.sort(self._places(against))[[0, -1]]
        if against == "l1_norm":
            ax.set_xlabel("sum of the coefficients' magnitudes")
        elif self.strength_name == "alpha":
            ax.set(xscale="log", xlabel="alpha (the penalty weakens to the right)")
            ends = ends[::-1]
        else:
            ax.set(xscale="log", xlabel="C (the penalty weakens to the right)")
        if ends[0] != ends[1]:
            ax.set_xlim(*ends)
        if against == "strength":
            plain_ticks(ax.xaxis)

    def _write_names(self, features: list[int]) -> None:
        """Write names at the right ends of lines, moved apart where they would overlap."""
        from matplotlib import rcParams

        ax, size = self.ax_, float(rcParams["font.size"]) * 0.9
        height = ax.get_window_extent().height * 72.0 / self.figure_.dpi
        low, high = ax.get_ylim()
        ends = (self.coefs[self._weakest][features] - low) / (high - low)
        self.labels_ = []
        places = _apart(ends, LINE_HEIGHT * size / height)
        for j, end, place in zip(features, ends, places, strict=True):
            color = self.lines_[j].get_color()
            self.labels_.append(
                ax.annotate(
                    str(self.feature_names[j]),
                    xy=(1.0, end),
                    xytext=(1.04, place),
                    xycoords="axes fraction",
                    textcoords="axes fraction",
                    va="center",
                    fontsize=size,
                    color=color,
                    arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.7, "shrinkA": 0},
                )
            )


def _names_of(X: Any, steps: Any) -> Any:
    """Return the names of a frame's columns, or of what steps make of them; None without any."""
    if steps is None:
        return _get_feature_names(X)
    return steps.get_feature_names_out() if hasattr(steps, "get_feature_names_out") else None


def _apart(places: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Move falling numbers apart until neighbours are ``gap`` from each other, the least they can.

    That is least squares: after the gaps are taken out, the numbers have to fall, and the closest
    falling ones are those of an isotonic regression.
    """
    from sklearn.isotonic import isotonic_regression

    if places.size == 0:
        return places
    offsets = gap * np.arange(places.size)
    moved: NDArray[np.float64] = isotonic_regression(places + offsets, increasing=False) - offsets
    return moved


def _checked_strengths(strengths: ArrayLike) -> NDArray[np.float64]:
    checked = np.asarray(strengths, np.float64)
    if checked.ndim != 1 or checked.size < 2 or not (checked > 0).all():
        raise ValueError("strengths must be 1-d, two or more numbers > 0.")
    if not np.isfinite(checked).all():
        raise ValueError("strengths must be finite.")
    return checked


def _strength_name(model: Any) -> str:
    params = model.get_params()
    if isinstance(model, BaseSGD | SolvedModel):
        for name in NAMES_OF_STRENGTH:
            if name in params:
                return name
    raise TypeError(f"{type(model).__name__} has no penalty whose strength is alpha or C.")


def _default(
    model: Any, name: str, X: Any, y: Any, sample_weight: Any = None
) -> NDArray[np.float64]:
    """Return strengths between which something happens."""
    share = _share_of_l1(model)
    squared = isinstance(model, ElasticNet) or getattr(model, "loss", None) == "squared_error"
    if squared and share > 0.0 and is_regressor(model):
        X, y = X if sp.issparse(X) else np.asarray(X), np.asarray(y, np.float64)
        mean = np.average(y, axis=0, weights=sample_weight) * bool(model.fit_intercept)
        weight = np.ones(y.shape[0]) if sample_weight is None else np.asarray(sample_weight)
        # an l1 penalty of the gradient's size at zero keeps all coefficients there
        slopes = X.T @ ((y - mean).T * (weight / weight.sum())).T
        strongest = float(np.abs(slopes).max()) / share
        return np.geomspace(strongest, strongest * 10.0**-DECADES, N_VALUES)
    own: Any = model.get_params()[name]
    middle = float(own) if np.ndim(own) == 0 and own > 0 else 1.0
    below, above = (WEAKER, STRONGER) if name == "alpha" else (STRONGER, WEAKER)
    return np.geomspace(middle / below, middle * above, N_VALUES)


def _share_of_l1(model: Any) -> float:
    """Return how much of the penalty is l1."""
    params = model.get_params()
    if params.get("penalty", "elasticnet") == "l1":
        return 1.0
    if params.get("penalty", "elasticnet") != "elasticnet":
        return 0.0
    return float(getattr(model, "l1_ratio", None) or 0.0)


def _coefs(
    model: Any,
    name: str,
    strengths: NDArray[np.float64],
    data: tuple[Any, Any],
    sample_weight: ArrayLike | None,
    output: int,
) -> NDArray[np.float64]:
    """Fit for each strength, from the last fit's coefficients."""
    if "warm_start" in model.get_params():
        model.set_params(warm_start=True)
    given = {} if sample_weight is None else {"sample_weight": sample_weight}
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for strength in strengths:
            coef = np.atleast_2d(
                model.set_params(**{name: float(strength)}).fit(*data, **given).coef_
            )
            if not 0 <= output < coef.shape[0]:
                raise ValueError(
                    f"output must be at least 0 and less than {coef.shape[0]}, got {output!r}."
                )
            rows.append(coef[output].astype(np.float64))
    return np.array(rows)
