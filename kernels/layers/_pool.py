"""Pooling: one number for each window of each channel."""

from typing import Any, NamedTuple

import numpy as np

from fastgd.kernels._jit import helper
from fastgd.kernels._views import line_in, row_in
from fastgd.kernels.layers._protocol import (
    CHANNELS,
    HEIGHT,
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
    flat_size,
)
from fastgd.kernels.layers._window import as_pair, window_table


class MaxPool2D(NamedTuple):
    """The largest number of each window, of each channel.

    Inputs are (height, width, channels). The derivative goes to the first of the largest.

    Parameters
    ----------
    size : int or (int, int), default=2
        Height and width of the window.
    stride : int, (int, int) or None, default=None
        How far it moves; by default as far as it is large.
    padding : {"valid", "same"}, default="valid"
        As in ``Conv2D``; what lies beyond the edges does not count.
    """

    size: Any = 2
    stride: Any = None
    padding: str = "valid"

    @staticmethod
    def spec(layer):
        return Largest()

    @staticmethod
    def sizes(layer, shape):
        sizes = _sizes(layer, shape)
        return sizes._replace(notes=flat_size(sizes.shape))


class AvgPool2D(NamedTuple):
    """The mean of each window, of each channel; otherwise as ``MaxPool2D``.

    Parameters
    ----------
    size : int or (int, int), default=2
        Height and width of the window.
    stride : int, (int, int) or None, default=None
        How far it moves; by default as far as it is large.
    padding : {"valid", "same"}, default="valid"
        As in ``Conv2D``; what lies beyond the edges does not count.
    """

    size: Any = 2
    stride: Any = None
    padding: str = "valid"

    @staticmethod
    def spec(layer):
        return Mean()

    @staticmethod
    def sizes(layer, shape):
        return _sizes(layer, shape)


def _sizes(layer, shape):
    if len(shape) != 3:
        raise ValueError(
            f"it takes images of shape (height, width, channels), and got rows of shape {shape}."
        )
    window = as_pair(layer.size)
    stride = window if layer.stride is None else as_pair(layer.stride)
    table, new = window_table(shape, window, stride, layer.padding)
    return Sizes((*new, shape[2]), table=table)


class GlobalAveragePool(NamedTuple):
    """The mean of each channel over all positions [1]_.

    Inputs are (height, width, channels) or (length, channels), outputs (channels,).

    References
    ----------
    .. [1] Lin, Chen & Yan, "Network in network", 2014, section 3.2. arXiv:1312.4400
    """

    @staticmethod
    def spec(layer):
        return Mean()

    @staticmethod
    def sizes(layer, shape):
        if len(shape) not in (2, 3):
            raise ValueError(
                "it takes rows of shape (height, width, channels) or (length, channels), and got "
                f"rows of shape {shape}."
            )
        image = shape if len(shape) == 3 else (1, *shape)
        table, _ = window_table(image, image[:2], image[:2], "valid")
        return Sizes((shape[-1],), table=table)


@helper()
def _window(at, p, q):
    """Return the window at a position, as far as it lies on the image: top, bottom, left, right."""
    top = p * at[STRIDE_HEIGHT] - at[PAD_TOP]
    left = q * at[STRIDE_WIDTH] - at[PAD_LEFT]
    bottom = min(top + at[WINDOW_HEIGHT], at[HEIGHT])
    right = min(left + at[WINDOW_WIDTH], at[WIDTH])
    return max(top, 0), bottom, max(left, 0), right


class Largest(NamedTuple):
    """The spec of ``MaxPool2D``; its notes are the places of the largest numbers."""

    @staticmethod
    def forward(layer, at, own, x, out, notes, now):
        for i in range(x.shape[0]):
            for p in range(at[NEW_HEIGHT]):
                for q in range(at[NEW_WIDTH]):
                    to, window = (p * at[NEW_WIDTH] + q) * at[CHANNELS], _window(at, p, q)
                    if window[1] - window[0] == 2 and window[3] - window[2] == 2:
                        _largest_of_four(
                            at, row_in(x, i), window, to, row_in(out, i), row_in(notes, i)
                        )
                    else:
                        _largest(at, row_in(x, i), window, to, row_in(out, i), row_in(notes, i))

    @staticmethod
    def backward(layer, at, own, slopes, tape, delta, before):
        for i in range(before.shape[0]):
            image, slopes_of = row_in(before, i), row_in(delta, i)
            places = row_in(tape.notes, i)
            for k in range(image.shape[0]):
                image[k] = 0
            for k in range(slopes_of.shape[0]):
                image[np.uint64(places[k])] += slopes_of[k]


@helper()
def _largest(at, image, window, to, out, places):
    """Write each channel's largest number of a window, and its place."""
    top, bottom, left, right = window
    channels = at[CHANNELS]
    most, where = line_in(out, to, channels), line_in(places, to, channels)
    for y in range(top, bottom):
        for z in range(left, right):
            first = (y * at[WIDTH] + z) * channels
            here = line_in(image, first, channels)
            if y == top and z == left:
                for c in range(channels):
                    most[c] = here[c]
                    where[c] = first + c
                continue
            for c in range(channels):
                wins = here[c] > most[c]
                where[c] = where.dtype.type(first + c) if wins else where[c]
                most[c] = here[c] if wins else most[c]


@helper()
def _largest_of_four(at, image, window, to, out, places):
    """Do so for a window of 2 x 2, in one pass over the channels."""
    channels, below = at[CHANNELS], at[WIDTH] * at[CHANNELS]
    first, number = window[0] * below + window[2] * channels, places.dtype.type
    most, where = line_in(out, to, channels), line_in(places, to, channels)
    above = line_in(image, first, 2 * channels)
    beneath = line_in(image, first + below, 2 * channels)
    right, down, across = number(channels), number(below), number(below + channels)
    for k in range(channels):
        c, d = np.uint64(k), np.uint64(k) + np.uint64(channels)
        value, step = above[c], number(0)
        wins = above[d] > value
        value, step = above[d] if wins else value, right if wins else step
        wins = beneath[c] > value
        value, step = beneath[c] if wins else value, down if wins else step
        wins = beneath[d] > value
        most[c] = beneath[d] if wins else value
        where[c] = number(first + k) + (across if wins else step)


class Mean(NamedTuple):
    """The spec of the averages."""

    @staticmethod
    def forward(layer, at, own, x, out, notes, now):
        channels = at[CHANNELS]
        for i in range(x.shape[0]):
            out[i, :] = 0
            for p in range(at[NEW_HEIGHT]):
                for q in range(at[NEW_WIDTH]):
                    top, bottom, left, right = _window(at, p, q)
                    to = (p * at[NEW_WIDTH] + q) * channels
                    share = out.dtype.type(1.0 / ((bottom - top) * (right - left)))
                    for y in range(top, bottom):
                        for z in range(left, right):
                            for c in range(channels):
                                out[i, to + c] += share * x[i, (y * at[WIDTH] + z) * channels + c]

    @staticmethod
    def backward(layer, at, own, slopes, tape, delta, before):
        channels = at[CHANNELS]
        for i in range(before.shape[0]):
            before[i, :] = 0
            for p in range(at[NEW_HEIGHT]):
                for q in range(at[NEW_WIDTH]):
                    top, bottom, left, right = _window(at, p, q)
                    to = (p * at[NEW_WIDTH] + q) * channels
                    share = before.dtype.type(1.0 / ((bottom - top) * (right - left)))
                    for y in range(top, bottom):
                        for z in range(left, right):
                            first = (y * at[WIDTH] + z) * channels
                            for c in range(channels):
                                before[i, first + c] += share * delta[i, to + c]
