"""A graph of ONNX operators in the making: nodes and the arrays that they use."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEEDS = 'ONNX export needs the packages onnx and skl2onnx: pip install "fastgd[onnx]".'


def onnx_module() -> Any:
    """Return the package onnx.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError(NEEDS) from None
    return onnx


class Graph:
    """Nodes in the order in which they are computed.

    Parameters
    ----------
    dtype : dtype, float32 or float64
        Of all numbers that are not labels or places.
    unique : callable
        From a name to one that nothing else has.

    Attributes
    ----------
    nodes, initializers : lists of onnx's NodeProto and TensorProto
    """

    def __init__(self, dtype: Any, unique: Callable[[str], str]) -> None:
        self.dtype = np.dtype(dtype)
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._unique, self._onnx = unique, onnx_module()

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node; return the name of its output."""
        out = self._unique(operator.lower())
        made = self._onnx.helper.make_node(operator, inputs, [out], name=out, **attributes)
        self.nodes.append(made)
        return out

    def numbers(self, values: Any) -> str:
        """Add an array of the graph's dtype; return its name."""
        return self.constant(np.asarray(values, self.dtype))

    def constant(self, values: NDArray[Any]) -> str:
        """Add an array as it is, text too; return its name."""
        name = self._unique("constant")
        if values.dtype.kind in "OU":
            values = values.astype(object)
        array = np.ascontiguousarray(values).reshape(values.shape)
        self.initializers.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def reshaped(self, x: str, *shape: int) -> str:
        """Return rows in another shape; -1 stands for their number."""
        return self.node("Reshape", x, self.constant(np.array(shape, np.int64)))

    def named(self, x: str, name: str) -> None:
        """Give an output the name that users know it by."""
        self.nodes.append(self._onnx.helper.make_node("Identity", [x], [name], name=f"{name}_out"))


def counter() -> Callable[[str], str]:
    """Return what makes names by a number behind them."""
    taken: dict[str, int] = {}

    def unique(name: str) -> str:
        taken[name] = taken.get(name, 0) + 1
        return f"{name}_{taken[name]}"

    return unique
