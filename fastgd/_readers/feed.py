"""The rows of a file, again and again: in chunks, or read once where they fit into memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd._readers.errors import BadData, UserError, reason
from fastgd._readers.layout import Chunk, Layout
from fastgd._readers.reader import Reader

Part = Callable[[Chunk], Chunk]


class Feed:
    """Chunks of a file with their targets; iterating anew reads anew.

    Parameters
    ----------
    reader : Reader
    layout : Layout
    n_rows : int or None
        Rows of a chunk; None keeps all rows in memory.
    part : callable, default=None
        Which rows of a chunk to take.

    Raises
    ------
    BadData
        While it is iterated: if the file is not what it was when it was first read.
    """

    def __init__(
        self, reader: Reader, layout: Layout, n_rows: int | None, part: Part | None = None
    ) -> None:
        self.reader = reader
        self.layout = layout
        self.n_rows = n_rows
        self._part = part
        self._kept: list[Chunk] | None = None
        self._sizes: list[int] | None = None
        self._stamp: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[Chunk]:
        if self.n_rows is not None:
            return self._counted(self.read())
        if self._kept is None:
            self._kept = list(self._counted(self.read()))
        return iter(self._kept)

    @property
    def sizes(self) -> list[int]:
        """Rows of each chunk: a pass over the file, unless there was one."""
        if self._sizes is None:
            for _ in self:
                pass
        assert self._sizes is not None
        return self._sizes

    def read(self, numbers: Sequence[int] | None = None) -> Iterator[Chunk]:
        """Yield the chunks of these numbers, which ascend unless the reader seeks; all by default.

        Raises
        ------
        BadData
        """
        with self._unchanged():
            for chunk in self.reader.read(self.layout, self.n_rows, target=True, numbers=numbers):
                self._refuse_change()
                yield chunk if self._part is None else self._part(chunk)

    def _counted(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        sizes = []
        for chunk in chunks:
            sizes.append(chunk.n_rows)
            yield chunk
        self._sizes = sizes

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Report a change of the file rather than what it leads to."""
        self._refuse_change()
        try:
            yield
        except UserError:
            self._refuse_change()
            raise
        self._refuse_change()

    def _refuse_change(self) -> None:
        path = self.reader.path
        try:
            now = path.stat()
        except OSError as error:
            raise BadData(f"{path} cannot be read any more: {reason(error)}") from None
        stamp = now.st_size, now.st_mtime_ns
        if self._stamp not in (None, stamp):
            raise BadData(
                f"{path} has changed since it was first read: rows are read once an epoch, and "
                "must stay the same."
            )
        self._stamp = stamp

    def only(self, part: Part) -> "Feed":
        """Return a feed of the same file that takes a part of the rows."""
        return Feed(self.reader, self.layout, self.n_rows, part)


def held_out(fraction: float, seed: int, *, held: bool) -> Part:
    """Return what takes the rows that are held out at random, or the others.

    Whether a row is held out depends on the seed and the chunk alone, so that it is in each epoch.
    """

    def part(chunk: Chunk) -> Chunk:
        draws = np.random.default_rng([seed, chunk.first]).random(chunk.n_rows)
        chosen: NDArray[Any] = (draws < fraction) == held
        return chunk.rows(chosen)

    return part
