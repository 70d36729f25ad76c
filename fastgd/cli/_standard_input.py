"""``-`` in the place of a file of rows: what comes through stdin is kept in a file meanwhile."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fastgd._readers.errors import UserError, reason
from fastgd.cli._terminal import called

STDIN = Path("-")
_ENDS = {"csv": ".csv", "svmlight": ".svm", "vw": ".vw", "parquet": ".parquet", "npz": ".npz"}
_PACKED = ((b"\x1f\x8b", ".gz"), (b"\x28\xb5\x2f\xfd", ".zst"))
_PIECE = 1 << 20


@contextmanager
def standard_input(args: argparse.Namespace) -> Iterator[argparse.Namespace]:
    """Let ``args.data`` name a file with what stdin holds, where it is ``-``.

    Rows are read more than once, which a pipe does not allow.

    Raises
    ------
    UserError
        If stdin is closed, or cannot be read or kept.
    """
    if getattr(args, "data", None) != STDIN:
        yield args
        return
    if sys.stdin is None:
        raise UserError("stdin is closed: there are no rows to read.")
    with tempfile.TemporaryDirectory(prefix="fastgd-", ignore_cleanup_errors=True) as folder:
        path = Path(folder, "stdin")
        try:
            path = _kept(sys.stdin.buffer, path, args.format)
        except OSError as error:
            raise UserError(f"stdin cannot be read or kept: {reason(error)}") from None
        with called(path, "stdin"):
            yield argparse.Namespace(**{**vars(args), "data": path})


def _kept(source: IO[bytes], path: Path, kind: str | None) -> Path:
    start = source.read(_PIECE)
    kind = kind or ("parquet" if start.startswith(b"PAR1") else "csv")
    packed = next((end for magic, end in _PACKED if start.startswith(magic)), "")
    path = path.with_name(f"stdin{_ENDS[kind]}{packed}")
    with path.open("wb") as file:
        file.write(start)
        shutil.copyfileobj(source, file, _PIECE)
    return path
