"""The fleet's total taken apart: where it is heading, and how weekdays and months differ."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from demand.calendar import WEEKDAYS, Dates
from demand.panel import Floats, Ints, Panel
from evaluation.formulas import group_sum

YEAR = 365.25
FEWEST_WEEKS = 8  # for a profile of weekdays
FEWEST_YEARS = 2  # for a profile of months
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # whatever the locale
LAST_YEAR = {"D": 364, "B": 260, "M": 12}  # periods back to the same weekday or month; else 52 weeks
NOISE = 1e-12  # of the squared mean: below it nothing varies but the last digits


@dataclass(frozen=True, eq=False)
class Trend:
    """The total per period and its smooth course.

    dates, total, course [T]   course: the trend of an STL decomposition, where the history holds two seasons and a
                               period; else the straight line of least squares
    growth    a year, a fraction of the mean total: the mean difference from the same period a year before. None where
              the history is shorter than two years (growth and season cannot be told apart) or nothing was sold
    years     how long the history is
    """

    dates: Dates
    total: Floats
    course: Floats
    growth: float | None
    years: float


@dataclass(frozen=True, eq=False)
class Profile:
    """How much more or less than usual is sold at each place in a season: 1.2 = a fifth more than the trend.

    strength: share of what varies around the trend that the season explains, 0 .. 1 (Wang, Smith and Hyndman 2006)
    """

    names: tuple[str, ...]
    factors: Floats
    strength: float


def fleet_total(history: Panel) -> tuple[Dates, Floats]:
    """(dates, total) of every period from the first style's first, [T]; y must be known (blanks filled)."""
    first = int(history.start.min())
    total = group_sum(history.periods - first, history.y, history.end - first + 1)
    return history.calendar.dates(np.arange(first, history.end + 1)), total


def trend(history: Panel) -> Trend | None:
    """The trend of the fleet's total; None where it has fewer than three periods."""
    dates, total = fleet_total(history)
    if len(total) < 3:
        return None
    parts = _decomposed(total, history.calendar.season)
    step = np.arange(len(total))
    line = np.asarray(np.polyval(np.polyfit(step, total, 1), step), dtype=np.float64)
    course = line if parts is None else parts[0]
    years = len(total) * history.calendar.days_per_period / YEAR
    back = LAST_YEAR.get(history.freq[0], 52)
    growth, mean = None, float(total.mean())
    if len(total) >= 2 * back and mean > 0:
        a_year = YEAR / (back * history.calendar.days_per_period)
        growth = float((total[back:] - total[:-back]).mean()) * a_year / mean
    return Trend(dates, total, course, growth, years)


def weekday_profile(history: Panel) -> Profile | None:
    """Monday to Sunday (Friday on calendar B); None where periods are no days or there are fewer than eight weeks."""
    season = history.calendar.season
    if history.calendar.days_per_period > 2:
        return None
    dates, total = fleet_total(history)
    if len(total) < FEWEST_WEEKS * season:
        return None
    weekday = (dates.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    return _profile(total, season, weekday, tuple(name.title() for name in WEEKDAYS[:season]))


def month_profile(history: Panel) -> Profile | None:
    """January to December, from the mean total a period of each whole month; None below two years."""
    dates, total = fleet_total(history)
    month = dates.astype("datetime64[M]").astype(np.int64)
    if not history.freq.startswith("M"):  # a month that was not seen whole says little
        keep = (month > month[0]) & (month < month[-1])
        month, total = month[keep], total[keep]
    numbers, place = np.unique(month, return_inverse=True)
    if len(numbers) < FEWEST_YEARS * len(MONTHS):
        return None
    mean = np.bincount(place, weights=total) / np.bincount(place)
    return _profile(mean, len(MONTHS), numbers % len(MONTHS), MONTHS)


def _profile(total: Floats, season: int, position: Ints, names: tuple[str, ...]) -> Profile | None:
    parts = _decomposed(total, season)
    if parts is None or not total.mean() > 0:
        return None
    course, seasonal, rest = parts
    shift = np.bincount(position, weights=seasonal, minlength=len(names)) / np.bincount(position, minlength=len(names))
    spread = float(np.var(seasonal + rest))
    varies = spread > NOISE * float(total.mean()) ** 2
    strength = max(0.0, 1.0 - float(np.var(rest)) / spread) if varies else 0.0
    return Profile(names, 1.0 + shift / float(course.mean()), strength)


def _decomposed(total: Floats, season: int) -> tuple[Floats, Floats, Floats] | None:
    """(trend, season, remainder), each [T]; None below two seasons and a period.

    Robust STL with a season that stays the same: single large orders move neither trend nor season. Source: Cleveland
    and others 1990.
    """
    if len(total) < 2 * season + 1 or season < 2:
        return None
    from statsmodels.tsa.seasonal import STL

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # its robust weights divide by 0 where nothing is left over
        whole = 10 * len(total) + 1  # a window over everything: one season for all years
        found = STL(total, period=season, seasonal=whole, seasonal_deg=0, robust=True).fit()
    course, seasonal = (np.asarray(part, dtype=np.float64) for part in (found.trend, found.seasonal))
    if not (np.isfinite(course).all() and np.isfinite(seasonal).all()):
        return None
    return course, seasonal, total - course - seasonal
