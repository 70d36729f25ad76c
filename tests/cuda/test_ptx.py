"""Every hook and every driver compiles for devices that this machine need not have.

numba-cuda asks the device for its compute capability; here it is told. In float32 a hook must hold
no arithmetic of float64, of which most cards do a thirty-second as much; drivers may add up in it.
"""

import importlib.util
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from numba import config

if config.ENABLE_CUDASIM or importlib.util.find_spec("numba_cuda") is None:
    pytest.skip("needs numba-cuda, and not its simulator", allow_module_level=True)

import numba
from numba import boolean, float32, float64, int32, int64, types

from fastgd.kernels import losses, optimizers, penalties
from fastgd.kernels.cuda import _compiler, passes, products, steps
from fastgd.kernels.cuda._compiler import cuda
from fastgd.kernels.objective import Scaler, Targets
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
LOG_LOSS, SOFTMAX = numba.typeof(losses.LogLoss()), numba.typeof(losses.Softmax(0.0))
IN_DOUBLE = {
    "pass_one": (passes.pass_one, DENSE, TABLE, NUMBERS, LOG_LOSS, WIDE_TABLE, SPAN, OUT),
    "sparse": (passes.pass_one, SPARSE, TABLE, NUMBERS, LOG_LOSS, WIDE_TABLE, SPAN, OUT),
    "pass_many": (passes.pass_many, DENSE, TABLE, CODES, SOFTMAX, WIDE_TABLE, SPAN, OUT),
    "sparse many": (passes.pass_many, SPARSE, TABLE, CODES, SOFTMAX, WIDE_TABLE, SPAN, OUT),
    "raw": (passes.raw_predictions, DENSE, WIDE_TABLE, SPAN, TABLE),
    "lines": (passes.add_lines, WIDE_TABLE, WIDE_LINE),
    "columns": (passes.add_sparse_columns, SPARSE, WIDE_TABLE, WIDE_TABLE),
    "products": (products.products, WIDE_TABLE, SCALER, WIDE_LINE, int64, float64[:, :, ::1]),
    "classes": (products.weights_of_classes, WIDE_TABLE, CODES, int64, int64, WIDE_LINE),
    "densely": (products.standardised_rows, SPARSE, SCALER, int64, TABLE),
}


@pytest.mark.parametrize("name", IN_DOUBLE)
def test_drivers_of_solvers_compile(name, capability):
    driver, *kinds = IN_DOUBLE[name]
    text = ptx_of(driver.py_func, kinds, capability, single=False)
    assert "atom." not in text
    assert ".local " not in text  # what does not fit into registers would be in slow memory


def test_products_of_float32_are_multiplied_in_it(capability):
    kinds = (TABLE, SCALER, WIDE_LINE, int64, float64[:, :, ::1])
    text = ptx_of(products.products.py_func, kinds, capability, single=True)
    assert "fma.rn.f64" not in text
    assert text.count("fma.rn.f32") >= products.MICRO**2
    assert ".local " not in text


STEP = tuple_of(steps.Step, TABLE, int64, float32, int64, int64, boolean)
MEMORY = tuple_of(steps.Memory, TABLE, TABLE, WIDE_LINE, WIDE_LINE)
OUT_OF_BATCH = tuple_of(passes.Out, WIDE_TABLE, TABLE, TABLE, LINE)
OF_NUMBERS = tuple_of(steps.Samples, TABLE, LINE, LINE, boolean)
OF_CLASSES = tuple_of(steps.Samples, int32[:, ::1], LINE, LINE, boolean)


def rule_of(loss, optimizer):
    specs = (loss, penalties.ElasticNet(0.1, 0.1), optimizer)
    return tuple_of(steps.Rule, *(spec_in(spec, np.float32) for spec in specs), boolean)


BATCHES = {
    "numbers": (steps.gradient_apart, OF_NUMBERS, losses.Huber(), optimizers.Adam()),
    "one against the rest": (steps.gradient_apart, OF_CLASSES, losses.Hinge(), optimizers.Sgd()),
    "softmax": (steps.gradient_shared, OF_CLASSES, losses.Softmax(0.0), optimizers.Sgd()),
}


@pytest.mark.parametrize("name", BATCHES)
def test_gradients_of_batches_stay_in_float32(name, capability):
    driver, samples, loss, optimizer = BATCHES[name]
    rule = rule_of(loss, optimizer)
    kinds = (DENSE, samples, rule, TABLE, STEP, SPAN, OUT_OF_BATCH)
    text = ptx_of(driver.py_func, kinds, capability, single=True)
    assert BEYOND_SUMS.findall(text) == []
    assert "atom." not in text


def test_updates_stay_in_float32(capability):
    kinds = (rule_of(losses.LogLoss(), optimizers.Adam()), STEP, TABLE, MEMORY)
    text = ptx_of(steps.update.py_func, kinds, capability, single=True)
    assert BEYOND_SUMS.findall(text) == []


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
