"""`models[]`: every model of the leaderboard as it was measured, what it is used for, and what that means in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import pyarrow.compute as pc

from evaluation.leaderboard import best_model
from serve_app.answers.columns import numbers
from serve_app.answers.fleet import fleet_growth
from serve_app.book import Book
from serve_app.schemas.units import number, percent

ENSEMBLE = "ensemble"
LARGE_BIAS = 0.1  # of demand in total
TOO_FEW = ("too few", "Insufficient data")  # how models word it that they declined the data


def model_rows(book: Book, today: date) -> list[dict[str, Any]]:
    """One row a model of the leaderboard, in its order (best first); exactly one of them is `primary`."""
    statuses = model_statuses(book)
    return [_row(book, row, statuses[row["model"]], today) for row in board_rows(book)]


def board_rows(book: Book) -> list[dict[str, Any]]:
    """The leaderboard as it is stored, one mapping a model, best first."""
    return [{str(name): value for name, value in row.items()} for row in book.board.to_dict("records")]


def model_statuses(book: Book) -> dict[str, str]:
    """Model -> primary (served), best (best measured, where that is not what is served), active (a member of the
    ensemble) or backup (none of these: it would only be used where they fail)."""
    best, members = best_model(book.board), members_of(book)
    found = {}
    for model in book.board["model"].astype(str):
        if model == book.served:
            found[model] = "primary"
        elif model == best:
            found[model] = "best"
        else:
            found[model] = "active" if model in members else "backup"
    return found


def members_of(book: Book) -> tuple[str, ...]:
    """The configured members of the ensemble."""
    hyper = book.config["models"][ENSEMBLE]["hyperparameters"]
    return (*hyper.get("models", ()), *hyper.get("extra_members", ()))


def measured(book: Book, model: str) -> Mapping[str, Any]:
    """The stored measures (`M`, fractions) of a model on the leaderboard."""
    found: Mapping[str, Any] = book.card["metrics"][model]
    return found


def errors_of(book: Book, model: str) -> dict[str, Any]:
    """The measured errors of a model in percent, and the evaluation they are from."""
    m = measured(book, model)
    return {
        "accuracy": percent(m["accuracy"]),
        "mape": percent(m["mape"]),
        "wape": percent(m["wape"]),
        "bias_rel": percent(m["bias_rel"]),
        "baseline_wape": percent((m.get("baseline") or {}).get("wape")),
        "evaluation_id": m["evaluation_id"],
    }


def accuracy_by_level(book: Book, board: Mapping[str, Any]) -> dict[str, float | None]:
    """100 x (1 - WAPE), at least 0, of a row of the board: style and fleet, per period and over the horizon."""
    m = measured(book, board["model"])
    off = {
        "style_period": m["wape"],
        "style_total": m["total_error_by_style"],
        "fleet_period": number(board["fleet_wape"]),
        "fleet_total": m["total_error"],
    }
    return {level: None if wape is None else percent(max(0.0, 1.0 - wape)) for level, wape in off.items()}


def target_of(book: Book, model: str) -> tuple[float | None, bool | None]:
    """(the configured MAPE as percent, whether the measured one per style and period meets it); None: not known."""
    target = number(book.config.get("benchmarks", {}).get(model, {}).get("mape"))
    found = measured(book, model)["mape"]
    return percent(target), None if target is None or found is None else bool(found <= target)


def fleet_ahead(book: Book, model: str) -> tuple[float | None, str | None, float | None]:
    """(forecast of the next 30 days of all styles, trend, growth_rate); None where not stored."""
    if model not in book.models:
        return None, None, None
    table = book.styles(model)
    return (number(numbers(table, "forecast_30_days").sum()), *fleet_growth(book, table))


def mean_confidence(book: Book, model: str) -> float | None:
    """The mean of the styles' known confidences, percent."""
    if model not in book.models:
        return None
    found = numbers(book.styles(model), "confidence")
    known = found[~np.isnan(found)]
    return percent(known.mean()) if len(known) else None


def _row(book: Book, board: Mapping[str, Any], status: str, today: date) -> dict[str, Any]:
    model = str(board["model"])
    m, errors = measured(book, model), errors_of(book, model)
    target, met = target_of(book, model)
    ahead, trend, growth = fleet_ahead(book, model)
    entry = book.entry(model) or {}
    return {
        "model": model,
        "accuracy": errors["accuracy"],
        "mape": errors["mape"],
        "n_used": m["n_used"],
        "wape": errors["wape"],
        "bias_rel": errors["bias_rel"],
        "rmse": number(m["rmse"]),
        "mae": number(m["mae"]),
        "baseline_wape": errors["baseline_wape"],
        "beats_baseline": bool(board["beats_baseline"]),
        "target_mape": target,
        "target_met": met,
        "below_threshold": bool(board["below_threshold"]),
        "status": status,
        "last_trained": entry.get("trained_at"),
        "training_samples": entry.get("training_samples"),
        "confidence": mean_confidence(book, model),
        "trend": trend,
        "training_status": training_status(book, model, today),
        "forecast_30_days": ahead,
        "growth_rate": growth,
        "insights": _insights(model, m, target, met),
        "accuracy_by_level": accuracy_by_level(book, board),
        "evaluation_id": m["evaluation_id"],
    }


def training_status(book: Book, model: str, today: date) -> str:
    """ready; stale: older than retrain_frequency_days + schedule.grace_days on the day `today`; failed or
    insufficient_data: another model made all of its rows, the latter where it declined every style as too short.

    The day is given by who asks: an answer changes with it, never with the time of day.
    """
    if model in book.models:
        table = book.styles(model)
        if not pc.any(pc.equal(table["made_by"], model)).as_py():
            few = (pc.match_substring(table["reason"], word) for word in TOO_FEW)
            return "insufficient_data" if pc.all(pc.or_(*few)).as_py() else "failed"
    entry, config = book.entry(model), book.config["models"].get(model)
    if entry is None or config is None:
        return "ready"
    limit = int(config["retrain_frequency_days"]) + int(book.config["schedule"]["grace_days"])
    return "stale" if (today - date.fromisoformat(entry["trained_at"][:10])).days > limit else "ready"


def _insights(model: str, m: Mapping[str, Any], target: float | None, met: bool | None) -> list[str]:
    """What the measures of a model say, in words; each sentence holds the numbers it rests on."""
    said = []
    yardstick = m.get("baseline") or {"name": None, "wape": None}
    naive = yardstick["wape"]
    if m["wape"] is not None and model == yardstick["name"]:
        said.append(f"WAPE {m['wape']:.1%}: the baseline that the others are compared with.")
    elif m["wape"] is not None and naive is not None:
        side = "lower than" if m["wape"] < naive else "not lower than"
        said.append(f"WAPE {m['wape']:.1%}, {side} the seasonal naive's {naive:.1%} on the same origins.")
    elif m["wape"] is None:
        said.append("WAPE is undefined: nothing was sold in the scored windows.")
    if m["bias_rel"] is not None and abs(m["bias_rel"]) > LARGE_BIAS:
        said.append(f"Too {'high' if m['bias_rel'] > 0 else 'low'} by {abs(m['bias_rel']):.0%} of demand in total.")
    if m["n_fell_back"]:
        said.append(f"{m['n_fell_back']:,} of {m['n_rows']:,} scored forecasts were made by another model.")
    if target is not None:
        found = "not measurable" if m["mape"] is None else f"{m['mape']:.1%}: {'met' if met else 'missed'}"
        said.append(f"Target MAPE {target:g}% per style and period, measured {found}.")
    return said
