"""Full-batch descent and SAGA: the optimum that others find, and what must not change it."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge

from fastgd._solvers import _gd
from fastgd._solvers._auto import descend
from fastgd._solvers._gd import gd
from fastgd._solvers._saga import saga
from fastgd._solvers._task import Options, Task
from fastgd.kernels import losses
from fastgd.kernels.losses import LogLoss, Softmax, SquaredError
from fastgd.kernels.rows import CSR, Dense
from tests.tables import over_product

SOLVERS = [gd, saga]
SMOOTH = [SquaredError(), LogLoss(), Softmax()]
CURVED = [
    *SMOOTH,
    losses.Huber(0.3),
    losses.SquaredHinge(),
    losses.ModifiedHuber(),
    losses.SmoothHinge(0.5),
    losses.LogCosh(0.5),
]


def name(value):
    return getattr(value, "__name__", type(value).__name__)


def as_rows(X):
    arrays = (X.data, X.indices, X.indptr) if sp.issparse(X) else (np.ascontiguousarray(X),)
    views = [array.view() for array in arrays]
    for view in views:
        view.flags.writeable = False
    return CSR(*views) if sp.issparse(X) else Dense(*views)


def task_of(X, y, loss, l1, l2, weight=None, fit_intercept=True):
    n_outputs = int(y.max()) + 1 if loss.kind == losses.MULTINOMIAL else 1
    return Task(as_rows(X), y, weight, loss, l1, l2, X.shape[1], n_outputs, fit_intercept)


def fit(solver, X, y, loss, *, l1=0.0, l2=0.0, weight=None, fit_intercept=True, **options):
    start = options.pop("start", None)
    task = task_of(X, y, loss, l1, l2, weight, fit_intercept)
    return solver(task, Options(**options), start)


def data(rng, loss, n=150, d=6, noise=0.7):
    """Return correlated columns of unlike scales, and targets of the loss's kind."""
    X = rng.normal(size=(n, d)) @ (np.eye(d) + 0.5) + rng.normal(size=d)
    X *= np.geomspace(0.01, 100.0, d)
    raw = (X / X.std(axis=0)) @ rng.normal(size=d) + noise * rng.logistic(size=n)
    if loss.kind == losses.MULTINOMIAL:
        return X, np.digitize(raw, np.quantile(raw, [0.3, 0.6]))
    if loss.kind == losses.BINARY:
        return X, np.where(raw > np.median(raw), 1.0, loss.negative)
    return X, raw


def objective(X, y, loss, done, l1, l2, weight=None):
    raw = X @ done.coef.T + done.intercept
    if loss.kind == losses.MULTINOMIAL:
        values = [losses.value_row(loss, int(k), r) for k, r in zip(y, raw, strict=True)]
    else:
        values = [losses.value(loss, *pair) for pair in zip(y, raw, strict=True)]
    penalty = l1 * np.abs(done.coef).sum() + 0.5 * l2 * (done.coef**2).sum()
    return np.average(values, weights=weight) + penalty


def raw_of(X, done):
    return X @ done.coef.T + done.intercept


def reference(X, y, loss, l2, fit_intercept):
    """Fit scikit-learn's estimator to its own tight tolerance."""
    n = X.shape[0]
    if isinstance(loss, SquaredError):
        return Ridge(alpha=l2 * n, fit_intercept=fit_intercept, solver="cholesky").fit(X, y)
    model = LogisticRegression(
        C=1.0 / (l2 * n),
        solver="newton-cholesky",
        tol=1e-12,
        max_iter=1000,
        fit_intercept=fit_intercept,
    )
    return model.fit(X, y)


def is_often(solver, loss):
    """Tell which losses are compiled by default: of saga those whose kernels differ."""
    return isinstance(loss, LogLoss | Softmax | (SquaredError if solver is gd else LogLoss))


@pytest.mark.parametrize("fit_intercept", [True, False])
@over_product(is_often, solver=SOLVERS, loss=SMOOTH)
def test_agrees_with_scikit_learn(rng, solver, loss, fit_intercept):
    X, y = data(rng, loss)
    X /= X.std(axis=0)
    done = fit(solver, X, y, loss, l2=0.01, fit_intercept=fit_intercept)
    model = reference(X, y, loss, 0.01, fit_intercept)
    wanted = model.predict(X) if isinstance(loss, SquaredError) else model.decision_function(X)
    assert done.converged
    np.testing.assert_allclose(raw_of(X, done), wanted, rtol=1e-4, atol=1e-4)
    assert done.objective == pytest.approx(objective(X, y, loss, done, 0.0, 0.01), rel=1e-12)


@over_product(lambda solver: solver is gd, solver=SOLVERS)
def test_l1_agrees_with_scikit_learn(rng, solver):
    X, y = data(rng, SquaredError())
    X /= X.std(axis=0)
    done = fit(solver, X, y, SquaredError(), l1=0.3, l2=0.1)
    model = ElasticNet(alpha=0.4, l1_ratio=0.75, tol=1e-14, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(done.coef, model.coef_, atol=1e-5)
    np.testing.assert_array_equal(done.coef == 0.0, model.coef_ == 0.0)
    assert (done.coef == 0.0).any()


@pytest.mark.parametrize("loss", [LogLoss(), Softmax()], ids=name)
def test_solvers_agree_with_l1(rng, loss):
    X, y = data(rng, loss)
    X /= X.std(axis=0)
    one, other = (fit(solver, X, y, loss, l1=0.03, l2=0.01) for solver in SOLVERS)
    assert one.objective == pytest.approx(other.objective, rel=1e-9)
    assert (one.coef == 0.0).any()
    np.testing.assert_allclose(one.coef, other.coef, atol=1e-4)


@over_product(is_often, solver=SOLVERS, loss=CURVED)
def test_no_direction_is_lower(rng, solver, loss):
    X, y = data(rng, loss)
    done = fit(solver, X, y, loss, l2=1e-3)
    assert done.converged
    for _ in range(10):
        near = done._replace(
            coef=done.coef + 1e-3 * rng.normal(size=done.coef.shape) / X.std(axis=0)
        )
        assert objective(X, y, loss, near, 0.0, 1e-3) > done.objective


@over_product(
    lambda solver, loss: solver is gd or isinstance(loss, LogLoss), solver=SOLVERS, loss=SMOOTH
)
def test_sparse_equals_dense(rng, solver, loss):
    X, y = data(rng, loss)
    X *= rng.random(X.shape) < 0.4
    dense = fit(solver, X, y, loss, l2=1e-3)
    sparse = fit(solver, sp.csr_array(X), y, loss, l2=1e-3)
    np.testing.assert_allclose(raw_of(X, sparse), raw_of(X, dense), rtol=1e-6, atol=1e-6)


@over_product(is_often, solver=SOLVERS, loss=SMOOTH)
def test_weights_are_repeated_rows(rng, solver, loss):
    X, y = data(rng, loss)
    times = rng.integers(0, 4, size=y.shape[0])
    weighted = fit(solver, X, y, loss, l2=0.01, weight=times)
    repeated = fit(solver, np.repeat(X, times, axis=0), np.repeat(y, times), loss, l2=0.01)
    expected = raw_of(X, repeated)
    np.testing.assert_allclose(raw_of(X, weighted), expected, rtol=1e-5, atol=1e-5)


@over_product(is_often, solver=SOLVERS, loss=SMOOTH)
def test_scales_of_columns_do_not_matter(rng, solver, loss):
    X, y = data(rng, loss, n=400, noise=3.0)
    scales = 10.0 ** rng.integers(-20, 9, size=X.shape[1])
    one = fit(solver, X, y, loss, tol=1e-10)
    other = fit(solver, X * scales, y, loss, tol=1e-10)
    np.testing.assert_allclose(raw_of(X * scales, other), raw_of(X, one), rtol=1e-4, atol=1e-4)


@over_product(
    lambda solver, loss, dtype: (
        is_often(solver, loss) and (dtype is np.float64 or (solver is gd and loss == LogLoss()))
    ),
    solver=SOLVERS,
    loss=[LogLoss(), Softmax(), SquaredError()],
    dtype=[np.float32, np.float64],
)
def test_bad_columns_give_a_finite_answer(rng, solver, loss, dtype):
    X, y = data(rng, loss, n=60)
    spoiled = [
        np.full(60, 7.3),  # constant
        X[:, 0],  # duplicated
        1e-20 * X[:, 1],
        1e9 + 1e9 * X[:, 1],
        np.where(np.arange(60) == 5, 1e9, X[:, 2]),  # an outlier
        np.zeros(60),
    ]
    X = np.column_stack([X, *spoiled]).astype(dtype)
    for l2 in (0.0, 1e-6, 1.0):
        done = fit(solver, X, y, loss, l2=l2, max_iter=200)
        assert np.isfinite(done.coef).all()
        assert np.isfinite(done.intercept).all()
        assert np.isfinite(done.objective)


@pytest.mark.parametrize("loss", [LogLoss(), Softmax()], ids=name)
@pytest.mark.parametrize("l2", [0.0, 1e-8])
@pytest.mark.parametrize("solver", SOLVERS, ids=name)
def test_separable_classes_stay_finite(rng, solver, loss, l2):
    X, y = data(rng, loss, n=50, d=80, noise=0.0)  # more columns than rows, too
    done = fit(solver, X, y, loss, l2=l2, max_iter=100)
    assert np.isfinite(done.coef).all()
    assert done.objective < 1e-2


@pytest.mark.parametrize("solver", SOLVERS, ids=name)
def test_start_is_never_made_worse(rng, solver):
    X, y = data(rng, LogLoss(), n=3000, d=40)
    first = fit(solver, X, y, LogLoss(), l2=1e-3, tol=1e-3)
    again = fit(solver, X, y, LogLoss(), l2=1e-3, tol=1e-3, start=first.state)
    assert again.objective <= first.objective * (1.0 + 1e-14)
    assert again.n_iter <= first.n_iter


@over_product(
    lambda solver, loss, dtype: dtype is np.float64 or (solver is gd and loss == LogLoss()),
    solver=SOLVERS,
    loss=[LogLoss(), Softmax()],
    dtype=[np.float32, np.float64],
)
def test_tolerance_and_gap_are_honest(rng, solver, loss, dtype):
    X, y = data(rng, loss, n=40_000, d=8)
    X = X.astype(dtype)
    best = fit(gd, X, y, loss, l2=1e-4, tol=1e-9).objective
    for tol in (1e-2, 1e-4):
        done = fit(solver, X, y, loss, l2=1e-4, tol=tol)
        assert done.converged
        assert done.objective - best <= tol * best
        assert done.gap >= (done.objective - best) * (1.0 - 1e-3) - 1e-9 * best
        # the bound takes the best intercept
        assert done.objective <= done.history["objective"][-1] * (1.0 + 1e-12)
        assert done.history["objective"][-1] == pytest.approx(done.objective, rel=tol)
        assert len(done.history["suboptimality"]) == len(done.history["objective"])


def test_samples_keep_rare_classes(rng):
    X, y = data(rng, Softmax(), n=60_000, d=5)
    y[:20] = 3
    problem = _gd.pose(task_of(X, y, Softmax(), 0.0, 1e-5))
    assert _gd.sample_sizes(problem) == [60_000 // 8]
    chosen, weight = _gd.draw(problem, 7500, rng)
    assert np.isin(np.arange(20), chosen).all()
    assert (np.diff(chosen) > 0).all()
    shares = np.bincount(y[chosen], weights=weight)
    np.testing.assert_allclose(shares, np.bincount(y) / y.shape[0], rtol=1e-9)


def test_same_seed_same_model(rng):
    X, y = data(rng, LogLoss(), n=3000)
    for solver in SOLVERS:
        one, other = (fit(solver, X, y, LogLoss(), l2=1e-3, seed=3) for _ in range(2))
        # BLAS's last digit depends on where arrays lie, and may cost or save a last pass
        np.testing.assert_allclose(one.coef, other.coef, rtol=1e-5)


def test_the_absolute_error_is_twice_the_median_s_loss(rng):
    X, y = data(rng, SquaredError())
    absolute = fit(descend, X, y, losses.AbsoluteError(), l2=0.02, tol=1e-9)
    median = fit(descend, X, y, losses.Quantile(0.5), l2=0.01, tol=1e-9)
    assert absolute.converged
    assert absolute.objective == pytest.approx(2 * median.objective, rel=1e-9)
