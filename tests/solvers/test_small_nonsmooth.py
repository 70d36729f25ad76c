"""Small fits at once: Huber's scale, ridge of more columns than rows, piecewise linear losses."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

import fastgd
from fastgd._solvers import _auto, _huber
from fastgd.kernels import huber
from fastgd.kernels.newton import Place, add_products

LAYOUTS = {"dense": np.asarray, "csr": sp.csr_matrix}


@pytest.fixture
def table(rng):
    X = rng.normal(size=(90, 5)) @ (np.eye(5) + 0.4) + rng.normal(size=5)
    X *= np.geomspace(0.1, 10.0, 5)
    X[:, 2] = 3.0
    raw = (X - X.mean(axis=0)) / (X.std(axis=0) + (X.std(axis=0) == 0)) @ rng.normal(size=5)
    return X * (rng.random((90, 5)) > 0.1), raw + rng.standard_t(2, size=90)


def test_callbacks_change_nothing_and_stop_it(table):
    (X, y), kind = table, fastgd.HuberRegressor
    seen = []
    watched = kind(callbacks=[lambda view: seen.append(view.history["objective"][-1])]).fit(X, y)
    alone = kind().fit(X, y)
    np.testing.assert_array_equal(watched.coef_, alone.coef_)
    assert watched.history_ == alone.history_
    assert seen == alone.history_["objective"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stopped = kind(callbacks=[lambda view: view.epoch == 2]).fit(X, y)
    assert stopped.n_iter_ == 2


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("more", [{}, {"alpha": 3.0}, {"fit_intercept": False}, {"epsilon": 5.0}])
def test_hubers_scale_is_found_with_the_coefficients(more, layout, table):
    X, y = LAYOUTS[layout](table[0]), table[1]
    at_once = fastgd.HuberRegressor(**more).fit(X, y)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_huber, "MOST_PARAMETERS", 0)
        slow = fastgd.HuberRegressor(**more).fit(X, y)
    assert at_once.n_iter_ <= 15
    assert at_once.objective_ == pytest.approx(slow.objective_, rel=1e-11)
    assert 0.0 <= at_once.gap_ <= 1e-11 * at_once.objective_
    assert at_once.scale_ == pytest.approx(slow.scale_, rel=1e-5)
    np.testing.assert_allclose(at_once.coef_, slow.coef_, rtol=1e-5, atol=1e-6)


# -- ridge regression in the rows ------------------------------------------------------------------


def _dual(Z, s, t, alpha):
    """Return (t - Z w) / alpha, w being the ridge regression's coefficients."""
    return np.linalg.solve((Z @ Z.T) * s + alpha * np.eye(len(t)), t)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_ridge_in_the_rows_solves_the_normal_equations(fit_intercept, is_weighted, dtype, rng):
    X = (rng.normal(size=(30, 3500)) * np.geomspace(0.01, 10.0, 3500) + 0.5).astype(dtype)
    X[:, 7] = 3.0 if fit_intercept else 0.0
    y = rng.normal(size=30) + 2.0
    s = rng.random(30) * (rng.random(30) > 0.1) if is_weighted else np.ones(30)
    taken, short = [], _auto.in_rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_auto, "in_rows", lambda *a: taken.append(short(*a)) or taken[-1])
        model = fastgd.Ridge(alpha=0.7, fit_intercept=fit_intercept)
        model.fit(X, y, sample_weight=s if is_weighted else None)
    assert taken[0] is not None
    wide = X.astype(np.float64)
    mean, level = (s @ wide / s.sum(), s @ y / s.sum()) if fit_intercept else (0.0, 0.0)
    Z, t = wide - mean, y - level
    expected = Z.T @ (s * _dual(Z, s, t, 0.7))
    rtol = 1e-9 if dtype is np.float64 else 1e-5
    np.testing.assert_allclose(model.coef_, expected, rtol=rtol, atol=rtol * abs(expected).max())
    assert model.coef_[7] == 0.0
    assert model.intercept_ == pytest.approx(level - np.sum(mean * expected), rel=10 * rtol)
    assert 0.0 <= model.gap_ <= 1e-6 * model.objective_


@pytest.mark.parametrize("change", [lambda X: X + 1e6, lambda X: X[:, :1] * X])
def test_what_rows_leave_to_descent_is_right_as_well(change, rng):
    X, y = change(rng.normal(size=(30, 3500)) + 1e-3), rng.normal(size=30)
    model = fastgd.Ridge(alpha=1e-9).fit(X, y)
    Z = X - X.mean(axis=0)
    a = np.linalg.solve(Z @ Z.T + 1e-9 * np.eye(30), y - y.mean())
    best = 0.5 * 1e-9**2 * a @ a / 30 + 0.5 * 1e-9 / 30 * np.sum((Z.T @ a) ** 2)
    assert model.objective_ - model.gap_ <= best * (1.0 + 1e-6)
    assert model.objective_ <= best * (1.0 + 1e-3) + 1e-20


# -- the kernels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 3, 4, 9])
def test_weighted_products_are_those_of_numpy(n, rng):
    z, weight = rng.normal(size=(n, 3)), rng.random(n) * (rng.random(n) > 0.3)
    matrix = np.zeros((3, 3))
    add_products(z, weight, matrix)
    np.testing.assert_allclose(matrix, np.tril(z.T @ (z * weight[:, None])), atol=1e-15)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_hubers_scale_is_found_with_the_coefficients_of_tall_tables(rng, layout, monkeypatch):
    """Matrices of all rows a few times; rounds of fixed scales say the same, to their tolerance."""
    n, d = 3200, 56
    X = rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.5) + 0.0
    y = X @ rng.normal(size=d) + rng.standard_t(2, size=n)
    assert n * (d + 2) ** 2 > 2 * _huber.MOST_PRODUCTS
    model = fastgd.HuberRegressor(tol=1e-4).fit(LAYOUTS[layout](X), y)
    assert model.gap_ <= 1e-8 * model.objective_
    assert model.n_iter_ < 20
    t = np.abs(y - X @ model.coef_ - model.intercept_) / model.scale_
    near = np.minimum(t, model.epsilon)
    naive = model.scale_ * (1.0 + np.mean(near * (2.0 * t - near)))
    naive += model.alpha / n * np.sum(model.coef_**2)
    assert model.objective_ == pytest.approx(naive, rel=1e-12)

    monkeypatch.setattr(_huber, "MOST_JOINT_PRODUCTS", 0)
    rounds = fastgd.HuberRegressor(tol=1e-8).fit(LAYOUTS[layout](X), y)
    assert rounds.objective_ >= model.objective_ * (1.0 - 1e-9)
    assert rounds.objective_ <= model.objective_ * (1.0 + 2e-8)


def test_the_joint_problem_of_huber_is_its_formula(rng):
    z, y, s = rng.normal(size=(40, 4)), rng.normal(size=40), rng.random(40) / 40
    columns = huber.Joint(z, y, s, 1.2, np.zeros(4), 0.0, 0.0)

    def value(u):
        t = (y - z[:, :3] @ u[:3]) / u[3]
        near = np.abs(t) < 1.2
        each = np.where(near, t**2, 2.0 * 1.2 * np.abs(t) - 1.2**2)
        return u[3] + u[3] * (s @ each)

    def gradient(u):
        found = np.zeros(4)
        place = Place(u, found, np.empty(40), np.zeros((4, 4)), *np.empty((3, 4)))
        assert huber.Joint.add_losses(columns, place) == pytest.approx(value(u), rel=1e-14)
        return found, place

    u, h = np.array([0.3, -0.2, 0.5, 0.8]), 1e-6
    slope, place = gradient(u)
    steps = h * np.eye(4)
    numeric = [(value(u + step) - value(u - step)) / (2 * h) for step in steps]
    np.testing.assert_allclose(slope, numeric, atol=1e-8)
    huber.Joint.add_hessian(columns, place)
    bends = [(gradient(u + step)[0] - gradient(u - step)[0]) / (2 * h) for step in steps]
    np.testing.assert_allclose(place.hessian, np.tril(np.array(bends)), atol=1e-6)
    assert huber.Joint.add_losses(columns, place._replace(u=-u)) == np.inf


# -- piecewise linear losses -----------------------------------------------------------------------


def short_and_long(model, X, y, **more):
    """Return the fits by the kernel, which must have found it, and by ``_piecewise``."""
    found, short = [], _auto.interior_small
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_auto, "interior_small", lambda *a: found.append(short(*a)) or found[-1])
        at_once = clone(model).fit(X, y, **more)
        patch.setattr(_auto, "interior_small", lambda *_: None)
        slow = clone(model).fit(X, y, **more)
    assert all(one is not None for one in found)
    return at_once, slow


def assert_alike(at_once, slow):
    size = np.sum(slow.objective_)
    assert np.sum(at_once.objective_) == pytest.approx(size, rel=1e-12)
    assert 0.0 <= np.max(at_once.gap_) <= 1e-12 * size
    scale = np.abs(slow.coef_).max()
    np.testing.assert_allclose(at_once.coef_, slow.coef_, rtol=1e-8, atol=1e-8 * scale)
    np.testing.assert_allclose(at_once.intercept_, slow.intercept_, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "model",
    [
        fastgd.LinearSVR(),
        fastgd.LinearSVR(epsilon=0.3, C=30.0),
        fastgd.LinearSVR(C=1e-3, fit_intercept=False),
        fastgd.LinearSVC(loss="hinge"),
        fastgd.LinearSVC(loss="hinge", C=100.0, fit_intercept=False),
    ],
)
def test_small_piecewise_losses_end_at_the_active_set(model, layout, table):
    X, y = LAYOUTS[layout](table[0]), table[1]
    y = np.digitize(y, [-0.5, 0.5]) if isinstance(model, fastgd.LinearSVC) else y
    assert_alike(*short_and_long(model, X, y))


def test_small_piecewise_losses_of_tied_rows(table):
    """Rows that are alike, and more of them met exactly than there are columns."""
    X, y = np.round(table[0]), np.round(table[1])
    assert_alike(*short_and_long(fastgd.LinearSVR(), X, y))
    assert_alike(*short_and_long(fastgd.LinearSVR(), np.vstack([X, X]), np.append(y, y)))


def test_small_piecewise_losses_of_weighted_rows(table):
    X, y = table
    times = np.arange(90) % 3
    model = fastgd.LinearSVR(epsilon=0.1)
    weighted, slow = short_and_long(model, X, y, sample_weight=times.astype(float))
    assert_alike(weighted, slow)
    repeated = clone(model).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-9)


def test_callbacks_follow_the_small_interior_point_method(table):
    X, y = table
    seen = []
    follow = [lambda view: seen.append(view.history["suboptimality"][-1])]
    watched, alone = fastgd.LinearSVR(callbacks=follow).fit(X, y), fastgd.LinearSVR().fit(X, y)
    np.testing.assert_array_equal(watched.coef_, alone.coef_)
    assert watched.history_ == alone.history_
    assert seen == alone.history_["suboptimality"]
    assert len(seen) == alone.n_iter_ <= 15
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stopped = fastgd.LinearSVR(callbacks=[lambda view: view.epoch == 2]).fit(X, y)
    assert stopped.n_iter_ == 2


def test_exact_fits_leave_small_piecewise_losses_to_the_long_way(table):
    X = table[0]
    y = X @ np.arange(1.0, 6.0)
    model = fastgd.LinearSVR(C=1e6, fit_intercept=False).fit(X, y)
    assert model.gap_ <= 1e-4 * model.objective_
    np.testing.assert_allclose(X @ model.coef_, y, atol=1e-3 * np.abs(y).max())
