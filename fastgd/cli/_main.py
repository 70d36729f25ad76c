"""From words to a command, and from what goes wrong to a line and an exit status."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from fastgd.cli._parser import parser
from fastgd.cli._problems import Problem
from fastgd.cli._terminal import note, warnings_as_notes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, default=None
        The words after ``fastgd``; those of the command line by default.

    Returns
    -------
    status : int
        0 if all went well, 1 for data or a model that cannot be worked with, 2 for words that do
        not go together (which argparse may also exit with), 130 if it was interrupted.
    """
    args = parser().parse_args(arguments)
    if args.command is None:
        parser().print_help()
        return 0
    module, _, function = args.run.partition(":")
    try:
        with warnings_as_notes(args.command):
            status: int = getattr(import_module(module), function)(args)
            sys.stdout.flush()
            return status
    except Problem as problem:
        note(f"fastgd {args.command}: {problem}")
        return problem.exit_code
    except KeyboardInterrupt:
        note(f"fastgd {args.command}: interrupted")
        return 130
    except BrokenPipeError:  # ``| head`` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
