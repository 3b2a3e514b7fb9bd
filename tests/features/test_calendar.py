import numpy as np
import pandas as pd
import pytest

from demand.calendar import FREQUENCIES, Calendar
from demand.errors import SettingsError
from features.calendar import FAR, HOLIDAY_NAMES, TIME_NAMES, holiday_columns, holidays_of, period_days, time_columns


def columns(freq: str, first: str, last: str, country: str = "US") -> pd.DataFrame:
    calendar = Calendar(freq)
    low, high = calendar.containing(np.array([first, last], dtype="datetime64[D]"))
    periods = np.arange(low, high + 1)
    values = np.hstack([time_columns(freq, periods), holiday_columns(freq, periods, country)])
    return pd.DataFrame(values, columns=[*TIME_NAMES, *HOLIDAY_NAMES], index=pd.to_datetime(calendar.dates(periods)))


def test_when_days_are_described_then_pandas_says_the_same():
    found = columns("D", "1968-12-25", "1976-01-10")
    dates = found.index
    expected = {
        "month": dates.month, "quarter": dates.quarter, "dayofweek": dates.dayofweek, "day": dates.day,
        "weekofyear": dates.isocalendar().week, "is_weekend": dates.dayofweek >= 5, "dayofyear": dates.dayofyear,
    }  # fmt: skip
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], np.asarray(values, dtype=float), err_msg=name)


@pytest.mark.parametrize("freq", FREQUENCIES)
def test_when_periods_follow_each_other_then_their_days_touch(freq: str):
    first, last = period_days(freq, np.arange(-300, 300))
    assert (first <= last).all()
    assert (first[1:] == last[:-1] + 1).all()


def test_when_weeks_hold_holidays_then_thanksgiving_and_christmas_are_told_apart():
    weeks = columns("W-FRI", "2011-11-04", "2011-12-30")
    kinds = weeks[weeks.is_holiday > 0].holiday_kind
    assert list(kinds.index.astype(str)) == ["2011-11-11", "2011-11-25", "2011-12-30"]
    assert kinds.is_unique
    last_year = columns("W-FRI", "2010-11-26", "2010-12-31").holiday_kind
    assert last_year["2010-11-26"] == kinds["2011-11-25"]
    assert last_year["2010-12-31"] == kinds["2011-12-30"]


def test_when_a_day_is_near_a_holiday_then_the_distance_is_counted():
    days = columns("D", "2024-12-20", "2024-12-31")
    assert list(days.is_holiday) == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert list(days.days_to_holiday) == [5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1]
    assert list(days.days_since_holiday[5:]) == [27, 1, 2, 3, 4, 5, 6]  # Thanksgiving was the 28th of November


def test_when_there_is_no_country_then_there_is_no_holiday():
    days = columns("D", "2024-12-20", "2024-12-31", country="")
    assert (days[["is_holiday", "holiday_kind"]] == 0).all(axis=None)
    assert (days[["days_to_holiday", "days_since_holiday"]] == FAR).all(axis=None)


def test_when_months_are_counted_then_the_years_holidays_are_complete():
    months = columns("MS", "2023-01-01", "2023-12-01")
    days = columns("D", "2023-01-01", "2023-12-31")
    assert months.is_holiday.sum() == days.is_holiday.sum() > 8


def test_when_the_country_is_unknown_then_it_is_refused():
    with pytest.raises(SettingsError, match="country"):
        holidays_of("ATLANTIS", 2020, 2021)
