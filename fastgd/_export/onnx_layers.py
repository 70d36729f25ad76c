"""What layers and activations are in ONNX.

Rows keep the shape that they have here, channels last; around a convolution or a pool they are
transposed, and onnxruntime removes the pairs of transpositions that meet.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd._export.graph import Graph
from fastgd._networks.assembly import Assembly, Placed
from fastgd.kernels import activations, layers

FIRST, LAST = [0, 3, 1, 2], [0, 2, 3, 1]  # from channels last to channels first, and back


def raw_outputs(graph: Graph, network: Assembly, params: NDArray[Any], x: str) -> str:
    """Append a network; return the name of its raw outputs, (n_samples, n_outputs).

    Raises
    ------
    TypeError
        If ONNX has no operators for one of its layers or activations: a user's own.
    """
    given = graph.reshaped(x, -1, *network.shape)
    shape, found = network.shape, [given]
    shapes = [shape]  # of what the network is given, and of what each layer puts out
    for number, one in enumerate(network.placed):
        given, own = _in_shape(graph, given, shape, one.shape), Own(network, params, number)
        given, shape = _of(LAYERS, one.layer, one.name)(graph, one, own, given), one.sizes.shape
        activation = getattr(one.layer, "activation", None)
        if activation is not None:
            given = _of(ACTIVATIONS, activation, one.name)(graph, activation, given)
        if one.adds != layers.NOBODY:
            place = 0 if one.adds == layers.INPUT else one.adds + 1
            added = _in_shape(graph, found[place], shapes[place], shape)
            given = graph.node("Add", given, added)
        found.append(given)
        shapes.append(shape)
    return _in_shape(graph, given, shape, network.output_shape)


def _in_shape(graph: Graph, x: str, shape: Any, wanted: Any) -> str:
    """Return rows in the shape that a layer asks for: what ``Flatten`` does is no layer."""
    return x if shape == wanted else graph.reshaped(x, -1, *wanted)


class Own:
    """A layer's arrays and its row of the table."""

    def __init__(self, network: Assembly, params: NDArray[Any], number: int) -> None:
        self.row = network.table[number]
        self.free = network.free_of(params, number)
        self.running = network.running_of(params, number)
        has_weights = bool(network.placed[number].sizes.weights)
        self.weights = network.weights_of(params, number) if has_weights else np.zeros((0, 0))

    def at(self, *columns: int) -> list[int]:
        """Return entries of the row."""
        return [int(self.row[column]) for column in columns]

    def window(self) -> list[int]:
        """Return the height and width of the window."""
        return self.at(layers.WINDOW_HEIGHT, layers.WINDOW_WIDTH)

    def strides(self) -> list[int]:
        """Return how far the window moves, down and to the right."""
        return self.at(layers.STRIDE_HEIGHT, layers.STRIDE_WIDTH)

    def pads(self) -> list[int]:
        """Return what is added at the top, left, bottom and right."""
        before = self.at(layers.PAD_TOP, layers.PAD_LEFT)
        sizes, new = self.at(layers.HEIGHT, layers.WIDTH), self.new()
        ends = zip(sizes, new, self.window(), self.strides(), before, strict=True)
        after = [max((n - 1) * step + k - size - pad, 0) for size, n, k, step, pad in ends]
        return [*before, *after]

    def new(self) -> list[int]:
        """Return the new height and width."""
        return self.at(layers.NEW_HEIGHT, layers.NEW_WIDTH)

    def filters(self) -> NDArray[Any]:
        """Return a convolution's weights as (filters, channels, height, width)."""
        channels = self.at(layers.CHANNELS)
        return self.weights.reshape(*self.window(), *channels, -1).transpose(3, 2, 0, 1)

    def affine(self, epsilon: float) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return by what a batch normalisation multiplies in predictions, and what it adds."""
        gain, offset = np.split(self.free.astype(np.float64), 2)
        mean, variance = np.split(self.running.astype(np.float64), 2)
        scale = gain / np.sqrt(variance + epsilon)
        return scale, offset - mean * scale


def _of(table: dict[type, Callable[..., str]], spec: Any, place: str) -> Callable[..., str]:
    found = table.get(type(spec))
    if found is None:
        raise TypeError(f"{place}, {type(spec).__name__}: there are no ONNX operators for it.")
    return found


def _dense(graph: Graph, one: Placed, own: Own, x: str) -> str:
    n_in, units = own.weights.shape
    bias = own.free if own.free.size else np.zeros(units)
    flat = x if len(one.shape) == 1 else graph.reshaped(x, -1, n_in)
    return graph.node("Gemm", flat, graph.numbers(own.weights), graph.numbers(bias))


def _as_images(graph: Graph, own: Own, x: str) -> str:
    """Return rows as images with channels first; a sequence is an image of height 1."""
    image = graph.reshaped(x, -1, *own.at(layers.HEIGHT, layers.WIDTH, layers.CHANNELS))
    return graph.node("Transpose", image, perm=FIRST)


def _from_images(graph: Graph, one: Placed, x: str) -> str:
    return graph.reshaped(graph.node("Transpose", x, perm=LAST), -1, *one.sizes.shape)


def _convolution(graph: Graph, one: Placed, own: Own, x: str) -> str:
    inputs = [_as_images(graph, own, x), graph.numbers(own.filters())]
    inputs += [graph.numbers(own.free)] if own.free.size else []
    out = graph.node(
        "Conv", *inputs, kernel_shape=own.window(), pads=own.pads(), strides=own.strides()
    )
    return _from_images(graph, one, out)


def _pool(operator: str) -> Callable[[Graph, Placed, Own, str], str]:
    def emit(graph: Graph, one: Placed, own: Own, x: str) -> str:
        more = {"pads": own.pads(), "strides": own.strides()}
        out = graph.node(operator, _as_images(graph, own, x), kernel_shape=own.window(), **more)
        return _from_images(graph, one, out)

    return emit


def _global_average(graph: Graph, one: Placed, own: Own, x: str) -> str:
    return _from_images(graph, one, graph.node("GlobalAveragePool", _as_images(graph, own, x)))


def _nothing(graph: Graph, one: Placed, own: Own, x: str) -> str:  # noqa: ARG001
    return x


def _batch_norm(graph: Graph, one: Placed, own: Own, x: str) -> str:
    scale, offset = own.affine(one.layer.epsilon)
    return graph.node("Add", graph.node("Mul", x, graph.numbers(scale)), graph.numbers(offset))


def _layer_norm(graph: Graph, one: Placed, own: Own, x: str) -> str:
    gain, offset = map(graph.numbers, np.split(own.free, 2))
    epsilon = float(one.layer.epsilon)
    return graph.node("LayerNormalization", x, gain, offset, axis=-1, epsilon=epsilon)


def _embedding(graph: Graph, one: Placed, own: Own, x: str) -> str:  # noqa: ARG001
    numbers = graph.node("Cast", x, to=_int64())
    return graph.node("Gather", graph.numbers(own.weights), numbers)


def _int64() -> int:
    from fastgd._export.graph import onnx_module

    return int(onnx_module().TensorProto.INT64)


LAYERS: dict[type, Callable[..., str]] = {
    layers.Dense: _dense,
    layers.Conv2D: _convolution,
    layers.Conv1D: _convolution,
    layers.MaxPool2D: _pool("MaxPool"),
    layers.AvgPool2D: _pool("AveragePool"),
    layers.GlobalAveragePool: _global_average,
    layers.Dropout: _nothing,
    layers.BatchNorm: _batch_norm,
    layers.LayerNorm: _layer_norm,
    layers.Embedding: _embedding,
    layers.Copied: _nothing,
}


def _gelu(graph: Graph, activation: Any, x: str) -> str:  # noqa: ARG001
    inner = graph.node("Erf", graph.node("Mul", x, graph.numbers(math.sqrt(0.5))))
    share = graph.node("Mul", graph.numbers(0.5), graph.node("Add", inner, graph.numbers(1.0)))
    return graph.node("Mul", x, share)


def _simple(operator: str, **fields: str) -> Callable[[Graph, Any, str], str]:
    """Return what appends one operator, whose attributes are fields of the activation."""

    def emit(graph: Graph, activation: Any, x: str) -> str:
        given = {word: float(getattr(activation, field)) for word, field in fields.items()}
        return graph.node(operator, x, **given)

    return emit


ACTIVATIONS: dict[type, Callable[..., str]] = {
    activations.Identity: lambda graph, activation, x: x,  # noqa: ARG005
    activations.Logistic: _simple("Sigmoid"),
    activations.Tanh: _simple("Tanh"),
    activations.ReLU: _simple("Relu"),
    activations.LeakyReLU: _simple("LeakyRelu", alpha="slope"),
    activations.ELU: _simple("Elu", alpha="scale"),
    activations.GELU: _gelu,
    activations.SiLU: lambda graph, activation, x: graph.node(  # noqa: ARG005
        "Mul", x, graph.node("Sigmoid", x)
    ),
    activations.Softplus: _simple("Softplus"),
}
