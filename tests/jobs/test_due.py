"""Triggers and due lists, with dates as the only clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.errors import SettingsError
from jobs.due import ScheduleSettings, Trigger, firings, models_due

FOUR = {"xgboost", "arima", "prophet", "ensemble"}
TWO_WEEKS = {"lstm", "inventory_optimization"}


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2025, 9, 2), {"xgboost"}),
        (date(2025, 9, 8), FOUR),
        (date(2025, 9, 15), FOUR | TWO_WEEKS),
        (date(2025, 10, 1), {"xgboost", "yarn_substitution"} | TWO_WEEKS),
    ],
)
def test_when_a_day_comes_then_exactly_its_cadences_are_due(day, expected):
    due = models_due(ScheduleSettings(), day)
    assert set(due) == expected
    assert len(due) == len(expected)


def test_when_members_and_the_ensemble_are_due_then_the_ensemble_is_last():
    assert models_due(ScheduleSettings(), date(2025, 9, 15))[-1] == "ensemble"


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Australia/Lord_Howe"])
def test_when_a_year_passes_then_the_counts_are_exact_and_no_moment_comes_twice(zone):
    schedule = ScheduleSettings(timezone=zone)
    counts = {}
    for cadence in schedule.cadences:
        moments = list(firings(schedule, cadence, date(2025, 1, 1), date(2025, 12, 31)))
        assert moments == sorted(set(moments))
        counts[cadence] = len(moments)
    assert counts == {"daily": 365, "weekly": 52, "biweekly": 24, "monthly": 12}


def test_when_the_clock_skips_the_time_then_it_fires_at_the_next_existing_minute():
    trigger, zone = Trigger.parse("30 2 * * *"), ZoneInfo("Europe/Berlin")
    (moment,) = trigger.moments(date(2025, 3, 30), zone)
    assert moment.astimezone(zone).replace(tzinfo=None) == datetime(2025, 3, 30, 3, 0)


def test_when_an_hour_comes_twice_then_it_fires_once_the_first_time():
    trigger, zone = Trigger.parse("30 2 * * *"), ZoneInfo("Europe/Berlin")
    assert trigger.moments(date(2025, 10, 26), zone) == [datetime(2025, 10, 26, 0, 30, tzinfo=UTC)]


@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    day=st.dates(date(2024, 1, 1), date(2026, 12, 31)),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
)
def test_when_any_time_of_any_day_is_asked_then_the_minute_by_minute_twin_agrees(minute, hour, day, zone):
    place = ZoneInfo(zone)
    assert Trigger.parse(f"{minute} {hour} * * *").moments(day, place) == [first_minute_at(day, hour, minute, place)]


def first_minute_at(day, hour, minute, zone):
    """Walks the day in UTC until a wall clock shows the time, or has jumped past it."""
    wanted = datetime(day.year, day.month, day.day, hour, minute)
    now = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=15)
    while now.astimezone(zone).replace(tzinfo=None) < wanted:
        now += timedelta(minutes=1)
    return now


@pytest.mark.parametrize(
    ("line", "day", "fires"),
    [
        ("*/20 6-8 * * MON-FRI", date(2025, 9, 6), 0),
        ("*/20 6-8 * * MON-FRI", date(2025, 9, 5), 9),
        ("0 0 * * SAT-SUN", date(2025, 9, 7), 1),
        ("0 0 * * 7", date(2025, 9, 7), 1),
        ("0 0 29 2 *", date(2025, 2, 28), 0),
    ],
)
def test_when_a_line_has_steps_ranges_and_names_then_they_count(line, day, fires):
    assert len(Trigger.parse(line).moments(day, ZoneInfo("UTC"))) == fires


@pytest.mark.parametrize(
    "line", ["", "0 2 * *", "60 2 * * *", "0 24 * * *", "0 2 0 * *", "x 2 * * *", "5-1 2 * * *", "*/0 2 * * *",
             "0 4 1 * MON", "0 2 * 13 *", "0 2 * * FUNDAY", "1,,2 2 * * *"],
)  # fmt: skip
def test_when_a_trigger_is_impossible_then_it_is_refused(line):
    with pytest.raises(SettingsError):
        Trigger.parse(line)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"daily": ("xgbost",)}, "xgboost"),
        ({"timezone": "Mars/Base"}, "Mars/Base"),
        ({"timezone": "../etc/passwd"}, "time zone"),
        ({"triggers": {"daily": "0 2 * * *"}}, "weekly"),
    ],
)
def test_when_the_schedule_is_impossible_then_the_message_names_it(changed, named):
    with pytest.raises(SettingsError, match=named):
        ScheduleSettings(**changed)
