"""Rows to periods: which calendar they lie on, what they sum to, and the panel they make."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from demand.calendar import Calendar, Dates, calendar_of
from demand.cleaning import CleaningSettings, CleanRows
from demand.errors import SHOWN, CalendarError, SchemaError
from demand.panel import ID, TARGET, TIME, Floats, Ints, Panel, Strings
from demand.parsing import Bools
from demand.units import UNIT_REASON

AUTO = "auto"


@dataclass(frozen=True, eq=False)
class Periods:
    """The panel, and how the open rows went into it.

    used      (series, period) pairs that rows gave; merged: further open rows that were added to one of them
    gaps      [N]  periods of each series, from its first row to the panel's end, without any row
    longest   [N]  the longest such stretch
    lines     [N]  open rows of each series with a known quantity
    """

    panel: Panel
    used: int
    merged: int
    gaps: Ints
    longest: Ints
    lines: Ints
    facts: dict[str, Any]


def choose_frequency(days: Dates, freq: str, regular: bool) -> str:
    """The panel's frequency: the one asked for, or for "auto" the calendar of the dates, else days.

    A table that is a series already (`regular`) is only ever summed into longer periods. Raises CalendarError when it
    lies on a longer calendar, or on another weekday, than the one asked for.
    """
    own = calendar_of(days)
    if freq == AUTO:
        return own or "D"
    asked = Calendar(freq).freq
    if not regular or own is None or own == asked:
        return asked
    months, own_months = asked.startswith("M"), own.startswith("M")
    if (own_months and not months) or (not own_months and not months):
        raise CalendarError(
            "the dates lie on another calendar than the one asked for",
            freq=asked,
            found=own,
            hint=f"Set freq={own}, or freq=auto",
        )
    return asked


def to_panel(rows: CleanRows, settings: CleaningSettings, freq: str, *, regular: bool, wide: bool) -> Periods:
    """The panel of the open rows; closes rows of styles without any known quantity, and blanks nobody needs.

    Rows of one style and period are summed (net of returns); a period whose rows are all blank, or all left out for
    their unit, is unknown. Past and future columns take the mean of the rows. The result does not depend on the order
    of the rows. Raises CalendarError (see `choose_frequency`; doubled periods when same_period is "raise"; gaps when
    gaps is "raise") and SchemaError when no style has a known quantity.
    """
    ledger, facts = rows.ledger, {}
    freq = choose_frequency(rows.days[ledger.open], freq, regular)
    calendar = Calendar(freq)
    period = np.zeros(len(rows.style), dtype=np.int64)
    opened = ledger.open
    period[opened] = calendar.containing(rows.days[opened])
    known = opened & ~np.isnan(rows.y)
    if not known.any():
        raise SchemaError("no row has a date, a style and a quantity", left_out=ledger.described())
    facts["incomplete_last_period"] = _incomplete_last(rows, known, calendar)
    if settings.last_period == "drop" and facts["incomplete_last_period"]:
        ledger.leave_out(opened & (period == period[known].max()), "incomplete last period")
        known &= ledger.open
    _close_unknown_styles(rows, known)
    if not known.any():
        raise SchemaError("only an incomplete period was left", hint="Set cleaning.last_period=keep")
    if wide:
        first = np.full(len(rows.ids), np.iinfo(np.int64).max)
        np.minimum.at(first, rows.style[known], period[known])
        ledger.leave_out(ledger.open & (period < first[rows.style]), "blank cell before the first value")
    end = int(period[known].max())
    if not rows.future:
        ledger.leave_out(ledger.open & (period > end), "blank after the last known date")
    return _without_lost_units(_built(rows, settings, calendar, period, facts), rows, calendar)


def _without_lost_units(made: Periods, rows: CleanRows, calendar: Calendar) -> Periods:
    """The same with periods unknown whose only rows were left out for their unit: something sold, so 0 is untrue."""
    panel, ledger = made.panel, rows.ledger
    reasons = [at for at, reason in enumerate(ledger.reasons) if reason.startswith(UNIT_REASON)]
    lost = np.isin(ledger.fate, reasons) & ~np.isnat(rows.days) & (rows.style >= 0)
    if not lost.any():
        return made
    rejoined = panel.index_of(rows.ids)

    def slots(of: Bools) -> Ints:
        row, period = rejoined[rows.style[of]], calendar.containing(rows.days[of])
        inside = (row >= 0) & (period >= panel.start[row]) & (period <= panel.end)
        return np.unique(panel.indptr[row[inside]] + period[inside] - panel.start[row[inside]])

    unknown = np.setdiff1d(slots(lost), slots(ledger.open))
    y = panel.y.copy()
    y[unknown] = np.nan
    return replace(made, panel=replace(panel, y=y))


def _incomplete_last(rows: CleanRows, known: Bools, calendar: Calendar) -> str:
    """The last period when the data ends before its last day; "" for rows that carry the period's label."""
    if calendar.freq in ("D", "B"):
        return ""
    dates = np.unique(rows.days[known])
    if calendar.on_calendar(dates).all():
        return ""
    last_day = dates[-1]
    number = calendar.containing(np.array([last_day, last_day + 1]))
    return str(calendar.dates(number[:1])[0])[:10] if number[0] == number[1] else ""


def _close_unknown_styles(rows: CleanRows, known: Bools) -> None:
    with_quantity = np.zeros(len(rows.ids) + 1, dtype=bool)  # the place -1 is for rows without a style
    with_quantity[rows.style[known]] = True
    with_quantity[-1] = True
    rows.ledger.leave_out(~with_quantity[rows.style], "no known quantity in the style")


def _built(
    rows: CleanRows, settings: CleaningSettings, calendar: Calendar, period: Ints, facts: dict[str, Any]
) -> Periods:
    at = np.flatnonzero(rows.ledger.open)
    series_used, series = np.unique(rows.style[at], return_inverse=True)
    ids: Strings = rows.ids[series_used]
    base = int(period[at].min())
    key = series * (int(period[at].max()) - base + 1) + period[at] - base
    y = rows.y[at]
    lines = np.bincount(series[~np.isnan(y)], minlength=len(ids))
    carried = {**rows.past, **rows.future}
    columns = {name: values[at] for name, values in carried.items()}
    if (key[1:] > key[:-1]).all():
        cells, merged = np.arange(len(key)), 0
    else:
        # by value within a cell: the sum is the same, to the bit, in whatever order the rows came
        order = np.lexsort((y, key))
        key, y, series = key[order], y[order], series[order]
        columns = {name: _sorted_within(values[order], key) for name, values in columns.items()}
        cells = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
        merged = len(key) - len(cells)
    if merged:
        if settings.same_period == "raise":
            doubled = cells[np.append(cells[1:], len(key)) - cells > 1][:SHOWN]
            days = calendar.dates(key[doubled] - series[doubled] * (int(period[at].max()) - base + 1) + base)
            raise CalendarError(
                "several rows for the same style and period", freq=calendar.freq, count=merged,
                first=[f"{ids[i]} {str(day)[:10]}" for i, day in zip(series[doubled], days, strict=True)],
                hint="Remove the rows that are too many, or set cleaning.same_period=sum to add them up",
            )  # fmt: skip
        y = _sums(y, cells)
        columns = {name: _means(values, cells) for name, values in columns.items()}
    series, key = series[cells], key[cells]
    number = key - series * (int(period[at].max()) - base + 1) + base
    frame = pd.DataFrame(
        {
            ID: pd.Categorical.from_codes(series, categories=pd.Index(ids)),  # type: ignore[arg-type]  # stubs want a list
            TIME: calendar.dates(number),
            TARGET: y,
            **columns,
        }
    )
    panel = Panel.from_frame(
        frame,
        calendar.freq,
        past=tuple(rows.past),
        future=tuple(rows.future),
        static=rows.static,
        gaps=settings.gaps,
        unit=rows.unit,
    )
    gaps, longest = _gaps(panel, series, number)
    return Periods(panel, len(cells), merged, gaps, longest, lines, facts)


def _sorted_within(values: Floats, key: Ints) -> Floats:
    return np.asarray(values[np.lexsort((values, key))])


def _sums(values: Floats, cells: Ints) -> Floats:
    """The sum of the known values of each cell, NaN where none is known; cells [k] are the first rows."""
    known = ~np.isnan(values)
    total = np.add.reduceat(np.where(known, values, 0.0), cells)
    return np.where(np.add.reduceat(known.astype(np.int64), cells) > 0, total, np.nan)


def _means(values: Floats, cells: Ints) -> Floats:
    known = ~np.isnan(values)
    count = np.add.reduceat(known.astype(np.int64), cells)
    return np.where(count > 0, np.add.reduceat(np.where(known, values, 0.0), cells) / np.maximum(count, 1), np.nan)


def _gaps(panel: Panel, series: Ints, number: Ints) -> tuple[Ints, Ints]:
    """Periods without a row, and the longest stretch of them, of each series [N], [N]."""
    inside = number <= panel.end
    series, number = series[inside], number[inside]
    rows = np.bincount(series, minlength=panel.n_series)
    same = series[1:] == series[:-1]
    between = np.where(same, number[1:] - number[:-1] - 1, 0)
    longest = np.zeros(panel.n_series, dtype=np.int64)
    np.maximum.at(longest, series[1:], between)
    np.maximum.at(longest, series, np.where(np.append(~same, True), panel.end - number, 0))
    return np.asarray(panel.lengths - rows), longest
