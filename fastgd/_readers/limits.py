"""How much a file may ask for: what it says of itself is believed up to a limit only."""

import os
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from fastgd._readers.errors import Misuse, TooLarge

MODEL_BYTES = 1 << 30
MOST_FEATURES = 1 << 24
MEMORY, FEATURES = "FASTGD_MAX_MEMORY", "FASTGD_MAX_FEATURES"  # environment variables

_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
T = TypeVar("T")


class Limits(NamedTuple):
    """What may be taken for the contents of files.

    Attributes
    ----------
    memory : int or None
        Bytes. None is half of what is free for rows, and ``MODEL_BYTES`` for a model.
    features : int
        Columns of a matrix that says how many it has without holding them all.
    """

    memory: int | None = None
    features: int = MOST_FEATURES

    @property
    def model(self) -> int:
        """Bytes that a model may take."""
        return MODEL_BYTES if self.memory is None else self.memory


def limits_of(memory: int | None, features: int | None, where: Mapping[str, str]) -> Limits:
    """Return the limits that options set, else environment variables.

    Raises
    ------
    Misuse
        If a variable is no size.
    """
    if memory is None:
        memory = _of_variable(where, MEMORY, parsed_size)
    if features is None:
        features = _of_variable(where, FEATURES, parsed_count)
    return Limits(memory, MOST_FEATURES if features is None else features)


def _of_variable(where: Mapping[str, str], name: str, parsed: Callable[[str], T]) -> T | None:
    text = where.get(name, "")
    try:
        return parsed(text) if text else None
    except ValueError as error:
        raise Misuse(f"{name}: {error}") from None


def parsed_size(text: str) -> int:
    """Return the bytes that "500M", "8G" or "1000000" are; K is 1024.

    Raises
    ------
    ValueError
    """
    match = re.fullmatch(r"(\d{1,15}(?:\.\d*)?)\s*([kmgt]?)(?:i?b)?", text.strip(), re.I | re.A)
    size = 0 if match is None else int(float(match[1]) * (1 << _UNITS[match[2].lower()]))
    if size < 1:
        raise ValueError(f"must be a size such as 500M or 8G, got {text!r}")
    return size


def parsed_count(text: str) -> int:
    """Return a whole number from 1 on.

    Raises
    ------
    ValueError
    """
    if not re.fullmatch(r"[1-9]\d{0,17}", text.strip(), re.A):
        raise ValueError(f"must be a whole number from 1 on, got {text!r}")
    return int(text)


def in_words(size: float) -> str:
    """Return a number of bytes as it is read: "1.5 GiB"."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1024
    raise AssertionError


def refuse_more(what: str, size: float, most: int, instead: str = "") -> None:
    """Refuse what would take more bytes than are allowed.

    Raises
    ------
    TooLarge
    """
    if size > most:
        raise TooLarge(
            f"{what} would take {in_words(size)} of memory, and {in_words(most)} are allowed. "
            f"{instead}If the file can be trusted, --max-memory SIZE or {MEMORY} allows more."
        )


def environment() -> Mapping[str, str]:
    """Return the variables that limits are read from."""
    return os.environ
