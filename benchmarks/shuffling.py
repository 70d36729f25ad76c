"""What the cheap shuffle costs in epochs: runs of neighbours against a full random reshuffle.

    python benchmarks/shuffling.py                      # data that need no network
    python benchmarks/shuffling.py --folder FOLDER NAME ...

Rows are shuffled once, and each epoch visits runs of neighbours of that order in a new order. The
data here are sorted by class, the worst case for a shuffle that is none. For every data set and
batch size both kinds of order train from zero under a rate that falls, over several seeds. "epochs
to a target" counts until the training objective of all rows is within a share of the start's
distance to the lowest that any run reached, read between epochs off a line; the figure is the
mean over seeds, the ratio runs / reshuffle. No time is measured.
"""

import argparse
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from fastgd import SGDClassifier
from fastgd._data import order as _order

if __package__:
    from . import data
else:  # run as a file
    import data


EPOCHS, SEEDS = 12, 12
TARGETS = (0.1, 0.03)
DEFAULT = ("nycflights_cls",)


def trained(X: Any, y: np.ndarray, batch_size: int, seed: int, run: int | None) -> np.ndarray:
    """Return the objective of all rows after each epoch; a run of 1 is a full reshuffle."""
    eta0 = 0.02 if batch_size == 1 else 0.3
    model = SGDClassifier(
        loss="log_loss",
        alpha=1e-4,
        batch_size=batch_size,
        learning_rate="invscaling",
        power_t=0.25,
        eta0=eta0,
        max_iter=EPOCHS,
        tol=None,
        random_state=seed,
        monitor=True,
    )
    length = _order.run_length
    with mock.patch.object(_order, "run_length", (lambda *_: run) if run else length):
        model.fit(X, y)
    return np.array(model.history_["true_objective"])


def epochs_to(curve: np.ndarray, start: float, lowest: float, share: float) -> float:
    """Return after how many epochs a curve is within a share of the distance; inf for never."""
    remaining = np.log(np.maximum(np.append(start, curve) - lowest, 1e-300) / (start - lowest))
    below = np.flatnonzero(remaining <= np.log(share))
    if below.size == 0:
        return np.inf
    at = int(below[0])
    before, after = remaining[at - 1], remaining[at]
    return at - 1 + (before - np.log(share)) / (before - after)


def compare(name: str, X: Any, y: np.ndarray, batch_size: int) -> None:
    """Print a line for each target."""
    curves = {
        kind: [trained(X, y, batch_size, seed, run) for seed in range(SEEDS)]
        for kind, run in (("runs", None), ("reshuffle", 1))
    }
    lowest = min(float(curve.min()) for of_kind in curves.values() for curve in of_kind)
    lowest -= 1e-3 * abs(lowest)  # what further epochs would gain
    start = float(np.log(2.0))
    run = _order.run_length(X.shape[0], X.shape[1])
    for share in TARGETS:
        counts = {
            kind: np.array([epochs_to(curve, start, lowest, share) for curve in of_kind])
            for kind, of_kind in curves.items()
        }
        if not all(np.isfinite(of_kind).all() for of_kind in counts.values()):
            print(f"{name:<16} batch {batch_size:<4} within {share}: not in {EPOCHS} epochs")
            continue
        means = {kind: float(of_kind.mean()) for kind, of_kind in counts.items()}
        noise = np.sqrt(sum(np.var(c, ddof=1) / SEEDS for c in counts.values()))
        print(
            f"{name:<16} batch {batch_size:<4} runs of {run:<4} within {share:<5} "
            f"runs {means['runs']:7.3f}  reshuffle {means['reshuffle']:7.3f} epochs  "
            f"ratio {means['runs'] / means['reshuffle']:.3f} +- {noise / means['reshuffle']:.3f}",
            flush=True,
        )


def main() -> None:
    """Compare on each data set, sorted by class."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=DEFAULT)
    parser.add_argument("--folder", type=Path, default=None)
    chosen = parser.parse_args()
    for name in chosen.names:
        X, y = data.load(name, chosen.folder, standardise=True)
        y = y == np.bincount(y).argmax()
        by_class = np.argsort(y, kind="stable")
        X, y = X[by_class], y[by_class]
        for batch_size in (1, 64):
            compare(name, X, y, batch_size)


if __name__ == "__main__":
    main()
