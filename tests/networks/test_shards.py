"""Threads that share a batch: the same bits, whatever their number."""

import ctypes
import mmap
import sys

import numpy as np
import pytest
from sklearn.base import clone

from fastgd._engines import network as engine
from fastgd._engines import network_shards as shards
from fastgd._engines.network import rule_of
from fastgd._engines.network_shards import n_shards_of, strips_of
from fastgd._networks.assembly import Assembly
from fastgd.kernels.losses import Softmax
from fastgd.kernels.optimizers import Adam
from fastgd.kernels.strips import Strips, Whole
from fastgd.kernels.team import Alone, Team
from fastgd.kernels.tiles import IS_DENSE
from fastgd.kernels.transforms import Identity
from fastgd.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, MaxPool2D, Residual
from fastgd.neural_network import MLPClassifier, NetworkClassifier
from tests.tables import over_product

PARAMS = {"tol": None, "random_state": 0, "max_iter": 3, "batch_size": 50}


@pytest.fixture(scope="module")
def digits():
    """Rows of 64 numbers that tell ten classes apart."""
    rng = np.random.default_rng(0)
    y = np.arange(230) % 10
    return rng.normal(size=(230, 64)) + y[:, None] * rng.normal(size=64), y


@pytest.fixture
def small_shards(monkeypatch):
    """Have batches of any network cut into shards."""
    monkeypatch.setattr(shards, "LEAST_WORK", 1)
    monkeypatch.setattr(shards, "WORK_OF_PARAMETER", 0)


@pytest.fixture
def small_strips(monkeypatch):
    """Have small first layers cut into strips: of several blocks, the last ones narrower."""
    monkeypatch.setattr(shards, "LEAST_STRIP", 64)
    monkeypatch.setattr(shards, "UNPACKED", 5 * 20 * 7)
    monkeypatch.setattr(shards, "HEIGHT", 20)
    monkeypatch.setattr(shards, "LEAST_DEPTH", 1)


MODELS = {
    "dense": MLPClassifier((5,), **PARAMS),
    "clipped": MLPClassifier((5,), dropout=0.2, clip_norm=1.0, **PARAMS),
    "images": NetworkClassifier(
        [Conv2D(2, 3, activation="relu"), Dropout(0.2), Dense(10)], **PARAMS
    ),
}


@pytest.mark.usefixtures("small_shards")
@over_product(lambda name: name == "dense", name=MODELS)
def test_bits_do_not_depend_on_threads(name, digits):
    X, y = digits
    X = X.reshape(-1, 8, 8) if name == "images" else X
    models = [clone(MODELS[name]).set_params(n_jobs=n).fit(X, y) for n in (1, 2, 3, None)]
    for model in models[1:]:
        assert model._params.tobytes() == models[0]._params.tobytes()
        assert model.loss_curve_ == models[0].loss_curve_


@pytest.mark.usefixtures("small_strips")
def test_bits_do_not_depend_on_threads_that_share_strips(digits):
    X, y = digits
    models = [clone(MODELS["dense"]).set_params(n_jobs=n).fit(X, y) for n in (1, 2, 3, None)]
    for model in models[1:]:
        assert model._params.tobytes() == models[0]._params.tobytes()
        assert model.loss_curve_ == models[0].loss_curve_


def test_strips_are_the_first_layer(digits, request):
    X, y = digits
    X, weight = X[:, :61], 1.0 + y
    model = clone(MODELS["dense"]).set_params(alpha=0.1, average=4, monitor=True)
    whole = clone(model).fit(X, y, sample_weight=weight)
    request.getfixturevalue("small_strips")
    cut = clone(model).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(cut._params, whole._params, rtol=1e-9, atol=1e-12)
    assert cut.loss_curve_ == pytest.approx(whole.loss_curve_, rel=1e-12)
    assert cut._params.tobytes() != whole._params.tobytes()  # they were cut
    for model in (cut, whole):
        model.partial_fit(X, y, weight)
    np.testing.assert_allclose(cut._params, whole._params, rtol=1e-9, atol=1e-12)


@pytest.fixture
def many_zeros(digits):
    """Rows of 61 numbers: of the first 40 most are zero, of the others few; weights."""
    X, y = digits
    seen = np.random.default_rng(1).random(X.shape) < np.where(np.arange(64) < 40, 0.08, 0.9)
    return np.where(seen, X, 0.0)[:, :61], y, 1.0 + y


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_strips_pass_over_zeros(dtype, many_zeros, monkeypatch):
    monkeypatch.setattr(shards, "LEAST_STRIP", 700)
    monkeypatch.setattr(shards, "UNPACKED", 70 * 20 * 7)
    X, y, weight = many_zeros
    X, found = X.astype(dtype), []
    steps = engine.network_steps

    def look(*arguments):
        steps(*arguments)
        found.append(arguments[-1].scratch.strips.lists.counts.copy())

    monkeypatch.setattr(engine, "network_steps", look)
    params = {**PARAMS, "batch_size": 47, "alpha": 0.1}
    models = [
        MLPClassifier((70,), n_jobs=n, **params).fit(X, y, sample_weight=weight) for n in (1, 2, 3)
    ]
    for model in models[1:]:
        assert model._params.tobytes() == models[0]._params.tobytes()
        assert model.loss_curve_ == models[0].loss_curve_
    assert found[0].shape == (3, 61)
    starts = [strip + block for strip in range(0, 61, 16) for block in (0, 6, 12)]
    of_tiles = found[0][:, [start for start in starts if start < 61]]
    assert (of_tiles[:, :7] >= 0).all()
    assert (of_tiles[:, 8:] == IS_DENSE).all()
    monkeypatch.setattr(shards, "LISTED", 0.0)
    dense = MLPClassifier((70,), **params).fit(X, y, sample_weight=weight)
    rtol = 1e-9 if dtype == np.float64 else 1e-3
    np.testing.assert_allclose(models[0]._params, dense._params, rtol=rtol, atol=rtol / 1e3)
    assert models[0]._params.tobytes() != dense._params.tobytes()


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("weight", [np.inf, -np.inf, np.nan])
def test_a_weight_that_is_not_finite_is_found_though_zeros_hide_it(weight, many_zeros):
    """A dense product has 0 * inf = NaN; a list of what is not zero passes over it."""
    X, y, _ = many_zeros
    X[:, :20] = 0
    model = MLPClassifier((70,), **{**PARAMS, "max_iter": 1, "alpha": 0.0})
    model.fit(X, y)
    model.coefs_[0][3, 5] = weight
    with pytest.raises(ValueError, match="under-/overflow"):
        model.partial_fit(X, y)


def _before_what_none_may_read(table):
    """Return a copy that ends where a page of memory ends whose next one cannot be read."""
    page = mmap.PAGESIZE
    n_bytes = -(-table.nbytes // page) * page
    memory = mmap.mmap(-1, n_bytes + page)
    copy = np.frombuffer(memory, table.dtype, table.size, n_bytes - table.nbytes)
    copy = copy.reshape(table.shape)
    copy[...] = table
    behind = ctypes.addressof(ctypes.c_char.from_buffer(memory, n_bytes))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(behind), ctypes.c_size_t(page), 0) == 0
    return copy


@pytest.mark.skipif(sys.platform != "linux", reason="memory is protected by a call of Linux")
@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_features", [61, 64])
def test_nothing_behind_the_last_row_is_read(n_features, dtype, many_zeros, monkeypatch):
    """Non-zeros are listed a vector at a time, and the last row has no whole one."""
    X, y, _ = many_zeros
    X = np.pad(X, ((0, 0), (0, n_features - X.shape[1]))).astype(dtype)
    last, found, steps = _before_what_none_may_read(X), [], engine.network_steps

    def look(rows, *others):
        found.append(rows.values)
        steps(rows, *others)

    monkeypatch.setattr(engine, "network_steps", look)
    fits = [MLPClassifier((70,), **PARAMS).fit(table, y) for table in (X, last)]
    assert np.shares_memory(found[-1], last)
    assert fits[0]._params.tobytes() == fits[1]._params.tobytes()


def test_lists_of_few_units_take_no_room():
    lists = strips_of(
        Assembly([Dense(60), Dense(10)], (2000,)),
        rule_of(Softmax(), Adam(), 0.0, Identity())._replace(is_plain=True),
        64,
        np.float32,
        is_sparse=False,
    ).lists
    assert lists.share == 0
    assert all(array.size == 0 for array in lists[2:])


def test_which_layers_are_cut_into_strips():
    plain = rule_of(Softmax(), Adam(), 0.0, Identity())._replace(is_plain=True)

    def found(layers, shape, rule=plain, is_sparse=False, size=64):
        assembly = Assembly(layers, shape)
        return strips_of(assembly, rule, size, np.float32, is_sparse=is_sparse)

    dense = [Dense(256, "relu"), Dense(10)]
    strips = found(dense, (784,))
    assert isinstance(strips, Strips)
    assert strips.parts.shape == (4, 64, 256)
    assert (strips.width, strips.depth, strips.height) == (196, 49, 64)
    assert (strips.lists.share, strips.lists.width) == (0.4, 64)
    assert found([Dense(100), Dense(10)], (784,)).lists.share == pytest.approx(0.4 * 100 / 128)
    assert found([Dense(60), Dense(10)], (2000,)).lists.share == 0  # too few units
    assert isinstance(found([Flatten(), *dense], (28, 28, 1)), Strips)
    assert isinstance(found(dense, (784,), size=1024), Strips)
    assert isinstance(found(dense, (784,), size=2048), Whole)  # 16 shards, of 128 rows each
    assert isinstance(found(dense, (784,), is_sparse=True), Whole)
    assert isinstance(found(dense, (784,), plain._replace(is_plain=False)), Whole)
    assert isinstance(found(dense, (60,)), Whole)  # few weights
    assert isinstance(found([Dense(300), Dense(300), Dense(10)], (784,)), Whole)  # others have many
    assert isinstance(found([Residual([Dense(300)]), Dense(10)], (300,)), Whole)  # X is added again
    assert isinstance(found([Conv2D(64, 28), *dense], (28, 28, 3)), Whole)


@pytest.mark.parametrize(
    ("n_features", "units", "size", "n_strips"),
    [
        *((784, 256, 2048, 4), (784, 256, 6000, 2), (784, 1024, 64, 16), (784, 1024, 2048, 2)),
        *((4000, 256, 64, 16), (4000, 256, 3000, 8), (16_000, 512, 3000, 16)),
    ],
)
def test_weighted_sums_of_strips_are_no_more_than_the_rows(n_features, units, size, n_strips):
    assembly = Assembly([Dense(units), BatchNorm(), Dense(10)], (n_features,))
    rule = rule_of(Softmax(), Adam(), 0.0, Identity())._replace(is_plain=True)
    strips = strips_of(assembly, rule, size, np.float16, is_sparse=False)
    assert strips.parts.shape == (n_strips, size, units)
    assert n_strips == 2 or strips.parts.size <= max(size * n_features, shards.PARTS)


def test_shards_add_up_to_the_batch(digits, monkeypatch):
    X, y = digits
    model = MODELS["dense"]
    whole = clone(model).fit(X, y, sample_weight=1.0 + y)
    monkeypatch.setattr(shards, "LEAST_WORK", 1)
    monkeypatch.setattr(shards, "WORK_OF_PARAMETER", 0)
    cut = clone(model).fit(X, y, sample_weight=1.0 + y)
    np.testing.assert_allclose(cut._params, whole._params, rtol=1e-9, atol=1e-12)
    assert cut.loss_curve_ == pytest.approx(whole.loss_curve_, rel=1e-12)
    assert cut._params.tobytes() != whole._params.tobytes()  # they were cut


def test_what_is_cut_goes_by_sizes_alone():
    dense = Assembly([Dense(256, "relu"), Dense(10)], (784,))
    assert [n_shards_of(dense, n, is_sparse=False) for n in (64, 200, 256, 1024)] == [1, 1, 2, 8]
    assert n_shards_of(dense, 1024, is_sparse=True) == 1
    images = Assembly([Conv2D(16, 3, activation="relu"), MaxPool2D(4), Dense(10)], (28, 28, 1))
    assert n_shards_of(images, 64, is_sparse=False) > 1
    normalised = Assembly([Dense(256), BatchNorm(), Dense(10)], (784,))
    assert n_shards_of(normalised, 1024, is_sparse=False) == 1
    small = Assembly([Dense(8), Dense(1)], (10,))
    assert n_shards_of(small, 1000, is_sparse=False) == 1


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("worker", [0, 1])
def test_a_thread_that_fails_stops_the_others(worker, digits, monkeypatch):
    steps = engine.network_steps

    def fails(rows, samples, rule, plan, network, memory):
        if memory.team.worker == worker:
            raise RuntimeError("out of order")
        steps(rows, samples, rule, plan, network, memory)

    model = clone(MODELS["dense"]).set_params(n_jobs=2).fit(*digits)
    before = model._params.copy()
    monkeypatch.setattr(engine, "network_steps", fails)
    with pytest.raises(RuntimeError, match="out of order"):
        model.partial_fit(*digits)
    np.testing.assert_array_equal(model._params, before)


def test_a_team_hands_out_each_shard_once():
    board = np.zeros(40, np.int64)
    team = Team(board, 0, 4, 3, np.zeros((3, 2)), np.zeros((4, 1)))
    assert Team.shards_of(team, 12) == 3
    assert Team.shards_of(team, 2) == 2
    found = [Team.take(team, 0, 3, -1)]
    while found[-1] >= 0:
        found.append(Team.take(team, 0, 3, found[-1]))
    assert found == [0, 1, 2, -1]
    gradient, losses = np.array([1.0, 2.0]), np.zeros(1)
    team.gradients[:] = [[10.0, 0.0], [0.0, 10.0], [np.nan, np.nan]]
    team.losses[:3] = [[1.0], [2.0], [4.0]]
    assert Team.gather(team, gradient, losses, 3)
    assert gradient.tolist() == [11.0, 12.0]
    assert losses.tolist() == [7.0]
    assert Team.go_on(team, 1)
    assert Team.take(team, 1, 3, -1) == 0
    assert [Alone.take(Alone(), 0, 1, last) for last in (-1, 0)] == [0, -1]
    assert [Alone.take(Alone(), 0, 2, last) for last in (-1, 0, 1)] == [0, 1, -1]
    assert Alone.arrived(Alone(), 2)
