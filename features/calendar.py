"""Features of the target date itself: its place in the year and week, and public holidays. Known ahead."""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from demand.calendar import Calendar
from demand.errors import SettingsError
from demand.panel import Floats, Ints

TIME_NAMES = ("month", "quarter", "dayofweek", "day", "weekofyear", "is_weekend", "dayofyear")
HOLIDAY_NAMES = ("is_holiday", "holiday_kind", "days_to_holiday", "days_since_holiday")
FAR = 45  # days to or since a holiday are counted up to here
REFERENCE_YEARS = range(2010, 2030)  # the years whose holidays give each holiday its number


def time_columns(freq: str, periods: Ints) -> Floats:
    """TIME_NAMES of each period [n] -> [n, 7].

    Weeks and months are judged by their middle day (a week that ends on 2 January is week 52 or 53, not 1), except
    `dayofweek` (0 = Monday) and `day`, which are the label's. `is_weekend` is 1 on Saturdays and Sundays of calendar D
    and 0 on all others. `weekofyear` is the ISO week.
    """
    label = Calendar(freq).dates(periods).astype("datetime64[D]")
    first, last = period_days(freq, periods)
    middle = first + (last - first) // 2
    year = middle.astype("datetime64[Y]")
    month = middle.astype("datetime64[M]").astype(np.int64) % 12 + 1
    weekday = (label.astype(np.int64) + 3) % 7
    thursday = middle - (middle.astype(np.int64) + 3) % 7 + 3  # its year is the ISO year
    week = (thursday - thursday.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) // 7 + 1
    day = (label - label.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1
    dayofyear = (middle - year.astype("datetime64[D]")).astype(np.int64) + 1
    weekend = (weekday >= 5) if freq == "D" else np.zeros(len(weekday))
    return np.column_stack([month, (month + 2) // 3, weekday, day, week, weekend, dayofyear]).astype(np.float64)


def holiday_columns(freq: str, periods: Ints, country: str) -> Floats:
    """HOLIDAY_NAMES of each period [n] -> [n, 4]; all zero and FAR when `country` is "".

    is_holiday: public holidays inside the period (0 or 1 for days, a count for weeks and months). holiday_kind: the
    number of the last of them within the year's usual order, 0 = none: tells the week of Thanksgiving from the week of
    Christmas. days_to_holiday, days_since_holiday: from the period's last (first) day, up to FAR.
    """
    first, last = period_days(freq, periods)
    columns = np.tile([0.0, 0.0, FAR, FAR], (len(periods), 1))
    if not country or not len(periods):
        return columns
    years = [int(edge.astype("datetime64[Y]").astype(np.int64)) + 1970 for edge in (first.min(), last.max())]
    days, kinds = holidays_of(country, years[0] - 1, years[1] + 1)
    low, high = np.searchsorted(days, first), np.searchsorted(days, last, side="right")
    columns[:, 0] = high - low
    columns[:, 1] = np.where(high > low, kinds[np.maximum(high - 1, 0)], 0)
    columns[:, 2] = _days_between(last, days, high)
    columns[:, 3] = -_days_between(first, days, low - 1)
    return columns


def period_days(freq: str, periods: Ints) -> tuple[NDArray[np.datetime64], NDArray[np.datetime64]]:
    """The first and the last day of each period [n] -> [n], [n]; a Monday of calendar B holds its weekend."""
    label = Calendar(freq).dates(periods).astype("datetime64[D]")
    if freq == "D":
        return label, label
    if freq == "B":
        return Calendar(freq).dates(np.asarray(periods) - 1).astype("datetime64[D]") + 1, label
    if freq.startswith("W-"):
        return label - 6, label
    month = label.astype("datetime64[M]")
    return month.astype("datetime64[D]"), (month + 1).astype("datetime64[D]") - 1


@lru_cache(maxsize=64)
def holidays_of(country: str, first_year: int, last_year: int) -> tuple[NDArray[np.datetime64], Ints]:
    """The country's public holidays: days [n] ascending and the number of each holiday [n], from 1 on in the order
    of the year. Observed (shifted) days are left out. Raises SettingsError on an unknown country."""
    import holidays

    known = holidays.list_supported_countries(include_aliases=True)
    if country not in known:
        near = ", ".join(get_close_matches(country.upper(), list(known), n=5, cutoff=0.5))
        hint = f'Nearest: {near}; "" for none' if near else 'Use a code such as US, or "" for none'
        raise SettingsError("unknown country for holidays", key="country", found=country, hint=hint)
    order = _order_of_holidays(country)
    table = holidays.country_holidays(country, years=range(first_year, last_year + 1), observed=False)
    found = sorted((day, _first_name(name)) for day, name in table.items())
    days = np.array([day for day, _ in found], dtype="datetime64[D]")
    kinds = np.array([order.get(name, len(order) + 1) for _, name in found], dtype=np.int64)
    return days, kinds


@lru_cache(maxsize=16)
def _order_of_holidays(country: str) -> dict[str, int]:
    import holidays

    table = holidays.country_holidays(country, years=REFERENCE_YEARS, observed=False)
    places: dict[str, list[int]] = {}
    for day, name in table.items():
        places.setdefault(_first_name(name), []).append(day.timetuple().tm_yday)
    ordered = sorted(places, key=lambda name: (float(np.median(places[name])), name))
    return {name: k + 1 for k, name in enumerate(ordered)}


def _first_name(name: str) -> str:
    return str(name).split("; ")[0]


def _days_between(day: NDArray[np.datetime64], days: NDArray[np.datetime64], at: Ints) -> Floats:
    """days[at] - day, within -FAR .. FAR; FAR (or -FAR) where `at` is beyond the table."""
    inside = (at >= 0) & (at < len(days))
    distance = (days[np.clip(at, 0, max(len(days) - 1, 0))] - day).astype(np.int64)
    return np.where(inside, np.clip(distance, -FAR, FAR), np.where(at < 0, -FAR, FAR)).astype(np.float64)
