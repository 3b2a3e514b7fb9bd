"""Unusual demand: which periods, and what a cautious history would say instead."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.panel import Floats, Ints, Panel
from demand.parsing import Bools
from demand.settings import STRICT

MIN_POINTS = 4  # quartiles of fewer values say nothing


@dataclass(frozen=True, config=STRICT)
class OutlierSettings:
    """How unusual demand is found and what happens to it.

    outlier_threshold: IQRs beyond the quartiles (iqr, Tukey's fences), standard deviations from the mean (zscore), or
    standard deviations of the anomaly score above its mean (isolation_forest). outlier_action: flag = the report
    names them; cap = `cap` moves them to the limit in what models see (never in actuals that are scored).
    """

    outlier_detection: bool = True
    outlier_method: Literal["iqr", "zscore", "isolation_forest"] = "iqr"
    outlier_threshold: Annotated[float, Field(gt=0)] = 3.0
    outlier_action: Literal["flag", "cap"] = "flag"


def flag(panel: Panel, settings: OutlierSettings) -> Bools:
    """True where demand is unusual for its series [T]; never where it is unknown, all False when detection is off."""
    if not settings.outlier_detection or not len(panel.y):
        return np.zeros(len(panel.y), dtype=bool)
    if settings.outlier_method == "isolation_forest":
        return _isolated(panel, settings.outlier_threshold)
    low, high = limits(panel, settings)
    with np.errstate(invalid="ignore"):
        return np.asarray((panel.y < low[panel.series_of]) | (panel.y > high[panel.series_of]))


def cap(history: Panel, settings: OutlierSettings) -> Panel:
    """The history with unusual demand moved to its series' limit; unchanged unless outlier_action is "cap".

    For what a model is fitted on, never for actuals that are scored. The limits come from this history alone.
    """
    if settings.outlier_action != "cap" or not settings.outlier_detection:
        return history
    flagged = flag(history, settings)
    if not flagged.any():
        return history
    low, high = limits(history, settings)
    capped = np.clip(history.y, low[history.series_of], high[history.series_of])
    return replace(history, y=np.where(flagged, capped, history.y))


def limits(panel: Panel, settings: OutlierSettings) -> tuple[Floats, Floats]:
    """The lowest and highest usual demand of each series [N], [N]; infinite where nothing can be said.

    iqr: quartiles -/+ threshold x IQR (Tukey 1977). Where the IQR is 0, as when most periods sell nothing, the
    quartiles of the non-zero demand are taken. zscore: mean -/+ threshold x standard deviation. isolation_forest: the
    extremes of what was not flagged. Fewer than four known values, or no spread at all: no limits.
    """
    if settings.outlier_method == "isolation_forest":
        usual = np.where(_isolated(panel, settings.outlier_threshold), np.nan, panel.y)
        low, high = _extremes(panel, usual)
        return low, high
    if settings.outlier_method == "zscore":
        count, mean, std = _moments(panel.y, panel)
        enough = (count >= MIN_POINTS) & (std > 0)
        reach = settings.outlier_threshold * std
        return np.where(enough, mean - reach, -np.inf), np.where(enough, mean + reach, np.inf)
    low, high, known = _fences(panel.y, panel, settings.outlier_threshold)
    if not known.all():
        rest_low, rest_high, rest_known = _fences(
            np.where(panel.y == 0, np.nan, panel.y), panel, settings.outlier_threshold
        )
        use = ~known & rest_known
        low, high = np.where(use, rest_low, low), np.where(use, rest_high, high)
        # zero demand is what such a series usually does: it is never below the limit
        low = np.where(use, np.minimum(low, 0.0), low)
        high = np.where(use, np.maximum(high, 0.0), high)
    return low, high


def _fences(values: Floats, panel: Panel, threshold: float) -> tuple[Floats, Floats, Bools]:
    """Tukey's fences of each series [N], [N], and where there are any [N]: infinite otherwise."""
    series = panel.series_of
    ordered = values[np.lexsort((values, series))]  # within each series ascending, NaN last
    count = np.bincount(series[~np.isnan(values)], minlength=panel.n_series)
    first, third = _quantile(ordered, panel.indptr, count, 0.25), _quantile(ordered, panel.indptr, count, 0.75)
    spread = third - first
    known = (count >= MIN_POINTS) & (spread > 0)
    low = np.where(known, first - threshold * spread, -np.inf)
    high = np.where(known, third + threshold * spread, np.inf)
    return low, high, known


def _quantile(ordered: Floats, indptr: Ints, count: Ints, level: float) -> Floats:
    """The quantile of the first count[i] values of each series [N], linear between neighbours; NaN without values."""
    at = level * np.maximum(count - 1, 0)
    below = np.floor(at).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(count - 1, 0))
    left, right = ordered[indptr[:-1] + below], ordered[indptr[:-1] + above]
    return np.where(count > 0, left + (right - left) * (at - below), np.nan)


def _moments(values: Floats, panel: Panel) -> tuple[Ints, Floats, Floats]:
    """Known values, their mean and standard deviation (n - 1) of each series [N]."""
    series, known = panel.series_of, ~np.isnan(values)
    count = np.bincount(series[known], minlength=panel.n_series)
    total = np.bincount(series[known], weights=values[known], minlength=panel.n_series)
    mean = total / np.maximum(count, 1)
    apart = np.where(known, values - mean[series], 0.0) ** 2
    return count, mean, np.sqrt(np.bincount(series, weights=apart, minlength=panel.n_series) / np.maximum(count - 1, 1))


def _extremes(panel: Panel, values: Floats) -> tuple[Floats, Floats]:
    low, high = np.full(panel.n_series, np.inf), np.full(panel.n_series, -np.inf)
    known = ~np.isnan(values)
    np.minimum.at(low, panel.series_of[known], values[known])
    np.maximum.at(high, panel.series_of[known], values[known])
    none = low > high
    return np.where(none, -np.inf, low), np.where(none, np.inf, high)


def _isolated(panel: Panel, threshold: float) -> Bools:
    """One isolation forest over the fleet (Liu, Ting and Zhou 2008), on demand in its series' own scale and its change.

    Flagged: an anomaly score more than `threshold` standard deviations above the mean score. Seeded.
    """
    from sklearn.ensemble import IsolationForest

    count, mean, std = _moments(panel.y, panel)
    usable = ~np.isnan(panel.y) & ((count >= MIN_POINTS) & (std > 0))[panel.series_of]
    flagged = np.zeros(len(panel.y), dtype=bool)
    if not usable.any():
        return flagged
    scaled = (panel.y - mean[panel.series_of]) / np.where(std > 0, std, 1.0)[panel.series_of]
    change = np.diff(scaled, prepend=np.nan)
    change[panel.indptr[:-1]] = 0.0
    table = np.column_stack([scaled, np.where(np.isnan(change), 0.0, change)])[usable]
    forest = IsolationForest(n_estimators=50, max_samples=min(256, len(table)), random_state=42, n_jobs=1).fit(table)
    score = -forest.score_samples(table)
    flagged[usable] = score > score.mean() + threshold * score.std()
    return flagged
