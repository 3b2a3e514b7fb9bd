"""The files of a release that are there to be served: figures of every style and the fleet, history, quality."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demand.errors import DataError, VersionUnreadable
from demand.store import write_panel
from evaluation.serving import Columns, Standing, history_columns, scored_origins, style_columns
from evaluation.serving_accuracy import accuracy_columns
from evaluation.serving_fleet import fleet_errors, past_week_columns, total_columns, week_columns
from jobs.fleet import Fleet, decisions_of
from jobs.lines import order_lines
from jobs.settings import Settings
from jobs.verdict import Verdict
from models.decision_release import MODEL
from models.files import read_card, write_json
from models.inventory.surrogate import KIND
from models.inventory.widths import Came, widths_of
from models.order_widths import write_widths

log = logging.getLogger(__name__)
STYLES_A_BUCKET = 1024  # of the history: what is read to show one style
NULLABLE_COUNTS = ("n_orders",)
SAVINGS = "savings.json"
PAST_WEEKS = "past_weeks.parquet"


@np.errstate(over="ignore", invalid="ignore")  # a total beyond the floats is not known: null
def write_serving_tables(folder: Path, fleet: Fleet, verdict: Verdict) -> None:
    """styles.parquet, weeks.parquet, fleet_totals.parquet, accuracy.parquet (rows of the served kind and of every live
    member, by model), past_weeks.parquet, order_widths.json, panel/ and quality.json."""
    write_panel(fleet.panel, folder / "panel", buckets=-(-fleet.panel.n_series // STYLES_A_BUCKET))
    shutil.copy(fleet.run.file("cleaning.json"), folder / "quality.json")
    _write_savings(folder / SAVINGS, fleet.settings)
    _write_widths(folder, fleet, verdict)
    styles, weeks, totals, accuracy = _tables(fleet, verdict)
    _write(folder / "styles.parquet", styles)
    _write(folder / "weeks.parquet", weeks)
    assert verdict.live is not None
    past = past_week_columns(fleet.panel, verdict.live.origin)
    pq.write_table(pa.table({name: _column(name, column) for name, column in past.items()}), folder / PAST_WEEKS)
    _write(folder / "fleet_totals.parquet", totals)
    _write(folder / "accuracy.parquet", accuracy)


def _tables(fleet: Fleet, verdict: Verdict) -> tuple[Iterator[Columns], ...]:
    """The columns of each file, model by model in alphabetical order: a writer needs those of one model at a time."""
    assert verdict.live is not None
    panel, blanks, served = fleet.panel, fleet.question.blanks, verdict.live
    live = Standing.at(panel, served.origin, served.horizon, blanks)
    # The baseline is asked at every scored origin: what came there is the same whoever forecast it.
    scored = scored_origins(panel, verdict.results["seasonal_naive"], live, blanks)
    past = history_columns(panel, live, blanks, order_lines(fleet.run))
    forecasts = dict(sorted({**verdict.live_members, verdict.served: served}.items()))
    odd = [model for model, forecast in forecasts.items() if not np.array_equal(forecast.ids, live.ids)]
    if odd:
        raise DataError(
            "live forecasts are not of the styles that are known at their origin", models=odd, styles=len(live.ids),
            hint="The demand of the run is not the one these were made from: start a new run",
        )  # fmt: skip
    results = {model: verdict.results.get(model, ()) for model in forecasts}
    level = bounds_level(fleet.settings)
    threshold = fleet.settings.ensemble.confidence_threshold
    errors = {model: fleet_errors(results[model], scored, live) for model in forecasts}
    styles = (
        {**past, **style_columns(model, live, forecast, results[model], scored, level, threshold)}
        for model, forecast in forecasts.items()
    )
    weeks = (week_columns(m, live, f, errors[m], level, panel.freq) for m, f in forecasts.items())
    totals = (total_columns(m, live, f, errors[m], level) for m, f in forecasts.items())
    accuracy = (accuracy_columns(m, live, results[m]) for m in forecasts)
    return styles, weeks, totals, accuracy


def _write_savings(path: Path, settings: Settings) -> None:
    """What the newest judgement of order quantities measured; no file where none was made. It is part of the release,
    so that its answers stay what they are when another judgement is made."""
    registry = decisions_of(settings, KIND)
    number = max(registry.numbers(), default=0)
    if not number:
        return
    try:
        judged = read_card(registry.open(number).file(MODEL))
    except VersionUnreadable as error:  # a forecast is released all the same; what it would have saved is not known
        log.warning("the newest judgement of order quantities cannot be read: %s", error)
        return
    policy = judged["recommended"]["policy"]  # of a judgement that does not say whose savings it measured
    write_json(path, {"judged_by": number, "policy": policy, **judged["savings"]})


def _write_widths(folder: Path, fleet: Fleet, verdict: Verdict) -> None:
    """How wide order decisions take the paths of the served forecast, from what came at the scored origins."""
    past = []
    for result in verdict.results[verdict.served]:
        then = fleet.panel.until(result.fold.cutoff)
        history = then.take(then.index_of(result.forecast.ids)).with_blanks_filled(fleet.question.blanks)
        past.append(Came(result.forecast, history, np.maximum(result.actuals, 0.0)))
    widths = widths_of(past, fleet.settings.inventory.paths)
    write_widths(folder, widths, {"made_by": verdict.served, "n_origins": len(past)})


def bounds_level(settings: Settings) -> float | None:
    """The level of all stated bounds, None where intervals are switched off."""
    return settings.confidence_level if settings.confidence_intervals else None


def _write(path: Path, parts: Iterable[Columns]) -> None:
    """One row group a model."""
    writer: pq.ParquetWriter | None = None
    try:
        for columns in parts:
            table = pa.table({name: _column(name, columns[name]) for name in ("model", *(c for c in columns
                                                                                     if c != "model"))})  # fmt: skip
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table, row_group_size=max(1, table.num_rows))
    finally:
        if writer is not None:
            writer.close()


def _column(name: str, values: np.ndarray[Any, Any]) -> pa.Array:
    """What is not known is null, never NaN."""
    if values.dtype.kind == "f":
        column = pa.array(values, mask=~np.isfinite(values))
        return pc.cast(column, pa.int64()) if name in NULLABLE_COUNTS else column
    return pa.array(values.tolist(), pa.string()) if values.dtype.kind == "U" else pa.array(values)
