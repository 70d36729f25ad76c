"""SGDClassifier: labels in, classes out."""

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from fastgd._data.parts import by_parts
from fastgd._data.validation import check_X_y, fit_context
from fastgd._parameters import resolve
from fastgd._training.estimator import Validation
from fastgd._training.labels import LabelledModel, dense_labels, is_table_of_labels
from fastgd.base import BaseSGD, SupervisedSGD
from fastgd.kernels.losses import LOG, LOSSES, MULTINOMIAL, kind_of, link_of, of_classes

LOSSES_OF_CLASSES = sorted(
    name
    for name, spec in LOSSES.items()
    if kind_of(spec) != MULTINOMIAL and link_of(spec) != LOG and name != "quantile"
)


class SGDClassifier(LabelledModel, LinearClassifierMixin, SupervisedSGD):
    """Linear classifiers (SVM, logistic and softmax regression) fitted by gradient descent.

    Minimises  mean_i loss(y_i, x_i @ coef + intercept) + alpha * penalty(coef)  by steps

        w <- prox(w - eta_t * mean over the batch of loss'(y_i, raw_i) x_i)

    or those of another optimizer. Arguments and defaults are scikit-learn's, and with
    ``batch_size=1``, ``multi_class="ovr"`` and ``shuffle=False`` so are the coefficients; what is
    added: batches, optimizers, and a softmax for more than two classes.

    Parameters
    ----------
    loss : str or loss object, default="hinge"
        "hinge" (linear SVM), "log_loss" (logistic or softmax regression), "modified_huber",
        "squared_hinge", "smooth_hinge", "perceptron", "focal"; or a regression loss on targets -1
        and 1: "squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive",
        "absolute_error", "log_cosh". Objects from ``fastgd.losses`` have parameters of their own:
        ``Focal(gamma=1.0)``, ``Softmax(label_smoothing=0.1)``. A NamedTuple with static methods
        ``value(loss, y_true, raw)`` and ``gradient(loss, y_true, raw)`` is a loss of your own.
    penalty : {"l2", "l1", "elasticnet", None} or object, default="l2"
        The intercept is never penalised. "l1" and "elasticnet" give exact zeros. Objects from
        ``fastgd.penalties`` have strengths of their own, and ``alpha`` then is for
        ``learning_rate="optimal"`` alone: bounds (``Bounded(low=0.0)`` for coefficients >= 0),
        ``MaxNorm``, ``GroupLasso`` over the outputs of a feature, and factors for each feature
        (``Weighted``).
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
        1 shows a bar over the epochs, 2 or more writes a line for each through ``logging``.
    epsilon : float, default=0.1
        Of the losses "huber", "epsilon_insensitive" and "squared_epsilon_insensitive".
    n_jobs : int or None, default=None
        How many threads share a batch that is large enough, some thousand rows; the result does not
        depend on it. None: as many as the environment allows. All classes are trained in one pass
        over X.
    random_state : int, RandomState instance or None, default=None
        Seeds the order of the rows.
    learning_rate : str, schedule or callable, default="optimal"
        "constant": eta0; "optimal": 1 / (alpha (t0 + t - 1)), t0 by Bottou's heuristic;
        "invscaling": eta0 / t^power_t; "adaptive": eta0, a fifth of it each time training stalls;
        t counts update steps from 1. "step", "multistep", "exponential", "polynomial", "cosine",
        "cosine_restarts", "one_cycle", "inverse_sqrt" and "plateau" stretch over ``max_iter``
        epochs, and want ``tol=None`` to see their end; objects from ``fastgd.schedules`` have
        parameters of their own, ``WarmUp`` goes in front of any. A callable gets an array of step
        numbers and returns their rates. With an optimizer other than "sgd" the default means that
        optimizer's own constant rate. "pa1" and "pa2" are the passive-aggressive steps, C = eta0,
        for the hinge loss. "auto" needs no rate, and no scaling of columns or targets, from the
        first row on: normalised adaptive steps (Ross, Mineiro & Langford 2013, Algorithm 2; see
        docs/design/rate-free.md), of which the average of the last ones is reported.
    eta0 : float, default=0.01
        First learning rate, > 0; not used by "optimal" and "auto". With an optimizer other than
        "sgd" the default means that optimizer's own.
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
        Report the mean of the iterates: True from the start, an int >= 1 from that step on.
    batch_size : int or "full", default=1
        Rows in a step. "full" is batch gradient descent.
    optimizer : str or object, default="sgd"
        "sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "amsgrad", "adamw",
        "nadam", "adamax", "lion", "ftrl"; objects from ``fastgd.optimizers`` have parameters of
        their own. On sparse rows, Adam and similar ones, and under a penalty "rmsprop" and
        "adadelta", leave the coefficient of a feature that is absent from a batch as it is, unless
        given ``lazy=False``; the others do what they do on dense rows.
    multi_class : {"auto", "ovr", "multinomial"}, default="auto"
        More than two classes: "multinomial" is a softmax, "ovr" one binary problem for each class,
        "auto" a softmax for log_loss and one-vs-rest otherwise. With two classes all are the same.
    positive : bool, default=False
        Keep all coefficients >= 0; the intercept is free.
    intercept_rate : float, default=1.0
        Factor of the intercept's steps, > 0. scikit-learn's is 0.01 on sparse rows, where the
        intercept has a share in each row and a feature in few: on texts smaller steps of the
        intercept are better. 1 for "muon" and "prodigy", which step all parameters as a whole.
    clip_norm : float or None, default=None
        Largest Euclidean norm of a step's gradient, > 0; a longer one is shortened to it. Classes
        that share a softmax share the norm, other outputs have one each. ``history_["clipped"]`` is
        the share of steps that were clipped.
    clip_value : float or None, default=None
        Largest magnitude of an entry of a step's gradient, > 0; before ``clip_norm``.
    quantize : {"qsgd", "terngrad", "sign", "topk"}, int, object or None, default=None
        Replace each gradient by what a worker would send of it: an int is the bits of QSGD, 1 to 8;
        objects are in ``fastgd.transforms``. It is there to see what compression costs in accuracy
        (docs/quantization.md); on one machine it only takes time.
    on_divergence : {"raise", "backoff", "warn"}, default="raise"
        What to do when parameters or objective explode. "raise": a ValueError names epoch, step,
        learning rate and the feature of the largest magnitude; it waits for an overflow, as
        scikit-learn does, and warns at the end if the objective has risen. "warn": go back to the
        best epoch, warn and stop, also where the objective is a thousand times that of the start.
        "backoff": go back to the best epoch, quarter the learning rate and go on, whenever the
        objective is ten times that of the start, or training would end above it;
        ``history_["backoffs"]`` counts.
    monitor : bool, default=False
        After each epoch, take another pass over X for ``history_["true_objective"]``, the objective
        at the coefficients as they are, and ``history_["gradient_norm"]``.
    callbacks : list or None, default=None
        What is done after each epoch: objects of ``fastgd.callbacks``, or functions of a view of
        the fit (docs/watching.md).
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the model is fitted and predicts (docs/gpu.md). "auto": where X lies, so that NumPy's
        arrays stay on the processor; "cuda" sends them to the device.

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
        included, summed over the outputs; on CSR rows under l1 or a momentum, what steps do to the
        coefficient of a feature while it is absent counts when it is next read), its parts "loss"
        and "penalty", "learning_rate" (of the last step), "update_norm" (how far the epoch moved
        all parameters), "coef_norm", "samples" seen so far, "seconds", "validation_score" with
        early stopping, and what ``on_divergence`` and ``monitor`` add. An endless stream of calls
        of ``partial_fit`` keeps the last 16,384 epochs at least.
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

    classes_: NDArray[Any]
    _default_learning_rate = "optimal"

    loss_functions: ClassVar[dict[str, Any]] = {name: LOSSES[name] for name in LOSSES_OF_CLASSES}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseSGD._parameter_constraints,
        "loss": [
            StrOptions(set(LOSSES_OF_CLASSES)),
            HasMethods(["value", "gradient"]),
            HasMethods(["value_row", "gradient_row"]),
        ],
        "n_jobs": [Integral, None],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "multi_class": [StrOptions({"auto", "ovr", "multinomial"})],
    }

    def __init__(
        self,
        loss: Any = "hinge",
        *,
        penalty: Any = "l2",
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
        positive: bool = False,
        intercept_rate: float = 1.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        quantize: Any = None,
        on_divergence: str = "raise",
        monitor: bool = False,
        callbacks: Any = None,
        device: str = "auto",
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
        self.positive = positive
        self.intercept_rate = intercept_rate
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.quantize = quantize
        self.on_divergence = on_divergence
        self.monitor = monitor
        self.callbacks = callbacks
        self.device = device

    @fit_context
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        coef_init: ArrayLike | None = None,
        intercept_init: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> "SGDClassifier":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            float32 and float64 in C order, and CSR, are used without a copy; anything else is
            copied once. Rows that do not fit into memory: what ``fastgd.datasets.open`` returns
            (y is None then, and so is y_val where X_val is one), or a collection of Dask's; they
            are shuffled within a chunk, and so are the chunks.
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_labels)
            Labels; or, with more than one for a row, a table of zeros and ones.
        coef_init : array-like of shape (n_outputs, n_features), default=None
            Coefficients to start from; not changed.
        intercept_init : array-like of shape (n_outputs,), default=None
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; none means 1 each.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Rows to stop by: training ends when ``score(X_val, y_val)`` no longer rises, whatever
            ``early_stopping`` says, and the best coefficients are kept. Nothing of X is held out.
            In a ``Pipeline`` it is transformed as X is with ``transform_input=["X_val"]``.
        y_val : array-like of shape (n_val,), default=None
            Labels of these rows.
        sample_weight_val : array-like of shape (n_val,), default=None

        Returns
        -------
        self : SGDClassifier

        Raises
        ------
        ValueError
            If X or y do not fit each other or hold what is no number, if an argument is unknown, if
            y has one class only, or if the parameters overflow: the message says what would help.
        """
        held_out = Validation(X_val, y_val, sample_weight_val)
        self._fit(X, y, (coef_init, intercept_init), sample_weight, held_out)
        return self

    @fit_context
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        max_iter: int = 1,
    ) -> "SGDClassifier":
        """Take further epochs on these rows, from where the last call stopped.

        The state of optimizer, schedule, average and order goes on, so that calls of 2 and 3
        epochs on the same rows equal one of 5, bit for bit, with or without pickling in between.
        Nothing stops early.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_labels)
        classes : array-like of shape (n_classes,), default=None
            All labels there are; needed in the first call, unless y is a table of labels.
        sample_weight : array-like of shape (n_samples,), default=None
            A call whose weights are all zero changes nothing. In batches of more than one row,
            weights count relative to the mean of the call's.
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
        self._partial_fit(X, y, classes, sample_weight, max_iter)
        return self

    # -- targets ----------------------------------------------------------------------------------

    def _check_X_y(self, X: Any, y: Any, *, first: bool, dtype: Any) -> tuple[Any, Any]:
        table, y = is_table_of_labels(y), dense_labels(y)
        X, y = check_X_y(self, X, y, reset=first, dtype=dtype, multi_output=table)
        return X, np.asarray(y)

    def _check_y_val(self, y: Any) -> NDArray[Any]:
        return _dense(y) if is_table_of_labels(y) else column_or_1d(y, warn=True)

    def _learn_targets(self, y: Any) -> None:
        self._is_multilabel = y.ndim == 2
        if not self._is_multilabel and y.dtype.kind == "i":
            self._take_classes(y)
            if 2 * self.classes_.shape[0] <= y.shape[0]:  # else scikit-learn wonders
                return
        check_classification_targets(y)
        if self._is_multilabel:
            self._refuse_words_of_single_labels()
            if not np.isin(y, (0, 1)).all():
                raise ValueError(
                    "y has two columns or more, so it must be a table of labels, of zeros and "
                    f"ones; got {np.unique(y).tolist()}."
                )
            self.classes_ = np.arange(y.shape[1])
        else:
            self._take_classes(y)

    def _refuse_words_of_single_labels(self) -> None:
        """Refuse what has no meaning where a row may have several labels, or none."""
        if self.class_weight is not None:
            raise ValueError(
                "class_weight is for one label a row; y is a table of labels. Use sample_weight."
            )
        if self.multi_class == "multinomial":
            raise ValueError(
                "multi_class='multinomial' is for one label a row; y is a table of labels. Use "
                "multi_class='auto'."
            )

    def _loss_spec(self) -> Any:
        """Return the loss, by the number of classes: the softmax is log_loss's for many."""
        spec = resolve.loss(self.loss, self.epsilon)
        if link_of(spec) == LOG:
            raise ValueError(f"loss={self.loss!r} is for regression only: it predicts e^raw.")
        is_softmax, of_many = kind_of(spec) == MULTINOMIAL, of_classes(spec)
        if self.multi_class == "multinomial" and of_many is None and not is_softmax:
            raise ValueError(
                f"multi_class='multinomial' is the softmax and goes with loss='log_loss'; got "
                f"loss={self.loss!r}. Use multi_class='ovr' or 'auto'."
            )
        many = self.classes_.shape[0] > 2 and not self._is_multilabel
        if is_softmax and (not many or self.multi_class == "ovr"):
            raise ValueError(
                f"loss={self.loss!r} is for more than two classes that share a softmax; use "
                "loss='log_loss'."
            )
        is_joint = many and of_many is not None and self.multi_class != "ovr"
        return of_many if is_joint else spec

    # -- predictions ------------------------------------------------------------------------------

    @by_parts
    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return the raw predictions: the signed distances to the boundaries, times |coef|.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Positive where the second of two classes, or the output's own, is predicted.
        """
        raw = self._raw(X)
        return raw.ravel() if raw.shape[1] == 1 else raw

    @available_if(LabelledModel._has_probabilities)
    @by_parts
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the classes' probabilities, where the loss has them.

        "log_loss" and "modified_huber" do; "focal" has its sigmoid, which is not calibrated. They
        are a softmax's own; one-vs-rest's are each class's sigmoid, divided by their sum. For
        "modified_huber" they are (clip(raw, -1, 1) + 1) / 2 [1]_.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes), columns as in ``classes_``
            For a table of labels, each label's own probability.

        References
        ----------
        .. [1] Zadrozny & Elkan, "Transforming classifier scores into multiclass probability
           estimates", 2002, for the division by the sum.
        """
        check_is_fitted(self)
        return self._targets().probabilities(self.decision_function(X))


def _dense(y: Any) -> NDArray[Any]:
    return y.toarray() if sp.issparse(y) else np.asarray(y)
