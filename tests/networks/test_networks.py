"""Networks as estimators: beside scikit-learn's, and what they promise."""

# ruff: noqa: ARG004 - layers and activations share their argument names
import pickle
import warnings
from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from fastgd import SGDRegressor, to_sklearn
from fastgd.activations import LeakyReLU
from fastgd.callbacks import Checkpoint, WeightRecorder
from fastgd.kernels.layers import Sizes
from fastgd.layers import (
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool,
    MaxPool2D,
    Residual,
)
from fastgd.losses import Huber, Quantile
from fastgd.neural_network import (
    MLPClassifier,
    MLPRegressor,
    NetworkClassifier,
    NetworkRegressor,
)
from fastgd.optimizers import PassiveAggressive

PARAMS = {"tol": None, "random_state": 0, "max_iter": 5, "batch_size": 50}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:400] / 16, y[:400]


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return 10 * X, (y - y.mean()) / y.std()


@pytest.mark.full
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_estimators_pass_scikit_learns_checks(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks do not care how long training takes
        found = check_estimator(kind(max_iter=100, random_state=0), on_fail=None, on_skip=None)
    failed = [one["check_name"] for one in found if one["status"] not in ("passed", "skipped")]
    assert failed == []


# -- beside scikit-learn -------------------------------------------------------------------------


def same_start(ours, theirs, X, y):
    """Fit both a little, and give our network the weights of theirs, where both go on."""
    ours.set_params(max_iter=1).fit(X, y)
    theirs.set_params(max_iter=1).fit(X, y)
    for own, start in zip(
        ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True
    ):
        own[...] = start


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("many", {"solver": "adam"}),
        *(
            pytest.param(kind, params, marks=pytest.mark.full)
            for kind, params in (
                ("numbers", {"solver": "sgd", "learning_rate_init": 0.01, "momentum": 0.0}),
                ("two", {"solver": "sgd", "learning_rate_init": 0.05, "activation": "tanh"}),
                ("labels", {"activation": "logistic", "hidden_layer_sizes": (7, 5)}),
                ("tables", {"solver": "adam", "alpha": 0.3}),
            )
        ),
    ],
)
def test_steps_are_those_of_scikit_learn(kind, params, digits, diabetes):
    X, y = digits if kind in ("many", "two", "labels") else diabetes
    if kind == "two":
        y = (y > 4).astype(int)
    elif kind == "labels":
        y = (y[:, None] > np.array([2, 5, 7])).astype(int)
    elif kind == "tables":
        y = np.column_stack([y, y**2])
    numbers = kind in ("numbers", "tables")
    common = {"hidden_layer_sizes": (8,), "shuffle": False, "batch_size": 64, **params}
    # scikit-learn adds Adam's epsilon before it corrects the moments' bias
    common |= {"random_state": 0, "warm_start": True, "epsilon": 1e-30}
    ours = (MLPRegressor if numbers else MLPClassifier)(tol=None, **common)
    theirs = (TheirRegressor if numbers else TheirClassifier)(tol=0.0, **common)
    same_start(ours, theirs, X, y)
    fresh = theirs.set_params(max_iter=4, n_iter_no_change=100).fit(X, y)
    ours.set_params(max_iter=4).fit(X, y)
    for own, their in zip(ours.coefs_, fresh.coefs_, strict=True):
        np.testing.assert_allclose(own, their, rtol=1e-7, atol=1e-9)
    if numbers:
        np.testing.assert_allclose(ours.predict(X), fresh.predict(X), rtol=1e-6, atol=1e-8)
    else:
        np.testing.assert_allclose(ours.predict_proba(X), fresh.predict_proba(X), atol=1e-8)
    assert ours.out_activation_ == fresh.out_activation_
    assert (ours.n_layers_, ours.n_outputs_) == (fresh.n_layers_, fresh.n_outputs_)


@pytest.mark.full
def test_lbfgs_reaches_what_scikit_learns_reaches(diabetes):
    X, y = diabetes
    params = {"hidden_layer_sizes": (3,), "activation": "tanh", "solver": "lbfgs", "alpha": 10.0}
    params |= {"max_iter": 2000, "tol": 1e-8, "random_state": 0}
    ours, theirs = MLPRegressor(**params).fit(X, y), TheirRegressor(**params).fit(X, y)
    assert ours.loss_ <= 1.05 * theirs.loss_  # another start may end in another valley
    assert ours.loss_curve_ == sorted(ours.loss_curve_, reverse=True)


# -- promises ------------------------------------------------------------------------------------

MODELS = {
    "dense": MLPClassifier((6,), **PARAMS),
    "normed": MLPClassifier((6,), normalization="batch", dropout=0.2, solver="sgd", **PARAMS),
    "images": NetworkClassifier(
        [Conv2D(3, 3, activation="relu"), MaxPool2D(2), Flatten(), Dropout(0.3), Dense(10)],
        **PARAMS,
    ),
}


def rows_for(name, X):
    return X.reshape(-1, 8, 8) if name == "images" else X


@pytest.mark.full
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_and_three_epochs_are_five(name, dtype, digits):
    X, y = rows_for(name, digits[0]).astype(dtype), digits[1]
    whole = clone(MODELS[name]).partial_fit(X, y, classes=range(10), max_iter=5)
    parts = clone(MODELS[name]).partial_fit(X, y, classes=range(10), max_iter=2)
    parts = pickle.loads(pickle.dumps(parts)).partial_fit(X, y, max_iter=3)
    fitted = clone(MODELS[name])
    with pytest.warns(ConvergenceWarning) if fitted.tol is not None else _nothing():
        fitted.fit(X, y)
    for one in (parts, fitted):
        np.testing.assert_array_equal(one.decision_function(X), whole.decision_function(X))
        assert one.loss_curve_ == whole.loss_curve_
    assert whole.decision_function(X).dtype == dtype
    assert whole.coefs_[0].dtype == dtype


class _nothing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


@pytest.mark.full
def test_weights_are_repetitions_in_a_full_batch(diabetes):
    X, y = diabetes
    times = np.arange(len(y)) % 3
    params = {**PARAMS, "batch_size": "full", "hidden_layer_sizes": (4,), "alpha": 1.0}
    params |= {"learning_rate_init": 0.01, "max_iter": 20}
    weighed = MLPRegressor(**params).fit(X, y, sample_weight=times)
    repeated = MLPRegressor(**params).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    np.testing.assert_allclose(weighed.predict(X), repeated.predict(X), rtol=1e-9, atol=1e-9)


@pytest.mark.full
def test_class_weights_are_sample_weights(digits):
    X, y = digits[0], (digits[1] > 6).astype(int)
    params = {**PARAMS, "hidden_layer_sizes": (4,)}
    by_class = MLPClassifier(class_weight={1: 5.0}, **params).fit(X, y)
    by_row = MLPClassifier(**params).fit(X, y, sample_weight=1.0 + 4.0 * y)
    np.testing.assert_allclose(by_class.decision_function(X), by_row.decision_function(X))


@pytest.mark.full
@pytest.mark.parametrize("loss", ["huber", "absolute_error", "poisson", Huber(0.3), Quantile(0.9)])
def test_any_loss_for_numbers(loss, diabetes):
    X, y = diabetes
    y = np.exp(y / 2)
    params = {"hidden_layer_sizes": (8,), "learning_rate_init": 0.01, "random_state": 0}
    model = MLPRegressor(loss, max_iter=60, tol=None, **params).fit(X, y)
    assert model.loss_curve_[-1] < 0.8 * model.loss_curve_[0]
    if loss == "poisson":
        assert model.predict(X).min() > 0
        assert model.out_activation_ == "exp"
    if loss == Quantile(0.9) and isinstance(loss, Quantile):
        assert 0.8 < np.mean(y <= model.predict(X)) < 0.97


@pytest.mark.full
@pytest.mark.parametrize("solver", ["adamw", "nadam", "rmsprop", "adagrad", "lion", "momentum"])
def test_optimizers_of_the_catalogue(solver, digits):
    X, y = digits
    rate = {"adagrad": 0.05, "momentum": 0.05, "lion": 5e-3}.get(solver, 3e-3)
    model = MLPClassifier((16,), solver=solver, learning_rate_init=rate, max_iter=40, tol=None)
    assert model.set_params(random_state=0).fit(X, y).score(X, y) > 0.9


@pytest.mark.full
@pytest.mark.parametrize("name", ["sequence", "embedding", "residual", "norm"])
def test_networks_of_other_layers_learn(name):
    rng = np.random.default_rng(0)
    if name == "sequence":
        X = rng.normal(size=(300, 20, 2))
        y = np.abs(X).mean(axis=(1, 2))
        layers = [Conv1D(8, 3, activation="relu"), GlobalAveragePool(), Dense(1)]
    elif name == "embedding":
        X = rng.integers(0, 9, (300, 2))
        y = np.sin(X).sum(axis=1)
        layers = [Embedding(9, 4), Flatten(), Dense(8, "tanh"), Dense(1)]
    else:
        X = rng.normal(size=(300, 4))
        y = np.abs(X[:, 0]) + X[:, 1]
        block = (
            Residual([BatchNorm(), "relu", Dense(16)])
            if name == "norm"
            else Residual([Dense(16, "elu"), Dense(16)])
        )
        layers = [Dense(16), block, "silu", Dense(1)]
    model = NetworkRegressor(layers, learning_rate_init=0.01, batch_size=32, random_state=0)
    model.set_params(max_iter=200, tol=None, learning_rate="cosine")
    assert model.fit(X, y).score(X, y) > (0.6 if name == "sequence" else 0.8)


def test_early_stopping_keeps_the_best_and_says_so(digits):
    X, y = digits
    model = MLPClassifier((8,), early_stopping=True, n_iter_no_change=3, tol=1e-3, random_state=0)
    model.set_params(learning_rate_init=0.02).fit(X, y)
    assert model.n_iter_ < 200
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.best_loss_ is None
    held_out = MLPClassifier((8,), random_state=0, n_iter_no_change=3, tol=1e-3)
    held_out.fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    assert held_out.score(X[300:], y[300:]) == held_out.best_validation_score_


def test_warm_start_goes_on(digits):
    X, y = digits
    params = {**PARAMS, "warm_start": True, "shuffle": False}
    model = MLPClassifier((6,), **params).fit(X, y)
    first = model.loss_
    assert model.fit(X, y).loss_curve_[0] < 1.05 * first
    with pytest.raises(ValueError, match=r"Training goes on from the last fit"):
        model.set_params(hidden_layer_sizes=(7,)).fit(X, y)
    assert model.coefs_[0].shape == (64, 6)


@pytest.mark.full
def test_dropout_and_clipping_change_training_only(digits):
    X, y = digits
    plain = MLPClassifier((6,), **PARAMS).fit(X, y)
    dropped = MLPClassifier((6,), dropout=0.5, **PARAMS).fit(X, y)
    assert not np.array_equal(plain.coefs_[0], dropped.coefs_[0])
    np.testing.assert_array_equal(dropped.predict_proba(X), dropped.predict_proba(X))
    clipped = MLPClassifier((6,), clip_norm=1e-3, solver="sgd", momentum=0.0, **PARAMS).fit(X, y)
    assert clipped.history_["clipped"][0] == 1.0
    assert np.linalg.norm(np.diff(clipped.history_["update_norm"])) < 1e-3


@pytest.mark.full
def test_a_network_that_explodes_says_so_and_stays_as_it_was(digits):
    X, y = digits
    model = MLPClassifier((6,), **PARAMS).fit(X, y)
    before = model.coefs_[0].copy()
    model.set_params(solver="sgd", momentum=0.0, learning_rate_init=1e200, activation="identity")
    with pytest.raises(ValueError, match="Floating-point under-/overflow"):
        model.fit(X, y)
    np.testing.assert_array_equal(model.coefs_[0], before)
    backed = MLPClassifier((6,), on_divergence="backoff", solver="sgd", momentum=0.0, **PARAMS)
    backed.set_params(learning_rate_init=1e3, activation="identity", max_iter=30).fit(X, y)
    assert backed.history_["backoffs"][-1] > 0
    assert backed.score(X, y) > 0.5


@pytest.mark.full
def test_monitor_measures_the_objective_of_all_rows(diabetes):
    X, y = diabetes
    model = MLPRegressor(hidden_layer_sizes=(4,), monitor=True, alpha=0.5, **PARAMS).fit(X, y)
    W = sum(float(np.sum(W**2)) for W in model.coefs_)
    objective = 0.5 * np.mean((model.predict(X) - y) ** 2) + 0.25 * W / len(y)
    assert model.history_["true_objective"][-1] == pytest.approx(objective, rel=1e-12)
    assert model.history_["gradient_norm"][-1] > 0


# -- a user's own --------------------------------------------------------------------------------


class Cube(NamedTuple):
    """z^3 / 3, an activation that nobody else has."""

    @staticmethod
    def value(activation, z):
        return z * z * z / 3

    @staticmethod
    def gradient(activation, z, value):
        return z * z


class Scale(NamedTuple):
    """Each input times a number of its own that is learned."""

    @staticmethod
    def sizes(layer, shape):
        return Sizes(shape, free=np.ones(shape[-1]))

    @staticmethod
    def forward(layer, at, own, x, out, notes, now):
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                out[i, j] = x[i, j] * own.free[j]

    @staticmethod
    def backward(layer, at, own, slopes, tape, delta, before):
        for j in range(delta.shape[1]):
            slopes.free[j] = 0
        for i in range(delta.shape[0]):
            for j in range(delta.shape[1]):
                slopes.free[j] += delta[i, j] * tape.x[i, j]
        for i in range(before.shape[0]):
            for j in range(before.shape[1]):
                before[i, j] = delta[i, j] * own.free[j]


@pytest.mark.full
def test_a_layer_and_an_activation_of_a_users_own_train():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = 2 * X[:, 0] ** 3 - X[:, 1]
    layers = [Scale(), Dense(8, Cube()), Scale(), Dense(1)]
    model = NetworkRegressor(layers, learning_rate_init=0.01, tol=None, max_iter=150)
    assert model.set_params(random_state=0, batch_size=20).fit(X, y).score(X, y) > 0.8
    assert model.coefs_[0].shape == (3, 8)


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Conv2D(4, 3), MaxPool2D(9), Dense(10)], r"layers\[1\], MaxPool2D: its window of 9 x 9"),
        ([Dense(9)], r"the last layer makes rows of shape \(9,\), and y needs 10 outputs"),
        ([Dense(0)], r"layers\[0\]: units of the layer 'Dense' must be a whole number"),
        ([Dense], r"layers\[0\]=Dense is a class"),
        (["swish"], r"layers\[0\] must be one of"),
        ([3], r"layers\[0\] must be an object of fastgd.layers"),
        ([Dense(3), Conv2D(2, 3)], r"layers\[1\], Conv2D: it takes images of shape"),
        ([Dense(3), Residual([Dense(4)]), Dense(10)], r"layers\[1\], Residual: its layers make"),
        (
            [Dropout(1.0), Dense(10)],
            r"rate of the layer 'Dropout' must be in \[0, 1\)",
        ),
        ([Dense(3, LeakyReLU(-1.0)), Dense(10)], "slope of the activation 'LeakyReLU' must be > 0"),
        ([Dense(3, init="he"), Dense(10)], r"init of layers\[0\] must be one of"),
        ([Embedding(3, 2), Flatten(), Dense(10)], r"takes whole numbers from 0 to 2"),
        ([Dense(3), Embedding(3, 2), Flatten(), Dense(10)], "it must be the first layer"),
        ([MaxPool2D((2,)), Dense(10)], "size of the layer 'MaxPool2D' must be a whole number"),
        ([Conv1D(2, (3, 3)), Dense(10)], "kernel_size and stride are one number each"),
        ([], "layers is empty"),
    ],
)
def test_what_is_wrong_with_a_layer_is_said_before_training(layers, message, digits):
    has_axes = layers and ("Conv" in repr(layers[0]) or "Pool" in repr(layers[0]))
    X = digits[0].reshape(-1, 8, 8) if has_axes else digits[0]
    model = NetworkClassifier(layers)
    with pytest.raises(ValueError, match=message):
        model.fit(X, digits[1])
    assert not hasattr(model, "classes_")


def test_bad_input_is_refused_and_nothing_is_lost(digits):
    X, y = digits
    model = MLPClassifier((4,), **PARAMS).fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(np.full_like(X, np.nan), y)
    with pytest.raises(ValueError, match=r"activation must be one value, or one for each"):
        clone(model).set_params(activation=["relu", "tanh"]).fit(X, y)
    with pytest.raises(ValueError, match="hidden_layer_sizes must be > 0"):
        clone(model).set_params(hidden_layer_sizes=(3, 0)).fit(X, y)
    with pytest.raises(ValueError, match="The 'loss' parameter of MLPClassifier"):
        clone(model).set_params(loss="poisson", activation="relu").fit(X, y)
    with pytest.raises(ValueError, match="is sparse, and layers"):
        NetworkClassifier([Dropout(0.1), Dense(10)]).fit(sp.csr_matrix(X), y)
    np.testing.assert_array_equal(model.predict_proba(X), before)


@pytest.mark.full
def test_images_of_another_shape_are_refused(digits):
    X, y = digits
    images = NetworkClassifier([Conv2D(2, 3), Dense(10)], **PARAMS).fit(X.reshape(-1, 8, 8), y)
    with pytest.raises(ValueError, match=r"X has rows of shape \(4, 16, 1\)"):
        images.predict(X.reshape(-1, 4, 16))


def test_a_call_goes_on_only_with_a_network_of_the_same_arrays(digits):
    """Else kernels would read beyond the parameters."""
    X, y = digits
    model = MLPClassifier((4, 6), **PARAMS).fit(X, y)
    before = model.predict_proba(X)
    for sizes in ((4, 7), (4,), (6, 4), (400, 400)):
        model.set_params(hidden_layer_sizes=sizes)
        with pytest.raises(ValueError, match=r"whose network has .* in layers of 64 x 4, 4 x 6"):
            model.partial_fit(X, y)
    again = clone(model).set_params(hidden_layer_sizes=(4, 6)).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), before)


@pytest.mark.full
def test_a_call_goes_on_with_another_activation(digits):
    X, y = digits
    model = MLPClassifier((4, 6), **PARAMS).fit(X, y).set_params(activation="tanh")
    assert model.partial_fit(X, y).n_iter_ == 1  # the arrays are the same


def test_rows_to_stop_by_are_values_of_an_embedding_too():
    X, y = np.arange(60).reshape(-1, 2) % 5, np.arange(30) % 3
    model = NetworkRegressor([Embedding(5, 2), Flatten(), Dense(1)], **PARAMS)
    for wrong in (np.full((4, 2), 10**6), np.full((4, 2), -1), np.full((4, 2), 0.5)):
        with pytest.raises(ValueError, match="takes whole numbers from 0 to 4"):
            model.fit(X, y, X_val=wrong, y_val=np.arange(4.0))


@pytest.mark.full
def test_rows_to_predict_are_values_of_an_embedding():
    X, y = np.arange(60).reshape(-1, 2) % 5, np.arange(30) % 3
    model = NetworkRegressor([Embedding(5, 2), Flatten(), Dense(1)], **PARAMS).fit(X, y)
    for wrong in (np.full((4, 2), 10**6), np.full((4, 2), -1), np.full((4, 2), 0.5)):
        with pytest.raises(ValueError, match="takes whole numbers from 0 to 4"):
            model.predict(wrong)


def test_lbfgs_says_what_it_cannot_do(digits):
    X, y = digits
    model = MLPClassifier((4,), solver="lbfgs", max_iter=2, random_state=0)
    for more in ({"dropout": 0.1}, {"normalization": "batch"}):
        with pytest.raises(ValueError, match="does something else in training than"):
            clone(model).set_params(**more).fit(X, y)
    with pytest.raises(ValueError, match="X_val goes with stochastic solvers"):
        model.fit(X, y, X_val=X, y_val=y)


@pytest.mark.full
@pytest.mark.nojit  # which runs by default, and compiles nothing
@pytest.mark.filterwarnings("ignore:Maximum number", "ignore:overflow")
def test_lbfgs_descends_and_holds_no_rows_out(digits):
    X, y = (part[:60] for part in digits)
    model = MLPClassifier((4,), solver="lbfgs", max_iter=4, random_state=0)
    plain = clone(model).fit(X, y)
    stopped = model.set_params(early_stopping=True).fit(X, y)
    assert stopped.loss_curve_ == plain.loss_curve_
    assert plain.loss_curve_ == sorted(plain.loss_curve_, reverse=True)
    assert log_loss(y, plain.predict_proba(X)) < plain.loss_curve_[0]


def test_optimizers_of_linear_models_only_are_refused(digits):
    model = MLPClassifier((4,), solver=PassiveAggressive(), loss="hinge")
    with pytest.raises(ValueError, match="chooses its steps by the rows of a linear model"):
        model.fit(digits[0], digits[1] > 4)


@pytest.mark.full
def test_channels_first_is_another_layout_of_the_same_images():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 6, 5, 2))
    y = np.arange(60) % 2
    layers = [Conv2D(3, 3, activation="tanh"), Dense(1)]
    last = NetworkClassifier(layers, **PARAMS).fit(X, y)
    first = NetworkClassifier(layers, channels_first=True, **PARAMS)
    first.fit(np.moveaxis(X, -1, 1), y)
    np.testing.assert_array_equal(
        first.decision_function(np.moveaxis(X, -1, 1)), last.decision_function(X)
    )


@pytest.mark.full
def test_summary_tells_layers_shapes_and_parameters(digits):
    model = MODELS["images"]
    fitted = clone(model).fit(digits[0].reshape(-1, 8, 8), digits[1])
    lines = fitted.summary().splitlines()
    assert lines[2].split()[-1] == "30"
    assert "(3, 3, 3)" in lines[3]
    assert lines[-1] == f"{30 + 280 - 3 + 3:,} parameters"


# -- elsewhere -----------------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", ["many", "two", "labels", "numbers", "tables", "counts"])
def test_to_sklearn_predicts_the_same(kind, digits, diabetes):
    X, y = digits if kind in ("many", "two", "labels") else diabetes
    y = {
        "two": lambda: np.where(y > 4, "yes", "no"),
        "labels": lambda: (y[:, None] > np.array([2, 5, 7])).astype(int),
        "tables": lambda: np.column_stack([y, y**2]),
        "counts": lambda: np.exp(y),
    }.get(kind, lambda: y)()
    if kind in ("many", "two", "labels"):
        model = MLPClassifier((6, 4), activation="tanh", **PARAMS).fit(X, y)
    else:
        loss = "poisson" if kind == "counts" else "huber"
        model = MLPRegressor(loss, (6,), **PARAMS).fit(X, y)
    theirs = to_sklearn(model)
    assert type(theirs).__module__.startswith("sklearn.neural_network")
    if hasattr(model, "predict_proba"):
        np.testing.assert_array_equal(theirs.predict(X), model.predict(X))
        np.testing.assert_allclose(theirs.predict_proba(X), model.predict_proba(X), atol=1e-12)
    else:
        np.testing.assert_allclose(theirs.predict(X), model.predict(X), rtol=1e-10, atol=1e-12)
    theirs.coefs_[0][:] = 0.0
    assert model.coefs_[0].any()


@pytest.mark.full
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (NetworkClassifier([Dense(10)], **PARAMS), "no network of layers like those"),
        (MLPClassifier((4,), normalization="layer", **PARAMS), "have no normalization"),
        (MLPClassifier((4, 4), activation=["relu", "tanh"], **PARAMS), "one activation of"),
        (MLPClassifier((4,), loss="hinge", **PARAMS), "predicts by probabilities"),
    ],
)
def test_to_sklearn_says_what_scikit_learn_lacks(model, message, digits):
    with pytest.raises(TypeError, match=message):
        to_sklearn(clone(model).fit(*digits))


# -- the rest of the house -------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_searches_and_pipelines_take_networks(digits):
    X, y = digits
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((6,), **PARAMS))
    grid = {"mlpclassifier__hidden_layer_sizes": [(4,), (12,)]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert search.best_params_ == {"mlpclassifier__hidden_layer_sizes": (12,)}
    assert clone(search.best_estimator_).fit(X, y).score(X, y) == search.score(X, y)


def test_callbacks_see_networks(digits, tmp_path):
    X, y = digits
    recorder, seen = WeightRecorder(every=2), []
    callbacks = [
        recorder,
        Checkpoint(tmp_path / "network-{epoch}.pkl", every=5),
        lambda view: seen.append(view.model.score(X, y)),
    ]
    model = MLPClassifier((6,), callbacks=callbacks, **PARAMS).fit(X, y)
    assert recorder.epochs_ == [0, 2, 4, 5]
    assert [W.shape for W in recorder.weights_[0]] == [(64, 6), (6, 10)]
    np.testing.assert_array_equal(recorder.weights_[-1][0], model.coefs_[0])
    assert not np.array_equal(recorder.weights_[0][0], recorder.weights_[1][0])
    assert len(seen) == 5
    assert seen[-1] == model.score(X, y)
    saved = pickle.loads((tmp_path / "network-5.pkl").read_bytes())
    np.testing.assert_array_equal(saved.predict_proba(X), model.predict_proba(X))
    model.set_params(callbacks=[WeightRecorder(layers=[2])])
    with pytest.raises(ValueError, match="MLPClassifier has 2 layers with weights"):
        model.fit(X, y)


def test_recorders_see_linear_models(digits):
    X, y = digits
    recorder = WeightRecorder()
    model = SGDRegressor(max_iter=2, tol=None, callbacks=[recorder], random_state=0)
    model.fit(X, y)
    np.testing.assert_array_equal(recorder.weights_[-1][0], model.coef_)
    with pytest.raises(ValueError, match="every must be >= 1"):
        WeightRecorder(every=0)


def test_the_last_record_is_what_the_fit_ends_with(digits):
    X, y = digits
    recorder = WeightRecorder()
    params = {
        **PARAMS,
        "learning_rate_init": 1.0,
        "max_iter": 60,
        "n_iter_no_change": 2,
        "tol": 0.0,
    }
    model = MLPClassifier((6,), callbacks=[recorder], **params).fit(X, y, X_val=X, y_val=y)
    assert recorder.epochs_ == list(range(model.n_iter_ + 1))
    assert np.argmax(model.history_["validation_score"]) < model.n_iter_ - 1  # it is put back
    np.testing.assert_array_equal(recorder.weights_[-1][0], model.coefs_[0])


def test_callbacks_of_scikit_learn_see_networks(digits):
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has callbacks")
    model = MLPClassifier((6,), **PARAMS)
    model.set_callbacks(callback.ProgressBar(max_propagation_depth=0))
    assert model.fit(*digits).n_iter_ == 5


@pytest.mark.full
def test_a_notebook_shows_the_layers(digits):
    model = MLPClassifier((6,), dropout=0.1, **PARAMS)
    assert "fastgd-network" not in model._repr_mimebundle_()["text/html"]
    html = model.fit(*digits)._repr_mimebundle_()["text/html"]
    assert "Dense(units=6, activation=ReLU())" in html
    assert "Dropout(rate=0.1)" in html
    assert "460 parameters in all" in html


EXPLODING = {"solver": "sgd", "momentum": 0.0, "activation": "identity", "monitor": True}


@pytest.mark.full
@pytest.mark.parametrize("at_once", [True, False])
def test_an_explosion_names_the_layer(at_once, digits):
    X, y = digits
    rate = 1e6 if at_once else 30.0
    model = MLPClassifier((6, 6), **{**PARAMS, **EXPLODING, "learning_rate_init": rate})
    said = r"The layer whose gradient grew most is hidden layers\[\d\], Dense \(layer \d\)"
    model.set_params(max_iter=30)
    with pytest.raises(ValueError, match=said):
        model.fit(X, y)
    with pytest.warns(ConvergenceWarning, match=said):
        model.set_params(on_divergence="warn").fit(X, y)
    model.set_params(on_divergence="backoff").fit(X, y)
    named = np.array(model.history_["exploded_layer"])
    assert np.isfinite(named).sum() >= 1
    assert set(named[np.isfinite(named)]) <= {0.0, 1.0, 2.0}
