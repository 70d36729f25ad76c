"""Parts of a contiguous array as arrays of their own, at the cost of a few multiplications.

A slice and a ``reshape`` say the same, in some hundred instructions each, tests for errors and
counts of references among them. These views are borrowed: whoever holds the flat array waits.
"""

from numba import types
from numba.core import cgutils
from numba.extending import lower_builtin, type_callable


def line_in(flat, first, size):
    """Return ``size`` numbers of a C-contiguous array of any shape, from ``first`` on."""
    return flat.reshape(-1)[first : first + size]


def table_in(flat, first, n_rows, n_columns):
    """Return ``n_rows * n_columns`` numbers of such an array, from ``first`` on, in rows."""
    return flat.reshape(-1)[first : first + n_rows * n_columns].reshape(n_rows, n_columns)


def row_in(table, number):
    """Return a row of a C-contiguous table."""
    return table[number]


def _kind(flat, n_axes, *integers):
    """Return the type of a view; None where there is none."""
    of_integers = all(isinstance(number, types.Integer) for number in integers)
    if isinstance(flat, types.Array) and flat.layout == "C" and of_integers:
        return types.Array(flat.dtype, n_axes, "C", readonly=not flat.mutable)
    return None


@type_callable(line_in)
def _type_of_line(context):
    return lambda flat, first, size: _kind(flat, 1, first, size)


@type_callable(table_in)
def _type_of_table(context):
    return lambda flat, first, n_rows, n_columns: _kind(flat, 2, first, n_rows, n_columns)


@type_callable(row_in)
def _type_of_row(context):
    return lambda table, number: _kind(table, 1, number)


def _by_pointer(view, n_integers, place):
    """Have a view compiled to a pointer and a shape, which ``place`` computes."""

    def emit(context, builder, signature, arguments):
        from numba.np.arrayobj import populate_array  # it is large, and of use to a compiler only

        flat = signature.args[0]
        source = context.make_array(flat)(context, builder, arguments[0])
        target = context.make_array(signature.return_type)(context, builder)
        size = context.get_constant(
            types.intp, context.get_abi_sizeof(context.get_data_type(flat.dtype))
        )
        integers = [
            context.cast(builder, value, kind, types.intp)
            for value, kind in zip(arguments[1:], signature.args[1:], strict=True)
        ]
        axes = cgutils.unpack_tuple(builder, source.shape, flat.ndim)
        first, extents = place(builder, axes, *integers)
        strides = [size]
        for extent in reversed(extents[1:]):
            strides.insert(0, builder.mul(strides[0], extent))
        populate_array(
            target,
            data=builder.gep(source.data, [first]),
            shape=extents,
            strides=strides,
            itemsize=size,
            meminfo=None,
        )
        return target._getvalue()

    lower_builtin(view, types.Array, *(types.Integer,) * n_integers)(emit)


_by_pointer(line_in, 2, lambda builder, axes, first, *extents: (first, extents))
_by_pointer(table_in, 3, lambda builder, axes, first, *extents: (first, extents))
_by_pointer(row_in, 1, lambda builder, axes, number: (builder.mul(number, axes[1]), axes[1:]))
