"""Rows of svmlight's text, ``target index:value index:value # comment``, from bytes to CSR.

All is arithmetic of whole numbers: numbers are written as their bits, see ``numerals``.
"""

from typing import Any, NamedTuple

from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.numerals import is_blank, number, whole

FINE, NO_PAIR, NOT_RISING, OUTSIDE = 0, 1, 2, 3
COMMENT, COLON, NEWLINE = 35, 58, 10


class Span(NamedTuple):
    """A part of a text, whose last character ends a line, and the indices that may be in it."""

    first: int
    last: int
    lowest: int
    highest: int


class Stored(NamedTuple):
    """Room for rows.

    Attributes
    ----------
    targets : (n_lines,), uint64
        Bits of doubles.
    indptr : (n_lines + 1,), int64
    indices : (n_stored,), int32
        Counted from the lowest.
    values : (n_stored,), uint64
        Bits of doubles. A pair takes 4 bytes of text or more.
    """

    targets: Any
    indptr: Any
    indices: Any
    values: Any


@kernel()
def parse(text, span, powers, stored):
    """Read rows up to the first fault.

    Parameters
    ----------
    text : (n_bytes,), uint8
    span : Span
    powers : (n, 2), uint64, of ``numerals.powers_of_five``
    stored : Stored

    Returns
    -------
    fault : int
        FINE, or what is wrong.
    at : int
        Where the word begins that is wrong.
    n_rows : int
        With the row of the fault, as far as it was read.
    n_left : int
        Numbers that are left to Python.
    """
    at, n_rows, n_stored, n_left = span.first, 0, 0, 0
    n_words, previous = 0, -1
    stored.indptr[0] = 0
    while at < span.last:
        c = text[at]
        if c in (COMMENT, NEWLINE):
            at = _end_of_line(text, at) + 1
            if n_words > 0:
                n_rows = _closed(stored, n_rows, n_stored)
            n_words, previous = 0, -1
            continue
        if is_blank(c):
            at += 1
            continue
        n_words += 1
        if n_words == 1:  # the target
            stored.targets[n_rows], at, is_left = number(text, at, COMMENT, powers)
            n_left += is_left
            continue
        if n_words == 2 and _is_query(text, at):
            at = _end_of_word(text, at)
            continue
        start = at
        index, at = whole(text, at, span.highest)
        if at > start and (index < span.lowest or index > span.highest):
            return OUTSIDE, start, _closed(stored, n_rows, n_stored), n_left
        if at == start or text[at] != COLON or is_blank(text[at + 1]) or text[at + 1] == COMMENT:
            return NO_PAIR, start, _closed(stored, n_rows, n_stored), n_left
        if index <= previous:
            return NOT_RISING, start, _closed(stored, n_rows, n_stored), n_left
        previous = index
        stored.indices[n_stored] = index - span.lowest
        stored.values[n_stored], at, is_left = number(text, at + 1, COMMENT, powers)
        n_stored += 1
        n_left += is_left
    return FINE, at, n_rows, n_left


@helper()
def _closed(stored, n_rows, n_stored):
    """End a row; return the number of rows."""
    stored.indptr[n_rows + 1] = n_stored
    return n_rows + 1


@helper()
def _is_query(text, at):
    """Tell whether "qid:" is there; the end of a line ends the comparison."""
    return text[at] == 113 and text[at + 1] == 105 and text[at + 2] == 100 and text[at + 3] == COLON


@helper()
def _end_of_word(text, at):
    while not (is_blank(text[at]) or text[at] == COMMENT):
        at += 1
    return at


@helper()
def _end_of_line(text, at):
    while text[at] != NEWLINE:
        at += 1
    return at
