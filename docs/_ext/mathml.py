"""Formulas as MathML, which browsers draw by themselves, with the font in _static/fonts.

docutils translates them; what browsers would draw badly is mended here: norms do not stretch, and
a function such as log stands apart from a factor before it, and from its argument unless that is in
parentheses.
"""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml

NORM = re.compile(r"<mo( class=\"\w+\")?>‖</mo>")
APPLICATION = re.compile(r"<mo>(?:&ApplyFunction;|\u2061)</mo>(?!\s*<mo stretchy=\"\w+\">\()")
FACTOR = re.compile(
    r"(</(?:mi|mn|msub|msup|msubsup|mfrac|msqrt)>|‖</mo>)(\s*)(?=<mi>\w+</mi>\s*<mo>&ApplyFunction;)"
)
SPACE = '<mspace width="0.167em" />'


def mathml(formula: str, *, as_block: bool) -> str:
    """Translate a formula of LaTeX.

    Raises
    ------
    MathError
        If a command is not known.
    """
    text = str(latex2mathml.tex2mathml(formula, as_block=as_block))
    text = NORM.sub(r'<mo\1 stretchy="false">‖</mo>', text)
    text = FACTOR.sub(rf"\1{SPACE}\2", text)
    return APPLICATION.sub(SPACE, text)


def render(writer: Any, node: nodes.math | nodes.math_block) -> None:
    """Write a formula, and skip the text of its node."""
    is_block = isinstance(node, nodes.math_block)
    tree = mathml(node.astext(), as_block=is_block)
    writer.body.append(f'<div class="math-block">{tree}</div>' if is_block else tree)
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    """Register ``mathml`` and take it for the pages."""
    app.add_html_math_renderer("mathml", (render, None), (render, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
