"""The only place where numba's options stand."""

import functools
from collections.abc import Callable
from typing import Any

import numba
from numba.core.caching import NullCache

from fastgd.kernels._collector import collector_paused
from fastgd.kernels._jit._cache import Cache
from fastgd.kernels._jit._drafts import DraftCompiler

# NaN and inf stay legal (no "nnan", no "ninf"): divergence is detected through them.
FASTMATH = frozenset({"contract", "reassoc", "arcp", "nsz"})
# Numba would wrap every function once more, for callers in C. There are none.
NO_WRAPPER = {"no_cfunc_wrapper": True}
# For the functions of ``numba.extending.overload``.
INLINED = {"forceinline": True, "pipeline_class": DraftCompiler, **NO_WRAPPER}


def kernel(function: Callable | None = None, /, **options: Any) -> Any:
    """Compile an entry point on its first call and cache its machine code on disk."""
    if function is None:
        return functools.partial(kernel, **options)
    compiled = _compiled(function, **{"forceinline": False, **options})
    # Absent where NUMBA_DISABLE_JIT left a plain function.
    if hasattr(compiled, "_cache"):
        is_linked = compiled.targetoptions["forceinline"]
        compiled._cache = Cache(function, is_linked=is_linked)
        if not is_linked:
            compiled.get_call_template = functools.partial(_for_a_caller, compiled)
        compiled.compile = collector_paused()(compiled.compile)
    return compiled


def _for_a_caller(compiled: Any, args: Any, kws: Any) -> Any:
    """Tell another function that is being compiled how to call a kernel, which no kernel does.

    What was read from the disk has nothing that could be linked, so this compiles anew. Numba's
    lock is held.
    """
    kept = compiled._cache
    if tuple(args) in kept.read:
        kept.read.remove(tuple(args))
        del compiled.overloads[tuple(args)]
    compiled._cache = NullCache()
    try:
        return type(compiled).get_call_template(compiled, args, kws)
    finally:
        compiled._cache = kept


def helper(function: Callable | None = None, /, *, allocates: bool = False, **options: Any) -> Any:
    """Compile a function that kernels call; it becomes a part of them.

    A helper that LLVM left as a call would be linked, in the process that compiles, to the copy
    that numba compiled of it alone, and elsewhere to the copy cached with its kernel: two codes,
    whose last digits differ. So all helpers are inlined, which costs no time here or there.

    What allocates no array says so by being silent, and is spared the counting of references, which
    is an atomic addition or more for each array it hands on, in the innermost loop too. Arrays that
    it is given, or parts of them, are borrowed: their owner waits. What allocates may hand its
    arrays to any helper, and return them only to one that allocates.
    """
    if function is None:
        return functools.partial(helper, allocates=allocates, **options)
    options = {"forceinline": True, **options}
    draft = _compiled(
        function, allocates, pipeline_class=DraftCompiler, no_cpython_wrapper=True, **options
    )
    if hasattr(draft, "overloads"):
        _run_by_another(draft, _compiled(function, allocates, **options))
    return draft


def _compiled(function: Callable, allocates: bool = False, **options: Any) -> Any:
    common = {"nogil": True, "error_model": "numpy", "fastmath": set(FASTMATH), **NO_WRAPPER}
    return numba.njit(**{**common, **options, "_nrt": allocates})(function)


def _run_by_another(draft: Any, whole: Any) -> None:
    """Have calls from Python go to a function that has machine code, made when it is asked for.

    A pickled draft is that function: numba would make of it one that Python can only crash on.
    """
    draft.add_overload = lambda found: draft.overloads.update({tuple(found.signature.args): found})
    draft._compile_for_args = lambda *_, **__: whole
    draft.__reduce__ = whole.__reduce__
