"""Rows on a CUDA device, and a solver's passes over them.

Rows that are more than the device's memory holds are sent in chunks, anew in each pass. Data are in
their own type, sums in float64; products of columns are multiplied in the data's type, as on the
processor.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._runtime.warned import warn
from fastgd._solvers._problem import Floats, Problem, to_raw
from fastgd.kernels.objective import Scaler, Targets
from fastgd.kernels.rows import CSR, Dense

SHARE_OF_MEMORY = 0.7  # of the device's free memory, for X
DENSE_BYTES = 1 << 26  # of sparse rows that are written densely at a time
LARGEST_CHUNK = 1 << 31  # bytes sent at once where not all rows fit


class Resident(NamedTuple):
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


class DeviceRows:
    """All rows, in as few chunks as fit into the device's memory.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features), or an array on the device
    foreign : the same as another library's array on the device, or None
    """

    def __init__(self, X: Any, foreign: Any = None) -> None:
        self._X, self._foreign = X, foreign
        self._resident: Resident | None = None
        self._streams = False
        self._sent_targets: tuple[Any, Any, Any] = None, None, None

    def chunks(self) -> Iterator[Resident]:
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
                self._stream()
            else:
                yield self._resident
                return
        yield from self._streamed()

    def targets(self, chunk: Resident, y: NDArray[Any], weight: Floats) -> Targets:
        """Return a chunk's targets and weights on the device; those of all rows are sent once.

        Arrays are told by their identity: they must not change.
        """
        from fastgd.kernels.cuda import memory

        if chunk is not self._resident:
            at = slice(chunk.start, chunk.stop)
            return Targets(memory.upload(y[at]), memory.upload(weight[at]))
        own_y, own_weight, there = self._sent_targets
        if own_y is not y or own_weight is not weight:
            there = Targets(memory.upload(y), memory.upload(weight))
            self._sent_targets = y, weight, there
        return there

    def _fits(self) -> bool:
        from fastgd.kernels.cuda import memory

        if self._foreign is not None:
            return True
        size = _bytes_of(self._X) * (2 if sp.issparse(self._X) else 1)
        if size > SHARE_OF_MEMORY * memory.free_bytes():
            self._stream()
        return not self._streams

    def _stream(self) -> None:
        """Send the rows in chunks from now on, and say so."""
        self._streams = True
        warn(
            "X does not fit into the device's memory: its rows are sent in chunks, anew in each "
            "pass.",
            UserWarning,
            stacklevel=2,
        )

    def _streamed(self) -> Iterator[Resident]:
        from fastgd.kernels.cuda import memory

        n = self._X.shape[0]
        most = min(int(0.25 * SHARE_OF_MEMORY * memory.free_bytes()), LARGEST_CHUNK)
        size = max(int(n * most / max(_bytes_of(self._X), 1)), 1)
        for start in range(0, n, size):
            yield self._sent(start, min(start + size, n))

    def _sent(self, start: int, stop: int) -> Resident:
        """Return some rows, once they are on the device."""
        from fastgd.kernels.cuda import memory

        if self._foreign is not None:
            values = memory.adopt(self._foreign)
            return Resident(start, stop, Dense(values), values, None)
        part = self._X[start:stop]
        if not sp.issparse(part):
            values = memory.upload(part)
            return Resident(start, stop, Dense(values), values, None)
        rows = CSR(*map(memory.upload, (part.data, part.indices, part.indptr)))
        turned = part.tocsc()
        columns = CSR(*map(memory.upload, (turned.data, turned.indices, turned.indptr)))
        return Resident(start, stop, rows, memory.empty((0, 0), part.dtype), columns)


def matrix_of(rows: Any, shape: tuple[int, int]) -> Any:
    """Return rows as a user has them."""
    if isinstance(rows, Dense):
        return rows.values
    return sp.csr_matrix((rows.data, rows.indices, rows.indptr), shape=shape)


def _bytes_of(X: Any) -> int:
    if sp.issparse(X):
        return int(X.data.nbytes + X.indices.nbytes + X.indptr.nbytes)
    return int(X.nbytes)


# -- passes ----------------------------------------------------------------------------------------


class Passed(NamedTuple):
    """What a pass over a chunk found, the penalty not counted.

    loss, bend : float, the sums of losses, and of the curvatures of one output
    gradient : ndarray, of the standardised parameters
    out : passes.Out, on the device
    """

    loss: float
    bend: float
    gradient: Floats
    out: Any


def pass_over(
    chunk: Resident, targets: Targets, problem: Problem, u: Floats, *, wants_curvature: bool
) -> Passed:
    """Return loss and gradient of a chunk at u, and what a Hessian is made of."""
    from fastgd.kernels.cuda import memory, passes, vectors

    is_many, raw = problem.n_outputs > 0, to_raw(problem, u)
    params = memory.upload(raw if is_many else raw[:, None])
    given = passes.Pass(targets, problem.loss)
    keeps = is_many or chunk.columns is not None
    n = chunk.stop - chunk.start
    curvature = memory.empty(n if wants_curvature and not is_many else 0)
    out = _run(chunk, given, params, curvature, is_shared=is_many, keeps_slopes=keeps)
    sums = memory.empty(out.loss.shape[1])
    vectors.add_up.launch(sums.shape[0], passes.BLOCK, out.loss, sums, 0)
    gradient = _gradient(chunk, raw.shape, out)
    standardise(gradient, problem)
    loss, bend = map(float, memory.download(sums))
    return Passed(loss, bend, gradient, out)


def _run(
    chunk: Resident, given: Any, params: Any, curvature: Any, *, is_shared: bool, keeps_slopes: bool
) -> Any:
    """Launch a pass; return what it writes."""
    from fastgd.kernels.cuda import memory, passes

    n, n_outputs = chunk.stop - chunk.start, params.shape[1]
    n_blocks, per_block = passes.grid_of(n)
    width = n_outputs * (1 if chunk.columns is not None else params.shape[0])
    out = passes.Out(
        _zeros((n_blocks * passes.BLOCK, 2)),
        memory.empty((n_blocks * passes.GROUPS, width)),
        memory.empty((n if keeps_slopes else 0, n_outputs)),
        curvature,
    )
    span = passes.Span(memory.empty(0, np.int64), 0, n, per_block)
    driver = passes.pass_shared if is_shared else passes.pass_apart
    driver.launch(n_blocks, passes.BLOCK, chunk.rows, chunk.dense, given, params, span, out)
    return out


def _zeros(shape: tuple[int, ...]) -> Any:
    """Return zeros that the device writes itself: those of a pass are megabytes."""
    from fastgd.kernels.cuda import memory, vectors

    array = memory.empty(shape)
    flat = array.reshape(int(np.prod(shape)))
    vectors.fill.spread(flat.shape[0], flat, 0.0)
    return array


def _gradient(chunk: Resident, shape: tuple[int, ...], out: Any) -> Floats:
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


def standardise(gradient: Floats, problem: Problem) -> None:
    """Turn the gradient by raw parameters into that by standardised ones, in place."""
    own = gradient[:-1].T
    own -= np.multiply.outer(gradient[-1], problem.scaler.center)
    own *= problem.scaler.inverse_std
    if not problem.fit_intercept:
        gradient[-1] = 0.0


def raw_over(chunk: Resident, problem: Problem, u: Floats) -> Floats:
    """Return a chunk's raw predictions, (n,) or (n, n_outputs), in host memory."""
    from fastgd.kernels.cuda import memory, passes

    raw = to_raw(problem, u)
    params = memory.upload(raw if raw.ndim == 2 else raw[:, None])
    n = chunk.stop - chunk.start
    n_blocks, per_block = passes.grid_of(n)
    out = memory.empty((n, params.shape[1]))
    span = passes.Span(memory.empty(0, np.int64), 0, n, per_block)
    passes.raw_predictions.launch(n_blocks, passes.BLOCK, chunk.rows, params, span, out)
    found = memory.download(out)
    return found if raw.ndim == 2 else found[:, 0]


def sums_with(chunk: Resident, slopes: Floats, n_features: int) -> Floats:
    """Return sum_i slopes_i (x_i, 1) of a chunk; slopes are (n,) or (n, n_outputs)."""
    from fastgd.kernels.cuda import memory, passes

    table = slopes if slopes.ndim == 2 else slopes[:, None]
    shape = n_features + 1, table.shape[1]
    given, params = passes.Given(memory.upload(table)), memory.zeros(shape)
    keeps = chunk.columns is not None
    out = _run(chunk, given, params, memory.empty(0), is_shared=False, keeps_slopes=keeps)
    found = _gradient(chunk, shape, out)
    return found if slopes.ndim == 2 else found[:, 0]


# -- Hessians --------------------------------------------------------------------------------------


def product_over(chunk: Resident, targets: Targets, problem: Problem, out: Any) -> Floats:
    """Return the Hessian of the standardised parameters after a pass, classes outermost."""
    from fastgd.kernels.cuda import memory, passes, products

    if problem.n_outputs == 0:
        return weighted(chunk, out.curvature, problem.scaler)
    n_outputs, width = problem.n_outputs, problem.scaler.center.shape[0] + 1
    total = np.zeros((n_outputs * width,) * 2)
    weight = memory.empty(out.slopes.shape[0])
    n_blocks = passes.grid_of(weight.shape[0])[0]
    for k in range(n_outputs):
        for m in range(k, n_outputs):
            arguments = (out.slopes, targets, k, m, weight)
            products.weights_of_classes.launch(n_blocks, passes.BLOCK, *arguments)
            found = weighted(chunk, weight, problem.scaler)
            own, other = slice(k * width, (k + 1) * width), slice(m * width, (m + 1) * width)
            total[own, other] = found
            total[other, own] = found
    return total


def weighted(chunk: Resident, weight: Any, scaler: Scaler, dtype: Any = None) -> Floats:
    """Return sum_i h_i (z_i, 1) (z_i, 1)' of a chunk's standardised rows.

    weight : (n,), h, on the device
    dtype : the type in which they are multiplied, by default that of the rows
    """
    from fastgd.kernels.cuda import memory

    there = Scaler(memory.upload(scaler.center), memory.upload(scaler.inverse_std))
    if chunk.columns is None:
        own = chunk.dense.dtype if dtype is None else np.dtype(dtype)
        return _product_of_dense(chunk.dense, there, weight, own)
    from fastgd.kernels.cuda import passes, products

    d, n = scaler.center.shape[0], chunk.stop - chunk.start
    own = chunk.rows.data.dtype if dtype is None else np.dtype(dtype)
    size = min(n, max(DENSE_BYTES // (d * own.itemsize), 1))
    as_they_are = Scaler(memory.zeros(d), memory.upload(np.ones(d)))
    total = np.zeros((d + 1, d + 1))
    for first in range(0, n, size):
        count = min(size, n - first)
        block = memory.empty((count, d), own)
        n_blocks = min(-(-count // passes.GROUPS), 1 << 12)
        products.standardised_rows.launch(n_blocks, passes.BLOCK, chunk.rows, there, first, block)
        total += _product_of_dense(block, as_they_are, weight[first : first + count], own)
    return total


def _product_of_dense(values: Any, scaler: Scaler, weight: Any, dtype: Any) -> Floats:
    """Return the products of dense rows, both triangles."""
    from fastgd.kernels.cuda import matrices, memory, passes, products

    found = matrices.weighted_products(values, scaler, weight, dtype)
    if found is not None:
        return memory.to_host(found)
    width = values.shape[1] + 1
    n_tiles, n_shards, per_shard = products.grid_of_products(values.shape[0], width)
    partial = _zeros((n_shards, width, width))
    grid, block = (n_tiles, n_tiles, n_shards), (products.SIDE, products.SIDE)
    single = dtype == np.float32
    products.products.launch(grid, block, values, scaler, weight, per_shard, partial, single=single)
    lines = memory.empty(width * width)
    n_blocks = -(-lines.shape[0] // passes.BLOCK)
    flat = partial.reshape(n_shards, width * width)
    passes.add_lines.launch(n_blocks, passes.BLOCK, flat, lines)
    upper = np.triu(memory.download(lines).reshape(width, width))
    return upper + np.triu(upper, 1).T
