"""What may import what, one place for numba's options, and a packaging that lists everything."""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import pytest

from fastgd import activations, losses, optimizers, penalties, schedules, transforms

ROOT = Path(__file__).parents[2]
KERNELS = sorted((ROOT / "kernels").rglob("*.py"))
ABOVE = sorted(path for path in (ROOT / "fastgd").rglob("*.py") if "kernels" not in path.parts[:-1])

KERNELS_MAY = {"numpy", "numba", "math", "typing", "fastgd.kernels"}
# They adapt numba to the pattern, or keep what it compiled, and need the standard library for it,
# and what numba stands on.
JIT = ROOT / "kernels" / "_jit"
OF_NUMBA = (
    *(
        "_ahead.py",
        "_atomic.py",
        "_blas.py",
        "_collector.py",
        "_files.py",
        "_hook.py",
        "_nonzeros.py",
    ),
    *("_prefetch.py", "_views.py", "_words.py"),
    *("cuda/_compiler.py", "cuda/_launches.py", "cuda/_library.py"),
)
COMPILERS = {JIT / "_options.py", ROOT / "kernels" / "cuda" / "_compiler.py"}
MACHINERY = {ROOT / "kernels" / name for name in OF_NUMBA}
MACHINERY |= set(JIT.glob("*.py"))
MACHINERY_MAY = {*sys.stdlib_module_names, "llvmlite", "cuda.bindings"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def nodes_of(path: Path) -> list[ast.AST]:
    """List what a file is made of."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@functools.cache
def imports_of(path: Path) -> list[str]:
    """List what a file imports, anywhere in it, as ``module`` or ``module.name``."""
    names = []
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}:{node.lineno} imports relatively"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def is_within(name: str, modules: set[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def offending(paths: Iterable[Path], find: Callable[[Path], Collection[Any]]) -> dict[str, Any]:
    """Return what was found that must not be there, by file."""
    return {relative(path): found for path in paths if (found := find(path))}


def test_both_layers_are_found():
    assert {JIT / "_options.py", ROOT / "kernels" / "__init__.py"} <= set(KERNELS)
    assert ROOT / "fastgd" / "__init__.py" in ABOVE


def test_kernels_know_nothing_above_them():
    def find(path):
        allowed = KERNELS_MAY | (MACHINERY_MAY if path in MACHINERY else set())
        return [name for name in imports_of(path) if not is_within(name, allowed)]

    assert offending(KERNELS, find) == {}


def test_numba_is_imported_by_kernels_only():
    def find(path):
        # it tells numba's version and what that sees of the machine
        banned = {"kernels"} | ({"numba", "llvmlite"} if path.name != "_information.py" else set())
        return [name for name in imports_of(path) if is_within(name, banned)]

    assert offending(ABOVE, find) == {}


def test_overloads_are_made_in_one_place():
    """Another compiler, with a registry of its own, takes them from there.

    Instructions of the processor's stay the processor's.
    """
    makers = {
        relative(path)
        for path in KERNELS
        if any(is_within(name, {"numba.extending.overload"}) for name in imports_of(path))
    }
    assert makers == {"kernels/_hook.py", "kernels/_words.py"}


def test_the_compiler_for_devices_is_known_to_one_file():
    importers = {
        relative(path)
        for path in [*KERNELS, *ABOVE]
        if any(is_within(name, {"numba.cuda"}) for name in imports_of(path))
    }
    assert importers == {"kernels/cuda/_compiler.py"}


def test_what_is_used_of_the_compiler_for_devices_is_on_its_page():
    """``docs/design/devices.md`` says what a move to another compiler would take."""
    chains = {
        ast.unparse(node).removeprefix("cuda.")
        for path in KERNELS
        if path.parent.name == "cuda"
        for node in nodes_of(path)
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("cuda.")
    }
    # "shared.array" stands for "shared", and "threadIdx" for "threadIdx.x"
    whole = {name for name in chains if not any(one.startswith(f"{name}.") for one in chains)}
    used = {re.sub(r"\.[xyz]$|\(\).*", "", name) for name in whole}
    page = (ROOT / "docs" / "design" / "devices.md").read_text(encoding="utf-8")
    assert len(used) > 15
    assert [name for name in sorted(used) if not re.search(rf"`(cuda\.)?{name}\b", page)] == []


def test_names_of_devices_are_compared_in_one_file():
    comparing = {
        relative(path)
        for path in ABOVE
        for node in nodes_of(path)
        if isinstance(node, ast.Compare)
        for part in (node.left, *node.comparators)
        if getattr(part, "value", None) in ("cpu", "cuda")
    }
    assert comparing == {"fastgd/_runtime/devices.py"}


def test_nothing_for_devices_is_loaded_unless_it_is_asked_for():
    program = (
        "import sys, fastgd, fastgd.linear_model, fastgd.neural_network\n"
        "print([name for name in sys.modules if name.startswith('fastgd.kernels.cuda')])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_no_kernel_takes_more_than_eight_arguments():
    """What belongs together travels in a NamedTuple, which costs nothing."""

    def find(path):
        functions = [n for n in nodes_of(path) if isinstance(n, ast.FunctionDef | ast.Lambda)]
        counts = {(n.lineno, len(n.args.posonlyargs + n.args.args)) for n in functions}
        return [(line, count) for line, count in counts if count > 8]

    assert offending(KERNELS, find) == {}


# A name in kernels/ that stands above it, too, is the compiled part of the same thing.
ON_BOTH_LAYERS = {
    *("crammer_singer", "folds", "huber", "interior", "newton", "saga", "sdca", "sdca_multi"),
    *("activations", "layers", "losses", "optimizers", "penalties", "transforms"),  # re-exported
    *("network", "numerals", "passes", "protocol", "svmlight", "vw"),
}


def test_no_module_name_stands_on_both_layers_for_different_things():
    compiled, above = (
        {path.stem.lstrip("_") for path in paths if path.stem[:2] != "__"}
        | {path.parent.name.lstrip("_") for path in paths if path.stem == "__init__"}
        for paths in (KERNELS, ABOVE)
    )
    assert compiled & above == ON_BOTH_LAYERS


# between an estimator and the trainer
AT_THE_DOOR = {"linear.py", "estimator.py", "labels.py", "parts.py"}
TRAINING = sorted((ROOT / "fastgd" / "_training").glob("*.py"))


@pytest.mark.parametrize("path", [p for p in TRAINING if p.name not in AT_THE_DOOR], ids=relative)
def test_the_trainer_knows_no_engine_and_no_kernel(path):
    """It speaks to the protocol; what a model's arithmetic is, and where, is an engine's."""
    allowed = {"fastgd._engines.protocol", "fastgd._data.source", "fastgd._training"}
    allowed |= {
        "fastgd._monitoring.observer",
        "fastgd._parameters.resolve",
        "fastgd._runtime.threads",
        "fastgd._runtime.warned",
        "fastgd.schedules",
    }
    ours = [name for name in imports_of(path) if name.startswith("fastgd")]
    assert [name for name in ours if not is_within(name, allowed)] == []


PUBLIC = (activations, losses, optimizers, penalties, schedules, transforms)
SPECS = {name for module in PUBLIC for name in module.__all__}
SPECS |= {"Identity", "OneClass", "Transform", "_OUR_LOSSES"}
# Where a class is named all the same, and why.
NAMED = {
    "fastgd/_parameters/resolve.py": {
        "_OUR_LOSSES": "hyperparameters of our own losses are checked, a user's own by the user",
    },
    "fastgd/plot/_path.py": {"ElasticNet": "the estimator of that name"},
    "fastgd/base.py": {
        "LOSSES": "scikit-learn's learning_rate='pa1' goes with one loss, by its name",
    },
}


def classes_asked_for(path: Path) -> set[str]:
    """Return the names in ``isinstance(x, ...)`` and ``type(x) is`` or ``in ...``."""
    found: set[str] = set()
    for node in nodes_of(path):
        asked: list[ast.expr] = []
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "isinstance":
            asked = [node.args[1]]
        elif isinstance(node, ast.Compare) and isinstance(node.left, ast.Call):
            asked = node.comparators if getattr(node.left.func, "id", None) == "type" else []
        inner = (part for expression in asked for part in ast.walk(expression))
        found |= {getattr(part, "attr", getattr(part, "id", "")) for part in inner}
    return found


def test_specs_are_asked_for_facts_and_not_for_their_class():
    """What depends on a loss or an optimizer stands in it, so that a user's own may say it, too.

    Layouts of rows (``Dense``), metrics, solutions and targets are no specs: users hand in none.
    """
    named = offending(ABOVE, lambda path: classes_asked_for(path) & SPECS)
    assert named == {path: set(names) for path, names in NAMED.items()}


MAY_IMPORT_THE_COMMAND_LINE = {"fastgd/__main__.py"}
READERS = sorted((ROOT / "fastgd" / "_readers").glob("*.py"))
DATA = sorted((ROOT / "fastgd" / "_data").glob("*.py"))


def test_only_the_command_line_knows_the_command_line():
    importers = {
        relative(path)
        for path in ABOVE
        if "cli" not in path.parts and any(is_within(n, {"fastgd.cli"}) for n in imports_of(path))
    }
    assert importers == MAY_IMPORT_THE_COMMAND_LINE


def test_there_is_one_epoch_loop():
    """Who asks a source for an epoch trains; the command line has no other way to take steps."""
    callers, steppers = set(), set()
    for path in ABOVE:
        for node in nodes_of(path):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", None) == "epoch":
                callers.add(relative(path))
            if getattr(node, "attr", None) == "partial_fit" and "cli" in path.parts:
                steppers.add(relative(path))
    part_of_one = "fastgd/_distributed/rounds.py"  # a source that is a piece of another's epoch
    assert callers == {"fastgd/_training/trainer.py", part_of_one}
    assert steppers == set()


@pytest.mark.parametrize("path", READERS, ids=relative)
def test_readers_know_files_and_nothing_that_is_trained(path):
    allowed = {"fastgd._readers", "fastgd._runtime.threads", "fastgd._runtime.postponed"}
    allowed |= {f"fastgd.kernels.{name}" for name in ("numerals", "svmlight", "vw")}  # of text
    ours = [name for name in imports_of(path) if name.startswith("fastgd")]
    assert [name for name in ours if not is_within(name, allowed)] == []


@pytest.mark.parametrize("path", DATA, ids=relative)
def test_data_know_neither_trainer_nor_engine(path):
    banned = {"fastgd._training", "fastgd._engines", "fastgd._readers", "fastgd.linear_model"}
    assert [name for name in imports_of(path) if is_within(name, banned)] == []


def test_steps_are_taken_by_engines_only():
    steps = {"sgd_rows", "sgd_epochs", "sgd_batches", "step_from_gradient"}
    callers = {
        relative(path)
        for path in ABOVE
        for node in nodes_of(path)
        if getattr(node, "attr", getattr(node, "id", None)) in steps
    }
    assert callers == {"fastgd/_engines/linear.py"}


def test_numba_options_stand_in_one_place():
    compilers = {"jit", "njit", "vectorize", "guvectorize", "generated_jit", "cfunc", "jitclass"}

    def find(path):
        names = {getattr(node, "attr", getattr(node, "id", None)) for node in nodes_of(path)}
        return compilers & (names | {name.rpartition(".")[2] for name in imports_of(path)})

    assert offending({*KERNELS, *ABOVE} - COMPILERS, find) == {}


def test_every_package_is_listed():
    """An editable install and a checkout find an unlisted package; a wheel leaves it out."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    on_disk = {
        ".".join(("fastgd", *path.parent.relative_to(ROOT).parts)).replace(
            "fastgd.fastgd", "fastgd"
        )
        for path in [*KERNELS, *ABOVE]
    }
    assert set(setuptools["packages"]) == on_disk
    folders = {name: name.replace("fastgd.kernels", "kernels") for name in setuptools["packages"]}
    mapping = setuptools["package-dir"]
    assert mapping == {name: folders[name].replace(".", "/") for name in mapping}
    assert {name for name in on_disk if "kernels" in name} <= mapping.keys()


def test_the_source_folder_cannot_pass_for_another_distribution():
    program = [sys.executable, "-c", "import kernels"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert "import fastgd.kernels, not the source folder 'kernels'" in done.stderr


def commands_of_readme() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^    (python -m pip install .*)$", text, flags=re.MULTILINE)
    return [command for block in blocks for command in block.split(" && ")]


def test_readme_has_its_two_commands():
    assert commands_of_readme()[::2] == [
        'python -m pip install ".[plot]"',
        'python -m pip install -e ".[test]"',
    ]


@pytest.mark.parametrize("command", commands_of_readme())
def test_continuous_integration_runs_what_the_readme_says(command):
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert command in [line.strip() for line in lines]
