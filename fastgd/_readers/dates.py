"""Columns of dates: which they are, and the numbers and categories that are made of them."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MONTHS: Sequence[str] = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HOURS = tuple(f"{hour:02}" for hour in range(24))
DATE_ONLY, WITH_TIME, WITH_ZONE = "date", "timestamp", "timestamp, UTC"  # dtypes of text
_TIME = r"[ T]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?P<zone>Z|[+-]\d\d:?\d\d)?"
_DATE = re.compile(rf"\s*\d{{4}}-\d\d-\d\d(?P<time>{_TIME})?\s*", re.A)
_HOUR = 3_600_000_000  # microseconds
_DAY = 24 * _HOUR
_THURSDAY = 3  # 1970-01-01 was one, counted from Monday


def numbers_of(name: str) -> list[str]:
    """Return the names of the numbers that are made of a date: year, and days since 1970."""
    return [f"{name} (year)", f"{name} (days)"]


def categories_of(name: str, dtype: str) -> list[str]:
    """Return the names of the categories that are made of a date."""
    made = [f"{name} (month)", f"{name} (weekday)"]
    return made if dtype.startswith(DATE_ONLY) else [*made, f"{name} (hour)"]


def dtype_of(cells: Sequence[str]) -> str | None:
    """Return what cells of text are: dates as ISO 8601 writes them, or None."""
    found = [_DATE.fullmatch(cell) for cell in cells]
    if not cells or not all(found):
        return None
    zones = {match["zone"] is not None for match in found if match is not None}
    if len(zones) > 1:
        return None
    if True in zones:
        return WITH_ZONE
    return WITH_TIME if any(match is not None and match["time"] for match in found) else DATE_ONLY


def instants(values: Any, dtype: str, arrow: Any) -> NDArray[np.datetime64]:
    """Return an Arrow array of dates or of text as NumPy's, missing ones as NaT.

    Raises
    ------
    ArrowException
        If a cell is no date, or one before or after all that there are.
    """
    types = arrow.types
    if types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    is_text = types.is_string(values.type) or types.is_large_string(values.type)
    if is_text or types.is_string_view(values.type):
        values = arrow.compute.utf8_trim_whitespace(values.cast(arrow.string()))
        values = values.cast(arrow.timestamp("us", "UTC" if dtype == WITH_ZONE else None))
    elif not (types.is_timestamp(values.type) or types.is_date(values.type)):
        raise arrow.ArrowInvalid("no dates")
    elif types.is_date(values.type):
        values = values.cast(arrow.date32()).cast(arrow.timestamp("us"))
    else:
        values = values.cast(arrow.timestamp("us", values.type.tz))
    return np.asarray(values.to_numpy(), "M8[us]")


def parts_of_dates(
    name: str, dtype: str, dates: NDArray[np.datetime64], pandas: Any
) -> dict[str, Any]:
    """Return numbers and categories of dates, by the names of the columns."""
    is_missing = np.isnat(dates)
    known = np.where(is_missing, np.datetime64(0, "us"), dates)
    elapsed_us = known.astype(np.int64)
    days = elapsed_us // _DAY
    years, months = _years_and_months(days)
    elapsed = elapsed_us / _DAY
    numbers = {
        made: np.where(is_missing, np.nan, values)
        for made, values in zip(numbers_of(name), (years, elapsed), strict=True)
    }
    codes = (
        (months, MONTHS),
        ((days + _THURSDAY) % 7, WEEKDAYS),
        ((elapsed_us - days * _DAY) // _HOUR, HOURS),
    )
    categories = {
        made: pandas.Categorical.from_codes(
            np.where(is_missing, -1, values), pandas.Index(words, dtype=object)
        )
        for made, (values, words) in zip(categories_of(name, dtype), codes, strict=False)
    }
    return {**numbers, **categories}


def _years_and_months(days: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the year and the month, from 0, of days since 1970.

    NumPy takes long for a date, so each day of a calendar is looked at once, where that is shorter.
    """
    first = int(days.min(initial=0))
    n_days = int(days.max(initial=0)) - first + 1
    calendar, places = days, np.arange(len(days))
    if n_days <= len(days):
        calendar, places = np.arange(first, first + n_days), days - first
    months = calendar.astype("M8[D]").astype("M8[M]").astype(np.int64)
    return (months // 12 + 1970)[places], (months % 12)[places]
