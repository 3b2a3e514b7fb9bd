"""What the LSTM sees of a series at an origin: the last values, the dates ahead, and simple forecasts to start from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass as settings_dataclass

from demand.calendar import Calendar
from demand.panel import Floats, Ints, Panel
from demand.settings import STRICT

Array32 = NDArray[np.float32]

MIN_HISTORY = 2  # values known at an origin, below which nothing is forecast
COLUMNS = ("price", "inventory_level")  # optional columns of a panel the network can read
FEATURES = ("demand", *COLUMNS, "season", "trend")
_REPEATS = 3  # how many earlier seasons the seasonal mean looks at
_LARGEST = 10.0  # relative changes of a column are cut here: a price against a stored 0.01 is noise, not news


@settings_dataclass(frozen=True, config=STRICT)
class WindowLayout:
    """Which inputs there are; with the same layout a panel always gives the same inputs.

    periods: the seasons looked back to, in periods, shortest first ((7, 364) on daily data with season 7).
    features: the names in use, a part of FEATURES. columns: those of COLUMNS the fitted panel carried.
    """

    time_steps: int
    horizon: int
    periods: tuple[int, ...]
    features: tuple[str, ...] = ("demand", "season", "trend")
    columns: tuple[str, ...] = ()

    @property
    def scale_span(self) -> int:
        """Periods whose mean absolute demand scales a window."""
        return max(self.time_steps, self.periods[0])

    @property
    def seasonal(self) -> tuple[int, ...]:
        return self.periods if "season" in self.features else ()

    @property
    def trending(self) -> bool:
        return "trend" in self.features


class Windows(NamedTuple):
    """Inputs of B windows, scaled, finite.

    past    [B, T, C]  per past period: demand, the seasons before it, season position, columns
    ahead   [B, H, F]  per target period: step, calendar, the anchors, planned columns
    static  [B, S]     per window: size, share of zeros, growth
    anchors [B, H, A]  simple forecasts, in units of the scale
    scale   [B]        mean absolute demand at the end of the window; 0 where nothing was ever sold
    """

    past: Array32
    ahead: Array32
    static: Array32
    anchors: Array32
    scale: Floats


def seasons_of(calendar: Calendar, season: int) -> tuple[int, ...]:
    """The seasons worth looking back to: the given one and, when that is shorter, the year in whole seasons."""
    year = round(365.25 / calendar.days_per_period) // season * season
    return (season, year) if season > 1 and year > 2 * season else (season,)


@dataclass(frozen=True, eq=False)
class WindowSource:
    """Cuts windows out of a panel. An origin is a position within its series: 0 is the series' first period.

    Everything a window holds comes from its own series up to its origin, from the calendar, and from what the panel
    says is known ahead.
    """

    panel: Panel
    layout: WindowLayout
    calendar_table: Floats = field(init=False)  # [periods, K] of panel.start.min() .. panel.end + H
    last_sale: Ints = field(init=False)  # [T], see _last_sale

    def __post_init__(self) -> None:
        first = int(self.panel.start.min(initial=self.panel.end))
        object.__setattr__(self, "last_sale", _last_sale(self.panel))
        numbers = np.arange(first, self.panel.end + self.layout.horizon + 1)
        object.__setattr__(self, "calendar_table", _calendar_inputs(self.panel.calendar, numbers, self.layout.seasonal))

    # ---- which windows there are ------------------------------------------------------------------------------

    def origins(self, max_rows: int) -> tuple[Ints, Ints]:
        """First and last origin [N], [N] of each series that has all its target periods known; first > last: none.

        A window starts when `time_steps` values, or half of what the series can ever show, are known and something was
        sold. More than `max_rows` in all: each series keeps its newest ones, no series is left out.
        """
        lengths, layout = self.panel.lengths, self.layout
        last = lengths - 1 - layout.horizon
        first = np.maximum(np.minimum(layout.time_steps - 1, (lengths - layout.horizon) // 2), MIN_HISTORY - 1)
        first = np.maximum(first, _first_sale(self.panel))
        return np.maximum(first, last + 1 - _newest_each(np.maximum(last - first + 1, 0), max_rows)), last

    def targets(self, series: Ints, origins: Ints, scale: Floats) -> Array32:
        """The truth [B, H] in units of `scale` (which is not 0)."""
        steps = origins[:, None] + np.arange(1, self.layout.horizon + 1)
        return (self.panel.y[self.panel.indptr[series][:, None] + steps] / scale[:, None]).astype(np.float32)

    # ---- what a window holds ----------------------------------------------------------------------------------

    def windows(self, series: Ints, origins: Ints) -> Windows:
        """The inputs of the windows (series [B], origins [B])."""
        layout = self.layout
        scale = self._scale(series, origins)
        safe = np.where(scale > 0, scale, 1.0)[:, None]
        recent = np.arange(1 - layout.time_steps, 1)
        past = self._values(series, origins, recent) / safe  # [B, T], NaN before the series starts
        known = np.isfinite(past)
        steps = np.arange(1, layout.horizon + 1)
        channels = [np.arcsinh(_zeroed(past)), known.astype(np.float64)]
        for period in layout.seasonal:
            before = self._values(series, origins, recent - period) / safe
            channels += [np.arcsinh(_zeroed(before)), np.isfinite(before).astype(np.float64)]
        anchors, extras, growths = self._anchors(series, origins, past, safe)
        table_row = self.panel.start[series] + origins - int(self.panel.start.min())
        if layout.seasonal:
            rows = np.maximum(table_row[:, None] + recent, 0)
            channels += list(np.moveaxis(self.calendar_table[rows], 2, 0))
        position = np.broadcast_to(steps / layout.horizon, anchors.shape[:2])
        ahead = [position, np.sqrt(position), *np.moveaxis(np.arcsinh(anchors), 2, 0), *extras]
        if layout.seasonal:
            ahead += list(np.moveaxis(self.calendar_table[table_row[:, None] + steps], 2, 0))
        for name in layout.columns:
            seen, planned = self._column(name, series, origins, recent, steps)
            channels.append(seen)
            ahead.append(planned)
        zeros = np.where(known, past == 0, 0).sum(axis=1) / known.sum(axis=1)
        spread = np.sqrt(_mean((past - _mean(past)[:, None]) ** 2))
        static = [np.log1p(scale), zeros, np.arcsinh(spread), known.mean(axis=1), *growths]
        return Windows(
            past=np.stack(channels, axis=2).astype(np.float32),
            ahead=np.stack(ahead, axis=2).astype(np.float32),
            static=np.stack(static, axis=1).astype(np.float32),
            anchors=anchors.astype(np.float32),
            scale=scale,
        )

    def _values(self, series: Ints, origins: Ints, offsets: Ints) -> Floats:
        """y at `origin + offset` [B, K]; NaN before the series and, whatever is asked for, after the origin."""
        at = origins[:, None] + offsets
        inside = (at >= 0) & (offsets <= 0)
        return np.where(inside, self.panel.y[self.panel.indptr[series][:, None] + np.where(inside, at, 0)], np.nan)

    def _scale(self, series: Ints, origins: Ints) -> Floats:
        """Mean absolute demand of the last `scale_span` periods, stretched back to the last sale if that is older."""
        scale = _mean(np.abs(self._values(series, origins, np.arange(1 - self.layout.scale_span, 1))))
        silent = np.flatnonzero(scale == 0)
        if len(silent):
            start = self.panel.indptr[series[silent]]
            origin = start + origins[silent]
            sold = self.last_sale[origin]
            size = np.abs(self.panel.y[np.maximum(sold, 0)]) / (origin - sold + 1)
            scale[silent] = np.where(sold >= start, size, 0.0)
        return scale

    def _anchors(
        self, series: Ints, origins: Ints, past: Floats, safe: Floats
    ) -> tuple[Floats, list[Floats], list[Floats]]:
        """Simple forecasts [B, H, A], more inputs per target period ([B, H] each) and per window ([B] each)."""
        layout, steps = self.layout, np.arange(1, self.layout.horizon + 1)
        shape = (len(series), layout.horizon)
        level = _mean(past)
        levels = [past[:, -1], _mean(past[:, -4:]), level]
        anchors = [np.broadcast_to(value[:, None], shape) for value in levels]
        extras: list[Floats] = []
        growths: list[Floats] = []
        if layout.trending:
            end, slope = _line(past)
            reach = layout.time_steps * (1 - np.exp(-steps / layout.time_steps))  # a trend fades with its own length
            anchors += [end[:, None] + slope[:, None] * reach, past[:, -1:] + slope[:, None] * reach]
            growths += [np.arcsinh(slope * layout.time_steps)]
        for period in layout.seasonal:
            back = steps - -(-steps // period) * period  # the same position in the last season that is known
            same = [self._values(series, origins, back - repeat * period) / safe for repeat in range(_REPEATS)]
            known = np.isfinite(same[0])
            last = np.where(known, same[0], level[:, None])
            several = np.where(known, _mean(np.stack(same)), level[:, None])
            anchors += [last, several]
            extras.append(known.astype(np.float64))
            for side in (-1, 1):
                beside = self._values(series, origins, back + side) / safe
                extras.append(np.arcsinh(np.where(np.isfinite(beside), beside, last)))
            if layout.trending:
                span = np.arange(1 - min(period, layout.time_steps), 1)
                now = _mean(self._values(series, origins, span) / safe)
                before = _mean(self._values(series, origins, span - period) / safe)
                comparable = np.isfinite(before)
                added = np.where(comparable, now - before, 0.0)
                usable = comparable & (before > 0.05) & (now > 0)
                ratio = np.clip(np.divide(now, before, out=np.ones_like(now), where=usable), 0.2, 5.0)
                anchors += [last + added[:, None], last * ratio[:, None]]
                growths += [np.arcsinh(added), np.log(ratio), comparable.astype(np.float64)]
        return np.stack(anchors, axis=2), extras, growths

    def _column(self, name: str, series: Ints, origins: Ints, recent: Ints, steps: Ints) -> tuple[Floats, Floats]:
        """A price or stock column as change from its own mean in the window: past [B, T], ahead [B, H].

        Known ahead only where the panel says so; otherwise the last value at the origin stays. A column the panel does
        not carry, and unknown values, count as unchanged: 0.
        """
        panel = self.panel
        planned = name in panel.future
        if not planned and name not in panel.past:
            return np.zeros((len(series), len(recent))), np.zeros((len(series), len(steps)))
        column, reach = (panel.future[name], panel.ahead) if planned else (panel.past[name], 0)
        start = (panel.indptr[:-1] + np.arange(panel.n_series) * reach)[series][:, None]
        at = origins[:, None] + np.concatenate([recent, steps])
        limit = (panel.lengths[series] + reach)[:, None] - 1 if planned else origins[:, None]
        inside = (at >= 0) & (at <= limit)
        values = np.where(inside, column[start + np.where(inside, at, 0)], np.nan)
        seen, ahead = values[:, : len(recent)], values[:, len(recent) :]
        mean = _mean(np.abs(seen))[:, None]
        last = seen[:, -1:]
        ahead = np.where(np.isfinite(ahead), ahead, last)
        usable = np.isfinite(mean) & (mean > 0)
        seen, ahead = (
            np.where(usable & np.isfinite(part), part / np.where(usable, mean, 1.0) - 1, 0.0) for part in (seen, ahead)
        )
        return np.clip(seen, -_LARGEST, _LARGEST), np.clip(ahead, -_LARGEST, _LARGEST)


def _mean(values: Floats) -> Floats:
    """Mean of the finite values: over the last axis of [B, K], over the first of [R, B, K]; NaN where there is none."""
    axis = 1 if values.ndim == 2 else 0
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    means: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return means


def _zeroed(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, 0.0)


def _line(past: Floats) -> tuple[Floats, Floats]:
    """Least squares line through the known values of each row [B, T]: its value at the end [B], its slope [B]."""
    known = np.isfinite(past)
    time = np.arange(1 - past.shape[1], 1)
    n = known.sum(axis=1)
    mean_time = (known * time).sum(axis=1) / n
    mean = _mean(past)
    centred = np.where(known, time - mean_time[:, None], 0.0)
    spread = (centred**2).sum(axis=1)
    slope = np.divide((centred * _zeroed(past)).sum(axis=1), spread, out=np.zeros(len(past)), where=spread > 0)
    return mean - slope * mean_time, slope


def _last_sale(panel: Panel) -> Ints:
    """For each position of y, the position of the last non-zero y at or before it in the whole array [T]; -1: none."""
    last: Ints = np.maximum.accumulate(np.where(panel.y != 0, np.arange(len(panel.y)), -1))
    return last


def _first_sale(panel: Panel) -> Ints:
    """Position within the series of its first non-zero y [N]; the series' length where nothing was sold."""
    sold = np.where(panel.y != 0, np.arange(len(panel.y)), len(panel.y))
    return np.minimum(np.minimum.reduceat(sold, panel.indptr[:-1]) - panel.indptr[:-1], panel.lengths)


def _newest_each(counts: Ints, max_rows: int) -> int:
    """How many newest windows each series may keep so that at most `max_rows` remain; never below 1."""
    if counts.sum() <= max_rows:
        return int(counts.max(initial=1))
    low, high = 1, int(counts.max())
    while low < high:  # the largest cap whose total fits
        middle = (low + high + 1) // 2
        if np.minimum(counts, middle).sum() <= max_rows:
            low = middle
        else:
            high = middle - 1
    return low


def _calendar_inputs(calendar: Calendar, numbers: Ints, seasonal: tuple[int, ...]) -> Floats:
    """Waves of the position in each season and in the year [n] -> [n, K]."""
    turns = [(numbers % period) / period for period in seasonal[:1]]
    waves = [(turn, harmonic) for turn in turns for harmonic in range(1, 1 + min(3, seasonal[0] // 2))]
    dates = calendar.dates(numbers)
    year = dates.astype("datetime64[Y]")
    turn_of_year = (dates - year) / np.timedelta64(1, "D") / 366.0
    waves += [(turn_of_year, harmonic) for harmonic in (1, 2, 3)]
    return np.stack([wave(2 * np.pi * k * turn) for turn, k in waves for wave in (np.sin, np.cos)], axis=1)
