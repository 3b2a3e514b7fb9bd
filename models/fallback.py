"""The chain that gives every series a row: as asked -> best single model -> exponential smoothing -> last level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from demand.errors import ModelError
from demand.panel import Panel
from models.base import FitContext, Forecast, Forecaster, ForecastSpec
from models.baselines import MovingAverage
from models.smoothing import ExponentialSmoothing

SINGLE_MODEL, SMOOTHING, LAST_LEVEL = 1, 2, 3  # Forecast.level; 0 is the model that was asked for


def complete(
    forecast: Forecast,
    history: Panel,
    spec: ForecastSpec,
    context: FitContext,
    *,
    alternatives: Sequence[Forecast] = (),
    smoothing: Forecast | None = None,
) -> Forecast:
    """The same forecast with every missing row made by the first of the chain that can; made rows stay as they are.

    Level 1 is the first of `alternatives` (forecasts of single models for the same question, best first; they may lack
    series) that made the row, 2 exponential smoothing, 3 the mean of the last season, which answers for any finite
    history of at least one period. `smoothing` is the exponential smoothing of this history where it was made already:
    it is not computed again. A filled row carries the original reason, then those of the levels that failed too,
    and made_by of the model that really made it. Raises ModelError when the question does not fit the history.
    """
    _check(forecast, history, spec)
    for other in alternatives:
        if not forecast.made.all():
            _check(other, history, spec, all_series=False)
            forecast = _filled(forecast, other, SINGLE_MODEL)
    if smoothing is not None and not forecast.made.all():
        _check(smoothing, history, spec, all_series=False)
        forecast = _filled(forecast, smoothing, SMOOTHING)
    levels: tuple[tuple[int, Forecaster], ...] = ((SMOOTHING, ExponentialSmoothing()), (LAST_LEVEL, MovingAverage()))
    for level, recipe in levels:
        missing = np.flatnonzero(~forecast.made)
        if len(missing):
            part = history.take(missing)
            forecast = _filled(forecast, recipe.fit(part, spec, context).forecast(part), level)
    return forecast


def nothing(history: Panel, spec: ForecastSpec, reason: str) -> Forecast:
    """A forecast without any row, all with the same reason: what `complete` starts from when no model was run."""
    shape = (history.n_series, spec.horizon)
    rows = range(history.n_series)
    empty = np.full((*shape, len(spec.levels)), np.nan)
    return Forecast.build(history, spec, "", np.full(shape, np.nan), empty, reasons=dict.fromkeys(rows, reason))


def _filled(forecast: Forecast, other: Forecast, level: int) -> Forecast:
    """Missing rows of `forecast` taken from `other` where that has them; its reasons are added where it has not."""
    position = {series: row for row, series in enumerate(other.ids)}
    missing = [(i, position[forecast.ids[i]]) for i in np.flatnonzero(~forecast.made) if forecast.ids[i] in position]
    mean, quantiles = forecast.mean.copy(), forecast.quantiles.copy()
    levels = forecast.level.copy()
    made_by, reason, note = forecast.made_by.tolist(), forecast.reason.tolist(), forecast.note.tolist()
    for i, row in missing:
        if other.made[row]:
            mean[i], quantiles[i], levels[i] = other.mean[row], other.quantiles[row], level
            made_by[i] = str(other.made_by[row])
            note[i] = "; ".join(text for text in (note[i], str(other.note[row])) if text)
        else:
            also = f"level {level}: {other.reason[row]}"
            reason[i] = "; ".join(text for text in (reason[i], also) if text)
    return replace(
        forecast,
        mean=mean,
        quantiles=quantiles,
        level=levels,
        made_by=np.array(made_by, dtype=str),
        reason=np.array(reason, dtype=str),
        note=np.array(note, dtype=str),
    )


def _check(forecast: Forecast, history: Panel, spec: ForecastSpec, all_series: bool = True) -> None:
    asked = {"origin": history.end, "horizon": spec.horizon, "levels": spec.levels}
    found = {"origin": forecast.origin, "horizon": forecast.horizon, "levels": forecast.levels}
    if asked != found:
        raise ModelError("the forecast answers another question", expected=str(asked), found=str(found))
    if all_series and not np.array_equal(forecast.ids, history.ids):
        raise ModelError("the forecast is of other series", series=len(forecast.ids), history=history.n_series)
