"""The examples in the documentation run, and the claims that can be checked hold."""

import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

import fastgd
from docs import make_layers
from tests.acceptance.__main__ import section
from tests.acceptance.table import MODULES
from tests.tables import over_product

ROOT = Path(__file__).parents[2]

PAGES = [
    "README.md",
    *(f"docs/{name}.md" for name in ("datasets", "estimators", "inference", "large-data")),
    "docs/migration.md",
    *(f"docs/{name}.md" for name in ("quantization", "scikit-learn", "watching")),
]


def blocks(path):
    """Return the Python examples of a Markdown page, those that import what they use."""
    text = (ROOT / path).read_text()
    return [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "import" in block]


RUN_OFTEN = {"README.md", "docs/inference.md", "docs/quantization.md", "docs/watching.md"}


@over_product(lambda page: page in RUN_OFTEN, page=PAGES)
def test_examples_run(page, tmp_path):
    script = tmp_path / "example.py"
    script.write_text("\n".join(blocks(page)))
    names = runpy.run_path(str(script))
    assert "model" in names


ECOSYSTEM = dict(
    re.findall(
        r"^## (\S+): .*?```python\n(.*?)```", (ROOT / "docs/ecosystem.md").read_text(), re.M | re.S
    )
)
MODULES_OF = {
    "imbalanced-learn": "imblearn",
    "Optuna": "optuna",
    "MLflow": "mlflow",
    "SHAP": "shap",
}


@pytest.mark.filterwarnings("default")  # their warnings are theirs
@pytest.mark.parametrize("package", ECOSYSTEM)
def test_examples_with_other_packages_run(package, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MLflow writes where it is
    pytest.importorskip(MODULES_OF.get(package, package))
    script = tmp_path / "example.py"
    script.write_text(ECOSYSTEM[package])
    assert "model" in runpy.run_path(str(script))


def test_each_package_of_the_page_has_an_example():
    assert set(ECOSYSTEM) == {*MODULES_OF, "skops"}


@pytest.mark.parametrize("kind", [fastgd.SGDClassifier, fastgd.SGDRegressor, fastgd.SGDOneClassSVM])
def test_every_argument_is_compared_with_scikit_learn_s(kind):
    page = (ROOT / "docs/scikit-learn.md").read_text()
    table = page.split("### SGDClassifier")[1].split("###")[0]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\|[^|]+\|", table, re.M))))
    assert set(kind().get_params()) <= named


@pytest.mark.parametrize("module", MODULES, ids=[module.name for module in MODULES])
def test_each_of_scikit_learn_s_tests_that_fail_is_reported(module):
    """``python -m tests.acceptance`` prints what the page has to say."""
    assert section(module) in (ROOT / "docs/scikit-learn.md").read_text()


def test_the_table_of_the_architecture_names_every_package():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|", page, re.M)
    named = set()
    for row in rows:
        first, *rest = re.findall(r"`([\w/.]+)`", row)
        named.add(first)
        for name in rest:
            near = (ROOT / first).parent / name
            named.add(name if (ROOT / name).exists() else near.relative_to(ROOT).as_posix())
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    assert {f"fastgd/{name}" for name in packages()} <= named


def packages():
    """Return the packages of fastgd, as ``name/``; the kernels have a layer of their own."""
    inits = (ROOT / "fastgd").glob("*/__init__.py")
    return {f"{path.parent.name}/" for path in inits if path.parent.name != "kernels"}


def test_the_figure_of_the_layers_is_what_the_script_draws():
    assert make_layers.FIGURE.read_text(encoding="utf-8") == make_layers.figure(), (
        "python docs/make_layers.py draws it anew"
    )


def test_the_figure_of_the_layers_has_every_package():
    boxes = [box for layer in make_layers.LAYERS for box in layer.boxes]
    named = {name for box in boxes for name in box.name.split(", ")}
    assert packages() <= named
    in_kernels = {"drivers", "specs", "storage", "_jit", "_hook", "..."}
    for name in named - packages() - in_kernels:
        assert (ROOT / "fastgd" / f"{name}.py").exists(), name
    text = ElementTree.fromstring(make_layers.figure()).itertext()
    assert {box.name for box in boxes} <= set(text)


DESIGN = sorted((ROOT / "docs/design").glob("*.md"))


@pytest.mark.parametrize("page", DESIGN, ids=[page.stem for page in DESIGN])
def test_the_code_that_a_design_note_explains_exists(page):
    text = page.read_text(encoding="utf-8")
    named = " ".join(re.findall(r"^\*(?:Code: )?(`.*?)\*$", text, re.M | re.S))
    paths = re.findall(r"`([\w/.]+)`", named)
    assert paths or page.stem == "index"
    folder = ROOT / "fastgd/_solvers"
    for path in paths:
        if "/" in path:
            folder = (ROOT / path).parent
            assert (ROOT / path).exists(), path
        elif path.endswith(".py"):
            assert (folder / path).exists(), path
        elif path.startswith("_"):
            assert (ROOT / "fastgd/_solvers" / f"{path}.py").exists(), path


def test_the_private_names_of_the_glossary_stand_in_the_code():
    """A name that is no longer used has no row."""
    glossary = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|", glossary.split("## Private names")[1], re.M)
    names = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(names) > 10
    folders = (ROOT / "fastgd", ROOT / "kernels")
    code = "\n".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    # whole names, and their parts
    used = set(re.findall(r"\w+", code)) | set(re.findall(r"[A-Za-z]+", code))
    assert names - used == set()
