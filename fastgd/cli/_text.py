"""Layouts and settings as lines that a person reads."""

import inspect
from collections.abc import Collection, Mapping

from fastgd._readers.errors import listed, plain
from fastgd._readers.layout import CATEGORY, DATE, NUMBER, TABLE, TEXT, Column, Layout
from fastgd.cli._archive import Card
from fastgd.cli._names import MODELS
from fastgd.cli._terminal import counted

MOST_OF_A_NAME = 80  # characters that columns are lined up by


def described(layout: Layout) -> str:
    """Return how many features there are, of which kinds."""
    if layout.form != TABLE:
        return f"{layout.n_features:,} features ({layout.form})"
    kinds = {NUMBER: "numeric", CATEGORY: "categorical", TEXT: "of text", DATE: "of dates"}
    counts = {kind: sum(column.kind == kind for column in layout.columns) for kind in kinds}
    usual = (NUMBER, CATEGORY)
    parts = [f"{counts[k]:,} {word}" for k, word in kinds.items() if counts[k] or k in usual]
    return f"{counted(len(layout.columns), 'column')} ({', '.join(parts)})"


def columns_as_text(layout: Layout, categories: Mapping[str, Collection[str]] | None = None) -> str:
    """Return a line for each column of a table: its name, kind and dtype."""
    names = [plain(column.name) for column in layout.columns]
    width = min(max(map(len, names), default=0), MOST_OF_A_NAME)
    return "\n".join(
        f"  {name:<{width}}  {column.kind:<8}  {plain(_detail(column, categories))}"
        for name, column in zip(names, layout.columns, strict=True)
    )


def _detail(column: Column, categories: Mapping[str, Collection[str]] | None) -> str:
    known = sorted((categories or {}).get(column.name, ()))
    if not known:
        return column.dtype
    return f"{column.dtype}, {len(known):,}: {listed(known, most=5)}"


def settings_as_text(card: Card) -> str:
    """Return the settings that are not the estimator's defaults."""
    from fastgd import linear_model, neural_network

    package = neural_network if MODELS[card.model].is_network else linear_model
    parameters = inspect.signature(getattr(package, card.estimator)).parameters
    own = [
        f"{name}={value}"
        for name, value in card.settings.items()
        if name not in parameters or repr(parameters[name].default) != value
    ]
    return ", ".join(own) or "the defaults"
