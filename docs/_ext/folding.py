"""Folds code of gallery pages: that of pictures, and solutions of exercises with their output.

A code cell that begins with ``# Plot`` is folded, and the picture stays; from a cell that begins
with ``# Solution`` on, all is folded up to the next heading. Both words may be translated.
"""

import html
from typing import Any

from docutils import nodes

PLOT, SOLUTION = ("# Plot", "# 绘图"), ("# Solution", "# 答案")


def fold(app: Any, doctree: nodes.document) -> None:  # noqa: ARG001 - Sphinx's arguments
    """Wrap what is to be folded of a page that has been read."""
    for block in list(doctree.findall(nodes.literal_block)):
        first = block.astext().lstrip().partition("\n")[0]
        if first.startswith(PLOT):
            _wrap(block, 1, first.removeprefix("# "))
        elif first.startswith(SOLUTION):
            siblings = block.parent.children
            rest = siblings[siblings.index(block) :]
            ends = (k for k, node in enumerate(rest) if isinstance(node, nodes.section))
            _wrap(block, next(ends, len(rest)), first.removeprefix("# "))


def _wrap(block: nodes.Node, count: int, summary: str) -> None:
    parent = block.parent
    at = parent.index(block)
    opening = f'<details class="fold"><summary>{html.escape(summary)}</summary>'
    parent.insert(at + count, nodes.raw("", "</details>", format="html"))
    parent.insert(at, nodes.raw("", opening, format="html"))


def setup(app: Any) -> dict[str, Any]:
    """Register the event."""
    app.connect("doctree-read", fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
