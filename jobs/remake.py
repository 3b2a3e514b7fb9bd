"""A release from stored releases: members that were trained before, combined, scored and written as a run does it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from demand.errors import SettingsError
from demand.panel import Panel
from demand.store import write_panel
from jobs.carry import Intent, not_comparable
from jobs.company_tables import copy_tables
from jobs.fleet import Fleet, ask, compete, lineage, planned, runs_root, write_config
from jobs.gate import panel_of
from jobs.lines import released_lines, write_order_lines
from jobs.publish import fill_release
from jobs.race import Race
from jobs.run_folder import RunFolder
from jobs.settings import Settings
from jobs.verdict import Verdict
from models.catalog import BASELINES, LEARNED
from models.files import read_json
from models.registry import Registry
from models.release import Release, seal

# What a remade release takes from today's command, not from the configuration it was trained with.
_TODAY = ("storage", "gate", "releases", "cluster", "progress", "log_level", "run_id", "reason")


@dataclass(frozen=True, eq=False)
class Remade:
    """A judged run whose members come from stored releases."""

    fleet: Fleet
    race: Race
    verdict: Verdict


def remake(settings: Settings, champion: Release, others: Mapping[str, Release]) -> Remade:
    """The champion's fleet, with each kind of `others` from that release instead; judged on the champion's origins.

    Baselines are computed anew, nothing else is fitted. The demand is that of the newest of these releases. Raises
    SettingsError when they do not share calendar, horizon, levels and origins, VersionUnreadable when a member cannot
    answer for the newest day.
    """
    releases = [champion, *others.values()]
    told = _told(settings, champion, others)
    newest, panel = _newest(releases, settings)
    question = ask(told, panel, live=True)
    for release in releases:
        _check_common(release, champion, panel, not_comparable(release, panel, question))
    card = champion.json("card.json")
    cutoffs = tuple(card["folds"])
    stored = champion.manifest["models"]
    members = [kind for kind in told.ensemble.members if kind in LEARNED and (kind in stored or kind in others)]
    intent = Intent(
        train=tuple(kind for kind in BASELINES if kind in stored and told.models[kind].enabled),
        carried=tuple(members), idle=dict.fromkeys(members, "nothing is trained by a promotion"),
        release=champion.number, origins=(cutoffs[: card["n_inner"]], cutoffs[card["n_inner"] :]),
        others={kind: release.number for kind, release in others.items()},
    )  # fmt: skip
    asked = planned(told, panel, True, question, intent)
    report = _report(newest, settings)

    def begin(new: RunFolder) -> None:
        write_panel(panel, new.file("panel"))
        new.write_json("cleaning.json", report)
        write_order_lines(new, panel.ids, released_lines(newest, panel.ids))
        copy_tables(newest.path, new.path)
        write_config(new, told)
        new.write_json("manifest.json", lineage(told, panel, "promote") | {"intent": intent.as_json()})

    run = RunFolder.create(runs_root(settings), settings.run_id, begin)
    fleet = Fleet(run, told, panel, report, *asked, intent)
    race, verdict = compete(fleet)
    return Remade(fleet, race, verdict)


def staged_release(remade: Remade, outcomes: pd.DataFrame) -> tuple[Release, Mapping[str, Any]]:
    """The release in the run's own folder, sealed, with number 0, and its facts: the registry knows nothing of it."""
    folder = remade.fleet.run.file("release")
    folder.mkdir()
    facts = fill_release(folder, remade.fleet, remade.race, remade.verdict, outcomes)
    seal(folder, facts)
    return Release.open(folder, 0), facts


def into_registry(registry: Registry, staged: Release, facts: Mapping[str, Any]) -> int:
    """Gives the staged release its number; the same bytes, file by file."""

    def fill(folder: Path) -> Mapping[str, Any]:
        shutil.copytree(staged.path, folder, dirs_exist_ok=True, ignore=lambda place, names: _sealed(place, staged))
        return facts

    return registry.publish(fill)


def _sealed(place: str, staged: Release) -> set[str]:
    return {"manifest.json"} if Path(place) == staged.path else set()


def settings_of(release: Release, settings: Settings, models: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a release, with today's place and gate; `models` replaces the configuration of some kinds."""
    values = release.config()
    values["models"] = {**values["models"], **(models or {})}
    stored = Settings.from_mapping(values)
    today = {name: getattr(settings, name) for name in _TODAY}
    return replace(stored, **today, parallel_training=False, resume=None, only=None, force=False, release=None)


def _told(settings: Settings, champion: Release, others: Mapping[str, Release]) -> Settings:
    models = {kind: {**release.config()["models"][kind], "enabled": True} for kind, release in others.items()}
    return settings_of(champion, settings, models)


def _newest(releases: list[Release], settings: Settings) -> tuple[Release, Panel]:
    """The release with the newest demand, and that; of equals the last one."""
    found: tuple[Release, Panel] | None = None
    for release in releases:
        panel = panel_of(release, settings)
        if panel is None:
            raise SettingsError(
                "the demand this release was made from is not kept any more", release=release.number,
                hint="Train a new release: python -m jobs.train force=true",
            )  # fmt: skip
        if found is None or panel.end >= found[1].end:
            found = release, panel
    assert found is not None
    return found


def _check_common(release: Release, champion: Release, panel: Panel, why: str) -> None:
    """Raises SettingsError when the release cannot stand beside the champion."""
    mine, theirs = release.json("card.json"), champion.json("card.json")
    asked = ("freq", "horizon", "levels", "season", "unit", "blanks")
    differ = [f"{name}: {mine[name]}, release {champion.number} has {theirs[name]}"
              for name in asked if mine[name] != theirs[name]]  # fmt: skip
    missing = sorted(set(theirs["folds"]) - set(mine["folds"]))
    if missing:
        dates = panel.calendar.dates(missing[:5])
        differ.append(f"origins: {len(missing)} of the champion's are not among its own, such as {str(dates[0])[:10]}")
    if differ or why:
        raise SettingsError(
            "the releases do not share what they were asked", release=release.number, champion=champion.number,
            differ=differ or [why],
            hint="Train the model on the champion's origins: python -m jobs.train 'only=[MODEL]' force=true",
        )  # fmt: skip


def _report(release: Release, settings: Settings) -> dict[str, Any]:
    """The cleaning report that goes with a release's data; only its rejected styles where that is not kept any more."""
    run = runs_root(settings) / Path(str(release.manifest["run_id"])).name
    for place in (release.file("quality.json"), run / "cleaning.json"):
        if place.is_file():
            found: dict[str, Any] = read_json(place)
            return found
    table = pq.read_table(release.file("outcomes.parquet"), columns=["unique_id", "status", "cause"])
    return {"rejected": {row["unique_id"]: row["cause"] for row in table.to_pylist() if row["status"] == "rejected"}}
