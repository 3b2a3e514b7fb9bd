"""The work that is timed, each piece in a fresh process: importable by name, as a spawned process needs it."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from demand.fleet import SyntheticSettings
from demand.panel import Panel
from demand.store import read_panel, write_panel
from demand.synthetic import fleet_panel, write_sales_export
from evaluation.folds import Fold
from models.base import FitContext, Forecaster, ForecastSpec


def measured(work: Callable[..., Any], *arguments: Any) -> dict[str, float]:
    """{"seconds", "peak_mb", ...} of `work(*arguments)` in a fresh process; what it returns is added.

    Raises what `work` raises.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(_timed, work, arguments).result()


def _timed(work: Callable[..., Any], arguments: tuple[Any, ...]) -> dict[str, float]:
    started = time.perf_counter()
    extra = work(*arguments) or {}
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(seconds, 2), "peak_mb": round(peak), **extra}


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
    """WAPE over the rows the model made; how many of the series it left to its fallback, where it left any."""
    actual = panel.take(np.flatnonzero(panel.lengths > horizon)).window(panel.end - horizon + 1, horizon)
    made = np.isfinite(median).all(axis=1)
    error = float(np.abs(actual[made] - median[made]).sum() / np.abs(actual[made]).sum())
    return {"wape": round(error, 4), **({"declined": float((~made).sum())} if not made.all() else {})}
