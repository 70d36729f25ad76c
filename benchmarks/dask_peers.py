"""Logistic regression on a cluster of two processes, beside dask-glm, dask-ml and one node.

    pip install "fastgd[dask]" dask-ml dask-glm
    python benchmarks/dask_peers.py --rows 20000000 --partitions 40

The rows are those of ``out_of_core.py``: 50 columns of float32, of scales from 0.01 to 100, or,
with ``--scaled``, all of one scale. They are computed on the workers before anything is timed, and
stay there. No model has a penalty, or one too small to matter. A fit ends after ``--limit``
seconds, and is judged by the mean log loss of all rows: how far it is above the least that any fit
here found, relative to it. fastgd is asked for 1e-4. scikit-learn has all rows on one node, as
float64.
"""

import argparse
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np


def rows_on(n_rows: int, n_partitions: int, *, is_scaled: bool) -> tuple[Any, Any]:
    """Return rows and labels as arrays of Dask's, computed where they lie."""
    import dask
    import dask.array as da
    from out_of_core import COLUMNS, made

    size = -(-n_rows // n_partitions)
    width = np.geomspace(1e-2, 1e2, COLUMNS).astype(np.float32) if is_scaled else np.float32(1.0)

    @dask.delayed(nout=2)
    def part(number: int) -> tuple[Any, Any]:
        X, y = made(number, size)
        return X / width, y

    parts = [part(number) for number in range(n_partitions)]
    X = da.concatenate([da.from_delayed(p[0], (size, COLUMNS), np.float32) for p in parts])
    y = da.concatenate([da.from_delayed(p[1], (size,), np.int8) for p in parts])
    return dask.persist(X, y)


def fastgd_fit(X: Any, y: Any) -> Any:
    """The same descent as on one machine, by sums over partitions."""
    from fastgd import LogisticRegression

    return LogisticRegression(C=np.inf, tol=1e-4).fit(X, y)


def of_dask_glm(solver: str) -> Callable[[Any, Any], Any]:
    """Return a fit by dask-ml's estimator, which calls dask-glm's solvers."""

    def fit(X: Any, y: Any) -> Any:
        from dask_ml.linear_model import LogisticRegression

        return LogisticRegression(solver=solver, C=1e12, tol=1e-4).fit(X, y)

    return fit


def one_node(X: Any, y: Any) -> Any:
    """scikit-learn's in this process, to which all rows are brought."""
    import dask
    from sklearn.linear_model import LogisticRegression

    rows, labels = dask.compute(X.astype(np.float64), y)
    return LogisticRegression(C=1e12, solver="newton-cholesky", tol=1e-4).fit(rows, labels)


FITS: dict[str, Callable[[Any, Any], Any]] = {
    "fastgd": fastgd_fit,
    **{f"dask-ml {solver}": of_dask_glm(solver) for solver in ("newton", "lbfgs", "admm")},
    "scikit-learn newton-cholesky": one_node,
}


def mean_log_loss(model: Any, X: Any, y: Any) -> float:
    """Return it over all rows."""
    import dask.array as da

    coef = np.ravel(model.coef_).astype(np.float64)[: X.shape[1]]
    raw = X.astype(np.float64) @ coef + float(np.ravel(model.intercept_)[0])
    return float(da.mean(da.logaddexp(0.0, da.where(y == 1, -raw, raw))).compute())


@contextmanager
def ended_after(seconds: int) -> Any:
    """Raise TimeoutError where the block takes longer."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def timed(fit: Callable[[Any, Any], Any], X: Any, y: Any, limit: int) -> Any:
    """Return the seconds of a fit and its loss, or why there are none."""
    started = time.perf_counter()
    try:
        with ended_after(limit), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = fit(X, y)
    except Exception as error:  # a peer may fail in any way, and is to be named
        return f"{type(error).__name__}: {str(error)[:60]}"
    seconds = time.perf_counter() - started
    return seconds, mean_log_loss(model, X, y), getattr(model, "history_", None)


def report(found: dict[str, Any]) -> None:
    """Print a line for each fit."""
    best = min(result[1] for result in found.values() if not isinstance(result, str))
    for name, result in found.items():
        if isinstance(result, str):
            print(f"{name:30s} {result}")
            continue
        seconds, loss, history = result
        print(f"{name:30s} {seconds:7.1f} s, {(loss - best) / best:.1e} above the best", end="")
        if history and "bytes" in history:
            waited = sum(history.get("seconds", [0.0]))
            print(f"; {len(history['bytes'])} passes, {sum(history['bytes']):,.0f} bytes", end="")
            print(f", {waited:.1f} s in passes", end="")
        print()


def main() -> None:
    """Print a table."""
    from distributed import Client, LocalCluster

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--partitions", type=int, default=40)
    parser.add_argument("--scaled", action="store_true", help="columns of one scale")
    parser.add_argument("--limit", type=int, default=300, help="seconds of a fit")
    parser.add_argument("--only", nargs="+", choices=FITS, default=list(FITS))
    args = parser.parse_args()
    two: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**two) as cluster, Client(cluster):
        X, y = rows_on(args.rows, args.partitions, is_scaled=args.scaled)
        float(X.sum().compute())  # all rows are there
        report({name: timed(FITS[name], X, y, args.limit) for name in args.only})


if __name__ == "__main__":
    main()
