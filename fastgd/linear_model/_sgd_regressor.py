"""SGDRegressor: numbers in, numbers out."""

from typing import Any, ClassVar

from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.validation import check_array, column_or_1d

from fastgd._data.parts import ScoredAnywhere, by_parts
from fastgd._data.targets import Regression
from fastgd._data.validation import check_X_y, fit_context
from fastgd._parameters import resolve
from fastgd._training.estimator import Validation
from fastgd.base import BaseSGD, SupervisedSGD
from fastgd.kernels.losses import LOSSES, REGRESSION, kind_of

LOSSES_OF_NUMBERS = {name for name, spec in LOSSES.items() if type(spec).kind == REGRESSION}


class SGDRegressor(ScoredAnywhere, RegressorMixin, SupervisedSGD):
    """Linear regression (least squares, Huber, SVR, quantiles, GLMs) fitted by gradient descent.

    Minimises  mean_i loss(y_i, x_i @ coef + intercept) + alpha * penalty(coef)  as
    ``SGDClassifier`` does; arguments and defaults are scikit-learn's.

    Parameters
    ----------
    loss : str or loss object, default="squared_error"
        "squared_error", "absolute_error", "huber", "log_cosh", "epsilon_insensitive",
        "squared_epsilon_insensitive"; "quantile"
        (the median; ``fastgd.losses.Quantile(0.9)`` is another quantile); or, with predictions
        exp(x @ coef + intercept), "poisson" (y >= 0), "gamma" (y > 0), "tweedie" (power 1.5,
        y >= 0; ``fastgd.losses.Tweedie(1.9)`` is another power). A NamedTuple with static methods
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
    verbose : int, default=0
        1 shows a bar over the epochs, 2 or more writes a line for each through ``logging``.
    epsilon : float, default=0.1
        Of the losses "huber", "epsilon_insensitive" and "squared_epsilon_insensitive", in units of
        the target.
    random_state : int, RandomState instance or None, default=None
    learning_rate : str, schedule or callable, default="invscaling"
        As in ``SGDClassifier``. "auto" takes columns and targets in any units.
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
    optimizer : str or object, default="sgd"
        As in ``SGDClassifier``.
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
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features), X's dtype
    intercept_ : ndarray of shape (1,) or (n_targets,)
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
    _passive_aggressive_loss = "epsilon_insensitive"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseSGD._parameter_constraints,
        "loss": [StrOptions(LOSSES_OF_NUMBERS), HasMethods(["value", "gradient"])],
    }

    def __init__(
        self,
        loss: Any = "squared_error",
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
    ) -> "SGDRegressor":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or rows in parts
            float32 and float64 in C order, and CSR, are used without a copy; anything else is
            copied once. Rows that do not fit into memory: what ``fastgd.datasets.open`` returns
            (y is None then, and so is y_val where X_val is one), or a collection of Dask's; they
            are shuffled within a chunk, and so are the chunks.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets. Many are fitted in one pass over X, each as if it were alone.
        coef_init : array-like of shape (n_features,) or (n_targets, n_features), default=None
            Coefficients to start from; not changed.
        intercept_init : array-like of shape (1,) or (n_targets,), default=None
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; none means 1 each.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Rows to stop by: training ends when ``score(X_val, y_val)`` no longer rises, whatever
            ``early_stopping`` says, and the best coefficients are kept. Nothing of X is held out.
            In a ``Pipeline`` it is transformed as X is with ``transform_input=["X_val"]``.
        y_val : array-like of shape (n_val,) or (n_val, n_targets), default=None
            Targets of these rows.
        sample_weight_val : array-like of shape (n_val,), default=None

        Returns
        -------
        self : SGDRegressor

        Raises
        ------
        ValueError
            If X or y do not fit each other or hold what is no number, if an argument is unknown, if
            the loss is not defined for some y, or if the parameters overflow: the message says what
            would help.
        """
        held_out = Validation(X_val, y_val, sample_weight_val)
        self._fit(X, y, (coef_init, intercept_init), sample_weight, held_out)
        return self

    @fit_context
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        max_iter: int = 1,
    ) -> "SGDRegressor":
        """Take further epochs on these rows, from where the last call stopped.

        The state of optimizer, schedule, average and order goes on, so that calls of 2 and 3
        epochs on the same rows equal one of 5, bit for bit, with or without pickling in between.
        Nothing stops early.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None
            A call whose weights are all zero changes nothing. In batches of more than one row,
            weights count relative to the mean of the call's.
        max_iter : int, default=1
            Epochs to take.

        Returns
        -------
        self : SGDRegressor
        """
        self._partial_fit(X, y, None, sample_weight, max_iter)
        return self

    # -- targets ----------------------------------------------------------------------------------

    def _check_X_y(self, X: Any, y: Any, *, first: bool, dtype: Any) -> tuple[Any, Any]:
        params = {"y_numeric": True, "multi_output": True}
        X, y = check_X_y(self, X, y, reset=first, dtype=dtype, **params)
        return X, column_or_1d(y, warn=True) if y.shape[1:] == (1,) else y

    def _check_y_val(self, y: Any) -> NDArray[Any]:
        y = check_array(y, dtype="numeric", ensure_2d=False, input_name="y_val")
        return y.ravel() if y.shape[1:] == (1,) else y

    def _learn_targets(self, y: Any) -> None:
        self._n_targets = y.shape[1] if y.ndim == 2 else None

    def _targets(self) -> Regression:
        return Regression(self._loss_spec(), self._n_targets)

    def _loss_spec(self) -> Any:
        spec = resolve.loss(self.loss, self.epsilon)
        if kind_of(spec) != REGRESSION:
            raise ValueError(f"loss={self.loss!r} is for classes; SGDRegressor has numbers as y.")
        return spec

    # -- predictions ------------------------------------------------------------------------------

    @by_parts
    def predict(self, X: Any) -> NDArray[Any]:
        """Return the predicted targets; e^raw under a loss with a log link.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_targets)
        """
        raw = self._raw(X)
        return self._targets().predicted(raw if self.coef_.ndim == 2 else raw.ravel())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
