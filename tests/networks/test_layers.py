"""Layers: each one's values against plain numpy, its derivatives against finite differences."""

import numpy as np
import pytest

from fastgd._data.validation import as_rows
from fastgd._engines.network import in_dtype_of, rule_of, scratch
from fastgd._networks.assembly import Assembly
from fastgd.activations import ACTIVATIONS
from fastgd.kernels import sgd
from fastgd.kernels.losses import SquaredError
from fastgd.kernels.network import NetworkMemory, network_gradient
from fastgd.kernels.optimizers import Sgd
from fastgd.kernels.sgd_multi import MultiSamples
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
    "embedding": ([Embedding(6, 3), Flatten(), Dense(4, "tanh"), Dense(2)], (3,)),
    "embedding conv": ([Embedding(6, 3), Conv1D(2, 2), Dense(2)], (4,)),
}


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
            np.zeros(self.y.shape[1]),
            scratch(assembly, len(self.y), dtype, is_sparse=rows.is_sparse),
        )
        n = len(self.y)
        plan = sgd.Plan(n, n, np.zeros((1, 4), dtype), 1.0, 1, 7, 3)
        samples = MultiSamples(self.y, np.empty(0, dtype), np.empty(0, np.int64), np.ones(1, dtype))
        with np.errstate(over="ignore"):  # random numbers, where nothing is compiled
            loss, penalty, _ = network_gradient(rows, samples, rule, plan, self.network, memory)
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


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_finite_differences(name, is_training):
    case = Case(*NETWORKS[name], is_training=is_training)
    _, gradient, _ = case.gradient(case.params)
    np.testing.assert_allclose(gradient, numeric(case), rtol=2e-6, atol=2e-7)
