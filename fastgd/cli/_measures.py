"""How good a model's predictions are, by scikit-learn's metrics."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from fastgd.cli._layout import Chunk
from fastgd.cli._names import CLASSIFICATION, REGRESSION

MOST_PROBABILITIES = 1 << 26  # numbers that are kept for metrics of probabilities

Scores = dict[str, float]


def as_labels(y: NDArray[Any], classes: Iterable[Any]) -> NDArray[Any]:
    """Return labels as the model has them: text, or whole numbers where its classes are."""
    if y.dtype == object:
        return y.astype(str)
    if all(isinstance(label, int) for label in classes) and np.equal(y, np.rint(y)).all():
        return y.astype(np.int64)
    return y


def measure(pipeline: Any, chunks: Iterable[Chunk], task: str) -> Scores:
    """Predict chunk by chunk, and compare with the targets."""
    if task == CLASSIFICATION:
        return _of_classes(pipeline, chunks)
    pairs = [(chunk.y, pipeline.predict(chunk.X)) for chunk in chunks if chunk.n_rows > 0]
    predicted = np.concatenate([of_chunk for _, of_chunk in pairs])
    if task == REGRESSION:
        return _of_numbers(np.concatenate([y for y, _ in pairs if y is not None]), predicted)
    return {"rows": float(predicted.shape[0]), "share of outliers": float(np.mean(predicted == -1))}


def _of_classes(pipeline: Any, chunks: Iterable[Chunk]) -> Scores:
    classes, knows = pipeline.classes_.tolist(), hasattr(pipeline, "predict_proba")
    actual, predicted, probabilities = [], [], []
    n_kept = 0
    for chunk in chunks:
        if chunk.n_rows == 0 or chunk.y is None:
            continue
        actual.append(as_labels(chunk.y, classes))
        n_kept += chunk.n_rows * len(classes)
        if knows and n_kept <= MOST_PROBABILITIES:
            probabilities.append(pipeline.predict_proba(chunk.X))
        predicted.append(pipeline.predict(chunk.X))
    y, guess = np.concatenate(actual), np.concatenate(predicted)
    scores = {
        "rows": float(y.shape[0]),
        "accuracy": metrics.accuracy_score(y, guess),
        "balanced accuracy": float(np.mean(_recalls(y, guess))),
        "F1 (macro)": metrics.f1_score(y, guess, average="macro", zero_division=0),
    }
    if knows and n_kept <= MOST_PROBABILITIES and set(np.unique(y).tolist()) <= set(classes):
        scores |= _of_probabilities(y, np.concatenate(probabilities), classes)
    return scores


def _recalls(y: NDArray[Any], guess: NDArray[Any]) -> NDArray[Any]:
    labels = np.unique(y)
    recalls: NDArray[Any] = metrics.recall_score(
        y, guess, labels=labels, average=None, zero_division=0
    )
    return recalls


def _of_probabilities(y: NDArray[Any], p: NDArray[Any], classes: list[Any]) -> Scores:
    scores = {"log loss": metrics.log_loss(y, p, labels=classes)}
    present = np.unique(y).shape[0]
    if len(classes) == 2 and present == 2:
        scores["ROC AUC"] = metrics.roc_auc_score(y == classes[1], p[:, 1])
    elif 2 < len(classes) == present:
        scores["ROC AUC (one vs rest)"] = metrics.roc_auc_score(
            y, p / p.sum(axis=1, keepdims=True), labels=classes, multi_class="ovr"
        )
    return scores


def _of_numbers(y: NDArray[Any], predicted: NDArray[Any]) -> Scores:
    return {
        "rows": float(y.shape[0]),
        "R2": metrics.r2_score(y, predicted) if y.shape[0] > 1 else float("nan"),
        "root mean squared error": metrics.root_mean_squared_error(y, predicted),
        "mean absolute error": metrics.mean_absolute_error(y, predicted),
        "median absolute error": metrics.median_absolute_error(y, predicted),
    }
