"""Formulas as MathML, which browsers draw by themselves, with the font in _static/fonts."""

from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml


def render(writer: Any, node: nodes.math | nodes.math_block) -> None:
    """Write a formula, and skip the text of its node."""
    is_block = isinstance(node, nodes.math_block)
    tree = latex2mathml.tex2mathml(node.astext(), as_block=is_block)
    if is_block:
        writer.body.append(f'<div class="math-block">{tree}</div>')
    else:
        writer.body.append(str(tree))
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    """Register ``mathml`` and take it for the pages."""
    app.add_html_math_renderer("mathml", (render, None), (render, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
