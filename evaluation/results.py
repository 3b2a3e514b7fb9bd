"""What one model forecast at one past origin, beside what came."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demand.errors import DataError
from demand.panel import Floats, Panel
from evaluation.folds import Fold
from models.base import Forecast


@dataclass(frozen=True, eq=False)
class FoldResult:
    """One model, one fold, N series: its complete forecast, the truth and the yardsticks of the scaled errors.

    model            who was asked; `forecast.made_by` says who answered (another name: it fell back)
    fold             the decision moment
    forecast         `fold.horizon` steps; complete where it is measured: a row not made cannot be scored
    actuals   [N, H] in the unit sold; NaN = unknown, not scored
    scale     [N]    in-sample mean absolute error of the seasonal naive; NaN or 0 = undefined (see `scales`)
    scale_sq  [N]    in-sample mean squared error of the naive; NaN or 0 = undefined
    last      [N]    the last known value at the cutoff; NaN when nothing was known

    Raises DataError when shapes do not fit, the origins differ or an actual value is infinite.
    """

    model: str
    fold: Fold
    forecast: Forecast
    actuals: Floats
    scale: Floats
    scale_sq: Floats
    last: Floats

    def __post_init__(self) -> None:
        forecast = self.forecast
        n, expected = len(forecast.ids), (len(forecast.ids), self.fold.horizon)
        shapes = {
            "mean": (forecast.mean.shape, expected),
            "quantiles": (forecast.quantiles.shape, (*expected, len(forecast.levels))),
            "actuals": (self.actuals.shape, expected),
            "scale": (self.scale.shape, (n,)),
            "scale_sq": (self.scale_sq.shape, (n,)),
            "last": (self.last.shape, (n,)),
        }
        wrong = {name: found for name, (found, wanted) in shapes.items() if found != wanted}
        if wrong:
            raise DataError("arrays do not fit the fold", model=self.model, expected=expected, found=wrong)
        if forecast.origin != self.fold.cutoff:
            raise DataError(
                "the forecast was made at another origin than the fold's cutoff",
                model=self.model, origin=forecast.origin, cutoff=self.fold.cutoff,
            )  # fmt: skip
        if np.isinf(self.actuals).any():
            raise DataError("actual values are infinite", model=self.model, count=int(np.isinf(self.actuals).sum()))

    def require_complete(self) -> None:
        """Raises DataError naming the rows without finite numbers."""
        forecast = self.forecast
        finite = np.isfinite(forecast.mean).all(axis=1) & np.isfinite(forecast.quantiles).all(axis=(1, 2))
        if not finite.all():
            raise DataError(
                "rows without a forecast cannot be scored",
                model=self.model, cutoff=self.fold.cutoff, count=int((~finite).sum()), first=forecast.ids[~finite],
                hint="Fill them from the fallback chain first",
            )  # fmt: skip

    @property
    def n_fell_back(self) -> int:
        """Series whose row another model made."""
        return int((self.forecast.made_by != self.model).sum())


def scales(history: Panel, season: int) -> tuple[Floats, Floats, Floats]:
    """(scale, scale_sq, last) of each series, each [N]: the yardsticks of MASE and RMSSE, and the last known value.

    scale     mean |y[t] - y[t-season]|; where a series has no such pair (one season or less), mean |y[t] - y[t-1]|
    scale_sq  mean (y[t] - y[t-1])^2
    last      the newest value that is not NaN

    Pairs with an unknown value are left out; NaN where no pair is left. Source: Hyndman and Koehler 2006 (MASE),
    M5 competition (RMSSE).
    """
    seasonal = _mean_change(history, season, squared=False)
    naive = _mean_change(history, 1, squared=False)
    known_at = np.where(np.isnan(history.y), -1, np.arange(len(history.y)))
    newest = np.maximum.accumulate(known_at)[history.indptr[1:] - 1] if len(known_at) else known_at
    last = np.where(newest >= history.indptr[:-1], history.y[np.maximum(newest, 0)], np.nan)
    return np.where(np.isnan(seasonal), naive, seasonal), _mean_change(history, 1, squared=True), last


def _mean_change(panel: Panel, lag: int, *, squared: bool) -> Floats:
    """[N]: mean |y[t] - y[t-lag]| (or its square) inside each series; NaN without a pair."""
    position = np.arange(len(panel.y))
    now = position[position - np.repeat(panel.indptr[:-1], panel.lengths) >= lag]
    change = np.abs(panel.y[now] - panel.y[now - lag])
    known = ~np.isnan(change)
    series = panel.series_of[now][known]
    change = change[known] ** 2 if squared else change[known]
    total = np.bincount(series, weights=change, minlength=panel.n_series)
    count = np.bincount(series, minlength=panel.n_series)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
