"""Optimizers whose step is more than "change, then penalty", beside their authors' own packages."""

import json
from inspect import signature
from pathlib import Path

import numpy as np
import pytest

from fastgd.kernels import optimizers
from fastgd.kernels.optimizers import (
    Muon,
    OfMatrices,
    Prodigy,
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
)
from fastgd.kernels.penalties import ElasticNet

NONE = ElasticNet()
HOOKS = {"catch_up", "decayed", "keep", "length", "move", "penalty_rate", "recall", "slope"}
HOOKS |= {"step_of_all", "update"}
RECORD = Path(__file__).parents[1] / "fixtures" / "author_optimizers.json"
AUTHORS = json.loads(RECORD.read_text(encoding="utf-8"))
SPECS = {
    "schedule_free_sgd": ScheduleFreeSGD(),
    "schedule_free_sgd with decay": ScheduleFreeSGD(0.7, 0.1),
    "schedule_free_adamw": ScheduleFreeAdamW(),
    "schedule_free_adamw with decay": ScheduleFreeAdamW(0.1, 0.8, 0.99),
    "prodigy": Prodigy(),
    "prodigy with all": Prodigy(
        beta_1=0.8,
        beta_2=0.99,
        weight_decay=0.1,
        d0=1e-3,
        d_coef=2.0,
        growth_rate=1.1,
        bias_correction=True,
        safeguard_warmup=True,
    ),
}


def coefficients_of(spec, rates, first=1):
    return map(tuple, spec.step_coefficients(spec, rates, first))


@pytest.mark.parametrize("name", AUTHORS["paths"])
def test_every_step_is_the_authors(name):
    """Recorded by ``fixtures/make_author_trajectories.py``."""
    spec, recorded = SPECS[name], AUTHORS["paths"][name]
    params, gradients = np.array(AUTHORS["start"]), np.array(AUTHORS["gradients"])
    state = np.zeros((spec.n_slots, 3))
    rates = np.full(len(gradients), recorded["kwargs"]["lr"])
    for g, coefs, expected in zip(
        gradients, coefficients_of(spec, rates), recorded["path"], strict=True
    ):
        optimizers.step_of_all(spec, NONE, coefs, params, g, state, 3, 0.0)
        np.testing.assert_allclose(params, expected, rtol=1e-11)
    reported = params - getattr(spec, "ahead", 0.0) * state[0]
    np.testing.assert_allclose(reported, recorded["end"], rtol=1e-11)


@pytest.mark.parametrize("name", AUTHORS["matrices"])
def test_every_step_of_a_matrix_is_the_authors(name):
    """Their weights are (outputs, inputs), ours (inputs, outputs)."""
    recorded = AUTHORS["matrices"][name]
    kwargs, gradients = recorded["kwargs"], np.array(recorded["gradients"])
    start = np.array(recorded["start"]).T
    plain = Muon(kwargs["momentum"], weight_decay=kwargs["weight_decay"], match_adam=False)
    spec = Muon.with_matrices(plain, np.array([(2, *start.shape)]))
    params = np.concatenate([np.zeros(2), start.ravel()])
    state = np.zeros((2, params.size))
    rates = np.full(len(gradients), kwargs["lr"])
    for g, coefs, expected in zip(
        gradients, coefficients_of(spec, rates), recorded["path"], strict=True
    ):
        gradient = np.concatenate([np.zeros(2), g.T.ravel()])
        optimizers.step_of_all(spec, NONE, coefs, params, gradient, state, params.size, 0.0)
        np.testing.assert_allclose(params[2:].reshape(start.shape), np.transpose(expected))
    np.testing.assert_array_equal(params[:2], 0.0)


def test_singular_values_of_a_step_are_about_one(rng):
    shape = (7, 12)
    spec = Muon.with_matrices(Muon(), np.array([(0, *shape)]))
    params, gradient = np.zeros(84), (rng.normal(size=(7, 3)) @ rng.normal(size=(3, 12))).ravel()
    (coefs,) = coefficients_of(spec, np.ones(1))
    optimizers.step_of_all(spec, NONE, coefs, params, gradient, np.zeros((2, 84)), 84, 0.0)
    values = np.linalg.svd(params.reshape(shape), compute_uv=False) / (0.2 * np.sqrt(12))
    assert np.all((values[:3] > 0.5) & (values[:3] < 1.3))  # of rank 3
    np.testing.assert_allclose(values[3:], 0.0, atol=1e-10)


def test_what_is_no_matrix_goes_by_adamw(rng):
    plain = Muon(weight_decay=0.3, companion_rate=0.5, beta_2=0.999, epsilon=1e-8)
    peer, n = optimizers.AdamW(0.3), 9
    spec = Muon.with_matrices(plain, np.array([(3, 2, 2)]))
    params, state = rng.normal(size=n), np.zeros((2, n))
    theirs, their_state = params.copy(), np.zeros((2, n))
    for coefs, peer_coefs in zip(
        coefficients_of(spec, np.full(5, 0.1)), coefficients_of(peer, np.full(5, 0.05)), strict=True
    ):
        g = rng.normal(size=n)
        optimizers.step_of_all(spec, NONE, coefs, params, g, state, 8, 0.0)
        optimizers.step_of_all(peer, NONE, peer_coefs, theirs, g, their_state, 8, 0.0)
        np.testing.assert_allclose(params[[0, 1, 2, 7, 8]], theirs[[0, 1, 2, 7, 8]], rtol=1e-12)


@pytest.mark.parametrize("spec", [*SPECS.values(), Muon()], ids=str)
def test_step_coefficients_go_on_where_the_last_call_stopped(spec):
    rates = 0.1 / np.arange(1.0, 21.0)
    whole = spec.step_coefficients(spec, rates, 1)
    parts = [spec.step_coefficients(spec, rates[:7], 1), spec.step_coefficients(spec, rates[7:], 8)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("spec", [ScheduleFreeSGD(), ScheduleFreeAdamW()], ids=str)
@pytest.mark.parametrize("span", [(0, 60), (7, 23), (30, 30)])
def test_skipped_steps_of_schedule_free_optimizers_have_a_closed_form(spec, span):
    rates = 0.1 / np.sqrt(np.arange(1.0, 61.0))
    coefficients = spec.step_coefficients(spec, rates, 1)
    state = np.full((spec.n_slots, 1), 0.4)
    expected_state, expected = state.copy(), 0.8
    for coefs in coefficients[span[0] : span[1]]:
        expected, _ = optimizers.move(spec, NONE, tuple(coefs), expected, 0.0, expected_state, 0)
    carries = type(spec).carries(spec, NONE, coefficients, None)
    skipped = optimizers.SkippedSteps(span[1] - span[0], 0.0, carries[span[0]], carries[span[1]])
    slot = optimizers.recall(spec, state, 0)
    param, slot = optimizers.catch_up(spec, NONE, 0.8, slot, skipped, 0)
    optimizers.keep(spec, state, 0, slot)
    np.testing.assert_allclose(param, expected, rtol=1e-12)
    np.testing.assert_allclose(state, expected_state, rtol=1e-12)


def test_a_rate_of_zero_moves_nothing():
    for spec in SPECS.values():
        params, state = np.ones(3), np.zeros((spec.n_slots, 3))
        (coefs,) = coefficients_of(spec, np.zeros(1))
        optimizers.step_of_all(spec, NONE, coefs, params, np.ones(3), state, 3, 0.0)
        np.testing.assert_array_equal(params, 1.0)


@pytest.mark.parametrize("kind", [*map(type, optimizers.OPTIMIZERS.values()), OfMatrices])
def test_arguments_have_the_names_of_the_hooks(kind):
    """Numba compares them, and refuses a kernel where they differ; plain Python does not."""
    for name in HOOKS & vars(kind).keys():
        hook, method = getattr(optimizers, name), getattr(kind, name)
        assert list(signature(method).parameters) == list(signature(hook).parameters), name
