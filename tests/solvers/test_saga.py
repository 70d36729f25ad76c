"""The SAGA kernels against their formula in plain numpy; ``test_gd`` tests the drivers."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import expit, softmax
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._data.validation import as_rows
from fastgd._solvers import _auto, _saga
from fastgd._solvers._problem import pose
from fastgd._solvers._task import Options, Solution, Task
from fastgd.kernels.losses import LogLoss, Softmax
from fastgd.kernels.saga import Samples, Shape, Table, saga_pass, saga_pass_softmax
from tests.tables import over_product

N, D, K, M = 23, 4, 3, 5


def problem_of(rng, n_outputs, sparse, diagonal):
    """Return dense X, what a pass takes, and a start."""
    X = rng.normal(size=(N, D)) * (rng.random((N, D)) < 0.5)
    y = rng.integers(0, n_outputs, N).astype(np.int32) if n_outputs else 1.0 * (X[:, 0] > 0)
    weight = rng.random(N) + 0.5
    samples = Samples(y, weight / weight.sum(), rng.permutation(N))
    metric = np.diag(rng.random(D + 1) + 0.5)
    inverse = np.diagonal(metric)[None, :].copy() if diagonal else metric + 0.1
    threshold = np.append(np.full(D, 0.05), 0.0) * diagonal
    ridge = np.append(rng.random(D), 0.0)
    shape = Shape(rng.normal(size=D), rng.random(D) + 0.5, ridge, threshold, inverse)
    outputs = (n_outputs,) if n_outputs else ()
    table = Table(
        rng.normal(size=(D + 1, *outputs)), np.zeros((N, *outputs)), np.zeros((D + 1, *outputs))
    )
    return X, as_rows(sp.csr_array(X) if sparse else X), samples, shape, table


def naive_pass(X, samples, shape, table, step_size, fill):
    """Take a pass as the module's docstring writes it."""
    u, r, A = (a.copy() for a in table)
    Z = np.column_stack([(X - shape.center) * shape.inverse_std, np.ones(N)])
    P = shape.inverse if shape.inverse.shape[0] > 1 else np.diag(shape.inverse[0])
    seen = 0.0
    for start in range(0, N, M):
        batch = samples.order[start : start + M]
        z, s, y = Z[batch], samples.weight[batch], samples.y[batch]
        raw = z @ u
        new = softmax(raw, axis=1) - np.eye(K)[y] if u.ndim == 2 else expit(raw) - y
        change = z.T @ ((new - r[batch]).T * s).T
        seen += s.sum()
        g = (change + A) / seen if fill else change * N / len(batch) + A
        moved = u - step_size * P @ (g + (u.T * shape.ridge).T)
        t = (step_size * np.diagonal(P) * shape.threshold).reshape(-1, *[1] * (u.ndim - 1))
        u = np.sign(moved) * np.maximum(np.abs(moved) - t, 0.0)
        A, r[batch] = A + change, new
    return u, r, A


@pytest.mark.parametrize("diagonal", [True, False])
@over_product(
    lambda n_outputs, sparse: not (n_outputs and sparse), n_outputs=[0, K], sparse=[True, False]
)
def test_passes_follow_the_formula(rng, n_outputs, sparse, diagonal):
    X, rows, samples, shape, table = problem_of(rng, n_outputs, sparse, diagonal)
    run, loss = (saga_pass_softmax, Softmax()) if n_outputs else (saga_pass, LogLoss())
    for fill in (True, False):
        wanted = naive_pass(X, samples, shape, table, 0.3, fill)
        run(rows, samples, loss, shape, table, M, 0.3, fill)
        for ours, theirs in zip(table, wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_first_step_size_is_the_papers(rng):
    """In a full metric L is 1 or less, and the whole batch takes Newton's step or a longer one."""
    X = rng.normal(size=(500, 3))
    y = (X[:, 0] + rng.logistic(size=500) > 0).astype(float)
    problem = pose(Task(as_rows(X), y, None, LogLoss(), 0.0, 1e-3, 3))
    metric = _saga.bound(problem, np.zeros(0))
    step_sizes = [_saga._first_step_size(problem, metric, m, 0) for m in (1, 8, 64, 500)]
    assert step_sizes == sorted(step_sizes)
    assert 0.01 < step_sizes[0] < 0.25
    assert step_sizes[-1] == pytest.approx(1.0, rel=0.15)


def test_largest_eigenvalue_is_rounded_up(rng):
    z, weight = rng.normal(size=(50, 6)), rng.random(50)
    true = np.linalg.eigvalsh((z.T * weight) @ z)[-1]
    assert true <= _saga._largest_eigenvalue(z, weight) <= 1.11 * true


@pytest.mark.full
def test_rows_of_zeros_have_no_step_to_divide_by():
    X, y = np.zeros((1, 1), np.float32), np.array([4237352.3])
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = fastgd.GammaRegressor(alpha=1e-5, fit_intercept=False, solver="saga").fit(X, y)
    assert model.coef_[0] == 0.0


def test_a_descent_that_ends_higher_by_rounding_alone_counts():
    """Two solvers sum one objective in two ways; the second has converged, so nobody is warned."""
    first = Solution(np.ones(3), 0.0, 0.5, np.inf, np.inf, 9, False, {}, None)
    second = first._replace(objective=0.5 * (1.0 + 4e-16), gap=0.1, n_iter=1, converged=True)
    found = _auto._gone_on(first, lambda *_: second, Options(1e-3, 10))
    assert found.converged
    assert found.n_iter == 10
    worse = second._replace(objective=0.6)
    assert not _auto._gone_on(first, lambda *_: worse, Options(1e-3, 10)).converged
