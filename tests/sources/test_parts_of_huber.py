"""HuberRegressor on data sets in parts: coefficients and scale of all rows, and the proof."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._data.chunks import ArrayChunks
from fastgd._data.shards import ChunkShards, added
from fastgd._solvers import _sharded
from fastgd._solvers._huber_shards import covariance_at, huber_sums_at
from fastgd.datasets import open as open_rows
from fastgd.kernels.losses import Huber

N, D = 2400, 5


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(0)
    X = random.normal(size=(N, D)) * np.geomspace(0.01, 100.0, D)
    X[:, 1] += 1e5  # far from zero
    y = (X - X.mean(axis=0)) / X.std(axis=0) @ random.normal(size=D) + random.normal(size=N) + 50.0
    y += np.where(random.random(N) < 0.1, 30.0 * random.standard_cauchy(N), 0.0)
    order = np.argsort(y)  # outliers lie in the first parts and the last
    return X[order], y[order]


@pytest.fixture(autouse=True)
def _small_samples(monkeypatch):
    monkeypatch.setattr(_sharded, "SAMPLE_ROWS", 300)
    monkeypatch.setattr(_sharded, "ROOM", 0)


MODELS = {
    "plain": fastgd.HuberRegressor(),
    "a penalty": fastgd.HuberRegressor(alpha=100.0),
    "no penalty": fastgd.HuberRegressor(alpha=0.0),
    "a tiny penalty": fastgd.HuberRegressor(alpha=1e-12),
    "no intercept": fastgd.HuberRegressor(fit_intercept=False, epsilon=1.1),
    "wide": fastgd.HuberRegressor(epsilon=5.0),
    "exact": fastgd.HuberRegressor(tol=1e-9),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_optimum_of_all_rows(name, rows):
    X, y = rows
    whole = clone(MODELS[name]).set_params(tol=1e-10).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = clone(MODELS[name]).fit(open_rows((X, y), chunk_rows=500))
    assert parts.objective_ <= whole.objective_ * (1.0 + parts.tol)
    assert parts.objective_ - parts.gap_ <= whole.objective_ * (1.0 + 1e-12)
    assert parts.gap_ <= parts.tol * parts.objective_
    np.testing.assert_allclose(parts.scale_, whole.scale_, rtol=1e-4)
    np.testing.assert_allclose(parts.coef_, whole.coef_, rtol=1e-3, atol=1e-6)
    assert np.mean(parts.outliers_ != whole.outliers_) <= 1e-3
    assert len(parts.history_["objective"]) == parts.n_iter_ <= 12
    np.testing.assert_array_equal(
        parts.predict(open_rows((X, y), chunk_rows=700)), parts.predict(X)
    )


@pytest.mark.parametrize("epsilon", [1.35, 4.0])
def test_sums_over_shards_are_those_of_a_loop(epsilon, rows):
    """Objective, gradient and Hessian of the joint problem, row by row."""
    X, y = rows[0][:60] - [0.0, 1e5, 0.0, 0.0, 0.0], rows[1][:60]
    shards = ChunkShards(ArrayChunks(X, y, 25))
    seen, kind = _sharded.look(shards, classifies=False, loss=Huber(epsilon), seed=0)
    of_rows = shards, seen, kind, np.empty(0), np.empty(0), seen.mass
    frame = _sharded.frame_of(_sharded.ShardedTask(*of_rows, Huber(epsilon), 0.0, 0.0))
    u = np.array([0.3, -1.0, 0.0, 2.0, 0.5, 1.7, 45.0])  # five coefficients, scale, intercept

    def part(rows):
        return huber_sums_at(rows, frame, u, epsilon, True)

    found = shards.total(part, added)
    loss, gradient, hessian, scale = 0.0, np.zeros(7), np.zeros((7, 7)), u[5]
    for x, target in zip((X - X.mean(axis=0)) / X.std(axis=0), y, strict=True):
        z = np.r_[x, 0.0, 1.0]
        t = (target - (x @ u[:5] + u[6])) / scale
        c = min(max(t, -epsilon), epsilon)
        loss += scale * c * (2.0 * t - c) / 60
        z[5] = 0.5 * c * c / c if c else 0.0  # d loss / d scale is -c^2
        gradient -= 2.0 * c * z / 60
        if abs(t) < epsilon:
            z[5] = t
            hessian += 2.0 / scale * np.outer(z, z) / 60
    np.testing.assert_allclose(found.loss, loss, rtol=1e-12)
    np.testing.assert_allclose(found.slope, gradient, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.product, hessian, rtol=1e-9, atol=1e-12)
    products = shards.total(lambda rows: covariance_at(rows, frame), added).product
    Z = np.c_[(X - X.mean(axis=0)) / X.std(axis=0), np.ones(60)]
    np.testing.assert_allclose(products, Z.T @ Z / 60, atol=1e-12)


@pytest.mark.parametrize("tol", [1.0, 1e-1, 1e-3])
@pytest.mark.parametrize("alpha", [0.0, 1e-4, 100.0])
def test_the_gap_bounds_what_is_left_wherever_a_fit_ends(alpha, tol, rows):
    X, y = rows
    model = fastgd.HuberRegressor(alpha=alpha, tol=tol, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        parts = model.fit(open_rows((X, y), chunk_rows=500))
    best = fastgd.HuberRegressor(alpha=alpha, tol=1e-10).fit(X, y).objective_
    assert 0.0 <= parts.objective_ * (1.0 + 1e-12) - best <= parts.gap_ + 1e-12 * best
    assert parts.gap_ <= parts.objective_


def test_weights_of_collections(rows):
    da = pytest.importorskip("dask.array")
    X, y = rows
    weight = np.random.default_rng(1).integers(0, 3, N).astype(float)
    collections = [da.from_array(part, chunks=(500, -1)[: part.ndim]) for part in (X, y, weight)]
    parts = fastgd.HuberRegressor().fit(*collections)
    whole = fastgd.HuberRegressor(tol=1e-10).fit(X, y, weight)
    assert parts.objective_ <= whole.objective_ * (1.0 + 1e-5)
    assert parts.gap_ <= 1e-5 * parts.objective_
    np.testing.assert_array_equal(parts.predict(collections[0]).compute(), parts.predict(X))
    np.testing.assert_array_equal(parts.outliers_, whole.outliers_)


@pytest.mark.full
@pytest.mark.parametrize("layout", ["float32", "csr"])
def test_layouts(layout, rows):
    X, y = rows[0] - [0.0, 1e5, 0.0, 0.0, 0.0], rows[1]
    X = X.astype(np.float32) if layout == "float32" else sp.csr_matrix(X)
    parts = fastgd.HuberRegressor().fit(open_rows((X, y), chunk_rows=500))
    whole = fastgd.HuberRegressor(tol=1e-10).fit(X, y)
    np.testing.assert_allclose(parts.objective_, whole.objective_, rtol=1e-5)
    np.testing.assert_allclose(parts.scale_, whole.scale_, rtol=1e-3)
    assert parts.gap_ <= 1e-5 * parts.objective_


@pytest.mark.full
def test_many_columns_have_the_metric_of_the_sample():
    random = np.random.default_rng(1)
    X = sp.random_array((3000, 700), density=0.02, format="csr", rng=random)
    y = X @ random.normal(size=700) + 0.1 * random.standard_cauchy(3000)
    parts = fastgd.HuberRegressor(alpha=1.0).fit(open_rows((X, y), chunk_rows=400))
    whole = fastgd.HuberRegressor(alpha=1.0, tol=1e-9).fit(X, y)
    assert parts.objective_ <= whole.objective_ * (1.0 + 1e-5)
    assert parts.objective_ - parts.gap_ <= whole.objective_ * (1.0 + 1e-9)


def test_few_rows_are_solved_at_once(rows):
    X, y = (part[::10] for part in rows)
    parts = fastgd.HuberRegressor().fit(open_rows((X, y), chunk_rows=50))
    whole = fastgd.HuberRegressor().fit(X, y)
    np.testing.assert_allclose(parts.coef_, whole.coef_, rtol=1e-6)
    np.testing.assert_array_equal(parts.outliers_, whole.outliers_)


def test_callbacks_see_each_pass(rows):
    seen = []
    model = fastgd.HuberRegressor(callbacks=[lambda fit: seen.append(fit.coef_)])
    model.fit(open_rows(rows, chunk_rows=500))
    assert len(seen) == model.n_iter_
    np.testing.assert_array_equal(seen[-1], model.coef_)


def test_what_is_refused_leaves_the_model_as_it_was(rows):
    X, y = rows
    model = fastgd.HuberRegressor().fit(X, y)
    before, outliers = model.coef_.copy(), model.outliers_
    late = np.r_[y[:-1], np.nan]
    with pytest.raises(ValueError, match=r"chunk 4: .*NaN"):
        model.fit(open_rows((X, late), chunk_rows=500))
    with pytest.raises(ValueError, match="epsilon=1 needs all rows in memory"):
        fastgd.HuberRegressor(epsilon=1.0).fit(open_rows(rows))
    with pytest.raises(ValueError, match="warm_start=True goes with rows in memory"):
        fastgd.HuberRegressor(warm_start=True).fit(open_rows(rows))
    np.testing.assert_array_equal(model.coef_, before)
    assert model.outliers_ is outliers


def test_a_scale_that_vanishes(rows):
    """Where most targets are the same the scale is 0; the objective is right all the same."""
    X, y = rows[0], np.where(np.arange(N) % 3 > 0, 0.0, 1.0)
    whole = fastgd.HuberRegressor().fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        parts = fastgd.HuberRegressor().fit(open_rows((X, y), chunk_rows=500))
    assert parts.objective_ <= whole.objective_ * (1.0 + 1e-5)
    assert parts.objective_ - parts.gap_ <= whole.objective_
    assert parts.n_iter_ <= 60
    exact = X @ np.ones(D)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        parts = fastgd.HuberRegressor(alpha=0.0).fit(open_rows((X, exact), chunk_rows=500))
    np.testing.assert_allclose(parts.predict(X), exact, rtol=1e-6)


@pytest.mark.full
def test_what_is_called_converged_is(monkeypatch):
    """At epsilon near 1 Newton's steps may end too early; a fit warns then."""
    n_converged = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        monkeypatch.setattr(_sharded, "SAMPLE_ROWS", int(random.integers(5, 60)))
        n, d = int(random.integers(100, 500)), int(random.integers(1, 8))
        X = random.normal(size=(n, d))
        y = X @ random.normal(size=d) + random.normal(size=n)
        y += 20.0 * (random.random(n) < 0.2) * random.standard_cauchy(n)
        model = fastgd.HuberRegressor(epsilon=1.05, alpha=float(random.choice([0.0, 1e-4, 10.0])))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            parts = clone(model).fit(open_rows((X, y), chunk_rows=100))
        best = clone(model).set_params(tol=1e-8).fit(X, y).objective_
        assert told or parts.objective_ <= best * (1.0 + 1e-5), seed
        assert parts.objective_ - parts.gap_ <= best * (1.0 + 1e-9), seed
        n_converged += not told
    assert n_converged >= 20


@pytest.mark.parametrize("seed", [19, 25])
def test_slopes_without_curvature_are_no_optimum(seed, monkeypatch):
    """All rows are beyond epsilon where a descent stands: the Hessian is zero, the slope is not."""
    monkeypatch.setattr(_sharded, "SAMPLE_ROWS", 20)
    random = np.random.default_rng(seed)
    X = random.normal(size=(200, 4))
    y = X @ random.normal(size=4) + 0.5 * random.standard_t(2, size=200) + 2.0
    order = np.argsort(y)
    X, y = X[order], y[order]
    model = fastgd.HuberRegressor(epsilon=1.01, alpha=0.0, tol=1e-6)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parts = clone(model).fit(open_rows((X, y), chunk_rows=33))
    whole = clone(model).set_params(tol=1e-10).fit(X, y)
    is_near = parts.objective_ <= whole.objective_ * (1.0 + parts.tol)
    assert is_near or any(issubclass(w.category, ConvergenceWarning) for w in caught)
    assert len(parts.history_["objective"]) > 2  # it goes on


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_others", [0, 1, 5])
def test_a_sample_without_residuals(n_others):
    """All targets of the sample are 0, and its scale is: that of all rows is not, or hardly."""
    X = np.random.default_rng(0).normal(size=(400, 3))
    y = np.zeros(400)
    y[400 - n_others :] = 1.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sharded, "SAMPLE_ROWS", 50)
        parts = fastgd.HuberRegressor().fit(open_rows((X, y), chunk_rows=60))
    whole = fastgd.HuberRegressor().fit(X, y)
    assert parts.objective_ == pytest.approx(whole.objective_, rel=1e-12, abs=1e-14)
    np.testing.assert_allclose(parts.coef_, 0.0, atol=1e-14)
    assert parts.outliers_.sum() == n_others
