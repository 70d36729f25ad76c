"""BLAS kept to one thread while a kernel calls it for a batch at a time.

With its threads free, BLAS's small products inside a batch fall from 90 GFLOP/s to below 1 when
the machine is busy, because each of them waits for all threads.
"""

import functools
from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController


@functools.cache
def _controller() -> ThreadpoolController:
    """Look for the BLAS libraries once: it takes milliseconds."""
    return ThreadpoolController()


def one_blas_thread() -> AbstractContextManager[object]:
    """Hold BLAS to one thread, and give its threads back afterwards."""
    limits: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limits
