"""What `python -m jobs.replenish` found, in numbers: the summary of a proposal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from demand.calendar import Calendar
from jobs.order_items import Wanted
from jobs.order_methods import Method
from jobs.settings import Settings
from models.base import Forecast
from models.inventory.policies import POLICIES
from models.release import Release


def summary(
    settings: Settings, release: Release, served: str, found: Wanted, frame: pd.DataFrame, forecast: Forecast,
    method: Method, widths: Sequence[float],
) -> dict[str, Any]:  # fmt: skip
    """The job's answer in numbers, strict JSON: replenish.json, and the head of the proposal that is served."""
    count = {name: int((frame["status"] == name).sum()) for name in ("order", "none", "no_data")}
    lacks = frame.loc[frame["status"] == "no_data", "missing"].value_counts()
    orders = frame[frame["status"] == "order"]
    origin = str(Calendar(forecast.freq).dates(np.array([forecast.origin]))[0])[:10]
    told: dict[str, Any] = {
        "status": "success" if len(orders) or count["none"] else "no_data",
        "release": release.number, "served": served, "origin": origin, "kind": found.kind, "unit": found.unit,
        "method": method.name, "method_reason": method.why, "judged_by": method.version,
        "review_days": settings.inventory.review_days, "demand": settings.inventory.demand,
        "items": {"in": len(frame), "ordered": count["order"], "nothing_needed": count["none"],
                  "no_data": count["no_data"]},
        "missing": {str(name): int(n) for name, n in lacks.items()},
        "assumed": _assumed(frame), "unreachable": 0, "cost": None, "suppliers": [],
        "notes": [*found.notes, *_width(widths, settings)],
        "matches": [
            {"join": m.join, "rows": m.rows, "matched_rows": m.matched_rows, "volume": m.volume,
             "matched_volume": m.matched_volume, "unit": m.unit, "unmatched": list(m.unmatched)} for m in found.matches
        ],
    }  # fmt: skip
    if "cost" not in frame:
        return told
    here = frame[frame["status"] != "no_data"]
    told["unreachable"] = int((~here["reachable"].astype(bool)).sum())
    told["cost"] = {
        "chosen": float(here["cost"].sum()), "without_orders": float(here["idle_cost"].sum()),
        **{policy: float(here[f"cost_{policy}"].sum()) for policy in POLICIES},
    }  # fmt: skip
    for name, group in orders.groupby("supplier", sort=True):
        told["suppliers"].append({
            "supplier": str(name), "items": len(group), "quantity": float(group["quantity"].sum()),
            "value": None if group["value"].isna().any() else float(group["value"].sum()),
            "moq": _one(group["used_moq"]), "lead_time_days": _one(group["used_lead_days"]),
        })  # fmt: skip
    return told


def _width(widths: Sequence[float], settings: Settings) -> list[str]:
    """How wide the paths were taken, in words; nothing where no forecast or no measurement stands behind them."""
    if not widths or settings.inventory.demand != "forecast":
        return []
    least, most = min(widths), max(widths)
    times = f"{least:.2g}" if f"{least:.2g}" == f"{most:.2g}" else f"{least:.2g} to {most:.2g}"
    return [f"At earlier origins totals lay {times} times as far from the forecast as its quantiles say; the demand "
            "paths are made as wide"]  # fmt: skip


def _assumed(frame: pd.DataFrame) -> dict[str, int]:
    names = frame["assumed"].str.split(", ").explode()
    return {str(name): int(n) for name, n in names[names != ""].value_counts().items()}


def _one(values: pd.Series) -> float | None:
    """The value all share, None when they differ."""
    return float(values.iloc[0]) if values.nunique() == 1 else None
