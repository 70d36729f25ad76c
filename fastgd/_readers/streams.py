"""Files of text, also compressed: what is damaged is reported, and no line is endless."""

import codecs
import gzip
import io
import shlex
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, AnyStr, NamedTuple

from fastgd._readers.errors import BadData, needed, reason

LINE = 1 << 28  # bytes or characters that a line may have

# by which beginnings files are recognised, where the name says something else
_BEGINNINGS = (
    (b"\x1f\x8b", "it is compressed by gzip: let its name end in .gz"),
    (b"\x28\xb5\x2f\xfd", "it is compressed by zstd: let its name end in .zst"),
    (b"PK\x03\x04", "it is a zip archive, such as .npz or .xlsx"),
    (b"PAR1", "it is a Parquet file: let its name end in .parquet"),
    (b"\xd0\xcf\x11\xe0", "it is a workbook of Excel: export it as CSV"),
)
# Unicode of several bytes a character, by the mark before it; UTF-16's begins UTF-32's, too
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
# and without a mark: at which of four places most characters have a zero
_ZEROS: dict[tuple[bool, ...], str] = {
    (False, True, True, True): "UTF-32LE",
    (True, True, True, False): "UTF-32BE",
    (False, True, False, True): "UTF-16LE",
    (True, False, True, False): "UTF-16BE",
}
_LOOKED_AT = 256  # bytes
COUNTED_AT_ONCE = 1 << 23  # bytes, whose lines are counted


GZIP, ZSTD = "gzip", "zstd"
PACKINGS = {".gz": GZIP, ".zst": ZSTD, ".zstd": ZSTD}  # by the ends of names


def packing_of(path: Path) -> str | None:
    """Return how a file is compressed, by its name; None if it is not."""
    return PACKINGS.get(path.suffix.lower())


def bare_name(path: Path) -> str:
    """Return a file's name in lower case, without the end that tells of compression."""
    return (path.stem if packing_of(path) else path.name).lower()


def _unpacked(raw: IO[bytes], packing: str | None) -> IO[bytes]:
    """Return what reads a compressed file's contents."""
    if packing == GZIP:
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]  # a GzipFile is one
    if packing == ZSTD:
        arrow = needed("pyarrow", "reading files compressed by zstd")
        stream: IO[bytes] = io.BufferedReader(arrow.CompressedInputStream(raw, ZSTD), 1 << 20)
        return stream
    return raw


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to read, unpacked where its name says that it is compressed.

    Raises
    ------
    BadData
        Now or while it is read, if it cannot be.
    """
    with _explained(path), path.open("rb") as raw, _unpacked(raw, packing_of(path)) as file:
        yield file


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise BadData(f"{path}: {reason(error)}") from None


def beginning(path: Path, most: int) -> tuple[bytes, float]:
    """Return how a file begins, unpacked, and which share of the file that is, roughly.

    Raises
    ------
    BadData
        If it cannot be read.
    """
    with _explained(path), path.open("rb") as raw:
        size = raw.seek(0, 2)
        raw.seek(0)
        with _unpacked(raw, packing_of(path)) as file:
            start = file.read(most)
            return start, max(raw.tell(), 1) / max(size, 1)


def lines_of(file: IO[AnyStr], path: Path, most: int = LINE) -> Iterator[AnyStr]:
    """Yield the lines of a file.

    Raises
    ------
    BadData
        If one is longer than ``most``: it is not read to its end.
    """
    number = 0
    while line := file.readline(most + 1):
        number += 1
        if len(line) > most:
            raise BadData(f"{path}, line {number:,}: a line of more than {most:,} characters.")
        yield line


class Text(NamedTuple):
    """Whole lines of a file.

    Attributes
    ----------
    content : bytearray
        Lines, and whatever lies behind them.
    end : int
        Where they end, each of them with a line feed.
    first_byte : int
        How many bytes of the file are before them.
    """

    content: bytearray
    end: int
    first_byte: int


def texts_of(
    file: IO[bytes], path: Path, size: int, most: int, allow: Callable[[int], None]
) -> Iterator[Text]:
    """Yield the lines of a file in texts of about ``size``, without a byte order mark.

    Each is read into the place of the one before.

    Parameters
    ----------
    file : binary file
    path : Path
    size, most : int
        Bytes of a text, and bytes that a line may have.
    allow : callable
        Is given the bytes of a line that is longer than a text, and may refuse it.

    Raises
    ------
    BadData
        If a line is longer than ``most``.
    """
    room, n_begun, first_byte, is_first = bytearray(size), 0, 0, True
    while n_read := _read_into(file, room, n_begun):
        filled = n_begun + n_read
        if is_first and room.startswith(codecs.BOM_UTF8):
            first_byte, is_first = len(codecs.BOM_UTF8), False
            filled = _moved_up(room, first_byte, filled)
        end, is_first = room.rfind(b"\n", 0, filled) + 1, False
        if end > 0:
            yield Text(room, end, first_byte)
            first_byte, n_begun = first_byte + end, _moved_up(room, end, filled)
            continue
        if filled > most:
            line = f"{path}, line {1 + lines_before(path, first_byte):,}"
            raise BadData(f"{line}: a line of more than {most:,} characters.")
        allow(filled)
        n_begun = filled
        if filled == len(room):
            room = room + bytes(size)  # another object: an array may still look at this one
    if n_begun > 0:
        last = room[:n_begun] + b"\n"
        yield Text(last, len(last), first_byte)


def _read_into(file: IO[bytes], room: bytearray, start: int) -> int:
    """Read into the rest of some room; return how many bytes."""
    with memoryview(room) as view, view[start:] as rest:
        return int(file.readinto(rest))  # type: ignore[attr-defined]  # binary files have it


def _moved_up(room: bytearray, start: int, end: int) -> int:
    """Move some bytes to the front; return how many."""
    room[: end - start] = room[start:end]
    return end - start


def lines_before(path: Path, n_bytes: int) -> int:
    """Return how many lines end within the first bytes of a file, which is read for it.

    Raises
    ------
    BadData
        If it cannot be read.
    """
    n_lines = 0
    with opened(path) as file:
        while block := file.read(min(n_bytes, COUNTED_AT_ONCE)):
            n_lines, n_bytes = n_lines + block.count(b"\n"), n_bytes - len(block)
    return n_lines


def refuse_other_kinds(path: Path) -> None:
    """Refuse what is no text, by the first bytes.

    Raises
    ------
    BadData
    """
    with opened(path) as file:
        beginning = file.read(_LOOKED_AT)
    for start, what in _BEGINNINGS:
        if beginning.startswith(start):
            raise BadData(f"{path} holds no text: {what}")
    encoding = _encoding_of(beginning)
    if encoding is not None:
        named = shlex.quote(str(path))
        raise BadData(
            f"{path} holds no text: it is {encoding}. This converts it: iconv -f {encoding} -t "
            f"UTF-8 {named} > utf8.csv"
        )


def _encoding_of(start: bytes) -> str | None:
    """Return the encoding of text whose characters have several bytes each."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    quarters = [start[place : len(start) // 4 * 4 : 4] for place in range(4)]
    return _ZEROS.get(tuple(2 * part.count(0) > len(part) for part in quarters))


def refuse_unreadable(path: Path) -> None:
    """Refuse what is no file that can be read again and again.

    Raises
    ------
    BadData
    """
    try:
        if path.is_dir():
            raise BadData(f"{path} is a folder.")
        if not path.is_file():
            kind = f"{path} is no file" if path.exists() else f"there is no file {path}"
            again = "; rows are read more than once, which only a file allows"
            raise BadData(f"{kind}{again}" if path.exists() else kind)
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise BadData(f"{path} cannot be read: {reason(error)}") from None


def text_of(value: Any) -> str:
    """Return bytes as they are shown: what is no UTF-8 is replaced."""
    return bytes(value).decode(errors="replace")
