"""Paths, and what chooses along them, against scikit-learn at a small tolerance."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import ShuffleSplit
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastgd
from fastgd._solvers import _path_columns, _paths

EXACT = {"tol": 1e-9, "max_iter": 200_000}
NARROW, WIDE = (100, 6), (50, 90)
CASES = [
    ("LassoCV", {"alphas": 20}),
    ("LassoCV", {"alphas": 12, "fit_intercept": False}),
    ("LassoCV", {"alphas": 12, "positive": True, "eps": 0.02}),
    ("LassoCV", {"alphas": [1.0, 0.1, 0.03]}),
    ("ElasticNetCV", {"alphas": 8, "l1_ratio": [0.3, 0.9], "cv": 3}),
    (
        "ElasticNetCV",
        {"alphas": [1.0, 0.1], "l1_ratio": 0.5, "cv": ShuffleSplit(3, random_state=0)},
    ),
    ("MultiTaskLassoCV", {"alphas": 10, "cv": 3}),
    ("MultiTaskElasticNetCV", {"alphas": 8, "l1_ratio": 0.6, "cv": 3, "fit_intercept": False}),
    ("MultiTaskLasso", {"alpha": 0.1}),
    ("MultiTaskElasticNet", {"alpha": 0.2, "l1_ratio": 0.4}),
]


def data(shape, rng, name=""):
    """Return X, two targets or one, and weights."""
    n, d = shape
    X = rng.normal(size=shape) + 2.0
    W = np.zeros((d, 2))
    W[:4] = rng.normal(size=(4, 2))
    Y = X @ W + 0.5 * rng.normal(size=(n, 2)) + 1.0
    return X, Y if name.startswith("Multi") else Y[:, 0], rng.uniform(0.5, 2.0, n)


def assert_same(ours, theirs, rtol=1e-4):
    for name in vars(theirs):
        if name.endswith("_") and name not in ("n_iter_", "dual_gap_", "eps_"):
            mine, other = getattr(ours, name), getattr(theirs, name)
            assert np.shape(mine) == np.shape(other), name
            np.testing.assert_allclose(mine, other, rtol=rtol, atol=1e-4, err_msg=name)
    assert all(hasattr(ours, name) for name in vars(theirs) if name.endswith("_"))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [NARROW, WIDE], ids=str)
@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=str)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_it_chooses_as_scikit_learn_does(name, kwargs, shape, weighted, rng):
    X, y, weight = data(shape, rng, name)
    if weighted and name.startswith("Multi"):
        pytest.skip("which scikit-learn refuses for some")
    weight = {"sample_weight": weight} if weighted else {}
    theirs = getattr(linear_model, name)(**kwargs, **EXACT).fit(X, y, **weight)
    ours = getattr(fastgd, name)(**kwargs, **EXACT).fit(X, y, **weight)
    assert_same(ours, theirs)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-4, atol=1e-4)
    assert ours.gap_ == ours.dual_gap_ <= 1e-9 * ours.objective_ + 1e-15


@pytest.mark.parametrize(
    ("name", "kwargs"), [CASES[0], CASES[4], CASES[6], CASES[8]], ids=["l1", "net", "many", "one"]
)
@pytest.mark.parametrize("shape", [NARROW, WIDE], ids=str)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sparse_and_float32_rows_give_what_dense_ones_do(shape, name, kwargs, rng):
    X, y, _ = data(shape, rng, name)
    X[rng.random(shape) < 0.5] = 0.0
    kwargs = {**kwargs, "tol": 1e-8, "max_iter": 100_000}
    dense = getattr(fastgd, name)(**kwargs).fit(X, y)
    sparse = getattr(fastgd, name)(**kwargs).fit(sp.csr_array(X), y)
    assert_same(sparse, dense)
    short = getattr(fastgd, name)(**kwargs).fit(X.astype(np.float32), y)
    assert short.coef_.dtype == np.float32
    np.testing.assert_allclose(short.predict(X), dense.predict(X), rtol=1e-2, atol=1e-2)


def test_products_of_a_working_set_where_rows_and_columns_are_many(rng, monkeypatch):
    X, y, _ = data((220, 260), rng)
    by_columns = fastgd.LassoCV(alphas=10, cv=3, eps=0.02, tol=1e-8).fit(X, y)
    monkeypatch.setattr(_path_columns, "MOST_OF_ROWS", 0)
    by_residuals = fastgd.LassoCV(alphas=10, cv=3, eps=0.02, tol=1e-8).fit(X, y)
    assert_same(by_residuals, by_columns)
    monkeypatch.setattr(_paths, "FEW_ROWS", 100)
    by_products = fastgd.LassoCV(alphas=10, cv=3, eps=0.02, tol=1e-8).fit(X, y)
    assert_same(by_products, by_columns)


def test_folds_end_within_a_share_of_the_objective_without_columns(rng):
    X, y, _ = data(WIDE, rng)
    table = _paths.Table(X, y[:, None], [_paths.Fold(np.ones(50))], True)
    alphas = np.geomspace(1.0, 1e-3, 30) * np.abs(table.correlations).max()
    strengths = _paths.Strengths(alphas, 0.0 * alphas)
    loose = _paths.solve_paths(table, [0], strengths, 1e-3, 10_000, share_of_null=0.05)[0]
    strict = _paths.solve_paths(table, [0], strengths, 1e-10, 100_000)[0]
    floor = 1e-3 * 0.05 * 0.5 * np.var(y)
    assert loose.floor == pytest.approx(floor)
    assert np.all(loose.gap <= np.maximum(1e-3 * loose.objective, floor))
    assert np.any(loose.gap > 1e-3 * loose.objective)
    assert np.all(loose.objective - strict.objective <= loose.gap + 1e-12)
    assert loose.sweeps.sum() < strict.sweeps.sum()


def test_newtons_step_of_given_signs_drops_what_would_turn_round(rng):
    Z = rng.normal(size=(30, 8))
    Z[:, 4:] += 2.0 * Z[:, :4]
    matrix, along, start = Z.T @ Z / 30, rng.normal(size=8), rng.normal(size=8)
    found = _path_columns.with_these_signs(matrix, along, 0.2, start)
    signs = np.sign(start)
    assert np.all((found == 0.0) | (np.sign(found) == signs))
    slope = matrix @ found - along + 0.2 * signs
    np.testing.assert_allclose(slope[found != 0.0], 0.0, atol=1e-10)

    def value(w):
        return 0.5 * w @ matrix @ w - along @ w + 0.2 * np.abs(w).sum()

    assert 0 < np.count_nonzero(found) < 8
    assert value(found) < value(start)


def test_weights_are_repetitions(rng):
    X, y, _ = data(WIDE, rng)
    counts = rng.integers(1, 3, len(y))
    kwargs = {"alphas": [0.5, 0.1], "cv": [(np.arange(40), np.arange(40, 50))], "tol": 1e-10}
    weighted = fastgd.LassoCV(**kwargs).fit(X, y, sample_weight=counts)
    rows = np.repeat(np.arange(50), counts)
    n = counts[:40].sum()
    kwargs["cv"] = [(np.arange(n), np.arange(n, len(rows)))]
    assert_same(weighted, fastgd.LassoCV(**kwargs).fit(X[rows], y[rows]), rtol=1e-4)


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("shape", [NARROW, WIDE], ids=str)
@pytest.mark.parametrize("alphas", [7, [0.5, 0.05, 0.2]], ids=str)
def test_paths(alphas, shape, many, rng):
    X, y, _ = data(shape, rng, "Multi" if many else "")
    for path, theirs, kwargs in (
        (fastgd.lasso_path, linear_model.lasso_path, {}),
        (fastgd.enet_path, linear_model.enet_path, {"l1_ratio": 0.3}),
    ):
        wanted = theirs(X, y, alphas=alphas, return_n_iter=True, **kwargs, **EXACT)
        found = path(X, y, alphas=alphas, return_n_iter=True, **kwargs, **EXACT)
        assert len(found) == len(wanted) == 4
        np.testing.assert_allclose(found[0], wanted[0])
        np.testing.assert_allclose(found[1], wanted[1], atol=2e-4)
        assert found[2].shape == wanted[2].shape
        assert len(found[3]) == len(found[0])
        again = path(X, y, alphas=alphas, coef_init=found[1][..., -1], **kwargs, **EXACT)
        np.testing.assert_allclose(again[1], found[1], atol=2e-4)


def test_the_gap_of_each_fit_is_a_bound(rng):
    X, y, _ = data(WIDE, rng)
    alphas, coefs, gaps = fastgd.lasso_path(X, y, alphas=15, tol=1e-3)
    _, best, _ = fastgd.lasso_path(X, y, alphas=15, **EXACT)
    for alpha, coef, exact, gap in zip(alphas, coefs.T, best.T, gaps, strict=True):
        values = [0.5 * np.mean((y - X @ w) ** 2) + alpha * np.abs(w).sum() for w in (coef, exact)]
        assert values[0] - values[1] <= gap + 1e-12
        assert gap <= 1e-3 * values[0]


def test_targets_all_alike_are_no_reason_to_warn(rng):
    for n, d in (NARROW, WIDE):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = fastgd.LassoCV(alphas=[0.1, 0.01]).fit(rng.normal(size=(n, d)), np.full(n, 3.0))
        assert not model.coef_.any()
        assert model.intercept_ == pytest.approx(3.0, rel=1e-12)


def test_columns_far_from_zero(rng):
    X, y, _ = data(NARROW, rng)
    far = X + np.array([0.0, 1e9, 0.0, 1e7, 0.0, 0.0])
    wanted = fastgd.LassoCV(alphas=10).fit(X, y)
    for form in (far, sp.csr_array(far)):
        found = fastgd.LassoCV(alphas=10).fit(form, y)
        np.testing.assert_allclose(found.coef_, wanted.coef_, atol=1e-4)


def test_a_warm_start_begins_at_the_coefficients(rng):
    X, Y, _ = data(WIDE, rng, "Multi")
    model = fastgd.MultiTaskLasso(0.05, warm_start=True, tol=1e-6, max_iter=5000).fit(X, Y)
    first, passes = model.coef_.copy(), model.n_iter_
    model.fit(X, Y)
    assert model.n_iter_ <= passes
    np.testing.assert_allclose(model.coef_, first, atol=1e-3)
    model.fit(X[:, :30], Y)
    assert model.coef_.shape == (2, 30)


def test_sweeps_that_do_not_suffice_are_reported(rng):
    X, Y, _ = data(WIDE, rng, "Multi")
    for model, y in (
        (fastgd.MultiTaskLasso(1e-3, max_iter=1), Y),
        (fastgd.LassoCV(max_iter=1, tol=1e-10, positive=True), Y[:, 0]),
    ):
        with pytest.warns(
            ConvergenceWarning, match="did not converge in max_iter=1 sweeps"
        ) as reported:
            model.fit(X, y)
        assert {w.filename for w in reported} == {__file__}
        assert np.isfinite(model.gap_)
        assert model.n_iter_ == 1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("shape", [NARROW, WIDE])
@pytest.mark.parametrize("most", [1, 2, 13, 27])
def test_sweeps_are_never_more_than_max_iter(shape, most, rng):
    X, Y, _ = data(shape, rng, "Multi")
    model = fastgd.MultiTaskLasso(1e-6, max_iter=most, tol=1e-13).fit(X, Y)
    assert model.n_iter_ <= most
    sweeps = fastgd.enet_path(
        X, Y[:, 0], alphas=5, tol=1e-13, max_iter=most, return_n_iter=True, l1_ratio=0.5
    )[3]
    assert max(sweeps) <= most


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (fastgd.LassoCV(alphas=[-1.0]), ValueError, r"alphas\[0\] == -1.0, must be >= 0"),
        (fastgd.LassoCV(eps=0.0), ValueError, "'eps' parameter of LassoCV"),
        (fastgd.ElasticNetCV(l1_ratio=0.0), ValueError, "not supported for l1_ratio=0"),
        (fastgd.MultiTaskLasso(), ValueError, "For mono-task outputs, use Lasso"),
        (fastgd.MultiTaskElasticNetCV(), ValueError, "For mono-task outputs, use ElasticNetCV"),
        (fastgd.LassoCV(cv=[([0, 1], [])]), ValueError, "no row of positive weight to predict"),
    ],
    ids=str,
)
def test_what_is_wrong_is_refused_and_nothing_is_set(model, error, message, rng):
    X, y, _ = data(NARROW, rng)
    with pytest.raises(error, match=message):
        model.fit(X, y)
    assert not [name for name in vars(model) if name.endswith("_")]


def test_a_failed_fit_leaves_the_model_as_it_was(rng):
    X, y, weight = data(NARROW, rng)
    model = fastgd.LassoCV(alphas=5).fit(X, y)
    before = pickle.dumps(model)
    for X_bad, y_bad, s in (
        (X * np.where(np.arange(X.shape[1]) == 0, 1e300, 1.0), y, None),
        (X, np.c_[y, y], None),
        (X, y, -weight),
    ):
        with pytest.raises(ValueError, match=r"too far|infinity|multi-task|negative"):
            model.fit(X_bad, y_bad, sample_weight=s)
        assert pickle.dumps(model) == before


def test_paths_refuse_what_they_do_not_know(rng):
    X, Y, _ = data(NARROW, rng, "Multi")
    with pytest.raises(ValueError, match="Unexpected parameters"):
        fastgd.lasso_path(X, Y, tolerance=1e-3)
    with pytest.raises(ValueError, match="positive=True is not allowed for multi-output"):
        fastgd.lasso_path(X, Y, positive=True)
    with pytest.raises(ValueError, match="selection should be"):
        fastgd.lasso_path(X, Y, selection="greedy")
    with pytest.raises(ValueError, match=r"coef_init must be of shape \(2, 6\)"):
        fastgd.lasso_path(X, Y, coef_init=np.zeros(3))
    with pytest.warns(FutureWarning, match="'n_alphas' was deprecated"):
        assert len(fastgd.lasso_path(X, Y, n_alphas=4)[0]) == 4


def test_diabetes_is_chosen_at_the_default_tolerance_as_at_a_small_one():
    X, y = load_diabetes(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick = fastgd.LassoCV().fit(X, y)
        exact = fastgd.LassoCV(tol=1e-9).fit(X, y)
    np.testing.assert_allclose(quick.mse_path_, exact.mse_path_, rtol=1e-3)
    np.testing.assert_allclose(quick.alpha_, exact.alpha_)


@parametrize_with_checks(
    [
        fastgd.LassoCV(alphas=5, cv=3),
        fastgd.ElasticNetCV(alphas=5, cv=3),
        fastgd.MultiTaskLasso(),
        fastgd.MultiTaskElasticNet(),
        fastgd.MultiTaskLassoCV(alphas=5, cv=3),
        fastgd.MultiTaskElasticNetCV(alphas=5, cv=3),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)
