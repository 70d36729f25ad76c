"""Newton's method in the rows, where they are fewer than the columns."""

import itertools
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._solvers import _auto, _newton_rows
from fastgd._solvers._costs import FINISHED_IN_FLOAT64
from fastgd.kernels.losses import LogLoss, Poisson, SquaredHinge
from fastgd.kernels.row_steps import System, conjugate_step, length_of_step, losses_of_rows

N, D = 300, 400  # more entries than are finished to rounding


def log_loss(y, raw):
    p = 1.0 / (1.0 + np.exp(-raw))
    return np.logaddexp(0.0, raw) - y * raw, p - y, p * (1.0 - p)


def squared_hinge(y, raw):
    sign = 2.0 * y - 1.0
    off = np.maximum(1.0 - sign * raw, 0.0)
    return off**2, -2.0 * sign * off, 2.0 * (off > 0.0)


def half_poisson(y, raw):
    least = np.where(y > 0.0, y * np.log(np.where(y > 0.0, y, 1.0)) - y, 0.0)
    return np.exp(raw) - y * raw + least, np.exp(raw) - y, np.exp(raw)


LOSSES = {"logistic": log_loss, "svc": squared_hinge, "poisson": half_poisson}
SPECS = {
    "logistic": (LogLoss(), lambda y: y),
    "svc": (SquaredHinge(), lambda y: 2.0 * y - 1.0),
    "poisson": (Poisson(), lambda y: y),
}


def lowest(name, X, y, weight, l2, fit_intercept=True):
    """Return the least objective by damped steps of Newton's method in the columns."""
    X = np.hstack([X, np.ones((len(X), 1))]) if fit_intercept else X
    ridge = np.append(np.full(X.shape[1] - fit_intercept, l2), np.zeros(int(fit_intercept)))
    s, w = weight / weight.sum(), np.zeros(X.shape[1])

    def at(w):
        value, slope, bend = LOSSES[name](y, X @ w)
        return s @ value + 0.5 * ridge @ (w * w), s * slope, s * bend

    value, slope, bend = at(w)
    for _ in range(60):
        hessian = (X.T * bend) @ X + np.diag(ridge + 1e-14)
        step = -np.linalg.solve(hessian, X.T @ slope + ridge * w)
        part = 1.0
        while not at(w + part * step)[0] <= value and part > 1e-10:
            part *= 0.5
        w, before = w + part * step, value
        value, slope, bend = at(w)
        if before - value <= 1e-15 * value:
            break
    return value


def table(name, is_even, n=N, d=D, seed=0):
    """Return unrelated columns, or such as few directions are most of, and targets."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    if not is_even:
        X = 0.3 * X + rng.normal(size=(n, 5)) @ rng.normal(size=(5, d))
    X = X * rng.uniform(0.5, 2.0, d) + rng.normal(size=d)
    raw = (X - X.mean(axis=0))[:, :10].sum(axis=1)
    raw /= raw.std()
    if name == "poisson":
        return X, rng.poisson(np.exp(raw)).astype(float)
    return X, (raw + rng.normal(size=n) > 0.0).astype(float)


def model(name, n, tol, **settings):
    """Return an estimator whose objective has l2 = 1/n."""
    if name == "logistic":
        return fastgd.LogisticRegression(tol=tol, **settings)
    if name == "svc":
        return fastgd.LinearSVC(tol=tol, fit_intercept=False, **settings)
    return fastgd.PoissonRegressor(alpha=1.0 / n, tol=tol, **settings)


@pytest.fixture
def solved(monkeypatch):
    """Note what the method returns; nothing else may solve what it can."""
    found = []

    def noted(task, options, start):
        found.append(_newton_rows.newton_in_rows(task, options, start))
        return found[-1]

    monkeypatch.setattr(_auto, "newton_in_rows", noted)
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("is_even", [True, False])
@pytest.mark.parametrize("name", LOSSES)
def test_the_optimum_of_the_columns_is_found(solved, name, is_even, dtype):
    X, y = table(name, is_even, d=2 * N if name == "svc" else D)
    X = X.astype(dtype)
    objectives = []
    for tol in (1e-1, 1e-3, 1e-6):
        fitted = model(name, N, tol).fit(X, y)
        assert solved[-1] is not None
        assert solved[-1].converged
        assert fitted.gap_ <= tol * fitted.objective_
        assert len(solved[-1].history["objective"]) == solved[-1].n_iter >= 1
        objectives.append(float(fitted.objective_))
    best = lowest(name, X.astype(float), y, np.ones(N), 1.0 / N, fit_intercept=name != "svc")
    assert all(b <= a * (1.0 + 1e-13) for a, b in itertools.pairwise(objectives))
    assert objectives[-1] == pytest.approx(best, rel=1e-6)
    assert objectives[-1] - best <= fitted.gap_ + 1e-12 * best


@pytest.mark.parametrize("is_even", [True, False])
@pytest.mark.parametrize("name", ["logistic", "poisson"])
def test_weights_and_no_intercept(solved, name, is_even):
    X, y = table(name, is_even, seed=1)
    weight = np.random.default_rng(2).integers(0, 4, N).astype(float)
    l2 = 1.0 / (weight.sum() if name == "logistic" else N)
    for fit_intercept in (True, False):
        fitted = model(name, N, 1e-8, fit_intercept=fit_intercept).fit(X, y, sample_weight=weight)
        assert solved[-1] is not None
        best = lowest(name, X, y, weight, l2, fit_intercept=fit_intercept)
        assert float(fitted.objective_) == pytest.approx(best, rel=1e-7)


@pytest.mark.parametrize("name", ["logistic", "poisson"])
def test_a_small_table_is_finished_to_rounding(solved, name):
    """Weights are then the same as repeated rows, whatever the tolerance."""
    X, y = table(name, False, 40, 90)
    weight = np.random.default_rng(3).integers(1, 4, 40)
    settings = {"C": 40.0 / weight.sum()} if name == "logistic" else {}
    one = model(name, 40, 1e-2, **settings).fit(X, y, sample_weight=weight.astype(float))
    again = np.repeat(np.arange(40), weight)
    other = model(name, 40, 1e-2, **settings).fit(X[again], y[again])
    assert X.size < FINISHED_IN_FLOAT64
    assert solved[0] is not None
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-6, atol=1e-9)


def test_threads_do_not_change_a_bit(solved):
    X, y = table("logistic", False, 700, 800)
    one, two = (fastgd.LogisticRegression(n_jobs=n, tol=1e-6).fit(X, y) for n in (1, 2))
    assert all(found is not None for found in solved)
    np.testing.assert_array_equal(one.coef_, two.coef_)


def test_passes_that_are_used_up_are_said(solved):
    X, y = table("logistic", True)
    with pytest.warns(ConvergenceWarning):
        fitted = fastgd.LogisticRegression(max_iter=2, tol=1e-6).fit(X, y)
    assert solved[-1] is not None
    assert fitted.n_iter_[0] == 2
    assert fitted.gap_ > 1e-6 * fitted.objective_
    best = lowest("logistic", X, y, np.ones(N), 1.0 / N)
    assert float(fitted.objective_) - best <= fitted.gap_


@pytest.mark.parametrize("kind", ["far", "tiny penalty", "start"])
def test_what_it_cannot_is_left_to_others(solved, kind):
    X, y = table("logistic", True)
    if kind == "far":
        X[:, 3] += 1e6
    settings = {"C": 1e12} if kind == "tiny penalty" else {}
    fitted = fastgd.LogisticRegression(tol=1e-4, warm_start=kind == "start", **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted.fit(X, y)
        if kind == "start":
            fitted.fit(X, y)
    assert solved[-1] is None
    assert np.all(np.isfinite(fitted.coef_))


@pytest.mark.parametrize("level", [0.1, 1e3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_constant_columns_have_no_part_beside_an_intercept(solved, fit_intercept, level):
    X, y = table("logistic", True)
    X[:, 3] = level
    fitted = fastgd.LogisticRegression(tol=1e-6, fit_intercept=fit_intercept).fit(X, y)
    assert solved[-1] is not None
    assert (fitted.coef_[0, 3] == 0.0) == fit_intercept
    best = lowest("logistic", X, y, np.ones(N), 1.0 / N, fit_intercept)
    assert float(fitted.objective_) == pytest.approx(best, rel=1e-6)


def test_rows_that_are_all_the_same_have_an_intercept_only(solved):
    X, y = table("logistic", True)
    X[:] = X[0]
    fitted = fastgd.LogisticRegression().fit(X, y)
    assert solved[-1] is not None
    assert not np.any(fitted.coef_)
    assert fitted.intercept_[0] == pytest.approx(np.log(y.mean() / (1.0 - y.mean())))


@pytest.mark.parametrize("layout", [sp.csr_array, sp.csc_array])
@pytest.mark.parametrize("name", ["logistic", "poisson"])
def test_sparse_containers_of_dense_rows_are_solved_alike(solved, name, layout):
    X, y = table(name, False)
    one, other = (model(name, N, 1e-4).fit(rows, y) for rows in (X, layout(X)))
    assert all(found is not None for found in solved)
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_a_smaller_tolerance_never_ends_higher(solved, seed):
    """Weights are such that float32 misses raw predictions, and first proofs fail."""
    X, y = table("poisson", False, d=2 * N + 100, seed=seed)
    weight = 10.0 ** np.random.default_rng(seed).uniform(-6.0, 6.0, N)
    alpha = 1e-3 * float(np.sum(X.var(axis=0)))
    last = np.inf
    for tol in (0.9, 1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8):
        fitted = fastgd.PoissonRegressor(alpha=alpha, tol=tol).fit(X, y, sample_weight=weight)
        assert solved[-1] is not None
        assert fitted.objective_ <= last * (1.0 + 1e-13)
        last = fitted.objective_


def test_a_null_model_that_is_near_enough_takes_the_same_first_step(solved):
    X, y = table("logistic", True, d=D)
    C = 1e-3 / np.sum(X.var(axis=0))
    some = [float(fastgd.LogisticRegression(C=C, tol=t).fit(X, y).objective_) for t in (0.5, 1e-4)]
    assert all(found is not None for found in solved)
    assert some[1] <= some[0] * (1.0 + 1e-15)


def test_targets_far_from_one_are_left_to_their_units(solved):
    X, y = table("logistic", True, d=2 * N)
    own = {"loss": "squared_epsilon_insensitive", "epsilon": 0.0, "tol": 1e-8}
    plain, tiny = (fastgd.LinearSVR(**own).fit(X, y * unit) for unit in (1.0, 2.0**-535))
    assert solved[0] is not None
    assert solved[1] is None
    np.testing.assert_allclose(tiny.coef_ * 2.0**535, plain.coef_, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_rows_and_the_length_of_a_step(name):
    rng = np.random.default_rng(0)
    n = 50
    y = rng.integers(0, 2, n).astype(float)
    weight, raw, moved = rng.random(n), rng.normal(size=n), rng.normal(size=n)
    spec, own = SPECS[name]
    slopes, bends = np.empty(n), np.empty(n)
    total = losses_of_rows(own(y), weight, spec, raw, slopes, bends)
    value, slope, bend = LOSSES[name](y, raw)
    np.testing.assert_allclose(slopes, weight * slope, rtol=1e-12)
    np.testing.assert_allclose(bends, weight * bend, rtol=1e-12)
    if name != "poisson":  # whose constant is taken off elsewhere
        assert total == pytest.approx(weight @ value)
    downhill = -np.sign(slopes @ moved) * moved
    t = length_of_step(own(y), weight, spec, raw, downhill, 0.0, 0.1)

    def slope_at(t):
        return weight * LOSSES[name](y, raw + t * downhill)[1] @ downhill + 0.1 * t

    assert abs(slope_at(t)) <= 0.1 * abs(slope_at(0.0)) * (1.0 + 1e-9)
    assert t > 0.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("is_matrix", [True, False])
def test_conjugate_gradients_solve_the_newton_system(is_matrix, dtype):
    rng = np.random.default_rng(0)
    n, d, l2 = 10, 23, 0.3
    rows = rng.normal(size=(n, d)).astype(dtype)
    matrix = rows.astype(float) @ rows.T.astype(float)
    bends, gradient, level = rng.uniform(0.1, 1.0, n), rng.normal(size=n), 0.7
    out = np.empty((2, n))
    given = matrix.astype(dtype) if is_matrix else rows
    unit = float(bends @ np.diag(matrix)) / bends.sum()
    at = gradient, matrix @ gradient, level
    system = System(given, is_matrix, bends, unit, l2)
    found, n_products = conjugate_step(system, *at, 1e-7, out)
    whole = np.zeros((n + 1, n + 1))
    whole[:n, :n] = l2 * np.eye(n) + bends[:, None] * matrix
    whole[:n, n] = bends
    whole[n, :n], whole[n, n] = bends @ matrix, bends.sum()
    exact = np.linalg.solve(whole, -np.append(gradient, level))
    tolerance = {"rtol": 1e-3, "atol": 1e-3} if dtype == np.float32 else {"rtol": 1e-5}
    np.testing.assert_allclose(np.append(out[0], found), exact, **tolerance)
    np.testing.assert_allclose(out[1], matrix @ out[0], rtol=1e-3, atol=1e-3)
    assert n_products <= 30
