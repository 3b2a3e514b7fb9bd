"""`python -m jobs.forecast`: the champion's models, today's data. Nothing is trained and no release is made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demand.errors import DemandError, SettingsError
from demand.ingest import ingest
from demand.panel import Panel
from evaluation.backtest import Question, ensemble_at, member_results
from evaluation.folds import Fold
from jobs.entry import FAILED, OK, run
from jobs.fleet import ask
from jobs.outputs import write_parquet, write_planner_files
from jobs.run_folder import RunFolder
from jobs.settings import Settings
from jobs.show import show
from jobs.tasks import read_forecasts
from models.base import Forecast
from models.catalog import load_fitted
from models.ensemble import KIND
from models.fallback import complete
from models.files import read_arrays
from models.registry import Registry
from models.release import Release


def body(settings: Settings) -> int:
    """Writes forecast.parquet, forecast.csv and outcomes.parquet of a forecast run; exit code 0 when every style has a
    row, 1 when a member of the release could not be used at all."""
    registry = Registry(Path(settings.storage.root) / settings.storage.model_registry)
    release = registry.open("champion")
    card = release.json("card.json")
    panel = ingest(settings.source, settings.columns, settings.cleaning, settings.freq).panel
    _same_calendar(panel, card)
    question = ask(_as_released(settings, card), panel, live=True)
    fold = Fold(panel.end, card["horizon"])
    history = question.history(panel, fold)
    members, unusable = _member_forecasts(release, history, question)
    served: str = card["served"]
    live = _served(served, release, panel, members, fold, question, settings)
    folder = RunFolder.create(Path(settings.storage.root) / settings.storage.training_registry, settings.run_id)
    paths = write_planner_files(live, folder.path, served)
    status = np.where(live.made_by == served, "ok", "fell_back")
    outcomes = pd.DataFrame(
        {"unique_id": live.ids.astype(object), "status": status, "cause": live.reason, "made_by": live.made_by}
    )
    write_parquet(outcomes, folder.file("outcomes.parquet"))
    facts = {"job": "forecast", "release": release.number, "served": served, "unusable": unusable}
    folder.write_json("manifest.json", facts)
    newest = str(panel.calendar.dates([panel.end])[0])[:10]
    n_ok = int((status == "ok").sum())
    show(
        f"Release   {release.number}, trained to {card['origin']}; data to {newest}",
        f"Styles    {len(status)} in = {n_ok} ok + {len(status) - n_ok} fell back",
        *[f"Left out  {kind}: {why}"[:80] for kind, why in unusable.items()],
        f"Forecast  {paths[1]}",
    )
    return FAILED if unusable else OK


def _same_calendar(panel: Panel, card: Mapping[str, Any]) -> None:
    if panel.freq != card["freq"]:
        raise SettingsError(
            "the data has another calendar than the release", key="freq", found=panel.freq, expected=card["freq"]
        )


def _as_released(settings: Settings, card: Mapping[str, Any]) -> Settings:
    """Horizon, levels, season and blanks are the release's: a fitted model answers only what it was fitted for."""
    from dataclasses import replace

    folds = replace(settings.folds, blanks=card["blanks"])
    return replace(settings, horizon=card["horizon"], levels=tuple(card["levels"]), season=card["season"], folds=folds)


def _member_forecasts(
    release: Release, history: Panel, question: Question
) -> tuple[dict[str, Forecast], dict[str, str]]:
    """Every stored model's forecast of today's history; a model that cannot roll to it is named with the reason."""
    found: dict[str, Forecast] = {}
    unusable: dict[str, str] = {}
    for kind in sorted(path.name for path in release.file("models").iterdir()):
        parts = []
        try:
            for part in sorted(release.file(f"models/{kind}").iterdir()):
                ids = read_arrays(part / "series.npz")["ids"]
                fitted = load_fitted(part / "model")
                rows = history.index_of(ids)
                known = np.sort(rows[rows >= 0])
                parts.append((known, fitted.forecast(history.take(known))))
        except DemandError as error:
            unusable[kind] = str(error)
            continue
        found[kind] = _joined(parts, history, question, kind)
    return found, unusable


def _joined(parts: list[tuple[np.ndarray, Forecast]], history: Panel, question: Question, kind: str) -> Forecast:
    n, h, q = history.n_series, question.spec.horizon, len(question.spec.levels)
    mean, quantiles = np.full((n, h), np.nan), np.full((n, h, q), np.nan)
    reasons = dict.fromkeys(range(n), "new since the release: this model does not know the style")
    for rows, forecast in parts:
        for k, row in enumerate(rows.tolist()):
            if forecast.made_by[k]:
                reasons.pop(row, None)
            else:
                reasons[row] = str(forecast.reason[k])
        mean[rows], quantiles[rows] = forecast.mean, forecast.quantiles
    return Forecast.build(history, question.spec, kind, mean, quantiles, reasons=reasons)


def _served(
    served: str, release: Release, panel: Panel, members: dict[str, Forecast], fold: Fold, question: Question,
    settings: Settings,
) -> Forecast:  # fmt: skip
    history = question.history(panel, fold)
    if served != KIND:
        return complete(members[served], history, question.spec, question.context)
    raw: dict[str, dict[int, Forecast]] = {kind: {fold.cutoff: forecast} for kind, forecast in members.items()}
    for kind, forecast in read_forecasts(release.file("origins.parquet")):
        if kind in raw and forecast.origin < fold.cutoff:
            raw[kind][forecast.origin] = forecast
    cutoffs = sorted({cutoff for by_cutoff in raw.values() for cutoff in by_cutoff} - {fold.cutoff})
    earlier = member_results(panel, raw, [Fold(cutoff, fold.horizon) for cutoff in cutoffs], question)
    return ensemble_at(panel, raw, earlier, fold, question, settings.ensemble).forecast


if __name__ == "__main__":
    run("forecast", body)
