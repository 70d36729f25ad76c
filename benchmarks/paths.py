"""Cross-validated paths beside scikit-learn, celer, skglm and adelie, at the same accuracy.

    python benchmarks/paths.py                          # every set that is there
    python benchmarks/paths.py --sets breast_cancer,wide --models LassoCV,LogisticRegressionCV
    python benchmarks/paths.py --folder data --repeats 3 --md table.md

Each peer has its best setting that reaches what is compared: of ``LassoCV`` and ``ElasticNetCV``
the worst relative suboptimality of the refitted model and of the path (``--tol``), of ``RidgeCV``
the alphas and the leave-one-out scores, of ``LogisticRegressionCV`` the worst suboptimality over
folds and strengths, relative to the objective or, where that is less, to a twentieth of the loss of
no model. There each solver of scikit-learn has the loosest ``tol`` with which it ends as close as
ours does; ``lbfgs`` as it is by default is a row as well, whatever it reaches: a score of an early
stop may lie on either side of the optimum's. Calls are taken in turns in one process, and the least
time of each counts. The ratio is the peer's time over ours: above 1 is slower than fastgd. Peers
that are not installed are left out.
"""

import argparse
import importlib.util
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_softmax
from sklearn import datasets, linear_model
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

import fastgd
from benchmarks import data, machine

MODELS = ("LogisticRegressionCV", "LassoCV", "ElasticNetCV", "RidgeCV")
CLASSES = ("breast_cancer", "digits", "nycflights_cls", "spamassassin")
NUMBERS = ("diamonds", "nycflights_reg", "wide")
SCALED = (*(f"{name}:scaled" for name in CLASSES[:3]),)  # sparse rows are unit rows already
SCALED_FOR_ALL = ("diamonds", "nycflights_reg")  # celer and skglm need columns of like scales
N_ALPHAS, FOLDS = 100, 5
ALPHAS = np.logspace(-3, 3, 25)
CS = np.logspace(-4, 4, 10)
TOLS = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)  # of scikit-learn's, the first is its default
LARGEST_HESSIAN = 3000  # parameters, up to which newton-cholesky is tried


class Peer(NamedTuple):
    """A way to fit; ``quality`` says of its result what is compared, more is better."""

    name: str
    fit: Callable[[Any, Any], Any]


def wide(n: int = 500, d: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Return a wide table whose columns are correlated, and targets that 50 of them make."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    for j in range(1, d):
        X[:, j] = 0.5 * X[:, j - 1] + np.sqrt(0.75) * X[:, j]
    coef = np.zeros(d)
    coef[rng.choice(d, 50, replace=False)] = rng.standard_normal(50)
    raw = X @ coef
    return np.asfortranarray(X), raw + raw.std() * rng.standard_normal(n)


def load(name: str, folder: Path | None) -> tuple[Any, np.ndarray]:
    """Return a set by its name; "name:scaled" has columns of unit variance."""
    name, _, how = name.partition(":")
    if name == "wide":
        X, y = wide()
    elif name == "digits":
        X, y = datasets.load_digits(return_X_y=True)
    elif name == "breast_cancer":
        X, y = datasets.load_breast_cancer(return_X_y=True)
    else:
        scaled = how == "scaled" or name in SCALED_FOR_ALL
        return data.load(name, folder, standardise=scaled, dtype=np.float64)
    return (StandardScaler().fit_transform(X) if how == "scaled" else X), y


# -- peers ----------------------------------------------------------------------------------------


def has(package: str) -> bool:
    """Tell whether a package is installed."""
    return importlib.util.find_spec(package) is not None


def peers_of(model: str, tol: float, X: Any, y: np.ndarray) -> Iterator[Peer]:
    """Yield ours, then the others."""
    if model == "LogisticRegressionCV":
        yield from _logistic(X, y)
    elif model == "RidgeCV":
        for name, kind in (("fastgd", fastgd.RidgeCV), ("sklearn", linear_model.RidgeCV)):
            yield Peer(name, lambda X, y, kind=kind: kind(ALPHAS).fit(X, y))
    else:
        yield from _l1(model, tol)


GRID = {
    "Cs": CS,
    "cv": FOLDS,
    "l1_ratios": (0.0,),
    "scoring": "accuracy",
    "use_legacy_attributes": False,
}


def _logistic(X: Any, y: np.ndarray) -> Iterator[Peer]:
    """Yield ours, scikit-learn's default, and each of its solvers where it is as close as ours."""
    theirs = linear_model.LogisticRegressionCV
    yield Peer("fastgd", lambda X, y: fastgd.LogisticRegressionCV(**GRID).fit(X, y))
    yield Peer("sklearn lbfgs, default", lambda X, y: theirs(**GRID).fit(X, y))
    ours = worst_distance(fastgd.LogisticRegressionCV(**GRID).fit(X, y), X, y)
    classes = np.unique(y).size
    n_parameters = X.shape[1] * (classes if classes > 2 else 1)
    for solver in ("lbfgs", "newton-cholesky"):
        if solver == "newton-cholesky" and n_parameters > LARGEST_HESSIAN:
            continue
        for tol in TOLS:
            how = {**GRID, "solver": solver, "tol": tol, "max_iter": 10_000}
            if worst_distance(theirs(**how).fit(X, y), X, y) <= ours:
                break
        yield Peer(f"sklearn {solver} tol={tol:g}", lambda X, y, how=how: theirs(**how).fit(X, y))


def objectives(found: Any, X: Any, y: np.ndarray) -> np.ndarray:
    """Return what is minimised, a mean over rows, of each fold and strength: (n_folds, n_Cs)."""
    coefs, codes = found.coefs_paths_[:, 0], np.unique(y, return_inverse=True)[1]
    values = np.empty(coefs.shape[:2])
    for f, (fit, _) in enumerate(StratifiedKFold(FOLDS).split(X, y)):
        rows, own = X[fit], np.arange(fit.size)
        for c, C in enumerate(CS):
            raw = np.asarray(rows @ coefs[f, c, :, :-1].T) + coefs[f, c, :, -1]
            raw = raw if raw.shape[1] > 1 else np.hstack([np.zeros_like(raw), raw])
            loss = -log_softmax(raw, axis=1)[own, codes[fit]].mean()
            values[f, c] = loss + 0.5 * np.sum(coefs[f, c, :, :-1] ** 2) / (C * fit.size)
    return values


def worst_distance(found: Any, X: Any, y: np.ndarray) -> float:
    """Return the largest distance from the least objective that is known, relative."""
    values, key = objectives(found, X, y), (X.shape, float(X[0].sum()), float(X[-1].sum()))
    if key not in BEST:
        BEST[key] = objectives(fastgd.LogisticRegressionCV(**GRID, tol=1e-8).fit(X, y), X, y)
    best = np.minimum(BEST[key], values)
    scale = np.maximum(best, 0.05 * np.log(np.unique(y).size))
    return float(np.max((values - best) / scale))


BEST: dict[Any, np.ndarray] = {}


def _l1(model: str, tol: float) -> Iterator[Peer]:
    how: dict[str, Any] = {"alphas": N_ALPHAS, "cv": FOLDS, "tol": tol, "max_iter": 100_000}
    share = {"l1_ratio": 0.5} if model == "ElasticNetCV" else {}
    kind = getattr(fastgd, model)
    yield Peer("fastgd", lambda X, y: kind(**how, **share).fit(X, y))
    theirs = getattr(linear_model, model)
    for n_jobs in (1, 2):
        yield Peer(
            f"sklearn n_jobs={n_jobs}",
            lambda X, y, n_jobs=n_jobs: theirs(**how, **share, n_jobs=n_jobs).fit(X, y),
        )
    if has("celer"):  # its CV classes do not go with scikit-learn 1.9
        yield Peer("celer", lambda X, y: _celer_path(X, y, share.get("l1_ratio", 1.0), tol))
    if has("skglm"):
        yield Peer("skglm", lambda X, y: _skglm_path(X, y, share.get("l1_ratio", 1.0), tol))
    if has("adelie"):
        yield Peer("adelie", lambda X, y: _adelie_path(X, y, share.get("l1_ratio", 1.0), tol))


def _folds(X: Any) -> Iterator[tuple[Any, Any]]:
    from sklearn.model_selection import KFold

    yield from KFold(FOLDS).split(X)


def _grid(X: Any, y: np.ndarray, l1_ratio: float) -> np.ndarray:
    largest = np.max(np.abs((X - X.mean(axis=0)).T @ (y - y.mean()))) / len(y) / l1_ratio
    return np.geomspace(largest, largest * 1e-3, N_ALPHAS)


class Found(NamedTuple):
    """What a path of our own making has chosen."""

    alpha_: float
    coef_: np.ndarray
    intercept_: float


def _by_paths(X: Any, y: np.ndarray, l1_ratio: float, path: Callable[..., np.ndarray]) -> Found:
    """Choose by the folds of a library that has paths only; it is handed centred columns."""
    alphas, errors = _grid(X, y, l1_ratio), []
    for fit, held_out in _folds(X):
        mean, level = X[fit].mean(axis=0), y[fit].mean()
        coefs = path(np.asfortranarray(X[fit] - mean), y[fit] - level, alphas)
        raw = (X[held_out] - mean) @ coefs + level
        errors.append(np.mean((raw - y[held_out][:, None]) ** 2, axis=0))
    best = int(np.argmin(np.mean(errors, axis=0)))
    mean, level = X.mean(axis=0), y.mean()
    coef = path(np.asfortranarray(X - mean), y - level, alphas[: best + 1])[:, -1]
    return Found(float(alphas[best]), coef, float(level - mean @ coef))


def _celer_path(X: Any, y: np.ndarray, l1_ratio: float, tol: float) -> Found:
    """Take celer's working sets down the path."""
    import celer

    def path(X: Any, y: np.ndarray, alphas: np.ndarray) -> np.ndarray:
        how = {"alphas": alphas, "tol": tol, "l1_ratio": l1_ratio}
        return np.asarray(celer.celer_path(X, y, "lasso", **how)[1])

    return _by_paths(X, y, l1_ratio, path)


def _skglm_path(X: Any, y: np.ndarray, l1_ratio: float, tol: float) -> Found:
    """Take skglm's working sets down the path; its tolerance is absolute, of the subgradient."""
    from skglm.datafits import Quadratic
    from skglm.penalties import L1, L1_plus_L2
    from skglm.solvers import AndersonCD

    def path(X: Any, y: np.ndarray, alphas: np.ndarray) -> np.ndarray:
        penalty = L1(1.0) if l1_ratio == 1.0 else L1_plus_L2(1.0, l1_ratio)
        solver = AndersonCD(tol=tol * alphas[-1], fit_intercept=False, warm_start=True)
        return solver.path(X, y, Quadratic(), penalty, alphas)[1]

    return _by_paths(X, y, l1_ratio, path)


def _adelie_path(X: Any, y: np.ndarray, l1_ratio: float, tol: float) -> Found:
    import adelie

    def path(X: Any, y: np.ndarray, alphas: np.ndarray) -> np.ndarray:
        state = adelie.grpnet(
            X=X,
            glm=adelie.glm.gaussian(y=y),
            alpha=l1_ratio,
            lmda_path=alphas,
            intercept=False,
            tol=tol * 1e-3,
            early_exit=False,
            progress_bar=False,
            n_threads=os.cpu_count() or 1,
        )
        return np.asarray(state.betas.todense()).T

    return _by_paths(X, y, l1_ratio, path)


# -- what is compared -----------------------------------------------------------------------------


def quality(model: str, found: Any, X: Any, y: np.ndarray) -> str:
    """Return what a result is judged by."""
    if model == "LogisticRegressionCV":
        score, distance = found.scores_.mean(axis=0).max(), worst_distance(found, X, y)
        return f"C {found.C_:.3g}, score {score:.4f}, distance {distance:.1e}"
    if model == "RidgeCV":
        return f"alpha {found.alpha_:.3g}, score {found.best_score_:.6g}"
    share = 0.5 if model == "ElasticNetCV" else 1.0
    gap = relative_gap(found, X, y, found.alpha_ * share, found.alpha_ * (1.0 - share))
    return f"alpha {found.alpha_:.3g}, gap {gap:.1e}"


def relative_gap(found: Any, X: Any, y: np.ndarray, l1: float, l2: float) -> float:
    """Return the refitted model's duality gap over its objective."""
    n, w = len(y), np.asarray(found.coef_, np.float64)
    residual = y - X @ w - found.intercept_
    residual -= residual.mean()
    target = y - y.mean()
    slope = X.T @ residual / n - l2 * w
    share = min(1.0, l1 / max(np.abs(slope).max(), 1e-300))
    square = residual @ residual / n + l2 * (w @ w)
    objective = 0.5 * square + l1 * np.abs(w).sum()
    dual = share * (residual @ target) / n - 0.5 * share**2 * square
    return float((objective - dual) / objective)


def measure(model: str, name: str, folder: Path | None, repeats: int, tol: float) -> list[str]:
    """Return a table's rows for a model and a set."""
    X, y = load(name, folder)
    peers, rows = list(peers_of(model, tol, X, y)), []
    times, results = {peer.name: [] for peer in peers}, {}
    for turn in range(repeats + 1):
        for peer in peers:
            started = time.perf_counter()
            try:
                results[peer.name] = peer.fit(X, y)
            except Exception as error:  # a peer that fails on a set is a row of the table
                results[peer.name] = error
            if turn > 0:  # the first has compiled
                times[peer.name].append(time.perf_counter() - started)
    ours = min(times[peers[0].name])
    for peer in peers:
        took, found = min(times[peer.name]), results[peer.name]
        said = repr(found)[:60] if isinstance(found, Exception) else quality(model, found, X, y)
        rows.append(f"| {model} | {name} | {peer.name} | {took:.3f} | {took / ours:.2f} | {said} |")
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", default=",".join((*CLASSES, *SCALED, *NUMBERS)))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--folder", type=Path, help="of NAME.npz files, in place of the sources")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tol", type=float, default=1e-4)
    parser.add_argument("--md", type=Path, help="write the table there as well")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    lines = [
        machine.describe("celer", "skglm", "adelie"),
        "| model | set | library | seconds | ratio | result |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for model in asked.models.split(","):
        is_of_classes = model == "LogisticRegressionCV"
        for name in asked.sets.split(","):
            if (name.partition(":")[0] in CLASSES) is not is_of_classes:
                continue
            try:
                rows = measure(model, name, asked.folder, asked.repeats, asked.tol)
            except data.Unavailable as error:
                rows = [f"| {model} | {name} | | | | {error} |"]
            print("\n".join(rows), flush=True)
            lines += rows
    if asked.md is not None:
        asked.md.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
