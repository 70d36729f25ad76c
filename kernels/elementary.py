"""exp, expm1 and log1p as plain arithmetic, so that a loop over samples becomes vector code.

A call into libm stops LLVM from vectorising the loop around it: ``math.exp`` costs 4.5 ns a
number, the polynomial below 0.65 ns, and two uses of ``exp(x)`` in one loop body are
merged into one because nothing hides them. All work in float64 whatever they are given.
They are entry points, because plain Python reaches them through the losses.
"""

import numpy as np
from numba import types

from fastgd.kernels._hook import implement
from fastgd.kernels._jit import helper, kernel

LOG2_HIGH = 0.693145751953125  # log 2 in two parts (Cody & Waite), so that k * LOG2_HIGH is exact
LOG2_LOW = 1.4286068203094172e-06
INVERSE_LOG2 = 1.4426950408889634
SMALLEST_EXPONENT = -708.0  # exp(-708) = 3e-308, the last normal number
LARGEST_EXPONENT = 709.0
INTEGER = 6755399441055744.0  # 1.5 * 2^52: x + INTEGER has x, rounded, in its lowest bits
INTEGER_SINGLE = np.float32(12582912.0)  # the same of float32: 1.5 * 2^23
LOG2_HIGH_SINGLE, LOG2_LOW_SINGLE = np.float32(0.693359375), np.float32(-2.12194440e-4)
INVERSE_LOG2_SINGLE, ONE_SINGLE = np.float32(INVERSE_LOG2), np.float32(1.0)
SMALLEST_SINGLE, LARGEST_SINGLE = np.float32(-87.0), np.float32(88.0)
HALF, SIXTH, OF_FOUR = np.float32(1.0 / 2.0), np.float32(1.0 / 6.0), np.float32(1.0 / 24.0)
OF_FIVE, OF_SIX, OF_SEVEN = (np.float32(1.0 / n) for n in (120.0, 720.0, 5040.0))
SQRT2 = 1.4142135623730951
LOG2 = 0.6931471805599453


@helper()
def _quotient(r):
    """Return (e**r - 1 - r) / r**2 for |r| <= 0.35, by its Taylor polynomial of degree 10.

    Estrin's scheme: the terms in pairs, so that a chain of 12 dependent operations becomes one of
    5 where a single number is what everything waits for.
    """
    s = r * r
    low = (1.0 / 2.0 + r * (1.0 / 6.0)) + s * (1.0 / 24.0 + r * (1.0 / 120.0))
    middle = (1.0 / 720.0 + r * (1.0 / 5040.0)) + s * (1.0 / 40320.0 + r * (1.0 / 362880.0))
    high = (1.0 / 3628800.0 + r * (1.0 / 39916800.0)) + s * (1.0 / 479001600.0)
    q = s * s
    return low + q * (middle + q * high)


@kernel(
    fastmath={"contract"}, forceinline=True
)  # to reassociate would merge the two parts of log 2
def exp(x):
    """Return e**x for x in [-708, 709] to 4e-16 relative; x is clipped to that interval.

    x = k log 2 + r with |r| <= log(2) / 2; e**r by its Taylor polynomial of degree 12 (the
    remainder is 2e-16), 2**k by writing k into the exponent's bits. k gets there by a shift of the
    bits of k + ``INTEGER``: without AVX-512 no vector instruction makes an integer of a float64.
    """
    x = min(max(np.float64(x), SMALLEST_EXPONENT), LARGEST_EXPONENT)
    shifted = np.float64(x * INVERSE_LOG2 + INTEGER)
    k = shifted - INTEGER
    r = (x - k * LOG2_HIGH) - k * LOG2_LOW
    power = np.int64((shifted.view(np.int64) << 52) + (1023 << 52)).view(np.float64)
    return power + power * (r + r * r * _quotient(r))


@kernel(forceinline=True)
def expm1(x):
    """Return e**x - 1 for x in [-708, 709] to 2e-15 relative, small x included."""
    x = np.float64(x)
    if abs(x) > 0.3:
        return exp(x) - 1.0
    return x + x * x * _quotient(x)


@helper(fastmath={"contract"})
def _expm1_in_single(x):
    """Return e**x - 1 for x in [-87, 88] to 3e-7 relative; x is clipped to that interval.

    As ``exp``, with a polynomial of degree 7; for |x| <= log(2) / 2 that is k = 0, and 2**k - 1
    adds nothing. In lines of float32 it takes an eighth of the time of float64.
    """
    x = min(max(x, SMALLEST_SINGLE), LARGEST_SINGLE)
    shifted = np.float32(x * INVERSE_LOG2_SINGLE + INTEGER_SINGLE)
    k = shifted - INTEGER_SINGLE
    r = (x - k * LOG2_HIGH_SINGLE) - k * LOG2_LOW_SINGLE
    power = np.int32((shifted.view(np.int32) << 23) + (127 << 23)).view(np.float32)
    s = r * r
    quotient = (HALF + r * SIXTH) + s * ((OF_FOUR + r * OF_FIVE) + s * (OF_SIX + r * OF_SEVEN))
    return power * (r + s * quotient) + (power - ONE_SINGLE)


def expm1_alike(x):
    """Return e**x - 1 in x's own precision."""
    return expm1(x)


@implement(expm1_alike)
def _expm1_alike(x):
    if x is types.float32:
        return lambda x: _expm1_in_single(x)
    return lambda x: expm1(x)


@kernel(forceinline=True)
def log1p(e):
    """Return log(1 + e) for e in [0, 1] to 1e-15 absolute.

    log(u) = 2 artanh((u - 1) / (u + 1)), with u = 1 + e brought into [1/sqrt 2, sqrt 2] by
    halving it where it is larger; the numerator is formed from e, so that small e keep their
    digits.
    """
    e = np.float64(e)
    halved = 1.0 if 1.0 + e > SQRT2 else 0.0  # a factor: a choice of sums would be a branch
    s = (e - halved) / (2.0 + halved + e)
    q = s * s
    c = q * q
    low = (1.0 + q * (1.0 / 3.0)) + c * (1.0 / 5.0 + q * (1.0 / 7.0))
    middle = (1.0 / 9.0 + q * (1.0 / 11.0)) + c * (1.0 / 13.0 + q * (1.0 / 15.0))
    high = (1.0 / 17.0 + q * (1.0 / 19.0)) + c * (1.0 / 21.0)
    f = c * c
    p = low + f * (middle + f * high)
    return 2.0 * s * p + LOG2 * halved
