"""Small fits and predictions beside scikit-learn's, in a warm process: where only overhead shows.

    python benchmarks/small.py                # the table
    python benchmarks/small.py --repeats 200  # steadier, on a busy machine

Each case is called in turns with scikit-learn's, so that both meet the same machine; the figures
are medians of processor time, and the ratio is ours over theirs. The fits of ``SGD*`` are those of
several seeds, since the number of epochs is a matter of luck on so few rows.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn import linear_model, svm
from sklearn.datasets import load_breast_cancer, load_iris

import fastgd

SHAPES = ((100, 4), (400, 30), (1797, 64))
BATCHES = (1, 64)
SEEDS = range(5)
SOLVED = ("Ridge", "Lasso", "LinearSVC", "LogisticRegression")


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
    return getattr(fastgd, name), getattr(svm if name == "LinearSVC" else linear_model, name)


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

    def call(kind: Any) -> Callable[[], Any]:
        model = kind(random_state=0).fit(data["X"], data[name])
        return lambda: model.predict(data["X"][:1])

    return Case(*map(call, kinds_of(name)))


def solved(name: str, load: Callable[..., Any]) -> Case:
    """Return a default fit on standardised columns."""
    X, y = load(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = y.astype(float) if name in ("Ridge", "Lasso") else y

    def call(kind: Any) -> Callable[[], Any]:
        return lambda: kind().fit(X, y)

    return Case(*map(call, kinds_of(name)))


def cases() -> dict[str, Callable[[], Case]]:
    """Return all cases by name; each is made when it is called."""
    found: dict[str, Callable[[], Case]] = {}
    for name in ("SGDClassifier", "SGDRegressor"):
        for n, d in SHAPES:
            found[f"{name} fit {n} x {d}"] = lambda name=name, n=n, d=d: fits_of_sgd(name, (n, d))
        for n in BATCHES:
            found[f"{name} partial_fit {n}"] = lambda name=name, n=n: partial_fit(name, n)
        found[f"{name} predict 1"] = lambda name=name: prediction(name)
    for name in SOLVED:
        for title, load in (("iris", load_iris), ("breast cancer", load_breast_cancer)):
            found[f"{name} {title}"] = lambda name=name, load=load: solved(name, load)
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
    parser.add_argument("--only", default="", help="cases whose name holds this")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # few rows do not always converge
    print("| call | fastgd, ms | scikit-learn, ms | ratio |\n|---|---|---|---|")
    slower = 0
    for name, make in cases().items():
        if args.only not in name:
            continue
        ours, theirs = milliseconds(make(), args.repeats)
        slower += ours > theirs
        print(f"| {name} | {ours:.3f} | {theirs:.3f} | {ours / theirs:.2f} |", flush=True)
    print(f"\nslower than scikit-learn: {slower}")


if __name__ == "__main__":
    main()
