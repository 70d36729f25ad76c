"""``to_torch``: a network as a module of PyTorch, its code and its arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from fastgd._export.onnx_layers import Own
from fastgd._networks.assembly import Assembly, Placed
from fastgd.kernels import activations, layers

HEADER = '''\
"""A network that fastgd has trained, as a module of PyTorch.

    network = Network()
    network.load_state_dict(state_dict)
    network.eval()

It takes rows of shape {shape} and returns raw predictions, (n, {n_outputs}): {meaning}.
"""

import torch
import torch.nn.functional as F
from torch import nn
'''


class TorchNetwork:
    """A network in the words of PyTorch.

    Attributes
    ----------
    code : str
        A file of Python that defines ``Network``, a ``torch.nn.Module``; it imports torch alone.
    arrays : dict of str to ndarray
        The parameters and buffers, by the names that the module has for them.
    """

    def __init__(self, code: str, arrays: dict[str, NDArray[Any]]) -> None:
        self.code, self.arrays = code, arrays

    def state_dict(self) -> dict[str, Any]:
        """Return the arrays as tensors, copies.

        Raises
        ------
        ImportError
            If PyTorch is not installed.
        """
        import torch

        return {name: torch.tensor(array) for name, array in self.arrays.items()}

    def module(self) -> Any:
        """Return the module with its parameters, for predictions (``eval``), in their dtype.

        Raises
        ------
        ImportError
            If PyTorch is not installed.
        """
        import torch

        names: dict[str, Any] = {"__name__": "fastgd_network"}
        exec(compile(self.code, "<fastgd.to_torch>", "exec"), names)
        network = names["Network"]()
        found = next((a.dtype for a in self.arrays.values() if a.dtype.kind == "f"), np.float32)
        network.to(torch.float64 if found == np.float64 else torch.float32)
        network.load_state_dict(self.state_dict())
        return network.eval()

    def __repr__(self) -> str:
        n_numbers = sum(array.size for array in self.arrays.values())
        return f"TorchNetwork({len(self.arrays)} arrays, {n_numbers:,} numbers)"


def to_torch(network: Any) -> TorchNetwork:
    """Return a fitted network as a module of PyTorch: its code, and its ``state_dict``.

    The module returns raw predictions, as PyTorch's losses take them; its code says what they
    mean. Rows are those of ``fit``, images with the axis of channels included. Between layers
    images have their channels first, as PyTorch has them, and the weights are reordered to that.
    Training can go on there: dropout and normalisation are PyTorch's own.

    Parameters
    ----------
    network : MLPClassifier, MLPRegressor, NetworkClassifier or NetworkRegressor
        Fitted.

    Returns
    -------
    network : TorchNetwork
        ``code`` and ``arrays`` need no PyTorch; ``state_dict()`` and ``module()`` do.

    Raises
    ------
    TypeError
        If it is no such network, or has a layer or an activation of a user's own.
    sklearn.exceptions.NotFittedError
        If it has not been fitted.

    Examples
    --------
    >>> from fastgd import to_torch
    >>> from fastgd.neural_network import MLPRegressor
    >>> model = MLPRegressor(hidden_layer_sizes=(2,), max_iter=1, tol=None)
    >>> print(to_torch(model.fit([[0.0], [1.0]], [0.0, 1.0])).code.partition("class ")[2])
    Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer0 = nn.Linear(1, 2)
            self.layer1 = nn.Linear(2, 1)
    <BLANKLINE>
        def forward(self, x):
            x = F.relu(self.layer0(x))
            x = self.layer1(x)
            return x
    <BLANKLINE>
    """
    if not hasattr(type(network), "_refuse_arrays_of_another"):
        raise TypeError(
            f"to_torch takes a network of fastgd.neural_network, got {type(network).__name__}."
        )
    check_is_fitted(network)
    channels_first = bool(getattr(network, "channels_first", False))
    writer = _Writer(network._network, network._params, channels_first=channels_first)
    said = {"softmax": "the softmax makes probabilities of the classes", "exp": "e^raw predicts"}
    said |= {"logistic": "the logistic function makes probabilities"}
    header = HEADER.format(
        shape=writer.given_shape,
        n_outputs=network.n_outputs_,
        meaning=said.get(network.out_activation_, "predictions themselves"),
    )
    return TorchNetwork(header + writer.code(), writer.arrays)


class _Writer:
    """Writes a module: lines of ``__init__`` and of ``forward``, and the arrays."""

    def __init__(self, network: Assembly, params: NDArray[Any], *, channels_first: bool) -> None:
        self.network, self.params = network, params
        self.arrays: dict[str, NDArray[Any]] = {}
        self.made: list[str] = []
        self.lines: list[str] = []
        shape = network.shape
        self.given_shape = (shape[-1], *shape[:-1]) if channels_first else shape
        if len(shape) > 1 and not channels_first:
            self.lines.append(f"x = x.permute(0, {len(shape)}, {_upto(1, len(shape))})")
        kept = {one.adds for one in network.placed if one.adds != layers.NOBODY}
        if layers.INPUT in kept:
            self.lines.append("kept_input = x")
        for number, one in enumerate(network.placed):
            self._bring_into(one.shape, shape)
            self._write(number, one)
            shape = one.sizes.shape
            if number in kept:
                self.lines.append(f"kept{number} = x")
        self._bring_into(network.output_shape, shape)

    def _bring_into(self, wanted: Any, shape: Any) -> None:
        """Bring x into the shape that is asked for."""
        value = _in_shape("x", shape, wanted)
        if value != "x":
            self.lines.append(f"x = {value}")

    def _write(self, number: int, one: Placed) -> None:
        """Write a layer, what it is followed by, and what is added to it."""
        emit = LAYERS.get(type(one.layer))
        if emit is None:
            raise TypeError(f"{one.name}, {type(one.layer).__name__}: PyTorch has no such layer.")
        value = emit(self, number, one, Own(self.network, self.params, number))
        activation = getattr(one.layer, "activation", None)
        if activation is not None:
            word = ACTIVATIONS.get(type(activation))
            if word is None:
                raise TypeError(
                    f"{one.name}, {type(activation).__name__}: PyTorch has no such activation."
                )
            value = word.format(value, **activation._asdict())
        if one.adds != layers.NOBODY:
            kept, shape = "kept_input", self.network.shape
            if one.adds != layers.INPUT:
                kept, shape = f"kept{one.adds}", self.network.placed[one.adds].sizes.shape
            value = f"{value} + {_in_shape(kept, shape, one.sizes.shape)}"
        if value != "x":
            self.lines.append(f"x = {value}")

    def module(self, number: int, made: str, **arrays: NDArray[Any]) -> str:
        """Add a module with its arrays; return its name."""
        name = f"layer{number}"
        self.made.append(f"self.{name} = {made}")
        self.arrays.update({f"{name}.{k}": np.ascontiguousarray(v) for k, v in arrays.items()})
        return f"self.{name}"

    def code(self) -> str:
        """Return the class."""
        made = "".join(f"        {line}\n" for line in self.made)
        lines = "".join(f"        {line}\n" for line in self.lines)
        return (
            f"\n\nclass Network(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            f"{made}\n    def forward(self, x):\n{lines}        return x\n"
        )


def _in_shape(x: str, shape: Any, wanted: Any) -> str:
    """Return rows flat where that is asked for, channels last, as ``Flatten`` has them."""
    if shape == wanted:
        return x
    return f"{x}.permute(0, {_upto(2, len(shape) + 1)}, 1).flatten(1)"


def _upto(first: int, stop: int) -> str:
    return ", ".join(map(str, range(first, stop)))


def _dense(writer: _Writer, number: int, one: Placed, own: Own) -> str:
    weights, shape = own.weights, one.shape
    if len(shape) > 1:  # of rows whose channels come last: first, as they are there
        order = (len(shape) - 1, *range(len(shape) - 1), len(shape))
        weights = weights.reshape(*shape, -1).transpose(order).reshape(weights.shape)
    has_bias = own.free.size > 0
    arrays = {"weight": weights.T, **({"bias": own.free} if has_bias else {})}
    more = "" if has_bias else ", bias=False"
    n_in, units = weights.shape
    made = writer.module(number, f"nn.Linear({n_in}, {units}{more})", **arrays)
    return f"{made}({'x' if len(shape) == 1 else 'x.flatten(1)'})"


def _convolution(writer: _Writer, number: int, one: Placed, own: Own) -> str:
    filters, axes = own.filters(), len(one.shape) - 1
    weights = filters[:, :, 0] if axes == 1 else filters
    has_bias = own.free.size > 0
    arrays = {"weight": weights, **({"bias": own.free} if has_bias else {})}
    window, strides = tuple(own.window()[-axes:]), tuple(own.strides()[-axes:])
    more = "" if set(strides) == {1} else f", stride={strides}"
    more += "" if has_bias else ", bias=False"
    sizes = f"{filters.shape[1]}, {filters.shape[0]}, {window}"
    made = writer.module(number, f"nn.Conv{axes}d({sizes}{more})", **arrays)
    return f"{made}({_padded('x', own.pads(), axes)})"


def _padded(x: str, pads: list[int], axes: int, value: str = "") -> str:
    top, left, bottom, right = pads
    sides = (left, right) if axes == 1 else (left, right, top, bottom)
    return f"F.pad({x}, {sides}{value})" if any(sides) else x


def _max_pool(writer: _Writer, number: int, one: Placed, own: Own) -> str:  # noqa: ARG001
    x = _padded("x", own.pads(), 2, ', value=float("-inf")')
    return f"F.max_pool2d({x}, {tuple(own.window())}, {tuple(own.strides())})"


def _avg_pool(writer: _Writer, number: int, one: Placed, own: Own) -> str:  # noqa: ARG001
    how = f"{tuple(own.window())}, {tuple(own.strides())}"
    x = _padded("x", own.pads(), 2)
    mean = f"F.avg_pool2d({x}, {how})"
    if x == "x":
        return mean
    counted = _padded("torch.ones_like(x)", own.pads(), 2)  # what lies beyond does not count
    return f"{mean} / F.avg_pool2d({counted}, {how})"


def _global_average(writer: _Writer, number: int, one: Placed, own: Own) -> str:  # noqa: ARG001
    return "x.mean(dim=(2, 3))" if len(one.shape) == 3 else "x.mean(dim=2)"


def _dropout(writer: _Writer, number: int, one: Placed, own: Own) -> str:  # noqa: ARG001
    return f"{writer.module(number, f'nn.Dropout({float(one.layer.rate)!r})')}(x)"


def _batch_norm(writer: _Writer, number: int, one: Placed, own: Own) -> str:
    gain, offset = np.split(own.free, 2)
    mean, variance = np.split(own.running, 2)
    axes = max(len(one.shape) - 1, 1)
    more = f"eps={float(one.layer.epsilon)!r}, momentum={float(one.layer.momentum)!r}"
    made = writer.module(
        number,
        f"nn.BatchNorm{axes}d({gain.size}, {more})",
        weight=gain,
        bias=offset,
        running_mean=mean,
        running_var=variance,
        num_batches_tracked=np.zeros((), np.int64),
    )
    return f"{made}(x)"


def _layer_norm(writer: _Writer, number: int, one: Placed, own: Own) -> str:
    gain, offset = np.split(own.free, 2)
    made = writer.module(
        number,
        f"nn.LayerNorm({gain.size}, eps={float(one.layer.epsilon)!r})",
        weight=gain,
        bias=offset,
    )
    last = len(one.shape)
    if last == 1:
        return f"{made}(x)"
    inner = f"x.permute(0, {_upto(2, last + 1)}, 1)"
    return f"{made}({inner}).permute(0, {last}, {_upto(1, last)})"


def _embedding(writer: _Writer, number: int, one: Placed, own: Own) -> str:  # noqa: ARG001
    values, units = own.weights.shape
    made = writer.module(number, f"nn.Embedding({values}, {units})", weight=own.weights)
    return f"{made}(x.long()).permute(0, 2, 1)"


LAYERS: dict[type, Callable[[_Writer, int, Placed, Own], str]] = {
    layers.Dense: _dense,
    layers.Conv2D: _convolution,
    layers.Conv1D: _convolution,
    layers.MaxPool2D: _max_pool,
    layers.AvgPool2D: _avg_pool,
    layers.GlobalAveragePool: _global_average,
    layers.Dropout: _dropout,
    layers.BatchNorm: _batch_norm,
    layers.LayerNorm: _layer_norm,
    layers.Embedding: _embedding,
    layers.Copied: lambda writer, number, one, own: "x",  # noqa: ARG005
}

ACTIVATIONS: dict[type, str] = {
    activations.Identity: "{0}",
    activations.Logistic: "torch.sigmoid({0})",
    activations.Tanh: "torch.tanh({0})",
    activations.ReLU: "F.relu({0})",
    activations.LeakyReLU: "F.leaky_relu({0}, {slope!r})",
    activations.ELU: "F.elu({0}, {scale!r})",
    activations.GELU: "F.gelu({0})",
    activations.SiLU: "F.silu({0})",
    activations.Softplus: "F.softplus({0})",
}
