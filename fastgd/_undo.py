"""A call that fails leaves an estimator as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def or_as_before(estimator: Any) -> Iterator[None]:
    """Put an estimator's attributes back, whatever happened to them, if the block fails."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
