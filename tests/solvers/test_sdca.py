"""SDCA: the optimum that others find, its proven gap, and what must not change the result."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import brentq, minimize
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge

import fastgd
from fastgd._monitoring.observer import Observer
from fastgd._solvers import _sdca_one
from fastgd._solvers._auto import choose
from fastgd._solvers._sdca import sdca
from fastgd._solvers._sdca_one import OneOutput
from fastgd._solvers._task import Options, Task
from fastgd.kernels import losses
from fastgd.kernels.losses import LogLoss, Softmax
from fastgd.kernels.rows import CSR, Dense
from fastgd.kernels.sdca import GROUP, DualProblem, Samples, largest_together
from tests.tables import over_product

SMOOTH = [
    losses.SquaredError(),
    losses.Huber(0.3),
    losses.SquaredEpsilonInsensitive(0.1),
    LogLoss(),
    losses.SquaredHinge(),
    losses.ModifiedHuber(),
    losses.SmoothHinge(0.7),
    losses.LogCosh(0.6),
]
OFTEN = ("SquaredError", "LogLoss", "SquaredHinge", "Hinge")  # compiled for other tests too
NONSMOOTH = [
    losses.Hinge(1.0),
    losses.EpsilonInsensitive(0.1),
    losses.Quantile(0.3),
    losses.AbsoluteError(),
]


def name(loss):
    return type(loss).__name__


def over_losses(tags):
    """Return the mark of a test of losses, all but a few of which are marked full."""
    rows = [
        pytest.param(spec, marks=() if name(spec) in OFTEN else pytest.mark.full) for spec in tags
    ]
    return pytest.mark.parametrize("loss", rows, ids=[name(spec) for spec in tags])


def as_rows(X):
    arrays = (X.data, X.indices, X.indptr) if sp.issparse(X) else (np.ascontiguousarray(X),)
    views = [array.view() for array in arrays]
    for view in views:
        view.flags.writeable = False
    return CSR(*views) if sp.issparse(X) else Dense(*views)


def fit(X, y, loss, l2, *, l1=0.0, weight=None, n_outputs=1, fit_intercept=True, **options):
    start = options.pop("start", None)
    task = Task(as_rows(X), y, weight, loss, l1, l2, X.shape[1], n_outputs, fit_intercept)
    return sdca(task, Options(**options), start)


def problem(rng, loss, n=120, d=8):
    """Return X, and targets of the loss's kind."""
    X = rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.6)
    raw = X @ rng.normal(size=d) + 0.7 + 0.5 * rng.normal(size=n)
    if loss.kind == losses.BINARY:
        return X, np.where(raw > 0, 1.0, loss.negative)
    return X, raw


def objective(X, y, loss, l1, l2, w, b, weight=None):
    raw = np.asarray(X @ w + b, np.float64)
    values = [losses.value(loss, *pair) for pair in zip(y, raw, strict=True)]
    return np.average(values, weights=weight) + l1 * np.abs(w).sum() + 0.5 * l2 * w @ w


@pytest.mark.parametrize("loss", SMOOTH + NONSMOOTH, ids=name)
def test_conjugate_bounds_and_step(loss):
    """Fenchel's inequality is tight at the derivative; a step solves its equation."""
    for y in (1.0, loss.negative) if loss.kind == losses.BINARY else (0.4,):
        low, high = losses.dual_bounds(loss, y)
        for raw in (-2.3, 0.05, 0.4, 1.7):
            r = losses.gradient(loss, y, raw)
            assert low <= r <= high
            total = losses.value(loss, y, raw) + losses.conjugate(loss, y, r)
            assert total == pytest.approx(r * raw, abs=1e-12)
            for q in (0.3, 90.0):
                dual = 0.5 * r
                new, slope = losses.dual_step(loss, y, raw, dual, q)
                assert low <= new <= high
                assert slope >= 0.0
                if any(loss is smooth for smooth in SMOOTH):  # equal tuples are not the same spec
                    wanted = losses.gradient(loss, y, raw - q * (new - dual))
                    if not isinstance(loss, LogLoss):  # whose test is below
                        assert new == pytest.approx(wanted, abs=1e-12 * (1.0 + abs(r - dual)))


@pytest.mark.parametrize("q", [0.0, 1e-8, 1.0, 1e5, 1e10])
@pytest.mark.parametrize("raw", [1e-6, -3.0, 1e4])
def test_a_step_of_log_cosh_is_solved_at_any_q(raw, q):
    """Not by the loss at the new prediction, which q amplifies: z + q tanh(z) = target itself."""
    loss, y, dual = losses.LogCosh(0.6), 0.4, 0.2
    r, slope = losses.dual_step(loss, y, raw, dual, q)
    target = (raw - y + q * dual) / 0.6
    z = np.arctanh(r / 0.6) if abs(r) < 0.6 * (1 - 1e-9) else target - q * r / 0.6
    assert z + q * np.tanh(z) == pytest.approx(target, rel=1e-12, abs=1e-12)
    assert r == pytest.approx(0.6 * np.tanh(z), rel=1e-12)
    assert 0.0 <= slope <= 1.0


@pytest.mark.parametrize("q", [0.0, 1e-8, 0.3, 8.0, 20.0, 1e3, 1e6])
def test_a_step_of_the_logistic_loss_loses_little_at_any_q(rng, q):
    """Newton's steps went to and fro from q near 10 on, and ended anywhere: 15 is one such row."""
    loss = LogLoss()
    some = zip(15.0 * rng.normal(size=80), expit(6.0 * rng.normal(size=80)), strict=True)
    for raw, p in [*some, (7.925522803606259, 0.4419841333773561), (-19.1, 0.022), (30.0, 1e-9)]:
        for y in (0.0, 1.0):
            target = raw + q * p
            z = brentq(lambda z, t=target: z + q * expit(z) - t, target - q - 1.0, target + 1.0)
            r, slope = losses.dual_step(loss, y, raw, p - y, q)
            bend = expit(z) * expit(-z)
            assert r + y == pytest.approx(expit(z), abs=0.02 * abs(expit(z) - p) + 1e-9)
            assert slope == pytest.approx(bend / (1.0 + q * bend), rel=0.2, abs=1e-12)


@pytest.mark.parametrize("C", [20.0, 1000.0])
def test_rows_that_move_themselves_much_are_fitted_in_few_passes(rng, C):
    """Nearly independent rows of length 1, as of texts, where q = C."""
    n, d, k = 400, 600, 8
    X = sp.csr_matrix(
        (rng.random(n * k), rng.integers(0, d, n * k), np.arange(0, n * k + 1, k)), shape=(n, d)
    )
    X = sp.csr_matrix(X.multiply(1.0 / sp.linalg.norm(X, axis=1)[:, None]))
    y = (X @ rng.normal(size=d) + 0.1 * rng.normal(size=n) > 0.4).astype(float)
    done = fit(X, y, LogLoss(), 1.0 / (C * n), tol=1e-6, max_iter=100)
    assert done.converged
    assert 0.0 <= done.gap <= 1e-6 * done.objective


@pytest.mark.parametrize("fit_intercept", [True, False])
@over_losses(SMOOTH)
def test_gap_proves_the_optimum(rng, loss, fit_intercept):
    X, y = problem(rng, loss)
    done = fit(X, y, loss, 0.02, tol=1e-10, fit_intercept=fit_intercept)
    assert done.converged
    assert 0.0 <= done.gap <= 1e-10 * done.objective
    found = objective(X, y, loss, 0.0, 0.02, done.coef, done.intercept)
    assert found == pytest.approx(done.objective, rel=1e-12)
    for _ in range(20):  # no neighbour is better
        w = done.coef + 1e-3 * rng.normal(size=8)
        b = done.intercept + (1e-3 * rng.normal() if fit_intercept else 0.0)
        assert objective(X, y, loss, 0.0, 0.02, w, b) > found


@over_losses([*SMOOTH, *NONSMOOTH])
@pytest.mark.parametrize("max_iter", [1, 2, 5])
def test_gap_is_never_below_the_true_one(rng, loss, max_iter):
    X, y = problem(rng, loss)
    best = fit(X, y, loss, 0.05, tol=1e-9, max_iter=2000)
    early = fit(X, y, loss, 0.05, tol=0.0, max_iter=max_iter)
    assert early.gap >= early.objective - best.objective - 1e-12
    assert best.objective - best.gap <= early.objective


@pytest.mark.parametrize("max_iter", [1, 2, 8])
def test_gap_is_never_below_the_true_one_of_tiny_targets(max_iter):
    """Whether derivatives sum to zero is judged by their own size."""
    tiny, l2 = 2.0**-46, 1.0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(60, 2)) + 5.0 * (seed % 2)
        y = X @ rng.normal(size=2) + rng.standard_t(1.5, size=60) + 10.0

        def cost(params, X=X, y=y):
            residual = np.abs(X @ params[:-1] + params[-1] - y)
            inner = np.minimum(residual, 1.0)
            penalty = 0.5 * l2 * float(params[:-1] @ params[:-1])
            return float(np.mean(inner * (residual - 0.5 * inner))) + penalty

        best = minimize(cost, np.append(np.zeros(2), np.median(y)), options={"gtol": 1e-6}).fun
        found = fit(X, y * tiny, losses.Huber(tiny), l2, max_iter=max_iter)
        beyond = cost(np.append(found.coef, found.intercept) / tiny) - best
        assert found.gap / tiny**2 >= beyond - 1e-6 * best


@over_losses(NONSMOOTH)
def test_nonsmooth_losses_reach_a_free_intercept(rng, loss):
    X, y = problem(rng, loss)
    done = fit(X, y, loss, 0.05, tol=1e-5, max_iter=3000)
    assert done.converged


def test_logistic_regression_agrees_with_scikit_learn(rng):
    X, y = problem(rng, LogLoss())
    theirs = LogisticRegression(C=1.0, tol=1e-12, max_iter=10000).fit(X, y)
    ours = fit(X, y, LogLoss(), 1.0 / len(y), tol=1e-13, max_iter=3000)
    np.testing.assert_allclose(ours.coef, theirs.coef_[0], rtol=1e-5)
    np.testing.assert_allclose(ours.intercept, theirs.intercept_[0], rtol=1e-5)


def test_squared_error_agrees_with_ridge(rng):
    X, y = problem(rng, losses.SquaredError())
    weight = rng.random(len(y))
    theirs = Ridge(alpha=0.1 * weight.sum()).fit(X, y, sample_weight=weight)
    ours = fit(X, y, losses.SquaredError(), 0.1, weight=weight, tol=1e-14)
    np.testing.assert_allclose(ours.coef, theirs.coef_, rtol=1e-6)
    np.testing.assert_allclose(ours.intercept, theirs.intercept_, rtol=1e-6)


def test_elastic_net_agrees_with_scikit_learn(rng):
    X, y = problem(rng, losses.SquaredError())
    theirs = ElasticNet(alpha=0.3, l1_ratio=0.5, tol=1e-12, max_iter=100000).fit(X, y)
    ours = fit(X, y, losses.SquaredError(), 0.15, l1=0.15, tol=1e-13, max_iter=3000)
    np.testing.assert_allclose(ours.coef, theirs.coef_, atol=1e-6)
    np.testing.assert_array_equal(ours.coef == 0.0, theirs.coef_ == 0.0)


@pytest.mark.parametrize("l1", [0.0, 0.02])
def test_softmax_agrees_with_scikit_learn(rng, l1):
    X = rng.normal(size=(150, 6))
    y = np.argmax(X @ rng.normal(size=(6, 4)) + rng.gumbel(size=(150, 4)), axis=1)
    l2 = 0.02
    ours = fit(X, y, Softmax(), l2, l1=l1, n_outputs=4, tol=1e-11, max_iter=5000)
    share, C = l1 / (l1 + l2), 1.0 / (150 * (l1 + l2))
    options = {"l1_ratio": share, "solver": "saga"} if l1 else {}
    theirs = LogisticRegression(C=C, tol=1e-10, max_iter=100000, **options)
    theirs.fit(X, y)
    np.testing.assert_allclose(ours.coef, theirs.coef_, atol=2e-4)
    assert ours.converged
    np.testing.assert_allclose(
        ours.intercept - ours.intercept.mean(),
        theirs.intercept_ - theirs.intercept_.mean(),
        atol=2e-4,
    )


@over_product(
    lambda dtype, loss: dtype is np.float64 and name(loss) == "LogLoss",
    dtype=[np.float32, np.float64],
    loss=[LogLoss(), Softmax()],
)
def test_layouts_agree(rng, loss, dtype):
    X, y = problem(rng, LogLoss())
    X, options = X.astype(dtype), {"n_outputs": 2, "tol": 1e-12, "max_iter": 3000}
    dense = fit(X, y, loss, 0.05, **options)
    sparse = fit(sp.csr_array(X), y, loss, 0.05, **options)
    np.testing.assert_allclose(dense.coef, sparse.coef, atol=1e-6)
    assert dense.objective == pytest.approx(sparse.objective, rel=1e-11)


@pytest.mark.parametrize("loss", [LogLoss(), losses.SquaredHinge(), Softmax()], ids=name)
def test_weights_are_repeated_rows(rng, loss):
    X, y = problem(rng, LogLoss() if loss.kind == losses.MULTINOMIAL else loss)
    times = rng.integers(0, 4, size=len(y))
    options = {"n_outputs": 2, "tol": 1e-13, "max_iter": 3000}
    weighted = fit(X, y, loss, 0.05, weight=times.astype(float), **options)
    repeated = fit(np.repeat(X, times, 0), np.repeat(y, times), loss, 0.05, **options)
    np.testing.assert_allclose(weighted.coef, repeated.coef, atol=1e-5)
    np.testing.assert_allclose(weighted.intercept, repeated.intercept, atol=1e-5)


@pytest.mark.parametrize("loss", [LogLoss(), Softmax()], ids=name)
def test_warm_start_goes_on(rng, loss):
    X, y = problem(rng, LogLoss())
    first = fit(X, y, loss, 0.05, n_outputs=2, tol=1e-9)
    again = fit(X, y, loss, 0.05, n_outputs=2, tol=1e-9, start=first.state)
    assert again.converged
    assert again.n_iter < first.n_iter
    other = fit(X, y, loss, 0.01, n_outputs=2, tol=1e-9, start=first.state)
    fresh = fit(X, y, loss, 0.01, n_outputs=2, tol=1e-9)
    assert other.objective == pytest.approx(fresh.objective, rel=1e-8)


def unusual(rng):
    """Yield data that breaks what is written carelessly."""
    X = rng.normal(size=(60, 5))
    one = np.zeros(60)
    one[0] = 1.0
    y = (X[:, 0] > 0).astype(float)
    yield "one_sample", X, one
    yield "constant_column", np.column_stack([X, np.full(60, 3.0)]), y
    yield "duplicates", np.hstack([X, X]), y
    yield "wide", rng.normal(size=(20, 300)), y[:20]
    yield "zero_rows", X * (rng.random((60, 1)) < 0.5), y
    yield "all_zero", np.zeros((60, 5)), y
    yield "one_class", X, np.ones(60)
    yield "three_rows", X[:3], np.array([0.0, 1.0, 1.0])
    yield "huge", X * 1e4, y


@pytest.mark.parametrize("loss", [LogLoss(), losses.SquaredHinge(), Softmax()], ids=name)
@pytest.mark.parametrize("case", range(9))
def test_unusual_data(rng, loss, case):
    _, X, y = list(unusual(rng))[case]
    y = np.where(y > 0, 1.0, -1.0) if isinstance(loss, losses.SquaredHinge) else y
    done = fit(X, y, loss, 1.0 / len(y), n_outputs=2, tol=1e-6, max_iter=200)
    assert np.isfinite(done.coef).all()
    assert np.isfinite(done.intercept).all()
    assert np.isfinite(done.objective)
    assert done.gap >= 0.0


@pytest.mark.parametrize("loss", [losses.SquaredError(), losses.SquaredHinge()], ids=name)
def test_next_to_nothing_of_the_null_model_is_no_zero(rng, loss):
    """A penalty of 1e-12 leaves 1e-10 of the null model's objective: that is no reason to stop."""
    X = rng.normal(size=(120, 8))
    y = X @ rng.normal(size=8)
    y = np.sign(y) if isinstance(loss, losses.SquaredHinge) else y
    found = fit(X, y, loss, 1e-12, tol=1e-3, max_iter=100)
    assert found.gap <= 1e-3 * found.objective or not found.converged


def test_no_ridge_is_refused():
    with pytest.raises(ValueError, match="l2 > 0"):
        fit(np.eye(2), np.array([0.0, 1.0]), LogLoss(), 0.0)


@pytest.mark.full
def test_float32_coefficients_reach_an_ordinary_tolerance(rng):
    X = sp.csr_array(rng.normal(size=(200, 10)).astype(np.float32))
    y = np.argmax(X[:, :3].toarray() + rng.gumbel(size=(200, 3)), axis=1)
    narrow = fit(X, y, Softmax(), 0.01, n_outputs=3, tol=1e-5)
    wide = fit(X, y, Softmax(), 0.01, n_outputs=3, tol=1e-12, max_iter=5000)
    assert narrow.coef.dtype == np.float32
    assert wide.coef.dtype == np.float64
    assert narrow.converged
    assert 0.0 <= narrow.objective - wide.objective <= 1e-5 * wide.objective


def test_history_has_the_passes_of_both_solvers(rng):
    """A tenth of the passes is left for descent, which tells other figures than SDCA."""
    X = rng.normal(size=(300, 30)) * np.geomspace(1.0, 300.0, 30)
    y = (X[:, 0] + rng.normal(size=300) > 0.0).astype(int)
    model = fastgd.LogisticRegression(C=1e3, solver="sdca", max_iter=60).fit(X, y)
    assert model.solver_ == "gd"
    assert all(len(part) == model.n_iter_[0] for part in model.history_.values())
    estimates = np.isfinite(model.history_["loss_estimate"])
    assert estimates[:54].all()
    assert not estimates[54:].any()
    np.testing.assert_array_equal(np.isfinite(model.history_["objective"]), ~estimates)


@pytest.mark.parametrize("loss", [LogLoss(), losses.Hinge(1.0), Softmax()], ids=name)
def test_passes_that_end_too_soon_leave_nothing_worse_than_the_null_model(loss, rng):
    X = rng.normal(size=(200, 20)) * np.geomspace(1.0, 1e6, 20)
    shift = 2.0 * rng.normal(size=200) + 0.3
    y = np.digitize(shift, [-1.0, 1.0]).astype(np.int32)
    if loss.kind == losses.BINARY:
        y = np.where(shift > 0.0, 1.0, loss.negative)
    n_outputs = 1 if loss.kind == losses.BINARY else 3
    done = fit(X, y, loss, 1e-6, n_outputs=n_outputs, max_iter=3)
    null = fit(X, y, loss, 1e-6, n_outputs=n_outputs, max_iter=0)
    assert not done.converged
    assert done.objective <= null.objective * (1.0 + 1e-6)
    assert done.gap <= done.objective * (1.0 + 1e-9)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_no_pass_is_taken_where_none_is_allowed(n_classes, rng):
    X = rng.normal(size=(50, 4))
    y = np.digitize(X[:, 0], [0.0, 1.0][: n_classes - 1])
    with pytest.warns(ConvergenceWarning, match="after 0 passes"):
        model = fastgd.LogisticRegression(solver="sdca", max_iter=0).fit(X, y)
    best = fastgd.LogisticRegression(tol=1e-8).fit(X, y).objective_
    assert model.n_iter_.max() == 0
    assert not model.coef_.any()
    assert model.objective_ - model.gap_ <= best <= model.objective_


@pytest.mark.parametrize(
    ("n_features", "C", "solver"),
    [(3000, 10.0, "sdca"), (3000, 1e4, "sdca"), (2900, 5.0, "gd"), (2900, 4.0, "sdca")],
)
def test_rows_of_text_are_solved_by_sdca_up_to_a_strength(n_features, C, solver, rng):
    """A row of length 1 moves its own prediction by q = C, times its residual."""
    columns = np.sort(rng.permuted(np.tile(np.arange(n_features), (3000, 1)), axis=1)[:, :4])
    X = sp.csr_matrix((np.full(12_000, 0.5), columns.ravel(), np.arange(0, 12_001, 4)))
    X.resize((3000, n_features))
    y = rng.integers(0, 2, 3000)
    model = fastgd.LogisticRegression(C=C * (1.0 - 1e-9), tol=1e-4).fit(X, y)
    assert model.solver_ == solver
    assert model.gap_ <= 1e-4 * model.objective_


def stepped(X, y, order, scale, together):
    """Return v and r after a pass of squared errors, as a plain loop."""
    v, r, position = np.zeros(X.shape[1]), np.zeros(len(y)), 0
    while position < len(order):
        some = order[position : position + (GROUP if together > 0.0 else 1)]
        if np.max(scale * np.sum(X[some] ** 2, axis=1)) > together:
            some = some[:1]
        q = scale * np.sum(X[some] ** 2, axis=1)
        moved = (X[some] @ v + q * r[some] - y[some]) / (1.0 + q)
        v = v - scale * (moved - r[some]) @ X[some]
        r[some] = moved
        position += len(some)
    return v, r


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("largest", [0.4, 3.0])
def test_a_pass_steps_rows_together_that_move_little(rng, layout, largest):
    X, y = rng.normal(size=(30, 4)), rng.normal(size=30)
    scale = largest / float(np.max(np.sum(X**2, axis=1)))
    together = largest_together(1.0)
    rule = DualProblem(losses.SquaredError(), 30.0, scale, 0.0, False, together)
    engine = OneOutput(as_rows(layout(X)), Samples(y, np.empty(0)), rule, 4)
    order = rng.permutation(30).astype(np.int32)
    engine.one_pass(order, True)
    v, r = stepped(X, y, order, scale, together)
    np.testing.assert_allclose(engine.memory.params[:-1], v, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(engine.memory.dual, r, rtol=1e-10, atol=1e-14)


def test_steps_of_equal_rows_do_not_overshoot(rng):
    """Groups of the same row, each of whose steps would almost do for all of them."""
    X = np.repeat(rng.normal(size=(5, 6)), 80, axis=0)
    X /= np.linalg.norm(X, axis=1)[:, None]
    y = (rng.random(400) < 0.6).astype(float)
    l2 = 1.0 / (400 * 0.99 * largest_together(0.25))
    found = fit(X, y, LogLoss(), l2, tol=1e-9, max_iter=200)
    assert found.converged
    theirs = LogisticRegression(C=1.0 / (400 * l2), tol=1e-10, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(found.coef, theirs.coef_[0], atol=1e-4)


def test_what_is_proven_is_what_is_kept(rng):
    """Coefficients are those of float32 before their objective is computed."""
    X = sp.random_array((600, 900), density=0.01, format="csr", dtype=np.float32, rng=rng)
    y = (X @ rng.normal(size=900) > 0).astype(int)
    model = fastgd.LogisticRegression(solver="sdca", tol=1e-3).fit(sp.csr_matrix(X), y)
    w, b = model.coef_[0].astype(np.float64), float(model.intercept_[0])
    assert model.coef_.dtype == np.float32
    wanted = objective(X.astype(np.float64), y, LogLoss(), 0.0, 1.0 / 600, w, b)
    assert model.objective_ == pytest.approx(wanted, rel=1e-12)


def test_digits_that_float32_loses_at_kinks_are_kept(rng):
    """Rounding costs a hinge 1e-8 of its objective: such a model is proven and kept in float64."""
    X = sp.random_array((300, 500), density=0.03, format="csr", dtype=np.float32, rng=rng)
    y = (X @ rng.normal(size=500) + 0.1 * rng.normal(size=300) > 0).astype(int)
    X = sp.csr_matrix(X)
    options = {"loss": "hinge", "tol": 1e-11, "max_iter": 2000}
    model = fastgd.LinearSVC(solver="sdca", **options).fit(X, y)
    exact = fastgd.LinearSVC(solver="sdca", **options).fit(X.astype(np.float64), y)
    assert model.coef_.dtype == np.float64
    assert model.gap_ <= 1e-11 * model.objective_
    assert model.objective_ == pytest.approx(exact.objective_, rel=1e-10)
    assert np.max(model.n_iter_) <= 2 * np.max(exact.n_iter_)


def unlike_rows(rng, n=900, d=400, k=6):
    """Return a CSR matrix of nearly independent rows, and labels with some noise."""
    counts = np.arange(0, n * k + 1, k)
    X = sp.csr_matrix((rng.normal(size=n * k), rng.integers(0, d, n * k), counts), shape=(n, d))
    X.sum_duplicates()
    raw = X @ rng.normal(size=d) + 0.3 * rng.normal(size=n)
    return X, np.where(raw > 0, 1.0, -1.0)


FLAT = [losses.Hinge(1.0), losses.SquaredHinge(), losses.EpsilonInsensitive(0.1)]


def after_passes(X, y, loss, l2, weight, n_passes=8):
    """Return the engine of one output after some passes, without an intercept."""
    mass = float(weight.sum()) if weight.size else float(len(y))
    rule = DualProblem(loss, mass, 1.0 / (mass * l2), 0.0, False)
    engine = OneOutput(as_rows(X), Samples(y, weight), rule, X.shape[1])
    order = np.arange(len(y), dtype=np.int32)
    for number in range(n_passes):
        engine.one_pass(order, number == 0)
    return engine


def dual_objective(X, y, loss, l2, weight, dual):
    """Return mean_i loss*(r_i) + l2/2 |v|^2, which is minimised."""
    s = weight / weight.sum() if weight.size else np.full(len(y), 1.0 / len(y))
    v = -(X.T @ (s * dual)) / l2
    costs = [losses.conjugate(loss, *pair) for pair in zip(y, dual, strict=True)]
    return s @ costs + 0.5 * l2 * v @ v


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", FLAT, ids=name)
def test_a_step_of_the_face_lowers_the_dual_objective_and_keeps_the_tie(rng, loss, weighted):
    X, y = unlike_rows(rng, n=200, d=150)
    weight = rng.random(200) * (rng.random(200) < 0.9) if weighted else np.empty(0)
    l2 = 1.0 / 2000.0
    engine = after_passes(X, y, loss, l2, weight)
    before = dual_objective(X, y, loss, l2, weight, engine.memory.dual)
    share, passes = engine.move_face(40, 40)
    dual, s = engine.memory.dual, weight if weighted else np.ones(200)
    assert 0.0 < share <= 1.0
    assert 1 <= passes <= 41
    assert dual_objective(X, y, loss, l2, weight, dual) < before
    v = -(X.T @ (s * dual)) / (s.sum() * l2)
    assert np.allclose(engine.memory.params[:-1], v, rtol=1e-10, atol=1e-12)
    low, high = np.array([losses.dual_bounds(loss, one) for one in y]).T
    assert np.all((low <= dual) & (dual <= high))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", FLAT[:2], ids=name)
def test_a_step_of_the_face_solves_its_equations(rng, loss, weighted):
    """c_i dr_i + sum_j s_j dr_j x_i x_j / (S l2) = e_i, with e_i what raw_i is off the kink."""
    X, y = unlike_rows(rng, n=60, d=150)
    weight, l2 = 0.5 + rng.random(60) if weighted else np.empty(0), 1.0 / 100.0
    engine = after_passes(X, y, loss, l2, weight, 30)
    old, v = engine.memory.dual.copy(), engine.memory.params[:-1].copy()
    s = weight if weighted else np.ones(60)
    K = (X @ X.T).toarray() * s / (s.sum() * l2)
    off = X @ v - (y if isinstance(loss, losses.Hinge) else y + 0.5 * old)
    c = 0.0 if isinstance(loss, losses.Hinge) else 0.5
    stepped = old + off / (c + K.diagonal())
    is_in = (y * stepped < 0.0) & (old != 0.0)
    if isinstance(loss, losses.Hinge):
        is_in &= y * stepped > -1.0
    wanted = old.copy()
    matrix = K[np.ix_(is_in, is_in)] + c * np.eye(is_in.sum())
    wanted[is_in] += np.linalg.solve(matrix, off[is_in])
    share, _ = engine.move_face(200, 1000)
    assert share == 1.0
    assert np.allclose(engine.memory.dual, wanted, atol=2e-3 * np.abs(wanted - old).max())


@pytest.mark.parametrize("C", [20.0, 1000.0])
@pytest.mark.parametrize("loss", FLAT[:2], ids=name)
def test_free_derivatives_move_together_at_any_strength(rng, loss, C):
    """One at a time they took thousands of passes; dense rows and sparse ones agree."""
    X, y = unlike_rows(rng)
    options = {"tol": 1e-6, "max_iter": 1000, "fit_intercept": False}
    done = fit(X, y, loss, 1.0 / (C * len(y)), **options)
    assert done.converged
    assert 0.0 <= done.gap <= 1e-6 * done.objective
    dense = fit(X.toarray(), y, loss, 1.0 / (C * len(y)), **options)
    assert dense.objective == pytest.approx(done.objective, rel=2e-6)


def test_work_on_a_face_counts_as_passes(rng):
    """``max_iter`` bounds it, the history has an entry for each, and reports add up to n_iter."""
    X, y = unlike_rows(rng)
    for max_iter in (5, 7, 8, 9, 12, 30):
        seen = Counting()
        options = {"tol": 1e-12, "max_iter": max_iter, "fit_intercept": False, "observer": seen}
        done = fit(X, y, losses.Hinge(1.0), 1.0 / (100.0 * len(y)), **options)
        assert done.n_iter == seen.passes == max_iter
        assert {len(values) for values in done.history.values()} == {max_iter}


def test_products_of_a_face_count_for_no_more_passes_than_were_given(rng, monkeypatch):
    """35 products of 29 rows of 35 are 29 reads of all rows, and 4e-15 by rounding."""
    monkeypatch.setattr(_sdca_one, "face_step", lambda *_: (1.0, 1.0 + 29.0 / 35.0 * 35))
    X, y = unlike_rows(rng, n=35)
    engine = after_passes(X, y, losses.Hinge(1.0), 1.0 / 3500.0, np.empty(0), 1)
    assert 1.0 + 29.0 / 35.0 * 35 > 30.0
    assert engine.move_face(35, 29) == (1.0, 30)


class Counting(Observer):
    """Counts the passes that are reported."""

    is_watching, passes = True, 0

    def passed(self, model, figures, passes=1):  # noqa: ARG002
        self.passes += passes
        return False


def test_rows_that_are_much_larger_than_the_others(rng):
    """Of too many rows and columns for a matrix: a few made it end far above the optimum."""
    n, d, k = 3300, 3100, 8
    counts = np.arange(0, n * k + 1, k)
    X = sp.csr_matrix((rng.normal(size=n * k), rng.integers(0, d, n * k), counts), shape=(n, d))
    X.sum_duplicates()
    y = (X @ rng.normal(size=d) + rng.normal(size=n) > 0).astype(int)
    scale = np.ones(n)
    scale[:: n // 4] = 1e5
    X = sp.csr_matrix(sp.diags(scale) @ X)
    model = fastgd.linear_model.LinearSVC(C=1.0, loss="hinge").fit(X, y)
    assert 0.0 <= model.gap_ <= 1e-4 * model.objective_
    assert model.n_iter_ < 500


@pytest.mark.parametrize("C", [1e2, 1e5])
@pytest.mark.parametrize(("name", "shape"), [("SVC", (4000, 3100)), ("SVR", (3100, 4500))])
def test_rows_that_can_all_be_right_are_so_at_any_strength(rng, name, shape, C):
    """Smooth approximations, which other shapes get at such C, ended at up to 1,000 times that."""
    X, raw = scattered(rng, shape)
    model, y = fastgd.LinearSVC(C=C, loss="hinge"), (raw > 0).astype(int)
    if name == "SVR":
        model, y = fastgd.LinearSVR(C=C, epsilon=0.1), raw
    model.fit(X, y)
    assert 0.0 <= model.gap_ <= 1e-4 * model.objective_
    assert np.max(model.n_iter_) < 900


def scattered(rng, shape, k=8):
    """Return a CSR matrix of k entries a row, and numbers that it says something of."""
    (n, d), counts = shape, np.arange(0, shape[0] * k + 1, k)
    X = sp.csr_matrix((rng.normal(size=n * k), rng.integers(0, d, n * k), counts), shape=shape)
    X.sum_duplicates()
    return X, X @ rng.normal(size=d) + rng.normal(size=n)


@pytest.mark.parametrize(
    ("loss", "shape", "n_empty", "solver"),
    [
        (losses.Hinge(1.0), (6400, 3200), 0, "sdca"),
        (losses.Hinge(1.0), (6800, 3200), 0, "gd"),
        (losses.Hinge(1.0), (6800, 3200), 4000, "gd"),
        (losses.EpsilonInsensitive(0.1), (3200, 3200), 0, "sdca"),
        (losses.EpsilonInsensitive(0.1), (3300, 3200), 0, "gd"),
        (losses.EpsilonInsensitive(0.1), (3300, 3200), 4000, "gd"),
    ],
)
def test_columns_that_hold_something_say_whether_all_rows_can_be_right(
    rng, loss, shape, n_empty, solver
):
    (n, d), k = shape, 8
    columns = np.concatenate([rng.permutation(d) for _ in range(1 + n * k // d)])[: n * k]
    given = rng.normal(size=n * k), columns, np.arange(0, n * k + 1, k)
    X = sp.csr_matrix(given, shape=(n, d + n_empty))
    y = np.where(X @ np.ones(d + n_empty) > 0, 1.0, -1.0)
    task = Task(as_rows(X), y, None, loss, 0.0, 1.0 / (1e4 * n), d + n_empty, 1, False)
    assert choose(task) == solver


def test_a_check_is_asked_for_by_the_whole_objective(rng):
    """Of separable classes the loss vanishes beside the penalty: its share of tol never came."""
    X, y = unlike_rows(rng, n=300, d=900)
    done = fit(X, y, losses.Hinge(1.0), 1.0 / (1e4 * len(y)), fit_intercept=False, max_iter=500)
    assert done.converged
    assert done.n_iter < 300


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("C", [1.0, 1e3])
def test_smaller_tolerances_take_the_same_steps_of_faces(rng, loss, C):
    X = rng.normal(size=(300, 450))
    y = (X[:, :20] @ rng.normal(size=20) + rng.logistic(size=300) > 0.0).astype(int)
    given = {"loss": loss, "C": C, "solver": "sdca"}
    found = [fastgd.LinearSVC(tol=10.0**-k, **given).fit(X, y).objective_ for k in range(1, 8)]
    assert np.all(np.diff(found) <= 1e-9 * found[-1])  # rounding, of sums that are made anew
