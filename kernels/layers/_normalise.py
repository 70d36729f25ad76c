"""Layer and batch normalisation, along the last axis."""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels._jit import helper
from fastgd.kernels._views import row_in
from fastgd.kernels.layers._protocol import CHANNELS, Sizes, flat_size


class LayerNorm(NamedTuple):
    """Each row, and each position of it, is brought to mean 0 and variance 1 over its channels.

    Then gain times that plus offset, one of each for a channel, which are learned and have no
    penalty [1]_. Training and prediction do the same.

    Parameters
    ----------
    epsilon : float, default=1e-5
        Added to the variance, > 0.

    References
    ----------
    .. [1] Ba, Kiros & Hinton, "Layer normalization", 2016, equation 4. arXiv:1607.06450
    """

    epsilon: float = 1e-5

    @staticmethod
    def spec(layer):
        return NormalisedRows()

    @staticmethod
    def sizes(layer, shape):
        channels = shape[-1]
        return Sizes(
            shape,
            free=np.concatenate([np.ones(channels), np.zeros(channels)]),
            notes=flat_size(shape) + flat_size(shape[:-1]),
            table={CHANNELS: channels},
            numbers=(layer.epsilon,),
        )


class NormalisedRows(NamedTuple):
    """The spec of ``LayerNorm``; notes: the normalised numbers, then each position's 1 / scale."""

    @staticmethod
    def forward(layer, at, own, x, out, notes, now):
        for i in range(x.shape[0]):
            row, kept, made = row_in(x, i), row_in(notes, i), row_in(out, i)
            for p in range(x.shape[1] // at[CHANNELS]):
                _normalise_position(own.free, row, kept, made, p, now.numbers[0])

    @staticmethod
    def backward(layer, at, own, slopes, tape, delta, before):
        _by_gain_and_offset(at[CHANNELS], tape.notes, delta, slopes.free)
        for i in range(before.shape[0]):
            kept, slope, made = row_in(tape.notes, i), row_in(delta, i), row_in(before, i)
            for p in range(delta.shape[1] // at[CHANNELS]):
                _position_back(own.free, kept, slope, made, p)


@helper()
def _normalise_position(free, row, notes, out, p, epsilon):
    """Normalise the channels at position p of a row."""
    channels, n = free.shape[0] // 2, row.shape[0]
    first = p * channels
    mean, inverse = _moments(row, first, channels, epsilon)
    notes[n + p] = inverse
    for c in range(channels):
        normal = (row[first + c] - mean) * inverse
        notes[first + c] = normal
        out[first + c] = free[c] * normal + free[channels + c]


@helper()
def _position_back(free, notes, delta, before, p):
    """Write the derivatives by the channels at position p of a row."""
    channels, n = free.shape[0] // 2, delta.shape[0]
    first, total, along = p * channels, 0.0, 0.0
    for c in range(channels):
        slope = free[c] * delta[first + c]
        total += slope
        along += slope * notes[first + c]
    total /= np.float64(channels)
    along /= np.float64(channels)
    inverse = notes[n + p]
    for c in range(channels):
        slope = free[c] * delta[first + c]
        before[first + c] = inverse * (slope - total - along * notes[first + c])


@helper()
def _moments(row, first, channels, epsilon):
    """Return the mean of some numbers, and 1 / sqrt(variance + epsilon)."""
    mean, squares = 0.0, 0.0
    for c in range(channels):
        mean += row[first + c]
    mean /= np.float64(channels)
    for c in range(channels):
        beyond = row[first + c] - mean
        squares += beyond * beyond
    return mean, 1.0 / math.sqrt(squares / np.float64(channels) + epsilon)


@helper()
def _by_gain_and_offset(channels, notes, delta, slopes):
    for k in range(2 * channels):
        slopes[k] = 0
    for i in range(delta.shape[0]):
        for j in range(delta.shape[1]):
            c = j % channels
            slopes[c] += delta[i, j] * notes[i, j]
            slopes[channels + c] += delta[i, j]


class BatchNorm(NamedTuple):
    """Each channel is brought to mean 0 and variance 1 over the rows and positions of a batch.

    Then gain times that plus offset, which are learned and have no penalty [1]_. Predictions use
    running means of the batches' means and (unbiased) variances, as in PyTorch.

    Parameters
    ----------
    momentum : float, default=0.1
        Share of a batch in the running statistics, in (0, 1].
    epsilon : float, default=1e-5
        Added to the variance, > 0.

    References
    ----------
    .. [1] Ioffe & Szegedy, "Batch normalization: accelerating deep network training by reducing
       internal covariate shift", 2015, algorithms 1 and 2. arXiv:1502.03167
    """

    momentum: float = 0.1
    epsilon: float = 1e-5

    @staticmethod
    def spec(layer):
        return NormalisedBatch()

    @staticmethod
    def sizes(layer, shape):
        channels = shape[-1]
        return Sizes(
            shape,
            free=np.concatenate([np.ones(channels), np.zeros(channels)]),
            running=np.concatenate([np.zeros(channels), np.ones(channels)]),
            notes=flat_size(shape) + channels,
            table={CHANNELS: channels},
            numbers=(layer.epsilon, layer.momentum),
        )


class NormalisedBatch(NamedTuple):
    """The spec of ``BatchNorm``.

    Notes: the normalised numbers, and in the first row 1 / scale of each channel; while training
    is off, that of the running statistics.
    """

    @staticmethod
    def forward(layer, at, own, x, out, notes, now):
        channels = at[CHANNELS]
        n = x.shape[1]
        for c in range(channels):
            mean, variance = own.running[c], own.running[channels + c]
            if now.is_training:
                mean, variance = _moments_of_channel(x, c, channels)
                _follow(own.running, c, channels, mean, variance, x.size // channels, now)
            inverse = 1.0 / math.sqrt(variance + now.numbers[0])
            notes[0, n + c] = inverse
            for i in range(x.shape[0]):
                for j in range(c, n, channels):
                    normal = (x[i, j] - mean) * inverse
                    notes[i, j] = normal
                    out[i, j] = own.free[c] * normal + own.free[channels + c]

    @staticmethod
    def backward(layer, at, own, slopes, tape, delta, before):
        channels = at[CHANNELS]
        n = delta.shape[1]
        _by_gain_and_offset(channels, tape.notes, delta, slopes.free)
        count = delta.size // channels
        for c in range(channels):
            factor = own.free[c] * tape.notes[0, n + c]
            total, along = 0.0, 0.0
            if tape.now.is_training:
                along = slopes.free[c] / count
                total = slopes.free[channels + c] / count
            for i in range(before.shape[0]):
                for j in range(c, n, channels):
                    before[i, j] = factor * (delta[i, j] - total - along * tape.notes[i, j])


@helper()
def _moments_of_channel(x, c, channels):
    """Return a channel's mean and variance over all rows and positions."""
    mean, squares, count = 0.0, 0.0, x.size // channels
    for i in range(x.shape[0]):
        for j in range(c, x.shape[1], channels):
            mean += x[i, j]
    mean /= count
    for i in range(x.shape[0]):
        for j in range(c, x.shape[1], channels):
            squares += (x[i, j] - mean) ** 2
    return mean, squares / count


@helper()
def _follow(running, c, channels, mean, variance, count, now):
    """Let the running statistics follow a batch's."""
    share = now.numbers[1]
    unbiased = variance * count / max(count - 1, 1)
    running[c] += share * (mean - running[c])
    running[channels + c] += share * (unbiased - running[channels + c])
