"""`python -m jobs.forecast`: the champion's models, today's data. Nothing is trained and no release is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from demand.errors import SettingsError
from demand.ingest import ingest
from demand.panel import Panel
from evaluation.folds import Fold
from evaluation.hierarchy import HierarchySettings
from evaluation.stored import member_forecasts, released_adjustments, served_forecast
from jobs.carry import known_share, trained_to
from jobs.entry import FAILED, OK, run
from jobs.fleet import ask, registry_of, runs_root, write_config
from jobs.outputs import write_parquet, write_planner_files
from jobs.run_folder import RunFolder
from jobs.settings import Settings, raise_all
from jobs.show import show
from models.release import Release
from models.siblings import NewbornSettings


def body(settings: Settings) -> int:
    """Writes forecast.parquet, forecast.csv and outcomes.parquet of a forecast run; exit code 0 when every style has a
    row, 1 when a member of the release could not be used at all."""
    release = registry_of(settings).open("champion")
    card = release.json("card.json")
    refuse_others(settings, release, card)
    ingested = ingest(settings.source, settings.columns, settings.cleaning, settings.freq)
    show(*ingested.report.far_lines())
    panel = ingested.panel
    check_same_fleet(panel, release, card)
    question = ask(_as_released(settings, card), panel, live=True)
    fold = Fold(panel.end, card["horizon"])
    history = question.history(panel, fold)
    members, unusable = member_forecasts(release, history, question)
    served: str = card["served"]
    live = served_forecast(release, panel, members, fold, question, settings.ensemble)
    status = np.where(live.made_by == served, "ok", "fell_back")
    outcomes = pd.DataFrame(
        {"unique_id": live.ids.astype(object), "status": status, "cause": live.reason, "made_by": live.made_by}
    )
    facts = {"job": "forecast", "release": release.number, "served": served, "unusable": unusable}

    def write(new: RunFolder) -> None:
        write_planner_files(live, new.path, served)
        write_parquet(outcomes, new.file("outcomes.parquet"))
        write_config(new, settings)
        new.write_json("manifest.json", facts)

    folder = RunFolder.create(runs_root(settings), settings.run_id, write)
    newest = str(panel.calendar.dates([panel.end])[0])[:10]
    n_ok = int((status == "ok").sum())
    show(
        f"Release   {release.number}, trained to {card['origin']}; data to {newest}",
        f"Styles    {len(status)} in = {n_ok} ok + {len(status) - n_ok} fell back",
        *_aged(panel, release),
        *[f"Left out  {kind}: {why}"[:80] for kind, why in unusable.items()],
        f"Forecast  {folder.file('forecast.csv')}",
    )
    return FAILED if unusable else OK


def check_same_fleet(panel: Panel, release: Release, card: Mapping[str, Any]) -> None:
    """Raises SettingsError when the release was not made for this data."""
    if not known_share(release, panel.ids.tolist()):
        raise SettingsError(
            "the data has none of the styles of the champion's release", release=release.number,
            first=panel.ids[:5].tolist(), hint="Name the storage of this fleet (storage.root), or run jobs.pipeline",
        )  # fmt: skip
    if panel.freq != card["freq"]:
        raise SettingsError(
            "the data has another calendar than the release", key="freq", found=panel.freq, expected=card["freq"]
        )
    if panel.end < trained_to(release, panel):
        raise SettingsError(
            "the data ends before the release was trained", release=release.number, trained_to=card["origin"],
            data_to=str(panel.calendar.dates([panel.end])[0])[:10], hint="Name the newest data",
        )  # fmt: skip


def _aged(panel: Panel, release: Release) -> list[str]:
    """What a reader must know when the models are old: they were fitted more than a horizon ago."""
    gone = panel.end - trained_to(release, panel)
    horizon = release.json("card.json")["horizon"]
    return [f"Warning   the models were trained {gone} periods ago: run jobs.train"] if gone > horizon else []


def refuse_others(settings: Settings, release: Release, card: Mapping[str, Any]) -> None:
    """Raises SettingsError for each key that was set to another value than the release decides: it could not act."""
    stored = release.config()
    decided = {"horizon": card["horizon"], "season": card["season"], "levels": tuple(card["levels"]),
               **{key: stored.get(key) for key in ("only", "confidence_level", "confidence_intervals")}}  # fmt: skip
    decided["only"] = tuple(decided["only"]) if decided["only"] else None
    found = {key: getattr(settings, key) for key in decided}
    found["levels"] = found["levels"] and tuple(sorted(set(found["levels"])))
    usual = {key: getattr(Settings, key) for key in decided}
    newborns, hierarchy = released_adjustments(release)
    adjusted = {
        "newborns": (asdict(newborns), asdict(settings.newborns), asdict(NewbornSettings())),
        "hierarchy": (asdict(hierarchy), asdict(settings.hierarchy), asdict(HierarchySettings())),
    }
    for section, (made_with, told, default) in adjusted.items():
        for key, value in made_with.items():
            place = f"{section}.{key}"
            decided[place], found[place], usual[place] = value, told[key], default[key]
    raise_all(
        [
            SettingsError("the release decides this", key=key, found=found[key], expected=value, release=release.number,
                          hint="Leave it out, or train with it")
            for key, value in decided.items() if found[key] not in (value, usual[key])
        ]
    )  # fmt: skip


def _as_released(settings: Settings, card: Mapping[str, Any]) -> Settings:
    """Horizon, levels, season and blanks are the release's: a fitted model answers only what it was fitted for."""
    from dataclasses import replace

    folds = replace(settings.folds, blanks=card["blanks"])
    return replace(settings, horizon=card["horizon"], levels=tuple(card["levels"]), season=card["season"], folds=folds)


if __name__ == "__main__":
    run("forecast", body)
