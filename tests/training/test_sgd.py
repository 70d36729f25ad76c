"""Whole trainings, of one output and of many, against the naive one: every step of every epoch.

Dense and CSR rows, every loss, optimizer, penalty and store (how coefficients are kept) must end
where plain numpy does. A distinct combination of specs and layout compiles for two seconds or more.
So every store is tried by default, with a few losses and optimizers; marked ``full`` are all losses
with sgd, all optimizers with log_loss, and a sample of the rest.
"""

import itertools
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import SGDClassifier, SGDRegressor

import fastgd
from fastgd._data import order as _order
from fastgd._data.order import run_length
from fastgd._data.source import Data
from fastgd._engines import linear, updates
from fastgd._parameters import resolve as _resolve
from fastgd._training import trainer
from fastgd._training.linear import in_memory, train
from fastgd._training.progress import Progress, Settings
from fastgd.kernels import stores
from fastgd.kernels.losses import BINARY, MULTINOMIAL, Softmax, domain_of
from fastgd.kernels.optimizers import Adagrad, Adam, LazyMoments
from fastgd.kernels.sampling import shuffled_rows, shuffled_runs
from fastgd.kernels.sgd import Rule, sgd_batches, sgd_epochs
from fastgd.kernels.transforms import Identity
from fastgd.schedules import InvScaling
from tests import naive
from tests.tables import (
    LOSS_CASES,
    OPTIMIZER_CASES,
    PENALTY_CASES,
    PENALTY_OBJECT_CASES,
    SCALAR_LOSSES,
    LossCase,
    OptimizerCase,
    over,
    over_product,
)

N, D, SEED, POWER = 23, 5, 11, 0.3
NO_TRANSFORM = Identity()
LOSS = {case.name: case for case in LOSS_CASES}
OPTIMIZER = {case.name: case for case in OPTIMIZER_CASES}
PENALTY = {case.given: case for case in PENALTY_CASES}
OBJECT = {case.name: case for case in PENALTY_OBJECT_CASES}
LAYOUTS = {"dense": np.ascontiguousarray, "csr": sp.csr_array}
BATCHES = [1, 7, N]  # the last batch of 7 is short

# Each of another store or hook. What is the same for all optimizers is tested with these: single
# rows, float32 and averages are a compilation of two seconds each.
A_FEW = [OPTIMIZER[name] for name in ("sgd", "momentum", "adagrad", "adam", "ftrl")]
FREE = OPTIMIZER_CASES if os.environ.get("NUMBA_DISABLE_JIT") == "1" else A_FEW
ALSO = [("sgd", "csr")]
USUAL = [OPTIMIZER["sgd"]]
USUAL_LOSSES = [LOSS[name] for name in ("squared_error", "hinge", "log_loss", "poisson")]


def over_optimizers(names, thorough):
    """Return the mark of a test of these optimizers, the last of them in thorough runs only."""
    mark = pytest.mark.thorough
    rest = [pytest.param(OPTIMIZER[name], marks=mark) for name in thorough]
    rows = [OPTIMIZER[name] for name in names] + rest
    return pytest.mark.parametrize("optimizer", rows, ids=[*names, *thorough])


# Whose coefficients are kept alike whatever the penalty is: by default they meet one kind of it.
ONE_PENALTY = {"adagrad": "elasticnet", "adam": "l2", "ftrl": "elasticnet"}


def _is_often(case, layout, penalty):
    is_one_of_few = case in A_FEW and (layout == "csr" or case.name in ("sgd", "adam"))
    return is_one_of_few and ONE_PENALTY.get(case.name, penalty.given) == penalty.given


def _triple(case, layout, penalty):
    rest = pytest.mark.full if layout == "dense" and case.is_registered else pytest.mark.thorough
    rest = rest if case not in A_FEW else pytest.mark.full
    return pytest.param(
        case, layout, penalty, marks=() if _is_often(case, layout, penalty) else rest
    )


# every optimizer on both layouts under every penalty; by default a few, of all stores
over_triples = pytest.mark.parametrize(
    ("optimizer", "layout", "penalty"),
    [_triple(*three) for three in itertools.product(OPTIMIZER_CASES, LAYOUTS, PENALTY_CASES)],
    ids=lambda value: value if isinstance(value, str) else str(value[0]).replace(" ", "_"),
)
OFTEN_OBJECTS = [
    ("bounded", "csr"),
    ("nonnegative", "csr"),
    ("weighted l2", "csr"),
    ("max norm", "dense"),
    ("group lasso", "csr"),
]
over_layouts = pytest.mark.parametrize("layout", LAYOUTS)
over_batches = pytest.mark.parametrize("batch_size", BATCHES)


@dataclass
class Training:
    """One training, which can be run by the kernels and by ``naive``.

    ``y`` is a column of targets, the numbers of classes (``n_classes``), or many columns.
    """

    X: np.ndarray
    y: np.ndarray
    loss: Any
    optimizer: Any = OPTIMIZER["sgd"]
    penalty: Any = PENALTY[None]
    batch_size: int = 7
    n_epochs: int = 3
    n_classes: int | None = None
    weight: np.ndarray | None = None
    unit: float = 1.0
    class_weight: np.ndarray | None = None
    fit_intercept: bool = True
    intercept_rate: float = 1.0
    shuffle: bool = False
    average: int = 0
    rows: np.ndarray | None = None
    power: float = POWER
    transform: Any = NO_TRANSFORM
    naive_transform: Any = None

    @property
    def rule(self):
        """What a step does."""
        specs = (self.loss.spec, self.penalty.spec, self.optimizer.spec)
        rule = Rule(*specs, self.fit_intercept, self.transform)
        return rule._replace(intercept_rate=self.intercept_rate)

    def compiled(self, layout="dense", dtype=np.float64, progress=None):
        """Train as the estimators do."""
        rule = self.rule
        settings = Settings(
            batch_size=min(self.batch_size, len(self.visited)),
            schedule=InvScaling(self.optimizer.eta0, self.power),
            shuffle=self.shuffle,
            average=self.average,
            max_iter=self.n_epochs,
            tol=None,
            n_iter_no_change=5,
        )
        if progress is None:
            start = np.zeros((self.X.shape[1] + 1, *self.outputs), dtype)
            average = self.average > 0
            progress = Progress.begin(start, rule.optimizer, average=average, seed=SEED)
        source = in_memory(self.data(layout, dtype), settings)
        return train(source, rule, progress, settings)[0]

    def data(self, layout, dtype):
        """Return X, y and weights as ``fit`` hands them on."""
        codes = self.n_classes is not None
        empty = np.empty(0)
        return Data(
            X=LAYOUTS[layout](self.X.astype(dtype)),
            y=self.y.astype(np.int32 if codes else dtype),
            weight=(empty if self.weight is None else self.weight).astype(dtype),
            unit=self.unit,
            rows=empty if self.rows is None else self.rows,
            positive_weight=self.class_weights.astype(dtype),
        )

    def naive(self):
        """Train in plain numpy."""
        n_steps = -(-len(self.visited) // self.batch_size)
        t = range(1, self.n_epochs * n_steps + 1)
        return naive.train(
            self.X,
            self.targets,
            self.loss.naive,
            self.optimizer.naive(),
            [naive.invscaling(step, self.optimizer.eta0, self.power) for step in t],
            [self.order(epoch) for epoch in range(self.n_epochs)],
            batch_size=self.batch_size,
            penalty=self.penalty.naive,
            weight=self.weight,
            unit=self.unit,
            column_weight=self.column_weight,
            fit_intercept=self.fit_intercept,
            intercept_rate=self.intercept_rate,
            average_from=max(self.average - 1, 0),
            transform=self.naive_transform,
        )

    @property
    def outputs(self):
        """The shape of one row of outputs."""
        return self.y.shape[1:] if self.n_classes is None else (self.n_classes,)

    @property
    def class_weights(self):
        """Weights of the classes; ones where there are none."""
        return np.ones(self.outputs or 1) if self.class_weight is None else self.class_weight

    @property
    def column_weight(self):
        """What the classes' weights mean for each row and column; None where there are none."""
        if self.class_weight is None:
            return None
        return np.where(self.targets == 1, self.class_weight, 1.0)

    @property
    def targets(self):
        """The targets as columns, as the definition of the loss has them."""
        if self.n_classes is None:
            return self.y.reshape(len(self.y), -1)
        own = np.eye(self.n_classes)[self.y]
        return (
            own if type(self.loss.spec).kind == MULTINOMIAL else np.where(own, 1.0, self.negative)
        )

    @property
    def negative(self):
        """How the loss writes the classes that a row is not of."""
        return type(self.loss.spec).negative

    @property
    def visited(self):
        """The numbers of the rows to train on."""
        return np.arange(len(self.y)) if self.rows is None else self.rows

    def order(self, epoch):
        """Return the rows in the order of an epoch."""
        if not self.shuffle or self.batch_size >= len(self.visited):
            return self.visited
        once, runs = np.empty((2, len(self.visited)), np.int32)
        shuffled_rows(SEED, once)
        shuffled_runs(once, run_length(len(once), self.X.shape[1]), SEED, epoch, runs)
        return self.visited[runs]


def problem(loss, *, n=N, d=D, density=0.5, n_outputs=None, seed=0, **kwargs):
    """Draw a training for a loss: X with many zeros, targets that the loss knows."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * (rng.random((n, d)) < density)
    kind = type(loss.spec).kind
    if n_outputs is not None and kind in (BINARY, MULTINOMIAL):
        return Training(X, rng.integers(n_outputs, size=n), loss, n_classes=n_outputs, **kwargs)
    y = X @ rng.normal(size=(d, n_outputs or 1)) + rng.normal(size=(n, n_outputs or 1))
    y = y if n_outputs else y[:, 0]
    if kind == BINARY:
        y = np.where(y > 0, 1.0, type(loss.spec).negative)
    if domain_of(loss.spec) is not None:
        y = np.abs(y) + 0.1
    return Training(X, y, loss, **kwargs)


def assert_same(progress, reference, rtol=1e-9, objective_rtol=None):
    """Compare parameters, average and objectives with the naive ones."""
    expected = reference.average if progress.averaged else reference.params
    # where all gradients cancel, what is left of the parameters is rounding
    reported, scale = progress.reported(), max(np.abs(expected).max(), 1e-6)
    np.testing.assert_allclose(
        reported, expected.reshape(reported.shape), rtol=rtol, atol=rtol * scale
    )
    objective = progress.history["objective"]
    np.testing.assert_allclose(objective, reference.objectives, rtol=objective_rtol or rtol)


def tolerances(training, layout):
    """Return what stores that catch up owe to exactness: parameters, and objective.

    The online objective knows the rests of those coefficients only that were read again.
    The rests of lazy moments take no note of how epsilon grows, nor of how a decay of the
    optimizer's own and the penalty alternate.
    """
    averages = training.average > 0
    kind = updates.kind_of_update(training.rule, averages=averages, sparse=layout == "csr")
    if kind not in (stores.ClosedForm, stores.OneByOne, stores.OwnLengths):
        return 1e-9, 1e-9
    if isinstance(training.optimizer.spec, LazyMoments):
        decays = hasattr(training.optimizer.spec.optimizer, "decayed")
        penalised = training.penalty is not PENALTY[None]
        return (0.02, 0.02) if decays and penalised else (1e-6, 1e-3)
    return 1e-9, 1e-3


# -- one output ------------------------------------------------------------------------------


@over_product(
    lambda loss, penalty: (
        loss in USUAL_LOSSES and (loss is LOSS["log_loss"] or penalty.given in (None, "l2"))
    ),
    loss=SCALAR_LOSSES,
    penalty=PENALTY_CASES,
)
def test_every_loss_on_batches_of_dense_rows(loss, penalty):
    training = problem(loss, penalty=penalty)
    assert_same(training.compiled(), training.naive())


@pytest.mark.thorough
@over([PENALTY[None], PENALTY["l2"]], "penalty")
@over(SCALAR_LOSSES, "loss")
def test_every_loss_on_single_sparse_rows(loss, penalty):
    training = problem(loss, penalty=penalty, batch_size=1)
    assert_same(training.compiled("csr"), training.naive())


@over_triples
def test_every_optimizer(optimizer, penalty, layout):
    """On batches, of which the last is short."""
    training = problem(LOSS["log_loss"], optimizer=optimizer, penalty=penalty)
    expected = training.naive()
    assert_same(training.compiled(layout), expected, *tolerances(training, layout))


@over_layouts
@pytest.mark.parametrize("batch_size", [1, N])
@over([PENALTY["l2"], PENALTY["elasticnet"]], "penalty")
@over_optimizers(["sgd"], ["momentum", "adagrad", "adam", "ftrl"])
def test_optimizers_on_batches_of_any_size(optimizer, penalty, batch_size, layout):
    kwargs = {"optimizer": optimizer, "penalty": penalty, "batch_size": batch_size}
    training = problem(LOSS["log_loss"], **kwargs)
    expected = training.naive()
    assert_same(training.compiled(layout), expected, *tolerances(training, layout))


@over_product(
    lambda penalty, layout: (penalty.name, layout) in OFTEN_OBJECTS,
    penalty=PENALTY_OBJECT_CASES,
    layout=LAYOUTS,
)
@over_optimizers(["sgd"], ["adagrad"])
def test_every_penalty_object(optimizer, penalty, layout):
    training = problem(LOSS["log_loss"], optimizer=optimizer, penalty=penalty)
    expected = training.naive()
    assert_same(training.compiled(layout), expected, *tolerances(training, layout))


@pytest.mark.thorough
@pytest.mark.nojit
@over_layouts
@over(PENALTY_OBJECT_CASES, "penalty")
def test_penalty_objects_of_single_rows(penalty, layout):
    training = problem(LOSS["log_loss"], penalty=penalty, batch_size=1)
    expected = training.naive()
    assert_same(training.compiled(layout), expected, *tolerances(training, layout))


@pytest.mark.thorough
@over([OBJECT[name] for name in ("nonnegative", "bounded", "weighted", "weighted l2")], "penalty")
@over([OPTIMIZER[name] for name in ("ftrl", "lazy adamw")], "optimizer")
def test_penalty_objects_of_single_coefficients(optimizer, penalty):
    layout = "csr"
    training = problem(LOSS["log_loss"], optimizer=optimizer, penalty=penalty)
    expected = training.naive()
    assert_same(training.compiled(layout), expected, *tolerances(training, layout))


@pytest.mark.thorough
@pytest.mark.nojit
@over_layouts
@over([OBJECT[name] for name in ("bounded", "weighted l2", "max norm", "group lasso")], "penalty")
def test_averages_under_penalty_objects(penalty, layout):
    training = problem(LOSS["log_loss"], penalty=penalty, average=3)
    assert_same(training.compiled(layout), training.naive())


@pytest.mark.nojit
@over_product(
    lambda optimizer, batch_size, layout, penalty: (
        FREE is not A_FEW
        or optimizer in USUAL
        or (batch_size > 1 and _is_often(optimizer, layout, penalty))
    ),
    optimizer=FREE,
    batch_size=[1, 4],
    layout=LAYOUTS,
    penalty=[PENALTY["l2"], PENALTY["elasticnet"]],
)
def test_a_little_of_everything(optimizer, batch_size, layout, penalty):
    """Every store, on data small enough to train without the compiler."""
    kwargs = {"optimizer": optimizer, "penalty": penalty, "batch_size": batch_size}
    training = problem(LOSS["log_loss"], n=9, d=3, n_epochs=2, **kwargs)
    expected = training.naive()
    assert_same(training.compiled(layout), expected, *tolerances(training, layout))


@pytest.mark.nojit
@over_product(
    lambda layout, batch_size: layout == "csr" or batch_size > 1,
    layout=LAYOUTS,
    batch_size=BATCHES,
)
@pytest.mark.parametrize("average", [1, 4, 10**6])
def test_the_average_is_the_mean_of_the_iterates(average, batch_size, layout):
    training = problem(
        LOSS["log_loss"], penalty=PENALTY["l2"], batch_size=batch_size, average=average
    )
    assert_same(training.compiled(layout), training.naive())


@over_product(
    lambda optimizer: optimizer in USUAL,
    optimizer=[OPTIMIZER[name] for name in ("sgd", "momentum", "ftrl", "lazy adam")],
)
def test_an_average_on_sparse_rows_without_a_closed_form(optimizer):
    kwargs = {"optimizer": optimizer, "penalty": PENALTY["elasticnet"]}
    training = problem(LOSS["log_loss"], average=3, **kwargs)
    assert_same(training.compiled("csr"), training.naive(), *tolerances(training, "csr"))


@over_layouts
@over_batches
def test_weights(batch_size, layout, rng):
    weight = rng.choice([0.0, 0.5, 1.0, 3.0], N)
    kwargs = {"weight": weight, "batch_size": batch_size, "penalty": PENALTY["l2"]}
    for unit in (1.0, weight.mean()):
        training = problem(LOSS["log_loss"], unit=unit, **kwargs)
        assert_same(training.compiled(layout), training.naive())


@over_layouts
def test_in_a_full_batch_a_weight_is_a_repetition(layout, rng):
    weight = rng.integers(0, 4, N)
    once = problem(LOSS["log_loss"], batch_size=N, weight=weight, unit=weight.mean())
    many = np.repeat(np.arange(N), weight)
    repeated = replace(
        once, X=once.X[many], y=once.y[many], weight=None, unit=1.0, batch_size=len(many)
    )
    np.testing.assert_allclose(
        once.compiled(layout).params, repeated.compiled(layout).params, rtol=1e-12
    )


@pytest.mark.nojit
@over_layouts
@over_batches
def test_without_an_intercept_it_stays_zero(batch_size, layout):
    training = problem(LOSS["log_loss"], batch_size=batch_size, fit_intercept=False)
    progress = training.compiled(layout)
    assert progress.params[-1] == 0
    assert_same(progress, training.naive())


@pytest.mark.nojit
@over_layouts
@over_batches
@over_optimizers(["sgd", "adagrad"], ["adam", "ftrl"])
def test_the_intercept_has_a_rate_of_its_own(optimizer, batch_size, layout):
    kwargs = {"optimizer": optimizer, "batch_size": batch_size, "intercept_rate": 0.1}
    training = problem(LOSS["log_loss"], **kwargs)
    assert_same(training.compiled(layout), training.naive())
    assert training.compiled(layout).params[-1] != 0


@over_layouts
def test_so_have_those_of_many_outputs(layout):
    training = problem(LOSS["softmax"], n_outputs=K, intercept_rate=0.1)
    assert_same(training.compiled(layout), training.naive())


@over_layouts
@over_batches
@pytest.mark.parametrize("rows", [None, np.array([20, 3, 4, 5, 9, 1, 0, 17, 22, 8])])
def test_shuffled_rows_and_rows_held_out(rows, batch_size, layout):
    training = problem(LOSS["log_loss"], shuffle=True, rows=rows, batch_size=batch_size)
    assert_same(training.compiled(layout), training.naive())


@over_layouts
@over_batches
def test_a_copy_of_x_in_shuffled_order_changes_nothing(batch_size, layout, monkeypatch, rng):
    kwargs = {"shuffle": True, "n_epochs": 5, "weight": rng.random(N), "batch_size": batch_size}
    training = problem(LOSS["log_loss"], **kwargs)
    copied = training.compiled(layout)
    monkeypatch.setattr(_order, "FEWEST_EPOCHS_TO_COPY", 6)
    gathered = training.compiled(layout)
    np.testing.assert_array_equal(copied.params, gathered.params)
    assert_same(copied, training.naive())


@over_triples
def test_chunks_of_steps_do_not_show(optimizer, penalty, layout, monkeypatch):
    """Rates and lazy coefficients are settled after every span; nothing may get lost there."""
    monkeypatch.setattr(trainer, "CHUNK_STEPS", 2)
    training = problem(LOSS["log_loss"], optimizer=optimizer, penalty=penalty)
    expected = training.naive()
    assert_same(training.compiled(layout), expected, *tolerances(training, layout))


@over_product(
    lambda optimizer, layout: (optimizer.name, layout) in [*ALSO, ("adam", "dense")],
    optimizer=A_FEW,
    layout=LAYOUTS,
)
def test_five_epochs_are_two_and_three(optimizer, layout):
    kwargs = {"optimizer": optimizer, "penalty": PENALTY["l2"], "shuffle": True, "average": 3}
    whole = problem(LOSS["log_loss"], n_epochs=5, **kwargs)
    two = replace(whole, n_epochs=2).compiled(layout)
    five = replace(whole, n_epochs=3).compiled(layout, progress=two)
    expected = whole.compiled(layout)
    for name in ("params", "state", "average"):
        np.testing.assert_array_equal(getattr(five, name), getattr(expected, name))
    assert five.history["objective"] == expected.history["objective"]
    assert (five.steps, five.epochs, five.averaged) == (20, 5, 18)
    assert two.epochs == 2  # the start is left as it was


@pytest.mark.filterwarnings("ignore:The last step's length:sklearn.exceptions.ConvergenceWarning")
def test_a_vanishing_common_factor_is_multiplied_out():
    """Strong decay shrinks the factor of ``Scaled`` below its floor within an epoch, or to 0."""
    for l2 in (8.0, 1e3):
        penalty = PENALTY["l2"]._replace(l2=l2)
        for average in (0, 3):
            training = problem(LOSS["log_loss"], penalty=penalty, average=average, batch_size=1)
            assert_same(training.compiled("csr"), training.naive())


@pytest.mark.parametrize(
    ("optimizer", "given", "average", "layout", "kind"),
    [
        ("sgd", "elasticnet", False, "dense", stores.Plain),
        ("sgd", "l2", False, "csr", stores.Scaled),
        ("sgd", "l2", True, "csr", stores.Averaged),
        ("sgd", "l1", False, "csr", stores.ClosedForm),
        ("sgd", "l1", True, "csr", stores.Plain),
        ("momentum", "l2", False, "csr", stores.ClosedForm),
        ("momentum", "l1", False, "csr", stores.OneByOne),
        ("adam", "l2", False, "csr", stores.Plain),
        ("lazy adam", "elasticnet", False, "csr", stores.OwnLengths),
        ("adagrad", "l2", False, "csr", stores.OwnLengths),
        ("ftrl", "elasticnet", False, "csr", stores.ClosedForm),
        ("rmsprop", None, False, "csr", stores.ClosedForm),
        ("centered rmsprop", None, False, "csr", stores.ClosedForm),
        ("adadelta", None, False, "csr", stores.ClosedForm),
        ("rmsprop", "l2", False, "csr", stores.Plain),
        ("rmsprop with momentum", None, False, "csr", stores.Plain),
        ("sgd", "nonnegative", False, "csr", stores.ClosedForm),
        ("sgd", "weighted l2", False, "csr", stores.OwnLengths),
        ("momentum", "nonnegative", False, "csr", stores.OneByOne),
        ("momentum", "weighted l2", False, "csr", stores.Plain),
        ("sgd", "max norm", False, "csr", stores.Coupled),
        ("sgd", "group lasso", False, "dense", stores.Coupled),
    ],
)
def test_the_store_that_is_chosen(optimizer, given, average, layout, kind):
    """The tests above mean to cover every store."""
    penalty = (PENALTY | OBJECT)[given].spec
    rule = Rule(LOSS["log_loss"].spec, penalty, OPTIMIZER[optimizer].spec, True)
    sparse = layout == "csr"
    assert updates.kind_of_update(rule, averages=average, sparse=sparse) is kind


@st.composite
def shapes(draw):
    """Draw a training's shape: few rows, perhaps none of them with an entry, any batch."""
    n = draw(st.integers(1, 20))
    return {
        "n": n,
        "d": draw(st.integers(1, 9)),
        "density": draw(st.sampled_from([0.0, 0.1, 0.6, 1.0])),
        "batch_size": draw(st.integers(1, n)),
        "n_epochs": draw(st.integers(1, 4)),
        "shuffle": draw(st.booleans()),
        "fit_intercept": draw(st.booleans()),
        "seed": draw(st.integers(0, 10**6)),
    }


@over([PENALTY["l2"], PENALTY["elasticnet"]], "penalty")
@over_product(
    lambda optimizer: optimizer in USUAL,
    optimizer=[OPTIMIZER[name] for name in ("sgd", "nesterov", "adagrad", "adam", "ftrl")],
)
@given(shape=shapes())
def test_any_shape(optimizer, penalty, shape):
    training = problem(LOSS["log_loss"], optimizer=optimizer, penalty=penalty, **shape)
    expected = training.naive()
    for layout in LAYOUTS:
        assert_same(training.compiled(layout), expected, *tolerances(training, layout))


@pytest.mark.parametrize(
    ("optimizer", "layout"),
    [
        pytest.param(case, layout, marks=() if (case.name, layout) in ALSO else pytest.mark.full)
        for case in A_FEW
        for layout in LAYOUTS
    ]
    + [
        pytest.param(case, "dense", marks=pytest.mark.thorough)
        for case in OPTIMIZER_CASES
        if case not in A_FEW
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_float32_stays_and_agrees(optimizer, layout):
    kwargs = {"optimizer": optimizer, "penalty": PENALTY["l2"]}
    kwargs["batch_size"] = 1 if optimizer.name in ("sgd", "momentum") else 7
    training = problem(LOSS["log_loss"], **kwargs)
    progress = training.compiled(layout, np.float32)
    assert progress.params.dtype == progress.state.dtype == np.float32
    exact = (1e-4, 1e-3)
    assert_same(progress, training.naive(), *np.maximum(exact, tolerances(training, layout)))


@pytest.mark.thorough
@over_layouts
@over([OBJECT[name] for name in ("bounded", "weighted", "max norm", "group lasso")], "penalty")
def test_float32_under_penalty_objects(penalty, layout):
    training = problem(LOSS["log_loss"], penalty=penalty)
    progress = training.compiled(layout, np.float32)
    assert progress.params.dtype == np.float32
    assert_same(progress, training.naive(), 1e-4, 1e-3)


@over_product(lambda layout: layout == "dense", layout=LAYOUTS)
def test_a_second_training_compiles_nothing(layout, rng):
    """Whatever changes but the types: numbers, weights, orders, rows held out, shapes."""
    first = problem(LOSS["hinge"], penalty=PENALTY["l2"], batch_size=1)
    variants = [
        first,
        replace(first, loss=first.loss._replace(spec=type(first.loss.spec)(2))),
        replace(first, weight=rng.random(N), shuffle=True, fit_intercept=False),
        replace(first, rows=np.arange(9), shuffle=True),
        replace(first, X=np.ones((N, 2)), penalty=PENALTY[None]),
        problem(first.loss, batch_size=1, n=5, d=17),
    ]
    for batch_size, kernel in ((1, sgd_epochs), (4, sgd_batches)):
        first.batch_size = batch_size
        first.compiled(layout)
        compiled = len(kernel.signatures)
        assert compiled > 0
        for variant in variants:
            replace(variant, batch_size=batch_size).compiled(layout)
        assert len(kernel.signatures) == compiled


@pytest.mark.parametrize(
    ("optimizer", "given"),
    [
        ("sgd", "l1"),
        ("sgd", "elasticnet"),
        pytest.param("nesterov", "l2", marks=pytest.mark.full),
        pytest.param("nesterov", "elasticnet", marks=pytest.mark.full),
    ],
)
def test_the_running_objective_follows_skipped_steps_on_sparse_rows(optimizer, given):
    """What coefficients lose between two visits counts, or the objective drifts upward."""
    kwargs = {"n": 1500, "d": 30, "density": 0.1, "batch_size": 1, "n_epochs": 2}
    rule = {"optimizer": OPTIMIZER[optimizer], "penalty": PENALTY[given]}
    training = problem(LOSS["log_loss"], **rule, **kwargs)
    assert_same(training.compiled("csr"), training.naive(), 1e-9, 0.005)


@over_product(lambda l1: l1 > 0.0, l1=[0.0, 0.01])
def test_steps_of_any_length_of_the_penalty(l1):
    """Where rate x l2 is not small the series does not hold, and steps are added up."""
    for l2 in (1e-6, 1e-3, 0.3, 5.0, 300.0):
        penalty = PENALTY["elasticnet"]._replace(l1=l1, l2=l2)
        training = problem(
            LOSS["log_loss"], optimizer=OPTIMIZER["adagrad"], penalty=penalty, density=0.1
        )
        assert_same(training.compiled("csr"), training.naive(), 1e-9, 0.2)


@over_product(lambda batch_size: batch_size > 1, batch_size=[1, 7])
def test_more_columns_than_are_brought_up_to_date_side_by_side(batch_size):
    """Blocks that are full, and one that is not; in it, one that no batch has touched before."""
    kwargs = {"n": 30, "d": 2 * stores.IN_BLOCK + 9, "density": 0.7, "batch_size": batch_size}
    for l2 in (1e-3, 5.0):
        penalty = PENALTY["elasticnet"]._replace(l1=0.01, l2=l2)
        training = problem(
            LOSS["log_loss"], optimizer=OPTIMIZER["adagrad"], penalty=penalty, **kwargs
        )
        assert_same(training.compiled("csr"), training.naive(), 1e-9, 0.2)


@over_product(
    lambda optimizer, penalty, batch_size: (
        (optimizer, penalty, batch_size) == (Adagrad, "elasticnet", 4)
    ),
    optimizer=[Adagrad, Adam],
    penalty=[None, "elasticnet"],
    batch_size=[1, 4],
)
def test_columns_without_a_gradient_stay_zero_where_no_epsilon_keeps_steps_short(
    optimizer, penalty, batch_size, rng
):
    """Their steps would have any length; of none, no time, and of a coefficient of zero, zero."""
    X, y = rng.normal(size=(30, 5)) * (rng.random((30, 5)) < 0.3), rng.normal(size=30) > 0.0
    X[:, 3] = 0.0
    sparse = sp.csr_array(X)
    kwargs = {"learning_rate": "constant", "eta0": 0.1, "max_iter": 2, "tol": None}
    kwargs |= {"penalty": penalty, "alpha": 1e-3, "random_state": 0, "batch_size": batch_size}
    models = [
        fastgd.SGDClassifier("log_loss", optimizer=optimizer(epsilon=epsilon), **kwargs)
        for epsilon in (0.0, 1e-30)
    ]
    first, second = (model.fit(sparse, y).coef_.ravel() for model in models)
    assert first[3] == 0.0
    np.testing.assert_allclose(first, second, rtol=1e-12)


def objective(training, params):
    """The mean loss and the penalty of parameters, in plain numpy."""
    raw = np.column_stack([training.X, np.ones(len(training.X))]) @ params
    rows = zip(training.targets, raw.reshape(training.targets.shape), strict=True)
    loss = np.mean([np.sum(training.loss.naive.value(y, r)) for y, r in rows])
    return loss + training.penalty.naive.value(params[:-1].reshape(len(params) - 1, -1)).sum()


AT_REST = {"sgd": 0.3, "nesterov": 0.03, "adagrad": 0.3, "adadelta": 3.0, "rmsprop": 0.05}
AT_REST |= {"adam": 0.05, "amsgrad": 0.05, "nadam": 0.05, "adamax": 0.05, "ftrl": 0.5}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("elasticnet", ("sgd", "adam")),
        pytest.param("elasticnet", tuple(AT_REST), marks=pytest.mark.full),
        pytest.param("max norm", ("sgd", "adagrad", "adam"), marks=pytest.mark.thorough),
        pytest.param("bounded", ("sgd", "adagrad", "adam"), marks=pytest.mark.thorough),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} optimizers",
)
def test_all_optimizers_come_to_rest_at_the_same_minimum(given, names):
    """The length of the penalty's step, and the metric of a projection, are there for this."""
    found = []
    for name in names:
        optimizer = OPTIMIZER[name]._replace(eta0=AT_REST[name])
        kwargs = {"optimizer": optimizer, "penalty": (PENALTY | OBJECT)[given]}
        training = problem(LOSS["log_loss"], batch_size=N, n_epochs=3000, **kwargs)
        found.append(objective(training, training.compiled().params))
    np.testing.assert_allclose(found, min(found), atol=1e-5)


def test_a_diverging_training_is_refused():
    optimizer = OPTIMIZER["sgd"]._replace(eta0=1e300)
    training = problem(LOSS["squared_error"], optimizer=optimizer, batch_size=1)
    for layout in LAYOUTS:
        with pytest.raises(ValueError, match="under-/overflow occurred at epoch"):
            training.compiled(layout)


def test_an_absolute_penalty_leaves_exact_zeros():
    strong = PENALTY["l1"]._replace(l1=0.2)
    for optimizer in ("sgd", "momentum"):
        training = problem(
            LOSS["log_loss"], optimizer=OPTIMIZER[optimizer], penalty=strong, d=12, n_epochs=20
        )
        dense, csr = (training.compiled(layout).params for layout in LAYOUTS)
        assert np.count_nonzero(dense == 0) > 3
        np.testing.assert_array_equal(dense == 0, csr == 0)


# -- many outputs ----------------------------------------------------------------------------

K = 3
MANY = [LOSS["softmax"], LOSS["log_loss"], LOSS["squared_error"]]  # rows, classes, tasks


def is_usual(loss, layout, batch_size=7):
    """Tell of softmax, single rows if they are dense; of the others by batches of one layout."""
    if loss is MANY[0]:
        return batch_size > 1 or layout == "dense"
    return batch_size == 7 and layout == ("dense" if loss is MANY[1] else "csr")


@pytest.mark.nojit
@over_product(is_usual, loss=MANY, layout=LAYOUTS, batch_size=BATCHES)
@over([PENALTY[None], PENALTY["l2"]], "penalty")
def test_many_outputs(loss, penalty, batch_size, layout):
    training = problem(loss, n_outputs=K, penalty=penalty, batch_size=batch_size)
    assert_same(training.compiled(layout), training.naive())


@over_product(
    lambda layout, batch_size: is_usual(MANY[0], layout, batch_size),
    layout=LAYOUTS,
    batch_size=BATCHES,
)
def test_smoothed_labels(batch_size, layout):
    loss = LossCase("smoothed labels", Softmax(0.2), naive.softmax(0.2))
    training = problem(loss, n_outputs=K, penalty=PENALTY["l2"], batch_size=batch_size)
    assert_same(training.compiled(layout), training.naive())


@over_product(
    lambda optimizer, penalty, layout: (
        (optimizer.name, penalty.given, layout) == ("nesterov", "elasticnet", "csr")
    ),
    optimizer=[OPTIMIZER["nesterov"], OPTIMIZER["lazy adam"], OPTIMIZER["adam"]],
    penalty=[PENALTY["l2"], PENALTY["elasticnet"]],
    layout=LAYOUTS,
)
def test_optimizers_of_many_outputs(optimizer, penalty, layout):
    training = problem(LOSS["softmax"], n_outputs=K, penalty=penalty, optimizer=optimizer)
    expected = training.naive()
    assert_same(training.compiled(layout), expected, *tolerances(training, layout))


@pytest.mark.thorough
@over_layouts
@over(PENALTY_OBJECT_CASES, "penalty")
@over([OPTIMIZER["adam"]], "optimizer")
def test_penalty_objects_of_many_outputs(optimizer, penalty, layout):
    training = problem(LOSS["softmax"], n_outputs=K, penalty=penalty, optimizer=optimizer)
    expected = training.naive()
    assert_same(training.compiled(layout), expected, *tolerances(training, layout))


@over_product(lambda layout: layout == "dense", layout=LAYOUTS)
@pytest.mark.parametrize("average", [1, 6])
def test_averages_of_many_outputs(average, layout):
    training = problem(LOSS["softmax"], n_outputs=K, penalty=PENALTY["l2"], average=average)
    assert_same(training.compiled(layout), training.naive())


@over_product(is_usual, loss=MANY, layout=LAYOUTS)
def test_weights_of_many_outputs(loss, layout, rng):
    weight = rng.choice([0.0, 0.5, 3.0], N)
    training = problem(loss, n_outputs=K, weight=weight, unit=weight.mean(), shuffle=True)
    assert_same(training.compiled(layout), training.naive())


@pytest.mark.nojit
@over_product(lambda layout: layout == "dense", layout=LAYOUTS)
def test_class_weights_of_one_vs_rest(layout):
    """They weigh a class's own rows in its own column."""
    class_weight = np.array([0.5, 1.0, 4.0])
    training = problem(LOSS["log_loss"], n_outputs=K, class_weight=class_weight)
    assert_same(training.compiled(layout), training.naive())


@over_product(
    lambda loss, layout, penalty: (
        loss is LOSS["log_loss"] and layout == "dense" and penalty.given == "l2"
    ),
    loss=MANY[1:],
    layout=LAYOUTS,
    penalty=[PENALTY["l2"], PENALTY["l1"]],
)
def test_columns_that_share_no_loss_share_nothing(loss, penalty, layout):
    """Column k is what one output makes of that column alone, and objectives add up."""
    training = problem(loss, n_outputs=K, penalty=penalty)
    together, objective = training.compiled(layout), 0.0
    for k in range(K):
        alone = replace(training, y=training.targets[:, k], n_classes=None).compiled(layout)
        np.testing.assert_allclose(together.params[:, k], alone.params, rtol=1e-10, atol=1e-14)
        objective += np.array(alone.history["objective"])
    np.testing.assert_allclose(together.history["objective"], objective, rtol=1e-10)


@pytest.mark.full
@over_layouts
def test_many_outputs_in_float32(layout):
    training = problem(LOSS["softmax"], n_outputs=K, penalty=PENALTY["l2"])
    progress = training.compiled(layout, np.float32)
    assert progress.params.dtype == np.float32
    assert_same(progress, training.naive(), 1e-4)


@over_product(lambda layout: layout == "dense", layout=LAYOUTS)
@given(shape=shapes(), n_outputs=st.integers(1, 5))
def test_any_shape_of_many_outputs(layout, shape, n_outputs):
    training = problem(LOSS["softmax"], n_outputs=n_outputs, penalty=PENALTY["l2"], **shape)
    assert_same(training.compiled(layout), training.naive())


def test_a_batch_longer_than_the_block_of_gathered_rows(monkeypatch):
    monkeypatch.setattr(linear, "BLOCK_ROWS", 4)
    training = problem(LOSS["softmax"], n_outputs=K, batch_size=15, shuffle=True)
    assert_same(training.compiled(), training.naive())


def test_a_second_training_of_many_outputs_compiles_nothing(rng):
    first = problem(LOSS["softmax"], n_outputs=K, penalty=PENALTY["l2"])
    first.compiled()
    compiled = len(sgd_batches.signatures)
    replace(first, weight=rng.random(N), shuffle=True, batch_size=3).compiled()
    problem(LOSS["softmax"], n_outputs=7, n=40, d=2).compiled()
    assert len(sgd_batches.signatures) == compiled


# -- passive-aggressive steps ------------------------------------------------------------------

C = 0.3
PA = [
    OptimizerCase("pa1", _resolve.passive_aggressive("pa1"), naive.PassiveAggressive, C),
    OptimizerCase(
        "pa2", _resolve.passive_aggressive("pa2"), lambda: naive.PassiveAggressive(True), C
    ),
]


@pytest.mark.nojit
@pytest.mark.thorough
@over_layouts
@over_batches
@over([PENALTY[None], PENALTY["l2"], PENALTY["elasticnet"]], "penalty")
@over([LOSS["hinge"], LOSS["epsilon_insensitive"]], "loss")
@over(PA, "optimizer")
def test_passive_aggressive_steps(optimizer, loss, penalty, batch_size, layout, rng):
    """One row a step as the paper has it; of a batch, the mean of its rows' steps."""
    kwargs = {"optimizer": optimizer, "penalty": penalty, "batch_size": batch_size}
    training = problem(loss, weight=rng.choice([0.5, 1.0, 3.0], N), **kwargs)
    _, objective_rtol = tolerances(training, layout)  # steps are long, and objectives lag
    assert_same(training.compiled(layout), training.naive(), 1e-9, 3 * objective_rtol)


@pytest.mark.thorough
@over_layouts
@over([LOSS["hinge"], LOSS["squared_error"]], "loss")
@over(PA, "optimizer")
def test_passive_aggressive_steps_of_many_outputs(optimizer, loss, layout):
    training = problem(loss, n_outputs=K, optimizer=optimizer, batch_size=1)
    assert_same(training.compiled(layout), training.naive())


@over_product(
    lambda loss, layout, optimizer: (loss, layout) == ("hinge", "dense"),  # noqa: ARG005
    loss=["hinge", "epsilon_insensitive"],
    layout=LAYOUTS,
    optimizer=PA,
)
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_passive_aggressive_steps_are_scikit_learn_s(optimizer, loss, alpha, layout):
    """Its intercept of CSR takes hundredths of a step, so the peer sees dense rows."""
    kind = SGDClassifier if loss == "hinge" else SGDRegressor
    case, penalty = LOSS[loss], PENALTY["l2" if alpha else None]
    penalty = penalty._replace(l2=alpha)
    kwargs = {"optimizer": optimizer, "penalty": penalty, "batch_size": 1}
    training = replace(problem(case, density=0.8, **kwargs), power=0.0)
    training.X[:, 0] = 1.0  # PA-I of scikit-learn skips the penalty, too, of a row without entries
    peer = kind(
        loss=loss,
        penalty="l2" if alpha else None,
        alpha=alpha,
        learning_rate=optimizer.name,
        eta0=C,
        epsilon=getattr(case.spec, "epsilon", 0.1),
        shuffle=False,
        max_iter=training.n_epochs,
        tol=None,
    ).fit(training.X, training.y)
    params = training.compiled(layout).params
    np.testing.assert_allclose(params[:-1], peer.coef_.ravel(), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(params[-1], peer.intercept_[0], rtol=1e-10, atol=1e-14)


def test_rules_that_no_kernel_knows_are_refused():
    training = problem(LOSS["softmax"], n_outputs=K, optimizer=PA[0])
    with pytest.raises(ValueError, match="PassiveAggressive needs a loss with value and gradient"):
        training.compiled()
    for name in ("max norm", "group lasso"):
        training = problem(LOSS["hinge"], optimizer=OPTIMIZER["ftrl"], penalty=OBJECT[name])
        with pytest.raises(ValueError, match="Ftrl needs a penalty with ftrl_minimum"):
            training.compiled()


def test_a_factor_for_each_feature():
    training = problem(LOSS["hinge"], penalty=OBJECT["weighted"], d=D + 1)
    with pytest.raises(ValueError, match=r"factors of Weighted has shape \(5,\), but X has 6"):
        training.compiled()
