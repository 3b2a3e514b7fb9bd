"""The calendar of a date column: seven facts that the date alone decides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from demand.calendar import Dates
from demand.dates import parse_dates
from demand.errors import SchemaError
from demand.panel import Floats
from features.tabular.base import Family, require

NAMES = ("year", "month", "quarter", "day_of_week", "is_weekend", "day_of_month", "week_of_year")


class TemporalFeatures(Family):
    """year, month, quarter, day_of_week (0 = Monday), is_weekend, day_of_month, week_of_year (ISO 8601).

    date: the column; dates, or texts in one format for the whole column (`date_format`, None = as the rows of `fit`
    say; a time of day is cut off). A missing date gives nulls. Raises CalendarError for mixed or ambiguous formats.
    """

    family = "temporal"

    def __init__(self, date: str, date_format: str | None = None, passthrough: bool = False) -> None:
        self.date = date
        self.date_format = date_format
        self.passthrough = passthrough

    def _learn(self, frame: pd.DataFrame) -> Sequence[str]:
        require(frame, [self.date], "temporal features")
        _, self.format_ = days_of(frame[self.date], self.date, self.date_format)
        return NAMES

    def _make(self, frame: pd.DataFrame) -> Floats:
        require(frame, [self.date], "temporal features")
        days, _ = days_of(frame[self.date], self.date, self.format_)
        return calendar_facts(days)


def days_of(column: pd.Series, name: str, date_format: str | None) -> tuple[Dates, str | None]:
    """(days [n], NaT where there is none; the format they were read by, None for a column of dates).

    Raises CalendarError, and SchemaError for numbers without a `date_format`.
    """
    if column.dtype.kind == "M":
        values = column.dt.tz_localize(None) if getattr(column.dt, "tz", None) is not None else column
        return values.to_numpy().astype("datetime64[D]"), None
    if column.dtype.kind in "biufc" and date_format is None:
        raise SchemaError(
            "the column holds numbers, not dates", column=name, hint="Name another column, or its date_format"
        )
    texts = pa.chunked_array([pa.array(column.astype("string").str.strip(), pa.string(), from_pandas=True)])
    parsed = parse_dates(texts, name, date_format)
    return parsed.days, parsed.format


def calendar_facts(days: Dates) -> Floats:
    """[n, 7] in the order of NAMES; a NaT gives NaN."""
    known = ~np.isnat(days)
    index = pd.DatetimeIndex(np.where(known, days, np.datetime64("1970-01-01")).astype("datetime64[ns]"))
    facts = np.column_stack(
        [
            index.year, index.month, index.quarter, index.dayofweek, index.dayofweek >= 5, index.day,
            index.isocalendar().week.to_numpy(),
        ]
    ).astype(np.float64)  # fmt: skip
    facts[~known] = np.nan
    return facts
