"""The time of an epoch beside scikit-learn's, at the same settings, in one run.

    python benchmarks/epochs.py            # needs nothing but fastgd; takes about a minute

One thread each. An epoch's time is that of a longer fit minus a shorter one, so that neither
library's validation and set-up counts; the median of several. "read" is a plain sum over X.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import SGDClassifier

import fastgd

FEW, MANY, REPEATS = 4, 12, 5
COMMON = {"loss": "log_loss", "alpha": 1e-4, "tol": None, "random_state": 0}


def seconds(call: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def epoch_seconds(model: Any, X: Any, y: np.ndarray) -> float:
    """Return the time of one epoch of ``model.fit``, after a fit that compiles."""
    model.set_params(max_iter=FEW).fit(X, y)
    times = []
    for _ in range(REPEATS):
        few = seconds(lambda: model.set_params(max_iter=FEW).fit(X, y))
        many = seconds(lambda: model.set_params(max_iter=MANY).fit(X, y))
        times.append((many - few) / (MANY - FEW))
    return statistics.median(times)


def data_sets() -> dict[str, tuple[Any, np.ndarray]]:
    """Return dense data of two shapes, and sparse data with a Zipf-like choice of columns."""
    rng = np.random.default_rng(0)
    sets: dict[str, tuple[Any, np.ndarray]] = {}
    for n_rows, n_features in ((500_000, 54), (60_000, 784)):
        X = rng.standard_normal((n_rows, n_features), dtype=np.float32)
        sets[f"dense {n_rows} x {n_features}"] = X, X[:, 0] + rng.standard_normal(n_rows) > 0
    n_rows, n_features, per_row = 200_000, 262_144, 80
    columns = (n_features * rng.random((n_rows, per_row)) ** 3).astype(np.int32)
    pointers = np.arange(n_rows + 1, dtype=np.int32) * per_row
    values = rng.random(n_rows * per_row, dtype=np.float32)
    text = sp.csr_matrix((values, columns.ravel(), pointers), shape=(n_rows, n_features))
    text.sum_duplicates()
    sets[f"CSR {n_rows} x {n_features}, {text.nnz} non-zeros"] = text, rng.random(n_rows) > 0.5
    return sets


def main() -> None:
    """Print a line for each data set and batch size."""
    for name, (X, y) in data_sets().items():
        values = X.data if sp.issparse(X) else X
        read = statistics.median(seconds(values.sum) for _ in range(REPEATS))
        theirs = epoch_seconds(SGDClassifier(**COMMON), X, y)
        print(f"{name}: read {read * 1e3:.1f} ms, scikit-learn's epoch {theirs * 1e3:.1f} ms")
        for batch_size in (1, 64):
            ours = epoch_seconds(fastgd.SGDClassifier(batch_size=batch_size, **COMMON), X, y)
            print(
                f"  batch {batch_size:2d}: {ours * 1e3:6.1f} ms,"
                f" {theirs / ours:5.1f} x faster, {ours / read:.2f} x the time of reading X",
                flush=True,
            )


if __name__ == "__main__":
    main()
