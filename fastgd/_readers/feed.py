"""The rows of a file, again and again: in chunks, or read once where they fit into memory."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """

    def __init__(
        self, reader: Reader, layout: Layout, n_rows: int | None, part: Part | None = None
    ) -> None:
        self.reader = reader
        self.layout = layout
        self.n_rows = n_rows
        self._part = part
        self._kept: list[Chunk] | None = None

    def __iter__(self) -> Iterator[Chunk]:
        if self._kept is not None:
            return iter(self._kept)
        chunks = self.reader.read(self.layout, self.n_rows, target=True)
        taken = chunks if self._part is None else map(self._part, chunks)
        if self.n_rows is not None:
            return iter(taken)
        self._kept = list(taken)
        return iter(self._kept)

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
