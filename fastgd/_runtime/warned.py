"""Warnings of a fit's convergence: to the user, or to who asked to hear them instead.

What calls a fit on somebody else's behalf may have a better answer to a fit that has not converged
than a warning. ``warnings.catch_warnings`` would not do: it changes what all threads warn of.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class Heard(NamedTuple):
    """What a fit would have warned of."""

    text: str
    category: type[Warning]


_heard: ContextVar[list[Heard] | None] = ContextVar("fastgd_heard", default=None)


@contextmanager
def heard() -> Iterator[list[Heard]]:
    """Collect what fits in this thread would warn of; nobody else is told."""
    messages: list[Heard] = []
    token = _heard.set(messages)
    try:
        yield messages
    finally:
        _heard.reset(token)


def warn(message: str, category: type[Warning], stacklevel: int = 1) -> None:
    """Warn as ``warnings.warn`` does, unless somebody listens."""
    messages = _heard.get()
    if messages is not None:
        messages.append(Heard(message, category))
    else:
        warnings.warn(message, category, stacklevel=stacklevel + 1)
