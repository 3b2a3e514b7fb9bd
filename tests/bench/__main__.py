"""One run, one table: seconds and peak memory by stage and model, what Ray adds, and a peer doing the same work.

    .venv/bin/python -m tests.bench [--styles 500] [--years 2] [--horizon 30]

Every stage and model runs in a process of its own, one after another, with one numeric thread, so that peak memory is
its own. Ratios are taken side by side in this run; absolute seconds belong to this machine and its load.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from demand.fleet import SyntheticSettings
from demand.panel import Panel
from demand.store import read_panel, write_panel
from demand.synthetic import fleet_panel, write_sales_export
from evaluation.folds import Fold
from models.base import FitContext, Forecaster, ForecastSpec
from models.catalog import FORECASTERS
from tests.bench import peer, workers


def measured(work: Callable[..., Any], *arguments: Any) -> dict[str, float]:
    """{"seconds", "peak_mb", ...} of `work(*arguments)` in a fresh process; what it returns is added."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, work, arguments))
    process.start()
    found: dict[str, float] = receiver.recv()
    process.join()
    return found


def _child(sender: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    started = time.perf_counter()
    extra = work(*arguments) or {}
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sender.send({"seconds": round(seconds, 2), "peak_mb": round(peak), **extra})


def generate(folder: str, styles: int, years: float) -> None:
    write_panel(fleet_panel(SyntheticSettings(styles=styles, years=years)), Path(folder))


def export(folder: str, styles: int, years: float) -> None:
    write_sales_export(Path(folder), SyntheticSettings(styles=styles, years=years))


def clean(folder: str) -> dict[str, float]:
    from demand.cleaning import CleaningSettings
    from demand.columns import ColumnSettings
    from demand.ingest import ingest
    from demand.sources import SourceSettings

    ingested = ingest(SourceSettings(path=folder), ColumnSettings(), CleaningSettings(), "D")
    return {"rows": float(ingested.report.rows_in)}


def fit_and_forecast(folder: str, kind: str, horizon: int) -> dict[str, float]:
    """One model at one origin: fit on everything but the last window, forecast it."""
    panel = read_panel(Path(folder))
    history = Fold(panel.end - horizon, horizon).history(panel)
    recipe = configured(kind)
    started = time.perf_counter()
    fitted = recipe.fit(history, ForecastSpec(horizon), FitContext(season=7, threads=1))
    between = time.perf_counter()
    forecast = fitted.forecast(history)
    done = time.perf_counter()
    return {
        "fit_s": round(between - started, 2),
        "forecast_s": round(done - between, 2),
        **wape(panel, horizon, forecast.median),
    }


def configured(kind: str) -> Forecaster:
    """The recipe as `conf/` has it."""
    from jobs import compose
    from models.catalog import recipe

    return recipe(kind, compose.load("backtest", ["source.path=unused"]).models[kind])


def wape(panel: Panel, horizon: int, median: np.ndarray) -> dict[str, float]:
    actual = panel.take(np.flatnonzero(panel.lengths > horizon)).window(panel.end - horizon + 1, horizon)
    return {"wape": round(float(np.abs(actual - median).sum() / np.abs(actual).sum()), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=int, default=500)
    parser.add_argument("--years", type=float, default=2.0)
    parser.add_argument("--horizon", type=int, default=30)
    parser.add_argument("--json", help="also write the figures here")
    args = parser.parse_args()
    console = Console(width=100)
    load = os.getloadavg()[0]
    figures: dict[str, Any] = {"machine": f"{os.cpu_count()} CPUs, Python {platform.python_version()}", "load": load}
    fleet = f"{args.styles} styles x {args.years:g} years daily, horizon {args.horizon}"
    console.print(f"{fleet}; {figures['machine']}, load {load:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        panel, raw = f"{folder}/panel", f"{folder}/raw"
        rows = {
            "generate the panel": measured(generate, panel, args.styles, args.years),
            "write a raw export": measured(export, raw, args.styles, args.years),
            "read and clean it": measured(clean, raw),
        }
        for kind in FORECASTERS:
            rows[kind] = measured(fit_and_forecast, panel, kind, args.horizon)
        figures["stages"] = rows
        console.print(_table("Stages and models, one thread each", rows))
        figures["peer"] = peers = {
            "xgboost (mean and quantiles)": rows["xgboost"],
            "mlforecast + LightGBM (mean)": measured(peer.run, panel, args.horizon),
        }
        console.print(_table("The same work beside mlforecast + LightGBM", peers))
        figures["workers"] = measured(workers.run, panel, args.horizon)
    console.print(workers.words(figures["workers"]))
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _table(title: str, rows: dict[str, dict[str, float]]) -> Table:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    for name, row in rows.items():
        table.add_row(name, *[f"{row[c]:g}" if c in row else "" for c in columns])
    return table


if __name__ == "__main__":
    main()
