"""Errors that are reported in one line, and how values from files are quoted in them."""

from collections.abc import Iterable
from importlib import import_module
from types import ModuleType

# characters of what comes from a file or a library
MOST_OF_A_VALUE, MOST_OF_A_NAME, MOST_OF_AN_ERROR = 60, 120, 300


class UserError(Exception):
    """Data or a model that a command cannot work with."""

    exit_code = 1


class BadData(UserError):
    """A file whose contents cannot be read, or are not what they say they are.

    All that reads rows or models raises it, and knows nothing of how it is reported.
    """


class NoRows(BadData):
    """A file that holds no rows, so that it cannot say what its columns hold."""


class TooLarge(BadData):
    """Contents that would take more memory, or more columns, than is allowed."""


class Misuse(UserError):
    """Arguments of the command line that do not go together."""

    exit_code = 2


def needed(module: str, purpose: str) -> ModuleType:
    """Import a module of the extra ``cli``.

    Raises
    ------
    UserError
        If it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or module).partition(".")[0]
        raise UserError(
            f'{purpose} needs {package}, which is not installed: pip install "fastgd[cli]"'
        ) from None


# -- texts from files and libraries ---------------------------------------------------------------


def plain(text: str) -> str:
    """Return text in which whatever is not printable is written as Python writes it.

    Names come from files of anyone's making: an escape sequence in one could move a terminal's
    cursor, or forge a line.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, most: int = MOST_OF_A_VALUE) -> str:
    """Return text as it is shown, cut where it is long."""
    shown = plain(text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def quoted(value: object) -> str:
    """Return a value from a file as a message quotes it: one line, printable, not too long."""
    text = value if isinstance(value, str) else str(value)
    return repr(text) if len(text) <= MOST_OF_A_VALUE else f"{text[: MOST_OF_A_VALUE - 3]!r}..."


def first_line(error: BaseException) -> str:
    """Return what an error says, without the advice that follows."""
    return shortened(str(error).strip().partition("\n")[0], MOST_OF_AN_ERROR)


def reason(error: BaseException) -> str:
    """Return why something failed: the system's message, without number and path."""
    words = getattr(error, "strerror", None)
    return str(words) if words else first_line(error) or type(error).__name__


def listed(names: Iterable[object], most: int = 20) -> str:
    """Return names as they read in a sentence, the first of many."""
    words = [str(name) for name in names]
    shown = ", ".join(shortened(word, MOST_OF_A_NAME) for word in words[:most])
    return shown if len(words) <= most else f"{shown} and {len(words) - most:,} more"
