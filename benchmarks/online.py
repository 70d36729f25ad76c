"""One pass and three without a rate, beside Vowpal Wabbit and the best of a grid of rates.

    python benchmarks/online.py                                  # the sets that are made
    python benchmarks/online.py --folder DIR --data letter spamassassin   # DIR/NAME.npz as well

A tenth of the rows is held out; the others are learned one by one, in an order that is the same for
all, from raw columns. Of more than two classes the first half is told from the rest; of ``RARE``
sets and ``TEXTS``, the most frequent class. Losses on the rows held out, after one pass and three:

auto : ``SGDClassifier(learning_rate="auto")``
VW, coin : Vowpal Wabbit (``pip install vowpalwabbit``) with its defaults, and with ``--coin``
grid : the lowest of nine rates of plain sgd, Adagrad and Adam each, on columns that were scaled
    before (by standard deviation, sparse ones by the largest value), after the pass at which it is
    asked; it is chosen by the rows held out
optimum : the lowest of ``LogisticRegression`` of some strengths, on the same rows

fastgd's steps have an l2 penalty of 1e-6, Vowpal Wabbit's have none, as is its default.
"""

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from fastgd import LogisticRegression, SGDClassifier

ALPHA, PASSES = 1e-6, 3
RATES = tuple(10.0 ** (k / 2) for k in range(-7, 2))  # 3e-4 to 3
OPTIMIZERS = ("sgd", "adagrad", "adam")
STRENGTHS = (0.1, 1.0, 10.0, 100.0)
RARE, TEXTS = ("shuttle",), ("debian_sections", "text20c")  # the most frequent class, or the rest
MOST_ROWS = 60_000


class Split(NamedTuple):
    """Rows to learn from, and rows to judge by; targets are 0 and 1."""

    X: Any
    y: np.ndarray
    X_held: Any
    y_held: np.ndarray


# -- rows -----------------------------------------------------------------------------------------


def text(rng: np.random.Generator) -> tuple[Any, np.ndarray]:  # noqa: ARG001 - has its own
    """Return rows of 16 of 2^18 columns."""
    from common import csr

    return csr(MOST_ROWS, 1 << 18, 16)


def counts(rng: np.random.Generator) -> tuple[Any, np.ndarray]:
    """Return counts of 5,000 words, in 60 draws a row."""
    columns = (5_000 * rng.random((MOST_ROWS, 60)) ** 3).astype(np.int32)
    ones = np.ones(columns.size, np.float32)
    starts = np.arange(0, columns.size + 1, 60)
    X = sp.csr_matrix((ones, columns.ravel(), starts), shape=(MOST_ROWS, 5_000))
    X.sum_duplicates()
    return X, _classes(X @ rng.normal(size=5_000) * 0.15, 0.5, rng)


def drift(rng: np.random.Generator) -> tuple[Any, np.ndarray]:
    """Return dense rows whose coefficients turn as time goes by."""
    X = rng.normal(size=(MOST_ROWS, 40)) * 10.0 ** rng.uniform(-3, 3, 40)
    angle = np.linspace(0, np.pi, MOST_ROWS)[:, None]
    first, second = rng.normal(size=(2, 40)) / X.std(0)
    coef = np.cos(angle) * first + np.sin(angle) * second
    return X.astype(np.float32), _classes(0.5 * np.sum(X * coef, axis=1), 0.5, rng)


def rare(rng: np.random.Generator) -> tuple[Any, np.ndarray]:
    """Return indicators, and a class that one row in 100 is of."""
    groups = [rng.integers(0, size, MOST_ROWS) for size in (50, 80, 20, 30, 20)]
    shifts = np.cumsum([0, 50, 80, 20, 30])
    columns = np.column_stack([g + s for g, s in zip(groups, shifts, strict=True)])
    starts = np.arange(0, columns.size + 1, 5)
    ones = np.ones(columns.size, np.float32)
    X = sp.csr_matrix((ones, columns.astype(np.int32).ravel(), starts), shape=(MOST_ROWS, 200))
    return X, _classes(X @ rng.normal(size=200), 0.99, rng)


def _classes(z: np.ndarray, quantile: float, rng: np.random.Generator) -> np.ndarray:
    """Return 1 where raw predictions and noise are above a quantile."""
    noisy = z + rng.logistic(size=z.shape)
    return (noisy > np.quantile(noisy, quantile)).astype(int)


MADE = {"made text": text, "made counts": counts, "made drift": drift, "made rare class": rare}


def drawn(name: str, folder: Path | None) -> Split:
    """Return a set's rows; the last tenth is held out."""
    X, y = MADE[name](np.random.default_rng(0)) if name in MADE else _loaded(name, folder)
    if y.max() > 1 and name in (*RARE, *TEXTS):
        y = y == np.bincount(y).argmax()
    elif y.max() > 1:
        y = y <= y.max() // 2
    X, y = X[:MOST_ROWS], np.asarray(y[:MOST_ROWS], dtype=int)
    n = X.shape[0] * 9 // 10
    return Split(X[:n], y[:n], X[n:], y[n:])


def _loaded(name: str, folder: Path | None) -> tuple[Any, np.ndarray]:
    from data import load

    return load(name, folder)


def scaled(rows: Split) -> Split:
    """Return the same rows, columns in units of their standard deviation or largest value."""
    if sp.issparse(rows.X):
        largest = np.asarray(abs(rows.X).max(axis=0).todense()).ravel()
        to_unit = sp.diags(1.0 / np.where(largest > 0, largest, 1.0), dtype=rows.X.dtype)
        return rows._replace(X=(rows.X @ to_unit).tocsr(), X_held=(rows.X_held @ to_unit).tocsr())
    mean, spread = rows.X.mean(0), rows.X.std(0)
    spread[spread == 0] = 1.0
    return rows._replace(X=(rows.X - mean) / spread, X_held=(rows.X_held - mean) / spread)


def log_loss_of(raw: np.ndarray, y: np.ndarray) -> float:
    """Return the logistic loss of raw predictions, a mean."""
    return float(np.mean(np.logaddexp(0.0, np.where(y == 1, -raw, raw))))


# -- contenders -----------------------------------------------------------------------------------


def losses_of(rows: Split, **kwargs: Any) -> list[float]:
    """Return the loss after each pass of steps on single rows; infinite where they explode."""
    params = {"loss": "log_loss", "alpha": ALPHA, "shuffle": False, "batch_size": 1}
    model, found = SGDClassifier(**params, **kwargs), []
    try:
        for _ in range(PASSES):
            model.partial_fit(rows.X, rows.y, classes=[0, 1])
            found.append(log_loss_of(model.decision_function(rows.X_held), rows.y_held))
    except ValueError:  # of what explodes
        found += [np.inf] * (PASSES - len(found))
    return found


def best_of_grid(rows: Split) -> np.ndarray:
    """Return the lowest losses of all optimizers and rates, pass by pass."""
    grid = itertools.product(OPTIMIZERS, RATES)
    kwargs = {"learning_rate": "constant"}
    found = [losses_of(rows, optimizer=name, eta0=rate, **kwargs) for name, rate in grid]
    return np.nanmin(found, axis=0)


def optimum_of(rows: Split) -> float:
    """Return the lowest loss of exact fits."""
    fits = (LogisticRegression(C=C, tol=1e-3).fit(rows.X, rows.y) for C in STRENGTHS)
    return min(log_loss_of(fit.decision_function(rows.X_held), rows.y_held) for fit in fits)


def lines_of(X: Any) -> Iterator[str]:
    """Yield features as Vowpal Wabbit writes them."""
    for row in X if sp.issparse(X) else map(sp.csr_matrix, X):
        pairs = zip(row.indices.tolist(), row.data.tolist(), strict=True)
        yield " |" + "".join(f" {j}:{v:.9g}" for j, v in pairs)


def vw(rows: Split, options: str = "") -> list[float]:
    """Return Vowpal Wabbit's losses after one pass and after all; NaN where it is not there."""
    try:
        from vowpalwabbit import Workspace
    except ImportError:
        return [np.nan, np.nan]
    held, found = list(lines_of(rows.X_held)), []
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "rows.vw"
        with path.open("w") as file:
            for target, line in zip(rows.y, lines_of(rows.X), strict=True):
                file.write(f"{2 * target - 1}{line}\n")
        for k in (1, PASSES):
            said = f"-d {path} -b 18 --loss_function logistic --quiet --holdout_off {options}"
            said += f" -c -k --cache_file {path}.{k} --passes {k}" if k > 1 else ""
            model = Workspace(said)
            raw = np.array([model.predict(line) for line in held])
            model.finish()
            found.append(log_loss_of(raw, rows.y_held))
    return found


def row_of(name: str, rows: Split) -> str:
    """Return a row of the table."""
    auto, grid = losses_of(rows, learning_rate="auto"), best_of_grid(scaled(rows))
    layout = " CSR" if sp.issparse(rows.X) else ""
    what = f"{name}, {rows.X.shape[0]:,} x {rows.X.shape[1]:,}{layout}"
    figures = [auto[0], auto[-1], *vw(rows), *vw(rows, "--coin"), grid[0], grid[-1]]
    figures.append(optimum_of(rows))
    return f"| {what} | " + " | ".join(f"{figure:.4f}" for figure in figures) + " |"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="*", default=[], help="names of benchmarks/data.py")
    parser.add_argument("--folder", type=Path, help="where NAME.npz lies")
    parser.add_argument("--made", nargs="*", choices=MADE, default=list(MADE))
    args = parser.parse_args()
    names = ["auto 1", f"auto {PASSES}", "VW 1", f"VW {PASSES}", "coin 1", f"coin {PASSES}"]
    names += ["grid 1", f"grid {PASSES}", "optimum"]
    print(f"| rows to learn x columns | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for name in (*args.made, *args.data):
        print(row_of(name, drawn(name, args.folder)), flush=True)


if __name__ == "__main__":
    main()
