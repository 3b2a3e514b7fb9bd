"""One regular calendar: dates to period numbers and back, as arithmetic on arrays."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demand.errors import SettingsError

Dates = NDArray[np.datetime64]
Ordinals = NDArray[np.int64]

WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
FREQUENCIES = ("D", "B", *(f"W-{day}" for day in WEEKDAYS), "MS", "ME")
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday
_FEWEST_DATES = 3  # one or two dates lie on many calendars


@dataclass(frozen=True)
class Calendar:
    """Periods of one frequency, numbered from 1970 (negative before).

    freq: a pandas alias: D (days), B (Monday to Friday), W-MON .. W-SUN (weeks labelled by, and ending on, that
    weekday), MS or ME (months labelled by their first or last day). "M" and "W" are read as ME and W-SUN.
    """

    freq: str

    def __post_init__(self) -> None:
        alias = str(self.freq).upper()
        alias = {"M": "ME", "W": "W-SUN"}.get(alias, alias)
        if alias not in FREQUENCIES:
            raise SettingsError("unknown frequency", key="freq", found=self.freq, expected=", ".join(FREQUENCIES))
        object.__setattr__(self, "freq", alias)

    @property
    def _anchor(self) -> int:
        return (WEEKDAYS.index(self.freq[2:]) - _EPOCH_WEEKDAY) % 7

    def containing(self, dates: Any) -> Ordinals:
        """The number of the period that holds each date [n] -> [n]; a Saturday belongs to Monday on calendar B."""
        days = np.asarray(dates, dtype="datetime64[D]")
        if self.freq == "D":
            return days.astype(np.int64)
        if self.freq == "B":
            return np.busday_count("1970-01-01", np.busday_offset(days, 0, roll="forward")).astype(np.int64)
        if self.freq.startswith("W-"):
            return -((self._anchor - days.astype(np.int64)) // 7)  # ceil: the week ends on its label
        return days.astype("datetime64[M]").astype(np.int64)

    def dates(self, ordinals: Any) -> Dates:
        """The label of each period [n] -> [n], as datetime64[ns]."""
        numbers = np.asarray(ordinals, dtype=np.int64)
        if self.freq == "D":
            days = numbers.astype("datetime64[D]")
        elif self.freq == "B":
            days = np.busday_offset("1970-01-01", numbers, roll="forward")
        elif self.freq.startswith("W-"):
            days = (numbers * 7 + self._anchor).astype("datetime64[D]")
        elif self.freq == "MS":
            days = numbers.astype("datetime64[M]").astype("datetime64[D]")
        else:
            days = (numbers + 1).astype("datetime64[M]").astype("datetime64[D]") - np.timedelta64(1, "D")
        return days.astype("datetime64[ns]")

    def spans(self, ordinals: Any) -> tuple[Dates, Dates]:
        """(first, last) day of each period [n], [n], as datetime64[D]; on calendar B a period is its one day."""
        labels = self.dates(ordinals).astype("datetime64[D]")
        if self.freq.startswith("W-"):
            return np.asarray(labels - np.timedelta64(6, "D"), dtype="datetime64[D]"), labels
        if self.freq in ("D", "B"):
            return labels, labels
        months = labels.astype("datetime64[M]")
        next_month = (months + 1).astype("datetime64[D]")
        return months.astype("datetime64[D]"), np.asarray(next_month - np.timedelta64(1, "D"), dtype="datetime64[D]")

    def on_calendar(self, dates: Any) -> NDArray[np.bool_]:
        """True where a date is exactly a period's label [n] -> [n]."""
        days = np.asarray(dates, dtype="datetime64[D]").astype("datetime64[ns]")
        return np.asarray(self.dates(self.containing(dates)) == days)

    @property
    def season(self) -> int:
        """Periods in the usual season: 7 (D), 5 (B), 52 (weeks), 12 (months)."""
        return {"D": 7, "B": 5, "M": 12}.get(self.freq[0], 52)

    @property
    def days_per_period(self) -> float:
        """Mean length of a period in days."""
        return {"D": 1.0, "B": 7 / 5, "M": 365.25 / 12}.get(self.freq[0], 7.0)

    def periods_in(self, days: int) -> int:
        """Whole periods that cover `days` days, at least 1: 90 -> 90 (D), 64 (B), 13 (weeks), 3 (months)."""
        return max(1, round(days / self.days_per_period))


def is_frequency(text: str) -> bool:
    """Whether `text` names a calendar."""
    return bool(re.fullmatch(r"D|B|W(-(MON|TUE|WED|THU|FRI|SAT|SUN))?|M[SE]?", str(text).upper()))


def calendar_of(days: Dates) -> str | None:
    """The weekly or monthly frequency all these dates are labels of, None when there is none.

    Fewer than three different dates tell nothing.
    """
    dates = np.unique(days)
    if len(dates) < _FEWEST_DATES:
        return None
    for freq in ("MS", "ME", *(f"W-{weekday}" for weekday in WEEKDAYS)):
        if Calendar(freq).on_calendar(dates).all():
            return freq
    return None
