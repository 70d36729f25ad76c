"""DescentPathDisplay: the paths of optimizers over the contours of a loss of two parameters."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import unique_labels

from fastgd._training.divergence import Diverged
from fastgd.base import SupervisedSGD
from fastgd.kernels import penalties
from fastgd.kernels.objective import total_loss
from fastgd.plot._estimators import name_of, named, transformed
from fastgd.plot._style import axes_or_new, legend, require_matplotlib, style_of, tidy

N_GRID = 80
N_LEVELS = 14
MARGIN = 0.12
FAR = 2.0  # times the larger extent of all paths
Surface = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


class DescentPathDisplay:
    """Contours of an objective of two parameters, and how estimators descend it.

    It is recommended to use ``from_estimators`` to create a display.

    Parameters
    ----------
    paths : dict of str to array-like of shape (n_points, 2)
        By the curves' names: the start, and the parameters after each epoch.
    surface : tuple of (ndarray of shape (n_first,), ndarray of shape (n_second,), \
ndarray of shape (n_second, n_first))
        The two parameters' values, and the objective at all pairs of them.
    minimum : tuple of two floats, default=None
        The parameters where the objective is lowest; None draws no cross.
    parameter_names : tuple of str, default=("first coefficient", "second coefficient")

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
    contours_ : matplotlib QuadContourSet
        At levels whose distances from the lowest value grow by equal ratios.
    minimum_ : matplotlib Line2D or None
        A cross at the minimum, if it lies within the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastgd import SGDRegressor
    >>> from fastgd.plot import DescentPathDisplay
    >>> X = load_iris().data
    >>> params = {"batch_size": "full", "learning_rate": "constant", "alpha": 0.0}
    >>> models = {
    ...     "sgd": SGDRegressor(eta0=0.05, **params),
    ...     "Adam": SGDRegressor(eta0=0.2, optimizer="adam", **params),
    ... }
    >>> display = DescentPathDisplay.from_estimators(
    ...     models, X[:, 2:3], X[:, 3], start=(-1.0, 2.0)
    ... )  # doctest: +SKIP
    """

    def __init__(
        self,
        paths: Mapping[str, ArrayLike],
        surface: Surface,
        *,
        minimum: tuple[float, float] | None = None,
        parameter_names: tuple[str, str] = ("first coefficient", "second coefficient"),
    ) -> None:
        if not paths:
            raise ValueError("paths is empty: there is no path to draw.")
        self.paths = {name: np.asarray(path, np.float64) for name, path in paths.items()}
        for name, path in self.paths.items():
            if path.ndim != 2 or path.shape[1] != 2:
                raise ValueError(f"The path of {name} must have shape (n, 2), got {path.shape}.")
        first, second, values = (np.asarray(part, np.float64) for part in surface)
        if values.shape != (second.size, first.size):
            raise ValueError(
                f"surface must have values of shape {(second.size, first.size)}, got "
                f"{values.shape}."
            )
        self.surface = (first, second, values)
        self.minimum = minimum
        self.parameter_names = parameter_names

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, name: str | None = None, **kwargs: Any
    ) -> "DescentPathDisplay":
        """Train a clone of an estimator epoch by epoch, and draw its path.

        Parameters
        ----------
        estimator : estimator
        X : array-like of shape (n_samples, 1) or (n_samples, 2)
        y : array-like of shape (n_samples,)
        name : str, default=None
            The path's; None is the class's name.
        **kwargs : dict
            Passed to ``from_estimators``.

        Returns
        -------
        DescentPathDisplay
        """
        return cls.from_estimators({name or name_of(estimator): estimator}, X, y, **kwargs)

    @classmethod
    def from_estimators(
        cls,
        estimators: Any,
        X: Any,
        y: Any,
        *,
        start: tuple[float, float] = (0.0, 0.0),
        n_epochs: int = 50,
        limits: ArrayLike | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> "DescentPathDisplay":
        """Train clones of several estimators epoch by epoch, and draw their paths.

        With ``batch_size="full"`` an epoch is a step.

        Parameters
        ----------
        estimators : dict of str to estimator, or list of estimators
            ``SGDRegressor`` or ``SGDClassifier`` with two classes, of one objective. They are not
            changed.
        X : array-like of shape (n_samples, 1) or (n_samples, 2)
            One feature for estimators with an intercept, which is the second parameter then; two
            for estimators without.
        y : array-like of shape (n_samples,)
        start : tuple of two floats, default=(0.0, 0.0)
            Where all paths begin.
        n_epochs : int, default=50
            A path that explodes is shorter.
        limits : array-like of shape (2, 2), default=None
            (low, high) of either parameter that are drawn; None shows all paths.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        DescentPathDisplay

        Raises
        ------
        TypeError
            If an estimator is not a stochastic one.
        ValueError
            If there are not two parameters, or the objectives differ.
        """
        require_matplotlib("DescentPathDisplay")
        _check_start(start, n_epochs)
        paths: dict[str, NDArray[np.float64]] = {}
        problems = []
        for name, estimator in named(estimators).items():
            model, rows, _ = transformed(estimator, X, y)
            rows = np.asarray(rows, np.float64)
            _check_two_parameters(model, rows, y)
            paths[name] = _path(model, rows, y, start, n_epochs)
            problems.append(_Section(model, rows, y))
        for name, problem in zip(paths, problems, strict=True):
            if problem.params != problems[0].params or not np.array_equal(problem.X, problems[0].X):
                raise ValueError(
                    f"{name} does not minimise the same objective as {next(iter(paths))}: data, "
                    "loss, penalty, class_weight and fit_intercept must agree."
                )
        minimum = problems[0].minimum([path[-1] for path in paths.values()])
        axes = _grid(list(paths.values()), limits, minimum)
        intercept = problems[0].model.fit_intercept
        names = (
            ("coefficient", "intercept")
            if intercept
            else ("first coefficient", "second coefficient")
        )
        surface = (*axes, problems[0].values(*axes))
        display = cls(paths, surface, minimum=minimum, parameter_names=names)
        return display.plot(ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> "DescentPathDisplay":
        """Draw the contours and the paths.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        DescentPathDisplay
            This one.
        """
        self.ax_ = axes_or_new(ax, "DescentPathDisplay", (6.4, 5.4))
        self.figure_ = self.ax_.figure
        first, second, values = self.surface
        lines = {"colors": "0.78", "linewidths": 0.9, "zorder": 1}
        self.contours_ = self.ax_.contour(first, second, values, _levels(values), **lines)
        self.lines_ = []
        for number, (name, path) in enumerate(self.paths.items()):
            style = {**style_of(number), "marker": "o", "markersize": 3.0, "linewidth": 1.4}
            self.lines_ += self.ax_.plot(*path.T, **{**style, "label": name, **kwargs})
            self.ax_.plot(*path[-1], "D", color=self.lines_[-1].get_color(), label="_end")
        start = next(iter(self.paths.values()))[0]
        (begin,) = self.ax_.plot(*start, "s", color="black", markersize=6, label="start")
        self.minimum_ = self._plot_minimum()
        self.ax_.set(xlim=first[[0, -1]], ylim=second[[0, -1]])
        self.ax_.set(xlabel=self.parameter_names[0], ylabel=self.parameter_names[1])
        tidy(self.ax_)
        self.ax_.grid(visible=False)
        self.ax_.spines["right"].set_visible(False)
        marks = [begin] if self.minimum_ is None else [begin, self.minimum_]
        legend(self.ax_, [*self.lines_, *marks], above=True, n_columns=4)
        return self

    def _plot_minimum(self) -> Any:
        """Draw a cross; return None where there is no minimum within the axes."""
        first, second, _ = self.surface
        if self.minimum is None:
            return None
        if not (first[0] < self.minimum[0] < first[-1]):
            return None
        if not (second[0] < self.minimum[1] < second[-1]):
            return None
        cross = {"color": "black", "markersize": 11, "markeredgewidth": 1.8, "zorder": 4}
        return self.ax_.plot(*self.minimum, "+", linestyle="", label="minimum", **cross)[0]


class _Section:
    """What a trained model minimises, as a function of two parameters."""

    def __init__(self, model: SupervisedSGD, X: NDArray[np.float64], y: Any) -> None:
        self.model, self.X = model, X
        targets = model._targets()
        data = targets.data(X, targets.encode(np.asarray(y)), np.empty(0), 1.0)
        self.y = np.asarray(data.y, np.float64)
        weight = data.weight if data.weight.shape[0] > 0 else np.ones(self.y.shape[0])
        self.weight = weight.astype(np.float64) / (data.unit * weight.shape[0])
        self.loss, self.penalty = targets.loss, model._penalty_spec()
        self.params = repr((self.loss, self.penalty, bool(model.fit_intercept), weight.tolist()))

    def values(
        self, first: NDArray[np.float64], second: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the objective at all pairs of parameters, of shape (n_second, n_first)."""
        X, weight = self.X, self.weight
        added = np.ones(X.shape[0]) if self.model.fit_intercept else X[:, 1]
        values = [
            [total_loss(self.y, weight, self.loss, a * X[:, 0] + b * added) for a in first]
            for b in second
        ]
        cost = np.array([penalties.value(self.penalty, a, 0) for a in first])[None, :]
        if not self.model.fit_intercept:
            cost = cost + np.array([penalties.value(self.penalty, b, 1) for b in second])[:, None]
        return np.array(values) + cost

    def minimum(self, ends: list[NDArray[np.float64]]) -> tuple[float, float] | None:
        """Return where the objective is lowest, from the best of some points; None if unknown."""
        if hasattr(type(self.penalty), "project") or getattr(self.penalty, "joint", False):
            return None  # the surface has no limits, and nothing that couples coefficients

        def objective(w: NDArray[np.float64]) -> float:
            return float(self.values(w[:1], w[1:])[0, 0])

        with np.errstate(over="ignore", invalid="ignore"):
            finite = [end for end in ends if np.isfinite(objective(end))]
        if not finite:
            return None
        params = {"xatol": 1e-6, "fatol": 1e-12, "maxiter": 2000, "maxfev": 2000}
        with np.errstate(over="ignore", invalid="ignore"):
            found = minimize(
                objective, min(finite, key=objective), method="Nelder-Mead", options=params
            )
        return (float(found.x[0]), float(found.x[1])) if found.success else None


def _check_start(start: Any, n_epochs: Any) -> None:
    if np.shape(start) != (2,) or not np.isfinite(start).all():
        raise ValueError(f"start must be two finite numbers, got {start!r}.")
    if n_epochs < 1:
        raise ValueError(f"n_epochs must be at least 1, got {n_epochs!r}.")


def _check_two_parameters(model: Any, X: NDArray[Any], y: Any) -> None:
    if not isinstance(model, SupervisedSGD):
        raise TypeError(
            f"SGDClassifier or SGDRegressor is needed, got {type(model).__name__}: others do not "
            "descend step by step."
        )
    n_features = X.shape[1] if X.ndim == 2 else 0
    if n_features + bool(model.fit_intercept) != 2:
        raise ValueError(
            f"Two parameters are needed, got {n_features} coefficients and "
            f"{'an' if model.fit_intercept else 'no'} intercept."
        )
    if np.ndim(y) != 1 or (is_classifier(model) and len(unique_labels(y)) != 2):
        raise ValueError("y must be one target, or labels of two classes.")


def _path(
    model: Any, X: NDArray[np.float64], y: Any, start: tuple[float, float], n_epochs: int
) -> NDArray[np.float64]:
    """Return the parameters before the first epoch and after each."""
    model.set_params(on_divergence="raise", early_stopping=False)
    classes = {"classes": unique_labels(y)} if is_classifier(model) else {}
    begin = np.asarray(start, np.float64)
    n_features = X.shape[1]
    model.coef_, model.intercept_ = begin[:n_features], np.resize(begin[n_features:], 1)
    if not model.fit_intercept:
        model.intercept_ = np.zeros(1)
    path = [begin]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of a rise, which one will see
        for epoch in range(n_epochs):
            try:
                model.partial_fit(X, y, **(classes if epoch == 0 else {}))
            except Diverged:
                break
            path.append(np.concatenate([np.ravel(model.coef_), np.ravel(model.intercept_)])[:2])
    return np.array(path)


Corners = tuple[NDArray[np.float64], NDArray[np.float64]]


def _grid(
    paths: list[NDArray[np.float64]], limits: ArrayLike | None, minimum: tuple[float, float] | None
) -> Corners:
    """Return the two parameters' values at which the objective is drawn."""
    low, high = _extent(np.concatenate(paths), minimum) if limits is None else _checked(limits)
    return np.linspace(low[0], high[0], N_GRID), np.linspace(low[1], high[1], N_GRID)


def _extent(points: NDArray[np.float64], minimum: tuple[float, float] | None) -> Corners:
    """Return what holds all points with a margin, and the minimum unless that is far off."""
    low, high = points.min(axis=0), points.max(axis=0)
    if minimum is not None:
        distance = np.abs(minimum - np.clip(minimum, low, high)).max()
        if distance <= FAR * (high - low).max():
            low, high = np.minimum(low, minimum), np.maximum(high, minimum)
    margin = MARGIN * np.where(high > low, high - low, 1.0)
    return low - margin, high + margin


def _checked(limits: ArrayLike) -> Corners:
    given = np.asarray(limits, np.float64)
    if given.shape != (2, 2) or not (given[:, 0] < given[:, 1]).all():
        raise ValueError(f"limits must be ((low, high), (low, high)), low < high; got {limits!r}.")
    return given[:, 0], given[:, 1]


def _levels(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return levels whose distances from the lowest value grow by equal ratios."""
    finite = values[np.isfinite(values)]
    rise = finite.max() - finite.min()
    if not rise > 0.0:
        raise ValueError("The objective is the same everywhere: there are no contours to draw.")
    return finite.min() + np.geomspace(rise * 1e-3, rise * 0.95, N_LEVELS)
