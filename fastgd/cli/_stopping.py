"""Signals that end a command: they unwind it, so that nothing half-written is left."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

STATUS = 128  # and the signal's number: as a shell reports what a signal has ended


class Stopped(BaseException):
    """A signal has come that asks the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = STATUS + number


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped(number)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP raise while the block runs.

    A fit of the library answers the first Ctrl-C by ending where it is, unless there is a handler
    as here: a command that was interrupted saves no model. Signals that are ignored (nohup) stay
    so, and only the main thread can set handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for name, handler, usual in (
        ("SIGINT", _interrupt, signal.default_int_handler),
        ("SIGTERM", _stop, signal.SIG_DFL),
        ("SIGHUP", _stop, signal.SIG_DFL),
    ):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is usual:
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)
