"""How Sphinx builds the site: ``make docs`` writes it to build/html, and needs no network."""

import logging
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

import fastgd  # noqa: E402 - the one of this checkout

project = "fastgd"
author = "The fastgd developers"
project_copyright = author
version = release = fastgd.__version__

extensions = [
    "mathml",
    "autodoc_text",
    "folding",
    "languages",
    "notebooks",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
highlight_language = "none"  # of blocks that name none: formulas, commands


def _is_no_empty_glob(record: logging.LogRecord) -> bool:
    """A pattern of a toctree may wait for its page; all else is a warning."""
    return getattr(record, "subtype", None) != "empty_glob"


logging.getLogger("sphinx.sphinx.directives.other").addFilter(_is_no_empty_glob)

# -- languages ----------------------------------------------------------------------------------

language = "en"  # -D language=zh_CN, after this one: see _ext/languages.py
locale_dirs = ["locales"]
gettext_compact = False  # a catalogue for each page
gettext_location = gettext_uuid = False

# -- pages in Markdown --------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3

# -- docstrings ---------------------------------------------------------------------------------

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's Parameters say more
numpydoc_show_class_members = False  # the templates say which members a page has
numpydoc_xref_param_type = False

# -- examples -----------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": ["../examples/tour", "../examples/course", "../examples/howto"],
    "gallery_dirs": ["generated/tour", "generated/course", "generated/howto"],
    "filename_pattern": r"\.py$",  # all of them run
    "within_subsection_order": "FileNameSortKey",
    "reset_modules": ("matplotlib", "gallery_style.reset"),
    "abort_on_example_error": True,
    "parallel": 2,
    "show_memory": False,
    "write_computation_times": False,
    "default_thumb_file": str(HERE / "_static" / "descent.png"),  # of pages without a picture
    "show_signature": False,
    "download_all_examples": False,
    "min_reported_time": 0,
    "doc_module": ("fastgd",),
    "backreferences_dir": None,
}

# -- the look -----------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "fastgd"
html_static_path = ["_static"]
html_css_files = ["fastgd.css"]
html_show_sourcelink = False
html_sidebars = {"generated/tour/ten_minutes": []}  # its section has no other page
html_theme_options = {
    "show_prev_next": True,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "navbar_persistent": ["language-switch", "search-button"],
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}

# -- versions -----------------------------------------------------------------------------------

# Where the site is published, each version has a folder, and the menu a switch between them.
ADDRESS = os.environ.get("FASTGD_DOCS_ADDRESS", "")
if ADDRESS:
    html_theme_options |= {
        "check_switcher": False,
        "navbar_end": ["version-switcher", "theme-switcher", "navbar-icon-links"],
        "switcher": {
            "json_url": f"{ADDRESS}/versions.json",
            "version_match": os.environ.get("FASTGD_DOCS_VERSION", "dev"),
        },
        "external_links": [{"name": "Speed by commit", "url": f"{ADDRESS}/speed/"}],
    }
