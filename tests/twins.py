"""Slow, obvious twins in pandas of what the panel does in arrays: they loop over series and dates, one at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from demand.panel import ID, TARGET, TIME, Floats, Panel


def long_frame(panel: Panel) -> pd.DataFrame:
    """unique_id, ds, y, then past columns, read off the panel series by series."""
    parts = []
    for i, name in enumerate(panel.ids):
        here = slice(panel.indptr[i], panel.indptr[i + 1])
        y = panel.y[here]
        dates = panel.calendar.dates(np.arange(panel.end - len(y) + 1, panel.end + 1))
        past = {column: values[here] for column, values in panel.past.items()}
        parts.append(pd.DataFrame({ID: str(name), TIME: dates, TARGET: y, **past}))
    return pd.concat(parts, ignore_index=True)


def future_values(panel: Panel, name: str) -> dict[str, pd.Series]:
    """A future column by series, indexed by date, the planned periods too."""
    found, position = {}, 0
    for i, unique_id in enumerate(panel.ids):
        n = int(panel.indptr[i + 1] - panel.indptr[i]) + panel.ahead
        dates = panel.calendar.dates(np.arange(panel.end + panel.ahead - n + 1, panel.end + panel.ahead + 1))
        found[str(unique_id)] = pd.Series(panel.future[name][position : position + n], index=dates)
        position += n
    return found


def until_twin(frame: pd.DataFrame, cutoff: np.datetime64) -> pd.DataFrame:
    """The rows up to and with the cutoff."""
    return frame[frame[TIME] <= cutoff].reset_index(drop=True)


def take_twin(frame: pd.DataFrame, ids: Sequence[str]) -> pd.DataFrame:
    """The rows of these series."""
    return pd.concat([frame[frame[ID] == name] for name in ids], ignore_index=True)


def window_twin(values: dict[str, pd.Series], dates: Sequence[np.datetime64]) -> Floats:
    """[N, n], a cell at a time; NaN where the series has no such date."""
    rows = []
    for series in values.values():
        rows.append([series.loc[date] if date in series.index else np.nan for date in dates])
    return np.array(rows, dtype=np.float64).reshape(len(values), len(dates))


def by_series(frame: pd.DataFrame, name: str = TARGET) -> dict[str, pd.Series]:
    """A column by series, indexed by date."""
    return {str(key): group.set_index(TIME)[name] for key, group in frame.groupby(ID, sort=True)}


def filled_twin(frame: pd.DataFrame, method: str) -> Floats:
    """y without blanks, series by series."""

    def fill(y: pd.Series) -> pd.Series:
        filled = y.interpolate(limit_direction="both") if method == "interpolate" else y.ffill().bfill()
        return filled.fillna(0.0)

    return np.concatenate([fill(group[TARGET]).to_numpy() for _, group in frame.groupby(ID, sort=True)])


def from_frame_twin(rows: pd.DataFrame, freq: str, gaps: str) -> pd.DataFrame:
    """The regular table that rows in any order stand for: unique_id, ds, y."""
    end = rows.loc[rows[TARGET].notna(), TIME].max()
    parts = []
    for name in sorted(rows[ID].unique()):
        own = rows[(rows[ID] == name) & (rows[TIME] <= end)]
        if len(own):
            dates = pd.date_range(own[TIME].min(), end, freq=freq)
            told = own.set_index(TIME)[TARGET]
            y = [told.loc[d] if d in told.index else (0.0 if gaps == "zero" else np.nan) for d in dates]
            parts.append(pd.DataFrame({ID: name, TIME: dates, TARGET: y}))
    return pd.concat(parts, ignore_index=True)


def period_label_twin(day: pd.Timestamp, freq: str) -> pd.Timestamp:
    """The label of the period that holds `day`, by stepping from day to day."""
    one = pd.Timedelta(days=1)
    if freq == "D":
        return day
    if freq == "B":
        while day.dayofweek >= 5:
            day += one
        return day
    if freq.startswith("W-"):
        while day.strftime("%a").upper() != freq[2:]:
            day += one
        return day
    if freq == "MS":
        return day.replace(day=1)
    while (day + one).day != 1:
        day += one
    return day
