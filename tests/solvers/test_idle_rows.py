"""Rows of weight 0 have no part in a model, however large they are."""

import numpy as np
import pytest
import scipy.sparse as sp

import fastgd
from fastgd._data.shards import Rows
from fastgd._solvers._product_shards import moments_of, moments_of_both
from tests.tables import over_product

MODELS = {
    "logistic": lambda: fastgd.LogisticRegression(tol=1e-7),
    "l1": lambda: fastgd.LogisticRegression(l1_ratio=1.0, tol=1e-7),
    "ridge": lambda: fastgd.Ridge(tol=1e-7),
    "squared hinge": lambda: fastgd.LinearSVC(tol=1e-7),
    "huber": lambda: fastgd.HuberRegressor(tol=1e-7),
    "poisson": lambda: fastgd.PoissonRegressor(tol=1e-7),
}


@over_product(
    lambda layout, size, shape: size == 1e20 or (layout is np.asarray and shape == (300, 700)),
    layout=[np.asarray, sp.csr_array],
    size=[1e10, 1e20],
    shape=[(300, 700), (400, 20)],
)
@pytest.mark.parametrize("model", MODELS)
def test_a_huge_row_without_weight_hides_no_other(rng, model, layout, size, shape):
    X = rng.normal(size=shape) / 10.0
    y = X[:, 0] + 0.1 * rng.normal(size=shape[0])
    if model in ("logistic", "l1", "squared hinge"):
        y = (y > 0.0).astype(int)
    if model == "poisson":
        y = rng.poisson(np.exp(y)).astype(float)
    weight = np.ones(shape[0])
    weight[5] = 0.0
    best = MODELS[model]().fit(np.delete(X, 5, axis=0), np.delete(y, 5))
    X[5] *= size
    fitted = MODELS[model]().fit(layout(X), y, sample_weight=weight)
    assert fitted.objective_ == pytest.approx(best.objective_, rel=1e-6)
    np.testing.assert_allclose(fitted.predict(X[:5]), best.predict(X[:5]), rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array, sp.csc_array])
@pytest.mark.parametrize("shape", [(300, 700), (400, 20)])
def test_strengths_are_chosen_without_a_huge_row_of_no_weight(rng, layout, shape):
    X = rng.normal(size=shape) / 10.0
    y, weight = X[:, 0] + 0.1 * rng.normal(size=shape[0]), np.ones(shape[0])
    weight[5] = X[5] = 0.0
    best = fastgd.LassoCV(cv=3).fit(X, y, sample_weight=weight)
    X[5] = 1e10 * rng.normal(size=shape[1])
    given = layout(X)
    fitted = fastgd.LassoCV(cv=3).fit(given, y, sample_weight=weight)
    assert fitted.alpha_ == pytest.approx(best.alpha_, rel=1e-9)
    np.testing.assert_allclose(fitted.coef_, best.coef_, rtol=1e-4, atol=1e-6)
    assert abs(given).max() > 1e9  # the user's X is as it was


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
def test_a_part_of_rows_without_weight_adds_nothing_to_sums(rng, layout):
    X, y = rng.normal(size=(30, 4)), rng.normal(size=30)
    idle = Rows(layout(1e20 * X), y, np.zeros(30), 1)
    alone = moments_of(Rows(layout(X), y, np.ones(30), 0), False)
    both = moments_of_both(alone, moments_of(idle, False))
    assert np.max(np.abs(both.mean)) <= np.max(np.abs(alone.mean))
    np.testing.assert_array_equal(both.peak, alone.peak)
