"""Data in parts with columns of so few rows that a sample's optimum is far from that of all."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

import fastgd
from fastgd._solvers import _sharded
from fastgd.datasets import open as open_rows

N, D, CUT, C = 4000, 40, 1000, 1e6


@pytest.fixture(autouse=True)
def _small_samples(monkeypatch):
    monkeypatch.setattr(_sharded, "SAMPLE_ROWS", 400)
    monkeypatch.setattr(_sharded, "ROOM", 0)


def rows_of(seed, n_classes):
    random = np.random.default_rng(seed)
    X = (random.random((N, D)) < np.geomspace(1e-3, 0.3, D)) * random.lognormal(size=(N, D))
    scores = X @ random.normal(size=(D, 3)) + random.gumbel(size=(N, 3))
    return X, np.minimum(scores.argmax(axis=1), n_classes - 1)


@pytest.mark.parametrize("n_newton", [600, pytest.param(0, marks=pytest.mark.full)])
@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("seed", [7, 11])
def test_a_sample_that_separates_classes_leads_to_the_optimum(
    seed, n_classes, is_sparse, n_newton, monkeypatch
):
    monkeypatch.setattr(_sharded, "NEWTON_PARAMETERS", n_newton)
    X, y = rows_of(seed, n_classes)
    X = sp.csr_matrix(X) if is_sparse else X
    whole = fastgd.LogisticRegression(C=C, tol=1e-8).fit(X, y)
    model = fastgd.LogisticRegression(C=C, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.fit(open_rows((X, y), chunk_rows=CUT))
    assert found.objective_ <= whole.objective_ * (1.0 + 1e-4)
    assert len(found.history_["objective"]) == found.n_iter_[0]


@pytest.mark.parametrize("seed", [7, 11])
def test_folds_of_such_samples_have_the_scores_of_all_rows_at_once(seed):
    X, y = rows_of(seed, 2)
    model = fastgd.LogisticRegressionCV(
        Cs=[1.0, C],
        cv=3,
        tol=1e-7,
        l1_ratios=(0.0,),
        scoring="accuracy",
        use_legacy_attributes=False,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = model.fit(open_rows((X, y), chunk_rows=CUT)).scores_
    np.testing.assert_allclose(scores, model.fit(X, y).scores_, atol=2e-3)
