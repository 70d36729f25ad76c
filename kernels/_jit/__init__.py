"""The only place where numba's options stand, and a disk cache that can be trusted.

``kernel`` compiles an entry point and keeps its machine code on disk; ``helper`` compiles what
entry points call, with the same options and no cache of its own.
"""

from fastgd.kernels._collector import collector_paused

with collector_paused():
    from fastgd.kernels._jit._blame import remember
    from fastgd.kernels._jit._cache import cache_folder, count_compiled
    from fastgd.kernels._jit._events import watch_compilation
    from fastgd.kernels._jit._options import FASTMATH, INLINED, NO_WRAPPER, helper, kernel
    from fastgd.kernels._jit._places import (
        compiled_for,
        count_shipped,
        fill,
        known_levels,
        levels_here,
    )

__all__ = [
    "FASTMATH",
    "INLINED",
    "NO_WRAPPER",
    "cache_folder",
    "collector_paused",
    "compiled_for",
    "count_compiled",
    "count_shipped",
    "fill",
    "helper",
    "kernel",
    "known_levels",
    "levels_here",
    "remember",
    "watch_compilation",
]
