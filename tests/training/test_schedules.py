"""The rates of the steps, against their formulas for one step at a time, and PyTorch's."""

import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastgd import SGDClassifier, SGDRegressor, schedules
from fastgd._parameters import resolve as _resolve
from fastgd.kernels.losses import LOSSES, MULTINOMIAL
from fastgd.kernels.optimizers import Adam, Sgd
from tests import naive, tables
from tests.tables import MAX_ITER, STEPS_PER_EPOCH, over, over_product

pytestmark = pytest.mark.nojit

STEPS = np.concatenate([np.arange(1.0, 62.0), [140, 141, 421, 1e3, 1e9]])
SHAPE = {"steps_per_epoch": STEPS_PER_EPOCH, "max_iter": MAX_ITER}
RECORDED = json.loads((Path(__file__).parents[1] / "fixtures/torch_schedules.json").read_text())
STATEFUL = ("adaptive", "plateau")


def steps_for(case):
    """Return step numbers; a rate that grows would overflow at the last of them."""
    return STEPS[:-1] if case.name == "growth" else STEPS


@over(tables.SCHEDULE_CASES)
def test_rates(case):
    t = steps_for(case)
    rates = case.schedule(t)
    np.testing.assert_allclose(rates, [case.rate(step) for step in t], rtol=1e-12, atol=1e-16)
    assert rates.dtype == np.float64


@over(tables.SCHEDULE_CASES)
def test_a_rate_depends_on_its_step_only(case):
    t = steps_for(case)
    np.testing.assert_array_equal(case.schedule(t)[2:], case.schedule(t[2:]))


@over(tables.SCHEDULE_CASES)
def test_values_are_the_rates_of_the_first_steps(case):
    np.testing.assert_array_equal(case.schedule.values(7), case.schedule(np.arange(1.0, 8.0)))


@over(case for case in tables.LOSS_CASES if type(case.spec).kind != MULTINOMIAL)
@pytest.mark.parametrize("alpha", [1e-6, 1e-4, 0.5])
def test_optimal_starts_by_the_slope_of_the_loss(case, alpha):
    rates = schedules.optimal(alpha, case.spec)(STEPS)
    expected = [naive.optimal(t, alpha, case.naive) for t in STEPS]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_optimal_takes_a_softmax_for_log_loss():
    assert schedules.optimal(0.1, LOSSES["softmax"]) == schedules.optimal(0.1, LOSSES["log_loss"])


# -- PyTorch's, whose epoch 0 is step 1 ------------------------------------------------------------

TORCH = {
    "step": schedules.Step(0.3, 0.5, 7),
    "multistep": schedules.MultiStep(0.3, 0.2, [4, 20, 21]),
    "exponential": schedules.Exponential(0.3, 0.93),
    "polynomial": schedules.Polynomial(0.3, 1.7, 0.0, 40),
    "cosine": schedules.Cosine(0.3, 0.01, 60),
    "cosine_restarts": schedules.CosineRestarts(0.3, 0.01, 3, 3),
    "cosine_restarts_even": schedules.CosineRestarts(0.3, 0.0, 7, 1),
    "one_cycle": schedules.OneCycle(0.3, length=60),
    "one_cycle_set": schedules.OneCycle(0.3, 0.43, 7.0, 50.0, 60),
}


@pytest.mark.parametrize("name", TORCH)
def test_rates_are_those_of_pytorch(name):
    np.testing.assert_allclose(TORCH[name].values(60), RECORDED["rates"][name], rtol=1e-12)


def test_a_warm_up_is_a_step_ahead_of_pytorch():
    rates = schedules.WarmUp(schedules.Constant(0.3), 11, 0.2).values(59)
    np.testing.assert_allclose(rates, RECORDED["rates"]["warm_up"][1:], rtol=1e-12)


@pytest.mark.parametrize("recorded", RECORDED["plateau"], ids=["falling", "scores"])
def test_a_plateau_is_that_of_pytorch(recorded):
    schedule = schedules.ReduceOnPlateau(0.3, 0.3, 2, 0.01, 1e-3)
    course, rates = schedule.begin(1), []
    for value in recorded["values"]:
        course = schedule.after_epoch(course, np.array([value]), None, 1)
        rates.append(course.eta[0])
    np.testing.assert_allclose(rates, recorded["rates"], rtol=1e-13)
    assert len(set(rates)) > 4


# -- from an estimator's parameters ----------------------------------------------------------------


@over(tables.REGISTERED_SCHEDULES)
def test_an_estimator_s_parameters_give_the_schedule(case):
    model = SGDRegressor(learning_rate=case.name, **tables.KWARGS)
    assert _resolve.schedule(model, LOSSES["squared_hinge"], Sgd(), **SHAPE) == case.schedule


@over(case for case in tables.REGISTERED_SCHEDULES if case.name not in (*STATEFUL, "optimal"))
def test_a_training_takes_the_rates_of_its_schedule(case):
    X, y = np.eye(5), np.arange(5.0)
    model = SGDRegressor(learning_rate=case.name, max_iter=MAX_ITER, tol=None, **tables.KWARGS)
    last_steps = STEPS_PER_EPOCH * np.arange(1.0, MAX_ITER + 1)
    rates = model.fit(X, y).history_["learning_rate"]
    np.testing.assert_array_equal(rates, case.schedule(last_steps))


@pytest.mark.parametrize("name", STATEFUL)
def test_rates_fall_where_training_stalls(name):
    X, y = np.eye(5), np.arange(5.0)
    kwargs = {"max_iter": 200, "eta0": 0.1, "shuffle": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rates = SGDRegressor(learning_rate=name, **kwargs).fit(X, y).history_["learning_rate"]
    assert rates[0] == 0.1
    assert 0 < rates[-1] < 0.05
    assert (np.diff(rates) <= 0).all()


@pytest.mark.parametrize("kind", [SGDClassifier, SGDRegressor])
def test_the_default_means_a_constant_rate_with_another_optimizer(kind):
    schedule = _resolve.schedule(kind(), LOSSES["squared_error"], Adam(), **SHAPE)
    assert schedule == schedules.Constant(Adam.eta0)


def test_a_callable_is_taken_as_it_is():
    rule = lambda t: 1 / t  # noqa: E731
    model = SGDClassifier(learning_rate=rule)
    assert _resolve.schedule(model, LOSSES["hinge"], Sgd(), **SHAPE) is rule


def test_an_object_keeps_what_it_says_and_takes_the_rest_from_the_estimator():
    model = SGDRegressor(eta0=0.2, learning_rate=schedules.Cosine(eta_min=0.01, length=6))
    bound = _resolve.schedule(clone(model), LOSSES["hinge"], Sgd(), **SHAPE)
    assert bound == schedules.Cosine(0.2, 0.01, 30, "step")
    assert bound.bind(0.7, 3, 2) == bound


def test_lengths_in_steps_stay_what_they_are():
    assert schedules.Step(0.1, every=7, unit="step").bind(0.2, 5, 84).every == 7
    assert schedules.Step(0.1, unit="step").bind(0.2, 5, 84).every == 140
    in_epochs = schedules.Exponential(0.1, 0.5).bind(0.2, 5, 84).values(11)
    np.testing.assert_allclose(in_epochs[[0, 5, 10]], [0.1, 0.05, 0.025], rtol=1e-14)


def test_a_warm_up_leaves_the_rest_of_the_training():
    bound = schedules.WarmUp(schedules.Cosine(), length=4).bind(0.2, 5, 84)
    assert bound == schedules.WarmUp(schedules.Cosine(0.2, 0.0, 400, "step"), 20, 0.0, "step")
    by_default = schedules.WarmUp(schedules.Cosine()).bind(0.2, 5, 84)
    assert (by_default.length, by_default.schedule.length) == (21, 399)


@pytest.mark.parametrize("learning_rate", ["cosine", schedules.WarmUp(schedules.Step())])
def test_calls_of_2_and_3_epochs_go_on_as_one_of_5(learning_rate, rng):
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    model = SGDRegressor(learning_rate=learning_rate, max_iter=5, random_state=0, batch_size=8)
    whole = clone(model).partial_fit(X, y, max_iter=5)
    parts = clone(model).partial_fit(X, y, max_iter=2).partial_fit(X, y, max_iter=3)
    np.testing.assert_array_equal(whole.coef_, parts.coef_)
    fitted = clone(model).set_params(tol=None).fit(X, y)
    np.testing.assert_array_equal(whole.coef_, fitted.coef_)


@over_product(
    lambda optimizer, penalty: optimizer == "sgd",  # noqa: ARG005
    optimizer=["sgd", "momentum", "adam"],
    penalty=["l2", "l1", "elasticnet"],
)
def test_rates_of_zero_leave_the_coefficients(optimizer, penalty, rng):
    """After its length a line down to zero is zero; CSR rows must not divide by that."""
    X, y = rng.normal(size=(20, 4)), np.arange(20) % 2
    rule = schedules.Polynomial(0.01, length=2)
    kwargs = {"optimizer": optimizer, "penalty": penalty, "learning_rate": rule, "tol": None}
    kwargs |= {"batch_size": 4, "random_state": 0, "shuffle": False}
    short = SGDClassifier("log_loss", max_iter=3, **kwargs)
    for rows in (X, sp.csr_matrix(X)):
        coefs = [clone(short).set_params(max_iter=n).fit(rows, y).coef_ for n in (3, 6)]
        assert np.isfinite(coefs).all()
        np.testing.assert_allclose(*coefs, rtol=1e-12)


# -- what is refused -------------------------------------------------------------------------------


def test_optimal_without_a_penalty_is_refused():
    with pytest.raises(ValueError, match="alpha must be > 0"):
        _resolve.schedule(SGDClassifier(alpha=0), LOSSES["hinge"], Sgd(), **SHAPE)


def test_a_class_in_place_of_an_object_is_refused():
    with pytest.raises(ValueError, match=r"Cosine is a class; give an object, Cosine\(\.\.\.\)"):
        SGDRegressor(learning_rate=schedules.Cosine).fit(np.eye(5), np.arange(5.0))


@pytest.mark.parametrize(
    ("kind", "kwargs", "message"),
    [
        ("Constant", {"eta0": 0.0}, "eta0 of the schedule 'Constant' must be > 0, got 0.0"),
        ("Step", {"eta0": np.inf}, "eta0 of the schedule 'Step' must be > 0, got inf"),
        ("Step", {"every": 0}, "every of the schedule 'Step' must be > 0, got 0"),
        ("Step", {"gamma": "a"}, "gamma of the schedule 'Step' must be > 0, got 'a'"),
        ("Step", {"unit": "row"}, "unit of the schedule 'Step' must be 'epoch' or 'step'"),
        ("MultiStep", {"milestones": [3, 3]}, "must be > 0 and strictly increasing"),
        ("MultiStep", {"milestones": [0, 3]}, r"increasing, got \[0, 3\]"),
        ("MultiStep", {"milestones": 5}, "increasing, got 5"),
        ("MultiStep", {"milestones": [1, np.inf]}, "increasing, got"),
        ("Exponential", {"gamma": -0.1}, "gamma of the schedule 'Exponential' must be > 0"),
        ("Polynomial", {"power": 0}, "power of the schedule 'Polynomial' must be > 0"),
        ("Polynomial", {"end": -1.0}, "end of the schedule 'Polynomial' must be >= 0"),
        ("Cosine", {"eta_min": np.nan}, "eta_min of the schedule 'Cosine' must be >= 0, got nan"),
        ("Cosine", {"length": -1}, "length of the schedule 'Cosine' must be > 0"),
        ("CosineRestarts", {"multiplier": 0.5}, "'CosineRestarts' must be >= 1, got 0.5"),
        ("OneCycle", {"share_up": 1.5}, r"'OneCycle' must be in \[0, 1\], got 1.5"),
        ("OneCycle", {"start_divisor": 0.5}, "'OneCycle' must be >= 1"),
        ("InverseSquareRoot", {"warm_up": 0}, "'InverseSquareRoot' must be > 0"),
        ("WarmUp", {"schedule": "cosine"}, "must be a schedule or another callable, got 'cosine'"),
        ("WarmUp", {"schedule": np.sqrt, "start": 2}, r"'WarmUp' must be in \[0, 1\], got 2"),
        ("Adaptive", {"divisor": 1}, "'Adaptive' must be > 1, got 1"),
        ("ReduceOnPlateau", {"factor": 1.0}, r"'ReduceOnPlateau' must be in \(0, 1\), got 1.0"),
        ("ReduceOnPlateau", {"patience": -1}, "'ReduceOnPlateau' must be >= 0"),
    ],
)
def test_numbers_that_no_schedule_has(kind, kwargs, message):
    with pytest.raises(ValueError, match=message):
        getattr(schedules, kind)(**kwargs)


def test_a_schedule_with_open_numbers_says_so():
    with pytest.raises(ValueError, match="eta0 and length of the schedule 'Cosine' must be set"):
        schedules.Cosine().values(3)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda t: 0.1 * t[0], r"for 20 steps an array of shape \(20,\), got shape \(\)"),
        (lambda t: t[1:], r"got shape \(19,\)"),
        (lambda t: t.astype(str), "a number for each step"),
        (lambda t: np.where(t > 5, np.nan, 0.1), "finite rates >= 0, got nan for step 6"),
        (lambda t: np.where(t > 20, np.inf, 0.1), "finite rates >= 0, got inf for step 21"),
        (lambda t: 0.1 - 0.01 * t, "finite rates >= 0, got -0.0.* for step 11"),
    ],
)
def test_what_is_no_rate_is_refused(rule, message, rng):
    X, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    with pytest.raises(ValueError, match=f"learning_rate must return .*{message}"):
        SGDRegressor(learning_rate=rule, max_iter=2, tol=None).fit(X, y)


# -- rates that depend on how training goes --------------------------------------------------------


def courses(schedule, values, tol, n_iter_no_change):
    """Return where the rates stand after each epoch; ``values`` are (epochs, columns)."""
    course, passed = schedule.begin(values.shape[1]), []
    for row in values:
        course = pickle.loads(pickle.dumps(course))
        course = schedule.after_epoch(course, row, tol, n_iter_no_change)
        passed.append(course)
    return passed


def falling(rng, n_epochs=300, n_columns=4):
    """Return values that fall, each column as fast as another, and with noise."""
    ratio = np.array([0.7, 0.9, 0.98, 1.0])[:n_columns]
    noise = 0.02 * rng.normal(size=(n_epochs, n_columns))
    return ratio ** np.arange(n_epochs)[:, None] + noise


@pytest.mark.parametrize("tol", [None, 0.0, 1e-2])
@pytest.mark.parametrize("patience", [1, 5])
def test_adaptive_agrees_with_naive(patience, tol, rng):
    values = falling(rng)
    passed = courses(schedules.Adaptive(0.3), values, tol, patience)
    for k in range(values.shape[1]):
        plain = naive.Adaptive(0.3, tol, patience)
        for value, course in zip(values[:, k], passed, strict=True):
            plain.after_epoch(value)
            assert course.eta[k] == plain.eta
            assert course.ended[k] == plain.ended
    assert passed[-1].stop == (tol is not None)
    np.testing.assert_allclose(0.3 * passed[-1].factor, passed[-1].eta, rtol=1e-15)


@pytest.mark.parametrize("eta_min", [0.0, 1e-3])
@pytest.mark.parametrize("sign", [1, -1])
def test_plateau_agrees_with_naive(sign, eta_min, rng):
    values = sign * falling(rng) if sign > 0 else falling(rng) - 1.5
    numbers = {"factor": 0.3, "patience": 3, "threshold": 1e-3, "eta_min": eta_min}
    passed = courses(schedules.ReduceOnPlateau(0.3, **numbers), values, 1e-3, 1)
    for k in range(values.shape[1]):
        plain = naive.Plateau(0.3, **numbers)
        for value, course in zip(values[:, k], passed, strict=True):
            plain.after_epoch(value)
            assert course.eta[k] == plain.eta
            assert course.ended[k] == plain.ended
    assert passed[-1].stop


def test_a_plateau_without_tol_never_stops(rng):
    passed = courses(schedules.ReduceOnPlateau(0.3, patience=1), falling(rng), None, 1)
    assert not passed[-1].ended.any()


def test_a_warm_up_hands_on_how_training_goes(rng):
    values, plain = falling(rng), schedules.Adaptive(0.3)
    for ours, theirs in zip(
        courses(schedules.WarmUp(plain, 5), values, 1e-3, 5),
        courses(plain, values, 1e-3, 5),
        strict=True,
    ):
        np.testing.assert_array_equal(ours.eta, theirs.eta)
    assert schedules.WarmUp(schedules.Cosine(), 5).begin(3) is None


@pytest.mark.parametrize("eta0", [0.1, 0.015625])  # 5^6 1e-6: seven divisions end near the bound
@pytest.mark.parametrize("patience", [2, 5])
def test_adaptive_is_scikit_learn_s_rule(patience, eta0, rng):
    """A plain loop over epochs that obeys ``Adaptive`` takes scikit-learn's steps to the last."""
    X = rng.normal(size=(30, 3))
    y = X @ [1.0, -2.0, 0.5] + 0.5 * rng.normal(size=30)
    kwargs = {"eta0": eta0, "tol": 1e-4, "n_iter_no_change": patience}
    theirs = linear_model.SGDRegressor(
        learning_rate="adaptive", penalty=None, shuffle=False, max_iter=1000, **kwargs
    ).fit(X, y)
    schedule = schedules.Adaptive(eta0)
    course, w, n_epochs = schedule.begin(1), np.zeros(4), 0
    extended = np.column_stack([X, np.ones(30)])
    while not course.stop:
        total = 0.0
        for row, target in zip(extended, y, strict=True):
            residual = row @ w - target
            total += residual**2 / 2
            w -= course.eta[0] * residual * row
        course = schedule.after_epoch(course, np.array([total / 30]), 1e-4, patience)
        n_epochs += 1
    assert theirs.n_iter_ == n_epochs < 1000
    np.testing.assert_allclose(w, [*theirs.coef_, *theirs.intercept_], rtol=1e-12)
