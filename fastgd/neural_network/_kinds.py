"""What classifiers and regressors among the networks do with targets, and predict."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from fastgd._data.parts import ScoredAnywhere, by_parts
from fastgd._data.targets import Multiclass, Regression
from fastgd._parameters import resolve
from fastgd._training.labels import LabelledModel, is_table_of_labels
from fastgd.kernels.losses import LOG, MULTINOMIAL, has, kind_of, link_of, of_classes
from fastgd.neural_network._base import BaseNetwork

EPSILON = 0.1  # of the losses that have one, where only their name is given


class ClassifierNetwork(LabelledModel, ClassifierMixin, BaseNetwork):
    """Labels in, labels and probabilities out."""

    def _multi_output(self, y: Any) -> bool:
        return is_table_of_labels(y)

    def _learn_targets(self, y: Any) -> None:
        check_classification_targets(y)
        self._is_multilabel = y.ndim == 2
        if self._is_multilabel:
            if self.class_weight is not None:
                raise ValueError(
                    "class_weight is for one label a row; y is a table of labels. Use "
                    "sample_weight."
                )
            self.classes_ = np.arange(y.shape[1])
        else:
            self._take_classes(y)

    def _loss_spec(self) -> Any:
        """Return the loss, by the number of classes: the softmax is log_loss's for many."""
        spec = resolve.loss(self.loss, EPSILON)
        if link_of(spec) == LOG:
            raise ValueError(f"loss={self.loss!r} is for regression only: it predicts e^raw.")
        many = self.classes_.shape[0] > 2 and not self._is_multilabel
        if kind_of(spec) == MULTINOMIAL and not many:
            raise ValueError(
                f"loss={self.loss!r} is for more than two classes that share a softmax; use "
                "loss='log_loss'."
            )
        joint = of_classes(spec)
        return joint if many and joint is not None else spec

    @by_parts
    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return the last layer's outputs, before any softmax.

        Parameters
        ----------
        X : array-like, rows as those of ``fit``

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Positive where the second of two classes, or the output's own, is predicted.
        """
        return self._raw(X)

    @available_if(LabelledModel._has_probabilities)
    @by_parts
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the classes' probabilities, where the loss has them.

        Parameters
        ----------
        X : array-like, rows as those of ``fit``

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes), columns as in ``classes_``
            For a table of labels, each label's own probability.
        """
        check_is_fitted(self)
        return self._targets().probabilities(self._raw(X))

    @property
    def out_activation_(self) -> str:
        """What makes probabilities of the outputs: "softmax", "logistic" or "identity"."""
        self._fitted_progress("out_activation_")
        if not has(self._loss_spec(), "probability"):
            return "identity"
        return "softmax" if isinstance(self._targets(), Multiclass) else "logistic"


class RegressorNetwork(ScoredAnywhere, RegressorMixin, BaseNetwork):
    """Numbers in, numbers out."""

    loss: Any

    def _learn_targets(self, y: Any) -> None:
        # a table of one column is one target, and predictions are as scikit-learn's
        self._n_targets = None if y.ndim == 1 or y.shape[1] == 1 else y.shape[1]

    def _check_X_y(self, X: Any, y: Any, *, first: bool, dtype: Any) -> tuple[Any, Any]:
        X, y = super()._check_X_y(X, y, first=first, dtype=dtype)
        return X, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _targets(self) -> Regression:
        spec = resolve.loss(self.loss, EPSILON)
        if kind_of(spec) == MULTINOMIAL:
            raise ValueError(f"loss={self.loss!r} is for classes; y holds numbers.")
        return Regression(spec, self._n_targets)

    @by_parts
    def predict(self, X: Any) -> NDArray[Any]:
        """Return the predicted numbers.

        Parameters
        ----------
        X : array-like, rows as those of ``fit``

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_targets)
        """
        raw = self._raw(X)
        return self._targets().predicted(raw)

    @property
    def out_activation_(self) -> str:
        """What makes predictions of the outputs: "identity", or "exp" for a log link."""
        self._fitted_progress("out_activation_")
        return "exp" if link_of(self._targets().loss) == LOG else "identity"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
