"""The polynomials against numpy, over the ranges that their docstrings promise."""

import numpy as np
import pytest

from fastgd.kernels.elementary import _expm1_in_single, exp, expm1, expm1_alike, log1p

ULP = np.finfo(np.float64).eps  # what numpy's own value may be off by

pytestmark = pytest.mark.nojit


def each(function, x):
    return np.array([function(value) for value in x])


def test_exp(rng):
    x = np.concatenate([rng.uniform(-708, 709, 1000), rng.uniform(-1, 1, 1000), [-708, 0, 709]])
    np.testing.assert_allclose(each(exp, x), np.exp(x), rtol=4e-16 + ULP)


@pytest.mark.parametrize(("x", "bound"), [(-1e4, -708.0), (-np.inf, -708.0), (1e4, 709.0)])
def test_exp_clips_instead_of_overflowing(x, bound):
    np.testing.assert_allclose(exp(x), np.exp(bound), rtol=4e-16 + ULP)


def test_expm1_keeps_the_digits_of_small_numbers(rng):
    small = rng.choice([-1.0, 1.0], 1000) * 10.0 ** rng.uniform(-300, 0, 1000)
    x = np.concatenate([small, rng.uniform(-30, 700, 1000), [0.0, 0.3, -0.3]])
    np.testing.assert_allclose(each(expm1, x), np.expm1(x), rtol=2e-15 + ULP)


def test_expm1_of_float32(rng):
    """To its own precision, clipped where it would overflow; float64 is what ``expm1`` gives."""
    small = rng.choice([-1.0, 1.0], 1000) * 10.0 ** rng.uniform(-30, 0, 1000)
    x = np.concatenate([small, rng.uniform(-87, 88, 1000), [0.0, 0.34, 0.35, -0.34, -0.35]])
    x = x.astype(np.float32)
    found = each(_expm1_in_single, x)
    np.testing.assert_allclose(found, np.expm1(x.astype(np.float64)), rtol=3e-7)
    for far, bound in ((-1e4, -87.0), (-np.inf, -87.0), (1e4, 88.0)):
        assert _expm1_in_single(np.float32(far)) == _expm1_in_single(np.float32(bound))
    assert expm1_alike(0.7) == expm1(0.7)


def test_log1p(rng):
    e = np.concatenate([rng.uniform(0, 1, 1000), 10.0 ** rng.uniform(-300, 0, 1000), [0.0, 1.0]])
    np.testing.assert_allclose(each(log1p, e), np.log1p(e), rtol=1e-15 + ULP, atol=0)


@pytest.mark.parametrize("function", [exp, expm1, log1p])
def test_float32_is_computed_in_float64(function):
    x = np.float32(0.7)
    assert function(x) == function(float(x))
