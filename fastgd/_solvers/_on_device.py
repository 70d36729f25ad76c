"""Sums over rows that lie on a CUDA device: one more ``Shards``, so that solvers know no device.

A pass sends the parameters there, and loss, gradient and Hessian come back: numbers of the
parameters' size, with which the host takes its steps. ``_device_rows`` has the passes.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import column_or_1d

from fastgd._data.arrays import learn_shape
from fastgd._data.parts import is_in_parts, shards_of
from fastgd._data.shards import Rows, Shards, added
from fastgd._data.validation import as_rows, check_X_y
from fastgd._runtime.devices import chosen, is_plain_there, is_there, to_host
from fastgd._solvers._device_rows import (
    DeviceRows,
    Resident,
    matrix_of,
    pass_over,
    product_over,
)
from fastgd._solvers._problem import (
    CONSTANT,
    TINIEST,
    Floats,
    is_deviance,
    least_and_terms,
    refuse_too_large,
)
from fastgd._solvers._shard_sums import (
    Frame,
    Kind,
    Sums,
    look_at,
    looked,
    problem_of,
    shares_of,
    smallest,
    sums_at,
    targets_of,
    validated,
    validated_targets,
)
from fastgd._solvers._units import counted_from
from fastgd.kernels.rows import Dense

T = TypeVar("T")
FLOATS = [np.float64, np.float32]
MOST_SAMPLED = 200_000


def shards_for(model: Any, X: Any, y: Any, sample_weight: Any) -> Shards | None:
    """Return the shards over which a solver adds up; None for the solvers of rows in host memory.

    Those also go on from a fit, and take many targets (``_device``).

    Raises
    ------
    ImportError, RuntimeError, ValueError
        If a device is asked for that cannot be used.
    """
    if is_there(chosen(model, X)):
        if is_in_parts(X):
            return ChunksOnDevice(shards_of(X, y, sample_weight))
        needs_rows = model._needs_rows() or _are_many(y)
        return None if needs_rows else DeviceShards(model, X, y, sample_weight)
    return shards_of(X, y, sample_weight) if is_in_parts(X) else None


def _are_many(y: Any) -> bool:
    shape: Any = getattr(y, "shape", ())
    return len(shape) == 2 and shape[1] > 1


class ChunksOnDevice:
    """Rows that are read in chunks, each of which is sent to the device in each pass.

    Parameters
    ----------
    chunks : Shards, whose parts are called in this process
    """

    def __init__(self, chunks: Shards) -> None:
        self._chunks = chunks
        self.names, self.spent = chunks.names, chunks.spent

    def total(self, part: Callable[[Rows], T], add: Callable[[T, T], T]) -> T:
        """Return ``part`` of all chunks: on the device for sums of a descent, else on the host."""
        own: Any = part
        if own.func is sums_at:
            there: Any = partial(_sums_there, **own.keywords)
            return self._chunks.total(there, add)
        return self._chunks.total(part, add)


def _sums_there(rows: Rows, frame: Frame, u: Floats, wants_hessian: bool) -> Sums:
    """Return what ``sums_at`` does, computed on the device."""
    problem = problem_of(rows, frame)
    there = DeviceRows(matrix_of(problem.rows, problem.shape))
    found: Any = None
    for chunk in there.chunks():
        targets = there.targets(chunk, problem.y, problem.weight)
        sums = _sums_of(chunk, problem, targets, frame, u, wants_hessian)
        found = sums if found is None else added(found, sums)
    return Sums(*found)


class DeviceShards:
    """Rows on a device.

    Parameters
    ----------
    model : estimator, which learns the columns' number and names
    X : array-like, CSR matrix, or array on a device, of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    sample_weight : array-like of shape (n_samples,), or None
    """

    n_targets = 1

    def __init__(self, model: Any, X: Any, y: Any, sample_weight: Any) -> None:
        self._model, stays = model, is_plain_there(X)
        self._given = X if stays else _shaped(X), _shaped(y), to_host(sample_weight)
        self._stays = stays
        self.names: NDArray[Any] | None = None
        self.spent = {"seconds": 0.0}
        self.most_sampled = max(min(self._given[0].shape[0] // 2, MOST_SAMPLED), 1)
        self._chunks: _Chunks | None = None

    def total(self, part: Callable[[Rows], T], add: Callable[[T, T], T]) -> T:
        """Return ``part`` of all rows: on the device for sums of a descent, else on the host."""
        own: Any = part
        if own.func is look_at:
            kind = own.keywords["kind"]
            if self._stays:
                found: Any = self._looked(kind)
                return found
            self._validate(kind)
        if own.func is not sums_at:
            return part(Rows(to_host(self._given[0]), *self._given[1:]))
        assert self._chunks is not None
        found = None
        sums: Iterator[Any] = self._chunks.sums(**own.keywords)
        for value in sums:
            found = value if found is None else add(found, value)
        return found

    def _looked(self, kind: Kind) -> Any:
        """Return what there is to know of rows on the device; a sample of them is copied."""
        X, y, weight = self._given
        learn_shape(self._model, X)
        if y is not None and y.ndim == 2:
            y = column_or_1d(y, warn=True)
        y, weight = validated_targets(Rows(None, y, weight), X.shape[0], kind)
        columns = _columns_there(X, shares_of(weight))
        keys = np.random.default_rng((kind.seed, X.shape[0])).random(X.shape[0])
        most = min(kind.most_rows, max(kind.most_entries // X.shape[1], 1))
        chosen = smallest(keys, most)
        self._chunks = _Chunks(X, y, weight, X)
        return looked(kind, y, weight, columns, (_rows_there(X, chosen), chosen, keys[chosen]))

    def _validate(self, kind: Kind) -> None:
        """Check all that was given, once."""
        X, y, weight = self._given
        X, y = check_X_y(self._model, X, y, reset=True, dtype=FLOATS)
        self.names = getattr(self._model, "feature_names_in_", None)
        self._given = X, y, weight
        valid = validated(Rows(X, y, weight), kind)
        self._chunks = _Chunks(valid.X, valid.y, valid.weight, None)


def _shaped(values: Any) -> Any:
    """Return values in host memory, a list as an array."""
    values = to_host(values)
    return values if values is None or hasattr(values, "shape") else np.asarray(values)


def _columns_there(X: Any, shares: Floats) -> tuple[Floats, Floats, Floats]:
    """Return means, standard deviations and largest magnitudes of columns on the device.

    Raises
    ------
    ValueError
        If a number is not finite, or too large to be added up.
    """
    from fastgd.kernels.cuda import memory, passes

    values, (n, d) = memory.adopt(X), X.shape
    n_blocks, per_block = passes.grid_of(n)
    partial, there = memory.empty((n_blocks * passes.GROUPS, 3, d)), memory.upload(shares)
    mean = np.zeros(d)
    for _ in range(2):  # means first, then what lies beyond them
        given = (values, there, memory.upload(mean), per_block, partial)
        passes.look_at_columns.launch(n_blocks, passes.BLOCK, *given)
        found = memory.download(partial)
        mean, squares, largest = found[:, 0].sum(0), found[:, 1].sum(0), found[:, 2].max(0)
        if not np.isfinite(largest).all():
            column = int(np.argmin(np.isfinite(largest)))
            raise ValueError(
                f"Input X contains NaN or infinity, or a value too large for {X.dtype!r}: column "
                f"{column}."
            )
        refuse_too_large(largest)
    std = np.sqrt(squares)
    std[(std <= CONSTANT * np.abs(mean)) | (std <= TINIEST)] = 0.0
    return mean, std, largest


def _rows_there(X: Any, chosen: NDArray[Any]) -> NDArray[Any]:
    """Return a copy of some rows of an array on the device."""
    from fastgd.kernels.cuda import layers, memory, passes

    values, count = memory.adopt(X), chosen.shape[0]
    order, out = memory.upload(chosen), memory.empty((count, X.shape[1]), values.dtype)
    span = passes.Span(order, 0, count, 0)
    layers.gather.spread(out.size, values, span, out)
    return memory.download(out)


class _Chunks:
    """The rows of a descent, counted from its frame's origin, with targets and weights."""

    def __init__(self, X: Any, y: NDArray[Any], weight: Floats, foreign: Any) -> None:
        self._X, self._y, self._weight = X, y, weight
        self._plain = self._rows = DeviceRows(X, foreign)
        self._frame: Frame | None = None
        self._targets: Any = None

    def sums(self, frame: Frame, u: Floats, wants_hessian: bool) -> Iterator[Sums]:
        """Yield the sums of each chunk at some parameters."""
        if self._frame is not frame:
            self._frame, self._rows = frame, self._plain
            self._targets = targets_of(self._y, self._weight, frame)
            if frame.origin is not None:
                self._X = to_host(self._X)
                moved = counted_from(as_rows(self._X), frame.origin)
                self._rows = DeviceRows(matrix_of(moved, self._X.shape))
        for chunk in self._rows.chunks():
            targets = self._rows.targets(chunk, self._targets.y, self._targets.weight)
            yield _sums_of(chunk, self._targets, targets, frame, u, wants_hessian)


def _sums_of(
    chunk: Resident, own: Any, targets: Any, frame: Frame, u: Floats, wants_hessian: bool
) -> Sums:
    """Return a chunk's sums; the penalty is not counted, as in ``sums_at``."""
    problem = frame.problem
    found = pass_over(chunk, targets, problem, u, wants_curvature=wants_hessian)
    product = product_over(chunk, targets, problem, found.out) if wants_hessian else 0.0
    least, terms, loss = own.least, own.terms, found.loss
    if chunk.stop - chunk.start < own.y.shape[0]:  # of some rows, as of all
        at = slice(chunk.start, chunk.stop)
        least, terms = least_and_terms(problem.loss, own.y[at], own.weight[at])
    loss -= least
    loss = max(loss, 0.0) if is_deviance(problem.loss) else loss
    terms = terms if is_deviance(problem.loss) else 0.0
    bend = 0.0 if problem.n_outputs > 0 else found.bend
    return Sums(loss, float(least), terms, found.gradient, product, bend)


# -- predictions -----------------------------------------------------------------------------------


def raw_of(X: Any, coef: NDArray[Any], intercept: Any) -> NDArray[Any]:
    """Return X @ coef.T + intercept, computed on the device and copied from there.

    Parameters
    ----------
    X : array on a device, of shape (n_samples, n_features)
    coef : ndarray of shape (n_features,) or (n_outputs, n_features)
    intercept : float or ndarray of shape (n_outputs,)
    """
    from fastgd.kernels.cuda import memory, passes

    values = memory.adopt(X)
    table = np.atleast_2d(np.asarray(coef, np.float64)).T
    last = np.broadcast_to(np.asarray(intercept, np.float64).reshape(-1), (table.shape[1],))
    params = memory.upload(np.concatenate([table, last[None]]))
    n = values.shape[0]
    n_blocks, per_block = passes.grid_of(n)
    out = memory.empty((n, table.shape[1]), values.dtype)
    span = passes.Span(memory.empty(0, np.int64), 0, n, per_block)
    passes.raw_predictions.launch(n_blocks, passes.BLOCK, Dense(values), params, span, out)
    raw = memory.download(out)
    return raw if np.ndim(coef) == 2 else raw[:, 0]
