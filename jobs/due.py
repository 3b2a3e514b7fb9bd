"""What is due when: triggers as pure functions of dates; no clock is read here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo

from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.errors import SettingsError
from demand.settings import STRICT, refuse_unknown
from models.catalog import TRAINABLE

Cadence = Literal["daily", "weekly", "biweekly", "monthly"]
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")  # cron counts from Sunday = 0; 7 is Sunday too
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))


class Trigger(NamedTuple):
    """A cron line as sets of numbers: minute hour day month weekday (0 = Sunday)."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Self:
        """From five fields of `*`, numbers, a-b, lists and steps (`*/15`); weekdays also as MON .. SUN.

        Raises SettingsError. A line that names both days and weekdays is refused: cron reads it as "or", people read
        "and".
        """
        parts = text.upper().split()
        if len(parts) != len(_FIELDS):
            raise SettingsError("a trigger has five fields: minute hour day month weekday", found=text)
        if parts[2] != "*" and parts[4] != "*":
            raise SettingsError("a trigger names days of the month or weekdays, not both", found=text)
        minutes, hours, days, months, weekdays = (
            _numbers(part, *bounds, text) for part, bounds in zip(parts, _FIELDS, strict=True)
        )
        return cls(minutes, hours, days, months, frozenset(day % 7 for day in weekdays))

    def on(self, day: date) -> bool:
        """Whether it fires on this day."""
        return day.day in self.days and day.month in self.months and day.isoweekday() % 7 in self.weekdays

    def moments(self, day: date, zone: ZoneInfo) -> list[datetime]:
        """When it fires on this day in this zone, ascending, in UTC.

        A local time that a clock change skips fires at the next existing minute; a repeated one fires once, the first
        time.
        """
        if not self.on(day):
            return []
        local = [datetime(day.year, day.month, day.day, h, m, tzinfo=zone) for h in self.hours for m in self.minutes]
        return sorted({_existing(moment) for moment in local})


@dataclass(frozen=True, config=STRICT)
class ScheduleSettings:
    """Which models train at which cadence, and when the cadences fire.

    Trigger lines are in `timezone`. grace_days: days beyond `retrain_frequency_days` after which a model is called
    stale. retries: how often a failed run is tried again, `retry_wait_s` seconds later, before it waits for its next
    trigger. catchup_days: a trigger missed longer ago is not caught up. timeout_s: seconds after which a job is ended.
    auto_retrain false: what is due is recorded, nothing starts.
    """

    daily: tuple[str, ...] = ("xgboost",)
    weekly: tuple[str, ...] = ("arima", "prophet", "ensemble")
    biweekly: tuple[str, ...] = ("lstm", "inventory_optimization")
    monthly: tuple[str, ...] = ("yarn_substitution",)
    triggers: dict[Cadence, str] = field(
        default_factory=lambda: {
            "daily": "0 2 * * *",
            "weekly": "0 3 * * MON",
            "biweekly": "0 4 1,15 * *",
            "monthly": "0 4 1 * *",
        }
    )
    timezone: str = "UTC"
    grace_days: Annotated[int, Field(strict=True, ge=0)] = 3
    retries: Annotated[int, Field(strict=True, ge=0)] = 2
    retry_wait_s: Annotated[float, Field(strict=True, ge=0)] = 300.0
    catchup_days: Annotated[float, Field(strict=True, gt=0)] = 7.0
    timeout_s: Annotated[float, Field(strict=True, gt=0)] = 21_600.0
    auto_retrain: Annotated[bool, Field(strict=True)] = True

    def __post_init__(self) -> None:
        for cadence, models in self.cadences.items():
            refuse_unknown(models, TRAINABLE, f"schedule.{cadence}")
            if cadence not in self.triggers:
                raise SettingsError("a cadence has no trigger", key=f"schedule.triggers.{cadence}")
            Trigger.parse(self.triggers[cadence])
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            raise SettingsError(
                "unknown time zone", key="schedule.timezone", found=self.timezone, expected="a name such as Asia/Tokyo"
            ) from None

    @property
    def cadences(self) -> dict[Cadence, tuple[str, ...]]:
        return {"daily": self.daily, "weekly": self.weekly, "biweekly": self.biweekly, "monthly": self.monthly}

    @property
    def scheduled(self) -> frozenset[str]:
        """The models that have a cadence."""
        return frozenset(model for models in self.cadences.values() for model in models)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


def cadences_on(schedule: ScheduleSettings, day: date) -> tuple[Cadence, ...]:
    """The cadences whose trigger fires on this day."""
    return tuple(name for name in schedule.cadences if Trigger.parse(schedule.triggers[name]).on(day))


def models_due(schedule: ScheduleSettings, day: date) -> tuple[str, ...]:
    """The models due on this day, each once; the ensemble last, after its members."""
    due = {model for cadence in cadences_on(schedule, day) for model in schedule.cadences[cadence]}
    return tuple(model for model in TRAINABLE if model in due)


def firings(schedule: ScheduleSettings, cadence: Cadence, first: date, last: date) -> Iterator[datetime]:
    """Every moment (UTC) at which a cadence fires on the local days first .. last, ascending."""
    trigger = Trigger.parse(schedule.triggers[cadence])
    for offset in range((last - first).days + 1):
        yield from trigger.moments(first + timedelta(days=offset), schedule.zone)


def _existing(local: datetime) -> datetime:
    """The moment of a local time, in UTC: the first of two, or the next minute that exists."""
    moment = local.replace(fold=0)
    # A local time that was skipped does not survive the way to UTC and back.
    while moment.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) != moment.replace(tzinfo=None):
        moment += timedelta(minutes=1)
    return moment.astimezone(UTC)


def _numbers(part: str, name: str, low: int, high: int, text: str) -> frozenset[int]:
    found: set[int] = set()
    for item in part.split(","):
        span, _, step = item.partition("/")
        first, _, last = ("*", "", "") if span == "*" else span.partition("-")
        try:
            start = low if first == "*" else _number(first, name)
            end = high if first == "*" else _number(last, name, last=True) if last else start
            stride = int(step) if step else 1
        except ValueError:
            start, end, stride = 1, 0, 1
        if not (low <= start <= end <= high and stride >= 1):
            raise SettingsError(f"the {name} of a trigger is {low} to {high}", found=item, trigger=text)
        found.update(range(start, end + 1, stride))
    return frozenset(found)


def _number(text: str, name: str, last: bool = False) -> int:
    if name == "weekday" and text in _WEEKDAYS:
        return _WEEKDAYS.index(text) or (7 if last else 0)  # SAT-SUN ends on 7
    return int(text)
