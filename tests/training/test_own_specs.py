"""Losses, optimizers and penalties of a user's own: what they say of themselves is made use of.

The classes stand here, not in the package. What they do not say must cost speed, never truth.
"""

import math
import os
from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize

import fastgd
from fastgd._data.validation import as_rows
from fastgd._engines.updates import kind_of_update
from fastgd._parameters import resolve as _resolve
from fastgd._solvers._auto import choose, solve
from fastgd._solvers._task import Options, Task
from fastgd.kernels import losses, optimizers, stores
from fastgd.kernels.losses import SquaredError
from fastgd.kernels.penalties import Bounded, ElasticNet, Weighted
from fastgd.kernels.sgd import Rule
from tests.tables import over_product

LAYOUTS = {"dense": np.ascontiguousarray, "csr": sp.csr_matrix}

# -- losses -----------------------------------------------------------------------------------


class PseudoHuber(NamedTuple):
    """s^2 (sqrt(1 + r^2 / s^2) - 1); it says nothing but what descent needs."""

    s: float = 1.0

    @staticmethod
    def value(loss, y_true, raw):
        z = (raw - y_true) / loss.s
        return loss.s * loss.s * (math.sqrt(1.0 + z * z) - 1.0)

    @staticmethod
    def gradient(loss, y_true, raw):
        z = (raw - y_true) / loss.s
        return loss.s * z / math.sqrt(1.0 + z * z)

    @staticmethod
    def curvature(loss, y_true, raw):
        z = (raw - y_true) / loss.s
        return (1.0 + z * z) ** -1.5


class Spoken(NamedTuple):
    """The same loss, which says what it is."""

    s: float = 1.0

    kind = "regression"
    convex = True
    nonnegative = True
    of_residual = True
    curvature_bound = 1.0
    value = PseudoHuber.value
    gradient = PseudoHuber.gradient
    curvature = PseudoHuber.curvature


class Below(NamedTuple):
    """A loss whose values are negative: half a squared residual, less 50."""

    @staticmethod
    def value(loss, y_true, raw):
        return 0.5 * (raw - y_true) * (raw - y_true) - 50.0

    @staticmethod
    def gradient(loss, y_true, raw):
        return raw - y_true

    @staticmethod
    def curvature(loss, y_true, raw):
        return 1.0


class Exponential(NamedTuple):
    """AdaBoost's e^(-y raw), with the probability that it stands for."""

    kind = "binary"
    negative = -1.0
    convex = True
    nonnegative = True

    @staticmethod
    def probability(loss, raw):
        return 1.0 / (1.0 + np.exp(-2.0 * raw))

    @staticmethod
    def value(loss, y_true, raw):
        return math.exp(-y_true * raw)

    @staticmethod
    def gradient(loss, y_true, raw):
        return -y_true * math.exp(-y_true * raw)

    @staticmethod
    def curvature(loss, y_true, raw):
        return math.exp(-y_true * raw)


class Counts(NamedTuple):
    """Poisson's, as one writes it who knows nothing of units: values are negative, too."""

    link = "log"
    domain = "nonnegative"
    convex = True

    @staticmethod
    def value(loss, y_true, raw):
        return math.exp(raw) - y_true * raw

    @staticmethod
    def gradient(loss, y_true, raw):
        return math.exp(raw) - y_true

    @staticmethod
    def curvature(loss, y_true, raw):
        return math.exp(raw)

    @staticmethod
    def inverse_link(loss, raw):
        return math.exp(raw)


class Parabola(NamedTuple):
    """a r^2 / 2 with a dual: gd, SAGA and SDCA can all have it."""

    a: float = 3.0

    convex = True
    nonnegative = True
    of_residual = True
    quadratic = True

    @staticmethod
    def curvature_bound(loss):
        return loss.a

    @staticmethod
    def value(loss, y_true, raw):
        return 0.5 * loss.a * (raw - y_true) * (raw - y_true)

    @staticmethod
    def gradient(loss, y_true, raw):
        return loss.a * (raw - y_true)

    @staticmethod
    def curvature(loss, y_true, raw):
        return loss.a

    @staticmethod
    def conjugate(loss, y_true, dual):
        return dual * (0.5 * dual / loss.a + y_true)

    @staticmethod
    def dual_bounds(loss, y_true):
        return -math.inf, math.inf

    @staticmethod
    def dual_curvature(loss, y_true, dual):
        return loss.a

    @staticmethod
    def dual_step(loss, y_true, raw, dual, q):
        return loss.a * (raw - y_true + q * dual) / (1.0 + loss.a * q), loss.a / (1.0 + loss.a * q)


class Half(NamedTuple):
    """Half a squared residual, which says so by four facts."""

    of_residual = True
    quadratic = True
    curvature_bound = 1.0
    degree = 2
    convex = True
    nonnegative = True
    value = SquaredError.value
    gradient = SquaredError.gradient
    curvature = SquaredError.curvature


class Logistic(NamedTuple):
    """The logistic loss under another name; for more than two classes it is the softmax."""

    kind = "binary"
    negative = 0.0
    of_classes = staticmethod(lambda _: losses.Softmax())
    value = staticmethod(losses.LogLoss.value)
    gradient = staticmethod(losses.LogLoss.gradient)


class Uneven(NamedTuple):
    """low max(y - raw, 0) + high max(raw - y, 0): linear pieces, and it says which."""

    low: float = 1.0
    high: float = 3.0

    convex = True
    nonnegative = True
    smooth = False

    @staticmethod
    def pieces(loss, y_true):
        one = np.ones((1, y_true.shape[0]))
        return y_true[None], -loss.low * one, loss.high * one

    @staticmethod
    def value(loss, y_true, raw):
        return loss.low * max(y_true - raw, 0.0) + loss.high * max(raw - y_true, 0.0)

    @staticmethod
    def gradient(loss, y_true, raw):
        return (loss.high if raw > y_true else 0.0) - (loss.low if raw < y_true else 0.0)

    @staticmethod
    def dual_step(loss, y_true, raw, dual, q):
        q = max(q, 1e-100)
        free = dual + (raw - y_true) / q
        return min(
            max(free, -loss.low), loss.high
        ), 1.0 / q if -loss.low < free < loss.high else 0.0


class Tube(NamedTuple):
    """A tube whose width is no ``epsilon``: multiplied targets would be another problem."""

    width: float = 0.5

    convex = True
    nonnegative = True
    of_residual = True

    @staticmethod
    def pieces(loss, y_true):
        zero, one = np.zeros(y_true.shape[0]), np.ones(y_true.shape[0])
        at = np.stack([y_true + loss.width, y_true - loss.width])
        return at, np.stack([zero, -one]), np.stack([one, zero])

    @staticmethod
    def value(loss, y_true, raw):
        return max(0.0, abs(raw - y_true) - loss.width)

    @staticmethod
    def dual_step(loss, y_true, raw, dual, q):
        residual = raw - y_true + q * dual
        free = max(residual - loss.width, 0.0) + min(residual + loss.width, 0.0)
        free /= max(q, 1e-100)
        return min(max(free, -1.0), 1.0), 0.0


class Sums(NamedTuple):
    """A loss of many outputs that is not the softmax."""

    kind = "multinomial"

    @staticmethod
    def value_row(loss, y_true, raw):
        return 0.0

    @staticmethod
    def gradient_row(loss, y_true, raw, out):
        return 0.0


def mean_loss(loss, y, raw):
    return float(np.mean([type(loss).value(loss, *pair) for pair in zip(y, raw, strict=True)]))


def objective(loss, X, y, l2, coef, intercept):
    return mean_loss(loss, y, X @ coef + intercept) + 0.5 * l2 * float(coef @ coef)


def optimum(loss, X, y, l2):
    """Minimise by scipy, from the loss's plain Python methods."""
    n, d = X.shape

    def both(u):
        raw = X @ u[:d] + u[d]
        pairs = list(zip(y, raw, strict=True))
        slopes = np.array([type(loss).gradient(loss, *pair) for pair in pairs]) / n
        value = objective(loss, X, y, l2, u[:d], u[d])
        return value, np.append(X.T @ slopes + l2 * u[:d], slopes.sum())

    kwargs = {"gtol": 1e-11, "ftol": 1e-15, "maxiter": 5000}
    return minimize(both, np.zeros(d + 1), jac=True, method="L-BFGS-B", options=kwargs)


@pytest.fixture
def problem(rng):
    """Return half-empty columns of unlike scales, and raw predictions with noise."""
    X = rng.normal(size=(120, 5)) * np.geomspace(0.1, 10.0, 5)
    X[rng.random(X.shape) < 0.5] = 0.0
    raw = X @ (rng.normal(size=5) / np.geomspace(0.1, 10.0, 5)) + 1.0
    return X, raw + 0.5 * rng.standard_t(3, size=120)


def task_of(layout, X, y, loss, l2, **more):
    return Task(as_rows(LAYOUTS[layout](X)), y, None, loss, 0.0, l2, X.shape[1], **more)


def targets(loss, y):
    if losses.kind_of(loss) == losses.BINARY:
        return np.where(y > np.median(y), 1.0, -1.0)
    return np.abs(np.round(y)) if losses.domain_of(loss) else y


SMOOTH = [PseudoHuber(0.7), Spoken(0.7), Below(), Exponential(), Counts(), Parabola()]


def _name(value):
    return value if isinstance(value, str) else type(value).__name__


def over(names, values, often):
    """Return the mark of a test over values and layouts: those of ``often``, some, or all.

    ``often`` maps a value and a layout to whether it is run by default, or where it is ``full``;
    the others are thorough. Each is some seconds of compilation.
    """
    cases = [(value, layout) for value in values for layout in LAYOUTS]
    mark_of = {True: (), False: pytest.mark.full, None: pytest.mark.thorough}
    marks = [mark_of[often.get((_name(v), way))] for v, way in cases]
    marked = [pytest.param(*c, marks=mark) for c, mark in zip(cases, marks, strict=True)]
    return pytest.mark.parametrize(names, marked, ids=_name)


OFTEN = {
    ("PseudoHuber", "dense"): True,
    ("Exponential", "csr"): False,
    ("Below", "dense"): False,
    ("Counts", "dense"): False,
    ("Parabola", "csr"): False,
}


@over(("loss", "layout"), SMOOTH, OFTEN)
def test_descent_takes_any_loss_with_a_curvature(problem, loss, layout):
    X, y = problem[0], targets(loss, problem[1])
    found = solve(task_of(layout, X, y, loss, 0.01), Options(tol=1e-8))
    best = optimum(loss, X, y, 0.01)
    assert found.solver == "gd"
    assert found.converged
    assert found.objective == pytest.approx(
        objective(loss, X, y, 0.01, found.coef, found.intercept), rel=1e-10
    )
    above = found.objective - best.fun
    assert above <= 1e-7 * max(abs(best.fun), 1.0)
    assert found.gap >= above - 1e-12 * max(abs(best.fun), 1.0)
    np.testing.assert_allclose(found.coef, best.x[:-1], rtol=2e-3, atol=2e-4)


def test_nothing_is_proven_of_a_loss_that_does_not_say_it_is_convex(problem):
    X, y = problem
    silent, spoken = (
        solve(task_of("dense", X, y, loss, 0.01), Options(tol=1e-6))
        for loss in (PseudoHuber(0.7), Spoken(0.7))
    )
    assert silent.gap == math.inf
    assert 0.0 <= spoken.gap <= 1e-6
    assert solve(task_of("dense", X, y, Below(), 0.01), Options()).gap == math.inf


@over(
    ("solver", "layout"),
    ["gd", "saga", "sdca"],
    {("gd", "dense"): False, ("saga", "csr"): False, ("sdca", "csr"): True},
)
def test_a_loss_with_a_dual_goes_to_every_solver(problem, solver, layout):
    """It is 3 times the squared error, so a ridge of a third of the strength."""
    X, y = problem
    found = solve(task_of(layout, X, y, Parabola(3.0), 0.3), Options(tol=1e-10), solver)
    ridge = fastgd.Ridge(alpha=0.1 * X.shape[0]).fit(X, y)
    assert found.converged
    np.testing.assert_allclose(found.coef, ridge.coef_, rtol=1e-4, atol=1e-6)
    assert found.intercept == pytest.approx(ridge.intercept_, rel=1e-4)


def test_a_loss_that_is_half_a_square_is_solved_as_least_squares(problem):
    task = task_of("dense", *problem, Half(), 0.1)
    own, ours = (solve(t, Options()) for t in (task, task._replace(loss=losses.SquaredError())))
    np.testing.assert_array_equal(own.coef, ours.coef)
    assert (own.n_iter, own.gap) == (ours.n_iter, ours.gap)


def test_a_binary_loss_may_say_what_it_is_for_many_classes(problem):
    X, y = problem[0], np.digitize(problem[1], [0.0, 2.0])
    kwargs = {"random_state": 0, "max_iter": 3, "tol": None, "learning_rate": "constant"}
    own, ours = (fastgd.SGDClassifier(L, **kwargs).fit(X, y) for L in (Logistic(), "log_loss"))
    np.testing.assert_array_equal(own.coef_, ours.coef_)
    with pytest.raises(ValueError, match="multi_class='multinomial' is the softmax"):
        fastgd.SGDClassifier(Exponential(), multi_class="multinomial").fit(X, y)


def test_a_penalty_of_ones_own_may_say_what_it_is_above_zero(problem):
    class Ridge(NamedTuple):
        l2: float = 0.1

        value = staticmethod(lambda penalty, param, c: 0.5 * penalty.l2 * param * param)
        proximal = staticmethod(lambda penalty, param, change, step, c: param + change)
        above = staticmethod(lambda penalty, low: Bounded(0.0, penalty.l2, low))

    X, y = problem
    kwargs = {"positive": True, "random_state": 0, "max_iter": 3, "tol": None}
    own, ours = (
        fastgd.SGDRegressor(penalty=P, **kwargs).fit(X, y) for P in (Ridge(), ElasticNet(l2=0.1))
    )
    np.testing.assert_array_equal(own.coef_, ours.coef_)


@over_product(lambda layout: layout == "dense", layout=LAYOUTS)
def test_linear_pieces_of_ones_own_are_solved_exactly(problem, layout):
    X, y = problem
    own = solve(task_of(layout, X, y, Uneven(1.0, 3.0), 0.04), Options(tol=1e-9))
    peer = solve(task_of(layout, X, y, losses.Quantile(0.25), 0.01), Options(tol=1e-9))
    assert own.solver == peer.solver
    assert own.converged
    assert own.objective == pytest.approx(4.0 * peer.objective, rel=1e-8)
    np.testing.assert_allclose(own.coef, peer.coef, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_targets_are_multiplied_only_if_the_loss_says_what_that_does(problem, scale):
    X, y = problem
    own = solve(task_of("dense", X, scale * y, Tube(0.5), 0.01), Options(tol=1e-9))
    known = losses.EpsilonInsensitive(0.5)
    peer = solve(task_of("dense", X, scale * y, known, 0.01), Options(tol=1e-9))
    assert own.objective == pytest.approx(peer.objective, rel=1e-7)


@pytest.mark.parametrize(
    ("loss", "solver", "message"),
    [
        (Uneven(), "saga", "needs a smooth loss, which Uneven is not and a loss with curvature"),
        (PseudoHuber(), "sdca", "a loss with conjugate, dual_bounds, .* which PseudoHuber has not"),
        (Sums(), "auto", "needs the plain softmax for many outputs"),
        (losses.Softmax(0.1), "gd", r"the plain softmax .* Softmax\(label_smoothing=0.1\) is not"),
    ],
    ids=str,
)
def test_what_a_solver_lacks_is_said(problem, loss, solver, message):
    X, y = problem
    is_row = losses.kind_of(loss) == losses.MULTINOMIAL
    task = task_of("dense", X, np.digitize(y, [0.0, 1.0]) if is_row else y, loss, 0.1)
    task = task._replace(n_outputs=3 if is_row else 1)
    with pytest.raises(ValueError, match=message):
        solve(task, Options(), solver)


def test_auto_takes_the_solver_that_can(problem):
    class DualOnly(NamedTuple):
        value = Parabola.value
        gradient = Parabola.gradient
        conjugate = Parabola.conjugate
        dual_bounds = Parabola.dual_bounds
        dual_curvature = Parabola.dual_curvature
        dual_step = Parabola.dual_step

    assert choose(task_of("dense", *problem, DualOnly(), 0.1)) == "sdca"
    assert choose(task_of("dense", *problem, Parabola(), 0.1)) == "gd"


SOME_STEPS = {"random_state": 0, "max_iter": 20, "tol": None, "learning_rate": "constant"}
layouts_of_sgd = pytest.mark.parametrize(
    "layout", ["csr", pytest.param("dense", marks=pytest.mark.thorough)]
)


@layouts_of_sgd
def test_sgd_takes_them_and_their_probabilities(problem, layout):
    X, y = LAYOUTS[layout](problem[0] / problem[0].std(axis=0)), problem[1]
    model = fastgd.SGDClassifier(Exponential(), eta0=0.01, **SOME_STEPS).fit(X, y > 1.0)
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    expected = 1.0 / (1.0 + np.exp(-2.0 * model.decision_function(X)))
    np.testing.assert_allclose(p[:, 1], expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"y >= 0 is allowed"):
        fastgd.SGDRegressor(Counts()).fit(X, y - 10.0)


@pytest.mark.full
@layouts_of_sgd
def test_sgd_takes_losses_without_probabilities_and_with_links(problem, layout):
    X, y = LAYOUTS[layout](problem[0] / problem[0].std(axis=0)), problem[1]
    with pytest.raises(AttributeError, match="predict_proba"):
        fastgd.SGDClassifier(PseudoHuber()).fit(X, y > 1.0).predict_proba  # noqa: B018
    counts = fastgd.SGDRegressor(Counts(), eta0=0.01, **SOME_STEPS)
    assert (counts.fit(X, np.abs(np.round(y))).predict(X) > 0.0).all()


def test_a_loss_without_probabilities_has_none():
    assert not hasattr(fastgd.SGDClassifier(PseudoHuber()), "predict_proba")
    assert hasattr(fastgd.SGDClassifier(Exponential()), "predict_proba")


class Allocating(NamedTuple):
    """Half a square, of an array made for it."""

    kind = "regression"

    @staticmethod
    def value(loss, y_true, raw):
        return 0.5 * (raw - y_true) ** 2

    @staticmethod
    def gradient(loss, y_true, raw):
        both = np.zeros(2)
        both[0] = raw - y_true
        return both.sum()


class Misspelt(NamedTuple):
    """Half a square, misspelt."""

    kind = "regression"

    @staticmethod
    def value(loss, y_true, raw):
        return loss.scale * (raw - y_true) ** 2

    @staticmethod
    def gradient(loss, y_true, raw):
        return raw - y_true


class Wrong(NamedTuple):
    """Steps by an attribute that numbers do not have."""

    n_slots = 0
    eta0 = 0.1

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        return np.repeat(rates[:, None], 4, axis=1)

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        return -step_coefs[0] * g.sign, step_coefs[0]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"loss": Allocating()},
            r"method 'gradient' of Allocating cannot be compiled: .*zeros.*, line \d+ \(in .*"
            r"test_own_specs.py\).* must not make arrays",
        ),
        ({"loss": Allocating(), "batch_size": 16}, "method 'gradient' of Allocating cannot be"),
        ({"loss": Misspelt()}, "method 'value' of Misspelt cannot be compiled: .*scale"),
        ({"optimizer": Wrong()}, "method 'update' of Wrong cannot be compiled: .*'sign'"),
    ],
)
def test_a_method_that_cannot_be_compiled_is_named(problem, params, message):
    X, y = problem
    model = fastgd.SGDRegressor(**params, max_iter=1)
    with pytest.raises(TypeError, match=message):
        model.fit(X, y)
    assert not hasattr(model, "coef_")


def test_our_losses_say_the_truth():
    """Facts against values: convexity, signs, bounds of curvature, degrees, pieces."""
    grid = np.linspace(-8.0, 8.0, 641) + 0.0031
    assert {n for n, loss in losses.LOSSES.items() if losses.is_half_square(loss)} == {
        "squared_error"
    }
    for name, loss in losses.LOSSES.items():
        if losses.kind_of(loss) == losses.MULTINOMIAL:
            row = np.array([0.3, -1.0, 2.0])
            expected = np.log(np.exp(row).sum()) - row[2]
            assert losses.value_row(loss, 2, row) == pytest.approx(expected, rel=1e-12)
            assert losses.is_cross_entropy(loss)
            assert not losses.is_cross_entropy(loss._replace(label_smoothing=0.1))
            continue
        ys = {"regression": [0.7, 2.0], "binary": [losses.negative(loss), 1.0]}[type(loss).kind]
        for y in ys:
            values = np.array([losses.value(loss, y, raw) for raw in grid])
            slopes = np.array([losses.gradient(loss, y, raw) for raw in grid])
            if losses.is_convex(loss):
                assert (np.diff(slopes) >= -1e-12).all(), name
            if losses.is_nonnegative(loss):
                assert (values >= 0.0).all(), name
            if losses.is_smooth(loss):
                bends = np.array([losses.curvature(loss, y, raw) for raw in grid])
                bound = losses.curvature_bound(loss)
                assert (np.abs(bends) <= bound * (1.0 + 1e-12)).all(), name
                steepest = np.max(np.abs(np.diff(slopes))) / (grid[1] - grid[0])
                assert steepest <= bound * (1.0 + 1e-9), name
                if losses.has_jumps(loss):
                    np.testing.assert_allclose(bends[bends > 0.0], bound, rtol=1e-12)
            else:
                assert np.max(np.abs(np.diff(slopes))) > 0.4, name
            if losses.is_half_square(loss):
                np.testing.assert_allclose(values, 0.5 * (grid - y) ** 2, rtol=1e-12)
            if losses.of_classes(loss) is not None:
                joint = losses.of_classes(loss)
                pairs = [losses.value_row(joint, int(y), np.array([0.0, raw])) for raw in grid]
                np.testing.assert_allclose(values, pairs, rtol=1e-9, atol=1e-12)
            if losses.degree_of(loss):
                c = 2.5
                bigger = loss
                if "epsilon" in loss._fields:
                    bigger = loss._replace(epsilon=c * loss.epsilon)
                scaled = np.array([losses.value(bigger, c * y, c * raw) for raw in grid])
                np.testing.assert_allclose(
                    scaled, c ** losses.degree_of(loss) * values, rtol=1e-10, atol=1e-12
                )
            if losses.is_of_residual(loss):
                moved = np.array([losses.value(loss, y + 3.0, raw + 3.0) for raw in grid])
                np.testing.assert_allclose(moved, values, rtol=1e-9, atol=1e-12)
            if losses.is_piecewise_linear(loss):
                at, low, high = type(loss).pieces(loss, np.array([y]))
                z = grid - at
                summed = np.sum(high * np.maximum(z, 0.0) + low * np.minimum(z, 0.0), axis=0)
                np.testing.assert_allclose(summed, values, atol=1e-12)


def test_tables_of_names_hold_a_fact_of_each_loss():
    """A loss that is not smooth says its pieces, or no solver but SGD could take it."""
    for loss in losses.LOSSES.values():
        assert losses.is_smooth(loss) != losses.is_piecewise_linear(loss) or (
            losses.kind_of(loss) == losses.MULTINOMIAL
        )


# -- optimizers -------------------------------------------------------------------------------


class Squashed(NamedTuple):
    """Steps of -rate g / (1 + |g|); it does not say how skipped steps are made up for."""

    n_slots = 0
    eta0 = 0.1

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        step_coefficients = np.zeros((rates.shape[0], 4))
        step_coefficients[:, 0] = rates
        return step_coefficients

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        return -step_coefs[0] * g / (1 + abs(g)), step_coefs[0]


class Declared(NamedTuple):
    """The same, which says that only the penalty moves an absent feature."""

    n_slots = 0
    eta0 = 0.1
    skipped_steps = optimizers.SAME_LENGTH
    step_coefficients = Squashed.step_coefficients
    update = Squashed.update

    @staticmethod
    def lengths(optimizer, step_coefficients):
        return step_coefficients[:, 0]


class Halved(NamedTuple):
    """Plain steps of half the rate."""

    n_slots = 0
    eta0 = 0.1
    skipped_steps = optimizers.SAME_LENGTH
    is_plain = True

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        return 0.5 * Squashed.step_coefficients(optimizer, rates, first)

    @staticmethod
    def lengths(optimizer, step_coefficients):
        return step_coefficients[:, 0]

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        return -step_coefs[0] * g, step_coefs[0]


COEFFICIENTS = np.zeros((1 << 13, 4))


class Viewed(NamedTuple):
    """The same; what it returns are columns of another array."""

    n_slots = 0
    eta0 = 0.1
    update = Halved.update

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        zeros = np.zeros_like(rates)
        return np.array([0.5 * rates, zeros, zeros, zeros, zeros]).T[:, :4]


class Reused(NamedTuple):
    """The same; it fills one array again and again."""

    n_slots = 0
    eta0 = 0.1
    update = Halved.update

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        COEFFICIENTS[: rates.shape[0], 0] = 0.5 * rates
        return COEFFICIENTS[: rates.shape[0]]


class Cubed(NamedTuple):
    """Adagrad by the cube root: rates of each coefficient's own, which wait while it is absent."""

    n_slots = 1
    eta0 = 0.1
    skipped_steps = optimizers.OWN_LENGTH
    step_coefficients = Squashed.step_coefficients

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        state[0, j] += abs(g)
        step = step_coefs[0] / (1 + state[0, j])
        return -step * g, step

    @staticmethod
    def recall(optimizer, state, j):
        return np.float64(state[0, j])

    @staticmethod
    def penalty_rate(optimizer, slot):
        return 1.0 / (1.0 + slot)


class Averaging(NamedTuple):
    """Momentum that decays by itself: only as one that keeps its mean while it is absent."""

    lazy: bool | None = None

    n_slots = 1
    eta0 = 0.1
    lazy_on_sparse = True
    step_coefficients = Squashed.step_coefficients

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        state[0, j] = g + (state[0, j] - g) / 2
        return -step_coefs[0] * state[0, j], step_coefs[0]

    @staticmethod
    def length(optimizer, step_coefs, state, j):
        return step_coefs[0]

    @staticmethod
    def recall(optimizer, state, j):
        return 0.0


OWN = [Squashed(), Declared(), Halved(), Cubed(), Averaging(lazy=True)]
PENALTIES = {
    "none": None,
    "l2": ElasticNet(0.0, 0.05),
    "l1 and l2": ElasticNet(0.01, 0.05),
    "bounds": Bounded(0.0, 0.02, -0.5, 0.5),
    "factors": Weighted(0.01, 0.05, np.array([0.0, 1.0, 2.0, 1.0, 0.5, 1.0])),
}


@pytest.mark.parametrize("dtype", [pytest.param(np.float32, marks=pytest.mark.full), np.float64])
@pytest.mark.parametrize("optimizer", [Viewed(), Reused()])
def test_step_coefficients_may_be_part_of_another_array(rng, optimizer, dtype):
    X = rng.normal(size=(40, 3)).astype(dtype)
    y = X @ rng.normal(size=3).astype(dtype)
    # as many steps as have their coefficients asked for three times
    schedule = fastgd.schedules.InvScaling(eta0=0.1, power_t=0.5)
    kwargs = {"learning_rate": schedule, "alpha": 0.1, "max_iter": 300, "tol": None}
    one, other = (
        fastgd.SGDRegressor(optimizer=own, random_state=0, **kwargs).fit(X, y)
        for own in (optimizer, Halved())
    )
    np.testing.assert_allclose(
        one.history_["update_norm"], other.history_["update_norm"], rtol=1e-3, atol=1e-5
    )
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-5)


def sparse_problem(rng, n=60, d=6):
    X = rng.normal(size=(n, d))
    X[rng.random(X.shape) < 0.6] = 0.0
    return X, X @ rng.normal(size=d)


JIT = os.environ.get("NUMBA_DISABLE_JIT") != "1"
LONG = pytest.mark.thorough if JIT else ()  # in plain Python nothing takes long
MARKS = {Declared: (), Cubed: pytest.mark.full if JIT else ()}


@pytest.mark.nojit
@pytest.mark.parametrize("penalty", ["l2", pytest.param("l1 and l2", marks=LONG)])
@pytest.mark.parametrize(
    "optimizer",
    [pytest.param(one, marks=MARKS.get(type(one), LONG)) for one in OWN],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_sparse_rows_give_the_coefficients_of_dense_ones(rng, optimizer, penalty):
    X, y = sparse_problem(rng)
    kwargs = {"optimizer": optimizer, "penalty": PENALTIES[penalty], "batch_size": 4}
    kwargs |= {"random_state": 0, "max_iter": 5, "tol": None}
    dense, sparse = (fastgd.SGDRegressor(**kwargs).fit(make(X), y) for make in LAYOUTS.values())
    np.testing.assert_allclose(sparse.coef_, dense.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(sparse.intercept_, dense.intercept_, rtol=1e-9)


EXPECTED = {
    Squashed: dict.fromkeys(PENALTIES, stores.Plain),
    Declared: {**dict.fromkeys(PENALTIES, stores.ClosedForm), "factors": stores.OwnLengths},
    Halved: {
        "none": stores.Scaled,
        "l2": stores.Scaled,
        "l1 and l2": stores.ClosedForm,
        "bounds": stores.ClosedForm,
        "factors": stores.OwnLengths,
    },
    Cubed: dict.fromkeys(PENALTIES, stores.OwnLengths),
    Averaging: dict.fromkeys(PENALTIES, stores.OwnLengths),
}


@pytest.mark.nojit
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_what_an_optimizer_says_decides_how_coefficients_are_kept(kind, penalty):
    optimizer = _resolve.optimizer(kind(), sparse=True)
    rule = Rule(PseudoHuber(), PENALTIES[penalty] or ElasticNet(), optimizer, True)
    assert kind_of_update(rule, averages=False, sparse=True) is EXPECTED[kind][penalty]
    assert kind_of_update(rule, averages=False, sparse=False) is stores.Plain


class Counting(NamedTuple):
    """Counts its calls, in plain Python."""

    n_slots = 0
    eta0 = 0.01
    skipped_steps = optimizers.SAME_LENGTH
    step_coefficients = Squashed.step_coefficients
    lengths = Declared.lengths
    calls = [0]  # noqa: RUF012

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        Counting.calls[0] += 1
        return -step_coefs[0] * g, step_coefs[0]


@pytest.mark.nojit
@pytest.mark.skipif(JIT, reason="calls are counted in plain Python")
def test_a_sparse_step_costs_what_its_rows_hold(rng):
    X = sp.random(40, 5000, density=0.001, format="csr", random_state=0)
    Counting.calls[0] = 0
    kwargs = {"optimizer": Counting(), "penalty": ElasticNet(0.01, 0.01), "batch_size": 4}
    fastgd.SGDRegressor(max_iter=2, tol=None, **kwargs).fit(X, rng.normal(size=40))
    assert 0 < Counting.calls[0] <= 2 * (X.nnz + 10)  # an intercept a step


@pytest.mark.nojit
def test_an_optimizer_s_own_default_rate_is_taken(rng):
    """The default schedule is made for plain sgd."""
    X, y = sparse_problem(rng)
    model = fastgd.SGDRegressor(optimizer=Squashed(), max_iter=2, tol=None).fit(X, y)
    assert set(model.history_["learning_rate"]) == {0.1}


# -- penalties --------------------------------------------------------------------------------


class Capped(NamedTuple):
    """l2 / 2 w^2 for w <= most; it has no closed form for skipped steps, and says none."""

    l2: float = 0.1
    most: float = 0.3

    @staticmethod
    def value(penalty, param, c):
        return penalty.l2 * param * param / 2

    @staticmethod
    def proximal(penalty, param, change, step, c):
        return min((1 - step * penalty.l2) * param + change, penalty.most)

    @staticmethod
    def project(penalty, coef):
        np.minimum(coef, penalty.most, out=coef)


@pytest.mark.nojit
@pytest.mark.parametrize("layout", ["csr", pytest.param("dense", marks=LONG)])
def test_a_penalty_of_ones_own_may_limit_where_training_starts(rng, layout):
    X, y = sparse_problem(rng)
    kwargs = {"penalty": Capped(), "max_iter": 1, "tol": None, "eta0": 1e-12, "batch_size": 4}
    kwargs |= {"learning_rate": "constant", "random_state": 0}
    model = fastgd.SGDRegressor(**kwargs).fit(LAYOUTS[layout](X), y, coef_init=np.ones(6))
    np.testing.assert_allclose(model.coef_, 0.3, rtol=1e-9)
