"""Piecewise linear losses on data sets in parts: merged rows, smoothed sums, and the proof."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import QuantileRegressor

import fastgd
from fastgd._data.chunks import ArrayChunks
from fastgd._data.shards import ChunkShards, added
from fastgd._data.validation import as_rows
from fastgd._solvers import _kinks_shards, _sharded
from fastgd._solvers._kinks_shards import band_at, both_bands, kink_sums_at, merged
from fastgd._solvers._problem import objective_of
from fastgd._solvers._task import Task
from fastgd.datasets import open as open_rows
from fastgd.kernels.losses import EpsilonInsensitive, Hinge, Quantile

N, D = 2400, 5


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(0)
    X = random.normal(size=(N, D)) * np.geomspace(0.1, 10.0, D) + 1.0
    score = (X - 1.0) / X.std(axis=0) @ random.normal(size=D)
    labels = np.digitize(score + random.logistic(size=N), [-1.5, 1.0])
    order = np.argsort(labels, kind="stable")  # no part has all classes, most have one
    X, score, labels = X[order], score[order], labels[order]
    numbers = score + random.standard_t(3.0, size=N) * (1.0 + 0.5 * random.random(N)) + 3.0
    two = np.array(["no", "yes"])[(labels > 0).astype(int)]
    return {"X": X, "two": two, "three": labels, "numbers": numbers}


@pytest.fixture(autouse=True)
def _small_samples(monkeypatch):
    monkeypatch.setattr(_sharded, "SAMPLE_ROWS", 300)
    monkeypatch.setattr(_sharded, "ROOM", 0)


def svc(**given):
    return fastgd.LinearSVC(loss="hinge", **given)


MODELS = {
    "svc": (svc(), "two"),
    "svc of three": (svc(C=0.01, intercept_scaling=3.0), "three"),
    "svc weighed": (svc(class_weight={0: 5.0, 2: 0.1}, C=0.1), "three"),
    "svc no intercept": (svc(fit_intercept=False, C=0.001), "two"),
    "svc l1": (svc(penalty="l1", C=0.05), "two"),
    "svr": (fastgd.LinearSVR(epsilon=0.3, intercept_scaling=2.0), "numbers"),
    "svr of absolute errors": (fastgd.LinearSVR(C=0.01), "numbers"),
    "svr exact": (fastgd.LinearSVR(epsilon=1.0, tol=1e-11), "numbers"),
    "median": (fastgd.QuantileRegressor(alpha=0.0), "numbers"),
    "quantile": (fastgd.QuantileRegressor(alpha=0.01, quantile=0.9), "numbers"),
    "no coefficients": (fastgd.QuantileRegressor(quantile=0.2, alpha=100.0), "numbers"),
    "quantile exact": (fastgd.QuantileRegressor(alpha=1e-3, tol=1e-11), "numbers"),
    "through zero": (fastgd.QuantileRegressor(alpha=0.0, fit_intercept=False), "numbers"),
}


@pytest.mark.parametrize("layout", ["dense", "float32", "csr"])
@pytest.mark.parametrize("name", MODELS)
def test_the_optimum_of_all_rows(name, layout, table):
    model, target = MODELS[name]
    X, y = table["X"], table[target]
    X = {"dense": X, "float32": X.astype(np.float32), "csr": sp.csr_matrix(X)}[layout]
    whole = clone(model).set_params(tol=1e-10).fit(X.astype(np.float64), y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = clone(model).fit(open_rows((X, y), chunk_rows=500))
    objective, best = np.asarray(parts.objective_), np.asarray(whole.objective_)
    assert np.all(objective <= best * (1.0 + parts.tol + 1e-12))
    assert np.all(objective - parts.gap_ <= best * (1.0 + 1e-12))
    assert np.all(parts.gap_ <= parts.tol * objective)
    np.testing.assert_allclose(parts.coef_, whole.coef_, atol=0.02 * np.abs(whole.coef_).max())
    np.testing.assert_allclose(parts.intercept_, whole.intercept_, atol=0.02)
    assert np.max(parts.n_iter_) <= 40
    assert parts.predict(open_rows((X, y), chunk_rows=700)).shape == (N,)


def of_shards(table, loss, target, codes=None):
    """Return the shards of some rows, and what their parts have in common."""
    X, y = table["X"][::8], table[target][::8]
    shards = ChunkShards(ArrayChunks(X, y, 70))
    seen, kind = _sharded.look(shards, classifies=codes is not None, loss=loss, seed=0)
    none = np.empty(0)
    of_classes = (none, none) if codes is None else (seen.classes, np.array(codes))
    mass = seen.mass if codes is None else float(seen.masses @ codes)
    task = _sharded.ShardedTask(shards, seen, kind, *of_classes, mass, loss, 0.01, 0.02)
    return X, y, shards, task, _sharded.frame_of(task)


LOSSES = {
    "hinge": (Hinge(1.0), "two", [0.5, 2.0]),
    "tube": (EpsilonInsensitive(0.7), "numbers", None),
    "absolute": (EpsilonInsensitive(0.0), "numbers", None),
    "quantile": (Quantile(0.8), "numbers", None),
}


def value_of(loss, y, raw):
    if isinstance(loss, Hinge):
        return max(0.0, 1.0 - y * raw)
    if isinstance(loss, Quantile):
        return max(loss.q * (y - raw), (loss.q - 1.0) * (y - raw))
    return max(abs(y - raw) - loss.epsilon, 0.0)


def smoothed(loss, y, raw, mu):
    """The least of loss(t) + (raw - t)^2 / (2 mu) over a fine grid, and its t."""
    grid = np.linspace(raw - 1.2 * mu, raw + 1.2 * mu, 4001)
    values = [value_of(loss, y, t) + (raw - t) ** 2 / (2.0 * mu) for t in grid]
    return min(values), grid[int(np.argmin(values))]


@pytest.mark.parametrize("name", LOSSES)
def test_sums_over_shards_are_those_of_a_loop(name, table):
    """The envelope, its gradient, the loss, and what the envelope's slopes prove, row by row."""
    loss, target, codes = LOSSES[name]
    X, y, shards, _, frame = of_shards(table, loss, target, codes)
    u, mu = np.array([0.3, -1.0, 0.4, 0.2, 0.5, 0.7]), 0.4

    def part(rows):
        return kink_sums_at(rows, frame, u, mu, True)

    found = shards.total(part, added)
    weight = np.ones(len(y))
    if codes is not None:
        weight, y = np.where(y == "yes", codes[1], codes[0]), np.where(y == "yes", 1.0, -1.0)
    weight = weight / weight.sum()
    value = exact = missed = 0.0
    gradient = np.zeros(6)
    scaler = frame.problem.scaler
    for x, target_of_row, s in zip(X, y, weight, strict=True):
        z = np.r_[(x - scaler.center) * scaler.inverse_std, 1.0]
        raw = z @ u
        least, t = smoothed(loss, target_of_row, raw, mu)
        r = (raw - t) / mu
        value += s * least
        exact += s * value_of(loss, target_of_row, raw)
        missed += s * (value_of(loss, target_of_row, raw) - (least + 0.5 * mu * r * r))
        gradient += s * r * z
    np.testing.assert_allclose([found.loss, found.exact], [value, exact], rtol=1e-5)
    np.testing.assert_allclose(found.missed, missed, atol=1e-3)
    np.testing.assert_allclose(found.slope, gradient, atol=1e-3)
    assert np.all(np.linalg.eigvalsh(found.product) > 0.0)

    def slope_at(m):
        return shards.total(lambda rows: kink_sums_at(rows, frame, u, m, False), added).slope

    change = (slope_at(mu + 1e-6) - slope_at(mu - 1e-6)) / 2e-6
    np.testing.assert_allclose(change, -found.tilt / mu, atol=1e-5)


@pytest.mark.parametrize("most", [40, 10])
@pytest.mark.parametrize("name", LOSSES)
def test_merging_rows_never_raises_the_objective(name, most, table):
    """It leaves it as it is where no merged row changes its side; the weights are all there."""
    loss, target, codes = LOSSES[name]
    _, y, shards, task, frame = of_shards(table, loss, target, codes)
    random = np.random.default_rng(0)
    u = np.array([0.3, -1.0, 0.4, 0.2, 0.5, 0.7])
    draws = random.normal(size=(6, 16)) * 0.1

    def part(rows):
        return band_at(rows, frame, u, draws, 1e9, most)

    band = shards.total(part, lambda one, other: both_bands(one, other, most))
    assert band.y.shape[0] == most
    few = merged(band, _sharded.sample_task(task))
    assert few.y.shape[0] <= most + 2 * (len(type(loss).pieces(loss, band.y)[0]) + 1)
    np.testing.assert_allclose(few.weight.sum(), 1.0)
    seen = _sharded.sample_task(task)  # of all rows: they are few
    assert seen.y.shape[0] == len(y)
    problem = frame.problem
    for scale in (0.0, 0.01, 0.1, 1.0, 10.0):
        coef, intercept, *_ = _sharded.model_at(problem, u + scale * random.normal(size=6))
        whole, less = objective_of(seen, coef, intercept), objective_of(few, coef, intercept)
        assert less <= whole * (1.0 + 1e-12)
        if scale == 0.0:
            np.testing.assert_allclose(less, whole, rtol=1e-12)


def test_the_objective_is_scikit_learns(table):
    X, y = table["X"], table["numbers"]
    parts = fastgd.QuantileRegressor(alpha=0.02, quantile=0.3, tol=1e-9)
    parts.fit(open_rows((X, y), chunk_rows=500))
    peer = QuantileRegressor(alpha=0.02, quantile=0.3, solver="highs").fit(X, y)

    def objective(model):
        left = y - model.predict(X)
        return np.mean(np.maximum(0.3 * left, -0.7 * left)) + 0.02 * np.abs(model.coef_).sum()

    np.testing.assert_allclose(parts.objective_, objective(parts), rtol=1e-12)
    np.testing.assert_allclose(objective(parts), objective(peer), rtol=1e-8)


def test_dependent_columns_without_a_penalty(table):
    """A merged row's rounding is not taken for a difference between them."""
    X, y = table["X"], table["numbers"]
    X = np.column_stack([X, X[:, :2] @ [1.0, 0.3], X.sum(axis=1), np.ones(N)])
    parts = fastgd.QuantileRegressor(alpha=0.0).fit(open_rows((X, y), chunk_rows=500))
    whole = fastgd.QuantileRegressor(alpha=0.0, tol=1e-9).fit(X[:, :D], y)
    assert parts.objective_ <= whole.objective_ * (1.0 + 1e-4)
    assert parts.objective_ - parts.gap_ <= whole.objective_ * (1.0 + 1e-10)
    assert parts.gap_ <= 1e-4 * parts.objective_


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_nearly_dependent_columns_without_a_penalty(fit_intercept, layout, table):
    """What they differ in, which products of columns do not show, lowers the objective by half."""
    X, little = table["X"], np.random.default_rng(1).normal(size=N)
    y = table["numbers"] + 5.0 * little
    near = layout(np.column_stack([X, X[:, 0] + X[:, 1] + 1e-8 * little]))
    model = fastgd.QuantileRegressor(alpha=0.0, fit_intercept=fit_intercept)
    whole = clone(model).set_params(tol=1e-9).fit(np.column_stack([X, little]), y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = model.fit(open_rows((near, y), chunk_rows=500))
    assert parts.objective_ <= whole.objective_ * (1.0 + 1e-4)
    assert parts.objective_ - parts.gap_ <= whole.objective_ * (1.0 + 1e-6)


def test_independent_columns_are_told_from_the_rows():
    """Of columns far from zero, of wild scales, constant, and of fewer rows than columns."""
    random = np.random.default_rng(0)
    X = random.normal(size=(50, 3)) * [1e-9, 1.0, 1e9]
    far = 1e8 + random.normal(size=50)
    X = np.column_stack([X, X.sum(axis=1), far, np.full(50, 7.0), np.zeros(50)])

    def chosen(X, fit_intercept):
        own = as_rows(X)
        of_rows = own, np.zeros(X.shape[0]), np.ones(X.shape[0]), Quantile(0.5), 0.0, 0.0
        task = Task(*of_rows, X.shape[1])._replace(fit_intercept=fit_intercept)
        return _kinks_shards.independent_of(task)

    for layout in (np.asarray, sp.csr_matrix):
        found = chosen(layout(X), True)
        assert found.size == 4
        assert 4 in found
        assert {5, 6}.isdisjoint(found)
        found = chosen(layout(X), False)
        assert found.size == 5
        assert {4, 5} <= set(found)
        assert chosen(layout(X[:3]), True).size == 2
        assert chosen(layout(X[:1]), True).size == 0
        assert chosen(layout(X[:1]), False).size == 1


def test_columns_that_few_rows_differ_in(table):
    """A sample has none of these rows; they are brought together although they are far off."""
    X, y = table["X"].copy(), table["numbers"].copy()
    rare = np.zeros((N, 2))
    rare[[7, 801, 2000], 0] = 1.0
    rare[1234, 1] = 1.0
    y[[7, 801, 2000, 1234]] += 40.0
    X = np.hstack([X, rare])
    for model in (fastgd.LinearSVR(C=0.1), fastgd.QuantileRegressor(alpha=0.0)):
        parts = clone(model).fit(open_rows((X, y), chunk_rows=500))
        whole = clone(model).set_params(tol=1e-9).fit(X, y)
        assert parts.objective_ <= whole.objective_ * (1.0 + 1e-4)
        assert parts.gap_ <= 1e-4 * parts.objective_


def test_more_columns_than_a_hessian_may_have(table, monkeypatch):
    """The sample's Hessian is the metric."""
    monkeypatch.setattr(_sharded, "NEWTON_PARAMETERS", 3)
    X, y = table["X"], table["numbers"]
    for model in (fastgd.LinearSVR(C=0.1), fastgd.QuantileRegressor(alpha=0.01)):
        parts = clone(model).fit(open_rows((X, y), chunk_rows=500))
        whole = clone(model).set_params(tol=1e-9).fit(X, y)
        assert parts.objective_ <= whole.objective_ * (1.0 + 1e-4)
        assert parts.gap_ <= 1e-4 * parts.objective_


def test_targets_that_are_the_same(table):
    """More rows at a kink than are brought together: proven, or said."""
    X = table["X"]
    y = np.where(np.arange(N) % 3 == 0, X[:, 0] > 1.1, 0.0)
    for quantile in (0.5, 0.3):
        model = fastgd.QuantileRegressor(alpha=0.01, quantile=quantile)
        whole = clone(model).set_params(tol=1e-9).fit(X, y)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            parts = clone(model).fit(open_rows((X, y), chunk_rows=500))
        assert parts.objective_ - parts.gap_ <= whole.objective_ * (1.0 + 1e-12)
        is_proven = parts.gap_ <= parts.tol * parts.objective_
        assert is_proven or any(one.category is ConvergenceWarning for one in said)
        assert parts.objective_ <= whole.objective_ * (1.0 + 1e-4)


def test_too_few_passes_are_told_with_the_gap(table):
    source = open_rows((table["X"], table["numbers"]), chunk_rows=500)
    for model in (fastgd.QuantileRegressor(alpha=0.01), fastgd.LinearSVR()):
        with pytest.warns(ConvergenceWarning, match=r"max_iter=1.*above the optimum"):
            parts = clone(model).set_params(max_iter=1, tol=1e-9).fit(source)
        assert parts.n_iter_ == 1 == len(parts.history_["objective"])
        assert 0.0 < parts.gap_ <= parts.objective_


def test_callbacks_see_each_pass_and_may_stop(table):
    source, seen = open_rows((table["X"], table["numbers"]), chunk_rows=500), []

    def look(view):
        seen.append(view.history["objective"][-1])
        return len(seen) == 2

    model = fastgd.QuantileRegressor(alpha=0.01, tol=1e-11, callbacks=[look]).fit(source)
    assert model.n_iter_ == len(seen) == 2
    assert seen[1] <= seen[0]


def test_a_pass_serves_all_classes(table):
    """The same bits as one class after the other, which callbacks see."""
    source = open_rows((table["X"], table["three"]), chunk_rows=500)
    together = svc(C=0.1).fit(source)
    apart = svc(C=0.1, callbacks=[lambda _: None]).fit(source)
    np.testing.assert_array_equal(together.coef_, apart.coef_)
    np.testing.assert_array_equal(together.n_iter_, apart.n_iter_)


@pytest.mark.parametrize(
    "model", [svc(C=0.1), fastgd.LinearSVR(epsilon=0.2), fastgd.QuantileRegressor(alpha=0.01)]
)
def test_weights_and_empty_partitions_of_dask(model, table):
    da = pytest.importorskip("dask.array")
    X, y = table["X"], table["three" if isinstance(model, fastgd.LinearSVC) else "numbers"]
    weight = np.where(np.arange(N) % 4 == 0, 0.0, np.linspace(0.5, 2.5, N))
    chunks = (600, 0, 700, 1100)
    collections = [
        da.from_array(X, chunks=((2400,), (D,))).rechunk((chunks, D)),
        *(da.from_array(part, chunks=(2400,)).rechunk((chunks,)) for part in (y, weight)),
    ]
    parts = clone(model).fit(*collections)
    kept = weight > 0.0
    whole = clone(model).set_params(tol=1e-9).fit(X[kept], y[kept], weight[kept])
    assert np.all(np.asarray(parts.objective_) <= whole.objective_ * (1.0 + 1e-4))
    assert np.all(parts.gap_ <= 1e-4 * np.asarray(parts.objective_))
    np.testing.assert_allclose(parts.coef_, whole.coef_, atol=0.02 * np.abs(whole.coef_).max())
    histories = parts.history_ if isinstance(parts.history_, list) else [parts.history_]
    assert all(size > 0 for history in histories for size in history["bytes"])


def test_the_model_stays_as_it_was_where_a_fit_fails(table):
    X, y = table["X"], table["numbers"]
    model = fastgd.QuantileRegressor(alpha=0.01).fit(open_rows((X, y), chunk_rows=500))
    before, bad = model.coef_.copy(), X.copy()
    bad[-1, 0] = np.nan
    with pytest.raises(ValueError, match="chunk 4: Input contains NaN"):
        model.fit(open_rows((bad, y), chunk_rows=500))
    np.testing.assert_array_equal(model.coef_, before)


def test_rows_are_brought_together_up_to_the_sample(table, monkeypatch):
    """Whatever the parts are, no more rows than the sample has are in memory at once."""
    sizes, plain = [], _kinks_shards.merged

    def counted(band, sample):
        sizes.append(band.y.shape[0])
        return plain(band, sample)

    monkeypatch.setattr(_kinks_shards, "merged", counted)
    fastgd.QuantileRegressor(alpha=0.01).fit(
        open_rows((table["X"], table["numbers"]), chunk_rows=100)
    )
    assert sizes
    assert max(sizes) <= 300
