"""Squares of the distance from an interval, by Newton's steps through QR factorisations."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._solvers import _auto
from fastgd._solvers._intervals import (
    _length,
    _look,
    _Newton,
    _pull,
    _sides,
    _step,
    by_intervals,
    has_intervals,
    intervals_of,
)
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd.kernels import losses
from fastgd.kernels.losses import SquaredEpsilonInsensitive, SquaredHinge
from fastgd.kernels.rows import Dense

LOSSES = [SquaredHinge(), SquaredEpsilonInsensitive(0.3)]
over_losses = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
over_shapes = pytest.mark.parametrize("shape", [(12, 20), (40, 6)], ids=str)


def task_of(rng, loss, shape, l2=1e-3):
    X = rng.normal(size=shape) * np.geomspace(1.0, 1e3, shape[1])
    raw = X @ rng.normal(size=shape[1]) / 1e3 + rng.normal(size=shape[0])
    y = raw if isinstance(loss, SquaredEpsilonInsensitive) else np.where(raw > 0.0, 1.0, -1.0)
    weight = rng.integers(0, 3, shape[0]).astype(float)
    X.flags.writeable = False
    return Task(Dense(X), y, weight, loss, 0.0, l2, shape[1], fit_intercept=False)


def objective(task, w):
    """Return what the task minimises, in a loop."""
    total = 0.0
    for x, y, s in zip(task.rows.values, task.y, task.weight, strict=True):
        raw = sum(a * b for a, b in zip(x, w, strict=True))
        total += s * losses.value(task.loss, y, raw)
    return total / task.weight.sum() + 0.5 * task.l2 * float(w @ w)


@over_losses
@over_shapes
def test_a_point_is_looked_at_as_the_loss_says(rng, loss, shape):
    task = task_of(rng, loss, shape)
    of, w = intervals_of(task), rng.normal(size=shape[1])
    look = _look(of, w)
    assert task.l2 * look.objective == pytest.approx(objective(task, w), rel=1e-12)
    used = task.weight > 0.0
    slopes = [losses.gradient(loss, y, f) for y, f in zip(task.y[used], look.raw, strict=True)]
    np.testing.assert_allclose(_pull(of, look), -of.c * np.array(slopes), rtol=1e-12)


@over_losses
@over_shapes
def test_steps_lead_to_the_minimum_of_the_rows_that_are_outside(rng, loss, shape):
    task = task_of(rng, loss, shape)
    of = intervals_of(task)
    now = _look(of, 1e-3 * rng.normal(size=shape[1]))
    w, r = _step(of, _sides(of, now))
    outside = now.e > 0.0
    ends = np.where(now.raw < of.low, of.low, of.high)[outside]
    x, c = of.x[outside], of.c[outside]
    wanted = np.linalg.solve(
        2.0 * (c[:, None] * x).T @ x + np.eye(shape[1]), 2.0 * x.T @ (c * ends)
    )
    np.testing.assert_allclose(w, wanted, rtol=1e-5, atol=1e-7 * np.abs(wanted).max())
    np.testing.assert_allclose(of.x.T @ r, w, rtol=1e-7, atol=1e-9 * np.abs(w).max())
    assert not r[~outside].any()


@over_losses
def test_no_row_outside_leads_to_zero(rng, loss):
    of = intervals_of(task_of(rng, loss, (12, 20)))
    w, r = _step(of, np.zeros(of.c.shape))
    assert w.shape == (20,)
    assert not w.any()
    assert not r.any()


@over_losses
@over_shapes
def test_lengths_are_those_of_the_lowest_point_on_the_line(rng, loss, shape):
    of = intervals_of(task_of(rng, loss, shape))
    for _ in range(20):
        w = 1e-3 * rng.normal(size=shape[1])
        now = _look(of, w)
        step = _step(of, _sides(of, now))[0] - w
        found = _length(of, now, w, step)
        best = _look(of, w + found * step).objective
        others = np.append(np.linspace(0.0, 2.0, 201), found * np.linspace(0.9, 1.1, 21))
        assert best <= min(_look(of, w + t * step).objective for t in others) * (1.0 + 1e-12)


@over_losses
@over_shapes
@pytest.mark.parametrize("l2", [1e-1, 1e-6, 1e-12])
def test_bounds_hold_at_every_point(rng, loss, shape, l2):
    task = task_of(rng, loss, shape, l2)
    best = by_intervals(task, Options(tol=1e-9), State(np.zeros(shape[1]), 0.0))
    assert best.converged
    assert best.gap <= 1e-9 * best.objective
    lowest = best.objective
    for scale in (0.0, 1e-6, 1e-3, 1.0):
        w = best.coef + scale * rng.normal(size=shape[1])
        own = _Newton(task, Options(), State(w, 0.0))
        assert own.l2 * own.gap >= own.l2 * own.now.objective - lowest * (1.0 + 1e-12)
        for r in (rng.normal(size=own.of.c.shape), 0.0 * own.of.c, np.inf * own.of.c):
            with np.errstate(all="ignore"):
                own._prove(own.now, w, r)
            assert own.l2 * own.lower <= lowest * (1.0 + 1e-12)


def test_tasks_of_other_kinds_are_left_to_others(rng):
    task = task_of(rng, SquaredHinge(), (12, 20))
    assert has_intervals(task)
    changes = [{"l1": 0.1}, {"l2": 0.0}, {"positive": True}, {"fit_intercept": True}]
    changes += [{"loss": losses.Hinge()}, {"loss": losses.LogLoss()}, {"n_features": 1_000_000}]
    for change in changes:
        assert not has_intervals(task._replace(**change))


@pytest.mark.parametrize("most", [0, 1, 3])
def test_passes_are_counted_and_bounded(rng, most):
    task = task_of(rng, SquaredHinge(), (12, 20), 1e-9)
    found = by_intervals(task, Options(tol=1e-9, max_iter=most), State(np.zeros(20), 0.0))
    assert found.n_iter == most
    assert all(len(part) == most for part in found.history.values())


@pytest.mark.parametrize("scale", [1.0, 3e5])
@pytest.mark.parametrize("C", [1.0, 100.0, 1e6])
@pytest.mark.parametrize("shape", [(12, 20), (15, 15), (30, 40), (60, 30)], ids=str)
def test_separable_rows_are_finished(rng, shape, C, scale):
    """Descent alone ended 0.05 to 5 times the optimum above it, after 1,000 passes."""
    X = rng.normal(size=shape) * np.geomspace(1.0, scale, shape[1])
    y = np.arange(shape[0]) % 2 if shape[0] < shape[1] else X[:, -1] > 0.0
    model = fastgd.LinearSVC(C=C).fit(X, y)  # warnings are errors
    assert model.gap_ <= 1e-4 * model.objective_
    assert len(model.history_["objective"]) == model.n_iter_ <= 300


@pytest.mark.parametrize("C", [1e7, 1e8, 1e9, 1e10, 1e11])
def test_what_is_not_proven_is_said(C):
    """Of one wine against the others, Newton's decrement was 1e-8 of what was left at C=1e9."""
    X, y = load_wine(return_X_y=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fastgd.LinearSVC(C=C).fit(X, y == 2)
    assert model.gap_ <= 1e-4 * model.objective_ or caught
    lowest = 0.0474930409 / C  # of C=1e7 and 1e10, where it is proven
    assert model.objective_ - model.gap_ <= lowest * (1.0 + 1e-6)


def solution(n_iter, value, **history):
    keys = {key: [value] * n_iter for key in history}
    return Solution(np.zeros(2), 0.0, value, 0.1, 0.1, n_iter, False, keys)


def test_histories_of_two_solvers_are_joined():
    first, second = solution(3, 5.0, loss=1, gap=1), solution(2, 4.0, objective=1, gap=1)
    asked = []

    def following(options, _):
        asked.append(options.max_iter)
        return second

    found = _auto._gone_on(first, following, Options(max_iter=10))
    assert asked == [7]
    assert found.n_iter == 5
    nan = np.nan
    np.testing.assert_array_equal(found.history["loss"], [5.0, 5.0, 5.0, nan, nan])
    np.testing.assert_array_equal(found.history["gap"], [5.0, 5.0, 5.0, 4.0, 4.0])
    np.testing.assert_array_equal(found.history["objective"], [nan, nan, nan, 4.0, 4.0])
    kept = _auto._gone_on(second, lambda *_: first, Options(max_iter=10))
    assert kept.objective == 4.0
    assert kept.n_iter == 5 == len(kept.history["loss"])


def test_what_another_method_gets_wrong_by_rounding_is_not_taken():
    first, second = solution(3, 5.0), solution(2, 4.8)
    found = _auto._gone_on(first, lambda *_: second, Options(max_iter=10))  # 4.9 is proven
    assert found.objective == 5.0
    assert found.n_iter == 5


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e2])
@pytest.mark.parametrize("C", [1e8, 1e10])
def test_newtons_steps_near_an_objective_of_zero_are_proven(scale, C):
    rng = np.random.default_rng(55)
    X = rng.normal(size=(20, 2)) * 10.0 ** rng.uniform(-6, 6, 2)
    y = X @ rng.normal(size=2)
    y = scale * (y + 1e-3 * np.abs(y).mean() * rng.normal(size=20))
    given = {"loss": "squared_epsilon_insensitive", "epsilon": 0.03 * np.abs(y).mean()}
    model = fastgd.LinearSVR(C=C, fit_intercept=False, tol=1e-8, **given)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y)
    assert model.gap_ <= 1e-8 * model.objective_


def test_a_wide_table_of_wild_scales_is_nearly_finished(rng):
    """Descent ended 10,000 times the optimum above it, after 1,000 passes."""
    X = rng.normal(size=(120, 900)) + 0.5 * rng.normal(size=(120, 1))
    y = np.where(X[:, :20].sum(axis=1) + rng.logistic(size=120) > 0.0, 1, 0)
    X *= rng.permutation(np.geomspace(1e-21, 5e9, 900))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of a tolerance that rounding hides
        model = fastgd.LinearSVC(dual=False, tol=1e-6).fit(X, y)
    coef, b = model.coef_[0].astype(np.longdouble), np.longdouble(model.intercept_[0])
    missed = np.maximum(1.0 - (2 * y - 1) * (X @ coef + b), 0.0)
    objective = np.mean(missed**2) + 0.5 * (coef @ coef + b * b) / 120
    assert model.gap_ <= 0.02 * model.objective_
    assert float(objective) == pytest.approx(model.objective_, rel=1e-3)
