"""`weekly_forecasts`, the next twelve weeks, of the fleet as stored, of one style from its stored forecast; and
`GET /api/weekly-history`, the weeks before."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from demand.panel import Floats
from evaluation.totals import Ahead
from serve_app.answers.asked import Answer, head, no_data
from serve_app.answers.columns import numbers, rows, values
from serve_app.answers.fleet import RECENT_DAYS, Fleet, trends, trends_wanted
from serve_app.book import Book
from serve_app.schemas.parameters import NoParameters
from serve_app.schemas.units import growth, listed, percent

WEEK_DAYS = 7


def weekly_forecasts(fleet: Fleet, style: str | None = None, periods: Floats | None = None) -> list[dict[str, Any]]:
    """A row for each of the next 12 weeks that begins inside the release's horizon.

    A last week that the horizon cuts holds the part inside. Bounds are those of the fleet's total, measured for whole
    weeks; those of one style's weeks were not measured (null). trend: the week against the weekly rate of the last 30
    days of history, by the limits of `fleet`; null for a week that is cut. periods [H]: the total of these styles,
    where it is not that of the stored forecast; its weeks have no bounds and no measured confidence.
    """
    weeks = fleet.book.weeks(fleet.model if periods is None else fleet.book.served)
    n = weeks.num_rows
    unknown: list[float | None] = [None] * n
    lower = upper = unknown
    if periods is not None:
        forecast, confidence = _by_week(fleet.book, periods, n), None
    elif style is None:
        forecast, confidence = numbers(weeks, "forecast"), percent(_week_confidence(fleet))
        lower, upper = (listed(numbers(weeks, side)) for side in ("lower", "upper"))
    else:
        forecast, confidence = _of_style(fleet, style, n), None
    return rows(
        {
            "week": values(weeks, "week"),
            "week_start": values(weeks, "week_start"),
            "week_end": values(weeks, "week_end"),
            "forecast": listed(forecast),
            "min_forecast": lower,
            "max_forecast": upper,
            "confidence": [confidence] * n,
            "trend": _trends(fleet, forecast, numbers(weeks, "share_of_week")),
        }
    )


def weekly_history(book: Book, asked: NoParameters, today: date) -> Answer:
    """What was sold in each of the last 26 weeks, all styles together, oldest first."""
    past = book.past_weeks
    if past is None or not past.num_rows:
        return no_data(book, "this release holds no whole week of history. Train again to make one that does")
    return {
        **head(book, book.served, ()),
        "weeks": rows({"week_start": values(past, "week_start"), "week_end": values(past, "week_end"),
                       "total": listed(numbers(past, "total"))}),
    }  # fmt: skip


def whole_weeks(weeks: pa.Table) -> list[float]:
    """The totals of the weeks that lie wholly inside the horizon."""
    whole = numbers(weeks, "share_of_week") == 1.0
    return [float(value) for value in numbers(weeks, "forecast")[whole]]


def _week_confidence(fleet: Fleet) -> float | None:
    """The fleet's measured confidence in a total of 7 days (fraction)."""
    totals = fleet.book.totals(fleet.model)
    days = values(totals, "days")
    found: float | None = values(totals, "confidence")[days.index(WEEK_DAYS)] if WEEK_DAYS in days else None
    return found


def _of_style(fleet: Fleet, style: str, n: int) -> Floats:
    _, mean, _, _ = fleet.book.forecast_of(fleet.model, style)
    return _by_week(fleet.book, mean, n)


def _by_week(book: Book, mean: Floats, n: int) -> Floats:
    origin = int(book.calendar.containing(np.datetime64(book.origin)))
    ahead = Ahead.of(book.calendar, origin, len(mean))
    return np.array([ahead.shares(1 + WEEK_DAYS * k, WEEK_DAYS * (k + 1)) @ mean for k in range(n)])


def _trends(fleet: Fleet, forecast: Floats, share: Floats) -> list[str | None]:
    recent = fleet.recent[~np.isnan(fleet.recent)]
    if not trends_wanted(fleet.book) or not len(recent):
        return [None] * len(forecast)
    rate = growth(forecast, np.full(len(forecast), recent.sum() * WEEK_DAYS / RECENT_DAYS))
    return trends(np.where(share == 1.0, rate, np.nan))
