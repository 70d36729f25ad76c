"""Networks on sparse rows: weights of features that a batch lacks wait, and lose nothing."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import expit
from sklearn.base import clone

from fastgd._engines.absent_features import AbsentFeatures
from fastgd._training.estimator import seed_of
from fastgd.kernels.losses import SquaredError
from fastgd.kernels.penalties import ElasticNet
from fastgd.kernels.rows import CSR
from fastgd.kernels.sgd import Rule
from fastgd.kernels.stores import Batch, list_columns
from fastgd.layers import Dense
from fastgd.neural_network import MLPClassifier, MLPRegressor, NetworkClassifier
from fastgd.optimizers import Adam, AdamW, Momentum, Sgd
from tests.tables import over_product

PARAMS = {"tol": None, "random_state": 0, "max_iter": 3, "batch_size": 16, "alpha": 3.0}
EXACT = {
    "sgd": {"solver": Sgd(), "learning_rate_init": 0.05},
    "momentum": {"solver": Momentum(0.8), "learning_rate_init": 0.02},
    "nesterov": {"solver": "sgd", "learning_rate_init": 0.02, "learning_rate": "invscaling"},
    "lazy=False": {"solver": Adam(lazy=False), "learning_rate_init": 0.01},
    "clipped": {"solver": "sgd", "clip_norm": 0.1, "learning_rate_init": 0.02},
    "average": {"solver": "sgd", "average": True, "learning_rate_init": 0.02},
    "no penalty": {"solver": "adagrad", "alpha": 0.0, "learning_rate_init": 0.02},
}


@pytest.fixture(scope="module")
def rows():
    """130 rows, of which a batch of 16 has few of the features."""
    rng = np.random.default_rng(0)
    X = sp.random(130, 90, 0.02, "csr", random_state=0)
    return X, X @ rng.normal(size=90) + 0.1 * rng.normal(size=130)


@over_product(lambda name: name == "sgd", name=EXACT)
def test_skipped_steps_are_those_of_dense_rows(name, rows):
    X, y = rows
    model = MLPRegressor(hidden_layer_sizes=(3,), **{**PARAMS, **EXACT[name]})
    dense = clone(model).fit(X.toarray(), y)
    sparse = clone(model).fit(X, y)
    in_parts = clone(model)
    for _ in range(PARAMS["max_iter"]):
        in_parts.partial_fit(X, y)
    for one in (sparse, in_parts):
        for found, expected in zip(one.coefs_, dense.coefs_, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)
    assert sparse.loss_curve_ == pytest.approx(dense.loss_curve_, rel=0.05)  # it lags


def test_a_batch_may_have_every_feature(rows):
    """A column is written before it is known whether it is new, so there is room for one more."""
    X, rule = sp.csr_array(np.ones((4, 90))), Rule(SquaredError(), ElasticNet(), Sgd(), True)
    model = MLPRegressor(hidden_layer_sizes=(3,), **{**PARAMS, **EXACT["sgd"]}).fit(*rows)
    columns = AbsentFeatures(model._network, rule)._touched
    batch, gradient = Batch(np.empty(0, np.int64), 0, 4), np.zeros(91)
    listed = CSR(X.data, X.indices, X.indptr)
    assert list_columns(columns, rule, listed, batch, gradient) == 90
    assert sorted(columns.numbers[:90]) == list(range(90))


def lazily(X, y, optimizer, weights, rate, l2, batches):
    """Return weights and bias of logistic regression by ``Adam`` whose absent features wait."""
    w, b, decay = weights.copy(), 0.0, getattr(optimizer, "weight_decay", 0.0)
    m, v, mb, vb = np.zeros_like(w), np.zeros_like(w), 0.0, 0.0
    b1, b2, eps = optimizer.beta_1, optimizer.beta_2, optimizer.epsilon
    for t, batch in enumerate(batches, 1):
        c1, c2 = 1 - b1**t, np.sqrt(1 - b2**t)
        A, strength = X[batch], l2 / len(batch)
        present = (A != 0).any(axis=0)
        slope = (expit(A @ w + b) - y[batch]) / len(batch)
        g = A.T @ slope + strength * w
        m[present] += (1 - b1) * (g - m)[present]
        v[present] += (1 - b2) * (g * g - v)[present]
        step = rate * c2 / c1 * m / (np.sqrt(v) + c2 * eps)
        waited = np.exp(-strength * rate * c2 / (np.sqrt(v) + eps)) * (1 - rate * decay)
        w = np.where(present, (1 - rate * decay) * w - step, waited * w)
        mb += (1 - b1) * (slope.sum() - mb)
        vb += (1 - b2) * (slope.sum() ** 2 - vb)
        b -= rate * c2 / c1 * mb / (np.sqrt(vb) + c2 * eps)
    return w, b


@over_product(
    lambda optimizer: isinstance(optimizer, Adam),
    optimizer=[Adam(0.8, 0.9, 1e-4), AdamW(0.1, 0.8, 0.9, 1e-4)],
)
def test_moments_of_absent_features_wait(optimizer, rows):
    X, y = rows[0], (rows[1] > 0).astype(int)
    params = {**PARAMS, "alpha": 0.5, "learning_rate_init": 0.01, "shuffle": False}
    model = NetworkClassifier([Dense(1)], solver=optimizer, **params).fit(X, y)
    start = model._network.starts(seed_of(0))[: X.shape[1]]
    batches = [np.arange(k, min(k + 16, 130)) for _ in range(3) for k in range(0, 130, 16)]
    w, b = lazily(X.toarray(), y, optimizer, start, 0.01, 0.5, batches)
    np.testing.assert_allclose(model.coefs_[0].ravel(), w, rtol=1e-9, atol=1e-29)
    np.testing.assert_allclose(model.intercepts_[0], b, rtol=1e-9)


def test_wide_rows_learn_and_have_no_denormal_weights():
    X = sp.random(60, 5000, 0.002, "csr", random_state=0, dtype=np.float32)
    model = MLPClassifier((4,), solver="sgd", alpha=1.0, max_iter=200, batch_size=8, tol=None)
    model.fit(X, np.arange(60) % 2)
    weights = np.abs(model.coefs_[0])
    assert weights.shape == (5000, 4)
    assert np.all((weights == 0) | (weights > 1e-37))
