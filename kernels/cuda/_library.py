"""CuPy, where it is installed: the only file that knows of it."""

import contextlib
import functools
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from fastgd.kernels.cuda._compiler import IS_SIMULATED


@functools.cache
def cupy() -> Any:
    """Return CuPy, whose products are cuBLAS's; None where it is not installed.

    Its arrays are views of ours.
    """
    if IS_SIMULATED or find_spec("cupy") is None:
        return None
    return import_module("cupy")


def queued() -> Any:
    """Return a context in which CuPy's work is queued where our drivers are.

    Its user may have chosen another stream, whose work need not wait for theirs.
    """
    of_library = getattr(cupy(), "cuda", None)
    return contextlib.nullcontext() if of_library is None else of_library.Stream.null
