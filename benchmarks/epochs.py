"""The time of an epoch beside scikit-learn's and beside the floor, at the same settings.

    python benchmarks/epochs.py [--plot FILE]      # needs nothing but fastgd; takes two minutes

One thread each. An epoch's time is that of a longer fit minus a shorter one, each the best of
several, taken in turn: neither library's validation and set-up counts. The floor of one output is
reading X once: a plain ``X.sum()``. That of ten classes is the two matrix products of a batch,
X_b W and X_b' D, at the rate of one large product of BLAS on the same data.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import SGDClassifier

import fastgd

if __package__:
    from . import machine
else:  # run as a file
    import machine

REPEATS = 5
FEW, MANY = 4, 12
COMMON = {"loss": "log_loss", "alpha": 1e-4, "tol": None, "random_state": 0}
BATCH_SIZES = (1, 64, 1024)
N_CLASSES = 10


class Row(NamedTuple):
    """What was measured on one data set at one batch size, in seconds an epoch."""

    name: str
    how: str
    floor: float
    theirs: float
    ours: float


def seconds(call: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def best(call: Callable[[], Any]) -> float:
    """Return how long a call takes at best."""
    return min(seconds(call) for _ in range(REPEATS))


def epoch_seconds(model: Any, X: Any, y: np.ndarray) -> float:
    """Return the time of one epoch of ``model.fit``, after a fit that compiles."""
    fits = [lambda n=n: model.set_params(max_iter=n).fit(X, y) for n in (FEW, MANY)]
    fits[0]()
    few, many = zip(*([seconds(fit) for fit in fits] for _ in range(REPEATS)), strict=True)
    return (min(many) - min(few)) / (MANY - FEW)


def dense(n_rows: int, n_features: int) -> np.ndarray:
    """Return float32 rows."""
    return np.random.default_rng(0).standard_normal((n_rows, n_features), dtype=np.float32)


def text(n_rows: int, n_features: int, per_row: int) -> sp.csr_matrix:
    """Return sparse rows with a Zipf-like choice of columns."""
    rng = np.random.default_rng(0)
    columns = (n_features * rng.random((n_rows, per_row)) ** 3).astype(np.int32)
    pointers = np.arange(n_rows + 1, dtype=np.int32) * per_row
    values = rng.random(n_rows * per_row, dtype=np.float32)
    X = sp.csr_matrix((values, columns.ravel(), pointers), shape=(n_rows, n_features))
    X.sum_duplicates()
    return X


def one_output(name: str, X: Any) -> Iterator[Row]:
    """Measure two classes at each batch size; scikit-learn has batches of one row."""
    y = np.random.default_rng(1).integers(0, 2, X.shape[0])
    arrays = (X.data, X.indices) if sp.issparse(X) else (X,)
    theirs = epoch_seconds(SGDClassifier(**COMMON), X, y)
    for batch_size in BATCH_SIZES:
        model = fastgd.SGDClassifier(batch_size=batch_size, **COMMON)
        ours = epoch_seconds(model, X, y)
        yield Row(
            name,
            f"batch {batch_size}",
            best(lambda: [array.sum() for array in arrays]),
            theirs,
            ours,
        )


def many_outputs(name: str, X: np.ndarray) -> Iterator[Row]:
    """Measure ten classes in batches of 64; scikit-learn has one against the rest."""
    y = np.random.default_rng(1).integers(0, N_CLASSES, X.shape[0])
    coef = np.zeros((X.shape[1], N_CLASSES), X.dtype)
    slopes = np.zeros((X.shape[0], N_CLASSES), X.dtype)

    def products() -> None:
        np.dot(X, coef)
        np.dot(X.T, slopes)

    theirs = epoch_seconds(SGDClassifier(**COMMON), X, y)
    for how in ("multinomial", "ovr"):
        model = fastgd.SGDClassifier(batch_size=64, multi_class=how, **COMMON)
        yield Row(name, f"{how}, batch 64", best(products), theirs, epoch_seconds(model, X, y))


def measured() -> Iterator[Row]:
    """Measure everything."""
    for n_rows, n_features in ((500_000, 54), (200_000, 128), (100_000, 256), (60_000, 784)):
        yield from one_output(f"dense {n_rows:,} x {n_features}", dense(n_rows, n_features))
    X = text(200_000, 262_144, 80)
    yield from one_output(f"CSR {X.shape[0]:,} x {X.shape[1]:,}", X)
    yield from many_outputs(f"60,000 x 784, {N_CLASSES} classes", dense(60_000, 784))


def draw(rows: list[Row], path: Path) -> None:
    """Draw the epochs on a log axis, a line for each row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 0.3 * len(rows) + 1.4), layout="constrained")
    axes, places = figure.subplots(), range(len(rows))
    marks = [("floor", "|", "black"), ("ours", "o", "#0072B2"), ("theirs", "s", "#D55E00")]
    names = {"floor": "floor", "ours": "fastgd", "theirs": "scikit-learn"}
    axes.hlines(
        places,
        [1e3 * row.ours for row in rows],
        [1e3 * row.theirs for row in rows],
        color="0.85",
        zorder=0,
    )
    for field, marker, color in marks:
        times = [1e3 * getattr(row, field) for row in rows]
        size = 130 if field == "floor" else 34
        axes.scatter(times, places, size, color, marker=marker, label=names[field])
    axes.set(xscale="log", xlabel="milliseconds an epoch")
    axes.set_yticks(places, [f"{row.name}, {row.how}" for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    """Print a table in Markdown, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, default=None, metavar="FILE")
    chosen = parser.parse_args()
    print(machine.describe())
    print("| data | | floor | fastgd | of the floor | scikit-learn | ratio |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    for row in measured():
        rows.append(row)
        floor, ours, theirs = (f"{1e3 * t:.1f} ms" for t in (row.floor, row.ours, row.theirs))
        print(
            f"| {row.name} | {row.how} | {floor} | {ours} | {row.ours / row.floor:.2f} "
            f"| {theirs} | {row.theirs / row.ours:.1f} |",
            flush=True,
        )
    if chosen.plot is not None:
        draw(rows, chosen.plot)


if __name__ == "__main__":
    main()
