"""What tables of figures say of the machine."""

import os
from unittest import mock

import numpy as np
import pytest

with mock.patch.dict(os.environ):  # the package holds benchmarks to one thread; not the tests
    from benchmarks import epochs, machine, paths, small
    from benchmarks.peers import cores


def test_machine_and_versions_are_two_lines():
    here, versions, rest = machine.describe("pytest", "no such package").split("\n")
    assert f"{os.cpu_count()} cores" in here
    assert "load " in here or not hasattr(os, "getloadavg")
    assert f"numpy {np.__version__}" in versions
    assert f"pytest {pytest.__version__}" in versions
    assert "no such package" not in versions
    assert rest == ""
    assert cores() == machine.cores()


def test_caches_are_those_of_data(tmp_path):
    levels = [("1", "Data", "48K"), ("1", "Instruction", "32K"), ("3", "Unified", "266240K")]
    for i, (level, kind, size) in enumerate(levels):
        cache = tmp_path / f"index{i}"
        cache.mkdir()
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (cache / name).write_text(f"{text}\n")
    assert list(machine.caches(tmp_path)) == ["L1 48 KiB", "L3 266,240 KiB"]
    assert list(machine.caches(tmp_path / "absent")) == []


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        (epochs, []),
        (small, ["--only", "none of them"]),
        (paths, ["--models", "RidgeCV", "--sets", "digits"]),
    ],
)
def test_tables_begin_with_it(program, arguments, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["program", *arguments])
    if program is epochs:
        monkeypatch.setattr(epochs, "measured", lambda: [])
    program.main()
    lines = capsys.readouterr().out.splitlines()
    assert "cores" in lines[0]
    assert lines[1].startswith("Python ")
    assert lines[2] == ""
    assert lines[3].startswith("| ")
