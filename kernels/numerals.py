"""Numbers from text, rounded as Python's ``float`` rounds them.

Of most numbers, w 10^-k with w < 2^53 and k <= 22, both w and 10^k are doubles, whose quotient the
processor rounds as it should (Clinger). Other decimals w 10^q with w < 2^64 are multiplied by a
power of five of 128 bits. The product's upper bits are the nearest double's, but for rare cases in
which they leave open which one is nearest; those, and what has more than 19 digits, are left to
Python.

References
----------
Clinger, W. (1990). How to read floating point numbers accurately. PLDI.
Lemire, D. (2021). Number parsing at a gigabyte per second. Software: Practice and Experience.
Mushtak, N. and Lemire, D. (2023). Fast number parsing without fallback.
"""

import numpy as np

from fastgd.kernels._jit import helper
from fastgd.kernels._words import MOST_AT_ONCE, digits, leading_zeros, product

LOWEST, HIGHEST = -342, 308  # exponents: below it all is zero, above it infinite
MOST_DIGITS = 19  # of a number below 2^64
# the bits of a NaN that no text is read as: the lower 48 are the place of a number left to Python
LEFT = 0x7FF4
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_FRACTION, _BIAS, _INFINITE = 52, 1023, 0x7FF
_TENS = 10 ** np.arange(MOST_AT_ONCE + 1, dtype=np.uint64)
EXACT = 22  # the largest power of ten that is a double
_EXACT_TENS = np.array([float(10**k) for k in range(EXACT + 1)])
_EXACT_WHOLE = np.uint64(1 << 53)  # below it each whole number is a double
_LOW_BITS = np.uint64(0xFFFFFFFFFFFFFFFF >> (_FRACTION + 3))


def powers_of_five():
    """Return the leading 128 bits of 5^q, (n, 2) as upper and lower halves, from LOWEST on.

    Negative powers are rounded up, so that exact products of short numbers show.
    """
    made = np.empty((HIGHEST - LOWEST + 1, 2), np.uint64)
    for row, q in enumerate(range(LOWEST, HIGHEST + 1)):
        power = 5 ** abs(q)
        if q >= 0:
            bits = power.bit_length()
            leading = power << (128 - bits) if bits <= 128 else power >> (bits - 128)
        else:
            width = (power - 1).bit_length()
            leading = (1 << (width + 127 if q >= -27 else 2 * width + 128)) // power + 1
            leading >>= max(leading.bit_length() - 128, 0)
        made[row, 0], made[row, 1] = leading >> 64, leading & 0xFFFFFFFFFFFFFFFF
    return made


@helper()
def byte(text, at):
    """Return a character."""
    return text[np.uint64(at)]  # unsigned: no end of the text to count from


@helper()
def is_blank(c):
    """Tell whether a character separates words, the end of a line included."""
    return c == 32 or (c >= 9 and c <= 13)


@helper()
def is_digit(c):
    """Tell whether a character is one of 0 to 9."""
    return c >= 48 and c <= 57


@helper()
def bits_of(w, q, powers):
    """Return the bits of the double nearest to w 10^q, and whether they are known.

    Not known are infinite numbers, subnormal ones, and those near the middle of two.
    """
    if w == np.uint64(0):
        return w, True
    if q < LOWEST or q > HIGHEST:
        return w, False
    zeros = leading_zeros(w)
    w = w << zeros
    upper, lower = product(w, powers[q - LOWEST, 0])
    if (upper & _LOW_BITS) == _LOW_BITS:
        more, _ = product(w, powers[q - LOWEST, 1])
        if lower > _ONES - more:
            upper += np.uint64(1)
            lower = more - (_ONES - lower) - np.uint64(1)
        else:
            lower += more
    if lower == _ONES and (q < -27 or q > 55):
        return w, False
    top = upper >> np.uint64(63)
    shift = top + np.uint64(64 - _FRACTION - 3)
    mantissa = upper >> shift
    exponent = ((217706 * q) >> 16) + 63 + np.int64(top) - np.int64(zeros) + _BIAS
    if exponent <= 0:
        return w, False
    is_middle = lower <= np.uint64(1) and q >= -4 and q <= 23
    if is_middle and (mantissa & np.uint64(3)) == np.uint64(1) and (mantissa << shift) == upper:
        mantissa = mantissa - np.uint64(1)  # of two that are as near, the even one
    mantissa = (mantissa + (mantissa & np.uint64(1))) >> np.uint64(1)
    if mantissa >= np.uint64(2 << _FRACTION):
        mantissa = np.uint64(1 << _FRACTION)
        exponent += 1
    if exponent >= _INFINITE:
        return w, False
    fraction = mantissa & np.uint64((1 << _FRACTION) - 1)
    return (np.uint64(exponent) << np.uint64(_FRACTION)) | fraction, True


@helper(fastmath=False)
def _quotient(w, decimals):
    """Return the bits of the double nearest to w 10^-decimals, both of which are doubles."""
    return np.float64(np.float64(w) / _EXACT_TENS[np.uint64(decimals)]).view(np.uint64)


@helper()
def whole(text, at, highest):
    """Read the whole number that begins at ``at``, if one does; return it, and where it ends.

    Digits that make it larger than ``highest`` may be left.
    """
    if at + MOST_AT_ONCE <= text.shape[0]:
        some, n_digits = digits(text, at)
        if n_digits < MOST_AT_ONCE:
            return np.int64(some), at + n_digits
    found = 0
    while is_digit(byte(text, at)) and found <= highest:
        found = found * 10 + np.int64(byte(text, at)) - 48
        at += 1
    return found, at


@helper()
def _short(text, at, end, powers):
    """Read a number of at most 7 digits before its point, without an exponent, up to 19 in all.

    Returns
    -------
    bits : uint64
    at : int
        Where the number ends.
    is_short : bool
        Whether it is one, and known.
    """
    if at + MOST_DIGITS + MOST_AT_ONCE > text.shape[0]:
        return np.uint64(0), at, False
    w, n_digits = digits(text, at)
    at, decimals = at + n_digits, 0
    if n_digits < MOST_AT_ONCE and byte(text, at) == 46:
        at += 1
        more = MOST_AT_ONCE
        while more == MOST_AT_ONCE and n_digits + decimals <= MOST_DIGITS - MOST_AT_ONCE:
            fraction, more = digits(text, at + decimals)
            w = w * _TENS[np.uint64(more)] + fraction
            decimals += more
        at += decimals
    c = byte(text, at)
    if n_digits + decimals == 0 or not (is_blank(c) or c == end):
        return np.uint64(0), at, False
    if w < _EXACT_WHOLE:
        return _quotient(w, decimals), at, True
    bits, known = bits_of(w, -decimals, powers)
    return bits, at, known


@helper()
def number(text, at, end, powers):
    """Read the number that begins at ``at``.

    Parameters
    ----------
    text : (n,), uint8, which ends with the end of a line
    at : int
    end : int
        A character that ends a number beside blanks.
    powers : (n, 2), uint64, of ``powers_of_five``

    Returns
    -------
    bits : uint64
        Of a double; or LEFT and ``at``, of what is left to Python.
    at : int
        Where the word ends.
    is_left : int
        1 for what is left to Python, else 0.
    """
    first, c = at, byte(text, at)
    sign = np.uint64(c == 45) << np.uint64(63)  # arithmetic: which one is there nobody can foresee
    at += np.int64(c == 45) + np.int64(c == 43)
    bits, after, is_short = _short(text, at, end, powers)
    if is_short:
        return bits | sign, after, 0
    w, n_digits, n_read, decimals = np.uint64(0), 0, 0, 0
    point = False
    while True:
        c = np.int64(byte(text, at))
        if is_digit(c):
            if n_digits > 0 or c != 48:
                n_digits += 1
            if n_digits <= MOST_DIGITS:
                w = w * np.uint64(10) + np.uint64(c - 48)
            n_read += 1
            decimals += np.int64(point)
        elif c == 46 and not point:
            point = True
        else:
            break
        at += 1
    q, is_number = np.int64(0), n_read > 0 and n_digits <= MOST_DIGITS
    if (byte(text, at) == 101 or byte(text, at) == 69) and is_number:
        at += 1
        falls = byte(text, at) == 45
        if falls or byte(text, at) == 43:
            at += 1
        is_number = is_digit(byte(text, at))
        while is_digit(byte(text, at)):
            if q < 100000:
                q = q * 10 + np.int64(byte(text, at)) - 48
            at += 1
        q = -q if falls else q
    known = False
    if is_number and (is_blank(byte(text, at)) or byte(text, at) == end):
        w, known = bits_of(w, q - decimals, powers)
    if known:
        return w | sign, at, 0
    while not (is_blank(byte(text, at)) or byte(text, at) == end):
        at += 1
    return (np.uint64(LEFT) << np.uint64(48)) | np.uint64(first), at, 1
