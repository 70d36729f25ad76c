"""Stochastic rounding to a few levels: unbiased."""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels import packing
from fastgd.kernels._jit import helper
from fastgd.kernels.sampling import GAMMA, SHIFT_32, mix


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
    """Round (g / scale + 1) half stochastically, to one of its two neighbours in 0 ... 2 half.

    The probability of the upper one is the distance from the lower one, so the mean is exact.
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

    With one bit there are two levels, -scale and scale. Unbiased, without error feedback. ``bits``
    counts the sign; a bucket costs one more number.

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

    Unbiased, without error feedback. Five entries fill a byte, 1.6 bits each. (The paper also clips
    at 2.5 standard deviations, which is not unbiased: ``clip_value`` is there for that.)

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
