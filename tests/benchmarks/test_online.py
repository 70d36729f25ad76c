"""Passes without a rate, beside the best of a grid."""

import os
from unittest import mock

import numpy as np
import pytest
import scipy.sparse as sp

with mock.patch.dict(os.environ):  # the package holds benchmarks to one thread; not the tests
    from benchmarks import online


@pytest.mark.nojit
@pytest.mark.parametrize("name", ["made counts", "made drift", "made rare class"])
def test_sets_that_are_made_have_two_classes(name, monkeypatch):
    monkeypatch.setattr(online, "MOST_ROWS", 400)
    rows = online.drawn(name, None)
    assert (rows.X.shape[0], rows.X_held.shape[0]) == (len(rows.y), len(rows.y_held)) == (360, 40)
    assert set(np.unique(rows.y)) == {0, 1}


@pytest.mark.nojit
@pytest.mark.parametrize("layout", [np.asarray, sp.csr_matrix])
def test_columns_are_scaled_by_the_rows_that_are_learned(layout, rng):
    X = rng.normal(size=(50, 3)) * [1e-3, 1.0, 1e4]
    X[:, 1] = 0.0
    rows = online.Split(layout(X[:40]), np.ones(40), layout(X[40:]), np.ones(10))
    scaled = online.scaled(rows)
    is_sparse = sp.issparse(scaled.X)
    unit = abs(X[:40]).max(0) if is_sparse else X[:40].std(0)
    shift = 0.0 if is_sparse else X[:40].mean(0)
    unit[1] = 1.0
    for found, raw in ((scaled.X, X[:40]), (scaled.X_held, X[40:])):
        np.testing.assert_allclose(found @ np.eye(3), (raw - shift) / unit)


@pytest.mark.nojit
def test_the_grid_s_best_is_each_pass_s_own_and_no_explosion(monkeypatch):
    found = {"sgd": [0.5, 0.4, 0.3], "adagrad": [0.4, 0.4, 0.4], "adam": [np.inf, np.nan, np.inf]}
    monkeypatch.setattr(online, "losses_of", lambda _, optimizer, **__: found[optimizer])
    np.testing.assert_array_equal(online.best_of_grid(None), [0.4, 0.4, 0.3])


@pytest.mark.nojit
def test_features_are_written_as_vowpal_wabbit_reads_them():
    X = np.array([[0.0, 1.5, 0.0], [2.0, 0.0, -1e-9]])
    expected = [" | 1:1.5", " | 0:2 2:-1e-09"]
    assert list(online.lines_of(X)) == list(online.lines_of(sp.csr_matrix(X))) == expected
