"""``fastgd warmup``, ``demo`` and ``completion``: commands of a few lines."""

import argparse
import os
from importlib import import_module
from importlib.util import find_spec

from fastgd._readers.errors import UserError, needed
from fastgd.cli._output import check_output
from fastgd.cli._terminal import counted, result, say


def warmup(args: argparse.Namespace) -> int:
    """Compile the usual kernels, so that no first fit has to wait."""
    started = import_module("fastgd._runtime.warmup")
    options = {
        "progress": not args.quiet,
        "dtypes": tuple(args.dtype) if args.dtype else ("float32", "float64"),
        "sparse": args.sparse,
        "only": args.only,
        "n_jobs": args.jobs or os.cpu_count() or 1,
    }
    if args.cpu and args.into is None:
        raise UserError("--cpu goes with --into: without it, kernels are for this machine")
    try:
        if args.into is None:
            n_kernels = started.warmup(**options)
            say(f"{counted(n_kernels, 'kernel')} compiled", quiet=args.quiet)
            return 0
        for level in args.cpu or [level.name for level in started.levels_here()]:
            n_kernels = started.compile_for(level, args.into, **options)
            said = f"{counted(n_kernels, 'kernel')} compiled for {level}, in {args.into}"
            say(said, quiet=args.quiet)
    except ValueError as error:
        raise UserError(str(error)) from error
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
