"""Loss against bytes: what each quantizer of ``fastgd.transforms`` costs and saves.

    python benchmarks/quantization.py      # needs nothing but fastgd; takes a minute or two

Logistic and softmax regression under a weak l2, by sgd of a constant rate, the mean of a few
seeds; each quantizer has the best of some rates. A step's bytes are those of ``encode``, header and
scales included, against 4 for each number of float32. What counts is the objective as an epoch
meets it, above the optimum: after the last epoch, and how many MB were sent until it was within a
tenth of the optimum.
"""

import statistics
import time
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.preprocessing import StandardScaler

from fastgd import LogisticRegression, SGDClassifier
from fastgd.transforms import Qsgd, TopK, encode

EPOCHS, ALPHA, SEEDS, BATCH = 60, 1e-3, (0, 1, 2), 32
RATES = [2.0**k for k in range(-10, 4)]
QUANTIZERS = {
    "none": None,
    "qsgd, 8 bits": Qsgd(8),
    "qsgd, 4 bits": Qsgd(4),
    "qsgd, 2 bits": Qsgd(2),
    "qsgd, 1 bit": Qsgd(1),
    "terngrad": "terngrad",
    "sign": "sign",
    "topk, 10 %": TopK(0.1),
    "topk, 1 %": TopK(0.01),
}


def objectives(X: Any, y: Any, quantizer: Any, rate: float) -> np.ndarray:
    """Return the objective of each epoch, the mean of some seeds; inf where one diverged."""
    curves = []
    for seed in SEEDS:
        model = SGDClassifier(
            loss="log_loss",
            alpha=ALPHA,
            learning_rate="constant",
            eta0=rate,
            batch_size=BATCH,
            max_iter=EPOCHS,
            tol=None,
            random_state=seed,
            quantize=quantizer,
        )
        try:
            curves.append(model.fit(X, y).history_["objective"])
        except ValueError:
            return np.full(EPOCHS, np.inf)
    return np.mean(curves, axis=0)


def milliseconds_of_encode(quantizer: Any, size: int) -> float:
    """Return the median time to encode a gradient."""
    gradient = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    encode(quantizer, gradient, 0, 1)
    times = []
    for step in range(20):
        started = time.perf_counter()
        encode(quantizer, gradient, 0, step)
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times)


def table(name: str, X: Any, y: Any) -> None:
    """Print the table of a data set."""
    X = StandardScaler().fit_transform(X).astype(np.float32)
    n_outputs = 1 if len(np.unique(y)) == 2 else len(np.unique(y))
    size, n_steps = (X.shape[1] + 1) * n_outputs, -(-X.shape[0] // BATCH)
    best = LogisticRegression(C=1 / (ALPHA * X.shape[0])).fit(X, y).objective_
    print(f"\n{name}: {X.shape[0]} rows, a gradient of {size} numbers, {n_steps} steps an epoch,")
    print(f"the optimum is {best:.4f}\n")
    print("| quantizer | bytes a step | of float32 | best rate | above the optimum | MB to 10 % |")
    print("|---|---|---|---|---|---|")
    for word, quantizer in QUANTIZERS.items():
        curves = {rate: objectives(X, y, quantizer, rate) for rate in RATES}
        rate, sent = min(curves, key=lambda rate: curves[rate][-1]), 4 * size
        if quantizer is not None:
            sent = encode(quantizer, np.ones(size, np.float32), 0, 1).nbytes
        below = [np.flatnonzero(curve <= 1.1 * best) for curve in curves.values()]
        epochs = min((hits[0] + 1 for hits in below if hits.size), default=None)
        cost = "not reached" if epochs is None else f"{epochs * n_steps * sent / 1e6:.3f}"
        above = curves[rate][-1] / best - 1
        print(f"| {word} | {sent} | {sent / 4 / size:.0%} | {rate:g} | {above:.1%} | {cost} |")


def main() -> None:
    """Print all tables."""
    table("digits, softmax", *load_digits(return_X_y=True))
    table("breast cancer", *load_breast_cancer(return_X_y=True))
    print("\nTime to encode a gradient of a million numbers of float32, milliseconds:")
    for word, quantizer in QUANTIZERS.items():
        if quantizer is not None:
            print(f"  {word}: {milliseconds_of_encode(quantizer, 1_000_000):.1f}")


if __name__ == "__main__":
    main()
