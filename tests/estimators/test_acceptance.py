"""scikit-learn's own tests, run on our estimators: which fail is known, each with its reason.

``make test-full`` takes a quarter of them, another one each day; ``make test-accept`` takes all.
"""

import fnmatch
import os

import pytest
import sklearn

from tests.acceptance.run import run, todays_turn
from tests.acceptance.table import MODULES, SOMETIMES, Module

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="takes hours"),
    pytest.mark.skipif(not sklearn.__version__.startswith("1.9."), reason="the tests of 1.9"),
]


def reason(module: Module, name: str) -> str | None:
    """Return why a test is meant to fail, None where it is not."""
    return next((why for pattern, why in module.reasons.items() if matches(name, pattern)), None)


def matches(name: str, pattern: str) -> bool:
    """Compare with a pattern in which only * and ? are special: names have brackets."""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


@pytest.mark.parametrize("module", MODULES, ids=[module.name for module in MODULES])
def test_scikit_learns_tests_fail_only_where_they_are_meant_to(module, tmp_path):
    turn = todays_turn()
    results = run(module.name, tmp_path, turn, module.deselected)
    if not results:
        pytest.skip("scikit-learn was installed without its tests")
    ours = [result for result in results if result.is_ours]
    passed = [result.name for result in ours if result.outcome == "passed"]
    failed = [result for result in ours if result.outcome == "failed"]
    print(
        f"{module.name}, turn {turn}: {len(passed)} passed on our classes, {len(failed)} failed, "
        f"{len(results) - len(ours)} did not touch them"
    )
    unlisted = [(r.name, r.line, r.message) for r in failed if reason(module, r.name) is None]
    assert unlisted == [], f"turn {turn}"
    unused = [
        (name, why)
        for name in passed
        if (why := reason(module, name)) is not None and why not in SOMETIMES
    ]
    assert unused == [], "these may be taken from the list: they pass"
    if turn == "0/1":
        assert len(passed) >= module.at_least
        names = [*(result.name for result in results), *module.deselected]
        gone = [p for p in module.reasons if not any(matches(name, p) for name in names)]
        assert gone == [], "no test has these names"
