"""Whole numbers of 64 bits as the processor has them: products in 128 bits, zeros, eight digits.

References
----------
Lemire, D. (2022). Quickly parsing eight digits.
https://lemire.me/blog/2022/01/21/swar-explained-parsing-eight-digits/
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from fastgd.kernels._jit import INLINED

WORD, PAIR = ir.IntType(64), ir.IntType(128)
MOST_AT_ONCE = 8  # digits
# eight bytes each: the characters "0", what takes all but digits beyond 127, the highest bits
_ZEROS, _BEYOND = np.uint64(0x3030303030303030), np.uint64(0x7676767676767676)
_HIGHEST = np.uint64(0x8080808080808080)
# from pairs of digits to one number: 100 + 10^6 2^32, and 1 + 10^4 2^32
_PAIRS, _OF_ODD, _OF_EVEN = (
    np.uint64(word) for word in (0x000000FF000000FF, 0x000F424000000064, 0x0000271000000001)
)


def product(a, b):
    """Return the upper and the lower 64 bits of a b, of uint64."""
    whole = int(a) * int(b)
    return np.uint64(whole >> 64), np.uint64(whole & 0xFFFFFFFFFFFFFFFF)


def leading_zeros(word):
    """Return the number of zero bits before the first one of a uint64 above 0, as uint64."""
    return np.uint64(64 - int(word).bit_length())


def digits(text, at):
    """Return the number that the decimal digits at a place make up, and how many they are.

    Parameters
    ----------
    text : (n,), uint8, with eight bytes or more from there on
    at : int

    Returns
    -------
    number : uint64
        Of the first eight of them, if there are more.
    n_digits : int
        From 0 to 8.
    """
    word = bytes(text[at : at + MOST_AT_ONCE])
    n_digits = MOST_AT_ONCE - len(word.lstrip(b"0123456789"))
    return np.uint64(word[:n_digits] or b"0"), n_digits


@overload(product, jit_options=INLINED)
def _product(a, b):
    return lambda a, b: _multiply(a, b)


@overload(leading_zeros, jit_options=INLINED)
def _leading_zeros(word):
    return lambda word: _count_zeros(word)


@overload(digits, jit_options=INLINED)
def _digits(text, at):
    def compiled(text, at):
        word = _eight_bytes(text, at) ^ _ZEROS
        n_bits = _count_trailing_zeros(((word + _BEYOND) | word) & _HIGHEST) & np.uint64(0x78)
        if n_bits == np.uint64(0):
            return np.uint64(0), 0
        word <<= np.uint64(64) - n_bits  # as if zeros stood before them
        word = word * np.uint64(10) + (word >> np.uint64(8))
        word = (word & _PAIRS) * _OF_ODD + ((word >> np.uint64(16)) & _PAIRS) * _OF_EVEN
        return word >> np.uint64(32), np.int64(n_bits >> np.uint64(3))

    return compiled


@intrinsic
def _multiply(_context, a, b):
    def emit(context, builder, signature, arguments):
        wide = [builder.zext(argument, PAIR) for argument in arguments]
        whole = builder.mul(*wide)
        halves = [builder.trunc(part, WORD) for part in (builder.lshr(whole, PAIR(64)), whole)]
        return context.make_tuple(builder, signature.return_type, halves)

    return types.UniTuple(types.uint64, 2)(types.uint64, types.uint64), emit


def _call_of_bits(name, zero_is_undefined):
    """Return what calls LLVM's function of a word and a flag."""

    def emit(_context, builder, _signature, arguments):
        kind = ir.FunctionType(WORD, [WORD, ir.IntType(1)])
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [arguments[0], ir.IntType(1)(zero_is_undefined)])

    return emit


@intrinsic
def _count_zeros(_context, word):
    return types.uint64(types.uint64), _call_of_bits("llvm.ctlz.i64", 1)


@intrinsic
def _count_trailing_zeros(_context, word):
    return types.uint64(types.uint64), _call_of_bits("llvm.cttz.i64", 0)


@intrinsic
def _eight_bytes(_context, text, at):
    """Read a word from any place, the first byte the lowest."""

    def emit(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(place, WORD.as_pointer()), align=1)

    return types.uint64(text, types.int64), emit
