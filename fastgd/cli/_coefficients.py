"""Coefficients of a saved model by the names of their columns, the strongest first."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer

from fastgd._export import report
from fastgd._export.report import Coefficient
from fastgd._readers.errors import UserError, shortened
from fastgd._readers.layout import CATEGORY, NUMBER, TABLE, TEXT
from fastgd.cli._archive import Card

MOST_OF_A_NAME = 60


def strongest(card: Card, pipeline: Any, most: int | None) -> list[Coefficient]:
    """Return coefficients in the order of their absolute values; those of 0 do not count.

    Raises
    ------
    UserError
        If the model has none, as a network.
    """
    model = pipeline.steps[-1][1]
    if not hasattr(model, "coef_"):
        raise UserError(f"{type(model).__name__} has no coefficients that belong to columns.")
    coef = model.coef_ if sp.issparse(model.coef_) else np.atleast_2d(model.coef_)
    names = feature_names(card, pipeline, coef.shape[1])
    return report.strongest(coef, names, _labels(card, coef.shape[0]), most)


def _labels(card: Card, n_rows: int) -> list[Any]:
    classes = card.classes or []
    if n_rows == 1 and len(classes) == 2:
        return classes[1:]
    return list(classes) if len(classes) == n_rows else [None] * n_rows


def feature_names(card: Card, pipeline: Any, width: int) -> Any:
    """Return a function from a coefficient's place to the name of its column."""
    prepare = pipeline.steps[0][1] if len(pipeline.steps) > 1 else None
    if card.layout.form == TABLE and isinstance(prepare, ColumnTransformer):
        parts = list(_parts(card, prepare))
        starts = np.cumsum([0, *(n for n, _ in parts)])
        if starts[-1] == width:
            return lambda k: _name_in(parts, starts, k)
    shift = 0 if card.layout.zero_based else 1
    return lambda k: f"feature {k + shift}"


def _name_in(parts: list[tuple[int, Any]], starts: NDArray[Any], k: int) -> str:
    part = int(np.searchsorted(starts, k, side="right")) - 1
    return str(parts[part][1](k - int(starts[part])))


def _parts(card: Card, prepare: ColumnTransformer) -> Iterator[tuple[int, Any]]:
    """Yield how many columns each branch of the preparation makes, and what names them."""
    branches = {name: part for name, part, _ in prepare.transformers_}
    if "numbers" in branches:
        numbers = card.layout.names(NUMBER)
        yield len(numbers), numbers.__getitem__
    if "categories" in branches:
        categories = card.layout.names(CATEGORY)
        for name, words in zip(categories, branches["categories"].categories_, strict=False):
            yield len(words), lambda k, name=name, words=words: f"{name} = {words[k]}"
    for branch, name in enumerate(card.layout.names(TEXT)):
        part = branches[f"text {branch}"]
        if hasattr(part, "vocabulary_"):
            words = part.get_feature_names_out()
            yield len(words), lambda k, name=name, words=words: f"{name}: {words[k]}"
        else:
            yield part.n_features, lambda k, name=name: f"{name}: words of the hash {k}"


def as_table(coefficients: list[Coefficient], intercept: Any) -> str:
    """Return coefficients as lines."""
    names = [shortened(one.name, MOST_OF_A_NAME) for one in coefficients]
    width = max(map(len, [*names, "(intercept)"]))
    several = len({repr(one.label) for one in coefficients}) > 1
    lines = [
        f"  {name:<{width}}  {one.value:>+13.6g}"
        + (f"  {shortened(str(one.label))}" if several else "")
        for name, one in zip(names, coefficients, strict=True)
    ]
    numbers = " ".join(f"{value:+.6g}" for value in np.ravel(intercept)[:20])
    return "\n".join([*lines, f"  {'(intercept)':<{width}}  {numbers:>13}"])
