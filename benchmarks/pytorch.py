"""The time of an epoch beside PyTorch's on the CPU, at the same settings, in one run.

    python benchmarks/pytorch.py       # needs PyTorch beside fastgd; takes about three minutes

PyTorch does what it does fastest: no DataLoader, the rows of each batch gathered by number (to
shuffle all of X once an epoch takes up to four times as long), a fused loss on logits, the fused
optimizer, one thread or as many as it likes, whichever is faster. Its operations are not compiled.
An epoch's time is that of a whole fit over its epochs, ours with validation and set-up, on one
thread; the best of several, in turn.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgd import SGDClassifier

with contextlib.suppress(ModuleNotFoundError):  # asv imports every file of this folder
    import torch

if __package__:
    from . import machine
else:  # run as a file
    import machine

REPEATS = 3
RATES = {"sgd": 0.1, "adam": 1e-3}


def seconds(call: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


class Torch:
    """A linear model trained by PyTorch."""

    epochs = 2

    def __init__(self, X: np.ndarray, y: np.ndarray, optimizer: str, batch_size: int) -> None:
        self._X = torch.from_numpy(X)
        self._many = int(y.max()) > 1
        self._y = torch.from_numpy(y.astype(np.int64 if self._many else np.float32))
        self._layer = torch.nn.Linear(X.shape[1], int(y.max()) + 1 if self._many else 1)
        kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
        self._optimizer = kinds[optimizer](
            self._layer.parameters(), lr=RATES[optimizer], weight_decay=1e-4, fused=True
        )
        self._batch_size = batch_size

    def fit(self, epochs: int) -> None:
        """Train for some epochs."""
        loss_of = (
            torch.nn.functional.cross_entropy
            if self._many
            else torch.nn.functional.binary_cross_entropy_with_logits
        )
        for _ in range(epochs):
            order = torch.randperm(self._X.shape[0])
            for rows in order.split(self._batch_size):
                target = self._y.index_select(0, rows)
                self._optimizer.zero_grad()
                raw = self._layer(self._X.index_select(0, rows))
                loss_of(raw if self._many else raw.squeeze(1), target).backward()
                self._optimizer.step()


class Ours:
    """The same by fastgd; more epochs, as its users take, for they are short beside the set-up."""

    epochs = 30

    def __init__(self, X: np.ndarray, y: np.ndarray, optimizer: str, batch_size: int) -> None:
        self._data = X, y
        self._model = SGDClassifier(
            loss="log_loss",
            multi_class="multinomial" if int(y.max()) > 1 else "ovr",
            alpha=1e-4,
            optimizer=optimizer,
            learning_rate="constant",
            eta0=RATES[optimizer],
            batch_size=batch_size,
            tol=None,
            random_state=0,
        )

    def fit(self, epochs: int) -> None:
        """Train for some epochs."""
        self._model.set_params(max_iter=epochs).fit(*self._data)


def epoch_seconds(models: list[Any]) -> list[float]:
    """Return the time of an epoch of each, after a fit that compiles."""
    for model in models:
        model.fit(1)
    times = [
        [seconds(lambda m=m: m.fit(m.epochs)) / m.epochs for m in models] for _ in range(REPEATS)
    ]
    return [min(of_one) for of_one in zip(*times, strict=True)]


def main() -> None:
    """Print a line for each data set, optimizer and batch size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="*", default=[1, torch.get_num_threads()])
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    print(machine.describe("torch"))
    print(f"PyTorch {torch.__version__}, its threads: {chosen.threads}, the fastest counts")
    for n_rows, n_features, n_classes in ((100_000, 54, 2), (60_000, 784, 2), (60_000, 784, 10)):
        X = rng.standard_normal((n_rows, n_features), dtype=np.float32)
        y = rng.integers(0, n_classes, n_rows)
        for optimizer in RATES:
            for batch_size in (64, 1024):
                theirs = []
                for n_threads in chosen.threads:
                    torch.set_num_threads(n_threads)
                    models = [
                        Torch(X, y, optimizer, batch_size),
                        Ours(X, y, optimizer, batch_size),
                    ]
                    theirs.append(epoch_seconds(models))
                best, ours = min(t[0] for t in theirs), statistics.median(t[1] for t in theirs)
                print(
                    f"{n_rows} x {n_features}, {n_classes} classes, {optimizer:<5} "
                    f"batch {batch_size:<5} PyTorch {1e3 * best:8.1f} ms  "
                    f"fastgd {1e3 * ours:7.1f} ms  {best / ours:6.1f} x",
                    flush=True,
                )


if __name__ == "__main__":
    main()
