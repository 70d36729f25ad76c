"""Keep the translations of the site up to date with its pages.

    python docs/translations.py            # make docs-translate
    python docs/translations.py --check
    python docs/translations.py --add networks generated/howto/export

Without an option, the messages of all translated pages are extracted, and the catalogues in
``docs/locales`` brought up to date: a paragraph that is new, or has changed, gets an entry that is
empty or marked ``fuzzy``, to be translated by hand. ``--check`` changes nothing, and fails if a
page is not translated in full. ``--add`` starts the catalogues of further pages.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "_ext"))

from languages import FOLDERS, catalogues, comments  # noqa: E402

# What a translation keeps: roles with their targets, code, addresses, files that are linked to
ROLES = re.compile(r":(\w+):`([^`]*)`|\{([\w:]+)\}`([^`]*)`")
TARGET = re.compile(r".*<([^>]*)>\s*$", re.S)
CODE = re.compile(r"(?<![:}`])``([^`]+)``|(?<![:}`\w])`([^`<]+)`(?!_)")
LINKS = re.compile(r"`[^`<]*<(https?:[^>`]*)>`_|\]\(([^)]*)\)")
NAMES = {"fastgd", "PyTorch", "Keras", "terngrad", "sign"}  # the same in all languages
FORMULA = re.compile(r"\\[a-zA-Z]+|[_^]\{|<-")
CHINESE = re.compile(r"[\u3400-\u9fff]")


def kept(text: str) -> set[str]:
    """Return what a message and its translation have in common."""
    roles = []
    for role, inner, other_role, other_inner in ROLES.findall(text):
        name = role or other_role
        found = None if name == "math" else TARGET.match(inner or other_inner)
        roles.append(f"{name}:{found[1] if found else inner or other_inner}")
    rest = ROLES.sub("", text)
    links = ["".join(found) for found in LINKS.findall(rest)]
    code = ["".join(found) for found in CODE.findall(LINKS.sub("", rest))]
    return {" ".join(part.split()) for part in [*roles, *code, *links]}


def numbers(text: str) -> set[str]:
    """Return the numbers of a message: its translation has them as well, and maybe further ones."""
    return set(re.findall(r"\d[\d,.]*\d|\d", text))


def is_formula(text: str) -> bool:
    """Whether a message is a formula on lines of its own: it has no sentence."""
    return bool(FORMULA.search(text)) and not ROLES.search(text) and text.endswith("\n")


def stays(text: str) -> bool:
    """Whether there is nothing to translate in a message."""
    words = CODE.sub("", LINKS.sub("", ROLES.sub(_title, text)))
    return is_formula(text) or text in NAMES or not re.search(r"[^\W\d_]", words)


def _title(role: re.Match[str]) -> str:
    is_math = "math" in (role[1], role[3])
    found = None if is_math else re.match(r"([^<]*)<", role[2] or role[4])
    return found[1] if found else ""


def faults(catalog: Catalog) -> Iterator[str]:
    """Yield what is wrong with a page's translation, a line for each fault."""
    for message in catalog:
        text, translated = message.id, message.string
        if not text:
            continue
        start = " ".join(str(text).split())[:60]
        if message.fuzzy or not translated:
            yield f"{'fuzzy' if message.fuzzy else 'not translated'}: {start}"
        elif numbers(text) - numbers(translated):
            yield f"lost {sorted(numbers(text) - numbers(translated))}: {start}"
        elif kept(text) != kept(translated):
            lost, new = kept(text) - kept(translated), kept(translated) - kept(text)
            yield f"lost {sorted(lost)}, new {sorted(new)}: {start}"
        elif stays(text) != (text == translated) and not CHINESE.search(translated):
            yield f"in English: {start}"


def differences(template: Catalog, catalog: Catalog) -> Iterator[str]:
    """Yield what a page says and its catalogue lacks, and the other way round."""
    page, known = ({m.id for m in side if m.id} for side in (template, catalog))
    yield from (f"is not in the catalogue: {text[:60]!r}" for text in sorted(page - known))
    yield from (f"is no longer on the page: {text[:60]!r}" for text in sorted(known - page))


def source_of(page: str) -> Path:
    """Return the file that a page is made of.

    Raises
    ------
    SystemExit
        If there is none: the page was renamed or removed, and its catalogue has to follow.
    """
    gallery = ROOT / "examples" / page.removeprefix("generated/")
    if page.startswith("generated/"):
        places = [gallery.with_suffix(".py"), gallery.parent / "GALLERY_HEADER.rst"]
        places = places[1:] if gallery.name == "index" else places[:1]
    else:
        places = [HERE / f"{page}.md", HERE / f"{page}.rst"]
    for place in places:
        if place.exists():
            return place
    raise SystemExit(f"there is no page {page!r}: rename or remove its catalogue in docs/locales")


def extract(pages: Iterable[str], folder: Path) -> dict[str, Catalog]:
    """Return the messages of pages, by a build of Sphinx in a folder; no example runs.

    The pages are copied there, since sphinx-gallery writes its own beside them.

    Raises
    ------
    SystemExit
        If there is no such page, or Sphinx fails; with what it said.
    """
    sources = {page: source_of(page) for page in pages}
    patterns = ",".join(f"{page}.*" for page in pages)
    options = {"include_patterns": patterns, "plot_gallery": 0, "autosummary_generate": 0}
    source, target = folder / "docs", folder / "messages"
    shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("generated", "locales", "design"))
    shutil.copytree(ROOT / "examples", folder / "examples")
    settings = [f"-D{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "gettext", *settings, source, target]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise SystemExit(ended.stderr)
    return {
        page: _with_comments(_read(target / f"{page}.pot"), path) for page, path in sources.items()
    }


def _with_comments(template: Catalog, source: Path) -> Catalog:
    if source.suffix == ".py":
        for text in comments(source.read_text(encoding="utf-8")):
            template.add(text)
    return template


def update(template: Catalog, old: Catalog | None, language: str) -> Catalog:
    """Return a page's catalogue with the messages that the page has now, in their order.

    What resembles a message that is gone gets the translation of that one, and is marked fuzzy.
    """
    catalog = old or Catalog(locale=language)
    catalog.update(template)
    catalog.obsolete.clear()
    for message in catalog:
        if message.id and stays(str(message.id)):
            message.string = message.id
            message.flags.discard("fuzzy")
    return catalog


def save(catalog: Catalog, path: Path, language: str) -> None:
    """Write a catalogue, without dates and line numbers: only messages make differences."""
    for message in catalog:
        message.flags &= {"fuzzy"}  # no guesses of formats: braces are LaTeX's
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalog, width=92, no_location=True, omit_header=True)
    body = path.read_bytes()
    header = (
        'msgid ""\nmsgstr ""\n"Language: %s\\n"\n'
        '"MIME-Version: 1.0\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n'
        '"Content-Transfer-Encoding: 8bit\\n"\n\n'
    )
    path.write_bytes((header % language).encode() + body.lstrip())


def _read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="change nothing, and say what is amiss"
    )
    parser.add_argument("--add", nargs="+", default=[], metavar="PAGE", help="translate these, too")
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        pages = {language: {*catalogues(language), *options.add} for language in FOLDERS}
        templates = extract(sorted(set().union(*pages.values())), Path(folder))
        for language, names in pages.items():
            for page in sorted(names):
                path = HERE / "locales" / language / "LC_MESSAGES" / f"{page}.po"
                catalog = _read(path) if path.exists() else None
                if not options.check:
                    catalog = update(templates[page], catalog, language)
                    save(catalog, path, language)
                assert catalog is not None
                for fault in (*differences(templates[page], catalog), *faults(catalog)):
                    print(f"{path.relative_to(HERE)}: {fault}")
                    wrong += 1
    print(f"{wrong} messages to translate" if wrong else "All pages are translated in full.")
    return int(options.check and wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
