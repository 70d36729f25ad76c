"""A plugin of pytest that takes a share of the tests, and reports what came of each.

``ACCEPTANCE_REPORT`` names the file that takes what came of each test, one line of JSON each;
``ACCEPTANCE_TURN`` is "k/n" for every n-th test. Another plugin fills ``USED``.
"""

import json
import os
import zlib
from typing import Any

import pytest

USED: set[str] = set()  # what the test that runs has used of ours


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Keep the tests whose turn it is: by their names, so that a test's turn never changes."""
    turn, _, turns = os.environ.get("ACCEPTANCE_TURN", "0/1").partition("/")
    kept = [item for item in items if zlib.crc32(item.name.encode()) % int(turns) == int(turn)]
    gone = [item for item in items if item not in set(kept)]
    config.hook.pytest_deselected(items=gone)
    items[:] = kept


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: Any) -> Any:  # noqa: ARG001
    """Forget what the test before used."""
    USED.clear()
    yield


def pytest_runtest_logreport(report: Any) -> None:
    """Write one line for each test, and for each failure of what surrounds it."""
    if report.when != "call" and report.outcome == "passed":
        return
    crash = getattr(report.longrepr, "reprcrash", None)
    line = {
        "name": report.nodeid.partition("::")[2],
        "outcome": "xfailed" if hasattr(report, "wasxfail") else report.outcome,
        "used": sorted(USED),
        "message": crash.message if crash else "",
        "line": crash.lineno if crash else 0,
        "seconds": report.duration,
    }
    with open(os.environ["ACCEPTANCE_REPORT"], "a") as file:
        file.write(json.dumps(line) + "\n")
