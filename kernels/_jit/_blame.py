"""Whose fault it is that a kernel cannot be compiled: a method of a user's own class, or ours.

A loss, an optimizer or a layer of one's own is compiled into a kernel, and numba tells of a fault
in it by what every function around it was given, in some hundred lines. Those methods are compiled
once more, each alone, and the one that fails is named.
"""

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from numba.core import errors, types

from fastgd.kernels._jit._fingerprint import is_ours


class _Method(NamedTuple):
    """A method that a kernel calls, and the types of what it is given."""

    function: Callable
    kinds: tuple

    @property
    def owner(self) -> type:
        """The class of the spec."""
        return self.kinds[0].instance_class


# numba asks once for each type, whatever kernels call the method then
_methods: list[_Method] = []


def remember(function: Callable, kinds: tuple) -> Callable:
    """Return a spec's method, and keep it in mind if a user wrote it."""
    method = _Method(function, kinds)
    if not is_ours(function.__module__ or "") and method not in _methods:
        _methods.append(method)
    return function


def blaming(compile_kernel: Callable, compile_alone: Callable) -> Callable:
    """Have a compilation that fails by a user's method end with an error that says so.

    Parameters
    ----------
    compile_kernel : callable
    compile_alone : callable
        Compiles a function for a tuple of types, as a kernel would.

    Returns
    -------
    callable
        As ``compile_kernel``, but a ``TypeError`` names the method.
    """

    @functools.wraps(compile_kernel)
    def compile_and_tell(signature: Any, *others: Any) -> Any:
        try:
            return compile_kernel(signature, *others)
        except errors.NumbaError as error:
            given = set(_classes(getattr(signature, "args", signature)))
            for method in _methods:
                reason = _reason(method, compile_alone) if method.owner in given else ""
                if reason:
                    raise TypeError(_say(method, reason)) from error
            raise

    return compile_and_tell


def _classes(kinds: Any) -> Iterator[type]:
    """Find the classes of named tuples in some types, and in what they hold."""
    for kind in kinds:
        if isinstance(kind, types.BaseTuple):
            yield getattr(kind, "instance_class", tuple)
            yield from _classes(kind.types)


def _reason(method: _Method, compile_alone: Callable) -> str:
    """Return numba's words for what is wrong with a method, and the line; none if it compiles."""
    try:
        compile_alone(method.function, method.kinds)
    except errors.NumbaError as error:
        said = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = [line for line in said if not line.startswith(("Failed in ", "- Resolution "))]
        reason = said[0] if said else type(error).__name__
        if reason.endswith("for signature:") and len(said) > 1:
            reason += said[1].replace(">>>", "")
        file = re.escape(re.split(r"[/\\]", method.function.__code__.co_filename)[-1])
        lines = re.findall(rf'{file}", line (\d+)', str(error))
        return f"{reason.rstrip('.:')}{f', line {lines[-1]}' if lines else ''}"
    return ""


def _say(method: _Method, reason: str) -> str:
    return (
        f"The method {method.function.__name__!r} of {method.owner.__name__} cannot be compiled: "
        f"{reason} (in {method.function.__code__.co_filename}). It becomes a part of the innermost "
        "loop, and may compute with numbers, the functions of math and those of NumPy that take "
        "numbers; it must not make arrays, lists or dictionaries, which take memory for each row."
    )
