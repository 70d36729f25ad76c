"""Where ``-o`` writes: what is there is replaced by what is whole, or written into.

Links are followed. A file keeps its mode and owner, and is replaced once all is written; a device,
a pipe, a socket or a descriptor (/dev/stdout, ``-``) is written into.
"""

import errno
import io
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from fastgd._readers.errors import Misuse, UserError, reason

STDOUT = Path("-")
_MOST_LINKS = 40
_DESCRIPTOR = re.compile(r"/(?:dev|proc/(self|thread-self|\d+))/fd/(\d+)")
_STANDARD_NAMES = ("stdin", "stdout", "stderr")
_STANDARD = {f"/dev/{name}": number for number, name in enumerate(_STANDARD_NAMES)}


def is_stdout(path: Path | None) -> bool:
    """Tell whether this is where prints go: then notes have to go elsewhere."""
    return path is not None and _resolved(path)[1] == 1


def check_output(path: Path, inputs: Sequence[object] = (), option: str = "-o") -> None:
    """Refuse what cannot be written before there is anything to write.

    Raises
    ------
    UserError
        If there is no such folder, or no right to write there.
    Misuse
        If it is one of the files that are read.
    """
    if "\0" in str(path):
        raise UserError(f"{path} cannot be written: there is a NUL in its name")
    place, descriptor = _resolved(path)
    if descriptor is not None:
        _check_descriptor(path, descriptor, inputs, option)
        return
    if not place.parent.is_dir():
        raise UserError(f"there is no folder {place.parent if path.is_symlink() else path.parent}")
    if place.is_dir():
        raise UserError(f"{path} is a folder; {option} names a file")
    if not place.exists():
        if not os.access(place.parent, os.W_OK):  # now, and not after the training
            raise UserError(f"{path} cannot be written: Permission denied")
        return
    _refuse_inputs(path, place.stat(), inputs, option)
    if not os.access(place, os.W_OK):
        raise UserError(f"{path} cannot be written: Permission denied")


def _check_descriptor(path: Path, number: int, inputs: Sequence[object], option: str) -> None:
    """Refuse a descriptor that is closed, or that leads to a file that is read."""
    if number < len(_STANDARD_NAMES) and getattr(sys, _STANDARD_NAMES[number]) is None:
        raise UserError(f"{_STANDARD_NAMES[number]} is closed: there is nowhere to write to.")
    with suppress(OSError):
        there = os.fstat(number)
        if stat.S_ISREG(there.st_mode):
            _refuse_inputs(path, there, inputs, option)


def _refuse_inputs(
    path: Path, there: os.stat_result, inputs: Sequence[object], option: str
) -> None:
    for given in inputs:
        if isinstance(given, Path) and given.exists() and os.path.samestat(there, given.stat()):
            raise Misuse(f"{option} {path} would overwrite {given}, which is read.")


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open what takes the place of a file once the block has ended well.

    A block that fails leaves a file as it was, and nothing beside it. What is no regular file gets
    each byte as it is written.

    Parameters
    ----------
    path : Path
        A file, old or new, or a link to one; a device, a pipe; ``-`` for stdout.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    with _failures(path):
        place, descriptor = _resolved(path)
        old = _status(place) if descriptor is None else None
        if old is not None and stat.S_ISDIR(old.st_mode):
            raise UserError(f"{path} is a folder; -o names a file")
    if descriptor == 1:
        with _into_stdout() as file:
            yield file
    elif descriptor is not None or (old is not None and not stat.S_ISREG(old.st_mode)):
        with _failures(path):
            target = os.dup(descriptor) if descriptor is not None else os.open(place, os.O_WRONLY)
        with _Written(path, os.fdopen(target, "wb")) as file:
            yield file  # type: ignore[misc]  # as far as writing goes
    else:
        with _instead_of(path, place, old) as file:
            yield file


def _status(place: Path) -> os.stat_result | None:
    try:
        return place.stat()
    except FileNotFoundError:
        return None


def _resolved(path: Path) -> tuple[Path, int | None]:
    """Follow links; return the file, and the descriptor of this process that it stands for."""
    if path == STDOUT:
        return path, 1
    place = path
    for _ in range(_MOST_LINKS):
        place = Path(os.path.realpath(place.parent)) / place.name
        number = _descriptor(str(place))
        if number is not None or not place.is_symlink():
            return place, number
        place = place.parent / place.readlink()
    raise UserError(f"{path} cannot be written: it is a link that leads to itself")


def _descriptor(name: str) -> int | None:
    if name in _STANDARD and not os.path.islink(name):
        return _STANDARD[name]
    match = _DESCRIPTOR.fullmatch(name)
    is_own = match is not None and match[1] in (None, "self", "thread-self", str(os.getpid()))
    return int(match[2]) if match is not None and is_own else None


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written: {reason(error)}") from None


class _Written(io.BufferedIOBase):
    """A file whose failures are reported as those of ``path``, those of the block as they are."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Write bytes."""
        with _failures(self._path):
            return self._file.write(data)

    def flush(self) -> None:
        """Write what waits."""
        if not self._file.closed:
            with _failures(self._path):
                self._file.flush()

    def close(self) -> None:
        """Close the file, also if what waits cannot be written."""
        try:
            with _failures(self._path):
                self._file.close()
        finally:
            with suppress(OSError):
                self._file.close()  # again: lets go of the descriptor, whatever waits
            super().close()


@contextmanager
def _into_stdout() -> Iterator[IO[bytes]]:
    if sys.stdout is None:
        raise UserError("stdout is closed: there is nowhere to write to.")
    sys.stdout.flush()
    yield sys.stdout.buffer
    try:
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"stdout cannot be written: {reason(error)}") from None


@contextmanager
def _instead_of(path: Path, place: Path, old: os.stat_result | None) -> Iterator[IO[bytes]]:
    """Write a scratch file beside a file, then put it in the file's place.

    A file that has other names too (hard links), or an owner who would change, stays the same file:
    it is written over, once there is all to write.
    """
    if old is not None and not os.access(place, os.W_OK):
        raise UserError(f"{path} cannot be written: Permission denied")
    scratch = place.parent / f".fastgd-{secrets.token_hex(8)}"
    try:
        with _failures(path):
            file, is_alike = _scratch_file(scratch, old)
        with _Written(path, file) as written:
            yield written  # type: ignore[misc]  # as far as writing goes
            written.flush()
            if not is_alike:
                with _failures(path):
                    _copied(file, place)
        if is_alike:
            with _failures(path):
                _moved(scratch, place)
    finally:
        with suppress(OSError):
            scratch.unlink()


def _scratch_file(scratch: Path, old: os.stat_result | None) -> tuple[IO[bytes], bool]:
    """Return a new file, and whether it may take the old one's place."""
    if old is None:
        return _created(scratch, 0o666), True  # less what the umask takes
    if old.st_nlink > 1:
        return tempfile.TemporaryFile(), False
    try:
        file = _created(scratch, 0o600)
    except PermissionError:  # the folder's: the file itself can be written
        return tempfile.TemporaryFile(), False
    return file, _made_alike(file.fileno(), old)


def _created(scratch: Path, mode: int) -> IO[bytes]:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(scratch, flags, mode), "w+b")


def _made_alike(descriptor: int, old: os.stat_result) -> bool:
    """Give a file the owner and the mode of another; return whether that is allowed."""
    if not hasattr(os, "fchown"):
        return True
    try:
        now = os.fstat(descriptor)
        if (now.st_uid, now.st_gid) != (old.st_uid, old.st_gid):
            os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
    except PermissionError:
        return False
    return True


def _moved(scratch: Path, place: Path) -> None:
    try:
        scratch.replace(place)
    except OSError:
        if not place.exists():
            raise
        with scratch.open("rb") as file:  # over a file that is mounted by itself, as in containers
            _copied(file, place)


def _copied(file: IO[bytes], place: Path) -> None:
    """Write a file over another, for which there is room: else that stays as it was."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    with place.open("r+b") as target:
        _make_room(target, size)
        shutil.copyfileobj(file, target)
        target.truncate()


def _make_room(target: IO[bytes], size: int) -> None:
    """Take the room of ``size`` bytes on the disk, if a file has less."""
    old = os.fstat(target.fileno()).st_size
    if size <= old or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(target.fileno(), old, size - old)
    except OSError as error:
        target.truncate(old)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
