"""The files of a finished run, and the ten lines a person reads."""

from __future__ import annotations

import csv
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from demand.durable import write_whole
from evaluation.advice import recommendations
from evaluation.backtest_json import Status, backtest_json
from evaluation.leaderboard import paired_test
from jobs.entries import carried, entries, importances, tried
from jobs.fleet import Fleet
from jobs.race import Race
from jobs.rowless import failed_models, without_rows
from jobs.verdict import Verdict, forecasts_frame
from models.base import Forecast

MIN_LENGTH = 2  # a series enters the forecasts table at an origin with at least two periods of history
WIDTH = 80
SHOWN_S = 1.0  # a stage that took less is not worth a word
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_tables(fleet: Fleet, race: Race, verdict: Verdict, outcomes: pd.DataFrame) -> None:
    """outcomes, leaderboard, forecasts (all models, all windows), timings; a copy where `output.forecasts` says."""
    run = fleet.run
    write_parquet(outcomes, run.file("outcomes.parquet"))
    write_parquet(verdict.board, run.file("leaderboard.parquet"))
    table = forecasts_frame(verdict, MIN_LENGTH, fleet.panel)
    write_parquet(table, run.file("forecasts.parquet"))
    if verdict.live is not None:
        write_planner_files(verdict.live, run.path, verdict.served)
    if verdict.hierarchy is not None:
        shown = [fold.cutoff for fold in (*fleet.origins.scored, *fleet.origins.live)]
        write_parquet(verdict.hierarchy.to_frame(shown, verdict.live), run.file("hierarchy.parquet"))
    if race.timings:
        rows = [{"task": t["task"], "model": k, "seconds": s, "peak_mb": t["peak_mb"]} for t in race.timings
                for k, s in t["seconds"].items()]  # fmt: skip
        write_parquet(pd.DataFrame(rows), run.file("timings.parquet"))
    if fleet.settings.output.forecasts:
        scored = table[~table["cutoff"].isin(_live_dates(fleet))]
        write_parquet(scored.reset_index(drop=True), Path(fleet.settings.output.forecasts))


def _live_dates(fleet: Fleet) -> Any:
    return fleet.panel.calendar.dates([fold.cutoff for fold in fleet.origins.live])


def write_planner_files(live: Forecast, folder: Path, served: str) -> tuple[Path, Path]:
    """forecast.parquet and forecast.csv: the served forecast, a row a style and period."""
    frame = live.to_frame()
    frame["fallback_level"] = live.level[live.made].repeat(live.horizon)
    frame["served"] = served
    write_parquet(frame, folder / "forecast.parquet")
    shown = frame.assign(unique_id=[_harmless(name) for name in frame["unique_id"]])
    write_whole(
        folder / "forecast.csv",
        lambda path: shown.to_csv(path, index=False, float_format="%.6g", quoting=csv.QUOTE_MINIMAL),
    )
    return folder / "forecast.parquet", folder / "forecast.csv"


def _harmless(text: str) -> str:
    """Spreadsheets run cells that begin like a formula; a leading apostrophe makes them text (OWASP CSV injection)."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """A frame for spreadsheets, whole or absent: texts that begin like a formula stay texts."""
    texts = {name: frame[name].map(_harmless) for name in frame.select_dtypes(include=["object", "string"]).columns}
    shown = frame.assign(**texts)
    write_whole(path, lambda temporary: shown.to_csv(temporary, index=False, float_format="%.6g"))


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """A frame as Parquet, whole or absent, without pandas' metadata (its notes may not be JSON)."""
    bare = frame.copy(deep=False)
    bare.attrs = {}
    table = pa.Table.from_pandas(bare, preserve_index=False).replace_schema_metadata(None)
    write_whole(path, lambda temporary: pq.write_table(table, temporary))


def counts(outcomes: pd.DataFrame) -> dict[str, int]:
    """{"in", "ok", "fell_back", "rejected"}: the last three add up to the first."""
    by_status = outcomes["status"].value_counts()
    found = {name: int(by_status.get(name, 0)) for name in ("ok", "fell_back", "rejected")}
    return {"in": len(outcomes), **found}


def write_backtest(fleet: Fleet, race: Race, verdict: Verdict) -> Status:
    """backtest.json; returns its status: success, partial (a requested model made no row) or failed."""
    failed = failed_models(race, fleet.settings)
    newest = verdict.ensembles[max(verdict.ensembles)] if verdict.ensembles else None
    status: Status = "partial" if failed else "success"
    value = backtest_json(
        verdict.results,
        verdict.board,
        status=status,
        timestamp=fleet.run.json("manifest.json")["created"],
        data_points=int(fleet.panel.lengths.sum()),
        errors=without_rows(race),
        skipped=set(without_rows(race)) - set(failed),
        importance={kind: importances(fleet, kind) for kind in race.raw},
        weights=dict(zip(newest.weights.members, map(float, newest.weights.fleet), strict=True)) if newest else {},
        recommendations=advice(verdict),
        hierarchy=verdict.hierarchy.as_json() if verdict.hierarchy else None,
        newborns=verdict.newborns.as_json() if verdict.newborns else None,
    )
    fleet.run.write_json("backtest.json", value)
    return status


def advice(verdict: Verdict) -> list[str]:
    """Plain words that follow from the numbers."""
    if verdict.best == "seasonal_naive":
        return recommendations(verdict.board)
    test = paired_test(verdict.results[verdict.best], verdict.results["seasonal_naive"])
    return recommendations(verdict.board, test)


def summary(
    fleet: Fleet, race: Race, verdict: Verdict, outcomes: pd.DataFrame, failed: Mapping[str, str], release: int | None
) -> dict[str, Any]:
    """summary.json (contract 8.2): models attempted, succeeded, failed, skipped, and why; styles by outcome."""
    skipped = {kind: cause for kind, cause in without_rows(race).items() if kind not in failed}
    attempted = tried(fleet, verdict)
    found = entries(fleet, race, verdict, release)
    # Not due is skipped, too: a release lent the model, nobody tried to train it.
    lent = {kind: found[kind]["error"] for kind in carried(fleet) if kind not in failed}
    return {
        "run_id": fleet.run.run_id,
        "trained_at": fleet.run.json("manifest.json")["created"],
        "models_attempted": len(attempted),
        "models_succeeded": sum(entry["status"] == "success" for entry in found.values()),
        "models_failed": len(failed),
        "models_skipped": len(skipped | lent),
        "failed": dict(failed),
        "skipped": skipped | lent,
        "styles": counts(outcomes),
        "best_model": verdict.best,
        "served": verdict.served,
        "gate": {"passed": verdict.gate.passed, "reasons": list(verdict.gate.reasons)},
        "release": release,
        "results": found,
    }


def said(fleet: Fleet, verdict: Verdict, outcomes: pd.DataFrame, failed: Mapping[str, str]) -> list[str]:
    """What the run came to, in about ten lines of 80 columns."""
    board = verdict.board.set_index("model")
    best, naive = board.loc[verdict.best], board.loc["seasonal_naive"]
    n = counts(outcomes)
    lines = [
        f"Styles    {n['in']} in = {n['ok']} ok + {n['fell_back']} fell back + {n['rejected']} rejected",
        f"Best      {verdict.best}: {_errors(best)}",
        f"Baseline  seasonal naive: {_errors(naive)}",
    ]
    if verdict.live is not None:
        why = "" if verdict.gate.passed else ": " + "; ".join(verdict.gate.reasons)
        lines.append(f"Served    {verdict.served}{_measured(verdict)}{why}")
    if verdict.newborns is not None:
        lines.append(f"Newborn   {verdict.newborns.sentence()}")
    if verdict.hierarchy is not None:
        lines.append(f"Adding up {verdict.hierarchy.sentence()}")
    lines += [f"Failed    {kind}: {reason}" for kind, reason in failed.items()]
    took = [f"{name} {value:.0f} s" for name, value in fleet.stages.items() if value >= SHOWN_S]
    lines.append(f"Time      {', '.join(took) or 'under a second'}")
    return wrapped(lines)


def _errors(row: Any) -> str:
    """WAPE, MASE and bias of a row of the board in words; "undefined" where nothing was sold or nothing varied."""
    parts = (("WAPE", "wape", ".3f"), ("MASE", "mase", ".3f"), ("bias", "bias_rel", "+.1%"))
    return ", ".join(
        f"{word} {'undefined' if math.isnan(row[name]) else format(row[name], form)}" for word, name, form in parts
    )


def _measured(verdict: Verdict) -> str:
    """The served model's own figures where another one is called best."""
    if verdict.served == verdict.best:
        return ""
    return f": {_errors(verdict.board.set_index('model').loc[verdict.served])}"


def wrapped(lines: Sequence[str]) -> list[str]:
    """Lines that begin with a word of at most ten letters, at 80 columns."""
    return [part for line in lines for part in textwrap.wrap(line, WIDTH, subsequent_indent=" " * 10)]


def where(paths: Sequence[tuple[str, Path | str]]) -> list[str]:
    """`name  path` lines; paths are never cut, so that they can be copied."""
    return [f"{name:<9} {path}" for name, path in paths]
