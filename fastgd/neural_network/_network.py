"""Networks of any layers."""

from typing import Any, ClassVar

from numpy.typing import ArrayLike

from fastgd._data.targets import Targets
from fastgd._data.validation import fit_context
from fastgd._networks import names
from fastgd._networks.assembly import Assembly
from fastgd._networks.images import Images
from fastgd._training.estimator import Validation
from fastgd.kernels.layers import AvgPool2D, Conv2D, MaxPool2D
from fastgd.neural_network._base import BaseNetwork
from fastgd.neural_network._kinds import ClassifierNetwork, RegressorNetwork
from fastgd.neural_network._mlp import MLPClassifier, MLPRegressor
from fastgd.neural_network._parameters import filled

OF_IMAGES = (Conv2D, MaxPool2D, AvgPool2D)


class _Layered(BaseNetwork):
    """What both have: a list of layers, and rows of several axes."""

    layers: Any
    channels_first: bool

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseNetwork._parameter_constraints,
        "layers": [list, tuple],
        "channels_first": ["boolean"],
    }

    def _images(self) -> Images:
        first = next((x for x in self.layers if not names.is_activation(x)), None)
        adds = isinstance(first, OF_IMAGES)
        return Images(has_axes=True, channels_first=self.channels_first, adds_channel=adds)

    def _assemble(self, shape: tuple[int, ...], targets: Targets) -> Assembly:
        if len(self.layers) == 0:
            raise ValueError("layers is empty: give at least one layer of fastgd.layers.")
        assembly = Assembly(self.layers, shape)
        wanted = targets.n_outputs or 1
        if assembly.output_shape != (wanted,):
            raise ValueError(
                f"the last layer makes rows of shape {assembly.output_shape}, and y needs "
                f"{wanted} {'output' if wanted == 1 else 'outputs'}: end with Dense({wanted})."
            )
        return assembly


@filled
class NetworkClassifier(ClassifierNetwork, _Layered):
    """A network of any layers for classes, fitted by back-propagation.

    Minimises what ``MLPClassifier`` does. The last layer's outputs are raw predictions: one for two
    classes, else one for each; no softmax is needed at the end.

    Parameters
    ----------
    layers : list of layers and activations
        In the order in which rows pass; see ``fastgd.layers`` and ``fastgd.activations``. The last
        is ``Dense`` with as many units as outputs are needed.
    {shared}
    loss : str or loss object, default="log_loss"
        Any loss for classes; see ``fastgd.losses``.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes.
    channels_first : bool, default=False
        Whether X is (n_samples, channels, height, width), or (n_samples, channels, length).

    Attributes
    ----------
    coefs_, intercepts_ : list of ndarray
        Weights and biases of each layer that has weights; views of the parameters. Those of a
        convolution are (window height x window width x channels, filters).
    classes_ : ndarray of shape (n_classes,)
    history_ : dict of str to list
        An entry an epoch for each figure.
    loss_curve_, loss_, best_loss_, validation_scores_, best_validation_score_
        The objective and the score, as scikit-learn has them.
    n_iter_, n_outputs_, out_activation_, t_, n_features_in_

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastgd.layers import Conv2D, Dense, MaxPool2D
    >>> from fastgd.neural_network import NetworkClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> images = X.reshape(-1, 8, 8) / 16
    >>> layers = [Conv2D(8, 3, activation="relu"), MaxPool2D(2), Dense(10)]
    >>> model = NetworkClassifier(layers, max_iter=10, tol=None, batch_size=32, random_state=0)
    >>> model.fit(images, y).score(images, y) > 0.9
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_Layered._parameter_constraints,
        "loss": MLPClassifier._parameter_constraints["loss"],
        "class_weight": MLPClassifier._parameter_constraints["class_weight"],
    }

    def __init__(
        self,
        layers: Any,
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
        channels_first: bool = False,
    ) -> None:
        self.layers = layers
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
        self.channels_first = channels_first

    @fit_context
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> "NetworkClassifier":
        """Fit the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, length, channels), \
(n_samples, height, width) or (n_samples, height, width, channels)
            float32 is computed in float32. CSR goes with a first layer ``Dense``.
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_labels)
            Labels; or a table of zeros and ones.
        sample_weight : array-like of shape (n_samples,), default=None
        X_val, y_val, sample_weight_val : as X, y and sample_weight, default=None
            Rows to stop by, whatever ``early_stopping`` says; the best parameters are kept.

        Returns
        -------
        self : NetworkClassifier

        Raises
        ------
        ValueError
            If a layer cannot take what comes in (the message names it), if X or y do not fit each
            other, or if the parameters overflow.
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
    ) -> "NetworkClassifier":
        """Take further epochs on these rows, from where the last call stopped.

        Parameters
        ----------
        X : array-like, rows as those of ``fit``
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_labels)
        sample_weight : array-like of shape (n_samples,), default=None
        classes : array-like of shape (n_classes,), default=None
            All labels there are; needed in the first call, unless y is a table of labels.
        max_iter : int, default=1
            Epochs to take.

        Returns
        -------
        self : NetworkClassifier

        Raises
        ------
        ValueError
            As ``fit``, and if y holds a label that is not among the classes. The model is left as
            it was.
        """
        self._partial_fit(X, y, classes, sample_weight, max_iter)
        return self


@filled
class NetworkRegressor(RegressorNetwork, _Layered):
    """A network of any layers for numbers, fitted by back-propagation.

    Minimises what ``MLPRegressor`` does. The last layer's outputs are the predictions, before the
    link of a loss that has one.

    Parameters
    ----------
    layers : list of layers and activations
        In the order in which rows pass; see ``fastgd.layers`` and ``fastgd.activations``. The last
        is ``Dense`` with as many units as y has columns.
    {shared}
    loss : str or loss object, default="squared_error"
        Any loss for numbers; see ``fastgd.losses``.
    channels_first : bool, default=False
        Whether X is (n_samples, channels, height, width), or (n_samples, channels, length).

    Attributes
    ----------
    coefs_, intercepts_ : list of ndarray
        Weights and biases of each layer that has weights; views of the parameters.
    history_ : dict of str to list
        An entry an epoch for each figure.
    loss_curve_, loss_, best_loss_, validation_scores_, best_validation_score_
        The objective and the score, as scikit-learn has them.
    n_iter_, n_outputs_, out_activation_, t_, n_features_in_

    Examples
    --------
    >>> import numpy as np
    >>> from fastgd.layers import Conv1D, Dense, GlobalAveragePool
    >>> from fastgd.neural_network import NetworkRegressor
    >>> X = np.random.default_rng(0).normal(size=(200, 30, 1))
    >>> y = X.mean(axis=(1, 2))
    >>> layers = [Conv1D(4, 3, activation="tanh"), GlobalAveragePool(), Dense(1)]
    >>> model = NetworkRegressor(layers, learning_rate_init=0.02, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.8
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_Layered._parameter_constraints,
        "loss": MLPRegressor._parameter_constraints["loss"],
    }

    def __init__(
        self,
        layers: Any,
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
        loss: Any = "squared_error",
        channels_first: bool = False,
    ) -> None:
        self.layers = layers
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
        self.channels_first = channels_first

    @fit_context
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> "NetworkRegressor":
        """Fit the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, length, channels), \
(n_samples, height, width) or (n_samples, height, width, channels)
            float32 is computed in float32. CSR goes with a first layer ``Dense``.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None
        X_val, y_val, sample_weight_val : as X, y and sample_weight, default=None
            Rows to stop by, whatever ``early_stopping`` says; the best parameters are kept.

        Returns
        -------
        self : NetworkRegressor

        Raises
        ------
        ValueError
            If a layer cannot take what comes in (the message names it), if X or y do not fit each
            other, or if the parameters overflow.
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
    ) -> "NetworkRegressor":
        """Take further epochs on these rows, from where the last call stopped.

        Parameters
        ----------
        X : array-like, rows as those of ``fit``
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None
        max_iter : int, default=1
            Epochs to take.

        Returns
        -------
        self : NetworkRegressor

        Raises
        ------
        ValueError
            As ``fit``. The model is left as it was.
        """
        self._partial_fit(X, y, None, sample_weight, max_iter)
        return self
