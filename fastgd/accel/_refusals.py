"""What is left to scikit-learn, and why; each function returns the reason, or None.

``COMMON`` are of every estimator, the others are named in the rows of the table.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import get_config

from fastgd.accel._call import Call, defaults

LARGEST = 1e30  # with which liblinear never ends
FEW = 100  # iterations that are expected where scikit-learn's default is None
FEW_ENTRIES = 10_000  # of X: up to these, either takes the same time
SAMPLE, WIDEST = 512, 128  # rows and columns by which the condition of X'X is judged
WELL_CONDITIONED = 1e3


def _invalid(call: Call) -> str | None:
    """Let scikit-learn refuse what it refuses, in its own words."""
    try:
        call.model._validate_params()
    except Exception as error:
        return f"scikit-learn refuses a parameter: {_first_line(error)}"
    return None


def _talks(call: Call) -> str | None:
    """Leave to scikit-learn what shows its own iterations."""
    if getattr(call.model, "verbose", False):
        return "verbose prints the iterations of scikit-learn's solver"
    if getattr(call.model, "_skl_callbacks", None):
        return "callbacks are notified of the iterations of scikit-learn's solver"
    return None


def _other_arrays(call: Call) -> str | None:
    """Leave arrays of other libraries, and indices that some of scikit-learn's solvers refuse."""
    if get_config().get("array_api_dispatch", False) and not isinstance(call.X, np.ndarray):
        return "array_api_dispatch=True and X is no numpy array"
    indices = getattr(call.X, "indices", None)
    if call.is_sparse and getattr(indices, "dtype", None) == np.int64:
        return "X has 64-bit indices"
    if call.is_sparse and getattr(call.X, "ndim", 2) != 2:
        return "X is a sparse array of other than two dimensions"
    return None


def _dtype(call: Call) -> str | None:
    """Leave numbers that are neither float32 nor convertible to float64 without loss of meaning."""
    dtype = getattr(call.X, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind not in "fiub":
        return f"X is of dtype {dtype}"
    return None


COMMON: tuple[Callable[[Call], str | None], ...] = (_other_arrays, _dtype, _talks, _invalid)


def stops_early(call: Call) -> str | None:
    """Leave `max_iter` below the default."""
    most, usual = getattr(call.model, "max_iter", None), defaults(call.kind).get("max_iter")
    if most is not None and 0 <= most < (FEW if usual is None else usual):
        return f"max_iter={most} asks for a fit that stops early"
    return None


# -- what scikit-learn is faster at: asked where the size of X counts --------------------------


def nothing(call: Call) -> str | None:  # noqa: ARG001
    """Leave nothing."""
    return None


def like_columns(call: Call) -> str | None:
    """Leave columns of like scales, hardly dependent, on which L-BFGS needs few passes.

    Measured with one thread: up to a condition of X'X of 1e3, scikit-learn takes .4 of the time on
    20,000 x 20, .05 to .25 on 5,000 to 20,000 x 200, .2 on 2,000 x 1,000, and .2 to .6 on sparse
    columns that are about as full as one another. Beyond, that depends on the targets, and it may
    not converge.
    """
    n, d = call.shape
    if n * d <= FEW_ENTRIES or n < SAMPLE:
        return None
    is_alike = _have_like_squares(call.X) if call.is_sparse else _is_well_conditioned(call.X)
    return "columns of like scales: scikit-learn's solver needs few passes" if is_alike else None


def _have_like_squares(X: Any) -> bool:
    """Tell whether sparse columns are alike; that dummies depend on each other matters little."""
    with np.errstate(over="ignore", invalid="ignore"):
        X = X if X.dtype.kind == "f" else X.astype(np.float64)  # squares of int8 overflow
        squares = np.asarray(X.multiply(X).sum(axis=0), np.float64).ravel()
    squares = squares[squares > 0.0]
    return bool(squares.size > 0 and squares.max() <= WELL_CONDITIONED * squares.min())


def _is_well_conditioned(X: Any) -> bool:
    """Tell whether columns are of like scales and hardly dependent, by some rows.

    Of many columns all are asked for their scales, and every so many for what they depend on.
    """
    n, d = X.shape
    if WIDEST < d > n // 2:
        return False
    some = np.asarray(X[:: n // SAMPLE], np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is not alike
        if d > WIDEST:
            squares = np.sum(some * some, axis=0)
            if not np.max(squares) <= WELL_CONDITIONED * np.min(squares):
                return False
            some = some[:, :: -(-d // WIDEST)]
        rows = np.column_stack([some, np.ones(some.shape[0])])
        products = rows.T @ rows
    if not np.all(np.isfinite(products)):
        return False
    values = np.linalg.eigvalsh(products)
    return bool(values[-1] <= WELL_CONDITIONED * values[0])


# -- logistic regression, support vector machines -----------------------------------------------


def liblinear_data(call: Call) -> str | None:
    """Leave `solver="liblinear"` on X other than float64, or above 1e30, and many classes."""
    if call.model.solver != "liblinear":
        return None
    of_columns = getattr(call.X, "dtypes", None)  # of a frame
    dtypes = [getattr(call.X, "dtype", None)] if of_columns is None else list(of_columns)
    if any(dtype != np.float64 for dtype in dtypes):
        return "solver='liblinear' computes in float64"
    X = call.X if of_columns is None else call.X.to_numpy()
    if X.max() > LARGEST:
        return "solver='liblinear' is refused by scikit-learn on numbers that large"
    if np.unique(np.asarray(call.y)).shape[0] > 2:
        return "solver='liblinear' is refused by scikit-learn with more than two classes"
    return None


def liblinear_folds(call: Call) -> str | None:
    """Leave `solver="liblinear"`."""
    if call.model.solver == "liblinear":
        return "solver='liblinear' refits with another intercept_scaling in scikit-learn"
    return None


def one_vs_rest(call: Call) -> str | None:
    """Leave `multi_class="ovr"`, of releases that have it."""
    asked = getattr(call.model, "multi_class", "deprecated")
    if asked not in ("deprecated", "auto", "multinomial"):
        return f"multi_class={asked!r} is another model"
    return None


def liblinear_combination(call: Call) -> str | None:
    """Leave what liblinear has no solver for."""
    if getattr(call.model, "multi_class", "ovr") == "crammer_singer":
        return None  # penalty and loss are ignored
    if call.model.loss == "hinge" and getattr(call.model, "penalty", "l2") == "l1":
        return "penalty='l1' with loss='hinge' is refused by scikit-learn"
    return None


# -- least squares --------------------------------------------------------------------------------


def least_squares(call: Call) -> str | None:
    """Leave columns that are linearly dependent, or nearly."""
    if call.model.positive and call.is_sparse:
        return "positive=True on sparse X is refused by scikit-learn"
    if not call.is_sparse and call.shape[0] <= call.shape[1]:
        return "fewer rows than columns: rank_ comes with scikit-learn's decomposition"
    return None


def no_penalty(call: Call) -> str | None:
    """Leave `alpha=0`."""
    if not np.all(np.asarray(call.model.alpha) > 0.0):
        return "alpha=0 is no penalty"
    return None


def ridge_solver(call: Call) -> str | None:
    """Leave what scikit-learn's solver of the given name refuses."""
    solver, tol = call.model.solver, call.model.tol
    if (solver == "lbfgs") > call.model.positive:
        return "solver='lbfgs' is refused by scikit-learn without positive=True"
    if call.model.positive and solver not in ("auto", "lbfgs"):
        return f"solver={solver!r} is refused by scikit-learn with positive=True"
    if not call.is_sparse:
        return None
    has_intercept = call.model.fit_intercept
    if has_intercept and solver not in ("auto", "lbfgs", "lsqr", "sag", "sparse_cg"):
        return f"solver={solver!r} is refused by scikit-learn on sparse X with an intercept"
    if solver == "svd":
        return "solver='svd' is refused by scikit-learn on sparse X"
    if has_intercept and solver == "sag" and tol > 1e-4:
        return "scikit-learn warns of solver='sag' on sparse X"
    return None


def own_gram(call: Call) -> str | None:
    """Leave a Gram matrix as `precompute`."""
    if np.ndim(getattr(call.model, "precompute", False)) == 2:
        return "precompute is a Gram matrix"
    return None


def goes_on(call: Call) -> str | None:
    """Leave a second fit with `warm_start=True`."""
    if call.model.warm_start and getattr(call.model, "coef_", None) is not None:
        return "warm_start=True goes on with scikit-learn's descent"
    return None


def unchecked(call: Call) -> str | None:
    """Leave `check_input=False`."""
    return None if call.more.get("check_input", True) else "check_input=False"


def linprog(call: Call) -> str | None:
    """Leave `solver_options`, and solvers other than HiGHS."""
    if call.model.solver_options:
        return "solver_options are for SciPy's linprog"
    if not str(call.model.solver).startswith("highs"):
        return f"solver={call.model.solver!r} is deprecated, or refused, in SciPy"
    return None


def routed(call: Call) -> str | None:
    """Leave metadata routing."""
    if get_config().get("enable_metadata_routing", False):
        return "metadata routing is enabled"
    strange = sorted(call.more.keys() - {"sample_weight"})
    return f"further arguments of fit: {', '.join(strange)}" if strange else None


def one_time_folds(call: Call) -> str | None:
    """Leave an iterator as `cv`."""
    if hasattr(getattr(call.model, "cv", None), "__next__"):
        return "cv is an iterator, which can be read once only"
    return None


def own_scorer(call: Call) -> str | None:
    """Leave a function as `scoring`."""
    if callable(call.model.scoring):
        return "scoring is a function, which may look at scikit-learn's estimator"
    return None


def ridge_cv(call: Call) -> str | None:
    """Leave `gcv_mode="svd"` on sparse X."""
    if call.is_sparse and getattr(call.model, "gcv_mode", None) == "svd":
        return "scikit-learn warns of gcv_mode='svd' on sparse X"
    return None


# -- stochastic gradient descent -----------------------------------------------------------------


def early_stopping(call: Call) -> str | None:
    """Leave `early_stopping=True`."""
    if getattr(call.model, "early_stopping", False):
        return "early_stopping=True scores one class at a time, and keeps the last coefficients"
    return None


def average(call: Call) -> str | None:
    """Leave `average`."""
    if getattr(call.model, "average", False):
        return "average keeps both coefficients and their mean"
    return None


def negative_power(call: Call) -> str | None:
    """Leave `power_t` below 0."""
    return "power_t < 0 is deprecated" if getattr(call.model, "power_t", 0.0) < 0.0 else None


def sparse_rows(call: Call) -> str | None:
    """Leave sparse X."""
    if not call.is_sparse:
        return None
    if call.model.fit_intercept:
        return "the intercept of sparse X takes hundredths of steps in scikit-learn"
    return "sparse X: scikit-learn stops after fewer epochs, and sooner"


def many_targets(call: Call) -> str | None:
    """Leave y with several columns."""
    shape: tuple[int, ...] = np.shape(call.y) if call.y is not None else ()
    if len(shape) > 1 and shape[1] != 1:
        return "y with several columns is refused by scikit-learn"
    return None


def further_calls(call: Call) -> str | None:
    """Leave calls of `partial_fit` that do not simply go on."""
    if call.method == "fit":
        return None
    model, classes = call.model, call.more.get("classes")
    if getattr(model, "learning_rate", "") == "adaptive":
        return "learning_rate='adaptive' begins anew in each call of scikit-learn's partial_fit"
    if getattr(model, "class_weight", None) is not None:
        return "class_weight in partial_fit"
    if call.is_first:
        return None
    if hasattr(model, "feature_names_in_") or hasattr(call.X, "columns"):
        return "partial_fit compares feature names"
    if np.shape(model.coef_)[-1] != call.shape[1] or not isinstance(model.coef_, np.ndarray):
        return "coef_ is not that of X's columns"
    if classes is not None and not np.array_equal(classes, model.classes_):
        return "classes are not those of the first call"
    return None


class Left(Exception):
    """A call is left to scikit-learn, for the reason that is the message."""


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def failure(error: Any) -> str:
    """Return the reason that an exception of fastgd's fit is."""
    if isinstance(error, Left):
        return str(error)
    return f"fastgd raises {type(error).__name__}: {_first_line(error)}"
