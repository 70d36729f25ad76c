"""Piecewise linear losses, and Huber's with its scale: the optimum at any scale, and its proof."""

import warnings
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import linprog, lsq_linear
from sklearn import linear_model, svm
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._solvers import _piecewise
from fastgd._solvers._boxed_rows import by_boxed_rows
from fastgd._solvers._dual_points import (
    certify,
    loss_of,
    missed_by,
    pieces_of,
    predictions,
    products_with,
)
from fastgd._solvers._newton_systems import Covariance
from fastgd._solvers._problem import model_at, pose
from fastgd._solvers._task import Options, Task
from fastgd.kernels import losses
from tests.solvers.test_gd import as_rows

LAYOUTS = {"dense": np.asarray, "narrow": lambda X: X.astype(np.float32), "csr": sp.csr_array}
layouts = pytest.mark.parametrize("layout", LAYOUTS)
TOL = 1e-9


@pytest.fixture
def data(rng):
    """Return columns, noise with heavy tails, and targets."""
    X = rng.normal(size=(150, 4))
    noise = rng.standard_t(2, size=150)
    return X, noise, X @ np.array([1.0, -2.0, 0.0, 0.5]) + noise


def least_pinball(X, y, q=0.5, alpha=0.0, fit_intercept=True, weight=None):
    """Return the optimum that linear programming finds, of columns and targets of moderate size."""
    n, d = X.shape
    s = np.full(n, 1.0 / n) if weight is None else weight / weight.sum()
    ones = np.ones((n, 2 if fit_intercept else 0)) * ([1.0, -1.0] if fit_intercept else 1.0)
    A = np.hstack([X, -X, ones, np.eye(n), -np.eye(n)])
    cost = np.concatenate([np.full(2 * d, alpha), 0.0 * ones[0], q * s, (1 - q) * s])
    return linprog(cost, A_eq=A, b_eq=y, method="highs").fun


def pinball(model, X, y):
    """Return what a fitted QuantileRegressor should minimise."""
    residual = y - X @ model.coef_ - model.intercept_
    q = model.quantile
    loss = np.mean(np.maximum(q * residual, (q - 1.0) * residual))
    return loss + model.alpha * np.abs(model.coef_).sum()


def fit(model, X, y, weight=None):
    """Return the fitted model, and whether it said that it could do better."""
    with warnings.catch_warnings(record=True) as reported:
        warnings.simplefilter("always")
        model.fit(X, y, weight)
    assert {warning.category for warning in reported} <= {ConvergenceWarning}
    return model, len(reported) > 0


# Quantiles


@pytest.mark.parametrize("offset", [1.0, 1e5, 1e8])
def test_a_column_of_ones_may_carry_any_level(data, offset):
    X, noise, _ = data
    A = np.column_stack([X, np.ones(150)])
    model = fastgd.QuantileRegressor(alpha=0.0, fit_intercept=False).fit(A, offset + noise)
    best = least_pinball(A, noise, fit_intercept=False)
    assert pinball(model, A, offset + noise) == pytest.approx(best, rel=1e-9 + 1e-15 * offset)
    assert model.gap_ <= (1e-9 + 1e-15 * offset) * best
    assert model.n_iter_ < 30


@pytest.mark.parametrize("alpha", [1e-3, 0.1, 1.0])
@pytest.mark.parametrize("has_ones", [True, False])
def test_penalised_quantiles_far_from_zero(data, alpha, has_ones):
    X, noise, _ = data
    A, y = np.column_stack([X, np.ones(150)]) if has_ones else X, 1e6 + noise
    model = fastgd.QuantileRegressor(alpha=alpha, fit_intercept=False).fit(A, y)
    best = least_pinball(A, y, alpha=alpha, fit_intercept=False)
    assert pinball(model, A, y) == pytest.approx(best, rel=1e-9)
    assert model.objective_ == pytest.approx(best, rel=1e-9)
    assert 0.0 <= model.gap_ <= 1e-4 * best


@layouts
@pytest.mark.parametrize("alpha", [0.0, 0.02])
def test_quantiles_of_columns_of_any_scale(data, layout, alpha):
    X, _, y = data
    scales = np.array([1e-6, 1.0, 1e3, 1e6])
    A = np.column_stack([X * scales, np.full(150, 3.0)])
    if layout != "narrow":  # where rounding tells one from the other
        A = np.column_stack([A, X[:, 1]])
    model = fastgd.QuantileRegressor(quantile=0.3, alpha=alpha).fit(LAYOUTS[layout](A), y)
    A = A.astype(np.float32).astype(float) if layout == "narrow" else A
    best = least_pinball(A / np.append(scales, np.ones(A.shape[1] - 4)), y, 0.3)
    if alpha > 0.0:
        best = least_pinball(A, y, 0.3, alpha)
    rounding = 1e-6 if layout == "narrow" else 1e-9
    assert model.objective_ == pytest.approx(best, rel=rounding)
    assert model.gap_ <= rounding * best
    if alpha > 0.0:
        assert model.coef_[0] == 0.0  # exactly


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e-9, 1e9, 1e160, 1e300])
@pytest.mark.parametrize("outlier", [False, True])
def test_quantiles_of_targets_of_any_size(data, size, outlier):
    X, _, y = data
    if outlier:
        y[7] = 1e6
    kwargs = {"quantile": 0.7, "alpha": 0.03}
    model = fastgd.QuantileRegressor(**kwargs).fit(X, size * y)
    usual = fastgd.QuantileRegressor(**kwargs).fit(X, y)
    np.testing.assert_allclose(model.coef_ / size, usual.coef_, rtol=1e-9)
    np.testing.assert_allclose(model.intercept_ / size, usual.intercept_, rtol=1e-9)
    assert model.objective_ / size == pytest.approx(least_pinball(X, y, 0.7, 0.03), rel=1e-8)
    assert model.gap_ <= 1e-9 * model.objective_
    residual = size * y - model.predict(X)
    objective = np.mean(np.maximum(0.7 * residual, -0.3 * residual))
    assert model.objective_ == pytest.approx(objective + 0.03 * np.abs(model.coef_).sum(), rel=1e-9)


@layouts
@pytest.mark.parametrize("alpha", [1e-30, 1e-20, 1e-12])
def test_a_penalty_below_the_rounding_of_gradients_is_proven(data, layout, alpha):
    # the dual point was scaled to zero: the gap was the objective, after 24 steps in place of 11
    X, _, y = data
    model, reported = fit(fastgd.QuantileRegressor(alpha=alpha), LAYOUTS[layout](X), y)
    assert not reported
    assert model.gap_ <= 1e-8 * model.objective_
    X = X.astype(np.float32).astype(float) if layout == "narrow" else X
    assert model.objective_ == pytest.approx(least_pinball(X, y), rel=1e-6)


def test_heavy_tails_and_weights(rng):
    X = rng.standard_t(1, size=(200, 3))
    y, weight = rng.standard_t(1, size=200), rng.integers(0, 4, 200).astype(float)
    model = fastgd.QuantileRegressor(alpha=0.0).fit(X, y, weight)
    best = least_pinball(X, y, weight=weight)
    assert model.objective_ == pytest.approx(best, rel=1e-9)
    assert model.gap_ <= TOL * best


@pytest.mark.parametrize("level", [0.0, 3.0, 1e-300, -1e200])
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_constant_targets_are_fitted_exactly(data, level, alpha):
    model = fastgd.QuantileRegressor(alpha=alpha).fit(data[0], np.full(150, level))
    np.testing.assert_allclose(model.predict(data[0]), level, rtol=1e-12)
    assert model.objective_ <= 1e-12 * abs(level)


def test_an_exact_fit_is_finished(data):
    X = data[0]
    model, reported = fit(fastgd.QuantileRegressor(alpha=0.0), X, 1e3 + X @ np.ones(4))
    assert not reported
    assert model.objective_ < 1e-11
    np.testing.assert_allclose(model.coef_, 1.0, rtol=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 1e-3, 0.05])
def test_quantiles_of_more_columns_than_rows(rng, alpha):
    X, y = rng.normal(size=(40, 90)) * np.geomspace(1.0, 1e3, 90), rng.normal(size=40)
    model, reported = fit(fastgd.QuantileRegressor(alpha=alpha, quantile=0.4), X, y)
    best = least_pinball(X, y, 0.4, alpha)
    assert model.objective_ <= best * (1.0 + 1e-7) + 1e-12
    assert not reported
    assert np.sum(model.coef_ != 0.0) <= 40 or alpha == 0.0


# Support vector machines


def least_hinge(X, y, C):
    """Return the optimum of LinearSVC without an intercept, n <= d: a box-constrained dual."""
    A = (X * y[:, None]).T / np.linalg.norm(X)  # |A a|^2 / 2 - p'a, in a = dual * scale^2
    scale = np.linalg.norm(X) ** 2
    target = np.linalg.lstsq(A.T, np.ones(X.shape[0]), rcond=None)[0]
    a = lsq_linear(A, target, (0.0, C * scale), method="bvls", tol=1e-15, max_iter=10_000).x
    return (a.sum() - 0.5 * np.sum((A @ a) ** 2)) / scale


@layouts
@pytest.mark.parametrize("C", [1e-12, 1e-8, 1.0, 1e4])
@pytest.mark.parametrize("solver", ["auto", "gd"])
def test_hinge_of_few_rows_and_columns_of_any_scale(rng, layout, C, solver):
    X = rng.normal(size=(30, 60)) * np.geomspace(1.0, 1e6, 60)
    X = X.astype(np.float32).astype(float)
    y = np.sign(rng.normal(size=30))
    kwargs = {"loss": "hinge", "fit_intercept": False, "C": C, "solver": solver}
    model, reported = fit(fastgd.LinearSVC(**kwargs), LAYOUTS[layout](X), y)
    best = least_hinge(X, y, C) / (30 * C)
    assert model.objective_ - best <= model.gap_ + 1e-6 * best
    assert reported == (model.gap_ > 1e-4 * model.objective_)
    if layout != "narrow" or C < 1.0:  # coefficients in float32 are worth so much only
        assert not reported
        assert model.objective_ == pytest.approx(best, rel=2e-4)


@pytest.mark.parametrize("loss", ["hinge", "epsilon"])
@pytest.mark.parametrize("C", [1e-3, 1.0, 1e3])
def test_support_vector_machines_are_liblinears(data, loss, C):
    X, _, y = data
    kwargs = {"C": C, "tol": 1e-10, "max_iter": 10_000_000, "random_state": 0}
    if loss == "hinge":
        y = np.sign(y)
        ours = fastgd.LinearSVC(loss="hinge", C=C).fit(X, y)
        theirs = svm.LinearSVC(loss="hinge", **kwargs).fit(X, y)
        missed = np.maximum(1.0 - y * theirs.decision_function(X), 0.0)
    else:
        ours = fastgd.LinearSVR(C=C, epsilon=0.2).fit(X, y)
        theirs = svm.LinearSVR(epsilon=0.2, **kwargs).fit(X, y)
        missed = np.maximum(np.abs(y - theirs.predict(X)) - 0.2, 0.0)
    norm = np.sum(theirs.coef_**2) + np.sum(theirs.intercept_**2)
    best = missed.mean() + 0.5 * norm / (C * 150)
    assert ours.objective_ == pytest.approx(best, rel=1e-7)
    assert ours.gap_ <= 1e-10 * best


@pytest.mark.parametrize(
    ("layout", "many_rows"), [("dense", 1000), *[(layout, 10**6) for layout in LAYOUTS]]
)
@pytest.mark.parametrize("n_outliers", [1, 5, 50])
def test_a_few_rows_that_are_much_larger(rng, layout, n_outliers, many_rows, monkeypatch):
    """Their residuals change by 1e5, where those of the others change by 1."""
    monkeypatch.setattr(_piecewise, "MANY_ROWS", many_rows)
    X = rng.normal(size=(2000, 10))
    y = np.sign(X @ rng.normal(size=10) + rng.logistic(size=2000))
    X[rng.choice(2000, n_outliers, replace=False)] *= 1e5
    X = X.astype(np.float32).astype(np.float64)
    model, reported = fit(fastgd.LinearSVC(loss="hinge"), LAYOUTS[layout](X), y)
    assert not reported
    w, b = model.coef_[0], model.intercept_[0]
    margins = np.maximum(1.0 - y * (X @ w + b), 0.0)
    assert model.objective_ == pytest.approx(margins.mean() + (w @ w + b * b) / 4000.0, rel=1e-6)
    assert model.gap_ <= 1e-4 * model.objective_


@pytest.mark.parametrize("size", [1e-250, 1e-100, 1e100, 1e250])
def test_regression_machines_of_targets_of_any_size(data, size):
    X, _, y = data
    kwargs = {"epsilon": 0.3 * size, "C": 1e6 if size < 1.0 else size**0.5}
    model, reported = fit(fastgd.LinearSVR(**kwargs), X, size * y)
    assert not reported
    assert model.gap_ <= 1e-4 * model.objective_
    if size < 1.0:  # next to no penalty
        best = fastgd.LinearSVR(epsilon=0.3, C=1e12).fit(X, y)
        np.testing.assert_allclose(model.coef_ / size, best.coef_, rtol=1e-5)


@pytest.mark.parametrize("C", [1e8, 1e20])
def test_weak_penalties_leave_a_proof(data, C):
    X, _, y = data
    scales = np.array([1e6, 1.0, 1e-6, 1e3])
    for model, targets in (
        (fastgd.LinearSVC(loss="hinge", C=C), np.sign(y)),
        (fastgd.LinearSVR(C=C), y),
    ):
        model, reported = fit(model, X * scales, targets)
        assert not reported
        assert model.gap_ <= 1e-4 * model.objective_


# Huber


def huber_objective(model, X, y):
    t = np.abs(y - X @ model.coef_ - model.intercept_) / model.scale_
    e = model.epsilon
    H = np.where(t < e, t**2, 2.0 * e * t - e**2)
    penalty = model.alpha * np.sum(model.coef_**2) / X.shape[0]
    return model.scale_ * (1.0 + np.mean(H)) + penalty


@pytest.mark.parametrize("epsilon", [1.2, 1.35, 4.0])
@pytest.mark.parametrize("alpha", [0.0, 1e-4, 10.0])
def test_huber_proves_its_gap(data, epsilon, alpha):
    X, _, y = data
    kwargs = {"epsilon": epsilon, "alpha": alpha}
    model = fastgd.HuberRegressor(**kwargs).fit(X, y)
    theirs = linear_model.HuberRegressor(tol=1e-10, max_iter=10_000, **kwargs).fit(X, y)
    best = huber_objective(theirs, X, y)
    assert model.objective_ == pytest.approx(huber_objective(model, X, y), rel=1e-12)
    assert model.objective_ <= best * (1.0 + 1e-12)
    assert 0.0 <= model.gap_ <= 1e-10 * best


def test_hubers_gap_is_a_bound_before_the_end(data):
    X, _, y = data
    best = fastgd.HuberRegressor().fit(X, y).objective_
    for most in range(8):
        model, reported = fit(fastgd.HuberRegressor(max_iter=most), X, y)
        assert model.gap_ >= (model.objective_ - best) * (1.0 - 1e-9) - 1e-12
        assert reported == (model.gap_ > 1e-5 * model.objective_)


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e12, 1e160, 1e300])
def test_huber_of_targets_of_any_size(data, size):
    X, _, y = data
    model = fastgd.HuberRegressor(alpha=0.0).fit(X, size * y)
    usual = fastgd.HuberRegressor(alpha=0.0).fit(X, y)
    np.testing.assert_allclose(model.coef_ / size, usual.coef_, rtol=1e-7)
    assert model.scale_ / size == pytest.approx(usual.scale_, rel=1e-7)
    assert model.gap_ <= 1e-9 * model.objective_
    np.testing.assert_array_equal(model.outliers_, usual.outliers_)


@pytest.mark.parametrize("offset", [1e4, 1e8, 1e10])
def test_an_offset_costs_huber_few_passes(data, offset):
    X, _, y = data
    usual = fastgd.HuberRegressor().fit(X, y)
    model = fastgd.HuberRegressor().fit(X + np.array([offset, 0.0, 0.0, 0.0]), y)
    assert model.objective_ == pytest.approx(usual.objective_, rel=1e-5)
    assert model.n_iter_ <= 2 * usual.n_iter_


@pytest.mark.parametrize("offset", [1.0, 1e5, 1e8])
def test_huber_at_one_is_least_absolute_deviations(data, offset):
    X, noise, _ = data
    A = np.column_stack([X, np.ones(150)])
    model = fastgd.HuberRegressor(epsilon=1.0, alpha=0.0, fit_intercept=False)
    model.fit(A, offset + noise)
    best = 4.0 * least_pinball(A, noise, fit_intercept=False)
    assert model.objective_ == pytest.approx(best, rel=1e-8 + 1e-15 * offset)
    assert model.gap_ <= (1e-8 + 1e-15 * offset) * best


def test_huber_that_fits_most_rows_proves_it(data):
    X = data[0]
    y = X @ np.ones(4)
    y[:10] += 5.0
    model, reported = fit(fastgd.HuberRegressor(alpha=0.0), X, y)
    assert not reported
    assert model.scale_ < 1e-12
    assert model.gap_ <= 1e-9 * model.objective_


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("spread", [1.0, 1e9])
def test_huber_of_more_columns_than_rows_finds_a_vanishing_scale(rng, layout, spread):
    X = LAYOUTS[layout](rng.normal(size=(40, 100)) * np.geomspace(1.0 / spread, spread, 100))
    wide = np.asarray(X.todense() if sp.issparse(X) else X, np.float64)
    y = 3.0 + rng.normal(size=40)
    # nothing but the penalty is left: that of the least coefficients with no residual
    rows = wide - wide.mean(axis=0)
    w = np.linalg.lstsq(rows, y - y.mean(), rcond=None)[0]
    best = 1e-4 * float(w @ w) / 40
    stored, last = np.dtype(X.dtype) == np.float32, np.inf
    for tol in (1e-1, 1e-4, 1e-8):
        model, reported = fit(fastgd.HuberRegressor(tol=tol), X, y)
        rounding = 1e-4 * best + 1e-6 if stored else 1e-9 * best + 1e-12
        assert model.objective_ <= min(best, last) + rounding
        assert model.objective_ - model.gap_ <= best + 1e-13
        assert reported or model.gap_ <= tol * model.objective_ + 1e-13
        assert not reported or stored
        assert model.n_iter_ < 300
        last = model.objective_


def sparse_normal(rng, n, d, share):
    return sp.csr_array(rng.normal(size=(n, d)) * (rng.random((n, d)) < share))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("alpha", [1e-4, 0.3, 3.0, 30.0])
def test_huber_of_more_sparse_columns_than_rows_is_that_of_dense_ones(rng, alpha, fit_intercept):
    """Where too many rows are stored sparse for a basis, their multipliers are found."""
    X = sparse_normal(rng, 400, 520, 0.02)
    y = 5.0 * fit_intercept + X @ rng.normal(size=520) + rng.standard_t(2, size=400)
    weight = rng.uniform(0.5, 2.0, 400) * (rng.random(400) < 0.9)
    kwargs = {"alpha": alpha, "fit_intercept": fit_intercept}
    model, reported = fit(fastgd.HuberRegressor(**kwargs), X, y, weight)
    dense = fastgd.HuberRegressor(tol=1e-9, **kwargs).fit(X.toarray(), y, weight)
    assert not reported
    best = dense.objective_
    assert model.objective_ <= best * (1.0 + 1e-5)
    assert model.objective_ - model.gap_ <= best * (1.0 + 1e-9)
    assert len(model.history_["objective"]) == model.n_iter_ <= 200


def test_multipliers_of_rows_are_those_of_least_absolute_deviations(rng):
    X = sparse_normal(rng, 60, 90, 0.2)
    y, weight = 2.0 + rng.normal(size=60), rng.uniform(0.5, 2.0, 60)
    l2 = 0.3
    task = Task(as_rows(X), y, weight, losses.SquaredError(), 0.0, l2, 90, 1, True)
    problem = pose(task)
    bound = 1.5 * problem.weight
    found = by_boxed_rows(problem, bound, 1e-12, np.inf, 2000)
    model = model_at(problem, found.u)
    r, e = found.multipliers, y - X @ model.coef - model.intercept
    np.testing.assert_allclose(e, found.residual, atol=1e-10)
    np.testing.assert_allclose(l2 * model.coef, X.T @ r, atol=1e-12)
    assert abs(r.sum()) < 1e-12
    assert (np.abs(r) <= bound * (1.0 + 1e-12)).all()
    is_inside = np.abs(r) < bound * (1.0 - 1e-9)
    assert 5 < is_inside.sum() < 55
    np.testing.assert_allclose(e[is_inside], 0.0, atol=1e-9)
    assert (e * r)[~is_inside].min() > 0.0


def test_multipliers_beyond_a_limit_are_given_up(rng):
    X, y = sparse_normal(rng, 60, 90, 0.2), rng.normal(size=60)
    task = Task(as_rows(X), y, None, losses.SquaredError(), 0.0, 10.0, 90, 1, True)
    problem = pose(task)
    given_up = by_boxed_rows(problem, 2.7 * problem.weight, 1e-12, 4.0, 2000)
    found = by_boxed_rows(problem, 2.7 * problem.weight, 1e-12, np.inf, 2000)
    assert np.sum(found.multipliers**2 / problem.weight) > 4.0
    assert given_up.n_iter < found.n_iter


def test_huber_goes_on_in_a_basis_of_its_rows_and_tells_of_its_columns(rng):
    X, y = rng.normal(size=(30, 70)), rng.normal(size=30)
    told = []

    class Told:
        def on_epoch_end(self, view):
            told.append(np.array(view.coef_))

    model = fastgd.HuberRegressor(alpha=1.0, warm_start=True, callbacks=[Told()]).fit(X, y)
    assert told[-1].shape == (70,)
    np.testing.assert_allclose(told[-1], model.coef_, rtol=1e-6, atol=1e-9)
    first, objective = model.n_iter_, model.objective_
    model.fit(X, y)
    assert model.n_iter_ <= first
    assert model.objective_ == pytest.approx(objective, rel=1e-9)


# Passes


class Counting:
    """Counts what is reported to it."""

    def on_fit_begin(self, view):  # noqa: ARG002
        self.entries, self.passes = 0, 0

    def on_epoch_end(self, view):
        self.entries, self.passes = self.entries + 1, view.n_passes


NONSMOOTH = [
    fastgd.QuantileRegressor(alpha=0.0),
    fastgd.QuantileRegressor(alpha=0.1),
    fastgd.LinearSVR(solver="gd"),
    fastgd.LinearSVC(loss="hinge", solver="gd"),
    fastgd.HuberRegressor(epsilon=1.0),
    fastgd.HuberRegressor(),
]


@pytest.mark.parametrize("most", [0, 1, 2, 5, 1000])
@pytest.mark.parametrize("model", NONSMOOTH, ids=lambda m: type(m).__name__)
def test_max_iter_bounds_passes_and_all_count_alike(data, model, most):
    X, _, y = data
    y = np.sign(y) if isinstance(model, fastgd.LinearSVC) else y
    counting = Counting()
    model.set_params(max_iter=most, callbacks=[counting])
    model, reported = fit(model, X, y)
    model.set_params(callbacks=None)
    assert model.n_iter_ == counting.passes <= most
    assert len(model.history_["objective"]) == counting.entries
    assert len(model.history_["suboptimality"]) == counting.entries
    assert np.isfinite(model.coef_).all()
    assert reported == (most < 1000)
    assert model.gap_ <= model.objective_


def test_a_lower_tol_is_never_worse(data):
    X, _, y = data
    for kind, targets in (
        (fastgd.QuantileRegressor, y),
        (fastgd.LinearSVR, y),
        (fastgd.HuberRegressor, y),
    ):
        values = [kind(tol=tol).fit(X, targets).objective_ for tol in (0.1, 1e-3, 1e-6, 1e-10)]
        assert all(b <= a * (1.0 + 1e-12) for a, b in pairwise(values))


@pytest.mark.parametrize("kind", [fastgd.QuantileRegressor, fastgd.HuberRegressor])
def test_what_is_not_finite_is_refused(data, kind):
    X, _, y = data
    model = kind(alpha=0.0).fit(X, y)
    before = {name: value for name, value in vars(model).items() if not name.startswith("_")}
    with pytest.raises(ValueError, match=r"No finite model|finite"):
        model.fit(1e-90 * X, 1e250 * y)
    assert all(vars(model)[name] is value for name, value in before.items())


def test_a_start_is_not_made_worse(data):
    X, _, y = data
    task = Task(as_rows(X), y, None, losses.Quantile(0.4), 0.05, 0.0, 4)
    first = _piecewise.piecewise_linear(task, Options(tol=1e-9))
    again = _piecewise.piecewise_linear(task, Options(tol=1e-9, max_iter=1), first.state)
    assert again.objective <= first.objective * (1.0 + 1e-14)


# Methods and proofs


@pytest.mark.parametrize("penalty", [(0.0, 0.0), (0.02, 0.0), (0.0, 0.01)])
@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_smooth_approximations_find_the_same(data, penalty, offset, monkeypatch):
    X, _, y = data
    task = Task(as_rows(X), y + offset, None, losses.Quantile(0.3), *penalty, 4)
    exact = _piecewise.piecewise_linear(task, Options(tol=1e-10))
    monkeypatch.setattr(_piecewise, "MANY_ROWS", 10)
    monkeypatch.setattr(_piecewise, "finished_tolerance", lambda _, tol: tol)
    found = _piecewise.piecewise_linear(task, Options(tol=1e-5))
    assert found.converged
    assert found.objective - exact.objective <= found.gap + 1e-12
    assert found.gap <= 1e-5 * found.objective
    assert len(found.history["objective"]) <= found.n_iter


KINDS = [losses.Quantile(0.3), losses.AbsoluteError(), losses.EpsilonInsensitive(0.4)]


@pytest.mark.parametrize("penalty", [(0.05, 0.0), (0.0, 0.1), (0.05, 0.1), (0.0, 0.0)])
@pytest.mark.parametrize("loss", [*KINDS, losses.Hinge(1.0)], ids=lambda v: type(v).__name__)
def test_a_gap_is_primal_less_dual(rng, loss, penalty):
    X = rng.normal(size=(40, 3)) + np.array([0.0, 3.0, 0.0])
    y = np.sign(rng.normal(size=40)) if isinstance(loss, losses.Hinge) else rng.normal(size=40)
    l1, l2 = penalty
    weight = rng.integers(1, 4, 40).astype(float)
    task = Task(as_rows(X), y, weight, losses.SquaredError(), l1, l2, 3, fit_intercept=True)
    problem = pose(task)._replace(loss=loss)
    breakpoints, u = pieces_of(loss, problem.y, problem.weight), rng.normal(size=4)
    raw = predictions(problem, u)
    slopes = np.array([losses.gradient(loss, *pair) for pair in zip(y, raw, strict=True)])
    proof = certify(problem, breakpoints, Covariance(problem), u, raw, problem.weight * slopes)
    w = u[:-1] * problem.scaler.inverse_std
    values = [losses.value(loss, *pair) for pair in zip(y, raw, strict=True)]
    assert loss_of(breakpoints, raw) == pytest.approx(problem.weight @ values, rel=1e-12)
    primal = problem.weight @ values + l1 * np.abs(w).sum() + 0.5 * l2 * w @ w
    r = proof.dual / problem.weight
    bounds = np.array([losses.dual_bounds(loss, t) for t in y])
    assert np.all(r >= bounds[:, 0] - 1e-12)
    assert np.all(r <= bounds[:, 1] + 1e-12)
    assert abs(proof.dual.sum()) < 1e-14
    conjugates = [losses.conjugate(loss, *pair) for pair in zip(y, r, strict=True)]
    pull = np.abs(X.T @ proof.dual)
    dual = -problem.weight @ conjugates
    if l2 > 0.0:
        dual -= np.sum(np.maximum(pull - l1, 0.0) ** 2) / (2.0 * l2)
    else:
        assert np.all(pull <= l1 + 1e-12)
    assert proof.gap == pytest.approx(primal - dual, rel=1e-9)
    assert missed_by(breakpoints, raw, proof.dual) >= 0.0


@layouts
def test_products_are_those_of_standardised_columns(rng, layout):
    X, slopes = rng.normal(size=(50, 4)) + np.array([1.0, 0.0, 0.0, 5.0]), rng.normal(size=50)
    task = Task(as_rows(LAYOUTS[layout](X)), slopes, None, losses.SquaredError(), 0.0, 0.0, 4)
    problem = pose(task)
    z = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(50)])
    rounding = 1e-5 if layout == "narrow" else 1e-12
    np.testing.assert_allclose(products_with(problem, slopes), z.T @ slopes, atol=rounding)
    u = rng.normal(size=5)
    np.testing.assert_allclose(predictions(problem, u), z @ u, atol=rounding)


@pytest.mark.parametrize("kind", [fastgd.HuberRegressor, fastgd.QuantileRegressor])
def test_a_constant_sparse_column_is_no_column(rng, kind):
    X, weight = rng.normal(size=(150, 3)), rng.integers(0, 4, 150).astype(float)
    y = X @ np.ones(3) + rng.standard_t(2, size=150)
    A = sp.csr_array(np.column_stack([X, np.full(150, 1.7)]))
    model = kind(alpha=0.0).fit(A, y, weight)
    assert model.coef_[3] == 0.0
    usual = kind(alpha=0.0).fit(X, y, weight)
    np.testing.assert_allclose(model.coef_[:3], usual.coef_, rtol=1e-6)


def test_huber_without_a_penalty_fits_rows_that_hardly_differ():
    from tests.fuzz.cases import case_of

    model = case_of(140143, ()).fitted()  # columns outnumber rows: no residual need be left
    assert model.objective_ < 1e-6  # of targets near 1e6
    assert model.gap_ <= model.objective_


def test_huber_says_where_a_basis_of_its_rows_has_too_few_digits_for_its_columns():
    from tests.fuzz.cases import case_of

    case = case_of(140543, ())
    with pytest.warns(ConvergenceWarning, match="may be .* above the optimum"):
        model = case.fitted()
    assert model.gap_ > model.tol * model.objective_


def test_a_gap_counts_what_predictions_of_huge_parts_are_off_by():
    """Columns that differ by 1e-12: coefficients of 1e12, and residuals that float64 rounds."""
    random = np.random.default_rng(3)
    base = random.normal(size=(120, 3))
    X = np.column_stack([base, base @ random.normal(size=(3, 3))])
    X[:, 3:] += 1e-12 * random.normal(size=(120, 3))
    y = base @ random.normal(size=3) + 3.0 * random.standard_t(2.0, size=120)
    model = fastgd.QuantileRegressor(alpha=0.0).fit(X, y)
    assert np.max(np.abs(model.coef_)) > 1e9
    exact = Fraction(0)
    for x, target in zip(X, y, strict=True):
        products = (Fraction(a) * Fraction(b) for a, b in zip(x, model.coef_, strict=True))
        exact += abs(Fraction(target) - Fraction(model.intercept_) - sum(products)) / 2
    assert abs(float(exact / 120) - model.objective_) <= model.gap_ < 1e-2
