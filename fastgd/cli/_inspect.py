"""``fastgd inspect`` and ``fastgd report``: what a saved model has learned."""

import argparse
import html
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from fastgd._export import report as report_of
from fastgd._export.report import Coefficient, named, table
from fastgd._readers.errors import UserError, first_line, listed, shortened
from fastgd.cli import _archive
from fastgd.cli._asked import format_of
from fastgd.cli._coefficients import as_table, strongest
from fastgd.cli._names import MODELS
from fastgd.cli._output import check_output, is_stdout, replacing
from fastgd.cli._terminal import counted, note, renamed, result
from fastgd.cli._text import described, settings_as_text

MOST = 20  # coefficients that are shown unless more are asked for


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
    names = [_escaped(named(one, several=several)) for one in found]
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


# -- the report ----------------------------------------------------------------------------------


def report(args: argparse.Namespace) -> int:
    """Write one HTML file that says what a model was trained on, how, and what it has learned."""
    output = args.output or args.model.with_suffix(".html")
    check_output(output, [args.model, args.data])
    card, pipeline = _archive.load(args.model, format_of(args).limits)
    sections = [
        ("The model", table(_facts(card))),
        ("The fit", table(_figures(pipeline.steps[-1][1]))),
        ("History", report_of.history(pipeline.steps[-1][1])),
        ("Columns", _columns(card)),
        ("The strongest coefficients", _bars(card, pipeline)),
    ]
    if args.data is not None:
        from fastgd.cli._predict import scores_of

        scores = scores_of(args, card, pipeline)
        rows = {name: report_of.number(value) for name, value in scores.items()}
        sections.insert(2, (f"On {renamed(str(args.data))}", table(rows)))
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


def _figures(model: Any) -> dict[str, str]:
    rows = report_of.figures(model)
    if MODELS_WITH_LAYERS & {type(model).__name__}:
        rows["coefficients"] = counted(int(sum(w.size for w in model.coefs_)), "weight")
    return rows


MODELS_WITH_LAYERS = {model.estimator for model in MODELS.values() if model.is_network}


def _columns(card: _archive.Card) -> str:
    columns = card.layout.columns
    if not columns:
        return f"<p>{html.escape(described(card.layout))}</p>"
    rows = {shortened(one.name): f"{one.kind} ({one.dtype})" for one in columns[:200]}
    return table(rows)


def _bars(card: _archive.Card, pipeline: Any) -> str:
    try:
        found = strongest(card, pipeline, MOST)
    except UserError as error:
        return f"<p>{html.escape(str(error))}</p>"
    return f"<p>{html.escape(_of_what(card))}</p>{report_of.bars(found)}"


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
