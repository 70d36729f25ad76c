"""Parts of a contiguous array as arrays of their own, at the cost of a few multiplications.

A slice and a ``reshape`` say the same, in some hundred instructions each, tests for errors and
counts of references among them. These views are borrowed: whoever holds the flat array waits.
"""

from numba import types
from numba.extending import intrinsic, overload
from numba.np.arrayobj import populate_array

from fastgd.kernels._jit import INLINED


def line_in(flat, first, size):
    """Return ``size`` numbers of a C-contiguous array of any shape, from ``first`` on."""
    return flat.reshape(-1)[first : first + size]


def table_in(flat, first, n_rows, n_columns):
    """Return ``n_rows * n_columns`` numbers of such an array, from ``first`` on, in rows."""
    return flat.reshape(-1)[first : first + n_rows * n_columns].reshape(n_rows, n_columns)


def row_in(table, number):
    """Return a row of a C-contiguous table."""
    return table[number]


@overload(line_in, jit_options=INLINED)
def _line_in(flat, first, size):
    return lambda flat, first, size: _view(flat, first, (size,))


@overload(row_in, jit_options=INLINED)
def _row_in(table, number):
    return lambda table, number: _view(table, number * table.shape[1], (table.shape[1],))


@overload(table_in, jit_options=INLINED)
def _table_in(flat, first, n_rows, n_columns):
    return lambda flat, first, n_rows, n_columns: _view(flat, first, (n_rows, n_columns))


@intrinsic
def _view(_context, flat, first, shape):
    view = types.Array(flat.dtype, len(shape), "C", readonly=not flat.mutable)
    signature = view(flat, types.intp, types.UniTuple(types.intp, len(shape)))

    def emit(context, builder, signature, arguments):
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        target = context.make_array(signature.return_type)(context, builder)
        size = context.get_constant(
            types.intp, context.get_abi_sizeof(context.get_data_type(flat.dtype))
        )
        extents = [builder.extract_value(arguments[2], k) for k in range(len(shape))]
        strides = [size]
        for extent in reversed(extents[1:]):
            strides.insert(0, builder.mul(strides[0], extent))
        populate_array(
            target,
            data=builder.gep(source.data, [arguments[1]]),
            shape=extents,
            strides=strides,
            itemsize=size,
            meminfo=None,
        )
        return target._getvalue()

    return signature, emit
