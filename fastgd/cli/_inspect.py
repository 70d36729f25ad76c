"""``fastgd inspect`` and ``fastgd report``: what a saved model has learned."""

import argparse
import html
import json
import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from fastgd._readers.errors import UserError, first_line, listed, shortened
from fastgd.cli import _archive
from fastgd.cli._asked import format_of
from fastgd.cli._coefficients import Coefficient, as_table, strongest
from fastgd.cli._names import MODELS
from fastgd.cli._output import check_output, is_stdout, replacing
from fastgd.cli._terminal import counted, note, renamed, result
from fastgd.cli._text import described, settings_as_text

MOST = 20  # coefficients that are shown unless more are asked for
MOST_POINTS = 2000  # of a curve
WIDTH, HEIGHT, MARGIN = 640, 260, 46  # of the picture, in pixels


def run(args: argparse.Namespace) -> int:
    """Print coefficients by name, the strongest first."""
    if args.plot is not None:
        check_output(args.plot, [args.model], "--plot")
        if find_spec("matplotlib") is None:
            raise UserError('--plot needs matplotlib: pip install "fastgd[plot]"')
    card, pipeline = _archive.load(args.model, format_of(args).limits)
    most = args.top or (None if args.json else MOST)
    found, intercept = strongest(card, pipeline, most), _intercept(pipeline)
    if args.plot is not None:
        _draw(found[:MOST], card, args.plot)
        note(f"drawn: {args.plot}")
    if args.json:
        result(json.dumps(_as_json(found, intercept), indent=1))
    elif args.plot is None:
        result(f"{args.model} ({card.estimator}), {_of_what(card)}\n{as_table(found, intercept)}")
    return 0


def _intercept(pipeline: Any) -> list[float]:
    model = pipeline.steps[-1][1]
    return [float(b) for b in np.ravel(getattr(model, "intercept_", 0.0))]


def _of_what(card: _archive.Card) -> str:
    if card.classes is not None and len(card.classes) == 2:
        return f"for {shortened(str(card.classes[1]))}, against {shortened(str(card.classes[0]))}"
    return "by class" if card.classes is not None else "coefficients"


def _as_json(found: Sequence[Coefficient], intercept: Sequence[float]) -> dict[str, Any]:
    return {
        "coefficients": [
            {"name": one.name, "class": one.label, "value": one.value} for one in found
        ],
        "intercept": list(intercept),
    }


def _draw(found: Sequence[Coefficient], card: _archive.Card, path: Path) -> None:
    """Draw coefficients as bars, the strongest at the top."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 1.2 + 0.28 * len(found)), layout="constrained")
    axes = figure.subplots()
    several = len({repr(one.label) for one in found}) > 1
    names = [_escaped(_named(one, several=several)) for one in found]
    colors = ["tab:blue" if one.value > 0 else "tab:red" for one in found]
    axes.barh(range(len(found)), [one.value for one in found], color=colors)
    axes.set_yticks(range(len(found)), names)
    axes.invert_yaxis()
    axes.axvline(0.0, color="0.5", linewidth=0.8)
    axes.set_xlabel(f"coefficient ({card.estimator})")
    with replacing(path) as file:
        try:
            figure.savefig(file, format=path.suffix[1:].lower() or "png")
        except ValueError as error:
            raise UserError(f"--plot {path}: {first_line(error)}") from None


def _escaped(text: str) -> str:
    """Return text in which no character begins a formula."""
    return text.replace("$", r"\$")


def _named(one: Coefficient, *, several: bool) -> str:
    name = shortened(one.name)
    return f"{name} [{shortened(str(one.label))}]" if several else name


# -- the report ----------------------------------------------------------------------------------


def report(args: argparse.Namespace) -> int:
    """Write one HTML file that says what a model was trained on, how, and what it has learned."""
    output = args.output or args.model.with_suffix(".html")
    check_output(output, [args.model, args.data])
    card, pipeline = _archive.load(args.model, format_of(args).limits)
    sections = [
        ("The model", _table(_facts(card))),
        ("The fit", _table(_figures(pipeline.steps[-1][1]))),
        ("History", _history(pipeline.steps[-1][1])),
        ("Columns", _columns(card)),
        ("The strongest coefficients", _bars(card, pipeline)),
    ]
    if args.data is not None:
        from fastgd.cli._predict import scores_of

        scores = scores_of(args, card, pipeline)
        rows = {name: _number(value) for name, value in scores.items()}
        sections.insert(2, (f"On {renamed(str(args.data))}", _table(rows)))
    content = _page(f"{args.model.name}: {card.estimator}", sections)
    with replacing(output) as file:
        # a card may hold lone surrogates
        file.write(content.encode(errors="backslashreplace"))
    if not is_stdout(output):
        note(f"report: {output} ({len(content) / 1024:,.0f} KiB)")
    return 0


def _facts(card: _archive.Card) -> dict[str, str]:
    target = card.layout.target
    return {
        "model": f"{card.model} ({card.estimator}, {card.task})",
        "trained on": f"{counted(card.n_rows, 'row')}, {described(card.layout)}",
        "target": "none" if target is None else f"{target.name} ({target.dtype})",
        "classes": "none" if card.classes is None else listed(card.classes, most=50),
        "settings": settings_as_text(card),
        "saved by": f"fastgd {card.fastgd}, scikit-learn {card.scikit_learn}",
    }


_FIGURES = {
    "objective_": "objective",
    "gap_": "distance from the optimum, at most",
    "n_iter_": "passes",
    "C_": "C chosen",
    "alpha_": "alpha chosen",
}


def _figures(model: Any) -> dict[str, str]:
    """Return what a fit says of itself; whatever a file holds, only numbers are shown."""
    rows = {}
    for name, words in _FIGURES.items():
        values = _numbers(getattr(model, name, None))
        if values:
            rows[words] = ", ".join(map(_number, values[:10]))
    if MODELS_WITH_LAYERS & {type(model).__name__}:
        rows["coefficients"] = counted(int(sum(w.size for w in model.coefs_)), "weight")
    return rows


MODELS_WITH_LAYERS = {model.estimator for model in MODELS.values() if model.is_network}


def _numbers(values: Any) -> list[float]:
    try:
        return [float(v) for v in np.ravel(np.asarray(values, np.float64)) if math.isfinite(v)]
    except (TypeError, ValueError):
        return []


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def _history(model: Any) -> str:
    """Return a curve of the objective, or of what was recorded in its place."""
    history = getattr(model, "history_", None)
    if not isinstance(history, Mapping):
        return "<p>This model keeps no history.</p>"
    for name in ("objective", "loss", "score"):
        values = _numbers(history.get(name))
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
        f'<text x="4" y="{MARGIN}">{_number(high)}</text>'
        f'<text x="4" y="{HEIGHT - MARGIN}">{_number(low)}</text>'
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{label} in {len(values):,} passes</text></svg>"
    )


def _columns(card: _archive.Card) -> str:
    columns = card.layout.columns
    if not columns:
        return f"<p>{html.escape(described(card.layout))}</p>"
    rows = {shortened(one.name): f"{one.kind} ({one.dtype})" for one in columns[:200]}
    return _table(rows)


def _bars(card: _archive.Card, pipeline: Any) -> str:
    try:
        found = strongest(card, pipeline, MOST)
    except UserError as error:
        return f"<p>{html.escape(str(error))}</p>"
    largest = max((abs(one.value) for one in found), default=1.0)
    several = len({repr(one.label) for one in found}) > 1
    rows = "".join(
        f"<tr><th>{html.escape(_named(one, several=several))}</th><td>{one.value:+.6g}</td>"
        f'<td class="bar"><span class="{"up" if one.value > 0 else "down"}" '
        f'style="width:{100 * abs(one.value) / largest:.1f}%"></span></td></tr>'
        for one in found
    )
    return f"<p>{html.escape(_of_what(card))}</p><table>{rows}</table>"


def _table(rows: Mapping[str, str]) -> str:
    body = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return f"<table>{body}</table>"


_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;
color:#222;background:#fff}h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}th{text-align:left;font-weight:normal;color:#666;
padding:.15rem 1rem .15rem 0;vertical-align:top;overflow-wrap:anywhere}
td{overflow-wrap:anywhere}.bar{width:40%}
.bar span{display:block;height:.8rem;background:#2b6cb0}.bar .down{background:#c0392b}
svg{width:100%;color:#2b6cb0}svg text{font-size:12px;fill:#666}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#15171a}th,svg text{color:#aaa;
fill:#aaa}svg{color:#7ab2ea}}
"""


def _page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """Return a page that needs nothing else: no script, no file beside it."""
    body = "".join(
        f"<h2>{html.escape(shortened(head))}</h2>{text}" for head, text in sections if text
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(shortened(title))}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{html.escape(shortened(title))}</h1>{body}</body></html>\n"
    )
