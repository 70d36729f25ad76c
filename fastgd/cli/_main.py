"""From arguments to a command, and from what goes wrong to a line and an exit status."""

import argparse
import gc
import os
import traceback
from collections.abc import Callable, Sequence

from fastgd._readers.errors import UserError, first_line, plain, reason
from fastgd._runtime.postponed import imported, is_own_process, own_process
from fastgd.cli._parser import parser
from fastgd.cli._standard_input import standard_input
from fastgd.cli._stopping import Stopped, stoppable
from fastgd.cli._terminal import note, open_standard_files, settle, warnings_as_notes

DEBUG = "FASTGD_DEBUG"  # an environment variable: tracebacks are printed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Whatever goes wrong is reported in one line; ``--debug`` or FASTGD_DEBUG=1 print the traceback.

    Parameters
    ----------
    arguments : sequence of str, default=None
        The arguments after ``fastgd``; those of the command line by default.

    Returns
    -------
    status : int
        0 if all went well, 1 for data or a model that cannot be worked with, 2 for arguments that
        do not go together (which argparse may also exit with), 130 if it was interrupted, 143 if it
        was terminated.
    """
    if arguments is None:
        own_process()
    open_standard_files()
    args = parser().parse_args(arguments)
    if args.command is None:
        parser().print_help()
        return 0
    try:
        status, said = _run(args), None
    except (Exception, KeyboardInterrupt, Stopped) as error:
        status, said = _answer(error, args)
        if said is not None and _is_debugging(args):
            note(traceback.format_exc().rstrip())
    why = settle()
    if why is not None and status in (0, 1):
        status, said = 1, why
    if said is not None:
        note(f"fastgd {args.command}: {plain(said)}")
    return status


def _run(args: argparse.Namespace) -> int:
    if "check" in args:  # of what argparse cannot, before anything heavy is imported
        args.check(args)
    with stoppable(), warnings_as_notes(args.command), standard_input(args) as named:
        command: Callable[[argparse.Namespace], int] = imported(args.run)
        if is_own_process():
            gc.freeze()
        return command(named)


def _answer(error: BaseException, args: argparse.Namespace) -> tuple[int, str | None]:
    """Return the exit status for what has ended a command, and what is said of it."""
    match error:
        case UserError():
            return error.exit_code, str(error)
        case KeyboardInterrupt():
            return 130, "interrupted"
        case Stopped():
            return error.exit_code, "terminated"
        case BrokenPipeError():  # ``| head`` has seen enough
            return 0, None
        case MemoryError():
            less = "; --chunk-rows 50000 needs less" if "chunk_rows" in args else ""
            return 1, f"there is not enough memory{less}."
        case ImportError():  # it says which package is missing, and how to install it
            return 1, first_line(error)
        case OSError():
            about = f"{error.filename}: " if isinstance(error.filename, str) else ""
            return 1, f"{about}{reason(error)}"
        case _:
            kind = type(error).__name__
            return 1, f"unexpected {kind}: {first_line(error)} (--debug shows where)"


def _is_debugging(args: argparse.Namespace) -> bool:
    return bool(args.debug) or os.environ.get(DEBUG, "0") not in ("", "0")
