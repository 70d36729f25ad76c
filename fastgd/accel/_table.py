"""Which of scikit-learn's classes fastgd stands in for: one row each.

A row says how the parameters of scikit-learn's estimator become those of fastgd's, what is left to
scikit-learn and why, which fitted attributes are written back, and from how many entries of X on
fastgd is faster. To add a class, add a row to ``STANDS``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from fastgd.accel import _parameters as p
from fastgd.accel import _refusals as r
from fastgd.accel import _rehearsal as rehearsal
from fastgd.accel import _results as w
from fastgd.accel._call import Call

LINEAR, SVM = "sklearn.linear_model", "sklearn.svm"
FITTED = ("coef_", "intercept_", "n_iter_")
GRID = ("Cs_", "C_", "l1_ratios_", "l1_ratio_", "scores_", "coefs_paths_")

Refusal = Callable[[Call], str | None]


class Stand(NamedTuple):
    """What stands in for one of scikit-learn's classes.

    name : of the class, in scikit-learn and in fastgd
    least : entries of X from which on fastgd is faster
    module : of scikit-learn
    attributes : what is copied from fastgd's fitted estimator to scikit-learn's
    parameters : from a call to the arguments of fastgd's estimator
    refusals : each returns the reason for which a call is left to scikit-learn, or None
    finish : sets what else scikit-learn's fitted estimator has
    methods : that go to fastgd
    in_float64 : whether scikit-learn computes in float64 whatever X is
    rehearses : tells of a call whether scikit-learn may warn of its parameters
    slower : returns why scikit-learn is faster whatever the size of X, or None; like ``least``, it
        counts for nothing where the user has said from which size on fastgd is asked
    """

    name: str
    least: int
    module: str = LINEAR
    attributes: tuple[str, ...] = FITTED
    parameters: Callable[[Call], dict[str, Any]] = p.solved
    refusals: tuple[Refusal, ...] = (r.stops_early,)
    finish: Callable[[Call, Any], None] = w.as_scalars
    methods: tuple[str, ...] = ("fit",)
    in_float64: bool = False
    rehearses: Callable[[Call], bool] = rehearsal.never
    slower: Refusal = r.nothing


def _net(name: str, least: int, finish: Callable[[Call, Any], None] = w.as_scalars) -> Stand:
    """Return the row of a linear model with an l1 penalty."""
    refusals = (r.no_penalty, r.own_gram, r.unchecked, r.goes_on, r.stops_early)
    return Stand(name, least, LINEAR, (*FITTED, "dual_gap_"), p.solved, refusals, finish)


def _path(name: str, least: int, *attributes: str) -> Stand:
    """Return the row of a class that chooses a strength of l1 by cross-validation."""
    found = ("alpha_", "alphas_", "mse_path_", *FITTED, "dual_gap_", *attributes)
    refusals = (r.routed, r.one_time_folds, r.own_gram, r.stops_early)
    row = Stand(name, least, LINEAR, found, p.path, refusals)
    return row._replace(rehearses=rehearsal.for_path)


def _ridge(name: str, least: int, finish: Callable[[Call, Any], None]) -> Stand:
    """Return the row of a ridge regression."""
    refusals = (r.no_penalty, r.ridge_solver, r.stops_early)
    return Stand(name, least, LINEAR, FITTED, p.ridge, refusals, finish)


def _ridge_cv(name: str, least: int, finish: Callable[[Call, Any], None]) -> Stand:
    """Return the row of a ridge regression whose strength is chosen by cross-validation."""
    found = ("alpha_", "best_score_", "coef_", "intercept_", "cv_results_")
    refusals = (r.routed, r.one_time_folds, r.ridge_cv)
    return Stand(name, least, LINEAR, found, p.chosen, refusals, finish)


def _liblinear(name: str, least: int, *attributes: str) -> Stand:
    """Return the row of a support vector machine."""
    refusals = (r.liblinear_combination, r.stops_early)
    row = Stand(name, least, SVM, (*attributes, *FITTED), p.piecewise, refusals, w.liblinear)
    return row._replace(in_float64=True)


def _stochastic(name: str, least: int, intercept: str = "intercept_") -> Stand:
    """Return the row of a class that scikit-learn fits by stochastic gradient descent."""
    found = ("coef_", intercept, "n_iter_", "t_", "classes_")
    unlike = (r.early_stopping, r.average, r.sparse_rows)
    refusals = (*unlike, r.negative_power, r.many_targets, r.further_calls)
    row = Stand(name, least, LINEAR, found, p.stochastic, refusals, w.stochastic)
    return row._replace(methods=("fit", "partial_fit"))


def _generalised(name: str) -> Stand:
    """Return the row of a generalised linear model."""
    return Stand(name, 500, finish=w.generalised, slower=r.like_columns)


STANDS = (
    Stand(
        "LogisticRegression",
        500,
        attributes=("classes_", *FITTED),
        parameters=p.logistic,
        refusals=(r.liblinear_data, r.one_vs_rest, r.stops_early),
        rehearses=rehearsal.for_logistic,
    ),
    Stand(
        "LogisticRegressionCV",
        500,
        attributes=("classes_", *FITTED, *GRID),
        parameters=p.logistic_cv,
        refusals=(
            *(r.routed, r.one_time_folds, r.own_scorer),
            *(r.liblinear_folds, r.one_vs_rest, r.stops_early),
        ),
        in_float64=True,
        rehearses=rehearsal.always,
    ),
    Stand(
        "LinearRegression",
        20_000,
        attributes=("coef_", "intercept_"),
        parameters=p.least_squares,
        refusals=(r.least_squares,),
        finish=w.least_squares,
    ),
    Stand(
        "HuberRegressor",
        500,
        attributes=(*FITTED, "scale_", "outliers_"),
        in_float64=True,
    ),
    Stand(
        "QuantileRegressor",
        25_000,
        parameters=p.piecewise,
        refusals=(r.linprog,),
        in_float64=True,
    ),
    _generalised("PoissonRegressor"),
    _generalised("GammaRegressor"),
    _generalised("TweedieRegressor"),
    _ridge("Ridge", 20_000, w.ridge),
    _ridge("RidgeClassifier", 100_000, w.ridge_classifier),
    _ridge_cv("RidgeCV", 20_000, w.as_scalars),
    _ridge_cv("RidgeClassifierCV", 100_000, w.labels),
    _net("Lasso", 50_000),
    _net("ElasticNet", 50_000),
    _net("MultiTaskLasso", 200_000, w.tasks),
    _net("MultiTaskElasticNet", 200_000, w.tasks),
    _path("LassoCV", 500),
    _path("ElasticNetCV", 500, "l1_ratio_"),
    _path("MultiTaskLassoCV", 500),
    _path("MultiTaskElasticNetCV", 500, "l1_ratio_"),
    _liblinear("LinearSVC", 2_000, "classes_"),
    _liblinear("LinearSVR", 50_000),
    _stochastic("SGDClassifier", 100_000),
    _stochastic("SGDRegressor", 100_000),
    _stochastic("SGDOneClassSVM", 100_000, "offset_"),
    _stochastic("Perceptron", 500_000),
    _stochastic("PassiveAggressiveClassifier", 500_000),
    _stochastic("PassiveAggressiveRegressor", 500_000),
)
