"""Rows in chunks: the same trainer, the same steps, whatever part of the rows is in memory."""

import itertools
import os
import pickle
import signal
import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from fastgd import SGDClassifier, SGDOneClassSVM, SGDRegressor
from fastgd._data.chunks import ArrayChunks, BatchChunks, InChunks
from fastgd._data.source import Data
from fastgd.callbacks import Checkpoint
from fastgd.schedules import Cosine

N = 203
CLASSES = [0, 1]


@pytest.fixture
def X(rng):
    return rng.normal(size=(N, 4))


@pytest.fixture
def y(X):
    return (X @ np.arange(4.0) > 0.3).astype(int)


class Batches:
    """An iterable that is no list, as a user writes one; it counts how often it is iterated."""

    def __init__(self, X, y, borders):
        self.parts = [slice(*pair) for pair in itertools.pairwise(borders)]
        self.X, self.y, self.n_passes = X, y, 0

    def __iter__(self):
        self.n_passes += 1
        return ((self.X[part], None if self.y is None else self.y[part]) for part in self.parts)


KWARGS = {
    "rows": {},
    "batches": {"batch_size": 16, "optimizer": "adam"},
    "long batches": {"batch_size": 100, "learning_rate": Cosine()},
    "average": {"average": 10, "batch_size": 3},
    "clipped": {"clip_norm": 0.1, "batch_size": 7},
}
BORDERS = {
    "chunks": [*range(0, N, 50), N],
    "one row": [*range(11), N],
    "empty ones": [0, 0, 40, 40, 120, N, N],
    "all": [0, N],
}


def same_steps(model, whole):
    # plain sgd on single rows begins each chunk without what it takes ahead: to rounding
    is_ahead = model.batch_size == 1 and model.optimizer == "sgd" and model.penalty == "l2"
    for name in ("coef_", "intercept_"):
        expected = getattr(whole, name)
        allowed = 1e-13 * np.abs(expected).max() if is_ahead else 0.0
        np.testing.assert_allclose(getattr(model, name), expected, rtol=0, atol=allowed)
    assert (model.n_iter_, model.t_) == (whole.n_iter_, whole.t_)
    for name, values in whole.history_.items():
        if name != "seconds":
            np.testing.assert_allclose(model.history_[name], values, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("borders", BORDERS)
@pytest.mark.parametrize("kwargs", KWARGS)
def test_without_shuffling_steps_are_those_of_rows_in_memory(kwargs, borders, X, y):
    fixed = {"loss": "log_loss", "shuffle": False, "random_state": 0, "tol": None, "max_iter": 7}
    kwargs = fixed | KWARGS[kwargs]
    whole = SGDClassifier(**kwargs).fit(X, y)
    model = SGDClassifier(**kwargs)
    model._fit_in_chunks(BatchChunks(Batches(X, y, BORDERS[borders])), classes=CLASSES)
    same_steps(model, whole)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_sparse_rows_come_to_the_same_to_rounding(batch_size, X, y):
    """Steps on sparse rows keep the coefficients as multiples, which are multiplied out in turn."""
    X = sp.csr_array(X * (X > 0.2))
    kwargs = {"loss": "log_loss", "shuffle": False, "tol": None, "max_iter": 4}
    kwargs["batch_size"] = batch_size
    whole = SGDClassifier(**kwargs).fit(X, y)
    model = SGDClassifier(**kwargs)
    model._fit_in_chunks(ArrayChunks(X, y, 30), classes=CLASSES)
    np.testing.assert_allclose(model.coef_, whole.coef_, rtol=1e-10)
    all_at_once = SGDClassifier(**kwargs)
    all_at_once._fit_in_chunks(ArrayChunks(X, y, N), classes=CLASSES)
    np.testing.assert_array_equal(all_at_once.coef_, whole.coef_)


@pytest.mark.parametrize("dtype", [np.float64, pytest.param(np.float32, marks=pytest.mark.full)])
def test_memory_maps_are_read_in_parts(dtype, X, tmp_path):
    targets = X @ np.arange(4.0) > 0.3
    np.save(tmp_path / "X.npy", X.astype(dtype))
    np.save(tmp_path / "y.npy", np.stack([targets, ~targets], axis=1).astype(int))
    maps = [np.load(tmp_path / name, mmap_mode="r") for name in ("X.npy", "y.npy")]
    kwargs = {"loss": "log_loss", "shuffle": False, "max_iter": 20, "tol": None, "batch_size": 8}
    whole = SGDClassifier(**kwargs).fit(*map(np.array, maps))
    model = SGDClassifier(**kwargs)
    model._fit_in_chunks(ArrayChunks(*maps, 64), classes=whole.classes_)
    assert model.coef_.dtype == dtype
    same_steps(model, whole)


def test_one_class_has_no_targets(X):
    kwargs = {"shuffle": False, "max_iter": 10, "tol": None}
    whole, model = SGDOneClassSVM(**kwargs).fit(X), SGDOneClassSVM(**kwargs)
    model._fit_in_chunks(BatchChunks(Batches(X, None, BORDERS["chunks"])))
    np.testing.assert_array_equal(model.coef_, whole.coef_)
    np.testing.assert_array_equal(model.offset_, whole.offset_)


@pytest.mark.parametrize(
    "y_of", [lambda y: y + (np.arange(N) % 2), lambda y: np.stack([y, 1 - y], 1)]
)
def test_many_outputs(y_of, X, y):
    y = y_of(y)
    kwargs = {"loss": "log_loss", "shuffle": False, "max_iter": 10, "tol": None, "batch_size": 8}
    whole, model = SGDClassifier(**kwargs).fit(X, y), SGDClassifier(**kwargs)
    model._fit_in_chunks(ArrayChunks(X, y, 50), classes=whole.classes_)
    np.testing.assert_array_equal(model.coef_, whole.coef_)


# -- the order --------------------------------------------------------------------------------


def visited(chunks, epoch, seed, batch_size=1, shuffles=True):
    """Return the first column of the rows in the order in which an epoch visits them."""
    kwargs = {"n_features": 1, "is_sparse": False, "batch_size": batch_size, "shuffles": shuffles}
    nothing = np.empty(0)

    def written(X, y):
        return Data(X, y, nothing, 1.0, nothing, nothing)

    blocks = list(InChunks(chunks, written, **kwargs).epoch(epoch, seed))
    assert all(block.n_visited % batch_size == 0 for block in blocks[:-1])
    rows = [b.order if b.order.size else np.arange(b.n_visited) for b in blocks]
    return np.concatenate(
        [b.rows.values[order, 0] for b, order in zip(blocks, rows, strict=True)]
    ).astype(int)


@pytest.mark.parametrize("batch_size", [1, 7, 16, 500])
@pytest.mark.parametrize("kind", ["array", "batches"])
def test_each_epoch_visits_each_row_once_in_an_order_of_its_own(kind, batch_size):
    rows = np.arange(float(N)).reshape(-1, 1)
    borders = [0, 50, 50, 100, 150, 200, 200, N]
    chunks = ArrayChunks(rows, rows[:, 0], 50)
    if kind == "batches":
        chunks = BatchChunks(Batches(rows, rows[:, 0], borders))
    orders = [visited(chunks, e, s, batch_size) for e, s in [(0, 0), (1, 0), (0, 1)]]
    for order in orders:
        assert sorted(order) == list(range(N))
    assert not any(np.array_equal(orders[i], orders[j]) for i, j in [(0, 1), (0, 2), (1, 2)])
    np.testing.assert_array_equal(visited(chunks, 1, 0, batch_size), orders[1])
    np.testing.assert_array_equal(visited(chunks, 1, 0, batch_size, shuffles=False), np.arange(N))


def test_chunks_are_shuffled_where_they_can_be_read_in_any_order():
    rows = np.arange(float(N)).reshape(-1, 1)
    firsts = set()
    for epoch in range(20):
        order = visited(ArrayChunks(rows, rows[:, 0], 50), epoch, seed=3)
        firsts.add(order[0] // 50)
        assert np.count_nonzero(np.diff(order // 50)) == 4, "a chunk's rows are visited together"
    assert firsts == {0, 1, 2, 3, 4}
    batches = BatchChunks(Batches(rows, rows[:, 0], BORDERS["chunks"]))
    assert (np.diff(visited(batches, 0, 0) // 50) >= 0).all(), "batches come as they come"


def test_shuffled_training_is_repeatable(X, y):
    def fitted(seed, n_rows=50):
        model = SGDClassifier(random_state=seed, max_iter=5, tol=None)
        model._fit_in_chunks(ArrayChunks(X, y, n_rows), classes=CLASSES)
        return model.coef_

    np.testing.assert_array_equal(fitted(0), fitted(0))
    assert not np.array_equal(fitted(0), fitted(1))


# -- the one trainer --------------------------------------------------------------------------


def test_chunks_stop_as_rows_in_memory_do(X, y):
    kwargs = {"loss": "log_loss", "shuffle": False, "max_iter": 500, "random_state": 0}
    whole, model = SGDClassifier(**kwargs).fit(X, y), SGDClassifier(**kwargs)
    model._fit_in_chunks(ArrayChunks(X, y, 50), classes=CLASSES)
    assert 1 < model.n_iter_ == whole.n_iter_ < 500


@pytest.mark.parametrize("n_rows", [13, 1000])
def test_chunks_stop_by_rows_held_out(n_rows, X, y, rng):
    held, of_held = X[:60] + 0.3 * rng.normal(size=(60, 4)), y[:60]
    kwargs = {"shuffle": False, "max_iter": 100, "random_state": 0, "n_iter_no_change": 3}
    whole = SGDClassifier(**kwargs).fit(X, y, X_val=held, y_val=of_held)
    model = SGDClassifier(**kwargs)
    chunks = ArrayChunks(held, of_held, n_rows)
    model._fit_in_chunks(ArrayChunks(X, y, 50), classes=CLASSES, held_out=chunks)
    assert model.n_iter_ < 100
    same_steps(model, whole)
    assert model.score(held, of_held) == max(model.history_["validation_score"])


def test_callbacks_are_reported_epochs(X, y):
    seen = []

    def look(view):
        seen.append((view.epoch, view.max_epochs, view.model.coef_.copy()))
        return view.epoch == 4

    model = SGDClassifier(max_iter=20, tol=None, shuffle=False, callbacks=[look])
    model._fit_in_chunks(ArrayChunks(X, y, 50), classes=CLASSES)
    assert [(epoch, most) for epoch, most, _ in seen] == [(e, 20) for e in (1, 2, 3, 4)]
    whole = SGDClassifier(max_iter=4, tol=None, shuffle=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole.fit(X, y)
    np.testing.assert_array_equal(seen[-1][2], whole.coef_)
    np.testing.assert_array_equal(model.coef_, whole.coef_)


@pytest.mark.parametrize("kwargs", [{}, {"optimizer": "adam", "batch_size": 16, "average": True}])
def test_two_and_three_epochs_are_five(kwargs, X, y):
    kwargs = {"random_state": 0, "learning_rate": Cosine(eta0=0.1), "max_iter": 5, **kwargs}
    kwargs["loss"] = "log_loss"
    chunks = ArrayChunks(X, y, 50)
    whole = SGDClassifier(**kwargs)
    whole._partial_fit_in_chunks(chunks, CLASSES, max_iter=5)
    model = SGDClassifier(**kwargs)
    model._partial_fit_in_chunks(chunks, CLASSES, max_iter=2)
    model = pickle.loads(pickle.dumps(model))
    model._partial_fit_in_chunks(chunks, CLASSES, max_iter=3)
    np.testing.assert_array_equal(model.coef_, whole.coef_)
    assert model.t_ == whole.t_ == 1 + 5 * -(-N // kwargs.get("batch_size", 1))
    assert len(model.history_["objective"]) == 5


def test_a_checkpoint_goes_on_to_the_same_model(X, y, tmp_path):
    kwargs = {"random_state": 0, "optimizer": "adam", "batch_size": 16, "max_iter": 5, "tol": None}
    kwargs["loss"] = "log_loss"
    chunks = ArrayChunks(X, y, 50)
    whole = SGDClassifier(**kwargs, callbacks=[Checkpoint(tmp_path / "m-{epoch}.pkl")])
    whole._fit_in_chunks(chunks, CLASSES)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"m-{e}.pkl" for e in range(1, 6)]
    model = pickle.loads((tmp_path / "m-3.pkl").read_bytes())
    assert not np.array_equal(model.coef_, whole.coef_)
    model._partial_fit_in_chunks(chunks, max_iter=2)
    np.testing.assert_array_equal(model.coef_, whole.coef_)
    assert len(model.history_["objective"]) == 5


@pytest.mark.parametrize("rate", ["adaptive", lambda t: 0.1 / t])
def test_rates_that_follow_training_or_are_a_user_s_own(rate, X, y):
    kwargs = {"shuffle": False, "learning_rate": rate, "eta0": 0.1, "max_iter": 40}
    kwargs |= {"loss": "log_loss", "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole, model = SGDClassifier(**kwargs).fit(X, y), SGDClassifier(**kwargs)
        model._fit_in_chunks(ArrayChunks(X, y, 50), classes=CLASSES)
    same_steps(model, whole)


def test_ctrl_c_keeps_the_model(X, y):
    class Interrupted(ArrayChunks):
        n_reads = 0

        def read(self, numbers):
            for pair in super().read(numbers):
                self.n_reads += 1
                if self.n_reads == 8:
                    os.kill(os.getpid(), signal.SIGINT)
                yield pair

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        model = SGDClassifier(max_iter=1000, tol=None, random_state=0)
        with pytest.warns(UserWarning, match="was interrupted in epoch 2"):
            model._fit_in_chunks(Interrupted(X, y, 50), classes=CLASSES)
    finally:
        signal.signal(signal.SIGINT, before)
    assert model.n_iter_ == 2
    assert model.score(X, y) > 0.7


@pytest.mark.parametrize("sparse", [False, True])
def test_what_looks_at_all_rows_takes_passes(sparse, X, y):
    X = sp.csr_array(X) if sparse else X
    kwargs = {"loss": "log_loss", "shuffle": False, "max_iter": 3, "tol": None, "monitor": True}
    whole, model = SGDClassifier(**kwargs).fit(X, y), SGDClassifier(**kwargs)
    model._fit_in_chunks(ArrayChunks(X, y, 50), classes=CLASSES)
    for name in ("true_objective", "gradient_norm"):
        np.testing.assert_allclose(model.history_[name], whole.history_[name], rtol=1e-9)


def test_an_explosion_is_reported_where_it_is_noticed(X, y):
    X[100, 2] = 1e200
    model = SGDRegressor(eta0=10.0, learning_rate="constant", shuffle=False)
    said = r"at epoch #1.* by step 150: .* The feature of the largest magnitude is 2, with 1e\+200"
    with pytest.raises(ValueError, match=said):
        model._fit_in_chunks(ArrayChunks(X, y.astype(float), 50))


@pytest.mark.parametrize("answer", ["backoff", "warn"])
def test_training_goes_back_where_it_explodes(answer, X, y):
    X[100, 2] = 1e6
    kwargs = {"learning_rate": "constant", "eta0": 10.0, "tol": None, "max_iter": 20}
    model = SGDRegressor(on_divergence=answer, random_state=0, **kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model._fit_in_chunks(ArrayChunks(X, y.astype(float), 50))
    at_start = np.mean(y**2) / 2
    assert model.history_["objective"][-1] <= 10.0 * at_start
    assert np.isfinite(model.coef_).all()


def test_a_full_batch_is_the_largest_chunk(X, y):
    kwargs = {"loss": "log_loss", "shuffle": False, "max_iter": 3, "tol": None}
    full, model = SGDClassifier(batch_size="full", **kwargs), SGDClassifier(batch_size=50, **kwargs)
    for one in (full, model):
        one._fit_in_chunks(ArrayChunks(X, y, 50), classes=CLASSES)
    np.testing.assert_array_equal(full.coef_, model.coef_)


# -- what is refused --------------------------------------------------------------------------


def test_rows_that_change_are_noticed(X, y):
    class Shrinks(Batches):
        def __iter__(self):
            n_passes = self.n_passes  # one to count, one to look
            rows = super().__iter__()
            return ((a[:-1], b[:-1]) if n_passes > 2 else (a, b) for a, b in rows)

    model = SGDClassifier(max_iter=5, tol=None).fit(X, y)
    before = model.coef_
    said = "chunk 0 had 50 rows when they were counted, and has 49 now: each pass must read"
    with pytest.raises(ValueError, match=said):
        model._fit_in_chunks(BatchChunks(Shrinks(X, y, BORDERS["chunks"])), classes=CLASSES)
    assert model.coef_ is before

    class Ends(Batches):
        def __iter__(self):
            rows = list(super().__iter__())
            return iter(rows[:-1] if self.n_passes > 3 else rows)

    with pytest.raises(ValueError, match=r"chunk 4 had 3 rows when .* and has 0 now"):
        model._fit_in_chunks(BatchChunks(Ends(X, y, BORDERS["chunks"])), classes=CLASSES)


def test_what_cannot_be_trained_on_is_refused(X, y):
    model = SGDClassifier()
    with pytest.raises(ValueError, match=r"iterated once an epoch.* got the iterator 'generator'"):
        BatchChunks((X, y) for _ in range(3))
    with pytest.raises(ValueError, match="there are no rows to train on"):
        model._fit_in_chunks(ArrayChunks(X[:0], y[:0], 5), classes=CLASSES)
    with pytest.raises(ValueError, match="classes must be passed"):
        model._fit_in_chunks(ArrayChunks(X, y, 50))
    with pytest.raises(ValueError, match="early_stopping=True needs the rows to stop by"):
        SGDClassifier(early_stopping=True)._fit_in_chunks(ArrayChunks(X, y, 50), classes=CLASSES)
    mixed = BatchChunks([(X, y), (sp.csr_array(X), y)])
    with pytest.raises(ValueError, match="chunk 1: either all chunks are sparse, or none"):
        model._fit_in_chunks(mixed, classes=CLASSES)
    wide = BatchChunks([(X, y), (X[:, :3], y)])
    with pytest.raises(ValueError, match="X has 3 features"):
        model._fit_in_chunks(wide, classes=CLASSES)
    with pytest.raises(ValueError, match="'eta0' parameter"):
        SGDClassifier(eta0=-1.0)._fit_in_chunks(ArrayChunks(X, y, 50), classes=CLASSES)
    chunks = ArrayChunks(X, y.astype(float), 50)
    with pytest.raises(ValueError, match="too few to score: 1, and 2 are needed"):
        SGDRegressor()._fit_in_chunks(chunks, held_out=ArrayChunks(X[:1], y[:1], 5))
    assert not hasattr(model, "coef_")
