"""Who computes: threads for what is large and independent, and BLAS held to one of them.

Results do not depend on the number of threads. Work is cut into shards by its size alone, and
their results are combined in the shards' order; threads only take shards off the list. They are
Python's, which wait for nothing but each other, and run while kernels hold no lock.

With its own threads free, BLAS's small products inside a batch fall from 90 GFLOP/s to below 1
when the machine is busy, because each of them waits for all threads.
"""

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

import joblib
from threadpoolctl import ThreadpoolController

LIMITS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")  # joblib's and Dask's workers set the second

_allowed: ContextVar[int | None] = ContextVar("fastgd_threads", default=None)


def n_threads(n_jobs: int | None) -> int:
    """Return how many threads ``n_jobs`` allows.

    None: as many as there are processors, or fewer where ``NUMBA_NUM_THREADS`` or
    ``OMP_NUM_THREADS`` is set, as it is in the workers of joblib and Dask. -1: one for each
    processor; -2: one less, and so on.

    Raises
    ------
    ValueError
        If it is 0.
    """
    processors = int(joblib.cpu_count())
    if n_jobs is None:
        limits = [os.environ.get(name, "") for name in LIMITS]
        return min([processors, *(int(limit) for limit in limits if limit.isdigit())]) or 1
    if n_jobs == 0:
        raise ValueError("n_jobs must be None, a positive number or a negative one, got 0.")
    return int(n_jobs) if n_jobs > 0 else max(processors + 1 + int(n_jobs), 1)


@contextmanager
def threads(n_jobs: int | None) -> Iterator[None]:
    """Let ``in_threads`` use what ``n_jobs`` allows."""
    token = _allowed.set(n_threads(n_jobs))
    try:
        yield
    finally:
        _allowed.reset(token)


def in_threads(task: Callable[..., Any], *arguments: Iterable[Any]) -> list[Any]:
    """Return ``task`` of each of the arguments, in their order.

    What a task hands to ``in_threads`` runs in the task's own thread, so that none waits for
    another.
    """
    allowed = _allowed.get()
    allowed = n_threads(None) if allowed is None else allowed
    calls = list(zip(*arguments, strict=True))
    if min(allowed, len(calls)) < 2:
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
def _controller() -> ThreadpoolController:
    """Look for the BLAS libraries once: it takes milliseconds."""
    return ThreadpoolController()


def one_blas_thread() -> AbstractContextManager[object]:
    """Hold BLAS to one thread, and give its threads back afterwards."""
    limits: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limits
