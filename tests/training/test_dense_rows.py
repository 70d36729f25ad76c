"""Single dense rows, whose raw predictions are taken ahead, against steps one after another."""

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse as sp

import fastgd
from fastgd._engines.linear import LinearEngine
from fastgd.kernels import losses
from fastgd.kernels.dense_rows import ROWS_TOGETHER, AheadScratch
from fastgd.kernels.optimizers import PassiveAggressive
from fastgd.schedules import Constant
from tests import naive

SETTINGS = {"tol": None, "random_state": 0, "learning_rate": "constant", "batch_size": 1}


def table_of(rng, n_rows, n_columns, dtype=np.float64):
    X = rng.standard_normal((n_rows, n_columns)).astype(dtype)
    return X, np.where(X @ rng.standard_normal(n_columns) + rng.standard_normal(n_rows) > 0, 1, -1)


def trained(X, y, order, rate, alpha, loss, *, intercept=True, weight=None, average=0):
    """Return coefficients, intercept and the objective along the way of one epoch, in numpy."""
    coef, b, total = np.zeros(X.shape[1]), 0.0, 0.0
    sums, n_averaged = np.zeros(X.shape[1] + 1), 0
    weight = np.ones(X.shape[0]) if weight is None else weight
    for t, i in enumerate(order):
        raw = X[i] @ coef + b
        total += weight[i] * loss.value(y[i], raw) + 0.5 * alpha * coef @ coef
        slope = weight[i] * loss.gradient(y[i], raw)
        coef = (1.0 - rate * alpha) * coef - rate * slope * X[i]
        b -= rate * slope if intercept else 0.0
        if average > 0 and t + 1 >= average:
            sums, n_averaged = sums + np.append(coef, b), n_averaged + 1
    if n_averaged > 0:
        coef, b = sums[:-1] / n_averaged, sums[-1] / n_averaged
    return coef, b, total / len(order)


CASES = [
    # rows, columns, dtype, relative tolerance
    (1, 3, np.float64, 1e-12),
    (2, 8, np.float64, 1e-12),
    (ROWS_TOGETHER, 1, np.float64, 1e-11),
    (2 * ROWS_TOGETHER + 1, 21, np.float64, 1e-11),
    (ROWS_TOGETHER + 1, 40, np.float32, 2e-5),
    (300, 16, np.float32, 2e-5),
]


@pytest.mark.parametrize(("n_rows", "n_columns", "dtype", "rtol"), CASES)
def test_steps_are_those_one_after_another(n_rows, n_columns, dtype, rtol, rng):
    X, y = table_of(rng, n_rows, n_columns, dtype)
    y[0] = 1
    y[-1] = -y[0] if n_rows > 1 else 1
    weight = rng.random(n_rows) + 0.1
    for name, loss, target in (
        ("squared_error", naive.squared_error(), X[:, 0] + 0.5),
        ("huber", naive.huber(0.1), X[:, 0] + 0.5),
    ):
        for more in ({}, {"average": 2}, {"fit_intercept": False}):
            model = fastgd.SGDRegressor(
                loss=name,
                max_iter=1,
                shuffle=False,
                eta0=0.02,
                alpha=0.01,
                epsilon=0.1,
                penalty="l2",
                **{**SETTINGS, **more},
            ).fit(X, target, sample_weight=weight)
            coef, b, objective = trained(
                X.astype(float),
                target.astype(float),
                range(n_rows),
                0.02,
                0.01,
                loss,
                weight=weight,
                average=more.get("average", 0),
                intercept=more.get("fit_intercept", True),
            )
            np.testing.assert_allclose(model.coef_, coef, rtol=0, atol=rtol * np.abs(coef).max())
            np.testing.assert_allclose(model.intercept_, b, rtol=0, atol=rtol)
            np.testing.assert_allclose(model.history_["objective"], objective, rtol=rtol)


@pytest.mark.parametrize(
    ("loss", "more"),
    [
        ("log_loss", {"learning_rate": "optimal", "alpha": 1e-2}),
        ("hinge", {"learning_rate": "pa1"}),
        ("modified_huber", {"class_weight": {-1: 0.5, 1: 2.0}, "average": 10}),
    ],
)
def test_dense_rows_are_what_sparse_ones_are(loss, more, rng):
    """Whose dot products are taken when they are needed."""
    X, y = table_of(rng, 500, 37)
    X /= 6.0  # where steps are so long that they do not settle, rounding grows
    settings = {"loss": loss, "max_iter": 5, "eta0": 0.05, "alpha": 1e-3, **SETTINGS, **more}
    models = [fastgd.SGDClassifier(**settings).fit(rows, y) for rows in (X, sp.csr_matrix(X))]
    for name in ("coef_", "intercept_"):
        one, other = (getattr(model, name) for model in models)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10 * np.abs(models[0].coef_).max())
    np.testing.assert_allclose(*(model.history_["objective"] for model in models), rtol=1e-10)


def test_rows_of_long_steps_are_what_sparse_ones_are(rng):
    """A step takes away most of what its predecessor gave: products are larger than their sum."""
    X, y = table_of(rng, 200, 6)
    settings = {"max_iter": 3, "eta0": 20.0, "alpha": 1e-2, "loss": "log_loss", **SETTINGS}
    models = [fastgd.SGDClassifier(**settings).fit(rows, y) for rows in (X, sp.csr_matrix(X))]
    np.testing.assert_allclose(models[0].coef_, models[1].coef_, rtol=1e-8)


def test_products_beyond_the_largest_number_do_not_matter_where_there_is_no_slope():
    X = np.zeros((8, 2), np.float32)
    X[0] = 3.0, 1e-3
    X[1:7] = 1.0, 1e25  # whose square is no float32
    X[7] = -1.0, 0.0
    y = np.array([1, 1, 1, 1, 1, 1, 1, -1])
    model = fastgd.SGDClassifier(
        loss="hinge", max_iter=1, shuffle=False, eta0=1.0, alpha=0.0, penalty=None, **SETTINGS
    )
    model.fit(X, y)
    other = fastgd.SGDClassifier(**model.get_params()).fit(sp.csr_matrix(X), y)
    np.testing.assert_array_equal(np.isfinite(model.coef_), np.isfinite(other.coef_))
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-5)


class Allocated(Exception):
    """A fit has its scratch: nothing is compiled for what is not looked at."""


def scratch_of(monkeypatch, X, **settings):
    """Return the scratch that a fit has."""
    allocate = LinearEngine.allocate

    def noted(engine, *arguments):
        allocate(engine, *arguments)
        raise Allocated(engine._memory.scratch)

    monkeypatch.setattr(LinearEngine, "allocate", noted)
    y = np.arange(X.shape[0]) % 2
    with pytest.raises(Allocated) as caught:
        fastgd.SGDClassifier(**{**SETTINGS, "max_iter": 1, **settings}).fit(X, y)
    monkeypatch.undo()
    return caught.value.args[0]


def test_which_steps_are_taken_ahead(monkeypatch, rng):
    """Those of plain sgd under a quadratic penalty, which shrinks all coefficients alike."""
    X = rng.standard_normal((20, 3))
    for settings in ({}, {"penalty": None}, {"optimizer": PassiveAggressive(), "eta0": 1.0}):
        assert isinstance(scratch_of(monkeypatch, X, **settings), AheadScratch)
    for settings in (
        {"batch_size": 2},
        {"penalty": "l1"},
        {"optimizer": "adam"},
        {"clip_norm": 1.0},
    ):
        assert not isinstance(scratch_of(monkeypatch, X, **settings), AheadScratch)
    assert not isinstance(scratch_of(monkeypatch, sp.csr_matrix(X)), AheadScratch)


@dataclass(frozen=True)
class Falling(Constant):
    """A class made of the constant schedule, whose rates fall."""

    def _rates(self, t):
        return self.eta0 / t


def test_rates_that_a_class_says_are_constant_are_its_own(rng):
    """Coefficients of steps are kept where rates are; not of what is derived from them."""
    X, y = table_of(rng, 30, 3)
    models = [
        fastgd.SGDClassifier(**{**SETTINGS, "learning_rate": rate, "max_iter": 3}).fit(X, y)
        for rate in (
            Falling(0.1),
            lambda t: 0.1 / t,
            Constant(0.1),
            lambda t: np.full(t.shape, 0.1),
        )
    ]
    np.testing.assert_array_equal(models[0].coef_, models[1].coef_)
    np.testing.assert_array_equal(models[2].coef_, models[3].coef_)
    assert np.any(models[0].coef_ != models[2].coef_)


class Steep(losses.LogLoss):
    """A loss made of the logistic one, whose gradient is its own."""

    __slots__ = ()

    @staticmethod
    def gradient(loss, y_true, raw):  # noqa: ARG004
        return -4.0 if y_true > 0.5 else 4.0


def test_a_loss_made_of_the_logistic_one_goes_by_its_own_gradient():
    assert losses.slope(Steep(), 1.0, 1.0) == -4.0
    usual = losses.LogLoss()
    for raw in (-800.0, -2.0, 0.0, 3.0):
        assert losses.slope(usual, 1.0, raw) == losses.gradient(usual, 1.0, raw)
