"""A device that takes memory and launches, and computes nothing, behind numba-cuda's own classes.

The simulator replaces these classes by others, so that what they refuse is not seen there: which
arguments a launch takes, which attributes and shapes arrays have, by which types drivers are
compiled. Here the calls of CUDA's driver are replaced, and nothing above them: memory is the
host's, a launch is noted, its arguments prepared as ever.
"""

import contextlib
import ctypes
import importlib
import types
from pathlib import Path
from typing import Any

import numpy as np

from fastgd import kernels

CAPABILITY, MULTIPROCESSORS = (9, 0), 132
MEMORY = 100 << 30


class Pretended:
    """What has become of the device.

    Attributes
    ----------
    counts : dict of str to int, how often memory was asked for and copied, and drivers launched;
        ``again`` are those of them whose arguments were prepared before
    compiled : list of (str, tuple of types), the drivers' names and what they were compiled for
    functions : list of (function, tuple of types), the same with what is compiled
    free : int, bytes of memory that it says are free
    queued : list of (str, (int, int, int), list of bytes), launches: driver, grid, arguments
    """

    def __init__(self) -> None:
        self.counts = dict.fromkeys(("sent", "fetched", "copied", "asked", "launched", "again"), 0)
        self.compiled: list[tuple[str, Any]] = []
        self.functions: list[tuple[Any, Any]] = []
        self.free = MEMORY
        self.queued: list[Any] = []
        self._held: dict[int, Any] = {}

    @property
    def held(self) -> int:
        """Return how many arrays have memory."""
        return len(self._held)

    def allocate(self, size: int) -> Any:
        from cuda.bindings import driver

        self.counts["asked"] += 1
        buffer = ctypes.create_string_buffer(size)
        address = ctypes.addressof(buffer)
        self._held[address] = buffer
        return driver.CUdeviceptr(address)

    def release(self, pointer: Any) -> None:
        del self._held[int(pointer)]

    def copies(self, kind: str) -> Any:
        """Return what copies memory, and counts it."""

        def copy(to: int, source: int, size: int) -> None:
            self.counts[kind] += 1
            on_device = {"sent": [to], "fetched": [source], "copied": [to, source]}[kind]
            for address in on_device:
                assert self._holds(address, size), f"{size} bytes reach beyond the device's memory"
            ctypes.memmove(to, source, size)

        return copy

    def _holds(self, address: int, size: int) -> bool:
        return any(
            first <= address and address + size <= first + len(buffer)
            for first, buffer in self._held.items()
        )


class _Compiled:
    """A driver compiled for some types, as far as a launch asks it."""

    cooperative = debug = launch_config_sensitive = False
    extensions: tuple[Any, ...] = ()
    entry_point = None  # what a dispatcher that is collected has numba-cuda forget

    def __init__(self, name: str, argument_types: Any) -> None:
        from numba.cuda import dispatcher

        self.name = name
        own = type(self)
        own.launch, own._prepare_args = (  # type: ignore[attr-defined]
            dispatcher._Kernel.launch,
            dispatcher._Kernel._prepare_args,
        )
        self.argument_types = argument_types
        function = types.SimpleNamespace(kernel=types.SimpleNamespace(handle=self), handle=id(self))
        self._codelibrary = types.SimpleNamespace(get_cufunc=lambda: function)

    def max_cooperative_grid_blocks(self, _: int) -> int:
        return 2 * MULTIPROCESSORS


@contextlib.contextmanager
def pretended(monkeypatch: Any) -> Any:
    """Have numba-cuda find a device; give what becomes of it."""
    from fastgd._runtime import devices

    found = Pretended()
    with monkeypatch.context() as patch:
        memory = _replace_calls(patch, found).memory_manager
        _replace_launches(patch, found)
        _forget_what_is_compiled(patch)
        patch.setattr(devices, "_first_process", [])
        try:
            yield found
        finally:
            memory.deallocations.clear()
            for held in memory.allocations.values():  # is freed later, when there is no driver
                held._finalizer.detach()
                held.is_managed = False


def _replace_calls(patch: Any, found: Pretended) -> Any:
    """Answer what is asked of CUDA's driver; return the device's context."""
    from numba.cuda.cudadrv import devices, driver

    answers = {
        "cuMemAlloc": found.allocate,
        "cuMemFree": found.release,
        "cuMemcpyHtoD": found.copies("sent"),
        "cuMemcpyDtoH": found.copies("fetched"),
        "cuMemcpyDtoD": found.copies("copied"),
        "cuMemGetInfo": lambda: (found.free, MEMORY),
        "cuCtxSynchronize": lambda: None,
        "is_initialized": True,
        "initialization_error": None,
    }
    for name, answer in answers.items():
        patch.setitem(driver.driver.__dict__, name, answer)
    patch.setattr(driver, "_logger", driver.make_logger(), raising=False)
    device = types.SimpleNamespace(
        id=0,
        name="pretended",
        compute_capability=CAPABILITY,
        COOPERATIVE_LAUNCH=1,
        MULTIPROCESSOR_COUNT=MULTIPROCESSORS,
    )
    context = driver.Context(device, None)
    context.prepare_for_use()
    patch.setattr(devices._Runtime, "get_or_create_context", lambda *_: context)
    patch.setattr(devices._Runtime, "ensure_context", lambda _: contextlib.nullcontext())
    return context


def _replace_launches(patch: Any, found: Pretended) -> None:
    """Note what is compiled and launched."""
    from cuda.bindings import driver as bindings
    from numba.cuda import dispatcher
    from numba.cuda.core import sigutils

    by_handle: dict[int, _Compiled] = {}

    def compile_for(kernel: Any, signature: Any) -> Any:
        argument_types, _ = sigutils.normalize_signature(signature)
        if argument_types not in kernel.overloads:
            found.compiled.append((kernel.py_func.__name__, argument_types))
            found.functions.append((kernel.py_func, argument_types))
            compiled = _Compiled(kernel.py_func.__name__, argument_types)
            by_handle[id(compiled)] = compiled
            kernel.add_overload(compiled, argument_types)
        return kernel.overloads[argument_types]

    def queue(handle: Any, grid: Any, arguments: list[bytes]) -> None:
        limits = 1 << 31, 1 << 16, 1 << 16
        assert all(0 < size < limit for size, limit in zip(grid, limits, strict=True))
        found.counts["launched"] += 1
        found.queued.append((handle.name, tuple(grid), arguments))

    def launch(_: Any, config: Any, kernel: Any, *arguments: Any) -> None:
        assert None not in arguments
        queue(kernel.handle, config.grid, [*map(_bytes_of, arguments)])

    def launch_again(number: int, *given: Any) -> tuple[int]:
        found.counts["again"] += 1
        handle = by_handle[number]
        sizes = [size for kind in handle.argument_types for size in _sizes_of(kind)]
        places = (ctypes.c_void_p * len(sizes)).from_address(given[-2])
        arguments = [*map(ctypes.string_at, places, sizes)]
        queue(handle, given[:3], arguments)
        return (0,)

    patch.setattr(bindings, "cuLaunchKernel", launch_again)
    patch.setattr(dispatcher.CUDADispatcher, "compile", compile_for)
    patch.setattr(dispatcher, "launch", launch)
    patch.setattr(dispatcher, "LaunchConfig", types.SimpleNamespace)
    patch.setattr(dispatcher.driver, "_to_core_stream", lambda stream: stream)


def _bytes_of(argument: Any) -> bytes:
    """Return what cuda-core hands over of an argument."""
    if isinstance(argument, (bool, np.bool_)):
        return bytes(ctypes.c_bool(argument))
    return bytes(ctypes.c_int64(argument) if isinstance(argument, (int, np.integer)) else argument)


def _sizes_of(kind: Any) -> list[int]:
    """Return the bytes of what an argument of a type is taken apart into."""
    from numba.cuda import types as kinds

    if isinstance(kind, kinds.BaseTuple):
        return [size for part in kind for size in _sizes_of(part)]
    if isinstance(kind, kinds.Array):
        return [8] * (5 + 2 * kind.ndim)
    return [1 if kind == kinds.boolean else kind.bitwidth // 8]


def _forget_what_is_compiled(patch: Any) -> None:
    """Let drivers compile anew, and forget it again afterwards."""
    from fastgd.kernels.cuda._compiler import Driver

    for path in Path(kernels.__path__[0], "cuda").glob("[!_]*.py"):
        module = importlib.import_module(f"fastgd.kernels.cuda.{path.stem}")
        for driver in vars(module).values():
            if isinstance(driver, Driver):
                patch.setattr(driver, "_kernels", {})
                patch.setattr(driver, "_on_grids", {})
