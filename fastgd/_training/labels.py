"""Labels as targets: what linear classifiers and networks that are trained in epochs share."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target

from fastgd._data.chunks import Chunks
from fastgd._data.labels import Labels, labels_of
from fastgd._data.parts import ScoredAnywhere, by_parts
from fastgd._data.targets import Binary, Classes, Multiclass, Multilabel, OneVsRest
from fastgd.kernels.losses import LOSSES, MULTINOMIAL, has, kind_of


class LabelledModel(ScoredAnywhere):
    """Classes of one label a row, or a table of labels; what they predict.

    Its estimators have ``_learn_targets``, ``_loss_spec``, ``decision_function`` and
    ``predict_proba``.
    """

    loss: Any
    class_weight: Any
    classes_: Any
    _is_multilabel: bool
    _learn_targets: Any
    _loss_spec: Any
    decision_function: Any
    predict_proba: Any

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
        elif self.class_weight == "balanced" and not (first and y.ndim == 2):
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit. In order to use "
                "'balanced' weights, use compute_class_weight('balanced', classes=classes, y=y). "
                "In place of y you can use a large enough sample of the full training set target "
                "to properly estimate the class frequency distributions. Pass the resulting "
                "weights as the class_weight parameter."
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
        loss = self._loss_spec()
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

    @by_parts
    def predict(self, X: Any) -> NDArray[Any]:
        """Return the predicted labels.

        Parameters
        ----------
        X : {array-like, sparse matrix}, rows as those of ``fit``

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_labels)
            A class for each row, or a table of zeros and ones if y was one.
        """
        raw = self.decision_function(X)
        if self._is_multilabel:
            return (raw > 0).astype(np.int64)
        found: NDArray[Any] = self.classes_[
            (raw > 0).astype(np.intp) if raw.ndim == 1 else raw.argmax(axis=1)
        ]
        return found

    def _has_probabilities(self) -> bool:
        """Tell whether the loss says what probability a raw prediction stands for."""
        spec = LOSSES.get(self.loss) if isinstance(self.loss, str) else self.loss
        if has(spec, "probability"):
            return True
        raise AttributeError(f"probability estimates are not available for loss={self.loss!r}")

    @available_if(_has_probabilities)
    @by_parts
    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return the logarithms of the classes' probabilities; see ``predict_proba``.

        Parameters
        ----------
        X : {array-like, sparse matrix}, rows as those of ``fit``

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.classifier_tags.multi_label = True
        return tags


def dense_labels(y: Any) -> Any:
    """Return a sparse table of labels as an array, and other targets as they are."""
    return y.toarray() if sp.issparse(y) and is_table_of_labels(y) else y


def is_table_of_labels(y: Any) -> bool:
    """Tell whether each row has a column of zeros and ones for each label there is."""
    shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape
    if len(shape) != 2:
        return False
    return type_of_target(y, input_name="y") == "multilabel-indicator"
