"""RidgeClassifier: least squares on targets -1 and 1, one column for each class."""

from functools import partial
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_is_fitted, column_or_1d

from fastgd._data.parts import ScoredAnywhere, by_parts
from fastgd._data.shards import Shards
from fastgd._data.validation import (
    check_X,
    check_X_y,
    classes_and_codes,
    fit_context,
    in_dtype,
)
from fastgd._monitoring.undo import or_as_before
from fastgd._monitoring.watching import Given, SolvingWatch, watched
from fastgd._runtime.devices import HeldRows
from fastgd._solvers._on_device import shards_for
from fastgd._solvers._sharded import ShardedTask
from fastgd._solvers._task import Solution, dtype_of
from fastgd._training.labels import dense_labels
from fastgd.kernels.losses import SquaredError
from fastgd.linear_model._classification import SolvedClassifier, refuse_nothing_left
from fastgd.linear_model._linear import ridge_penalties
from fastgd.linear_model._parameters import check_ridge_solver
from fastgd.linear_model._solved import FLOATS, NON_NEGATIVE, SolvedModel, solver_names

CONSTRAINTS = SolvedModel._parameter_constraints
SHARED = {
    name: CONSTRAINTS[name] for name in ("tol", "fit_intercept", "verbose", "callbacks", "device")
}
CLASS_WEIGHT: list[Any] = [dict, StrOptions({"balanced"}), None]


def binarized(y: Any) -> tuple[LabelBinarizer, Any, NDArray[np.float64]]:
    """Return the encoder of labels, the labels, and a column of -1 and 1 for each class.

    Of two classes there is one column, of a table of labels there are as many as it has.
    """
    encoder = LabelBinarizer(pos_label=1, neg_label=-1)
    if isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "iu":
        classes, codes = classes_and_codes(y)
        if 2 * classes.shape[0] <= y.shape[0]:  # of more, scikit-learn warns
            return _fitted(encoder, classes), y, _signs(codes, classes.shape[0])
    targets = np.asarray(encoder.fit_transform(y), np.float64)
    if not encoder.y_type_.startswith("multilabel"):
        y = column_or_1d(y, warn=True)
    return encoder, y, targets


def _fitted(encoder: LabelBinarizer, classes: NDArray[Any]) -> LabelBinarizer:
    """Return an encoder that knows these classes: to fit one takes longer than a small model."""
    encoder.y_type_ = "multiclass" if classes.shape[0] > 2 else "binary"
    encoder.sparse_input_, encoder.classes_ = False, classes
    return encoder


def _signs(codes: NDArray[np.int32], n_classes: int) -> NDArray[np.float64]:
    """Return a column of -1 and 1 for each class, for the second alone of one or two."""
    chosen = np.arange(n_classes) if n_classes > 2 else np.array([1])
    return np.where(codes[:, None] == chosen, 1.0, -1.0)


def weights_of_labels(class_weight: Any, y: Any, weight: NDArray[Any]) -> NDArray[Any]:
    """Return the rows' weights times those of their classes; empty for 1 each.

    "balanced" counts rows, whatever they weigh, as scikit-learn's does here.

    Raises
    ------
    ValueError
        If a class has a weight that is negative or not finite, or no row keeps a weight.
    """
    if not class_weight:
        return weight
    own = np.asarray(compute_sample_weight(class_weight, y), np.float64)
    wrong = ~((own >= 0.0) & (own < np.inf))
    if wrong.any():
        raise ValueError(
            "class_weight must be a finite number >= 0 for each class, got "
            f"{float(own[wrong][0])} for the label {np.asarray(y)[wrong][0]!r}."
        )
    weight = own if weight.shape[0] == 0 else weight * own
    refuse_nothing_left(weight)
    return weight


def factors_of_counts(
    class_weight: Any, classes: NDArray[Any], counts: NDArray[np.int64]
) -> NDArray[Any]:
    """Return the same for each class, of which so many rows have the label."""
    if isinstance(class_weight, str):  # "balanced"
        factors: NDArray[Any] = counts.sum() / (classes.shape[0] * counts)
        return factors
    own = weights_of_labels(class_weight, classes, np.empty(0))
    return own if own.shape[0] > 0 else np.ones(classes.shape[0])


class RidgeLabels(ScoredAnywhere, LinearClassifierMixin):
    """What ridge classifiers make of raw predictions: labels, or a table of labels."""

    _label_binarizer: LabelBinarizer
    classes_: NDArray[Any]

    def _raw(self, X: Any) -> NDArray[Any]:
        """Return the raw predictions, (n_samples,) or (n_samples, n_classes)."""
        check_is_fitted(self)
        if isinstance(X, HeldRows):
            return X.raw(self)
        X = check_X(self, X, reset=False)
        raw: NDArray[Any] = X @ self.coef_.T + self.intercept_
        return raw

    @by_parts
    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return the raw predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Positive where the second of two classes, or the class against the rest, is predicted.
        """
        raw = self._raw(X)
        return raw.ravel() if raw.ndim == 1 or raw.shape[1] == 1 else raw

    @by_parts
    def predict(self, X: Any) -> NDArray[Any]:
        """Return the predicted labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            A class for each row, or a table of zeros and ones if y was one.
        """
        check_is_fitted(self, attributes=["_label_binarizer"])
        raw = self.decision_function(X)
        labels: NDArray[Any]
        if self._label_binarizer.y_type_.startswith("multilabel"):
            labels = self._label_binarizer.inverse_transform(np.where(raw > 0.0, 1.0, -1.0))
        else:
            chosen = (raw > 0.0).astype(np.intp) if raw.ndim == 1 else raw.argmax(axis=1)
            labels = self.classes_[chosen]
        return labels

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class RidgeClassifier(RidgeLabels, SolvedClassifier):
    """Least squares with an l2 penalty on targets -1 and 1, one-vs-rest beyond two classes.

    Minimises  sum_i s_i (t_i - x_i w - b)^2 + alpha |w|^2  for each class, as scikit-learn does;
    t_i is 1 for rows of the class and -1 for the rest. y may also be a table of labels.

    Parameters
    ----------
    alpha : float or array-like of shape (n_classes,), default=1.0
        Strength of the penalty, >= 0.
    fit_intercept : bool, default=True
    copy_X : bool, default=True
        Accepted and not needed: X is never changed.
    max_iter : int or None, default=None
        Passes over the data at most; None is 1000.
    tol : float, default=1e-4
        Largest relative suboptimality, (F - F*) / F; a fit that is not shown to be within it warns.
        Small problems (n_samples * n_features up to 1e5) are finished to rounding.
    class_weight : dict or "balanced", default=None
        Factors of the rows' weights, by class. "balanced" counts rows without ``sample_weight``,
        as scikit-learn's does in this class.
    solver : {"auto", "gd", "saga", "sdca"}, default="auto"
        "svd", "cholesky", "lsqr", "sparse_cg", "sag" and "lbfgs" are accepted and mean "auto";
        "lbfgs" only with ``positive=True``, the others only without, as in scikit-learn.
    positive : bool, default=False
        Require w >= 0.
    random_state : int, RandomState instance or None, default=None
        Seeds the order of rows; None is a fixed seed.
    verbose : int, default=0
        1 shows a bar over the passes, 2 or more writes a line for each through ``logging``.
    callbacks : list or None, default=None
        What is done after each pass: objects of ``fastgd.callbacks``, or functions of a view of
        the fit (docs/watching.md).
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the model is fitted and predicts (docs/gpu.md). "auto": where X lies, so that NumPy's
        arrays stay on the processor; "cuda" sends them to the device.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coef_ : ndarray of shape (n_features,) or (n_classes, n_features), in the dtype of X
        The former for two classes.
    intercept_ : ndarray of shape (1,) or (n_classes,); 0.0 without an intercept
    objective_ : float or ndarray of shape (n_classes,)
        What is minimised, divided by 2 sum_i s_i.
    gap_ : float or ndarray of shape (n_classes,)
        A proven bound of ``objective_`` minus the optimum; inf where nothing proves one (no
        penalty).
    n_iter_ : ndarray of shape (n_classes,)
    solver_ : str
    history_ : dict of str to list, or a list of them
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
    """

    _parts_on_host = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SHARED,
        "alpha": [NON_NEGATIVE, "array-like"],
        "copy_X": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left"), None],
        "class_weight": CLASS_WEIGHT,
        "solver": solver_names("svd", "cholesky", "lsqr", "sparse_cg", "sag", "lbfgs"),
        "positive": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        alpha: Any = 1.0,
        *,
        fit_intercept: bool = True,
        copy_X: bool = True,
        max_iter: int | None = None,
        tol: float = 1e-4,
        class_weight: Any = None,
        solver: str = "auto",
        positive: bool = False,
        random_state: Any = None,
        verbose: int = 0,
        callbacks: Any = None,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.copy_X = copy_X
        self.max_iter = max_iter
        self.tol = tol
        self.class_weight = class_weight
        self.solver = solver
        self.positive = positive
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        self.device = device

    @fit_context
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | float | None = None,
    ) -> "RidgeClassifier":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            Rows in parts are what ``fastgd.datasets.open`` returns, or a collection of Dask's; they
            have one label each.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels; or, with more than one for a row, a table of zeros and ones. A collection where
            X is one, None where X holds them.
        sample_weight : float or array-like of shape (n_samples,), default=None

        Returns
        -------
        self : RidgeClassifier

        Raises
        ------
        ValueError
            If ``positive`` does not go with the name of one of scikit-learn's solvers, as there,
            or ``class_weight`` holds what is no weight.
        """
        check_ridge_solver(self.solver, positive=bool(self.positive))
        shards = shards_for(self, X, y, sample_weight)
        if shards is not None:
            self._fit_shards(shards)
            return self
        with watched(SolvingWatch, self) as watch, or_as_before(self), self._on_device(X):
            y = dense_labels(y)
            X, y = check_X_y(self, X, y, reset=True, dtype=FLOATS, multi_output=True)
            encoder, y, targets = binarized(y)
            weight = weights_of_labels(self.class_weight, y, self._check_weight(sample_weight, X))
            mass = float(weight.sum()) if weight.shape[0] > 0 else float(X.shape[0])
            columns = list(np.ascontiguousarray(targets.T))
            dtype = X.dtype

            def write(model: RidgeClassifier, found: list[Solution]) -> None:
                model._label_binarizer, model.classes_ = encoder, encoder.classes_
                model._take(found, dtype)

            watch.begin_solving(Given(X, y, sample_weight), write, len(columns))
            penalties = ridge_penalties(self.alpha, mass, len(columns))
            positive, loss = bool(self.positive), SquaredError()
            tasks = [
                partial(self._task, X, column, weight, loss, penalty, positive=positive)
                for column, penalty in zip(columns, penalties, strict=True)
            ]
            found = self._solve_each(tasks, [None] * len(columns))
            write(self, found)
            self._report(found)
        return self

    def _fit_shards(self, shards: Shards) -> None:
        """Fit to rows in parts, which have one label each."""
        with watched(SolvingWatch, self) as watch, or_as_before(self):
            seen, kind = self._look(shards, classifies=True)
            encoder, classes, targets = binarized(seen.classes)
            factors = factors_of_counts(self.class_weight, classes, seen.counts)
            refuse_nothing_left(seen.masses * factors)
            mass, n_columns = float(seen.masses @ factors), targets.shape[1]
            of_rows = shards, seen, kind, classes, factors, mass
            fits, positive = bool(self.fit_intercept), bool(self.positive)
            numbers = [1] if n_columns == 1 else range(n_columns)
            tasks = [
                ShardedTask(*of_rows, SquaredError(), *penalty, fits, positive, k)
                for k, penalty in zip(
                    numbers, ridge_penalties(self.alpha, mass, n_columns), strict=True
                )
            ]

            def write(model: RidgeClassifier, found: list[Solution]) -> None:
                model._label_binarizer, model.classes_ = encoder, encoder.classes_
                model._take(found, seen.dtype)

            watch.begin_solving(Given(shards, None, None), write, len(tasks))
            found = self._solve_all_shards(tasks)
            write(self, found)
            self._report(found)

    def _take(self, found: list[Solution], dtype: Any) -> None:
        """Set the fitted parameters."""
        dtype = dtype_of(found, dtype)
        coef = in_dtype([solution.coef for solution in found], dtype)
        intercept = in_dtype([solution.intercept for solution in found], dtype)
        self.coef_ = coef if len(found) > 1 else coef[0]
        self.intercept_ = intercept if self.fit_intercept else 0.0
        self.n_iter_ = np.array([solution.n_iter for solution in found], np.int32)
