"""RidgeCV and RidgeClassifierCV: scikit-learn's choices, and rows left out one by one."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import ShuffleSplit
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_info, threadpool_limits

import fastgd
from fastgd._solvers._spectrum import Rows, left_out_errors, paths, sparse_paths, spectrum_of
from fastgd.linear_model import _ridge_cv
from tests.tables import over_product

ALPHAS = np.geomspace(1e-2, 1e3, 6)
SHAPES = [(60, 5), (20, 40), (30, 30)]
KWARGS = [
    {},
    {"fit_intercept": False},
    {"gcv_mode": "svd"},
    {"store_cv_results": True},
    {"alpha_per_target": True},
    {"alpha_per_target": True, "store_cv_results": True, "scoring": "r2"},
    {"scoring": "neg_mean_absolute_error", "store_cv_results": True},
    {"cv": 3},
    {"cv": ShuffleSplit(3, random_state=0), "scoring": "neg_mean_absolute_error"},
    {"cv": 4, "scoring": make_scorer(mean_absolute_error, greater_is_better=False)},
]


def numbers(shape, rng):
    """Return X, two targets and weights."""
    X = rng.normal(size=shape) + 5.0
    Y = X @ rng.normal(size=(shape[1], 2)) + 3.0 * rng.normal(size=(shape[0], 2))
    return X, Y, rng.uniform(0.5, 2.0, shape[0])


def assert_same(ours, theirs, rtol=1e-6):
    """All fitted attributes of scikit-learn's are there, shaped and valued as there."""
    for name in vars(theirs):
        if name.endswith("_") and not name.startswith("_"):
            mine, other = getattr(ours, name), getattr(theirs, name)
            assert np.shape(mine) == np.shape(other), name
            np.testing.assert_allclose(mine, other, rtol=rtol, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("targets", ["one", "column", "two"])
@pytest.mark.parametrize("kwargs", KWARGS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_chooses_as_scikit_learn_does(shape, kwargs, targets, weighted, rng):
    X, Y, weight = numbers(shape, rng)
    if "scoring" in kwargs and "alpha_per_target" in kwargs and targets == "one":
        pytest.skip("which scikit-learn fails on")
    y = {"one": Y[:, 0], "column": Y[:, :1], "two": Y}[targets]
    weight = weight if weighted else None
    ours = fastgd.RidgeCV(ALPHAS, **kwargs).fit(X, y, weight)
    theirs = linear_model.RidgeCV(ALPHAS, **kwargs).fit(X, y, weight)
    assert_same(ours, theirs)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-6)
    assert np.all(ours.gap_ <= 1e-10 * ours.objective_)


@over_product(
    lambda shape, kwargs: shape in SHAPES or not kwargs,
    shape=[*SHAPES, (500, 210)],
    kwargs=[w for w in KWARGS if "gcv_mode" not in w],
)
def test_sparse_rows_give_what_dense_ones_do(shape, kwargs, rng):
    X, Y, weight = numbers(shape, rng)
    X[rng.random(shape) < 0.8] = 0.0
    dense = fastgd.RidgeCV(ALPHAS, **kwargs).fit(X, Y, weight)
    for kind in (sp.csr_array, sp.csc_matrix):
        sparse = fastgd.RidgeCV(ALPHAS, **kwargs).fit(kind(X), Y, weight)
        assert_same(sparse, dense, rtol=1e-4)


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("mode", ["auto", "svd"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_errors_are_those_of_fits_without_the_row(shape, mode, fit_intercept, rng):
    X, Y, weight = numbers(shape, rng)
    rows = Rows(X, Y, weight, fit_intercept)
    found = spectrum_of(rows, ALPHAS.min(), mode)
    errors = np.concatenate([block for _, block in left_out_errors(rows, found, ALPHAS)])
    for i in (0, 7, shape[0] - 1):
        rest = np.arange(shape[0]) != i
        for k in (0, 3, 5):
            model = linear_model.Ridge(ALPHAS[k], fit_intercept=fit_intercept, solver="svd")
            model.fit(X[rest], Y[rest], weight[rest])
            wanted = np.sqrt(weight[i]) * (Y[i] - model.predict(X[i : i + 1])[0])
            np.testing.assert_allclose(errors[i, :, k], wanted, rtol=1e-6)


def test_blocks_of_rows_are_added_up(rng, monkeypatch):
    X, Y, weight = numbers((70, 6), rng)
    whole = fastgd.RidgeCV(ALPHAS).fit(X, Y, weight)
    monkeypatch.setattr("fastgd._solvers._spectrum.ENTRIES_AT_ONCE", 60)
    assert_same(fastgd.RidgeCV(ALPHAS).fit(X, Y, weight), whole, rtol=1e-9)
    wide = fastgd.RidgeCV(ALPHAS).fit(X.T, Y[:6])
    monkeypatch.undo()
    assert_same(wide, fastgd.RidgeCV(ALPHAS).fit(X.T, Y[:6]), rtol=1e-9)


def test_shifted_conjugate_gradients_find_every_path(rng):
    X = sp.random_array((400, 250), density=0.05, rng=rng, format="csr")
    Y = X @ rng.normal(size=(250, 2)) + 0.1 * rng.normal(size=(400, 2))
    rows = Rows(X, Y, rng.uniform(0.5, 2.0, 400), True)
    found = sparse_paths(rows, ALPHAS)
    wanted = paths(rows, spectrum_of(rows, ALPHAS.min()), ALPHAS)
    for k, alpha in enumerate(ALPHAS):
        off = np.sum((rows.all_times(found[k] - wanted[k])) ** 2) + alpha * np.sum(
            (found[k] - wanted[k]) ** 2
        )
        assert off <= 1e-5 * np.sum(rows.targets**2)


def test_columns_far_from_zero_are_centered_where_they_are_sparse(rng):
    X = np.c_[1e9 + 5.0 * rng.normal(size=200), rng.random((200, 3)) < 0.3]
    y = 0.4 * (X[:, 0] - 1e9) + X[:, 1] + 0.1 * rng.normal(size=200)
    dense, sparse = fastgd.RidgeCV().fit(X, y), fastgd.RidgeCV().fit(sp.csr_array(X), y)
    np.testing.assert_allclose(sparse.coef_, dense.coef_, rtol=1e-6)
    assert sparse.score(sp.csr_array(X), y) > 0.95


def test_scales_that_products_cannot_hold_are_decomposed_as_they_are(rng):
    X = rng.normal(size=(80, 6)) * np.geomspace(1e-6, 1e6, 6)
    y = X / np.geomspace(1e-6, 1e6, 6) @ np.ones(6) + 0.1 * rng.normal(size=80)
    alphas = [1e-14, 1e-12]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = fastgd.RidgeCV(alphas, store_cv_results=True).fit(X, y)
    theirs = linear_model.RidgeCV(alphas, store_cv_results=True, gcv_mode="svd").fit(X, y)
    np.testing.assert_allclose(model.cv_results_, theirs.cv_results_, rtol=1e-3, atol=1e-7)
    assert model.alpha_ == theirs.alpha_


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_dtypes_are_kept_as_scikit_learn_does(dtype, rng):
    X, Y, _ = numbers((60, 5), rng)
    X = (10 * X).astype(dtype)
    ours, theirs = fastgd.RidgeCV(ALPHAS).fit(X, Y), linear_model.RidgeCV(ALPHAS).fit(X, Y)
    assert ours.coef_.dtype == theirs.coef_.dtype
    assert_same(ours, theirs, rtol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"class_weight": "balanced"},
        {"store_cv_results": True},
        {"cv": 3},
        {"cv": 3, "scoring": "balanced_accuracy"},
        {"cv": 3, "scoring": "roc_auc"},
        {"cv": 3, "class_weight": {0: 3.0}},
    ],
    ids=str,
)
def test_classes_are_reported_apart_as_in_scikit_learn(kwargs, n_classes, weighted, rng):
    if kwargs.get("scoring") == "roc_auc" and n_classes > 2:
        pytest.skip("of two classes")
    X = rng.normal(size=(90, 4))
    y = np.digitize(X[:, 0] + 0.5 * rng.normal(size=90), [-0.4, 0.5][: n_classes - 1])
    weight = rng.uniform(0.5, 2.0, 90) if weighted else None
    ours = fastgd.RidgeClassifierCV(ALPHAS, **kwargs).fit(X, y, weight)
    theirs = linear_model.RidgeClassifierCV(ALPHAS, **kwargs).fit(X, y, weight)
    assert_same(ours, theirs)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def test_tables_of_labels(rng):
    X = rng.normal(size=(90, 4))
    y = (X[:, :3] + 0.5 * rng.normal(size=(90, 3)) > 0.0).astype(int)
    for kwargs in ({}, {"cv": 3}):
        ours = fastgd.RidgeClassifierCV(ALPHAS, **kwargs).fit(X, y)
        theirs = linear_model.RidgeClassifierCV(ALPHAS, **kwargs).fit(X, y)
        assert_same(ours, theirs)
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def test_no_penalty_is_a_choice_with_folds(rng):
    X, Y, _ = numbers((60, 5), rng)
    ours = fastgd.RidgeCV([0.0, 1e6], cv=3).fit(X, Y)
    assert ours.alpha_ == 0.0
    np.testing.assert_allclose(ours.coef_, fastgd.LinearRegression().fit(X, Y).coef_, rtol=1e-8)


def test_folds_whose_rows_do_not_differ_predict_the_mean(rng):
    X, y = rng.normal(size=(3, 5)), rng.normal(size=3)
    given = {"alphas": ALPHAS, "cv": 2, "scoring": "neg_mean_squared_error"}  # one fold has one row
    model = fastgd.RidgeCV(**given).fit(X, y)
    peer = linear_model.RidgeCV(**given).fit(X, y)
    assert model.alpha_ == peer.alpha_
    assert model.best_score_ == pytest.approx(peer.best_score_)
    np.testing.assert_allclose(model.coef_, peer.coef_)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"alphas": (1.0, -1.0)}, ValueError, r"alphas\[1\] == -1.0, must be > 0.0"),
        ({"alphas": (0.0, 1.0)}, ValueError, r"alphas\[0\] == 0.0, must be > 0.0"),
        ({"alphas": (-1.0, 1.0), "cv": 3}, ValueError, r"alphas\[0\] == -1.0, must be >= 0.0"),
        ({"alphas": ("1", 1.0)}, TypeError, r"alphas\[0\] must be an instance of float"),
        ({"alphas": (np.inf,)}, ValueError, "must be finite"),
        ({"alphas": ()}, ValueError, "a number or a 1-d array"),
        ({"cv": 3, "store_cv_results": True}, ValueError, "are incompatible"),
        ({"cv": 3, "alpha_per_target": True}, ValueError, "are incompatible"),
        ({"gcv_mode": "lu"}, ValueError, "'gcv_mode' parameter of RidgeCV"),
    ],
    ids=str,
)
def test_bad_parameters_leave_the_model_as_it_was(kwargs, error, message, rng):
    X, Y, _ = numbers((30, 3), rng)
    model = fastgd.RidgeCV().fit(X, Y)
    before = pickle.dumps({k: v for k, v in vars(model).items() if k.endswith("_")})
    with pytest.raises(error, match=message):
        model.set_params(**kwargs).fit(X, Y)
    assert pickle.dumps({k: v for k, v in vars(model).items() if k.endswith("_")}) == before


def test_no_model_that_is_not_finite(rng):
    X, Y, weight = numbers((30, 3), rng)
    for kwargs in ({}, {"gcv_mode": "svd"}, {"cv": 3}):
        model = fastgd.RidgeCV(**kwargs)
        with pytest.raises(ValueError, match=r"too far apart"):
            model.fit(X * [1e307, 1.0, 1.0], Y)
        assert not hasattr(model, "coef_")
    with pytest.raises(ValueError, match="must not be negative"):
        fastgd.RidgeCV().fit(X, Y, -weight)


def test_a_model_that_is_not_known_to_be_right_is_reported(rng):
    X = rng.normal(size=(40, 3))
    X = np.c_[X, X[:, 0] + 1e-9 * rng.normal(size=40)] * [1.0, 1.0, 1.0, 1.0]
    model = fastgd.RidgeCV([1e-12])
    with warnings.catch_warnings(record=True) as reported:
        warnings.simplefilter("always")
        model.fit(X, X[:, 1] + 0.1 * rng.normal(size=40))
    assert bool(reported) == (model.gap_ > 1e-4 * model.objective_ + np.finfo(float).eps)


@pytest.mark.parametrize(("worth", "expected"), [(None, 1), (0, 2)])
def test_small_data_are_worked_on_by_one_thread_of_blas(worth, expected, rng, monkeypatch):
    if worth is not None:
        monkeypatch.setattr(_ridge_cv, "WORTH_THREADS", worth)
    seen = set()

    def score(truth, predicted):
        seen.update(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")
        return -np.mean((truth - predicted) ** 2)

    X, Y, _ = numbers((30, 3), rng)
    with threadpool_limits(2, "blas"):
        fastgd.RidgeCV(ALPHAS, scoring=make_scorer(score)).fit(X, Y)
    assert seen == {expected}


def test_the_strength_of_diabetes():
    X, y = load_diabetes(return_X_y=True)
    alphas = np.geomspace(1e-4, 1e2, 25)
    ours, theirs = fastgd.RidgeCV(alphas).fit(X, y), linear_model.RidgeCV(alphas).fit(X, y)
    assert_same(ours, theirs)
    assert_same(fastgd.to_sklearn(ours), theirs)


@parametrize_with_checks([fastgd.RidgeCV(), fastgd.RidgeClassifierCV()])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.full
@parametrize_with_checks([fastgd.RidgeCV(cv=3)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_own_checks_of_folds(estimator, check):
    check(estimator)


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("cv", [None, 3])
def test_of_dependent_columns_the_shortest_solution(layout, cv):
    """What no row sees is rounding divided by alpha: 60 times the coefficients that count."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(2000, 8))
    X[:, -1] = X[:, 0] + X[:, 1]
    y = X[:, 0] + rng.normal(size=2000)
    found = fastgd.RidgeCV(alphas=[1e-14], cv=cv).fit(layout(X), y)
    wanted = np.linalg.lstsq(X - X.mean(axis=0), y - y.mean())[0]
    np.testing.assert_allclose(found.coef_, wanted, rtol=1e-9)
    assert found.gap_ <= 1e-12 * found.objective_
