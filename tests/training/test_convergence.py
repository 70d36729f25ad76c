"""Every optimizer on real data, dense and sparse, beside the optimum that a solver finds."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

import fastgd
from fastgd.kernels.optimizers import OPTIMIZERS
from tests.tables import OPTIMIZER_CASES, over_product

ALPHA = 1e-2
# by mini-batches of 16, 40 epochs and a rate that falls by a cosine; others take their own rate
RATES = {"sgd": 0.05, "momentum": 0.005, "nesterov": 0.005, "lion": 1e-3, "adamax": 0.02}
RATES |= dict.fromkeys(["adam", "amsgrad", "adamw", "nadam"], 5e-3)
MISSED = 0.02  # of what there is to win


THOROUGH = pytest.param("diabetes", marks=pytest.mark.thorough)  # compiles for another loss


@pytest.fixture(scope="module", params=["breast cancer", THOROUGH, "digits"])
def problem(request):
    """Return a loss, X, y, the objective of a model, and its least value."""
    load = {"breast cancer": load_breast_cancer, "diabetes": load_diabetes, "digits": load_digits}
    X, y = load[request.param](return_X_y=True)
    X = X / 16 if request.param == "digits" else StandardScaler().fit_transform(X)
    y = y % 2 if request.param == "digits" else y  # even or odd, by the kernels of the first
    if request.param == "diabetes":
        y = (y - y.mean()) / y.std()
        best = fastgd.Ridge(alpha=ALPHA * len(y)).fit(X, y)
        return "squared_error", X, y, best
    best = fastgd.LogisticRegression(C=1 / (ALPHA * len(y))).fit(X, y)
    return "log_loss", X, y, best


def objective(model, loss, X, y):
    raw = X @ np.atleast_2d(model.coef_).T + model.intercept_
    penalty = 0.5 * ALPHA * np.sum(np.square(model.coef_))
    if loss == "squared_error":
        return 0.5 * np.mean((raw[:, 0] - y) ** 2) + penalty
    raw = np.hstack([np.zeros_like(raw), raw]) if raw.shape[1] == 1 else raw
    top = raw.max(axis=1)
    total = np.log(np.exp(raw - top[:, None]).sum(axis=1)) + top
    return np.mean(total - raw[np.arange(len(y)), y]) + penalty


@pytest.mark.parametrize("layout", ["dense", pytest.param("csr", marks=pytest.mark.thorough)])
@over_product(
    lambda optimizer: optimizer in ("sgd", "adam"),
    optimizer=[case.name for case in OPTIMIZER_CASES if case.is_registered],
)
def test_comes_near_the_optimum(optimizer, layout, problem):
    loss, X, y, best = problem
    kind = fastgd.SGDRegressor if loss == "squared_error" else fastgd.SGDClassifier
    rate = RATES.get(optimizer, OPTIMIZERS[optimizer].eta0)
    kwargs = {"alpha": ALPHA, "batch_size": 16, "max_iter": 40, "tol": None, "random_state": 0}
    kwargs |= {"learning_rate": "cosine", "eta0": rate, "optimizer": optimizer}
    data = sp.csr_array(X) if layout == "csr" else X
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = kind(loss, **kwargs).fit(data, y)
        start = kind(loss, **{**kwargs, "max_iter": 1, "eta0": 1e-12}).fit(data, y)
    least, null = objective(best, loss, X, y), objective(start, loss, X, y)
    missed = (objective(model, loss, X, y) - least) / (null - least)
    if optimizer == "lion":  # its signs do not balance a penalty: it fits, and knows no optimum
        assert model.score(X, y) > best.score(X, y) - 0.05
    else:
        assert -1e-9 < missed < MISSED
