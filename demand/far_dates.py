"""Rows dated where no sale can be: in the future, or alone and far outside all others."""

from __future__ import annotations

import datetime
from typing import Any, Literal

import numpy as np

from demand.calendar import Calendar, Dates, calendar_of
from demand.errors import SHOWN, CalendarError
from demand.ledger import Ledger
from demand.panel import Ints, Strings
from demand.parsing import Bools

FarDates = Literal["leave_out", "keep", "raise"]
FUTURE, AFTER, BEFORE = "dated in the future", "date far after the rest", "date far before the rest"
FEW_FUTURE = 0.1  # share of the rows
_FEWEST_ROWS, _FEWEST_DATES = 21, 10  # with less there is no rest to be far from


def isolated(days: Dates, style: Ints) -> tuple[Bools, Bools]:
    """Which of n dated rows lie alone far before, and alone far after, all others [n], [n].

    Alone are at most 1 % of the rows (one row at least), and either

    - beyond twice the range of the middle 90 % of the rows, and a year, on that side; or
    - behind a gap that is longer than 30 usual steps between dates, than a tenth of the range of the others and than
      three times any gap among them; of at most 3 % of the styles (three where that is less than half of them), each
      with at most two dates there. A fleet that pauses comes back with many rows, a style that goes on with many dates.
    """
    numbers = days.astype(np.int64)
    return _tail(-numbers, style), _tail(numbers, style)


def _tail(numbers: Ints, style: Ints) -> Bools:
    n = len(numbers)
    if n < _FEWEST_ROWS:
        return np.zeros(n, dtype=bool)
    first = int(numbers.min())
    counts = np.bincount(numbers - first)
    dates = np.flatnonzero(counts)
    upto = np.cumsum(counts[dates])
    allowed = max(1, n // 100)
    low, high = dates[np.searchsorted(upto, [int(0.05 * (n - 1)), int(np.ceil(0.95 * (n - 1)))], side="right")]
    beyond = numbers > first + high + max(366, 2 * int(high - low))
    found = beyond if int(beyond.sum()) <= allowed else np.zeros(n, dtype=bool)
    if len(dates) <= _FEWEST_DATES:
        return found
    gaps = np.diff(dates)
    widest = np.maximum.accumulate(np.append(0, gaps[:-1]))  # among the dates before each gap
    long = gaps > np.maximum(np.maximum(30 * np.median(gaps), 0.1 * dates[:-1]), 3 * widest)
    n_styles = len(np.unique(style))
    few = max(1, int(0.03 * n_styles), min(3, n_styles // 2))
    for at in np.flatnonzero(long & (n - upto[:-1] <= allowed)):
        if at + 1 < _FEWEST_DATES:
            continue
        behind = numbers > first + dates[at]
        pairs = np.unique(np.stack([style[behind], numbers[behind]]), axis=1)
        of_style = np.unique(pairs[0], return_counts=True)[1]
        if len(of_style) <= few and of_style.max() <= 2:
            found |= behind
            break
    return found


def close_far(
    days: Dates,
    style: Ints,
    ids: Strings,
    plan: Bools,
    ledger: Ledger,
    choice: FarDates,
    latest: datetime.date | None,
    sides: tuple[bool, bool] = (True, True),
    by_clock: bool = False,
) -> dict[str, Any]:
    """Leaves out the rows dated after `latest` and those alone far outside the rest; how many there were, and which.

    plan: rows [n] that may lie in the future. latest: None judges no future; where all dates are labels of weeks or
    months, the one that holds this day still belongs to it. by_clock: `latest` is this machine's day and not one that
    was given: more than a tenth of the rows after it are no typing errors (dates may stand for others), and stay.
    sides: whether before and after are judged. choice: "keep" only reports them. Raises CalendarError for choice
    "raise", and when every row is dated in the future.
    """
    found = {FUTURE: ledger.open & False, BEFORE: ledger.open & False, AFTER: ledger.open & False}
    future_kept = 0
    if latest is not None:
        found[FUTURE] = _future(days, ledger.open & ~plan, latest)
        if by_clock and found[FUTURE].sum() > FEW_FUTURE * (ledger.open & ~plan).sum():
            future_kept = int(found[FUTURE].sum())
            found[FUTURE][:] = False
        if found[FUTURE].any() and choice == "leave_out" and not (ledger.open & ~plan & ~found[FUTURE]).any():
            raise CalendarError(
                "every row is dated in the future", latest=str(latest), first=str(days[ledger.open].min()),
                hint="Give the date of the data as source.as_of=YYYY-MM-DD, or set cleaning.far_dates=keep",
            )  # fmt: skip
    at = np.flatnonzero(ledger.open & ~found[FUTURE])
    early, late = isolated(days[at], style[at])
    found[BEFORE][at[early]], found[AFTER][at[late]] = sides
    rows = [np.flatnonzero(found[reason]) for reason in (FUTURE, AFTER, BEFORE)]
    first = [f"{ids[style[row]]} {days[row]}" for row in np.concatenate([some[:SHOWN] for some in rows])][:SHOWN]
    count = sum(map(len, rows))
    if count and choice == "raise":
        raise CalendarError(
            "rows are dated in the future or far outside the rest", count=count, first=first,
            hint="Correct them, or set cleaning.far_dates=leave_out",
        )  # fmt: skip
    if choice == "leave_out":
        for reason, chosen in found.items():
            ledger.leave_out(chosen, reason)
    return {
        "future": len(rows[0]),
        "far_after": len(rows[1]),
        "far_before": len(rows[2]),
        "far_dates": choice,
        "future_kept": future_kept,
        "far_first": first,
    }


def _future(days: Dates, rows: Bools, latest: datetime.date) -> Bools:
    limit = np.datetime64(latest, "D")
    future = rows & (days > limit)
    if future.any():
        own = calendar_of(days[rows]) or calendar_of(days[rows & ~future])
        if own is not None:  # the week that ends on Sunday is labelled so on Wednesday already
            calendar = Calendar(own)
            label = calendar.dates(calendar.containing(np.array([limit])))[0].astype("datetime64[D]")
            future &= days > label
    return future
