"""Constructor arguments that contradict each other: refused, or warned of, as scikit-learn does.

The name of one of scikit-learn's solvers means "auto" here. What that solver cannot do is refused
under its name all the same, though ours could: a search over solvers finds here what it finds
there. Messages begin with scikit-learn's, because filters and tests of users look for them.
"""

import warnings
from typing import Any

import numpy as np

from fastgd._solvers._auto import SOLVERS

OURS = frozenset({"auto", *SOLVERS})

OF_LIBLINEAR = {  # by penalty and loss: the values of ``dual`` for which liblinear has a solver
    ("l2", "hinge"): {True},
    ("l1", "squared_hinge"): {False},
    ("l2", "squared_hinge"): {False, True},
    ("l2", "epsilon_insensitive"): {True},
    ("l2", "squared_epsilon_insensitive"): {False, True},
}


def warn(message: str, category: type[Warning] = UserWarning, depth: int = 0) -> None:
    """Warn of an argument, at the line that calls ``fit``; ``depth`` counts functions between."""
    # this function, its caller, ``fit``, what checks the constructor around it, the user's line
    warnings.warn(message, category, stacklevel=5 + depth)


def logistic_strength(model: Any) -> tuple[float, float]:
    """Return C, and l1's share in the penalty, from ``l1_ratio`` or the deprecated ``penalty``.

    Raises
    ------
    ValueError
        If scikit-learn's solver of this name has no such penalty, or ``dual`` does not go with it.
    """
    penalty, ratio = _meant_penalty(model), model.l1_ratio
    _check_logistic_solver(model.solver, penalty, is_dual=bool(model.dual))
    if penalty != "elasticnet" and ratio is not None and 0 < ratio < 1:
        warn(
            "l1_ratio parameter is only used when penalty is 'elasticnet'. Got "
            f"(penalty={penalty}), so l1_ratio={ratio} is ignored."
        )
    named = {"l1": 1, "l2": 0}.get(model.penalty)
    if named is not None and ratio != named:
        warn(
            f"Inconsistent values: penalty={penalty} with l1_ratio={ratio}. The deprecated penalty "
            f"is what counts; in its place use l1_ratio={named}."
        )
    if penalty == "elasticnet" and ratio is None:
        raise ValueError("l1_ratio must be specified when penalty is elasticnet, got None.")
    if model.penalty is None and model.C != 1.0:
        warn(
            "Setting penalty=None will ignore the C and l1_ratio parameters: there is no penalty, "
            f"whatever C={model.C} says."
        )
    shares = {"l1": 1.0, "l2": 0.0, "elasticnet": ratio, None: 0.0}
    return np.inf if penalty is None else float(model.C), float(shares[penalty])


def _meant_penalty(model: Any) -> str | None:
    """Return the penalty that ``penalty``, ``l1_ratio`` and ``C`` stand for; None is no penalty."""
    penalty: str | None = model.penalty
    if penalty != "deprecated":
        message = (
            f"'penalty' was deprecated in scikit-learn 1.8: in place of penalty={penalty!r} use "
            "l1_ratio=0 for 'l2', l1_ratio=1 for 'l1', l1_ratio between 0 and 1 for 'elasticnet', "
            "and C=np.inf for None."
        )
        warn(message, FutureWarning, 1)
        return penalty
    if model.l1_ratio is None:
        message = "'l1_ratio=None' was deprecated in scikit-learn 1.8. It means 0: use l1_ratio=0."
        warn(message, FutureWarning, 1)
    if np.inf == model.C:
        return None
    ratio = model.l1_ratio or 0.0
    return "l2" if ratio == 0.0 else "l1" if ratio == 1.0 else "elasticnet"


def _check_logistic_solver(solver: str, penalty: str | None, *, is_dual: bool) -> None:
    """Refuse what scikit-learn's solver of this name cannot do, and a dual of what has none."""
    hint = "; solver='auto' takes every combination."
    if is_dual and solver not in {"auto", "sdca", "liblinear"}:
        raise ValueError(f"Solver {solver} supports only dual=False, got dual=True{hint}")
    if solver in OURS:
        return
    if solver != "liblinear" and penalty in {"l1", "elasticnet"}:
        raise ValueError(
            f"Solver {solver} supports only 'l2' or None penalties, got {penalty} penalty{hint}"
        )
    if penalty == "elasticnet":
        raise ValueError(
            f"Only 'saga' solver supports elasticnet penalty, got solver={solver}.{hint[1:]}"
        )
    if solver == "liblinear" and penalty is None:
        raise ValueError(
            f"C=np.inf as well as penalty=None is not supported for the liblinear solver{hint}"
        )
    if is_dual and penalty == "l1":
        raise ValueError(f"Solver {solver} supports penalty='l1' only with dual=False{hint}")


def check_number_of_classes(solver: str, n_classes: int) -> None:
    """Refuse more than two classes for liblinear, which would fit one-vs-rest."""
    if solver == "liblinear" and n_classes > 2:
        raise ValueError(
            "The 'liblinear' solver does not support multiclass classification (n_classes >= 3), "
            f"got {n_classes} classes; use solver='auto' for a softmax, or wrap the estimator in a "
            "OneVsRestClassifier."
        )


def check_dual(penalty: str, loss: str, dual: Any) -> None:
    """Refuse a ``dual`` for which liblinear has no solver; "auto" goes with everything."""
    if dual != "auto" and bool(dual) not in OF_LIBLINEAR.get((penalty, loss), ()):
        raise ValueError(
            f"Unsupported set of arguments: penalty={penalty!r} and loss={loss!r} are not "
            f"supported when dual={dual}, Parameters: penalty={penalty!r}, loss={loss!r}, "
            f"dual={dual!r}. dual='auto' goes with every penalty and loss."
        )


def check_ridge_solver(solver: str, *, positive: bool) -> None:
    """Refuse ``positive`` for scikit-learn's solvers that cannot, and "lbfgs" without it."""
    if solver == "lbfgs" and not positive:
        raise ValueError(
            "'lbfgs' solver can be used only when positive=True, as in scikit-learn; use "
            "solver='auto'."
        )
    if positive and solver not in {*OURS, "lbfgs"}:
        raise ValueError(
            f"solver={solver!r} does not support positive fitting, as in scikit-learn; use "
            "solver='auto', or positive=False."
        )


def check_quantile_solver(solver: str) -> None:
    """Refuse a method of ``scipy.optimize.linprog`` that is gone, as scikit-learn does."""
    if solver == "interior-point":
        raise ValueError(
            "Solver interior-point is not anymore available in SciPy >= 1.11.0; use solver='auto'."
        )


def check_elastic_net(model: Any, X: Any) -> None:
    """Warn of an elastic net without a penalty; refuse a Gram matrix of another shape than X's."""
    if model.alpha == 0:
        warn(
            "With alpha=0, there is no penalty and the result is that of least squares. You are "
            "advised to use the LinearRegression estimator, which also says which of many "
            "solutions it takes."
        )
    if isinstance(model.precompute, bool | np.bool_):
        return
    shape, needed = np.shape(model.precompute), np.shape(X)[-1:] * 2
    if shape != needed:
        raise ValueError(
            "Precompute should be one of True, False, or array-like of shape (n_features, "
            f"n_features), which is {needed} here; got one of shape {shape}."
        )
