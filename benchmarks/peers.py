"""Time to suboptimality: fastgd and the solvers that a user can install, on the same data.

    python -m pip install ".[bench]"
    python benchmarks/peers.py nycflights_cls breast_cancer      # logistic regression, raw columns
    python benchmarks/peers.py --task lasso --std nycflights_reg
    python benchmarks/peers.py --all-offline --plot peers.png --json peers.json --markdown
    python benchmarks/peers.py --data FOLDER mine                # FOLDER/mine.npz, see data.py

Every solver minimises the same objective, at several of its own tolerances or numbers of passes. A
line tells the wall time of the whole ``fit``, and the relative suboptimality (f - f*) / |f*| of
what it returned: f is reckoned here, in float64 and from the original X, and f* is the lowest that
any of them reached, in this run or in those that ``--fstar FILE`` remembers. The summary tells, for
each target, the fastest peer in hindsight, at its best setting, beside fastgd's time; a ratio
above 1 means that fastgd is faster.

The first fit of each solver is a small one that does not count, so that nobody's imports and caches
do; solvers that compile are also fitted once to all rows. Threads are as many as the machine has
cores unless ``--threads`` says otherwise. Every solver is given the same numbers as float32 and as
float64, and the better counts: some that reckon in X's dtype are fast in float32, others get
nowhere. Solvers that are not installed, and data that they do not
take, are left out with a line that says so.

``data.py`` has the data sets, ``TASKS`` the objectives. Strengths of penalties: scikit-learn's
default C = 1 or alpha = 1 where the loss is a sum over rows; alpha = 1e-3 for poisson and gamma;
1e-4 for huber; and for l1, a hundredth of the alpha that leaves no coefficient if columns are
standardised, which leaves some zeros and some not.
"""

import argparse
import contextlib
import importlib
import importlib.metadata
import json
import math
import os
import platform
import statistics
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.special import logsumexp, xlogy
from sklearn import linear_model, svm
from threadpoolctl import threadpool_limits

import fastgd

if __package__:
    from . import data
else:  # run as a file
    import data

TARGETS = (1e-2, 1e-3, 1e-4, 1e-6)
OURS = "fastgd"
DTYPES = {"float32": ("float32",), "float64": ("float64",), "both": ("float32", "float64")}
SHORT = 0.5  # seconds: fits under this are repeated
BLOCK = 2**22  # numbers of a dense X that are read as float64 at once

# ---------------------------------------------------------------------------------- objectives

Loss = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Objective(NamedTuple):
    """Mean of loss(y, raw) + l1 |W|_1 + l2/2 |W|^2, and l2/2 of the intercept's square if asked."""

    loss: Loss
    l1: float = 0.0
    l2: float = 0.0
    intercept_too: bool = False

    def __call__(self, X: Any, y: np.ndarray, model: Any) -> float:
        """Return the objective of a fitted model."""
        W, b = coefficients(model, X.shape[1])
        squares = np.sum(W * W) + (np.sum(b * b) if self.intercept_too else 0.0)
        penalty = self.l1 * np.sum(np.abs(W)) + 0.5 * self.l2 * squares
        return mean_loss(self.loss, X, y, W, b) + float(penalty)


def coefficients(model: Any, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Return W of shape (K, n_features) and b of shape (K,), in float64."""
    W = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))
    b = np.ravel(np.asarray(model.intercept_, dtype=np.float64))
    return W[:, :n_features], b[: len(W)]  # Snap ML may append the intercept to coef_


def mean_loss(loss: Loss, X: Any, y: np.ndarray, W: np.ndarray, b: np.ndarray) -> float:
    """Return the mean over the rows, a block of them at a time."""
    n_rows = X.shape[0]
    step = max(1, BLOCK // X.shape[1]) if not sp.issparse(X) else 65_536
    total = 0.0
    for start in range(0, n_rows, step):
        rows = slice(start, start + step)
        raw = np.asarray(X[rows] @ W.T) + b
        with np.errstate(over="ignore", invalid="ignore"):  # a diverged model is reported as such
            total += float(np.sum(loss(y[rows], raw if len(W) > 1 else raw[:, 0])))
    return total / n_rows


def log_loss(y: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Return -log of the probability of y: of two classes if raw is 1d, else by the softmax."""
    if raw.ndim == 1:
        return np.logaddexp(0.0, raw) - y * raw
    return logsumexp(raw, axis=1) - raw[np.arange(len(y)), y]


def squared_error(y: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Return half the square of the residual."""
    return 0.5 * (y - raw) ** 2


def huber_loss(y: np.ndarray, raw: np.ndarray, sigma: float, epsilon: float) -> np.ndarray:
    """Return scikit-learn's sigma + H((raw - y) / sigma) sigma, a function of sigma, too."""
    z = np.abs(raw - y) / sigma
    return sigma * (1.0 + np.where(z < epsilon, z * z, 2.0 * epsilon * z - epsilon**2))


def half_poisson_deviance(y: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Return half the deviance, whose least value is 0."""
    return np.exp(raw) - y * raw + xlogy(y, y) - y


def half_gamma_deviance(y: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Return half the deviance, whose least value is 0."""
    return y * np.exp(-raw) + raw - np.log(y) - 1.0


def pinball(y: np.ndarray, raw: np.ndarray, quantile: float) -> np.ndarray:
    """Return quantile times what y is above raw, or 1 - quantile times what it is below."""
    return np.maximum(quantile * (y - raw), (quantile - 1.0) * (y - raw))


def hinge(y: np.ndarray, raw: np.ndarray, power: int) -> np.ndarray:
    """Return max(0, 1 - raw) to a power, with the sign of raw turned for class 0."""
    return np.maximum(0.0, 1.0 - (2 * y - 1) * raw) ** power


def epsilon_insensitive(y: np.ndarray, raw: np.ndarray, epsilon: float, power: int) -> np.ndarray:
    """Return by how much the residual exceeds epsilon, to a power."""
    return np.maximum(0.0, np.abs(y - raw) - epsilon) ** power


def huber_objective(X: Any, y: np.ndarray, model: Any, epsilon: float, alpha: float) -> float:
    """Return scikit-learn's objective over coefficients and scale, divided by the rows."""
    loss = partial(huber_loss, sigma=float(model.scale_), epsilon=epsilon)
    return Objective(loss, l2=2.0 * alpha / X.shape[0])(X, y, model)


# ---------------------------------------------------------------------------------- contenders


class Contender(NamedTuple):
    """A solver, its settings from loose to tight, and how one of them becomes an estimator.

    A setting is what is given to the constructor, such as ``{"tol": 1e-3}``.
    """

    name: str
    settings: Sequence[dict[str, Any]]
    make: Callable[..., Any]
    compiles: bool = False


class Problem(NamedTuple):
    """What is minimised, on which data, and by whom. The text tells problems apart."""

    text: str
    X: Any
    y: np.ndarray
    objective: Callable[[Any, np.ndarray, Any], float]
    contenders: list[Contender]


OUR_TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-6)
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8)
# Where a gradient has the units of raw columns, or progress is slow, a tolerance says little about
# when to stop, and a number of passes more.
EPOCHS = (2, 5, 10, 20, 50, 100, 200)
ITERATIONS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
NEWTON_LIMIT = 3000  # coefficients: a Hessian of them is 72 MB
PROGRAM_LIMIT = 20_000  # rows: a linear program takes minutes beyond


def solver(
    name: str,
    word: str,
    values: Sequence[Any],
    estimator: Any,
    compiles: bool = False,
    **fixed: Any,
) -> Contender:
    """Return a contender whose settings are values of one word of an estimator's constructor."""
    settings = [{word: value} for value in values]
    return Contender(name, settings, partial(estimator, **fixed), compiles)


def direct(name: str, estimator: Any, **fixed: Any) -> Contender:
    """Return a contender that has nothing to set."""
    return Contender(name, [{}], partial(estimator, **fixed))


def ours(name: str, **fixed: Any) -> list[Contender]:
    """Return fastgd's estimator, if there is one of that name."""
    estimator = getattr(fastgd, name, None)
    if estimator is None:
        print(f"fastgd.{name} does not exist: left out")
        return []
    return [solver(OURS, "tol", OUR_TOLERANCES, estimator, compiles=True, **fixed)]


def installed(name: str) -> Any:
    """Return a module, or None and a line if it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed: left out")
        return None


def glum(X: Any, **fixed: Any) -> list[Contender]:
    """Return glum's generalised linear model, where it can hold a Hessian."""
    module = installed("glum") if X.shape[1] < NEWTON_LIMIT else None
    if module is None:
        return []
    model = module.GeneralizedLinearRegressor
    return [solver("glum", "gradient_tol", TOLERANCES, model, max_iter=200, **fixed)]


def logistic(X: Any, y: np.ndarray) -> Problem:
    """Logistic regression, or softmax, with C = 1 and a free intercept."""
    n_rows, n_classes, model = X.shape[0], int(y.max()) + 1, linear_model.LogisticRegression
    found = ours("LogisticRegression", C=1.0)
    found.append(solver("sk-lbfgs", "max_iter", ITERATIONS, model, tol=1e-12))
    if X.shape[1] * n_classes < NEWTON_LIMIT:
        newton = {"solver": "newton-cholesky", "max_iter": 200}
        found.append(solver("sk-newton-cholesky", "tol", TOLERANCES, model, **newton))
    for name in ("saga", "sag"):
        fixed = {"solver": name, "tol": 1e-12, "random_state": 0}
        found.append(solver(f"sk-{name}", "max_iter", EPOCHS, model, **fixed))
    if n_classes == 2:
        found += _binary_logistic(X)
    text = f"logistic, {n_classes} classes, C 1"
    return Problem(text, X, y, Objective(log_loss, l2=1.0 / n_rows), found)


def _binary_logistic(X: Any) -> list[Contender]:
    alpha, model = 1.0 / X.shape[0], linear_model.LogisticRegression
    liblinear = {"solver": "liblinear", "random_state": 0}
    sgd = {"loss": "log_loss", "alpha": alpha, "random_state": 0}  # of 1000 epochs, by default
    found = [
        solver("sk-liblinear", "tol", TOLERANCES, model, **liblinear),
        solver("sk-SGD", "max_iter", (5, 20, 100, 1000), linear_model.SGDClassifier, **sgd),
        *glum(X, family="binomial", alpha=alpha, l1_ratio=0),
    ]
    snapml = installed("snapml")
    if snapml is not None:
        fixed = {"regularizer": 1.0, "fit_intercept": True, "dual": True, "max_iter": 2000}
        fixed["n_jobs"] = int(os.environ.get("OMP_NUM_THREADS", 1))  # what main has set
        found.append(solver("snapml", "tol", TOLERANCES, snapml.LogisticRegression, **fixed))
    return found


def ridge(X: Any, y: np.ndarray) -> Problem:
    """Least squares with alpha = 1."""
    alpha, n_rows, model = 1.0, X.shape[0], linear_model.Ridge
    found = ours("Ridge", alpha=alpha)
    for name in () if sp.issparse(X) else ("cholesky", "svd"):
        found.append(direct(f"sk-{name}", model, alpha=alpha, solver=name))
    for name in ("lsqr", "sparse_cg"):
        fixed = {"alpha": alpha, "solver": name, "max_iter": 5000}
        found.append(solver(f"sk-{name}", "tol", TOLERANCES, model, **fixed))
    for name in ("sag", "saga"):
        fixed = {"alpha": alpha, "solver": name, "tol": 1e-12, "random_state": 0}
        found.append(solver(f"sk-{name}", "max_iter", EPOCHS, model, **fixed))
    found += glum(X, family="normal", alpha=alpha / n_rows, l1_ratio=0)
    objective = Objective(squared_error, l2=alpha / n_rows)
    return Problem(f"ridge, alpha {alpha:g}", X, y, objective, found)


def lasso(X: Any, y: np.ndarray) -> Problem:
    """Least squares with a hundredth of the l1 penalty that leaves no coefficient."""
    alpha = 0.01 * greatest_alpha(X, y - np.mean(y, dtype=np.float64))
    found = ours("Lasso", alpha=alpha)
    found += _coordinate_descent("Lasso", X, alpha=alpha)
    found += glum(X, family="normal", alpha=alpha, l1_ratio=1)
    return Problem(f"lasso, alpha {alpha:.6g}", X, y, Objective(squared_error, l1=alpha), found)


def elasticnet(X: Any, y: np.ndarray) -> Problem:
    """Least squares with l1_ratio = 0.5, and the l1 part as for the lasso."""
    ratio = 0.5
    alpha = 0.01 * greatest_alpha(X, y - np.mean(y, dtype=np.float64)) / ratio
    found = ours("ElasticNet", alpha=alpha, l1_ratio=ratio)
    found += _coordinate_descent("ElasticNet", X, alpha=alpha, l1_ratio=ratio)
    found += glum(X, family="normal", alpha=alpha, l1_ratio=ratio)
    objective = Objective(squared_error, l1=alpha * ratio, l2=alpha * (1.0 - ratio))
    return Problem(f"elastic net, alpha {alpha:.6g}, l1_ratio 0.5", X, y, objective, found)


def _coordinate_descent(name: str, X: Any, **fixed: Any) -> list[Contender]:
    """Return scikit-learn's solver, with a Gram matrix and without, celer's and skglm's."""
    theirs = getattr(linear_model, name)
    found = [solver("sk-cd", "tol", TOLERANCES, theirs, **fixed)]
    if X.shape[1] < NEWTON_LIMIT and not sp.issparse(X):
        gram = {"precompute": True, "max_iter": 100_000}
        found.append(solver("sk-cd-gram", "tol", TOLERANCES, theirs, **gram, **fixed))
    for module in map(installed, ("celer", "skglm")):
        if module is not None:
            estimator, limits = getattr(module, name), {"max_epochs": 1000, "compiles": True}
            found.append(solver(module.__name__, "tol", TOLERANCES, estimator, **limits, **fixed))
    return found


def greatest_alpha(X: Any, slopes: np.ndarray) -> float:
    """Return the l1 penalty that leaves no coefficient, were the columns of X standardised.

    The slopes are those of the loss where all coefficients are zero; their mean is zero, so that
    the columns need not be centred.
    """
    n_rows = X.shape[0]
    slopes = slopes - np.mean(slopes)
    products = np.abs(np.asarray(X.T @ slopes)) / n_rows
    if sp.issparse(X):
        variances = np.asarray(X.multiply(X).mean(axis=0)).ravel()
        variances -= np.asarray(X.mean(axis=0)).ravel() ** 2
    else:
        variances = X.var(axis=0, dtype=np.float64)
    varying = variances > 1e-12 * np.max(variances)
    return float(np.max(products[varying] / np.sqrt(variances[varying])))


def huber(X: Any, y: np.ndarray) -> Problem:
    """Huber's loss with a scale that is fitted, too: scikit-learn's objective and defaults."""
    alpha, epsilon, model = 1e-4, 1.35, linear_model.HuberRegressor
    fixed = {"alpha": alpha, "epsilon": epsilon}
    found = ours("HuberRegressor", **fixed)
    found.append(solver("sk-lbfgs", "max_iter", ITERATIONS, model, tol=1e-12, **fixed))
    objective = partial(huber_objective, epsilon=epsilon, alpha=alpha)
    return Problem(f"huber, epsilon {epsilon}, alpha {alpha:g}", X, y, objective, found)


def poisson(X: Any, y: np.ndarray) -> Problem:
    """Poisson regression with alpha = 1e-3; numbers below zero are taken for zero."""
    return _log_link("poisson", X, np.maximum(y, 0), half_poisson_deviance)


def gamma(X: Any, y: np.ndarray) -> Problem:
    """Gamma regression with alpha = 1e-3; where numbers fall below 1, their least becomes 1."""
    return _log_link("gamma", X, y - min(float(y.min()) - 1.0, 0.0), half_gamma_deviance)


def _log_link(family: str, X: Any, y: np.ndarray, loss: Loss) -> Problem:
    alpha, name = 1e-3, f"{family.capitalize()}Regressor"
    model = partial(getattr(linear_model, name), alpha=alpha)
    found = ours(name, alpha=alpha)
    found.append(solver("sk-lbfgs", "max_iter", ITERATIONS, model, tol=1e-12))
    if X.shape[1] < NEWTON_LIMIT:
        newton = {"solver": "newton-cholesky", "max_iter": 200}
        found.append(solver("sk-newton-cholesky", "tol", TOLERANCES, model, **newton))
    found += glum(X, family=family, link="log", alpha=alpha, l1_ratio=0)
    text = f"{family}, alpha {alpha:g}"
    return Problem(text, X, np.asarray(y, X.dtype), Objective(loss, l2=alpha), found)


def quantile(X: Any, y: np.ndarray) -> Problem:
    """The quantile 0.8 with a hundredth of the l1 penalty that leaves no coefficient."""
    level, model = 0.8, linear_model.QuantileRegressor
    alpha = 0.01 * greatest_alpha(X, level - (y <= np.quantile(y, level)))
    fixed = {"quantile": level, "alpha": alpha}
    found = ours("QuantileRegressor", **fixed)
    if X.shape[0] <= PROGRAM_LIMIT:
        for name in ("highs", "highs-ipm"):
            found.append(direct(f"sk-{name}", model, solver=name, **fixed))
    else:
        print(f"scikit-learn's quantile regression has more than {PROGRAM_LIMIT} rows: left out")
    objective = Objective(partial(pinball, quantile=level), l1=alpha)
    return Problem(f"quantile {level}, alpha {alpha:.6g}", X, y, objective, found)


def linear_svc(X: Any, y: np.ndarray, loss: str = "squared_hinge") -> Problem:
    """A linear SVM with C = 1; of more than two classes, the largest against the rest.

    The intercept is penalised, as LIBLINEAR does it with ``intercept_scaling=1``.
    """
    if y.max() > 1:
        y = (y == np.argmax(np.bincount(y))).astype(y.dtype)
    duals = (True, False) if loss == "squared_hinge" else (True,)
    found = ours("LinearSVC", loss=loss) + _liblinear(svm.LinearSVC, duals, loss=loss)
    penalty = {"l2": 1.0 / X.shape[0], "intercept_too": True}
    objective = Objective(partial(hinge, power=1 + (loss == "squared_hinge")), **penalty)
    return Problem(f"linear SVM, {loss}, C 1", X, y, objective, found)


def linear_svr(X: Any, y: np.ndarray, loss: str = "epsilon_insensitive") -> Problem:
    """A linear SVM of numbers with C = 1 and epsilon a tenth of their standard deviation."""
    epsilon = 0.1 * float(np.std(y, dtype=np.float64))
    fixed, squared = {"loss": loss, "epsilon": epsilon}, loss.startswith("squared")
    duals = (True, False) if squared else (True,)
    found = ours("LinearSVR", **fixed) + _liblinear(svm.LinearSVR, duals, **fixed)
    of_residuals = partial(epsilon_insensitive, epsilon=epsilon, power=1 + squared)
    objective = Objective(of_residuals, l2=1.0 / X.shape[0], intercept_too=True)
    return Problem(f"linear SVR, {loss}, C 1, epsilon {epsilon:.6g}", X, y, objective, found)


def _liblinear(model: Any, duals: Sequence[bool], **fixed: Any) -> list[Contender]:
    """Return LIBLINEAR's solvers; ``dual="auto"`` is one of them, whichever the data suggest.

    The dual one is stopped by its epochs: on raw columns it may reach no tolerance at all.
    """
    found = []
    if True in duals:
        dual = {"dual": True, "tol": 1e-12, "random_state": 0}
        found.append(solver("sk-dual", "max_iter", ITERATIONS, model, **dual, **fixed))
    if False in duals:
        found.append(solver("sk-primal", "tol", TOLERANCES, model, dual=False, **fixed))
    return found


class Task(NamedTuple):
    """The kind of target that a task needs, and how it becomes a problem."""

    kind: str
    problem: Callable[[Any, np.ndarray], Problem]


TASKS = {
    "logistic": Task("classes", logistic),
    "ridge": Task("numbers", ridge),
    "lasso": Task("numbers", lasso),
    "elasticnet": Task("numbers", elasticnet),
    "huber": Task("numbers", huber),
    "poisson": Task("numbers", poisson),
    "gamma": Task("numbers", gamma),
    "quantile": Task("numbers", quantile),
    "linear_svc": Task("classes", linear_svc),
    "linear_svc_hinge": Task("classes", partial(linear_svc, loss="hinge")),
    "linear_svr": Task("numbers", linear_svr),
    "linear_svr_squared": Task("numbers", partial(linear_svr, loss="squared_epsilon_insensitive")),
}

# -------------------------------------------------------------------------------------- timing


class Row(NamedTuple):
    """What a solver took and reached at one of its settings."""

    contender: str
    dtype: str
    setting: str
    seconds: float
    objective: float


class Result(NamedTuple):
    """All rows of a problem, and the lowest objective that is known of it."""

    name: str
    text: str
    rows: list[Row]
    lowest: float

    def suboptimality(self, row: Row) -> float:
        """Return (f - f*) / |f*|."""
        return (row.objective - self.lowest) / max(abs(self.lowest), np.finfo(float).tiny)

    def fastest(self, target: float, ours: bool) -> Row | None:
        """Return the fastest row of fastgd's, or of the peers', that is within a target."""
        rows = [r for r in self.rows if (r.contender == OURS) == ours]
        within = [row for row in rows if self.suboptimality(row) <= target]
        return min(within, key=lambda row: row.seconds, default=None)


def rows_of(problem: Problem, options: argparse.Namespace) -> Iterator[Row]:
    """Measure every contender that is wanted."""
    for contender in problem.contenders:
        wanted = not options.only or contender.name in options.only
        if wanted and contender.name not in options.skip:
            for dtype in DTYPES[options.dtype]:
                yield from race(contender, converted(problem, dtype), options)


def converted(problem: Problem, dtype: str) -> Problem:
    """Return the same problem for solvers that shall be given, and reckon in, another dtype."""
    X, y = problem.X, problem.y
    if data.kind_of(y) == "numbers":
        y = y.astype(dtype, copy=False)
    return problem._replace(X=X.astype(dtype, copy=False), y=y)


def race(contender: Contender, problem: Problem, options: argparse.Namespace) -> Iterator[Row]:
    """Measure a contender at one setting after another, until one takes too long."""
    warm_up(contender, problem)
    for setting in contender.settings:
        try:
            row = measure(contender, setting, problem, options.repeat)
        except Exception as error:  # a peer's own: it says so, and the others go on
            print(
                f"  {contender.name} ({told_setting(setting)}, {problem.X.dtype}) failed: {error!r}"
            )
            return
        if options.verbose:
            print(f"{told(row)}: {row.objective:.12g}", file=sys.stderr, flush=True)
        if math.isfinite(row.objective):
            yield row
        else:
            print(f"  {told(row)}: diverged")
        if row.seconds > options.cap:
            return


def warm_up(contender: Contender, problem: Problem) -> None:
    """Fit a few rows of each class, and, if the contender compiles, once all of them."""
    X, y = problem.X, problem.y
    if data.kind_of(y) == "classes":
        each = max(2, 200 // (int(y.max()) + 1))
        few = np.sort(np.concatenate([np.flatnonzero(y == k)[:each] for k in np.unique(y)]))
    else:
        few = np.arange(min(200, len(y)))
    # So few rows may be too few for a solver: what it makes of all of them counts.
    with contextlib.suppress(Exception):
        timed_fit(contender, contender.settings[0], X[few], y[few])
        if contender.compiles:
            timed_fit(contender, contender.settings[0], X, y)


def measure(
    contender: Contender, setting: dict[str, Any], problem: Problem, repeat: int | None
) -> Row:
    """Return the median time and objective of some fits: three short ones, or a long one."""
    X, y = problem.X, problem.y
    seconds, objectives = [], []
    while not seconds or len(seconds) < (repeat or (3 if seconds[0] < SHORT else 1)):
        taken, model = timed_fit(contender, setting, X, y)
        seconds.append(taken)
        objectives.append(problem.objective(X, y, model))
    middle = statistics.median(seconds), statistics.median(objectives)
    return Row(contender.name, str(X.dtype), told_setting(setting), *middle)


def told_setting(setting: dict[str, Any]) -> str:
    """Return a setting as it is written in a call."""
    return ", ".join(f"{word}={value}" for word, value in setting.items()) or "default"


def timed_fit(
    contender: Contender, setting: dict[str, Any], X: Any, y: np.ndarray
) -> tuple[float, Any]:
    """Return the time of a whole fit, and the model."""
    model = contender.make(**setting)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a loose tolerance was not reached, above all
        started = time.perf_counter()
        model.fit(X, y)
        return time.perf_counter() - started, model


class Lowest:
    """The lowest objectives that any run reached, kept in a file if there is one."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.known: dict[str, float] = {}
        if path is not None and path.exists():
            self.known = json.loads(path.read_text(encoding="utf-8"))

    def update(self, problem: Problem, rows: Sequence[Row]) -> float:
        """Return the lowest objective of a problem, now that these rows are known, too."""
        key = f"{problem.text}, {fingerprint(problem)}"
        values = [row.objective for row in rows] + [self.known.get(key, math.inf)]
        self.known[key] = min(values)
        if self.path is not None:
            try:
                self.path.write_text(json.dumps(self.known, indent=1) + "\n", encoding="utf-8")
            except OSError as error:
                print(f"f* is not kept: {error}")
                self.path = None
        return self.known[key]


def fingerprint(problem: Problem) -> str:
    """Return the size of the data and a checksum, so that f* is never that of other numbers."""
    X, y = problem.X, problem.y
    arrays = (X.data, X.indices, X.indptr) if sp.issparse(X) else (X,)
    digest = 0
    for array in (*arrays, y):
        digest = zlib.crc32(np.ascontiguousarray(array), digest)
    return f"{X.shape[0]} x {X.shape[1]}, {digest:08x}"


# ------------------------------------------------------------------------------------- telling


class Verdict(NamedTuple):
    """The fastest peer in hindsight, and fastgd, for one target on one data set."""

    target: float
    peer: Row | None
    ours: Row | None

    @property
    def ratio(self) -> float | None:
        """How many times as long the peer took."""
        return self.peer.seconds / self.ours.seconds if self.peer and self.ours else None


def verdicts(result: Result) -> list[Verdict]:
    """Return what a result says about each target."""
    return [Verdict(t, result.fastest(t, False), result.fastest(t, True)) for t in TARGETS]


def told(row: Row | None) -> str:
    """Return a row in words."""
    if row is None:
        return "not reached"
    return f"{row.contender} ({row.setting}, {row.dtype}) {row.seconds:.4f} s"


def print_result(result: Result) -> None:
    """Print every row, and the summary of the targets."""
    for row in result.rows:
        reached = f"{row.seconds:10.4f} s  {result.suboptimality(row):9.2e}"
        print(f"  {row.contender:19s} {row.dtype:8s} {row.setting:20s}{reached}")
    for verdict in verdicts(result):
        line = f"  within {verdict.target:.0e}: peers {told(verdict.peer)}"
        ratio = f"; ratio {verdict.ratio:.2f}" if verdict.ratio else ""
        print(f"{line}; ours {told(verdict.ours)}{ratio}", flush=True)
    doubt = lonely(result)
    if doubt:
        print(doubt)


def lonely(result: Result) -> str:
    """Return a caution if a single solver knows how low the objective falls."""
    best: dict[str, float] = {}
    for row in result.rows:
        value = result.suboptimality(row)
        best[row.contender] = min(value, best.get(row.contender, math.inf))
    near = [name for name, value in best.items() if value <= TARGETS[-1] / 10]
    if len(near) > 1:
        return ""
    who = f"only {near[0]}" if near else "no solver of this run"
    return f"  caution: {who} came within {TARGETS[-1] / 10:.0e} of f*, which may lie lower still"


def overall(results: Sequence[Result], target: float) -> str:
    """Return the mean over the data sets, and the worst of them."""
    pairs = [next(v for v in verdicts(r) if v.target == target) for r in results]
    ratios = [pair.ratio for pair in pairs if pair.ratio]
    alone = sum(p.ours is not None and p.peer is None for p in pairs)
    beaten = sum(p.ours is None and p.peer is not None for p in pairs)
    line = f"within {target:.0e}: "
    if ratios:
        mean = statistics.geometric_mean(ratios)
        line += f"geometric mean {mean:.2f}, worst {min(ratios):.2f} "
    return (
        f"{line}({len(ratios)} of {len(pairs)} sets; {OURS} alone {alone}, a peer alone {beaten})"
    )


def markdown(results: Sequence[Result]) -> str:
    """Return the summary as a table."""
    head = ("data", "within", "fastest peer", "set to", "seconds", OURS, "ratio")
    lines = [head, ("---",) * len(head)]
    for result in results:
        for target, peer, us in verdicts(result):
            ratio = f"{peer.seconds / us.seconds:.2f}" if peer and us else ""
            theirs = ("none", "", "")
            if peer:
                theirs = (peer.contender, f"{peer.setting}, {peer.dtype}", f"{peer.seconds:.4f}")
            mine = f"{us.seconds:.4f}" if us else "not reached"
            lines.append((result.name, f"{target:.0e}", *theirs, mine, ratio))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def as_json(results: Sequence[Result], options: argparse.Namespace) -> str:
    """Return all that was measured, and where."""
    about = {
        "task": options.task,
        "std": options.std,
        "threads": options.threads,
        "platform": platform.platform(),
        "versions": versions(),
    }
    return json.dumps({**about, "sets": [as_dict(result) for result in results]}, indent=1)


def as_dict(result: Result) -> dict[str, Any]:
    """Return a result with its suboptimalities and verdicts, in JSON's own types."""
    rows = [{**row._asdict(), "suboptimality": result.suboptimality(row)} for row in result.rows]
    summary = [
        {
            "target": verdict.target,
            "peer": verdict.peer and verdict.peer._asdict(),
            OURS: verdict.ours and verdict.ours._asdict(),
            "ratio": verdict.ratio,
        }
        for verdict in verdicts(result)
    ]
    return {**result._asdict(), "rows": rows, "summary": summary}


def versions() -> dict[str, str]:
    """Return the versions of what takes part."""
    found = {"python": platform.python_version(), OURS: fastgd.__version__}
    for name in ("numpy", "scipy", "scikit-learn", "numba", "snapml", "glum", "celer", "skglm"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


# ------------------------------------------------------------------------------------ drawing

# Okabe and Ito's colours, which the colour-blind tell apart, and black; markers say it again, and
# who comes after these seven is dashed and hollow. fastgd has the one colour that is left.
COLORS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "X", "P", "<", ">", "*")
OUR_STYLE = {"color": "#D55E00", "marker": "o", "linewidth": 3.0, "markersize": 8, "zorder": 5}
FLOOR, CEILING = 1e-10, 10.0  # what is nearer to f* is drawn at the floor; what is worse is not


def draw(results: Sequence[Result], path: Path) -> None:
    """Draw a panel for each data set, a line for each solver, and one legend below them all."""
    # Neither pyplot nor a display: this also runs on a server, and leaves no global state.
    from matplotlib.figure import Figure

    columns = min(3, len(results))
    lines = math.ceil(len(results) / columns)
    figure = Figure(figsize=(max(6.0, 4.8 * columns), 3.9 * lines + 0.8), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    styles = styles_of(results)
    for panel, result in zip(panels, results, strict=False):
        draw_panel(panel, result, styles)
    for panel in panels[len(results) :]:
        panel.set_visible(False)
    for panel in panels[max(0, len(results) - columns) : len(results)]:
        panel.set_xlabel("seconds of the whole fit")
    for panel in panels[::columns]:
        panel.set_ylabel(f"(f \N{MINUS SIGN} f*) / |f*|, at least {FLOOR:.0e}")
    found = {h.get_label(): h for p in panels for h in p.get_legend_handles_labels()[0]}
    handles = [found[name] for name in styles if name in found]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=max(3, 2 * columns), frameon=False
    )
    figure.savefig(path, dpi=150)


def styles_of(results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """Return the looks of each solver, the same in all panels; fastgd comes first."""
    names = dict.fromkeys(row.contender for result in results for row in result.rows)
    styles: dict[str, dict[str, Any]] = {OURS: OUR_STYLE}
    for i, name in enumerate(name for name in names if name != OURS):
        style = {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)]}
        if i >= len(COLORS):
            style |= {"linestyle": "--", "markerfacecolor": "white"}
        styles[name] = {**style, "linewidth": 1.3, "markersize": 5.5}
    return styles


def draw_panel(panel: Any, result: Result, styles: dict[str, dict[str, Any]]) -> None:
    """Draw suboptimality against time, both as logarithms, with a faint line for each target."""
    for target in TARGETS:
        panel.axhline(target, color="0.88", linewidth=1, zorder=0)
    for name, style in styles.items():
        points = frontier(result, name)
        if points:
            panel.plot(*zip(*points, strict=True), label=name, **style)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_ylim(FLOOR / 3, CEILING)
    panel.set_title(f"{result.name}\n{result.text}", fontsize="medium")
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def frontier(result: Result, name: str) -> list[tuple[float, float]]:
    """Return times and gaps of a solver in hindsight: none was both slower and no nearer to f*."""
    points: list[tuple[float, float]] = []
    for row in sorted(result.rows, key=lambda row: row.seconds):
        gap = max(result.suboptimality(row), FLOOR)
        if row.contender == name and gap < (points[-1][1] if points else CEILING):
            points.append((row.seconds, gap))
    return points


# ------------------------------------------------------------------------------------- running


def options_from(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Time to suboptimality of fastgd and its peers.",
        epilog=f"data sets: {', '.join(data.SOURCES)}",
    )
    add = parser.add_argument
    add("names", nargs="*", help="data sets, or names of files in --data")
    add("--task", choices=TASKS, default="logistic")
    add("--data", type=Path, metavar="DIR", help="read NAME.npz of this folder")
    add("--all-offline", action="store_true", help="every set that needs no network and fits")
    add("--std", action="store_true", help="standardise columns (CSR: variances only)")
    add("--dtype", choices=DTYPES, default="both", help="of X (default: both, from float32)")
    add("--only", type=names_in, default=(), metavar="A,B", help="no solvers but these")
    add("--skip", type=names_in, default=(), metavar="A,B", help="all solvers but these")
    add("--cap", type=float, default=30.0, help="no tighter setting after a fit of so many seconds")
    add("--repeat", type=int, help="fits of each setting (default: 3, of half a second or more 1)")
    add("--threads", type=int, default=cores(), help="threads of BLAS and OpenMP (default: cores)")
    add("--fstar", type=Path, metavar="FILE", help="keep f* between runs (default: in --data)")
    add("--json", type=Path, metavar="FILE", help="write everything that was measured")
    add("--markdown", action="store_true", help="print the summary as a table, too")
    add("--verbose", action="store_true", help="tell every fit as it ends, on stderr")
    add("--plot", type=Path, metavar="FILE", help="draw suboptimality against time")
    options = parser.parse_args(arguments)
    if options.all_offline:
        options.names += data.offline_names(TASKS[options.task].kind, options.data)
    if not options.names:
        parser.error("name a data set, or take --all-offline")
    if options.fstar is None and options.data is not None:
        options.fstar = options.data / "fstar.json"
    return options


def names_in(text: str) -> tuple[str, ...]:
    """Split a list at its commas."""
    return tuple(text.split(","))


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def compare(name: str, lowest: Lowest, options: argparse.Namespace) -> Result:
    """Measure all contenders on a data set, and print what came out."""
    X, y = data.load(name, options.data, options.std, DTYPES[options.dtype][0])
    task = TASKS[options.task]
    if data.kind_of(y) != task.kind:
        raise data.Unavailable(f"{options.task} needs {task.kind}, which {name} has not")
    layout = f"CSR, {X.nnz} non-zeros" if sp.issparse(X) else "dense"
    columns = "standardised" if options.std else "raw"
    print(f"\n{name}: {X.shape[0]} x {X.shape[1]}, {layout}, {columns}", flush=True)
    problem = task.problem(X, y)
    print(f"  {problem.text}", flush=True)
    rows = list(rows_of(problem, options))
    result = Result(name, problem.text, rows, lowest.update(problem, rows))
    print_result(result)
    return result


def report(results: Sequence[Result], options: argparse.Namespace) -> None:
    """Write the files that were asked for."""
    if options.json is not None:
        options.json.write_text(as_json(results, options) + "\n", encoding="utf-8")
    if options.plot is not None:
        draw(results, options.plot)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare on one data set after another; files are brought up to date after each."""
    options = options_from(arguments)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)  # for what is not imported yet
    lowest, results = Lowest(options.fstar), []
    with threadpool_limits(options.threads):  # for what is
        for name in options.names:
            try:
                results.append(compare(name, lowest, options))
            except data.Unavailable as error:
                print(error, file=sys.stderr)
                return 1
            report(results, options)
    print("\nHow many times as long the fastest peer took:")
    for target in TARGETS:
        print(overall(results, target))
    if options.markdown:
        print(f"\n{markdown(results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
