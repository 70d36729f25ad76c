"""How a whole fit is timed, at each setting and in each dtype, and the lowest objectives known."""

import argparse
import contextlib
import json
import math
import statistics
import sys
import time
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from ._data import data
from .contenders import OURS, Contender, Problem

DTYPES = {"float32": ("float32",), "float64": ("float64",), "both": ("float32", "float64")}
SHORT = 0.5  # seconds: fits under this are repeated


class Row(NamedTuple):
    """What a solver took and reached at one of its settings."""

    contender: str
    dtype: str
    setting: str
    seconds: float
    objective: float


class Result(NamedTuple):
    """All rows of a problem, and the lowest objective that is known of it."""

    name: str
    text: str
    rows: list[Row]
    lowest: float

    def suboptimality(self, row: Row) -> float:
        """Return (f - f*) / |f*|."""
        return (row.objective - self.lowest) / max(abs(self.lowest), np.finfo(float).tiny)

    def fastest(self, target: float, ours: bool) -> Row | None:
        """Return the fastest row of fastgd's, or of the peers', that is within a target."""
        rows = [r for r in self.rows if (r.contender == OURS) == ours]
        within = [row for row in rows if self.suboptimality(row) <= target]
        return min(within, key=lambda row: row.seconds, default=None)


def rows_of(problem: Problem, options: argparse.Namespace) -> Iterator[Row]:
    """Measure every contender that is wanted."""
    for contender in problem.contenders:
        wanted = not options.only or contender.name in options.only
        if wanted and contender.name not in options.skip:
            for dtype in DTYPES[options.dtype]:
                yield from race(contender, converted(problem, dtype), options)


def converted(problem: Problem, dtype: str) -> Problem:
    """Return the same problem in another dtype, for solvers that compute in X's dtype."""
    X, y = problem.X, problem.y
    if data.kind_of(y) == "numbers":
        y = y.astype(dtype, copy=False)
    return problem._replace(X=X.astype(dtype, copy=False), y=y)


def race(contender: Contender, problem: Problem, options: argparse.Namespace) -> Iterator[Row]:
    """Measure a contender at one setting after another, until one takes too long."""
    warm_up(contender, problem)
    for setting in contender.settings:
        try:
            row = measure(contender, setting, problem, options.repeat)
        except Exception as error:  # a peer's own: it says so, and the others go on
            print(
                f"  {contender.name} ({told_setting(setting)}, {problem.X.dtype}) failed: {error!r}"
            )
            return
        if options.verbose:
            print(f"{as_text(row)}: {row.objective:.12g}", file=sys.stderr, flush=True)
        if math.isfinite(row.objective):
            yield row
        else:
            print(f"  {as_text(row)}: diverged")
        if row.seconds > options.cap:
            return


def warm_up(contender: Contender, problem: Problem) -> None:
    """Fit a few rows of each class, and, if the contender compiles, once all of them."""
    X, y = problem.X, problem.y
    if data.kind_of(y) == "classes":
        each = max(2, 200 // (int(y.max()) + 1))
        few = np.sort(np.concatenate([np.flatnonzero(y == k)[:each] for k in np.unique(y)]))
    else:
        few = np.arange(min(200, len(y)))
    # So few rows may be too few for a solver: what it makes of all of them counts.
    with contextlib.suppress(Exception):
        timed_fit(contender, contender.settings[0], X[few], y[few])
        if contender.compiles:
            timed_fit(contender, contender.settings[0], X, y)


def measure(
    contender: Contender, setting: dict[str, Any], problem: Problem, repeat: int | None
) -> Row:
    """Return the median time and objective of some fits: three short ones, or a long one."""
    X, y = problem.X, problem.y
    seconds, objectives = [], []
    while not seconds or len(seconds) < (repeat or (3 if seconds[0] < SHORT else 1)):
        taken, model = timed_fit(contender, setting, X, y)
        seconds.append(taken)
        objectives.append(problem.objective(X, y, model))
    middle = statistics.median(seconds), statistics.median(objectives)
    return Row(contender.name, str(X.dtype), told_setting(setting), *middle)


def told_setting(setting: dict[str, Any]) -> str:
    """Return a setting as it is written in a call."""
    return ", ".join(f"{name}={value}" for name, value in setting.items()) or "default"


def as_text(row: Row | None) -> str:
    """Return a row as text."""
    if row is None:
        return "not reached"
    return f"{row.contender} ({row.setting}, {row.dtype}) {row.seconds:.4f} s"


def timed_fit(
    contender: Contender, setting: dict[str, Any], X: Any, y: np.ndarray
) -> tuple[float, Any]:
    """Return the time of a whole fit, and the model."""
    model = contender.make(**setting)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a loose tolerance was not reached, above all
        started = time.perf_counter()
        model.fit(X, y)
        return time.perf_counter() - started, model


class Lowest:
    """The lowest objectives that any run reached, kept in a file if there is one."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.known: dict[str, float] = {}
        if path is not None and path.exists():
            self.known = json.loads(path.read_text(encoding="utf-8"))

    def update(self, problem: Problem, rows: Sequence[Row]) -> float:
        """Return the lowest objective of a problem, now that these rows are known, too."""
        key = f"{problem.text}, {fingerprint(problem)}"
        values = [row.objective for row in rows] + [self.known.get(key, math.inf)]
        self.known[key] = min(values)
        if self.path is not None:
            try:
                self.path.write_text(json.dumps(self.known, indent=1) + "\n", encoding="utf-8")
            except OSError as error:
                print(f"f* is not kept: {error}")
                self.path = None
        return self.known[key]


def fingerprint(problem: Problem) -> str:
    """Return the size of the data and a checksum, so that f* is never that of other numbers."""
    X, y = problem.X, problem.y
    arrays = (X.data, X.indices, X.indptr) if sp.issparse(X) else (X,)
    digest = 0
    for array in (*arrays, y):
        digest = zlib.crc32(np.ascontiguousarray(array), digest)
    return f"{X.shape[0]} x {X.shape[1]}, {digest:08x}"
