"""The report's chart data: numbers only, rounded, small enough to be written into the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from demand.calendar import Calendar
from demand.panel import Floats, Panel
from evaluation.formulas import intervals
from evaluation.metrics import Measures
from models.base import Forecast

MAX_NUMBERS = 300_000  # about 2 MB of text
MAX_PERIODS = 400  # of history in a chart


def compact(values: Floats) -> list[float | None]:
    """Four significant digits; None for what is not finite."""
    rounded = [float(f"{value:.4g}") if math.isfinite(value) else None for value in values.tolist()]
    return [int(v) if v is not None and v.is_integer() and abs(v) < 1e15 else v for v in rounded]


def style_charts(
    history: Panel, live: Forecast, members: Mapping[str, Forecast], first: Sequence[str]
) -> tuple[dict[str, Any], int]:
    """(data of the styles that fit into the page, how many had to be left out); `first` are kept before all others.

    Each style: `h` the newest history, `m` the mean forecast, `q` the median, `lo` and `hi` the widest interval, `by`
    who made it, `x` {member: median}. Dates are shared: every series of a panel ends at the same period. The rest are
    kept in the order of their forecast quantity, largest first.
    """
    made = live.take(np.flatnonzero(live.made))
    length = min(MAX_PERIODS, max(3 * live.horizon, 2 * history.calendar.season), int(history.lengths.max(initial=1)))
    per_style = length + live.horizon * (4 + len(members))
    room = max(1, MAX_NUMBERS // per_style)
    rank = {name: place for place, name in enumerate(first)}
    total = made.mean.sum(axis=1)
    order = sorted(range(len(made.ids)), key=lambda i: (rank.get(str(made.ids[i]), len(rank)), -total[i], made.ids[i]))
    kept = np.array(sorted(order[:room]), dtype=np.int64)
    shown = made.take(kept)
    tail = history.tail(length)[history.index_of(shown.ids)]
    spans = intervals(live.levels)
    stated, low, high = spans[-1] if spans else (0.0, 0, 0)
    rows_of = {name: _rows(member, shown) for name, member in members.items()}
    styles = []
    for i, name in enumerate(shown.ids.tolist()):
        style: dict[str, Any] = {
            "id": name,
            "h": compact(tail[i]),
            "m": compact(shown.mean[i]),
            "q": compact(shown.median[i]),
            "by": str(shown.made_by[i]),
            "x": {
                kind: compact(member.median[rows[i]])
                for kind, (member, rows) in _with_rows(members, rows_of).items()
                if rows[i] >= 0 and member.made[rows[i]]
            },
        }
        if spans:
            style |= {"lo": compact(shown.quantiles[i, :, low]), "hi": compact(shown.quantiles[i, :, high])}
        styles.append(style)
    calendar = Calendar(live.freq)
    data = {
        "past": _dates(calendar, live.origin - length + 1, length),
        "ahead": _dates(calendar, live.origin + 1, live.horizon),
        "stated": stated,
        "styles": styles,
    }
    return data, len(order) - len(kept)


def fleet_chart(history: Panel, live: Forecast) -> dict[str, Any]:
    """The fleet's total: known history and the sum of mean forecasts (a total's interval is no sum of intervals)."""
    length = min(MAX_PERIODS, max(3 * live.horizon, 2 * history.calendar.season), int(history.lengths.max(initial=1)))
    made = live.take(np.flatnonzero(live.made))
    calendar = Calendar(live.freq)
    tail = history.tail(length)
    return {
        "past": _dates(calendar, live.origin - length + 1, length),
        "h": compact(np.where(np.isnan(tail).all(axis=0), np.nan, np.nansum(tail, axis=0))),
        "ahead": _dates(calendar, live.origin + 1, live.horizon),
        "m": compact(made.mean.sum(axis=0)),
    }


def step_chart(steps: Mapping[str, Sequence[Measures]]) -> dict[str, Any]:
    """WAPE, coverage and the stated interval by step, for each model."""
    return {
        model: {
            "step": [m["step"] for m in of_model],
            "wape": [m["wape"] for m in of_model],
            "coverage": [m["coverage"] for m in of_model],
            "stated": of_model[0]["interval"] if of_model else None,
        }
        for model, of_model in steps.items()
    }


def highlights(outcomes: pd.DataFrame, live: Forecast, n: int = 3) -> tuple[list[str], list[str]]:
    """(best, worst): styles with the lowest and the highest WAPE among those scored, with demand and a forecast."""
    if "wape" not in outcomes:
        return [], []
    scored = outcomes[outcomes["wape"].notna() & outcomes["unique_id"].isin(live.ids[live.made].tolist())]
    ranked = scored.sort_values(["wape", "unique_id"])["unique_id"].astype(str).tolist()
    n = min(n, len(ranked) // 2) if len(ranked) > 1 else len(ranked)
    return ranked[:n], ranked[len(ranked) - n :][::-1] if len(ranked) > 1 else []


def _dates(calendar: Calendar, first: int, n: int) -> list[str]:
    return [str(date)[:10] for date in calendar.dates(first + np.arange(n))]


def _rows(member: Forecast, shown: Forecast) -> np.ndarray[Any, np.dtype[np.int64]]:
    if not len(member.ids):
        return np.full(len(shown.ids), -1)
    order = np.argsort(member.ids)
    at = order[np.minimum(np.searchsorted(member.ids[order], shown.ids), len(order) - 1)]
    return np.where(member.ids[at] == shown.ids, at, -1)


def _with_rows(members: Mapping[str, Forecast], rows: Mapping[str, Any]) -> dict[str, tuple[Forecast, Any]]:
    return {name: (members[name], rows[name]) for name in members}
