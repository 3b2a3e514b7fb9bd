"""A year of the schedule under a fake clock: every trigger in one row, none twice, each skip with its reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from jobs import compose
from jobs.due import ScheduleSettings, firings
from jobs.rounds import Rounds
from jobs.settings import Settings
from jobs.ticks import Tick, due_now
from models.job import Job
from models.ledger import Ledger

ZONES = ("UTC", "America/New_York", "Australia/Sydney")
COUNTS = {"daily": 365, "weekly": 52, "biweekly": 24, "monthly": 12}
CATCHUP = timedelta(days=7)


def a_year(schedule: ScheduleSettings) -> tuple[datetime, datetime]:
    """The first and the last moment of 2025 in the schedule's zone."""
    first, after = (datetime(year, 1, 1, tzinfo=schedule.zone).astimezone(UTC) for year in (2025, 2026))
    return first, after - timedelta(seconds=1)


def downtimes(seed: int, begin: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """Twelve spans at random, of minutes to three weeks; they may overlap."""
    rng = np.random.default_rng(seed)
    seconds = (end - begin).total_seconds()
    starts = [begin + timedelta(seconds=float(s)) for s in rng.uniform(0, seconds, 12)]
    return [(s, s + timedelta(hours=float(h))) for s, h in zip(starts, 0.2 * 2500 ** rng.random(12), strict=True)]


def looks(schedule: ScheduleSettings, down: list[tuple[datetime, datetime]]) -> list[datetime]:
    """When a scheduler looks: at every trigger's moment, now and then between, and when it is back; not while down."""
    begin, end = a_year(schedule)
    days = [date(2025, 1, 1), date(2025, 12, 31)]
    at = {moment for cadence in schedule.cadences for moment in firings(schedule, cadence, *days)}
    at |= {begin + timedelta(hours=hours) for hours in range(5, 365 * 24, 97)}
    at |= {back for _, back in down if back < end} | {end}
    return sorted(m for m in at if m == end or not any(a <= m < b for a, b in down))


def rows_of_a_year(schedule: ScheduleSettings, down: list[tuple[datetime, datetime]]) -> list[Tick]:
    """The rows that `due_now` asks for, look after look."""
    begin, _ = a_year(schedule)
    newest = dict.fromkeys(map(str, schedule.cadences), begin - timedelta(seconds=1))
    rows: list[Tick] = []
    for now in looks(schedule, down):
        for tick in due_now(newest, schedule, now):
            newest[tick.trigger] = max(newest[tick.trigger], tick.at)
            rows.append(tick)
    return rows


@pytest.mark.parametrize("zone", ZONES)
def test_when_a_year_passes_without_downtime_then_each_trigger_fires_once_at_its_moment(zone):
    schedule = ScheduleSettings(timezone=zone)
    rows = rows_of_a_year(schedule, [])
    assert Counter(tick.trigger for tick in rows) == COUNTS
    assert {tick.status for tick in rows} == {"pending"}
    assert len({tick.name for tick in rows}) == len(rows)
    for cadence in schedule.cadences:
        expected = list(firings(schedule, cadence, date(2025, 1, 1), date(2025, 12, 31)))
        assert [tick.at for tick in rows if tick.trigger == cadence] == expected


@pytest.mark.parametrize("zone", ZONES)
def test_when_three_years_pass_with_a_leap_day_then_each_moment_of_a_person_s_calendar_is_one_row(zone):
    schedule = ScheduleSettings(timezone=zone)
    first, last = date(2024, 1, 1), date(2026, 12, 31)
    days = [first + timedelta(days=k) for k in range((last - first).days + 1)]
    # What a person reads off a wall calendar: 02:00 that a clock change skips is the next minute that exists, 03:00.
    due = {"daily": [(day, 2) for day in days], "weekly": [(day, 3) for day in days if day.weekday() == 0],
           "biweekly": [(day, 4) for day in days if day.day in (1, 15)],
           "monthly": [(day, 4) for day in days if day.day == 1]}  # fmt: skip
    assert [len(one) for one in due.values()] == [1096, 157, 72, 36]
    begin = datetime(2024, 1, 1, tzinfo=schedule.zone).astimezone(UTC)
    newest = dict.fromkeys(map(str, schedule.cadences), begin - timedelta(seconds=1))
    rows: list[Tick] = []
    for k in range(1, 2 * 1096 + 1):  # a look every twelve hours
        for tick in due_now(newest, schedule, begin + timedelta(hours=12 * k)):
            newest[tick.trigger] = max(newest[tick.trigger], tick.at)
            rows.append(tick)
    assert {tick.status for tick in rows} == {"pending"}
    for name, expected in due.items():
        told = [tick.at.astimezone(schedule.zone) for tick in rows if tick.trigger == name]
        for at, (day, hour) in zip(told, expected, strict=True):
            assert (at.date(), at.minute) == (day, 0)
            assert at.hour == hour or (at.hour == hour + 1 and _skipped(day, hour, zone))


def _skipped(day: date, hour: int, zone: str) -> bool:
    """Whether this hour of the day does not exist there."""
    local = datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(zone))
    return local.astimezone(UTC).astimezone(ZoneInfo(zone)).hour != hour


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("zone", ZONES)
def test_when_a_year_has_downtime_then_no_trigger_is_lost_and_each_model_is_caught_up_once(zone, seed):
    schedule = ScheduleSettings(timezone=zone)
    begin, end = a_year(schedule)
    down = downtimes(seed, begin, end)
    rows = rows_of_a_year(schedule, down)
    assert Counter(tick.trigger for tick in rows) == COUNTS  # a row each, run or skipped
    assert len({tick.name for tick in rows}) == len(rows)
    skipped = [tick for tick in rows if tick.status == "skipped"]
    assert skipped
    assert all(tick.why for tick in skipped)
    asleep = [tick for tick in rows if any(a <= tick.at < b for a, b in down)]
    assert {tick.name for tick in skipped} <= {tick.name for tick in asleep}  # awake, nothing is skipped
    seen = looks(schedule, down)
    for cadence in schedule.cadences:
        mine = [tick for tick in rows if tick.trigger == cadence]
        started = [min(now for now in seen if now >= tick.at) for tick in mine if tick.status == "pending"]
        assert len(started) == len(set(started))  # after downtime one run, not one for each missed day
        for tick in mine:
            woke = min(now for now in seen if now >= tick.at)
            newer = [one for one in mine if tick.at < one.at <= woke]
            caught_up = not newer and woke - tick.at <= CATCHUP
            assert (tick.status == "pending") is caught_up, tick


class Desk:
    """Jobs that end as soon as they start, in a ledger of its own, under a clock that a test sets."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.now = datetime(2025, 1, 1, tzinfo=UTC)
        self.ledger = Ledger(root / "jobs", clock=lambda: self.now)
        self.started: list[Job] = []
        storage = replace(settings.storage, root=str(root))
        self.rounds = Rounds(replace(settings, storage=storage), self.ledger, self._run)

    def _run(self, job: Job) -> None:
        self.started.append(job)
        with self.ledger.running(job.job_id) as lease:
            self.ledger.finish(lease, "success", "release 1 serves")


@pytest.fixture(scope="module")
def settings() -> Settings:
    return compose.load("schedule", ["source.path=nowhere"])


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
def test_when_the_whole_year_is_run_with_downtime_then_jobs_and_rows_agree(zone, tmp_path, settings, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: None)  # nobody pulls the plug here, and a disk takes its time
    schedule = replace(settings.schedule, timezone=zone)
    begin, end = a_year(schedule)
    desk = Desk(tmp_path, replace(settings, schedule=schedule))
    desk.rounds.ticks.began(begin - timedelta(seconds=1))
    for now in looks(schedule, downtimes(7, begin, end)):
        desk.now = now
        desk.rounds.look(now)
        desk.rounds.look(now)  # a second scheduler, or the same one again: nothing happens twice
    rows = desk.rounds.ticks.all()
    assert Counter(tick.trigger for tick in rows) == COUNTS
    assert {tick.status for tick in rows} == {"done", "skipped"}
    monthly = [tick.why for tick in rows if tick.trigger == "monthly" and not tick.why.startswith("missed")]
    assert set(monthly) == {"yarn_substitution has no tables to learn from: set company.folder"}
    by_job = {job.job_id: job for job in desk.started}
    done = [tick for tick in rows if tick.status == "done"]
    assert {tick.jobs for tick in done} == {(job_id,) for job_id in by_job}
    for job in desk.started:
        mine = [tick for tick in done if tick.jobs == (job.job_id,)]
        models = [model for tick in mine for model in tick.models if model != "inventory_optimization"]
        assert sorted(job.ask.models) == sorted(set(models))  # a model due by two triggers trains once
        assert "ensemble" not in job.ask.models[:-1]  # after its members


@pytest.mark.parametrize("tables", [True, False], ids=["tables of the company", "sales alone"])
def test_when_the_days_of_the_contract_come_then_the_right_models_train(tmp_path, settings, tables):
    four, two_weeks = ("arima", "prophet", "xgboost", "ensemble"), ("lstm", "inventory_optimization")
    told = replace(settings, company=replace(settings.company, folder="exports")) if tables else settings
    for day, expected in (
        (date(2025, 9, 2), {"xgboost"}),
        (date(2025, 9, 8), {*four}),
        (date(2025, 9, 15), {*four, *two_weeks}),
        (date(2025, 10, 1), {"xgboost", *two_weeks, "yarn_substitution"}),
    ):
        if not tables:  # nothing to learn decisions from
            expected = expected - {"inventory_optimization", "yarn_substitution"}
        desk = Desk(tmp_path / str(day), told)
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        desk.rounds.ticks.began(midnight)
        desk.now = midnight + timedelta(hours=12)
        assert desk.rounds.look(desk.now).job is not None  # all at once, as after a morning off
        (job,) = desk.started
        assert set(job.ask.models) == expected
        assert len(job.ask.models) == len(expected)
