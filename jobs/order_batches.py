"""Order decisions as a Ray job: the items in batches, each with the demand it is decided on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from demand.company.joins import Explosion
from demand.errors import ClusterError
from demand.panel import Floats, Ints, Panel
from jobs.cluster import Call, Done, cluster, fan_out
from jobs.settings import Settings
from models.base import Forecast
from models.inventory.decide import Decided, decide
from models.inventory.features import seasonality_index
from models.inventory.items import Items
from models.inventory.paths import Days, forecast_paths, past_paths
from models.inventory.search import window_days
from models.inventory.settings import InventorySettings
from models.inventory.surrogate import FittedSurrogate

BATCH = 2_000  # items: some seconds of the exact search
_BLOCK_MB = 256  # of styles' paths that are turned into yarns at once


class Demand(Protocol):
    """Where a batch's demand comes from."""

    def paths(self, periods: int, n_paths: int) -> Floats:
        """[n, S, periods]"""
        ...


@dataclass(frozen=True, eq=False)
class OfStyles:
    """Styles: paths of their forecast, or of their past where there is none. longest: history of the whole fleet.
    widths: how much further totals lie from the forecast than it says (`models.inventory.widths`)."""

    history: Panel
    forecast: Forecast | None
    longest: int
    widths: tuple[float, ...] = ()

    def paths(self, periods: int, n_paths: int) -> Floats:
        """Demand a period of each style [n, S, periods], in the unit sold; NaN where a style has no made forecast."""
        if self.forecast is None:
            return past_paths(self.history, periods, n_paths, self.longest)
        return forecast_paths(self.forecast, self.history, periods, n_paths, self.longest, self.widths)

    def take(self, rows: Ints) -> OfStyles:
        """The styles at these places, in this order; `longest` stays the fleet's."""
        forecast = None if self.forecast is None else self.forecast.take(rows)
        return replace(self, history=self.history.take(rows), forecast=forecast)


@dataclass(frozen=True, eq=False)
class Given:
    """Paths that are there already [n, S, H]."""

    made: Floats

    def paths(self, periods: int, n_paths: int) -> Floats:
        return self.made[:, :n_paths, :periods]


@dataclass(frozen=True, eq=False)
class Batch:
    """What a worker decides: n items of one window, their shelf stock, their demand and season; days: of the window.

    Paths of another length hold other stretches of the past: what is decided of an item must not depend on the lead
    times of those beside it.
    """

    items: Items
    on_shelf: Floats
    demand: Demand
    seasonality: Floats
    days: Days


def decide_batch(batch: Batch, settings: InventorySettings, method: str, fitted: FittedSurrogate | None) -> Decided:
    """The decisions of one batch. Raises ValueError when its items are not of the window that its days are."""
    if set(window_days(batch.items, settings.review_days).tolist()) != {len(batch.days.step)}:
        raise ValueError("a batch holds items of another window")
    with threadpool_limits(1):
        paths = batch.demand.paths(batch.days.periods, settings.paths)
        return decide(batch.items, batch.on_shelf, paths, batch.days, batch.seasonality, settings, method, fitted)


def decide_pack(
    pack: Sequence[Batch], settings: InventorySettings, method: str, fitted: FittedSurrogate | None
) -> Decided:
    """The decisions of several batches, one after the other: what a task is given lasts seconds."""
    parts = [decide_batch(batch, settings, method, fitted).columns for batch in pack]
    return Decided({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, method)


def packed(batches: Sequence[Batch]) -> list[list[Batch]]:
    """The batches in their order, in packs of about BATCH items."""
    packs: list[list[Batch]] = []
    held = BATCH
    for batch in batches:
        if held + len(batch.items) > BATCH:
            packs.append([])
            held = 0
        packs[-1].append(batch)
        held += len(batch.items)
    return packs


def decide_all(
    batches: Sequence[Batch], settings: Settings, method: str, fitted: FittedSurrogate | None
) -> dict[str, NDArray]:
    """The columns of `Decided` for all batches, in order; on Ray unless parallel_training is false.

    Raises ClusterError when a worker died over and over: the proposal would have holes.
    """
    packs = packed(batches)
    on_ray = settings.parallel_training and len(packs) > 1
    found: dict[str, Decided] = {}
    with cluster(settings.cluster) if on_ray else nullcontext(1) as cpus:
        calls = [Call(f"orders-{i:05d}", 1, (one, settings.inventory, method, fitted)) for i, one in enumerate(packs)]
        in_flight = cpus if settings.max_parallel_jobs == "auto" else settings.max_parallel_jobs
        done = (
            fan_out(decide_pack, calls, in_flight, start_timeout_s=settings.cluster.start_timeout_s)
            if on_ray else (Done(call, value=decide_pack(*call.arguments)) for call in calls)
        )  # fmt: skip
        for one in done:
            if one.crash:
                raise ClusterError("a batch of orders could not be decided", batch=one.call.name, cause=one.crash,
                                   hint="Run again with fewer inventory.paths, or with more memory")  # fmt: skip
            found[one.call.name] = one.value
    parts = [found[call.name].columns for call in calls]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def style_batches(items: Items, on_shelf: Floats, demand: OfStyles, days: Days) -> list[Batch]:
    """Batches of styles; `demand` holds exactly these items, in order."""
    season = seasonality_index(demand.history, days)
    parts = [np.arange(a, min(a + BATCH, len(items))) for a in range(0, len(items), BATCH)]
    return [Batch(items.take(p), on_shelf[p], demand.take(p), season[p], days) for p in parts]


def yarn_batches(items: Items, on_shelf: Floats, paths: Floats, seasonality: Floats, days: Days) -> list[Batch]:
    """Batches of yarns, whose paths [n, S, H] were made from all styles at once."""
    parts = [np.arange(a, min(a + BATCH, len(items))) for a in range(0, len(items), BATCH)]
    return [Batch(items.take(p), on_shelf[p], Given(paths[p]), seasonality[p], days) for p in parts]


def yarn_paths(links: Explosion, demand: OfStyles, periods: int, n_paths: int) -> Floats:
    """Pounds of each yarn [M, S, periods] that the styles of `demand` need, path by path: the same path of every style
    is added, so what moves together stays together. Block by block of styles, in bounded memory."""
    total = np.zeros((len(links.yarn_ids), n_paths, periods))
    n = len(links.styles)
    size = max(1, int(_BLOCK_MB * 2**20 / (8 * n_paths * periods)))
    for first in range(0, n, size):
        rows = np.arange(first, min(first + size, n))
        here = (links.style_at >= first) & (links.style_at < first + len(rows))
        if not here.any():
            continue
        part = replace(links, styles=links.styles[rows], style_at=links.style_at[here] - first,
                       yarn_at=links.yarn_at[here], pounds=links.pounds[here])  # fmt: skip
        total += part.of(np.nan_to_num(demand.take(rows).paths(periods, n_paths)))
    return total


def without_forecast(links: Explosion, history: Panel, forecast: Forecast) -> tuple[str, ...]:
    """What the yarns' paths lack, in words: the need of styles without a forecast (the rows of both are the styles of
    `links`, the history has no NaN), which `yarn_paths` takes for none."""
    lost = np.isin(np.arange(len(links.styles)), links.style_at) & ~forecast.made
    if not lost.any():
        return ()
    volume = np.add.reduceat(history.y, history.indptr[:-1])
    unit = f" {history.unit}" if history.unit else ""
    return (f"no forecast of {int(lost.sum())} styles that are made of yarns: their need is not in the yarns' demand, "
            f"{volume[lost].sum():,.0f} of {volume.sum():,.0f}{unit} of history",)  # fmt: skip


def yarn_seasonality(links: Explosion, history: Panel, days: Days) -> Floats:
    """The season index of each yarn [M]: its styles' weighed by the pounds they need; NaN when none is known."""
    index = seasonality_index(history, days)
    mean = np.add.reduceat(np.maximum(history.y, 0.0), history.indptr[:-1]) / history.lengths
    known = np.where(np.isnan(index), 0.0, mean)
    weight = links.of(known)
    found = np.full(len(weight), np.nan)
    return np.asarray(np.divide(links.of(known * np.nan_to_num(index)), weight, out=found, where=weight > 0))
