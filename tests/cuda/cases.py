"""What is fitted on a device and on the processor, and compared: the same for all devices."""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from fastgd import layers, losses
from fastgd.linear_model import (
    ElasticNet,
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LinearSVC,
    LinearSVR,
    LogisticRegression,
    PassiveAggressiveClassifier,
    Perceptron,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
    SoftmaxRegression,
    TweedieRegressor,
)
from fastgd.neural_network import MLPRegressor, NetworkClassifier, NetworkRegressor


class Table(NamedTuple):
    """Rows with targets of several kinds."""

    X: Any
    labels: np.ndarray
    classes: np.ndarray
    numbers: np.ndarray
    counts: np.ndarray
    weight: np.ndarray


def table(n=61, d=4, dtype=np.float64, seed=0):
    """Columns differ in scale and offset; the number of rows is no multiple of a block."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * np.resize([1.0, 10.0, 0.1, 3.0], d)
    X = (X + np.resize([0.0, 5.0, 0.0, 1.0], d)).astype(dtype)
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    raw = z @ rng.standard_normal(d) + 0.5 * rng.standard_normal(n)
    counts = rng.poisson(np.exp(0.3 * raw)).astype(dtype)
    of_classes = np.array(["low", "middle", "high"])[np.digitize(raw, [-0.5, 0.5])]
    labels, numbers = (raw > 0).astype(int), raw.astype(dtype)
    return Table(X, labels, of_classes, numbers, counts, rng.random(n) + 0.1)


def sparse(given):
    """Return the same table with most entries zero, as CSR."""
    X = np.where(np.abs(given.X) > np.median(np.abs(given.X), axis=0), given.X, 0)
    return given._replace(X=sp.csr_matrix(X.astype(given.X.dtype)))


SOLVED = {
    "logistic": (LogisticRegression(), "labels"),
    "logistic l1": (LogisticRegression(l1_ratio=1.0, C=0.5), "labels"),
    "balanced": (LogisticRegression(class_weight="balanced"), "labels"),
    "softmax": (LogisticRegression(), "classes"),
    "softmax of two": (SoftmaxRegression(), "labels"),
    "least squares": (LinearRegression(), "numbers"),
    "no intercept": (Ridge(fit_intercept=False), "numbers"),
    "ridge": (Ridge(), "numbers"),
    "positive": (Ridge(positive=True), "numbers"),
    "lasso": (Lasso(alpha=0.1), "numbers"),
    "elastic net": (ElasticNet(alpha=0.1), "numbers"),
    "poisson": (PoissonRegressor(), "counts"),
    "gamma": (GammaRegressor(), "numbers above zero"),
    "tweedie": (TweedieRegressor(power=1.5), "counts"),
}
# by the solvers of rows in host memory, whose passes a device makes
SOLVED_BY_ROWS = {
    "squared hinge": (LinearSVC(), "labels"),
    "squared hinge, l1": (LinearSVC(penalty="l1", dual=False), "labels"),
    "hinge": (LinearSVC(loss="hinge"), "labels"),
    "one against the rest": (LinearSVC(class_weight="balanced"), "classes"),
    "tube": (LinearSVR(epsilon=0.1), "numbers"),
    "squared tube": (LinearSVR(loss="squared_epsilon_insensitive"), "numbers"),
    "scale": (HuberRegressor(), "numbers"),
    "quantile, l1": (QuantileRegressor(alpha=0.01), "numbers"),
    "quantile": (QuantileRegressor(alpha=0.0, quantile=0.3), "numbers"),
    "ridge of classes": (RidgeClassifier(), "classes"),
    "penalised intercept": (LogisticRegression(solver="liblinear"), "labels"),
    "goes on": (LogisticRegression(warm_start=True), "classes"),
    "many targets": (Ridge(), "two numbers"),
}
TRAINING = {"max_iter": 2, "tol": None, "random_state": 0, "batch_size": 16}
CONSTANT = {**TRAINING, "learning_rate": "constant", "eta0": 0.05}
TRAINED = {
    "log loss": (SGDClassifier(loss="log_loss", **TRAINING), "labels"),
    "one against the rest": (SGDClassifier(class_weight="balanced", **TRAINING), "classes"),
    "softmax": (SGDClassifier(loss=losses.Softmax(), **CONSTANT), "classes"),
    "squared error": (SGDRegressor(**TRAINING), "numbers"),
    "many targets": (SGDRegressor(**CONSTANT), "two numbers"),
    "averaged": (SGDRegressor(average=5, **CONSTANT), "numbers"),
    "elastic net": (SGDRegressor(penalty="elasticnet", alpha=0.1, **CONSTANT), "numbers"),
    "positive": (SGDRegressor(positive=True, **CONSTANT), "numbers"),
    "no intercept": (SGDRegressor(fit_intercept=False, **CONSTANT), "numbers"),
    "an intercept of its own rate": (SGDRegressor(intercept_rate=0.1, **CONSTANT), "numbers"),
    "all rows at once": (SGDRegressor(**{**CONSTANT, "batch_size": "full"}), "numbers"),
    "one row": (SGDRegressor(**{**CONSTANT, "batch_size": 1, "max_iter": 1}), "numbers"),
    "perceptron": (Perceptron(max_iter=2, tol=None), "labels"),
    "passive-aggressive": (
        PassiveAggressiveClassifier(max_iter=1, tol=None, random_state=0),
        "labels",
    ),
}
NO_RATE = {**TRAINING, "learning_rate": "auto"}
WITHOUT_A_RATE = {
    "numbers": (SGDRegressor(**NO_RATE), "numbers"),
    "no intercept": (SGDRegressor(fit_intercept=False, **NO_RATE), "numbers"),
    "many targets": (SGDRegressor(penalty="l1", alpha=0.01, **NO_RATE), "two numbers"),
    "counts": (SGDRegressor(loss="poisson", **NO_RATE), "counts"),
    "classes": (SGDClassifier(loss="log_loss", class_weight="balanced", **NO_RATE), "classes"),
    "hinge, averaged": (SGDClassifier(average=True, **NO_RATE), "labels"),
    "softmax, clipped": (
        SGDClassifier(loss=losses.Softmax(), clip_norm=0.5, **NO_RATE),
        "classes",
    ),
    "one row": (SGDRegressor(**{**NO_RATE, "batch_size": 1}), "numbers"),
}
OF_NETWORKS = {"max_iter": 2, "tol": None, "random_state": 0, "batch_size": 8}
NETWORKS = {
    "units, dropout, norms, a block": (
        NetworkClassifier(
            [
                *(layers.Dense(4, "gelu"), layers.Dropout(0.3), layers.LayerNorm()),
                *(layers.Dense(4, "silu"), layers.BatchNorm()),
                *(layers.Residual([layers.Dense(4, "tanh")]), layers.Dense(3)),
            ],
            alpha=0.1,
            average=True,
            **OF_NETWORKS,
        ),
        "classes",
    ),
    "convolutions and pools": (
        NetworkRegressor(
            [
                *(layers.Conv2D(3, 3, padding="same", activation="relu"),),
                *(layers.MaxPool2D(2, stride=1, padding="same"), layers.Conv2D(2, 2, stride=2)),
                *(layers.AvgPool2D(2, padding="same"), layers.Dense(1)),
            ],
            **OF_NETWORKS,
        ),
        "images",
    ),
    "embedding, sequences": (
        NetworkRegressor(
            [
                *(layers.Embedding(6, 2), layers.Conv1D(2, 2, activation="softplus")),
                *(layers.GlobalAveragePool(), layers.Dense(1)),
            ],
            **OF_NETWORKS,
        ),
        "whole numbers",
    ),
    "sparse rows, Muon": (
        MLPRegressor(hidden_layer_sizes=(4,), solver="muon", alpha=0.1, **OF_NETWORKS),
        "sparse rows",
    ),
}
OPTIMIZERS = (
    *("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "amsgrad"),
    *("adamw", "nadam", "adamax", "lion", "ftrl", "schedule_free_sgd", "schedule_free_adamw"),
)


def targets(given, kind):
    """Return the targets of a kind."""
    if kind == "numbers above zero":
        return np.exp(given.numbers / 3)
    if kind == "two numbers":
        return np.stack([given.numbers, -2 * given.numbers], axis=1)
    return getattr(given, kind)


def scaled(given):
    """Return the same rows with columns for steps of one length."""
    X = (given.X - given.X.mean(axis=0)) / given.X.std(axis=0)
    return given._replace(X=X.astype(given.X.dtype))


def assert_same_optimum(model, given, kind, weight=None, tol=1e-9, rtol=1e-5):
    """Fit on both and compare objectives, coefficients and what is reported."""
    y = targets(given, kind)
    own = model.__class__(**{**model.get_params(), "tol": tol})
    here = own.fit(given.X, y, sample_weight=weight)
    there = own.__class__(**{**own.get_params(), "device": "cuda"})
    there.fit(given.X, y, sample_weight=weight)
    np.testing.assert_allclose(there.objective_, here.objective_, rtol=max(2 * tol, 1e-12))
    scale = np.abs(here.coef_).max()
    np.testing.assert_allclose(there.coef_, here.coef_, rtol=rtol, atol=rtol * scale)
    assert there.coef_.dtype == here.coef_.dtype
    assert there.coef_.shape == here.coef_.shape
    assert np.shape(there.intercept_) == np.shape(here.intercept_)
    # a bound of the distance to the optimum, whose objective is that of the other at most
    assert np.all(there.objective_ - there.gap_ <= here.objective_ * (1 + 1e-12))
    if hasattr(here, "classes_"):
        np.testing.assert_array_equal(there.predict(given.X), here.predict(given.X))
    return there


def assert_same_training(model, given, kind, weight=None):
    """Take the same steps on both, and compare where they lead and what history says."""
    rtol = 1e-4 if given.X.dtype == np.float32 else 1e-10
    y, more = targets(given, kind), {}
    if weight is not None:
        more["sample_weight"] = weight.astype(given.X.dtype)
    here = model.__class__(**model.get_params()).fit(given.X, y, **more)
    there = model.__class__(**{**model.get_params(), "device": "cuda"}).fit(given.X, y, **more)
    scale = np.abs(here.coef_).max()
    np.testing.assert_allclose(there.coef_, here.coef_, rtol=rtol, atol=rtol * scale)
    np.testing.assert_allclose(there.intercept_, here.intercept_, rtol=rtol, atol=rtol)
    for name in ("objective", "loss", "penalty", "update_norm", "coef_norm"):
        np.testing.assert_allclose(
            there.history_[name], here.history_[name], rtol=10 * rtol, atol=10 * rtol
        )
    assert there.n_iter_ == here.n_iter_
    assert there.t_ == here.t_
    return there


def rows_for(given, kind):
    """Return rows and targets for a network."""
    if kind == "classes":
        return given.X, given.classes
    n = given.X.shape[0]
    if kind == "images":
        rng = np.random.default_rng(n)
        return rng.standard_normal((n, 5, 4, 2)).astype(given.X.dtype), given.numbers
    if kind == "whole numbers":
        return np.random.default_rng(n).integers(0, 6, (n, 3)).astype(given.X.dtype), given.numbers
    return sparse(given).X, given.numbers


def assert_same_network(model, given, kind):
    """Train a network on both, and compare parameters, history and outputs."""
    rtol = 1e-3 if given.X.dtype == np.float32 else 1e-10
    X, y = rows_for(given, kind)
    weight = given.weight.astype(given.X.dtype)
    here, there = (
        model.__class__(**{**model.get_params(), "device": device}).fit(X, y, weight)
        for device in ("cpu", "cuda")
    )
    scale = np.abs(here._params).max()
    np.testing.assert_allclose(there._params, here._params, rtol=rtol, atol=rtol * scale)
    for name in ("objective", "loss", "penalty", "update_norm"):
        np.testing.assert_allclose(
            there.history_[name], here.history_[name], rtol=10 * rtol, atol=10 * rtol
        )
    return there
