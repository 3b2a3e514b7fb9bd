"""backtest.json: one strict JSON object that says how every model did."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from demand.calendar import Calendar
from demand.panel import Floats
from evaluation.leaderboard import best_model
from evaluation.metrics import by_fold, by_step, levels, measure
from evaluation.results import FoldResult
from models.ensemble import KIND

Status = Literal["success", "partial", "failed"]


def backtest_json(
    results: Mapping[str, Sequence[FoldResult]],
    board: pd.DataFrame,
    *,
    status: Status,
    timestamp: str,
    data_points: int,
    errors: Mapping[str, str] | None = None,
    skipped: Collection[str] = (),
    importance: Mapping[str, Mapping[str, float]] | None = None,
    weights: Mapping[str, float] | None = None,
    recommendations: Sequence[str] = (),
    hierarchy: Mapping[str, Any] | None = None,
    newborns: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The backtest file's content: plain lists, dicts, text and finite numbers; what is undefined is None.

    results, board: of `leaderboard`. status is the caller's: it knows what was asked for. errors: {model: cause} of the
    models without a row of their own; those in `skipped` declined the data, the others failed. importance: {model:
    {feature: share}}. weights: {member: weight} of the ensemble. data_points: cells of the whole panel. hierarchy,
    newborns: `as_json` of `Hierarchy` and `Newborns`; left out without one.

    In each model's entry `predictions` and `test_actual` are the fleet's total (mean forecast) per `test_dates`, origin
    after origin; a total is None where not every value is known. test_size counts scored cells over all origins,
    train_size the panel's cells before the newest scored window.
    """
    errors, importance, weights = errors or {}, importance or {}, weights or {}
    yardstick = results["seasonal_naive"]
    entries = {
        name: _entry(name, of_model, yardstick, data_points, importance.get(name, {}))
        for name, of_model in results.items()
    }
    for name, cause in errors.items():
        word = "skipped" if name in skipped else "failed"
        entries[name] = entries.get(name, {"model": name}) | {"status": word, "error": cause}
    if KIND in entries and weights:
        members = [name for name in weights if name in entries]
        entries[KIND] |= {
            "weights": {name: float(weight) for name, weight in weights.items()},
            "models_used": [name for name in weights if name not in errors],
            "models_failed": [name for name in weights if name in errors],
            "individual_results": {name: entries[name].get("metrics") for name in members},
        }
    best = best_model(board)
    return {
        "status": status,
        "timestamp": timestamp,
        "data_points": data_points,
        "models_tested": list(entries),
        "results": entries,
        "summary": {
            "best_model": best,
            "best_wape": entries[best]["metrics"]["wape"],
            "best_mape": entries[best]["metrics"]["mape"],
            "ranked_by": board.attrs.get("ranked_by", "wape"),
            "model_comparison": {
                name: {key: entry.get("metrics", {}).get(key) for key in ("wape", "mape", "rmse", "r2")}
                | {"status": entry["status"]}
                for name, entry in entries.items()
            },
        },
        "recommendations": list(recommendations),
        **({"hierarchy": dict(hierarchy)} if hierarchy else {}),
        **({"newborns": dict(newborns)} if newborns else {}),
    }


def _entry(
    name: str, results: Sequence[FoldResult], yardstick: Sequence[FoldResult], data_points: int,
    importance: Mapping[str, float],
) -> dict[str, Any]:  # fmt: skip
    dates, predicted, actual = fleet_totals(results)
    measured = measure(results, yardstick)
    newest = max(results, key=lambda r: r.fold.cutoff)
    entry: dict[str, Any] = {
        "model": name,
        "status": "success",
        "metrics": measured,
        "levels": levels(results),
        "by_step": by_step(results),
        "folds": [fold | {"cutoff_date": _label(results[k])} for k, fold in enumerate(by_fold(results))],
        "test_dates": [str(date)[:10] for date in dates],
        "predictions": [float(value) for value in predicted],
        "test_actual": [float(value) if math.isfinite(value) else None for value in actual],
        "train_size": int(data_points - newest.actuals.size),
        "test_size": measured["n"],
    }
    if importance:
        entry["feature_importance"] = {feature: float(share) for feature, share in importance.items()}
    return entry


def fleet_totals(results: Sequence[FoldResult]) -> tuple[np.ndarray[Any, Any], Floats, Floats]:
    """(dates, mean forecast, actual), each [folds x H]: the fleet's total, origin after origin.

    An actual total is NaN where a value of any series is unknown.
    """
    dates = [
        Calendar(r.forecast.freq).dates(r.fold.cutoff + 1 + np.arange(r.fold.horizon)) for r in results
    ]  # fmt: skip
    return (
        np.concatenate(dates),
        np.concatenate([r.forecast.mean.sum(axis=0) for r in results]),
        np.concatenate([r.actuals.sum(axis=0) for r in results]),
    )


def _label(result: FoldResult) -> str:
    return str(Calendar(result.forecast.freq).dates(np.array([result.fold.cutoff]))[0])[:10]
