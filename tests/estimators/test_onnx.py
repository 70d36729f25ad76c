"""ONNX: what onnxruntime predicts is what our estimators predict, in float32."""

import numpy as np
import pytest
from sklearn.base import is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastgd
from fastgd.kernels.losses import LogLoss
from tests.tables import ESTIMATOR_CASES, over

onnx = pytest.importorskip("onnx", reason="ONNX export needs onnx and skl2onnx")
skl2onnx = pytest.importorskip("skl2onnx", reason="ONNX export needs onnx and skl2onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="the comparison needs onnxruntime")

QUICK = {"max_iter": 20, "tol": None, "random_state": 0}


@pytest.fixture
def X(rng):
    return rng.normal(size=(80, 4)).astype(np.float32)


def run(model, X):
    """Return what onnxruntime makes of a model, by the outputs' names."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [out.name for out in session.get_outputs()]
    return dict(zip(names, session.run(None, {session.get_inputs()[0].name: X}), strict=True))


def targets(estimator, X):
    raw = X @ [1.0, -2.0, 0.5, 0.0]
    return np.digitize(raw, [-1.0, 1.0]) if is_classifier(estimator) else np.exp(0.3 * raw)


def assert_same(found, model, X):
    near = {"rtol": 1e-4, "atol": 1e-5}
    if "variable" in found:
        expected = model.predict(X)
        np.testing.assert_allclose(found["variable"].reshape(expected.shape), expected, **near)
        return
    labels = model.predict(X)
    np.testing.assert_array_equal(found["label"].reshape(labels.shape), labels)
    last = found.get("probabilities", found.get("scores"))
    has_probabilities = hasattr(model, "predict_proba")
    expected = model.predict_proba(X) if has_probabilities else model.decision_function(X)
    np.testing.assert_allclose(last.reshape(expected.shape), expected, **near)


def both(model, X):
    """Yield our conversion and skl2onnx's, of the model behind nothing and behind a scaler."""
    yield fastgd.to_onnx(model)
    options = {"zipmap": False} if is_classifier(model) else None
    yield skl2onnx.to_onnx(model, X[:1], options=options, target_opset=17)


@over(ESTIMATOR_CASES)
def test_each_estimator_predicts_the_same(case, X):
    model = case.make().fit(X, case.targets(targets(case.make(), X)))
    for converted in both(model, X):
        assert_same(run(converted, X), model, X)


@pytest.mark.parametrize("loss", ["hinge", "log_loss", "modified_huber", "focal"])
@pytest.mark.parametrize("multi_class", ["auto", "ovr"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_classifiers_of_words(loss, multi_class, n_classes, X):
    y = np.array(["a", "b", "c"])[targets(fastgd.SGDClassifier(), X) % n_classes]
    model = fastgd.SGDClassifier(loss, multi_class=multi_class, **QUICK).fit(X, y)
    for converted in both(model, X):
        assert_same(run(converted, X), model, X)


@pytest.mark.parametrize("kind", [fastgd.SGDClassifier, fastgd.RidgeClassifier])
def test_tables_of_labels(kind, X):
    y = (X[:, :3] + 0.3 * X[:, 1:] > 0).astype(int)
    model = kind().fit(X, y)
    for converted in both(model, X):
        assert_same(run(converted, X), model, X)


@pytest.mark.parametrize("loss", ["huber", "poisson"])
def test_regressors_of_several_targets(loss, X):
    y = np.exp(0.3 * X[:, :2])
    model = fastgd.SGDRegressor(loss, **QUICK).fit(X, y)
    for converted in both(model, X):
        assert_same(run(converted, X), model, X)


def test_a_pipeline_and_float64(X):
    y = targets(fastgd.LogisticRegression(), X)
    pipeline = make_pipeline(StandardScaler(), fastgd.LogisticRegression()).fit(X, y)
    assert_same(run(fastgd.to_onnx(pipeline), X), pipeline, X)
    found = run(fastgd.to_onnx(pipeline[-1], dtype=np.float64), X.astype(np.float64))
    expected = pipeline[-1].predict_proba(X.astype(np.float64))
    np.testing.assert_allclose(found["probabilities"], expected, rtol=1e-12)


class OwnLoss(LogLoss):
    """Its probabilities are a secret."""

    link = None

    @staticmethod
    def probability(loss, raw):  # noqa: ARG004
        return 1.0 / (1.0 + np.exp(-2.0 * raw))


def test_what_cannot_be_converted_is_said(X):
    with pytest.raises(TypeError, match="takes an estimator of fastgd or a Pipeline"):
        fastgd.to_onnx(StandardScaler())
    with pytest.raises(NotFittedError):
        fastgd.to_onnx(fastgd.Ridge())
    with pytest.raises(ValueError, match="dtype must be float32 or float64"):
        fastgd.to_onnx(fastgd.Ridge().fit(X, X[:, 0]), dtype=np.float16)
    y = targets(fastgd.SGDClassifier(), X) > 0
    model = fastgd.SGDClassifier(OwnLoss(), **QUICK).fit(X, y)
    with pytest.raises(TypeError, match="the loss OwnLoss has probabilities"):
        fastgd.to_onnx(model)
