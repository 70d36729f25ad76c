"""Tables with named columns: CSV and Parquet, both read by Arrow."""

import csv
import io
import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd._readers.dates import (
    categories_of,
    dtype_of,
    instants,
    numbers_of,
    parts_of_dates,
)
from fastgd._readers.errors import BadData, NoRows, UserError, first_line, listed, needed, quoted
from fastgd._readers.layout import (
    CATEGORY,
    DATE,
    NUMBER,
    TABLE,
    TEXT,
    Chunk,
    Column,
    Layout,
    Size,
    Wishes,
    likeness,
)
from fastgd._readers.limits import in_words
from fastgd._readers.numerals import Notation, advice_on, has_unit, in_other_signs
from fastgd._readers.reader import Format, Reader
from fastgd._readers.streams import (
    bare_name,
    beginning,
    lines_of,
    opened,
    packing_of,
    refuse_other_kinds,
)
from fastgd._readers.zips import damage

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A", "<NA>")
SAMPLE_ROWS, FEWEST_SAMPLE_ROWS = 10_000, 100
SAMPLE_CELLS = 10_000_000
BLOCK_BYTES = 1 << 23  # of text that Arrow parses at once; a row has to fit in
SHARE_OF_BLOCK = 512  # of the memory that a user names, since Arrow has some 28 blocks at work
SAMPLE_BYTES = 1 << 20  # the same where a few rows are wanted, and nearly all fit in
LINE = 1 << 26  # characters that one may have
BLOCKS_OF_A_HEADER = 64  # where the line of names is long, so are the others
NUMBER_BYTES, CATEGORY_BYTES, DATE_BYTES, TEXT_BYTES = 8, 72, 24, 2000
UNKNOWN = ""  # the kind of a column of which nothing is known yet
MOST_CODED = 500  # columns of categories that a frame has one by one
PLAIN_DIGITS = "plain digits, as in -1.5e3"
LOST = "?"  # the kind of a column that seems to hold numbers, written in another way
BUFFER_BYTES = 1 << 16  # of each column of Parquet, read at once: a group may be the whole file
SINGLE = ("float", "float32", "halffloat", "int8", "uint8", "int16", "uint16", "bool")
# rows of Parquet that are unpacked at once, and where a few bytes can be a long text in each
BATCH_ROWS, FEW_ROWS = 1 << 16, 1 << 10


def exact_dtype(types: set[str]) -> Any:
    """Return float32 where it holds all numbers of some types of Arrow exactly, else float64."""
    return np.float32 if types and types <= set(SINGLE) else np.float64


class Table(Reader):
    """A file of named columns."""

    form = TABLE

    def __init__(self, path: Path, how: Format) -> None:
        super().__init__(path, how)
        self._arrow: Any = needed("pyarrow", f"reading {path.suffix} files")
        needed("pyarrow.compute", f"reading {path.suffix} files")
        self._pandas: Any = needed("pandas", f"reading {path.suffix} files")
        self._notation = Notation()
        self.matrix_dtype: Any = None  # where it is set, and all columns are numbers: no frames
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise BadData(f"{path}: its name is not UTF-8, as Arrow needs it. Rename it.") from None

    @abstractmethod
    def _names_there(self) -> list[str]:
        """Return the names of all columns of the file."""

    @abstractmethod
    def _found(self) -> list[Column]:
        """Return all columns of the file, with the kind that each seems to be."""

    @abstractmethod
    def _batches(self, columns: Sequence[Column], n_rows: int | None) -> Iterator[Any]:
        """Yield Arrow tables of these columns, of any number of rows."""

    def layout(self, wishes: Wishes) -> Layout:
        found = self._found()
        wishes.check(self.path, [column.name for column in found])
        wishes = wishes._replace(instead_of_dates=self._instead_of_dates)
        there = {column.name for column in found}
        wished = [
            self._as_wished(column, wishes.kind(column.name, column.kind))
            for column in (self._unless_made(column, there) for column in found)
        ]
        dropped = set(wishes.drop)
        target = next((column for column in wished if column.name == wishes.target), None)
        features = tuple(c for c in wished if c is not target and c.name not in dropped)
        for column in features if target is None else (*features, target):
            self._refuse_unknown(column)
        if not features:
            raise BadData(f"{self.path} has no column beside the target to predict from.")
        return Layout(TABLE, features, target, len(features))

    _instead_of_dates = UNKNOWN  # where they are not wanted

    def _unless_made(self, column: Column, there: set[str]) -> Column:
        """Leave a date as it is where what is made of it would have another column's name."""
        made = {*numbers_of(column.name), *categories_of(column.name, "")}
        if column.kind == DATE and made & there:
            return replace(column, kind=self._instead_of_dates)
        return column

    def _as_wished(self, column: Column, kind: str) -> Column:
        return replace(column, kind=kind)

    def _refuse_unknown(self, column: Column) -> None:
        if column.kind not in (NUMBER, CATEGORY, TEXT, DATE):
            raise BadData(
                f"{self.path}, column {quoted(column.name)} holds {column.dtype}, which is neither "
                f"a number nor a category. Make numbers of it, or leave it out: --drop "
                f"{column.name}"
            )

    def _read(self, layout: Layout, n_rows: int | None, *, target: bool) -> Iterator[Chunk]:
        wanted = self._wanted(layout, target=target)
        first = 0
        for table in self._regrouped(self._batches(wanted, n_rows), n_rows):
            with damage(self.path):
                chunk = self._chunk(table, layout, first, target=target)
            yield chunk
            first += table.num_rows

    def _wanted(self, layout: Layout, *, target: bool) -> list[Column]:
        """Return the columns to read, which are there."""
        wanted = list(layout.columns)
        if target and layout.target is not None:
            wanted.append(layout.target)
        self._refuse_missing(wanted)
        return wanted

    def _refuse_missing(self, wanted: Sequence[Column]) -> None:
        there = self._names_there()
        known = set(there)
        missing = [column.name for column in wanted if column.name not in known]
        if missing:
            hint = likeness(missing[0], [name for name in there if name not in missing])
            raise BadData(
                f"{self.path} lacks {'column' if len(missing) == 1 else 'columns'} "
                f"{listed(map(quoted, missing))}.{hint} Its columns are {listed(there)}."
            )

    def _regrouped(self, tables: Iterator[Any], n_rows: int | None) -> Iterator[Any]:
        """Yield the same rows in tables of ``n_rows`` each, but for the last."""
        waiting: list[Any] = []
        n_waiting = n_bytes = 0
        for table in tables:
            waiting.append(table)
            n_waiting += table.num_rows
            n_bytes += table.get_total_buffer_size()
            self.refuse_more(f"{n_waiting:,} rows or more", n_bytes)
            while n_rows is not None and n_waiting >= n_rows:
                joined = self._arrow.concat_tables(waiting)
                yield joined.slice(0, n_rows)
                waiting, n_waiting = [joined.slice(n_rows)], n_waiting - n_rows
                n_bytes = waiting[0].nbytes
        if n_waiting > 0:
            yield self._arrow.concat_tables(waiting)

    def _chunk(self, table: Any, layout: Layout, first: int, *, target: bool) -> Chunk:
        y = None
        if target and layout.target is not None:
            y = self._targets(table.column(layout.target.name), layout.target, first)
        if self.matrix_dtype is not None:
            return Chunk(self._matrix(table, layout.columns, first), y, first)
        return Chunk(self._frame(table, layout, first), y, first)

    def _matrix(self, table: Any, columns: Sequence[Column], first: int) -> NDArray[Any]:
        """Return columns of numbers as rows."""
        block = np.empty((len(columns), table.num_rows), self.matrix_dtype)
        for index, column in enumerate(columns):
            block[index] = self._numbers(table.column(column.name), column, first)
        return np.ascontiguousarray(block.T)

    def _frame(self, table: Any, layout: Layout, first: int) -> Any:
        """Return columns of any kind as a frame."""
        columns = {column.name: column for column in layout.columns}
        numbers, categories, texts = map(layout.names, (NUMBER, CATEGORY, TEXT))
        made: dict[str, Any] = {}
        for column in layout.columns:
            if column.kind == DATE:
                dates = self._dates(table.column(column.name), column, first)
                made |= parts_of_dates(column.name, column.dtype, dates, self._pandas)
        # two blocks, for a frame that is made column by column takes too long where they are many
        block = np.empty((table.num_rows, len(numbers)), np.float64, order="F")
        for index, name in enumerate(numbers):
            of_date = made.get(name)
            values = table.column(name) if of_date is None else of_date
            block[:, index] = (
                self._numbers(values, columns[name], first) if of_date is None else of_date
            )
        frame = self._pandas.DataFrame(block, columns=numbers, copy=False)
        if len(categories) <= MOST_CODED:
            for name in categories:
                frame[name] = made[name] if name in made else self._coded(table.column(name))
        else:
            frame = self._joined(frame, self._of_words(table, categories, made))
        for name in texts:
            frame[name] = self._texts(table.column(name))
        return frame

    def _joined(self, numbers: Any, words: Any) -> Any:
        return self._pandas.concat([numbers, words], axis=1) if numbers.shape[1] else words

    def _of_words(self, table: Any, names: Sequence[str], made: dict[str, Any]) -> Any:
        words = np.empty((table.num_rows, len(names)), object, order="F")
        for index, name in enumerate(names):
            given = made.get(name)
            words[:, index] = (
                self._categories(table.column(name)) if given is None else given.astype(object)
            )
        return self._pandas.DataFrame(words, columns=names, dtype=object)

    def _texts(self, values: Any) -> NDArray[Any]:
        """Return texts as objects; a missing one is empty."""
        words = self._categories(values)
        return np.array(["" if word is None else word for word in words], object)

    def _dates(self, values: Any, column: Column, first: int) -> NDArray[np.datetime64]:
        try:
            return instants(values, column.dtype, self._arrow)
        except self._arrow.ArrowException:
            raise self._no_date(values, column, first) from None

    def _no_date(self, values: Any, column: Column, first: int) -> UserError:
        advice = (
            f"If the column holds categories, say --categorical {column.name}; if it is of no use, "
            f"--drop {column.name}"
        )
        for row in range(len(values)):
            try:
                instants(values.slice(row, 1), column.dtype, self._arrow)
            except self._arrow.ArrowException:
                place, value = self.place(first + row, column.name), values[row].as_py()
                return BadData(f"{place}: {quoted(value)} is not a {column.dtype}. {advice}")
        return BadData(f"{self.path}, column {quoted(column.name)} holds no dates. {advice}")

    def _targets(self, values: Any, column: Column, first: int) -> NDArray[Any]:
        if column.kind == NUMBER:
            return np.asarray(self._numbers(values, column, first), np.float64)
        return self._categories(values)

    def _numbers(self, values: Any, column: Column, first: int) -> NDArray[Any]:
        arrow, types = self._arrow, self._arrow.types
        if types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        is_text = types.is_string(values.type) or types.is_large_string(values.type)
        try:
            if is_text or types.is_string_view(values.type):
                values = values.cast(arrow.string())
                numbers = self._notation.values(values, arrow)
            else:
                is_single = self.matrix_dtype == np.float32 and types.is_float32(values.type)
                numbers = values if is_single else values.cast(arrow.float64(), safe=False)
        except arrow.ArrowException:
            raise self._not_a_number(values, column, first) from None
        found = np.asarray(numbers.to_numpy())
        return found if found.dtype == np.float32 else np.asarray(found, np.float64)

    def _not_a_number(self, values: Any, column: Column, first: int) -> UserError:
        for row, value in enumerate(values.to_pylist()):
            if value is not None and not self._notation.is_number(str(value)):
                place = self.place(first + row, column.name)
                return BadData(_what_to_do(place, value, column, self._notation))
        return BadData(
            f"{self.path}, column {quoted(column.name)} holds {values.type}, which cannot be read "
            "as numbers."
        )

    def _coded(self, values: Any) -> Any:
        """Return categories as codes and the different words, in the order in which they come."""
        arrow, types, pandas = self._arrow, self._arrow.types, self._pandas
        if types.is_boolean(values.type):
            return pandas.Categorical(self._categories(values), categories=["False", "True"])
        if not types.is_dictionary(values.type):
            values = values.cast(arrow.string()).dictionary_encode()
        known = [part.dictionary.cast(arrow.string()) for part in values.chunks]
        words = [np.asarray(part.to_numpy(zero_copy_only=False), object) for part in known]
        numbers, different = pandas.factorize(np.concatenate([*words, np.empty(0, object)]))
        codes, start = [np.empty(0, np.int32)], 0
        for part, its_words in zip(values.chunks, words, strict=True):
            own = np.append(numbers[start : start + len(its_words)], -1).astype(np.int32)
            start += len(its_words)
            places = part.indices.cast(arrow.int64()).fill_null(len(its_words)).to_numpy()
            codes.append(own[places])
        return pandas.Categorical.from_codes(
            np.concatenate(codes), pandas.Index(different, dtype=object)
        )

    def _categories(self, values: Any) -> NDArray[Any]:
        arrow, types = self._arrow, self._arrow.types
        if types.is_boolean(values.type):  # as pandas writes them to CSV
            words = np.array(["False", "True", None], object)
            return words[values.cast(arrow.int8()).fill_null(2).to_numpy()]
        parts = [self._words(part) for part in values.chunks]
        return np.concatenate(parts) if parts else np.empty(0, object)

    def _words(self, part: Any) -> NDArray[Any]:
        """Return text as objects; of a dictionary, rows with the same word share it."""
        arrow = self._arrow
        if not arrow.types.is_dictionary(part.type):
            return np.asarray(part.cast(arrow.string()).to_numpy(zero_copy_only=False), object)
        known = part.dictionary.cast(arrow.string()).to_numpy(zero_copy_only=False)
        words = np.append(np.asarray(known, object), np.array([None], object))
        return words[part.indices.cast(arrow.int64()).fill_null(len(words) - 1).to_numpy()]

    def _read_from(self, layout: Layout | None) -> Sequence[Column]:
        """Return the columns that a layout is of; all where there is none."""
        return self._found() if layout is None else layout.columns

    def _row_bytes(self, columns: Sequence[Column]) -> float:
        widths = {NUMBER: NUMBER_BYTES, DATE: DATE_BYTES, TEXT: TEXT_BYTES}
        return float(sum(widths.get(column.kind, CATEGORY_BYTES) for column in columns))


_TEXT_DTYPES = {
    NUMBER: "float64",
    CATEGORY: "string",
    TEXT: "string",
}  # what cells of text are read as


def _what_to_do(place: str, value: object, column: Column, known: Notation) -> str:
    said = f"{place}: {quoted(value)} is not a number."
    advice = advice_on({str(value): 1}, known)
    if advice:
        said += f" If it is meant as one: {advice}."
    return (
        f"{said} If the column holds categories, say --categorical {column.name}; if it is of no "
        f"use, --drop {column.name}"
    )


def _refuse_twice(path: Path, names: Sequence[str]) -> None:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise BadData(f"{path} has more than one column named {listed(map(quoted, twice))}.")


class CSV(Table):
    """Text with a line of names first, also compressed."""

    _instead_of_dates = CATEGORY

    def __init__(self, path: Path, how: Format) -> None:
        super().__init__(path, how)
        self._csv: Any = needed("pyarrow.csv", "reading CSV files")
        self._separator = how.separator or ("\t" if bare_name(path).endswith(".tsv") else ",")
        self._notation = Notation(how.decimal, how.thousands)
        self._notation.check()
        if len(self._separator) != 1 or not self._separator.isascii():
            said = quoted(self._separator)
            raise BadData(f"--separator must be one character of ASCII, got {said}.")
        if self._separator in '\r\n"' or self._separator.isalnum():
            raise BadData(f"--separator cannot be {quoted(self._separator)}.")
        refuse_other_kinds(path)
        self._columns: list[Column] | None = None
        self._names: list[str] | None = None
        self._date_dtypes: dict[str, str] = {}
        self._examples: dict[str, tuple[str, str]] = {}  # a cell of another notation, and advice

    def _names_there(self) -> list[str]:
        return self._header()

    def dtype(self, layout: Layout) -> Any:  # noqa: ARG002
        return np.float64

    def _found(self) -> list[Column]:
        if self._columns is None:
            self._columns = [
                self._as_wished(Column(name, "", ""), self._kind(name, values))
                for name, values in zip(self._header(), self._sample(), strict=True)
            ]
        return self._columns

    def _as_wished(self, column: Column, kind: str) -> Column:
        dtype = _TEXT_DTYPES.get(kind, column.dtype)
        return Column(column.name, kind, self._date_dtypes[column.name] if kind == DATE else dtype)

    def _header(self) -> list[str]:
        if self._names is None:
            names = next((row for _, row in self._records()), [])
            if not names:
                raise BadData(f"{self.path} is empty.")
            self._refuse_another_separator(names)
            _refuse_twice(self.path, names)
            self._names = names
        return self._names

    def _refuse_another_separator(self, names: Sequence[str]) -> None:
        if len(names) > 1 or self.how.separator is not None:
            return
        for character in ";\t|,":
            if character in names[0]:
                shown = "$'\\t'" if character == "\t" else f'"{character}"'
                raise BadData(
                    f"{self.path}: the first line is one name, {quoted(names[0])}. If columns are "
                    f"separated by {quoted(character)}: --separator {shown}"
                )

    def _sample(self) -> list[Any]:
        """Return the first rows of each column, as text."""
        columns = [Column(name, UNKNOWN, "string") for name in self._header()]
        n_rows = min(SAMPLE_ROWS, max(SAMPLE_CELLS // len(columns), FEWEST_SAMPLE_ROWS))
        table = None
        with suppress(self._arrow.ArrowException, OSError, UnicodeDecodeError):
            few = self._parsed(columns, self._block_bytes(SAMPLE_BYTES), use_threads=False)
            table = next(self._regrouped(few, n_rows), None)
        if table is None:  # a longer row, or a fault that is to be told
            table = next(self._regrouped(self._batches(columns, n_rows), n_rows), None)
        if table is None:
            raise NoRows(f"{self.path} has a line of names, and no rows.")
        return list(table.columns)

    def _kind(self, name: str, values: Any) -> str:
        """Call a column numbers where most cells are: then the others are mistakes to report."""
        if len(values) > FEWEST_SAMPLE_ROWS:
            with suppress(self._arrow.ArrowException):
                self._notation.values(values, self._arrow)
                return NUMBER
        found = values.combine_chunks().value_counts() if len(values) else []
        cells = Counter({one["values"].as_py(): one["counts"].as_py() for one in found})
        cells.pop(None, None)
        most = 0.5 * cells.total()
        if self._notation.count(cells) > most:
            return NUMBER
        dtype = dtype_of(list(cells))
        if dtype is not None:
            self._date_dtypes[name] = dtype
            return DATE
        advice = advice_on(cells, self._notation)
        if advice:
            self._examples[name] = self._odd(cells), advice
            return LOST
        if sum(n for cell, n in cells.items() if has_unit(cell)) > most:
            self._examples[name] = next(filter(has_unit, cells)), "a file without the signs"
            return LOST
        if sum(n for cell, n in cells.items() if self._is_number_in_any_signs(cell)) > most:
            self._examples[name] = self._odd(filter(in_other_signs, cells)), PLAIN_DIGITS
            return LOST
        return CATEGORY

    def _is_number_in_any_signs(self, cell: str) -> bool:
        return self._notation.is_number(cell) or in_other_signs(cell)

    def _odd(self, cells: Iterable[str]) -> str:
        """Return the first cell that is no number in the table's own notation."""
        return next(cell for cell in cells if not self._notation.is_number(cell))

    def _refuse_unknown(self, column: Column) -> None:
        if column.kind == LOST:
            example, advice = self._examples[column.name]
            raise BadData(
                f"{self.path}, column {quoted(column.name)}: {quoted(example)} looks like a number "
                f"that is written in another way, as most of this column are. It needs {advice}. "
                f"If they are categories: --categorical {column.name}; if they are of no use: "
                f"--drop {column.name}"
            )
        super()._refuse_unknown(column)

    def _batches(self, columns: Sequence[Column], n_rows: int | None) -> Iterator[Any]:  # noqa: ARG002
        try:
            yield from self._parsed(columns, self._block_bytes())
        except (self._arrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self._complaint(columns, first_line(error)) from None

    def _parsed(
        self, columns: Sequence[Column], block_size: int, *, use_threads: bool = True
    ) -> Iterator[Any]:
        """Yield what Arrow makes of the file, a block after the other.

        Raises
        ------
        ArrowException, OSError, UnicodeDecodeError
        """
        arrow = self._arrow
        number = arrow.string() if self._notation.thousands else arrow.float64()
        coded = arrow.dictionary(arrow.int32(), arrow.string())
        of_kind = {NUMBER: number, CATEGORY: coded}
        types = {c.name: of_kind.get(c.kind, arrow.string()) for c in columns}
        convert = self._csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=MISSING,
            strings_can_be_null=True,
            decimal_point=self._notation.decimal,
        )
        parse = self._csv.ParseOptions(delimiter=self._separator, newlines_in_values=True)
        read = self._csv.ReadOptions(block_size=block_size, use_threads=use_threads)
        with arrow.input_stream(str(self.path), compression=packing_of(self.path)) as file:
            for batch in self._csv.open_csv(file, read, parse, convert):
                yield arrow.Table.from_batches([batch])

    def _block_bytes(self, usual: int | None = None) -> int:
        names = self._header()
        header = sum(map(len, names)) + len(names)
        limit = self.how.limits.memory
        if usual is None:
            share = BLOCK_BYTES if limit is None else max(limit // SHARE_OF_BLOCK, SAMPLE_BYTES)
            usual = min(BLOCK_BYTES, share)
        return min(max(usual, BLOCKS_OF_A_HEADER * header), 1 << 30)

    def _complaint(self, columns: Sequence[Column], said: str) -> UserError:
        """Find the line that Arrow could not read; it knows columns only."""
        if "straddling" in said:
            said = f"a row is longer than {in_words(self._block_bytes())}"
        return self._first_fault(columns) or BadData(f"{self.path}: {said}")

    def _first_fault(self, columns: Sequence[Column]) -> UserError | None:
        records = self._records()
        line, header = next(records)
        places = {name: index for index, name in enumerate(header)}
        numbers = [(places[c.name], c) for c in columns if c.kind == NUMBER and c.name in places]
        for line, row in records:
            if len(row) != len(header):
                return self._other_length(line, row, len(header))
            for index, column in numbers:
                cell = row[index]
                if cell not in MISSING and not self._notation.is_number(cell):
                    place = _at_line(self.path, line, column.name)
                    return BadData(_what_to_do(place, cell, column, self._notation))
        is_alone = line == next(self._records())[0]
        return NoRows(f"{self.path} has a line of names, and no rows.") if is_alone else None

    def _other_length(self, line: int, row: Sequence[str], expected: int) -> UserError:
        fields = "1 field" if len(row) == 1 else f"{len(row):,} fields"
        said = f"{self.path}, line {line:,} has {fields}, the first line has {expected:,}."
        if any("\n" in cell or "\r" in cell for cell in row):
            said += " A field of it goes over several lines: is a quotation mark never closed?"
        return BadData(said)

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row with the number of its line, as csv reads them: slow, for messages."""
        last = 0
        with opened(self.path) as raw:
            text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
            reader = csv.reader(lines_of(text, self.path, LINE), delimiter=self._separator)
            try:
                for row in reader:
                    if row:
                        yield last + 1, row
                    last = reader.line_num
            except UnicodeDecodeError:
                raise BadData(
                    f"{self.path} is not UTF-8. If it is Latin-1, this converts it: "
                    f"iconv -f LATIN1 -t UTF-8 {self.path} > converted.csv"
                ) from None
            except csv.Error as error:
                raise BadData(
                    f"{self.path}, line {last + 1:,}: {first_line(error)}. Is a quotation mark "
                    "never closed?"
                ) from None

    def place(self, row: int, column: str | None = None) -> str:
        with suppress(BadData):
            for number, (line, _) in enumerate(self._records()):
                if number == row + 1:  # the first has the names
                    return _at_line(self.path, line, column)
        return super().place(row, column)

    def size(self, layout: Layout | None = None) -> Size:
        start, share = beginning(self.path, BLOCK_BYTES)
        rows = max(start.count(b"\n") - 1, 1)  # without the names
        n_rows = math.ceil(rows / share)
        return Size(max(n_rows, rows), self._row_bytes(self._read_from(layout)))


def _at_line(path: Path, line: int, column: str | None) -> str:
    place = f"{path}, line {line:,}"
    return place if column is None else f"{place}, column {quoted(column)}"


class Parquet(Table):
    """Columns with types."""

    def __init__(self, path: Path, how: Format) -> None:
        super().__init__(path, how)
        parquet: Any = needed("pyarrow.parquet", "reading Parquet files")
        with damage(path):
            file = parquet.ParquetFile(path, pre_buffer=False)
            types, found = file.schema_arrow, file.metadata
            # words that come again and again stay one each: few bytes can be many gigabytes of text
            texts = {field.name for field in types if self._is_text(field.type)}
            words = texts - _packed_by_differences(found, texts)
            self._file = parquet.ParquetFile(
                path,
                read_dictionary=sorted(words),
                pre_buffer=False,
                buffer_size=BUFFER_BYTES,
                page_checksum_verification=True,  # of files that have them
            )
            self._batch_rows = BATCH_ROWS if words == texts else FEW_ROWS
            self._n_rows = int(found.num_rows)
            self._groups = [found.row_group(k).num_rows for k in range(found.num_row_groups)]
            self._fields = [
                (field.name, self._kind(field.type), str(field.type)) for field in types
            ]
        if self._n_rows < 0:
            raise BadData(f"{path} says that it has {self._n_rows:,} rows.")
        _refuse_twice(path, [name for name, _, _ in self._fields])

    def _is_text(self, dtype: Any) -> bool:
        types = self._arrow.types
        checks = (types.is_string, types.is_large_string, types.is_string_view)
        return any(check(dtype) for check in checks)

    def _names_there(self) -> list[str]:
        return [name for name, _, _ in self._fields]

    def dtype(self, layout: Layout) -> Any:
        wanted = {column.name for column in layout.columns}
        return exact_dtype({dtype for name, _, dtype in self._fields if name in wanted})

    def _found(self) -> list[Column]:
        return [Column(*field) for field in self._fields]

    def layout(self, wishes: Wishes) -> Layout:
        if self._n_rows == 0:  # a column of words without any may have the type of no words
            raise NoRows(f"{self.path} has no rows.")
        return super().layout(wishes)

    def _kind(self, dtype: Any) -> str:
        types = self._arrow.types
        if types.is_dictionary(dtype):
            is_known = self._is_text(dtype.value_type) or types.is_integer(dtype.value_type)
            return CATEGORY if is_known else ""
        if types.is_timestamp(dtype) or types.is_date(dtype):
            return DATE
        numbers = (types.is_integer, types.is_floating, types.is_decimal, types.is_null)
        if any(check(dtype) for check in numbers):
            return NUMBER
        return CATEGORY if self._is_text(dtype) or types.is_boolean(dtype) else ""

    def _as_wished(self, column: Column, kind: str) -> Column:
        return super()._as_wished(column, kind) if column.kind else column  # nothing can be made of

    def seeks(self, n_rows: int | None) -> bool:
        """Tell whether chunks can be read in any order: with few rows besides, of groups."""
        is_whole = min(self._groups, default=0) > 0 and sum(self._groups) == self._n_rows
        return n_rows is not None and is_whole and max(self._groups) <= n_rows

    def _chosen(
        self, layout: Layout, n_rows: int | None, numbers: Sequence[int] | None, *, target: bool
    ) -> Iterator[Chunk]:
        if n_rows is None or numbers is None or not self.seeks(n_rows):
            yield from super()._chosen(layout, n_rows, numbers, target=target)
            return
        wanted = self._wanted(layout, target=target)
        borders = np.cumsum([0, *self._groups])
        for first in (number * n_rows for number in numbers):
            last = min(first + n_rows, self._n_rows)
            groups = np.flatnonzero((borders[:-1] < last) & (borders[1:] > first)).tolist()
            (table,) = self._regrouped(self._batches(wanted, n_rows, groups), None)
            part = table.slice(first - borders[groups[0]], last - first)
            with damage(self.path):
                chunk = self._chunk(part, layout, first, target=target)
            yield chunk

    def _batches(
        self, columns: Sequence[Column], n_rows: int | None, groups: list[int] | None = None
    ) -> Iterator[Any]:
        names = [column.name for column in columns]
        self._refuse_other_types(columns)
        n_there = self._n_rows if groups is None else sum(self._groups[k] for k in groups)
        first = 1 if not groups else 1 + sum(self._groups[: groups[0]])
        size = max(min(n_rows or self._batch_rows, self._batch_rows), 1)
        n_seen = 0
        with damage(self.path):
            batches = self._file.iter_batches(batch_size=size, columns=names, row_groups=groups)
        while True:
            with damage(f"{self.path}, from row {first + n_seen:,} on"):
                batch = next(batches, None)
                if batch is None:
                    break
                batch.validate(full=True)
                n_seen += batch.num_rows
                table = self._arrow.Table.from_batches([batch]).select(names)
            yield table
        if n_seen != n_there:
            raise BadData(f"{self.path} has {n_seen:,} rows, and says {n_there:,}.")

    def _refuse_other_types(self, columns: Sequence[Column]) -> None:
        """Refuse columns of which neither numbers nor words can be made."""
        dtypes = {name: (kind, dtype) for name, kind, dtype in self._fields}
        for column in columns:
            kind, dtype = dtypes[column.name]
            if not kind:
                wanted = "numbers" if column.kind == NUMBER else "categories"
                raise BadData(
                    f"{self.path}, column {quoted(column.name)} holds {dtype}, and {wanted} are "
                    "expected."
                )

    def size(self, layout: Layout | None = None) -> Size:
        return Size(self._n_rows, self._row_bytes(self._read_from(layout)))


def _packed_by_differences(found: Any, names: set[str]) -> set[str]:
    """Return the columns whose words Arrow does not read as a dictionary: they are not kept so."""
    groups = [found.row_group(index) for index in range(found.num_row_groups)]
    chunks = (group.column(index) for group in groups for index in range(group.num_columns))
    return {
        chunk.path_in_schema
        for chunk in chunks
        if chunk.path_in_schema in names and any("DELTA" in name for name in chunk.encodings)
    }
