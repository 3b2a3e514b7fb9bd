"""One entry a model: what the history and the run's summary say about it (contract 8.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from demand.masking import masked
from jobs.fleet import Fleet
from jobs.race import Race
from jobs.rowless import failed_models, without_rows
from jobs.verdict import Verdict
from models.catalog import recipe
from models.ensemble import KIND

KEEP_LISTED = 10  # features named in an entry
LONGEST_CAUSE = 500  # characters


def entries(fleet: Fleet, race: Race, verdict: Verdict, release: int | None) -> dict[str, dict[str, Any]]:
    """Model -> its entry, strict JSON; `release` is the number that holds it, None in a pure backtest.

    status: success, failed or skipped (it declined the data; or it was not due, and a release's version is used); the
    last two carry the cause as `error`. A model without rows has no metrics, since those that were scored in their
    place are its fallback's. metrics: `M`, beside the seasonal naive, with train_size and test_size in cells; its
    evaluation_id is that of the same model in the run's backtest.json. model_path: below the registry, None where
    nothing of the model is kept.
    """
    manifest = fleet.run.json("manifest.json")
    without, failed = without_rows(race), failed_models(race, fleet.settings)
    seconds = seconds_by_model(race)
    found: dict[str, dict[str, Any]] = {}
    for kind in named(fleet, verdict):
        lent = kind in carried(fleet)
        entry: dict[str, Any] = {
            "model_type": kind,
            "status": "failed" if kind in failed else "skipped" if lent or kind in without else "success",
            "trained_at": manifest["created"],
            "model_path": _stored_path(fleet, verdict, kind, release),
            "metrics": None if kind in without else _metrics(fleet, verdict, kind, release is not None),
            "parameters": _parameters(fleet, kind),
        }
        if lent and fleet.intent is not None:
            entry["error"] = (
                f"{fleet.intent.idle.get(kind, 'not asked for')}; release {fleet.intent.lender(kind)}'s is used"
            )
        elif kind in without:
            entry["error"] = without[kind]
        shares = importances(fleet, kind)
        if shares:
            entry |= {"top_features": top_features(shares), "feature_columns": list(shares)}
        found[kind] = entry | {
            "run_id": fleet.run.run_id,
            "release": release,
            "data_hash": manifest["data_hash"],
            "config_hash": manifest["config_hash"],
            "seconds": round(seconds.get(kind, 0.0), 1),
        }
    return found


def broken_off(fleet: Fleet, cause: str) -> list[dict[str, Any]]:
    """An entry for each model of a run that ended before it was released: it failed, and why. The run can be resumed,
    and then adds how it ended."""
    manifest = fleet.run.json("manifest.json")
    shared = {name: manifest[name] for name in ("data_hash", "config_hash")}
    shared |= {"trained_at": manifest["created"], "run_id": fleet.run.run_id, "release": None}
    error = masked(cause)[:LONGEST_CAUSE]
    return [{"model_type": kind, "status": "failed", "error": error, **shared} for kind in fleet.recipes]


def tried(fleet: Fleet, verdict: Verdict) -> list[str]:
    """The models of a run, the ensemble last."""
    return [*fleet.recipes, *([KIND] if verdict.ensembles else [])]


def carried(fleet: Fleet) -> tuple[str, ...]:
    """The members that a release lends to the run."""
    return fleet.intent.carried if fleet.intent else ()


def named(fleet: Fleet, verdict: Verdict) -> list[str]:
    """The models of a run and those it was lent, the ensemble last."""
    return [*fleet.recipes, *carried(fleet), *([KIND] if verdict.ensembles else [])]


def stored_at(fleet: Fleet, verdict: Verdict, kind: str) -> str | None:
    """Where a release keeps a model: its folder, the ensemble's weights; None where there is nothing to keep."""
    if kind == KIND:
        kept = verdict.live is not None and verdict.live.origin in verdict.ensembles
        return "weights.parquet" if kept else None
    return f"models/{kind}" if kind in carried(fleet) or fleet.run.file(f"models/{kind}").is_dir() else None


def _stored_path(fleet: Fleet, verdict: Verdict, kind: str, release: int | None) -> str | None:
    place = stored_at(fleet, verdict, kind)
    return f"releases/{release:06d}/{place}" if place and release is not None else None


def _metrics(fleet: Fleet, verdict: Verdict, kind: str, released: bool) -> dict[str, Any]:
    """A released model was last fitted on all cells, a backtested one on those before the newest scored window."""
    cells = int(fleet.panel.lengths.sum())
    newest = max(verdict.results[kind], key=lambda result: result.fold.cutoff)
    measured = verdict.metrics[kind]
    train_size = cells if released else cells - int(newest.actuals.size)
    return {**measured, "train_size": train_size, "test_size": measured["n"]}


def _parameters(fleet: Fleet, kind: str) -> dict[str, Any]:
    """Every parameter that acted, defaults included."""
    told: Any = fleet.settings.ensemble if kind == KIND else fleet.recipes.get(kind)
    known: Any = told or recipe(kind, fleet.settings.models[kind])
    return asdict(known)


def seconds_by_model(race: Race) -> dict[str, float]:
    """Wall seconds of all fits and forecasts of each model, all tasks together."""
    seconds: dict[str, float] = {}
    for report in race.timings:
        for kind, value in report["seconds"].items():
            seconds[kind] = seconds.get(kind, 0.0) + value
    return seconds


def importances(fleet: Fleet, kind: str) -> dict[str, float]:
    """Feature -> share, of the model's live fit; empty when it has none."""
    for path in sorted(fleet.run.path.glob(f"models/{kind}/*/importances.json")):
        found: dict[str, float] = fleet.run.json(str(path.relative_to(fleet.run.path)))
        if found:
            return found
    return {}


def top_features(shares: Mapping[str, float]) -> list[list[Any]]:
    """The ten most important features as [name, share]."""
    ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    return [[name, value] for name, value in ranked[:KEEP_LISTED]]
