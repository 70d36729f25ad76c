"""Newton's method of the multi-task lasso on the columns that it has chosen."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._solvers import _chosen_columns, _paths
from fastgd._solvers._chosen_columns import Chosen, least_on_columns


def problem(m=5, n_targets=3, seed=0):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(40, m)) @ (np.eye(m) + 0.8)
    matrix, along = Z.T @ Z / 40, rng.normal(size=(n_targets, m)) * 3.0
    return matrix, along, rng.normal(size=(n_targets, m))


def naive(matrix, along, l1, l2, W):
    """Return the objective, by loops over targets and columns."""
    total = 0.0
    for k in range(W.shape[0]):
        total += 0.5 * W[k] @ matrix @ W[k] - along[k] @ W[k] + 0.5 * l2 * W[k] @ W[k]
    for j in range(W.shape[1]):
        total += l1 * np.sqrt(W[:, j] @ W[:, j])
    return total


def test_derivatives_are_those_of_the_objective():
    matrix, along, W = problem()
    chosen = Chosen(matrix, along, 0.4, 0.1)
    assert chosen.objective(W) == pytest.approx(naive(matrix, along, 0.4, 0.1, W))
    gradient, slopes, h = chosen.gradient(W), np.empty_like(W), 1e-6
    hessian = np.empty((W.size, W.size))
    for i in range(W.size):
        e = np.zeros(W.size)
        e[i] = h
        there, back = W + e.reshape(W.shape), W - e.reshape(W.shape)
        slopes.flat[i] = (chosen.objective(there) - chosen.objective(back)) / (2 * h)
        hessian[i] = (chosen.gradient(there) - chosen.gradient(back)).ravel() / (2 * h)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-7)
    wanted = -np.linalg.solve(hessian, gradient.ravel()).reshape(W.shape)
    np.testing.assert_allclose(chosen.step(W, gradient), wanted, rtol=1e-5, atol=1e-7)


def test_large_hessians_have_the_same_step(monkeypatch):
    matrix, along, W = problem()
    chosen = Chosen(matrix, along, 0.4, 0.0)
    wanted = chosen.step(W, chosen.gradient(W))
    monkeypatch.setattr(_chosen_columns, "LARGEST_MATRIX", 0)
    np.testing.assert_allclose(chosen.step(W, chosen.gradient(W)), wanted, rtol=1e-7)


def test_steps_end_where_the_gradient_is_zero_or_a_column_is():
    matrix, along, W = problem()
    along[:, 2] = 0.05  # whose column should leave
    chosen = Chosen(matrix, along, 0.9, 0.1)
    found = least_on_columns(chosen, W)
    assert chosen.objective(found) < chosen.objective(W)
    kept = np.any(found, axis=0)
    assert 0 < kept.sum() < 5
    rest = chosen.of(kept)
    np.testing.assert_allclose(rest.gradient(found[:, kept]), 0.0, atol=1e-7)
    assert np.array_equal(least_on_columns(chosen, np.zeros_like(W)), np.zeros_like(W))


def correlated(n, d, n_targets, rho):
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(n, d))
    for j in range(1, d):
        Z[:, j] = rho * Z[:, j - 1] + np.sqrt(1.0 - rho**2) * Z[:, j]
    W = np.zeros((n_targets, d))
    W[:, : d // 4] = rng.normal(size=(n_targets, d // 4))
    return Z, Z @ W.T + rng.normal(size=(n, n_targets))


@pytest.mark.parametrize(("n", "d"), [(300, 60), (60, 150)])
def test_small_tolerances_take_few_sweeps(n, d, monkeypatch):
    """Sweeps alone creep along columns that are nearly dependent."""
    X, Y = correlated(n, d, 3, 0.97)
    largest = np.linalg.norm(X.T @ (Y - Y.mean(axis=0)), axis=1).max() / n
    model = fastgd.MultiTaskLasso(alpha=0.05 * largest, tol=1e-10, max_iter=20_000).fit(X, Y)
    monkeypatch.setattr(_paths, "on_support", lambda *_: None)
    swept = fastgd.MultiTaskLasso(alpha=0.05 * largest, tol=1e-10, max_iter=20_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        swept.fit(X, Y)
    assert 1.5 * model.n_iter_ < swept.n_iter_
    np.testing.assert_allclose(model.coef_, swept.coef_, atol=1e-3)
    assert model.dual_gap_ >= 0.0
