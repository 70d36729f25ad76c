"""What the fields of losses, penalties, optimizers, schedules and quantizers may hold."""

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np


class Allowed(NamedTuple):
    """What a field may be, as a sentence and as a test."""

    description: str
    test: Callable[[Any], bool]


def number(description: str, test: Callable[[Any], bool]) -> Allowed:
    """Return what allows numbers that pass a test; NaN passes none of those below."""
    return Allowed(description, lambda value: isinstance(value, Real) and bool(test(value)))


def whole(least: int, most: int) -> Allowed:
    """Return what allows whole numbers of a range."""
    return Allowed(
        f"a whole number from {least} to {most}",
        lambda value: type(value) is not bool and value in range(least, most + 1),
    )


ANY_NUMBER = number("a number", lambda x: x == x)
POSITIVE = number("> 0", lambda x: 0 < x < np.inf)
AT_LEAST_ZERO = number(">= 0", lambda x: 0 <= x < np.inf)
ABOVE_ONE = number("> 1", lambda x: 1 < x < np.inf)
AT_LEAST_ONE = number(">= 1", lambda x: 1 <= x < np.inf)
SHARE = number("in [0, 1]", lambda x: 0 <= x <= 1)
BELOW_ONE = number("in [0, 1)", lambda x: 0 <= x < 1)
INSIDE = number("in (0, 1)", lambda x: 0 < x < 1)


def check(kind: str, spec: Any, fields: Mapping[str, Any], allowed: Mapping[str, Allowed]) -> None:
    """Refuse fields that hold what they must not; those without a rule may hold anything.

    Raises
    ------
    ValueError
        Which field of what, what it must be, and what it is.
    """
    for name, value in fields.items():
        if name in allowed and not allowed[name].test(value):
            refuse(kind, spec, name, allowed[name].description)


def refuse(kind: str, spec: Any, name: str, description: str) -> None:
    """Say what a field must be, and what it is."""
    raise ValueError(
        f"{name} of the {kind} {type(spec).__name__!r} must be {description}, "
        f"got {getattr(spec, name)!r}."
    )


def refuse_class(name: str, given: Any) -> None:
    """Refuse ``optimizer=Adam`` where ``Adam()`` is meant."""
    if isinstance(given, type):
        raise ValueError(f"{name}={given.__name__} is a class; give an object, {given.__name__}().")
