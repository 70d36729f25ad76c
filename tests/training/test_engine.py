"""The seam of training: an engine's halves against its fused steps, its evaluations, its blocks."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._data.source import Data, InMemory
from fastgd._engines.linear import LinearEngine
from fastgd._training.progress import Progress, Settings
from fastgd._training.stopping import Stopping
from fastgd._training.trainer import Trainer, TrainingObserver
from fastgd.kernels.losses import LogLoss, Softmax
from fastgd.kernels.optimizers import Sgd
from fastgd.kernels.penalties import ElasticNet
from fastgd.kernels.sgd import Rule
from fastgd.kernels.transforms import Clip, Identity, Transform
from fastgd.schedules import InvScaling
from tests.tables import over_product

N, D, K = 23, 5, 3
LAYOUTS = {"dense": np.ascontiguousarray, "csr": sp.csr_array}
over_layouts = pytest.mark.parametrize("layout", LAYOUTS)


def data(layout, n_outputs, weight=None):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, D)) * (rng.random((N, D)) < 0.7)
    y = rng.integers(n_outputs, size=N).astype(np.int32)
    if n_outputs == 2:
        y = y.astype(float)
    weight = np.empty(0) if weight is None else weight
    unit = float(weight.mean()) if weight.shape[0] > 0 else 1.0
    return Data(LAYOUTS[layout](X), y, weight, unit, np.empty(0), np.ones(n_outputs))


def rule(n_outputs, penalty=ElasticNet(0.0, 0.1), transform=Identity()):  # noqa: B008
    loss = LogLoss() if n_outputs == 2 else Softmax()
    return Rule(loss, penalty, Sgd(), True, transform, intercept_rate=0.5)


class Mean:
    """Several workers, all with the same rows: what is exchanged is what each has."""

    is_local = False
    n_exchanged = 0

    def combine(self, gradient):
        self.n_exchanged += 1
        return gradient


def trained(given, step, reduce=None, *, average=0, n_epochs=3):
    shape = (D + 1,) if isinstance(step.loss, LogLoss) else (D + 1, K)
    progress = Progress.begin(np.zeros(shape), step.optimizer, average=average > 0, seed=5)
    settings = Settings(7, InvScaling(0.5, 0.3), True, average, n_epochs, None, 5)
    source = InMemory(given, shuffles=True, n_epochs=n_epochs)
    parts = (LinearEngine(step), source, reduce, progress, settings, Stopping(settings))
    return Trainer(*parts, TrainingObserver()).train()


@over_product(
    lambda clip, n_outputs, layout: not clip and (layout == "csr") == (n_outputs == 2),
    clip=[False, True],
    n_outputs=[2, K],
    layout=LAYOUTS,
)
def test_gradient_exchange_apply_is_the_fused_step(clip, n_outputs, layout):
    from fastgd._engines.protocol import Local

    transform = Transform(Clip(0.15, 0.1), Identity()) if clip else Identity()
    given = data(layout, n_outputs, weight=np.random.default_rng(1).random(N))
    step, exchange = rule(n_outputs, transform=transform), Mean()
    fused = trained(given, step, Local(), average=4)
    halves = trained(given, step, exchange, average=4)
    assert exchange.n_exchanged == halves.steps == fused.steps == 12
    for name in ("params", "average"):
        np.testing.assert_allclose(
            getattr(halves, name), getattr(fused, name), rtol=1e-12, atol=1e-14
        )
    assert halves.history["objective"] == pytest.approx(fused.history["objective"], rel=1e-12)
    assert halves.history.get("clipped") == fused.history.get("clipped")


@over_layouts
@pytest.mark.parametrize("n_outputs", [2, K])
def test_an_evaluation_is_the_objective_and_its_gradient(n_outputs, layout):
    weight = np.random.default_rng(1).random(N)
    given, step = data(layout, n_outputs, weight), rule(n_outputs)
    shape = (D + 1,) if n_outputs == 2 else (D + 1, K)
    params = np.random.default_rng(2).normal(size=shape)
    found = LinearEngine(step).evaluate(InMemory(given, shuffles=False, n_epochs=1), params)
    X = np.asarray(given.X.toarray() if layout == "csr" else given.X)
    raw = X @ params[:-1] + params[-1]
    if n_outputs == 2:
        losses = np.logaddexp(0.0, raw) - given.y * raw
        slopes = 1.0 / (1.0 + np.exp(-raw)) - given.y
    else:
        log_total = np.log(np.exp(raw).sum(axis=1))
        losses = log_total - raw[np.arange(N), given.y]
        slopes = np.exp(raw - log_total[:, None]) - np.eye(K)[given.y]
    share = weight / weight.sum()
    assert found.loss == pytest.approx(share @ losses)
    assert found.penalty == pytest.approx(0.05 * np.sum(params[:-1] ** 2))
    alone = LinearEngine(step).objective(InMemory(given, shuffles=False, n_epochs=1), params)
    assert alone == pytest.approx(found.loss + found.penalty, rel=1e-12)
    expected = np.concatenate([X, np.ones((N, 1))], axis=1).T @ (slopes.T * share).T
    expected[:-1] += 0.1 * params[:-1]
    np.testing.assert_allclose(found.gradient, expected, rtol=1e-9, atol=1e-12)


def test_an_evaluation_reads_blocks_of_any_length(monkeypatch):
    given, step = data("dense", 2), rule(2)
    params = np.random.default_rng(2).normal(size=D + 1)
    whole = InMemory(given, shuffles=False, n_epochs=1)

    class InTwo(InMemory):
        def blocks(self):
            for block in super().blocks():
                yield block.part(0, 9)
                yield block.part(9, N)

    expected = LinearEngine(step).evaluate(whole, params)
    monkeypatch.setattr("fastgd._engines.linear.EVALUATED_ROWS", 4)
    found = LinearEngine(step).evaluate(InTwo(given, shuffles=False, n_epochs=1), params)
    assert found[:2] == pytest.approx(expected[:2])
    alone = LinearEngine(step).objective(InTwo(given, shuffles=False, n_epochs=1), params)
    assert alone == pytest.approx(expected.loss + expected.penalty)
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=1e-10)


@over_layouts
def test_a_source_in_two_blocks_is_visited_in_order(layout):
    from fastgd._engines.protocol import Local

    given, step = data(layout, 2), rule(2)

    class InTwo(InMemory):
        def epoch(self, number, seed, n_done=0):
            for block in super().epoch(number, seed, n_done):
                yield block.part(0, 14)
                yield block.part(14, N)

    expected = trained(given, step, Local())
    settings = Settings(7, InvScaling(0.5, 0.3), True, 0, 3, None, 5)
    progress = Progress.begin(np.zeros(D + 1), Sgd(), average=False, seed=5)
    source = InTwo(given, shuffles=True, n_epochs=3)
    parts = (LinearEngine(step), source, Local(), progress, settings, Stopping(settings))
    found = Trainer(*parts, TrainingObserver()).train()
    np.testing.assert_allclose(found.params, expected.params, rtol=1e-12)
    assert found.history["samples"] == [N, 2 * N, 3 * N]
    assert found.history["objective"] == pytest.approx(expected.history["objective"], rel=1e-12)


@over_layouts
def test_parts_of_a_block_are_views(layout):
    block = next(InMemory(data(layout, 2), shuffles=False, n_epochs=1).blocks())
    part = block.part(5, 12)
    assert part.n_visited == 7
    name = "data" if layout == "csr" else "values"
    assert np.shares_memory(getattr(part.rows, name), getattr(block.rows, name))
    assert block.part(0, N) is block


def test_rates_asked_for_ahead_are_those_of_each_epoch():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    asked = []
    own = InvScaling(0.01, 0.25)

    def counted(t):
        asked.append(len(t))
        return own(t)

    kwargs = {"max_iter": 9, "tol": None, "random_state": 0}
    ahead = fastgd.SGDRegressor(learning_rate=own, **kwargs).fit(X, y)
    alone = fastgd.SGDRegressor(learning_rate=counted, **kwargs).fit(X, y)
    assert asked == [30] * 9
    np.testing.assert_array_equal(ahead.coef_, alone.coef_)
    assert ahead.history_["learning_rate"] == alone.history_["learning_rate"]


# -- the short way in -------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["X", "y"])
def test_what_is_no_number_is_refused_as_by_scikit_learn(where, value):
    X, y = np.ones((4, 2)), np.arange(4.0)
    {"X": X[0], "y": y}[where][1] = value
    with pytest.raises(ValueError, match=f"Input {where} contains"):
        fastgd.SGDRegressor().fit(X, y)


def test_large_numbers_whose_sum_overflows_are_numbers():
    X, y = np.full((4, 2), 1e308), np.arange(4) % 2
    model = fastgd.SGDClassifier(on_divergence="warn", max_iter=1, tol=None)
    with pytest.warns(ConvergenceWarning, match="The feature of the largest magnitude is 0"):
        model.fit(X, y)


@pytest.mark.parametrize("n_features", [1, 3])
def test_another_number_of_features_is_refused(n_features):
    model = fastgd.SGDRegressor(random_state=0).fit(np.eye(4)[:, :2], np.arange(4.0))
    for call in (model.predict, lambda X: model.partial_fit(X, np.arange(4.0))):
        with pytest.raises(ValueError, match=f"X has {n_features} features, but"):
            call(np.ones((4, n_features)))


def test_names_are_forgotten_by_a_fit_on_an_array():
    pd = pytest.importorskip("pandas")
    X, y = np.arange(8.0).reshape(4, 2) / 8, np.arange(4.0)
    model = fastgd.SGDRegressor(random_state=0, max_iter=3, tol=None)
    model.fit(pd.DataFrame(X, columns=["a", "b"]), y)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X)
    assert not hasattr(model.fit(X, y), "feature_names_in_")


@over_product(lambda dtype: dtype is np.float64, dtype=[np.float64, np.float32])
def test_predictions_of_arrays_and_lists_are_the_same(dtype):
    rng = np.random.default_rng(0)
    n_classes = 3 if dtype == np.float64 else 2
    X, y = rng.normal(size=(40, 3)).astype(dtype), rng.integers(n_classes, size=40)
    model = fastgd.SGDClassifier(random_state=0, max_iter=3, tol=None).fit(X, y)
    as_list = np.asarray(X.tolist(), dtype)[:, ::1]
    np.testing.assert_array_equal(model.predict(X), model.predict(np.asfortranarray(as_list)))
    np.testing.assert_array_equal(model.predict(X), model.predict(X.tolist()))
