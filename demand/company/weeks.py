"""Tables with a column per week: which week each column stands for, and the same rows week by week."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from demand.company.cells import numbers
from demand.company.settings import CompanySettings
from demand.errors import SchemaError
from demand.layouts import Table, period_columns

# Table -> figure -> how the headers of its block begin ("" = they are the weeks alone).
BLOCKS: Mapping[str, Mapping[str, str]] = {
    "receipts": {"quantity_lb": ""},
    "yarn_needs": {"quantity_lb": ""},
    "yarn_weeks": {"demand_lb": "demand", "receipts_lb": "receipts", "balance_lb": "balance"},
}
_PAST_DUE, _LATER = re.compile(r"past[ _-]?due", re.I), re.compile(r"later", re.I)


class Week(NamedTuple):
    """One week: its first day (NaT = past due) and the header of each figure that has a column for it."""

    day: np.datetime64
    headers: dict[str, str]


def weeks_of(table: str, raw: Table, settings: CompanySettings, notes: list[str]) -> list[Week]:
    """The weeks of a table, in the order of their columns. "Past due" is NaT, "Later" the week after the last.

    Raises SchemaError when no column is a week, week numbers cannot be placed, or two columns stand for one week.
    """
    names = raw.columns.column_names
    headings: dict[str, dict[str, str]] = {}  # heading -> figure -> header
    for figure, prefix in BLOCKS[table].items():
        for name in names:
            if name.lower().startswith(prefix):
                headings.setdefault(name[len(prefix) :].strip(), {})[figure] = name
    told = list(headings)
    try:
        days, read_as = period_columns(told, settings.as_of, raw.titles, settings.date_format)
    except SchemaError as error:
        hint = error.hint.replace("source.as_of", "company.as_of").replace("columns.", "company.")
        raise SchemaError(error.message, file=raw.name, hint=hint, **error.facts) from None
    known = days[~np.isnat(days)]
    if not len(known):
        raise SchemaError(
            "no column of this table is a week", file=raw.name, columns=names,
            hint="Weeks are headings such as 2025-09-01, 9/1/2025 or Week 37",
        )  # fmt: skip
    if len(np.unique(known)) < len(known):
        raise SchemaError("two columns stand for the same week", file=raw.name, headings=told, read_as=read_as)
    found = []
    for heading, day in zip(told, days, strict=True):
        if _LATER.fullmatch(heading):
            day = known.max() + np.timedelta64(7, "D")
            notes.append(f"{heading} is read as the week from {day} on")
        elif _PAST_DUE.fullmatch(heading):
            notes.append(f"{heading} has no week")
        elif np.isnat(day):
            continue
        found.append(Week(day, headings[heading]))
    notes.append(f"{raw.n_rows} rows x {len(found)} weeks from {known.min()} to {known.max()} ({read_as})")
    return found


def by_week(
    table: str, frame: pd.DataFrame, raw: Table, weeks: list[Week], settings: CompanySettings, facts: dict[str, Any]
) -> pd.DataFrame:
    """The rows of `frame` [n] once for each week, week by week [n * weeks], with the week and its figures."""
    n = len(frame)
    long = pd.concat([frame] * len(weeks), ignore_index=True)
    long["week"] = np.repeat(np.array([week.day for week in weeks], dtype="datetime64[ns]"), n)
    unknown = np.full(n, np.nan)
    for figure in BLOCKS[table]:
        cells = [
            numbers(raw.columns.column(week.headers[figure]), week.headers[figure], settings, facts)
            if figure in week.headers
            else unknown
            for week in weeks
        ]
        long[figure] = np.concatenate(cells)
    return long
