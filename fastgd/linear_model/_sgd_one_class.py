"""SGDOneClassSVM: rows without targets in, inliers and outliers out."""

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted

from fastgd._data import targets
from fastgd._data.parts import by_parts
from fastgd._data.validation import check_X, fit_context
from fastgd._training.estimator import Validation
from fastgd.base import BaseSGD
from fastgd.kernels.losses import OneClass
from fastgd.kernels.penalties import ElasticNet
from fastgd.schedules import SCHEDULES


class SGDOneClassSVM(OutlierMixin, BaseSGD):
    """Linear one-class SVM fitted by gradient descent.

    Minimises  nu/2 |w|^2 + nu (1 - offset) + mean_i max(0, offset - x_i @ w)  and calls those rows
    outliers for which x @ w < offset. Arguments and defaults are scikit-learn's, and with
    ``batch_size=1`` and ``shuffle=False`` so are the coefficients; added are batches, optimizers,
    and what they need.

    Parameters
    ----------
    nu : float, default=0.5
        Upper bound of the share of training rows that are outliers, lower bound of the share of
        support vectors, in (0, 1].
    fit_intercept : bool, default=True
        Whether the offset is learned; it stays 0 otherwise.
    max_iter : int, default=1000
        Passes over the data (epochs) at most.
    tol : float or None, default=1e-3
        Stop when the objective has not fallen by ``tol`` below its best for five epochs; None never
        stops.
    shuffle : bool, default=True
    verbose : int, default=0
        1 shows a bar over the epochs, 2 or more writes a line for each through ``logging``.
    random_state : int, RandomState instance or None, default=None
    learning_rate : str or callable, default="optimal"
        As in ``SGDClassifier``, but for "auto"; nu takes the place of alpha.
    eta0 : float, default=0.01
    power_t : float, default=0.5
    warm_start : bool, default=False
    average : bool or int, default=False
    batch_size : int or "full", default=1
        Rows in a step. "full" is batch gradient descent.
    optimizer : str or object, default="sgd"
        As in ``SGDClassifier``.
    intercept_rate : float, default=1.0
        As in ``SGDClassifier``, of the offset's steps.
    clip_norm, clip_value, quantize : default=None
        As in ``SGDClassifier``.
    on_divergence : {"raise", "backoff", "warn"}, default="raise"
    monitor : bool, default=False
    callbacks : list or None, default=None
        As in ``SGDClassifier``.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the model is fitted and predicts (docs/gpu.md). "auto": where X lies, so that NumPy's
        arrays stay on the processor; "cuda" sends them to the device.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,), X's dtype
    offset_ : ndarray of shape (1,)
        ``decision_function = score_samples - offset_``.
    n_iter_, t_, history_, n_features_in_, feature_names_in_ : as in ``SGDClassifier``

    Examples
    --------
    >>> import numpy as np
    >>> from fastgd import SGDOneClassSVM
    >>> X = np.random.default_rng(0).normal(size=(200, 2)) + 5.0
    >>> model = SGDOneClassSVM(nu=0.1, random_state=0).fit(X)
    >>> model.predict([[5.0, 5.0], [0.0, 0.0]])
    array([ 1, -1], dtype=int32)
    """

    _default_learning_rate = "optimal"
    _intercept_name = "offset_"
    _intercept_at_start = 1.0  # of the kernels, which know 1 - offset

    # parameters of the other stochastic estimators that have no meaning here
    loss, early_stopping, n_iter_no_change = "hinge", False, 5

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{
            name: allowed
            for name, allowed in BaseSGD._parameter_constraints.items()
            if name
            not in {
                *("penalty", "alpha", "l1_ratio", "epsilon"),
                *("early_stopping", "validation_fraction", "n_iter_no_change", "positive"),
            }
        },
        "nu": [Interval(Real, 0, 1, closed="right")],
        "learning_rate": [StrOptions(set(SCHEDULES)), callable],
    }

    def __init__(
        self,
        nu: float = 0.5,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        shuffle: bool = True,
        verbose: int = 0,
        random_state: Any = None,
        learning_rate: Any = "optimal",
        eta0: float = 0.01,
        power_t: float = 0.5,
        warm_start: bool = False,
        average: bool | int = False,
        *,
        batch_size: int | str = 1,
        optimizer: Any = "sgd",
        intercept_rate: float = 1.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        quantize: Any = None,
        on_divergence: str = "raise",
        monitor: bool = False,
        callbacks: Any = None,
        device: str = "auto",
    ) -> None:
        self.nu = nu
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.verbose = verbose
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.warm_start = warm_start
        self.average = average
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.intercept_rate = intercept_rate
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.quantize = quantize
        self.on_divergence = on_divergence
        self.monitor = monitor
        self.callbacks = callbacks
        self.device = device

    @property
    def alpha(self) -> float:
        """The strength of the penalty, which schedules ask for."""
        return self.nu

    @fit_context
    def fit(
        self,
        X: Any,
        y: Any = None,
        coef_init: ArrayLike | None = None,
        offset_init: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> "SGDOneClassSVM":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            float32 and float64 in C order, and CSR, are used without a copy; anything else is
            copied once.
        y : Ignored
        coef_init : array-like of shape (n_features,), default=None
            Coefficients to start from; not changed.
        offset_init : array-like of shape (1,), default=None
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; none means 1 each.

        Returns
        -------
        self : SGDOneClassSVM

        Raises
        ------
        ValueError
            If X holds what is no number, if an argument is unknown, or if the parameters overflow.
        """
        self._fit(X, y, (coef_init, offset_init), sample_weight, Validation())
        return self

    @fit_context
    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        max_iter: int = 1,
    ) -> "SGDOneClassSVM":
        """Take further epochs on these rows, from where the last call stopped.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), default=None
            A call whose weights are all zero changes nothing.
        max_iter : int, default=1
            Epochs to take.

        Returns
        -------
        self : SGDOneClassSVM
        """
        self._partial_fit(X, y, None, sample_weight, max_iter)
        return self

    # -- targets: there are none ------------------------------------------------------------------

    def _check_X_y(self, X: Any, y: Any, *, first: bool, dtype: Any) -> tuple[Any, Any]:  # noqa: ARG002
        X = check_X(self, X, reset=first, dtype=dtype)
        return X, np.ones(X.shape[0], X.dtype)

    def _targets(self) -> targets.OneClass:
        return targets.OneClass(OneClass(self.nu), None)

    def _penalty_spec(self) -> ElasticNet:
        return ElasticNet(0.0, self.nu)

    def _intercept(self) -> Any:
        return 1.0 - self.offset_

    # -- predictions ------------------------------------------------------------------------------

    @by_parts
    def score_samples(self, X: Any) -> NDArray[Any]:
        """Return x @ coef for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        X = check_X(self, X, reset=False)
        return safe_sparse_dot(X, self.coef_.T, dense_output=True).ravel()

    @by_parts
    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return x @ coef - offset for each row: positive for inliers, negative for outliers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        decisions : ndarray of shape (n_samples,)
        """
        return self.score_samples(X) - self.offset_

    @by_parts
    def predict(self, X: Any) -> NDArray[Any]:
        """Return 1 for inliers and -1 for outliers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y_pred : ndarray of shape (n_samples,), int32
        """
        return np.where(self.decision_function(X) >= 0, 1, -1).astype(np.int32)
