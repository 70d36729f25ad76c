"""Linear models."""

from typing import TYPE_CHECKING, Any

from fastgd._on_demand import Names

if TYPE_CHECKING:
    from fastgd.linear_model._glm import GammaRegressor, PoissonRegressor, TweedieRegressor
    from fastgd.linear_model._linear import ElasticNet, Lasso, LinearRegression, Ridge
    from fastgd.linear_model._logistic import LogisticRegression, SoftmaxRegression
    from fastgd.linear_model._logistic_cv import LogisticRegressionCV
    from fastgd.linear_model._paths import (
        ElasticNetCV,
        LassoCV,
        MultiTaskElasticNet,
        MultiTaskElasticNetCV,
        MultiTaskLasso,
        MultiTaskLassoCV,
        enet_path,
        lasso_path,
    )
    from fastgd.linear_model._perceptron import (
        PassiveAggressiveClassifier,
        PassiveAggressiveRegressor,
        Perceptron,
    )
    from fastgd.linear_model._ridge_classifier import RidgeClassifier
    from fastgd.linear_model._ridge_cv import RidgeClassifierCV, RidgeCV
    from fastgd.linear_model._robust import HuberRegressor, QuantileRegressor
    from fastgd.linear_model._sgd_classifier import SGDClassifier
    from fastgd.linear_model._sgd_one_class import SGDOneClassSVM
    from fastgd.linear_model._sgd_regressor import SGDRegressor
    from fastgd.linear_model._svm import LinearSVC, LinearSVR

__all__ = [
    "ElasticNet",
    "ElasticNetCV",
    "GammaRegressor",
    "HuberRegressor",
    "Lasso",
    "LassoCV",
    "LinearRegression",
    "LinearSVC",
    "LinearSVR",
    "LogisticRegression",
    "LogisticRegressionCV",
    "MultiTaskElasticNet",
    "MultiTaskElasticNetCV",
    "MultiTaskLasso",
    "MultiTaskLassoCV",
    "PassiveAggressiveClassifier",
    "PassiveAggressiveRegressor",
    "Perceptron",
    "PoissonRegressor",
    "QuantileRegressor",
    "Ridge",
    "RidgeCV",
    "RidgeClassifier",
    "RidgeClassifierCV",
    "SGDClassifier",
    "SGDOneClassSVM",
    "SGDRegressor",
    "SoftmaxRegression",
    "TweedieRegressor",
    "enet_path",
    "lasso_path",
]

_names = Names(
    __name__,
    {
        "_glm": ("GammaRegressor", "PoissonRegressor", "TweedieRegressor"),
        "_linear": ("ElasticNet", "Lasso", "LinearRegression", "Ridge"),
        "_logistic": ("LogisticRegression", "SoftmaxRegression"),
        "_logistic_cv": ("LogisticRegressionCV",),
        "_paths": (
            "ElasticNetCV",
            "LassoCV",
            "MultiTaskElasticNet",
            "MultiTaskElasticNetCV",
            "MultiTaskLasso",
            "MultiTaskLassoCV",
            "enet_path",
            "lasso_path",
        ),
        "_perceptron": ("PassiveAggressiveClassifier", "PassiveAggressiveRegressor", "Perceptron"),
        "_ridge_classifier": ("RidgeClassifier",),
        "_ridge_cv": ("RidgeClassifierCV", "RidgeCV"),
        "_robust": ("HuberRegressor", "QuantileRegressor"),
        "_sgd_classifier": ("SGDClassifier",),
        "_sgd_one_class": ("SGDOneClassSVM",),
        "_sgd_regressor": ("SGDRegressor",),
        "_svm": ("LinearSVC", "LinearSVR"),
    },
)


def __getattr__(name: str) -> Any:
    """Import the one estimator that is asked for: each brings its solvers and kernels."""
    return _names.found(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
