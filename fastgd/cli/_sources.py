"""Which file is read by what, and how much of it at a time."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd.cli._layout import TABLE, Chunk, Layout, Size, Wishes
from fastgd.cli._problems import Misuse, Problem, listed, needed

MOST_ROWS, FEWEST_ROWS = 1 << 18, 256
# a fit holds the file's rows, what the preparation makes of them, and scratch
COPIES = 3.0
SHARE_OF_MEMORY = 0.5
CHUNK_SHARE_OF_MEMORY = 1 / 16


class Source(ABC):
    """A file of rows that can be read as often as needed, in chunks."""

    form: str

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def layout(self, wishes: Wishes) -> Layout:
        """Look which columns there are, and what they hold.

        Raises
        ------
        Problem
            If the target or another column that was named is not there.
        """

    @abstractmethod
    def _read(self, layout: Layout, n_rows: int | None, *, target: bool) -> Iterator[Chunk]:
        """Yield the rows, ``n_rows`` at a time, or all at once for None."""

    def read(self, layout: Layout, n_rows: int | None, *, target: bool) -> Iterator[Chunk]:
        """Yield the rows, ``n_rows`` at a time, or all at once for None.

        Raises
        ------
        Problem
            If the file does not hold what the layout says, or lacks a target; it names the place.
        """
        for chunk in self._read(layout, n_rows, target=target):
            if chunk.y is not None:
                self._refuse_lost(chunk.y, chunk.first, layout)
            yield chunk

    def _refuse_lost(self, y: NDArray[Any], first: int, layout: Layout) -> None:
        if y.dtype == object:
            lost = np.array([value is None or value != value for value in y], bool)
        else:
            lost = ~np.isfinite(y)
        if lost.any():
            column = layout.target.name if layout.target and self.form == TABLE else None
            place = self.place(first + int(np.argmax(lost)), column)
            raise Problem(f"{place}: the target is missing. Rows without one are of no use here.")

    @abstractmethod
    def size(self) -> Size:
        """Estimate how much there is to read."""

    def place(self, row: int, column: str | None = None) -> str:
        """Return where a row is, as a user finds it; numbers of rows begin at 0."""
        return _with_column(f"{self.path}, row {row + 1:,}", column)

    def check_layout(self, layout: Layout) -> None:
        """Refuse a table where a model wants a matrix, and the other way round."""
        if (self.form == TABLE) == (layout.form == TABLE):
            return
        if layout.form == TABLE:
            names = listed(column.name for column in layout.columns)
            raise Problem(f"{self.path} has no named columns, and the model expects {names}.")
        raise Problem(
            f"{self.path} is a table, and the model expects a matrix of {layout.n_features:,} "
            "columns without names (.npz or svmlight)."
        )


def _with_column(place: str, column: str | None) -> str:
    return place if column is None else f"{place}, column {column!r}"


def open_source(path: Path, separator: str | None = None) -> Source:
    """Return what reads a file, by the end of its name.

    Raises
    ------
    Problem
        If there is no such file, or its name ends in nothing known.
    """
    from fastgd.cli._matrices import NPZ, SvmLight
    from fastgd.cli._tables import CSV, Parquet

    if not path.is_file():
        raise Problem(f"there is no file {path}" if not path.exists() else f"{path} is no file")
    name = path.name.lower()
    plain = name.removesuffix(".gz")
    if plain.endswith((".csv", ".tsv", ".txt")):
        return CSV(path, separator or ("\t" if plain.endswith(".tsv") else ","))
    if separator is not None:
        raise Misuse("--separator is for CSV files.")
    if plain.endswith((".svm", ".svmlight", ".libsvm")):
        return SvmLight(path)
    if name.endswith((".parquet", ".pq")):
        return Parquet(path)
    if name.endswith(".npz"):
        return NPZ(path)
    raise Problem(
        f"{path}: what this file holds cannot be told from its name. Known are .csv, .tsv, .txt "
        "(CSV), .svm, .svmlight, .libsvm (all of them also with .gz), .parquet, .pq and .npz."
    )


def rows_at_a_time(source: Source, asked: int | None) -> int | None:
    """Return how many rows to read at a time; None where all of them fit into memory."""
    if asked is not None:
        return asked
    size, free = source.size(), _free_memory()
    if size.n_rows * size.row_bytes * COPIES <= free * SHARE_OF_MEMORY:
        return None
    return _rows_within(size, free)


def rows_to_stream(source: Source, asked: int | None) -> int:
    """Return how many rows to read at a time where nothing needs all of them at once."""
    return asked or min(_rows_within(source.size(), _free_memory()), 1 << 16)


def _rows_within(size: Size, free: int) -> int:
    rows = int(free * CHUNK_SHARE_OF_MEMORY / (size.row_bytes * COPIES))
    return min(max(rows, FEWEST_ROWS), MOST_ROWS)


def _free_memory() -> int:
    return int(needed("psutil", "reading data").virtual_memory().available)
