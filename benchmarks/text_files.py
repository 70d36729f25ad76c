"""Text that is read from files: the time to the same log loss on rows held out, beside the peers.

    python benchmarks/text_files.py                                  # 400,000 made rows
    python benchmarks/text_files.py --data debian_sections --folder DIR   # DIR/debian_sections.npz

Each contender runs in a process of its own and is timed from the first byte of the file, imports
and compilation left out. Its model is judged on a tenth of the rows after every 8,192 rows that it
has learnt, which is not timed: so the time to a loss is known within the passes. fastgd and
scikit-learn read svmlight by the same reader in the same chunks, so that they differ in their steps
alone; Vowpal Wabbit (``pip install vowpalwabbit``) reads its own format, with a cache from the
second pass on, as its users do, in a run for each number of rows. Rates: fastgd's
``learning_rate="auto"``, Vowpal Wabbit's defaults, and scikit-learn's the best of a grid, chosen on
the held-out rows.

The table has seconds, processor seconds and log loss after each pass; then, for each peer, when it
reached its own best loss, and when fastgd was as low. The same is said of a loss one percent above
that, which is less a matter of luck. Of more than two classes it learns the most frequent one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

CHUNK_ROWS = 65_536
JUDGED_ROWS = 8192  # that are learnt between two looks at the loss
NEARLY = 1.01  # times the best loss
ALPHA = 1e-6  # l2 of fastgd and scikit-learn; Vowpal Wabbit has none by default
RATES = (0.03, 0.3, 3.0, 30.0)  # eta0 of scikit-learn's constant rate, on rows of unit length
# seconds, processor seconds, log loss on the rows held out, and whether a pass ends there
Point = tuple[float, float, float, bool]


def now() -> np.ndarray:
    """Return the time, and the processor time of this process."""
    return np.array([time.perf_counter(), time.process_time()])


class Clock:
    """Seconds since it was made, without those of what is not timed."""

    def __init__(self) -> None:
        self.started = now()

    def judged(self, log_loss: Callable[[], float], ends_pass: bool) -> Point:
        """Return the seconds so far and the loss; what the loss takes does not count."""
        reached = now()
        loss = log_loss()
        wall, processor = (reached - self.started).tolist()
        self.started += now() - reached
        return wall, processor, loss, ends_pass


def drawn(name: str | None, folder: Path | None, n_rows: int) -> tuple[sp.csr_matrix, np.ndarray]:
    """Return rows and two classes."""
    from common import csr
    from data import load

    if name is None:
        return csr(n_rows, 1 << 18, 16)
    X, y = load(name, folder)
    return X, (y == np.bincount(y).argmax()).astype(int)


def write(folder: Path, X: sp.csr_matrix, y: np.ndarray) -> None:
    """Write nine tenths in both formats, and the rest as arrays."""
    n_learnt = X.shape[0] * 9 // 10
    sp.save_npz(folder / "held_out.npz", X[n_learnt:])
    np.save(folder / "held_out_y.npy", y[n_learnt:])
    with open(folder / "rows.svm", "w") as svm, open(folder / "rows.vw", "w") as vw:
        for i in range(n_learnt):
            cells = slice(X.indptr[i], X.indptr[i + 1])
            pairs = list(zip(X.indices[cells].tolist(), X.data[cells].tolist(), strict=True))
            svm.write(f"{y[i]} " + " ".join(f"{j + 1}:{v:.6g}" for j, v in pairs) + "\n")
            vw.write(f"{2 * y[i] - 1} |" + "".join(f" {j}:{v:.6g}" for j, v in pairs) + "\n")


def held_out(folder: Path) -> tuple[sp.csr_matrix, np.ndarray]:
    """Return the rows that nobody learns from."""
    return sp.load_npz(folder / "held_out.npz"), np.load(folder / "held_out_y.npy")


def chunks(folder: Path, n_columns: int) -> Iterator[tuple[sp.csr_matrix, np.ndarray]]:
    """Yield the file's rows, with as many columns as the held-out rows have."""
    from fastgd.datasets import open as open_rows

    for X, y in open_rows(folder / "rows.svm", chunk_rows=CHUNK_ROWS):
        yield sp.csr_matrix((X.data, X.indices, X.indptr), (X.shape[0], n_columns)), y


def best_loss(points: list[Point]) -> float:
    """Return the least loss at any time."""
    return min(point[2] for point in points)


def log_loss_of(raw: np.ndarray, y: np.ndarray) -> float:
    """Return the logistic loss of raw predictions, a mean."""
    return float(np.mean(np.logaddexp(0.0, np.where(y == 1, -raw, raw))))


def train(folder: Path, model: Any, n_passes: int) -> list[Point]:
    """Call partial_fit with some rows of each chunk after others, pass after pass."""
    X_held, y_held = held_out(folder)

    def log_loss() -> float:
        return log_loss_of(model.decision_function(X_held), y_held)

    clock = Clock()
    points: list[Point] = []
    for _ in range(n_passes):
        for X, y in chunks(folder, X_held.shape[1]):
            for start in range(0, X.shape[0], JUDGED_ROWS):
                some = slice(start, start + JUDGED_ROWS)
                model.partial_fit(X[some], y[some].astype(int), classes=[0, 1])
                points.append(clock.judged(log_loss, False))
        points[-1] = (*points[-1][:3], True)
    return points


def fastgd_steps(folder: Path, n_passes: int) -> list[Point]:
    """Steps without a rate."""
    from fastgd import SGDClassifier

    def new() -> Any:
        return SGDClassifier(loss="log_loss", learning_rate="auto", alpha=ALPHA, batch_size=1)

    X, y = next(chunks(folder, held_out(folder)[0].shape[1]))
    new().partial_fit(X[:100], y[:100].astype(int), classes=[0, 1])  # compiles
    return train(folder, new(), n_passes)


def sklearn_steps(folder: Path, n_passes: int) -> list[Point]:
    """scikit-learn's, with the rate that ends best; only that one is timed."""
    from sklearn.linear_model import SGDClassifier

    def points(rate: float) -> list[Point]:
        params: dict[str, Any] = {"loss": "log_loss", "alpha": ALPHA, "learning_rate": "constant"}
        return train(folder, SGDClassifier(**params, eta0=rate), n_passes)

    return min(map(points, RATES), key=best_loss)


def vw_steps(folder: Path, n_passes: int) -> list[Point]:
    """Vowpal Wabbit's defaults, a run for each number of rows, and of passes."""
    from vowpalwabbit import Workspace

    X, y = held_out(folder)
    texts = [
        " |" + "".join(f" {j}:{v:.6g}" for j, v in zip(row.indices, row.data, strict=True))
        for row in X
    ]

    def run(k: int, *more: str) -> Point:
        cache = ["-c", "-k", "--cache_file", str(folder / f"{k}.cache"), "--passes", str(k)]
        options = ["-d", str(folder / "rows.vw"), "-b", "18", "--loss_function", "logistic"]
        options += [*(cache if k > 1 else []), *more, "--quiet", "--holdout_off"]
        clock = Clock()
        model = Workspace(arg_list=options)

        def log_loss() -> float:
            return log_loss_of(np.array([model.predict(t) for t in texts]), y)

        point = clock.judged(log_loss, not more)
        model.finish()
        return point

    n_rows = 9 * X.shape[0]  # about: a tenth is held out
    counts = range(JUDGED_ROWS, n_rows, max(JUDGED_ROWS, n_rows // 12))
    return [*(run(1, "--examples", str(n)) for n in counts), *map(run, range(1, n_passes + 1))]


CONTENDERS = {"fastgd": fastgd_steps, "scikit-learn": sklearn_steps, "vowpalwabbit": vw_steps}


def alone(name: str, folder: Path, n_passes: int) -> list[Point] | None:
    """Run a contender in a process of its own; None if it is not installed."""
    command = [sys.executable, __file__, "--run", name, "--folder", str(folder)]
    done = subprocess.run(
        [*command, "--passes", str(n_passes)], capture_output=True, text=True, check=False
    )
    if done.returncode and "ModuleNotFoundError" in done.stderr:
        return None
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: list[Point] = json.loads(done.stdout.splitlines()[-1])
    return found


def seconds_to(points: list[Point], loss: float) -> np.ndarray:
    """Return seconds and processor seconds to a loss, infinity if it is never reached."""
    reached = [point[:2] for point in points if point[2] <= loss]
    return np.array(min(reached) if reached else (np.inf, np.inf))


def report(found: dict[str, list[Point]]) -> None:
    """Print what each contender reached, and how long fastgd took to the same."""
    for name, points in found.items():
        passes = (
            f"{wall:.2f} s ({cpu:.2f}) {loss:.4f}" for wall, cpu, loss, ends in points if ends
        )
        print(f"{name:14s}", "   ".join(passes))
    for name, points in found.items():
        for share in (1.0, NEARLY) if name != "fastgd" else ():
            loss = share * best_loss(points)
            theirs, ours = seconds_to(points, loss), seconds_to(found["fastgd"], loss)
            ratio = theirs / ours
            of = f"{name}'s best" + ("" if share == 1.0 else f" and {share - 1.0:.0%}")
            print(
                f"to {loss:.4f}, {of}: {name} {theirs[0]:.2f} s ({theirs[1]:.2f}), fastgd "
                f"{ours[0]:.2f} s ({ours[1]:.2f}): {ratio[0]:.1f}x ({ratio[1]:.1f}x)"
            )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="a name of benchmarks/data.py; made rows by default")
    parser.add_argument("--folder", type=Path, help="where NAME.npz lies")
    parser.add_argument("--rows", type=int, default=400_000, help="of made rows, a tenth held out")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--run", choices=CONTENDERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        print(json.dumps(CONTENDERS[args.run](args.folder, args.passes)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(folder, *drawn(args.data, args.folder, args.rows))
        size = (folder / "rows.svm").stat().st_size / 2**20
        print(f"{size:.0f} MiB of svmlight; seconds (processor's) and log loss, by passes")
        found = {name: alone(name, folder, args.passes) for name in CONTENDERS}
        report({name: points for name, points in found.items() if points is not None})


if __name__ == "__main__":
    main()
