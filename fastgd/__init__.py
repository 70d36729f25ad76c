"""Linear models and neural networks by gradient descent, compiled by Numba."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastgd import (  # noqa: F401
        accel,
        activations,
        callbacks,
        datasets,
        distributed,
        inference,
        initializers,
        layers,
        linear_model,
        losses,
        neural_network,
        optimizers,
        penalties,
        plot,
        schedules,
        streaming,
        transforms,
    )
    from fastgd._export.onnx import to_onnx
    from fastgd._export.torch import to_torch
    from fastgd.linear_model import (
        ElasticNet,
        ElasticNetCV,
        GammaRegressor,
        HuberRegressor,
        Lasso,
        LassoCV,
        LinearRegression,
        LinearSVC,
        LinearSVR,
        LogisticRegression,
        LogisticRegressionCV,
        MultiTaskElasticNet,
        MultiTaskElasticNetCV,
        MultiTaskLasso,
        MultiTaskLassoCV,
        PassiveAggressiveClassifier,
        PassiveAggressiveRegressor,
        Perceptron,
        PoissonRegressor,
        QuantileRegressor,
        Ridge,
        RidgeClassifier,
        RidgeClassifierCV,
        RidgeCV,
        SGDClassifier,
        SGDOneClassSVM,
        SGDRegressor,
        SoftmaxRegression,
        TweedieRegressor,
        enet_path,
        lasso_path,
    )
    from fastgd.linear_model._export import to_sklearn
    from fastgd.linear_model._solution_path import path
    from fastgd.streaming import stream

__version__ = "0.2.0.dev0"

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
    "__version__",
    "enet_path",
    "lasso_path",
    "path",
    "stream",
    "to_onnx",
    "to_sklearn",
    "to_torch",
]

_ELSEWHERE = {  # all other names are of linear_model
    "path": "fastgd.linear_model._solution_path",
    "stream": "fastgd.streaming",
    "to_onnx": "fastgd._export.onnx",
    "to_sklearn": "fastgd.linear_model._export",
    "to_torch": "fastgd._export.torch",
}
_MODULES = {
    "accel",
    "activations",
    "callbacks",
    "datasets",
    "distributed",
    "inference",
    "initializers",
    "kernels",
    "layers",
    "linear_model",
    "losses",
    "neural_network",
    "optimizers",
    "penalties",
    "plot",
    "schedules",
    "streaming",
    "transforms",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, numba with it, only now: ``fastgd --help`` needs none of it."""
    if name in _MODULES:
        return import_module(f"fastgd.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'fastgd' has no attribute {name!r}")
    from fastgd.kernels._jit import collector_paused

    with collector_paused():
        value = getattr(import_module(_ELSEWHERE.get(name, "fastgd.linear_model")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
