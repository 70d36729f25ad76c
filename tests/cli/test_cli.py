"""The command ``fastgd``, run as a user runs it."""

import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest

import fastgd
from fastgd import cli
from fastgd.cli import _demo, _information


@pytest.fixture
def small(monkeypatch):
    """Fit twice instead of as often as an honest time needs."""
    monkeypatch.setattr(_demo, "REPEATS", 1)


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


@pytest.mark.usefixtures("small")
def test_demo_prints_a_table_and_draws(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "curves.png"
    assert cli.main(["demo", "--output", str(picture)]) == 0
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines() if " fastgd " in line]
    assert [row[0] for row in rows] == ["linear", "logistic", "softmax"]
    assert printed.count(" sklearn ") == 3
    assert max(map(len, printed.splitlines()[1:-2])) <= 80, "a terminal shows it whole"
    assert str(picture) in printed
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("small")
def test_demo_without_matplotlib_draws_text(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_demo, "_has_matplotlib", lambda: False)
    assert cli.main(["demo", "--output", str(tmp_path / "curves.png")]) == 0
    printed = capsys.readouterr().out
    assert 'pip install "fastgd[plot]"' in printed
    assert "softmax: log_loss on digits" in printed
    assert list(tmp_path.iterdir()) == []


def test_demo_says_that_there_is_no_such_folder(tmp_path, capsys):
    assert cli.main(["demo", "--output", str(tmp_path / "missing" / "curves.png")]) == 1
    said = capsys.readouterr()
    assert said.err == f"fastgd demo: there is no folder {tmp_path / 'missing'}\n"
    assert said.out == "", "it says so before it trains"


def test_demo_models_are_good():
    """Each of ours is as good as its counterpart, to what such small test sets can tell."""
    for case in _demo.cases():
        split = case.split()
        ours, theirs = (_demo._measure(case, "", e, split) for e in (case.ours, case.theirs))
        assert ours.train_score > 0.45
        assert ours.train_score == pytest.approx(theirs.train_score, abs=0.03)
        assert ours.test_score == pytest.approx(theirs.test_score, abs=0.05)


def test_text_curve_falls_from_corner_to_corner():
    drawn = _demo._as_text(np.linspace(3.0, 1.0, 20), width=8, height=4).splitlines()
    assert drawn[0].split("|")[0].strip() == "3"
    assert drawn[0].split("|")[1].startswith("*")
    assert drawn[3].split("|")[0].strip() == "1"
    assert drawn[3].endswith("*")
    assert drawn[-1].split() == ["1", "20"]


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0]])
def test_text_curve_of_a_constant(values):
    assert _demo._as_text(values).count("*") == 64


def test_table_aligns_its_columns():
    rows = [["a", "b", "c", "d"], ["long", "b", "c", "1.5"]]
    assert _demo._table(rows).splitlines() == [
        "a     b  c    d",
        "----  -  -  ---",
        "long  b  c  1.5",
    ]
