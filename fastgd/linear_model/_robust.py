"""HuberRegressor and QuantileRegressor: regression that outliers do not lead."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval

from fastgd._data.parts import refuse_all_rows
from fastgd._data.shards import Shards
from fastgd._data.validation import fit_context
from fastgd._monitoring.undo import or_as_before
from fastgd._monitoring.watching import Given, SolvingWatch, watched
from fastgd._solvers._huber import LEAST_SCALE, HuberStart, huber_as_stored, huber_with_scale
from fastgd._solvers._huber_shards import huber_by_shards, outliers_of
from fastgd._solvers._on_device import shards_for
from fastgd._solvers._sharded import ShardedTask
from fastgd._solvers._stored_shards import huber_as_stored_in_parts
from fastgd._solvers._task import Solution
from fastgd._solvers._units import in_units
from fastgd.kernels.losses import Huber, Quantile
from fastgd.linear_model._parameters import check_quantile_solver
from fastgd.linear_model._solved import NON_NEGATIVE, SolvedModel, solver_names
from fastgd.linear_model._solved_regressor import SolvedRegressor

CONSTRAINTS = SolvedModel._parameter_constraints


class HuberRegressor(SolvedRegressor):
    """Regression that is least squares for small residuals and absolute for large ones.

    Minimises, over w, b and the scale sigma > 0 together,

        sum_i s_i (sigma + H((y_i - x_i w - b) / sigma) sigma) + alpha |w|^2

    with H(z) = z^2 for |z| < epsilon, else 2 epsilon |z| - epsilon^2, as scikit-learn does. The
    scale makes ``epsilon`` independent of the targets' units.

    Parameters
    ----------
    epsilon : float, default=1.35
        Residuals beyond ``epsilon * scale_`` count as outliers, >= 1.
    max_iter : int, default=1000
        Passes over the data at most; with 0 the median and its scale are the model.
    alpha : float, default=0.0001
        Strength of the penalty, >= 0.
    warm_start : bool, default=False
        Start from the last fit's coefficients.
    fit_intercept : bool, default=True
    tol : float, default=1e-05
        Stop when the suboptimality is proven to be at most ``tol`` times the objective; small
        problems (n_samples * n_features up to 1e5) are finished to rounding.
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
    scale_ : float
        sigma.
    outliers_ : ndarray of shape (n_samples,), bool
        Rows whose residual is beyond ``epsilon * scale_``. Of rows in parts it takes a pass, and a
        byte for each row.
    n_iter_ : int
    objective_ : float
        What is minimised, divided by sum_i s_i.
    gap_ : float
        A proven bound of ``objective_`` minus the optimum: the duality gap of the joint problem,
        which is convex in w, b and sigma together [2]_. At worst it is ``objective_``, which it is
        for rows in parts of more than 600 columns with ``alpha=0``.
    solver_ : str
    history_ : dict of str to list
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    References
    ----------
    .. [1] Huber & Ronchetti, "Robust Statistics", 2009, section 7.7 (the concomitant scale).
    .. [2] Owen, "A robust hybrid of lasso and ridge regression", 2007.
    """

    _parts_on_host = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "epsilon": [Interval(Real, 1.0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "alpha": [NON_NEGATIVE],
        "warm_start": ["boolean"],
        "fit_intercept": ["boolean"],
        "tol": [NON_NEGATIVE],
        "verbose": CONSTRAINTS["verbose"],
        "callbacks": CONSTRAINTS["callbacks"],
        "device": CONSTRAINTS["device"],
    }

    def __init__(
        self,
        *,
        epsilon: float = 1.35,
        max_iter: int = 1000,
        alpha: float = 0.0001,
        warm_start: bool = False,
        fit_intercept: bool = True,
        tol: float = 1e-5,
        verbose: int = 0,
        callbacks: Any = None,
        device: str = "auto",
    ) -> None:
        self.epsilon = epsilon
        self.max_iter = max_iter
        self.alpha = alpha
        self.warm_start = warm_start
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.verbose = verbose
        self.callbacks = callbacks
        self.device = device

    @fit_context
    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> "HuberRegressor":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows in parts are what ``fastgd.datasets.open`` returns, or a collection of Dask's.
        y : array-like of shape (n_samples,)
            A collection where X is one, None where X holds the targets.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : HuberRegressor

        Raises
        ------
        ValueError
            If rows in parts are to be fitted with ``epsilon=1``, which needs all of them.
        """
        shards = shards_for(self, X, y, sample_weight)
        if shards is not None:
            self._fit_parts(shards)
            return self
        with watched(SolvingWatch, self) as watch, or_as_before(self), self._on_device(X):
            X, y, weight = self._check(X, y, sample_weight)
            mass = float(weight.sum()) if weight.shape[0] > 0 else float(X.shape[0])
            start = self._start()
            if start is not None and np.shape(start.coef) != (X.shape[1],):
                start = None  # of data with other columns
            if start is not None:
                start = HuberStart(start, float(vars(self)["scale_"]))
            task = self._task(X, y, weight, Huber(float(self.epsilon)), (0.0, self.alpha / mass))
            dtype = X.dtype

            def write(model: HuberRegressor, found: list[Solution]) -> None:
                model._take_scaled(found, dtype)

            watch.begin_solving(Given(X, y, sample_weight), write)
            solution, scale = in_units(huber_with_scale, task, self._options(), start)
            if task.loss.epsilon > 1.0:  # else the scale vanishes, and with it the loss's quadratic
                solution = huber_as_stored(task, solution, scale, float(self.tol))
            state = HuberStart(solution.state, scale)
            solution = watch.finished(solution._replace(state=state))
            write(self, [solution])
            self.outliers_ = np.abs(y - self._raw_of(X)) > self.epsilon * self.scale_
            self._report([solution])
        return self

    def _fit_parts(self, shards: Shards) -> None:
        """Fit to rows in parts."""
        loss = Huber(float(self.epsilon))
        if not loss.epsilon > 1.0:
            refuse_all_rows("epsilon=1", "an epsilon above 1")
        with watched(SolvingWatch, self) as watch, or_as_before(self):
            seen, kind = self._look(shards, classifies=False, loss=loss)
            of_rows = shards, seen, kind, np.empty(0), np.empty(0), seen.mass
            l2 = float(self.alpha) / seen.mass
            task = ShardedTask(*of_rows, loss, 0.0, l2, bool(self.fit_intercept))

            def write(model: HuberRegressor, found: list[Solution]) -> None:
                model._take_scaled(found, seen.dtype)

            watch.begin_solving(Given(shards, None, None), write)
            found = watch.finished(huber_by_shards(task, self._options()))
            found = huber_as_stored_in_parts(task, found, float(self.tol))
            write(self, [found])
            params = self.coef_, self.intercept_, self.epsilon * self.scale_
            self.outliers_ = outliers_of(shards, kind, *params)
            self._report([found._replace(is_penalised=l2 > 0.0)])

    def _take_scaled(self, found: list[Solution], dtype: Any) -> None:
        """Set the fitted parameters."""
        self._take(found, dtype, many=False)
        state = found[0].state  # on the way to least absolute deviations there is no scale
        self.scale_ = state.scale if isinstance(state, HuberStart) else LEAST_SCALE


class QuantileRegressor(SolvedRegressor):
    """Linear regression of a quantile of the targets.

    Minimises  sum_i s_i pinball(y_i, x_i w + b) / sum_i s_i + alpha |w|_1  with
    pinball(y, raw) = max(quantile (y - raw), (quantile - 1) (y - raw)), as scikit-learn does.

    Parameters
    ----------
    quantile : float, default=0.5
        In (0, 1).
    alpha : float, default=1.0
        Strength of the l1 penalty, >= 0.
    fit_intercept : bool, default=True
    solver : {"auto", "gd"}, default="auto"
        Both mean an interior point method [2]_, for more than 200,000 rows after smooth
        approximations of the loss. "highs", "highs-ds", "highs-ipm" and "revised simplex" are
        accepted and mean "auto".
    solver_options : dict, default=None
        Accepted and not needed.
    tol : float, default=1e-4
        Stop when the suboptimality is proven to be at most ``tol`` times the objective; small
        problems (n_samples * n_features up to 1e5) are finished to rounding.
    max_iter : int, default=1000
        Passes over the data at most: the first look at it, and the Newton steps.
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
        A proven bound of ``objective_`` minus the optimum: the duality gap; at worst it is
        ``objective_``.
    solver_ : str
    history_ : dict of str to list
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    References
    ----------
    .. [1] Koenker & Bassett, "Regression Quantiles", 1978.
    .. [2] Portnoy & Koenker, "The Gaussian Hare and the Laplacian Tortoise", 1997.
    """

    _parts_on_host = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "quantile": [Interval(Real, 0, 1, closed="neither")],
        "alpha": [NON_NEGATIVE],
        "fit_intercept": ["boolean"],
        "solver": solver_names(
            "highs-ds", "highs-ipm", "highs", "interior-point", "revised simplex"
        ),
        "solver_options": [dict, None],
        "tol": [NON_NEGATIVE],
        "max_iter": CONSTRAINTS["max_iter"],
        "verbose": CONSTRAINTS["verbose"],
        "callbacks": CONSTRAINTS["callbacks"],
        "device": CONSTRAINTS["device"],
    }

    def __init__(
        self,
        *,
        quantile: float = 0.5,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        solver: str = "auto",
        solver_options: Any = None,
        tol: float = 1e-4,
        max_iter: int = 1000,
        verbose: int = 0,
        callbacks: Any = None,
        device: str = "auto",
    ) -> None:
        self.quantile = quantile
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.solver_options = solver_options
        self.tol = tol
        self.max_iter = max_iter
        self.verbose = verbose
        self.callbacks = callbacks
        self.device = device

    @fit_context
    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> "QuantileRegressor":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows in parts are what ``fastgd.datasets.open`` returns, or a collection of Dask's.
        y : array-like of shape (n_samples,)
            A collection where X is one, None where X holds the targets.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : QuantileRegressor

        Raises
        ------
        ValueError
            If ``solver`` is a method that is gone from ``scipy.optimize.linprog``.
        """
        check_quantile_solver(self.solver)
        loss = Quantile(float(self.quantile))
        shards = shards_for(self, X, y, sample_weight)
        if shards is not None:
            with watched(SolvingWatch, self), or_as_before(self):
                self._fit_shards(shards, loss, lambda _: (float(self.alpha), 0.0))
            return self
        with watched(SolvingWatch, self), or_as_before(self), self._on_device(X):
            X, y, weight = self._check(X, y, sample_weight)
            given = Given(X, y, sample_weight)
            self._fit_targets(given, weight, loss, [(float(self.alpha), 0.0)])
        return self
