"""Small fits and predictions beside scikit-learn's, in a warm process: where only overhead shows.

    python benchmarks/small.py                # the table
    python benchmarks/small.py --repeats 200  # steadier, on a busy machine
    python benchmarks/small.py --every --only Ridge  # more tables, dense and CSR, both dtypes

Each case is called in turns with scikit-learn's, under the same conditions; the figures
are medians of processor time, and the ratio is ours over theirs. The fits of ``SGD*`` are those of
several seeds, since the number of epochs is a matter of luck on so few rows.
"""

import argparse
import itertools
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn import linear_model, svm
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from threadpoolctl import threadpool_limits

import fastgd

if __package__:
    from . import machine
else:  # run as a file
    import machine

SHAPES = ((100, 4), (400, 30), (1797, 64))
BATCHES = (1, 64)
SEEDS = range(5)
SOLVED = ("Ridge", "Lasso", "LinearSVC", "LogisticRegression")
MORE = ("LinearRegression", "ElasticNet", "PoissonRegressor", "HuberRegressor", "LinearSVR")
TABLES = {"iris": load_iris, "breast cancer": load_breast_cancer, "digits": load_digits}
MORE_SHAPES = ((50, 3), (100, 4), (500, 20), (400, 30))
LAYOUTS = ("dense", "CSR")
SMALL_ENTRIES = 0.7  # standard deviations: CSR holds the others, half of all


class Case(NamedTuple):
    """The same call of both libraries.

    ours, theirs : callables without arguments
    """

    ours: Callable[[], Any]
    theirs: Callable[[], Any]


def table(n_rows: int, n_features: int, seed: int = 0) -> dict[str, Any]:
    """Return noisy rows, a number for each under "SGDRegressor", a class under "SGDClassifier"."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, n_features))
    y = X @ rng.standard_normal(n_features) + rng.standard_normal(n_rows)
    return {"X": X, "SGDRegressor": y, "SGDClassifier": (y > 0).astype(int)}


def kinds_of(name: str) -> tuple[Any, Any]:
    """Return our class of a name, and scikit-learn's."""
    return getattr(fastgd, name), getattr(
        svm if name.startswith("LinearSV") else linear_model, name
    )


def fits_of_sgd(name: str, shape: tuple[int, int]) -> Case:
    """Return default fits on tables of several seeds."""
    tables = [table(*shape, seed) for seed in SEEDS]

    def fits(kind: Any) -> Callable[[], Any]:
        return lambda: [
            kind(random_state=seed).fit(one["X"], one[name])
            for seed, one in zip(SEEDS, tables, strict=True)
        ]

    return Case(*map(fits, kinds_of(name)))


def partial_fit(name: str, n_rows: int) -> Case:
    """Return a further call on the same rows."""
    data = table(400, 30)
    X, y = data["X"][:n_rows], data[name][:n_rows]
    classes = {"classes": [0, 1]} if name == "SGDClassifier" else {}

    def call(kind: Any) -> Callable[[], Any]:
        model = kind(random_state=0).partial_fit(X, y, **classes)
        return lambda: model.partial_fit(X, y)

    return Case(*map(call, kinds_of(name)))


def prediction(name: str) -> Case:
    """Return a prediction of one row."""
    data = table(400, 30)
    y = data.get(name, data["SGDClassifier"])

    def call(kind: Any) -> Callable[[], Any]:
        model = kind().fit(data["X"], y)
        return lambda: model.predict(data["X"][:1])

    return Case(*map(call, kinds_of(name)))


def standardised(X: np.ndarray) -> np.ndarray:
    """Return columns with mean 0 and standard deviation 1; constant ones are 0."""
    std = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(std > 0.0, std, 1.0)


def targets(name: str, y: np.ndarray) -> np.ndarray:
    """Return what an estimator takes: few classes, numbers, or counts."""
    if name in ("LinearSVC", "LogisticRegression"):
        return y if y.dtype.kind == "i" else (y > 0.0).astype(int)
    return np.abs(np.round(y)) if name == "PoissonRegressor" else y.astype(float)


def fit_of(name: str, title: str, layout: str, dtype: str) -> Case:
    """Return a default fit on one of the tables, or on normal rows where a shape is the title."""
    if title in TABLES:
        X, y = TABLES[title](return_X_y=True)
        X = standardised(X)
    else:
        data = table(*map(int, title.split(" x ")))
        X, y = data["X"], data["SGDRegressor"]
    X, y = X.astype(dtype), targets(name, y)
    if layout == "CSR":
        X = sparse.csr_matrix(np.where(np.abs(X) > SMALL_ENTRIES, X, 0.0).astype(dtype))

    def call(kind: Any) -> Callable[[], Any]:
        return lambda: kind().fit(X, y)

    return Case(*map(call, kinds_of(name)))


def every() -> dict[str, Callable[[], Case]]:
    """Return default fits of all solver estimators on many tables, layouts and dtypes."""
    titles = [*(f"{n} x {d}" for n, d in MORE_SHAPES), *TABLES]
    keys = itertools.product((*SOLVED, *MORE), titles, LAYOUTS, ("float64", "float32"))
    return {" ".join(key): partial(fit_of, *key) for key in keys}


def cases() -> dict[str, Callable[[], Case]]:
    """Return all cases by name; each is made when it is called."""
    found: dict[str, Callable[[], Case]] = {}
    for name in ("SGDClassifier", "SGDRegressor"):
        for n, d in SHAPES:
            found[f"{name} fit {n} x {d}"] = partial(fits_of_sgd, name, (n, d))
        for n in BATCHES:
            found[f"{name} partial_fit {n}"] = partial(partial_fit, name, n)
        found[f"{name} predict 1"] = partial(prediction, name)
    for name in SOLVED:
        found[f"{name} predict 1"] = partial(prediction, name)
        for title in ("iris", "breast cancer"):
            found[f"{name} {title}"] = partial(fit_of, name, title, "dense", "float64")
    return found


def milliseconds(case: Case, n_repeats: int) -> tuple[float, float]:
    """Return the medians of both, taken in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for call in case:
        call()  # compiles
    for _ in range(n_repeats):
        for call, of_one in zip(case, times, strict=True):
            started = time.process_time()
            call()
            of_one.append(time.process_time() - started)
    ours, theirs = (1e3 * statistics.median(of_one) for of_one in times)
    return ours, theirs


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--every", action="store_true", help="all solver estimators, many tables")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # few rows do not always converge
    print(machine.describe())
    print("| call | fastgd, ms | scikit-learn, ms | ratio |\n|---|---|---|---|")
    slower = 0
    for name, make in (every() if args.every else cases()).items():
        if args.only not in name:
            continue
        with threadpool_limits(1):  # else BLAS's threads, which wait for work, count as work
            ours, theirs = milliseconds(make(), args.repeats)
        slower += ours > theirs
        print(f"| {name} | {ours:.3f} | {theirs:.3f} | {ours / theirs:.2f} |", flush=True)
    print(f"\nslower than scikit-learn: {slower}")


if __name__ == "__main__":
    main()
