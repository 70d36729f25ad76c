"""Accelerated steps under l1 and bounds, for problems whose matrices would cost too much."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._solvers import _costs
from fastgd._solvers._accelerated import accelerate
from fastgd._solvers._gd import null_model
from fastgd._solvers._precondition import bound
from fastgd._solvers._problem import evaluate, model_at, pose
from fastgd._solvers._task import Task
from fastgd.kernels import losses
from tests.solvers.test_gd import as_rows
from tests.tables import over_product


def wide(rng, n=700, d=900, share=0.02):
    return sp.csr_array(rng.normal(size=(n, d)) * (rng.random((n, d)) < share))


@pytest.fixture
def problem(rng):
    """Return a posed lasso, its columns and targets."""
    X = rng.normal(size=(60, 80)) @ (np.eye(80) + 0.3 * rng.normal(size=(80, 80)) / 9.0)
    X *= np.geomspace(0.1, 10.0, 80)
    y = 3.0 + X[:, :5] @ np.ones(5) + 0.1 * rng.normal(size=60)
    return pose(Task(as_rows(X), y, None, losses.SquaredError(), 0.05, 0.0, 80, 1, True)), X, y


def start_of(problem):
    u, prior = null_model(problem)
    metric = bound(problem, prior)
    diagonal = np.diagonal(metric.full) if metric.full.ndim == 2 else metric.full
    return evaluate(problem, u), np.where(metric.jacobi > 0.0, diagonal, 0.0)


@pytest.mark.parametrize("positive", [False, True])
def test_steps_come_to_the_optimum(problem, positive):
    posed, X, y = problem
    posed = posed._replace(positive=positive)
    first, diagonal = start_of(posed)
    found, n = accelerate(posed, first, diagonal, lambda _: False, 4000)
    theirs = linear_model.Lasso(alpha=0.05, positive=positive, tol=1e-14, max_iter=100_000)
    theirs.fit(X, y)
    best = 0.5 * np.mean((y - theirs.predict(X)) ** 2) + 0.05 * np.abs(theirs.coef_).sum()
    assert n <= 4000
    assert found.objective == pytest.approx(best, rel=1e-11)
    coef = model_at(posed, found.u).coef
    np.testing.assert_allclose(coef, theirs.coef_, atol=1e-5)
    np.testing.assert_array_equal(coef[theirs.coef_ == 0.0], 0.0)
    assert not positive or coef.min() >= 0.0


def test_they_are_those_of_a_plain_loop(problem):
    """Beck and Teboulle's iteration, with restarts, in the user's own words."""
    posed, _, _ = problem
    first, diagonal = start_of(posed)
    here, u, momentum, scale, t = first, first.u, 1.0, 1.0, posed.threshold
    for _ in range(40):
        step = here.u - here.gradient / (scale * diagonal)
        reached = np.sign(step) * np.maximum(np.abs(step) - t / (scale * diagonal), 0.0)
        following = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        turns = (diagonal * (here.u - reached)) @ (reached - u) > 0.0
        ahead = reached + (0.0 if turns else (momentum - 1.0) / following) * (reached - u)
        there = evaluate(posed, ahead)
        move = ahead - here.u
        if (there.gradient - here.gradient) @ move > (1 + 1e-9) * scale * (diagonal @ move**2):
            scale *= 2.0
            continue
        u, here, momentum, scale = reached, there, 1.0 if turns else following, 0.95 * scale
    seen = []
    accelerate(posed, first, diagonal, lambda point: seen.append(point), 40)
    assert len(seen) == 41
    np.testing.assert_allclose(seen[-1].u, here.u, rtol=1e-9, atol=1e-12)


def test_they_end_where_asked_or_when_nothing_is_lower(problem):
    posed, _, _ = problem
    first, diagonal = start_of(posed)
    asked = 0.8 * first.objective
    found, n = accelerate(posed, first, diagonal, lambda p: p.objective < asked, 4000)
    assert found.objective < asked
    assert 0 < n < 100
    same, none = accelerate(posed, first, diagonal, lambda _: True, 4000)
    assert same is first
    assert none == 0
    _, n = accelerate(posed, first, diagonal, lambda _: False, 100_000)
    assert n < 20_000


WIDE = {
    "svc": (lambda: fastgd.LinearSVC(penalty="l1", C=1.0), 2),
    "l1": (lambda: fastgd.LogisticRegression(l1_ratio=1.0, C=10.0), 2),
    "elastic net": (lambda: fastgd.LogisticRegression(l1_ratio=0.7, C=10.0), 2),
    "classes": (lambda: fastgd.LogisticRegression(l1_ratio=1.0, C=3.0), 4),
    "lasso": (lambda: fastgd.Lasso(alpha=1e-3), 0),
    "positive": (lambda: fastgd.Lasso(alpha=1e-3, positive=True), 0),
}


@over_product(
    lambda name, dtype: dtype is np.float64 or name == "l1",
    name=WIDE,
    dtype=[np.float64, np.float32],
)
def test_wide_sparse_tables_under_l1_take_few_passes(rng, monkeypatch, name, dtype):
    make, kind = WIDE[name]
    X = wide(rng).astype(dtype)
    y = X @ rng.normal(size=900) + rng.normal(size=700)
    if kind:
        y = np.digitize(y, np.quantile(y, np.arange(1, kind) / kind))
    assert _costs.largest_matrix(as_rows(X), *X.shape, 1, True) < 300
    model = make().fit(X, y)
    assert np.max(model.n_iter_) <= 400
    assert np.max(model.gap_) <= 1e-4 * model.objective_ * (1.0 + 1e-6)
    monkeypatch.setattr(_costs, "MOST_PASSES_EXACT", (1e9, 1e9))  # by matrices
    other = make().set_params(tol=1e-8, max_iter=5000).fit(X, y)
    rounding = 1e-6 if dtype == np.float32 else 1e-12
    assert model.objective_ <= other.objective_ * (1.0 + 1e-4 + rounding)
    assert model.objective_ - model.gap_ <= other.objective_ * (1.0 + rounding)


@pytest.mark.parametrize(
    "make",
    [
        lambda **k: fastgd.HuberRegressor(**k),
        lambda **k: fastgd.PoissonRegressor(alpha=0.0, **k),
        lambda **k: fastgd.LinearSVC(penalty="l1", **k),
    ],
)
def test_no_more_passes_are_taken_than_asked_for(rng, make):
    """Products by conjugate gradients count, and each step needs one."""
    X = wide(rng)
    y = X @ rng.normal(size=900)
    model = make()
    y = np.exp(y / y.std()) if "Poisson" in type(model).__name__ else y
    y = (y > 0.0).astype(int) if "SVC" in type(model).__name__ else y
    for most in [*range(1, 24), 40]:
        model = make(max_iter=most)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y)
        assert len(model.history_["objective"]) == model.n_iter_ <= most


def test_no_pass_is_none(rng):
    X = wide(rng)
    y = (X @ rng.normal(size=900) > 0.0).astype(int)
    with pytest.warns(ConvergenceWarning):
        model = fastgd.LogisticRegression(l1_ratio=1.0, max_iter=0).fit(X, y)
    assert np.max(model.n_iter_) == 0
