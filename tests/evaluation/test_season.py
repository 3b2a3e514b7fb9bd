"""Trend and season of the fleet: planted ones are found, what cannot be known is not told, flags remove the parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from demand.calendar import Calendar
from evaluation.report_season import season_part
from evaluation.season import fleet_total, month_profile, trend, weekday_profile
from tests.evaluation.made import panel_of, report_data
from tests.evaluation.test_report import page_of, payload_of

END = int(Calendar("D").containing(np.datetime64("2025-08-31")))  # a Sunday


def planted(days, growth=0.0, weekday=None, year=0.0, noise=2.0, seed=0):
    """Daily demand of one style with a known course: `growth` of 100 a year, Sundays up by `weekday`."""
    rng, day = np.random.default_rng(seed), END - days + 1 + np.arange(days)
    y = 100 + growth * 100 * (day - END) / 365.25 + year * 100 * np.sin(2 * np.pi * day / 365.25)
    y = y * np.where((day + 3) % 7 == 6, 1 + (weekday or 0.0), 1.0) + rng.normal(0, noise, days)
    return panel_of({"A": y}, end=END)


def test_when_styles_begin_at_different_times_then_the_total_is_the_sum_of_each_day():
    panel = panel_of({"A": [1.0, 2.0, 3.0], "B": [10.0]}, end=END)
    dates, total = fleet_total(panel)
    assert total.tolist() == [1.0, 2.0, 13.0]
    assert str(dates[-1])[:10] == "2025-08-31"


@pytest.mark.parametrize("growth", [0.2, -0.1, 0.0])
def test_when_growth_is_planted_then_it_is_found_beside_a_strong_season(growth):
    panel = planted(1100, growth, weekday=0.5, year=0.3)
    found = trend(panel)
    _, total = fleet_total(panel)
    assert found.growth * total.mean() == pytest.approx(growth * 100 * (1 + 0.5 / 7), abs=1.5)
    assert abs(found.course[-1] - found.course[-8]) < 10  # the week is not part of the course


@pytest.mark.parametrize("days", [40, 400, 727])
def test_when_two_years_are_not_there_then_growth_is_not_told_and_why(days):
    panel = planted(days, 0.3)
    assert trend(panel).growth is None
    part = season_part(panel, trend_analysis=True, seasonal_decomposition=False)
    assert "less than two years" in part.trend_words[0]


@pytest.mark.parametrize(("freq", "n", "known"), [("W-SUN", 103, False), ("W-SUN", 104, True), ("MS", 23, False),
                                                 ("MS", 24, True), ("B", 520, True)])  # fmt: skip
def test_when_periods_are_longer_then_growth_counts_in_years(freq, n, known):
    calendar = Calendar(freq)
    a_year = calendar.days_per_period / 365.25
    panel = panel_of({"A": 100 + 25 * a_year * np.arange(n)}, end=1000, freq=freq)
    found = trend(panel)
    assert (found.growth is not None) == known
    if known:
        assert found.growth * panel.y.mean() == pytest.approx(25, rel=0.01)


def test_when_sundays_sell_more_then_the_weekday_says_how_much():
    profile = weekday_profile(planted(200, weekday=0.4))
    assert profile.names == ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    base = 100 * (1 + 0.4 / 7)
    np.testing.assert_allclose(profile.factors, np.array([100] * 6 + [140]) / base, atol=0.02)
    assert profile.strength > 0.9
    assert weekday_profile(planted(55)) is None
    assert weekday_profile(panel_of({"A": np.ones(60)}, freq="W-SUN")) is None
    assert len(weekday_profile(panel_of({"A": np.arange(60) % 5 + 1.0}, freq="B")).names) == 5


def test_when_a_year_has_a_season_then_months_say_when():
    profile = month_profile(planted(1200, year=0.3))
    assert profile.names[int(profile.factors.argmax())] in ("Mar", "Apr")  # the sine's peak, day 91 of the year
    assert profile.factors.max() == pytest.approx(1.3, abs=0.03)
    assert profile.factors.min() == pytest.approx(0.7, abs=0.03)
    assert month_profile(planted(700, year=0.3)) is None  # 21 whole months


@pytest.mark.parametrize("y", [np.zeros(800), np.full(800, 5.0), np.where(np.arange(800) % 97 == 0, 500.0, 0.0),
                               -np.ones(800), np.ones(1), np.ones(3)])  # fmt: skip
def test_when_demand_is_nothing_constant_sparse_negative_or_short_then_every_word_is_finite(y):
    part = season_part(panel_of({"A": y}, end=END), trend_analysis=True, seasonal_decomposition=True)
    words = " ".join([*part.trend_words, *part.season_words])
    assert "nan" not in words
    assert "inf" not in words.replace("information", "")
    profile = weekday_profile(panel_of({"A": y}, end=END))
    if profile is not None and np.ptp(y) == 0:
        assert profile.strength == 0.0


def drawn(page):
    return {name for name, chart in payload_of(page)["season"].items() if chart}


def test_when_a_half_is_switched_off_then_it_leaves_the_page(tmp_path):
    data = report_data(planted(800, 0.1, 0.3, 0.2))
    page = page_of(tmp_path, data)
    assert drawn(page) == {"trend", "weekday", "month"}
    assert 'id="trend"' in page
    assert 'id="weekday"' in page
    no_trend = page_of(tmp_path, replace(data, trend_analysis=False))
    assert drawn(no_trend) == {"weekday", "month"}
    assert 'id="trend"' not in no_trend
    no_season = page_of(tmp_path, replace(data, seasonal_decomposition=False))
    assert drawn(no_season) == {"trend"}
    assert 'id="weekday"' not in no_season
    neither = page_of(tmp_path, replace(data, trend_analysis=False, seasonal_decomposition=False))
    assert drawn(neither) == set()
    assert "Trend and season" not in neither
