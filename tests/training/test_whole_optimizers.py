"""Trainings by optimizers whose step is more than "change, then penalty": linear and networks."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_digits

from fastgd import SGDClassifier, SGDRegressor
from fastgd._data.source import Data
from fastgd._engines.linear import LinearEngine
from fastgd._engines.protocol import Local
from fastgd._training.linear import in_memory
from fastgd._training.progress import Progress, Settings
from fastgd._training.stopping import Stopping
from fastgd._training.trainer import Trainer, TrainingObserver
from fastgd.kernels.losses import SquaredError
from fastgd.kernels.penalties import ElasticNet
from fastgd.kernels.sgd import Rule
from fastgd.layers import Dense
from fastgd.neural_network import MLPClassifier, MLPRegressor, NetworkClassifier
from fastgd.optimizers import Muon, Prodigy, ScheduleFreeSGD
from fastgd.penalties import GroupLasso
from fastgd.schedules import Constant
from tests import naive
from tests.tables import WHOLE_OPTIMIZER_CASES

N, D, RATE = 40, 4, 0.05
CASES = {case.name: case for case in WHOLE_OPTIMIZER_CASES}
N_TARGETS = {"prodigy": 3, "muon": 3}
OTHERS = ("prodigy", "schedule_free_sgd", "muon")
NAMES = [
    "schedule_free_adamw",
    *(pytest.param(name, marks=pytest.mark.full) for name in OTHERS),
]


@pytest.fixture
def problem(rng):
    X = rng.normal(size=(N, D)) * (rng.random((N, D)) < 0.6)
    return X, X @ rng.normal(size=(D, 3)) + 0.1 * rng.normal(size=(N, 3)) + 2.0


def make(optimizer, **params):
    given = {"penalty": None, "learning_rate": "constant", "eta0": RATE, "batch_size": 7}
    given |= {"shuffle": False, "max_iter": 3, "tol": None, "random_state": 0, **params}
    return SGDRegressor("squared_error", optimizer=optimizer, **given)


def targets_of(y, n_targets):
    return y[:, 0] if n_targets == 1 else y


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("name", NAMES)
def test_a_training_is_the_naive_one(name, l2, problem):
    """On sparse rows without a penalty skipped steps are made up for, or taken everywhere."""
    case, n_targets, (X, y) = CASES[name], N_TARGETS.get(name, 1), problem
    given = sp.csr_array(X) if l2 == 0.0 else X
    penalty = {"penalty": "l2", "alpha": l2} if l2 > 0.0 else {}
    model = make(case.spec, **penalty).fit(given, targets_of(y, n_targets))
    optimizer = case.naive()
    trained = naive.train(
        X,
        y[:, :n_targets],
        naive.squared_error(),
        optimizer,
        np.full(100, RATE),
        [np.arange(N)] * 3,
        batch_size=7,
        penalty=naive.ElasticNet(0.0, l2),
    )
    params = getattr(optimizer, "x", trained.params)
    np.testing.assert_allclose(np.atleast_2d(model.coef_), params[:-1].T, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(np.ravel(model.intercept_), params[-1], rtol=1e-8)
    np.testing.assert_allclose(model.history_["objective"], trained.objectives, rtol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_two_and_one_epochs_are_three(name, problem):
    spec, n_targets, (X, y) = CASES[name].spec, N_TARGETS.get(name, 1), problem
    X, y = (sp.csr_array(X), targets_of(y, n_targets))
    whole = make(spec).fit(X, y)
    parts = make(spec, max_iter=2).fit(X, y)
    parts = pickle.loads(pickle.dumps(parts)).partial_fit(X, y)
    np.testing.assert_array_equal(parts.coef_, whole.coef_)


def test_gradients_of_workers_take_the_same_steps(problem):
    """Steps from a gradient that was exchanged are those of the engine alone."""
    X, y = problem
    rule = Rule(SquaredError(), ElasticNet(0.0, 0.3), Prodigy(), True)
    found = []
    for is_local in (True, False):
        reduce = Local()
        reduce.is_local = is_local
        none = np.zeros(0)
        data = Data(X, y, none, 1.0, none, np.ones(3))
        settings = Settings(7, Constant(RATE), False, 0, 2, None, 5)
        progress = Progress.begin(np.zeros((D + 1, 3)), rule.optimizer, average=False, seed=0)
        stopping = Stopping(settings, None)
        parts = (LinearEngine(rule), in_memory(data, settings), reduce, progress)
        found.append(Trainer(*parts, settings, stopping, TrainingObserver()).train().params)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


def test_another_optimizer_goes_on_from_what_predicts(problem):
    spec, (X, y) = CASES["schedule_free_adamw"].spec, problem
    model = make(spec).fit(X, y[:, 0])
    before = model.coef_.copy()
    model.set_params(optimizer="sgd", eta0=1e-12).partial_fit(X, y[:, 0])
    np.testing.assert_allclose(model.coef_, before, rtol=1e-9)


def test_another_that_is_ahead_begins_at_what_predicts(problem):
    spec, (X, y) = CASES["schedule_free_adamw"].spec, problem
    model = make(spec).fit(X, y[:, 0])
    go_on = SimpleNamespace(optimizer=spec._replace(beta_1=0.5))
    for rule in (go_on, SimpleNamespace(optimizer=ScheduleFreeSGD(0.5))):
        progress = model._continue(rule)
        assert progress.ahead == 0.5
        np.testing.assert_allclose(progress.reported()[:-1], model.coef_, rtol=1e-12)


def test_early_stopping_keeps_the_best_that_predicts(problem):
    X, y = problem
    model = make("schedule_free_adamw", max_iter=30, tol=1e-9, n_iter_no_change=2, eta0=0.5)
    model.fit(X, y[:, 0], X_val=X, y_val=y[:, 0])
    best = max(model.history_["validation_score"])
    assert model.score(X, y[:, 0]) == pytest.approx(best)
    before = model.coef_.copy()
    again = model.set_params(eta0=1e-12).partial_fit(X, y[:, 0])
    np.testing.assert_allclose(again.coef_, before, rtol=1e-9)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"optimizer": "muon"}, "needs several outputs"),
        ({"optimizer": "schedule_free_sgd", "average": True}, "average=True does not go with"),
        ({"optimizer": "prodigy", "penalty": GroupLasso(0.1)}, "GroupLasso ties them together"),
        ({"optimizer": ScheduleFreeSGD(), "penalty": GroupLasso(0.1)}, "ties them together"),
        ({"optimizer": Prodigy(d0=0.0)}, "d0"),
        ({"optimizer": Muon(steps=0)}, "steps"),
    ],
)
def test_what_they_do_not_go_with(params, said, problem):
    X, y = problem
    with pytest.raises(ValueError, match=said):
        make(**params).fit(X, y[:, 0])


def test_prodigy_needs_no_rate():
    X, y = load_digits(return_X_y=True)
    model = SGDClassifier(
        "log_loss", optimizer="prodigy", batch_size=64, max_iter=20, tol=None, random_state=0
    )
    assert model.fit(X, y).score(X, y) > 0.97  # pixels up to 16


# -- networks -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:400] / 16, y[:400]


SOLVERS = [
    "schedule_free_adamw",
    *(
        pytest.param(name, marks=pytest.mark.full)
        for name in ("muon", "schedule_free_sgd", "prodigy")
    ),
]


@pytest.mark.parametrize("solver", SOLVERS)
def test_networks_learn_by_them(solver, digits):
    X, y = digits[0].astype(np.float32), digits[1]
    params = {"batch_size": 50, "max_iter": 20, "tol": None, "random_state": 0, "solver": solver}
    if solver != "prodigy":
        params["learning_rate_init"] = 0.3 if solver == "schedule_free_sgd" else 0.01
    model = MLPClassifier((32,), **params)
    assert model.fit(X, y).score(X, y) > 0.97
    parts = MLPClassifier((32,), **{**params, "max_iter": 12}).fit(X, y)
    parts = pickle.loads(pickle.dumps(parts)).partial_fit(X, y, max_iter=8)
    np.testing.assert_array_equal(parts._params, model._params)


def test_a_network_of_the_last_layer_alone_has_no_matrix(digits):
    with pytest.raises(ValueError, match="a layer with weights before the last one"):
        NetworkClassifier([Dense(10)], solver="muon").fit(*digits)


@pytest.mark.full
@pytest.mark.nojit
def test_networks_stepped_as_a_whole_have_the_penalty_in_their_gradient():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 3)), rng.standard_normal(12)
    options = {"hidden_layer_sizes": (4,), "solver": "muon", "max_iter": 1, "batch_size": "full"}
    options |= {"tol": None, "random_state": 0, "learning_rate_init": 0.01}
    plain, penalised = (MLPRegressor(alpha=alpha, **options).fit(X, y) for alpha in (0.0, 60.0))
    network = penalised._network
    start = network.starts(penalised._progress.seed)[: network.n_weights]
    np.testing.assert_allclose(penalised.history_["penalty"][0], 30.0 * start @ start / 12)
    assert plain.history_["penalty"][0] == 0.0
    assert not np.allclose(plain.coefs_[0], penalised.coefs_[0])
