"""FASTGD_ACCEL=1 for every python of an environment: a file that Python reads when it starts.

It is there only once asked for, and one line long; without the variable it does nothing.
"""

import sysconfig
from pathlib import Path

NAME = "fastgd_accel.pth"
LINE = (
    "import os; os.environ.get('FASTGD_ACCEL', '0') in ('', '0') "
    "or __import__('fastgd.accel', fromlist=['install']).install()\n"
)


def place() -> Path:
    """Return where the file lies if it is there: among the environment's packages."""
    return Path(sysconfig.get_path("purelib")) / NAME


def turn(what: str) -> str:
    """Write the file, remove it, or say whether it is there; return a sentence on it."""
    path = place()
    if what == "on":
        path.write_text(LINE, encoding="utf-8")
    elif what == "off":
        path.unlink(missing_ok=True)
    if path.exists():
        return f"on: {path} accelerates every python of this environment that has FASTGD_ACCEL=1"
    return f"off: there is no {path}, and FASTGD_ACCEL has no effect"
