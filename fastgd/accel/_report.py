"""What calls were accelerated, and why others were not."""

import json
import os
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple


class Note(NamedTuple):
    """One call: of which class, on how many rows, how long, and why not by fastgd, if so."""

    name: str
    rows: int
    seconds: float
    reason: str | None


class Journal:
    """Takes notes of calls, of this process and, in a file, of its workers."""

    def __init__(self) -> None:
        self.notes: dict[tuple[str, str | None], list[float]] = {}
        self.last: tuple[str, str | None] = ("", None)
        self.is_verbose = False
        self.path: str | None = None  # of the file that worker processes write to
        self.is_worker = False

    def take(self, note: Note) -> None:
        """Count a call."""
        self.last = (note.name, note.reason)
        entry = self.notes.setdefault(self.last, [0, 0, 0.0])
        for k, value in enumerate((1, note.rows, note.seconds)):
            entry[k] += value
        if self.is_verbose:
            print(sentence(note), file=sys.stderr, flush=True)
        if self.is_worker and self.path is not None:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(note) + "\n")

    def merged(self) -> dict[tuple[str, str | None], list[float]]:
        """Return the counts, those of workers included."""
        whole = Journal()
        whole.notes = {key: list(entry) for key, entry in self.notes.items()}
        for note in _read(self.path):
            whole.take(note)
        return whole.notes


def _read(path: str | None) -> Iterable[Note]:
    """Return what workers wrote."""
    if path is None or not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [Note(*json.loads(line)) for line in file]


def sentence(note: Note) -> str:
    """Return a line on one call."""
    what = "accelerated" if note.reason is None else f"scikit-learn: {note.reason}"
    return f"fastgd.accel: {note.name}, {note.rows:,} rows, {note.seconds:.3f} s, {what}"


def table(notes: dict[tuple[str, str | None], list[Any]]) -> str:
    """Return a table of what was called, the longest first."""
    head = ("estimator", "calls", "rows", "seconds", "accelerated, or why not")
    lines = [head]
    for (name, reason), (calls, rows, seconds) in sorted(
        notes.items(), key=lambda item: -item[1][2]
    ):
        lines.append((name, f"{calls:,}", f"{rows:,}", f"{seconds:.3f}", reason or "accelerated"))
    if len(lines) == 1:
        return "fastgd.accel: no estimator that fastgd stands in for was fitted."
    widths = [max(len(line[k]) for line in lines) for k in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {calls:>{widths[1]}}  {rows:>{widths[2]}}  {seconds:>{widths[3]}}  "
        f"{why}"
        for name, calls, rows, seconds, why in lines
    )


JOURNAL = Journal()
