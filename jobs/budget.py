"""Wall time that a job may spend: how much is left, what is kept back for its end, and how a budget is said."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(value: object) -> object:
    """A budget in seconds: a number, or text such as 90s, 10m, 1.5h. None stays None; raises ValueError otherwise."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and (said := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", value.strip())):
        seconds = float(said[1]) * _UNITS[said[2]]
    else:
        raise ValueError("must be a time such as 90s, 10m or 1h (a number alone is seconds)")
    if not 0 < seconds < math.inf:
        raise ValueError("must be above 0")
    return seconds


class Budget:
    """A total of wall seconds, some of them spent before (by an earlier part of the same run).

    What is kept back is for work at the end that must not fail for want of time: `left` never counts it.
    """

    def __init__(self, total_s: float, spent_s: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.total_s, self._clock = total_s, clock
        self._began = clock() - spent_s
        self._kept_s = 0.0

    def spent(self) -> float:
        """Seconds used so far, those of earlier parts included."""
        return self._clock() - self._began

    def keep_back(self, seconds: float) -> None:
        """Keeps so many more seconds for the end."""
        self._kept_s += max(0.0, seconds)

    def left(self, share: float = 1.0) -> float:
        """Seconds until this share of the total is spent, none of those kept back; 0 when that is past."""
        return max(0.0, min(share * self.total_s, self.total_s - self._kept_s) - self.spent())

    def moment(self, seconds: float) -> float:
        """The clock's reading after so many seconds from now."""
        return self._clock() + seconds
