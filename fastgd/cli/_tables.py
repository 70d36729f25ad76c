"""Tables with named columns: CSV and Parquet, both read by Arrow."""

import csv
import gzip
import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd.cli._layout import CATEGORY, NUMBER, TABLE, Chunk, Column, Layout, Size, Wishes
from fastgd.cli._problems import Problem, listed, needed
from fastgd.cli._sources import Source

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A", "<NA>")
SAMPLE_ROWS = 10_000
BLOCK_BYTES = 1 << 23  # of text that Arrow parses at once; a row has to fit in
GZIP_FACTOR = 5  # text is that much longer than what gzip makes of it, roughly
NUMBER_BYTES, CATEGORY_BYTES = 8, 72


class Table(Source):
    """A file of named columns."""

    form = TABLE

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._arrow: Any = needed("pyarrow", f"reading {path.suffix} files")
        self._pandas: Any = needed("pandas", f"reading {path.suffix} files")

    @abstractmethod
    def _found(self) -> list[Column]:
        """Return all columns of the file, with the kind that each seems to be."""

    @abstractmethod
    def _batches(self, columns: Sequence[Column], n_rows: int | None) -> Iterator[Any]:
        """Yield Arrow tables of these columns, of any number of rows."""

    def layout(self, wishes: Wishes) -> Layout:
        found = self._found()
        wishes.check(self.path, [column.name for column in found])
        wished = [
            self._as_wished(column, wishes.kind(column.name, column.kind)) for column in found
        ]
        target = next((column for column in wished if column.name == wishes.target), None)
        features = tuple(c for c in wished if c is not target and c.name not in wishes.drop)
        for column in features if target is None else (*features, target):
            self._refuse_unknown(column)
        if not features:
            raise Problem(f"{self.path} has no column beside the target to predict from.")
        return Layout(TABLE, features, target, len(features))

    def _as_wished(self, column: Column, kind: str) -> Column:
        return replace(column, kind=kind)

    def _refuse_unknown(self, column: Column) -> None:
        if column.kind not in (NUMBER, CATEGORY):
            raise Problem(
                f"{self.path}, column {column.name!r} holds {column.dtype}, which is neither a "
                f"number nor a category. Make numbers of it, or leave it out: --drop {column.name}"
            )

    def _read(self, layout: Layout, n_rows: int | None, *, target: bool) -> Iterator[Chunk]:
        wanted = list(layout.columns)
        if target and layout.target is not None:
            wanted.append(layout.target)
        self._refuse_missing(wanted)
        first = 0
        for table in self._regrouped(self._batches(wanted, n_rows), n_rows):
            yield self._chunk(table, layout, first, target=target)
            first += table.num_rows

    def _refuse_missing(self, wanted: Sequence[Column]) -> None:
        there = [column.name for column in self._found()]
        missing = [column.name for column in wanted if column.name not in there]
        if missing:
            raise Problem(
                f"{self.path} lacks {'column' if len(missing) == 1 else 'columns'} "
                f"{listed(map(repr, missing))}. Its columns are {listed(there)}."
            )

    def _regrouped(self, tables: Iterator[Any], n_rows: int | None) -> Iterator[Any]:
        """Yield the same rows in tables of ``n_rows`` each, but for the last."""
        waiting: list[Any] = []
        n_waiting = 0
        for table in tables:
            waiting.append(table)
            n_waiting += table.num_rows
            while n_rows is not None and n_waiting >= n_rows:
                joined = self._arrow.concat_tables(waiting)
                yield joined.slice(0, n_rows)
                waiting, n_waiting = [joined.slice(n_rows)], n_waiting - n_rows
        if n_waiting > 0:
            yield self._arrow.concat_tables(waiting)

    def _chunk(self, table: Any, layout: Layout, first: int, *, target: bool) -> Chunk:
        def values(column: Column) -> NDArray[Any]:
            convert = self._numbers if column.kind == NUMBER else self._categories
            return convert(table.column(column.name), column, first)

        frame = self._pandas.DataFrame(
            {c.name: self._pandas.Series(values(c), dtype=_DTYPES[c.kind]) for c in layout.columns}
        )
        is_asked = target and layout.target is not None
        return Chunk(frame, values(layout.target) if is_asked and layout.target else None, first)

    def _numbers(self, values: Any, column: Column, first: int) -> NDArray[Any]:
        arrow = self._arrow
        try:
            numbers = values.cast(arrow.float64(), safe=False)
        except arrow.ArrowInvalid:
            raise self._not_a_number(values, column, first) from None
        return np.asarray(numbers.to_numpy(), np.float64)

    def _not_a_number(self, values: Any, column: Column, first: int) -> Problem:
        for row, value in enumerate(values.to_pylist()):
            if value is not None and not _is_number(str(value)):
                return Problem(_what_to_do(self.place(first + row, column.name), value, column))
        return Problem(f"{self.path}, column {column.name!r} cannot be read as numbers.")

    def _categories(self, values: Any, _column: Column, _first: int) -> NDArray[Any]:
        arrow = self._arrow
        if arrow.types.is_boolean(values.type):  # as pandas writes them to CSV
            words = np.array(["False", "True", None], object)
            return words[values.cast(arrow.int8()).fill_null(2).to_numpy()]
        return np.asarray(values.cast(arrow.string()).to_numpy(), object)

    def _row_bytes(self, columns: Sequence[Column]) -> float:
        widths = (NUMBER_BYTES if column.kind == NUMBER else CATEGORY_BYTES for column in columns)
        return float(sum(widths))


_DTYPES: dict[str, Any] = {NUMBER: np.float64, CATEGORY: object}
_TEXT_DTYPES = {NUMBER: "float64", CATEGORY: "string"}  # what cells of text are read as


def _what_to_do(place: str, value: object, column: Column) -> str:
    return (
        f"{place}: {value!r} is not a number. If the column holds categories, say "
        f"--categorical {column.name}; if it is of no use, --drop {column.name}"
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _refuse_twice(path: Path, names: Sequence[str]) -> None:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise Problem(f"{path} has more than one column named {listed(map(repr, twice))}.")


class CSV(Table):
    """Text with a line of names first, also compressed by gzip."""

    def __init__(self, path: Path, separator: str) -> None:
        super().__init__(path)
        self._csv: Any = needed("pyarrow.csv", "reading CSV files")
        if len(separator) != 1:
            raise Problem(f"--separator must be one character, got {separator!r}.")
        self._separator = separator
        self._columns: list[Column] | None = None

    def _found(self) -> list[Column]:
        if self._columns is None:
            self._columns = [
                self._as_wished(Column(name, "", ""), self._kind(values))
                for name, values in zip(self._header(), self._sample(), strict=True)
            ]
        return self._columns

    def _as_wished(self, column: Column, kind: str) -> Column:
        return Column(column.name, kind, _TEXT_DTYPES.get(kind, column.dtype))

    def _header(self) -> list[str]:
        names = next((row for _, row in self._records()), [])
        if not names:
            raise Problem(f"{self.path} is empty.")
        _refuse_twice(self.path, names)
        return names

    def _sample(self) -> list[Any]:
        """Return the first rows of each column, as text."""
        columns = [Column(name, CATEGORY, "string") for name in self._header()]
        table = next(self._regrouped(self._batches(columns, SAMPLE_ROWS), SAMPLE_ROWS), None)
        if table is None:
            raise Problem(f"{self.path} has a line of names, and no rows.")
        self._sampled = table.num_rows, table.nbytes
        return list(table.columns)

    def _kind(self, values: Any) -> str:
        """Call a column numbers where most cells are: then the others are mistakes to tell of."""
        cells = self._pandas.Series(values.drop_null().to_numpy(), dtype=object)
        numbers = self._pandas.to_numeric(cells, errors="coerce")
        is_number = numbers.notna().mean() > 0.5 or len(cells) == 0
        return NUMBER if is_number else CATEGORY

    def _batches(self, columns: Sequence[Column], n_rows: int | None) -> Iterator[Any]:  # noqa: ARG002
        arrow = self._arrow
        types = {
            column.name: arrow.float64() if column.kind == NUMBER else arrow.string()
            for column in columns
        }
        convert = self._csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=MISSING,
            strings_can_be_null=True,
        )
        parse = self._csv.ParseOptions(delimiter=self._separator, newlines_in_values=True)
        try:
            reader = self._csv.open_csv(
                self.path,
                read_options=self._csv.ReadOptions(block_size=BLOCK_BYTES),
                parse_options=parse,
                convert_options=convert,
            )
            for batch in reader:
                yield arrow.Table.from_batches([batch])
        except (arrow.ArrowInvalid, OSError) as error:
            raise self._complaint(columns, str(error)) from None

    def _complaint(self, columns: Sequence[Column], said: str) -> Problem:
        """Find the line that Arrow could not read; it knows columns only."""
        return self._first_fault(columns) or Problem(f"{self.path}: {said}")

    def _first_fault(self, columns: Sequence[Column]) -> Problem | None:
        records = self._records()
        _, header = next(records)
        numbers = [(header.index(c.name), c) for c in columns if c.kind == NUMBER]
        for line, row in records:
            if len(row) != len(header):
                fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
                return Problem(
                    f"{self.path}, line {line:,} has {fields}, the first line has {len(header)}."
                )
            for index, column in numbers:
                cell = row[index]
                if cell not in MISSING and not _is_number(cell):
                    place = _at_line(self.path, line, column.name)
                    return Problem(_what_to_do(place, cell, column))
        return None

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row with the number of its line, as csv reads them: slow, for messages."""
        opened: Callable[..., Any] = gzip.open if self.path.suffix == ".gz" else open
        with opened(self.path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=self._separator)
            last = 0
            try:
                for row in reader:
                    if row:
                        yield last + 1, row
                    last = reader.line_num
            except UnicodeDecodeError:
                raise Problem(
                    f"{self.path} is not UTF-8. If it is Latin-1, this converts it: "
                    f"iconv -f LATIN1 -t UTF-8 {self.path} > converted.csv"
                ) from None
            except (OSError, EOFError, csv.Error) as error:
                raise Problem(f"{self.path}: {error}") from None

    def place(self, row: int, column: str | None = None) -> str:
        for number, (line, _) in enumerate(self._records()):
            if number == row + 1:  # the first has the names
                return _at_line(self.path, line, column)
        return super().place(row, column)

    def size(self) -> Size:
        columns = self._found()
        rows, text_bytes = self._sampled
        factor = GZIP_FACTOR if self.path.suffix == ".gz" else 1
        n_rows = math.ceil(self.path.stat().st_size * factor * rows / max(text_bytes, 1))
        return Size(max(n_rows, rows), self._row_bytes(columns))


def _at_line(path: Path, line: int, column: str | None) -> str:
    place = f"{path}, line {line:,}"
    return place if column is None else f"{place}, column {column!r}"


class Parquet(Table):
    """Columns with types."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        parquet: Any = needed("pyarrow.parquet", "reading Parquet files")
        try:
            self._file = parquet.ParquetFile(path)
        except (self._arrow.ArrowInvalid, OSError) as error:
            raise Problem(f"{path}: {error}") from None
        _refuse_twice(path, self._file.schema_arrow.names)

    def _found(self) -> list[Column]:
        fields = self._file.schema_arrow
        return [Column(field.name, self._kind(field.type), str(field.type)) for field in fields]

    def _kind(self, dtype: Any) -> str:
        types = self._arrow.types
        if types.is_dictionary(dtype):
            return CATEGORY
        numbers = (types.is_integer, types.is_floating, types.is_decimal, types.is_null)
        if any(check(dtype) for check in numbers):
            return NUMBER
        texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_boolean)
        return CATEGORY if any(check(dtype) for check in texts) else ""

    def _batches(self, columns: Sequence[Column], n_rows: int | None) -> Iterator[Any]:
        names = [column.name for column in columns]
        rows = self._file.metadata.num_rows if n_rows is None else n_rows
        try:
            for batch in self._file.iter_batches(batch_size=max(rows, 1), columns=names):
                yield self._arrow.Table.from_batches([batch])
        except (self._arrow.ArrowInvalid, OSError) as error:
            raise Problem(f"{self.path}: {error}") from None

    def size(self) -> Size:
        return Size(self._file.metadata.num_rows, self._row_bytes(self._found()))
