"""`GET /api/ml-forecast-detailed`: every style's forecast, in the amount and form that was asked for."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pyarrow.compute as pc

from demand.panel import Floats
from evaluation.leaderboard import best_model
from serve_app.answers.asked import Answer, first_day, head, horizon_of, model_of, no_data, page
from serve_app.answers.columns import numbers, rows, values
from serve_app.answers.comparisons import comparison
from serve_app.answers.fleet import Fleet, fleet_growth
from serve_app.answers.model_rows import ENSEMBLE, errors_of, model_rows
from serve_app.answers.open_orders import ORDERS, places_of, seen_from, without_orders
from serve_app.answers.weekly import weekly_forecasts
from serve_app.book import Book
from serve_app.schemas.parameters import ForecastParameters
from serve_app.schemas.units import listed, number, percent, percents

TOP, CHARTED, CHART_DAYS = 10, 20, (30, 60, 90)
_SUMMARY = ("average_confidence", "confidence")
_MODELS = ("accuracy", "mape", "wape", "bias_rel", "baseline_wape", "target_mape", "confidence", "growth_rate",
           "accuracy_by_level")  # fmt: skip


def detailed(book: Book, asked: ForecastParameters, today: date) -> Answer:
    """The answer in the form asked for. Raises Refused on a model, horizon or style that the release does not hold."""
    model, horizon = model_of(book, asked.model), horizon_of(book, asked.horizon)
    if asked.style is not None and (cause := rejected(book, asked.style)):
        return no_data(book, f"{asked.style} has no forecast: {cause}.")
    fleet = Fleet.of(book, model, horizon, asked.style)
    if not len(fleet):
        return no_data(book, "the release holds no style with history. Run python -m jobs.pipeline with other data")
    if asked.offset >= len(fleet):
        return no_data(book, f"offset {asked.offset} is beyond the {len(fleet)} styles. Ask for a smaller one")
    periods: Floats | None = None
    told: Answer = {}
    if asked.source != "ml":
        seen = seen_from(fleet, asked.source)
        if seen is None:
            return without_orders(book, asked.source)
        fleet, periods, told = seen.fleet, seen.periods, {"orders_used": seen.told}
    if asked.format == "chart":
        answer = _chart(fleet)
    elif asked.format == "report":
        answer = _report(fleet, asked, today, periods)
    elif asked.detail == "metrics":
        answer = _metrics(fleet)
    elif asked.detail == "summary":
        answer = _summary_alone(fleet, today)
    else:
        answer = _full(fleet, asked, today, periods)
    answer |= told | comparison(asked.compare, _shown(fleet, asked), periods)
    if answer.get("stock_comparison", {}).get("status") == "success":
        answer["units"]["fraction"].append("shortage_risk[].probability")
    return answer


def _shown(fleet: Fleet, asked: ForecastParameters) -> Fleet:
    """The styles of the asked part, in the order of answers."""
    end = len(fleet) if asked.limit is None else asked.offset + asked.limit
    return fleet.take(fleet.by_forecast[asked.offset : end])


def rejected(book: Book, style: str) -> str:
    """Why a style that came in has no forecast; "" for one that has, or that the release does not know."""
    found = book.outcomes.filter(pc.equal(book.outcomes["unique_id"], style))
    told = zip(values(found, "status"), values(found, "cause"), strict=True)
    return next((str(cause) for status, cause in told if status == "rejected"), "")


def _full(fleet: Fleet, asked: ForecastParameters, today: date, periods: Floats | None) -> Answer:
    book = fleet.book
    details = _shown(fleet, asked).details()
    total = None if periods is None else periods[places_of(fleet)].sum(axis=0)
    return {
        **_head(fleet, (*_MODELS, *_SUMMARY[:1]), forecast_horizon=days_text(fleet.horizon)),
        "forecast_details": details,
        "models": model_rows(book, today),
        "weekly_forecasts": weekly_forecasts(fleet, asked.style, total),
        "summary": summary(fleet),
        "source": asked.source,
        "model_used": fleet.model,
        "models_used": models_used(book, fleet.model),
        "pagination": page(len(fleet), len(details), asked.offset, asked.limit),
    }


def _summary_alone(fleet: Fleet, today: date) -> Answer:
    return {
        **_head(fleet, (*_MODELS, *_SUMMARY[:1])),
        "summary": summary(fleet),
        "forecast_horizon": days_text(fleet.horizon),
        "models": model_rows(fleet.book, today),
        "model_used": fleet.model,
    }


def _metrics(fleet: Fleet) -> Answer:
    few = {
        "total_styles": len(fleet),
        "total_forecasted_qty": total_forecast(fleet),
        "average_confidence": average_confidence(fleet),
        "horizon_days": fleet.horizon,
    }
    return {**_head(fleet, _SUMMARY[:1]), "metrics": few, "model_used": fleet.model}


def _report(fleet: Fleet, asked: ForecastParameters, today: date, periods: Floats | None) -> Answer:
    book = fleet.book
    answer = _full(fleet, asked, today, periods)
    best = best_model(book.board)
    answer["units"]["percent"].append("best_accuracy")
    answer |= {
        "report": {
            "title": f"Demand forecast, {days_text(fleet.horizon)} from {first_day(book)}",
            "generated": book.generated_at,
            "sections": {
                "summary": answer["summary"],
                "top_items": fleet.take(fleet.by_forecast[:TOP]).details(),
                "models": answer["models"],
            },
        },
        "timestamp": book.generated_at,
        "training_records": (book.entry(fleet.model) or {}).get("training_samples"),
        "best_model": best,
        "best_accuracy": errors_of(book, best)["accuracy"],
    }
    if asked.detail == "full":
        answer["units"]["fraction"].append("forecast_data[].confidence")
        answer["forecast_data"] = _forecast_data(fleet, asked)
    return answer


def _forecast_data(fleet: Fleet, asked: ForecastParameters) -> list[dict[str, Any]]:
    """The same rows as `forecast_details` in the form earlier screens read; confidence is a fraction here."""
    shown = _shown(fleet, asked)
    return rows(
        {
            "style": values(shown.table, "unique_id"),
            "predicted_quantity": listed(shown.ahead(fleet.horizon)),
            "confidence": listed(numbers(shown.table, "confidence")),
        }
    )


def _chart(fleet: Fleet) -> Answer:
    shown = fleet.take(fleet.by_forecast[:CHARTED])
    per_day = [listed(shown.ahead(days)) for days in CHART_DAYS]
    lines = zip(values(shown.table, "unique_id"), zip(*per_day, strict=True), strict=True)
    return {
        **_head(fleet, ()),
        "chart_type": "line",
        "data": [{"label": style, "values": list(line)} for style, line in lines],
        "labels": [days_text(days) for days in CHART_DAYS],
        "total_styles": len(fleet),
        "model_used": fleet.model,
    }


def summary(fleet: Fleet) -> dict[str, Any]:
    """The styles asked for in a few numbers, and the ten that sold most."""
    table = fleet.table
    sold = np.nan_to_num(numbers(table, "historical_total"))
    top = fleet.take(np.argsort(-sold, kind="stable")[:TOP])
    return {
        "total_styles": len(fleet),
        "total_forecasted_qty": total_forecast(fleet),
        "average_confidence": average_confidence(fleet),
        "trend": fleet_growth(fleet.book, table)[0],
        "total_fabric_styles": int((sold > 0).sum()),
        "top_selling_fabrics": rows(
            {
                "style": values(top.table, "unique_id"),
                "order_count": values(top.table, "n_orders"),
                "total_sold": listed(numbers(top.table, "historical_total")),
                "forecast_30_days": listed(top.ahead(30)),
                "confidence": percents(numbers(top.table, "confidence")),
            }
        ),
    }


def total_forecast(fleet: Fleet) -> float | None:
    """The sum of the styles' mean forecasts over the horizon."""
    return number(fleet.ahead(fleet.horizon).sum())


def average_confidence(fleet: Fleet) -> float | None:
    """The mean of the known confidences, percent."""
    found = numbers(fleet.table, "confidence")
    known = found[~np.isnan(found)]
    return percent(known.mean()) if len(known) else None


def models_used(book: Book, model: str) -> list[str]:
    """The models whose forecasts are in the forecast of `model`: members of any weight, or itself where it made a row,
    and those that made rows in its place."""
    if model == ORDERS:
        return []
    made = [str(kind) for kind in pc.unique(book.styles(model)["made_by"]).to_pylist()]
    members: list[str] = []
    if model == ENSEMBLE:
        weights = [name for name in book.outcomes.column_names if name.startswith("weight_")]
        weighing = [name for name in weights if np.nan_to_num(numbers(book.outcomes, name)).any()]
        members = [name.removeprefix("weight_") for name in weighing]
    own = [model] if model in made and model != ENSEMBLE else []
    return list(dict.fromkeys([*members, *own, *sorted(kind for kind in made if kind != ENSEMBLE)]))


def days_text(days: int) -> str:
    """A horizon as answers name it: `90 days`."""
    return f"{days} days"


def _head(fleet: Fleet, percent_names: tuple[str, ...], **first: Any) -> Answer:
    return head(fleet.book, fleet.model, percent_names, **first)
