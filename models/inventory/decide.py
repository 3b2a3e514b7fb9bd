"""One decision for each item, beside what the simple policies say, priced on the same paths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demand.errors import SettingsError
from demand.panel import Floats, Ints
from models.inventory.checked import EVERY
from models.inventory.checked import chosen as checked_on
from models.inventory.features import facts_of
from models.inventory.items import Items
from models.inventory.paths import Days
from models.inventory.policies import POLICIES, simple_quantities
from models.inventory.replay import Window
from models.inventory.search import chunks, optimum, reachable, window_days
from models.inventory.settings import InventorySettings
from models.inventory.surrogate import FittedSurrogate

METHODS = ("exact", "surrogate", *POLICIES)
# Columns of `Decided` that say a default was taken, and by which name it is told. Beyond the horizon: the window is
# longer than the forecast, whose last season stands in for the rest (`paths.extended`); who knows the forecast says so.
ASSUMED = {
    "assumed_variability": "demand_variability", "assumed_seasonality": "seasonality_index",
    "assumed_beyond_horizon": "demand_beyond_horizon",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Decided:
    """What to order, n items. Money and units are the items' own; figures are means over the paths.

    columns: quantity, cost, service (expected), idle_cost and idle_service (of ordering nothing), reachable (whether
    any quantity reaches the wanted service; that of a surrogate or simple policy may miss it all the same), daily_mean,
    variability, seasonality, window_days, cover_days (median day on which the shelf alone is empty, NaN = not within
    the window), and of each simple policy quantity_<policy>, cost_<policy>, service_<policy>; each [n].
    assumed_* [n]: the default was taken.
    """

    columns: dict[str, NDArray]
    method: str


def decide(
    items: Items, on_shelf: Floats, paths: Floats, days: Days, seasonality: Floats, settings: InventorySettings,
    method: str, fitted: FittedSurrogate | None = None,
) -> Decided:  # fmt: skip
    """paths [n, S, H]: demand a period of the periods that `days` (as long as the longest window) touches.

    seasonality [n], NaN = not known. method: one of METHODS; `surrogate` needs `fitted`.
    """
    if method not in METHODS or (method == "surrogate" and fitted is None):
        raise SettingsError(
            "this method cannot decide here", found=method, expected=METHODS,
            hint="A surrogate is trained by python -m jobs.train 'only=[inventory_optimization]'",
        )  # fmt: skip
    n, review = len(items), settings.review_days
    facts = facts_of(
        items, paths, days, review, seasonality, variability_default=settings.demand_variability,
        seasonality_default=settings.seasonality_index,
    )  # fmt: skip
    simple = simple_quantities(items, facts.mean, facts.sd, review)
    answered = fitted.quantity(items, facts) if method == "surrogate" and fitted is not None else simple.get(method)
    lengths = window_days(items, review)
    out: dict[str, NDArray] = {name: np.full(n, np.nan) for name in (
        "quantity", "cost", "service", "idle_cost", "idle_service", "cover_days",
        *(f"{figure}_{policy}" for policy in POLICIES for figure in ("cost", "service")),
    )}  # fmt: skip
    out["reachable"] = np.zeros(n, dtype=bool)
    for rows, length in chunks(lengths, paths.shape[1], settings.memory_mb):
        some = items.take(rows)
        daily = Days(days.step[:length], days.share[:length]).spread(paths[rows])
        window = Window.of(some, daily)
        idle = window.outcome(some, np.zeros(len(rows)))
        if answered is None:
            best = optimum(some, window)
            chosen, outcome, reached = best.quantity, best.outcome, best.reached
        else:
            chosen = answered[rows]
            if method == "surrogate":
                chosen = checked_on(some, chosen, daily[:, ::EVERY])
            outcome = window.outcome(some, chosen)
            reached = reachable(some, window)
        figures = {
            "quantity": chosen, "cost": outcome.cost, "service": outcome.fill, "reachable": reached,
            "idle_cost": idle.cost, "idle_service": idle.fill, "cover_days": cover(on_shelf[rows], daily),
        }  # fmt: skip
        for policy in POLICIES:
            of = window.outcome(some, simple[policy][rows])
            figures |= {f"cost_{policy}": of.cost, f"service_{policy}": of.fill}
        for name, values in figures.items():
            out[name][rows] = values
    return Decided(
        out | {f"quantity_{policy}": simple[policy] for policy in POLICIES} | {
            "daily_mean": facts.mean, "variability": facts.variability, "seasonality": facts.seasonality,
            "assumed_variability": facts.assumed_variability, "assumed_seasonality": facts.assumed_seasonality,
            "window_days": lengths,
        },
        method,
    )  # fmt: skip


def cover(on_shelf: Floats, daily: Floats) -> Floats:
    """The day on which the shelf alone is empty in the median path [n]; NaN when that is after the window's last day.

    on_shelf [n] (what is promised is not on it) below 0 counts as 0; daily [n, S, W].
    """
    sold = np.cumsum(daily, axis=2)
    lasts: Ints = (sold <= np.maximum(on_shelf, 0.0)[:, None, None]).sum(axis=2)  # whole days that it serves
    day = np.median(lasts, axis=1) + 1
    return np.where(day <= daily.shape[2], np.floor(day), np.nan)
