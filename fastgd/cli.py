"""The command ``fastgd``: a demonstration, and what there is to know about an installation."""

import argparse
import ctypes
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastgd import __version__
from fastgd.kernels._jit import cache_folder

PACKAGES = ("numba", "numpy", "scipy", "scikit-learn", "matplotlib")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, default=None
        The words after ``fastgd``; those of the command line by default.
    """
    chosen = _parser().parse_args(arguments)
    if chosen.command == "info":
        _print_info()
    elif chosen.command == "demo":
        return _run_demo(chosen.output)
    elif chosen.command == "warmup":
        _run_warmup()
    else:
        _parser().print_help()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastgd", description="Models by gradient descent.")
    parser.add_argument("--version", action="version", version=f"fastgd {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("info", help="print versions, the processor, threads and the cache folder")
    commands.add_parser("warmup", help="compile the usual combinations now; takes some minutes")
    demo = commands.add_parser("demo", help="train three models on real data, beside scikit-learn")
    demo.add_argument(
        "--output",
        type=Path,
        default=Path("fastgd-demo.png"),
        metavar="FILE",
        help="where the loss curves go (default: %(default)s)",
    )
    return parser


def _run_demo(output: Path) -> int:
    if not output.parent.is_dir():  # now, and not after the training
        print(f"fastgd demo: there is no folder {output.parent}", file=sys.stderr)
        return 1
    from fastgd import _demo

    _demo.run(output)
    return 0


def _run_warmup() -> None:
    from fastgd._warmup import warmup

    print(f"{warmup(progress=True)} kernels compiled, in {_describe_cache(cache_folder())}")


def _print_info() -> None:
    rows = list(_info())
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


def _info() -> Iterator[tuple[str, str]]:
    """Yield what a bug report needs, as pairs of a name and a value."""
    yield "fastgd", __version__
    yield "python", f"{platform.python_version()} ({platform.platform()})"
    for package in PACKAGES:
        yield package, _version_of(package)
    yield from _processor()
    yield "cache folder", _describe_cache(cache_folder())
    yield "CUDA", _describe_cuda()


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
