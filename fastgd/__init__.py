"""Linear, logistic and softmax models by gradient descent, compiled by Numba."""

from fastgd.linear_model import (
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    Ridge,
    SGDClassifier,
    SGDRegressor,
    SoftmaxRegression,
)

__version__ = "0.1.0.dev0"

__all__ = [
    "ElasticNet",
    "Lasso",
    "LinearRegression",
    "LogisticRegression",
    "Ridge",
    "SGDClassifier",
    "SGDRegressor",
    "SoftmaxRegression",
    "__version__",
]
