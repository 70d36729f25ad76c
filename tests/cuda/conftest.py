"""A library whose arrays say that they lie on a device, as CuPy's do."""

import sys
import threading
import types
from typing import Any

import numpy as np
import pytest
from numba import config


@pytest.fixture(autouse=True, scope="session")
def _shared_arrays_are_made_once() -> None:
    """Let one thread at a time of the simulator ask for a block's shared array.

    It looks whether there is one and then makes it: two threads at once would make two.
    """
    if not config.ENABLE_CUDASIM:
        return
    from numba.cuda.simulator import kernelapi

    lock, array = threading.Lock(), kernelapi.FakeCUDAShared.array
    sources = kernelapi.traceback

    def made_once(self: Any, shape: Any, dtype: Any, alignment: Any = None) -> Any:
        caller = sources.extract_stack(sys._getframe(), limit=2)[0][0:2]
        with lock:
            if shape != 0 and caller not in self._allocations:
                kind = array(kernelapi.FakeCUDAShared(0), shape, dtype, alignment)
                self._allocations[caller] = kind
        return self._allocations[caller]

    kernelapi.FakeCUDAShared.array = made_once


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
