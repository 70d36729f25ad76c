"""Text that is read from files: the time to the same log loss on rows held out, beside the peers.

    python benchmarks/text_files.py                                  # 400,000 made rows
    python benchmarks/text_files.py --data debian_sections --folder DIR   # DIR/debian_sections.npz

Each contender runs in a process of its own and is timed from the first byte of the file, imports
and compilation left out. Its model is judged on a tenth of the rows, by copies of its coefficients
that it leaves after every 8,192 rows that it has learnt; so the time to a loss is known within the
passes. All read the same file, in Vowpal Wabbit's format. fastgd and scikit-learn do so by the same
reader in the same chunks, so that they differ in their steps alone; Vowpal Wabbit (``pip install
vowpalwabbit``) reads by itself, with a cache from the second pass on, as its users do, in a run for
each number of rows.

fastgd: ``learning_rate="auto"``, which has nothing to tune; plain sgd with the best of some rates;
and ``LogisticRegression`` of some strengths and tolerances, in a fit for each. scikit-learn: plain
sgd with the same rates, averaged or not. Vowpal Wabbit: its defaults, and the best of these, other
rates, plain sgd, coin betting and FTRL.

The table has, of each contender's setting with the least loss, seconds, processor seconds and log
loss after each pass. Then, for the least loss of each peer, and one percent above it, which is less
a matter of luck, it has the time of each contender by that setting which gets there first, chosen
on the held-out rows: all have the same help. Of more than two classes it learns the most frequent
one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

if __package__:
    from . import machine
else:  # run as a file
    import machine

BITS = 18  # of columns, as Vowpal Wabbit has them by default
CHUNK_ROWS = 8192  # that are learnt between two looks at the loss
NEARLY = 1.01  # times the best loss
ALPHA = 1e-6  # l2 of fastgd's steps and scikit-learn's; Vowpal Wabbit has none by default
RATES = (0.3, 1.0, 3.0, 10.0)  # eta0 of constant rates, on rows of unit length
INTERCEPT_RATE = 0.01  # of fastgd's plain sgd; scikit-learn has the same on sparse rows
STRENGTHS, TOLERANCES = (1.0, 3.0, 10.0), (0.3, 0.1, 0.01)  # of LogisticRegression
PARTS_OF_PASS = 6  # of Vowpal Wabbit's first one that are timed
VW_DEFAULTS = ""
VW_SETTINGS = (
    *(VW_DEFAULTS, "-l 0.1", "-l 2", "--coin", "--ftrl --ftrl_alpha 1"),
    *(f"--sgd --power_t 0 -l {rate}" for rate in (0.3, 1, 3)),
)


class Point(NamedTuple):
    """Seconds, processor seconds, log loss on the rows held out, and whether a pass ends there."""

    wall: float
    processor: float
    loss: float
    ends_pass: bool


Curves = dict[str, list[Point]]  # of each setting of a contender


def now() -> np.ndarray:
    """Return the time, and the processor time of this process."""
    return np.array([time.perf_counter(), time.process_time()])


# -- rows -----------------------------------------------------------------------------------------


def drawn(name: str | None, folder: Path | None, n_rows: int) -> tuple[sp.csr_matrix, np.ndarray]:
    """Return rows and two classes."""
    from common import csr
    from data import load

    if name is None:
        return csr(n_rows, 1 << BITS, 16)
    X, y = load(name, folder)
    if X.shape[1] > 1 << BITS:
        raise SystemExit(f"{name} has more than 2^{BITS} columns.")
    X.resize((X.shape[0], 1 << BITS))
    return X, (y == np.bincount(y).argmax()).astype(int)


def write(folder: Path, X: sp.csr_matrix, y: np.ndarray) -> None:
    """Write nine tenths as text, in two formats, and the rest as arrays."""
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


def opened(folder: Path) -> Any:
    """Return the file's rows as fastgd reads them, in chunks."""
    from fastgd.datasets import open as open_rows

    return open_rows(folder / "rows.vw", chunk_rows=CHUNK_ROWS)


def log_loss_of(raw: np.ndarray, y: np.ndarray) -> float:
    """Return the logistic loss of raw predictions, a mean."""
    return float(np.mean(np.logaddexp(0.0, np.where(y == 1, -raw, raw))))


# -- contenders -----------------------------------------------------------------------------------


def train(folder: Path, model: Any, n_passes: int) -> list[Point]:
    """Call partial_fit with a chunk after the other, pass after pass."""
    X_held, y_held = held_out(folder)
    started, rows, left = now(), opened(folder), []
    for _ in range(n_passes):
        for X, y in rows:
            model.partial_fit(X, y, classes=[-1.0, 1.0])
            left.append((*(now() - started), model.coef_[0].copy(), model.intercept_[0], False))
        left[-1] = (*left[-1][:4], True)
    return [
        Point(float(wall), float(cpu), log_loss_of(X_held @ coef + intercept, y_held), ends)
        for wall, cpu, coef, intercept, ends in left
    ]


def compiled(folder: Path, model: Any) -> None:
    """Take a few steps, which compiles them."""
    X, y = next(iter(opened(folder)))
    model.partial_fit(X[:100], y[:100], classes=[-1.0, 1.0])


def fastgd_auto(folder: Path, n_passes: int) -> Curves:
    """Steps without a rate."""
    from fastgd import SGDClassifier

    def new() -> Any:
        return SGDClassifier(loss="log_loss", learning_rate="auto", alpha=ALPHA, batch_size=1)

    compiled(folder, new())
    return {"": train(folder, new(), n_passes)}


def plain_steps(folder: Path, n_passes: int, estimator: Any, **kwargs: Any) -> Curves:
    """Plain sgd at constant rates, alone and averaged over all passes but the first."""
    n_learnt = 9 * held_out(folder)[0].shape[0]
    params = {"loss": "log_loss", "alpha": ALPHA, "learning_rate": "constant", **kwargs}
    found = {}
    for average in (False, n_learnt):
        compiled(folder, estimator(**params, eta0=1.0, average=average))
        for rate in RATES:
            said = f"eta0={rate:g}" + (f", average={average}" if average else "")
            model = estimator(**params, eta0=rate, average=average)
            found[said] = train(folder, model, n_passes)
    return found


def fastgd_sgd(folder: Path, n_passes: int) -> Curves:
    """fastgd's plain sgd."""
    from fastgd import SGDClassifier

    own = {"batch_size": 1, "intercept_rate": INTERCEPT_RATE}
    return plain_steps(folder, n_passes, SGDClassifier, **own)


def sklearn_sgd(folder: Path, n_passes: int) -> Curves:
    """scikit-learn's plain sgd."""
    from sklearn.linear_model import SGDClassifier

    return plain_steps(folder, n_passes, SGDClassifier)


def fastgd_solver(folder: Path, n_passes: int) -> Curves:  # noqa: ARG001 - it asks for a tolerance
    """LogisticRegression, a fit for each strength and tolerance."""
    from fastgd import LogisticRegression

    X, y = held_out(folder)

    def point(C: float, tol: float) -> Point:
        started = now()
        model = LogisticRegression(C=C, tol=tol).fit(opened(folder))
        wall, processor = (now() - started).tolist()
        return Point(wall, processor, log_loss_of(model.decision_function(X), y), True)

    settings = [(C, tol) for C in STRENGTHS for tol in TOLERANCES]
    for C in STRENGTHS:
        point(C, max(TOLERANCES))  # compiles
    return {f"C={C:g}, tol={tol:g}": [point(C, tol)] for C, tol in settings}


def vw_of(settings: tuple[str, ...]) -> Callable[[Path, int], Curves]:
    """Return a contender: Vowpal Wabbit with some settings."""

    def curves(folder: Path, n_passes: int) -> Curves:
        X, y = held_out(folder)
        texts = [
            " |" + "".join(f" {j}:{v:.6g}" for j, v in zip(row.indices, row.data, strict=True))
            for row in X
        ]
        n_rows = 9 * X.shape[0]  # about: a tenth is held out
        step = max(CHUNK_ROWS, n_rows // PARTS_OF_PASS)
        runs = [(1, f"--examples {n}") for n in range(step, n_rows, step)]
        runs += [(k, "") for k in range(1, n_passes + 1)]

        def point(k: int, more: str, setting: str) -> Point:
            return vw_point(folder, k, f"{setting} {more}".split(), (texts, y))

        return {said: [point(*run, said) for run in runs] for said in settings}

    return curves


def vw_point(folder: Path, k: int, options: list[str], held: tuple[list[str], np.ndarray]) -> Point:
    """Run Vowpal Wabbit for k passes."""
    from vowpalwabbit import Workspace

    arguments = ["-d", str(folder / "rows.vw"), "-b", str(BITS), "--loss_function", "logistic"]
    if k > 1:
        cache = str(folder / f"{k}.cache")
        arguments += ["-c", "-k", "--cache_file", cache, "--passes", str(k)]
    started = now()
    model = Workspace(arg_list=[*arguments, *options, "--quiet", "--holdout_off"])
    wall, processor = (now() - started).tolist()
    raw = np.array([model.predict(text) for text in held[0]])
    model.finish()
    return Point(wall, processor, log_loss_of(raw, held[1]), "--examples" not in options)


CONTENDERS: dict[str, Callable[[Path, int], Curves]] = {
    "fastgd, auto": fastgd_auto,
    "fastgd, sgd": fastgd_sgd,
    "fastgd, LogisticRegression": fastgd_solver,
    "scikit-learn": sklearn_sgd,
    "Vowpal Wabbit, defaults": vw_of((VW_DEFAULTS,)),
    "Vowpal Wabbit": vw_of(VW_SETTINGS),
}


def alone(name: str, folder: Path, n_passes: int) -> Curves | None:
    """Run a contender in a process of its own; None if it is not installed."""
    command = [sys.executable, __file__, "--run", name, "--folder", str(folder)]
    done = subprocess.run(
        [*command, "--passes", str(n_passes)], capture_output=True, text=True, check=False
    )
    if done.returncode and "ModuleNotFoundError" in done.stderr:
        return None
    if done.returncode:
        raise RuntimeError(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    return {said: [Point(*point) for point in points] for said, points in found.items()}


# -- the table ------------------------------------------------------------------------------------


def best_loss(points: list[Point]) -> float:
    """Return the least loss at any time."""
    return min(point.loss for point in points)


def first_to(curves: Curves, loss: float) -> tuple[Point, str] | None:
    """Return the point, of least processor time, that is as low as a loss, and its setting."""
    reached = [(p, said) for said, points in curves.items() for p in points if p.loss <= loss]
    return min(reached, key=lambda one: one[0].processor, default=None)


def report(found: dict[str, Curves]) -> None:
    """Print what each contender reached, and when each was as low as each peer."""
    for name, curves in found.items():
        said, points = min(curves.items(), key=lambda one: best_loss(one[1]))
        ends = (f"{p.wall:.2f} s ({p.processor:.2f}) {p.loss:.4f}" for p in points if p.ends_pass)
        print(f"{name} [{said}]\n   ", "   ".join(ends))
    for name in [name for name in found if not name.startswith("fastgd")]:
        for share in (1.0, NEARLY):
            loss = share * min(map(best_loss, found[name].values()))
            more = "" if share == 1.0 else f" and {share - 1.0:.0%}"
            print(f"to {loss:.4f}, the best of {name}{more}")
            _report_times(found, name, loss)


def _report_times(found: dict[str, Curves], peer: str, loss: float) -> None:
    """Print each contender's time to a loss, and how many times as long the peer's is."""
    theirs = first_to(found[peer], loss)
    assert theirs is not None
    for name, curves in found.items():
        reached = first_to(curves, loss)
        if reached is None:
            print(f"    {name:27s} never")
            continue
        point, said = reached
        ratios = theirs[0].wall / point.wall, theirs[0].processor / point.processor
        print(
            f"    {name:27s} {point.wall:6.2f} s ({point.processor:.2f}), "
            f"{ratios[0]:.1f}x ({ratios[1]:.1f}x) [{said}]"
        )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="a name of benchmarks/data.py; made rows by default")
    parser.add_argument("--folder", type=Path, help="where NAME.npz lies")
    parser.add_argument("--rows", type=int, default=400_000, help="of made rows, a tenth held out")
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--run", choices=CONTENDERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        print(json.dumps(CONTENDERS[args.run](args.folder, args.passes)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(folder, *drawn(args.data, args.folder, args.rows))
        size = (folder / "rows.vw").stat().st_size / 2**20
        print(machine.describe("vowpalwabbit"))
        print(f"{size:.0f} MiB of text; seconds (processor's) and log loss, by passes")
        found = {name: alone(name, folder, args.passes) for name in CONTENDERS}
        report({name: curves for name, curves in found.items() if curves is not None})


if __name__ == "__main__":
    main()
