"""The releases that were champion in a stretch of time, opened: what each said, promised, and when it counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq

from demand.calendar import Calendar
from demand.errors import VersionNotFound
from demand.panel import Panel
from evaluation.matured import CHAMPION, Served
from evaluation.monitoring import Promise
from evaluation.terms import Promotion, terms
from models.base import Forecast
from models.forecast_files import read_forecasts
from models.registry import Registry
from models.release import Release


@dataclass(frozen=True, eq=False)
class InOffice:
    """What is known of the champions whose terms reach into the window.

    served: their terms with what they said, oldest first. promises: release -> its backtest. began: release promoted ->
    first period it ever counted for. notes: what could not be taken into account, in words.
    """

    served: tuple[Served, ...]
    promises: Mapping[int, Promise]
    promoted: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()
    forecasts: Mapping[int, Mapping[str, Forecast]] = field(default_factory=dict)


def in_office(registry: Registry, champion: Release, panel: Panel, first: int, end: int, zone: ZoneInfo) -> InOffice:
    """The champions of the periods first .. end, newest promotion back to the one that was in office before `first`.

    Releases that are no longer kept, or have another calendar, are left out and named: their periods are not scored.
    """
    calendar = panel.calendar
    opened: dict[int, Release] = {champion.number: champion}
    kept: list[tuple[Mapping[str, Any], Promotion]] = []
    notes = []
    for pointer in reversed(registry.promotions()):
        number = int(pointer["release"])
        try:
            release = opened.get(number) or registry.open(number)
        except VersionNotFound:
            notes.append(f"release {number} is no longer kept: its periods are not scored")
            break
        opened[number] = release
        card = release.json("card.json")
        if card["freq"] != panel.freq:
            notes.append(f"release {number} has another calendar ({card['freq']}): its periods are not scored")
            break
        one = promotion_of(release, pointer.get("at"), calendar, zone)
        kept.append((pointer, one))
        clock = None if one.on is None else int(calendar.containing(np.datetime64(one.on)))
        # Whoever was in office before the window is enough, unless it came back: then those before it matter too.
        if one.origin < first and clock is not None and clock <= first and not _came_back(pointer):
            break
    kept.reverse()
    found = terms([one for _, one in kept], end, panel.freq)
    forecasts = {term.release: said(opened[term.release]) for term in found if term.last >= first}
    served = tuple(Served(term, forecasts[term.release]) for term in found if term.release in forecasts)
    promises = {number: promise_of(opened[number]) for number in forecasts}
    return InOffice(served, promises, tuple(pointer for pointer, _ in kept), tuple(notes), forecasts)


def _came_back(pointer: Mapping[str, Any]) -> bool:
    return (pointer.get("facts") or {}).get("rolled_back_from") is not None


def promotion_of(release: Release, at: str | None, calendar: Calendar, zone: ZoneInfo) -> Promotion:
    """A release as a promotion at the moment `at` (ISO, None = not noted), on that day of the schedule's time zone."""
    card = release.json("card.json")
    on = None if at is None else datetime.fromisoformat(at).astimezone(zone).date()
    return Promotion(release.number, on, int(calendar.containing(card["origin"])), int(card["horizon"]))


def said(release: Release) -> dict[str, Forecast]:
    """What a release forecast: `champion` (what it serves) and each member by its kind."""
    ((_, served),) = read_forecasts(release.file("forecasts.parquet"))
    return {CHAMPION: served, **dict(read_forecasts(release.file("members.parquet")))}


def promise_of(release: Release) -> Promise:
    """What the backtest of a release measured for what it serves."""
    card = release.json("card.json")
    wape = card["metrics"][card["served"]]["wape"]
    board = pq.read_table(release.file("metrics.parquet"), columns=["model", "wape_std"]).to_pylist()
    spread = next((row["wape_std"] for row in board if row["model"] == card["served"]), None)
    usable = spread if spread is not None and np.isfinite(spread) else None
    return Promise(wape, usable, len(card["folds"]) - card["n_inner"])
