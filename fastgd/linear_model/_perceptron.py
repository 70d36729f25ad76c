"""Perceptron, and the passive-aggressive estimators: stochastic steps without a schedule.

Each is one of the ``SGD`` estimators with most of its parameters fixed, and scikit-learn's names
for the others.
"""

from numbers import Real
from typing import Any, ClassVar

from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, StrOptions

from fastgd._data.validation import fit_context
from fastgd._parameters import resolve
from fastgd._training.estimator import Validation
from fastgd.linear_model._sgd_classifier import SGDClassifier
from fastgd.linear_model._sgd_regressor import SGDRegressor

AGGRESSIVENESS = [Interval(Real, 0, None, closed="right")]
UNBOUNDED = 1e30  # a rate that no step reaches, and float32 holds


class _Fixed:
    """The parameters of the ``SGD`` estimators that these do not have, and what they are."""

    penalty: Any = None
    alpha = 1.0
    l1_ratio: Any = 0.15
    power_t = 0.5
    epsilon = 0.1
    average: Any = False
    batch_size: Any = 1
    optimizer: Any = "sgd"
    multi_class = "ovr"
    positive = False
    intercept_rate = 1.0
    clip_norm: Any = None
    clip_value: Any = None
    quantize: Any = None
    on_divergence = "raise"
    monitor = False


class Perceptron(_Fixed, SGDClassifier):
    """Rosenblatt's perceptron: rows that are on the wrong side are added, the others are not.

    Equal to ``SGDClassifier(loss="perceptron", penalty=None, learning_rate="constant", eta0=1)``,
    one-vs-rest beyond two classes.

    Parameters
    ----------
    penalty : {"l2", "l1", "elasticnet"} or None, default=None
    alpha : float, default=1e-4
        Strength of the penalty, >= 0.
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
    eta0 : float, default=1.0
        What updates are multiplied by, > 0. Without a penalty it scales the coefficients and
        changes no prediction.
    n_jobs : int or None, default=None
        Accepted and not needed: all classes are trained in one pass.
    random_state : int, RandomState instance or None, default=0
    early_stopping : bool, default=False
        Hold out ``validation_fraction`` of the rows, stop by the accuracy on them, and keep the
        coefficients that scored best.
    validation_fraction : float, default=0.1
    n_iter_no_change : int, default=5
    class_weight : dict or "balanced", default=None
    warm_start : bool, default=False
    callbacks : list or None, default=None
        What is done after each epoch: objects of ``fastgd.callbacks``, or functions of a view of
        the fit (docs/watching.md).
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the model is fitted and predicts (docs/gpu.md). "auto": where X lies, so that NumPy's
        arrays stay on the processor; "cuda" sends them to the device.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features), in the dtype of X
    intercept_ : ndarray of shape (1,) or (n_classes,)
    n_iter_, t_, history_, n_features_in_, feature_names_in_ : as in ``SGDClassifier``

    References
    ----------
    Rosenblatt, "The perceptron: a probabilistic model for information storage and organization in
    the brain", Psychological Review 65, 1958.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastgd import Perceptron
    >>> X, y = load_digits(return_X_y=True)
    >>> Perceptron().fit(X, y).score(X, y) > 0.9
    True
    """

    loss, learning_rate = "perceptron", "constant"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SGDClassifier._parameter_constraints,
        "penalty": [StrOptions({"l2", "l1", "elasticnet"}), None],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        *,
        penalty: str | None = None,
        alpha: float = 0.0001,
        l1_ratio: float = 0.15,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        shuffle: bool = True,
        verbose: int = 0,
        eta0: float = 1.0,
        n_jobs: int | None = None,
        random_state: Any = 0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        class_weight: Any = None,
        warm_start: bool = False,
        callbacks: Any = None,
        device: str = "auto",
    ) -> None:
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.verbose = verbose
        self.eta0 = eta0
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device


class PassiveAggressiveClassifier(_Fixed, SGDClassifier):
    """The smallest step that puts each row on the right side of its margin, bounded by ``C``.

    Equal to ``SGDClassifier(loss="hinge", penalty=None, learning_rate="pa1", eta0=C)``, or "pa2".
    scikit-learn has deprecated its class of this name (1.8) in favour of that form; here both stay.

    Parameters
    ----------
    C : float, default=1.0
        Aggressiveness, in (0, inf]: the longest step of "hinge"; the smaller, the shorter those of
        "squared_hinge".
    fit_intercept : bool, default=True
    max_iter : int, default=1000
        Passes over the data (epochs) at most.
    tol : float or None, default=1e-3
        Stop when the objective has not fallen by ``tol`` below its best for ``n_iter_no_change``
        epochs; None never stops.
    early_stopping : bool, default=False
        Hold out ``validation_fraction`` of the rows, stop by the accuracy on them, and keep the
        coefficients that scored best.
    validation_fraction : float, default=0.1
    n_iter_no_change : int, default=5
    shuffle : bool, default=True
    verbose : int, default=0
        1 shows a bar over the epochs, 2 or more writes a line for each through ``logging``.
    loss : {"hinge", "squared_hinge"}, default="hinge"
        PA-I or PA-II of the paper.
    n_jobs : int or None, default=None
        Accepted and not needed: all classes are trained in one pass.
    random_state : int, RandomState instance or None, default=None
    warm_start : bool, default=False
    class_weight : dict or "balanced", default=None
    average : bool or int, default=False
        Average the coefficients of all steps, or of those after so many rows.
    callbacks : list or None, default=None
        What is done after each epoch: objects of ``fastgd.callbacks``, or functions of a view of
        the fit (docs/watching.md).
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the model is fitted and predicts (docs/gpu.md). "auto": where X lies, so that NumPy's
        arrays stay on the processor; "cuda" sends them to the device.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features), in the dtype of X
    intercept_ : ndarray of shape (1,) or (n_classes,)
    n_iter_, t_, history_, n_features_in_, feature_names_in_ : as in ``SGDClassifier``

    References
    ----------
    Crammer, Dekel, Keshet, Shalev-Shwartz & Singer, "Online passive-aggressive algorithms", Journal
    of Machine Learning Research 7, 2006.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SGDClassifier._parameter_constraints,
        "C": AGGRESSIVENESS,
        "loss": [StrOptions({"hinge", "squared_hinge"})],
    }

    def __init__(
        self,
        *,
        C: float = 1.0,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        shuffle: bool = True,
        verbose: int = 0,
        loss: str = "hinge",
        n_jobs: int | None = None,
        random_state: Any = None,
        warm_start: bool = False,
        class_weight: Any = None,
        average: bool | int = False,
        callbacks: Any = None,
        device: str = "auto",
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.shuffle = shuffle
        self.verbose = verbose
        self.loss = loss
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.warm_start = warm_start
        self.class_weight = class_weight
        self.average = average
        self.callbacks = callbacks
        self.device = device

    @property
    def learning_rate(self) -> str:
        """What ``SGDClassifier`` calls the steps that ``loss`` stands for."""
        return "pa1" if self.loss == "hinge" else "pa2"

    @property
    def eta0(self) -> float:  # type: ignore[override]
        """``C`` under ``SGDClassifier``'s name, but finite."""
        return min(self.C, UNBOUNDED)

    def _loss_spec(self) -> Any:
        return resolve.loss("hinge", self.epsilon)

    @fit_context
    def fit(  # type: ignore[override]
        self,
        X: Any,
        y: ArrayLike,
        coef_init: ArrayLike | None = None,
        intercept_init: ArrayLike | None = None,
    ) -> "PassiveAggressiveClassifier":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        coef_init : array-like of shape (n_outputs, n_features), default=None
            Coefficients to start from; not changed.
        intercept_init : array-like of shape (n_outputs,), default=None

        Returns
        -------
        self : PassiveAggressiveClassifier

        Raises
        ------
        ValueError
            As ``SGDClassifier.fit``.
        """
        self._fit(X, y, (coef_init, intercept_init), None, Validation())
        return self

    @fit_context
    def partial_fit(  # type: ignore[override]
        self, X: Any, y: ArrayLike, classes: ArrayLike | None = None
    ) -> "PassiveAggressiveClassifier":
        """Take one further epoch on these rows, from where the last call stopped.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        classes : array-like of shape (n_classes,), default=None
            All labels there are; needed in the first call.

        Returns
        -------
        self : PassiveAggressiveClassifier

        Raises
        ------
        ValueError
            As ``SGDClassifier.partial_fit``.
        """
        self._partial_fit(X, y, classes, None, 1)
        return self


class PassiveAggressiveRegressor(_Fixed, SGDRegressor):
    """The smallest step that brings each prediction within ``epsilon``, bounded by ``C``.

    Equal to ``SGDRegressor(loss="epsilon_insensitive", penalty=None, learning_rate="pa1",
    eta0=C)``, or "pa2". scikit-learn has deprecated its class of this name (1.8) in favour of that
    form; here both stay.

    Parameters
    ----------
    C : float, default=1.0
        Aggressiveness, in (0, inf]: the longest step of "epsilon_insensitive"; the smaller, the
        shorter those of "squared_epsilon_insensitive".
    fit_intercept : bool, default=True
    max_iter : int, default=1000
        Passes over the data (epochs) at most.
    tol : float or None, default=1e-3
        Stop when the objective has not fallen by ``tol`` below its best for ``n_iter_no_change``
        epochs; None never stops.
    early_stopping : bool, default=False
        Hold out ``validation_fraction`` of the rows, stop by the R2 on them, and keep the
        coefficients that scored best.
    validation_fraction : float, default=0.1
    n_iter_no_change : int, default=5
    shuffle : bool, default=True
    verbose : int, default=0
        1 shows a bar over the epochs, 2 or more writes a line for each through ``logging``.
    loss : {"epsilon_insensitive", "squared_epsilon_insensitive"}, default="epsilon_insensitive"
        PA-I or PA-II of the paper.
    epsilon : float, default=0.1
        Residuals up to this are left alone, >= 0.
    random_state : int, RandomState instance or None, default=None
    warm_start : bool, default=False
    average : bool or int, default=False
        Average the coefficients of all steps, or of those after so many rows.
    callbacks : list or None, default=None
        What is done after each epoch: objects of ``fastgd.callbacks``, or functions of a view of
        the fit (docs/watching.md).
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the model is fitted and predicts (docs/gpu.md). "auto": where X lies, so that NumPy's
        arrays stay on the processor; "cuda" sends them to the device.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features), in the dtype of X
    intercept_ : ndarray of shape (1,) or (n_targets,)
    n_iter_, t_, history_, n_features_in_, feature_names_in_ : as in ``SGDRegressor``

    References
    ----------
    Crammer, Dekel, Keshet, Shalev-Shwartz & Singer, "Online passive-aggressive algorithms", Journal
    of Machine Learning Research 7, 2006.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SGDRegressor._parameter_constraints,
        "C": AGGRESSIVENESS,
        "loss": [StrOptions({"epsilon_insensitive", "squared_epsilon_insensitive"})],
    }

    def __init__(
        self,
        *,
        C: float = 1.0,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        shuffle: bool = True,
        verbose: int = 0,
        loss: str = "epsilon_insensitive",
        epsilon: float = 0.1,
        random_state: Any = None,
        warm_start: bool = False,
        average: bool | int = False,
        callbacks: Any = None,
        device: str = "auto",
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.shuffle = shuffle
        self.verbose = verbose
        self.loss = loss
        self.epsilon = epsilon
        self.random_state = random_state
        self.warm_start = warm_start
        self.average = average
        self.callbacks = callbacks
        self.device = device

    @property
    def learning_rate(self) -> str:
        """What ``SGDRegressor`` calls the steps that ``loss`` stands for."""
        return "pa1" if self.loss == "epsilon_insensitive" else "pa2"

    @property
    def eta0(self) -> float:  # type: ignore[override]
        """``C`` under ``SGDRegressor``'s name, but finite."""
        return min(self.C, UNBOUNDED)

    def _loss_spec(self) -> Any:
        return resolve.loss("epsilon_insensitive", self.epsilon)

    @fit_context
    def fit(  # type: ignore[override]
        self,
        X: Any,
        y: ArrayLike,
        coef_init: ArrayLike | None = None,
        intercept_init: ArrayLike | None = None,
    ) -> "PassiveAggressiveRegressor":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        coef_init : array-like of shape (n_features,) or (n_targets, n_features), default=None
            Coefficients to start from; not changed.
        intercept_init : array-like of shape (1,) or (n_targets,), default=None

        Returns
        -------
        self : PassiveAggressiveRegressor

        Raises
        ------
        ValueError
            As ``SGDRegressor.fit``.
        """
        self._fit(X, y, (coef_init, intercept_init), None, Validation())
        return self

    @fit_context
    def partial_fit(  # type: ignore[override]
        self, X: Any, y: ArrayLike
    ) -> "PassiveAggressiveRegressor":
        """Take one further epoch on these rows, from where the last call stopped.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)

        Returns
        -------
        self : PassiveAggressiveRegressor

        Raises
        ------
        ValueError
            As ``SGDRegressor.partial_fit``.
        """
        self._partial_fit(X, y, None, None, 1)
        return self
