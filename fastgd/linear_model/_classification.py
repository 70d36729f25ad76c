"""What classifiers without a learning rate share: labels and the weights of their rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model._base import LinearClassifierMixin, SparseCoefMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from fastgd._data.parts import ScoredAnywhere, by_parts
from fastgd._data.validation import classes_and_codes
from fastgd.linear_model._solved import SolvedModel


class SolvedClassifier(ScoredAnywhere, LinearClassifierMixin, SparseCoefMixin, SolvedModel):
    """Base class of the classifiers that a solver fits."""

    @by_parts
    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return the raw predictions: the signed distances to the boundaries, times |coef|.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Positive where the second of two classes, or the class against the rest, is predicted.
        """
        raw = self._raw(X)
        return raw.ravel() if raw.shape[1] == 1 else raw

    @by_parts
    def predict(self, X: Any) -> NDArray[Any]:
        """Return the predicted labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        raw = self.decision_function(X)
        chosen = (raw > 0).astype(np.intp) if raw.ndim == 1 else raw.argmax(axis=1)
        labels: NDArray[Any] = self.classes_[chosen]
        return labels

    def _check_labels(self, y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Return the classes, sorted, and each label's place among them."""
        is_whole = isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "iub"
        if not is_whole:
            check_classification_targets(y)
        classes, codes = classes_and_codes(y)
        if is_whole and 2 * classes.shape[0] > y.shape[0]:
            check_classification_targets(y)  # which warns of so many classes
        refuse_one_class(classes)
        return classes, codes

    def _class_factors(
        self, y: NDArray[Any], classes: NDArray[Any], weight: NDArray[Any]
    ) -> NDArray[Any]:
        """Return what ``class_weight`` says for each class.

        Raises
        ------
        ValueError
            If that is no finite number or a negative one, or zero for all classes.
        """
        if self.class_weight is None:
            return np.ones(classes.shape[0])
        given = weight if weight.shape[0] > 0 else None
        factors: NDArray[Any] = compute_class_weight(
            self.class_weight, classes=classes, y=y, sample_weight=given
        )
        wrong = ~((factors >= 0.0) & (factors < np.inf))
        if wrong.any():
            found = dict(zip(classes[wrong].tolist(), factors[wrong].tolist(), strict=True))
            raise ValueError(
                f"class_weight must be a finite number >= 0 for each class, got {found}."
            )
        if not factors.any():
            raise ValueError("class_weight must be above 0 for one class at least, got 0 for all.")
        return factors

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
        own = self._class_factors(y, classes, weight)[codes]
        weight = own if weight.shape[0] == 0 else weight * own
        refuse_nothing_left(weight)
        return weight


def refuse_one_class(classes: NDArray[Any]) -> None:
    """Refuse labels that are all the same."""
    if classes.shape[0] < 2:
        raise ValueError(
            "This solver needs samples of at least 2 classes in the data, but the data contains "
            f"only one class: {classes[0]!r}. The number of classes has to be greater than one."
        )


def refuse_nothing_left(weight: NDArray[Any]) -> None:
    """Refuse weights of which none is left once they are multiplied by those of the classes."""
    if not weight.any():
        raise ValueError("sample_weight is 0 for every row whose class_weight is not.")
