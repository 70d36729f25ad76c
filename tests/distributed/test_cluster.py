"""Dask's collections: the same optimum as in memory, whoever computes, and whoever dies."""

import importlib
import os
import signal
import time
import warnings

import numpy as np
import pytest
from sklearn.base import clone

import fastgd
from fastgd._solvers import _sharded
from fastgd.datasets import open as open_rows

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
_collections = importlib.import_module("fastgd._distributed.collections")  # which needs Dask

N, D = 3000, 5


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(0)
    X = random.normal(size=(N, D)).astype(np.float32)
    X = X[np.argsort(X[:, 0])]  # partitions that differ from each other
    y = (X @ random.normal(size=D) + random.logistic(size=N) > 0).astype(np.int64)
    return X, y, random.random(N)


@pytest.fixture(autouse=True)
def _small_samples(monkeypatch):
    monkeypatch.setattr(_sharded, "SAMPLE_ROWS", 400)
    monkeypatch.setattr(_sharded, "ROOM", 0)


def collections(table, rows=500):
    X, *columns = table
    arrays = da.from_array(X, chunks=(rows, -1)), *(da.from_array(c, chunks=rows) for c in columns)
    return list(arrays)


def test_the_optimum_of_all_partitions(table):
    X, y, weight = table
    whole = fastgd.LogisticRegression(tol=1e-9).fit(X, y, weight)
    parts = fastgd.LogisticRegression().fit(*collections(table))
    assert parts.objective_ <= whole.objective_ * (1 + 1e-4)
    assert parts.gap_ <= 1e-4 * parts.objective_
    np.testing.assert_allclose(parts.coef_, whole.coef_, rtol=1e-3)
    assert len(parts.history_["bytes"]) == parts.n_iter_[0]
    assert all(size > 0 for size in parts.history_["bytes"])


def test_partitions_are_what_chunks_are(table):
    """Files, threads and clusters are the same sum: the same bits where the cuts are the same."""
    X, y, _ = table
    collected = fastgd.Ridge().fit(*collections((X, y.astype(float))))
    read = fastgd.Ridge().fit(open_rows((X, y.astype(float)), chunk_rows=500))
    np.testing.assert_allclose(collected.coef_, read.coef_, rtol=1e-12)


def test_frames_lists_and_empty_partitions(table):
    dataframe, pandas = pytest.importorskip("dask.dataframe"), pytest.importorskip("pandas")
    X, y, _ = table
    names = list("abcde")
    frame = pandas.DataFrame(X, columns=names).assign(y=y)
    collection = dataframe.from_pandas(frame, npartitions=4)
    few = collection[collection["a"] > 0.0]  # the first partitions are empty then
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fastgd.LogisticRegression().fit(few[names], few["y"])
        assert list(model.feature_names_in_) == names
        kept = frame[frame["a"] > 0.0]
        whole = fastgd.LogisticRegression(tol=1e-9).fit(kept[names], kept["y"])
        np.testing.assert_allclose(model.coef_, whole.coef_, atol=1e-3)
        labels = model.predict(few[names])
        assert dask.is_dask_collection(labels)
        np.testing.assert_array_equal(labels.compute(), model.predict(kept[names]))
    parts = [dask.delayed(X[k : k + 500]) for k in range(0, N, 500)]
    targets = [dask.delayed(y[k : k + 500]) for k in range(0, N, 500)]
    by_list = fastgd.LogisticRegression().fit(parts, targets)
    assert by_list.gap_ <= 1e-4 * by_list.objective_
    assert dask.compute(*by_list.predict(parts))[0].shape == (500,)


def test_predictions_are_lazy(table):
    X, y, _ = table
    dX, dy, _ = collections(table)
    model = fastgd.LogisticRegression().fit(dX, dy)
    for name, shape in (("predict", (N,)), ("predict_proba", (N, 2)), ("decision_function", (N,))):
        lazy = getattr(model, name)(dX)
        assert lazy.shape == shape
        np.testing.assert_array_equal(lazy.compute(), getattr(model, name)(X))
    regressor = fastgd.PoissonRegressor().fit(dX, dy)
    assert regressor.predict(dX).compute().shape == (N,)
    params = {"loss": "log_loss", "learning_rate": "constant", "eta0": 0.05, "random_state": 0}
    steps = fastgd.SGDClassifier(**params, batch_size=64, max_iter=3, tol=None)
    assert steps.fit(dX, dy).score(X, y) > 0.65


def test_a_later_fit_changes_no_lazy_prediction(table):
    X, y, _ = table
    model = fastgd.LogisticRegression().fit(X, y)
    lazy, labels = model.predict(collections(table)[0]), model.predict(X)
    model.fit(-X, y)
    np.testing.assert_array_equal(lazy.compute(), labels)


def test_collections_that_do_not_agree_are_refused(table):
    y = table[1]
    dX, dy, _ = collections(table)
    model = fastgd.LogisticRegression()
    with pytest.raises(ValueError, match="y is needed"):
        model.fit(dX)
    with pytest.raises(ValueError, match="y must be a collection of Dask's"):
        model.fit(dX, y)
    with pytest.raises(ValueError, match="must have the same partitions"):
        model.fit(dX, dy.rechunk(1000))
    with pytest.raises(ValueError, match="cut into 3 blocks of columns"):
        model.fit(dX.rechunk((500, 2)), dy)
    late = np.r_[y[:-1], np.nan]
    with pytest.raises(ValueError, match="NaN"):
        fastgd.Ridge().fit(dX, da.from_array(late, chunks=500))
    with pytest.raises(ValueError, match="of data in parts it must be None"):
        fastgd.RidgeCV(scoring="r2").fit(dX, dy)
    assert not hasattr(model, "coef_")


LOGISTIC = {"Cs": [0.01, 1.0], "l1_ratios": (0,), "use_legacy_attributes": False, "cv": 3}


def test_folds_of_partitions_some_of_which_are_empty(table):
    """Labels that come late, and partitions without rows, change nothing of the folds."""
    X, y, weight = table
    late = np.where(np.arange(N) < 2000, "a", np.where(y, "b", "a"))
    chunks = (500, 0, 1500, 700, 300)
    for model, target in (
        (fastgd.linear_model.RidgeClassifierCV(cv=4), late),
        (fastgd.linear_model.LassoCV(alphas=5), X[:, 0] + y),
        (fastgd.linear_model.MultiTaskLasso(0.01), np.column_stack([X[:, 0] + y, y])),
        (fastgd.Ridge(), np.column_stack([X[:, 0] + y, y])),
        (fastgd.Lasso(0.01), np.column_stack([X[:, 0] + y, y])),
        (fastgd.linear_model.RidgeCV(), X[:, 0] + y),
        (fastgd.linear_model.LogisticRegressionCV(**LOGISTIC, scoring="neg_log_loss"), late),
    ):
        parts = [da.from_array(v, chunks=(chunks, *v.shape[1:])) for v in (X, target, weight)]
        whole = clone(model).fit(X.astype(float), target, weight)
        found = model.fit(*parts)
        np.testing.assert_allclose(found.coef_, whole.coef_, rtol=5e-3, atol=1e-4)
        np.testing.assert_allclose(found.intercept_, whole.intercept_, rtol=5e-3, atol=1e-3)
        assert da.utils.is_arraylike(found.predict(parts[0]))
    mixed = [dask.delayed(late[:2000]), dask.delayed(y[2000:])]
    rows = [dask.delayed(X[:2000]), dask.delayed(X[2000:])]
    for model in (
        fastgd.linear_model.RidgeClassifierCV(),
        fastgd.linear_model.LogisticRegressionCV(**LOGISTIC, scoring="accuracy"),
    ):
        with pytest.raises(ValueError, match="words as labels"):
            model.fit(rows, mixed)
        assert not hasattr(model, "classes_")


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(processes=True, **options) as workers:
        yield workers


@pytest.mark.full
def test_workers_give_the_same_bits_and_may_be_killed(table, cluster):
    from distributed import Client

    alone = fastgd.LogisticRegression().fit(*collections(table))
    killed = []

    def kill_one(_):
        if not killed:
            killed.append(next(iter(cluster.workers.values())).pid)
            os.kill(killed[0], signal.SIGKILL)
            time.sleep(1.0)

    with Client(cluster):
        together = fastgd.LogisticRegression().fit(*collections(table))
        np.testing.assert_array_equal(together.coef_, alone.coef_)
        model = fastgd.LogisticRegression(tol=1e-9, callbacks=[kill_one])
        with pytest.warns(RuntimeWarning, match="worker.*lost during the fit"):
            model.fit(*collections(table))
    assert killed
    exact = fastgd.LogisticRegression(tol=1e-9).fit(*collections(table))
    np.testing.assert_array_equal(model.coef_, exact.coef_)


@pytest.mark.full
def test_folds_go_on_where_a_worker_is_killed(table):
    distributed = pytest.importorskip("distributed")
    X = table[0]
    dX, dy, _ = collections(table)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    model = fastgd.linear_model.LogisticRegressionCV(**LOGISTIC, scoring="neg_log_loss")
    alone = clone(model).fit(dX, dy)
    with distributed.LocalCluster(processes=True, **options) as workers:
        pids = [worker.pid for worker in workers.workers.values()]

        def killing(block):
            """Return a block as it is; a worker dies when it has read some, amid the passes."""
            reads = os.environ["READS"] = str(1 + int(os.environ.get("READS", 0)))
            if os.getpid() == pids[0] and int(reads) > 9:
                os.kill(os.getpid(), signal.SIGKILL)
            return block

        with distributed.Client(workers):
            rows = dX.map_blocks(killing, dtype=X.dtype, meta=np.empty((0, D), X.dtype))
            with pytest.warns(RuntimeWarning, match="worker.*lost during the fit"):
                found = clone(model).fit(rows, dy)
            np.testing.assert_array_equal(found.coef_, alone.coef_)
            np.testing.assert_array_equal(found.scores_, alone.scores_)
            lasso = fastgd.linear_model.LassoCV(alphas=5).fit(rows, dy.astype(float))
    expected = fastgd.linear_model.LassoCV(alphas=5).fit(dX, dy.astype(float))
    np.testing.assert_array_equal(lasso.coef_, expected.coef_)


@pytest.mark.full
def test_processes_fit_classes_and_scales(cluster, table):
    """What is sent to other processes can be pickled: sums of all classes, Huber's scale, rows."""
    distributed = pytest.importorskip("distributed")
    X, y, weight = table
    three = np.digitize(X[:, 1], [-0.5, 0.5])
    with distributed.Client(cluster):
        for model, target in (
            (fastgd.LinearSVC(), three),
            (fastgd.RidgeClassifier(), three),
            (fastgd.LogisticRegression(solver="liblinear"), y),
            (fastgd.HuberRegressor(), X[:, 0] + y),
            (fastgd.LinearSVC(loss="hinge"), three),
            (fastgd.QuantileRegressor(alpha=0.01), X[:, 0] + y + 0.1 * X[:, 2]),
        ):
            found = model.fit(*collections((X, target, weight)))
            whole = type(model)(**model.get_params()).fit(X, target, weight)
            objective, best = np.asarray(found.objective_), np.asarray(whole.objective_)
            assert np.all(objective <= best * (1.0 + 1e-4)), model
            assert np.all(np.asarray(found.gap_) <= 1e-4 * objective), model
            histories = found.history_ if isinstance(found.history_, list) else [found.history_]
            assert all(min(history["bytes"]) > 0.0 for history in histories), model


class FakeClient:
    """A client of which is known whether its connection is closed."""

    def __init__(self, status, is_cut):
        self.status = status
        self.comm = self  # as the batched stream's own
        self.scheduler_comm = None if is_cut is None else self
        self._is_cut = is_cut

    def closed(self):
        return self._is_cut


@pytest.mark.parametrize(
    ("status", "is_cut", "ended"),
    [
        ("running", False, False),
        ("running", True, True),
        ("running", None, True),
        ("connecting", True, False),
        ("closing", False, True),
        ("closed", None, True),
    ],
)
def test_a_scheduler_that_has_ended_is_not_waited_for(status, is_cut, ended, monkeypatch):
    distributed = pytest.importorskip("distributed")
    n_asked = []

    def wait(futures, timeout):
        n_asked.append(timeout)
        if len(n_asked) < 3:
            raise TimeoutError
        return futures

    monkeypatch.setattr(distributed, "wait", wait)
    here = FakeClient(status, is_cut)
    if ended:
        with pytest.raises(_collections.ClusterLost, match="the scheduler has ended"):
            _collections.wait_for_all(here, [])
        assert len(n_asked) == 1
    else:
        _collections.wait_for_all(here, [])
        assert len(n_asked) == 3
        n_asked.clear()
        with pytest.raises(TimeoutError):
            _collections.wait_for_all(here, [], 0.01)
        assert len(n_asked) == 1


class LostClient(FakeClient):
    """A client whose scheduler has gone: futures are cancelled, one or many, and calls fail."""

    def __init__(self, error):
        super().__init__("running", False)
        self._error = error

    def compute(self, values):
        return values

    def gather(self, futures):  # noqa: ARG002
        raise self._error

    def nthreads(self):
        raise self._error


@pytest.mark.parametrize("kind", ["one", "many", "closed"])
@pytest.mark.parametrize("call", ["rounds", "sgd", "solver"])
def test_calls_after_a_scheduler_is_lost_say_so(kind, call, table, monkeypatch):
    of_client = pytest.importorskip("distributed.client")
    from distributed.comm.core import CommClosedError

    from fastgd import distributed

    error = {
        "one": of_client.FutureCancelledError(key="k", reason="scheduler-connection-lost"),
        "many": of_client.FuturesCancelledError([of_client.CancelledFuturesGroup([], "lost")]),
        "closed": CommClosedError("ConnectionPool closing."),
    }[kind]
    monkeypatch.setattr(_collections, "client", lambda: LostClient(error))
    monkeypatch.setattr(_collections, "wait_for_all", lambda *_: None)
    model = fastgd.LogisticRegression() if call == "solver" else fastgd.SGDClassifier()
    fit = model.fit if call != "rounds" else lambda *data: distributed.fit(model, *data)
    with pytest.raises(_collections.ClusterLost, match=type(error).__name__):
        fit(*collections(table)[:2])
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_partition_that_holds_no_numbers_is_named(rounds, table):
    from fastgd import distributed

    X, y, _ = table
    bad = X.copy()
    bad[1200, 1] = np.nan
    arrays = da.from_array(bad, chunks=(500, -1)), da.from_array(y, chunks=500)
    model = fastgd.SGDClassifier(max_iter=2, tol=None)
    with pytest.raises(ValueError, match="partition 2: Input X contains NaN"):
        distributed.fit(model, *arrays, rounds=rounds)
    with pytest.raises(ValueError, match="chunk 2: Input X contains NaN"):
        model.fit(*arrays)
    with pytest.raises(ValueError, match="chunk 2: Input X contains NaN"):
        model.fit(open_rows((bad, y), chunk_rows=500))
    assert not hasattr(model, "coef_")
