"""Transforms: what happens to a batch's gradient before the optimizer is handed it.

``Transform(clip, quantize)`` first clips, then quantizes; either part may be ``Identity``. Both
see the gradient with the intercept's entry in it, last. A rule whose transform is ``Identity``
compiles to what it would be if there were no transforms.

Clipping is by value, then by norm:

    g_j <- min(max(g_j, -value), value);    g <- g min(1, norm / |g|_2)

On sparse rows only the columns of the batch are looked at: the others have no gradient. The norm is
that of one problem: of all outputs together where they share a loss (softmax), of each output by
itself where they share nothing (one-vs-rest, multi-task).

A quantizer replaces the gradient by one that is written in fewer bits. It takes all trained
parameters, in the order of the flat array, as one vector: every step is dense work, on sparse rows
as well. It is a ``NamedTuple`` with static methods

``compress(quantizer, gradient, key)``
    Replace the gradient by what is sent of it, in place.
``pack(quantizer, gradient, key, numbers, packed)``
    Write what is sent: some numbers of the gradient's dtype, and bytes that start as zeros.
``unpack(quantizer, numbers, packed, gradient)``
    Read what was sent into ``gradient``; return False for bytes that ``pack`` never writes.
``header(quantizer, size)``
    Plain Python: what the payload's header tells of it, (format, width, count).
``layout(quantizer, size)``
    Plain Python: how many numbers and how many bytes ``pack`` writes.

``compress`` is unbiased, E[sent] = g, or else ``feeds_back``: what was not sent is kept in a memory
e and added to the next gradient,

    p = g + e;    sent = compress(p);    e <- p - sent

so that the sum of all that was sent is the sum of the gradients up to the last memory.

Random numbers are functions of (seed, number of the step, coordinate): spans, calls and layouts of
X cannot be seen in them. ``pack``, ``unpack`` and ``compress`` are separately compiled and must
agree in every bit, so the arithmetic that they share stands in helpers without fastmath.

The payload
-----------
``encode`` writes, all little-endian::

    0   uint8    format: 1 qsgd, 2 terngrad, 3 sign, 4 topk
    1   uint8    bytes of a number: 4 or 8 (float32, float64)
    2   uint8    width: bits of an entry; 0 where the format has one width
    3   uint8    version of this layout, 1
    4   uint64   size of the gradient
    12  uint32   count: entries of a bucket (qsgd), entries sent (topk), else 0
    16  numbers  scales; or the values sent (topk)
    ..  bytes    codes of the entries; or their positions as uint32, ascending (topk)
"""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels import packing
from fastgd.kernels._hook import cast, hook
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.frames import at, column, lanes
from fastgd.kernels.rows import entries, entry
from fastgd.kernels.sampling import GAMMA, SHIFT_32, mix

OWN_STREAM = np.uint64(0xD1342543DE82EF95)  # the same seed orders the rows, by other numbers
TINY = 2.0**-600  # squares of doubles times this do not overflow
HEADER_BYTES, VERSION = 16, 1
LONGEST = 2**31 - 1  # positions are int32


@hook
def transform(tag, frame, rule, gradient, residual, total, n_touched, seed, step):
    """Transform the gradient of one output in place.

    Parameters
    ----------
    gradient : (d + 1,), its last entry zero, before and after
    residual : as ``gradient``, the quantizer's memory; empty where it has none
    total : float, the intercept's gradient
    n_touched : int, columns whose gradient may differ from zero; ``frames.column`` tells which

    Returns
    -------
    total : float
    clipped : int, 1 if clipping changed something
    """
    return type(tag).transform(tag, frame, rule, gradient, residual, total, n_touched, seed, step)


@hook
def transform_multi(tag, frame, rule, gradient, residual, totals, clipped, n_touched, seed, step):
    """As ``transform``, for the flat gradient of many outputs.

    ``totals``, the intercepts' gradients, are changed in place; to ``clipped`` one is added for
    each problem that was clipped, in the place of its first output.
    """
    return type(tag).transform_multi(
        tag, frame, rule, gradient, residual, totals, clipped, n_touched, seed, step
    )


@hook
def clip_row(tag, rows, i, delta, fit_intercept):
    """Return what the gradient of one row is to be scaled by, and 1 if clipping changes it.

    Its entries are delta x_j, and delta for the intercept; ``clipped_entry`` makes use of it.
    """
    return type(tag).clip_row(tag, rows, i, delta, fit_intercept)


@hook
def clipped_entry(tag, g, factor):
    """Return an entry of a row's clipped gradient, ``factor`` from ``clip_row``."""
    return type(tag).clipped_entry(tag, g, factor)


@hook
def clip(tag, frame, rule, gradient, n_touched, first, width):
    """Clip the gradient of ``width`` outputs from ``first`` on; return 1 if that changed it."""
    return type(tag).clip(tag, frame, rule, gradient, n_touched, first, width)


@hook
def compress(quantizer, gradient, key):
    """Replace a gradient by what is sent of it, in place."""
    return type(quantizer).compress(quantizer, gradient, key)


@hook
def pack(quantizer, gradient, key, numbers, packed):
    """Write what is sent of a gradient."""
    return type(quantizer).pack(quantizer, gradient, key, numbers, packed)


@hook
def unpack(quantizer, numbers, packed, gradient):
    """Read what was sent; return False for bytes that ``pack`` never writes."""
    return type(quantizer).unpack(quantizer, numbers, packed, gradient)


@helper()
def key_of(seed, step):
    """Return what names the random numbers of a step."""
    stream = mix((np.uint64(seed) ^ OWN_STREAM) + GAMMA)
    return mix(stream + np.uint64(step) * GAMMA)


class Identity(NamedTuple):
    """No transform; also no clipping, or no quantizer, of a ``Transform``."""

    feeds_back = False

    @staticmethod
    def transform(tag, frame, rule, gradient, residual, total, n_touched, seed, step):
        return total, 0

    @staticmethod
    def transform_multi(
        tag, frame, rule, gradient, residual, totals, clipped, n_touched, seed, step
    ):
        pass

    @staticmethod
    def clip_row(tag, rows, i, delta, fit_intercept):
        return delta, 0

    @staticmethod
    def clipped_entry(tag, g, factor):
        return g

    @staticmethod
    def clip(tag, frame, rule, gradient, n_touched, first, width):
        return 0

    @staticmethod
    def compress(quantizer, gradient, key):
        pass


class Transform(NamedTuple):
    """Clipping, then quantization.

    clip : Clip or Identity
    quantize : a quantizer or Identity
    is_shared : bool, whether all outputs are one problem with one norm; the trainer says it
    """

    clip: NamedTuple
    quantize: NamedTuple
    is_shared: bool = True

    @staticmethod
    def transform(tag, frame, rule, gradient, residual, total, n_touched, seed, step):
        last = gradient.shape[0] - 1
        if rule.fit_intercept:
            gradient[last] = total
        clipped = clip(tag.clip, frame, rule, gradient, n_touched, 0, 1)
        _send(tag.quantize, gradient, residual, _n_trained(rule, gradient), key_of(seed, step))
        transformed = np.float64(gradient[last])
        gradient[last] = 0
        return transformed, clipped

    @staticmethod
    def transform_multi(
        tag, frame, rule, gradient, residual, totals, clipped, n_touched, seed, step
    ):
        n_outputs, first_of_last = lanes(rule), gradient.shape[0] - lanes(rule)
        if rule.fit_intercept:
            for k in range(n_outputs):
                gradient[first_of_last + k] = totals[k]
        width = n_outputs if tag.is_shared else 1
        for first in range(0, n_outputs, width):
            clipped[first] += clip(tag.clip, frame, rule, gradient, n_touched, first, width)
        _send(tag.quantize, gradient, residual, _n_trained(rule, gradient), key_of(seed, step))
        for k in range(n_outputs):
            totals[k] = gradient[first_of_last + k]
            gradient[first_of_last + k] = 0

    @staticmethod
    def clip_row(tag, rows, i, delta, fit_intercept):
        return clip_row(tag.clip, rows, i, delta, fit_intercept)

    @staticmethod
    def clipped_entry(tag, g, factor):
        return clipped_entry(tag.clip, g, factor)


@helper(fastmath=False)
def _send(quantizer, gradient, residual, size, key):
    """Replace the first ``size`` entries by what is sent of them; keep the rest in memory."""
    sent = gradient[:size]
    if residual.shape[0] == 0:
        compress(quantizer, sent, key)
        return
    for c in range(size):
        sent[c] += residual[c]
        residual[c] = sent[c]
    compress(quantizer, sent, key)
    for c in range(size):
        residual[c] -= sent[c]


@helper()
def _n_trained(rule, gradient):
    """Return how many parameters are trained: all, or all but the intercepts, which are last."""
    return gradient.shape[0] - (0 if rule.fit_intercept else lanes(rule))


# -- clipping --------------------------------------------------------------------------------


class Clip(NamedTuple):
    """Clip by value, then by norm: g_j to [-value, value], then g to a length of ``norm``.

    Parameters
    ----------
    norm : float, default=inf
        The longest that a gradient may be, > 0.
    value : float, default=inf
        The largest that an entry may be, > 0.

    References
    ----------
    .. [1] Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks",
       2013, Algorithm 1. arXiv:1211.5063
    """

    norm: float = math.inf
    value: float = math.inf

    @staticmethod
    def clip(tag, frame, rule, gradient, n_touched, first, width):
        limited, shortened = 0, 0
        if tag.value < np.inf:
            limited = _limit(tag.value, frame, rule, gradient, n_touched, first, width)
        if tag.norm < np.inf:
            shortened = _shorten(tag.norm, frame, rule, gradient, n_touched, first, width)
        return limited | shortened

    @staticmethod
    def clip_row(tag, rows, i, delta, fit_intercept):
        return _clip_row(tag.norm, tag.value, rows, i, delta, fit_intercept)

    @staticmethod
    def clipped_entry(tag, g, factor):
        return _limited(g, tag.value) * factor


@helper()
def _clip_row(norm, value, rows, i, delta, fit_intercept):
    """Find the factor of a row's gradient from one look at the row; no gradient is written."""
    unit = 1.0
    squares, n_changed = _squares_of_row(unit, value, rows, i, delta, fit_intercept)
    if squares == np.inf:
        unit = TINY
        squares, n_changed = _squares_of_row(unit, value, rows, i, delta, fit_intercept)
    if not squares > (norm * unit) ** 2:
        return cast(1.0, delta), min(n_changed, 1)
    return cast(norm * unit / math.sqrt(squares), delta), 1


@helper()
def _squares_of_row(unit, value, rows, i, delta, fit_intercept):
    """Return the sum of (unit g_j)^2 after clipping by value, and how many entries that changed."""
    begin, end = entries(rows, i)
    total, n_changed = 0.0, 0
    for k in range(begin, end):
        _, x = entry(rows, i, k)
        g = unit * np.float64(_limited(delta * x, value))
        total += g * g
        n_changed += 1 if abs(delta * x) > value else 0
    if fit_intercept:
        g = unit * np.float64(_limited(delta, value))
        total += g * g
        n_changed += 1 if abs(delta) > value else 0
    return total, n_changed


@helper()
def _limited(g, bound):
    """Return g clipped to +-bound; by comparisons, so that NaN stays and a divergence shows."""
    return bound if g > bound else (-bound if g < -bound else g)


@helper()
def _limit(bound, frame, rule, gradient, n_touched, first, width):
    """Clip each entry; return 1 if one changed."""
    n_changed = _limit_column(bound, gradient, _last(gradient, rule), lanes(rule), first, width)
    for i in range(n_touched):
        n_changed += _limit_column(bound, gradient, column(frame, i), lanes(rule), first, width)
    return min(n_changed, 1)


@helper()
def _limit_column(bound, gradient, j, n_lanes, first, width):
    n_changed = 0
    for lane in range(first, first + width):
        g = gradient[at(j, n_lanes, lane)]
        gradient[at(j, n_lanes, lane)] = _limited(g, bound)
        n_changed += 1 if abs(g) > bound else 0
    return n_changed


@helper()
def _shorten(bound, frame, rule, gradient, n_touched, first, width):
    """Scale the gradient to a norm of ``bound`` if its norm is larger; return 1 if it was."""
    unit, last = 1.0, _last(gradient, rule)
    squares = _squares(unit, frame, rule, gradient, n_touched, first, width)
    if squares == np.inf:
        unit = TINY
        squares = _squares(unit, frame, rule, gradient, n_touched, first, width)
    if not squares > (bound * unit) ** 2:
        return 0
    factor = gradient.dtype.type(bound * unit / math.sqrt(squares))
    _scale_column(factor, gradient, last, lanes(rule), first, width)
    for i in range(n_touched):
        _scale_column(factor, gradient, column(frame, i), lanes(rule), first, width)
    return 1


@helper()
def _squares(unit, frame, rule, gradient, n_touched, first, width):
    """Return the sum of (unit g_j)^2."""
    total = _squares_of_column(unit, gradient, _last(gradient, rule), lanes(rule), first, width)
    for i in range(n_touched):
        j = column(frame, i)
        total += _squares_of_column(unit, gradient, j, lanes(rule), first, width)
    return total


@helper()
def _squares_of_column(unit, gradient, j, n_lanes, first, width):
    total = 0.0
    for lane in range(first, first + width):
        g = unit * np.float64(gradient[at(j, n_lanes, lane)])
        total += g * g
    return total


@helper()
def _scale_column(factor, gradient, j, n_lanes, first, width):
    for lane in range(first, first + width):
        gradient[at(j, n_lanes, lane)] *= factor


@helper()
def _last(gradient, rule):
    """Return the column of the intercepts."""
    return gradient.shape[0] // lanes(rule) - 1


# -- quantization ----------------------------------------------------------------------------


@helper(fastmath=False)
def _noise(key, c):
    """Return coordinate c's number in [0, 1), a multiple of 2^-32."""
    return np.float64(mix(key + np.uint64(c) * GAMMA) >> SHIFT_32) * 2.0**-32


@helper(fastmath=False)
def _largest(values, begin, end):
    """Return max |v| of a range; NaN where one of them is not finite."""
    largest, poison = 0.0, 0.0
    for c in range(begin, end):
        v = np.float64(values[c])
        poison += v - v
        largest = max(largest, abs(v))
    return largest + poison


@helper(fastmath=False)
def _level(g, scale, half, noise):
    """Round (g / scale + 1) half to one of its two neighbours in 0 ... 2 half, by chance.

    The chance of the upper one is the distance from the lower one, so the mean is exact.
    """
    rounded = math.floor(np.float64(g) / (scale if scale > 0.0 else 1.0) * half + half + noise)
    # NaN, too, must become some level: it is the scale that tells of it
    return np.int64(min(rounded, 2.0 * half)) if rounded > 0.0 else np.int64(0)


@helper(fastmath=False)
def _of_level(level, scale, half):
    """Return the value that a level stands for."""
    return scale * ((level - half) / half)


@helper(fastmath=False)
def _half(bits):
    """Return half the number of steps between -scale and scale: zero is a level but for 1 bit."""
    return 0.5 if bits == 1 else np.float64((1 << (bits - 1)) - 1)


class Qsgd(NamedTuple):
    """Stochastic rounding to levels that are evenly spaced between -scale and scale.

    s = 2^(bits - 1) - 1 levels of either sign and zero; scale = max |g_j| of each ``bucket`` of
    neighbours in the flat array:

        sent_j = scale l / s,  l = floor(s g_j / scale + u_j),  u_j uniform in [0, 1)

    With one bit there are two levels, -scale and scale. Unbiased, without memory. ``bits`` counts
    the sign; a bucket costs one more number.

    Parameters
    ----------
    bits : int, default=4
        Of an entry, with its sign: 1 to 8.
    bucket : int, default=512
        Entries that share a scale.

    Notes
    -----
    Buckets, and the largest entry as the scale in place of the 2-norm, are what the paper's
    experiments use. A larger bucket costs fewer scales and more variance.

    References
    ----------
    .. [1] Alistarh, Grubic, Li, Tomioka & Vojnovic, "QSGD: Communication-Efficient SGD via
       Gradient Quantization and Encoding", 2017, section 3.1. arXiv:1610.02132
    """

    bits: int = 4
    bucket: int = 512

    feeds_back = False

    @staticmethod
    def header(quantizer, size):
        return 1, quantizer.bits, quantizer.bucket

    @staticmethod
    def layout(quantizer, size):
        return -(-size // quantizer.bucket), packing.bytes_for(size, quantizer.bits)

    @staticmethod
    def compress(quantizer, gradient, key):
        half = _half(quantizer.bits)
        for begin in range(0, gradient.shape[0], quantizer.bucket):
            end = min(begin + quantizer.bucket, gradient.shape[0])
            _round_range(gradient, key, _largest(gradient, begin, end), half, begin, end)

    @staticmethod
    def pack(quantizer, gradient, key, numbers, packed):
        half = _half(quantizer.bits)
        for b in range(numbers.shape[0]):
            begin = b * quantizer.bucket
            end = min(begin + quantizer.bucket, gradient.shape[0])
            scale = _largest(gradient, begin, end)
            numbers[b] = scale
            for c in range(begin, end):
                level = _level(gradient[c], scale, half, _noise(key, c))
                packing.put(packed, c, quantizer.bits, level)

    @staticmethod
    def unpack(quantizer, numbers, packed, gradient):
        half, highest = _half(quantizer.bits), 0
        for b in range(numbers.shape[0]):
            begin = b * quantizer.bucket
            scale = np.float64(numbers[b])
            for c in range(begin, min(begin + quantizer.bucket, gradient.shape[0])):
                level = packing.get(packed, c, quantizer.bits)
                highest = max(highest, level)
                gradient[c] = _of_level(level, scale, half)
        return highest <= 2.0 * half


@helper(fastmath=False)
def _round_range(gradient, key, scale, half, begin, end):
    """Round the entries of a range, in place."""
    for c in range(begin, end):
        level = _level(gradient[c], scale, half, _noise(key, c))
        gradient[c] = _of_level(level, scale, half)


class TernGrad(NamedTuple):
    """Stochastic rounding to -scale, 0 and scale, with the largest entry of all as the scale.

        sent_j = scale sign(g_j) b_j,  P(b_j = 1) = |g_j| / scale

    Unbiased, without memory. Five entries fill a byte, 1.6 bits each. (The paper also clips at 2.5
    standard deviations, which is not unbiased: ``clip_value`` is there for that.)

    References
    ----------
    .. [1] Wen, Xu, Yan, Wu, Wang, Chen & Li, "TernGrad: Ternary Gradients to Reduce Communication
       in Distributed Deep Learning", 2017, section 3. arXiv:1705.07878
    """

    feeds_back = False

    @staticmethod
    def header(quantizer, size):
        return 2, 0, 0

    @staticmethod
    def layout(quantizer, size):
        return 1, -(-size // 5)

    @staticmethod
    def compress(quantizer, gradient, key):
        size = gradient.shape[0]
        _round_range(gradient, key, _largest(gradient, 0, size), 1.0, 0, size)

    @staticmethod
    def pack(quantizer, gradient, key, numbers, packed):
        scale = _largest(gradient, 0, gradient.shape[0])
        numbers[0] = scale
        for byte in range(packed.shape[0]):
            code = np.int64(0)
            for c in range(min(5 * byte + 5, gradient.shape[0]) - 1, 5 * byte - 1, -1):
                code = 3 * code + _level(gradient[c], scale, 1.0, _noise(key, c))
            packed[byte] = np.uint8(code)

    @staticmethod
    def unpack(quantizer, numbers, packed, gradient):
        scale = np.float64(numbers[0])
        for byte in range(packed.shape[0]):
            code = np.int64(packed[byte])
            for c in range(5 * byte, min(5 * byte + 5, gradient.shape[0])):
                gradient[c] = _of_level(code % 3, scale, 1.0)
                code //= 3
            if code > 0:
                return False
        return True


class SignScale(NamedTuple):
    """The sign of each entry times the mean size of all, with error feedback.

        p = g + e;  sent_j = |p|_1 / size sign(p_j);  e <- p - sent,  sign(0) = 1

    Notes
    -----
    The memory is measured in gradients, as Seide et al. have it; Karimireddy et al. measure it in
    steps, which differs where the rate changes.

    References
    ----------
    .. [1] Seide, Fu, Droppo, Li & Yu, "1-Bit Stochastic Gradient Descent and its Application to
       Data-Parallel Distributed Training of Speech DNNs", 2014.
    .. [2] Karimireddy, Rebjock, Stich & Jaggi, "Error Feedback Fixes SignSGD and other Gradient
       Compression Schemes", 2019, Algorithm 1. arXiv:1901.09847
    """

    feeds_back = True

    @staticmethod
    def header(quantizer, size):
        return 3, 0, 0

    @staticmethod
    def layout(quantizer, size):
        return 1, packing.bytes_for(size, 1)

    @staticmethod
    def compress(quantizer, gradient, key):
        scale = gradient.dtype.type(_mean_size(gradient))
        for c in range(gradient.shape[0]):
            gradient[c] = -scale if gradient[c] < 0 else scale

    @staticmethod
    def pack(quantizer, gradient, key, numbers, packed):
        numbers[0] = gradient.dtype.type(_mean_size(gradient))
        for c in range(gradient.shape[0]):
            packing.put(packed, c, 1, np.int64(gradient[c] < 0))

    @staticmethod
    def unpack(quantizer, numbers, packed, gradient):
        for c in range(gradient.shape[0]):
            gradient[c] = -numbers[0] if packing.get(packed, c, 1) == 1 else numbers[0]
        return True


@helper(fastmath=False)
def _mean_size(values):
    """Return the mean of |v|; zero of nothing."""
    total = 0.0
    for c in range(values.shape[0]):
        total += abs(np.float64(values[c]))
    return total / max(values.shape[0], 1)


class TopK(NamedTuple):
    """The entries that are largest in size, with error feedback.

        p = g + e;  sent_j = p_j for the k largest |p_j|, else 0;  e <- p - sent

    k is ``fraction`` of all, rounded, and at least one; of equal entries the first are taken. It
    sends a position of four bytes with each value.

    Parameters
    ----------
    fraction : float, default=0.01
        Share of the entries that is sent, in (0, 1].

    References
    ----------
    .. [1] Aji & Heafield, "Sparse Communication for Distributed Gradient Descent", 2017,
       Algorithm 1. arXiv:1704.05021
    .. [2] Stich, Cordonnier & Jaggi, "Sparsified SGD with Memory", 2018, Algorithm 1.
       arXiv:1809.07599
    """

    fraction: float = 0.01

    feeds_back = True

    @staticmethod
    def header(quantizer, size):
        return 4, 0, _n_sent(quantizer.fraction, size)

    @staticmethod
    def layout(quantizer, size):
        n_sent = _n_sent(quantizer.fraction, size)
        return n_sent, 4 * n_sent

    @staticmethod
    def compress(quantizer, gradient, key):
        n_sent = _n_sent(quantizer.fraction, gradient.shape[0])
        threshold, ties = _threshold(gradient, n_sent)
        for c in range(gradient.shape[0]):
            size = _size(gradient[c])
            if size == threshold and ties > 0:
                ties -= 1
            elif size <= threshold:
                gradient[c] = 0

    @staticmethod
    def pack(quantizer, gradient, key, numbers, packed):
        threshold, ties = _threshold(gradient, numbers.shape[0])
        n_sent = 0
        for c in range(gradient.shape[0]):
            size = _size(gradient[c])
            if size > threshold or (size == threshold and ties > 0):
                ties -= 1 if size == threshold else 0
                numbers[n_sent] = gradient[c]
                packing.put_number(packed, n_sent, c)
                n_sent += 1

    @staticmethod
    def unpack(quantizer, numbers, packed, gradient):
        gradient[:] = 0
        previous = np.int64(-1)
        for i in range(numbers.shape[0]):
            c = packing.get_number(packed, i)
            if not previous < c < gradient.shape[0]:
                return False
            gradient[c] = numbers[i]
            previous = c
        return True


@helper()
def _n_sent(fraction, size):
    """Return how many of ``size`` entries are sent."""
    return min(max(int(fraction * size + 0.5), 1), size)


@helper()
def _size(v):
    """Return |v|, inf for NaN: what is not finite goes out first, and the training is refused."""
    size = abs(v)
    return size if size < np.inf else np.inf


@helper()
def _threshold(values, k):
    """Return the k-th largest |v|, and how many of those equal to it are among the k."""
    sizes = np.empty(values.shape[0])
    for c in range(values.shape[0]):
        sizes[c] = _size(values[c])
    if k == 0:
        return np.inf, 0
    threshold = np.partition(sizes, sizes.shape[0] - k)[sizes.shape[0] - k]
    n_above = 0
    for c in range(sizes.shape[0]):
        n_above += 1 if sizes[c] > threshold else 0
    return threshold, k - n_above


TRANSFORMS = {
    "qsgd": Qsgd(),
    "terngrad": TernGrad(),
    "sign": SignScale(),
    "topk": TopK(),
}


# -- payloads --------------------------------------------------------------------------------


def encode(quantizer, gradient, seed, step):
    """Return what is sent of a gradient, packed.

    Parameters
    ----------
    quantizer : one of ``TRANSFORMS``
    gradient : ndarray of shape (size,), float32 or float64; not changed. A quantizer that feeds
        back is handed the sum of gradient and memory.
    seed, step : int, which name the random numbers

    Returns
    -------
    payload : ndarray of uint8; the module's docstring has the layout
    """
    if gradient.ndim != 1 or gradient.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"a gradient is a vector of float32 or float64, got {gradient.ndim} dimensions of "
            f"{gradient.dtype}"
        )
    size, dtype = gradient.shape[0], gradient.dtype
    header = _header(quantizer, size, dtype)
    n_numbers, n_bytes = quantizer.layout(quantizer, size)
    numbers, packed = np.zeros(n_numbers, dtype), np.zeros(n_bytes, np.uint8)
    with np.errstate(over="ignore", invalid="ignore"):
        _pack(quantizer, np.ascontiguousarray(gradient), seed, step, numbers, packed)
    numbers = numbers.astype(dtype.newbyteorder("<"), copy=False).view(np.uint8)
    return np.concatenate([header, numbers, packed])


def decode(quantizer, payload, size, dtype):
    """Return the gradient that was sent: bit for bit what the quantizer makes of it in place.

    Parameters
    ----------
    quantizer : what it was encoded by
    payload : ndarray of uint8, or bytes
    size, dtype : of the gradient

    Raises
    ------
    ValueError
        If the payload was not written by this quantizer from such a gradient.
    """
    payload, dtype = np.frombuffer(payload, np.uint8), np.dtype(dtype)
    header = _header(quantizer, size, dtype)
    n_numbers, n_bytes = quantizer.layout(quantizer, size)
    end = HEADER_BYTES + n_numbers * dtype.itemsize
    if payload.shape[0] != end + n_bytes:
        raise ValueError(
            f"the payload of {quantizer} for {size} numbers of {dtype} has {end + n_bytes} bytes, "
            f"this one has {payload.shape[0]}"
        )
    if (payload[:HEADER_BYTES] != header).any():
        raise ValueError(
            f"the payload was not written by {quantizer} from {size} numbers of {dtype}: its "
            f"header is {payload[:HEADER_BYTES].tobytes().hex()}, not {header.tobytes().hex()}"
        )
    numbers = payload[HEADER_BYTES:end].view(dtype.newbyteorder("<")).astype(dtype)
    gradient = np.empty(size, dtype)
    if not _unpack(quantizer, numbers, np.array(payload[end:]), gradient):
        raise ValueError(f"the payload holds codes that {quantizer} never writes")
    return gradient


def _header(quantizer, size, dtype):
    """Return a payload's first bytes."""
    if dtype not in (np.float32, np.float64) or not 0 <= size <= LONGEST:
        raise ValueError(
            f"a gradient has up to {LONGEST} numbers of float32 or float64, got {size} of {dtype}"
        )
    kind, width, count = quantizer.header(quantizer, size)
    first = np.array([kind, dtype.itemsize, width, VERSION], np.uint8)
    sizes = np.array([size], "<u8").view(np.uint8), np.array([count], "<u4").view(np.uint8)
    return np.concatenate([first, *sizes])


@kernel()
def _pack(quantizer, gradient, seed, step, numbers, packed):
    pack(quantizer, gradient, key_of(seed, step), numbers, packed)


@kernel()
def _unpack(quantizer, numbers, packed, gradient):
    return unpack(quantizer, numbers, packed, gradient)


@kernel()
def quantize(quantizer, gradient, residual, seed, step):
    """Quantize a gradient in place, as a training's step does.

    Parameters
    ----------
    gradient : ndarray of shape (size,)
    residual : as ``gradient``, the memory of a quantizer that feeds back, changed in place; else
        of shape (0,)
    seed, step : int
    """
    _send(quantizer, gradient, residual, gradient.shape[0], key_of(seed, step))
