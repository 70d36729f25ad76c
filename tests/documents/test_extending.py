"""The parts that the documentation adds work, and do what reference implementations do."""

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from fastgd import SGDRegressor
from fastgd._data.source import Data, InMemory
from fastgd._engines.linear import LinearEngine
from fastgd._engines.network import NetworkEngine, rule_of
from fastgd._networks.assembly import Assembly
from fastgd._training.progress import Progress
from fastgd.kernels.losses import SquaredError
from fastgd.kernels.penalties import ElasticNet
from fastgd.kernels.sgd import Rule
from fastgd.kernels.transforms import Identity
from fastgd.layers import Dense
from fastgd.optimizers import Sgd

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
N, D = 64, 3


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return the names that the code blocks of the page define; its own assertions hold."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    script = tmp_path_factory.mktemp("page") / "extending.py"
    script.write_text("\n\n".join(blocks), encoding="utf-8")
    return SimpleNamespace(**runpy.run_path(str(script)))


@pytest.fixture
def X(rng):
    return rng.normal(size=(N, D))


@pytest.fixture
def y(X, rng):
    return X @ [1.0, -2.0, 0.5] + 3.0 + rng.normal(size=N)


# -- a loss ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [-300.0, -0.4, 0.0, 7.0])
@pytest.mark.full
def test_the_gradient_of_the_loss_is_the_derivative_of_its_value(page, raw):
    loss, y_true, step = page.Cauchy(2.5), 0.3, 1e-5
    above, below = (loss.value(loss, y_true, raw + s) for s in (step, -step))
    assert loss.gradient(loss, y_true, raw) == pytest.approx((above - below) / (2 * step), rel=1e-6)


def test_the_loss_trains_as_written(page, X, y):
    """Two epochs in batches of 16, by a plain loop."""
    params = {"penalty": None, "learning_rate": "constant", "eta0": 0.1, "shuffle": False}
    model = SGDRegressor(page.Cauchy(2.0), batch_size=16, max_iter=2, tol=None, **params).fit(X, y)
    w, b = np.zeros(D), 0.0
    for start in [*range(0, N, 16)] * 2:
        rows = slice(start, start + 16)
        residual = X[rows] @ w + b - y[rows]
        slopes = residual / (1 + (residual / 2.0) ** 2)
        w, b = w - 0.1 * X[rows].T @ slopes / 16, b - 0.1 * slopes.mean()
    np.testing.assert_allclose([*model.coef_, *model.intercept_], [*w, b], rtol=1e-12)


# -- an optimizer ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layout",
    [np.asarray, pytest.param(sp.csr_array, marks=pytest.mark.full)],
    ids=["dense", "csr"],
)
def test_the_optimizer_trains_as_written(page, X, y, layout):
    """Two epochs in batches of 16 with an l2 penalty, by a plain loop."""
    X = X * (np.abs(X) > 0.5)
    optimizer, alpha, rate = page.Yogi(0.8, 0.9, 1e-2), 0.3, 0.2
    params = {"alpha": alpha, "learning_rate": "constant", "eta0": rate, "shuffle": False}
    model = SGDRegressor(optimizer=optimizer, batch_size=16, max_iter=2, tol=None, **params)
    model.fit(layout(X), y)
    w, m, v = np.zeros((3, D + 1))
    design = np.column_stack([X, np.ones(N)])
    for start in [*range(0, N, 16)] * 2:
        rows = slice(start, start + 16)
        g = design[rows].T @ (design[rows] @ w - y[rows]) / 16
        m = 0.8 * m + 0.2 * g
        v = v - 0.1 * np.sign(v - g**2) * g**2
        step = rate / (np.sqrt(v) + 1e-2)
        decay = np.array([alpha] * D + [0.0])
        w = np.maximum(1 - step * decay, 0) * w - step * m
    np.testing.assert_allclose([*model.coef_, *model.intercept_], w, rtol=1e-10)


# -- a layer --------------------------------------------------------------------------------------


@pytest.mark.full  # the page trains it
def test_the_layer_has_the_derivatives_of_its_values(page, X, y):
    assembly = Assembly([Dense(4), page.ScaledMaxout(), Dense(1)], (D,))
    rule = rule_of(SquaredError(), Sgd(), 0.0, Identity())
    engine = NetworkEngine(assembly, rule)
    nothing = np.empty(0)
    source = InMemory(
        Data(X, y[:, None], nothing, 1.0, nothing, np.ones(1)), shuffles=False, n_epochs=1
    )
    params = assembly.starts(0) + 0.1
    engine.allocate(Progress.begin(params, Sgd(), average=False, seed=0), source, N)
    hidden = X @ assembly.weights_of(params, 0) + assembly.free_of(params, 0)
    largest = hidden.reshape(N, 2, 2).max(axis=2) * assembly.free_of(params, 1)
    raw = largest @ assembly.weights_of(params, 2)[:, 0] + assembly.free_of(params, 2)
    found = engine.evaluate(source, params)
    assert found.loss == pytest.approx(0.5 * np.mean((raw - y) ** 2), rel=1e-12)
    for c, step in enumerate(1e-6 * np.eye(len(params))):
        above, below = (engine.evaluate(source, params + s).loss for s in (step, -step))
        assert found.gradient[c] == pytest.approx((above - below) / 2e-6, rel=1e-5, abs=1e-7)


# -- an engine ------------------------------------------------------------------------------------


def linear_engine(l2):
    return LinearEngine(Rule(SquaredError(), ElasticNet(0.0, l2), Sgd(), True))


def test_the_engine_trains_as_the_compiled_one(page, X, y):
    ours = page.train(page.NumpyLeastSquares(0.1), page.in_memory(X, y, 3), 3)
    theirs = page.train(linear_engine(0.1), page.in_memory(X, y, 3), 3)
    np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-11)
    for name in ("objective", "loss", "penalty", "update_norm"):
        assert ours.history[name] == pytest.approx(theirs.history[name], rel=1e-11), name


def test_the_engine_evaluates_as_the_compiled_one(page, X, y):
    source, params = page.in_memory(X, y, 1), np.array([0.3, -0.1, 0.2, 1.0])
    ours = page.NumpyLeastSquares(0.1).evaluate(source, params)
    theirs = linear_engine(0.1).evaluate(source, params)
    assert (ours.loss, ours.penalty) == pytest.approx((theirs.loss, theirs.penalty), rel=1e-12)
    np.testing.assert_allclose(ours.gradient, theirs.gradient, rtol=1e-9)


class Exchange:
    """Two workers that have the same rows."""

    is_local = False

    def combine(self, gradient):
        return gradient


def test_the_engine_can_take_its_steps_in_halves(page, X, y, monkeypatch):
    whole = page.train(page.NumpyLeastSquares(0.1), page.in_memory(X, y, 2), 2)
    monkeypatch.setitem(page.train.__globals__, "Local", Exchange)
    halves = page.train(page.NumpyLeastSquares(0.1), page.in_memory(X, y, 2), 2)
    np.testing.assert_array_equal(halves.params, whole.params)


# -- a source -------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True], ids=["numpy", "compiled"])
def test_the_source_without_noise_is_the_one_it_wraps(page, X, y, compiled):
    engines = [linear_engine(0.0) if compiled else page.NumpyLeastSquares(0.0) for _ in range(2)]
    bare = page.train(engines[0], page.in_memory(X, y, 2), 2)
    wrapped = page.train(engines[1], page.Noisy(page.in_memory(X, y, 2), 0.0), 2)
    np.testing.assert_array_equal(wrapped.params, bare.params)


def test_the_source_repeats_itself_and_regularises(page, X, y):
    """Its mean solution is that of ridge regression with the noise's variance for l2."""
    deviation, n_epochs = 0.7, 3000
    runs = [
        page.train(
            page.NumpyLeastSquares(0.0), page.Noisy(page.in_memory(X, y, n_epochs), deviation), n
        )
        for n in (n_epochs, 2, 2)
    ]
    np.testing.assert_array_equal(runs[1].params, runs[2].params)
    centred = X - X.mean(axis=0)
    gram = centred.T @ centred / N + deviation**2 * np.eye(D)
    ridge = np.linalg.solve(gram, centred.T @ y / N)
    np.testing.assert_allclose(runs[0].params[:-1], ridge, atol=0.05)
