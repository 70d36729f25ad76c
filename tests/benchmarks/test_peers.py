"""The comparison with peers: its objectives are the true ones, and its summary reads them right."""

import json
import math
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model
from sklearn.metrics import log_loss, mean_gamma_deviance, mean_pinball_loss, mean_poisson_deviance

with mock.patch.dict(os.environ):  # the package holds benchmarks to one thread; not the tests
    from benchmarks import data, peers

N_ROWS, N_FEATURES = 60, 5


@pytest.fixture
def X(rng):
    return rng.standard_normal((N_ROWS, N_FEATURES), dtype=np.float32)


@pytest.fixture
def y(rng):
    return (1.0 + rng.gamma(2.0, 3.0, N_ROWS)).astype(np.float32)


@pytest.fixture
def model(rng):
    return SimpleNamespace(coef_=rng.standard_normal(N_FEATURES), intercept_=0.3)


def raw_of(X, model):
    return X.astype(np.float64) @ model.coef_ + model.intercept_


@pytest.mark.parametrize(
    ("loss", "naive"),
    [
        (peers.squared_error, lambda y, raw: np.mean((y - raw) ** 2) / 2),
        (
            peers.half_poisson_deviance,
            lambda y, raw: mean_poisson_deviance(y, np.exp(raw)) / 2,
        ),
        (peers.half_gamma_deviance, lambda y, raw: mean_gamma_deviance(y, np.exp(raw)) / 2),
        (
            partial(peers.pinball, quantile=0.8),
            lambda y, raw: mean_pinball_loss(y, raw, alpha=0.8),
        ),
        (
            partial(peers.epsilon_insensitive, epsilon=0.5, power=2),
            lambda y, raw: np.mean(
                [max(0, abs(a - b) - 0.5) ** 2 for a, b in zip(y, raw, strict=True)]
            ),
        ),
    ],
    ids=["squared_error", "poisson", "gamma", "pinball", "epsilon_insensitive"],
)
def test_mean_of_a_regression_loss(X, y, model, loss, naive):
    y = y.astype(np.float64)
    assert peers.Objective(loss)(X, y, model) == pytest.approx(naive(y, raw_of(X, model)))


def test_penalties(X, y, model):
    bare = peers.Objective(peers.squared_error)(X, y, model)
    w, b = model.coef_, model.intercept_
    penalised = peers.Objective(peers.squared_error, l1=0.5, l2=0.25)(X, y, model)
    assert penalised - bare == pytest.approx(0.5 * np.abs(w).sum() + 0.125 * (w @ w))
    with_intercept = peers.Objective(peers.squared_error, l2=0.25, intercept_too=True)(X, y, model)
    assert with_intercept - bare == pytest.approx(0.125 * (w @ w + b * b))


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("layout", [np.asarray, sp.csr_matrix], ids=["dense", "csr"])
def test_log_loss(X, rng, n_classes, layout):
    y = rng.integers(n_classes, size=N_ROWS)
    model = linear_model.LogisticRegression().fit(X, y)
    expected = log_loss(y, model.predict_proba(X.astype(np.float64)))
    objective = peers.Objective(peers.log_loss)
    assert objective(layout(X), y, model) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("power", [1, 2])
def test_hinge(X, rng, model, power):
    y = rng.integers(2, size=N_ROWS)
    terms = [
        max(0, 1 - (1 if k else -1) * r) ** power for k, r in zip(y, raw_of(X, model), strict=True)
    ]
    objective = peers.Objective(partial(peers.hinge, power=power))
    assert objective(X, y, model) == pytest.approx(np.mean(terms))


def test_huber_is_what_scikit_learn_minimises(X, y):
    model = linear_model.HuberRegressor(alpha=0.1, tol=1e-9, max_iter=1000).fit(X, y)
    objective = partial(peers.huber_objective, epsilon=1.35, alpha=0.1)
    least = objective(X, y, model)
    for word in ("coef_", "intercept_", "scale_"):
        for step in (-1e-2, 1e-2):
            moved = SimpleNamespace(**{**vars(model), word: getattr(model, word) + step})
            assert objective(X, y, moved) > least


def test_blocks_of_rows_make_no_difference(X, y, model, monkeypatch):
    whole = peers.Objective(peers.squared_error)(X, y, model)
    monkeypatch.setattr(peers.objectives, "BLOCK", 7 * N_FEATURES)
    assert peers.Objective(peers.squared_error)(X, y, model) == pytest.approx(whole, rel=1e-14)


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_matrix], ids=["dense", "csr"])
def test_greatest_alpha_leaves_no_coefficient(X, y, layout):
    standardised = (X - X.mean(axis=0)) / X.std(axis=0)
    alpha = peers.greatest_alpha(layout(X), y)
    assert not linear_model.Lasso(alpha=1.001 * alpha).fit(standardised, y).coef_.any()
    assert linear_model.Lasso(alpha=0.999 * alpha, tol=1e-9).fit(standardised, y).coef_.any()


@pytest.mark.parametrize("task", peers.TASKS)
def test_every_peer_comes_near_the_same_objective(task, X, y, rng, capsys):
    """The tightest setting of scikit-learn's solvers, which have nothing but the data in common."""
    target = y if peers.TASKS[task].kind == "numbers" else rng.integers(2, size=N_ROWS)
    problem = peers.TASKS[task].problem(X.astype(np.float64), target)
    values = []
    for contender in problem.contenders:
        if contender.name.startswith("sk-") and contender.name not in INEXACT:
            model = peers.timed_fit(contender, contender.settings[-1], problem.X, problem.y)[1]
            values.append(problem.objective(problem.X, problem.y, model))
    assert values
    assert max(values) <= min(values) * (1 + 1e-4)
    capsys.readouterr()


# They take a few passes, stop early, or penalise an intercept that the others do not.
INEXACT = {"sk-saga", "sk-sag", "sk-SGD", "sk-liblinear"}


def row(contender, setting, seconds, objective):
    return peers.Row(contender, "float32", f"tol={setting}", seconds, objective)


ROWS = [
    row("fastgd", 1e-2, 0.5, 1.0005),
    row("fastgd", 1e-4, 1.0, 1.0),
    row("slow", 1e-4, 9.0, 1.0),
    row("fast", 1e-1, 0.1, 1.5),
    row("fast", 1e-3, 3.0, 1.00005),
    row("fast", 1e-4, 2.0, 1.00001),
]


def test_summary_finds_the_fastest_in_hindsight():
    result = peers.Result("some", "a problem", ROWS, 1.0)
    loose, middle, tight, tightest = peers.comparisons(result)
    assert (loose.peer, loose.ours) == (ROWS[5], ROWS[0])
    assert loose.ratio == middle.ratio == pytest.approx(4.0)
    assert (tight.peer, tight.ours) == (ROWS[5], ROWS[1])
    assert (tightest.peer, tightest.ratio) == (ROWS[2], pytest.approx(9.0))
    assert peers.overall([result], 1e-6).startswith("within 1e-06: geometric mean 9.00, worst 9.00")
    assert (
        "| some | 1e-04 | fast | tol=0.0001, float32 | 2.0000 | 1.0000 | 2.00 |"
        in peers.markdown([result])
    )


def test_summary_of_what_one_side_does_not_reach():
    alone = peers.Result("some", "a problem", ROWS[:2], 1.0)
    assert all(v.peer is None and v.ratio is None for v in peers.comparisons(alone))
    assert "fastgd alone 1, a peer alone 0" in peers.overall([alone], 1e-2)
    assert "caution: only fastgd" in peers.lonely(alone)
    assert peers.lonely(peers.Result("some", "a problem", ROWS, 1.0)) == ""


def test_picture_shows_a_solver_only_where_it_got_nearer():
    result = peers.Result("some", "a problem", ROWS, 1.0)
    times = [time for time, _ in peers.frontier(result, "fast")]
    assert times == [0.1, 2.0]


def test_lowest_is_kept_for_the_same_numbers_only(X, y, tmp_path, capsys):
    path = tmp_path / "fstar.json"
    problem = peers.ridge(X, y)
    assert peers.Lowest(path).update(problem, ROWS) == 1.0
    assert peers.Lowest(path).update(problem, [row("fast", 1, 1.0, 2.0)]) == 1.0
    other = peers.ridge(X + 1, y)
    assert peers.Lowest(path).update(other, [row("fast", 1, 1.0, 2.0)]) == 2.0
    assert peers.Lowest(tmp_path / "no" / "folder.json").update(problem, ROWS) == 1.0
    assert "f* is not kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("breast_cancer", (569, 30), "classes"),
        ("digits", (1797, 64), "classes"),
        ("iris", (150, 4), "classes"),
        ("diabetes", (442, 10), "numbers"),
    ],
)
def test_bundled_data(name, shape, kind):
    X, y = data.load(name)
    assert X.shape == shape
    assert X.dtype == np.float32
    assert X.flags.c_contiguous
    assert data.kind_of(y) == data.SOURCES[name].kind == kind
    if kind == "classes":
        assert set(y) == set(range(y.max() + 1))
    X, _ = data.load(name, standardise=True, dtype=np.float64)
    np.testing.assert_allclose(X.mean(axis=0), 0, atol=1e-9)


def test_offline_names_are_those_that_need_no_network():
    assert data.offline_names("classes") == ["nycflights_cls", "breast_cancer", "digits", "iris"]
    assert data.offline_names("numbers") == ["nycflights_reg", "diabetes"]


def test_data_of_a_folder(tmp_path):
    pixels = np.arange(12, dtype=np.uint8).reshape(4, 3)
    np.savez(tmp_path / "images.npz", X=pixels, y=np.array([0, 1, 0, 1], dtype=np.int8))
    text = sp.random(4, 9, density=0.5, format="csr", random_state=0)
    parts = {word: getattr(text, word) for word in ("data", "indices", "indptr", "shape")}
    np.savez(tmp_path / "text.npz", **parts, y=np.arange(4.0))
    X, y = data.load("images", tmp_path)
    np.testing.assert_array_equal(X, pixels)
    assert (X.dtype, y.dtype) == (np.float32, np.int32)
    X, y = data.load("text", tmp_path)
    assert abs(X - text).max() < 1e-7
    assert {X.indices.dtype, X.indptr.dtype} == {np.dtype(np.int32)}
    assert (X.dtype, y.dtype) == (np.float32, np.float32)
    assert data.offline_names("classes", tmp_path) == ["images"]
    assert data.offline_names("numbers", tmp_path) == ["text"]


def test_data_that_cannot_be_had(tmp_path, monkeypatch):
    with pytest.raises(data.Unavailable, match="no data set is called 'nothing'; there are nyc"):
        data.load("nothing")
    with pytest.raises(data.Unavailable, match=r"there is no .*iris\.npz"):
        data.load("iris", tmp_path)

    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(data.datasets, "fetch_openml", offline)
    with pytest.raises(data.Unavailable, match=r"letter could not be fetched \(no route to host\)"):
        data.load("letter")


def test_tables_become_numbers_and_a_column_for_each_category(monkeypatch):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"carat": [1.0, None, 3.0, 4.0], "cut": list("abba")})
    bunch = SimpleNamespace(data=frame, target=pd.Series([10, 20, 30, 40], name="price"))
    monkeypatch.setattr(data.datasets, "fetch_openml", lambda *_, **__: bunch)
    X, y = data.load("diamonds")
    order = np.argsort(y)
    np.testing.assert_array_equal(X[order], [[1, 1, 0], [3, 0, 1], [3, 0, 1], [4, 1, 0]])
    bunch.data, bunch.target = frame[["carat"]], pd.Series(list("xyzy"), dtype="category")
    X, y = data.load("letter")
    np.testing.assert_array_equal(y[np.argsort(X.ravel(), kind="stable")].sum(), 4)


@pytest.mark.full
def test_two_solvers_on_iris(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    report, picture = tmp_path / "peers.json", tmp_path / "peers.png"
    words = "iris --only sk-lbfgs,sk-newton-cholesky --dtype float64 --repeat 1 --markdown"
    with mock.patch.dict(os.environ):
        assert peers.main([*words.split(), f"--json={report}", f"--plot={picture}"]) == 0
    out = capsys.readouterr().out
    assert "iris: 150 x 4, dense, raw" in out
    assert "| iris | 1e-06 |" in out
    assert picture.stat().st_size > 10_000
    (result,) = json.loads(report.read_text())["sets"]
    assert {row["contender"] for row in result["rows"]} == {"sk-lbfgs", "sk-newton-cholesky"}
    assert min(row["suboptimality"] for row in result["rows"]) == 0.0
    assert math.isclose(result["lowest"], 0.1925754440, rel_tol=1e-6)


def test_wrong_kind_of_target_is_an_error_that_says_so(capsys):
    with mock.patch.dict(os.environ):
        assert peers.main(["iris", "--task", "ridge"]) == 1
    assert "ridge needs numbers, which iris has not" in capsys.readouterr().err


@pytest.mark.full
@pytest.mark.parametrize(
    "way",
    [["benchmarks/peers"], pytest.param(["-m", "benchmarks.peers"], marks=pytest.mark.full)],
    ids=" ".join,
)
def test_the_command_line_is_found_as_a_folder_and_as_a_module(way):
    root = Path(__file__).parents[2]
    command = [sys.executable, *way, "--help"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: peers")
    assert "nycflights_cls" in done.stdout
