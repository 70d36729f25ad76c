"""RidgeCV and RidgeClassifierCV: the strength of the penalty by leave-one-out or by folds."""

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import nullcontext
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import MultiOutputMixin, RegressorMixin, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model._ridge import (
    _BaseRidgeCV,
    _IdentityClassifier,
    _IdentityRegressor,
    _RidgeGCV,
)
from sklearn.metrics import accuracy_score, get_scorer, r2_score
from sklearn.metrics._scorer import _Scorer
from sklearn.model_selection import GridSearchCV, check_cv
from sklearn.utils._metadata_requests import (
    _raise_for_params,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.validation import check_is_fitted, check_scalar

from fastgd._data.parts import ScoredAnywhere, by_parts, is_in_parts, shards_of
from fastgd._data.shards import Shards
from fastgd._data.validation import (
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
from fastgd._runtime.threads import one_blas_thread
from fastgd._runtime.warned import warn
from fastgd._solvers._magnitudes import Magnitudes, magnitudes_of
from fastgd._solvers._product_shards import Frame, look_for_products
from fastgd._solvers._spectrum import (
    Fitted,
    Rows,
    Spectrum,
    fit_at,
    left_out_errors,
    paths,
    sparse_paths,
    spectrum_of,
)
from fastgd._training.labels import dense_labels
from fastgd.linear_model._classification import refuse_nothing_left
from fastgd.linear_model._linear import Ridge
from fastgd.linear_model._ridge_classifier import (
    CLASS_WEIGHT,
    RidgeClassifier,
    RidgeLabels,
    binarized,
    factors_of_counts,
    weights_of_labels,
)
from fastgd.linear_model._ridge_cv_parts import TOL, RidgeCVOfParts, units_of_columns
from fastgd.linear_model._solved import FLOATS

WORTH_THREADS = 1 << 30  # multiplications: some 0.1 s
WATCHING: dict[str, list[Any]] = {"verbose": ["verbose"], "callbacks": [list, tuple, None]}


class BaseRidgeCV(
    RidgeCVOfParts, CallbackSupport, NotebookView, OnnxExport, CheckedOnce, _BaseRidgeCV
):
    """What both have in common; a subclass says what y is, and what a raw prediction means.

    scikit-learn's base class has the parameters, the scorer and the routing of metadata.
    """

    intercept_: Any
    alpha_: Any
    best_score_: Any
    _watch: GridWatch  # while a fit runs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.array_api_support = (
            False  # arrays of other libraries are taken; attributes are NumPy's
        )
        return tags

    def _take(
        self, rows: Rows, found: Spectrum, units: Magnitudes, dtype: Any, shape: tuple[int, ...]
    ) -> Fitted:
        """Fit all rows with ``alpha_``, and set what is reported of it.

        ``rows`` and ``found`` are in ``units``; ``shape`` is that of the targets.
        """
        alpha = units.of_l2(np.asarray(self.alpha_, np.float64))
        fitted = fit_at(rows, found, np.broadcast_to(alpha, rows.level.shape))
        fitted = fitted._replace(coef=units.user_coef(fitted.coef))
        return self._take_fitted(fitted, dtype, shape)

    def _take_fitted(self, fitted: Fitted, dtype: Any, shape: tuple[int, ...]) -> Fitted:
        """Set what was found, for targets of this shape."""
        self._refuse_not_finite(fitted.coef, fitted.intercept)
        many = len(shape) == 2 and shape[1] > 1
        self.coef_ = in_dtype(fitted.coef.T if many else fitted.coef[:, 0], dtype)
        if not self.fit_intercept:
            self.intercept_ = 0.0
        elif len(shape) == 2:
            self.intercept_ = in_dtype(fitted.intercept, dtype)
        else:
            self.intercept_ = in_dtype(fitted.intercept, dtype)[0]
        one = fitted.objective.shape[0] == 1
        self.objective_ = float(fitted.objective[0]) if one else fitted.objective
        self.gap_ = float(fitted.gap[0]) if one else fitted.gap
        return fitted

    def _refuse_not_finite(self, *values: NDArray[Any]) -> None:
        if not all(np.all(np.isfinite(value)) for value in values):
            raise ValueError(
                f"{type(self).__name__} found no finite coefficients: the numbers in X, y, "
                "sample_weight or alphas are too large or too small for float64. Multiply X or y "
                "by a constant."
            )

    def _warn_if_inexact(self, fitted: Fitted) -> None:
        rounding = np.finfo(np.float64).eps
        with np.errstate(invalid="ignore"):  # infinite both, where squares of y are
            suboptimality = fitted.gap - TOL * np.abs(fitted.objective) - rounding
        if np.any(suboptimality > 0.0):
            worst = int(np.argmax(suboptimality))
            warn(
                f"{type(self).__name__}: the objective of {fitted.objective[worst]:.6g} may be "
                f"{fitted.gap[worst]:.1e} above the optimum for alpha_: the columns' scales or "
                "their dependence leave float64 no more digits. Bring them to similar scales, or "
                "use larger alphas.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _checked_alphas(self) -> NDArray[np.float64]:
        """Return the strengths to try.

        Raises
        ------
        TypeError, ValueError
            If one is no number, or not > 0 (with folds, >= 0), in scikit-learn's words.
        """
        given = self.alphas if isinstance(self.alphas, list | tuple) else np.asarray(self.alphas)
        given = list(np.atleast_1d(given) if isinstance(given, np.ndarray) else given)
        if np.ndim(given) != 1 or not given:
            raise ValueError(f"alphas must be a number or a 1-d array, got {self.alphas!r}.")
        bounds = "neither" if self.cv is None else "left"
        for k, alpha in enumerate(given):
            name = "alphas" if len(given) == 1 else f"alphas[{k}]"
            check_scalar(alpha, name, Real, min_val=0.0, include_boundaries=bounds)
            if not alpha < np.inf:
                raise ValueError(f"{name} == {alpha}, must be finite.")
        return np.array(given, np.float64)

    # -- leave-one-out ----------------------------------------------------------------------------

    def _leave_one_out(
        self, rows: Rows, Y: NDArray[Any], alphas: NDArray[Any], params: dict[str, Any], X: Any
    ) -> tuple[NDArray[np.float64], Spectrum]:
        """Set ``cv_results_``; return the scores, of each alpha (and target), and what they use."""
        mode = "svd" if self.gcv_mode == "svd" and not sp.issparse(X) else "auto"
        if self.gcv_mode == "svd" and sp.issparse(X):
            warnings.warn(
                "The 'svd' mode is not supported for sparse X, we fallback to "
                "`gcv_mode='eigen'`. Passing `gcv_mode='svd'` on sparse X will raise "
                "an error in 1.11, use the default or pass `gcv_mode='eigen'` to "
                "suppress this warning.",
                FutureWarning,
                stacklevel=4,
            )
        found = spectrum_of(rows, float(alphas.min()), mode)
        if self.scoring is None and not self.store_cv_results and not _routing_enabled():
            scores = self._mean_squares(rows, found, alphas)
        else:
            scores = self._scored(rows, found, Y, alphas, params, X.dtype)
        return scores, found

    def _is_per_target(self, rows: Rows) -> bool:
        return bool(self.alpha_per_target) and rows.level.shape[0] > 1

    def _mean_squares(
        self, rows: Rows, found: Spectrum, alphas: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Return minus the mean squared error for each alpha, or each alpha and target."""
        total = np.zeros((rows.level.shape[0], alphas.shape[0]))
        for _, errors in left_out_errors(rows, found, alphas):
            self._refuse_interrupted()
            total += np.sum(errors**2, axis=0)
        mean = -total / rows.n
        return mean.T if self._is_per_target(rows) else np.asarray(mean.mean(axis=0))

    def _scored(
        self,
        rows: Rows,
        found: Spectrum,
        Y: NDArray[Any],
        alphas: NDArray[Any],
        params: dict[str, Any],
        dtype: Any,
    ) -> NDArray[np.float64]:
        """Return the same by the user's scorer; all errors, or predictions, are kept for that."""
        n_targets = rows.level.shape[0]
        results = np.empty((rows.n, n_targets, alphas.shape[0]))
        for some, errors in left_out_errors(rows, found, alphas):
            self._refuse_interrupted()
            results[some] = errors
        if self.scoring is None:
            results **= 2
            means = -results.mean(axis=0)
            scores = means.T if self._is_per_target(rows) else means.mean(axis=0)
        else:
            results = rows.targets[:, :, None] - results
            if rows.root is not None:
                with np.errstate(divide="ignore", invalid="ignore"):
                    results /= rows.root[:, None, None]
            results += rows.level[:, None]
            scores = np.array(
                [self._score_of(results[:, :, k], Y, params) for k in range(alphas.size)]
            )
        if self.store_cv_results:
            kept = results if Y.ndim == 2 else results[:, 0]
            self.cv_results_ = kept.astype(dtype, copy=False)
        return np.asarray(scores)

    def _score_of(self, predictions: NDArray[Any], Y: NDArray[Any], params: dict[str, Any]) -> Any:
        """Return what a scorer makes of the predictions for one alpha, as scikit-learn does."""
        n_targets = 1 if Y.ndim == 1 else Y.shape[1]
        judge = _RidgeGCV(is_clf=is_classifier(self), alpha_per_target=self.alpha_per_target)
        return judge._score(
            predictions=predictions[:, 0] if Y.ndim == 1 else predictions,
            y=Y,
            n_y=n_targets,
            scorer=self._get_scorer(),
            score_params=params,
        )

    def _params_of_scorer(self, sample_weight: Any, params: dict[str, Any]) -> dict[str, Any]:
        """Return what goes to the scorer of leave-one-out predictions."""
        if sample_weight is not None:
            params = {**params, "sample_weight": sample_weight}
        if _routing_enabled():
            return dict(process_routing(self, "fit", **params).scorer.score)
        return params

    # -- folds ------------------------------------------------------------------------------------

    def _by_folds(
        self,
        X: Any,
        y: Any,
        Y: NDArray[np.float64],
        weight: NDArray[Any] | None,
        alphas: NDArray[Any],
    ) -> NDArray[np.float64] | None:
        """Return the mean score of each alpha over the folds; None where that cannot be done.

        It can for scorers that look at predictions only, and one label a row.
        """
        judge = self._judge_of_predictions(y, weight is not None)
        if judge is None or alphas.min() <= 0.0:
            return None
        splits = check_cv(self.cv, y, classifier=is_classifier(self)).split(X, y)
        scores = []
        for split in splits:
            self._refuse_interrupted()
            scores.append(list(self._scores_of_fold(X, y, Y, weight, alphas, judge, *split)))
        return np.asarray(np.mean(scores, axis=0))

    def _scores_of_fold(
        self,
        X: Any,
        y: Any,
        Y: NDArray[np.float64],
        weight: NDArray[Any] | None,
        alphas: NDArray[Any],
        judge: Any,
        train: NDArray[Any],
        test: NDArray[Any],
    ) -> Iterator[float]:
        """Yield the score of each alpha on the rows that were left out."""
        own = None if weight is None else weight[train]
        rows = Rows(X[train], Y[train], own, bool(self.fit_intercept))
        coefs = sparse_paths(rows, alphas) if rows.is_large_and_sparse else None
        if coefs is None:
            coefs = paths(rows, spectrum_of(rows, float(alphas.min())), alphas)
        flat = np.moveaxis(coefs, 0, 2).reshape(rows.d, -1)
        held_out = X[test]
        raw = np.asarray(held_out @ flat) - rows.mean @ flat
        self._refuse_not_finite(raw)
        raw = raw.reshape(-1, Y.shape[1], alphas.shape[0]) + rows.level[:, None]
        for k in range(alphas.shape[0]):
            yield judge(raw[:, :, k], y[test], None if weight is None else weight[test])

    @abstractmethod
    def _judge_of_predictions(self, y: NDArray[Any], is_weighted: bool) -> Any:
        """Return the score of predictions, y and weights; None where a scorer needs a model."""

    def _by_search(
        self, X: Any, y: Any, alphas: NDArray[Any], params: dict[str, Any]
    ) -> NDArray[np.float64]:
        """Return the same by a grid search, which hands fitted models to the scorer."""
        kind = RidgeClassifier if is_classifier(self) else Ridge
        model = kind(fit_intercept=self.fit_intercept)
        if _routing_enabled():
            model.set_fit_request(sample_weight=True)
        search = GridSearchCV(
            model, {"alpha": alphas}, cv=self.cv, scoring=self._get_scorer(), refit=False
        )
        search.fit(X, y, **params)
        return np.asarray(search.cv_results_["mean_test_score"])

    # -- the choice -------------------------------------------------------------------------------

    def _fit_rows(
        self,
        X: Any,
        targets: tuple[Any, NDArray[Any]],
        weight: NDArray[Any],
        alphas: NDArray[np.float64],
        sample_weight: Any,
        params: dict[str, Any],
    ) -> None:
        """Choose ``alpha_`` and fit all rows with it.

        ``targets`` are those as they are given, labels for a classifier, and as numbers.
        """
        y, Y = targets
        columns = np.asarray(Y if Y.ndim == 2 else Y[:, None], np.float64)
        given = weight if weight.shape[0] > 0 else None
        one_thread = one_blas_thread if is_small(X) else nullcontext
        units = magnitudes_of(X, columns)._replace(y=0).for_l2(alphas)
        own_X, own_alphas = units.of_rows(X), units.of_l2(alphas)
        with np.errstate(over="ignore", invalid="ignore"), one_thread():
            rows, found = Rows(own_X, columns, given, bool(self.fit_intercept)), None

            def refit(model: BaseRidgeCV) -> Fitted | None:
                return model._refit(rows, found, units, (X, Y, given))

            self._watch.begin_grid(Given(X, y, sample_weight), alphas.shape[0], refit)
            if self.cv is None:
                if X.shape[0] < 2:
                    raise ValueError("Leave-one-out needs 2 rows or more, got 1 sample.")
                own = self._params_of_scorer(sample_weight, params)
                scores, found = self._leave_one_out(rows, Y, own_alphas, own, X)
            else:
                strengths = alphas, own_alphas
                scores = self._mean_scores((X, own_X), (y, columns), given, strengths, params)
            self._refuse_interrupted()
            self._choose(alphas, scores, Y)
            fitted = refit(self)
        watch = self._watch
        if not watch.warn_if_interrupted(f"after {watch.epoch} strengths", 5) and fitted:
            self._warn_if_inexact(fitted)
        watch.end()

    def _mean_scores(
        self,
        data: tuple[Any, Any],
        targets: tuple[Any, NDArray[np.float64]],
        given: NDArray[Any] | None,
        strengths: tuple[NDArray[Any], NDArray[Any]],
        params: dict[str, Any],
    ) -> NDArray[np.float64]:
        """Return each alpha's mean score over folds.

        ``data`` and ``strengths`` are those in the user's and in own units.
        """
        self._refuse_for_folds()
        (X, own_X), (y, columns), (alphas, own_alphas) = data, targets, strengths
        is_own = not (params or _routing_enabled())
        scores = self._by_folds(own_X, y, columns, given, own_alphas) if is_own else None
        if scores is None:
            routed = {} if given is None else {"sample_weight": given}
            scores = self._by_search(X, y, alphas, {**params, **routed})
        return scores

    def _choose(self, alphas: NDArray[Any], scores: NDArray[np.float64], Y: NDArray[Any]) -> None:
        """Tell the callbacks of each strength, and set the best of those until they stop."""
        scores = scores.reshape(alphas.shape[0], -1)
        if not self._watch.is_watching:
            self._take_best(alphas, scores, Y)
            return
        for k, alpha in enumerate(alphas):
            self._take_best(alphas[: k + 1], scores[: k + 1], Y)
            figures = {"alpha": float(alpha), "score": float(scores[k].mean())}
            if self._watch.tried(figures):
                break

    def _take_best(
        self, alphas: NDArray[Any], scores: NDArray[np.float64], Y: NDArray[Any]
    ) -> None:
        """Set ``alpha_`` and ``best_score_``: of equal scores the first, of each target its own."""
        best = np.argmax(np.where(np.isnan(scores), -np.inf, scores), axis=0)
        if best.shape[0] == 1:
            self.alpha_, self.best_score_ = float(alphas[best[0]]), float(scores[best[0], 0])
            if self.cv is None and self.alpha_per_target and Y.ndim == 2:
                self.best_score_ = np.array([self.best_score_])
        else:
            self.alpha_ = alphas[best]
            self.best_score_ = np.take_along_axis(scores, best[None, :], axis=0)[0]

    def _refit(
        self, rows: Rows, found: Spectrum | None, units: Magnitudes, data: tuple[Any, Any, Any]
    ) -> Fitted | None:
        """Fit all rows with ``alpha_``; ``Ridge`` warns of its fits itself."""
        X, Y, weight = data
        if found is None and (self.alpha_ == 0.0 or rows.is_large_and_sparse):
            self._take_from_ridge(X, Y, weight)
            return None
        if found is None:
            found = spectrum_of(rows, float(units.of_l2(np.min(self.alpha_))))
        return self._take(rows, found, units, X.dtype, Y.shape)

    def _refuse_interrupted(self) -> None:
        """End the fit where Ctrl-C asked for it: before the scores there is nothing to keep."""
        if self._watch.was_interrupted:
            raise KeyboardInterrupt

    def _take_from_ridge(self, X: Any, Y: NDArray[Any], weight: NDArray[Any] | None) -> None:
        """Fit all rows as ``Ridge`` does, whose solvers need no matrix of products."""
        model = Ridge(self.alpha_, fit_intercept=self.fit_intercept).fit(X, Y, weight)
        for name in ("coef_", "intercept_", "objective_", "gap_"):
            setattr(self, name, getattr(model, name))

    def _refuse_for_folds(self) -> None:
        for name in ("store_cv_results", "alpha_per_target"):
            if getattr(self, name):
                raise ValueError(f"cv!=None and {name}=True are incompatible")


def is_small(X: Any) -> bool:
    """Tell whether threads of BLAS would wait for each other longer than they work."""
    n, d = X.shape
    return bool(n * d * min(n, d) < WORTH_THREADS)


def _is_of_predictions(scorer: Any, is_weighted: bool) -> bool:
    """Tell whether a scorer asks a model for predictions or decision values, and no more."""
    if not isinstance(scorer, _Scorer):
        return False
    of_predictions = scorer._response_method in ("predict", "decision_function")
    return of_predictions and (not is_weighted or bool(scorer._accept_sample_weight()))


class RidgeCV(ScoredAnywhere, MultiOutputMixin, RegressorMixin, BaseRidgeCV):
    """Least squares with an l2 penalty whose strength is chosen by cross-validation.

    Leave-one-out, the default, costs one decomposition for all strengths; so does each fold. The
    model is that of ``Ridge`` with ``alpha_``: within 1e-4 of the optimum, or it warns.

    Parameters
    ----------
    alphas : float or array-like of shape (n_alphas,), default=(0.1, 1.0, 10.0)
        Strengths to try, > 0; >= 0 with ``cv``.
    fit_intercept : bool, default=True
    scoring : str, callable or None, default=None
        None: minus the mean squared error of rows left out, or R2 with ``cv``.
    cv : int, splitter, iterable or None, default=None
        None: leave-one-out. Else how folds are made, as in scikit-learn.
    gcv_mode : {"auto", "svd", "eigen"} or None, default=None
        "svd" decomposes dense rows, the others products of rows or columns unless rounding counts.
    store_cv_results : bool, default=False
        Keep the errors (with ``scoring``: the predictions) of rows left out for each alpha; for
        ``cv=None``.
    alpha_per_target : bool, default=False
        Choose a strength for each target; for ``cv=None``.
    verbose : int, default=0
        1 shows a bar over the strengths, 2 or more writes a line for each through ``logging``.
    callbacks : list or None, default=None
        What is done after each strength, when all have their scores: objects of
        ``fastgd.callbacks``, or functions of a view of the fit (docs/watching.md).
        ``view.history`` has "alpha" and "score", a mean over targets; ``view.stop()`` leaves the
        choice to the strengths so far.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features), in the dtype of X
    intercept_ : float or ndarray of shape (n_targets,)
    alpha_ : float or ndarray of shape (n_targets,)
    best_score_ : float or ndarray of shape (n_targets,)
    cv_results_ : ndarray of shape (n_samples, n_alphas) or (n_samples, n_targets, n_alphas)
        With ``store_cv_results``.
    objective_ : float or ndarray of shape (n_targets,)
        What ``Ridge`` minimises, divided by 2 sum_i s_i.
    gap_ : float or ndarray of shape (n_targets,)
        A bound of ``objective_`` minus the optimum: the duality gap.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from fastgd import RidgeCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> RidgeCV(alphas=[1e-3, 1e-2, 1e-1, 1]).fit(X, y).alpha_
    0.01
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_BaseRidgeCV._parameter_constraints,
        **WATCHING,
    }

    def __init__(
        self,
        alphas: Any = (0.1, 1.0, 10.0),
        *,
        fit_intercept: bool = True,
        scoring: Any = None,
        cv: Any = None,
        gcv_mode: Any = None,
        store_cv_results: bool = False,
        alpha_per_target: bool = False,
        verbose: int = 0,
        callbacks: Any = None,
    ) -> None:
        super().__init__(
            alphas=alphas,
            fit_intercept=fit_intercept,
            scoring=scoring,
            cv=cv,
            gcv_mode=gcv_mode,
            store_cv_results=store_cv_results,
            alpha_per_target=alpha_per_target,
        )
        self.verbose = verbose
        self.callbacks = callbacks

    def _get_scorer_instance(self) -> Any:
        return get_scorer("r2")

    @fit_context
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | float | None = None,
        **params: Any,
    ) -> "RidgeCV":
        """Choose the strength and fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows in parts are what ``fastgd.datasets.open`` returns, or a collection of Dask's.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : float or array-like of shape (n_samples,), default=None
        **params : dict
            For the scorer, if metadata routing is enabled.

        Returns
        -------
        self : RidgeCV

        Raises
        ------
        ValueError
            If an alpha is not > 0, or parameters contradict each other.
        """
        _raise_for_params(params, self, "fit")
        with watched(GridWatch, self), or_as_before(self):
            alphas = self._checked_alphas()
            if is_in_parts(X):
                self._fit_numbers_in_parts(shards_of(X, y, sample_weight), alphas)
                return self
            checks = {"multi_output": True, "y_numeric": True}
            X, y = check_X_y(self, X, y, reset=True, dtype=FLOATS, **checks)
            weight = check_weight(sample_weight, X, np.float64)
            _refuse_negative(weight)
            Y = np.asarray(y, np.float64)
            self._fit_rows(X, (Y, Y), weight, alphas, sample_weight, params)
        return self

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

    def _judge_of_predictions(
        self,
        y: NDArray[Any],  # noqa: ARG002
        is_weighted: bool,
    ) -> Any:
        def shaped(raw: NDArray[Any]) -> NDArray[Any]:
            return raw if raw.shape[1] > 1 else raw[:, 0]  # as Ridge predicts them

        if self.scoring is None:
            return lambda raw, truth, s: r2_score(truth, shaped(raw), sample_weight=s)
        scorer, model = self._get_scorer(), _IdentityRegressor()
        if not _is_of_predictions(scorer, is_weighted):
            return None
        return lambda raw, truth, s: scorer(
            model, shaped(raw), truth, **({} if s is None else {"sample_weight": s})
        )


class RidgeClassifierCV(RidgeLabels, BaseRidgeCV):
    """``RidgeClassifier`` whose strength of the penalty is chosen by cross-validation.

    Leave-one-out, the default, costs one decomposition for all strengths and classes.

    Parameters
    ----------
    alphas : float or array-like of shape (n_alphas,), default=(0.1, 1.0, 10.0)
        Strengths to try, > 0; >= 0 with ``cv``.
    fit_intercept : bool, default=True
    scoring : str, callable or None, default=None
        None: minus the mean squared error of rows left out, or the accuracy with ``cv``.
    cv : int, splitter, iterable or None, default=None
        None: leave-one-out. Else how folds are made, as in scikit-learn.
    class_weight : dict or "balanced", default=None
        Factors of the rows' weights, by class.
    store_cv_results : bool, default=False
        Keep the errors (with ``scoring``: the predictions) of rows left out for each alpha; for
        ``cv=None``.
    verbose, callbacks : see RidgeCV

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coef_ : ndarray of shape (n_features,) or (n_classes, n_features), in the dtype of X
        The former for two classes.
    intercept_ : float or ndarray of shape (n_classes,)
    alpha_ : float
    best_score_ : float
    cv_results_ : ndarray of shape (n_samples, n_classes, n_alphas)
        With ``store_cv_results``.
    objective_ : float or ndarray of shape (n_classes,)
        What ``RidgeClassifier`` minimises, divided by 2 sum_i s_i.
    gap_ : float or ndarray of shape (n_classes,)
        A bound of ``objective_`` minus the optimum: the duality gap.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from fastgd import RidgeClassifierCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> RidgeClassifierCV(alphas=[1e-3, 1e-2, 1e-1, 1]).fit(X, y).score(X, y) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{
            name: allowed
            for name, allowed in _BaseRidgeCV._parameter_constraints.items()
            if name not in ("gcv_mode", "alpha_per_target")
        },
        "class_weight": CLASS_WEIGHT,
        **WATCHING,
    }

    def __init__(
        self,
        alphas: Any = (0.1, 1.0, 10.0),
        *,
        fit_intercept: bool = True,
        scoring: Any = None,
        cv: Any = None,
        class_weight: Any = None,
        store_cv_results: bool = False,
        verbose: int = 0,
        callbacks: Any = None,
    ) -> None:
        super().__init__(
            alphas=alphas,
            fit_intercept=fit_intercept,
            scoring=scoring,
            cv=cv,
            store_cv_results=store_cv_results,
        )
        self.class_weight = class_weight
        self.verbose = verbose
        self.callbacks = callbacks

    @fit_context
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | float | None = None,
        **params: Any,
    ) -> "RidgeClassifierCV":
        """Choose the strength and fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows in parts are what ``fastgd.datasets.open`` returns, or a collection of Dask's.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels; or, with more than one for a row, a table of zeros and ones.
        sample_weight : float or array-like of shape (n_samples,), default=None
        **params : dict
            For the scorer, if metadata routing is enabled.

        Returns
        -------
        self : RidgeClassifierCV

        Raises
        ------
        ValueError
            If an alpha is not > 0, or parameters contradict each other.
        """
        _raise_for_params(params, self, "fit")
        with watched(GridWatch, self), or_as_before(self):
            alphas = self._checked_alphas()
            if is_in_parts(X):
                self._fit_labels_in_parts(shards_of(X, y, sample_weight), alphas)
                return self
            y = dense_labels(y)
            X, y = check_X_y(self, X, y, reset=True, dtype=FLOATS, multi_output=True)
            self._label_binarizer, y, Y = binarized(y)
            self.classes_ = self._label_binarizer.classes_
            weight = check_weight(sample_weight, X, np.float64)
            _refuse_negative(weight)
            weight = weights_of_labels(self.class_weight, y, weight)
            whole = weight if weight.shape[0] > 0 else np.ones(X.shape[0])
            self._fit_rows(X, (y, Y), weight, alphas, whole, params)
        return self

    def _fit_labels_in_parts(self, shards: Shards, alphas: NDArray[np.float64]) -> None:
        moments = look_for_products(shards, classifies=True)
        labels, counts, masses = moments.labels()
        self._label_binarizer, self.classes_, columns = binarized(labels)
        factors = factors_of_counts(self.class_weight, labels, counts)
        refuse_nothing_left(masses * factors)
        units = units_of_columns(moments, alphas)
        center = float(self.fit_intercept) * units.of_rows(moments.mean)
        frame = Frame(center, np.zeros(columns.shape[1]), labels, factors, columns, units)
        self._fit_summed(shards, moments, frame, alphas)

    def _judge_of_predictions(self, y: NDArray[Any], is_weighted: bool) -> Any:
        if np.ndim(y) != 1 or self.classes_.shape[0] < 2:
            return None

        def shaped(raw: NDArray[Any]) -> NDArray[Any]:
            return raw[:, 0] if raw.shape[1] == 1 else raw

        model = _IdentityClassifier(self.classes_)
        if self.scoring is None:
            return lambda raw, truth, s: accuracy_score(
                truth, model.predict(shaped(raw)), sample_weight=s
            )
        scorer = self._get_scorer()
        if not _is_of_predictions(scorer, is_weighted):
            return None
        return lambda raw, truth, s: scorer(
            model, shaped(raw), truth, **({} if s is None else {"sample_weight": s})
        )

    def _get_scorer_instance(self) -> Any:
        return get_scorer("accuracy")


def _refuse_negative(weight: NDArray[Any]) -> None:
    if np.any(weight < 0.0):
        raise ValueError(f"sample_weight must not be negative, got {weight.min()}.")
    refuse_extreme_weight(weight)
