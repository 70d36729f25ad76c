"""The site in other languages: ``sphinx -D language=zh_CN docs build/html/zh``, after English.

A language has a catalogue for each page that is translated, in ``docs/locales``; its site has these
pages, and links to the English site, one folder above, for all others. The examples do not run
again: their output and pictures are those of the English build, which ``docs/generated`` keeps.
``docs/translations.py`` keeps the catalogues.
"""

import html
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from docutils import nodes
from sphinx import addnodes
from sphinx.errors import ConfigError
from sphinx.search.en import SearchEnglish
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
DOCS = Path(__file__).resolve().parents[1]
ENGLISH = "en"
FOLDERS = {"zh_CN": "zh"}  # of a language's site, within the English one
NAMES = {ENGLISH: "English", "zh_CN": "中文"}
HINTS = {  # for a page that the other language lacks
    ENGLISH: "Read in English",
    "zh_CN": "本页尚无中文版，前往中文首页",
}
MORE = {"zh_CN": "更多"}  # of the menu, which the theme does not translate
ON_EVERY_SITE = {"search", "genindex"}

# -- catalogues ---------------------------------------------------------------------------------


def catalogues(language: str) -> dict[str, Path]:
    """Return the catalogues of a language by the names of their pages."""
    folder = DOCS / "locales" / language / "LC_MESSAGES"
    paths = sorted(folder.rglob("*.po"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


@cache
def catalogue(path: Path) -> Catalog:
    """Return what a file of messages says."""
    with path.open("rb") as file:
        return read_po(file)


def translations(language: str, page: str) -> dict[str, str]:
    """Return the messages of a page and what they are in a language, in the page's order."""
    path = catalogues(language).get(page)
    messages = catalogue(path) if path is not None else ()
    return {str(message.id): str(message.string) for message in messages if message.id}


# -- comments that explain an exercise or a picture -----------------------------------------------

# The first lines of a cell of code: folding.py shows the first one, and hides the others
COMMENT = re.compile(r"(?m)^( *)# (Plot: .*|Solution)\n((?:\1# (?!%%).*\n)*)")
PIECE = re.compile(r"[\u4e00-\u9fff“（]+?[，。；：、）”]*|[^\s\u4e00-\u9fff“（]+|\s+")
WIDTH = 76


def comments(source: str) -> Iterator[str]:
    """Yield what the comments at the head of pictures and solutions say."""
    for _, title, body in COMMENT.findall(source):
        yield title
        if body:
            yield _text_of(body)


def with_comments(source: str, known: dict[str, str]) -> str:
    """Translate the comments at the head of pictures and solutions."""

    def translated(found: re.Match[str]) -> str:
        indent, title, body = found.groups()
        lines = [known.get(title, title)]
        if body:
            lines += wrapped(known.get(_text_of(body), _text_of(body)))
        return "".join(f"{indent}# {line}\n" for line in lines)

    return COMMENT.sub(translated, source)


def _text_of(body: str) -> str:
    return " ".join(line.strip().removeprefix("# ") for line in body.splitlines())


def wrapped(text: str) -> list[str]:
    """Break a text into lines; Chinese may be broken anywhere but before a comma or full stop."""
    lines, width = [""], 0
    for piece in PIECE.findall(text):
        size = sum(2 if char > "\u2e80" else 1 for char in piece)
        if width + size > WIDTH:
            lines[-1] = lines[-1].rstrip()
            lines.append("")
            width = 0
        if width or piece.strip():
            lines[-1] += piece
            width += size
    return lines


# -- what sphinx-gallery writes into pages --------------------------------------------------------

NOTE = re.compile(
    r"\.\. only:: html\n\n    \.\. note::\n        :class: sphx-glr-download.*?(?=\n\S)", re.S
)
TIME = re.compile(r"\.\. rst-class:: sphx-glr-timing\n\n   \*\*.*\n")
FOOTER = re.compile(r"\.\. only:: html\n\n  \.\. container:: sphx-glr-footer.*\Z", re.S)
DOWNLOADS = {
    "zh_CN": {
        "Download Jupyter notebook:": "下载 Jupyter 笔记本：",
        "Download Python source code:": "下载 Python 源代码：",
        "Download zipped:": "下载压缩包：",
    }
}
CARD = re.compile(
    r'(<div class="sphx-glr-thumbcontainer" tooltip=")[^"]*(">.*?:doc:`/(.*?)`'
    r'.*?<div class="sphx-glr-thumbnail-title">).*?(?=</div>)',
    re.S,
)
ROLE = re.compile(r":\w+:`([^`<]*?)(?: <[^`]*>)?`|[*`]|\\ ")


def without_boilerplate(text: str) -> str:
    """Leave of a page of the gallery what its author wrote, which is what is translated."""
    text = FOOTER.sub("", TIME.sub("", NOTE.sub("", text)))
    return re.sub(r"(?m)^  :doc:`/generated/.*`\n", "", text)


def with_boilerplate(text: str, language: str) -> str:
    """Translate what sphinx-gallery wrote: names of downloads, and the cards of a gallery."""
    text = TIME.sub("", NOTE.sub("", text))
    for english, translated in DOWNLOADS.get(language, {}).items():
        text = text.replace(f":download:`{english} ", f":download:`{translated}")
    return CARD.sub(lambda found: _card(found, language), text)


def _card(found: re.Match[str], language: str) -> str:
    title, intro, *_ = [*translations(language, found[3]).values(), "", ""]
    if not title:
        return found[0]
    tooltip = html.escape(ROLE.sub(r"\1", intro))
    return f"{found[1]}{tooltip}{found[2]}{html.escape(title)}"


MENU = re.compile(r"(?m)(^```\{toctree\}\n:hidden:\n\n)((?:.+\n)+?)(?=```$)")


def with_menu(text: str, pages: Iterable[str]) -> str:
    """Let the menu of the front page have what is translated, and nothing else."""
    pages = set(pages)

    def translated(found: re.Match[str]) -> str:
        lines = found[2].splitlines()
        names = [re.sub(r".*<(.*)>$", r"\1", line) for line in lines]
        kept = [line for line, name in zip(lines, names, strict=True) if name in pages]
        others = {page for page in pages if "/" not in page} - {"index", *names}
        return found[1] + "".join(f"{line}\n" for line in [*kept, *sorted(others)])

    return MENU.sub(translated, text)


def on_source(app: Any, page: str, source: list[str]) -> None:
    """Rewrite the menu, and pages of the gallery that are translated, or read for that."""
    if page == "index" and app.config.language != ENGLISH:
        source[0] = with_menu(source[0], catalogues(app.config.language))
    if page.startswith("generated/"):
        if app.builder.name == "gettext":
            source[0] = without_boilerplate(source[0])
        elif app.config.language != ENGLISH:
            text = with_boilerplate(source[0], app.config.language)
            source[0] = with_comments(text, translations(app.config.language, page))


ONE_ROLE = re.compile(r":\w+:`[^`]*`")  # downloads, titles of cards


def untranslated(doctree: nodes.document, known: dict[str, str]) -> Iterator[str]:
    """Yield what Sphinx left in English on a page, though it is no message of the catalogue."""
    texts = {" ".join(text.split()) for text, translated in known.items() if translated} | {""}
    for node in doctree.findall(nodes.Element):
        if node.get("translated") is False:
            text = " ".join(node.rawsource.split())
            if text not in texts and not ONE_ROLE.fullmatch(text):
                yield text


def on_doctree(app: Any, doctree: nodes.document) -> None:
    """Warn of what is not translated: a page and its catalogue do not belong together."""
    if app.config.language == ENGLISH or app.builder.name == "gettext":
        return
    page = app.env.docname
    for text in untranslated(doctree, translations(app.config.language, page)):
        LOGGER.warning("is not in the catalogue, run make docs-translate: %s", text, location=page)


# -- links to pages that are in English only -------------------------------------------------------


class EnglishPages(SphinxPostTransform):
    """Links to pages that this site lacks lead to the English site."""

    default_priority = 5  # before Sphinx and MyST look for the pages

    def run(self, **kwargs: Any) -> None:
        """Replace the references of one page."""
        del kwargs
        if self.config.language == ENGLISH:
            return
        for node in list(self.document.findall(addnodes.pending_xref)):
            page = _page_of(node, self.env.docname)
            if page is not None and page not in self.env.found_docs:
                anchor = f"#{node['reftargetid']}" if node.get("reftargetid") else ""
                up = "../" * (self.env.docname.count("/") + 1)
                link = nodes.reference("", "", internal=False, refuri=f"{up}{page}.html{anchor}")
                link["classes"].append("in-english")
                link += node.children
                node.replace_self(link)


def _page_of(node: addnodes.pending_xref, docname: str) -> str | None:
    if node["reftype"] == "doc":
        target = str(node["reftarget"])
        folder = "" if target.startswith("/") else docname.rpartition("/")[0] + "/"
        return (folder + target).lstrip("/")
    if node.get("refdomain") == "doc" and node["reftype"] == "myst":
        return str(node["reftarget"])
    return None


def on_resolved(app: Any, doctree: nodes.document, page: str) -> None:
    """Let names in the code of examples lead to the English site from folders, too.

    And mark emphasis without a Chinese character, such as titles of books, which can be italic.
    """
    if app.config.language == ENGLISH:
        return
    for node in doctree.findall(nodes.emphasis):
        if not re.search(r"[\u4e00-\u9fff]", node.astext()):
            node["classes"].append("latin")
    for link in doctree.findall(nodes.reference):
        is_name = any(name.startswith("sphx-glr-backref") for name in link["classes"])
        if is_name and link.get("refuri", "").startswith("../"):
            link["refuri"] = "../" * page.count("/") + link["refuri"]


# -- the other language ---------------------------------------------------------------------------


def other_page(language: str, page: str) -> tuple[str, str, bool]:
    """Return the other language, the address of the page there, and whether it has that page."""
    up = "../" * page.count("/")
    if language != ENGLISH:
        return ENGLISH, f"{up}../{page}.html", True
    other, folder = next(iter(FOLDERS.items()))
    has = page in catalogues(other) or page in ON_EVERY_SITE
    return other, f"{up}{folder}/{page if has else 'index'}.html", has


def on_page(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Tell the templates, and search engines, where a page is in the other language."""
    del template, doctree
    language = app.config.language
    other, url, has = other_page(language, page)
    context["other_language"] = {
        "code": other.replace("_", "-"),
        "name": NAMES[other],
        "url": url,
        "hint": NAMES[other] if has else HINTS[other],
    }
    if has:
        for code, address in ((language, f"{page.rpartition('/')[2]}.html"), (other, url)):
            link = f'<link rel="alternate" hreflang="{code.replace("_", "-")}" href="{address}" />'
            context["metatags"] = context.get("metatags", "") + "\n    " + link


# -- search ---------------------------------------------------------------------------------------


class SearchPairs(SearchEnglish):
    """Words in Latin letters, and Chinese as pairs of characters that follow each other.

    So no dictionary is needed: a phrase is found where all of its pairs are. (Sphinx's own search
    in Chinese needs jieba, and its script a stemmer that does not exist.)
    """

    lang = "zh"
    words: ClassVar = re.compile(r"[a-zA-Z0-9_]+|[\u4e00-\u9fff]+")
    js_splitter_code = r"""
function splitQuery(query) {
    const words = query.match(/[a-zA-Z0-9_]+|[\u4e00-\u9fff]+/g) || [];
    return words.flatMap((word) => {
        if (word.length < 3 || word < "\u4e00") return [word];
        return Array.from({length: word.length - 1}, (_, k) => word.slice(k, k + 2));
    });
}
"""

    def split(self, input: str) -> list[str]:
        """Return the terms of a text."""
        return [term for word in self.words.findall(input) for term in _terms(word)]

    def word_filter(self, word: str) -> bool:
        """Whether a term is kept: no single character, and no stop word."""
        return len(word) > 1 and super().word_filter(word)


def _terms(word: str) -> list[str]:
    if len(word) < 3 or word < "\u4e00":
        return [word]
    return [word[k : k + 2] for k in range(len(word) - 1)]


# -- the build ------------------------------------------------------------------------------------


def configure(app: Any, config: Any) -> None:
    """Restrict the site of a language to its pages, and refer to the English one for the rest."""
    if config.language == ENGLISH:
        return
    pages = catalogues(config.language)
    if not pages:
        raise ConfigError(f"docs/locales has no catalogue for language={config.language!r}")
    inventory = Path(app.outdir).parent / "objects.inv"
    if not inventory.exists():
        raise ConfigError(f"build the English site first: there is no {inventory}")
    config.include_patterns = [f"{page}.*" for page in pages]
    config.exclude_patterns += ["**.ipynb", "**.py", "**.zip", "**.json", "**.md5"]
    config.intersphinx_mapping = {ENGLISH: ("..", str(inventory))}
    config.suppress_warnings += ["toc.excluded", "toc.not_readable", "toc.not_included"]
    config.autosummary_generate = False
    config.html_theme_options |= {
        "header_links_before_dropdown": 5,
        "header_dropdown_text": MORE[config.language],
    }
    config.html_sidebars |= {page: [] for page in pages if "/" not in page}  # have no section
    config.sphinx_gallery_conf |= {"examples_dirs": [], "gallery_dirs": []}


def setup(app: Any) -> dict[str, Any]:
    """Register what a site in several languages needs."""
    app.setup_extension("sphinx.ext.intersphinx")
    app.connect("config-inited", configure, priority=5)  # before sphinx-gallery, intersphinx
    app.connect("source-read", on_source)
    app.connect("doctree-read", on_doctree)
    app.connect("doctree-resolved", on_resolved)
    app.connect("html-page-context", on_page)
    app.add_post_transform(EnglishPages)
    app.add_search_language(SearchPairs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
