"""Sums over rows that lie on a CUDA device: one more ``Shards``, so that solvers know no device.

A pass sends the parameters there, and loss, gradient and Hessian come back: numbers of the
parameters' size, with which the host takes its steps. Rows that are more than the device's memory
holds are sent in chunks, anew in each pass. Data are in their own type, sums in float64; products
of columns are multiplied in the data's type, as on the processor.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.validation import column_or_1d

from fastgd._data.arrays import learn_shape
from fastgd._data.parts import is_in_parts, shards_of
from fastgd._data.shards import Rows, Shards
from fastgd._data.validation import as_rows, check_X_y
from fastgd._runtime.devices import chosen, is_on_device, is_there, refuse_device, to_host
from fastgd._runtime.warned import warn
from fastgd._solvers._problem import (
    CONSTANT,
    TINIEST,
    Floats,
    is_deviance,
    refuse_too_large,
    to_raw,
)
from fastgd._solvers._shard_sums import (
    Frame,
    Kind,
    Sums,
    look_at,
    looked,
    shares_of,
    sums_at,
    targets_of,
    validated,
    validated_targets,
)
from fastgd._solvers._units import counted_from
from fastgd.kernels.objective import Scaler, Targets
from fastgd.kernels.rows import CSR, Dense

T = TypeVar("T")
FLOATS = [np.float64, np.float32]
SHARE_OF_MEMORY = 0.7  # of the device's free memory, for X
DENSE_BYTES = 1 << 26  # of sparse rows that are written densely at a time
MANY = "many targets"
MOST_SAMPLED = 200_000
LARGEST_CHUNK = 1 << 31  # bytes sent at once where not all rows fit


def shards_for(model: Any, X: Any, y: Any, sample_weight: Any) -> Shards | None:
    """Return the shards over which a solver adds up; None for rows in the host's memory.

    Raises
    ------
    ImportError, RuntimeError, ValueError
        If a device is asked for that cannot be used.
    """
    if is_there(chosen(model, X)):
        if not _are_many(y):
            return DeviceShards(model, X, y, sample_weight)
        refuse_device(model, MANY)
        warn(
            f"X lies on a device, and was copied to the processor: {MANY} have no form there.",
            UserWarning,
            stacklevel=3,
        )
    return shards_of(X, y, sample_weight) if is_in_parts(X) else None


def _are_many(y: Any) -> bool:
    shape: Any = getattr(y, "shape", ())
    return len(shape) == 2 and shape[1] > 1


class DeviceShards:
    """Rows on a device.

    Parameters
    ----------
    model : estimator, which learns the columns' number and names
    X : array-like, CSR matrix, or array on a device, of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    sample_weight : array-like of shape (n_samples,), or None
    """

    def __init__(self, model: Any, X: Any, y: Any, sample_weight: Any) -> None:
        self._model, self._foreign = model, X if is_on_device(X) else None
        stays = self._foreign is not None and _is_plain_there(X)
        self._given = X if stays else _shaped(X), _shaped(y), to_host(sample_weight)
        self._stays = stays
        self.names: NDArray[Any] | None = None
        self.spent = {"seconds": 0.0}
        self.most_sampled = max(min(self._given[0].shape[0] // 2, MOST_SAMPLED), 1)
        self._chunks: _Chunks | None = None

    @property
    def dtype(self) -> Any:
        """The type of X."""
        return np.dtype(self._given[0].dtype)

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
        chosen = np.argsort(keys, kind="stable")[:most]
        self._chunks = _Chunks(X, y, weight, X)
        return looked(kind, y, weight, columns, (_rows_there(X, chosen), chosen, keys[chosen]))

    def _validate(self, kind: Kind) -> None:
        """Check all that was given, once."""
        X, y, weight = self._given
        X, y = check_X_y(self._model, X, y, reset=True, dtype=FLOATS)
        self.names = getattr(self._model, "feature_names_in_", None)
        self._given = X, y, weight
        valid = validated(Rows(X, y, weight), kind)
        same_type = self._foreign is not None and self._foreign.dtype == valid.X.dtype
        on_device = self._foreign if same_type else None
        self._chunks = _Chunks(valid.X, valid.y, valid.weight, on_device)


def _shaped(values: Any) -> Any:
    """Return values in host memory, a list as an array."""
    values = to_host(values)
    return values if values is None or hasattr(values, "shape") else np.asarray(values)


def _is_plain_there(X: Any) -> bool:
    """Tell whether an array on a device can be looked at there: a table of floats."""
    kind = str(getattr(X, "dtype", "")).rpartition(".")[2]
    return kind in ("float32", "float64") and len(X.shape) == 2 and 0 not in tuple(X.shape)


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


class _Resident(NamedTuple):
    """Rows on the device, in one of its chunks.

    start, stop : int, which rows
    rows : Dense or CSR
    dense : (n, d), the same; (0, 0) for CSR
    columns : CSR of the transposed rows, None for dense ones
    """

    start: int
    stop: int
    rows: Any
    dense: Any
    columns: Any


class _Chunks:
    """All rows, in as few chunks as fit into the device's memory."""

    def __init__(self, X: Any, y: NDArray[Any], weight: Floats, foreign: Any) -> None:
        self._X, self._y, self._weight, self._foreign = X, y, weight, foreign
        self._resident: _Resident | None = None
        self._frame: Frame | None = None
        self._targets: Any = None
        self._streams = False

    def sums(self, frame: Frame, u: Floats, wants_hessian: bool) -> Iterator[Sums]:
        """Yield the sums of each chunk at some parameters."""
        if self._frame is not frame:
            self._frame, self._resident = frame, None
            self._targets = targets_of(self._y, self._weight, frame)
            self._counted = self._X
            if frame.origin is not None:
                self._foreign, self._X = None, to_host(self._X)
                moved = counted_from(as_rows(self._X), frame.origin)
                self._counted = _matrix(moved, self._X.shape)
        for chunk in self._on_device():
            yield _sums_of(chunk, self._targets, frame, u, wants_hessian)

    def _on_device(self) -> Iterator[_Resident]:
        """Yield the chunks; what fits as a whole stays on the device."""
        if self._resident is not None:
            yield self._resident
            return
        if not self._streams and self._fits():
            from fastgd.kernels.cuda import memory

            try:
                self._resident = self._sent(0, self._X.shape[0])
            except Exception as error:
                if not memory.is_out_of_memory(error):
                    raise
                self._streams = True
                warn(
                    "X does not fit into the device's memory: its rows are sent in chunks, anew "
                    "in each pass.",
                    UserWarning,
                    stacklevel=2,
                )
            else:
                yield self._resident
                return
        yield from self._streamed()

    def _fits(self) -> bool:
        from fastgd.kernels.cuda import memory

        if self._foreign is not None:
            return True
        size = _bytes_of(self._counted) * (2 if sp.issparse(self._counted) else 1)
        self._streams = size > SHARE_OF_MEMORY * memory.free_bytes()
        return not self._streams

    def _streamed(self) -> Iterator[_Resident]:
        from fastgd.kernels.cuda import memory

        n = self._X.shape[0]
        most = min(int(0.25 * SHARE_OF_MEMORY * memory.free_bytes()), LARGEST_CHUNK)
        size = max(int(n * most / max(_bytes_of(self._counted), 1)), 1)
        for start in range(0, n, size):
            yield self._sent(start, min(start + size, n))

    def _sent(self, start: int, stop: int) -> _Resident:
        """Return some rows, once they are on the device."""
        from fastgd.kernels.cuda import memory

        if self._foreign is not None:
            values = memory.adopt(self._foreign)
            return _Resident(start, stop, Dense(values), values, None)
        part = self._counted[start:stop]
        if not sp.issparse(part):
            values = memory.upload(part)
            return _Resident(start, stop, Dense(values), values, None)
        rows = CSR(*map(memory.upload, (part.data, part.indices, part.indptr)))
        turned = part.tocsc()
        columns = CSR(*map(memory.upload, (turned.data, turned.indices, turned.indptr)))
        return _Resident(start, stop, rows, memory.empty((0, 0), part.dtype), columns)


def _matrix(rows: Any, shape: tuple[int, int]) -> Any:
    """Return rows as a user has them."""
    if isinstance(rows, Dense):
        return rows.values
    return sp.csr_matrix((rows.data, rows.indices, rows.indptr), shape=shape)


def _bytes_of(X: Any) -> int:
    if sp.issparse(X):
        return int(X.data.nbytes + X.indices.nbytes + X.indptr.nbytes)
    return int(X.nbytes)


# -- sums ------------------------------------------------------------------------------------------


def _sums_of(chunk: _Resident, targets: Any, frame: Frame, u: Floats, wants_hessian: bool) -> Sums:
    """Return a chunk's sums; the penalty is not counted, as in ``sums_at``."""
    from fastgd.kernels.cuda import memory, passes

    problem, n = frame.problem, chunk.stop - chunk.start
    is_many, at = problem.n_outputs > 0, slice(chunk.start, chunk.stop)
    y, weight = targets.y[at], targets.weight[at]
    on_device = Targets(memory.upload(y), memory.upload(weight))
    raw = to_raw(problem, u)
    params = memory.upload(raw if is_many else raw[:, None])
    n_blocks, per_block = passes.grid_of(n)
    n_outputs = params.shape[1]
    width = n_outputs * (1 if chunk.columns is not None else raw.shape[0])
    out = passes.Out(
        memory.zeros((n_blocks * passes.BLOCK, 2)),
        memory.empty((n_blocks * passes.GROUPS, width)),
        memory.empty((n, n_outputs)),
        memory.empty(n if wants_hessian and not is_many else 0),
    )
    span = passes.Span(memory.empty(0, np.int64), 0, n, per_block)
    driver = passes.pass_shared if is_many else passes.pass_apart
    given = passes.Pass(on_device, problem.loss)
    arguments = (chunk.rows, chunk.dense, given, params, span, out)
    driver.launch(n_blocks, passes.BLOCK, *arguments)
    product = _product(chunk, on_device, frame, out) if wants_hessian else 0.0
    loss, bend = memory.download(out.loss).sum(axis=0)
    gradient = _gradient(chunk, raw.shape, out)
    _standardise(gradient, problem.scaler, fit_intercept=problem.fit_intercept)
    least, terms, loss = targets.least, targets.terms, float(loss)
    if chunk.stop - chunk.start < targets.y.shape[0]:  # of some rows, as of all
        from fastgd._solvers._problem import least_and_terms

        least, terms = least_and_terms(problem.loss, y, weight)
    loss -= least
    loss = max(loss, 0.0) if is_deviance(problem.loss) else loss
    terms = terms if is_deviance(problem.loss) else 0.0
    return Sums(loss, float(least), terms, gradient, product, 0.0 if is_many else float(bend))


def _gradient(chunk: _Resident, shape: tuple[int, ...], out: Any) -> Floats:
    """Return the gradient by raw parameters."""
    from fastgd.kernels.cuda import memory, passes

    lines = memory.empty(out.partial.shape[1])
    n_blocks = -(-lines.shape[0] // passes.BLOCK)
    passes.add_lines.launch(n_blocks, passes.BLOCK, out.partial, lines)
    if chunk.columns is None:
        return memory.download(lines).reshape(shape)
    n_features, n_outputs = shape[0] - 1, out.slopes.shape[1]
    columns = memory.empty((n_features, n_outputs))
    n_blocks = max(min(n_features, passes.MOST_BLOCKS), 1)
    passes.add_sparse_columns.launch(n_blocks, passes.BLOCK, chunk.columns, out.slopes, columns)
    found = np.concatenate([memory.download(columns), memory.download(lines)[None]])
    return found.reshape(shape)


def _standardise(gradient: Floats, scaler: Scaler, *, fit_intercept: bool) -> None:
    """Turn the gradient by raw parameters into that by standardised ones, in place."""
    own = gradient[:-1].T
    own -= np.multiply.outer(gradient[-1], scaler.center)
    own *= scaler.inverse_std
    if not fit_intercept:
        gradient[-1] = 0.0


def _product(chunk: _Resident, targets: Targets, frame: Frame, out: Any) -> Floats:
    """Return the Hessian of the standardised parameters, classes outermost."""
    from fastgd.kernels.cuda import memory, passes, products

    problem = frame.problem
    if problem.n_outputs == 0:
        return _weighted(chunk, out.curvature, problem.scaler)
    n_outputs, width = problem.n_outputs, problem.scaler.center.shape[0] + 1
    total = np.zeros((n_outputs * width,) * 2)
    weight = memory.empty(out.slopes.shape[0])
    n_blocks = passes.grid_of(weight.shape[0])[0]
    for k in range(n_outputs):
        for m in range(k, n_outputs):
            arguments = (out.slopes, targets, k, m, weight)
            products.weights_of_classes.launch(n_blocks, passes.BLOCK, *arguments)
            found = _weighted(chunk, weight, problem.scaler)
            own, other = slice(k * width, (k + 1) * width), slice(m * width, (m + 1) * width)
            total[own, other] = found
            total[other, own] = found
    return total


def _weighted(chunk: _Resident, weight: Any, scaler: Scaler) -> Floats:
    """Return sum_i h_i (z_i, 1) (z_i, 1)' of a chunk's standardised rows."""
    from fastgd.kernels.cuda import memory

    on_device = Scaler(memory.upload(scaler.center), memory.upload(scaler.inverse_std))
    if chunk.columns is None:
        return _product_of_dense(chunk.dense, on_device, weight)
    from fastgd.kernels.cuda import passes, products

    d, n = scaler.center.shape[0], chunk.stop - chunk.start
    dtype = chunk.rows.data.dtype
    size = min(n, max(DENSE_BYTES // (d * dtype.itemsize), 1))
    as_they_are = Scaler(memory.zeros(d), memory.upload(np.ones(d)))
    total = np.zeros((d + 1, d + 1))
    for first in range(0, n, size):
        count = min(size, n - first)
        block = memory.empty((count, d), dtype)
        n_blocks = min(-(-count // passes.GROUPS), 1 << 12)
        arguments = (chunk.rows, on_device, first, block)
        products.standardised_rows.launch(n_blocks, passes.BLOCK, *arguments)
        total += _product_of_dense(block, as_they_are, weight[first : first + count])
    return total


def _product_of_dense(values: Any, scaler: Scaler, weight: Any) -> Floats:
    """Return the products of dense rows, both triangles."""
    from fastgd.kernels.cuda import matrices, memory, passes, products

    found = matrices.weighted_products(values, scaler, weight)
    if found is not None:
        return memory.to_host(found)
    width = values.shape[1] + 1
    n_tiles, n_shards, per_shard = products.grid_of_products(values.shape[0], width)
    partial = memory.zeros((n_shards, width, width))
    grid, block = (n_tiles, n_tiles, n_shards), (products.SIDE, products.SIDE)
    single = values.dtype == np.float32
    products.products.launch(grid, block, values, scaler, weight, per_shard, partial, single=single)
    lines = memory.empty(width * width)
    n_blocks = -(-lines.shape[0] // passes.BLOCK)
    flat = partial.reshape(n_shards, width * width)
    passes.add_lines.launch(n_blocks, passes.BLOCK, flat, lines)
    upper = np.triu(memory.download(lines).reshape(width, width))
    return upper + np.triu(upper, 1).T


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
