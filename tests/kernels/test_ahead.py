"""A step of coefficients and two products of the rows to come, in one pass."""

import numpy as np
import pytest

from fastgd.kernels._ahead import lanes_of, step_ahead, whole_lines
from fastgd.kernels._jit import kernel


@kernel()
def stepped(coef, X, places, factors):
    return step_ahead(coef, X, places[0], places[1], places[2], factors[0], factors[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_pass_is_what_plain_python_makes_of_it(dtype, rng):
    """Of fewer columns than a vector has, whole vectors, and any number beyond them."""
    lanes = lanes_of(np.dtype(dtype).itemsize)
    factors = np.array([0.9, -0.3], dtype)
    for width in (1, lanes - 1, lanes, lanes + 1, 2 * lanes - 1, 4 * lanes, 5 * lanes + 3):
        X = rng.standard_normal((4, width)).astype(dtype)
        coef = np.zeros(whole_lines(width, X.itemsize), dtype)
        coef[:width] = rng.standard_normal(width)
        for places in ((0, 1, 2), (3, 3, 3), (2, 0, 0)):
            plain, compiled = coef.copy(), coef.copy()
            expected = step_ahead(plain, X, *places, *factors)
            found = stepped(compiled, X, np.array(places), factors)
            assert compiled.shape[0] % lanes == 0
            rtol = 20 * np.finfo(dtype).eps
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * width)
            np.testing.assert_allclose(compiled, plain, rtol=0, atol=rtol)
            assert not np.any(compiled[width:])


def test_numbers_beside_the_rows_are_not_read(rng):
    """What lies behind the last row, and in other rows, does not matter, whatever it is."""
    whole = np.full((3, 21), np.nan, np.float32)
    whole[1] = rng.standard_normal(21)
    coef = np.zeros(whole_lines(21, 4), np.float32)
    one = np.array([1.0, 1.0], np.float32)
    dot, product, square = stepped(coef, whole, np.array([1, 1, 1]), one)
    expected = whole[1] @ whole[1]
    np.testing.assert_allclose([dot, product, square], [expected] * 3, rtol=1e-6)
