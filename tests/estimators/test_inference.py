"""Standard errors: statsmodels' on its own examples, naive sums elsewhere, and what is refused."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.linear_model as theirs
from scipy import stats
from sklearn.exceptions import ConvergenceWarning

import fastgd as ours
from fastgd.inference import _passes, coef_summary, coef_table

FIXTURE = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "statsmodels_tables.json").read_text("utf-8")
)
CASES = FIXTURE["cases"]
MODELS = {
    "linear": lambda: ours.LinearRegression(),
    "logistic": lambda: ours.LogisticRegression(C=np.inf, tol=1e-14),
    "softmax": lambda: ours.LogisticRegression(C=np.inf, tol=1e-14),
    "poisson": lambda: ours.PoissonRegressor(alpha=0.0, tol=1e-14),
    "gamma": lambda: ours.GammaRegressor(alpha=0.0, tol=1e-14),
    "tweedie": lambda: ours.TweedieRegressor(power=1.5, alpha=0.0, tol=1e-14),
}


def quiet(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def fit(model, *args):
    return quiet(model.fit, *args)


def frame_of(case):
    return pd.DataFrame(case["X"], columns=case["names"]), np.array(case["y"])


@pytest.mark.parametrize("case", CASES, ids=[f"{c['name']}-{c['kind']}" for c in CASES])
def test_tables_are_those_of_statsmodels(case):
    X, y = frame_of(case)
    weight = None if case["weight"] is None else np.array(case["weight"])
    model = fit(MODELS[case["kind"]](), X, y, weight)
    for cov, expected in case["tables"].items():
        groups = case["groups"] if cov == "cluster" else None
        table = coef_table(model, X, y, weight, cov, groups=groups)
        names = ["intercept", *case["names"]]
        assert list(table.index.get_level_values("feature")) == names * (len(table) // len(names))
        wanted = np.array(expected)
        found = table[["estimate", "std_error", "p", "lower", "upper"]].to_numpy()
        size = np.abs(wanted[:, [0]]) + wanted[:, [1]]
        assert np.all(np.abs(found - wanted)[:, [0, 1, 3, 4]] <= 1e-6 * size)
        np.testing.assert_allclose(found[:, 1], wanted[:, 1], rtol=1e-6)
        np.testing.assert_allclose(found[:, 2], wanted[:, 2], rtol=1e-5, atol=1e-9)


def test_statsmodels_itself_where_it_is_installed():
    sm = pytest.importorskip("statsmodels.api")
    data = sm.datasets.randhie.load_pandas()
    X, y = data.exog, data.endog
    model = fit(ours.PoissonRegressor(alpha=0.0, tol=1e-15), X, y)
    for cov in ("classic", "HC0", "cluster"):
        groups = np.arange(len(y)) % 50 if cov == "cluster" else None
        more = {} if cov == "classic" else {"cov_type": cov}
        more |= {"cov_kwds": {"groups": groups}} if cov == "cluster" else {}
        glm = sm.GLM(y, sm.add_constant(X), family=sm.families.Poisson())
        found = coef_table(model, X, y, cov=cov, groups=groups)
        wanted = glm.fit(tol=1e-14, **more)
        far = np.abs(np.asarray(found.estimate) - np.asarray(wanted.params))
        assert np.all(far <= 1e-5 * np.asarray(wanted.bse))  # which is how far fits go
        np.testing.assert_allclose(found.std_error, wanted.bse, rtol=1e-6)


def rows(n=60, d=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * [1.0, 3.0, 0.2][:d] + [0.0, 1.0, 5.0][:d]
    return X, X @ np.linspace(0.2, -0.3, d), rng


def naive(kind, X, raw, y, s, power=1.0):
    """Return each row's score (m, r) and information (m, r, r), by loops over rows."""
    scores, informations = [], []
    for i in range(X.shape[0]):
        if kind == "classes":
            p = np.exp(raw[i] - raw[i].max())
            p /= p.sum()
            e = s[i] * (p - (np.arange(p.shape[0]) == y[i]))[1:]
            W = s[i] * (np.diag(p) - np.outer(p, p))[1:, 1:]
        elif kind == "log":
            mean = np.exp(raw[i])
            e = np.array([s[i] * (mean - y[i]) * mean ** (1 - power)])
            W = np.array([[s[i] * mean ** (2 - power)]])
        else:
            e, W = np.array([s[i] * (raw[i] - y[i])]), np.array([[s[i]]])
        scores.append(e)
        informations.append(W)
    return np.array(scores), np.array(informations)


def naive_sandwich(A, e, W, P, power=0.0, excess=0.0, groups=None):
    """Return H^-1 M H^-1 with H = F + P; power is of one minus leverage."""
    m, r = e.shape
    F = sum(np.kron(W[i], np.outer(A[i], A[i])) for i in range(m))
    inverse = np.linalg.inv(F + P)
    scores = []
    for i in range(m):
        design = np.kron(np.eye(r), A[i])  # (r, r p)
        hat = design @ inverse @ design.T
        values, vectors = np.linalg.eig(np.eye(r) - W[i] @ hat)
        factor = (vectors * values**-power) @ np.linalg.inv(vectors)
        scores.append(design.T @ (factor.real @ e[i]))
    Z = np.array(scores)
    if groups is not None:
        Z = np.array([Z[groups == g].sum(axis=0) for g in np.unique(groups)])
    bread = np.linalg.inv(F + P + excess)
    return bread @ (Z.T @ Z) @ bread


def standard_errors(covariance):
    return np.sqrt(np.diag(covariance))


@pytest.mark.parametrize(("cov", "power"), [("HC0", 0.0), ("HC2", 0.5), ("HC3", 1.0)])
def test_robust_errors_are_naive_sums(cov, power):
    X, eta, rng = rows()
    A, s = np.column_stack([np.ones(60), X]), rng.uniform(0.5, 2.0, 60)
    # gamma regression, whose observed Hessian is not the expected one
    y = rng.gamma(2.0, np.exp(eta) / 2.0)
    model = fit(ours.GammaRegressor(alpha=0.0, tol=1e-14), X, y, s)
    raw = X @ model.coef_ + model.intercept_
    e, W = naive("log", X, raw, y, s, 2.0)
    excess = sum((1.0 - 2.0) * e[i, 0] * np.outer(A[i], A[i]) for i in range(60))
    wanted = naive_sandwich(A, e, W, 0.0, power, excess)
    found = coef_summary(model, X, y, s, cov)
    np.testing.assert_allclose(found.covariance, wanted, rtol=1e-7, atol=1e-12)
    # three classes and a penalty
    codes = np.argmax(np.column_stack([0 * eta, eta, -eta]) + rng.gumbel(size=(60, 3)), axis=1)
    model = fit(ours.LogisticRegression(C=2.0, tol=1e-14), X, codes, s)
    raw = X @ model.coef_.T + model.intercept_
    e, W = naive("classes", X, raw, codes, s)
    P = np.kron((np.eye(2) - 1.0 / 3.0) / 2.0, np.diag([0.0, 1.0, 1.0, 1.0]))
    wanted = naive_sandwich(A, e, W, P, power)
    with pytest.warns(UserWarning, match="penalised"):
        table = coef_table(model, X, codes, s, cov)
    np.testing.assert_allclose(table.std_error, standard_errors(wanted), rtol=1e-7)


def test_errors_of_penalised_classes_do_not_depend_on_the_reference_or_the_parameters():
    """The contrasts' covariance is that of all classes' coefficients, by the full Hessian."""
    X, eta, rng = rows()
    y = np.argmax(np.column_stack([0 * eta, eta, -eta]) + rng.gumbel(size=(60, 3)), axis=1)
    names = np.array(["a", "b", "c"])
    model = fit(ours.LogisticRegression(C=0.5, tol=1e-14), X, names[y])
    A, p = np.column_stack([np.ones(60), X]), model.predict_proba(X)
    F = sum(np.kron(np.diag(p[i]) - np.outer(p[i], p[i]), np.outer(A[i], A[i])) for i in range(60))
    penalty = np.kron(np.eye(3), np.diag([0.0, 1.0, 1.0, 1.0])) / 0.5
    inverse = np.linalg.pinv(F + penalty)
    full = inverse @ F @ inverse
    for at, label in enumerate(names):
        with pytest.warns(UserWarning, match="penalised"):
            table = coef_table(model, X, names[y], reference=label)
        others = [k for k in range(3) if k != at]
        assert list(table.index.get_level_values("class").unique()) == list(names[others])
        difference = np.zeros((2, 3))
        difference[:, at] = -1.0
        difference[[0, 1], others] = 1.0
        D = np.kron(difference, np.eye(4))
        np.testing.assert_allclose(table.std_error, standard_errors(D @ full @ D.T), rtol=1e-6)
    two = names[:2][(y > 0).astype(int)]
    as_softmax = fit(ours.SoftmaxRegression(C=1.0, tol=1e-14), X, two)
    as_logistic = fit(ours.LogisticRegression(C=2.0, tol=1e-14), X, two)
    tables = [quiet(coef_table, model, X, two) for model in (as_softmax, as_logistic)]
    np.testing.assert_allclose(*[t.to_numpy() for t in tables], rtol=1e-6)
    turned = quiet(coef_table, as_logistic, X, two, reference="b")
    np.testing.assert_allclose(turned.estimate, -tables[1].estimate)
    np.testing.assert_allclose(turned.std_error, tables[1].std_error)


def test_ridge_has_the_errors_of_a_linear_estimator():
    X, eta, rng = rows()
    y = eta + rng.normal(size=60)
    model = ours.Ridge(alpha=3.0, tol=1e-14).fit(X, y)
    A, P = np.column_stack([np.ones(60), X]), np.diag([0.0, 3.0, 3.0, 3.0])
    smoother = np.linalg.solve(A.T @ A + P, A.T)
    k = np.trace(A @ smoother)
    variance = np.sum((y - model.predict(X)) ** 2) / (60 - k)
    with pytest.warns(UserWarning, match="shrunk towards zero"):
        found = coef_summary(model, X, y)
    np.testing.assert_allclose(found.covariance, variance * smoother @ smoother.T, rtol=1e-8)
    assert found.df_model == pytest.approx(k)
    assert found.df_resid == pytest.approx(60 - k)
    assert found.dispersion == pytest.approx(variance)
    t = found.table.estimate / found.table.std_error
    np.testing.assert_allclose(found.table["t"], t)
    np.testing.assert_allclose(found.table["p"], 2 * stats.t(60 - k).sf(np.abs(t)))


@pytest.mark.parametrize("kind", ["linear", "classes"])
@pytest.mark.parametrize("cov", ["classic", "HC1", "HC3", "cluster"])
def test_layouts_blocks_and_threads_do_not_matter(kind, cov, monkeypatch):
    X, eta, rng = rows(700)
    X[np.abs(X - X.mean(axis=0)) < X.std(axis=0)] = 0.0
    X[rng.random(X.shape) < 0.6] = 0.0
    groups = np.array(["a", "b", "c", "d"])[rng.integers(4, size=700)] if cov == "cluster" else None
    y, model = eta + rng.normal(size=700), ours.LinearRegression()
    if kind == "classes":
        y, model = rng.integers(3, size=700), ours.LogisticRegression(C=np.inf, tol=1e-14)
    fit(model, X, y)
    wanted = coef_table(model, X, y, cov=cov, groups=groups)
    if cov == "HC3":
        A = np.column_stack([np.ones(700), X])
        raw = X @ np.atleast_2d(model.coef_).T + model.intercept_
        raw = raw if kind == "classes" else raw[:, 0]
        e, W = naive(kind, X, raw, y, np.ones(700))
        naively = naive_sandwich(A, e, W, 0.0, 1.0)
        np.testing.assert_allclose(wanted.std_error, standard_errors(naively), rtol=1e-7)
    monkeypatch.setattr(_passes, "ENTRIES", 64)
    for layout in (X, sp.csr_matrix(X)):
        tables = [
            coef_table(model, layout, y, cov=cov, groups=groups, n_jobs=n_jobs) for n_jobs in (1, 2)
        ]
        assert tables[0].equals(tables[1])
        np.testing.assert_allclose(tables[0].to_numpy(), wanted.to_numpy(), rtol=1e-8)


@pytest.mark.parametrize("cov", ["classic", "HC0", "HC2", "HC3"])
def test_frequencies_are_repeated_rows(cov):
    X, eta, rng = rows(40)
    count = rng.integers(0, 4, 40)
    y = rng.poisson(np.exp(eta))
    many = np.repeat(np.arange(40), count)
    model = fit(ours.PoissonRegressor(alpha=0.0, tol=1e-14), X, y, count)
    for dispersion in (None, "pearson"):
        wanted = coef_summary(model, X[many], y[many], cov=cov, dispersion=dispersion)
        more = {"weights": "frequency", "dispersion": dispersion}
        found = coef_summary(model, X, y, count, cov, **more)
        assert found.n_samples == wanted.n_samples == count.sum()
        np.testing.assert_allclose(found.table.to_numpy(), wanted.table.to_numpy(), rtol=1e-9)


@pytest.mark.parametrize("cov", ["classic", "HC1", "HC3"])
def test_frequencies_of_weighted_classes_are_repeated_rows(cov):
    X, eta, rng = rows(90)
    count = rng.integers(0, 4, 90)
    y = (eta + rng.logistic(size=90) > 0).astype(int)
    many = np.repeat(np.arange(90), count)
    model = ours.LogisticRegression(C=np.inf, tol=1e-14, class_weight={0: 1.0, 1: 3.0})
    fit(model, X, y, count)
    wanted = coef_summary(model, X[many], y[many], cov=cov)
    found = coef_summary(model, X, y, count, cov, weights="frequency")
    assert found.df_resid == wanted.df_resid == count.sum() - 4
    np.testing.assert_allclose(found.table.to_numpy(), wanted.table.to_numpy(), rtol=1e-9)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_dispersion_of_classes_is_pearsons(classes):
    X, eta, rng = rows(90)
    y = np.digitize(eta + rng.logistic(size=90), [0.0, 1.0][: classes - 1])
    model = fit(ours.LogisticRegression(C=np.inf, tol=1e-14), X, y)
    p, own = model.predict_proba(X), np.eye(classes)[y]
    wanted = np.sum((own - p) ** 2 / p) / ((90 - 4) * (classes - 1))
    found = coef_summary(model, X, y, dispersion="pearson")
    assert found.dispersion == pytest.approx(wanted, rel=1e-9)
    usual = coef_table(model, X, y)
    np.testing.assert_allclose(found.table.std_error, usual.std_error * np.sqrt(wanted))


def test_x_is_read_three_times_at_most(monkeypatch):
    read, block = [], _passes._block

    def counted(data, stated, chosen):
        found = block(data, stated, chosen)
        read.append(found[0].shape[0])
        return found

    monkeypatch.setattr(_passes, "_block", counted)
    X, eta, rng = rows(900)
    y, g = eta + rng.normal(size=900), np.arange(900) % 9
    linear = ours.LinearRegression().fit(X, y)
    classes = fit(ours.LogisticRegression(C=np.inf, tol=1e-12), X, np.arange(900) % 3)
    for model, target in ((linear, y), (classes, np.arange(900) % 3)):
        for cov in ("classic", "HC3", "cluster"):
            read.clear()
            coef_table(model, X, target, cov=cov, groups=g if cov == "cluster" else None)
            assert sum(read) <= (900 if cov == "classic" else 1800)


def test_columns_of_any_scale_and_offset():
    """Columns that a sum of squares would not survive: classes and CSR fall back to QR."""
    X, eta, rng = rows(200)
    moved = X * [1e-9, 1e6, 1.0] + [0.0, 0.0, 1e6]
    y = (eta + rng.logistic(size=200) > 0).astype(int)
    three = rng.integers(3, size=200)
    for target in (y, three):
        near = fit(ours.LogisticRegression(C=np.inf, tol=1e-14), X, target)
        far = fit(ours.LogisticRegression(C=np.inf, tol=1e-14), moved, target)
        wanted = coef_table(near, X, target, cov="HC3")
        for layout in (moved, sp.csr_matrix(moved)):
            found = quiet(coef_table, far, layout, target, cov="HC3")
            slopes = found.index.get_level_values("feature") != "intercept"
            np.testing.assert_allclose(found["z"][slopes], wanted["z"][slopes], rtol=1e-5)


def test_of_dependent_columns_what_is_determined_has_errors():
    X, eta, rng = rows()
    y = eta + rng.normal(size=60)
    wide = np.column_stack([X, X[:, 0] - 2.0 * X[:, 1]])
    model = ours.LinearRegression().fit(wide, y)
    wanted = coef_table(ours.LinearRegression().fit(X, y), X, y)
    for cov in ("classic", "HC3"):
        with pytest.warns(UserWarning, match="3 coefficients are not determined.* x0, x1, x3"):
            found = coef_table(model, wide, y, cov=cov)
        wanted = coef_table(ours.LinearRegression().fit(X, y), X, y, cov=cov)
        assert found.std_error.isna().tolist() == [False, True, True, False, True]
        np.testing.assert_allclose(found.loc["x2"], wanted.loc["x2"], rtol=1e-8)
        np.testing.assert_allclose(found.loc["intercept"], wanted.loc["intercept"], rtol=1e-8)
    constant = np.column_stack([X, np.full(60, 7.0)])
    model = ours.LinearRegression().fit(constant, y)
    with pytest.warns(UserWarning, match="They are intercept, x3"):
        coef_table(model, constant, y)
    with pytest.warns(UserWarning, match="penalised"):
        found = coef_table(ours.Ridge(tol=1e-14).fit(constant, y), constant, y)
    assert found.std_error.notna().all()


def test_a_model_away_from_its_optimum_is_told_of():
    X, eta, rng = rows(400)
    y = (eta + rng.logistic(size=400) > 0).astype(int)
    early = fit(ours.LogisticRegression(C=np.inf, max_iter=0), X, y)
    with pytest.warns(ConvergenceWarning, match="standard errors away from the optimum") as caught:
        coef_table(early, X, y)
    assert caught[0].filename == __file__
    exact = fit(ours.LogisticRegression(C=np.inf, tol=1e-14), X, y)
    coef_table(exact, X, y)  # in silence
    with pytest.warns(ConvergenceWarning, match="not those of the fit"):
        coef_table(exact, X[:200], y[:200])
    sharp = (X[:, 0] > 0).astype(int)
    separated = fit(ours.LogisticRegression(C=np.inf, max_iter=50), X, sharp)
    with pytest.warns(ConvergenceWarning, match="classes are separated"):
        coef_table(separated, X, sharp)


def test_scikit_learn_s_estimators_have_the_same_table():
    X, eta, rng = rows()
    y, labels = eta + rng.normal(size=60), (eta + rng.logistic(size=60) > 0).astype(int)
    counts = rng.poisson(np.exp(eta))
    pairs = [
        (theirs.LinearRegression(), ours.LinearRegression(), y),
        (theirs.Ridge(tol=1e-12), ours.Ridge(tol=1e-12), y),
        (theirs.RidgeCV([0.1, 1.0]), ours.RidgeCV([0.1, 1.0]), y),
        (theirs.ElasticNet(0.1, l1_ratio=0.0, tol=1e-12), None, y),
        (theirs.LogisticRegression(tol=1e-12, max_iter=10**4), None, labels),
        (theirs.LogisticRegression(class_weight="balanced", tol=1e-9, max_iter=999), None, labels),
        (theirs.PoissonRegressor(alpha=0.1, tol=1e-12, max_iter=10**4), None, counts),
        (theirs.TweedieRegressor(power=0.0, alpha=0.1, tol=1e-12), None, y),
    ]
    for one, other, target in pairs:
        known = getattr(ours, type(one).__name__)
        shared = set(one.get_params()) & set(known().get_params()) - {"solver", "penalty"}
        params = {k: v for k, v in one.get_params().items() if k in shared}
        other = known(**params) if other is None else other
        tables = [quiet(coef_table, fit(model, X, target), X, target) for model in (one, other)]
        np.testing.assert_allclose(*[t.to_numpy() for t in tables], rtol=1e-3, atol=1e-6)
    chosen = fit(theirs.LogisticRegressionCV(Cs=[0.1, 1.0], cv=3, tol=1e-10), X, labels)
    given = ours.LogisticRegression(C=float(np.ravel(chosen.C_)[0]), tol=1e-12)
    tables = [quiet(coef_table, m, X, labels) for m in (chosen, fit(given, X, labels))]
    np.testing.assert_allclose(*[t.to_numpy() for t in tables], rtol=1e-3, atol=1e-5)
    scaled = theirs.LogisticRegression(
        solver="liblinear", intercept_scaling=2.0, tol=1e-12, max_iter=10**5
    )
    fit(scaled, X, labels)
    with warnings.catch_warnings():  # at its optimum: the intercept's penalty is counted
        warnings.simplefilter("error", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The model is penalised")
        coef_table(scaled, X, labels)


def test_many_targets_and_the_frame():
    X, eta, rng = rows()
    y = np.column_stack([eta, -eta]) + rng.normal(size=(60, 2))
    model = ours.LinearRegression().fit(X, y)
    found = coef_summary(model, X, y, cov="HC3", level=0.9)
    for j in (0, 1):
        alone = coef_table(
            ours.LinearRegression().fit(X, y[:, j]), X, y[:, j], cov="HC3", level=0.9
        )
        np.testing.assert_allclose(found.table.loc[j].to_numpy(), alone.to_numpy(), rtol=1e-8)
        half = stats.norm.isf(0.05) * alone.std_error
        np.testing.assert_allclose(alone.upper - alone.estimate, half)
    assert found.table.index.names == ["target", "feature"]
    assert found.covariance.loc[(0, "x0"), (1, "x0")] == 0.0
    assert found.table.attrs["cov"] == "HC3"
    assert found.table.attrs["df_resid"] == pytest.approx([56.0, 56.0])
    pd.concat([found.table, found.table])  # attributes are compared there
    text = str(found)
    assert "LinearRegression: 60 rows, covariance HC3" in text
    assert "intercept" in text
    assert text == repr(found)
    without = ours.LinearRegression(fit_intercept=False).fit(X, y[:, 0])
    assert list(coef_table(without, X, y[:, 0]).index) == ["x0", "x1", "x2"]


def test_float32_and_integers_and_lists():
    X, eta, rng = rows()
    y = eta + rng.normal(size=60)
    wanted = coef_table(ours.LinearRegression().fit(X, y), X, y)
    narrow = X.astype(np.float32)
    model = ours.LinearRegression().fit(narrow, y)
    found = coef_table(model, narrow, y.tolist())
    np.testing.assert_allclose(found.std_error, wanted.std_error, rtol=1e-4)


def test_what_has_no_standard_errors_is_refused():
    X, eta, rng = rows()
    y, labels = eta + rng.normal(size=60), (eta > eta.mean()).astype(int)
    linear = ours.LinearRegression().fit(X, y)
    l1 = [
        (ours.Lasso(0.1).fit(X, y), y),
        (ours.ElasticNet(0.1).fit(X, y), y),
        (ours.LogisticRegression(l1_ratio=1.0).fit(X, labels), labels),
        (ours.LogisticRegression(l1_ratio=0.5, C=2.0).fit(X, labels), labels),
    ]
    for model, target in l1:
        with pytest.raises(ValueError, match="has an l1 penalty"):
            coef_table(model, X, target)
    with pytest.raises(ValueError, match="positive=True"):
        coef_table(ours.LinearRegression(positive=True).fit(X, y), X, y)
    squares = ours.TweedieRegressor(power=0, link="identity", alpha=0.0, tol=1e-14).fit(X, y)
    np.testing.assert_allclose(
        coef_table(squares, X, y).std_error, coef_table(linear, X, y).std_error, rtol=1e-6
    )
    other = fit(theirs.TweedieRegressor(power=1.5, link="identity"), X, np.abs(y) + 1.0)
    with pytest.raises(ValueError, match="with the identity as its link"):
        coef_table(other, X, np.abs(y) + 1.0)
    with pytest.raises(TypeError, match="no standard errors for HuberRegressor"):
        coef_table(ours.HuberRegressor().fit(X, y), X, y)
    with pytest.raises(ValueError, match="cov must be one of classic"):
        coef_table(linear, X, y, cov="HC4")
    with pytest.raises(ValueError, match="groups go with cov='cluster'"):
        coef_table(linear, X, y, groups=labels)
    with pytest.raises(ValueError, match="groups go with cov='cluster'"):
        coef_table(linear, X, y, cov="cluster")
    with pytest.raises(ValueError, match="groups must be two at least, got 1"):
        coef_table(linear, X, y, cov="cluster", groups=np.zeros(60))
    with pytest.raises(ValueError, match="one label for each of the 60 rows"):
        coef_table(linear, X, y, cov="cluster", groups=labels[:5])
    with pytest.raises(ValueError, match="level must be between 0 and 1, got 95"):
        coef_table(linear, X, y, level=95)
    with pytest.raises(ValueError, match="weights must be"):
        coef_table(linear, X, y, weights="analytic")
    with pytest.raises(ValueError, match="dispersion must be"):
        coef_table(linear, X, y, dispersion="deviance")
    with pytest.raises(ValueError, match="features"):
        coef_table(linear, X[:, :2], y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        coef_table(linear, X, y[:5])
    with pytest.raises(ValueError, match="more rows than parameters, got 4 rows"):
        quiet(coef_table, linear, X[:4], y[:4])
    with pytest.raises(ValueError, match="must not be negative"):
        coef_table(linear, X, y, np.full(60, -1.0))
    logistic = fit(ours.LogisticRegression(), X, labels)
    with pytest.raises(ValueError, match="labels that the model has not"):
        coef_table(logistic, X, labels + 1)
    with pytest.raises(ValueError, match="reference must be one of the classes"):
        quiet(coef_table, logistic, X, labels, reference=7)
