"""``fastgd warmup``, ``demo`` and ``completion``: commands of a few lines."""

import argparse
from importlib import import_module

from fastgd._readers.errors import needed
from fastgd.cli._output import check_output
from fastgd.cli._terminal import counted, result, say


def warmup(args: argparse.Namespace) -> int:
    """Compile the usual kernels, so that no first fit has to wait."""
    started = import_module("fastgd._runtime.warmup")
    dtypes = tuple(args.dtype) if args.dtype else ("float32", "float64")
    n_kernels = started.warmup(progress=not args.quiet, dtypes=dtypes, sparse=args.sparse)
    say(f"{counted(n_kernels, 'kernel')} compiled", quiet=args.quiet)
    return 0


def demo(args: argparse.Namespace) -> int:
    """Train three models beside scikit-learn's."""
    check_output(args.output)
    from fastgd.cli import _demo

    _demo.run(args.output)
    return 0


def completion(args: argparse.Namespace) -> int:
    """Print what a shell needs to complete the command."""
    from fastgd.cli._parser import parser

    result(needed("shtab", "shell completion").complete(parser(), shell=args.shell))
    return 0
