"""The error measures themselves: plain functions on arrays.

Everywhere: `actual`, `median`, `mean` are [N, H] in the unit sold; a NaN in `actual` is unknown and not scored; the
answer is NaN where the measure is undefined (never 0, never a huge number from a tiny denominator). Fractions, not
percent. Point errors judge the median forecast, bias, totals and squared errors the mean forecast: these are two
forecasts, and on sparse demand they are far apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from demand.panel import Floats

CAP = 10.0  # a series counts at most this much in MASE and RMSSE: nearly constant series must not rule the mean
NAN = float("nan")


def wape(actual: Floats, median: Floats) -> float:
    """Pooled WAPE: total absolute error over total absolute demand, all series together.

    Lower is better, 0 is perfect, not capped at 1. NaN when nothing was sold in the window. Sparse series reward
    all-zero forecasts: print `bias` beside it.
    """
    return _ratio(np.nansum(np.abs(median - actual)), np.nansum(np.abs(actual)))


def accuracy(wape: float) -> float:
    """1 - WAPE, floored at 0; NaN as WAPE."""
    return max(0.0, 1.0 - wape) if np.isfinite(wape) else NAN


def bias(actual: Floats, mean: Floats) -> float:
    """Mean of (forecast - actual), in the unit sold; positive = too high. NaN when nothing was scored."""
    return _mean(mean - actual)


def bias_rel(actual: Floats, mean: Floats) -> float:
    """Sum of (forecast - actual) over total absolute demand; positive = too high. NaN when nothing was sold."""
    return _ratio(np.nansum(mean - actual), np.nansum(np.abs(actual)))


def mape(actual: Floats, median: Floats) -> tuple[float, int, int]:
    """(MAPE over the cells with demand, how many those are, how many cells had none).

    Mean of |y - f| / |y| over y != 0. Blind to every zero period, so over-forecasting them is invisible: read it with
    the two counts. NaN when no cell had demand.
    """
    known = ~np.isnan(actual)
    sold = known & (actual != 0)
    n_used, n_zero = int(sold.sum()), int(known.sum() - sold.sum())
    with np.errstate(over="ignore"):  # demand next to 0: the quotient may leave the floats, then it is undefined
        value = float((np.abs(actual[sold] - median[sold]) / np.abs(actual[sold])).mean()) if n_used else NAN
    return value, n_used, n_zero


def mae(actual: Floats, median: Floats) -> float:
    """Mean absolute error in the unit sold. NaN when nothing was scored."""
    return _mean(np.abs(median - actual))


def rmse(actual: Floats, mean: Floats) -> float:
    """Root mean squared error in the unit sold. NaN when nothing was scored."""
    with np.errstate(over="ignore"):
        return float(np.sqrt(_mean((mean - actual) ** 2)))


def r2(actual: Floats, mean: Floats) -> float:
    """1 - SSE / SST around the pooled mean of the actuals; negative when worse than that mean.

    Over styles of different size it is flattered by the differences between styles. NaN when the actuals do not vary or
    fewer than 2 are known.
    """
    known = ~np.isnan(actual)
    y = actual[known]
    if len(y) < 2 or y.min() == y.max():
        return NAN
    with np.errstate(over="ignore", invalid="ignore"):
        explained = ((y - mean[known]) ** 2).sum() / ((y - y.mean()) ** 2).sum()
        return float(1.0 - explained)


def moves(values: Floats, before: Floats) -> Floats:
    """[N, H]: the sign of each change from the step before; the first step's is `before` [N]. NaN where unknown."""
    return np.sign(np.diff(values, axis=1, prepend=before[:, None]))


def directional_accuracy(actual_moves: Floats, forecast_moves: Floats) -> tuple[float, int]:
    """(share of steps where forecast and demand move the same way, steps used); inputs from `moves`.

    Steps where demand did not change, or its change is unknown, are left out. NaN when none is left.
    """
    used = np.isfinite(actual_moves) & np.isfinite(forecast_moves) & (actual_moves != 0)
    n_used = int(used.sum())
    return (float((actual_moves[used] == forecast_moves[used]).mean()) if n_used else NAN), n_used


def mase(actual: Floats, median: Floats, scale: Floats) -> tuple[float, int]:
    """(MASE, rows used): each row's MAE over its `scale` [N], capped at 10, then the mean over rows.

    `scale` is the in-sample mean absolute error of the seasonal naive; rows with a scale of 0 or NaN, or without a
    known actual, are left out. NaN when no row is left. Source: Hyndman and Koehler 2006.
    """
    return _mean_over_rows(scaled_rows(np.abs(median - actual), scale))


def rmsse(actual: Floats, mean: Floats, scale_sq: Floats) -> tuple[float, int]:
    """(RMSSE, rows used): root of each row's MSE over `scale_sq` [N], capped at 10, then the mean over rows.

    `scale_sq` is the in-sample mean squared error of the naive; left out as in `mase`. Source: M5 competition.
    """
    with np.errstate(over="ignore"):
        squared = (mean - actual) ** 2
    return _mean_over_rows(scaled_rows(squared, scale_sq, root=True))


def scaled_rows(errors: Floats, scale: Floats, *, root: bool = False) -> Floats:
    """[N]: each row's mean error over its scale (the root of it for squared errors), at most 10; NaN = undefined."""
    error = row_mean(errors)
    usable = np.isfinite(scale) & (scale > 0) & ~np.isnan(error)
    with np.errstate(over="ignore"):
        quotient = np.where(usable, error, NAN) / np.where(usable, scale, 1.0)
    return np.minimum(np.sqrt(quotient) if root else quotient, CAP)


def pinball(actual: Floats, quantile: Floats, level: float) -> Floats:
    """[N, H]: the quantile (pinball) loss of each cell, in the unit sold; NaN where the actual is unknown."""
    return np.maximum(level * (actual - quantile), (level - 1) * (actual - quantile))


def quantile_loss(actual: Floats, quantiles: Floats, levels: tuple[float, ...]) -> float:
    """Mean pinball loss over all stated levels and scored cells, in the unit sold; `quantiles` [N, H, Q]."""
    losses = [_mean(pinball(actual, quantiles[:, :, k], level)) for k, level in enumerate(levels)]
    return float(np.mean(losses)) if losses else NAN


WQL_LEVELS = (0.1, 0.5, 0.9)


def wql(actual: Floats, quantiles: Floats, levels: tuple[float, ...]) -> float:
    """Mean weighted quantile loss: twice the pinball loss over total demand, averaged over .1, .5 and .9.

    Levels of the three that were not forecast are left out. NaN when nothing was sold or none of them is there.
    """
    sold = np.nansum(np.abs(actual))
    used = [level for level in WQL_LEVELS if level in levels]
    sums = [np.nansum(pinball(actual, quantiles[:, :, levels.index(level)], level)) for level in used]
    return _ratio(2 * float(np.mean(sums)), sold) if used else NAN


def intervals(levels: tuple[float, ...]) -> list[tuple[float, int, int]]:
    """(stated share, position of the lower level, position of the upper) of each symmetric pair, narrowest first."""
    pairs = []
    for low, level in enumerate(levels):
        for high in range(low + 1, len(levels)):
            if abs(level + levels[high] - 1) < 1e-9:
                pairs.append((round(levels[high] - level, 10), low, high))
    return sorted(pairs)


def coverage(actual: Floats, lower: Floats, upper: Floats) -> float:
    """Share of known actuals inside [lower, upper]. NaN when nothing was scored."""
    known = ~np.isnan(actual)
    inside = (actual >= lower) & (actual <= upper)
    return float(inside[known].mean()) if known.any() else NAN


def width(actual: Floats, lower: Floats, upper: Floats) -> float:
    """Mean width of the interval over the scored cells, in the unit sold. NaN when nothing was scored."""
    return _mean(np.where(np.isnan(actual), NAN, upper - lower))


def total_error(actual: Floats, mean: Floats, groups: NDArray[np.int64]) -> float:
    """Sum over groups of |sum f - sum y|, over the sum of |y|: the error of each group's total over known cells.

    `groups` [N] numbers the group of each row: one group a fold for the fleet's total, one a row for each style's own.
    NaN when nothing was sold.
    """
    error = group_sum(groups, np.nansum(mean - actual, axis=1), 0)
    return _ratio(np.abs(error).sum(), np.nansum(np.abs(actual)))


def group_sum(groups: NDArray[np.int64], values: Floats, n: int) -> Floats:
    """[n]: the sum of `values` [M] over the rows of each group 0 .. n-1."""
    summed = np.bincount(groups, weights=values, minlength=n)
    return summed.astype(np.float64, copy=False)


def row_mean(values: Floats) -> Floats:
    """[N]: the mean of each row's known cells; NaN where none is known."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=1) / np.maximum(count, 1), NAN)


def _mean(values: Floats) -> float:
    known = ~np.isnan(values)
    return float(values[known].mean()) if known.any() else NAN


def _mean_over_rows(rows: Floats) -> tuple[float, int]:
    used = ~np.isnan(rows)
    return (float(rows[used].mean()) if used.any() else NAN), int(used.sum())


def _ratio(part: float | Floats, whole: float | Floats) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(part / whole) if whole > 0 else NAN
