"""``fastgd info``: what there is to know about an installation, or about a saved model."""

import argparse
import ctypes
import json
import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastgd import __version__
from fastgd._readers.errors import listed, plain
from fastgd.cli._terminal import result
from fastgd.kernels._jit import cache_folder, count_shipped

PACKAGES = ("numba", "numpy", "scipy", "scikit-learn", "matplotlib", "pandas", "pyarrow", "skops")


def run(args: argparse.Namespace) -> int:
    """Print what there is to know."""
    if args.model is not None:
        return _run_for_model(args)
    rows = dict(_info())
    result(json.dumps(rows, indent=1) if args.json else _table(rows))
    return 0


def _table(rows: dict[str, str]) -> str:
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {plain(value)}".rstrip() for name, value in rows.items())


def _run_for_model(args: argparse.Namespace) -> int:
    from fastgd.cli._archive import read_card
    from fastgd.cli._asked import format_of
    from fastgd.cli._text import columns_as_text, settings_as_text

    card = read_card(args.model, format_of(args).limits)
    if args.json:
        result(json.dumps(card.as_dict(), indent=1))
        return 0
    layout, target = card.layout, card.layout.target
    rows = {
        "model": f"{card.model} ({card.estimator}, {card.task})",
        "trained on": f"{card.n_rows:,} rows of {layout.n_features:,} columns ({layout.form})",
        "target": "none" if target is None else f"{target.name} ({target.dtype})",
        "classes": "none" if card.classes is None else listed(card.classes, most=100),
        "settings": settings_as_text(card),
        "saved by": f"fastgd {card.fastgd}, scikit-learn {card.scikit_learn}, format {card.format}",
    }
    columns = f"\ncolumns\n{columns_as_text(layout)}" if layout.columns else ""
    result(_table(rows) + columns)
    return 0


def _info() -> Iterator[tuple[str, str]]:
    """Yield what a bug report needs, as pairs of a name and a value."""
    yield "fastgd", __version__
    yield "python", f"{platform.python_version()} ({platform.platform()})"
    for package in PACKAGES:
        yield package, _version_of(package)
    yield from _processor()
    yield "cache folder", _describe_cache(cache_folder())
    yield "compiled kernels", _describe_shipped()
    yield "CUDA", _describe_cuda()
    yield "numba-cuda", _version_of("numba-cuda")
    yield from _device()


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> Iterator[tuple[str, str]]:
    """Yield what the compiler sees; NUMBA_CPU_NAME and NUMBA_CPU_FEATURES overrule the machine."""
    from llvmlite import binding
    from numba.core import config

    settings: Any = config  # numba sets its attributes while it runs
    features = settings.CPU_FEATURES
    if features is None:
        features = binding.get_host_cpu_features().flatten()
    enabled = sorted(name[1:] for name in features.split(",") if name.startswith("+"))
    yield "CPU", settings.CPU_NAME or binding.get_host_cpu_name()
    yield "CPU features", " ".join(enabled) or "none"
    yield "threads", f"{settings.NUMBA_NUM_THREADS} of {os.cpu_count()} processors"
    yield "compiler", "off (NUMBA_DISABLE_JIT)" if settings.DISABLE_JIT else "on"


def _describe_cache(folder: str | None) -> str:
    if folder is None:
        return "none is writable: every process compiles anew"
    sizes = [path.stat().st_size for path in Path(folder).glob("*.nbc")]
    return f"{folder} ({len(sizes)} kernels, {sum(sizes) / 2**20:.1f} MiB)"


def _describe_shipped() -> str:
    found = {level: n for level, n in count_shipped().items() if n}
    named = ", ".join(f"{n} for {level}" for level, n in found.items())
    return named or "none came with the package"


def _device() -> Iterator[tuple[str, str]]:
    """Yield what numba-cuda says of the device, where there are both."""
    if _version_of("numba-cuda") == "not installed":
        return
    try:
        from fastgd.kernels.cuda import memory

        described = memory.describe()
    except Exception as error:  # whatever the driver has to say
        described = {"device": f"none ({type(error).__name__})"}
    for name, value in described.items():
        yield f"CUDA {name}", value


def _describe_cuda() -> str:
    """Ask the driver itself: importing a CUDA package would take longer than all the rest."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL(name)
        failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    except (OSError, AttributeError):
        return "no (no driver)"
    if failed or count.value == 0:
        return "no (no device)"
    return f"yes ({count.value} device{'s' if count.value > 1 else ''})"
