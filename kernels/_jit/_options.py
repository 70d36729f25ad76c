"""The only place where numba's options stand."""

import functools
from collections.abc import Callable
from typing import Any

import numba
from numba import types
from numba.core import errors
from numba.core.targetconfig import ConfigStack

from fastgd.kernels._collector import collector_paused
from fastgd.kernels._jit._blame import blaming
from fastgd.kernels._jit._cache import Cache
from fastgd.kernels._jit._drafts import DraftCompiler, WholeCompiler
from fastgd.kernels._jit._memory import know_classes, remembering
from fastgd.kernels._jit._passes import holds_array

# NaN and inf stay legal (no "nnan", no "ninf"): divergence is detected through them.
FASTMATH = frozenset({"contract", "reassoc", "arcp", "nsz"})
# Numba would wrap every function once more, for callers in C. There are none.
NO_WRAPPER = {"no_cfunc_wrapper": True}
# For the functions of ``numba.extending.overload``: a helper's options, but for what they take over
# from their caller. What differs is compiled once more for each.
INLINED = {"forceinline": True, "nogil": True, "pipeline_class": DraftCompiler, **NO_WRAPPER}


def kernel(function: Callable | None = None, /, **options: Any) -> Any:
    """Compile an entry point on its first call and cache its machine code on disk."""
    if function is None:
        return functools.partial(kernel, **options)
    compiled = _compiled(function, **{"forceinline": False, **options})
    # Absent where NUMBA_DISABLE_JIT left a plain function.
    if hasattr(compiled, "_cache"):
        compiled._cache = Cache(function)
        compiled.compile = blaming(collector_paused()(compiled.compile), _compile_alone)
        compiled._compiler.compile = remembering()(compiled._compiler.compile)
        _know_arguments(compiled)
        _call_a_draft(compiled, functools.cache(lambda: _draft(function, **options)))
    return compiled


def _know_arguments(compiled: Any) -> None:
    """Have numba see at once of what type the specs are that a kernel is called with."""
    find = compiled.typeof_pyval

    def type_of(value: Any) -> Any:
        know_classes(value)
        return find(value)

    compiled.typeof_pyval = type_of


def _call_a_draft(compiled: Any, draft: Callable[[], Any]) -> None:
    """Have compiled code that calls an entry point call its draft; Python goes on as before.

    So what is on disk need not hold what a caller would link.
    """
    compiled.get_call_template = lambda args, kws: draft().get_call_template(args, kws)
    compiled.get_overload = lambda signature: draft().get_overload(signature)


def helper(
    function: Callable | None = None,
    /,
    *,
    allocates: bool = False,
    inlined: bool = True,
    **options: Any,
) -> Any:
    """Compile a function that kernels call; it becomes a part of them.

    A helper that LLVM left as a call would be linked, in the process that compiles, to the copy
    that numba compiled of it alone, and elsewhere to the copy cached with its kernel: two codes,
    whose last digits differ. So helpers are inlined, which costs no time here or there.

    A large one, whose work is worth a call, says ``inlined=False``: then each kernel has a copy of
    its own that it calls. LLVM takes longer for one function than for its parts.

    What allocates no array says so by being silent, and is spared the counting of references, which
    is an atomic addition or more for each array it hands on, in the innermost loop too. Arrays that
    it is given, or parts of them, are borrowed: their owner waits. What allocates may hand its
    arrays to any helper, and return them only to one that allocates. What does not may return what
    it was given, or parts of it, to another one that does not.
    """
    if function is None:
        return functools.partial(helper, allocates=allocates, inlined=inlined, **options)
    options = {"forceinline": inlined, **options}
    draft = _draft(function, allocates, **options)
    if hasattr(draft, "overloads"):
        _run_by_another(draft, _compiled(function, allocates, **options))
    return draft


def _draft(function: Callable, allocates: bool = False, **options: Any) -> Any:
    """Return a function whose compilations are parts of others."""
    options |= {"pipeline_class": DraftCompiler, "no_cpython_wrapper": True}
    draft = _compiled(function, allocates, **options)
    if hasattr(draft, "overloads"):
        _compile_quickly(draft)
    return draft


def _compile_alone(function: Callable, kinds: tuple) -> None:
    """Compile a function for some types as a part of a kernel, which nothing calls."""
    _compiled(function, no_cpython_wrapper=True).compile(kinds)


def _compile_quickly(draft: Any) -> None:
    """Leave out what numba does around a compilation that may come from Python, or be on disk.

    Whole numbers that are constants are compiled as any others, and so once: LLVM sees them.
    """

    def add(found: Any) -> None:
        draft.overloads[tuple(found.signature.args)] = found

    def compile_once(arguments: tuple) -> None:
        if arguments not in draft.overloads:
            draft.add_overload(draft._compiler.compile(arguments, None))

    def call_template(args: Any, kws: Any) -> Any:
        numbers = tuple(map(_any_number, args))
        named = {name: _any_number(kind) for name, kind in dict(kws).items()}
        found = type(draft).get_call_template(draft, numbers, named)
        _refuse_to_count(draft, draft.overloads[tuple(found[2])])
        return found

    draft.add_overload, draft.compile, draft.get_call_template = add, compile_once, call_template


def _refuse_to_count(draft: Any, compiled: Any) -> None:
    """Refuse a caller that counts references what was borrowed by a function that does not.

    It would give up a reference that nobody has added, or free an array of its own while a part of
    it is in use.
    """
    counts = ConfigStack.top_or_none().nrt and not draft.targetoptions["_nrt"]
    if counts and holds_array(compiled.signature.return_type):
        name = draft.py_func.__name__
        raise errors.NumbaTypeError(
            f"{name} returns an array and counts no references, which its caller would give up: "
            "say allocates=True."
        )


def _any_number(kind: Any) -> Any:
    return types.unliteral(kind) if isinstance(kind, types.IntegerLiteral) else kind


def _compiled(function: Callable, allocates: bool = False, **options: Any) -> Any:
    common = {"nogil": True, "error_model": "numpy", "fastmath": set(FASTMATH), **NO_WRAPPER}
    common["pipeline_class"] = WholeCompiler
    return numba.njit(**{**common, **options, "_nrt": allocates})(function)


def _run_by_another(draft: Any, whole: Any) -> None:
    """Have calls from Python go to a function that has machine code, made when it is asked for.

    A pickled draft is that function: numba would make of it one that Python can only crash on.
    """
    draft._compile_for_args = lambda *_, **__: whole
    draft.__reduce__ = whole.__reduce__
