"""A data set that is read in chunks, as estimators are given it in place of X and y."""

from collections.abc import Iterator, Sequence
from math import inf
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._data.chunks import Chunks, Pair, SameRows, filled
from fastgd._data.shards import ahead


class RowSource:
    """Rows and targets that are read in chunks, as often as they are asked for.

    ``fastgd.datasets.open`` makes one. ``fit`` and ``partial_fit`` take it as X, with y inside it,
    and so do ``predict`` and the other methods of X alone; ``score(rows, rows.targets())`` tells
    how good a model is. Iterating yields (X, y) of chunk after chunk.

    Parameters
    ----------
    chunks : Chunks
        ``sizes``, ``seeks`` and ``read(numbers)``, as ``fastgd._data.chunks`` has them.
    names : sequence of str, default=None
        Of the columns.
    reads_ahead : bool, default=True
        Whether a thread decodes the next chunk while one is worked with.
    about : str, default=""
        What the rows are, for ``repr``.

    Attributes
    ----------
    n_rows : int
    n_chunks : int
    feature_names : ndarray of str, or None
    """

    def __init__(
        self,
        chunks: Chunks,
        names: Sequence[str] | NDArray[Any] | None = None,
        *,
        reads_ahead: bool = True,
        about: str = "",
    ) -> None:
        self._chunks, self._about = chunks, about
        self._reads_ahead = reads_ahead
        self._targets: NDArray[Any] | None = None
        self.feature_names = None if names is None else np.asarray(names, object)

    # -- what solvers and trainers read -----------------------------------------------------------

    @property
    def sizes(self) -> Sequence[int]:
        """Rows of each chunk."""
        return self._chunks.sizes

    @property
    def seeks(self) -> bool:
        """Whether chunks may be read in any order."""
        return self._chunks.seeks

    def read(self, numbers: Sequence[int]) -> Iterator[Pair]:
        """Read some chunks.

        Parameters
        ----------
        numbers : sequence of int
            Which chunks, from 0 on; they ascend unless the source ``seeks``.

        Returns
        -------
        pairs : iterator of (X, y)
        """
        pairs = self._chunks.read(numbers)
        return ahead(pairs) if self._reads_ahead and len(numbers) > 1 else pairs

    @property
    def room(self) -> float:
        """Bytes of X that may be in memory together."""
        return float(getattr(self._chunks, "room", inf))

    # -- what users read --------------------------------------------------------------------------

    @property
    def n_rows(self) -> int:
        """Rows in all; of text files a pass over them, unless there was one."""
        return int(sum(self.sizes))

    @property
    def n_chunks(self) -> int:
        """Chunks that have rows."""
        return len(filled(self._chunks))

    def __iter__(self) -> Iterator[Pair]:
        in_order = getattr(self._chunks, "in_order", None)  # of files, which it does not count
        if in_order is None:
            return self.read(filled(self._chunks))
        pairs = (pair for pair in in_order() if pair[0].shape[0] > 0)
        return ahead(pairs) if self._reads_ahead else pairs

    def targets(self) -> NDArray[Any]:
        """Return the targets of all rows: a pass, the first time.

        Returns
        -------
        y : ndarray of shape (n_rows,)

        Raises
        ------
        ValueError
            If there are none.
        """
        if self._targets is None:
            parts = [y for _, y in self]
            if not parts or any(part is None for part in parts):
                raise ValueError("there are no targets: open(..., target=...) names their column.")
            self._targets = np.concatenate([np.asarray(part) for part in parts])
        return self._targets

    def split(self, fraction: float, random_state: int = 0) -> tuple["RowSource", "RowSource"]:
        """Return the rows without a random part of them, and that part.

        Which rows that are depends on ``random_state`` and the number of the chunk.

        Parameters
        ----------
        fraction : float
            Between 0 and 1, the share of the second part.
        random_state : int, default=0

        Returns
        -------
        kept, held_out : RowSource

        Raises
        ------
        ValueError
            If the fraction is not between 0 and 1.
        """
        if not 0.0 < fraction < 1.0:
            raise ValueError(f"fraction must be between 0 and 1, got {fraction!r}.")
        parts = (
            PartOfRows(self._chunks, fraction, int(random_state), held=held)
            for held in (False, True)
        )
        names, share = self.feature_names, f"{fraction:g} of {self._about}"
        kept, held_out = (
            RowSource(part, names, reads_ahead=self._reads_ahead, about=share) for part in parts
        )
        return kept, held_out

    def __repr__(self) -> str:
        n_names = None if self.feature_names is None else len(self.feature_names)
        columns = "" if n_names is None else f", {n_names:,} columns"
        return f"<RowSource: {self._about or type(self._chunks).__name__}{columns}>"


class PartOfRows:
    """Some rows of each chunk, the same in each pass."""

    def __init__(self, chunks: Chunks, fraction: float, seed: int, *, held: bool) -> None:
        self._chunks, self._fraction, self._seed, self._held = chunks, fraction, seed, held
        self._sizes: list[int] | None = None

    @property
    def seeks(self) -> bool:
        """Whether chunks may be read in any order."""
        return self._chunks.seeks

    @property
    def room(self) -> float:
        """Bytes of X that may be in memory together."""
        return float(getattr(self._chunks, "room", inf))

    @property
    def sizes(self) -> list[int]:
        """Rows of each chunk."""
        if self._sizes is None:
            counts = enumerate(self._chunks.sizes)
            self._sizes = [int(self._chosen(k, n).sum()) for k, n in counts]
        return self._sizes

    def read(self, numbers: Sequence[int]) -> Iterator[Pair]:
        """Yield X and y of the chunks of these numbers."""
        for k, (X, y) in zip(numbers, self._chunks.read(numbers), strict=True):
            chosen = self._chosen(k, X.shape[0])
            yield X[chosen], None if y is None else y[chosen]

    def _chosen(self, k: int, n_rows: int) -> NDArray[np.bool_]:
        draws = np.random.default_rng([self._seed, k]).random(n_rows)
        chosen: NDArray[np.bool_] = (draws < self._fraction) == self._held
        return chosen


class TargetColumns(SameRows):
    """Chunks some of whose columns are targets.

    Parameters
    ----------
    rows : RowSource
        Without targets.
    places : sequence of int
        The targets' columns.
    """

    def __init__(self, rows: RowSource, places: Sequence[int]) -> None:
        super().__init__(rows._chunks)
        self._places = np.asarray(places, np.int64)

    @property
    def room(self) -> float:
        """Bytes of X that may be in memory together."""
        return float(getattr(self._chunks, "room", inf))

    def read(self, numbers: Sequence[int]) -> Iterator[Pair]:
        """Yield X and y, of shape (n, n_targets), of the chunks of these numbers."""
        for X, _ in self._chunks.read(numbers):
            others = np.setdiff1d(np.arange(X.shape[1]), self._places)
            y = X[:, self._places]
            yield X[:, others], np.asarray(y.toarray() if sp.issparse(y) else y, np.float64)
