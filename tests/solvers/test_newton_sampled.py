"""Many rows of few columns by a sample's Hessian; deviances of nearly exact fits."""

import itertools
import warnings
from decimal import Decimal, localcontext

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._data.validation import as_rows
from fastgd._solvers._certificates import rounding_of_bound
from fastgd._solvers._costs import FINISHED_IN_FLOAT64
from fastgd._solvers._deviance import precise_deviance
from fastgd._solvers._newton_sampled import can_be_sampled, fall_between, shrunk
from fastgd._solvers._problem import evaluate, pose
from fastgd._solvers._task import Task
from fastgd.kernels import losses
from fastgd.kernels.losses import Gamma, LogLoss, Poisson, SquaredHinge, Tweedie
from fastgd.kernels.newton import center_columns, scale_columns
from fastgd.kernels.rows import Dense

ROWS, COLUMNS = 12_000, 9  # more entries than are finished to rounding

MODELS = {
    "poisson": lambda alpha, tol: fastgd.PoissonRegressor(alpha=alpha, tol=tol),
    "gamma": lambda alpha, tol: fastgd.GammaRegressor(alpha=alpha, tol=tol),
    "tweedie": lambda alpha, tol: fastgd.TweedieRegressor(power=1.5, alpha=alpha, tol=tol),
    "logistic": lambda alpha, tol: fastgd.LogisticRegression(
        C=1.0 / (alpha * ROWS) if alpha > 0.0 else np.inf, tol=tol
    ),
}


def data(name, seed=0, shape=(ROWS, COLUMNS)):
    """Return columns of unlike scale, one of them skewed, and targets."""
    rng = np.random.default_rng(seed)
    n, d = shape
    X = rng.normal(size=shape) @ rng.normal(size=(d, d))
    X[:, 0] = rng.exponential(size=n) ** 2
    raw = (X - X.mean(axis=0)) / X.std(axis=0) @ rng.normal(size=d) / np.sqrt(d)
    X = X * 10.0 ** rng.uniform(-3.0, 3.0, d) + rng.normal(size=d)
    if name == "logistic":
        return X, (raw + rng.logistic(size=n) > 0.0).astype(int)
    if name == "poisson":
        return X, rng.poisson(np.exp(raw)).astype(float)
    positive = np.exp(raw) * rng.gamma(2.0, 0.5, n)
    return X, positive + 1e-3 if name == "gamma" else positive * (rng.random(n) < 0.7)


@pytest.mark.parametrize(
    ("name", "alpha", "shape"),
    [
        *itertools.product(MODELS, [1.0, 1e-3, 0.0], [(ROWS, COLUMNS)]),
        *itertools.product(["poisson", "logistic"], [1e-3, 0.0], [(3000, 60)]),
    ],
)
def test_a_smaller_tolerance_goes_further_on_the_same_way(name, alpha, shape):
    X, y = data(name, shape=shape)
    assert X.size > FINISHED_IN_FLOAT64
    found = [MODELS[name](alpha, tol).fit(X, y) for tol in (1e-2, 1e-4, 1e-6, 1e-8, 1e-10)]
    best = found[-1].objective_
    for model, tol in zip(found, (1e-2, 1e-4, 1e-6, 1e-8, 1e-10), strict=True):
        assert model.objective_ - best <= tol * best
        assert model.gap_ <= tol * model.objective_ or (alpha == 0.0 and model.gap_ == np.inf)
        assert model.objective_ - best <= model.gap_ + 1e-14
    objectives = [model.objective_ for model in found]
    assert all(b <= a * (1.0 + 1e-14) for a, b in itertools.pairwise(objectives))
    passes = [int(np.max(model.n_iter_)) for model in found]
    assert passes == sorted(passes)
    assert passes[0] >= 1


@pytest.mark.parametrize("change", ["csr", "float32", "weights", "no_intercept"])
def test_other_rows_reach_the_same_optimum(change):
    X, y = data("poisson")
    given, weight, settings = X, None, {}
    if change == "csr":
        given = sp.csr_matrix(X)
    elif change == "float32":
        given = X.astype(np.float32)
        X = given.astype(np.float64)
    elif change == "weights":
        weight = np.random.default_rng(1).integers(0, 3, ROWS).astype(float)
    else:
        settings = {"fit_intercept": False}
    fit = {"sample_weight": weight}
    model = fastgd.PoissonRegressor(alpha=1e-3, tol=1e-7, **settings).fit(given, y, **fit)
    best = fastgd.PoissonRegressor(alpha=1e-3, tol=1e-11, **settings).fit(X, y, **fit)
    raw = X @ model.coef_.astype(float) + float(model.intercept_)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(y > 0.0, y * np.log(y), 0.0)
    losses = np.exp(raw) - y * raw + logs - y
    naive = np.average(losses, weights=weight) + 0.5e-3 * np.sum(model.coef_.astype(float) ** 2)
    assert model.objective_ == pytest.approx(naive, rel=1e-6)
    assert naive <= best.objective_ * (1.0 + 2e-7)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("name", ["poisson", "logistic"])
def test_sparse_rows_take_the_same_way_without_a_penalty(name, fit_intercept):
    """Rare dummies, common ones and columns far from zero: a sample's prior knows no layout."""
    rng = np.random.default_rng(0)
    X = (rng.random((ROWS, COLUMNS)) < [0.002, 0.002, 0.05, 0.05, 0.7, 0.7, 0.9, 0, 0]) * 1.0
    X[:, 7:] = rng.normal((3.0, 2000.0), (1.0, 10.0), size=(ROWS, 2))
    raw = (X - X.mean(axis=0)) / X.std(axis=0) @ rng.normal(size=COLUMNS) / 5.0
    y = rng.poisson(np.exp(raw)) if name == "poisson" else raw + rng.logistic(size=ROWS) > 0.0
    model = MODELS[name](0.0, 1e-2).set_params(fit_intercept=fit_intercept)
    dense = model.fit(X, y).coef_.ravel()
    n_iter, objective = np.max(model.n_iter_), model.objective_
    for layout in (sp.csr_matrix, sp.csc_matrix):
        coef = model.fit(layout(X), y).coef_.ravel()
        np.testing.assert_allclose(coef, dense, rtol=1e-8, atol=1e-10 * np.abs(dense).max())
        assert np.max(model.n_iter_) == n_iter
        assert model.objective_ == pytest.approx(objective, rel=1e-12)


def test_passes_are_no_more_than_allowed():
    X, y = data("logistic")
    for most in (1, 2, 3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = fastgd.LogisticRegression(C=np.inf, tol=1e-12, max_iter=most).fit(X, y)
        assert model.n_iter_[0] <= most
        assert len(model.history_["objective"]) == model.n_iter_[0]


@pytest.mark.parametrize("name", ["poisson", "logistic"])
def test_each_pass_is_reported_and_none_after_the_last(name):
    """Rare dummies without a penalty: steps are tried twice, and some find nothing lower."""
    rng = np.random.default_rng(0)
    share = [0.0005, 0.0005, 0.0005, 0.05, 0.3, 0.3, 0.7, 0.7, 0.5]
    X = (rng.random((ROWS, COLUMNS)) < share) * 1.0
    raw = (X - X.mean(axis=0)) @ rng.normal(size=COLUMNS)
    y = rng.poisson(np.exp(raw - 4.0)) if name == "poisson" else raw + rng.logistic(size=ROWS) > 5.0
    for most, alpha, tol in ((1, 0.0, 1e-9), (2, 0.0, 1e-9), (1000, 0.0, 1e-9), (9, 10.0, 0.5)):
        seen = []
        model = MODELS[name](alpha, tol)
        model.set_params(callbacks=[lambda view, s=seen, k=most: s.append(view) or len(s) >= k])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y)
        left = model.history_["suboptimality"]
        assert len(left) == len(model.history_["objective"]) == np.max(model.n_iter_) == len(seen)
        assert not np.any(np.isnan(left))


def test_a_start_is_not_left_for_a_higher_point():
    X, y = data("gamma")
    model = fastgd.GammaRegressor(alpha=1e-3, tol=1e-9, warm_start=True).fit(X, y)
    before = model.objective_
    model.set_params(tol=1e-3).fit(X, y)
    assert model.objective_ <= before * (1.0 + 1e-12)
    assert model.n_iter_ <= 2


def test_which_problems_have_a_sample():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, COLUMNS))
    X.flags.writeable = False
    y = (X[:, 0] > 0.0).astype(float)

    def problem(loss, l1=0.0, l2=1e-3, rows=ROWS):
        return pose(Task(Dense(X[:rows]), y[:rows], None, loss, l1, l2, COLUMNS))

    assert can_be_sampled(problem(LogLoss()))
    assert can_be_sampled(problem(Poisson(), l2=0.0))
    assert not can_be_sampled(problem(LogLoss(), l1=1e-3))
    assert not can_be_sampled(problem(SquaredHinge()))
    assert not can_be_sampled(problem(LogLoss(), rows=1000))
    X, y = rng.normal(size=(3000, 60)), (X[:3000, 0] > 0.0).astype(float)
    X[::2, :40] = 0.0  # many zeros, but not so many that columns are rare
    X.flags.writeable = False
    few = sp.random_array((3000, 60), density=0.05, format="csr", rng=rng)
    for rows, expected in (
        (Dense(X), True),
        (as_rows(sp.csr_array(X)), True),
        (as_rows(few), False),
    ):
        task = Task(rows, y, None, LogLoss(), 0.0, 1e-3, 60)
        assert can_be_sampled(pose(task)) == expected
    wide = rng.normal(size=(1100, 100))  # of so few rows a sample is no less than half
    wide.flags.writeable = False
    assert not can_be_sampled(pose(Task(Dense(wide), y[:1100], None, LogLoss(), 0.0, 0.0, 100)))


@pytest.mark.parametrize("name", ["poisson", "gamma", "logistic"])
def test_columns_that_a_sample_does_not_see_take_no_long_search(name):
    """A step along them by the sample's Hessian would have no end, and be halved tens of times."""
    rng = np.random.default_rng(0)
    X = (rng.random((ROWS, COLUMNS)) < [0.0003] * 3 + [0.05] * 6) * 1.0
    raw = X @ rng.normal(size=COLUMNS)
    X[0, :3] = 1.0
    if name == "logistic":
        y = raw + rng.logistic(size=ROWS) > 0.0
    else:
        y = rng.gamma(2.0, 0.5, ROWS) * np.exp(raw)
    model = MODELS[name](0.0, 1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a separable level has no optimum
        model.fit(X, y)
    assert np.max(model.n_iter_) <= 30


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_correlations_of_few_rows_are_shrunk_by_their_noise(rng, fit_intercept):
    n, d = 400, 6
    X = rng.normal(size=(n, d))
    X[:, 1] = 0.9 * X[:, 0] + 0.1 * X[:, 1]
    X[:, 2], X[:, 3] = 7.0, rng.permutation(n) == 0  # constant, and hardly seen
    X.flags.writeable = False
    task = Task(Dense(X), rng.poisson(1.0, n).astype(float), None, Poisson(), 0.0, 0.0, d)
    problem = pose(task._replace(fit_intercept=fit_intercept))
    Z = np.column_stack([(X - problem.scaler.center) * problem.scaler.inverse_std, np.ones(n)])
    chosen, weight = np.arange(1, n, 5), rng.random(n)
    Z, weight = Z[chosen], weight[chosen]
    product = (Z.T * weight) @ Z
    found = shrunk(problem, product, weight)

    used = [j for j in range(d) if problem.scaler.inverse_std[j] > 0.0] + [d] * fit_intercept
    expected, total = product.copy(), 0.0
    for j in used:
        if product[j, j] < 0.5 * product[d, d]:
            expected[j, j] = product[d, d]
    for i in used:
        for j in used:
            if i != j:
                total += product[i, j] ** 2 / (expected[i, i] * expected[j, j])
    p, m = len(used), weight.sum() ** 2 / (weight**2).sum()
    kept = 1.0 - min(1.0, p * (p - 1) / m / total)
    assert 0.0 < kept < 1.0
    off = ~np.eye(d + 1, dtype=bool)
    expected[off] *= kept
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_how_far_a_curvature_has_fallen():
    then = np.array([1.0, 0.5, 1e-12, 2.0])
    assert fall_between(then, np.array([0.5, 0.4, 0.0, 4.0])) == 2.0
    assert fall_between(then, then * 3.0) == 1.0
    assert fall_between(then, then * 0.0) == np.inf


def test_columns_are_centred_and_scaled(rng):
    x = rng.normal((0.0, 5.0, -3.0, 1.0), size=(50, 4))
    weight = rng.random(50)
    weight /= weight.sum()
    for width, is_centered in ((5, True), (4, False)):
        z, mean, square, peak = np.empty((50, width)), np.zeros(4), np.zeros(4), np.zeros(width)
        center_columns(Dense(x), weight, is_centered, z, mean, square, peak)
        expected = x - weight @ x if is_centered else x
        np.testing.assert_allclose(z[:, :4], expected, atol=1e-14)
        np.testing.assert_allclose(square, weight @ expected**2, rtol=1e-13)
        np.testing.assert_allclose(peak[:4], np.abs(expected).max(axis=0), rtol=1e-13)
        assert np.all(z[:, 4:] == 1.0)
        scale_columns(z, np.arange(4.0))
        np.testing.assert_allclose(z[:, :4], expected * np.arange(4.0), atol=1e-13)


@pytest.mark.parametrize("far", [0.0, 30.0, 900.0])
@pytest.mark.parametrize("loss", [Poisson(), Gamma(), Tweedie(1.5)])
def test_rounding_of_a_bound_counts_means_far_from_zero(rng, loss, far):
    """Raw columns: entries and intercept are far from zero, and their sum is not."""
    n, d = 500, 6
    X = rng.normal(far, 1.0, size=(n, d)) * 10.0 ** rng.uniform(-2.0, 2.0, d)
    X.flags.writeable = False
    y = rng.gamma(2.0, 0.5, n) + 0.1
    problem = pose(Task(Dense(X), y, None, loss, 0.0, 1e-3, d))
    point = evaluate(problem, rng.normal(size=d + 1))

    center, inverse_std = problem.scaler
    size = abs(point.u[-1])
    for j in range(d):
        size += abs(point.u[j]) * (problem.peak[j] + 2.0 * abs(center[j]) * inverse_std[j])
    size = abs(point.objective) + abs(problem.least) + problem.terms * (1.0 + size)
    hidden = rounding_of_bound(problem, point)
    assert hidden == pytest.approx(8.0 * np.finfo(float).eps * size, rel=1e-12)

    a, b = (np.longdouble(power - losses.variance_power(loss)) for power in (2, 1))
    coef = point.u[:-1].astype(np.longdouble) * inverse_std.astype(np.longdouble)
    raw = (X.astype(np.longdouble) - center) @ coef + point.u[-1]
    first = np.exp(a * raw) / a if a else raw
    second = np.exp(b * raw) / b if b else raw
    mean = np.mean(first - y * second) - np.longdouble(problem.least)
    exact = mean + 0.5 * problem.ridge.astype(np.longdouble) @ point.u.astype(np.longdouble) ** 2
    assert abs(np.longdouble(point.objective) - exact) <= hidden


@pytest.mark.parametrize("loss", [Poisson(), Gamma(), Tweedie(1.5), Tweedie(1.1), Tweedie(3.0)])
@pytest.mark.parametrize("distance", [1e-9, 1e-5, 0.1, 2.0])
def test_a_deviance_has_all_digits_near_its_targets(rng, loss, distance):
    y = rng.exponential(size=40) + 0.1
    if loss.variance_power != 2.0 and getattr(loss, "power", 1.0) < 2.0:
        y[:3] = 0.0
    weight = rng.random(40)
    weight /= weight.sum()
    raw = np.log(np.where(y > 0.0, y, 1.0)) + distance * rng.normal(size=40)
    raw = np.where(y > 0.0, raw, -20.0)
    found = precise_deviance(loss, y, weight, raw, 0.0)
    p = {"Poisson": 1.0, "Gamma": 2.0}.get(type(loss).__name__, getattr(loss, "power", 0.0))
    expected = weight @ naive_deviance(y, raw, p)
    assert abs(found.value - expected) <= found.rounding + 1e-9 * expected
    assert found.rounding <= 1e-5 * found.value + 1e-30


def naive_deviance(y, raw, p):
    """Return half the deviance by its terms, in 60 digits."""

    def integral(c, at):
        return (c * at).exp() / c if c != 0 else at

    def one(y, t):
        y, t, a = Decimal(float(y)), Decimal(float(t)), Decimal(2.0 - p)
        b = Decimal(1.0 - p)
        if y == 0:  # its second term is 0
            return integral(a, t)
        return (integral(a, t) - y * integral(b, t)) - (
            integral(a, y.ln()) - y * integral(b, y.ln())
        )

    with localcontext() as context:
        context.prec = 60
        return np.array([float(one(*pair)) for pair in zip(y, raw, strict=True)])


@pytest.mark.parametrize("model", [fastgd.PoissonRegressor, fastgd.GammaRegressor])
@pytest.mark.parametrize("rows", [300, 15_000])
@pytest.mark.parametrize("alpha", [1e-3, 1e-6])
def test_a_bound_above_the_tolerance_is_said_of_nearly_exact_fits(model, rows, alpha):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 8))
    y = np.round(np.exp(8.0 + 1e-3 * X @ rng.normal(size=8)))
    for tol in (1e-4, 1e-7):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = model(alpha=alpha, tol=tol).fit(X, y)
        assert found.gap_ <= tol * found.objective_ or len(said) == 1
        if rows == 300:
            assert not said
