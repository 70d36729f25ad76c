"""Whole commands beside what others write for the same: the process, from its start to its end.

    python benchmarks/commands.py                    # both comparisons, each three times, in turns
    python benchmarks/commands.py --only csv --rows 500000 --repeats 5
    python benchmarks/commands.py --only svmlight    # Vowpal Wabbit: pip install vowpalwabbit

``csv`` trains a logistic regression on a table of 12 columns (numbers, categories of several sizes,
a date), scores it on the rows trained on and saves it: ``fastgd train``, beside a script of pandas
and scikit-learn that does the same, written to be fast: Arrow reads the table, dates are parsed as
columns, rows are encoded once. ``svmlight`` takes a pass of steps over text rows: ``fastgd train
--model sgd-classifier``, beside Vowpal Wabbit with its defaults, which reads its own format and
scores nothing.

What is printed are medians: seconds, processor seconds of all threads, imports included. Each
command runs once before, so that nothing is compiled while it is timed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

COMMAND = [sys.executable, "-m", "fastgd", "train"]
SIZES = {"answer": 2, "region": 8, "day": 31, "shop": 200, "product": 1_000}
NUMBERS = ("age", "income", "distance", "score")
TARGET, DATE, COUNT = "bought", "since", "visits"


class Cost(NamedTuple):
    """What a process took: seconds, and processor seconds of all its threads."""

    wall: float
    processor: float


# -- data -----------------------------------------------------------------------------------------


def write_table(path: Path, n_rows: int) -> None:
    """Write a table of 12 columns, the target included."""
    from pandas import DataFrame, Timedelta, Timestamp

    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {name: rng.standard_normal(n_rows).round(4) for name in NUMBERS}
    columns["income"] = np.exp(columns["income"] + 10).round(2)
    columns[COUNT] = rng.poisson(3.0, n_rows)
    raw = columns["age"] - 0.5 * columns["distance"]
    for name, size in SIZES.items():
        codes = (size * rng.random(n_rows) ** 2).astype(int)
        columns[name] = np.array([f"{name} {k}" for k in range(size)], object)[codes]
        raw += 0.5 * rng.standard_normal(size)[codes]
    days = rng.integers(0, 2000, n_rows)
    columns[DATE] = Timestamp("2019-01-01") + days * Timedelta(days=1)
    columns[TARGET] = np.where(raw + rng.logistic(size=n_rows) > 0, "yes", "no")
    DataFrame(columns).to_csv(path, index=False)


def write_rows(folder: Path, n_rows: int) -> None:
    """Write ``rows.svm`` and ``rows.vw``: the same text in two formats."""
    from common import csr
    from text_files import write

    write(folder, *csr(n_rows * 10 // 9, 1 << 18, 16))


# -- what others write ----------------------------------------------------------------------------


def pandas_and_sklearn(folder: Path) -> None:
    """Train on the table."""
    import joblib
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, log_loss
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pd.read_csv(folder / "table.csv", parse_dates=[DATE], engine="pyarrow")
    y = frame.pop(TARGET)
    since = frame.pop(DATE).dt
    frame["year"], frame["days"] = since.year, (since.normalize() - pd.Timestamp(0)).dt.days
    frame["month"], frame["weekday"] = since.month, since.weekday
    numbers = [*NUMBERS, COUNT, "year", "days"]
    words = [*SIZES, "month", "weekday"]
    prepare = ColumnTransformer(
        [
            ("numbers", StandardScaler(), numbers),
            ("categories", OneHotEncoder(handle_unknown="ignore"), words),
        ]
    )
    X = prepare.fit_transform(frame)
    model = LogisticRegression(max_iter=1000).fit(X, y)
    p = model.predict_proba(X)
    guess = model.classes_[p.argmax(axis=1)]
    print(f"accuracy {accuracy_score(y, guess):.4g}, log loss {log_loss(y, p):.4g}")
    joblib.dump(make_pipeline(prepare, model), folder / "model.joblib")


def vowpal_wabbit(folder: Path) -> None:
    """Take a pass over the rows."""
    from vowpalwabbit import Workspace

    options = ["-d", str(folder / "rows.vw"), "-b", "18", "--loss_function", "logistic"]
    model = Workspace(arg_list=[*options, "-f", str(folder / "model.vw"), "--quiet"])
    model.finish()


PEERS: dict[str, Callable[[Path], None]] = {
    "pandas and scikit-learn": pandas_and_sklearn,
    "Vowpal Wabbit": vowpal_wabbit,
}

# -- measures -------------------------------------------------------------------------------------


class Comparison(NamedTuple):
    """Two commands for the same, and what writes the data for both."""

    write: Callable[[Path, int], None]
    ours: list[str]
    peer: str


COMPARISONS = {
    "csv": Comparison(
        lambda folder, n_rows: write_table(folder / "table.csv", n_rows),
        ["table.csv", "--target", TARGET, "--model", "logistic", "--standardize"],
        "pandas and scikit-learn",
    ),
    "svmlight": Comparison(
        write_rows,
        ["rows.svm", "--model", "sgd-classifier", "--epochs", "1", "--set", "loss=log_loss"],
        "Vowpal Wabbit",
    ),
}
ROWS = {"csv": 500_000, "svmlight": 360_000}


def cost_of(command: list[str], folder: Path) -> Cost:
    """Run a command in a folder, and return what it took.

    Raises
    ------
    RuntimeError
        If it fails; ModuleNotFoundError if it lacks a package.
    """
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        said.seek(0)
        text = said.read().decode(errors="replace")
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        missing = "ModuleNotFoundError" in text
        raise (ModuleNotFoundError if missing else RuntimeError)(text)
    return Cost(wall, usage.ru_utime + usage.ru_stime)


def compared(name: str, n_rows: int, repeats: int) -> str:
    """Return the rows of the table for a comparison."""
    one = COMPARISONS[name]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        one.write(folder, n_rows)
        commands = [
            [*COMMAND, *one.ours, "-o", "model.fastgd"],
            [sys.executable, str(Path(__file__).resolve()), "--run", one.peer, str(folder)],
        ]
        try:
            costs = np.array([[cost_of(c, folder) for c in commands] for _ in range(repeats + 1)])
        except ModuleNotFoundError as error:
            return f"| {name} | {str(error).strip().splitlines()[-1]} | | |"
    ours, theirs = np.median(costs[1:], axis=0)
    rows = [
        f"| {name}, {n_rows:,} rows | {who} | {cost[0]:.2f} | {cost[1]:.2f} |"
        for who, cost in (("fastgd", ours), (one.peer, theirs))
    ]
    wall, processor = theirs / ours
    return "\n".join([*rows, f"| | ratio | {wall:.2f}x | {processor:.2f}x |"])


def describe_machine() -> str:
    """Return what the figures were measured on; a peer's process has no need to import it."""
    if __package__:
        from . import machine
    else:  # run as a file
        import machine
    return machine.describe("vowpalwabbit")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=COMPARISONS)
    parser.add_argument("--rows", type=int, help="of each file; by default as many as are asked of")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        PEERS[asked.run[0]](Path(asked.run[1]))
        return
    print(f"{describe_machine()}\n| file | by | seconds | processor seconds |\n|---|---|---|---|")
    for name in [asked.only] if asked.only else COMPARISONS:
        print(compared(name, asked.rows or ROWS[name], asked.repeats), flush=True)


if __name__ == "__main__":
    main()
