"""SGDClassifier and SGDRegressor."""

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin, _fit_context
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.extmath import safe_sparse_dot, softmax
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from fastgd import _resolve
from fastgd._progress import Data
from fastgd._training import Score
from fastgd._undo import or_as_before
from fastgd._validation import (
    binary_targets,
    check_targets,
    check_weight,
    check_X_y,
    encode_labels,
)
from fastgd.base import BaseSGD
from fastgd.kernels.losses import LOG, LOSSES, REGRESSION, Softmax, predictions

CLASSIFIER_LOSSES = set(LOSSES) - {"softmax", "quantile", "poisson", "gamma", "tweedie"}
REGRESSOR_LOSSES = {name for name, tag in LOSSES.items() if type(tag).kind == REGRESSION}
NONE = np.empty(0)


class _SGD(BaseSGD):
    """The parts of ``fit`` and ``partial_fit`` that classifier and regressor have in common."""

    def _check_call(self, *, partial: bool) -> None:
        """Refuse combinations of words that mean nothing."""
        if partial and self.early_stopping:
            raise ValueError("early_stopping should be False with partial_fit")

    def _take_init(self, coef_init: Any, intercept_init: Any, shape: tuple[int, ...]) -> None:
        """Make ``coef_init`` and ``intercept_init`` where training starts; they are not changed."""
        n_features, n_outputs = shape[0] - 1, (shape[1] if len(shape) == 2 else 1)
        coef_shape = (n_outputs, n_features)
        if coef_init is not None:
            coef = np.array(coef_init, dtype=np.float64)
            if coef.shape != coef_shape and coef.shape != (n_features,) * (n_outputs == 1):
                raise ValueError(
                    f"coef_init has shape {coef.shape} and does not match dataset: it should have "
                    f"shape {coef_shape}."
                )
            self.coef_ = coef.reshape(coef_shape)
        if intercept_init is not None:
            intercept = np.array(intercept_init, dtype=np.float64)
            if intercept.size != n_outputs:
                raise ValueError(
                    f"intercept_init has shape {intercept.shape} and does not match dataset: it "
                    f"should have shape {(n_outputs,)}."
                )
            self.intercept_ = intercept.reshape(n_outputs)
        if coef_init is not None and getattr(self, "intercept_", None) is None:
            self.intercept_ = np.zeros(n_outputs)
        if intercept_init is not None and getattr(self, "coef_", None) is None:
            self.coef_ = np.zeros(coef_shape)

    def _hold_out(self, y: NDArray[Any], weight: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Split the rows' numbers into those to train on and those to stop by."""
        splitter: Any = StratifiedShuffleSplit if hasattr(self, "classes_") else ShuffleSplit
        split = splitter(test_size=self.validation_fraction, random_state=self.random_state)
        training, validation = next(split.split(np.zeros((y.shape[0], 1)), y))
        if weight.shape[0] > 0 and not np.any(weight[validation]):
            raise ValueError(
                "The sample weights for validation set are all zero, consider using a different "
                "random state."
            )
        return np.sort(training), np.sort(validation)


class SGDClassifier(LinearClassifierMixin, _SGD):
    """Linear classifiers (SVM, logistic and softmax regression) fitted by gradient descent.

    Minimises  mean_i loss(y_i, x_i @ coef + intercept) + alpha * penalty(coef)  by steps

        w <- prox(w - eta_t * mean over the batch of loss'(y_i, raw_i) x_i)

    or those of another optimizer. The words and defaults are scikit-learn's, and with
    ``batch_size=1``, ``multi_class="ovr"`` and ``shuffle=False`` so are the coefficients; what is
    added: batches, optimizers, and a softmax for more than two classes.

    Parameters
    ----------
    loss : str or loss object, default="hinge"
        "hinge" (linear SVM), "log_loss" (logistic or softmax regression), "modified_huber",
        "squared_hinge", "perceptron"; or a regression loss on targets -1 and 1: "squared_error",
        "huber", "epsilon_insensitive", "squared_epsilon_insensitive". A NamedTuple with static
        methods ``value`` and ``gradient`` is a loss of your own.
    penalty : {"l2", "l1", "elasticnet", None}, default="l2"
        The intercept is never penalised. "l1" and "elasticnet" give exact zeros.
    alpha : float, default=1e-4
        Strength of the penalty, >= 0; also in the rate of ``learning_rate="optimal"``.
    l1_ratio : float, default=0.15
        Share of l1 in "elasticnet", in [0, 1].
    fit_intercept : bool, default=True
    max_iter : int, default=1000
        Passes over the data (epochs) at most.
    tol : float or None, default=1e-3
        Stop when the objective has not fallen by ``tol`` below its best for ``n_iter_no_change``
        epochs; None never stops.
    shuffle : bool, default=True
        Draw the order of the rows anew for each epoch.
    verbose : int, default=0
        1 or more shows a progress bar.
    epsilon : float, default=0.1
        Of the losses "huber", "epsilon_insensitive" and "squared_epsilon_insensitive".
    n_jobs : None
        Accepted and not needed: all classes are trained in one pass over X.
    random_state : int, RandomState instance or None, default=None
        Seeds the order of the rows.
    learning_rate : {"constant", "optimal", "invscaling"} or callable, default="optimal"
        eta0; 1 / (alpha (t0 + t - 1)), t0 by Bottou's heuristic; eta0 / t^power_t; t counts update
        steps from 1. A callable gets an array of step numbers and returns their rates. With an
        optimizer other than "sgd" the default means that optimizer's own constant rate.
    eta0 : float, default=0.01
        First learning rate, > 0; not used by "optimal".
    power_t : float, default=0.5
        Exponent of "invscaling", >= 0.
    early_stopping : bool, default=False
        Hold out ``validation_fraction`` of the rows, stop by the accuracy on them, and keep the
        coefficients that scored best.
    validation_fraction : float, default=0.1
    n_iter_no_change : int, default=5
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes; one-vs-rest weighs a class's own rows in its own column.
    warm_start : bool, default=False
        Start ``fit`` from the coefficients of the last one.
    average : bool or int, default=False
        Report the mean of the iterates, from the start or from that step on.
    batch_size : int or "full", default=1
        Rows in a step. "full" is batch gradient descent.
    optimizer : {"sgd", "momentum", "nesterov", "adam"} or object, default="sgd"
        By name, or from ``fastgd.optimizers`` with hyperparameters.
    multi_class : {"auto", "ovr", "multinomial"}, default="auto"
        More than two classes: "multinomial" is a softmax, "ovr" one binary problem for each class,
        "auto" a softmax for log_loss and one-vs-rest otherwise. With two classes all are the same.

    Attributes
    ----------
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features), X's dtype
    intercept_ : ndarray of shape (1,) or (n_classes,)
    classes_ : ndarray of shape (n_classes,)
    n_iter_ : int
        Epochs of the last call.
    t_ : float
        1 + the number of update steps; with ``batch_size=1`` rows held out count too.
    history_ : dict of str to list of float
        One entry an epoch: "objective" (of each row before its own step, weighted, penalty
        included; over all columns), its parts "loss" and "penalty", "learning_rate", "seconds",
        and "validation_score" with early stopping.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastgd import SGDClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SGDClassifier(loss="log_loss", optimizer="adam", batch_size=64, random_state=0)
    >>> model.fit(X / 16, y).score(X / 16, y) > 0.95
    True
    """

    _default_learning_rate = "optimal"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseSGD._parameter_constraints,
        "loss": [StrOptions(CLASSIFIER_LOSSES), HasMethods(["value", "gradient"])],
        "n_jobs": [Integral, None],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "multi_class": [StrOptions({"auto", "ovr", "multinomial"})],
    }

    def __init__(
        self,
        loss: Any = "hinge",
        *,
        penalty: str | None = "l2",
        alpha: float = 0.0001,
        l1_ratio: float | None = 0.15,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        shuffle: bool = True,
        verbose: int = 0,
        epsilon: float = 0.1,
        n_jobs: int | None = None,
        random_state: Any = None,
        learning_rate: Any = "optimal",
        eta0: float = 0.01,
        power_t: float = 0.5,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        class_weight: Any = None,
        warm_start: bool = False,
        average: bool | int = False,
        batch_size: int | str = 1,
        optimizer: Any = "sgd",
        multi_class: str = "auto",
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.verbose = verbose
        self.epsilon = epsilon
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.average = average
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.multi_class = multi_class

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        coef_init: ArrayLike | None = None,
        intercept_init: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> "SGDClassifier":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            float32 and float64 in C order, and CSR, are used without a copy.
        y : array-like of shape (n_samples,)
            Labels.
        coef_init : array-like of shape (n_outputs, n_features), default=None
            Coefficients to start from; not changed.
        intercept_init : array-like of shape (n_outputs,), default=None
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; none means 1 each.

        Returns
        -------
        self : SGDClassifier

        Raises
        ------
        ValueError
            If X or y do not fit each other or hold what is no number, if a word is unknown, if y
            has one class only, or if the parameters overflow: the message says what would help.
        """
        self._check_call(partial=False)
        learned = self._forget()
        with or_as_before(self, learned):
            X, y = check_X_y(self, X, y, reset=True, dtype=[np.float64, np.float32])
            check_classification_targets(y)
            self.classes_ = np.unique(y)
            self._check_classes(self.classes_)
            shape = self._shape_of_params(X.shape[1])
            self._take_init(coef_init, intercept_init, shape)
            rule = self._rule(self._loss_tag(), sparse=not isinstance(X, np.ndarray))
            data, score = self._data(X, y, sample_weight)
            progress = self._begin(shape, X.dtype, rule)
            self._train(data, rule, progress, self.max_iter, self.tol, score)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        max_iter: int = 1,
    ) -> "SGDClassifier":
        """Take further epochs on these rows, from where the last call stopped.

        The state of optimizer, schedule, average and order goes on, so that calls of 2 and 3
        epochs on the same rows equal one of 5, bit for bit. Nothing stops early.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        classes : array-like of shape (n_classes,), default=None
            All labels there are; needed in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            A call whose weights are all zero changes nothing.
        max_iter : int, default=1
            Epochs to take.

        Returns
        -------
        self : SGDClassifier

        Raises
        ------
        ValueError
            As ``fit``, and if y holds a label that is not among the classes. The model is left as
            it was.
        """
        self._check_call(partial=True)
        with or_as_before(self):
            first = not hasattr(self, "_progress")
            dtype = [np.float64, np.float32] if first else self._progress.params.dtype
            X, y = check_X_y(self, X, y, reset=first, dtype=dtype)
            self._check_classes_of_call(classes, first=first)
            rule = self._rule(self._loss_tag(), sparse=not isinstance(X, np.ndarray))
            data, _ = self._data(X, y, sample_weight, all_zero=True)
            shape = self._shape_of_params(X.shape[1])
            progress = self._begin(shape, X.dtype, rule) if first else self._continue(rule)
            if data.weight.shape[0] > 0 and not data.weight.any():
                max_iter = 0
            self._train(data, rule, progress, max_iter, None)
        return self

    def _check_classes(self, classes: NDArray[Any]) -> None:
        if classes.shape[0] < 2:
            raise ValueError(
                "The number of classes has to be greater than one; got "
                f"{classes.shape[0]} class: {classes.tolist()}."
            )

    def _check_classes_of_call(self, classes: ArrayLike | None, *, first: bool) -> None:
        """Take the classes of the first call, and refuse others in later ones."""
        if not first:
            if classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
                raise ValueError(
                    f"`classes={np.asarray(classes).tolist()}` is not the same as on last call to "
                    f"partial_fit, was: {self.classes_.tolist()}"
                )
            return
        if classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit. In order to use "
                "'balanced' weights, use compute_class_weight('balanced', classes=classes, y=y). "
                "In place of y you can use a large enough sample of the full training set target "
                "to properly estimate the class frequency distributions. Pass the resulting "
                "weights as the class_weight parameter."
            )
        self.classes_ = np.unique(np.asarray(classes))
        self._check_classes(self.classes_)

    def _is_softmax(self) -> bool:
        """Tell whether the classes share a softmax."""
        return isinstance(self._loss_tag(), Softmax)

    def _loss_tag(self) -> Any:
        """Return the loss, by the number of classes: the softmax is log_loss's for many."""
        tag = _resolve.loss(self.loss, self.epsilon)
        if getattr(type(tag), "link", None) == LOG:
            raise ValueError(f"loss={self.loss!r} is for regression only: it predicts e^raw.")
        if self.multi_class == "multinomial" and self.loss != "log_loss":
            raise ValueError(
                f"multi_class='multinomial' is the softmax and goes with loss='log_loss'; got "
                f"loss={self.loss!r}. Use multi_class='ovr' or 'auto'."
            )
        many = self.classes_.shape[0] > 2
        if many and self.loss == "log_loss" and self.multi_class != "ovr":
            return Softmax()
        return tag

    def _shape_of_params(self, n_features: int) -> tuple[int, ...]:
        n_classes = self.classes_.shape[0]
        return (n_features + 1,) if n_classes == 2 else (n_features + 1, n_classes)

    def _data(
        self, X: Any, y: NDArray[Any], sample_weight: Any, *, all_zero: bool = False
    ) -> tuple[Data, Score | None]:
        """Return what to train on, and the score to stop by where rows are held out."""
        weight = check_weight(sample_weight, X, X.dtype, all_zero=all_zero)
        unit = self._unit(weight)
        codes = encode_labels(y, self.classes_)
        rows, score = NONE, None
        if self.early_stopping:
            rows, held_out = self._hold_out(y, weight)
            score = self._score_on(
                X[held_out], codes[held_out], weight[held_out] if weight.shape[0] > 0 else None
            )
        positive = np.ones(self.classes_.shape[0], X.dtype)
        if self.class_weight is not None:
            factors = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
            factors = factors.astype(X.dtype)
            if self.classes_.shape[0] > 2 and not self._is_softmax():
                positive = factors
            else:
                weight = factors[codes] * (weight if weight.shape[0] > 0 else 1)
        targets: NDArray[Any] = codes
        if self.classes_.shape[0] == 2:
            negative = getattr(type(self._loss_tag()), "negative", -1.0)
            targets = binary_targets(codes, negative, X.dtype)
        return Data(X, targets, weight, unit, rows, positive), score

    def _score_on(self, X: Any, codes: NDArray[Any], weight: NDArray[Any] | None) -> Score:
        """Return the accuracy on these rows as a function of the parameters.

        One-vs-rest has one score for each class, that of its own binary problem.
        """
        n_classes = self.classes_.shape[0]
        by_class = n_classes > 2 and not self._is_softmax()

        def score(params: NDArray[Any]) -> NDArray[np.float64]:
            raw = safe_sparse_dot(X, params[:-1]) + params[-1]
            if by_class:
                hits = (raw > 0) == (codes[:, None] == np.arange(n_classes))
                return np.average(hits, axis=0, weights=weight)
            predicted = (raw > 0).astype(np.int32) if n_classes == 2 else raw.argmax(axis=1)
            return np.array([accuracy_score(codes, predicted, sample_weight=weight)])

        return score

    def _report(self, params: NDArray[Any]) -> None:
        n_features = params.shape[0] - 1
        self.coef_ = np.ascontiguousarray(params[:-1].reshape(n_features, -1).T)
        self.intercept_ = params[-1:].reshape(-1).copy()

    def _has_probabilities(self) -> bool:
        if self.loss in ("log_loss", "modified_huber"):
            return True
        raise AttributeError(f"probability estimates are not available for loss={self.loss!r}")

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the classes' probabilities; only for "log_loss" and "modified_huber".

        A softmax's own; one-vs-rest's are each class's sigmoid, divided by their sum. For
        "modified_huber" they are (clip(raw, -1, 1) + 1) / 2 [1]_.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes), columns as in ``classes_``

        References
        ----------
        .. [1] Zadrozny & Elkan, "Transforming classifier scores into multiclass probability
           estimates", 2002, for the division by the sum.
        """
        check_is_fitted(self)
        raw = self.decision_function(X)
        if raw.ndim == 2 and self._is_softmax():
            return softmax(raw, copy=False)
        positive = _probabilities(raw, self.loss)
        if raw.ndim == 1:
            return np.column_stack([1 - positive, positive])
        total = positive.sum(axis=1, keepdims=True)
        even = np.full_like(positive, 1 / positive.shape[1])
        return np.divide(positive, total, out=even, where=total > 0)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return the logarithms of the classes' probabilities; see ``predict_proba``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))


def _probabilities(raw: NDArray[Any], loss: str) -> NDArray[Any]:
    """Return the probability of the positive class for each raw prediction."""
    if loss == "log_loss":
        # 1 / (1 + e^-raw) without overflow on either side
        e = np.exp(-np.abs(raw))
        return np.where(raw >= 0, 1, e) / (1 + e)
    return (np.clip(raw, -1, 1) + 1) / 2


class SGDRegressor(RegressorMixin, _SGD):
    """Linear regression (least squares, Huber, SVR, quantiles, GLMs) fitted by gradient descent.

    Minimises  mean_i loss(y_i, x_i @ coef + intercept) + alpha * penalty(coef)  as
    ``SGDClassifier`` does; the words and defaults are scikit-learn's.

    Parameters
    ----------
    loss : str or loss object, default="squared_error"
        "squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive"; "quantile"
        (the median; ``fastgd.losses.Quantile(0.9)`` is another quantile); or, with predictions
        exp(x @ coef + intercept), "poisson" (y >= 0), "gamma" (y > 0), "tweedie" (power 1.5,
        y >= 0; ``fastgd.losses.Tweedie(1.9)`` is another power). A NamedTuple with static methods
        ``value`` and ``gradient`` is a loss of your own.
    penalty : {"l2", "l1", "elasticnet", None}, default="l2"
        The intercept is never penalised. "l1" and "elasticnet" give exact zeros.
    alpha : float, default=1e-4
        Strength of the penalty, >= 0; also in the rate of ``learning_rate="optimal"``.
    l1_ratio : float, default=0.15
        Share of l1 in "elasticnet", in [0, 1].
    fit_intercept : bool, default=True
    max_iter : int, default=1000
        Passes over the data (epochs) at most.
    tol : float or None, default=1e-3
        Stop when the objective has not fallen by ``tol`` below its best for ``n_iter_no_change``
        epochs; None never stops.
    shuffle : bool, default=True
    verbose : int, default=0
        1 or more shows a progress bar.
    epsilon : float, default=0.1
        Of the losses "huber", "epsilon_insensitive" and "squared_epsilon_insensitive", in units of
        the target.
    random_state : int, RandomState instance or None, default=None
    learning_rate : {"constant", "optimal", "invscaling"} or callable, default="invscaling"
        As in ``SGDClassifier``.
    eta0 : float, default=0.01
    power_t : float, default=0.25
    early_stopping : bool, default=False
        Hold out ``validation_fraction`` of the rows, stop by the R2 on them, and keep the
        coefficients that scored best.
    validation_fraction : float, default=0.1
    n_iter_no_change : int, default=5
    warm_start : bool, default=False
    average : bool or int, default=False
    batch_size : int or "full", default=1
        Rows in a step. "full" is batch gradient descent.
    optimizer : {"sgd", "momentum", "nesterov", "adam"} or object, default="sgd"

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,), X's dtype
    intercept_ : ndarray of shape (1,)
    n_iter_, t_, history_, n_features_in_, feature_names_in_ : as in ``SGDClassifier``

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from fastgd import SGDRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), SGDRegressor(random_state=0))
    >>> model.fit(X, y).score(X, y) > 0.5
    True
    """

    _default_learning_rate = "invscaling"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseSGD._parameter_constraints,
        "loss": [StrOptions(REGRESSOR_LOSSES), HasMethods(["value", "gradient"])],
    }

    def __init__(
        self,
        loss: Any = "squared_error",
        *,
        penalty: str | None = "l2",
        alpha: float = 0.0001,
        l1_ratio: float | None = 0.15,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        shuffle: bool = True,
        verbose: int = 0,
        epsilon: float = 0.1,
        random_state: Any = None,
        learning_rate: Any = "invscaling",
        eta0: float = 0.01,
        power_t: float = 0.25,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        average: bool | int = False,
        batch_size: int | str = 1,
        optimizer: Any = "sgd",
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.verbose = verbose
        self.epsilon = epsilon
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.average = average
        self.batch_size = batch_size
        self.optimizer = optimizer

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        coef_init: ArrayLike | None = None,
        intercept_init: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> "SGDRegressor":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            float32 and float64 in C order, and CSR, are used without a copy.
        y : array-like of shape (n_samples,)
            Targets.
        coef_init : array-like of shape (n_features,), default=None
            Coefficients to start from; not changed.
        intercept_init : array-like of shape (1,), default=None
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; none means 1 each.

        Returns
        -------
        self : SGDRegressor

        Raises
        ------
        ValueError
            If X or y do not fit each other or hold what is no number, if a word is unknown, if the
            loss is not defined for some y, or if the parameters overflow: the message says what
            would help.
        """
        self._check_call(partial=False)
        learned = self._forget()
        with or_as_before(self, learned):
            X, y = check_X_y(self, X, y, reset=True, dtype=[np.float64, np.float32], y_numeric=True)
            self._take_init(coef_init, intercept_init, (X.shape[1] + 1,))
            rule = self._rule(self._loss_tag(), sparse=not isinstance(X, np.ndarray))
            data, score = self._data(X, y, sample_weight)
            progress = self._begin((X.shape[1] + 1,), X.dtype, rule)
            self._train(data, rule, progress, self.max_iter, self.tol, score)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        max_iter: int = 1,
    ) -> "SGDRegressor":
        """Take further epochs on these rows, from where the last call stopped.

        The state of optimizer, schedule, average and order goes on, so that calls of 2 and 3
        epochs on the same rows equal one of 5, bit for bit. Nothing stops early.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
            A call whose weights are all zero changes nothing.
        max_iter : int, default=1
            Epochs to take.

        Returns
        -------
        self : SGDRegressor
        """
        self._check_call(partial=True)
        with or_as_before(self):
            first = not hasattr(self, "_progress")
            dtype = [np.float64, np.float32] if first else self._progress.params.dtype
            X, y = check_X_y(self, X, y, reset=first, dtype=dtype, y_numeric=True)
            rule = self._rule(self._loss_tag(), sparse=not isinstance(X, np.ndarray))
            data, _ = self._data(X, y, sample_weight, all_zero=True)
            shape = (X.shape[1] + 1,)
            progress = self._begin(shape, X.dtype, rule) if first else self._continue(rule)
            if data.weight.shape[0] > 0 and not data.weight.any():
                max_iter = 0
            self._train(data, rule, progress, max_iter, None)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the predicted targets; e^raw under a loss with a log link.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", reset=False)
        raw = safe_sparse_dot(X, self.coef_.T, dense_output=True) + self.intercept_
        return _predictions(self._loss_tag(), raw.ravel())

    def _loss_tag(self) -> Any:
        return _resolve.loss(self.loss, self.epsilon)

    def _data(
        self, X: Any, y: NDArray[Any], sample_weight: Any, *, all_zero: bool = False
    ) -> tuple[Data, Score | None]:
        """Return what to train on, and the score to stop by where rows are held out."""
        weight = check_weight(sample_weight, X, X.dtype, all_zero=all_zero)
        targets = y.astype(X.dtype, copy=False)
        loss = self._loss_tag()
        check_targets(loss, targets)
        rows, score = NONE, None
        if self.early_stopping:
            rows, held_out = self._hold_out(y, weight)
            held_out_weight = weight[held_out] if weight.shape[0] > 0 else None
            score = _r2_on(loss, X[held_out], targets[held_out], held_out_weight)
        unit = self._unit(weight)
        return Data(X, targets, weight, unit, rows, np.ones(1, X.dtype)), score

    def _report(self, params: NDArray[Any]) -> None:
        self.coef_ = params[:-1].copy()
        self.intercept_ = params[-1:].copy()


def _predictions(loss: Any, raw: NDArray[Any]) -> NDArray[Any]:
    """Return the predictions that raw ones stand for."""
    if getattr(type(loss), "link", None) != LOG:
        return raw
    predicted = np.empty(raw.shape[0])
    tag = _resolve.in_dtype(loss, predicted.dtype)
    predictions(tag, raw.astype(np.float64), predicted)
    return predicted.astype(raw.dtype, copy=False)


def _r2_on(loss: Any, X: Any, y: NDArray[Any], weight: NDArray[Any] | None) -> Score:
    """Return the R2 on these rows as a function of the parameters."""

    def score(params: NDArray[Any]) -> NDArray[np.float64]:
        predicted = _predictions(loss, safe_sparse_dot(X, params[:-1]) + params[-1])
        return np.array([r2_score(y, predicted, sample_weight=weight)])

    return score
