"""A call that fails leaves an estimator as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def or_as_before(estimator: Any, learned: dict[str, Any] | None = None) -> Iterator[None]:
    """Put an estimator's attributes back, and what was dropped from it, if the block fails.

    An error that keeps a model is given one before, while the estimator knows what it has learned.
    """
    before = {**vars(estimator), **(learned or {})}
    try:
        yield
    except BaseException as error:
        try:
            if "_watch" in vars(estimator):
                estimator._watch.keep_in(error)
        finally:
            vars(estimator).clear()
            vars(estimator).update(before)
        raise
