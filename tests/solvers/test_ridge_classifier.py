"""RidgeClassifier, as far as the tables of solved estimators do not test it."""

import numpy as np
import pytest
from sklearn import linear_model
from sklearn.datasets import load_digits
from sklearn.preprocessing import LabelBinarizer

import fastgd
from fastgd.linear_model._ridge_classifier import binarized


@pytest.fixture
def X(rng):
    return rng.normal(size=(80, 4)) * [1.0, 10.0, 0.1, 1.0] + 3.0


def assert_same(ours, theirs, X):
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-7, atol=1e-10)
    assert np.shape(ours.intercept_) == np.shape(theirs.intercept_)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), rtol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("class_weight", [None, "balanced", {"b": 3.0}])
@pytest.mark.parametrize("n_classes", [1, 2, 3])
def test_labels(n_classes, class_weight, weighted, X, rng):
    edges = [-8.0, 6.0][: n_classes - 1]
    y = np.array(["a", "b", "c"])[np.digitize(X[:, 1] - 3.0 + rng.normal(size=80), edges)]
    weight = rng.uniform(0.5, 2.0, 80) if weighted else None
    if n_classes == 1 and isinstance(class_weight, dict):
        class_weight = None
    kwargs = {"alpha": 0.7, "class_weight": class_weight}
    ours = fastgd.RidgeClassifier(**kwargs).fit(X, y, weight)
    assert_same(ours, linear_model.RidgeClassifier(**kwargs).fit(X, y, weight), X)


def test_a_table_of_labels(X):
    y = (X[:, :3] > 3.0).astype(int)
    ours, theirs = fastgd.RidgeClassifier().fit(X, y), linear_model.RidgeClassifier().fit(X, y)
    assert_same(ours, theirs, X)
    assert ours.predict(X).shape == y.shape
    assert_same(fastgd.to_sklearn(ours), theirs, X)


def test_an_alpha_for_each_class(X):
    y = np.digitize(X[:, 1], [-2.0, 8.0])
    kwargs = {"alpha": np.array([0.1, 1.0, 10.0])}
    ours = fastgd.RidgeClassifier(**kwargs).fit(X, y)
    assert_same(ours, linear_model.RidgeClassifier(**kwargs).fit(X, y), X)
    with pytest.raises(ValueError, match="Number of targets and number of penalties"):
        fastgd.RidgeClassifier(alpha=[1.0, 2.0]).fit(X, y)


def test_each_class_has_a_proven_gap():
    X, y = load_digits(return_X_y=True)
    model = fastgd.RidgeClassifier(tol=1e-6).fit(X, y)
    assert model.gap_.shape == model.objective_.shape == model.n_iter_.shape == (10,)
    assert np.all(model.gap_ <= 1e-6 * model.objective_)


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_a_class_weight_that_is_none_is_refused(wrong, X):
    y = np.array(["a", "b"])[np.arange(80) % 2]
    with pytest.raises(ValueError, match=r"finite number >= 0 for each class, got .* label 'b'|np"):
        fastgd.RidgeClassifier(class_weight={"b": wrong}).fit(X, y)
    with pytest.raises(ValueError, match="sample_weight is 0 for every row"):
        fastgd.RidgeClassifier(class_weight={"a": 0.0, "b": 0.0}).fit(X, y)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize("n_classes", [1, 2, 3, 6])
def test_whole_numbers_are_encoded_as_by_scikit_learn(n_classes, dtype, rng):
    y = np.append(np.arange(n_classes), rng.integers(0, n_classes, 30)).astype(dtype) * 2 + 1
    encoder, labels, targets = binarized(y)
    theirs = LabelBinarizer(pos_label=1, neg_label=-1)
    np.testing.assert_array_equal(targets, theirs.fit_transform(y))
    np.testing.assert_array_equal(labels, y)
    assert targets.dtype == np.float64
    assert encoder.classes_.dtype == theirs.classes_.dtype
    assert str(vars(encoder)) == str(vars(theirs)), "pickles and predictions hold the same"
