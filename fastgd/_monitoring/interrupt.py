"""Ctrl-C asks a fit to stop where nothing is half-written; a second one interrupts it at once."""

import _signal  # type: ignore[import-not-found]
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# In a search the second Ctrl-C may meet the next fit already.
SOON = 2.0  # seconds

# ``signal``'s own functions look each handler up in an enumeration, where it is not.
INTERRUPT = int(signal.SIGINT)
SAID = b"\nfastgd: stopping at the next batch; Ctrl-C again interrupts at once\n"


class _Handler:
    """Of SIGINT while a fit runs: the first one asks."""

    last = -float("inf")  # of any fit

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask, self._has_asked = ask, False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        is_second = self._has_asked or now - _Handler.last < SOON
        _Handler.last, self._has_asked = now, True
        if is_second:
            signal.default_int_handler(number, frame)
        self._ask()
        _say()


def _say() -> None:
    """Tell a terminal; by the descriptor, for a print may be what was interrupted."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if sys.stderr.isatty():
            os.write(sys.stderr.fileno(), SAID)


@contextmanager
def asking_to_stop(ask: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C call ``ask`` in place of raising KeyboardInterrupt, the first time.

    Only in the main thread, where Python handles signals, and only in place of Python's own
    handler: another one was set by somebody who decides what an interrupt means.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or _signal.getsignal(INTERRUPT) is not signal.default_int_handler:
        yield
        return
    handler = _Handler(ask)
    _signal.signal(INTERRUPT, handler)
    try:
        yield
    finally:
        last = _signal.signal(INTERRUPT, signal.default_int_handler)
        if last is not handler:  # somebody has set another meanwhile
            _signal.signal(INTERRUPT, last)
