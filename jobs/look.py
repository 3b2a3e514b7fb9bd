"""One look at a released fleet: the champion, today's data, the window, and what can be said without any score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from demand.ingest import Ingested
from demand.panel import Panel
from evaluation.matured import CHAMPION
from evaluation.terms import terms
from evaluation.trial import TrialRule, trial
from jobs.served import InOffice, in_office, promotion_of, said
from jobs.settings import Settings
from models.registry import Registry
from models.release import Release


@dataclass(frozen=True, eq=False)
class Look:
    """What one look at the fleet has before it: data, champion, window (period numbers) and who was in office."""

    settings: Settings
    panel: Panel
    champion: Release
    card: Mapping[str, Any]
    origin: int
    first: int
    end: int
    periods: int
    today: date
    office: InOffice

    def day(self, period: int) -> str:
        return str(self.panel.calendar.dates([period])[0])[:10]


def look_at(
    settings: Settings,
    ingested: Ingested,
    registry: Registry,
    champion: Release,
    card: Mapping[str, Any],
    now: datetime,
) -> Look:
    """Opens the releases that were in office in the window that ends with the newest complete period."""
    panel, calendar = ingested.panel, ingested.panel.calendar
    today = settings.source.as_of or now.astimezone(settings.schedule.zone).date()
    # The last period is not over while it is today's, or while the data ends inside it.
    unfinished = bool(ingested.report.incomplete_last_period)
    end = min(panel.end - unfinished, int(calendar.containing(np.datetime64(today))) - 1)
    periods = calendar.periods_in(settings.monitoring.performance_window_days)
    first = end - periods + 1
    office = in_office(registry, champion, panel, first, end, settings.schedule.zone)
    origin = int(calendar.containing(card["origin"]))
    return Look(settings, panel, champion, card, origin, first, end, periods, today, office)


def judged_since(look: Look, history: list[dict[str, Any]]) -> int:
    """First period that counts for the degradation: what an earlier alert was about, and a later release answers for
    no more, is not alarmed about again."""
    alarmed = [line for line in history if any(alert["cause"] == "degradation" for alert in line.get("alerts", ()))]
    if not alarmed:
        return look.first
    at, release = str(alarmed[-1]["at"]), alarmed[-1]["release"]
    later = [
        one.term.first for one in look.office.served
        if str(look.office.promoted[one.term.promotion]["at"] or "") > at and one.term.release != release
    ]  # fmt: skip
    return min(later, default=look.first)


def new_data(look: Look) -> dict[str, Any]:
    """Known cells since the champion's origin beside those it knew."""
    periods, known = look.panel.periods, ~np.isnan(look.panel.y)
    new = int((known & (periods > look.origin) & (periods <= look.end)).sum())
    before = int((known & (periods <= look.origin)).sum())
    return {"periods": max(0, look.end - look.origin), "cells": new, "known_before": before,
            "share": new / before if before else None, "limit": look.settings.monitoring.new_data_share}  # fmt: skip


def freshness(look: Look) -> dict[str, Any]:
    """How old the newest data is: days from the last day of its period to today, as the service counts them."""
    last = look.panel.calendar.spans(np.array([look.panel.end]))[1][0].astype("datetime64[D]")
    days = int((np.datetime64(look.today) - last).astype(int))
    return {"newest": look.day(look.panel.end), "today": look.today.isoformat(), "days_old": max(0, days),
            "limit": look.settings.monitoring.stale_after_days}  # fmt: skip


def trial_of(look: Look, registry: Registry) -> dict[str, Any] | None:
    """Champion against challenger; None without a challenger."""
    number = registry.alias("challenger")
    if number is None or number == look.champion.number:
        return None
    challenger, calendar, settings = registry.open("challenger"), look.panel.calendar, look.settings.monitoring
    if challenger.json("card.json")["freq"] != look.panel.freq:
        return {"challenger": number, "outcome": "go on", "words": "go on: the challenger has another calendar"}
    made = promotion_of(challenger, challenger.manifest["created"], calendar, look.settings.schedule.zone)
    since = [term.first - 1 for term in terms([made], max(look.end, made.origin + 1), look.panel.freq)]
    current = [one.term.first - 1 for one in look.office.served if one.term.release == look.champion.number]
    # Nothing that either said after the fact: from the later of the two on.
    begun = max([*since, *current, look.origin] if since and (current or look.end <= look.origin) else [look.end])
    rule = TrialRule(
        settings.trial_level, calendar.periods_in(settings.trial_min_days), calendar.periods_in(settings.trial_max_days)
    )  # fmt: skip
    names = (f"release {look.champion.number}", f"release {number}")
    ours, theirs = (said(release)[CHAMPION] for release in (look.champion, challenger))
    found = trial(look.panel, ours, theirs, begun, look.end, rule, season=look.card["season"], names=names,
                  seed=look.settings.seed)  # fmt: skip
    return {"champion": look.champion.number, "challenger": number, **found,
            **{edge: look.day(found[edge]) for edge in ("first", "last")}}  # fmt: skip
