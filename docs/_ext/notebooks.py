"""Notebooks of the examples in other languages, made of the scripts and their catalogues.

The text of a script is reStructuredText whose paragraphs are messages of the catalogue: they are
replaced there, before sphinx-gallery turns the script into a notebook.
"""

import re
from pathlib import Path
from typing import Any

from languages import DOCS, ENGLISH, catalogues, translations, with_comments
from sphinx_gallery.notebook import jupyter_notebook, save_notebook
from sphinx_gallery.py_source_parser import Block, split_code_and_text_blocks

GALLERY = "generated/"
# A message is a line or several, from the margin, a bullet, or the cell of a table, to the end of
# the line or of the cell; a list's lines are indented
START, END = r"(?m)(^ *(?:\* )?|(?<=\S)  +)", r"(?=$|  )"


def notebook_of(page: str, language: str) -> Path:
    """Return where the notebook of a page is in a language."""
    return DOCS / f"{page}.{language}.ipynb"


def translated(text: str, known: dict[str, str]) -> str:
    """Return the text of a cell with the paragraphs that a catalogue knows in its language."""
    for message in sorted(known, key=len, reverse=True):
        words = r"\s+".join(map(re.escape, message.split()))
        plain = known[message].replace("\\ ", "")  # as Markdown needs no escaped spaces
        text = re.sub(START + words + END, lambda found, new=plain: found[1] + new, text)
    return text


def write(page: str, language: str, gallery_conf: dict[str, Any]) -> None:
    """Write the notebook of a page of the gallery, beside the English one."""
    script = DOCS.parent / "examples" / f"{page.removeprefix(GALLERY)}.py"
    known = translations(language, page)
    blocks = [
        Block(kind, change(content, known), line)
        for kind, content, line in split_code_and_text_blocks(script)[1]
        for change in [translated if kind == "text" else with_comments]
    ]
    path = notebook_of(page, language)
    save_notebook(jupyter_notebook(blocks, gallery_conf, path.parent), path)


def write_all(app: Any) -> None:
    """Write the notebooks of all pages of the gallery that are translated."""
    language = app.config.language
    if language != ENGLISH:
        for page in catalogues(language):
            if page.startswith(GALLERY) and not page.endswith("/index"):
                write(page, language, app.config.sphinx_gallery_conf)


def link(app: Any, page: str, source: list[str]) -> None:
    """Offer the translated notebook for download on its page."""
    language = app.config.language
    if language != ENGLISH and notebook_of(page, language).exists():
        name = page.rpartition("/")[2]
        source[0] = source[0].replace(f"{name}.ipynb", f"{name}.{language}.ipynb")


def setup(app: Any) -> dict[str, Any]:
    """Register the events."""
    app.connect("builder-inited", write_all)
    app.connect("source-read", link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
