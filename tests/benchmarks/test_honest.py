"""The benchmark of promises: what it counts as a fit that ends higher, and which fits there are."""

import os
from unittest import mock

import numpy as np
import pytest

import fastgd

with mock.patch.dict(os.environ):  # the package holds benchmarks to one thread; not the tests
    from benchmarks import honest

MODELS = {model.name: model for model in honest.models()}


def fit_of(tol, objective, rounding=0.0):
    return honest.Fit("float32", tol, objective, 1.0, False, 1.0, 0.0, rounding)


def test_a_rise_that_rounding_of_the_coefficients_explains_is_none():
    fits = [fit_of(1e-1, 1.0), fit_of(1e-3, 1.0 + 1e-6, rounding=2e-6)]
    assert honest.tallied(fits, 1.0, 1.0).not_monotone == 0
    fits[1] = fits[1]._replace(rounding=1e-7)
    assert honest.tallied(fits, 1.0, 1.0).not_monotone == 1


def test_what_rounding_changes_is_small_and_nothing_in_float64(rng):
    X = rng.normal(size=(80, 4)) + 100.0
    y = X @ [1.0, -2.0, 0.5, 0.0] + rng.normal(size=80)
    model = MODELS["ridge"]
    for dtype in (np.float64, np.float32):
        given = X.astype(dtype)
        ridge = fastgd.Ridge().fit(given, y)
        wide = given.astype(np.float64)
        objective = model.objective(wide, y, ridge)
        coef = ridge.coef_.copy()
        rise = honest.rise_by_rounding(model, wide, y, ridge, objective)
        assert np.array_equal(ridge.coef_, coef)
        if dtype == np.float64:
            assert rise == 0.0
            continue
        # a unit of the last place of each, times columns of 100, squared
        unit = np.finfo(np.float32).eps * (np.abs(coef).sum() * 103.0 + abs(ridge.intercept_))
        assert 0.0 < rise <= 0.5 * unit**2 + unit * np.sqrt(2.0 * objective)


@pytest.mark.parametrize("labels", [[0, 1] * 10, [0] * 15 + [1] * 5, [0, 1, 2, 3] * 5])
def test_two_classes_are_two(labels):
    table = honest.Table("any", np.zeros((20, 1)), np.array(labels), np.zeros(20))
    assert np.unique(honest.target_of(table, "two")).size == 2
