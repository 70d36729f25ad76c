"""What all tests share: seeds, and a cache of compiled kernels that belongs to these sources."""

import gc
import hashlib
import os
import tempfile
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from tests.turns import has_turn

ROOT = Path(__file__).parent.parent


def _digest_of_kernels() -> str:
    digest = hashlib.sha256()
    for path in sorted((ROOT / "kernels").rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


# Else scikit-learn skips its checks of the array API.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

# Numba reads it once, on import; the subprocesses of the tests inherit it.
os.environ.setdefault(
    "NUMBA_CACHE_DIR", os.path.join(tempfile.gettempdir(), f"fastgd-tests-{_digest_of_kernels()}")
)

# The same examples in every run, and no failure by the clock: a first call compiles.
hypothesis.settings.register_profile(
    "fastgd", derandomize=True, deadline=None, database=None, max_examples=25
)
hypothesis.settings.load_profile("fastgd")


def pytest_configure(config: pytest.Config) -> None:
    """Bound what a process of the tests takes, before a kernel is imported."""
    if config.getoption("numprocesses", None):
        # for the workers, one a core: more threads of BLAS would spin while they wait
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from tests.compiling import compile_in_children  # imports numba, which reads the folder above

    compile_in_children()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests marked full of which FULL_TURN says that it is not their turn."""
    turn = os.environ.get("FULL_TURN", "0/1")

    def is_taken(item: pytest.Item) -> bool:
        return item.get_closest_marker("full") is None or has_turn(item.nodeid, turn)

    config.hook.pytest_deselected(items=[item for item in items if not is_taken(item)])
    items[:] = filter(is_taken, items)


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays: modules, and thousands of tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator that starts anew for each test."""
    return np.random.default_rng(0)
