"""Estimators that choose a strength by folds, and those of many targets, on data sets in parts."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold

import fastgd
from fastgd import linear_model
from fastgd._solvers import _joint_shards, _product_shards, _sharded
from fastgd.datasets import open as open_rows
from fastgd.linear_model import _logistic_cv_parts

N, D, CUT = 1500, 6, 230
ALPHAS = np.logspace(-2, 4, 7)


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(0)
    X = random.normal(size=(N, D)) * np.geomspace(0.1, 10.0, D) + 1.0
    X[:, 2] = 3.0  # a column that says nothing
    Y = (X - 1.0) / X.std(axis=0).clip(1e-9) @ random.normal(size=(D, 2))
    Y = Y + random.logistic(size=(N, 2)) + 50.0
    labels = np.digitize(Y[:, 0] - Y[:, 0].mean(), [-1.0, 1.5])
    order = np.argsort(X[:, 0])  # chunks that differ from each other
    X, Y, labels = X[order], Y[order], labels[order]
    words = np.array(["low", "mid", "high"])[labels]
    return {"X": X, "one": Y[:, 0], "many": Y, "three": words, "two": labels > 0}


@pytest.fixture(autouse=True)
def _small_samples(monkeypatch):
    monkeypatch.setattr(_sharded, "SAMPLE_ROWS", 300)
    monkeypatch.setattr(_sharded, "ROOM", 0)


SQUARES = {
    "lasso": (linear_model.LassoCV(alphas=20), "one", 2),
    "lasso positive": (linear_model.LassoCV(alphas=5, positive=True, cv=3), "one", 2),
    "net": (linear_model.ElasticNetCV(l1_ratio=[0.2, 0.9], alphas=5), "one", 2),
    "net at zero": (linear_model.ElasticNetCV(alphas=[0.1, 1.0], fit_intercept=False), "one", 2),
    "lasso of many": (linear_model.MultiTaskLassoCV(alphas=5, cv=KFold(4)), "many", 2),
    "net of many": (linear_model.MultiTaskElasticNetCV(alphas=5), "many", 2),
    "one lasso of many": (linear_model.MultiTaskLasso(0.1), "many", 2),
    "one net of many": (linear_model.MultiTaskElasticNet(0.1), "many", 2),
    "ridge": (linear_model.RidgeCV(ALPHAS), "one", 4),
    "ridge at zero": (linear_model.RidgeCV(ALPHAS, fit_intercept=False), "one", 4),
    "ridge of many": (linear_model.RidgeCV(ALPHAS, alpha_per_target=True), "many", 4),
    "ridge by folds": (linear_model.RidgeCV(ALPHAS, cv=3), "many", 3),
    "ridge by squares": (
        linear_model.RidgeCV(ALPHAS, cv=3, scoring="neg_mean_squared_error"),
        "one",
        3,
    ),
    "classes": (linear_model.RidgeClassifierCV(ALPHAS), "three", 4),
    "classes by folds": (
        linear_model.RidgeClassifierCV(ALPHAS, cv=4, class_weight="balanced"),
        "three",
        4,
    ),
    "two classes": (linear_model.RidgeClassifierCV(ALPHAS, class_weight={True: 3.0}), "two", 4),
}
LAYOUTS = ["dense", pytest.param("float32", marks=pytest.mark.full)]
LAYOUTS += [pytest.param("csr", marks=pytest.mark.full)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", SQUARES)
def test_squares_are_those_of_memory_in_few_passes(name, layout, table, passes):
    model, target, most = SQUARES[name]
    X, y = table["X"], table[target]
    X = {"dense": X, "float32": X.astype(np.float32), "csr": sp.csr_matrix(X)}[layout]
    whole = clone(model).fit(X.astype(np.float64), y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = clone(model).fit(open_rows((X, y), chunk_rows=CUT))
    assert passes.n_passes <= most
    assert found.coef_.shape == whole.coef_.shape
    np.testing.assert_allclose(found.coef_, whole.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.intercept_, whole.intercept_, rtol=1e-6, atol=1e-9)
    for attribute in ("alpha_", "l1_ratio_", "alphas_", "mse_path_", "best_score_", "objective_"):
        if hasattr(whole, attribute):
            expected = getattr(whole, attribute)
            np.testing.assert_allclose(getattr(found, attribute), expected, rtol=1e-7)
    assert np.all(found.gap_ <= 1e-4 * np.asarray(found.objective_))


OF_ANY_SIZE = {
    "lasso": linear_model.LassoCV(alphas=4),
    "lasso of many": linear_model.MultiTaskLassoCV(alphas=4),
    "ridge": linear_model.RidgeCV([1e-3]),
    "ridge by folds": linear_model.RidgeCV([1e-3], cv=3),
    "classes": linear_model.RidgeClassifierCV([1e-3]),
}


@pytest.mark.parametrize(
    ("of_X", "of_y"), [(1e-150, 1.0), (1e153, 1.0), (1.0, 1e-200), (1e90, 1e-140)]
)
@pytest.mark.parametrize("name", OF_ANY_SIZE)
def test_columns_and_targets_of_any_magnitude(name, of_X, of_y, table):
    """Squares that leave float64 are added up in units of powers of two."""
    X, y = table["X"], table["many" if "many" in name else "one"]
    of_y = 1.0 if name == "classes" else of_y
    y = table["three"] if name == "classes" else y
    model = clone(OF_ANY_SIZE[name])
    if hasattr(model, "gcv_mode"):
        model.set_params(alphas=[1e-3 * of_X * of_X])
    scaled = y if name == "classes" else y * of_y
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.fit(open_rows((X * of_X, scaled), chunk_rows=CUT))
    plain = clone(OF_ANY_SIZE[name]).fit(X, y)
    np.testing.assert_allclose(found.coef_ * (of_X / of_y), plain.coef_, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.intercept_ / of_y, plain.intercept_, rtol=1e-4)
    assert np.all(found.gap_ <= 1e-4 * np.asarray(found.objective_))


def test_columns_too_far_apart_are_refused(table):
    X = table["X"] * np.array([1.0, 1e160, 1.0, 1.0, 1.0, 1.0])
    rows = open_rows((X, table["one"]), chunk_rows=CUT)
    for model in (linear_model.LassoCV(), linear_model.RidgeCV()):
        with pytest.raises(ValueError, match="too far apart for one penalty: column 1"):
            model.fit(rows)


def test_the_proof_of_a_weak_penalty_knows_the_columns(table):
    """By the products of columns, and not by the strength alone: as in memory."""
    X = np.delete(table["X"], 2, axis=1)  # without the constant one
    rows = open_rows((X * 1e9, table["one"]), chunk_rows=CUT)
    found = linear_model.RidgeCV([1e-9]).fit(rows)
    assert 0.0 <= found.gap_ <= 1e-20 * found.objective_


LOGISTIC = {
    "accuracy": ({"Cs": 4, "l1_ratios": (0,)}, "two"),
    "softmax": ({"Cs": 3, "cv": 3, "l1_ratios": (0,), "scoring": "neg_log_loss"}, "three"),
    "balanced": ({"Cs": [0.01, 1.0], "l1_ratios": (0.1,), "class_weight": "balanced"}, "two"),
    "liblinear": ({"Cs": [0.1], "l1_ratios": (0,), "solver": "liblinear", "cv": 2}, "two"),
    "a mean": ({"Cs": 3, "l1_ratios": (0,), "refit": False, "fit_intercept": False}, "two"),
}


@pytest.mark.parametrize("name", LOGISTIC)
def test_logistic_folds_are_those_of_memory(name, table, passes):
    parameters, target = LOGISTIC[name]
    X, y = table["X"], table[target]
    how = {"scoring": "accuracy", "use_legacy_attributes": False, **parameters}
    model = linear_model.LogisticRegressionCV(**how)
    whole = clone(model).set_params(tol=1e-9).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.set_params(tol=1e-6).fit(open_rows((X, y), chunk_rows=CUT))
    assert passes.n_passes <= 24  # two looks, all folds and strengths together, scores, the fit
    np.testing.assert_allclose(found.scores_, whole.scores_, atol=4e-3)  # a row of 300
    assert pytest.approx(whole.C_) == found.C_
    np.testing.assert_allclose(found.coefs_paths_, whole.coefs_paths_, rtol=0.05, atol=5e-3)
    np.testing.assert_allclose(found.coef_, whole.coef_, rtol=0.02, atol=5e-3)
    if model.refit:
        assert found.objective_ <= whole.objective_ * (1.0 + 1e-6)
        assert found.gap_ <= 1e-2 * found.objective_
    np.testing.assert_array_equal(found.predict(X[:50]), whole.predict(X[:50]))


def test_a_fold_without_a_class(table):
    """Of labels in order, folds of neighbouring rows are fitted without a class."""
    order = np.argsort(table["three"], kind="stable")
    X, y = table["X"][order], table["three"][order]
    how = {"Cs": [0.01, 0.1], "l1_ratios": (0,), "use_legacy_attributes": False, "cv": KFold(3)}
    model = linear_model.LogisticRegressionCV(**how, scoring="accuracy", tol=1e-8)
    whole, found = clone(model).fit(X, y), model.fit(open_rows((X, y), chunk_rows=CUT))
    np.testing.assert_allclose(found.scores_, whole.scores_, atol=0.01)
    np.testing.assert_allclose(found.coef_, whole.coef_, rtol=1e-2, atol=1e-4)


def test_rows_that_fit_the_sample_and_one_fold_in_each_chunk(table):
    X, y = table["X"][:250], table["two"][:250]
    how = {"Cs": [0.1, 1.0], "l1_ratios": (0,), "use_legacy_attributes": False, "tol": 1e-8}
    model = linear_model.LogisticRegressionCV(**how, scoring="neg_log_loss", cv=KFold(5))
    whole, found = clone(model).fit(X, y), model.fit(open_rows((X, y), chunk_rows=50))
    np.testing.assert_allclose(found.scores_, whole.scores_, rtol=1e-3)
    np.testing.assert_allclose(found.coef_, whole.coef_, rtol=1e-3, atol=1e-6)


def test_callbacks_stop_the_choice(table):
    X, y = table["X"], table["two"]
    seen = []

    def stop(view):
        seen.append((view.history["C"][-1], view.history["score"][-1], view.model.coef_.shape))
        if view.epoch == 2:
            view.stop()

    how = {"Cs": [1.0, 0.01, 0.1], "l1_ratios": (0,), "use_legacy_attributes": False, "cv": 2}
    model = linear_model.LogisticRegressionCV(**how, scoring="accuracy", callbacks=[stop])
    model.fit(open_rows((X, y), chunk_rows=CUT))
    assert [C for C, *_ in seen] == [0.01, 0.1]
    assert np.all(np.isnan(model.scores_[:, 0, 0]))
    assert model.C_ != 1.0
    ridge = linear_model.RidgeCV(ALPHAS, callbacks=[stop])
    seen.clear()
    with pytest.raises(KeyError):
        ridge.fit(open_rows((X, table["one"]), chunk_rows=CUT))
    assert not hasattr(ridge, "coef_")


def test_what_parts_do_not_tell_is_refused(table, monkeypatch):
    X = table["X"]
    numbers, labels = (open_rows((X, table[name]), chunk_rows=CUT) for name in ("one", "two"))
    many = open_rows((X, table["many"]), chunk_rows=CUT)
    logistic = {"l1_ratios": (0,), "use_legacy_attributes": False}
    for model, rows, message in (
        (linear_model.RidgeCV(scoring="r2"), numbers, "scoring='r2'"),
        (linear_model.RidgeCV(scoring="max_error", cv=3), numbers, "'neg_mean_squared_error'"),
        (linear_model.RidgeCV(store_cv_results=True), numbers, "store_cv_results"),
        (linear_model.RidgeCV([0.0], cv=3), numbers, "must be > 0"),
        (linear_model.LassoCV(cv=KFold(3, shuffle=True)), numbers, "number of folds"),
        (linear_model.LassoCV(), many, "MultiTaskLassoCV"),
        (linear_model.MultiTaskLasso(), numbers, "use Lasso"),
        (linear_model.RidgeClassifierCV(), many, "one for each row"),
        (linear_model.LogisticRegressionCV(**logistic, scoring="f1"), labels, "neg_log_loss"),
        (
            linear_model.LogisticRegressionCV(**logistic, scoring=None, solver="saga"),
            labels,
            "solver='saga'",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(rows)
        assert not hasattr(model, "coef_")
        assert not hasattr(model, "n_features_in_")
    monkeypatch.setattr(_product_shards, "MOST_BYTES", 6000)
    for model, rows in ((linear_model.LassoCV(), numbers), (linear_model.RidgeCV(cv=9), numbers)):
        with pytest.raises(ValueError, match=r"of \d folds .*limit is 6e-06 GB: take fewer folds"):
            model.fit(rows)
        assert not hasattr(model, "n_features_in_")
    linear_model.RidgeCV().fit(numbers)
    monkeypatch.setattr(_product_shards, "MOST_COLUMNS", 5)
    with pytest.raises(ValueError, match=r"chunk 0: X has 6 columns.*rows.split"):
        linear_model.LassoCV().fit(numbers)


def test_what_is_wrong_in_the_middle_is_named(table):
    X, y, labels = (table[name].copy() for name in ("X", "one", "two"))
    X[700, 1] = np.nan
    models = linear_model.LassoCV(), linear_model.RidgeCV(), linear_model.RidgeClassifierCV()
    for model in models:
        target = labels if hasattr(model, "class_weight") else y
        with pytest.raises(ValueError, match=r"chunk 3: Input.*contains NaN"):
            model.fit(open_rows((X, target), chunk_rows=CUT))
        assert not hasattr(model, "coef_")
    batches = [(table["X"][:500], labels[:500]), (table["X"][500:, :5], labels[500:])]
    with pytest.raises(ValueError, match="chunk 1 has 5 columns, and chunk 0 6"):
        fastgd.RidgeClassifierCV().fit(open_rows(batches))


def test_numbers_that_are_too_large_are_refused(table):
    X = table["X"].copy()
    X[3, 1] = 1e300
    models = linear_model.LassoCV(), linear_model.RidgeCV(), linear_model.MultiTaskLasso()
    for model in models:
        y = table["many"] if "Multi" in type(model).__name__ else table["one"]
        with pytest.raises(ValueError, match="too far apart"):
            model.fit(open_rows((X, y), chunk_rows=CUT))


def test_products_that_rounding_spoils_are_told(table):
    X = table["X"].copy()
    X[:, 3] = X[:, 1] * (1.0 + 1e-9 * np.arange(N) / N)
    with pytest.warns(ConvergenceWarning, match="few digits"):
        linear_model.RidgeCV([1e-9]).fit(open_rows((X * 1e3, table["one"]), chunk_rows=CUT))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("target", ["two", "three"])
def test_folds_and_strengths_share_passes_without_hessians(target, layout, table, monkeypatch):
    """Few passes, each for all models; every fold's optimum is that of memory within ``tol``."""
    X, y = table["X"] + 1e4, table[target]  # far from zero: columns are counted from elsewhere
    X = {"dense": X, "float32": table["X"].astype(np.float32), "csr": sp.csr_matrix(X)}[layout]
    n_models, sums_of_models = [], _joint_shards.sums_of_models

    def counted(rows, models):
        n_models.append(len(models.places))
        return sums_of_models(rows, models)

    monkeypatch.setattr(_joint_shards, "sums_of_models", counted)
    monkeypatch.setattr(_logistic_cv_parts.LogisticCVOfParts, "_fit_apart", None)
    how = {"Cs": 3, "cv": 3, "l1_ratios": (0,), "scoring": "accuracy"}
    model = linear_model.LogisticRegressionCV(**how, use_legacy_attributes=False)
    found = clone(model).fit(open_rows((X, y), chunk_rows=CUT))
    whole = model.set_params(tol=1e-10).fit(X.astype(np.float64), y)
    assert n_models[0] == 9  # all folds and strengths
    assert len(n_models) <= 12 * -(-N // CUT)
    for f, (fitted, _) in enumerate(StratifiedKFold(3).split(X, y)):
        for c, C in enumerate(whole.Cs_):
            objectives = [
                _objective(X[fitted], y[fitted], one.coefs_paths_[f, 0, c], C)
                for one in (found, whole)
            ]
            assert objectives[0] <= objectives[1] * (1.0 + 1e-4)


def _objective(X, y, coef, C):
    """Return the mean log loss and the penalty of coefficients, the intercept last."""
    raw = np.asarray(X.astype(np.float64) @ coef[:, :-1].T) + coef[:, -1]
    raw = np.column_stack([np.zeros(len(raw)), raw]) if raw.shape[1] == 1 else raw
    codes = np.unique(y, return_inverse=True)[1]
    logs = raw - logsumexp(raw, axis=1, keepdims=True)
    loss = -logs[np.arange(len(codes)), codes].mean()
    return loss + 0.5 * np.sum(coef[:, :-1] ** 2) / (C * len(codes))
