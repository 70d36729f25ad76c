"""Measures that are formulas here, beside scikit-learn's."""

import numpy as np
import pytest
from sklearn import metrics

from fastgd.cli._measures import _log_loss, _of_numbers, as_labels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_loss_of_certain_and_of_uncertain_predictions(dtype, rng):
    p = rng.dirichlet(np.ones(3), 40).astype(dtype)
    p[:2] = [[1, 0, 0], [0, 1, 0]]
    y = np.append([1, 1], rng.integers(0, 3, 38))
    expected = metrics.log_loss(y, p / p.sum(axis=1, keepdims=True), labels=[0, 1, 2])
    assert _log_loss(y, p) == pytest.approx(expected, rel=1e-6 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("missed", [0.0, 2.0])
@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_measures_of_numbers(missed, spread, rng):
    y = 5.0 + spread * rng.normal(size=30)
    predicted = y + missed * rng.normal(size=30)
    found = _of_numbers(y, predicted)
    assert found == pytest.approx(
        {
            "rows": 30,
            "R2": metrics.r2_score(y, predicted),
            "root mean squared error": metrics.root_mean_squared_error(y, predicted),
            "mean absolute error": metrics.mean_absolute_error(y, predicted),
            "median absolute error": metrics.median_absolute_error(y, predicted),
        },
        rel=1e-12,
    )
    assert np.isnan(_of_numbers(y[:1], predicted[:1])["R2"])


def test_squares_of_single_precision_have_room():
    y = np.array([1e25, 2e25], np.float32)
    found = _of_numbers(y, y[::-1])
    assert found["root mean squared error"] == pytest.approx(1e25)
    assert found["R2"] == pytest.approx(-3.0)


def test_labels_are_made_once():
    words = as_labels(np.array(["no", "yes", "no"], object), ["no", "yes"])
    assert words.dtype.kind == "U"
    assert as_labels(words, ["no", "yes"]) is words
