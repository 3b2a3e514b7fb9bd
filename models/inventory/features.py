"""The nine features of an order decision, and what they are computed from. Scaled by demand: see `scaled`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demand.panel import Floats, Panel
from models.inventory.items import Items
from models.inventory.paths import Days

FEATURES = (
    "current_inventory", "lead_time", "demand_variability", "service_level", "holding_cost", "ordering_cost",
    "stockout_cost", "supplier_reliability", "seasonality_index",
)  # fmt: skip
TARGET = "optimal_order_quantity"


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of the demand ahead of n items; all [n].

    mean, sd: of demand a day over the window, sd such that the window's total has sd * sqrt(days). variability: std /
    mean of the demand over the lead time (one day where that is 0). seasonality: demand in the season positions ahead /
    overall mean. assumed_variability, assumed_seasonality: the default was taken, because there is no demand, or less
    than two seasons of history.
    """

    mean: Floats
    sd: Floats
    variability: Floats
    seasonality: Floats
    assumed_variability: NDArray[np.bool_]
    assumed_seasonality: NDArray[np.bool_]


def facts_of(
    items: Items, paths: Floats, days: Days, review_days: int, seasonality: Floats, *, variability_default: float,
    seasonality_default: float,
) -> Facts:  # fmt: skip
    """From paths a period [n, S, H] and the days they fall on; seasonality [n], NaN = not known."""
    n = len(items)
    window = items.lead_days + review_days
    ends = np.cumsum(_weights(days, paths.shape[2]), axis=0)  # [W, H]: share of each period up to the end of each day
    lead_mean, lead_sd = _moments(paths, ends[np.maximum(items.lead_days, 1) - 1])
    whole_mean, whole_sd = _moments(paths, ends[window - 1])
    variability = np.divide(lead_sd, lead_mean, out=np.full(n, np.nan), where=lead_mean > 0)
    no_variability, no_season = np.isnan(variability), np.isnan(seasonality)
    return Facts(
        mean=whole_mean / window,
        sd=whole_sd / np.sqrt(window),
        variability=np.where(no_variability, variability_default, variability),
        seasonality=np.where(no_season, seasonality_default, seasonality),
        assumed_variability=no_variability,
        assumed_seasonality=no_season,
    )


def seasonality_index(history: Panel, days: Days) -> Floats:
    """Mean demand in the season positions of the days ahead / overall mean [N]; NaN below two seasons of history and
    where nothing was sold. `history` has no NaN."""
    season = history.calendar.season
    position = history.periods % season
    cell = history.series_of * season + position
    total = np.bincount(cell, weights=history.y, minlength=history.n_series * season)
    count = np.bincount(cell, minlength=history.n_series * season)
    means = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0).reshape(-1, season)
    ahead = np.bincount((history.end + 1 + days.step) % season, weights=days.share, minlength=season)
    overall = np.add.reduceat(history.y, history.indptr[:-1]) / history.lengths
    enough = (history.lengths >= 2 * season) & (overall > 0)
    found = np.full(history.n_series, np.nan)
    if ahead.sum() > 0:
        wanted = np.where(ahead > 0, ahead, np.nan) / ahead.sum()
        index = np.nansum(means * wanted, axis=1)
        found[enough] = index[enough] / overall[enough]
    return found


def scaled(items: Items, facts: Facts) -> Floats:
    """The nine features in the order of FEATURES [n, 9]; stock and ordering cost are in days of mean demand, since none
    of the nine holds the level of demand. NaN where the mean is 0."""
    mean = np.where(facts.mean > 0, facts.mean, np.nan)
    return np.column_stack(
        [items.position / mean, items.lead_days.astype(np.float64), facts.variability, items.service, items.holding,
         items.ordering / mean, items.stockout, items.reliability, facts.seasonality]
    )  # fmt: skip


def _weights(days: Days, periods: int) -> Floats:
    """[W, H]: how much of each period falls on each day."""
    table = np.zeros((len(days.step), periods))
    table[np.arange(len(days.step)), days.step] = days.share
    return table


def _moments(paths: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation over the paths of each item's weighted total; weights [n, H]."""
    total = np.einsum("nsh,nh->ns", paths, weights)
    return total.mean(axis=1), total.std(axis=1)
