"""Estimators on data sets in parts: the optimum, the proof and the predictions of the whole."""

import functools
import itertools
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._data.chunks import ArrayChunks
from fastgd._data.shards import ChunkShards, Rows
from fastgd._solvers import _shard_sums, _sharded
from fastgd._solvers._auto import solve
from fastgd._solvers._task import Options
from fastgd.datasets import open as open_rows
from fastgd.kernels.losses import LogLoss
from fastgd.neural_network import MLPClassifier

N, D = 4000, 6


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(0)
    X = random.normal(size=(N, D)) * np.geomspace(1e-3, 1e3, D)
    X[:, 1] += 1e6
    score = (X - X.mean(axis=0)) / X.std(axis=0) @ random.normal(size=D)
    order = np.argsort(X[:, 0])  # parts that differ from each other
    X, score = X[order], score[order]
    labels = np.digitize(score + random.logistic(size=N), [-1.0, 1.0])
    return {
        "X": X,
        "two": np.array(["no", "yes"])[(labels > 0).astype(int)],
        "three": labels,
        "numbers": score + random.normal(size=N) + 1e4,
        "counts": random.poisson(np.exp(np.clip(0.3 * score, -3, 3))).astype(float),
    }


@pytest.fixture(autouse=True)
def _small_samples(monkeypatch):
    monkeypatch.setattr(_sharded, "SAMPLE_ROWS", 500)
    monkeypatch.setattr(_sharded, "ROOM", 0)


MODELS = {
    "logistic": (fastgd.LogisticRegression(C=0.1), "two"),
    "logistic l1": (fastgd.LogisticRegression(C=0.01, l1_ratio=1.0), "two"),
    "balanced": (fastgd.LogisticRegression(class_weight="balanced"), "two"),
    "no penalty": (fastgd.LogisticRegression(C=np.inf), "two"),
    "softmax": (fastgd.LogisticRegression(), "three"),
    "two of softmax": (fastgd.SoftmaxRegression(), "two"),
    "least squares": (fastgd.LinearRegression(), "numbers"),
    "positive": (fastgd.LinearRegression(positive=True), "numbers"),
    "no intercept": (fastgd.Ridge(fit_intercept=False), "numbers"),
    "ridge": (fastgd.Ridge(), "numbers"),
    "lasso": (fastgd.Lasso(alpha=0.1), "numbers"),
    "elastic net": (fastgd.ElasticNet(alpha=0.1), "numbers"),
    "poisson": (fastgd.PoissonRegressor(alpha=1e-3), "counts"),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_optimum_of_all_rows(name, table):
    model, target = MODELS[name]
    X, y = table["X"], table[target]
    whole = clone(model).set_params(tol=1e-9).fit(X, y)
    parts = clone(model).fit(open_rows((X, y), chunk_rows=700))
    asked = parts.tol * abs(whole.objective_)
    assert parts.objective_ <= whole.objective_ + asked
    assert parts.objective_ >= whole.objective_ - 1e-9 * abs(whole.objective_) - whole_gap(whole)
    if np.isfinite(parts.gap_):  # a bound of what is left
        assert parts.objective_ - parts.gap_ <= whole.objective_ * (1 + 1e-12)
    assert parts.n_features_in_ == D
    np.testing.assert_array_equal(
        parts.predict(open_rows((X, y), chunk_rows=900)), parts.predict(X)
    )
    assert len(parts.history_["objective"]) == np.max(parts.n_iter_)
    assert len(parts.history_["seconds"]) == np.max(parts.n_iter_)


def whole_gap(model):
    return model.gap_ if np.isfinite(model.gap_) else 1e-9 * abs(model.objective_)


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_the_gap_of_least_squares_is_that_of_the_products(layout, n_targets, rng):
    X = rng.normal(size=(900, 5)) + 3.0
    Y = X @ rng.normal(size=(5, 2)) + rng.normal(size=(900, 2))
    y = Y if n_targets == 2 else Y[:, 0]
    given = sp.csr_matrix(X) if layout == "csr" else X
    for fits in (True, False):
        model = fastgd.LinearRegression(fit_intercept=fits).fit(
            open_rows((given, y), chunk_rows=200)
        )
        wide = np.column_stack([X, np.ones(900)]) if fits else X
        best = np.linalg.lstsq(wide, y, rcond=None)[1] / (2 * 900)
        assert np.all(model.objective_ - best <= model.gap_ + 1e-15)
        assert np.all(model.gap_ <= 1e-12 * model.objective_)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_the_gap_of_columns_that_depend_on_each_other_is_no_more_than_the_objective(n_targets, rng):
    X = rng.normal(size=(900, 4))
    X = np.column_stack([X, X[:, 0] + X[:, 1]])
    Y = rng.normal(size=(900, 2))
    y = Y if n_targets == 2 else Y[:, 0]
    model = fastgd.LinearRegression().fit(open_rows((X, y), chunk_rows=200))
    assert np.all(model.gap_ <= model.objective_)
    best = fastgd.LinearRegression().fit(X, y).objective_
    assert np.all(model.objective_ <= best * (1 + 1e-9))


def test_the_gap_is_proven_and_small(table):
    model = fastgd.LogisticRegression(tol=1e-6).fit(open_rows((table["X"], table["two"])))
    parts = fastgd.LogisticRegression(tol=1e-6).fit(
        open_rows((table["X"], table["two"]), chunk_rows=600)
    )
    assert parts.gap_ <= 1e-6 * parts.objective_
    assert parts.n_iter_[0] <= 6
    assert parts.objective_ <= model.objective_ * (1 + 1e-6)


@pytest.mark.parametrize("classes", ["two", "three"])
def test_a_class_that_the_sample_lacks(classes, table):
    """The sample's optimum, which has its intercept far off, is not where the descent begins."""
    X = (table["X"] - table["X"].mean(axis=0)) / table["X"].std(axis=0)
    y = np.where(table["three"] > 0, 1, 0) * (classes == "three")
    y[[1700, 2500]] = 2
    whole = fastgd.LogisticRegression(tol=1e-9).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = fastgd.LogisticRegression().fit(open_rows((X, y), chunk_rows=700))
    assert parts.objective_ <= whole.objective_ * (1 + 1e-4)
    assert parts.gap_ <= 1e-4 * parts.objective_


def test_a_sample_of_zeros(table):
    X = (table["X"] - table["X"].mean(axis=0)) / table["X"].std(axis=0)
    y = np.zeros(N)
    y[[1700, 2500]] = 3.0
    whole = fastgd.PoissonRegressor(alpha=1e-3, tol=1e-9).fit(X, y)
    parts = fastgd.PoissonRegressor(alpha=1e-3).fit(open_rows((X, y), chunk_rows=700))
    assert parts.objective_ <= whole.objective_ * (1 + 1e-4)


def test_what_one_place_rounds_says_nothing_of_another(table):
    """A step that was tried where the objective overflows is no reason to have arrived."""
    shards = ChunkShards(ArrayChunks(table["X"], table["two"], 700))
    seen, kind = _sharded.look(shards, classifies=True, loss=None, seed=0)
    of_rows = shards, seen, kind, seen.classes, np.ones(2), seen.mass
    task = _sharded.ShardedTask(*of_rows, LogLoss(), 0.0, 1e-3)
    sample = _sharded.sample_task(task)
    descent = _sharded.Descent(task, Options(), sample, solve(sample, Options()))
    floor = descent.floor
    assert not descent._at(np.full(D + 1, 1e300), False).point.objective < 1e290
    assert descent.floor == floor < 1e-10


def test_sparse_rows_and_many_columns():
    """Where a Hessian is too large, the sample's is the metric."""
    random = np.random.default_rng(1)
    X = sp.random_array((3000, 900), density=0.01, format="csr", rng=random)
    y = (X @ random.normal(size=900) + 0.1 * random.logistic(size=3000) > 0).astype(int)
    whole = fastgd.LogisticRegression(tol=1e-9).fit(X, y)
    parts = fastgd.LogisticRegression(tol=1e-4).fit(open_rows((X, y), chunk_rows=400))
    assert parts.objective_ <= whole.objective_ * (1 + 1e-4)


def test_sparse_and_dense_parts_agree(table):
    X = np.round(table["X"][:, [0, 3]] * [1e3, 1.0])
    y = table["two"]
    dense, sparse = (
        fastgd.LogisticRegression().fit(open_rows((rows, y), chunk_rows=700))
        for rows in (X, sp.csr_matrix(X))
    )
    np.testing.assert_allclose(dense.coef_, sparse.coef_, rtol=1e-6)


def test_the_same_bits_again_and_by_any_reader(table, tmp_path):
    import pandas as pd

    X, y = table["X"], table["two"]
    pd.DataFrame(X, columns=list("abcdef")).assign(y=y).to_parquet(tmp_path / "rows.parquet")
    sources = [
        open_rows((X, y), chunk_rows=700),
        open_rows((X, y), chunk_rows=700, read_ahead=False),
        open_rows(tmp_path / "rows.parquet", target="y", chunk_rows=700),
    ]
    fits = [fastgd.LogisticRegression().fit(source) for source in sources]
    for other in fits[1:]:
        np.testing.assert_array_equal(other.coef_, fits[0].coef_)
    assert list(fits[2].feature_names_in_) == list("abcdef")


def test_few_rows_are_solved_at_once(table):
    few = slice(0, N, 20)
    X, y = table["X"][few], table["numbers"][few]
    parts = fastgd.Ridge().fit(open_rows((X, y), chunk_rows=30))
    np.testing.assert_allclose(parts.coef_, fastgd.Ridge().fit(X, y).coef_, rtol=1e-9)


def test_max_iter_bounds_the_passes(table):
    source = open_rows((table["X"], table["three"]), chunk_rows=700)
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        model = fastgd.LogisticRegression(max_iter=1, tol=1e-12).fit(source)
    assert model.n_iter_[0] == 1


def test_a_fit_that_fails_leaves_the_model_as_it_was(table):
    X, y = table["X"], table["two"]
    model = fastgd.LogisticRegression().fit(X, y)
    before = model.coef_.copy()
    bad = X.copy()
    bad[-1, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model.fit(open_rows((bad, y), chunk_rows=700))
    with pytest.raises(ValueError, match="columns"):
        model.fit(open_rows([(X[:10], y[:10]), (X[:10, :3], y[:10])]))
    with pytest.raises(ValueError, match="only one class"):
        model.fit(open_rows((X[:300], np.zeros(300)), chunk_rows=100))
    with pytest.raises(ValueError, match="solver='sdca' needs all rows in memory"):
        fastgd.LogisticRegression(solver="sdca").fit(open_rows((X, y)))
    with pytest.raises(ValueError, match="warm_start=True goes with rows in memory"):
        fastgd.LogisticRegression(warm_start=True).fit(open_rows((X, y)))
    with pytest.raises(ValueError, match="y >= 0 is allowed"):
        fastgd.PoissonRegressor().fit(open_rows((X, -np.ones(N)), chunk_rows=700))
    np.testing.assert_array_equal(model.coef_, before)


def test_callbacks_see_each_pass(table):
    seen = []
    model = fastgd.Lasso(alpha=0.1, callbacks=[lambda fit: seen.append(fit.coef_.copy())])
    model.fit(open_rows((table["X"], table["numbers"]), chunk_rows=700))
    assert len(seen) == model.n_iter_
    np.testing.assert_array_equal(seen[-1], model.coef_)


def test_stochastic_estimators_take_steps_on_parts(table):
    X = (table["X"] - table["X"].mean(axis=0)) / table["X"].std(axis=0)
    source = open_rows((X, table["two"]), chunk_rows=700)
    options = {"loss": "log_loss", "batch_size": 64, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fastgd.SGDClassifier(max_iter=5, tol=None, **options).fit(source)
        assert model.score(X, table["two"]) > 0.7
        stopped = fastgd.SGDClassifier(early_stopping=True, **options).fit(source)
        assert "validation_score" in stopped.history_
        again = fastgd.SGDClassifier(**options)
        again.partial_fit(source, classes=["no", "yes"]).partial_fit(source)
        assert again.predict_proba(source).shape == (N, 2)
        numbers = fastgd.SGDRegressor(max_iter=5, tol=None).fit(
            open_rows((X, table["numbers"] - 1e4), chunk_rows=700)
        )
        assert numbers.score(X, table["numbers"] - 1e4) > 0.4
    by_rows = fastgd.SGDClassifier(**options).fit(source, X_val=X[::7], y_val=table["two"][::7])
    assert "validation_score" in by_rows.history_


def test_names_of_columns_are_learned_and_compared(table, tmp_path):
    import pandas as pd

    names = list("abcdef")
    X = (table["X"] - table["X"].mean(axis=0)) / table["X"].std(axis=0)
    frame = pd.DataFrame(X, columns=names).assign(y=table["two"])
    frame.to_parquet(tmp_path / "rows.parquet")
    frame[[*names[::-1], "y"]].to_parquet(tmp_path / "turned.parquet")
    source = open_rows(tmp_path / "rows.parquet", target="y", chunk_rows=900)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fastgd.SGDClassifier(max_iter=1, tol=None).fit(source).partial_fit(source)
        assert list(model.feature_names_in_) == names
        assert model.predict(frame[names]).shape == (N,)
    with pytest.raises(ValueError, match="another order"):
        model.predict(open_rows(tmp_path / "turned.parquet", target="y"))


def test_steps_in_parts_are_those_in_memory(table):
    """Without shuffling batches are the same, however rows are cut."""
    X = (table["X"] - table["X"].mean(axis=0)) / table["X"].std(axis=0)
    y = table["two"]
    models = (
        fastgd.SGDClassifier(loss="log_loss", batch_size=64, shuffle=False, max_iter=2, tol=None),
        MLPClassifier((8,), batch_size=64, shuffle=False, max_iter=2, tol=None, random_state=0),
    )
    for model in models:
        whole, parts = clone(model).fit(X, y), clone(model).fit(open_rows((X, y), chunk_rows=700))
        source = open_rows((X, y), chunk_rows=900)
        np.testing.assert_allclose(parts.predict_proba(source), whole.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize(("scale", "fits"), [(1e-120, True), (1e120, True), (1e30, False)])
def test_targets_too_far_for_a_log_link_are_refused(scale, fits, table):
    """Deviances of such targets cannot be told from each other: a fit would end anywhere."""
    X, y = table["X"][:, :2], (table["counts"] + 1.0) * scale
    model = fastgd.GammaRegressor(fit_intercept=fits)
    with pytest.raises(ValueError, match="targets of a log link in parts must be 0 or between"):
        model.fit(open_rows((X, y), chunk_rows=700))
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("early_stopping", [False, True])
def test_balanced_classes_are_counted_in_a_pass(early_stopping, table):
    X, y = (table["X"] - table["X"].mean(axis=0)) / table["X"].std(axis=0), table["two"]
    rare = np.r_[np.flatnonzero(y == "no"), np.flatnonzero(y == "yes")[:60]]  # its labels come last
    X, y = X[rare], y[rare]
    kwargs = {"loss": "log_loss", "batch_size": 64, "random_state": 0, "shuffle": False}
    kwargs |= {"max_iter": 3, "tol": None, "class_weight": "balanced"}
    model = fastgd.SGDClassifier(**kwargs, early_stopping=early_stopping)
    model.fit(open_rows((X, y), chunk_rows=100))
    if not early_stopping:
        whole = fastgd.SGDClassifier(**kwargs).fit(X, y)
        np.testing.assert_allclose(model.coef_, whole.coef_, rtol=1e-9)
    with pytest.raises(ValueError, match="'balanced' is not supported for partial_fit"):
        model.set_params(early_stopping=False).partial_fit(open_rows((X, y), chunk_rows=100))


def test_networks_learn_from_parts(table):
    X = (table["X"] - table["X"].mean(axis=0)) / table["X"].std(axis=0)
    source = open_rows((X, table["three"]), chunk_rows=700)
    params = {"max_iter": 5, "tol": None, "learning_rate_init": 0.01, "random_state": 0}
    model = MLPClassifier((8,), early_stopping=True, **params).fit(source)
    assert "validation_score" in model.history_
    assert model.score(X, table["three"]) > 0.6
    assert model.predict(source).shape == (N,)
    again = MLPClassifier((8,), random_state=0)
    again.partial_fit(source, classes=[0, 1, 2]).partial_fit(source)
    with pytest.raises(ValueError, match="solver='lbfgs' needs all rows in memory"):
        MLPClassifier(solver="lbfgs").fit(source)


@pytest.mark.parametrize("model", [fastgd.LogisticRegression(), fastgd.SGDClassifier()])
def test_targets_that_are_no_labels_are_refused(model, table):
    X = table["X"][:100]
    refused = {
        "no targets": [(X, None)],
        "NaN": [(X, np.where(np.arange(100) == 70, np.nan, np.arange(100) % 2))],
        "Unknown label type: continuous": [(X, table["numbers"][:100])],
        "all be words or all be numbers": [(X, np.array(["a", None] * 50, object))],
        "chunk 0 has words as labels, and chunk 1 numbers": [
            (X, table["two"][:100]),
            (X, np.arange(100) % 2),
        ],
    }
    for said, pairs in refused.items():
        with pytest.raises(ValueError, match=said):
            clone(model).fit(open_rows(pairs))


@pytest.mark.parametrize("model", [fastgd.LogisticRegression(), fastgd.SGDClassifier()])
def test_rows_that_change_between_passes_are_refused(model, table):
    passes = iter(range(100))

    def pairs():
        n_lost = 3 * (next(passes) > 1)
        return ((table["X"][k : k + 600 - n_lost], table["two"][k : k + 600 - n_lost])
                for k in range(0, 3000, 600))  # fmt: skip

    with pytest.raises(ValueError, match="chunk 0 had 600 rows when they were counted"):
        clone(model).fit(open_rows(pairs))


def test_no_rows_are_no_prediction(table):
    model = fastgd.LogisticRegression().fit(table["X"][:100], table["two"][:100])
    with pytest.raises(ValueError, match="no rows to predict"):
        model.predict(open_rows((table["X"][:0], table["two"][:0])))


def test_a_sample_of_sparse_rows_is_bounded(monkeypatch):
    """Rows without entries in the first shard say nothing of the others'."""
    monkeypatch.setattr(_sharded, "SAMPLE_ENTRIES", 3000)
    y = np.arange(400) % 2
    full = sp.csr_matrix(np.ones((400, 50)))
    pairs = [(sp.csr_matrix((400, 50)), y), *[(full, y)] * 20]
    shards = ChunkShards(open_rows(pairs))
    seen, _ = _sharded.look(shards, classifies=True, loss=None, seed=0)
    assert seen.X.nnz <= 2 * 3000


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_columns_whose_squares_leave_float64(scale, table):
    X, y = table["X"][:, [0, 3]], table["two"]
    with np.errstate(over="ignore"):
        parts = fastgd.LogisticRegression(C=np.inf).fit(open_rows((X * scale, y), chunk_rows=700))
    whole = fastgd.LogisticRegression(C=np.inf, tol=1e-9).fit(X, y)
    assert parts.objective_ <= whole.objective_ * (1 + 1e-4)


@pytest.mark.parametrize("scale", [1e-170, 1e160])
def test_targets_whose_squares_leave_float64_are_refused(scale, table):
    y = (table["numbers"] - 1e4) * scale
    with (
        pytest.raises(ValueError, match=r"squares of targets in parts .* Multiply y"),
        np.errstate(over="ignore"),
    ):
        fastgd.Ridge().fit(open_rows((table["X"], y), chunk_rows=700))


@pytest.mark.parametrize("model", [fastgd.Lasso(alpha=0.01), fastgd.Ridge(alpha=10.0)])
@pytest.mark.parametrize(("most", "passes"), [(3000, 2), (0, 60)])
def test_a_sample_of_fewer_rows_than_columns(most, passes, model, monkeypatch):
    """The Hessian of all rows is had in one pass; the sample's is drawn to its diagonal."""
    monkeypatch.setattr(_sharded, "NEWTON_OF_THIN", most)
    random = np.random.default_rng(2)
    X = random.normal(size=(1500, 620))
    X[:, 100:] += 0.5 * X[:, :1]
    y = X[:, :3] @ [1.0, -1.0, 0.5] + random.normal(size=1500)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = clone(model).fit(open_rows((X, y), chunk_rows=400))
    whole = clone(model).set_params(tol=1e-8).fit(X, y)
    assert parts.objective_ <= whole.objective_ * (1 + 1e-4)
    assert np.max(parts.n_iter_) < passes + 1


@pytest.mark.parametrize("sizes", [[50] * 20, [700, 100, 5, 5, 190]])
@pytest.mark.parametrize("layout", [np.asarray, sp.csr_matrix])
def test_many_shards_send_their_part_of_the_sample_alone(monkeypatch, sizes, layout):
    """It is that of shards that send all they may, as far as all of their rows are known."""
    monkeypatch.setattr(_shard_sums, "LEAST_PART", 10)
    X = np.random.default_rng(0).normal(size=(1000, 3))
    edges = np.cumsum([0, *sizes])
    found = []
    for n_shards in (1, len(sizes)):
        kind = _shard_sums.Kind(None, True, None, 0, 300, 10_000, n_shards)
        looks = [
            _shard_sums.look_at(Rows(layout(X[a:b]), np.arange(a, b) % 2), kind)
            for a, b in itertools.pairwise(edges)
        ]
        found.append(functools.reduce(functools.partial(_shard_sums.both, kind=kind), looks))
        if n_shards > 1:
            assert sum(look.keys.size for look in looks) <= 1.5 * 300 + 10 * n_shards
    whole, part = found
    assert whole.keys.size == 300
    known = np.sort(whole.keys[whole.keys <= part.reach])
    np.testing.assert_array_equal(np.sort(part.keys), known)
    assert part.keys.size >= (290 if len(set(sizes)) == 1 else 100)
    rows = {tuple(row) for row in np.asarray(sp.csr_matrix(whole.X).todense())}
    assert all(tuple(row) in rows for row in np.asarray(sp.csr_matrix(part.X).todense()))


@pytest.mark.parametrize("seed", [0, 2])
def test_l1_beside_columns_far_from_zero_says_what_it_cannot_see(seed):
    random = np.random.default_rng(seed)
    X = random.normal(size=(3000, 6))
    y = X @ random.normal(size=6) + random.logistic(size=3000) > 0
    X += 1e6
    model = fastgd.LogisticRegression(l1_ratio=1.0, fit_intercept=False, tol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        best = clone(model).set_params(tol=1e-9).fit(X, y).objective_
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(open_rows((X, y), chunk_rows=500))
    assert told or model.objective_ <= best * (1.0 + 1e-6)
    assert model.objective_ - best <= model.gap_


WORDS, NUMBERS, MANY = "words", "numbers", "many"
OF_DTYPE = [
    (fastgd.LinearRegression(), NUMBERS),
    (fastgd.LinearRegression(), MANY),
    (fastgd.Ridge(), MANY),
    (fastgd.Lasso(alpha=0.01), NUMBERS),
    (fastgd.Lasso(alpha=0.01), MANY),
    (fastgd.HuberRegressor(), NUMBERS),
    (fastgd.QuantileRegressor(alpha=0.01), NUMBERS),
    (fastgd.LinearSVR(), NUMBERS),
    (fastgd.PoissonRegressor(), "counts"),
    (fastgd.RidgeCV(), MANY),
    (fastgd.RidgeCV(cv=3), NUMBERS),
    (fastgd.LassoCV(cv=3, alphas=3), NUMBERS),
    (fastgd.MultiTaskLasso(alpha=0.01), MANY),
    (fastgd.MultiTaskElasticNetCV(cv=3, alphas=3), MANY),
    (fastgd.LogisticRegression(), WORDS),
    (fastgd.SoftmaxRegression(), WORDS),
    (fastgd.LogisticRegression(solver="liblinear"), WORDS),
    (
        fastgd.LogisticRegressionCV(
            Cs=2, cv=3, l1_ratios=(0,), scoring="accuracy", use_legacy_attributes=False
        ),
        WORDS,
    ),
    (fastgd.RidgeClassifier(), WORDS),
    (fastgd.RidgeClassifierCV(), WORDS),
    (fastgd.LinearSVC(), WORDS),
    (fastgd.LinearSVC(loss="hinge"), WORDS),
    (fastgd.SGDRegressor(max_iter=3, tol=None), NUMBERS),
    (fastgd.SGDClassifier(max_iter=3, tol=None), WORDS),
]


@pytest.mark.parametrize(("model", "target"), OF_DTYPE, ids=lambda v: str(v)[:40])
def test_coefficients_have_the_dtype_that_they_have_in_memory(model, target, rng):
    X = rng.integers(-3, 4, size=(400, 3))
    y = X[:, 0] + rng.normal(size=400)
    given = {
        NUMBERS: y,
        MANY: np.column_stack([y, -y]),
        "counts": np.abs(np.round(y)),
        WORDS: np.where(y > 0, "yes", "no"),
    }[target]
    for dtype in (np.float32, np.float64, np.int64):
        whole = clone(model).fit(X.astype(dtype), given)
        parts = clone(model).fit(open_rows((X.astype(dtype), given), chunk_rows=90))
        for name in ("coef_", "intercept_", "coefs_paths_"):
            if hasattr(whole, name):
                found = np.asarray(getattr(parts, name))
                assert found.dtype == np.asarray(getattr(whole, name)).dtype


def test_parts_of_both_dtypes_give_that_of_more_digits(rng):
    X, y = rng.normal(size=(300, 3)), rng.normal(size=(300, 2))
    parts = [(X[:100].astype(np.float32), y[:100]), (X[100:], y[100:])]
    for model, column in ((fastgd.Lasso(0.01), 0), (fastgd.Lasso(0.01), slice(2))):
        found = model.fit(open_rows([(A, b[:, column]) for A, b in parts]))
        assert found.coef_.dtype == np.float64


def objective_at(model, X, y, weight):
    """Return the mean loss and penalty of a model as it is stored, as plain numpy."""
    raw = X @ np.atleast_2d(model.coef_).T.astype(np.float64) + model.intercept_
    w = np.atleast_2d(model.coef_).astype(np.float64)
    share = weight / weight.sum()
    if isinstance(model, fastgd.LogisticRegression):
        side = np.where(y == model.classes_[1], 1.0, -1.0)
        loss = np.logaddexp(0.0, -side * raw[:, 0])[:, None]
        penalty = 0.5 * np.sum(w**2, axis=1) / (model.C * weight.sum())
    else:
        loss = 0.5 * (raw - (y if y.ndim == 2 else y[:, None])) ** 2
        alpha = getattr(model, "alpha", 0.0)
        penalty = 0.5 * alpha * np.sum(w**2, axis=1) / weight.sum()
        if isinstance(model, fastgd.Lasso):
            penalty = alpha * np.sum(np.abs(w), axis=1)
    return share @ loss + penalty


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("far", [0.0, 1e3])
@pytest.mark.parametrize(
    ("model", "target"),
    [
        (fastgd.LinearRegression(), NUMBERS),
        (fastgd.LinearRegression(), MANY),
        (fastgd.Ridge(10.0), MANY),
        (fastgd.Lasso(0.01, tol=1e-9), NUMBERS),
        (fastgd.LogisticRegression(C=0.1), WORDS),
        (fastgd.LogisticRegression(C=0.1, class_weight={"no": 1.0, "yes": 30.0}), WORDS),
    ],
    ids=lambda v: str(v)[:40],
)
def test_objective_and_gap_are_those_of_the_coefficients_as_stored(
    model, target, far, fit_intercept, layout, rng
):
    X = (rng.normal(size=(900, 3)) * [1.0, 10.0, 0.1] + far).astype(np.float32)
    score = (X - far) @ [1.0, 0.1, 3.0]
    y = {
        NUMBERS: score + rng.normal(size=900),
        WORDS: np.where(score > rng.normal(size=900), "yes", "no"),
        MANY: np.column_stack([score, -score]) + rng.normal(size=(900, 2)),
    }[target]
    given = sp.csr_matrix(X) if layout == "csr" else X
    model = clone(model).set_params(fit_intercept=fit_intercept)
    parts = clone(model).fit(open_rows((given, y), chunk_rows=200))
    assert parts.coef_.dtype == np.float32 or (far and model.tol < 1e-8)
    weight = np.ones(900)
    if getattr(model, "class_weight", None):
        weight = np.where(y == "yes", 30.0, 1.0)
    there = objective_at(parts, X.astype(np.float64), y, weight)
    np.testing.assert_allclose(parts.objective_, np.squeeze(there), rtol=3e-7)
    best = clone(model).set_params(tol=1e-10).fit(X.astype(np.float64), y)
    assert np.all(there - best.objective_ <= parts.gap_ + 2e-9 * there)
    assert np.all(parts.gap_ <= 1e-4 * parts.objective_)


@pytest.mark.parametrize(
    "model",
    [
        fastgd.LinearRegression(tol=1e-10),
        fastgd.Lasso(0.01, tol=1e-10),
        fastgd.Ridge(10.0, tol=1e-10),
        fastgd.HuberRegressor(tol=1e-8),
        fastgd.LogisticRegression(tol=1e-10),
        fastgd.LogisticRegressionCV(Cs=[0.1], cv=2, use_legacy_attributes=False, tol=1e-10),
    ],
    ids=lambda v: type(v).__name__,
)
@pytest.mark.parametrize("n_targets", [1, 2])
def test_what_is_within_tol_only_unrounded_is_kept_in_float64(model, n_targets, rng):
    from sklearn.base import is_classifier

    X = (rng.normal(size=(900, 3)) + 1e3).astype(np.float32)
    score = (X - 1e3) @ [1.0, 0.1, 3.0]
    y = score[:, None] * [1.0, -1.0][:n_targets] + rng.normal(size=(900, n_targets))
    if is_classifier(model):
        y = y > 0.0
    if n_targets > 1 and not isinstance(model, fastgd.LinearRegression | fastgd.Ridge):
        pytest.skip("of one target")
    y = y[:, 0] if n_targets == 1 else y
    parts = clone(model).fit(open_rows((X, y), chunk_rows=200))
    best = clone(model).fit(X.astype(np.float64), y)
    assert parts.coef_.dtype == np.float64
    assert np.all(parts.objective_ - best.objective_ <= 2.0 * model.tol * best.objective_)
    np.testing.assert_allclose(parts.coef_, best.coef_, rtol=1e-4, atol=1e-5)
