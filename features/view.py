"""What may be seen at one origin: arrays that end there, so that no feature can look past it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demand.calendar import Calendar
from demand.panel import Floats, Ints, Panel

LEAST = 0.01  # of the fleet's median scale
CELLS = 3_000_000  # numbers of history held at once; larger fleets pass through in chunks of series


@dataclass(frozen=True)
class Spans:
    """The lengths, in periods, that the automatic features count with.

    season: the panel's season (7, 52, 12). month, quarter, half, year: periods in 28, 91, 182 and 364 days (at least
    2 for the month); a year of days is 364 so that weekdays meet. lookback: how far back any feature may see.
    """

    season: int
    month: int
    quarter: int
    half: int
    year: int
    lookback: int

    @classmethod
    def of(cls, freq: str, season: int, longest: int = 1) -> Spans:
        """The spans of a calendar; `longest` is the longest configured lag or window."""
        calendar = Calendar(freq)
        month, quarter, half, year = (calendar.periods_in(days) for days in (28, 91, 182, 364))
        lookback = max(2 * year + quarter, 3 * max(season, year) if year < 100 else 0, 3 * season, longest)
        return cls(season, max(2, month), max(3, quarter), max(4, half), year, lookback)


@dataclass(frozen=True, eq=False)
class OriginView:
    """n series as they were known at the end of period `origin`.

    series   [n]     positions in the panel the view was cut from
    y        [n, W]  demand in units of `scale`, newest last; NaN before a series starts
    age      [n]     periods of history at the origin, at least 1 (may exceed W)
    scale    [n]     typical demand a period, in the source's unit; 0 = nothing was ever sold within W
    past     {name: [n]}     the last known value of a column that is not known ahead; NaN = unknown
    planned  {name: [n, H]}  values known ahead for steps 1..H; where the plan ends, the last value at the origin
    static   {name: [n]}
    """

    origin: int
    freq: str
    horizon: int
    series: Ints
    y: Floats
    age: Ints
    scale: Floats
    past: Mapping[str, Floats]
    planned: Mapping[str, Floats]
    static: Mapping[str, NDArray[Any]]

    @property
    def n_series(self) -> int:
        return len(self.series)

    def take(self, rows: Any) -> OriginView:
        """These series only, by position in the view [n]."""
        return replace(
            self,
            series=self.series[rows],
            y=self.y[rows],
            age=self.age[rows],
            scale=self.scale[rows],
            past={name: values[rows] for name, values in self.past.items()},
            planned={name: values[rows] for name, values in self.planned.items()},
            static={name: values[rows] for name, values in self.static.items()},
        )


def views(
    panel: Panel, origins: Sequence[int] | Ints, horizon: int, spans: Spans, least_scale: float = 0.0
) -> Iterator[OriginView]:
    """The view at each origin, in chunks of series: all origins of the first chunk, then of the next.

    Series that start after an origin are not in its views. A scale is at least `least_scale` unless it is 0. Memory is
    bounded by CELLS numbers and a few copies.
    """
    ordered = sorted(int(origin) for origin in origins)
    first, width = ordered[0] - spans.lookback + 1, ordered[-1] - ordered[0] + spans.lookback
    chunk = max(1, CELLS // width)
    for low in range(0, panel.n_series, chunk):
        part = panel.take(np.arange(low, min(low + chunk, panel.n_series)))
        history = part.window(first, width)  # [n, width]
        for origin in ordered:
            started = np.flatnonzero(part.start <= origin)
            if not len(started):
                continue
            known = history[started, origin - first - spans.lookback + 1 : origin - first + 1]
            scale = typical_demand(known, spans.half)
            scale = np.where(scale > 0, np.maximum(scale, least_scale), 0.0)
            shown = part if len(started) == part.n_series else part.take(started)
            yield OriginView(
                origin=origin,
                freq=panel.freq,
                horizon=horizon,
                series=low + started,
                y=known / np.where(scale > 0, scale, 1.0)[:, None],
                age=origin - shown.start + 1,
                scale=scale,
                past={name: shown.window(origin, 1, name)[:, 0] for name in panel.past},
                planned={name: _planned(shown, name, origin, horizon) for name in panel.future},
                static=shown.static,
            )


def typical_demand(y: Floats, recent: int) -> Floats:
    """The unit a series is measured in [n]: mean absolute demand of the last `recent` periods of y [n, W].

    It is pulled towards the mean of all of y by `recent / 4` periods' worth, so that a series that has just fallen
    silent keeps a sane unit. 0 where y holds no demand at all; NaN cells (before the start) do not count.
    """
    size = np.abs(y)
    known = ~np.isnan(size)
    size = np.where(known, size, 0.0)
    whole = size.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    prior = recent / 4
    total = size[:, -recent:].sum(axis=1) + prior * whole
    return np.asarray(total / (known[:, -recent:].sum(axis=1) + prior))


def smallest_scale(panel: Panel, recent: int) -> float:
    """The least unit a series of this fleet is measured in: LEAST of the median series' typical demand.

    A series that sold a hundredth of a piece and then a thousand would otherwise be a ratio of 100,000.
    """
    scale = typical_demand(panel.tail(recent), recent)
    some = scale[scale > 0]
    return LEAST * float(np.median(some)) if len(some) else 0.0


def _planned(panel: Panel, name: str, origin: int, horizon: int) -> Floats:
    plan = panel.window(origin + 1, horizon, name)
    last = panel.window(origin, 1, name)
    return np.where(np.isnan(plan), last, plan)
