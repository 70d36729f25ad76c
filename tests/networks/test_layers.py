"""Layers: each one's values against plain numpy, its derivatives against finite differences."""

import numpy as np
import pytest
from scipy import special

from fastgd._data.validation import as_rows
from fastgd._engines.network import in_dtype_of, outputs, rule_of, scratch
from fastgd._networks.assembly import Assembly
from fastgd.activations import ACTIVATIONS
from fastgd.initializers import INITIALIZERS
from fastgd.kernels import sgd
from fastgd.kernels.activations import gradients, values
from fastgd.kernels.layers import ACTIVATION, SPEC
from fastgd.kernels.losses import SquaredError
from fastgd.kernels.network import NetworkMemory, network_gradient
from fastgd.kernels.optimizers import Sgd
from fastgd.kernels.transforms import Identity
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

IMAGES, SEQUENCES = (5, 6, 2), (7, 3)

NETWORKS = {
    "dense": ([Dense(4, "tanh"), Dense(3)], (5,)),
    "no bias": ([Dense(4, "gelu", bias=False), Dense(3)], (5,)),
    **{f"activation {name}": ([Dense(4, name), Dense(2)], (5,)) for name in sorted(ACTIVATIONS)},
    "activation first": (["softplus", Dense(3), "tanh", Dense(2)], (5,)),
    "activation last": ([Dense(3, "silu")], (5,)),
    "conv": ([Conv2D(3, 3, activation="tanh"), Flatten(), Dense(2)], IMAGES),
    "conv same": ([Conv2D(3, (3, 2), stride=(2, 1), padding="same"), "silu", Dense(2)], IMAGES),
    "conv stride": ([Conv2D(2, 2, stride=2), Conv2D(3, 2), Dense(2)], IMAGES),
    "conv even same": ([Conv2D(2, 4, padding="same", bias=False), Dense(2)], IMAGES),
    "conv 1d": (
        [Conv1D(4, 3, activation="elu"), Conv1D(2, 2, padding="same"), Dense(2)],
        SEQUENCES,
    ),
    "max pool": ([Conv2D(3, 2, activation="tanh"), MaxPool2D(2), Dense(2)], IMAGES),
    "max pool overlapping": (
        [Conv2D(2, 1), "tanh", MaxPool2D(3, 2, "same"), Dense(2)],
        IMAGES,
    ),
    "average pool": ([Conv2D(3, 2), AvgPool2D((2, 3), 1, "same"), Dense(2)], IMAGES),
    "average pool valid": ([Conv2D(3, 2), AvgPool2D(2), Dense(2)], IMAGES),
    "global average": ([Conv2D(3, 2), "gelu", GlobalAveragePool(), Dense(2)], IMAGES),
    "global average 1d": ([Conv1D(3, 2), GlobalAveragePool()], SEQUENCES),
    "layer norm": ([Dense(4), LayerNorm(), "relu", Dense(2)], (5,)),
    "layer norm images": ([Conv2D(3, 2), LayerNorm(), Dense(2)], IMAGES),
    "batch norm": ([Dense(4), BatchNorm(), "tanh", Dense(2)], (5,)),
    "batch norm images": ([Conv2D(3, 2), BatchNorm(), Dense(2)], IMAGES),
    "dropout": ([Dense(6, "tanh"), Dropout(0.4), Dense(2)], (5,)),
    "dropout first": ([Dropout(0.4), Dense(2)], (5,)),
    "residual": ([Dense(4), Residual([Dense(3, "tanh"), Dense(4)]), "silu", Dense(2)], (5,)),
    "residual first": ([Residual([Dense(5, "tanh")]), Dense(2)], (5,)),
    "residual nested": (
        [Dense(4), Residual(["tanh", Residual([Dense(4, "elu")]), Dense(4)]), Dense(2)],
        (5,),
    ),
    "residual of a residual": (
        [Dense(4), Residual([Residual([Residual([Dense(4, "tanh")]), "elu"]), Dense(4)]), Dense(2)],
        (5,),
    ),
    "residual of the input twice": ([Residual([Residual([Dense(5, "tanh")])]), Dense(2)], (5,)),
    "embedding": ([Embedding(6, 3), Flatten(), Dense(4, "tanh"), Dense(2)], (3,)),
    "embedding conv": ([Embedding(6, 3), Conv1D(2, 2), Dense(2)], (4,)),
}


def _united(kind):
    """Return all networks' specs, or activations: with them, one compiled kernel serves all."""
    found = {}
    for layers, shape in NETWORKS.values():
        network = Assembly(layers, shape).network(np.float64, is_training=True)
        found |= {repr(one): one for one in getattr(network, kind)}
    return tuple(found[name] for name in sorted(found))


@pytest.fixture(scope="module")
def united():
    return _united("specs"), _united("activations")


def with_all(network, united):
    """Return a network whose kernel knows all specs and activations."""
    table = network.table.copy()
    for column, own, everything in zip(
        (SPEC, ACTIVATION), (network.specs, network.activations), united, strict=True
    ):
        names = [repr(one) for one in everything]
        for row in table:
            row[column] = names.index(repr(own[row[column]])) if row[column] >= 0 else row[column]
    return network._replace(specs=united[0], activations=united[1], table=table)


class Case:
    """A network with rows, targets, and parameters that are away from every kink."""

    def __init__(self, layers, shape, dtype=np.float64, *, n_rows=6, is_training=True):
        rng = np.random.default_rng(1)
        self.assembly = Assembly(layers, shape)
        self.shape, self.dtype = shape, np.dtype(dtype)
        size = int(np.prod(shape))
        first = self.assembly.placed[0].layer
        if isinstance(first, Embedding):
            self.X = rng.integers(0, first.n_values, (n_rows, size)).astype(dtype)
        else:
            self.X = rng.normal(size=(n_rows, size)).astype(dtype)
        n_outputs = int(np.prod(self.assembly.output_shape))
        self.y = rng.normal(size=(n_rows, n_outputs)).astype(dtype)
        start = self.assembly.starts(0)
        self.params = (start + 0.1 * rng.normal(size=start.shape)).astype(dtype)
        self.params[self.assembly.n_trained :] = start[self.assembly.n_trained :] + 0.5
        self.network = self.assembly.network(dtype, is_training=is_training)
        self.l2 = 0.3

    def gradient(self, params, rows=None):
        """Return the objective of the batch, its gradient, and the parameters afterwards."""
        dtype, assembly = self.dtype, self.assembly
        rule = in_dtype_of(rule_of(SquaredError(), Sgd(), self.l2, Identity()), dtype)
        rows = as_rows(self.X if rows is None else rows)
        memory = NetworkMemory(
            params.copy(),
            np.zeros((0, params.shape[0]), dtype),
            np.full(assembly.n_trained, np.nan, dtype),
            np.zeros(0),
            np.zeros(0, dtype),
            np.zeros((5, self.y.shape[1])),
            scratch(assembly, len(self.y), dtype, is_sparse=rows.is_sparse),
        )
        n = len(self.y)
        plan = sgd.Plan(n, n, np.zeros((1, 4), dtype), 1.0, 1, 7, 3)
        samples = sgd.Samples(self.y, np.empty(0, dtype), np.empty(0, np.int64), np.ones(1, dtype))
        with np.errstate(over="ignore"):  # random numbers, where nothing is compiled
            network_gradient(rows, samples, rule, plan, self.network, memory)
        loss, penalty = memory.sums[:2].sum(axis=1)
        return (loss + penalty) / n, memory.gradient, memory.params


def numeric(case, step=1e-6):
    """Return the gradient by central differences."""
    found = np.zeros(case.assembly.n_trained)
    for c in range(found.shape[0]):
        ends = []
        for sign in (1, -1):
            params = case.params.copy()
            params[c] += sign * step
            ends.append(case.gradient(params)[0])
        found[c] = (ends[0] - ends[1]) / (2 * step)
    return found


@pytest.mark.full
@pytest.mark.nojit
@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_finite_differences(name, is_training, united):
    case = Case(*NETWORKS[name], is_training=is_training)
    case.network = with_all(case.network, united)
    _, gradient, _ = case.gradient(case.params)
    np.testing.assert_allclose(gradient, numeric(case), rtol=2e-6, atol=2e-7)


# -- values in plain numpy -------------------------------------------------------------------------


def outputs_of(layers, X, params=None):
    """Return what a network makes of rows of any shape, and its parameters."""
    assembly = Assembly(layers, X.shape[1:])
    if params is None:
        params = assembly.starts(0) + 0.1
        params[assembly.n_trained :] = assembly.starts(0)[assembly.n_trained :]
    rows = as_rows(np.ascontiguousarray(X.reshape(len(X), -1)))
    with np.errstate(over="ignore"):  # random numbers, where nothing is compiled
        return outputs(assembly, params, rows, len(X)), params, assembly


def naive_convolution(X, W, b, stride, padding):
    """The sum in the definition, one output at a time."""
    (n, height, width, _), (kh, kw, _, filters) = X.shape, W.shape
    if padding == "same":
        new = [-(-size // step) for size, step in zip((height, width), stride, strict=True)]
        total = [
            max((m - 1) * step + k - size, 0)
            for m, step, k, size in zip(new, stride, (kh, kw), (height, width), strict=True)
        ]
        before = [t // 2 for t in total]
        X = np.pad(X, [(0, 0), *((a, t - a) for a, t in zip(before, total, strict=True)), (0, 0)])
    else:
        new = [(height - kh) // stride[0] + 1, (width - kw) // stride[1] + 1]
    out = np.zeros((n, *new, filters))
    for p, q in np.ndindex(*new):
        window = X[:, p * stride[0] : p * stride[0] + kh, q * stride[1] : q * stride[1] + kw]
        out[:, p, q] = np.tensordot(window, W, 3) + b
    return out


@pytest.mark.full
@pytest.mark.nojit
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 3)])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("window", [(3, 3), (2, 4), (1, 1)])
def test_convolutions_are_the_sum_of_their_definition(window, padding, stride):
    X = np.random.default_rng(0).normal(size=(2, 6, 7, 3))
    layers = [Conv2D(4, window, stride=stride, padding=padding)]
    found, params, assembly = outputs_of(layers, X)
    W = assembly.weights_of(params, 0).reshape(*window, 3, 4)
    expected = naive_convolution(X, W, assembly.free_of(params, 0), stride, padding)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-12, atol=1e-12)
    assert assembly.output_shape == expected.shape[1:]


@pytest.mark.full
@pytest.mark.nojit
def test_pools_are_largest_and_mean():
    X = np.random.default_rng(0).normal(size=(2, 6, 6, 3))
    blocks = X.reshape(2, 3, 2, 3, 2, 3)
    largest, _, _ = outputs_of([MaxPool2D(2)], X)
    mean, _, _ = outputs_of([AvgPool2D(2)], X)
    everything, _, _ = outputs_of([GlobalAveragePool()], X)
    np.testing.assert_array_equal(largest, blocks.max(axis=(2, 4)).reshape(2, -1))
    np.testing.assert_allclose(mean, blocks.mean(axis=(2, 4)).reshape(2, -1))
    np.testing.assert_allclose(everything, X.mean(axis=(1, 2)))
    edges, _, _ = outputs_of([AvgPool2D(3, 3, "same")], X[:, :4, :4])
    # two windows of four: what lies beyond the edge does not count
    np.testing.assert_allclose(edges.reshape(2, 2, 2, 3)[:, 1, 1], X[:, 2:4, 2:4].mean(axis=(1, 2)))


@pytest.mark.full
@pytest.mark.nojit
def test_normalisations_are_those_of_the_papers():
    X = np.random.default_rng(0).normal(size=(5, 4))
    found, params, _ = outputs_of([LayerNorm()], X)
    gain, offset = params[:4], params[4:]
    normal = (X - X.mean(axis=1, keepdims=True)) / np.sqrt(X.var(axis=1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(found, gain * normal + offset, rtol=1e-12)
    found, params, _ = outputs_of([BatchNorm()], X)  # predictions: the running mean 0, variance 1
    np.testing.assert_allclose(found, params[:4] * X / np.sqrt(1 + 1e-5) + params[4:8])


@pytest.mark.full
@pytest.mark.nojit
def test_running_statistics_follow_the_batches():
    case = Case([BatchNorm(momentum=0.25), Dense(2)], (3,))
    before = case.params[case.assembly.n_trained :]
    after = case.gradient(case.params)[2][case.assembly.n_trained :]
    np.testing.assert_allclose(after[:3], before[:3] + 0.25 * (case.X.mean(axis=0) - before[:3]))
    variance = case.X.var(axis=0, ddof=1)
    np.testing.assert_allclose(after[3:], before[3:] + 0.25 * (variance - before[3:]))


@pytest.mark.full
@pytest.mark.nojit
def test_dropout_keeps_the_mean_and_is_a_function_of_the_seed():
    case = Case([Dropout(0.3), Dense(1)], (400,), n_rows=50)
    case.X[:] = 1.0
    case.params[:] = 1.0
    case.y[:] = 0.0
    case.l2 = 0.0
    first, again = case.gradient(case.params), case.gradient(case.params)
    np.testing.assert_array_equal(first[1], again[1])
    raw = np.sqrt(2 * first[0])  # the root mean square of sums of 400 numbers of mean 1, and 1
    assert raw == pytest.approx(401, abs=401 * 4 * np.sqrt(0.3 / 0.7 / 400 / 50) + 2)


@pytest.mark.nojit
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_are_their_formulas(name):
    z = np.concatenate([np.linspace(-30, 30, 121), [-1e-9, 1e-9, 0.0]])
    expected = {
        "identity": z,
        "logistic": 1 / (1 + np.exp(-z)),
        "tanh": np.tanh(z),
        "relu": np.maximum(z, 0),
        "leaky_relu": np.where(z > 0, z, 0.01 * z),
        "elu": np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        "gelu": z * special.ndtr(z),
        "silu": z * special.expit(z),
        "softplus": np.logaddexp(0, z),
    }[name]
    found, slope = np.empty_like(z), np.empty_like(z)
    values(ACTIVATIONS[name], z, found)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)
    gradients(ACTIVATIONS[name], z, slope)
    away, step = np.abs(z) > 1e-3, 1e-5
    ends = np.empty_like(z), np.empty_like(z)
    values(ACTIVATIONS[name], z + step, ends[0])
    values(ACTIVATIONS[name], z - step, ends[1])
    difference = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(slope[away], difference[away], rtol=1e-6, atol=1e-9)


# -- first weights ---------------------------------------------------------------------------------


@pytest.mark.nojit
@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_first_weights_have_the_variance_of_their_paper(name):
    fans = (300, 200)
    drawn = INITIALIZERS[name].draw(fans, fans, np.random.default_rng(0))
    variance = {"glorot": 2 / sum(fans), "he": 2 / fans[0], "lecun": 1 / fans[0], "zeros": 0.0}.get(
        name.split("_")[0]
    )
    assert drawn.shape == fans
    if name == "orthogonal":
        np.testing.assert_allclose(drawn.T @ drawn, np.eye(200), atol=1e-12)
    else:
        assert drawn.var() == pytest.approx(variance, rel=0.03)
    if name.endswith("uniform"):
        assert np.abs(drawn).max() <= np.sqrt(3 * variance)


@pytest.mark.nojit
def test_weights_begin_by_the_activation_unless_said_otherwise():
    assembly = Assembly([Dense(50, "relu"), Dense(50, "tanh"), Dense(50, init="zeros")], (200,))
    params = assembly.starts(3)
    limits = [np.abs(assembly.weights_of(params, k)).max() for k in range(3)]
    np.testing.assert_allclose(limits, [np.sqrt(6 / 200), np.sqrt(6 / 100), 0.0], rtol=0.01)
    assert not assembly.free_of(params, 0).any()
    np.testing.assert_array_equal(params, assembly.starts(3))
