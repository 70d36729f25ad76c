"""One of scikit-learn's test modules, in a process in which our classes have the place of its."""

import datetime
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PLUGIN = Path(__file__).with_name("plugin.py")
TURNS = 4  # of a full run; all are taken by ACCEPTANCE_TURN=0/1


class Result(NamedTuple):
    """What came of one test; ``used`` names those of our estimators that it made or fitted."""

    name: str
    outcome: str
    used: list[str]
    message: str
    line: int
    seconds: float

    @property
    def is_ours(self) -> bool:
        """Tell whether the test says anything about us."""
        return bool(self.used)


def todays_turn() -> str:
    """Return "k/n": every n-th test, beginning with the k-th, or what ACCEPTANCE_TURN says."""
    day = datetime.datetime.now(datetime.UTC).timetuple().tm_yday
    return os.environ.get("ACCEPTANCE_TURN", f"{day % TURNS}/{TURNS}")


def run(module: str, folder: Path, turn: str, deselected: tuple[str, ...] = ()) -> list[Result]:
    """Run a module of scikit-learn's tests on the installed fastgd; none if it is not there."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return []
    (folder / "ours_in_place_of_theirs.py").write_text(PLUGIN.read_text())
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_of_scikit_learn.py").write_text(Path(spec.origin).read_text())
    report = folder / "report.jsonl"
    options = ["-p", "ours_in_place_of_theirs", "-p", "no:xdist", "-W", "ignore", "--tb=line"]
    for name in deselected:
        options += ["--deselect", f"test_of_scikit_learn.py::{name}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, "test_of_scikit_learn.py"],
        cwd=folder,
        env={**os.environ, "ACCEPTANCE_REPORT": str(report), "ACCEPTANCE_TURN": turn},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode > 1 or not report.exists():
        raise RuntimeError(f"{module} did not run:\n{done.stdout}\n{done.stderr}")
    return [Result(**json.loads(line)) for line in report.read_text().splitlines()]
