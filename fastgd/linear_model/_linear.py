"""LinearRegression, Ridge, Lasso and ElasticNet: squared error, and what is added to it."""

from abc import ABC, abstractmethod
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import MultiOutputMixin
from sklearn.utils._param_validation import Interval, StrOptions

from fastgd._data.validation import fit_context
from fastgd._monitoring.undo import or_as_before
from fastgd._monitoring.watching import Given, SolvingWatch, watched
from fastgd._runtime.threads import threads
from fastgd._solvers._on_device import shards_for
from fastgd.kernels.losses import SquaredError
from fastgd.linear_model._linear_parts import LinearOfParts
from fastgd.linear_model._parameters import check_elastic_net, check_ridge_solver
from fastgd.linear_model._paths import enet_path
from fastgd.linear_model._solved import NON_NEGATIVE, SolvedModel, solver_names
from fastgd.linear_model._solved_regressor import Penalty

CONSTRAINTS = SolvedModel._parameter_constraints
SHARED = {
    name: CONSTRAINTS[name] for name in ("tol", "fit_intercept", "verbose", "callbacks", "device")
}


class _SquaredErrorModel(MultiOutputMixin, LinearOfParts, ABC):
    """Base class: a subclass says how strong the penalty of the mean loss is."""

    @abstractmethod
    def _penalties(self, mass: float, n_targets: int) -> list[Penalty]:
        """Return (l1, l2) of each target's mean loss; ``mass`` is the weights' sum."""

    def _has_products(self) -> bool:
        """Tell whether products of columns solve many targets at once."""
        return False

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Fit all targets."""
        n_jobs = getattr(self, "n_jobs", None)
        shards = shards_for(self, X, y, sample_weight)
        if shards is not None:
            with watched(SolvingWatch, self), or_as_before(self), threads(n_jobs):
                self._fit_parts(shards, by_products=self._has_products())
            return
        with (
            watched(SolvingWatch, self),
            or_as_before(self),
            threads(n_jobs),
            self._on_device(X),
        ):
            X, y, weight = self._check(X, y, sample_weight, multi_output=True)
            mass = float(weight.sum()) if weight.shape[0] > 0 else float(X.shape[0])
            penalties = self._penalties(mass, 1 if y.ndim == 1 else y.shape[1])
            given = Given(X, y, sample_weight)
            self._fit_targets(given, weight, SquaredError(), penalties)


class LinearRegression(_SquaredErrorModel):
    """Ordinary least squares.

    Minimises  1/2 sum_i s_i (y_i - x_i w - b)^2 / sum_i s_i. Where columns are linearly
    dependent, the solution is the one with the least |w| (for up to 3,000 rows or columns; where
    both are more, nearly). Small problems (n_samples * n_features up to 1e5) are finished to
    rounding, by a QR factorisation with iterative refinement.

    Parameters
    ----------
    fit_intercept : bool, default=True
    copy_X : bool, default=True
        Accepted and not needed: X is never changed.
    tol : float, default=1e-6
        Largest relative suboptimality, (F - F*) / F; a fit that is not shown to be within it warns.
        Small problems (n_samples * n_features up to 1e5) are finished to rounding.
    n_jobs : int or None, default=None
        Threads for passes over X, and for many targets; results do not depend on it. None: one job,
        on as many threads as the environment allows (docs/performance.md).
    positive : bool, default=False
        Require w >= 0.
    solver : {"auto", "gd", "saga"}, default="auto"
        "gd" is Newton's step, which is exact here, up to 3,000 columns.
    max_iter : int, default=1000
        Passes over the data at most.
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
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features), in the dtype of X
    intercept_ : float or ndarray of shape (n_targets,)
    objective_ : float or ndarray of shape (n_targets,)
        What is minimised.
    gap_ : float or ndarray of shape (n_targets,)
        A proven bound of ``objective_`` minus the optimum; inf where nothing proves one (no
        penalty, or a loss that is not convex).
    n_iter_ : int or ndarray of shape (n_targets,)
    solver_ : str
    history_ : dict of str to list, or a list of them
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
    """

    _keeps_column = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SHARED,
        "copy_X": ["boolean"],
        "n_jobs": [None, Integral],
        "positive": ["boolean"],
        "solver": CONSTRAINTS["solver"],
        "max_iter": CONSTRAINTS["max_iter"],
    }

    def __init__(
        self,
        *,
        fit_intercept: bool = True,
        copy_X: bool = True,
        tol: float = 1e-6,
        n_jobs: int | None = None,
        positive: bool = False,
        solver: str = "auto",
        max_iter: int = 1000,
        verbose: int = 0,
        callbacks: Any = None,
        device: str = "auto",
    ) -> None:
        self.fit_intercept = fit_intercept
        self.copy_X = copy_X
        self.tol = tol
        self.n_jobs = n_jobs
        self.positive = positive
        self.solver = solver
        self.max_iter = max_iter
        self.verbose = verbose
        self.callbacks = callbacks
        self.device = device

    def _penalties(self, mass: float, n_targets: int) -> list[Penalty]:  # noqa: ARG002
        return [(0.0, 0.0)] * n_targets

    def _has_products(self) -> bool:
        return not self.positive

    @fit_context
    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> "LinearRegression":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows that do not fit into memory: what ``fastgd.datasets.open`` returns, or a collection
            of Dask's.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            A collection where X is one, None where X holds the targets.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : LinearRegression
        """
        self._fit(X, y, sample_weight)
        return self


def ridge_penalties(alpha: Any, mass: float, n_targets: int) -> list[Penalty]:
    """Return (l1, l2) of each target's mean loss for a sum of squares and ``alpha``.

    Raises
    ------
    ValueError
        If there is neither one ``alpha`` nor one for each target, or one is no strength.
    """
    alphas = np.ravel(np.asarray(alpha, np.float64))
    if alphas.shape[0] not in (1, n_targets):
        raise ValueError(
            f"Number of targets and number of penalties do not correspond: {alphas.shape[0]} "
            f"!= {n_targets}"
        )
    if not ((alphas >= 0.0) & (alphas < np.inf)).all():
        raise ValueError(f"alpha must be finite and >= 0 for each target, got {alpha!r}.")
    penalties = [(0.0, a / mass) for a in alphas.tolist()]
    return penalties if len(penalties) == n_targets else penalties * n_targets


class Ridge(_SquaredErrorModel):
    """Least squares with an l2 penalty.

    Minimises  sum_i s_i (y_i - x_i w - b)^2 + alpha |w|^2, as scikit-learn does.

    Parameters
    ----------
    alpha : float or array-like of shape (n_targets,), default=1.0
        Strength of the penalty, >= 0.
    fit_intercept : bool, default=True
    copy_X : bool, default=True
        Accepted and not needed: X is never changed.
    max_iter : int or None, default=None
        Passes over the data at most; None is 1000.
    tol : float, default=1e-4
        Largest relative suboptimality, (F - F*) / F; a fit that is not shown to be within it warns.
        Small problems (n_samples * n_features up to 1e5) are finished to rounding.
    solver : {"auto", "gd", "saga", "sdca"}, default="auto"
        "svd", "cholesky", "lsqr", "sparse_cg", "sag" and "lbfgs" are accepted and mean "auto";
        "lbfgs" only with ``positive=True``, the others only without, as in scikit-learn.
    positive : bool, default=False
        Require w >= 0.
    random_state : int, RandomState instance or None, default=None
        Seeds the order of rows; None is a fixed seed.
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
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features), in the dtype of X
    intercept_ : float or ndarray of shape (n_targets,)
    objective_ : float or ndarray of shape (n_targets,)
        What is minimised, divided by 2 sum_i s_i.
    gap_ : float or ndarray of shape (n_targets,)
        A proven bound of ``objective_`` minus the optimum; inf where nothing proves one (no
        penalty, or a loss that is not convex).
    n_iter_ : ndarray of shape (n_targets,)
    solver_ : str
    history_ : dict of str to list, or a list of them
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SHARED,
        "alpha": [NON_NEGATIVE, "array-like"],
        "copy_X": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left"), None],
        "solver": solver_names("svd", "cholesky", "lsqr", "sparse_cg", "sag", "lbfgs"),
        "positive": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        alpha: Any = 1.0,
        *,
        fit_intercept: bool = True,
        copy_X: bool = True,
        max_iter: int | None = None,
        tol: float = 1e-4,
        solver: str = "auto",
        positive: bool = False,
        random_state: Any = None,
        verbose: int = 0,
        callbacks: Any = None,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.copy_X = copy_X
        self.max_iter = max_iter
        self.tol = tol
        self.solver = solver
        self.positive = positive
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        self.device = device

    def _penalties(self, mass: float, n_targets: int) -> list[Penalty]:
        return ridge_penalties(self.alpha, mass, n_targets)

    def _has_products(self) -> bool:
        alphas = np.ravel(np.asarray(self.alpha, np.float64))
        return not self.positive and bool(np.all(alphas > 0.0) or np.all(alphas == 0.0))

    def _shaped_n_iter(self, n_iter: NDArray[Any], *, many: bool) -> Any:  # noqa: ARG002
        return n_iter

    @fit_context
    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | float | None = None
    ) -> "Ridge":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows that do not fit into memory: what ``fastgd.datasets.open`` returns, or a collection
            of Dask's.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            A collection where X is one, None where X holds the targets.
        sample_weight : float or array-like of shape (n_samples,), default=None

        Returns
        -------
        self : Ridge

        Raises
        ------
        ValueError
            If ``positive`` does not go with the name of one of scikit-learn's solvers, as there.
        """
        check_ridge_solver(self.solver, positive=bool(self.positive))
        self._fit(X, y, sample_weight)
        return self


class ElasticNet(_SquaredErrorModel):
    """Least squares with l1 and l2 penalties.

    Minimises  sum_i s_i (y_i - x_i w - b)^2 / (2 sum_i s_i) + alpha l1_ratio |w|_1
    + alpha (1 - l1_ratio)/2 |w|^2, as scikit-learn does. Zeros are exact.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty, >= 0.
    l1_ratio : float, default=0.5
        Share of l1, in [0, 1].
    fit_intercept : bool, default=True
    precompute : bool or array-like of shape (n_features, n_features), default=False
        Accepted and not needed.
    max_iter : int, default=1000
        Passes over the data at most.
    copy_X : bool, default=True
        Accepted and not needed: X is never changed.
    tol : float, default=1e-4
        Largest relative suboptimality, (F - F*) / F; a fit that is not shown to be within it warns.
        Small problems (n_samples * n_features up to 1e5) are finished to rounding.
    warm_start : bool, default=False
        Start from the last fit's coefficients.
    positive : bool, default=False
        Require w >= 0.
    random_state : int, RandomState instance or None, default=None
        Seeds the order of rows; None is a fixed seed.
    selection : {"cyclic", "random"}, default="cyclic"
        Accepted and not needed.
    solver : {"auto", "gd", "saga", "sdca"}, default="auto"
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
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features), in the dtype of X
    sparse_coef_ : sparse matrix of shape (1, n_features) or (n_targets, n_features)
    intercept_ : float or ndarray of shape (n_targets,)
    objective_ : float or ndarray of shape (n_targets,)
        What is minimised.
    gap_, dual_gap_ : float or ndarray of shape (n_targets,)
        A proven bound of ``objective_`` minus the optimum; inf where nothing proves one (no
        penalty, or a loss that is not convex).
    n_iter_ : int or list of int
    solver_ : str
    history_ : dict of str to list, or a list of them
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SHARED,
        "alpha": [NON_NEGATIVE],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "precompute": ["boolean", "array-like"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "copy_X": ["boolean"],
        "warm_start": ["boolean"],
        "positive": ["boolean"],
        "random_state": ["random_state"],
        "selection": [StrOptions({"cyclic", "random"})],
        "solver": CONSTRAINTS["solver"],
    }

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.5,
        fit_intercept: bool = True,
        precompute: Any = False,
        max_iter: int = 1000,
        copy_X: bool = True,
        tol: float = 1e-4,
        warm_start: bool = False,
        positive: bool = False,
        random_state: Any = None,
        selection: str = "cyclic",
        solver: str = "auto",
        verbose: int = 0,
        callbacks: Any = None,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.max_iter = max_iter
        self.copy_X = copy_X
        self.tol = tol
        self.warm_start = warm_start
        self.positive = positive
        self.random_state = random_state
        self.selection = selection
        self.solver = solver
        self.verbose = verbose
        self.callbacks = callbacks
        self.device = device

    path = staticmethod(enet_path)

    def _penalties(self, mass: float, n_targets: int) -> list[Penalty]:  # noqa: ARG002
        share = self.alpha * self.l1_ratio
        return [(float(share), float(self.alpha - share))] * n_targets

    def _shaped_n_iter(self, n_iter: NDArray[Any], *, many: bool) -> Any:
        return n_iter.tolist() if many else int(n_iter[0])

    @property
    def sparse_coef_(self) -> Any:
        """``coef_`` as a sparse matrix."""
        return sp.csr_matrix(self.coef_)

    @property
    def dual_gap_(self) -> Any:
        """``gap_`` under scikit-learn's name."""
        return self.gap_

    @fit_context
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | float | None = None,
        check_input: bool = True,  # noqa: ARG002
    ) -> "ElasticNet":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows that do not fit into memory: what ``fastgd.datasets.open`` returns, or a collection
            of Dask's.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            A collection where X is one, None where X holds the targets.
        sample_weight : float or array-like of shape (n_samples,), default=None
        check_input : bool, default=True
            Accepted and not needed: input is always checked.

        Returns
        -------
        self : ElasticNet
        """
        check_elastic_net(self, X)
        self._fit(X, y, sample_weight)
        return self


class Lasso(ElasticNet):
    """Least squares with an l1 penalty: zeros are exact.

    Minimises  sum_i s_i (y_i - x_i w - b)^2 / (2 sum_i s_i) + alpha |w|_1. Parameters and
    attributes are those of ``ElasticNet`` but for ``l1_ratio``, which is 1.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        name: allowed
        for name, allowed in ElasticNet._parameter_constraints.items()
        if name != "l1_ratio"
    }

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        precompute: Any = False,
        copy_X: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-4,
        warm_start: bool = False,
        positive: bool = False,
        random_state: Any = None,
        selection: str = "cyclic",
        solver: str = "auto",
        verbose: int = 0,
        callbacks: Any = None,
        device: str = "auto",
    ) -> None:
        super().__init__(
            alpha,
            l1_ratio=1.0,
            fit_intercept=fit_intercept,
            precompute=precompute,
            max_iter=max_iter,
            copy_X=copy_X,
            tol=tol,
            warm_start=warm_start,
            positive=positive,
            random_state=random_state,
            selection=selection,
            solver=solver,
            verbose=verbose,
            callbacks=callbacks,
            device=device,
        )
