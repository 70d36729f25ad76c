"""From the parameters of scikit-learn's estimators to those of fastgd's.

Names and meanings are the same. What differs is ``tol``, which in fastgd is the relative
suboptimality at which a fit stops, ``max_iter``, which there counts passes over the data, and
``solver``: the optimum is the same, and fastgd chooses how to find it.
"""

import numbers
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from fastgd.accel._call import Call

MOST_PASSES = 10_000
# What scikit-learn reaches on smooth problems is often far below what its tol asks for, and
# Newton's steps make the last digits cheap. A machine's are not, and liblinear is far from them.
TIGHTEST, SMOOTH, PIECEWISE = 1e-15, 1e-12, 1e-8


def _same(call: Call) -> dict[str, Any]:
    """Return the parameters by name, but for what only shows or divides the work."""
    given = call.parameters
    return {name: value for name, value in given.items() if name not in ("verbose", "n_jobs")}


def tight(tol: float, loosest: float = SMOOTH) -> float:
    """Return the suboptimality at which a fit stops for scikit-learn's ``tol``, of its gradient.

    Near an optimum the objective is above it by the squared gradient, times what depends on the
    curvature.

    >>> tight(1e-4), tight(1e-7), tight(1e-4, PIECEWISE)
    (1e-12, 1e-14, 1e-08)
    """
    return float(np.clip(round(tol * tol, 20), TIGHTEST, loosest))


def solved(call: Call) -> dict[str, Any]:
    """Return the parameters of an estimator whose optimum a solver finds."""
    given = _same(call)
    if "solver" in given:
        given["solver"] = "auto"
    if "tol" in given:
        given["tol"] = tight(given["tol"])
    if given.get("max_iter") is not None:
        given["max_iter"] = max(MOST_PASSES, int(given["max_iter"]))
    return given


def piecewise(call: Call) -> dict[str, Any]:
    """Return those of a machine or a quantile, whose losses are not smooth."""
    return {**solved(call), "tol": tight(getattr(call.model, "tol", 1e-4), PIECEWISE)}


def least_squares(call: Call) -> dict[str, Any]:
    """Return the parameters of least squares, which scikit-learn solves to rounding."""
    return {**solved(call), "tol": SMOOTH}


def ridge(call: Call) -> dict[str, Any]:
    """Return those of ridge regression, which "auto" and "cholesky" solve to rounding."""
    return {**solved(call), "max_iter": MOST_PASSES, "tol": SMOOTH}


def logistic(call: Call) -> dict[str, Any]:
    """Return those of logistic regression, by ``C`` and ``l1_ratio`` alone."""
    given = solved(call)
    penalty, ratio = given.get("penalty", "deprecated"), given.get("l1_ratio") or 0.0
    shares = {"deprecated": ratio, "elasticnet": ratio, "l1": 1.0, "l2": 0.0, None: 0.0}
    C = np.inf if penalty is None or penalty == "none" else given["C"]
    given.pop("multi_class", None)
    if call.model.solver == "liblinear":
        given["solver"] = "liblinear"  # which penalises the intercept
    return {**given, "penalty": "deprecated", "l1_ratio": shares.get(penalty, 0.0), "C": C}


def logistic_cv(call: Call) -> dict[str, Any]:
    """Return those of logistic regression whose strength is chosen by cross-validation."""
    given = solved(call)
    given.setdefault("use_legacy_attributes", True)  # of releases that know no others
    return given


def chosen(call: Call) -> dict[str, Any]:
    """Return those of ridge regression whose strength is chosen by cross-validation."""
    return _same(call)


def path(call: Call) -> dict[str, Any]:
    """Return those of a path; the number of strengths was an argument of its own once."""
    given = solved(call)
    number = given.pop("n_alphas", "deprecated")
    number = number if isinstance(number, numbers.Integral) else 100
    if given["alphas"] is None or isinstance(given["alphas"], str):
        given["alphas"] = int(number)
    return given


def stochastic(call: Call) -> dict[str, Any]:
    """Return those of stochastic gradient descent: rows one by one, classes one against the rest.

    ``warm_start`` is a start that is handed to ``fit``; see ``starts``.
    """
    given = _same(call)
    given.pop("warm_start", None)
    if given["random_state"] is None:  # other rows in each call, as in scikit-learn
        given["random_state"] = check_random_state(None)
    return {**given, "multi_class": "ovr"}  # of SGDClassifier; the others have no such parameter


def starts(call: Call) -> dict[str, Any]:
    """Return further arguments of ``fit``: where scikit-learn's ``warm_start`` begins."""
    model, name = call.model, "offset_" if hasattr(call.model, "offset_") else "intercept_"
    is_warm = call.method == "fit" and getattr(model, "warm_start", False)
    if not is_warm or getattr(model, "coef_", None) is None:
        return call.more
    before = {"coef_init": model.coef_, f"{name[:-1]}_init": np.atleast_1d(getattr(model, name))}
    return {**before, **call.more}
