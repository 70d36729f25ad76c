"""What the host asks of a device, of numba-cuda's own classes: see ``pretended``.

What is computed is zeros or what lay in memory; these tests are of the way there. A fit goes
through every launch and copy, which the simulator's classes would take where numba-cuda's do not.
"""

import importlib.util
import warnings
import weakref

import numpy as np
import pytest
import scipy.sparse as sp
from numba import config

if config.ENABLE_CUDASIM or importlib.util.find_spec("numba_cuda") is None:
    pytest.skip("needs numba-cuda, and not its simulator", allow_module_level=True)

from numba import cuda
from numba.cuda import types

import fastgd
from fastgd import neural_network, penalties, transforms
from fastgd._engines import cuda_steps
from fastgd.kernels.cuda import memory
from tests.cuda import cases
from tests.cuda.own import Logarithmic, Shared
from tests.cuda.pretended import CAPABILITY, MEMORY, pretended

GIVEN = cases.scaled(cases.table(n=300, d=5, dtype=np.float32))
SPARSE = cases.sparse(GIVEN)


@pytest.fixture
def device(monkeypatch):
    with pretended(monkeypatch) as found, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of solvers that are told zeros
        yield found


def layouts(kind):
    """Return the layouts of all arrays in a type."""
    if isinstance(kind, types.Array):
        return {kind.layout}
    return set().union(*map(layouts, kind)) if isinstance(kind, types.BaseTuple) else set()


def there(model, **options):
    return model.__class__(**{**model.get_params(), **options, "device": "cuda"})


def assert_all_rows_lie_in_a_row(device):
    """A driver that is compiled for strides of any kind is a second one, and a slower one."""
    assert device.counts["launched"] > 0
    assert {kind for _, kinds in device.compiled for one in kinds for kind in layouts(one)} == {"C"}


@pytest.mark.parametrize("shape", [0, (0, 3), (3, 0), np.int64(4), (np.int64(4), 1), 5])
def test_memory_has_the_shape_that_is_asked_for(shape, device):
    array = memory.empty(shape)
    assert array.shape == np.empty(shape).shape
    assert memory.download(array).shape == array.shape
    assert array.reshape(-1).shape == (array.size,)
    assert device.counts["asked"] == (array.size > 0)


def test_a_column_is_sent_as_a_table(device):
    sent = memory.upload(np.arange(3.0)[:, None])
    assert sent._numba_type_.layout == "C"
    assert memory.download(sent).tolist() == [[0.0], [1.0], [2.0]]
    memory.overwrite(sent, np.arange(3.0)[::-1][:, None])
    assert memory.download(sent).tolist() == [[2.0], [1.0], [0.0]]
    assert device.counts["sent"] == 2


def test_free_memory_is_what_the_driver_says(device):
    held = memory.empty(5)
    del held
    assert device.held == 1  # until more is asked for
    assert memory.free_bytes() == MEMORY
    assert device.held == 0
    assert memory.is_available()


def test_an_error_of_the_driver_may_say_that_memory_is_used_up(device, monkeypatch):
    from cuda.bindings.driver import CUresult
    from numba.cuda.cudadrv import driver

    error = driver.CudaAPIError(CUresult.CUDA_ERROR_OUT_OF_MEMORY, "of cuMemAlloc")

    def allocate(_):
        raise error

    monkeypatch.setitem(driver.driver.__dict__, "cuMemAlloc", allocate)
    for ask in (lambda: memory.empty(5), lambda: memory.upload(np.zeros(5))):
        with pytest.raises(
            MemoryError, match=r"no room for 40 bytes more: [\d,]+ are fr"
        ) as caught:
            ask()
        assert memory.is_out_of_memory(caught.value)
        assert memory.is_out_of_memory(caught.value.__cause__)
    assert not memory.is_out_of_memory(driver.CudaAPIError(CUresult.CUDA_ERROR_LAUNCH_FAILED, ""))
    assert device.counts["sent"] == 0


@pytest.mark.parametrize("is_foreseen", [True, False])
@pytest.mark.parametrize("make", [fastgd.SGDRegressor, neural_network.MLPRegressor])
def test_rows_that_lie_there_are_not_sent_in_parts(make, is_foreseen, device, monkeypatch):
    X, place = memory.upload(GIVEN.X), memory._placed

    def full(call, size):
        if size == GIVEN.numbers.nbytes:
            raise memory.no_room(size)
        return place(call, size)

    if is_foreseen:
        device.free = GIVEN.numbers.nbytes
    else:
        monkeypatch.setattr(memory, "_placed", full)
    with pytest.raises(MemoryError, match=r"no room for 1,200 bytes more: [\d,]+ are free"):
        make(device="cuda", batch_size=16, random_state=0).fit(X, GIVEN.numbers)


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("name", cases.TRAINED)
def test_trainings_are_launched(name, is_sparse, device):
    model, kind = cases.TRAINED[name]
    given = SPARSE if is_sparse else GIVEN
    there(model).fit(given.X, cases.targets(given, kind))
    assert_all_rows_lie_in_a_row(device)


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("optimizer", [*cases.OPTIMIZERS, "prodigy", "muon"])
def test_every_optimizer_is_launched(optimizer, is_sparse, device):
    given = SPARSE if is_sparse else GIVEN
    model = fastgd.SGDRegressor(**{**cases.CONSTANT, "optimizer": optimizer})
    weight = given.weight.astype(np.float32)
    there(model).fit(given.X, cases.targets(given, "two numbers"), sample_weight=weight)
    assert_all_rows_lie_in_a_row(device)


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("name", cases.WITHOUT_A_RATE)
def test_steps_without_a_rate_are_launched(name, is_sparse, device):
    model, kind = cases.WITHOUT_A_RATE[name]
    there(model).fit((SPARSE if is_sparse else GIVEN).X, cases.targets(GIVEN, kind))
    assert_all_rows_lie_in_a_row(device)


OPTIONS = {
    "qsgd": {"quantize": transforms.Qsgd(), "clip_norm": 1.0},
    "terngrad": {"quantize": transforms.TernGrad(), "clip_value": 1.0},
    "signs": {"quantize": transforms.SignScale()},
    "largest": {"quantize": transforms.TopK(0.3)},
    "groups": {"penalty": penalties.GroupLasso(0.05, l2=0.1)},
    "outputs": {"penalty": penalties.MaxNorm(0.4, l1=0.01)},
    "own penalty": {"penalty": Shared(0.9)},
    "own loss": {"loss": Logarithmic(2.0)},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_what_acts_on_gradients_and_parameters_is_launched(name, device):
    model = fastgd.SGDRegressor(**{**cases.CONSTANT, **OPTIONS[name]})
    there(model).fit(GIVEN.X, cases.targets(GIVEN, "two numbers"))
    assert_all_rows_lie_in_a_row(device)


@pytest.mark.parametrize("name", cases.NETWORKS)
def test_networks_are_launched(name, device):
    model, kind = cases.NETWORKS[name]
    there(model).fit(*cases.rows_for(GIVEN, kind))
    assert_all_rows_lie_in_a_row(device)


@pytest.mark.parametrize("name", cases.NETWORKS)
def test_a_step_of_a_network_asks_for_no_memory(name, device):
    """Memory that is asked for and freed has the host wait for the device."""
    model, kind = cases.NETWORKS[name]
    counts = []
    for n_rows in (100, 300):
        before = dict(device.counts)
        X, y = cases.rows_for(cases.scaled(cases.table(n=n_rows, d=5, dtype=np.float32)), kind)
        there(model, batch_size=50, max_iter=1).fit(X, y)
        counts.append({name: device.counts[name] - before[name] for name in before})
    for name in ("launched", "again"):
        few, many = (count.pop(name) for count in counts)
        assert few < many
    assert counts[0] == counts[1]


def test_lists_of_the_rows_sent_before_are_freed_first(device, monkeypatch):
    empty, held, alive = memory.empty, [], []

    def watched(shape, dtype=np.float64):
        array = empty(shape, dtype)
        if dtype is np.int64 and array.size > 0:
            alive.append(sum(one() is not None for one in held))
            held.append(weakref.ref(array))
        return array

    monkeypatch.setattr(memory, "empty", watched)
    device.free = 6000
    X = sp.csr_matrix(np.tril(np.ones((60, 60), np.float32)))
    options = {**cases.NO_RATE, "batch_size": 2, "shuffle": False}
    there(fastgd.SGDRegressor(**options)).fit(X, np.arange(60.0, dtype=np.float32))
    assert len(alive) > 3
    assert max(alive) == 0


PARTS = {
    "sparse": (fastgd.SGDRegressor(average=3, **cases.CONSTANT), "two numbers", SPARSE),
    "clipped, quantized": (
        fastgd.SGDRegressor(clip_norm=1.0, quantize=transforms.Qsgd(), **cases.CONSTANT),
        *("numbers", GIVEN),
    ),
    "muon": (fastgd.SGDRegressor(optimizer="muon", **cases.CONSTANT), "two numbers", GIVEN),
    "numpy's bool": (
        neural_network.MLPRegressor(
            solver="sgd", nesterovs_momentum=np.True_, batch_size=16, max_iter=2, tol=None
        ),
        *("numbers", GIVEN),
    ),
    "no rate": (*cases.WITHOUT_A_RATE["many targets"], GIVEN),
    "sparse, no rate": (*cases.WITHOUT_A_RATE["many targets"], SPARSE),
    **{name: (*case, GIVEN) for name, case in cases.NETWORKS.items()},
}


def rows_of(kind, given):
    is_of_networks = kind in ("images", "whole numbers", "sparse rows")
    return cases.rows_for(given, kind) if is_of_networks else (given.X, cases.targets(given, kind))


@pytest.mark.parametrize("name", PARTS)
def test_steps_are_queued_again_as_they_would_be_anew(name, device, monkeypatch):
    """To the last bit of every argument, addresses among them."""
    model, kind, given = PARTS[name]
    take, compared = cuda_steps.Steps.take, []

    def twice(steps, turn):
        del device.queued[:]
        take(steps, turn)
        again = device.queued[:]
        del device.queued[:]
        steps._queue(turn)
        assert again == device.queued
        compared.append(len(again))

    monkeypatch.setattr(cuda_steps.Steps, "take", twice)
    there(model).fit(*rows_of(kind, given))
    assert len(compared) >= 2 * (300 // 16)
    assert min(compared) > 2


@pytest.mark.usefixtures("device")
def test_a_step_that_is_refused_changes_nothing(monkeypatch):
    from cuda.bindings import driver

    options = {**cases.CONSTANT, "random_state": 0, "clip_norm": 1.0}
    model = there(fastgd.SGDRegressor(**options)).fit(GIVEN.X, GIVEN.numbers)
    before, launch, queued = model.coef_.copy(), driver.cuLaunchKernel, []

    def refuse(*given):
        queued.append(given)
        last = driver.CUresult.CUDA_ERROR_LAUNCH_FAILED
        return launch(*given) if len(queued) < 50 else (last,)

    monkeypatch.setattr(driver, "cuLaunchKernel", refuse)
    with pytest.raises(RuntimeError, match="refused a launch: CUDA_ERROR_LAUNCH_FAILED"):
        model.partial_fit(GIVEN.X, GIVEN.numbers)
    np.testing.assert_array_equal(model.coef_, before)
    monkeypatch.setattr(driver, "cuLaunchKernel", launch)
    assert model.partial_fit(GIVEN.X, GIVEN.numbers).n_iter_ > 0


@pytest.mark.parametrize("name", PARTS)
def test_a_further_step_is_not_prepared(name, device):
    model, kind, shaped_as = PARTS[name]
    prepared = []
    for n_rows in (160, 320):
        before = dict(device.counts)
        given = cases.scaled(cases.table(n=n_rows, d=5, dtype=np.float32))
        given = cases.sparse(given) if shaped_as is SPARSE else given
        there(model, batch_size=16, max_iter=1).fit(*rows_of(kind, given))
        found = {name: device.counts[name] - before[name] for name in before}
        prepared.append(found["launched"] - found["again"])
        assert found["again"] > n_rows // 16
    assert prepared[0] == prepared[1]


COMPILED = {
    "networks": cases.NETWORKS,
    "solvers": cases.SOLVED,
    "solvers of rows": cases.SOLVED_BY_ROWS,
    "trainings": cases.TRAINED,
    "trainings without a rate": cases.WITHOUT_A_RATE,
}


@pytest.mark.full
@pytest.mark.parametrize("name", COMPILED)
def test_what_is_launched_compiles(name, device):
    """By the types that numba-cuda finds, which test_ptx has by hand."""
    for model, kind in COMPILED[name].values():
        for given in (GIVEN,) if name == "networks" else (GIVEN, SPARSE):
            options = {"max_iter": 2} if "rows" in name else {}
            there(model, **options).fit(*rows_of(kind, given))
    for function, kinds in device.functions:
        text, _ = cuda.compile_ptx(function, kinds, cc=CAPABILITY)
        assert ".entry" in text


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("name", cases.SOLVED)
def test_solvers_are_launched(name, is_sparse, device):
    model, kind = cases.SOLVED[name]
    given = SPARSE if is_sparse else GIVEN
    there(model).fit(given.X, cases.targets(given, kind))
    assert_all_rows_lie_in_a_row(device)


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("name", cases.SOLVED_BY_ROWS)
def test_solvers_of_rows_are_launched(name, is_sparse, device):
    model, kind = cases.SOLVED_BY_ROWS[name]
    given = SPARSE if is_sparse else GIVEN
    there(model, max_iter=2).fit(given.X, cases.targets(given, kind))
    assert_all_rows_lie_in_a_row(device)


def test_rows_beyond_the_memory_are_launched_in_chunks(device):
    device.free = 4000
    there(fastgd.LogisticRegression()).fit(GIVEN.X, GIVEN.labels)
    assert_all_rows_lie_in_a_row(device)


MODELS = [
    fastgd.LogisticRegression(),
    fastgd.Ridge(),
    fastgd.SGDClassifier(batch_size="full", max_iter=2),
    neural_network.MLPClassifier(batch_size=1 << 16, max_iter=2),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_rows_that_lie_there_are_fitted_and_predicted(model, device):
    X, y = memory.upload(GIVEN.X), memory.upload(GIVEN.labels)
    model.fit(X, y)
    found = model.predict(X)
    assert type(found) is type(X)
    assert found.shape == (300,)
    assert isinstance(model.score(X, y), float)
    assert_all_rows_lie_in_a_row(device)
