"""Optimizers: step for step as the papers have it, and many steps without a gradient at once."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from fastgd.kernels import optimizers
from fastgd.kernels.optimizers import (
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Ftrl,
    LazyMoments,
    Momentum,
    NAdam,
    RMSprop,
    Sgd,
)
from fastgd.kernels.penalties import Bounded, ElasticNet
from tests.tables import OPTIMIZER_CASES, over

pytestmark = pytest.mark.nojit

N_STEPS, N_COORDINATES = 60, 4
MOMENTA = [Momentum(), Momentum(nesterov=True), Momentum(0.0)]
NONE, L2, L1 = ElasticNet(), ElasticNet(0.0, 0.02), ElasticNet(0.05, 0.0)
BOTH, BOUNDED = ElasticNet(0.05, 0.02), Bounded(0.05, 0.02, -0.1, 0.3)
RESTING = [case.spec for case in OPTIMIZER_CASES if isinstance(case.spec, LazyMoments)]
# momentum under an absolute penalty has no closed form: frames.Stepped
LAZY = [
    *itertools.product([Sgd(), Adagrad(), Ftrl(), Ftrl(0.5, 0.2, 0.1)], [NONE, L2, L1, BOTH]),
    *itertools.product([Sgd(), Adagrad(), Ftrl()], [BOUNDED]),
    *itertools.product(RESTING, [NONE, L2, L1, BOUNDED]),
    *itertools.product(MOMENTA, [NONE, L2]),
    *itertools.product([Adadelta(), RMSprop(), RMSprop(centered=True)], [NONE]),
]


def problem(seed=0):
    """Return gradients, one in four of them exactly zero, and falling rates."""
    rng = np.random.default_rng(seed)
    g = rng.normal(size=(N_STEPS, N_COORDINATES)) * (rng.random((N_STEPS, N_COORDINATES)) < 0.75)
    return g, 0.1 / np.sqrt(np.arange(1.0, N_STEPS + 1))


def step_coefficients_of(spec, rates, first=1):
    return spec.step_coefficients(spec, rates, first)


def step(spec, step_coefs, g, state):
    """Return the changes and step lengths of all coordinates."""
    updates = [
        optimizers.update(spec, tuple(step_coefs), g[j], state, j) for j in range(state.shape[1])
    ]
    return np.array(updates).T


@over(OPTIMIZER_CASES)
def test_every_step_is_the_paper_s(case):
    gradients, rates = problem()
    state, reference = np.zeros((case.spec.n_slots, N_COORDINATES)), case.naive()
    for g, rate, step_coefs in zip(
        gradients, rates, step_coefficients_of(case.spec, rates), strict=True
    ):
        change, length = step(case.spec, step_coefs, g, state)
        expected_change, expected_length = reference.step(g, rate)
        np.testing.assert_allclose(change, expected_change, rtol=1e-11, atol=1e-15)
        np.testing.assert_allclose(length, expected_length, rtol=1e-11)


TORCH = json.loads((Path(__file__).parents[1] / "fixtures" / "torch_optimizers.json").read_text())
SAME_AS_TORCH = {case.name: case.spec for case in OPTIMIZER_CASES if case.name in TORCH["paths"]}
SAME_AS_TORCH["rmsprop with momentum"] = RMSprop(momentum=0.8)


@pytest.mark.parametrize("name", TORCH["paths"])
def test_every_step_is_pytorch_s(name):
    """Recorded by ``fixtures/make_torch_trajectories.py``."""
    spec, gradients = SAME_AS_TORCH[name], np.array(TORCH["gradients"])
    params, state = np.array(TORCH["start"]), np.zeros((spec.n_slots, 3))
    step_coefficients = step_coefficients_of(spec, np.full(len(gradients), TORCH["rate"]))
    for g, step_coefs, expected in zip(
        gradients, step_coefficients, TORCH["paths"][name], strict=True
    ):
        for c in range(3):
            params[c], _ = optimizers.move(spec, NONE, tuple(step_coefs), params[c], g[c], state, c)
        # PyTorch keeps NAdam's product of momenta in float32
        np.testing.assert_allclose(params, expected, rtol=1e-8 if name == "nadam" else 1e-11)


@over(OPTIMIZER_CASES)
def test_step_coefficients_go_on_where_the_last_call_stopped(case):
    _, rates = problem()
    whole = step_coefficients_of(case.spec, rates)
    parts = [
        step_coefficients_of(case.spec, rates[:7]),
        step_coefficients_of(case.spec, rates[7:], first=8),
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert whole.shape[0] == N_STEPS


@over(case for case in OPTIMIZER_CASES if hasattr(case.spec, "lengths"))
def test_lengths_are_those_that_update_returns(case):
    gradients, rates = problem()
    step_coefficients = step_coefficients_of(case.spec, rates)
    state = np.zeros((case.spec.n_slots, N_COORDINATES))
    for t, length in enumerate(type(case.spec).lengths(case.spec, step_coefficients)):
        np.testing.assert_allclose(
            step(case.spec, step_coefficients[t], gradients[t], state)[1], length
        )


@over(OPTIMIZER_CASES)
def test_the_length_is_the_step_of_a_constant_gradient_of_one(case):
    """So that loss and penalty balance at the minimum of the objective."""
    spec, rates = case.spec, np.full(2000, 0.01)
    state = np.zeros((spec.n_slots, 1))
    for step_coefs in step_coefficients_of(spec, rates):
        change, length = step(spec, step_coefs, np.ones(1), state)
    np.testing.assert_allclose(-change, length, rtol=1e-9)


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_momentum_is_polyak_s_heavy_ball(momentum):
    """w_{t+1} = w_t - rate g(w_t) + momentum (w_t - w_{t-1}), on a quadratic."""
    spec, rate, curvature = Momentum(momentum), 0.1, 1.7
    state, w, before, now = np.zeros((1, 1)), 1.0, 1.0, 1.0
    for step_coefs in step_coefficients_of(spec, np.full(30, rate)):
        w += step(spec, step_coefs, np.array([curvature * w]), state)[0, 0]
        before, now = now, now - rate * curvature * now + momentum * (now - before)
        np.testing.assert_allclose(w, now, atol=1e-14)


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_nesterov_takes_the_gradient_ahead(momentum):
    """v <- momentum v - rate g(theta + momentum v), theta <- theta + v; ours is what g sees."""
    spec, rate, curvature = Momentum(momentum, nesterov=True), 0.1, 1.7
    state, w, theta, v = np.zeros((1, 1)), 1.0, 1.0, 0.0
    for step_coefs in step_coefficients_of(spec, np.full(30, rate)):
        w += step(spec, step_coefs, np.array([curvature * w]), state)[0, 0]
        v = momentum * v - rate * curvature * (theta + momentum * v)
        theta += v
        np.testing.assert_allclose(w, theta + momentum * v, atol=1e-14)


def test_the_first_step_of_adam_is_the_rate():
    spec = Adam()
    state = np.zeros((2, 3))
    step_coefs = step_coefficients_of(spec, np.array([0.25]))[0]
    change, _ = step(spec, step_coefs, np.array([1e-3, -1.0, 1e5]), state)
    np.testing.assert_allclose(change, [-0.25, 0.25, -0.25], rtol=1e-4)


def test_nadam_s_product_of_momenta_may_vanish():
    """It is of all steps so far, and only reckoned while it is larger than zero."""
    for beta_1 in (0.0, 0.5, 0.9):
        spec, rates = NAdam(beta_1=beta_1), np.ones(3)
        for first in (7, 1000, 20_000):
            step_coefficients = step_coefficients_of(spec, np.ones(first + 2))
            np.testing.assert_allclose(
                step_coefficients_of(spec, rates, first), step_coefficients[first - 1 :], rtol=1e-15
            )


def test_decoupled_decay_is_not_the_penalty_s():
    """It shrinks a coefficient by the bare rate, whatever the gradient's size."""
    spec, w = AdamW(weight_decay=0.5), 2.0
    for g in (1e-3, 1e3):
        step_coefs = tuple(step_coefficients_of(spec, np.array([0.1]))[0])
        after, _ = optimizers.move(spec, NONE, step_coefs, w, g, np.zeros((2, 1)), 0)
        np.testing.assert_allclose(after, w * 0.95 - 0.1, rtol=1e-4)


def test_ftrl_without_a_penalty_is_adagrad():
    """McMahan's equivalence theorem, with rates that change."""
    gradients, rates = problem()
    spec, peer = Ftrl(beta=0.3), Adagrad(epsilon=0.3)
    state, peer_state, w, v = np.zeros((3, 1)), np.zeros((1, 1)), 0.7, 0.7
    for g, step_coefs in zip(gradients[:, 0], step_coefficients_of(spec, rates), strict=True):
        w, _ = optimizers.move(spec, NONE, tuple(step_coefs), w, g, state, 0)
        v, _ = optimizers.move(peer, NONE, tuple(step_coefs), v, g, peer_state, 0)
        np.testing.assert_allclose(w, v, rtol=1e-12)


def test_ftrl_s_lambda_keeps_a_rare_feature_at_zero():
    spec, state, w = Ftrl(l1=1.0), np.zeros((3, 1)), 0.0
    for t, step_coefs in enumerate(step_coefficients_of(spec, np.full(5, 0.5))):
        w, _ = optimizers.move(spec, NONE, tuple(step_coefs), w, -0.3, state, 0)
        assert (w > 0) == (t >= 3)  # the sum of gradients passes 1


def test_adam_without_memory_is_the_sign_of_the_gradient():
    spec, g = Adam(beta_1=0.0, beta_2=0.0), np.array([3.0, -0.2])
    for step_coefs in step_coefficients_of(spec, np.full(3, 0.1)):
        change, _ = step(spec, step_coefs, g, np.zeros((2, 2)))
        np.testing.assert_allclose(change, -0.1 * np.sign(g), rtol=1e-6)


# -- skipped steps: what those without a gradient do, at once ----------------------------------


def decays(spec):
    return isinstance(spec, LazyMoments) and hasattr(spec.optimizer, "decayed")


def coasts_of(spec, penalty, step_coefficients, times):
    carries = np.zeros(step_coefficients.shape[0] + 1)
    if isinstance(spec, Momentum):
        reach = step_coefficients[:, 0] * spec.momentum * (spec.momentum if spec.nesterov else 1.0)
        optimizers.backward_coasts(penalty, spec.momentum, reach, times, carries)
    if isinstance(spec, Ftrl):
        carries[1:] = step_coefficients[:, 0]
    return optimizers.forward_decays(step_coefficients) if decays(spec) else carries


def skipped_of(spec, penalty, step_coefficients, since, until, slot=None):
    times = np.zeros(step_coefficients.shape[0] + 1)
    if hasattr(spec, "lengths"):
        optimizers.cumulative_times(penalty, type(spec).lengths(spec, step_coefficients), times)
    elif isinstance(spec, Ftrl):
        times[1:] = np.cumsum(step_coefficients[:, 0])
    else:
        lengths = step_coefficients[:, 0] * optimizers.penalty_rate(spec, slot)
        optimizers.cumulative_times(penalty, lengths, times)
    carries = coasts_of(spec, penalty, step_coefficients, times)
    return optimizers.SkippedSteps(
        until - since, times[until] - times[since], carries[since], carries[until]
    )


def walked(spec, penalty, param, state, step_coefficients):
    """Take the steps one by one, with a gradient of zero."""
    for step_coefs in step_coefficients:
        param, _ = optimizers.move(spec, penalty, tuple(step_coefs), param, 0.0, state, 0)
    return param


@pytest.mark.parametrize(("spec", "penalty"), LAZY, ids=str)
@pytest.mark.parametrize(("since", "until"), [(0, 60), (7, 23), (59, 60), (30, 30)])
def test_catching_up_equals_steps_without_a_gradient(spec, penalty, since, until):
    _, rates = problem()
    step_coefficients = step_coefficients_of(
        spec, rates, first=40_000
    )  # Adam's bias is corrected already
    state = np.full((spec.n_slots, 1), 0.4)
    if isinstance(spec, Ftrl):  # whose coefficient is the one that its state asks for
        step_coefficients[:] = step_coefficients[0]
        walked(spec, penalty, 0.8, state, step_coefficients[:1])
    param = walked(spec, penalty, 0.8, state, step_coefficients[:1])
    expected_state = state.copy()
    expected = walked(spec, penalty, param, expected_state, step_coefficients[since:until])
    slot = optimizers.recall(spec, state, 0)
    skipped = skipped_of(spec, penalty, step_coefficients, since, until, slot)
    param, slot = optimizers.catch_up(spec, penalty, param, slot, skipped, 0)
    optimizers.keep(spec, state, 0, slot)
    # decay and penalty alternate in steps, and in skipped ones come one after the other
    exact = not decays(spec) or penalty == NONE
    np.testing.assert_allclose(param, expected, rtol=1e-10 if exact else 2e-2, atol=1e-15)
    np.testing.assert_allclose(state, expected_state, rtol=1e-10)


@pytest.mark.parametrize("spec", [Momentum(), Momentum(nesterov=True)], ids=str)
def test_skipped_steps_may_be_made_up_for_in_parts(spec):
    penalty, (_, rates) = L2, problem()
    step_coefficients = step_coefficients_of(spec, rates)
    whole = optimizers.catch_up(
        spec, penalty, 0.8, 0.4, skipped_of(spec, penalty, step_coefficients, 5, 50), 0
    )
    param, slot = 0.8, 0.4
    for since, until in itertools.pairwise([5, 6, 20, 50]):
        skipped = skipped_of(spec, penalty, step_coefficients, since, until)
        param, slot = optimizers.catch_up(spec, penalty, param, slot, skipped, 0)
    np.testing.assert_allclose((param, slot), whole, rtol=1e-12)


def test_coasting_keeps_its_digits_over_a_long_span():
    """A sum of rate momentum^t from the front has lost all of them after 400 steps."""
    spec, n_steps = Momentum(), 2000
    step_coefficients = step_coefficients_of(spec, np.full(n_steps, 0.1))
    skipped = skipped_of(spec, ElasticNet(), step_coefficients, n_steps - 3, n_steps)
    travelled = optimizers.catch_up(spec, ElasticNet(), 0.0, 1.0, skipped, 0)[0]
    np.testing.assert_allclose(travelled, -0.1 * (0.9 + 0.9**2 + 0.9**3), rtol=1e-13)


def test_a_faded_velocity_is_zero_and_not_denormal():
    assert optimizers.faded(1.0, 0.9, 10_000) == 0.0
    assert optimizers.faded(1.0, 0.0, 1) == 0.0
    np.testing.assert_allclose(optimizers.faded(2.0, 0.9, 3), 2 * 0.9**3, rtol=1e-14)
