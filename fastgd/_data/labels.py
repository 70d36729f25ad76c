"""The labels of rows in parts, and how many rows have each: a pass over the targets."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._data.agreement import agreed_by_all, layout_of
from fastgd._data.chunks import Chunks, filled, of_named
from fastgd._data.validation import labels_of_some


class Labels(NamedTuple):
    """Labels in order, and how many rows have each."""

    names: NDArray[Any]
    counts: NDArray[np.int64]

    def balanced(self) -> dict[Any, float]:
        """Return what ``class_weight="balanced"`` stands for."""
        factors = self.counts.sum() / (self.counts.shape[0] * self.counts)
        return dict(zip(self.names.tolist(), factors.tolist(), strict=True))


def labels_of_rows(y: Any) -> Labels | None:
    """Return the labels of some rows; None for a table of labels."""
    if np.ndim(y) > 1 and np.shape(y)[1] > 1:
        return None
    names, codes = labels_of_some(y)
    return Labels(names, np.bincount(codes, minlength=names.shape[0]).astype(np.int64))


def _counted(chunks: Chunks) -> list[Any]:
    """Return the labels of each chunk that has rows."""
    found, layouts = [], []
    numbers = filled(chunks)
    for k, (X, y) in zip(numbers, chunks.read(numbers), strict=False):
        found.append(of_named(f"chunk {k}", labels_of_rows, y))
        layouts.append(layout_of(f"chunk {k}", X, y))
    if layouts:
        agreed_by_all(layouts)
    return found


def labels_of(chunks: Chunks) -> Labels | None:
    """Return all labels there are: a pass; None for a table of labels.

    Raises
    ------
    ValueError
        If chunks do not agree, or there are no labels.
    """
    # where rows are elsewhere, they are counted there
    parts = chunks.labels() if hasattr(chunks, "labels") else _counted(chunks)
    if not parts or any(part is None for part in parts):
        return None
    names, places = np.unique(np.concatenate([part.names for part in parts]), return_inverse=True)
    counts = np.zeros(names.shape[0], np.int64)
    np.add.at(counts, places.reshape(-1), np.concatenate([part.counts for part in parts]))
    return Labels(names, counts)
