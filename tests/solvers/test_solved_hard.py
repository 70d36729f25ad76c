"""The solved estimators on data that solvers do not like.

Answers are finite, and as good as they can be or accompanied by a warning.
"""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning

import fastgd
from tests.solvers.test_solved import OFTEN_NARROW, assert_close, fitted_peer, outputs, weak_kwargs
from tests.tables import SOLVED_CASES, over, over_product, raw_of, targets_of

# where a penalty of zero makes another argument needless, which is reported as in scikit-learn
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:With alpha=0:UserWarning",
    "ignore:l1_ratio parameter is only used:UserWarning",
    "ignore:Setting penalty=None will ignore:UserWarning",
)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
CLASSIFIERS = [case for case in SOLVED_CASES if is_classifier(case.make())]
BINARY = [case for case in CLASSIFIERS if case.targets == "binary"]
SEVERAL = [case for case in CLASSIFIERS if case.targets == "classes"]


def plain_data(case, n, d, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    raw = X @ rng.normal(size=d) / np.sqrt(d)
    return X, targets_of(case.targets, raw, rng)


def assert_finite(model, X):
    for part in (model.coef_, model.intercept_, model.objective_, outputs(model, X)):
        assert np.isfinite(part).all()
    assert np.all(model.gap_ >= 0.0)


def fit(model, X, y):
    """Return the fitted model, and whether it said that it could do better."""
    with warnings.catch_warnings(record=True) as reported:
        warnings.simplefilter("always")
        model.fit(X, y)
    return model, any(warning.category is ConvergenceWarning for warning in reported)


def null_value(case, y, **kwargs):
    """Return the objective of the best model without features."""
    return case.make(**kwargs).fit(np.zeros((len(y), 1)), y).objective_


@pytest.mark.parametrize("weak", [False, True], ids=["penalised", "weak"])
@over_product(
    lambda case, dtype, layout: (
        dtype is np.float64 or (case.name.startswith(OFTEN_NARROW) and layout is np.asarray)
    ),
    case=SOLVED_CASES,
    dtype=[np.float32, np.float64],
    layout=[np.asarray, sp.csr_array],
)
def test_bad_columns_give_a_finite_answer(case, dtype, layout, weak):
    X, y = plain_data(case, 60, 4)
    spoiled = [
        np.full(60, 7.3),  # constant
        np.zeros(60),
        X[:, 0],  # duplicated
        1e-20 * X[:, 1],
        1e9 * X[:, 1],
        1e9 + 1e3 * X[:, 2],  # far away
        np.where(np.arange(60) == 5, 1e9, X[:, 3]),  # an outlier
    ]
    X = np.column_stack([X, *spoiled]).astype(dtype)
    kwargs = weak_kwargs(case) if weak else {}
    model, reported = fit(case.make(**kwargs), layout(X), y)
    assert_finite(model, X)
    good = case.make(**kwargs).fit(X[:, :4], y).objective_
    assert reported or np.all(model.objective_ <= good + 1e-3 * np.abs(good))


@over(SOLVED_CASES)
def test_more_columns_than_rows(case):
    X, y = plain_data(case, 25, 120)
    model = case.make().fit(X, y)
    assert_finite(model, X)
    theirs = fitted_peer(case, X, y)
    best = case.value(theirs, X, y)
    assert np.all(model.objective_ <= best + 1e-5 * np.abs(best) + 1e-9)
    ridged = case.kwargs.get("l1_ratio", 0.0) == 0.0 and case.kwargs.get("penalty") != "l1"
    has_l2 = case.kwargs.get("C", np.inf) < np.inf or case.name.startswith("Ridge")
    if ridged and has_l2 and "hinge" not in case.name and not case.name.startswith("LinearSVR"):
        assert_close(outputs(model, X), outputs(theirs, X), 1e-3)


@over(BINARY)
def test_a_class_with_one_sample(case):
    X, _ = plain_data(case, 80, 5)
    y = np.where(np.arange(80) == 17, "rare", "usual")
    model = case.make().fit(X, y)
    assert_finite(model, X)
    theirs = fitted_peer(case, X, y)
    best = case.value(theirs, X, y)
    assert model.objective_ <= best + 1e-6 * abs(best) + 1e-9


@over(SEVERAL)
def test_several_classes_one_with_one_sample(case):
    X, y = plain_data(case, 80, 5)
    y[13] = 99
    model = case.make().fit(X, y)
    assert_finite(model, X)
    assert model.coef_.shape[0] == len(np.unique(y))
    best = case.value(fitted_peer(case, X, y), X, y)
    assert np.all(model.objective_ <= best + 1e-6 * np.abs(best) + 1e-9)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@over(BINARY)
def test_rare_classes(case, class_weight):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(30_000, 4))
    y = X[:, 0] + 0.5 * rng.logistic(size=30_000) > 4.5
    assert 0.0005 < y.mean() < 0.003
    model = case.make(class_weight=class_weight).fit(X, y)
    assert_finite(model, X)
    best = case.make(class_weight=class_weight, tol=1e-8).fit(X, y).objective_
    assert model.objective_ <= best * (1.0 + 2e-4)
    if class_weight:
        assert np.mean(model.predict(X)[y]) > 0.8


@pytest.mark.parametrize("C", [pytest.param(1e4, marks=pytest.mark.full), np.inf])
@dtypes
@over([case for case in CLASSIFIERS if "C" in case.kind().get_params()])
def test_separable_classes(case, dtype, C):
    C = 1e20 if "SV" in case.name and C > 1e4 else C
    X, y = plain_data(case, 60, 80)  # more columns than rows are always separable
    model, reported = fit(case.make(C=C), X.astype(dtype), y)
    assert_finite(model, X.astype(dtype))
    assert model.score(X.astype(dtype), y) == 1.0
    assert reported or np.all(model.objective_ < 1e-3)
    X = np.linspace(-1.0, 1.0, 40)[:, None].astype(dtype)
    y = np.digitize(X[:, 0], [-0.3, 0.3] if case.targets == "classes" else [0.1])
    model = fit(case.make(C=C), X, y)[0]
    assert_finite(model, X)
    assert np.all(model.objective_ <= null_value(case, y, C=C) * (1.0 + 1e-6))
    if case.kind is not fastgd.LinearSVC or case.targets == "binary":  # the middle is no half-line
        assert model.score(X, y) == 1.0


@dtypes
@over(case for case in SOLVED_CASES if not is_classifier(case.make()))
def test_targets_of_any_size(case, dtype):
    X, y = plain_data(case, 100, 3)
    outlier = np.where(np.arange(100) == 50, 1e9 if case.targets != "counts" else 1e6, y)
    for targets in (np.full(100, 2.0), outlier, 1e-12 * y, 1e9 * np.round(y, 3)):
        model = case.make().fit(X.astype(dtype), targets)
        assert_finite(model, X.astype(dtype))


@over(SOLVED_CASES)
def test_few_rows_and_columns(case):
    X, y = plain_data(case, 40, 1)
    for n in (2, 3, 5):
        rows = np.concatenate([np.flatnonzero(y == label)[:1] for label in np.unique(y)])
        rows = np.union1d(rows, np.arange(n)) if is_classifier(case.make()) else np.arange(n)
        model = case.make().fit(X[rows], y[rows])
        assert_finite(model, X)
        assert raw_of(model, X).shape[0] == 40


@pytest.mark.parametrize("solver", ["gd", "auto"])
def test_several_classes_of_rows_with_few_entries(solver):
    """So few that the softmax goes entry by entry, not by products of dense blocks."""
    rng = np.random.default_rng(0)
    X = sp.random(120, 300, density=0.02, format="csr", rng=rng)
    y = rng.integers(0, 3, 120)
    sparse = fastgd.LogisticRegression(solver=solver).fit(X, y)
    dense = fastgd.LogisticRegression().fit(X.toarray(), y)
    np.testing.assert_allclose(sparse.objective_, dense.objective_, rtol=1e-8)
    np.testing.assert_allclose(sparse.coef_, dense.coef_, atol=1e-4)
