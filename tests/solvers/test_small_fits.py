"""Small fits at once: the optimum that descent finds, as exactly; what they leave to descent."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model as sk
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._runtime import warmup
from fastgd._solvers import _auto
from fastgd.kernels import newton as kernel
from fastgd.kernels.losses import LogLoss
from tests.tables import over_product

NUMBERS = [
    fastgd.LinearRegression(),
    fastgd.Ridge(),
    fastgd.Lasso(alpha=0.1),
    fastgd.ElasticNet(alpha=0.1),
    fastgd.LinearSVR(loss="squared_epsilon_insensitive", epsilon=0.1),
]
LABELS = [
    fastgd.LogisticRegression(),
    fastgd.LinearSVC(),
    fastgd.LinearSVC(fit_intercept=False, C=30.0),
]
COUNTS = [fastgd.PoissonRegressor(), fastgd.GammaRegressor(alpha=0.01)]
LAYOUTS = ["C", "F", "csr", "csc"]


def name(model):
    return repr(model)


@pytest.fixture
def table(rng):
    """Correlated columns of unlike scales and places, one of them constant, and targets."""
    X = rng.normal(size=(120, 6)) @ (np.eye(6) + 0.4) + rng.normal(size=6)
    X *= np.geomspace(0.01, 100.0, 6)
    X[:, 2] = 3.0
    raw = ((X - X.mean(axis=0)) / (X.std(axis=0) + (X.std(axis=0) == 0))) @ rng.normal(size=6)
    return X, raw + rng.normal(size=120)


def laid_out(X, layout):
    if layout in ("csr", "csc"):
        return sp.csr_matrix(X).asformat(layout)
    return np.asarray(X, order=layout)


def target(model, y):
    if model in COUNTS:
        return np.exp(y / 3.0)
    return y if model in NUMBERS else (y > 0.0).astype(int)


def both(model, *given, monkeypatch, **more):
    """Return a fit at once, and one by descent; check that the first is at once."""
    taken = []
    short = _auto._of_few_columns

    def spied(*arguments):
        answer = short(*arguments)
        taken.append(answer is not None)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(_auto, "_of_few_columns", spied)
        at_once = fastgd_clone(model).fit(*given, **more)
        patch.setattr(_auto, "_of_few_columns", lambda *_: None)
        by_descent = fastgd_clone(model).fit(*given, **more)
    assert taken
    assert all(taken)
    return at_once, by_descent


def fastgd_clone(model):
    return type(model)(**model.get_params())


def assert_no_worse(at_once, by_descent, rtol=1e-7):
    ours, theirs = np.asarray(at_once.objective_), np.asarray(by_descent.objective_)
    rounding = 1e-13 * theirs
    assert np.all(ours <= theirs + rounding)
    assert np.all(ours - theirs >= -np.asarray(by_descent.gap_) - rounding)
    assert np.all(np.asarray(at_once.gap_) <= 1e-10 * ours + 1e-15)
    size = np.abs(by_descent.coef_).max()
    np.testing.assert_allclose(at_once.coef_, by_descent.coef_, rtol=rtol, atol=rtol * size)
    np.testing.assert_allclose(at_once.intercept_, by_descent.intercept_, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("model", [*NUMBERS, *LABELS, *COUNTS], ids=name)
@over_product(lambda layout: layout in ("C", "csr"), layout=LAYOUTS)
def test_it_is_the_optimum_that_descent_finds(model, layout, table, monkeypatch):
    X, y = table
    given = laid_out(X, layout), target(model, y)
    assert_no_worse(*both(model, *given, monkeypatch=monkeypatch))


@pytest.mark.parametrize("model", [*NUMBERS, *LABELS, *COUNTS], ids=name)
def test_with_weights_some_of_them_zero(model, table, rng, monkeypatch):
    X, y = table
    weight = rng.random(120) * (rng.random(120) > 0.2)
    given = X, target(model, y)
    assert_no_worse(*both(model, *given, sample_weight=weight, monkeypatch=monkeypatch))


@pytest.mark.parametrize("model", [NUMBERS[1], NUMBERS[2], LABELS[0]], ids=name)
def test_float32_is_rounded_once(model, table, monkeypatch):
    X, y = table
    X = X.astype(np.float32)
    at_once, by_descent = both(model, X, target(model, y), monkeypatch=monkeypatch)
    assert at_once.coef_.dtype == np.float32
    np.testing.assert_allclose(at_once.coef_, by_descent.coef_, rtol=1e-5, atol=1e-6)
    wide = fastgd_clone(model).fit(X.astype(np.float64), target(model, y))
    np.testing.assert_array_equal(at_once.coef_, wide.coef_.astype(np.float32))
    assert at_once.objective_ >= wide.objective_ * (1.0 - 1e-14)
    assert at_once.objective_ - at_once.gap_ <= wide.objective_ * (1.0 + 1e-14)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("C", [0.01, 1.0, 1e4])
def test_softmax_of_few_columns(C, fit_intercept, table, monkeypatch):
    X, y = table
    labels = np.digitize(y, np.quantile(y, [0.3, 0.6]))
    model = fastgd.LogisticRegression(C=C, fit_intercept=fit_intercept)
    at_once, by_descent = both(model, X, labels, monkeypatch=monkeypatch)
    assert_no_worse(at_once, by_descent, rtol=1e-5)
    if fit_intercept:
        assert at_once.intercept_.sum() == pytest.approx(0.0, abs=1e-12)


def test_the_normal_equations_of_ridge(table):
    X, y = table
    Z, t = X - X.mean(axis=0), y - y.mean()
    expected = np.linalg.solve(Z.T @ Z + 0.3 * np.eye(6), Z.T @ t)
    model = fastgd.Ridge(alpha=0.3).fit(X, y)
    np.testing.assert_allclose(model.coef_, expected, rtol=1e-9)
    assert model.intercept_ == pytest.approx(y.mean() - X.mean(axis=0) @ expected)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_gap_of_l1_is_a_duality_gap(share, table):
    X, y = table
    model = fastgd.ElasticNet(alpha=0.2, l1_ratio=share).fit(X, y)
    peer = sk.ElasticNet(alpha=0.2, l1_ratio=share, tol=1e-12, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(model.coef_, peer.coef_, rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(model.coef_ == 0.0, np.abs(peer.coef_) < 1e-9)
    assert 0.0 <= model.gap_ <= 1e-12 * model.objective_


def test_all_zero_under_a_strong_l1(table):
    X, y = table
    model = fastgd.Lasso(alpha=1e6).fit(X, y)
    np.testing.assert_array_equal(model.coef_, 0.0)
    assert model.intercept_ == pytest.approx(y.mean())
    assert model.objective_ == pytest.approx(0.5 * y.var())


def far(X):
    return X + np.array([1e5, 0, 0, 0, 0, 0])


@pytest.mark.parametrize(
    "change",
    [far, lambda X: X * 1e160, lambda X: np.hstack([X, X]), lambda X: X[:4]],
    ids=["far", "huge", "dependent", "few rows"],
)
def test_what_is_left_to_descent(change, table, monkeypatch):
    X, y = change(table[0]), table[1]
    y = y[: X.shape[0]]
    answers = []
    short = _auto._of_few_columns

    def spied(*arguments):
        answers.append(short(*arguments))
        return answers[-1]

    monkeypatch.setattr(_auto, "_of_few_columns", spied)
    model = fastgd.LinearRegression().fit(X, y)
    assert answers == [None]
    with np.errstate(all="ignore"):
        residual = y - model.predict(X)
    best = y - sk.LinearRegression().fit(np.hstack([table[0]])[: len(y)], y).predict(
        table[0][: len(y)]
    )
    assert residual @ residual <= best @ best * (1.0 + 1e-6) + 1e-12


def test_targets_that_are_predicted_exactly(table):
    X = table[0]
    y = X @ np.arange(6.0) + 2.0
    model = fastgd.LinearRegression().fit(X, y)
    np.testing.assert_allclose(model.coef_[[0, 1, 3, 4, 5]], [0.0, 1.0, 3.0, 4.0, 5.0], atol=1e-9)


def test_warm_up_reaches_what_large_data_need():
    model = fastgd.LogisticRegression()
    task = warmup._Task(warmup._Fit(model, 2), "float64", is_sparse=False)
    X, y = warmup._data(task, far=True)
    answers = []
    short = _auto._of_few_columns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_auto, "_of_few_columns", lambda *a: answers.append(short(*a)) or answers[-1])
        model.fit(X, y)
    assert answers == [None]


# -- passes, callbacks, warm starts ----------------------------------------------------------------


def test_max_iter_bounds_the_passes(table):
    X, y = table[0], (table[1] > 0.0).astype(int)
    lowest = fastgd.LogisticRegression(C=1e3).fit(X, y)
    before = np.inf
    for most in (1, 2, 3):
        with pytest.warns(ConvergenceWarning, match=f"max_iter={most}"):
            model = fastgd.LogisticRegression(C=1e3, max_iter=most).fit(X, y)
        assert model.n_iter_[0] == most == len(model.history_["objective"])
        assert lowest.objective_ <= model.objective_ < before
        assert model.objective_ - model.gap_ <= lowest.objective_
        before = model.objective_
    assert lowest.history_["objective"][:3] == model.history_["objective"]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_callbacks_change_nothing(n_classes, table):
    X, y = table[0], np.digitize(table[1], np.quantile(table[1], [0.3, 0.6][: n_classes - 1]))
    seen = []

    def look(view):
        seen.append((view.epoch, view.history["objective"][-1], view.coef_.copy()))

    watched = fastgd.LogisticRegression(callbacks=[look]).fit(X, y)
    alone = fastgd.LogisticRegression().fit(X, y)
    np.testing.assert_array_equal(watched.coef_, alone.coef_)
    assert watched.history_ == alone.history_
    assert [epoch for epoch, _, _ in seen] == list(range(1, alone.n_iter_[0] + 1))
    assert [value for _, value, _ in seen] == alone.history_["objective"]
    assert not np.array_equal(seen[0][2], seen[-1][2])


def test_a_callback_stops_it(table):
    X, y = table[0], (table[1] > 0.0).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fastgd.LogisticRegression(callbacks=[lambda view: view.epoch == 2]).fit(X, y)
    assert model.n_iter_[0] == 2
    assert model.objective_ == model.history_["objective"][-1]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_warm_start_is_where_it_ended(n_classes, table):
    X, y = table[0], np.digitize(table[1], np.quantile(table[1], [0.3, 0.6][: n_classes - 1]))
    model = fastgd.LogisticRegression(warm_start=True).fit(X, y)
    before = model.coef_.copy()
    assert model.n_iter_[0] > 2
    model.fit(X, y)
    assert model.n_iter_[0] == 1
    np.testing.assert_allclose(model.coef_, before, rtol=1e-9, atol=1e-12)


# -- the kernel ------------------------------------------------------------------------------------


def test_the_kernel_finds_where_the_gradient_vanishes(rng):
    z, y = rng.normal(size=(80, 4)), (rng.random(80) > 0.5).astype(float)
    weight, ridge = np.full(80, 1.0 / 80), np.array([0.1, 0.0, 1e-3, 2.0])
    columns = kernel.Columns(z, y, weight, LogLoss(), ridge, 0.0, 1e-31)
    place = kernel.Place(
        np.zeros(4), np.empty(4), np.empty(80), np.empty((4, 4)), *np.empty((3, 4))
    )
    reported = np.empty((50, 2))
    status, passes, objective, suboptimality = kernel.newton_steps(columns, place, reported, 50)
    assert status == kernel.ARRIVED
    p = 1.0 / (1.0 + np.exp(-z @ place.u))
    np.testing.assert_allclose(z.T @ (p - y) / 80 + ridge * place.u, 0.0, atol=1e-15)
    raw = z @ place.u
    value = np.mean(np.logaddexp(0.0, raw) - y * raw) + 0.5 * ridge @ place.u**2
    assert objective == pytest.approx(value, rel=1e-14)
    assert reported[passes - 1, 0] == pytest.approx(value, rel=1e-10)
    assert suboptimality <= 1e-25


def test_a_hessian_that_is_singular_is_reported(rng):
    z = np.repeat(rng.normal(size=(30, 1)), 2, axis=1)
    columns = kernel.Columns(
        z, np.ones(30), np.full(30, 1 / 30), LogLoss(), np.zeros(2), 0.0, 1e-31
    )
    place = kernel.Place(
        np.zeros(2), np.empty(2), np.empty(30), np.empty((2, 2)), *np.empty((3, 2))
    )
    steps = kernel.newton_steps(columns, place, np.empty((9, 2)), 9)
    assert steps[0] == kernel.FAILED


# -- the short way in ------------------------------------------------------------------------------


def test_csr_is_checked_on_the_short_way(table):
    X, y = sp.csr_matrix(table[0]), table[1]
    model = fastgd.Ridge().fit(X, y)
    np.testing.assert_allclose(model.predict(X), model.predict(table[0]))
    holed = X.copy()
    holed.data[7] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fastgd.Ridge().fit(holed, y)
    with pytest.raises(ValueError, match="NaN"):
        model.predict(holed)
    with pytest.raises(ValueError, match="features"):
        model.predict(X[:, :3])
    wrong = X.copy()
    wrong.indices[3] = 77
    with pytest.raises(ValueError, match="CSR"):
        fastgd.Ridge().fit(wrong, y)


def test_labels_that_look_like_numbers_are_warned_of(rng):
    X = rng.normal(size=(30, 2))
    with pytest.warns(UserWarning, match="unique classes"):
        fastgd.LogisticRegression(C=0.01).fit(X, np.arange(30) % 20)


def test_a_wrong_parameter_is_found_after_a_right_one(table):
    X, y = table
    model = fastgd.Ridge(alpha=1.0).fit(X, y)
    with pytest.raises(ValueError, match="alpha"):
        model.set_params(alpha=-1.0).fit(X, y)
    with pytest.raises(ValueError, match="fit_intercept"):
        model.set_params(alpha=1.0, fit_intercept="yes").fit(X, y)
    assert model.set_params(fit_intercept=True).fit(X, y).n_features_in_ == 6


@pytest.mark.parametrize("estimator", ["PoissonRegressor", "LogisticRegression"])
def test_many_rows_of_few_columns_are_sampled_and_as_exact_as_asked(rng, estimator):
    """The same rows, as many as the limit and one more: both are within tol of one optimum."""
    from fastgd._solvers._costs import FINISHED_IN_FLOAT64

    sampled_from = FINISHED_IN_FLOAT64 // 8
    X = rng.normal(size=(sampled_from + 1, 8))
    y = rng.poisson(np.exp(0.3 * X[:, 0])).astype(float)
    y = (y > 0.0).astype(int) if estimator == "LogisticRegression" else y
    for n in (sampled_from, sampled_from + 1):
        found = getattr(fastgd, estimator)(tol=1e-6).fit(X[:n], y[:n])
        best = getattr(fastgd, estimator)(tol=1e-12).fit(X[:n], y[:n])
        assert found.gap_ <= 1e-6 * found.objective_
        assert found.objective_ - best.objective_ <= found.gap_ + 1e-14
        np.testing.assert_allclose(found.coef_, best.coef_, rtol=0.0, atol=1e-3)
