"""Linear, logistic and softmax models by gradient descent, compiled by Numba."""

from fastgd.kernels._jit import collector_paused

with collector_paused():
    from fastgd._export import to_sklearn
    from fastgd.linear_model import (
        ElasticNet,
        GammaRegressor,
        HuberRegressor,
        Lasso,
        LinearRegression,
        LinearSVC,
        LinearSVR,
        LogisticRegression,
        PoissonRegressor,
        QuantileRegressor,
        Ridge,
        SGDClassifier,
        SGDOneClassSVM,
        SGDRegressor,
        SoftmaxRegression,
        TweedieRegressor,
    )

__version__ = "0.1.0.dev0"

__all__ = [
    "ElasticNet",
    "GammaRegressor",
    "HuberRegressor",
    "Lasso",
    "LinearRegression",
    "LinearSVC",
    "LinearSVR",
    "LogisticRegression",
    "PoissonRegressor",
    "QuantileRegressor",
    "Ridge",
    "SGDClassifier",
    "SGDOneClassSVM",
    "SGDRegressor",
    "SoftmaxRegression",
    "TweedieRegressor",
    "__version__",
    "to_sklearn",
]
