"""One of scikit-learn's test modules, in a process in which our classes have the place of its."""

import datetime
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
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
    (folder / "test_of_scikit_learn.py").write_text(Path(spec.origin).read_text())
    (folder / "ours_in_place_of_theirs.py").write_text((HERE / "plugin.py").read_text())
    options = ["-p", "ours_in_place_of_theirs", "-W", "ignore"]
    for name in deselected:
        options += ["--deselect", f"test_of_scikit_learn.py::{name}"]
    return reported(["-m", "pytest", *options, "test_of_scikit_learn.py"], folder, turn)


def reported(command: list[str], folder: Path, turn: str) -> list[Result]:
    """Run pytest by a command of Python, in a folder, and return what came of each test."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "reporting.py").write_text((HERE / "reporting.py").read_text())
    report = folder / "report.jsonl"
    done = subprocess.run(
        [sys.executable, *command, "-q", "-p", "reporting", "-p", "no:xdist", "--tb=line"],
        cwd=folder,
        env={**os.environ, "ACCEPTANCE_REPORT": str(report), "ACCEPTANCE_TURN": turn},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode > 1 or not report.exists():
        raise RuntimeError(f"{command} did not run:\n{done.stdout}\n{done.stderr}")
    return [Result(**json.loads(line)) for line in report.read_text().splitlines()]
