"""SGDClassifier and SGDRegressor: scikit-learn's answers, and what a caller relies on."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import linear_model
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastgd
from fastgd.losses import Quantile, Tweedie
from fastgd.optimizers import Adam
from fastgd.schedules import InvScaling
from tests.tables import over_product

CLASSIFIER_LOSSES = (
    "hinge",
    "log_loss",
    "squared_hinge",
    "modified_huber",
    "perceptron",
    "squared_error",
    "huber",
    "epsilon_insensitive",
    "squared_epsilon_insensitive",
)
REGRESSOR_LOSSES = CLASSIFIER_LOSSES[-4:]
SCHEDULES = ("constant", "invscaling", "optimal", "adaptive")
FULL = pytest.mark.full
OFTEN = ("hinge", "log_loss", "squared_error", "epsilon_insensitive")
OFTEN_SPARSE = ("hinge", "log_loss")
PLAIN = {"tol": None, "shuffle": False, "max_iter": 5, "eta0": 1e-2, "alpha": 1.0}


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X) / 10, y


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X) / 10, (y - y.mean()) / y.std()


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600] / 16, y[:600]


def assert_same_model(ours, theirs, tolerance=1e-10):
    scale = np.abs(theirs.coef_).max() + np.abs(theirs.intercept_).max()
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=tolerance * scale)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=0, atol=tolerance * scale)
    assert ours.coef_.shape == theirs.coef_.shape
    assert ours.intercept_.shape == theirs.intercept_.shape
    assert ours.t_ == theirs.t_
    assert ours.n_iter_ == theirs.n_iter_


@pytest.mark.parametrize("penalty", [None, "l2"])
@pytest.mark.parametrize("learning_rate", SCHEDULES)
@over_product(lambda loss: loss in OFTEN, loss=CLASSIFIER_LOSSES)
def test_binary_coefficients_are_scikit_learns(loss, learning_rate, penalty, cancer):
    kwargs = {"loss": loss, "learning_rate": learning_rate, "penalty": penalty, **PLAIN}
    theirs = linear_model.SGDClassifier(**kwargs).fit(*cancer)
    assert_same_model(fastgd.SGDClassifier(**kwargs).fit(*cancer), theirs)


@pytest.mark.parametrize("penalty", [None, "l2"])
@pytest.mark.parametrize("learning_rate", SCHEDULES)
@over_product(lambda loss: loss in OFTEN_SPARSE, loss=CLASSIFIER_LOSSES)
def test_sparse_coefficients_are_scikit_learns_but_for_the_intercepts_rate(
    loss, learning_rate, penalty, cancer
):
    X, y = sp.csr_matrix(cancer[0] * (np.abs(cancer[0]) > 0.05)), cancer[1]
    kwargs = {"loss": loss, "learning_rate": learning_rate, "penalty": penalty, **PLAIN}
    for fit_intercept in (False, True):
        kwargs["fit_intercept"] = fit_intercept
        theirs = linear_model.SGDClassifier(**kwargs).fit(X, y)
        assert_same_model(fastgd.SGDClassifier(**kwargs, intercept_rate=0.01).fit(X, y), theirs)


def test_so_are_those_of_regressions_and_of_one_class(diabetes):
    X, y = sp.csr_matrix(diabetes[0] * (np.abs(diabetes[0]) > 0.05)), diabetes[1]
    theirs = linear_model.SGDRegressor(**PLAIN).fit(X, y)
    assert_same_model(fastgd.SGDRegressor(**PLAIN, intercept_rate=0.01).fit(X, y), theirs)
    kwargs = {"nu": 0.3, "tol": None, "shuffle": False, "max_iter": 5}
    theirs = linear_model.SGDOneClassSVM(**kwargs).fit(X)
    ours = fastgd.SGDOneClassSVM(**kwargs, intercept_rate=0.01).fit(X)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(ours.offset_, theirs.offset_, rtol=1e-10)


@over_product(
    lambda optimizer, layout: optimizer == "schedule_free_sgd" and layout is np.asarray,
    optimizer=["sgd", "momentum", "schedule_free_sgd", "adam", "lion", "schedule_free_adamw"],
    layout=[np.asarray, sp.csr_matrix],
)
def test_an_intercept_is_as_fast_as_the_coefficient_of_a_column(optimizer, layout, cancer):
    """Of a column of c everywhere: c^2 times as fast, or c times where gradients have no unit."""
    X, y = cancer
    kwargs = {"loss": "log_loss", "penalty": None, "shuffle": False, "max_iter": 2, "tol": None}
    kwargs |= {"optimizer": optimizer, "batch_size": 20, "learning_rate": "constant"}
    kwargs |= {"eta0": 0.03}
    c = 0.4 if optimizer in ("adam", "lion", "schedule_free_adamw") else 0.4**0.5
    model = fastgd.SGDClassifier(**kwargs, intercept_rate=0.4).fit(layout(X), y)
    wider = layout(np.column_stack([X, np.full(len(X), c)]))
    other = fastgd.SGDClassifier(**kwargs, fit_intercept=False).fit(wider, y)
    np.testing.assert_allclose(model.coef_, other.coef_[:, :-1], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(model.intercept_, c * other.coef_[:, -1], rtol=1e-5)
    assert model.intercept_[0] != 0.0


@pytest.mark.parametrize("optimizer", ["prodigy", "muon"])
def test_steps_of_all_parameters_have_no_rate_of_the_intercept(optimizer, cancer):
    model = fastgd.SGDClassifier(optimizer=optimizer, intercept_rate=0.1)
    with pytest.raises(ValueError, match="steps all parameters as a whole"):
        model.fit(*cancer)
    assert not hasattr(model, "coef_")
    with pytest.raises(ValueError, match="intercept_rate"):
        fastgd.SGDClassifier(intercept_rate=0.0).fit(*cancer)


@pytest.mark.parametrize("penalty", [None, "l2"])
@pytest.mark.parametrize("learning_rate", SCHEDULES)
@over_product(lambda loss: loss in OFTEN, loss=REGRESSOR_LOSSES)
def test_regressions_are_scikit_learns(loss, learning_rate, penalty, diabetes):
    kwargs = {"loss": loss, "learning_rate": learning_rate, "penalty": penalty, **PLAIN}
    theirs = linear_model.SGDRegressor(**kwargs).fit(*diabetes)
    assert_same_model(fastgd.SGDRegressor(**kwargs).fit(*diabetes), theirs)


def counts(rng):
    """Return X and counts, whose expectation's logarithm is linear in X."""
    X = rng.normal(size=(300, 4))
    return X, rng.poisson(np.exp(X @ [0.5, -0.3, 0.0, 0.2] + 1.0)).astype(float)


@pytest.mark.parametrize(
    ("loss", "theirs"),
    [
        ("poisson", linear_model.PoissonRegressor()),
        pytest.param("gamma", linear_model.GammaRegressor(), marks=FULL),
        pytest.param(Tweedie(1.7), linear_model.TweedieRegressor(power=1.7), marks=FULL),
    ],
    ids=["poisson", "gamma", "tweedie"],
)
def test_generalised_linear_models_are_scikit_learns(loss, theirs, rng):
    X, y = counts(rng)
    y += 0.1 if loss == "gamma" else 0.0
    kwargs = {"alpha": 0.1, "learning_rate": "constant", "eta0": 0.2, "max_iter": 500, "tol": None}
    ours = fastgd.SGDRegressor(loss, batch_size="full", **kwargs).fit(X, y)
    theirs.set_params(alpha=0.1, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-5)
    assert (ours.predict(X) > 0).all()
    if loss != "poisson":  # which is run by default
        narrow = clone(ours).fit(X.astype(np.float32), y.astype(np.float32))
        assert narrow.predict(X.astype(np.float32)).dtype == np.float32


def test_counts_stop_by_the_r2_of_predictions(rng):
    X, y = counts(rng)
    model = fastgd.SGDRegressor("poisson", early_stopping=True, random_state=0).fit(X, y)
    _, held_out = train_test_split(np.arange(300), test_size=0.1, random_state=0)
    best = max(model.history_["validation_score"])
    assert model.score(X[held_out], y[held_out]) == pytest.approx(best)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_a_quantile_has_its_share_of_the_rows_below(q, rng):
    X = rng.normal(size=(1000, 3))
    y = X @ [1.0, -2.0, 0.5] + rng.exponential(size=1000)
    model = fastgd.SGDRegressor(Quantile(q), eta0=0.05, random_state=0).fit(X, y)
    assert np.mean(y < model.predict(X)) == pytest.approx(q, abs=0.05)


@over_product(
    lambda loss, sparse: not sparse,  # noqa: ARG005
    loss=["hinge", "log_loss"],
    sparse=[False, True],
)
def test_one_versus_rest_is_scikit_learns(loss, sparse, digits):
    X, y = digits
    kwargs, rate = {"loss": loss, **PLAIN, "alpha": 0.1}, 0.01 if sparse else 1.0
    weights = {"class_weight": {3: 2.0, 7: 0.5}}
    X = sp.csr_matrix(X) if sparse else X
    theirs = linear_model.SGDClassifier(**kwargs, **weights).fit(X, y)
    own = {"multi_class": "ovr", "intercept_rate": rate}
    ours = fastgd.SGDClassifier(**kwargs, **weights, **own).fit(X, y)
    assert_same_model(ours, theirs)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    if loss == "log_loss":
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-9)


@pytest.mark.filterwarnings("ignore:The last step's length:sklearn.exceptions.ConvergenceWarning")
@over_product(lambda optimizer: optimizer == "sgd", optimizer=["sgd", "momentum", "nesterov"])
@pytest.mark.parametrize(("alpha", "eta0"), [(2.0, 0.5), (0.1, 1.0), (0.1, 0.1), (1e-3, 0.1)])
def test_steps_that_shrink_everything_are_the_same_on_sparse_data(optimizer, alpha, eta0, rng):
    X = rng.standard_normal((200, 30)) * (rng.random((200, 30)) < 0.2)
    kwargs = {"loss": "log_loss", "optimizer": optimizer, "alpha": alpha, "eta0": eta0}
    kwargs |= {"learning_rate": "constant", "max_iter": 3, "tol": None, "random_state": 0}
    model = fastgd.SGDClassifier(**kwargs, batch_size=4)
    dense = clone(model).fit(X, X[:, 0] > 0)
    sparse = clone(model).fit(sp.csr_matrix(X), X[:, 0] > 0)
    np.testing.assert_allclose(sparse.coef_, dense.coef_, rtol=1e-9, atol=1e-12)
    # what velocity does to a resting coefficient enters the objective when it is next read
    objectives = sparse.history_["objective"], dense.history_["objective"]
    np.testing.assert_allclose(*objectives, rtol=1e-9 if optimizer == "sgd" else 0.1)


@pytest.mark.parametrize("average", [True, 7, 400])
def test_averages_are_scikit_learns(average, cancer):
    kwargs = {"loss": "log_loss", "average": average, **PLAIN}
    theirs = linear_model.SGDClassifier(**kwargs).fit(*cancer)
    assert_same_model(fastgd.SGDClassifier(**kwargs).fit(*cancer), theirs)


@pytest.mark.parametrize("weights", ["sample", "class", "balanced"])
def test_weights_are_scikit_learns(weights, cancer, rng):
    kwargs = {"loss": "log_loss", **PLAIN, "max_iter": 2}
    weight = rng.random(len(cancer[1])) if weights == "sample" else None
    kwargs["class_weight"] = {"class": {0: 2.0}, "balanced": "balanced"}.get(weights)
    theirs = linear_model.SGDClassifier(**kwargs).fit(*cancer, sample_weight=weight)
    ours = fastgd.SGDClassifier(**kwargs).fit(*cancer, sample_weight=weight)
    assert_same_model(ours, theirs)


@pytest.mark.parametrize("penalty", ["l1", "elasticnet"])
@pytest.mark.parametrize("sparse", [False, True])
def test_objective_under_l1_is_not_worse_than_scikit_learns(penalty, sparse, cancer):
    X, y = cancer
    kwargs = {"loss": "log_loss", "penalty": penalty, "alpha": 1e-3, "tol": None}
    kwargs |= {"max_iter": 100, "fit_intercept": False}
    share = 1.0 if penalty == "l1" else 0.15

    def objective(model):
        raw, w = X @ model.coef_[0], model.coef_[0]
        loss = np.mean(np.logaddexp(0, raw) - y * raw)
        return loss + 1e-3 * (share * np.abs(w).sum() + (1 - share) * 0.5 * w @ w)

    def mean_objective(estimator, data):
        models = [estimator(**kwargs, random_state=seed).fit(data, y) for seed in range(4)]
        return np.mean([objective(model) for model in models])

    data = sp.csr_matrix(X) if sparse else X
    theirs = mean_objective(linear_model.SGDClassifier, data)
    # the last iterate of either is within 0.1 % of the mean over seeds: the noise of the path
    assert mean_objective(fastgd.SGDClassifier, data) <= 1.002 * theirs
    ours = fastgd.SGDClassifier(**kwargs, random_state=0)
    dense_coef = clone(ours).fit(X, y).coef_
    np.testing.assert_allclose(ours.fit(data, y).coef_, dense_coef, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("estimator", [fastgd.SGDClassifier(), fastgd.SGDRegressor()])
def test_parameters_and_defaults_are_scikit_learns(estimator):
    theirs = getattr(linear_model, type(estimator).__name__)().get_params()
    ours = estimator.get_params()
    added = {"batch_size": 1, "optimizer": "sgd", "multi_class": "auto"}
    added |= {"on_divergence": "raise", "monitor": False, "callbacks": None, "device": "auto"}
    added |= {"positive": False, "intercept_rate": 1.0}
    added |= {"clip_norm": None, "clip_value": None, "quantize": None}
    assert {name: ours[name] for name in theirs} == theirs
    assert set(ours) - set(theirs) == set(added) & set(ours)
    assert all(ours[name] == added[name] for name in set(ours) - set(theirs))


@pytest.mark.parametrize("learning_rate", ["optimal", "adaptive"])
def test_stops_where_scikit_learn_does(learning_rate, cancer):
    kwargs = {"loss": "log_loss", "shuffle": False, "alpha": 1e-2, "tol": 1e-3}
    kwargs |= {"learning_rate": learning_rate, "eta0": 0.1}
    theirs = linear_model.SGDClassifier(**kwargs).fit(*cancer)
    ours = fastgd.SGDClassifier(**kwargs).fit(*cancer)
    assert 1 < ours.n_iter_ < 1000
    assert_same_model(ours, theirs)
    assert all(len(values) == ours.n_iter_ for values in ours.history_.values())


def test_one_versus_rest_stops_each_class_by_itself(digits):
    kwargs = {"loss": "hinge", "shuffle": False, "alpha": 1e-2, "multi_class": "ovr"}
    X, y = digits
    ours = fastgd.SGDClassifier(**kwargs).fit(X, y)
    for k in (0, 4, 8):
        binary = fastgd.SGDClassifier(**kwargs).fit(X, y == k)
        np.testing.assert_allclose(ours.coef_[k], binary.coef_[0], rtol=1e-9, atol=1e-12)


def test_softmax_is_the_default_for_log_loss(digits):
    X, y = digits
    auto = fastgd.SGDClassifier(loss="log_loss", random_state=0).fit(X, y)
    named = clone(auto).set_params(multi_class="multinomial").fit(X, y)
    np.testing.assert_array_equal(auto.coef_, named.coef_)
    raw = auto.decision_function(X)
    softmax = np.exp(raw - raw.max(axis=1, keepdims=True))
    expected = softmax / softmax.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(auto.predict_proba(X), expected, atol=1e-12)
    assert auto.score(X, y) > 0.97
    reached = auto.history_["objective"][-1]
    reference = linear_model.LogisticRegression(C=1 / (1e-4 * len(y)), max_iter=5000, tol=1e-8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probabilities = reference.fit(X, y).predict_proba(X)
    best = -np.mean(np.log(probabilities[np.arange(len(y)), y]))
    assert reached < best + 0.2


@over_product(
    lambda optimizer, batch_size: optimizer in ("sgd", "adam") or batch_size == 1,
    optimizer=["sgd", "momentum", "nesterov", "adam"],
    batch_size=[1, 32, "full"],
)
def test_every_optimizer_learns(optimizer, batch_size, cancer):
    X, y = cancer[0] * 10, cancer[1]
    eta0 = {1: 1e-3, 32: 1e-2, "full": 1e-1}[batch_size]
    kwargs = {"loss": "log_loss", "learning_rate": "constant", "eta0": eta0, "random_state": 0}
    model = fastgd.SGDClassifier(optimizer=optimizer, batch_size=batch_size, **kwargs).fit(X, y)
    assert model.score(X, y) > 0.95
    assert model.history_["objective"][-1] < model.history_["objective"][0]


def test_other_optimizers_bring_their_own_rate(cancer):
    own = fastgd.SGDClassifier(optimizer="adam", random_state=0).fit(*cancer)
    assert set(own.history_["learning_rate"]) == {1e-3}
    kwargs = {"learning_rate": "constant", "eta0": 0.02, "random_state": 0}
    obeyed = fastgd.SGDClassifier(optimizer=Adam(beta_1=0.8), **kwargs).fit(*cancer)
    assert set(obeyed.history_["learning_rate"]) == {0.02}
    assert obeyed.learning_rate == "constant"


def test_a_schedule_may_be_any_callable(cancer):
    kwargs = {"loss": "log_loss", **PLAIN}
    named = fastgd.SGDClassifier(learning_rate="invscaling", **kwargs).fit(*cancer)
    rule = InvScaling(eta0=1e-2, power_t=0.5)
    called = fastgd.SGDClassifier(learning_rate=lambda t: rule(t), **kwargs).fit(*cancer)
    np.testing.assert_array_equal(named.coef_, called.coef_)


@over_product(
    lambda n_classes, kwargs, sparse: (
        n_classes == 2
        and kwargs["loss"] == "log_loss"
        and sparse == (kwargs.get("optimizer") != "adam")
    ),
    n_classes=[2, 10],
    kwargs=[
        {"loss": "log_loss"},
        {"loss": "hinge", "penalty": "elasticnet", "optimizer": "momentum", "batch_size": 32},
        {"loss": "log_loss", "optimizer": "adam", "batch_size": 16},
        {"loss": "log_loss", "average": 10},
    ],
    sparse=[False, True],
)
def test_two_and_three_epochs_are_five(kwargs, sparse, n_classes, digits):
    X, y = digits
    X, y = sp.csr_matrix(X) if sparse else X, y % n_classes
    once = fastgd.SGDClassifier(random_state=3, **kwargs)
    once.partial_fit(X, y, classes=range(n_classes), max_iter=5)
    twice = fastgd.SGDClassifier(random_state=3, **kwargs)
    twice.partial_fit(X, y, classes=range(n_classes), max_iter=2)
    twice = pickle.loads(pickle.dumps(twice)).partial_fit(X, y, max_iter=3)
    np.testing.assert_array_equal(once.coef_, twice.coef_)
    np.testing.assert_array_equal(once.intercept_, twice.intercept_)
    assert once.t_ == twice.t_


def test_fit_is_partial_fit_of_as_many_epochs(cancer):
    kwargs = {"loss": "log_loss", "random_state": 0, "tol": None, "max_iter": 6}
    fitted = fastgd.SGDClassifier(**kwargs).fit(*cancer)
    partial = fastgd.SGDClassifier(**kwargs).partial_fit(*cancer, classes=[0, 1], max_iter=6)
    # fit copies X into the order of the visits, partial_fit gathers: the same rows either way
    np.testing.assert_array_equal(fitted.coef_, partial.coef_)


def test_a_copy_of_X_in_visiting_order_changes_nothing(cancer, monkeypatch):
    kwargs = {"loss": "log_loss", "random_state": 0, "tol": None, "max_iter": 6, "batch_size": 8}
    copied = fastgd.SGDClassifier(**kwargs).fit(*cancer)
    monkeypatch.setattr("fastgd._data.order._free_memory", lambda: 0)
    gathered = fastgd.SGDClassifier(**kwargs).fit(*cancer)
    np.testing.assert_array_equal(copied.coef_, gathered.coef_)


@over_product(lambda sparse: not sparse, sparse=[False, True])
def test_parameters_changed_between_calls_start_their_part_anew(sparse, cancer):
    X = sp.csr_matrix(cancer[0]) if sparse else cancer[0]
    kwargs = {"loss": "log_loss", "learning_rate": "constant", "random_state": 0}
    model = fastgd.SGDClassifier(**kwargs).partial_fit(X, cancer[1], classes=[0, 1])
    started = fastgd.SGDClassifier(**kwargs, optimizer="momentum", shuffle=False, max_iter=1)
    started.set_params(tol=None).fit(X, cancer[1], model.coef_, model.intercept_)
    model.set_params(optimizer="momentum", shuffle=False).partial_fit(X, cancer[1])
    np.testing.assert_array_equal(model.coef_, started.coef_)
    plain = pickle.loads(pickle.dumps(model)).partial_fit(X, cancer[1])
    model.set_params(average=True, optimizer="sgd").partial_fit(X, cancer[1])
    model.set_params(average=False, optimizer="adam").partial_fit(X, cancer[1])
    assert np.isfinite(model.coef_).all()
    assert not np.array_equal(model.coef_, plain.coef_)
    np.testing.assert_array_equal(model.coef_[0], model._progress.params[:-1])


def test_a_weight_counts_for_a_row_that_comes_alone(cancer):
    X, y = cancer
    ours = fastgd.SGDClassifier(loss="log_loss", learning_rate="constant")
    theirs = linear_model.SGDClassifier(loss="log_loss", learning_rate="constant")
    for model in (ours, theirs):
        for i in range(5):
            model.partial_fit(X[i : i + 1], y[i : i + 1], classes=[0, 1], sample_weight=[i + 1.0])
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-12)


def test_partial_fit_with_zero_weights_changes_nothing(cancer):
    X, y = cancer
    model = fastgd.SGDClassifier(random_state=0).partial_fit(X, y, classes=[0, 1])
    before = pickle.dumps((model.coef_, model.intercept_, model.t_))
    model.partial_fit(X, y, sample_weight=np.zeros(len(y)))
    assert pickle.dumps((model.coef_, model.intercept_, model.t_)) == before


def test_full_batch_weights_are_repeated_rows(cancer, rng):
    X, y = cancer
    repeats = rng.integers(0, 4, len(y))
    kwargs = {"loss": "log_loss", "batch_size": "full", "eta0": 1.0, "learning_rate": "constant"}
    kwargs |= {"max_iter": 30, "tol": None}
    weighted = fastgd.SGDClassifier(**kwargs).fit(X, y, sample_weight=repeats)
    repeated = fastgd.SGDClassifier(**kwargs).fit(np.repeat(X, repeats, 0), np.repeat(y, repeats))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-9)


def test_early_stopping_keeps_the_best_weights(digits):
    X, y = digits
    kwargs = {"loss": "log_loss", "early_stopping": True, "random_state": 0, "max_iter": 60}
    model = fastgd.SGDClassifier(batch_size=16, **kwargs).fit(X, y)
    scores = model.history_["validation_score"]
    assert model.n_iter_ == len(scores) < 60
    shorter = clone(model).set_params(max_iter=int(np.argmax(scores)) + 1, tol=None).fit(X, y)
    np.testing.assert_allclose(model.coef_, shorter.coef_, rtol=1e-10)


def test_validation_score_of_log_loss_is_the_accuracy(cancer):
    # scikit-learn 1.9 scores targets {0, 1} against classes {-1, 1}, and sees 0.5 for ever
    model = fastgd.SGDClassifier(loss="log_loss", early_stopping=True, random_state=0)
    assert max(model.fit(*cancer).history_["validation_score"]) > 0.9


@over_product(
    lambda dtype, sparse, n_classes: n_classes == 2 and (dtype is np.float64 or sparse),
    dtype=[np.float32, np.float64],
    sparse=[False, True],
    n_classes=[2, 10],
)
def test_dtype_in_is_dtype_out(dtype, sparse, n_classes, digits):
    X, y = digits[0].astype(dtype), digits[1] % n_classes
    X = sp.csr_array(X) if sparse else X
    kwargs = {"learning_rate": "constant", "random_state": 0, "max_iter": 5, "tol": None}
    model = fastgd.SGDClassifier(loss="log_loss", **kwargs).fit(X, y)
    assert model.coef_.dtype == model.intercept_.dtype == model.decision_function(X).dtype == dtype
    wide = clone(model).fit(X.astype(np.float64), y)
    np.testing.assert_allclose(model.coef_, wide.coef_, rtol=1e-3, atol=1e-4)


def test_same_seed_same_model_and_other_seed_another(digits):
    models = [
        fastgd.SGDClassifier(random_state=seed, max_iter=3, tol=None).fit(*digits)
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(models[0].coef_, models[1].coef_)
    assert not np.array_equal(models[0].coef_, models[2].coef_)


def test_starts_are_honoured_and_not_changed(cancer):
    X, y = cancer
    coef, intercept = np.full((1, X.shape[1]), 0.5), np.array([0.25])
    kwargs = {"loss": "log_loss", "max_iter": 1, "tol": None, "learning_rate": "constant"}
    model = fastgd.SGDClassifier(eta0=1e-9, penalty=None, **kwargs)
    model.fit(X, y, coef_init=coef, intercept_init=intercept)
    np.testing.assert_allclose(model.coef_, 0.5, atol=1e-5)
    np.testing.assert_allclose(model.intercept_, 0.25, atol=1e-5)
    assert np.all(coef == 0.5)
    assert intercept[0] == 0.25
    warm = fastgd.SGDClassifier(eta0=1e-9, penalty=None, warm_start=True, **kwargs)
    warm.fit(X, y, coef_init=coef).fit(X, y)
    np.testing.assert_allclose(warm.coef_, 0.5, atol=1e-5)


def test_works_in_pipelines_searches_and_frames():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), fastgd.SGDClassifier())
    assert cross_val_score(model, X, y, cv=3).mean() > 0.93
    fitted = model.fit(X, y)[-1]
    np.testing.assert_array_equal(fitted.feature_names_in_, X.columns)
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(pd.DataFrame(np.zeros((1, 30)), columns=[f"c{i}" for i in range(30)]))


def test_grid_search_in_two_processes():
    X, y = load_breast_cancer(return_X_y=True)
    grid = {"alpha": [1e-4, 1e-2], "batch_size": [1, 16]}
    search = GridSearchCV(fastgd.SGDClassifier(random_state=0), grid, n_jobs=2, cv=2)
    search.fit(StandardScaler().fit_transform(X), y)
    assert search.best_score_ > 0.93
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()


def test_labels_of_any_kind(cancer):
    X, y = cancer
    kwargs = {"random_state": 0, "max_iter": 5, "tol": None}
    numbers = fastgd.SGDClassifier(**kwargs).fit(X, y)
    names = fastgd.SGDClassifier(**kwargs).fit(X, np.array(["benign", "malignant"])[y])
    np.testing.assert_array_equal(numbers.coef_, names.coef_)
    assert set(names.predict(X)) == {"benign", "malignant"}


def test_no_probabilities_without_a_probabilistic_loss(cancer):
    model = fastgd.SGDClassifier(loss="hinge").fit(*cancer)
    assert not hasattr(model, "predict_proba")
    with pytest.raises(AttributeError, match="predict_proba"):
        model.predict_proba(cancer[0])


@FULL
def test_modified_huber_probabilities_are_scikit_learns(digits):
    X, y = digits
    kwargs = {"loss": "modified_huber", **PLAIN, "alpha": 0.1}
    ours, theirs = fastgd.SGDClassifier(**kwargs), linear_model.SGDClassifier(**kwargs)
    expected = theirs.fit(X, y).predict_proba(X)
    np.testing.assert_allclose(ours.fit(X, y).predict_proba(X), expected, atol=1e-8)


def test_sparsified_coefficients_predict_and_go_on(cancer):
    X, y = cancer
    kwargs = {"loss": "log_loss", "penalty": "l1", "alpha": 1e-2, "random_state": 0}
    dense = fastgd.SGDClassifier(**kwargs).partial_fit(X, y, classes=[0, 1], max_iter=5)
    sparse = pickle.loads(pickle.dumps(dense)).sparsify()
    assert sp.issparse(sparse.coef_)
    np.testing.assert_array_equal(sparse.predict(X), dense.predict(X))
    np.testing.assert_array_equal(sparse.partial_fit(X, y).coef_, dense.partial_fit(X, y).coef_)


def test_warns_when_epochs_run_out(cancer):
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        fastgd.SGDClassifier(max_iter=2).fit(*cancer)


def expected_failures(_estimator):
    reason = "a stochastic path depends on the order of the rows, and repeated rows have another"
    return {
        "check_sample_weight_equivalence_on_dense_data": reason,
        "check_sample_weight_equivalence_on_sparse_data": reason,
    }


@parametrize_with_checks(
    [
        fastgd.SGDClassifier(),
        fastgd.SGDRegressor(),
        fastgd.SGDOneClassSVM(),
        fastgd.Perceptron(),
    ],
    expected_failed_checks=expected_failures,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@FULL
@parametrize_with_checks(
    [
        fastgd.SGDClassifier(loss="log_loss", optimizer="adam", batch_size=8),
        fastgd.PassiveAggressiveClassifier(),
        fastgd.PassiveAggressiveRegressor(),
    ],
    expected_failed_checks=expected_failures,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_own_checks_of_other_steps(estimator, check):
    check(estimator)


@FULL
@parametrize_with_checks(
    [
        fastgd.SGDRegressor(batch_size="full", optimizer="adam", eta0=0.1, tol=1e-5),
        fastgd.SGDClassifier("log_loss", batch_size="full", optimizer="adam", eta0=0.1),
    ]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_own_checks_of_the_full_batch(estimator, check):
    """Weights equal repeated rows."""
    check(estimator)
