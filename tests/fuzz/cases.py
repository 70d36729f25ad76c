"""Problems drawn from a number."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

import fastgd

LAYOUTS = ("C", "F", "csr", "csr64", "csc", "coo", "unsorted", "duplicates", "zeros", "frame")
SPARSE = frozenset(LAYOUTS) - {"C", "F", "frame"}
CLASSIFIERS = ("LogisticRegression", "SoftmaxRegression", "LinearSVC")
COUNTS, POSITIVE, NUMBERS = "counts", "positive", "numbers"


class Case(NamedTuple):
    """A problem.

    name, kwargs : of the estimator, and its arguments
    X : float64, (rows, columns), each number one of ``dtype``
    weight : float64, or None
    layout : one of ``LAYOUTS``
    """

    name: str
    kwargs: dict[str, Any]
    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    layout: str
    dtype: str

    @property
    def s(self) -> np.ndarray:
        """Weights, ones where there are none."""
        return np.ones(self.X.shape[0]) if self.weight is None else self.weight

    def make(self, **kwargs: Any) -> Any:
        """Return our estimator."""
        return getattr(fastgd, self.name)(**{**self.kwargs, **kwargs})

    def fitted(self, layout: str | None = None, **kwargs: Any) -> Any:
        """Return our estimator, fitted."""
        X = laid_out(self.X, layout or self.layout, self.dtype)
        return self.make(**kwargs).fit(X, self.y, self.weight)


def laid_out(X: np.ndarray, layout: str, dtype: str) -> Any:
    """Return X as a user may have it; the numbers are the same in each layout."""
    X = X.astype(dtype)
    if layout == "frame":
        return pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    if layout in ("C", "F"):
        return np.array(X, order=layout)
    if layout in ("csc", "coo"):
        return getattr(sp, f"{layout}_matrix")(X)
    if layout == "zeros":  # as stored, what is zero too
        return sp.csr_array(
            (X.ravel(), np.tile(np.arange(X.shape[1]), X.shape[0]), _starts(X.shape)), X.shape
        )
    rows = sp.csr_array(X)
    if layout == "unsorted":
        data, indices = rows.data.copy(), rows.indices.copy()
        for start, stop in zip(rows.indptr, rows.indptr[1:], strict=False):
            data[start:stop] = data[start:stop][::-1].copy()
            indices[start:stop] = indices[start:stop][::-1].copy()
        return sp.csr_array((data, indices, rows.indptr), X.shape)
    if layout == "duplicates":  # each number as the sum of its halves
        return sp.csr_array(
            (np.repeat(rows.data / 2, 2), np.repeat(rows.indices, 2), 2 * rows.indptr), X.shape
        )
    if layout == "csr64":
        rows.indices, rows.indptr = rows.indices.astype(np.int64), rows.indptr.astype(np.int64)
    return rows


def _starts(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(0, shape[0] * shape[1] + 1, shape[1])


def case_of(seed: int, names: tuple[str, ...] = ()) -> Case:
    """Draw the problem with this number, of any estimator or of those named."""
    rng = np.random.default_rng(seed)
    name = str(rng.choice(names or tuple(DRAWN)))
    kwargs, targets = DRAWN[name](rng)
    kwargs["tol"] = float(f"{10.0 ** -rng.uniform(1, 8):.0e}")
    if rng.random() < 0.3:
        kwargs["fit_intercept"] = False
    n, d = _shape(rng, smallest=2 if name in CLASSIFIERS else 1)
    dtype = str(rng.choice(["float64", "float64", "float32"]))
    A = _standard_columns(rng, n, d)
    X = _in_wild_units(rng, A).astype(dtype).astype(np.float64)
    y = _targets(rng, targets, A)
    weight = _weights(rng, y, targets)
    layout = str(rng.choice(LAYOUTS))
    if rng.random() < 0.12 and name != "HuberRegressor":
        kwargs["solver"] = str(rng.choice(["gd", "saga", "sdca"]))
    return Case(name, kwargs, X, y, weight, layout, dtype)


def _shape(rng: np.random.Generator, smallest: int) -> tuple[int, int]:
    if rng.random() < 0.06:  # too large to be finished to rounding in any case
        return ((30_000, 4), (3_000, 40), (600, 200))[rng.integers(3)]
    n = int(rng.choice([1, 2, 3, 5, 8, 12, 20, 40, 100, 300]))
    return max(n, smallest), int(rng.choice([1, 2, 3, 5, 8, 12, 30, 60]))


def _standard_columns(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Return columns of about mean 0 and deviation 1: normal, rarely other than 0, or skewed."""
    kind = rng.integers(4)
    if kind == 0:
        A = rng.normal(size=(n, d))
    elif kind == 1:
        A = rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.2)
    elif kind == 2:
        A = (rng.random((n, d)) < 0.3).astype(float)
    else:
        A = np.exp(rng.normal(size=(n, d)))
    if rng.random() < 0.3:
        A = A @ (np.eye(d) + rng.uniform(0, 3) * rng.normal(size=(d, d)) / np.sqrt(d))
    if d > 1 and rng.random() < 0.2:  # the same column twice, or one that is a sum
        A[:, -1] = A[:, 0] if rng.random() < 0.5 else A[:, :-1].sum(axis=1)
    if rng.random() < 0.2:
        A[:, rng.integers(d)] = rng.choice([0.0, 1.0])
    return A


def _in_wild_units(rng: np.random.Generator, A: np.ndarray) -> np.ndarray:
    d = A.shape[1]
    X = A.copy()
    if rng.random() < 0.25:
        X += 10.0 ** rng.uniform(0, 9, size=d) * (rng.random(d) < 0.5) * np.abs(A).max(axis=0)
    draw = rng.random()
    if draw < 0.25:
        X *= 10.0 ** rng.uniform(-12, 12, size=d)
    elif draw < 0.5:
        X *= 10.0 ** rng.uniform(-3, 3, size=d)
    elif draw < 0.6:
        X *= 10.0 ** rng.uniform(-12, 12)
    return X


def _targets(rng: np.random.Generator, kind: Any, A: np.ndarray) -> np.ndarray:
    n, d = A.shape
    std = A.std(axis=0)
    B = (A - A.mean(axis=0)) / np.where(std > 0, std, 1.0)
    n_outputs = kind if isinstance(kind, int) else 1
    raw = B @ rng.normal(size=(d, n_outputs)) / np.sqrt(d)
    raw += rng.choice([0.0, 0.1, 1.0, 5.0]) * rng.normal(size=raw.shape)
    if isinstance(kind, int):
        return _labels(rng, raw, kind)
    y = raw[:, 0]
    if kind == COUNTS:
        y = rng.poisson(np.exp(np.clip(y, -20, 8))).astype(float)
        y[rng.integers(n)] += 1.0
        return y
    if kind == POSITIVE:
        return np.exp(np.clip(y, -20, 20)) * 10.0 ** rng.choice([0, 0, -6, 6])
    y = y * 10.0 ** rng.choice([0, 0, -6, -3, 3, 6])
    return y + rng.choice([0.0, 0.0, 1.0, 1e3, 1e6]) * max(y.std(), 1e-3)


def _labels(rng: np.random.Generator, raw: np.ndarray, n_classes: int) -> np.ndarray:
    """Return labels, some of them rare; two classes have a row at least."""
    if n_classes == 1:
        share = rng.choice([0.5, 0.5, 0.8, 0.99])
        codes = (raw[:, 0] > np.quantile(raw[:, 0], share)).astype(int)
    else:
        codes = np.argmax(raw + np.log(rng.dirichlet(np.ones(n_classes)) + 1e-9), axis=1)
    if np.unique(codes).size < 2:
        codes[rng.integers(codes.shape[0])] = 1 - min(codes[0], 1)
    names = np.array(["a", "b", "c", "d", "e", "f"]) if rng.random() < 0.3 else np.arange(6) * 3 - 2
    return names[codes]


def _weights(rng: np.random.Generator, y: np.ndarray, kind: Any) -> np.ndarray | None:
    draw, n = rng.random(), y.shape[0]
    if draw < 0.5:
        return None
    weight = rng.uniform(0.2, 3.0, n)
    if draw < 0.6:
        weight *= 10.0 ** rng.choice([-10, -5, 5, 10])
    elif draw < 0.7:
        weight[rng.integers(n)] *= 10.0 ** rng.choice([4, 8])
    elif draw < 0.8:
        weight *= rng.random(n) < 0.7
        keep = np.unique(y, return_index=True)[1] if isinstance(kind, int) else [np.argmax(y)]
        weight[keep] = np.maximum(weight[keep], 0.5)
    elif draw < 0.9:
        weight = rng.integers(1, 4, n).astype(float)
    return weight


# -- the estimators' parameters --------------------------------------------------------------------


def _strength(rng: np.random.Generator, zero: float = 0.1) -> float:
    if rng.random() < zero:
        return 0.0
    low, high = ((-2, 1), (-6, 6))[rng.integers(2)]
    return float(f"{10.0 ** rng.uniform(low, high):.1e}")


def _C(rng: np.random.Generator) -> float:
    return _strength(rng, zero=0.0)


def _linear(rng: np.random.Generator) -> Any:
    return ({"positive": True} if rng.random() < 0.2 else {}), NUMBERS


def _ridge(rng: np.random.Generator) -> Any:
    return {"alpha": _strength(rng), **_linear(rng)[0]}, NUMBERS


def _lasso(rng: np.random.Generator) -> Any:
    return {"alpha": _strength(rng, zero=0.02), **_linear(rng)[0]}, NUMBERS


def _elastic_net(rng: np.random.Generator) -> Any:
    kwargs, kind = _lasso(rng)
    return {**kwargs, "l1_ratio": float(rng.choice([0.0, 0.1, 0.5, 0.9, 1.0]))}, kind


def _logistic(rng: np.random.Generator) -> Any:
    kwargs: dict[str, Any] = {"C": _C(rng)}
    if rng.random() < 0.4:
        kwargs["l1_ratio"] = float(rng.choice([0.3, 1.0]))
    return kwargs, int(rng.choice([1, 1, 3, 5]))


def _svc(rng: np.random.Generator) -> Any:
    kwargs: dict[str, Any] = {"C": _C(rng)}
    draw = rng.random()
    if draw < 0.5:
        kwargs["loss"] = "hinge"
    if 0.45 < draw < 0.65:
        kwargs["penalty"] = "l1"
    if rng.random() < 0.2:
        kwargs["intercept_scaling"] = float(rng.choice([0.1, 10.0, 1000.0]))
    return kwargs, int(rng.choice([1, 1, 3]))


def _svr(rng: np.random.Generator) -> Any:
    kwargs: dict[str, Any] = {"C": _C(rng), "epsilon": float(rng.choice([0.0, 0.1, 1.0]))}
    if rng.random() < 0.4:
        kwargs["loss"] = "squared_epsilon_insensitive"
    return kwargs, NUMBERS


def _huber(rng: np.random.Generator) -> Any:
    epsilon = float(rng.choice([1.01, 1.35, 2.0, 10.0]))
    return {"alpha": _strength(rng), "epsilon": epsilon}, NUMBERS


def _quantile(rng: np.random.Generator) -> Any:
    return {"alpha": _strength(rng), "quantile": float(rng.choice([0.5, 0.1, 0.9, 0.99]))}, NUMBERS


def _poisson(rng: np.random.Generator) -> Any:
    return {"alpha": _strength(rng)}, COUNTS


def _gamma(rng: np.random.Generator) -> Any:
    return {"alpha": _strength(rng)}, POSITIVE


def _tweedie(rng: np.random.Generator) -> Any:
    power = float(rng.choice([0.0, 1.0, 1.5, 1.9, 2.0, 3.0]))
    kwargs = {"alpha": _strength(rng), "power": power}
    if power == 0.0:
        return kwargs, NUMBERS
    return kwargs, (COUNTS if power < 2.0 else POSITIVE)


DRAWN = {
    "LinearRegression": _linear,
    "Ridge": _ridge,
    "Lasso": _lasso,
    "ElasticNet": _elastic_net,
    "LogisticRegression": _logistic,
    "SoftmaxRegression": _logistic,
    "LinearSVC": _svc,
    "LinearSVR": _svr,
    "HuberRegressor": _huber,
    "QuantileRegressor": _quantile,
    "PoissonRegressor": _poisson,
    "GammaRegressor": _gamma,
    "TweedieRegressor": _tweedie,
}
