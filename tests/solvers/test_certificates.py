"""``tol`` and ``gap_`` as promises: bounds that hold, tolerances that nest, passes counted."""

import itertools
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

import fastgd
from fastgd._solvers import _certificates
from fastgd._solvers._implicit import HessianProduct
from fastgd._solvers._problem import evaluate, from_raw, pose
from fastgd._solvers._task import Task
from fastgd.kernels import losses
from fastgd.kernels.certificate import divergence, dual_predictions, sums_of_slopes
from fastgd.kernels.losses import LogLoss, Softmax, SquaredError
from fastgd.kernels.rows import Dense
from tests.tables import over_product

TOLERANCES = [1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8]


def quietly(model, *data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*data)


def logistic(X, y, coef, intercept, l1, l2):
    """Return LogisticRegression's objective over C and the rows, two classes, by numpy."""
    sign = np.where(y == np.max(y), 1.0, -1.0)
    loss = np.mean(np.logaddexp(0.0, -sign * (X @ coef + intercept)))
    return loss + (l1 * np.abs(coef).sum() + 0.5 * l2 * coef @ coef) / len(y)


def spam(rng, n=2500, d=45):
    """Raw counts with heavy tails, as of words in mails."""
    X = rng.lognormal(0.0, 1.5, (n, d)) * (rng.random((n, d)) < rng.uniform(0.05, 0.6, d))
    X *= np.append(np.ones(d - 3), [5.0, 50.0, 300.0])
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    return X, (z @ rng.normal(size=d) / 4.0 + rng.logistic(size=n) > 0.0).astype(int)


# -- bounds ---------------------------------------------------------------------------------------


def problem_of(X, y, loss, l1, l2, positive=False):
    values = np.ascontiguousarray(X, np.float64)
    values.flags.writeable = False
    n_outputs = int(y.max()) + 1 if loss.kind == losses.MULTINOMIAL else 1
    task = Task(Dense(values), y, None, loss, l1, l2, X.shape[1], n_outputs, True, positive)
    return pose(task)


CASES = [
    (SquaredError(), 0.0, 0.1, False),
    (SquaredError(), 0.05, 0.0, False),
    (SquaredError(), 0.05, 0.02, False),
    (SquaredError(), 0.05, 0.0, True),
    (SquaredError(), 0.0, 0.1, True),
    (LogLoss(), 0.0, 0.01, False),
    (LogLoss(), 0.01, 0.0, False),
    (LogLoss(), 0.01, 0.01, False),
    (Softmax(), 0.0, 0.01, False),
    (Softmax(), 0.01, 0.0, False),
    (losses.SquaredHinge(), 0.0, 0.01, False),
    (losses.Huber(0.3), 0.02, 0.0, False),
    (losses.Poisson(), 0.0, 0.1, False),
    (losses.Gamma(), 0.0, 0.1, False),
]


def targets(loss, raw, rng):
    if loss.kind == losses.MULTINOMIAL:
        return np.digitize(raw, [-0.7, 0.7])
    if loss.kind == losses.BINARY:
        return np.where(raw + rng.logistic(size=raw.size) > 0.0, 1.0, loss.negative)
    if losses.link_of(loss) == losses.LOG:
        return rng.gamma(2.0, np.exp(0.3 * raw)) + 0.1
    return raw + rng.normal(size=raw.size)


@pytest.mark.parametrize(("loss", "l1", "l2", "positive"), CASES)
def test_bounds_are_no_smaller_than_the_distance_from_the_optimum(rng, loss, l1, l2, positive):
    from fastgd._solvers._gd import gd
    from fastgd._solvers._task import Options

    X = rng.normal(size=(60, 5)) * [0.1, 1.0, 1.0, 3.0, 20.0] + 2.0
    raw = ((X - 2.0) / X.std(axis=0)) @ np.array([1.0, -1.0, 0.5, 0.0, 0.3])
    y = targets(loss, raw, rng)
    problem = problem_of(X, y, loss, l1, l2, positive)
    task = Task(problem.rows, y, None, loss, l1, l2, 5, max(1, problem.n_outputs), True, positive)
    best = gd(task, Options(tol=1e-12))
    assert 0.0 <= best.gap <= 1e-10 * best.objective
    for share in (0.0, 0.3, 0.9, 0.999):
        u = rng.normal(size=(6, problem.n_outputs)) if problem.n_outputs else rng.normal(size=6)
        found = from_raw(problem, best.coef, best.intercept)
        point = evaluate(problem, share * found + (1.0 - share) * 0.1 * u)
        if positive:
            point = evaluate(problem, np.maximum(point.u, problem.lowest))
        proof = _certificates.certify(problem, point)
        assert proof.point.objective <= point.objective * (1.0 + 1e-12)
        assert np.isfinite(proof.gap)
        assert proof.gap >= (proof.point.objective - best.objective) * (1.0 - 1e-9) - 1e-13


SMOOTH = [loss for loss, l1, _, positive in CASES if l1 == 0.0 and not positive]


@pytest.mark.parametrize("loss", SMOOTH)
def test_a_newton_step_bounds_the_distance_whatever_the_penalty(rng, loss):
    from fastgd._solvers._gd import gd, null_model
    from fastgd._solvers._newton_dual import bound_by_newton_steps
    from fastgd._solvers._precondition import bound, hessian
    from fastgd._solvers._task import Options

    X = rng.normal(size=(400, 5)) * [0.1, 1.0, 1.0, 3.0, 20.0] + 2.0
    raw = ((X - 2.0) / X.std(axis=0)) @ np.array([1.0, -1.0, 0.5, 0.0, 0.3])
    y = targets(loss, raw, rng)
    for l2 in (1e-7, 1e-2):
        problem = problem_of(X, y, loss, 0.0, l2)
        task = Task(problem.rows, y, None, loss, 0.0, l2, 5, max(1, problem.n_outputs), True, False)
        best = gd(task, Options(tol=1e-13))
        found = from_raw(problem, best.coef, best.intercept)
        away = rng.normal(size=found.shape)
        for distance in (1e-4, 1e-2, 1.0):
            point = evaluate(problem, found + distance * away)
            apart, exact = point.objective - best.objective, hessian(problem, point)
            for metric, most in ((exact, 1), (bound(problem, null_model(problem)[1]), 30)):
                gap = bound_by_newton_steps(problem, point, metric, 0.1 * apart, most)
                assert gap >= apart * (1.0 - 1e-6) - 1e-13
                assert gap <= 4.0 * apart + 1e-13 or distance > 1e-2


@pytest.mark.parametrize(("l2", "scale"), [(1e-12, 1.0), (1e-6, 0.0)])
def test_a_newton_step_from_far_away_gives_no_bound_or_a_true_one(rng, l2, scale):
    from fastgd._solvers._gd import gd, null_model
    from fastgd._solvers._newton_dual import bound_by_newton_steps
    from fastgd._solvers._precondition import bound
    from fastgd._solvers._task import Options

    X, y = scale * rng.normal(size=(150, 1)), rng.integers(0, 2, 150)
    y[:2] = 2, 3  # classes of one row
    problem = problem_of(X, y, Softmax(), 0.0, l2)
    task = Task(problem.rows, y, None, Softmax(), 0.0, l2, 1, 4, True, False)
    best = gd(task, Options(tol=1e-13))
    found, metric = (
        from_raw(problem, best.coef, best.intercept),
        bound(problem, null_model(problem)[1]),
    )
    far = np.zeros_like(found)
    far[-1, 0] = 1000.0  # nothing bends there
    for away in (far, *(30.0 * rng.normal(size=(60, *found.shape)))):
        point = evaluate(problem, found + away)
        gap = bound_by_newton_steps(problem, point, metric, 0.1, 30)
        assert gap >= (point.objective - best.objective) * (1.0 - 1e-6)


DEVIANCES = [losses.Poisson(), losses.Gamma(), losses.Tweedie(1.2), losses.Tweedie(1.9)]


@pytest.mark.parametrize("loss", DEVIANCES)
def test_a_log_links_best_intercept_takes_one_pass(rng, loss, monkeypatch):
    X = rng.normal(size=(300, 4))
    y = rng.gamma(2.0, 0.5 * np.exp(0.5 * X[:, 0]))
    problem = problem_of(X, y, loss, 0.0, 0.01)
    passes = []

    def counted(*given):
        passes.append(given)
        return evaluate(*given)

    monkeypatch.setattr(_certificates, "evaluate", counted)
    for shift in (1e-6, 0.01, 2.0, -2.0):
        point = evaluate(problem, np.append(0.1 * rng.normal(size=4), shift))
        passes.clear()
        found = _certificates.certify(problem, point).point
        assert len(passes) == 1
        assert abs(found.gradient[-1]) <= 1e-12 * found.objective
        np.testing.assert_array_equal(found.u[:-1], point.u[:-1])


@pytest.mark.parametrize("loss", [losses.Poisson(), losses.Gamma(), LogLoss()])
@pytest.mark.parametrize("l2", [1e-5, 1.0])
def test_steps_of_a_samples_hessian_lead_to_where_the_gradient_is_a_bound(rng, loss, l2):
    from fastgd._solvers._gd import gd
    from fastgd._solvers._newton_dual import nearer
    from fastgd._solvers._precondition import hessian, transfer
    from fastgd._solvers._sample import sampled
    from fastgd._solvers._task import Options

    X = rng.normal(size=(4000, 4)) * [0.1, 1.0, 3.0, 20.0] + 2.0
    y = targets(loss, 0.5 * (X[:, 1] - 2.0), rng)
    problem = problem_of(X, y, loss, 0.0, l2)
    task = Task(problem.rows, y, None, loss, 0.0, l2, 4, 1, True, False)
    best = from_raw(problem, *gd(task, Options(tol=1e-10))[:2])
    start = evaluate(problem, best + 0.003 * rng.normal(size=5))
    part = sampled(problem, 2000).problem
    metric = transfer(problem, hessian(part, evaluate(part, start.u)))
    target = 1e-6 * start.objective
    found = nearer(problem, start, metric, target)
    gap = _certificates.gap_of_penalty(problem, found)
    assert gap <= max(target, 1e-3 * _certificates.gap_of_penalty(problem, start))
    assert found.objective <= start.objective
    proof = _certificates.certify(problem, found)
    assert proof.gap <= 1.1 * gap + 1e-13
    assert nearer(problem, proof.point, metric, 2.0 * gap) is proof.point


@pytest.mark.parametrize("estimator", ["PoissonRegressor", "GammaRegressor", "LogisticRegression"])
def test_tall_tables_are_proven_to_their_tolerance(rng, estimator):
    """Rows enough for samples, a penalty of any size: the bound is met, and holds."""
    X = rng.normal(size=(20_000, 6)) * [0.01, 1.0, 1.0, 1.0, 5.0, 100.0]
    raw = X @ np.array([30.0, 0.5, -0.5, 0.0, 0.1, 0.002])
    y = rng.poisson(np.exp(raw)) + float(estimator == "GammaRegressor")
    y = (y > 1).astype(int) if estimator == "LogisticRegression" else y
    for strength in (1e-6, 1e-3, 1.0):
        name = "C" if estimator == "LogisticRegression" else "alpha"
        value = 1.0 / (strength * len(y)) if name == "C" else strength
        model = getattr(fastgd, estimator)(**{name: value})
        best = clone(model).set_params(tol=1e-11).fit(X, y)
        for tol in (1e-2, 1e-4, 1e-6):
            found = clone(model).set_params(tol=tol).fit(X, y)
            assert found.gap_ <= tol * found.objective_
            assert found.objective_ - best.objective_ <= found.gap_ + 1e-12 * best.objective_


@pytest.mark.parametrize("loss", [losses.Poisson(), losses.Gamma(), losses.Tweedie(1.5)])
def test_bounds_count_the_rounding_of_a_log_links_terms(rng, loss):
    X = rng.normal(size=(200, 3))
    for level in (-30.0, 30.0):
        y = np.exp(level + 1e-6 * rng.normal(size=200))
        problem = problem_of(X, y, loss, 0.0, 1e-3)
        point = evaluate(problem, np.append(1e-7 * rng.normal(size=3), level))
        raw = np.longdouble(point.u[-1]) + (
            (X - problem.scaler.center) * problem.scaler.inverse_std
        ).astype(np.longdouble) @ point.u[:-1].astype(np.longdouble)
        wide = y.astype(np.longdouble)
        power = losses.variance_power(loss)
        if power == 1.0:
            deviance = np.exp(raw) - wide * raw - wide + wide * np.log(wide)
        elif power == 2.0:
            deviance = raw + wide * np.exp(-raw) - np.log(wide) - 1.0
        else:
            deviance = 2.0 * (np.exp(0.5 * raw) + wide * np.exp(-0.5 * raw) - 2.0 * np.sqrt(wide))
        exact = deviance.mean() + 0.5 * np.sum(problem.ridge * point.u**2)
        off = abs(float(point.objective - exact))
        assert off <= _certificates.rounding_of_bound(problem, point)


@pytest.mark.parametrize("loss", [LogLoss(), Softmax()])
def test_a_step_of_least_price_takes_few_products(rng, loss):
    from fastgd._solvers._gd import null_model
    from fastgd._solvers._newton_dual import _newton_step, _price_of_residual
    from fastgd._solvers._precondition import bound

    X = rng.normal(size=(300, 12)) @ rng.normal(size=(12, 12)) * np.geomspace(1.0, 100.0, 12)
    y = targets(loss, X[:, 0] / X[:, 0].std(), rng)
    problem = problem_of(X, y, loss, 0.0, 1e-6)
    u = 0.1 * rng.normal(size=(13, problem.n_outputs) if problem.n_outputs else 13)
    point = evaluate(problem, u)
    metric, weight = bound(problem, null_model(problem)[1]), _price_of_residual(problem, u)
    hessian = np.stack(
        [HessianProduct(problem, point).times(e.reshape(u.shape)).ravel() for e in np.eye(u.size)]
    )
    prices = []
    for most in range(1, 15):
        step, n_products, _ = _newton_step(problem, point, metric, 0.0, most)
        assert n_products <= most
        rest = point.gradient.ravel() + hessian @ step.ravel()
        prices.append(float(weight.ravel() @ rest**2))
    assert all(b <= a * (1.0 + 1e-6) for a, b in itertools.pairwise(prices))
    assert prices[-1] <= 1e-3 * prices[0]


def test_dual_predictions_have_the_derivatives_that_are_wanted(rng):
    y, raw = np.repeat([0.0, 1.0], 50), 4.0 * rng.normal(size=100)
    p = 1.0 / (1.0 + np.exp(-raw))
    step = rng.uniform(-0.9, 0.9, 100) / np.maximum(p, 1.0 - p)
    dual, slopes = np.empty(100), np.empty(100)
    weight = rng.random(100)
    dual_predictions(LogLoss(), y, raw, step, 0, 100, dual)
    wanted = p + p * (1.0 - p) * step
    np.testing.assert_allclose(1.0 / (1.0 + np.exp(-dual)), wanted, rtol=1e-6, atol=1e-9)
    p = 1.0 / (1.0 + np.exp(-dual - 0.3))
    expected = weight @ (p - y), weight @ np.abs(p - y), weight @ (p * (1.0 - p))
    np.testing.assert_allclose(
        sums_of_slopes(LogLoss(), y, weight, dual, 0.3, 0, 100), expected, rtol=1e-12
    )
    total = divergence(LogLoss(), y, weight, raw, dual, 0, 100, slopes)
    derivative = 1.0 / (1.0 + np.exp(-dual)) - y
    sign = 1.0 - 2.0 * y
    before, after = np.logaddexp(0.0, sign * raw), np.logaddexp(0.0, sign * dual)
    apart = before - after - derivative * (raw - dual)
    np.testing.assert_allclose(slopes, weight * derivative, rtol=1e-12)
    assert total == pytest.approx(weight @ apart, rel=1e-9)


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_gaps_of_many_rows_are_within_tol_though_each_row_weighs_little(rng, layout, n_classes):
    X, _ = spam(rng, n=4000, d=30)
    raw = (X @ rng.normal(size=(30, n_classes)) / 20.0) + rng.gumbel(size=(4000, n_classes))
    y = np.argmax(raw, axis=1)
    for tol in (1e-2, 1e-4):
        model = fastgd.LogisticRegression(tol=tol).fit(layout(X), y)
        assert 0.0 < model.gap_ <= tol * model.objective_
        # whatever the tolerance, the intercept is at its best: a smaller one never ends higher
        shares = np.bincount(y) / y.size
        np.testing.assert_allclose(model.predict_proba(X).mean(axis=0), shares, rtol=1e-8)


@pytest.mark.parametrize(("d", "dtype"), [(1500, np.float64), (2700, np.float32)])
def test_what_conjugate_gradients_leave_is_proven_and_not_estimated(rng, d, dtype):
    # what no row sees is bent by the penalty alone: a plateau, where estimates were 3,000 times off
    n, alpha = 1010, 1e-3
    X = rng.normal(size=(n, d)).astype(dtype)
    y = X[:, :20] @ rng.normal(size=20) + rng.normal(size=n)
    X, given = X.astype(np.float64), X
    centred = X - X.mean(axis=0)
    t = np.linalg.solve(centred @ centred.T + alpha * np.eye(n), y - y.mean())
    best = 0.5 * alpha * float(t @ (y - y.mean())) / n  # of ridge regression, by its dual
    for tol in (1e-1, 1e-2, 1e-4):
        model = fastgd.Ridge(alpha=alpha, tol=tol).fit(given, y)
        distance = model.objective_ - best
        assert distance <= tol * best
        assert distance <= model.gap_ + 1e-12 * best
        assert model.gap_ <= tol * model.objective_


def test_no_bound_without_a_penalty_or_convexity(rng):
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    assert not _certificates.can_prove(problem_of(X, y, SquaredError(), 0.0, 0.0))
    counts = rng.gamma(2.0, size=40)
    assert not _certificates.can_prove(problem_of(X, counts, losses.Tweedie(3.0), 0.0, 0.1))
    assert _certificates.can_prove(problem_of(X, counts, losses.Tweedie(1.5), 0.0, 0.1))


@over_product(
    lambda l1_ratio, dtype: dtype is np.float64 or l1_ratio == 0.0,
    l1_ratio=[0.0, 1.0],
    dtype=[np.float64, np.float32],
)
def test_gap_bounds_what_is_stored(rng, dtype, l1_ratio):
    X, y = spam(rng)
    X = X.astype(dtype)
    wide = X.astype(np.float64)
    weight = {"l1": l1_ratio, "l2": 1.0 - l1_ratio}
    best = fastgd.LogisticRegression(l1_ratio=l1_ratio, tol=1e-12).fit(wide, y)
    lowest = logistic(wide, y, best.coef_[0], best.intercept_[0], **weight)
    for tol in (1e-1, 1e-4, 1e-7):
        model = fastgd.LogisticRegression(l1_ratio=l1_ratio, tol=tol).fit(X, y)
        assert model.coef_.dtype == dtype
        coef, intercept = model.coef_[0].astype(np.float64), float(model.intercept_[0])
        here = logistic(wide, y, coef, intercept, **weight)
        assert model.objective_ == pytest.approx(here, rel=1e-9)
        assert here - lowest <= tol * here
        assert model.gap_ >= (here - lowest) - 1e-13


@pytest.mark.parametrize("model", [fastgd.Lasso(alpha=0.1), fastgd.ElasticNet(alpha=0.1)])
def test_dual_gaps_of_l1_are_finite_and_tight(model):
    model.fit(*load_diabetes(return_X_y=True))
    assert 0.0 <= model.dual_gap_ <= 1e-10 * model.objective_


# -- tolerances -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_smaller_tolerances_never_end_higher_and_hold(rng, dtype):
    X, y = spam(rng)
    found = []
    for tol in TOLERANCES:
        model = fastgd.LogisticRegression(C=100.0, tol=tol).fit(X.astype(dtype), y)
        found.append((model.objective_, np.max(model.n_iter_)))
    best = fastgd.LogisticRegression(C=100.0, tol=1e-13).fit(X.astype(dtype).astype(float), y)
    for tol, (objective, _) in zip(TOLERANCES, found, strict=True):
        assert objective - best.objective_ <= tol * objective
    objectives, passes = zip(*found, strict=True)
    assert all(b <= a * (1.0 + 1e-9) for a, b in itertools.pairwise(objectives))
    assert all(b >= a for a, b in itertools.pairwise(passes))


def test_a_wide_table_of_all_scales_is_solved(rng):
    X = rng.normal(size=(60, 200)) * rng.permutation(np.geomspace(1e-21, 5e9, 200))
    y = (rng.random(60) < 0.5).astype(int)
    found = []
    for tol in TOLERANCES:
        for dtype in (np.float64, np.float32):
            model = fastgd.LogisticRegression(tol=tol).fit(X.astype(dtype), y)
            assert np.max(model.n_iter_) < 300
            assert model.gap_ <= tol * model.objective_ + 1e-12
            found.append(model.objective_)
    assert max(found[::2]) <= min(found[::2]) * (1.0 + 1e-6)


def test_separable_classes_under_a_weak_penalty_are_no_reason_to_warn():
    X, y = load_wine(return_X_y=True)
    for C in (1e2, 1e4):
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            model = fastgd.LogisticRegression(C=C).fit(X, y)
        assert model.gap_ <= 1e-4 * model.objective_


def test_a_vanishing_penalty_gives_a_bound_and_no_other_warning(rng):
    X, y = rng.normal(size=(30, 5)), np.arange(30) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("error", RuntimeWarning)
        model = fastgd.LogisticRegression(C=1e300).fit(X, y)
    assert 0.0 <= model.gap_ <= model.objective_


# -- the last digits ------------------------------------------------------------------------------


@pytest.mark.parametrize("tol", [1e-1, 1e-4, 1e-12])
def test_small_problems_are_finished_whatever_the_tolerance(rng, tol):
    X = rng.normal(size=(12, 3))
    y = rng.poisson(np.exp(X[:, 0])).astype(float)
    model = fastgd.PoissonRegressor(alpha=0.1, tol=tol).fit(X, y)
    mean = np.exp(X @ model.coef_ + model.intercept_)
    gradient = X.T @ (mean - y) / 12 + 0.1 * model.coef_
    assert np.abs(gradient).max() <= 1e-14
    assert abs(np.mean(mean - y)) <= 1e-14


def test_weights_are_repeated_rows_to_the_last_digits(rng):
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    weight = rng.integers(1, 4, y.size)
    weighted = fastgd.LogisticRegression().fit(X, y, weight)
    repeated = fastgd.LogisticRegression().fit(np.repeat(X, weight, 0), np.repeat(y, weight))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-7, atol=1e-8)


def test_l1_is_finished_on_its_support(rng):
    X, y = rng.normal(size=(120, 12)), rng.integers(0, 2, 120)
    model = fastgd.LogisticRegression(l1_ratio=1.0, C=0.3, tol=1e-3).fit(X, y)
    p = 1.0 / (1.0 + np.exp(-(X @ model.coef_[0] + model.intercept_[0])))
    gradient, coef = 0.3 * X.T @ (p - y), model.coef_[0]
    inside = coef != 0.0
    assert 0 < inside.sum() < 12
    np.testing.assert_allclose(gradient[inside], -np.sign(coef[inside]), atol=1e-11)
    assert np.all(np.abs(gradient[~inside]) < 1.0)


# -- passes, and what is said ---------------------------------------------------------------------

ESTIMATORS = [
    fastgd.LogisticRegression(),
    fastgd.LogisticRegression(l1_ratio=1.0),
    fastgd.LinearSVC(),
    fastgd.LinearSVC(loss="hinge"),
    fastgd.Ridge(),
    fastgd.Lasso(),
    fastgd.HuberRegressor(),
    fastgd.QuantileRegressor(alpha=0.01),
    fastgd.PoissonRegressor(),
    fastgd.LogisticRegression(solver="saga", max_iter=20),
]


@pytest.mark.parametrize("model", ESTIMATORS, ids=str)
def test_passes_are_counted_alike(rng, model):
    X = rng.normal(size=(80, 4))
    y = (X[:, 0] + rng.normal(size=80) > 0.0).astype(int)
    reported = []
    quietly(model.set_params(callbacks=[reported.append]), X, y)
    n_iter = int(np.max(model.n_iter_))
    lengths = {len(values) for values in model.history_.values()}
    assert lengths == {n_iter} == {len(reported)}


@pytest.mark.parametrize("most", [1, 2, 3, 7])
@pytest.mark.parametrize("model", ESTIMATORS[:-1], ids=str)
def test_max_iter_bounds_the_passes(rng, model, most):
    X = rng.normal(size=(300, 20)) * np.geomspace(1e-3, 1e3, 20)
    y = (X[:, 0] * 1e3 + rng.normal(size=300) > 0.0).astype(int)
    quietly(model.set_params(callbacks=None, max_iter=most), X, y)
    assert np.max(model.n_iter_) <= most
    assert np.isfinite(model.objective_)
    model.set_params(max_iter=1000)


def test_no_passes_is_the_model_without_features():
    X, y = load_breast_cancer(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match=r"after 0 passes.*max_iter=0"):
        model = fastgd.LogisticRegression(max_iter=0).fit(X, y)
    assert model.n_iter_ == [0]
    assert not model.coef_.any()
    assert model.history_["objective"] == []


def test_line_searches_count_as_passes():
    model = fastgd.PoissonRegressor(alpha=1e-300).fit([[0.0], [1.0]], [0.0, 1.0])
    assert model.n_iter_ <= 1000


@pytest.mark.parametrize(
    "model",
    [
        fastgd.PoissonRegressor(alpha=0.0),
        fastgd.GammaRegressor(alpha=0.0),
        fastgd.TweedieRegressor(alpha=0.0, power=1.5),
        fastgd.PoissonRegressor(),
    ],
    ids=str,
)
@pytest.mark.parametrize("y", [np.full(20, 3.0), np.exp(1.0 + 0.1 * np.arange(20.0))])
def test_deviances_of_zero_end_soon(model, y):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model.fit(np.arange(20.0)[:, None], y)
    assert model.n_iter_ <= 20
    assert model.objective_ >= 0.0


def test_warnings_say_what_is_so(rng):
    X = rng.normal(size=(300, 40)) * np.geomspace(1e-3, 1e3, 40)
    y = X @ rng.normal(size=40)
    with pytest.warns(ConvergenceWarning) as reported:
        fastgd.PoissonRegressor(max_iter=1).fit(X, np.exp(y / y.std()))
    message = str(reported[0].message)
    assert "after 1 passes over the data (max_iter=1)" in message
    assert "Increase max_iter" in message
    assert "classes" not in message
    assert "inf" not in message
    assert reported[0].filename == __file__


def test_sparse_and_dense_bounds_agree(rng):
    X, y = spam(rng, 800, 20)
    dense = fastgd.LogisticRegression(tol=1e-6).fit(X, y)
    sparse = fastgd.LogisticRegression(tol=1e-6).fit(sp.csr_matrix(X), y)
    assert sparse.objective_ == pytest.approx(dense.objective_, rel=1e-12)
    assert max(sparse.gap_, dense.gap_) <= 1e-12
