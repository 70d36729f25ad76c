"""How numbers are written as text: with decimal points or commas, in groups of thousands or not."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fastgd._readers.errors import Misuse, quoted

DECIMALS = (".", ",")
# characters that group digits, by the one that names them: there are three kinds of space
THOUSANDS = {
    ",": ",",
    ".": ".",
    " ": " \u00a0\u202f",
    "'": "'\u2019",
    "_": "_",
}
# Arabic's separators, and what else stands for a minus
_SIGNS = str.maketrans({"\u066b": ".", "\u066c": ",", "\u2212": "-", "\u2010": "-", "\u2013": "-"})
_WORDS = {"space": " "}
_UNIT = r"(?:[$€£¥%‰]|USD|EUR|GBP)"


class Notation(NamedTuple):
    """What stands before decimals, and between groups of digits ("" for nothing)."""

    decimal: str = "."
    thousands: str = ""

    @property
    def pattern(self) -> str:
        """A regular expression of whole cells, as RE2 and Python understand it."""
        point, group = re.escape(self.decimal), f"[{THOUSANDS.get(self.thousands, '')}]"
        # a group does not begin with 0: 0,123 has a decimal comma
        of_three = rf"[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}})+"
        of_two = r"[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"  # India: 12,34,567
        grouped = f"{of_three}|{of_two}" if self.thousands == "," else of_three
        whole = f"(?:{grouped}|[0-9]+)" if self.thousands else "[0-9]+"
        number = rf"(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
        return rf"(?i)^[ \t]*[+-]?(?:{number}|inf(?:inity)?|nan)[ \t]*$"

    @property
    def options(self) -> str:
        """The options of the command line that ask for it."""
        return " ".join(
            f'--{name} "{value}"'
            for name, value, usual in (
                ("decimal", self.decimal, "."),
                ("thousands", self.thousands, ""),
            )
            if value != usual
        )

    def check(self) -> None:
        """Refuse what would leave open how a cell is read.

        Raises
        ------
        Misuse
        """
        if self.decimal not in DECIMALS:
            raise Misuse(f"--decimal must be . or , got {quoted(self.decimal)}.")
        if self.thousands and self.thousands not in THOUSANDS:
            raise Misuse(
                f"--thousands must be one of , . ' _ or a space, got {quoted(self.thousands)}."
            )
        if self.thousands == self.decimal:
            raise Misuse(f"--thousands and --decimal are both {quoted(self.decimal)}.")

    def matches(self, cells: Iterable[str]) -> Iterator[bool]:
        """Tell of each cell whether it is a number."""
        pattern = re.compile(self.pattern)
        return (pattern.match(cell) is not None for cell in cells)

    def count(self, cells: Mapping[str, int]) -> int:
        """Return how many cells are numbers, by how often each different one comes."""
        both = zip(cells.values(), self.matches(cells), strict=True)
        return sum(times for times, is_number in both if is_number)

    def is_number(self, cell: str) -> bool:
        """Tell whether a cell is a number."""
        return re.match(self.pattern, cell) is not None

    def values(self, cells: Any, arrow: Any) -> Any:
        """Return an Arrow array of text as numbers.

        Raises
        ------
        ArrowInvalid
            If a cell is none.
        """
        compute = arrow.compute
        are_numbers = compute.match_substring_regex(cells, self.pattern)
        if not compute.all(are_numbers, min_count=0).as_py():
            raise arrow.ArrowInvalid("a cell that is no number")
        text = compute.utf8_trim_whitespace(cells)
        for character in THOUSANDS.get(self.thousands, ""):
            text = compute.replace_substring(text, character, "")
        if self.decimal != ".":
            text = compute.replace_substring(text, self.decimal, ".")
        return text.cast(arrow.float64())


def others(known: Notation) -> Sequence[Notation]:
    """Return the notations that cells may be in, the likeliest first."""
    groups = [Notation(".", group) for group in THOUSANDS if group != "."]
    commas = [Notation(",", group) for group in ("", *THOUSANDS) if group != ","]
    return [notation for notation in (*groups, *commas, Notation()) if notation != known]


def advice_on(cells: Mapping[str, int], known: Notation) -> str:
    """Return the options by which most cells would be numbers; "" if there are none.

    Where each cell is one group of three digits after a comma, that may stand before decimals as
    well: both are named. ``cells`` says how often each different one comes.
    """
    best, most = None, sum(cells.values()) / 2
    for notation in others(known):
        n_numbers = notation.count(cells)
        if n_numbers > most:
            best, most = notation, n_numbers
    if best is None:
        return ""
    advice, point = best.options or "neither --decimal nor --thousands", Notation(",")
    if best.thousands == "," and point != known and point.count(cells) == most:
        advice += f", or {point.options}"
    return advice


def has_unit(cell: str) -> bool:
    """Tell whether a cell is a number with a percent sign or a currency."""
    bare = re.sub(rf"^\s*{_UNIT}\s*|\s*{_UNIT}\s*$", "", cell)
    return bare != cell and any(note.is_number(bare) for note in (Notation(), *others(Notation())))


def in_other_signs(cell: str) -> bool:
    """Tell whether a cell is a number in other signs than these: ASCII's digits, -, e."""
    plainly = _plainly(cell)
    return plainly != cell and any(
        note.is_number(plainly) for note in (Notation(), *others(Notation()))
    )


def _plainly(cell: str) -> str:
    """Return a number with ASCII's digits, a minus before it, and an exponent after e.

    Exponents, and digits in circles, count nothing; 2- and (2), of one digit, are marks and labels.
    """
    if any(unicodedata.category(sign) == "No" for sign in cell):
        return cell
    signs = unicodedata.normalize("NFKC", cell).translate(_SIGNS).strip()
    text = "".join(str(unicodedata.decimal(sign, sign)) for sign in signs)
    negative = re.fullmatch(r"\((..+)\)|([^+-]\S.*)-", text)  # as accountants write it
    if negative is not None:
        text = f"-{negative[1] or negative[2]}"
    return re.sub(r"^([+-]?[0-9]*[.,][0-9]*)[dD]([+-]?[0-9]+)$", r"\1e\2", text)  # Fortran's


def looks_like_a_date(cell: str) -> bool:
    """Tell whether a cell is a date, or a date with a time."""
    date = r"(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2\d{4})"
    return re.match(rf"^\s*{date}(?:[ T]\d{{1,2}}:\d\d.*)?\s*$", cell, re.A) is not None


def character(text: str) -> str:
    """Return the character that an option names: itself, or one that has a word."""
    same = (name for name, characters in THOUSANDS.items() if text and text in characters)
    return _WORDS.get(text, next(same, text))
