"""Drivers of layers: what lies between the products of a network.

Activations, normalised positions and random numbers are the processor's functions; a thread takes a
number, or a position of a row. Sums over rows are written as lines, and added in their order. No
sum is written to from two places: where windows overlap, each input adds up what they say of it.
"""

import math

import numpy as np

from fastgd.kernels import activations
from fastgd.kernels.cuda._compiler import GROUPS, LANES, cuda, driver, part
from fastgd.kernels.cuda.passes import meet, meet_row, row_at
from fastgd.kernels.layers._dropout import SHIFT_11
from fastgd.kernels.layers._normalise import _normalise_position, _position_back
from fastgd.kernels.layers._pool import _window
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
)
from fastgd.kernels.network import OWN_STREAM
from fastgd.kernels.sampling import GAMMA, mix

PLAIN, PRODUCT, SQUARES = range(3)  # what ``column_lines`` adds up


@driver
def gather(values, span, out):
    """Write the rows of a batch side by side, (size, n_features)."""
    n_features = values.shape[1]
    for number in range(cuda.grid(1), out.shape[0] * n_features, cuda.gridsize(1)):
        o, j = number // n_features, number % n_features
        out[o, j] = values[row_at(span.order, span.start + o), j]


@driver
def slopes_apart(rows, given, span, outputs, out):
    """Replace raw outputs of a batch by slopes, where they do not share a loss.

    Parameters
    ----------
    rows : Dense or CSR
    given : steps.Batch
    span : Span of the batch
    outputs : (size, n_outputs), changed in place
    out : passes.Out, to whose losses each thread adds
    """
    for o in range(cuda.grid(1), outputs.shape[0], cuda.gridsize(1)):
        i = row_at(span.order, span.start + o)
        for k in range(outputs.shape[1]):
            outputs[o, k] = meet(given, rows, i, k, outputs[o, k], out, cuda.grid(1))


@driver
def slopes_shared(given, span, outputs, out):
    """Do so where outputs share a loss."""
    for o in range(cuda.grid(1), outputs.shape[0], cuda.gridsize(1)):
        meet_row(given, row_at(span.order, span.start + o), outputs[o], out, cuda.grid(1))


# -- units -----------------------------------------------------------------------------------------


@driver
def activate(activation, bias, out, sums):
    """Add biases, keep the sums if there is room, and write what the units put out.

    Parameters
    ----------
    activation : activation
    bias : (units,), or (0,) for none
    out : (rows, units)
    sums : (rows, units), or (rows, 0)
    """
    n_units = out.shape[1]
    for number in range(cuda.grid(1), out.shape[0] * n_units, cuda.gridsize(1)):
        i, j = number // n_units, number % n_units
        z = out[i, j] + bias[j] if bias.shape[0] > 0 else out[i, j]
        if sums.shape[1] > 0:
            sums[i, j] = z
        out[i, j] = activations.value(activation, z)


@driver
def deactivate(activation, z, out, delta):
    """Multiply derivatives by those of the activation, at the sums or by the outputs."""
    n_units = out.shape[1]
    for number in range(cuda.grid(1), out.shape[0] * n_units, cuda.gridsize(1)):
        i, j = number // n_units, number % n_units
        delta[i, j] *= activations.gradient(activation, z[i, j], out[i, j])


@driver
def column_lines(kind, values, others, center, per_block, partial):
    """Write lines whose sums are, of each channel, over rows and positions:

    of ``values`` (PLAIN), of their products with ``others``, or of the squares of what lies beyond
    ``center``.

    Parameters
    ----------
    kind : int
    values, others : (rows, positions * n_channels); rows of ``others`` may be longer
    center : (n_channels,)
    per_block : int, rows times positions that a block takes
    partial : (n_blocks * GROUPS, n_channels), float64
    """
    lane, group = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    n_channels = partial.shape[1]
    positions = values.shape[1] // n_channels
    first = cuda.blockIdx.x * per_block
    beyond = min(first + per_block, values.shape[0] * positions)
    for c in range(lane, n_channels, LANES):
        total = 0.0
        for number in range(first + group, beyond, GROUPS):
            i, j = number // positions, number % positions * n_channels + c
            v = values[i, j]
            if kind == PRODUCT:
                v *= others[i, j]
            elif kind == SQUARES:
                v = (v - center[c]) * (v - center[c])
            total += v
        partial[cuda.blockIdx.x * GROUPS + group, c] = total


# -- layers that only rewrite ----------------------------------------------------------------------


@driver
def copy(values, out):
    """Write an array into another one."""
    for c in range(cuda.grid(1), values.shape[0], cuda.gridsize(1)):
        out[c] = values[c]


@part
def _key_of_layer(seed, step, layer):
    """Return what names a layer's random numbers of a step: as ``network._now``."""
    of_step = mix(mix((seed ^ OWN_STREAM) + GAMMA) + np.uint64(step) * GAMMA)
    return mix(of_step + np.uint64(layer + 1) * GAMMA)


@driver
def draw(seed, step, layer, threshold, grown, x, notes, out):
    """Drop numbers at random: those whose 53 bits are below ``threshold``; see ``Dropout``.

    Parameters
    ----------
    seed, threshold : uint64
    step, layer : int, their numbers
    grown : float, what the others are multiplied by
    """
    own = _key_of_layer(seed, step, layer)
    for number in range(cuda.grid(1), x.shape[0], cuda.gridsize(1)):
        bits = mix(own + np.uint64(number) * GAMMA) >> SHIFT_11
        notes[number] = grown if bits >= threshold else 0.0
        out[number] = x[number] * notes[number]


@driver
def multiply_each(values, others, out):
    """Write the products of two arrays' numbers."""
    for c in range(cuda.grid(1), values.shape[0], cuda.gridsize(1)):
        out[c] = values[c] * others[c]


@driver
def look_up(x, weights, out):
    """Write the vectors of whole numbers, side by side."""
    units, n_columns = weights.shape[1], x.shape[1]
    for number in range(cuda.grid(1), x.shape[0] * n_columns * units, cuda.gridsize(1)):
        i, rest = number // (n_columns * units), number % (n_columns * units)
        out[i, rest] = weights[np.int64(x[i, rest // units]), rest % units]


# -- normalisation ---------------------------------------------------------------------------------


@driver
def normalise_rows(free, epsilon, x, notes, out):
    """Normalise the channels of each position of each row."""
    positions = x.shape[1] // (free.shape[0] // 2)
    for number in range(cuda.grid(1), x.shape[0] * positions, cuda.gridsize(1)):
        i, p = number // positions, number % positions
        _normalise_position(free, x[i], notes[i], out[i], p, epsilon)


@driver
def rows_back(free, notes, delta, before):
    """Write the derivatives by the inputs of ``normalise_rows``."""
    positions = delta.shape[1] // (free.shape[0] // 2)
    for number in range(cuda.grid(1), delta.shape[0] * positions, cuda.gridsize(1)):
        i, p = number // positions, number % positions
        _position_back(free, notes[i], delta[i], before[i], p)


@driver
def divide(sums, count, out):
    """Write sums divided by a number."""
    for c in range(cuda.grid(1), out.shape[0], cuda.gridsize(1)):
        out[c] = sums[c] / np.float64(count)


@driver
def follow(running, mean, variance, share, unbiased):
    """Let running statistics follow a batch's; variances are multiplied by ``unbiased``."""
    channels = mean.shape[0]
    for c in range(cuda.grid(1), channels, cuda.gridsize(1)):
        running[c] += share * (mean[c] - running[c])
        running[channels + c] += share * (variance[c] * unbiased - running[channels + c])


@driver
def normalise_batch(moments, free, epsilon, x, notes, out):
    """Normalise each channel by its mean and variance.

    Parameters
    ----------
    moments : (2 n_channels,), means and variances
    free : (2 n_channels,), gain and offset
    epsilon : float
    x, out : (rows, positions * n_channels)
    notes : (rows, N_NOTES); the first row keeps 1 / scale of each channel behind the numbers
    """
    channels, n = free.shape[0] // 2, x.shape[1]
    for number in range(cuda.grid(1), x.shape[0] * n, cuda.gridsize(1)):
        i, j = number // n, number % n
        c = j % channels
        inverse = 1.0 / math.sqrt(moments[channels + c] + epsilon)
        if number < channels:
            notes[0, n + c] = inverse
        normal = (x[i, j] - moments[c]) * inverse
        notes[i, j] = normal
        out[i, j] = free[c] * normal + free[channels + c]


@driver
def batch_back(free, slopes, share, notes, delta, before):
    """Write the derivatives by the inputs of ``normalise_batch``.

    Parameters
    ----------
    slopes : (2 n_channels,), the derivatives by gain and offset
    share : float, 1 / (rows * positions); 0 where running statistics were used
    """
    channels, n = free.shape[0] // 2, delta.shape[1]
    for number in range(cuda.grid(1), delta.shape[0] * n, cuda.gridsize(1)):
        i, j = number // n, number % n
        c = j % channels
        along, total = slopes[c] * share, slopes[channels + c] * share
        factor = free[c] * notes[0, n + c]
        before[i, j] = factor * (delta[i, j] - total - along * notes[i, j])


# -- windows ---------------------------------------------------------------------------------------


@part
def _place(at, number):
    """Return the image, row, column and channel of an input."""
    channels = at[CHANNELS]
    c, rest = number % channels, number // channels
    z, rest = rest % at[WIDTH], rest // at[WIDTH]
    return rest // at[HEIGHT], rest % at[HEIGHT], z, c


@part
def _windows_over(place, pad, stride, length, count):
    """Return the first window that covers a row or column, and the one beyond the last."""
    shifted = place + pad
    first = max((shifted - length + stride) // stride, 0)
    return first, min(shifted // stride + 1, count)


@driver
def lay_out(at, first, images, patches):
    """Write the windows of some images at all positions, zeros beyond the edges.

    Parameters
    ----------
    at : (N_COLUMNS,), the layer's row of the table
    first : int, of the images
    images : (rows, height * width * channels)
    patches : (n_images * positions, window * channels)
    """
    n_patch, channels = patches.shape[1], at[CHANNELS]
    run = at[WINDOW_WIDTH] * channels
    for number in range(cuda.grid(1), patches.shape[0] * n_patch, cuda.gridsize(1)):
        row, entry = number // n_patch, number % n_patch
        q, rest = row % at[NEW_WIDTH], row // at[NEW_WIDTH]
        p, i = rest % at[NEW_HEIGHT], rest // at[NEW_HEIGHT]
        y = p * at[STRIDE_HEIGHT] - at[PAD_TOP] + entry // run
        z = q * at[STRIDE_WIDTH] - at[PAD_LEFT] + entry % run // channels
        inside = 0 <= y < at[HEIGHT] and 0 <= z < at[WIDTH]
        place = (y * at[WIDTH] + z) * channels + entry % channels
        patches[row, entry] = images[first + i, place] if inside else 0.0


@driver
def take_back(at, first, count, patches, images):
    """Write what the windows at all positions say of each input of some images.

    Parameters are those of ``lay_out``; count : int, of images.
    """
    channels, n_windows = at[CHANNELS], at[NEW_HEIGHT] * at[NEW_WIDTH]
    n = at[HEIGHT] * at[WIDTH] * channels
    for number in range(cuda.grid(1), count * n, cuda.gridsize(1)):
        i, y, z, c = _place(at, number)
        top, bottom = _windows_over(
            y, at[PAD_TOP], at[STRIDE_HEIGHT], at[WINDOW_HEIGHT], at[NEW_HEIGHT]
        )
        left, right = _windows_over(
            z, at[PAD_LEFT], at[STRIDE_WIDTH], at[WINDOW_WIDTH], at[NEW_WIDTH]
        )
        total = 0.0
        for p in range(top, bottom):
            u = y - p * at[STRIDE_HEIGHT] + at[PAD_TOP]
            for q in range(left, right):
                v = z - q * at[STRIDE_WIDTH] + at[PAD_LEFT]
                row = i * n_windows + p * at[NEW_WIDTH] + q
                total += patches[row, (u * at[WINDOW_WIDTH] + v) * channels + c]
        images[first + i, number % n] = total


@driver
def largest(at, x, notes, out):
    """Write the largest number of each window, and its place."""
    channels, n = at[CHANNELS], out.shape[1]
    for number in range(cuda.grid(1), out.shape[0] * n, cuda.gridsize(1)):
        i, k = number // n, number % n
        c, position = k % channels, k // channels
        top, bottom, left, right = _window(at, position // at[NEW_WIDTH], position % at[NEW_WIDTH])
        where = (top * at[WIDTH] + left) * channels + c
        for y in range(top, bottom):
            for z in range(left, right):
                here = (y * at[WIDTH] + z) * channels + c
                if x[i, here] > x[i, where]:
                    where = here
        notes[i, k] = where
        out[i, k] = x[i, where]


@driver
def mean(at, x, out):
    """Write the mean of each window."""
    channels, n = at[CHANNELS], out.shape[1]
    for number in range(cuda.grid(1), out.shape[0] * n, cuda.gridsize(1)):
        i, k = number // n, number % n
        position, total = k // channels, 0.0
        top, bottom, left, right = _window(at, position // at[NEW_WIDTH], position % at[NEW_WIDTH])
        for y in range(top, bottom):
            for z in range(left, right):
                total += x[i, (y * at[WIDTH] + z) * channels + k % channels]
        out[i, k] = total / np.float64((bottom - top) * (right - left))


@driver
def pool_back(at, is_mean, notes, delta, before):
    """Write the derivatives by the inputs of ``largest`` or ``mean``.

    Parameters
    ----------
    is_mean : bool
    notes : (rows, N_NOTES), of ``largest``
    """
    channels, n = at[CHANNELS], before.shape[1]
    for number in range(cuda.grid(1), before.shape[0] * n, cuda.gridsize(1)):
        i, y, z, c = _place(at, number)
        rows = _windows_over(y, at[PAD_TOP], at[STRIDE_HEIGHT], at[WINDOW_HEIGHT], at[NEW_HEIGHT])
        columns = _windows_over(z, at[PAD_LEFT], at[STRIDE_WIDTH], at[WINDOW_WIDTH], at[NEW_WIDTH])
        total = 0.0
        for p in range(rows[0], rows[1]):
            for q in range(columns[0], columns[1]):
                k = (p * at[NEW_WIDTH] + q) * channels + c
                if is_mean:
                    top, bottom, left, right = _window(at, p, q)
                    total += delta[i, k] / np.float64((bottom - top) * (right - left))
                elif np.int64(notes[i, k]) == number % n:
                    total += delta[i, k]
        before[i, number % n] = total
