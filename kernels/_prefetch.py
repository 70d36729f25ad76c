"""A hint to the processor: these rows will be read soon.

Rows that are visited in a shuffled order start where no prefetcher foresees it, and even rows in
order come from memory at half its speed where several are read side by side. So kernels ask for
the rows to come, while they compute on those that are there.

The loop over a row's cache lines is written for LLVM, not in Python: arrays that are handed to an
intrinsic are borrowed, where a helper with a loop would count references, eight atomic
additions a row.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastgd.kernels._hook import implement

READ, TO_L2, DATA = 0, 2, 1  # arguments of LLVM's prefetch; into L1 it would wait for L1's buffers
BYTES_OF_LINE = 64
ADDRESS, WORD = ir.IntType(8).as_pointer(), ir.IntType(32)


def prefetch_rows(X, i, n_rows):
    """Ask for the rows from i on; a hint that changes no result. In Python it does nothing.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), C-contiguous; or of shape (n,), numbers
    i, n_rows : int
    """


@implement(prefetch_rows)
def _prefetch_rows(X, i, n_rows):
    return lambda X, i, n_rows: _ask_for_rows(X, i, n_rows)


@intrinsic
def _ask_for_rows(_context, X, i, n_rows):
    def emit(context, builder, signature, arguments):
        array = context.make_array(X)(context, builder, arguments[0])
        stride = cgutils.unpack_tuple(builder, array.strides)[0]
        data = builder.bitcast(array.data, ADDRESS)
        start = builder.gep(data, [builder.mul(arguments[1], stride)])
        _ask(builder, start, builder.mul(arguments[2], stride))
        return context.get_dummy_value()

    return types.void(X, types.intp, types.intp), emit


def prefetch_column(X, c):
    """Ask for ``X[0, c]``, or ``X[c]``, and what lies beside it; as ``prefetch_rows``.

    Parameters
    ----------
    X : ndarray of shape (n_slots, n), any strides; or of shape (n,)
    c : int
    """


@implement(prefetch_column)
def _prefetch_column(X, c):
    return lambda X, c: _ask_for_column(X, c)


@intrinsic
def _ask_for_column(_context, X, c):
    def emit(context, builder, signature, arguments):
        array = context.make_array(X)(context, builder, arguments[0])
        stride = cgutils.unpack_tuple(builder, array.strides)[-1]
        if X.layout == "C":  # a number to the compiler, so that no product is taken
            stride = stride.type(context.get_abi_sizeof(context.get_data_type(X.dtype)))
        data = builder.bitcast(array.data, ADDRESS)
        _ask(builder, builder.gep(data, [builder.mul(arguments[1], stride)]), stride.type(1))
        return context.get_dummy_value()

    return types.void(X, types.intp), emit


def _ask(builder, start, n_bytes):
    """Emit a prefetch of each cache line of ``n_bytes`` from ``start``."""
    hint = ir.FunctionType(ir.VoidType(), [ADDRESS, WORD, WORD, WORD])
    function = cgutils.get_or_insert_function(builder.module, hint, "llvm.prefetch.p0")
    how = [WORD(number) for number in (READ, TO_L2, DATA)]
    step = n_bytes.type(BYTES_OF_LINE)
    with cgutils.for_range_slice(builder, n_bytes.type(0), n_bytes, step, inc=True) as (offset, _):
        builder.call(function, [builder.gep(start, [offset]), *how])
