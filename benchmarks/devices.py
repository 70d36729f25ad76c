"""Fits on a CUDA device, against this library's processor, scikit-learn, cuML and PyTorch.

    python benchmarks/devices.py --out devices
    NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 python benchmarks/devices.py --dry-run

The second one takes a few rows through every task in the simulator, to see that it runs. One run
of at most five minutes: it writes ``devices.json`` and ``devices.md``, and prints the table. Each
task has a part of the time, devices first; what does not end within it is named. Peers that are not
installed are left out. Times are of the second call, once everything is compiled; the first is
given beside it.
"""

import argparse
import json
import os
import platform
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

LIMIT = 285.0  # seconds
BANDWIDTH_BYTES = 1 << 30
DRY = 4e-6  # share of the rows of a dry run
EPOCHS = 2
TOL = 1e-4
ROWS = {"logistic": (10_000_000, 50), "softmax": (1_000_000, 784)}


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


Calls = dict[str, Callable[[], Any]]


def solved_contenders(
    X: Any, y: Any, ours: Callable[..., Any], theirs: Any, in_cuml: str | None = None
) -> Calls:
    """Return who fits a model by a solver: ``ours`` takes a device, ``theirs`` is scikit-learn's.

    Parameters
    ----------
    X, y : ndarrays
    ours : function of ``device`` to an estimator
    theirs : estimator of scikit-learn's
    in_cuml : str, name of the class in ``cuml.linear_model``, or None
    """
    found: Calls = {"fastgd, cuda": lambda: ours(device="cuda").fit(X, y)}
    there = None
    if find_spec("cupy") is not None:
        import cupy

        there = cupy.asarray(X)
        found["fastgd, X on the device"] = lambda: ours(device="auto").fit(there, y)
    if in_cuml is not None and find_spec("cuml") is not None:
        from cuml import linear_model as cuml_model

        kind = getattr(cuml_model, in_cuml)
        found["cuML"] = lambda: kind(tol=TOL).fit(X, y)
        if there is not None:
            found["cuML, X on the device"] = lambda: kind(tol=TOL).fit(there, y)
    cores = os.cpu_count()
    found[f"fastgd, {cores} cores"] = lambda: ours(device="cpu").fit(X, y)
    found[f"scikit-learn, {cores} cores"] = lambda: theirs.fit(X, y)
    return found


def logistic_contenders(X: Any, y: Any) -> Calls:
    from sklearn import linear_model

    from fastgd import LogisticRegression

    def ours(device: str) -> Any:
        return LogisticRegression(tol=TOL, n_jobs=-1, device=device)

    theirs = linear_model.LogisticRegression(tol=TOL, max_iter=1000)
    return solved_contenders(X, y, ours, theirs, "LogisticRegression")


def machine_contenders(X: Any, y: Any) -> Calls:
    from sklearn import svm

    from fastgd import LinearSVC

    def ours(device: str) -> Any:
        return LinearSVC(tol=TOL, device=device)

    return solved_contenders(X, y, ours, svm.LinearSVC(tol=TOL))


def epoch_contenders(X: Any, y: Any, batch: int) -> Calls:
    from sklearn import linear_model

    from fastgd import SGDClassifier

    of_both = {"loss": "log_loss", "max_iter": EPOCHS, "tol": None, "random_state": 0}
    of_both |= {"learning_rate": "constant", "eta0": 0.1}
    options = {**of_both, "batch_size": batch}
    found: Calls = {
        "fastgd, cuda": lambda: SGDClassifier(device="cuda", **options).fit(X, y),
        "fastgd, cuda, a launch for each part of a step": lambda: _launched(
            lambda: SGDClassifier(device="cuda", **options).fit(X, y)
        ),
    }
    if find_spec("torch") is not None:
        found["PyTorch, cuda"] = lambda: _torch_epochs(X, y, batch, with_graph=False)
        found["PyTorch, cuda, a graph"] = lambda: _torch_epochs(X, y, batch, with_graph=True)
    found["fastgd, one core"] = lambda: SGDClassifier(device="cpu", **options).fit(X, y)
    found["scikit-learn, one core, row by row"] = lambda: linear_model.SGDClassifier(
        **{**of_both, "eta0": 0.1 / batch}
    ).fit(X, y)
    return found


def _launched(fit: Callable[[], Any]) -> Any:
    """Fit with launches of their own for each step."""
    from fastgd._engines import cuda_linear

    before, cuda_linear.PERSISTS = cuda_linear.PERSISTS, False
    try:
        return fit()
    finally:
        cuda_linear.PERSISTS = before


def _torch_epochs(X: Any, y: Any, batch: int, *, with_graph: bool) -> Any:
    import torch

    X, y = torch.as_tensor(X, device="cuda"), torch.as_tensor(y, device="cuda").float()
    model = torch.nn.Linear(X.shape[1], 1, device="cuda")
    loss = torch.nn.BCEWithLogitsLoss()

    def cost(x: Any, target: Any) -> Any:
        return loss(model(x)[:, 0], target)

    return _torch_trained(X, y, model, cost, batch, with_graph=with_graph)


def network_contenders(X: Any, y: Any, batch: int, units: int) -> Calls:
    from sklearn import neural_network

    from fastgd.neural_network import MLPClassifier

    options = {"hidden_layer_sizes": (units,), "solver": "sgd", "momentum": 0.0, "max_iter": EPOCHS}
    options |= {"batch_size": batch, "learning_rate_init": 0.1, "random_state": 0}
    ours = {**options, "tol": None}
    found: Calls = {
        "fastgd, cuda": lambda: MLPClassifier(device="cuda", **ours).fit(X, y),
    }
    if find_spec("torch") is not None:
        found["PyTorch, cuda"] = lambda: _torch_network(X, y, batch, units, with_graph=False)
        found["PyTorch, cuda, a graph"] = lambda: _torch_network(
            X, y, batch, units, with_graph=True
        )
    cores = os.cpu_count()
    found[f"fastgd, {cores} cores"] = lambda: MLPClassifier(device="cpu", **ours).fit(X, y)
    found[f"scikit-learn, {cores} cores"] = lambda: neural_network.MLPClassifier(
        **options, n_iter_no_change=EPOCHS + 1
    ).fit(X, y)
    return found


def _torch_network(X: Any, y: Any, batch: int, units: int, *, with_graph: bool) -> Any:
    import torch

    X, y = torch.as_tensor(X, device="cuda"), torch.as_tensor(y, device="cuda").long()
    first = torch.nn.Linear(X.shape[1], units, device="cuda")
    model = torch.nn.Sequential(first, torch.nn.ReLU(), torch.nn.Linear(units, 10, device="cuda"))
    loss = torch.nn.CrossEntropyLoss()

    def cost(x: Any, target: Any) -> Any:
        return loss(model(x), target)

    return _torch_trained(X, y, model, cost, batch, with_graph=with_graph)


def _torch_trained(
    X: Any, y: Any, model: Any, cost: Callable[..., Any], batch: int, *, with_graph: bool
) -> None:
    """Train by batches; a graph is of one step on rows that were copied to where it reads them."""
    import torch

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)

    def step(x: Any, target: Any) -> None:
        optimizer.zero_grad(set_to_none=True)
        cost(x, target).backward()
        optimizer.step()

    graph, size = None, min(batch, X.shape[0])
    if with_graph:
        x, target = X[:size].clone(), y[:size].clone()
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):  # as PyTorch's manual asks before a capture
                step(x, target)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step(x, target)
    for _ in range(EPOCHS):
        order = torch.randperm(X.shape[0], device="cuda")
        for start in range(0, X.shape[0], batch):
            rows = order[start : start + batch]
            if graph is None or rows.shape[0] < size:
                step(X[rows], y[rows])
                continue
            torch.index_select(X, 0, rows, out=x)
            torch.index_select(y, 0, rows, out=target)
            graph.replay()
    torch.cuda.synchronize()


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
    of_copy = copied(X)
    speed, note = size / seconds / 1e9, f"GB/s of X; a copy moves {of_copy:.4g} GB/s"
    return Row(f"one pass over {size:,} bytes", "fastgd, cuda", first, seconds, speed, note)


def copied(X: Any) -> float:
    """Return how many GB/s a copy on the device reads and writes, which is what memory can."""
    from fastgd.kernels.cuda import memory

    other = memory.empty(X.shape, X.dtype)
    if not hasattr(other, "copy_to_device"):  # in the simulator
        return float("nan")
    seconds = min(timed(lambda: other.copy_to_device(X))[0] for _ in range(5))
    return float(2 * X.nbytes / seconds / 1e9)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block once its time is up, where the system has such a clock."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def end(*_: Any) -> None:
        raise TimeoutError("its time was up")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.1))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def measured(task: str, contenders: Calls, figure: Any, until: float, clock: Clock) -> list[Row]:
    """Return the rows of a task, which has the run until so many seconds of it are left."""
    rows = []
    for name, call in contenders.items():
        if clock.left < until + 1.0:
            rows.append(Row(task, name, np.nan, np.nan, np.nan, "no time was left"))
            continue
        try:
            with at_most(clock.left - until):
                first, model = timed(call)
                is_short = first < (clock.left - until) / 8
                seconds, model = timed(call) if is_short else (first, model)
            note = "" if is_short else "one call, compilation included"
            rows.append(Row(task, name, first, seconds, figure(model), note))
        except Exception as error:
            rows.append(Row(task, name, np.nan, np.nan, np.nan, f"{type(error).__name__}: {error}"))
        print("  ", rows[-1], flush=True)
    return rows


def trained(model: Any) -> float:
    """Return the objective that our history ends with."""
    history = getattr(model, "history_", {})
    return float(history["objective"][-1]) if history else float("nan")


def run(scale: float, *, is_dry: bool = False) -> list[Row]:
    """Return the rows of all tasks; a dry run's have few rows and columns."""
    clock = Clock()
    rows = [bandwidth(max(int(BANDWIDTH_BYTES * scale), 1 << 12))]
    print("  ", rows[-1], flush=True)

    def add(task: str, contenders: Calls, figure: Any, share: float) -> None:
        rows.extend(measured(task, contenders, figure, share * LIMIT, clock))

    n, d = ROWS["logistic"]
    X, y = binary(n, 3 if is_dry else d, scale)
    shape = f"{X.shape[0]:,} x {X.shape[1]}"
    add(f"logistic {shape}", logistic_contenders(X, y), lambda m: objective(m, X, y), 0.72)
    for batch, share in ((4096, 0.60), (65_536, 0.52)):
        task = f"{EPOCHS} epochs of {shape}, batch {batch:,}"
        add(task, epoch_contenders(X, y, batch), trained, share)
    n = X.shape[0] // (1 if is_dry else 10)
    task = f"support vectors {n:,} x {X.shape[1]}"
    add(task, machine_contenders(X[:n], y[:n]), lambda _: np.nan, 0.44)
    n, d = ROWS["softmax"]
    X, y = many(n, *((2, 3) if is_dry else (d, 10)), scale * (8 if is_dry else 1))
    shape = f"{X.shape[0]:,} x {X.shape[1]}"
    units = 3 if is_dry else 256
    task = f"{EPOCHS} epochs of a network of {units} units, {shape}, batch 4,096"
    add(task, network_contenders(X, y, 4096, units), trained, 0.24)
    add(f"softmax {shape}", logistic_contenders(X, y), lambda m: objective(m, X, y), 0.0)
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
    parser.add_argument("--dry-run", action="store_true", help="a few rows")
    asked = parser.parse_args()
    from fastgd._runtime import devices
    from fastgd.kernels.cuda import memory

    devices.require()
    warnings.simplefilter("ignore")
    about = {
        **memory.describe(),
        "processor": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
    }
    if asked.dry_run:
        sys.setswitchinterval(1e-6)  # the simulator's threads mostly wait for each other
    rows = run(DRY if asked.dry_run else asked.scale, is_dry=asked.dry_run)
    text = markdown(rows, about)
    found = {"about": about, "rows": [row._asdict() for row in rows]}
    Path(f"{asked.out}.json").write_text(json.dumps(found, indent=1))
    Path(f"{asked.out}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
