"""What a fitted model says of itself, as HTML that needs no script and no file beside it."""

import html
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._readers.errors import shortened

MOST_POINTS = 2000  # of a curve
WIDTH, HEIGHT, MARGIN = 640, 260, 46  # of the picture, in pixels

_FIGURES = {
    "objective_": "objective",
    "gap_": "distance from the optimum, at most",
    "n_iter_": "passes",
    "C_": "C chosen",
    "alpha_": "alpha chosen",
}
_CURVES = ("objective", "loss", "score")


class Coefficient(NamedTuple):
    """A coefficient, and the class that it speaks for where there are several."""

    name: str
    label: Any
    value: float


def strongest(
    coef: Any, names: Callable[[int], str], labels: Sequence[Any], most: int | None
) -> list[Coefficient]:
    """Return coefficients in the order of their absolute values; those of 0 do not count.

    Parameters
    ----------
    coef : {array-like, sparse matrix} of shape (n_features,) or (n_outputs, n_features)
    names : callable
        From the place of a column to its name.
    labels : sequence of length n_outputs
    most : int or None
        How many at most; None for all.
    """
    rows, columns, values = entries(coef)
    order = np.argsort(-np.abs(values), kind="stable")[:most]
    return [
        Coefficient(names(int(columns[at])), labels[rows[at]], float(values[at])) for at in order
    ]


def entries(coef: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]]:
    """Return rows, columns and values of what is not 0, row after row."""
    if not sp.issparse(coef):
        coef = np.atleast_2d(np.asarray(coef, np.float64))
        rows, columns = np.nonzero(coef)
        return rows, columns, coef[rows, columns]
    rows, columns, values = sp.find(coef)
    order = np.lexsort((columns, rows))
    return rows[order], columns[order], np.asarray(values[order], np.float64)


def named(one: Coefficient, *, several: bool) -> str:
    """Return a coefficient's name, with its class where there are ``several``."""
    name = shortened(one.name)
    return f"{name} [{shortened(str(one.label))}]" if several else name


def figures(model: Any) -> dict[str, str]:
    """Return what a fit says of itself; whatever a file holds, only numbers are shown."""
    rows = {}
    for name, words in _FIGURES.items():
        values = _numbers(getattr(model, name, None))
        if values:
            rows[words] = ", ".join(map(number, values[:10]))
    return rows


def _numbers(values: Any) -> list[float]:
    try:
        return [float(v) for v in np.ravel(np.asarray(values, np.float64)) if math.isfinite(v)]
    except (TypeError, ValueError):
        return []


def number(value: float) -> str:
    """Return a number for people."""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def history(model: Any) -> str:
    """Return a curve of the objective, or of what was recorded in its place; or why not."""
    recorded = getattr(model, "history_", None)
    if not isinstance(recorded, Mapping):
        return "<p>This model keeps no history.</p>"
    for name in _CURVES:
        values = _numbers(recorded.get(name))
        if len(values) > 1:
            return _curve(values, name)
    return "<p>The fit took one pass.</p>"


def _curve(values: list[float], name: str) -> str:
    step = max(len(values) // MOST_POINTS, 1)
    shown = values[::step]
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    across = (WIDTH - 2 * MARGIN) / max(len(shown) - 1, 1)
    down = (HEIGHT - 2 * MARGIN) / span
    points = " ".join(
        f"{MARGIN + across * k:.1f},{HEIGHT - MARGIN - (value - low) * down:.1f}"
        for k, value in enumerate(shown)
    )
    label = html.escape(name)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label} by pass">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="2"/>'
        f'<text x="4" y="{MARGIN}">{number(high)}</text>'
        f'<text x="4" y="{HEIGHT - MARGIN}">{number(low)}</text>'
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{label} in {len(values):,} passes</text></svg>"
    )


def bars(found: Sequence[Coefficient]) -> str:
    """Return a table of coefficients with a bar for each."""
    largest = max((abs(one.value) for one in found), default=1.0)
    several = len({repr(one.label) for one in found}) > 1
    rows = "".join(
        f"<tr><th>{html.escape(named(one, several=several))}</th><td>{one.value:+.6g}</td>"
        f'<td class="bar"><span class="{"up" if one.value > 0 else "down"}" '
        f'style="width:{100 * abs(one.value) / largest:.1f}%"></span></td></tr>'
        for one in found
    )
    return f"<table>{rows}</table>"


def table(rows: Mapping[str, str]) -> str:
    """Return a table of names and values."""
    body = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return f"<table>{body}</table>"
