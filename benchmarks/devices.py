"""Fits on a CUDA device, against this library's processor, scikit-learn, cuML and PyTorch.

    python benchmarks/devices.py --out devices
    NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 python benchmarks/devices.py --dry-run

The second one takes a few rows through every task of ours in the simulator, to see that it runs.
One run of at most five minutes: it writes ``devices.json`` and ``devices.md``, and prints the
table. Each task has a budget, and what would not fit into the rest of the time is left out and
named. Peers that are not installed are left out. Data are made on the device where CuPy is there.
Times are of the second call, once everything is compiled; the first is given beside it.
"""

import argparse
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

LIMIT = 285.0  # seconds
BANDWIDTH_BYTES = 1 << 30
DRY = 4e-6  # share of the rows of a dry run
EPOCHS = 2


class Row(NamedTuple):
    """One contender's fit of one task."""

    task: str
    contender: str
    first: float
    seconds: float
    figure: float  # what was reached: the objective or the accuracy
    note: str = ""


class Clock:
    """What is left of the run."""

    def __init__(self) -> None:
        self._end = time.perf_counter() + LIMIT

    @property
    def left(self) -> float:
        return self._end - time.perf_counter()


def synchronise() -> None:
    from fastgd.kernels.cuda import memory

    memory.synchronise()


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    synchronise()
    started = time.perf_counter()
    found = call()
    synchronise()
    return time.perf_counter() - started, found


def binary(n: int, d: int, scale: float) -> tuple[Any, Any]:
    """Return rows of float32 and labels of a logistic model."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((int(n * scale), d), dtype=np.float32)
    raw = X @ (rng.standard_normal(d).astype(np.float32) / np.sqrt(d) * 2)
    return X, (rng.random(X.shape[0]) < 1 / (1 + np.exp(-raw))).astype(np.int32)


def many(n: int, d: int, k: int, scale: float) -> tuple[Any, Any]:
    """Return rows of float32 and labels of k classes."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((int(n * scale), d), dtype=np.float32)
    W = rng.standard_normal((d, k)).astype(np.float32) / np.sqrt(d) * 3
    return X, np.argmax(X @ W + rng.gumbel(size=(X.shape[0], k)), axis=1).astype(np.int32)


def objective(model: Any, X: Any, y: Any) -> float:
    """Return the mean log loss with the penalty at C = 1, in float64, of 200,000 rows."""
    coef = np.asarray(model.coef_, np.float64)
    raw = X[:200_000] @ coef.T + np.asarray(model.intercept_)
    raw = np.c_[np.zeros(raw.shape[0]), raw] if raw.shape[1] == 1 else raw
    top = raw.max(axis=1)
    log = top + np.log(np.exp(raw - top[:, None]).sum(axis=1))
    own = np.asarray(raw[np.arange(raw.shape[0]), y[: raw.shape[0]]])
    return float(np.mean(log - own) + 0.5 * np.sum(coef**2) / X.shape[0])


def logistic_contenders(X: Any, y: Any) -> dict[str, Callable[[], Any]]:
    from sklearn import linear_model

    from fastgd import LogisticRegression

    found: dict[str, Callable[[], Any]] = {
        "fastgd, cuda": lambda: LogisticRegression(device="cuda").fit(X, y),
    }
    if find_spec("cupy") is not None:
        import cupy

        there = cupy.asarray(X)
        found["fastgd, X on the device"] = lambda: LogisticRegression().fit(there, y)
    if find_spec("cuml") is not None:
        from cuml.linear_model import LogisticRegression as Theirs

        found["cuML"] = lambda: Theirs(tol=1e-4).fit(X, y)
    cores = os.cpu_count()
    found[f"fastgd, {cores} cores"] = lambda: LogisticRegression(n_jobs=-1).fit(X, y)
    found[f"scikit-learn, {cores} cores"] = lambda: linear_model.LogisticRegression(
        tol=1e-4, max_iter=200
    ).fit(X, y)
    return found


def epoch_contenders(X: Any, y: Any, batch: int) -> dict[str, Callable[[], Any]]:
    from fastgd import SGDClassifier

    options = {"loss": "log_loss", "max_iter": 2, "tol": None, "batch_size": batch}
    options |= {"learning_rate": "constant", "eta0": 0.1, "random_state": 0}
    found: dict[str, Callable[[], Any]] = {
        "fastgd, cuda": lambda: SGDClassifier(device="cuda", **options).fit(X, y),
        "fastgd, one core": lambda: SGDClassifier(**options).fit(X, y),
    }
    if find_spec("torch") is not None:
        found["PyTorch, cuda"] = lambda: _torch_epochs(X, y, batch, 2)
    return found


def _torch_epochs(X: Any, y: Any, batch: int, epochs: int) -> Any:
    import torch

    X, y = torch.as_tensor(X, device="cuda"), torch.as_tensor(y, device="cuda").float()
    model = torch.nn.Linear(X.shape[1], 1, device="cuda")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
    loss = torch.nn.BCEWithLogitsLoss()
    for _ in range(epochs):
        order = torch.randperm(X.shape[0], device="cuda")
        for start in range(0, X.shape[0], batch):
            rows = order[start : start + batch]
            optimizer.zero_grad(set_to_none=True)
            loss(model(X[rows])[:, 0], y[rows]).backward()
            optimizer.step()
    torch.cuda.synchronize()
    return None


def network_contenders(X: Any, y: Any, batch: int, units: int) -> dict[str, Callable[[], Any]]:
    from fastgd.neural_network import MLPClassifier

    options = {"hidden_layer_sizes": (units,), "solver": "sgd", "momentum": 0.0, "max_iter": EPOCHS}
    options |= {"tol": None, "batch_size": batch, "learning_rate_init": 0.1, "random_state": 0}
    found: dict[str, Callable[[], Any]] = {
        "fastgd, cuda": lambda: MLPClassifier(device="cuda", **options).fit(X, y),
        "fastgd, processor": lambda: MLPClassifier(device="cpu", **options).fit(X, y),
    }
    if find_spec("torch") is not None:
        found["PyTorch, cuda"] = lambda: _torch_network(X, y, batch, units)
    return found


def _torch_network(X: Any, y: Any, batch: int, units: int) -> Any:
    import torch

    X, y = torch.as_tensor(X, device="cuda"), torch.as_tensor(y, device="cuda").long()
    first = torch.nn.Linear(X.shape[1], units, device="cuda")
    model = torch.nn.Sequential(first, torch.nn.ReLU(), torch.nn.Linear(units, 10, device="cuda"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
    loss = torch.nn.CrossEntropyLoss()
    for _ in range(EPOCHS):
        order = torch.randperm(X.shape[0], device="cuda")
        for start in range(0, X.shape[0], batch):
            rows = order[start : start + batch]
            optimizer.zero_grad(set_to_none=True)
            loss(model(X[rows]), y[rows]).backward()
            optimizer.step()
    torch.cuda.synchronize()
    return None


def bandwidth(size: int) -> Row:
    """Return how fast a pass of a solver reads X of so many bytes, in GB/s."""
    from fastgd.kernels.cuda import memory, passes
    from fastgd.kernels.losses import LogLoss
    from fastgd.kernels.objective import Targets
    from fastgd.kernels.rows import Dense

    d = 64
    n = size // (4 * d)
    X = memory.upload(np.ones((n, d), np.float32))
    targets = Targets(memory.zeros(n), memory.upload(np.full(n, 1 / n)))
    n_blocks, per_block = passes.grid_of(n)
    out = passes.Out(
        memory.zeros((n_blocks * passes.BLOCK, 2)),
        memory.empty((n_blocks * passes.GROUPS, d + 1)),
        memory.empty((n, 1)),
        memory.empty(0),
    )
    span = passes.Span(memory.empty(0, np.int64), 0, n, per_block)
    given = passes.Pass(targets, LogLoss())
    arguments = (Dense(X), X, given, memory.zeros((d + 1, 1)), span, out)
    first, _ = timed(lambda: passes.pass_apart.launch(n_blocks, passes.BLOCK, *arguments))
    seconds = min(
        timed(lambda: passes.pass_apart.launch(n_blocks, passes.BLOCK, *arguments))[0]
        for _ in range(5)
    )
    speed = size / seconds / 1e9
    return Row(f"one pass over {size:,} bytes", "fastgd, cuda", first, seconds, speed, "GB/s of X")


def measured(
    task: str, contenders: dict[str, Callable[[], Any]], figure: Any, clock: Clock
) -> list[Row]:
    rows = []
    for name, call in contenders.items():
        try:
            first, model = timed(call)
            is_short = first < clock.left / 8
            seconds, model = timed(call) if is_short else (first, model)
            note = "" if is_short else "one call, compilation included"
            rows.append(Row(task, name, first, seconds, figure(model), note))
        except Exception as error:
            rows.append(Row(task, name, np.nan, np.nan, np.nan, f"{type(error).__name__}: {error}"))
        print("  ", rows[-1], flush=True)
        if clock.left < 20:
            print("   out of time: the rest is left out")
            break
    return rows


def run(scale: float, *, only_ours: bool = False) -> list[Row]:
    """Return the rows of all tasks; of a dry run those of fastgd on the device."""
    clock = Clock()
    rows = [bandwidth(max(int(BANDWIDTH_BYTES * scale), 1 << 12))]
    print("  ", rows[-1], flush=True)

    def add(task: str, contenders: dict[str, Callable[[], Any]], figure: Any) -> None:
        chosen = {name: contenders[name] for name in contenders if name == "fastgd, cuda"}
        rows.extend(measured(task, chosen if only_ours else contenders, figure, clock))

    X, y = binary(10_000_000, 3 if only_ours else 50, scale)
    shape = f"{X.shape[0]:,} x {X.shape[1]}"
    add(f"logistic {shape}", logistic_contenders(X, y), lambda m: objective(m, X, y))
    for batch in (4096, 65_536):
        if clock.left > 40:
            task = f"{EPOCHS} epochs of {shape}, batch {batch:,}"
            add(task, epoch_contenders(X, y, batch), lambda _: np.nan)
    if clock.left > 60:
        X, y = many(
            1_000_000, *((2, 3) if only_ours else (784, 10)), scale * (8 if only_ours else 1)
        )
        shape = f"{X.shape[0]:,} x {X.shape[1]}"
        add(f"softmax {shape}", logistic_contenders(X, y), lambda m: objective(m, X, y))
        units = 3 if only_ours else 256
        task = f"{EPOCHS} epochs of a network of {units} units, {shape}, batch 4,096"
        add(task, network_contenders(X, y, 4096, units), lambda _: np.nan)
    return rows


def markdown(rows: list[Row], about: dict[str, str]) -> str:
    lines = [", ".join(f"{name}: {value}" for name, value in about.items()), ""]
    lines += [
        "| task | contender | first call, s | second, s | reached | |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        numbers = (f"{value:.4g}" for value in (row.first, row.seconds, row.figure))
        lines.append(f"| {row.task} | {row.contender} | {' | '.join(numbers)} | {row.note} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="devices", help="files to write, without their endings")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows")
    parser.add_argument("--dry-run", action="store_true", help="a few rows, and only of fastgd")
    asked = parser.parse_args()
    from fastgd._runtime import devices
    from fastgd.kernels.cuda import memory

    devices.require()
    warnings.simplefilter("ignore")
    about = {**memory.describe(), "processor": f"{platform.processor()}, {os.cpu_count()} cores"}
    if asked.dry_run:
        sys.setswitchinterval(1e-6)  # the simulator's threads mostly wait for each other
    rows = run(DRY if asked.dry_run else asked.scale, only_ours=asked.dry_run)
    text = markdown(rows, about)
    found = {"about": about, "rows": [row._asdict() for row in rows]}
    Path(f"{asked.out}.json").write_text(json.dumps(found, indent=1))
    Path(f"{asked.out}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
