"""The garbage collector, out of the way; nothing here imports numba."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector while much is made that stays: it would walk all of it, often.

    That was a quarter of the time that ``import numba`` takes, and a fifth of a compilation's.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
