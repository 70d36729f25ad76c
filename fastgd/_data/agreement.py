"""What all parts of a data set have to agree on, and the parts' names where they do not."""

from collections.abc import Iterable
from functools import reduce
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

NAMED = 5  # columns that an error tells


class Layout(NamedTuple):
    """How the rows of a part are laid out; None for what is not known.

    name : str, what an error calls the part
    columns : tuple of str or None, the columns' names
    n_columns, n_targets : int or None
    is_sparse, has_words : bool or None, of X and of the targets
    """

    name: str
    columns: tuple[str, ...] | None = None
    n_columns: int | None = None
    n_targets: int | None = None
    is_sparse: bool | None = None
    has_words: bool | None = None

    @property
    def names(self) -> NDArray[Any] | None:
        """The columns' names as an array."""
        return None if self.columns is None else np.asarray(self.columns, object)


def layout_of(name: str, X: Any, y: Any, columns: Any = None) -> Layout:
    """Return how the rows of a part are laid out.

    Parameters
    ----------
    name : str
    X, y : arrays, X may be sparse and y None
    columns : sequence of str or None, the columns' names where there are some
    """
    n_columns = X.shape[1] if len(X.shape) == 2 else None
    n_targets, has_words = None, None
    if y is not None:
        shape = np.shape(y)
        n_targets = 1 if len(shape) == 1 else int(shape[1]) if len(shape) == 2 else None
        has_words = _has_words(y)
    columns = None if columns is None else tuple(columns)
    return Layout(name, columns, n_columns, n_targets, bool(sp.issparse(X)), has_words)


def _has_words(y: Any) -> bool | None:
    """Tell whether targets are words; None if there are none, or the first is missing."""
    if not isinstance(y, np.ndarray):
        return None
    if y.dtype.kind == "O":
        first = y.flat[0] if y.size > 0 else None
        is_number = isinstance(first, Number) and first == first
        return True if isinstance(first, str) else False if is_number else None
    return y.dtype.kind in "US"


def agreed(first: Layout, second: Layout) -> Layout:
    """Return what two parts agree on, under the name of the first.

    Raises
    ------
    ValueError
        If they do not: both parts, and what each has.
    """
    _refuse_other_columns(first, second)
    if _differ(first.is_sparse, second.is_sparse):
        one, other = (first, second) if first.is_sparse else (second, first)
        raise ValueError(f"{one.name} is sparse, and {other.name} is not: either all, or none.")
    if _differ(first.n_targets, second.n_targets):
        raise ValueError(
            f"{second.name} has {second.n_targets} targets for each row, and {first.name} "
            f"{first.n_targets}: all must have the same."
        )
    if _differ(first.has_words, second.has_words):
        one, other = (first, second) if first.has_words else (second, first)
        raise ValueError(f"{one.name} has words as labels, and {other.name} numbers.")
    known = {k: value for k, value in first._asdict().items() if value is not None}
    return second._replace(**known)


def agreed_by_all(layouts: Iterable[Layout]) -> Layout:
    """Return what parts agree on, at least one.

    Raises
    ------
    ValueError
        If two of them do not.
    """
    return reduce(agreed, layouts)


def _refuse_other_columns(first: Layout, second: Layout) -> None:
    if _differ(first.columns, second.columns):
        raise ValueError(f"{second.name} has {_unlike(first, second)}")
    if _differ(first.n_columns, second.n_columns):
        raise ValueError(
            f"{second.name} has {second.n_columns} columns, and {first.name} {first.n_columns}: "
            "all must have the same."
        )


def _unlike(first: Layout, second: Layout) -> str:
    """Say in what the second's columns, which have names, are not the first's."""
    known, found = first.columns or (), second.columns or ()
    unknown, missing = ([c for c in a if c not in b] for a, b in ((found, known), (known, found)))
    if unknown or missing:
        return (
            f"other columns than {first.name}: unknown are {unknown[:NAMED]}, missing are "
            f"{missing[:NAMED]}."
        )
    return (
        f"its columns in another order than {first.name}: {list(found[:NAMED])}, and not "
        f"{list(known[:NAMED])}."
    )


def _differ(one: Any, other: Any) -> bool:
    """Tell whether two things that are known are not the same."""
    return one is not None and other is not None and one != other
