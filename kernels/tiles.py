"""Products with tiles of a batch: some features of some rows, side by side or without their zeros.

Images, counts and indicators of categories have many zeros, though their rows are dense. Of a tile
X_t with few other numbers these are listed, row by row for X_t W and feature by feature for X_t' D,
and the products are sums of rows of W and D: O(non-zeros) in place of O(rows x features), at less
than half the rate of a dense product. Which way a tile goes is said by its own numbers alone. A
list takes a tile's place in the batch's ``block``.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels._blas import (
    add_product,
    add_transposed_product,
    multiply,
    multiply_transposed,
)
from fastgd.kernels._jit import helper
from fastgd.kernels._nonzeros import list_nonzeros, sum_rows
from fastgd.kernels._prefetch import prefetch_rows
from fastgd.kernels._views import line_in, row_in, table_in
from fastgd.kernels.rows import row_at

IS_DENSE = -1  # in place of the number of a tile's first feature's non-zeros


class Tile(NamedTuple):
    """Where a tile lies in a batch; those with the same features are counted."""

    number: int
    feature: int
    n_features: int
    row: int
    n_rows: int


class Lists(NamedTuple):
    """Where non-zeros are listed.

    share : float, of a tile's numbers: if more of them are not zero it is multiplied as it is; 0
        where nothing is listed
    width : int, ``_nonzeros.width_of`` the dtype
    rows : (as ``block``), uint8, of each feature's non-zeros the rows within the tile
    counts : (most tiles side by side, n_features), int32, how many these are
    features, values, counts_of_rows : (n_strips, ...), a tile's non-zeros row by row, until it is
        multiplied
    """

    share: float
    width: int
    rows: np.ndarray
    counts: np.ndarray
    features: np.ndarray
    values: np.ndarray
    counts_of_rows: np.ndarray


@helper()
def bring_in(lists, strip, tile, rows, batch, block):
    """Copy a tile's numbers side by side, or list those that are not zero."""
    if lists.share > 0:
        if _list_rows(lists, strip, tile, rows, batch):
            _list_features(lists, strip, tile, block)
            return
        _counts(lists, tile)[0] = IS_DENSE
    x, first = _numbers(tile, block), np.uint64(tile.feature)
    for o in range(tile.n_rows):
        i, at = np.uint64(row_at(batch.order, batch.start + tile.row + o)), np.uint64(o)
        for j in range(tile.n_features):
            x[at, np.uint64(j)] = rows.values[i, first + np.uint64(j)]


@helper()
def multiply_tile(lists, strip, tile, block, weights, is_added, out):
    """Write X_t W, or add it, right after the tile has been brought in."""
    x = _numbers(tile, block)
    if _is_listed(lists, tile):
        places, values, counts = _of_rows(lists, strip, tile)
        _sum_lines(lists.width, weights, places, values, counts, is_added, out)
    elif is_added:
        add_product(x, weights, out)
    else:
        multiply(x, weights, out)


@helper()
def multiply_transposed_tile(lists, tile, block, delta, is_added, out):
    """Write X_t' D, or add it."""
    if _is_listed(lists, tile):
        at = _place(tile, block)
        places = table_in(lists.rows, at, tile.n_features, tile.n_rows)
        values = table_in(block, at, tile.n_features, tile.n_rows)
        _sum_lines(lists.width, delta, places, values, _counts(lists, tile), is_added, out)
    elif is_added:
        add_transposed_product(_numbers(tile, block), delta, out)
    else:
        multiply_transposed(_numbers(tile, block), delta, out)


@helper()
def _place(tile, block):
    return tile.feature * block.shape[0] + tile.row * tile.n_features


@helper()
def _numbers(tile, block):
    return table_in(block, _place(tile, block), tile.n_rows, tile.n_features)


@helper()
def _counts(lists, tile):
    """Return where a tile's features have their numbers of non-zeros."""
    return line_in(row_in(lists.counts, tile.number), tile.feature, tile.n_features)


@helper()
def _is_listed(lists, tile):
    return lists.share > 0 and _counts(lists, tile)[0] != IS_DENSE


@helper()
def _of_rows(lists, strip, tile):
    """Return a tile's features and values, (n_rows, n_features), and their numbers by row."""
    return (
        table_in(row_in(lists.features, strip), 0, tile.n_rows, tile.n_features),
        table_in(row_in(lists.values, strip), 0, tile.n_rows, tile.n_features),
        row_in(lists.counts_of_rows, strip),
    )


@helper()
def _list_rows(lists, strip, tile, rows, batch):
    """List each row's non-zeros; False, and not all of them, if there are too many."""
    features, values, counts = _of_rows(lists, strip, tile)
    most, total = lists.share * tile.n_rows * tile.n_features, 0
    for o in range(tile.n_rows):
        line = _line_of(tile, o, rows, batch)
        counts[o] = list_nonzeros(line, row_in(features, o), row_in(values, o))
        total += counts[o]
        if total > most:
            return False
    return True


@helper()
def _line_of(tile, number, rows, batch):
    """Return a row's numbers of a tile's features."""
    i = row_at(batch.order, batch.start + tile.row + number)
    return line_in(rows.values, i * rows.values.shape[1] + tile.feature, tile.n_features)


@helper()
def fetch(tile, rows, batch):
    """Ask for a tile's numbers: they will be read soon."""
    for o in range(tile.n_rows):
        prefetch_rows(_line_of(tile, o, rows, batch), 0, tile.n_features)


@helper()
def _list_features(lists, strip, tile, block):
    """List each feature's non-zeros, from those of the rows, in place of the tile's numbers."""
    features, values, counts_of_rows = _of_rows(lists, strip, tile)
    at = _place(tile, block)
    rows_of = table_in(lists.rows, at, tile.n_features, tile.n_rows)
    values_of = table_in(block, at, tile.n_features, tile.n_rows)
    counts = _counts(lists, tile)
    counts[:] = 0
    for row in range(tile.n_rows):
        o = np.uint64(row)
        for number in range(counts_of_rows[o]):
            k = np.uint64(number)
            j = np.uint64(features[o, k])
            before = np.uint64(counts[j])
            rows_of[j, before], values_of[j, before] = row, values[o, k]
            counts[j] = before + np.uint64(1)


@helper()
def _sum_lines(width, table, places, values, counts, is_added, out):
    """Write, or add, a product of listed lines with a table, by columns that stay in L1."""
    n_lines, units = out.shape
    for begin in range(0, units, width):
        first = min(begin, units - width)
        for o in range(n_lines):
            line = np.uint64(o)
            at, x = row_in(places, line), row_in(values, line)
            own, columns = row_in(out, line), (first, begin - first)
            sum_rows(table, at, x, counts[line], is_added, columns, own)
