"""Penalties: one step, against definitions and a search for the minimum, and many steps at once."""

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

from fastgd._parameters import resolve as _resolve
from fastgd.kernels import penalties
from fastgd.kernels.optimizers import cumulative_times
from fastgd.kernels.penalties import (
    Bounded,
    ElasticNet,
    GroupLasso,
    MaxNorm,
    Quadratic,
    Unpenalised,
    Weighted,
)
from tests import naive
from tests.tables import FACTORS, PENALTY_CASES, PENALTY_OBJECT_CASES, over

pytestmark = pytest.mark.nojit

W = np.array([-3.0, -0.4, -0.02, 0.0, 1e-9, 0.02, 0.7, 250.0])
STEPS = [0.0, 1e-6, 0.1, 1.0, 3.0, 20.0]  # the last ones are longer than 1 / l2
SINGLE = [*PENALTY_CASES, *(case for case in PENALTY_OBJECT_CASES if not case.spec.joint)]
TIED = [case for case in PENALTY_OBJECT_CASES if case.spec.joint]


def each(function, penalty, params, *arguments):
    return np.array([function(penalty, param, *arguments) for param in params])


def moved(case, w, change, step):
    """Return the coefficients after a step, each as the first of the features."""
    spec = spread_over(case.spec, len(w))
    return np.array([penalties.proximal(spec, w[c], change, step, c) for c in range(len(w))])


def spread_over(spec, n):
    return spec._replace(factors=np.resize(FACTORS, n)) if isinstance(spec, Weighted) else spec


def plain(case, n):
    """Return the naive reference for n features."""
    reference = case.naive
    if isinstance(case.spec, Weighted):
        reference = naive.ElasticNet(reference.l1, reference.l2, np.resize(FACTORS, n))
    return reference


def started(case):
    """Return coefficients where training may have them."""
    return case.naive.start(W)


def made_up(spec, w, step):
    """Return the coefficients after one step's time."""
    spec = spread_over(spec, len(w))
    times = [
        penalties.time_of_step(spec, step * penalties.penalty_factor(spec, c))
        for c in range(len(w))
    ]
    return np.array([penalties.skip(spec, w[c], times[c]) for c in range(len(w))])


@over(PENALTY_CASES)
def test_parameters_give_the_strengths(case):
    spec = _resolve.penalty(case.given, case.l1 + case.l2, case.l1_ratio)
    np.testing.assert_allclose(spec, case.spec, rtol=1e-14)


@over(PENALTY_OBJECT_CASES)
def test_an_object_has_its_own_strengths(case):
    assert _resolve.penalty(case.spec, 7.0, None) is case.spec


@over(SINGLE)
def test_value(case):
    spec, expected = spread_over(case.spec, len(W)), plain(case, len(W)).value(W[:, None])[:, 0]
    ours = [penalties.value(spec, W[c], c) for c in range(len(W))]
    np.testing.assert_allclose(ours, expected, rtol=1e-14)


@over(SINGLE)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("change", [0.0, -0.3, 0.05])
def test_proximal(case, step, change):
    expected = plain(case, len(W)).proximal(W[:, None], change, np.full((len(W), 1), step))
    np.testing.assert_allclose(moved(case, W, change, step), expected[:, 0], rtol=1e-13, atol=1e-16)


@over(SINGLE)
@pytest.mark.parametrize("change", [-0.9, 0.0, 0.25])
def test_proximal_is_the_minimum_that_a_search_finds(case, change):
    """argmin (u - w)^2 / (2 h) + psi(u), psi's quadratic part taken where the step starts."""
    w, step = np.linspace(-0.5, 0.5, 5), 0.7
    ours = moved(case, w, change, step)
    low, high = getattr(case.spec, "low", -np.inf), getattr(case.spec, "high", np.inf)
    for c, factor in enumerate(FACTORS if isinstance(case.spec, Weighted) else np.ones(5)):
        l1, l2 = factor * case.spec.l1, factor * case.spec.l2
        start = (1 - step * l2) * w[c] + change

        def objective(u, start=start, l1=l1):
            return (u - start) ** 2 / (2 * step) + l1 * abs(u)

        bounds = (max(low, -3.0), min(high, 3.0))
        found = minimize_scalar(objective, bounds=bounds, options={"xatol": 1e-10}).x
        np.testing.assert_allclose(ours[c], found, atol=1e-6)


@over(SINGLE)
@pytest.mark.parametrize("z", [-2.0, -0.1, 0.0, 0.3])
def test_ftrl_minimises_as_a_search_does(case, z):
    curvature, l1, time = 1.3, 0.1, 2.5
    low, high = getattr(case.spec, "low", -np.inf), getattr(case.spec, "high", np.inf)
    for c, factor in enumerate(FACTORS if isinstance(case.spec, Weighted) else np.ones(5)):

        def objective(u, factor=factor):
            psi = factor * (case.spec.l1 * abs(u) + case.spec.l2 * u**2 / 2)
            return z * u + curvature * u**2 / 2 + l1 * abs(u) + time * psi

        bounds = (max(low, -3.0), min(high, 3.0))
        found = minimize_scalar(objective, bounds=bounds, options={"xatol": 1e-10}).x
        ours = penalties.ftrl_minimum(case.spec, z, (curvature, l1, time), c)
        np.testing.assert_allclose(ours, found, atol=1e-6)
        reference = plain(case, 5).ftrl_minimum(np.full((5, 1), z), curvature, l1, time)
        np.testing.assert_allclose(ours, np.resize(reference, 5)[c], rtol=1e-13)


@over(SINGLE)
@pytest.mark.parametrize("step", STEPS)
def test_one_skipped_step_is_the_step_without_a_change(case, step):
    w = started(case)
    expected = moved(case, w, 0.0, step)
    np.testing.assert_allclose(made_up(case.spec, w, step), expected, rtol=1e-13, atol=1e-14)


@over([*PENALTY_CASES, *(case for case in SINGLE if isinstance(case.spec, Bounded))])
def test_times_add_up(case, rng):
    steps = rng.uniform(0, 0.5, 30)
    times = np.empty(31)
    cumulative_times(case.spec, steps, times)
    w = started(case)
    skipped = each(penalties.skip, case.spec, w, times[-1])
    one_by_one = w
    for step in steps:
        one_by_one = each(penalties.proximal, case.spec, one_by_one, 0.0, step, 0)
    np.testing.assert_allclose(skipped, one_by_one, rtol=1e-12, atol=1e-14)
    middle = each(penalties.skip, case.spec, w, times[11])
    after = each(penalties.skip, case.spec, middle, times[-1] - times[11])
    np.testing.assert_allclose(after, skipped, rtol=1e-12, atol=1e-14)


@over(case for case in PENALTY_CASES if case.l1 > 0)
def test_zeros_are_exact(case):
    small = np.array([-0.02, 0.0, 0.02])
    assert not each(penalties.proximal, case.spec, small, 0.0, 1.0, 0).any()
    assert not each(penalties.skip, case.spec, small, 1.0).any()
    assert not each(penalties.skip, case.spec, W, 1e6).any()


@over(SINGLE)
def test_no_time_changes_nothing(case):
    w = started(case)
    np.testing.assert_array_equal(each(penalties.skip, case.spec, w, 0.0), w)


@over(SINGLE)
def test_dtype_is_kept(case):
    spec = _resolve.in_dtype(case.spec, np.dtype(np.float32))
    param, step = np.float32(0.7), np.float32(0.1)
    assert type(penalties.proximal(spec, param, np.float32(0.1), step, 1)) is np.float32
    assert type(penalties.skip(spec, param, 0.1)) is np.float32


def test_fields_go_to_the_kernels_in_their_dtype():
    factors = np.arange(6)[::2]
    spec = _resolve.in_dtype(Weighted(1, 0.5, factors), np.dtype(np.float32))
    assert type(spec.l1) is np.float32
    assert spec.factors.dtype == np.float32
    assert spec.factors.flags.c_contiguous
    assert not spec.factors.flags.writeable
    assert factors.flags.writeable
    np.testing.assert_array_equal(spec.factors, [0, 2, 4])
    many = _resolve.spread(Weighted(1.0, 0.5, [1.0, 2.0]), (3, 2))
    np.testing.assert_array_equal(many.factors, [1, 1, 2, 2])


def test_elastic_net_without_a_share_is_refused():
    with pytest.raises(ValueError, match="l1_ratio must be set"):
        _resolve.penalty("elasticnet", 0.1, None)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ElasticNet(l1=-1.0), "l1 of the penalty 'ElasticNet' must be >= 0, got -1.0"),
        (ElasticNet(l2=float("nan")), "l2 of the penalty 'ElasticNet' must be >= 0"),
        (
            Bounded(low=1.0, high=0.0),
            "must be <= high, which is 0.0, got 1.0",
        ),
        (MaxNorm(0.0), "limit of the penalty 'MaxNorm' must be > 0, got 0.0"),
        (GroupLasso(-0.1), "group of the penalty 'GroupLasso' must be >= 0"),
        (Weighted(0.1, 0.0, [1.0, -1.0]), "factors of the penalty 'Weighted' must be a 1-d"),
        (Weighted(0.1, 0.0, [[1.0]]), "factors of the penalty 'Weighted' must be a 1-d"),
    ],
)
def test_numbers_without_a_penalty_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        _resolve.penalty(spec, 1.0, None)


def test_a_step_longer_than_the_inverse_strength_stops_at_zero():
    assert penalties.proximal(ElasticNet(0.0, 0.5), 3.0, 0.0, 100.0, 0) == 0.0


# -- penalties that tie coefficients together ------------------------------------------------------

N_FEATURES, K = 4, 3


def settled(spec, u, lengths):
    """Return coefficients (N_FEATURES, K) after the tie; intercepts must stay."""
    params = np.vstack([u, np.full((1, u.shape[1]), 9.0)])
    flat, steps = params.reshape(-1), np.vstack([lengths, lengths[:1]]).reshape(-1)
    penalties.joint_proximal(spec, flat, steps, u.shape[1])
    np.testing.assert_array_equal(params[-1], 9.0)
    return params[:-1]


@over(TIED)
@pytest.mark.parametrize("n_outputs", [1, K])
@pytest.mark.parametrize("equal", [True, False])
def test_a_joint_step_is_that_of_the_reference(case, equal, n_outputs, rng):
    for scale in (1e-3, 0.05, 0.3, 100.0):
        u = scale * rng.normal(size=(N_FEATURES, n_outputs))
        lengths = np.full(u.shape, 0.4) if equal else np.exp(rng.normal(size=u.shape))
        spec, reference = case.spec._replace(l2=0.0), case.naive
        reference = type(reference)(getattr(spec, "limit", getattr(spec, "group", None)))
        expected = reference.proximal(u, 0.0, lengths)
        np.testing.assert_allclose(settled(spec, u, lengths), expected, rtol=1e-10, atol=1e-15)


def test_steps_of_one_length_scale():
    """Where it is: the projection onto a ball, and the group's soft threshold."""
    u, lengths = np.array([[3.0], [4.0]]), np.full((2, 1), 0.5)
    np.testing.assert_allclose(settled(MaxNorm(2.0), u, lengths), u * 2 / 5, rtol=1e-14)
    np.testing.assert_array_equal(settled(MaxNorm(5.0), u, lengths), u)
    row, lengths = u.T, lengths.T
    np.testing.assert_allclose(settled(GroupLasso(2.0), row, lengths), row * (1 - 1 / 5))
    np.testing.assert_array_equal(settled(GroupLasso(10.0), row, lengths), 0.0)


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_a_joint_step_is_the_minimum_that_a_search_finds(scale, rng):
    h, u = np.exp(rng.normal(size=3)), scale * rng.normal(size=3)

    def distance(w):
        return np.sum((w - u) ** 2 / (2 * h))

    ball = {"type": "ineq", "fun": lambda w: 1.0 - w @ w}
    found = minimize(distance, u / 10, constraints=ball, tol=1e-12).x
    np.testing.assert_allclose(
        settled(MaxNorm(1.0), u[:, None], h[:, None])[:, 0], found, atol=1e-5
    )
    found = minimize(lambda w: distance(w) + 0.4 * np.sqrt(w @ w), u, tol=1e-12).x
    np.testing.assert_allclose(settled(GroupLasso(0.4), u[None], h[None])[0], found, atol=1e-5)


def test_a_step_of_no_length_changes_no_group():
    u = np.array([[1.0, 2.0]])
    np.testing.assert_allclose(settled(GroupLasso(3.0), u, np.zeros((1, 2))), u, rtol=1e-14)


def test_outputs_share_the_norms_of_their_rows(rng):
    W = rng.normal(size=(N_FEATURES, K))
    W[1] = 0.0
    spec, flat = GroupLasso(0.7), np.vstack([W, np.ones((1, K))]).reshape(-1)
    shares = [penalties.joint_value(spec, flat, K, k) for k in range(K)]
    np.testing.assert_allclose(sum(shares), 0.7 * np.linalg.norm(W, axis=1).sum(), rtol=1e-14)
    np.testing.assert_allclose(shares, naive.GroupLasso(0.7).value(W).sum(axis=0), rtol=1e-13)


@pytest.mark.parametrize("l2", [0.0, 1e-4, 0.5])
def test_without_an_absolute_part_there_are_fewer_operations_and_the_same_digits(l2):
    whole, fewer = ElasticNet(0.0, l2), _resolve.simplest(ElasticNet(0.0, l2))
    assert fewer == Quadratic(l2)
    for w in W:
        assert penalties.value(fewer, w, 0) == penalties.value(whole, w, 0)
        for step in STEPS:
            moved, held = (penalties.proximal(spec, w, 0.3, step, 0) for spec in (fewer, whole))
            assert moved == held
            time = penalties.time_of_step(whole, step)
            assert penalties.time_of_step(fewer, step) == time
            assert penalties.skip(fewer, w, time) == penalties.skip(whole, w, time)
            sums = (2.0, 0.1, step)
            minimum = penalties.ftrl_minimum(whole, w, sums, 0)
            assert penalties.ftrl_minimum(fewer, w, sums, 0) == minimum


def test_without_any_strength_a_step_is_the_change():
    for w in W:
        for step in STEPS:
            for change in (-0.3, 0.0, 1e-300):
                held = penalties.proximal(ElasticNet(), w, change, step, 0)
                assert penalties.proximal(Unpenalised(), w, change, step, 0) == held
        assert penalties.value(Unpenalised(), w, 0) == 0.0
        assert penalties.skip(Unpenalised(), w, 1.0) == w


class Fading(ElasticNet):
    """An ``ElasticNet`` but for its step, which is weaker for later coefficients."""

    __slots__ = ()

    @staticmethod
    def proximal(penalty, param, change, step, c):
        return ElasticNet.proximal(penalty, param, change, step / (1 + c), c)

    @staticmethod
    def penalty_factor(penalty, c):  # noqa: ARG004
        return 1.0 / (1.0 + c)


def test_an_absolute_part_stays_and_so_does_a_class_made_of_another():
    for spec in (ElasticNet(0.1, 0.5), Bounded(0.0, 0.5, 0.0), Fading(0.0, 0.5), Unpenalised()):
        assert _resolve.simplest(spec) is spec


def test_a_class_made_of_another_does_not_treat_coefficients_alike_unasked():
    assert all(penalties.is_alike(spec) for spec in (ElasticNet(), Quadratic(), Bounded()))
    assert not penalties.is_alike(Fading(0.0, 0.5))
    assert not penalties.is_alike(Weighted(0.1, 0.1, FACTORS))


FADING = [
    (0.0, 0.5),
    (0.3, 0.0),
    (0.3, 0.5),
    (0.0, 0.0),
    (0.0, 40.0),
    (9.0, 0.0),
    (2.0, 9.0),
    (0.0, 2.0),
]  # with a time of 1.5: of a fading by 3, the last one is the limit of equal paces


@pytest.mark.parametrize(("l1", "l2"), FADING)
@pytest.mark.parametrize("faded", [0.0, 1e-5, 0.4, 3.0, 20.0])
def test_a_change_fades_as_in_many_small_steps(l1, l2, faded):
    w, time, n_steps = np.array([-3.0, 0.0, 0.02, 0.7, 250.0]), 1.5, 5_000
    kinds = [ElasticNet(l1, l2), Bounded(l1, l2, -1e3, 1e3), Weighted(l1, l2, np.ones(5))]
    if l1 == 0:
        kinds.append(Quadratic(l2))
    after, left, kept = w, np.zeros(5), np.exp(-faded / n_steps)
    for _ in range(n_steps):
        shrunk = np.exp(-l2 * time / n_steps) * np.abs(after) - l1 * time / n_steps
        before, after = after, np.sign(after) * np.maximum(shrunk, 0.0)
        left = np.sqrt(kept) * (np.sqrt(kept) * left + (after - before))
    for kind in kinds:
        ends = each(penalties.skip, kind, w, time)
        found = [
            penalties.faded_change(kind, *pair, time, faded) for pair in zip(w, ends, strict=True)
        ]
        np.testing.assert_allclose(found, left, rtol=2e-3, atol=2e-3 * abs(left).max())


def test_a_change_that_came_at_once_fades_all_along():
    for kind in (Quadratic(1e-4), ElasticNet(0.0, 1e-4), ElasticNet(1e-4, 1e-4)):
        time = penalties.time_of_step(kind, 1e9) * 1e6
        assert penalties.faded_change(kind, 5.0, 0.0, time, 2.0) == pytest.approx(
            -5 * np.exp(-2.0), rel=1e-3
        )
        assert penalties.faded_change(kind, 0.0, 0.0, np.inf, 2.0) == 0.0


@pytest.mark.parametrize("kind", [Quadratic, ElasticNet, Bounded])
def test_the_longest_step_leaves_nothing_of_a_coefficient(kind):
    spec = kind(l2=0.25)
    assert penalties.longest_step(spec, 0) == 4.0
    assert penalties.proximal(spec, 7.0, -1.0, 4.0, 0) == -1.0
    assert penalties.longest_step(kind(), 0) == np.inf
    assert penalties.longest_step(Weighted(0.0, 0.5, np.array([0.5, 0.0])), 0) == 4.0
    assert penalties.longest_step(Weighted(0.0, 0.5, np.array([0.5, 0.0])), 1) == np.inf
