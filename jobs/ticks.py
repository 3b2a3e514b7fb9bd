"""What the schedule owes: one row for each moment a trigger fires, kept for ever; no clock is read here."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self, cast, get_args

from demand.durable import write_whole
from demand.errors import VersionUnreadable
from demand.moments import stamp
from jobs.due import Cadence, ScheduleSettings, firings
from models.catalog import TRAINABLE
from models.files import create_json, read_json, write_json

log = logging.getLogger(__name__)
Status = Literal["pending", "started", "done", "failed", "skipped", "recorded"]
OPEN = ("pending", "started")
BEGAN = "began.json"
_MOMENT = re.compile(r"(?P<cadence>[a-z]+)-(?P<moment>\d{8}T\d{4}Z)")
_FORM = "%Y%m%dT%H%MZ"
CAUSES = ("degradation", "drift", "new_data")
SHOWN_ROWS, SHOWN_AHEAD = 20, 10
MISSED = ("missed", "it could not start")
SHOWN_ID = 200  # characters of an alert's id that are kept


@dataclass(frozen=True)
class Tick:
    """One firing of a trigger, or one alert.

    trigger: the cadence, or the alert's cause. models: due by it. status: pending (to be started), started, done,
    failed (no more retries), skipped (never to be started), recorded (auto_retrain is false). why: in words. jobs: one
    an attempt, in the ledger.
    """

    name: str
    trigger: str
    moment: str
    models: tuple[str, ...]
    status: Status = "pending"
    why: str = ""
    jobs: tuple[str, ...] = ()

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.moment)

    @classmethod
    def from_json(cls, value: Any, name: str) -> Self:
        """Raises VersionUnreadable when the file holds no row of this name."""
        known = {one.name for one in fields(cls)}
        try:
            given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in value.items()}
            tick = cls(**given)
            datetime.fromisoformat(tick.moment)
        except (AttributeError, TypeError, ValueError) as error:
            raise VersionUnreadable("a row of the schedule cannot be read", file=name, cause=str(error)) from None
        if tick.name != name or tick.status not in get_args(Status) or not known >= value.keys():
            raise VersionUnreadable("a row of the schedule cannot be read", file=name, status=tick.status)
        return tick


def due_now(newest: Mapping[str, datetime], schedule: ScheduleSettings, now: datetime) -> list[Tick]:
    """Every trigger that has fired and is in no row yet, oldest first.

    newest: cadence -> the last moment that has a row, or the moment since when the schedule counts. Of several moments
    of a cadence only the last is to be started, and only when it is not older than `catchup_days`; the others are
    skipped, each with its reason.
    """
    found = []
    now = now.astimezone(UTC)
    for cadence, models in schedule.cadences.items():
        since = newest[cadence].astimezone(UTC)
        first, last = (moment.astimezone(schedule.zone).date() for moment in (since, now))
        day = timedelta(days=1)
        moments = [m for m in firings(schedule, cadence, first - day, last + day) if since < m <= now] if models else []
        for moment in moments:
            why = ""
            if moment != moments[-1]:
                why = f"missed; caught up once, by the trigger of {stamp(moments[-1])}"
            if now - moments[-1] > timedelta(days=schedule.catchup_days):
                why = f"missed longer ago than schedule.catchup_days = {schedule.catchup_days:g}"
            name = f"{cadence}-{moment.astimezone(UTC).strftime(_FORM)}"
            due = tuple(model for model in TRAINABLE if model in models)
            found.append(Tick(name, cadence, stamp(moment), due, "skipped" if why else "pending", why))
    return sorted(found, key=lambda tick: (tick.moment, tick.name))


def moments(schedule: ScheduleSettings, after: datetime, last: datetime) -> list[tuple[datetime, str, tuple[str, ...]]]:
    """(moment in UTC, cadence, models) of all firings with after < moment <= last, ascending."""
    first, final = (moment.astimezone(schedule.zone).date() for moment in (after, last))
    found = [
        (moment, str(cadence), models)
        for cadence, models in schedule.cadences.items()
        if models
        for moment in firings(schedule, cadence, first - timedelta(days=1), final + timedelta(days=1))
        if after < moment <= last
    ]
    return sorted(found, key=lambda one: (one[0], list(schedule.cadences).index(one[1])))  # type: ignore[arg-type]


def alert_ticks(value: Any, now: datetime) -> list[Tick]:
    """A row for each alert that training answers: {alerts: [{cause, models, at, id}]}; what is no alert is logged.

    The name follows from cause and id: an alert that stands for days is one row.
    """
    alerts = value.get("alerts") if isinstance(value, Mapping) else None
    found = []
    for alert in alerts if isinstance(alerts, Sequence) and not isinstance(alerts, str) else []:
        cause, identity = (alert.get("cause"), alert.get("id")) if isinstance(alert, Mapping) else (None, None)
        if not isinstance(cause, str) or not isinstance(identity, str | int):
            log.warning("an alert of the monitoring cannot be read: cause %r, id %r", cause, identity)
            continue
        if cause not in CAUSES:  # old data, say: training is no answer to it
            continue
        named = alert.get("models")
        models = tuple(str(model) for model in named) if isinstance(named, list | tuple) else ()
        digest = hashlib.sha256(str(identity).encode("utf-8", "replace")).hexdigest()[:16]
        why = f"alert {str(identity)[:SHOWN_ID]}"
        found.append(Tick(f"{cause}-{digest}", cause, stamp(now), models, why=why))
    return found


def view(ticks: Sequence[Tick], schedule: ScheduleSettings, now: datetime) -> dict[str, Any]:
    """The schedule for those who only read: counts by status, triggers missed so far, the newest rows, what comes.

    missed: rows that were skipped because nobody looked, or another job ran, until a newer one came. Strict JSON.
    """
    newest = sorted(ticks, key=lambda tick: (tick.moment, tick.name), reverse=True)[:SHOWN_ROWS]
    ahead = moments(schedule, now, now + timedelta(days=40))[:SHOWN_AHEAD]
    return {
        "looked_at": stamp(now),
        "timezone": schedule.timezone,
        "auto_retrain": schedule.auto_retrain,
        "counts": {status: sum(tick.status == status for tick in ticks) for status in get_args(Status)},
        "missed": sum(tick.status == "skipped" and tick.why.startswith(MISSED) for tick in ticks),
        "newest": [asdict(tick) for tick in newest],
        "next": [{"at": stamp(at), "trigger": name, "models": list(models)} for at, name, models in ahead],
    }


class Ticks:
    """`<storage>/jobs/ticks/`: a file a row, created once whoever comes first; and since when the schedule counts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._closed: dict[str, Tick] = {}  # rows that change no more are read once

    def began(self, now: datetime) -> datetime:
        """Since when triggers count: the first time anybody asked."""
        path = self.root / BEGAN
        if not path.is_file():
            create_json(path, {"at": stamp(now)})
        return datetime.fromisoformat(read_json(path)["at"])

    def names(self) -> list[str]:
        """All rows, by name."""
        return sorted(path.stem for path in self.root.glob("*-*.json")) if self.root.is_dir() else []

    def newest(self, now: datetime) -> dict[str, datetime]:
        """Cadence -> the last moment that has a row, or since when the schedule counts."""
        began = self.began(now)
        found = dict.fromkeys(get_args(Cadence), began)
        for name in self.names():
            match = _MOMENT.fullmatch(name)
            if match and match["cadence"] in found:
                moment = datetime.strptime(match["moment"], _FORM).replace(tzinfo=UTC)
                found[match["cadence"]] = max(found[match["cadence"]], moment)
        return cast(dict[str, datetime], found)

    def add(self, tick: Tick) -> bool:
        """Whether the row is new; the first writer's stays."""
        path = self._path(tick.name)
        return not path.exists() and create_json(path, asdict(tick))

    def write(self, tick: Tick) -> None:
        """Replaces a row."""
        self._closed.pop(tick.name, None)
        write_whole(self._path(tick.name), lambda path: write_json(path, asdict(tick)))

    def read(self, name: str) -> Tick:
        return Tick.from_json(read_json(self._path(name)), name)

    def open(self) -> list[Tick]:
        """The rows that something is still to be done about, oldest first."""
        return [tick for tick in self.all() if tick.status in OPEN]

    def all(self) -> list[Tick]:
        """Every row, oldest first."""
        return sorted(self._read(), key=lambda tick: (tick.moment, tick.name))

    def _read(self) -> Iterator[Tick]:
        for name in self.names():
            if name in self._closed:
                yield self._closed[name]
                continue
            try:
                tick = self.read(name)
            except VersionUnreadable as error:
                log.warning("%s", error)
                continue
            if tick.status not in OPEN:
                self._closed[name] = tick
            yield tick

    def _path(self, name: str) -> Path:
        return self.root / f"{name}.json"
