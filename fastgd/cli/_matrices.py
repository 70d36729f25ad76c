"""Matrices of numbers without names: NumPy's .npz, and svmlight's text."""

import gzip
import io
import itertools
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd.cli._layout import (
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
from fastgd.cli._problems import Misuse, Problem, listed
from fastgd.cli._sources import Source

CSR_KEYS = ("data", "indices", "indptr", "shape")


def _refuse_columns(path: Path, wishes: Wishes) -> None:
    for option in ("categorical", "numeric", "drop"):
        if getattr(wishes, option):
            raise Misuse(f"--{option} is for named columns, which {path} has not.")


class NPZ(Source):
    """``X`` (or the four arrays of a CSR matrix) and the target, ``y`` unless named otherwise."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            with zipfile.ZipFile(path) as archive:
                self._names = [name.removesuffix(".npy") for name in archive.namelist()]
        except (zipfile.BadZipFile, OSError) as error:
            raise Problem(f"{path}: {error}") from None
        self._arrays: dict[str, NDArray[Any]] = {}
        if "X" not in self._names and not set(CSR_KEYS) <= set(self._names):
            raise Problem(
                f"{path} holds {listed(self._names)}; needed is X, or {listed(CSR_KEYS)} of a "
                "CSR matrix."
            )
        self.form = DENSE if "X" in self._names else SPARSE

    def layout(self, wishes: Wishes) -> Layout:
        _refuse_columns(self.path, wishes)
        shape = self._shape()
        target = wishes.target
        if target is not None and target not in self._names:
            raise Problem(
                f"{self.path} has no array {target!r} (the target). It holds {listed(self._names)}."
            )
        column = None if target is None else self._target_column(target)
        return Layout(self.form, target=column, n_features=shape[1])

    def _target_column(self, name: str) -> Column:
        y = self._array(name)
        return Column(name, NUMBER if y.dtype.kind in "biuf" else CATEGORY, str(y.dtype))

    def _shape(self) -> tuple[int, int]:
        shape = self._array("X").shape if self.form == DENSE else tuple(self._array("shape"))
        if len(shape) != 2:
            raise Problem(f"{self.path}: X must have two dimensions, got the shape {shape}.")
        return int(shape[0]), int(shape[1])

    def _array(self, name: str) -> NDArray[Any]:
        """Return an array: a map of the file where it lies there uncompressed, else read."""
        if name not in self._arrays:
            try:
                self._arrays[name] = _member(self.path, name)
            except (ValueError, OSError, zipfile.BadZipFile) as error:
                raise Problem(f"{self.path}, array {name!r}: {error}") from None
        return self._arrays[name]

    def _read(self, layout: Layout, n_rows: int | None, *, target: bool) -> Iterator[Chunk]:
        total, width = self._shape()
        if width != layout.n_features:
            raise Problem(
                f"{self.path} has {width:,} columns, the model expects {layout.n_features:,}."
            )
        X = self._array("X") if self.form == DENSE else self._csr((total, width))
        if X.dtype.kind not in "biuf":
            raise Problem(f"{self.path}: X must hold numbers, got {X.dtype}.")
        y = self._target(layout, total) if target else None
        for first in range(0, total, n_rows or max(total, 1)):
            rows = slice(first, first + (n_rows or total))
            yield Chunk(_as_floats(X[rows]), None if y is None else y[rows], first)

    def _csr(self, shape: tuple[int, int]) -> Any:
        arrays = tuple(self._array(name) for name in CSR_KEYS[:3])
        try:
            return sp.csr_matrix(arrays, shape=shape)
        except ValueError as error:
            raise Problem(f"{self.path}: these arrays are no CSR matrix: {error}") from None

    def _target(self, layout: Layout, n_rows: int) -> NDArray[Any] | None:
        if layout.target is None:
            return None
        if layout.target.name not in self._names:
            raise Problem(
                f"{self.path} has no array {layout.target.name!r} (the target). It holds "
                f"{listed(self._names)}."
            )
        y = self._array(layout.target.name)
        if y.shape != (n_rows,):
            raise Problem(
                f"{self.path}: {layout.target.name} has the shape {y.shape}, and there are "
                f"{n_rows:,} rows."
            )
        if layout.target.kind == NUMBER and y.dtype.kind not in "biuf":
            raise Problem(f"{self.path}: the target must hold numbers, got {y.dtype}.")
        return y.astype(np.float64 if layout.target.kind == NUMBER else object)

    def size(self) -> Size:
        n_rows, width = self._shape()
        if self.form == DENSE:
            return Size(n_rows, width * _as_floats(self._array("X")[:1]).itemsize)
        return Size(n_rows, 12.0 * self._array("data").shape[0] / max(n_rows, 1) + 8)


def _as_floats(X: Any) -> Any:
    """Return float32 and float64 as they are, all else as float64 (bytes as float32)."""
    if X.dtype in (np.float32, np.float64):
        return X if sp.issparse(X) else np.asarray(X)
    return X.astype(np.float32 if X.dtype.itemsize == 1 else np.float64)


def _member(path: Path, name: str) -> NDArray[Any]:
    """Read or map an array of an archive; objects, which would be pickles, are refused."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
        if info.compress_type != zipfile.ZIP_STORED:
            with archive.open(info) as stored:
                array: NDArray[Any] = np.lib.format.read_array(stored, allow_pickle=False)
            return array
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)  # of the local header: lengths of name and extra field
        lengths = np.frombuffer(file.read(4), "<u2")
        file.seek(int(lengths.sum()), io.SEEK_CUR)
        version = np.lib.format.read_magic(file)
        headers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in headers:
            raise ValueError(f"version {version} of the .npy format is not known")
        shape, by_columns, dtype = headers[version](file)
        if dtype.hasobject:
            raise ValueError("it holds Python objects, which only a pickle could read")
        if 0 in shape or shape == ():
            return np.fromfile(file, dtype, count=int(np.prod(shape))).reshape(shape)
        order: Any = "F" if by_columns else "C"
        return np.memmap(file, dtype, "r", offset=file.tell(), shape=shape, order=order)


class SvmLight(Source):
    """A line for each row, ``target index:value index:value``, also compressed by gzip."""

    form = SPARSE

    def layout(self, wishes: Wishes) -> Layout:
        """Take a pass over the file: which features there are is known at its end only."""
        _refuse_columns(self.path, wishes)
        if wishes.target is not None:
            raise Misuse(f"--target: in {self.path} it is the first word of each line.")
        lowest, highest = np.iinfo(np.int64).max, -1
        for X, _, _ in self._blocks(_ROWS_A_BLOCK):
            if X.nnz > 0:
                lowest = min(lowest, int(X.indices.min()))
                highest = max(highest, int(X.indices.max()))
        if highest < 0:
            raise Problem(f"{self.path} holds no features.")
        zero_based = lowest == 0
        return Layout(
            SPARSE,
            target=Column("target", NUMBER, "float64"),
            n_features=highest + zero_based,
            zero_based=zero_based,
        )

    def _read(self, layout: Layout, n_rows: int | None, *, target: bool) -> Iterator[Chunk]:
        shift, width = int(not layout.zero_based), layout.n_features
        for X, y, first in self._blocks(n_rows):
            columns = X.indices - shift
            self._refuse_outside(X, columns, width, first, layout)
            matrix = sp.csr_matrix((X.data, columns, X.indptr), shape=(X.shape[0], width))
            yield Chunk(matrix, y if target else None, first)

    def _refuse_outside(
        self, X: Any, columns: NDArray[Any], width: int, first: int, layout: Layout
    ) -> None:
        outside = np.flatnonzero((columns < 0) | (columns >= width))
        if outside.shape[0] == 0:
            return
        row = int(np.searchsorted(X.indptr, outside[0], side="right")) - 1
        low = 0 if layout.zero_based else 1
        raise Problem(
            f"{self.place(first + row)}: there is a feature {X.indices[outside[0]]:,}, and the "
            f"model knows {low} to {width - 1 + low:,}."
        )

    def _blocks(self, n_rows: int | None) -> Iterator[tuple[Any, NDArray[Any], int]]:
        first = 0
        for lines in self._lines(n_rows):
            X, y = self._parse(lines, first)
            yield X, y, first
            first += X.shape[0]

    def _lines(self, n_rows: int | None) -> Iterator[list[bytes]]:
        """Yield the lines that are rows, in lists."""
        opened: Callable[..., Any] = gzip.open if self.path.suffix == ".gz" else open
        try:
            with opened(self.path, "rb") as file:
                rows = (line for line in file if _is_row(line))
                while lines := list(itertools.islice(rows, n_rows)):
                    yield lines
        except (OSError, EOFError) as error:
            raise Problem(f"{self.path}: {error}") from None

    def _parse(self, lines: list[bytes], first: int) -> tuple[Any, NDArray[Any]]:
        try:
            return _load(lines)
        except (ValueError, OverflowError) as error:
            raise self._complaint(lines, first, error) from None

    def _complaint(self, lines: list[bytes], first: int, error: Exception) -> Problem:
        """Find the row that cannot be read, each time in one of two halves."""
        low, high = 0, len(lines)
        while high - low > 1:
            middle = (low + high) // 2
            try:
                _load(lines[low:middle])
                low = middle
            except (ValueError, OverflowError) as of_half:
                high, error = middle, of_half
        return Problem(f"{self.place(first + low)}: {_plainly(lines[low]) or error}")

    def place(self, row: int, column: str | None = None) -> str:
        opened: Callable[..., Any] = gzip.open if self.path.suffix == ".gz" else open
        with opened(self.path, "rb") as file:
            numbers = (line for line, text in enumerate(file, 1) if _is_row(text))
            line = next(itertools.islice(numbers, row, None), None)
        return super().place(row, column) if line is None else f"{self.path}, line {line:,}"

    def size(self) -> Size:
        factor = 4 if self.path.suffix == ".gz" else 1
        lines = next(self._lines(1000), [])
        if not lines:
            raise Problem(f"{self.path} is empty.")
        X, _ = self._parse(lines, 0)
        line_bytes = sum(map(len, lines)) / len(lines)
        n_rows = max(int(self.path.stat().st_size * factor / line_bytes), 1)
        return Size(n_rows, 12.0 * X.nnz / X.shape[0] + 8)


_ROWS_A_BLOCK = 1 << 16


def _is_row(line: bytes) -> bool:
    text = line.lstrip()
    return bool(text) and not text.startswith(b"#")


def _load(lines: list[bytes]) -> tuple[Any, NDArray[Any]]:
    from sklearn.datasets import load_svmlight_file

    X, y = load_svmlight_file(io.BytesIO(b"".join(lines)), zero_based=True)
    return X, y


def _plainly(line: bytes) -> str:
    """Say what is wrong with a line, where that can be told."""
    target, *features = line.partition(b"#")[0].split()
    for word in features:
        if not re.fullmatch(rb"(qid|\d+):\S+", word):
            return f"{word.decode(errors='replace')!r} is not index:value."
    for word in (target, *(word.partition(b":")[2] for word in features)):
        try:
            float(word)
        except ValueError:
            return f"{word.decode(errors='replace')!r} is not a number."
    return ""
