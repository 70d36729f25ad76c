"""Which of scikit-learn's classes fastgd stands in for: one row each.

A row says how the parameters of scikit-learn's estimator become those of fastgd's, what is left to
scikit-learn and why, which fitted attributes are written back, and from how many entries of X on
fastgd is faster. To add a class, add a row to ``STANDS``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from fastgd.accel import _parameters as p
from fastgd.accel import _refusals as r
from fastgd.accel import _results as w
from fastgd.accel._call import Call

LINEAR, SVM, NEURAL = "sklearn.linear_model", "sklearn.svm", "sklearn.neural_network"
FITTED = ("coef_", "intercept_", "n_iter_")

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
    """

    name: str
    least: int
    module: str = LINEAR
    attributes: tuple[str, ...] = FITTED
    parameters: Callable[[Call], dict[str, Any]] = p.solved
    refusals: tuple[Refusal, ...] = ()
    finish: Callable[[Call, Any], None] = w.as_scalars
    methods: tuple[str, ...] = ("fit",)
    in_float64: bool = False


def _stochastic(name: str, *refusals: Refusal, intercept: str = "intercept_") -> Stand:
    """Return the row of a class that scikit-learn fits by stochastic gradient descent."""
    attributes = ("coef_", intercept, "n_iter_", "t_", "classes_")
    shared = (r.early_stopping, r.average, r.negative_power, r.many_targets, r.further_calls)
    row = Stand(name, 20_000, LINEAR, attributes, p.stochastic, (*shared, *refusals), w.stochastic)
    return row._replace(methods=("fit", "partial_fit"))


def _liblinear(name: str, *attributes: str) -> Stand:
    """Return the row of a support vector machine."""
    row = Stand(name, 2_000, SVM, (*attributes, *FITTED), finish=w.liblinear, in_float64=True)
    return row._replace(refusals=(r.stops_early, r.liblinear_combination))


_NET = (r.no_penalty, r.own_gram, r.unchecked, r.stops_early)
_CHOSEN = ("alpha_", "coef_", "intercept_", "n_iter_", "dual_gap_", "alphas_", "mse_path_")
_RIDGE = (r.no_penalty, r.ridge_on_sparse, r.stops_early)
_RIDGE_CV = ("alpha_", "best_score_", "coef_", "intercept_", "cv_results_")
_GLM = (r.stops_early,)

STANDS = (
    Stand(
        "LogisticRegression",
        0,
        attributes=("classes_", *FITTED),
        parameters=p.logistic,
        refusals=(r.penalised_intercept, r.more_classes_than_liblinear, r.stops_early),
    ),
    Stand(
        "LinearRegression",
        20_000,
        attributes=("coef_", "intercept_"),
        parameters=p.least_squares,
        refusals=(r.least_squares,),
    ),
    Stand("Ridge", 50_000, parameters=p.ridge, refusals=_RIDGE, finish=w.ridge),
    Stand(
        "RidgeClassifier", 50_000, parameters=p.ridge, refusals=_RIDGE, finish=w.ridge_classifier
    ),
    Stand("Lasso", 20_000, attributes=(*FITTED, "dual_gap_"), refusals=_NET),
    Stand("ElasticNet", 20_000, attributes=(*FITTED, "dual_gap_"), refusals=_NET),
    Stand(
        "MultiTaskLasso", 20_000, attributes=(*FITTED, "dual_gap_"), refusals=_NET, finish=w.tasks
    ),
    Stand(
        "MultiTaskElasticNet",
        20_000,
        attributes=(*FITTED, "dual_gap_"),
        refusals=_NET,
        finish=w.tasks,
    ),
    Stand(
        "HuberRegressor",
        2_000,
        attributes=(*FITTED, "scale_", "outliers_"),
        refusals=_GLM,
        in_float64=True,
    ),
    Stand("QuantileRegressor", 2_000, refusals=(r.linprog, r.stops_early), in_float64=True),
    Stand("PoissonRegressor", 2_000, refusals=_GLM, finish=w.generalised),
    Stand("GammaRegressor", 2_000, refusals=_GLM, finish=w.generalised),
    Stand("TweedieRegressor", 2_000, refusals=_GLM, finish=w.generalised),
    _liblinear("LinearSVC", "classes_"),
    _liblinear("LinearSVR"),
    Stand("RidgeCV", 20_000, LINEAR, _RIDGE_CV, p.chosen, (r.routed,)),
    Stand("RidgeClassifierCV", 20_000, LINEAR, _RIDGE_CV, p.chosen, (r.routed,), w.labels),
    Stand("LassoCV", 2_000, LINEAR, _CHOSEN, p.path, (r.routed, r.own_gram, r.stops_early)),
    Stand(
        "ElasticNetCV",
        2_000,
        attributes=(*_CHOSEN, "l1_ratio_"),
        parameters=p.path,
        refusals=(r.routed, r.own_gram, r.stops_early),
    ),
    Stand("MultiTaskLassoCV", 2_000, LINEAR, _CHOSEN, p.path, (r.routed, r.stops_early)),
    Stand(
        "MultiTaskElasticNetCV",
        2_000,
        attributes=(*_CHOSEN, "l1_ratio_"),
        parameters=p.path,
        refusals=(r.routed, r.stops_early),
    ),
    _stochastic("SGDClassifier"),
    _stochastic("SGDRegressor"),
    _stochastic("SGDOneClassSVM", intercept="offset_"),
    _stochastic("Perceptron"),
    _stochastic("PassiveAggressiveClassifier"),
    _stochastic("PassiveAggressiveRegressor"),
)
