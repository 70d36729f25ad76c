"""Launches that are queued again, their arguments prepared once.

numba-cuda looks up the types of a launch's arguments and takes each apart, which takes longer than
most launches run. The steps of a training are the same launches, but for a few whole numbers. What
is queued within ``recorded`` is kept as calls, each of which queues the same again; the numbers
that change are ``Number``s, whose ``cell`` is read anew.
"""

import contextlib
import ctypes
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_thread = threading.local()  # ``kept``: the calls of what is recorded there, if anything is


class Number(np.int64):
    """A whole number that changes from step to step; ``cell`` holds its next value."""

    cell: Any

    def __new__(cls, value: Any) -> "Number":
        made = super().__new__(cls, value)
        made.cell = ctypes.c_int64(int(value))
        return made


@contextlib.contextmanager
def recorded() -> Iterator[list[Callable[[], None]]]:
    """Give the calls that queue again what is queued in this context, in its thread."""
    _thread.kept = calls = []
    try:
        yield calls
    finally:
        _thread.kept = None


def queue(call: Callable[[], Any]) -> None:
    """Queue by a call, which is kept where launches are recorded."""
    call()
    kept = getattr(_thread, "kept", None)
    if kept is not None:
        kept.append(call)


def is_recorded() -> bool:
    """Tell whether what this thread queues is kept."""
    return getattr(_thread, "kept", None) is not None


def latest(argument: Any) -> Any:
    """Return an argument with the next values of its numbers."""
    if isinstance(argument, Number):
        return np.int64(argument.cell.value)
    if isinstance(argument, tuple):
        parts = map(latest, argument)
        return type(argument)(*parts) if hasattr(argument, "_fields") else tuple(parts)
    return argument


class Launch:
    """A launch on the default stream; a call queues it.

    Parameters
    ----------
    compiled : what numba-cuda has compiled for the arguments
    grid, block : (int, int, int)
    arguments : tuple, its arrays on the device
    """

    def __init__(self, compiled: Any, grid: Any, block: Any, arguments: tuple[Any, ...]) -> None:
        from cuda.bindings import driver

        assert not compiled.cooperative, "blocks that wait for each other are launched otherwise"
        parts: list[Any] = []
        for kind, value in zip(compiled.argument_types, arguments, strict=True):
            _take_apart(compiled, kind, value, parts)
        cells = [_cell(part) for part in parts]
        pointers = (ctypes.c_void_p * max(len(cells), 1))(*map(ctypes.addressof, cells))
        self._held = arguments, cells, pointers  # they are read at each call
        handle = int(compiled._codelibrary.get_cufunc().handle)
        given = (handle, *grid, *block, 0, 0, ctypes.addressof(pointers), 0)
        self._queue = functools.partial(driver.cuLaunchKernel, *given)

    def __call__(self) -> None:
        """Queue it; the host does not wait for its end."""
        (status,) = self._queue()
        if status:
            raise RuntimeError(f"CUDA refused a launch: {status.name}")


def _take_apart(compiled: Any, kind: Any, value: Any, parts: list[Any]) -> None:
    """Append what the device is handed of an argument, as numba-cuda does."""
    if isinstance(value, Number):
        parts.append(value.cell)
    elif isinstance(value, tuple):
        for of_part, part in zip(kind, value, strict=True):
            _take_apart(compiled, of_part, part, parts)
    else:
        to_write_back: list[Any] = []
        compiled._prepare_args(kind, value, 0, to_write_back, parts)
        assert not to_write_back, "an array of the host's cannot be launched with again"


def _cell(part: Any) -> Any:
    """Return a part of an argument in memory: whole numbers without a type have 64 bits."""
    if isinstance(part, (bool, np.bool_)):
        return ctypes.c_bool(part)
    return ctypes.c_int64(part) if isinstance(part, (int, np.integer)) else part
