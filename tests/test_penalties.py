"""The elastic net: one step, and many steps at once."""

import numpy as np
import pytest

from fastgd import _resolve
from fastgd.kernels import penalties
from fastgd.kernels.optimizers import cumulative_times
from fastgd.kernels.penalties import ElasticNet
from tests import naive
from tests.tables import PENALTY_CASES, over

pytestmark = pytest.mark.nojit

W = np.array([-3.0, -0.4, -0.02, 0.0, 1e-9, 0.02, 0.7, 250.0])
STEPS = [0.0, 1e-6, 0.1, 1.0, 3.0, 20.0]  # the last ones are longer than 1 / l2


def each(function, penalty, params, *arguments):
    return np.array([function(penalty, param, *arguments) for param in params])


@over(PENALTY_CASES)
def test_words_give_the_strengths(case):
    tag = _resolve.penalty(case.word, case.l1 + case.l2, case.l1_ratio)
    np.testing.assert_allclose(tag, case.tag, rtol=1e-14)


@over(PENALTY_CASES)
def test_value(case):
    expected = naive.penalty_value(W, case.l1, case.l2)
    np.testing.assert_allclose(each(penalties.value, case.tag, W), expected, rtol=1e-14)


@over(PENALTY_CASES)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("change", [0.0, -0.3, 0.05])
def test_proximal(case, step, change):
    expected = naive.proximal(W, change, step, case.l1, case.l2)
    ours = each(penalties.proximal, case.tag, W, change, step)
    np.testing.assert_allclose(ours, expected, rtol=1e-14, atol=1e-16)


@over(PENALTY_CASES)
@pytest.mark.parametrize("step", STEPS)
def test_a_rest_of_one_step_is_the_step_without_a_change(case, step):
    rested = each(penalties.rest, case.tag, W, penalties.clock(case.tag, step))
    moved = each(penalties.proximal, case.tag, W, 0.0, step)
    np.testing.assert_allclose(rested, moved, rtol=1e-13, atol=1e-14)


@over(PENALTY_CASES)
def test_times_add_up(case, rng):
    steps = rng.uniform(0, 0.5, 30)
    times = np.empty(31)
    cumulative_times(case.tag, steps, times)
    rested = each(penalties.rest, case.tag, W, times[-1])
    one_by_one = W
    for step in steps:
        one_by_one = each(penalties.proximal, case.tag, one_by_one, 0.0, step)
    np.testing.assert_allclose(rested, one_by_one, rtol=1e-12, atol=1e-14)
    middle = each(penalties.rest, case.tag, W, times[11])
    rest = each(penalties.rest, case.tag, middle, times[-1] - times[11])
    np.testing.assert_allclose(rest, rested, rtol=1e-12, atol=1e-14)


@over(case for case in PENALTY_CASES if case.l1 > 0)
def test_zeros_are_exact(case):
    small = np.array([-0.02, 0.0, 0.02])
    assert not each(penalties.proximal, case.tag, small, 0.0, 1.0).any()
    assert not each(penalties.rest, case.tag, small, 1.0).any()
    assert not each(penalties.rest, case.tag, W, 1e6).any()


@over(PENALTY_CASES)
def test_no_time_changes_nothing(case):
    np.testing.assert_array_equal(each(penalties.rest, case.tag, W, 0.0), W)


@over(PENALTY_CASES)
def test_dtype_is_kept(case):
    tag = _resolve.in_dtype(case.tag, np.dtype(np.float32))
    param, step = np.float32(0.7), np.float32(0.1)
    assert type(penalties.proximal(tag, param, np.float32(0.1), step)) is np.float32
    assert type(penalties.rest(tag, param, 0.1)) is np.float32


def test_elastic_net_without_a_share_is_refused():
    with pytest.raises(ValueError, match="l1_ratio must be set"):
        _resolve.penalty("elasticnet", 0.1, None)


def test_a_step_longer_than_the_inverse_strength_stops_at_zero():
    assert penalties.proximal(ElasticNet(0.0, 0.5), 3.0, 0.0, 100.0) == 0.0
