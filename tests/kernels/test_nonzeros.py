"""Lists of non-zeros, and sums of rows: compiled code beside plain numpy."""

import numpy as np
import pytest

from fastgd.kernels._jit import kernel
from fastgd.kernels._nonzeros import list_nonzeros, sum_rows, width_of

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@kernel()
def listed(line, places, values):
    """Call what is tested."""
    return list_nonzeros(line, places, values)


@kernel()
def summed(table, places, values, count, kept, columns, out):
    """Call what is tested."""
    sum_rows(table, places, values, count, kept, columns, out)


@DTYPES
@pytest.mark.parametrize("n", [0, 1, 7, 8, 15, 16, 17, 49, 64])
def test_what_is_not_zero_is_listed_in_order(n, dtype, rng):
    for share in (0.0, 0.3, 1.0):
        line = np.where(rng.random(n) < share, rng.normal(size=n), -0.0).astype(dtype)
        if share == 0.3 and n > 1:
            line[-2:] = np.nan, np.inf
        places, values = np.full(n, -1, np.int32), np.full(n, 9, dtype)
        expected = np.flatnonzero(line)
        for function in (listed, listed.py_func):
            assert function(line, places, values) == expected.size
            np.testing.assert_array_equal(places[: expected.size], expected)
            np.testing.assert_array_equal(values[: expected.size], line[expected])


@DTYPES
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("count", [0, 1, 9])
def test_rows_are_added_up_and_other_columns_left(count, kept, dtype, rng):
    width = width_of(np.dtype(dtype).itemsize)
    table = rng.normal(size=(12, 2 * width + 3)).astype(dtype)
    places, values = rng.integers(0, 12, 9).astype(np.uint8), rng.normal(size=9).astype(dtype)
    for first, n_left in ((0, 0), (width, 0), (width + 3, width - 3), (5, 20)):
        before = rng.normal(size=table.shape[1]).astype(dtype)
        expected = before.astype(np.float64)
        columns = slice(first + n_left, first + width)
        expected[columns] *= kept
        for place, value in zip(places[:count], values[:count], strict=True):
            expected[columns] += np.float64(value) * table[place, columns]
        for function in (summed, summed.py_func):
            out = before.copy()
            function(table, places, values, count, kept, (first, n_left), out)
            np.testing.assert_allclose(out, expected, rtol=2e-6, atol=2e-6)
            outside = np.delete(out, np.r_[columns]), np.delete(before, np.r_[columns])
            np.testing.assert_array_equal(*outside)
