"""A plugin of pytest that puts our estimators in the place of scikit-learn's.

It is loaded by the process that runs a copy of one of scikit-learn's test modules, before that
module is imported, with ``reporting``.
"""

from typing import Any

import pytest
import sklearn.linear_model
import sklearn.svm
from reporting import USED

import fastgd
from fastgd.base import BaseSGD
from fastgd.linear_model._paths import PathModel
from fastgd.linear_model._ridge_cv import BaseRidgeCV
from fastgd.linear_model._solved import SolvedModel

LINEAR = (
    *("RidgeClassifier", "RidgeCV", "RidgeClassifierCV", "Perceptron"),
    *("PassiveAggressiveClassifier", "PassiveAggressiveRegressor"),
    *("LassoCV", "ElasticNetCV", "MultiTaskLasso", "MultiTaskElasticNet"),
    *("MultiTaskLassoCV", "MultiTaskElasticNetCV"),
    *("LinearRegression", "Ridge", "Lasso", "ElasticNet", "LogisticRegression"),
    *("LogisticRegressionCV", "HuberRegressor", "QuantileRegressor"),
    *("PoissonRegressor", "GammaRegressor", "TweedieRegressor"),
    *("SGDClassifier", "SGDRegressor", "SGDOneClassSVM"),
)


def _lend_loss(ours: type, theirs: Any) -> None:
    """Give a generalised linear model the loss object from which the tests make their data."""

    def get_loss(self: Any) -> Any:
        kwargs = {name: getattr(self, name) for name in ("power", "link") if hasattr(self, name)}
        return theirs(**kwargs)._get_loss()

    ours._get_loss = get_loss  # type: ignore[attr-defined]


for _name in ("PoissonRegressor", "GammaRegressor", "TweedieRegressor"):
    _lend_loss(getattr(fastgd, _name), getattr(sklearn.linear_model, _name))
for _name in LINEAR:
    setattr(sklearn.linear_model, _name, getattr(fastgd, _name))
for _name in ("LinearSVC", "LinearSVR"):
    setattr(sklearn.svm, _name, getattr(fastgd, _name))


def _watch(base: type) -> None:
    """Note which of our estimators a test makes, or checks the parameters of, as each fit does."""
    checked = base._validate_params  # type: ignore[attr-defined]

    def made(kind: type, *_: Any, **__: Any) -> Any:
        USED.add(kind.__name__)
        return object.__new__(kind)

    def noting(self: Any) -> None:
        USED.add(type(self).__name__)
        checked(self)

    base.__new__ = staticmethod(made)  # type: ignore[method-assign, assignment]
    base._validate_params = noting  # type: ignore[attr-defined]


for _base in (SolvedModel, BaseSGD, BaseRidgeCV, PathModel):
    _watch(_base)


@pytest.fixture(scope="session")
def global_random_seed() -> int:
    """Return the seed that scikit-learn's own runs take."""
    return 42


@pytest.fixture(params=["float32", "float64"])
def global_dtype(request: Any) -> Any:
    """Return each type of numbers."""
    import numpy as np

    return np.dtype(request.param).type
