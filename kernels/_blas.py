"""Matrix products by BLAS, of C-contiguous arrays, without what ``np.dot`` adds to each.

``np.dot`` compiles anew for each order of its operands, tests shapes, and cannot add to its output.
Here shapes are the caller's business. The functions below are plain numpy to Python; to compiled
code each is a call of BLAS.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import lower_builtin, type_callable
from numba.np.linalg import ensure_blas


def multiply(left, right, out):
    """Write left right."""
    np.dot(left, right, out)


def multiply_by_transposed(left, right, out):
    """Write left right'."""
    np.dot(left, right.T, out)


def multiply_transposed(left, right, out):
    """Write left' right."""
    np.dot(left.T, right, out)


def add_product(left, right, out):
    """Add left right."""
    out += np.dot(left, right)


def add_transposed_product(left, right, out):
    """Add left' right."""
    out += np.dot(left.T, right)


KINDS = {types.float32: "s", types.float64: "d"}
SIZE, PLACE, LETTER = ir.IntType(types.intp.bitwidth), cgutils.voidptr_t, ir.IntType(8)
ARGUMENTS = [LETTER] * 3 + [SIZE] * 3 + [PLACE] * 2 + [SIZE, PLACE, SIZE] + [PLACE] * 2 + [SIZE]


def _by_blas(product, of_left="n", of_right="n", kept=0.0):
    """Have a product compiled to out <- kept out + left right, "t" for a transposed operand."""

    @type_callable(product)
    def type_of(context):
        def typer(left, right, out):
            same = left.dtype == right.dtype == out.dtype
            if same and left.dtype in KINDS and {left.layout, right.layout, out.layout} == {"C"}:
                ensure_blas()
                return types.none
            return None

        return typer

    @lower_builtin(product, types.Array, types.Array, types.Array)
    def emit(context, builder, signature, arguments):
        left, right, out = (
            context.make_array(kind)(context, builder, argument)
            for kind, argument in zip(signature.args, arguments, strict=True)
        )
        dtype = signature.args[0].dtype
        number = context.get_data_type(dtype)
        call = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.IntType(32), ARGUMENTS), "numba_xxgemm"
        )

        def extents(array):
            return cgutils.unpack_tuple(builder, array.shape, 2)

        def given(array):
            return builder.bitcast(array.data, PLACE), extents(array)[1]

        def placed(value):
            constant = ir.Constant(number, value)
            return builder.bitcast(cgutils.alloca_once_value(builder, constant), PLACE)

        # to BLAS columns come first: a product of rows is right' left' to it
        letters = [ir.Constant(LETTER, ord(c)) for c in (KINDS[dtype], of_right, of_left)]
        rows, columns = extents(out)
        depth = extents(left)[0 if of_left == "t" else 1]
        operands = [placed(1.0), *given(right), *given(left), placed(kept), *given(out)]
        builder.call(call, [*letters, columns, rows, depth, *operands])
        return context.get_dummy_value()


_by_blas(multiply)
_by_blas(multiply_by_transposed, of_right="t")
_by_blas(multiply_transposed, of_left="t")
_by_blas(add_product, kept=1.0)
_by_blas(add_transposed_product, of_left="t", kept=1.0)
