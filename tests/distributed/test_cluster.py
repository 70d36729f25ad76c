"""Dask's collections: the same optimum as in memory, whoever computes, and whoever dies."""

import os
import signal
import time
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._solvers import _sharded
from fastgd.datasets import open as open_rows

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

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


def arranged(fault, table):
    """Return rows and targets in four parts, the third of which is not like the others."""
    pandas = pytest.importorskip("pandas")
    X, y, _ = table
    rows, targets = np.array_split(X[:400].astype(float), 4), np.array_split(y[:400], 4)
    if fault in ("order", "names"):
        rows = [pandas.DataFrame(part, columns=list("abcde")) for part in rows]
        changed = {"order": list("bacde"), "names": list("abcdz")}[fault]
        rows[2] = rows[2].set_axis(changed, axis=1)[changed]
    elif fault == "columns":
        rows[2] = rows[2][:, :3]
    elif fault == "sparse":
        rows[2] = sp.csr_matrix(rows[2])
    elif fault == "words":
        targets[2] = np.where(targets[2] > 0, "a", "b")
    elif fault == "targets":
        targets[2] = np.column_stack([targets[2], targets[2]])
    elif fault == "missing":
        rows[2] = pandas.DataFrame(rows[2]).astype("Float64")
        rows[2].iloc[3, 1] = pandas.NA
    elif fault == "target":
        targets[2] = np.where(np.arange(100) == 7, np.nan, targets[2])
    elif fault == "none":
        rows[2] = None
    elif fault == "lost":
        targets = [np.array(["n", "p"], object)[one] for one in targets]
        targets[2][0] = None
    return rows, targets


FAULTS = {
    "order": "2 has its columns in another order than (partition|chunk) 0",
    "names": r"2 has other columns than (partition|chunk) 0: unknown are \['z'\], missing .*'e'",
    "columns": "2 has 3 columns, and (partition|chunk) 0 5: all must have the same",
    "sparse": "2 is sparse, and (partition|chunk) 0 is not: either all, or none",
    "words": "2 has words as labels, and (partition|chunk) 0 numbers",
    "targets": "2(: targets must be one number|: labels must be one| has 2 targets for each row)",
    "missing": "2: Input (X )?contains NaN",
    "target": "2: Input y contains NaN",
    "none": "2: .*got NoneType",
    "lost": "2: labels must all be words .*, and none may be missing",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_part_that_is_not_like_the_others_is_named(fault, table):
    """Before anything is fitted, whoever fits, and wherever rows come from."""
    from fastgd import distributed

    def by_rounds(model, *data):
        return distributed.fit(model, *data)

    def by_itself(model, *data):
        return model.fit(*data)

    for model, fit in (
        (fastgd.LogisticRegression(), by_itself),
        (fastgd.LinearSVC(), by_itself),
        (fastgd.linear_model.RidgeClassifierCV(cv=2), by_itself),
        (fastgd.SGDClassifier(), by_itself),
        (fastgd.SGDClassifier(), by_rounds),
    ):
        parts = [list(map(dask.delayed, one)) for one in arranged(fault, table)]
        with pytest.raises(ValueError, match=f"partition {FAULTS[fault]}|chunk {FAULTS[fault]}"):
            fit(model, *parts)
        assert not hasattr(model, "coef_")
        if fit is by_itself:
            pairs = list(zip(*arranged(fault, table), strict=True))
            with pytest.raises(ValueError, match=f"chunk {FAULTS[fault]}"):
                fit(model, open_rows(pairs))
            assert not hasattr(model, "coef_")


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "bsr"])
def test_partitions_may_have_any_sparse_layout(layout, table):
    X, y, _ = table
    parts = [sp.csr_matrix(part).asformat(layout) for part in np.array_split(X, 3)]
    targets = list(map(dask.delayed, np.array_split(y, 3)))
    for model in (fastgd.Ridge(), fastgd.SGDClassifier(random_state=0, max_iter=1, tol=None)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = clone(model).fit(list(map(dask.delayed, parts)), targets)
            rows = list(map(dask.delayed, (sp.csr_matrix(part) for part in parts)))
            expected = clone(model).fit(rows, targets)
        np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-6)


def test_a_partition_that_is_not_what_the_collection_says_is_named(table):
    dataframe = pytest.importorskip("dask.dataframe")
    for fault in ("order", "names"):
        rows, targets = arranged(fault, table)
        parts = list(map(dask.delayed, rows))
        X = dataframe.from_delayed(parts, meta=rows[0][:0], verify_meta=False)
        y = da.concatenate([da.from_array(one) for one in targets])
        with pytest.raises(ValueError, match=r"partition 2 has .* than the collection: "):
            fastgd.LogisticRegression().fit(X, y)


def test_frames_in_a_list_have_names(table):
    pandas = pytest.importorskip("pandas")
    X, y, _ = table
    frames = [pandas.DataFrame(part, columns=list("abcde")) for part in np.array_split(X, 3)]
    frames.insert(0, frames[0][:0])
    targets = [y[:0], *np.array_split(y, 3)]
    for model in (fastgd.LogisticRegression(), fastgd.SGDClassifier(random_state=0)):
        model.fit(list(map(dask.delayed, frames)), list(map(dask.delayed, targets)))
        assert list(model.feature_names_in_) == list("abcde")


def test_numbers_of_pandas_that_may_be_missing_are_numbers(table):
    pandas = pytest.importorskip("pandas")
    X, y, _ = table
    expected = fastgd.LogisticRegression().fit(*collections((X.astype(float), y)))
    frame, labels = pandas.DataFrame(X.astype(float)).astype("Float64"), pandas.Series(y)
    parts = [frame.iloc[k : k + 500] for k in range(0, N, 500)]
    targets = [labels.iloc[k : k + 500].astype("Int64") for k in range(0, N, 500)]
    found = fastgd.LogisticRegression().fit(
        list(map(dask.delayed, parts)), list(map(dask.delayed, targets))
    )
    np.testing.assert_array_equal(found.coef_, expected.coef_)
