"""Instructions of small calls: how they are read, and that they have not become more."""

import json
import os
from pathlib import Path
from unittest import mock

import pytest

with mock.patch.dict(os.environ):  # the package holds benchmarks to one thread; not the tests
    from benchmarks import instructions
    from benchmarks.small import cases

RATIOS = json.loads((Path(__file__).parents[1] / "fixtures" / "instructions.json").read_text())

DUMP = "version: 1\ncmd: python\ndesc: Trigger: Client Request: {}\n\nfn=(1) f\n1 5\n\ntotals: {}\n"
ENDED = "version: 1\ndesc: Trigger: Program termination\n\ntotals: 7\n"


def test_least_of_each_case_and_side():
    dumps = [DUMP.format("Ridge iris|ours", 70), DUMP.format("Ridge iris|theirs", 200), ENDED]
    found = instructions.least([*dumps, DUMP.format("Ridge iris|ours", 50)])
    assert found == {"Ridge iris": {"ours": 50, "theirs": 200}}


def test_more_is_told_of_cases_that_were_counted():
    now = {"a": {"ours": 60, "theirs": 100}, "b": {"ours": 50, "theirs": 100}}
    (told,) = instructions.more(now, {"a": 0.5, "b": 0.49, "c": 0.1})
    assert told == "a: 0.600 of scikit-learn's instructions, before 0.500"


def test_requests_do_nothing_without_valgrind():
    if "x86-64" in (instructions.missing() or ""):
        pytest.skip(instructions.missing())
    assert instructions.requests()(instructions.START) == 0


def test_known_ratios_are_of_cases_that_there_are():
    assert RATIOS.keys() <= cases().keys()


@pytest.mark.full
def test_small_calls_take_no_more_instructions_than_before():
    if reason := instructions.missing():
        pytest.skip(reason)
    assert instructions.more(instructions.instructions(list(RATIOS)), RATIOS) == []
