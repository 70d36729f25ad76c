"""Whole numbers of 64 bits as the processor has them: their product in 128 bits, leading zeros."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from fastgd.kernels._jit import INLINED

WORD, PAIR = ir.IntType(64), ir.IntType(128)


def product(a, b):
    """Return the upper and the lower 64 bits of a b, of uint64."""
    whole = int(a) * int(b)
    return np.uint64(whole >> 64), np.uint64(whole & 0xFFFFFFFFFFFFFFFF)


def leading_zeros(word):
    """Return the number of zero bits before the first one of a uint64 above 0, as uint64."""
    return np.uint64(64 - int(word).bit_length())


@overload(product, jit_options=INLINED)
def _product(a, b):
    return lambda a, b: _multiply(a, b)


@overload(leading_zeros, jit_options=INLINED)
def _leading_zeros(word):
    return lambda word: _count_zeros(word)


@intrinsic
def _multiply(_context, a, b):
    def emit(context, builder, signature, arguments):
        wide = [builder.zext(argument, PAIR) for argument in arguments]
        whole = builder.mul(*wide)
        halves = [builder.trunc(part, WORD) for part in (builder.lshr(whole, PAIR(64)), whole)]
        return context.make_tuple(builder, signature.return_type, halves)

    return types.UniTuple(types.uint64, 2)(types.uint64, types.uint64), emit


@intrinsic
def _count_zeros(_context, word):
    def emit(_context, builder, _signature, arguments):
        kind = ir.FunctionType(WORD, [WORD, ir.IntType(1)])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.ctlz.i64")
        return builder.call(function, [arguments[0], ir.IntType(1)(1)])

    return types.uint64(types.uint64), emit
