"""Steps where the rows are: what is exchanged, by whom, and what becomes of it."""

import os
import pickle
import signal
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd import distributed
from fastgd.callbacks import Checkpoint
from fastgd.neural_network import MLPClassifier, NetworkClassifier

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

from fastgd._distributed import rounds as _rounds  # noqa: E402
from fastgd._training.progress import Progress, Settings  # noqa: E402
from fastgd.kernels.optimizers import Sgd  # noqa: E402
from fastgd.kernels.transforms import Qsgd, SignScale, TopK, decode  # noqa: E402

N, D = 640, 6
PLAIN = {"loss": "squared_error", "learning_rate": "constant", "eta0": 0.02, "shuffle": False}
PLAIN |= {"batch_size": 16, "alpha": 0.01, "tol": None, "max_iter": 3, "random_state": 0}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, D))
    return X, X @ rng.normal(size=D) + 0.1 * rng.normal(size=N)


def parts(X, y, rows=160):
    return da.from_array(X, chunks=(rows, -1)), da.from_array(y, chunks=rows)


def test_one_partition_takes_the_steps_of_one_machine(table):
    whole = fastgd.SGDRegressor(**PLAIN).fit(*table)
    for number in (1, 3):
        one = fastgd.SGDRegressor(**PLAIN)
        distributed.fit(one, *parts(*table, rows=N), rounds=number, momentum=0.0)
        np.testing.assert_allclose(one.coef_, whole.coef_, rtol=1e-12)
        np.testing.assert_allclose(one.history_["loss"], whole.history_["loss"], rtol=1e-9)
        assert one.history_["samples"] == [N, 2 * N, 3 * N]


def naive(X, y, n_parts, momentum, rate, every):
    """Local SGD as plain loops: ``every`` batches, then the mean of the moves."""
    w, velocity = np.zeros(D + 1), np.zeros(D + 1)
    rows = np.array_split(np.arange(N), n_parts)
    for _ in range(PLAIN["max_iter"]):
        for first in range(0, len(rows[0]) // 16, every):
            moves = []
            for part in rows:
                own = w.copy()
                for b in range(first, first + every):
                    batch = part[16 * b : 16 * b + 16]
                    error = X[batch] @ own[:-1] + own[-1] - y[batch]
                    own[:-1] -= 0.02 * (X[batch].T @ error / 16 + 0.01 * own[:-1])
                    own[-1] -= 0.02 * error.mean()
                moves.append(own - w)
            mean = np.mean(moves, axis=0)
            velocity = momentum * velocity + mean
            w = w + rate * (mean + momentum * velocity if momentum else mean)
    return w


@pytest.mark.parametrize(("number", "every"), [("batch", 1), (5, 2), (1, 10)])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_moves_are_averaged_as_by_plain_loops(number, every, momentum, table):
    model = fastgd.SGDRegressor(**PLAIN)
    distributed.fit(model, *parts(*table), rounds=number, momentum=momentum, rate=0.9)
    expected = naive(*table, 4, momentum, 0.9, every)
    np.testing.assert_allclose(model.coef_, expected[:-1], rtol=1e-9)
    np.testing.assert_allclose(model.intercept_, expected[-1:], rtol=1e-9)


def test_unequal_and_empty_partitions_weigh_what_they_have(table):
    X, y = table
    cuts = [(0, 0), (0, 33), (33, 40), (40, 300), (300, N)]
    dX, dy = ([dask.delayed(a[i:j]) for i, j in cuts] for a in (X, y))
    model = fastgd.SGDRegressor(**{**PLAIN, "max_iter": 60})
    distributed.fit(model, dX, dy, rounds=4)
    assert model.history_["samples"][-1] == 60 * N
    exact = np.linalg.lstsq(np.c_[X, np.ones(N)], y, rcond=None)[0]
    np.testing.assert_allclose(model.coef_, exact[:-1], atol=0.1)


def test_four_bits_are_an_eighth_of_the_bytes(rng):
    X = rng.normal(size=(400, 1500)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    kwargs = {"loss": "log_loss", "batch_size": 16, "max_iter": 4, "tol": None, "random_state": 0}
    sent = {}
    for bits in (None, 8, 4, 1, "terngrad", "sign", "topk"):
        model = fastgd.SGDClassifier(**kwargs)
        distributed.fit(model, *parts(X, y, 100), quantize=bits)
        sent[bits] = model.history_["bytes"][-1]
        assert model.score(X, y) > (0.8 if bits in (None, 8, 4) else 0.55)
    assert sent[None] == 2 * 4 * 4 * 1501  # both ways, four partitions, float32
    assert sent[4] <= 0.14 * sent[None]
    assert sent[8] <= 0.26 * sent[None]
    assert max(sent[1], sent["sign"]) <= 0.04 * sent[None]
    assert sent["terngrad"] <= 0.06 * sent[None]
    assert sent["topk"] < sent[4]


class Still:
    """A model that moves its parameters by what is in the rows."""

    def _settings(self, *_, full_batch):
        return Settings(full_batch, None, False, 0, 1, None, 5)

    def _run(self, call, progress):
        progress = progress.copy()
        progress.params += call.source._source._data.X[0]
        progress.history = {"loss": [0.0], "penalty": [0.0], "learning_rate": [0.1]}
        return progress, 1


@pytest.mark.parametrize("quantizer", [SignScale(), TopK(0.2), Qsgd(4, 8)])
def test_what_is_not_sent_is_kept_and_sent_later(quantizer, rng):
    from fastgd._data.source import Data
    from fastgd._training.estimator import Call

    moves, nothing = rng.normal(size=(1, 20)), np.empty(0)
    data = Data(moves, np.zeros(1), nothing, 1.0, np.empty(0), nothing)
    shard = _rounds.Shard(data, False)
    settings = Settings(1, None, False, 0, 1, None, 5)
    call = Call(None, None, None, None, settings)
    work = _rounds.Work(Still(), None, call, quantizer, 18, slice(None))
    state = _rounds.begun(Progress.begin(np.zeros(20), Sgd(), average=False, seed=3))
    total, update = np.zeros(20), ()
    for number in range(5):
        before = state.residual.copy()
        state = _rounds.local_steps(work, shard, state, update, _rounds.Piece(0, number, 0, 1))
        content = decode(quantizer, state.sent[:-16], 18, np.float64)
        tail = np.frombuffer(state.sent[-16:])  # what is not trained is sent as it is
        np.testing.assert_array_equal(tail, moves[0, 18:])
        total[:18] += content
        if quantizer.feeds_back:
            carried = before if before.size else 0.0
            np.testing.assert_allclose(content + state.residual, moves[0, :18] + carried)
            np.testing.assert_allclose(total[:18] + state.residual, (number + 1) * moves[0, :18])
        else:
            assert state.residual.size == 0


@pytest.mark.parametrize("is_sparse", [False, True])
def test_parts_of_an_epoch_share_its_order(is_sparse, rng, monkeypatch):
    from fastgd._data import order as orders
    from fastgd._data.source import Data, InMemory

    n, nothing = 1000, np.empty(0)
    X = rng.normal(size=(n, 3))
    X = sp.csr_matrix(X) if is_sparse else X
    data = Data(X, np.arange(float(n)), nothing, 1.0, np.empty(0), nothing)
    shard, made = _rounds.Shard(data, True), []
    whole = {e: list(InMemory(data, shuffles=True, n_epochs=1).epoch(e, 5)) for e in (0, 1)}
    of_epoch = orders.Order.of_epoch
    monkeypatch.setattr(orders.Order, "of_epoch", lambda *a: made.append(a[1]) or of_epoch(*a))
    for epoch in (0, 1):
        found = []
        for number in range(4):
            piece = _rounds.PieceOfEpoch(shard, _rounds.Piece(0, epoch, number, 4), 16)
            (block,) = piece.epoch(0, 5)
            assert block.n_visited == piece.n_rows
            found.append(block.order)
        (block,) = whole[epoch]
        np.testing.assert_array_equal(np.concatenate(found), block.order)
    assert made == [0, 1]
    moved = pickle.loads(pickle.dumps(shard))
    np.testing.assert_array_equal(moved.block(1, 5).order, shard.block(1, 5).order)
    assert sys.getsizeof(shard) >= n * 8 * 4


def test_shards_and_client_have_the_same_parameters(table, monkeypatch):
    seen = []

    class Kept(_rounds.Rounds):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            seen.append(self)

    monkeypatch.setattr(_rounds, "Rounds", Kept)
    model = fastgd.SGDRegressor(**PLAIN)
    distributed.fit(model, *parts(*table), rounds=2, quantize="sign")
    (found,) = seen
    for state, missed in zip(found._states, found._missed, strict=True):
        common = state.result().common.copy()
        for update in missed:
            _rounds.add(SignScale(), update, common, common.size)
        np.testing.assert_array_equal(common, found.progress.params)


@pytest.mark.parametrize(
    "params",
    [{"learning_rate": "auto"}, {"optimizer": "schedule_free_sgd"}],
    ids=["auto", "schedule free"],
)
def test_an_average_that_predicts_is_what_is_exchanged(params, table):
    params = {**PLAIN, **params}
    whole, one, four = (fastgd.SGDRegressor(**{**params, "max_iter": n}) for n in (4, 4, 30))
    whole.fit(*table)
    distributed.fit(one, *parts(*table, rows=N), rounds=3, momentum=0.0)
    np.testing.assert_allclose(one.coef_, whole.coef_, rtol=1e-9)
    distributed.fit(four, *parts(*table))
    assert four.score(*table) > 0.98
    before = four.coef_.copy()
    four.partial_fit(*table)  # goes on from what predicts
    assert four.score(*table) > 0.98
    np.testing.assert_allclose(four.coef_, before, atol=0.2)


@pytest.mark.parametrize("rate", ["cosine", "step", "invscaling"])
def test_a_schedule_has_the_length_of_a_partitions_epochs(rate, table):
    params = {**PLAIN, "learning_rate": rate, "eta0": 0.02, "max_iter": 4}
    whole = fastgd.SGDRegressor(**params).fit(table[0][:160], table[1][:160])
    model = fastgd.SGDRegressor(**params)
    distributed.fit(model, *parts(*table), momentum=0.0)
    rates = model.history_["learning_rate"]
    assert rates == whole.history_["learning_rate"]  # each has ten steps an epoch
    assert all(type(value) is float for value in rates)
    assert model.t_ == 1 + 4 * N / 16
    model.partial_fit(*table)
    assert model.history_["learning_rate"][-1] <= rates[-1]


def labels_of(table):
    X, y = table
    return X, np.where(y > 1.0, "high", np.where(y > -2.0, "mid", "low"))


@pytest.mark.parametrize("quantize", [None, 4])
def test_classes_that_only_the_last_partition_has(quantize, table):
    X, y = labels_of(table)
    order = np.argsort(y == "low", kind="stable")
    X, y = X[order], y[order]
    assert "low" not in y[:480]
    kwargs = {"loss": "log_loss", "batch_size": 8, "max_iter": 20, "tol": None, "random_state": 0}
    model = fastgd.SGDClassifier(**kwargs, class_weight="balanced")
    distributed.fit(model, *parts(X, y), rounds=5, quantize=quantize)
    assert list(model.classes_) == ["high", "low", "mid"]
    assert model.score(X, y) > 0.75


def test_networks_and_their_statistics(table):
    X, y = labels_of(table)
    dX, dy = parts(X, y)
    kwargs = {"batch_size": 16, "max_iter": 20, "random_state": 0, "learning_rate_init": 0.01}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plain = MLPClassifier((5,), **kwargs)
        distributed.fit(plain, dX, dy, quantize=4, rate=0.7, momentum=0.9)
        assert plain.score(X, y) > 0.85
        layers = [fastgd.layers.Dense(6), fastgd.layers.BatchNorm(), fastgd.layers.Dense(3)]
        model = NetworkClassifier(layers, **kwargs)
        distributed.fit(model, dX, dy, quantize=8)
    assert model._network.n_trained < model._progress.params.size
    assert model.score(X, y) > 0.8


def test_training_stops_and_callbacks_look_on(table, tmp_path):
    X, y = labels_of(table)
    y = y == "high"
    path, seen = tmp_path / "model.pkl", []
    watch = [Checkpoint(path), lambda view: seen.append(view.model.score(X, y))]
    kwargs = {"loss": "log_loss", "batch_size": 16, "random_state": 0, "max_iter": 50}
    model = fastgd.SGDClassifier(**kwargs, n_iter_no_change=2, callbacks=watch)
    distributed.fit(model, *parts(X, y), X_val=X[:100], y_val=y[:100])
    assert model.n_iter_ < 50
    assert len(seen) == model.n_iter_ == len(model.history_["validation_score"])
    assert max(model.history_["validation_score"]) == model.score(X[:100], y[:100])
    assert path.exists()
    one_class = fastgd.SGDOneClassSVM(nu=0.1, learning_rate="constant", random_state=0)
    distributed.fit(one_class, parts(X, y)[0])
    assert one_class.predict(X).mean() > 0.5


def test_a_round_does_not_wait_beyond_the_limit(table, monkeypatch):
    steps, goes_on = _rounds.local_steps, threading.Event()

    def held(work, data, state, updates, piece):
        if piece.shard == 2 and not goes_on.wait(timeout=60.0):
            raise TimeoutError("the fit waited for a shard that waits for the fit")
        return steps(work, data, state, updates, piece)

    def release(view):
        if view.epoch == 4:
            goes_on.set()

    monkeypatch.setattr(_rounds, "local_steps", held)
    monkeypatch.setattr(_rounds.os, "cpu_count", lambda: 8)
    model = fastgd.SGDRegressor(**{**PLAIN, "max_iter": 12}, callbacks=[release])
    distributed.fit(model, *parts(*table), wait=0.5, momentum=0.0)
    assert sum(model.history_["late"]) >= 4
    assert 12 * 320 < model.history_["samples"][-1] < 12 * N  # it was heard in the end
    assert model.score(*table) > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rounds": 0}, "rounds must be an integer >= 1 or 'batch', got 0"),
        ({"rounds": 1.5}, "rounds must be"),
        ({"rate": 0}, "rate must be a number > 0"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\)"),
        ({"wait": -1}, "wait must be None or seconds > 0"),
        ({"wait": float("inf")}, "wait must be None or seconds > 0"),
        ({"quantize": 9}, "quantize"),
        ({"X_val": np.zeros((3, D))}, "y_val was not provided"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message, table):
    model = fastgd.SGDRegressor()
    with pytest.raises(ValueError, match=message):
        distributed.fit(model, *parts(*table), **arguments)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"early_stopping": True}, "pass X_val and y_val"),
        ({"average": True}, "average=False"),
        ({"learning_rate": "adaptive"}, "look at the epochs of one machine"),
        ({"on_divergence": "backoff"}, "on_divergence must be 'raise'"),
        ({"warm_start": True}, "warm_start must be False"),
    ],
)
def test_parameters_that_mean_nothing_here_are_refused(params, message, table):
    with pytest.raises(ValueError, match=message):
        distributed.fit(fastgd.SGDRegressor(**params), *parts(*table))


def test_other_models_and_rows_are_refused(table):
    with pytest.raises(TypeError, match="those without one take collections in fit"):
        distributed.fit(fastgd.Ridge(), *parts(*table))
    with pytest.raises(TypeError, match="X must be a collection of Dask's, got ndarray"):
        distributed.fit(fastgd.SGDRegressor(), *table)
    with pytest.raises(ValueError, match=r"overflow occurred at epoch #1|Floating-point"):
        distributed.fit(fastgd.SGDRegressor(**{**PLAIN, "eta0": 1e200}), *parts(*table))


@pytest.mark.full
def test_workers_give_the_same_bits_and_may_be_killed(table):
    client = pytest.importorskip("distributed")
    alone = fastgd.SGDRegressor(**{**PLAIN, "max_iter": 8})
    distributed.fit(alone, *parts(*table), rounds=2, quantize="sign")
    killed = []
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with client.LocalCluster(processes=True, **options) as cluster, client.Client(cluster):

        def kill_one(view):
            if view.epoch == 4 and not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)
                time.sleep(1.0)

        together = fastgd.SGDRegressor(**{**PLAIN, "max_iter": 8})
        distributed.fit(together, *parts(*table), rounds=2, quantize="sign")
        np.testing.assert_array_equal(together.coef_, alone.coef_)
        survived = fastgd.SGDRegressor(**{**PLAIN, "max_iter": 8}, callbacks=[kill_one])
        with pytest.warns(RuntimeWarning, match="were lost during the fit"):
            distributed.fit(survived, *parts(*table), rounds=2, quantize="sign")
        assert killed
        np.testing.assert_array_equal(survived.coef_, alone.coef_)
        late = fastgd.SGDRegressor(**{**PLAIN, "max_iter": 8})
        distributed.fit(late, *parts(*table), wait=5.0)
        assert sum(late.history_["late"]) == 0
