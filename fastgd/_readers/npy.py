"""Arrays in NumPy's .npy format, in zip archives: what their headers say is held against them."""

import io
import math
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fastgd._readers.errors import BadData, quoted
from fastgd._readers.zips import Members, damage

_HEADER_BYTES = 1 << 14  # at most


def header_of(archive: Members, member: str, where: str, most_axes: int = 2) -> "Header":
    """Return what the header of an array says; it agrees with the size of the member.

    Raises
    ------
    BadData
        If it does not, if it has more axes than ``most_axes``, or speaks of Python objects, which
        would be pickles.
    """
    size = archive.info(member).file_size
    with archive.opened(member) as file, damage(where):
        header = Header(file.read(_HEADER_BYTES))
    header.check(where, size, most_axes)
    return header


class Header:
    """What a .npy file says of its array.

    Raises
    ------
    ValueError
        If it says nothing that is known.
    """

    def __init__(self, start: bytes) -> None:
        file = io.BytesIO(start)
        version = np.lib.format.read_magic(file)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in readers:
            raise ValueError(f"version {version} of the .npy format is not known")
        self.shape, self.by_columns, self.dtype = readers[version](file)
        self.length = file.tell()
        if self.dtype.hasobject:
            raise ValueError("it holds Python objects, which only a pickle could read")
        if self.dtype.names is not None or self.dtype.subdtype is not None:
            raise ValueError(f"its type is {quoted(self.dtype)}, and not one of plain numbers")

    def check(self, where: str, size: int, most_axes: int) -> None:
        """Refuse a header that does not go with the number of bytes there are.

        Raises
        ------
        BadData
        """
        if any(length < 0 for length in self.shape) or len(self.shape) > most_axes:
            raise BadData(f"{where}: its shape is {quoted(self.shape)}.")
        count = math.prod(self.shape)
        promised = self.length + count * self.dtype.itemsize
        if promised != size or (count > 0 and self.dtype.itemsize == 0):
            raise BadData(
                f"{where}: its header speaks of {promised:,} bytes, and there are {size:,}."
            )

    @property
    def _order(self) -> Any:
        return "F" if self.by_columns else "C"

    def filled(self, content: bytes) -> NDArray[Any]:
        """Return the array that the bytes of the file are."""
        values = np.frombuffer(content, self.dtype, offset=self.length, count=math.prod(self.shape))
        return values.reshape(self.shape, order=self._order)

    def mapped(self, path: Path, offset: int) -> NDArray[Any]:
        """Return a map of the array in an archive, whose member begins at an offset."""
        with path.open("rb") as file:
            start = offset + _length_of_local_header(file, offset) + self.length
            if math.prod(self.shape) == 0 or self.shape == ():
                file.seek(start)
                return np.fromfile(file, self.dtype, math.prod(self.shape)).reshape(self.shape)
            return np.memmap(file, self.dtype, "r", start, self.shape, self._order)


def _length_of_local_header(file: IO[bytes], offset: int) -> int:
    file.seek(offset + 26)  # the lengths of name and extra field
    return 30 + int(np.frombuffer(file.read(4), "<u2").sum())
