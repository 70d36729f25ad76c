"""What queues the layers of a network on a CUDA device: for each kind the way forward, and back.

A form is to a layer's spec what its two methods are to the processor: which drivers and products
compute it. The drivers call the same functions, read the same table, and draw the same numbers.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from fastgd._networks.assembly import Assembly
from fastgd.kernels.layers import (
    CHANNELS,
    NEW_HEIGHT,
    NEW_WIDTH,
    SPEC,
    WINDOW_HEIGHT,
    WINDOW_WIDTH,
)
from fastgd.kernels.layers._convolution import Convolved
from fastgd.kernels.layers._dense import Affine, Lookup
from fastgd.kernels.layers._dropout import UNIFORM, Masked
from fastgd.kernels.layers._normalise import NormalisedBatch, NormalisedRows
from fastgd.kernels.layers._pool import Largest, Mean
from fastgd.kernels.layers._shape import Copy

PATCH_BYTES = 1 << 28  # of a convolution's windows that are laid out at a time


class Layer(NamedTuple):
    """A layer of a batch, on the device; arrays are views.

    number : int, which layer it is
    at : ndarray of int64, its row of the table, on the host
    there : the same on the device
    numbers : ndarray, its hyperparameters that are no integers, on the host
    weights, free, running : its parameters; weights have their shape
    of_weights, of_free : its part of the gradient
    x, before : (m, N_IN), what comes in, and the derivatives by that; before is None for the first
    out, delta : (m, N_OUT)
    notes : (m, N_NOTES)
    single : bool, whether all is computed in float32
    room : function of shape and dtype to an array that holds anything, the same each time
    """

    number: int
    at: Any
    there: Any
    numbers: Any
    weights: Any
    free: Any
    running: Any
    of_weights: Any
    of_free: Any
    x: Any
    before: Any
    out: Any
    delta: Any
    notes: Any
    single: bool
    room: Any


class Now(NamedTuple):
    """What is the same for all rows of a batch.

    is_training : bool
    seed : uint64
    step : int, its number: that and the seed name the random numbers
    """

    is_training: bool
    seed: np.uint64 = np.uint64(0)
    step: Any = 0


def lacks(assembly: Assembly) -> str | None:
    """Return the first layer that has no form for a device, as a user has named it; else None."""
    for one, row in zip(assembly.placed, assembly.table, strict=True):
        if type(assembly.specs[row[SPEC]]) not in FORMS:
            return f"{one.name}, {type(one.layer).__name__}"
    return None


# -- units -----------------------------------------------------------------------------------------


class _Affine:
    """Of ``Dense``."""

    @staticmethod
    def forward(layer: Layer, now: Now) -> None:  # noqa: ARG004
        from fastgd.kernels.cuda.matrices import multiply

        multiply(layer.x, layer.weights, layer.out, room=layer.room)

    @staticmethod
    def backward(layer: Layer, now: Now) -> None:  # noqa: ARG004
        from fastgd.kernels.cuda.matrices import multiply

        multiply(layer.x, layer.delta, layer.of_weights, left_turned=True, room=layer.room)
        if layer.before is not None:
            multiply(layer.delta, layer.weights, layer.before, right_turned=True, room=layer.room)


class _Convolved:
    """Of ``Conv2D`` and ``Conv1D``: some images at a time, their windows side by side."""

    @staticmethod
    def forward(layer: Layer, now: Now) -> None:  # noqa: ARG004
        from fastgd.kernels.cuda.matrices import multiply

        outputs = _by_positions(layer, layer.out)
        for first, count, patches in _patches(layer):
            _lay_out(layer, first, patches)
            out = _of_images(layer, outputs, first, count)
            multiply(patches, layer.weights, out, room=layer.room)

    @staticmethod
    def backward(layer: Layer, now: Now) -> None:  # noqa: ARG004
        from fastgd.kernels.cuda import layers
        from fastgd.kernels.cuda.matrices import multiply

        deltas = _by_positions(layer, layer.delta)
        for first, count, patches in _patches(layer):
            delta = _of_images(layer, deltas, first, count)
            _lay_out(layer, first, patches)
            words = {"left_turned": True, "adds": first > 0, "room": layer.room}
            multiply(patches, delta, layer.of_weights, **words)
            if layer.before is not None:
                multiply(delta, layer.weights, patches, right_turned=True, room=layer.room)
                taken = (layer.there, first, count, patches, layer.before)
                size = count * layer.before.shape[1]
                layers.take_back.spread(size, *taken, single=layer.single)


def _by_positions(layer: Layer, values: Any) -> Any:
    """Return (rows, positions * filters) as (rows * positions, filters)."""
    return values.reshape(-1, layer.weights.shape[1])


def _of_images(layer: Layer, table: Any, first: int, count: int) -> Any:
    n_positions = int(layer.at[NEW_HEIGHT] * layer.at[NEW_WIDTH])
    return table[first * n_positions : (first + count) * n_positions]


def _patches(layer: Layer) -> Any:
    """Yield the first of some images, their number, and room for their windows."""
    at, dtype, n_images = layer.at, layer.out.dtype, layer.out.shape[0]
    n_positions = int(at[NEW_HEIGHT] * at[NEW_WIDTH])
    n_patch = int(at[WINDOW_HEIGHT] * at[WINDOW_WIDTH] * at[CHANNELS])
    fit = PATCH_BYTES // (n_positions * n_patch * dtype.itemsize)
    size = min(max(fit, 1), n_images)
    patches = layer.room((size * n_positions, n_patch), dtype)
    for first in range(0, n_images, size):
        count = min(size, n_images - first)
        yield first, count, patches[: count * n_positions]


def _lay_out(layer: Layer, first: int, patches: Any) -> None:
    from fastgd.kernels.cuda import layers

    laid = (layer.there, first, layer.x, patches)
    layers.lay_out.spread(patches.size, *laid, single=layer.single)


class _Lookup:
    """Of ``Embedding``."""

    @staticmethod
    def forward(layer: Layer, now: Now) -> None:  # noqa: ARG004
        from fastgd.kernels.cuda import layers

        found = (layer.x, layer.weights, layer.out)
        layers.look_up.spread(layer.out.size, *found, single=layer.single)

    @staticmethod
    def backward(layer: Layer, now: Now) -> None:  # noqa: ARG004
        from fastgd.kernels.cuda import passes, sparse, vectors

        n_values, units = layer.weights.shape
        slopes = layer.delta.reshape(-1, units)
        size, numbers = slopes.shape[0], layer.x.reshape(-1)
        float64, int64 = np.dtype(np.float64), np.dtype(np.int64)
        largest, peaks = layer.room(units, float64), layer.room((n_values, 1), float64).reshape(-1)
        added = layer.room((n_values, units), int64)
        vectors.fill.spread(n_values, peaks, 1.0)
        vectors.fill.spread(n_values * units, added.reshape(-1), 0)
        sparse.largest_of_columns.launch(units, passes.BLOCK, slopes, size, largest)
        sparse.scatter_numbers.spread(size * units, numbers, slopes, largest, added)
        units_of = (added, largest, peaks, size, layer.of_weights.reshape(-1), 0)
        sparse.from_units.spread(n_values * units, *units_of)


# -- what rewrites ---------------------------------------------------------------------------------


class _Copy:
    """Of activations that stand alone, and the ends of ``Residual``."""

    @staticmethod
    def forward(layer: Layer, now: Now) -> None:  # noqa: ARG004
        from fastgd.kernels.cuda import layers

        layers.copy.spread(layer.x.size, layer.x.reshape(-1), layer.out.reshape(-1))

    @staticmethod
    def backward(layer: Layer, now: Now) -> None:  # noqa: ARG004
        from fastgd.kernels.cuda import layers

        if layer.before is not None:
            layers.copy.spread(layer.x.size, layer.delta.reshape(-1), layer.before.reshape(-1))


class _Masked:
    """Of ``Dropout``."""

    @staticmethod
    def forward(layer: Layer, now: Now) -> None:
        from fastgd.kernels.cuda import layers

        rate = float(layer.numbers[0]) if now.is_training else 0.0
        grown = layer.out.dtype.type(1.0 / (1.0 - rate))
        threshold = np.uint64(math.ceil(rate / UNIFORM))  # exact: a product by a power of two
        arrays = (one.reshape(-1) for one in (layer.x, layer.notes, layer.out))
        drawn = (now.seed, now.step, layer.number, threshold, grown, *arrays)
        layers.draw.spread(layer.out.size, *drawn, single=layer.single)

    @staticmethod
    def backward(layer: Layer, now: Now) -> None:  # noqa: ARG004
        from fastgd.kernels.cuda import layers

        if layer.before is not None:
            arrays = (one.reshape(-1) for one in (layer.delta, layer.notes, layer.before))
            layers.multiply_each.spread(layer.out.size, *arrays)


# -- normalisation ---------------------------------------------------------------------------------


class _NormalisedRows:
    """Of ``LayerNorm``."""

    @staticmethod
    def forward(layer: Layer, now: Now) -> None:  # noqa: ARG004
        from fastgd.kernels.cuda import layers

        epsilon = layer.out.dtype.type(layer.numbers[0])
        made = (layer.free, epsilon, layer.x, layer.notes, layer.out)
        layers.normalise_rows.spread(_n_positions(layer), *made, single=layer.single)

    @staticmethod
    def backward(layer: Layer, now: Now) -> None:  # noqa: ARG004
        from fastgd.kernels.cuda import layers

        _gain_and_offset(layer)
        if layer.before is not None:
            made = (layer.free, layer.notes, layer.delta, layer.before)
            layers.rows_back.spread(_n_positions(layer), *made, single=layer.single)


class _NormalisedBatch:
    """Of ``BatchNorm``."""

    @staticmethod
    def forward(layer: Layer, now: Now) -> None:
        from fastgd.kernels.cuda import layers

        moments, number = layer.running, layer.out.dtype.type
        if now.is_training:
            moments = _NormalisedBatch._moments(layer)
        made = (moments, layer.free, number(layer.numbers[0]), layer.x, layer.notes, layer.out)
        layers.normalise_batch.spread(layer.out.size, *made, single=layer.single)

    @staticmethod
    def _moments(layer: Layer) -> Any:
        """Return means and variances of a batch, on the device; running statistics follow."""
        from fastgd.kernels.cuda import layers

        channels, count = int(layer.at[CHANNELS]), _n_positions(layer)
        number, moments = layer.out.dtype.type, layer.room(2 * channels, layer.out.dtype)
        mean, variance = moments[:channels], moments[channels:]
        for kind, out in ((layers.PLAIN, mean), (layers.SQUARES, variance)):
            add_columns(layer, kind, (layer.x, layer.x, mean), out, count)
        unbiased = number(count / max(count - 1, 1))
        followed = (layer.running, mean, variance, number(layer.numbers[1]), unbiased)
        layers.follow.spread(channels, *followed, single=layer.single)
        return moments

    @staticmethod
    def backward(layer: Layer, now: Now) -> None:
        from fastgd.kernels.cuda import layers

        _gain_and_offset(layer)
        if layer.before is not None:
            share = 1.0 / _n_positions(layer) if now.is_training else 0.0
            by = (layer.free, layer.of_free, layer.out.dtype.type(share), layer.notes)
            made = (*by, layer.delta, layer.before)
            layers.batch_back.spread(layer.out.size, *made, single=layer.single)


def _n_positions(layer: Layer) -> int:
    """Return the number of positions of all rows."""
    return int(layer.out.size // layer.at[CHANNELS])


def _gain_and_offset(layer: Layer) -> None:
    """Queue the derivatives by what normalised numbers are multiplied by, and by what is added."""
    from fastgd.kernels.cuda import layers

    channels = int(layer.at[CHANNELS])
    of_gain, of_offset = layer.of_free[:channels], layer.of_free[channels:]
    for kind, out in ((layers.PRODUCT, of_gain), (layers.PLAIN, of_offset)):
        add_columns(layer, kind, (layer.delta, layer.notes, out), out)


def add_columns(
    layer: Layer, kind: int, given: tuple[Any, Any, Any], out: Any, count: int = 1
) -> None:
    """Queue the sums of each channel over rows and positions, divided by a number.

    Parameters
    ----------
    layer : Layer
    kind, given : see ``layers.column_lines``
    out : (n_channels,)
    count : int
    """
    from fastgd.kernels.cuda import layers, passes, vectors

    channels = out.shape[0]
    n_blocks, per_block = passes.grid_of(given[0].size // channels, vectors.SHARDS)
    float64 = np.dtype(np.float64)
    partial = layer.room((n_blocks * passes.GROUPS, channels), float64)
    added = (kind, *given, per_block, partial)
    layers.column_lines.launch(n_blocks, passes.BLOCK, *added, single=layer.single)
    sums, n_blocks = layer.room(channels, float64), min(channels, passes.MOST_BLOCKS)
    vectors.add_up.launch(n_blocks, passes.BLOCK, partial, sums, 0)
    layers.divide.spread(channels, sums, count, out)


# -- windows ---------------------------------------------------------------------------------------


class _Largest:
    """Of ``MaxPool2D``."""

    @staticmethod
    def forward(layer: Layer, now: Now) -> None:  # noqa: ARG004
        from fastgd.kernels.cuda import layers

        made = (layer.there, layer.x, layer.notes, layer.out)
        layers.largest.spread(layer.out.size, *made, single=layer.single)

    @staticmethod
    def backward(layer: Layer, now: Now) -> None:  # noqa: ARG004
        _pool_back(layer, is_mean=False)


class _Mean:
    """Of ``AvgPool2D`` and ``GlobalAveragePool``."""

    @staticmethod
    def forward(layer: Layer, now: Now) -> None:  # noqa: ARG004
        from fastgd.kernels.cuda import layers

        made = (layer.there, layer.x, layer.out)
        layers.mean.spread(layer.out.size, *made, single=layer.single)

    @staticmethod
    def backward(layer: Layer, now: Now) -> None:  # noqa: ARG004
        _pool_back(layer, is_mean=True)


def _pool_back(layer: Layer, *, is_mean: bool) -> None:
    from fastgd.kernels.cuda import layers

    if layer.before is not None:
        made = (layer.there, is_mean, layer.notes, layer.delta, layer.before)
        layers.pool_back.spread(layer.before.size, *made, single=layer.single)


FORMS: dict[type, Any] = {
    Affine: _Affine,
    Convolved: _Convolved,
    Lookup: _Lookup,
    Copy: _Copy,
    Masked: _Masked,
    NormalisedRows: _NormalisedRows,
    NormalisedBatch: _NormalisedBatch,
    Largest: _Largest,
    Mean: _Mean,
}
