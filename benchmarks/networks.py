"""The time of an epoch of small networks beside scikit-learn's and PyTorch's, in one run.

    python benchmarks/networks.py      # PyTorch is optional; takes about two minutes

The same architecture, batch size, optimizer (Adam) and number of epochs, float32, one thread each.
PyTorch does what it does fastest: no DataLoader, rows gathered by number, the fused optimizer.
scikit-learn has no convolutions. An epoch's time is that of a whole fit over its epochs, the best
of several in turn; the last column is the objective or loss that ours and scikit-learn's reach.
"""

import contextlib
import itertools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier as TheirClassifier
from threadpoolctl import threadpool_limits

from fastgd.layers import Conv2D, Dense, Flatten, MaxPool2D
from fastgd.neural_network import MLPClassifier, NetworkClassifier

try:
    from benchmarks.common import fastest
except ModuleNotFoundError:  # run as a script
    from common import fastest  # type: ignore[no-redef]

with contextlib.suppress(ModuleNotFoundError):
    import torch


class Case(NamedTuple):
    """A network and rows."""

    X: np.ndarray
    y: np.ndarray
    hidden: tuple[int, ...]
    batch_size: int
    epochs: int
    is_convolution: bool = False


def images_like(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return rows as large as MNIST's, of ten classes that overlap."""
    y = rng.integers(0, 10, n)
    centers = rng.standard_normal((10, 784)).astype(np.float32)
    return 0.5 * rng.standard_normal((n, 784), dtype=np.float32) + 0.1 * centers[y], y


def cases() -> dict[str, Callable[[], Case]]:
    """Return the cases by name; they are made when they are needed."""
    rng = np.random.default_rng(0)

    def digits() -> Case:
        X, y = load_digits(return_X_y=True)
        return Case((X / 16).astype(np.float32), y, (32,), 32, 20)

    def tabular() -> Case:
        X = rng.standard_normal((50_000, 30), dtype=np.float32)
        y = np.tanh(X @ rng.normal(size=(30, 5))) @ rng.normal(size=5) > 0
        return Case(X, y.astype(int), (64, 64), 64, 2)

    return {
        "digits 1,797 x 64, (32,), batch 32": digits,
        "50,000 x 30, (64, 64), batch 64": tabular,
        "60,000 x 784, (256,), batch 64": lambda: Case(*images_like(60_000, rng), (256,), 64, 1),
        "60,000 x 784, (256,), batch 256": lambda: Case(*images_like(60_000, rng), (256,), 256, 1),
        "6,000 x 28 x 28, two convolutions, batch 64": lambda: Case(
            *images_like(6_000, rng), (), 64, 1, is_convolution=True
        ),
    }


def ours(case: Case) -> Any:
    """Return our network, fitted."""
    params: dict[str, Any] = {"batch_size": case.batch_size, "max_iter": case.epochs, "tol": None}
    if not case.is_convolution:
        return MLPClassifier(case.hidden, random_state=0, **params).fit(case.X, case.y)
    layers = [Conv2D(16, 3, activation="relu"), MaxPool2D(2), Conv2D(32, 3, activation="relu")]
    layers += [MaxPool2D(2), Flatten(), Dense(10)]
    network = NetworkClassifier(layers, random_state=0, **params)
    return network.fit(case.X.reshape(-1, 28, 28), case.y)


def theirs(case: Case) -> Any:
    """Return scikit-learn's network, fitted."""
    network = TheirClassifier(
        case.hidden,
        batch_size=case.batch_size,
        max_iter=case.epochs,
        tol=0.0,
        n_iter_no_change=10**6,
        random_state=0,
    )
    return network.fit(case.X, case.y)


def by_torch(case: Case) -> None:
    """Train the same network by PyTorch."""
    nn = torch.nn
    n_outputs = int(case.y.max()) + 1
    torch.manual_seed(0)
    if case.is_convolution:
        parts = [nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU()]
        parts += [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(800, n_outputs)]
        X = torch.from_numpy(case.X.reshape(-1, 1, 28, 28)).to(memory_format=torch.channels_last)
    else:
        widths = (case.X.shape[1], *case.hidden, n_outputs)
        parts = []
        for before, after in itertools.pairwise(widths):
            parts += [nn.Linear(before, after), nn.ReLU()]
        X, parts = torch.from_numpy(case.X), parts[:-1]
    network, y = nn.Sequential(*parts), torch.from_numpy(case.y)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    for _ in range(case.epochs):
        for rows in torch.randperm(len(y)).split(case.batch_size):
            optimizer.zero_grad(set_to_none=True)
            raw = network(X.index_select(0, rows))
            nn.functional.cross_entropy(raw, y.index_select(0, rows)).backward()
            optimizer.step()


def main() -> None:
    """Print a row for each case."""
    warnings.simplefilter("ignore")  # a fixed number of epochs does not converge
    has_torch = "torch" in globals()
    if has_torch:
        torch.set_num_threads(1)
    print("| network | fastgd | scikit-learn | ratio | PyTorch | ratio | objective |")
    print("|---|---|---|---|---|---|---|")
    with threadpool_limits(1):
        for name, make in cases().items():
            case = make()
            calls: dict[str, Callable[[], Any]] = {"fastgd": lambda c=case: ours(c)}
            if not case.is_convolution:
                calls["scikit-learn"] = lambda c=case: theirs(c)
            if has_torch:
                calls["PyTorch"] = lambda c=case: by_torch(c)
            ours(case)  # compiles
            times = dict(zip(calls, fastest(*calls.values()), strict=True))
            cells = [f"{1e3 * times['fastgd'] / case.epochs:.1f} ms"]
            for peer in ("scikit-learn", "PyTorch"):
                if peer in times:
                    cells.append(f"{1e3 * times[peer] / case.epochs:.1f} ms")
                    cells.append(f"{times[peer] / times['fastgd']:.1f}")
                else:
                    cells += ["", ""]
            reached = f"{ours(case).loss_:.3f}"
            if not case.is_convolution:
                reached += f", {theirs(case).loss_:.3f}"
            print(f"| {name} | {' | '.join(cells)} | {reached} |", flush=True)


if __name__ == "__main__":
    main()
