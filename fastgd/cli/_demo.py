"""``fastgd demo``: raw columns, large tables, batches and a network, beside scikit-learn's best.

Data are scikit-learn's, or drawn: nothing has to be fetched. A logistic regression is timed to the
same objective, that of fastgd's default fit plus ``CLOSE``; stochastic steps to what fastgd reaches
in one epoch without a rate, plus ``ROUGHLY``; an epoch of a network with the same settings.
"""

import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn import linear_model, neural_network
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._monitoring.display import not_announcing
from fastgd._runtime.threads import n_threads
from fastgd.datasets import make_sparse
from fastgd.kernels._jit import cache_folder, count_shipped
from fastgd.neural_network import MLPClassifier

CLOSE = 1e-4  # relative: the objective that both have to reach
ROUGHLY = 1e-2  # the same for stochastic steps
EPOCHS = (1, 2, 3, 5, 8, 12, 20, 30, 50)  # of scikit-learn's steps, until they are there
REPEATS = 3
ROWS = 60_000  # of the large tables; the tests take fewer
COLUMNS = 30
RAW_SOLVERS = ("lbfgs", "newton-cg", "newton-cholesky", "sag", "saga", "liblinear")
LARGE_SOLVERS = ("lbfgs", "newton-cg", "newton-cholesky")
SPARSE_SOLVERS = ("lbfgs", "newton-cg", "liblinear")
TOLERANCES = (1e-2, 1e-4, 1e-6)
SEED = 0


class Tables(NamedTuple):
    """What is fitted: rows and two classes of each."""

    raw: Any
    dense: Any
    sparse: Any


class Pair(NamedTuple):
    """A row of the second table: the same task for both libraries, in seconds."""

    task: str
    data: str
    ours: float
    theirs: float
    how: str

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        ratio = self.theirs / self.ours
        times = f"{self.ours:.3f}", f"{self.theirs:.3f}", f"{ratio:.1f}x"
        return (self.task, self.data, self.how, *times)


class Curve(NamedTuple):
    """How the objective falls: seconds and objectives of fits of more and more passes."""

    title: str
    library: str
    seconds: list[float]
    objectives: list[float]


# -- data -----------------------------------------------------------------------------------------


def large_table(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scaled columns and two classes."""
    rng = np.random.default_rng(SEED)
    X = rng.standard_normal((n_rows, COLUMNS))
    raw = X @ rng.standard_normal(COLUMNS) / 3
    return X, (raw + rng.logistic(size=n_rows) > 0).astype(int)


def tables() -> Tables:
    """Return the raw columns, the large table, and sparse rows as text has them."""
    sparse = make_sparse(ROWS // 5, ROWS // 5, random_state=SEED)
    return Tables(load_breast_cancer(return_X_y=True), large_table(ROWS), sparse)


# -- measures -------------------------------------------------------------------------------------


def timed(call: Callable[..., Any], *args: Any, repeats: int = 1) -> tuple[float, Any]:
    """Return the shortest of several times, and what the last call returned."""
    best, result = np.inf, None
    for _ in range(repeats):
        started = time.perf_counter()
        result = call(*args)
        best = min(best, time.perf_counter() - started)
    return best, result


def objective(model: Any, X: Any, y: np.ndarray) -> float:
    """Return the mean log loss plus the penalty, of any library's logistic regression."""
    raw = np.ravel(X @ model.coef_.T + model.intercept_)
    loss = np.logaddexp(0.0, np.where(y == 1, -raw, raw)).mean()
    alpha = model.alpha if hasattr(model, "alpha") else 1 / (model.C * len(y))
    return float(loss + alpha / 2 * np.sum(model.coef_**2))


def to_same_objective(
    solvers: Sequence[str], X: Any, y: np.ndarray, best: float
) -> tuple[Any, ...]:
    """Return the time and the name of scikit-learn's fastest solver that comes ``CLOSE``."""
    found: list[tuple[float, str]] = []
    for solver in solvers:
        for tol in TOLERANCES:
            model = linear_model.LogisticRegression(solver=solver, tol=tol, max_iter=1000)
            seconds, _ = timed(model.fit, X, y)
            if objective(model, X, y) <= best * (1 + CLOSE):
                repeated, _ = timed(model.fit, X, y, repeats=REPEATS - 1)
                found.append((min(seconds, repeated), solver))
                break
            if found and seconds > min(found)[0]:
                break
    return min(found, default=(np.inf, "none"))


def logistic(task: str, data: str, solvers: Sequence[str], X: Any, y: np.ndarray) -> Pair:
    """Time a logistic regression to the same objective."""
    ours, model = timed(fastgd.LogisticRegression().fit, X, y, repeats=REPEATS)
    theirs, solver = to_same_objective(solvers, X, y, objective(model, X, y))
    return Pair(task, data, ours, theirs, solver)


def steps(X: np.ndarray, y: np.ndarray) -> Pair:
    """Time an epoch of steps that need no rate, and as many of scikit-learn's as come close."""
    params: dict[str, Any] = {"loss": "log_loss", "tol": None, "random_state": SEED}
    ours = without_rate()
    our_time, _ = timed(ours.fit, X, y, repeats=REPEATS)
    goal = objective(ours, X, y) * (1 + ROUGHLY)
    their_time, how = np.inf, "none"
    for n_epochs in EPOCHS:
        theirs = linear_model.SGDClassifier(max_iter=n_epochs, **params)
        seconds, _ = timed(theirs.fit, X, y)
        if objective(theirs, X, y) <= goal:
            repeated, _ = timed(theirs.fit, X, y, repeats=REPEATS - 1)
            their_time = min(seconds, repeated)
            how = f"SGD, {n_epochs} epochs"
            break
    return Pair("batches, one epoch", _size(X), our_time, their_time, how)


def without_rate() -> Any:
    """Return what takes an epoch of stochastic steps."""
    params: dict[str, Any] = {"loss": "log_loss", "tol": None, "random_state": SEED}
    return fastgd.SGDClassifier(learning_rate="auto", batch_size=64, max_iter=1, **params)


def network(X: np.ndarray, y: np.ndarray) -> Pair:
    """Time an epoch of a multi-layer perceptron, with the same settings in both libraries."""
    X, y = X[: len(X) // 5], y[: len(y) // 5]
    our_time, their_time = (timed(m.fit, X, y, repeats=REPEATS)[0] for m in networks())
    return Pair("an epoch of a network", _size(X), our_time, their_time, "MLPClassifier")


def networks() -> Iterator[Any]:
    """Yield ours and theirs."""
    params: dict[str, Any] = {"hidden_layer_sizes": (64,), "batch_size": 64, "max_iter": 1}
    params["random_state"] = SEED
    yield MLPClassifier(**params)
    yield neural_network.MLPClassifier(**params)


def raw_rows(X: np.ndarray, y: np.ndarray) -> list[tuple[str, ...]]:
    """Return the first table: the raw columns, by fastgd and by scikit-learn's solvers."""
    seconds, model = timed(fastgd.LogisticRegression().fit, X, y, repeats=REPEATS)
    best = objective(model, X, y)
    proven = f"proven, gap_ {model.gap_:.0e}"
    rows: list[tuple[str, ...]] = [("fastgd", "auto", f"{seconds:.3f}", "0.0 %", proven)]
    for solver in RAW_SOLVERS:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = linear_model.LogisticRegression(solver=solver)
            seconds, _ = timed(model.fit, X, y)
        above = 100 * (objective(model, X, y) / best - 1)
        said = "warns: not converged" if caught else "says that it is"
        rows.append(("scikit-learn", solver, f"{seconds:.3f}", f"{above:.1f} %", said))
    return rows


# -- pictures -------------------------------------------------------------------------------------


def curves(title: str, solver: str, X: Any, y: np.ndarray) -> Iterator[Curve]:
    """Yield the objective against seconds, by fits of 1, 2, 3, ... passes until converged."""
    makers: dict[str, Callable[[int], Any]] = {
        "fastgd": lambda n: fastgd.LogisticRegression(max_iter=n, tol=1e-9),
        f"scikit-learn, {solver}": lambda n: linear_model.LogisticRegression(
            solver=solver, max_iter=n, tol=1e-9
        ),
    }
    for library, make in makers.items():
        seconds, values = [], []
        for n in (1, 2, 3, 4, 6, 8, 12, 16, 32, 64):
            took, model = timed(make(n).fit, X, y, repeats=2)
            seconds.append(took)
            values.append(objective(model, X, y))
            if np.max(model.n_iter_) < n:  # it has converged
                break
        yield Curve(title, library, seconds, values)


def draw(drawn: Sequence[Curve], output: Path) -> None:
    """Draw a panel for each title: how far above the best, against seconds."""
    # Neither pyplot nor a display: this also runs on a server, and leaves no global state.
    from matplotlib.figure import Figure

    titles = list(dict.fromkeys(curve.title for curve in drawn))
    figure = Figure(figsize=(5.5 * len(titles), 4), layout="constrained")
    panels = figure.subplots(1, len(titles), squeeze=False)[0]
    for panel, title in zip(panels, titles, strict=True):
        shown = [curve for curve in drawn if curve.title == title]
        best = min(min(curve.objectives) for curve in shown)
        # Okabe and Ito's colours, which the colour-blind can distinguish
        for curve, color in zip(shown, ("#0072B2", "#D55E00"), strict=False):
            above = np.maximum(np.array(curve.objectives) / best - 1, 1e-9)
            panel.loglog(curve.seconds, above, "o-", color=color, markersize=4, label=curve.library)
        panel.set(title=title, xlabel="seconds of a fit", ylabel="objective above the best")
        panel.grid(visible=True, color="0.92")
        panel.legend()
    figure.savefig(output, dpi=130)


# -- the whole ------------------------------------------------------------------------------------


def run(plot: Path | None) -> None:
    """Compile, measure, print two tables and what to try next; draw if there is a file for it."""
    started = time.perf_counter()
    with warnings.catch_warnings(), not_announcing():  # compilation is announced here
        warnings.simplefilter("ignore", ConvergenceWarning)
        made = tables()
        _compile(made)
        print(f"\nLogistic regression on raw columns: {_size(made.raw[0])}, {RAW_DATA}\n")
        print(_table([RAW_HEADINGS, *raw_rows(*made.raw)], left=2), flush=True)
        print(f"\nLarger data, scaled: seconds, the shortest of {REPEATS}\n")
        rows, drawn = _comparisons(made, draws=plot is not None)
        print(f"{_table([HEADINGS, *(row.cells() for row in rows)], left=3)}\n\n{NOTES}")
    if plot is not None:
        draw(drawn, plot)
        print(f"\nThe objective against seconds is in {plot}.")
    print(f"\nAll of it took {time.perf_counter() - started:.0f} s.\n\n{NEXT}")


RAW_DATA = "deviations from 0.003 to 569"
RAW_HEADINGS = ("library", "solver", "seconds", "above the best", "converged?")
HEADINGS = ("task", "data", "scikit-learn's", "fastgd", "sklearn", "ratio")

NOTES = f"""\
Logistic regression: seconds to the same objective, within {CLOSE:.0e} of the best;
scikit-learn's is the fastest of its solvers. Batches: an epoch of SGDClassifier
with learning_rate="auto", and as many epochs of scikit-learn's default rate as
come within 1 % of that objective. The network's epoch has the same settings in
both libraries."""

NEXT = """\
Try next:
  fastgd train data.csv --target y --model logistic -o model.fastgd
  fastgd demo --plot demo.png
  fastgd warmup"""


def _comparisons(made: Tables, *, draws: bool) -> tuple[list[Pair], list[Curve]]:
    """Measure the rows of the second table, and the curves of the picture if it is wanted."""
    (X, y), (words, labels) = made.dense, made.sparse
    dense = logistic("logistic, dense", _size(X), LARGE_SOLVERS, X, y)
    sparse = logistic("logistic, sparse", _size(words), SPARSE_SOLVERS, words, labels)
    drawn: list[Curve] = []
    if draws:
        drawn += curves(f"dense, {_size(X)}", "lbfgs", X, y)
        drawn += curves(f"sparse, {_size(words)}", "lbfgs", words, labels)
    return [dense, sparse, steps(X, y), network(X, y)], drawn


# What compiles what is to be timed, and which of it each of so many processes takes: numba compiles
# one function at a time in each. This process's share comes first; all take about as long.
SHARES: dict[int, tuple[tuple[str, ...], ...]] = {
    1: (("dense solvers", "sparse solver", "batches", "network"),),
    2: (("dense solvers", "sparse solver"), ("batches", "network")),
    3: (("dense solvers",), ("batches", "sparse solver"), ("network",)),
}


def _compile(made: Tables) -> None:
    """Fit once what is to be timed, in processes side by side where nothing is compiled yet.

    Sizes decide which solver is chosen, so small data would leave some of it to be compiled later.
    """
    folder = cache_folder()
    is_new = not (
        folder is None or any(count_shipped().values()) or any(Path(folder).glob("network.*.nbc"))
    )
    print(_announcement(folder), flush=True)
    own, *others = SHARES[min(n_threads(None), max(SHARES)) if is_new else 1]
    children = [subprocess.Popen([sys.executable, "-c", _command(names)]) for names in others]
    started, number = time.perf_counter(), 0
    for names, child in [(own, None), *zip(others, children, strict=True)]:
        if child is not None:
            child.wait()  # what it has compiled is read then, or compiled here if that failed
        for name in names:
            compile_for(name, made)
            number += 1
            seconds = time.perf_counter() - started
            print(f"  {number} of {len(SHARES[1][0])}, {name}: after {seconds:.1f} s", flush=True)


def _command(names: Sequence[str]) -> str:
    """Return what another process runs."""
    return f"from fastgd.cli import _demo; _demo.compile_all({list(names)})"


def compile_all(names: Sequence[str]) -> None:
    """Compile what is to be timed of some tasks, without a word."""
    with warnings.catch_warnings(), not_announcing():
        warnings.simplefilter("ignore", ConvergenceWarning)
        made = tables()
        for name in names:
            compile_for(name, made)


def compile_for(name: str, made: Tables) -> None:
    """Fit what one of the tasks times."""
    if name == "dense solvers":
        for X, y in (made.raw, made.dense):
            fastgd.LogisticRegression().fit(X, y)
    elif name == "sparse solver":
        fastgd.LogisticRegression().fit(*made.sparse)
    elif name == "batches":
        without_rate().fit(*made.dense)
    else:  # a few rows, of the same type, will do
        X = np.random.default_rng(SEED).standard_normal((200, COLUMNS))
        next(networks()).fit(X, np.arange(200) % 2)


def _announcement(folder: Any) -> str:
    """Tell what the first seconds are spent on."""
    if folder is None:
        return "compiling ... (in every process: no folder for compiled kernels is writable)"
    if any(Path(folder).glob("*.nbc")):
        return f"reading compiled kernels from {folder} ..."
    return f"compiling ... (the first time only; the kernels are kept in {folder})"


def _size(X: Any) -> str:
    return f"{X.shape[0]:,} x {X.shape[1]:,}"


def _table(rows: Sequence[Sequence[str]], left: int = 3) -> str:
    """Align columns, from the column ``left`` on to the right, and rule off the headings."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, range(len(row)), strict=True)
        line = "  ".join(c.ljust(w) if i < left else c.rjust(w) for c, w, i in cells)
        lines.append(line.rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
