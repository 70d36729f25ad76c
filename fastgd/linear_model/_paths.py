"""Paths of the lasso and the elastic net, and what chooses their strengths by folds."""

import functools
import inspect
import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import linear_model
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model._coordinate_descent import _alpha_grid
from sklearn.model_selection import check_cv
from sklearn.utils import check_array
from sklearn.utils._metadata_requests import (
    _raise_for_params,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    check_scalar,
    column_or_1d,
)

from fastgd._data.held_out import held_out_by
from fastgd._data.parts import ScoredAnywhere, by_parts, is_in_parts, learn_columns, shards_of
from fastgd._data.validation import (
    ACCEPTED,
    check_sparse,
    check_weight,
    check_X,
    check_X_y,
    fit_context,
    in_dtype,
    refuse_extreme_weight,
)
from fastgd._export.hooks import OnnxExport
from fastgd._export.notebook import NotebookView
from fastgd._monitoring.sklearn_callbacks import CallbackSupport
from fastgd._monitoring.undo import or_as_before
from fastgd._monitoring.watching import Given, GridWatch, watched
from fastgd._parameters.checked_once import CheckedOnce
from fastgd._runtime.threads import threads
from fastgd._runtime.warned import warn
from fastgd._solvers._idle_rows import with_zeros_for_idle_rows
from fastgd._solvers._paths import Fold, Found, Strengths, Table, solve_paths
from fastgd._solvers._product_shards import SummedTable, look_for_products, table_of_numbers
from fastgd.linear_model._solved import FLOATS, level_of_the_user

Folds = list[tuple[NDArray[Any], NDArray[Any]]]
NO_FOLDS = object()
ROUNDING = 8.0 * float(np.finfo(np.float64).eps)
LEAST_STRENGTH, ROUNDED = 1e-15, 1e-12
TOO_LARGE = "X or y hold numbers too large to add up."
SHARE_OF_NULL = 0.05  # of the objective without columns: a fit of a fold is judged by no less


class PathModel(ScoredAnywhere, NotebookView, OnnxExport, CheckedOnce):
    """What the estimators that are fitted by ``solve_paths`` have in common."""

    coef_: Any
    intercept_: Any

    @by_parts
    def predict(self, X: Any) -> NDArray[Any]:
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
        """
        check_is_fitted(self)
        X = check_X(self, X, reset=False)
        raw: NDArray[Any] = X @ self.coef_.T + self.intercept_
        return raw

    def _checked_data(
        self, X: Any, y: Any, sample_weight: Any, *, many: bool
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.float64]]:
        """Return X, targets (n, K) and weights, validated."""
        checks = {"multi_output": True, "y_numeric": True}
        X, y = check_X_y(self, X, y, reset=True, dtype=FLOATS, **checks)
        if many:
            if y.ndim == 1:
                self._refuse_one_target()
        else:
            if y.ndim > 1 and y.shape[1] > 1:
                raise ValueError(f"For multi-task outputs, use MultiTask{type(self).__name__}")
            y = column_or_1d(y, warn=True)
        weight = check_weight(sample_weight, X, np.float64)
        if np.any(weight < 0.0):
            raise ValueError(f"sample_weight must not be negative, got {weight.min()}.")
        refuse_extreme_weight(weight)
        weight = weight if weight.shape[0] > 0 else np.ones(X.shape[0])
        X, Y = with_zeros_for_idle_rows(X, weight), np.asarray(y, np.float64)
        return X, Y if Y.ndim == 2 else Y[:, None], weight

    def _summed(self, rows: Any, cv: Any = NO_FOLDS, *, many: bool) -> SummedTable:
        """Return the sums that fits need of rows in parts, which two passes add up."""
        shards = shards_of(*rows)
        moments = look_for_products(shards, classifies=False)
        if many and not moments.is_table:
            self._refuse_one_target()
        if not many and moments.level.shape[0] > 1:
            raise ValueError(f"For multi-task outputs, use MultiTask{type(self).__name__}")
        learn_columns(self, shards.names, moments.mean.shape[0])
        folds = None if cv is NO_FOLDS else held_out_by(cv, moments.counts, classifies=False)
        return table_of_numbers(shards, moments, folds, bool(self.fit_intercept))

    def _refuse_one_target(self) -> None:
        name = type(self).__name__.removeprefix("MultiTask")
        raise ValueError(f"For mono-task outputs, use {name}")

    def _take(self, table: Table, found: Found, dtype: Any, *, many: bool) -> None:
        """Set what was found for one strength of the first fold, all rows."""
        coef, intercept = (part[0] for part in table.in_user_units(0, found.coef[:1]))
        if not (np.all(np.isfinite(coef)) and np.all(np.isfinite(intercept))):
            raise ValueError(
                f"{type(self).__name__} found no finite coefficients: the numbers in X, y or "
                "sample_weight are too large or too small for float64. Multiply X or y by a "
                "constant."
            )
        self.coef_ = in_dtype(coef if many else coef[0], dtype)
        if not self.fit_intercept:
            self.intercept_ = 0.0
        else:
            self.intercept_ = in_dtype(intercept, dtype)
            if not many:
                self.intercept_ = self.intercept_[0]
        self.dual_gap_ = self.gap_ = float(table.units.figure(found.gap[0]))
        self.objective_ = float(table.units.figure(found.objective[0]))
        self.n_iter_ = max(1, int(found.sweeps[0]))

    def _warn_if_inexact(self, table: Table, found: list[Found]) -> None:
        """Warn where a gap is not as small as asked for."""
        gap = np.concatenate([one.gap for one in found])
        objective = np.concatenate([one.objective for one in found])
        floor = np.concatenate([np.full(one.gap.shape, one.floor) for one in found])
        limit = np.maximum(float(self.tol) * objective, floor)
        _warn_of_gaps(type(self).__name__, table, gap, objective, limit, int(self.max_iter))


def _warn_of_gaps(
    name: str,
    table: Table,
    gap: NDArray[Any],
    objective: NDArray[Any],
    limit: NDArray[Any],
    max_iter: int,
) -> None:
    """Warn of the worst gap, if it is above what ``tol`` asks for and above rounding."""
    scale = max(float(objective.max(initial=0.0)), 0.0)
    over = gap - limit - ROUNDING * scale
    if not np.all(over <= 0.0):
        worst = int(np.argmax(np.where(np.isnan(over), np.inf, over)))
        figures = (objective[worst], gap[worst], limit[worst])
        there, above, allowed = (float(table.units.figure(value)) for value in figures)
        warn(
            f"{name}: {int(np.sum(~(over <= 0.0)))} of {gap.size} fits did not converge in "
            f"max_iter={max_iter} sweeps. The worst objective of {there:.6g} may be "
            f"{above:.1e} above the optimum; tol asks for {allowed:.1e}. Increase max_iter or "
            "tol, or use larger alphas.",
            ConvergenceWarning,
            stacklevel=level_of_the_user(),
        )


def _refuse_not_finite(table: Table) -> None:
    """Refuse data whose sums leave float64."""
    if not np.all(np.isfinite(table.correlations)):
        raise ValueError(f"{TOO_LARGE} Divide such columns by a constant.")


def with_callbacks(cls: Any) -> Any:
    """Add ``callbacks`` to the constructor that a class has from scikit-learn."""
    theirs = cls.__init__

    @functools.wraps(theirs)
    def __init__(self: Any, *args: Any, callbacks: Any = None, **kwargs: Any) -> None:
        theirs(self, *args, **kwargs)
        self.callbacks = callbacks

    signature = inspect.signature(theirs)
    added = inspect.Parameter("callbacks", inspect.Parameter.KEYWORD_ONLY, default=None)
    __init__.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), added]
    )
    cls.__init__ = __init__
    cls._parameter_constraints = {
        **cls._parameter_constraints,
        "callbacks": [list, tuple, None],
    }
    return cls


class PathCV(CallbackSupport, PathModel):
    """What chooses a strength by folds: all of them go down the path together."""

    _many = False
    _watch: GridWatch  # while a fit runs

    def _fit(self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any]) -> None:
        """Go down each fold's path, choose, and fit all rows."""
        _raise_for_params(params, self, "fit")
        with watched(GridWatch, self) as watch, or_as_before(self), threads(self.n_jobs):
            if is_in_parts(X):
                summed = self._summed((X, y, sample_weight), self.cv, many=self._many)
                table: Table = summed
                dtype: Any = summed.dtype
            else:
                weighted = None if isinstance(sample_weight, Real) else sample_weight
                X, Y, weight = self._checked_data(X, y, weighted, many=self._many)
                dtype, splits = X.dtype, self._splits(X, Y, weighted, params)
                folds = [Fold(weight), *(_fold(weight, *split) for split in splits)]
                with np.errstate(over="ignore", invalid="ignore"):
                    table = Table(X, Y, folds, bool(self.fit_intercept))
            _refuse_not_finite(table)
            ratios = [float(r) for r in np.atleast_1d(getattr(self, "l1_ratio", 1.0))]
            alphas = [self._alphas(table, ratio) for ratio in ratios]
            watch.begin_grid(Given(X, y, sample_weight), sum(map(len, alphas)), self._write)
            paths = [self._paths(table, *pair) for pair in zip(alphas, ratios, strict=True)]
            n_alphas = len(alphas[0])
            errors = np.array(
                [[_errors(table, k + 1, f, n_alphas) for k, f in enumerate(p)] for p in paths]
            )
            self.mse_path_ = table.units.figure(np.squeeze(np.moveaxis(errors, 2, 1)))
            self._choose(alphas, ratios, errors.mean(axis=1))
            best = self._refitted(table, alphas, ratios)
            self._take(table, best, dtype, many=self._many)
            if hasattr(self, "_best_yet"):
                del self._best_yet
            if not watch.warn_if_interrupted(f"after {watch.epoch} strengths", 5):
                self._warn_if_inexact(table, [best, *(one for path in paths for one in path)])
            watch.end()

    def _splits(self, X: Any, Y: Any, sample_weight: Any, params: dict[str, Any]) -> Folds:
        own: dict[str, Any] = {}
        if _routing_enabled():
            routed = process_routing(self, "fit", sample_weight=sample_weight, **params)
            own = routed.splitter.split
        return list(check_cv(self.cv).split(X, Y if self._many else Y[:, 0], **own))

    def _alphas(self, table: Table, l1_ratio: float) -> NDArray[np.float64]:
        """Return the strengths of a path, largest first."""
        if isinstance(self.alphas, Integral):
            positive = bool(getattr(self, "positive", False))
            return _grid(table, l1_ratio, self.eps, int(self.alphas), positive=positive)
        for k, alpha in enumerate(self.alphas):
            check_scalar(alpha, f"alphas[{k}]", Real, min_val=0.0, include_boundaries="left")
        return np.sort(np.asarray(self.alphas, np.float64))[::-1]

    def _paths(self, table: Table, alphas: NDArray[Any], l1_ratio: float) -> list[Found]:
        """Return the path of each fold."""
        which = range(1, len(table.folds))
        strengths = table.strengths(alphas, l1_ratio)
        if self._watch.stops:  # nothing of this path: the choice is left to those before
            return self._solved(table, which, Strengths(strengths.l1[:0], strengths.l2[:0]))

        def solved(first: int, coefs: list[list[NDArray[Any]]]) -> bool:
            return self._tell(table, alphas, l1_ratio, first, coefs)

        return self._solved(table, which, strengths, solved, SHARE_OF_NULL)

    def _solved(
        self,
        table: Table,
        which: Any,
        strengths: Strengths,
        solved: Any = None,
        share_of_null: float = 0.0,
    ) -> list[Found]:
        positive = bool(getattr(self, "positive", False))
        tol, most = float(self.tol), int(self.max_iter)
        at_once = 1 if solved is not None and self._watch.is_watching else 0
        return solve_paths(
            table, which, strengths, tol, most, positive, None, solved, at_once, share_of_null
        )

    def _tell(
        self,
        table: Table,
        alphas: NDArray[Any],
        l1_ratio: float,
        first: int,
        coefs: list[list[NDArray[Any]]],
    ) -> bool:
        """Tell the callbacks of strengths that all folds have been solved for."""
        if not self._watch.is_watching:
            return self._watch.stops
        for i in range(len(coefs[0])):
            errors, means = [], []
            for k, of_fold in enumerate(coefs):
                coef = of_fold[i][None]
                errors.append(table.held_out_squares(k + 1, coef).mean())
                means.append([part[0] for part in table.in_user_units(k + 1, coef)])
            score = -float(table.units.figure(np.mean(errors)))
            before = getattr(self, "_best_yet", None)
            if before is None or score > before[0]:
                coef, intercept = (np.mean(part, axis=0) for part in zip(*means, strict=True))
                self._best_yet = score, coef, intercept
            figures = {"alpha": float(alphas[first + i]), "score": score}
            if hasattr(self, "l1_ratio"):
                figures["l1_ratio"] = l1_ratio
            if self._watch.tried(figures):
                return True
        return False

    def _write(self, snapshot: Any) -> None:
        """Write the folds' mean coefficients of the best strength so far into a copy."""
        _, coef, intercept = self._best_yet
        snapshot.coef_ = coef if self._many else coef[0]
        snapshot.intercept_ = intercept if self._many else float(intercept[0])

    def _choose(self, alphas: list[Any], ratios: list[float], errors: NDArray[Any]) -> None:
        """Set the strength whose mean error is least, of each ratio the first one."""
        errors = np.where(np.isnan(errors), np.inf, errors)  # what a stop came before
        places = [int(np.argmin(row)) for row in errors]
        r = int(np.argmin([row[place] for row, place in zip(errors, places, strict=True)]))
        self._best = r, places[r]
        self.alpha_ = alphas[r][places[r]]
        if hasattr(self, "l1_ratio"):
            self.l1_ratio_ = np.atleast_1d(self.l1_ratio)[r]
        grid = np.asarray(alphas)
        fixed = not isinstance(self.alphas, Integral)
        self.alphas_ = grid[0] if fixed or len(ratios) == 1 else grid

    def _refitted(self, table: Table, alphas: list[Any], ratios: list[float]) -> Found:
        """Fit all rows, from zero: so that no coefficient is left of a fold's."""
        r, a = self._best
        del self._best
        found: list[Found] = self._solved(table, [0], table.strengths([alphas[r][a]], ratios[r]))
        return found[0]


def _fold(weight: NDArray[Any], fit: NDArray[Any], held_out: NDArray[Any]) -> Fold:
    """Return the weights of a split; an index that comes twice counts twice."""
    n = weight.shape[0]
    parts = []
    for chosen in (fit, held_out):
        rows = np.arange(n)[chosen]
        parts.append(np.bincount(rows, minlength=n) * weight)
    for name, part in zip(("fit", "predict"), parts, strict=True):
        if not part.any():
            raise ValueError(f"A fold has no row of positive weight to {name}.")
    return Fold(*parts)


def _errors(table: Table, f: int, found: Found, n_alphas: int) -> NDArray[np.float64]:
    """Return the mean squared error on the held-out rows for each strength; NaN if not solved."""
    errors = np.full(n_alphas, np.nan)
    errors[: found.coef.shape[0]] = table.held_out_squares(f, found.coef).mean(axis=1)
    return errors


def _grid(
    table: Table, l1_ratio: float, eps: float, n_alphas: int, *, positive: bool
) -> NDArray[np.float64]:
    """Return scikit-learn's grid of strengths.

    Raises
    ------
    ValueError
        If the largest one leaves float64.
    """
    mass, exponent = table.fit_sums[0].mass, _exponent_of_grid(table)
    products = np.ldexp(table.correlations[0].T * mass, -exponent)
    how: dict[str, Any] = {"sample_weight": np.array([mass]), "positive": positive}
    grid = _alpha_grid(None, None, products, l1_ratio, eps=eps, n_alphas=n_alphas, **how)
    found = table.units.user_l1(np.ldexp(np.asarray(grid, np.float64), exponent))
    if not np.all(np.isfinite(found)):
        raise ValueError(f"{TOO_LARGE} Divide such columns by a constant.")
    return found


def _exponent_of_grid(table: Table) -> int:
    """Return the exponent of the largest strength, where scikit-learn's grid would be none.

    That ends at 1e-15, whatever the units of X and y. Correlations that are rounding stay there.
    """
    largest = float(np.max(np.abs(table.correlations[0]), initial=0.0))
    if not 0.0 < largest <= LEAST_STRENGTH:
        return 0
    return int(np.frexp(largest)[1]) if largest > ROUNDED * table.size_of_products() else 0


def lasso_path(
    X: Any,
    y: Any,
    *,
    eps: float = 1e-3,
    n_alphas: Any = "deprecated",
    alphas: Any = "warn",
    precompute: Any = "auto",
    Xy: Any = None,
    copy_X: bool = True,
    coef_init: Any = None,
    verbose: Any = False,
    return_n_iter: bool = False,
    positive: bool = False,
    **params: Any,
) -> tuple[Any, ...]:
    """Return the coefficients of the lasso for many strengths; without an intercept.

    Minimises  |y - X w|^2 / (2 n) + alpha |w|_1  for each alpha, as ``enet_path`` does with
    ``l1_ratio=1``.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
    eps : float, default=1e-3
        The least strength, as a part of the largest one.
    n_alphas : int, default="deprecated"
        Deprecated, as in scikit-learn 1.9; ``alphas`` takes a number.
    alphas : int or array-like, default="warn"
        How many strengths, or which; "warn" is 100.
    precompute : "auto", bool or array-like, default="auto"
        Accepted and not needed.
    Xy : array-like, default=None
        Accepted and not needed.
    copy_X : bool, default=True
        Accepted and not needed: X is never changed.
    coef_init : array-like of shape (n_features,) or (n_targets, n_features), default=None
        Where the first fit starts.
    verbose : bool or int, default=False
        Accepted and not needed.
    return_n_iter : bool, default=False
    positive : bool, default=False
        Require w >= 0; for one target.
    **params : dict
        ``tol`` (1e-4), the largest relative suboptimality; ``max_iter`` (1000), the sweeps for each
        strength at most; ``random_state``, ``selection`` and ``do_screening``, which are not
        needed.

    Returns
    -------
    alphas : ndarray of shape (n_alphas,), largest first
    coefs : ndarray of shape (n_features, n_alphas) or (n_targets, n_features, n_alphas)
    dual_gaps : ndarray of shape (n_alphas,)
        Proven bounds of the objective minus its minimum.
    n_iters : list of int
        With ``return_n_iter``.

    Raises
    ------
    ValueError
        If parameters are unknown, or ``positive`` is asked of many targets.
    """
    return enet_path(
        X,
        y,
        l1_ratio=1.0,
        eps=eps,
        n_alphas=n_alphas,
        alphas=alphas,
        precompute=precompute,
        Xy=Xy,
        copy_X=copy_X,
        coef_init=coef_init,
        verbose=verbose,
        return_n_iter=return_n_iter,
        positive=positive,
        **params,
    )


def enet_path(
    X: Any,
    y: Any,
    *,
    l1_ratio: float = 0.5,
    eps: float = 1e-3,
    n_alphas: Any = "deprecated",
    alphas: Any = "warn",
    precompute: Any = "auto",  # noqa: ARG001
    Xy: Any = None,  # noqa: ARG001
    copy_X: bool = True,  # noqa: ARG001
    coef_init: Any = None,
    verbose: Any = False,  # noqa: ARG001
    return_n_iter: bool = False,
    positive: bool = False,
    check_input: bool = True,  # noqa: ARG001
    **params: Any,
) -> tuple[Any, ...]:
    """Return the coefficients of the elastic net for many strengths; without an intercept.

    Minimises  |y - X w|^2 / (2 n) + alpha l1_ratio |w|_1 + alpha (1 - l1_ratio)/2 |w|^2  for each
    alpha, for many targets with sum_j |w_j| in place of |w|_1, as scikit-learn does.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
    l1_ratio : float, default=0.5
        Share of l1, in [0, 1]; 0 needs ``alphas``.
    eps : float, default=1e-3
        The least strength, as a part of the largest one.
    n_alphas : int, default="deprecated"
        Deprecated, as in scikit-learn 1.9; ``alphas`` takes a number.
    alphas : int or array-like, default="warn"
        How many strengths, or which; "warn" is 100.
    precompute : "auto", bool or array-like, default="auto"
        Accepted and not needed.
    Xy : array-like, default=None
        Accepted and not needed.
    copy_X : bool, default=True
        Accepted and not needed: X is never changed.
    coef_init : array-like of shape (n_features,) or (n_targets, n_features), default=None
        Where the first fit starts.
    verbose : bool or int, default=False
        Accepted and not needed.
    return_n_iter : bool, default=False
    positive : bool, default=False
        Require w >= 0; for one target.
    check_input : bool, default=True
        Accepted and not needed: input is always checked.
    **params : dict
        ``tol`` (1e-4), the largest relative suboptimality; ``max_iter`` (1000), the sweeps for each
        strength at most; ``random_state``, ``selection`` and ``do_screening``, which are not
        needed.

    Returns
    -------
    alphas : ndarray of shape (n_alphas,), largest first
    coefs : ndarray of shape (n_features, n_alphas) or (n_targets, n_features, n_alphas)
    dual_gaps : ndarray of shape (n_alphas,)
        Proven bounds of the objective minus its minimum.
    n_iters : list of int
        With ``return_n_iter``.

    Raises
    ------
    ValueError
        If parameters are unknown, or ``positive`` is asked of many targets.
    """
    tol, most = float(params.pop("tol", 1e-4)), int(params.pop("max_iter", 1000))
    if params.pop("selection", "cyclic") not in ("random", "cyclic"):
        raise ValueError("selection should be either random or cyclic.")
    for name in ("random_state", "do_screening"):
        params.pop(name, None)
    if params:
        raise ValueError("Unexpected parameters in params", params.keys())
    X = check_sparse(check_array(X, dtype=FLOATS, **ACCEPTED))
    y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
    check_consistent_length(X, y)
    many = y.ndim == 2
    if many and positive:
        raise ValueError("positive=True is not allowed for multi-output (y.ndim != 1)")
    Y = y if many else y[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        table = Table(X, Y, [Fold(np.ones(X.shape[0]))], False)
    _refuse_not_finite(table)
    wanted = _asked_alphas(alphas, n_alphas)
    if isinstance(wanted, Integral):
        grid = _grid(table, l1_ratio, eps, int(wanted), positive=positive)
    else:
        grid = np.sort(np.asarray(wanted, np.float64))[::-1]
    starts = None if coef_init is None else [_start_of(coef_init, table)]
    strengths = table.strengths(grid, float(l1_ratio))
    found = solve_paths(table, [0], strengths, tol, most, bool(positive), starts)[0]
    _warn_of_gaps("enet_path", table, found.gap, found.objective, tol * found.objective, most)
    coef = np.ascontiguousarray(np.moveaxis(table.in_user_units(0, found.coef)[0], 0, 2))
    coef = in_dtype(coef if many else coef[0], X.dtype)
    answer = (grid, coef, table.units.figure(found.gap))
    return (*answer, [max(1, int(k)) for k in found.sweeps]) if return_n_iter else answer


def _asked_alphas(alphas: Any, n_alphas: Any) -> Any:
    """Return how many strengths are asked for, or which, with scikit-learn's warnings."""
    if not (isinstance(n_alphas, str) and n_alphas == "deprecated"):
        _warn_of_deprecation(
            "'n_alphas' was deprecated in 1.9 and will be removed in 1.11. 'alphas' now accepts an "
            "integer value which removes the need to pass 'n_alphas'."
        )
        number = n_alphas
    else:
        number = 100
    if alphas is None:
        _warn_of_deprecation(
            "'alphas=None' is deprecated and will be removed in 1.11. Set 'alphas=100' to silence "
            "this warning."
        )
        return number
    return number if isinstance(alphas, str) and alphas == "warn" else alphas


def _warn_of_deprecation(message: str) -> None:
    warnings.warn(message, FutureWarning, stacklevel=level_of_the_user())


def _start_of(coef_init: Any, table: Table) -> NDArray[np.float64]:
    """Return a user's start on the working set, which takes in where it has coefficients."""
    coef = np.atleast_2d(np.asarray(coef_init, np.float64))
    shape = (table.rows.targets.shape[1], table.rows.d)
    if coef.shape != shape:
        raise ValueError(f"coef_init must be of shape {shape}, got {np.shape(coef_init)}.")
    if not table.is_full:
        table.add(np.flatnonzero(np.any(coef != 0.0, axis=0)))
    return np.ascontiguousarray(table.units.of_coef(coef[:, table.columns]))


@with_callbacks
class LassoCV(PathCV, linear_model.LassoCV):
    """``Lasso`` whose strength is chosen by cross-validation along a path.

    Parameters, defaults and the choice are scikit-learn's. All folds share the products of columns:
    a fold's are those of all rows less those of its held-out rows. Wide data are worked on in
    columns that matter, which one product of X with many residuals finds.

    Parameters
    ----------
    eps : float, default=1e-3
        The least strength, as a part of the largest one.
    alphas : int or array-like, default=100
        How many strengths to try, or which.
    fit_intercept : bool, default=True
    precompute : "auto", bool or array-like, default="auto"
        Accepted and not needed.
    max_iter : int, default=1000
        Sweeps over the working set at most, for each strength.
    tol : float, default=1e-4
        Largest relative suboptimality, (F - F*) / F, of the last fit: shown by its duality gap,
        else there is a warning. Fits of folds end likewise, or within ``tol`` times a twentieth of
        the objective without columns; scikit-learn's end within ``tol`` times twice that objective.
    copy_X : bool, default=True
        Accepted and not needed: X is never changed.
    cv : int, splitter, iterable or None, default=None
        How folds are made, as in scikit-learn; None is 5.
    verbose : bool or int, default=False
        1 shows a bar over the strengths, 2 or more writes a line for each through ``logging``.
    n_jobs : int or None, default=None
        Threads over folds, which share X; results do not depend on it. As in ``Lasso``,
        None leaves the number to the environment.
    positive : bool, default=False
    random_state : int, RandomState instance or None, default=None
        Accepted and not needed.
    selection : {"cyclic", "random"}, default="cyclic"
        Accepted and not needed.
    callbacks : list or None, default=None
        What is done after each strength of the path, for all folds: objects of
        ``fastgd.callbacks``, or functions of a view of the fit (docs/watching.md).
        ``view.history`` has "alpha" and "score", minus the mean squared error; ``view.stop()``
        leaves the choice to the strengths so far.

    Attributes
    ----------
    alpha_ : float
    alphas_ : ndarray of shape (n_alphas,)
    mse_path_ : ndarray of shape (n_alphas, n_folds)
    coef_ : ndarray of shape (n_features,), in the dtype of X
    intercept_ : float
    objective_ : float
        What ``Lasso`` minimises, at ``alpha_``.
    dual_gap_, gap_ : float
        A proven bound of ``objective_`` minus the optimum.
    n_iter_ : int
        Sweeps of the last fit.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
    """

    @fit_context
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | float | None = None,
        **params: Any,
    ) -> "LassoCV":
        """Choose the strength and fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows in parts are what ``fastgd.datasets.open`` returns, or a collection of Dask's.
        y : array-like of shape (n_samples,)
        sample_weight : float or array-like of shape (n_samples,), default=None
        **params : dict
            For the splitter, if metadata routing is enabled.

        Returns
        -------
        self : LassoCV
        """
        self._fit(X, y, sample_weight, params)
        return self


@with_callbacks
class ElasticNetCV(PathCV, linear_model.ElasticNetCV):
    """``ElasticNet`` whose strength and share of l1 are chosen by cross-validation.

    Parameters and attributes are those of ``LassoCV``, and scikit-learn's.

    Parameters
    ----------
    l1_ratio : float or list of float, default=0.5
        Shares of l1 to try, in [0, 1]; 0 needs ``alphas``.
    eps, alphas, fit_intercept, precompute, max_iter, tol, cv, copy_X, verbose, n_jobs : see LassoCV
    positive, random_state, selection, callbacks : see LassoCV

    Attributes
    ----------
    alpha_, l1_ratio_ : float
    alphas_ : ndarray of shape (n_alphas,) or (n_l1_ratio, n_alphas)
    mse_path_ : ndarray of shape (n_alphas, n_folds) or (n_l1_ratio, n_alphas, n_folds)
    coef_, intercept_, objective_, dual_gap_, gap_, n_iter_ : as in ``LassoCV``
    """

    @fit_context
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | float | None = None,
        **params: Any,
    ) -> "ElasticNetCV":
        """Choose the strengths and fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows in parts are what ``fastgd.datasets.open`` returns, or a collection of Dask's.
        y : array-like of shape (n_samples,)
        sample_weight : float or array-like of shape (n_samples,), default=None
        **params : dict
            For the splitter, if metadata routing is enabled.

        Returns
        -------
        self : ElasticNetCV
        """
        self._fit(X, y, sample_weight, params)
        return self


@with_callbacks
class MultiTaskElasticNetCV(PathCV, linear_model.MultiTaskElasticNetCV):
    """``MultiTaskElasticNet`` whose strengths are chosen by cross-validation.

    Parameters and attributes are those of ``ElasticNetCV`` but for ``precompute`` and ``positive``,
    which multi-task models have not; ``coef_`` is of shape (n_targets, n_features).
    """

    _many = True

    @fit_context
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | float | None = None,
        **params: Any,
    ) -> "MultiTaskElasticNetCV":
        """Choose the strengths and fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows in parts are what ``fastgd.datasets.open`` returns, or a collection of Dask's.
        y : array-like of shape (n_samples, n_targets)
        sample_weight : float or array-like of shape (n_samples,), default=None
        **params : dict
            For the splitter, if metadata routing is enabled.

        Returns
        -------
        self : MultiTaskElasticNetCV
        """
        self._fit(X, y, sample_weight, params)
        return self


@with_callbacks
class MultiTaskLassoCV(PathCV, linear_model.MultiTaskLassoCV):
    """``MultiTaskLasso`` whose strength is chosen by cross-validation.

    Parameters and attributes are those of ``LassoCV`` but for ``precompute`` and ``positive``,
    which multi-task models have not; ``coef_`` is of shape (n_targets, n_features).
    """

    _many = True

    @fit_context
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | float | None = None,
        **params: Any,
    ) -> "MultiTaskLassoCV":
        """Choose the strength and fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows in parts are what ``fastgd.datasets.open`` returns, or a collection of Dask's.
        y : array-like of shape (n_samples, n_targets)
        sample_weight : float or array-like of shape (n_samples,), default=None
        **params : dict
            For the splitter, if metadata routing is enabled.

        Returns
        -------
        self : MultiTaskLassoCV
        """
        self._fit(X, y, sample_weight, params)
        return self


class _MultiTask(PathModel):
    """What both multi-task models have in common."""

    def _fit_one(self, X: Any, y: Any, sample_weight: Any, l1_ratio: float) -> None:
        """Fit all rows for one strength."""
        with or_as_before(self):
            if is_in_parts(X):
                summed = self._summed((X, y, sample_weight), many=True)
                table: Table = summed
                dtype: Any = summed.dtype
            else:
                X, Y, weight = self._checked_data(X, y, sample_weight, many=True)
                dtype = X.dtype
                with np.errstate(over="ignore", invalid="ignore"):
                    table = Table(X, Y, [Fold(weight)], bool(self.fit_intercept))
            _refuse_not_finite(table)
            start = self._start(table)
            found = solve_paths(
                table,
                [0],
                table.strengths([self.alpha], l1_ratio),
                float(self.tol),
                int(self.max_iter),
                starts=None if start is None else [start],
            )[0]
            self._take(table, found, dtype, many=True)
            self.eps_ = float(self.tol) * self.objective_
            self._warn_if_inexact(table, [found])

    def _start(self, table: Table) -> NDArray[np.float64] | None:
        """Return where a warm start begins, on the working set that it has coefficients in."""
        shape = (table.rows.targets.shape[1], table.rows.d)
        if not self.warm_start or np.shape(vars(self).get("coef_", 0.0)) != shape:
            return None
        return _start_of(self.coef_, table)


class MultiTaskElasticNet(_MultiTask, linear_model.MultiTaskElasticNet):
    """Least squares for many targets that share their features: l1 of rows of coefficients, and l2.

    Minimises  sum_i s_i |y_i - x_i W' - b|^2 / (2 sum_i s_i) + alpha l1_ratio sum_j |w_j|
    + alpha (1 - l1_ratio)/2 |W|^2  with w_j the coefficients of feature j for all targets, as
    scikit-learn does. Zeros are exact, and a feature has coefficients for all targets or none.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty, >= 0.
    l1_ratio : float, default=0.5
        Share of l1, in [0, 1].
    fit_intercept : bool, default=True
    copy_X : bool, default=True
        Accepted and not needed: X is never changed.
    max_iter : int, default=1000
        Sweeps over the working set at most.
    tol : float, default=1e-4
        Largest relative suboptimality, (F - F*) / F; shown by the duality gap, else there is a
        warning.
    warm_start : bool, default=False
        Start from the last fit's coefficients.
    random_state : int, RandomState instance or None, default=None
        Accepted and not needed.
    selection : {"cyclic", "random"}, default="cyclic"
        Accepted and not needed.

    Attributes
    ----------
    coef_ : ndarray of shape (n_targets, n_features), in the dtype of X
    sparse_coef_ : sparse matrix of shape (n_targets, n_features)
    intercept_ : ndarray of shape (n_targets,); 0.0 without an intercept
    objective_ : float
        What is minimised.
    dual_gap_, gap_ : float
        A proven bound of ``objective_`` minus the optimum.
    eps_ : float
        What ``tol`` asks of the gap.
    n_iter_ : int
        Sweeps.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
    """

    @fit_context
    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | float | None = None
    ) -> "MultiTaskElasticNet":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows in parts are what ``fastgd.datasets.open`` returns, or a collection of Dask's.
        y : array-like of shape (n_samples, n_targets)
        sample_weight : float or array-like of shape (n_samples,), default=None

        Returns
        -------
        self : MultiTaskElasticNet
        """
        self._fit_one(X, y, sample_weight, float(self.l1_ratio))
        return self


class MultiTaskLasso(_MultiTask, linear_model.MultiTaskLasso):
    """Least squares for many targets that share their features: l1 of rows of coefficients.

    Parameters and attributes are those of ``MultiTaskElasticNet`` but for ``l1_ratio``, which is 1.
    """

    @fit_context
    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | float | None = None
    ) -> "MultiTaskLasso":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows in parts are what ``fastgd.datasets.open`` returns, or a collection of Dask's.
        y : array-like of shape (n_samples, n_targets)
        sample_weight : float or array-like of shape (n_samples,), default=None

        Returns
        -------
        self : MultiTaskLasso
        """
        self._fit_one(X, y, sample_weight, 1.0)
        return self
