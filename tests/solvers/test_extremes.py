"""Numbers far from zero, from each other, and from what float64 can square."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.model_selection import cross_val_predict

import fastgd
from fastgd._data.validation import as_rows, classes_and_codes
from fastgd._solvers import _units
from fastgd._solvers._problem import pose, scaler_of
from fastgd._solvers._task import Task
from fastgd._solvers._units import units_of
from fastgd.kernels import losses
from tests.tables import over_product

LAYOUTS = {"dense": np.asarray, "csr": sp.csr_matrix, "csc": sp.csc_matrix}
layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def rows(n=200, d=3, noise=0.1):
    """Return X, and y of a linear model."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    return X, X @ np.linspace(0.5, -0.3, d) + noise * rng.normal(size=n)


# -- columns far from zero ------------------------------------------------------------------------

REGRESSORS = {
    "least squares": fastgd.LinearRegression(),
    "ridge": fastgd.Ridge(),
    "ridge by sdca": fastgd.Ridge(solver="sdca", tol=1e-12),
    "ridge by saga": fastgd.Ridge(solver="saga"),
    "lasso": fastgd.Lasso(0.01),
    "elastic net": fastgd.ElasticNet(0.01),
    "quantile": fastgd.QuantileRegressor(alpha=0.01),
    "poisson": fastgd.PoissonRegressor(alpha=1e-3),
}
CLASSIFIERS = {
    "logistic": fastgd.LogisticRegression(),
    "logistic by sdca": fastgd.LogisticRegression(solver="sdca", tol=1e-12),
    "logistic, l1": fastgd.LogisticRegression(l1_ratio=1.0),
    "softmax": fastgd.SoftmaxRegression(),
    "softmax by sdca": fastgd.SoftmaxRegression(solver="sdca", tol=1e-12),
}


def far_column(mean):
    """Return X with one column of a given mean and deviation 5, and one counted from zero."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=400)
    A = np.c_[mean + 5 * z, rng.random((400, 3)) < 0.3]
    near = np.c_[A[:, 0] - mean, A[:, 1:]]
    return A, near, 0.4 * z + A[:, 1] + 0.1 * rng.normal(size=400)


def answers(name, y):
    if name in CLASSIFIERS:
        return np.digitize(y, [0.0, 0.6] if "softmax" in name else [0.3])
    return np.exp(y) if name == "poisson" else y


@over_product(
    lambda name, mean: mean in (1.7e9, 1e13),  # noqa: ARG005
    name=REGRESSORS | CLASSIFIERS,
    mean=[1e6, 1.7e9, -1e11, 1e13],
)
def test_an_offset_of_a_column_changes_no_coefficient(name, mean):
    A, near, y = far_column(mean)
    model, y = (REGRESSORS | CLASSIFIERS)[name], answers(name, y)
    wanted = model.fit(near, y).coef_
    objective = model.objective_
    for layout in LAYOUTS.values():
        found = model.fit(layout(A), y)
        rtol = 1e-4 if "sdca" in name else 1e-6 if name in CLASSIFIERS else 1e-9
        np.testing.assert_allclose(found.coef_, wanted, rtol=rtol)
        np.testing.assert_allclose(found.objective_, objective, rtol=1e-9)


@quiet
def test_an_offset_changes_nothing_for_huber():
    A, near, y = far_column(1.7e9)
    wanted = fastgd.HuberRegressor().fit(near, y)
    for layout in LAYOUTS.values():
        found = fastgd.HuberRegressor().fit(layout(A), y)
        np.testing.assert_allclose(found.coef_, wanted.coef_, rtol=1e-6)
        np.testing.assert_allclose(found.scale_, wanted.scale_, rtol=1e-6)


def test_the_example_of_unix_seconds_within_a_minute():
    A, _, y = far_column(1.7e9)
    dense = fastgd.LinearRegression().fit(A, y)
    sparse = fastgd.LinearRegression().fit(sp.csr_matrix(A), y)
    assert dense.score(A, y) > 0.97
    assert sparse.score(sp.csr_matrix(A), y) > 0.97
    np.testing.assert_allclose(dense.coef_, sparse.coef_, rtol=1e-12)


@layouts
def test_an_offset_with_zero_entries_in_rows_without_weight(layout):
    """Implicit zeros in rows that do not count, so that a column is far from zero but not full."""
    A, near, y = far_column(1.7e9)
    weight = np.ones(len(y))
    A[::7, 0], weight[::7] = 0.0, 0.0
    kept = weight > 0
    wanted = fastgd.LogisticRegression().fit(near[kept], y[kept] > 0.3).coef_
    found = fastgd.LogisticRegression().fit(layout(A), y > 0.3, sample_weight=weight).coef_
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_units_keep_sparse_rows_sparse_and_types():
    A, _, y = far_column(1.7e9)
    A[::7, 0] = 0.0
    X = sp.csr_matrix(A)
    weight = np.where(A[:, 0] == 0.0, 1e-15, 1.0)
    units = units_of(Task(as_rows(X), y, weight, losses.SquaredError(), 0.0, 0.0, 4))
    moved = units.task.rows
    assert units.origin[0] == pytest.approx(1.7e9)
    assert not np.any(units.origin[1:])
    for ours, theirs in zip(moved, as_rows(X), strict=True):
        assert ours.dtype == theirs.dtype
        assert not ours.flags.writeable
    shifted = sp.csr_matrix(tuple(moved), shape=A.shape).toarray()
    np.testing.assert_array_equal(shifted, A - units.origin)
    np.testing.assert_array_equal(X.toarray(), A)  # the user's are as they were


@pytest.mark.parametrize("is_weighted", [False, True])
def test_rare_values_are_looked_for_before_all_rows_are_read(rng, monkeypatch, is_weighted):
    """What no column far from zero can show in some rows spares it the moments of all rows."""
    X = np.full((4096, 40), -0.5)
    X[rng.integers(0, 4096, 4000), rng.integers(0, 36, 4000)] = 30.0
    X[:, 36:] = 1e7 + rng.normal(size=(4096, 4))
    X[5, 39] = 0.0  # far, and then near by one row
    weight = rng.random(4096) if is_weighted else np.ones(4096)
    weight /= weight.sum()
    monkeypatch.setattr(_units, "MORE_ENTRIES", 1)
    columns, center = np.arange(40), X[:256].mean(axis=0)
    kept = _units._still_perhaps_far(as_rows(X), weight, columns, center, 1e3)
    mean = weight @ X
    is_far = np.abs(mean) > 1e3 * np.sqrt(weight @ (X - mean) ** 2)
    assert set(np.flatnonzero(is_far)) <= set(kept)
    assert is_far.sum() == 3
    assert len(kept) < 10


def test_rows_that_hardly_count_do_not_say_that_a_column_is_near_zero(monkeypatch):
    X = np.full((4096, 1), 2.0**20)
    X[1::2] += 1.0
    weight = np.full(4096, 1.0 / 4096)
    X[::16], weight[::16] = 0.0, 2.0**-100
    monkeypatch.setattr(_units, "MORE_ENTRIES", 1)
    center = np.array([2.0**20])
    kept = _units._still_perhaps_far(as_rows(X), weight, np.arange(1), center, 1e3)
    assert kept.tolist() == [0]


@layouts
def test_far_targets_count_as_near_ones(layout):
    X, y = rows()
    for model in (fastgd.Ridge(), fastgd.Lasso(0.01), fastgd.QuantileRegressor(alpha=0.0)):
        wanted = model.fit(layout(X), y).coef_
        np.testing.assert_allclose(model.fit(layout(X), y + 1e8).coef_, wanted, rtol=1e-6)


@over_product(
    lambda layout, dtype: dtype is np.float64 or layout is LAYOUTS["dense"],
    layout=LAYOUTS.values(),
    dtype=[np.float64, np.float32],
)
def test_constant_columns_are_constant_whatever_they_hold(layout, dtype):
    X, y = rows()
    spoiled = np.c_[X, np.full(200, 1e9), np.zeros(200), np.full(200, 0.1 + 0.2)].astype(dtype)
    found = fastgd.LinearRegression().fit(layout(spoiled), y)
    wanted = fastgd.LinearRegression().fit(X.astype(dtype), y)
    np.testing.assert_allclose(found.coef_[:3], wanted.coef_, rtol=1e-5)
    np.testing.assert_array_equal(found.coef_[3:], 0.0)


def test_sparse_constant_columns_are_constant_whatever_rounding_leaves_of_their_moments():
    """Sums about zero may say no deviation or one of 1e-8 of the mean: both are looked at again."""
    for n in [*range(60, 900, 3), 300_001]:
        column = as_rows(sp.csr_matrix(np.full((n, 1), 3.0)))
        scaler, _ = scaler_of(column, np.full(n, 1.0 / n), 1, True)
        assert scaler.inverse_std[0] == 0.0, n


# -- magnitudes -----------------------------------------------------------------------------------

FREE = {
    "least squares": fastgd.LinearRegression(),
    "logistic": fastgd.LogisticRegression(C=np.inf),
    "poisson": fastgd.PoissonRegressor(alpha=0.0),
    "quantile": fastgd.QuantileRegressor(alpha=0.0),
}


@layouts
@pytest.mark.parametrize("factor", [1e-250, 1e-160, 1e160, 1e299])
@pytest.mark.parametrize("name", FREE)
@quiet
def test_columns_of_any_magnitude(name, factor, layout):
    X, y = rows()
    y = {"logistic": y > 0, "poisson": np.exp(y)}.get(name, y)
    wanted = FREE[name].fit(X, y).coef_
    found = FREE[name].fit(layout(X * factor), y).coef_ * factor
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_one_extreme_column_beside_plain_ones():
    X, y = rows()
    scales = np.array([1e-200, 1.0, 1e200])
    wanted = fastgd.LinearRegression().fit(X, y).coef_
    for layout in LAYOUTS.values():
        found = fastgd.LinearRegression().fit(layout(X * scales), y).coef_ * scales
        np.testing.assert_allclose(found, wanted, rtol=1e-10)


@pytest.mark.parametrize("name", ["logistic", "least squares", "poisson", "quantile"])
@layouts
def test_columns_too_large_to_add_up_are_refused_by_name(layout, name):
    X, y = rows()
    X[3, 1] = 1e306
    y = {"logistic": y > 0, "poisson": np.exp(y)}.get(name, y)
    model = FREE[name].__class__()
    with pytest.raises(ValueError, match=r"X holds numbers too large .* column 1 reaches .*e\+30"):
        model.fit(layout(X), y)
    assert not hasattr(model, "coef_")


def test_one_entry_of_1e300_is_a_column_like_others():
    X, y = rows()
    X = np.where(np.abs(X) > 1.0, X, 0.0)
    X[3, 1] = 1e300
    dense = fastgd.Ridge().fit(X, y)
    sparse = fastgd.Ridge().fit(sp.csr_matrix(X), y)
    assert np.isfinite(dense.coef_).all()
    np.testing.assert_allclose(sparse.coef_, dense.coef_, rtol=1e-10)


@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce:RuntimeWarning")
def test_float32_columns_near_its_largest():
    X, y = rows()
    large = (X / np.abs(X).max() * 3.3e38).astype(np.float32)
    found = fastgd.LinearRegression().fit(large, y)
    assert found.score(large, y) > 0.9
    np.testing.assert_allclose(
        found.predict(large), fastgd.LinearRegression().fit(X, y).predict(X), rtol=1e-4, atol=1e-4
    )


SQUARES = {
    "least squares": (fastgd.LinearRegression(), 0),
    "ridge": (fastgd.Ridge(), 0),
    "lasso": (fastgd.Lasso(0.01), 1),
    "elastic net by sdca": (fastgd.ElasticNet(0.01, solver="sdca", tol=1e-12, l1_ratio=0), 0),
    "quantile": (fastgd.QuantileRegressor(alpha=0.0), 0),
    "tweedie": (fastgd.TweedieRegressor(power=0, alpha=0.1), 0),
}


@pytest.mark.parametrize("factor", [1e-300, 1e-170, 1e160, 1e300])
@pytest.mark.parametrize("name", SQUARES)
@quiet
def test_targets_of_any_magnitude(name, factor):
    """Squared errors are homogeneous: only l1 has the units of y."""
    X, y = rows()
    model, units = SQUARES[name]
    wanted = model.fit(X, y).coef_
    model = model.__class__(**{**model.get_params(), **({"alpha": 0.01 * factor} if units else {})})
    for layout in LAYOUTS.values():
        np.testing.assert_allclose(model.fit(layout(X), y * factor).coef_ / factor, wanted, 1e-6)


CHOSEN = {
    "LassoCV": fastgd.LassoCV(alphas=8),
    "ElasticNetCV": fastgd.ElasticNetCV(alphas=8, l1_ratio=1.0),
    "MultiTaskLassoCV": fastgd.MultiTaskLassoCV(alphas=8),
    "RidgeCV": fastgd.RidgeCV(alphas=[0.1, 1.0]),
    "RidgeCV by folds": fastgd.RidgeCV(alphas=[0.1, 1.0], cv=3),
    "RidgeClassifierCV": fastgd.RidgeClassifierCV(alphas=[0.1, 1.0]),
}
FACTORS = [1e-300, 1e-160, 1e-18, 1e18, 1e160, 1e300]


def chosen_data(name):
    X, y = rows()
    Y = {"MultiTaskLassoCV": np.c_[y, X[:, 0] - y], "RidgeClassifierCV": np.sign(y)}.get(name, y)
    return X, Y


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("name", CHOSEN)
@layouts
def test_strengths_are_chosen_among_columns_of_any_magnitude(layout, name, factor):
    X, y = chosen_data(name)
    if "Ridge" in name:
        if factor < 1e-18:  # the penalty leaves next to nothing
            return
        plain = type(CHOSEN[name])(**{**CHOSEN[name].get_params(), "alphas": [1e-30]}).fit(X, y)
        factor = max(factor, 1e18)
    else:
        plain = CHOSEN[name].fit(X, y)
    found = clone(CHOSEN[name]).fit(layout(X * factor), y)
    np.testing.assert_allclose(found.coef_ * factor, plain.coef_, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found.predict(layout(X * factor)), plain.predict(X), atol=1e-4)
    assert found.gap_ <= 1e-3 * found.objective_


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("name", ["LassoCV", "ElasticNetCV", "MultiTaskLassoCV", "RidgeCV"])
def test_strengths_are_chosen_for_targets_of_any_magnitude(name, factor):
    X, y = chosen_data(name)
    plain, found = (clone(CHOSEN[name]).fit(X, y * f) for f in (1.0, factor))
    np.testing.assert_allclose(found.coef_ / factor, plain.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.intercept_ / factor, plain.intercept_, atol=1e-9)


@pytest.mark.parametrize("factor", [1e-300, 1e-160])
@pytest.mark.parametrize("cv", [None, 3])
@pytest.mark.parametrize("alphas", [[1e-290], [1.0, 1e3]])
@layouts
def test_what_a_strong_penalty_leaves_is_what_scikit_learn_finds(layout, alphas, cv, factor):
    X, y = rows()
    found = fastgd.RidgeCV(alphas=alphas, cv=cv).fit(layout(X * factor), y)
    theirs = linear_model.RidgeCV(alphas=alphas, cv=cv).fit(X * factor, y)
    assert found.alpha_ == theirs.alpha_
    np.testing.assert_allclose(found.coef_, theirs.coef_, rtol=1e-9)
    if factor == 1e-160:
        found.fit(fastgd.datasets.open((layout(X * factor), y), chunk_rows=70))
        np.testing.assert_allclose(found.coef_, theirs.coef_, rtol=1e-9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("factor", [1e-160, 1e160])
@layouts
def test_strengths_are_in_the_users_units(layout, factor):
    X, y = rows()
    Y = np.c_[y, -y]
    plain = fastgd.MultiTaskElasticNet(alpha=0.05, l1_ratio=1.0).fit(X, Y)
    found = fastgd.MultiTaskElasticNet(alpha=0.05 * factor, l1_ratio=1.0).fit(layout(X * factor), Y)
    np.testing.assert_allclose(found.coef_ * factor, plain.coef_, rtol=1e-9)
    np.testing.assert_allclose(found.objective_, plain.objective_, rtol=1e-9)
    alphas, coefs, gaps = fastgd.enet_path(layout(X * factor), y, l1_ratio=1.0, alphas=5)
    own_alphas, own_coefs, _ = fastgd.enet_path(X, y, l1_ratio=1.0, alphas=5)
    np.testing.assert_allclose(alphas, own_alphas * factor, rtol=1e-9)
    np.testing.assert_allclose(coefs * factor, own_coefs, rtol=1e-6, atol=1e-9)
    assert np.all(gaps < 1e-3)
    start = fastgd.enet_path(
        layout(X * factor), y, l1_ratio=1.0, alphas=[alphas[-1]], coef_init=coefs[:, -1]
    )
    np.testing.assert_allclose(start[1][:, 0], coefs[:, -1], rtol=1e-6)


def test_columns_too_far_apart_for_one_strength_are_refused():
    X, y = rows()
    X[:, 1] *= 1e160
    with pytest.raises(ValueError, match=r"column 1 reaches .*e.160, column [02] "):
        fastgd.LassoCV(alphas=3).fit(X, y)


def test_a_constant_target_has_the_grid_that_scikit_learn_has():
    X, y = rows()
    y[:] = 0.1
    found, theirs = (kind(alphas=3).fit(X, y) for kind in (fastgd.LassoCV, linear_model.LassoCV))
    assert np.array_equal(found.alphas_, theirs.alphas_)
    assert not found.coef_.any()


def test_parameters_beyond_float32_are_kept_in_float64():
    X, y = rows()
    found = fastgd.Ridge().fit(X.astype(np.float32), y * 1e40)
    assert found.coef_.dtype == np.float64
    np.testing.assert_allclose(found.coef_ / 1e40, fastgd.Ridge().fit(X, y).coef_, rtol=1e-5)
    assert fastgd.Ridge().fit(X.astype(np.float32), y).coef_.dtype == np.float32


OF_DEPENDENT_COLUMNS = {
    "least squares": fastgd.LinearRegression(),
    "ridge": fastgd.Ridge(alpha=1e-12),
    "ridge classifier": fastgd.RidgeClassifier(alpha=1e-12),
    "huber": fastgd.HuberRegressor(alpha=0.0),
    "quantile": fastgd.QuantileRegressor(alpha=0.0),
    "poisson": fastgd.PoissonRegressor(alpha=0.0),
    "logistic": fastgd.LogisticRegression(C=np.inf),
    "softmax": fastgd.SoftmaxRegression(C=1e15),
    "svc": fastgd.LinearSVC(C=1e12),
    "svc, all classes together": fastgd.LinearSVC(C=1e12, multi_class="crammer_singer"),
}


@over_product(
    lambda name, fit_intercept: name in ("ridge", "huber", "svc") and fit_intercept,
    name=OF_DEPENDENT_COLUMNS,
    fit_intercept=[True, False],
)
def test_a_model_that_float32_would_spoil_is_kept_in_float64(name, fit_intercept):
    """Columns that depend on each other but for their last digits have large coefficients."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, 12))
    X[:, -1] = X[:, 0] + X[:, 1]
    X, y = X.astype(np.float32), X[:, 0] + rng.normal(size=60)
    if name == "poisson":
        y = np.exp(0.5 * y)
    elif "soft" in name or "all" in name or "classifier" in name:
        y = np.digitize(y, [-0.5, 0.5])
    elif name in ("logistic", "svc"):
        y = (y > 0.0).astype(int)
    model = clone(OF_DEPENDENT_COLUMNS[name]).set_params(fit_intercept=fit_intercept)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.fit(X, y)
    wanted = clone(model).fit(X.astype(np.float64), y)
    assert np.abs(found.coef_).max() > 1e4
    assert found.coef_.dtype == np.float64
    assert np.ravel(found.intercept_).dtype == np.float64
    within = np.asarray(wanted.objective_) * (1.0 + model.tol)
    assert np.all(np.asarray(found.objective_) <= within)
    plain = clone(model).fit(X[:, :-1], y)
    assert plain.coef_.dtype == np.float32


def test_a_model_that_is_not_finite_is_never_returned(monkeypatch):
    X, y = rows()
    model = fastgd.Ridge().fit(X, y)
    before = model.coef_.copy()
    ours = type(model)._take

    def spoiled(self, found, dtype, *, many):
        ours(self, found, dtype, many=many)
        self.coef_[0] = np.nan

    monkeypatch.setattr(type(model), "_take", spoiled)
    with pytest.raises(ValueError, match="Ridge found no finite coef_"):
        model.fit(X, y)
    np.testing.assert_array_equal(model.coef_, before)


@pytest.mark.parametrize("weight", [1e308, 1e-320])
@pytest.mark.parametrize("name", FREE)
def test_weights_that_do_not_add_up_are_refused(name, weight):
    X, y = rows()
    y = {"logistic": y > 0, "poisson": np.exp(y)}.get(name, y)
    with pytest.raises(ValueError, match="sample_weight must add up to a number from 1e-300 to"):
        FREE[name].__class__().fit(X, y, sample_weight=np.full(200, weight))


@pytest.mark.parametrize("weight", [1e-290, 1e290])
@pytest.mark.parametrize("name", FREE)
@quiet
def test_a_common_factor_of_the_weights_is_nothing(name, weight):
    X, y = rows()
    y = {"logistic": y > 0, "poisson": np.exp(y)}.get(name, y)
    wanted = FREE[name].fit(X, y).coef_
    found = FREE[name].fit(X, y, sample_weight=np.full(200, weight)).coef_
    np.testing.assert_allclose(found, wanted, rtol=1e-8)


@pytest.mark.parametrize("make", [fastgd.LogisticRegression, fastgd.LinearSVC, fastgd.LinearSVR])
def test_a_C_that_cannot_be_divided_by_is_refused(make):
    X, y = rows()
    y = y if make is fastgd.LinearSVR else y > 0
    with pytest.raises(ValueError, match="C=1e-200 times the sum of the weights"):
        make(C=1e-200).fit(X, y, sample_weight=np.full(200, 1e-200))


# -- log links ------------------------------------------------------------------------------------

GLMS = {
    "poisson": (fastgd.PoissonRegressor, {}),
    "gamma": (fastgd.GammaRegressor, {}),
    "tweedie 1.5": (fastgd.TweedieRegressor, {"power": 1.5}),
    "tweedie 3": (fastgd.TweedieRegressor, {"power": 3}),
    "normal": (fastgd.TweedieRegressor, {"power": 0, "link": "log"}),
}


@pytest.mark.parametrize("factor", [1e-200, 1e-27, 1e27, 1e30, 1e200])
@over_product(
    lambda name, dtype, layout: (
        dtype is np.float64 and (name == "poisson" or layout is LAYOUTS["dense"])
    ),
    name=GLMS,
    dtype=[np.float64, np.float32],
    layout=LAYOUTS.values(),
)
def test_means_may_have_any_magnitude(name, factor, dtype, layout):
    X, y = rows()
    make, kwargs = GLMS[name]
    X, y = X.astype(dtype), np.exp(y)
    near = make(alpha=0.0, **kwargs).fit(layout(X), y)
    far = make(alpha=0.0, **kwargs).fit(layout(X), y * factor)
    np.testing.assert_allclose(far.coef_, near.coef_, rtol=1e-6)
    np.testing.assert_allclose(far.intercept_, near.intercept_ + np.log(factor), rtol=1e-6)
    np.testing.assert_allclose(far.score(layout(X), y * factor), near.score(layout(X), y), 1e-3)
    assert np.isfinite(far.predict(layout(X))).all()
    assert far.objective_ >= 0.0


@pytest.mark.parametrize("name", ["poisson", "gamma"])
def test_the_penalty_of_a_scaled_mean_is_scikit_learns(name):
    X, y = rows()
    y = np.exp(y) * 1e3
    make = {"poisson": linear_model.PoissonRegressor, "gamma": linear_model.GammaRegressor}[name]
    alpha = 1e3 if name == "poisson" else 1.0
    theirs = make(alpha=alpha, tol=1e-6, max_iter=10_000).fit(X, y)
    ours = GLMS[name][0](alpha=alpha).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-4)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-6)


@pytest.mark.parametrize("name", ["poisson", "gamma"])
@pytest.mark.parametrize("factor", [1e-27, 1e27])
@quiet
def test_without_an_intercept_the_mean_is_found_by_a_column(name, factor):
    X, y = rows()
    own = np.c_[X, np.ones(len(y))]
    kwargs = {"alpha": 0.0, "fit_intercept": False}
    near = GLMS[name][0](**kwargs).fit(own, np.exp(y))
    far = GLMS[name][0](**kwargs).fit(own, np.exp(y) * factor)
    np.testing.assert_allclose(far.coef_[:3], near.coef_[:3], rtol=1e-5)


def test_targets_of_very_different_magnitudes_in_one_data_set():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(300, 1))
    y = np.exp(150.0 * X[:, 0] + 0.1 * rng.normal(size=300))
    found = fastgd.GammaRegressor(alpha=0.0, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(found.coef_, 150.0, rtol=1e-3)


@pytest.mark.parametrize("name", GLMS)
def test_deviances_of_zero_are_not_negative(name):
    X, y = rows(noise=0.0)
    make, kwargs = GLMS[name]
    for targets in (np.exp(y), np.full(200, 3.7)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = make(alpha=0.0, max_iter=50, **kwargs).fit(X, targets)
        assert 0.0 <= model.objective_ < 1e-12
        np.testing.assert_allclose(model.predict(X), targets, rtol=1e-6)


def test_glms_accept_a_tol_of_zero():
    X, y = rows()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = fastgd.GammaRegressor(tol=0, max_iter=50).fit(X, np.exp(y))
    wanted = linear_model.GammaRegressor(tol=1e-12, solver="newton-cholesky").fit(X, np.exp(y))
    np.testing.assert_allclose(found.coef_, wanted.coef_, rtol=1e-8)


def test_the_rounding_of_an_objective_is_bounded():
    """The bound holds for sums in another order, and is no excuse for more than rounding."""
    rng = np.random.default_rng(0)
    X, y = rows()
    for loss, targets in ((losses.Poisson(), np.exp(y)), (losses.SquaredError(), y + 1e3)):
        task = Task(as_rows(X), targets, None, loss, 0.0, 0.0, 3)
        order = rng.permutation(200)
        other = Task(as_rows(X[order]), targets[order], None, loss, 0.0, 0.0, 3)
        problem = pose(task)
        level = np.log(np.mean(targets)) if problem.least else np.mean(targets)
        u = np.r_[0.1, -0.1, 0.2, level]
        from fastgd._solvers._problem import evaluate

        first, second = evaluate(problem, u).objective, evaluate(pose(other), u).objective
        bound = problem.rounding(first)
        assert abs(first - second) <= bound < 1e-10


# -- columns that depend on each other ------------------------------------------------------------


def dependent(n, d, rank, seed=0):
    rng = np.random.default_rng(seed)
    scales = np.exp(rng.normal(size=d))
    return rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d)) * scales + rng.normal(size=d)


SHAPES = {
    "wide": (30, 100, 30),
    "dependent": (100, 12, 7),
    "both": (40, 60, 20),
    "wide, larger": (300, 500, 300),
    "dependent, larger": (5000, 40, 25),
}


@layouts
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_of_many_solutions_the_shortest_is_taken(shape, fit_intercept, layout):
    rng = np.random.default_rng(1)
    X, y = dependent(*shape), rng.normal(size=(shape[0], 2))
    weight = rng.random(shape[0]) + 0.5
    root = np.sqrt(weight / weight.sum())[:, None]
    mean, level = (weight @ X, weight @ y) if fit_intercept else (0.0 * X[0], 0.0 * y[0])
    mean, level = mean / weight.sum(), level / weight.sum()
    wanted = np.linalg.lstsq(root * (X - mean), root * (y - level), rcond=1e-10)[0].T
    for model in (fastgd.LinearRegression, lambda **kwargs: fastgd.Ridge(0.0, **kwargs)):
        found = model(fit_intercept=fit_intercept).fit(layout(X), y, sample_weight=weight)
        error = np.linalg.norm(found.coef_ - wanted) / np.linalg.norm(wanted)
        assert error < 1e-7
        np.testing.assert_allclose(found.intercept_ * np.ones(2), level - wanted @ mean, atol=1e-7)


@layouts
@pytest.mark.parametrize("alpha", [1e-16, 1e-8, 1.0])
def test_a_vanishing_penalty_is_the_limit(alpha, layout):
    rng = np.random.default_rng(1)
    X, y = dependent(30, 100, 30), rng.normal(size=30)
    found = fastgd.Ridge(alpha).fit(layout(X), y)
    A, t = X - X.mean(axis=0), y - y.mean()
    left, s, right = np.linalg.svd(A, full_matrices=False)
    s, left, right = s[:-1], left[:, :-1], right[:-1]
    wanted = right.T @ (s / (s**2 + alpha) * (left.T @ t))
    np.testing.assert_allclose(found.coef_, wanted, rtol=1e-9, atol=1e-12)


def test_columns_of_any_scale_and_dependence_fit_as_well_as_they_can():
    """Dependence is judged where columns are of one scale: a small one is no dependent one."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 6)), rng.normal(size=50)
    X[:, 5] = X[:, 0] + X[:, 1]
    wanted = fastgd.LinearRegression().fit(X[:, :5], y)
    scales = np.array([1e9, 1e-12, 1.0, 1e-21, 1e5, 1.0])
    found = fastgd.LinearRegression().fit(X * scales, y)
    np.testing.assert_allclose(found.objective_, wanted.objective_, rtol=1e-12)
    predicted = found.predict(X * scales)
    np.testing.assert_allclose(predicted, wanted.predict(X[:, :5]), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("make", ["Lasso", "ElasticNet"])
@pytest.mark.parametrize("alpha", [1e-3, 0.05, 0.3])
@layouts
def test_chosen_columns_have_exact_coefficients(layout, alpha, make, positive):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 8)), rng.normal(size=40)
    kwargs = {"alpha": alpha, "positive": positive}
    theirs = getattr(linear_model, make)(tol=1e-15, max_iter=1_000_000, **kwargs).fit(X, y)
    ours = getattr(fastgd, make)(**kwargs).fit(layout(X), y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(ours.coef_ == 0.0, theirs.coef_ == 0.0)


# -- what y may look like -------------------------------------------------------------------------

SHAPED = [
    "LinearRegression",
    "Ridge",
    "Lasso",
    "ElasticNet",
    "HuberRegressor",
    "QuantileRegressor",
    "PoissonRegressor",
    "GammaRegressor",
    "TweedieRegressor",
    "SGDRegressor",
]


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("name", SHAPED)
@quiet
def test_a_column_of_targets_is_what_it_is_in_scikit_learn(name, fit_intercept):
    X, y = rows(30)
    y = np.exp(y)[:, None]
    shapes, reported = [], []
    for module in (linear_model, fastgd):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = getattr(module, name)(fit_intercept=fit_intercept).fit(X, y)
        parts = (model.coef_, model.intercept_, model.predict(X))
        shapes.append([np.shape(part) for part in parts])
        reported.append(DataConversionWarning in {item.category for item in caught})
    assert shapes[0] == shapes[1]
    assert reported[0] == reported[1]


def test_a_warm_start_from_a_column_of_targets():
    X, y = rows(30)
    model = fastgd.Lasso(0.01, warm_start=True).fit(X, y[:, None])
    np.testing.assert_allclose(model.fit(X, y[:, None]).coef_, model.fit(X, y).coef_, rtol=1e-12)


LABELS = {
    "uint64": np.array([2**63, 2**64 - 1], np.uint64),
    "uint64 neighbours": np.array([2**63, 2**63 + 5], np.uint64),
    "int64": np.array([-(2**63), 2**63 - 1]),
    "int8": np.array([-128, 127], np.int8),
    "uint8": np.array([0, 255], np.uint8),
    "bool": np.array([False, True]),
    "strings": np.array(["no", "yes"]),
    "objects": np.array(["no", "yes"], object),
    "whole floats": np.array([-1.0, 1e15]),
}


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize(
    "make",
    [
        fastgd.LogisticRegression,
        fastgd.SoftmaxRegression,
        fastgd.LinearSVC,
        lambda: fastgd.SGDClassifier(random_state=0),
    ],
)
@quiet
def test_labels_come_back_as_they_were(make, name):
    X, y = rows()
    y = LABELS[name][(y > 0).astype(int)]
    model = make().fit(X, y)
    np.testing.assert_array_equal(model.classes_, LABELS[name])
    assert model.classes_.dtype == LABELS[name].dtype
    assert np.mean(model.predict(X) == y) > 0.9


@pytest.mark.parametrize("name", LABELS)
def test_codes_of_labels(name):
    places = np.array([0, 1, 1, 0, 1])
    classes, codes = classes_and_codes(LABELS[name][places])
    np.testing.assert_array_equal(classes, LABELS[name])
    np.testing.assert_array_equal(codes, places)


def test_labels_with_a_fraction_are_refused():
    X, y = rows()
    for make in (fastgd.LogisticRegression, fastgd.LinearSVC, fastgd.SGDClassifier):
        with pytest.raises(ValueError, match="Unknown label type: continuous"):
            make().fit(X, np.where(y > 0, 0.5, 1.5))


# -- neighbours -----------------------------------------------------------------------------------


@layouts
def test_one_row(layout):
    X = np.array([[1.0, 0.0, 2.0]])
    for model in (fastgd.LinearRegression(), fastgd.Ridge(), fastgd.Lasso(0.1)):
        found = model.fit(layout(X), [3.0])
        np.testing.assert_array_equal(found.coef_, 0.0)
        np.testing.assert_allclose(found.intercept_, 3.0, rtol=1e-15)


@layouts
def test_weights_that_leave_one_row(layout):
    X, y = rows()
    weight = np.zeros(200)
    weight[7] = 2.0
    for model in (fastgd.LinearRegression(), fastgd.Ridge(), fastgd.Lasso(0.1)):
        found = model.fit(layout(X), y, sample_weight=weight)
        np.testing.assert_array_equal(found.coef_, 0.0)
        np.testing.assert_allclose(found.intercept_, y[7], rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.int64, np.int8, bool, np.float16, np.longdouble, np.uint64])
def test_other_numbers_are_read_as_they_are(dtype):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, size=(100, 3))
    y = X @ [1.0, -2.0, 3.0]
    found = fastgd.LinearRegression().fit(X.astype(dtype), y)
    np.testing.assert_allclose(found.coef_, [1.0, -2.0, 3.0], rtol=1e-6)


def test_complex_numbers_are_refused():
    X, y = rows()
    with pytest.raises(ValueError, match="Complex data not supported"):
        fastgd.LinearRegression().fit(X + 1j, y)


@pytest.mark.parametrize("make", [fastgd.LinearRegression, fastgd.Ridge, fastgd.LogisticRegression])
@quiet
def test_indices_of_64_bits(make):
    X, y = rows()
    y = y if make is not fastgd.LogisticRegression else y > 0
    X = sp.csr_matrix(np.where(np.abs(X) > 0.5, X, 0.0))
    wide = sp.csr_matrix((X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), X.shape)
    np.testing.assert_array_equal(make().fit(wide, y).coef_, make().fit(X, y).coef_)


@layouts
def test_scalers_of_columns_with_few_entries(layout):
    """One non-zero, all zeros, huge and tiny: means and deviations as numpy has them."""
    X = np.zeros((50, 4))
    X[3, 0], X[:, 2], X[:, 3] = 5.0, np.linspace(-1e200, 1e200, 50), np.linspace(1e-200, 3e-200, 50)
    scaler, peak = scaler_of(as_rows(sp.csr_matrix(layout(X))), np.full(50, 0.02), 4, True)
    np.testing.assert_allclose(scaler.center, [0.1, 0.0, 0.0, 2e-200], rtol=1e-12, atol=1e186)
    std = [np.std(X[:, 0]), np.std(X[:, 2] / 1e200) * 1e200, np.std(X[:, 3] * 1e200) / 1e200]
    np.testing.assert_allclose(1.0 / scaler.inverse_std[[0, 2, 3]], std, rtol=1e-10)
    assert scaler.inverse_std[1] == 0.0
    assert np.isfinite(peak).all()


@pytest.mark.parametrize("centered", [True, False])
def test_the_largest_standardised_entries_do_not_depend_on_the_layout(rng, centered):
    """Dummies, a column without a zero, one without an entry, negative and far ones."""
    X = (rng.random((400, 6)) < [0.01, 0.5, 0.95, 1.0, 0.0, 0.3]) * 1.0
    X[:, 3], X[:, 5] = rng.normal(2000.0, 5.0, size=400), -X[:, 5] * rng.exponential(size=400)
    weight = rng.random(400) * (rng.random(400) < 0.8)
    weight /= weight.sum()
    mean = weight @ X if centered else np.zeros(6)
    std = np.sqrt(weight @ (X - mean) ** 2)
    wanted = np.abs(X - mean).max(axis=0) * np.where(std > 0.0, 1.0 / np.where(std, std, 1.0), 0.0)
    for rows in (X, sp.csr_matrix(X), X.astype(np.float32)):
        _, peak = scaler_of(as_rows(rows), weight, 6, centered)
        np.testing.assert_allclose(peak, wanted, rtol=1e-4 if rows.dtype == np.float32 else 1e-9)


def test_predictions_across_folds_have_the_shape_of_targets():
    X, y = rows(60)
    assert cross_val_predict(fastgd.Ridge(), X, y[:, None]).shape == (60,)


@pytest.mark.parametrize("level", [1e-50, 1e50])
@pytest.mark.parametrize("power", [1.0, 1.5, 2.0])
def test_without_an_intercept_log_links_reach_far_targets(rng, power, level):
    X = rng.normal(size=(60, 2))
    y = level * rng.gamma(3.0, 1.0 / 3.0, 60)
    model = fastgd.TweedieRegressor(power=power, link="log", alpha=1e-3, fit_intercept=False)
    model.fit(X, y)
    raw = X.astype(np.longdouble) @ model.coef_.astype(np.longdouble)
    parts = np.exp((2.0 - power) * raw), y * np.exp((1.0 - power) * raw)
    slopes = X.T @ (parts[0] - parts[1]) / 60 + 1e-3 * model.coef_
    size = np.abs(X).T @ (parts[0] + parts[1]) / 60 + 1e-3 * np.abs(model.coef_)
    assert np.all(np.abs(slopes) <= 1e-5 * size)


def test_columns_beyond_the_squares_of_float64_raise_no_warnings_of_numpy():
    X, y = rows(60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fastgd.LogisticRegression().fit(1e160 * X, y > 0)
    assert model.score(1e160 * X, y > 0) > 0.9


# -- columns of the smallest normal numbers -------------------------------------------------------

FREE = {
    "least squares": fastgd.LinearRegression(),
    "ridge": fastgd.Ridge(alpha=0.0),
    "logistic": fastgd.LogisticRegression(C=np.inf),
    "poisson": fastgd.PoissonRegressor(alpha=0.0),
    "gamma": fastgd.GammaRegressor(alpha=0.0),
    "huber": fastgd.HuberRegressor(alpha=0.0),
    "quantile": fastgd.QuantileRegressor(alpha=0.0),
}


def answers_without_penalty(name, y):
    return np.abs(np.exp(y)) if name == "gamma" else answers(name, y)


@layouts
@over_product(
    lambda name, scale: name == "logistic" or scale == 1e-300,
    name=FREE,
    scale=[1e-292, 1e-300, 1e-306],
)
def test_tiny_columns_without_a_penalty_have_their_coefficients(name, scale, layout):
    X, y = rows(noise=1.0)
    y = (y > 0.0).astype(int) if name == "logistic" else answers_without_penalty(name, y)
    wanted = clone(FREE[name]).fit(X, y).coef_
    for tiny in ([0], [0, 1, 2]):
        scales = np.ones(3)
        scales[tiny] = scale
        found = clone(FREE[name]).fit(layout(X * scales), y).coef_
        np.testing.assert_allclose(found * scales, wanted, rtol=1e-9, atol=1e-12)


@layouts
@pytest.mark.parametrize("name", FREE)
def test_columns_below_normal_numbers_are_refused_by_name(name, layout):
    X, y = rows(noise=1.0)
    y = (y > 0.0).astype(int) if name == "logistic" else answers_without_penalty(name, y)
    with pytest.raises(ValueError, match=r"column 1 varies by .*e-3.*Multiply"):
        clone(FREE[name]).fit(layout(X * [1.0, 1e-310, 1.0]), y)


@pytest.mark.parametrize("scale", [1e-300, 1e-310])
def test_a_penalty_keeps_coefficients_of_tiny_columns_at_zero(scale):
    X, y = rows(noise=1.0)
    found = fastgd.LogisticRegression().fit(X * [1.0, scale, 1.0], y > 0.0)
    without = fastgd.LogisticRegression().fit(X[:, [0, 2]], y > 0.0)
    np.testing.assert_allclose(found.coef_[0, [0, 2]], without.coef_[0], rtol=1e-6)
    assert abs(found.coef_[0, 1]) <= 1e-290


def test_more_tiny_columns_than_rows_have_coefficients_too():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 30))
    y = rng.poisson(1.0, size=20).astype(float)
    ordinary = fastgd.PoissonRegressor(alpha=0.0).fit(X, y)
    tiny = fastgd.PoissonRegressor(alpha=0.0).fit(X * 1e-300, y)
    assert tiny.objective_ <= ordinary.objective_ + 1e-4
