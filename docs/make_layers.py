"""Draw docs/figures/layers.svg: the layers of the package, each of which calls those below it.

    python docs/make_layers.py

A new package gets a box in ``LAYERS``; a test says so.
"""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

FIGURE = Path(__file__).parent / "figures" / "layers.svg"
WIDTH, MARGIN, GAP = 960, 20, 12
LINE, TITLE = 17, 30  # heights of a line of text, and of a layer's title


class Box(NamedTuple):
    """A package or a few modules, in a few words."""

    name: str
    lines: tuple[str, ...]


class Layer(NamedTuple):
    """Boxes side by side."""

    title: str
    color: str
    boxes: tuple[Box, ...]


LAYERS = (
    Layer(
        "What a user calls",
        "#dbe9f6",
        (
            Box("cli/, inference/", ("commands: train, predict, ...;", "standard errors")),
            Box(
                "linear_model/, neural_network/",
                ("estimators: validate,", "fit, report (base)"),
            ),
            Box(
                "losses, optimizers, ...",
                ("specs: a choice with its", "numbers, as public names"),
            ),
            Box("plot/, datasets/, _export/", ("pictures, data, other", "programs (callbacks)")),
            Box("accel/", ("scikit-learn's classes,", "fitted by fastgd")),
        ),
    ),
    Layer(
        "How a model is fitted",
        "#dff0d8",
        (
            Box("_training/", ("with a learning rate:", "one epoch loop, by Trainer;", "stopping")),
            Box("_solvers/", ("without: gd, sdca, saga,", "interior point; choice,", "proofs")),
            Box("_monitoring/", ("reports of epochs,", "callbacks, Ctrl-C")),
        ),
    ),
    Layer(
        "What a fit works on",
        "#fcf1d5",
        (
            Box(
                "_data/, _readers/, _distributed/",
                ("sources of rows, files, shards;", "targets: how y is encoded"),
            ),
            Box(
                "_engines/, _networks/",
                ("arithmetic on one device:", "run, gradient, apply, evaluate"),
            ),
            Box("_parameters/, _runtime/", ("checks, names into specs;", "threads, warm-up")),
        ),
    ),
    Layer(
        "Compiled code: kernels/, which imports nothing from above",
        "#f5dcd9",
        (
            Box("drivers", ("sgd, network, objective,", "gd, saga, sdca, ...")),
            Box("specs", ("losses, layers, optimizers,", "penalties, transforms")),
            Box("storage", ("rows (dense, CSR),", "stores (coefficients)")),
            Box("_jit, _hook", ("numba's options, disk cache,", "dispatch to specs")),
        ),
    ),
)


def text(x: float, y: float, words: str, kind: str) -> str:
    """Return a line of text."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(words)}</text>'


def height_of(layer: Layer) -> int:
    """Return the height of a layer."""
    return TITLE + LINE * (1 + max(len(box.lines) for box in layer.boxes)) + 2 * GAP


def drawn(layer: Layer, top: float) -> Iterator[str]:
    """Yield the elements of a layer."""
    inner, height = WIDTH - 2 * MARGIN, height_of(layer)
    yield (
        f'<rect x="{MARGIN}" y="{top:g}" width="{inner}" height="{height}" rx="8" '
        f'fill="{layer.color}"/>'
    )
    yield text(MARGIN + GAP, top + 20, layer.title, "title")
    width = (inner - GAP * (len(layer.boxes) + 1)) / len(layer.boxes)
    left = MARGIN + GAP
    for box in layer.boxes:
        yield (
            f'<rect x="{left:g}" y="{top + TITLE:g}" width="{width:g}" '
            f'height="{height - TITLE - GAP}" rx="5" fill="#ffffff" stroke="#666666"/>'
        )
        yield text(left + 8, top + TITLE + LINE, box.name, "name")
        for k, line in enumerate(box.lines, start=2):
            yield text(left + 8, top + TITLE + k * LINE, line, "line")
        left += width + GAP


def arrow(top: float, height: float) -> str:
    """Return an arrow down."""
    x, end = WIDTH / 2, top + height - 4
    return (
        f'<path d="M{x:g} {top + 4:g}V{end - 6:g}" stroke="#666666" stroke-width="2"/>'
        f'<path d="M{x - 6:g} {end - 8:g}h12l-6 8z" fill="#666666"/>'
    )


def figure() -> str:
    """Return the figure as SVG."""
    parts, top, between = [], float(MARGIN), 26
    for k, layer in enumerate(LAYERS):
        if k > 0:
            parts.append(arrow(top, between))
            top += between
        parts += drawn(layer, top)
        top += height_of(layer)
    height = top + MARGIN
    style = (
        "text{font-family:system-ui,sans-serif;fill:#222222}.title{font-size:15px;font-weight:600}"
        ".name{font-family:ui-monospace,monospace;font-size:12px;font-weight:600}"
        ".line{font-size:13px}"
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">'
        f"<title>The layers of fastgd</title><style>{style}</style>"
        f'<rect width="{WIDTH}" height="{height:g}" fill="#ffffff"/>'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    FIGURE.write_text(figure(), encoding="utf-8")
