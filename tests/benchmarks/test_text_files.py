"""Text that is read from files, beside what others take to the same loss."""

import os
from unittest import mock

import numpy as np
import pytest
import scipy.sparse as sp

with mock.patch.dict(os.environ):  # the package holds benchmarks to one thread; not the tests
    from benchmarks import text_files
    from benchmarks.text_files import Point


@pytest.mark.nojit
def test_the_first_setting_to_a_loss_is_the_one_of_least_processor_time():
    slow, fast = Point(1.0, 4.0, 0.2, True), Point(2.0, 3.0, 0.1, True)
    curves = {"a": [Point(0.1, 0.1, 0.9, False), slow], "b": [fast]}
    assert text_files.first_to(curves, 0.2) == (fast, "b")
    assert text_files.first_to(curves, 0.95) == (curves["a"][0], "a")
    assert text_files.first_to(curves, 0.05) is None


@pytest.mark.nojit
def test_ratios_are_the_peer_s_times_over_ours(capsys):
    ours = {"": [Point(1.0, 2.0, 0.5, False), Point(2.0, 4.0, 0.3, True)]}
    text_files.report({"fastgd": ours, "peer": {"-l 2": [Point(6.0, 3.0, 0.5, True)]}})
    printed = capsys.readouterr().out
    assert "to 0.5000, the best of peer\n" in printed
    assert printed.count("1.00 s (2.00), 6.0x (1.5x)") == 2  # and one percent above
    lower = {"peer": {"": [Point(1.0, 1.0, 0.1, True)]}}
    text_files.report({"fastgd": ours, **lower})
    assert "never" in capsys.readouterr().out


def test_both_learn_the_same_rows(tmp_path):
    random = np.random.default_rng(0)
    X = sp.random(
        3000, 1 << text_files.BITS, 1e-4, "csr", rng=random, data_rvs=random.standard_normal
    )
    y = random.integers(0, 2, 3000)
    text_files.write(tmp_path, X, y)
    rows, labels = next(iter(text_files.opened(tmp_path)))
    assert abs(rows - X[:2700]).max() < 1e-4
    np.testing.assert_array_equal(labels, 2 * y[:2700] - 1)
    for model in (_Counting(), _Counting(random.normal(size=X.shape[1]))):
        points = text_files.train(tmp_path, model, 2)
        assert [point.ends_pass for point in points] == [True, True]
        assert model.n_rows == 2 * 2700
        raw = X[2700:] @ model.coef_[0]
        assert points[-1].loss == pytest.approx(text_files.log_loss_of(raw, y[2700:]))


class _Counting:
    """A model that learns nothing."""

    def __init__(self, coef=None):
        self.coef_ = np.zeros((1, 1 << text_files.BITS)) if coef is None else coef[None]
        self.intercept_, self.n_rows = np.zeros(1), 0

    def partial_fit(self, X, y, classes):
        assert classes == [-1.0, 1.0]
        assert set(y) <= set(classes)
        self.n_rows += X.shape[0]
