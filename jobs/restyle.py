"""Some styles as an earlier release forecast them, all others as the champion does: a rollback of single styles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from demand.errors import SettingsError
from demand.panel import Strings
from evaluation.folds import Fold
from evaluation.leaderboard import leaderboard
from evaluation.stored import member_forecasts, served_forecast
from jobs.carry import trained_to
from jobs.remake import Remade, settings_of
from jobs.tasks import laid_over
from jobs.verdict import Verdict
from models.base import Forecast
from models.ensemble import KIND
from models.forecast_files import read_forecasts
from models.release import Release


def check_styles(styles: Sequence[str], source: Release, champion: Release) -> Strings:
    """The styles, sorted [n]. Raises SettingsError for those that a release does not forecast, and when `source` knows
    more than the champion or was asked something else."""
    wanted = np.array(sorted(set(styles)), dtype=str)
    mine, theirs = source.json("card.json"), champion.json("card.json")
    for release in (source, champion):
        ((_, served),) = read_forecasts(release.file("forecasts.parquet"))
        unknown = wanted[~np.isin(wanted, served.ids)]
        if len(unknown):
            raise SettingsError(
                "the release does not forecast these styles", key="styles", release=release.number,
                count=len(unknown), first=unknown.tolist(),
            )  # fmt: skip
    differ = [f"{name}: {mine[name]}, the champion has {theirs[name]}"
              for name in ("freq", "horizon", "levels", "unit") if mine[name] != theirs[name]]  # fmt: skip
    if mine["origin"] > theirs["origin"]:
        differ.append(f"origin: {mine['origin']} lies after the champion's, {theirs['origin']}")
    if differ:
        raise SettingsError(
            "rows of this release cannot stand beside the champion's", release=source.number, differ=differ,
            hint="Choose another release, or promote this one as a whole",
        )  # fmt: skip
    return wanted


def restyled(remade: Remade, champion: Release, source: Release, styles: Strings, reason: str | None) -> Remade:
    """`remade` (the champion's own members) with the rows of `styles` as `source` makes them, signed in their notes.

    All other rows are the champion's stored ones, bit for bit. Where both were made on the same day the rows are those
    stored in `source`, else what its models say of the champion's demand. Errors follow where the two share origins.
    """
    verdict = remade.verdict
    ((served, live),) = read_forecasts(champion.file("forecasts.parquet"))
    rows, members = _rows_of(source, remade, live)
    label = f"taken from release {source.number}" + (f": {reason}" if reason else "")
    shared = _shared_origins(champion, source)
    if not shared:
        label += f"; its errors are those of release {champion.number}'s forecasts: no common origin"
    live = _laid(live, _signed(rows, label, served, source), styles)
    kept = dict(read_forecasts(champion.file("members.parquet")))
    kept = {kind: _laid(own, members[kind], styles) if kind in members else own for kind, own in kept.items()}
    verdict = replace(verdict, live=live, live_members=kept, served=served)
    return replace(remade, verdict=_scored(verdict, champion, source, styles, remade))


def _rows_of(source: Release, remade: Remade, live: Forecast) -> tuple[Forecast, dict[str, Forecast]]:
    """What `source` serves for the champion's newest day, and its members' rows."""
    panel, question = remade.fleet.panel, remade.fleet.question
    if trained_to(source, panel) == live.origin:
        ((_, rows),) = read_forecasts(source.file("forecasts.parquet"))
        return rows, dict(read_forecasts(source.file("members.parquet")))
    fold = Fold(panel.end, live.horizon)
    members, _ = member_forecasts(source, question.history(panel, fold), question)
    told = settings_of(source, remade.fleet.settings)
    served = source.json("card.json")["served"]
    if served != KIND and served not in members:
        raise SettingsError(
            "the release's models cannot forecast from the champion's newest day", release=source.number,
            served=served, hint="Choose another release",
        )  # fmt: skip
    return served_forecast(source, panel, members, fold, question, told.ensemble), members


def _signed(rows: Forecast, label: str, served: str, source: Release) -> Forecast:
    """Rows that say where they come from, and why another model than the served one made them."""
    foreign = rows.made_by != served
    why = np.where(foreign & (rows.reason == ""), f"release {source.number} serves another model", rows.reason)
    note = np.array([f"{label}; {said}" if said else label for said in rows.note.tolist()])
    return replace(rows, note=note, reason=why.astype(str))


def _laid(base: Forecast, other: Forecast, styles: Strings) -> Forecast:
    """`base` with the rows of `styles` that `other` made."""
    at, there = np.searchsorted(base.ids, styles), np.searchsorted(other.ids, styles)
    inside = (there < len(other.ids)) & (other.ids[np.minimum(there, len(other.ids) - 1)] == styles)
    inside &= (at < len(base.ids)) & (base.ids[np.minimum(at, len(base.ids) - 1)] == styles)
    at, there = at[inside], there[inside]
    made = other.made[there]
    return laid_over(base, other.take(there[made]), at[made])


def _shared_origins(champion: Release, source: Release) -> set[int]:
    """Scored origins of both releases."""
    mine, theirs = ({forecast.origin for _, forecast in _scored_by(release)} for release in (champion, source))
    return mine & theirs


def _scored_by(release: Release) -> list[tuple[str, Forecast]]:
    """What a release forecast at its scored origins; nothing for one made before that was kept."""
    place = release.file("scored.parquet")
    return read_forecasts(place) if place.is_file() else []


def _scored(verdict: Verdict, champion: Release, source: Release, styles: Strings, remade: Remade) -> Verdict:
    """The verdict with the served model's errors as they are now: the champion's, and the source's for its styles."""
    stored: dict[str, dict[int, Forecast]] = {"champion": {}, "source": {}}
    for name, release in (("champion", champion), ("source", source)):
        served = release.json("card.json")["served"]
        stored[name] = {forecast.origin: forecast for kind, forecast in _scored_by(release) if kind == served}
    results = []
    for result in verdict.results[verdict.served]:
        forecast = _laid(result.forecast, stored["champion"].get(result.fold.cutoff, result.forecast),
                         result.forecast.ids)  # fmt: skip
        if result.fold.cutoff in stored["source"]:
            forecast = _laid(forecast, stored["source"][result.fold.cutoff], styles)
        results.append(replace(result, forecast=forecast))
    settings = remade.fleet.settings
    everyone = {**verdict.results, verdict.served: results}
    board = leaderboard(
        everyone, metric=settings.selection.model_selection_metric,
        thresholds={kind: config.min_accuracy_threshold for kind, config in settings.models.items()},
        unstable_over=settings.gate.unstable_over,
    )  # fmt: skip
    return replace(verdict, results=everyone, board=board)
