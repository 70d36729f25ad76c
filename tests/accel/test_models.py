"""Models under the accelerator: attributes as scikit-learn's, and no objective above its own."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model, svm
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import fastgd.accel
from fastgd.accel._report import JOURNAL
from fastgd.accel._table import STANDS
from tests.accel.objectives import objective

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 5)) * [1.0, 2.0, 0.5, 1.0, 3.0] + 0.3
BEST = np.array([1.0, -0.5, 2.0, 0.0, 0.3])
NOISY = X @ BEST + RNG.normal(size=120)
TARGETS = {
    "labels": (NOISY > 0.5).astype(int),
    "names": np.array(["a", "b", "c"])[np.digitize(NOISY, [-0.5, 1.5])],
    "numbers": NOISY,
    "table": np.column_stack([NOISY, NOISY**2]),
    "counts": RNG.poisson(np.exp(0.3 * X[:, 0])).astype(float) + 0.5,
    "none": None,
}


def of(name):
    """Return one of scikit-learn's classes."""
    return getattr(linear_model, name, None) or getattr(svm, name)


# An estimator, its arguments, and targets
SOLVED = [
    ("LogisticRegression", {}, "labels"),
    ("LogisticRegression", {"C": 0.1}, "names"),
    ("LogisticRegression", {"solver": "saga", "l1_ratio": 1, "max_iter": 10_000}, "labels"),
    ("LogisticRegression", {"class_weight": "balanced", "fit_intercept": False}, "labels"),
    ("LogisticRegression", {"solver": "liblinear", "intercept_scaling": 2.0}, "labels"),
    ("LogisticRegression", {"solver": "liblinear", "l1_ratio": 1}, "labels"),
    ("LinearRegression", {}, "numbers"),
    ("LinearRegression", {"positive": True}, "numbers"),
    ("Ridge", {}, "numbers"),
    ("Ridge", {"alpha": [1.0, 2.0], "solver": "lsqr"}, "table"),
    ("RidgeClassifier", {}, "names"),
    ("Lasso", {"alpha": 0.1}, "numbers"),
    ("ElasticNet", {"alpha": 0.1}, "table"),
    ("MultiTaskLasso", {"alpha": 0.1}, "table"),
    ("MultiTaskElasticNet", {"alpha": 0.1}, "table"),
    ("HuberRegressor", {}, "numbers"),
    ("QuantileRegressor", {"alpha": 0.01, "quantile": 0.3}, "numbers"),
    ("PoissonRegressor", {}, "counts"),
    ("GammaRegressor", {}, "counts"),
    ("TweedieRegressor", {"power": 1.5}, "counts"),
    ("LinearSVC", {}, "labels"),
    ("LinearSVC", {"loss": "hinge", "max_iter": 100_000}, "labels"),
    ("LinearSVC", {"multi_class": "crammer_singer", "max_iter": 100_000}, "names"),
    ("LinearSVC", {"multi_class": "crammer_singer", "max_iter": 100_000}, "labels"),
    ("LinearSVR", {"epsilon": 0.1, "max_iter": 100_000}, "numbers"),
]
CONVERGED = {"solver": "saga", "max_iter": 10_000, "tol": 1e-6}
GRID = {"cv": 3, "Cs": 4, "scoring": "neg_log_loss"}
CHOSEN = [
    ("LogisticRegressionCV", GRID, "labels"),
    ("LogisticRegressionCV", {**GRID, "l1_ratios": (0,), "use_legacy_attributes": False}, "names"),
    (
        "LogisticRegressionCV",
        {**GRID, **CONVERGED, "Cs": [0.1, 1.0], "l1_ratios": (0, 0.5)},
        "names",
    ),
    ("LogisticRegressionCV", {**GRID, "refit": False, "fit_intercept": False}, "labels"),
    ("RidgeCV", {}, "numbers"),
    ("RidgeCV", {"store_cv_results": True, "alphas": [0.1, 1.0]}, "numbers"),
    ("RidgeClassifierCV", {}, "names"),
    ("LassoCV", {"cv": 3, "alphas": 10}, "numbers"),
    ("ElasticNetCV", {"cv": 3, "alphas": 5, "l1_ratio": [0.5, 0.9]}, "numbers"),
    ("MultiTaskLassoCV", {"cv": 3, "alphas": 5}, "table"),
    ("MultiTaskElasticNetCV", {"cv": 3, "alphas": 5}, "table"),
]
STOCHASTIC = [
    ("SGDClassifier", {"loss": "log_loss", "learning_rate": "constant"}, "names"),
    ("SGDClassifier", {"penalty": None}, "labels"),
    ("SGDRegressor", {}, "numbers"),
    ("SGDOneClassSVM", {}, "none"),
    ("Perceptron", {}, "labels"),
    ("PassiveAggressiveClassifier", {}, "labels"),
    ("PassiveAggressiveRegressor", {}, "numbers"),
]


def pair(case, data=X, method="fit", **more):
    """Return scikit-learn's fitted estimator, and the one that fastgd has fitted."""
    name, params, target = case
    y = TARGETS[target]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = of(name)(**params)
        theirs = getattr(clone(model), method)(data, y, **more)
        with fastgd.accel.enabled(min_size=0):
            ours = getattr(clone(model), method)(data, y, **more)
            assert_accelerated(ours)
    return theirs, ours


def assert_accelerated(model):
    """Check that the last call went to fastgd."""
    name, reason = JOURNAL.last
    assert reason is None, reason
    assert name.startswith(type(model).__name__)


def assert_same_attributes(theirs, ours):
    """Check names, kinds, shapes and types of numbers."""
    assert type(ours) is type(theirs)
    assert vars(ours).keys() == vars(theirs).keys()
    for name, value in vars(theirs).items():
        other = vars(ours)[name]
        if name.startswith("__"):
            continue
        assert type(other) is type(value), name
        if isinstance(value, np.ndarray):
            assert (other.shape, other.dtype) == (value.shape, value.dtype), name


def assert_same_scores(theirs, ours):
    """Check the scores of folds, by class or in an array."""
    if isinstance(theirs, dict):
        assert theirs.keys() == ours.keys()
        theirs, ours = (np.stack(list(scores.values())) for scores in (theirs, ours))
    np.testing.assert_allclose(ours, theirs, rtol=0.01)


def over_cases(cases, every):
    """Return the mark that runs a test for all cases, by default each ``every``-th."""
    params = [
        pytest.param(
            case, id=f"{case[0]}-{case[1]}", marks=pytest.mark.full if number % every else ()
        )
        for number, case in enumerate(cases)
    ]
    return pytest.mark.parametrize("case", params)


@over_cases(SOLVED, 3)
def test_attributes_are_scikit_learns_and_the_objective_is_not_above(case):
    theirs, ours = pair(case)
    assert_same_attributes(theirs, ours)
    y = TARGETS[case[2]]
    best = objective(theirs, X, y)
    assert objective(ours, X, y) <= best + 1e-12 * abs(best)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), abs=0.01)
    if hasattr(theirs, "singular_"):
        np.testing.assert_allclose(ours.singular_, theirs.singular_, rtol=1e-8)


@over_cases(CHOSEN, 2)
def test_strengths_chosen_by_cross_validation(case):
    theirs, ours = pair(case)
    assert_same_attributes(theirs, ours)
    y = TARGETS[case[2]]
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), abs=0.01)
    if hasattr(theirs, "Cs_"):
        np.testing.assert_array_equal(ours.Cs_, theirs.Cs_)
        assert_same_scores(theirs.scores_, ours.scores_)
    if hasattr(theirs, "alphas_"):
        np.testing.assert_allclose(ours.alphas_, theirs.alphas_)
    if hasattr(theirs, "best_score_"):
        np.testing.assert_allclose(ours.best_score_, theirs.best_score_, rtol=1e-8)


def test_a_grid_of_float32_is_scikit_learns():
    case = "LogisticRegressionCV", {**GRID, "use_legacy_attributes": False}, "names"
    theirs, ours = pair(case, X.astype(np.float32))
    assert_same_attributes(theirs, ours)
    assert_same_scores(theirs.scores_, ours.scores_)


@over_cases(STOCHASTIC, 3)
def test_stochastic_classes_take_scikit_learns_steps(case):
    name, params, target = case
    params = {**params, "shuffle": False, "tol": None, "max_iter": 3}
    theirs, ours = pair((name, params, target))
    assert_same_attributes(theirs, ours)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9, atol=1e-12)
    assert ours.t_ == theirs.t_


@over_cases(STOCHASTIC, 2)
def test_stochastic_classes_of_float32(case):
    """scikit-learn's only intercept is in float64, many are in the type of X."""
    name, params, target = case
    theirs, ours = pair((name, {**params, "tol": None, "max_iter": 2}, target), X.astype("f4"))
    assert_same_attributes(theirs, ours)


@over_cases(STOCHASTIC, 3)
def test_partial_fit_goes_on_either_way(case):
    """A training may change hands at any call: the state is scikit-learn's attributes."""
    name, params, target = case
    y = TARGETS[target]
    params = {**params, "shuffle": False}
    more = {"classes": np.unique(y)} if target in ("labels", "names") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        theirs, ours = of(name)(**params), of(name)(**params)
    for turn in range(4):
        theirs.partial_fit(X, y, **more)
        if turn % 2:
            ours.partial_fit(X, y, **more)
            continue
        with fastgd.accel.enabled(min_size=0):
            ours.partial_fit(X, y, **more)
            assert_accelerated(ours)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9, atol=1e-12)
    assert ours.t_ == theirs.t_


@pytest.mark.full
@pytest.mark.parametrize("kind", ["float32", "csr", "frame", "fortran", "weights"])
@over_cases(SOLVED, 3)
def test_other_data(case, kind):
    data, more, rtol = X, {}, 1e-12
    if kind == "float32":
        if case[1].get("solver") == "liblinear":
            pytest.skip("left to scikit-learn, which computes in float64")
        data, rtol = X.astype(np.float32), 2e-6
    elif kind == "csr":
        if case[1].get("positive") or case[0].startswith(("Huber", "Multi", "Quantile")):
            pytest.skip("scikit-learn refuses sparse X, or solves it in another way")
        data = sp.csr_matrix(X)
    elif kind == "frame":
        pd = pytest.importorskip("pandas")
        data = pd.DataFrame(X, columns=list("abcde"))
    elif kind == "fortran":
        data = np.asfortranarray(X)
    elif kind == "weights":
        if case[0].startswith("MultiTask"):
            pytest.skip("takes no weights")
        more = {"sample_weight": np.linspace(0.5, 2.0, 120)}
    theirs, ours = pair(case, data, **more)
    assert_same_attributes(theirs, ours)
    y, weight = TARGETS[case[2]], more.get("sample_weight")
    best = objective(theirs, X, y, weight)
    assert objective(ours, X, y, weight) <= best + rtol * abs(best)


def test_every_row_has_a_case():
    cases = {name for name, _, _ in (*SOLVED, *CHOSEN, *STOCHASTIC)}
    assert cases == {stand.name for stand in STANDS}


def test_rows_name_what_there_is():
    for stand in STANDS:
        assert isinstance(of(stand.name), type)
        assert hasattr(fastgd, stand.name)
