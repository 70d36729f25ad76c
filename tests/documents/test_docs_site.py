"""The documentation site, as far as it can be checked without building it."""

import ast
import fnmatch
import importlib
import pkgutil
import re
import textwrap
from pathlib import Path

import pytest

import fastgd
from docs import check_links
from docs._ext import autodoc_text, folding

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("design/*.md"), *DOCS.glob("*.rst")])
EXAMPLES = sorted((ROOT / "examples").glob("*/*.py"))
GALLERIES = sorted({path.parent for path in EXAMPLES})
WITHOUT_A_PAGE = {"base", "cli", "kernels", "linear_model"}  # the last has the names of fastgd


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# -- the reference --------------------------------------------------------------------------------


def public_modules() -> list[str]:
    found = [module.name for module in pkgutil.iter_modules(fastgd.__path__)]
    return [
        "fastgd",
        *(
            f"fastgd.{name}"
            for name in found
            if not name.startswith("_") and name not in WITHOUT_A_PAGE
        ),
    ]


def names_in_the_reference() -> dict[str, set[str]]:
    """Return the names that docs/api.rst lists, by module."""
    names: dict[str, set[str]] = {}
    module = ""
    for line in (DOCS / "api.rst").read_text(encoding="utf-8").splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.split(":: ")[1]
        entry = re.fullmatch(r"(?:   |\.\. py:data:: )(\w+)", line)
        if entry:
            names.setdefault(module, set()).add(entry[1])
    return names


@pytest.mark.parametrize("module", public_modules())
def test_every_public_name_is_in_the_reference(module):
    public = set(importlib.import_module(module).__all__) - {"__version__"}
    assert names_in_the_reference()[module] == public


def test_the_linear_models_are_those_of_the_front_page():
    assert set(fastgd.linear_model.__all__) <= set(fastgd.__all__)


# -- pages ----------------------------------------------------------------------------------------


def toctree_entries(page: Path) -> list[str]:
    """Return the names that a page's toctrees list, as Sphinx calls pages."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.S | re.M)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    entries = [line for line in lines if line and not line.startswith(":")]
    folder = docname_of(page.parent / "x")[:-1]
    return [folder + re.sub(r".*<(.*)>", r"\1", entry) for entry in entries]


def docname_of(page: Path) -> str:
    return page.relative_to(DOCS).with_suffix("").as_posix()


def test_every_page_is_reachable():
    """Sphinx would say so, too; a new page shows here at once."""
    docnames = {docname_of(page) for page in PAGES}
    built = {f"generated/{folder.name}/index" for folder in GALLERIES}
    built |= {f"generated/{path.parent.name}/{path.stem}" for path in EXAMPLES}
    reached, waiting = {"index"}, ["index"]
    while waiting:
        docname = waiting.pop()
        page = next(page for page in PAGES if docname_of(page) == docname)
        for entry in toctree_entries(page):
            found = set(fnmatch.filter(docnames | built, entry))
            assert found or "*" in entry, f"{page.name} lists {entry}"
            waiting += sorted((found & docnames) - reached)
            reached |= found
    assert docnames - reached == set()
    for folder in GALLERIES:
        has_header = (folder / "GALLERY_HEADER.rst").exists()
        pages = {f"generated/{folder.name}/{path.stem}" for path in folder.glob("*.py")}
        assert f"generated/{folder.name}/index" in reached if has_header else pages <= reached


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub and MyST make of a Markdown page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    slugs = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
    return set(slugs)


@pytest.mark.parametrize(
    "page",
    [*(path for path in PAGES if path.suffix == ".md"), *sorted(ROOT.glob("*.md"))],
    ids=name_of,
)
def test_links_of_a_page_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", [DOCS / "api.rst", *EXAMPLES], ids=name_of)
def test_references_of_a_page_lead_somewhere(path):
    for target in re.findall(r":doc:`/?([^`<>]+)`", path.read_text(encoding="utf-8")):
        folder, _, stem = target.rpartition("/")
        gallery = ROOT / "examples" / (folder.rpartition("/")[2] or path.parent.name)
        sources = [DOCS / f"{target}.md", DOCS / f"{target}.rst", gallery / f"{stem}.py"]
        if stem == "index":
            sources.append(gallery / "GALLERY_HEADER.rst")
        assert any(source.exists() for source in sources), target


# -- examples -------------------------------------------------------------------------------------


LESSONS = [path for path in EXAMPLES if path.parent.name == "course"]
WIDEST = 80  # of code on a page


def test_the_course_has_its_lessons_in_order():
    """Galleries are sorted by the names of files."""
    numbers = [int(path.stem.split("_")[1]) for path in LESSONS]
    titles = [path.read_text(encoding="utf-8").split("\n")[1] for path in LESSONS]
    assert numbers == list(range(1, 21))
    assert [int(title.split(".")[0]) for title in titles] == numbers


@pytest.mark.parametrize("path", LESSONS, ids=name_of)
def test_a_lesson_has_what_a_lesson_needs(path):
    """A formula, a folded picture, numbers, an exercise with its solution, and a summary."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert ".. math::" in text
    assert "\n# %%\n\n# Plot: " in text
    assert "print(" in text.split("# Exercise")[0]
    exercise, solution, summary = "# Exercise\n", "\n# %%\n\n# Solution\n", "# What to remember\n"
    assert text.index(exercise) < text.index(solution) < text.index(summary)


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_formulas_of_an_example_can_be_drawn(path):
    pytest.importorskip("docutils.utils.math.latex2mathml")
    from docs._ext.mathml import mathml

    text = re.sub(r"^# ?", "", path.read_text(encoding="utf-8"), flags=re.M)
    inline = re.findall(r":math:`(.+?)`", text, re.S)
    blocks = re.findall(r"^\.\. math::(.*?)\n(?=\S|\Z)", text, re.S | re.M)
    for formula in [*inline, *blocks]:
        assert not re.search(r"frac\d", formula), "docutils takes all of 12 for the numerator"
        assert mathml(formula.strip(), as_block=True).startswith("<math")


def test_formulas_are_mended():
    pytest.importorskip("docutils.utils.math.latex2mathml")
    from docs._ext.mathml import SPACE, mathml

    drawn = mathml(r"\lVert g \rVert + \log p + \log(p) + y \log(p)", as_block=False)
    assert drawn.count('stretchy="false">‖<') == 2
    assert drawn.count(SPACE) == 2, "after log of p, and before log of y"


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_code_of_an_example_is_narrow(path):
    text = path.read_text(encoding="utf-8")
    start = ast.parse(text).body[0].end_lineno
    lines = text.splitlines()[start:]
    assert [line for line in lines if len(line) > WIDEST and not line.startswith("#")] == []


NARROW = [page for page in [ROOT / "README.md", *PAGES] if page.suffix == ".md"]


@pytest.mark.parametrize("page", NARROW, ids=name_of)
def test_code_of_a_page_is_narrow(page):
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    blocks += re.findall(r"^```console\n((?:.*\\\n)*.*\n)", text, re.M)  # the command
    if page.name != "call-trees.md":  # a script writes it
        indented = re.findall(r"\n\n((?:    .*\n)+)", text)
        blocks += [textwrap.dedent(block) for block in indented]
    assert [line for block in blocks for line in block.splitlines() if len(line) > WIDEST] == []


def test_plots_and_solutions_are_folded():
    nodes = pytest.importorskip("docutils.nodes")
    section = nodes.section()
    for text in ("x = 1", "\n# Plot: a line\nplot()", "# Solution\nprint(1)", "1"):
        section += nodes.literal_block(text, text)
    document = nodes.document(None, None)
    document += section
    folding.fold(None, document)
    folded = [node.astext() if "<" in node.astext() else "." for node in section]
    opened = '<details class="fold"><summary>{}</summary>'
    plot, solution = opened.format("Plot: a line"), opened.format("Solution")
    assert folded == [".", plot, ".", "</details>", solution, ".", ".", "</details>"]


def test_formulas_have_a_font():
    css = (DOCS / "_static/fastgd.css").read_text(encoding="utf-8")
    font = DOCS / "_static" / re.search(r'url\("(.*?woff2)"\)', css)[1]
    assert font.read_bytes().startswith(b"wOF2")
    assert (font.parent / "OFL.txt").exists()


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_an_example_is_a_page(path):
    """It compiles, and begins with a title, as the gallery wants it."""
    text = path.read_text(encoding="utf-8")
    lines = (ast.get_docstring(ast.parse(text)) or "").splitlines()
    assert lines[0]
    assert lines[1] == "=" * len(lines[0])
    assert "\n# %%\n" in text
    compile(text, str(path), "exec")


def test_every_folder_of_examples_is_built():
    conf = (DOCS / "conf.py").read_text(encoding="utf-8")
    for folder in GALLERIES:
        assert f'"../examples/{folder.name}"' in conf
        assert f'"generated/{folder.name}"' in conf


def test_continuous_integration_builds_the_site():
    """With warnings as errors, from packages alone; ``make docs`` does the same."""
    build = "-m sphinx -W --keep-going -b html docs build/html"
    check = "docs/check_links.py build/html"
    for file in (".ci/run", "Makefile", ".github/workflows/ci.yml"):
        text = (ROOT / file).read_text(encoding="utf-8")
        if file.endswith("yml"):
            assert "make docs" in text
        else:
            assert build in text
            assert check in text
    assert "intersphinx" not in (DOCS / "conf.py").read_text(encoding="utf-8")


# -- what the build uses --------------------------------------------------------------------------


def test_broken_links_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a id="here" href="b.html#there">x</a><a href="#here">x</a><a href="https://x.y">x</a>'
    )
    (tmp_path / "b.html").write_text('<a href="c.html">x</a><a href="a.html#gone">x</a>')
    assert check_links.broken_links(tmp_path) == [
        "a.html: b.html#there: no such anchor",
        "b.html: a.html#gone: no such anchor",
        "b.html: c.html: no such file",
    ]


def test_docstrings_become_markup():
    lines = [
        "Minimises |w|, kept in coef_:",
        "",
        "    |w| + b",
        "",
        "w <- w - rate g",
        "v <- g",
        "",
        "Parameters",
        "----------",
        "coef_ : of shape (n_features_in_,)",
        "    As ``intercept_``.",
        "",
        "    More of |w|.",
    ]
    assert "\n".join(autodoc_text.rewritten(lines)).strip() == (
        "Minimises \\|w\\|, kept in coef\\_:\n\n::\n\n        |w| + b\n\n"
        "::\n\n    w <- w - rate g\n    v <- g\n\nParameters\n----------\n"
        "coef_ : of shape (n_features_in\\_,)\n    As ``intercept_``.\n\n    More of \\|w\\|."
    )
