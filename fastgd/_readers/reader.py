"""What all readers share: how a file is read, and how much of it at a time."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._readers.errors import BadData, listed, needed, quoted
from fastgd._readers.layout import TABLE, Chunk, Layout, Size, Wishes
from fastgd._readers.limits import Limits, refuse_more

MOST_ROWS, FEWEST_ROWS = 1 << 18, 256
# a fit holds the file's rows, what the preparation makes of them, and scratch
COPIES = 3.0
SHARE_OF_MEMORY = 0.5
CHUNK_SHARE_OF_MEMORY = 1 / 16
ALWAYS_ALLOWED = 1 << 26  # bytes: rows of no more are read whatever seems free


class Format(NamedTuple):
    """How a file is to be read: what its name does not say, and the limits.

    Attributes
    ----------
    separator : str or None
        Of CSV; None is a comma, or a tab for .tsv.
    decimal, thousands : str
        How numbers are written in CSV.
    limits : Limits
    kind : str or None
        Which of ``opening.KINDS`` a file is; None lets the end of its name tell.
    bits : int or None
        Of the indices of hashed features.
    """

    separator: str | None = None
    decimal: str = "."
    thousands: str = ""
    limits: Limits = Limits()
    kind: str | None = None
    bits: int | None = None


class Reader(ABC):
    """A file of rows that can be read as often as needed, in chunks.

    All that it holds is checked before another library is given it; what is wrong with it raises
    ``BadData``, which names the place.

    Attributes
    ----------
    share_of_room : float
        Of the memory for rows that are kept between passes: files that are read together share it.
    """

    form: str
    default_target: str | None = None
    share_of_room = 1.0

    def __init__(self, path: Path, how: Format = Format()) -> None:  # noqa: B008
        self.path = path
        self.how = how

    def most_bytes(self) -> int:
        """Return how much memory may be taken for rows that are read at once."""
        memory = self.how.limits.memory
        return int(_free_memory() * SHARE_OF_MEMORY) if memory is None else memory

    def refuse_more(self, what: str, size: float, most: int | None = None) -> None:
        """Refuse what would take more memory than is allowed.

        Raises
        ------
        TooLarge
        """
        if most is None:
            most = self.how.limits.memory
        if most is None:
            if size <= ALWAYS_ALLOWED:
                return
            most = max(int(_free_memory() / COPIES), ALWAYS_ALLOWED)
        refuse_more(f"{self.path}: {what}", size, most, "--chunk-rows 10000 may need less. ")

    @abstractmethod
    def layout(self, wishes: Wishes) -> Layout:
        """Look which columns there are, and what they hold.

        Raises
        ------
        BadData
            If the target or another column that was named is not there.
        """

    @abstractmethod
    def _read(self, layout: Layout, n_rows: int | None, *, target: bool) -> Iterator[Chunk]:
        """Yield the rows, ``n_rows`` at a time, or all at once for None."""

    def read(
        self,
        layout: Layout,
        n_rows: int | None,
        *,
        target: bool,
        numbers: Sequence[int] | None = None,
    ) -> Iterator[Chunk]:
        """Yield the rows, ``n_rows`` at a time, or all at once for None.

        Parameters
        ----------
        layout : Layout
        n_rows : int or None
        target : bool
            Whether targets are wanted.
        numbers : sequence of int, default=None
            Those of the chunks to read, which ascend unless ``seeks``; all by default.

        Raises
        ------
        BadData
            If the file does not hold what the layout says, or lacks a target; it names the place.
        """
        for chunk in self._chosen(layout, n_rows, numbers, target=target):
            if chunk.y is not None:
                self._refuse_lost(chunk.y, chunk.first, layout)
            yield chunk

    def _chosen(
        self, layout: Layout, n_rows: int | None, numbers: Sequence[int] | None, *, target: bool
    ) -> Iterator[Chunk]:
        """Yield the chunks of these numbers; what is between them is read as well."""
        chunks = self._read(layout, n_rows, target=target)
        if numbers is None:
            return chunks
        wanted, last = set(numbers), max(numbers, default=-1)
        some = enumerate(itertools.islice(chunks, last + 1))
        return (chunk for number, chunk in some if number in wanted)

    def _refuse_lost(self, y: NDArray[Any], first: int, layout: Layout) -> None:
        if y.dtype == object:
            lost = np.array([value is None or value != value for value in y], bool)
        else:
            lost = ~np.isfinite(y)
        if lost.any():
            column = layout.target.name if layout.target and self.form == TABLE else None
            place = self.place(first + int(np.argmax(lost)), column)
            is_infinite = y.dtype != object and bool(np.isinf(y[lost][0]))
            what = "infinite" if is_infinite else "missing"
            raise BadData(f"{place}: the target is {what}. Rows without one are of no use here.")

    @abstractmethod
    def dtype(self, layout: Layout) -> Any:
        """Return float32 where it holds all numbers of a layout's columns exactly, else float64."""

    @abstractmethod
    def size(self, layout: Layout | None = None) -> Size:
        """Estimate how much there is to read, of the columns of a layout or of all."""

    def seeks(self, n_rows: int | None) -> bool:  # noqa: ARG002
        """Tell whether chunks of so many rows can be read in any order."""
        return False

    def place(self, row: int, column: str | None = None) -> str:
        """Return where a row is, as a user finds it; numbers of rows begin at 0."""
        return _with_column(f"{self.path}, row {row + 1:,}", column)

    def check_layout(self, layout: Layout) -> None:
        """Refuse a table where a model wants a matrix, and the other way round."""
        if (self.form == TABLE) == (layout.form == TABLE):
            return
        if layout.form == TABLE:
            names = listed(column.name for column in layout.columns)
            raise BadData(f"{self.path} has no named columns, and the model expects {names}.")
        raise BadData(
            f"{self.path} is a table, and the model expects a matrix of {layout.n_features:,} "
            "columns without names (.npz or svmlight)."
        )


def _with_column(place: str, column: str | None) -> str:
    return place if column is None else f"{place}, column {quoted(column)}"


def rows_at_a_time(reader: Reader, asked: int | None) -> int | None:
    """Return how many rows to read at a time; None where all of them fit into memory."""
    if asked is not None:
        return asked
    size = reader.size()
    if size.n_rows * size.row_bytes * COPIES <= reader.most_bytes():
        return None
    return _rows_within(size, reader)


def rows_to_stream(reader: Reader, asked: int | None, size: Size) -> int:
    """Return how many rows to read at a time where nothing needs all of them at once."""
    return asked or min(_rows_within(size, reader), 1 << 16)


def _rows_within(size: Size, reader: Reader) -> int:
    share = CHUNK_SHARE_OF_MEMORY / SHARE_OF_MEMORY
    rows = int(reader.most_bytes() * share / (max(size.row_bytes, 1.0) * COPIES))
    return min(max(rows, FEWEST_ROWS), MOST_ROWS)


def _free_memory() -> int:
    """Return the bytes that are free, within what a container may take."""
    free = int(needed("psutil", "reading data").virtual_memory().available)
    return max(min([free, *_left_by_control_groups()]), 0)


def _left_by_control_groups() -> Iterator[int]:
    """Yield what Linux leaves to a container; what is cached of files can be taken back."""
    for folder, most, now, cached in _CONTROL_GROUPS:
        with suppress(OSError, ValueError):  # "max" is no number
            texts = [Path(folder, name).read_text() for name in (most, now, "memory.stat")]
            in_cache = dict(map(str.split, texts[2].splitlines())).get(cached, 0)
            yield int(texts[0]) - int(texts[1]) + int(in_cache)


# of version 2, of version 1
_CONTROL_GROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "file"),
    (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_cache",
    ),
)
