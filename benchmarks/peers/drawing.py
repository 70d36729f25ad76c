"""Suboptimality against time, a panel for each data set."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .contenders import OURS
from .report import TARGETS
from .timing import Result

# Okabe and Ito's colours, which the colour-blind tell apart, and black; markers say it again, and
# who comes after these seven is dashed and hollow. fastgd has the one colour that is left.
COLORS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "X", "P", "<", ">", "*")
OUR_STYLE = {"color": "#D55E00", "marker": "o", "linewidth": 3.0, "markersize": 8, "zorder": 5}
FLOOR, CEILING = 1e-10, 10.0  # what is nearer to f* is drawn at the floor; what is worse is not


def draw(results: Sequence[Result], path: Path) -> None:
    """Draw a panel for each data set, a line for each solver, and one legend below them all."""
    # Neither pyplot nor a display: this also runs on a server, and leaves no global state.
    from matplotlib.figure import Figure

    columns = min(3, len(results))
    lines = math.ceil(len(results) / columns)
    figure = Figure(figsize=(max(6.0, 4.8 * columns), 3.9 * lines + 0.8), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    styles = styles_of(results)
    for panel, result in zip(panels, results, strict=False):
        draw_panel(panel, result, styles)
    for panel in panels[len(results) :]:
        panel.set_visible(False)
    for panel in panels[max(0, len(results) - columns) : len(results)]:
        panel.set_xlabel("seconds of the whole fit")
    for panel in panels[::columns]:
        panel.set_ylabel(f"(f \N{MINUS SIGN} f*) / |f*|, at least {FLOOR:.0e}")
    found = {h.get_label(): h for p in panels for h in p.get_legend_handles_labels()[0]}
    handles = [found[name] for name in styles if name in found]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=max(3, 2 * columns), frameon=False
    )
    figure.savefig(path, dpi=150)


def styles_of(results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """Return the looks of each solver, the same in all panels; fastgd comes first."""
    names = dict.fromkeys(row.contender for result in results for row in result.rows)
    styles: dict[str, dict[str, Any]] = {OURS: OUR_STYLE}
    for i, name in enumerate(name for name in names if name != OURS):
        style = {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)]}
        if i >= len(COLORS):
            style |= {"linestyle": "--", "markerfacecolor": "white"}
        styles[name] = {**style, "linewidth": 1.3, "markersize": 5.5}
    return styles


def draw_panel(panel: Any, result: Result, styles: dict[str, dict[str, Any]]) -> None:
    """Draw suboptimality against time, both as logarithms, with a faint line for each target."""
    for target in TARGETS:
        panel.axhline(target, color="0.88", linewidth=1, zorder=0)
    for name, style in styles.items():
        points = frontier(result, name)
        if points:
            panel.plot(*zip(*points, strict=True), label=name, **style)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_ylim(FLOOR / 3, CEILING)
    panel.set_title(f"{result.name}\n{result.text}", fontsize="medium")
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def frontier(result: Result, name: str) -> list[tuple[float, float]]:
    """Return times and gaps of a solver in hindsight: none was both slower and no nearer to f*."""
    points: list[tuple[float, float]] = []
    for row in sorted(result.rows, key=lambda row: row.seconds):
        gap = max(result.suboptimality(row), FLOOR)
        if row.contender == name and gap < (points[-1][1] if points else CEILING):
            points.append((row.seconds, gap))
    return points
