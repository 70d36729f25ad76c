"""What is written where: results to stdout; progress, notes and warnings to stderr."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from fastgd._readers.errors import UserError, plain, reason

_troubles: list[str] = []  # of this command with stdout
_names: dict[str, str] = {}  # of files that have another name for who reads messages


@contextmanager
def called(path: Path, name: str) -> Iterator[None]:
    """Let messages call a file by a name while the block runs, and errors that leave it."""
    _names[str(path)] = name
    try:
        yield
    except UserError as error:
        error.args = (renamed(str(error)),)
        raise
    finally:
        del _names[str(path)]


def renamed(text: str) -> str:
    """Return a message with the names that files are called by."""
    for path, name in _names.items():
        text = text.replace(path, name)
    return text


def say(text: str, *, quiet: bool = False) -> None:
    """Print lines of what a person wants to read, at once.

    A command goes on where stdout fails: what it makes is worth more than what it says.
    """
    if quiet or sys.stdout is None:
        return
    try:
        print(_printable(text, sys.stdout), flush=True)
    except OSError as error:
        _give_up(sys.stdout, error)


def result(text: str) -> None:
    """Print what a command was asked for.

    Raises
    ------
    UserError
        If stdout is closed, or takes no more.
    """
    if sys.stdout is None:
        raise UserError("stdout is closed: there is nowhere to write to.")
    try:
        print(_printable(text, sys.stdout), flush=True)
    except BrokenPipeError:  # ``| head`` has seen enough
        raise
    except OSError as error:
        raise UserError(f"stdout cannot be written: {reason(error)}") from None


def _give_up(stream: IO[str], error: Exception) -> None:
    """Lead a stream that fails to nowhere, since Python would complain of it at its end."""
    if stream is sys.stdout and not isinstance(error, BrokenPipeError):
        _troubles.append(f"stdout cannot be written: {reason(error)}")
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def note(text: str, *, quiet: bool = False) -> None:
    """Print a note that is no result; where stderr fails, nothing can be shown."""
    if quiet or sys.stderr is None:
        return
    with suppress(OSError, ValueError):
        print(_printable(text, sys.stderr), file=sys.stderr, flush=True)


def _printable(text: str, stream: IO[str]) -> str:
    """Return lines without control characters, in characters that the stream can encode."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    shown = "\n".join(map(plain, renamed(text).split("\n")))
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def settle() -> str | None:
    """Write what still waits for stdout and stderr; return what went wrong with stdout, if any."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError) as error:
            _give_up(stream, error)
    why = _troubles[0] if _troubles else None
    _troubles.clear()
    return why


def open_standard_files() -> None:
    """Lead closed standard files to nowhere, lest a file opened next takes their place."""
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    with suppress(OSError):
        while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest that is free
            pass
        os.close(opened)


@contextmanager
def warnings_as_notes(command: str) -> Iterator[None]:
    """Print warnings that are meant for users as a line, each once, and no others."""
    told: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        text = " ".join(str(message).split())
        if text not in told:
            told.add(text)
            note(f"fastgd {command}: warning: {text}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


def progress(what: str, total: int, unit: str = "row", *, quiet: bool = False) -> Any:
    """Return a progress bar on stderr; it does not show where that is no terminal."""
    from tqdm import tqdm

    options = {"unit": unit, "unit_scale": True, "leave": False}
    hidden = True if quiet else None  # None lets tqdm look what stderr is
    return tqdm(desc=what, total=total, disable=hidden, **options)


def counted(number: int, thing: str) -> str:
    """Return a number of things: "1 row", "2,000 rows"."""
    plural = {"class": "classes", "category": "categories", "pass": "passes"}
    return f"{number:,} {thing if number == 1 else plural.get(thing, f'{thing}s')}"
