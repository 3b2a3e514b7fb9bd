"""Demand that comes in whole pieces: quantiles of counts are counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from demand.panel import Floats, Panel

# From which part of a piece on a quantile is rounded up. Weighing members leaves a median between two counts too high
# more often than too low: .65 was best, or level, at inner origins of five public fleets (.05 to .95 tried); above the
# median the nearest count was.
UP_TO_MEDIAN, ABOVE_MEDIAN = 0.65, 0.5
MOST = 0.5  # of the fleet's amounts
MOSTLY = 0.95  # of a series' amounts: single ones may be filled blanks, capped or corrected
_CANDIDATES = 10
_CLOSE = 1e-6  # of a piece: what floating point may leave of a whole number


def piece(history: Panel) -> float:
    """The smallest of the most frequent amounts that most amounts are whole multiples of: 1 for counts; 0 where there
    is none, as with money.

    Frequent ones, so that it changes with the unit sold and no single odd amount decides it; most, since a few styles
    may be sold in another way: which ones `in_pieces` says.
    """
    sold = np.abs(history.y[np.isfinite(history.y) & (history.y != 0)])
    amounts, times = np.unique(sold, return_counts=True)
    frequent = np.sort(amounts[np.argsort(-times, kind="stable")[:_CANDIDATES]])
    return float(next((size for size in frequent if _whole(sold / size).mean() > MOST), 0.0))


def in_pieces(history: Panel, size: float) -> NDArray[np.bool_]:
    """[N]: True where something was sold, nearly always in whole pieces of this size; all False for size 0."""
    if size <= 0:
        return np.zeros(history.n_series, dtype=bool)
    count = np.nan_to_num(history.y) / size
    whole = np.bincount(history.series_of, weights=(count != 0) & _whole(count), minlength=history.n_series)
    sold = np.bincount(history.series_of, weights=count != 0, minlength=history.n_series)
    return np.asarray((sold > 0) & (whole >= MOSTLY * sold))


def made_whole(quantiles: Floats, levels: tuple[float, ...], size: float, rows: NDArray[np.bool_]) -> Floats:
    """Quantiles [N, H, Q], those of `rows` [N] in whole pieces; they do not cross when they did not. NaN stays NaN.

    Between two counts the expected quantile loss is a straight line, so that one of the two is never worse: which one
    is told by the place in between.
    """
    if not rows.any():
        return quantiles
    least = np.where(np.array(levels) <= 0.5, UP_TO_MEDIAN, ABOVE_MEDIAN)
    result = quantiles.copy()
    result[rows] = np.floor(quantiles[rows] / size + 1 - least) * size
    return result


def _whole(count: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.abs(count - np.round(count)) <= _CLOSE * np.maximum(1.0, np.abs(count)))
