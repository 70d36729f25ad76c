"""Convolutions, one image at a time: its patches side by side, then a matrix product.

An image's patches, (positions, window x channels), stay in L2 between the copy and the product
("im2col" [1]_); channels come last, so that a row of a window is one run of memory.

References
----------
.. [1] Chellapilla, Puri & Simard, "High performance convolutional neural networks for document
   processing", 2006, section 3.
"""

from typing import Any, NamedTuple

import numpy as np

from fastgd.kernels._blas import (
    add_product,
    add_transposed_product,
    multiply,
    multiply_transposed,
)
from fastgd.kernels._jit import helper
from fastgd.kernels._views import line_in, row_in, table_in
from fastgd.kernels.layers._protocol import (
    CHANNELS,
    HEIGHT,
    NEW_CHANNELS,
    NEW_HEIGHT,
    NEW_WIDTH,
    PAD_LEFT,
    PAD_TOP,
    STRIDE_HEIGHT,
    STRIDE_WIDTH,
    WIDTH,
    WINDOW_HEIGHT,
    WINDOW_WIDTH,
    Sizes,
)
from fastgd.kernels.layers._window import as_pair, window_table

NARROW = 16  # numbers of a window's row


class Conv2D(NamedTuple):
    """Filters that are moved over an image: each output is activation(patch . filter + bias) [1]_.

    Inputs are (height, width, channels), outputs (new height, new width, filters); as in most
    libraries, the filter is not mirrored (a cross-correlation).

    Parameters
    ----------
    filters : int
        Number of filters.
    kernel_size : int or (int, int)
        Height and width of the window.
    stride : int or (int, int), default=1
        How far the window moves.
    padding : {"valid", "same"}, default="valid"
        "valid" puts the window on the image only; "same" adds zeros at the edges, so that with
        stride 1 outputs are as large as inputs.
    activation : str or activation, default="identity"
        See ``fastgd.activations``.
    init : str, initializer or None, default=None
        See ``fastgd.initializers``; by default what suits the activation.
    bias : bool, default=True
        Whether each filter has a bias.

    References
    ----------
    .. [1] LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document
       recognition", 1998, section II.
    """

    filters: int
    kernel_size: Any
    stride: Any = 1
    padding: str = "valid"
    activation: Any = "identity"
    init: Any = None
    bias: bool = True

    @staticmethod
    def spec(layer):
        return Convolved()

    @staticmethod
    def sizes(layer, shape):
        if len(shape) != 3:
            raise ValueError(
                f"it takes images of shape (height, width, channels), and got rows of shape "
                f"{shape}."
            )
        return _sizes(layer, shape, as_pair(layer.kernel_size), as_pair(layer.stride))


class Conv1D(NamedTuple):
    """Filters that are moved along a sequence; see ``Conv2D``.

    Inputs are (length, channels), outputs (new length, filters).

    Parameters
    ----------
    filters : int
        Number of filters.
    kernel_size : int
        Length of the window.
    stride : int, default=1
        How far the window moves.
    padding : {"valid", "same"}, default="valid"
        As in ``Conv2D``.
    activation : str or activation, default="identity"
        See ``fastgd.activations``.
    init : str, initializer or None, default=None
        See ``fastgd.initializers``; by default what suits the activation.
    bias : bool, default=True
        Whether each filter has a bias.
    """

    filters: int
    kernel_size: int
    stride: int = 1
    padding: str = "valid"
    activation: Any = "identity"
    init: Any = None
    bias: bool = True

    @staticmethod
    def spec(layer):
        return Convolved()

    @staticmethod
    def sizes(layer, shape):
        if len(shape) != 2:
            raise ValueError(
                f"it takes sequences of shape (length, channels), and got rows of shape {shape}."
            )
        window, stride = (1, layer.kernel_size), (1, layer.stride)
        if any(isinstance(size, (tuple, list)) for size in (*window, *stride)):
            raise ValueError("its kernel_size and stride are one number each.")
        sizes = _sizes(layer, (1, *shape), window, stride)
        return sizes._replace(shape=sizes.shape[1:])


def _sizes(layer, shape, window, stride):
    table, (height, width) = window_table(shape, window, stride, layer.padding)
    channels, filters = shape[2], layer.filters
    n_patch = window[0] * window[1] * channels
    n_positions = height * width
    return Sizes(
        shape=(height, width, filters),
        weights=(n_patch, filters),
        units=filters,
        fans=(n_patch, window[0] * window[1] * filters),
        free=np.zeros(filters if layer.bias else 0),
        patch=n_positions * n_patch + n_patch * filters,
        table={**table, NEW_CHANNELS: filters},
    )


class Convolved(NamedTuple):
    """The spec of both."""

    @staticmethod
    def forward(layer, at, own, x, out, notes, now):
        n_positions, n_patch, filters = _extents(at)
        weights = table_in(own.weights, 0, n_patch, filters)
        for i in range(x.shape[0]):
            of_image = table_in(out, i * n_positions * filters, n_positions, filters)
            if _is_narrow(at):
                patches = table_in(now.patch, 0, n_patch, n_positions)
                _lay_out_across(at, row_in(x, i), patches)
                multiply_transposed(patches, weights, of_image)
            else:
                patches = table_in(now.patch, 0, n_positions, n_patch)
                _lay_out(at, row_in(x, i), patches)
                multiply(patches, weights, of_image)

    @staticmethod
    def backward(layer, at, own, slopes, tape, delta, before):
        n_positions, n_patch, filters = _extents(at)
        patches = table_in(tape.now.patch, 0, n_positions, n_patch)
        across = table_in(tape.now.patch, n_positions * n_patch, filters, n_patch)
        if before.shape[0] > 0:
            _transpose(table_in(own.weights, 0, n_patch, filters), across)
        of_weights = table_in(slopes.weights, 0, n_patch, filters)
        for k in range(slopes.weights.shape[0]):
            slopes.weights[k] = 0
        for i in range(delta.shape[0]):
            of_image = table_in(delta, i * n_positions * filters, n_positions, filters)
            if _is_narrow(at):
                turned = table_in(tape.now.patch, 0, n_patch, n_positions)
                _lay_out_across(at, row_in(tape.x, i), turned)
                add_product(turned, of_image, of_weights)
            else:
                _lay_out(at, row_in(tape.x, i), patches)
                add_transposed_product(patches, of_image, of_weights)
            if before.shape[0] > 0:
                multiply(of_image, across, patches)
                _take_back(at, patches, row_in(before, i))


@helper()
def _transpose(table, out):
    """Write a table with its axes swapped: BLAS is slow in doing so for each product."""
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[j, i] = table[i, j]


@helper()
def _extents(at):
    """Return the numbers of positions, of inputs that a filter sees, and of filters."""
    n_positions = at[NEW_HEIGHT] * at[NEW_WIDTH]
    return n_positions, at[WINDOW_HEIGHT] * at[WINDOW_WIDTH] * at[CHANNELS], at[NEW_CHANNELS]


@helper()
def _is_narrow(at):
    """Tell whether rows of the window are too short for vectors."""
    return at[WINDOW_WIDTH] * at[CHANNELS] < NARROW


@helper(inlined=False)
def _lay_out_across(at, image, patches):
    """Write what each number of the window is at all positions, (window x channels, positions).

    Zeros where it lies beyond the edges.
    """
    row_of_image, step = at[WIDTH] * at[CHANNELS], at[STRIDE_WIDTH] * at[CHANNELS]
    run, new_width, new_height = at[WINDOW_WIDTH] * at[CHANNELS], at[NEW_WIDTH], at[NEW_HEIGHT]
    zero = patches.dtype.type(0)
    for u in range(at[WINDOW_HEIGHT]):
        for k in range(run):
            left = k - at[PAD_LEFT] * at[CHANNELS]
            first = min(max(-(left // step), 0), new_width)
            last = min(max(-((left - row_of_image) // step), first), new_width)
            for p in range(new_height):
                y = p * at[STRIDE_HEIGHT] - at[PAD_TOP] + u
                part = line_in(patches, ((u * run + k) * new_height + p) * new_width, new_width)
                if not 0 <= y < at[HEIGHT]:
                    part[:] = zero
                    continue
                n_seen = last - first
                seen = line_in(
                    image,
                    y * row_of_image + left + first * step,
                    max((n_seen - 1) * step + 1, 0),
                )
                for q in range(first):
                    part[q] = zero
                _copy_each(seen, step, line_in(part, first, n_seen))
                for q in range(last, new_width):
                    part[q] = zero


@helper()
def _copy_each(source, step, target):
    """Copy every ``step``-th number."""
    if step == 1:
        for q in range(target.shape[0]):
            target[q] = source[q]
    else:
        for q in range(target.shape[0]):
            target[q] = source[np.uint64(q * step)]


@helper(inlined=False)
def _lay_out(at, image, patches):
    """Write the window's content at each position, zeros where it lies beyond the edges."""
    height, width, channels = at[HEIGHT], at[WIDTH], at[CHANNELS]
    run = at[WINDOW_WIDTH] * channels
    for p in range(at[NEW_HEIGHT]):
        for q in range(at[NEW_WIDTH]):
            row = p * at[NEW_WIDTH] + q
            left = q * at[STRIDE_WIDTH] - at[PAD_LEFT]
            for u in range(at[WINDOW_HEIGHT]):
                y = p * at[STRIDE_HEIGHT] - at[PAD_TOP] + u
                part = line_in(patches, (row * at[WINDOW_HEIGHT] + u) * run, run)
                base = (y * width + left) * channels
                if 0 <= y < height and left >= 0 and left + at[WINDOW_WIDTH] <= width:
                    seen = line_in(image, base, run)
                    for k in range(run):
                        part[k] = seen[k]
                    continue
                for k in range(run):
                    column = left * channels + k
                    inside = 0 <= y < height and 0 <= column < width * channels
                    part[k] = image[base + k] if inside else image.dtype.type(0)


@helper(inlined=False)
def _take_back(at, patches, image):
    """Add up what the windows at all positions say of each input."""
    height, width, channels = at[HEIGHT], at[WIDTH], at[CHANNELS]
    run = at[WINDOW_WIDTH] * channels
    for k in range(image.shape[0]):
        image[k] = 0
    for p in range(at[NEW_HEIGHT]):
        for q in range(at[NEW_WIDTH]):
            row = p * at[NEW_WIDTH] + q
            left = q * at[STRIDE_WIDTH] - at[PAD_LEFT]
            first, last = max(0, -left) * channels, min(run, (width - left) * channels)
            for u in range(at[WINDOW_HEIGHT]):
                y = p * at[STRIDE_HEIGHT] - at[PAD_TOP] + u
                if 0 <= y < height:
                    place = (row * at[WINDOW_HEIGHT] + u) * run + first
                    said = line_in(patches, place, last - first)
                    seen = line_in(image, (y * width + left) * channels + first, last - first)
                    for k in range(said.shape[0]):
                        seen[k] += said[k]
