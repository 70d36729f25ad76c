"""Data in parts that would take many passes are brought together where memory has room."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._solvers import _sharded
from fastgd.datasets import open as open_rows

N, D, CUT = 240, 700, 50


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(0)
    X = random.normal(size=(N, D))
    X[:, D // 2 :] += X[:, : D // 2]
    score = X[:, :5] @ random.normal(size=5)
    numbers = score + random.normal(size=N)
    return X, numbers, np.array(["no", "yes"])[(numbers > 0).astype(int)]


@pytest.fixture(autouse=True)
def _small_samples(monkeypatch):
    monkeypatch.setattr(_sharded, "SAMPLE_ROWS", 60)


MODELS = {
    "logistic": (fastgd.LogisticRegression(C=100.0), True),
    "l1": (fastgd.LogisticRegression(C=0.05, l1_ratio=1.0), True),
    "liblinear": (fastgd.LogisticRegression(solver="liblinear", intercept_scaling=2.0), True),
    "ridge": (fastgd.Ridge(10.0), False),
    "lasso": (fastgd.Lasso(0.1), False),
    "classes": (fastgd.RidgeClassifier(), True),
}


@pytest.mark.parametrize("is_sparse", [False, pytest.param(True, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", MODELS)
def test_fewer_rows_than_columns_are_fitted_in_memory(name, is_sparse, table, passes):
    X, numbers, labels = table
    model, classifies = MODELS[name]
    y = labels if classifies else numbers
    X = sp.csr_matrix(np.where(np.abs(X) > 1.0, X, 0.0)) if is_sparse else X
    whole = clone(model).set_params(tol=1e-9).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = clone(model).fit(open_rows((X, y), chunk_rows=CUT))
    assert passes.n_passes == 2
    assert np.all(found.objective_ <= np.asarray(whole.objective_) * (1.0 + 1e-4))
    assert np.all(found.gap_ <= 1e-3 * np.asarray(found.objective_))


def test_memory_that_the_user_names_is_kept(table, passes, tmp_path):
    X, _, labels = table
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "rows.parquet"
    pandas.DataFrame(X).assign(y=labels).rename(columns=str).to_parquet(path)
    model = fastgd.LogisticRegression(C=100.0)
    few = clone(model).set_params(max_iter=5)  # hundreds of passes would show no more
    with pytest.warns(ConvergenceWarning):
        few.fit(open_rows(path, target="y", chunk_rows=CUT, memory=1_000_000))
    assert passes.n_passes > 3
    passes.n_passes = 0
    model.fit(open_rows(path, target="y", chunk_rows=CUT, memory="10GB"))
    assert passes.n_passes == 2


def test_a_sample_of_more_rows_where_not_all_have_room(table, monkeypatch):
    X, numbers, _ = table
    X, y = np.vstack([X] * 10) + 0.01, np.concatenate([numbers] * 10)
    y = y + np.random.default_rng(1).normal(size=y.shape[0])
    monkeypatch.setattr(_sharded, "ROOM", 8 * D * 900)
    seen = []

    def metric_of(self, sample, u, own=_sharded.Descent._metric_of):
        seen.append(sample.y.shape[0])
        return own(self, sample, u)

    monkeypatch.setattr(_sharded.Descent, "_metric_of", metric_of)
    model = fastgd.LogisticRegression(C=0.01)
    found = model.fit(open_rows((X, y > 0), chunk_rows=333))
    assert 750 < seen[0] < 1050
    whole = clone(model).set_params(tol=1e-9).fit(X, y > 0)
    assert found.objective_ <= whole.objective_ * (1.0 + 1e-4)


def test_kinks_that_all_fit_into_memory(table, passes):
    X, numbers, labels = table
    X = X[:, :20]
    for model, y in (
        (fastgd.LinearSVC(loss="hinge"), labels),
        (fastgd.LinearSVC(loss="hinge"), np.digitize(numbers, [-1.0, 1.0])),
        (fastgd.QuantileRegressor(alpha=0.01), numbers),
    ):
        passes.n_passes = 0
        whole = clone(model).set_params(tol=1e-8).fit(X, y)
        found = model.fit(open_rows((X, y), chunk_rows=CUT))
        assert passes.n_passes == 2
        assert np.all(found.objective_ <= np.asarray(whole.objective_) * (1.0 + 1e-4))


@pytest.mark.parametrize("C", [1e2, 1e4])
def test_few_rows_without_room_are_within_tol_or_warn(C, table, monkeypatch):
    """One pass that promises next to nothing, of a poor metric, is no optimum."""
    monkeypatch.setattr(_sharded, "ROOM", 0)
    X, _, labels = table
    best = fastgd.LogisticRegression(C=C, tol=1e-9).fit(X, labels).objective_
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = fastgd.LogisticRegression(C=C, max_iter=500).fit(
            open_rows((X, labels), chunk_rows=CUT)
        )
    assert len(found.history_["objective"]) == found.n_iter_[0]
    if not caught:
        assert found.objective_ <= best * (1.0 + 1e-4)
        assert found.gap_ <= 1e-3 * best
    if C == 1e2:  # a proof is tried on the way, and found
        assert not caught


@pytest.mark.parametrize(("alpha", "seed"), [(0.1, 0), (0.3, 0), (0.1, 1)])
def test_squares_that_only_an_estimate_says_are_least_are_within_tol(alpha, seed, monkeypatch):
    """Estimates of these descents are seven times too small where no bound confirms them."""
    monkeypatch.setattr(_sharded, "ROOM", 0)
    monkeypatch.setattr(_sharded, "NEWTON_OF_THIN", 0)
    random = np.random.default_rng(seed)
    X = random.normal(size=(N, D))
    y = X[:, :5] @ random.normal(size=5) + random.normal(size=N)
    centred, target = X - X.mean(axis=0), y - y.mean()
    dual = np.linalg.solve(centred @ centred.T + alpha * np.eye(N), target)
    best = alpha * float(target @ dual) / (2 * N)  # of the dual: alpha y'(XX' + alpha I)^-1 y / 2n
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fastgd.Ridge(alpha).fit(open_rows((X, y), chunk_rows=CUT))
    assert best * (1.0 - 1e-9) <= found.objective_ <= best * (1.0 + 1e-4)
    assert found.objective_ - found.gap_ <= best * (1.0 + 1e-9)
