"""Every hook and every driver compiles for devices that this machine need not have.

numba-cuda asks the device for its compute capability; here it is told. In float32 a hook must hold
no arithmetic of float64, of which most cards do a thirty-second as much; drivers may add up in it.
"""

import importlib.util
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from numba import config

if config.ENABLE_CUDASIM or importlib.util.find_spec("numba_cuda") is None:
    pytest.skip("needs numba-cuda, and not its simulator", allow_module_level=True)

import numba
from numba import boolean, float32, float64, int32, int64, types, uint64
from numba.cuda.cudadrv import libs

from fastgd import kernels
from fastgd.kernels import activations, losses, optimizers, penalties
from fastgd.kernels.cuda import (
    _compiler,
    epoch,
    layers,
    listed,
    matrices,
    own_rates,
    passes,
    products,
    sparse,
    steps,
    vectors,
    whole,
)
from fastgd.kernels.cuda._compiler import cuda
from fastgd.kernels.envelope import Envelope
from fastgd.kernels.objective import Scaler, Targets
from fastgd.kernels.outputs import ManyOutputs, OneOutput
from fastgd.kernels.rows import CSR, Dense

CAPABILITIES = [(7, 5), (8, 0), (9, 0)]
ARITHMETIC = re.compile(r"\b(add|sub|mul|fma|div|rcp|sqrt|rsqrt|min|max|neg|abs|setp\.\w+)\S*\.f64")
BEYOND_SUMS = re.compile(r"\b(sub|mul|fma|div|rcp|sqrt|rsqrt|min|max|neg|abs)\S*\.f64")


def told(capability, monkeypatch):
    """Let numba-cuda take the device for one of this compute capability."""
    device = SimpleNamespace(compute_capability=capability)
    for name, module in list(sys.modules.items()):
        if name.startswith("numba.cuda") and hasattr(module, "get_current_device"):
            monkeypatch.setattr(module, "get_current_device", lambda: device)
    return capability


@pytest.fixture(params=CAPABILITIES, ids=lambda cc: f"sm_{cc[0]}{cc[1]}")
def capability(request, monkeypatch):
    return told(request.param, monkeypatch)


@pytest.fixture
def newest(monkeypatch):
    return told(CAPABILITIES[-1], monkeypatch)


def ptx_of(function, signature, capability, *, single):
    own = _compiler.in_precision(function, single=single)
    text, _ = cuda.compile_ptx(own, types.void(*signature), cc=capability)
    assert f".target sm_{capability[0]}{capability[1]}" in text
    return text


class Used(NamedTuple):
    """What machine code of a driver takes: of each thread, and bytes of a block and a thread."""

    registers: int
    shared: int
    stack: int


def used_by(text, capability):
    """Link PTX as numba-cuda does, and return what the machine code takes."""
    linker = pytest.importorskip("cuda.bindings.nvjitlink")
    code = text.encode()
    handle = linker.create(2, [f"-arch=sm_{capability[0]}{capability[1]}", "-verbose"])
    linker.add_data(handle, linker.InputType.PTX, code, len(code), "driver")
    if "cudaCGSynchronize" in text:
        library = libs.get_cudalib("cudadevrt", static=True)
        linker.add_file(handle, linker.InputType.LIBRARY, library)
    linker.complete(handle)
    assert linker.get_linked_cubin_size(handle) > 0
    log = bytearray(linker.get_info_log_size(handle))
    linker.get_info_log(handle, log)
    linker.destroy(handle)
    patterns = r"[Uu]sed (\d+) registers", r"(\d+) bytes smem", r"(\d+) bytes stack frame"
    found = (map(int, re.findall(pattern, log.decode())) for pattern in patterns)
    return Used(*(max(numbers, default=0) for numbers in found))


def assert_fits(text, capability, threads=_compiler.BLOCK):
    """A block has 64 K registers, and 48 KiB of shared memory without being asked for more."""
    used = used_by(text, capability)
    assert 0 < used.registers * threads <= 1 << 16
    assert used.shared <= 48 << 10
    return used


def spec_in(spec, dtype):
    """Return the type of a spec whose numbers are of a type."""
    numbers = [dtype(value) if isinstance(value, float) else value for value in spec]
    return numba.typeof(type(spec)(*numbers))


def tuple_of(cls, *kinds):
    return types.NamedTuple(kinds, cls)


def write_values(loss, y, raw, out):
    i = cuda.grid(1)
    if i < out.shape[0]:
        out[i] = losses.value(loss, y[i], raw[i]) + losses.slope(loss, y[i], raw[i])


def write_rows(loss, y, raw, out):
    i = cuda.grid(1)
    if i < out.shape[0]:
        out[i] = losses.gradient_row(loss, y[i], raw[i], raw[i])


def write_curvatures(loss, y, raw, out):
    i = cuda.grid(1)
    if i < out.shape[0]:
        out[i] = losses.curvature(loss, y[i], raw[i])


def move(optimizer, penalty, coefs, params, gradient, state):
    c = cuda.grid(1)
    if c < params.shape[0]:
        params[c], _ = optimizers.move(optimizer, penalty, coefs, params[c], gradient[c], state, c)
        params[c] += optimizers.update(optimizer, coefs, gradient[c], state, c)[0]


def penalise(penalty, params, out):
    c = cuda.grid(1)
    if c < params.shape[0]:
        out[c] = penalties.value(penalty, params[c], c)


LINE, TABLE = float32[::1], float32[:, ::1]
WIDE_LINE, WIDE_TABLE = float64[::1], float64[:, ::1]
LOSSES = {**losses.LOSSES, "smoothed": losses.Softmax(0.1)}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_stay_in_float32(name, newest):
    loss = LOSSES[name]
    if losses.kind_of(loss) == losses.MULTINOMIAL:
        kinds = (write_rows, (spec_in(loss, np.float32), int32[::1], TABLE, LINE))
    else:
        kinds = (write_values, (spec_in(loss, np.float32), LINE, LINE, LINE))
    text = ptx_of(*kinds, newest, single=True)
    assert ARITHMETIC.findall(text) == []


BENT = [name for name, loss in losses.LOSSES.items() if losses.has(loss, "curvature")]


@pytest.mark.parametrize("name", BENT)
def test_curvatures_compile(name, newest):
    kinds = (spec_in(LOSSES[name], np.float64), WIDE_LINE, WIDE_LINE, WIDE_LINE)
    assert ".entry" in ptx_of(write_curvatures, kinds, newest, single=False)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_optimizers_stay_in_float32(name, newest):
    optimizer = spec_in(optimizers.OPTIMIZERS[name], np.float32)
    penalty = spec_in(penalties.ElasticNet(0.1, 0.1), np.float32)
    kinds = (optimizer, penalty, types.UniTuple(float32, 4), LINE, LINE, TABLE)
    assert ARITHMETIC.findall(ptx_of(move, kinds, newest, single=True)) == []


@pytest.mark.parametrize("penalty", [penalties.ElasticNet(0.1, 0.2), penalties.Bounded(low=0.0)])
def test_penalties_stay_in_float32(penalty, newest):
    kinds = (spec_in(penalty, np.float32), LINE, LINE)
    assert ARITHMETIC.findall(ptx_of(penalise, kinds, newest, single=True)) == []


DENSE = tuple_of(Dense, TABLE)
SPARSE = tuple_of(CSR, LINE, int32[::1], int32[::1])
SPAN = tuple_of(passes.Span, int64[::1], int64, int64, int64)
OUT = tuple_of(passes.Out, WIDE_TABLE, WIDE_TABLE, WIDE_TABLE, WIDE_LINE)
NUMBERS = tuple_of(Targets, WIDE_LINE, WIDE_LINE)
CODES = tuple_of(Targets, int32[::1], WIDE_LINE)
SCALER = tuple_of(Scaler, WIDE_LINE, WIDE_LINE)
PASS = tuple_of(passes.Pass, NUMBERS, numba.typeof(losses.LogLoss()))
PASS_OF_CLASSES = tuple_of(passes.Pass, CODES, numba.typeof(losses.Softmax(0.0)))
PAIRS = tuple_of(Targets, WIDE_TABLE, WIDE_LINE)
SMOOTHED = {
    name: tuple_of(passes.Pass, PAIRS, numba.typeof(Envelope(losses.LOSSES[name], 0.1)))
    for name in ("hinge", "epsilon_insensitive", "quantile")
}
SLOPES = tuple_of(passes.Given, WIDE_TABLE)
IN_DOUBLE = {
    **{
        f"smoothed {name}": (passes.pass_apart, DENSE, TABLE, given, WIDE_TABLE, SPAN, OUT)
        for name, given in SMOOTHED.items()
    },
    "slopes": (passes.pass_apart, DENSE, TABLE, SLOPES, WIDE_TABLE, SPAN, OUT),
    "sparse slopes": (passes.pass_apart, SPARSE, TABLE, SLOPES, WIDE_TABLE, SPAN, OUT),
    "pass": (passes.pass_apart, DENSE, TABLE, PASS, WIDE_TABLE, SPAN, OUT),
    "sparse": (passes.pass_apart, SPARSE, TABLE, PASS, WIDE_TABLE, SPAN, OUT),
    "shared": (passes.pass_shared, DENSE, TABLE, PASS_OF_CLASSES, WIDE_TABLE, SPAN, OUT),
    "sparse shared": (passes.pass_shared, SPARSE, TABLE, PASS_OF_CLASSES, WIDE_TABLE, SPAN, OUT),
    "raw": (passes.raw_predictions, DENSE, WIDE_TABLE, SPAN, TABLE),
    "lines": (passes.add_lines, WIDE_TABLE, WIDE_LINE),
    "columns": (passes.add_sparse_columns, SPARSE, WIDE_TABLE, WIDE_TABLE),
    "products": (products.products, WIDE_TABLE, SCALER, WIDE_LINE, int64, float64[:, :, ::1]),
    "classes": (products.weights_of_classes, WIDE_TABLE, CODES, int64, int64, WIDE_LINE),
    "densely": (products.standardised_rows, SPARSE, SCALER, int64, TABLE),
    "look": (passes.look_at_columns, TABLE, WIDE_LINE, WIDE_LINE, int64, float64[:, :, ::1]),
}


@pytest.mark.parametrize("name", IN_DOUBLE)
def test_drivers_of_solvers_compile(name, newest):
    driver, *kinds = IN_DOUBLE[name]
    text = ptx_of(driver.py_func, kinds, newest, single=False)
    assert "atom." not in text
    assert ".local " not in text  # what does not fit into registers would be in slow memory
    is_tile = driver is products.products
    assert assert_fits(text, newest, products.SIDE**2 if is_tile else _compiler.BLOCK).stack == 0


def test_products_of_float32_are_multiplied_in_it(capability):
    kinds = (TABLE, SCALER, WIDE_LINE, int64, float64[:, :, ::1])
    text = ptx_of(products.products.py_func, kinds, capability, single=True)
    assert "fma.rn.f64" not in text
    assert text.count("fma.rn.f32") >= products.MICRO**2
    assert ".local " not in text


STEP = tuple_of(steps.Step, TABLE, int64, float32, int64, int64, int64, float32)
MEMORY = tuple_of(steps.Memory, LINE, TABLE, WIDE_LINE, LINE)
GROUPS = tuple_of(steps.Groups, int64, int64, int64, int64, int64)
ELASTIC_NET = penalties.ElasticNet(0.1, 0.1)
OUT_OF_BATCH = tuple_of(passes.Out, WIDE_TABLE, TABLE, TABLE, LINE)
OF_NUMBERS = tuple_of(steps.Samples, TABLE, LINE, LINE, boolean)
OF_CLASSES = tuple_of(steps.Samples, int32[:, ::1], LINE, LINE, boolean)


def rule_of(loss, optimizer, penalty=ELASTIC_NET):
    specs = (loss, penalty, optimizer)
    return tuple_of(steps.Rule, *(spec_in(spec, np.float32) for spec in specs), boolean, float32)


def batch_of(samples, loss, optimizer):
    return tuple_of(steps.Batch, samples, rule_of(loss, optimizer), STEP)


def spec_of(spec):
    return spec_in(spec, np.float32)


HUBER = batch_of(OF_NUMBERS, losses.Huber(), optimizers.Adam())
HINGE = batch_of(OF_CLASSES, losses.Hinge(), optimizers.Sgd())
SOFTMAX = batch_of(OF_CLASSES, losses.Softmax(0.0), optimizers.Sgd())
RULE = rule_of(losses.LogLoss(), optimizers.Adam())
SOFTMAX_RULE = rule_of(losses.Softmax(0.0), optimizers.Sgd())
EPOCH = tuple_of(
    *(epoch.Epoch, TABLE, WIDE_LINE, int64[::1], int64, int64, int64, int64, STEP, STEP, int64)
)
AT, UNITS, TRIPLE = int64[::1], int64[:, ::1], types.UniTuple(int64, 3)
TIED = {
    type(penalty).__name__: rule_of(losses.LogLoss(), optimizers.Adam(), penalty)
    for penalty in (penalties.GroupLasso(0.1), penalties.MaxNorm(0.5))
}
IN_SINGLE = {
    "batch of numbers": (passes.pass_apart, DENSE, TABLE, HUBER, TABLE, SPAN, OUT_OF_BATCH),
    "one against the rest": (passes.pass_apart, DENSE, TABLE, HINGE, TABLE, SPAN, OUT_OF_BATCH),
    "sparse batch": (passes.pass_apart, SPARSE, TABLE, HINGE, TABLE, SPAN, OUT_OF_BATCH),
    "softmax": (passes.pass_shared, DENSE, TABLE, SOFTMAX, TABLE, SPAN, OUT_OF_BATCH),
    "update": (steps.update, RULE, STEP, TABLE, MEMORY, boolean),
    "penalties": (steps.add_penalties, RULE, STEP, MEMORY),
    "epoch": (epoch.epoch_steps, DENSE, OF_NUMBERS, RULE, EPOCH, MEMORY, OUT_OF_BATCH),
    "epoch of classes": (
        *(epoch.epoch_steps, DENSE, OF_CLASSES, SOFTMAX_RULE, EPOCH, MEMORY, OUT_OF_BATCH),
    ),
    **{f"tie {name}": (steps.tie, rule, MEMORY, GROUPS) for name, rule in TIED.items()},
    **{
        f"costs of {name}": (steps.add_costs_of_ties, rule, STEP, MEMORY, GROUPS)
        for name, rule in TIED.items()
    },
    "gradient": (steps.write_gradient, RULE, STEP, TABLE, LINE, int64),
    "strength": (steps.add_strength, STEP, LINE, LINE),
    "pull": (steps.add_pull, RULE, STEP, LINE),
    "gather": (layers.gather, TABLE, SPAN, TABLE),
    "slopes": (layers.slopes_apart, DENSE, HUBER, SPAN, TABLE, OUT_OF_BATCH),
    "slopes of classes": (layers.slopes_shared, SOFTMAX, SPAN, TABLE, OUT_OF_BATCH),
    "columns": (layers.column_lines, int64, TABLE, TABLE, LINE, int64, WIDE_TABLE),
    "dropout": (layers.draw, uint64, int64, int64, uint64, float32, LINE, LINE, LINE),
    "rows": (layers.normalise_rows, LINE, float32, TABLE, TABLE, TABLE),
    "rows back": (layers.rows_back, LINE, TABLE, TABLE, TABLE),
    "follow": (layers.follow, LINE, LINE, LINE, float32, float32),
    "batches": (layers.normalise_batch, LINE, LINE, float32, TABLE, TABLE, TABLE),
    "batches back": (layers.batch_back, LINE, LINE, float32, TABLE, TABLE, TABLE),
    "windows": (layers.lay_out, AT, int64, TABLE, TABLE),
    "windows back": (layers.take_back, AT, int64, int64, TABLE, TABLE),
    "largest": (layers.largest, AT, TABLE, TABLE, TABLE),
    "mean": (layers.mean, AT, TABLE, TABLE),
    "pools back": (layers.pool_back, AT, boolean, TABLE, TABLE, TABLE),
    "look up": (layers.look_up, TABLE, TABLE, TABLE),
    "product": (matrices.product, TABLE, TABLE, boolean, boolean, int64, float32[:, :, ::1]),
    "spans": (matrices.add_spans, TABLE, LINE, boolean),
    "sparse product": (sparse.sparse_product, SPARSE, SPAN, TABLE, TABLE),
}


@pytest.mark.parametrize("name", IN_SINGLE)
def test_drivers_of_steps_stay_in_float32(name, newest):
    driver, *kinds = IN_SINGLE[name]
    text = ptx_of(driver.py_func, kinds, newest, single=True)
    assert BEYOND_SUMS.findall(text) == []
    assert "atom." not in text
    is_tile = driver is matrices.product
    assert_fits(text, newest, matrices.SQUARE if is_tile else _compiler.BLOCK)


@pytest.mark.parametrize("name", ["epoch", "epoch of classes"])
def test_steps_in_one_launch_wait_for_each_other(name, newest):
    driver, *kinds = IN_SINGLE[name]
    text = ptx_of(driver.py_func, kinds, newest, single=True)
    assert "cudaCGSynchronize" in text
    # at least two blocks on each multiprocessor, which has 64 K registers
    assert 2 * _compiler.BLOCK * used_by(text, newest).registers <= 1 << 16


UNITWISE = {
    **{f"value of {name}": (layers.activate, LINE, TABLE) for name in activations.ACTIVATIONS},
    **{f"slope of {name}": (layers.deactivate, TABLE, TABLE) for name in activations.ACTIVATIONS},
}


@pytest.mark.parametrize("name", UNITWISE)
def test_activations_stay_in_float32(name, newest):
    driver, first, second = UNITWISE[name]
    activation = spec_of(activations.ACTIVATIONS[name.split()[-1]])
    kinds = (activation, first, second, TABLE)
    assert ARITHMETIC.findall(ptx_of(driver.py_func, kinds, newest, single=True)) == []


RATE_FREE = rule_of(losses.LogLoss(), optimizers.RateFree())
OF_KNOWN = (LINE, LINE, TABLE, WIDE_TABLE, WIDE_LINE, WIDE_TABLE)
KNOWN = tuple_of(own_rates.Known, *OF_KNOWN)
KNOWN_OF_SPARSE = tuple_of(own_rates.KnownOfSparse, *OF_KNOWN)
LISTED = tuple_of(listed.Listed, int64[::1], int64[::1], int64[::1], WIDE_LINE)


def own_rates_of(outputs):
    """Return the drivers of steps without a learning rate."""
    rule = tuple_of(own_rates.Adaptive, *RATE_FREE.types, numba.typeof(outputs))
    return {
        "look at rows": (own_rates.look_at_rows, rule, DENSE, OF_NUMBERS, SPAN, KNOWN),
        "look at listed": (
            *(own_rates.look_at_listed, rule, SPARSE, SPAN, LISTED, KNOWN_OF_SPARSE),
        ),
        "look at targets": (own_rates.look_at_targets, rule, OF_NUMBERS, SPAN, KNOWN),
        "count rows": (own_rates.count_rows, OF_NUMBERS, SPAN, KNOWN),
        "magnitudes": (own_rates.add_magnitudes, TABLE, int64, KNOWN),
        "centre": (own_rates.centre, rule, KNOWN),
        "units of targets": (own_rates.find_units, rule, STEP, SPAN, float64, KNOWN),
        "remember": (own_rates.remember, rule, KNOWN),
        "squares of columns": (own_rates.square, rule, KNOWN, WIDE_TABLE),
        "shorten": (own_rates.shorten, rule, STEP, KNOWN, WIDE_TABLE, TABLE),
        "shorten columns": (own_rates.shorten_columns, rule, KNOWN),
        "intercepts": (own_rates.step_intercepts, rule, STEP, KNOWN),
    }


PRODIGY, MUON = spec_of(optimizers.Prodigy()), spec_of(optimizers.Muon())
ELASTIC = spec_of(penalties.ElasticNet(0.1, 0.1))
OTHERS = {
    "add up": (vectors.add_up, WIDE_TABLE, WIDE_LINE, int64),
    "fill": (vectors.fill, WIDE_LINE, float64),
    "add": (vectors.add_to, LINE, WIDE_LINE),
    "flag": (vectors.flag_what_is_not_finite, LINE, WIDE_LINE, int64),
    "limit": (vectors.limit, float32, LINE, WIDE_LINE),
    "squares": (vectors.add_squares, LINE, WIDE_TABLE),
    "factors": (vectors.write_factors, WIDE_TABLE, float64, WIDE_LINE, LINE, WIDE_LINE),
    "scale": (vectors.scale, LINE, LINE),
    "feed back": (vectors.feed_back, LINE, LINE),
    "keep rest": (vectors.keep_rest, LINE, LINE),
    "buckets": (vectors.largest_of_buckets, LINE, int64, WIDE_LINE),
    "levels": (vectors.round_entries, LINE, int64, WIDE_LINE, float64, uint64, int64),
    "sizes": (vectors.write_sizes, LINE, WIDE_LINE),
    "shards": (vectors.add_shards, LINE, WIDE_TABLE),
    "signs": (vectors.write_signs, LINE, WIDE_LINE),
    "top": (vectors.keep_largest, LINE, int64[::1], int64),
    "entries": (listed.list_entries, SPARSE, OF_NUMBERS, SPAN, LISTED, boolean),
    "shards of counts": (listed.add_shards_of_counts, LISTED, int64),
    "begins": (listed.find_begins, LISTED, int64),
    "sort": (listed.sort_long_lists, LISTED),
    "slopes": (sparse.largest_of_columns, TABLE, int64, WIDE_LINE),
    "scatter": (sparse.scatter, SPARSE, SPAN, TABLE, WIDE_LINE, WIDE_LINE, UNITS),
    "scatter numbers": (sparse.scatter_numbers, LINE, TABLE, WIDE_LINE, UNITS),
    "units": (sparse.from_units, UNITS, WIDE_LINE, WIDE_LINE, int64, LINE, int64),
    "copy": (layers.copy, LINE, LINE),
    "multiply": (layers.multiply_each, LINE, LINE, LINE),
    "divide": (layers.divide, WIDE_LINE, int64, LINE),
    "prodigy": (whole.take_in, PRODIGY, STEP, LINE, TABLE, WIDE_TABLE),
    "estimate": (whole.estimate, PRODIGY, STEP, WIDE_LINE, TABLE, WIDE_LINE),
    "by estimate": (
        *(whole.step_by_estimate, PRODIGY, ELASTIC, STEP, LINE, TABLE, WIDE_LINE, int64),
    ),
    "beside": (
        *(whole.step_beside, MUON, ELASTIC, STEP, LINE, LINE, TABLE),
        *(types.UniTuple(int64, 2), int64),
    ),
    "direction": (whole.write_direction, MUON, LINE, TABLE, TRIPLE, LINE),
    "squares of all": (whole.add_shards_of_squares, LINE, WIDE_TABLE),
    "normalise": (whole.normalise, LINE, WIDE_LINE),
    "combine": (whole.combine, float32, LINE, float32, LINE),
    "matrix": (whole.step_of_matrix, MUON, ELASTIC, STEP, LINE, LINE, TRIPLE),
    **own_rates_of(OneOutput()),
    **{f"many, {name}": kinds for name, kinds in own_rates_of(ManyOutputs(3)).items()},
}


@pytest.mark.parametrize("name", OTHERS)
def test_drivers_that_count_in_float64_compile(name, newest):
    driver, *kinds = OTHERS[name]
    text = ptx_of(driver.py_func, kinds, newest, single=False)
    floats = re.findall(r"\b(?:atom|red)\.\S*\.(?:f32|f64)", text)
    assert floats == []  # the order of such sums would change their bits
    assert_fits(text, newest)


def test_every_driver_is_compiled_here():
    drivers = {}
    for path in Path(kernels.__path__[0], "cuda").glob("[!_]*.py"):
        module = importlib.import_module(f"fastgd.kernels.cuda.{path.stem}")
        named = {f"{path.stem}.{name}": one for name, one in vars(module).items()}
        drivers |= {name: one for name, one in named.items() if isinstance(one, _compiler.Driver)}
    tables = IN_DOUBLE, IN_SINGLE, OTHERS, UNITWISE
    compiled = [kinds[0] for table in tables for kinds in table.values()]
    assert [name for name, one in drivers.items() if one not in compiled] == []


EVERY = {"scatter": OTHERS["scatter"], "top": OTHERS["top"], "product": IN_SINGLE["product"]}
EVERY |= {"batch": IN_SINGLE["batch of numbers"], "update": IN_SINGLE["update"]}
EVERY |= {"pass": IN_DOUBLE["pass"], "shared": IN_DOUBLE["shared"], "epoch": IN_SINGLE["epoch"]}
OLDER = [
    *((name, driver) for name, driver in IN_SINGLE.items()),
    *((name, driver) for name, driver in OTHERS.items()),
    *((name, driver) for name, driver in IN_DOUBLE.items()),
]


@pytest.mark.parametrize("name", EVERY)
def test_drivers_of_each_kind_compile_for_every_device(name, capability):
    driver, *kinds = EVERY[name]
    single = EVERY[name] in IN_SINGLE.values()
    assert ".entry" in ptx_of(driver.py_func, kinds, capability, single=single)


@pytest.mark.full
@pytest.mark.parametrize(("name", "driver"), OLDER, ids=lambda value: str(value)[:20])
def test_every_driver_compiles_for_older_devices(name, driver, monkeypatch):
    for capability in CAPABILITIES[:-1]:
        told(capability, monkeypatch)
        own, *kinds = driver
        single = name in IN_SINGLE and driver is IN_SINGLE[name]
        assert ".entry" in ptx_of(own.py_func, kinds, capability, single=single)


def test_a_users_own_loss_compiles_as_ours_do(newest):
    from tests.cuda.own import Logarithmic

    kinds = (spec_in(Logarithmic(2.0), np.float32), LINE, LINE, LINE)
    assert ARITHMETIC.findall(ptx_of(write_values, kinds, newest, single=True)) == []


def test_what_the_processor_compiles_is_left_as_it_is():
    function = losses.LogLoss.value
    copied = _compiler.in_precision(function, single=True)
    assert copied is not function
    assert any(type(value) is np.float32 for value in copied.__code__.co_consts)
    assert not any(type(value) is np.float32 for value in function.__code__.co_consts)
    assert function.__globals__["exp"] is not copied.__globals__["exp"]
