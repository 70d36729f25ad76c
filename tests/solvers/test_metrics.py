"""Metrics: each against the naive Hessian; what they cost; and who is chosen for what."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from sklearn import linear_model as theirs
from sklearn.datasets import load_digits

import fastgd
from fastgd._solvers import _costs, _implicit, _precondition, _wide, _working
from fastgd._solvers._auto import choose, descend
from fastgd._solvers._gd import gd
from fastgd._solvers._l1_model import minimise_model
from fastgd._solvers._problem import evaluate, pose
from fastgd._solvers._task import Options, Task
from fastgd.kernels import losses
from fastgd.kernels.losses import LogLoss, Softmax, SquaredError
from tests.solvers.test_gd import as_rows, objective, task_of

LAYOUTS = ["dense", "csr"]
over_layouts = pytest.mark.parametrize("layout", LAYOUTS)


def name(value):
    return getattr(value, "__name__", type(value).__name__)


def sparse_data(rng, loss, n=120, d=40, per_row=4):
    """Return rows with few non-zeros, in columns of unlike scales, and targets."""
    X = sp.random_array((n, d), density=per_row / d, format="csr", rng=rng)
    X = sp.csr_array(X.multiply(np.geomspace(0.1, 10.0, d)))
    raw = np.asarray(X @ (rng.normal(size=d) / np.geomspace(0.1, 10.0, d)))
    raw += 0.5 * rng.normal(size=n)
    if loss.kind == losses.MULTINOMIAL:
        return X, np.digitize(raw, np.quantile(raw, [0.3, 0.6]))
    if loss.kind == losses.BINARY:
        return X, np.where(raw > np.median(raw), 1.0, loss.negative)
    return X, raw


def laid_out(X, layout):
    return X if layout == "csr" else X.toarray()


def problem_of(X, y, loss, l2=0.01, fit_intercept=True, weight=None):
    return pose(task_of(X, y, loss, 0.0, l2, weight, fit_intercept))


def standardised(problem, X):
    """Return (z_i, 1) of all rows."""
    z = (X.toarray() - problem.scaler.center) * problem.scaler.inverse_std
    return np.column_stack([z, np.ones(z.shape[0])])


def naive_hessian(problem, X, u):
    """Return the Hessian of the whole problem, by its definition; classes outermost."""
    z, ridge = standardised(problem, X), np.diag(problem.ridge)
    if problem.n_outputs == 0:
        return z.T @ (evaluate(problem, u).curvature[:, None] * z) + ridge
    raw = z @ u
    p = np.exp(raw - raw.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    K = problem.n_outputs
    blocks = [
        [
            z.T @ ((problem.weight * p[:, a] * ((a == b) - p[:, b]))[:, None] * z)
            + ridge * (a == b)
            for b in range(K)
        ]
        for a in range(K)
    ]
    return np.block(blocks)


def some_point(rng, problem):
    shape = (problem.shape[1] + 1, *([problem.n_outputs] if problem.n_outputs else []))
    u = 0.3 * rng.normal(size=shape)
    return u - u.mean(axis=1, keepdims=True) if problem.n_outputs else u


# -- products ---------------------------------------------------------------------------------


@over_layouts
def test_products_are_those_of_the_standardised_rows(rng, layout):
    X, y = sparse_data(rng, SquaredError())
    weight = rng.random(y.shape[0])
    problem = problem_of(laid_out(X, layout), y, SquaredError(), weight=weight)
    z = standardised(problem, X)
    found = _precondition.products(problem, weight)
    np.testing.assert_allclose(found, z.T @ (weight[:, None] * z), rtol=1e-11, atol=1e-11)


def test_products_of_some_columns(rng):
    X, y = sparse_data(rng, SquaredError())
    problem, columns = problem_of(X, y, SquaredError()), np.array([3, 4, 17, 39])
    z = standardised(problem, X)[:, [*columns, -1]]
    weight = rng.random(y.shape[0])
    found = _precondition.products_of(problem, weight, columns)
    np.testing.assert_allclose(found, z.T @ (weight[:, None] * z), rtol=1e-11, atol=1e-11)


def test_products_of_columns_far_from_zero_keep_their_digits(rng):
    X = np.column_stack([1e7 + rng.normal(size=200), rng.random(size=(200, 30)) < 0.03])
    y = rng.normal(size=200)
    problem = problem_of(sp.csr_array(X), y, SquaredError())
    assert _precondition.can_centre(problem)
    z = standardised(problem, sp.csr_array(X))
    found = _precondition.products(problem, problem.weight)
    np.testing.assert_allclose(found, z.T @ z / 200, atol=1e-7)


def test_a_column_far_from_zero_that_a_row_lacks_goes_through_blocks(rng):
    X = np.column_stack([100 + rng.normal(size=2000), rng.random(size=(2000, 30)) < 0.03])
    X[7, 0] = 0.0
    problem = problem_of(sp.csr_array(X), rng.normal(size=2000), SquaredError())
    assert not _precondition.can_centre(problem)
    z = standardised(problem, sp.csr_array(X))
    found = _precondition.products(problem, problem.weight)
    np.testing.assert_allclose(found, z.T @ z / 2000, atol=1e-10)


# -- solving ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fit_intercept", [True, False])
@over_layouts
@pytest.mark.parametrize("loss", [LogLoss(), Softmax()], ids=name)
def test_metrics_solve_with_the_hessian(rng, loss, layout, fit_intercept):
    X, y = sparse_data(rng, loss)
    problem = problem_of(laid_out(X, layout), y, loss, fit_intercept=fit_intercept)
    point = evaluate(problem, some_point(rng, problem))
    wanted = naive_hessian(problem, X, point.u)
    gradient = point.gradient.T.ravel()
    free = np.tile(np.append(np.ones(X.shape[1]), fit_intercept), max(1, problem.n_outputs)) > 0
    step = np.zeros(gradient.shape)
    step[free] = np.linalg.lstsq(wanted[np.ix_(free, free)], gradient[free], rcond=1e-12)[0]
    step = step.reshape(point.u.T.shape).T
    implicit = _implicit.Implicit(problem, point)
    implicit.enough = 0.0
    for metric in (_precondition.hessian(problem, point), implicit):
        found = _precondition.solve(metric, point.gradient)
        if problem.n_outputs:  # what all classes share changes nothing
            found = found - found[-1].mean() * (np.arange(found.shape[0]) == X.shape[1])[:, None]
            step = step - step[-1].mean() * (np.arange(found.shape[0]) == X.shape[1])[:, None]
        decrease = np.vdot(point.gradient, found), np.vdot(point.gradient, step)
        missed = 2.0 * _precondition.left_out(metric)
        assert decrease[0] <= decrease[1] * (1.0 + 1e-9)
        assert decrease[0] >= decrease[1] - 2.0 * missed - 1e-9 * decrease[1]
        if metric is not implicit:
            np.testing.assert_allclose(found, step, rtol=1e-7, atol=1e-7 * np.abs(step).max())


@over_layouts
def test_passes_over_nearly_certain_classes_keep_their_digits(rng, layout):
    """What is left of a loss of e^-60 is not the difference of two numbers near 1."""
    X, _ = sparse_data(rng, SquaredError(), n=60, d=5, per_row=3)
    y = np.argmax(X[:, [0, 1, 2]].toarray() / np.geomspace(0.1, 10.0, 5)[:3], axis=1)
    problem = problem_of(laid_out(X, layout), y, Softmax(), l2=1e-300, fit_intercept=False)
    z = X.toarray() * problem.scaler.inverse_std
    u = np.zeros((6, 3))
    u[:3] = 300.0 * np.eye(3)
    raw = (z @ u[:-1]).astype(np.longdouble)
    below = raw - raw[np.arange(60), y][:, None]
    below[np.arange(60), y] = -np.inf
    others = np.exp(below)
    total = 1.0 + others.sum(axis=1)
    slopes = others / total[:, None]
    slopes[np.arange(60), y] = -others.sum(axis=1) / total
    keep = slopes[np.arange(60), y] > -1e-3  # certain ones alone, with the weight
    task = task_of(laid_out(X, layout), y, Softmax(), 0.0, 1e-300, keep.astype(float), False)
    problem = pose(task)._replace(scaler=problem.scaler)
    s = keep / np.longdouble(keep.sum())
    point, hessian = evaluate(problem, u), _precondition.hessian(problem, evaluate(problem, u))
    assert 0.0 < point.objective < 1e-4
    loss = np.log1p(others.sum(axis=1))
    np.testing.assert_allclose(point.objective, float(s @ loss), rtol=1e-11)
    gradient = np.asarray(z.T @ (s[:, None] * slopes), float)
    np.testing.assert_allclose(
        point.gradient[:-1], gradient, rtol=1e-9, atol=1e-12 * abs(gradient).max()
    )
    p = slopes.copy()
    p[np.arange(60), y] += 1.0
    for k in range(3):
        bend = s * p[:, k] * np.where(y == k, -slopes[np.arange(60), y], 1.0 - p[:, k])
        wanted = np.asarray((z * z).T @ bend, float)
        found = np.diagonal(hessian.product)[6 * k : 6 * k + 5]
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13 * wanted.max())


@over_layouts
@pytest.mark.parametrize("loss", [LogLoss(), Softmax()], ids=name)
def test_implicit_products(rng, loss, layout):
    X, y = sparse_data(rng, loss)
    problem = problem_of(laid_out(X, layout), y, loss)
    point = evaluate(problem, some_point(rng, problem))
    metric, v = _implicit.Implicit(problem, point), some_point(rng, problem)
    wanted = naive_hessian(problem, X, point.u)
    found = metric.times(v).T.ravel()
    np.testing.assert_allclose(found, wanted @ v.T.ravel(), rtol=1e-9, atol=1e-11)
    diagonal = np.diagonal(wanted) - np.tile(problem.ridge, max(1, problem.n_outputs))
    np.testing.assert_allclose(metric.product.T.ravel(), diagonal, rtol=1e-8, atol=1e-12)


@over_layouts
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_blocks_of_classes_are_inverted(rng, layout, fit_intercept):
    X, y = sparse_data(rng, Softmax(), per_row=20)
    problem = problem_of(laid_out(X, layout), y, Softmax(), fit_intercept=fit_intercept)
    point = evaluate(problem, some_point(rng, problem))
    metric = _implicit.Implicit(problem, point)
    width = X.shape[1] + 1
    free = np.arange(width - (not fit_intercept))
    whole = naive_hessian(problem, X, point.u)
    for k in range(problem.n_outputs):
        own = np.ix_(k * width + free, k * width + free)
        found = metric.class_blocks[k]
        np.testing.assert_allclose(
            found[np.ix_(free, free)] @ whole[own], np.eye(free.size), atol=1e-3
        )
        assert np.all(found[free.size :] == 0.0)
        assert np.all(found[:, free.size :] == 0.0)
    following = _implicit.Implicit(problem, point, before=metric)
    assert following.class_blocks is metric.class_blocks
    metric.n_products = _implicit.KEPT_UP_TO + 1
    following = _implicit.Implicit(problem, point, before=metric)
    assert following.class_blocks is not metric.class_blocks


def test_blocks_of_classes_save_products(monkeypatch):
    """Digits take 72 products, 95 preconditioned by a diagonal."""
    X, y = load_digits(return_X_y=True)
    seen, times = [], _implicit.HessianProduct.times
    monkeypatch.setattr(
        _implicit.HessianProduct, "times", lambda self, v: seen.append(1) or times(self, v)
    )
    counts = []
    for have in (_implicit.have_cheap_blocks, lambda _: False):
        monkeypatch.setattr(_implicit, "have_cheap_blocks", have)
        model = fastgd.LogisticRegression().fit(X, y)
        assert model.gap_ <= 1e-4 * model.objective_
        counts.append(len(seen))
        seen.clear()
    assert counts[0] <= 0.8 * counts[1]


@pytest.mark.parametrize("bend", [0.0, -1.0, np.inf, np.nan])
def test_gradients_that_break_down_at_once_claim_nothing(rng, monkeypatch, bend):
    X, y = sparse_data(rng, LogLoss())
    problem = problem_of(X, y, LogLoss())
    point = evaluate(problem, some_point(rng, problem))
    metric = _implicit.Implicit(problem, point)
    metric.solve(point.gradient)
    assert 0.0 < metric.left_out < np.inf
    monkeypatch.setattr(metric, "times", lambda v: bend * v)
    assert not metric.solve(point.gradient).any()
    assert metric.left_out == np.inf
    assert not metric.solve(0.0 * point.gradient).any()
    assert metric.left_out == 0.0


@pytest.mark.parametrize("loss", [LogLoss(), Softmax()], ids=name)
def test_damping_adds_the_average_row_s_curvature(rng, loss):
    X, y = sparse_data(rng, loss)
    problem = problem_of(X, y, loss)
    point = evaluate(problem, some_point(rng, problem))
    plain, damped = (_implicit.Implicit(problem, point, more) for more in (0.0, 0.5))
    v, z = some_point(rng, problem), standardised(problem, X)
    more = 0.5 * z.T @ (problem.weight * (z @ v).T).T
    np.testing.assert_allclose(damped.times(v), plain.times(v) + more, rtol=1e-9, atol=1e-11)


def test_precise_conjugate_gradients_find_the_solution(rng):
    X, y = sparse_data(rng, SquaredError())
    problem = problem_of(X, y, SquaredError())
    point = evaluate(problem, some_point(rng, problem))
    metric = _precondition.newton_metric(
        problem._replace(largest=1), point, _precondition.Damping()
    )
    assert isinstance(metric, _implicit.Implicit)
    found = metric.solve(point.gradient)
    step = np.linalg.solve(naive_hessian(problem, X, point.u), point.gradient)
    np.testing.assert_allclose(found, step, rtol=1e-2, atol=1e-2 * np.abs(step).max())
    low = 0.5 * point.gradient @ step
    assert low - 0.5 * point.gradient @ found <= metric.left_out + 1e-12 * low


# -- sparse tables that have no matrix --------------------------------------------------------


@pytest.fixture
def no_matrix(monkeypatch):
    """Make every sparse table behave as if a matrix of its columns were too costly."""
    monkeypatch.setattr("fastgd._solvers._problem.largest_matrix", lambda *_: 1)


ESTIMATORS = [
    (fastgd.Ridge(tol=1e-9), "numbers"),
    (fastgd.Lasso(alpha=0.02, tol=1e-7), "numbers"),
    (fastgd.HuberRegressor(tol=1e-9), "numbers"),
    (fastgd.PoissonRegressor(tol=1e-9), "counts"),
    (fastgd.LogisticRegression(tol=1e-9, solver="gd"), "classes"),
    (fastgd.LogisticRegression(tol=1e-9, solver="gd"), "many"),
    (fastgd.LinearSVC(tol=1e-9, solver="gd"), "classes"),
]


@pytest.mark.usefixtures("no_matrix")
@pytest.mark.parametrize(
    ("model", "kind"), ESTIMATORS, ids=[f"{name(m)}-{k}" for m, k in ESTIMATORS]
)
def test_fits_without_a_matrix_equal_those_with_one(rng, model, kind):
    X, raw = sparse_data(rng, SquaredError(), n=600, d=60)
    y = {
        "numbers": raw,
        "counts": np.floor(np.abs(raw)),
        "classes": (raw > 0).astype(int),
        "many": np.digitize(raw, np.quantile(raw, [0.3, 0.6])),
    }[kind]
    wanted = model.fit(X.toarray(), y)
    expected, value = np.array(wanted.coef_), float(np.sum(wanted.objective_))
    found = model.fit(X, y)
    assert float(np.sum(found.objective_)) == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(found.coef_, expected, atol=2e-3 * np.abs(expected).max())


@pytest.mark.usefixtures("no_matrix")
def test_products_count_as_passes(rng, monkeypatch):
    X, y = sparse_data(rng, SquaredError(), n=400, d=100)
    seen, times = [], _implicit.Implicit.times

    def counted(self, v):
        seen.append(1)
        return times(self, v)

    monkeypatch.setattr(_implicit.Implicit, "times", counted)
    task = task_of(X, y, SquaredError(), 0.0, 1e-6)
    for most in (2, 5, 20):
        seen.clear()
        gd(task, Options(tol=1e-14, max_iter=most))
        assert len(seen) <= most + 5


@pytest.mark.usefixtures("no_matrix")
def test_threads_do_not_change_a_bit(rng):
    X, raw = sparse_data(rng, SquaredError(), n=60_000, d=50, per_row=20)
    y = (raw > 0).astype(int)
    one, other = (
        fastgd.LogisticRegression(solver="gd", tol=1e-7, n_jobs=jobs).fit(X, y) for jobs in (1, 2)
    )
    np.testing.assert_array_equal(one.coef_, other.coef_)


# -- more columns than rows -------------------------------------------------------------------


def test_blocks_of_many_equal_columns_stay_positive(rng):
    """A hundred equal columns: what float32 rounds of their products is more than the floor."""
    X = np.repeat(rng.normal(size=(20_000, 1)), 100, axis=1)
    problem = pose(task_of(X, rng.integers(0, 10, 20_000), Softmax(), 0.0, 1e-12))
    point = evaluate(problem, 0.001 * rng.normal(size=(101, 10)))
    blocks = _implicit.Implicit(problem, point).class_blocks
    assert blocks is not None
    for block in blocks:
        assert np.linalg.eigvalsh(0.5 * (block + block.T))[0] > 0.0


def wide_data(rng, n=30, d=200, scales=1.0):
    X = (rng.normal(size=(n, d)) + rng.normal(size=d)) * scales
    return X, X @ (rng.normal(size=d) / (np.sqrt(d) * scales)) + 0.1 * rng.normal(size=n)


@over_layouts
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("wild", [False, True])
def test_a_basis_keeps_products_and_lengths(rng, layout, fit_intercept, wild):
    scales = 10.0 ** rng.integers(-9, 7, size=200) if wild else 1.0
    X, y = wide_data(rng, scales=scales)
    if layout == "csr":
        X = sp.csr_array(X * (rng.random(X.shape) < 0.05))
    task = task_of(X, y, SquaredError(), 0.0, 1e-3, fit_intercept=fit_intercept)
    assert _wide.is_reducible(task)
    basis = _wide.basis_of(task)
    A = np.asarray(X.todense() if sp.issparse(X) else X)
    A = A - A.mean(axis=0) * fit_intercept
    exact = A @ A.T
    np.testing.assert_allclose(basis.rows @ basis.rows.T, exact, atol=1e-9 * np.abs(exact).max())
    v = rng.normal(size=basis.rows.shape[1])
    w = basis.back(v)
    raw = np.abs(A) @ np.abs(w)
    np.testing.assert_allclose(A @ w, basis.rows @ v, atol=1e-7 * raw.max())
    assert w @ w == pytest.approx(v @ v, rel=1e-6)
    np.testing.assert_allclose(basis.into(w), v, rtol=1e-5, atol=1e-6)


@over_layouts
@pytest.mark.parametrize("n_varying", [0, 20])
def test_columns_that_do_not_vary_have_no_part_in_a_basis(rng, layout, n_varying):
    """Of hashed columns nearly all are empty. Rows are repeated, so that QR makes the basis."""
    X, y = wide_data(rng)
    varies = np.arange(X.shape[1]) % 7 == 3
    varies &= np.cumsum(varies) <= n_varying
    X[:, ~varies] = np.arange(X.shape[1])[~varies] % 2
    X[1::2] = X[::2]
    task = task_of(sp.csr_array(X) if layout == "csr" else X, y, SquaredError(), 0.0, 1e-3)
    basis = _wide.basis_of(task)
    A = X - X.mean(axis=0)
    np.testing.assert_allclose(basis.rows @ basis.rows.T, A @ A.T, atol=1e-9)
    v = rng.normal(size=(2, basis.rows.shape[1]))
    w = basis.back(v)
    assert w.shape == (2, X.shape[1])
    np.testing.assert_allclose(w @ A.T, v @ basis.rows.T, atol=1e-9)
    if n_varying:
        assert not w[:, ~varies].any()
        np.testing.assert_allclose(basis.into(w), v, atol=1e-9)


@over_layouts
@pytest.mark.parametrize("weighted", [False, True])
def test_means_far_from_zero_add_nothing_to_a_basis(rng, layout, weighted):
    """What rounding leaves of a mean is the same in all rows, and centred rows add up to zero."""
    d = 375
    X = rng.normal(size=(126, d)) + np.where(rng.random(d) < 0.3, 10.0 ** rng.uniform(0, 3, d), 0.0)
    X *= 10.0 ** rng.uniform(-21, 9, size=d)
    weight = rng.uniform(0.5, 2.0, size=126) if weighted else None
    rows = sp.csr_array(X) if layout == "csr" else X
    task = task_of(rows, np.zeros(126), SquaredError(), 0.0, 0.0, weight=weight)
    basis = _wide.basis_of(task)
    assert basis.rows.shape == (126, 125)
    share = np.full(126, 1.0 / 126) if weight is None else weight / weight.sum()
    size = np.abs(basis.rows).max(axis=0)
    np.testing.assert_allclose(share @ basis.rows, 0.0, atol=1e-13 * size.max())
    assert np.all(np.abs(basis.center - share @ X) <= 1e-12 * np.abs(X).max(axis=0))


@pytest.mark.parametrize("loss", [SquaredError(), LogLoss(), Softmax()], ids=name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_wide_tables_end_where_descent_on_their_columns_does(rng, loss, dtype):
    X, raw = wide_data(rng)
    y = {
        losses.REGRESSION: raw,
        losses.BINARY: (raw > 0).astype(float),
        losses.MULTINOMIAL: np.digitize(raw, [-0.3, 0.3]),
    }[loss.kind]
    task = task_of(X.astype(dtype), y, loss, 0.0, 0.01)
    one, other = solver_objectives(task)
    assert one.converged
    assert one.objective == pytest.approx(other.objective, rel=1e-9)
    np.testing.assert_allclose(one.coef, other.coef, atol=1e-4)
    np.testing.assert_allclose(one.intercept, other.intercept, atol=1e-4)


def solver_objectives(task):
    options = Options(tol=1e-12)
    return descend(task, options), gd(task, options)


def test_columns_of_any_scale(rng):
    X, y = wide_data(rng, scales=10.0 ** rng.integers(-21, 10, size=200))
    y = (y > 0).astype(float)
    task = task_of(X, y, LogLoss(), 0.0, 1.0 / 30)
    one, other = solver_objectives(task)
    assert one.objective <= max(other.objective * (1.0 + 1e-6), 1e-12)
    assert objective(X, y, LogLoss(), one, 0.0, 1.0 / 30) == pytest.approx(one.objective, rel=1e-6)


def test_without_a_penalty_the_shortest_solution(rng):
    X, y = wide_data(rng)
    task = task_of(X, y, SquaredError(), 0.0, 0.0)
    found = descend(task, Options(tol=1e-12))
    wanted = np.linalg.pinv(X - X.mean(axis=0)) @ (y - y.mean())
    np.testing.assert_allclose(found.coef, wanted, atol=1e-8)


def test_a_warm_start_is_taken_into_the_basis(rng):
    X, y = wide_data(rng)
    y = (y > 0).astype(float)
    task = task_of(X, y, LogLoss(), 0.0, 0.01)
    first = descend(task, Options(tol=1e-3))
    again = descend(task, Options(tol=1e-3), first.state)
    assert again.objective <= first.objective * (1.0 + 1e-12)
    assert again.n_iter <= first.n_iter


def test_repeated_rows_and_constant_columns(rng):
    X, y = wide_data(rng)
    X, y = np.vstack([X, X[:10]]), np.append(y, y[:10] + 0.1)
    X[:, 5] = 7.0
    task = task_of(X, y, SquaredError(), 0.0, 0.01)
    one, other = solver_objectives(task)
    assert one.coef[5] == 0.0
    np.testing.assert_allclose(one.coef, other.coef, atol=1e-6)


# -- l1 ---------------------------------------------------------------------------------------


@over_layouts
@pytest.mark.parametrize("positive", [False, True])
def test_working_sets_find_the_lasso(rng, layout, positive):
    X, y = wide_data(rng, n=40, d=300)
    X = sp.csr_array(X * (rng.random(X.shape) < 0.05)) if layout == "csr" else X
    alpha = 0.02
    task = task_of(X, y, SquaredError(), alpha, 0.0)._replace(positive=positive)
    found = _working.by_working_sets(task, Options(tol=1e-9))
    model = theirs.Lasso(alpha=alpha, positive=positive, tol=1e-10, max_iter=1_000_000).fit(X, y)
    wanted = task_objective(task, model.coef_, model.intercept_)
    assert found.converged
    assert found.objective <= wanted * (1.0 + 1e-8)
    assert np.all(found.coef >= 0.0) or not positive
    assert 0 < np.count_nonzero(found.coef) < 100


def task_objective(task, coef, intercept):
    from fastgd._solvers._problem import objective_of

    return objective_of(task, coef, intercept)


@pytest.mark.parametrize("loss", [LogLoss(), Softmax()], ids=name)
@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_working_sets_end_where_descent_on_all_columns_does(rng, loss, l2):
    X, y = sparse_data(rng, loss, n=150, d=120)
    task = task_of(X, y, loss, 0.01, l2)
    found = _working.by_working_sets(task, Options(tol=1e-8))
    whole = gd(task, Options(tol=1e-10))
    assert found.converged
    assert found.objective == pytest.approx(whole.objective, rel=1e-7)


@pytest.mark.parametrize("loss", [SquaredError(), LogLoss()], ids=name)
def test_the_bound_of_an_l1_problem_is_one(rng, loss):
    X, y = sparse_data(rng, loss, n=150, d=120)
    task = task_of(X, y, loss, 0.01, 0.0)
    best = gd(task, Options(tol=1e-12)).objective
    for tol in (1e-1, 1e-2, 1e-4):
        found = _working.by_working_sets(task, Options(tol=tol))
        assert found.objective - best <= found.suboptimality + 1e-12 * best
        assert found.objective - best <= tol * found.objective


def test_working_sets_take_no_small_objective_for_zero():
    """6.54e-9 of the null model's 0.69: what ended rounds was 1e-6 of that, times tol."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 1000))
    y = (X[:, :5].sum(axis=1) > 0).astype(int)
    model = fastgd.LogisticRegression(C=1e8, l1_ratio=1.0, tol=0.1).fit(X, y)
    assert model.objective_ <= 1.1 * 6.5370841e-9
    assert model.gap_ <= 0.1 * model.objective_


def test_working_sets_go_on_from_a_start_and_stop_when_told(rng):
    X, y = wide_data(rng, n=40, d=300)
    task = task_of(X, y, SquaredError(), 0.02, 0.0)
    whole = _working.by_working_sets(task, Options(tol=1e-8))
    again = _working.by_working_sets(task, Options(tol=1e-8), whole.state)
    assert again.n_iter <= whole.n_iter
    assert again.objective <= whole.objective * (1.0 + 1e-12)
    few = _working.by_working_sets(task, Options(tol=1e-8, max_iter=1))
    assert not few.converged
    assert few.objective > whole.objective


# -- the choice -------------------------------------------------------------------------------


def shaped(n, d, per_row=0, loss=None, **penalty):
    """Return a task of this shape; its numbers do not matter."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d)) if per_row == 0 else one_hot(rng, n, d, per_row)
    y, loss = rng.integers(0, 2, n).astype(float), loss or LogLoss()
    penalty = {"l1": 0.0, "l2": 1.0 / n, **penalty}
    return Task(as_rows(X), y, None, loss, penalty["l1"], penalty["l2"], d)


def one_hot(rng, n, d, per_row):
    columns = d * np.arange(per_row) // per_row + rng.integers(0, d // per_row, (n, per_row))
    starts = np.arange(0, n * per_row + 1, per_row)
    return sp.csr_array((np.ones(n * per_row), columns.ravel(), starts), (n, d))


@pytest.mark.parametrize(
    ("task", "solver", "has_matrix"),
    [
        (shaped(500, 20), "gd", True),
        (shaped(5_000, 40, 8), "gd", True),
        (shaped(20_000, 300, 8), "gd", True),
        (shaped(20_000, 500, 8), "gd", False),
        (shaped(20_000, 1_600, 8), "gd", False),
        (shaped(20_000, 2_960, 8), "gd", False),
        (shaped(20_000, 3_200, 8), "gd", False),
        (shaped(5_000, 5_000, 2), "sdca", False),
        (shaped(5_000, 5_000, 2, l2=0.0), "gd", False),
        (shaped(100, 2_000), "gd", False),
    ],
)
def test_the_choice_counts_non_zeros(task, solver, has_matrix):
    n, d = task.y.shape[0], task.n_features
    assert choose(task) == solver
    assert (d + 1 <= _costs.largest_matrix(task.rows, n, d, 0)) == has_matrix


def test_wide_dense_tables_are_reduced_and_l1_ones_are_not():
    assert _wide.is_reducible(shaped(100, 2_000))
    assert not _wide.is_reducible(shaped(100, 2_000, l1=0.1))
    assert _working.wants_working_sets(shaped(100, 2_000, l1=0.1))
    assert not _working.wants_working_sets(shaped(500, 100, l1=0.1))


def test_matrices_are_no_larger_than_x_or_a_constant():
    for task in (shaped(1_000, 2_900, 8), shaped(20_000, 2_960, 8), shaped(3_000, 1_200)):
        n, d = task.y.shape[0], task.n_features
        size = _costs.largest_matrix(task.rows, n, d, 0)
        assert 8 * size**2 <= max(_costs.FREE_BYTES, _costs.TIMES_X * _costs.bytes_of(task.rows))


MEMORY = """
    import tracemalloc, warnings
    import numpy as np, scipy.sparse as sp, fastgd
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    n, d, k = 100_000, 2_496, 8
    columns = d * np.arange(k) // k + rng.integers(0, d // k, (n, k))
    starts = np.arange(0, n * k + 1, k)
    X = sp.csr_matrix((np.ones(n * k), columns.ravel(), starts), (n, d))
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    raw = X @ rng.normal(size=d) / 3.0
    size = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    for model, y in (
        (fastgd.LogisticRegression(), raw + rng.logistic(size=n) > 0),
        (fastgd.Ridge(), raw + rng.normal(size=n)),
        (fastgd.Lasso(alpha=0.01), raw + rng.normal(size=n)),
        (fastgd.PoissonRegressor(), rng.poisson(np.exp(raw))),
    ):
        tracemalloc.start()
        model.fit(X, y)
        print(type(model).__name__, tracemalloc.get_traced_memory()[1] / size)
        tracemalloc.stop()
"""


@pytest.mark.full
def test_memory_stays_in_proportion_to_a_sparse_table():
    program = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(MEMORY)]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    figures = dict(line.split() for line in done.stdout.splitlines())
    assert len(figures) == 4
    assert all(float(times) < 10.0 for times in figures.values()), figures


def test_a_dense_l1_step_solves_its_model(rng):
    """Sweeps and steps on the support end at the minimum that sweeps alone find."""
    Z = rng.normal(size=(60, 20)) @ (np.eye(20) + 0.9)
    full, gradient = Z.T @ Z / 60, rng.normal(size=20)
    sides = np.stack([np.full(20, 0.1), np.full(20, -np.inf)])
    step, gain = minimise_model(full, gradient, np.zeros(20), sides, 1e-12)
    slope = gradient + full @ step
    inside = step != 0.0
    np.testing.assert_allclose(slope[inside], -0.1 * np.sign(step[inside]), atol=1e-5)
    assert np.all(np.abs(slope[~inside]) <= 0.1 + 1e-5)
    model = gradient @ step + 0.5 * step @ full @ step + 0.1 * np.abs(step).sum()
    assert gain == pytest.approx(-model, rel=1e-9)


def least_of_model(full, gradient, params, sides):
    """Return the least value of g'p + p'H p / 2 + t |u + p|, by L-BFGS in both signs' parts."""
    size = params.shape[0]

    def value(parts):
        p = parts[:size] - parts[size:] - params
        slope = gradient + full @ p
        grown = np.concatenate([slope, -slope]) + np.tile(sides[0], 2)
        return (gradient + 0.5 * full @ p) @ p + sides[0] @ (parts[:size] + parts[size:]), grown

    start = np.concatenate([np.maximum(params, 0.0), np.maximum(-params, 0.0)])
    kwargs = {"maxiter": 100_000, "maxfun": 1_000_000, "ftol": 0.0, "gtol": 1e-12}
    bounds = [(0.0, None)] * size + [(0.0, 0.0 if low == 0.0 else None) for low in sides[1]]
    return minimize(value, start, jac=True, method="L-BFGS-B", bounds=bounds, options=kwargs).fun


@pytest.mark.parametrize("lowest", [-np.inf, 0.0])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_the_l1_model_is_minimised_where_columns_are_nearly_dependent(rng, lowest, offset):
    Z = offset + rng.normal(size=(60, 20))
    Z /= np.sqrt(np.mean(Z**2, axis=0))
    full, gradient = Z.T @ Z / 60, rng.normal(size=20)
    sides = np.stack([np.full(20, 0.05), np.full(20, lowest)])
    params = np.maximum(rng.normal(size=20), lowest)
    step, gain = minimise_model(full, gradient, params, sides, 1e-6)
    assert np.all(params + step >= lowest)
    at = params + step
    value = (gradient + 0.5 * full @ step) @ step + 0.05 * np.abs(at).sum()
    assert 0.05 * np.abs(params).sum() - value == pytest.approx(gain, rel=1e-8)
    least = least_of_model(full, gradient, params, sides)
    assert value <= least + 1e-6 * gain


def test_the_l1_model_of_a_matrix_made_of_rounding_stays_finite(rng):
    full = 1e-16 * rng.normal(size=(10, 10))
    full = full + full.T
    np.fill_diagonal(full, [1e-30] * 5 + [1.0] * 5)
    sides = np.stack([np.full(10, 1e-9), np.full(10, -np.inf)])
    step, gain = minimise_model(full, 1e-9 * rng.normal(size=10), np.zeros(10), sides, 1e-6)
    assert np.all(np.isfinite(step))
    assert np.isfinite(gain)


@pytest.mark.parametrize("is_dependent", [False, True])
@pytest.mark.parametrize("l2", [0.0, 1e-13])
def test_a_hessian_shows_what_is_left_of_nearly_dependent_columns(
    rng, monkeypatch, is_dependent, l2
):
    """Its factor against one of the rows themselves, in directions that products cannot show."""
    X = rng.normal(size=(400, 6))
    left = np.array([1e-4, 1e-6, 3e-9])
    X = np.hstack([X, X[:, :3] + left * rng.normal(size=(400, 3))])
    if is_dependent:
        X = np.hstack([X, X[:, 3:4] + X[:, 4:5]])
    problem = problem_of(sp.csr_array(X), X[:, 0] > 0, LogLoss(), l2, weight=rng.random(400))
    problem = problem._replace(rows=pose(task_of(X, X[:, 0] > 0, LogLoss(), 0.0, l2)).rows)
    point = evaluate(problem, np.zeros(X.shape[1] + 1))
    monkeypatch.setattr(_precondition, "with_root", lambda _, metric, __: metric)
    metric = _precondition.hessian(problem, point)
    z = np.sqrt(point.curvature)[:, None] * standardised(problem, sp.csr_array(X)) * metric.jacobi
    root = np.vstack([z, np.diag(np.sqrt(problem.ridge) * metric.jacobi)])
    values, vectors = np.linalg.svd(root)[1:]
    curved = np.linalg.norm(np.tril(metric.factor).T @ vectors.T, axis=0) ** 2
    seen = values**2 > 1e-19
    assert np.sum(~seen) == (is_dependent and l2 == 0.0)
    np.testing.assert_allclose(curved[seen], values[seen] ** 2, rtol=1e-3)
    assert np.all(curved[~seen] > 0.0)
