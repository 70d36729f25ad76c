"""Rows of Vowpal Wabbit's text, ``label weight 'tag|namespace feature:value ...``, hashed to CSR.

A feature's index is the one that it has there: MurmurHash3 of its name, with that of its namespace
as seed, or the sum of both where its name is a whole number; of that the lowest bits.
"""

from typing import Any, NamedTuple

import numpy as np

from fastgd.kernels._jit import helper, kernel
from fastgd.kernels._words import MOST_AT_ONCE, digits
from fastgd.kernels.numerals import byte, is_blank, is_digit, number

FINE, NO_BAR, WORDS, NO_NUMBER = 0, 1, 2, 3
BAR, COLON, NEWLINE, QUOTE = 124, 58, 10, 39
_MASK = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(0x3FF) << np.uint64(52)  # the bits of 1.0
_MISSING = np.uint64(0x7FF8) << np.uint64(48)  # of NaN


class Hashed(NamedTuple):
    """Room for rows.

    Attributes
    ----------
    header : (n_lines, 2), uint64
        Bits of the label, NaN where there is none, and of the weight.
    indptr : (n_lines + 1,), int64
    indices : (n_stored,), int32
    values : (n_stored,), uint64
        Bits of doubles. A feature takes 2 bytes of text or more.
    numbers : (n_stored,), float64
        The same memory.
    scales : (n_stored,), float64
        What a value that is left to Python is still to be multiplied by; of others nothing.
    """

    header: Any
    indptr: Any
    indices: Any
    values: Any
    numbers: Any
    scales: Any


@kernel()
def parse(text, bounds, powers, stored):
    """Read rows up to the first fault.

    Parameters
    ----------
    text : (n_bytes,), uint8
    bounds : (first, last, n_features)
        A part of the text, whose last character ends a line; ``n_features`` is a power of two.
    powers : (n, 2), uint64, of ``numerals.powers_of_five``
    stored : Hashed

    Returns
    -------
    fault : int
        FINE, or what is wrong.
    at : int
        Where the word begins that is wrong.
    n_rows : int
        With the row of the fault, as far as it was read.
    n_left : int
        Numbers that are left to Python.
    """
    at, last, n_features = bounds
    mask = np.uint64(n_features - 1)
    n_rows, n_stored, n_left = 0, 0, 0
    stored.indptr[0] = 0
    while at < last:
        if is_blank(byte(text, at)):
            at += 1
            continue
        fault, at, left = _header(text, at, powers, stored.header[n_rows])
        n_left += left
        seed, scale, n_nameless, is_scaled = np.uint64(0), 1.0, np.uint64(0), False
        while fault == FINE and byte(text, at) != NEWLINE:
            if byte(text, at) == BAR:
                start = at + 1
                at = _end_of_name(text, start)
                seed = murmur(text, start, at, np.uint64(0)) if at > start else np.uint64(0)
                scale, n_nameless, is_scaled = 1.0, np.uint64(0), byte(text, at) == COLON
                if not is_scaled:
                    continue
            elif is_blank(byte(text, at)):
                at += 1
                continue
            else:
                start, is_scaled = at, False
                at = _end_of_name(text, start)
            bits, left, word = _ONE, 0, at + 1
            if byte(text, at) == COLON:
                bits, at, left = number(text, word, BAR, powers)
                n_left += left
            stored.values[np.uint64(n_stored)] = bits
            if is_scaled:  # a namespace's own value, by which all of its features are multiplied
                scale = stored.numbers[n_stored]
                if left > 0:
                    fault, at = NO_NUMBER, word
                continue
            if left > 0:
                stored.scales[n_stored] = scale
            elif scale != 1.0:
                stored.numbers[n_stored] *= scale
            if start + 1 == word:
                index = seed + n_nameless
                n_nameless += np.uint64(1)
            else:
                index = _hashed(text, start, word - 1, seed)
            stored.indices[np.uint64(n_stored)] = np.int64(index & mask)
            n_stored += 1
        n_rows += 1
        stored.indptr[n_rows] = n_stored
        if fault != FINE:
            return fault, at, n_rows, n_left
    return FINE, at, n_rows, n_left


@helper()
def _header(text, at, powers, header):
    """Read label and weight, which stand before the first bar, as does a tag."""
    start, n_words, n_left = at, 0, 0
    header[0], header[1] = _MISSING, _ONE
    bar = at
    while byte(text, bar) != BAR:
        if byte(text, bar) == NEWLINE:
            return NO_BAR, start, n_left
        bar += 1
    while at < bar:
        if is_blank(byte(text, at)):
            at += 1
            continue
        start = at
        while at < bar and not is_blank(byte(text, at)):
            at += 1
        if at == bar or byte(text, start) == QUOTE:
            continue
        if n_words == 2:
            return WORDS, start, n_left
        header[n_words], at, left = number(text, start, BAR, powers)
        n_left += left
        n_words += 1
    return FINE, bar, n_left


@helper()
def _end_of_name(text, at):
    while not (is_blank(byte(text, at)) or byte(text, at) == COLON or byte(text, at) == BAR):
        at += 1
    return at


@helper()
def _hashed(text, first, last, seed):
    """Return the hash of a feature's name."""
    if first + MOST_AT_ONCE <= text.shape[0]:
        some, n_digits = digits(text, first)
        if n_digits == last - first:
            return some + seed
    total = np.uint64(0)
    for at in range(first, last):
        if not is_digit(byte(text, at)):
            return murmur(text, first, last, seed)
        total = (total * np.uint64(10) + np.uint64(byte(text, at)) - np.uint64(48)) & _MASK
    return total + seed


@helper()
def murmur(text, first, last, seed):
    """Return MurmurHash3 (32 bits) of some bytes; products of 32 bits fit into 64."""
    h, at = seed, first
    while at + 4 <= last:
        h = _rotated(h ^ _mixed(_word(text, at, 4)), 13)
        h = (h * np.uint64(5) + np.uint64(0xE6546B64)) & _MASK
        at += 4
    if at < last:
        h ^= _mixed(_word(text, at, last - at))
    h ^= np.uint64(last - first)
    h = ((h ^ (h >> np.uint64(16))) * np.uint64(0x85EBCA6B)) & _MASK
    h = ((h ^ (h >> np.uint64(13))) * np.uint64(0xC2B2AE35)) & _MASK
    return h ^ (h >> np.uint64(16))


@helper()
def _word(text, at, n_bytes):
    """Return up to 4 bytes as a number, the first the lowest."""
    word = np.uint64(0)
    for k in range(n_bytes):
        word |= np.uint64(byte(text, at + k)) << np.uint64(8 * k)
    return word


@helper()
def _mixed(k):
    k = (k * np.uint64(0xCC9E2D51)) & _MASK
    return (_rotated(k, 15) * np.uint64(0x1B873593)) & _MASK


@helper()
def _rotated(word, by):
    return ((word << np.uint64(by)) | (word >> np.uint64(32 - by))) & _MASK
