"""Matrices of numbers without names: NumPy's .npz."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._readers.errors import BadData, Misuse, TooLarge, listed, quoted
from fastgd._readers.layout import (
    CATEGORY,
    DENSE,
    NUMBER,
    SPARSE,
    Chunk,
    Column,
    Layout,
    Size,
    Wishes,
)
from fastgd._readers.limits import FEATURES
from fastgd._readers.npy import header_of
from fastgd._readers.reader import Format, Reader
from fastgd._readers.streams import text_of
from fastgd._readers.zips import damage, members

CSR_KEYS = ("data", "indices", "indptr", "shape")
NUMBERS = "biuf"  # kinds of dtypes
_PART = 1 << 22  # numbers that are checked at once


def refuse_columns(path: Path, wishes: Wishes) -> None:
    """Refuse options for named columns.

    Raises
    ------
    Misuse
    """
    for option in ("categorical", "numeric", "drop", "text"):
        if getattr(wishes, option):
            raise Misuse(f"--{option} is for named columns, which {path} has not.")


class Matrix(Reader):
    """A file of numbers without names."""

    def _refuse_width(self, place: str, width: int, what: str) -> None:
        """Refuse a matrix that is only said to be that wide."""
        most = self.how.limits.features
        if width > most:
            raise TooLarge(
                f"{place}: {what}, so there would be {width:,} columns, and {most:,} are allowed. "
                f"If that is right: --max-features {width} (or {FEATURES})"
            )


class NPZ(Matrix):
    """``X`` (or the four arrays of a CSR matrix) and the target, ``y`` unless named otherwise."""

    default_target = "y"

    def __init__(self, path: Path, how: Format) -> None:
        super().__init__(path, how)
        with members(path, path) as archive:
            names = [name for name in archive.names if name.endswith(".npy")]
        self._names = [name.removesuffix(".npy") for name in names]
        self._arrays: dict[str, NDArray[Any]] = {}
        self._matrix: Any = None
        if "X" not in self._names and not set(CSR_KEYS) <= set(self._names):
            held = listed(self._names) or "no arrays"
            raise BadData(
                f"{path} holds {held}; needed is X, or {listed(CSR_KEYS)} of a CSR matrix."
            )
        self.form = DENSE if "X" in self._names else SPARSE

    def layout(self, wishes: Wishes) -> Layout:
        refuse_columns(self.path, wishes)
        _, width = self._shape()
        if width == 0:
            raise BadData(f"{self.path}: X has no columns.")
        if wishes.target is not None:
            self._refuse_no_target(wishes.target)
        column = None if wishes.target is None else self._target_column(wishes.target)
        return Layout(self.form, target=column, n_features=width)

    def _refuse_no_target(self, name: str) -> None:
        if name not in self._names:
            raise BadData(
                f"{self.path} has no array {quoted(name)} (the target). It holds "
                f"{listed(self._names)}."
            )

    def _target_column(self, name: str) -> Column:
        y = self._array(name)
        if y.dtype.kind not in f"{NUMBERS}US":
            raise BadData(
                f"{self.path}: the target must hold numbers or words, got {quoted(y.dtype)}."
            )
        kind = NUMBER if y.dtype.kind in NUMBERS else CATEGORY
        return Column(name, kind, str(y.dtype))

    def dtype(self, layout: Layout) -> Any:  # noqa: ARG002
        name = "X" if self.form == DENSE else CSR_KEYS[0]
        where = f"{self.path}, array {quoted(name)}"
        with members(self.path, where) as archive:
            found = header_of(archive, f"{name}.npy", where).dtype
        return _dtype_of_floats(found)

    def _shape(self) -> tuple[int, int]:
        if self.form == DENSE:
            shape = self._array("X").shape
            if len(shape) != 2:
                raise BadData(f"{self.path}: X must have two dimensions, got the shape {shape}.")
            return int(shape[0]), int(shape[1])
        said = self._array("shape")
        if said.dtype.kind not in "iu" or said.shape != (2,) or int(said.min()) < 0:
            raise BadData(
                f"{self.path}: shape must be two whole numbers, the rows and the columns."
            )
        return int(said[0]), int(said[1])

    def _array(self, name: str) -> NDArray[Any]:
        """Return an array: a map of the file where it lies there uncompressed, else read."""
        if name not in self._arrays:
            self._arrays[name] = self._member(name)
        return self._arrays[name]

    def _member(self, name: str) -> NDArray[Any]:
        """Read or map an array, whose header agrees with the archive, and whose checksum is right.

        Objects, which would be pickles, are refused.
        """
        member, where = f"{name}.npy", f"{self.path}, array {quoted(name)}"
        with members(self.path, where) as archive:
            info = archive.info(member)
            header = header_of(archive, member, where)
            if info.compress_size == info.file_size and info.compress_type == 0:
                archive.verify(member)
                return header.mapped(self.path, info.header_offset)
            self.refuse_more(f"array {quoted(name)}", info.file_size)
            return header.filled(archive.read(member, info.file_size))

    def _read(self, layout: Layout, n_rows: int | None, *, target: bool) -> Iterator[Chunk]:
        return self._chosen(layout, n_rows, None, target=target)

    def _chosen(
        self, layout: Layout, n_rows: int | None, numbers: Sequence[int] | None, *, target: bool
    ) -> Iterator[Chunk]:
        total, width = self._shape()
        if width != layout.n_features:
            raise BadData(
                f"{self.path} has {width:,} columns, the model expects {layout.n_features:,}."
            )
        X = self._dense() if self.form == DENSE else self._csr()
        y = self._target(layout, total) if target else None
        size = n_rows or max(total, 1)
        for number in range(-(-total // size)) if numbers is None else numbers:
            first = number * size
            rows = slice(first, first + size)
            self._refuse_more_rows(rows, total)
            yield Chunk(_as_floats(X[rows]), None if y is None else y[rows], first)

    def _refuse_more_rows(self, rows: slice, total: int) -> None:
        n_rows = min(rows.stop, total) - rows.start
        self.refuse_more(f"{n_rows:,} rows", n_rows * self._row_bytes())

    def _dense(self) -> NDArray[Any]:
        X = self._array("X")
        if X.dtype.kind not in NUMBERS:
            raise BadData(f"{self.path}: X must hold numbers, got {quoted(X.dtype)}.")
        return X

    def _csr(self) -> Any:
        """Return the matrix, all of whose indices were looked at: libraries trust them."""
        if self._matrix is None:
            shape = self._shape()
            data, indices, indptr = (self._array(name) for name in CSR_KEYS[:3])
            self._check_csr(data, indices, indptr, shape)
            n_stored = int(indptr[-1])
            whole = np.int32 if max(n_stored, *shape) < 2**31 else np.int64
            arrays = (
                _as_floats(data[:n_stored]),  # scipy has no half precision, and no other byte order
                indices[:n_stored].astype(whole, copy=False),
                indptr.astype(whole, copy=False),
            )
            with damage(self.path):
                self._matrix = sp.csr_matrix(arrays, shape=shape)
        return self._matrix

    def _check_csr(self, data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> None:
        self._refuse_other_format()
        if data.dtype.kind not in NUMBERS:
            raise BadData(f"{self.path}: data must hold numbers, got {quoted(data.dtype)}.")
        for name, array in (("data", data), ("indices", indices), ("indptr", indptr)):
            if array.ndim != 1:
                raise self._no_csr(f"{name} has {array.ndim} dimensions")
            if name != "data" and array.dtype.kind not in "iu":
                raise self._no_csr(f"{name} must hold whole numbers, got {quoted(array.dtype)}")
        if data.shape != indices.shape:
            raise self._no_csr(f"there are {len(data):,} data and {len(indices):,} indices")
        self._check_indptr(indptr, shape[0], len(indices))
        self._refuse_width(str(self.path), shape[1], f"the shape is {shape}")
        for first in range(0, int(indptr[-1]), _PART):
            part = indices[first : min(first + _PART, int(indptr[-1]))]
            lowest, highest = int(part.min()), int(part.max())
            if lowest < 0 or highest >= shape[1]:
                outside = lowest if lowest < 0 else highest
                raise self._no_csr(f"there is an index {outside:,}, and {shape[1]:,} columns")

    def _check_indptr(self, indptr: Any, n_rows: int, n_stored: int) -> None:
        if len(indptr) != n_rows + 1:
            raise self._no_csr(f"indptr has {len(indptr):,} numbers, and there are {n_rows:,} rows")
        if int(indptr[0]) != 0 or int(indptr[-1]) > n_stored:
            raise self._no_csr(
                f"indptr goes from {int(indptr[0]):,} to {int(indptr[-1]):,}, and {n_stored:,} "
                "numbers are stored"
            )
        if np.any(indptr[1:] < indptr[:-1]):
            raise self._no_csr("indptr falls")

    def _no_csr(self, why: str) -> BadData:
        return BadData(f"{self.path}: these arrays are no CSR matrix: {why}.")

    def _refuse_other_format(self) -> None:
        """Refuse what ``scipy.sparse.save_npz`` wrote of another kind: a CSC matrix, say."""
        if "format" not in self._names:
            return
        name = self._array("format")
        said = text_of(name.item()) if name.dtype.kind == "S" else str(name)
        if said != "csr":
            raise BadData(
                f"{self.path} holds a sparse matrix of the format {quoted(said)}; save it "
                "with X.tocsr()."
            )

    def _target(self, layout: Layout, n_rows: int) -> NDArray[Any] | None:
        if layout.target is None:
            return None
        self._refuse_no_target(layout.target.name)
        found = self._target_column(layout.target.name)
        y = self._array(layout.target.name)
        if y.shape != (n_rows,):
            raise BadData(
                f"{self.path}: {layout.target.name} has the shape {y.shape}, and there are "
                f"{n_rows:,} rows."
            )
        if layout.target.kind == NUMBER and found.kind != NUMBER:
            raise BadData(f"{self.path}: the target must hold numbers, got {quoted(y.dtype)}.")
        with damage(f"{self.path}, array {quoted(layout.target.name)}"):
            if layout.target.kind == NUMBER:
                return y.astype(np.float64)
            return (np.char.decode(y, "utf-8") if y.dtype.kind == "S" else y).astype(object)

    def seeks(self, n_rows: int | None) -> bool:  # noqa: ARG002
        return True

    def size(self, layout: Layout | None = None) -> Size:  # noqa: ARG002
        return Size(self._shape()[0], self._row_bytes())

    def _row_bytes(self) -> float:
        n_rows, width = self._shape()
        if self.form == DENSE:
            return float(width * _as_floats(self._dense()[:1]).itemsize)
        return 12.0 * len(self._csr().data) / max(n_rows, 1) + 8


def _dtype_of_floats(dtype: Any) -> Any:
    """Return float32 of itself and of bytes, float64 of all else."""
    return np.float32 if dtype == np.float32 or dtype.itemsize == 1 else np.float64


def _as_floats(X: Any) -> Any:
    """Return float32 and float64 as they are, all else as float64 (bytes as float32).

    Sparse rows have their columns in order, each once: what does arithmetic on rows trusts that.
    """
    if X.dtype not in (np.float32, np.float64):
        with np.errstate(over="ignore"):  # an infinite number is reported with its place
            X = X.astype(_dtype_of_floats(X.dtype))
    if not sp.issparse(X):
        return np.asarray(X)
    if not X.has_canonical_format:
        X = X.copy()  # a map of a file cannot be written to
        X.sum_duplicates()
    return X
