"""Rolling means and deviations, running totals and changes over what was known before each row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from demand.errors import SettingsError
from demand.panel import Floats, Ints
from features.tabular.base import Family, headers, numbers, require
from features.tabular.past import Cells, CellValues, change, rolling, running_total
from features.tabular.temporal import days_of

KINDS = ("rolling_mean_{window}", "rolling_std_{window}", "cumsum", "pct_change")


class AggregationFeatures(Family):
    """{c}_rolling_mean_7, {c}_rolling_std_7, {c}_cumsum, {c}_pct_change of each column c; the current row is excluded.

    columns: None = all. group: a column whose values are separate histories (None = the table is one history).
    date: with it the window is the 7 calendar days before the row's date and rows of the same date are not past of each
    other; without it the window is the 7 rows before, in the table's order. Nulls at a history's start stay; unknown
    values are left out of windows and sums. A row without a date or group gets nulls and is nobody's past. Only rows
    of the frame given to `transform` are the past of its rows: nothing but the date's format is learned.
    """

    family = "aggregation"

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        group: str | None = None,
        date: str | None = None,
        window: int = 7,
        date_format: str | None = None,
        passthrough: bool = False,
    ) -> None:
        self.columns = columns
        self.group = group
        self.date = date
        self.window = window
        self.date_format = date_format
        self.passthrough = passthrough

    def _learn(self, frame: pd.DataFrame) -> Sequence[str]:
        if type(self.window) is not int or not 1 <= self.window <= 1000:
            raise SettingsError("the window is a whole number from 1 to 1000", key="window", found=self.window)
        apart = [name for name in (self.group, self.date) if name is not None]
        columns = [name for name in headers(frame) if name not in apart] if self.columns is None else list(self.columns)
        require(frame, [*columns, *apart], "aggregation features")
        self.columns_: list[str] = columns
        self.format_ = None
        if self.date is not None:
            _, self.format_ = days_of(frame[self.date], self.date, self.date_format)
        for name in columns:
            numbers(frame, name)
        return [f"{name}_{kind.format(window=self.window)}" for name in columns for kind in KINDS]

    def _make(self, frame: pd.DataFrame) -> Floats:
        require(frame, [name for name in (*self.columns_, self.group, self.date) if name], "aggregation features")
        days = None if self.date is None else days_of(frame[self.date], self.date, self.format_)[0]
        cells = Cells.of(groups_of(frame, self.group), days)
        out = np.empty((len(frame), len(KINDS) * len(self.columns_)))
        for place, name in enumerate(self.columns_):
            values = CellValues.of(cells, numbers(frame, name))
            made = (*rolling(cells, values, self.window), running_total(cells, values), change(cells, values))
            for kind, column in enumerate(made):
                out[:, len(KINDS) * place + kind] = cells.to_rows(column)
        return out


def groups_of(frame: pd.DataFrame, group: str | None) -> Ints:
    """A number for each row's group [n], -1 where the group is missing; all 0 without a group."""
    if group is None:
        return np.zeros(len(frame), dtype=np.int64)
    codes, _ = pd.factorize(frame[group], use_na_sentinel=True)
    return codes.astype(np.int64)
