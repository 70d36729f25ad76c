"""Products that pass over zeros: what is not zero is listed, and rows of a table are added up.

A product of a row with few non-zeros and a table of ``units`` columns is a sum of the table's rows.
Compilers keep such a sum in memory, and read and write it for each row; here ``WIDTH`` of its
numbers lie in registers until it is complete. Both functions are written for LLVM, with vectors of
``BYTES`` that it splits where a processor's are shorter. To Python they are plain numpy.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import lower_builtin, type_callable

from fastgd.kernels._blas import KINDS

BYTES, VECTORS = 64, 4  # a vector's, and how many of them a sum has
SIZE, WORD = ir.IntType(types.intp.bitwidth), ir.IntType(32)
CONTRACT = ("contract",)  # a product and a sum in one instruction, where there is one


def width_of(itemsize):
    """Return how many numbers of a sum lie in registers."""
    return VECTORS * BYTES // itemsize


def list_nonzeros(line, places, values):
    """List what is not zero in a line: write where, and what; return how many there are.

    Parameters
    ----------
    line : (n,)
    places : (n,), int32; behind the listed ones anything may stand
    values : (n,), as ``places``
    """
    found = np.flatnonzero(line)
    places[: found.size], values[: found.size] = found, line[found]
    return found.size


def sum_rows(table, places, values, count, kept, columns, out):
    """Write rows of a table times their values, added up, in ``width_of`` columns.

    Parameters
    ----------
    table : (n, units)
    places : (at least count,), integers, which rows
    values : (at least count,)
    count : int
    kept : bool, whether what stands in ``out`` is added to
    columns : tuple of two int, the first column, and how many from there on are left as they are
    out : (units,)
    """
    first, n_left = columns
    written = slice(first + n_left, first + width_of(table.itemsize))
    found = values[:count] @ table[places[:count], written]
    out[written] = out[written] + found if kept else found


def _is_flat(kind, n_axes=1):
    return isinstance(kind, types.Array) and kind.layout == "C" and kind.ndim == n_axes


def _vector_of(context, kind):
    """Return the type of a vector of numbers."""
    return ir.VectorType(context.get_data_type(kind), BYTES * 8 // kind.bitwidth)


def _at(builder, array, index, vector):
    """Return where a vector begins in an array."""
    return builder.bitcast(builder.gep(array.data, [index]), vector.as_pointer())


def _loaded(builder, place, kind):
    found = builder.load(place)
    found.align = kind.bitwidth // 8
    return found


def _stored(builder, value, place, kind):
    builder.store(value, place).align = kind.bitwidth // 8


@type_callable(list_nonzeros)
def _type_of_list(context):
    def typer(line, places, values):
        same = getattr(line, "dtype", None) == getattr(values, "dtype", 0)
        flat = all(map(_is_flat, (line, places, values)))
        if same and flat and line.dtype in KINDS and places.dtype == types.int32:
            return types.intp
        return None

    return typer


@lower_builtin(list_nonzeros, types.Array, types.Array, types.Array)
def _emit_list(context, builder, signature, arguments):
    kind = signature.args[0].dtype
    line, places, values = (
        context.make_array(of)(context, builder, argument)
        for of, argument in zip(signature.args, arguments, strict=True)
    )
    vector = _vector_of(context, kind)
    n_lanes, size = vector.count, cgutils.unpack_tuple(builder, line.shape)[0]
    count = cgutils.alloca_once_value(builder, SIZE(0))
    whole = builder.and_(size, SIZE(-n_lanes))
    numbers = ir.Constant(ir.VectorType(WORD, n_lanes), list(range(n_lanes)))
    with cgutils.for_range_slice(builder, SIZE(0), whole, SIZE(n_lanes), inc=True) as (first, _):
        x = _loaded(builder, _at(builder, line, first, vector), kind)
        mask = builder.fcmp_unordered("!=", x, ir.Constant(vector, [0.0] * n_lanes))
        start = _spread(builder, builder.trunc(first, WORD), numbers.type)
        before = builder.load(count)
        for what, of, array in (
            (builder.add(start, numbers), types.int32, places),
            (x, kind, values),
        ):
            packed = _packed(builder, what, mask)
            _stored(builder, packed, _at(builder, array, before, packed.type), of)
        found = builder.ctpop(builder.bitcast(mask, ir.IntType(n_lanes)))
        builder.store(builder.add(before, builder.zext(found, SIZE)), count)
    with cgutils.for_range_slice(builder, whole, size, SIZE(1), inc=True) as (j, _):
        x, before = builder.load(builder.gep(line.data, [j])), builder.load(count)
        builder.store(builder.trunc(j, WORD), builder.gep(places.data, [before]))
        builder.store(x, builder.gep(values.data, [before]))
        counts = builder.fcmp_unordered("!=", x, ir.Constant(x.type, 0.0))
        builder.store(builder.add(before, builder.zext(counts, SIZE)), count)
    return builder.load(count)


def _spread(builder, number, vector):
    """Return a vector of one number."""
    empty = ir.Constant(vector, ir.Undefined)
    lanes = ir.Constant(ir.VectorType(WORD, vector.count), [0] * vector.count)
    return builder.shuffle_vector(builder.insert_element(empty, number, WORD(0)), empty, lanes)


def _packed(builder, vector, mask):
    """Return what the mask has of a vector, side by side from its beginning."""
    kind = vector.type
    letter = {"float": "f32", "double": "f64"}.get(str(kind.element), str(kind.element))
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(kind, [kind, mask.type, kind]),
        f"llvm.experimental.vector.compress.v{kind.count}{letter}",
    )
    return builder.call(function, [vector, mask, ir.Constant(kind, ir.Undefined)])


@type_callable(sum_rows)
def _type_of_sum(context):
    def typer(table, places, values, count, kept, columns, out):
        flat = _is_flat(table, 2) and all(map(_is_flat, (places, values, out)))
        if flat and table.dtype == values.dtype == out.dtype and table.dtype in KINDS:
            return types.none
        return None

    return typer


ARGUMENTS = (*(types.Array,) * 3, types.Integer, types.Boolean, types.UniTuple, types.Array)


@lower_builtin(sum_rows, *ARGUMENTS)
def _emit_sum(context, builder, signature, arguments):
    kind = signature.args[0].dtype
    table, places, values, out = (
        context.make_array(signature.args[number])(context, builder, arguments[number])
        for number in (0, 1, 2, 6)
    )
    first, n_left = cgutils.unpack_tuple(builder, arguments[5])
    count = context.cast(builder, arguments[3], signature.args[3], types.intp)
    vector, units = _vector_of(context, kind), cgutils.unpack_tuple(builder, table.shape)[1]
    offsets = [SIZE(number * vector.count) for number in range(VECTORS)]
    targets = [_at(builder, out, builder.add(first, offset), vector) for offset in offsets]
    masks = [_from(builder, builder.sub(n_left, offset), vector.count) for offset in offsets]
    zeros, sums = ir.Constant(vector, [0.0] * vector.count), []
    for target in targets:
        begun = builder.select(arguments[4], _loaded(builder, target, kind), zeros)
        sums.append(cgutils.alloca_once_value(builder, begun))
    with cgutils.for_range(builder, count) as loop:
        place = builder.zext(builder.load(builder.gep(places.data, [loop.index])), SIZE)
        begin = builder.add(builder.mul(place, units), first)
        x = _spread(builder, builder.load(builder.gep(values.data, [loop.index])), vector)
        for total, offset in zip(sums, offsets, strict=True):
            row = _loaded(builder, _at(builder, table, builder.add(begin, offset), vector), kind)
            product = builder.fmul(x, row, flags=CONTRACT)
            builder.store(builder.fadd(builder.load(total), product, flags=CONTRACT), total)
    for total, target, mask in zip(sums, targets, masks, strict=True):
        written = builder.select(mask, builder.load(total), _loaded(builder, target, kind))
        _stored(builder, written, target, kind)
    return context.get_dummy_value()


def _from(builder, first, n_lanes):
    """Return a mask of the lanes from the first on."""
    lanes = ir.Constant(ir.VectorType(SIZE, n_lanes), list(range(n_lanes)))
    return builder.icmp_signed(">=", lanes, _spread(builder, first, lanes.type))
