"""scikit-learn's example gallery under the accelerator: do its scripts run to the end?

    python -m tests.accel.gallery FOLDER            # of scikit-learn's sources: .../examples
    python -m tests.accel.gallery FOLDER ridge      # those whose path contains this

Those are run that name an estimator that fastgd stands in for and need no download: first as they
are, then by ``python -m fastgd.accel --min-size 0``. A script that fails both ways (a package that
is missing) says nothing and is not counted.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from fastgd.accel._table import STANDS

NAMES = re.compile(r"\b(" + "|".join(stand.name for stand in STANDS) + r")\b")
DOWNLOADS = re.compile(r"fetch_|polars|urlretrieve|read_csv|plotly|hf_hub")
SECONDS = 900


def scripts(folder: Path, wanted: list[str]) -> list[Path]:
    """Return the scripts that use our estimators and need no download."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        is_wanted = not wanted or any(part in str(path) for part in wanted)
        if is_wanted and NAMES.search(text) and not DOWNLOADS.search(text):
            found.append(path)
    return found


def failure(command: list[str]) -> str | None:
    """Run a script in a folder of its own; return the last line of its error, if any."""
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [sys.executable, *command],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"took more than {SECONDS} s"
    lines = done.stderr.strip().splitlines() or ["?"]
    return None if done.returncode == 0 else lines[-1]


def main(folder: Path, wanted: list[str]) -> int:
    """Run the scripts; return the exit status."""
    ran = failed = 0
    for path in scripts(folder, wanted):
        ours = failure(["-m", "fastgd.accel", "--min-size", "0", str(path)])
        if ours is not None and failure([str(path)]) is not None:
            print(f"{path.relative_to(folder)}: fails without fastgd as well", flush=True)
            continue
        ran, failed = ran + 1, failed + (ours is not None)
        print(f"{path.relative_to(folder)}: {ours or 'ran to the end'}", flush=True)
    print(f"{ran - failed} of {ran} scripts ran to the end")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
