"""Numba's events: when compilation begins and ends."""

from collections.abc import Callable

from numba.core import event

from fastgd.kernels._jit._fingerprint import PACKAGE


def watch_compilation(begun: Callable[[str], object], ended: Callable[[], object]) -> None:
    """Have ``begun(name)`` called when a kernel's compilation begins, and ``ended()`` after it.

    Neither is called for a kernel that is read from disk, nor for what a kernel compiles on its
    way. The calls come from the thread that compiles, which holds numba's lock.
    """
    event.register("numba:compile", _Compilations(begun, ended))


class _Compilations(event.Listener):
    """Picks the outermost compilations of this package out of numba's events."""

    def __init__(self, begun: Callable[[str], object], ended: Callable[[], object]) -> None:
        self._begun, self._ended, self._depth = begun, ended, 0

    def on_start(self, event: event.Event) -> None:
        function = event.data["dispatcher"].py_func
        if self._depth == 0:
            if not (function.__module__ or "").startswith(f"{PACKAGE}."):
                return
            self._begun(function.__name__)
        self._depth += 1

    def on_end(self, event: event.Event) -> None:
        if self._depth == 0:
            return
        self._depth -= 1
        if self._depth == 0:
            self._ended()
