"""Constructor arguments are taken, warned of and refused where scikit-learn does it, or listed."""

import contextlib
import inspect
import io
import itertools
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model, neural_network, svm
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._parameters.checked_once import _kinds_of
from fastgd._solvers._auto import SOLVERS
from tests.tables import over_product

PAGE = Path(__file__).parents[2] / "docs/scikit-learn.md"
OURS = {"auto", *SOLVERS}

SOLVED = (
    *("LogisticRegression", "LinearRegression", "Ridge", "Lasso", "ElasticNet", "LinearSVC"),
    *("LinearSVR", "HuberRegressor", "QuantileRegressor", "PoissonRegressor", "GammaRegressor"),
    *("TweedieRegressor", "RidgeClassifier"),
)
STOCHASTIC = (
    *("SGDClassifier", "SGDRegressor", "SGDOneClassSVM", "Perceptron"),
    *("PassiveAggressiveClassifier", "PassiveAggressiveRegressor"),
)
# whose losses and solvers are compiled for other tests too; the others compile dozens
OFTEN = ("LogisticRegression", "Ridge", "LinearSVC", "Perceptron")

FOREIGN = (
    *("lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "svd", "cholesky", "lsqr"),
    *("sparse_cg", "highs", "highs-ds", "highs-ipm", "interior-point", "revised simplex"),
)
POOL = (
    *(None, True, False, 0, 1, 3, -1, 0.0, 0.5, 1.0, 1.5, -0.5, np.inf, np.nan, "1"),
    *("auto", "l1", "l2", "elasticnet", "deprecated", "balanced", "random", "cyclic", "ovr"),
    *("crammer_singer", "hinge", "squared_hinge", "squared_error", "log", "log_loss", "identity"),
    *("huber", "epsilon_insensitive", "squared_epsilon_insensitive", "constant", "optimal"),
    *("invscaling", "adaptive", "pa1", "gd", "saga", *FOREIGN),
    *({}, {0: 1.0}, {0: 1, 1: 2}, {5: 1.0}, [], [1.0], [-1.0], [1.0, 2.0], np.array([0.5])),
    *(np.float32(0.5), np.int64(3), np.eye(3)),
)

ALPHAS, RATIOS = (0, 0.5), (0, 0.5, 1)
TOGETHER = {
    "LogisticRegression": {
        "penalty": ("deprecated", "l1", "l2", "elasticnet", None),
        "l1_ratio": (0.0, 0.5, 1, None),
        "C": (1.0, 3.0, np.inf),
        "solver": ("lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga"),
        "dual": (False, True),
    },
    "Ridge": {
        "solver": ("auto", "saga", "svd", "cholesky", "lsqr", "sparse_cg", "sag", "lbfgs"),
        "positive": (False, True),
        "alpha": (*ALPHAS, [1.0]),
    },
    "RidgeClassifier": {
        "solver": ("auto", "saga", "svd", "cholesky", "lsqr", "sparse_cg", "sag", "lbfgs"),
        "positive": (False, True),
        "class_weight": (None, "balanced", {0: 2.0}),
    },
    "Lasso": {"alpha": ALPHAS, "positive": (False, True), "selection": ("cyclic", "random")},
    "ElasticNet": {"alpha": ALPHAS, "l1_ratio": RATIOS, "precompute": (False, np.eye(2))},
    "LinearSVC": {
        "penalty": ("l1", "l2"),
        "loss": ("hinge", "squared_hinge"),
        "dual": ("auto", False, True),
        "multi_class": ("ovr", "crammer_singer"),
    },
    "LinearSVR": {
        "loss": ("epsilon_insensitive", "squared_epsilon_insensitive"),
        "dual": ("auto", False, True),
        "epsilon": (0, 0.5),
    },
    "QuantileRegressor": {
        "solver": ("highs", "highs-ds", "highs-ipm", "interior-point", "revised simplex"),
        "solver_options": (None, {}),
    },
    "TweedieRegressor": {"power": (0, 1, 1.5, 2, 3), "link": ("auto", "log")},
    "SGDClassifier": {
        "learning_rate": ("optimal", "pa1", "constant", "adaptive"),
        "loss": ("hinge", "log_loss"),
        "penalty": ("l2", "elasticnet", None),
        "l1_ratio": (0.15, None),
        "alpha": (0, 1e-4),
    },
    "SGDRegressor": {
        "learning_rate": ("optimal", "pa2", "invscaling"),
        "loss": ("squared_error", "epsilon_insensitive"),
        "penalty": ("l1", "elasticnet"),
        "l1_ratio": (0.15, None),
        "power_t": (0.25, -0.5),
    },
}


class Difference(NamedTuple):
    """Arguments that only one of the two takes, warns of or refuses."""

    reason: str  # as docs/scikit-learn.md has it
    of: tuple[str, ...]
    holds: Callable[[dict], object]  # of the arguments
    is_always_found: bool = True


def has(name, *values):
    """Return whether an argument is one of these."""
    return lambda given: name in given and any(given[name] is v or given[name] == v for v in values)


def _given(name, test):
    return lambda given: name in given and test(given[name])


def _is_real(value):
    return isinstance(value, int | float | np.floating | np.integer)


LOGISTIC, NETS = ("LogisticRegression",), ("Lasso", "ElasticNet")
RIDGES = ("Ridge", "RidgeClassifier")
GLMS = ("PoissonRegressor", "GammaRegressor", "TweedieRegressor")
TOL = "`tol=0` asks for all that rounding allows"
DIFFERENCES = [
    Difference(
        '`learning_rate="auto"` needs no rate',
        ("SGDClassifier", "SGDRegressor"),
        has("learning_rate", "auto"),
    ),
    Difference(
        "the default solver takes every penalty and `dual`",
        LOGISTIC,
        lambda g: "solver" not in g and (g.keys() & {"penalty", "l1_ratio", "dual"}),
    ),
    Difference(
        "`n_jobs` has an effect: no `FutureWarning`; 0 is refused, which says nothing",
        (*LOGISTIC, "LinearRegression"),
        lambda g: "n_jobs" in g,
    ),
    Difference(
        "`solver` takes our names",
        (*LOGISTIC, *RIDGES, "QuantileRegressor", *GLMS),
        _given("solver", lambda s: isinstance(s, str) and s in OURS),
    ),
    Difference(
        "`l1_ratio=None` is 0 with every solver and `C`",
        LOGISTIC,
        lambda g: g.get("l1_ratio", 0) is None and g.get("C") == np.inf,
    ),
    Difference(TOL, ("LinearSVC", "LinearSVR"), has("tol", 0)),
    Difference(TOL, GLMS, has("tol", 0), is_always_found=False),
    Difference(
        "`alpha` of `Ridge` is finite and not negative for each target",
        RIDGES,
        _given("alpha", lambda a: isinstance(a, list) and min(a, default=1) < 0),
    ),
    Difference(
        "`alpha` of `Ridge` is finite and not negative for each target",
        RIDGES,
        _given("alpha", lambda a: isinstance(a, dict)),
    ),
    Difference(
        "`precompute` is looked at for its shape only",
        NETS,
        _given("precompute", lambda p: not isinstance(p, bool)),
    ),
    Difference(
        "`max_iter=None` of scikit-learn's fails with a `TypeError`", NETS, has("max_iter", None)
    ),
    Difference(
        "`epsilon` of `LinearSVR` is finite and not negative",
        ("LinearSVR",),
        _given("epsilon", lambda e: _is_real(e) and not 0 <= e < np.inf),
    ),
    Difference(
        "`solver_options` is for solvers that are not used here",
        ("QuantileRegressor",),
        _given("solver_options", lambda o: o),
    ),
    Difference(
        '`power` between 0 and 1 is no distribution; below 0 it needs `link="log"`',
        ("TweedieRegressor",),
        _given("power", lambda p: _is_real(p) and p < 1),
    ),
    Difference(
        '`penalty="l1"` goes with `loss="hinge"`',
        ("LinearSVC",),
        lambda g: g.get("penalty") == "l1" and g.get("loss") == "hinge" and g["dual"] == "auto",
    ),
    Difference(
        "a method of SciPy that is deprecated there is none here: no `DeprecationWarning`",
        ("QuantileRegressor",),
        has("solver", "revised simplex"),
    ),
    Difference(
        "the passive-aggressive classes are not deprecated: no `FutureWarning`",
        ("PassiveAggressiveClassifier", "PassiveAggressiveRegressor"),
        has("early_stopping", True),  # which makes another instance, and so warns in a fit
    ),
]


def outcome(model, X, y):
    """Return how a fit ends, and of which kinds its warnings are where it does not fail."""
    with (
        warnings.catch_warnings(record=True) as caught,
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("always")
        try:
            model.fit(X, y)
        except Exception as error:  # of scikit-learn's, some are no better than an IndexError
            kinds = (ValueError, TypeError, Exception)
            return next(kind.__name__ for kind in kinds if isinstance(error, kind)), frozenset()
    reported = {w.category.__name__ for w in caught}
    return "fitted", frozenset(reported - {ConvergenceWarning.__name__, RuntimeWarning.__name__})


def arguments_of(name, theirs):
    """Yield dicts of constructor arguments."""
    names = [name for name in inspect.signature(theirs).parameters if name != "verbose"]
    yield from ({name: value} for name in names for value in POOL)
    grid = TOGETHER.get(name, {})
    every = list(itertools.product(*grid.values()))
    some = np.random.default_rng(0).permutation(len(every))[:150]
    for k in some:
        given = dict(zip(grid, every[k], strict=True))
        # scikit-learn's liblinear never returns from an infinite C that 'penalty' hides from it
        if (given.get("solver"), given.get("C")) != ("liblinear", np.inf):
            yield given


@pytest.mark.filterwarnings("ignore:Class PassiveAggressive:FutureWarning")
@over_product(lambda name: name in OFTEN, name=[*SOLVED, *STOCHASTIC])
def test_arguments_are_taken_and_refused_as_in_scikit_learn(name):
    ours, theirs = getattr(fastgd, name), getattr(linear_model, name, getattr(svm, name, None))
    X = np.random.default_rng(0).normal(size=(24, 3))
    y = (X[:, 0] > 0).astype(int) if is_classifier(ours()) else np.exp(X[:, 0])
    known = [difference for difference in DIFFERENCES if name in difference.of]
    unlisted, seen = [], set()
    for given in arguments_of(name, theirs):
        found = [outcome(kind(**given), X, y) for kind in (ours, theirs)]
        if found[0] != found[1]:
            reasons = {d.reason for d in known if d.holds(given)}
            seen |= reasons
            if not reasons:
                unlisted.append((given, *found))
    assert not unlisted
    assert seen >= {difference.reason for difference in known if difference.is_always_found}


DEFAULTS = {  # that differ, and why
    "solver": "the solver is chosen by the data",
    "verbose": "a number: 1 is a bar, 2 lines; False is 0",
    "max_iter": "passes over the data; scikit-learn's, of another kind, end early on raw columns",
}
NAMES = [*fastgd.linear_model.__all__, *fastgd.neural_network.__all__]
WITHOUT_A_PEER = {"SoftmaxRegression", "NetworkClassifier", "NetworkRegressor"}


def peer_of(name):
    modules = (linear_model, svm, neural_network)
    return next(found for m in modules if (found := getattr(m, name, None)) is not None)


@pytest.mark.parametrize("name", sorted(set(NAMES) - WITHOUT_A_PEER))
def test_signatures_are_scikit_learn_s(name):
    """Every parameter, by position where it is so there, with its default but for those listed."""
    package = fastgd.linear_model if name in fastgd.linear_model.__all__ else fastgd.neural_network
    ours, theirs = getattr(package, name), peer_of(name)
    own, wanted = (inspect.signature(kind).parameters for kind in (ours, theirs))
    assert list(wanted) == [name for name in own if name in wanted]
    for param, given in wanted.items():
        assert own[param].kind == given.kind
        if param not in DEFAULTS:
            assert repr(own[param].default) == repr(given.default), param
    methods = ("fit", "partial_fit", "predict", "score", "decision_function", "path", "sparsify")
    for method in methods if inspect.isclass(ours) else ():
        if hasattr(theirs, method):
            own, wanted = (
                [*inspect.signature(getattr(kind, method)).parameters] for kind in (ours, theirs)
            )
            assert [param for param in own if param in wanted] == wanted


def test_a_name_without_a_peer_has_none():
    assert not [n for n in WITHOUT_A_PEER if hasattr(linear_model, n) or hasattr(svm, n)]


@pytest.mark.parametrize("given", [{}, {"intercept_scaling": 3.0}, {"l1_ratio": 1.0}], ids=str)
def test_liblinear_penalises_the_intercept(given):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)) + 2.0
    y = (X[:, 0] + rng.logistic(size=60) > 2).astype(int)
    given = {"solver": "liblinear", "tol": 1e-12, **given}
    theirs = linear_model.LogisticRegression(max_iter=10**5, **given).fit(X, y)
    for layout in (X, sp.csr_matrix(X)):
        model = fastgd.LogisticRegression(**given).fit(layout, y)
        np.testing.assert_allclose(model.coef_, theirs.coef_, atol=1e-6)
        np.testing.assert_allclose(model.intercept_, theirs.intercept_, atol=1e-6)
    before = model.coef_
    again = model.set_params(warm_start=True).fit(X, y).fit(X, y)  # which liblinear has not
    np.testing.assert_allclose(again.coef_, before, atol=1e-9)
    strength = {} if "l1_ratio" in given else {"C": 0.5}  # |w/2|^2 of both classes is half |w|^2
    halves = fastgd.SoftmaxRegression(**given, **strength).fit(X, y)
    np.testing.assert_allclose(np.diff(halves.coef_, axis=0), theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(np.diff(halves.intercept_), theirs.intercept_, atol=1e-6)


def test_the_page_lists_every_difference():
    page = " ".join(PAGE.read_text().split())
    assert [d.reason for d in DIFFERENCES if d.reason not in page] == []


@pytest.mark.filterwarnings("ignore:'penalty' was deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("model", "category", "message"),
    [
        (fastgd.LogisticRegression("l1"), UserWarning, "penalty=l1 with l1_ratio=0.0"),
        (fastgd.LogisticRegression("l2", l1_ratio=1), UserWarning, "penalty=l2 with l1_ratio=1"),
        (
            fastgd.LogisticRegression("l1", l1_ratio=0.5),
            UserWarning,
            "only used when .* l1_ratio=0.5 is ignored",
        ),
        (fastgd.LogisticRegression(None, C=3), UserWarning, "penalty=None will ignore .* C=3"),
        (fastgd.LogisticRegression(l1_ratio=None), FutureWarning, "'l1_ratio=None' was deprecated"),
        (fastgd.Lasso(alpha=0), UserWarning, "With alpha=0, there is no penalty"),
        (fastgd.ElasticNet(alpha=0.0), UserWarning, "With alpha=0, there is no penalty"),
    ],
    ids=str,
)
def test_a_contradiction_is_reported_at_the_line_that_fits(model, category, message):
    X = np.random.default_rng(0).normal(size=(24, 3))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, (X[:, 0] > 0).astype(int))
    reported = [w for w in caught if re.search(message, str(w.message))]
    assert [w.category for w in reported] == [category]
    assert {w.filename for w in caught if w.category is not ConvergenceWarning} == {__file__}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (fastgd.LogisticRegression(solver="lbfgs", l1_ratio=0.5), "supports only 'l2' or None"),
        (fastgd.SoftmaxRegression(solver="sag", l1_ratio=1), "supports only 'l2' or None"),
        (fastgd.LogisticRegression(solver="liblinear", l1_ratio=0.5), "Only 'saga' solver"),
        (fastgd.LogisticRegression(solver="liblinear", C=np.inf), "C=np.inf as well as"),
        (fastgd.LogisticRegression(solver="saga", dual=True), "supports only dual=False"),
        (fastgd.LogisticRegression(solver="gd", dual=True), "supports only dual=False"),
        (fastgd.LogisticRegression(solver="highs"), "'solver' parameter of LogisticRegression"),
        (fastgd.Ridge(solver="lbfgs"), "only when positive=True"),
        (fastgd.Ridge(solver="cholesky", positive=True), "does not support positive"),
        (fastgd.Ridge(alpha=[-1.0]), r"finite and >= 0 for each target, got \[-1.0\]"),
        (fastgd.Ridge(alpha=[np.nan]), "finite and >= 0"),
        (fastgd.Lasso(precompute=np.eye(2)), r"\(3, 3\) here; got one of shape \(2, 2\)"),
        (fastgd.LinearSVC(loss="hinge", dual=False), "Unsupported set of arguments"),
        (fastgd.LinearSVC(penalty="l1", dual=True), "Unsupported set of arguments"),
        (fastgd.LinearSVR(dual=False), "Unsupported set of arguments"),
        (fastgd.QuantileRegressor(solver="interior-point"), "not anymore available"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused_and_nothing_is_set(model, message):
    X = np.random.default_rng(0).normal(size=(24, 3))
    with pytest.raises(ValueError, match=message):
        model.fit(X, (X[:, 0] > 0).astype(int))
    assert not [name for name in vars(model) if name.endswith("_")]


def test_liblinear_of_more_than_two_classes_is_refused():
    X = np.random.default_rng(0).normal(size=(24, 3))
    model = fastgd.LogisticRegression(solver="liblinear")
    with pytest.raises(ValueError, match=r"does not support multiclass .* 3 classes"):
        model.fit(X, np.arange(24) % 3)
    assert not hasattr(model, "coef_")
    assert model.fit(X, np.arange(24) % 2).solver_ == "gd"


CLASSIFIERS = (fastgd.LogisticRegression, fastgd.SoftmaxRegression, fastgd.LinearSVC)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_a_class_weight_that_is_none_is_refused(wrong, kind, n_classes):
    X = np.random.default_rng(0).normal(size=(24, 3))
    y = np.array(["a", "b", "c"])[np.arange(24) % n_classes]
    message = re.escape(
        f"class_weight must be a finite number >= 0 for each class, got {{'b': {wrong}}}"
    )
    with pytest.raises(ValueError, match=message):
        kind(class_weight={"b": wrong}).fit(X, y)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_class_weights_that_leave_no_row_are_refused(kind):
    X = np.random.default_rng(0).normal(size=(24, 3))
    y = np.arange(24) % 2
    with pytest.raises(ValueError, match="class_weight must be above 0 for one class at least"):
        kind(class_weight={0: 0.0, 1: 0.0}).fit(X, y)
    with pytest.raises(ValueError, match="sample_weight is 0 for every row whose class_weight"):
        kind(class_weight={0: 0.0}).fit(X, y, sample_weight=1.0 - y)


def test_what_was_found_right_is_checked_once_also_in_tuples(monkeypatch):
    checked = []
    monkeypatch.setattr(BaseEstimator, "_validate_params", lambda model: checked.append(model))
    X, y = np.arange(12.0).reshape(6, 2) ** 2, np.arange(6.0)
    for alphas, n_checks in (((0.125, 7.5), 1), ((0.125, 7.5), 1), ([0.125, 7.5], 2)):
        fastgd.RidgeCV(alphas).fit(X, y)
        assert len(checked) == n_checks
    kinds = [_kinds_of(values) for values in ((1, (2.0,)), (1, (2,)), (True, (2.0,)))]
    assert len(set(kinds)) == 3, "equal numbers of other types are checked again"
    assert _kinds_of((1, (2.0, [3.0]))) is None
