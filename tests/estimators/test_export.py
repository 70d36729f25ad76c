"""to_sklearn: scikit-learn's own estimators, with the same predictions."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastgd
from fastgd.losses import Tweedie
from tests.tables import ESTIMATOR_CASES, over_product

QUICK = {"max_iter": 20, "tol": None, "random_state": 0}


@pytest.fixture
def X(rng):
    return rng.normal(size=(80, 4))


def targets(estimator, X):
    raw = X @ [1.0, -2.0, 0.5, 0.0]
    if is_classifier(estimator):
        return np.digitize(raw, [-1.0, 1.0])
    return np.exp(0.3 * raw)


def assert_same_predictions(theirs, model, X):
    assert type(theirs).__module__.startswith("sklearn.")
    np.testing.assert_allclose(theirs.predict(X), model.predict(X), rtol=1e-12)
    for method in ("predict_proba", "decision_function", "score_samples"):
        if hasattr(model, method) and hasattr(theirs, method):
            expected = getattr(model, method)(X)
            np.testing.assert_allclose(getattr(theirs, method)(X), expected, rtol=1e-9, atol=1e-12)


@over_product(lambda case, sparse: not sparse, case=ESTIMATOR_CASES, sparse=[False, True])  # noqa: ARG005
def test_each_estimator_has_an_equivalent(case, sparse, X):
    model = case.make().fit(X, case.targets(targets(case.make(), X)))
    data = sp.csr_array(X) if sparse else X
    assert_same_predictions(fastgd.to_sklearn(model), model, data)


@over_product(
    lambda loss, multi_class, n_classes: (  # noqa: ARG005
        loss == "log_loss" or (loss == "hinge" and multi_class == "auto")
    ),
    loss=["hinge", "log_loss", "modified_huber"],
    multi_class=["auto", "ovr"],
    n_classes=[2, 3],
)
def test_classifiers(loss, multi_class, n_classes, X):
    y = np.array(["a", "b", "c"])[targets(fastgd.SGDClassifier(), X) % n_classes]
    model = fastgd.SGDClassifier(loss, multi_class=multi_class, **QUICK).fit(X, y)
    theirs = fastgd.to_sklearn(model)
    assert_same_predictions_of_labels(theirs, model, X)
    assert hasattr(theirs, "predict_proba") == hasattr(model, "predict_proba")


def assert_same_predictions_of_labels(theirs, model, X):
    np.testing.assert_array_equal(theirs.predict(X), model.predict(X))
    for method in ("predict_proba", "decision_function"):
        if hasattr(model, method):
            expected = getattr(model, method)(X)
            np.testing.assert_allclose(getattr(theirs, method)(X), expected, rtol=1e-9, atol=1e-12)


@over_product(lambda loss: loss == "log_loss", loss=["hinge", "log_loss"])
def test_tables_of_labels(loss, X):
    y = (X[:, :3] + 0.3 * X[:, 1:] > 0).astype(int)
    model = fastgd.SGDClassifier(loss, **QUICK).fit(X, y)
    assert_same_predictions_of_labels(fastgd.to_sklearn(model), model, X)


@over_product(
    lambda loss: loss in ("squared_error", "poisson"),
    loss=["squared_error", "huber", "quantile", "poisson", Tweedie(1.7)],
)
@pytest.mark.parametrize("many", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_regressors(loss, many, X):
    y = targets(fastgd.SGDRegressor(), X)
    y = np.c_[y, 2 * y] if many else y
    model = fastgd.SGDRegressor(loss, **QUICK).fit(X, y)
    assert_same_predictions(fastgd.to_sklearn(model), model, X)


@pytest.mark.full
def test_many_targets_with_a_log_link(X):
    y = targets(fastgd.SGDRegressor(), X)
    model = fastgd.SGDRegressor("poisson", **QUICK).fit(X, np.c_[y, 2 * y])
    assert_same_predictions(fastgd.to_sklearn(model), model, X)


def test_nothing_is_shared(X):
    model = fastgd.SGDClassifier(**QUICK).fit(X, X[:, 0] > 0)
    fastgd.to_sklearn(model).coef_[:] = 0.0
    assert np.any(model.coef_ != 0.0)


def test_parameters_that_both_have_are_kept(X):
    model = fastgd.SGDClassifier(alpha=0.01, batch_size=8, **QUICK)
    theirs = fastgd.to_sklearn(model.fit(X, X[:, 0] > 0))
    assert theirs.alpha == 0.01
    assert theirs.max_iter == QUICK["max_iter"]
    assert theirs.fit(X, X[:, 0] > 0).score(X, X[:, 0] > 0) > 0.9


def test_pipelines_keep_their_steps(X):
    model = make_pipeline(StandardScaler(), fastgd.LogisticRegression()).fit(X, X[:, 0] > 0)
    theirs = fastgd.to_sklearn(model)
    assert_same_predictions_of_labels(theirs, model, X)
    assert type(theirs[-1]).__module__.startswith("sklearn.")
    assert type(model[-1]).__module__.startswith("fastgd.")


def test_others_are_refused():
    with pytest.raises(TypeError, match="estimator of fastgd or a Pipeline, got StandardScaler"):
        fastgd.to_sklearn(StandardScaler())
    with pytest.raises(NotFittedError):
        fastgd.to_sklearn(fastgd.SGDClassifier())


def test_onnx(X):
    """The converters know scikit-learn's classes, and so what ``to_sklearn`` returns."""
    skl2onnx = pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    X = X.astype(np.float32)
    for kind in (fastgd.LogisticRegression, fastgd.SGDClassifier):
        model = kind().set_params(random_state=0).fit(X, targets(kind(), X))
        onnx = skl2onnx.to_onnx(fastgd.to_sklearn(model), X[:1])
        session = runtime.InferenceSession(
            onnx.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        (labels, *_) = session.run(None, {session.get_inputs()[0].name: X})
        np.testing.assert_array_equal(labels, model.predict(X))
