"""A network as a row of boxes, in HTML that needs neither scripts nor pictures."""

from html import escape

from fastgd._networks.assembly import Assembly

STYLE = (
    "display:flex;flex-wrap:wrap;align-items:center;gap:0.4em;margin:0.6em 0;"
    "font-family:monospace;font-size:0.85em"
)
BOX = "border:1px solid currentColor;border-radius:0.3em;padding:0.3em 0.6em;text-align:center"
FAINT = "opacity:0.7;font-size:0.9em"
MOST_BOXES = 60


def drawn(network: Assembly) -> str:
    """Return a box for each layer in the order in which rows pass, and arrows between them.

    A box has the layer, the shape of its output and the number of its parameters. A layer that
    adds the input of a residual block says so.
    """
    boxes = [_box("input", str(network.shape), "")]
    rows = network.rows()
    for name, shape, count in rows[:MOST_BOXES]:
        boxes.append(_box(name, shape, "" if count == "0" else f"{count} parameters"))
    if len(rows) > MOST_BOXES:
        boxes.append(_box(f"{len(rows) - MOST_BOXES} more layers", "", ""))
    total = f"{network.n_trained:,} parameters in all"
    return (
        f'<div class="fastgd-network" style="{STYLE}">{"<span>&rarr;</span>".join(boxes)}'
        f'<span style="{FAINT}">{total}</span></div>'
    )


def _box(*lines: str) -> str:
    first, *others = [escape(line) for line in lines if line]
    more = "".join(f'<br><span style="{FAINT}">{line}</span>' for line in others)
    return f'<span style="{BOX}">{first}{more}</span>'
