"""Networks of dense layers, with scikit-learn's parameters."""

import itertools
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from fastgd._data.targets import Targets
from fastgd._data.validation import fit_context
from fastgd._networks import names
from fastgd._networks.assembly import Assembly
from fastgd._training.estimator import Validation
from fastgd.initializers import INITIALIZERS
from fastgd.kernels.activations import ACTIVATIONS
from fastgd.kernels.layers import BatchNorm, Dense, Dropout, LayerNorm
from fastgd.kernels.losses import LOSSES, REGRESSION, kind_of
from fastgd.neural_network._base import AUTO_BATCH, BaseNetwork
from fastgd.neural_network._kinds import ClassifierNetwork, RegressorNetwork
from fastgd.neural_network._parameters import filled

# of a step from which on "auto" leaves rows on a device: a core's 0.1 ms, which some dozen launches
# and the host's part in them take as well
LEAST_PRODUCTS = 1 << 19
NORMALIZATIONS = {"batch": BatchNorm(), "layer": LayerNorm()}
LOSSES_OF_NUMBERS = {name for name, spec in LOSSES.items() if kind_of(spec) == REGRESSION}
LOSSES_OF_CLASSES = {name for name, spec in LOSSES.items() if kind_of(spec) != REGRESSION} | {
    "squared_error",
    "huber",
}


class _Dense(BaseNetwork):
    """What both have: hidden layers of one kind."""

    hidden_layer_sizes: Any
    activation: Any
    dropout: Any
    normalization: Any
    init: Any

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseNetwork._parameter_constraints,
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [
            StrOptions(set(ACTIVATIONS)),
            HasMethods(["value", "gradient"]),
            list,
            tuple,
        ],
        "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
        "normalization": [StrOptions({"batch", "layer"}), None],
        "init": [StrOptions(set(INITIALIZERS)), HasMethods(["draw"]), list, tuple, None],
    }

    def _loses_on_cuda(self, X: Any) -> str | None:
        """Return why the processor is faster, None where it is not known to be.

        How many outputs there are is not known before y is looked at: one is counted.
        """
        if self.solver == "lbfgs" or self.batch_size == "full" or len(X.shape) != 2:
            return None
        size = AUTO_BATCH if self.batch_size == "auto" else int(self.batch_size)
        units = [X.shape[1], *self._hidden_sizes(), 1]
        n_products = size * sum(a * b for a, b in itertools.pairwise(units))
        if n_products >= LEAST_PRODUCTS:
            return None
        return (
            f"batch_size={size} of these layers, {n_products:,} products, is less work than a "
            f"device takes to begin a step: from {LEAST_PRODUCTS:,} on it pays. X was copied to "
            "the processor; device='cuda' trains where it lies."
        )

    def _hidden_sizes(self) -> list[int]:
        """Return how many units each hidden layer has."""
        sizes: list[int] = np.atleast_1d(np.asarray(self.hidden_layer_sizes)).tolist()
        if any(type(size) is not int or size < 1 for size in sizes):
            raise ValueError(
                "hidden_layer_sizes must be > 0: whole numbers, one for each hidden layer, got "
                f"{self.hidden_layer_sizes!r}."
            )
        return sizes

    def _assemble(self, shape: tuple[int, ...], targets: Targets) -> Assembly:
        sizes = self._hidden_sizes()
        n = len(sizes)
        activations = _each(self.activation, n, "activation")
        rates, inits = _each(self.dropout, n, "dropout"), _each(self.init, n, "init", more=1)
        layers: list[Any] = []
        for k, size in enumerate(sizes):
            init = inits[k]
            if init is None:  # chosen by the activation, which normalisation may separate
                chosen = names.activation(activations[k], f"activation[{k}]")
                init = names.usual_init(Dense(size, chosen))
            layers.append(Dense(size, init=init))
            if self.normalization is not None:
                layers.append(NORMALIZATIONS[self.normalization])
            layers.append(activations[k])
            if rates[k] > 0:
                layers.append(Dropout(float(rates[k])))
        layers.append(Dense(targets.n_outputs or 1, init=inits[n]))
        return Assembly(layers, shape, "hidden layers")

    @property
    def n_layers_(self) -> int:
        """Number of layers, that of the inputs included."""
        return len(self.coefs_) + 1


def _each(given: Any, n: int, name: str, more: int = 0) -> list[Any]:
    """Return a value for each hidden layer; ``more`` values for what comes after them."""
    if not isinstance(given, (list, tuple)) or hasattr(given, "_fields"):
        return [given] * (n + more)
    if len(given) not in (n, n + more):
        raise ValueError(
            f"{name} must be one value, or one for each of the {n} hidden layers; got "
            f"{len(given)}: {given!r}."
        )
    values = list(given)
    return values + [None] * (n + more - len(values))


@filled
class MLPClassifier(ClassifierNetwork, _Dense):
    """Multi-layer perceptron for classes: dense layers, fitted by back-propagation.

    Minimises, in batches of m rows,

        mean_i loss(y_i, f(x_i)) + alpha / (2 m) |weights|^2,
        f(x) = W_L' s(... s(W_1' x + b_1) ...) + b_L

    with the softmax's cross-entropy for more than two classes. Parameters, defaults and fitted
    attributes are scikit-learn's; what is more stands after ``max_fun``.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, default=(100,)
        Units of each hidden layer.
    activation : str, activation or list of them, default="relu"
        Of the hidden layers; see ``fastgd.activations``. A list has one for each.
    {shared}
    loss : str or loss object, default="log_loss"
        Any loss for classes; see ``fastgd.losses``.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes.
    dropout : float or list of float, default=0.0
        The share of each hidden layer's outputs that is dropped while training.
    normalization : {"batch", "layer"} or None, default=None
        What stands between a hidden layer's sums and its activation.
    init : str, initializer, list or None, default=None
        What weights start with; see ``fastgd.initializers``. By default He's uniform numbers for
        activations that cut off one half, else Glorot's.

    Attributes
    ----------
    coefs_, intercepts_ : list of ndarray
        Weights (inputs, units) and biases (units,) of each layer; views of the parameters.
    classes_ : ndarray of shape (n_classes,)
    history_ : dict of str to list
        An entry an epoch for each figure.
    loss_curve_, loss_, best_loss_, validation_scores_, best_validation_score_
        The objective and the score, as scikit-learn has them.
    n_iter_, n_layers_, n_outputs_, out_activation_, t_, n_features_in_

    References
    ----------
    .. [1] Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors",
       Nature 323, 1986.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastgd.neural_network import MLPClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = MLPClassifier((32,), max_iter=30, tol=None, random_state=0).fit(X / 16, y)
    >>> model.score(X / 16, y) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_Dense._parameter_constraints,
        "loss": [
            StrOptions(LOSSES_OF_CLASSES),
            HasMethods(["gradient"]),
            HasMethods(["gradient_row"]),
        ],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float | None = 1e-4,
        verbose: int = 0,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        average: bool | int = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        quantize: Any = None,
        on_divergence: str = "raise",
        monitor: bool = False,
        callbacks: Any = None,
        device: str = "auto",
        n_jobs: int | None = None,
        loss: Any = "log_loss",
        class_weight: Any = None,
        dropout: Any = 0.0,
        normalization: str | None = None,
        init: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.average = average
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.quantize = quantize
        self.on_divergence = on_divergence
        self.monitor = monitor
        self.callbacks = callbacks
        self.device = device
        self.n_jobs = n_jobs
        self.loss = loss
        self.class_weight = class_weight
        self.dropout = dropout
        self.normalization = normalization
        self.init = init

    @fit_context
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> "MLPClassifier":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            float32 is computed in float32.
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_labels)
            Labels; or a table of zeros and ones.
        sample_weight : array-like of shape (n_samples,), default=None
        X_val, y_val, sample_weight_val : as X, y and sample_weight, default=None
            Rows to stop by, whatever ``early_stopping`` says; the best parameters are kept.

        Returns
        -------
        self : MLPClassifier

        Raises
        ------
        ValueError
            If X or y do not fit each other, if an argument is not what it may be, or if the
            parameters overflow.
        """
        self._fit(X, y, sample_weight, Validation(X_val, y_val, sample_weight_val))
        return self

    @fit_context
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        max_iter: int = 1,
    ) -> "MLPClassifier":
        """Take further epochs on these rows, from where the last call stopped.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_labels)
        sample_weight : array-like of shape (n_samples,), default=None
        classes : array-like of shape (n_classes,), default=None
            All labels there are; needed in the first call, unless y is a table of labels.
        max_iter : int, default=1
            Epochs to take.

        Returns
        -------
        self : MLPClassifier

        Raises
        ------
        ValueError
            As ``fit``, and if y holds a label that is not among the classes. The model is left as
            it was.
        """
        self._partial_fit(X, y, classes, sample_weight, max_iter)
        return self


@filled
class MLPRegressor(RegressorNetwork, _Dense):
    """Multi-layer perceptron for numbers: dense layers, fitted by back-propagation.

    Minimises what ``MLPClassifier`` does, with any loss for numbers, of one target or several.
    Parameters, defaults and fitted attributes are scikit-learn's; what is more stands after
    ``max_fun``.

    Parameters
    ----------
    loss : str or loss object, default="squared_error"
        Any loss for numbers; see ``fastgd.losses``. "poisson", "gamma" and "tweedie" predict e^f.
    hidden_layer_sizes : array-like of int, default=(100,)
        Units of each hidden layer.
    activation : str, activation or list of them, default="relu"
        Of the hidden layers; see ``fastgd.activations``. A list has one for each.
    {shared}
    dropout : float or list of float, default=0.0
        The share of each hidden layer's outputs that is dropped while training.
    normalization : {"batch", "layer"} or None, default=None
        What stands between a hidden layer's sums and its activation.
    init : str, initializer, list or None, default=None
        What weights start with; see ``fastgd.initializers``. By default He's uniform numbers for
        activations that cut off one half, else Glorot's.

    Attributes
    ----------
    coefs_, intercepts_ : list of ndarray
        Weights (inputs, units) and biases (units,) of each layer; views of the parameters.
    history_ : dict of str to list
        An entry an epoch for each figure.
    loss_curve_, loss_, best_loss_, validation_scores_, best_validation_score_
        The objective and the score, as scikit-learn has them.
    n_iter_, n_layers_, n_outputs_, out_activation_, t_, n_features_in_

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from fastgd.neural_network import MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MLPRegressor(hidden_layer_sizes=(32,), learning_rate_init=0.01, random_state=0)
    >>> model.fit(10 * X, (y - y.mean()) / y.std()).score(10 * X, (y - y.mean()) / y.std()) > 0.5
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_Dense._parameter_constraints,
        "loss": [StrOptions(LOSSES_OF_NUMBERS), HasMethods(["value", "gradient"])],
    }

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float | None = 1e-4,
        verbose: int = 0,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        average: bool | int = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        quantize: Any = None,
        on_divergence: str = "raise",
        monitor: bool = False,
        callbacks: Any = None,
        device: str = "auto",
        n_jobs: int | None = None,
        dropout: Any = 0.0,
        normalization: str | None = None,
        init: Any = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.average = average
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.quantize = quantize
        self.on_divergence = on_divergence
        self.monitor = monitor
        self.callbacks = callbacks
        self.device = device
        self.n_jobs = n_jobs
        self.dropout = dropout
        self.normalization = normalization
        self.init = init

    @fit_context
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> "MLPRegressor":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            float32 is computed in float32.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None
        X_val, y_val, sample_weight_val : as X, y and sample_weight, default=None
            Rows to stop by, whatever ``early_stopping`` says; the best parameters are kept.

        Returns
        -------
        self : MLPRegressor

        Raises
        ------
        ValueError
            If X or y do not fit each other, if an argument is not what it may be, or if the
            parameters overflow.
        """
        self._fit(X, y, sample_weight, Validation(X_val, y_val, sample_weight_val))
        return self

    @fit_context
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        max_iter: int = 1,
    ) -> "MLPRegressor":
        """Take further epochs on these rows, from where the last call stopped.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None
        max_iter : int, default=1
            Epochs to take.

        Returns
        -------
        self : MLPRegressor

        Raises
        ------
        ValueError
            As ``fit``. The model is left as it was.
        """
        self._partial_fit(X, y, None, sample_weight, max_iter)
        return self
