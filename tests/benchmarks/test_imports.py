"""What benchmarks import of the package is there, also where they import it only when they run."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path.relative_to(ROOT) for path in (ROOT / "benchmarks").rglob("*.py"))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def file_of(module: str) -> Path:
    parts = module.split(".")[1:]
    folder = ROOT / "kernels" if parts[:1] == ["kernels"] else ROOT / "fastgd"
    path = folder.joinpath(*(parts[1:] if folder.name == "kernels" else parts))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def names_in(path: Path) -> set[str]:
    """Return what a module binds at its top level, and its submodules."""
    found: set[str] = set()
    for node in parsed(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            found |= {own.id for own in ast.walk(node) if isinstance(own, ast.Name)}
    if path.name == "__init__.py":
        found |= {own.stem for own in path.parent.iterdir()}
    return found


@pytest.mark.nojit
@pytest.mark.parametrize("path", FILES, ids=str)
def test_what_a_benchmark_imports_is_there(path):
    for node in ast.walk(parsed(ROOT / path)):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("fastgd"):
            continue
        target = file_of(str(node.module))
        assert target.exists(), f"{path} imports from {node.module}"
        names = names_in(target)
        if "__getattr__" not in names:
            missing = {alias.name for alias in node.names} - names
            assert missing == set(), f"{path} imports {missing} from {node.module}"
