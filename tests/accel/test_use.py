"""How ``fastgd.accel`` is turned on and off, and what stays scikit-learn's while it is on."""

import inspect
import io
import os
import pickle
import subprocess
import sys
import threading
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.linear_model import (  # imported before anything is installed
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    SGDClassifier,
    SGDRegressor,
    TweedieRegressor,
)
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import fastgd.accel
from fastgd.accel import _patch, _startup, _traceback
from fastgd.accel._report import JOURNAL, Journal, Note, sentence, table

ENVIRONMENT = dict(os.environ)
X, y = make_classification(200, 6, random_state=0)
Xr, yr = make_regression(200, 6, noise=5.0, random_state=0)


@pytest.fixture
def accelerated():
    """Install for one test, for data of any size."""
    JOURNAL.notes.clear()
    with fastgd.accel.enabled(min_size=0):
        yield
    JOURNAL.notes.clear()


def reasons():
    """Return why the fits so far were not accelerated, or None for those that were."""
    return [reason for _, reason in JOURNAL.notes]


# -- on and off -------------------------------------------------------------------------------


def test_what_was_installed_is_taken_away_again():
    fit, hook, finders = LogisticRegression.fit, sys.excepthook, list(sys.meta_path)
    assert not fastgd.accel.is_installed()
    fastgd.accel.install()
    fastgd.accel.install(min_size=10)
    try:
        assert fastgd.accel.is_installed()
        assert LogisticRegression.fit is not fit
        assert "fit" in vars(Lasso)  # scikit-learn's own inherits it
    finally:
        fastgd.accel.uninstall()
        fastgd.accel.uninstall()
    assert not fastgd.accel.is_installed()
    assert LogisticRegression.fit is fit
    assert "fit" not in vars(Lasso)
    assert (sys.excepthook, sys.meta_path) == (hook, finders)


@pytest.mark.usefixtures("accelerated")
def test_within_a_with_statement():
    with fastgd.accel.enabled():
        assert fastgd.accel.is_installed()
    assert fastgd.accel.is_installed()
    assert _patch.STATE.least == 0


@pytest.mark.parametrize("size", [-1, 1.5, "all"])
def test_a_size_is_a_number(size):
    with pytest.raises(ValueError, match=r"min_size must be None or an integer >= 0, got"):
        fastgd.accel.install(min_size=size)
    assert not fastgd.accel.is_installed()


@pytest.mark.usefixtures("accelerated")
def test_a_class_is_scikit_learns_own():
    model = LogisticRegression(C=2.0).fit(X, y)
    assert reasons() == [None]
    assert type(model).__module__ == "sklearn.linear_model._logistic"
    assert clone(model).get_params() == model.get_params()
    assert "LogisticRegression" in model._repr_html_()
    with fastgd.accel.enabled():
        fit = LogisticRegression.fit
    assert list(inspect.signature(fit).parameters) == ["self", "X", "y", "sample_weight"]
    assert fit.__doc__.strip().startswith("Fit the model according to the given training data")


@pytest.mark.usefixtures("accelerated")
def test_a_dump_loads_where_there_is_no_fastgd(tmp_path):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    assert reasons() == [None]
    (tmp_path / "pickle").write_bytes(pickle.dumps(model))
    joblib.dump(model, tmp_path / "joblib")
    code = (
        "import sys; sys.modules['fastgd'] = None; import joblib, pickle\n"
        "for model in (pickle.load(open('pickle', 'rb')), joblib.load('joblib')):\n"
        "    print(type(model[-1]).__module__, model[-1].coef_.tolist(), sep=';')"
    )
    done = run("-c", code, folder=tmp_path)
    loaded = f"sklearn.linear_model._logistic;{model[-1].coef_.tolist()}"
    assert done.stdout.splitlines() == [loaded, loaded], done.stderr


def test_modules_that_are_imported_later_are_accelerated():
    code = (
        "import sys, fastgd.accel\n"
        "fastgd.accel.install(min_size=0)\n"
        "assert not any(name in sys.modules for name in ('numba', 'sklearn', 'joblib'))\n"
        "from sklearn.linear_model import Ridge\n"
        "assert 'numba' not in sys.modules\n"
        "Ridge().fit(__import__('numpy').eye(3), [1.0, 2.0, 3.0])\n"
        "print(fastgd.accel.report())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1].split()[::4] == ["Ridge", "accelerated"]


# -- where it works ---------------------------------------------------------------------------


@pytest.mark.usefixtures("accelerated")
def test_in_other_estimators():
    base = LogisticRegression()
    three = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
    for model, labels in [
        (make_pipeline(StandardScaler(), base), y),
        (GridSearchCV(base, {"C": [0.1, 1.0]}, cv=2), y),
        (CalibratedClassifierCV(LinearSVC(), cv=2), y),
        (StackingClassifier([("a", base), ("b", LinearSVC())], base, cv=2), y),
        (OneVsRestClassifier(base), three),
        (RFE(base, n_features_to_select=4), y),
        (SelectFromModel(base), y),
    ]:
        JOURNAL.notes.clear()
        model.fit(X, labels)
        assert reasons() == [None] * len(reasons()), JOURNAL.notes
        assert reasons()
    fitted = base.fit(X, y)
    assert permutation_importance(fitted, X, y, n_repeats=1).importances.shape == (6, 1)


def test_workers_do_as_their_parent(tmp_path):
    JOURNAL.notes.clear()
    before = JOURNAL.path
    JOURNAL.path = str(tmp_path / "journal")
    try:
        with fastgd.accel.enabled(min_size=0):
            search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2, n_jobs=2)
            search.fit(X, y)
        accelerated = JOURNAL.merged()
        search.fit(X, y)  # the same workers, after they were told
        after = JOURNAL.merged()
    finally:
        JOURNAL.path = before
        JOURNAL.notes.clear()
    assert accelerated[("LogisticRegression", None)][0] == 5  # four of workers, one here
    assert after == accelerated


@pytest.mark.usefixtures("accelerated")
def test_in_threads():
    found = []

    def fit():
        found.append(LogisticRegression().fit(X, y).coef_)

    threads = [threading.Thread(target=fit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for coef in found[1:]:
        np.testing.assert_array_equal(coef, found[0])


@pytest.mark.usefixtures("accelerated")
def test_a_subclass_is_accelerated_unless_it_fits_in_another_way():
    class Louder(LogisticRegression):
        def fit(self, X, y):
            return super().fit(X, y)

    class Own(TweedieRegressor):
        def _get_loss(self, *args, **kwargs):
            return super()._get_loss(*args, **kwargs)

    Louder().fit(X, y)
    Own().fit(Xr, np.abs(yr))
    assert reasons() == [None, "a subclass has its own _get_loss"]


@pytest.mark.usefixtures("accelerated")
def test_a_subclass_of_other_parameters_is_fitted_by_what_scikit_learns_fit_reads():
    class Strong(Ridge):
        def __init__(self, strength=300.0):
            super().__init__(alpha=strength)
            self.strength = strength

    class Steps(SGDClassifier):
        pass

    model = Strong().fit(Xr, yr)
    np.testing.assert_allclose(model.coef_, Ridge(alpha=300.0, solver="svd").fit(Xr, yr).coef_)
    three = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
    params = {"loss": "log_loss", "shuffle": False, "tol": None, "max_iter": 2}
    params |= {"learning_rate": "constant", "eta0": 0.01}
    ours = Steps(**params).fit(X, three)
    assert reasons() == [None, None, None]
    fastgd.accel.uninstall()
    theirs = SGDClassifier(**params).fit(X, three)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)


@pytest.mark.usefixtures("accelerated")
def test_draws_are_as_many_as_without_where_a_fit_is_left_to_scikit_learn(monkeypatch):
    def drawing(model, *_, **__):
        model.random_state.randint(10)
        raise ValueError

    monkeypatch.setattr(fastgd.SGDClassifier, "fit", drawing)
    ours = SGDClassifier(random_state=np.random.RandomState(0)).fit(X, y)
    [reason] = reasons()
    assert reason.startswith("fastgd raises ValueError")
    fastgd.accel.uninstall()
    theirs = SGDClassifier(random_state=np.random.RandomState(0)).fit(X, y)
    np.testing.assert_array_equal(ours.coef_, theirs.coef_)


@pytest.mark.usefixtures("accelerated")
def test_unseeded_fits_see_rows_in_other_orders():
    def coef():
        return SGDClassifier(max_iter=2, tol=None).fit(X, y).coef_

    np.random.seed(0)  # noqa: NPY002
    first, second = coef(), coef()
    assert np.any(first != second)
    np.random.seed(0)  # noqa: NPY002
    np.testing.assert_array_equal(coef(), first)


@pytest.mark.usefixtures("accelerated")
def test_weights_of_least_squares_may_be_a_series():
    pd = pytest.importorskip("pandas")
    LinearRegression().fit(Xr, yr, sample_weight=pd.Series(np.linspace(0.5, 2.0, 200)))
    assert reasons() == [None]


def test_cross_validation_scores_as_scikit_learns_does():
    theirs = cross_val_score(LogisticRegression(), X, y, cv=3)
    with fastgd.accel.enabled(min_size=0):
        np.testing.assert_allclose(cross_val_score(LogisticRegression(), X, y, cv=3), theirs)


# -- what is left to scikit-learn -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "data", "reason"),
    [
        (LogisticRegression(solver="liblinear"), X.astype(np.float32), "computes in float64"),
        (LogisticRegression(solver="liblinear"), X, None),
        (LogisticRegression(max_iter=3), X, "max_iter=3 asks for a fit that stops early"),
        (LogisticRegression(verbose=1), X, "verbose prints the iterations"),
        (LogisticRegressionCV(cv=iter([(range(99), range(99, 200))])), X, "cv is an iterator"),
        (LogisticRegressionCV(scoring=lambda model, *_: model.C), X, "scoring is a function"),
        (LinearSVC(multi_class="crammer_singer", penalty="l1", loss="hinge"), X, None),
        (Ridge(alpha=0.0), X, "alpha=0 is no penalty"),
        (ElasticNet(alpha=0.1, precompute=X.T @ X, fit_intercept=False), X, "precompute is a"),
        (SGDClassifier(early_stopping=True), X, "early_stopping=True"),
        (SGDClassifier(average=True), X, "average keeps"),
        (SGDClassifier(), sp.csr_matrix(X), "the intercept of sparse X"),
        (SGDClassifier(fit_intercept=False), sp.csr_matrix(X), "sparse X: scikit-learn stops"),
        (QuantileRegressor(solver_options={"maxiter": 1000}), X, "solver_options"),
        (Ridge(), X.tolist(), "X is no array, data frame or sparse matrix"),
        (Ridge(), sp.csr_matrix(X), None),
    ],
    ids=lambda value: "" if isinstance(value, list | np.ndarray) or sp.issparse(value) else None,
)
@pytest.mark.usefixtures("accelerated")
def test_what_fastgd_does_not_do_as_asked(model, data, reason, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FutureWarning)
        model.fit(data, y)
    assert capsys.readouterr().err == ""
    assert hasattr(model, "coef_")
    [found] = reasons()
    assert found is None if reason is None else reason in found


def test_columns_of_like_scales_stay_where_few_passes_are_enough(rng):
    like, counts = rng.standard_normal((600, 20)), rng.poisson(2.0, 600)
    wide, thin = rng.standard_normal((600, 200)), sp.random(600, 300, 0.05, "csr", rng=rng)
    thin.data[:] = 1.0  # as dummies
    units = np.where(np.arange(200) == 7, 100.0, 1.0)  # of a column that lies between those chosen
    told = "columns of like scales: scikit-learn's solver needs few passes"
    for X, least, reason in [
        (like, None, told),
        (pd.DataFrame(like), None, told),
        (like * np.logspace(-2.0, 2.0, 20), None, None),
        (like * 1e160, None, None),  # squares are not finite
        (like[:400], None, None),
        (like, 0, None),
        (wide, None, told),
        (wide * units, None, None),
        (np.hstack([wide[:, :100]] * 2), None, None),  # each column twice
        (np.hstack([wide, wide]), None, None),  # more columns than half of the rows
        *((form, None, told) for form in (thin, thin.tocsc(), sp.csr_array(thin))),
        (thin @ sp.diags_array(np.logspace(-2.0, 2.0, 300)), None, None),
        ((thin @ sp.diags_array(np.tile(units, 2)[:300])).astype(np.int8), None, None),
        (sp.csr_array(thin.shape), None, None),
    ]:
        JOURNAL.notes.clear()
        with fastgd.accel.enabled(min_size=least):
            PoissonRegressor().fit(X, counts[: X.shape[0]])
        assert reasons() == [reason]
    JOURNAL.notes.clear()


def test_small_data_stay_where_they_are_faster():
    JOURNAL.notes.clear()
    with fastgd.accel.enabled(min_size=1201):
        Ridge().fit(X, y)
        Ridge().fit(np.vstack([X, X[:1]]), np.append(y, 0))
    assert reasons() == ["small: fewer than 1,201 entries of X", None]
    JOURNAL.notes.clear()


@pytest.mark.parametrize(
    ("model", "args", "kwargs"),
    [
        (LogisticRegression(C=-1.0), (X, y), {}),
        (LogisticRegression(solver="newton-cg", l1_ratio=1.0), (X, y), {}),
        (LogisticRegression(), (X, np.zeros(200)), {}),
        (LogisticRegression(), (X, y[:-1]), {}),
        (LogisticRegression(), (np.where(X > 2, np.nan, X), y), {}),
        (LogisticRegression(), (X, yr), {}),
        (LogisticRegression(solver="liblinear"), (1e40 * X, y), {}),
        (LogisticRegression(solver="liblinear"), (X, np.arange(200) % 3), {}),
        (LogisticRegression(), (X,), {}),
        (LogisticRegression(), (X, y), {"weights": y}),
        (LogisticRegression(), (X, y), {"sample_weight": y[:3]}),
        (Ridge(solver="svd"), (sp.csr_matrix(X), y), {}),
        (Ridge(alpha=[1.0, 2.0]), (X, y), {}),
        (LinearRegression(positive=True), (sp.csr_matrix(X), y), {}),
        (Lasso(), (X[:, 0], y), {}),
        (Lasso(), (X[:0], y[:0]), {}),
        (Lasso(), (np.array(5.0), y), {}),
        (Lasso(), (iter(X), y), {}),
        (TweedieRegressor(power=2), (X, -np.ones(200)), {}),
        (LinearSVC(penalty="l1", loss="hinge"), (X, y), {}),
        (SGDRegressor(), (X, np.column_stack([y, y])), {}),
        (SGDRegressor(), (1e200 * X, y), {}),
        (Lasso(), (X.astype(complex), y), {}),
        (Lasso(), (np.array([["a"], ["b"]] * 100), y), {}),
    ],
    ids=lambda value: repr(value) if isinstance(value, BaseEstimator) else "",
)
def test_errors_are_scikit_learns(model, args, kwargs):
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        clone(model).fit(*args, **kwargs)
    failed = clone(model)
    with fastgd.accel.enabled(min_size=0), pytest.raises(type(theirs.value)) as ours:
        failed.fit(*args, **kwargs)
    assert str(ours.value) == str(theirs.value)
    assert not hasattr(failed, "coef_") or hasattr(failed, "t_")


@pytest.mark.parametrize(
    "params",
    [
        {"penalty": "l1", "solver": "saga"},
        {"penalty": None, "C": 2.0},
        {"l1_ratio": None},
        {"n_jobs": 1},
        {"penalty": "l2", "l1_ratio": 0.5},
    ],
    ids=str,
)
def test_warnings_are_scikit_learns(params):
    def heard():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            LogisticRegression(max_iter=1000, **params).fit(X, y)
        return sorted((w.category.__name__, str(w.message)) for w in caught)

    theirs = [line for line in heard() if line[0] != "ConvergenceWarning"]
    assert theirs
    JOURNAL.notes.clear()
    with fastgd.accel.enabled(min_size=0):
        assert heard() == theirs
    assert reasons() == [None]
    JOURNAL.notes.clear()


@pytest.mark.parametrize("params", [{}, {"l1_ratios": None}, {"penalty": "l2", "Cs": 2}], ids=str)
def test_a_grid_of_strengths_warns_as_scikit_learns(params):
    def heard():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            LogisticRegressionCV(cv=2, **params).fit(X, y)
        return sorted((w.category.__name__, str(w.message)) for w in caught)

    theirs = heard()
    JOURNAL.notes.clear()
    with fastgd.accel.enabled(min_size=0):
        assert heard() == theirs
    assert reasons()[-1] is None
    JOURNAL.notes.clear()


@pytest.mark.usefixtures("accelerated")
def test_a_training_that_ends_too_soon_warns_as_scikit_learns():
    with pytest.warns(ConvergenceWarning, match="Maximum number of iteration reached before"):
        SGDClassifier(max_iter=2, tol=1e-10, random_state=0).fit(X, y)
    assert reasons() == [None]


@pytest.mark.usefixtures("accelerated")
def test_a_fit_that_fails_leaves_the_model_as_it_was(monkeypatch):
    model = LogisticRegression().fit(X, y)
    before = pickle.dumps(model)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(fastgd.LogisticRegression, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, 1 - y)
    assert pickle.dumps(model) == before


@pytest.mark.usefixtures("accelerated")
def test_what_scikit_learn_forgets_is_forgotten():
    pd = pytest.importorskip("pandas")
    model = Ridge().fit(pd.DataFrame(X).add_prefix("c"), y)
    assert list(model.feature_names_in_) == [f"c{k}" for k in range(6)]
    model.fit(X[:, :3], y)
    assert not hasattr(model, "feature_names_in_")
    assert model.n_features_in_ == 3


# -- what is said of it -----------------------------------------------------------------------


def test_a_line_for_each_fit_and_a_table_of_all(capsys):
    journal = Journal()
    journal.is_verbose = True
    journal.take(Note("Ridge", 1200, 0.25, None))
    journal.take(Note("Ridge", 1200, 0.25, None))
    journal.take(Note("Lasso", 3, 0.001, "small: fewer than 20 entries of X"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "fastgd.accel: Ridge, 1,200 rows, 0.250 s, accelerated"
    assert lines[2].endswith("scikit-learn: small: fewer than 20 entries of X")
    assert table(journal.merged()).splitlines() == [
        "estimator  calls   rows  seconds  accelerated, or why not",
        "Ridge          2  2,400    0.500  accelerated",
        "Lasso          1      3    0.001  small: fewer than 20 entries of X",
    ]
    assert "no estimator" in table({})
    assert sentence(Note("a", 1, 0.0, None)).endswith("accelerated")


def run(*arguments, folder, **more):
    """Run Python in a folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **more,
    )


SCRIPT = """
import sys
from sklearn.datasets import make_regression
from sklearn.linear_model import Ridge
X, y = make_regression(300, 5, random_state=0)
if __name__ == "__main__":
    print(sys.argv, __file__, Ridge().fit(X, y).coef_.shape)
    if "fail" in sys.argv:
        Ridge(alpha=-1.0).fit(X, y)
    sys.exit(3)
"""


def test_the_command_runs_a_script_as_python_does(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    plain = run("script.py", "a", "-v", folder=tmp_path)
    options = ["--profile", "--min-size", "0"]
    done = run("-m", "fastgd.accel", *options, "script.py", "a", "-v", folder=tmp_path)
    assert (done.returncode, done.stdout) == (3, plain.stdout)
    assert done.stderr.split("\n\n")[-1].splitlines()[-1].split()[-1] == "accelerated"
    module = run("-m", "fastgd.accel", "-v", "-m", "script", "b", folder=tmp_path)
    assert module.returncode == 3
    assert "['%s', 'b']" % (tmp_path / "script.py") in module.stdout
    assert "Ridge, 300 rows" in module.stderr
    assert run("-m", "fastgd.accel", folder=tmp_path).returncode == 2


def test_what_cannot_be_run_is_said_without_frames_of_ours(tmp_path):
    (tmp_path / "bad.py").write_text("def f(:")
    for arguments, status, told in [
        (["nosuch.py"], 2, "No such file or directory"),
        (["-m", "nosuch"], 1, "No module named nosuch"),
        (["bad.py"], 1, "SyntaxError"),
    ]:
        done = run("-m", "fastgd.accel", *arguments, folder=tmp_path)
        assert done.returncode == status
        assert told in done.stderr
        assert "Traceback" not in done.stderr


def test_a_traceback_begins_with_the_users_line_and_shows_none_of_ours(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = run("-m", "fastgd.accel", "--min-size", "0", "script.py", "fail", folder=tmp_path)
    files = [line for line in done.stderr.splitlines() if line.startswith("  File ")]
    assert done.returncode == 1
    assert "script.py" in files[0]
    assert not any("fastgd" in line.replace(str(tmp_path), "") for line in files)
    assert "The 'alpha' parameter of Ridge must be" in done.stderr


@pytest.mark.usefixtures("accelerated")
def test_what_fails_within_fastgd_shows_the_users_line_last(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(fastgd.Ridge, "_fit", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        Ridge().fit(X, y)
    hidden = [entry.frame.f_locals.get("__tracebackhide__") for entry in caught.traceback]
    assert True in hidden
    _traceback.shorten(caught.value)
    last = caught.value.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    assert last.tb_frame.f_code.co_filename == __file__


def test_an_opt_in_at_the_start_of_python(tmp_path, monkeypatch):
    monkeypatch.setattr(_startup, "place", lambda: tmp_path / _startup.NAME)
    assert _startup.turn("status").startswith("off:")
    assert _startup.turn("on").startswith("on:")
    line = (tmp_path / _startup.NAME).read_text()
    for value, expected in [("1", "True"), ("0", "False"), ("", "False")]:
        code = f"{line}import fastgd.accel; print(fastgd.accel.is_installed())"
        done = run("-c", code, folder=tmp_path, env={**ENVIRONMENT, "FASTGD_ACCEL": value})
        assert done.stdout.strip() == expected
    assert _startup.turn("off").startswith("off:")
    assert list(tmp_path.iterdir()) == []


def test_in_a_notebook():
    fastgd.accel.load_ipython_extension(None)
    assert fastgd.accel.is_installed()
    fastgd.accel.unload_ipython_extension(None)
    assert not fastgd.accel.is_installed()


@pytest.mark.usefixtures("accelerated")
def test_a_file_object_takes_a_model():
    buffer = io.BytesIO()
    joblib.dump(Ridge().fit(X, y), buffer)
    assert b"fastgd" not in buffer.getvalue()
