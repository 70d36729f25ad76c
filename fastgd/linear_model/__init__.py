"""Linear models."""

from fastgd.linear_model._linear import ElasticNet, Lasso, LinearRegression, Ridge
from fastgd.linear_model._logistic import LogisticRegression, SoftmaxRegression
from fastgd.linear_model._sgd import SGDClassifier, SGDRegressor

__all__ = [
    "ElasticNet",
    "Lasso",
    "LinearRegression",
    "LogisticRegression",
    "Ridge",
    "SGDClassifier",
    "SGDRegressor",
    "SoftmaxRegression",
]
