"""The styles of one model as arrays: growth, trend, recommended action, and the rows that tell of them.

growth_rate          100 x (forecast of the next 30 days - last 30 days of history) / |last 30 days|; null if that is 0
trend                increasing above +5, decreasing below -5, else stable; null without growth_rate
recommended_action   the first that holds:
    review           the measured confidence is below `confidence_threshold`, or was never measured
    no_action        nothing is forecast for the next 30 days
    increase_stock   trend increasing, or something is forecast where nothing sold in the last 30 days
    reduce           trend decreasing
    hold             otherwise
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from demand.panel import Floats, Ints, Strings
from serve_app.answers.asked import evaluation_of, unknown_style
from serve_app.answers.columns import flags, numbers, rows, values
from serve_app.book import Book
from serve_app.schemas.units import growth, listed, percents

RISING, FALLING = 5.0, -5.0  # percent
TOTALS = (30, 60, 90, 180)
RECENT_DAYS = 30


@dataclass(frozen=True, eq=False)
class Fleet:
    """N styles of one model and the horizon (days) they are asked for, ascending by name unless taken otherwise."""

    book: Book
    model: str
    horizon: int
    table: pa.Table

    @classmethod
    def of(cls, book: Book, model: str, horizon: int, style: str | None = None) -> Fleet:
        """All styles, or one. Raises Refused (404) when the release does not know that one."""
        table = book.styles(model)
        if style is not None:
            place = book.row_of(model, style)
            if place is None:
                raise unknown_style(style)
            table = table.slice(place, 1)
        return cls(book, model, horizon, table)

    def take(self, places: Ints) -> Fleet:
        """The styles at these places, in this order."""
        return Fleet(self.book, self.model, self.horizon, self.table.take(pa.array(places)))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def ahead(self, days: int) -> Floats:
        """[N]: the mean forecast of the next `days` days in total; NaN beyond the release's horizon."""
        return numbers(self.table, f"forecast_{days}_days")

    @cached_property
    def by_forecast(self) -> Ints:
        """Places in the order of answers: largest forecast of the horizon first, then by name."""
        return np.argsort(-self.ahead(self.horizon), kind="stable")

    @cached_property
    def recent(self) -> Floats:
        return numbers(self.table, "last_30_days")

    @cached_property
    def growth(self) -> Floats:
        """[N]: growth_rate; NaN = null."""
        return growth(self.ahead(30), self.recent)

    @cached_property
    def actions(self) -> Strings:
        """[N]: recommended_action."""
        expected = self.ahead(30)
        review = flags(self.table, "low_confidence")
        with np.errstate(invalid="ignore"):
            rising = (self.growth > RISING) | ((self.recent == 0) & (expected > 0))
            nothing = (expected <= 0) | np.isnan(expected)
        return np.select(
            [review, nothing, rising, self.growth < FALLING],
            ["review", "no_action", "increase_stock", "reduce"],
            default="hold",
        )

    def details(self) -> list[dict[str, Any]]:
        """`forecast_details`: one row a style."""
        table = self.table
        analysed = trends_wanted(self.book)
        columns: dict[str, list[Any]] = {
            "style": values(table, "unique_id"),
            "historical_avg": listed(numbers(table, "historical_avg")),
            "historical_total": listed(numbers(table, "historical_total")),
            "order_count": values(table, "n_orders"),
            **{f"forecast_{days}_days": listed(self.ahead(days)) for days in TOTALS},
            "lower": listed(numbers(table, f"lower_{self.horizon}_days")),
            "upper": listed(numbers(table, f"upper_{self.horizon}_days")),
            "confidence": percents(numbers(table, "confidence")),
            "confidence_basis": self._bases(),
            "trend": trends(self.growth) if analysed else [None] * len(self),
            "growth_rate": listed(self.growth) if analysed else [None] * len(self),
            "recommended_action": self.actions.tolist(),
            "low_confidence": values(table, "low_confidence"),
            "fallback_level": values(table, "fallback_level"),
            "made_by": values(table, "made_by"),
        }
        found = rows(columns)
        for row, reason in zip(found, values(table, "reason"), strict=True):
            if reason:
                row["reason"] = reason
        return found

    def _bases(self) -> list[dict[str, Any] | None]:
        """What each confidence rests on; None where there is none."""
        evaluation = evaluation_of(self.book, self.model)
        counted = zip(values(self.table, "confidence_n"), values(self.table, "confidence_basis"), strict=True)
        return [{"evaluation_id": evaluation, "n": n, "of": basis} if basis else None for n, basis in counted]


def trends_wanted(book: Book) -> bool:
    """Whether trend and growth_rate are told: report.trend_analysis and report.seasonal_decomposition."""
    report = book.config.get("report", {})
    return bool(report.get("trend_analysis", True) and report.get("seasonal_decomposition", True))


def trends(rates: Floats) -> list[str | None]:
    """The trend of each growth_rate [N]; None where that is NaN."""
    with np.errstate(invalid="ignore"):
        words = np.select([rates > RISING, rates < FALLING], ["increasing", "decreasing"], default="stable")
    return [None if unknown else word for word, unknown in zip(words.tolist(), np.isnan(rates).tolist(), strict=True)]


def fleet_growth(book: Book, table: pa.Table) -> tuple[str | None, float | None]:
    """(trend, growth_rate) of all styles of a table together; None, None where unknown or not wanted.

    Like for like: a style younger than 30 days has no last 30 days, and counts on neither side.
    """
    if not trends_wanted(book):
        return None, None
    recent, ahead = numbers(table, "last_30_days"), numbers(table, "forecast_30_days")
    known = ~np.isnan(recent)
    return growth_of(float(ahead[known].sum()), float(recent[known].sum())) if known.any() else (None, None)


def growth_of(now: float | None, before: float | None) -> tuple[str | None, float | None]:
    """(trend, growth_rate) of one total against another; None, None where either is unknown or `before` is 0."""
    pair = np.array([np.nan if value is None else value for value in (now, before)])
    rate = growth(pair[:1], pair[1:])
    return trends(rate)[0], listed(rate)[0]
