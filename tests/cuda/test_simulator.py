"""Every driver in numba-cuda's simulator, against plain formulas and against the processor.

    NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 python -m pytest tests/cuda/test_simulator.py

The simulator is chosen when numba is imported, so that a run of all tests skips these. Nothing is
compiled: on the processor as in the simulator the functions run as they are written.
"""

import gc
import json
import os
import subprocess
import sys
import types
import weakref
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numba import config
from sklearn.exceptions import ConvergenceWarning

from tests import naive
from tests.cuda import cases
from tests.cuda.own import Shared

if not config.ENABLE_CUDASIM:
    pytest.skip("NUMBA_ENABLE_CUDASIM=1 was not set", allow_module_level=True)

import fastgd
from fastgd._data.validation import as_rows
from fastgd._engines import cuda_linear, cuda_steps
from fastgd._runtime import devices
from fastgd._solvers import _on_device, _piecewise, _sharded, _working
from fastgd._solvers._device import Device
from fastgd._solvers._device_rows import pass_over
from fastgd._solvers._passes import predictions, products_with
from fastgd._solvers._precondition import product_at
from fastgd._solvers._problem import evaluate, pose
from fastgd._solvers._task import Task
from fastgd.datasets import open as open_rows
from fastgd.kernels import losses as specs
from fastgd.kernels import optimizers, penalties, transforms
from fastgd.kernels.cuda import (
    _compiler,
    _library,
    listed,
    matrices,
    memory,
    passes,
    products,
    quantizers,
    steps,
)
from fastgd.kernels.objective import Scaler, Targets
from fastgd.kernels.rows import CSR, Dense
from fastgd.neural_network import _mlp


@pytest.fixture(autouse=True)
def _threads_take_turns():
    """The simulator has a thread for each of the device's, which mostly wait for each other."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    with np.errstate(over="ignore"):  # of counters, where nothing is compiled
        yield
    sys.setswitchinterval(before)


GIVEN = cases.table(n=19, d=3)
RAW = np.array([0.2, -0.1, 0.4, 0.3])


def out_of(n, d, n_outputs, curvature=True):
    n_blocks, per_block = passes.grid_of(n)
    out = passes.Out(
        memory.zeros((n_blocks * passes.BLOCK, 2)),
        memory.empty((n_blocks * passes.GROUPS, (d + 1) * n_outputs)),
        memory.empty((n, n_outputs)),
        memory.empty(n if curvature else 0),
    )
    return n_blocks, passes.Span(np.empty(0, np.int64), 0, n, per_block), out


def lines_of(partial):
    lines = memory.empty(partial.shape[1])
    passes.add_lines.launch(2, passes.BLOCK, partial, lines)
    return memory.download(lines)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_pass_of_one_output_is_the_sum_of_its_rows(dtype):
    X, y, weight = GIVEN.X.astype(dtype), GIVEN.labels.astype(float), GIVEN.weight
    n_blocks, span, out = out_of(*X.shape, 1)
    given = passes.Pass(Targets(y, weight), specs.LogLoss())
    arguments = (Dense(X), X, given, RAW[:, None].copy(), span, out)
    passes.pass_apart.launch(n_blocks, passes.BLOCK, *arguments)
    raw, loss = X.astype(float) @ RAW[:-1] + RAW[-1], naive.log_loss()
    slopes = weight * loss.gradient(y, raw)
    np.testing.assert_allclose(out.loss[:, 0].sum(), weight @ loss.value(y, raw), rtol=1e-12)
    np.testing.assert_allclose(out.loss[:, 1].sum(), weight @ loss.curvature(y, raw), rtol=1e-12)
    np.testing.assert_allclose(out.slopes[:, 0], slopes, rtol=1e-12)
    np.testing.assert_allclose(out.curvature, weight * loss.curvature(y, raw), rtol=1e-12)
    expected = [*(slopes @ X), slopes.sum()]
    np.testing.assert_allclose(lines_of(out.partial), expected, rtol=1e-10, atol=1e-12)


def test_a_pass_of_many_outputs_is_the_sum_of_its_rows():
    X, weight = GIVEN.X, GIVEN.weight
    y = np.unique(GIVEN.classes, return_inverse=True)[1].astype(np.int32)
    params = np.stack([RAW, -RAW, 0.5 * RAW], axis=1)
    n_blocks, span, out = out_of(*X.shape, 3, curvature=False)
    given = passes.Pass(Targets(y, weight), specs.Softmax(0.0))
    arguments = (Dense(X), X, given, params, span, out)
    passes.pass_shared.launch(n_blocks, passes.BLOCK, *arguments)
    raw = X @ params[:-1] + params[-1]
    p = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    slopes = weight[:, None] * (p - np.eye(3)[y])
    log = -np.log(p[np.arange(y.size), y])
    np.testing.assert_allclose(out.loss[:, 0].sum(), weight @ log, rtol=1e-12)
    np.testing.assert_allclose(out.slopes, slopes, rtol=1e-10, atol=1e-14)
    expected = np.concatenate([X.T @ slopes, slopes.sum(axis=0)[None]]).ravel()
    np.testing.assert_allclose(lines_of(out.partial), expected, rtol=1e-9, atol=1e-12)
    for k, m in ((1, 1), (0, 2)):
        found = memory.empty(y.size)
        arguments = (out.slopes, Targets(y, weight), k, m, found)
        products.weights_of_classes.launch(1, passes.BLOCK, *arguments)
        expected = weight * p[:, k] * ((k == m) - p[:, m])
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("n", [1, 19, 70])
def test_products_are_those_of_standardised_columns(n, rng):
    X, h = rng.standard_normal((n, 4)) + 2.0, rng.standard_normal(n)
    center, inverse_std = rng.standard_normal(4), rng.random(4)
    z = np.c_[(X - center) * inverse_std, np.ones(n)]
    n_tiles, n_shards, per_shard = products.grid_of_products(n, 5)
    partial = memory.zeros((n_shards, 5, 5))
    grid, block = (n_tiles, n_tiles, n_shards), (products.SIDE, products.SIDE)
    arguments = (X, Scaler(center, inverse_std), h, per_shard, partial)
    products.products.launch(grid, block, *arguments)
    found = lines_of(partial.reshape(n_shards, 25)).reshape(5, 5)
    expected = z.T @ (h[:, None] * z)
    np.testing.assert_allclose(np.triu(found), np.triu(expected), rtol=1e-10, atol=1e-12)


def test_sparse_rows_are_read_by_rows_and_by_columns():
    X = cases.sparse(GIVEN).X
    rows, turned = CSR(X.data, X.indices, X.indptr), X.tocsc()
    slopes = np.arange(1.0, 2 * X.shape[0] + 1).reshape(-1, 2)
    columns, out = CSR(turned.data, turned.indices, turned.indptr), memory.empty((X.shape[1], 2))
    passes.add_sparse_columns.launch(2, passes.BLOCK, columns, slopes, out)
    np.testing.assert_allclose(out, X.T @ slopes, rtol=1e-12)
    scaler = Scaler(np.array([0.5, 1.0, 0.0]), np.array([1.0, 2.0, 3.0]))
    dense = memory.empty((7, X.shape[1]))
    products.standardised_rows.launch(2, passes.BLOCK, rows, scaler, 5, dense)
    expected = (X.toarray()[5:12] - scaler.center) * scaler.inverse_std
    np.testing.assert_allclose(dense, expected, rtol=1e-12)


def test_a_step_is_the_optimizers_and_the_penaltys():
    d, n_lines = 3, 5
    partial = np.arange(1.0, n_lines * (d + 1) + 1).reshape(n_lines, d + 1) / 100
    params, state = RAW.copy(), np.zeros((1, d + 1))
    rule = steps.Rule(
        specs.SquaredError(), penalties.ElasticNet(0.1, 0.2), optimizers.Momentum(), True
    )
    coefs = type(rule.optimizer).step_coefficients(rule.optimizer, np.array([0.05, 0.05]), 1)
    step = steps.Step(coefs, 1, 0.25, 4, n_lines, d, 0.0)
    sums = memory.zeros(d + 1)
    changed = steps.Memory(params, state, sums, np.zeros(0))
    steps.update.launch(1, passes.BLOCK, rule, step, partial, changed, True)
    changes = -0.05 * partial.sum(axis=0)  # of a first step: the velocity was zero
    length = 0.05 / (1 - rule.optimizer.momentum)
    shrunk = (1 - length * 0.2) * RAW[:-1] + changes[:-1]
    expected = np.sign(shrunk) * np.maximum(np.abs(shrunk) - length * 0.1, 0.0)
    np.testing.assert_allclose(params, [*expected, RAW[-1] + changes[-1]], rtol=1e-12)
    penalty = 0.1 * np.abs(RAW[:-1]) + 0.1 * RAW[:-1] ** 2
    np.testing.assert_allclose(sums, [*(4 * penalty), 0.0], rtol=1e-12)


@pytest.mark.parametrize("name", cases.SOLVED)
def test_solvers_find_the_same_optimum(name):
    model, kind = cases.SOLVED[name]
    cases.assert_same_optimum(model, cases.table(n=37, d=3), kind)


SPARSE = [
    pytest.param(name, marks=[] if name in ("hinge", "scale", "goes on") else pytest.mark.full)
    for name in cases.SOLVED_BY_ROWS
]


@pytest.mark.parametrize("name", cases.SOLVED_BY_ROWS)
def test_solvers_of_rows_find_the_same_optimum(name):
    model, kind = cases.SOLVED_BY_ROWS[name]
    given = cases.table(n=19, d=2)
    there = cases.assert_same_optimum(model, given, kind, given.weight)
    assert np.all(there.gap_ <= 1e-9 * np.maximum(there.objective_, 1e-3))


@pytest.mark.filterwarnings("ignore:X does not fit")
@pytest.mark.parametrize("is_sparse", [False, pytest.param(True, marks=pytest.mark.full)])
def test_few_of_many_columns_are_solved_for(is_sparse, monkeypatch):
    """Rows of some columns are sent in other chunks than all columns are."""
    monkeypatch.setattr(_working, "FEWEST", 1)
    monkeypatch.setattr(memory, "free_bytes", lambda: 600)
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((9, 18)), np.arange(9) % 2
    X = sp.csr_matrix(np.where(np.abs(X) > 0.5, X, 0.0)) if is_sparse else X
    options = {"penalty": "l1", "dual": False, "C": 2.0, "fit_intercept": False, "tol": 1e-8}
    here, there = (
        fastgd.LinearSVC(device=device, **options).fit(X, y) for device in ("cpu", "cuda")
    )
    assert 0 < np.count_nonzero(here.coef_) < 18
    np.testing.assert_allclose(there.objective_, here.objective_, rtol=1e-7)
    np.testing.assert_array_equal(there.coef_ != 0, here.coef_ != 0)
    assert there.gap_ <= 1e-6 * there.objective_


@pytest.mark.parametrize("name", SPARSE)
def test_solvers_of_rows_find_it_for_sparse_ones(name):
    model, kind = cases.SOLVED_BY_ROWS[name]
    given = cases.sparse(cases.table(n=19, d=2))
    cases.assert_same_optimum(model, given, kind, given.weight)


@pytest.mark.parametrize("name", [pytest.param("hinge", marks=pytest.mark.full), "quantile, l1"])
def test_many_rows_are_solved_by_smooth_losses(name, monkeypatch):
    """A step of the interior point method has many numbers for each row."""
    monkeypatch.setattr(_piecewise, "MANY_ROWS", 10)
    model, kind = cases.SOLVED_BY_ROWS[name]
    there = cases.assert_same_optimum(model, cases.table(n=19, d=2), kind, tol=1e-6, rtol=1e-3)
    assert there.gap_ <= 1e-6 * there.objective_


@pytest.mark.filterwarnings("ignore:X does not fit")
@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("n_outputs", [0, 2])
def test_passes_are_those_of_the_processor(is_sparse, n_outputs, rng, monkeypatch):
    """Of rows that are there as a whole, and of those that are sent in chunks."""
    given = cases.table(n=19, d=3)
    X = cases.sparse(given).X if is_sparse else given.X
    loss = specs.Softmax() if n_outputs else specs.Huber(0.5)
    y = given.labels if n_outputs else given.numbers
    task = Task(as_rows(X), y, given.weight, loss, 0.1, 0.2, 3, max(n_outputs, 1))
    here, there = pose(task), pose(task._replace(device=Device()))
    assert here.passes is None
    shape = (4, n_outputs) if n_outputs else (4,)
    u, slopes = rng.standard_normal(shape), rng.standard_normal((19, *shape[1:]))
    for free in (memory.free_bytes(), X.data.nbytes):
        monkeypatch.setattr(memory, "free_bytes", lambda free=free: free)
        there = there._replace(passes=Device().passes(there.rows, 3))
        ours, theirs = evaluate(here, u), evaluate(there, u)
        np.testing.assert_allclose(theirs.objective, ours.objective, rtol=1e-12)
        np.testing.assert_allclose(theirs.gradient, ours.gradient, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(theirs.curvature, ours.curvature, rtol=1e-12)
        bent = product_at(here, ours)
        np.testing.assert_allclose(product_at(there, theirs), bent, rtol=1e-9, atol=1e-12)
        for made in (lambda p: predictions(p, u), lambda p: products_with(p, slopes)):
            np.testing.assert_allclose(made(there), made(here), rtol=1e-9, atol=1e-12)


def test_targets_are_sent_once(monkeypatch):
    sent, upload = [], memory.upload
    monkeypatch.setattr(
        memory, "upload", lambda array: (sent.append(np.shape(array)), upload(array))[1]
    )
    fastgd.LogisticRegression(device="cuda", tol=1e-10).fit(GIVEN.X, GIVEN.labels)
    n = GIVEN.X.shape[0]
    assert sent.count(GIVEN.X.shape) == 1
    assert sum(shape == (n,) for shape in sent) == 2  # y and weights


def test_sums_have_room_for_every_smaller_batch():
    for most in (1, 3, 8):
        for size in range(60):
            room = passes.blocks_up_to(size, most)
            taken = [passes.grid_of(smaller, most)[0] for smaller in range(size + 1)]
            assert room == max(taken)


def test_a_last_batch_may_take_more_blocks_than_a_full_one(monkeypatch):
    monkeypatch.setattr(steps, "MOST_BLOCKS", 3)
    monkeypatch.setattr(cuda_linear, "PERSISTS", False)
    given = cases.scaled(cases.table(n=25, d=3))  # 13 rows: 2 blocks of 8; 12 rows: 3 of 4
    model = fastgd.SGDRegressor(**{**cases.CONSTANT, "batch_size": 13})
    cases.assert_same_training(model, given, "numbers")


@pytest.mark.parametrize("name", ["logistic", "softmax", "ridge"])
def test_solvers_find_it_for_sparse_rows_and_weights(name):
    model, kind = cases.SOLVED[name]
    given = cases.sparse(cases.table(n=37, d=3))
    cases.assert_same_optimum(model, given, kind, given.weight)


def test_float32_rows_have_sums_in_float64():
    model, kind = cases.SOLVED["logistic"]
    cases.assert_same_optimum(model, cases.table(n=37, d=3, dtype=np.float32), kind, tol=1e-6)


def test_columns_far_from_zero_are_counted_from_their_means():
    given = cases.table(n=37, d=3)
    far = given._replace(X=given.X + 1e9)
    cases.assert_same_optimum(cases.SOLVED["ridge"][0], far, "numbers")


def test_rows_beyond_the_memory_are_sent_in_chunks(monkeypatch):
    given = cases.table(n=37, d=3)
    monkeypatch.setattr(memory, "free_bytes", lambda: given.X.nbytes)
    for name, kind in (("logistic", "labels"), ("softmax", "classes")):
        with pytest.warns(UserWarning, match="its rows are sent in chunks, anew in each pass"):
            cases.assert_same_optimum(cases.SOLVED[name][0], given, kind)


def test_rows_that_turn_out_not_to_fit_are_sent_in_chunks(monkeypatch):
    given, upload = cases.table(n=37, d=3), memory.upload

    def full(array):
        if array.shape == given.X.shape:
            raise MemoryError
        return upload(array)

    monkeypatch.setattr(memory, "upload", full)
    monkeypatch.setattr(memory, "free_bytes", lambda: 3 * given.X.nbytes)
    with pytest.warns(UserWarning, match="does not fit into the device's memory"):
        cases.assert_same_optimum(cases.SOLVED["logistic"][0], given, "labels")


@pytest.mark.parametrize("persists", [True, pytest.param(False, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", cases.TRAINED)
def test_training_takes_the_same_steps(name, persists, monkeypatch):
    monkeypatch.setattr(cuda_linear, "PERSISTS", persists)
    model, kind = cases.TRAINED[name]
    cases.assert_same_training(model, cases.scaled(cases.table(n=37, d=3)), kind)


# methods of the others run here as they are written, and compile in test_ptx
@pytest.mark.parametrize("optimizer", ["momentum", "adam", "ftrl", "schedule_free_adamw"])
def test_training_takes_the_same_steps_by_optimizers_of_each_kind(optimizer):
    model = fastgd.SGDRegressor(**{**cases.CONSTANT, "optimizer": optimizer, "max_iter": 1})
    given = cases.scaled(cases.table(n=37, d=3))
    cases.assert_same_training(model, given, "numbers", given.weight)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", cases.WITHOUT_A_RATE)
def test_steps_without_a_rate_are_the_same(name, weighted):
    """Of rows as they come: columns of other units, and with later ones that are larger."""
    model, kind = cases.WITHOUT_A_RATE[name]
    given = cases.table(n=37, d=3)
    given.X[20:] *= 3
    weight = np.where(np.arange(37) % 5 == 0, 0.0, given.weight) if weighted else None
    there = cases.assert_same_training(model, given, kind, weight)
    assert np.abs(there.coef_).max() > 1e-3


@pytest.mark.parametrize("weighted", [False, pytest.param(True, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", cases.WITHOUT_A_RATE)
def test_steps_without_a_rate_are_the_same_of_sparse_rows(name, weighted):
    """Where a penalty is, the processor makes up for the steps that a weight waited for."""
    model, kind = cases.WITHOUT_A_RATE[name]
    given = cases.sparse(cases.table(n=37, d=3))
    given.X[20:] *= 3
    model = model.__class__(**{**model.get_params(), "penalty": None})
    weight = np.where(np.arange(37) % 5 == 0, 0.0, given.weight) if weighted else None
    there = cases.assert_same_training(model, given, kind, weight)
    assert np.abs(there.coef_).max() > 1e-3


def test_steps_without_a_rate_of_sparse_rows_shrink_absent_features_step_by_step():
    model, _ = cases.WITHOUT_A_RATE["one row"]
    given = cases.sparse(cases.table(n=37, d=3))
    here, there = (
        model.__class__(**{**model.get_params(), "device": device}).fit(given.X, given.numbers)
        for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(there.coef_, here.coef_, rtol=1e-3)


@pytest.mark.parametrize(("n", "d"), [(1, 3), (5, 1), (13, 6), (40, 3)])
def test_entries_are_listed_by_columns_in_the_order_of_the_rows(n, d, rng):
    X = sp.random(n, d, 0.7, format="csr", random_state=0)
    X.data[::5] = 0.0  # is stored, and no entry
    order, weight = rng.permutation(n), np.where(np.arange(n) % 4 == 3, 0.0, 1.0)
    rows, empty = CSR(X.data, X.indices, X.indptr), np.empty(0)
    samples = steps.Samples(np.zeros((n, 1)), weight, empty, False)
    columns = listed.Columns(d)
    columns.make_room(np.diff(X.indptr), n - n // 3)
    for start, stop in ((0, n - n // 3), (n // 3, n)):
        columns.write(rows, samples, passes.Span(order, start, stop, 0))
        found, keys = columns.listed, []
        for j in range(d):
            own = found.keys[found.begins[j] : found.begins[j] + found.counts[j]]
            listed.sort_short(own)
            keys.append([divmod(int(key), listed.PLACES) for key in own])
        expected = [
            [
                (o, place)
                for o, i in enumerate(order[start:stop])
                for place, at in enumerate(range(X.indptr[i], X.indptr[i + 1]))
                if X.indices[at] == j and X.data[at] != 0 and weight[i] > 0
            ]
            for j in range(d)
        ]
        assert keys == expected
        found.counts[:] = 0  # as who reads them leaves them


def test_steps_without_a_rate_of_tied_coefficients():
    """Their penalty is counted anew on a device where a column turns out to be larger."""
    options = {**cases.NO_RATE, "penalty": penalties.GroupLasso(0.05)}
    given = cases.table(n=37, d=3)
    y = cases.targets(given, "two numbers")
    here, there = (
        fastgd.SGDRegressor(device=device, **options).fit(given.X, y) for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(there.coef_, here.coef_, rtol=1e-9)
    np.testing.assert_allclose(there.intercept_, here.intercept_, rtol=1e-9)
    np.testing.assert_allclose(there.history_["loss"], here.history_["loss"], rtol=1e-9)


def test_steps_without_a_rate_in_float32():
    model, kind = cases.WITHOUT_A_RATE["classes"]
    cases.assert_same_training(model, cases.table(n=37, d=3, dtype=np.float32), kind)


def test_steps_without_a_rate_go_on_on_the_other_device():
    given, (model, _) = cases.table(n=37, d=3), cases.WITHOUT_A_RATE["numbers"]
    options = {**model.get_params(), "max_iter": 1}
    there = fastgd.SGDRegressor(**{**options, "device": "cuda"}).fit(given.X, given.numbers)
    here = fastgd.SGDRegressor(**options).fit(given.X, given.numbers)
    there.set_params(device="cpu").partial_fit(given.X, given.numbers)
    here.set_params(device="cuda").partial_fit(given.X, given.numbers)
    np.testing.assert_allclose(there.coef_, here.coef_, rtol=1e-9)


TIED = {
    "of features": penalties.GroupLasso(0.05, l2=0.1),
    "of outputs": penalties.MaxNorm(0.4, l1=0.01),
    "of all": Shared(0.9),
}


@pytest.mark.parametrize("name", TIED)
@pytest.mark.parametrize(
    ("kind", "optimizer", "is_sparse"),
    [
        ("two numbers", "sgd", True),
        ("numbers", "adam", False),
        pytest.param("two numbers", "adam", False, marks=pytest.mark.full),
        pytest.param("numbers", "momentum", True, marks=pytest.mark.full),
    ],
)
def test_penalties_tie_the_same_coefficients(name, kind, optimizer, is_sparse):
    given = cases.scaled(cases.table(n=37, d=3))
    given = cases.sparse(given) if is_sparse else given
    options = {**cases.CONSTANT, "optimizer": optimizer, "penalty": TIED[name]}
    there = cases.assert_same_training(fastgd.SGDRegressor(**options), given, kind)
    free = there.__class__(**{**options, "penalty": None}).fit(given.X, cases.targets(given, kind))
    assert np.abs(there.coef_ - free.coef_).max() > 1e-3


def test_a_class_made_of_a_penalty_ties_what_it_says_itself():
    assert penalties.ties(penalties.GroupLasso(0.1)) == penalties.OF_FEATURE
    assert penalties.ties(type("Own", (penalties.GroupLasso,), {})(0.1)) is None


@pytest.mark.parametrize("is_sparse", [False, True])
def test_networks_are_fitted_by_lbfgs_on_a_device(is_sparse):
    given = cases.scaled(cases.table(n=13, d=3))
    X = cases.sparse(given).X if is_sparse else given.X
    options = {"hidden_layer_sizes": (3,), "activation": "tanh", "random_state": 0, "max_iter": 5}
    make = fastgd.neural_network.MLPRegressor
    with pytest.warns(ConvergenceWarning):
        here, there = (
            make(solver="lbfgs", device=device, **options).fit(X, given.numbers)
            for device in ("cpu", "cuda")
        )
    np.testing.assert_allclose(there._params, here._params, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(there.history_["loss"], here.history_["loss"], rtol=1e-8)


def test_rows_of_one_class():
    X = cases.scaled(cases.table(n=37, d=3)).X
    here, there = (
        fastgd.SGDOneClassSVM(device=device, **cases.CONSTANT) for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(there.fit(X).coef_, here.fit(X).coef_, rtol=1e-10)
    np.testing.assert_allclose(there.offset_, here.offset_, rtol=1e-10)


def test_training_in_float32():
    given = cases.scaled(cases.table(n=37, d=3, dtype=np.float32))
    model = fastgd.SGDClassifier(loss="log_loss", optimizer="adam", **cases.CONSTANT)
    cases.assert_same_training(model, given, "labels", given.weight)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_training_goes_on_where_it_stopped(is_sparse):
    """The state of sparse rows lies in another order in host memory."""
    given = cases.scaled(cases.table(n=37, d=3))
    given = cases.sparse(given) if is_sparse else given
    options = {**cases.CONSTANT, "optimizer": "adam", "device": "cuda"}
    whole = fastgd.SGDRegressor(**options).fit(given.X, given.numbers)
    parts = fastgd.SGDRegressor(**options)
    for _ in range(2):
        parts.partial_fit(given.X, given.numbers)
    np.testing.assert_array_equal(parts.coef_, whole.coef_)


def test_the_same_seed_gives_the_same_bits():
    given = cases.table(n=37, d=3)
    fits = [fastgd.LogisticRegression(device="cuda").fit(given.X, given.labels) for _ in range(2)]
    np.testing.assert_array_equal(fits[0].coef_, fits[1].coef_)


SPARSE_AND_WHOLE = {
    "one against the rest": (
        fastgd.SGDClassifier(loss="log_loss", optimizer="adam", alpha=0.01, **cases.CONSTANT),
        "classes",
    ),
    "softmax": cases.TRAINED["softmax"],
    "clipped, signs": (
        fastgd.SGDRegressor(clip_norm=0.1, clip_value=0.08, quantize="sign", **cases.CONSTANT),
        "numbers",
    ),
    "clipped apart": (fastgd.SGDRegressor(clip_norm=0.5, **cases.CONSTANT), "two numbers"),
    "prodigy": (
        fastgd.SGDRegressor(
            optimizer="prodigy", **{**cases.CONSTANT, "eta0": 1.0, "average": False}
        ),
        "numbers",
    ),
    "muon": (fastgd.SGDRegressor(optimizer="muon", penalty=None, **cases.CONSTANT), "two numbers"),
}


@pytest.mark.parametrize("name", SPARSE_AND_WHOLE)
def test_sparse_batches_and_whole_gradients_take_the_same_steps(name):
    model, kind = SPARSE_AND_WHOLE[name]
    given = cases.sparse(cases.scaled(cases.table(n=37, d=3)))
    there = cases.assert_same_training(model, given, kind, given.weight)
    if "clipped" in name:
        assert 0 < there.history_["clipped"][0] <= 1


@pytest.mark.parametrize("name", transforms.TRANSFORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quantizers_send_what_the_processors_do(name, dtype, rng):
    quantizer = transforms.TRANSFORMS[name]
    if name == "topk":
        quantizer = quantizer._replace(fraction=0.4)
    gradient = rng.standard_normal(23).astype(dtype)
    gradient[[3, 5, 7]] = gradient[2]  # which of equal entries are sent is said as well
    residual = rng.standard_normal(23 if quantizer.feeds_back else 0).astype(dtype)
    here, there = (gradient.copy(), residual.copy()), (gradient.copy(), residual.copy())
    transforms.quantize(quantizer, *here, 11, 4)
    quantizers.compressor_of(quantizer, there[0])(*there, np.uint64(11), 4)
    for one, other in zip(there, here, strict=True):
        rtol = 1e-6 if dtype == np.float32 else 1e-14
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("by_library", [False, True])
def test_products_of_matrices(turned, by_library, rng, monkeypatch):
    monkeypatch.setattr(matrices, "SHORTEST", 4)  # of spans, of which there are some
    monkeypatch.setattr(_library, "cupy", lambda: np if by_library else None)
    left, right, out = (rng.standard_normal(s) for s in ((5, 11), (11, 3), (5, 3)))
    expected = left @ right
    left = left.T.copy() if turned[0] else left
    right = right.T.copy() if turned[1] else right
    before, words = out.copy(), {"left_turned": turned[0], "right_turned": turned[1]}
    matrices.multiply(left, right, out, adds=True, **words)
    np.testing.assert_allclose(out, before + expected, rtol=1e-12)
    matrices.multiply(left, right, out, **words)
    np.testing.assert_allclose(out, expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["logistic", "softmax"])
def test_solvers_find_the_same_optimum_by_a_librarys_products(name, monkeypatch):
    monkeypatch.setattr(_library, "cupy", lambda: np)
    monkeypatch.setattr(matrices, "ROWS_AT_ONCE", 16)
    cases.assert_same_optimum(cases.SOLVED[name][0], cases.table(n=37, d=3), cases.SOLVED[name][1])


@pytest.mark.parametrize("name", cases.NETWORKS)
def test_networks_take_the_same_steps(name):
    model, kind = cases.NETWORKS[name]
    cases.assert_same_network(model, cases.scaled(cases.table(n=13, d=3)), kind)


def test_a_librarys_work_is_queued_where_the_drivers_are(monkeypatch):
    entered = []

    class Null:
        def __enter__(self):
            entered.append("in")

        def __exit__(self, *_):
            entered.append("out")

    library = types.SimpleNamespace(
        asarray=np.asarray,
        dot=lambda *given, **out: (entered.append("product"), np.dot(*given, **out)),
        cuda=types.SimpleNamespace(Stream=types.SimpleNamespace(null=Null())),
    )
    monkeypatch.setattr(_library, "cupy", lambda: library)
    out = np.empty((2, 2))
    matrices.multiply(np.eye(2), np.eye(2), out)
    assert entered == ["in", "out", "in", "product", "out"]
    np.testing.assert_array_equal(out, np.eye(2))


@pytest.mark.parametrize("name", ["embedding, sequences", "sparse rows, Muon"])
def test_networks_whose_products_are_a_librarys_are_the_same(name, monkeypatch):
    """Each step has its own products, of views that are made for the first step only."""
    made = []

    def dot(left, right, out):
        made.append(out.shape)
        np.dot(left, right, out=out)

    library = types.SimpleNamespace(asarray=np.asarray, dot=dot)
    monkeypatch.setattr(_library, "cupy", lambda: library)
    model, kind = cases.NETWORKS[name]
    cases.assert_same_network(model, cases.scaled(cases.table(n=37, d=3)), kind)
    assert len(made) > 2 * (37 // 8) * 3


def test_networks_predict_where_the_rows_are(cupy):
    model, kind = cases.NETWORKS["units, dropout, norms, a block"]
    given = cases.scaled(cases.table(n=13, d=3))
    X, y = cases.rows_for(given, kind)
    there = model.__class__(**{**model.get_params(), "monitor": True}).fit(cupy.asarray(X), y)
    here = model.__class__(**{**model.get_params(), "monitor": True}).fit(X, y)
    for name in ("true_objective", "gradient_norm", "dead/0", "gradient_norm/0"):
        if name in here.history_:
            np.testing.assert_allclose(there.history_[name], here.history_[name], rtol=1e-9)
    found = there.predict_proba(cupy.asarray(X))
    assert type(found) is cupy.ndarray
    np.testing.assert_allclose(found.get(), here.predict_proba(X), rtol=1e-9)
    with pytest.raises(ValueError, match="X has 2 features, but NetworkClassifier is expecting 3"):
        there.predict(cupy.asarray(X[:, :2].copy()))


def test_predictions_refuse_on_a_device_what_they_refuse_in_host_memory(cupy):
    X, y = GIVEN.X, GIVEN.labels
    linear = fastgd.LogisticRegression(device="auto").fit(X, y)
    network = fastgd.neural_network.MLPClassifier((2,), max_iter=1, tol=None, random_state=0).fit(
        X, y
    )
    for model in (linear, network):
        holed = X.copy()
        holed[3, 1] = np.nan
        with pytest.raises(ValueError, match="Input X contains NaN"):
            model.predict(cupy.asarray(holed))
    places = np.arange(8).reshape(4, 2) % 3
    layers = [fastgd.layers.Embedding(3, 2), fastgd.layers.Dense(1)]
    table = fastgd.neural_network.NetworkClassifier(layers, max_iter=1, tol=None, random_state=0)
    table.fit(places, [0, 1, 0, 1])
    beyond = cupy.asarray(places + 1.0)
    with pytest.raises(ValueError, match="whole numbers from 0 to 2; X holds numbers from 1 to 3"):
        table.predict(beyond)


def test_predictions_for_whole_numbers_on_a_device_are_no_whole_numbers(cupy):
    model = fastgd.LogisticRegression().fit(GIVEN.X, GIVEN.labels)
    X = np.arange(12).reshape(4, 3) - 6
    found = model.decision_function(cupy.asarray(X)).get()
    np.testing.assert_allclose(found, model.decision_function(X), rtol=1e-12)


def test_fits_leave_the_devices_memory_at_once():
    from fastgd._engines import cuda_network
    from fastgd._solvers import _on_device

    made = []

    def counted(kind):
        class Counted(kind):
            def __init__(self, *arguments, **words):
                super().__init__(*arguments, **words)
                made.append(weakref.ref(self))

        return Counted

    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((cuda_network, "NetworkPass"), (_on_device, "DeviceShards")):
            patch.setattr(module, name, counted(getattr(module, name)))
        gc.disable()
        try:
            fastgd.Ridge(device="cuda").fit(GIVEN.X, GIVEN.numbers)
            assert len(made) == 1
            model = fastgd.neural_network.MLPClassifier((2,), max_iter=1, tol=None, random_state=0)
            model.set_params(device="cuda").fit(GIVEN.X, GIVEN.labels)
            assert len(made) > 1
            assert not any(one() is not None for one in made)
        finally:
            gc.enable()


OTHERS = ("cupy", "numba", "DLPack")
LAUNCHED = {
    "sums": (fastgd.SGDRegressor(optimizer="adam", average=3, **cases.CONSTANT), "numbers"),
    "outputs": (fastgd.SGDRegressor(optimizer="momentum", **cases.CONSTANT), "two numbers"),
    "classes": cases.TRAINED["softmax"],
}


@pytest.mark.parametrize("name", LAUNCHED)
def test_steps_in_one_launch_are_those_of_one_launch_each(name, monkeypatch):
    """To the last bit, where as many blocks take them: the simulator has one that can wait."""
    model, kind = LAUNCHED[name]
    given = cases.scaled(cases.table(n=37, d=3))  # the last batch has fewer rows
    monkeypatch.setattr(steps, "MOST_BLOCKS", 1)
    fits = []
    for persists, at_once in ((True, 1 << 12), (True, 2), (False, 0)):
        monkeypatch.setattr(cuda_linear, "PERSISTS", persists)
        monkeypatch.setattr(cuda_linear, "STEPS_AT_ONCE", at_once)
        fits.append(cases.assert_same_training(model, given, kind, given.weight))
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.coef_, fits[0].coef_)
        assert fit.history_["objective"] == fits[0].history_["objective"]


QUEUED = {
    "sparse, averaged": (fastgd.SGDRegressor(average=5, **cases.CONSTANT), "sparse rows"),
    "clipped, quantized": (
        fastgd.SGDRegressor(clip_norm=0.5, quantize=transforms.Qsgd(), **cases.CONSTANT),
        "numbers",
    ),
    "no rate": cases.WITHOUT_A_RATE["numbers"],
    "dropout": cases.NETWORKS["units, dropout, norms, a block"],
}


@pytest.mark.parametrize("name", QUEUED)
def test_steps_that_are_queued_again_are_those_that_are_prepared(name, monkeypatch):
    """Each of them: which step it is, its rows and its random numbers are told to each launch."""
    model, kind = QUEUED[name]
    given, fits = cases.scaled(cases.table(n=37, d=3)), []
    X, y = (given.X, given.numbers) if kind == "numbers" else cases.rows_for(given, kind)
    for records in (True, False):
        monkeypatch.setattr(cuda_steps, "RECORDS", records)
        there = model.__class__(**{**model.get_params(), "device": "cuda"}).fit(X, y)
        found = there.coef_ if hasattr(there, "coef_") else there._params
        fits.append((found, there.history_["objective"]))
    np.testing.assert_array_equal(fits[0][0], fits[1][0])
    assert fits[0][1] == fits[1][1]


@pytest.mark.parametrize("is_one_launch", [True, False])
def test_an_epoch_never_waits_for_the_host(is_one_launch, monkeypatch):
    moved = {"upload": 0, "download": 0, "empty": 0, "launch": 0}

    def counted(name, whole):
        def count(*given, **words):
            moved[name] += 1
            return whole(*given, **words)

        return count

    for name, of in (("launch", _compiler.Driver), *((name, memory) for name in list(moved)[:3])):
        monkeypatch.setattr(of, name, counted(name, getattr(of, name)))
    given = cases.scaled(cases.table(n=37, d=3))

    def of_epoch(batch_size):
        options = {
            **cases.CONSTANT,
            "batch_size": batch_size,
            "device": "cuda",
            "optimizer": "adam",
            "clip_norm": None if is_one_launch else 100.0,
        }
        model = fastgd.SGDRegressor(**options).partial_fit(given.X, given.numbers)
        before = dict(moved)
        model.partial_fit(given.X, given.numbers)
        one = {name: moved[name] - before[name] for name in moved}
        model.partial_fit(given.X, given.numbers, max_iter=2)
        return {name: moved[name] - before[name] - 2 * one[name] for name in moved}

    # what a further epoch adds: its order and rates; then sums, parameters and state, read once
    small, large = of_epoch(4), of_epoch(37)
    launches = small.pop("launch"), large.pop("launch")
    assert small == large
    assert small["upload"] <= 2
    assert small["download"] == 3
    assert small["empty"] == 0
    if is_one_launch:
        assert launches[0] == launches[1] <= 7
    else:
        assert launches[0] > launches[1]


@pytest.mark.parametrize("is_sparse", [False, True])
def test_an_epoch_of_a_network_never_waits_for_the_host(is_sparse, monkeypatch):
    moved = dict.fromkeys(("upload", "download", "zeros"), 0)

    def counted(name, whole):
        def count(*given):
            moved[name] += 1
            return whole(*given)

        return count

    for name in moved:
        monkeypatch.setattr(memory, name, counted(name, getattr(memory, name)))
    given = cases.scaled(cases.table(n=13, d=3))
    X = cases.sparse(given).X if is_sparse else given.X
    options = {"hidden_layer_sizes": (2,), "random_state": 0, "tol": None, "device": "cuda"}

    def of_fit(batch_size, epochs):
        before = dict(moved)
        make = fastgd.neural_network.MLPRegressor
        make(batch_size=batch_size, max_iter=epochs, **options).fit(X, given.numbers)
        return {name: moved[name] - before[name] for name in moved}

    def of_epoch(batch_size):
        few, many = of_fit(batch_size, 1), of_fit(batch_size, 2)
        return {name: many[name] - few[name] for name in moved}

    small = of_epoch(2)
    assert small == of_epoch(13)
    assert small["download"] <= 4
    assert small["zeros"] == 0


@pytest.mark.parametrize("is_foreseen", [True, False])
def test_rows_beyond_the_memory_are_sent_in_parts(is_foreseen, monkeypatch):
    given, upload = cases.scaled(cases.table(n=37, d=3)), memory.upload
    of_two_steps = 2 * 16 * 3 * 8

    def full(array):
        if array.shape == given.X.shape:
            raise MemoryError
        return upload(array)

    free = given.X.nbytes if is_foreseen else 5 * of_two_steps
    monkeypatch.setattr(memory, "free_bytes", lambda: free)
    monkeypatch.setattr(memory, "upload", full)
    with pytest.warns(UserWarning, match="its rows are sent in parts, anew in each epoch"):
        cases.assert_same_training(fastgd.SGDRegressor(**cases.CONSTANT), given, "numbers")


@pytest.mark.parametrize("is_sparse", [False, True])
def test_chunks_are_sent_as_they_are_read(is_sparse, monkeypatch):
    monkeypatch.setattr(_sharded, "SAMPLE_ROWS", 15)
    made = []
    monkeypatch.setattr(
        _on_device, "pass_over", lambda *a, **w: (made.append(1), pass_over(*a, **w))[1]
    )
    given = cases.table(n=37, d=2)
    given = cases.sparse(given) if is_sparse else given
    here, there = (
        fastgd.LogisticRegression(device=device, tol=1e-9).fit(
            open_rows((given.X, given.labels), chunk_rows=16)
        )
        for device in ("cpu", "cuda")
    )
    assert len(made) >= 3 * 2  # of each chunk in each pass
    np.testing.assert_allclose(there.objective_, here.objective_, rtol=1e-9)
    np.testing.assert_allclose(there.coef_, here.coef_, rtol=1e-5)
    assert there.gap_ <= 1e-8


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("options", [cases.CONSTANT, cases.NO_RATE], ids=["rate", "no rate"])
def test_data_in_parts_are_trained_part_by_part(options, is_sparse):
    given = cases.scaled(cases.table(n=37, d=3))
    given = cases.sparse(given) if is_sparse else given
    options = {**options, "penalty": None}
    model = fastgd.SGDRegressor(**options)
    here, there = (
        model.__class__(**{**model.get_params(), "device": device}).fit(
            open_rows((given.X, given.numbers), chunk_rows=16)
        )
        for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(there.coef_, here.coef_, rtol=1e-10)


def test_arrays_on_a_device_are_trained_and_predicted_there(cupy):
    given = cases.table(n=37, d=3)
    X, y = cupy.asarray(given.X), cupy.asarray(given.labels)
    for labels in (y, given.labels):  # of a device or of the host
        there = fastgd.LogisticRegression().fit(X, labels)
        here = fastgd.LogisticRegression(device="cpu").fit(given.X, given.labels)
        np.testing.assert_allclose(there.coef_, here.coef_, rtol=1e-4)
    for method in ("predict", "predict_proba", "decision_function", "predict_log_proba"):
        found = getattr(there, method)(X)
        assert type(found) is cupy.ndarray
        expected = getattr(there, method)(given.X)
        np.testing.assert_allclose(found.get(), expected, rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match="X has 2 features, but LogisticRegression is expecting 3"):
        there.predict(cupy.asarray(given.X[:, :2].copy()))


@pytest.mark.parametrize(
    "library",
    ["torch", "cudf", *(pytest.param(name, marks=pytest.mark.full) for name in OTHERS)],
)
def test_arrays_of_each_library_are_fitted_and_come_back(library, foreign, monkeypatch):
    make, back = foreign[library]
    given = cases.scaled(cases.table(n=19, d=2))
    options = {**cases.CONSTANT, "batch_size": "full", "max_iter": 1}
    models = (fastgd.Ridge(), fastgd.LinearSVR(epsilon=0.1), fastgd.SGDRegressor(**options))
    monkeypatch.setattr(_mlp, "LEAST_PRODUCTS", 0)
    network = fastgd.neural_network.MLPRegressor(hidden_layer_sizes=(2,), max_iter=1, tol=None)
    for model in (*models, network):
        if hasattr(model, "random_state"):
            model.set_params(random_state=0)
        there = model.fit(make(given.X), make(given.numbers))
        here = model.__class__(**{**model.get_params(), "device": "cpu"})
        here.fit(given.X, given.numbers)
        waited = getattr(sys.modules.get("torch"), "cuda", None) if library == "torch" else None
        before = 0 if waited is None else len(waited.waited)
        found = there.predict(make(given.X))
        assert waited is None or len(waited.waited) == before + 1 > 1
        assert isinstance(found, back)
        found = found._values if hasattr(found, "_values") else found
        np.testing.assert_allclose(found, here.predict(given.X), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_on_a_device_are_validated_there(cupy, dtype, monkeypatch):
    given = cases.table(n=37, d=3, dtype=dtype)
    X = cupy.asarray(given.X)
    monkeypatch.setattr(cupy.ndarray, "get", lambda _: pytest.fail("X was copied to the host"))
    monkeypatch.setattr(memory, "adopt", lambda array: array._values)
    there = fastgd.Ridge().fit(X, given.numbers, sample_weight=given.weight)
    here = fastgd.Ridge(device="cuda").fit(given.X, given.numbers, sample_weight=given.weight)
    np.testing.assert_allclose(there.coef_, here.coef_, rtol=1e-3)
    assert there.n_features_in_ == 3
    broken = given.X.copy()
    broken[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"Input X contains NaN or infinity.*column 1"):
        fastgd.Ridge().fit(cupy.asarray(broken), given.numbers)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fastgd.Ridge().fit(X, given.numbers[:-1])


def test_solvers_take_lists_on_a_device(cupy):
    X, y, weight = GIVEN.X, GIVEN.labels, GIVEN.weight
    here = fastgd.LogisticRegression().fit(X, y, sample_weight=weight).coef_
    for rows, model in (
        (X.tolist(), fastgd.LogisticRegression(device="cuda")),
        (cupy.asarray(X), fastgd.LogisticRegression()),
    ):
        model.fit(rows, y.tolist(), sample_weight=weight.tolist())
        np.testing.assert_allclose(model.coef_, here, rtol=1e-4)


@pytest.mark.parametrize("name", ["many targets", "squared hinge"])
def test_solvers_of_rows_use_those_that_lie_on_a_device(name, cupy, monkeypatch):
    model, kind = cases.SOLVED_BY_ROWS[name]
    given, adopted, adopt = cases.table(n=19, d=2), [], memory.adopt
    model = model.__class__(**{**model.get_params(), "fit_intercept": False})
    monkeypatch.setattr(memory, "adopt", lambda array: (adopted.append(1), adopt(array))[1])
    X, y = cupy.asarray(given.X), cases.targets(given, kind)
    there = model.fit(X, cupy.asarray(y))
    assert len(adopted) == 1
    assert not hasattr(there, "_device") or there._device is None
    here = model.__class__(**{**model.get_params(), "device": "cpu"}).fit(given.X, y)
    np.testing.assert_allclose(there.coef_, here.coef_, rtol=1e-4)
    assert type(there.predict(X)) is cupy.ndarray


@pytest.mark.parametrize("is_network", [False, True])
def test_trainings_keep_rows_where_they_are(cupy, is_network, monkeypatch):
    given = cases.scaled(cases.table(n=37, d=3))
    options = {**cases.CONSTANT, "batch_size": "full", "max_iter": 5}
    if is_network:
        monkeypatch.setattr(_mlp, "LEAST_PRODUCTS", 0)
        options = {"max_iter": 2, "tol": None, "random_state": 0, "hidden_layer_sizes": (2,)}
    make = fastgd.neural_network.MLPRegressor if is_network else fastgd.SGDRegressor
    here = make(device="cuda", **options).fit(given.X, given.numbers)
    monkeypatch.setattr(cupy.ndarray, "get", lambda _: pytest.fail("X was copied to the host"))
    monkeypatch.setattr(memory, "adopt", lambda array: array._values)
    there = make(**options).fit(cupy.asarray(given.X), given.numbers)
    np.testing.assert_allclose(
        there.loss_curve_ if is_network else there.coef_,
        (here.loss_curve_ if is_network else here.coef_),
        rtol=1e-10,
    )
    broken = given.X.copy()
    broken[3, 1] = np.inf
    with pytest.raises(ValueError, match="Input X contains NaN, infinity"):
        make(**options).fit(cupy.asarray(broken), given.numbers)
    with pytest.raises(ValueError, match="X has 2 features, but"):
        there.partial_fit(cupy.asarray(given.X[:, :2].copy()), given.numbers)


def test_small_batches_on_a_device_are_copied_to_the_processor(cupy):
    given = cases.scaled(cases.table(n=37, d=3))
    X = cupy.asarray(given.X)
    with pytest.warns(UserWarning, match="batch_size=16 is less work than a device takes"):
        here = fastgd.SGDRegressor(**cases.CONSTANT).fit(X, given.numbers)
    full = fastgd.SGDRegressor(**{**cases.CONSTANT, "batch_size": "full"}).fit(X, given.numbers)
    assert type(full.predict(X)) is type(here.predict(X)) is cupy.ndarray


def test_networks_of_little_work_are_trained_on_the_processor(cupy):
    given = cases.scaled(cases.table(n=37, d=3))
    X, y = cupy.asarray(given.X), given.numbers
    options = {"hidden_layer_sizes": (4, 2), "max_iter": 1, "tol": None, "random_state": 0}
    make = fastgd.neural_network.MLPRegressor
    here = make(batch_size=8, **options).fit(given.X, y)
    with pytest.warns(UserWarning, match=r"batch_size=8 of these layers, 176 products, is less"):
        there = make(batch_size=8, **options).fit(X, y)
    np.testing.assert_array_equal(there._params, here._params)
    assert type(there.predict(X)) is cupy.ndarray
    with pytest.raises(ValueError, match="hidden_layer_sizes must be > 0"):
        make(hidden_layer_sizes=(0,)).fit(X, y)
    without = {"hidden_layer_sizes": (), "batch_size": 1 << 18}
    for more in ({"batch_size": "full"}, {"batch_size": 1 << 16}, {"solver": "lbfgs"}, without):
        assert make(**{**options, **more})._loses_on_cuda(X) is None


def test_arrays_on_another_device_than_the_current_one_are_refused(cupy, monkeypatch):
    monkeypatch.setattr(cupy.ndarray, "device", types.SimpleNamespace(id=1), raising=False)
    X = cupy.asarray(GIVEN.X)
    for model in (fastgd.Ridge(), fastgd.SGDRegressor(batch_size="full")):
        with pytest.raises(ValueError, match="X lies on CUDA device 1, and device 0 is the curr"):
            model.fit(X, GIVEN.numbers)
        assert not hasattr(model, "coef_")
    here = fastgd.Ridge().fit(GIVEN.X, cupy.asarray(GIVEN.numbers))  # y is copied from anywhere
    np.testing.assert_array_equal(here.coef_, fastgd.Ridge().fit(GIVEN.X, GIVEN.numbers).coef_)


def test_a_fork_cannot_use_the_device(monkeypatch):
    devices.require()
    monkeypatch.setattr(devices, "_first_process", [os.getpid() + 1])
    with pytest.raises(RuntimeError, match="forked after its parent had used CUDA"):
        fastgd.Ridge(device="cuda").fit(GIVEN.X, GIVEN.numbers)


def test_the_benchmark_runs(tmp_path):
    script = Path(__file__).parents[2] / "benchmarks" / "devices.py"
    command = [sys.executable, script, "--dry-run", "--out", tmp_path / "found"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=script.parents[1])
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert [row["note"] for row in rows if "Error" in row["note"] or "no time" in row["note"]] == []
    contenders = {row["contender"] for row in rows}
    cores = f"{os.cpu_count()} cores"
    assert {"fastgd, cuda", f"fastgd, {cores}", f"scikit-learn, {cores}"} <= contenders
    tasks = {row["task"].split(" ")[0] for row in rows if row["contender"] == "fastgd, cuda"}
    assert tasks == {"check:", "one", "logistic", "2", "support", "softmax"}
    # between calls bits may differ here: the simulator makes some shared arrays twice
    assert [row["note"] for row in rows if row["note"].startswith("differs from the")] == []
    assert "a network of 3 units" in (tmp_path / "found.md").read_text()


def test_the_benchmark_has_the_peers_that_are_installed(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import devices as benchmark

    cupy, cuml = types.ModuleType("cupy"), types.ModuleType("cuml")
    cupy.asarray, cuml.linear_model = np.asarray, types.ModuleType("cuml.linear_model")
    cuml.linear_model.LogisticRegression = fastgd.LogisticRegression
    for module in (cupy, cuml, cuml.linear_model):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(benchmark, "find_spec", lambda _: True)
    X, y = GIVEN.X, GIVEN.labels
    on_device = {"fastgd, cuda", "fastgd, X on the device", "cuML, cuda", "cuML, X on the device"}
    assert on_device < benchmark.logistic_contenders(X, y).keys()
    trained = {"fastgd, cuda", "PyTorch, cuda", "PyTorch, cuda, a graph"}
    assert trained < benchmark.epoch_contenders(X, y, 4).keys()
    assert trained < benchmark.network_contenders(X, y, 4, 2).keys()
    assert benchmark.ROWS == {"logistic": (10_000_000, 50), "softmax": (1_000_000, 784)}
    assert benchmark.LIMIT <= 300.0


def test_a_contender_of_the_benchmark_ends_when_its_time_is_up(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import devices as benchmark

    def forever():
        while True:
            pass

    with pytest.raises(TimeoutError, match="its time was up"), benchmark.at_most(0.1):
        forever()


def test_the_simulator_says_that_it_is_one():
    assert memory.describe()["device"] == "simulator"
