"""Write the tables of docs/accel.md that follow from the code: python docs/make_accel.py.

The table of the classes is that of ``fastgd.accel``; the list of scikit-learn's tests that fail is
that of ``tests/accel/theirs.py``. Each stands between two comments.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from fastgd.accel._refusals import nothing  # noqa: E402
from fastgd.accel._table import STANDS  # noqa: E402
from tests.accel.theirs import FAILURES  # noqa: E402

PAGE = ROOT / "docs" / "accel.md"


def left(refusal: Callable[..., Any]) -> str:
    """Return what a refusal leaves to scikit-learn, from its first line."""
    first = (refusal.__doc__ or "").splitlines()[0].rstrip(".")
    return first.removeprefix("Leave ")


def classes() -> str:
    """Return the table of the classes."""
    lines = ["| class | from so many entries of X on | left to scikit-learn |", "|---|---|---|"]
    for stand in STANDS:
        asked = [refusal for refusal in (*stand.refusals, stand.slower) if refusal is not nothing]
        reasons = [left(refusal) for refusal in asked]
        lines.append(f"| `{stand.name}` | {stand.least:,} | {'; '.join(reasons)} |")
    return "\n".join(lines)


def failures() -> str:
    """Return the table of scikit-learn's tests that fail."""
    lines = ["| module | test | because |", "|---|---|---|"]
    for module, known in FAILURES.items():
        name = module.removeprefix("sklearn.").replace(".tests.", ".").removeprefix("tests.")
        lines += [f"| `{name}` | `{pattern}` | {why} |" for pattern, why in known.items()]
    return "\n".join(lines)


def written(text: str) -> str:
    """Return the page with its tables as they should be."""
    for name, table in (("classes", classes()), ("failures", failures())):
        pattern = rf"(<!-- {name} -->\n).*?(\n<!-- end of {name} -->)"
        text = re.sub(pattern, lambda m, t=table: f"{m[1]}{t}{m[2]}", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
