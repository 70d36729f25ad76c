"""Pages in Chinese: none is half translated, out of date, or lacks a formula of the English one."""

import csv
import json
import re
import sys
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("babel")
pytest.importorskip("sphinx")

from babel.messages.catalog import Catalog

from docs import translations

languages = sys.modules["languages"]  # translations.py imports it from docs/_ext
ROOT = Path(__file__).parents[2]
LANGUAGE = "zh_CN"
CATALOGUES = languages.catalogues(LANGUAGE)
EXAMPLES = sorted((ROOT / "examples").glob("*/*.py"))
README, CHINESE_README = (ROOT / name for name in ("README.md", "README.zh-CN.md"))

with (ROOT / f"docs/locales/{LANGUAGE}/terms.csv").open(encoding="utf-8") as file:
    TERMS = list(csv.DictReader(file))


@cache
def messages() -> list[tuple[str, str, str]]:
    """Return page, message and translation of all messages."""
    return [
        (page, text, translated)
        for page in CATALOGUES
        for text, translated in languages.translations(LANGUAGE, page).items()
    ]


# -- catalogues -----------------------------------------------------------------------------------


def test_front_page_tour_course_and_how_to_pages_are_translated():
    pages = {f"generated/{path.parent.name}/{path.stem}" for path in EXAMPLES}
    assert {"index", "glossary", "generated/course/index", *pages} <= set(CATALOGUES)


@pytest.mark.parametrize("page", CATALOGUES)
def test_a_page_is_translated_in_full(page):
    catalog = languages.catalogue(CATALOGUES[page])
    assert list(translations.faults(catalog)) == []
    assert len([message for message in catalog if message.id]) > 1


def test_catalogues_have_what_the_pages_say(tmp_path):
    """What fails here is mended by ``make docs-translate``, which says what is to be translated."""
    for module in ("myst_parser", "sphinx_gallery", "sphinx_design", "pydata_sphinx_theme"):
        pytest.importorskip(module)
    templates = translations.extract(CATALOGUES, tmp_path)
    for page, path in CATALOGUES.items():
        catalog = languages.catalogue(path)
        assert list(translations.differences(templates[page], catalog)) == [], page


@pytest.mark.parametrize("term", [t for t in TERMS if t["rejected"]], ids=lambda t: t["english"])
def test_a_term_has_one_translation(term):
    texts = [("README", "", CHINESE_README.read_text(encoding="utf-8")), *messages()]
    for word in term["rejected"].split():
        assert [page for page, _, translated in texts if word in translated] == [], word


@pytest.mark.parametrize("term", [t for t in TERMS if t["always"]], ids=lambda t: t["english"])
def test_a_term_is_translated_as_the_list_says(term):
    word = re.compile(rf"\b{term['english']}s?\b", re.I)
    found = 0
    for page, text, translated in messages():
        # code, targets of links and titles of books are no sentences
        sentence = re.sub(r":\w+:`[^`]*`|`+[^`]*`+|\]\([^)]*\)|\*[A-Z][^*]*\*", "", text)
        if word.search(sentence):
            found += 1
            assert term["chinese"] in translated, f"{page}: {text}"
    assert found


# -- what is a fault ------------------------------------------------------------------------------


def faults_of(text, translated, flags=()):
    catalog = Catalog()
    catalog.add(text, translated, flags=flags)
    return list(translations.faults(catalog))


def test_faults_of_a_translation_are_found():
    text = "The rate :math:`\\eta` of ``fit``; see :doc:`/catalogue` and `a paper <https://a.b>`_."
    right = (
        "``fit`` 的学习率 :math:`\\eta`；见 :doc:`总目录 </catalogue>` 和 `论文 <https://a.b>`_。"
    )
    assert faults_of(text, right) == []
    assert "not translated" in faults_of(text, "")[0]
    assert "fuzzy" in faults_of(text, right, {"fuzzy"})[0]
    assert "in English" in faults_of(text, text)[0]
    for part in ("\\eta", "fit", "</catalogue>", "https://a.b"):
        assert "lost" in faults_of(text, right.replace(part, "x"))[0]
    markdown = "{py:class}`fastgd.Lasso` and [the catalogue](catalogue.md)"
    assert faults_of(markdown, "{py:class}`fastgd.Lasso` 和[总目录](catalogue.md)") == []
    assert "lost" in faults_of(markdown, "{py:class}`fastgd.Ridge` 和[总目录](catalogue.md)")[0]


def test_numbers_may_not_get_lost():
    assert "lost ['0.999']" in faults_of("With 0.999, or one half.", "取 0.99 或 0.5。")[0]
    assert faults_of("With 1,024 rows, or one half.", "取 1,024 个样本，或 0.5。") == []


def test_a_page_that_is_gone_is_named(tmp_path):
    assert translations.source_of("glossary").name == "glossary.md"
    assert translations.source_of("generated/course/index").name == "GALLERY_HEADER.rst"
    for page in ("no_page", "generated/course/lesson_99", "generated/none/index"):
        with pytest.raises(SystemExit, match=f"no page '{page}'"):
            translations.extract([page], tmp_path)


def test_formulas_and_names_stay():
    for text in (
        "w \\leftarrow w - \\eta g .\n\n",
        ":math:`\\eta < 1/L`",
        "`Course`",
        "fastgd",
        "3.5%",
    ):
        assert translations.stays(text)
        assert faults_of(text, text) == []
    for text in ("Exercise", "see :doc:`/catalogue`.", "names of `fit`", "``a`` and ``b``"):
        assert not translations.stays(text)


def test_differences_name_both_sides():
    page, known = Catalog(), Catalog()
    for catalog, texts in ((page, ("old", "new")), (known, ("old", "gone"))):
        for text in texts:
            catalog.add(text)
    found = list(translations.differences(page, known))
    assert found == ["is not in the catalogue: 'new'", "is no longer on the page: 'gone'"]


def test_an_update_keeps_translations_and_marks_what_has_changed():
    page, known = Catalog(), Catalog(locale=LANGUAGE)
    known.add("The rate.", "学习率。")
    known.add("A step goes against the gradient of all rows.", "一步沿梯度的反方向走。")
    known.add("Nothing of this is on the page any more.", "没有了。")
    for text in (
        "A step goes against the gradient of the rows.",
        "The rate.",
        "`code`",
        "Further.",
    ):
        page.add(text)
    updated = [m for m in translations.update(page, known, LANGUAGE) if m.id]
    assert [message.id for message in updated] == [m.id for m in page if m.id]
    assert [message.string or "" for message in updated] == [
        "一步沿梯度的反方向走。", "学习率。", "`code`", "",
    ]  # fmt: skip
    assert [message.fuzzy for message in updated] == [True, False, False, False]


def test_a_catalogue_is_read_as_it_was_written(tmp_path):
    catalog = Catalog(locale=LANGUAGE)
    catalog.add("a {b} \\frac{1}{2}", '甲 "乙"\n丙', flags={"python-brace-format"})
    translations.save(catalog, tmp_path / "x/y.po", LANGUAGE)
    again = languages.catalogue(tmp_path / "x/y.po")
    assert {m.id: m.string for m in again if m.id} == {"a {b} \\frac{1}{2}": '甲 "乙"\n丙'}
    text = (tmp_path / "x/y.po").read_text(encoding="utf-8")
    assert "format" not in text
    assert '"Language: zh_CN\\n"' in text


# -- what the site makes of them ------------------------------------------------------------------

GALLERY = """
.. only:: html

    .. note::
        :class: sphx-glr-download-link-note

        :ref:`Go to the end <x>`
        to download the full example code.

.. rst-class:: sphx-glr-example-title

Title
=====

.. rst-class:: sphx-glr-timing

   **Total running time of the script:** (0 minutes 0.530 seconds)

.. _sphx_glr_download_x.py:

.. only:: html

  .. container:: sphx-glr-footer sphx-glr-footer-example

    .. container:: sphx-glr-download sphx-glr-download-jupyter

      :download:`Download Jupyter notebook: x.ipynb <x.ipynb>`
"""


def test_what_sphinx_gallery_writes_is_no_message():
    text = languages.without_boilerplate(GALLERY)
    assert "Title\n=====" in text
    assert not re.search("download the full|running time|Jupyter", text)


def test_what_sphinx_gallery_writes_is_translated():
    text = languages.with_boilerplate(GALLERY, LANGUAGE)
    assert ":download:`下载 Jupyter 笔记本：x.ipynb <x.ipynb>`" in text
    assert not re.search("download the full|running time", text)


def test_cards_of_the_gallery_are_translated():
    card = """
    <div class="sphx-glr-thumbcontainer" tooltip="A model has parameters">

  :doc:`/generated/course/{page}`

      <div class="sphx-glr-thumbnail-title">1. What a gradient is</div>
"""
    text = languages.with_boilerplate(card.format(page="lesson_01_gradient"), LANGUAGE)
    assert '-title">1. 什么是梯度</div>' in text
    assert 'tooltip="模型有若干参数，并用一个数 F 衡量' in text
    unknown = card.format(page="no_lesson")
    assert languages.with_boilerplate(unknown, LANGUAGE) == unknown


def test_comments_of_solutions_are_translated():
    source = "    # Solution\n    # Its norm\n    # is 10.\n    # %%\nx = 1  # Solution\n# other\n"
    assert list(languages.comments(source)) == ["Solution", "Its norm is 10."]
    known = {"Solution": "答案", "Its norm is 10.": "它的范数是 10。"}
    text = languages.with_comments(source, known)
    assert text.startswith(
        "    # 答案\n    # 它的范数是 10。\n    # %%\nx = 1  # Solution\n# other"
    )


def test_lines_of_comments_are_narrow():
    text = "梯度下降，" * 20 + "(1 - 1/k)^t = 0.1" + "。学习率" * 30
    lines = languages.wrapped(text)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    widths = [sum(2 if char > "\u2e80" else 1 for char in line) for line in lines]
    assert len(lines) > 3
    assert max(widths) <= languages.WIDTH
    assert not any(line[0] in "，。" for line in lines)


def test_what_is_left_in_english_is_named():
    nodes = pytest.importorskip("docutils.nodes")
    document = nodes.document(None, None)
    for text in ("A rate\nfalls.", "w = 1", "New here.", "Lost.", ":download:`x <y>`"):
        document += nodes.paragraph(text, "", translated=False)
    document += nodes.paragraph("学习率", "", translated=True)
    known = {"A rate falls.": "学习率下降。", "w = 1": "w = 1", "Lost.": ""}
    assert list(languages.untranslated(document, known)) == ["New here.", "Lost."]


def test_the_menu_has_what_is_translated():
    text = "# A\n\n```{toctree}\n:hidden:\n\nTour <generated/tour/x>\nguide\nreference\n```\n"
    pages = ["index", "glossary", "networks", "guide", "generated/tour/x", "generated/tour/y"]
    menu = languages.with_menu(text, pages).splitlines()[5:]
    assert menu == ["Tour <generated/tour/x>", "guide", "glossary", "networks", "```"]


def test_each_page_knows_the_other_language():
    other_page = languages.other_page
    lesson = "generated/course/lesson_01_gradient"
    assert other_page("en", "index") == (LANGUAGE, "zh/index.html", True)
    assert other_page("en", lesson) == (LANGUAGE, f"../../zh/{lesson}.html", True)
    assert other_page("en", "generated/api/x") == (LANGUAGE, "../../zh/index.html", False)
    assert other_page(LANGUAGE, lesson) == ("en", f"../../../{lesson}.html", True)
    assert other_page(LANGUAGE, "search") == ("en", "../search.html", True)


def test_chinese_is_searched_by_pairs_of_characters():
    search = languages.SearchPairs({})
    assert search.split("梯度下降 SGD 的学习率") == [
        "梯度", "度下", "下降", "SGD", "的学", "学习", "习率",
    ]  # fmt: skip
    assert search.split("动量") == ["动量"]
    assert [word for word in ("动量", "sgd", "the", "量", "x") if search.word_filter(word)] == [
        "动量", "sgd",
    ]  # fmt: skip


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_notebook_is_translated_in_full(path):
    """Each message of a page is found in its script, where the notebook has the translation."""
    pytest.importorskip("sphinx_gallery")
    import notebooks
    from sphinx_gallery.py_source_parser import split_code_and_text_blocks

    blocks = split_code_and_text_blocks(path)[1]
    text = "\n\n".join(content for kind, content, _ in blocks if kind == "text")
    comments = set(languages.comments(path.read_text(encoding="utf-8")))
    known = languages.translations(LANGUAGE, f"generated/{path.parent.name}/{path.stem}")
    cell = notebooks.translated(text, known)
    for message, translated in known.items():
        if message not in comments and not translations.stays(message):
            assert translated.replace("\\ ", "") in cell, message


def test_a_notebook_is_written(tmp_path, monkeypatch):
    gallery = pytest.importorskip("sphinx_gallery.gen_gallery")
    import notebooks

    monkeypatch.setattr(notebooks, "notebook_of", lambda *_: tmp_path / "x.ipynb")
    notebooks.write("generated/course/lesson_01_gradient", LANGUAGE, gallery.DEFAULT_GALLERY_CONF)
    cells = json.loads((tmp_path / "x.ipynb").read_text(encoding="utf-8"))["cells"]
    text, code = ("".join(cell["source"][0] for cell in cells if cell["cell_type"] == kind)
                  for kind in ("markdown", "code"))  # fmt: skip
    assert text.startswith("\n# 1. 什么是梯度\n\n模型有若干参数，并用一个数 $F$ 衡量")
    assert "# 答案\n# 偏导数是 2 w_1 w_2" in code
    assert "# 绘图：等高线" in code


# -- the README -----------------------------------------------------------------------------------


def blocks(text: str) -> list[str]:
    """Return the code of a page: fenced blocks, and indented lines."""
    return re.findall(r"^```\w*\n.*?^```$|^    \S[^\n]*$", text, re.M | re.S)


def links(text: str) -> set[str]:
    return set(re.findall(r"\]\(([^)]+)\)", text)) - {"README.md", "README.zh-CN.md"}


def test_readmes_have_the_same_code_sections_and_links():
    english, chinese = (p.read_text(encoding="utf-8") for p in (README, CHINESE_README))
    assert len(blocks(english)) > 5
    assert blocks(english) == blocks(chinese)
    assert links(english) == links(chinese)
    levels = [re.findall(r"^#+(?= )", text, re.M) for text in (english, chinese)]
    assert len(levels[0]) > 5
    assert levels[0] == levels[1]
    numbers = [re.findall(r"(?<![\w.])\d[\d,.]*\d(?![\w.])", text) for text in (english, chinese)]
    assert set(numbers[0]) - {"1,024"} <= set(numbers[1])


def test_readmes_lead_to_each_other():
    heads = [p.read_text(encoding="utf-8").splitlines()[:4] for p in (README, CHINESE_README)]
    assert "[中文](README.zh-CN.md)" in heads[0]
    assert "[English](README.md)" in heads[1]
    rows = [len(re.findall(r"(?m)^\|", p.read_text("utf-8"))) for p in (README, CHINESE_README)]
    assert rows[0] == rows[1] > 5
