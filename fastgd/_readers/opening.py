"""Which file is read by what."""

from pathlib import Path

from fastgd._readers.errors import BadData, Misuse
from fastgd._readers.matrices import NPZ
from fastgd._readers.reader import Format, Reader
from fastgd._readers.streams import bare_name, refuse_unreadable
from fastgd._readers.svmlight import SvmLight
from fastgd._readers.tables import CSV, Parquet


def open_reader(path: Path, how: Format = Format()) -> Reader:  # noqa: B008
    """Return what reads a file, by the end of its name.

    Raises
    ------
    BadData
        If there is no such file, or its name ends in nothing known.
    """
    refuse_unreadable(path)
    name = path.name.lower()
    plain = bare_name(path)
    if plain.endswith((".csv", ".tsv", ".txt")):
        return CSV(path, how)
    for option in ("separator", "decimal", "thousands"):
        if getattr(how, option) != getattr(Format(), option):
            raise Misuse(f"--{option} is for CSV files.")
    if plain.endswith((".svm", ".svmlight", ".libsvm")):
        return SvmLight(path, how)
    if name.endswith((".parquet", ".pq")):
        return Parquet(path, how)
    if name.endswith(".npz"):
        return NPZ(path, how)
    raise BadData(
        f"{path}: what this file holds cannot be told from its name. Known are .csv, .tsv, .txt "
        "(CSV), .svm, .svmlight, .libsvm (all of them also with .gz or .zst), .parquet, .pq and "
        ".npz."
    )
