"""Columns of text cells to columns of a frame, and what was found in them: nothing becomes missing uncounted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from demand.calendar import Dates
from demand.company.settings import CompanySettings
from demand.dates import parse_dates
from demand.errors import SHOWN, CalendarError, SchemaError
from demand.headers import shown_cell
from demand.panel import Floats
from demand.parsing import NOTHING, Bools, as_text, distinct, is_text, parse_numbers, without_html

_WORDS = r"^[A-Za-z][A-Za-z /]*$"
_ABOUT_ONE = 2.0  # percentages up to here could be meant either way
Facts = dict[str, Any]


def texts(column: pa.ChunkedArray, *, is_id: bool = False) -> pd.Series:
    """Trimmed texts without markup [n]; "" where there is none. An id such as `45301.0` becomes `45301`.

    Raises SchemaError for control characters in an id.
    """
    codes, found = distinct(column)
    clean = [" ".join(text.split()) for text in without_html(found).to_pylist()]
    if is_id:
        clean = [re.sub(r"^(\d+)\.0+$", r"\1", text) for text in clean]
        odd = [text for text in clean if re.search(r"[\x00-\x1f\x7f]", text)]
        if odd:
            raise SchemaError("ids hold control characters", count=len(odd), first=odd[:SHOWN])
    return pd.Series(np.array([*clean, ""], dtype=object)[codes])


def switched_on(column: pa.ChunkedArray) -> Bools:
    """Where a cell says yes: a switch or check box that is on, or a word for it [n]."""
    codes, found = distinct(column)
    on = pc.match_substring_regex(without_html(found), r"(?i)^(1|y|yes|true|on|x)$")
    return np.asarray(on.to_numpy(zero_copy_only=False).astype(bool)[codes])


def numbers(column: pa.ChunkedArray, header: str, settings: CompanySettings, facts: Facts) -> Floats:
    """The numbers of a column [n], NaN where there is none; words in it are counted.

    Raises SchemaError when most filled cells are no numbers.
    """
    parsed = parse_numbers(column, settings.decimal)
    filled, wrong = int((~parsed.blank).sum()), int(parsed.unreadable.sum())
    if 2 * wrong > filled:
        raise SchemaError(
            "most cells of a column are not numbers", column=header, unreadable=wrong, filled=filled,
            first=[shown_cell(word) for word in list(parsed.words)[:SHOWN]],
            hint="The decimal sign is set with company.decimal",
        )  # fmt: skip
    if wrong:
        words = {shown_cell(word): count for word, count in list(parsed.words.items())[:SHOWN]}
        facts.setdefault("words_in_numbers", {})[header] = words
    return parsed.values


def costs(column: pa.ChunkedArray, header: str, settings: CompanySettings, facts: Facts) -> Floats:
    """Like `numbers`, but NaN where the number is not above 0: a cost of 0 means that it is not known."""
    values = numbers(column, header, settings, facts)
    unknown = values <= 0
    if unknown.any():
        facts.setdefault("not_above_zero", {})[header] = int(unknown.sum())
    return np.where(unknown, np.nan, values)


def shares(column: pa.ChunkedArray, header: str, settings: CompanySettings, facts: Facts) -> Floats:
    """Percentages as fractions [n]: one column is 0..1, another 0..100, told apart by its largest and middle values.

    A percent sign says it as well. Raises SchemaError naming the key where the column leaves it open.
    """
    signed: Any = False
    if is_text(column):
        codes, found = distinct(column)
        signs = pc.match_substring_regex(found, r"%\s*$").to_numpy(zero_copy_only=False).astype(bool)[codes]
        filled = ~pc.match_substring_regex(found, NOTHING).to_numpy(zero_copy_only=False).astype(bool)[codes]
        signed = bool(signs.any()) and ("mixed" if (filled & ~signs).any() else True)
        column = pc.replace_substring_regex(as_text(column).cast(pa.string()), r"\s*%\s*$", "")
    values = numbers(column, header, settings, facts)
    known = values[np.isfinite(values) & (values > 0)]
    largest, middle = (float(known.max()), float(np.median(known))) if len(known) else (1.0, 1.0)
    meant: str = settings.shares
    if meant == "auto":
        unclear = 1 + 1e-9 < largest <= _ABOUT_ONE or (largest > _ABOUT_ONE and middle <= 1)
        if signed == "mixed" or (unclear and not signed):
            raise SchemaError(
                "a column of percentages can be read as 0 to 1 and as 0 to 100", column=header, largest=largest,
                middle=middle, hint="Say which with company.shares=fraction or company.shares=percent",
            )  # fmt: skip
        meant = "percent" if signed or largest > 1 + 1e-9 else "fraction"
    facts["shares_written_as"] = meant
    return values / 100 if meant == "percent" else values


def days(
    columns: Mapping[str, pa.ChunkedArray], settings: CompanySettings, facts: Facts
) -> dict[str, np.ndarray[Any, Any]]:
    """Header -> days [n] as datetime64[ns], NaT where there is none; words (`Never`) and unread cells are counted.

    One format a column. Where two fit, `company.date_format` decides, else another column of the same file that can be
    read in one way only. Raises CalendarError when neither does, or when a column is no dates at all.
    """
    read: dict[str, Dates] = {}
    left = dict(columns)
    known = settings.date_format
    for last in (False, True):
        for header, column in list(left.items()):
            try:
                read[header], found = _days(column, header, known, facts)
            except CalendarError as error:
                if last or "formats" not in error.facts:
                    hint = error.hint.replace("columns.date_format", "company.date_format")
                    raise CalendarError(error.message, hint=hint, **error.facts) from None
                continue
            del left[header]
            known = known or (found if found.startswith("%") else None)
    return {header: read[header].astype("datetime64[ns]") for header in columns}


def _alike(formats: list[str], known: str | None) -> str | None:
    """The one of two formats that has its day and month in the same order as a known one."""
    if known is None:
        return None
    first = known.find("%m") < known.find("%d")
    return next((one for one in formats if (one.find("%m") < one.find("%d")) == first), None)


def _days(column: pa.ChunkedArray, header: str, known: str | None, facts: Facts) -> tuple[Dates, str]:
    unknown = np.full(len(column), np.datetime64("NaT"), dtype="datetime64[D]")
    if is_text(column):
        codes, found = distinct(column)
        nothing = pc.match_substring_regex(found, NOTHING)
        word = pc.and_not(pc.match_substring_regex(found, _WORDS), nothing)
        counts = np.bincount(codes, minlength=len(found))
        said = np.flatnonzero(word.to_numpy(zero_copy_only=False) & (counts > 0))
        if len(said):
            words = {shown_cell(found[int(at)].as_py()): int(counts[at]) for at in said[:SHOWN]}
            facts.setdefault("words_in_dates", {})[header] = words
        kept = pc.if_else(pc.or_(word, nothing), "", found)
        if pc.all(pc.equal(kept, "")).as_py():
            return unknown, "blank"
        column = pa.chunked_array([kept.take(pa.array(codes))])
    elif column.null_count == len(column):
        return unknown, "blank"
    try:
        parsed = parse_dates(column, header, None, known)
    except CalendarError as error:
        alike = _alike(error.facts.get("formats", []), known)
        if alike is None:
            raise
        parsed = parse_dates(column, header, None, alike)
    if parsed.unread.any():
        facts.setdefault("unread_dates", {})[header] = int(parsed.unread.sum())
    return parsed.days, parsed.format
