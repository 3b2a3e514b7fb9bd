"""`python -m jobs.replenish`: how much to order now, from the released forecast and the company's tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demand.calendar import Calendar
from demand.cleaning import DEFAULT_RULES
from demand.company.read import read_company
from demand.company.tables import Company
from demand.moments import stamp
from demand.panel import Floats, Panel
from demand.store import read_panel
from jobs.entry import OK, run
from jobs.fleet import registry_of, runs_root, write_config
from jobs.order_batches import (
    OfStyles,
    decide_all,
    style_batches,
    without_forecast,
    yarn_batches,
    yarn_paths,
    yarn_seasonality,
)
from jobs.order_files import file_served, reasons, told, write_proposal
from jobs.order_items import Wanted, wanted
from jobs.order_methods import Method, choose
from jobs.order_summary import summary
from jobs.run_folder import RunFolder
from jobs.settings import Settings
from jobs.show import show
from models.base import Forecast
from models.forecast_files import read_forecasts
from models.inventory.decide import ASSUMED
from models.inventory.known import Decidable, decidable
from models.inventory.paths import Days
from models.inventory.search import window_days
from models.order_widths import read_widths
from models.release import Release

STALE_DAYS = DEFAULT_RULES["stale_days"].limit


def body(settings: Settings, now: datetime | None = None) -> int:
    """Writes a run folder with proposal.csv and .parquet (what to order), decisions.parquet (a row an item, every
    figure) and replenish.json, and keeps the proposal in `<storage.root>/orders` (`models.proposals`). Exit code 0,
    also when nothing is to be ordered or items lack data: that is the answer. Raises VersionNotFound without a
    release."""
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    release = registry_of(settings).open("champion")
    made = propose(settings, release, read_company(settings.company) if settings.company.any else Company())
    made["summary"]["notes"] += _old(release, moment)

    def fill(new: RunFolder) -> None:
        write_config(new, settings)
        write_proposal(new.path, made)
        new.write_json("replenish.json", made["summary"])
        new.write_json("manifest.json", {"job": "replenish", "release": release.number, "run_id": new.run_id})

    folder = RunFolder.create(runs_root(settings), settings.run_id, fill)
    served = file_served(Path(settings.storage.root), made, folder.run_id, stamp(moment))
    show(*told(made, folder.path), *served)
    return OK


def _old(release: Release, moment: datetime) -> list[str]:
    """What is to be said of a proposal on data that is too old to order by."""
    card = release.json("card.json")
    calendar = Calendar(card["freq"])
    last = calendar.spans(calendar.containing(np.array([card["origin"]], dtype="datetime64[D]")))[1][0].item()
    days = (moment.date() - last).days
    if days <= STALE_DAYS:
        return []
    return [f"The data ends on {last}, {days} days ago, and every date counts from then: load newer orders and train "
            "again before ordering"]  # fmt: skip


def propose(settings: Settings, release: Release, company: Company) -> dict[str, Any]:
    """{summary, decisions}: strict JSON, and a frame of one row an item."""
    panel = read_panel(release.file("panel"))
    ((served, forecast),) = read_forecasts(release.file("forecasts.parquet"))
    blanks = release.json("card.json")["blanks"]
    history = panel.until(forecast.origin).with_blanks_filled(blanks)
    told_by, inventory = settings.company, settings.inventory
    found = wanted(history, company, told_by, inventory.items, inventory.table, settings.substitution)
    if found.explosion is not None and inventory.demand == "forecast":
        lacking = without_forecast(found.explosion, history, _aligned(forecast, history))
        found = replace(found, notes=(*found.notes, *lacking))
    ready = decidable(found.known, inventory)
    missing = dict(ready.missing)
    keep = _with_demand(found, ready, history, forecast, settings, missing)
    method = choose(settings, len(keep), found.kind)
    widths = read_widths(release.path)
    decisions = _decide(found, ready, keep, history, forecast, settings, method, widths)
    frame = _frame(found, ready, keep, decisions, missing, forecast, method.name)
    said = summary(settings, release, served, found, frame, forecast, method, widths)
    return {"summary": said, "decisions": frame}


def _with_demand(
    found: Wanted, ready: Decidable, history: Panel, forecast: Forecast, settings: Settings,
    missing: dict[int, tuple[str, ...]],
) -> np.ndarray:  # fmt: skip
    """Places in `ready` of the items whose demand is known; the others are added to `missing`."""
    names = ready.items.ids
    if found.explosion is None:
        has = np.ones(len(names), dtype=bool)
        if settings.inventory.demand == "forecast":
            made = forecast.ids[forecast.made]
            has = np.isin(names, made)
        why = "forecast"
    else:
        has = np.isin(names, found.explosion.yarn_ids)
        why = "demand: no style of the release is made of it"
    for row in ready.rows[~has]:
        missing[int(row)] = (why,)
    return np.flatnonzero(has)


def _decide(
    found: Wanted, ready: Decidable, keep: np.ndarray, history: Panel, forecast: Forecast, settings: Settings,
    method: Method, widths: tuple[float, ...],
) -> dict[str, Any]:  # fmt: skip
    if not len(keep):
        return {}
    inventory = settings.inventory
    items, on_shelf = ready.items.take(keep), ready.on_shelf[keep]
    windows, calendar = window_days(items, inventory.review_days), Calendar(forecast.freq)
    longest = int(history.lengths.max())
    by_forecast = inventory.demand == "forecast"
    everyone = OfStyles(history, _aligned(forecast, history) if by_forecast else None, longest, widths)
    batches, order, beyond = [], [], []
    for length in np.unique(windows):  # what is decided of an item depends on its own window alone
        at = np.flatnonzero(windows == length)
        days = Days.after(calendar, forecast.origin, int(length))
        some, shelf = items.take(at), on_shelf[at]
        if found.explosion is None:
            batches += style_batches(some, shelf, everyone.take(history.index_of(some.ids)), days)
        else:
            links = found.explosion.into(some.ids)
            uses = history.index_of(links.styles)
            rows = np.searchsorted(links.yarn_ids, some.ids)
            paths = yarn_paths(links, everyone.take(uses), days.periods, inventory.paths)[rows]
            season = yarn_seasonality(links, history.take(uses), days)[rows]
            batches += yarn_batches(some, shelf, paths, season, days)
        order.append(at)
        beyond.append(np.full(len(at), by_forecast and days.periods > forecast.horizon))
    back = np.argsort(np.concatenate(order), kind="stable")
    decided = decide_all(batches, settings, method.name, method.fitted)
    decided["assumed_beyond_horizon"] = np.concatenate(beyond)
    return {name: values[back] for name, values in decided.items()}


def _aligned(forecast: Forecast, history: Panel) -> Forecast:
    """The forecast's rows in the order of the history's series."""
    order = np.argsort(forecast.ids)
    return forecast.take(order[np.searchsorted(forecast.ids[order], history.ids)])


def _frame(
    found: Wanted, ready: Decidable, keep: np.ndarray, decided: Mapping[str, Floats],
    missing: Mapping[int, tuple[str, ...]], forecast: Forecast, method: str,
) -> pd.DataFrame:  # fmt: skip
    """A row an item: what is known, status order | none | no_data, the decision, dates and reasons."""
    frame = found.known.copy()
    rows = ready.rows[keep]
    frame["status"] = "no_data"
    frame["missing"] = ""
    for place, names in missing.items():
        frame.loc[place, "missing"] = ", ".join(names)
    for name in ("lead_days", "holding", "ordering", "stockout", "reliability", "service", "lot", "moq", "position"):
        frame[f"used_{name}"] = np.nan
        frame.loc[rows, f"used_{name}"] = getattr(ready.items, name)[keep].astype(np.float64)
    assumed = ready.assumed[keep].astype(object)
    for name, values in decided.items():
        if name in ASSUMED:
            assumed = np.array([
                f"{a}, {ASSUMED[name]}".strip(", ") if flag else a for a, flag in zip(assumed, values, strict=True)
            ], dtype=object)  # fmt: skip
            continue
        column = np.full(len(frame), np.nan) if values.dtype != bool else np.zeros(len(frame), dtype=bool)
        column[rows] = values
        frame[name] = column
    frame["assumed"] = ""
    frame.loc[rows, "assumed"] = assumed
    if not decided:
        return frame
    frame.loc[rows, "status"] = np.where(decided["quantity"] > 0, "order", "none")
    frame["method"] = np.where(frame["status"] == "no_data", "", method)
    end = Calendar(forecast.freq).spans(np.array([forecast.origin]))[1][0]
    day = np.where(frame["cover_days"].notna(), frame["cover_days"].fillna(0), 0).astype(np.int64)
    dates = np.datetime_as_string(end + day.astype("timedelta64[D]"), unit="D")
    frame["shelf_empty_on"] = np.where(frame["cover_days"].notna(), dates, "")
    lead = frame["used_lead_days"].fillna(0).to_numpy().astype(np.int64)
    frame["order_on"] = str(end + np.timedelta64(1, "D"))
    frame["expected_on"] = np.datetime_as_string(end + np.timedelta64(1, "D") + lead.astype("timedelta64[D]"), unit="D")
    frame["value"] = frame["quantity"] * frame["unit_cost"]
    frame["reason"] = reasons(frame, found.unit)
    return frame


if __name__ == "__main__":
    run("replenish", body)
