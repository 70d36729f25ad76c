"""A library whose arrays say that they lie on a device, as CuPy's do."""

import sys
import threading
import types
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numba import config

from fastgd._runtime import devices


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

    def made_once(self: Any, shape: Any, dtype: Any, *others: Any) -> Any:
        caller = sources.extract_stack(sys._getframe(), limit=2)[0][0:2]
        with lock:
            if shape != 0 and caller not in self._allocations:
                kind = array(kernelapi.FakeCUDAShared(0), shape, dtype, *others)
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


class _Tensor(_Array):
    """An array of PyTorch's."""

    __module__ = "torch"
    dtype = property(lambda self: f"torch.{self._values.dtype}")
    device = types.SimpleNamespace(type="cuda", index=0)
    get = property()

    def detach(self) -> "_Tensor":
        return self

    cpu = detach

    def numpy(self) -> np.ndarray:
        return self._values.copy()


class _OfNumba(_Array):
    """An array of Numba's."""

    __module__ = "numba.cuda.cudadrv.devicearray"
    get = property()

    def copy_to_host(self) -> np.ndarray:
        return self._values.copy()


class _Frame(_Array):
    """A data frame of cuDF's, whose columns lie in places of their own."""

    __module__ = "cudf.core.dataframe"
    get = property()
    __cuda_array_interface__ = property()

    def to_numpy(self) -> np.ndarray:
        return self._values.copy()


class _Exchanged(_Array):
    """An array of a library that knows DLPack only."""

    __module__ = "elsewhere"
    get = property()
    __cuda_array_interface__ = property()

    device = "cuda:0"

    def __array_namespace__(self) -> Any:
        return types.SimpleNamespace(asarray=lambda values, **_: _Exchanged(values))

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self) -> np.ndarray:
        return self._values


@pytest.fixture
def foreign(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return for each library its arrays, and what predictions for them come back as."""
    torch: Any = types.ModuleType("torch")
    torch.as_tensor = lambda values, device: _Tensor(values) if device.index == 0 else None
    waited: list[Any] = []
    stream = types.SimpleNamespace(synchronize=lambda: waited.append(1))
    torch.cuda = types.SimpleNamespace(current_stream=lambda _: stream, waited=waited)
    monkeypatch.setitem(sys.modules, "torch", torch)
    cupy.from_dlpack = lambda array: _Array(array.__dlpack__())
    monkeypatch.setattr(devices, "find_spec", lambda name: name in sys.modules or find_spec(name))
    back = np.ndarray if config.ENABLE_CUDASIM else object
    return {
        "cupy": (_Array, _Array),
        "torch": (_Tensor, _Tensor),
        "numba": (_OfNumba, back),
        "cudf": (_Frame, _Array),
        "DLPack": (_Exchanged, _Exchanged),
    }
