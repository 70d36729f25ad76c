"""Data, settings and measurements that all benchmarks share.

Everything goes through the public estimators, so that a benchmark means the same from one commit
to the next, whatever becomes of the kernels.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

REPEATS = 7


class Timed:
    """Settings of a benchmark whose ``setup`` has compiled what it calls.

    What is timed runs on one thread, so its processor time is what a user waits for on a quiet
    machine, and on a busy one it says more about the code than a clock on the wall.
    """

    timer = time.process_time
    timeout = 600  # seconds, compilation included
    warmup_time = 0.1
    # asv's test asks for p < 0.002: six samples a side can never show that, ten can
    rounds = 2
    repeat = (8, 20, 2.0)
    sample_time = 0.02


def seconds(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    """Return how long a call takes."""
    started = clock()
    call()
    return clock() - started


def fastest(*calls: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> list:
    """Return the shortest time of each call, taken in turns: the machine is the same for all."""
    times = [[seconds(call, clock) for call in calls] for _ in range(REPEATS)]
    return [min(of_one) for of_one in zip(*times, strict=True)]


def arrays_of(X: Any) -> list[np.ndarray]:
    """Return the arrays that a pass over X reads."""
    return [X.data, X.indices, X.indptr] if sparse.issparse(X) else [X]


def read(X: Any) -> None:
    """Take a plain sum over X: what a pass costs that does nothing but read."""
    for array in arrays_of(X):
        array.sum()


def dense(n_rows: int, n_features: int, n_classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 rows and noisy classes."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    raw = X @ rng.standard_normal((n_features, n_classes), dtype=np.float32)
    return X, _noisy(raw, rng).argmax(axis=1)


def csr(n_rows: int, n_features: int, per_row: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Return float32 rows with a few columns each, the first ones by far the most frequent."""
    rng = np.random.default_rng(0)
    # Text is like this: most of what is touched lies in a small part of the coefficients.
    columns = (n_features * rng.random((n_rows, per_row)) ** 4).astype(np.int32)
    values = rng.standard_normal(columns.size, dtype=np.float32) / np.float32(per_row**0.5)
    starts = np.arange(0, columns.size + 1, per_row, dtype=np.int32)
    X = sparse.csr_matrix((values, columns.ravel(), starts), (n_rows, n_features))
    X.sum_duplicates()
    raw = X @ rng.standard_normal(n_features, dtype=np.float32)
    return X, (_noisy(raw, rng) > 0).astype(int)


def _noisy(raw: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return raw + raw.std() * rng.standard_normal(raw.shape, dtype=np.float32)
