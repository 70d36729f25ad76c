"""The traced calls on the site are those that fits make today."""

import subprocess
import sys
from pathlib import Path

import pytest

from docs import trace_calls as trees

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_fits_call():
    """In a process without the compiler; names are compared, not numbers of calls."""
    command = [sys.executable, "docs/trace_calls.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "landmarks",
    [
        ("BaseSGD._fit", "Trainer.train", "LinearEngine.run", "sgd_batches", "intercept_change"),
        ("LogisticRegression.fit", "solve", "newton", "newton_steps", "SolvedModel._report"),
        ("LogisticRegression.fit", "solve", "gd", "pass_one", "LogLoss.gradient", "_Descent.run"),
    ],
    ids=["sgd", "newton", "descent"],
)
def test_a_tree_leads_from_fit_to_the_kernels(landmarks):
    lines = trees.names_in(trees.PAGE.read_text(encoding="utf-8"))
    names = [line.split()[0] for line in lines if line.strip()]
    for name in landmarks:
        names = names[names.index(name) + 1 :]


def inner(n):
    return n


def outer():
    return [inner(k) for k in range(3)], list(steps())


def steps():
    yield inner(1)
    yield inner(2)


def test_calls_are_counted_once_for_each_caller(monkeypatch):
    monkeypatch.setattr(trees, "PACKAGE", __name__.rpartition(".")[0])
    root = trees.traced(outer)
    here = __name__.rpartition(".")[2]
    assert [line.split() for line in trees.lines_of(root)] == [
        ["outer", here],
        ["inner", "x", "3", here],
        ["steps", here],
        ["inner", "x", "2", here],
    ]


def test_numbers_of_calls_are_not_compared():
    lines = f"{'  value x 200 ...':62} kernels.losses", f"{'  value':62} kernels.losses"
    assert trees.names_in(lines[0]) == trees.names_in(lines[1]) == ["  value kernels.losses"]
