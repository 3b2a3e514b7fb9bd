"""`python -m jobs.schedule`: starts training when its triggers fire; a service, or one look for cron."""

from __future__ import annotations

import logging
import signal
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger

from demand.errors import DemandError, SettingsError
from demand.moments import now_utc, stamp
from jobs.due import ScheduleSettings
from jobs.entry import FAILED, OK, WIDTH, run
from jobs.retrain import ledger_of, masked_arguments, shared_arguments
from jobs.rounds import Looked, Rounds
from jobs.settings import Settings
from jobs.show import show
from jobs.ticks import Tick, moments
from models.detached import start_job
from models.job import Job

log = logging.getLogger(__name__)
RETRAIN: tuple[str, ...] = ("-m", "jobs.retrain")
POLL_S = 20.0  # jobs that ended, alerts, and what another process wrote are looked at so often
CRON_LATE = timedelta(hours=1)  # how long ago a trigger may have fired when cron looks for the first time ever
AHEAD = timedelta(days=8)


def body(settings: Settings, told: Sequence[str] | None = None) -> int:
    """Runs until it is told to stop (SIGINT, SIGTERM); with `once` looks one time, with `dry` only tells.

    Code 0, also when nothing is due; 1 when `once` started training and that failed in the end. Jobs run in processes
    of their own and go on when the service stops. Raises StorageError when the storage cannot be written.
    """
    if settings.dry:
        show(*upcoming(settings.schedule, now_utc(), settings.until))
        return OK
    if settings.until is not None:
        raise SettingsError("until belongs to dry=true", key="until", found=settings.until)
    rounds = rounds_of(settings, sys.argv[1:] if told is None else told)
    return once(rounds) if settings.once else serve(rounds)


def rounds_of(settings: Settings, told: Sequence[str]) -> Rounds:
    """The schedule of the settings' storage; its jobs get the arguments of this process."""
    told = shared_arguments(told)
    ledger = ledger_of(settings)

    def start(job: Job) -> None:
        start_job(ledger, job, [sys.executable, *RETRAIN, *told])

    return Rounds(settings, ledger, start, masked_arguments(told))


def once(rounds: Rounds, clock: Callable[[], datetime] = now_utc, wait: Callable[[float], object] = time.sleep) -> int:
    """One look; what it started it follows to its end, retries included, so that a container lives as long."""
    rounds.ticks.began(clock() - CRON_LATE)
    looked = rounds.look(clock())
    _say(looked)
    if looked.job is None:
        open_rows = rounds.ticks.open()
        show(
            *(f"Waits     {tick.name}: {tick.why}" for tick in open_rows)
            if open_rows
            else ("Skipped   nothing is due",)
        )
        return OK
    mine = [tick.name for tick in looked.changed if tick.status == "started"]
    while any(rounds.ticks.read(name).status in ("pending", "started") for name in mine):
        wait(min(POLL_S, 1 + rounds.settings.schedule.retry_wait_s))
        _say(rounds.look(clock()))
    ended = [rounds.ticks.read(name) for name in mine]
    show(*(f"Ended     {tick.name}: {tick.status}, {tick.why}" for tick in ended))
    return FAILED if any(tick.status == "failed" for tick in ended) else OK


def serve(rounds: Rounds) -> int:
    """Looks at every trigger's moment and every 20 seconds, until a signal stops it."""
    schedule = rounds.settings.schedule
    rounds.ticks.began(now_utc())
    clock = BlockingScheduler(timezone=UTC)
    # Kept nowhere but in memory: which moments are owed follows from the ledger's rows, which also survive two
    # processes and a crash between them. A job store would say the same a second time, pickled.
    options: dict[str, Any] = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}

    def look() -> None:
        try:
            _say(rounds.look(now_utc()))
        except DemandError as error:  # a full disk, say: the next look tries again
            log.error("%s", error)

    clock.add_job(look, Moments(schedule), id="triggers", **options)
    clock.add_job(look, IntervalTrigger(seconds=int(POLL_S)), id="poll", next_run_time=now_utc(), **options)

    def stop(number: int, frame: object) -> None:
        clock.shutdown(wait=False)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    show(*upcoming(schedule, now_utc(), None)[:4], "Stop it with Ctrl-C or SIGTERM; jobs that run go on.")
    try:
        clock.start()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    show("Stopped.")
    return OK


class Moments(BaseTrigger):  # type: ignore[misc]
    """The clock's view of the triggers: the next moment at which any cadence fires, by our rules for clock changes."""

    def __init__(self, schedule: ScheduleSettings) -> None:
        self._schedule = schedule

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """The first moment after `now` and after the one before; None when nothing fires within a leap year or two."""
        after = max(now, previous_fire_time) if previous_fire_time else now
        for days in (8, 32, 366, 1465):  # most triggers are near
            found = next(iter(moments(self._schedule, after, after + timedelta(days=days))), None)
            if found is not None:
                return found[0]  # in UTC: a local time of a repeated hour equals nothing, by Python's rules
        return None


def upcoming(schedule: ScheduleSettings, now: datetime, until: date | None) -> list[str]:
    """The firings from now to the end of the day `until` (eight days ahead without it), at 80 columns."""
    if until is None:
        last = now + AHEAD
    else:
        last = datetime(until.year, until.month, until.day, 23, 59, 59, tzinfo=schedule.zone).astimezone(UTC)
    lines = [f"Fires next, {schedule.timezone}:"]
    for moment, cadence, models in moments(schedule, now, last):
        local = moment.astimezone(schedule.zone)
        head = f"  {local:%a %Y-%m-%d %H:%M}  {cadence:<9}"
        lines += textwrap.wrap(", ".join(models), WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
    if len(lines) == 1:
        lines.append(f"  nothing before {stamp(last)}")
    if not schedule.auto_retrain:
        lines.append("schedule.auto_retrain is false: what is due is recorded, nothing starts")
    return lines


def _say(looked: Looked) -> None:
    """What a look did, for the log of the service or of cron; many missed moments are counted, not listed."""
    show(*_lines(looked))


def _lines(looked: Looked) -> Iterator[str]:
    skipped = [tick for tick in (*looked.fired, *looked.changed) if tick.status == "skipped"]
    for why, count in Counter(tick.why for tick in skipped).items():
        yield f"Skipped   {count} of {', '.join(sorted({t.trigger for t in skipped if t.why == why}))}: {why}"
    for tick in (tick for tick in looked.fired if tick.status == "recorded"):
        yield f"Due       {tick.name}: {', '.join(tick.models)}; {tick.why}"
    for tick in (tick for tick in looked.changed if tick.status in ("done", "failed")):
        yield _outcome(tick)
    if looked.job is not None:
        yield f"Started   job {looked.job.job_id}: {', '.join(looked.job.ask.models)}"


def _outcome(tick: Tick) -> str:
    return f"{tick.status.capitalize():<9} {tick.name}: {tick.why}"


if __name__ == "__main__":
    run("schedule", body)
