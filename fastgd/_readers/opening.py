"""Which file is read by what."""

from collections.abc import Callable
from pathlib import Path

from fastgd._readers.errors import BadData, Misuse
from fastgd._readers.npz import NPZ
from fastgd._readers.reader import Format, Reader
from fastgd._readers.streams import bare_name, refuse_unreadable
from fastgd._readers.svmlight import SvmLight
from fastgd._readers.tables import CSV, Parquet
from fastgd._readers.vw import VW

_READERS: dict[str, tuple[Callable[[Path, Format], Reader], tuple[str, ...]]] = {
    "csv": (CSV, (".csv", ".tsv", ".txt")),
    "svmlight": (SvmLight, (".svm", ".svmlight", ".libsvm")),
    "vw": (VW, (".vw",)),
    "parquet": (Parquet, (".parquet", ".pq")),
    "npz": (NPZ, (".npz",)),
}
KINDS = tuple(_READERS)
_TEXTS = ("csv", "svmlight", "vw")  # which may be compressed


def open_reader(path: Path, how: Format = Format()) -> Reader:  # noqa: B008
    """Return what reads a file, by the end of its name unless it was said what it is.

    Raises
    ------
    BadData
        If there is no such file, or its name ends in nothing known.
    """
    refuse_unreadable(path)
    kind = how.kind or _kind_of(path)
    usual = Format()
    if kind != "csv":
        for option in ("separator", "decimal", "thousands"):
            if getattr(how, option) != getattr(usual, option):
                raise Misuse(f"--{option} is for CSV files.")
    if kind != "vw" and how.bits is not None:
        raise Misuse("--bits is for files of Vowpal Wabbit's format.")
    return _READERS[kind][0](path, how)


def _kind_of(path: Path) -> str:
    for kind, (_, ends) in _READERS.items():
        if (bare_name(path) if kind in _TEXTS else path.name.lower()).endswith(ends):
            return kind
    raise BadData(
        f"{path}: what this file holds cannot be told from its name. Known are .csv, .tsv, .txt "
        "(CSV), .svm, .svmlight, .libsvm, .vw (all of them also with .gz or .zst), .parquet, .pq "
        "and .npz. --format says it for other names."
    )
