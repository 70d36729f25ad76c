"""A model as an epoch left it goes on as the training did, bit for bit; and what calls leave."""

import contextlib
import copy
import os
import pickle
import signal
import time
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit, cross_val_score

import fastgd
from fastgd._engines.network import NetworkEngine
from fastgd._training import progress as _progress
from fastgd._training import trainer as _trainer
from fastgd.callbacks import Callback, Checkpoint, CSVLogger, EarlyStopping
from fastgd.datasets import open as open_rows
from fastgd.neural_network import MLPClassifier
from tests.tables import over_product

N_EPOCHS = 24


@pytest.fixture(scope="module")
def classes():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 4))
    return X, (X @ rng.normal(size=4) + 0.7 * rng.normal(size=90) > 0).astype(int)


class Snapshots(list):
    """A callback that pickles the model of each epoch."""

    def on_epoch_end(self, view):
        self.append(pickle.dumps(view.model))


CASES = {
    "adaptive": {"learning_rate": "adaptive", "eta0": 0.5, "n_iter_no_change": 2},
    "plateau": {"learning_rate": fastgd.schedules.ReduceOnPlateau(patience=1), "eta0": 0.5},
    "warm adaptive": {
        "learning_rate": fastgd.schedules.WarmUp(fastgd.schedules.Adaptive(), length=3),
        "eta0": 0.5,
        "n_iter_no_change": 2,
    },
    "cosine": {"learning_rate": "cosine", "eta0": 0.1},
    "adam": {"optimizer": "adam", "batch_size": 16},
    "averaged": {"average": 40, "batch_size": 16},
    "quantized": {"quantize": "topk", "batch_size": 16},
    "backoff": {"learning_rate": "constant", "eta0": 30.0, "on_divergence": "backoff"},
    "backoff and adaptive": {
        "learning_rate": "adaptive",
        "eta0": 30.0,
        "on_divergence": "backoff",
        "n_iter_no_change": 2,
    },
}


@pytest.mark.parametrize("kwargs", CASES.values(), ids=CASES)
def test_every_snapshot_goes_on_bit_for_bit(kwargs, classes):
    seen = Snapshots()
    loss = "squared_error" if kwargs.get("on_divergence") else "log_loss"
    kwargs = {"loss": loss, "random_state": 0, **kwargs, "max_iter": N_EPOCHS, "tol": 1e-3}
    model = fastgd.SGDClassifier(**kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        whole = model.set_params(callbacks=[seen]).fit(*classes)
    assert len(seen) == whole.n_iter_ > 3
    reports = [pickle.loads(content).coef_ for content in seen]
    for epoch, content in enumerate(seen[:-1], start=1):
        resumed = pickle.loads(content)
        for coef in reports[epoch:]:
            resumed.partial_fit(*classes)
            np.testing.assert_array_equal(resumed.coef_, coef)
    for name in ("objective", "learning_rate"):
        np.testing.assert_array_equal(resumed.history_[name], whole.history_[name])


def test_calls_of_two_and_three_epochs_are_one_of_five_where_training_goes_back(classes):
    kwargs = {"learning_rate": "constant", "eta0": 1e3, "on_divergence": "backoff", "max_iter": 5}
    kwargs |= {"loss": "squared_error", "random_state": 0, "tol": None}
    whole = fastgd.SGDClassifier(**kwargs).fit(*classes)
    assert whole.history_["backoffs"][-1] > 0
    parts = fastgd.SGDClassifier(**kwargs).partial_fit(*classes, classes=[0, 1], max_iter=2)
    parts.partial_fit(*classes, max_iter=3)
    np.testing.assert_array_equal(parts.coef_, whole.coef_)
    assert parts.history_["objective"] == whole.history_["objective"]


def test_snapshots_of_early_stopping_go_on_over_the_rows_trained_on(classes):
    X, y = classes
    seen = Snapshots()
    kwargs = {"loss": "log_loss", "random_state": 0, "max_iter": 8, "tol": None}
    fastgd.SGDClassifier(**kwargs, early_stopping=True, callbacks=[seen]).fit(X, y)
    split = StratifiedShuffleSplit(test_size=0.1, random_state=0).split(X, y)
    rows = np.sort(next(split)[0])
    resumed = pickle.loads(seen[2]).set_params(early_stopping=False)
    for content in seen[3:]:
        resumed.partial_fit(X[rows], y[rows])
        np.testing.assert_array_equal(resumed.coef_, pickle.loads(content).coef_)


def test_scores_are_not_compared_with_objectives(classes):
    kwargs = {"learning_rate": "adaptive", "eta0": 0.1, "n_iter_no_change": 3, "random_state": 0}
    model = fastgd.SGDClassifier(**kwargs, early_stopping=True, max_iter=2, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(*classes)
    assert model._progress.course.best[0] < 0.0
    model.set_params(early_stopping=False).partial_fit(*classes)
    assert model._progress.course.best[0] == model.history_["objective"][-1]


# -- the history ------------------------------------------------------------------------------


def test_a_stream_does_not_copy_its_history(classes):
    X, y = classes
    model = fastgd.SGDClassifier(random_state=0).partial_fit(X[:1], y[:1], classes=[0, 1])
    lists = model._progress.history["objective"]
    for _ in range(5):
        model.partial_fit(X[:1], y[:1])
    assert model._progress.history["objective"] is lists
    assert len(lists) == 6


def test_a_history_that_someone_holds_does_not_grow(classes):
    model = fastgd.SGDClassifier(random_state=0).partial_fit(*classes, classes=[0, 1])
    held = model.history_
    copied = copy.copy(model)
    model.partial_fit(*classes)
    assert [len(one) for one in (held["loss"], copied.history_["loss"])] == [1, 1]
    copied.partial_fit(*classes, max_iter=2)
    assert [len(one.history_["loss"]) for one in (model, copied)] == [2, 3]


def test_a_call_that_fails_leaves_the_history_as_it_was(classes):
    kwargs = {"learning_rate": lambda t: np.where(t < 200, 0.1, np.inf), "random_state": 0}
    model = fastgd.SGDClassifier(**kwargs).partial_fit(*classes, classes=[0, 1])
    with pytest.raises(ValueError, match="learning_rate must return finite rates"):
        model.partial_fit(*classes, max_iter=3)
    assert len(model.history_["objective"]) == 1
    model.set_params(learning_rate="constant").partial_fit(*classes)
    assert len(model.history_["objective"]) == 2


def test_a_stream_keeps_the_last_epochs(classes, monkeypatch):
    monkeypatch.setattr(_progress, "EPOCHS_KEPT", 4)
    X, y = classes
    model = fastgd.SGDClassifier(random_state=0).partial_fit(X, y, classes=[0, 1])
    for _ in range(11):
        model.partial_fit(X, y)
        assert len(model._progress.history["objective"]) <= 9
    lengths = {len(values) for values in model.history_.values()}
    assert len(lengths) == 1
    assert model.history_["samples"][-1] == 12 * len(y)


def test_before_a_fit_there_is_no_history():
    assert not hasattr(fastgd.SGDRegressor(), "history_")


@over_product(
    lambda n_targets, monitor: n_targets == 1 or not monitor,
    n_targets=[1, 3],
    monitor=[False, True],
)
def test_an_explosion_in_the_first_epoch_has_an_entry(n_targets, monitor, classes):
    X = classes[0]
    y = np.repeat(X[:, :1], n_targets, axis=1) + 1.0
    kwargs = {"eta0": 1e160, "learning_rate": "constant", "on_divergence": "warn"}
    model = fastgd.SGDRegressor(**kwargs, monitor=monitor, random_state=0)
    with pytest.warns(ConvergenceWarning, match="of the best epoch"):
        model.fit(X, y if n_targets > 1 else y[:, 0])
    names = {"objective", "loss", "penalty", "learning_rate", "update_norm", "coef_norm"}
    names |= {"samples", "seconds"} | ({"true_objective", "gradient_norm"} if monitor else set())
    assert names <= model.history_.keys()
    assert {len(values) for values in model.history_.values()} == {model.n_iter_} == {1}
    assert model.history_["objective"][0] == pytest.approx(0.5 * np.mean(y[:, 0] ** 2) * n_targets)


# -- rows held out ----------------------------------------------------------------------------


def test_one_row_held_out_has_no_score():
    X, y = np.arange(9.0)[:, None], np.arange(9.0)
    assert len(next(ShuffleSplit(test_size=0.1).split(X))[1]) == 1
    with pytest.raises(ValueError, match=r"validation_fraction=0.1 of 9 rows holds out one row"):
        fastgd.SGDRegressor(early_stopping=True).fit(X, y)


# -- a decay that is too strong ---------------------------------------------------------------

STRONG = [
    (fastgd.SGDRegressor, {"optimizer": "sgd", "eta0": 0.2, "alpha": 6.0}),
    (fastgd.SGDRegressor, {"optimizer": "momentum", "eta0": 0.02, "alpha": 6.0}),
    (fastgd.SGDRegressor, {"optimizer": "nesterov", "eta0": 0.02, "alpha": 6.0}),
    pytest.param(
        *(fastgd.SGDClassifier, {"optimizer": "momentum", "eta0": 0.02, "alpha": 6.0}),
        marks=pytest.mark.full,
    ),
    pytest.param(
        *(fastgd.SGDOneClassSVM, {"optimizer": "momentum", "eta0": 0.2, "nu": 0.9}),
        marks=pytest.mark.full,
    ),
]


@pytest.mark.parametrize(("kind", "kwargs"), STRONG)
def test_a_decay_that_leaves_nothing_is_reported(kind, kwargs, classes):
    kwargs = {**kwargs, "learning_rate": "constant", "max_iter": 20, "tol": None, "random_state": 0}
    with pytest.warns(ConvergenceWarning, match="drops all of the coefficients"):
        kind(**kwargs).fit(*classes)
    # a rate that falls below it in time is right in the end
    kind(**{**kwargs, "learning_rate": fastgd.schedules.InvScaling(power_t=0.5)}).fit(*classes)


def test_a_decay_just_below_is_not_told(classes):
    kwargs = {"optimizer": "momentum", "eta0": 0.02, "alpha": 4.5, "learning_rate": "constant"}
    fastgd.SGDRegressor(**kwargs, max_iter=5, tol=None, random_state=0).fit(*classes)


# -- a fit that was killed ----------------------------------------------------------------------


class Parts(list):
    """Keeps what a fit can go on from, after all steps that are shown and after each epoch."""

    resume = True

    def on_steps_end(self, view):
        self.append(pickle.dumps(view.unfinished))

    on_epoch_end = on_steps_end


class GoOn:
    """Goes on from one of them."""

    resume = True

    def __init__(self, content):
        self.content = content

    def on_fit_begin(self, view):
        view.resume(pickle.loads(self.content))


def fit_quietly(model, *data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*data)


def goes_on_with_the_same_bits(make, *data, every=1):
    """Go on from each part of a fit; return the fit, and how many parts there were."""
    seen = Parts()
    whole = fit_quietly(make(callbacks=[seen]), *data)
    for content in seen[::every]:
        resumed = fit_quietly(make(callbacks=[GoOn(content)]), *data)
        assert resumed.n_iter_ == whole.n_iter_
        np.testing.assert_array_equal(resumed._progress.params, whole._progress.params)
        np.testing.assert_array_equal(resumed._progress.reported(), whole._progress.reported())
        for name in set(whole.history_) - {"seconds"}:
            np.testing.assert_array_equal(resumed.history_[name], whole.history_[name], name)
    assert len(seen) > 2 * whole.n_iter_
    return whole


@pytest.mark.parametrize("kwargs", CASES.values(), ids=CASES)
def test_a_fit_goes_on_in_the_middle_of_an_epoch(kwargs, classes, monkeypatch):
    monkeypatch.setattr(_trainer, "CHUNK_STEPS", 2 if "batch_size" in kwargs else 25)
    loss = "squared_error" if kwargs.get("on_divergence") else "log_loss"
    kwargs = {"loss": loss, "random_state": 0, "max_iter": 6, "tol": 1e-3, **kwargs}
    goes_on_with_the_same_bits(lambda **more: fastgd.SGDClassifier(**kwargs, **more), *classes)


@pytest.mark.parametrize("batch_size", [1, 16])
def test_rows_in_chunks_go_on_in_the_middle_of_an_epoch(batch_size, classes):
    """Batches go over the borders of chunks, which are read again from where one ended."""
    rows = open_rows(classes, chunk_rows=23)
    kwargs = {"loss": "log_loss", "batch_size": batch_size, "max_iter": 4, "random_state": 0}

    def make(**more):
        return fastgd.SGDClassifier(**kwargs, early_stopping=True, **more)

    goes_on_with_the_same_bits(make, rows)


def test_a_network_goes_on_in_the_middle_of_an_epoch(classes, monkeypatch):
    monkeypatch.setattr(NetworkEngine, "steps_at_once", 2)
    kwargs = {"hidden_layer_sizes": (5,), "batch_size": 16, "max_iter": 4, "random_state": 0}
    goes_on_with_the_same_bits(lambda **more: MLPClassifier(**kwargs, **more), *classes)


class Slow(Callback):
    """Takes its time between steps; ``holds`` waits after the first ones for its end."""

    def __init__(self, begun, holds):
        self.begun, self.holds = begun, holds

    def on_fit_begin(self, _view):
        if not self.holds:
            self.begun.touch()

    def on_steps_end(self, _view):
        if self.holds:
            self.begun.touch()
        time.sleep(60.0 if self.holds else 0.003)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_process_that_is_killed_at_any_moment_goes_on(in_chunks, tmp_path, classes, monkeypatch):
    monkeypatch.setattr(_trainer, "CHUNK_STEPS", 1)
    kwargs = {"loss": "log_loss", "batch_size": 16, "max_iter": 6, "tol": None, "random_state": 0}
    data = (open_rows(classes, chunk_rows=23),) if in_chunks else classes
    whole = fastgd.SGDClassifier(**kwargs).fit(*data)
    path, begun = tmp_path / "model.pkl", tmp_path / "begun"
    rng, n_killed, epochs = np.random.default_rng(0), 0, set()
    deadline = time.monotonic() + 120
    while not (tmp_path / "done").exists():
        child = os.fork()
        if not child:
            code = 1
            try:
                watch = [Checkpoint(path, seconds=0, resume=True), Slow(begun, holds=n_killed < 3)]
                model = fit_quietly(fastgd.SGDClassifier(**kwargs, callbacks=watch), *data)
                (tmp_path / "coef").write_bytes(model.coef_.tobytes())
                (tmp_path / "done").touch()
                code = 0
            finally:
                os._exit(code)
        if n_killed < 8:
            while not begun.exists() and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(rng.uniform(0.0, 0.1))
            begun.unlink()
            os.kill(child, signal.SIGKILL)
            n_killed += 1
        assert os.waitpid(child, 0)[1] in (0, signal.SIGKILL)
        assert time.monotonic() < deadline
        if path.exists():
            unfinished = pickle.loads(path.read_bytes())._progress.unfinished
            epochs.add(unfinished.epoch is not None)
    assert n_killed > 2
    assert True in epochs  # those that were held were killed within one
    assert (tmp_path / "coef").read_bytes() == whole.coef_.tobytes()


def test_a_fit_that_had_ended_is_not_repeated(classes, tmp_path):
    path = tmp_path / "model.joblib"
    kwargs = {"random_state": 0, "max_iter": 4, "tol": None}
    stopper = EarlyStopping(patience=2, min_delta=10.0)
    watch = [Checkpoint(path, resume=True), stopper]
    first = fastgd.SGDClassifier(**kwargs, callbacks=watch).fit(*classes)
    seen = Snapshots()
    again = fastgd.SGDClassifier(**kwargs, callbacks=[*watch, seen]).fit(*classes)
    assert not seen
    assert again.n_iter_ == first.n_iter_ == stopper.stopped_epoch_ == 3
    np.testing.assert_array_equal(again.coef_, first.coef_)


def test_callbacks_go_on_where_they_were(classes, tmp_path):
    path, log = tmp_path / "model.pkl", tmp_path / "log.csv"
    kwargs = {"random_state": 0, "max_iter": 9, "tol": None}

    def watch():
        stopper = EarlyStopping(patience=4, min_delta=10.0, restore_best=True)
        return [stopper, CSVLogger(log), Checkpoint(path, resume=True)]

    whole = fastgd.SGDClassifier(**kwargs, callbacks=watch()[:2]).fit(*classes)
    lines = [line.rsplit(",", 1)[0] for line in log.read_text().splitlines()]  # without seconds

    def fails(view):
        if view.epoch == 3:
            raise KeyError("a power cut")

    with pytest.raises(KeyError):
        fastgd.SGDClassifier(**kwargs, callbacks=[*watch(), fails]).fit(*classes)
    resumed = fastgd.SGDClassifier(**kwargs, callbacks=watch()).fit(*classes)
    assert resumed.n_iter_ == whole.n_iter_ == 5
    np.testing.assert_array_equal(resumed.coef_, whole.coef_)
    assert [line.rsplit(",", 1)[0] for line in log.read_text().splitlines()] == lines


def test_ctrl_c_leaves_what_the_fit_goes_on_from(classes, tmp_path):
    path = tmp_path / "model.pkl"
    kwargs = {"random_state": 0, "max_iter": 5, "tol": None}
    whole = fastgd.SGDClassifier(**kwargs).fit(*classes)

    def interrupts(view):
        if view.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    watch = [interrupts, Checkpoint(path, resume=True)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a runner may have another
    try:
        with pytest.warns(ConvergenceWarning, match="interrupted"):
            cut = fastgd.SGDClassifier(**kwargs, callbacks=watch).fit(*classes)
    finally:
        signal.signal(signal.SIGINT, before)
    assert cut.n_iter_ == 2
    resumed = fastgd.SGDClassifier(**kwargs, callbacks=watch[1:]).fit(*classes)
    np.testing.assert_array_equal(resumed.coef_, whole.coef_)


def test_what_cannot_go_on_says_why(classes, tmp_path):
    X, y = classes
    path = tmp_path / "model.pkl"
    watch = [Checkpoint(path, resume=True)]
    kwargs = {"random_state": 0, "max_iter": 2, "tol": None, "callbacks": watch}
    model = fastgd.SGDClassifier(**kwargs).fit(X, y)
    with pytest.raises(ValueError, match=r"a fit with alpha=0.0001, which is now 0.1"):
        fastgd.SGDClassifier(**kwargs, alpha=0.1).fit(X, y)
    with pytest.raises(ValueError, match="is a SGDClassifier, and no SGDRegressor"):
        fastgd.SGDRegressor(**kwargs).fit(X, y)
    with pytest.raises(ValueError, match="needs a number as random_state"):
        fastgd.SGDClassifier(callbacks=watch).fit(X, y)
    with pytest.raises(ValueError, match="fit of Ridge cannot go on from a file"):
        fastgd.Ridge(random_state=0, callbacks=[Checkpoint(tmp_path / "r.pkl", resume=True)]).fit(
            X, y
        )
    seen = Parts()
    fastgd.SGDClassifier(**{**kwargs, "callbacks": [seen]}).fit(X, y)
    with pytest.raises(
        ValueError, match="written while other rows, targets or weights, or from another"
    ):
        fastgd.SGDClassifier(**{**kwargs, "callbacks": [GoOn(seen[0])]}).fit(X[::-1], y[::-1])
    with pytest.raises(ValueError, match="lbfgs"):
        MLPClassifier(solver="lbfgs", random_state=0, callbacks=[Parts()]).fit(X, y)
    fastgd.SGDClassifier(**{**kwargs, "callbacks": [Checkpoint(path)]}).fit(X, y)
    with pytest.raises(ValueError, match="written without resume=True"):
        fastgd.SGDClassifier(**kwargs).fit(X, y)
    model.partial_fit(X, y)  # goes on from the model, whatever the file is
    with pytest.raises(ValueError, match="or by partial_fit"):  # and the file is not of a fit
        fastgd.SGDClassifier(**kwargs).fit(X, y)
    for wrong in ({"path": "a-{epoch}.pkl"}, {"path": "a.skops"}, {"best_only": True}):
        with pytest.raises(ValueError, match="resume=True"):
            Checkpoint(**{"path": "a.pkl", "resume": True, **wrong})
    with pytest.raises(ValueError, match="seconds must be >= 0"):
        Checkpoint(path, seconds=-1)


def others(X, y):
    """Yield rows, targets and weights that are not those of a fit, each by one number."""
    moved = X.copy()
    moved[45, 2] += 1.0
    yield moved, y, None
    yield X, np.where(np.arange(len(y)) == 40, 1 - y, y), None
    yield X, y, np.where(np.arange(len(y)) == 50, 2.0, 1.0)
    yield X.astype(np.float32), y, None
    yield X[:, :3], y, None
    yield X[:-1], y[:-1], None


@pytest.mark.parametrize("ends", [True, False])
def test_a_fit_of_other_rows_does_not_go_on(ends, classes, tmp_path):
    """Neither in the middle nor where it had ended: the result would be that of other rows."""
    path = tmp_path / "model.pkl"
    kwargs = {"loss": "log_loss", "random_state": 0, "max_iter": 3, "tol": None}

    def fails(view):
        if view.epoch == 2:
            raise KeyError("a power cut")

    watch = [Checkpoint(path, resume=True)]
    with contextlib.nullcontext() if ends else pytest.raises(KeyError):
        fastgd.SGDClassifier(**kwargs, callbacks=watch + [fails] * (not ends)).fit(*classes)
    for X, y, weight in others(*classes):
        model = fastgd.SGDClassifier(**kwargs, callbacks=watch)
        with pytest.raises(ValueError, match="other rows, targets or weights"):
            model.fit(X, y, sample_weight=weight)
        assert not hasattr(model, "coef_")
    model = fastgd.SGDClassifier(**kwargs, callbacks=watch)
    with pytest.raises(ValueError, match="or from another start"):
        model.fit(*classes, coef_init=np.ones((1, classes[0].shape[1])))
    folds = fastgd.SGDClassifier(**kwargs, callbacks=[Checkpoint(tmp_path / "f.pkl", resume=True)])
    with pytest.raises(ValueError, match="other rows, targets or weights"):
        cross_val_score(folds, *classes, error_score="raise")


def test_rows_in_parts_that_are_others_do_not_go_on(classes, tmp_path):
    X, y = classes
    watch = [Checkpoint(tmp_path / "model.pkl", resume=True)]
    kwargs = {"loss": "log_loss", "random_state": 0, "max_iter": 4, "tol": None}
    rows = open_rows((X, y), chunk_rows=23)
    first = fastgd.SGDClassifier(**kwargs, callbacks=watch).fit(rows)
    again = fastgd.SGDClassifier(**kwargs, callbacks=watch).fit(rows)
    np.testing.assert_array_equal(again.coef_, first.coef_)
    for cut in ((X[1:], y[1:]), (X + 1.0, y)):
        with pytest.raises(ValueError, match="other rows, targets or weights"):
            fastgd.SGDClassifier(**kwargs, callbacks=watch).fit(open_rows(cut, chunk_rows=23))


@pytest.mark.parametrize("suffix", [".pkl", ".joblib"])
def test_a_damaged_file_is_named(suffix, classes, tmp_path):
    path = tmp_path / f"model{suffix}"
    kwargs = {"loss": "log_loss", "random_state": 0, "max_iter": 3, "tol": None}
    model = fastgd.SGDClassifier(**kwargs, callbacks=[Checkpoint(path, resume=True)])
    whole = model.fit(*classes)
    content = path.read_bytes()
    foreign = pickle.dumps({"a": 1}), b"cno_such_module\nX\n."
    for damaged in (b"", content[: len(content) // 2], b"hello world", *foreign):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"cannot be read as a checkpoint|is a dict"):
            model.fit(*classes)
        assert path.read_bytes() == damaged
    path.unlink()
    np.testing.assert_array_equal(model.fit(*classes).coef_, whole.coef_)
