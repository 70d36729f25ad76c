"""Bad input gets an error that says which argument, what it was and what is allowed."""

import pickle
from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import is_classifier

import fastgd
from fastgd import losses, optimizers, penalties
from fastgd._data.validation import as_rows
from fastgd._parameters import resolve as _resolve
from fastgd._solvers._auto import solve
from fastgd._solvers._task import Options, Task
from tests.tables import ESTIMATOR_CASES

X = np.random.default_rng(0).standard_normal((40, 5))
Y = (X[:, 0] > 0).astype(int)
BOTH = [(fastgd.SGDClassifier, Y), (fastgd.SGDRegressor, X[:, 0])]
ALL = [
    (case.kind, case.targets(Y if is_classifier(case.kind()) else X[:, 0]))
    for case in ESTIMATOR_CASES
    if case.kind is not fastgd.SGDOneClassSVM  # has no targets
]

TAKE_ONE_CLASS_OR_A_TABLE = (fastgd.RidgeClassifier, fastgd.RidgeClassifierCV)  # as scikit-learn's


REGRESSORS = [
    kind for kind, _ in ALL if not is_classifier(kind()) and "MultiTask" not in kind.__name__
]


@pytest.mark.parametrize("kind", REGRESSORS)
def test_targets_of_digits_are_numbers(kind):
    X = np.random.default_rng(1).normal(size=(40, 2))
    y = np.round(np.exp(0.1 * X[:, 0]), 3) + 0.1
    seed = {"random_state": 0} if "random_state" in kind().get_params() else {}
    plain, of_words = (kind(**seed).fit(X, targets) for targets in (y, y.astype(str)))
    assert np.array_equal(plain.coef_, of_words.coef_)


@pytest.mark.parametrize("kind", REGRESSORS)
def test_sparse_targets_are_refused(kind):
    with pytest.raises((TypeError, ValueError), match="Sparse data was passed"):
        kind().fit(X, sp.csr_matrix(np.abs(X[:, :1])))


def with_entry(value):
    return np.where(np.arange(200).reshape(40, 5) == 7, value, X)


@pytest.mark.parametrize(("estimator", "y"), ALL)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (with_entry(np.nan), "Input X contains NaN"),
        (with_entry(np.inf), "Input X contains infinity"),
        (X[0], "Expected 2D array"),
        (X[:, :, None], "dim 3"),
        (X[:0], "minimum of 1 is required"),
        (X[:, :0], "0 feature"),
        (X + 1j, "Complex data not supported"),
        (X[:39], "inconsistent numbers of samples"),
    ],
)
def test_bad_X(estimator, y, bad, message):
    with pytest.raises(ValueError, match=message):
        estimator().fit(bad, y[: len(bad)] if message != "inconsistent numbers of samples" else y)


@pytest.mark.parametrize(("estimator", "y"), ALL)
def test_objects_that_are_no_numbers(estimator, y):
    with pytest.raises((ValueError, TypeError), match=r"string|float"):
        estimator().fit(np.full((40, 5), "a", dtype=object), y)


@pytest.mark.parametrize(("estimator", "y"), BOTH)
@pytest.mark.parametrize(
    "kwargs",
    [
        {"loss": "unknown"},
        {"penalty": "unknown"},
        {"alpha": -1.0},
        {"l1_ratio": 2.0},
        {"batch_size": 0},
        {"batch_size": "half"},
        {"optimizer": "unknown"},
        {"optimizer": object()},
        {"learning_rate": "unknown"},
        {"eta0": 0.0},
        {"max_iter": 0},
        {"tol": -1.0},
        {"n_iter_no_change": 0},
        {"validation_fraction": 1.5},
        {"average": -1},
        {"epsilon": -0.1},
    ],
)
def test_a_bad_parameter_is_named_with_its_value_and_what_is_allowed(estimator, y, kwargs):
    ((name, value),) = kwargs.items()
    with pytest.raises(ValueError, match=f"'{name}' parameter of {estimator.__name__} must be"):
        estimator(**kwargs).fit(X, y)
    shown = "Got" if isinstance(value, object) else repr(value)
    with pytest.raises(ValueError, match=shown):
        estimator(**kwargs).fit(X, y)


def test_unknown_names_list_the_names_there_are():
    with pytest.raises(ValueError, match=r"'adam'.*'momentum'|'momentum'.*'adam'"):
        fastgd.SGDClassifier(optimizer="rmsprob").fit(X, Y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(40, int), "greater than one"),
        (X[:, 0], "Unknown label type"),
        (np.where(Y == 1, np.nan, 0.0), "Input y contains NaN"),
        (np.c_[Y, Y, 2 * Y], r"y should be a 1d array"),
        (None, "requires y to be passed"),
    ],
)
@pytest.mark.parametrize(
    "estimator", [kind for kind, y in ALL if y is Y and kind not in TAKE_ONE_CLASS_OR_A_TABLE]
)
def test_bad_labels(estimator, y, message):
    with pytest.raises(ValueError, match=message):
        estimator().fit(X, y)


@pytest.mark.parametrize("estimator", [kind for kind, y in ALL if y is not Y])
def test_bad_targets(estimator):
    with pytest.raises(ValueError, match="Input y contains"):
        estimator().fit(X, np.where(Y == 1, np.inf, 0.0))


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (fastgd.PoissonRegressor(), "'Poisson': y >= 0 is allowed, got a minimum of -1"),
        (fastgd.GammaRegressor(), "'Gamma': y > 0 is allowed, got a minimum of -1"),
        (fastgd.TweedieRegressor(power=1.5), "'Tweedie': y >= 0 is allowed"),
        (fastgd.TweedieRegressor(power=3.0), "'Tweedie': y > 0 is allowed"),
    ],
    ids=str,
)
def test_targets_that_a_distribution_cannot_give(estimator, message):
    with pytest.raises(ValueError, match=message):
        estimator.fit(X, Y - 1.0)
    with pytest.raises(ValueError, match=message):
        type(estimator)(**estimator.get_params()).fit(X, Y + 1.0).score(X, Y - 1.0)


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        ("poisson", Y - 1.0, "'Poisson': y >= 0 is allowed, got a minimum of -1.0"),
        ("gamma", Y, "'Gamma': y > 0 is allowed, got a minimum of 0"),
        (losses.Tweedie(1.0), Y - 1.0, "'Tweedie': y >= 0 is allowed"),
        (losses.Tweedie(2.0), Y, "'Tweedie': y > 0 is allowed"),
        (losses.Tweedie(0.5), Y, "power of the loss 'Tweedie' must be <= 0 or >= 1, got 0.5"),
        (losses.Quantile(1.0), Y, r"q of the loss 'Quantile' must be in \(0, 1\), got 1.0"),
    ],
)
def test_targets_and_numbers_that_a_loss_is_not_defined_for(loss, y, message, call):
    with pytest.raises(ValueError, match=message):
        getattr(fastgd.SGDRegressor(loss), call)(X, y)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (losses.Huber(-1.0), "epsilon of the loss 'Huber' must be >= 0, got -1.0"),
        (losses.LogCosh(0.0), "scale of the loss 'LogCosh' must be > 0, got 0.0"),
        (losses.SmoothHinge(np.nan), "smoothing of the loss 'SmoothHinge' must be > 0, got nan"),
        (losses.Focal(-0.5), "gamma of the loss 'Focal' must be >= 0, got -0.5"),
        (losses.Focal(np.inf), "gamma of the loss 'Focal' must be >= 0, got inf"),
        (
            losses.Softmax(1.0),
            r"label_smoothing of the loss 'Softmax' must be in \[0, 1\), got 1",
        ),
    ],
)
def test_numbers_that_no_loss_has(loss, message):
    with pytest.raises(ValueError, match=message):
        _resolve.loss(loss, 0.1)


class WrongNames(NamedTuple):
    """A loss whose arguments the kernels cannot name."""

    slope: float = 1.0

    @staticmethod
    def value(loss, y, raw):
        return loss.slope * abs(y - raw)

    @staticmethod
    def gradient(loss, y, raw):
        return loss.slope if raw > y else -loss.slope


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"optimizer": optimizers.Adam}, r"optimizer=Adam is a class; give an object, Adam\(\)"),
        ({"penalty": penalties.MaxNorm}, r"penalty=MaxNorm is a class"),
        ({"loss": losses.Huber}, r"loss=Huber is a class"),
        ({"loss": losses.Huber("a")}, "epsilon of the loss 'Huber' must be >= 0, got 'a'"),
        ({"loss": losses.Hinge()}, "is for classes; SGDRegressor has numbers"),
        (
            {"loss": WrongNames()},
            r"\(loss, y_true, raw\), with these names; got \(loss, y,",
        ),
        ({"penalty": penalties.Bounded(low=None)}, "low of the penalty 'Bounded' must be a number"),
        (
            {"optimizer": optimizers.Momentum(1.0)},
            r"momentum of the optimizer 'Momentum' must be",
        ),
        ({"optimizer": optimizers.Adam(beta_1=-3.0)}, "beta_1 of the optimizer 'Adam'"),
        ({"optimizer": optimizers.RMSprop(rho=1.5)}, "rho of the optimizer 'RMSprop'"),
        ({"optimizer": optimizers.Adagrad(epsilon=-1.0)}, "epsilon of the optimizer 'Adagrad'"),
        ({"optimizer": optimizers.Lion(beta_2=np.nan)}, "beta_2 of the optimizer 'Lion'"),
        ({"learning_rate": "pa1", "loss": "huber"}, "only works with loss 'epsilon_insensitive'"),
    ],
)
def test_objects_that_mean_nothing_are_refused_by_name(kwargs, message):
    with pytest.raises(ValueError, match=message):
        fastgd.SGDRegressor(**kwargs).fit(X, X[:, 0])


@pytest.mark.parametrize(
    ("batch_size", "weight", "message"),
    [
        (1, np.nan, "sample_weight contains NaN"),
        (1, 0.0, "at least one non-zero"),
        (8, np.full(40, -1.0), "mean of sample_weight must be > 0"),
        (8, np.r_[np.ones(20), -np.ones(20)], "mean of sample_weight must be > 0"),
    ],
)
def test_weights_that_mean_nothing(batch_size, weight, message):
    with pytest.raises(ValueError, match=message):
        fastgd.SGDClassifier(batch_size=batch_size).fit(X, Y, sample_weight=weight)


def test_starts_that_are_no_numbers():
    with pytest.raises(ValueError, match="coef_init contains NaN"):
        fastgd.SGDClassifier().fit(X, Y, coef_init=np.full((1, 5), np.nan))


@pytest.mark.parametrize(
    ("loss", "X_val", "y_val", "message"),
    [
        ("squared_error", X, np.c_[Y, Y], "the first call had 1 target"),
        ("poisson", X, -1.0 - Y, "y >= 0 is allowed"),
        ("squared_error", X[:1], Y[:1], "no R2; give two or more"),
    ],
)
def test_rows_to_stop_by_are_checked_before_training(loss, X_val, y_val, message):
    with pytest.raises(ValueError, match=message):
        fastgd.SGDRegressor(loss).fit(X, 1.0 + Y, X_val=X_val, y_val=y_val)


def test_the_solvers_refuse_smoothed_labels():
    codes = np.arange(40, dtype=np.int32) % 3
    task = Task(as_rows(X), codes, None, losses.Softmax(0.1), 0.0, 0.1, 5, n_outputs=3)
    for solver in ("auto", "gd", "sdca", "saga"):
        with pytest.raises(ValueError, match="needs the plain softmax"):
            solve(task, Options(), solver)


@pytest.mark.parametrize(
    ("loss", "y"),
    [("poisson", Y), pytest.param(losses.Tweedie(0.0), Y - 1, marks=pytest.mark.full)],
)
def test_targets_at_the_end_of_what_is_allowed(loss, y):
    model = fastgd.SGDRegressor(loss, max_iter=2, tol=None).fit(X, y)
    assert np.isfinite(model.predict(X)).all()


def test_classifiers_have_no_losses_with_a_log_link():
    with pytest.raises(ValueError, match="'loss' parameter of SGDClassifier must be"):
        fastgd.SGDClassifier("poisson").fit(X, Y)
    with pytest.raises(ValueError, match=r"loss=Poisson\(\) is for regression only"):
        fastgd.SGDClassifier(losses.Poisson()).fit(X, Y)


def csr(indices=None, indptr=None):
    good = sp.csr_matrix(X)
    bad = sp.csr_matrix(X)
    bad.indices = good.indices if indices is None else np.asarray(indices, np.int32)
    bad.indptr = good.indptr if indptr is None else np.asarray(indptr, np.int32)
    return bad


GOOD = sp.csr_matrix(X)


@pytest.mark.parametrize(
    "bad",
    [
        csr(indices=np.where(np.arange(200) == 3, 5, GOOD.indices)),
        csr(indices=np.where(np.arange(200) == 3, -1, GOOD.indices)),
        csr(indices=np.where(np.arange(200) == 3, 2**30, GOOD.indices)),
        csr(indptr=np.where(np.arange(41) == 40, 500, GOOD.indptr)),
        csr(indptr=np.where(np.arange(41) == 5, 1, GOOD.indptr)),
    ],
)
@pytest.mark.parametrize(("estimator", "y"), ALL)
def test_a_broken_csr_matrix_never_reaches_a_kernel(estimator, y, bad):
    with pytest.raises(ValueError, match="not a valid CSR matrix"):
        estimator().fit(bad, y)


def test_unsorted_and_duplicate_entries_are_put_in_order_in_a_copy():
    order = np.array([3, 1, 4, 0, 2, 2])
    values = np.column_stack([X[:, order[:5]], X[:, 2]])
    values[:, 4:] /= 2
    messy = sp.csr_matrix((values.ravel(), np.tile(order, 40), np.arange(0, 241, 6)), shape=(40, 5))
    before = messy.indices.copy(), messy.data.copy()
    kwargs = {"random_state": 0, "max_iter": 5, "tol": None}
    model = fastgd.SGDClassifier(**kwargs).fit(messy, Y)
    tidy = fastgd.SGDClassifier(**kwargs).fit(sp.csr_matrix(X), Y)
    np.testing.assert_allclose(model.coef_, tidy.coef_, rtol=1e-12)
    np.testing.assert_array_equal(messy.indices, before[0])
    np.testing.assert_array_equal(messy.data, before[1])


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(39), "sample_weight.shape"),
        (np.ones((40, 2)), "1D array"),
        (np.full(40, np.nan), "sample_weight contains NaN"),
        (np.zeros(40), "at least one non-zero"),
    ],
)
@pytest.mark.parametrize(
    ("estimator", "y"), [(kind, y) for kind, y in ALL if "Aggressive" not in kind.__name__]
)
def test_bad_weights(estimator, y, weight, message):
    with pytest.raises(ValueError, match=message):
        estimator().fit(X, y, sample_weight=weight)


def test_parameters_that_do_not_go_together():
    with pytest.raises(ValueError, match=r"multi_class='multinomial'.*loss='hinge'"):
        fastgd.SGDClassifier(multi_class="multinomial").fit(X, Y)
    with pytest.raises(ValueError, match="alpha must be > 0"):
        fastgd.SGDClassifier(alpha=0).fit(X, Y)
    with pytest.raises(ValueError, match="early_stopping should be False"):
        fastgd.SGDClassifier(early_stopping=True).partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(ValueError, match="l1_ratio must be set"):
        fastgd.SGDClassifier(penalty="elasticnet", l1_ratio=None).fit(X, Y)


@pytest.mark.parametrize("name", ["coef_init", "intercept_init"])
def test_a_start_of_the_wrong_shape_is_named(name):
    with pytest.raises(ValueError, match=rf"{name} does not match dataset.* \(3,\)"):
        fastgd.SGDClassifier().fit(X, Y, **{name: np.ones(3)})


def test_partial_fit_names_what_it_needs():
    model = fastgd.SGDClassifier()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        model.partial_fit(X, Y)
    model.partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"not among the classes: \[7\]"):
        model.partial_fit(X, np.where(Y == 1, 7, 0))
    with pytest.raises(ValueError, match="not the same as on last call"):
        model.partial_fit(X, Y, classes=[0, 1, 2])


def test_divergence_is_an_error_that_says_what_would_help():
    model = fastgd.SGDRegressor(learning_rate="constant", eta0=10.0, random_state=0)
    with pytest.raises(ValueError, match=r"under-/overflow occurred at epoch #1.*StandardScaler"):
        model.fit(1e100 * X, X[:, 0])


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_a_failed_call_leaves_the_model_as_it_was(call):
    model = fastgd.SGDClassifier(loss="squared_error", learning_rate="constant", random_state=0)
    model.fit(X, Y)
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match="overflow"):
        getattr(model, call)(1e200 * X, Y)
    assert pickle.dumps(model) == before
    with pytest.raises(ValueError, match="NaN"):
        getattr(model, call)(with_entry(np.nan), Y)
    assert pickle.dumps(model) == before


def test_read_only_memory_maps_train(tmp_path):
    path = tmp_path / "X.npy"
    np.save(path, X)
    mapped = np.load(path, mmap_mode="r")
    kwargs = {"random_state": 0, "max_iter": 3, "tol": None}
    model = fastgd.SGDClassifier(**kwargs).fit(mapped, Y)
    np.testing.assert_array_equal(model.coef_, fastgd.SGDClassifier(**kwargs).fit(X, Y).coef_)
