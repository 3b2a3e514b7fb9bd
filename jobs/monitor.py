"""`python -m jobs.monitor`: how the released forecasts turned out, what changed in the data, what should be done."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from demand.ingest import Ingested, ingest
from demand.moments import stamp
from demand.store import panel_hash
from evaluation.drift import DriftLimits, drift
from evaluation.matured import CHAMPION, Cells, matured
from evaluation.matured_measures import by_class, by_step, by_style, classes_of, measured
from evaluation.monitoring import Alert, alert_id, degradation, window_number
from evaluation.monitoring_folder import MonitoringFolder, new_id
from jobs.entry import FAILED, OK, run
from jobs.fleet import registry_of
from jobs.forecast import check_same_fleet, refuse_others
from jobs.look import Look, freshness, judged_since, look_at, new_data, trial_of
from jobs.monitor_lines import lines
from jobs.served import said
from jobs.settings import Settings
from jobs.show import show
from models.catalog import BASELINES
from models.files import write_json
from models.registry import Registry

RULE = (
    "A period counts for the release that was champion while it was still to come: promoted before the period was over "
    "and not replaced before. Late corrections count: all is computed from today's data."
)


def body(settings: Settings, now: datetime | None = None) -> int:
    """Writes `<storage.root>/monitoring`: this look's folder, a line of the history, and latest.json.

    Exit code 0, also with alerts, which are results; 1 with alerts when monitoring.fail_on_alert. Raises
    VersionNotFound without a release, SettingsError when the release was not made for this data.
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    registry = registry_of(settings)
    champion = registry.open("champion")
    card = champion.json("card.json")
    refuse_others(settings, champion, card)
    ingested = ingest(settings.source, settings.columns, settings.cleaning, settings.freq)
    check_same_fleet(ingested.panel, champion, card)
    look = look_at(settings, ingested, registry, champion, card, moment)
    folder = MonitoringFolder.under(settings.storage.root)
    cells = _matured(look)
    found = _findings(look, registry, cells, folder.history())
    alerts = _alerts(look, found)
    at = stamp(moment)
    monitor_id = settings.run_id or new_id(moment)
    report = {
        "monitor_id": monitor_id, "at": at, **_about(look, ingested), **found,
        "alerts": [alert.as_json(at) for alert in alerts],
    }  # fmt: skip
    latest = {name: report[name] for name in (*_HEAD, "alerts")} | _figures(report)
    path = folder.add(monitor_id, lambda made: _fill(made, report, look, cells), latest, _line(report))
    show(*lines(report, path / "monitoring.json"))
    return FAILED if alerts and settings.monitoring.fail_on_alert else OK


# ---- what is found ------------------------------------------------------------------------------------------------


def _matured(look: Look) -> dict[str, Cells]:
    """The cells of each model in the window; none when track_performance is false."""
    if not look.settings.monitoring.track_performance:
        return {}
    season, blanks = look.card["season"], look.card["blanks"]
    return matured(look.panel, look.office.served, look.first, look.end, season, blanks)


def _findings(
    look: Look, registry: Registry, cells: Mapping[str, Cells], history: list[dict[str, Any]]
) -> dict[str, Any]:
    monitoring, champion = look.settings.monitoring, cells.get(CHAMPION)
    n = 0 if champion is None else len(champion)
    reason = "" if n else _why_nothing(look)
    models = []
    for name, of_model in cells.items():
        classes = classes_of(look.panel, of_model.ids, look.origin, look.card["blanks"])
        kind = look.card["served"] if name == CHAMPION else name
        promised = (look.card["metrics"].get(kind) or {}).get("wape")
        models.append({"model": name, "kind": kind, "backtest_wape": promised, **measured(of_model),
                       "by_class": by_class(of_model, classes)})  # fmt: skip
    worse = None
    if champion is not None and n:
        since = judged_since(look, history)
        least = look.panel.calendar.periods_in(monitoring.min_days)
        worse = degradation(
            champion.take(champion.period >= since), look.office.promises, threshold=monitoring.degradation_threshold,
            false_alarm=monitoring.false_alarm, min_cells=monitoring.min_cells, min_periods=min(least, look.periods),
            season=look.card["season"], seed=look.settings.seed,
        )  # fmt: skip
        worse["since"] = look.day(max(since, look.first))
    limits = DriftLimits(
        monitoring.drift_psi, monitoring.drift_ratio, monitoring.drift_share, monitoring.false_alarm
    )  # fmt: skip
    known = look.office.forecasts.get(look.champion.number, {}).get(CHAMPION) or said(look.champion)[CHAMPION]
    changed = drift(look.panel, look.origin, look.end, look.periods, limits, known.ids)
    for edge in ("first", "last"):
        changed[edge] = look.day(changed[edge]) if changed["window"] else None
    return {
        "status": "ok" if n else "no_data", "reason": reason, "models": models, "degradation": worse, "drift": changed,
        "new_data": new_data(look), "freshness": freshness(look), "trial": trial_of(look, registry),
    }  # fmt: skip


def _why_nothing(look: Look) -> str:
    if not look.settings.monitoring.track_performance:
        return "monitoring.track_performance is false"
    newest, made = look.day(look.end), look.card["origin"]
    if look.end <= look.origin:
        return f"no complete period after {made}, the newest day that release {look.champion.number} knew"
    return f"no period up to {newest} was still to come when the release that answers for it was promoted"


# ---- what follows --------------------------------------------------------------------------------------------------


def _alerts(look: Look, found: Mapping[str, Any]) -> list[Alert]:
    monitoring, learned = (
        look.settings.monitoring,
        tuple(k for k in look.champion.manifest["models"] if k not in BASELINES),
    )
    window = window_number(look.end, look.origin, look.periods)
    alerts = []

    def alert(
        cause: Any, detail: str, facts: Mapping[str, Any], models: tuple[str, ...] = learned, of: int = window
    ) -> None:
        name = alert_id(cause, look.champion.manifest_sha256, of)
        alerts.append(Alert(cause, name, models, detail, {"release": look.champion.number, **facts}))

    worse, changed, new, fresh = (found[name] for name in ("degradation", "drift", "new_data", "freshness"))
    if monitoring.alert_on_degradation and worse is not None and worse["degraded"]:
        names = ("wape", "promised", "change", "lower", "naive_wape", "n", "n_periods", "since")
        detail = f"WAPE {worse['wape']:.3f} is {worse['change']:.0%} above the backtest's {worse['promised']:.3f}"
        alert("degradation", detail, {name: worse[name] for name in names})
    moved = [one for one in changed["measures"] if one["drifted"]]
    if monitoring.alert_on_drift and moved:
        detail = "; ".join(f"{one['measure']} {one['before']:.3g} -> {one['now']:.3g}" for one in moved)
        alert("drift", detail, {"measures": [one["measure"] for one in moved], "first": changed["first"]})
    if monitoring.new_data_share is not None and (new["share"] or 0) >= monitoring.new_data_share:
        alert("new_data", f"{new['periods']} new periods are {new['share']:.0%} of what the release knew", new)
    if monitoring.stale_after_days is not None and fresh["days_old"] > monitoring.stale_after_days:
        detail = (
            f"the newest data, {fresh['newest']}, is {fresh['days_old']} days old: load newer orders, then train again"
        )
        alert("data_stale", detail, fresh, models=(), of=look.panel.end)
    return alerts


# ---- what is written -----------------------------------------------------------------------------------------------

_HEAD = ("monitor_id", "at", "status", "reason", "release", "origin", "data_to", "complete_to", "quality_score")


def _about(look: Look, ingested: Ingested) -> dict[str, Any]:
    return {
        "release": look.champion.number,
        "manifest_sha256": look.champion.manifest_sha256,
        "served": look.card["served"],
        "origin": look.card["origin"],
        "data_to": look.day(look.panel.end),
        "complete_to": look.day(look.end),
        "data_hash": panel_hash(look.panel),
        "quality_score": ingested.report.quality_score,
        "freq": look.panel.freq,
        "unit": look.panel.unit,
        "n_styles": look.panel.n_series,
        "window": {"days": look.settings.monitoring.performance_window_days, "periods": look.periods,
                   "first": look.day(look.first), "last": look.day(look.end)},
        "rule": RULE,
        "terms": [
            {"release": one.term.release, "origin": look.day(one.term.origin), "first": look.day(one.term.first),
             "last": look.day(one.term.last)} for one in look.office.served
        ],
        "notes": list(look.office.notes),
    }  # fmt: skip


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that are followed over time, of what was served."""
    lead: Mapping[str, Any] = next((one for one in report["models"] if one["model"] == CHAMPION), {})
    worse = report["degradation"] or {}
    names = ("wape", "accuracy", "bias_rel", "mae", "rmsse", "coverage", "interval", "naive_wape", "fleet_wape", "n",
             "n_styles", "n_periods", "evaluation_id")  # fmt: skip
    return {
        **{name: lead.get(name) for name in names},
        "backtest_wape": worse.get("promised"),
        "degraded": worse.get("degraded"),
        "drifted": report["drift"]["drifted"],
        "window_days": report["window"]["days"],
        "trial": None if report["trial"] is None else report["trial"]["words"],
    }


def _line(report: Mapping[str, Any]) -> dict[str, Any]:
    alerts = [{name: alert[name] for name in ("cause", "id", "models")} for alert in report["alerts"]]
    return {**{name: report[name] for name in _HEAD}, **_figures(report), "alerts": alerts}


def _fill(folder: Path, report: Mapping[str, Any], look: Look, cells: Mapping[str, Cells]) -> None:
    write_json(folder / "monitoring.json", report)
    styles, steps = [], []
    for of_model in cells.values():
        styles.append(by_style(of_model, classes_of(look.panel, of_model.ids, look.origin, look.card["blanks"])))
        steps.append(by_step(of_model))
    for name, parts in (("by_style", styles), ("by_step", steps)):
        frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"model": pd.Series(dtype=str)})
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / f"{name}.parquet")


if __name__ == "__main__":
    run("monitor", body)
