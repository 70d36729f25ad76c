"""The fuzzer of ``tests/fuzz``: what it is made of, and a minute of it."""

import time
import warnings

import numpy as np
import pytest
import scipy.sparse as sp

import fastgd
from tests.fuzz.cases import DRAWN, LAYOUTS, Case, case_of, laid_out
from tests.fuzz.checks import findings_of
from tests.fuzz.objectives import params_of, pose_of, value
from tests.fuzz.reference import best_of
from tests.fuzz.shrink import script_of, shrunk
from tests.tables import SOLVED_CASES, over, targets_of

SECONDS = 60


def drawn(case, n=60, d=4):
    """Return a row of the tables as a case of the fuzzer."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d)) + 0.3
    raw = X @ rng.normal(size=d)
    y = targets_of(case.targets, (raw - raw.mean()) / raw.std(), rng)
    kwargs = {**case.kwargs, "tol": 1e-4}
    return Case(case.kind.__name__, kwargs, X, y, rng.uniform(0.5, 2.0, n), "C", "float64")


@over(SOLVED_CASES)
def test_objectives_are_those_of_the_tables(case):
    problem = drawn(case)
    model = problem.fitted()
    ours = value(problem, pose_of(problem), params_of(model)).objective
    wanted = case.value(model, problem.X, problem.y, problem.weight)
    np.testing.assert_allclose(np.asarray(ours, float), np.ravel(wanted), rtol=1e-10)


@over(SOLVED_CASES)
def test_the_reference_is_an_optimum(case):
    problem = drawn(case)
    model = problem.make(tol=1e-2, max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(problem.X, problem.y, problem.weight)
    best = best_of(problem, pose_of(problem), {"ours": model})
    finished = problem.fitted(tol=1e-8)
    at_least = value(problem, pose_of(problem), params_of(finished)).objective
    assert (best.objective <= at_least + 1e-8 * np.abs(at_least)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_hold_the_same_numbers(layout, dtype):
    X = np.random.default_rng(0).normal(size=(5, 4)).astype(dtype)
    X[X < 0] = 0.0
    laid = laid_out(X.astype(float), layout, dtype)
    dense = laid.toarray() if sp.issparse(laid) else np.asarray(laid)
    np.testing.assert_array_equal(dense, X)
    assert dense.dtype == X.dtype


def test_the_same_number_draws_the_same_case():
    for seed in range(60):
        one, other = case_of(seed), case_of(seed)
        assert one.kwargs == other.kwargs
        np.testing.assert_array_equal(one.X, other.X)
        np.testing.assert_array_equal(one.y, other.y)
        assert np.isfinite(one.X).all()
    assert {case_of(seed).name for seed in range(200)} == set(DRAWN)


@pytest.mark.full
def test_a_squared_hinge_of_more_columns_than_rows_under_l1_is_finished():
    """Of wild scales; descent ended 1e-6 above, after 1,000 passes, and said so."""
    assert findings_of(case_of(300033)) == []


class WrongRidge(fastgd.Ridge):
    """A solver that stops a little too early, and is sure of itself."""

    def fit(self, X, y, sample_weight=None):
        """Fit, and move one coefficient."""
        super().fit(X, y, sample_weight)
        self.coef_[0] += 0.1
        return self


class WrongCase(Case):
    """A case whose estimator is the wrong one."""

    def make(self, **kwargs):
        """Return it."""
        return WrongRidge(**{**self.kwargs, **kwargs})


def test_a_wrong_solver_is_found_and_made_small():
    problem = drawn(next(case for case in SOLVED_CASES if case.name.startswith("Ridge")))
    assert findings_of(problem) == []
    wrong = WrongCase(*problem)
    kinds = {finding.kind for finding in findings_of(wrong)}
    assert {"beyond tol, silently", "gap_ is no bound", "objective_ is not the model's"} <= kinds
    small = shrunk(wrong, "gap_ is no bound")
    assert small.X.size <= wrong.X.size // 8
    assert "fastgd.Ridge(" in script_of(small, 0)


@pytest.mark.thorough
def test_no_fit_misleads_in_a_minute():
    end, seed, found = time.monotonic() + SECONDS, 0, {}
    while time.monotonic() < end:
        findings = [finding for finding in findings_of(case_of(seed)) if finding.misleads]
        if findings:
            found[seed] = findings
        seed += 1
    assert found == {}
