"""Totals over days: which share of each period they hold, and how far they may be off, from errors of totals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from demand.calendar import Calendar
from demand.panel import Floats, Ints

DAYS = (7, 30, 60, 90, 180)
FEWEST_IN_T = 5  # totals of one fleet are few: from so many errors on, Student's t stands in for counted quantiles


@dataclass(frozen=True, eq=False)
class Ahead:
    """The days ahead of an origin that each of H periods covers; day 1 follows the origin's last day.

    first, last [H]  days ahead; of a business day the one day itself
    covered          whole days ahead that the H periods speak for (a weekend after a Friday belongs to it)
    """

    first: Ints
    last: Ints
    covered: int

    @classmethod
    def of(cls, calendar: Calendar, origin: int, horizon: int) -> Ahead:
        first, last = calendar.spans(origin + np.arange(horizon + 2))
        days = [(edge - last[0]).astype(np.int64) for edge in (first, last)]
        return cls(days[0][1:-1], days[1][1:-1], int(days[0][-1]) - 1)

    def shares(self, first: int, last: int) -> Floats:
        """[H]: the share of each period that lies in days first..last ahead."""
        inside = np.minimum(self.last, last) - np.maximum(self.first, first) + 1
        return np.asarray(np.maximum(inside, 0) / (self.last - self.first + 1))

    def total(self, days: int) -> Floats:
        """[H]: how often each period counts in the total of the next `days` days.

        Three months may hold 89 days where 90 are asked for: the missing days count at the last period's mean per day.
        """
        shares = self.shares(1, days)
        missing = max(0, days - self.covered)
        shares[-1] += missing / (self.last[-1] - self.first[-1] + 1)
        return shares

    def blocks(self, days: int) -> list[Floats]:
        """`shares` of the stretches of `days` days that follow each other inside the horizon, one at least."""
        n = self.covered // days
        return [self.shares(1 + k * days, (k + 1) * days) for k in range(n)] or [self.total(days)]


def answered_days(calendar: Calendar, horizon: int) -> tuple[int, ...]:
    """Those of DAYS that a horizon of so many periods answers; in whole periods, as a horizon in days is set."""
    return tuple(days for days in DAYS if calendar.periods_in(days) <= horizon)


def measurable(calendar: Calendar, days: int) -> bool:
    """Whether errors of totals over so many days can be measured: a week's share of a month was never observed."""
    return round(days / calendar.days_per_period) >= 1


def ranks(n: int, level: float) -> tuple[int, int] | None:
    """Places (from 1) of the errors that bound a share `level` of new ones among n counted errors.

    At the finite-sample level: a new error lies below the lower or above the upper with at most (1 - level) / 2 each.
    None where n is too small for that.
    """
    low = math.floor((n + 1) * (1 - level) / 2 + 1e-9)
    return (low, n + 1 - low) if low >= 1 else None


def bounds_by_group(errors: Floats, group: Ints, n_groups: int, level: float) -> tuple[Floats, Floats, Ints, Ints]:
    """(lower, upper, errors counted, 1 where all groups had to be pooled) of each group, each [n_groups].

    errors, group [M]: relative errors, NaN = none. A group with too few counted errors takes the quantiles of all
    groups; NaN and 0 where these are too few as well.
    """
    known = np.isfinite(errors)
    order = np.lexsort((errors[known], group[known]))
    sorted_errors, sorted_group = errors[known][order], group[known][order]
    edges = np.searchsorted(sorted_group, np.arange(n_groups + 1))
    everyone = np.sort(sorted_errors)
    lower, upper = np.full(n_groups, np.nan), np.full(n_groups, np.nan)
    counted, pooled = np.zeros(n_groups, dtype=np.int64), np.zeros(n_groups, dtype=np.int64)
    for g in range(n_groups):
        own = sorted_errors[edges[g] : edges[g + 1]]
        places = ranks(len(own), level)
        used = own
        if places is None:
            used, places, pooled[g] = everyone, ranks(len(everyone), level), 1
        if places is not None:
            lower[g], upper[g], counted[g] = used[places[0] - 1], used[places[1] - 1], len(used)
    return lower, upper, counted, pooled


def bounds_of_few(errors: Floats, level: float) -> tuple[float, float, str]:
    """(lower, upper, how) for a new error beside these few [n]: "counted" quantiles, else the prediction interval of
    "student_t"; NaN and "" where there are fewer than five."""
    errors = np.sort(errors[np.isfinite(errors)])
    n = len(errors)
    places = ranks(n, level)
    if places is not None:
        return float(errors[places[0] - 1]), float(errors[places[1] - 1]), "counted"
    if n < FEWEST_IN_T:
        return math.nan, math.nan, ""
    from scipy.stats import t

    reach = float(t.ppf((1 + level) / 2, n - 1)) * float(errors.std(ddof=1)) * math.sqrt(1 + 1 / n)
    return float(errors.mean()) - reach, float(errors.mean()) + reach, "student_t"


def relative(actual: Floats, forecast: Floats, usual: Floats) -> Floats:
    """(actual - forecast) over the larger of the forecast and the usual total; NaN where that is 0 or unknown."""
    scale = np.maximum(forecast, usual)
    out = np.full(np.shape(scale), np.nan)
    return np.asarray(np.divide(actual - forecast, scale, out=out, where=scale > 0))


def floored_accuracy(error: Floats | float, demand: Floats | float) -> Floats:
    """1 - error / demand, floored at 0; NaN where there was no demand."""
    demand = np.asarray(demand, dtype=np.float64)
    share = np.divide(error, demand, out=np.full(demand.shape, np.nan), where=demand > 0)
    return np.asarray(np.maximum(0.0, 1.0 - share))
