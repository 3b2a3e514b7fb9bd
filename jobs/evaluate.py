"""`python -m jobs.evaluate release=N`: a stored release's forecasts, scored on the days after it was trained."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demand.durable import write_whole
from demand.errors import VersionNotFound
from demand.ingest import ingest
from demand.moments import now_utc, stamp
from demand.panel import Panel
from demand.store import panel_hash
from evaluation.aftermath import matured, measured
from jobs.entry import OK, run
from jobs.fleet import registry_of
from jobs.forecast import check_same_fleet
from jobs.releases import nothing_released, numbered
from jobs.settings import Settings
from jobs.show import show
from models.base import Forecast
from models.files import write_json
from models.forecast_files import read_forecasts
from models.release import Release

SHOWN = 5  # models


def body(settings: Settings) -> int:
    """Stores `evaluations/<evaluation_id>.json` below the storage root and prints what it comes to; nothing is trained
    and no release changes.

    The same release and data have the same evaluation id. Raises VersionNotFound without the release and DataError
    when the data holds nothing after its training cutoff.
    """
    registry = registry_of(settings)
    if not registry.numbers():
        raise nothing_released(registry)
    number = numbered(registry, settings.release or "champion")
    if number is None:
        raise VersionNotFound("no release has this alias", alias=settings.release)
    release = registry.open(number)
    card = release.json("card.json")
    panel = ingest(settings.source, settings.columns, settings.cleaning, settings.freq).panel
    check_same_fleet(panel, release, card)
    results = matured(_forecasts(release), panel, card["blanks"], card["season"])
    served = results[card["served"]]
    models = measured(results, "seasonal_naive")
    value = {
        "evaluation_id": "", "kind": "release", "release": number, "manifest_sha256": release.manifest_sha256,
        "served": card["served"], "origin": card["origin"], "data_to": _day(panel, panel.end),
        "scored_to": _day(panel, served.fold.cutoff + served.fold.horizon), "periods": served.fold.horizon,
        "freq": card["freq"], "unit": card["unit"], "n": models[card["served"]]["n"],
        "n_series": len(served.forecast.ids), "n_missing": int(release.manifest["n_series"]) - len(served.forecast.ids),
        "data_hash": panel_hash(panel),
        "backtest": card["metrics"][card["served"]], "models": models,
    }  # fmt: skip
    value["evaluation_id"] = _id_of(value)
    path = Path(settings.storage.root) / "evaluations" / f"{value['evaluation_id']}.json"
    if not path.is_file():
        now = stamp(now_utc())
        write_whole(path, lambda temporary: write_json(temporary, {**value, "evaluated_at": now}))
    show(*_lines(value), f"Stored    {path}")
    return OK


def _forecasts(release: Release) -> dict[str, Forecast]:
    """What every model of a release forecast when it was made, the served one's as it was served."""
    found = dict(read_forecasts(release.file("members.parquet")))
    return found | dict(read_forecasts(release.file("forecasts.parquet")))


def _id_of(value: Mapping[str, Any]) -> str:
    """A stable name: of the release, the data and every figure's own evaluation."""
    said = [value["manifest_sha256"], value["data_hash"], *sorted(m["evaluation_id"] for m in value["models"].values())]
    return hashlib.sha256("|".join(said).encode()).hexdigest()[:16]


def _lines(value: Mapping[str, Any]) -> list[str]:
    """About ten lines of 80 columns."""
    served, models = value["served"], value["models"]
    ranked = [served, *(m for m in models if m != served)]
    then, now = value["backtest"]["wape"], models[served]["wape"]
    lines = [
        f"Release   {value['release']}, trained to {value['origin']}; scored to {value['scored_to']}",
        f"Scored    {value['periods']} periods of {value['n_series']} styles, {value['n']} known values",
        f"Served    {served}: {_errors(models[served])}",
        f"Promised  WAPE {_figure(then)} in its backtest, {_figure(now)} since",
    ]
    lines += [f"{'Beside' if k == 0 else '':<9} {m}: {_errors(models[m])}" for k, m in enumerate(ranked[1 : SHOWN + 1])]
    if value["n_missing"]:
        what = "style of the release is" if value["n_missing"] == 1 else "styles of the release are"
        lines.append(f"Missing   {value['n_missing']} {what} not in the data")
    return lines


def _errors(measures: Mapping[str, Any]) -> str:
    bias = measures["bias_rel"]
    said = "undefined" if bias is None else f"{bias:+.1%}"
    return f"WAPE {_figure(measures['wape'])}, MASE {_figure(measures['mase'])}, bias {said}"


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _day(panel: Panel, period: int) -> str:
    return str(panel.calendar.dates([period])[0])[:10]


if __name__ == "__main__":
    run("evaluate", body)
