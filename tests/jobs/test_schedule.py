"""What the schedule says of the time to come, and when its clock wakes it."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from jobs import compose, schedule
from jobs.due import ScheduleSettings
from jobs.entry import OK, REFUSED, exit_code
from jobs.rounds import Rounds
from jobs.schedule import Moments, body, once, serve, upcoming
from jobs.ticks import moments
from models.ledger import Ledger

NOW = datetime(2025, 9, 12, 12, tzinfo=UTC)  # a Friday


@pytest.fixture(scope="module")
def settings():
    return compose.load("schedule", ["source.path=nowhere"])


def test_when_the_future_is_asked_for_then_each_firing_is_a_line_at_80_columns():
    lines = upcoming(ScheduleSettings(timezone="Asia/Tokyo"), NOW, date(2025, 9, 15))
    assert lines == [
        "Fires next, Asia/Tokyo:",
        "  Sat 2025-09-13 02:00  daily    xgboost",
        "  Sun 2025-09-14 02:00  daily    xgboost",
        "  Mon 2025-09-15 02:00  daily    xgboost",
        "  Mon 2025-09-15 03:00  weekly   arima, prophet, ensemble",
        "  Mon 2025-09-15 04:00  biweekly lstm, inventory_optimization",
    ]
    every = ("arima", "prophet", "lstm", "xgboost", "yarn_substitution", "inventory_optimization", "ensemble")
    assert all(len(line) <= 80 for line in upcoming(ScheduleSettings(daily=every), NOW, None))
    none = ScheduleSettings(daily=(), weekly=(), biweekly=(), monthly=())
    assert upcoming(none, NOW, date(2025, 9, 15))[1] == "  nothing before 2025-09-15T23:59:59Z"
    assert "auto_retrain is false" in upcoming(ScheduleSettings(auto_retrain=False), NOW, None)[-1]


def test_when_dry_is_asked_for_then_nothing_is_written(tmp_path, capsys):
    told = [f"storage.root={tmp_path / 's'}", "dry=true", "until=2199-01-02"]
    assert exit_code("schedule", body, [*told[:2]]) == OK
    assert "daily" in capsys.readouterr().out
    assert not (tmp_path / "s").exists()
    assert exit_code("schedule", body, [told[0], "until=2199-01-02"]) == REFUSED
    assert "dry=true" in capsys.readouterr().err


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Australia/Lord_Howe"])
def test_when_the_clock_asks_for_its_next_wake_up_then_it_walks_through_every_moment_of_a_year(zone):
    settings = ScheduleSettings(timezone=zone)
    begin, end = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    expected = sorted({moment for moment, _, _ in moments(settings, begin, end)})
    trigger, found, previous = Moments(settings), [], None
    while (following := trigger.get_next_fire_time(previous, max(begin, previous or begin))) <= end:
        found.append(following)
        previous = following
    assert found == expected
    rare = replace(settings, daily=(), weekly=(), biweekly=(), triggers={**settings.triggers, "monthly": "0 0 29 2 *"})
    assert Moments(rare).get_next_fire_time(None, begin).astimezone(settings.zone).date() == date(2028, 2, 29)
    never = replace(rare, triggers={**settings.triggers, "monthly": "0 0 31 2 *"})
    assert Moments(never).get_next_fire_time(None, begin) is None


def rounds_of(settings, root, now):
    ledger = Ledger(root / "jobs", clock=lambda: now)

    def start(job):
        with ledger.running(job.job_id) as lease:
            ledger.finish(lease, "success", "release 1 serves")

    return Rounds(replace(settings, storage=replace(settings.storage, root=str(root))), ledger, start)


def test_when_cron_looks_for_the_first_time_then_a_trigger_of_this_hour_counts_and_older_ones_do_not(
    settings, tmp_path, capsys
):
    late = datetime(2025, 9, 8, 2, 4, tzinfo=UTC)
    rounds = rounds_of(settings, tmp_path / "a", late)
    assert once(rounds, lambda: late, lambda seconds: None) == OK
    said = capsys.readouterr().out
    assert "Started   job 000001" in said
    assert "Ended     daily-20250908T0200Z: done, success: release 1 serves" in said
    assert once(rounds, lambda: late, lambda seconds: None) == OK
    assert capsys.readouterr().out == "Skipped   nothing is due\n"
    noon = late + timedelta(hours=10)
    rounds = rounds_of(settings, tmp_path / "b", noon)
    assert once(rounds, lambda: noon, lambda seconds: None) == OK
    assert capsys.readouterr().out == "Skipped   nothing is due\n"


def test_when_the_service_is_told_to_stop_then_it_ends_well_and_has_looked(settings, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(schedule, "POLL_S", 1.0)
    rounds = rounds_of(settings, tmp_path, datetime.now(UTC))
    looks = []
    monkeypatch.setattr(Rounds, "look", lambda self, now: looks.append(now) or schedule.Looked())
    timer = threading.Timer(2.5, signal.raise_signal, [signal.SIGTERM])
    timer.start()
    assert serve(rounds) == OK
    timer.join()
    assert len(looks) >= 2
    assert capsys.readouterr().out.endswith("Stopped.\n")
