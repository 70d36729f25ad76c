"""Test, then train, on a stream of batches."""

import joblib
import numpy as np
import pytest
from sklearn.metrics import log_loss

import fastgd
from fastgd.datasets import drifting_stream
from fastgd.streaming import DriftWarning


def batches(n=10, seed=0, coef=1.0):
    random = np.random.default_rng(seed)
    for _ in range(n):
        X = random.normal(size=(50, 3))
        yield X, (coef * X[:, 0] > 0).astype(int)


def learner(**options):
    return fastgd.SGDClassifier(loss="log_loss", random_state=0, **options)


def test_each_batch_is_tested_before_it_is_learned_from():
    steps = list(
        fastgd.stream(learner(), batches(), metrics=["accuracy", "log_loss"], classes=[0, 1])
    )
    alone, scores = learner(), []
    for X, y in batches():
        if hasattr(alone, "coef_"):
            scores.append((alone.score(X, y), log_loss(y, alone.predict_proba(X))))
        alone.partial_fit(X, y, classes=[0, 1])
    assert [step.n_rows for step in steps] == list(range(50, 501, 50))
    assert steps[0].scores == {}
    found = [tuple(step.scores.values()) for step in steps[1:]]
    np.testing.assert_allclose(found, scores)
    np.testing.assert_array_equal(steps[-1].model.coef_, alone.coef_)


def test_running_scores_fade():
    steps = list(fastgd.stream(learner(), batches(), classes=[0, 1], memory=100))
    weight = mean = 0.0
    for step in steps[1:]:
        weight = weight * np.exp(-50 / 100) + 50
        mean += 50 / weight * (step.scores["accuracy"] - mean)
        np.testing.assert_allclose(step.running["accuracy"], mean)


def test_numbers_and_metrics_of_ones_own():
    random = np.random.default_rng(0)
    X = random.normal(size=(100, 2))

    def largest(y, predicted):
        return np.max(np.abs(y - predicted))

    model = fastgd.SGDRegressor(random_state=0)
    pairs = [(X[k : k + 20], X[k : k + 20, 0]) for k in range(0, 100, 20)]
    steps = list(fastgd.stream(model, pairs, metrics=["mean_squared_error", largest]))
    assert list(steps[-1].running) == ["mean_squared_error", "largest"]
    assert steps[-1].running["largest"] > steps[-1].running["mean_squared_error"] ** 0.5


def test_a_score_that_is_no_number_counts_in_no_mean():
    asked = []

    def sometimes(y_true, y_pred):  # noqa: ARG001
        asked.append(len(y_true))
        return np.nan if len(asked) == 2 else float(len(asked))

    batches = [(np.full((10, 1), k), np.zeros(10)) for k in range(4)]
    model = fastgd.SGDRegressor(learning_rate="constant", eta0=1e-3)
    steps = list(fastgd.stream(model, batches, metrics=[sometimes], memory=20))
    assert np.isnan(steps[2].scores["sometimes"])
    assert steps[2].running["sometimes"] == 1.0
    kept = np.exp(-0.5)
    np.testing.assert_allclose(steps[3].running["sometimes"], (kept + 3.0) / (kept + 1.0))


def test_it_stops_after_so_many_rows_and_passes_over_empty_batches():
    def with_holes():
        for X, y in batches(100):
            yield X[:0], y[:0]
            yield X, y

    steps = list(fastgd.stream(learner(), with_holes(), classes=[0, 1], max_rows=120))
    assert [step.n_rows for step in steps] == [50, 100, 150]


def test_checkpoints_by_time_and_at_the_end(tmp_path, monkeypatch):
    from fastgd import streaming

    now = iter(range(0, 10_000, 60))
    monkeypatch.setattr(streaming.time, "monotonic", lambda: float(next(now)))
    path, written = tmp_path / "model.joblib", []
    monkeypatch.setattr(streaming, "_save", lambda model, where: written.append((where, model.t_)))
    list(fastgd.stream(learner(), batches(), classes=[0, 1], checkpoint=path, every=300.0))
    assert [rows for _, rows in written] == [251.0, 501.0, 501.0]
    monkeypatch.undo()
    *_, last = fastgd.stream(learner(), batches(), classes=[0, 1], checkpoint=path)
    np.testing.assert_array_equal(joblib.load(path).coef_, last.model.coef_)
    assert list(tmp_path.iterdir()) == [path]


def test_a_batch_that_is_refused_leaves_the_model_of_the_batch_before():
    def broken():
        yield from batches(3)
        X, y = next(batches(1))
        yield X, np.where(y == 1, 7, y)

    model = learner()
    steps = fastgd.stream(model, broken(), classes=[0, 1])
    kept = [next(steps).model.coef_.copy() for _ in range(3)][-1]
    with pytest.raises(ValueError, match="not among the classes"):
        next(steps)
    np.testing.assert_array_equal(model.coef_, kept)


def test_drift_is_warned_of():
    pytest.importorskip("river")
    model = learner(learning_rate="constant", eta0=0.001)
    turned = [*batches(200), *batches(200, seed=1, coef=-1.0)]
    with pytest.warns(DriftWarning, match="near row 1[0-9],"):
        steps = list(fastgd.stream(model, turned, classes=[0, 1], drift="adwin"))
    assert any(step.drifts for step in steps[200:])


def test_drift_seen_by_a_detector(monkeypatch):
    from fastgd import streaming

    class Detector:
        drift_detected = False

        def update(self, score):
            self.drift_detected = score < 0.2

    monkeypatch.setattr(streaming._Drift, "of", lambda _: streaming._Drift(Detector()))
    turned = [*batches(20), *batches(2, seed=1, coef=-1.0)]
    with pytest.warns(DriftWarning, match="The stream has changed near row 1,000"):
        steps = list(fastgd.stream(learner(), turned, classes=[0, 1]))
    assert [step.drifts for step in steps].index(True) == 20


def test_arguments_are_checked_at_once():
    refused = {
        "metrics may be accuracy": {"metrics": ["auc"]},
        "metrics must be a list": {"metrics": "accuracy"},
        "memory must be": {"memory": 0},
        "every must be": {"every": 0},
        "max_rows must be": {"max_rows": 0},
        "drift must be": {"drift": "yes"},
        "memory must be a number of rows above 0, got '5'": {"memory": "5"},
        "max_rows must be 1 or more, got '5'": {"max_rows": "5"},
        "folder of checkpoint": {"checkpoint": "nowhere/at/all.joblib"},
    }
    for said, options in refused.items():
        with pytest.raises(ValueError, match=said):
            fastgd.stream(learner(), batches(), **options)
    with pytest.raises(ValueError, match="must have partial_fit"):
        fastgd.stream(fastgd.Ridge(), batches())
    with pytest.raises(ValueError, match="needs a model with predict_proba"):
        fastgd.stream(fastgd.SGDClassifier(), batches(), metrics=["log_loss"])


def test_batches_must_be_pairs():
    X, _ = next(batches(1))
    with pytest.raises(ValueError, match=r"a batch must be a pair \(X, y\), got ndarray"):
        list(fastgd.stream(learner(), [X], classes=[0, 1]))


def test_batches_need_targets():
    model = fastgd.SGDRegressor()
    with pytest.raises(ValueError, match="must have targets"):
        next(fastgd.stream(model, [(np.ones((3, 1)), None)]))
    assert not hasattr(model, "coef_")


def test_a_drifting_stream_is_followed():
    model = learner(learning_rate="constant", eta0=0.05)
    source = drifting_stream(20_000, drift="abrupt", random_state=0)
    *_, last = fastgd.stream(model, source, classes=[0, 1], drift=None)
    assert last.running["accuracy"] > 0.7
