"""PoissonRegressor, GammaRegressor and TweedieRegressor: generalised linear models."""

from abc import ABC, abstractmethod
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import d2_tweedie_score
from sklearn.utils._param_validation import Interval, StrOptions

from fastgd._data.parts import by_parts, fetched
from fastgd._data.validation import check_targets, fit_context
from fastgd._monitoring.undo import or_as_before
from fastgd._monitoring.watching import Given, SolvingWatch, watched
from fastgd._runtime.devices import is_dispatched, to_host
from fastgd._solvers._on_device import shards_for
from fastgd.kernels.losses import LOG, Gamma, Poisson, SquaredError, Tweedie, link_of
from fastgd.linear_model._solved import NON_NEGATIVE, SolvedModel, solver_names
from fastgd.linear_model._solved_regressor import SolvedRegressor

CONSTRAINTS = SolvedModel._parameter_constraints


class _GLM(SolvedRegressor, ABC):
    """Base class: a subclass says which loss, and which power of the mean the variance is."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "alpha": [NON_NEGATIVE],
        "fit_intercept": ["boolean"],
        "solver": solver_names("lbfgs", "newton-cholesky"),
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": CONSTRAINTS["tol"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "callbacks": CONSTRAINTS["callbacks"],
        "device": CONSTRAINTS["device"],
    }

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float = 1e-4,
        warm_start: bool = False,
        verbose: int = 0,
        callbacks: Any = None,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose
        self.callbacks = callbacks
        self.device = device

    @abstractmethod
    def _loss(self) -> Any:
        """Return the loss, its link included."""

    @abstractmethod
    def _power(self) -> float:
        """Return p of the variance mean^p."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self._power() > 0.0
        return tags

    @fit_context
    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> "_GLM":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows that do not fit into memory: what ``fastgd.datasets.open`` returns, or a collection
            of Dask's.
        y : array-like of shape (n_samples,)
            A collection where X is one, None where X holds the targets.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If y holds a value that the distribution cannot give: the message says which.
        """
        shards = shards_for(self, X, y, sample_weight)
        if shards is not None:
            with watched(SolvingWatch, self), or_as_before(self):
                penalty = (0.0, float(self.alpha))
                self._fit_shards(shards, self._loss(), lambda _: penalty)
            return self
        with watched(SolvingWatch, self), or_as_before(self), self._on_device(X):
            X, y, weight = self._check(X, y, sample_weight)
            loss = self._loss()
            check_targets(loss, y)
            given = Given(X, y, sample_weight)
            self._fit_targets(given, weight, loss, [(0.0, float(self.alpha))])
        return self

    @by_parts
    def predict(self, X: Any) -> NDArray[Any]:
        """Predict means.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        raw = self._raw(X)
        if link_of(self._loss()) != LOG:
            return raw
        mean = np.exp(np.asarray(raw, np.float64))
        lowest, highest = np.min(mean, initial=1.0), np.max(mean, initial=1.0)
        limits = np.finfo(raw.dtype)
        return mean.astype(raw.dtype) if limits.tiny <= lowest <= highest <= limits.max else mean

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return D^2, the share of the deviance that the model explains; 1 is the best.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        loss, targets = self._loss(), np.asarray(to_host(y), np.float64)
        check_targets(loss, targets)
        rows, *_ = fetched(to_host(X) if is_dispatched(X) else X)
        raw = np.asarray(by_parts(type(self)._raw)(self, rows), np.float64)
        # D^2 has no units: in those of the targets' largest, no power of them leaves float64
        exponent = int(np.frexp(np.max(np.abs(targets), initial=0.0))[1])
        if link_of(loss) != LOG:
            predicted = np.ldexp(raw, -exponent)
        else:
            predicted = np.exp(raw - exponent * np.log(2.0))
        targets = np.ldexp(targets, -exponent)
        weight = to_host(sample_weight)
        return float(
            d2_tweedie_score(targets, predicted, sample_weight=weight, power=self._power())
        )


class PoissonRegressor(_GLM):
    """Poisson regression with a log link, for counts and rates.

    Minimises  sum_i s_i d(y_i, exp(x_i w + b)) / (2 sum_i s_i) + alpha/2 |w|^2  with the deviance
    d(y, mu) = 2 (y log(y / mu) - y + mu), as scikit-learn does.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty, >= 0.
    fit_intercept : bool, default=True
    solver : {"auto", "gd", "saga"}, default="auto"
        "lbfgs" and "newton-cholesky" are accepted and mean "auto".
    max_iter : int, default=1000
        Passes over the data at most.
    tol : float, default=1e-4
        Largest relative suboptimality, (F - F*) / F; a fit that is not shown to be within it warns.
        Small problems (n_samples * n_features up to 1e5) are finished to rounding.
    warm_start : bool, default=False
        Start from the last fit's coefficients.
    verbose : int, default=0
        1 shows a bar over the passes, 2 or more writes a line for each through ``logging``.
    callbacks : list or None, default=None
        What is done after each pass: objects of ``fastgd.callbacks``, or functions of a view of
        the fit (docs/watching.md).
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the model is fitted and predicts (docs/gpu.md). "auto": where X lies, so that NumPy's
        arrays stay on the processor; "cuda" sends them to the device.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,), in the dtype of X
    intercept_ : float
    n_iter_ : int
    objective_ : float
        What is minimised.
    gap_ : float
        A proven bound of ``objective_`` minus the optimum; inf where nothing proves one (no
        penalty, or a loss that is not convex).
    solver_ : str
    history_ : dict of str to list
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
    """

    def _loss(self) -> Any:
        return Poisson()

    def _power(self) -> float:
        return 1.0


class GammaRegressor(_GLM):
    """Gamma regression with a log link, for positive targets with a constant relative error.

    Minimises  sum_i s_i d(y_i, exp(x_i w + b)) / (2 sum_i s_i) + alpha/2 |w|^2  with the deviance
    d(y, mu) = 2 (log(mu / y) + y / mu - 1), as scikit-learn does. Parameters and attributes are
    those of ``PoissonRegressor``.
    """

    def _loss(self) -> Any:
        return Gamma()

    def _power(self) -> float:
        return 2.0


class TweedieRegressor(_GLM):
    """Regression of a Tweedie distribution, whose variance is the mean to a power.

    Minimises  sum_i s_i d(y_i, mu_i) / (2 sum_i s_i) + alpha/2 |w|^2  with the unit deviance d of
    the power, as scikit-learn does. Parameters and attributes are those of ``PoissonRegressor``,
    and two more.

    Parameters
    ----------
    power : float, default=0.0
        0 is the normal distribution, 1 Poisson, between 1 and 2 compound Poisson-gamma, 2 gamma,
        3 inverse Gaussian; not between 0 and 1.
    link : {"auto", "identity", "log"}, default="auto"
        mu = raw or exp(raw); "auto" is "identity" for ``power <= 0`` and "log" else. The identity
        is available for ``power=0`` only.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_GLM._parameter_constraints,
        "power": [Interval(Real, None, None, closed="neither")],
        "link": [StrOptions({"auto", "identity", "log"})],
    }

    def __init__(
        self,
        *,
        power: float = 0.0,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        link: str = "auto",
        solver: str = "auto",
        max_iter: int = 1000,
        tol: float = 1e-4,
        warm_start: bool = False,
        verbose: int = 0,
        callbacks: Any = None,
        device: str = "auto",
    ) -> None:
        super().__init__(
            alpha=alpha,
            fit_intercept=fit_intercept,
            solver=solver,
            max_iter=max_iter,
            tol=tol,
            warm_start=warm_start,
            verbose=verbose,
            callbacks=callbacks,
            device=device,
        )
        self.power = power
        self.link = link

    def _loss(self) -> Any:
        power = float(self.power)
        if 0.0 < power < 1.0:
            raise ValueError(f"power={power}: no such distribution exists; it is <= 0 or >= 1.")
        if self.link == "log" or (self.link == "auto" and power > 0.0):
            return {1.0: Poisson(), 2.0: Gamma()}.get(power, Tweedie(power))
        if power != 0.0:
            raise ValueError(
                f"power={power} with the identity link is not available; use link='log'."
            )
        return SquaredError()

    def _power(self) -> float:
        return float(self.power)
