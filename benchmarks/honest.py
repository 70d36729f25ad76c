"""Does ``tol`` hold, and is ``gap_`` a bound? Many data sets, all solver estimators and tolerances.

    python benchmarks/honest.py                     # all of it: an hour or more
    python benchmarks/honest.py --only wide genes   # data sets whose name holds one of these
    python benchmarks/honest.py --quick --json build/honest.json
    python benchmarks/honest.py --minutes 10        # says with which --start to go on

A fit is honest if its objective is at most ``tol`` (relative) above the lowest one that any fit
found, or if it warned that it is not; and if ``gap_`` is at least its distance from that.
Objectives are computed anew, by numpy in its widest float, from ``coef_`` and ``intercept_``. The
lowest objective comes from this library at tol=1e-15 in float64, from scikit-learn's solvers at
their tightest, and from every other fit of the same problem.

A fit that takes more than ``--seconds`` of CPU time is given up, and counted as slow.

Printed for each problem: the share of fits within tol, the median and the largest of (distance over
tol), the fits whose ``gap_`` is below their distance, the fits that end higher than one with a
larger tol, and what part of the time was spent on the proof. Coefficients in float32 may end higher
by what a change of their last digits makes of the objective.
"""

import argparse
import copy
import json
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import sklearn.linear_model as theirs
import sklearn.svm as their_svm
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning

import fastgd
from fastgd._solvers import _descent, _gd, _newton

TOLERANCES = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8]
QUICK = [1e-1, 1e-3, 1e-6]
LARGEST_OF_PEERS = 4000  # parameters: their Hessians are dense
# Below this part of the objective (or of the null model's) nothing is distinguished.
ROUNDING = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-9}
DRAWS = 4  # of changes by a unit of the last place: twice what rounding changes


class Table(NamedTuple):
    """Rows and targets: classes, numbers, and numbers that are not negative."""

    name: str
    X: Any
    labels: np.ndarray
    numbers: np.ndarray


class Model(NamedTuple):
    """An estimator of ours, its objective in plain numpy, and scikit-learn's at its tightest."""

    name: str
    make: Callable[..., Any]
    objective: Callable[..., float]
    peer: Callable[..., Any] | None
    target: str


# -- data ---------------------------------------------------------------------------------------


def tables() -> Iterator[Table]:
    """Yield data sets that are hard in the ways that real ones are."""
    rng = np.random.default_rng(0)
    cancer, iris, wine, digits = (
        datasets.load_breast_cancer(),
        datasets.load_iris(),
        datasets.load_wine(),
        datasets.load_digits(),
    )
    diabetes = datasets.load_diabetes()
    yield _table("breast_cancer", cancer.data, rng, labels=cancer.target)
    yield _table("iris", iris.data, rng, labels=iris.target)
    yield _table("wine", wine.data, rng, labels=wine.target)
    yield _table("digits", digits.data, rng, labels=digits.target)
    yield _table("diabetes", diabetes.data, rng, numbers=diabetes.target)
    yield _table("wide_scales", _wide_scales(rng), rng)
    yield _table("genes_14_classes", rng.normal(size=(64, 3000)), rng, n_classes=14)
    yield _table("one_hot", _one_hot(rng, 20_000, 300), rng)
    yield _table("heavy_tails", _heavy_tails(rng, 4601, 57), rng)
    yield _table("collinear", _collinear(rng, 800, 30), rng)
    yield _table("offsets", 1e6 + rng.normal(size=(1000, 12)) * np.geomspace(1, 1e3, 12), rng)
    yield _table("rare_classes", rng.normal(size=(5000, 10)), rng, n_classes=6, rare=True)
    separable = rng.normal(size=(300, 20))
    yield _table("separable", separable, rng, labels=(separable[:, 0] > 0).astype(int))
    yield _table("text", _text(rng, 3000, 20_000), rng)
    yield _table("tall", rng.normal(size=(60_000, 15)) @ rng.normal(size=(15, 15)), rng)


def _table(
    name: str,
    X: Any,
    rng: np.random.Generator,
    *,
    labels: Any = None,
    numbers: Any = None,
    n_classes: int = 2,
    rare: bool = False,
) -> Table:
    """Make the targets that are not given, from a few columns and noise."""
    n, d = X.shape
    some = rng.choice(d, min(d, 20), replace=False)
    part = X[:, some].toarray() if sp.issparse(X) else X[:, some]
    std = part.std(axis=0)
    z = (part - part.mean(axis=0)) / np.where(std > 0.0, std, 1.0)
    score = z @ rng.normal(size=some.size) / np.sqrt(some.size) + 0.5 * rng.logistic(size=n)
    if labels is None:
        shares = np.linspace(0, 1, n_classes + 1)[1:-1]
        shares = 1.0 - np.geomspace(0.5, 0.002, n_classes - 1) if rare else shares
        labels = np.digitize(score, np.quantile(score, shares))
    if numbers is None:
        numbers = 10.0 + 3.0 * score + rng.standard_t(3, size=n)
    return Table(name, X, np.asarray(labels), np.asarray(numbers, np.float64))


def _wide_scales(rng: np.random.Generator) -> np.ndarray:
    """Fewer rows than columns, whose scales run from 1e-21 to 5e9."""
    X = rng.normal(size=(252, 751)) + 0.5 * rng.normal(size=(252, 1))
    return X * rng.permutation(np.geomspace(1e-21, 5e9, 751))


def _one_hot(rng: np.random.Generator, n: int, d: int) -> sp.csr_matrix:
    """Numbers with heavy tails beside categories of which many are rare."""
    popularity = 1.0 / np.arange(1, d - 5) ** 1.3
    columns = rng.choice(d - 6, (n, 7), p=popularity / popularity.sum()) + 6
    numbers = np.round(rng.lognormal(2.0, 2.0, (n, 6)) * (rng.random((n, 6)) < 0.4))
    indices = np.hstack([np.tile(np.arange(6), (n, 1)), columns])
    data = np.hstack([numbers, np.ones((n, 7))])
    X = sp.csr_matrix((data.ravel(), indices.ravel(), np.arange(0, 13 * n + 1, 13)), (n, d))
    X.sum_duplicates()
    X.eliminate_zeros()
    return X


def _heavy_tails(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Shares and counts that are mostly zero, as of words and capitals in mails."""
    X = rng.lognormal(0.0, 1.5, (n, d)) * (rng.random((n, d)) < rng.uniform(0.05, 0.6, d))
    return X * np.append(np.ones(d - 3), [5.0, 50.0, 300.0])


def _collinear(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    base = rng.normal(size=(n, d // 3))
    return np.hstack([base, base + 1e-5 * rng.normal(size=base.shape), base @ np.ones((d // 3, 3))])


def _text(rng: np.random.Generator, n: int, d: int) -> sp.csr_matrix:
    popularity = 1.0 / np.arange(1, d + 1)
    columns = rng.choice(d, (n, 30), p=popularity / popularity.sum())
    data = np.full(n * 30, 1.0 / np.sqrt(30.0))
    X = sp.csr_matrix((data, columns.ravel(), np.arange(0, 30 * n + 1, 30)), (n, d))
    X.sum_duplicates()
    return X


# -- objectives, in plain numpy -------------------------------------------------------------------


def _raw(X: Any, model: Any) -> np.ndarray:
    """Return raw predictions in numpy's widest float.

    Where columns lie at 1e6, float64 leaves 1e-10 of them, which is more than a tight bound.
    """
    coef = np.asarray(model.coef_, np.longdouble)
    columns = np.atleast_2d(coef)
    raw = np.stack([_product(X, column) for column in columns], axis=1)
    raw = raw if coef.ndim == 2 else raw[:, 0]
    return raw + np.asarray(model.intercept_, np.longdouble)


def _product(X: Any, column: np.ndarray) -> np.ndarray:
    if not sp.issparse(X):
        return (X * column).sum(axis=1)
    rows = sp.csr_matrix(X)
    total = np.append(0.0, np.cumsum(rows.data * column[rows.indices]))
    return np.diff(total[rows.indptr])


def logistic(l1: float, l2: float) -> Callable[..., float]:
    """Return the objective of LogisticRegression with C (l1 + l2 = 1), over C and the rows."""

    def objective(X: Any, y: np.ndarray, model: Any) -> float:
        raw, n = _raw(X, model), y.shape[0]
        coef = np.asarray(model.coef_, np.longdouble)
        if raw.ndim == 1 or raw.shape[1] == 1:
            sign = np.where(y == np.unique(y)[1], 1.0, -1.0)
            loss = np.logaddexp(0.0, -sign * raw.reshape(-1)).mean()
        else:
            codes = np.unique(y, return_inverse=True)[1]
            top = raw.max(axis=1, keepdims=True)
            total = np.log(np.exp(raw - top).sum(axis=1)) + top[:, 0]
            loss = (total - raw[np.arange(n), codes]).mean()
        return float(loss + (l1 * np.abs(coef).sum() + 0.5 * l2 * np.vdot(coef, coef)) / n)

    return objective


def squared(l1: float, l2: float, by_rows: bool) -> Callable[..., float]:
    """Return mean squared error / 2 with penalties, divided by the rows if ``by_rows``."""

    def objective(X: Any, y: np.ndarray, model: Any) -> float:
        coef = np.asarray(model.coef_, np.longdouble)
        per = y.shape[0] if by_rows else 1
        loss = 0.5 * np.mean((y - _raw(X, model)) ** 2)
        return float(loss + (l1 * np.abs(coef).sum() + 0.5 * l2 * np.vdot(coef, coef)) / per)

    return objective


def huber(X: Any, y: np.ndarray, model: Any) -> float:
    coef, sigma = np.asarray(model.coef_, np.longdouble), float(model.scale_)
    z = np.abs(y - _raw(X, model)) / sigma
    loss = np.where(z <= 1.35, z**2, 2 * 1.35 * z - 1.35**2)
    return float(sigma + sigma * loss.mean() + 1e-4 * np.vdot(coef, coef) / y.shape[0])


def poisson(X: Any, y: np.ndarray, model: Any) -> float:
    coef, raw = np.asarray(model.coef_, np.longdouble), _raw(X, model)
    least = np.where(y > 0, y - y * np.log(np.maximum(y, 1e-300)), 0.0)
    return float(np.mean(np.exp(raw) - y * raw - least) + 0.5 * np.vdot(coef, coef))


def gamma(X: Any, y: np.ndarray, model: Any) -> float:
    coef, raw = np.asarray(model.coef_, np.longdouble), _raw(X, model)
    return float(np.mean(raw + y * np.exp(-raw) - np.log(y) - 1.0) + 0.5 * np.vdot(coef, coef))


def svc(X: Any, y: np.ndarray, model: Any) -> float:
    """LinearSVC's, squared hinge, C=1, without its penalised intercept; over the rows."""
    coef = np.asarray(model.coef_, np.longdouble).ravel()
    sign = np.where(y == np.unique(y)[1], 1.0, -1.0)
    margin = np.maximum(0.0, 1.0 - sign * _raw(X, model).ravel())
    b = float(np.ravel(model.intercept_)[0])
    return float(np.mean(margin**2) + 0.5 * (coef @ coef + b * b) / y.shape[0])


def hinge(X: Any, y: np.ndarray, model: Any) -> float:
    coef = np.asarray(model.coef_, np.longdouble).ravel()
    sign = np.where(y == np.unique(y)[1], 1.0, -1.0)
    margin = np.maximum(0.0, 1.0 - sign * _raw(X, model).ravel())
    b = float(np.ravel(model.intercept_)[0])
    return float(np.mean(margin) + 0.5 * (coef @ coef + b * b) / y.shape[0])


def pinball(X: Any, y: np.ndarray, model: Any) -> float:
    rest = y - _raw(X, model)
    coef = np.asarray(model.coef_, np.longdouble)
    return float(np.mean(np.maximum(0.3 * rest, -0.7 * rest)) + 0.01 * np.abs(coef).sum())


def models() -> list[Model]:
    """Return what is fitted."""
    tight: dict[str, Any] = {"tol": 1e-12, "max_iter": 2000}
    saga: dict[str, Any] = {"tol": 1e-10, "max_iter": 300, "solver": "saga"}
    return [
        Model(
            "logistic",
            lambda **k: fastgd.LogisticRegression(**k),
            logistic(0.0, 1.0),
            lambda: theirs.LogisticRegression(solver="newton-cholesky", **tight),
            "labels",
        ),
        Model(
            "logistic C=1e4",
            lambda **k: fastgd.LogisticRegression(C=1e4, **k),
            logistic(0.0, 1e-4),
            lambda: theirs.LogisticRegression(C=1e4, solver="lbfgs", **tight),
            "labels",
        ),
        Model(
            "logistic l1",
            lambda **k: fastgd.LogisticRegression(l1_ratio=1.0, **k),
            logistic(1.0, 0.0),
            lambda: theirs.LogisticRegression(l1_ratio=1.0, **saga),
            "labels",
        ),
        Model(
            "ridge",
            lambda **k: fastgd.Ridge(**k),
            squared(0.0, 1.0, True),
            lambda: theirs.Ridge(tol=1e-14),
            "numbers",
        ),
        Model(
            "lasso",
            lambda **k: fastgd.Lasso(alpha=0.1, **k),
            squared(0.1, 0.0, False),
            lambda: theirs.Lasso(alpha=0.1, tol=1e-14, max_iter=20_000),
            "numbers",
        ),
        Model(
            "elastic net",
            lambda **k: fastgd.ElasticNet(alpha=0.1, **k),
            squared(0.05, 0.05, False),
            lambda: theirs.ElasticNet(alpha=0.1, tol=1e-14, max_iter=20_000),
            "numbers",
        ),
        Model("huber", lambda **k: fastgd.HuberRegressor(**k), huber, None, "numbers"),
        Model(
            "poisson",
            lambda **k: fastgd.PoissonRegressor(**k),
            poisson,
            lambda: theirs.PoissonRegressor(solver="newton-cholesky", **tight),
            "counts",
        ),
        Model(
            "gamma",
            lambda **k: fastgd.GammaRegressor(**k),
            gamma,
            lambda: theirs.GammaRegressor(solver="newton-cholesky", **tight),
            "positive",
        ),
        Model("svc", lambda **k: fastgd.LinearSVC(**k), svc, None, "two"),
        Model(
            "svc hinge",
            lambda **k: fastgd.LinearSVC(loss="hinge", **k),
            hinge,
            lambda: their_svm.LinearSVC(loss="hinge", tol=1e-10, max_iter=100_000),
            "two",
        ),
        Model(
            "quantile",
            lambda **k: fastgd.QuantileRegressor(quantile=0.3, alpha=0.01, **k),
            pinball,
            lambda: theirs.QuantileRegressor(quantile=0.3, alpha=0.01),
            "numbers",
        ),
    ]


def target_of(table: Table, kind: str) -> np.ndarray:
    """Return the targets that a model wants."""
    if kind == "labels":
        return table.labels
    if kind == "two":
        classes = np.unique(table.labels)
        bound = classes[0] if classes.size == 2 else np.median(table.labels)
        return (table.labels > bound).astype(int)
    if kind == "numbers":
        return table.numbers
    z = (table.numbers - table.numbers.mean()) / table.numbers.std()
    mean = np.exp(np.clip(z, -3.0, 3.0))
    return np.random.default_rng(1).poisson(mean) if kind == "counts" else mean + 0.01


# -- fits -----------------------------------------------------------------------------------------


class Fit(NamedTuple):
    """What one fit ended with."""

    dtype: str
    tol: float
    objective: float
    gap: float
    has_warned: bool
    seconds: float
    seconds_of_proof: float
    rounding: float = 0.0  # of the objective, by that of the coefficients


# Where proofs are made: bounds, evaluations in float64, and Hessians of some rows.
PROOFS = [
    (_gd, "_proven"),
    (_newton, "_gap"),
    (_descent._Descent, "_prove"),
    (_descent._Descent, "_looks_closer"),
    (_descent._Descent, "_is_shown_by_some"),
]


class Stopwatch:
    """Adds up the time that proofs take."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._own = [(place, name, getattr(place, name)) for place, name in PROOFS]

    def __enter__(self) -> "Stopwatch":
        for place, name, prove in self._own:
            setattr(place, name, self._timed(prove))
        return self

    def _timed(self, prove: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            began = time.perf_counter()
            try:
                return prove(*args)
            finally:
                self.seconds += time.perf_counter() - began

        return timed

    def __exit__(self, *_: object) -> None:
        for place, name, prove in self._own:
            setattr(place, name, prove)


class OutOfTimeError(Exception):
    """A fit took more than its share."""


class Limit:
    """Raises OutOfTimeError in the main thread after so many seconds of CPU time; 0: never."""

    seconds = 0.0

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGVTALRM, self._raise)
        signal.setitimer(signal.ITIMER_VIRTUAL, self.seconds)

    def _raise(self, *_: Any) -> None:
        raise OutOfTimeError(f"more than {self.seconds:g} s")

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, self._before)


def fit(model: Model, X: Any, y: np.ndarray, wide: Any, tol: float) -> Fit | None:
    """Fit once, and compute the objective in float64; None where that takes too long."""
    try:
        with Limit():
            return _fit(model, X, y, wide, tol)
    except OutOfTimeError:
        return None


def _fit(model: Model, X: Any, y: np.ndarray, wide: Any, tol: float) -> Fit:
    estimator = model.make(tol=tol)
    with warnings.catch_warnings(record=True) as caught, Stopwatch() as watch:
        warnings.simplefilter("always")
        began = time.perf_counter()
        estimator.fit(X, y)
        seconds = time.perf_counter() - began
    warned = any(issubclass(w.category, ConvergenceWarning) for w in caught)
    gap = float(np.max(estimator.gap_))
    objective = model.objective(wide, y, estimator)
    rounding = rise_by_rounding(model, wide, y, estimator, objective)
    return Fit(str(X.dtype), tol, objective, gap, warned, seconds, watch.seconds, rounding)


def rise_by_rounding(
    model: Model, X: Any, y: np.ndarray, estimator: Any, objective: float
) -> float:
    """Return by how much the objective rises where float32 coefficients change by their last digit.

    The largest of a few draws of signs, not the worst of all signs: a fit that ends higher by more
    than this has not been rounded but is another one. 0 for coefficients in float64.
    """
    if np.asarray(estimator.coef_).dtype != np.float32:
        return 0.0
    rng, largest = np.random.default_rng(0), 0.0
    for _ in range(DRAWS):
        moved = copy.copy(estimator)
        for name in ("coef_", "intercept_"):
            value = np.asarray(getattr(estimator, name), np.float32)
            unit = np.spacing(np.abs(value)).astype(np.longdouble) * (value != 0.0)
            setattr(moved, name, value + rng.choice([-1.0, 1.0], value.shape) * unit)
        largest = max(largest, model.objective(X, y, moved) - objective)
    return largest


def lowest_of_peers(model: Model, X: Any, y: np.ndarray) -> float:
    """Return the objective of scikit-learn's solver and of our own at tol=0, in float64."""
    found = []
    try:
        with Limit():
            found.append(model.objective(X, y, _quietly(model.make(tol=1e-15), X, y)))
    except OutOfTimeError as error:
        print(f"  (ours of {model.name} at tol=1e-15: {error})")
    size = X.shape[1] * (np.unique(y).size if model.target == "labels" else 1)
    if model.peer is not None and X.shape[0] * X.shape[1] <= 2_000_000 and size <= LARGEST_OF_PEERS:
        try:
            with Limit():
                found.append(model.objective(X, y, _quietly(model.peer(), X, y)))
        except (ValueError, TypeError, np.linalg.LinAlgError, OutOfTimeError) as error:
            print(f"  (peer of {model.name}: {error})")
    return float(np.nanmin([*found, np.inf]))


def _quietly(estimator: Any, X: Any, y: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X, y)


class Tally(NamedTuple):
    """What the fits of one problem show."""

    n_fits: int
    n_within: int
    n_warned: int
    n_silent: int  # beyond tol, without a warning
    n_slow: int  # given up
    largest: float  # distance over tol of those that were silent about it
    median: float
    false_bounds: int
    not_monotone: int
    proof_share: float


def tallied(fits: list[Fit], lowest: float, scale: float, n_slow: int = 0) -> Tally:
    """Compare each fit with the lowest objective; ``n_slow`` more were given up."""
    within = warned = silent = false_bounds = rises = 0
    ratios = [0.0]
    best: dict[str, float] = {}
    for f in fits:
        rounding = ROUNDING[np.dtype(f.dtype)] * max(abs(lowest), 1e-6 * scale)
        distance = f.objective - lowest
        is_within = distance <= f.tol * max(abs(f.objective), abs(lowest)) + rounding
        within += is_within
        warned += f.has_warned
        silent += not is_within and not f.has_warned
        ratio = distance / (f.tol * max(abs(lowest), 1e-300))
        ratios.append(ratio if not f.has_warned else 0.0)
        false_bounds += f.gap < distance - rounding
        rises += f.objective > best.get(f.dtype, np.inf) + rounding + f.rounding
        best[f.dtype] = min(f.objective, best.get(f.dtype, np.inf))
    seconds = sum(f.seconds for f in fits)
    return Tally(
        len(fits),
        within,
        warned,
        silent,
        n_slow,
        max(ratios),
        float(np.median(ratios)),
        false_bounds,
        rises,
        sum(f.seconds_of_proof for f in fits) / max(seconds, 1e-12),
    )


def run(table: Table, model: Model, tolerances: list[float]) -> tuple[Tally, list[Fit]] | None:
    """Fit one model to one table with all tolerances, in both precisions."""
    y = target_of(table, model.target)
    if np.unique(y).size < 2:
        return None
    fits: list[Fit] = []
    lowest, n_slow = np.inf, 0
    for dtype in (np.float64, np.float32):
        X = table.X.astype(dtype)
        wide = X.astype(np.float64)
        lowest_here = lowest_of_peers(model, wide, y)
        tried = [fit(model, X, y, wide, tol) for tol in sorted(tolerances, reverse=True)]
        own = [one for one in tried if one is not None]
        n_slow += len(tried) - len(own)
        lowest_here = min([lowest_here, *(f.objective for f in own)])
        if not fits:
            lowest = lowest_here
        shift = lowest_here - lowest if own else 0.0  # another X after rounding: another optimum
        fits += [f._replace(objective=f.objective - shift) for f in own]
    return tallied(fits, lowest, abs(lowest) + 1.0, n_slow), fits


def report(name: str, tally: Tally, fits: list[Fit]) -> str:
    """Return a line of the table."""
    v = tally
    seconds = max((f.seconds for f in fits), default=np.nan)
    return (
        f"{name:34s} {v.n_within:3d}/{v.n_fits:<3d} {v.n_slow:4d} {v.n_warned:4d} {v.n_silent:4d} "
        f"{v.median:9.1e} {v.largest:9.1e} {v.false_bounds:4d} {v.not_monotone:4d} "
        f"{v.proof_share:6.2f} {seconds:8.3f}"
    )


def problems(given: argparse.Namespace) -> Iterator[tuple[Table, Model]]:
    """Yield what was asked for, always in the same order."""
    for table in tables():
        if given.only and not any(part in table.name for part in given.only):
            continue
        for model in models():
            if not given.models or any(part in model.name for part in given.models):
                yield table, model


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", help="parts of names of data sets")
    parser.add_argument("--models", nargs="*", help="parts of names of models")
    parser.add_argument("--quick", action="store_true", help="three tolerances")
    parser.add_argument("--json", type=Path, help="write every fit to this file")
    parser.add_argument("--seconds", type=float, default=20.0, help="of CPU, for a fit; 0: no end")
    parser.add_argument("--start", type=int, default=0, help="the first problem's number")
    parser.add_argument("--minutes", type=float, default=np.inf, help="no problem begins later")
    given = parser.parse_args()
    Limit.seconds, end = given.seconds, time.monotonic() + 60.0 * given.minutes
    print(
        f"{'problem':34s} {'within':7s} {'slow':>4s} {'warn':4s} {'lies':>4s} {'median':>9s} "
        f"{'largest':>9s} {'gap<':>4s} {'rise':>4s} {'proof':>6s} {'slowest':>8s}"
    )
    kept, total = {}, np.zeros(7, int)
    for number, (table, model) in enumerate(problems(given)):
        if number < given.start:
            continue
        if time.monotonic() > end:
            print(f"Go on with --start {number}.")
            break
        found = run(table, model, QUICK if given.quick else TOLERANCES)
        if found is None:
            continue
        tally, fits = found
        name = f"{table.name}, {model.name}"
        print(report(name, tally, fits), flush=True)
        kept[name] = [f._asdict() for f in fits]
        total += [*tally[:5], tally.false_bounds, tally.not_monotone]
    n_fits, within, warned, silent, slow, false_bounds, rises = total.tolist()
    print(
        f"{n_fits} fits: {within} within tol, {warned} warned, {silent} beyond tol in silence; "
        f"{false_bounds} bounds that are none; {rises} higher than a larger tol; {slow} given up."
    )
    if given.json:
        given.json.write_text(json.dumps(kept, indent=1))


if __name__ == "__main__":
    main()
