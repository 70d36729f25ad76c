"""Compilation in a child process, once a process of the tests has grown.

What a process can call keeps all that numba took to compile it, 5 to 30 MB for a training's kernel:
the whole suite would leave gigabytes in each worker. Machine code that comes from the disk takes a
tenth of that. So a process that has grown tells a child what to compile, and reads what the child
wrote. The child compiles one signature after the other until it has grown as well: the helpers
that it knows by then are half of what a first compilation takes. It forgets each kernel once that
is written, which leaves a third of the growth, so that it lives three times as long.
"""

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import operator
import os
import signal
import sys
import threading
import warnings
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from llvmlite.binding import ffi
from numba.core import config, sigutils
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher

LIMIT = 800_000_000  # bytes in memory from which on a child compiles
GROWTH = 400_000_000  # bytes that a child may take beside those it shares, then another is started
PATIENCE = 10  # seconds that a child may idle: a fork may wait for ever for another thread's lock


def compile_in_children() -> None:
    """Let this process compile in children from ``LIMIT`` on; kernels are to be imported later."""
    if sys.platform != "linux" or config.DISABLE_JIT:
        return
    compile_here = Dispatcher.compile
    compiler = _Compiler()
    atexit.register(compiler.end)

    @functools.wraps(compile_here)
    def compile_there(dispatcher: Any, signature: Any) -> Any:
        if compiler.is_useful() and (entry := _entry_to_come(dispatcher, signature)):
            compiler.compile(dispatcher.py_func, signature, entry)
        return compile_here(dispatcher, signature)

    Dispatcher.compile = compile_there


class _Compiler:
    """A child process that compiles, started when there is something to compile.

    Whatever goes wrong there, this process finds nothing on disk, and compiles itself; where a
    child did not answer, there is no other one.
    """

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._answers = True
        self._child = 0
        self._connection: Connection | None = None

    def is_useful(self) -> bool:
        """Tell whether this process has grown, and may have a child."""
        is_owner = os.getpid() == self._owner  # a fork has the connection, and no child
        is_main = threading.current_thread() is threading.main_thread()  # all that a child has
        return self._answers and is_owner and is_main and _resident() > LIMIT

    def compile(self, function: Any, signature: Any, entry: Any) -> None:
        """Have a function compiled for a signature, and its machine code written to the disk."""
        goes_on = False
        try:
            if self._connection is None:
                self._start()
            self._connection.send((function.__module__, function.__qualname__, signature, entry))
            self._answers = self._waits()
            goes_on = self._answers and self._connection.recv()
        except Exception:
            goes_on = False
        finally:  # after Ctrl-C, too: the answer would be taken for the next one
            if not goes_on:
                self.end()

    def _waits(self) -> bool:
        """Wait for the child's answer; tell whether it comes. A slow machine is no reason to go."""
        spent = -1
        while not self._connection.poll(PATIENCE):
            before, spent = spent, _ticks(self._child)
            if spent == before:
                return False
        return True

    def end(self) -> None:
        """End the child, if there is one."""
        if self._connection is not None and os.getpid() == self._owner:
            self._connection.close()
            self._connection = None
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._child, signal.SIGKILL)  # it may wait for what never comes
                os.waitpid(self._child, 0)

    def _start(self) -> None:
        own, its = Pipe()
        # a collected library is closed in any thread, under LLVM's lock
        with global_compiler_lock, ffi.lib._lock, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
            child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                _let_go_of_all_but(its.fileno())
                _serve(its)
            os._exit(0)
        its.close()
        self._connection, self._child = own, child  # without a child there is none to be ended


def _let_go_of_all_but(descriptor: int) -> None:
    """Point all other descriptors to nothing: who waits for a pipe's end would wait for this child.

    They are not closed, lest a file that is collected closes what has its number by then.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for other in map(int, os.listdir("/proc/self/fd")):
        if other not in (descriptor, nothing):
            os.dup2(nothing, other)


def _serve(connection: Connection) -> None:
    """Compile what is asked for, silently; answer whether to go on."""
    limit = _resident() + GROWTH
    gc.freeze()  # what the parent has is not looked through after each kernel
    with (
        open(os.devnull, "w") as nothing,
        contextlib.redirect_stdout(nothing),
        contextlib.redirect_stderr(nothing),
    ):
        while True:
            module, name, signature, entry = connection.recv()
            with contextlib.suppress(Exception):
                dispatcher = operator.attrgetter(name)(importlib.import_module(module))
                if _entry_to_come(dispatcher, signature) == entry:
                    dispatcher.compile(signature)
                    _forget(dispatcher)
            connection.send(_resident() < limit)


def _forget(dispatcher: Any) -> None:
    """Give back what a kernel's compilation took; its helpers stay."""
    dispatcher._reset_overloads()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def _ticks(process: int) -> int:
    """Return how long a process has computed, in ticks of the clock."""
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[11]) + int(after_name[12])


def _resident() -> int:
    """Return how many bytes of this process are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _entry_to_come(dispatcher: Any, signature: Any) -> Any:
    """Return the place of a new signature's code, which this process will read; None if not so."""
    from fastgd.kernels._jit._cache import Cache

    if not isinstance(dispatcher._cache, Cache) or not dispatcher._can_compile:
        return None
    if tuple(sigutils.normalize_signature(signature)[0]) in dispatcher.overloads:
        return None
    entry = next(dispatcher._cache.entries(signature, dispatcher.targetctx.codegen()), None)
    return None if entry is None or os.path.exists(entry.path) else entry
