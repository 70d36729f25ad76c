"""What becomes of a fit whose cluster does not answer any more."""

import importlib
import threading
import time

import joblib
import numpy as np
import pytest

import fastgd
from fastgd import distributed
from fastgd._solvers import _sharded
from fastgd.callbacks import Checkpoint
from fastgd.distributed import ClusterLost
from fastgd.neural_network import MLPClassifier

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
of_client = pytest.importorskip("distributed.client")
_cluster = importlib.import_module("fastgd._distributed.cluster")

N, D = 3000, 5
STEPS = {"loss": "log_loss", "learning_rate": "constant", "eta0": 0.01, "random_state": 0}
NETWORK = {"max_iter": 1000, "tol": None, "learning_rate_init": 0.01}
STEPS |= {"batch_size": 64, "max_iter": 1000, "tol": None}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, D))
    return X, (X @ rng.normal(size=D) + rng.logistic(size=N) > 0).astype(np.int64)


@pytest.fixture(autouse=True)
def _small_samples(monkeypatch):
    monkeypatch.setattr(_sharded, "SAMPLE_ROWS", 400)
    monkeypatch.setattr(_sharded, "ROOM", 0)


def collections(table):
    return da.from_array(table[0], chunks=(500, -1)), da.from_array(table[1], chunks=500)


class FakeClient:
    """A client of which is known whether its connection is closed."""

    def __init__(self, status, is_cut):
        self.status = status
        self.comm = self  # as the batched stream's own
        self.scheduler_comm = None if is_cut is None else self
        self._is_cut = is_cut

    def closed(self):
        return self._is_cut


@pytest.fixture
def cluster_of(monkeypatch):
    """Return a function that returns a cluster with a client of ours."""

    def made(client):
        monkeypatch.setattr(_cluster, "client", lambda: client)
        return _cluster.Cluster()

    monkeypatch.setattr(_cluster, "LOOK_AFTER", 0.01)
    return made


@pytest.mark.parametrize(
    ("status", "is_cut"),
    [("running", True), ("running", None), ("closing", False), ("closed", None)],
)
def test_an_answer_that_cannot_come_is_not_waited_for(status, is_cut, cluster_of):
    """As that of a client whose event loop has ended: a call of it never returns."""
    never = threading.Event()
    with pytest.raises(ClusterLost, match="the scheduler has ended"):
        cluster_of(FakeClient(status, is_cut)).ask(never.wait)
    never.set()


@pytest.mark.parametrize(("status", "is_cut"), [("running", False), ("connecting", True)])
def test_an_answer_that_may_come_is_waited_for(status, is_cut, cluster_of):
    n_looks = []

    class Client(FakeClient):
        @property
        def status(self):
            n_looks.append(1)
            if len(n_looks) > 4:
                comes.set()
            return status

        @status.setter
        def status(self, value):
            pass

    comes = threading.Event()

    def answered():
        assert comes.wait(60.0)
        return 3

    assert cluster_of(Client(status, is_cut)).ask(answered) == 3
    assert len(n_looks) > 4
    with pytest.raises(ZeroDivisionError):
        cluster_of(FakeClient(status, is_cut)).ask(lambda: 1 // 0)


class LostClient(FakeClient):
    """A client whose scheduler has gone: futures are cancelled, one or many, and calls fail."""

    def __init__(self, error, at):
        super().__init__("running", False)
        self._error, self._at = error, at

    def _call(self, name, value):
        if self._at == name:
            raise self._error
        return value

    def compute(self, values):
        return self._call("compute", values)

    def submit(self, function, *arguments, **_):
        return self._call("submit", (function, arguments))

    def gather(self, futures):
        if self._at == "gather":
            raise self._error
        return list(dask.compute(*futures))

    def nthreads(self):
        return self._call("nthreads", {"tcp://worker": 1})


KINDS = {
    "one": of_client.FutureCancelledError(key="k", reason="scheduler-connection-lost"),
    "many": of_client.FuturesCancelledError([of_client.CancelledFuturesGroup([], "lost")]),
    "closed": of_client.ClosedClientError("Client is closed. Can't send update-graph message."),
    "cut": ConnectionResetError("reset by peer"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", ["compute", "gather", "nthreads", "submit"])
@pytest.mark.parametrize("call", ["rounds", "sgd", "solver"])
def test_calls_after_a_scheduler_is_lost_say_so(kind, at, call, table, cluster_of):
    if (at == "submit" and call != "rounds") or (at == "nthreads" and call == "sgd"):
        return  # is not asked for
    error = KINDS[kind]
    cluster_of(LostClient(error, at))
    model = fastgd.LogisticRegression() if call == "solver" else fastgd.SGDClassifier()
    fit = model.fit if call != "rounds" else lambda *data: distributed.fit(model, *data)
    with pytest.raises(ClusterLost, match=type(error).__name__) as caught:
        fit(*collections(table))
    assert not hasattr(model, "coef_")
    assert caught.value.model is None


def test_a_cluster_without_workers_is_lost_where_dask_says_so():
    of_scheduler = importlib.import_module("distributed.scheduler")
    errors = [of_scheduler.KilledWorker]
    errors += [getattr(of_scheduler, name, errors[0]) for name in ("NoWorkerError",)]
    assert set(errors) <= set(_cluster.lost())


FITS = {
    "solver": (fastgd.LogisticRegression, {"tol": 1e-12}),
    "one class against the rest": (fastgd.LinearSVC, {"tol": 1e-12}),
    "sgd": (fastgd.SGDClassifier, STEPS),
    "rounds": (fastgd.SGDClassifier, STEPS),
    "network": (MLPClassifier, {**NETWORK, "random_state": 0}),
}


@pytest.mark.parametrize("call", FITS)
@pytest.mark.parametrize("is_watched", [False, True])
def test_the_last_parameters_are_kept_in_the_error(call, is_watched, table, monkeypatch, tmp_path):
    """And in the checkpoint, but not in the estimator: no part of a fit is shown as a whole one."""
    rounds = importlib.import_module("fastgd._distributed.rounds")
    owner, name, first = {
        "sgd": (_cluster.Cluster, "computed", 12),
        "network": (_cluster.Cluster, "computed", 12),
        "rounds": (rounds._Threads, "get", 3),
    }.get(call, (_sharded.Descent, "_moves", 3))
    called, n_calls = getattr(owner, name), []

    def lost_later(*arguments):
        n_calls.append(1)
        if len(n_calls) > first:
            raise _cluster.cluster_lost("the scheduler has ended.")
        return called(*arguments)

    monkeypatch.setattr(owner, name, lost_later)
    kind, params = FITS[call]
    path = tmp_path / "model.joblib"
    model = kind(**params, callbacks=[Checkpoint(path)] if is_watched else None)
    X, y = collections(table)
    if call == "one class against the rest":
        y = da.from_array(np.digitize(table[0][:, 1], [-0.5, 0.5]), chunks=500)
    fit = model.fit if call != "rounds" else lambda *data: distributed.fit(model, *data)
    with pytest.raises(ClusterLost, match="the scheduler has ended") as caught:
        fit(X, y)
    kept = caught.value.model
    assert not hasattr(model, "coef_")
    assert not hasattr(model, "coefs_")
    assert kept.score(table[0], np.asarray(y)) > 0.6
    assert kept.callbacks is None
    if is_watched:
        written = joblib.load(path)
        assert written.predict(table[0]).shape == (N,)
    if is_watched and call not in ("sgd", "network"):  # which have begun another epoch
        np.testing.assert_array_equal(written.predict(table[0]), kept.predict(table[0]))


@pytest.mark.full
@pytest.mark.parametrize("call", ["solver", "sgd", "rounds", "network"])
@pytest.mark.parametrize("where", ["meanwhile", "in a callback", "in other processes"])
def test_a_cluster_that_is_closed_ends_the_fit(call, where, table):
    """With the error, and rows are not brought here by Dask's own threads instead."""
    processes = where == "in other processes"
    if processes and call != "solver":
        return  # once is enough of what takes a while
    kind, params = FITS[call]
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    ends = []

    def close(_):
        if len(ends) == 2:
            closes = threading.Thread(target=cluster.close, daemon=True)
            closes.start()
            if where == "in a callback":
                closes.join()
        ends.append(1)

    def slowly(block):
        time.sleep(0.01)
        return block

    model = kind(**params, callbacks=[close])
    here = importlib.import_module("distributed")
    with here.LocalCluster(processes=processes, **options) as cluster, here.Client(cluster):
        X, y = collections(table)
        X = X.map_blocks(slowly, dtype=float, meta=np.empty((0, D)))
        fit = model.fit if call != "rounds" else lambda *data: distributed.fit(model, *data)
        with pytest.raises(ClusterLost) as caught:
            fit(X, y)
    assert len(ends) >= 3
    assert not hasattr(model, "coef_")
    assert hasattr(caught.value.model, "predict")
