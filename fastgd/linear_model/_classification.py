"""What classifiers without a learning rate share: labels and the weights of their rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model._base import LinearClassifierMixin, SparseCoefMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from fastgd._validation import classes_and_codes
from fastgd.linear_model._solved import SolvedModel


class SolvedClassifier(LinearClassifierMixin, SparseCoefMixin, SolvedModel):
    """Base class of the classifiers that a solver fits."""

    def _check_labels(self, y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Return the classes, sorted, and each label's place among them."""
        check_classification_targets(y)
        classes, codes = classes_and_codes(y)
        if classes.shape[0] < 2:
            raise ValueError(
                "This solver needs samples of at least 2 classes in the data, but the data "
                f"contains only one class: {classes[0]!r}. The number of classes has to be "
                "greater than one."
            )
        return classes, codes

    def _class_factors(
        self, y: NDArray[Any], classes: NDArray[Any], weight: NDArray[Any]
    ) -> NDArray[Any]:
        """Return what ``class_weight`` says for each class."""
        given = weight if weight.shape[0] > 0 else None
        return compute_class_weight(self.class_weight, classes=classes, y=y, sample_weight=given)

    def _weight_of_rows(
        self,
        sample_weight: Any,
        X: Any,
        y: NDArray[Any],
        classes: NDArray[Any],
        codes: NDArray[np.int32],
    ) -> NDArray[Any]:
        """Return the rows' weights times their classes'; empty for 1 each."""
        weight = self._check_weight(sample_weight, X)
        if self.class_weight is None:
            return weight
        given = weight if weight.shape[0] > 0 else None
        factors = compute_class_weight(self.class_weight, classes=classes, y=y, sample_weight=given)
        own = factors[codes]
        return own if given is None else weight * own
