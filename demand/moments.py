"""Moments in time as every record writes them: UTC, ISO 8601, with a Z."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal


def now_utc() -> datetime:
    """The clock of whoever does not bring his own."""
    return datetime.now(UTC)


def stamp(moment: datetime, precision: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """A moment as records say it: 2025-09-01T02:00:00Z; the rest below `precision` is cut off."""
    return moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
