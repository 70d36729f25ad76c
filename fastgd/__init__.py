"""Linear models and neural networks by gradient descent, compiled by Numba."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastgd._on_demand import Names

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

_ELSEWHERE = {
    "linear_model._solution_path": ("path",),
    "streaming": ("stream",),
    "_export.onnx": ("to_onnx",),
    "linear_model._export": ("to_sklearn",),
    "_export.torch": ("to_torch",),
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


_of_others = {"__version__", *(name for names in _ELSEWHERE.values() for name in names)}
_names = Names(
    __name__,
    {**_ELSEWHERE, "linear_model": [name for name in __all__ if name not in _of_others]},
)


def __getattr__(name: str) -> Any:
    """Import what is asked for, numba with it, only now: ``fastgd --help`` needs none of it."""
    return import_module(f"fastgd.{name}") if name in _MODULES else _names.found(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
