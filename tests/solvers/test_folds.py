"""LogisticRegressionCV: passes of many folds against plain numpy, paths against single fits."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import log_softmax
from sklearn import linear_model
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastgd
from fastgd._data.validation import as_rows
from fastgd._solvers import _folds, _newton_folds
from fastgd._solvers._auto import solve
from fastgd._solvers._folds import (
    JointFolds,
    NewtonFolds,
    RowFolds,
    SeparateFolds,
    evaluate_folds,
    folds_of,
)
from fastgd._solvers._problem import pose
from fastgd._solvers._row_folds import RowDescent, RowProducts
from fastgd._solvers._row_newton import gap_of, newton_step
from fastgd._solvers._row_pairs import MEMORY, Image, RowPairs
from fastgd._solvers._task import Options, Task
from fastgd.kernels.folds import (
    FoldSums,
    FoldTargets,
    ManyClasses,
    OneOutput,
    pass_folds,
    pass_folds_sparse,
)
from fastgd.kernels.losses import LogLoss, Softmax
from fastgd.kernels.newton import FAILED
from fastgd.kernels.objective import Scaler
from fastgd.linear_model import _logistic_cv
from tests.tables import over_product

QUIET = {"l1_ratios": (0,), "scoring": "accuracy", "use_legacy_attributes": False}


def data(n=120, d=6, classes=2, seed=0):
    return make_classification(
        n, d, n_informative=min(d, 5), n_redundant=0, n_classes=classes, random_state=seed
    )


def naive_pass(X, codes, weight, coef, intercept):
    """Return the loss, its gradients (K, d + 1), and s p (1 - p) of each class or output."""
    raw = X @ coef.T + intercept
    both = np.column_stack([np.zeros(len(raw)), raw]) if coef.shape[0] == 1 else raw
    logs = log_softmax(both, axis=1)
    loss = -weight @ logs[np.arange(len(raw)), codes]
    p = np.exp(logs)
    slopes = p.copy()
    slopes[np.arange(len(raw)), codes] -= 1.0
    slopes, p = (slopes[:, 1:], p[:, 1:]) if coef.shape[0] == 1 else (slopes, p)
    slopes = weight[:, None] * slopes
    gradient = np.hstack([slopes.T @ X, slopes.sum(axis=0)[:, None]])
    return loss, gradient, (weight[:, None] * p * (1.0 - p)).T


@over_product(
    lambda classes, sparse: not sparse or classes == 2, classes=[2, 3], sparse=[False, True]
)
def test_a_pass_of_folds_is_that_of_each_fold(classes, sparse):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 4)) * (rng.random((50, 4)) < 0.6)
    codes, K = rng.integers(classes, size=50), classes if classes > 2 else 1
    weights = rng.random((3, 50)) * (rng.random((3, 50)) < 0.7)
    params = rng.standard_normal((3 * K, 5))
    output = ManyClasses(Softmax()) if K > 1 else OneOutput(LogLoss())
    y = codes.astype(np.int32 if K > 1 else np.float64)
    gradient, totals, bends = np.zeros((3 * K, 5)), np.zeros(3), np.empty((3 * K, 50))
    targets = FoldTargets(y, weights, np.arange(weights.shape[0]), output)
    if sparse:
        own = np.zeros((5, 3 * K))
        columns = np.ascontiguousarray(params.T)
        sums = FoldSums(own, totals, bends)
        pass_folds_sparse(as_rows(sp.csr_array(X)), targets, columns, 0, 50, sums)
        gradient = own.T
    else:
        plain = Scaler(np.zeros(4), np.ones(4))
        given = as_rows(X), targets, plain, params, 0, 50, np.empty((16, 4))
        pass_folds(*given, FoldSums(gradient, totals, bends))
    for f in range(3):
        at = slice(f * K, (f + 1) * K)
        loss, slopes, bend = naive_pass(X, codes, weights[f], params[at, :4], params[at, 4])
        np.testing.assert_allclose(totals[f], loss, rtol=1e-12)
        np.testing.assert_allclose(gradient[at], slopes, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(bends[at], bend, rtol=1e-9, atol=1e-14)


def test_models_of_the_same_fold_share_its_weights():
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((50, 4)), rng.integers(2, size=50)
    weights, fold_of = rng.random((2, 50)), np.array([1, 0, 1])
    problem = pose(task_of(X, y, 1.0))._replace(dtype=np.float64)
    places = list(rng.standard_normal((3, 5)))
    losses, gradients = evaluate_folds(problem, weights, places, None, fold_of)
    alone = evaluate_folds(problem, weights[fold_of], places)
    np.testing.assert_allclose(losses, alone[0], rtol=1e-14)
    np.testing.assert_allclose(gradients, alone[1], rtol=1e-12)


def task_of(X, y, C):
    codes, K = np.unique(y, return_inverse=True)[1], len(np.unique(y))
    loss = Softmax() if K > 2 else LogLoss()
    target = codes.astype(np.int32 if K > 2 else np.float64)
    return Task(as_rows(X), target, None, loss, 0.0, 1.0 / C, X.shape[1], K if K > 2 else 1)


@pytest.mark.parametrize(
    ("classes", "method"),
    [
        *((2, method) for method in ("joint", "newton", "rows", "sparse rows")),
        (3, "joint"),
        *(pytest.param(3, method, marks=pytest.mark.full) for method in ("rows", "sparse rows")),
    ],
)
def test_every_method_goes_down_the_path_of_single_fits(classes, method):
    is_tall = method in ("joint", "newton")
    X, y = data(80, 6 if is_tall else 120, classes)
    X = X * [10.0**k for k in (-2, 0, 3, 0, 1, 0)] if is_tall else X
    X = X + 3.0 if method == "joint" else X
    given = X
    if method == "sparse rows":
        X = X * (np.random.default_rng(0).random(X.shape) < 0.09)
        given = sp.csr_array(X)
    weights = np.array([np.arange(80) % 4 != f for f in range(4)], float)
    task, kind = task_of(given, y, 1e4), {"joint": JointFolds, "newton": NewtonFolds}
    paths = kind.get(method, RowFolds)(task, weights, Options(tol=1e-9))
    for C in (1e-3, 0.1, 10.0):
        found = paths.at(np.zeros(4), 1.0 / (C * weights.sum(axis=1)))
        for fold, kept in zip(found, weights > 0, strict=True):
            assert fold.converged
            wanted = fastgd.LogisticRegression(C=C, tol=1e-12).fit(X[kept], y[kept])
            np.testing.assert_allclose(
                np.atleast_2d(fold.coef),
                wanted.coef_,
                rtol=2e-3,
                atol=2e-3 * abs(wanted.coef_).max(),
            )
            raw = X @ np.atleast_2d(fold.coef).T + fold.intercept
            objective = naive_objective(y[kept], raw[kept], fold.coef, C)
            exact = naive_objective(
                y[kept], X[kept] @ wanted.coef_.T + wanted.intercept_, wanted.coef_, C
            )
            assert objective <= exact + 1e-9


def naive_objective(y, raw, coef, C):
    raw = np.column_stack([np.zeros(len(raw)), raw]) if raw.shape[1] == 1 else raw
    loss = -log_softmax(raw, axis=1)[np.arange(len(y)), np.unique(y, return_inverse=True)[1]]
    return loss.mean() + 0.5 * np.sum(np.square(coef)) / (C * len(y))


def test_the_method_follows_from_the_task():
    X, y = data(400, 30)
    assert isinstance(folds_of(task_of(X, y, 1.0), np.ones((2, 400)), Options()), NewtonFolds)
    tall, labels = data(2000, 30)
    some = folds_of(task_of(tall, labels, 1.0), np.ones((2, 2000)), Options())
    assert isinstance(some, JointFolds)
    wide = np.random.default_rng(0).standard_normal((60, 300))
    some = folds_of(task_of(wide, y[:60], 1.0), np.ones((2, 60)), Options())
    assert isinstance(some, RowFolds)
    with_l1 = task_of(X, y, 1.0)._replace(l1=0.1)
    assert isinstance(folds_of(with_l1, np.ones((2, 400)), Options()), SeparateFolds)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_next_strength_begins_with_what_is_known_of_the_rows(classes):
    X, y = data(80, classes=classes)
    weights = np.array([np.arange(80) % 4 != f for f in range(4)], float)
    paths = JointFolds(task_of(X, y, 1.0), weights, Options(tol=1e-6))
    paths.at(np.zeros(4), np.full(4, 0.1))
    for descent in paths.descents:
        descent.begin(0.01)
        point, share = descent.point, descent.problem.weight[None]
        losses, gradients = evaluate_folds(paths.problem, share, [point.u])
        pull = (point.u.T * descent.problem.ridge).T
        assert point.objective == pytest.approx(losses[0] + 0.5 * np.sum(pull * point.u), rel=1e-12)
        gradient = gradients[0].reshape(point.u.shape) + pull
        np.testing.assert_allclose(point.gradient, gradient, atol=1e-12)
        assert descent.n_passes == 0


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("shuffled", [False, True])
def test_scores_are_those_of_the_held_out_rows(shuffled, layout, monkeypatch):
    """Rows that lie together are read with those between them, others are gathered."""
    monkeypatch.setattr(_logistic_cv, "ROWS_AT_ONCE", 16)
    monkeypatch.setattr(_logistic_cv, "WORTH_THREADS", 0)
    X, y = data(150, classes=3)
    folds = StratifiedKFold(3, shuffle=shuffled, random_state=0 if shuffled else None)
    model = fastgd.LogisticRegressionCV(**QUIET, Cs=[0.1, 10.0], cv=folds).fit(layout(X), y)
    for f, (_, held_out) in enumerate(folds.split(X, y)):
        for c, coef in enumerate(model.coefs_paths_[f, 0]):
            raw = X[held_out] @ coef[:, :-1].T + coef[:, -1]
            assert model.scores_[f, 0, c] == np.mean(raw.argmax(axis=1) == y[held_out])


def test_a_fold_that_newtons_steps_fail_on_is_solved_by_another_method(monkeypatch):
    X, y = data(80)
    weights = np.array([np.arange(80) % 4 != f for f in range(4)], float)
    l2 = 1.0 / weights.sum(axis=1)
    wanted = NewtonFolds(task_of(X, y, 1.0), weights, Options(tol=1e-9)).at(0.0 * l2, l2)
    monkeypatch.setattr(_newton_folds, "newton_until", lambda *_: (FAILED, 1, np.nan, np.inf))
    found = NewtonFolds(task_of(X, y, 1.0), weights, Options(tol=1e-9)).at(0.0 * l2, l2)
    for one, other in zip(found, wanted, strict=True):
        assert one.converged
        np.testing.assert_allclose(one.coef, other.coef, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("shape", [(500, 25), (60, 100)])
def test_the_choice_is_scikit_learns(classes, shape):
    X, y = data(*shape, classes)
    kwargs = {**QUIET, "scoring": "neg_log_loss", "Cs": [1e-3, 0.1, 10.0], "tol": 1e-8}
    ours = fastgd.LogisticRegressionCV(**kwargs).fit(X, y)
    theirs = linear_model.LogisticRegressionCV(**kwargs, max_iter=5000).fit(X, y)
    np.testing.assert_allclose(ours.scores_, theirs.scores_, rtol=1e-4)
    assert ours.C_ == theirs.C_
    assert ours.l1_ratio_ == 0.0
    assert ours.coefs_paths_.shape == theirs.coefs_paths_.shape
    assert ours.n_iter_.shape == theirs.n_iter_.shape
    size = abs(theirs.coef_).max()
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-3, atol=1e-3 * size)
    paths = ours.coefs_paths_ - theirs.coefs_paths_
    assert abs(paths[..., :-1]).max() <= 1e-3 * abs(theirs.coefs_paths_).max()
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), rel=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("ratios", [None, (0.0, 0.5)])
@pytest.mark.filterwarnings("ignore:.*'l1_ratios=None' was deprecated:FutureWarning")
def test_legacy_attributes_have_scikit_learns_shapes(classes, ratios):
    X, y = data(100, 5, classes)
    kwargs = {"Cs": 3, "cv": 2, "l1_ratios": ratios, "scoring": "accuracy", "tol": 1e-6}
    kwargs["use_legacy_attributes"] = True
    ours = fastgd.LogisticRegressionCV(**kwargs, fit_intercept=False).fit(X, y)
    solver = "lbfgs" if ratios is None else "saga"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = linear_model.LogisticRegressionCV(
            **kwargs, fit_intercept=False, solver=solver, max_iter=300
        ).fit(X, y)
    for name in ("scores_", "coefs_paths_"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert mine.keys() == other.keys()
        assert [v.shape for v in mine.values()] == [v.shape for v in other.values()]
    for name in ("C_", "l1_ratio_", "Cs_", "l1_ratios_", "n_iter_", "coef_", "intercept_"):
        assert np.shape(getattr(ours, name)) == np.shape(getattr(theirs, name)), name


@pytest.mark.parametrize("refit", [True, False])
def test_liblinear_penalises_the_intercept_of_folds_as_well(refit):
    X, y = data()
    params = {**QUIET, "solver": "liblinear", "Cs": [0.1, 1.0], "cv": 3, "refit": refit}
    params["scoring"] = "neg_log_loss"
    ours = fastgd.LogisticRegressionCV(**params, tol=1e-10).fit(X + 1.0, y)
    theirs = linear_model.LogisticRegressionCV(**params, tol=1e-8, max_iter=1000).fit(X + 1.0, y)
    for name in ("coef_", "intercept_", "coefs_paths_", "scores_"):
        np.testing.assert_allclose(
            getattr(ours, name), getattr(theirs, name), rtol=1e-3, atol=1e-4, err_msg=name
        )
    scaled = fastgd.LogisticRegressionCV(**params, intercept_scaling=1e4).fit(X + 1.0, y)
    free = fastgd.LogisticRegressionCV(**{**params, "solver": "auto"}).fit(X + 1.0, y)
    np.testing.assert_allclose(scaled.scores_, free.scores_, rtol=0.01)


def test_weights_stand_for_repeated_rows():
    X, y = data(150, 12)
    counts = np.random.default_rng(1).integers(1, 4, size=150)
    folds = list(StratifiedKFold(3).split(X, y))
    place = np.repeat(np.arange(150), counts)
    repeated = [tuple(np.flatnonzero(np.isin(place, part)) for part in fold) for fold in folds]
    kwargs = {**QUIET, "scoring": "accuracy", "Cs": [0.01, 1.0], "tol": 1e-8}
    weighted = fastgd.LogisticRegressionCV(**kwargs, cv=folds).fit(X, y, sample_weight=counts)
    whole = fastgd.LogisticRegressionCV(**kwargs, cv=repeated).fit(X[place], y[place])
    np.testing.assert_allclose(weighted.scores_, whole.scores_, rtol=1e-10)
    np.testing.assert_allclose(weighted.coef_, whole.coef_, rtol=1e-3, atol=1e-4)


def test_without_a_refit_the_mean_of_the_folds_best_is_taken():
    X, y = data(150, 12)
    model = fastgd.LogisticRegressionCV(**QUIET, Cs=4, refit=False).fit(X, y)
    best = model.scores_[:, 0].argmax(axis=1)
    coefs = [model.coefs_paths_[f, 0, c, 0] for f, c in enumerate(best)]
    np.testing.assert_allclose(model.coef_[0], np.mean(coefs, axis=0)[:-1])
    np.testing.assert_allclose(model.C_, model.Cs_[best].mean())


def test_a_scorer_of_ones_own_is_handed_a_fitted_model():
    X, y = data(100, 5)
    seen = []

    def scorer(model, rows, labels):
        seen.append((model.C, rows.shape, len(labels)))
        return -abs(np.log10(model.C) + 1.0) + 0.0 * model.predict_proba(rows)[0, 0]

    model = fastgd.LogisticRegressionCV(**{**QUIET, "scoring": scorer}, Cs=[10, 0.1, 1], cv=2)
    assert model.fit(X, y).C_ == 0.1
    assert [C for C, *_ in seen] == [10, 0.1, 1] * 2  # scikit-learn's order
    assert seen[0][1:] == ((50, 5), 50)


def test_results_do_not_depend_on_threads():
    X, y = data(600, 30, 3)
    models = [
        fastgd.LogisticRegressionCV(**QUIET, Cs=3, n_jobs=n_jobs).fit(X, y) for n_jobs in (1, 2)
    ]
    np.testing.assert_array_equal(models[0].coefs_paths_, models[1].coefs_paths_)
    np.testing.assert_array_equal(models[0].coef_, models[1].coef_)


def test_callbacks_see_the_grid_and_may_end_it(capsys):
    X, y = data(100, 5)
    seen = []

    def look(view):
        seen.append((view.epoch, view.max_epochs, view.history["C"][-1], view.coef_.shape))
        return view.epoch == 2

    kwargs = {**QUIET, "Cs": [1.0, 0.01, 0.1, 10.0]}
    model = fastgd.LogisticRegressionCV(**kwargs, callbacks=[look], verbose=1).fit(X, y)
    assert seen == [(1, 4, 0.01, (1, 5)), (2, 4, 0.1, (1, 5))]  # the strongest penalty first
    assert model.C_ in (0.01, 0.1)
    assert np.isnan(model.scores_[:, 0, [0, 3]]).all()
    assert "strength" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"l1_ratios": (0.5, 2)}, "l1_ratios must be an array-like of numbers between 0 and 1"),
        ({"l1_ratios": (0.5,), "solver": "lbfgs"}, "supports only 'l2'"),
        ({"Cs": [0.0, 1.0]}, "Cs must be a number or 1-d, of numbers > 0"),
        ({"cv": [([0, 1], [])]}, "no row of positive weight to predict"),
        ({"Cs": 0}, "'Cs' parameter of LogisticRegressionCV"),
    ],
)
def test_bad_arguments_are_refused_and_change_nothing(kwargs, message):
    X, y = data(40, 3)
    model = fastgd.LogisticRegressionCV(**{**QUIET, "Cs": 2, **kwargs})
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert vars(model) == before


def test_defaults_that_will_change_are_warned_of():
    X, y = data(40, 3)
    with pytest.warns(FutureWarning) as caught:
        fastgd.LogisticRegressionCV(Cs=2, cv=2).fit(X, y)
    text = " ".join(str(one.message) for one in caught)
    assert all(name in text for name in ("l1_ratios", "scoring", "use_legacy_attributes"))
    assert all(one.filename == __file__ for one in caught)


def test_unfinished_fits_are_counted():
    X, y = data(600, 30, 3)
    with pytest.warns(ConvergenceWarning, match="fits of folds did not converge in max_iter=1"):
        fastgd.LogisticRegressionCV(**QUIET, Cs=2, max_iter=1, refit=False).fit(X, y)


@pytest.mark.parametrize(
    ("n_iter", "said"),
    [
        (7, "did not converge: they found no lower point before max_iter"),
        (20, "did not converge in max_iter=20 passes. Increase max_iter or tol, or leave out"),
        (None, "did not converge in max_iter=20 passes.* 3 of them found no lower point"),
    ],
)
def test_fits_that_ended_early_are_not_said_to_have_used_all_passes(n_iter, said, monkeypatch):
    class Unfinished(_folds.Folds):
        def at(self, l1, l2):  # noqa: ARG002
            counts = [7, 20] if n_iter is None else [n_iter, n_iter]
            return [_folds.FoldFit(np.zeros(3), 0.0, n, False) for n in counts]

    monkeypatch.setattr(_logistic_cv, "folds_of", lambda *given: Unfinished(*given[:3]))
    X, y = data(60, 3)
    model = fastgd.LogisticRegressionCV(**{**QUIET, "cv": 2}, Cs=3, max_iter=20, refit=False)
    with pytest.warns(ConvergenceWarning, match=said):
        model.fit(X, y)


def test_a_last_fit_that_cannot_start_from_the_folds_has_all_passes(rng):
    X = rng.normal(size=(400, 10)) * np.geomspace(1.0, 0.03, 10)
    y = X @ rng.normal(size=10) + 0.2 * rng.normal(size=400) > 0
    alone = fastgd.LogisticRegression(C=10.0, solver="sdca").fit(X, y)
    given = {**QUIET, "Cs": [10.0], "cv": 3, "solver": "sdca", "max_iter": alone.n_iter_[0] + 5}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fastgd.LogisticRegressionCV(**given).fit(X, y)
    assert model.gap_ <= model.tol * model.objective_


@pytest.mark.filterwarnings("ignore:The least populated class in y:UserWarning")
@parametrize_with_checks([fastgd.LogisticRegressionCV(**{**QUIET, "Cs": 2, "cv": 3})])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_folds_of_few_rows_far_from_zero_are_solved_without_an_intercept(rng):
    X, y = rng.normal(size=(200, 300)) + 100.0, np.arange(200) % 4 == 0
    folds = [(np.arange(200), np.arange(200))]
    given = {"Cs": [1e-3, 0.1], "cv": folds, "l1_ratios": (0,), "scoring": "accuracy"}
    model = fastgd.LogisticRegressionCV(
        fit_intercept=False, use_legacy_attributes=False, **given
    ).fit(X, y)
    for C, coef in zip(given["Cs"], model.coefs_paths_[0, 0, :, 0], strict=True):
        best = fastgd.LogisticRegression(C=C, fit_intercept=False, tol=1e-8).fit(X, y)
        loss = np.logaddexp(0.0, np.where(y, -1.0, 1.0) * (X @ coef)).mean()
        assert loss + coef @ coef / (2.0 * C * 200) <= best.objective_ + 1e-5


@pytest.mark.parametrize("kind", ["scales", "factors", "more scales"])
def test_folds_of_rows_in_few_directions_are_within_what_is_asked(kind, rng):
    n, d = {"scales": (200, 300), "factors": (310, 400), "more scales": (400, 600)}[kind]
    X = rng.normal(size=(n, d))
    y = X[:, 0] + X[:, 1] + rng.normal(size=n) > 0
    few = 2.0 * rng.normal(size=(n, 6)) @ rng.normal(size=(6, d))
    X = X + few if kind == "factors" else X * 10.0 ** rng.uniform(-3, 3, d)
    folds = [(np.arange(n), np.arange(n))]
    given = {"Cs": [0.01, 1.0, 100.0], "cv": folds, "l1_ratios": (0,), "scoring": "accuracy"}
    model = fastgd.LogisticRegressionCV(use_legacy_attributes=False, **given).fit(X, y)
    for C, (*coef, intercept) in zip(given["Cs"], model.coefs_paths_[0, 0, :, 0], strict=True):
        best = fastgd.LogisticRegression(C=C, tol=1e-9).fit(X, y)
        loss = np.logaddexp(0.0, np.where(y, -1.0, 1.0) * (X @ coef + intercept)).mean()
        assert loss + np.dot(coef, coef) / (2.0 * C * n) <= best.objective_ + 5e-6 * np.log(2.0)


def test_folds_of_separable_rows_end_where_hardly_any_objective_is_left(rng):
    """Newton's steps lead beyond the derivatives' range there, and prove nothing."""
    n, d = 150, 165
    X = rng.normal(size=(n, d)) * 10.0 ** rng.uniform(2, 8, d)
    y = X[:, :5].sum(axis=1) / X[:, :5].sum(axis=1).std() + rng.normal(size=n) > 0
    task = task_of(X, y, C=30.0 * n)._replace(fit_intercept=False)
    weights = 1.0 * (rng.random((3, n)) < 0.5)
    fits = RowFolds(task, weights, Options(tol=1e-4)).at(*np.full((2, 3), task.l2))
    assert all(fit.converged and fit.n_iter <= 40 for fit in fits), "81 to 114 before"


@pytest.mark.parametrize(("n", "K"), [(40, 2), (30, 3)])
def test_a_newton_step_in_the_rows_bounds_what_is_left(n, K, rng):
    """Also where columns are of many scales, and far from the optimum."""
    X = rng.normal(size=(n, 80)) * 10.0 ** rng.uniform(-2, 2, 80)
    task = task_of(X, np.arange(n) % K, C=10.0 * n)
    best = solve(task, Options(tol=1e-12)).objective
    products = RowProducts(task)
    descent = RowDescent(task, np.full(n, 1.0 / n))
    descent.begin(task.l2)
    gaps = []
    while not descent.converged and len(gaps) < 60:
        slopes = descent.slopes()
        descent.take(slopes, products.times(slopes))
        place = descent._place(products.matrix)
        step = newton_step(place, descent._gradient)
        gaps.append(gap_of(place, descent.at, step, descent.objective))
        assert gaps[-1] >= descent.objective - best - 1e-12
        descent.judge(products, 1e-6)
        descent.move()
    assert descent.converged
    assert gaps[-1] <= 1e-5


@pytest.mark.parametrize("m", [3, 5, 11])
def test_products_of_sparse_rows_are_those_of_centred_rows(m, rng, monkeypatch):
    monkeypatch.setattr("fastgd._solvers._row_folds.MOST_ROWS", 0)
    X = sp.random_array((40, 90), density=0.2, rng=rng, format="csr")
    products = RowProducts(Task(as_rows(X), np.zeros(40), None, LogLoss(), 0.0, 1.0, 90))
    vectors = rng.standard_normal((40, m))
    centred = X.toarray() - X.toarray().mean(axis=0)
    np.testing.assert_allclose(products.back(vectors), centred.T @ vectors, atol=1e-12)
    np.testing.assert_allclose(products.times(vectors), centred @ centred.T @ vectors, atol=1e-12)


def two_loops(pairs, gradient):
    """Return Nocedal & Wright's algorithm 7.4, vector by vector."""
    q, shares = gradient, []
    for step, change in reversed(pairs):
        shares.append(step.along(q) / step.along(change))
        q = q.plus(change, -shares[-1])
    step, change = pairs[-1]
    q = Image(*(step.along(change) / change.along(change) * part for part in q))
    for (step, change), share in zip(pairs, reversed(shares), strict=True):
        q = q.plus(step, share - change.along(q) / step.along(change))
    return q


def test_corrections_by_inner_products_are_those_of_the_two_loops(rng):
    n, K = 30, 2
    root = rng.standard_normal((n, n))
    kernel, level = root @ root.T, np.diag(1.0 + np.arange(K))
    bends = np.diag(1.0 + rng.random(n))

    def image(own, level):
        return Image(own, kernel @ own, level)

    kept, pairs, l2 = [], RowPairs(n, K), 0.0
    for turn in range(MEMORY + 5):  # more than are kept
        step = image(rng.standard_normal((n, K)), rng.standard_normal(K))
        change = image(bends @ step.image + l2 * step.own, level @ step.level)
        kept = [*kept[1 - MEMORY :], (step, change)]
        pairs.add(step, change)
        gradient = image(rng.standard_normal((n, K)), rng.standard_normal(K))
        for part, expected in zip(
            pairs.corrected(gradient, 1.0, is_new=True), two_loops(kept, gradient), strict=True
        ):
            np.testing.assert_allclose(part, expected, rtol=1e-6, atol=1e-9 * abs(expected).max())
        if turn % 7 == 6:  # another strength
            more, none = 0.3, np.zeros(K)
            l2 += more
            pairs.add_ridge(more)
            kept = [(s, y.plus(Image(s.own, s.image, none), more)) for s, y in kept]


@pytest.mark.parametrize("leads_nowhere", [False, True])
def test_the_last_fit_begins_anew_where_the_mean_of_the_folds_leads_nowhere(
    rng, monkeypatch, leads_nowhere
):
    X = rng.normal(size=(80, 5))
    y = (X[:, 0] + rng.normal(size=80) > 0.0).astype(int)
    asked, solve = [], _logistic_cv.solve

    def stuck(task, options, solver, start):
        asked.append((options.max_iter, start is None))
        found = solve(task, options, solver, start)
        if start is None or not leads_nowhere:
            return found
        far = found.objective + 1.0
        return found._replace(objective=far, converged=False, n_iter=options.max_iter)

    monkeypatch.setattr(_logistic_cv, "solve", stuck)
    model = fastgd.LogisticRegressionCV(max_iter=101).fit(X, y)
    assert asked == [(51, False), (50, True)][: 1 + leads_nowhere]
    own = fastgd.LogisticRegression(C=model.C_[0], tol=1e-8).fit(X, y)
    assert model.objective_ == pytest.approx(own.objective_, rel=1e-6)


def test_the_last_fit_says_how_many_passes_both_starts_took(rng, monkeypatch):
    X = rng.normal(size=(80, 5))
    y = (X[:, 0] + rng.normal(size=80) > 0.0).astype(int)
    solve = _logistic_cv.solve

    def stuck(task, options, solver, start):
        found = solve(task, options, solver, start)
        gaps = {"gap": 1.0, "suboptimality": 1.0}
        return found._replace(converged=False, n_iter=options.max_iter, **gaps)

    monkeypatch.setattr(_logistic_cv, "solve", stuck)
    with pytest.warns(ConvergenceWarning, match="after 40 passes"):
        fastgd.LogisticRegressionCV(max_iter=40).fit(X, y)
