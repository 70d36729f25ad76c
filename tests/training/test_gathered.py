"""Steps of each coefficient's own length on sparse rows, whose columns are gathered first."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp

import fastgd
from fastgd._engines import linear
from fastgd.kernels import gathered
from fastgd.kernels.optimizers import Adam, AdamW, LazyMoments

N_ROWS, N_COLUMNS = 120, 150


def rows_of(rng, dtype, *, most=60):
    """Rows of none to many entries, on columns of which some are in most rows and some in few."""
    X = np.zeros((N_ROWS, N_COLUMNS), dtype)
    for i, n in enumerate(rng.integers(0, most, N_ROWS)):
        columns = np.unique((N_COLUMNS * rng.random(n) ** 2).astype(int))
        X[i, columns] = rng.standard_normal(columns.size)
    y = (X @ rng.standard_normal(N_COLUMNS) > 0).astype(int)
    return sp.csr_matrix(X), y


def fitted(X, y, **kwargs):
    """Return a model after some epochs."""
    settings = {"max_iter": 4, "tol": None, "random_state": 0, "alpha": 1e-3, **kwargs}
    return fastgd.SGDClassifier(**settings).fit(X, y)


def assert_alike(model, other, rtol):
    scale = np.abs(other.coef_).max()
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=0, atol=rtol * scale)
    np.testing.assert_allclose(model.intercept_, other.intercept_, rtol=0, atol=rtol * scale)


FALLING = {"learning_rate": "invscaling", "eta0": 0.1}
CASES = [
    ("adagrad", "hinge", "l2", np.float64, FALLING, 1e-9),
    ("sgd", "log_loss", "l1", np.float64, {"learning_rate": "constant", "eta0": 0.1}, 1e-11),
    (Adam(lazy=True), "hinge", "l2", np.float32, {}, 2e-5),
    # what a penalty and a decay do in turn is made up for to second order of the decay
    (AdamW(lazy=True, weight_decay=0.1), "hinge", "elasticnet", np.float64, {}, 1e-5),
]
# which compile the same again, for other losses, penalties and dtypes
MORE_CASES = [
    ("adagrad", "log_loss", "l2", np.float32, {}, 2e-5),
    ("adagrad", "hinge", "l1", np.float64, FALLING, 1e-9),
    ("sgd", "hinge", "l1", np.float32, {"learning_rate": "optimal"}, 2e-5),
    (Adam(lazy=True), "log_loss", "l2", np.float32, {}, 2e-5),
]


@pytest.mark.parametrize(
    ("optimizer", "loss", "penalty", "dtype", "more", "rtol"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.full) for case in MORE_CASES)],
)
def test_sparse_rows_give_what_dense_ones_do(optimizer, loss, penalty, dtype, more, rtol, rng):
    """Rows of several blocks and of none, batches that repeat columns, and a short last one."""
    X, y = rows_of(rng, dtype)
    weight = rng.integers(0, 3, N_ROWS).astype(float)
    for batch_size in (1, 7, N_ROWS):
        kwargs = {"optimizer": optimizer, "loss": loss, "penalty": penalty, **more}
        models = [
            fastgd.SGDClassifier(
                **{"alpha": 1e-3, **kwargs},
                max_iter=4,
                tol=None,
                random_state=0,
                batch_size=batch_size,
            ).fit(rows, y, sample_weight=weight)
            for rows in (X, X.toarray())
        ]
        assert_alike(*models, rtol)
        # a penalty that waits counts when it is read
        np.testing.assert_allclose(*(model.history_["objective"] for model in models), rtol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("learning_rate", ["constant", "invscaling"])
@pytest.mark.parametrize("alpha", [1e-4, 0.05, 3.0])
def test_steps_of_any_length_are_made_up_for(alpha, learning_rate, dtype, rng):
    """h l2 from what a series tells to steps that leave nothing."""
    X, y = rows_of(rng, dtype, most=6)
    kwargs = {"optimizer": "adagrad", "alpha": alpha, "learning_rate": learning_rate, "eta0": 0.2}
    sparse, dense = (fitted(rows, y, batch_size=3, **kwargs) for rows in (X, X.toarray()))
    assert_alike(sparse, dense, 2e-5 if dtype == np.float32 else 1e-9)


def test_a_training_goes_on_from_a_file_bit_for_bit(rng):
    X, y = rows_of(rng, np.float32)
    for batch_size in (1, 7):
        model = fastgd.SGDClassifier(optimizer="adam", batch_size=batch_size, random_state=0)
        for _ in range(2):
            model.partial_fit(X, y, classes=[0, 1])
        other = pickle.loads(pickle.dumps(model))
        for _ in range(2):
            model.partial_fit(X, y)
            other.partial_fit(X, y)
        np.testing.assert_array_equal(model.coef_, other.coef_)


def test_nothing_is_read_of_lanes_beyond_the_columns(rng, monkeypatch):
    """What a training that failed has left in scratch does not come back."""
    X, y = rows_of(rng, np.float32)
    made = gathered.GatheredScratch.of

    def full_of_nan(*arguments):
        scratch = made(*arguments)
        scratch.table.reshape(-1, gathered.N_LINES, gathered.LANES)[:, : gathered.VALUE] = np.nan
        return scratch

    for batch_size in (1, 7):
        expected = fitted(X, y, optimizer="adam", batch_size=batch_size).coef_
        with monkeypatch.context() as patch:
            patch.setattr(gathered.GatheredScratch, "of", full_of_nan)
            found = fitted(X, y, optimizer="adam", batch_size=batch_size).coef_
        np.testing.assert_array_equal(found, expected)


def test_scratch_grows_with_the_rows_that_come(rng):
    X, y = rows_of(rng, np.float32)
    order = np.argsort(np.diff(X.indptr), kind="stable")  # each call has longer rows than the last
    X, y = X[order], y[order]
    models = [
        fastgd.SGDClassifier(optimizer="adagrad", batch_size=8, shuffle=False) for _ in range(2)
    ]
    for start in range(0, N_ROWS, 40):
        part = slice(start, start + 40)
        for model, rows in zip(models, (X, X.toarray()), strict=True):
            model.partial_fit(rows[part], y[part], classes=[0, 1])
    assert_alike(*models, 2e-5)


def test_rows_that_repeat_columns_against_their_word_find_room(rng, monkeypatch):
    """More entries in a row than there are columns: what is written must lie in the scratch."""
    n_rows, n_entries, n_columns = 6, 400, 3
    values = rng.standard_normal(n_rows * n_entries)
    columns = rng.integers(0, n_columns, values.size).astype(np.int32)
    starts = np.arange(0, values.size + 1, n_entries, dtype=np.int32)
    X = sp.csr_matrix((values, columns, starts), shape=(n_rows, n_columns))
    X.has_canonical_format = True  # as scipy remembers it of indices that were changed since
    sizes, made = [], gathered.GatheredScratch.of

    def measured(*arguments):
        scratch = made(*arguments)
        sizes.append(scratch.columns.size)
        return scratch

    monkeypatch.setattr(gathered.GatheredScratch, "of", measured)
    monkeypatch.setattr(linear, "gathered_batches", lambda *_: None)  # nothing is written here
    for batch_size in (1, 5):  # the last of which is one row
        fitted(X, np.arange(n_rows) % 2, optimizer="adagrad", batch_size=batch_size, max_iter=1)
        assert sizes.pop() >= n_entries


def test_which_kernel_takes_the_steps(rng, monkeypatch):
    """Of single outputs, without averages and transforms, by rates of each coefficient's own."""
    X, y = rows_of(rng, np.float32)

    class Reached(Exception):
        """Steps would be taken now: nothing is compiled for a training that is not looked at."""

    def reach(engine, *_):
        raise Reached(engine._steps)

    for name in ("run", "run_epochs"):
        monkeypatch.setattr(linear.LinearEngine, name, reach)
    for kwargs, is_gathered in (
        ({"optimizer": "adagrad"}, True),
        ({"optimizer": "adam", "batch_size": 16}, True),
        ({"optimizer": "sgd"}, False),
        ({"optimizer": "adagrad", "average": True}, False),
        ({"optimizer": "adagrad", "clip_norm": 1.0}, False),
    ):
        with pytest.raises(Reached) as caught:
            fitted(X, y, max_iter=1, **kwargs)
        assert (caught.value.args[0] is linear.gathered_batches) is is_gathered


def test_records_do_not_lie_in_two_lines_of_the_cache():
    for dtype in (np.float32, np.float64):
        for n_slots in range(1, gathered.MOST_SLOTS + 1):
            records, marks = gathered.Gathered.records_of(np.zeros((n_slots, 8), dtype))
            width = gathered.width_of(range(n_slots))
            assert width >= n_slots + 2
            assert records.size == 7 * width
            assert records.ctypes.data % gathered.LINE == 0
            assert marks.itemsize == records.itemsize
            assert np.shares_memory(records, marks)


def test_lazy_moments_tell_their_speed():
    state = np.array([[0.5, 0.0], [0.25, 4.0]], np.float32)
    spec = LazyMoments(Adam(epsilon=np.float32(1e-3)))
    for j in range(2):
        speed = type(spec).penalty_rate_at(spec, state, j)
        assert speed.dtype == np.float32
        np.testing.assert_allclose(speed, 1.0 / (np.sqrt(state[1, j]) + 1e-3), rtol=1e-6)
