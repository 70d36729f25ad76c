"""Vowpal Wabbit's text: compiled parsers, and the hashes that features have there."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastgd._readers.errors import BadData, Misuse, quoted
from fastgd._readers.layout import NUMBER, SPARSE, Chunk, Column, Layout, Wishes
from fastgd._readers.npz import refuse_columns
from fastgd._readers.reader import Format
from fastgd._readers.streams import Text, text_of
from fastgd._readers.svmlight import (
    Fault,
    Parse,
    Parsed,
    Rows,
    TextRows,
    finish,
    powers,
    word_at,
)
from fastgd.kernels import numerals, vw

BITS, FEWEST_BITS, MOST_BITS = 18, 1, 30  # Vowpal Wabbit's default; what indices have room for
WORD = re.compile(rb"[^\s|]+")


def parse_part(
    content: NDArray[np.uint8], text: bytes | bytearray, first: int, last: int, n_features: int
) -> Parsed:
    """Parse a part of a text, which ends with a line."""
    n_rows = n_stored = (last - first) // 2 + 1  # a row or a feature takes 2 bytes or more
    values = np.empty(n_stored, np.uint64)
    room = vw.Hashed(
        np.empty((n_rows, 2), np.uint64),
        np.empty(n_rows + 1, np.int64),
        np.empty(n_stored, np.int32),
        values,
        values.view(np.float64),
        np.empty(n_stored),
    )
    with np.errstate(over="ignore"):  # infinite numbers are reported with their places
        code, at, n_rows, n_left = vw.parse(content, (first, last, n_features), powers(), room)
    n_stored = int(room.indptr[n_rows])
    header = np.ascontiguousarray(room.header[:n_rows].T).view(np.float64)
    indptr, indices = room.indptr, room.indices
    room = room._replace(numbers=np.empty(0))  # which is another view of what is resized
    for array, size in ((indptr, n_rows + 1), (indices, n_stored), (values, n_stored)):
        array.resize(size, refcheck=False)  # which gives back what they did not need
    numbers = values.view(np.float64)
    rows = Rows(header[0], indptr, indices, numbers, header[1])
    fault = None if code == vw.FINE else Fault(code, at)
    if n_left == 0:
        return Parsed(rows, fault)
    left = np.flatnonzero(numbers.view(np.uint64) >> np.uint64(48) == numerals.LEFT)
    parsed = finish(rows, fault, text, n_left, (header[0], header[1], numbers), WORD)
    if parsed.fault is None:
        with np.errstate(over="ignore"):
            numbers[left] *= room.scales[left]
    return parsed


class VW(TextRows):
    """A line for each row, ``label weight 'tag|namespace feature:value ...``, also compressed.

    Features are hashed as Vowpal Wabbit hashes them, into 2^bits columns; those of a row that fall
    into one column are added up.
    """

    def __init__(self, path: Path, how: Format) -> None:
        super().__init__(path, how)
        self._n_features = 1 << (BITS if how.bits is None else how.bits)

    def layout(self, wishes: Wishes) -> Layout:
        refuse_columns(self.path, wishes)
        if wishes.target is not None:
            raise Misuse(f"--target: in {self.path} it is the first word of each line.")
        self.size()  # refuses a file without rows
        bits = self._n_features.bit_length() - 1
        self._refuse_width(str(self.path), self._n_features, f"--bits is {bits}")
        target = Column("target", NUMBER, "float64")
        return Layout(SPARSE, target=target, n_features=self._n_features)

    def check_layout(self, layout: Layout) -> None:
        super().check_layout(layout)
        bits = layout.n_features.bit_length() - 1
        is_hashed = layout.n_features == 1 << bits and FEWEST_BITS <= bits <= MOST_BITS
        if not is_hashed or not layout.zero_based:
            raise BadData(
                f"{self.path} has hashed features, 2^bits of them, and the model expects "
                f"{layout.n_features:,}. Was it trained on another format?"
            )

    def _parse(self, layout: Layout | None) -> Parse:
        n_features = self._n_features if layout is None else layout.n_features
        return lambda content, text, first, last: parse_part(content, text, first, last, n_features)

    def _read(self, layout: Layout, n_rows: int | None, *, target: bool) -> Iterator[Chunk]:
        for chunk in super()._read(layout, n_rows, target=target):
            chunk.X.sum_duplicates()
            yield chunk

    def _said(self, text: Text, fault: Fault, layout: Layout | None) -> BadData:  # noqa: ARG002
        place = self.line_of(text, fault.at)
        word = quoted(text_of(word_at(text.content, fault.at, WORD)))
        if fault.code == vw.NO_BAR:
            return BadData(f"{place}: there is no | before the features.")
        if fault.code == vw.WORDS:
            return BadData(
                f"{place}: {word} is a third word before the |. Known are a label, a weight, and a "
                "tag that touches the | or begins with '."
            )
        if fault.code == vw.NO_NUMBER and _is_number(word_at(text.content, fault.at, WORD)):
            return BadData(
                f"{place}: {word} is the value of a namespace, which must be finite, and have no "
                f"more than {numerals.MOST_DIGITS} digits."
            )
        return BadData(f"{place}: {word} is not a number.")


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
