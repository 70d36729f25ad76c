"""Compilation in child processes, once a process of the tests has grown.

Numba gives nothing back of what it takes for a compilation, 5 to 30 MB for a training's kernel:
the whole suite would leave gigabytes in each worker. Machine code that comes from the disk takes a
tenth of that. So a process that has grown lets a child compile, and reads what the child wrote,
which takes the processor no longer.
"""

import contextlib
import functools
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core import config, sigutils
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher

LIMIT = 800_000_000  # bytes in memory from which on children compile
LONGEST = 300  # seconds that a child may take, lest it waits for ever for another thread's lock


def compile_in_children() -> None:
    """Let this process compile in children from ``LIMIT`` on; kernels are to be imported later."""
    if sys.platform != "linux" or config.DISABLE_JIT:
        return
    compile_here = Dispatcher.compile

    @functools.wraps(compile_here)
    def compile_there(dispatcher: Any, signature: Any) -> Any:
        if _resident() > LIMIT and _will_be_cached(dispatcher, signature):
            _in_a_child(functools.partial(compile_here, dispatcher, signature))
        return compile_here(dispatcher, signature)

    Dispatcher.compile = compile_there


def _resident() -> int:
    """Return how many bytes of this process are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _will_be_cached(dispatcher: Any, signature: Any) -> bool:
    """Tell whether a signature is new, and its code will be on disk for this process to read."""
    from fastgd.kernels._jit._cache import Cache

    if not isinstance(dispatcher._cache, Cache) or not dispatcher._can_compile:
        return False
    if tuple(sigutils.normalize_signature(signature)[0]) in dispatcher.overloads:
        return False
    entry = next(dispatcher._cache.entries(signature, dispatcher.targetctx.codegen()), None)
    return entry is not None and not os.path.exists(entry.path)


def _in_a_child(call: Callable[[], object]) -> None:
    """Call in a child process. Whatever goes wrong there, this process finds nothing on disk."""
    if threading.current_thread() is not threading.main_thread():
        return  # a child has no other thread
    with global_compiler_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LONGEST)
            with contextlib.suppress(BaseException):
                call()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
