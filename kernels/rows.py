"""Rows of X, dense or CSR: the only code that knows how X is laid out.

``Dense`` and ``CSR`` are NamedTuples of arrays. What a solver does with rows goes through the
hooks below, so that a solver is written once and serves both. Parameters come with the intercept
last, ``(n_features + 1,)`` or ``(n_features + 1, n_outputs)``; no hook touches the intercept.

A batch is ``order[start:stop]``, numbers of rows; an empty ``order`` means the rows as they lie.

Notes
-----
The dense loops take four rows at a time: they share the loads of the parameters (margins) and
the loads and stores of the gradient (accumulate). Wide rows come one at a time, because four
streams of memory side by side come at half the speed of one. Column numbers are cast to unsigned,
which spares the test for a negative index: 15 % of a sparse dot product.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels._hook import cast, hook
from fastgd.kernels._jit import helper
from fastgd.kernels._prefetch import prefetch_column, prefetch_rows

# While rows are multiplied, those that lie this many bytes further in the order are fetched. More
# would push out of L2 what was fetched before.
BYTES_AHEAD = 1 << 14
WIDE_ROW = 1 << 10  # bytes from which rows are read one at a time
LEAST_FETCHED = 1 << 20  # bytes of X: less lies in L2 anyway
WIDEST_FETCHED = 1 << 11  # bytes up to which rows are fetched; the processor foresees wider ones
# Of shuffled sparse rows: which one is fetched, and how many of its numbers. With 24 numbers a row
# an epoch of sgd takes 0.6 of its time without. Where a row begins is asked for as long before.
ROWS_AHEAD, MOST_FETCHED = 8, 1 << 8

BYTES_AT_ONCE = 1 << 18  # of rows that stay in L2 between two uses
FEWEST_AT_ONCE = 4
ALL_AT_ONCE = 1 << 40


@helper()
def row_at(order, position):
    """Return the number of the row that an epoch visits at this position."""
    if order.shape[0] == 0:
        return np.int64(position)
    return np.int64(order[position])


@hook
def entries(rows, i):
    """Return where the entries of row i begin and end, for ``entry``."""
    return type(rows).entries(rows, i)


@hook
def entry(rows, i, k):
    """Return the column and the value of entry k of row i."""
    return type(rows).entry(rows, i, k)


@hook
def column_of(rows, k):
    """Return the column of entry k, as ``entries`` counts them; sparse rows only."""
    return type(rows).column_of(rows, k)


@hook
def row_dot(rows, i, params):
    """Return x_i w, for one output."""
    return type(rows).row_dot(rows, i, params)


@hook
def fetch(rows, order, position):
    """Ask for the row that is visited some steps after this position: it will be read soon."""
    return type(rows).fetch(rows, order, position)


@hook
def at_once(rows):
    """Return how many rows stay in cache between ``margins`` and ``accumulate``."""
    return type(rows).at_once(rows)


@hook
def margins(rows, order, start, stop, params, raw):
    """Write X_b w into ``raw[: stop - start]``, for one output."""
    return type(rows).margins(rows, order, start, stop, params, raw)


@hook
def accumulate(rows, order, start, stop, delta, gradient):
    """Add X_b' delta to ``gradient``, for one output."""
    return type(rows).accumulate(rows, order, start, stop, delta, gradient)


@hook
def margins_multi(rows, order, start, stop, params, raw, block):
    """Write X_b W into ``raw[: stop - start]``, for many outputs.

    ``block`` is scratch, with as many rows at least.
    """
    return type(rows).margins_multi(rows, order, start, stop, params, raw, block)


@hook
def accumulate_multi(rows, order, start, stop, delta, gradient, block, product):
    """Add X_b' delta to ``gradient``, for many outputs; ``product`` is scratch.

    ``block`` is as ``margins_multi`` of the same rows has left it.
    """
    return type(rows).accumulate_multi(rows, order, start, stop, delta, gradient, block, product)


@hook
def standardise(rows, center, inverse_std, first, size, block):
    """Write (x - center) * inverse_std of ``size`` rows from ``first`` into ``block``, densely."""
    return type(rows).standardise(rows, center, inverse_std, first, size, block)


class Dense(NamedTuple):
    """Rows of a C-contiguous array.

    values : ndarray of shape (n_samples, n_features), read-only
    """

    values: np.ndarray

    is_sparse = False

    @staticmethod
    def entries(rows, i):
        return 0, rows.values.shape[1]

    @staticmethod
    def entry(rows, i, k):
        return k, rows.values[i, k]

    @staticmethod
    def row_dot(rows, i, params):
        return _dense_dot(rows.values, i, params)

    @staticmethod
    def at_once(rows):
        fit = BYTES_AT_ONCE // (rows.values.shape[1] * rows.values.itemsize + 1)
        return max(fit // 4 * 4, FEWEST_AT_ONCE)

    @staticmethod
    def fetch(rows, order, position):
        ahead = rows_ahead(rows.values)
        fetch_from(rows.values, order, position + ahead, ahead)

    @staticmethod
    def margins(rows, order, start, stop, params, raw):
        return _dense_margins(rows.values, order, start, stop, params, raw)

    @staticmethod
    def accumulate(rows, order, start, stop, delta, gradient):
        return _dense_accumulate(rows.values, order, start, stop, delta, gradient)

    @staticmethod
    def margins_multi(rows, order, start, stop, params, raw, block):
        return _dense_margins_multi(rows.values, order, start, stop, params, raw, block)

    @staticmethod
    def accumulate_multi(rows, order, start, stop, delta, gradient, block, product):
        return _dense_accumulate_multi(
            rows.values, order, start, stop, delta, gradient, block, product
        )

    @staticmethod
    def standardise(rows, center, inverse_std, first, size, block):
        return _dense_standardise(rows.values, center, inverse_std, first, size, block)


class CSR(NamedTuple):
    """Rows of a canonical CSR matrix: columns sorted and distinct within a row.

    data, indices, indptr : ndarrays as in ``scipy.sparse.csr_array``, read-only
    """

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray

    is_sparse = True

    @staticmethod
    def entries(rows, i):
        # as int64: counted in int32, every entry's place would be extended by an instruction
        return np.int64(rows.indptr[i]), np.int64(rows.indptr[i + 1])

    @staticmethod
    def entry(rows, i, k):
        return np.uint64(rows.indices[np.uint64(k)]), rows.data[np.uint64(k)]

    @staticmethod
    def column_of(rows, k):
        return np.uint64(rows.indices[np.uint64(k)])

    @staticmethod
    def row_dot(rows, i, params):
        return _sparse_dot(rows, i, params)

    @staticmethod
    def at_once(rows):
        return ALL_AT_ONCE

    @staticmethod
    def fetch(rows, order, position):
        if position + 2 * ROWS_AHEAD < order.shape[0]:
            prefetch_column(rows.indptr, row_at(order, position + 2 * ROWS_AHEAD))
        if position + ROWS_AHEAD < order.shape[0]:
            _sparse_fetch(rows, row_at(order, position + ROWS_AHEAD))

    @staticmethod
    def margins(rows, order, start, stop, params, raw):
        for position in range(start, stop):
            raw[position - start] = _sparse_dot(rows, row_at(order, position), params)

    @staticmethod
    def accumulate(rows, order, start, stop, delta, gradient):
        for position in range(start, stop):
            i, d = row_at(order, position), delta[position - start]
            begin, end = entries(rows, i)
            for k in range(begin, end):
                at = np.uint64(k)
                gradient[np.uint64(rows.indices[at])] += d * rows.data[at]

    @staticmethod
    def margins_multi(rows, order, start, stop, params, raw, block):
        return _sparse_margins_multi(rows, order, start, stop, params, raw)

    @staticmethod
    def accumulate_multi(rows, order, start, stop, delta, gradient, block, product):
        return _sparse_accumulate_multi(rows, order, start, stop, delta, gradient)

    @staticmethod
    def standardise(rows, center, inverse_std, first, size, block):
        return _sparse_standardise(
            rows.data, rows.indices, rows.indptr, center, inverse_std, first, size, block
        )


@helper()
def _dense_dot(X, i, w):
    total = cast(0.0, w[0])  # not w[0] - w[0], for which the step before would have to be done
    for j in range(X.shape[1]):
        total += X[i, j] * w[j]
    return total


@helper()
def rows_ahead(X):
    """Return how far ahead rows are fetched: 0 where the processor does better alone."""
    row = X.shape[1] * X.itemsize
    if row > WIDEST_FETCHED or X.shape[0] * row < LEAST_FETCHED:
        return 0
    return BYTES_AHEAD // (row + 1) + 1


@helper()
def _n_visited(X, order):
    return order.shape[0] if order.shape[0] > 0 else X.shape[0]


@helper()
def fetch_from(X, order, position, ahead):
    """Ask for the row at this position, unless rows are not fetched: ``ahead`` is 0."""
    if ahead > 0:
        _dense_fetch(X, order, position)


@helper()
def _dense_fetch(X, order, position):
    prefetch_rows(X, row_at(order, min(position, _n_visited(X, order) - 1)), 1)


@helper()
def _dense_fetch_four(X, order, position):
    if position + 3 >= _n_visited(X, order):
        return
    first = row_at(order, position)
    if row_at(order, position + 3) == first + 3:
        prefetch_rows(X, first, 4)
        return
    for neighbour in range(4):
        prefetch_rows(X, row_at(order, position + neighbour), 1)


@helper()
def _sparse_fetch(rows, i):
    begin, end = entries(rows, i)
    n_fetched = min(end - begin, MOST_FETCHED)
    prefetch_rows(rows.data, begin, n_fetched)
    prefetch_rows(rows.indices, begin, n_fetched)


@helper()
def _sparse_dot(rows, i, w):
    total = cast(0.0, w[0])
    begin, end = entries(rows, i)
    for k in range(begin, end):
        at = np.uint64(k)
        total += rows.data[at] * w[np.uint64(rows.indices[at])]
    return total


@helper()
def _dense_margins(X, order, start, stop, w, raw):
    zero, ahead = cast(0.0, w[0]), rows_ahead(X)
    is_wide = X.shape[1] * X.itemsize >= WIDE_ROW
    last_four = start if is_wide else start + (stop - start) // 4 * 4
    for position in range(start, last_four, 4):
        if ahead > 0:
            _dense_fetch_four(X, order, position + ahead)
        a, b = row_at(order, position), row_at(order, position + 1)
        c, e = row_at(order, position + 2), row_at(order, position + 3)
        sum_a, sum_b, sum_c, sum_e = zero, zero, zero, zero
        for j in range(X.shape[1]):
            sum_a += X[a, j] * w[j]
            sum_b += X[b, j] * w[j]
            sum_c += X[c, j] * w[j]
            sum_e += X[e, j] * w[j]
        o = position - start
        raw[o], raw[o + 1], raw[o + 2], raw[o + 3] = sum_a, sum_b, sum_c, sum_e
    for position in range(last_four, stop):
        if ahead > 0:
            _dense_fetch(X, order, position + ahead)
        raw[position - start] = _dense_dot(X, row_at(order, position), w)


@helper()
def _dense_accumulate(X, order, start, stop, delta, g):
    last_four = start + (stop - start) // 4 * 4
    for position in range(start, last_four, 4):
        a, b = row_at(order, position), row_at(order, position + 1)
        c, e = row_at(order, position + 2), row_at(order, position + 3)
        o = position - start
        of_a, of_b, of_c, of_e = delta[o], delta[o + 1], delta[o + 2], delta[o + 3]
        for j in range(X.shape[1]):
            g[j] += (of_a * X[a, j] + of_b * X[b, j]) + (of_c * X[c, j] + of_e * X[e, j])
    for position in range(last_four, stop):
        i, d = row_at(order, position), delta[position - start]
        for j in range(X.shape[1]):
            g[j] += d * X[i, j]


# With many outputs a dense batch is a matrix product, which BLAS does at 90-145 GFLOP/s where
# plain loops reach 30-50; below this many rows its overhead outweighs that.
FEWEST_ROWS_FOR_BLAS = 4


@helper()
def _dense_margins_multi(X, order, start, stop, W, raw, block):
    if stop - start < FEWEST_ROWS_FOR_BLAS:
        for position in range(start, stop):
            _dense_row_product(X, row_at(order, position), W, raw, position - start)
        return
    _dense_block_margins(X, order, start, stop, W[: X.shape[1]], raw[: stop - start], block)


@helper()
def _dense_accumulate_multi(X, order, start, stop, delta, gradient, block, product):
    if stop - start < FEWEST_ROWS_FOR_BLAS:
        for position in range(start, stop):
            _dense_outer(X, row_at(order, position), delta, position - start, gradient)
        return
    _dense_block_product(X, order, start, stop, delta[: stop - start], block, product)
    for j in range(X.shape[1]):
        for k in range(product.shape[1]):
            gradient[j, k] += product[j, k]


@helper(allocates=True)
def _dense_block_margins(X, order, first, last, W, raw, block):
    _gather(X, order, first, last, block)
    np.dot(_gathered(X, order, first, last, block), W, raw)


@helper(allocates=True)
def _dense_block_product(X, order, first, last, delta, block, product):
    np.dot(_gathered(X, order, first, last, block).T, delta, product)


@helper()
def _gather(X, order, first, last, block):
    """Copy rows ``order[first:last]`` to ``block``, unless they are as they lie."""
    if order.shape[0] == 0:
        return
    for position in range(first, last):
        i = row_at(order, position)
        for j in range(X.shape[1]):
            block[position - first, j] = X[i, j]


@helper(allocates=True)
def _gathered(X, order, first, last, block):
    """Return rows ``order[first:last]`` as one contiguous array."""
    return X[first:last] if order.shape[0] == 0 else block[: last - first]


@helper()
def _dense_row_product(X, i, W, out, o):
    for k in range(W.shape[1]):
        out[o, k] = 0
    for j in range(X.shape[1]):
        x = X[i, j]
        for k in range(W.shape[1]):
            out[o, k] += x * W[j, k]


@helper()
def _dense_outer(X, i, delta, o, gradient):
    for j in range(X.shape[1]):
        x = X[i, j]
        for k in range(gradient.shape[1]):
            gradient[j, k] += x * delta[o, k]


@helper()
def _sparse_margins_multi(rows, order, start, stop, W, raw):
    data, indices, indptr = rows.data, rows.indices, rows.indptr
    for position in range(start, stop):
        i, o = row_at(order, position), position - start
        for k in range(W.shape[1]):
            raw[o, k] = 0
        for entry_number in range(np.int64(indptr[i]), np.int64(indptr[i + 1])):
            at = np.uint64(entry_number)
            j, x = np.uint64(indices[at]), data[at]
            for k in range(W.shape[1]):
                raw[o, k] += x * W[j, k]


@helper()
def _sparse_accumulate_multi(rows, order, start, stop, delta, gradient):
    data, indices, indptr = rows.data, rows.indices, rows.indptr
    for position in range(start, stop):
        i, o = row_at(order, position), position - start
        for entry_number in range(np.int64(indptr[i]), np.int64(indptr[i + 1])):
            at = np.uint64(entry_number)
            j, x = np.uint64(indices[at]), data[at]
            for k in range(gradient.shape[1]):
                gradient[j, k] += x * delta[o, k]


@helper()
def _dense_standardise(X, center, inverse_std, first, size, block):
    for o in range(size):
        for j in range(X.shape[1]):
            # in float64: X - center may cancel, and center has digits that float32 has not
            block[o, j] = (X[first + o, j] - center[j]) * inverse_std[j]


@helper()
def _sparse_standardise(data, indices, indptr, center, inverse_std, first, size, block):
    for o in range(size):
        for j in range(center.shape[0]):
            block[o, j] = -center[j] * inverse_std[j]
        for k in range(indptr[first + o], indptr[first + o + 1]):
            at = np.uint64(k)
            j = np.uint64(indices[at])
            block[o, j] = (data[at] - center[j]) * inverse_std[j]
