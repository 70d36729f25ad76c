"""The examples in the documentation run, and the claims that can be checked hold."""

import re
import runpy
from pathlib import Path

import pytest

import fastgd
from tests.acceptance.__main__ import section
from tests.acceptance.table import MODULES

ROOT = Path(__file__).parent.parent

PAGES = [
    "README.md",
    *(f"docs/{name}.md" for name in ("datasets", "estimators", "migration")),
    *(f"docs/{name}.md" for name in ("quantization", "scikit-learn", "watching")),
]


def blocks(path):
    """Return the Python examples of a Markdown page, those that import what they use."""
    text = (ROOT / path).read_text()
    return [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "import" in block]


@pytest.mark.parametrize("page", PAGES)
def test_examples_run(page, tmp_path):
    script = tmp_path / "example.py"
    script.write_text("\n".join(blocks(page)))
    names = runpy.run_path(str(script))
    assert "model" in names


@pytest.mark.parametrize("kind", [fastgd.SGDClassifier, fastgd.SGDRegressor, fastgd.SGDOneClassSVM])
def test_every_argument_is_compared_with_scikit_learn_s(kind):
    page = (ROOT / "docs/scikit-learn.md").read_text()
    table = page.split("### SGDClassifier")[1].split("###")[0]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\|[^|]+\|", table, re.M))))
    assert set(kind().get_params()) <= named


@pytest.mark.parametrize("module", MODULES, ids=[module.name for module in MODULES])
def test_each_of_scikit_learn_s_tests_that_fail_is_told(module):
    """``python -m tests.acceptance`` prints what the page has to say."""
    assert section(module) in (ROOT / "docs/scikit-learn.md").read_text()


def test_every_room_of_the_table_exists():
    table = (ROOT / "docs/architecture.md").read_text().split("## The way")[0]
    rows = re.findall(r"^\| (`[^|]+`) \|", table, re.M)
    named = [name for row in rows for name in re.findall(r"`([\w/.]+)`", row)]
    assert len(named) > 15
    for row in rows:
        first, *rest = re.findall(r"`([\w/.]+)`", row)
        assert (ROOT / first).exists(), first
        for name in rest:
            home = ROOT if "/" in name and (ROOT / name).exists() else (ROOT / first).parent
            assert (home / name).exists(), name
