"""python -m fastgd.accel: run a script or a module with scikit-learn's estimators accelerated."""

import argparse
import os
import runpy
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from types import ModuleType

from fastgd import accel
from fastgd.accel import _startup, _traceback
from fastgd.accel._report import JOURNAL

DESCRIPTION = (
    "Run a Python script or module; scikit-learn's linear estimators are fitted by fastgd. "
    "What fastgd cannot do as asked is fitted by scikit-learn."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says.

    Parameters
    ----------
    arguments : sequence of str, default=None
        None: those of the process.

    Returns
    -------
    int
        The exit status.
    """
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.startup is not None:
        print(_startup.turn(asked.startup))
        return 0
    command = asked.module or asked.script
    if not command:
        parser.print_usage(sys.stderr)
        return 2
    accel.install(min_size=asked.min_size, verbose=asked.verbose)
    if asked.profile:
        handle, JOURNAL.path = tempfile.mkstemp(prefix="fastgd-accel-", suffix=".jsonl")
        os.close(handle)
    try:
        _run(run_module if asked.module else run_script, command)
    finally:
        if asked.profile and JOURNAL.path is not None:
            print(f"\n{accel.report()}", file=sys.stderr)
            os.unlink(JOURNAL.path)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fastgd.accel", description=DESCRIPTION)
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each fit")
    parser.add_argument("--profile", action="store_true", help="a table of all fits at the end")
    parser.add_argument(
        "--min-size",
        type=int,
        metavar="N",
        help="entries of X from which on fits go to fastgd; by default as measured",
    )
    parser.add_argument(
        "--startup",
        choices=("on", "off", "status"),
        help="whether FASTGD_ACCEL=1 accelerates every python of this environment",
    )
    parser.add_argument(
        "-m", dest="module", nargs=argparse.REMAINDER, help="a module, and its arguments"
    )
    parser.add_argument("script", nargs=argparse.REMAINDER, help="a script, and its arguments")
    return parser


def _run(run: Callable[[list[str]], None], command: list[str]) -> None:
    """Run, and have an exception show the user's frames only."""
    try:
        run(command)
    except SystemExit:
        raise
    except BaseException as error:
        if not _traceback.has_other_frames(error.__traceback__):  # nothing of the user's has run
            traceback.print_exception(error.with_traceback(None))
            raise SystemExit(2 if isinstance(error, OSError) else 1) from None
        _traceback.shorten(error)
        raise


def run_script(command: list[str]) -> None:
    """Run a script as ``python script.py`` does: in a module ``__main__`` that stays."""
    path = os.path.abspath(command[0])
    with open(path, "rb") as file:
        source = file.read()
    sys.argv[:] = command
    sys.path[0] = os.path.dirname(path)
    module = ModuleType("__main__")
    module.__file__ = path
    module.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = module
    exec(compile(source, path, "exec"), vars(module))


def run_module(command: list[str]) -> None:
    """Run a module as ``python -m`` does."""
    sys.argv[:] = command
    sys.path[0] = os.getcwd()
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    raise SystemExit(main())
