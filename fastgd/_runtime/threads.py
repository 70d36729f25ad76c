"""Who computes: threads for what is large and independent, and BLAS held to one of them.

Results do not depend on the number of threads. Work is cut into shards by its size alone, and
their results are combined in the shards' order; threads only take shards off the list. They are
Python's, which wait for nothing but each other, and run while kernels hold no lock.

With its own threads free, BLAS's small products inside a batch fall from 90 GFLOP/s to below 1
when the machine is busy, because each of them waits for all threads.
"""

import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import joblib
from joblib.parallel import get_active_backend
from threadpoolctl import ThreadpoolController

# joblib's and Dask's workers set the last one
LIMITS = ("FASTGD_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS")

_allowed: ContextVar[int | None] = ContextVar("fastgd_threads", default=None)


def n_threads(n_jobs: int | None) -> int:
    """Return how many threads ``n_jobs`` allows.

    None is one job, as in scikit-learn, where a job computes on all threads of BLAS and OpenMP.
    Here threads of ours have their place: as many as ``joblib.parallel_config`` says around the
    call; one in a thread of joblib's; else as many as there are processors, or fewer where the
    environment limits them by ``FASTGD_NUM_THREADS``, ``NUMBA_NUM_THREADS`` or
    ``OMP_NUM_THREADS``, as it does in the processes of joblib and Dask. -1: one for each processor;
    -2: one less, and so on.

    Raises
    ------
    ValueError
        If it is 0.
    """
    if n_jobs is None:
        backend, n_jobs = get_active_backend()
        if n_jobs is None:
            is_worker = getattr(backend, "nesting_level", 0) > 0
            in_own_thread = threading.current_thread() is not threading.main_thread()
            return 1 if is_worker and in_own_thread else _allowed_by_environment()
    if n_jobs == 0:
        raise ValueError("n_jobs must be None, a positive number or a negative one, got 0.")
    return int(n_jobs) if n_jobs > 0 else max(_processors(os.getpid()) + 1 + int(n_jobs), 1)


def _allowed_by_environment() -> int:
    """Return the number of processors, or what the environment allows of them."""
    limits = [os.environ.get(name, "") for name in LIMITS]
    counts = [int(limit) for limit in limits if limit.isdigit()]
    return min([_processors(os.getpid()), *counts]) or 1


@functools.cache
def _processors(_process: int) -> int:
    """Return how many this process may use; to look for limits of containers reads files."""
    return int(joblib.cpu_count())


@contextmanager
def threads(n_jobs: int | None) -> Iterator[None]:
    """Let ``in_threads`` use what ``n_jobs`` allows; None leaves it as it is around the call."""
    token = _allowed.set(_allowed.get() if n_jobs is None else n_threads(n_jobs))
    try:
        yield
    finally:
        _allowed.reset(token)


def n_allowed() -> int:
    """Return how many threads ``in_threads`` may use here."""
    allowed = _allowed.get()
    return n_threads(None) if allowed is None else allowed


def in_threads(task: Callable[..., Any], *arguments: Iterable[Any]) -> list[Any]:
    """Return ``task`` of each of the arguments, in their order.

    What a task hands to ``in_threads`` runs in the task's own thread, so that none waits for
    another.
    """
    calls = list(zip(*arguments, strict=True))
    if len(calls) < 2:
        return [task(*call) for call in calls]
    allowed = n_allowed()
    if allowed < 2:
        return [task(*call) for call in calls]

    def alone(call: tuple[Any, ...]) -> Any:
        token = _allowed.set(1)
        try:
            return task(*call)
        finally:
            _allowed.reset(token)

    return list(_pool(os.getpid(), allowed).map(alone, calls))


@functools.cache
def _pool(_process: int, size: int) -> ThreadPoolExecutor:
    """Return this process's threads; a fork has none of its parent's."""
    return ThreadPoolExecutor(size, "fastgd")


@functools.cache
def _blas_libraries() -> list[Any]:
    """Look for the BLAS libraries once: it takes milliseconds."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


class _Lowered:
    """Libraries that were set to one thread, and how many they had."""

    def __init__(self, libraries: Iterable[Any]) -> None:
        self._before = [(one, n) for one in libraries if (n := one.num_threads or 1) > 1]
        for library, _ in self._before:
            _set_threads(library, 1)

    def undo(self) -> None:
        """Give them their threads back, but for those that someone else has set meanwhile."""
        for library, n in self._before:
            if library.num_threads == 1:
                _set_threads(library, n)


def _set_threads(library: Any, n: int) -> None:
    """Set a library's threads.

    threadpoolctl 3.8 lets only the thread that has set a number set another one until it is done;
    here the last of many threads gives back what the first one took.
    """
    getattr(library, "_real_set_num_threads", library.set_num_threads)(n)


class _BlasHolders:
    """Counts who wants BLAS on one thread: the first one lowers it, the last one gives it back.

    The setting is the whole process's, so that fits which overlap in threads would each save what
    another one has set. (With OpenMP it is each thread's own, and so is the count.)
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may fit while this thread counts
        self._n_holders, self._lowered = 0, _Lowered([])
        self._own = threading.local()

    def hold(self) -> None:
        """Count one more."""
        with self._lock:
            if self._n_holders == 0:
                self._lowered = _Lowered(_libraries_of(whole_process=True))
            self._n_holders += 1
        depth = getattr(self._own, "depth", 0)
        if depth == 0:
            self._own.lowered = _Lowered(_libraries_of(whole_process=False))
        self._own.depth = depth + 1

    def release(self) -> None:
        """Count one less."""
        self._own.depth -= 1
        if self._own.depth == 0:
            self._own.lowered.undo()
        with self._lock:
            self._n_holders -= 1
            if self._n_holders == 0:
                self._lowered.undo()

    def begin_after_fork(self) -> None:
        """Forget the parent's fits, none of which goes on in a child."""
        before, is_held, own = self._lowered, self._n_holders > 0, self._own
        self._begin()  # the lock, too, may have been taken
        if is_held:
            before.undo()
        if getattr(own, "depth", 0) > 0:
            own.lowered.undo()


@functools.cache
def _libraries_of(*, whole_process: bool) -> tuple[Any, ...]:
    """Return the libraries with one setting for the process, or those with one for each thread."""
    libraries = _blas_libraries()
    own = tuple(one for one in libraries if getattr(one, "threading_layer", None) == "openmp")
    return tuple(one for one in libraries if one not in own) if whole_process else own


_HOLDERS = _BlasHolders()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_HOLDERS.begin_after_fork)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread, and give its threads back when nobody holds it any longer."""
    process = os.getpid()
    _HOLDERS.hold()
    try:
        yield
    finally:
        if os.getpid() == process:  # else this is a fork's copy, which counts anew
            _HOLDERS.release()
