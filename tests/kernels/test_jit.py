"""The disk cache of compiled kernels: never stale, never poisoned, never in the way.

Most tests run small programs on a package of their own, because what is tested is what one
process leaves behind for the next.
"""

import contextlib
import gc
import itertools
import json
import os
import pickle
import select
import shutil
import subprocess
import sys
import time
import types
import weakref
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numba import literal_unroll
from numba.core.compiler import CompilerBase
from numba.core.dispatcher import Dispatcher
from numba.core.errors import TypingError

from fastgd.kernels import _jit, sampling
from fastgd.kernels._hook import by_number, hook
from fastgd.kernels._jit import _fingerprint, _passes
from fastgd.kernels._views import line_in
from tests.server import Server, serving

ENTRY = """
from numba.extending import overload
from package._jit import kernel
from package.parts import double

def value(loss, x):
    return type(loss).value(loss, x)

@overload(value)
def _value(loss, x):
    return loss.instance_class.value

@kernel()
def twice(x):
    return double(x[0])

@kernel
def total(loss, x):
    return value(loss, x[0]) + value(loss, x[1])
"""

PARTS = """
from package._jit import helper

@helper
def double(x):
    return 2 * x
"""

LOSS = """
from typing import NamedTuple

class Loss(NamedTuple):
    scale: float = 1.0

    @staticmethod
    def value(loss, x):
        return 10 * loss.scale * x
"""

CALL_TWICE = "from package.entry import twice as f; args = (np.ones(2),)"
CALL_TOTAL = (
    "from package.entry import total as f; from losses import Loss; args = (Loss(), np.ones(2))"
)

# Prints the result, and how often the cache was of use.
PROGRAM = """
import json
import numpy as np
{call}
result = float(f(*args))
stats = getattr(f, "stats", None)
hits = sum(stats.cache_hits.values()) if stats else 0
print(json.dumps([result, hits]))
"""


ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1"}  # what is edited within a second keeps its mtime


def _inherited() -> dict[str, str]:
    """Return the environment without what numba reads."""
    return {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}


@pytest.fixture(scope="module")
def server():
    """Return a process that runs programs; None where there is no fork."""
    with serving("-W", "error", **ENVIRONMENT) as started:
        yield started


PLACES = {"PYTHONPATH", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"}


class Sandbox:
    """A package with our ``_jit``, an entry point and a helper in another file."""

    def __init__(self, root: Path, server: Server | None) -> None:
        self.root, self.server = root, server
        self.package = root / "package"
        self.package.mkdir()
        (self.package / "_jit").mkdir()
        for path in Path(_jit.__file__).parent.glob("*.py"):
            text = path.read_text().replace("fastgd.kernels._jit", "package._jit")
            self.write(f"package/_jit/{path.name}", text)
        self.write("package/__init__.py", "")
        self.write("package/entry.py", ENTRY)
        self.write("package/parts.py", PARTS)

    def write(self, name: str, text: str) -> None:
        """Write a source file."""
        (self.root / name).write_text(text)

    def use_plain_numba(self) -> None:
        """Put numba's own cache in the place of ours."""
        shutil.rmtree(self.package / "_jit")
        self.write(
            "package/_jit.py",
            "import numba\n"
            "def kernel(f=None): return numba.njit(cache=True)(f) if f else kernel\n"
            "def helper(f): return numba.njit(f)\n",
        )

    def run(self, call: str, **environment: str) -> tuple[float, int]:
        """Run a program in a new process; return its result and its number of cache hits."""
        return tuple(json.loads(self.run_program(PROGRAM.format(call=call), **environment)))

    def run_program(self, program: str, **environment: str) -> str:
        """Run a program in a new process and return what it prints; warnings are errors.

        Where settings are given that are read once, the process is not the server's child.
        """
        is_read_once = environment.keys() - PLACES
        environment = {
            **_inherited(),
            **ENVIRONMENT,
            "PYTHONPATH": str(self.root),
            "NUMBA_CACHE_DIR": str(self.root / "cache"),
            **environment,
        }
        if self.server is not None and not is_read_once:
            return self._ask(program, environment)
        return self.run_alone(program, environment)

    def _ask(self, program: str, environment: dict[str, str]) -> str:
        """Let the server run a program."""
        outputs = self.root / "stdout", self.root / "stderr"
        status = self.server.run(program, [], environment, self.root, *outputs)
        printed, said = (path.read_text() for path in outputs)
        assert status == 0, said
        return printed

    def run_alone(self, program: str, environment: dict[str, str]) -> str:
        """Run a program in a process that nothing was done in before."""
        command = [sys.executable, "-W", "error", "-c", program]
        done = subprocess.run(
            command, env=environment, cwd=self.root, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def entries(self) -> list[Path]:
        """List the files that hold machine code."""
        return sorted(self.root.glob("**/*.nbc"))


@pytest.fixture
def sandbox(tmp_path, server):
    """Return a package in a folder of its own, with a cache folder of its own."""
    return Sandbox(tmp_path, server)


def test_second_process_reads_the_cache(sandbox):
    sandbox.server = None
    assert sandbox.run(CALL_TWICE) == (2, 0)
    assert sandbox.run(CALL_TWICE) == (2, 1)


def test_edited_helper_in_another_file_runs_new_code(sandbox):
    sandbox.run(CALL_TWICE)
    sandbox.write("package/parts.py", PARTS.replace("2 * x", "3 * x"))
    assert sandbox.run(CALL_TWICE) == (3, 0)
    assert sandbox.run(CALL_TWICE) == (3, 1)
    assert len(sandbox.entries()) == 1, "the stale entry is overwritten"


def test_edited_helper_in_another_file_runs_old_code_with_plain_numba(sandbox):
    """The reason for the cache: when this fails, numba has mended it."""
    sandbox.use_plain_numba()
    sandbox.run(CALL_TWICE)
    sandbox.write("package/parts.py", PARTS.replace("2 * x", "3 * x"))
    assert sandbox.run(CALL_TWICE) == (2, 1)


def test_a_file_in_a_subfolder_belongs_to_the_sources(sandbox):
    (sandbox.package / "sub").mkdir()
    sandbox.write("package/sub/__init__.py", "")
    sandbox.write("package/sub/parts.py", PARTS)
    sandbox.write("package/entry.py", ENTRY.replace("package.parts", "package.sub.parts"))
    sandbox.run(CALL_TWICE)
    sandbox.write("package/sub/parts.py", PARTS.replace("2 * x", "5 * x"))
    assert sandbox.run(CALL_TWICE) == (5, 0)


@pytest.mark.parametrize("option", ["NUMBA_OPT", "NUMBA_BOUNDSCHECK"])
def test_code_compiled_under_other_options_is_not_used(sandbox, option):
    sandbox.run(CALL_TWICE)
    assert sandbox.run(CALL_TWICE, **{option: "1"}) == (2, 0)


RACE = """
import os, sys, traceback
import numpy as np
from package.entry import twice

twice(np.ones(2, "b1"))  # readies numba itself, so that the children do nothing but compile
dtypes = "u1 u2 u4 u8 i1 i2 i4 i8 f4 f8 c8 c16".split()

def in_child(work, *args):
    child = os.fork()
    if child:
        return child
    try:
        status = work(*args)
    except BaseException:
        traceback.print_exc()
        status = 2
    os._exit(status)

def compile_two(gate, number):
    os.read(gate, 1)  # all wait here, so that all compile at once
    for dtype in dtypes[number::6]:
        twice(np.ones(2, dtype))
    return 0

def read_all():
    good = all(twice(np.ones(2, dtype)) == 2 for dtype in dtypes)
    hits = sum(twice.stats.cache_hits.values()) - hits_before
    return 0 if good and hits == len(dtypes) else 1

def status_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

hits_before = sum(twice.stats.cache_hits.values())
gate, opener = os.pipe()
children = [in_child(compile_two, gate, number) for number in range(6)]
os.write(opener, b"123456")
compiled = [status_of(child) for child in children]
print(max(*compiled, status_of(in_child(read_all))))
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the race is started by fork")


def _leaves_a_bad_cache(sandbox: Sandbox, number: int) -> bool:
    """Tell whether six processes at once left a fresh cache with anything missing or wrong."""
    return sandbox.run_program(RACE, NUMBA_CACHE_DIR=f"{sandbox.root}/cache{number}").strip() != "0"


@needs_fork
def test_six_processes_compile_at_once(sandbox):
    assert not any(_leaves_a_bad_cache(sandbox, number) for number in range(3))


@needs_fork
def test_six_processes_compile_at_once_with_plain_numba(sandbox):
    """The other reason for the cache: when this fails, numba has mended it.

    Two rounds of three go wrong, and the first that does ends the test.
    """
    sandbox.use_plain_numba()
    assert any(_leaves_a_bad_cache(sandbox, number) for number in range(20))


def test_edited_loss_of_a_user_runs_new_code(sandbox):
    sandbox.write("losses.py", LOSS)
    assert sandbox.run(CALL_TOTAL) == (20, 0)
    assert sandbox.run(CALL_TOTAL) == (20, 1)
    sandbox.write("losses.py", LOSS.replace("10 *", "30 *"))
    assert sandbox.run(CALL_TOTAL) == (60, 0)
    assert len(sandbox.entries()) == 1, "the stale entry is overwritten"


def test_edited_overload_beside_a_loss_runs_new_code(sandbox):
    """No name leads from the loss to the overload's body."""
    loss = LOSS.replace("10 *", "factor() *") + (
        "\nfrom numba.extending import overload\n"
        "def factor(): return 10\n"
        "@overload(factor)\n"
        "def _factor():\n"
        "    return lambda: 10\n"
    )
    sandbox.write("losses.py", loss)
    assert sandbox.run(CALL_TOTAL) == (20, 0)
    sandbox.write("losses.py", loss.replace("lambda: 10", "lambda: 40"))
    assert sandbox.run(CALL_TOTAL) == (80, 0)


def test_missing_module_of_a_user_breaks_nothing(sandbox):
    sandbox.write("losses.py", LOSS)
    sandbox.write("others.py", LOSS)
    call = CALL_TOTAL.replace("losses", "others")
    sandbox.run(CALL_TOTAL)
    sandbox.run(call)
    (sandbox.root / "losses.py").unlink()
    assert sandbox.run(call) == (20, 1)


@pytest.mark.parametrize(
    "args",
    ["(Loss(), np.ones(2))", "(Outer(Inner()), np.ones(2))"],
    ids=["spec", "spec nested in an importable one"],
)
def test_tag_of_a_script_adds_no_file(sandbox, args):
    """Every script is ``__main__``: what one of them leaves must not reach another."""
    outer = LOSS.replace("class Loss", "class Outer").replace("scale: float = 1.0", "scale: tuple")
    sandbox.write("losses.py", outer.replace("loss.scale", "loss.scale.one"))
    script = LOSS.replace("scale: float", "one: float").replace("loss.scale", "loss.one")
    call = (
        f"{script}\nInner = Loss\nfrom losses import Outer\nfrom package.entry import total as f\n"
    )
    assert sandbox.run(f"{call}args = {args}") == (20, 0)
    assert sandbox.entries() == []


def test_function_as_an_argument_adds_no_file(sandbox):
    """A function has another identity in each process, so its entry would never be found again."""
    sandbox.write("package/entry.py", ENTRY + "\n@kernel\ndef apply(f, x):\n    return f(x)\n")
    call = (
        "from package.entry import apply as f; from package.parts import double; args = (double, 1)"
    )
    assert sandbox.run(call) == (2, 0)
    assert sandbox.entries() == []


def test_closures_do_not_share_an_entry(sandbox):
    factory = (
        "\ndef make(n):\n    @kernel\n    def f(x):\n        return n * double(x)\n    return f\n"
    )
    sandbox.write("package/entry.py", ENTRY + factory)
    call = "from package.entry import make; f = make({}); args = (1,)"
    assert sandbox.run(call.format(3)) == (6, 0)
    assert sandbox.run(call.format(3)) == (6, 1)
    assert sandbox.run(call.format(5)) == (10, 0)


DAMAGES = {
    "empty": lambda blob: blob[:0],
    "header": lambda blob: blob[:40],
    "truncated": lambda blob: blob[:-1],
    "one bit": lambda blob: blob[:2000] + bytes([blob[2000] ^ 1]) + blob[2001:],
    "garbage": lambda blob: b"garbage" * len(blob),
}


def test_damaged_entry_is_a_miss(sandbox):
    sandbox.run(CALL_TWICE)
    (entry,) = sandbox.entries()
    whole = entry.read_bytes()
    for name, damage in DAMAGES.items():
        entry.write_bytes(damage(whole))
        assert sandbox.run(CALL_TWICE) == (2, 0), name
    assert sandbox.run(CALL_TWICE) == (2, 1), "the last one put it right"


WARNED = """
import warnings
import numpy as np
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    {call}
    assert f(*args) == 2
    assert f(args[0].astype("f4")) == 2
print(*[warning.message for warning in caught], sep="\\n")
"""


NOT_KEPT = "Compiled kernels could not be kept in "


def test_unreadable_entry_is_a_miss(sandbox):
    sandbox.run(CALL_TWICE)
    (entry,) = sandbox.entries()
    entry.unlink()
    entry.mkdir()
    for _ in range(2):
        printed = sandbox.run_program(WARNED.format(call=CALL_TWICE))
        assert printed.count(NOT_KEPT) == 1
    assert entry in sandbox.entries()
    assert not list(sandbox.root.glob("**/*.tmp")), "no temporary file stays behind"


@pytest.mark.skipif(sys.platform == "win32", reason="the limit that stands for a full disk")
def test_a_full_disk_is_reported_once_and_leaves_nothing(sandbox):
    full = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n    "
        + CALL_TWICE.replace("; ", "\n    ")
    )
    printed = sandbox.run_program(WARNED.format(call=full))
    assert printed.count(NOT_KEPT) == 1
    assert f"{sandbox.root / 'cache'}" in printed
    assert "File too large. Every process compiles them anew" in printed
    assert "Make room in that folder, or set NUMBA_CACHE_DIR to another one." in printed
    assert sandbox.entries() == []
    assert not list(sandbox.root.glob("**/*.tmp"))


def test_what_killed_processes_have_left_is_removed(sandbox):
    sandbox.run(CALL_TWICE)
    (entry,) = sandbox.entries()
    old, new = (entry.with_name(f"{entry.name}.{digit * 32}.tmp") for digit in "01")
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    sandbox.run("from package.entry import twice as f; args = (np.ones(2, 'f4'),)")
    assert (old.exists(), new.exists()) == (False, True)
    assert len(sandbox.entries()) == 2


def _without_folders(sandbox: Sandbox) -> dict[str, str]:
    """Take away the package's folder and the user's, and return the environment that does."""
    sandbox.write("a_file", "")
    sandbox.write("package/__pycache__", "")  # in the place of a folder: holds for root, too
    nowhere = str(sandbox.root / "a_file" / "folder")
    return dict.fromkeys(("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"), nowhere)


def test_runs_uncached_where_no_folder_is_writable_and_warns_once(sandbox):
    places = _without_folders(sandbox)
    printed = sandbox.run_program(WARNED.format(call=CALL_TWICE), **places)
    assert printed.count("every process compiles anew. Set NUMBA_CACHE_DIR") == 1
    folder = "from package._jit import cache_folder; print(cache_folder())"
    assert sandbox.run_program(folder, **places).strip() == "None"


@pytest.mark.skipif(sys.platform != "linux", reason="the user's folder is set as Linux has it")
def test_user_s_folder_where_the_package_s_is_not_writable(sandbox):
    places = {**_without_folders(sandbox), "NUMBA_CACHE_DIR": ""}
    places["XDG_CACHE_HOME"] = str(sandbox.root / "home")
    assert sandbox.run(CALL_TWICE, **places) == (2, 0)
    assert sandbox.run(CALL_TWICE, **places) == (2, 1)
    (entry,) = sandbox.entries()
    assert entry.is_relative_to(sandbox.root / "home")


def _install(sandbox: Sandbox, version: str) -> None:
    """Build a wheel of the package, with one date for all files, and let pip install it."""
    wheel = sandbox.root / f"package-{version}-py3-none-any.whl"
    about = f"package-{version}.dist-info"
    paths = sandbox.package.rglob("*.py")
    files = {path.relative_to(sandbox.root).as_posix(): path.read_text() for path in paths}
    files[f"{about}/METADATA"] = f"Metadata-Version: 2.1\nName: package\nVersion: {version}\n"
    files[f"{about}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in files)
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    where = ["--upgrade", "--no-compile", "--target", str(sandbox.root / "site"), str(wheel)]
    subprocess.run([*pip, *where], check=True, capture_output=True, timeout=300)


def test_upgrade_runs_new_code(sandbox):
    """Two versions whose files differ in nothing that a file system tells."""
    pytest.importorskip("pip")
    site = {"PYTHONPATH": str(sandbox.root / "site")}
    _install(sandbox, "1.0")
    call = f"import os; os.chdir('/'); {CALL_TWICE}"
    assert sandbox.run(call, **site) == (2, 0)
    assert sandbox.run(call, **site) == (2, 1)
    sandbox.write("package/parts.py", PARTS.replace("2 * x", "3 * x"))
    _install(sandbox, "2.0")
    assert sandbox.run(call, **site) == (3, 0)
    assert sandbox.run(call, **site) == (3, 1)
    assert len(sandbox.entries()) == 1, "the stale entry is overwritten"


def test_entry_that_links_to_what_is_unknown_makes_numba_load_everything(sandbox):
    """Numba registers some symbols late; without them, machine code would end the process.

    What is unknown even then, as a library that was there at the time, is compiled anew.
    """
    sandbox.run(CALL_TWICE)
    program = (
        "import numpy as np\n"
        "from numba.core.registry import cpu_target\n"
        "from package._jit import _packing\n"
        "from package.entry import twice\n"
        "calls, names, refresh = [], [], cpu_target.target_context.refresh\n"
        "cpu_target.target_context.refresh = lambda: calls.append('refresh') or refresh()\n"
        "_packing.binding.address_of_symbol = lambda name: names.append(name) or {address}\n"
        "assert twice(np.ones(2)) == 2\n"
        "assert names, 'it links to something'\n"
        "print(sum(twice.stats.cache_hits.values()), *calls[:1])"
    )
    assert sandbox.run_program(program.format(address="1")).split() == ["1"]
    assert sandbox.run_program(program.format(address="len(calls)")).split() == ["1", "refresh"]
    assert sandbox.run_program(program.format(address="None")).split() == ["0", "refresh"]


def test_kernels_that_this_process_compiled_are_counted(sandbox):
    program = (
        "import numpy as np\n"
        "from package import _jit, entry\n"
        "entry.twice(np.ones(2)), entry.twice(np.ones(2, 'f4')), entry.twice(np.ones(2))\n"
        "print(_jit.count_compiled())"
    )
    assert [sandbox.run_program(program).strip() for _ in range(2)] == ["2", "0"]


@pytest.mark.nojit
@pytest.mark.parametrize("collects", [True, False])
def test_collector_is_left_as_it_was(collects):
    before = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        with contextlib.suppress(KeyError), _jit.collector_paused():
            assert not gc.isenabled()
            raise KeyError("whatever happens")
        assert gc.isenabled() == collects
    finally:
        (gc.enable if before else gc.disable)()


def test_runs_without_the_compiler(sandbox):
    sandbox.write("losses.py", LOSS)
    assert sandbox.run(CALL_TWICE, NUMBA_DISABLE_JIT="1") == (2, 0)
    assert sandbox.run(CALL_TOTAL, NUMBA_DISABLE_JIT="1") == (20, 0)
    assert sandbox.entries() == []


@pytest.mark.parametrize("file", ["entry", "sub/entry"])
def test_all_entries_lie_in_one_folder(sandbox, file):
    """Whatever the folder of their source."""
    (sandbox.package / "sub").mkdir()
    sandbox.write("package/sub/__init__.py", "")
    sandbox.write("package/sub/entry.py", ENTRY)
    sandbox.run(CALL_TWICE.replace("package.entry", "package." + file.replace("/", ".")))
    folder = "from package._jit import cache_folder; print(cache_folder())"
    assert sandbox.run_program(folder).strip() == str(sandbox.entries()[0].parent)


@pytest.mark.nojit
def test_nan_and_inf_stay_legal():
    """Divergence is detected through them."""
    assert not {"nnan", "ninf", "fast"} & _jit.FASTMATH

    @_jit.helper
    def tell(x):
        return np.isnan(x), np.isinf(x), np.isfinite(x)

    assert [tell(x) for x in (np.nan, np.inf, 1.0)] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]


# What a user's class stands for ------------------------------------------------------------------

TRACED = {
    "method": ("return x", "return 2 * x"),
    "constant of a method": ("return x + 1.0", "return x + 2.0"),
    "int or float": ("return x + 1", "return x + 1.0"),
    "constant of the module": ("return x + LEVEL", "return x + LEVEL", "LEVEL = 1", "LEVEL = 2"),
    "array": (
        "return x + T[0]",
        "return x + T[0]",
        "import numpy as np; T = np.array([1.0])",
        "import numpy as np; T = np.array([2.0])",
    ),
    "function": (
        "return inner(x)",
        "return inner(x)",
        "def inner(x): return x",
        "def inner(x): return -x",
    ),
    "compiled function": (
        "return inner(x)",
        "return inner(x)",
        "import numba\n@numba.njit\ndef inner(x): return x",
        "import numba\n@numba.njit\ndef inner(x): return -x",
    ),
    "function of a function": (
        "return outer(x)",
        "return outer(x)",
        "def inner(x): return x\ndef outer(x): return inner(x)",
        "def inner(x): return -x\ndef outer(x): return inner(x)",
    ),
    "default argument": (
        "return inner(x)",
        "return inner(x)",
        "def inner(x, level=1): return x + level",
        "def inner(x, level=2): return x + level",
    ),
    "keyword default": (
        "return inner(x)",
        "return inner(x)",
        "def inner(x, *, level=1): return x + level",
        "def inner(x, *, level=2): return x + level",
    ),
    "closure": (
        "return inner(x)",
        "return inner(x)",
        "def make(level):\n    return lambda x: x + level\ninner = make(1)",
        "def make(level):\n    return lambda x: x + level\ninner = make(2)",
    ),
    "nested function": (
        "return (lambda z: z + 1)(x)",
        "return (lambda z: z + 2)(x)",
    ),
    "attribute of a module": (
        "return tools.inner(x)",
        "return tools.inner(x)",
        "import types; tools = types.ModuleType('tools'); tools.inner = lambda x: x",
        "import types; tools = types.ModuleType('tools'); tools.inner = lambda x: -x",
    ),
    "another name of the same kind": ("return math.sin(x)", "return math.cos(x)", "import math"),
    "enumeration": (
        "return x + Level.A.value",
        "return x + Level.A.value",
        "import enum\nclass Level(enum.Enum):\n    A = 1",
        "import enum\nclass Level(enum.Enum):\n    A = 2",
    ),
    "another class": (
        "return Other.value(x)",
        "return Other.value(x)",
        "class Other(NamedTuple):\n    value = staticmethod(lambda x: x)",
        "class Other(NamedTuple):\n    value = staticmethod(lambda x: -x)",
    ),
}


def _digest(monkeypatch, body: str, prelude: str = "") -> str:
    """Digest a class whose module has no file, so that only what it names can tell."""
    module = types.ModuleType("losses_of_a_user")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    source = (
        f"from typing import NamedTuple\n{prelude}\n"
        "class Loss(NamedTuple):\n"
        "    scale: float = 1.0\n"
        "    @staticmethod\n"
        "    def value(loss, x):\n"
        f"        {body}\n"
    )
    exec(source, vars(module))
    fingerprint = _fingerprint.Fingerprint()
    fingerprint.visit(module.Loss)
    return fingerprint.hexdigest()


@pytest.mark.parametrize("case", TRACED.values(), ids=TRACED)
def test_fingerprint_sees_the_change_of_a(case, monkeypatch):
    before, after = case[:2]
    old, new = (case[2:] + case[2:])[:2] or ("", "")
    digests = [_digest(monkeypatch, *pair) for pair in [(before, old), (before, old), (after, new)]]
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


@pytest.mark.parametrize(
    "prelude",
    [
        "level = object()",
        "level = [1]",
        "import numpy as np; level = np.array([None])",
        "class level: pass",
    ],
)
def test_fingerprint_refuses_what_it_cannot_follow(prelude, monkeypatch):
    with pytest.raises(_fingerprint.Untraceable):
        _digest(monkeypatch, "return x + level", prelude)


def test_fingerprint_refuses_a_class_that_no_other_process_finds():
    class Local(NamedTuple):
        scale: float = 1.0

    with pytest.raises(_fingerprint.Untraceable):
        _fingerprint.Fingerprint().visit(Local)


def test_fingerprint_is_the_same_in_every_process(sandbox):
    sets = LOSS.replace("10 * loss.scale * x", "x in {'a', 'b', 'c', 'd'}")
    sandbox.write("losses.py", sets)
    program = (
        "from losses import Loss\n"
        "from package._jit._fingerprint import Fingerprint\n"
        "f = Fingerprint(); f.visit(Loss); print(f.hexdigest())"
    )
    digests = [sandbox.run_program(program, PYTHONHASHSEED=seed) for seed in "123"]
    assert len(set(digests)) == 1


def test_spelling_tells_classes_of_one_name_apart():
    """Numba prints both as ``Loss(float64 x 1)``."""
    from numba import typeof

    kinds = [NamedTuple("Loss", [("scale", float)]) for _ in range(2)]
    for kind, module in zip(kinds, "ab", strict=True):
        kind.__module__ = module
    first, second = (_fingerprint.spell(typeof(kind(1.0))) for kind in kinds)
    assert first.text != second.text
    assert [first.classes, second.classes] == [{kinds[0]}, {kinds[1]}]


def test_spelling_finds_nested_classes():
    from numba import typeof

    class Inner(NamedTuple):
        scale: float

    class Outer(NamedTuple):
        inner: Inner
        data: np.ndarray

    nested = (1, (Outer(Inner(1.0), np.ones(2)),))
    assert _fingerprint.spell(typeof(nested)).classes == {Inner, Outer}


def test_options_are_the_same_for_kernels_and_helpers():
    if not hasattr(_jit.helper(lambda: 0), "targetoptions"):
        pytest.skip("nothing is compiled under NUMBA_DISABLE_JIT")
    both = [
        _jit.kernel(lambda: 0),
        _jit.helper(lambda: 0),
        _jit.helper(boundscheck=True)(lambda: 0),
    ]
    for one, other in itertools.pairwise(compiled.targetoptions for compiled in both):
        # helpers are inlined, and not called from Python
        own = {"boundscheck": True, "forceinline": True, "no_cpython_wrapper": True}
        assert {**one, **own} == {**other, **own}


def test_a_helper_is_a_draft_in_kernels_and_runs_by_itself():
    @_jit.helper(allocates=True)
    def divided(x, by):
        if by == 0:
            raise ValueError("nothing to divide", x, "by")  # its message needs Python's objects
        return x / by

    @_jit.kernel(allocates=True)
    def halved(x, by):
        return divided(x, by)

    assert halved(3.0, 2.0) == divided(3.0, 2.0) == 1.5
    for call in (halved, divided):
        with pytest.raises(ValueError, match="nothing to divide"):
            call(3.0, 0.0)


class Named(NamedTuple):
    x: np.ndarray
    n: int


@pytest.mark.parametrize(
    "returned", [lambda x: x, lambda x: (1, x), lambda x: Named(x, 1), lambda x: (1, (x, 2.0))]
)
def test_a_helper_that_counts_no_references_returns_no_array(returned):
    """Its caller, which counts, would give up one too many, and free the array while it is used."""
    if not hasattr(_jit.helper(lambda: 0), "targetoptions"):
        pytest.skip("nothing is compiled under NUMBA_DISABLE_JIT")
    silent, counting = _jit.helper(returned), _jit.helper(allocates=True)(returned)

    @_jit.kernel(allocates=True)
    def refused(n):
        x = np.ones(n)
        return silent(x) is not None and x[0] == 1.0

    @_jit.kernel(allocates=True)
    def allowed(n):
        x = np.ones(n)
        return counting(x) is not None and x[0] == 1.0

    with pytest.raises(TypingError, match="returns an array and counts no references"):
        refused(3)
    assert allowed(3)


COMPILED = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="of compiled code")


def _functions_of(kernel):
    """Return how the functions in a kernel's code are linked, by their names in the source."""
    (compiled,) = kernel.overloads.values()
    functions = [f for f in compiled.library._final_module.functions if not f.is_declaration]
    return {
        name: [f.linkage.name for f in functions if f"{len(name)}{name}" in f.name]
        for name in ("tripled", "doubled")
    }


@COMPILED
def test_a_helper_that_is_not_inlined_is_called_and_each_kernel_has_its_own_copy():
    """A copy that two kernels share would be the one that was compiled first."""

    @_jit.helper(inlined=False)
    def doubled(x):
        for i in range(x.shape[0]):
            x[i] += x[i]

    @_jit.kernel()
    def one(x):
        doubled(x)
        x[0] += 1
        doubled(x)

    @_jit.kernel()
    def tripled(x, y):
        doubled(y)
        for i in range(x.shape[0]):
            x[i] += y[i]

    x = np.arange(3.0)
    one(x)
    np.testing.assert_array_equal(x, [2.0, 4.0, 8.0])
    tripled(x, x.copy())
    np.testing.assert_array_equal(x, [6.0, 12.0, 24.0])
    doubled(x)
    np.testing.assert_array_equal(x, [12.0, 24.0, 48.0])
    assert _functions_of(one) == {"tripled": [], "doubled": ["internal"]}
    # what Python calls, and the code itself
    assert _functions_of(tripled) == {"tripled": ["external"] * 2, "doubled": ["internal"]}


@contextlib.contextmanager
def compilations():
    """Yield a list of the names of functions that numba compiles meanwhile."""
    names = []
    compiles = CompilerBase.compile_extra

    def noting(self, function):
        names.append(function.__qualname__.rpartition(".")[2])
        return compiles(self, function)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CompilerBase, "compile_extra", noting)
        yield names


class Scaled(NamedTuple):
    by: float

    @staticmethod
    def scaled(spec, x, n):
        return spec.by * x + n


class Shifted(NamedTuple):
    by: float = 1.0

    @staticmethod
    def scaled(spec, x, n):
        return x - n * spec.by


@hook
def scaled(spec, x, n):
    return type(spec).scaled(spec, x, n)


@COMPILED
def test_what_a_kernel_calls_is_compiled_once():
    """Not again for each constant, nor for a kernel, a helper and a hook that call it."""

    @_jit.helper()
    def third(spec, x, n):
        return scaled(spec, x, n) / 3

    @_jit.helper()
    def second(spec, x):
        return third(spec, x, 1) + third(spec, x, 2)

    @_jit.kernel()
    def first(spec, x, n):
        return second(spec, x) + scaled(spec, x, n) + third(spec, x, n)

    with compilations() as names:
        assert first(Scaled(2.0), 3.0, 5) == pytest.approx(59 / 3)
    assert sorted(names) == ["first", "scaled", "second", "third"]


@COMPILED
@pytest.mark.parametrize("numbers", [(1, 2), (2.5, 1), (np.float32(1), 2.0), (True, 3)])
def test_extremes_of_two_numbers_are_pythons_and_compile_no_function(numbers):
    @_jit.kernel()
    def extremes(a, b):
        return min(a, b), max(b, a), max(a, b, a), min((a, b))

    @_jit.kernel()
    def quick(a, b):
        return min(a, b), max(b, a)

    a, b = numbers
    assert extremes(a, b) == (min(a, b), max(a, b), max(a, b), min(a, b))
    with compilations() as names:
        assert quick(a, b) == (min(a, b), max(a, b))
    assert names == ["quick"]


@COMPILED
@pytest.mark.parametrize("numbers", [(1.0, np.nan), (np.nan, 1.0)])
def test_extremes_take_nan_as_python_does(numbers):
    @_jit.kernel(fastmath=False)
    def extremes(a, b):
        return min(a, b), max(a, b)

    np.testing.assert_equal(extremes(*numbers), (min(numbers), max(numbers)))


@pytest.mark.parametrize("specs", [(Scaled(2.0),), (Shifted(), Scaled(2.0), Scaled(5.0))])
def test_a_spec_is_chosen_by_its_number(specs):
    @_jit.helper()
    def written(spec, x, out):
        out[0] = scaled(spec, x, 1)

    chosen = by_number(written)

    @_jit.kernel()
    def write(specs, number, x, out):
        chosen(specs, number, x, out)

    for number, spec in enumerate(specs):
        out = np.zeros(1)
        write(specs, number, 3.0, out)
        assert out[0] == type(spec).scaled(spec, 3.0, 1)
        chosen(specs, number, 4.0, out)
        assert out[0] == type(spec).scaled(spec, 4.0, 1)


def test_a_helper_returns_parts_of_what_it_was_given_to_one_that_counts_no_references_either():
    @_jit.helper()
    def named(x):
        return Named(line_in(x, 1, 2), 1)

    @_jit.kernel()
    def total(x):
        found = named(x)
        return found.x[0] + found.x[1] + found.n

    assert total(np.arange(4.0)) == 4.0


@COMPILED
def test_python_is_given_no_array_that_nobody_counts():
    with pytest.raises(TypingError, match="returning of array"):
        _jit.kernel(lambda x: line_in(x, 0, 1))(np.ones(3))


def test_what_is_not_plain_gets_all_passes():
    def closure(x):
        return (lambda y: y + x)(1)

    def raising(x):
        raise ValueError(x)

    def unrolled(x):
        for y in literal_unroll(x):
            return y
        return None

    def listing(x):
        return [y + 1 for y in x]  # from Python 3.12 on it is part of the function itself

    def entering(x):
        with x:
            return 1

    plain = sampling.below.py_func if hasattr(sampling.below, "py_func") else sampling.below
    assert _passes.is_plain(plain)
    for function in (closure, raising, unrolled, listing, entering):
        assert not _passes.is_plain(function)
        function.__module__ = plain.__module__
        assert not _passes.is_plain(function)


def test_a_pickled_helper_runs_by_itself(monkeypatch):
    """Numba leaves out by what compiler a function is compiled, and keeps that it has no wrapper.

    A process that has not seen the helper before has nothing to call then, and crashes.
    """
    pickled = pickle.dumps(sampling.mix)
    monkeypatch.setattr(Dispatcher, "_memo", weakref.WeakValueDictionary())  # as in another process
    found = pickle.loads(pickled)
    assert found is not sampling.mix
    assert not found.targetoptions.get("no_cpython_wrapper")
    assert found(np.uint64(1)) == sampling.mix(np.uint64(1))


# What the estimators leave behind -----------------------------------------------------------------

FITS = """
import json, sys
import numpy as np
from scipy import sparse
from fastgd import SGDClassifier, SGDRegressor

X = np.random.default_rng(0).standard_normal((60, 5))
settings = {"max_iter": 2, "tol": None, "random_state": 0}
SGDClassifier(loss="log_loss", batch_size=4, **settings).fit(X, np.arange(60) % 3)
SGDClassifier(**settings).fit(sparse.csr_matrix(X), X[:, 0] > 0)
SGDRegressor(**settings).fit(X, X[:, 0])

kernels = [
    value
    for name, module in list(sys.modules.items())
    if name.startswith("fastgd.kernels")
    for value in vars(module).values()
    if hasattr(value, "stats")
]
print(json.dumps([
    sum(sum(kernel.stats.cache_hits.values()) for kernel in kernels),
    sorted({kernel.__name__ for kernel in kernels if kernel.stats.cache_misses}),
]))
"""


def test_second_process_compiles_nothing(sandbox):
    """Every kernel behind a fit is cached: a type that cannot be spelled would turn that off.

    The first process finds what other tests have compiled.
    """
    places = {"PYTHONPATH": str(Path(__file__).parents[2])}
    places["NUMBA_CACHE_DIR"] = os.environ["NUMBA_CACHE_DIR"]
    sandbox.run_program(FITS, **places)
    hits, compiled = json.loads(sandbox.run_program(FITS, **places))
    assert compiled == []
    assert hits >= 3


GROWN = """
import numpy as np
from tests import compiling

compiling.LIMIT = 0
compiling.compile_in_children()
from fastgd.kernels._jit._cache import Cache
from fastgd.kernels.sampling import shuffled_rows

order = np.empty(9, np.int16)
shuffled_rows(3, order)
assert sorted(order) == list(range(9))
print(Cache.n_compiled)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the tests fork on Linux only")
@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="of compiled code")
def test_a_process_that_has_grown_reads_what_a_child_compiled(tmp_path):
    """In a process of its own: where a fork meets another thread's lock, its parent compiles."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    program = [sys.executable, "-c", GROWN]
    root = Path(__file__).parents[2]
    done = subprocess.run(program, cwd=root, env=environment, capture_output=True, text=True)
    assert done.stdout == "0\n", done.stderr
    assert list(tmp_path.rglob("*shuffled_orders*.nbc"))


@pytest.mark.nojit
@pytest.mark.skipif(sys.platform != "linux", reason="the tests fork on Linux only")
def test_a_child_that_idles_or_was_never_born_is_given_up(monkeypatch):
    from tests import compiling

    def compile_with(compiler):
        compiler.compile(test_a_child_that_idles_or_was_never_born_is_given_up, (), "entry")

    monkeypatch.setattr(compiling, "PATIENCE", 0.05)
    monkeypatch.setattr(compiling, "_serve", lambda _connection: time.sleep(300))
    reads, writes = os.pipe()
    compiler = compiling._Compiler()
    monkeypatch.setattr(compiler, "end", lambda: None)
    compile_with(compiler)
    os.close(writes)
    assert select.select([reads], [], [], 60)[0], "the child holds no end of its parent's pipes"
    assert os.read(reads, 1) == b""
    os.close(reads)
    assert not compiler._answers
    compiling._Compiler.end(compiler)
    with pytest.raises(ChildProcessError):  # it has ended, and nothing is left of it
        os.waitpid(compiler._child, 0)

    killed = []
    monkeypatch.setattr(os, "kill", lambda *arguments: killed.append(arguments))
    monkeypatch.setattr(os, "fork", lambda: os.stat("/proc/no such file"))
    compile_with(compiling._Compiler())
    assert killed == [], "0 would be this whole group of processes"


FILL = (
    "from pathlib import Path; from package import _jit; _jit.fill(Path('package/_machine_code'))"
)
LEVEL = next((level.name for level in _jit.levels_here()), "")
COMPILED_FOR_LEVEL = _jit.compiled_for(LEVEL)


@pytest.fixture
def shipped(sandbox):
    """Return a package that came with its machine code."""
    if not LEVEL:
        pytest.skip("no level of processors is known for this machine")
    assert sandbox.run(f"{FILL}\n{CALL_TWICE}", **COMPILED_FOR_LEVEL) == (2, 0)
    (entry,) = sandbox.entries()
    assert entry.parent == sandbox.package / "_machine_code" / LEVEL
    return sandbox


def test_code_that_came_with_the_package_is_read(shipped):
    assert shipped.run(CALL_TWICE) == (2, 1)
    assert len(shipped.entries()) == 1, "nothing was compiled"
    assert shipped.run(CALL_TWICE, **_without_folders(shipped)) == (2, 1), "nor need be written"
    count = "from package import _jit; print(_jit.count_shipped())"
    assert f"'{LEVEL}': 1" in shipped.run_program(count)


def test_code_that_came_is_not_read_where_it_does_not_fit(shipped):
    lacking = "from llvmlite import binding; binding.get_host_cpu_features = lambda: {}"
    if _jit.levels_here()[-1].features:
        assert shipped.run(f"{lacking}\n{CALL_TWICE}") == (2, 0)
    another = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_OPT": "1"}
    assert shipped.run(CALL_TWICE, **another) == (2, 0)
    shipped.write("package/parts.py", PARTS.replace("2 * x", "3 * x"))
    assert shipped.run(CALL_TWICE) == (3, 0)


def test_a_process_that_compiles_for_itself_fills_no_folder(tmp_path):
    with pytest.raises(ValueError, match="no level of processors"):
        _jit.fill(tmp_path)


def test_a_kernel_that_another_one_calls_is_compiled_anew(sandbox):
    """No kernel of ours does, but a user's function may."""
    sandbox.write(
        "package/outer.py",
        "from package._jit import kernel\n"
        "from package.entry import twice\n"
        "@kernel\n"
        "def four_times(x):\n"
        "    return 2 * twice(x)\n",
    )
    call = "from package.outer import four_times as f; args = (np.ones(2),)"
    assert sandbox.run(CALL_TWICE) == (2, 0)
    assert sandbox.run(call) == (4, 0)
    assert sandbox.run(call) == (4, 1)
