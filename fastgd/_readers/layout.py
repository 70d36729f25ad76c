"""What a model knows of the data that it was trained on, and expects again."""

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from numpy.typing import NDArray

from fastgd._readers.dates import categories_of, numbers_of
from fastgd._readers.errors import BadData, Misuse, listed, quoted

NUMBER, CATEGORY, TEXT, DATE = "number", "category", "text", "date"
TABLE, DENSE, SPARSE = "table", "dense", "sparse"


@dataclass(frozen=True)
class Column:
    """A named column: how it is used (``kind``), and what the file held (``dtype``)."""

    name: str
    kind: str
    dtype: str

    def as_dict(self) -> dict[str, str]:
        """Return what JSON can hold."""
        return {"name": self.name, "kind": self.kind, "dtype": self.dtype}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Column":
        """Return the column that ``as_dict`` wrote.

        Raises
        ------
        ValueError
            If it wrote no such thing.
        """
        column = cls(**values)
        if not all(isinstance(value, str) for value in values.values()):
            raise ValueError("a column is three words")
        if column.kind not in (NUMBER, CATEGORY, TEXT, DATE):
            raise ValueError(f"{column.kind!r} is no kind")
        return column


@dataclass(frozen=True)
class Layout:
    """Where features and target are.

    Attributes
    ----------
    form : {"table", "dense", "sparse"}
        Named columns of any kind, or a matrix of numbers without names.
    columns : tuple of Column
        The features of a table; empty for a matrix.
    target : Column or None
    n_features : int
        Columns of the file that are features.
    zero_based : bool
        How svmlight numbers its features.
    """

    form: str
    columns: tuple[Column, ...] = ()
    target: Column | None = None
    n_features: int = 0
    zero_based: bool = True

    def names(self, kind: str) -> list[str]:
        """Return the names of the columns of a kind, those that are made of dates at the end."""
        names = [column.name for column in self.columns if column.kind == kind]
        for column in self.columns:
            if column.kind == DATE and kind == NUMBER:
                names += numbers_of(column.name)
            elif column.kind == DATE and kind == CATEGORY:
                names += categories_of(column.name, column.dtype)
        return names

    @property
    def has_new_kinds(self) -> bool:
        """Whether there are kinds of columns that older model files have not."""
        return any(column.kind in (TEXT, DATE) for column in self.columns)

    def without(self, names: Iterable[str]) -> "Layout":
        """Return the layout without some columns."""
        dropped = set(names)
        columns = tuple(
            column
            for column in self.columns
            if column.name not in dropped
            and not (column.kind == DATE and dropped & set(numbers_of(column.name)))
        )
        return replace(self, columns=columns, n_features=len(columns))

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "form": self.form,
            "columns": [column.as_dict() for column in self.columns],
            "target": None if self.target is None else self.target.as_dict(),
            "n_features": self.n_features,
            "zero_based": self.zero_based,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Layout":
        """Return the layout that ``as_dict`` wrote.

        Raises
        ------
        ValueError, TypeError, KeyError
            If it wrote no such thing.
        """
        target = values["target"]
        made = cls(
            form=values["form"],
            columns=tuple(Column.from_dict(column) for column in values["columns"]),
            target=None if target is None else Column.from_dict(target),
            n_features=values["n_features"],
            zero_based=values["zero_based"],
        )
        made._check()
        return made

    def _check(self) -> None:
        n_columns = len({column.name for column in self.columns})
        if self.form not in (TABLE, DENSE, SPARSE) or not isinstance(self.zero_based, bool):
            raise ValueError("no such form")
        if type(self.n_features) is not int or self.n_features < 1:
            raise ValueError("no features")
        if n_columns != len(self.columns) or n_columns != self.n_features * (self.form == TABLE):
            raise ValueError("columns that are missing, or there twice")


class Wishes(NamedTuple):
    """What the command line says of the columns."""

    target: str | None = None
    categorical: Sequence[str] = ()
    numeric: Sequence[str] = ()
    drop: Sequence[str] = ()
    text: Sequence[str] = ()
    dates: bool = False
    instead_of_dates: str = CATEGORY

    def check(self, path: object, names: Sequence[str]) -> None:
        """Refuse a wish for a column that is not there, or two that contradict each other.

        Raises
        ------
        BadData, Misuse
        """
        there = set(names)
        if self.target is not None and self.target not in there:
            raise BadData(_absent(path, self.target, "the target", names))
        for option in ("categorical", "numeric", "drop", "text"):
            for name in getattr(self, option):
                if name not in there:
                    raise BadData(_absent(path, name, f"--{option}", names))
                if name == self.target and option in ("drop", "text"):
                    raise Misuse(f"--{option} {name}: that is the target.")
        for one, other in (
            ("categorical", "numeric"),
            ("categorical", "text"),
            ("numeric", "text"),
        ):
            twice = set(getattr(self, one)) & set(getattr(self, other))
            if twice:
                raise Misuse(f"{listed(sorted(twice))}: either --{one} or --{other}, not both.")

    def kind(self, name: str, found: str) -> str:
        """Return the kind of a column: what was wished, else what was found."""
        if name in self.categorical:
            return CATEGORY
        if name in self.text:
            return TEXT
        if found == DATE and (not self.dates or name == self.target):
            return self.instead_of_dates
        return NUMBER if name in self.numeric else found


def _absent(path: object, name: str, what: str, names: Sequence[str]) -> str:
    hint = likeness(name, names)
    return f"{path} has no column {quoted(name)} ({what}).{hint} Its columns are {listed(names)}."


def likeness(name: str, names: Collection[str], least: float = 0.8) -> str:
    """Return a question for a name that is almost another: blanks and capitals are hard to see.

    ``least`` is how much of both is to be the same.
    """
    folded = name.strip().casefold()
    near = next((other for other in names if other.strip().casefold() == folded), None)
    if near is None and len(names) <= _MOST_TO_COMPARE:
        near = next(iter(difflib.get_close_matches(name, names, 1, least)), None)
    return "" if near is None else f" Is {quoted(near)} meant?"


_MOST_TO_COMPARE = 1000


class Chunk(NamedTuple):
    """Some rows: a frame or a matrix, targets where they were asked for, the first row's number.

    Targets are float64 where they are numbers, else objects; missing ones are NaN. Weights are None
    where the format has none.
    """

    X: Any
    y: NDArray[Any] | None
    first: int
    weights: NDArray[Any] | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @property
    def is_weighted(self) -> bool:
        """Whether there are weights other than 1."""
        return self.weights is not None and not bool((self.weights == 1.0).all())

    def rows(self, chosen: NDArray[Any]) -> "Chunk":
        """Return those rows for which the mask is true."""
        X = self.X.loc[chosen] if hasattr(self.X, "loc") else self.X[chosen]
        y, weights = (None if v is None else v[chosen] for v in (self.y, self.weights))
        return Chunk(X, y, self.first, weights)


class Size(NamedTuple):
    """How much there is to read: rows, and bytes of a row in memory, both roughly."""

    n_rows: int
    row_bytes: float
