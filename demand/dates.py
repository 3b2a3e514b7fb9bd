"""Text cells to days: one format for a whole column, chosen by what it reads, never guessed between two that fit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from demand.calendar import Dates
from demand.errors import SHOWN, CalendarError, SettingsError
from demand.panel import Ints
from demand.parsing import NOTHING, Bools, distinct

FIRST_DAY, LAST_DAY = np.datetime64("1900-01-01"), np.datetime64("2099-12-31")

# One format for a whole column, tried in this order. Formats made of digits alone (20240105, Excel serials, seconds
# since 1970) are also valid numbers and ids: they are read only when `columns.date_format` names them.
DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%m-%d-%y",
    "%m/%d/%y",
    "%m-%d-%Y",
    "%m/%d/%Y",
    "%d-%m-%y",
    "%d/%m/%y",
    "%d-%m-%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%d.%m.%y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%d %b %Y",
    "%b %d, %Y",
    "%Y-%m",
    "%b %Y",
    "%b-%Y",
    "%G-W%V",
)
NUMERIC_FORMATS = {"excel": "5 digits", "epoch_s": "10 digits", "epoch_ms": "13 digits"}
_DIGIT_HINTS = ((r"^\d{8}$", "%Y%m%d"), (r"^\d{5}(\.\d+)?$", "excel"), (r"^\d{10}$", "epoch_s"))

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TOKENS = {
    "%Y": r"(?P<Y>\d{4})",
    "%G": r"(?P<Y>\d{4})",
    "%y": r"(?P<y>\d{2})",
    "%m": r"(?P<m>\d{1,2})",
    "%d": r"(?P<d>\d{1,2})",
    "%b": r"(?P<b>[A-Za-z]{3})[a-z]*\.?",
    "%B": r"(?P<b>[A-Za-z]{3})[a-z]*\.?",
    "%V": r"(?P<V>\d{1,2})",
    "%H": r"\d{1,2}",
    "%I": r"\d{1,2}",
    "%M": r"\d{2}",
    "%S": r"\d{2}",
    "%f": r"\d{1,9}",
    "%p": r"[AaPp][Mm]",
    "%z": r"(?:Z|[+-]\d{2}:?\d{2})",
}
_CLOCK = r"(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: ?[AaPp][Mm])?)?(?: ?(?:Z|[+-]\d{2}:?\d{2}))?"


@dataclass(frozen=True, eq=False)
class ParsedDates:
    """A parsed date column of n rows.

    days      [n]  datetime64[D], NaT where the cell is blank or not a date from 1900 to 2099
    blank     [n]  nothing in the cell
    words     [n]  letters only ("Never", "Yes", "today"): missing, never a date
    unread    [n]  anything else that is not a date
    format    how the column was read ("typed" for a column that held dates already)
    rate      share of the cells with something other than a word that were read
    """

    days: Dates
    blank: Bools
    words: Bools
    unread: Bools
    format: str
    rate: float


def parse_dates(
    column: pa.ChunkedArray, name: str, date_format: str | None, preferred: str | None = None
) -> ParsedDates:
    """The days of a column, all by one format; a time of day is cut off, the day is the one written in the cell.

    Without `date_format` the format is the one that reads at least 99 % of what any known format reads; when two such
    formats disagree, `preferred` decides if it is one of them. Raises CalendarError: mixed formats, two formats that
    both fit and differ, or fewer than half of the filled cells readable.
    """
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return _typed_dates(column)
    codes, texts = distinct(column)
    counts = np.bincount(codes, minlength=len(texts)).astype(np.int64)
    _refuse_mixed_zones(texts, name)
    blank = pc.match_substring_regex(texts, NOTHING).to_numpy(zero_copy_only=False)
    formats = (date_format,) if date_format else DATE_FORMATS
    read = {}
    for pattern in formats:
        days = read_dates(texts, pattern)
        if not np.isnat(days[counts > 0]).all():
            read[pattern] = days
    readable = np.zeros(len(texts), dtype=bool)
    for days in read.values():
        readable |= ~np.isnat(days)
    words = ~blank & ~readable & pc.match_substring_regex(texts, r"^[A-Za-z][A-Za-z ]*$").to_numpy(zero_copy_only=False)
    filled = int(counts[~blank].sum())
    if 2 * int(counts[readable].sum()) < filled or not read:
        refused = ~blank & ~readable & (counts > 0)
        raise CalendarError(
            "the date column cannot be read",
            column=name,
            read=int(counts[readable].sum()),
            filled=filled,
            first=_first(texts, refused),
            tried=date_format or len(DATE_FORMATS),
            hint=_format_hint(texts, refused),
        )
    chosen = _one_format(read, readable, counts, texts, name, preferred)
    days = read[chosen]
    unread = ~blank & ~words & np.isnat(days)
    tried = int(counts[~blank & ~words].sum())
    rate = float(counts[~np.isnat(days)].sum() / tried) if tried else 0.0
    return ParsedDates(days[codes], blank[codes], words[codes], unread[codes], chosen, rate)


def _one_format(
    read: dict[str, Dates], readable: Bools, counts: Ints, texts: pa.Array, name: str, preferred: str | None
) -> str:
    total = counts[readable].sum()
    fitting = [pattern for pattern, days in read.items() if counts[~np.isnat(days)].sum() >= 0.99 * total]
    if not fitting:
        best = max(read, key=lambda pattern: int(counts[~np.isnat(read[pattern])].sum()))
        other = readable & np.isnat(read[best]) & (counts > 0)
        raise CalendarError(
            "the date column mixes formats",
            column=name,
            best=best,
            read=int(counts[~np.isnat(read[best])].sum()),
            other_cells=int(counts[other].sum()),
            first=_first(texts, other),
            hint="Write all dates in one format, or name the one to read with columns.date_format",
        )
    if preferred in fitting:
        return str(preferred)
    for pattern in fitting[1:]:
        both = ~np.isnat(read[pattern]) & ~np.isnat(read[fitting[0]]) & (counts > 0)
        differ = both & (read[pattern] != read[fitting[0]])
        if differ.any():
            raise CalendarError(
                "two date formats fit the column and give different days",
                column=name,
                formats=[fitting[0], pattern],
                cells=int(counts[differ].sum()),
                first=_first(texts, differ),
                hint=f"Say which one with columns.date_format='{fitting[0]}' or columns.date_format='{pattern}'",
            )
    return fitting[0]


def _refuse_mixed_zones(texts: pa.Array, name: str) -> None:
    timed = pc.match_substring_regex(texts, r"\d[T ]\d{1,2}:\d{2}").to_numpy(zero_copy_only=False)
    zoned = timed & pc.match_substring_regex(texts, r"(?:Z|[+-]\d{2}:?\d{2})$").to_numpy(zero_copy_only=False)
    if zoned.any() and (timed & ~zoned).any():
        raise CalendarError(
            "the date column mixes times with and without a time zone",
            column=name,
            with_zone=_first(texts, zoned)[0],
            without=_first(texts, timed & ~zoned)[0],
            hint="Write all times in one way, or dates only",
        )


def read_dates(texts: pa.Array, date_format: str) -> Dates:
    """The day in each trimmed text [n] by one format, NaT when it is not one from 1900 to 2099."""
    if date_format in NUMERIC_FORMATS:
        return _numeric_dates(texts, date_format)
    pattern = format_pattern(date_format)
    parts = pc.extract_regex(texts, pattern)
    if parts.null_count == len(texts):  # most formats read nothing of a column
        return np.full(len(texts), np.datetime64("NaT"), dtype="datetime64[D]")
    names = {field.name for field in parts.type}

    def number(field: str) -> Ints:
        cells = pc.fill_null(pc.struct_field(parts, field), "0").cast(pa.int64())
        return np.asarray(cells.to_numpy(zero_copy_only=False))

    year = number("Y") if "Y" in names else number("y")
    if "Y" not in names:
        year = np.where(year < 69, 2000 + year, 1900 + year)  # the POSIX rule for two digits
    matched = pc.is_valid(parts).to_numpy(zero_copy_only=False)
    sane = matched & (year >= 1900) & (year < 2100)
    january = (np.where(sane, year, 1970) - 1970).astype("datetime64[Y]")
    if "V" in names:
        week = number("V")
        # ISO 8601: week 1 holds 4 January, weeks start on Monday
        fourth = january.astype("datetime64[D]") + np.timedelta64(3, "D")
        monday = fourth - ((fourth.astype(np.int64) + 3) % 7).astype("timedelta64[D]")
        days = monday + (7 * (week - 1)).astype("timedelta64[D]")
        next_year = (january + np.timedelta64(1, "Y")).astype("datetime64[D]") + np.timedelta64(3, "D")
        valid = (
            sane & (week >= 1) & (days < next_year - ((next_year.astype(np.int64) + 3) % 7).astype("timedelta64[D]"))
        )
    else:
        month = number("m") if "m" in names else _month_numbers(pc.struct_field(parts, "b"))
        day = number("d") if "d" in names else np.ones(len(texts), dtype=np.int64)
        first = january.astype("datetime64[M]") + (np.clip(month, 1, 12) - 1).astype("timedelta64[M]")
        days = first.astype("datetime64[D]") + (day - 1).astype("timedelta64[D]")
        valid = sane & (month >= 1) & (month <= 12) & (day >= 1) & (days.astype("datetime64[M]") == first)
    return np.where(valid, days, np.datetime64("NaT"))


def format_pattern(date_format: str) -> str:
    """The regular expression of a strftime format. Raises SettingsError for one without a year and a month or week."""
    pattern, at = "", 0
    found = set()
    while at < len(date_format):
        token = date_format[at : at + 2]
        if token in _TOKENS:
            if token in found:
                raise SettingsError("the date format names a part twice", key="columns.date_format", found=date_format)
            found.add(token)
            pattern, at = pattern + _TOKENS[token], at + 2
        elif token.startswith("%"):
            known = [*_TOKENS, *NUMERIC_FORMATS]
            raise SettingsError("unknown part of a date format", key="columns.date_format", found=token, known=known)
        else:
            pattern, at = pattern + re.escape(date_format[at]), at + 1
    has_year, has_month = len(found & {"%Y", "%y", "%G"}) == 1, len(found & {"%m", "%b", "%B", "%V"}) == 1
    if not has_year or not has_month or (("%V" in found) != ("%G" in found)):
        raise SettingsError(
            "the date format needs one year and one month (or %G with %V)", key="columns.date_format", found=date_format
        )
    clock = _CLOCK if "%d" in found and not found & {"%H", "%I"} else ""
    return f"^{pattern}{clock}$"


def _month_numbers(names: pa.Array) -> Ints:
    index = pc.index_in(pc.utf8_lower(names), pa.array(_MONTHS))
    return np.asarray(pc.fill_null(pc.add(index, 1), 0).to_numpy(zero_copy_only=False), dtype=np.int64)


def _numeric_dates(texts: pa.Array, date_format: str) -> Dates:
    matched = pc.match_substring_regex(texts, r"^\d{1,13}(\.\d+)?$").to_numpy(zero_copy_only=False)
    numbers = pc.if_else(pa.array(matched), texts, "0").cast(pa.float64()).to_numpy(zero_copy_only=False)
    if date_format == "excel":
        days = np.floor(numbers) - 25569  # 1970-01-01 in the 1900 date system
    else:
        days = np.floor(numbers / (86400 if date_format == "epoch_s" else 86_400_000))
    first, last = FIRST_DAY.astype(np.int64), LAST_DAY.astype(np.int64)
    valid = matched & (days >= first) & (days <= last)
    return np.where(valid, np.where(valid, days, 0).astype("datetime64[D]"), np.datetime64("NaT"))


def _typed_dates(column: pa.ChunkedArray) -> ParsedDates:
    if pa.types.is_timestamp(column.type) and column.type.tz:
        column = pc.local_timestamp(column)  # the business day is the one on the local clock
    days = column.to_numpy().astype("datetime64[D]")
    blank = np.isnat(days)
    outside = ~blank & ((days < FIRST_DAY) | (days > LAST_DAY))
    filled = int((~blank).sum())
    rate = float(1 - outside.sum() / filled) if filled else 0.0
    if not filled or rate < 0.5:
        raise CalendarError("the date column has no dates from 1900 to 2099", filled=filled, outside=int(outside.sum()))
    nothing = np.zeros(len(days), dtype=bool)
    return ParsedDates(np.where(outside, np.datetime64("NaT"), days), blank, nothing, outside, "typed", rate)


def _first(texts: pa.Array, chosen: Bools) -> list[str]:
    return [texts[int(at)].as_py() for at in np.flatnonzero(chosen)[:SHOWN]]


def _format_hint(texts: pa.Array, refused: Bools) -> str:
    shown: Iterable[Any] = _first(texts, refused)
    for pattern, name in _DIGIT_HINTS:
        if any(re.match(pattern, text) for text in shown):
            return f"If these are dates, say so with columns.date_format={name!r}"
    return "Name the format with columns.date_format, such as '%d.%m.%Y'"
