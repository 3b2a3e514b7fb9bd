"""`GET /api/styles` and `/api/styles/{style}`: find a style; everything known of one."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pyarrow.compute as pc

from demand.panel import Floats, Ints
from serve_app.answers.asked import Answer, first_day, head, horizon_of, model_of, no_data, page
from serve_app.answers.columns import numbers, values
from serve_app.answers.detailed import days_text, rejected
from serve_app.answers.fleet import Fleet
from serve_app.answers.insights import old_data
from serve_app.book import Book
from serve_app.schemas.parameters import StyleParameters, StylesParameters
from serve_app.schemas.units import listed, number, percent, percents

_PERCENT = ("confidence", "growth_rate", "wape")
DAYS = (7, 30, 60, 90, 180)


def styles(book: Book, asked: StylesParameters, today: date) -> Answer:
    """The styles that match, in the order asked for."""
    fleet = Fleet.of(book, model_of(book, asked.model), horizon_of(book, asked.horizon))
    places = _ordered(fleet, asked.order)
    places = places[_matches(fleet, asked)[places]]
    if not len(places):
        return no_data(book, "no style matches. Search for less, or leave a filter out")
    if asked.offset >= len(places):
        return no_data(book, f"offset {asked.offset} is beyond the {len(places)} styles. Ask for a smaller one")
    end = len(places) if asked.limit is None else asked.offset + asked.limit
    shown = fleet.take(places[asked.offset : end])
    more = zip(
        values(shown.table, "demand_class"), listed(shown.recent), percents(numbers(shown.table, "wape")), strict=True
    )
    return {
        **head(book, fleet.model, _PERCENT, forecast_horizon=days_text(fleet.horizon)),
        "styles": [
            {**row, "demand_class": kind, "last_30_days": recent, "wape": wape}
            for row, (kind, recent, wape) in zip(shown.details(), more, strict=True)
        ],
        "model_used": fleet.model,
        "pagination": page(len(places), len(shown), asked.offset, asked.limit),
    }


def style(book: Book, asked: StyleParameters, today: date) -> Answer:
    """One style: history, forecast with bounds, what each member said, its weights and measured errors.

    Raises Refused: 404 for a style the release does not know, 409 for a model it does not hold.
    """
    model = model_of(book, asked.model)
    cause = rejected(book, asked.style)
    if cause:
        return no_data(book, f"{asked.style} has no forecast: {cause}.")
    fleet = Fleet.of(book, model, _longest(book), asked.style)
    row = fleet.table.to_pylist()[0]
    dates, sold = book.history_of(asked.style)
    first = 0 if asked.history is None else max(0, len(dates) - asked.history)
    ahead, mean, quantiles, levels = book.forecast_of(model, asked.style)
    return {
        **head(book, model, _PERCENT, ("weight",)),
        "style": asked.style,
        "model_used": model,
        "demand_class": row["demand_class"],
        "first_day": row["first_day"],
        "last_day": row["last_day"],
        "forecast_from": first_day(book),
        "old_data": old_data(book, today),
        "known_ahead": [str(name) for name in book.config.get("columns", {}).get("future") or ()],
        "periods": row["n_periods"],
        "freq": book.freq,
        "last_30_days": number(row["last_30_days"]),
        "wape": percent(row["wape"]),
        "details": fleet.details()[0],
        "totals": _totals(book, row),
        "bounds_basis": row["bounds_basis"] or None,
        "bounds_n": row["n_errors"],
        "history": {"dates": _days(dates[first:]), "values": listed(sold[first:])},
        "forecast": {
            "dates": _days(ahead),
            "mean": listed(mean),
            "quantiles": {f"q{level:g}": listed(quantiles[:, k]) for k, level in enumerate(levels)},
        },
        "members": [_member(book, name, asked.style) for name in book.models],
        "explanation": _explanation(book, asked.style),
    }


def _explanation(book: Book, style: str) -> dict[str, Any] | None:
    """Of the served forecast, whatever model was asked for."""
    row = book.explanation_of(style)
    if row is None:
        return None
    drivers = None
    if row["model"] is not None:
        drivers = {
            "model": row["model"], "link": row["link"], "base": number(row["base"]),
            "forecast": number(row["forecast"]),
            "effects": {name: number(value) for name, value in row["effects"].items()},
        }  # fmt: skip
    return {"words": row["words"], "drivers": drivers}


def _member(book: Book, model: str, style: str) -> dict[str, Any]:
    row = Fleet.of(book, model, _longest(book), style).table.to_pylist()[0]
    return {
        "model": model,
        "weight": number(book.weights_of(style).get(model)),
        "wape": percent(row["wape"]),
        "confidence": percent(row["confidence"]),
        "made_by": row["made_by"],
        "reason": row["reason"] or None,
        "totals": _totals(book, row),
        "mean": listed(book.forecast_of(model, style)[1]),
    }


def _totals(book: Book, row: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "days": days,
            "forecast": number(row[f"forecast_{days}_days"]),
            "lower": number(row[f"lower_{days}_days"]),
            "upper": number(row[f"upper_{days}_days"]),
        }
        for days in sorted(book.days_answered)
    ]


def _longest(book: Book) -> int:
    """The longest total the release answers; 7 where it answers none, whose bounds are unknown then."""
    return max(book.days_answered, default=min(DAYS))


def _days(dates: Any) -> list[str]:
    return list(np.datetime_as_string(np.asarray(dates, dtype="datetime64[D]"), unit="D").tolist())


def _matches(fleet: Fleet, asked: StylesParameters) -> Any:
    """[N]: whether each style passes the filters."""
    found = np.ones(len(fleet), dtype=bool)
    if asked.search is not None:
        inside = pc.match_substring(fleet.table["unique_id"], asked.search, ignore_case=True)
        found &= inside.to_numpy(zero_copy_only=False)
    if asked.demand_class is not None:
        found &= pc.equal(fleet.table["demand_class"], asked.demand_class).to_numpy(zero_copy_only=False)
    if asked.action is not None:
        found &= fleet.actions == asked.action
    return found


def _ordered(fleet: Fleet, order: str) -> Ints:
    """Places of all styles in an order; equal ones by name, unknown ones last."""
    by: dict[str, Floats] = {
        "forecast": -fleet.ahead(fleet.horizon),
        "name": np.zeros(len(fleet)),
        "growth": -fleet.growth,
        "confidence": numbers(fleet.table, "confidence"),
        "sold": -numbers(fleet.table, "historical_total"),
    }
    return np.argsort(by[order], kind="stable")
