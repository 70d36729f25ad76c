"""What is said, instead of a traceback, where a command cannot do what it was asked."""

from collections.abc import Iterable
from importlib import import_module
from types import ModuleType


class Problem(Exception):
    """Data or a model that a command cannot work with."""

    exit_code = 1


class Misuse(Problem):
    """Words on the command line that do not go together."""

    exit_code = 2


def needed(module: str, purpose: str) -> ModuleType:
    """Import a module of the extra ``cli``.

    Raises
    ------
    Problem
        If it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or module).partition(".")[0]
        raise Problem(
            f'{purpose} needs {package}, which is not installed: pip install "fastgd[cli]"'
        ) from None


def first_line(error: Exception) -> str:
    """Return what an error says, without the advice that follows."""
    return str(error).partition("\n")[0]


def listed(names: Iterable[object], most: int = 20) -> str:
    """Return names as they read in a sentence, the first of many."""
    words = [str(name) for name in names]
    if len(words) <= most:
        return ", ".join(words)
    return f"{', '.join(words[:most])} and {len(words) - most:,} more"
