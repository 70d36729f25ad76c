"""What scikit-learn's stochastic estimators promise, and what ours add: call by call."""

import copy
import io
import pickle
import warnings
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from sklearn import linear_model
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastgd
from fastgd.linear_model import RidgeClassifierCV
from fastgd.losses import Focal, LogLoss, Softmax
from fastgd.neural_network import MLPClassifier
from fastgd.penalties import MaxNorm, Weighted
from fastgd.schedules import Cosine
from tests.tables import over_product

QUICK = {"max_iter": 5, "tol": None, "random_state": 0}
KINDS = [fastgd.SGDClassifier, fastgd.SGDRegressor, fastgd.SGDOneClassSVM]
PLAIN = {"tol": None, "shuffle": False, "max_iter": 5}


@pytest.fixture
def X(rng):
    return rng.normal(size=(120, 6))


@pytest.fixture
def raw(X):
    return X @ [1.0, -2.0, 0.5, 0.0, 0.3, 0.0] + 0.3


def targets(kind, raw):
    return (raw > 0).astype(int) if kind is fastgd.SGDClassifier else raw


def of_kind(kind):
    """Return parameters with which a kind of model shares kernels with other tests."""
    return {"loss": "log_loss"} if kind is fastgd.SGDClassifier else {}


def parameters(model):
    return np.append(model.coef_, getattr(model, "intercept_", getattr(model, "offset_", None)))


# -- many outputs in one pass ----


@over_product(
    lambda loss, sparse: loss == "squared_error" and not sparse,
    loss=["squared_error", "huber", "poisson"],
    sparse=[False, True],
)
def test_many_targets_are_each_as_if_alone(loss, sparse, X, raw):
    Y = np.exp(0.2 * np.c_[raw, -raw, 0.5 * raw])
    data = sp.csr_array(X) if sparse else X
    model = fastgd.SGDRegressor(loss, **QUICK).fit(data, Y)
    assert model.coef_.shape == (3, 6)
    assert model.intercept_.shape == (3,)
    assert model.predict(data).shape == Y.shape
    for k in range(3):
        alone = clone(model).fit(data, Y[:, k])
        np.testing.assert_allclose(model.coef_[k], alone.coef_, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(model.predict(data)[:, k], alone.predict(data), rtol=1e-10)
    assert model.score(data, Y) == pytest.approx(sklearn.metrics.r2_score(Y, model.predict(data)))


def test_one_column_of_targets_is_flattened_with_a_warning(X, raw):
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        model = fastgd.SGDRegressor(**QUICK).fit(X, raw[:, None])
    alone = fastgd.SGDRegressor(**QUICK).fit(X, raw)
    assert model.predict(X).shape == (120,)
    np.testing.assert_array_equal(model.coef_, alone.coef_)


@pytest.mark.parametrize(
    "model",
    [
        fastgd.SGDClassifier(random_state=0),
        fastgd.RidgeClassifier(),
        RidgeClassifierCV(),
        MLPClassifier((4,), max_iter=3, tol=None, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_sparse_table_of_labels_is_a_table_of_labels(model, X):
    Y = (X[:, :3] > 0.3).astype(int)
    dense, sparse = clone(model).fit(X, Y), clone(model).fit(X, sp.csr_array(Y))
    np.testing.assert_array_equal(sparse.predict(X), dense.predict(X))
    assert sparse.predict(X).shape == Y.shape


@pytest.mark.parametrize("model", [fastgd.SGDClassifier(), MLPClassifier((4,))])
def test_a_sparse_table_of_labels_is_one_in_later_calls_too(model, X):
    Y = (X[:, :3] > 0.3).astype(int)
    model = clone(model).set_params(**QUICK, early_stopping=True)
    found = []
    for labels in (Y, sp.csr_array(Y)):
        judged = clone(model).fit(X, labels, X_val=X, y_val=labels)
        going_on = clone(model).set_params(early_stopping=False)
        going_on.partial_fit(X, labels, classes=[0, 1, 2]).partial_fit(X, labels)
        assert judged.score(X, labels) == judged.score(X, Y)
        found.append((judged.predict(X), going_on.predict(X)))
    np.testing.assert_array_equal(found[0], found[1])


@over_product(
    lambda loss, *_: loss == "log_loss",
    loss=["hinge", "log_loss", "squared_error"],
    sparse=[False, True],
)
def test_labels_of_a_table_are_each_as_if_alone(loss, sparse, X):
    Y = (X[:, :3] > 0.3).astype(int)
    data = sp.csr_array(X) if sparse else X
    kwargs = {"learning_rate": "constant", **QUICK}
    model = fastgd.SGDClassifier(loss, **kwargs).fit(data, sp.csr_array(Y) if sparse else Y)
    np.testing.assert_array_equal(model.classes_, [0, 1, 2])
    predicted = model.predict(data)
    assert set(np.unique(predicted)) <= {0, 1}
    for k in range(3):
        alone = clone(model).fit(data, Y[:, k])
        np.testing.assert_allclose(model.coef_[k], alone.coef_[0], rtol=1e-10, atol=1e-13)
        np.testing.assert_array_equal(predicted[:, k], alone.predict(data))
        if loss == "log_loss":
            expected = alone.predict_proba(data)[:, 1]
            np.testing.assert_allclose(model.predict_proba(data)[:, k], expected, rtol=1e-9)
    assert model.score(data, Y) == np.mean((predicted == Y).all(axis=1))


def test_tables_of_labels_go_on_without_naming_classes(X):
    Y = (X[:, :3] > 0).astype(int)
    model = fastgd.SGDClassifier(random_state=0).partial_fit(X, Y).partial_fit(X, Y)
    once = fastgd.SGDClassifier(random_state=0).partial_fit(X, Y, classes=range(3), max_iter=2)
    np.testing.assert_array_equal(model.coef_, once.coef_)


@pytest.mark.parametrize(
    ("kwargs", "Y", "message"),
    [
        ({"class_weight": "balanced"}, [[0, 1], [1, 0], [1, 1]], "class_weight is for one label"),
        ({"multi_class": "multinomial", "loss": "log_loss"}, [[0, 1], [1, 0], [1, 1]], "one label"),
        ({}, [[1, 2], [2, 1], [2, 2]], "of zeros and ones; got"),
        ({"loss": Softmax(0.1)}, [0, 1, 0], "more than two classes"),
    ],
)
def test_what_has_no_meaning_for_these_labels_is_refused(kwargs, Y, message):
    with pytest.raises(ValueError, match=message):
        fastgd.SGDClassifier(**kwargs).fit(np.eye(3), np.array(Y))


def test_later_calls_must_have_targets_of_the_same_shape(X, raw):
    labels = fastgd.SGDClassifier().partial_fit(X, (X[:, :3] > 0).astype(int))
    with pytest.raises(ValueError, match="the first call had a table of 3 labels"):
        labels.partial_fit(X, (X[:, :2] > 0).astype(int))
    numbers = fastgd.SGDRegressor().partial_fit(X, np.c_[raw, raw])
    with pytest.raises(ValueError, match=r"the first call had 2 target\(s\) a row"):
        numbers.partial_fit(X, raw)


@over_product(lambda sparse: not sparse, sparse=[False, True])
def test_one_versus_rest_takes_regression_losses(sparse, X, raw):
    y, data = np.digitize(raw, [-1, 1]), sp.csr_array(X) if sparse else X
    kwargs = {"loss": "squared_error", "alpha": 0.1, "fit_intercept": False, **PLAIN}
    theirs = linear_model.SGDClassifier(**kwargs).fit(data, y)
    np.testing.assert_allclose(fastgd.SGDClassifier(**kwargs).fit(data, y).coef_, theirs.coef_)


@pytest.mark.full
def test_softened_labels_and_focal_loss_learn():
    X, y = load_digits(return_X_y=True)
    kwargs = {**QUICK, "optimizer": "adam", "batch_size": 32, "max_iter": 20}
    for loss in (Softmax(label_smoothing=0.1), Focal(gamma=1.0)):
        model = fastgd.SGDClassifier(loss, **kwargs).fit(X / 16, y)
        assert model.score(X / 16, y) > 0.93
        np.testing.assert_allclose(model.predict_proba(X / 16).sum(axis=1), 1.0)


# -- the one-class SVM ----


@pytest.mark.parametrize("learning_rate", ["optimal", "constant", "invscaling", "adaptive"])
@pytest.mark.parametrize("average", [False, True, 300])
def test_one_class_coefficients_are_scikit_learns(learning_rate, average, X):
    kwargs = {"nu": 0.2, "learning_rate": learning_rate, "average": average, **PLAIN}
    ours, theirs = fastgd.SGDOneClassSVM(**kwargs), linear_model.SGDOneClassSVM(**kwargs)
    for model in (ours, theirs):
        model.fit(X, coef_init=np.full(6, 0.1), offset_init=np.array([0.5]))
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(ours.offset_, theirs.offset_, rtol=1e-10)
    assert (ours.t_, ours.n_iter_) == (theirs.t_, theirs.n_iter_)
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), rtol=1e-9)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def test_one_class_stops_where_scikit_learns_does(X):
    kwargs = {"nu": 0.2, "shuffle": False}
    ours, theirs = (kind(**kwargs).fit(X) for kind in (KINDS[2], linear_model.SGDOneClassSVM))
    assert 1 < ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)


@over_product(
    lambda optimizer, sparse: optimizer == "sgd" and not sparse,
    optimizer=["sgd", "momentum", "adam"],
    sparse=[False, True],
)
def test_one_class_holds_its_share_of_outliers_on_batches(optimizer, sparse, X):
    kwargs = {"nu": 0.2, "batch_size": 16, "optimizer": optimizer, "max_iter": 1000}
    kwargs |= {"learning_rate": "constant", "eta0": 0.002, "random_state": 0, "tol": None}
    shifted = X + 3.0
    model = fastgd.SGDOneClassSVM(**kwargs).fit(shifted)
    assert 0 < np.mean(model.predict(shifted) == -1) <= 0.25  # nu bounds it from above
    if sparse and optimizer != "adam":
        of_csr = clone(model).fit(sp.csr_array(shifted))
        np.testing.assert_allclose(of_csr.coef_, model.coef_, rtol=1e-8)


# -- rows of one's own to stop by ----


@over_product(
    lambda model, sparse: not sparse or str(model) == "SGDRegressor()",
    model=[
        fastgd.SGDClassifier("hinge"),
        fastgd.SGDClassifier("log_loss"),
        fastgd.SGDClassifier("hinge", multi_class="ovr"),
        fastgd.SGDRegressor(),
        fastgd.SGDRegressor("poisson"),
    ],
    sparse=[False, True],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_score_on_given_rows_stops_training_and_the_best_is_kept(
    model, weighted, sparse, X, raw, rng
):
    y = np.digitize(raw, [-1, 1]) if hasattr(model, "multi_class") else np.exp(0.3 * raw)
    X = sp.csr_array(X) if sparse else X
    weight = rng.random(40) if weighted else None
    model = clone(model).set_params(random_state=0)
    model.fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:], sample_weight_val=weight)
    scores = model.history_["validation_score"]
    assert model.n_iter_ == len(scores) < 1000
    assert model.score(X[80:], y[80:], sample_weight=weight) == pytest.approx(max(scores))
    # nothing of the training rows was held out
    shorter = clone(model).set_params(max_iter=int(np.argmax(scores)) + 1, tol=None)
    np.testing.assert_allclose(shorter.fit(X[:80], y[:80]).coef_, model.coef_, rtol=1e-9)


@over_product(
    lambda loss, n_classes: loss == "log_loss" or (loss, n_classes) == ("hinge", 2),
    loss=["hinge", "log_loss", "modified_huber", "squared_error"],
    n_classes=[2, 3],
)
def test_the_score_on_rows_held_out_is_that_of_the_model(loss, n_classes, X, raw):
    y = np.digitize(raw, [-1, 1][: n_classes - 1])
    kwargs = {"early_stopping": True, "random_state": 0, "validation_fraction": 0.25}
    kwargs |= {"learning_rate": "constant"}
    model = fastgd.SGDClassifier(loss, **kwargs).fit(X, y)
    split = sklearn.model_selection.StratifiedShuffleSplit(test_size=0.25, random_state=0)
    _, held_out = next(split.split(X, y))
    assert model.score(X[held_out], y[held_out]) == max(model.history_["validation_score"])


def test_given_rows_go_through_a_pipeline(X, raw):
    y = (raw > 0).astype(int)
    with sklearn.config_context(enable_metadata_routing=True):
        final = fastgd.SGDClassifier(random_state=0).set_fit_request(X_val=True, y_val=True)
        model = make_pipeline(StandardScaler(), final)
        model.set_params(transform_input=["X_val"])
        model.fit(1000 * X[:80], y[:80], X_val=1000 * X[80:], y_val=y[80:])
    assert model.score(1000 * X[80:], y[80:]) == max(final.history_["validation_score"])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"X_val": np.eye(6)}, "X_val is provided, but y_val was not provided"),
        ({"y_val": np.zeros(6)}, "y_val is provided, but X_val was not provided"),
        ({"X_val": np.eye(6), "y_val": np.zeros(5)}, "inconsistent numbers of samples"),
        ({"X_val": np.eye(5), "y_val": np.zeros(5)}, "5 features, but SGDClassifier is expecting"),
        ({"X_val": np.eye(6), "y_val": np.full(6, 7)}, r"not among the classes: \[7"),
    ],
)
def test_unfit_rows_to_stop_by_are_refused(kwargs, message, X, raw):
    with pytest.raises(ValueError, match=message):
        fastgd.SGDClassifier().fit(X, raw > 0, **kwargs)


# -- state between calls ----


@pytest.mark.parametrize(
    "kind", [KINDS[0], *(pytest.param(kind, marks=pytest.mark.thorough) for kind in KINDS[1:])]
)
@over_product(
    lambda kwargs, sparse: (
        sparse == ("batch_size" in kwargs) and kwargs.get("learning_rate") != "adaptive"
    ),
    kwargs=[
        {"optimizer": "adam", "batch_size": 7, "learning_rate": "cosine"},
        {"optimizer": "momentum", "average": 30},
        {"learning_rate": "adaptive", "average": True, "batch_size": 3},
        {"learning_rate": Cosine(eta0=0.1, length=7), "shuffle": False},
    ],
    sparse=[False, True],
)
def test_pickling_between_calls_changes_nothing(kind, kwargs, sparse, X, raw):
    X = sp.csr_array(X) if sparse else X
    y = targets(kind, raw)
    more = {"classes": [0, 1]} if kind is fastgd.SGDClassifier else {}
    kwargs = {**of_kind(kind), **kwargs}
    straight, pickled = (kind(random_state=5, **kwargs) for _ in range(2))
    straight.partial_fit(X, y, max_iter=5, **more)
    pickled.partial_fit(X, y, max_iter=2, **more)
    pickled = pickle.loads(pickle.dumps(pickled))
    pickled = copy.deepcopy(pickled.partial_fit(X, y))
    stream = io.BytesIO()
    joblib.dump(pickled, stream)
    stream.seek(0)
    pickled = joblib.load(stream).partial_fit(X, y, max_iter=2)
    np.testing.assert_array_equal(parameters(pickled), parameters(straight))
    assert pickled.t_ == straight.t_
    assert len(pickled.history_["objective"]) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_call_leaves_the_model_as_it_was(kind, X, raw):
    y = targets(kind, raw)
    model = kind(**QUICK).fit(X, y)
    before = pickle.dumps(model)
    for call in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="NaN"):
            call(np.where(X > 2, np.nan, X), y)
        assert pickle.dumps(model) == before
    model.set_params(learning_rate="constant", eta0=1e300)
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match="overflow occurred"):
        model.fit(1e200 * X, y)
    assert pickle.dumps(model) == before


@pytest.mark.parametrize("bad", [0, -1, 2.5, "3"])
def test_partial_fit_takes_whole_epochs(bad, X, raw):
    with pytest.raises(ValueError, match="max_iter must be an integer >= 1"):
        fastgd.SGDRegressor().partial_fit(X, raw, max_iter=bad)


# -- memory ----


@over_product(
    lambda kind, dtype: dtype is np.float64,  # noqa: ARG005
    kind=KINDS,
    dtype=[np.float32, np.float64],
)
def test_memory_maps_and_frozen_arrays_are_used_as_they_are(kind, dtype, X, raw, tmp_path):
    y = targets(kind, raw)
    np.save(tmp_path / "X.npy", X.astype(dtype))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    frozen = sp.csr_array(X.astype(dtype))
    for part in (frozen.data, frozen.indices, frozen.indptr):
        part.flags.writeable = False
    expected = kind(**QUICK).fit(X.astype(dtype), y)
    for data in (mapped, frozen):
        model = kind(**QUICK).fit(data, y)
        np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("layout", ["F", "strided", "reversed"])
def test_other_layouts_are_copied_once_and_mean_the_same(layout, X, raw):
    data = {
        "F": np.asfortranarray(X),
        "strided": np.repeat(X, 2, axis=1)[:, ::2],
        "reversed": X[::-1].copy()[::-1],
    }[layout]
    expected = fastgd.SGDRegressor(**QUICK).fit(X, raw)
    np.testing.assert_array_equal(fastgd.SGDRegressor(**QUICK).fit(data, raw).coef_, expected.coef_)


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_sparse_rows_of_any_index_and_format(index, X, raw):
    expected = fastgd.SGDRegressor(**QUICK).fit(sp.csr_array(X), raw)
    rows = sp.csr_array(X)
    rows.indices, rows.indptr = rows.indices.astype(index), rows.indptr.astype(index)
    for data in (rows, sp.csc_matrix(X), sp.coo_array(X)):
        model = fastgd.SGDRegressor(**QUICK).fit(data, raw)
        np.testing.assert_array_equal(model.coef_, expected.coef_)


# -- data frames, routing, representation ----


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames(library, X, raw):
    frames = pytest.importorskip(library)
    names = [f"column {k}" for k in range(6)]
    frame = frames.DataFrame({name: X[:, k] for k, name in enumerate(names)})
    y = frames.Series(["yes" if value > 0 else "no" for value in raw])
    model = fastgd.SGDClassifier(**QUICK).fit(frame, y)
    np.testing.assert_array_equal(model.feature_names_in_, names)
    np.testing.assert_array_equal(
        model.coef_, fastgd.SGDClassifier(**QUICK).fit(X, np.asarray(y)).coef_
    )
    assert set(model.predict(frame)) == {"yes", "no"}
    with pytest.raises(ValueError, match="feature names"):
        model.predict(
            frame.rename(columns={names[0]: "other"})
            if library == "pandas"
            else frame.rename({names[0]: "other"})
        )


@pytest.mark.parametrize("kind", KINDS)
def test_representation_tags_and_routing(kind):
    model = kind()
    theirs = getattr(linear_model, kind.__name__)()
    assert kind.__name__ in model._repr_html_()
    ours, expected = model.__sklearn_tags__(), theirs.__sklearn_tags__()
    assert ours.estimator_type == expected.estimator_type
    assert ours.input_tags == expected.input_tags
    with sklearn.config_context(enable_metadata_routing=True):
        for method in ("fit", "partial_fit", "score"):
            if hasattr(theirs, f"set_{method}_request"):
                getattr(model, f"set_{method}_request")(sample_weight=True)
        requests = model.get_metadata_routing()
    assert requests.fit.requests["sample_weight"] is True


def test_a_label_that_was_not_announced_is_named(X, raw):
    model = fastgd.SGDClassifier().partial_fit(X, np.where(raw > 0, "a", "b"), classes=["a", "b"])
    with pytest.raises(ValueError, match=r"not among the classes: \['c'\]"):
        model.partial_fit(X, np.full(120, "c"))
    with pytest.raises(ValueError, match="not the same as on last call"):
        model.partial_fit(X, np.full(120, "a"), classes=["a", "c"])


# -- divergence and monitoring ----


def test_a_start_beyond_what_counts_as_an_explosion_is_none(X, raw):
    model = fastgd.SGDRegressor(max_iter=2, tol=None, random_state=0)
    model.fit(X, raw, coef_init=np.full(X.shape[1], 1e80))
    assert 1e100 < model.history_["objective"][0] < np.inf


def test_divergence_is_reported_with_what_to_do(X, raw):
    names = [f"column {k}" for k in range(6)]
    scales = [1.0, 1.0, 1e9, 1.0, 1.0, 1.0]
    frame = pd.DataFrame(X * scales, columns=names)
    model = fastgd.SGDRegressor(eta0=1e3, learning_rate="constant", max_iter=100)
    with pytest.raises(
        ValueError, match="Floating-point under-/overflow occurred at epoch"
    ) as seen:
        model.fit(frame * 1e120, raw)
    for part in ("learning rate was", "step", "'column 2'", "StandardScaler", "backoff"):
        assert part in str(seen.value)
    assert str(pickle.loads(pickle.dumps(seen.value))).startswith("Floating-point")


@pytest.mark.parametrize("learning_rate", ["constant", "adaptive"])
def test_backoff_ends_where_there_is_nothing_to_learn(learning_rate, X, rng):
    kwargs = {"on_divergence": "backoff", "eta0": 5.0, "learning_rate": learning_rate}
    y = np.sort(rng.normal(size=120))  # the first rows are not like the others
    model = fastgd.SGDRegressor(random_state=0, **kwargs).fit(X, y)
    assert model.history_["objective"][-1] < 1.1 * 0.5 * np.mean(y**2)
    assert 1 <= model.history_["backoffs"][-1] < 20
    assert model.history_["learning_rate"][-1] < 5.0
    assert (learning_rate == "adaptive") == (model._progress.course is not None)


@over_product(
    lambda sparse, optimizer: not sparse and optimizer == "sgd",
    sparse=[False, True],
    optimizer=["sgd", "momentum"],
)
def test_backoff_finds_a_rate_that_works(optimizer, sparse, X, raw):
    X = sp.csr_array(X) if sparse else X
    kwargs = {"eta0": 1e4, "learning_rate": "constant", "batch_size": 8, "optimizer": optimizer}
    model = fastgd.SGDRegressor(on_divergence="backoff", random_state=0, **kwargs).fit(X, raw)
    assert model.score(X, raw) > 0.99
    history = model.history_
    assert history["backoffs"][-1] >= 1
    assert history["learning_rate"][-1] == pytest.approx(1e4 * 0.25 ** history["backoffs"][-1])


def test_warn_stops_at_the_last_good_epoch(X, raw):
    kwargs = {"eta0": 1e160, "learning_rate": "constant", "random_state": 0}
    model = fastgd.SGDRegressor(on_divergence="warn", **kwargs)
    with pytest.warns(ConvergenceWarning, match=r"overflow occurred.*of the best epoch"):
        model.fit(X, raw)
    assert np.isfinite(model.coef_).all()


def test_a_risen_objective_is_reported(X, raw):
    with pytest.warns(ConvergenceWarning, match="The objective rose from"):
        fastgd.SGDRegressor(eta0=1.0, learning_rate="constant", **QUICK).fit(10 * X, raw)


def test_an_objective_that_was_large_for_a_while_is_not_reported():
    """The first step goes far beyond the target, and all others halve the distance."""
    X, y = np.ones((400, 1)), np.ones(400)
    params = {"learning_rate": lambda t: np.where(t > 1, 0.5, 5e3), "max_iter": 1, "tol": None}
    model = fastgd.SGDRegressor(fit_intercept=False, alpha=0.0, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y)
    assert model.history_["objective"][0] > 1e4
    np.testing.assert_allclose(model.coef_, 1.0)


@over_product(
    lambda penalty, sparse: sparse == (penalty == "l2"),
    penalty=["l2", "l1"],
    sparse=[False, True],
)
def test_monitor_notes_the_true_objective_and_its_gradient(penalty, sparse, X, raw):
    data = sp.csr_array(X) if sparse else X
    kwargs = {"penalty": penalty, "alpha": 0.1, "monitor": True, "random_state": 0}
    model = fastgd.SGDRegressor(max_iter=400, tol=None, eta0=0.05, **kwargs).fit(data, raw)
    w, residual = model.coef_, X @ model.coef_ + model.intercept_ - raw
    cost = 0.05 * w @ w if penalty == "l2" else 0.1 * np.abs(w).sum()
    assert model.history_["true_objective"][-1] == pytest.approx(residual @ residual / 240 + cost)
    norms = model.history_["gradient_norm"]
    assert norms[-1] < 0.05 * norms[0]
    if penalty == "l2":
        gradient = np.append(X.T @ residual / 120 + 0.1 * w, residual.mean())
        assert norms[-1] == pytest.approx(np.linalg.norm(gradient), rel=1e-6)


@pytest.mark.full
def test_monitor_under_factors_of_each_feature_and_many_outputs(X, raw):
    factors = np.array([0.0, 1.0, 2.0, 3.0, 0.5, 10.0])
    penalty = Weighted(l1=0.0, l2=0.5, factors=factors)
    Y = np.c_[raw, -0.5 * raw]
    model = fastgd.SGDRegressor(penalty=penalty, monitor=True, eta0=0.01, **QUICK).fit(X, Y)
    residual = X @ model.coef_.T + model.intercept_ - Y
    gradient = X.T @ residual / 120 + 0.5 * factors[:, None] * model.coef_.T
    expected = np.append(gradient, residual.mean(axis=0))
    assert model.history_["gradient_norm"][-1] == pytest.approx(np.linalg.norm(expected))
    cost = 0.25 * np.sum(factors[:, None] * model.coef_.T**2)
    total = np.sum(residual**2) / 240 + cost
    assert model.history_["true_objective"][-1] == pytest.approx(total)


def test_history_has_an_entry_of_each_kind_for_each_epoch(X, raw):
    model = fastgd.SGDRegressor(**QUICK).fit(X, raw)
    history = model.history_
    assert {len(values) for values in history.values()} == {5}
    assert history["samples"] == [120.0, 240.0, 360.0, 480.0, 600.0]
    assert history["coef_norm"][-1] == pytest.approx(np.linalg.norm(model.coef_))
    first = fastgd.SGDRegressor(**{**QUICK, "max_iter": 1}).fit(X, raw)
    assert history["update_norm"][0] == pytest.approx(np.linalg.norm(parameters(first)))
    for loss, penalty, total in zip(
        history["loss"], history["penalty"], history["objective"], strict=True
    ):
        assert loss + penalty == pytest.approx(total)


@over_product(
    lambda kind, sparse: kind is fastgd.SGDClassifier and not sparse,
    kind=KINDS,
    sparse=[False, True],
)
def test_clipping_limits_gradients_and_reports_how_often(kind, sparse, X, raw):
    data, y = 1e3 * (sp.csr_array(X) if sparse else X), targets(kind, raw)
    kwargs = {**QUICK, **of_kind(kind), "learning_rate": "constant", "eta0": 1e-3}
    model = kind(clip_norm=1.0, **kwargs).fit(data, y)
    assert 0.0 < model.history_["clipped"][0] <= 1.0
    # no step was longer than the rate times the bound, but for the pull of the one-class SVM
    assert model.history_["update_norm"][0] <= 120 * 1e-3 * 1.6
    assert kind(clip_value=1e12, **kwargs).fit(data / 1e3, y).history_["clipped"] == [0.0] * 5


@over_product(
    lambda penalty, sparse: not sparse,  # noqa: ARG005
    penalty=[None, "l2", "elasticnet"],
    sparse=[False, True],
)
def test_coefficients_are_kept_positive(penalty, sparse, X, raw):
    data = sp.csr_array(X) if sparse else X
    kwargs = {"penalty": penalty, "alpha": 1e-3, "learning_rate": "adaptive", "random_state": 0}
    model = fastgd.SGDRegressor(positive=True, **kwargs).fit(data, raw)
    assert (model.coef_ >= 0).all()
    assert (model.coef_ == 0).any()
    best = fastgd.LinearRegression(positive=True).fit(X, raw)
    np.testing.assert_allclose(model.coef_, best.coef_, atol=0.05)
    with pytest.raises(ValueError, match="Bounded"):
        fastgd.SGDRegressor(positive=True, penalty=MaxNorm(1.0)).fit(X, raw)


@over_product(
    lambda quantize: quantize in (4, "qsgd", "topk"),
    quantize=[4, "qsgd", "terngrad", "sign", "topk"],
)
def test_quantized_gradients_learn_and_resume(quantize, X, raw):
    kwargs = {"quantize": quantize, "batch_size": 8, "random_state": 0, "eta0": 0.02}
    kwargs |= {"loss": "log_loss", "learning_rate": "constant"}
    y = targets(fastgd.SGDClassifier, raw)
    model = fastgd.SGDClassifier(**kwargs).partial_fit(X, y, [0, 1], max_iter=60)
    parts = fastgd.SGDClassifier(**kwargs).partial_fit(X, y, [0, 1], max_iter=20)
    parts = pickle.loads(pickle.dumps(parts)).partial_fit(X, y, max_iter=40)
    np.testing.assert_array_equal(model.coef_, parts.coef_)
    assert model.score(X, y) > 0.9


# -- odds and ends ----


def test_negative_power_t_warns_as_scikit_learns_does(X, raw):
    with pytest.warns(FutureWarning, match="Negative values for `power_t` are deprecated"):
        fastgd.SGDRegressor(power_t=-0.1, eta0=1e-4, **QUICK).fit(X, raw)


@pytest.mark.parametrize("average", [1, 60, 121, 10_000])
def test_averages_are_true_means_of_the_iterates_under_any_penalty(average, X, raw):
    """scikit-learn's average under l1 is of iterates that it has not shrunk yet."""
    kwargs = {"penalty": "l1", "alpha": 0.05, "shuffle": False, "learning_rate": "constant"}
    iterates, model = [], fastgd.SGDRegressor(**kwargs)
    for i in range(120):
        model.partial_fit(X[i : i + 1], raw[i : i + 1])
        iterates.append(parameters(model))
    averaged = fastgd.SGDRegressor(average=average, **kwargs).partial_fit(X, raw)
    expected = np.mean(iterates[average - 1 :], axis=0) if average <= 120 else iterates[-1]
    np.testing.assert_allclose(parameters(averaged), expected, rtol=1e-10, atol=1e-14)


def test_the_rate_decays_over_calls(X, raw):
    model = fastgd.SGDRegressor(learning_rate="invscaling", eta0=0.1, power_t=0.5)
    for _ in range(3):
        model.partial_fit(X, raw)
    steps = np.array([120.0, 240.0, 360.0])
    np.testing.assert_allclose(model.history_["learning_rate"], 0.1 / np.sqrt(steps))


def test_the_objective_counts_weights(X, raw):
    heavy = fastgd.SGDRegressor(**PLAIN, eta0=1e-12).fit(X, raw, sample_weight=np.full(120, 1e3))
    light = fastgd.SGDRegressor(**PLAIN, eta0=1e-12).fit(X, raw)
    assert heavy.history_["loss"][0] == pytest.approx(1e3 * light.history_["loss"][0])


def test_eta0_is_obeyed_with_any_optimizer(X, raw):
    own = fastgd.SGDRegressor(optimizer="adam", **QUICK).fit(X, raw)
    set_ = fastgd.SGDRegressor(optimizer="adam", eta0=0.5, **QUICK).fit(X, raw)
    assert own.history_["learning_rate"] == [0.001] * 5
    assert set_.history_["learning_rate"] == [0.5] * 5


def test_a_loss_and_its_name_are_the_same(X, raw):
    y = np.digitize(raw, [-1, 1])
    models = [fastgd.SGDClassifier(loss, **QUICK).fit(X, y) for loss in ("log_loss", LogLoss())]
    np.testing.assert_array_equal(models[0].coef_, models[1].coef_)


class Absolute(NamedTuple):
    """A loss of one's own that says nothing but value and gradient."""

    scale: float = 1.0

    @staticmethod
    def value(loss, y_true, raw):
        return loss.scale * abs(raw - y_true)

    @staticmethod
    def gradient(loss, y_true, raw):
        return loss.scale if raw > y_true else -loss.scale


@over_product(lambda kind: kind == "targets", kind=["targets", "classes", "optimal"])
def test_a_loss_of_ones_own_goes_anywhere(kind, X, raw):
    kwargs = {"learning_rate": "constant", **QUICK, "max_iter": 30}
    if kind == "targets":
        Y = np.c_[raw, -raw]
        assert fastgd.SGDRegressor(Absolute(), **kwargs).fit(X, Y).score(X, Y) > 0.8
    elif kind == "classes":
        y = np.digitize(raw, [-1, 1])
        assert fastgd.SGDClassifier(Absolute(), **kwargs).fit(X, y).score(X, y) > 0.6
    else:
        optimal = fastgd.SGDClassifier(Absolute(), **QUICK).fit(X, raw > 0)
        assert np.isfinite(optimal.coef_).all()


def test_histories_stay_aligned_and_are_not_shared(X, raw):
    model = fastgd.SGDRegressor(random_state=0).partial_fit(X, raw, max_iter=2)
    kept, copied = model.history_, copy.copy(model)
    copied.set_params(monitor=True).partial_fit(X, raw)
    assert len(kept["objective"]) == len(model.history_["objective"]) == 2
    frame = pd.DataFrame(copied.history_)
    assert len(frame) == 3
    assert frame["true_objective"].isna().tolist() == [True, True, False]


def test_a_failed_call_leaves_the_history(X, raw):
    model = fastgd.SGDRegressor(random_state=0).partial_fit(X, raw, max_iter=2)
    with pytest.raises(ValueError, match="overflow occurred"):
        model.set_params(eta0=1e300, learning_rate="constant").partial_fit(1e200 * X, raw)
    assert len(model.history_["objective"]) == 2


def test_no_warning_comes_from_an_ordinary_fit(X, raw):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models = [kind(random_state=0).fit(X, targets(kind, raw)) for kind in KINDS]
    assert all(1 < model.n_iter_ < model.max_iter for model in models)


@pytest.mark.parametrize("targets", ["one", "many"])
def test_the_best_average_is_what_it_was(targets):
    """Of an average that goes on after the best epoch, the mean is kept, not the sum."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = X @ [1.0, 2.0, -1.0] + rng.normal(size=200)
    y = y if targets == "one" else np.column_stack([y, -y])
    held_out = {"X_val": X[:50], "y_val": y[:50]}
    kwargs = {"average": True, "eta0": 0.3, "learning_rate": "constant", "tol": 1e-3}
    model = fastgd.SGDRegressor(max_iter=30, random_state=0, **kwargs).fit(
        X[50:], y[50:], **held_out
    )
    scores = model.history_["validation_score"]
    best = int(np.argmax(scores))
    assert best < len(scores) - 1  # else nothing was put back
    kwargs["tol"] = None
    until_then = fastgd.SGDRegressor(max_iter=best + 1, random_state=0, **kwargs)
    until_then.fit(X[50:], y[50:])
    np.testing.assert_allclose(model.coef_, until_then.coef_, rtol=1e-12)
    assert model.score(X[:50], y[:50]) == pytest.approx(max(scores))
