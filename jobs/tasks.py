"""What a worker does: fit and forecast one batch, write one file. The file is the result; nothing else is returned."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from demand.durable import write_whole, write_whole_folder
from demand.errors import FitError, ModelError, VersionUnreadable
from demand.panel import Panel, Strings
from evaluation.backtest import Question
from evaluation.folds import Fold
from jobs.plan import Task
from models.base import FittedForecaster, Forecast, Forecaster, ForecastSpec
from models.drivers import Drivers, Reliance, write_drivers
from models.files import read_json, write_arrays, write_json
from models.forecast_files import write_forecasts
from models.release import sha256_of


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
        # As many numeric threads as planned, whatever the process was told: they can move the last digits.
        with threadpool_limits(work.task.cpus):
            rows.extend((kind, forecast) for forecast in forecasts_of(kind, part, work))
        seconds[kind] = time.perf_counter() - begin
    folder = Path(work.folder)
    report: dict[str, Any] = {
        "task": work.task.name,
        "seconds": {kind: round(value, 3) for kind, value in seconds.items()},
        "total_seconds": round(time.perf_counter() - started, 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    batch = write_whole(folder / "batches" / f"{work.task.name}.parquet", lambda path: write_forecasts(path, rows))
    # The report is written last: a batch without one, or with another sum, does not count as done.
    report["sha256"] = sha256_of(batch)
    write_whole(folder / "timings" / f"{work.task.name}.json", lambda path: write_json(path, report))
    return report


def finished(folder: Path, name: str) -> bool:
    """Whether a run's folder holds this task's batch, whole and as it was written."""
    batch, report = folder / "batches" / f"{name}.parquet", folder / "timings" / f"{name}.json"
    if not (batch.is_file() and report.is_file()):
        return False
    try:
        return bool(read_json(report).get("sha256") == sha256_of(batch))
    except (VersionUnreadable, AttributeError):  # the report itself is damaged: the task is done again
        return False


@dataclass(frozen=True, eq=False)
class _Fit:
    """A fitted model and the series it was fitted on and answers for (None = any: a pooled fit)."""

    model: FittedForecaster
    ids: Strings | None

    def forecast(self, history: Panel) -> tuple[np.ndarray, Forecast]:
        """Positions in `history` this fit answers for, and its rows there."""
        known = np.ones(history.n_series, bool) if self.ids is None else np.isin(history.ids, self.ids)
        rows = np.flatnonzero(known)
        return rows, self.model.forecast(history.take(rows))


def forecasts_of(kind: str, part: Panel, work: Work) -> list[Forecast]:
    """This model's forecasts at each origin of the task: fitted where the plan says so, rolled forward elsewhere."""
    planned = work.chosen.get(kind)
    fits: list[_Fit] = []
    out = []
    for cutoff in work.task.origins:
        history = work.question.history(part, Fold(cutoff, work.question.spec.horizon))
        if not history.n_series:
            continue
        keep = np.ones(history.n_series, bool) if planned is None else planned[part.index_of(history.ids)]
        if cutoff in work.refit[kind]:
            fits = []
        rows = _nothing(history, work.question.spec, np.where(keep, "", "budget: larger styles come first"))
        if keep.any():
            mine = np.flatnonzero(keep)
            made, fits = _fit_and_forecast(work.recipes[kind], history.take(mine), fits, work)
            rows = laid_over(rows, made, mine)
        out.append(rows)
        if cutoff == work.live:
            _keep_models(fits, history, kind, work)
    return out


def _fit_and_forecast(recipe: Forecaster, history: Panel, fits: list[_Fit], work: Work) -> tuple[Forecast, list[_Fit]]:
    """A row for each series of `history`, with a reason where there is none, and the fits behind them.

    Series the earlier fits do not know (born since, or failed then) are fitted now.
    """
    out = _nothing(history, work.question.spec, np.full(history.n_series, ""))
    kept = []
    for fit in fits:
        try:
            rows, forecast = fit.forecast(history)
        except Exception:  # noqa: BLE001 - it cannot roll here: its series are fitted anew, which says why if it fails
            continue
        kept.append(fit)
        take = ~out.made[rows]
        out = laid_over(out, forecast.take(np.flatnonzero(take)), rows[take])
    missing = np.flatnonzero(~out.made)
    if not len(missing) or (recipe.pools_series and kept):
        return out, kept
    if _late(work):
        late = "time_budget: max_seconds was reached before this fit"
        return replace(out, reason=np.where(out.made, out.reason, late)), kept
    newest = _fitted(recipe, history.take(missing), work)
    for rows, forecast, _ in newest:
        out = laid_over(out, forecast, missing[rows])
    return out, [*kept, *(fit for _, _, fit in newest if fit is not None)]


def _fitted(recipe: Forecaster, history: Panel, work: Work) -> list[tuple[np.ndarray, Forecast, _Fit | None]]:
    """(positions, rows, fit) of one fit of all series; of several where a series breaks the fit.

    A model that fits each series apart is cut in halves when it raises, so that only the series that raises is lost.
    """
    everyone = np.arange(history.n_series)
    context = replace(work.question.context, max_seconds=work.limits[recipe.kind])
    try:
        model = recipe.fit(history, work.question.spec, context)
        fit = _Fit(model, None if recipe.pools_series else history.ids)
        return [(everyone, model.forecast(history), fit)]
    except Exception as error:  # noqa: BLE001 - the one place where a model's own failure becomes recorded data
        # FitError says that nothing at all could be fitted; a missing library breaks every half alike.
        if recipe.pools_series or history.n_series == 1 or isinstance(error, FitError | ImportError):
            said = np.full(history.n_series, _said(error))
            return [(everyone, _nothing(history, work.question.spec, said), None)]
    middle = history.n_series // 2
    parts = []
    for half in (everyone[:middle], everyone[middle:]):
        parts += [(half[rows], made, fit) for rows, made, fit in _fitted(recipe, history.take(half), work)]
    return parts


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _late(work: Work) -> bool:
    # Baselines take seconds, and without them there is nothing to compare with: they run whatever the time.
    return work.task.kind != "arrays" and work.deadline is not None and time.time() >= work.deadline


def laid_over(base: Forecast, rows: Forecast, positions: np.ndarray) -> Forecast:
    """`base` with `rows` in place of the rows at `positions`."""
    changed = {}
    for name in ("mean", "quantiles", "made_by", "level", "reason", "note"):
        old, new = getattr(base, name), getattr(rows, name)
        values = old.astype(np.result_type(old, new)) if old.dtype.kind == "U" else old.copy()
        values[positions] = new
        changed[name] = values
    return replace(base, **changed)


def _nothing(history: Panel, spec: ForecastSpec, reasons: np.ndarray) -> Forecast:
    """A forecast without any row; reasons [N]."""
    n, h, q = history.n_series, spec.horizon, len(spec.levels)
    empty = Forecast.build(history, spec, "", np.full((n, h), np.nan), np.full((n, h, q), np.nan))
    return replace(empty, reason=reasons.astype(str))


def drivers_or_why(model: FittedForecaster, history: Panel) -> Drivers | Reliance | ModelError | None:
    """What moves a model's forecasts of `history`, or why that cannot be said: it costs nobody the forecast."""
    try:
        return model.drivers(history)
    except ModelError as error:
        return error


def _keep_models(fits: Sequence[_Fit], history: Panel, kind: str, work: Work) -> None:
    for k, fit in enumerate(fits):
        name = work.task.name if k == 0 else f"{work.task.name}-{k}"

        def fill(folder: Path, fit: _Fit = fit) -> None:
            (folder / "model").mkdir()
            fit.model.save(folder / "model")
            write_arrays(folder / "series.npz", {"ids": history.ids if fit.ids is None else fit.ids})
            write_json(folder / "importances.json", fit.model.importances())
            found = drivers_or_why(fit.model, history)
            if found is not None:
                write_drivers(folder, found)

        write_whole_folder(Path(work.folder) / "models" / kind / name, fill)
