"""What a worker does: fit and forecast one batch, write one file. The file is the result; nothing else is returned."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from demand.durable import write_whole, write_whole_folder
from demand.errors import DemandError, OriginError
from demand.panel import Panel
from evaluation.backtest import Question
from evaluation.folds import Fold
from jobs.plan import Task
from models.base import FitContext, FittedForecaster, Forecast, Forecaster, ForecastSpec
from models.files import write_arrays, write_json


@dataclass(frozen=True, eq=False)
class Work:
    """Everything a task needs beside the panel; small, shipped with each call.

    chosen: {kind: planned for this series [n of the task]}. deadline_s: wall-clock time (time.time) after which
    nothing new is fitted. live: cutoff whose fitted models are kept, None = none.
    """

    task: Task
    recipes: dict[str, Forecaster]
    refit: dict[str, frozenset[int]]
    chosen: dict[str, np.ndarray]
    question: Question
    limits: dict[str, float]
    folder: str
    deadline: float | None
    live: int | None


def run_task(panel: Panel, work: Work) -> dict[str, Any]:
    """Forecasts of every model of the task at every origin, as one Parquet file `batches/<task>.parquet`.

    Live fits are saved under `models/<kind>/<task>/`. Returns seconds by model and the worker's peak memory.
    """
    first, last = work.task.series
    part = panel.take(np.arange(first, last))
    rows: list[tuple[str, Forecast]] = []
    seconds: dict[str, float] = {}
    started = time.perf_counter()
    for kind in work.task.kinds:
        begin = time.perf_counter()
        rows.extend((kind, forecast) for forecast in _one_model(kind, part, work))
        seconds[kind] = time.perf_counter() - begin
    folder = Path(work.folder)
    report = {
        "task": work.task.name,
        "seconds": {kind: round(value, 3) for kind, value in seconds.items()},
        "total_seconds": round(time.perf_counter() - started, 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    write_whole(folder / "timings" / f"{work.task.name}.json", lambda path: write_json(path, report))
    write_whole(folder / "batches" / f"{work.task.name}.parquet", lambda path: write_forecasts(path, rows))
    return report


def _one_model(kind: str, part: Panel, work: Work) -> list[Forecast]:
    """This model's forecasts at each origin of the task: fitted where the plan says so, rolled forward elsewhere."""
    recipe = work.recipes[kind]
    context = replace(work.question.context, max_seconds=work.limits[kind])
    planned = work.chosen.get(kind)
    fits: list[FittedForecaster] = []
    out = []
    for cutoff in work.task.origins:
        history = work.question.history(part, Fold(cutoff, work.question.spec.horizon))
        if not history.n_series:
            continue
        keep = np.ones(history.n_series, bool) if planned is None else planned[part.index_of(history.ids)]
        mine = history.take(np.flatnonzero(keep))
        if cutoff in work.refit[kind]:
            fits = []
        forecast, fits, reason = _fit_and_forecast(recipe, mine, fits, work, context)
        rows = _spread(forecast, mine, history, work.question.spec, kind, reason, "budget: larger styles come first")
        out.append(rows)
        if cutoff == work.live and fits:
            _keep_models(fits, mine, kind, work)
    return out


def _fit_and_forecast(
    recipe: Forecaster, history: Panel, fits: list[FittedForecaster], work: Work, context: FitContext
) -> tuple[Forecast | None, list[FittedForecaster], str]:
    """The forecast, the fits behind it and, where the whole batch failed, the reason.

    Series the earlier fits do not know (born since) are fitted now; a failure is data for the fallback chain.
    """
    if not history.n_series:
        return None, fits, ""
    try:
        forecast = None
        if fits:
            forecast = _first_made([fit.forecast(history) for fit in fits])
            missing = np.flatnonzero(~forecast.made)
            if recipe.pools_series or not len(missing) or _late(work):
                return forecast, fits, ""
            young = history.take(missing)
            newest = recipe.fit(young, work.question.spec, context)
            own = newest.forecast(young)
            return _laid_over(forecast, own, missing), [*fits, newest], ""
        if _late(work):
            return None, [], "time_budget: max_seconds was reached before this fit"
        fitted = recipe.fit(history, work.question.spec, context)
        return fitted.forecast(history), [fitted], ""
    except DemandError as error:
        return None, [] if isinstance(error, OriginError) else fits, f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - the one place where a model's own failure becomes recorded data
        return None, fits, f"{type(error).__name__}: {error}"[:300]


def _late(work: Work) -> bool:
    return work.deadline is not None and time.time() >= work.deadline


def _first_made(forecasts: Sequence[Forecast]) -> Forecast:
    """Row by row, the first of the forecasts that made it."""
    out = forecasts[0]
    for later in forecasts[1:]:
        take = np.flatnonzero(~out.made & later.made)
        out = _laid_over(out, later.take(take), take)
    return out


def _laid_over(base: Forecast, rows: Forecast, positions: np.ndarray) -> Forecast:
    """`base` with `rows` in place of the rows at `positions`."""
    changed = {}
    for name in ("mean", "quantiles", "made_by", "level", "reason", "note"):
        old, new = getattr(base, name), getattr(rows, name)
        values = old.astype(np.result_type(old, new)) if old.dtype.kind == "U" else old.copy()
        values[positions] = new
        changed[name] = values
    return replace(base, **changed)


def _spread(
    forecast: Forecast | None, mine: Panel, history: Panel, spec: ForecastSpec, kind: str, failed: str, unplanned: str
) -> Forecast:
    """The forecast of the planned series among all series of the batch; the others are rows with a reason."""
    h, q = spec.horizon, len(spec.levels)
    blank = Forecast.build(
        history, spec, kind, np.full((history.n_series, h), np.nan), np.full((history.n_series, h, q), np.nan),
        reasons=dict.fromkeys(range(history.n_series), unplanned),
    )  # fmt: skip
    positions = history.index_of(mine.ids)
    if forecast is not None:
        return _laid_over(blank, forecast, positions)
    reason = np.array(blank.reason, dtype=object)
    reason[positions] = failed
    return replace(blank, reason=reason.astype(str))


def _keep_models(fits: Sequence[FittedForecaster], history: Panel, kind: str, work: Work) -> None:
    for k, fitted in enumerate(fits):
        name = work.task.name if k == 0 else f"{work.task.name}-{k}"

        def fill(folder: Path, fitted: FittedForecaster = fitted) -> None:
            (folder / "model").mkdir()
            fitted.save(folder / "model")
            write_arrays(folder / "series.npz", {"ids": history.ids})
            write_json(folder / "importances.json", fitted.importances())

        write_whole_folder(Path(work.folder) / "models" / kind / name, fill)


# ---- the batch file ---------------------------------------------------------------------------------------------


def write_forecasts(path: Path, rows: Sequence[tuple[str, Forecast]]) -> None:
    """A row a model, origin and series; mean [H] and quantiles [H * Q] as fixed-size lists."""
    tables = []
    for kind, forecast in rows:
        n, h, q = forecast.quantiles.shape
        columns = {
            "model": pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int8)), pa.array([kind])),
            "cutoff": pa.array(np.full(n, forecast.origin, np.int64)),
            "unique_id": pa.array(forecast.ids.tolist(), pa.string()),
            "mean": pa.FixedSizeListArray.from_arrays(pa.array(forecast.mean.ravel()), h),
            "quantiles": pa.FixedSizeListArray.from_arrays(pa.array(forecast.quantiles.ravel()), h * q),
            "level": pa.array(forecast.level),
        }
        for name in ("made_by", "reason", "note"):
            columns[name] = pa.array(getattr(forecast, name).tolist(), pa.string())
        tables.append(pa.table(columns))
    meta = {"levels": json.dumps(list(rows[0][1].levels)), "freq": rows[0][1].freq} if rows else {}
    table = pa.concat_tables(tables).unify_dictionaries() if tables else pa.table({"model": pa.array([], pa.string())})
    pq.write_table(table.replace_schema_metadata(meta), path)


def read_forecasts(path: Path) -> list[tuple[str, Forecast]]:
    """What `write_forecasts` wrote, bit for bit."""
    table = pq.read_table(path)
    if not table.num_rows:
        return []
    meta = table.schema.metadata
    levels, freq = tuple(json.loads(meta[b"levels"])), meta[b"freq"].decode()
    model = table["model"].combine_chunks().cast(pa.string()).to_numpy(zero_copy_only=False).astype(str)
    cutoff = table["cutoff"].to_numpy()
    mean, quantiles = (_matrix(table[name]) for name in ("mean", "quantiles"))
    text = {n: table[n].to_numpy(zero_copy_only=False).astype(str) for n in ("unique_id", "made_by", "reason", "note")}
    level = table["level"].to_numpy()
    edges = np.flatnonzero((model[1:] != model[:-1]) | (cutoff[1:] != cutoff[:-1])) + 1
    out = []
    for a, b in zip([0, *edges], [*edges, len(model)], strict=True):
        rows = slice(int(a), int(b))
        forecast = Forecast(
            ids=text["unique_id"][rows], origin=int(cutoff[a]), freq=freq, levels=levels, mean=mean[rows],
            quantiles=quantiles[rows].reshape(int(b) - int(a), mean.shape[1], len(levels)),
            made_by=text["made_by"][rows], level=level[rows], reason=text["reason"][rows], note=text["note"][rows],
        )  # fmt: skip
        out.append((str(model[a]), forecast))
    return out


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    lists = column.combine_chunks()
    return np.asarray(lists.flatten().to_numpy(zero_copy_only=False)).reshape(len(lists), -1)
