"""From what a request calls a history to one series that the release's models can read, or a clear refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demand.errors import SHOWN
from demand.panel import Floats, Panel
from serve_app.problems import Refused
from serve_app.schemas.predictions import HistoryRow

FEWEST = 3  # known quantities: two points make a line, and no model should be asked to draw it
FIRST, LAST = "1990-01-01", "2100-12-31"
STRANGER = "(request)"  # the id of a history that names no style


def bad(detail: str) -> Refused:
    """The 422 of a history."""
    return Refused(422, "bad_history", detail, "history")


def series_of(rows: Sequence[HistoryRow], style: str | None, known: Panel, gaps: str) -> Panel:
    """The rows as a panel of one series on the release's calendar, with every column that the release's panel has.

    known: the release's panel. gaps: what a period without a row is: zero, unknown, or raise (refused). A column that
    the rows do not give is unknown (NaN); static columns are the style's own where the release knows it. Raises Refused
    (422) naming the first five rows at fault: too few known quantities, days that are none, off the calendar or there
    twice, gaps where they are not allowed, columns that no model reads.
    """
    if not rows:
        raise bad("the history has no rows. Give one object a period: {date, quantity}")
    calendar = known.calendar
    days = _days(rows)
    off = ~calendar.on_calendar(days)
    if off.any():
        label = {"D": "every day", "B": "Monday to Friday"}.get(calendar.freq, f"labels of {calendar.freq}")
        raise bad(f"{int(off.sum())} days are not on the release's calendar ({label}): {_first(days[off])}")
    period = calendar.containing(days)
    order = np.argsort(period, kind="stable")
    doubled = np.flatnonzero(np.diff(period[order]) == 0)
    if len(doubled):
        raise bad(f"{len(doubled)} days are there more than once: {_first(days[order[doubled]])}. Sum them first")
    y_of_rows = np.array([np.nan if row.quantity is None else row.quantity for row in rows])
    n_known = int((~np.isnan(y_of_rows)).sum())
    if n_known < FEWEST:
        raise bad(f"the history has {n_known} known quantities, at least {FEWEST} are needed")
    first, end = int(period.min()), int(period.max())
    n = end - first + 1
    if len(rows) < n and gaps == "raise":
        absent = np.setdiff1d(np.arange(first, end + 1), period)
        raise bad(f"{len(absent)} periods have no row: {_first(calendar.dates(absent))}")
    y = np.full(n, 0.0 if gaps == "zero" else np.nan)
    y[period - first] = y_of_rows
    columns = _columns(rows, period - first, n, known)
    past = {name: columns[name] for name in known.past}
    future = {name: columns[name] for name in known.future}
    row = int(known.index_of(np.array([style]))[0]) if style is not None else -1
    static = {name: values[[row]] if row >= 0 else _unknown(values) for name, values in known.static.items()}
    return Panel(
        ids=np.array([stranger(known) if style is None else style]), indptr=np.array([0, n], dtype=np.int64), y=y,
        end=end, freq=known.freq, past=past, future=future, static=static, unit=known.unit,
    )  # fmt: skip


def like(panel: Panel, known: Panel) -> Panel:
    """One series of another panel (an upload) with the columns of the release's: what it lacks is unknown.

    Raises Refused (422) for another calendar or unit.
    """
    if panel.freq != known.freq:
        raise Refused(
            422, "bad_history", f"the upload is on the calendar {panel.freq}, the release on {known.freq}. Upload it "
            f"again with freq={known.freq}", "data_id",
        )  # fmt: skip
    if panel.unit and known.unit and panel.unit.lower() != known.unit.lower():
        raise Refused(422, "bad_history", f"the upload is in {panel.unit}, the release in {known.unit}", "data_id")
    if int((~np.isnan(panel.y)).sum()) < FEWEST:
        raise Refused(422, "bad_history", f"at least {FEWEST} known quantities are needed", "data_id")
    n = len(panel.y)
    carried = {**{name: values[:n] for name, values in panel.future.items()}, **panel.past}
    past = {name: carried.get(name, np.full(n, np.nan)) for name in known.past}
    future = {name: carried.get(name, np.full(n, np.nan)) for name in known.future}
    row = int(known.index_of(panel.ids)[0])
    static = {
        name: panel.static[name] if name in panel.static and panel.static[name].dtype.kind == values.dtype.kind
        else values[[row]] if row >= 0 else _unknown(values)
        for name, values in known.static.items()
    }  # fmt: skip
    return replace(panel, past=past, future=future, ahead=0, static=static, unit=known.unit or panel.unit)


def with_plan(panel: Panel, plan: Mapping[str, Floats], horizon: int) -> Panel:
    """The series with its known-ahead columns planned: each of `plan` [k] for the first k periods ahead.

    Beyond them, and for other columns, the panel's own plan stays; where it has none the models keep the last value.
    """
    n, ahead = len(panel.y), max(panel.ahead, horizon)
    future = {}
    for name, values in panel.future.items():
        wide = np.full(n + ahead, np.nan)
        wide[: n + panel.ahead] = values
        if name in plan:
            wide[n : n + len(plan[name])] = plan[name]
        future[name] = wide
    return replace(panel, future=future, ahead=ahead)


def stranger(known: Panel) -> str:
    """An id that none of these styles has."""
    name = STRANGER
    while int(known.index_of(np.array([name]))[0]) >= 0:
        name += "'"
    return name


def _days(rows: Sequence[HistoryRow]) -> NDArray[np.datetime64]:
    found = []
    odd = []
    for row in rows:
        try:
            day = np.datetime64(row.date, "D")
        except ValueError:
            odd.append(row.date)
            continue
        if not np.datetime64(FIRST) <= day <= np.datetime64(LAST):
            odd.append(row.date)
        found.append(day)
    if odd:
        raise bad(f"{len(odd)} dates are no days between {FIRST} and {LAST}: {', '.join(odd[:SHOWN])}")
    return np.array(found, dtype="datetime64[D]")


def _columns(rows: Sequence[HistoryRow], slot: Any, n: int, known: Panel) -> dict[str, Floats]:
    """name -> [n] of every past and known-ahead column of the release's panel; NaN where no row gives it."""
    names = (*known.past, *known.future)
    given = {name for row in rows for name in row.columns}
    unread = sorted(given - set(names))
    if unread:
        raise Refused(
            422, "bad_history", f"the release's data has no column called {', '.join(unread[:SHOWN])}", "history",
            names,
        )  # fmt: skip
    columns = {name: np.full(n, np.nan) for name in names}
    for at, row in zip(slot.tolist(), rows, strict=True):
        for name, value in row.columns.items():
            columns[name][at] = np.nan if value is None else value
    return columns


def _unknown(values: NDArray[Any]) -> NDArray[Any]:
    """One missing value of a static column's kind."""
    if values.dtype.kind == "f":
        return np.array([np.nan], dtype=values.dtype)
    if values.dtype.kind == "M":
        return np.array(["NaT"], dtype=values.dtype)
    if values.dtype.kind in "iub":
        return np.array([np.nan])
    return np.array([None], dtype=object)


def _first(days: Any) -> str:
    shown = [str(day)[:10] for day in np.asarray(days)[:SHOWN]]
    return ", ".join(shown) + (", .." if len(days) > SHOWN else "")
