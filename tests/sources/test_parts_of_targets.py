"""Least squares of many targets, on data sets in parts."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastgd import ElasticNet, Lasso, LinearRegression, Ridge
from fastgd._solvers import _product_shards, _sharded, _target_shards
from fastgd.datasets import open as open_rows

N, D, K, CUT = 1500, 6, 4, 230


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(0)
    X = random.normal(size=(N, D)) * np.geomspace(1e-3, 1e3, D) + random.normal(size=D)
    X[:, 2] = 3.0  # a column that says nothing
    Y = X / np.where(np.arange(D) == 2, 1.0, X.std(axis=0)) @ random.normal(
        size=(D, K)
    ) + random.normal(size=(N, K))
    order = np.argsort(X[:, 0])  # chunks that differ from each other
    return X[order], Y[order] + 5.0


@pytest.fixture(autouse=True)
def _small_samples(monkeypatch):
    monkeypatch.setattr(_sharded, "SAMPLE_ROWS", 300)
    monkeypatch.setattr(_sharded, "ROOM", 0)


LAYOUTS = ["dense", "csr", pytest.param("float32", marks=pytest.mark.full)]
BY_PRODUCTS = {
    "ridge": Ridge(1e-3),
    "ridge of strengths": Ridge([1e-3, 1.0, 10.0, 1e4]),
    "ridge at zero": Ridge(1.0, fit_intercept=False),
    "least squares": LinearRegression(),
    "least squares at zero": LinearRegression(fit_intercept=False),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", BY_PRODUCTS)
def test_targets_share_products_in_three_or_four_passes(name, layout, table, passes):
    X, Y = table
    given = {"dense": X, "csr": sp.csr_matrix(X), "float32": X.astype(np.float32)}[layout]
    exact = X if layout == "csr" else given.astype(np.float64)
    whole = clone(BY_PRODUCTS[name]).fit(exact, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = clone(BY_PRODUCTS[name]).fit(open_rows((given, Y), chunk_rows=CUT))
    assert passes.n_passes <= 4  # a look, products, and residuals, which may correct them
    scale = X.std(axis=0).clip(1e-3)
    np.testing.assert_allclose(found.coef_ * scale, whole.coef_ * scale, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.intercept_, whole.intercept_, rtol=1e-5, atol=1e-6)
    rounding = found.tol if layout == "float32" else 0.0  # what keeping float32 may cost
    np.testing.assert_allclose(found.objective_, whole.objective_, rtol=1e-9 + rounding)
    assert found.coef_.shape == (K, D)
    assert np.shape(found.intercept_) == np.shape(whole.intercept_)
    assert found.n_iter_.shape == (K,)
    assert len(found.history_) == K
    if isinstance(found, Ridge):
        assert np.all(found.gap_ <= 1e-6 * found.objective_)
    np.testing.assert_allclose(found.predict(X[:20]), whole.predict(X[:20]), rtol=1e-4)


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("apart", [1e-6, 1e-8, 1e-9])
def test_columns_whose_products_show_no_difference(table, apart, layout):
    """As in memory, where they are factorised."""
    X, Y = table
    X = (X - X.mean(axis=0)) / X.std(axis=0).clip(1e-3)
    X[:, 1] = X[:, 0] + apart * np.random.default_rng(1).normal(size=N)
    given = sp.csr_matrix(X) if layout == "csr" else X
    whole = LinearRegression().fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = LinearRegression(tol=1e-7).fit(open_rows((given, Y), chunk_rows=CUT))
    squares = np.mean((Y - found.predict(X)) ** 2, axis=0) / 2
    assert np.all(squares <= (1.0 + 1e-7) * whole.objective_)
    assert np.all(found.gap_ <= 1e-7 * found.objective_)
    np.testing.assert_allclose(found.coef_, whole.coef_, rtol=1e-5, atol=1e-6)


def test_dependent_columns_have_the_least_norm(table):
    X = np.column_stack([table[0], table[0][:, 3] - 2.0 * table[0][:, 5], np.ones(N)])
    found = LinearRegression().fit(open_rows((X, table[1]), chunk_rows=CUT))
    centered = X - X.mean(axis=0), table[1] - table[1].mean(axis=0)
    expected = np.linalg.lstsq(*centered, rcond=1e-12)[0].T
    np.testing.assert_allclose(found.coef_, expected, rtol=1e-6, atol=1e-8)


APART = {
    "lasso": Lasso(0.1),
    "net": ElasticNet(0.1),
    "positive": Ridge(1.0, positive=True),
    "with and without": Ridge([0.0, 1.0, 2.0, 3.0]),
}


@pytest.mark.parametrize("name", APART)
def test_other_targets_take_their_passes_together(name, table, passes):
    X, Y = table
    X = X / X.std(axis=0).clip(1e-9)
    whole = clone(APART[name]).set_params(tol=1e-10).fit(X, Y)
    found = clone(APART[name]).set_params(tol=1e-8).fit(open_rows((X, Y), chunk_rows=CUT))
    n_together, passes.n_passes = passes.n_passes, 0
    for k in range(K):
        one = clone(APART[name]).set_params(tol=1e-8)
        if isinstance(one, Ridge) and np.ndim(one.alpha):
            one.set_params(alpha=one.alpha[k])
        one.fit(open_rows((X, Y[:, k]), chunk_rows=CUT))
        np.testing.assert_allclose(found.coef_[k], one.coef_, rtol=1e-9, atol=1e-12)
    assert n_together < 0.5 * passes.n_passes
    np.testing.assert_allclose(found.coef_, whole.coef_, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", [Ridge(1.0), LinearRegression()])
def test_more_columns_than_products_have_room_for(model, table, monkeypatch):
    X, Y = table
    expected = clone(model).fit(open_rows((X, Y), chunk_rows=CUT))
    monkeypatch.setattr(_product_shards, "MOST_BYTES", 100)
    found = clone(model).fit(open_rows((X, Y), chunk_rows=CUT))
    scale = X.std(axis=0).clip(1e-3)
    np.testing.assert_allclose(found.coef_ * scale, expected.coef_ * scale, rtol=1e-4, atol=1e-5)


def test_callbacks_and_bad_targets(table):
    X, Y = table
    seen = []
    model = Ridge(callbacks=[lambda view: seen.append(view.model.coef_.shape)])
    model.fit(open_rows((X, Y), chunk_rows=CUT))
    assert len(seen) >= K
    for y, message in (
        (np.where(np.arange(N)[:, None] == 700, np.nan, Y), "chunk 3.*NaN"),
        (Y[:, :3], "do not correspond"),
    ):
        one = Ridge([1.0, 2.0, 3.0, 4.0])
        with pytest.raises(ValueError, match=message):
            one.fit(open_rows((X, y), chunk_rows=CUT))
        assert not hasattr(one, "coef_")
        assert not hasattr(one, "n_features_in_")
    batches = [(X[:500], Y[:500]), (X[500:], Y[500:, 0])]
    with pytest.raises(ValueError, match="targets"):
        Ridge().fit(open_rows(batches))


def test_what_is_not_shown_to_be_within_tol_warns(table, monkeypatch):
    monkeypatch.setattr(_target_shards, "_least_squares", _far_from_it)
    with pytest.warns(ConvergenceWarning, match="stopped after 1 passes"):
        LinearRegression().fit(open_rows(table, chunk_rows=CUT))


def _far_from_it(ridge, _peak):
    """Return what residuals say of coefficients that are zero."""
    coef = np.zeros((D, K))
    objective = ridge.with_status(coef, np.zeros(K))[2]
    return coef, objective, 0.1 * objective, True
