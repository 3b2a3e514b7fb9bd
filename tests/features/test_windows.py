"""Each fast function beside a slow, obvious twin."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features import intermittency, lags, windows

WIDTH = 40


@st.composite
def histories(draw) -> np.ndarray:
    """[n, WIDTH]: sparse whole numbers; NaN before each series' start, at least one value known."""
    n = draw(st.integers(1, 4))
    y: np.ndarray = draw(arrays(float, (n, WIDTH), elements=st.sampled_from([0.0, 0.0, 1.0, 2.0, 5.0, -1.0, 40.0])))
    for row in y:
        row[: draw(st.integers(0, WIDTH - 1))] = np.nan
    return y


def known(row: np.ndarray, window: int) -> pd.Series:
    return pd.Series(row[-window:]).dropna()


TWINS = {
    windows.rolling_mean: lambda row, w: known(row, w).mean(),
    windows.rolling_std: lambda row, w: known(row, w).std(),
    windows.rolling_median: lambda row, w: known(row, w).median(),
    windows.rolling_max: lambda row, w: known(row, w).max(),
    intermittency.zero_share: lambda row, w: (known(row, w) == 0).mean(),
    windows.exponential_mean: lambda row, h: np.average(
        known(row, int(12 * h)), weights=0.5 ** (np.arange(len(known(row, int(12 * h))))[::-1] / h)
    ),
}


@pytest.mark.parametrize("fast", TWINS, ids=lambda f: f.__name__)
@given(y=histories(), window=st.integers(1, WIDTH + 5))
def test_when_a_window_is_measured_then_the_slow_twin_agrees(fast, y, window):
    expected = [TWINS[fast](row, window) for row in y]
    np.testing.assert_allclose(fast(y, window), expected, rtol=1e-9, atol=1e-12)


@given(y=histories(), window=st.integers(1, 10), back=st.integers(0, WIDTH + 3))
def test_when_an_earlier_window_is_asked_for_then_it_ends_that_far_back(y, window, back):
    expected = [pd.Series(row[: max(WIDTH - back, 0)][-window:]).dropna().mean() for row in y]
    np.testing.assert_allclose(windows.mean_before(y, window, back), expected)


@given(y=histories())
def test_when_sales_come_now_and_then_then_their_pattern_is_counted(y):
    for row, found in zip(y, intermittency.sale_pattern(y), strict=True):
        values = row[~np.isnan(row)]
        sales = np.flatnonzero(values)
        sizes = values[sales]
        assert found[0] == (len(values) - 1 - sales[-1] if len(sales) else len(values))
        assert found[1] == len(values) / max(len(sales), 1)
        if not len(sales):
            assert np.isnan(found[2:]).all()
            continue
        spread = sizes.std() / (abs(sizes.mean()) or 1.0)
        np.testing.assert_allclose(found[2:], [sizes.mean(), spread, sizes[-1]], atol=1e-12)


def test_when_a_lag_is_longer_than_the_history_then_it_is_unknown():
    y = np.arange(1.0, 11.0)[None, :]
    np.testing.assert_array_equal(lags.lag_values(y, (1, 10, 11)), [[10.0, 1.0, np.nan]])


@given(y=histories(), season=st.integers(2, 15), step=st.integers(1, 40), seasons=st.integers(1, 3))
def test_when_a_season_is_looked_up_then_only_known_periods_answer(y, season, step, seasons):
    row = np.arange(len(y))
    steps = np.full(len(y), step)
    for i, series in enumerate(y):
        places = [WIDTH - 1 + step - k * season for k in range(1, WIDTH)]
        places = [place for place in places if place < WIDTH]  # known at the origin, newest first
        expected = series[places[0]] if places and places[0] >= 0 else np.nan
        np.testing.assert_equal(lags.seasonal_lag(y, row, steps, season)[i], expected)
        whole = [place for place in places[:seasons] if place >= WIDTH - (WIDTH // season) * season]
        mean = pd.Series([series[place] for place in whole]).mean() if whole else np.nan
        np.testing.assert_allclose(lags.seasonal_mean(y, row, steps, season, seasons)[i], mean)


@given(y=histories(), step=st.integers(1, 30), back=st.integers(0, 60))
def test_when_a_value_lies_after_the_origin_then_it_is_unknown(y, step, back):
    place = WIDTH - 1 + step - back
    found = lags.value_back(y, np.arange(len(y)), np.full(len(y), step), back)
    np.testing.assert_array_equal(found, y[:, place] if 0 <= place < WIDTH else np.full(len(y), np.nan))
