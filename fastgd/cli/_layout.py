"""What a model knows of the data that it was trained on, and expects again."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from numpy.typing import NDArray

from fastgd.cli._problems import Misuse, Problem, listed

NUMBER, CATEGORY = "number", "category"
TABLE, DENSE, SPARSE = "table", "dense", "sparse"


@dataclass(frozen=True)
class Column:
    """A named column: how it is used (``kind``), and what the file held (``dtype``)."""

    name: str
    kind: str
    dtype: str


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
        """Return the names of the columns of a kind."""
        return [column.name for column in self.columns if column.kind == kind]

    def without(self, names: Iterable[str]) -> "Layout":
        """Return the layout without some columns."""
        dropped = set(names)
        columns = tuple(column for column in self.columns if column.name not in dropped)
        return replace(self, columns=columns, n_features=len(columns))

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Layout":
        """Return the layout that ``as_dict`` wrote."""
        target = values["target"]
        return cls(
            form=str(values["form"]),
            columns=tuple(Column(**column) for column in values["columns"]),
            target=None if target is None else Column(**target),
            n_features=int(values["n_features"]),
            zero_based=bool(values["zero_based"]),
        )


class Wishes(NamedTuple):
    """What the command line says of the columns."""

    target: str | None = None
    categorical: Sequence[str] = ()
    numeric: Sequence[str] = ()
    drop: Sequence[str] = ()

    def check(self, path: object, names: Sequence[str]) -> None:
        """Refuse a wish for a column that is not there, or two that contradict each other.

        Raises
        ------
        Problem
        """
        if self.target is not None and self.target not in names:
            raise Problem(
                f"{path} has no column {self.target!r} (the target). Its columns are "
                f"{listed(names)}."
            )
        for option in ("categorical", "numeric", "drop"):
            for name in getattr(self, option):
                if name not in names:
                    raise Problem(
                        f"{path} has no column {name!r} (--{option}). Its columns are "
                        f"{listed(names)}."
                    )
                if name == self.target and option == "drop":
                    raise Misuse(f"--drop {name}: that is the target.")
        twice = set(self.categorical) & set(self.numeric)
        if twice:
            raise Misuse(f"{listed(sorted(twice))}: either --categorical or --numeric, not both.")

    def kind(self, name: str, found: str) -> str:
        """Return the kind of a column: what was wished, else what was found."""
        if name in self.categorical:
            return CATEGORY
        return NUMBER if name in self.numeric else found


class Chunk(NamedTuple):
    """Some rows: a frame or a matrix, targets where they were asked for, the first row's number.

    Targets are float64 where they are numbers, else objects; missing ones are NaN.
    """

    X: Any
    y: NDArray[Any] | None
    first: int

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    def rows(self, chosen: NDArray[Any]) -> "Chunk":
        """Return those rows for which the mask is true."""
        X = self.X.loc[chosen] if hasattr(self.X, "loc") else self.X[chosen]
        return Chunk(X, None if self.y is None else self.y[chosen], self.first)


class Size(NamedTuple):
    """How much there is to read: rows, and bytes of a row in memory, both roughly."""

    n_rows: int
    row_bytes: float
