"""Callbacks: what they see, what they can do, and that they change nothing else."""

import copy
import csv
import logging
import math
import pickle
import sys
import threading

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

import fastgd
from fastgd import callbacks
from fastgd._monitoring.undo import or_as_before
from fastgd.callbacks import (
    Callback,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    LearningRateLogger,
    ProgressBar,
)


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X), y


def trained(n_epochs, *watchers, **kwargs):
    kwargs = {"max_iter": n_epochs, "tol": None, "random_state": 0, **kwargs}
    return fastgd.SGDClassifier(callbacks=list(watchers), **kwargs)


SOLVED = [
    fastgd.LogisticRegression(),
    fastgd.LogisticRegression(solver="saga"),
    fastgd.LogisticRegression(solver="sdca", l1_ratio=0.5),
    fastgd.LinearSVC(loss="hinge"),
    fastgd.HuberRegressor(),
]


class Recorder(Callback):
    """Notes what is reported to it."""

    def on_fit_begin(self, view):
        self.reported, self.coefs, self.history = [("begin", view.epoch)], [], []

    def on_epoch_end(self, view):
        self.reported.append(("epoch", view.epoch))
        self.coefs.append(view.coef_)
        self.history.append({name: values[-1] for name, values in view.history.items()})

    def on_fit_end(self, view):
        self.reported.append(("end", view.epoch))
        self.coefs.append(view.coef_)

    def on_fit_error(self, view, error):
        self.reported.append((type(error), view.epoch))


# -- what they see ----------------------------------------------------------------------------


def test_a_training_is_reported_in_order(cancer):
    recorder = Recorder()
    model = trained(3, recorder).fit(*cancer)
    epochs = [("epoch", number) for number in (1, 2, 3)]
    assert recorder.reported == [("begin", 0), *epochs, ("end", 3)]
    assert [row["objective"] for row in recorder.history] == model.history_["objective"]
    assert set(recorder.history[0]) == set(model.history_)
    np.testing.assert_array_equal(recorder.coefs[-1], model.coef_)
    model.partial_fit(*cancer, max_iter=2)
    assert recorder.reported == [("begin", 3), ("epoch", 4), ("epoch", 5), ("end", 5)]


def test_the_view_has_the_model_of_that_epoch(cancer):
    seen = []
    kwargs = {"average": 3, "optimizer": "sgd"}
    whole = trained(4, lambda view: seen.append(view.model), **kwargs).fit(*cancer)
    for number, model in enumerate(seen, start=1):
        alone = trained(number, **kwargs).fit(*cancer)
        np.testing.assert_array_equal(model.coef_, alone.coef_)
        np.testing.assert_array_equal(model.intercept_, alone.intercept_)
        assert (model.n_iter_, model.t_) == (alone.n_iter_, alone.t_)
        np.testing.assert_array_equal(model.predict(cancer[0]), alone.predict(cancer[0]))
        # it is whole: training goes on from it
        rest = 4 - number
        again = model.partial_fit(*cancer, max_iter=rest) if rest else model
        np.testing.assert_array_equal(again.coef_, whole.coef_)
        assert again.history_["objective"] == whole.history_["objective"]


def test_what_a_one_class_svm_has_for_an_intercept(cancer):
    seen = []
    watch = [lambda view: seen.append(view.intercept_)]
    model = fastgd.SGDOneClassSVM(max_iter=2, tol=None, random_state=0, callbacks=watch)
    model.fit(cancer[0])
    np.testing.assert_array_equal(seen[-1], -model.offset_)


@pytest.mark.parametrize("model", SOLVED, ids=str)
def test_a_solver_is_watched_and_finds_the_same(model, cancer):
    recorder, models = Recorder(), []
    plain = clone(model).fit(*cancer)
    watching = [recorder, lambda view: models.append(view.model)]
    watched = clone(model).set_params(callbacks=watching).fit(*cancer)
    np.testing.assert_array_equal(watched.coef_, plain.coef_)
    assert watched.history_ == plain.history_
    n_entries = len(models)
    assert n_entries == len(plain.history_[next(iter(plain.history_))])
    assert recorder.reported == [
        ("begin", 0),
        *(("epoch", 1 + number) for number in range(n_entries)),
        ("end", n_entries),
    ]
    for name, values in plain.history_.items():
        np.testing.assert_array_equal([row[name] for row in recorder.history], values)
    assert {"objective", "suboptimality"} <= set(recorder.history[0])
    assert models[-1].predict(cancer[0]).shape == cancer[1].shape
    assert models[-1].score(*cancer) == pytest.approx(plain.score(*cancer), abs=0.01)
    # SDCA knows the loss of the rows visited last
    rough = 0.5 if "gap_estimate" in plain.history_ else 1e-6
    assert recorder.history[-1]["objective"] == pytest.approx(plain.objective_, rel=rough)
    assert models[-1].objective_ == recorder.history[-1]["objective"]


def test_targets_are_fitted_one_after_the_other():
    X, y = load_iris(return_X_y=True)
    seen = []
    watch = [lambda view: seen.append((view.target, view.n_targets, view.epoch, view.coef_))]
    model = fastgd.LinearSVC(callbacks=watch).fit(scale(X), y)
    assert [row[0] for row in seen] == sorted(row[0] for row in seen)
    assert {row[:2] for row in seen} == {(0, 3), (1, 3), (2, 3)}
    firsts = [row for row in seen if row[2] == 1]
    assert len(firsts) == 3
    np.testing.assert_array_equal(firsts[1][3][0], model.coef_[0])
    assert not firsts[1][3][2].any()


# -- what they can do -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stopper",
    [
        lambda view: view.epoch == 2,
        lambda view: np.bool_(view.epoch == 2),
        lambda view: view.stop() if view.epoch == 2 else None,
    ],
)
def test_a_function_stops_the_training(stopper, cancer):
    """Without a warning that there should have been more epochs."""
    model = fastgd.SGDClassifier(random_state=0, callbacks=[stopper]).fit(*cancer)
    assert model.n_iter_ == 2
    np.testing.assert_array_equal(model.coef_, trained(2).fit(*cancer).coef_)


def test_only_true_stops(cancer):
    log = []
    model = trained(3, lambda view: log.append(1) or log, lambda view: 1).fit(*cancer)
    assert model.n_iter_ == len(log) == 3


@pytest.mark.parametrize("model", SOLVED, ids=str)
def test_a_solver_stops_where_it_is_reported(model, cancer):
    recorder = Recorder()
    watch = (recorder, lambda view: view.epoch == 3)
    model = clone(model).set_params(callbacks=watch).fit(*cancer)
    assert recorder.reported[-2:] == [("epoch", 3), ("end", 3)]
    assert model.score(*cancer) > 0.5
    lengths = {len(column) for column in model.history_.values()}
    # Huber's regression ends the passes of a scale that it has begun
    assert lengths == {3} or (isinstance(model, fastgd.HuberRegressor) and min(lengths) >= 3)


@pytest.mark.parametrize("hook", ["on_fit_begin", "on_epoch_end", "on_fit_end"])
@pytest.mark.parametrize("kind", [fastgd.SGDClassifier, fastgd.LogisticRegression])
def test_one_that_raises_leaves_the_model_as_it_was(hook, kind, cancer):
    class Bad(Callback):
        pass

    def fails(self, view):
        raise RuntimeError("not today")

    setattr(Bad, hook, fails)
    recorder = Recorder()
    model = kind(random_state=0).fit(cancer[0][:, :3], cancer[1])
    before = dict(vars(model))
    model.callbacks = [recorder, Bad()]
    with pytest.raises(RuntimeError, match="not today"):
        model.fit(*cancer)
    assert {**vars(model), "callbacks": None} == before
    assert recorder.reported[-1][0] is RuntimeError


def test_a_partial_fit_that_fails_leaves_the_model_as_it_was(cancer):
    model = trained(2).fit(*cancer)
    coef, history = model.coef_, {name: list(v) for name, v in model.history_.items()}
    model.callbacks = [lambda view: 1 / (view.epoch - 4)]
    with pytest.raises(ZeroDivisionError):
        model.partial_fit(*cancer, max_iter=3)
    assert model.coef_ is coef
    assert model.history_ == history
    model.set_params(callbacks=None).partial_fit(*cancer, max_iter=3)
    np.testing.assert_array_equal(model.coef_, trained(5).fit(*cancer).coef_)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (["early"], r"callbacks\[0\] must be a function .* on_fit_end; got 'early'"),
        ([print, EarlyStopping], r"callbacks\[1\] is the class EarlyStopping; pass an instance"),
        ((None,), r"callbacks\[0\] must be a function"),
        (EarlyStopping(), "'callbacks' parameter of LogisticRegression must be an instance of"),
    ],
)
def test_what_is_no_callback_is_refused(bad, message, cancer):
    with pytest.raises((TypeError, ValueError), match=message):
        fastgd.LogisticRegression(callbacks=bad).fit(*cancer)


def test_clones_have_callbacks_of_their_own(cancer):
    stopper = EarlyStopping(patience=2)
    model = fastgd.SGDClassifier(random_state=0, callbacks=[stopper], tol=None).fit(*cancer)
    assert model.get_params()["callbacks"] == [stopper]
    other_model = clone(model)
    (other,) = other_model.callbacks
    assert other is not stopper
    assert repr(other) == repr(stopper) == "EarlyStopping(patience=2)"
    other_model.fit(*cancer)
    assert other_model.n_iter_ == model.n_iter_ == stopper.stopped_epoch_
    same = pickle.loads(pickle.dumps(model))
    assert same.callbacks[0].stopped_epoch_ == stopper.stopped_epoch_


def test_a_search_takes_them_along(cancer):
    model = fastgd.SGDClassifier(callbacks=[EarlyStopping(patience=1)], tol=None, random_state=0)
    pipe = make_pipeline(StandardScaler(), model)
    search = GridSearchCV(pipe, {"sgdclassifier__alpha": [1e-3, 1e-2]}, cv=2).fit(*cancer)
    assert search.best_estimator_[-1].n_iter_ < 100


# -- early stopping ---------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [1, 3])
@pytest.mark.parametrize("min_delta", [0.0, 0.05])
def test_early_stopping_waits(patience, min_delta, cancer):
    stopper = EarlyStopping(patience=patience, min_delta=min_delta)
    model = trained(200, stopper).fit(*cancer)
    values = trained(200).fit(*cancer).history_["objective"]
    best, at = math.inf, 0
    for epoch, value in enumerate(values, start=1):
        if best - value > min_delta or math.isinf(best):
            best, at = value, epoch
        if epoch - at == patience:
            break
    assert model.n_iter_ == stopper.stopped_epoch_ == epoch
    assert (stopper.best_, stopper.best_epoch_) == (best, at)


def test_early_stopping_restores_the_best(cancer):
    X, y = cancer
    kwargs = {"average": 2, "learning_rate": "constant", "eta0": 1.0}
    own = EarlyStopping(
        lambda view: view.model.score(X[400:], y[400:]), mode="max", restore_best=True, patience=4
    )
    model = trained(100, own, **kwargs).fit(X[:400], y[:400])
    best = trained(own.best_epoch_, **kwargs).fit(X[:400], y[:400])
    assert own.best_epoch_ < model.n_iter_ < 100
    np.testing.assert_array_equal(model.coef_, best.coef_)
    np.testing.assert_array_equal(model.intercept_, best.intercept_)
    assert model.score(X[400:], y[400:]) == own.best_
    held_out = {"X_val": X[400:], "y_val": y[400:]}
    named = EarlyStopping("validation_score", restore_best=True, patience=4)
    again = trained(100, named, **kwargs).fit(X[:400], y[:400], **held_out)
    assert (named.best_, named.best_epoch_) == (own.best_, own.best_epoch_)
    np.testing.assert_array_equal(again.coef_, best.coef_)


@pytest.mark.parametrize("model", SOLVED, ids=str)
def test_a_solver_ends_with_what_was_kept(model, cancer):
    recorder = Recorder()
    stopper = EarlyStopping(
        lambda view: abs(view.epoch - 2), mode="min", patience=2, restore_best=True
    )
    model = clone(model).set_params(callbacks=[recorder, stopper]).fit(*cancer)
    assert (stopper.best_epoch_, stopper.stopped_epoch_) == (2, 4)
    np.testing.assert_array_equal(model.coef_, recorder.coefs[1])
    if getattr(model, "solver", "auto") != "sdca":  # which knows estimates on its way
        assert model.objective_ == pytest.approx(recorder.history[1]["objective"], rel=1e-12)
    assert model.gap_ == np.inf
    if hasattr(model, "warm_start"):
        kept = model.objective_
        model.set_params(callbacks=None, warm_start=True).fit(*cancer)
        assert model.objective_ < kept


@pytest.mark.thorough
def test_least_absolute_deviations_are_watched_as_huber_s_limit(cancer):
    recorder = Recorder()
    stopper = EarlyStopping(lambda view: view.epoch, patience=1, restore_best=True)
    model = fastgd.HuberRegressor(epsilon=1.0, callbacks=[recorder, stopper]).fit(*cancer)
    np.testing.assert_array_equal(model.coef_, recorder.coefs[0])
    assert model.scale_ == 1e-15
    assert model.objective_ == recorder.history[0]["objective"]


def test_a_name_that_is_not_in_the_history_is_refused(cancer):
    message = "monitor='accuracy' is not in the history of SGDClassifier; it has objective, loss"
    with pytest.raises(ValueError, match=message):
        trained(2, EarlyStopping("accuracy")).fit(*cancer)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(patience=0), "patience must be >= 1, got 0"),
        (lambda: EarlyStopping(min_delta=-1), "min_delta must be >= 0, got -1"),
        (lambda: EarlyStopping(mode="best"), "mode must be auto, min or max, got 'best'"),
        (lambda: EarlyStopping(monitor=3), "monitor must be a name .* got 3"),
        (lambda: Checkpoint("model.h5"), "path must end in one of .joblib, .*; got 'model.h5'"),
        (lambda: Checkpoint("{step}.pkl"), "may hold {epoch} and {target} only, got '{step}.pkl'"),
        (lambda: Checkpoint("model.pkl", every=0), "every must be >= 1, got 0"),
        (lambda: LearningRateLogger(min_change=-1.0), "min_change must be >= 0, got -1.0"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# -- files ------------------------------------------------------------------------------------


def load(path):
    if path.suffix == ".skops":
        skops = pytest.importorskip("skops.io")
        return skops.load(path, trusted=skops.get_untrusted_types(file=path))
    return joblib.load(path) if path.suffix == ".joblib" else pickle.loads(path.read_bytes())


@pytest.mark.parametrize("suffix", [".joblib", ".pkl", ".pickle", ".skops"])
def test_a_checkpoint_goes_on(suffix, tmp_path, cancer):
    if suffix == ".skops":
        pytest.importorskip("skops")
    path = tmp_path / ("model-{epoch:02d}" + suffix)
    writer = Checkpoint(path, every=2)
    whole = trained(5, writer, lambda view: None).fit(*cancer)
    names = [f"model-{epoch:02d}{suffix}" for epoch in (2, 4, 5)]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    assert writer.last_path_ == tmp_path / names[-1]
    half = load(tmp_path / names[0])
    assert half.n_iter_ == 2
    assert half.callbacks is None
    half.partial_fit(*cancer, max_iter=3)
    np.testing.assert_array_equal(half.coef_, whole.coef_)
    assert half.history_["objective"] == whole.history_["objective"]
    np.testing.assert_array_equal(load(tmp_path / names[-1]).coef_, whole.coef_)


def test_the_best_model_is_written(tmp_path, cancer):
    path = tmp_path / "best.joblib"
    stopper = EarlyStopping(patience=3)
    watch = [Checkpoint(path, best_only=True), stopper]
    fastgd.SGDClassifier(random_state=0, tol=None, callbacks=watch).fit(*cancer)
    assert load(path).n_iter_ == stopper.best_epoch_ < stopper.stopped_epoch_


def test_a_checkpoint_of_a_solver_predicts(tmp_path, cancer):
    path = tmp_path / "model.joblib"
    stopping = lambda view: view.epoch == 4  # noqa: E731
    watch = [Checkpoint(path, every=3), stopping]
    model = fastgd.LogisticRegression(callbacks=watch).fit(*cancer)
    np.testing.assert_array_equal(load(path).coef_, model.coef_)
    assert load(path).score(*cancer) == model.score(*cancer)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, cancer, monkeypatch):
    path = tmp_path / "model.pkl"
    trained(1, Checkpoint(path)).fit(*cancer)
    before = path.read_bytes()

    def half(model, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setitem(callbacks._WRITERS, ".pkl", half)
    with pytest.raises(OSError, match="disk full"):
        trained(1, Checkpoint(path)).fit(*cancer)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.pkl"]


def test_what_cannot_be_written_is_refused_at_once(tmp_path, cancer, monkeypatch):
    recorder = Recorder()
    missing = tmp_path / "nowhere" / "model.pkl"
    with pytest.raises(ValueError, match=r"The folder of path, .*nowhere.*does not exist"):
        trained(1, recorder, Checkpoint(missing)).fit(*cancer)
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(ImportError, match=r'pip install "fastgd\[skops\]"'):
        trained(1, recorder, Checkpoint(tmp_path / "model.skops")).fit(*cancer)
    assert [what for what, _ in recorder.reported] == ["begin", ImportError]


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_history_in_csv(tmp_path, cancer):
    path = tmp_path / "history.csv"
    model = trained(3, CSVLogger(path)).fit(*cancer)
    found = rows(path)
    assert [row["epoch"] for row in found] == ["1", "2", "3"]
    assert list(found[0]) == ["epoch", *model.history_]
    for name, values in model.history_.items():
        assert [float(row[name]) for row in found] == values
    model.set_params(callbacks=[CSVLogger(path, append=True)]).partial_fit(*cancer)
    assert [row["epoch"] for row in rows(path)] == ["1", "2", "3", "4"]
    model.set_params(callbacks=[CSVLogger(path)]).partial_fit(*cancer)
    assert [row["epoch"] for row in rows(path)] == ["5"]


def test_a_history_of_many_targets_in_csv(tmp_path):
    X, y = load_iris(return_X_y=True)
    path = tmp_path / "history.csv"
    model = fastgd.LinearSVC(callbacks=[CSVLogger(path)]).fit(scale(X), y)
    found = rows(path)
    assert list(found[0]) == ["target", "epoch", "objective", "suboptimality"]
    for target in range(3):
        column = [float(row["objective"]) for row in found if row["target"] == str(target)]
        assert column == model.history_[target]["objective"]


# -- what is shown ----------------------------------------------------------------------------


def test_rates_that_change_are_logged(caplog, cancer):
    logger = LearningRateLogger()
    kwargs = {"learning_rate": "multistep", "eta0": 0.1}
    kwargs["learning_rate"] = fastgd.schedules.MultiStep(0.1, 0.1, (2.0,))
    with caplog.at_level(logging.INFO, logger="fastgd"):
        model = trained(4, logger, **kwargs).fit(*cancer)
    assert logger.rates_ == model.history_["learning_rate"]
    assert caplog.messages == [
        "SGDClassifier epoch 1: learning rate 0.1",
        "SGDClassifier epoch 3: learning rate 0.01",
    ]
    with pytest.raises(ValueError, match="LogisticRegression has no such rate"):
        fastgd.LogisticRegression(callbacks=[LearningRateLogger()]).fit(*cancer)


def test_a_bar_is_closed_by_an_error(capsys, cancer):
    bar = ProgressBar(leave=False)
    with pytest.raises(ZeroDivisionError):
        trained(3, bar, lambda view: 1 / 0).fit(*cancer)
    assert bar._bar is None
    assert "SGDClassifier" in capsys.readouterr().err
    clone(trained(3, bar))


# -- scikit-learn's own -----------------------------------------------------------------------


@pytest.fixture
def theirs():
    return pytest.importorskip("sklearn.callback", reason="from scikit-learn 1.9 on")


def scores_of(monitor):
    rows = monitor.get_logs().data
    return [row["accuracy"] for row in rows if row["task_name"] == "epoch"]


@pytest.mark.parametrize("model", [trained(4), fastgd.LogisticRegression()], ids=str)
def test_their_scoring_monitor(model, theirs, cancer):
    own = []
    monitor = theirs.ScoringMonitor(scoring="accuracy")
    model = clone(model).set_params(callbacks=[lambda view: own.append(view.model.score(*cancer))])
    model.set_callbacks(monitor).fit(*cancer)
    assert scores_of(monitor) == own
    assert len(own) > 3
    (last,) = [row for row in monitor.get_logs().data if row["task_name"] == "fit"]
    assert last["accuracy"] == model.score(*cancer)
    if hasattr(model, "partial_fit"):
        model.partial_fit(*cancer, max_iter=2)
        assert scores_of(monitor) == own[-2:]


def test_their_scoring_monitor_gets_the_weights(theirs, cancer, rng):
    X, y = cancer
    weight = rng.uniform(0.5, 2.0, len(y))
    monitor = theirs.ScoringMonitor(scoring="accuracy")
    model = trained(2).set_callbacks(monitor).fit(X, y, sample_weight=weight)
    assert scores_of(monitor)[-1] == model.score(X, y, weight)


def test_their_progress_bar_in_a_search(theirs, capsys, cancer):
    pytest.importorskip("rich")
    monitor = theirs.ScoringMonitor(scoring="accuracy")
    pipe = make_pipeline(StandardScaler(), trained(3).set_callbacks(monitor))
    search = GridSearchCV(pipe, {"sgdclassifier__alpha": [1e-3, 1e-2]}, cv=2)
    search.set_callbacks(theirs.ProgressBar(max_propagation_depth=None)).fit(*cancer)
    shown = capsys.readouterr().out
    assert "SGDClassifier - fit" in shown
    assert len(scores_of(monitor)) == 3 * (2 * 2 + 1)
    assert not hasattr(search.best_estimator_[-1], "_parent_callback_ctx")


def test_their_progress_bar_of_many_targets(theirs, capsys):
    pytest.importorskip("rich")
    X, y = load_iris(return_X_y=True)
    fastgd.LinearSVC().set_callbacks(theirs.ProgressBar()).fit(scale(X), y)
    assert "LinearSVC - fit" in capsys.readouterr().out


class TheirOwn:
    """A callback of their protocol."""

    def __init__(self, at_end):
        self.at_end, self.log = at_end, []

    def setup(self, estimator, context):
        self.log.append("setup")

    def teardown(self, estimator, context):
        self.log.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.log.append(f"{context.task_name} begins")

    def on_fit_task_end(self, estimator, context):
        self.log.append(f"{context.task_name} ends")
        return self.at_end(context)


def test_their_callback_stops_the_training(theirs, cancer):
    stopper = TheirOwn(lambda context: context.task_name == "epoch" and context.task_id == 1)
    model = fastgd.SGDClassifier(random_state=0).set_callbacks(stopper).fit(*cancer)
    assert model.n_iter_ == 2
    epoch = ["epoch begins", "epoch ends"]
    # the third is empty: its begin is reported before it is known that there is none
    assert stopper.log == ["setup", "fit begins", *(3 * epoch), "fit ends", "teardown"]


def test_a_fit_that_fails_tears_their_callbacks_down(theirs, cancer):
    model = trained(2).fit(*cancer)
    coef = model.coef_
    model.set_callbacks(callback := TheirOwn(lambda context: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        model.fit(*cancer)
    assert callback.log[-1] == "teardown"
    assert model.coef_ is coef
    assert not {"_watch", "_callback_fit_ctx"} & set(vars(model))


def test_their_callbacks_are_refused_where_ours_are_given(theirs, cancer):
    message = r"callbacks\[0\] is a callback of scikit-learn's, TheirOwn: .* set_callbacks"
    with pytest.raises(TypeError, match=message):
        trained(1, TheirOwn(lambda context: False)).fit(*cancer)


def test_epochs_that_run_out_are_warned_of_in_spite_of_callbacks(cancer):
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        fastgd.SGDClassifier(max_iter=2, callbacks=[lambda view: False]).fit(*cancer)


COPIES = []


def copied(view):
    COPIES.append(copy.deepcopy(view.estimator))
    COPIES.append(pickle.loads(pickle.dumps(view.estimator)))


@pytest.mark.parametrize(
    "model",
    [
        fastgd.SGDClassifier(max_iter=5, tol=None, random_state=0),
        fastgd.LogisticRegression(),
        fastgd.LinearSVC(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_an_estimator_is_copied_and_pickled_while_it_is_fitted(model, cancer):
    """What watches a fit is no part of the estimator."""
    COPIES.clear()
    clone(model).set_params(callbacks=[copied]).fit(*cancer)
    assert len(COPIES) >= 4
    expected = model.fit(*cancer).coef_
    for other_model in COPIES[:2] + COPIES[-2:]:
        assert "_watch" not in vars(other_model)
        fitted = clone(other_model).set_params(callbacks=None).fit(*cancer)
        np.testing.assert_array_equal(fitted.coef_, expected)


def test_a_solver_s_estimator_serves_other_threads_while_it_is_fitted_again(cancer):
    X, y = cancer
    model, done = fastgd.LogisticRegression().fit(X, y), threading.Event()
    expected = model.predict(X)

    def fit_again():
        while not done.is_set():
            model.fit(X, y)

    worker = threading.Thread(target=fit_again)
    worker.start()
    try:
        for _ in range(50):
            for other_model in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model):
                np.testing.assert_array_equal(other_model.predict(X), expected)
    finally:
        done.set()
        worker.join()


# -- grids of strengths -----------------------------------------------------------------------

GRIDS = {  # what each estimator that chooses a strength is made with, and how many it tries
    "LassoCV": ({"alphas": [0.01, 1.0, 0.1]}, 3),
    "ElasticNetCV": ({"alphas": [0.01, 1.0], "l1_ratio": [0.5, 0.9]}, 4),
    "MultiTaskLassoCV": ({"alphas": [0.01, 1.0, 0.1]}, 3),
    "MultiTaskElasticNetCV": ({"alphas": [0.01, 1.0, 0.1]}, 3),
    "RidgeCV": ({"alphas": [0.01, 1.0, 0.1]}, 3),
    "RidgeClassifierCV": ({"alphas": [0.01, 1.0, 0.1]}, 3),
    "LogisticRegressionCV": (
        {
            "Cs": [0.1, 1.0, 10.0],
            "cv": 3,
            "l1_ratios": (0,),
            "scoring": None,
            "use_legacy_attributes": False,
        },
        3,
    ),
}
OTHER_WAYS = {  # RidgeCV's: folds, a scorer of predictions, one that is handed models
    "folds": {"cv": 3},
    "a scorer": {"scoring": "neg_mean_absolute_error"},
    "a search": {"cv": 3, "scoring": lambda model, X, y: model.score(X, y)},
}


def grid_rows(name):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(45, 3))
    if name.startswith("MultiTask"):
        return X, X[:, :2] + rng.normal(size=(45, 2))
    y = X[:, 0] + rng.normal(size=45)
    return X, y > 0 if name in ("LogisticRegressionCV", "RidgeClassifierCV") else y


def test_every_estimator_that_chooses_a_strength_is_tried():
    assert set(GRIDS) == {name for name in fastgd.linear_model.__all__ if name.endswith("CV")}


@pytest.mark.parametrize(
    ("name", "more"),
    [*((name, {}) for name in GRIDS), *(("RidgeCV", more) for more in OTHER_WAYS.values())],
    ids=[*GRIDS, *OTHER_WAYS],
)
def test_a_grid_is_watched_and_stopped(name, more, caplog):
    given, n_tried = GRIDS[name]
    kind, (X, y) = getattr(fastgd, name), grid_rows(name)
    alone = kind(**given, **more).fit(X, y)
    recorder = Recorder()
    with caplog.at_level(logging.INFO, logger="fastgd"):
        whole = kind(**given, **more, callbacks=[recorder], verbose=2).fit(X, y)
    strengths = [("epoch", number + 1) for number in range(n_tried)]
    assert recorder.reported == [("begin", 0), *strengths, ("end", n_tried)]
    assert len([r for r in caplog.records if "strength" in r.getMessage()]) == n_tried
    assert "_watch" not in vars(whole)
    np.testing.assert_allclose(whole.coef_, alone.coef_, rtol=1e-9)
    np.testing.assert_array_equal(recorder.coefs[-1], whole.coef_)

    strength = "C" if "Cs" in given else "alpha"
    scores = [row["score"] for row in recorder.history]
    tried = [row[strength] for row in recorder.history]
    assert getattr(whole, f"{strength}_") == tried[int(np.argmax(scores))]
    first = kind(**given, **more, callbacks=[lambda view: view.epoch == 1]).fit(X, y)
    assert getattr(first, f"{strength}_") == tried[0]
    assert not np.array_equal(first.coef_, whole.coef_) or np.argmax(scores) == 0


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_is_pickled_while_it_is_searched_and_from_before_its_parameters(name):
    kind, (X, y), found = getattr(fastgd, name), grid_rows(name), []

    def pickles(_):
        given, model.callbacks = model.callbacks, None
        found.append(pickle.loads(pickle.dumps(model)))
        model.callbacks = given

    model = kind(**GRIDS[name][0], callbacks=[pickles])
    model.fit(X, y)
    assert len(found) == GRIDS[name][1]
    model.callbacks = None
    assert repr(found[0].get_params()) == repr(model.get_params())
    del model.callbacks  # as in a pickle from before there were callbacks
    again = pickle.loads(pickle.dumps(model))
    assert again.callbacks is None
    np.testing.assert_array_equal(again.fit(X, y).coef_, model.coef_)


@pytest.mark.parametrize("name", GRIDS)
def test_their_callbacks_see_a_grid(name, theirs):
    kind, (X, y) = getattr(fastgd, name), grid_rows(name)
    monitor = theirs.ScoringMonitor(scoring="accuracy" if y.dtype == bool else "r2")
    model = kind(**GRIDS[name][0]).set_callbacks(monitor).fit(X, y)
    rows = monitor.get_logs().data
    scores = [next(iter(row.values())) for row in rows if row["task_name"] == "epoch"]
    assert len(scores) == GRIDS[name][1]
    assert not hasattr(model, "_watch")


def test_scores_of_targets_are_shown_by_their_mean():
    X, Y = grid_rows("MultiTaskLassoCV")
    recorder = Recorder()
    given = {"alphas": [0.1, 100.0], "alpha_per_target": True, "callbacks": [recorder]}
    model = fastgd.RidgeCV(**given).fit(X, Y)
    each = [fastgd.RidgeCV(alpha).fit(X, Y).best_score_ for alpha in (0.1, 100.0)]
    np.testing.assert_allclose([row["score"] for row in recorder.history], each)
    assert model.alpha_.shape == (2,)
    np.testing.assert_array_equal(recorder.coefs[-1], model.coef_)


def test_a_model_that_cannot_be_kept_leaves_the_estimator_as_it_was():
    class Keeper:
        def keep_in(self, error):
            raise MemoryError from error

    model = fastgd.Ridge()
    before = dict(vars(model))

    def fit():
        with or_as_before(model):
            model._watch, model.coef_ = Keeper(), 1.0
            raise ValueError

    with pytest.raises(MemoryError):
        fit()
    assert vars(model) == before
