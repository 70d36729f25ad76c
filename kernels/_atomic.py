"""Numbers that several threads read and write, one at a time.

All operations are sequentially consistent: what a thread has written before it changes such a
number is seen by the threads that read the change. In Python they are plain reads and writes, for
one thread.
"""

from llvmlite import ir
from llvmlite.binding import get_process_triple
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

from fastgd.kernels._hook import implement

IS_ATOMIC = not config.DISABLE_JIT
ORDER = "seq_cst"
BYTES = 8
YIELD = "SwitchToThread" if "windows" in get_process_triple() else "sched_yield"


def read(numbers, at):
    """Return a number of an int64 array."""
    return numbers[at]


def write(numbers, at, value):
    """Write a number."""
    numbers[at] = value


def add_one(numbers, at):
    """Add 1 to a number."""
    numbers[at] += 1


def swap(numbers, at, before, after):
    """Write ``after`` where ``before`` stands; tell whether it stood there."""
    is_there = numbers[at] == before
    if is_there:
        numbers[at] = after
    return is_there


def let_others_run():
    """Have the processor run another thread that waits for it."""


def _place(context, builder, signature, arguments):
    """Return the address of ``numbers[at]``."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])


@intrinsic
def _read(_context, numbers, at):
    def emit(context, builder, signature, arguments):
        return builder.load_atomic(_place(context, builder, signature, arguments), ORDER, BYTES)

    return types.int64(numbers, types.intp), emit


@intrinsic
def _write(_context, numbers, at, value):
    def emit(context, builder, signature, arguments):
        place = _place(context, builder, signature, arguments)
        builder.store_atomic(arguments[2], place, ORDER, BYTES)
        return context.get_dummy_value()

    return types.void(numbers, types.intp, types.int64), emit


@intrinsic
def _add_one(_context, numbers, at):
    def emit(context, builder, signature, arguments):
        one = ir.Constant(ir.IntType(64), 1)
        builder.atomic_rmw("add", _place(context, builder, signature, arguments), one, ORDER)
        return context.get_dummy_value()

    return types.void(numbers, types.intp), emit


@intrinsic
def _swap(_context, numbers, at, before, after):
    def emit(context, builder, signature, arguments):
        place = _place(context, builder, signature, arguments)
        found = builder.cmpxchg(place, arguments[2], arguments[3], ORDER, ORDER)
        return builder.extract_value(found, 1)

    return types.boolean(numbers, types.intp, types.int64, types.int64), emit


@intrinsic
def _let_others_run(_context):
    def emit(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, YIELD), [])
        return context.get_dummy_value()

    return types.void(), emit


@implement(read)
def _compiled_read(numbers, at):
    return lambda numbers, at: _read(numbers, at)


@implement(write)
def _compiled_write(numbers, at, value):
    return lambda numbers, at, value: _write(numbers, at, value)


@implement(add_one)
def _compiled_add_one(numbers, at):
    return lambda numbers, at: _add_one(numbers, at)


@implement(swap)
def _compiled_swap(numbers, at, before, after):
    return lambda numbers, at, before, after: _swap(numbers, at, before, after)


@implement(let_others_run)
def _compiled_let_others_run():
    return lambda: _let_others_run()
