"""Squared distances of nearly separable rows, which the interior point method finishes."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._solvers import _auto
from fastgd._solvers._dual_points import Pieces, loss_of, missed_by
from fastgd._solvers._interior_squares import by_interior, has_squares
from fastgd._solvers._task import Options, State, Task
from fastgd.kernels import losses
from tests.solvers.test_gd import as_rows


def table(rng, spread):
    """Return 60 rows of 56 columns, whose classes a plane hardly divides."""
    X = rng.normal(size=(60, 56))
    y = np.where(X @ rng.normal(size=56) + 9.0 * rng.normal(size=60) > 0.0, 1.0, -1.0)
    return X * rng.permutation(np.geomspace(1.0, spread, 56)), y


def objective_and_gap(X, y, w, l1, l2):
    """Return the mean squared hinge with penalties, and what the rows' slopes prove of it."""
    X, w = X.astype(np.longdouble), w.astype(np.longdouble)
    missed = np.maximum(1.0 - y * (X @ w), 0.0)
    pull = 2.0 * ((y * missed) @ X) / y.shape[0]
    objective = np.mean(missed**2) + l1 * np.abs(w).sum() + 0.5 * l2 * (w @ w)
    if l2 > 0.0:
        return float(objective), float(np.sum((l2 * w - pull) ** 2) / (2.0 * l2))
    share = min(1.0, l1 / np.max(np.abs(pull)))
    gap = np.sum(l1 * np.abs(w) - share * pull * w) + (1.0 - share) ** 2 * np.mean(missed**2)
    return float(objective), float(gap)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
@pytest.mark.parametrize("spread", [1.0, 1e3, 1e9])
@pytest.mark.parametrize("C", [1e2, 1e6])
def test_nearly_separable_rows_of_any_scale(rng, penalty, spread, C):
    X, y = table(rng, spread)
    kwargs = {"penalty": penalty, "C": C, "fit_intercept": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model = fastgd.LinearSVC(dual=False, tol=1e-6, **kwargs).fit(X, y)
    strength = 1.0 / (60 * C)
    given = (strength, 0.0) if penalty == "l1" else (0.0, strength)
    objective, gap = objective_and_gap(X, y, model.coef_[0], *given)
    assert model.objective_ == pytest.approx(objective, rel=1e-7)
    assert model.gap_ <= 1e-6 * objective
    if spread == 1.0:  # else slopes may be below the rounding of predictions
        assert gap <= 1e-3 * objective
    if penalty == "l2" and C == 1e6:  # of rows that are separated what little is missed is nothing
        kwargs |= {"loss": "hinge"}
        separating = fastgd.LinearSVC(tol=1e-6, **kwargs).fit(X, y)
        assert objective == pytest.approx(separating.objective_, rel=1e-4)


@pytest.mark.parametrize(("l1", "l2"), [(0.02, 0.0), (0.0, 0.02), (0.02, 0.02)])
@pytest.mark.parametrize("is_regression", [False, True])
def test_both_losses_with_each_penalty_and_weights(rng, l1, l2, is_regression):
    """The optimum of descent, from any start."""
    X = rng.normal(size=(80, 6)) * [1.0, 1e3, 1.0, 1e-3, 1.0, 1.0]
    raw = X[:, 0] - X[:, 2] + rng.normal(size=80)
    loss = losses.SquaredEpsilonInsensitive(0.5) if is_regression else losses.SquaredHinge()
    y = raw if is_regression else np.sign(raw)
    weight = rng.integers(0, 3, size=80).astype(float)
    task = Task(as_rows(X), y, weight, loss, l1, l2, 6)
    assert has_squares(task)
    best = _auto.solve(task, Options(tol=1e-10))
    for coef in (np.zeros(6), best.coef):
        found = by_interior(task, Options(tol=1e-10), State(coef, best.intercept))
        assert found.converged
        assert found.objective == pytest.approx(best.objective, rel=1e-9)
        assert found.gap <= 1e-9 * found.objective


def test_what_the_method_does_not_take(rng):
    X, y = table(rng, 1.0)
    task = Task(as_rows(X), y, None, losses.SquaredHinge(), 0.1, 0.0, 56)
    assert has_squares(task)
    for change in ({"l1": 0.0}, {"positive": True}, {"loss": losses.SquaredError()}):
        assert not has_squares(task._replace(**change))


def test_a_term_that_gives_is_a_square_and_proves_a_gap(rng):
    """max over the box of r z - give r^2 / 2, and what any r of the box misses of it."""
    at, give, raw = rng.normal(size=(1, 30)), rng.uniform(0.1, 2.0, (1, 30)), rng.normal(size=30)
    high = rng.uniform(0.1, 2.0, (1, 30))
    pieces = Pieces(at, np.zeros((1, 30)), high, give)

    def term(i, r):
        return r * (raw[i] - at[0, i]) - 0.5 * give[0, i] * r * r

    values = [np.max(term(i, np.linspace(0.0, high[0, i], 10_001))) for i in range(30)]
    assert loss_of(pieces, raw) == pytest.approx(np.sum(values), rel=1e-6)
    dual = rng.random(30) * high[0]
    own = sum(term(i, dual[i]) for i in range(30))
    assert missed_by(pieces, raw, dual) == pytest.approx(loss_of(pieces, raw) - own)
