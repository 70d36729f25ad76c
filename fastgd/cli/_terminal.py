"""What is written where: results to stdout; progress, notes and warnings to stderr."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def say(text: str, *, quiet: bool = False) -> None:
    """Print a line of what a person wants to read, at once."""
    if not quiet:
        print(text, flush=True)


def note(text: str, *, quiet: bool = False) -> None:
    """Print a note that is no result."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)


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
    from tqdm.auto import tqdm

    words = {"unit": unit, "unit_scale": True, "leave": False}
    hidden = True if quiet else None  # None lets tqdm look what stderr is
    return tqdm(desc=what, total=total, disable=hidden, **words)


def counted(number: int, thing: str) -> str:
    """Return a number of things: "1 row", "2,000 rows"."""
    plural = {"class": "classes", "category": "categories", "pass": "passes"}
    return f"{number:,} {thing if number == 1 else plural.get(thing, f'{thing}s')}"
