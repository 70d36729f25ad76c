"""LogisticRegressionCV: the strength of the penalty, and l1's share in it, by cross-validation."""

import inspect
from collections.abc import Callable, Sequence
from numbers import Integral, Number
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, get_scorer, get_scorer_names, make_scorer
from sklearn.metrics._scorer import _Scorer
from sklearn.model_selection import check_cv
from sklearn.utils import metadata_routing
from sklearn.utils._metadata_requests import (
    MetadataRouter,
    MethodMapping,
    _raise_for_params,
    _routing_enabled,
    process_routing,
)
from sklearn.utils._param_validation import Hidden, Interval, StrOptions
from sklearn.utils.validation import _check_method_params

from fastgd._data.parts import fetched, is_in_parts, shards_of
from fastgd._data.validation import check_X_y, fit_context, in_dtype, inverse_strength
from fastgd._monitoring.observer import Silenced
from fastgd._monitoring.undo import or_as_before
from fastgd._monitoring.watching import Given, GridWatch, watched
from fastgd._runtime.devices import is_on_device, to_host
from fastgd._runtime.threads import in_threads, one_blas_thread, threads
from fastgd._runtime.warned import warn
from fastgd._solvers._auto import SOLVERS, choose, solve
from fastgd._solvers._folds import FoldFit, folds_of
from fastgd._solvers._sharded import ShardedTask
from fastgd._solvers._task import Options, Solution, State, Task, dtype_of
from fastgd.linear_model._logistic import LogisticRegression
from fastgd.linear_model._logistic_cv_parts import LogisticCVOfParts
from fastgd.linear_model._parameters import _check_logistic_solver, check_number_of_classes
from fastgd.linear_model._solved import FLOATS, level_of_the_user

CONSTRAINTS = LogisticRegression._parameter_constraints
ROWS_AT_ONCE = 4096
MOST_BETWEEN = 3.0  # rows that are read for each that is predicted, before a copy is cheaper
WORTH_THREADS = 1 << 22  # multiplications
UNKNOWN = "warn"  # what defaults are until scikit-learn has changed them


class Grid(NamedTuple):
    """What is tried, and what came of it.

    Cs, l1_ratios : the grid's sides; a share of None counts as that of ``penalty``
    shares : l1's share in the penalty, for each of ``l1_ratios``
    coefs : (n_folds, n_l1_ratios, n_Cs, K, n_dof), the intercept last if there is one
    scores, n_iter : (n_folds, n_l1_ratios, n_Cs); NaN and -1 where a stop came first
    """

    Cs: NDArray[Any]
    l1_ratios: Sequence[Any]
    shares: list[float]
    coefs: NDArray[Any]
    scores: NDArray[Any]
    n_iter: NDArray[Any]


class Fold(NamedTuple):
    """The indices of the rows that are fitted, and of those that are predicted."""

    fit: NDArray[Any]
    held_out: NDArray[Any]


class LogisticRegressionCV(LogisticCVOfParts, LogisticRegression):
    """``LogisticRegression`` whose ``C``, and l1's share, are chosen by cross-validation.

    Parameters, attributes and the choice are scikit-learn's, and so are the defaults but for
    ``solver`` and ``max_iter``. Folds are weights on the same rows, never copies of them. Each
    begins for one C where it ended for the last; with l2 alone all folds are evaluated in one pass
    over X, and share the metric of their steps.

    Parameters
    ----------
    Cs : int or array-like, default=10
        Inverse strengths of the penalty to try, > 0; a number means as many from 1e-4 to 1e4.
    l1_ratios : array-like of shape (n_l1_ratios,) or None, default="warn"
        Shares of l1 in the penalty to try, in [0, 1]. None, the default until scikit-learn 1.10,
        is deprecated: it means 0, and leaves this dimension out of the attributes.
    fit_intercept : bool, default=True
    cv : int, splitter, iterable or None, default=None
        How folds are made, as in scikit-learn; None is 5, stratified.
    dual : bool, default=False
        Not needed, as in ``LogisticRegression``.
    penalty : {"l1", "l2", "elasticnet"}, default="deprecated"
        As in scikit-learn, which deprecates it: use ``l1_ratios``.
    scoring : str, callable or None, default="warn"
        What the choice maximises; None, the default until scikit-learn 1.11, is the accuracy.
    solver : {"auto", "gd", "saga", "sdca"}, default="auto"
        As in ``LogisticRegression``, and scikit-learn's names likewise.
    tol : float, default=1e-4
        Of the last fit as in ``LogisticRegression``: the largest relative suboptimality. Fits of
        folds end within about ``tol`` times a twentieth of the loss of a model without columns, or
        within ``tol`` of their own objective.
    max_iter : int, default=1000
        Passes over the data at most, for each fit.
    class_weight : dict or "balanced", default=None
        Factors of the sample weights, by class; those of "balanced" are all rows'.
    n_jobs : int or None, default=None
        Threads, for folds and for passes over X; results do not depend on it. As in
        ``LogisticRegression``.
    verbose : int, default=0
        1 shows a bar over the grid, 2 or more writes a line for each strength through ``logging``.
    refit : bool, default=True
        Fit all rows with the strength of the best mean score. False: take the mean of the folds'
        coefficients, and of their strengths, each at its own best score.
    intercept_scaling : float, default=1.0
        As in ``LogisticRegression``: with ``solver="liblinear"``, which penalises the intercept.
    random_state : int, RandomState instance or None, default=None
        Seeds samples and the order of rows; None is a fixed seed. Not that of the folds.
    use_legacy_attributes : bool, default="warn"
        True, the default until scikit-learn 1.10, has the attributes by class, as below; False has
        a float for ``C_`` and ``l1_ratio_``, and arrays of shape (n_folds, n_l1_ratios, n_Cs),
        with (n_classes, n_dof) behind for ``coefs_paths_``, for the others.
    callbacks : list or None, default=None
        What is done after each strength of the grid: objects of ``fastgd.callbacks``, or functions
        of a view of the fit (docs/watching.md). ``view.history`` has "C", "l1_ratio" and "score",
        the mean over folds; ``view.stop()`` leaves the choice to the strengths so far.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features), in the dtype of X
    intercept_ : ndarray of shape (1,) or (n_classes,)
    Cs_ : ndarray of shape (n_Cs,)
    l1_ratios_ : ndarray of shape (n_l1_ratios,)
    C_, l1_ratio_ : ndarray of shape (n_classes,), (1,) for two classes
        The choice, repeated.
    coefs_paths_ : dict of class to ndarray of shape (n_folds, n_Cs, n_dof) or \
(n_folds, n_Cs, n_l1_ratios, n_dof)
        The folds' coefficients, the intercept last. Two classes have one entry, the second's.
    scores_ : dict of class to ndarray of shape (n_folds, n_Cs) or (n_folds, n_Cs, n_l1_ratios)
    n_iter_ : ndarray of shape (1, n_folds, n_Cs) or (1, n_folds, n_Cs, n_l1_ratios)
        Passes over the data.
    objective_, gap_, solver_ : as in ``LogisticRegression``, of the last fit; with ``refit``
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from fastgd import LogisticRegressionCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = LogisticRegressionCV(
    ...     l1_ratios=(0,), scoring="neg_log_loss", use_legacy_attributes=False
    ... ).fit(X, y)
    >>> model.scores_.shape
    (5, 1, 10)
    >>> model.score(X, y) > -0.1
    True
    """

    _watch: GridWatch  # type: ignore[assignment]
    C_: Any
    l1_ratio_: Any
    scores_: Any
    coefs_paths_: Any
    n_iter_: Any

    __metadata_request__score: ClassVar[dict[str, Any]] = {"sample_weight": metadata_routing.UNUSED}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{
            name: allowed
            for name, allowed in CONSTRAINTS.items()
            if name not in ("C", "warm_start", "l1_ratio")
        },
        "Cs": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "l1_ratios": ["array-like", None, Hidden(StrOptions({UNKNOWN}))],
        "cv": ["cv_object"],
        "scoring": [
            StrOptions(set(get_scorer_names())),
            callable,
            None,
            Hidden(StrOptions({UNKNOWN})),
        ],
        "refit": ["boolean"],
        "penalty": [
            StrOptions({"l1", "l2", "elasticnet"}),
            Hidden(StrOptions({"deprecated"})),
        ],
        "use_legacy_attributes": ["boolean", Hidden(StrOptions({UNKNOWN}))],
    }

    def __init__(
        self,
        *,
        Cs: Any = 10,
        l1_ratios: Any = UNKNOWN,
        fit_intercept: bool = True,
        cv: Any = None,
        dual: bool = False,
        penalty: Any = "deprecated",
        scoring: Any = UNKNOWN,
        solver: str = "auto",
        tol: float = 1e-4,
        max_iter: int = 1000,
        class_weight: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        refit: bool = True,
        intercept_scaling: float = 1.0,
        random_state: Any = None,
        use_legacy_attributes: Any = UNKNOWN,
        callbacks: Any = None,
    ) -> None:
        self.Cs = Cs
        self.l1_ratios = l1_ratios
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.dual = dual
        self.penalty = penalty
        self.scoring = scoring
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.solver = solver
        self.refit = refit
        self.intercept_scaling = intercept_scaling
        self.random_state = random_state
        self.use_legacy_attributes = use_legacy_attributes
        self.callbacks = callbacks

    @fit_context
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        **params: Any,
    ) -> "LogisticRegressionCV":
        """Choose the strength and fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows in parts are what ``fastgd.datasets.open`` returns, or a collection of Dask's.
            float32 and float64 in C order, and CSR, are used without a copy.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; none means 1 each. Scores are weighted as well.
        **params : dict
            For the splitter and the scorer, if metadata routing is enabled.

        Returns
        -------
        self : LogisticRegressionCV

        Raises
        ------
        ValueError
            If X or y do not fit each other or hold what is no number, if y has one class only, if
            a fold has no row to fit or to predict, or if a parameter is unknown or contradicts
            another one. The model is left as it was.
        """
        _raise_for_params(params, self, "fit")
        ratios, shares, scoring, is_legacy = self._meant()
        with watched(GridWatch, self) as watch, or_as_before(self), threads(self.n_jobs):
            if is_in_parts(X):
                of_parts = shards_of(X, y, sample_weight), ratios, shares, scoring
                grid, refit, dtype = self._fit_parts(*of_parts)
                self._choose(grid, dtype, refit, is_legacy=is_legacy)
                self._report_grid(grid)
                return self
            X, y = check_X_y(self, X, y, reset=True, dtype=FLOATS)
            self.classes_, codes = self._check_labels(y)
            check_number_of_classes(self.solver, self.classes_.shape[0])
            splitting, judging = self._routed(sample_weight, params)
            rows, splits = np.arange(X.shape[0]), check_cv(self.cv, y, classifier=True)
            folds = [Fold(rows[a], rows[b]) for a, b in splits.split(X, y, **splitting)]
            weight = self._weight_of_rows(sample_weight, X, y, self.classes_, codes)
            judge = _Judge(self, scoring, X, y, codes, sample_weight, judging)
            grid = self._empty_grid(ratios, shares, len(folds), X.shape[1])
            watch.begin_grid(Given(X, y, sample_weight), grid.scores[0].size, self._write(grid))
            self._try(grid, folds, judge, (X, codes, weight))

            def refit_rows(r: int, c: int) -> Solution:
                return self._refit(grid, (r, c), (X, codes, weight))

            self._choose(grid, X.dtype, refit_rows, is_legacy=is_legacy)
            self._report_grid(grid)
        return self

    def score(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, **score_params: Any
    ) -> float:
        """Return the score that ``scoring`` names.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; none means 1 each.
        **score_params : dict
            For the scorer, if metadata routing is enabled.

        Returns
        -------
        float
        """
        _raise_for_params(score_params, self, "score")
        own = dict(score_params)
        # a function of the user's own may look at the rows itself
        rows = to_host(X) if callable(self.scoring) and is_on_device(X) else X
        X, y, sample_weight = fetched(rows, y, sample_weight)
        if sample_weight is not None:
            own["sample_weight"] = sample_weight
        if _routing_enabled():
            own = process_routing(self, "score", **own).scorer.score
        return float(self._get_scorer()(self, X, y, **own))

    def get_metadata_routing(self) -> MetadataRouter:
        """Return what metadata goes to the splitter and to the scorer.

        Returns
        -------
        MetadataRouter
        """
        of_fit = MethodMapping().add(caller="fit", callee="score")
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(
                splitter=self.cv,
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
            .add(
                scorer=self._get_scorer(),
                method_mapping=of_fit.add(caller="score", callee="score"),
            )
        )

    def _get_scorer(self) -> Any:
        is_unknown = isinstance(self.scoring, str) and self.scoring == UNKNOWN
        return get_scorer("accuracy" if is_unknown else self.scoring or "accuracy")

    # -- what parameters mean ---------------------------------------------------------------------

    def _meant(self) -> tuple[Sequence[Any] | None, list[float], Any, bool]:
        """Return l1_ratios (None leaves their dimension out), shares, scoring, and the layout."""
        ratios = self.l1_ratios
        if isinstance(ratios, str) and ratios == UNKNOWN:
            ratios = None
            _warn_of_change(
                "The default value for l1_ratios will change from None to (0.0,) in version 1.10 "
                "of scikit-learn, which will forbid None. To avoid this warning, explicitly set a "
                "value, e.g. l1_ratios=(0,)."
            )
        elif ratios is None and self.penalty == "deprecated":
            _warn_of_change(
                "'l1_ratios=None' was deprecated in version 1.8 of scikit-learn and will trigger "
                "an error in 1.10. Use an array-like with values in [0, 1] instead."
            )
        penalty = self._penalty_of(ratios)
        _check_logistic_solver(self.solver, penalty, is_dual=bool(self.dual))
        scoring, legacy = self.scoring, self.use_legacy_attributes
        if isinstance(scoring, str) and scoring == UNKNOWN:
            scoring = None
            _warn_of_change(
                "The default value of the parameter 'scoring' will change from None, i.e. "
                "accuracy, to 'neg_log_loss' in version 1.11 of scikit-learn. To silence this "
                "warning, explicitly set the scoring parameter: scoring='neg_log_loss' for the "
                "new, scoring='accuracy' or scoring=None for the old default."
            )
        if isinstance(legacy, str) and legacy == UNKNOWN:
            legacy = True
            _warn_of_change(
                f"The fitted attributes of {type(self).__name__} will be simplified in "
                "scikit-learn 1.10 to remove redundancy. Set `use_legacy_attributes=False` to "
                "enable the new behavior now, or set it to `True` to silence this warning. The "
                "default value of use_legacy_attributes will change from True to False in "
                "scikit-learn 1.10."
            )
        return ratios, self._shares(ratios, penalty), scoring, bool(legacy)

    def _penalty_of(self, ratios: Any) -> str:
        if self.penalty != "deprecated":
            _warn_of_change(
                "'penalty' was deprecated in version 1.8 of scikit-learn and will be removed in "
                "1.10. To avoid this warning, leave 'penalty' set to its default value and use "
                "'l1_ratios' and 'Cs' instead. Use l1_ratios=(0,) instead of penalty='l2', "
                "l1_ratios=(1,) instead of penalty='l1', l1_ratios set to floats between 0 and 1 "
                "instead of penalty='elasticnet', and Cs=(np.inf,) instead of penalty=None."
            )
            return str(self.penalty)
        if ratios is None or np.all(np.asarray(ratios) == 0):
            return "l2"
        return "l1" if np.all(np.asarray(ratios) == 1) else "elasticnet"

    def _shares(self, ratios: Any, penalty: str) -> list[float]:
        """Return l1's share in the penalty for each of ``l1_ratios``."""
        if penalty != "elasticnet":
            if ratios is not None and self.penalty != "deprecated":
                warn(
                    "l1_ratios parameter is only used when penalty is 'elasticnet'. Got "
                    f"(penalty={penalty})",
                    UserWarning,
                    stacklevel=level_of_the_user(),
                )
            return [float(penalty == "l1")] * (1 if ratios is None else len(ratios))
        allowed = ratios is not None and len(ratios) > 0
        if not allowed or any(not isinstance(r, Number) or not 0 <= r <= 1 for r in ratios):  # type: ignore[operator]
            raise ValueError(
                f"l1_ratios must be an array-like of numbers between 0 and 1; got "
                f"(l1_ratios={ratios!r})"
            )
        return [float(r) for r in ratios]

    def _routed(
        self, sample_weight: Any, params: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what goes to the splitter, and to the scorer."""
        if _routing_enabled():
            routed = process_routing(self, "fit", sample_weight=sample_weight, **params)
            return routed.splitter.split, routed.scorer.score
        weighted = {} if sample_weight is None else {"sample_weight": sample_weight}
        return {}, {**params, **weighted}

    def _empty_grid(
        self, ratios: Sequence[Any] | None, shares: list[float], n_folds: int, d: int
    ) -> Grid:
        if isinstance(self.Cs, Integral):
            Cs = np.logspace(-4, 4, int(self.Cs))
        else:
            Cs = np.asarray(self.Cs)
            if Cs.ndim != 1 or Cs.shape[0] == 0 or not np.all(Cs > 0.0):
                raise ValueError(f"Cs must be a number or 1-d, of numbers > 0, got {self.Cs!r}.")
        K = self.classes_.shape[0] if self.classes_.shape[0] > 2 else 1
        shape = (n_folds, len(shares), Cs.shape[0])
        coefs = np.zeros((*shape, K, d + bool(self.fit_intercept)))
        given = [None] if ratios is None else ratios
        return Grid(Cs, given, shares, coefs, np.full(shape, np.nan), np.full(shape, -1, np.int32))

    # -- the grid ---------------------------------------------------------------------------------

    def _try(
        self, grid: Grid, folds: list[Fold], judge: "_Judge", data: tuple[Any, Any, Any]
    ) -> None:
        """Fit and score all folds for each strength, the strongest penalty first."""
        X, codes, weight = data
        whole = weight if weight.shape[0] > 0 else np.ones(X.shape[0])
        weights = np.array([_counted(fold.fit, whole, "fit") for fold in folds])
        for fold in folds:
            _counted(fold.held_out, np.ones(X.shape[0]), "predict")
        masses, asked = weights.sum(axis=1), self.solver if self.solver in SOLVERS else "auto"
        options = Options(float(self.tol), int(self.max_iter), self._seed(), Silenced(self._watch))
        order, self._unfinished = np.argsort(grid.Cs, kind="stable"), []
        weakest = float(grid.Cs.max()) * float(masses.max())
        for r, share in enumerate(grid.shares):
            if self._watch.stops:
                break
            least = inverse_strength(weakest, 1.0)
            penalty = share * least, (1.0 - share) * least
            task = self._problem(X, codes, np.empty(0), self.classes_, penalty)
            paths = folds_of(task, weights, options, asked)
            for c in order:
                strength = np.array([inverse_strength(grid.Cs[c], mass) for mass in masses])
                fits = paths.at(share * strength, (1.0 - share) * strength)
                self._take_fits(grid, (r, int(c)), fits)
                figures = {"C": grid.Cs[c]}
                if judge.is_at_once:
                    grid.scores[:, r, c] = judge.scores(folds, grid.coefs[:, r, c], grid.Cs[c])
                    figures["score"] = grid.scores[:, r, c].mean()
                if len(grid.shares) > 1:
                    figures["l1_ratio"] = share
                if self._watch.tried(figures):
                    break
        if not judge.is_at_once:  # in scikit-learn's order, for a scorer may count its calls
            for f, r, c in np.ndindex(grid.scores.shape):
                if grid.n_iter[f, r, c] >= 0:
                    score = judge.score(folds[f].held_out, grid.coefs[f, r, c], grid.Cs[c])
                    grid.scores[f, r, c] = score

    def _take_fits(self, grid: Grid, at: tuple[int, int], fits: list[FoldFit]) -> None:
        """Keep what was found for a strength."""
        for f, fit in enumerate(fits):
            self._take_fit(grid, (f, *at), fit)

    def _take_fit(self, grid: Grid, place: tuple[int, int, int], fit: FoldFit | Solution) -> None:
        """Keep what was found for a fold and a strength."""
        coef, intercept = self._split(fit)
        grid.coefs[place][:, : coef.shape[1]] = coef
        if self.fit_intercept:
            grid.coefs[place][:, -1] = intercept
        grid.n_iter[place] = fit.n_iter
        if not fit.converged:
            self._unfinished.append(int(fit.n_iter))

    # -- the choice -------------------------------------------------------------------------------

    def _write(self, grid: Grid) -> Any:
        """Return what writes the best so far, without a refit, into a copy of the estimator."""

        def write(model: LogisticRegressionCV) -> None:
            r, c = _best(grid.scores.mean(axis=0))
            model._take_mean(grid.coefs[:, r, c])
            model.C_, model.l1_ratio_ = float(grid.Cs[c]), grid.shares[r]

        return write

    def _choose(
        self, grid: Grid, dtype: Any, refit: Callable[[int, int], Solution], *, is_legacy: bool
    ) -> None:
        """Set the choice, the coefficients and the grid's attributes.

        ``refit`` fits all rows for a place in the grid. Its coefficients are in float64 where the
        dtype of X would not be within ``tol``.
        """
        own, is_grid = dtype, grid.l1_ratios[0] is not None
        if self.refit:
            r, c = _best(grid.scores.mean(axis=0))
            C, ratio = grid.Cs[c], grid.l1_ratios[r]
            own = dtype_of([refit(r, c)], dtype)
        else:
            best = [_best(scores) for scores in grid.scores]
            self._take_mean(np.array([grid.coefs[f, r, c] for f, (r, c) in enumerate(best)]))
            C = np.mean([grid.Cs[c] for _, c in best])
            ratio = np.mean([grid.shares[r] for r, _ in best]) if is_grid else 0.0
        self.coef_ = in_dtype(self.coef_, own)
        self.intercept_ = in_dtype(self.intercept_, own)
        self.Cs_, self.l1_ratios_ = grid.Cs, np.asarray(grid.l1_ratios)
        coefs = grid.coefs if dtype == np.float64 else in_dtype(grid.coefs, dtype)
        if is_legacy:
            self._set_by_class(grid, coefs, C, ratio, is_grid=is_grid)
        else:
            self.C_ = float(C)
            self.l1_ratio_ = float(ratio) if is_grid else grid.shares[0]
            self.coefs_paths_, self.scores_, self.n_iter_ = coefs, grid.scores, grid.n_iter

    def _set_by_class(
        self, grid: Grid, coefs: NDArray[Any], C: Any, ratio: Any, *, is_grid: bool
    ) -> None:
        """Set the attributes in the order of scikit-learn before 1.10."""
        names = self.classes_ if self.classes_.shape[0] > 2 else self.classes_[1:]
        if names.dtype.kind == "U":
            names = names.astype(object)  # plain words, which a model file may name
        self.C_, self.l1_ratio_ = np.tile(C, len(names)), np.tile(ratio, len(names))
        scores, n_iter = (np.swapaxes(a, 1, 2) for a in (grid.scores, grid.n_iter))
        paths = np.swapaxes(coefs, 1, 2)  # (n_folds, n_Cs, n_l1_ratios, K, n_dof)
        if not is_grid:
            scores, n_iter, paths = scores[:, :, 0], n_iter[:, :, 0], paths[:, :, 0]
        self.scores_ = {name: scores.copy() for name in names}
        self.coefs_paths_ = {name: paths[..., k, :] for k, name in enumerate(names)}
        self.n_iter_ = n_iter[None]

    def _refit(self, grid: Grid, at: tuple[int, int], data: tuple[Any, Any, Any]) -> Solution:
        """Fit all rows with the chosen strength, from the mean of the folds.

        Where that is a bad start for descent, half of its passes are left to begin without one.
        """
        X, codes, weight = data
        r, c = at
        mass = weight.sum(dtype=np.float64) if weight.shape[0] > 0 else X.shape[0]
        strength, share = inverse_strength(grid.Cs[c], float(mass)), grid.shares[r]
        penalty = share * strength, (1.0 - share) * strength
        task: Task = self._problem(X, codes, weight, self.classes_, penalty)
        start = self._start_of(grid.coefs[:, r, c], task)
        options = Options(float(self.tol), int(self.max_iter), self._seed(), Silenced(self._watch))
        asked = self.solver if self.solver in SOLVERS else "auto"
        solver = choose(task) if asked == "auto" else asked
        most = (options.max_iter + 1) // 2 if solver == "gd" else options.max_iter
        found = solve(task, options._replace(max_iter=most), asked, start)
        rest = options._replace(max_iter=options.max_iter - found.n_iter)
        if not found.converged and rest.max_iter > 0 and not self._watch.stops:
            other = solve(task, rest, asked, None)
            total = found.n_iter + other.n_iter
            is_better = other.converged or other.objective < found.objective
            found = (other if is_better else found)._replace(n_iter=total)
        self._set_last(found)
        self._warn_of_last(found)
        return found

    def _set_last(self, found: Solution) -> None:
        """Set what was found for all rows."""
        coef, intercept = self._split(found)
        self.coef_ = np.ascontiguousarray(coef)
        self.intercept_ = np.asarray(intercept, np.float64)
        self.objective_, self.gap_, self.solver_ = found.objective, found.gap, found.solver

    def _warn_of_last(self, found: Solution) -> None:
        if not found.converged and not self._watch.stops:
            _warn_unfinished(f"{type(self).__name__} {self._reason(found)}")

    def _start_of(self, coefs: NDArray[Any], task: Task | ShardedTask) -> State:
        """Return the mean of the folds' coefficients as the task has them."""
        self._take_mean(coefs)
        coef, intercept = self.coef_, self.intercept_
        if self._penalises_intercept():
            constant = intercept[:, None] / float(self.intercept_scaling)
            coef, intercept = np.hstack([coef, constant]), np.zeros_like(intercept)
        return State(coef, intercept) if task.n_outputs > 1 else State(coef[0], float(intercept[0]))

    def _take_mean(self, coefs: NDArray[Any]) -> None:
        """Set the mean of the folds' coefficients, (n_folds, K, n_dof)."""
        mean = coefs.mean(axis=0)
        d = mean.shape[1] - bool(self.fit_intercept)
        self.coef_ = np.ascontiguousarray(mean[:, :d])
        self.intercept_ = mean[:, d].copy() if self.fit_intercept else np.zeros(mean.shape[0])

    def _report_grid(self, grid: Grid) -> None:
        """Say what is not as good as was asked for, and that the fit has ended."""
        self._refuse_not_finite()
        unfinished = self._unfinished
        del self._unfinished
        watch = self._watch
        if not watch.warn_if_interrupted(f"after {watch.epoch} strengths", 5) and unfinished:
            _warn_unfinished(
                f"{type(self).__name__}: {len(unfinished)} of {grid.scores.size} fits of folds did "
                f"not converge{_why_unfinished(unfinished, self.max_iter)}"
            )
        watch.end()


class _Judge:
    """What scores a fold's coefficients on the rows that it has left out.

    A scorer that asks a model for predictions gets those of raw predictions; X is indexed only for
    one that may look at X itself.
    """

    def __init__(
        self,
        estimator: LogisticRegressionCV,
        scoring: Any,
        X: Any,
        y: NDArray[Any],
        codes: NDArray[np.int32],
        sample_weight: Any,
        params: dict[str, Any],
    ) -> None:
        self._X, self._y, self._codes, self._params = X, y, codes, params
        self._classes, self._has_intercept = estimator.classes_, bool(estimator.fit_intercept)
        self._scorer = _with_labels(get_scorer(scoring), self._classes)
        self._weight: NDArray[Any] | None = None
        self._is_accuracy = scoring is None or _is_plain_accuracy(self._scorer, params)
        if scoring is None and sample_weight is not None:
            self._weight = np.broadcast_to(np.asarray(sample_weight, np.float64), y.shape)
        elif self._is_accuracy and params.get("sample_weight") is not None:
            given = params["sample_weight"]
            self._weight = np.broadcast_to(np.asarray(given, np.float64), y.shape)
        self.is_at_once = self._is_accuracy or isinstance(self._scorer, _Scorer)

    def scores(self, folds: list[Fold], coefs: NDArray[Any], C: float) -> list[float]:
        """Return the score of each fold's coefficients (n_folds, K, n_dof) on its held-out rows.

        Only where a scorer asks for predictions: those are made in threads, and judged in order.
        """
        chosen = [fold.held_out for fold in folds]
        with one_blas_thread():
            if coefs.shape[1] * self._X.shape[0] * self._X.shape[1] < WORTH_THREADS:
                raws = list(map(self._raw, chosen, coefs))
            else:
                raws = in_threads(self._raw, chosen, coefs)
        if self._is_accuracy:
            return list(map(self._accuracy, raws, chosen))
        shaped = [raw if raw.shape[1] > 1 else raw[:, 0] for raw in raws]
        return [self._scored(_OfRaw(C=C), *pair) for pair in zip(shaped, chosen, strict=True)]

    def score(self, chosen: NDArray[Any], coef: NDArray[Any], C: float) -> float:
        """Return the score of a model with coefficients (K, n_dof) on the chosen rows."""
        d, model = self._X.shape[1], LogisticRegression(C=C)
        model.coef_, model.intercept_ = coef[:, :d], self._intercept(coef)
        model.n_features_in_ = d
        return self._scored(model, self._X[chosen], chosen)

    def _scored(self, model: Any, X: Any, chosen: NDArray[Any]) -> float:
        own = _check_method_params(X=self._X, params=self._params, indices=chosen)
        model.classes_ = self._classes
        return float(self._scorer(model, X, self._y[chosen], **own))

    def _intercept(self, coef: NDArray[Any]) -> NDArray[Any]:
        return coef[:, self._X.shape[1]] if self._has_intercept else np.zeros(coef.shape[0])

    def _raw(self, chosen: NDArray[Any], coef: NDArray[Any]) -> NDArray[np.float64]:
        """Return raw predictions (n_chosen, K), a cache's rows of X at a time.

        Rows that lie near each other are read where they are, with those between them: a copy
        takes longer.
        """
        raw, flat = np.empty((chosen.shape[0], coef.shape[0])), coef[:, : self._X.shape[1]].T
        for first in range(0, chosen.shape[0], ROWS_AT_ONCE):
            some = chosen[first : first + ROWS_AT_ONCE]
            low, high = int(some.min()), int(some.max()) + 1
            if high - low <= MOST_BETWEEN * some.shape[0] and not sp.issparse(self._X):
                raw[first : first + ROWS_AT_ONCE] = (self._X[low:high] @ flat)[some - low]
            else:
                raw[first : first + ROWS_AT_ONCE] = self._X[some] @ flat
        return raw + self._intercept(coef)

    def _accuracy(self, raw: NDArray[Any], chosen: NDArray[Any]) -> float:
        right = self._codes[chosen] == (raw.argmax(axis=1) if raw.shape[1] > 1 else raw[:, 0] > 0)
        if self._weight is None:
            return float(right.mean())
        weight = self._weight[chosen]
        return float(right @ weight / weight.sum()) if weight.any() else float("nan")


class _OfRaw(LogisticRegression):
    """A model that is given raw predictions for X."""

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return them."""
        raw: NDArray[Any] = X
        return raw

    def __sklearn_is_fitted__(self) -> bool:
        return True


def _is_plain_accuracy(scorer: Any, params: dict[str, Any]) -> bool:
    """Tell whether a scorer is scikit-learn's accuracy, with nothing but weights."""
    is_accuracy = isinstance(scorer, _Scorer) and scorer._score_func is accuracy_score
    return is_accuracy and not scorer._kwargs and set(params) <= {"sample_weight"}


def _with_labels(scorer: Any, classes: NDArray[Any]) -> Any:
    """Return a scorer that knows the classes: held-out rows need not have all of them."""
    known = inspect.signature(scorer._score_func).parameters if isinstance(scorer, _Scorer) else {}
    if "labels" not in known:
        return scorer
    more = {"labels": classes, **scorer._kwargs}
    if classes.shape[0] <= 2 and "pos_label" in known:
        more = {"pos_label": classes[-1], **more}
    return make_scorer(
        scorer._score_func,
        response_method=scorer._response_method,
        greater_is_better=scorer._sign == 1,
        **more,
    )


def _counted(rows: NDArray[Any], weight: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Return the weights of chosen rows; an index that comes twice counts twice."""
    n = weight.shape[0]
    found = np.bincount(np.arange(n)[rows], minlength=n) * weight
    if not found.any():
        raise ValueError(f"A fold has no row of positive weight to {name}.")
    return np.asarray(found, np.float64)


def _best(scores: NDArray[Any]) -> tuple[int, int]:
    """Return the place of the best score, (n_l1_ratios, n_Cs): of equal ones the first C's."""
    known = np.where(np.isnan(scores), -np.inf, scores).T
    c, r = np.unravel_index(int(np.argmax(known)), known.shape)
    return int(r), int(c)


def _warn_of_change(message: str) -> None:
    warn(message, FutureWarning, stacklevel=level_of_the_user())


def _why_unfinished(n_iter: list[int], max_iter: int) -> str:
    """Say how fits ended that took so many passes, and what helps."""
    n_early = sum(n < max_iter for n in n_iter)
    in_time = (
        f" in max_iter={max_iter} passes. Increase max_iter or tol, or leave out the largest of Cs."
    )
    if n_early == 0:
        return in_time
    early = (
        "found no lower point before max_iter: rounding hides the rest. Increase tol, pass X as "
        "float64, bring its columns to similar scales, or leave out the largest of Cs."
    )
    if n_early == len(n_iter):
        return f": they {early}"
    return f"{in_time} {n_early} of them {early}"


def _warn_unfinished(message: str) -> None:
    warn(message, ConvergenceWarning, stacklevel=level_of_the_user())
