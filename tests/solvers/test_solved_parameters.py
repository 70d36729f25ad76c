"""Single parameters of the solved estimators, and what only one of them has."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn import linear_model, svm
from sklearn.base import clone, is_regressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

import fastgd
from tests.tables import (
    NEWTON,
    PRIMAL,
    SOLVER_CASES,
    of_huber,
    of_logistic,
    over,
    raw_of,
)

CLASSIFIERS = [fastgd.LogisticRegression, fastgd.SoftmaxRegression]


@pytest.fixture
def binary(rng):
    X = rng.normal(size=(100, 4))
    return X, (X[:, 0] - X[:, 1] + rng.logistic(size=100) > 0.5).astype(int)


@pytest.fixture
def several(rng):
    X = rng.normal(size=(150, 4))
    return X, np.digitize(X[:, 0] - X[:, 1] + rng.logistic(size=150), [-2.0, 0.5])


@pytest.fixture
def targets(rng):
    X = rng.normal(size=(80, 5))
    return X, X @ rng.normal(size=(5, 3)) + [1.0, 2.0, -3.0] + rng.normal(size=(80, 3))


def assert_same_predictions(ours, theirs, X, tolerance=1e-4):
    one, other = (
        model.decision_function(X) if hasattr(model, "classes_") else model.predict(X)
        for model in (ours, theirs)
    )
    assert one.shape == other.shape
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max())


# -- logistic and softmax ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("data", ["binary", "several"])
def test_probabilities(kind, data, request):
    X, y = request.getfixturevalue(data)
    model = kind().fit(X, y)
    p, logs = model.predict_proba(X), model.predict_log_proba(X)
    assert p.shape == logs.shape == (len(y), len(model.classes_))
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(logs, np.log(p), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(X))
    theirs = linear_model.LogisticRegression(**NEWTON).fit(X, y)
    if kind is fastgd.LogisticRegression or data == "several":
        np.testing.assert_allclose(p, theirs.predict_proba(X), atol=1e-5)
    far = 1e6 * X[:5]
    assert np.isfinite(model.predict_log_proba(far)).all()
    np.testing.assert_allclose(model.predict_proba(far).sum(axis=1), 1.0, rtol=1e-14)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_softmax_of_two_classes_is_a_softmax(binary, fit_intercept, weighted, rng):
    X, y = binary
    s = rng.uniform(0.5, 2.0, len(y)) if weighted else np.ones(len(y))
    C = 0.3

    def objective(params):
        W, b = params[:8].reshape(2, 4), params[8:] * fit_intercept
        logs = np.log(softmax(X @ W.T + b, axis=1))[np.arange(len(y)), y]
        return -C * s @ logs + 0.5 * np.sum(W**2)

    best = minimize(objective, np.zeros(10), method="BFGS", options={"gtol": 1e-8, "maxiter": 999})
    model = fastgd.SoftmaxRegression(C=C, fit_intercept=fit_intercept).fit(X, y, s)
    np.testing.assert_allclose(model.coef_, best.x[:8].reshape(2, 4), atol=1e-5)
    assert model.objective_ * C * s.sum() == pytest.approx(best.fun, rel=1e-9)
    documented = of_logistic(model, model.get_params(), X, y, s)
    assert model.objective_ == pytest.approx(documented, rel=1e-12)
    raw = raw_of(model, X)
    np.testing.assert_allclose(model.predict_proba(X), softmax(raw, axis=1), rtol=1e-9)
    np.testing.assert_allclose(model.decision_function(X), raw[:, 1] - raw[:, 0], atol=1e-12)


@pytest.mark.parametrize("l1_ratio", [0.4, 1.0])
def test_softmax_of_two_classes_with_l1(binary, l1_ratio, rng):
    X, y = binary
    model = fastgd.SoftmaxRegression(C=0.1, l1_ratio=l1_ratio).fit(X, y)
    s = np.ones(len(y))
    best = of_logistic(model, model.get_params(), X, y, s)
    assert model.objective_ == pytest.approx(best, rel=1e-12)
    for _ in range(50):
        near = pickle.loads(pickle.dumps(model))
        near.coef_ = near.coef_ + 1e-3 * rng.normal(size=(2, 4)) * (rng.random((2, 4)) < 0.5)
        near.intercept_ = near.intercept_ + 1e-3 * rng.normal(size=2)
        assert of_logistic(near, model.get_params(), X, y, s) >= best - 1e-12


@pytest.mark.parametrize(
    ("kwargs", "meant"),
    [
        ({"penalty": "l1", "l1_ratio": 1, "C": 0.2}, {"l1_ratio": 1.0, "C": 0.2}),
        ({"penalty": "l2", "C": 0.2}, {"C": 0.2}),
        ({"penalty": "elasticnet", "l1_ratio": 0.3, "C": 0.2}, {"l1_ratio": 0.3, "C": 0.2}),
        ({"penalty": None}, {"C": np.inf}),
    ],
)
def test_the_deprecated_penalty_means_what_it_meant(kwargs, meant, binary):
    with pytest.warns(FutureWarning, match="'penalty' was deprecated"):
        model = fastgd.LogisticRegression(**kwargs).fit(*binary)
    np.testing.assert_array_equal(
        model.coef_, fastgd.LogisticRegression(**meant).fit(*binary).coef_
    )


def test_an_elastic_net_needs_its_ratio(binary):
    model = fastgd.LogisticRegression("elasticnet", l1_ratio=None)
    with (
        pytest.warns(FutureWarning, match="'penalty' was deprecated"),
        pytest.raises(ValueError, match="l1_ratio must be specified"),
    ):
        model.fit(*binary)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("class_weight", [{0: 3.0}, {0: 2.0, 1: 0.5}, "balanced"])
@pytest.mark.parametrize("data", ["binary", "several"])
@pytest.mark.parametrize("kind", [fastgd.LogisticRegression, fastgd.LinearSVC])
def test_class_weights_are_scikit_learns(kind, data, class_weight, weighted, request, rng):
    X, y = request.getfixturevalue(data)
    weight = rng.uniform(0.2, 3.0, len(y)) if weighted else None
    ours = kind(class_weight=class_weight, C=0.3).fit(X, y, weight)
    kwargs = {"class_weight": class_weight, "C": 0.3}
    theirs = (
        linear_model.LogisticRegression(**kwargs, **NEWTON)
        if kind is fastgd.LogisticRegression
        else svm.LinearSVC(**kwargs, **PRIMAL)
    )
    assert_same_predictions(ours, theirs.fit(X, y, weight), X)


def test_coefficients_may_be_made_sparse(several):
    X, y = several
    model = fastgd.LogisticRegression(C=0.1, l1_ratio=1.0, warm_start=True).fit(X, y)
    dense = model.decision_function(X)
    assert sp.issparse(model.sparsify().coef_)
    np.testing.assert_allclose(model.decision_function(X), dense, rtol=1e-12)
    assert not sp.issparse(model.fit(X, y).coef_)


# -- parameters that are refused --------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (fastgd.LinearSVC(multi_class="crammer_singer", solver="saga"), "needs a smooth loss"),
        (fastgd.TweedieRegressor(power=0.5), "power=0.5: no such distribution"),
        (fastgd.TweedieRegressor(power=1.5, link="identity"), "use link='log'"),
        (fastgd.TweedieRegressor(power=-1.0), "use link='log'"),
        (fastgd.LogisticRegression(C=np.inf, solver="sdca"), "needs an l2 penalty"),
        (fastgd.PoissonRegressor(solver="sdca"), "a loss with conjugate, .* which Poisson has not"),
        (fastgd.Ridge(positive=True, solver="sdca"), "needs positive=False"),
        (fastgd.QuantileRegressor(solver="saga"), "needs a smooth loss"),
        (fastgd.Ridge(alpha=np.ones(2)), "penalties do not correspond: 2 != 1"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(model, message, binary):
    with pytest.raises(ValueError, match=message):
        model.fit(*binary)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (fastgd.LogisticRegression(C=0.0), "C"),
        (fastgd.LogisticRegression(l1_ratio=1.5), "l1_ratio"),
        (fastgd.SoftmaxRegression(solver="sgd"), "solver"),
        (fastgd.LinearSVC(C=-1.0), "C"),
        (fastgd.LinearSVC(loss="log"), "loss"),
        (fastgd.LinearSVR(epsilon=-1.0), "epsilon"),
        (fastgd.Ridge(alpha=-1.0), "alpha"),
        (fastgd.Lasso(alpha=-1.0), "alpha"),
        (fastgd.ElasticNet(l1_ratio=-0.1), "l1_ratio"),
        (fastgd.LinearRegression(tol=-1.0), "tol"),
        (fastgd.HuberRegressor(epsilon=0.9), "epsilon"),
        (fastgd.QuantileRegressor(quantile=1.0), "quantile"),
        (fastgd.PoissonRegressor(max_iter=0), "max_iter"),
        (fastgd.GammaRegressor(tol=-1.0), "tol"),
        (fastgd.TweedieRegressor(link="sqrt"), "link"),
    ],
    ids=str,
)
def test_a_bad_parameter_is_named(model, name, binary):
    with pytest.raises(ValueError, match=f"'{name}' parameter of {type(model).__name__} must be"):
        model.fit(*binary)


# -- regression -------------------------------------------------------------------------------

SQUARES = [
    (fastgd.LinearRegression(), linear_model.LinearRegression()),
    (fastgd.LinearRegression(positive=True), linear_model.LinearRegression(positive=True)),
    (fastgd.Ridge(alpha=2.0), linear_model.Ridge(alpha=2.0, solver="cholesky")),
    (
        fastgd.Ridge(alpha=np.array([0.0, 1.0, 20.0])),
        linear_model.Ridge(alpha=np.array([0.0, 1.0, 20.0]), solver="cholesky"),
    ),
]


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(("ours", "theirs"), SQUARES, ids=lambda model: str(model))
def test_many_targets_are_scikit_learns(ours, theirs, fit_intercept, targets, rng):
    X, Y = targets
    weight = rng.uniform(0.2, 3.0, len(Y))
    ours = clone(ours).set_params(fit_intercept=fit_intercept).fit(X, Y, weight)
    theirs = clone(theirs).set_params(fit_intercept=fit_intercept).fit(X, Y, weight)
    positive = ours.get_params().get("positive", False)
    assert_same_predictions(ours, theirs, X, 1e-5 if positive else 1e-8)
    assert ours.coef_.shape == theirs.coef_.shape
    assert np.shape(ours.intercept_) == np.shape(theirs.intercept_)
    assert ours.objective_.shape == ours.gap_.shape == (3,)
    assert len(ours.history_) == 3
    plain = {"alpha": 1.0} if "alpha" in ours.get_params() else {}
    column = [clone(model).set_params(**plain).fit(X, Y[:, :1]) for model in (ours, theirs)]
    assert column[0].coef_.shape == column[1].coef_.shape


@pytest.mark.parametrize("alpha", [0.05, 0.3])
@pytest.mark.parametrize("name", ["Lasso", "ElasticNet"])
def test_many_targets_with_l1_are_one_by_one(name, alpha, targets):
    X, Y = targets
    kwargs = {"alpha": alpha, "tol": 1e-12}
    ours = getattr(fastgd, name)(**kwargs).fit(X, Y)
    theirs = getattr(linear_model, name)(**kwargs, max_iter=100_000).fit(X, Y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_array_equal(ours.coef_ == 0.0, theirs.coef_ == 0.0)
    assert type(ours.n_iter_) is list
    assert (ours.sparse_coef_ != theirs.sparse_coef_).shape == (3, 5)
    np.testing.assert_array_equal(ours.dual_gap_, ours.gap_)


def test_a_weight_may_be_one_number(targets):
    X, Y = targets
    one = fastgd.Ridge(alpha=2.0).fit(X, Y[:, 0])
    other = fastgd.Ridge(alpha=6.0).fit(X, Y[:, 0], 3.0)
    np.testing.assert_allclose(other.coef_, one.coef_, rtol=1e-12)


def test_dependent_columns_have_the_solution_of_least_norm(rng):
    X = rng.normal(size=(30, 40))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = rng.normal(size=30)
    for columns in (slice(None), np.r_[0:12, 3, 3, 7]):
        ours = fastgd.LinearRegression().fit(X[:, columns], y)
        theirs = linear_model.LinearRegression().fit(X[:, columns], y)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-9)


def test_huber_finds_scikit_learns_scale_and_outliers(rng):
    X = rng.normal(size=(200, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.standard_t(1.5, size=200)
    ours = fastgd.HuberRegressor(epsilon=1.5).fit(X, y)
    theirs = linear_model.HuberRegressor(epsilon=1.5, tol=1e-10, max_iter=10_000).fit(X, y)
    assert ours.scale_ == pytest.approx(theirs.scale_, rel=1e-5)
    np.testing.assert_array_equal(ours.outliers_, theirs.outliers_)


@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-4])
@pytest.mark.parametrize("alpha", [0.0, 1e-4, 1.0])
@pytest.mark.parametrize("shape", [(60, 3), (15, 30)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_hubers_scale_may_vanish(shape, alpha, noise, rng):
    X = rng.normal(size=shape)
    y = X @ rng.normal(size=shape[1]) + noise * rng.normal(size=shape[0])
    ours = fastgd.HuberRegressor(alpha=alpha).fit(X, y)
    ones = np.ones(len(y))
    value = of_huber(ours, ours.get_params(), X, y, ones)
    assert ours.objective_ == pytest.approx(value, rel=1e-6, abs=1e-12)
    theirs = linear_model.HuberRegressor(alpha=alpha, tol=1e-10, max_iter=500).fit(X, y)
    assert value <= of_huber(theirs, ours.get_params(), X, y, ones) * (1 + 1e-6) + 1e-12


@pytest.mark.parametrize("zeros", [0.3, 0.6, 0.9])
def test_hubers_targets_may_be_mostly_equal(zeros, rng):
    X = rng.normal(size=(150, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.normal(size=150)
    y[rng.random(150) < zeros] = 0.0
    ours = fastgd.HuberRegressor().fit(X, y)
    theirs = linear_model.HuberRegressor(tol=1e-10, max_iter=10_000).fit(X, y)
    values = [of_huber(m, ours.get_params(), X, y, np.ones(150)) for m in (ours, theirs)]
    assert values[0] <= values[1] * (1 + 1e-8)


def test_huber_of_constant_targets():
    model = fastgd.HuberRegressor().fit(np.arange(20.0).reshape(10, 2), np.full(10, 3.0))
    np.testing.assert_allclose(model.coef_, 0.0, atol=1e-12)
    assert model.intercept_ == pytest.approx(3.0)
    assert not model.outliers_.any()


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_a_quantile_has_its_share_of_the_rows_below(quantile, rng):
    X = rng.normal(size=(1000, 3))
    y = X @ [1.0, -2.0, 0.5] + rng.exponential(size=1000)
    model = fastgd.QuantileRegressor(quantile=quantile, alpha=0.0).fit(X, y)
    assert np.mean(y < model.predict(X)) == pytest.approx(quantile, abs=0.005)


@pytest.mark.parametrize("quantile", [0.3, 0.8])
@pytest.mark.parametrize("alpha", [1e-3, 1e-2, 0.1])
def test_quantiles_of_more_columns_than_rows_are_scikit_learns(alpha, quantile, rng):
    X, y = rng.random((20, 50)), rng.integers(0, 3, 20).astype(float)
    kwargs = {"alpha": alpha, "quantile": quantile}
    ours = fastgd.QuantileRegressor(**kwargs).fit(X, y)
    theirs = linear_model.QuantileRegressor(**kwargs).fit(X, y)
    residual = y - theirs.predict(X)
    best = np.maximum(quantile * residual, (quantile - 1) * residual).mean()
    best += alpha * np.abs(theirs.coef_).sum()
    assert ours.objective_ == pytest.approx(best, rel=1e-8)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (fastgd.PoissonRegressor(), linear_model.PoissonRegressor()),
        (fastgd.GammaRegressor(), linear_model.GammaRegressor()),
        (fastgd.TweedieRegressor(power=1.5), linear_model.TweedieRegressor(power=1.5)),
        (fastgd.TweedieRegressor(), linear_model.TweedieRegressor()),
    ],
    ids=lambda model: type(model).__name__,
)
def test_the_score_is_d2(ours, theirs, rng):
    X = rng.normal(size=(100, 3))
    y = rng.gamma(2.0, np.exp(X @ [0.3, 0.2, -0.4]))
    weight = rng.uniform(0.2, 3.0, 100)
    theirs.set_params(tol=1e-8, max_iter=1000).fit(X, y)
    assert ours.fit(X, y).score(X, y, weight) == pytest.approx(theirs.score(X, y, weight), abs=1e-6)
    tags = ours.__sklearn_tags__().target_tags, theirs.__sklearn_tags__().target_tags
    assert tags[0].positive_only == tags[1].positive_only


# -- starts -----------------------------------------------------------------------------------

WIDE = {"C": 1.0, "solver": "sdca", "warm_start": True}


def test_a_warm_start_forgets_what_no_longer_fits(binary, several):
    for kind in CLASSIFIERS:
        model = kind(warm_start=True).fit(*binary)
        for X, y in (several, binary, (binary[0][:, :3], binary[1])):
            again = model.fit(X, y)
            np.testing.assert_allclose(again.objective_, kind().fit(X, y).objective_, rtol=1e-6)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_sdca_does_not_start_from_another_problems_dual(kind, binary, rng):
    X, y = binary
    model = kind(**WIDE).fit(X, y)
    others = [1 - y, rng.integers(0, 3, len(y)), rng.permutation(y), y]
    for other in others:
        fresh = kind(**WIDE).fit(X, other)
        again = model.fit(X, other)
        assert again.objective_ == pytest.approx(fresh.objective_, rel=2e-4)
        assert again.gap_ <= 1e-4 * again.objective_
    first = model.n_iter_[0]
    assert model.fit(X, y).n_iter_[0] <= min(first, 3)


@pytest.mark.parametrize("classes", [2, 3])
def test_many_sparse_columns_are_left_to_sdca(classes, rng):
    X = sp.random_array((2500, 4000), density=0.005, format="csr", rng=rng)
    X = X.multiply(0.5).tocsr()  # what one row can move its own prediction by
    y = np.digitize(X @ rng.normal(size=4000), [0.0, 0.4][: classes - 1])
    for model in (fastgd.LogisticRegression(tol=1e-3), fastgd.LinearSVC(loss="hinge", tol=1e-3)):
        model.fit(X, y)
        assert model.solver_ == "sdca"
        assert np.all(model.gap_ <= 1e-3 * model.objective_)
        best = clone(model).set_params(tol=1e-6).fit(X, y).objective_
        assert np.all(model.objective_ - best <= model.gap_ + 1e-6 * best)


# -- the page that describes them ---------------------------------------------------------------


@over(SOLVER_CASES)
def test_the_page_has_every_class_parameter_and_attribute(case):
    page = (Path(__file__).parents[2] / "docs/estimators.md").read_text()
    X = np.random.default_rng(0).normal(size=(50, 2))
    y = np.exp(X[:, 0]).round() if is_regressor(case.make()) else (X[:, 0] > 0).astype(int)
    model = case.make().fit(X, y + 1)
    found = [name for name in vars(model) if name.endswith("_") and not name.startswith("_")]
    for given in (case.name, *model.get_params(), *found):
        assert f"`{given}`" in page, given


# -- real, raw columns ------------------------------------------------------------------------


def test_raw_columns_need_no_scaling():
    X, y = load_breast_cancer(return_X_y=True)
    ours = fastgd.LogisticRegression(C=10.0).fit(X, y)
    theirs = linear_model.LogisticRegression(C=10.0, **NEWTON).fit(X, y)
    assert_same_predictions(ours, theirs, X, 1e-5)
    X, y = load_iris(return_X_y=True)
    ours = fastgd.LogisticRegression(C=1e3).fit(X * [1e-3, 1.0, 1e3, 1e6], y)
    assert ours.score(X * [1e-3, 1.0, 1e3, 1e6], y) > 0.95
    X, y = load_diabetes(return_X_y=True, scaled=False)
    ours, theirs = fastgd.Ridge(alpha=3.0).fit(X, y), linear_model.Ridge(alpha=3.0).fit(X, y)
    assert_same_predictions(ours, theirs, X, 1e-8)
