"""What a table was measured on; printed above it.

    python benchmarks/machine.py

Figures depend on caches, on the width of vectors and on BLAS as much as on cores, and a table is
often read without the machine at hand.
"""

import importlib.metadata
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np  # noqa: F401  (so that its BLAS is loaded)
import scipy.linalg  # noqa: F401  (a copy of its own)
from llvmlite import binding
from threadpoolctl import threadpool_info

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
INFORMATION = Path("/proc/cpuinfo")
VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "sse2": "SSE2", "neon": "NEON"}
PACKAGES = ("numba", "numpy", "scipy", "scikit-learn", "fastgd")


def describe(*packages: str) -> str:
    """Return two lines: the machine with its load, and the versions of what was measured.

    packages : str, names of further ones, mentioned if they are installed
    """
    there = os.cpu_count() or 1
    usable = f"{there} cores" if cores() == there else f"{cores()} of {there} cores"
    parts = [processor(), usable, *caches(), vectors(), load()]
    versions = [f"Python {platform.python_version()}", *_versions((*PACKAGES, *packages))]
    return f"{', '.join(filter(None, parts))}\n{', '.join([*versions, *blas()])}\n"


def processor() -> str:
    """Return its name, as the system has it and as LLVM has it."""
    name = platform.processor() or platform.machine()
    if INFORMATION.exists():
        found = re.search(r"model name\s*:\s*(.+)", INFORMATION.read_text())
        name = found[1] if found else name
    return f"{name} ({os.environ.get('NUMBA_CPU_NAME') or binding.get_host_cpu_name()})"


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def caches(folder: Path = CACHES) -> Iterator[str]:
    """Yield the sizes of a core's caches of data, where Linux tells them."""
    for cache in sorted(folder.glob("index*")):
        kind, level, size = ((cache / of).read_text().strip() for of in ("type", "level", "size"))
        if kind != "Instruction":
            yield f"L{level} {int(size.removesuffix('K')):,} KiB"


def vectors() -> str:
    """Return the widest vector instructions of the processor."""
    features = binding.get_host_cpu_features()
    return next((told for name, told in VECTORS.items() if features.get(name)), "")


def load() -> str:
    """Return how many processes want a core, this one among them."""
    return f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""


def blas() -> Iterator[str]:
    """Yield each BLAS in this process: numpy's and scipy's may be copies apart."""
    told = [library for library in threadpool_info() if library["user_api"] == "blas"]
    for library in told:
        kind = " ".join(filter(None, (library["version"], library.get("architecture"))))
        yield f"{library['internal_api']} {kind} with {library['num_threads']} threads"


def _versions(packages: tuple[str, ...]) -> Iterator[str]:
    for package in packages:
        try:
            yield f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            continue


if __name__ == "__main__":
    print(describe())
