"""A plugin of pytest that notes which estimators a test has had fitted by fastgd."""

from typing import Any

from reporting import USED

from fastgd.accel._report import JOURNAL


def _noting(note: Any) -> None:
    if note.reason is None:
        USED.add(note.name)


JOURNAL.take = _noting  # type: ignore[method-assign]
