"""LinearSVC of all classes together: scikit-learn's optimum, the gap, layouts, weights."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

import fastgd
from fastgd.kernels.crammer_singer import _level

METHODS = ("gd", "sdca")


def naive(model, X, y, weight, C, scaling=1.0):
    """Return the objective of all classes, row by row; of two, w is half of either."""
    W, b = np.asarray(model.coef_, float), np.ravel(model.intercept_)
    if W.shape[0] == 1:
        W, b = np.vstack([-W / 2, W / 2]), np.array([-b[0], b[0]]) / 2
    total = 0.5 * np.sum(W**2) + 0.5 * np.sum((b / scaling) ** 2)
    classes = list(model.classes_)
    for i in range(X.shape[0]):
        raw = W @ X[i] + b
        own = classes.index(y[i])
        margins = [raw[k] + (k != own) - raw[own] for k in range(len(classes))]
        total += C * weight[i] * max(margins)
    return total


def fitted(X, y, weight=None, **params):
    return fastgd.LinearSVC(multi_class="crammer_singer", **params).fit(X, y, weight)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("C", [0.05, 1.0])
def test_the_optimum_is_scikit_learn_s(method, C):
    X, y = load_iris(return_X_y=True)
    X, names = X - X.mean(axis=0), np.array(["a", "b", "c"])[y]
    weight = np.random.default_rng(0).uniform(0.5, 2.0, y.size)
    weight[::9] = 0.0
    given = {"C": C, "intercept_scaling": 2.0}
    theirs = LinearSVC(multi_class="crammer_singer", tol=1e-9, max_iter=10**5, **given)
    wanted = naive(theirs.fit(X, names, weight), X, names, weight, C, 2.0)
    for layout in (X, sp.csr_matrix(X)):
        model = fitted(layout, names, weight, solver=method, tol=1e-7, **given)
        found = naive(model, X, names, weight, C, 2.0)
        assert found == pytest.approx(wanted, rel=2e-7)
        mass = C * weight.sum()
        assert model.objective_ * mass == pytest.approx(found, rel=1e-9)
        assert 0.0 <= model.gap_ <= 1e-7 * model.objective_
        assert found - wanted <= model.gap_ * mass + 1e-9 * wanted
        assert model.solver_ == method
        assert model.coef_.shape == (3, 4)
        np.testing.assert_allclose(model.coef_, theirs.coef_, atol=5e-3)
        assert np.mean(model.predict(X) == theirs.predict(X)) > 0.99


def test_columns_need_not_be_scaled():
    """liblinear is far from the optimum here, however long it goes on."""
    X, y = load_wine(return_X_y=True)
    ones = np.ones(y.size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = LinearSVC(multi_class="crammer_singer", random_state=0).fit(X, y)
    for layout in (X, sp.csr_matrix(X)):
        model = fitted(layout, y, tol=1e-6)
        assert model.gap_ <= 1e-6 * model.objective_
        assert naive(model, X, y, ones, 1.0) < 0.8 * naive(theirs, X, y, ones, 1.0)


@pytest.mark.parametrize("method", METHODS)
def test_of_two_classes_one_row_is_kept(method):
    X, y = load_iris(return_X_y=True)
    X, y = X[50:] - X.mean(axis=0), y[50:]
    theirs = LinearSVC(multi_class="crammer_singer", tol=1e-9, max_iter=10**5).fit(X, y)
    model = fitted(X, y, solver=method, tol=1e-8)
    assert model.coef_.shape == (1, 4)
    np.testing.assert_allclose(model.coef_, theirs.coef_, atol=1e-3)
    np.testing.assert_allclose(model.intercept_, theirs.intercept_, atol=1e-3)
    assert np.array_equal(model.predict(X), theirs.predict(X))
    free = fitted(X, y, solver=method, fit_intercept=False)
    assert free.coef_.shape == (1, 4)
    assert free.intercept_ == 0.0


def test_class_weights_are_weights_of_the_rows():
    X, y = load_iris(return_X_y=True)
    X = X - X.mean(axis=0)
    factors = {0: 1.0, 1: 3.0, 2: 0.5}
    wanted = fitted(X, y, np.array([factors[k] for k in y]), tol=1e-8)
    model = fitted(X, y, tol=1e-8, class_weight=factors)
    np.testing.assert_allclose(model.coef_, wanted.coef_, atol=1e-9)
    theirs = LinearSVC(multi_class="crammer_singer", class_weight=factors, tol=1e-9, max_iter=10**5)
    np.testing.assert_allclose(model.coef_, theirs.fit(X, y).coef_, atol=1e-3)


def test_float32_no_intercept_and_what_is_ignored():
    X, y = load_iris(return_X_y=True)
    X = (X - X.mean(axis=0)).astype(np.float32)
    model = fitted(X, y, fit_intercept=False, penalty="l1", loss="hinge", dual=False)
    assert model.coef_.dtype == np.float32
    assert model.intercept_ == 0.0
    wanted = fitted(X.astype(float), y, fit_intercept=False)
    np.testing.assert_allclose(model.coef_, wanted.coef_, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_a_fit_that_ends_early_says_so(method):
    X, y = load_iris(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="above the optimum"):
        model = fitted(X, y, solver=method, max_iter=2, tol=1e-10)
    assert model.n_iter_ == 2
    assert len(model.history_["objective"]) == 2
    exact = fitted(X, y, tol=1e-9)
    assert model.objective_ - exact.objective_ <= model.gap_
    with pytest.warns(ConvergenceWarning):
        assert fitted(X, y, solver=method, max_iter=0).n_iter_ == 0
    seen = []
    fitted(X, y, solver=method, callbacks=[lambda view: seen.append(view)])
    assert seen


def test_the_level_of_a_projection():
    rng = np.random.default_rng(0)
    for mass in (0.1, 1.0, 50.0):
        values = rng.normal(size=9)
        level = _level(values, mass)
        assert np.sum(np.maximum(values - level, 0.0)) == pytest.approx(mass)
