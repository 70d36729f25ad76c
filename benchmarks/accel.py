"""Scripts that use scikit-learn, run as they are and by ``python -m fastgd.accel``.

    python benchmarks/accel.py                      # all in benchmarks/accel_scripts, best of three
    python benchmarks/accel.py --repeat 1 flights   # those whose name contains this
    python benchmarks/accel.py --cpu                # CPU seconds, where other work goes on
    python benchmarks/accel.py --small              # from which size on fastgd is faster

Seconds are those of the whole process: imports and reading the data included. The score is what a
script prints last. Each script is run accelerated once before, so that nothing is compiled while it
is timed. ``--small`` fits each estimator to data of growing size, warm, on one thread, and
prints scikit-learn's milliseconds of CPU, fastgd's through the accelerator, and their ratio.
"""

import argparse
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SCRIPTS = Path(__file__).with_name("accel_scripts")
SIZES = ((100, 5), (200, 10), (500, 20), (2000, 20), (10_000, 20), (50_000, 20), (50_000, 100))
LONG = 500.0  # milliseconds, after which an estimator gets no larger data


def cpu_of_children() -> float:
    """Return the CPU seconds of the processes that have ended, and of their workers."""
    times = os.times()
    return times.children_user + times.children_system


def timed(command: list[str], repeat: int, clock: Callable[[], float]) -> tuple[float, str]:
    """Return the least seconds of a command, and the last line that it prints."""
    seconds, score = np.inf, ""
    for _ in range(repeat):
        begin = clock()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = min(seconds, clock() - begin)
        score = done.stdout.strip().splitlines()[-1]
    return seconds, score


def compare(names: list[str], repeat: int, clock: Callable[[], float]) -> None:
    """Print a table of scripts: seconds before and after, and the scores."""
    print("| script | scikit-learn | accelerated | ratio | score | accelerated |")
    print("|---|---|---|---|---|---|")
    for path in sorted(SCRIPTS.glob("*.py")):
        if names and not any(name in path.name for name in names):
            continue
        before, score = timed([sys.executable, str(path)], repeat, clock)
        accelerated = [sys.executable, "-m", "fastgd.accel", str(path)]
        subprocess.run(accelerated, capture_output=True, check=True)
        after, ours = timed(accelerated, repeat, clock)
        print(
            f"| `{path.name}` | {before:.1f} s | {after:.1f} s | {before / after:.1f} | "
            f"{float(score):.5f} | {float(ours):.5f} |",
            flush=True,
        )


def small(names: list[str]) -> None:
    """Print from which size on fastgd is faster, for each estimator, up to fits of a second."""
    from sklearn import linear_model, svm

    from fastgd.accel._table import STANDS

    print(f"{'estimator':28}" + "".join(f"{f'{n} x {d}':>24}" for n, d in SIZES))
    for stand in STANDS:
        if names and not any(name in stand.name for name in names):
            continue
        model = getattr(linear_model, stand.name, None) or getattr(svm, stand.name)
        cells: list[tuple[float, float]] = []
        for size in SIZES:
            if not cells or max(cells[-1]) < LONG:
                cells.append(cell(model, *size))
        texts = [f"{theirs:.2f} {ours:.2f} {theirs / ours:.2f}" for theirs, ours in cells]
        print(f"{stand.name:28}" + "".join(f"{text:>24}" for text in texts), flush=True)


def cell(kind: Any, n: int, d: int) -> tuple[float, float]:
    """Return scikit-learn's milliseconds, and fastgd's."""
    import fastgd.accel

    X, y = data(kind.__name__, n, d)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = kind()
        theirs = least_milliseconds(lambda: model.fit(X, y))
        with fastgd.accel.enabled(min_size=0):
            model.fit(X, y)
            ours = least_milliseconds(lambda: model.fit(X, y))
    return theirs, ours


def data(name: str, n: int, d: int) -> tuple[Any, Any]:
    """Return rows, and targets of the kind that an estimator takes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    raw = X @ rng.normal(size=d) / np.sqrt(d) + 0.5 * rng.normal(size=n)
    X = X * np.logspace(-1.0, 1.0, d)  # columns of several units, as real ones are
    if name.startswith(("Poisson", "Gamma", "Tweedie")):
        return X, rng.poisson(np.exp(0.5 * raw)) + 0.5
    if name.startswith("MultiTask"):
        return X, np.column_stack([raw, rng.normal(size=n) + raw])
    return X, (raw > 0).astype(int) if kind_of_labels(name) else raw


def kind_of_labels(name: str) -> bool:
    """Tell whether an estimator takes labels."""
    return "Classifier" in name or name in ("LogisticRegression", "LinearSVC", "Perceptron")


def least_milliseconds(call: Any, seconds: float = 0.2) -> float:
    """Return the least CPU time of a call, of as many as fit into some time."""
    least, end = np.inf, time.process_time() + seconds
    while time.process_time() < end or least == np.inf:
        begin = time.process_time()
        call()
        least = min(least, time.process_time() - begin)
    return 1e3 * least


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of the scripts' names")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--cpu", action="store_true", help="CPU seconds, workers included")
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args()
    if asked.small and os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
        os.execv(sys.executable, [sys.executable, *sys.argv])
    if asked.small:
        small(asked.names)
    else:
        clock = cpu_of_children if asked.cpu else time.perf_counter
        compare(asked.names, asked.repeat, clock)
