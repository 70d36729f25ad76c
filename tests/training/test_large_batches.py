"""Large batches of linear models, in shards that threads share: the same bits, whatever n_jobs."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

import fastgd
from fastgd._engines import linear, shards
from fastgd._engines.shards import MOST, n_shards_of_rows
from fastgd._runtime.threads import threads
from fastgd.optimizers import Muon
from tests.tables import over_product

PARAMS = {
    "batch_size": 50,
    "max_iter": 3,
    "tol": None,
    "learning_rate": "constant",
    "random_state": 0,
}


@pytest.fixture(scope="module")
def rows():
    """Rows of six columns, half of whose entries are zero, and three classes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(230, 6)) * rng.integers(0, 2, (230, 6))
    return X, np.digitize(X[:, 0] + rng.normal(size=230), [-0.5, 0.5])


@pytest.fixture
def small_shards(monkeypatch):
    """Have batches of any size cut into shards, and shared."""
    for name in ("LEAST_ENTRIES", "LEAST_ROWS", "LEAST_STORED"):
        monkeypatch.setattr(shards, name, 1)
    monkeypatch.setattr(shards, "STORED_OF_COLUMN", 0)
    monkeypatch.setattr(linear, "LEAST_SHARED", 0)


def two_classes(y):
    return y > 0


def as_they_are(y):
    return y


MODELS = {
    "dense": (fastgd.SGDClassifier("log_loss", **PARAMS), np.asarray, two_classes),
    "softmax": (fastgd.SGDClassifier("log_loss", **PARAMS), sp.csr_array, as_they_are),
    "one-vs-rest": (fastgd.SGDClassifier("hinge", **PARAMS), np.asarray, as_they_are),
    "regression": (
        fastgd.SGDRegressor(penalty="l1", optimizer="adam", **PARAMS),
        sp.csr_array,
        as_they_are,
    ),
    "averaged": (
        fastgd.SGDClassifier("log_loss", average=True, clip_norm=0.1, **PARAMS),
        sp.csr_array,
        two_classes,
    ),
    "whole": (
        fastgd.SGDClassifier("log_loss", penalty=None, optimizer=Muon(), **PARAMS),
        np.asarray,
        as_they_are,
    ),
}


def fitted(name, rows, n_threads, **changes):
    model, layout, targets = MODELS[name]
    with threads(n_threads):
        return clone(model).set_params(**changes).fit(layout(rows[0]), targets(rows[1]))


@pytest.mark.usefixtures("small_shards")
@over_product(lambda name: name in ("dense", "softmax"), name=MODELS)
def test_bits_do_not_depend_on_threads(name, rows):
    models = [fitted(name, rows, n) for n in (1, 2, 3)]
    for model in models[1:]:
        assert model.coef_.tobytes() == models[0].coef_.tobytes()
        assert model.intercept_.tobytes() == models[0].intercept_.tobytes()
        assert model.history_["objective"] == models[0].history_["objective"]


@over_product(lambda name: name in ("dense", "softmax"), name=MODELS)
def test_shards_add_up_to_the_batch(name, rows, request):
    whole = fitted(name, rows, 1)
    request.getfixturevalue("small_shards")
    cut = fitted(name, rows, 2)
    np.testing.assert_allclose(cut.coef_, whole.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(cut.intercept_, whole.intercept_, rtol=1e-8, atol=1e-10)
    # of waiting coefficients the penalty is counted when they are read
    objectives = [model.history_["objective"] for model in (cut, whole)]
    np.testing.assert_allclose(*objectives, rtol=1e-3 if name == "regression" else 1e-9)
    assert cut.coef_.tobytes() != whole.coef_.tobytes()  # they were cut


@pytest.mark.usefixtures("small_shards")
def test_a_step_is_that_of_the_mean_gradient(rows):
    X, y = rows[0], (rows[1] > 0).astype(float)
    weight = 1.0 + np.arange(230) % 3
    model = clone(MODELS["dense"][0]).set_params(
        batch_size="full", max_iter=1, eta0=0.5, penalty=None, n_jobs=2
    )
    model.fit(X, y, sample_weight=weight)
    slopes = (1.0 / 2.0 - y) * weight / weight.sum()
    np.testing.assert_allclose(model.coef_[0], -0.5 * X.T @ slopes, rtol=1e-12)
    np.testing.assert_allclose(model.intercept_, [-0.5 * slopes.sum()], rtol=1e-12)


def of_sizes(n_features, **facts):
    return SimpleNamespace(n_features=n_features, **{"is_sparse": False, **facts})


def test_what_is_cut_goes_by_sizes_alone():
    sizes = (1, 64, 1024, 4096, 65_536, 1_000_000)
    narrow = of_sizes(30)
    assert [n_shards_of_rows(narrow, n) for n in sizes] == [1, 1, 1, 2, MOST, MOST]
    wide = of_sizes(784)  # 256 rows make up for the adding of a gradient
    assert [n_shards_of_rows(wide, n) for n in sizes] == [1, 1, 4, MOST, MOST, MOST]
    table = of_sizes(500, is_sparse=True, entries_of_row=12.0)
    assert [n_shards_of_rows(table, n) for n in sizes] == [1, 1, 1, 4, MOST, MOST]
    text = of_sizes(1 << 18, is_sparse=True, entries_of_row=80.0)  # a gradient of all columns
    assert [n_shards_of_rows(text, n) for n in sizes] == [1, 1, 1, 1, 4, MOST]
    unknown = of_sizes(500, is_sparse=True)
    assert n_shards_of_rows(unknown, 1_000_000) == 1


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("worker", [0, 1])
def test_a_thread_that_fails_stops_the_others(worker, rows, monkeypatch):
    steps = linear.sgd.sgd_batches

    def fails(rows, samples, rule, plan, memory, store):
        if memory.team.worker == worker:
            raise RuntimeError("out of order")
        steps(rows, samples, rule, plan, memory, store)

    X, y = rows[0], rows[1] > 0
    model = clone(MODELS["dense"][0]).set_params(n_jobs=2).fit(X, y)
    before = model.coef_.copy()
    monkeypatch.setattr(linear.sgd, "sgd_batches", fails)
    with pytest.raises(RuntimeError, match="out of order"):
        model.partial_fit(X, y)
    np.testing.assert_array_equal(model.coef_, before)


def test_no_thread_at_all_is_refused(rows):
    model = fastgd.SGDClassifier(n_jobs=0, batch_size=8)
    with pytest.raises(ValueError, match="n_jobs must be None, a positive number or a negative"):
        model.fit(rows[0], rows[1] > 0)
    assert not hasattr(model, "coef_")
