"""The command ``fastgd``, run as a user runs it."""

import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
from sklearn import linear_model
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss

import fastgd
from fastgd import LogisticRegression, cli
from fastgd.cli import _demo, _information, _tools
from fastgd.kernels._jit import count_compiled


@pytest.fixture
def small(monkeypatch):
    """Fit little data, and less often than an honest time needs."""
    monkeypatch.setattr(_demo, "REPEATS", 1)
    monkeypatch.setattr(_demo, "ROWS", 1000)


def test_version_is_that_of_the_package():
    command = [sys.executable, "-m", "fastgd", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"fastgd {fastgd.__version__}\n"


def test_info_reports_what_a_bug_report_needs(capsys):
    assert cli.main(["info"]) == 0
    rows = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert rows["fastgd"].strip() == fastgd.__version__
    assert rows["numba"].strip() == version("numba")
    assert {"CPU", "CPU features", "threads", "cache folder", "CUDA"} <= rows.keys()
    assert all(value.strip() for value in rows.values())


def test_info_says_that_nothing_can_be_cached(monkeypatch, capsys):
    monkeypatch.setattr(_information, "cache_folder", lambda: None)
    assert cli.main(["info"]) == 0
    assert "every process compiles anew" in capsys.readouterr().out


def test_without_a_command_it_prints_its_help(capsys):
    assert cli.main([]) == 0
    assert "demo" in capsys.readouterr().out


def test_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["dance"])
    assert "invalid choice: 'dance'" in capsys.readouterr().err


@pytest.mark.full
@pytest.mark.usefixtures("small")
def test_demo_prints_two_tables_and_draws(tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["demo", "--plot", "demo.png"]) == 0
    printed = capsys.readouterr().out
    raw, larger = printed.split("Larger data")
    assert raw.count("scikit-learn ") == len(_demo.RAW_SOLVERS)
    assert "proven, gap_" in raw
    assert "warns: not converged" in raw
    assert larger.count("batches, one epoch") == larger.count("an epoch of a network") == 1
    assert larger.count("logistic, ") == 2
    assert printed.count("\n  fastgd ") == 3, "three commands to try next"
    lines = [line for line in printed.splitlines() if not line.startswith(("reading", "compiling"))]
    assert max(map(len, lines)) <= 80, "a terminal shows it whole"
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["demo.png"]


def test_demo_without_matplotlib_draws_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_tools, "find_spec", lambda _: None)
    assert cli.main(["demo", "--plot", str(tmp_path / "demo.png")]) == 1
    assert 'pip install "fastgd[plot]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_demo_says_that_there_is_no_such_folder(tmp_path, capsys):
    assert cli.main(["demo", "--plot", str(tmp_path / "missing" / "demo.png")]) == 1
    said = capsys.readouterr()
    assert said.err == f"fastgd demo: there is no folder {tmp_path / 'missing'}\n"
    assert said.out == "", "it says so before it trains"


def test_demo_compares_the_same_objective():
    """Ours is scikit-learn's: at its best solver's tight optimum both are equal."""
    X, y = load_breast_cancer(return_X_y=True)
    ours = LogisticRegression().fit(X, y)
    theirs = linear_model.LogisticRegression(solver="newton-cholesky", tol=1e-10).fit(X, y)
    assert _demo.objective(ours, X, y) == pytest.approx(ours.objective_, rel=1e-12)
    assert _demo.objective(ours, X, y) == pytest.approx(_demo.objective(theirs, X, y), rel=1e-6)


@pytest.mark.full
@pytest.mark.usefixtures("small")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_demo_compiles_nothing_while_it_measures():
    made = _demo.tables()
    _demo._compile(made)
    before = count_compiled()
    _demo.raw_rows(*made.raw)
    _demo._comparisons(made, draws=False)
    assert count_compiled() == before


def test_demo_times_steps_to_the_same_objective():
    X, y = _demo.large_table(2000)
    pair = _demo.steps(X, y)
    assert np.isfinite(pair.theirs) == ("epochs" in pair.how)
    theirs = linear_model.SGDClassifier(loss="log_loss", alpha=0.01, random_state=0).fit(X, y)
    raw = theirs.decision_function(X)
    expected = log_loss(y, theirs.predict_proba(X)) + 0.005 * np.sum(theirs.coef_**2)
    assert np.all((raw > 0) == theirs.predict(X))
    assert _demo.objective(theirs, X, y) == pytest.approx(expected)


def test_demo_times_scikit_learn_where_it_is_close():
    X, y = _demo.large_table(300)
    best = LogisticRegression().fit(X, y).objective_
    seconds, solver = _demo.to_same_objective(("lbfgs", "newton-cholesky"), X, y, best)
    assert np.isfinite(seconds)
    assert solver in {"lbfgs", "newton-cholesky"}
    assert _demo.to_same_objective(("lbfgs",), X, y, best / 2) == (np.inf, "none")


def test_table_aligns_its_columns():
    rows = [["a", "b", "c", "d"], ["long", "b", "c", "1.5"]]
    assert _demo._table(rows).splitlines() == [
        "a     b  c    d",
        "----  -  -  ---",
        "long  b  c  1.5",
    ]
