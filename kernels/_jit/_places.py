"""Where machine code lies: in the user's cache, and in what a wheel has brought.

A wheel may carry kernels that were compiled for a *level* of processors, a name of LLVM's that many
machines answer to: x86-64-v3 is what AVX2 and FMA are part of, x86-64-v4 what AVX-512 is. They lie
in ``_machine_code/LEVEL`` beside the kernels' sources and are looked up after the user's cache,
before anything is compiled. They are subject to the same checksum: made from other sources, by
another numba or for another Python, they are not loaded. A processor that lacks one of a level's
features does not look into its folder.
"""

import functools
import platform
import sys
from pathlib import Path
from typing import Any, NamedTuple

from llvmlite import binding
from numba.core import config
from numba.core.caching import CompileResultCacheImpl

from fastgd.kernels._jit._fingerprint import FOLDER

SHIPPED = FOLDER / "_machine_code"


class Level(NamedTuple):
    """A kind of processors that share machine code.

    name : str, as LLVM calls it
    features : frozenset of str, LLVM's names of what such a processor has
    """

    name: str
    features: frozenset[str]


_V2 = frozenset({"cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3"})
_V3 = _V2 | {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"}
_V4 = _V3 | {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"}
_X86_64 = (Level("x86-64-v4", _V4), Level("x86-64-v3", _V3))
_ARM64 = (Level("apple-m1" if sys.platform == "darwin" else "generic", frozenset()),)
_LEVELS = {"x86_64": _X86_64, "amd64": _X86_64, "aarch64": _ARM64, "arm64": _ARM64}


class Place(NamedTuple):
    """A folder of machine code for one kind of processor.

    folder : str
    machine : str, the processor, as it goes into an entry's name
    """

    folder: str
    machine: str


def known_levels() -> tuple[Level, ...]:
    """Return the levels of this machine's architecture, the highest first."""
    return _LEVELS.get(platform.machine().lower(), ())


@functools.cache
def levels_here() -> tuple[Level, ...]:
    """Return the levels whose machine code this process may run, the highest first.

    Where NUMBA_CPU_NAME asks for a processor, that one only.
    """
    if config.CPU_NAME is None and config.CPU_FEATURES is None:
        has = binding.get_host_cpu_features()
        return tuple(level for level in known_levels() if all(map(has.get, level.features)))
    asked = config.CPU_NAME if config.CPU_FEATURES == "" else None
    return tuple(level for level in known_levels() if level.name == asked)


def compiled_for(level: str) -> dict[str, str]:
    """Return the environment in which a process compiles for a level."""
    return {"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": ""}


class Filled:
    """The folder that this process compiles for others into; None where it compiles for itself."""

    folder: Path | None = None


def fill(folder: Path) -> None:
    """Have all that this process compiles kept in ``folder``, as a wheel carries it.

    Raises
    ------
    ValueError
        If this process does not compile for a level (see ``compiled_for``).
    """
    if config.CPU_NAME is None or not levels_here():
        raise ValueError(f"{config.CPU_NAME!r} is no level of processors; see compiled_for.")
    Filled.folder = folder


def places_of(own: CompileResultCacheImpl | None, codegen: Any) -> list[Place]:
    """Return where machine code may lie, in the order of looking; the first is written to."""
    if Filled.folder is not None:
        return _of_levels(Filled.folder)
    shipped = _of_levels(SHIPPED) if is_shipped() else []
    if own is None:
        return shipped
    # target triple, CPU name, CPU features
    return [Place(own.locator.get_cache_path(), repr(codegen.magic_tuple())), *shipped]


@functools.cache
def is_shipped() -> bool:
    """Tell whether machine code came with the package."""
    return SHIPPED.is_dir()


def _of_levels(folder: Path) -> list[Place]:
    system = f"{sys.platform} {platform.machine().lower()}"
    return [Place(str(folder / level.name), f"{system} {level.name}") for level in levels_here()]


def count_shipped() -> dict[str, int]:
    """Return how many kernels came with the package, for each level that this process may run."""
    return {level.name: len(list((SHIPPED / level.name).glob("*.nbc"))) for level in levels_here()}
