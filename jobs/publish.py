"""From a judged run to a release: everything needed to serve, to explain and to forecast again tomorrow."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from demand.calendar import Calendar
from jobs.carry import KNOWN_SHARE, known_share, styles_of
from jobs.entries import carried, entries, named, stored_at
from jobs.fleet import Fleet, registry_of
from jobs.race import Race
from jobs.serving_tables import write_serving_tables
from jobs.verdict import Verdict
from models.files import write_json
from models.forecast_files import write_forecasts
from models.registry import Registry
from models.release import Release

ROWS_A_GROUP = 256  # of live forecasts: what a server reads to show one style


def publish(fleet: Fleet, race: Race, verdict: Verdict, outcomes: pd.DataFrame) -> tuple[int, bool]:
    """Makes the release and points `champion` at it. Returns (number, promoted).

    The first release is always promoted: the gate has already decided which model serves it. A later one replaces the
    champion only when its served model's WAPE is not worse than the champion's by more than the spread between its own
    origins.
    """
    releases = registry_of(fleet.settings)
    before = releases.alias("champion")

    def fill(folder: Path) -> Mapping[str, Any]:
        return _fill(folder, fleet, race, verdict, outcomes)

    # A run killed after its release was made does not make another one when it is resumed.
    made = _release_of(releases, fleet) if fleet.settings.resume else None
    number = made or releases.publish(fill)
    if before == number:
        releases.refresh_view()
        return number, True
    promoted, reason = _may_replace(releases, before, number)
    # The history first: whoever finds a promoted release finds its entries too.
    if made is None or number not in releases.releases_in_history():
        said = entries(fleet, race, verdict, number).values()
        releases.append_history([{**entry, "promotion": reason} for entry in said])
    if promoted:
        releases.promote(number, expected=before, facts={"forced": False})
    if not fleet.settings.releases.model_versioning:
        releases.keep_only_newest()
    return number, promoted


def _release_of(registry: Registry, fleet: Fleet) -> int | None:
    """The release this very run has made already; an older run of the same name does not count."""
    begun = fleet.run.json("manifest.json")["created"]
    for number in reversed(registry.numbers()):
        manifest = registry.open(number).manifest
        if manifest["run_id"] == fleet.run.run_id and manifest["created"] >= begun:
            return number
    return None


def _fill(folder: Path, fleet: Fleet, race: Race, verdict: Verdict, outcomes: pd.DataFrame) -> Mapping[str, Any]:
    if verdict.live is None:
        raise ValueError("only a run with a live origin can be released")
    run, settings, live = fleet.run, fleet.settings, verdict.live
    source = run.file("models")
    if source.is_dir():
        shutil.copytree(source, folder / "models")
    lender = _lender(fleet)
    if lender is not None:
        for kind in carried(fleet):
            shutil.copytree(lender.file(f"models/{kind}"), folder / "models" / kind)
    write_forecasts(folder / "forecasts.parquet", [(verdict.served, live)], ROWS_A_GROUP)
    write_forecasts(folder / "members.parquet", sorted(verdict.live_members.items()), ROWS_A_GROUP)
    # What the members said at earlier origins: weights and intervals of tomorrow's forecast are made from it.
    members = [name for name in settings.ensemble.members if name in race.raw]
    earlier = [(m, race.raw[m][f.cutoff]) for m in members for f in (*fleet.origins.inner, *fleet.origins.scored)]
    write_forecasts(folder / "origins.parquet", earlier)
    newest = verdict.ensembles.get(live.origin)
    if newest is not None:
        _write_table(newest.weights.to_frame(), folder / "weights.parquet")
    _write_table(verdict.board, folder / "metrics.parquet")
    _write_table(outcomes, folder / "outcomes.parquet")
    write_serving_tables(folder, fleet, verdict)
    shutil.copy(run.file("config.yaml"), folder / "config.yaml")
    manifest = run.json("manifest.json")
    calendar = Calendar(fleet.panel.freq)
    card = {
        "served": verdict.served,
        "gate": {
            "passed": verdict.gate.passed,
            "reasons": list(verdict.gate.reasons),
            "tests": list(verdict.gate.tests),
        },
        "horizon": live.horizon,
        "levels": list(live.levels),
        "season": fleet.question.season,
        "freq": fleet.panel.freq,
        "unit": fleet.panel.unit,
        "origin": str(calendar.dates([live.origin])[0])[:10],
        "n_inner": len(fleet.origins.inner),
        "folds": [fold.cutoff for fold in (*fleet.origins.inner, *fleet.origins.scored)],
        "blanks": fleet.question.blanks,
        "metrics": verdict.metrics,
    }
    write_json(folder / "card.json", card)
    return {
        "run_id": run.run_id,
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "served": verdict.served,
        "n_series": len(live.ids),
        "models": {
            kind: {**_origin_of(kind, fleet, lender), "path": path,
                   "metrics": verdict.metrics[kind], "below_threshold": _below(verdict, kind)}
            for kind in named(fleet, verdict) if (path := stored_at(fleet, verdict, kind))
        },
        **{name: manifest[name] for name in ("data_hash", "config_hash", "code_version", "seed", "libraries")},
    }  # fmt: skip


def _lender(fleet: Fleet) -> Release | None:
    """The release that lends models to this run; None when all of them were trained in it."""
    number = fleet.intent.release if fleet.intent else None
    return registry_of(fleet.settings).open(number) if number is not None else None


def _origin_of(kind: str, fleet: Fleet, lender: Release | None) -> dict[str, Any]:
    """Which run made a model's version, when, and from how many cells of history: this one, or the one that made it
    for the lending release."""
    if lender is not None and kind in carried(fleet):
        entry = lender.manifest["models"][kind]
        kept = {name: entry[name] for name in ("source_path", "version", "trained_at")}
        return {**kept, "training_samples": entry.get("training_samples")}
    created = fleet.run.json("manifest.json")["created"]
    cells = int(fleet.panel.lengths.sum())
    return {"source_path": str(fleet.run.path), "version": fleet.run.run_id, "trained_at": created,
            "training_samples": cells}  # fmt: skip


def _below(verdict: Verdict, kind: str) -> bool:
    row = verdict.board.loc[verdict.board["model"] == kind]
    return bool(len(row) and row.iloc[0]["below_threshold"])


def _may_replace(registry: Registry, champion: int | None, number: int) -> tuple[bool, str]:
    if champion is None:
        return True, "first release"
    old, new = (registry.open(n).json("card.json") for n in (champion, number))
    if old["freq"] != new["freq"] or old["horizon"] != new["horizon"]:
        return True, "another calendar or horizon: no common yardstick with the champion"
    share = known_share(registry.open(champion), styles_of(registry.open(number)))
    if share < KNOWN_SHARE:
        return True, f"another fleet: release {champion} knows {share:.0%} of its styles"
    then, now = (_relative_wape(card) for card in (old, new))
    if then is not None and now is not None and now > then + 0.03:
        return False, f"held back: WAPE against the seasonal naive {now:.3f}, the champion's {then:.3f}"
    return True, "not worse than the champion"


def _relative_wape(card: Mapping[str, Any]) -> float | None:
    """WAPE of what is served over the seasonal naive's on the same origins: comparable between data of two dates."""
    served, naive = (card["metrics"][name]["wape"] for name in (card["served"], "seasonal_naive"))
    return served / naive if served is not None and naive else None


def _write_table(frame: pd.DataFrame, path: Path) -> None:
    """A frame as Parquet, without the notes pandas would put into its metadata (they may not be JSON)."""
    bare = frame.copy(deep=False)
    bare.attrs = {}
    pq.write_table(pa.Table.from_pandas(bare, preserve_index=False), path)
