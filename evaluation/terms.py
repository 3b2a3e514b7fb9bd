"""Which release answers for which period: the times in office of the champions, from what was promoted when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from demand.calendar import Calendar


@dataclass(frozen=True)
class Promotion:
    """That a release became champion: its number, the day (None = not noted), the last period it knew, its steps."""

    release: int
    on: date | None
    origin: int
    horizon: int


@dataclass(frozen=True)
class Term:
    """The periods first .. last for which a release's forecast counts; `origin` < first. promotion: its position."""

    release: int
    origin: int
    first: int
    last: int
    promotion: int = 0


def terms(promotions: Sequence[Promotion], end: int, freq: str) -> list[Term]:
    """The terms of the champions up to period `end`, oldest first; those without any period are left out.

    A period counts for the release that was the champion while that period was still to come: promoted before it was
    over, and not replaced before it was over. No release answers for a period it knew, nor for one that was over when
    it was promoted, however late the data comes. Where a promotion lies a whole horizon or more behind the newest data
    known then, the clock says nothing (old data is replayed): the release counts from the first period after that data.
    """
    calendar = Calendar(freq)
    since: list[int] = []  # the last period that was over when each took office
    known = before = np.iinfo(np.int64).min
    for one in promotions:
        known = max(known, one.origin)
        over = known
        if one.on is not None:
            clock = int(calendar.containing(np.datetime64(one.on))) - 1
            if clock - known < one.horizon:
                over = max(known, clock)
        before = max(before, over)
        since.append(before)
    until = [*since[1:], end]
    found = [
        Term(one.release, one.origin, first + 1, min(last, end), k)
        for k, (one, first, last) in enumerate(zip(promotions, since, until, strict=True))
    ]
    return [term for term in found if term.first <= term.last]
