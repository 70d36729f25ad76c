"""fastgd.path: each point is the single fit's, in the order of a path."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd.penalties import GroupLasso

X, Y = load_diabetes(return_X_y=True)
BOTH = np.column_stack([Y, -Y + X[:, 0]])
HIGH = (Y > 150).astype(int)
ALPHAS = (0.1, 1.0, 0.5)


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (fastgd.Lasso(tol=1e-9), Y),
        (fastgd.ElasticNet(tol=1e-9, l1_ratio=0.7, positive=True), Y),
        (fastgd.ElasticNet(tol=1e-9, fit_intercept=False), Y),
        (fastgd.MultiTaskLasso(tol=1e-9), BOTH),
        (fastgd.Ridge(), BOTH),
        (fastgd.Ridge(), Y),
        (fastgd.QuantileRegressor(tol=1e-8), Y),
        (fastgd.PoissonRegressor(tol=1e-9), Y),
    ],
    ids=lambda value: type(value).__name__,
)
def test_points_are_single_fits(model, y):
    weight = np.random.default_rng(0).random(len(Y))
    found = fastgd.path(model, X, y, alphas=ALPHAS, sample_weight=weight)
    assert found.values.tolist() == [1.0, 0.5, 0.1]
    for k, alpha in enumerate(found.values):
        single = model.__class__(**{**model.get_params(), "alpha": alpha})
        single.fit(X, y, sample_weight=weight)
        np.testing.assert_allclose(found.coefs[k], single.coef_, rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(found.intercepts[k], single.intercept_, rtol=1e-3, atol=1e-2)
        assert found.objective[k] == pytest.approx(np.sum(single.objective_), rel=1e-6)
    assert found.converged.all()
    assert found.coefs.shape == (3, *np.shape(single.coef_))


def test_inverse_strengths_go_upwards_and_are_scored():
    found = fastgd.path(
        fastgd.LogisticRegression(l1_ratio=1), X, HIGH, Cs=[1.0, 0.01, 10.0], X_val=X, y_val=HIGH
    )
    assert found.values.tolist() == [0.01, 1.0, 10.0]
    assert found.n_nonzero.tolist() == sorted(found.n_nonzero)
    single = fastgd.LogisticRegression(l1_ratio=1, C=10.0).fit(X, HIGH)
    assert found.scores[-1] == pytest.approx(single.score(X, HIGH), abs=0.01)
    assert found.best() == int(np.argmax(found.scores))


def test_a_penalty_object_has_its_own_strength():
    model = fastgd.SGDRegressor(penalty=GroupLasso(0.1), random_state=0, max_iter=20, tol=None)
    found = fastgd.path(model, X, Y, alphas=[0.1, 1000.0])
    assert found.param == "group"
    assert found.n_nonzero[0] == 0
    assert found.n_nonzero[1] > 0
    assert model.penalty == GroupLasso(0.1)
    other = fastgd.path(model, X, Y, param="penalty__l2", values=[0.0, 1.0])
    assert other.values.tolist() == [0.0, 1.0]


def test_cold_and_warm_paths_agree():
    kwargs = {"alphas": ALPHAS}
    warm = fastgd.path(fastgd.Lasso(tol=1e-10), X, Y, **kwargs)
    cold = fastgd.path(fastgd.Lasso(tol=1e-10), X, Y, warm=False, **kwargs)
    np.testing.assert_allclose(warm.coefs, cold.coefs, atol=1e-3)


def test_a_table_has_a_row_for_each_value():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=[f"c{j}" for j in range(10)])
    found = fastgd.path(fastgd.Lasso(), frame, Y, alphas=ALPHAS)
    table = found.to_frame()
    assert list(table.columns[:2]) == ["alpha", "objective"]
    assert list(table.columns[-10:]) == list(frame.columns)
    np.testing.assert_array_equal(table["c2"], found.coefs[:, 2])
    many = fastgd.path(fastgd.MultiTaskLasso(), frame, BOTH, alphas=ALPHAS).to_frame()
    assert many.shape == (3, 6 + 2 + 20)
    assert list(found.to_frame(coefs=False).columns[-1:]) == ["n_nonzero"]


def test_callbacks_see_each_value_and_may_end_the_path(capsys):
    seen = []

    def look(view):
        seen.append((view.history["alpha"][-1], np.count_nonzero(view.coef_)))
        return view.epoch == 2

    found = fastgd.path(fastgd.Lasso(), X, Y, alphas=ALPHAS, callbacks=[look], verbose=1)
    assert len(found) == 2
    assert seen == list(zip([1.0, 0.5], found.n_nonzero.tolist(), strict=True))
    assert "Lasso" in capsys.readouterr().err


def test_unfinished_fits_are_counted():
    with pytest.warns(ConvergenceWarning, match="of 3 fits of Lasso did not converge"):
        found = fastgd.path(fastgd.Lasso(max_iter=1, tol=1e-14, positive=True), X, Y, alphas=ALPHAS)
    assert not found.converged.all()


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({}, ValueError, "path needs one of alphas, Cs, or param and values"),
        ({"alphas": [1], "Cs": [1]}, ValueError, "path needs one of"),
        ({"alphas": []}, ValueError, "must be 1-d, one or more"),
        ({"Cs": [1.0]}, TypeError, "Lasso has no parameter 'C': pass alphas"),
        ({"param": "alpha"}, ValueError, "param and values go together"),
        ({"alphas": [1.0], "X_val": X}, ValueError, "X_val and y_val go together"),
        ({"alphas": [1.0], "scoring": "r2"}, ValueError, "scoring needs X_val"),
        ({"alphas": [-1.0]}, ValueError, "'alpha' parameter of Lasso"),
    ],
)
def test_bad_arguments_are_refused(kwargs, error, message):
    with pytest.raises(error, match=message):
        fastgd.path(fastgd.Lasso(), X, Y, **kwargs)
