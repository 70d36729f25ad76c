"""The same comparisons on a real device, of sizes that fill some of its blocks.

    python -m pytest tests/cuda/test_on_device.py -m "gpu and not full" -n 4

takes some minutes, most of them for compiling; without ``-n`` three times as many. What compiles
again for other types is marked ``full``. A test that waits for ever, or leaves a device that takes
nothing more, ends its worker; pytest-xdist starts another one.
"""

import faulthandler
import importlib.util
import os

import numpy as np
import pytest
from numba import config

from tests.cuda import cases


def _missing():
    """Return why there is nothing to run on; None where there is a device."""
    if config.ENABLE_CUDASIM:
        return "the simulator is on, which runs test_simulator.py"
    if importlib.util.find_spec("numba_cuda") is None:
        return "numba-cuda is not installed"
    from fastgd.kernels.cuda import memory

    return None if memory.is_available() else f"no CUDA device: {memory.fault()}"


MISSING = _missing()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

WIDTHS = [3, 50, 67]  # less than a tile, more than one, and more than lanes that divide it
TYPES = [np.float32, np.float64]
SECONDS = 100  # after which a test has no end


@pytest.fixture(autouse=True)
def _ends_its_worker():
    """Let no test take the others with it: a kernel that faults costs a process its device."""
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    from fastgd.kernels.cuda import memory

    try:
        assert memory.download(memory.zeros(3)).tolist() == [0.0, 0.0, 0.0]
    except Exception:
        if "PYTEST_XDIST_WORKER" in os.environ:
            os._exit(1)
        pytest.exit("the device takes nothing more", returncode=1)


def some(names, of_default, *, types=TYPES):
    """Return pairs of a name and a type; all but some of the first type's are marked ``full``."""
    return [
        pytest.param(name, kind, marks=[] if is_default else pytest.mark.full)
        for name in names
        for kind in types
        for is_default in (kind is types[0] and (of_default is None or name in of_default),)
    ]


def largest(dtype):
    """Return how far objectives may differ: by what products in the type of X leave."""
    return 1e-6 if dtype == np.float32 else 1e-9


@pytest.mark.parametrize("d", WIDTHS)
@pytest.mark.parametrize(("name", "dtype"), some(cases.SOLVED, None))
def test_solvers_find_the_same_optimum(name, d, dtype):
    model, kind = cases.SOLVED[name]
    given = cases.table(n=10_007, d=d, dtype=dtype)
    rtol = 1e-3 if dtype == np.float32 else 1e-4
    cases.assert_same_optimum(model, given, kind, tol=largest(dtype), rtol=rtol)


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize(
    ("name", "dtype"), some(cases.SOLVED_BY_ROWS, ("squared hinge", "hinge", "scale", "goes on"))
)
def test_solvers_of_rows_find_the_same_optimum(name, is_sparse, dtype):
    model, kind = cases.SOLVED_BY_ROWS[name]
    given = cases.table(n=10_007, d=20, dtype=dtype)
    given = cases.sparse(given) if is_sparse else given
    rtol = 1e-2 if dtype == np.float32 else 1e-3
    cases.assert_same_optimum(model, given, kind, given.weight, tol=largest(dtype), rtol=rtol)


@pytest.mark.parametrize("name", ["logistic", "softmax"])
def test_solvers_find_it_for_sparse_rows_and_weights(name):
    model, kind = cases.SOLVED[name]
    given = cases.sparse(cases.table(n=10_007, d=40))
    cases.assert_same_optimum(model, given, kind, given.weight, rtol=1e-4)


@pytest.mark.parametrize(("name", "dtype"), some(cases.TRAINED, None))
def test_training_takes_the_same_steps(name, dtype):
    model, kind = cases.TRAINED[name]
    if getattr(model, "batch_size", 1) == 16:
        model = model.__class__(**{**model.get_params(), "batch_size": 1000})
    n = 10_007 if getattr(model, "batch_size", 1) == 1000 else 300
    cases.assert_same_training(model, cases.scaled(cases.table(n=n, d=50, dtype=dtype)), kind)


@pytest.mark.parametrize(
    ("optimizer", "dtype"), some(cases.OPTIMIZERS, ("adam", "ftrl", "schedule_free_adamw"))
)
def test_training_takes_the_same_steps_by_every_optimizer(optimizer, dtype):
    model, kind = cases.TRAINED["squared error"]
    options = {**model.get_params(), **cases.CONSTANT, "optimizer": optimizer, "batch_size": 1000}
    given = cases.scaled(cases.table(n=5_003, d=20, dtype=dtype))
    cases.assert_same_training(model.__class__(**options), given, kind, given.weight)


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize(
    ("name", "dtype"), some(cases.WITHOUT_A_RATE, ("numbers", "softmax, clipped"))
)
def test_training_takes_the_same_steps_without_a_rate(name, is_sparse, dtype):
    model, kind = cases.WITHOUT_A_RATE[name]
    options = {"batch_size": 1000, **({"penalty": None} if is_sparse else {})}
    model = model.__class__(**{**model.get_params(), **options})
    given = cases.table(n=5_003, d=20, dtype=dtype)
    cases.assert_same_training(model, cases.sparse(given) if is_sparse else given, kind)


@pytest.mark.parametrize(("name", "dtype"), some(cases.NETWORKS, None))
def test_networks_take_the_same_steps(name, dtype):
    model, kind = cases.NETWORKS[name]
    given = cases.scaled(cases.table(n=1003, d=5, dtype=dtype))
    cases.assert_same_network(
        model.__class__(**{**model.get_params(), "batch_size": 200}), given, kind
    )


def test_a_launch_for_each_part_of_a_step_gives_the_same_bits(monkeypatch):
    """Blocks that wait for each other take the steps of launches that wait for each other."""
    from fastgd._engines import cuda_linear

    model, kind = cases.TRAINED["squared error"]
    model = model.__class__(**{**model.get_params(), "batch_size": 1000})
    given, fits = cases.scaled(cases.table(n=10_007, d=50, dtype=np.float32)), []
    for persists in (True, False):
        monkeypatch.setattr(cuda_linear, "PERSISTS", persists)
        fits.append(cases.assert_same_training(model, given, kind))
    np.testing.assert_array_equal(fits[0].coef_, fits[1].coef_)


@pytest.mark.parametrize("name", ["units, dropout, norms, a block", "sparse rows, Muon"])
def test_steps_that_are_queued_again_are_those_that_are_prepared(name, monkeypatch):
    from fastgd._engines import cuda_steps

    model, kind = cases.NETWORKS[name]
    given, fits = cases.scaled(cases.table(n=1003, d=5, dtype=np.float32)), []
    for records in (True, False):
        monkeypatch.setattr(cuda_steps, "RECORDS", records)
        own = model.__class__(**{**model.get_params(), "batch_size": 100})
        fits.append(cases.assert_same_network(own, given, kind))
    np.testing.assert_array_equal(fits[0]._params, fits[1]._params)


@pytest.mark.parametrize("name", ["logistic", "softmax"])
def test_the_same_rows_give_the_same_bits(name):
    model, kind = cases.SOLVED[name]
    given = cases.table(n=10_007, d=50, dtype=np.float32)
    there = [model.__class__(device="cuda").fit(given.X, cases.targets(given, kind)) for _ in "ab"]
    np.testing.assert_array_equal(there[0].coef_, there[1].coef_)


@pytest.mark.parametrize("library", ["cupy", "torch", "numba.cuda"])
def test_arrays_of_other_libraries_are_fitted_where_they_lie(library):
    module = pytest.importorskip(library)
    given = cases.table(n=10_007, d=50, dtype=np.float32)
    if library == "torch":
        X, y = module.as_tensor(given.X, device="cuda"), module.as_tensor(given.labels).cuda()
    else:
        send = module.asarray if library == "cupy" else module.to_device
        X, y = send(given.X), send(given.labels)
    model = cases.SOLVED["logistic"][0]
    there = model.__class__().fit(X, y)
    here = model.__class__(device="cpu").fit(given.X, given.labels)
    np.testing.assert_allclose(there.coef_, here.coef_, rtol=1e-2, atol=1e-2)
    assert type(there.predict_proba(X)) is type(X)
    assert there.score(X, y) == there.score(given.X, given.labels)


def test_a_child_of_a_fork_is_told_what_to_do():
    import multiprocessing

    from fastgd._runtime import devices

    devices.require()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        message = pool.apply(_message_in_a_child)
    assert "forked after its parent had used CUDA" in message


def _message_in_a_child():
    given = cases.table(n=100, d=3)
    try:
        cases.SOLVED["logistic"][0].__class__(device="cuda").fit(given.X, given.labels)
    except RuntimeError as error:
        return str(error)
    return "no error"
