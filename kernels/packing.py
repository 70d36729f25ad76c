"""Numbers of a few bits, side by side in bytes.

Field i of width b fills the bits b i ... b i + b - 1, the lowest bit of a byte first. A field is
written by OR, so bytes start as zeros.
"""

import numpy as np

from fastgd.kernels._jit import helper


@helper()
def bytes_for(size, width):
    """Return how many bytes hold ``size`` fields of ``width`` bits."""
    return (size * width + 7) // 8


@helper()
def put(packed, i, width, code):
    """Write field i; ``width`` is at most 8."""
    at = i * width
    byte, word = at >> 3, code << (at & 7)
    packed[byte] |= np.uint8(word & 255)
    if word > 255:
        packed[byte + 1] |= np.uint8(word >> 8)


@helper()
def get(packed, i, width):
    """Read field i."""
    at = i * width
    byte, shift = at >> 3, at & 7
    word = np.int64(packed[byte])
    if shift + width > 8:
        word |= np.int64(packed[byte + 1]) << 8
    return (word >> shift) & ((1 << width) - 1)


@helper()
def put_number(packed, i, number):
    """Write the i-th number of 32 bits, its lowest byte first."""
    for b in range(4):
        packed[4 * i + b] = np.uint8((number >> (8 * b)) & 255)


@helper()
def get_number(packed, i):
    """Read the i-th number of 32 bits."""
    number = np.int64(0)
    for b in range(4):
        number |= np.int64(packed[4 * i + b]) << (8 * b)
    return number
