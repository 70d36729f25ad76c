"""What classifiers and regressors among the networks do with targets, and predict."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d

from fastgd._data.chunks import Chunks
from fastgd._data.labels import Labels, labels_of
from fastgd._data.parts import by_parts
from fastgd._data.targets import Binary, Classes, Multiclass, Multilabel, OneVsRest, Regression
from fastgd._parameters import resolve
from fastgd.kernels.losses import LOG, LOSSES, MULTINOMIAL, has, kind_of, link_of, of_classes
from fastgd.neural_network._base import BaseNetwork

EPSILON = 0.1  # of the losses that have one, where only their name is given


class ClassifierNetwork(ClassifierMixin, BaseNetwork):
    """Labels in, labels and probabilities out."""

    loss: Any
    class_weight: Any

    def _multi_output(self, y: Any) -> bool:
        shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape
        return len(shape) == 2 and type_of_target(y, input_name="y") == "multilabel-indicator"

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

    def _take_classes(self, labels: Any) -> None:
        self.classes_ = np.unique(labels)
        if self.classes_.shape[0] < 2:
            raise ValueError(
                "The number of classes has to be greater than one; got "
                f"{self.classes_.shape[0]} class: {self.classes_.tolist()}."
            )

    def _learn_targets_of_call(self, y: Any, classes: Any, *, first: bool) -> None:
        if isinstance(classes, Labels):
            self._balance, classes = classes.balanced(), classes.names
        elif self.class_weight == "balanced":
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit: the shares of the "
                "classes are not known. Pass a dict of weights."
            )
        if first and y.ndim == 1:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._is_multilabel = False
            self._take_classes(np.asarray(classes))
        elif first:
            self._learn_targets(y)
        if classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
            raise ValueError(
                f"`classes={np.asarray(classes).tolist()}` is not the same as on last call to "
                f"partial_fit, was: {self.classes_.tolist()}"
            )

    def _classes_of(self, chunks: Chunks) -> Labels | None:
        return labels_of(chunks)

    def _targets(self) -> Classes:
        loss = self._loss_of_targets()
        kind: type[Classes] = OneVsRest
        if self._is_multilabel:
            kind = Multilabel
        elif self.classes_.shape[0] == 2:
            kind = Binary
        elif kind_of(loss) == MULTINOMIAL:
            kind = Multiclass
        weights = self.class_weight
        if weights == "balanced":
            weights = getattr(self, "_balance", weights)  # of rows in parts, which were counted
        return kind(loss, self.classes_, weights)

    def _loss_of_targets(self) -> Any:
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

    @by_parts
    def predict(self, X: Any) -> NDArray[Any]:
        """Return the predicted labels.

        Parameters
        ----------
        X : array-like, rows as those of ``fit``

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        raw = self._raw(X)
        if self._is_multilabel:
            return (raw > 0).astype(np.int64)
        found: NDArray[Any] = self.classes_[self._targets().predicted(raw)]
        return found

    def _has_probabilities(self) -> bool:
        spec = LOSSES.get(self.loss) if isinstance(self.loss, str) else self.loss
        if has(spec, "probability"):
            return True
        raise AttributeError(f"probability estimates are not available for loss={self.loss!r}")

    @available_if(_has_probabilities)
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

    @available_if(_has_probabilities)
    @by_parts
    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return the logarithms of the classes' probabilities; see ``predict_proba``.

        Parameters
        ----------
        X : array-like, rows as those of ``fit``

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    @property
    def out_activation_(self) -> str:
        """What makes probabilities of the outputs: "softmax", "logistic" or "identity"."""
        self._fitted_progress("out_activation_")
        if not has(self._loss_of_targets(), "probability"):
            return "identity"
        return "softmax" if isinstance(self._targets(), Multiclass) else "logistic"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class RegressorNetwork(RegressorMixin, BaseNetwork):
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
