"""How good a model's predictions are, by the measures that scikit-learn's metrics are named by.

Those that every training reports are formulas here: importing scikit-learn's takes longer.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd._readers.encoding import parts_of
from fastgd._readers.errors import UserError
from fastgd._readers.layout import Chunk
from fastgd._runtime.postponed import imported
from fastgd.cli._names import CLASSIFICATION, REGRESSION

LARGEST_LABEL = 2.0**53  # up to it, float64 has all whole numbers
MOST_LABEL_BYTES = 1 << 28
MOST_PROBABILITIES = 1 << 26  # numbers that are kept for metrics of probabilities

Scores = dict[str, float]


def as_labels(y: NDArray[Any], classes: Iterable[Any]) -> NDArray[Any]:
    """Return labels as the model has them: text, or whole numbers where its classes are.

    An array of text has the room of the longest for each; where that is too much it holds objects.
    """
    if y.dtype.kind == "U":
        return y
    if y.dtype == object:
        longest = max((len(label) for label in classes if isinstance(label, str)), default=0)
        return y if 4 * longest * len(y) > MOST_LABEL_BYTES else y.astype(str)
    is_whole = np.equal(y, np.rint(y)).all() and np.all(np.abs(y) <= LARGEST_LABEL)
    if is_whole and all(isinstance(label, int) for label in classes):
        return y.astype(np.int64)
    return y


def measure(pipeline: Any, chunks: Iterable[Chunk], task: str, *, in_short: bool = False) -> Scores:
    """Predict chunk by chunk, and compare with the targets.

    ``in_short`` leaves out what takes as long as a short fit: F1, recalls, ROC curves.

    Raises
    ------
    UserError
        If there are no rows.
    """
    encoder, model = parts_of(pipeline)
    filled = (chunk._replace(X=encoder.transform(chunk.X)) for chunk in chunks if chunk.n_rows > 0)
    if task == CLASSIFICATION:
        return _of_classes(model, filled, in_short=in_short)
    pairs = [(chunk.y, model.predict(chunk.X)) for chunk in filled]
    predicted = _joined([of_chunk for _, of_chunk in pairs])
    if task == REGRESSION:
        return _of_numbers(_joined([y for y, _ in pairs]), predicted)
    return {"rows": float(predicted.shape[0]), "share of outliers": float(np.mean(predicted == -1))}


def _metric(name: str) -> Any:
    """Return one of scikit-learn's metrics, imported where it is asked for."""
    return imported(f"sklearn.metrics:{name}")


def _joined(parts: Sequence[Any]) -> NDArray[Any]:
    if not parts:
        raise UserError("there are no rows to measure by.")
    return np.concatenate(parts)


def _of_classes(model: Any, chunks: Iterable[Chunk], *, in_short: bool) -> Scores:
    classes, knows = model.classes_, hasattr(model, "predict_proba")
    actual, predicted, probabilities = [], [], []
    n_kept = 0
    for chunk in chunks:
        if chunk.y is None:
            continue
        actual.append(_codes(as_labels(chunk.y, classes.tolist()), classes))
        predicted.append(_codes(model.predict(chunk.X), classes))
        n_kept += chunk.n_rows * len(classes)
        if knows and n_kept <= MOST_PROBABILITIES:
            probabilities.append(model.predict_proba(chunk.X))
    y, guess = _joined(actual), _joined(predicted)
    scores = {"rows": float(y.shape[0]), "accuracy": float(np.mean(y == guess))}
    if not in_short:
        scores |= _of_each_class(y, guess)
    if knows and n_kept <= MOST_PROBABILITIES and int(y.max()) < len(classes):
        p = np.concatenate(probabilities)
        scores["log loss"] = _log_loss(y, p)
        scores |= {} if in_short else _of_ranks(y, p)
    return scores


def _of_each_class(y: NDArray[Any], guess: NDArray[Any]) -> Scores:
    labels = np.unique(y)
    recalls = _metric("recall_score")(y, guess, labels=labels, average=None, zero_division=0)
    return {
        "balanced accuracy": float(np.mean(recalls)),
        "F1 (macro)": _metric("f1_score")(y, guess, average="macro", zero_division=0),
    }


def _codes(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int32]:
    """Return the labels' numbers, which take less memory; what is no class has the last."""
    places = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    return np.where(classes[places] == labels, places, len(classes)).astype(np.int32)


def _of_ranks(y: NDArray[Any], p: NDArray[Any]) -> Scores:
    n_classes, n_present = p.shape[1], np.unique(y).shape[0]
    if n_classes != n_present:
        return {}
    if n_classes == 2:
        return {"ROC AUC": _metric("roc_auc_score")(y, p[:, 1])}
    shares = p / p.sum(axis=1, keepdims=True)  # float32 may miss 1 by more than is allowed
    return {"ROC AUC (one vs rest)": _metric("roc_auc_score")(y, shares, multi_class="ovr")}


def _of_numbers(y: NDArray[Any], predicted: NDArray[Any]) -> Scores:
    y = np.asarray(y, np.float64)
    missed = y - predicted
    absolute = np.abs(missed)
    return {
        "rows": float(y.shape[0]),
        "R2": _share_explained(y, missed),
        "root mean squared error": float(np.sqrt(np.mean(missed**2))),
        "mean absolute error": float(np.mean(absolute)),
        "median absolute error": float(np.median(absolute)),
    }


def _log_loss(y: NDArray[Any], p: NDArray[Any]) -> float:
    """Return the mean of -log p of the rows' own classes; p is kept away from 0 by an epsilon."""
    own = p[np.arange(len(y)), y]
    eps = np.finfo(own.dtype).eps
    return float(-np.mean(np.log(np.clip(own, eps, 1.0 - eps)), dtype=np.float64))


def _share_explained(y: NDArray[Any], missed: NDArray[Any]) -> float:
    """Return R2, which of one row has no meaning; of equal targets it is 1 if none is missed."""
    if y.shape[0] < 2:
        return float("nan")
    left, spread = float(np.sum(missed**2)), float(np.sum((y - np.mean(y)) ** 2))
    if spread == 0.0:
        return float(left == 0.0)
    return 1.0 - left / spread
