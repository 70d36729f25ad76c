"""Fits on a CUDA device, against this library's processor, scikit-learn, cuML and PyTorch.

    python benchmarks/devices.py --out devices
    NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 python benchmarks/devices.py --dry-run

The second one takes a few rows through everything in the simulator, to see that it runs. One run
of at most five minutes: it prints JSON and a table, and writes both, ``devices.json`` and
``devices.md``, anew after each row, so that whatever happens leaves what was found before.

First come checks: fits of few rows by every kind of driver, compared with the processor's. Then
what is timed: on the device first, of this library and then of others, and on the processor in the
time that is left. Times are of the second call, once everything is compiled; the first is given
beside it. Peers that are not installed are left out.

All of it runs in a child process. One that dies, or does not answer within the time of a row (a
kernel that waits for ever cannot be interrupted from within), is named in its row and replaced by
another child, which goes on with the next row. So does one that an error has cost the device.
"""

import argparse
import functools
import json
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

LIMIT = 285.0  # seconds of a run
OF_CHECK, OF_DEVICE, OF_PROCESSOR = 45.0, 30.0, 60.0  # that a row has at most
GRACE = 10.0  # seconds after which a child that does not answer is ended
BROKEN = 3  # how a child ends that an error has cost the device
BANDWIDTH_BYTES = 1 << 30
DRY = 4e-6  # share of the rows of a dry run
EPOCHS = 2
TOL = 1e-4
ROWS = {"logistic": (10_000_000, 50), "softmax": (1_000_000, 784)}


class Row(NamedTuple):
    """What one contender made of one task."""

    task: str
    contender: str
    first: float = float("nan")
    seconds: float = float("nan")
    figure: float = float("nan")  # what was reached: the objective or the accuracy
    note: str = ""


class Item(NamedTuple):
    """A row that is to be found: who makes what, within how many seconds.

    run : function of no arguments to a Row
    """

    task: str
    contender: str
    most: float
    run: Callable[[], Row]


def synchronise() -> None:
    from fastgd.kernels.cuda import memory

    memory.synchronise()


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    synchronise()
    started = time.perf_counter()
    found = call()
    synchronise()
    return time.perf_counter() - started, found


@functools.cache
def binary(n: int, d: int, scale: float) -> tuple[Any, Any]:
    """Return rows of float32 and labels of a logistic model."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((int(n * scale), d), dtype=np.float32)
    raw = X @ (rng.standard_normal(d).astype(np.float32) / np.sqrt(d) * 2)
    return X, (rng.random(X.shape[0]) < 1 / (1 + np.exp(-raw))).astype(np.int32)


@functools.cache
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
    there = functools.cache(lambda: _sent(X))
    found["fastgd, X on the device"] = lambda: ours(device="auto").fit(there(), y)
    if in_cuml is not None and find_spec("cuml") is not None:
        found["cuML, cuda"] = lambda: _of_cuml(in_cuml).fit(X, y)
        found["cuML, X on the device"] = lambda: _of_cuml(in_cuml).fit(there(), y)
    cores = os.cpu_count()
    found[f"fastgd, {cores} cores"] = lambda: ours(device="cpu").fit(X, y)
    found[f"scikit-learn, {cores} cores"] = lambda: theirs.fit(X, y)
    return found


def _sent(X: Any) -> Any:
    """Return X on the device: CuPy's array, or numba-cuda's where CuPy is not installed."""
    if find_spec("cupy") is not None:
        import cupy

        return cupy.asarray(X)
    from fastgd.kernels.cuda import memory

    return memory.upload(X)


def _of_cuml(name: str) -> Any:
    from cuml import linear_model

    return getattr(linear_model, name)(tol=TOL)


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
        "fastgd, cuda, a launch for each part of a step": lambda: without(
            "PERSISTS", lambda: SGDClassifier(device="cuda", **options).fit(X, y)
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


def without(switch: str, fit: Callable[[], Any]) -> Any:
    """Fit with ``PERSISTS`` (many steps in a launch) or ``RECORDS`` (launches kept) turned off."""
    from fastgd._engines import cuda_linear, cuda_steps

    module: Any = cuda_linear if switch == "PERSISTS" else cuda_steps
    setattr(module, switch, False)
    try:
        return fit()
    finally:
        setattr(module, switch, True)


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
        "fastgd, cuda, each launch prepared anew": lambda: without(
            "RECORDS", lambda: MLPClassifier(device="cuda", **ours).fit(X, y)
        ),
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


def measured(item: tuple[str, str], call: Callable[[], Any], figure: Any, most: float) -> Row:
    """Return how long a fit takes, and what it reaches."""
    with at_most(most):
        first, model = timed(call)
        is_short = first < most / 4
        seconds, model = timed(call) if is_short else (first, model)
    note = "" if is_short else "one call, compilation included"
    return Row(*item, first, seconds, figure(model), note)


def trained(model: Any) -> float:
    """Return the objective that our history ends with."""
    history = getattr(model, "history_", {})
    return float(history["objective"][-1]) if history else float("nan")


# -- what is checked, and what is timed ------------------------------------------------------------


def fits_of_few_rows(*, is_dry: bool) -> Calls:
    """Return fits that meet every kind of driver; each is a function of a device to numbers."""
    import scipy.sparse as sp

    from fastgd import LinearSVC, LogisticRegression

    n, d = (24, 3) if is_dry else (5000, 50)
    (X, y), (Z, classes) = binary(n, d, 1.0), many(n, d, 3, 1.0)
    sparse = sp.csr_matrix(np.where(np.abs(X) > 1, X, 0))

    def there(device: str) -> Any:
        given = X if device == "cpu" else _sent(X)
        return LogisticRegression(tol=1e-6).fit(given, y).coef_

    def solved(*given: Any) -> Any:
        return lambda device: LogisticRegression(tol=1e-6, device=device).fit(*given).coef_

    def machine(device: str) -> Any:
        return LinearSVC(tol=1e-6, random_state=0, device=device).fit(X, y).coef_

    return {
        "logistic": solved(X, y),
        "softmax": solved(Z, classes),
        "sparse logistic": solved(sparse, y),
        "X on the device": there,
        "support vectors": machine,
        **epochs_of_few_rows(X, sparse, y, is_dry=is_dry),
        **networks_of_few_rows(Z, classes, is_dry=is_dry),
    }


def epochs_of_few_rows(X: Any, sparse: Any, y: Any, *, is_dry: bool) -> Calls:
    """Return the epochs of linear models among them."""
    from fastgd import SGDClassifier

    options = {"loss": "log_loss", "max_iter": 2, "tol": None, "random_state": 0, "eta0": 0.1}
    options |= {"learning_rate": "constant", "batch_size": 8 if is_dry else 512}

    def trained_on(given: Any, **more: Any) -> Any:
        made = {**options, **more}
        return lambda device: SGDClassifier(device=device, **made).fit(given, y).coef_

    def apart(device: str) -> Any:
        return without("PERSISTS", lambda: trained_on(X)(device))

    return {
        "epochs, many steps a launch": trained_on(X),
        "epochs, a launch for each part of a step": apart,
        "epochs, sparse": trained_on(sparse),
        "epochs, no rate": trained_on(X, learning_rate="auto"),
        "epochs, sparse, no rate": trained_on(sparse, learning_rate="auto", penalty=None),
    }


def networks_of_few_rows(X: Any, classes: Any, *, is_dry: bool) -> Calls:
    """Return the networks among them."""
    from fastgd import layers
    from fastgd.neural_network import MLPClassifier, NetworkRegressor

    units = {"hidden_layer_sizes": (3 if is_dry else 32,), "max_iter": 1, "tol": None}
    units |= {"random_state": 0, "batch_size": 8 if is_dry else 512}
    shape = (1, 3, 1) if is_dry else (4, 4, 3)
    n_images = X.shape[0] // 4
    images = X[:n_images, : np.prod(shape)].reshape(-1, *shape)
    kinds = [layers.Conv2D(2, (1, 2), activation="relu"), layers.Dense(1)]

    def of_units(device: str) -> Any:
        return MLPClassifier(device=device, **units).fit(X, classes)._params

    def of_images(device: str) -> Any:
        model = NetworkRegressor(kinds, max_iter=1, tol=None, random_state=0, device=device)
        return model.fit(images, classes[:n_images].astype(np.float32))._params

    return {"network": of_units, "convolutions": of_images}


def checks(*, is_dry: bool) -> list[Item]:
    """Return the comparisons with the processor."""

    def compared(name: str, fit: Callable[[str], Any]) -> Row:
        with at_most(OF_CHECK):
            first, there = timed(lambda: fit("cuda"))
            seconds, again = timed(lambda: fit("cuda"))
            here = fit("cpu")
        off = float(np.max(np.abs(there - here)) / np.max(np.abs(here)))
        faults = [] if off < 3e-3 else ["differs from the processor"]
        faults += [] if np.array_equal(there, again) else ["differs from call to call"]
        note = "; ".join(faults) or "as on the processor, to this share of the largest"
        return Row(f"check: {name}", "fastgd, cuda", first, seconds, off, note)

    return [
        Item(f"check: {name}", "fastgd, cuda", OF_CHECK, functools.partial(compared, name, fit))
        for name, fit in fits_of_few_rows(is_dry=is_dry).items()
    ]


def timings(scale: float, *, is_dry: bool) -> list[Item]:
    """Return what is timed: on the device first, of ours and then of others."""
    items: list[Item] = []

    def add(task: str, contenders: Calls, figure: Any) -> None:
        for name, call in contenders.items():
            most = OF_PROCESSOR if "core" in name else OF_DEVICE
            run = functools.partial(measured, (task, name), call, figure, most)
            items.append(Item(task, name, most, run))

    size = max(int(BANDWIDTH_BYTES * scale), 1 << 12)
    task = f"one pass over {size:,} bytes"
    items.append(Item(task, "fastgd, cuda", OF_DEVICE, functools.partial(bandwidth, size)))
    n, d = ROWS["logistic"]
    X, y = binary(n, 3 if is_dry else d, scale)
    shape = f"{X.shape[0]:,} x {X.shape[1]}"
    add(f"logistic {shape}", logistic_contenders(X, y), lambda m: objective(m, X, y))
    for batch in (4096, 65_536):
        task = f"{EPOCHS} epochs of {shape}, batch {batch:,}"
        add(task, epoch_contenders(X, y, batch), trained)
    n = X.shape[0] // (1 if is_dry else 10)
    task = f"support vectors {n:,} x {X.shape[1]}"
    add(task, machine_contenders(X[:n], y[:n]), lambda _: np.nan)
    n, d = ROWS["softmax"]
    Z, classes = many(n, *((2, 3) if is_dry else (d, 10)), scale * (8 if is_dry else 1))
    shape, units = f"{Z.shape[0]:,} x {Z.shape[1]}", 3 if is_dry else 256
    task = f"{EPOCHS} epochs of a network of {units} units, {shape}, batch 4,096"
    add(task, network_contenders(Z, classes, 4096, units), trained)
    add(f"softmax {shape}", logistic_contenders(Z, classes), lambda m: objective(m, Z, classes))

    def turn(item: Item) -> int:
        return 2 if "core" in item.contender else 0 if item.contender.startswith("fastgd") else 1

    return sorted(items, key=turn)


# -- a child, which runs them ----------------------------------------------------------------------


def work(path: Path, scale: float, done: int, *, is_dry: bool) -> None:
    """Run all items but the first ``done``, and write a line before and after each."""
    from fastgd._runtime import devices

    warnings.simplefilter("ignore")
    if is_dry:
        sys.setswitchinterval(1e-6)  # the simulator's threads mostly wait for each other
    devices.require()
    with path.open("a") as file:

        def tell(**words: Any) -> None:
            file.write(json.dumps(words) + "\n")
            file.flush()

        tell(about=_about())
        count = 0
        for make in (checks, functools.partial(timings, scale)):
            for item in make(is_dry=is_dry):
                count += 1
                if count > done:
                    tell(begins=count, item=item[:2], most=item.most)
                    row, is_broken = _found(item)
                    tell(ends=count, row=row._asdict())
                    if is_broken:
                        os._exit(BROKEN)


def _about() -> dict[str, str]:
    from fastgd.kernels.cuda import memory

    processor = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    return {**memory.describe(), "processor": processor}


def _found(item: Item) -> tuple[Row, bool]:
    """Return an item's row, and whether an error has cost the device."""
    try:
        return item.run(), False
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return Row(item.task, item.contender, note=told), not _answers()


def _answers() -> bool:
    """Tell whether the device still takes what it is told: after a fault of a kernel none does."""
    from fastgd.kernels.cuda import memory

    try:
        return bool(np.all(memory.download(memory.zeros(3)) == 0))
    except Exception:
        return False


# -- the parent, which watches it ------------------------------------------------------------------


class Watch:
    """What is known of the children's rows.

    Parameters
    ----------
    out : str, the files to write, without their endings
    command : list of str, of a child, which is told a file and how many items are done
    """

    def __init__(self, out: str, command: list[str]) -> None:
        self.about: dict[str, str] = {}
        self.rows: list[Row] = []
        self._out, self._command, self._done = out, command, 0
        self._begun: tuple[int, list[str]] | None = None  # an item that has no row yet
        self._end = time.monotonic() + LIMIT

    def run(self) -> None:
        """Have children run all items."""
        with tempfile.TemporaryDirectory() as folder:
            for number in range(1000):
                before, path = self._done, Path(folder, str(number))
                path.touch()
                status = self._watch(path)
                if time.monotonic() > self._end:
                    self.about["run"] = "ended when its time was up, and not with the last row"
                    break
                if status == 0:
                    break
                if self._done == before:  # it could not begin
                    told = f"a child ended with {status}; its errors are above"
                    self._keep(Row("start", "fastgd, cuda", note=told))
                    break
        self._write()

    def _watch(self, path: Path) -> int | None:
        """Read what a child writes until it ends, or has to be ended; return its status."""
        words = ["--child", str(path), "--done", str(self._done)]
        child, until = subprocess.Popen([*self._command, *words]), self._end
        with path.open() as file:
            while True:
                status, line = child.poll(), file.readline()
                while line:
                    until = self._take(json.loads(line), until)
                    line = file.readline()
                if status is not None:
                    self._close(f"the process ended with {status}")
                    return status
                if time.monotonic() > min(until, self._end):
                    child.kill()
                    child.wait()
                    self._close("did not end within its time")
                    return None
                time.sleep(0.05)

    def _take(self, told: dict[str, Any], until: float) -> float:
        """Take a line; return until when the next one is to come."""
        if "about" in told:
            self.about = told["about"]
        elif "begins" in told:
            self._begun = told["begins"], told["item"]
            return time.monotonic() + float(told["most"]) + GRACE
        else:
            self._begun, self._done = None, told["ends"]
            self._keep(Row(**told["row"]))
            return self._end
        return until

    def _close(self, why: str) -> None:
        """Give the item that a child was at when it ended a row."""
        if self._begun is not None:
            (self._done, item), self._begun = self._begun, None
            self._keep(Row(*item, note=why))

    def _keep(self, row: Row) -> None:
        self.rows.append(row)
        print("  ", row, flush=True)
        self._write()

    def _write(self) -> None:
        Path(f"{self._out}.json").write_text(self.as_json())
        Path(f"{self._out}.md").write_text(markdown(self.rows, self.about))

    def as_json(self) -> str:
        """Return all that was found; JSON has no word for what is not finite but null."""
        rows = [
            {name: _in_json(value) for name, value in row._asdict().items()} for row in self.rows
        ]
        return json.dumps({"about": self.about, "rows": rows}, indent=1, allow_nan=False)


def _in_json(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--done", type=int, default=0, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    scale = DRY if asked.dry_run else asked.scale
    if asked.child is not None:
        work(Path(asked.child), scale, asked.done, is_dry=asked.dry_run)
        return
    command = [sys.executable, str(Path(__file__).resolve()), "--scale", str(asked.scale)]
    watch = Watch(asked.out, [*command, *(["--dry-run"] if asked.dry_run else [])])
    watch.run()
    print(watch.as_json())
    print(markdown(watch.rows, watch.about))
    sys.exit(not watch.about)  # where no child found a device, errors are above


if __name__ == "__main__":
    main()
