"""Logistic regression on Parquet files that are larger than the memory it may take.

    python benchmarks/out_of_core.py --rows 1000000 4000000     # a table: seconds, memory, optimum
    python benchmarks/out_of_core.py --rows 40000000 --peers    # 8 GB, beside scikit-learn's SGD

Rows are made by a generator, with 50 columns of float32 in files of a million rows. Each fit runs
in a process of its own, whose largest resident memory is reported (as the system counts it), beside
the time that reading the same files once takes. What the fit found is compared with the optimum of
a sample that fits into memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS, ROWS_OF_FILE, CHUNK_ROWS = 50, 1_000_000, 65_536
NAMES = [f"x{j}" for j in range(COLUMNS)]


def made(number: int, n_rows: int) -> tuple[Any, Any]:
    """Return a part of the rows: columns of scales from 1e-2 to 1e2, labels by a logistic model."""
    random = np.random.default_rng((7, number))
    coef = np.random.default_rng(7).normal(size=COLUMNS) / np.sqrt(COLUMNS)
    X = random.standard_normal((n_rows, COLUMNS), np.float32)
    X[:, 1:] += 0.3 * X[:, :-1]
    y = (X @ coef.astype(np.float32) * 2.0 + random.logistic(size=n_rows) > 0.0).astype(np.int8)
    return X * np.geomspace(1e-2, 1e2, COLUMNS).astype(np.float32), y


def write(folder: Path, n_rows: int) -> None:
    """Write as many rows in files."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    for number, first in enumerate(range(0, n_rows, ROWS_OF_FILE)):
        path = folder / f"part-{number:04d}.parquet"
        if path.exists():
            continue
        X, y = made(number, min(ROWS_OF_FILE, n_rows - first))
        table = arrow.table([*X.T, y], names=[*NAMES, "y"])
        parquet.write_table(table, path, row_group_size=CHUNK_ROWS, compression="zstd")


def opened(folder: Path) -> Any:
    """Return the rows as fastgd reads them."""
    from fastgd.datasets import open as open_rows

    return open_rows(folder, target="y", chunk_rows=CHUNK_ROWS, memory="1.5GB")


def decode(folder: Path) -> dict[str, float]:
    """Read all rows once."""
    started = time.perf_counter()
    n_rows = sum(X.shape[0] for X, _ in opened(folder))
    return {"seconds": time.perf_counter() - started, "rows": n_rows}


def solve(folder: Path) -> dict[str, float]:
    """Fit the estimator without a learning rate."""
    from fastgd import LogisticRegression

    rows = opened(folder)
    started = time.perf_counter()
    model = LogisticRegression(tol=1e-4).fit(rows)
    seconds = time.perf_counter() - started
    passes = int(model.n_iter_[0]) + 2  # the look, and the first point
    return {
        "seconds": seconds,
        "passes": passes,
        "objective": float(model.objective_),
        "gap": float(model.gap_ / model.objective_),
        "log_loss": held_out_loss(model),
    }


def steps(folder: Path) -> dict[str, float]:
    """Take an epoch of mini-batches on standardised columns."""
    from fastgd import SGDClassifier

    rows = opened(folder)
    started = time.perf_counter()
    params: dict[str, Any] = {"loss": "log_loss", "batch_size": 64, "alpha": 1e-8}
    model = SGDClassifier(**params, optimizer="adagrad", eta0=0.02, max_iter=1, tol=None)
    model.fit(rows)
    return {"seconds": time.perf_counter() - started, "log_loss": held_out_loss(model)}


def sklearn_steps(folder: Path) -> dict[str, float]:
    """The same by scikit-learn's partial_fit, on columns that its scaler has seen once."""
    from sklearn.linear_model import SGDClassifier
    from sklearn.preprocessing import StandardScaler

    started = time.perf_counter()
    scaler = StandardScaler()
    for X, _ in opened(folder):
        scaler.partial_fit(X)
    model = SGDClassifier(loss="log_loss", alpha=1e-8, learning_rate="adaptive", eta0=0.01)
    for X, y in opened(folder):
        model.partial_fit(scaler.transform(X), y, classes=[0, 1])
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "log_loss": held_out_loss(model, scaler.transform)}


def held_out_loss(model: Any, transform: Any = lambda X: X) -> float:
    """Return the log loss on rows that were in no file."""
    from sklearn.metrics import log_loss

    X, y = made(10_000, 100_000)
    return float(log_loss(y, model.predict_proba(transform(X))))


def in_memory(n_rows: int) -> dict[str, float]:
    """Return the optimum of the first rows, as many as fit."""
    from fastgd import LogisticRegression

    X, y = made(0, min(n_rows, ROWS_OF_FILE))
    model = LogisticRegression(tol=1e-9).fit(X, y)
    return {"objective": float(model.objective_), "log_loss": held_out_loss(model)}


def peak_kilobytes() -> float:
    """Return the largest resident memory of this process; getrusage knows its parent's as well."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return float(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


RUNS = {"decode": decode, "solve": solve, "steps": steps, "scikit-learn": sklearn_steps}


def alone(name: str, folder: Path) -> dict[str, float]:
    """Run one of the fits in a process of its own; add its memory and its processor time."""
    command = [sys.executable, __file__, "--run", name, "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--folder", type=Path, help="where files are, or are made and kept")
    parser.add_argument("--peers", action="store_true", help="scikit-learn's SGD as well")
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        found = RUNS[args.run](args.folder)
        used = resource.getrusage(resource.RUSAGE_SELF)
        found["megabytes"] = peak_kilobytes() / 1024
        found["cpu"] = used.ru_utime + used.ru_stime
        print(json.dumps(found))
        return
    names = [name for name in RUNS if args.peers or name != "scikit-learn"]
    with tempfile.TemporaryDirectory() as scratch:
        for n_rows in args.rows:
            folder = args.folder or Path(scratch) / str(n_rows)
            folder.mkdir(parents=True, exist_ok=True)
            write(folder, n_rows)
            size = sum(path.stat().st_size for path in folder.glob("*.parquet")) / 2**30
            print(f"\n{n_rows:,} rows, {size:.1f} GiB of Parquet")
            for name in names:
                found = alone(name, folder)
                print(f"  {name:14s}", ", ".join(f"{k} {v:.6g}" for k, v in found.items()))
            if n_rows <= ROWS_OF_FILE:
                found = in_memory(n_rows)
                print("  in memory     ", ", ".join(f"{k} {v:.6g}" for k, v in found.items()))


if __name__ == "__main__":
    main()
