"""What y means to a model: one object for each kind of target.

An estimator makes it once in a call, and asks it for everything that depends on the kind: how y is
written for the kernels, how rows are weighed, the shape of the parameters, how they are reported,
and the score of raw predictions.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

from fastgd._data.source import Data
from fastgd._data.validation import binary_targets, check_targets, encode_labels
from fastgd._parameters import resolve
from fastgd.kernels.losses import LOG, link_of, negative, predictions

NONE = np.empty(0)


class Targets(ABC):
    """A kind of target.

    Parameters
    ----------
    loss : loss object
    n_outputs : int or None
        None where parameters have one column, which is no axis.
    """

    n_rows_to_score = 1
    is_stratified = False  # whether rows are held out of each class

    def __init__(self, loss: Any, n_outputs: int | None) -> None:
        self.loss, self.n_outputs = loss, n_outputs

    def shape(self, n_features: int) -> tuple[int, ...]:
        """Return the parameters' shape, intercept last."""
        return (n_features + 1,) if self.n_outputs is None else (n_features + 1, self.n_outputs)

    @abstractmethod
    def encode(self, y: Any) -> NDArray[Any]:
        """Return targets as numbers: what scores compare."""

    @abstractmethod
    def check(self, y: Any) -> None:
        """Refuse targets of a later call that do not agree with those of the first."""

    def written(self, codes: NDArray[Any], dtype: Any) -> NDArray[Any]:
        """Return targets as the kernels take them."""
        return np.ascontiguousarray(codes, dtype=dtype)

    def weighed(
        self,
        codes: NDArray[Any],  # noqa: ARG002
        weight: NDArray[Any],
        dtype: Any,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the rows' weights, and for each output how its own rows are weighed."""
        return weight, np.ones(self.n_outputs or 1, dtype)

    def data(self, X: Any, codes: NDArray[Any], weight: NDArray[Any], unit: float) -> Data:
        """Return what to train on."""
        weight, positive = self.weighed(codes, weight, X.dtype)
        return Data(X, self.written(codes, X.dtype), weight, unit, NONE, positive)

    def report(self, params: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the fitted attributes, copies of the parameters."""
        return {
            "coef_": params[:-1].T.copy(order="C"),
            "intercept_": params[-1:].reshape(-1).copy(),
        }

    @abstractmethod
    def score(self, codes: NDArray[Any], raw: NDArray[Any], weight: Any) -> float:
        """Return what ``score`` returns, of encoded targets and raw predictions."""


# -- classes ----------------------------------------------------------------------------------


class Classes(Targets):
    """One label a row.

    Parameters
    ----------
    loss : loss object
    classes : ndarray of shape (n_classes,), sorted
    class_weight : dict, "balanced" or None
    """

    is_stratified = True

    def __init__(self, loss: Any, classes: NDArray[Any], class_weight: Any) -> None:
        super().__init__(loss, classes.shape[0] if self.has_many else None)
        self.classes, self.class_weight = classes, class_weight

    has_many = True

    def encode(self, y: Any) -> NDArray[Any]:
        """Return each label's place among the classes."""
        return encode_labels(y, self.classes)

    def check(self, y: Any) -> None:
        """Refuse a table of labels."""
        if y.shape[1:] != ():
            raise ValueError(f"y has shape {y.shape}; the first call had one label a row.")

    def written(self, codes: NDArray[Any], dtype: Any) -> NDArray[Any]:  # noqa: ARG002
        """Return the classes' numbers."""
        return codes

    def factors(self, codes: NDArray[Any], dtype: Any) -> NDArray[Any]:
        """Return the classes' weights."""
        labels = self.classes[codes]
        factors = compute_class_weight(self.class_weight, classes=self.classes, y=labels)
        return factors.astype(dtype)

    def weighed(
        self, codes: NDArray[Any], weight: NDArray[Any], dtype: Any
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Multiply each row's weight by its class's."""
        positive = np.ones(self.classes.shape[0], dtype)
        if self.class_weight is None:
            return weight, positive
        factors = self.factors(codes, dtype)
        return factors[codes] * (weight if weight.shape[0] > 0 else 1), positive

    def score(self, codes: NDArray[Any], raw: NDArray[Any], weight: Any) -> float:
        """Return the accuracy."""
        from sklearn.metrics import accuracy_score

        return float(accuracy_score(codes, self.predicted(raw), sample_weight=weight))

    def predicted(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return the predicted classes' numbers."""
        return raw.argmax(axis=1)

    def report(self, params: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return coefficients and intercepts, always with an axis of outputs."""
        coef = params[:-1].reshape(params.shape[0] - 1, -1)
        return {
            "coef_": np.ascontiguousarray(coef.T),
            "intercept_": params[-1:].reshape(-1).copy(),
        }

    @abstractmethod
    def probabilities(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return the classes' probabilities, for a loss that has them."""


class Binary(Classes):
    """Two classes, one output: raw > 0 is the second."""

    has_many = False

    def written(self, codes: NDArray[Any], dtype: Any) -> NDArray[Any]:
        """Return 1 for the second class, and for the first what the loss calls it."""
        return binary_targets(codes, negative(self.loss), dtype)

    def predicted(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return 1 where the raw prediction is positive."""
        return (raw > 0).astype(np.int32)

    def probabilities(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return those of both classes."""
        positive = _probability(raw, self.loss)
        return np.column_stack([1 - positive, positive])


class Multiclass(Classes):
    """More than two classes that share a softmax."""

    def probabilities(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return the softmax."""
        return _probability(raw, self.loss)


class OneVsRest(Classes):
    """More than two classes, each against the rest."""

    def weighed(
        self, codes: NDArray[Any], weight: NDArray[Any], dtype: Any
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Weigh a class's own rows in its own column."""
        if self.class_weight is None:
            return super().weighed(codes, weight, dtype)
        return weight, self.factors(codes, dtype)

    def probabilities(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return each class's own, divided by their sum."""
        positive = _probability(raw, self.loss)
        total = positive.sum(axis=1, keepdims=True)
        even = np.full_like(positive, 1 / positive.shape[1])
        return np.divide(positive, total, out=even, where=total > 0)


class Multilabel(Classes):
    """A table of labels: zeros and ones."""

    is_stratified = False

    def encode(self, y: Any) -> NDArray[Any]:
        """Return the table."""
        return np.ascontiguousarray(y, dtype=np.int32)

    def check(self, y: Any) -> None:
        """Refuse what is no table of as many labels."""
        if y.shape[1:] != self.classes.shape:
            raise ValueError(
                f"y has shape {y.shape}; the first call had a table of {self.classes.shape[0]} "
                "labels."
            )

    written = Binary.written
    predicted = Binary.predicted

    def probabilities(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return each label's own."""
        return _probability(raw, self.loss)


def _probability(raw: NDArray[Any], loss: Any) -> NDArray[Any]:
    """Return the probability of the positive class, or of each class, for raw predictions."""
    found: NDArray[Any] = type(loss).probability(loss, raw)
    return found


# -- numbers, and none ------------------------------------------------------------------------


class Regression(Targets):
    """Numbers: one a row, or several."""

    n_rows_to_score = 2

    def encode(self, y: Any) -> NDArray[Any]:
        """Return the targets, if the loss is defined for them."""
        values = np.asarray(y)
        if values.dtype.kind in "US":  # of digits, as scikit-learn reads them
            values = values.astype(np.float64)
        check_targets(self.loss, values)
        return values

    def check(self, y: Any) -> None:
        """Refuse another number of targets."""
        if y.shape[1:] != (() if self.n_outputs is None else (self.n_outputs,)):
            raise ValueError(
                f"y has shape {y.shape}; the first call had {self.n_outputs or 1} target(s) a row."
            )

    def predicted(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return the predictions that raw ones stand for."""
        if link_of(self.loss) != LOG:
            return raw
        found = np.empty(raw.size)
        loss = resolve.in_dtype(self.loss, found.dtype)
        predictions(loss, raw.ravel().astype(np.float64), found)
        return found.astype(raw.dtype, copy=False).reshape(raw.shape)

    def score(self, codes: NDArray[Any], raw: NDArray[Any], weight: Any) -> float:
        """Return R2."""
        from sklearn.metrics import r2_score

        return float(r2_score(codes, self.predicted(raw), sample_weight=weight))


class OneClass(Targets):
    """No targets: each row is one of the class."""

    def check(self, y: Any) -> None:
        """Accept all: the ones are ours."""

    def encode(self, y: Any) -> NDArray[Any]:
        """Return the ones that stand for them."""
        return np.asarray(y)

    def report(self, params: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return coefficients and offset."""
        return {"coef_": params[:-1].copy(), "offset_": 1.0 - params[-1:]}

    def score(self, codes: NDArray[Any], raw: NDArray[Any], weight: Any) -> float:
        """Refuse: there is nothing to compare with."""
        raise NotImplementedError("rows without targets have no score.")
