"""What is called converged has been shown: by some of the rows, in float64, or by a warning."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model as theirs
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_tweedie_deviance

import fastgd
from fastgd._solvers import _descent, _gd
from fastgd._solvers._precondition import hessian, solve
from fastgd._solvers._problem import evaluate, from_raw, pose
from fastgd._solvers._sample import hessian_from_below, sampled
from fastgd._solvers._task import Task
from fastgd.kernels.losses import Gamma, LogLoss, Poisson, Softmax, Tweedie
from fastgd.kernels.rows import Dense
from tests.solvers.test_gd import task_of
from tests.tables import over_product


def fitted(model, X, y):
    """Return the fitted model, and whether it warned that it has not converged."""
    with warnings.catch_warnings(record=True) as reported:
        warnings.simplefilter("always")
        model.fit(X, y)
    return model, any(warning.category is ConvergenceWarning for warning in reported)


def posed(rng, loss, n, layout):
    X = rng.normal(size=(n, 4)) * [0.1, 1.0, 5.0, 30.0] + [0.0, 1.0, 0.0, 9.0]
    raw = X @ [3.0, 1.0, -0.3, 0.02] + rng.logistic(size=n)
    y = np.digitize(raw, [-2.0, 3.0]) if isinstance(loss, Softmax) else (raw > 0.0).astype(float)
    problem = pose(task_of(layout(X), y, loss, 0.0, 1e-3))
    shape = (5, 3) if isinstance(loss, Softmax) else (5,)
    return problem, evaluate(problem, rng.normal(size=shape))


@over_product(
    lambda loss, layout: layout is np.asarray or isinstance(loss, LogLoss),
    loss=[LogLoss(), Softmax()],
    layout=[np.asarray, sp.csr_array],
)
def test_the_hessian_of_some_rows_is_below_that_of_all(rng, loss, layout):
    problem, point = posed(rng, loss, 3000, layout)
    whole = hessian(problem, point)
    some = hessian_from_below(problem, point, sampled(problem, 600))
    least = np.linalg.eigvalsh(whole.full - some.full).min()
    assert least >= -1e-12 * np.trace(whole.full)
    assert np.trace(some.product) < 0.5 * np.trace(whole.product)
    decrements = [
        np.vdot(point.gradient, solve(metric, point.gradient)) for metric in (whole, some)
    ]
    assert decrements[0] <= decrements[1] * (1.0 + 1e-9)


def test_a_sample_has_rows_of_all_parts_and_weights_that_are_right_on_average(rng):
    problem, _ = posed(rng, LogLoss(), 3000, np.asarray)
    rows, part, _ = sampled(problem, 600)
    assert np.all(np.diff(rows) > 0)
    assert np.max(np.diff(rows)) < 50  # from one end to the other
    np.testing.assert_array_equal(part.y, problem.y[rows])
    assert part.weight.sum() == pytest.approx(1.0)
    assert part.weight @ part.y == pytest.approx(problem.weight @ problem.y, rel=0.01)
    assert part.l2 == problem.l2
    assert sampled(problem, 3000).problem is problem


@pytest.mark.parametrize("estimator", ["LogisticRegression", "PoissonRegressor"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_samples_leave_out_rows_without_weight(rng, estimator, n_classes):
    """Some of 120,000 rows have a weight: samples that missed them all ended nowhere."""
    X = rng.normal(size=(120_000, 6))
    y = np.argmax(X[:, :n_classes] + rng.gumbel(size=(120_000, n_classes)), axis=1)
    weight = np.zeros(120_000)
    weight[[np.flatnonzero(y == k)[3:900:300] for k in range(n_classes)]] = 1.0
    counted = np.flatnonzero(weight)
    model, alone = getattr(fastgd, estimator)(tol=1e-6), getattr(fastgd, estimator)(tol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y, sample_weight=weight)
    alone.fit(X[counted], y[counted])
    assert abs(model.objective_ - alone.objective_) <= 1e-6 * alone.objective_
    np.testing.assert_allclose(model.coef_, alone.coef_, atol=5e-3)


def test_a_sample_serves_as_long_as_no_more_rows_are_asked_for(rng):
    """That of classes may have a row less than it was asked for."""
    problem, point = posed(rng, LogLoss(), 3001, np.asarray)
    stop = _descent.StoppingRule(1e-4, 0.0, 10)
    descent = _descent._Descent(problem, point, hessian(problem, point), stop)
    first = descent._some(1000, 3001)
    assert first.problem.shape[0] < 1000
    assert descent._some(1000, 2000) is first
    assert descent._some(500, 1000) is first
    assert descent._some(400, 800) is not first


def test_a_sample_that_is_much_of_the_rows_is_not_kept(rng):
    problem, point = posed(rng, LogLoss(), 25_000, np.asarray)
    stop = _descent.StoppingRule(1e-4, 0.0, 10)
    descent = _descent._Descent(problem, point, hessian(problem, point), stop)
    assert descent._some(12_000, 24_000).problem.shape[0] <= 12_000
    assert descent.sample is None
    assert descent._some(10_000, 25_000) is descent.sample


@pytest.mark.parametrize(("loss", "power"), [(Poisson(), 1), (Gamma(), 2), (Tweedie(1.5), 1.5)])
def test_a_samples_deviance_is_that_of_its_rows(rng, loss, power):
    """With the least value of all rows a model that fits well was below 0, which hides a step."""
    X = rng.normal(size=(3000, 2))
    y = np.exp(5.0 + X[:, 0]) * (1.0 + 1e-3 * rng.normal(size=3000))
    problem = pose(Task(Dense(X), y, rng.random(3000), loss, 0.0, 1e-9, 2, 1, True, False))
    rows, part, _ = sampled(problem, 300)
    found = evaluate(part, from_raw(part, np.array([1.0, 0.0]), 5.0 - loss.level))
    mean = np.exp(5.0 + X[rows, 0])
    deviance = mean_tweedie_deviance(y[rows], mean, sample_weight=part.weight, power=power)
    assert found.objective == pytest.approx(0.5 * deviance, rel=1e-3)


def test_rows_that_a_sample_missed_cost_one_hessian_of_all(rng):
    """Ten rows of 50,000 are far out, where a log link bends most: samples see two of them."""
    X = rng.normal(size=(50_000, 12))
    X[rng.integers(0, 50_000, 10)] *= 30.0
    raw = X @ rng.normal(size=12) / X.std()
    y = rng.poisson(np.exp(np.clip(0.5 * raw / raw.std(), -3.0, 3.0))).astype(float)
    for alpha in (1e-5, 1e-2):
        model, warned = fitted(fastgd.PoissonRegressor(alpha=alpha), X, y)
        assert not warned
        assert model.gap_ <= model.tol * model.objective_
        assert model.n_iter_ <= 30


def softmax_objective(model, X, y, C):
    X, coef = X.astype(np.longdouble), model.coef_.astype(np.longdouble)
    raw = X @ coef.T + model.intercept_
    raw -= raw.max(axis=1, keepdims=True)
    loss = np.log(np.exp(raw).sum(axis=1)) - raw[np.arange(len(y)), y]
    return float(loss.mean() + 0.5 * (coef**2).sum() / (C * len(y)))


@over_product(lambda d: d == 8, d=[8, 40])
def test_float32_softmax_with_outliers_is_judged_in_float64(rng, d):
    """Raw predictions are large in some rows: float32 sums hide more than is asked for.

    And the curvature of outliers makes Newton's first steps short, and its decrement small.
    """
    X = rng.normal(size=(6000, d))
    y = np.argmax(X[:, :5] + 0.3 * rng.normal(size=(6000, 5)), axis=1)
    far = rng.integers(0, 6000, 200)
    X[far] *= np.exp(4.0 * rng.random((200, 1))) * 10.0
    X = (X + 50.0).astype(np.float32)
    best = fastgd.LogisticRegression(tol=1e-10).fit(X.astype(float), y)
    lowest = softmax_objective(best, X, y, 1.0)
    for tol in (1e-1, 1e-3, 1e-4):
        model, has_warned = fitted(fastgd.LogisticRegression(tol=tol), X, y)
        assert not has_warned
        objective = softmax_objective(model, X, y, 1.0)
        assert objective <= lowest * (1.0 + tol)
        np.testing.assert_allclose(model.objective_, objective, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_l1_softmax_far_from_its_optimum_is_not_called_converged(dtype):
    """Estimates were six times too small where its metric converged slowly."""
    X, y = load_digits(return_X_y=True)
    X = X.astype(dtype)
    make = fastgd.LogisticRegression
    lowest = make(l1_ratio=1.0, tol=1e-6).fit(X.astype(float), y).objective_
    for tol in (1e-1, 1e-2):
        model, has_warned = fitted(make(l1_ratio=1.0, tol=tol), X, y)
        assert has_warned or model.objective_ <= lowest * (1.0 + tol)


def test_huber_in_float32_says_what_rounding_costs(rng):
    """Targets that are fitted exactly leave an objective that is made of rounding."""
    X = rng.normal(size=(40, 400))
    y = X @ rng.normal(size=400)
    lowest = fastgd.HuberRegressor(tol=1e-6).fit(X, y).objective_
    model, has_warned = fitted(fastgd.HuberRegressor(tol=1e-3), X.astype(np.float32), y)
    assert has_warned or model.objective_ <= lowest * 1.001
    assert model.gap_ >= 0.5 * (model.objective_ - lowest)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.3])
def test_losses_of_nearly_nothing_are_minimised(rng, n_classes, l1_ratio, dtype):
    """Classes far apart and hardly any penalty: the loss is 1e-17, and its slopes are right."""
    X = (1e6 * rng.normal(size=(9, 12))).astype(dtype).astype(float)
    y = np.arange(9) % n_classes
    kwargs = {"C": 1e3, "l1_ratio": l1_ratio}
    model, has_warned = fitted(fastgd.LogisticRegression(tol=1e-4, **kwargs), X.astype(dtype), y)
    best, _ = fitted(fastgd.LogisticRegression(tol=1e-8, **kwargs), X, y)
    assert 0.0 < model.objective_ < 1e-8
    assert has_warned or model.objective_ <= best.objective_ * (1.0 + 1e-4)
    assert dtype is np.float32 or not has_warned
    assert model.gap_ >= (model.objective_ - best.objective_) * (1.0 - 1e-9)
    assert best.gap_ <= 1e-3 * best.objective_


def test_no_dual_point_proves_no_penalty(rng):
    """One row, more columns, a weak penalty: no point of one row makes all slopes vanish."""
    X = rng.lognormal(size=(1, 12)) * np.geomspace(0.01, 100.0, 12)
    kwargs = {"C": 2e5, "epsilon": 0.0}
    for size in (1.0, 1e-7):
        y = np.array([size])
        tight, _ = fitted(fastgd.LinearSVR(tol=1e-12, **kwargs), X, y)
        # the shortest solution of x w + b = y
        lowest = 0.5 * size**2 / (np.sum(X**2) + 1.0) / 2e5
        for tol in (1e-1, 3e-8):
            model, has_warned = fitted(fastgd.LinearSVR(tol=tol, **kwargs), X, y)
            assert model.gap_ >= model.objective_ - lowest * (1.0 + 1e-9)
            assert has_warned or model.objective_ <= lowest * (1.0 + tol) + 4e-15 * size
        assert tight.objective_ <= lowest + 4e-15 * size


@pytest.mark.parametrize("tol", [1e-1, 1e-2, 1e-3])
def test_many_nearly_separable_classes_end_within_tol(tol):
    """Newton's decrement was 0.38 of the suboptimality where curvatures fell by a half."""
    X, y = load_digits(return_X_y=True)
    lowest = fastgd.LogisticRegression(tol=1e-8).fit(X, y).objective_
    model, has_warned = fitted(fastgd.LogisticRegression(tol=tol), X, y)
    assert not has_warned
    assert model.objective_ <= lowest * (1.0 + tol)


def test_a_lasso_of_wild_scales_is_proven(rng):
    """A slope's rounding is much of the threshold of a column of large numbers."""
    X = rng.normal(size=(80, 240)) + 0.5 * rng.normal(size=(80, 1))
    X *= rng.permutation(np.geomspace(1e-15, 5e9, 240))
    y = 10.0 + X[:, :20] @ (rng.normal(size=20) / X[:, :20].std(axis=0)) + rng.normal(size=80)
    for dtype in (np.float64, np.float32):
        model, has_warned = fitted(fastgd.Lasso(alpha=0.1, tol=1e-6), X.astype(dtype), y)
        assert not has_warned
        assert model.gap_ <= 1e-6 * model.objective_


def test_an_l1_model_made_of_rounding_is_no_verdict(rng):
    """Two rows, one of them with 1e-12 of the weight: products of columns show the other alone."""
    X = rng.lognormal(size=(2, 12)) * np.geomspace(0.01, 500.0, 12)
    y, weight = 1e12 * np.array([1.0, 1.000002]), np.array([1e8, 2.0])
    kwargs = {"alpha": 5.7e-6, "fit_intercept": False}
    fits = []
    for tol in (1e-2, 1e-4, 1e-8):
        with warnings.catch_warnings(record=True) as reported:
            warnings.simplefilter("always")
            fits.append((tol, fastgd.Lasso(tol=tol, **kwargs).fit(X, y, weight), bool(reported)))
    best = min(model.objective_ for _, model, _ in fits)
    for tol, model, has_warned in fits:
        assert has_warned or model.objective_ <= best * (1.0 + tol)
        assert has_warned or model.gap_ <= tol * model.objective_


def test_huber_that_creeps_says_so(rng):
    """More columns than rows, and a scale that falls by a twentieth each round."""
    X = rng.normal(size=(60, 180)) * rng.permutation(np.geomspace(1e-15, 5e9, 180))
    y = 10.0 + 3.0 * rng.normal(size=60)
    fits = [fitted(fastgd.HuberRegressor(tol=tol), X, y) for tol in (1e-1, 1e-2, 1e-4)]
    best = min(model.objective_ for model, _ in fits)
    for (model, has_warned), tol in zip(fits, (1e-1, 1e-2, 1e-4), strict=True):
        assert has_warned or model.objective_ <= best * (1.0 + tol)
        assert model.gap_ >= model.objective_ - best


def test_huber_proves_its_gap_where_products_of_columns_are_thin(rng):
    """Columns far from zero and no intercept: their products do not show the rows apart."""
    X = rng.normal(size=(200, 6)) + np.array([0.0, 1e7, 1e7, 0.0, 3e7, 0.0])
    y = 1e5 * rng.normal(size=200)
    model, has_warned = fitted(
        fastgd.HuberRegressor(alpha=0.01, fit_intercept=False, tol=1e-4), X, y
    )
    assert not has_warned
    assert model.gap_ <= 1e-4 * model.objective_


def pinball(model, X, y, alpha, quantile):
    rest = y - X @ model.coef_ - model.intercept_
    loss = np.maximum(quantile * rest, (quantile - 1.0) * rest).mean()
    return loss + alpha * np.abs(model.coef_).sum()


def test_a_penalty_far_below_rounding_leaves_an_exact_fit(rng):
    X, y = 1e12 * np.exp(rng.normal(size=(5, 60))), 0.01 * rng.normal(size=5)
    model, _ = fitted(fastgd.QuantileRegressor(alpha=3e-6, quantile=0.1), X, y)
    assert pinball(model, X, y, 3e-6, 0.1) <= 1e-12 * np.abs(y).mean()


def test_a_quantile_of_columns_far_from_zero_without_an_intercept(rng):
    X = rng.normal(size=(5, 8)) + np.array([0.0, 1e7, 2e7, 0.0, 4e7, 0.0, 700.0, 10.0])
    y = 5.0 * rng.normal(size=5)
    kwargs = {"alpha": 0.012, "quantile": 0.9, "fit_intercept": False}
    model, has_warned = fitted(fastgd.QuantileRegressor(tol=1e-6, **kwargs), X, y)
    peer = theirs.QuantileRegressor(**kwargs).fit(X, y)
    objectives = [pinball(each, X, y, 0.012, 0.9) for each in (model, peer)]
    assert not has_warned
    assert objectives[0] <= objectives[1] * (1.0 + 1e-6)


L1 = {
    "logistic": fastgd.LogisticRegression(l1_ratio=1.0),
    "logistic, of l2 as well": fastgd.LogisticRegression(l1_ratio=0.5),
    "squared hinge": fastgd.LinearSVC(penalty="l1"),
}


def of_spread_columns(rng, n):
    """Return rows whose columns run from 1e-2 to 1e2, of which half have a coefficient."""
    X = rng.normal(size=(n, 30))
    y = (X[:, ::2] @ rng.normal(size=15) + rng.logistic(size=n) > 0.0).astype(int)
    return X * np.geomspace(1e-2, 1e2, 30), y


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("name", L1)
def test_a_small_fit_under_l1_is_proven_to_its_last_digits(rng, name, fit_intercept):
    """The bound is as large as the gradient's error beside the threshold, not as its square."""
    X, y = of_spread_columns(rng, 400)
    model = clone(L1[name]).set_params(fit_intercept=fit_intercept, tol=1e-9)
    model, has_warned = fitted(model, X, y)
    assert not has_warned
    assert model.gap_ <= 1e-9 * model.objective_


@pytest.mark.parametrize("tol", [1e-3, 1e-6])
@pytest.mark.parametrize("name", L1)
def test_a_fit_under_l1_is_proven_by_steps_beyond_it(rng, name, tol):
    X, y = of_spread_columns(rng, 8000)
    model, has_warned = fitted(clone(L1[name]).set_params(tol=tol), X, y)
    best = clone(L1[name]).set_params(tol=1e-8).fit(X, y)
    assert not has_warned
    assert model.gap_ <= tol * model.objective_
    assert model.objective_ - best.objective_ <= model.gap_ + 1e-14


def of_classes(rng, n, d, n_classes, layout):
    """Return rows and classes that a few of the columns decide, with noise."""
    X = rng.normal(size=(n, d)) * (rng.random((n, d)) < (0.1 if layout is sp.csr_array else 1.0))
    raw = X @ (rng.normal(size=(d, n_classes)) * (rng.random((d, 1)) < 0.3))
    return layout(X), np.argmax(2.0 * raw / raw.std() + rng.gumbel(size=raw.shape), axis=1)


CLASSES = {  # with a Hessian of all parameters; too many of them; too many for so sparse rows
    "a matrix": (1500, 60, 3, np.asarray),
    "no matrix": (1500, 30, 60, np.asarray),
    "sparse": (4000, 60, 8, sp.csr_array),
}


@over_product(
    lambda _case, l1_ratio, dtype, _tol: l1_ratio == 1.0 and dtype is np.float32,
    case=[*CLASSES],
    l1_ratio=[1.0, 0.5],
    dtype=[np.float64, np.float32],
    tol=[1e-1, 1e-4, 1e-6],
)
def test_softmax_under_l1_is_proven(rng, case, l1_ratio, dtype, tol):
    """Estimates alone decided where a Hessian costs many passes, and where there is none."""
    X, y = of_classes(rng, *CLASSES[case])
    make, X = fastgd.LogisticRegression(l1_ratio=l1_ratio), X.astype(dtype)
    model, has_warned = fitted(clone(make).set_params(tol=tol), X, y)
    best, _ = fitted(clone(make).set_params(tol=1e-8), X.astype(float), y)
    assert not has_warned
    assert model.gap_ <= tol * model.objective_
    assert model.objective_ - best.objective_ <= model.gap_ + 1e-13 * model.objective_


def test_a_wide_table_under_l1_is_proven_beyond_its_working_set(rng):
    """Its last metric is that of some columns only."""
    X = rng.normal(size=(252, 751)) + 0.5 * rng.normal(size=(252, 1))
    y = (X[:, :20].sum(axis=1) + rng.logistic(size=252) > 0.0).astype(int)
    X *= rng.permutation(np.geomspace(1e-21, 5e9, 751))
    for tol in (1e-1, 1e-5):
        model, has_warned = fitted(fastgd.LogisticRegression(l1_ratio=1.0, tol=tol), X, y)
        assert has_warned == (model.gap_ > tol * model.objective_)


def test_a_fit_under_l1_without_a_proof_warns(rng, monkeypatch):
    X, y = of_classes(rng, 1500, 80, 3, np.asarray)
    monkeypatch.setattr(_gd, "_bound_from_further_on", lambda *_: np.inf)
    model, has_warned = fitted(fastgd.LogisticRegression(l1_ratio=1.0, tol=1e-3), X, y)
    assert has_warned
    assert model.gap_ > 1e-3 * model.objective_


@pytest.mark.parametrize("tol", [1e-1, 1e-2, 1e-3])
@pytest.mark.parametrize("C", [1.0, 100.0])
def test_an_estimate_that_nothing_confirms_is_of_a_smaller_tolerance(rng, C, tol):
    """3,630 coefficients, too many for a matrix: L-BFGS's rate says how far the optimum is."""
    X = rng.normal(size=(1200, 120))
    y = np.argmax(X @ rng.normal(size=(120, 30)) + rng.gumbel(size=(1200, 30)), axis=1)
    X *= 10.0 ** rng.uniform(-2, 2, 120)
    model = fastgd.LogisticRegression(C=C, tol=tol).fit(X, y)
    best = fastgd.LogisticRegression(C=C, tol=1e-6).fit(X, y)
    assert model.objective_ <= (1.0 + tol) * (best.objective_ + 1e-300)
    estimate = min(model.history_["suboptimality"][-1], model.gap_)
    assert model.gap_ <= tol * model.objective_ or estimate <= 0.01 * tol * model.objective_


@pytest.mark.parametrize("tol", [1e-2, 1e-3, 1e-4])
def test_conjugate_gradients_that_stop_early_are_not_the_last_word(tol):
    """Nearly separable rows of few entries, more columns than a matrix may have."""
    rng = np.random.default_rng(0)
    n, d, k = 20_000, 8_000, 20
    columns = np.minimum((d ** rng.random((n, k)) - 1).astype(int), d - 1)
    places = np.arange(0, n * k + 1, k)
    X = sp.csr_matrix((rng.lognormal(0, 0.5, n * k), columns.ravel(), places), shape=(n, d))
    X.sum_duplicates()
    raw = X @ rng.normal(size=d)
    y = raw + 2.0 * rng.logistic(size=n) > np.median(raw)
    model = fastgd.LogisticRegression(C=1e4, tol=tol, max_iter=2000).fit(X, y)
    best = fastgd.LogisticRegression(C=1e4, tol=1e-6, max_iter=2000).fit(X, y)
    assert model.objective_ <= (1.0 + tol) * best.objective_
    assert best.gap_ <= 1e-6 * best.objective_
