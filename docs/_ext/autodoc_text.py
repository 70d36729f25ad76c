"""Docstrings are plain text that also reads well in a terminal; here it becomes reStructuredText.

Formulas that make a paragraph of their own keep their lines, and |w| and coef_ in a sentence are
no markup.
"""

import re
from collections.abc import Iterator
from typing import Any

MARKUP = re.compile(r"(``.*?``|:\w+:`.*?`)|(\|)|(\w_)(?!\w)")
NAMES = re.compile(r"^\w[\w, ]*( : |$)")  # numpydoc's own lines of a list, which it escapes itself
PLAIN = re.compile(r"^\s*(>>>|\.\.)")
# Labels of scikit-learn's own site, in what is inherited from it
REFERENCE = re.compile(r":ref:`\s*(?:([^`<]+?)\s*<[^`>]+>|([^`]+))`")
FORMULA = re.compile(r"\w+ +(<-|=) ")


def escaped(line: str) -> str:
    """Return a line with what looks like markup made plain, but not in literals."""
    if PLAIN.match(line):
        return line
    names = NAMES.match(line)
    start = names.end() if names else 0
    return line[:start] + MARKUP.sub(_plain, line[start:])


def _plain(found: re.Match[str]) -> str:
    literal, bar, name = found.groups()
    if literal:
        return literal
    return r"\|" if bar else f"{name[0]}\\_"


def rewritten(lines: list[str]) -> Iterator[str]:
    """Yield the lines of a docstring, paragraphs of formulas as literal blocks."""
    last = " "  # line of the paragraph before: an indented one belongs to what it describes
    for paragraph in "\n".join(lines).split("\n\n"):
        body = paragraph.splitlines()
        stands_alone = paragraph.startswith("    ") and not last.startswith(" ")
        if stands_alone or FORMULA.match(paragraph):
            yield from ("::", "", *("    " + line.replace("``", "") for line in body))
        else:
            yield from map(escaped, body)
            last = body[-1] if body else last
        yield ""


def process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    """Rewrite a docstring of fastgd's in place."""
    if name.startswith("fastgd"):
        text = REFERENCE.sub(lambda found: found[1] or found[2], "\n".join(lines))
        lines[:] = list(rewritten(text.split("\n")))


def setup(app: Any) -> dict[str, Any]:
    """Go before numpydoc, which takes the docstring apart."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
