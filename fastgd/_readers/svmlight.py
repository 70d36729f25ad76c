"""svmlight's text: compiled parsers of parts in parallel, and what is said of faults."""

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._readers.errors import BadData, Misuse, NoRows, quoted
from fastgd._readers.layout import NUMBER, SPARSE, Chunk, Column, Layout, Size, Wishes
from fastgd._readers.npz import Matrix, refuse_columns
from fastgd._readers.reader import COPIES, Format
from fastgd._readers.streams import (
    LINE,
    Text,
    beginning,
    lines_before,
    lines_of,
    opened,
    refuse_other_kinds,
    text_of,
    texts_of,
)
from fastgd._runtime.threads import in_threads
from fastgd.kernels import numerals, svmlight

BLOCK, FEWEST_BYTES = 1 << 23, 1 << 16  # of text that is read at once
PART = 1 << 19  # bytes of text that a thread parses at once
BLOCKS_OF_MEMORY = 32  # a block is no more than this share of the memory that is allowed
# what parsed rows may take that are kept between the passes over chunks: bytes, a share of memory
KEPT_BYTES, KEPT_OF_MEMORY = 1 << 29, 1 / 8
LARGEST_INDEX = (1 << 31) - 2
DIGITS = 18  # of an index that is worth reading
WORD = re.compile(rb"[^\s#]+")


class Rows(NamedTuple):
    """Parsed rows: targets, the place of each row's first number, indices and numbers."""

    y: NDArray[np.float64]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float64]
    weights: NDArray[np.float64] | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return sum(array.nbytes for array in self if array is not None)

    def part(self, first: int, last: int) -> "Rows":
        """Return some of the rows."""
        start, stop = int(self.indptr[first]), int(self.indptr[last])
        own = self.indptr[first : last + 1] - start
        indices, values = self.indices[start:stop], self.values[start:stop]
        weights = None if self.weights is None else self.weights[first:last]
        return Rows(self.y[first:last], own, indices, values, weights)

    def chunk(self, width: int, first: int, *, target: bool) -> Chunk:
        """Return the rows as a matrix."""
        n_stored = int(self.indptr[-1])
        whole = np.int32 if n_stored < 2**31 else np.int64
        arrays = (self.values, self.indices.astype(whole, copy=False), self.indptr.astype(whole))
        matrix = sp.csr_matrix(arrays, shape=(self.n_rows, width))
        return Chunk(matrix, self.y if target else None, first, self.weights)


def joined(pieces: Sequence[Rows], *, copies: bool = False) -> Rows:
    """Return rows one after the other; those of one piece are copied if asked for."""
    if len(pieces) == 1 and not copies:
        return pieces[0]
    starts = np.cumsum([0, *(int(piece.indptr[-1]) for piece in pieces)])
    moved = [piece.indptr[1:] + start for piece, start in zip(pieces, starts, strict=False)]
    return Rows(
        np.concatenate([piece.y for piece in pieces]),
        np.concatenate([np.zeros(1, np.int64), *moved]),
        np.concatenate([piece.indices for piece in pieces]),
        np.concatenate([piece.values for piece in pieces]),
        None if pieces[0].weights is None else np.concatenate([p.weights for p in pieces]),
    )


class Fault(NamedTuple):
    """What is wrong with a text: a code of the kernel's, and the place of a word."""

    code: int
    at: int


NO_NUMBER = -1


class Parsed(NamedTuple):
    """Rows of a part of a text, up to its first fault."""

    rows: Rows
    fault: Fault | None


# of a part of a text: its bytes as numbers, the same bytes, and where it begins and ends
Parse = Callable[[NDArray[np.uint8], bytes | bytearray, int, int], Parsed]


@cache
def powers() -> NDArray[np.uint64]:
    """Return the table that kernels read numbers by."""
    return numerals.powers_of_five()


def parse_part(content: NDArray[np.uint8], text: bytes | bytearray, span: svmlight.Span) -> Parsed:
    """Parse a part of a text, which ends with a line."""
    n_bytes = span.last - span.first  # of which a row takes 2 or more, and a pair 4
    n_rows, n_stored = n_bytes // 2 + 1, n_bytes // 4 + 1
    room = svmlight.Stored(
        np.empty(n_rows, np.uint64),
        np.empty(n_rows + 1, np.int64),
        np.empty(n_stored, np.int32),
        np.empty(n_stored, np.uint64),
    )
    code, at, n_rows, n_left = svmlight.parse(content, span, powers(), room)
    n_stored = int(room.indptr[n_rows])
    sizes = (n_rows, n_rows + 1, n_stored, n_stored)
    for array, size in zip(room, sizes, strict=True):  # which gives back what they did not need
        array.resize(size, refcheck=False)
    values = room.values.view(np.float64)
    rows = Rows(room.targets.view(np.float64), room.indptr, room.indices, values)
    fault = None if code == svmlight.FINE else Fault(code, at)
    return finish(rows, fault, text, n_left, (rows.y, rows.values), WORD)


def finish(
    rows: Rows,
    fault: Fault | None,
    text: bytes | bytearray,
    n_left: int,
    arrays: Sequence[NDArray[np.float64]],
    word: re.Pattern[bytes],
) -> Parsed:
    """Read the numbers that were left to Python, and return the first fault with the rows."""
    faults = [] if fault is None else [fault]
    if n_left > 0:
        found = (_finished(numbers, text, word) for numbers in arrays)
        faults += [bad for bad in found if bad is not None]
    return Parsed(rows, min(faults, key=lambda one: one.at, default=None))


def _finished(
    numbers: NDArray[np.float64], text: bytes | bytearray, word: re.Pattern[bytes]
) -> Fault | None:
    """Read the numbers that were left; return the first one that is none."""
    bits = numbers.view(np.uint64)
    places = np.flatnonzero(bits >> np.uint64(48) == numerals.LEFT)
    for place in places.tolist():
        at = int(bits[place]) & ((1 << 48) - 1)
        try:
            numbers[place] = float(word_at(text, at, word))
        except ValueError:
            return Fault(NO_NUMBER, at)
    return None


def word_at(text: bytes | bytearray, at: int, pattern: re.Pattern[bytes] = WORD) -> bytes:
    """Return the word that begins at a place, b"" if none does."""
    match = pattern.match(text, at)
    return b"" if match is None else bytes(match[0])


def spans_of(text: Text, size: int = PART) -> list[tuple[int, int]]:
    """Cut a text into parts of about ``size``, at the ends of lines."""
    ends = [0]
    while ends[-1] < text.end:
        wanted = min(ends[-1] + size, text.end)
        ends.append(text.content.find(b"\n", wanted - 1) + 1)
    return list(pairwise(ends))


def pieces_of(text: Text, parse: Parse) -> Iterator[tuple[Parsed, Text]]:
    """Parse a text in parallel; yield its parts in their order."""
    content = np.frombuffer(text.content, np.uint8)
    content.flags.writeable = False  # for which kernels are compiled
    spans = spans_of(text)

    def task(first: int, last: int) -> Parsed:
        return parse(content, text.content, first, last)

    for parsed in in_threads(task, *zip(*spans, strict=True)):
        yield parsed, text


class Kept(NamedTuple):
    """Parsed rows of a whole file.

    Attributes
    ----------
    stamp : (int, int)
        By which it is known whether the file is still the same.
    pieces : list of Rows
    n_bytes : int
    bounds : (int, int) or None
        The number of features, and whether they are counted from 0, of the layout that the rows
        were read by; None if there was none yet.
    """

    stamp: tuple[int, int]
    pieces: list[Rows]
    n_bytes: int
    bounds: tuple[int, bool] | None


def bounds_of(layout: Layout) -> tuple[int, bool]:
    """Return what a layout says of indices."""
    return layout.n_features, layout.zero_based


class TextRows(Matrix):
    """Rows of text without names, a line each: what readers of such formats share.

    What a pass has parsed is kept for those that follow, where there is room for it.
    """

    form = SPARSE

    def __init__(self, path: Path, how: Format) -> None:
        super().__init__(path, how)
        refuse_other_kinds(path)
        self._kept: Kept | None = None
        self._seen: Size | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out rows that were kept: another process parses the file itself."""
        return {**self.__dict__, "_kept": None}

    @abstractmethod
    def _parse(self, layout: Layout | None) -> Parse:
        """Return what parses a part of a text; no layout is known in the first pass."""

    @abstractmethod
    def _said(self, text: Text, fault: Fault, layout: Layout | None) -> BadData:
        """Return what is said of a fault."""

    def line_of(self, text: Text, at: int) -> str:
        """Return where a place of a text is, as a user finds it."""
        number = 1 + lines_before(self.path, text.first_byte) + text.content.count(b"\n", 0, at)
        return f"{self.path}, line {number:,}"

    def _look(self) -> Iterator[Rows]:
        """Yield all rows, for what is to be learned before there is a layout."""
        n_rows = n_bytes = 0
        for rows in self._keeping(self._pieces(None), self.most_bytes() / COPIES, None):
            n_rows, n_bytes = n_rows + rows.n_rows, n_bytes + rows.nbytes
            yield rows
        if n_rows > 0:
            self._seen = Size(n_rows, max(n_bytes - 8 * n_rows, 0) / n_rows)

    def _keeping(
        self, pieces: Iterator[Rows], most: float, bounds: tuple[int, bool] | None
    ) -> Iterator[Rows]:
        """Yield pieces, and keep them once all were read, if they take no more bytes than that."""
        stamp, kept, n_bytes = self._stamp(), list[Rows](), 0
        for piece in pieces:
            n_bytes += piece.nbytes
            if n_bytes <= most:
                kept.append(piece)
            else:
                kept.clear()
            yield piece
        self._kept = Kept(stamp, kept, n_bytes, bounds) if kept else None

    def _stamp(self) -> tuple[int, int]:
        now = self.path.stat()
        return now.st_size, now.st_mtime_ns

    def _pieces(self, layout: Layout | None) -> Iterator[Rows]:
        """Yield parsed rows as they come."""
        parse = self._parse(layout)
        with opened(self.path) as file:
            for text in texts_of(file, self.path, self._block_bytes(), LINE, self._refuse_line):
                for parsed, _ in pieces_of(text, parse):
                    if parsed.fault is not None:
                        raise self._said(text, parsed.fault, layout)
                    if parsed.rows.n_rows > 0:
                        yield parsed.rows

    def _block_bytes(self) -> int:
        memory = self.how.limits.memory
        if memory is None:
            return BLOCK
        return min(max(memory // BLOCKS_OF_MEMORY, FEWEST_BYTES), BLOCK)

    def _refuse_line(self, n_bytes: int) -> None:
        self.refuse_more("a line", n_bytes)

    def _read(self, layout: Layout, n_rows: int | None, *, target: bool) -> Iterator[Chunk]:
        first = 0
        for rows in self._regrouped(self._pieces_again(layout, n_rows), n_rows):
            yield rows.chunk(layout.n_features, first, target=target)
            first += rows.n_rows

    def _pieces_again(self, layout: Layout, n_rows: int | None) -> Iterator[Rows]:
        """Yield what an earlier pass has kept, or parse the file.

        Where all rows are wanted at once, that is the last one who gets what was kept.
        """
        kept = self._kept
        if kept and (kept.stamp, kept.bounds) != (self._stamp(), bounds_of(layout)):
            kept = None
        if n_rows is None:
            self._kept = None
            return self._pieces(layout) if kept is None else iter(kept.pieces)
        most = self.share_of_room * min(KEPT_BYTES, KEPT_OF_MEMORY * self.most_bytes())
        if kept is None or kept.n_bytes > most:
            self._kept = None
            return self._keeping(self._pieces(layout), most, bounds_of(layout))
        return iter(kept.pieces)

    def _shift(self, layout: Layout) -> int:
        return int(not layout.zero_based)

    def _settle(self, layout: Layout) -> None:
        """Count the indices of rows that were kept as the layout has them."""
        if self._kept is None:
            return
        for rows in self._kept.pieces if self._shift(layout) else ():
            rows.indices[...] -= self._shift(layout)
        self._kept = self._kept._replace(bounds=bounds_of(layout))

    def _regrouped(self, pieces: Iterator[Rows], n_rows: int | None) -> Iterator[Rows]:
        """Yield the same rows, ``n_rows`` at a time, in arrays of their own; or all for None."""
        waiting: list[Rows] = []
        n_waiting = n_bytes = 0
        for piece in pieces:
            at = 0
            while n_rows is not None and n_waiting + piece.n_rows - at >= n_rows:
                last = at + n_rows - n_waiting
                yield joined([*waiting, piece.part(at, last)], copies=True)
                waiting, n_waiting, n_bytes, at = [], 0, 0, last
            if at < piece.n_rows:
                rest = piece.part(at, piece.n_rows) if at > 0 else piece
                waiting.append(rest)
                n_waiting, n_bytes = n_waiting + rest.n_rows, n_bytes + rest.nbytes
                self.refuse_more(f"{n_waiting:,} rows or more", n_bytes)
        if n_waiting > 0:
            yield joined(waiting, copies=n_rows is not None)

    def place(self, row: int, column: str | None = None) -> str:
        line = None
        with suppress(BadData), opened(self.path) as file:
            seen = -1
            for number, text in enumerate(lines_of(file, self.path), 1):
                seen += self._is_row(text)
                if seen == row:
                    line = number
                    break
        return super().place(row, column) if line is None else f"{self.path}, line {line:,}"

    def _is_row(self, line: bytes) -> bool:
        return bool(line.strip())

    def dtype(self, layout: Layout) -> Any:  # noqa: ARG002
        return np.float64

    def size(self, layout: Layout | None = None) -> Size:  # noqa: ARG002
        if self._seen is not None:
            return self._seen
        rows = next(self._pieces(None), None)
        if rows is None:
            raise NoRows(f"{self.path} is empty.")
        start, share = beginning(self.path, BLOCK)
        n_rows = int(np.ceil(max(start.count(b"\n"), 1) / share))
        return Size(n_rows, 12.0 * len(rows.values) / rows.n_rows + 8)


class SvmLight(TextRows):
    """A line for each row, ``target index:value index:value``, also compressed."""

    def layout(self, wishes: Wishes) -> Layout:
        """Take a pass over the file: which features there are is known at its end only."""
        refuse_columns(self.path, wishes)
        if wishes.target is not None:
            raise Misuse(f"--target: in {self.path} it is the first word of each line.")
        lowest, highest = LARGEST_INDEX + 1, -1
        for rows in self._look():
            if len(rows.indices) > 0:
                lowest = min(lowest, int(rows.indices.min()))
                highest = max(highest, int(rows.indices.max()))
        if highest < 0:
            if self._seen is None:
                raise NoRows(f"{self.path} is empty.")
            raise BadData(f"{self.path} holds no features.")
        zero_based = lowest == 0
        layout = Layout(
            SPARSE,
            target=Column("target", NUMBER, "float64"),
            n_features=highest + zero_based,
            zero_based=zero_based,
        )
        self._settle(layout)
        return layout

    def _bounds(self, layout: Layout | None) -> tuple[int, int]:
        """Return the lowest and the highest index that there may be."""
        if layout is None:
            return 0, min(self.how.limits.features - 1, LARGEST_INDEX)
        shift = self._shift(layout)
        return shift, min(layout.n_features - 1 + shift, LARGEST_INDEX)

    def _parse(self, layout: Layout | None) -> Parse:
        bounds = self._bounds(layout)
        return lambda content, text, first, last: parse_part(
            content, text, svmlight.Span(first, last, *bounds)
        )

    def _said(self, text: Text, fault: Fault, layout: Layout | None) -> BadData:
        place, word = self.line_of(text, fault.at), word_at(text.content, fault.at)
        pair = re.fullmatch(rb"(\d+):(\S+)", word)
        if fault.code == NO_NUMBER:
            return BadData(f"{place}: {quoted(text_of(word))} is not a number.")
        if pair is None or fault.code == svmlight.NO_PAIR:
            return BadData(f"{place}: {quoted(text_of(word))} is not index:value.")
        if fault.code == svmlight.NOT_RISING:
            return BadData(
                f"{place}: feature {text_of(pair[1])} is there twice, or after a larger one; the "
                "indices of a line must rise."
            )
        return self._outside(place, text_of(pair[1]), layout)

    def _outside(self, place: str, digits: str, layout: Layout | None) -> BadData:
        low, high = self._bounds(layout)
        if len(digits.lstrip("0")) > DIGITS or (layout is None and int(digits) > LARGEST_INDEX):
            return BadData(f"{place}: the index {quoted(digits)} is too large.")
        index = int(digits)
        if layout is None:
            self._refuse_width(place, index + 1, f"there is a feature {index:,}")
        return BadData(
            f"{place}: there is a feature {index:,}, and the model knows {low} to {high:,}."
        )

    def _is_row(self, line: bytes) -> bool:
        text = line.lstrip()
        return bool(text) and not text.startswith(b"#")
