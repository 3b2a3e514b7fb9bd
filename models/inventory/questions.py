"""Past order decisions with their best answers: what the surrogate learns from, and what it is judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from demand.panel import Floats, Panel
from models.base import Forecast
from models.inventory.features import Facts, facts_of, seasonality_index
from models.inventory.items import Items
from models.inventory.paths import Days, forecast_paths, past_paths
from models.inventory.policies import simple_quantities
from models.inventory.search import Optimum, Sample, search, window_days
from models.inventory.settings import InventorySettings

COVER = (-0.1, 1.5)  # positions asked: in windows of mean demand; below 0 some units are owed


@dataclass(frozen=True, eq=False)
class Questions:
    """n decisions at one origin, answered from the past alone.

    simple: policy -> quantities [n]. sample draws the same paths again. rows [n]: each decision's series in the panel.
    """

    origin: int
    rows: np.ndarray
    items: Items
    facts: Facts
    optimum: Optimum
    simple: dict[str, Floats]
    sample: Sample


def ask(
    history: Panel, rows: np.ndarray, items: Items, settings: InventorySettings, forecast: Forecast | None = None,
    widths: Sequence[float] = (),
) -> Questions:  # fmt: skip
    """The decisions of `items` [n] about the series `rows` [n] of a history without blanks, at its end.

    Paths are windows of each item's own history before the decision, or those of a forecast made there for all series
    of the history, their totals moved `widths` times as far from their mean (see `forecast_paths`).
    """
    n_paths, review = settings.paths, settings.review_days
    longest = int(history.lengths.max(initial=1))
    reach = int(window_days(items, review).max(initial=1))
    days = Days.after(history.calendar, history.end, reach)
    if forecast is None:
        paths = past_paths(history, days.periods, n_paths, longest)[rows]
    else:
        paths = forecast_paths(forecast, history, days.periods, n_paths, longest, widths)[rows]

    def sample(which: np.ndarray, length: int) -> Floats:
        return Days(days.step[:length], days.share[:length]).spread(paths[which])

    facts = facts_of(
        items, paths, days, review, seasonality_index(history, days)[rows],
        variability_default=settings.demand_variability, seasonality_default=settings.seasonality_index,
    )  # fmt: skip
    best = search(items, sample, review, n_paths, settings.memory_mb)
    simple = simple_quantities(items, facts.mean, facts.sd, review)
    return Questions(history.end, rows, items, facts, best, simple, sample)


def varied(items: Items, mean: Floats, review_days: int, copies: int, seed: int) -> tuple[np.ndarray, Items]:
    """(which item, the decisions [n * copies]): each item asked `copies` times, at other positions and other costs.

    What the stock was at a past date is known to nobody here, and a replay answers for any position: positions are
    spread evenly over COVER windows of mean demand a day `mean` [n]. Service level, reliability, lead time and the
    three costs are the item's own, moved by up to a factor of two, so that the surrogate also knows their
    neighbourhood; lots are the item's own.
    """
    rng = np.random.default_rng(seed)
    which = np.repeat(np.arange(len(items)), copies)
    base = {field.name: getattr(items, field.name)[which] for field in fields(items)}
    n = len(which)
    for name in ("holding", "ordering", "stockout"):
        base[name] = base[name] * 2.0 ** rng.uniform(-1, 1, n)
    base["lead_days"] = np.rint(base["lead_days"] * 2.0 ** rng.uniform(-1, 1, n)).astype(np.int64)
    base["service"] = 1 - (1 - base["service"]) * 2.0 ** rng.uniform(-1, 1, n).clip(max=0.9)
    base["service"] = np.clip(base["service"], 0.01, 0.995)
    base["reliability"] = 1 - (1 - base["reliability"]) * 2.0 ** rng.uniform(-1, 1, n)
    base["reliability"] = np.clip(base["reliability"], 0.0, 1.0)
    window = mean[which] * (base["lead_days"] + review_days)
    base["position"] = rng.uniform(*COVER, n) * window
    return which, Items(**base)
