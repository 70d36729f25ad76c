"""Zip archives of anyone's making: none is read beyond what it says, nor beyond a limit."""

import errno
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fastgd._readers.errors import BadData, UserError, quoted, reason
from fastgd._readers.limits import refuse_more

READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack without a bound
_ENCRYPTED = 1  # a bit of a member's flags
_BLOCK = 1 << 20


@contextmanager
def damage(where: object) -> Iterator[None]:
    """Tell of all that goes wrong in the block as damage of a file.

    For blocks that do nothing but let a library read foreign bytes: zipfile alone has ten kinds of
    exceptions for them.

    Raises
    ------
    BadData
    """
    try:
        yield
    except UserError:
        raise
    except MemoryError:
        raise BadData(f"{where}: there is not enough memory to read it.") from None
    except KeyError as error:  # its message is the name alone, or the whole message
        raise BadData(f"{where}: {quoted(error.args[0] if error.args else '')}") from None
    except Exception as error:
        is_lost = isinstance(error, OSError) and error.errno == errno.EINVAL  # a place before 0
        raise BadData(f"{where}: {'it is damaged' if is_lost else reason(error)}") from None


class Members:
    """The members of an archive, by name."""

    def __init__(self, archive: zipfile.ZipFile, where: object) -> None:
        self._archive, self._where = archive, where
        self.names = archive.namelist()

    def info(self, name: str) -> zipfile.ZipInfo:
        """Return what the archive says of a member.

        Raises
        ------
        BadData
            If there is none, or it is one that is not read.
        """
        if self.names.count(name) > 1:
            raise BadData(f"{self._where} has more than one member {name!r}.")
        with damage(self._where):
            info = self._archive.getinfo(name)
        if info.flag_bits & _ENCRYPTED:
            raise BadData(f"{self._where}: {name} is encrypted.")
        if info.compress_type not in READABLE:
            raise BadData(f"{self._where}: {name} is compressed in a way that is not read here.")
        return info

    def read(self, name: str, most: int) -> bytes:
        """Return a member; it has the length that was promised, and its checksum is right.

        Raises
        ------
        BadData
        """
        refuse_more(f"{self._where}: {name}", self.info(name).file_size, most)
        with damage(self._where):
            return self._archive.read(name)

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """Open a member."""
        info = self.info(name)
        with damage(self._where), self._archive.open(info) as file:
            yield file

    def verify(self, name: str) -> None:
        """Read a member for its checksum alone.

        Raises
        ------
        BadData
        """
        with self.opened(name) as file:
            while file.read(_BLOCK):
                pass


@contextmanager
def members(file: Path | IO[bytes], where: object) -> Iterator[Members]:
    """Open an archive.

    Raises
    ------
    BadData
        If it is none, or damaged.
    """
    with damage(where):
        archive = zipfile.ZipFile(file)
    with archive:
        yield Members(archive, where)
