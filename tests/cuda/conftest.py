"""A library whose arrays say that they lie on a device, as CuPy's do."""

import sys
import types
from typing import Any

import numpy as np
import pytest


class _Array:
    """An array of CuPy's, as far as fastgd knows it."""

    __module__ = "cupy"

    def __init__(self, values: Any) -> None:
        self._values = np.array(values)

    shape = property(lambda self: self._values.shape)
    dtype = property(lambda self: self._values.dtype)
    ndim = property(lambda self: self._values.ndim)
    __cuda_array_interface__ = property(lambda self: self._values.__array_interface__)

    def get(self) -> np.ndarray:
        return self._values.copy()

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("implicit conversion to a NumPy array is not allowed")


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    module: Any = types.ModuleType("cupy")
    module.ndarray, module.asarray = _Array, _Array
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module
