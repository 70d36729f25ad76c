"""Networks for other programs: ONNX and PyTorch predict what we predict."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastgd
from fastgd._networks.assembly import Assembly
from fastgd.activations import ELU, LeakyReLU
from fastgd.layers import (
    AvgPool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool,
    LayerNorm,
    MaxPool2D,
    Residual,
)
from fastgd.neural_network import (
    MLPClassifier,
    MLPRegressor,
    NetworkClassifier,
    NetworkRegressor,
)
from tests.networks.test_networks import Cube, Scale

PARAMS = {"max_iter": 2, "tol": None, "random_state": 0, "batch_size": 30}
NEAR = {"rtol": 2e-4, "atol": 2e-5}


def images(rng, *shape):
    X = rng.normal(size=(60, *shape)).astype(np.float32)
    return X, (X.reshape(60, -1)[:, 0] > 0).astype(int) + (X.reshape(60, -1)[:, 1] > 1)


def _mlp(rng):  # noqa: ARG001
    X, y = load_digits(return_X_y=True)
    X = (X[:120] / 16).astype(np.float32)
    return MLPClassifier((32,), **PARAMS), X, np.array([f"digit {k}" for k in y[:120]])


def _cnn(rng):
    X, y = images(rng, 9, 8)
    layers = [Conv2D(4, 3, activation="relu"), MaxPool2D(2), Flatten(), Dense(3)]
    return NetworkClassifier(layers, **PARAMS), X[..., None], y


def _two_classes(rng):
    X, y = images(rng, 5)
    model = MLPClassifier((6, 5), normalization="batch", activation=["tanh", "logistic"], **PARAMS)
    return model, X, y > 0


def _counts(rng):
    X, y = images(rng, 5)
    model = MLPRegressor("poisson", (6, 4, 4, 4), ["gelu", "silu", "softplus", ELU(0.5)], **PARAMS)
    return model, X, y.astype(float)


def _channels_first(rng):
    X, y = images(rng, 2, 9, 8)
    layers = [
        Conv2D(4, (3, 2), stride=(2, 1), padding="same", activation=LeakyReLU(0.1), bias=False),
        BatchNorm(),
        Residual([Conv2D(4, 3, padding="same"), "relu", LayerNorm(), Dropout(0.2)]),
        AvgPool2D(2, padding="same"),
        MaxPool2D(3, 2, padding="same"),
        Dense(3),
    ]
    return NetworkClassifier(layers, channels_first=True, **PARAMS), X, y


def _sequence(rng):
    X, _ = images(rng, 12, 2)
    layers = [
        Residual([Conv1D(2, 3, padding="same"), "tanh"]),
        Conv1D(4, 3, stride=2),
        LayerNorm(),
        GlobalAveragePool(),
        Dense(2),
    ]
    return NetworkRegressor(layers, **PARAMS), X, X[:, :2, 0]


def _flattened(rng):
    X, _ = images(rng, 5, 4, 2)
    layers = [
        Residual([Conv2D(2, 3, padding="same")]),
        Conv2D(3, 2, activation="relu"),
        Flatten(),
        Residual([Dense(36, "tanh")]),
        LayerNorm(),
        Dense(36),
    ]
    return NetworkRegressor(layers, **PARAMS), X, X.reshape(60, 40)[:, :36]


def _flat_from_the_start(rng):
    X, _ = images(rng, 4, 3)
    layers = [Flatten(), Residual([Dense(12, "tanh")]), Dense(3)]
    return NetworkRegressor(layers, **PARAMS), X, X[:, :3, 0]


def _flat_at_the_end(rng):
    X, _ = images(rng, 4, 3)
    return NetworkRegressor([Conv1D(2, 2), Flatten()], **PARAMS), X, X.reshape(60, 12)[:, :6]


def _embedded(rng):
    X = rng.integers(0, 5, (60, 3)).astype(np.float32)
    layers = [Embedding(5, 4), Dense(6, "relu"), Dense(1)]
    return NetworkRegressor(layers, **PARAMS), X, X.sum(axis=1)


MODELS = {
    "mlp": _mlp,
    "cnn": _cnn,
    "two classes": _two_classes,
    "counts": _counts,
    "channels first": _channels_first,
    "sequence": _sequence,
    "embedded": _embedded,
    "flattened": _flattened,
    "flat from the start": _flat_from_the_start,
    "flat at the end": _flat_at_the_end,
}
FEW = ("mlp", "cnn")
NAMES = [pytest.param(n, marks=() if n in FEW else pytest.mark.full) for n in MODELS]


@pytest.fixture(scope="module")
def fitted():
    """Return a function that fits a network once, whose biases are no zeros."""
    kept = {}

    def fit(name):
        if name not in kept:
            model, X, y = MODELS[name](np.random.default_rng(0))
            kept[name] = model.fit(X, y), X
        return kept[name]

    return fit


@pytest.mark.parametrize("name", NAMES)
def test_onnx_predicts_the_same(name, fitted):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the comparison needs onnxruntime")
    pytest.importorskip("onnx", reason="ONNX export needs onnx")
    model, X = fitted(name)
    converted = fastgd.to_onnx(model)
    session = onnxruntime.InferenceSession(
        converted.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found = session.run(None, {"X": X})
    if hasattr(model, "predict_proba"):
        np.testing.assert_array_equal(found[0], model.predict(X))
        np.testing.assert_allclose(found[1], model.predict_proba(X), **NEAR)
    else:
        expected = model.predict(X)
        np.testing.assert_allclose(found[0].reshape(expected.shape), expected, **NEAR)


@pytest.mark.parametrize("name", NAMES)
def test_pytorch_predicts_the_same(name, fitted):
    torch = pytest.importorskip("torch", reason="the comparison needs PyTorch")
    model, X = fitted(name)
    network = fastgd.to_torch(model).module()
    with torch.no_grad():
        raw = network(torch.tensor(X)).numpy()
    np.testing.assert_allclose(raw, model._raw(X).reshape(raw.shape), **NEAR)
    assert set(network.state_dict()) == set(fastgd.to_torch(model).arrays)


def test_the_code_needs_no_pytorch_to_be_written(rng):
    model, X, y = _mlp(rng)
    model.fit(X.astype(np.float64), y)  # as other tests compile
    exported = fastgd.to_torch(model)
    assert "nn.Linear(64, 32)" in exported.code
    assert "F.relu(self.layer0(x))" in exported.code
    assert "the softmax makes probabilities" in exported.code
    np.testing.assert_array_equal(exported.arrays["layer0.weight"], model.coefs_[0].T)
    assert repr(exported) == "TorchNetwork(4 arrays, 2,410 numbers)"
    compile(exported.code, "network", "exec")


def test_a_network_in_a_pipeline_is_converted_by_skl2onnx(fitted):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the comparison needs onnxruntime")
    pytest.importorskip("skl2onnx", reason="pipelines need skl2onnx")
    model, X = fitted("mlp")
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**model.get_params()))
    pipeline.fit(X, model.predict(X))
    session = onnxruntime.InferenceSession(
        fastgd.to_onnx(pipeline).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    labels, probabilities = session.run(None, {"X": X})
    np.testing.assert_array_equal(labels, pipeline.predict(X))
    np.testing.assert_allclose(probabilities, pipeline.predict_proba(X), **NEAR)


@pytest.mark.parametrize("layer", [Cube(), Scale()])
def test_layers_of_a_users_own_are_refused(layer, fitted):
    model, _ = fitted("mlp")
    own = MLPClassifier((32,), **PARAMS)
    own.__setstate__(model.__getstate__())
    own._network = Assembly([Dense(32), layer, Dense(10)], (64,))
    with pytest.raises(TypeError, match="PyTorch has no such"):
        fastgd.to_torch(own)
    pytest.importorskip("onnx", reason="ONNX export needs onnx")
    with pytest.raises(TypeError, match="there are no ONNX operators for it"):
        fastgd.to_onnx(own)


def test_only_networks_become_modules():
    with pytest.raises(TypeError, match=r"takes a network of .*, got Ridge"):
        fastgd.to_torch(fastgd.Ridge())
