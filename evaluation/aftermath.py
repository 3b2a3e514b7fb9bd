"""What became of a stored forecast: its rows beside the demand that came after it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from demand.errors import ShortHistoryError
from demand.panel import Blanks, Panel
from evaluation.folds import Fold
from evaluation.metrics import Measures, levels, measure
from evaluation.results import FoldResult, scales
from models.base import Forecast


def matured(forecasts: Mapping[str, Forecast], panel: Panel, blanks: Blanks, season: int) -> dict[str, FoldResult]:
    """Each model's forecast of one origin beside what came, over the periods that `panel` knows by now.

    Only series that the panel has are scored. Raises ShortHistoryError when it holds nothing after the origin, or none
    of the series.
    """
    first = next(iter(forecasts.values()))
    n = min(panel.end - first.origin, first.horizon)
    if n < 1:
        raise ShortHistoryError(
            "the data ends where the release was trained: there is nothing to score it on",
            trained_to=_day(panel, first.origin), data_to=_day(panel, panel.end),
            hint="Name newer data: source.path=..",
        )  # fmt: skip
    known = panel.until(first.origin)
    rows = np.flatnonzero(known.index_of(first.ids) >= 0)
    if not len(rows):
        raise ShortHistoryError("the data has none of the release's styles", first=first.ids[:5].tolist())
    fold = Fold(first.origin, n)
    history = known.take(known.index_of(first.ids[rows])).with_blanks_filled(blanks)
    actuals, yardsticks = fold.actuals(panel, history), scales(history, season)
    return {
        model: FoldResult(model, fold, forecast.take(rows).first(n), actuals, *yardsticks)
        for model, forecast in forecasts.items()
    }


def measured(results: Mapping[str, FoldResult], baseline: str) -> dict[str, dict[str, Any]]:
    """`M` of each model beside the baseline, with the same errors at the four `levels`; best WAPE first."""
    found: dict[str, Measures] = {
        model: {**measure([result], [results[baseline]]), "levels": levels([result])}
        for model, result in results.items()
    }

    def rank(model: str) -> tuple[bool, float, str]:
        wape = found[model]["wape"]
        return wape is None, wape or 0.0, model

    return {model: found[model] for model in sorted(found, key=rank)}


def _day(panel: Panel, period: int) -> str:
    return str(panel.calendar.dates([period])[0])[:10]
