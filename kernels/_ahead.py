"""One pass over the coefficients that steps them by a row, and multiplies the rows to come.

The three rows and the coefficients are read and written once, in vectors of a cache line, the last
of them under a mask. The loop is written for LLVM, not in Python: of arrays that might overlap it
makes vectors after tests, step by step, and of columns beyond whole vectors it makes single ones.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastgd.kernels._hook import implement

BYTES_OF_LINE = 64
WORD = ir.IntType(32)
FLAGS = ("contract", "reassoc", "arcp", "nsz")  # as those of ``_jit``


def lanes_of(itemsize):
    """Return how many numbers of so many bytes a vector holds."""
    return BYTES_OF_LINE // itemsize


def whole_lines(n, itemsize):
    """Return n, made a multiple of ``lanes_of`` numbers."""
    return -(-n // lanes_of(itemsize)) * lanes_of(itemsize)


def step_ahead(coef, X, now, following, after, left, change):
    """Step the coefficients by a row: ``coef <- left * coef + change * x``.

    Parameters
    ----------
    coef : (whole_lines(n_features),), X's dtype, zeros beyond the features; changed in place
    X : (n_samples, n_features), C-contiguous
    now, following, after : int, the row to step by, and the two that are visited next
    left, change : of X's dtype

    Returns
    -------
    dot : of row ``after`` with the new coefficients
    product : of row ``following`` with row ``after``
    square : the sum of the new coefficients' squares
    """
    coef *= left
    coef[: X.shape[1]] += change * X[now]
    return coef[: X.shape[1]] @ X[after], X[following] @ X[after], coef @ coef


@implement(step_ahead)
def _step_ahead(coef, X, now, following, after, left, change):
    return lambda coef, X, now, following, after, left, change: _pass_over(
        coef, X, now, following, after, left, change
    )


@intrinsic
def _pass_over(_context, coef, X, now, following, after, left, change):
    def emit(context, builder, signature, arguments):
        number = context.get_value_type(X.dtype)
        size = context.get_abi_sizeof(number)
        lines = _Lines(builder, number, size)
        stepped = context.make_array(coef)(context, builder, arguments[0]).data
        array = context.make_array(X)(context, builder, arguments[1])
        width = cgutils.unpack_tuple(builder, array.shape)[1]
        rows = [builder.gep(array.data, [builder.mul(i, width)]) for i in arguments[2:5]]
        factors = [lines.splat(factor) for factor in arguments[5:]]
        totals = [cgutils.alloca_once_value(builder, lines.zeros) for _ in range(3)]
        step = width.type(lines.vector.count)
        whole = builder.and_(width, width.type(-lines.vector.count))
        with cgutils.for_range_slice(builder, width.type(0), whole, step, inc=True) as (c, _):
            read = [lines.load(lines.at(row, c)) for row in rows]
            _add_line(lines, lines.at(stepped, c), read, factors, totals)
        with builder.if_then(builder.icmp_signed("<", whole, width)):
            mask = lines.first(builder.sub(width, whole))
            read = [lines.load_some(lines.at(row, whole), mask) for row in rows]
            _add_line(lines, lines.at(stepped, whole), read, factors, totals)
        sums = [lines.sum(builder.load(total)) for total in totals]
        return context.make_tuple(builder, signature.return_type, sums)

    places = (types.intp,) * 3
    return types.UniTuple(X.dtype, 3)(coef, X, *places, X.dtype, X.dtype), emit


def _add_line(lines, where, read, factors, totals):
    """Emit the step of a vector of coefficients, and what it adds to the three sums."""
    now, following, after = read
    left, change = factors
    stepped = lines.add(lines.multiply(left, lines.load(where)), lines.multiply(change, now))
    lines.store(stepped, where)
    for total, pair in zip(
        totals, ((stepped, after), (following, after), (stepped, stepped)), strict=True
    ):
        sums = lines.builder.load(total)
        lines.builder.store(lines.add(sums, lines.multiply(*pair)), total)


class _Lines:
    """Instructions on vectors of a cache line.

    Parameters
    ----------
    builder : of the function that is emitted
    number : LLVM's type of an element
    size : int, its bytes
    """

    def __init__(self, builder, number, size):
        self.builder, self._size = builder, size
        self.vector = ir.VectorType(number, lanes_of(size))
        self.zeros = ir.Constant(self.vector, [0.0] * self.vector.count)
        self._name = f"v{self.vector.count}f{8 * size}"

    def at(self, start, c):
        """Return where the vector begins that is c numbers from ``start``."""
        return self.builder.bitcast(self.builder.gep(start, [c]), self.vector.as_pointer())

    def load(self, where):
        """Read a vector."""
        vector = self.builder.load(where)
        vector.align = self._size
        return vector

    def load_some(self, where, mask):
        """Read those numbers of a vector that the mask has, and zeros for the others."""
        kinds = [where.type, WORD, mask.type, self.vector]
        function = self._function(f"llvm.masked.load.{self._name}.p0", self.vector, kinds)
        return self.builder.call(function, [where, WORD(self._size), mask, self.zeros])

    def store(self, vector, where):
        """Write a vector."""
        self.builder.store(vector, where).align = self._size

    def multiply(self, a, b):
        """Multiply number by number."""
        return self.builder.fmul(a, b, flags=FLAGS)

    def add(self, a, b):
        """Add number to number."""
        return self.builder.fadd(a, b, flags=FLAGS)

    def splat(self, number):
        """Return a vector of equal numbers."""
        kind = ir.VectorType(number.type, self.vector.count)
        nothing = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(nothing, number, WORD(0))
        places = ir.Constant(ir.VectorType(WORD, kind.count), [0] * kind.count)
        return self.builder.shuffle_vector(one, nothing, places)

    def first(self, n):
        """Return a mask of the first n numbers of a vector."""
        kind = ir.VectorType(WORD, self.vector.count)
        places = ir.Constant(kind, list(range(kind.count)))
        return self.builder.icmp_signed("<", places, self.splat(self.builder.trunc(n, WORD)))

    def sum(self, vector):
        """Return the sum of a vector's numbers."""
        number = vector.type.element
        name = f"llvm.vector.reduce.fadd.{self._name}"
        function = self._function(name, number, [number, vector.type])
        return self.builder.call(function, [ir.Constant(number, 0.0), vector], fastmath=FLAGS)

    def _function(self, name, result, kinds):
        return cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(result, kinds), name
        )
