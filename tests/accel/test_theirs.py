"""scikit-learn's own tests under the accelerator: which fail is known, each with its reason.

``make test-full`` takes small modules and a share of the others; ``make test-accel`` takes all.
"""

import os

import pytest
import sklearn

from tests.accel.theirs import MODULES, reason, run

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="takes hours"),
    pytest.mark.skipif(not sklearn.__version__.startswith("1.9."), reason="the tests of 1.9"),
]
SUBSET = ("_huber", "_quantile", "_bounds", "_pipeline", "_rfe", "_from_model", "_stacking")
SHARE = "0/1" if os.environ.get("ACCEPTANCE_TURN") == "0/1" else "0/8"  # by names: always the same
WHOLE = ("_bounds",)  # of whose few tests a share may hold none
CHOSEN = [module for module in MODULES if module.endswith(SUBSET)]


@pytest.mark.parametrize("module", CHOSEN)
def test_scikit_learns_tests_pass_under_the_accelerator(module, tmp_path):
    results = run(module, tmp_path, "0/1" if module.endswith(WHOLE) else SHARE)
    if not results:
        pytest.skip("scikit-learn was installed without its tests")
    failed = [result for result in results if result.outcome == "failed"]
    unlisted = [(r.name, r.line, r.message) for r in failed if reason(module, r.name) is None]
    assert unlisted == []
    assert any(result.outcome == "passed" for result in results)


def test_there_are_reasons_for_modules_that_are_run():
    from tests.accel.theirs import FAILURES

    assert FAILURES.keys() <= set(MODULES)
