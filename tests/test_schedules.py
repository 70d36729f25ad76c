"""The rates of the steps, against their formulas for one step at a time."""

import numpy as np
import pytest

from fastgd import SGDClassifier, SGDRegressor, _resolve, schedules
from fastgd.kernels.losses import LOSSES, MULTINOMIAL
from fastgd.kernels.optimizers import Adam, Sgd
from tests import naive, tables
from tests.tables import over

pytestmark = pytest.mark.nojit

STEPS = np.array([1.0, 2.0, 3.0, 10.0, 1e3, 1e9])


@over(tables.SCHEDULE_CASES)
def test_rates(case):
    rates = case.schedule(STEPS)
    np.testing.assert_allclose(rates, [case.rate(t) for t in STEPS], rtol=1e-14)
    assert rates.dtype == np.float64


@over(tables.SCHEDULE_CASES)
def test_a_rate_depends_on_its_step_only(case):
    np.testing.assert_array_equal(case.schedule(STEPS)[2:], case.schedule(STEPS[2:]))


@over(case for case in tables.LOSS_CASES if type(case.tag).kind != MULTINOMIAL)
@pytest.mark.parametrize("alpha", [1e-6, 1e-4, 0.5])
def test_optimal_starts_by_the_slope_of_the_loss(case, alpha):
    rates = schedules.optimal(alpha, case.tag)(STEPS)
    expected = [naive.optimal(t, alpha, case.naive) for t in STEPS]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_optimal_takes_a_softmax_for_log_loss():
    assert schedules.optimal(0.1, LOSSES["softmax"]) == schedules.optimal(0.1, LOSSES["log_loss"])


@over(tables.SCHEDULE_CASES)
def test_an_estimator_s_words_give_the_schedule(case):
    model = SGDRegressor(learning_rate=case.name, eta0=0.3, power_t=0.25, alpha=1e-3)
    assert _resolve.schedule(model, LOSSES["squared_hinge"], Sgd()) == case.schedule


@pytest.mark.parametrize("kind", [SGDClassifier, SGDRegressor])
def test_the_default_means_a_constant_rate_with_another_optimizer(kind):
    schedule = _resolve.schedule(kind(), LOSSES["squared_error"], Adam())
    assert schedule == schedules.Constant(Adam.eta0)


def test_a_callable_is_taken_as_it_is():
    rule = lambda t: 1 / t  # noqa: E731
    assert _resolve.schedule(SGDClassifier(learning_rate=rule), LOSSES["hinge"], Sgd()) is rule


def test_optimal_without_a_penalty_is_refused():
    with pytest.raises(ValueError, match="alpha must be > 0"):
        _resolve.schedule(SGDClassifier(alpha=0), LOSSES["hinge"], Sgd())
