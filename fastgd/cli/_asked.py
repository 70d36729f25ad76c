"""What options say of files, as the readers want it."""

import argparse

from fastgd._readers.limits import environment, limits_of
from fastgd._readers.numerals import character
from fastgd._readers.reader import Format

_TAB = "\\t"  # as it is often written


def format_of(args: argparse.Namespace) -> Format:
    """Return how files are to be read; options that a command has not are as usual.

    Raises
    ------
    Misuse
        If an environment variable is no size.
    """
    given = vars(args)
    separator = given.get("separator")
    return Format(
        separator="\t" if separator == _TAB else separator,
        decimal=given.get("decimal") or ".",
        thousands=character(given.get("thousands") or ""),
        kind=given.get("format"),
        bits=given.get("bits"),
        limits=limits_of(given.get("max_memory"), given.get("max_features"), environment()),
    )
