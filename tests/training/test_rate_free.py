"""``learning_rate="auto"``: steps that need no rate."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from fastgd import LogisticRegression, SGDClassifier, SGDRegressor
from fastgd._training.progress import Progress, spare_of
from fastgd.kernels.penalties import MaxNorm, Weighted
from fastgd.neural_network import MLPClassifier
from fastgd.optimizers import Prodigy
from tests import naive

AUTO = {"learning_rate": "auto", "shuffle": False, "tol": None}


@pytest.fixture(scope="module")
def table():
    """Rows of columns in units from 1e-3 to 1e4, one of them far from zero, and their targets."""
    random = np.random.default_rng(3)
    X = random.normal(size=(60, 6)) * 10.0 ** np.array([-3, -1, 0, 1, 3, 4])
    X[:, 2] += 40.0
    X[:, 5] = random.lognormal(size=60) * 1e4
    X[random.random((60, 6)) < 0.3] = 0.0
    z = X / X.std(0) @ random.normal(size=6)
    return X, (z > np.median(z)).astype(int), 1e6 * (z + 3.0)


def trained(X, Y, loss, unit, batch_size, penalty, **kwargs):
    """The coefficients and intercepts after one pass, in plain numpy."""
    model = naive.RateFree(
        loss, unit, not sp.issparse(X), (X.shape[1] + 1, Y.shape[1]), penalty=penalty, **kwargs
    )
    rows = X.toarray() if sp.issparse(X) else X
    for start in range(0, len(rows), batch_size):
        model.step(rows[start : start + batch_size], Y[start : start + batch_size])
    return model.mean_coef.T, model.mean_intercept


def assert_same(model, expected):
    coef, intercept = expected
    np.testing.assert_allclose(np.atleast_2d(model.coef_), coef, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(model.intercept_, intercept, rtol=1e-8)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_dense_rows_of_two_classes(table, batch_size):
    X, y, _ = table
    model = SGDClassifier("log_loss", alpha=0.01, max_iter=1, batch_size=batch_size, **AUTO)
    targets = 1.0 * y[:, None]
    penalty = naive.ElasticNet(0.0, 0.01)
    window = 600.0 / batch_size
    expected = trained(X, targets, naive.log_loss(), "loss", batch_size, penalty, window=window)
    assert_same(model.fit(X, y), expected)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_sparse_rows_of_two_classes(table, batch_size):
    X, y, _ = table
    X = sp.csr_matrix(X)
    model = SGDClassifier("log_loss", alpha=0.0, max_iter=1, batch_size=batch_size, **AUTO)
    targets = 1.0 * y[:, None]
    penalty = naive.ElasticNet(0.0, 0.0)
    window = 600.0 / batch_size
    expected = trained(X, targets, naive.log_loss(), "loss", batch_size, penalty, window=window)
    assert_same(model.fit(X, y), expected)


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_the_intercept_has_a_rate_of_its_own(table, layout, batch_size):
    X, y, _ = table
    own = {"intercept_rate": 0.1}
    model = SGDClassifier("log_loss", alpha=0.0, max_iter=1, batch_size=batch_size, **AUTO, **own)
    penalty, kwargs = naive.ElasticNet(0.0, 0.0), {"window": 600.0 / batch_size, **own}
    targets, X = 1.0 * y[:, None], layout(X)
    expected = trained(X, targets, naive.log_loss(), "loss", batch_size, penalty, **kwargs)
    assert_same(model.fit(X, y), expected)


def test_a_penalty_on_sparse_rows_is_made_up_for(table):
    X, y, _ = table
    sparse = SGDClassifier("log_loss", alpha=0.01, max_iter=20, **AUTO).fit(sp.csr_matrix(X), y)
    free = SGDClassifier("log_loss", alpha=0.0, max_iter=20, **AUTO).fit(sp.csr_matrix(X), y)
    scale = X.std(0)
    assert np.linalg.norm(sparse.coef_ * scale) < 0.9 * np.linalg.norm(free.coef_ * scale)
    assert sparse.score(X, y) > 0.7


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("unit", [1e-3, 1e-7])
def test_a_small_value_that_is_seen_once_is_penalised(layout, unit):
    """Its step alone would be as long as the loss asks for, and the average would remember it."""
    random = np.random.default_rng(0)
    X = np.c_[random.normal(size=(200, 4)), np.zeros(200)]
    X[150, 4] = unit
    y = X[:, 0] + 0.1 * random.normal(size=200)
    y[150] += 3.0
    optimum = 3.0 * unit / 200 / (1e-4 + unit**2 / 200)
    for n_epochs in (1, 40):
        model = SGDRegressor(learning_rate="auto", random_state=0, max_iter=n_epochs, tol=None)
        assert 0 < model.fit(layout(X), y).coef_[4] < 2 * optimum


@pytest.mark.parametrize("batch_size", [pytest.param(1, marks=pytest.mark.full), 4])
def test_targets_of_any_size(table, batch_size):
    X, _, y = table
    model = SGDRegressor(alpha=1e-3, max_iter=1, batch_size=batch_size, **AUTO).fit(X, y)
    penalty, kwargs = naive.ElasticNet(0.0, 1e-3), {"rate": 1.2, "window": 600.0 / batch_size}
    expected = trained(
        X, y[:, None], naive.squared_error(), "targets", batch_size, penalty, **kwargs
    )
    assert_same(model, expected)


@pytest.mark.full
@pytest.mark.parametrize("is_sparse", [False, True])
def test_a_softmax_has_one_unit(table, is_sparse):
    X, y, target = table
    y = y + (target > np.quantile(target, 0.8))
    X = sp.csr_matrix(X) if is_sparse else X
    model = SGDClassifier("log_loss", alpha=0.0, max_iter=1, **AUTO).fit(X, y)
    penalty = naive.ElasticNet(0.0, 0.0)
    assert_same(model, trained(X, np.eye(3)[y], None, "row", 1, penalty))


@pytest.mark.full
def test_a_loss_that_is_zero_at_the_start_has_a_unit(table):
    X, y, _ = table
    model = SGDClassifier("perceptron", alpha=0.0, max_iter=5, **AUTO).fit(X, y)
    assert model.coef_.any()
    assert model.score(X, y) > 0.7


@pytest.mark.full
def test_each_class_of_one_against_the_rest_is_a_binary_problem(table):
    X, y, target = table
    y = y + (target > np.quantile(target, 0.8))
    kwargs = {"loss": "log_loss", "alpha": 0.01, "max_iter": 2, **AUTO}
    model = SGDClassifier(multi_class="ovr", batch_size=5, **kwargs).fit(X, y)
    for k in range(3):
        alone = SGDClassifier(batch_size=5, **kwargs).fit(X, y == k)
        # N and s are the same; so each column is what it would be alone
        np.testing.assert_allclose(model.coef_[k], alone.coef_[0], rtol=1e-9)


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_matrix])
def test_units_of_columns_do_not_matter(table, layout):
    X, y, _ = table
    units = 2.0 ** np.array([-30, 20, 5, 0, 12, -7])
    model = SGDClassifier("log_loss", alpha=0.0, max_iter=3, **AUTO)
    raw = model.fit(layout(X), y).decision_function(layout(X))
    again = model.fit(layout(X * units), y).decision_function(layout(X * units))
    np.testing.assert_allclose(raw, again, rtol=1e-9)


def test_the_unit_of_the_targets_does_not_matter(table):
    X, _, y = table
    model = SGDRegressor(alpha=0.0, max_iter=3, **AUTO)
    raw = model.fit(X, y).predict(X)
    np.testing.assert_allclose(model.fit(X, 1024.0 * y).predict(X), 1024.0 * raw, rtol=1e-9)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_rows_without_weight_may_hold_anything(table, batch_size):
    X, _, y = table
    weight = np.ones(len(y))
    weight[[0, 1, 2, 3, 17, 40]] = 0.0  # the whole of the first batch, and parts of others
    model = SGDRegressor(alpha=1e-3, max_iter=2, batch_size=batch_size, **AUTO)
    coef = model.fit(X, y, sample_weight=weight).coef_
    X, y = X.copy(), y.copy()
    X[weight == 0], y[weight == 0] = 1e9, -1e12
    np.testing.assert_array_equal(model.fit(X, y, sample_weight=weight).coef_, coef)
    assert model.score(X[weight > 0], y[weight > 0]) > 0.9


@pytest.mark.parametrize("unit", [1e160, 1e200])
def test_numbers_whose_squares_are_none_are_refused(table, unit):
    X, _, y = table
    X = X / X.std(0)
    X[:, 0] *= unit
    model = SGDRegressor(alpha=1e-3, max_iter=1, **AUTO)
    with pytest.raises(ValueError, match="counts with the squares of numbers in X and y") as told:
        model.fit(X, y)
    assert "eta0" not in str(pickle.loads(pickle.dumps(told.value)))
    assert not hasattr(model, "coef_")


def test_calls_go_on_where_the_last_one_stopped(table):
    X, y, _ = table
    once = SGDClassifier("log_loss", alpha=0.01, **{**AUTO, "shuffle": True}, random_state=1)
    twice = SGDClassifier("log_loss", alpha=0.01, **{**AUTO, "shuffle": True}, random_state=1)
    once.partial_fit(X, y, classes=[0, 1], max_iter=5)
    twice.partial_fit(X, y, classes=[0, 1], max_iter=2)
    twice = pickle.loads(pickle.dumps(twice)).partial_fit(X, y, max_iter=3)
    np.testing.assert_array_equal(once.coef_, twice.coef_)
    np.testing.assert_array_equal(once.intercept_, twice.intercept_)


def test_dense_and_sparse_rows_may_take_turns(table):
    X, y, _ = table
    X = X / X.std(0) + 100.0
    model = SGDClassifier("log_loss", alpha=0.0, max_iter=1, **AUTO)
    for rows in (X, sp.csr_matrix(X), X):  # a slot is a mean of one, a count of the other
        model.partial_fit(rows, y, classes=[0, 1], max_iter=20)
    assert model.score(X, y) > 0.7


def test_rows_may_come_one_by_one(table):
    X, _, y = table
    one_by_one = SGDRegressor(alpha=1e-3, **AUTO)
    for i in range(len(X)):
        one_by_one.partial_fit(X[i : i + 1], y[i : i + 1])
    at_once = SGDRegressor(alpha=1e-3, max_iter=1, **AUTO).fit(X, y)
    np.testing.assert_array_equal(one_by_one.coef_, at_once.coef_)


def test_many_passes_end_near_the_optimum(table):
    X, y, _ = table
    scaled = (X - X.mean(0)) / X.std(0)
    alpha = 0.05
    model = SGDClassifier("log_loss", alpha=alpha, max_iter=300, **AUTO).fit(scaled, y)
    best = LogisticRegression(C=1 / (alpha * len(y)), tol=1e-10).fit(scaled, y)

    def objective(fitted):
        raw = fitted.decision_function(scaled)
        loss = np.logaddexp(0, raw) - y * raw
        return loss.mean() + alpha / 2 * np.sum(fitted.coef_**2)

    assert objective(model) < 1.002 * objective(best)


def test_an_average_of_all_iterates_takes_the_place_of_that_of_the_last_ones(table):
    X, y, _ = table
    kwargs = {"loss": "log_loss", "alpha": 0.01, "max_iter": 2, **AUTO}
    model = SGDClassifier(average=True, **kwargs).fit(X, y)
    assert model._progress.ahead == 0.0
    assert model._progress.averaged == 120
    expected = model._progress.average / 120
    np.testing.assert_allclose(model.coef_[0], expected[:-1], rtol=1e-12)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (
            {"optimizer": "adam"},
            "an optimizer of its own and goes with optimizer='sgd'; got 'adam'",
        ),
        ({"optimizer": "adam"}, "'prodigy' is an Adam that finds its rate"),
        ({"learning_rate": "automatic"}, "'learning_rate' parameter of SGDClassifier"),
    ],
)
def test_what_does_not_go_with_it_is_said(table, kwargs, message):
    X, y, _ = table
    with pytest.raises(ValueError, match=message):
        SGDClassifier("log_loss", **{**AUTO, **kwargs}).fit(X, y)


@pytest.mark.nojit
def test_a_penalty_that_ties_coefficients_has_no_average():
    model = SGDClassifier("log_loss", penalty=MaxNorm(0.5), **AUTO)
    rule = model._rule(SGDClassifier.loss_functions["log_loss"], sparse=False)
    assert rule.optimizer.window == 0.0


@pytest.mark.full
def test_a_network_finds_its_rate_by_prodigy(table):
    X, y, _ = table
    X = (X - X.mean(0)) / X.std(0)
    kwargs = {"hidden_layer_sizes": (4,), "max_iter": 5, "tol": None, "random_state": 0}
    auto = MLPClassifier(learning_rate="auto", **kwargs).fit(X, y)
    named = MLPClassifier(solver="prodigy", learning_rate_init=1.0, **kwargs).fit(X, y)
    for ours, theirs in zip(auto.coefs_, named.coefs_, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.nojit
def test_a_network_s_solver_must_find_a_rate():
    assert MLPClassifier(learning_rate="auto")._optimizer() == Prodigy()
    for solver in ("sgd", "adamw", "lbfgs"):
        with pytest.raises(ValueError, match="learning_rate='auto' goes with solver='adam'"):
            MLPClassifier(learning_rate="auto", solver=solver)._optimizer()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.01])
def test_single_sparse_rows_take_the_steps_of_batches(table, alpha, weighted):
    """A norm that clips nothing has the steps go through a gradient, as batches do."""
    X, y, _ = table
    X, weight = sp.csr_matrix(X), np.arange(60) % 3 if weighted else None
    params = {"alpha": alpha, "max_iter": 3, "batch_size": 1, **AUTO}
    model = SGDClassifier("log_loss", **params).fit(X, y, sample_weight=weight)
    other = SGDClassifier("log_loss", clip_norm=1e300, **params).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-10)
    np.testing.assert_allclose(model.intercept_, other.intercept_, rtol=1e-10)
    np.testing.assert_allclose(model.history_["objective"], other.history_["objective"])


def test_long_rows_and_short_ones_take_the_steps_of_batches():
    random = np.random.default_rng(4)
    n_columns = 580
    X = random.normal(size=(20, n_columns)) * 10.0 ** random.uniform(-3, 3, n_columns)
    X[random.random(X.shape) < 0.3] = 0.0
    X[::3, 17:] = 0.0  # and short ones among them
    X, y = sp.csr_matrix(X), np.arange(20) % 2
    params = {"alpha": 0.01, "max_iter": 3, "batch_size": 1, **AUTO}
    model = SGDClassifier("log_loss", **params).fit(X, y)
    other = SGDClassifier("log_loss", clip_norm=1e300, **params).fit(X, y)
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-9)
    np.testing.assert_allclose(model.history_["objective"], other.history_["objective"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_known_of_a_column_lies_in_one_line_of_the_cache(table, dtype):
    X, y, _ = table
    model = SGDClassifier("log_loss", learning_rate="auto", batch_size=1, random_state=0)
    rows = sp.csr_matrix(X[:, :4].astype(dtype))
    for _ in range(2):
        model.partial_fit(rows, y, classes=[0, 1])
        for progress in (model._progress, model._progress.copy()):
            state = progress.state
            assert state.shape == (6, 5)
            assert state.strides == (state.itemsize, 8 * state.itemsize)
            assert state.ctypes.data % (8 * state.itemsize) == 0
            np.testing.assert_array_equal(state, model._progress.state)
            np.testing.assert_array_equal(spare_of(state), 0)  # no column is behind
    again = pickle.loads(pickle.dumps(model)).partial_fit(rows, y)
    np.testing.assert_array_equal(again.coef_, model.partial_fit(rows, y).coef_)


@pytest.mark.parametrize("shape", [(4,), (1,), (4, 2)])
@pytest.mark.parametrize("n_slots", range(1, 10))
def test_a_record_spares_a_number_beside_its_slots(n_slots, shape):
    state = np.arange(1.0, 1.0 + n_slots * np.prod(shape)).reshape(n_slots, *shape)
    progress = Progress(np.zeros(shape), state.copy(), np.zeros(0), 0)
    progress.lay_state_out(by_parameter=True)
    spare = spare_of(progress.state)
    assert (spare is not None) == (4 < n_slots < 8)
    if spare is not None:
        spare[...] = 7
        np.testing.assert_array_equal(spare_of(progress.copy().state), 7)
    for copied in (progress, progress.copy()):
        np.testing.assert_array_equal(copied.state, state)
    progress.lay_state_out(by_parameter=False)
    np.testing.assert_array_equal(progress.state, state)
    assert progress.state.flags.c_contiguous


def test_zeros_that_are_stored_are_no_values(table):
    X, y, _ = table
    X = sp.csr_matrix(X)
    rows, columns = np.nonzero(np.ones(X.shape))
    full = sp.csr_matrix((X.toarray().ravel(), (rows, columns)), X.shape)
    assert full.nnz > X.nnz
    model = SGDClassifier("log_loss", alpha=0.0, max_iter=3, **AUTO)
    expected = model.fit(X, y).coef_
    np.testing.assert_allclose(model.fit(full, y).coef_, expected, rtol=1e-9)


@pytest.mark.full
def test_a_strength_for_each_feature_is_that_of_its_column(table):
    X, y, _ = table
    X, factors = sp.csr_matrix(X), np.array([0.0, 1.0, 50.0, 1.0, 3.0, 0.0])
    params = {"loss": "log_loss", "max_iter": 3, **AUTO}
    even = SGDClassifier(penalty=Weighted(0.0, 0.01, np.ones(6)), **params).fit(X, y)
    plain = SGDClassifier(alpha=0.01, **params).fit(X, y)
    np.testing.assert_allclose(even.coef_, plain.coef_, rtol=1e-9)
    uneven = SGDClassifier(penalty=Weighted(0.0, 0.01, factors), **params).fit(X, y)
    turned = SGDClassifier(penalty=Weighted(0.0, 0.01, factors[::-1]), **params)
    coef = turned.fit(sp.csr_matrix(X.toarray()[:, ::-1]), y).coef_
    np.testing.assert_allclose(uneven.coef_, coef[:, ::-1], rtol=1e-9)
