"""Layers that connect every input with every unit."""

from typing import Any, NamedTuple

import numpy as np

from fastgd.kernels._blas import multiply, multiply_by_transposed, multiply_transposed
from fastgd.kernels._jit import helper
from fastgd.kernels._views import table_in
from fastgd.kernels.layers._protocol import (
    CHANNELS,
    N_IN,
    N_OUT,
    Sizes,
    flat_size,
)
from fastgd.kernels.rows import entries, entry, row_at


class Dense(NamedTuple):
    """Units that are each connected with all inputs: activation(x W + b).

    Inputs of several axes are taken as one; ``Flatten`` says so explicitly.

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str or activation, default="identity"
        See ``fastgd.activations``.
    init : str, initializer or None, default=None
        See ``fastgd.initializers``; by default what suits the activation.
    bias : bool, default=True
        Whether each unit has a bias.
    """

    units: int
    activation: Any = "identity"
    init: Any = None
    bias: bool = True

    @staticmethod
    def spec(layer):
        return Affine()

    @staticmethod
    def sizes(layer, shape):
        n_in = flat_size(shape)
        return Sizes(
            shape=(layer.units,),
            weights=(n_in, layer.units),
            fans=(n_in, layer.units),
            units=layer.units,
            free=np.zeros(layer.units if layer.bias else 0),
        )


class Affine(NamedTuple):
    """The spec of ``Dense``."""

    @staticmethod
    def forward(layer, at, own, x, out, notes, now):
        multiply(x, table_in(own.weights, 0, at[N_IN], at[N_OUT]), out)

    @staticmethod
    def backward(layer, at, own, slopes, tape, delta, before):
        n_in, n_out = at[N_IN], at[N_OUT]
        multiply_transposed(tape.x, delta, table_in(slopes.weights, 0, n_in, n_out))
        if before.shape[0] > 0:
            multiply_by_transposed(delta, table_in(own.weights, 0, n_in, n_out), before)

    @staticmethod
    def forward_sparse(layer, at, own, rows, batch, out):
        _sparse_product(rows, batch, table_in(own.weights, 0, at[N_IN], at[N_OUT]), out)

    @staticmethod
    def backward_sparse(layer, at, slopes, rows, batch, delta):
        for k in range(slopes.weights.shape[0]):
            slopes.weights[k] = 0
        _add_sparse_product(rows, batch, delta, table_in(slopes.weights, 0, at[N_IN], at[N_OUT]))

    @staticmethod
    def add_sparse(layer, at, slopes, rows, batch, delta):
        _add_sparse_product(rows, batch, delta, table_in(slopes.weights, 0, at[N_IN], at[N_OUT]))


@helper()
def _sparse_product(rows, batch, weights, out):
    """Write X_b W: the weights' rows of a sample's entries, added up."""
    for position in range(batch.start, batch.stop):
        i, o = row_at(batch.order, position), position - batch.start
        for k in range(out.shape[1]):
            out[o, k] = 0
        begin, end = entries(rows, i)
        for number in range(begin, end):
            j, x = entry(rows, i, number)
            for k in range(out.shape[1]):
                out[o, k] += x * weights[j, k]


@helper()
def _add_sparse_product(rows, batch, delta, table):
    """Add X_b' delta."""
    for position in range(batch.start, batch.stop):
        i, o = row_at(batch.order, position), position - batch.start
        begin, end = entries(rows, i)
        for number in range(begin, end):
            j, x = entry(rows, i, number)
            for k in range(delta.shape[1]):
                table[j, k] += x * delta[o, k]


class Embedding(NamedTuple):
    """A learned vector for each value of columns of whole numbers [1]_.

    It comes first, and x has the numbers 0 ... n_values - 1.

    Parameters
    ----------
    n_values : int
        How many values there are, the same for all columns, which share the vectors.
    units : int
        Length of the vectors.
    init : str, initializer or None, default=None
        By default normal numbers of standard deviation 1, as in PyTorch.

    References
    ----------
    .. [1] Bengio, Ducharme, Vincent & Jauvin, "A neural probabilistic language model", 2003,
       section 2.
    """

    n_values: int
    units: int
    init: Any = None

    @staticmethod
    def spec(layer):
        return Lookup()

    @staticmethod
    def sizes(layer, shape):
        if len(shape) != 1:
            raise ValueError(f"it takes rows of whole numbers, and got rows of shape {shape}.")
        return Sizes(
            shape=(shape[0], layer.units),
            weights=(layer.n_values, layer.units),
            fans=(layer.n_values, layer.units),
            table={CHANNELS: layer.units},
        )


class Lookup(NamedTuple):
    """The spec of ``Embedding``; the numbers have been checked."""

    @staticmethod
    def forward(layer, at, own, x, out, notes, now):
        units = at[CHANNELS]
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                first = np.int64(x[i, j]) * units
                for k in range(units):
                    out[i, j * units + k] = own.weights[first + k]

    @staticmethod
    def backward(layer, at, own, slopes, tape, delta, before):
        units, x = at[CHANNELS], tape.x
        slopes.weights[:] = 0
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                first = np.int64(x[i, j]) * units
                for k in range(units):
                    slopes.weights[first + k] += delta[i, j * units + k]
