"""From a judged run to a release: everything needed to serve, to explain and to forecast again tomorrow."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from demand.calendar import Calendar
from demand.moments import now_utc, stamp
from evaluation.stored import ENSEMBLE, ensemble_facts
from jobs.activation import Activated, activate
from jobs.company_tables import copy_tables
from jobs.entries import entries, named, stored_at
from jobs.evidence import keep_evidence
from jobs.explained import write_explanations
from jobs.fleet import Fleet, registry_of
from jobs.gate import Decision, champion_of, decide
from jobs.race import Race
from jobs.serving_tables import write_serving_tables
from jobs.settings import Settings
from jobs.verdict import Verdict
from models.drivers import FILES
from models.files import write_json
from models.forecast_files import write_forecasts
from models.registry import Registry
from models.release import Release

ROWS_A_GROUP = 256  # of live forecasts: what a server reads to show one style


class Published(NamedTuple):
    """What became of a run: its release, whether that serves, and how the gate and the health check ended."""

    number: int
    promoted: bool
    decision: Decision
    activated: Activated | None

    def as_json(self) -> dict[str, Any]:
        """For the run's summary."""
        ailment = self.activated.ailment if self.activated else ""
        return {"promoted": self.promoted, "reasons": list(self.decision.reasons), "ailment": ailment}


def publish(fleet: Fleet, race: Race, verdict: Verdict, outcomes: pd.DataFrame) -> Published:
    """Makes the release and, when the gate lets it pass, points `champion` at it.

    A release that is held back stays, with the reasons in history.jsonl; `python -m jobs.promote` can ask again.
    """
    releases = registry_of(fleet.settings)
    before = releases.alias("champion")

    def fill(folder: Path) -> Mapping[str, Any]:
        return fill_release(folder, fleet, race, verdict, outcomes)

    # A run killed after its release was made does not make another one when it is resumed.
    made = _release_of(releases, fleet) if fleet.settings.resume else None
    number = made or releases.publish(fill)
    if before == number:
        releases.refresh_view()
        return Published(number, True, Decision(True, ("it serves already",), ()), None)
    if made is not None and before is not None and (before > made or made in releases.ever_served()):
        # Left on purpose, or overtaken: an old run that is gone on with decides nothing anew.
        why = f"release {before} has come after it and serves; resuming a run takes nobody's place"
        return Published(number, False, Decision(False, (why,), ()), None)
    decision = _decision(releases, number, before, fleet.settings, proved=made is None)
    # The history first: whoever finds a promoted release finds its entries too.
    if made is None or number not in releases.releases_in_history():
        said = entries(fleet, race, verdict, number).values()
        releases.append_history([{**entry, "promotion": decision.words} for entry in said])
    activated = None
    if decision.passed:
        facts = {"forced": False, "gate": decision.as_json()}
        activated = activate(releases, number, fleet.settings, expected=before, facts=facts, proved=True)
    if not fleet.settings.releases.model_versioning:
        releases.keep_only_newest()
    return Published(number, activated is not None and activated.serves, decision, activated)


def _decision(releases: Registry, number: int, before: int | None, settings: Settings, *, proved: bool) -> Decision:
    champion, why = champion_of(releases, before)
    return decide(releases.open(number), champion, settings, proved=proved, no_champion=why)


def _release_of(registry: Registry, fleet: Fleet) -> int | None:
    """The release this very run has made already; an older run of the same name does not count."""
    begun = fleet.run.json("manifest.json")["created"]
    for number in reversed(registry.numbers()):
        manifest = registry.open(number).manifest
        if manifest["run_id"] == fleet.run.run_id and manifest["created"] >= begun:
            return number
    return None


def fill_release(folder: Path, fleet: Fleet, race: Race, verdict: Verdict, outcomes: pd.DataFrame) -> Mapping[str, Any]:
    """Writes a release's files into an empty folder; returns the facts of its manifest."""
    if verdict.live is None:
        raise ValueError("only a run with a live origin can be released")
    run, settings, live = fleet.run, fleet.settings, verdict.live
    source = run.file("models")
    if source.is_dir():
        shutil.copytree(source, folder / "models")
    lenders = _lenders(fleet)
    for kind, lender in lenders.items():
        # What moved its forecasts then is not what moves them now: explanations.parquet holds that.
        place = folder / "models" / kind
        shutil.copytree(lender.file(f"models/{kind}"), place, ignore=shutil.ignore_patterns(*FILES))
    write_forecasts(folder / "forecasts.parquet", [(verdict.served, live)], ROWS_A_GROUP)
    write_forecasts(folder / "members.parquet", sorted(verdict.live_members.items()), ROWS_A_GROUP)
    # What the members said at earlier origins: weights and intervals of tomorrow's forecast are made from it.
    members = [name for name in settings.ensemble.members if name in race.raw]
    earlier = [(m, race.raw[m][f.cutoff]) for m in members for f in (*fleet.origins.inner, *fleet.origins.scored)]
    write_forecasts(folder / "origins.parquet", earlier)
    newest = verdict.ensembles.get(live.origin)
    if newest is not None:
        _write_table(newest.weights.to_frame(), folder / "weights.parquet")
        write_json(folder / ENSEMBLE, ensemble_facts(newest))
    keep_evidence(folder, fleet, race, verdict)
    _write_table(verdict.board, folder / "metrics.parquet")
    _write_table(outcomes, folder / "outcomes.parquet")
    write_serving_tables(folder, fleet, verdict)
    write_explanations(folder, fleet, verdict)
    copy_tables(run.path, folder)
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
        "created": stamp(now_utc()),
        "served": verdict.served,
        "n_series": len(live.ids),
        "models": {
            kind: {**_origin_of(kind, fleet, lenders.get(kind)), "path": path,
                   "metrics": verdict.metrics[kind], "below_threshold": _below(verdict, kind)}
            for kind in named(fleet, verdict) if (path := stored_at(fleet, verdict, kind))
        },
        **{name: manifest[name] for name in ("data_hash", "config_hash", "code_version", "seed", "libraries")},
        "tuned": manifest.get("tuned", {}),
    }  # fmt: skip


def _lenders(fleet: Fleet) -> dict[str, Release]:
    """Kind -> the release that lends it to this run."""
    registry = registry_of(fleet.settings)
    lent = fleet.intent.lenders.items() if fleet.intent else ()
    return {kind: release for number, kinds in lent for release in [registry.open(number)] for kind in kinds}


def _origin_of(kind: str, fleet: Fleet, lender: Release | None) -> dict[str, Any]:
    """Which run made a model's version, when, and from how many cells of history: this one, or the one that made it
    for the lending release."""
    if lender is not None:
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


def _write_table(frame: pd.DataFrame, path: Path) -> None:
    """A frame as Parquet, without the notes pandas would put into its metadata (they may not be JSON)."""
    bare = frame.copy(deep=False)
    bare.attrs = {}
    pq.write_table(pa.Table.from_pandas(bare, preserve_index=False), path)
