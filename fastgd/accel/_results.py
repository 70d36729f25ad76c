"""What scikit-learn's fitted estimators have beyond the attributes that are copied."""

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.validation import column_or_1d

from fastgd.accel._call import Call
from fastgd.accel._refusals import Left

WORST = 1e-8  # ratio of the eigenvalues of X'X


def clip_n_iter(call: Call, ours: Any) -> None:  # noqa: ARG001
    """Keep ``n_iter_`` between 1 and ``max_iter``, for code that compares the two."""
    model = call.model
    n_iter, most = getattr(model, "n_iter_", None), getattr(model, "max_iter", None)
    if n_iter is None:
        return
    clipped = np.clip(n_iter, 1, np.inf if most is None else max(most, 1))
    if isinstance(n_iter, list):
        model.n_iter_ = [int(n) for n in clipped]
    elif np.ndim(n_iter) == 0:
        model.n_iter_ = int(clipped)
    else:
        model.n_iter_ = clipped.astype(np.int32)


def least_squares(call: Call, ours: Any) -> None:  # noqa: ARG001
    """Set the singular values of the centred rows, and their number.

    They are roots of the eigenvalues of X'X, which have as many digits as float64 less twice those
    of the condition number.

    Raises
    ------
    Left
        If that leaves fewer than eight digits.
    """
    model = call.model
    if call.is_sparse or model.positive:
        return
    X = np.asarray(call.X)
    dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    X = X.astype(np.float64, copy=False)
    weight = call.more.get("sample_weight")
    weight = None if weight is None else np.asarray(weight, np.float64)
    if model.fit_intercept:
        X = X - np.average(X, axis=0, weights=weight)
    if weight is not None:
        X = X * np.sqrt(weight)[:, np.newaxis]
    squares = np.linalg.eigvalsh(X.T @ X)[::-1]
    if not squares[-1] > WORST * squares[0]:
        raise Left("columns are nearly dependent: rank_ comes with scikit-learn's decomposition")
    model.singular_ = np.sqrt(squares).astype(dtype)
    model.rank_ = int(squares.shape[0])


def _as_float64(call: Call, *names: str) -> None:
    """Keep what scikit-learn computes in float64 whatever X is."""
    for name in names:
        value = getattr(call.model, name)
        if isinstance(value, np.ndarray | np.floating):
            setattr(call.model, name, value.astype(np.float64))


def liblinear(call: Call, ours: Any) -> None:
    """Set what liblinear's models have."""
    clip_n_iter(call, ours)
    _as_float64(call, "coef_", "intercept_")


def ridge(call: Call, ours: Any) -> None:
    """Name the solver that scikit-learn takes; its direct ones count no iterations."""
    model = call.model
    model.solver_ = _ridge_solver(call)
    if model.solver_ not in ("lsqr", "sag", "saga"):
        model.n_iter_ = None
    clip_n_iter(call, ours)


def _ridge_solver(call: Call) -> str:
    """Return which solver scikit-learn takes for a call."""
    model = call.model
    if model.positive:
        return "lbfgs"
    if call.is_sparse and model.fit_intercept:
        return str(model.solver) if model.solver in ("lsqr", "lbfgs") else "sparse_cg"
    if model.solver != "auto":
        return str(model.solver)
    return "sparse_cg" if call.is_sparse else "cholesky"


def ridge_classifier(call: Call, ours: Any) -> None:
    """Set a ridge regression's attributes, and what labels stand for."""
    ridge(call, ours)
    labels(call, ours)


def labels(call: Call, ours: Any) -> None:
    """Set the encoder of the labels, which knows the classes."""
    binarizer = LabelBinarizer(pos_label=1, neg_label=-1)
    y = call.y
    is_table = sp.issparse(y) or (np.ndim(y) == 2 and np.shape(y)[1] > 1)
    binarizer.fit(y if is_table else column_or_1d(y))
    call.model._label_binarizer = binarizer
    if not isinstance(getattr(type(call.model), "classes_", None), property):
        call.model.classes_ = binarizer.classes_
    as_scalars(call, ours)


def as_scalars(call: Call, ours: Any) -> None:
    """Keep numbers as numpy's, and a duality gap in the type of the coefficients."""
    model = call.model
    for name in ("best_score_", "scale_"):
        if isinstance(getattr(model, name, None), float):
            setattr(model, name, np.float64(getattr(model, name)))
    gap = getattr(model, "dual_gap_", None)
    if gap is not None and not call.kind.__name__.startswith("MultiTask"):
        model.dual_gap_ = np.asarray(gap, model.coef_.dtype)[()]
    clip_n_iter(call, ours)


def tasks(call: Call, ours: Any) -> None:
    """Keep the coefficients of many tasks in the order of scikit-learn's, and its tolerance."""
    model, Y = call.model, np.asarray(call.y, np.float64)
    model.coef_ = np.asfortranarray(model.coef_)
    centred = Y - Y.mean(axis=0) if model.fit_intercept else Y
    model.eps_ = float(model.tol * np.sum(centred * centred))
    as_scalars(call, ours)


def generalised(call: Call, ours: Any) -> None:
    """Set the loss, by whose link a generalised linear model predicts."""
    call.model._base_loss = call.model._get_loss()
    clip_n_iter(call, ours)


def stochastic(call: Call, ours: Any) -> None:
    """Set the loss and the weights of classes, and warn as scikit-learn does."""
    model = call.model
    if np.size(getattr(model, "intercept_", getattr(model, "offset_", 0.0))) == 1:
        _as_float64(call, *(name for name in ("intercept_", "offset_") if hasattr(model, name)))
    if hasattr(model, "classes_") or hasattr(model, "offset_"):
        model._loss_function_ = model._get_loss_function(getattr(model, "loss", "hinge"))
    if hasattr(model, "class_weight"):
        model._expanded_class_weight = _class_weights(call)
    if call.method == "fit" and model.tol is not None and model.n_iter_ == model.max_iter:
        warnings.warn(
            "Maximum number of iteration reached before convergence. Consider increasing "
            "max_iter to improve the fit.",
            ConvergenceWarning,
            stacklevel=5,
        )
    del ours


def _class_weights(call: Call) -> Any:
    from sklearn.utils.class_weight import compute_class_weight

    model = call.model
    return compute_class_weight(model.class_weight, classes=model.classes_, y=column_or_1d(call.y))
