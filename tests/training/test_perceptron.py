"""Perceptron and the passive-aggressive estimators: scikit-learn's coefficients, step for step."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model
from sklearn.base import clone

import fastgd
from tests.tables import over_product

STEPS = {"shuffle": False, "max_iter": 7, "tol": None}
CLASSIFIERS = [
    ("Perceptron", {}),
    ("Perceptron", {"penalty": "l2", "alpha": 0.01, "eta0": 0.3}),
    ("Perceptron", {"class_weight": "balanced", "fit_intercept": False}),
    ("PassiveAggressiveClassifier", {}),
    ("PassiveAggressiveClassifier", {"C": 0.01, "loss": "squared_hinge"}),
    ("PassiveAggressiveClassifier", {"C": np.inf, "average": True}),
    ("PassiveAggressiveClassifier", {"C": 0.1, "class_weight": "balanced"}),
]
REGRESSORS = [
    ("PassiveAggressiveRegressor", {}),
    ("PassiveAggressiveRegressor", {"C": 0.02, "epsilon": 0.5, "average": 5}),
    ("PassiveAggressiveRegressor", {"loss": "squared_epsilon_insensitive", "C": 0.3}),
]


def is_often(case):
    """Tell what other tests compile too: neither averages nor the squared tube."""
    return "average" not in case[1] and case[1].get("loss") != "squared_epsilon_insensitive"


def pair(name, kwargs):
    """Return ours and scikit-learn's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        theirs = getattr(linear_model, name)(**kwargs, **STEPS)
    return getattr(fastgd, name)(**kwargs, **STEPS), theirs


@pytest.fixture
def X(rng):
    return rng.normal(size=(90, 5))


@over_product(
    lambda case, n_classes: is_often(case) and (n_classes == 2 or case[0] == "Perceptron"),
    case=CLASSIFIERS,
    n_classes=[2, 3],
)
def test_classifiers_have_scikit_learns_coefficients(case, n_classes, X, rng):
    name, kwargs = case
    y = np.digitize(X[:, 0] + 0.7 * rng.normal(size=90), [-0.4, 0.5][: n_classes - 1])
    ours, theirs = pair(name, kwargs)
    ours.fit(X, y), theirs.fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-9, atol=1e-12)
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.t_ == theirs.t_
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


@over_product(is_often, case=REGRESSORS)
def test_regressors_have_scikit_learns_coefficients(case, X, rng):
    name, kwargs = case
    y = 2.0 * X[:, 0] - X[:, 3] + 1.0 + rng.normal(size=90)
    ours, theirs = pair(name, kwargs)
    ours.fit(X, y), theirs.fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-9)


@over_product(is_often, case=CLASSIFIERS + REGRESSORS)
def test_rows_in_calls_are_rows_in_a_fit(case, X):
    name, kwargs = case
    y = (X[:, 0] > 0).astype(int)
    kwargs = {name: value for name, value in kwargs.items() if name != "class_weight"}
    model, _ = pair(name, kwargs)
    whole = clone(model).set_params(max_iter=2).fit(X, y)
    first = {} if "Regressor" in name else {"classes": [0, 1]}
    model.partial_fit(X, y, **first).partial_fit(X, y)
    np.testing.assert_allclose(model.coef_, whole.coef_, rtol=1e-12)
    assert model.t_ == whole.t_


@over_product(lambda case: case[0] == "Perceptron", case=CLASSIFIERS + REGRESSORS)
def test_sparse_rows_give_the_same_model(case, X):
    y = (X[:, 0] + X[:, 2] ** 2 > 0.5).astype(int)
    model, _ = pair(*case)
    dense = clone(model).fit(X, y)
    sparse = clone(model).fit(sp.csr_array(X), y)
    np.testing.assert_allclose(sparse.coef_, dense.coef_, rtol=1e-9)


@pytest.mark.full  # the default run has float32 in test_sgd
@over_product(lambda case: case[0] == "Perceptron", case=CLASSIFIERS + REGRESSORS)
def test_float32_gives_about_the_same_model(case, X):
    y = (X[:, 0] + X[:, 2] ** 2 > 0.5).astype(int)
    model, _ = pair(*case)
    dense = clone(model).fit(X, y)
    short = clone(model).fit(X.astype(np.float32), y)
    assert short.coef_.dtype == np.float32
    np.testing.assert_allclose(short.score(X, y), dense.score(X, y), atol=0.1)


def test_parameters_are_scikit_learns_and_a_changed_one_counts(X):
    y = (X[:, 0] > 0).astype(int)
    for name, kwargs in (*CLASSIFIERS, *REGRESSORS):
        ours, theirs = pair(name, kwargs)
        assert ours.get_params().keys() - {"callbacks", "device"} == theirs.get_params().keys()
    weak = fastgd.PassiveAggressiveClassifier(C=1e-4, **STEPS).fit(X, y)
    changed = fastgd.PassiveAggressiveClassifier(**STEPS).set_params(C=1e-4).fit(X, y)
    np.testing.assert_array_equal(weak.coef_, changed.coef_)
    assert "eta0" not in changed.get_params()


def test_a_start_and_tables_of_labels(X):
    y = (X[:, :2] > 0).astype(int)
    model = fastgd.Perceptron(**STEPS).fit(X, y)
    assert model.predict(X).shape == (90, 2)
    again = fastgd.PassiveAggressiveClassifier(C=1e-9, **STEPS)
    again.fit(X, y[:, 0], coef_init=np.ones((1, 5)), intercept_init=[2.0])
    np.testing.assert_allclose(again.coef_, 1.0, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (fastgd.Perceptron(eta0=0.0), "'eta0' parameter of Perceptron"),
        (fastgd.Perceptron(penalty=fastgd.penalties.ElasticNet(0.1, 0.1)), "'penalty' parameter"),
        (fastgd.PassiveAggressiveClassifier(C=0.0), "'C' parameter of PassiveAggressiveClassifier"),
        (fastgd.PassiveAggressiveClassifier(loss="log_loss"), "'loss' parameter"),
        (fastgd.PassiveAggressiveRegressor(epsilon=-1.0), "'epsilon' parameter"),
    ],
    ids=str,
)
def test_what_they_do_not_have_is_refused(model, message, X):
    with pytest.raises(ValueError, match=message):
        model.fit(X, (X[:, 0] > 0).astype(int))
    assert not hasattr(model, "coef_")
