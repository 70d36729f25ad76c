"""Who takes part: a problem of each task, with the solvers that minimise its objective."""

import importlib
import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn import linear_model, svm

import fastgd

from .objectives import (
    Loss,
    Objective,
    epsilon_insensitive,
    half_gamma_deviance,
    half_poisson_deviance,
    hinge,
    huber_objective,
    log_loss,
    pinball,
    squared_error,
)

OURS = "fastgd"


class Contender(NamedTuple):
    """A solver, its settings from loose to tight, and how one of them becomes an estimator.

    A setting is what is given to the constructor, such as ``{"tol": 1e-3}``.
    """

    name: str
    settings: Sequence[dict[str, Any]]
    make: Callable[..., Any]
    compiles: bool = False


class Problem(NamedTuple):
    """What is minimised, on which data, by which solvers. The text identifies the problem."""

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
    parameter: str,
    values: Sequence[Any],
    estimator: Any,
    compiles: bool = False,
    **fixed: Any,
) -> Contender:
    """Return a contender whose settings are values of one constructor parameter."""
    settings = [{parameter: value} for value in values]
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
