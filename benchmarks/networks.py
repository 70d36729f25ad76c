"""The time of an epoch of networks beside scikit-learn's and PyTorch's, in one run.

    python benchmarks/networks.py                    # what needs no files; PyTorch is optional
    python benchmarks/networks.py --data FOLDER      # FOLDER/mnist.npz and spamassassin.npz, too
    python benchmarks/networks.py --accuracy --data FOLDER
    python benchmarks/networks.py --compilation

The same architecture, batch size, optimizer (Adam) and number of epochs, float32, for each number
of threads. PyTorch does what it does fastest: no DataLoader, rows gathered by number, the fused
optimizer, channels last, and ``torch.compile`` where that is faster (its compilation is not
counted). scikit-learn has no convolutions, PyTorch's layers take no CSR rows. An epoch's time is
that of a whole fit over its epochs, the best of several in turn: processor time for one thread, a
clock on the wall for more. The last columns are the objectives reached, and the floor: the flops of
the products at the rate of a large product.

``--accuracy`` prints how many rows networks of these shapes predict rightly that they have not
seen, ``--compilation`` the processor time of the first fit and the first predictions of a process,
without compiled code and with it.
"""

import argparse
import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier as TheirClassifier
from threadpoolctl import threadpool_limits

from fastgd.layers import Conv2D, Dense, Dropout, Flatten, MaxPool2D
from fastgd.neural_network import MLPClassifier, NetworkClassifier

try:
    from benchmarks import machine
    from benchmarks.common import fastest, seconds
    from benchmarks.data import Unavailable, load
except ModuleNotFoundError:  # run as a script
    import machine  # type: ignore[no-redef]
    from common import fastest, seconds  # type: ignore[no-redef]
    from data import Unavailable, load  # type: ignore[no-redef]

with contextlib.suppress(ModuleNotFoundError):
    import torch

N_TRAIN = 60_000  # of MNIST
N_IMAGES = 6_000  # of an epoch of the convolutions
FILTERS = (16, 32)


class Case(NamedTuple):
    """A network and rows."""

    X: Any
    y: np.ndarray
    hidden: tuple[int, ...]
    batch_size: int
    epochs: int
    is_convolution: bool = False


def digits() -> Case:
    """Return small images in small batches."""
    X, y = load_digits(return_X_y=True)
    return Case((X / 16).astype(np.float32), y, (32,), 32, 20)


def tabular() -> Case:
    """Return a table of numbers."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50_000, 30), dtype=np.float32)
    y = np.tanh(X @ rng.normal(size=(30, 5))) @ rng.normal(size=5) > 0
    return Case(X, y.astype(int), (64, 64), 64, 2)


def mnist(folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Return images in [0, 1], those to train on first; without the file, some that look alike."""
    try:
        X, y = load("mnist", folder)
        return X / np.float32(255), y
    except Unavailable:
        rng = np.random.default_rng(0)
        y = rng.integers(0, 10, N_TRAIN)
        centers = rng.standard_normal((10, 784)).astype(np.float32)
        return 0.5 * rng.standard_normal((N_TRAIN, 784), dtype=np.float32) + 0.1 * centers[y], y


def cases(folder: Path | None) -> dict[str, Callable[[], Case]]:
    """Return the cases by name; they are made when they are needed."""

    def images(*rest: Any, n: int = N_TRAIN) -> Case:
        X, y = mnist(folder)
        return Case(X[:n], y[:n], *rest)

    found: dict[str, Callable[[], Case]] = {
        "digits 1,797 x 64, (32,), batch 32": digits,
        "50,000 x 30, (64, 64), batch 64": tabular,
        "60,000 x 784, (256,), batch 64": lambda: images((256,), 64, 1),
        "60,000 x 784, (256,), batch 256": lambda: images((256,), 256, 1),
        "6,000 x 28 x 28, two convolutions, batch 64": lambda: images((), 64, 1, True, n=N_IMAGES),
    }
    if folder is not None:
        found["6,046 x 131,072 CSR, (32,), batch 64"] = lambda: Case(
            *load("spamassassin", folder), (32,), 64, 1
        )
    return found


def layers() -> list[Any]:
    """Return the network of convolutions."""
    first, second = FILTERS
    parts = [Conv2D(first, 3, activation="relu"), MaxPool2D(2)]
    parts += [Conv2D(second, 3, activation="relu"), MaxPool2D(2)]
    return [*parts, Flatten(), Dense(10)]


def ours(case: Case, n_threads: int = 1) -> Any:
    """Return our network, fitted."""
    params: dict[str, Any] = {"batch_size": case.batch_size, "max_iter": case.epochs, "tol": None}
    params["n_jobs"] = n_threads
    if case.is_convolution:
        network = NetworkClassifier(layers(), random_state=0, **params)
        return network.fit(case.X.reshape(-1, 28, 28), case.y)
    return MLPClassifier(case.hidden, random_state=0, **params).fit(case.X, case.y)


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


def by_torch(case: Case, compiles: bool) -> dict[str, Callable[[], float]]:
    """Return what trains the same network by PyTorch, by name, compiled and not."""
    nn = torch.nn
    n_outputs = int(case.y.max()) + 1
    y = torch.from_numpy(case.y.astype(np.int64))
    if case.is_convolution:
        images = torch.from_numpy(case.X.reshape(-1, 1, 28, 28))
        X = images.to(memory_format=torch.channels_last)
    else:
        X = torch.from_numpy(case.X)

    def network() -> Any:
        torch.manual_seed(0)
        if case.is_convolution:
            first, second = FILTERS
            parts = [nn.Conv2d(1, first, 3), nn.ReLU(), nn.MaxPool2d(2)]
            parts += [nn.Conv2d(first, second, 3), nn.ReLU(), nn.MaxPool2d(2)]
            parts += [nn.Flatten(), nn.Linear(25 * second, n_outputs)]
            return nn.Sequential(*parts).to(memory_format=torch.channels_last)
        widths = (case.X.shape[1], *case.hidden, n_outputs)
        pairs = (
            (nn.Linear(before, after), nn.ReLU()) for before, after in itertools.pairwise(widths)
        )
        return nn.Sequential(*list(itertools.chain(*pairs))[:-1])

    def train(own: Any, loss_of: Callable[..., Any]) -> float:
        optimizer = torch.optim.Adam(own.parameters(), lr=1e-3, fused=True)
        total = torch.zeros(())
        for _ in range(case.epochs):
            total = torch.zeros(())
            for rows in torch.randperm(len(y)).split(case.batch_size):
                optimizer.zero_grad(set_to_none=True)
                loss = loss_of(X.index_select(0, rows), y.index_select(0, rows))
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(rows)
        return float(total) / len(y)

    def loss_by(own: Any) -> Callable[..., Any]:
        return lambda X, y: nn.functional.cross_entropy(own(X), y)

    def eager() -> float:
        own = network()
        return train(own, loss_by(own))

    kept = network()
    graph = torch.compile(loss_by(kept))

    def compiled() -> float:
        kept.load_state_dict(network().state_dict())  # the graph goes on with these tensors
        return train(kept, graph)

    return {"PyTorch": eager, "compiled": compiled} if compiles else {"PyTorch": eager}


def flops(case: Case) -> float:
    """Return the flops of an epoch's products."""
    n = case.X.shape[0]
    if case.is_convolution:
        first, second = FILTERS
        return n * 2.0 * (2 * 676 * 9 * first + 3 * 121 * 9 * first * second + 3 * 25 * second * 10)
    n_outputs = int(case.y.max()) + 1
    widths = (*case.hidden, n_outputs if n_outputs > 2 else 1)
    n_entries = case.X.nnz / n if sp.issparse(case.X) else case.X.shape[1]
    return n * (
        4.0 * n_entries * widths[0] + sum(6.0 * a * b for a, b in itertools.pairwise(widths))
    )


def rate(clock: Callable[[], float]) -> float:
    """Return the flops in a second of a large product."""
    square = np.ones((1024, 1024), np.float32)
    return 2.0 * 1024**3 / fastest(lambda: square @ square, clock=clock)[0]


def row(name: str, case: Case, n_threads: int, compiles: bool) -> str:
    """Return a line of the table."""
    clock = time.process_time if n_threads == 1 else time.perf_counter
    calls: dict[str, Callable[[], Any]] = {"fastgd": lambda: ours(case, n_threads)}
    if not case.is_convolution:
        calls["scikit-learn"] = lambda: theirs(case)
    if "torch" in globals() and not sp.issparse(case.X):
        torch.set_num_threads(n_threads)
        calls.update(by_torch(case, compiles))
    for peer in [name for name in calls if name != "scikit-learn"]:  # both compile
        try:
            calls[peer]()
        except RuntimeError as fault:  # torch.compile needs a C++ compiler
            print(f"without {peer}: {str(fault).splitlines()[0]}", file=sys.stderr)
            del calls[peer]
    times = dict(zip(calls, fastest(*calls.values(), clock=clock), strict=True))
    cells = [f"{1e3 * times['fastgd'] / case.epochs:.1f} ms"]
    of_torch = {peer: times[peer] for peer in ("PyTorch", "compiled") if peer in times}
    best = min(of_torch, key=lambda peer: of_torch[peer], default="PyTorch")
    for peer in ("scikit-learn", best):
        cells.append(f"{1e3 * times[peer] / case.epochs:.1f} ms" if peer in times else "")
        cells.append(f"{times[peer] / times['fastgd']:.2f}" if peer in times else "")
    cells[3] += " (compiled)" if best == "compiled" else ""
    reached = [calls["fastgd"]().loss_]
    reached += [] if case.is_convolution else [calls["scikit-learn"]().loss_]
    reached += [calls[best]()] if best in calls else []
    cells.append(", ".join(f"{loss:.3f}" for loss in reached))
    floor = 1e3 * flops(case) / rate(clock)
    cells.append(f"{floor:.1f} ms, x{1e3 * times['fastgd'] / case.epochs / floor:.1f}")
    return f"| {name} | {n_threads} | {' | '.join(cells)} |"


def print_times(asked: argparse.Namespace) -> None:
    """Print a line for each case and number of threads."""
    columns = ["network", "threads", "fastgd", "scikit-learn", "ratio", "PyTorch", "ratio"]
    columns += ["objective", "floor"]
    print(machine.describe("torch"))
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    for name, make in cases(asked.data).items():
        if asked.only and not any(part in name for part in asked.only):
            continue
        case = make()
        for n_threads in asked.threads:
            with threadpool_limits(n_threads):
                print(row(name, case, n_threads, not asked.eager), flush=True)


def print_accuracy(folder: Path | None) -> None:
    """Print the shares of rows that are predicted rightly and were not trained on."""
    X, y = load_digits(return_X_y=True)
    parts = train_test_split((X / 16).astype(np.float32), y, random_state=0, stratify=y)
    params: dict[str, Any] = {"max_iter": 100, "random_state": 0, "batch_size": 32, "tol": 0.0}
    for name, cls in (("fastgd", MLPClassifier), ("scikit-learn", TheirClassifier)):
        score = cls((32,), **params).fit(parts[0], parts[2]).score(parts[1], parts[3])
        print(f"digits, (32,), 100 epochs, {name}: {100 * score:.1f} %", flush=True)
    X, y = load("mnist", folder)
    X /= np.float32(255)
    seen, unseen = slice(0, N_TRAIN), slice(N_TRAIN, None)
    network = MLPClassifier((256,), batch_size=64, max_iter=10, tol=None, random_state=0)
    score = network.fit(X[seen], y[seen]).score(X[unseen], y[unseen])
    print(f"MNIST, (256,), 10 epochs: {100 * score:.2f} %", flush=True)
    images = X.reshape(-1, 28, 28)
    *first, last = layers()
    params = {"batch_size": 64, "max_iter": 3, "tol": None, "random_state": 0}
    params |= {"learning_rate": "one_cycle", "learning_rate_init": 0.005}
    network = NetworkClassifier([*first, Dropout(0.25), last], **params)
    score = network.fit(images[seen], y[seen]).score(images[unseen], y[unseen])
    print(f"MNIST, two convolutions, 3 epochs: {100 * score:.2f} %", flush=True)


def print_compilation() -> None:
    """Print what first fits take, in processes of their own, with an empty cache and a full one."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("nothing compiled", "all compiled"):
            environment = {**os.environ, "NUMBA_CACHE_DIR": folder, "FASTGD_QUIET": "1"}
            command = [sys.executable, __file__, "--first-fit"]
            print(f"{name}: ", end="", flush=True)
            subprocess.run(command, env=environment, check=True)


def print_first_fit() -> None:
    """Print what this process takes for its first fit and predictions."""
    case = digits()
    network = MLPClassifier(case.hidden, batch_size=case.batch_size, max_iter=1, random_state=0)
    fit = seconds(lambda: network.fit(case.X, case.y), time.process_time)
    predict = seconds(lambda: network.predict(case.X), time.process_time)
    print(f"fit {fit:.2f} s, predict {predict:.2f} s", flush=True)


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, metavar="DIR", help="read NAME.npz of this folder")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", default=[], help="parts of the names of cases")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--accuracy", action="store_true")
    parser.add_argument("--compilation", action="store_true")
    parser.add_argument("--first-fit", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")  # a fixed number of epochs does not converge
    if asked.first_fit:
        print_first_fit()
    elif asked.compilation:
        print_compilation()
    elif asked.accuracy:
        print_accuracy(asked.data)
    else:
        print_times(asked)


if __name__ == "__main__":
    main()
