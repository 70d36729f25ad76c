"""The estimators that need no learning rate: scikit-learn's answers, and what a caller relies on.

``tests/tables.py`` has the rows; ``test_solved_parameters.py`` tests single parameters, and
``test_solved_hard.py`` data that solvers do not like.
"""

import functools
import pickle
import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastgd
from tests.tables import SOLVED_CASES, SOLVER_CASES, over, over_product, targets_of

N, D = 120, 5
LAYOUTS = {
    "dense": lambda X: X,
    "narrow": lambda X: X.astype(np.float32),
    "csr": sp.csr_array,
}
OFTEN_NARROW = ("LogisticRegression", "Ridge-", "Lasso")  # float32 is compiled for each loss
cases_and_layouts = over_product(
    lambda case, layout: layout != "narrow" or case.name.startswith(OFTEN_NARROW),
    case=SOLVED_CASES,
    layout=LAYOUTS,
)
all_ways = over_product(
    lambda case, layout, fit_intercept, weighted: (
        case.name.startswith(OFTEN_NARROW)
        if layout == "narrow"
        else layout == "dense" or (weighted and fit_intercept == (case.targets == "classes"))
    ),
    case=SOLVED_CASES,
    layout=LAYOUTS,
    fit_intercept=[True, False],
    weighted=[True, False],
)
IS_NONSMOOTH = ("QuantileRegressor", "LinearSVR", "LinearSVC-binary-C:0.5-loss:hinge")


@functools.cache
def data(case, n=N, d=D, seed=0):
    """Return columns of unlike scales, half of them zeros, targets and weights."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ (np.eye(d) + 0.3) + 0.5
    X *= (rng.random((n, d)) < 0.6) * np.geomspace(0.4, 3.0, d)
    X = X.astype(np.float32).astype(np.float64)  # of each layout the same
    raw = X @ (rng.normal(size=d) / X.std(axis=0))
    y = targets_of(case.targets, (raw - raw.mean()) / raw.std(), rng)
    return X, y, rng.uniform(0.2, 3.0, n)


@functools.cache
def ours_of(case, layout, fit_intercept, weighted):
    """Return our fitted model."""
    X, y, weight = data(case)
    model = case.make(fit_intercept=fit_intercept)
    return model.fit(LAYOUTS[layout](X), y, weight if weighted else None)


@functools.cache
def peer_of(case, fit_intercept, weighted):
    """Return scikit-learn's fitted model."""
    X, y, weight = data(case)
    return fitted_peer(case, X, y, weight if weighted else None, fit_intercept=fit_intercept)


def fitted_peer(case, X, y, weight=None, **kwargs):
    """Fit scikit-learn's model, which may say that it could do better."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return case.make_peer(**kwargs).fit(X, y, weight)


def outputs(model, X):
    """Return what a model predicts before it decides."""
    return model.decision_function(X) if is_classifier(model) else model.predict(X)


def assert_close(actual, wanted, tolerance=1e-4):
    """Compare predictions by the largest one."""
    assert np.shape(actual) == np.shape(wanted)
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


@all_ways
def test_predictions_are_scikit_learns(case, layout, fit_intercept, weighted):
    X = data(case)[0]
    ours, theirs = (
        ours_of(case, layout, fit_intercept, weighted),
        peer_of(case, fit_intercept, weighted),
    )
    assert_close(outputs(ours, X), outputs(theirs, X))
    assert ours.coef_.shape == theirs.coef_.shape
    assert np.shape(ours.intercept_) == np.shape(theirs.intercept_)
    assert ours.coef_.dtype == (np.float32 if layout == "narrow" else np.float64)


@all_ways
def test_objective_is_the_documented_one_and_no_worse(case, layout, fit_intercept, weighted):
    X, y, weight = data(case)
    about = (X, y, weight if weighted else None)
    ours = ours_of(case, layout, fit_intercept, weighted)
    theirs = peer_of(case, fit_intercept, weighted)
    documented = case.value(ours, *about, fit_intercept=fit_intercept)
    rounding = 1e-5 if layout == "narrow" else 1e-9
    np.testing.assert_allclose(ours.objective_, documented, rtol=rounding)
    best = case.value(theirs, *about, fit_intercept=fit_intercept)
    assert np.all(ours.objective_ <= best + 1e-6 * np.abs(best))
    assert np.all(ours.gap_ >= -rounding * np.abs(best))


def weak_kwargs(case):
    """Return parameters that leave (nearly) no penalty, so that columns' scales mean nothing."""
    if "C" in case.kwargs:
        return {"C": 1e20 if "SV" in case.name else np.inf}
    return {"alpha": 0.0} if hasattr(case.make(), "alpha") else {}


@pytest.mark.filterwarnings(
    "ignore:With alpha=0:UserWarning",
    "ignore:l1_ratio parameter is only used:UserWarning",
    "ignore:Setting penalty=None will ignore:UserWarning",
)
@cases_and_layouts
def test_scales_of_columns_do_not_matter(case, layout):
    X, y, weight = data(case)
    model = case.make(**weak_kwargs(case))
    scales = 10.0 ** np.array([6, -6, 0, 3, -4])
    wanted = outputs(model.fit(LAYOUTS[layout](X), y, weight), X)
    scaled = LAYOUTS[layout](X * scales)
    assert_close(outputs(clone(model).fit(scaled, y, weight), scaled), wanted, 2e-4)


@over(SOLVED_CASES)
def test_weights_are_repeated_rows_and_zeros_are_none(case, rng):
    X, y, _ = data(case)
    times = rng.integers(0, 4, len(y))
    weighted = case.make().fit(X, y, times)
    repeated = case.make().fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    removed = case.make().fit(X[times > 0], y[times > 0], times[times > 0])
    for other in (repeated, removed):
        assert_close(outputs(weighted, X), outputs(other, X), 1e-5)
        np.testing.assert_allclose(weighted.objective_, other.objective_, rtol=1e-8)


@over(SOLVED_CASES)
def test_the_rows_order_does_not_matter(case, rng):
    X, y, weight = data(case)
    order = rng.permutation(len(y))
    one, other = case.make().fit(X, y, weight), case.make().fit(X[order], y[order], weight[order])
    assert_close(outputs(other, X), outputs(one, X), 1e-5)


@cases_and_layouts
def test_how_memory_lies_changes_nothing(case, layout):
    X, y, weight = data(case)
    given = LAYOUTS[layout](X)
    one = case.make().fit(given, y, weight)
    again = case.make().fit(given, y, weight)
    # LAPACK, which ends a quantile's fit, has last digits that depend on where its arrays lie
    last_digit = 1e-12 if isinstance(one, fastgd.QuantileRegressor) else 0.0
    np.testing.assert_allclose(again.coef_, one.coef_, rtol=last_digit, atol=last_digit)
    np.testing.assert_allclose(again.intercept_, one.intercept_, rtol=last_digit)
    if sp.issparse(given):
        others = [given.tocsc(), sp.csr_matrix(given)]
        arrays = given.data, given.indices, given.indptr
    else:
        others = [np.asfortranarray(given), np.repeat(given, 2, axis=1)[:, ::2], given.tolist()]
        arrays = (given,)
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    for other in [*others, given]:
        assert_close(outputs(case.make().fit(other, y, weight), X), outputs(one, X), 1e-6)
    for array, then in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, then)


@pytest.mark.parametrize("tol", [1e-2, 1e-4])
@over(SOLVED_CASES)
def test_tolerance_and_gap_are_honest(case, tol):
    X, y, weight = data(case, n=25_000)  # large enough not to be finished in any case
    model = case.make(tol=tol).fit(X, y, weight)
    with warnings.catch_warnings():  # rounding may end a quantile's rounds sooner
        warnings.simplefilter("ignore", ConvergenceWarning)
        best = case.make(tol=1e-9).fit(X, y, weight).objective_
    above = np.asarray(model.objective_ - best)
    assert np.all(above <= 2.0 * tol * np.abs(best))
    assert np.all(model.gap_ >= above - 1e-7 * np.abs(best))
    histories = model.history_ if isinstance(model.history_, list) else [model.history_]
    for history in histories:
        assert len({len(column) for column in history.values()}) == 1


@over(case for case in SOLVED_CASES if hasattr(case.make(), "warm_start"))
def test_a_warm_start_from_the_solution_is_short_and_no_worse(case):
    X, y, weight = data(case, n=25_000)
    model = case.make(warm_start=True, tol=1e-6).fit(X, y, weight)
    first, passes = model.objective_, np.max(model.n_iter_)
    coef = model.coef_.copy()
    model.fit(X, y, weight)
    assert model.objective_ <= first * (1.0 + 1e-12)
    assert np.max(model.n_iter_) <= max(passes, 3)
    assert_close(model.coef_, coef, 1e-2)
    cold = case.make(tol=1e-6).fit(X, y, weight)
    model.coef_ = 0.5 * model.coef_  # a user's own start
    assert model.fit(X, y, weight).objective_ == pytest.approx(cold.objective_, rel=1e-5)


def refused(case, solver):
    """Tell whether a solver cannot solve a row's problem."""
    kwargs = case.make().get_params()
    is_nonsmooth = case.name.startswith(IS_NONSMOOTH) and "squared" not in case.name
    if kwargs.get("positive") and solver != "gd":
        return True
    if solver == "saga":
        return is_nonsmooth
    has_l2 = kwargs.get("alpha", 1.0) > 0.0 and kwargs.get("C", 1.0) < np.inf
    has_l2 = has_l2 and kwargs.get("l1_ratio", 0.0) < 1.0 and kwargs.get("penalty") != "l1"
    unknown = ("Poisson", "Gamma", "Tweedie", "Quantile", "Lasso", "LinearRegression")
    identity = case.name == "TweedieRegressor-alpha:0.1"
    return solver == "sdca" and not (has_l2 and (identity or not case.name.startswith(unknown)))


# by SAGA and SDCA, which are compiled for each loss
OFTEN = ("Logistic", "Softmax", "LinearRegression", "Ridge", "Lasso", "Elastic")


@over_product(
    lambda solver, case: solver == "gd" or case.name.startswith(OFTEN) or refused(case, solver),
    solver=["gd", "saga", "sdca"],
    case=[case for case in SOLVED_CASES if hasattr(case.make(), "solver")],
)
def test_each_solver_finds_the_optimum_or_says_why_it_cannot(case, solver):
    X, y, weight = data(case)
    model = case.make(solver=solver, tol=1e-6, max_iter=50_000)
    if refused(case, solver):
        with pytest.raises(ValueError, match=rf"solver='{solver}' .* use solver='auto'"):
            model.fit(X, y, weight)
        return
    model.fit(X, y, weight)
    wanted = ours_of(case, "dense", True, True).objective_
    np.testing.assert_allclose(model.objective_, wanted, rtol=1e-5)
    assert model.solver_ == solver


@over([case for case in SOLVER_CASES if any(row.kind is case.kind for row in SOLVED_CASES)])
def test_scikit_learns_parameters_mean_something_here(case):
    peer = next(row for row in SOLVED_CASES if row.kind is case.kind).peer
    theirs, ours = peer().get_params(), case.kind().get_params()
    assert set(theirs) <= set(ours)
    added = {"solver", "max_iter", "tol", "verbose", "callbacks", "device"}
    assert set(ours) - set(theirs) <= added
    changed = {name for name in theirs if repr(theirs[name]) != repr(ours[name])}
    assert changed <= {"solver", "max_iter"}
    X, y, _ = data(next(row for row in SOLVED_CASES if row.kind is case.kind))
    names = peer._parameter_constraints["solver"][0].options if "solver" in theirs else []
    for name in names:
        if name == "liblinear" and np.unique(y).size > 2:
            continue  # which is for two classes, here as there
        if name == "interior-point":
            continue  # SciPy has it no more, as both say
        model = case.make(solver=name)
        if name == "lbfgs" and case.kind in (fastgd.Ridge, fastgd.RidgeClassifier):
            model.set_params(positive=True)  # it is for these only, here as there
        if name in ("sag", "saga") and case.kind is not fastgd.LogisticRegression:
            model.set_params(tol=1e-7)
        assert model.fit(X, y).solver_ in ("gd", "saga", "sdca")


def bad_calls(case):
    """Return what a fit must refuse: X, y, weights and the message."""
    X, y, weight = data(case)
    holed = np.where(np.arange(X.size).reshape(X.shape) == 7, np.nan, X)
    calls = [
        (holed, y, None, "Input X contains NaN"),
        (X, y[:-1], None, "inconsistent numbers of samples"),
        (X, y, -weight, "sample_weight must not be negative"),
        (X, y, np.zeros(len(y)), "at least one non-zero"),
        (X, y, weight[:-1], "sample_weight.shape"),
        (X, y, np.where(weight > 2.9, np.inf, weight), "sample_weight contains inf"),
    ]
    if case.kind is fastgd.RidgeClassifier:  # one class is all that it then predicts
        return [*calls, (X, X[:, 0], None, "label")]
    if is_classifier(case.make()):
        return [*calls, (X, np.full(len(y), y[0]), None, "one class"), (X, X[:, 0], None, "label")]
    calls.append((X, np.where(y > np.median(y), np.nan, y), None, "Input y contains NaN"))
    if case.targets in ("counts", "positive") and case.kwargs.get("power", 1.0) >= 1.0:
        calls.append((X, -y, None, "out of the valid range"))
    return calls


@over({case.kind: case for case in SOLVED_CASES}.values())
def test_a_failed_fit_leaves_the_model_as_it_was(case):
    X, y, weight = data(case)
    model = case.make().fit(X, y, weight)
    before = pickle.dumps(model)
    for other, labels, weights, message in bad_calls(case):
        with pytest.raises(ValueError, match=message):
            model.fit(other, labels, weights)
        assert pickle.dumps(model) == before


@over(case for case in SOLVED_CASES)
def test_passes_that_do_not_suffice_are_reported(case, rng):
    X = rng.normal(size=(600, 200)) * np.geomspace(1e-3, 1e3, 200)
    y = targets_of(case.targets, 0.3 * (X / X.std(axis=0)) @ rng.normal(size=200) / 4.0, rng)
    model = case.make(max_iter=1)
    with warnings.catch_warnings(record=True) as reported:
        warnings.simplefilter("always")
        model.fit(X, y)
    messages = [str(w.message) for w in reported if w.category is ConvergenceWarning]
    pattern = r"after 1 passes over the data \(max_iter=1\).*Increase max_iter or tol"
    assert all(re.search(pattern, message) for message in messages)
    assert np.max(model.n_iter_) <= 1
    best = case.make(max_iter=10_000).fit(X, y).objective_
    if np.any(model.objective_ > best + 1e-3 * np.abs(best)):
        assert len(messages) == 1
    assert np.isfinite(model.coef_).all()


@over({case.kind: case for case in SOLVED_CASES}.values())
def test_clones_pickles_and_searches(case):
    X, y, weight = data(case)
    model = case.make()
    assert clone(model).get_params() == model.get_params()
    model.fit(X, y, weight)
    same = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(outputs(same, X), outputs(model, X))
    strength = next((name for name in ("C", "alpha") if hasattr(model, name)), "fit_intercept")
    values = [True, False] if strength == "fit_intercept" else [0.01, 1.0]
    name = type(model).__name__.lower()
    pipe = make_pipeline(StandardScaler(), case.make())
    search = GridSearchCV(pipe, {f"{name}__{strength}": values}, cv=3).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_score_ > (0.5 if is_classifier(model) else -0.5)


SOLVERS = [case.kind() for case in SOLVER_CASES if case.kind is not fastgd.LogisticRegressionCV]
SETTINGS = [
    fastgd.LogisticRegressionCV(cv=2),  # some checks have two rows of a class; test_folds has cv=3
    fastgd.LogisticRegression(l1_ratio=1.0),
    fastgd.Ridge(positive=True),
    fastgd.LinearSVC(loss="hinge"),
    fastgd.LinearSVR(loss="squared_epsilon_insensitive"),
    fastgd.HuberRegressor(epsilon=1.0),
    fastgd.QuantileRegressor(alpha=0.01),
    fastgd.TweedieRegressor(power=1.5),
    fastgd.TweedieRegressor(power=3.0),
]


@parametrize_with_checks(SOLVERS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.full
@parametrize_with_checks(SETTINGS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:The least populated class")  # of the checks' few rows
def test_scikit_learns_own_checks_of_other_settings(estimator, check):
    check(estimator)
