"""The estimators that need no learning rate: scikit-learn's answers, and what a caller relies on.

``tests/tables.py`` has the rows; ``test_solved_words.py`` tests single words, and
``test_solved_hard.py`` data that solvers do not like.
"""

import functools
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import is_classifier

from tests.tables import SOLVED_CASES, over, targets_of

N, D = 120, 5
LAYOUTS = {
    "dense": lambda X: X,
    "narrow": lambda X: X.astype(np.float32),
    "csr": sp.csr_array,
}
layouts = pytest.mark.parametrize("layout", LAYOUTS)
with_and_without_intercept = pytest.mark.parametrize("fit_intercept", [True, False])
HAS_KINKS = ("QuantileRegressor", "LinearSVR", "LinearSVC-binary-C=0.5-loss=hinge")


@functools.cache
def data(case, n=N, d=D, seed=0):
    """Return columns of unlike scales, half of them zeros, targets and weights."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ (np.eye(d) + 0.3) + 0.5
    X *= (rng.random((n, d)) < 0.6) * np.geomspace(0.4, 3.0, d)
    X = X.astype(np.float32).astype(np.float64)  # of each layout the same
    raw = X @ (rng.normal(size=d) / X.std(axis=0))
    y = targets_of(case.targets, (raw - raw.mean()) / raw.std(), rng)
    return X, y, rng.uniform(0.2, 3.0, n)


@functools.cache
def ours_of(case, layout, fit_intercept, weighted):
    """Return our fitted model."""
    X, y, weight = data(case)
    model = case.make(fit_intercept=fit_intercept)
    return model.fit(LAYOUTS[layout](X), y, weight if weighted else None)


@functools.cache
def twin_of(case, fit_intercept, weighted):
    """Return scikit-learn's fitted model."""
    X, y, weight = data(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return case.make_twin(fit_intercept=fit_intercept).fit(X, y, weight if weighted else None)


def outputs(model, X):
    """Return what a model predicts before it decides."""
    return model.decision_function(X) if is_classifier(model) else model.predict(X)


def assert_close(actual, wanted, tolerance=1e-4):
    """Compare predictions by the largest one."""
    assert np.shape(actual) == np.shape(wanted)
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@with_and_without_intercept
@layouts
@over(SOLVED_CASES)
def test_predictions_are_scikit_learns(case, layout, fit_intercept, weighted):
    X = data(case)[0]
    ours, theirs = (
        ours_of(case, layout, fit_intercept, weighted),
        twin_of(case, fit_intercept, weighted),
    )
    assert_close(outputs(ours, X), outputs(theirs, X))
    assert ours.coef_.shape == theirs.coef_.shape
    assert np.shape(ours.intercept_) == np.shape(theirs.intercept_)
    assert ours.coef_.dtype == (np.float32 if layout == "narrow" else np.float64)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@with_and_without_intercept
@layouts
@over(SOLVED_CASES)
def test_objective_is_the_documented_one_and_no_worse(case, layout, fit_intercept, weighted):
    X, y, weight = data(case)
    about = (X, y, weight if weighted else None)
    ours = ours_of(case, layout, fit_intercept, weighted)
    theirs = twin_of(case, fit_intercept, weighted)
    documented = case.value(ours, *about, fit_intercept=fit_intercept)
    rounding = 1e-5 if layout == "narrow" else 1e-9
    np.testing.assert_allclose(ours.objective_, documented, rtol=rounding)
    best = case.value(theirs, *about, fit_intercept=fit_intercept)
    assert np.all(ours.objective_ <= best + 1e-6 * np.abs(best))
    assert np.all(ours.gap_ >= -rounding * np.abs(best))
