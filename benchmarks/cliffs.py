"""The map of cliffs: fastgd's time over the best peer's, rows x columns x density x loss.

    python benchmarks/cliffs.py                      # the whole map
    python benchmarks/cliffs.py --small              # tables that take a second or less
    python benchmarks/cliffs.py --tables onehot_500,onehot_2900 --losses logistic,ridge --json F

A cell is one table and one loss. fastgd fits it with its defaults; then scikit-learn's solvers go
from loose to tight settings until one has reached an objective that is no higher, and the fastest
of those settings counts: the best that a user could have chosen, in hindsight. f* is the lowest
objective that anyone reached, a tight fit of fastgd's included. "asked" compares with the peers
that came within fastgd's ``tol`` only, which is kind to them where fastgd went further than asked.

Times are seconds of processor time of one thread, medians of three fits. Memory is what numpy
allocates at most during a fit (tracemalloc), beside X, over the bytes of X. Cells above 1.5 are
marked, and so is memory beyond ten times X where that is more than 64 MB. ``--seed`` draws other
tables of the same shapes.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
import tracemalloc
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

if __package__:
    from . import machine, peers
else:  # run as a file
    import machine
    import peers

MOST = 1.5  # times the best peer's: a cell above it is a cliff
MOST_MEMORY, FREE_MEMORY = 10.0, 64 << 20  # times X, and what is not counted
TIGHT = 1e-9
FLOOR = 1e-10  # suboptimalities below it are equal
HOPELESS = 2.0  # times the best time so far: a peer that takes longer is not set tighter
N_CLASSES = 5


class Table(NamedTuple):
    """The shape of an X; ``per_row`` non-zeros in a row, 0 for a dense one.

    ``kind`` is "normal" (dense), "onehot" (one 1 in each block of columns) or "text" (lengths and
    frequencies of words).
    """

    rows: int
    columns: int
    per_row: int = 0
    kind: str = "normal"


TABLES = {
    "tiny": Table(50, 3),
    "small": Table(500, 20),
    "tall": Table(200_000, 20),
    "mid_5000": Table(5_000, 20),
    "mid_10000": Table(10_000, 20),
    "mid_20000": Table(20_000, 50),
    "mid_60000": Table(60_000, 20),
    "mid_wide": Table(20_000, 200),
    "square": Table(1_000, 1_000),
    "wide": Table(200, 5_000),
    "genes": Table(64, 6_830),
    "onehot_500": Table(20_000, 500, 8, "onehot"),
    "onehot_1500": Table(20_000, 1_500, 8, "onehot"),
    "onehot_2900": Table(20_000, 2_900, 8, "onehot"),
    "onehot_3100": Table(20_000, 3_100, 8, "onehot"),
    "onehot_20000": Table(20_000, 20_000, 8, "onehot"),
    "text_small": Table(1_000, 5_000, 40, "text"),
    "text": Table(5_000, 50_000, 80, "text"),
    "clicks": Table(600_000, 2_500, 8, "onehot"),
}
LARGE = {"clicks", "text", "tall"}
LOSSES = ("logistic", "ridge", "poisson", "lasso", "softmax", "linear_svc", "gamma", "huber")


def draw(table: Table, seed: int = 0) -> Any:
    """Return X of float64."""
    rng = np.random.default_rng(seed)
    if table.kind == "normal":
        return rng.standard_normal((table.rows, table.columns))
    n, k = table.rows, table.per_row
    if table.kind == "onehot":
        edges = table.columns * np.arange(k + 1) // k
        # some levels are frequent, most are rare
        levels = np.diff(edges) * rng.random((n, k)) ** 2
        columns = edges[:-1] + levels.astype(np.int64)
        values = np.ones(columns.size)
    else:
        columns = (table.columns * rng.random((n, k)) ** 3).astype(np.int64)
        values = rng.exponential(size=columns.size) / math.sqrt(k)
    starts = np.arange(0, n * k + 1, k)
    X = sp.csr_matrix((values, columns.ravel(), starts), (n, table.columns))
    X.sum_duplicates()
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    return X


def targets(X: Any, loss: str, seed: int = 1) -> np.ndarray:
    """Return y of the kind that a loss needs: half signal, half noise."""
    rng = np.random.default_rng(seed)
    n_outputs = N_CLASSES if loss == "softmax" else 1
    raw = np.asarray(X @ rng.standard_normal((X.shape[1], n_outputs)))
    raw = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    if loss == "softmax":
        return np.argmax(raw + rng.gumbel(size=raw.shape), axis=1)
    raw = raw[:, 0]
    if loss in ("logistic", "linear_svc"):
        return (raw + rng.logistic(scale=0.5, size=raw.shape) > 0.0).astype(int)
    if loss == "poisson":
        return rng.poisson(np.exp(0.5 * raw)).astype(float)
    if loss == "gamma":
        return np.exp(0.5 * raw) * rng.gamma(2.0, 0.5, raw.shape) + 1e-6
    return raw + rng.standard_normal(raw.shape)


def problem_of(X: Any, y: np.ndarray, loss: str) -> peers.Problem:
    """Return the objective and the contenders."""
    name = "logistic" if loss == "softmax" else loss
    return peers.TASKS[name].problem(X, y)


class Run(NamedTuple):
    """A fit: who, how, for how long, and how low."""

    who: str
    setting: str
    seconds: float
    objective: float


class Cell(NamedTuple):
    """What was measured of one table and one loss; ratios are ours over theirs."""

    table: str
    loss: str
    ours: float
    suboptimality: float
    peer: str
    theirs: float
    ratio: float
    asked: float
    memory: float
    memory_of_peer: float
    solver: str
    n_iter: int

    @property
    def is_cliff(self) -> bool:
        """Whether time or memory is out of proportion."""
        return self.ratio > MOST or self.memory > MOST_MEMORY


def fit(contender: peers.Contender, setting: dict[str, Any], problem: peers.Problem) -> Any:
    """Return the seconds of processor time and the model."""
    model = contender.make(**setting)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.process_time()
        model.fit(problem.X, problem.y)
        return time.process_time() - started, model


def run(contender: peers.Contender, setting: dict[str, Any], problem: peers.Problem) -> Run:
    """Fit once, and compute the objective."""
    seconds, model = fit(contender, setting, problem)
    objective = problem.objective(problem.X, problem.y, model)
    return Run(contender.name, peers.told_setting(setting), seconds, objective)


def median(contender: peers.Contender, setting: dict[str, Any], problem: peers.Problem) -> float:
    """Return the median of three fits' seconds."""
    return statistics.median(fit(contender, setting, problem)[0] for _ in range(3))


def peak(contender: peers.Contender, setting: dict[str, Any], problem: peers.Problem) -> float:
    """Return what a fit allocates at most, over the bytes of X; 0 where that is little."""
    tracemalloc.start()
    fit(contender, setting, problem)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    X = problem.X
    arrays = (X.data, X.indices, X.indptr) if sp.issparse(X) else (X,)
    return most / sum(array.nbytes for array in arrays) if most > FREE_MEMORY else 0.0


def search(problem: peers.Problem, target: float, cap: float) -> list[tuple[Run, Any, Any]]:
    """Run the peers from loose to tight until each is there, or has no chance to be the first."""
    found: list[tuple[Run, Any, Any]] = []
    best = cap
    for contender in problem.contenders:
        if not contender.name.startswith("sk-"):
            continue
        for setting in contender.settings:
            try:
                done = run(contender, setting, problem)
            except Exception as error:  # a peer's own
                print(f"  {contender.name} failed: {error!r}", file=sys.stderr)
                break
            found.append((done, contender, setting))
            if done.objective <= target:
                best = min(best, done.seconds)
                break
            if done.seconds > HOPELESS * best:
                break
    return found


def measure(name: str, loss: str, cap: float, seed: int = 0) -> Cell:
    """Measure one cell."""
    X = draw(TABLES[name], seed)
    problem = problem_of(X, targets(X, loss, seed + 1), loss)
    us = next(c for c in problem.contenders if c.name == peers.OURS)
    tol = us.make().tol
    peers.warm_up(us, problem)
    _, model = fit(us, {}, problem)
    reached = problem.objective(X, problem.y, model)
    tight = run(us, {"tol": TIGHT}, problem).objective
    lowest = min(reached, tight)
    margin = FLOOR * abs(lowest)
    found = search(problem, max(reached, lowest + margin), cap)
    lowest = min([lowest, *(done.objective for done, _, _ in found)])
    suboptimality = (reached - lowest) / abs(lowest)
    seconds = median(us, {}, problem)
    there = [f for f in found if f[0].objective <= max(reached, lowest + margin)]
    near = [f for f in found if f[0].objective <= max(reached, lowest * (1.0 + tol))]
    theirs, who, memory = math.inf, "none", 0.0
    if there:
        done, contender, setting = min(there, key=lambda f: f[0].seconds)
        theirs, who = median(contender, setting, problem), f"{done.who} ({done.setting})"
        memory = peak(contender, setting, problem)
    soon = min([theirs, *(f[0].seconds for f in near)])
    ratios = seconds / theirs, seconds / soon
    n_iter, used = int(np.max(model.n_iter_)), getattr(model, "solver_", "")
    mine = peak(us, {}, problem)
    counts = used, n_iter
    return Cell(name, loss, seconds, suboptimality, who, theirs, *ratios, mine, memory, *counts)


HEAD = ("table", "loss", "ours s", "f - f*", "solver", "passes", "best peer", "s", "ratio")
HEAD += ("asked", "memory", "peer's")


def told(cell: Cell) -> tuple[str, ...]:
    """Return a cell as a line of the table."""
    mark = " **cliff**" if cell.is_cliff else ""
    numbers = f"{cell.ratio:.2f}{mark}", f"{cell.asked:.2f}"
    memory = f"{cell.memory:.1f}", f"{cell.memory_of_peer:.1f}"
    ours = f"{cell.ours:.4f}", f"{cell.suboptimality:.1e}", cell.solver, str(cell.n_iter)
    return (cell.table, cell.loss, *ours, cell.peer, f"{cell.theirs:.4f}", *numbers, *memory)


def line(cells: Sequence[str]) -> str:
    """Return a line of Markdown."""
    return f"| {' | '.join(cells)} |"


def options_from(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Time over the best peer's, table by table.")
    names = partial(str.split, sep=",")
    parser.add_argument("--tables", type=names, default=list(TABLES), metavar="A,B")
    parser.add_argument("--losses", type=names, default=list(LOSSES), metavar="A,B")
    parser.add_argument("--small", action="store_true", help="leave out the large tables")
    parser.add_argument("--cap", type=float, default=30.0, help="seconds that a peer may take")
    parser.add_argument("--seed", type=int, default=0, help="of the tables that are drawn")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    options = parser.parse_args(arguments)
    unknown = {*options.tables} - {*TABLES} | {*options.losses} - {*LOSSES}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; tables {[*TABLES]}, {[*LOSSES]}")
    if options.small:
        options.tables = [name for name in options.tables if name not in LARGE]
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the map, a line as soon as it is measured; return 1 if there are cliffs."""
    options, cells = options_from(arguments), []
    os.environ["NUMBA_NUM_THREADS"] = "1"
    print(machine.describe())
    print(line(HEAD), line(["---"] * len(HEAD)), sep="\n")
    with threadpool_limits(1):
        for name in options.tables:
            for loss in options.losses:
                cells.append(measure(name, loss, options.cap, options.seed))
                print(line(told(cells[-1])), flush=True)
                if options.json is not None:
                    text = json.dumps([cell._asdict() for cell in cells], indent=1)
                    options.json.write_text(text + "\n", encoding="utf-8")
    n_cliffs = sum(cell.is_cliff for cell in cells)
    print(f"\n{n_cliffs} of {len(cells)} cells are above {MOST} (or {MOST_MEMORY:g} times X).")
    return int(n_cliffs > 0)


if __name__ == "__main__":
    sys.exit(main())
