"""``fastgd warmup``, ``demo`` and ``completion``: commands of a few lines."""

import argparse
from importlib import import_module
from importlib.util import find_spec

from fastgd._readers.errors import UserError, needed
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
    """Fit what the demonstration fits, beside scikit-learn."""
    if args.plot is not None:
        check_output(args.plot, option="--plot")
        if find_spec("matplotlib") is None:
            raise UserError('--plot needs matplotlib: pip install "fastgd[plot]"')
    from fastgd.cli import _demo

    _demo.run(args.plot)
    return 0


def completion(args: argparse.Namespace) -> int:
    """Print what a shell needs to complete the command."""
    from fastgd.cli._parser import parser

    result(needed("shtab", "shell completion").complete(parser(), shell=args.shell))
    return 0
