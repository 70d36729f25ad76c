"""Files that other processes see whole or not at all, and that leave nothing behind.

A file is written without a name where the system has such files (Linux): whatever ends the process,
a kill or a full disk, they vanish with it. It gets its name when it is complete. Elsewhere it is
written under a name of its own beside its place, and one that a killed process has left there is
removed an hour later, when the next file is written.
"""

import contextlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STALE = 3600.0  # seconds: nobody takes so long to write one file
_SCRATCH = re.compile(r"(.+)\.[0-9a-f]{32}\.tmp")


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Open a binary file that takes the place of ``path`` when the block ends without an error.

    Raises
    ------
    OSError
        If it cannot be written; what was at ``path`` is still there.
    """
    folder, name = os.path.split(os.fspath(path))
    scratch = os.path.join(folder, f"{name}.{uuid.uuid4().hex}.tmp")
    nameless = _nameless(folder or ".")
    try:
        with nameless or open(scratch, "xb") as file:
            yield file
            file.flush()
            if nameless is not None:
                _give_name(file, folder or ".", os.path.basename(scratch))
        os.replace(scratch, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(scratch)
        raise


def _nameless(folder: str) -> Any:
    """Open a file that has no name, None where that is not possible."""
    if not hasattr(os, "O_TMPFILE") or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return os.fdopen(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666), "w+b")
    except OSError:  # the file system has none, or whatever opening by name will tell
        return None


def _give_name(file: Any, folder: str, name: str) -> None:
    """Give a nameless file a name; where links are forbidden, copy it."""
    place = os.open(folder, os.O_RDONLY)
    try:
        # with a folder's descriptor Python follows the link that stands in /proc
        os.link(f"/proc/self/fd/{file.fileno()}", name, dst_dir_fd=place, follow_symlinks=True)
    except OSError:
        file.seek(0)
        with open(os.path.join(folder, name), "xb") as copy:
            shutil.copyfileobj(file, copy)
    finally:
        os.close(place)


def remove_stale(folder: str | os.PathLike[str], is_ours: Callable[[str], bool]) -> None:
    """Remove what killed processes have left of files whose name ``is_ours``."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _SCRATCH.fullmatch(entry.name)
            if match is None or not is_ours(match[1]):
                continue
            with contextlib.suppress(OSError):
                if time.time() - entry.stat().st_mtime > STALE:
                    os.unlink(entry.path)
