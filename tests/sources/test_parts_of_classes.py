"""One class against the rest, and penalised intercepts, on data sets in parts."""

import threading
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

import fastgd
from fastgd._data.shards import ChunkShards
from fastgd._solvers import _kinks_shards, _sharded, _together
from fastgd.datasets import open as open_rows

N, D = 2400, 5
SQUARED = "squared_epsilon_insensitive"


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(0)
    X = random.normal(size=(N, D)) * np.geomspace(0.1, 10.0, D) + 1.0
    score = (X - 1.0) / X.std(axis=0) @ random.normal(size=D)
    labels = np.digitize(score + random.logistic(size=N), [-1.5, 1.0])
    order = np.argsort(labels, kind="stable")  # no part has all classes, most have one
    X, score, labels = X[order], score[order], labels[order]
    return {
        "X": X,
        "two": np.array(["no", "yes"])[(labels > 0).astype(int)],
        "three": labels,
        "numbers": score + random.normal(size=N) + 3.0,
    }


@pytest.fixture(autouse=True)
def _small_samples(monkeypatch):
    monkeypatch.setattr(_sharded, "SAMPLE_ROWS", 300)
    monkeypatch.setattr(_sharded, "ROOM", 0)


MODELS = {
    "svc": (fastgd.LinearSVC(), "two"),
    "svc of three": (fastgd.LinearSVC(C=0.01, intercept_scaling=3.0), "three"),
    "svc weighed": (fastgd.LinearSVC(class_weight={0: 5.0, 2: 0.1}, C=0.1), "three"),
    "svc l1": (fastgd.LinearSVC(penalty="l1", C=0.01, class_weight="balanced"), "three"),
    "svc no intercept": (fastgd.LinearSVC(fit_intercept=False), "three"),
    "svr": (fastgd.LinearSVR(loss=SQUARED, epsilon=0.3, intercept_scaling=2.0), "numbers"),
    "ridge": (fastgd.RidgeClassifier(), "two"),
    "ridge of three": (fastgd.RidgeClassifier([1.0, 10.0, 0.1]), "three"),
    "ridge balanced": (fastgd.RidgeClassifier(class_weight="balanced"), "three"),
    "ridge weighed": (fastgd.RidgeClassifier(class_weight={1: 3.0}, positive=True), "three"),
    "liblinear": (fastgd.LogisticRegression(solver="liblinear", intercept_scaling=2.0), "two"),
    "liblinear l1": (fastgd.LogisticRegression(solver="liblinear", l1_ratio=1.0, C=0.05), "two"),
    "softmax of liblinear": (fastgd.SoftmaxRegression(solver="liblinear", C=0.1), "two"),
}


LAYOUTS = ["dense", pytest.param("float32", marks=pytest.mark.full)]
LAYOUTS += [pytest.param("csr", marks=pytest.mark.full)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", MODELS)
def test_the_optimum_of_all_rows(name, layout, table):
    model, target = MODELS[name]
    X, y = table["X"], table[target]
    X = {"dense": X, "float32": X.astype(np.float32), "csr": sp.csr_matrix(X)}[layout]
    whole = clone(model).set_params(tol=1e-9).fit(X.astype(np.float64), y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = clone(model).fit(open_rows((X, y), chunk_rows=500))
    objective, best = np.asarray(parts.objective_), np.asarray(whole.objective_)
    assert np.all(objective <= best * (1.0 + parts.tol))
    assert np.all(objective - parts.gap_ <= best * (1.0 + 1e-12))
    if "l1" not in name:
        assert np.all(parts.gap_ <= parts.tol * objective)
    assert parts.coef_.shape == whole.coef_.shape
    assert np.shape(parts.intercept_) == np.shape(whole.intercept_)
    np.testing.assert_allclose(parts.coef_, whole.coef_, atol=0.02 * np.abs(whole.coef_).max())
    np.testing.assert_allclose(parts.intercept_, whole.intercept_, atol=0.02)
    assert parts.n_features_in_ == D
    np.testing.assert_array_equal(
        parts.predict(open_rows((X, y), chunk_rows=700)), parts.predict(X)
    )


@pytest.mark.parametrize("model", [fastgd.LinearSVC(C=0.1), fastgd.RidgeClassifier()])
@pytest.mark.parametrize("most", [16, 2])
def test_a_pass_serves_all_classes(model, most, table, passes, monkeypatch):
    """The same bits as one class after the other, which callbacks see, and fewer passes."""
    monkeypatch.setattr(_together, "MOST_TOGETHER", most)
    source, counts, fits = open_rows((table["X"], table["three"]), chunk_rows=500), [], []
    for callbacks in (None, [lambda _: None]):
        passes.n_passes = 0
        fits.append(clone(model).set_params(callbacks=callbacks).fit(source))
        counts.append(passes.n_passes)
    np.testing.assert_array_equal(fits[0].coef_, fits[1].coef_)
    np.testing.assert_array_equal(fits[0].n_iter_, fits[1].n_iter_)
    assert counts[0] < counts[1]
    for history in fits[0].history_:
        assert len(history["seconds"]) == len(history["objective"]) >= 1


def test_balanced_counts_are_those_of_weighted_rows(table):
    """LinearSVC balances weights and RidgeClassifier rows, as in memory."""
    da = pytest.importorskip("dask.array")
    X, y = table["X"], table["three"]
    weight = np.where(y == 1, 3.0, 0.5) * np.linspace(0.5, 1.5, N)
    collections = [da.from_array(part, chunks=(500, -1)[: part.ndim]) for part in (X, y, weight)]
    for model in (
        fastgd.LinearSVC(class_weight="balanced"),
        fastgd.RidgeClassifier(class_weight="balanced"),
        fastgd.LogisticRegression(solver="liblinear", class_weight="balanced"),
    ):
        if isinstance(model, fastgd.LogisticRegression):
            y = (y > 0).astype(int)
            collections[1] = da.from_array(y, chunks=500)
        whole = clone(model).set_params(tol=1e-9).fit(X, y, weight)
        parts = clone(model).fit(*collections)
        assert np.all(np.asarray(parts.objective_) <= whole.objective_ * (1.0 + 1e-4))
        np.testing.assert_allclose(parts.coef_, whole.coef_, atol=0.02 * np.abs(whole.coef_).max())
        np.testing.assert_array_equal(parts.predict(collections[0]).compute(), parts.predict(X))


def test_files_have_names_and_empty_parts(table, tmp_path):
    pandas = pytest.importorskip("pandas")
    names = list("abcde")
    frame = pandas.DataFrame(table["X"], columns=names).assign(y=table["three"])
    for k in range(4):
        frame[600 * k : 600 * (k + 1) * (k != 2)].to_csv(tmp_path / f"{k}.csv", index=False)
    kept = np.r_[0:1200, 1800:N]
    for model in (fastgd.LinearSVC(), fastgd.RidgeClassifier()):
        parts = clone(model).fit(open_rows(str(tmp_path / "*.csv"), target="y", chunk_rows=250))
        whole = clone(model).set_params(tol=1e-9).fit(frame[names].iloc[kept], frame["y"][kept])
        assert list(parts.feature_names_in_) == names
        assert np.all(np.asarray(parts.objective_) <= whole.objective_ * (1.0 + 1e-4))


def test_what_is_refused_leaves_the_model_as_it_was(table):
    X, y = table["X"], table["three"]
    source = open_rows((X, y), chunk_rows=500)
    model = fastgd.LinearSVC().fit(X, y)
    before, bad = model.coef_.copy(), X.copy()
    bad[-1, 0] = np.nan
    refused = {
        "chunk 4: Input contains NaN": open_rows((bad, y), chunk_rows=500),
        "only one class": open_rows((X, np.zeros(N))),
        "columns": open_rows([(X, y), (X[:, :3], y)]),
    }
    for said, rows in refused.items():
        with pytest.raises(ValueError, match=said):
            model.fit(rows)
    arguments = {
        r"multi_class='ovr'": {"multi_class": "crammer_singer"},
        "solver='sdca' needs all rows in memory": {"solver": "sdca"},
    }
    for said, params in arguments.items():
        with pytest.raises(ValueError, match=said):
            clone(model).set_params(**params).fit(source)
    with pytest.raises(ValueError, match="one number or label a row"):
        fastgd.RidgeClassifier().fit(open_rows([(X, np.eye(3)[y])]))
    np.testing.assert_array_equal(model.coef_, before)


@pytest.mark.parametrize("model", [fastgd.LinearSVC(), fastgd.RidgeClassifier()])
def test_no_thread_is_left_where_a_pass_fails(model, table):
    """Rows that change while all classes wait for a pass."""
    passes = iter(range(100))

    def pairs():
        X = table["X"] * (np.nan if next(passes) > 1 else 1.0)
        return ((X[k : k + 400], table["three"][k : k + 400]) for k in range(0, N, 400))

    n_threads = threading.active_count()
    with pytest.raises(ValueError, match="NaN"):
        clone(model).fit(open_rows(pairs))
    assert threading.active_count() <= n_threads


def test_a_solver_that_fails_ends_the_others():
    shards = ChunkShards(open_rows((np.ones((4, 1)), np.zeros(4))))

    def add_up(shards):
        return shards.total(lambda rows: rows.X.sum(), lambda a, b: a + b)

    def fail(shards):
        raise OSError(f"no sum but {add_up(shards)}")

    assert _together.together(shards, [add_up, add_up]) == [4.0, 4.0]
    with pytest.raises(OSError, match=r"no sum but 4\.0"):
        _together.together(shards, [add_up, fail, lambda own: (add_up(own), add_up(own))])


@pytest.mark.parametrize("name", ["two", "softmax", "l1", "hinge"])
def test_a_pass_that_looks_at_many_lengths_of_a_step(name, table, monkeypatch):
    """Of a step that is too long, one pass tells the length that lowers the objective most."""
    model, target = {
        "two": (fastgd.LogisticRegression(), "two"),
        "softmax": (fastgd.LogisticRegression(), "three"),
        "l1": (fastgd.LogisticRegression(l1_ratio=0.5, C=0.1), "two"),
        "hinge": (fastgd.LinearSVC(loss="hinge"), "two"),
    }[name]
    caught = []

    def run(self, own=_sharded.Descent.run):
        caught.append(self)
        return own(self)

    monkeypatch.setattr(_sharded.Descent, "run", run)
    kinks = _kinks_shards._KinkDescent
    monkeypatch.setattr(kinks, "run", lambda self, own=kinks.run: run(self, own))
    model.fit(open_rows((table["X"], table[target]), chunk_rows=700))
    descent = caught[0]
    random = np.random.default_rng(0)
    u = descent.here.point.u
    step, lengths = random.normal(size=u.shape), 4.0 * _sharded.LENGTHS
    descent.here = descent._at(u - 0.3 * step, False)
    start = descent.here.point
    values = [descent._at(start.u + t * step, False).point.objective for t in lengths]
    found = descent._best_length(step, lengths, 0.0)
    assert found == lengths[np.argmin(values)]
    assert descent._best_length(step, lengths, 1e6) == 0.0
