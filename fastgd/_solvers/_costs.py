"""What passes, products and factorisations cost, and which matrices are worth their memory.

Times are in nanoseconds of one core, measured on a Xeon at 2.1 GHz; only their ratios matter, and
those only to a factor of two. They follow from sizes and the number of non-zeros alone, so that
what is chosen, and so the result, is the same on every machine.
"""

from typing import Any

import numpy as np

from fastgd.kernels.rows import Dense

DENSE_FROM = 0.1  # share of non-zeros from which matrix products beat single entries

OF_CALL = 100_000.0  # a pass, whatever its size: Python around a kernel
OF_ROW = 10.0  # a loss and its derivatives
OF_ENTRY, OF_NONZERO = 0.7, 3.0  # a pass over X, for a dense entry and a stored one
OF_OUTPUT = 0.25  # of that, each output more: the entry is in a register
OF_BLAS = 0.04  # a multiplication and an addition of a product X'DX in float64, symmetric
OF_PAIR = 1.5  # a pair of non-zeros in such a product, entry by entry
OF_FACTOR, OF_COPY = 0.012, 10.0  # Cholesky's, for each entry^1.5; and what handles entries
OF_INVERSE = 4.0  # factors

LARGEST_MATRIX = 3000  # columns: 72 MB, and 9 GFLOP a factorisation
# Passes that a matrix may cost. L-BFGS in standardised coordinates took 5 to 60 passes on one-hot
# tables, where a matrix of 500 columns costs 10 and one of 2,900 costs 500.
# On 1,000 x 1,000 normal numbers, where it costs 60, they took a third of the time.
MOST_PASSES = 5.0, 20.0  # of sparse rows and of dense ones
# Where nothing else is exact: under an l1 penalty, and for squared errors of dense rows.
MOST_PASSES_EXACT = 12.0, 150.0
LATE = 1.5  # times a matrix's cost in passes: then the problem is hard enough for one
FREE_BYTES = 16 << 20  # a matrix that is no larger may be made whatever X is
FINISHED_IN_FLOAT64 = 100_000  # entries of X: solved to rounding, whatever that costs
# Entries of X as a dense matrix, and work of its QR factorisation: what a method that factorises it
# in each step may have, where cheaper ones have not arrived.
LARGEST_FACTORISED, MOST_WORK_OF_QR = 2_000_000, 1e9
TIMES_X = 1.0  # and one of so many times the bytes of X; some four of them exist at once


def is_scattered(rows: Any, n: int, d: int) -> bool:
    """Tell whether rows are so sparse that entries are visited one by one."""
    return not isinstance(rows, Dense) and rows.data.size < DENSE_FROM * n * d


def bytes_of(rows: Any) -> int:
    """Return the bytes of X."""
    return int(sum(array.nbytes for array in rows))


def n_entries(rows: Any) -> int:
    """Return the number of stored entries."""
    return int(rows.values.size if isinstance(rows, Dense) else rows.data.size)


def n_pairs(rows: Any) -> float:
    """Return the number of pairs of non-zeros that share a row."""
    counts = np.diff(rows.indptr).astype(np.float64) + 1.0
    return float(counts @ counts) / 2.0


def of_pass(rows: Any, n: int, n_outputs: int) -> float:
    """Return the time of a pass: the objective and its gradient."""
    each = OF_ENTRY if isinstance(rows, Dense) else OF_NONZERO
    entries = n_entries(rows) * each * (1.0 + OF_OUTPUT * (n_outputs - 1))
    return OF_CALL + entries + OF_ROW * n * n_outputs


def of_products(rows: Any, n: int, d: int, size: int, pairs: float | None = None) -> float:
    """Return the time to sum the weighted products of the columns into a size x size matrix.

    More columns than the rows have are those of many outputs, which go through BLAS. ``pairs`` is
    ``n_pairs`` where that is known.
    """
    if size <= d + 1 and is_scattered(rows, n, d):
        pairs = n_pairs(rows) if pairs is None else pairs
        return OF_PAIR * pairs + OF_COPY * size**2
    return OF_BLAS * n * float(size) ** 2 + n * size


def of_factor(size: int) -> float:
    """Return the time to factorise a matrix."""
    return OF_FACTOR * float(size) ** 3 + OF_COPY * size**2


def fits(rows: Any, size: int) -> bool:
    """Tell whether a size x size matrix is not out of proportion to X."""
    return 8.0 * float(size) ** 2 <= max(FREE_BYTES, TIMES_X * bytes_of(rows))


def can_factorise(n: int, d: int) -> bool:
    """Tell whether X itself, made dense, may be factorised once for each of some tens of steps."""
    return n * d <= LARGEST_FACTORISED and n * d * min(n, d) <= MOST_WORK_OF_QR


def most_shards(rows: Any, size: int) -> int:
    """Return how many matrices of this size may be summed apart."""
    return max(1, int((FREE_BYTES + TIMES_X * bytes_of(rows)) // (8 * max(size, 1) ** 2)))


def passes_of(rows: Any, n: int, d: int, n_outputs: int, size: int, blas: float = 1.0) -> float:
    """Return how many passes a size x size matrix costs, and its factorisation.

    ``blas`` is 0.5 where products are of float32.
    """
    matrix = blas * of_products(rows, n, d, size) + of_factor(size)
    return matrix / of_pass(rows, n, max(1, n_outputs))


def have_cheap_blocks(rows: Any, n: int, d: int, n_outputs: int, most: float) -> bool:
    """Tell whether inverse matrices of the columns, one for each output, cost ``most`` passes."""
    size = d + 1
    if is_scattered(rows, n, d) or not fits(rows, int(size * n_outputs**0.5)):
        return False
    each = of_products(rows, n, d, size) + OF_INVERSE * of_factor(size)
    return n_outputs * each <= most * of_pass(rows, n, n_outputs)


def largest_matrix(rows: Any, n: int, d: int, n_outputs: int, is_exact: bool = False) -> int:
    """Return up to what size a matrix of products is worth its time and memory.

    ``is_exact`` says that it solves more than a step: of squared errors, or under an l1 penalty.
    """
    limits = MOST_PASSES_EXACT if is_exact else MOST_PASSES
    is_sparse = is_scattered(rows, n, d)
    most = limits[0 if is_sparse else 1]
    one, pairs = of_pass(rows, n, max(1, n_outputs)), n_pairs(rows) if is_sparse else 0.0
    small = n * d <= FINISHED_IN_FLOAT64
    low, high = 1, LARGEST_MATRIX
    while low < high:  # both grow with the size
        size = (low + high + 1) // 2
        cheap = small or of_products(rows, n, d, size, pairs) + of_factor(size) <= most * one
        if cheap and fits(rows, size):
            low = size
        else:
            high = size - 1
    return low


def pays_at_last(rows: Any, n: int, d: int, n_outputs: int, n_passes: int) -> bool:
    """Tell whether so many passes have been taken that a matrix of all would have cost less."""
    size = (d + 1) * max(1, n_outputs)
    if size > LARGEST_MATRIX or not fits(rows, size):
        return False
    return n_passes > LATE * passes_of(rows, n, d, n_outputs, size)
