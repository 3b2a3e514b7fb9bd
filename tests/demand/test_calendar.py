"""Calendars against pandas: every frequency, dates before and after 1970."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demand.calendar import FREQUENCIES, Calendar, is_frequency
from demand.errors import SettingsError
from tests.twins import period_label_twin

days = st.dates(datetime.date(1955, 1, 1), datetime.date(2100, 12, 31))
every_frequency = pytest.mark.parametrize("freq", FREQUENCIES)


def test_when_frequencies_are_listed_then_there_are_eleven():
    assert len(FREQUENCIES) == len(set(FREQUENCIES)) == 11


@every_frequency
@settings(max_examples=30)
@given(day=days)
def test_when_a_day_is_placed_then_its_period_has_the_label_pandas_steps_to(freq, day):
    calendar = Calendar(freq)
    number = calendar.containing([day])
    assert calendar.dates(number)[0] == period_label_twin(pd.Timestamp(day), freq).to_datetime64()


@every_frequency
@settings(max_examples=15)
@given(first=days, n=st.integers(1, 60))
def test_when_periods_are_consecutive_then_their_labels_are_pandas_date_range(freq, first, n):
    calendar = Calendar(freq)
    start = int(calendar.containing([first])[0])
    labels = calendar.dates(np.arange(start, start + n))
    expected = pd.date_range(labels[0], periods=n, freq=freq)
    np.testing.assert_array_equal(labels, expected.to_numpy())
    np.testing.assert_array_equal(calendar.containing(labels), np.arange(start, start + n))


@every_frequency
@settings(max_examples=30)
@given(day=days)
def test_when_a_date_is_on_the_calendar_then_pandas_says_so_too(freq, day):
    on = pd.tseries.frequencies.to_offset(freq).is_on_offset(pd.Timestamp(day))
    assert Calendar(freq).on_calendar([day])[0] == on


@every_frequency
def test_when_every_period_has_come_then_season_and_length_describe_the_frequency(freq):
    calendar = Calendar(freq)
    start = int(calendar.containing([np.datetime64("2000-06-15")])[0])
    span = calendar.dates([start, start + 1000])
    assert (span[1] - span[0]) / np.timedelta64(1, "D") / 1000 == pytest.approx(calendar.days_per_period, rel=1e-3)
    assert calendar.season == {"D": 7, "B": 5, "MS": 12, "ME": 12}.get(freq, 52)


def test_when_days_become_periods_then_ninety_are_ninety_days_thirteen_weeks_or_three_months():
    found = {freq: Calendar(freq).periods_in(90) for freq in ("D", "B", "W-SUN", "MS", "ME")}
    assert found == {"D": 90, "B": 64, "W-SUN": 13, "MS": 3, "ME": 3}
    assert Calendar("MS").periods_in(1) == 1


def test_when_an_alias_is_short_or_in_lower_case_then_it_is_read():
    assert (Calendar("M").freq, Calendar("W").freq, Calendar("w-mon").freq) == ("ME", "W-SUN", "W-MON")
    assert Calendar("d") == Calendar("D")


@pytest.mark.parametrize("freq", ["", "H", "Q", "W-XYZ", "2D", "MON"])
def test_when_a_frequency_is_unknown_then_the_known_ones_are_named(freq):
    assert not is_frequency(freq)
    with pytest.raises(SettingsError, match="W-MON"):
        Calendar(freq)


def test_when_a_text_names_a_calendar_then_both_checks_agree():
    for freq in (*FREQUENCIES, "M", "W", "d", "w-fri"):
        assert is_frequency(freq)
        assert Calendar(freq).freq in FREQUENCIES


@pytest.mark.parametrize("freq", ["D", "B", "W-SUN", "W-WED", "MS", "ME"])
def test_when_periods_are_spanned_then_each_day_lies_in_the_one_that_holds_it(freq):
    calendar = Calendar(freq)
    numbers = calendar.containing(np.datetime64("2023-12-20")) + np.arange(30)
    first, last = calendar.spans(numbers)
    np.testing.assert_array_equal(calendar.containing(first), numbers)
    np.testing.assert_array_equal(calendar.containing(last), numbers)
    if freq == "B":  # a weekend belongs to Monday's period and is none of its days
        np.testing.assert_array_equal(first, last)
    else:
        np.testing.assert_array_equal(first[1:], last[:-1] + 1)
