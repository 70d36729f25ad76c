"""Constructor parameters that were found right once are not checked again."""

import functools
import operator
from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator

MOST_FOUND_RIGHT = 1 << 10  # sets of constructor parameters whose validation is remembered

_BY_VALUE = frozenset({bool, int, float, str, type(None)})
_FOUND_RIGHT: set[Any] = set()


class CheckedOnce(BaseEstimator):
    """Validates the constructor's parameters, if these values have not been found right before.

    That takes longer than a small fit. Only values that compare by value are remembered.
    """

    def _validate_params(self) -> None:
        own: type = type(self)
        values = _parameters_of(own)(self)
        kinds = _kinds_of(values)
        key = None if kinds is None else (own, kinds, values)
        if key is None or key not in _FOUND_RIGHT:
            super()._validate_params()
            if key is not None and len(_FOUND_RIGHT) < MOST_FOUND_RIGHT:
                _FOUND_RIGHT.add(key)


def _kinds_of(values: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return the types of values that compare by value, also in tuples; None if one does not.

    Numbers of different types may be equal, and one of them wrong.
    """
    kinds: tuple[Any, ...] = tuple(map(type, values))
    if _BY_VALUE.issuperset(kinds):
        return kinds
    kinds = tuple(
        _kinds_of(value) if kind is tuple else kind
        for kind, value in zip(kinds, values, strict=True)
    )
    known = all(isinstance(kind, tuple) or kind in _BY_VALUE for kind in kinds)
    return kinds if known else None


@functools.cache
def _parameters_of(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """Return what gets the constructor's parameters of a class's estimators.

    scikit-learn looks their names up anew each time.
    """
    names: list[str] = kind._get_param_names()  # type: ignore[attr-defined]
    if len(names) > 1:
        return operator.attrgetter(*names)
    return lambda estimator: tuple(getattr(estimator, name) for name in names)
