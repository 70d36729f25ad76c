"""Tracebacks without the frames of fastgd: what a user sees last is the user's own line."""

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

OURS = f"{Path(__file__).parent.parent}{os.sep}"
RUNNERS = ("<frozen runpy>", f"{os.sep}runpy.py")


def shortened(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of fastgd, and of what runs a module.

    If no other frame is left, it is returned as it is.
    """
    kept, entry = [], traceback
    while entry is not None:
        if _is_other(entry):
            kept.append(entry)
        entry = entry.tb_next
    following: TracebackType | None = None
    for entry in reversed(kept):
        following = TracebackType(following, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return following if kept else traceback


def _is_other(entry: TracebackType) -> bool:
    name = entry.tb_frame.f_code.co_filename
    return not (name.startswith(OURS) or name.endswith(RUNNERS))


def has_other_frames(traceback: TracebackType | None) -> bool:
    """Tell whether a traceback has a frame that is neither fastgd's nor a runner's."""
    while traceback is not None and not _is_other(traceback):
        traceback = traceback.tb_next
    return traceback is not None


def shorten(error: BaseException) -> None:
    """Shorten the tracebacks of an exception and of those that it followed."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        current.__traceback__ = shortened(current.__traceback__)
        current = current.__cause__ or current.__context__


class _Hook:
    """Of exceptions that nobody catches."""

    def __init__(self, before: Any) -> None:
        self.before = before

    def __call__(
        self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        shorten(error)
        self.before(kind, error, shortened(traceback))


def install() -> None:
    """Shorten the tracebacks of exceptions that nobody catches."""
    if not isinstance(sys.excepthook, _Hook):
        sys.excepthook = _Hook(sys.excepthook)


def uninstall() -> None:
    """Put back the hook that was there, unless somebody has set another one since."""
    if isinstance(sys.excepthook, _Hook):
        sys.excepthook = sys.excepthook.before
