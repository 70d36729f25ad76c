"""A fit that goes on from the last one says why it cannot, or begins anew."""

import re

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

import fastgd
from tests.tables import over_product

X = np.random.default_rng(0).normal(size=(60, 4))
TWO, THREE, FIVE = (np.arange(60) % k for k in (2, 3, 5))
TABLE = np.column_stack([TWO, 1 - TWO])
LINE = X @ [1.0, 2.0, 0.0, -1.0]
NOISY = LINE + np.random.default_rng(1).normal(size=60)
TARGETS = np.column_stack([LINE, -LINE, LINE])

REFUSED = [
    (fastgd.SGDClassifier(), (X, THREE), (X, FIVE), "has 3 classes; these data have 5 classes"),
    (fastgd.SGDClassifier(), (X, THREE), (X, TWO), "has 3 classes; these data have 2 classes"),
    (fastgd.SGDClassifier(), (X, TWO), (X, FIVE), "has 2 classes; these data have 5 classes"),
    (
        fastgd.SGDClassifier(),
        (X, THREE),
        (X[:, :2], THREE),
        "has 4 features; these data have 2 features",
    ),
    (
        fastgd.SGDClassifier(),
        (X, THREE),
        (X[:, :2], FIVE),
        "has 4 features and 3 classes; these data have 2 features and 5 classes",
    ),
    (
        fastgd.SGDClassifier(loss="log_loss"),
        (X, FIVE),
        (X, TABLE),
        "has 5 labels; these data have 2 labels",
    ),
    (fastgd.SGDRegressor(), (X, LINE), (X[:, :3], LINE), "has 4 features; these data have 3"),
    (fastgd.SGDRegressor(), (X, LINE), (X, TARGETS), "has 1 target; these data have 3 targets"),
    (fastgd.SGDRegressor(), (X, TARGETS), (X, LINE), "has 3 targets; these data have 1 target"),
    (fastgd.SGDOneClassSVM(), (X,), (X[:, 1:],), "has 4 features; these data have 3 features"),
]


def set_up(model):
    return model.set_params(warm_start=True, random_state=0, max_iter=5, tol=None)


@over_product(
    lambda layout, case: layout is np.asarray or case in (0, 6),
    layout=[np.asarray, sp.csr_matrix],
    case=range(len(REFUSED)),
)
def test_what_a_warm_start_cannot_go_on_from_is_named(case, layout):
    model, first, second, message = REFUSED[case]
    model = set_up(clone(model))
    model.fit(layout(first[0]), *first[1:])
    before = model.coef_.copy()
    with pytest.raises(ValueError, match=f"warm_start=True goes on .* {re.escape(message)}"):
        model.fit(layout(second[0]), *second[1:])
    np.testing.assert_array_equal(model.coef_, before)  # as it was, and it still predicts
    model.predict(layout(first[0]))
    model.set_params(warm_start=False).fit(layout(second[0]), *second[1:])


def test_a_coef_that_the_user_has_cut_is_named():
    model = fastgd.SGDClassifier().partial_fit(X, THREE, classes=[0, 1, 2])
    model.coef_ = model.coef_[:, :2]
    with pytest.raises(ValueError, match="from coef_, which has 2 features; it should have 4"):
        model.partial_fit(X, THREE)


@pytest.mark.parametrize("first", [np.float32, np.float64])
def test_a_stochastic_warm_start_may_change_the_dtype(first):
    second = np.float64 if first is np.float32 else np.float32
    for model, y in ((fastgd.SGDClassifier(), TWO), (fastgd.SGDRegressor(), LINE)):
        set_up(model).fit(X.astype(first), y)
        assert model.coef_.dtype == first
        assert model.fit(X.astype(second), y).coef_.dtype == second


SOLVED = [
    (fastgd.LogisticRegression(), TWO),
    (fastgd.SoftmaxRegression(), THREE),
    (fastgd.Lasso(alpha=0.01), LINE),
    (fastgd.ElasticNet(alpha=0.01), LINE),
    (fastgd.HuberRegressor(), NOISY),
    (fastgd.PoissonRegressor(), np.exp(LINE)),
    (fastgd.GammaRegressor(), np.exp(LINE)),
    (fastgd.TweedieRegressor(power=1.5), np.exp(LINE)),
]


@pytest.mark.parametrize(("model", "y"), SOLVED, ids=lambda value: type(value).__name__)
def test_a_solver_forgets_a_start_of_other_columns_or_outputs(model, y):
    """Its answer is that of a fresh fit, whatever was fitted before."""
    kwargs = {"warm_start": True}
    changes = [(X[:, :2], y), (X, y), (X.astype(np.float32), y), (sp.csr_matrix(X), y)]
    if isinstance(model, fastgd.LogisticRegression):
        changes += [(X, FIVE), (X, TWO), (X, THREE)]
    if isinstance(model, fastgd.ElasticNet):
        changes += [(X, TARGETS), (X, LINE)]
    model = clone(model).set_params(**kwargs).fit(X, y)
    for data, targets in changes:
        fresh = type(model)(**model.get_params()).fit(data, targets)
        again = model.fit(data, targets)
        assert again.coef_.shape == fresh.coef_.shape
        assert again.coef_.dtype == data.dtype
        np.testing.assert_allclose(again.objective_, fresh.objective_, rtol=1e-5)
