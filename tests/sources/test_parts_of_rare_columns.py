"""Data in parts with columns of so few rows that a sample's optimum is far from that of all."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import softmax

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


def pixels(rng, n, n_classes):
    """Counts up to 255 in columns of which few rows of a sample hold the outer ones."""
    X = rng.integers(0, 256, (n, D)) * (rng.random((n, D)) < np.geomspace(3e-3, 0.5, D))
    scores = 0.02 * X @ rng.normal(size=(D, n_classes)) + rng.gumbel(size=(n, n_classes))
    return X.astype(np.float64), scores.argmax(axis=1)


@pytest.fixture
def _no_hessian(monkeypatch):
    """Let a softmax of few columns be what it is with many: too large for a matrix."""
    monkeypatch.setattr(_sharded, "NEWTON_PARAMETERS", 0)
    monkeypatch.setattr(_sharded, "can_have_hessian", lambda _: False)


@pytest.mark.parametrize("tol", [1e-1, 1e-3])
@pytest.mark.parametrize("strength", [1e-3, 1.0])
@pytest.mark.usefixtures("_no_hessian")
def test_columns_that_a_sample_hardly_holds_do_not_stop_softmax(rng, strength, tol):
    """Blocks of the sample's products have next to no curvature there, and steps of them no end."""
    X, y = pixels(rng, 1500, 5)
    whole = fastgd.LogisticRegression(C=strength, tol=1e-8).fit(X, y)
    model = fastgd.LogisticRegression(C=strength, tol=tol, random_state=0, max_iter=600)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(open_rows((X, y), chunk_rows=CUT))
    assert model.objective_ <= whole.objective_ * (1.0 + tol)
    assert model.objective_ - whole.objective_ <= model.gap_ + 1e-12 * whole.objective_


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.usefixtures("_no_hessian")
def test_softmax_in_parts_has_a_bound_that_is_near(rng, is_sparse, monkeypatch):
    """Its intercepts are moved to their best by their own Hessian, which a pass adds up."""
    X, y = pixels(rng, 1500, 4)
    found, add_up = [], _sharded.bend_of_classes_at

    def noted(rows, frame, u):
        found.append((rows, frame, u, add_up(rows, frame, u).values))
        return add_up(rows, frame, u)

    monkeypatch.setattr(_sharded, "bend_of_classes_at", noted)
    given = sp.csr_matrix(X) if is_sparse else X
    model = fastgd.LogisticRegression(C=1e-4, tol=1e-5, random_state=0, max_iter=500)
    model.fit(open_rows((given, y), chunk_rows=CUT))
    best = fastgd.LogisticRegression(C=1e-4, tol=1e-10).fit(X, y)
    assert model.objective_ - best.objective_ <= model.gap_ <= 1e-5 * model.objective_
    rows, frame, u, bend = found[0]
    own = rows.X.toarray() if is_sparse else np.asarray(rows.X)
    scaler, origin = frame.problem.scaler, 0.0 if frame.origin is None else frame.origin
    raw = (own - origin - scaler.center) * scaler.inverse_std @ u[:-1] + u[-1]
    p = softmax(raw, axis=1)
    naive = sum(np.diag(q) - np.outer(q, q) for q in p) / X.shape[0]
    np.testing.assert_allclose(bend, naive, rtol=1e-8, atol=1e-14)
