"""Rows of svmlight's text, ``target index:value index:value # comment``, from bytes to CSR.

Numbers are written as their bits, see ``numerals``.
"""

from typing import Any, NamedTuple

import numpy as np

from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.numerals import byte, is_blank, number, whole

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
    is_begun, previous = False, -1
    stored.indptr[0] = 0
    while at < span.last:
        at = _next_word(text, at)
        c = byte(text, at)
        if c in (COMMENT, NEWLINE):
            at = _end_of_line(text, at) + 1
            if is_begun:
                n_rows = _closed(stored, n_rows, n_stored)
            is_begun, previous = False, -1
            continue
        if not is_begun:
            stored.targets[np.uint64(n_rows)], at, is_left = number(text, at, COMMENT, powers)
            is_begun, n_left = True, n_left + is_left
            second = _next_word(text, at)
            if _is_query(text, second):
                at = _end_of_word(text, second)
            continue
        start = at
        index, at = whole(text, at, span.highest)
        if at > start and (index < span.lowest or index > span.highest):
            return OUTSIDE, start, _closed(stored, n_rows, n_stored), n_left
        if at == start or byte(text, at) != COLON or _ends_word(text, at + 1):
            return NO_PAIR, start, _closed(stored, n_rows, n_stored), n_left
        if index <= previous:
            return NOT_RISING, start, _closed(stored, n_rows, n_stored), n_left
        previous = index
        o = np.uint64(n_stored)
        stored.indices[o] = index - span.lowest
        stored.values[o], at, is_left = number(text, at + 1, COMMENT, powers)
        n_stored += 1
        n_left += is_left
    return FINE, at, n_rows, n_left


@helper()
def _next_word(text, at):
    """Return where the next word begins; the end of the line is one."""
    while is_blank(byte(text, at)) and byte(text, at) != NEWLINE:
        at += 1
    return at


@helper()
def _closed(stored, n_rows, n_stored):
    """End a row; return the number of rows."""
    stored.indptr[n_rows + 1] = n_stored
    return n_rows + 1


@helper()
def _is_query(text, at):
    """Tell whether "qid:" is there; the end of a line ends the comparison."""
    is_qi = byte(text, at) == 113 and byte(text, at + 1) == 105
    return is_qi and byte(text, at + 2) == 100 and byte(text, at + 3) == COLON


@helper()
def _ends_word(text, at):
    """Tell whether no word goes on there."""
    return is_blank(byte(text, at)) or byte(text, at) == COMMENT


@helper()
def _end_of_word(text, at):
    while not _ends_word(text, at):
        at += 1
    return at


@helper()
def _end_of_line(text, at):
    while byte(text, at) != NEWLINE:
        at += 1
    return at
