"""Demand paths, day by day: from the item's own past, or from a released forecast with the past's dependence.

Path s takes the same stretch of dates for every item (the s-th of evenly spaced windows; a younger item's past is read
round in a circle), so what moved together in the past, over time and between items, moves together in the paths: the
circular block bootstrap (Politis and Romano 1992), and for a forecast the Schaake shuffle (Clark et al. 2004), which
keeps the forecast's own distribution at each step and takes only the *ranks* from the past. Nothing is drawn at random:
the same inputs give the same paths, item by item, in whatever batches.

A window of the past is what followed a level that was known then, so it is read relative to it and moved to today's:
demand that has grown is not decided on as it used to be. And few windows are spread less than what comes: those of a
short past are widened, as a prediction from a small sample is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demand.calendar import Calendar
from demand.errors import DataError, SettingsError
from demand.panel import Floats, Ints, Panel
from models.base import Forecast

LEVEL_PERIODS = 6  # at least: what a level remembers, and how much of it is the item's mean over all of its past
MIX = np.uint64(0x9E3779B97F4A7C15)  # an odd constant whose multiples are spread evenly (Knuth's multiplicative hash)


@dataclass(frozen=True, eq=False)
class Days:
    """The days after an origin as parts of its calendar's periods.

    step  [W]  the period ahead (0 = the first one) of day 1 .. W
    share [W]  how much of that period's demand falls on the day: demand inside a period is spread evenly
    """

    step: Ints
    share: Floats

    @classmethod
    def after(cls, calendar: Calendar, origin: int, n_days: int) -> Days:
        """Days 1 .. n_days after the last day of period `origin`; on calendar B, Saturday and Sunday have no share."""
        end = calendar.spans(np.array([origin]))[1][0]
        days = end + np.arange(1, n_days + 1)
        period = calendar.containing(days)
        first, last = calendar.spans(period)
        inside = (days >= first) & (days <= last)
        return cls(period - origin - 1, np.where(inside, 1.0 / ((last - first).astype(np.int64) + 1), 0.0))

    @property
    def periods(self) -> int:
        """Periods that are touched."""
        return int(self.step[-1]) + 1 if len(self.step) else 0

    def spread(self, periods: Floats) -> Floats:
        """Demand a day [.., W] from demand a period [.., H], H >= `periods`."""
        return np.asarray(periods[..., self.step] * self.share)


def past_paths(history: Panel, periods: int, n_paths: int, longest: int | None = None) -> Floats:
    """Demand of the next `periods` periods as the past had it, at today's level: [N, S, periods], float64, >= 0.

    Path s of every item reads the window that lies (s + .5) / S of the way back through the `longest` history (None =
    that of this panel; a batch of a fleet says the fleet's), times the level now / the level before that window (see
    `_levels`), and its total is moved away from the mean total (`widened`). Net returns count as no demand.
    `history` has no NaN: raises DataError.
    """
    if n_paths < 1 or periods < 1:
        raise SettingsError("paths need at least one period and one path", periods=periods, paths=n_paths)
    if not np.isfinite(history.y).all():
        raise DataError("unknown demand in the history of paths", count=int((~np.isfinite(history.y)).sum()),
                        hint="Fill the blanks first")  # fmt: skip
    place = _places(history.lengths, periods, n_paths, longest)
    windows = np.maximum(history.y[history.indptr[:-1][:, None, None] + place], 0.0)
    levels = _levels(history, max(LEVEL_PERIODS, periods))
    before = np.take_along_axis(levels, levels.shape[1] - 1 - history.lengths[:, None] + place[:, :, 0], axis=1)
    moved = np.divide(levels[:, -1:], before, out=np.ones_like(before), where=before > 0)
    # Their variance, told from n independent values, is over n - 1, and once more 1 / n for the variance of their mean.
    n = np.maximum(history.lengths / periods, 2.0)  # windows that do not overlap, in the item's past
    return widened(windows * moved[:, :, None], np.sqrt((n + 1) / (n - 1)))


def forecast_paths(
    forecast: Forecast, history: Panel, periods: int, n_paths: int, longest: int | None = None,
    widths: Sequence[float] = (),
) -> Floats:  # fmt: skip
    """Demand of the next `periods` periods as the forecast has it: [N, S, periods]; NaN where there is no forecast.

    Each step's quantiles are joined by straight lines (constant outside the outermost two) and read at the ranks that
    the windows of the past had; equal values of the past share their ranks in a fixed, even order. The paths of an item
    are then scaled so that their mean total is that of the mean forecast, and their totals moved `widths` times as far
    from it (that of so many periods, the last one for more; none: they stay, see `models.inventory.widths`). Beyond the
    horizon the last whole season of the forecast repeats, see `extended`. `history` holds the forecast's items in its
    order.
    """
    if not np.array_equal(forecast.ids, history.ids):
        raise DataError("forecast and history are not of the same items", forecast=len(forecast.ids),
                        history=history.n_series)  # fmt: skip
    mean, quantiles = extended(forecast, periods)
    place = _places(history.lengths, periods, n_paths, longest)  # [N, S, H]
    rank = _ranks(history)[history.indptr[:-1][:, None, None] + place]
    # Two windows of a short past are the same one: a small even shift keeps their paths apart.
    rank = rank + _jitter(place.shape) / history.lengths[:, None, None]
    paths = _interpolated(rank, np.asarray(forecast.levels), quantiles)
    total, wanted = paths.sum(axis=2).mean(axis=1), mean.sum(axis=1)
    scale = np.divide(wanted, total, out=np.ones(len(total)), where=total > 0)
    # A mean that no quantile shows (one sale in fifty periods) cannot be had by scaling zeros: it is spread evenly.
    level = np.where((total <= 0) & (wanted > 0), wanted / periods, 0.0)
    paths = paths * scale[:, None, None] + level[:, None, None]
    return widened(paths, widths[min(periods, len(widths)) - 1]) if len(widths) else np.asarray(paths)


def extended(forecast: Forecast, periods: int) -> tuple[Floats, Floats]:
    """(mean [N, periods], quantiles [N, periods, Q]): the forecast, and beyond its horizon its last whole season again
    (its last step where the horizon is shorter than a season)."""
    horizon, season = forecast.horizon, Calendar(forecast.freq).season
    length = season if season <= horizon else 1
    steps = np.arange(periods)
    beyond = horizon - length + (steps - horizon) % length
    steps = np.where(steps < horizon, steps, beyond)
    return forecast.mean[:, steps], forecast.quantiles[:, steps]


def _places(lengths: Ints, periods: int, n_paths: int, longest: int | None) -> NDArray[np.int64]:
    """[N, S, periods]: which period of its history each path of an item reads at each step."""
    whole = int(lengths.max(initial=1)) if longest is None else longest
    share = (np.arange(n_paths) + 0.5) / n_paths
    back = np.floor(share * max(whole - periods + 1, 1)).astype(np.int64)  # periods between the window and the end
    first = lengths[:, None] - periods - back[None, :]  # below 0: before the item's first period
    return np.asarray((first[:, :, None] + np.arange(periods)) % lengths[:, None, None])


def _levels(history: Panel, memory: int) -> Floats:
    """The level of demand a period before each period [N, longest + 1], the last column now; right-aligned, so that a
    younger item's own begin later.

    An exponentially weighted mean of what was known by then, in which `memory` periods count, and beside it, with the
    weight of `memory` periods, the mean of the item's whole past: a level of few periods is mostly the latter.
    """
    from scipy.signal import lfilter

    longest = int(history.lengths.max(initial=1))
    y = history.window(history.end - longest + 1, longest)
    known = np.isfinite(y)
    y = np.maximum(np.where(known, y, 0.0), 0.0)
    mean = y.sum(axis=1) / history.lengths
    kept = [1.0, -(1.0 - 1.0 / memory)]
    total, weight = (np.pad(lfilter([1.0], kept, x, axis=1), ((0, 0), (1, 0))) for x in (y, known.astype(np.float64)))
    return np.asarray((total + memory * mean[:, None]) / (weight + memory))


def widened(paths: Floats, factor: Floats | float) -> Floats:
    """Paths [N, S, H] whose totals lie `factor` times (each item's own [N], or one) as far from the item's mean total,
    none below 0; the mean total stays."""
    total = paths.sum(axis=2)
    wide = widened_totals(total, factor)
    times = np.divide(wide, total, out=np.zeros_like(total), where=total > 0)
    return np.asarray(paths * times[:, :, None])


def widened_totals(total: Floats, factor: Floats | float) -> Floats:
    """The totals [N, S] of what `widened` gives; a total of 0 stays one."""
    mean = total.mean(axis=1, keepdims=True)
    wide = np.maximum(mean + np.reshape(factor, (-1, 1)) * (total - mean), 0.0)
    wide = np.where(total > 0, wide, 0.0)
    return np.asarray(wide * np.divide(mean, wide.mean(axis=1, keepdims=True), out=np.ones_like(mean), where=mean > 0))


def _ranks(history: Panel) -> Floats:
    """The mid-rank of each value in its item's past, in (0, 1) [T]; equal values in order of a fixed hash."""
    place = np.arange(len(history.y)) - np.repeat(history.indptr[:-1], history.lengths)
    order = np.lexsort((place.astype(np.uint64) * MIX, history.y, history.series_of))
    rank = np.empty(len(order))
    rank[order] = place
    return np.asarray((rank + 0.5) / np.repeat(history.lengths, history.lengths))


def _jitter(shape: tuple[int, ...]) -> Floats:
    """Evenly spread numbers in (-.5, .5), the same for every item [1, S, 1]: a golden-ratio sequence."""
    golden = (np.sqrt(5.0) - 1) / 2
    return np.asarray((np.arange(1, shape[1] + 1) * golden) % 1.0 - 0.5)[None, :, None]


def _interpolated(rank: Floats, levels: Floats, quantiles: Floats) -> Floats:
    """Values [N, S, H] at `rank` [N, S, H] of the distributions `quantiles` [N, H, Q] at `levels` [Q]."""
    if len(levels) == 1:
        return np.broadcast_to(quantiles[:, None, :, 0], rank.shape).copy()
    right = np.clip(np.searchsorted(levels, rank), 1, len(levels) - 1)
    at = np.clip((rank - levels[right - 1]) / (levels[right] - levels[right - 1]), 0.0, 1.0)
    item, step = np.arange(rank.shape[0])[:, None, None], np.arange(rank.shape[2])[None, None, :]
    low, high = quantiles[item, step, right - 1], quantiles[item, step, right]
    return np.asarray(low + (high - low) * at)
