"""The windows of the LSTM: what they hold, where they may lie, and that the future stays out of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.calendar import Calendar
from demand.panel import Panel
from models.lstm_windows import WindowLayout, WindowSource, seasons_of

HORIZON = 5


def panel_of(*rows, freq="D", **columns):
    lengths = np.array([len(row) for row in rows])
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return Panel(np.array([f"s{i}" for i in range(len(rows))]), indptr, np.concatenate(rows), 20_000, freq, **columns)


def layout_of(time_steps=10, horizon=HORIZON, periods=(7,), **others):
    return WindowLayout(time_steps=time_steps, horizon=horizon, periods=periods, **others)


def noisy(n, seed=0):
    return np.random.default_rng(seed).gamma(2.0, 5.0, n)


@pytest.fixture
def panel():
    return panel_of(noisy(60), noisy(25, 1), noisy(9, 2) * np.array([0, 0, 0, 1, 0, 1, 1, 0, 1]))


@pytest.mark.parametrize(
    ("freq", "season", "seasons"),
    [("D", 7, (7, 364)), ("B", 5, (5, 260)), ("W-SUN", 52, (52,)), ("MS", 12, (12,)), ("MS", 1, (1,))],
)
def test_when_the_season_is_shorter_than_the_year_then_the_year_is_whole_seasons(freq, season, seasons):
    assert seasons_of(Calendar(freq), season) == seasons


def test_when_windows_are_counted_then_a_slow_loop_agrees(panel):
    first, last = WindowSource(panel, layout_of()).origins(max_rows=10**6)
    for i in range(panel.n_series):
        y = panel.series(i)
        possible = [
            o
            for o in range(len(y))
            if o + HORIZON < len(y)
            and o + 1 >= max(2, min(10, (len(y) - HORIZON) // 2 + 1))
            and (y[: o + 1] != 0).any()
        ]
        assert list(range(first[i], last[i] + 1)) == possible


def test_when_176_days_are_asked_for_90_ahead_then_one_style_gives_57_windows():
    first, last = WindowSource(panel_of(noisy(176)), layout_of(30, 90)).origins(10**6)
    assert (last - first + 1).tolist() == [57]


def test_when_there_are_more_windows_than_allowed_then_each_series_keeps_its_newest(panel):
    source = WindowSource(panel, layout_of())
    first, last = source.origins(10**6)
    fewer, same_last = source.origins(20)
    assert same_last.tolist() == last.tolist()
    counts = np.maximum(same_last - fewer + 1, 0)
    assert counts.sum() <= 20
    assert ((counts > 0) == (last >= first)).all()
    cap = counts.max()
    assert (counts == np.minimum(np.maximum(last - first + 1, 0), cap)).all()
    assert np.minimum(last - first + 1, cap + 1).sum() > 20


def test_when_a_series_never_sold_then_it_has_no_window_and_scale_zero():
    source = WindowSource(panel_of(np.zeros(40), noisy(40)), layout_of())
    first, last = source.origins(10**6)
    assert first[0] > last[0]
    windows = source.windows(np.array([0]), np.array([39]))
    assert windows.scale.tolist() == [0.0]
    assert all(np.isfinite(part).all() for part in windows)


def test_when_nothing_sold_lately_then_the_scale_reaches_back_to_the_last_sale():
    y = np.zeros(60)
    y[20] = 12.0
    scale = WindowSource(panel_of(np.full(7, 99.0), y), layout_of()).windows(np.array([1]), np.array([49])).scale
    assert scale.tolist() == [12.0 / 30]


def test_when_a_window_is_cut_then_its_demand_and_targets_are_the_series_own(panel):
    source = WindowSource(panel, layout_of())
    series, origins = np.array([0, 1, 2]), np.array([30, 12, 3])
    windows = source.windows(series, origins)
    targets = source.targets(series[:2], origins[:2], windows.scale[:2])
    for row, (i, o) in enumerate(zip(series, origins, strict=True)):
        y = panel.series(i)
        seen = y[max(0, o - 9) : o + 1]
        assert windows.scale[row] == pytest.approx(np.abs(seen).mean())
        expected = np.concatenate([np.zeros(10 - len(seen)), np.arcsinh(seen / windows.scale[row])])
        np.testing.assert_allclose(windows.past[row, :, 0], expected, rtol=1e-6)
        assert windows.past[row, :, 1].tolist() == [0.0] * (10 - len(seen)) + [1.0] * len(seen)
        if row < 2:
            np.testing.assert_allclose(targets[row] * windows.scale[row], y[o + 1 : o + 1 + HORIZON], rtol=1e-6)


def test_when_the_season_repeats_exactly_then_the_seasonal_anchors_are_the_truth():
    week = np.array([1.0, 2, 3, 4, 5, 6, 7])
    source = WindowSource(panel_of(np.tile(week, 12)), layout_of(horizon=10))
    windows = source.windows(np.array([0]), np.array([50]))
    truth = source.targets(np.array([0]), np.array([50]), windows.scale)
    exact = np.isclose(windows.anchors[0], truth[0][:, None], rtol=1e-6).all(axis=0)
    assert exact.sum() >= 4  # last season, the mean of several, and both moved to today's level


def test_when_a_line_grows_then_the_seasonal_anchor_with_added_growth_continues_it():
    y = 50 + 2.0 * np.arange(80)
    source = WindowSource(panel_of(y), layout_of(horizon=7, features=("demand", "season", "trend")))
    windows = source.windows(np.array([0]), np.array([60]))
    truth = source.targets(np.array([0]), np.array([60]), windows.scale)
    assert np.isclose(windows.anchors[0], truth[0][:, None], rtol=1e-6).all(axis=0).any()


def test_when_a_feature_is_left_out_then_its_inputs_are_gone(panel):
    at = np.array([0]), np.array([30])
    full = WindowSource(panel, layout_of()).windows(*at)
    no_trend = WindowSource(panel, layout_of(features=("demand", "season"))).windows(*at)
    no_season = WindowSource(panel, layout_of(features=("demand", "trend"))).windows(*at)
    assert no_trend.anchors.shape[2] < full.anchors.shape[2]
    assert no_trend.static.shape[1] < full.static.shape[1]
    assert no_season.past.shape[2] < full.past.shape[2]
    assert no_season.ahead.shape[2] < full.ahead.shape[2]


def test_when_price_is_only_known_so_far_then_its_last_value_stays():
    price = np.concatenate([np.full(30, 10.0), np.full(30, 20.0)])
    source = WindowSource(panel_of(noisy(60), past={"price": price}), layout_of(columns=("price",)))
    before = source.windows(np.array([0]), np.array([29]))  # the rise comes one period later
    assert before.past[0, :, -1].tolist() == [0.0] * 10
    assert before.ahead[0, :, -1].tolist() == [0.0] * HORIZON
    after = source.windows(np.array([0]), np.array([34]))
    np.testing.assert_allclose(after.ahead[0, :, -1], 20 / 15 - 1, rtol=1e-6)


def test_when_price_is_planned_then_the_plan_is_seen():
    price = np.concatenate([np.full(60, 10.0), np.full(3, 5.0)])
    panel = panel_of(noisy(60), future={"price": price}, ahead=3)
    windows = WindowSource(panel, layout_of(columns=("price",))).windows(np.array([0]), np.array([59]))
    np.testing.assert_allclose(windows.ahead[0, :, -1], [-0.5, -0.5, -0.5, 0.0, 0.0])


def test_when_a_column_is_unknown_or_not_carried_then_it_counts_as_unchanged():
    at = np.array([0]), np.array([40])
    unknown = WindowSource(panel_of(noisy(60), past={"price": np.full(60, np.nan)}), layout_of(columns=("price",)))
    gone = WindowSource(panel_of(noisy(60)), layout_of(columns=("price",)))
    for source in (unknown, gone):
        assert not source.windows(*at).past[0, :, -1].any()
        assert not source.windows(*at).ahead[0, :, -1].any()


@given(
    y=st.lists(st.floats(0, 1e6), min_size=12, max_size=60),
    cut=st.integers(1, 11),
    factor=st.sampled_from([0.0, 1e6]),
    freq=st.sampled_from(["D", "MS"]),
)
def test_when_the_future_changes_then_no_window_moves(y, cut, factor, freq):
    y, price = np.array(y), np.arange(1.0, 1.0 + len(y))
    changed_y, changed_price = y.copy(), price.copy()
    changed_y[cut + 1 :] = changed_y[cut + 1 :] * factor + 1
    changed_price[cut + 1 :] *= factor
    layout = layout_of(periods=(7, 14), columns=("price",))
    other = noisy(30)
    one, two = (
        WindowSource(panel_of(values, other, freq=freq, past={"price": np.append(p, other)}), layout)
        for values, p in ((y, price), (changed_y, changed_price))
    )
    at = np.array([0, 1, 0]), np.array([cut, 20, cut - 1])
    for left, right in zip(one.windows(*at), two.windows(*at), strict=True):
        np.testing.assert_array_equal(left, right)


@given(y=st.lists(st.floats(0, 1e6), min_size=2, max_size=40), factor=st.sampled_from([2.0, 0.25, 1024.0]))
def test_when_demand_is_rescaled_then_only_scale_and_size_move(y, factor):
    y = np.where(np.array(y) < 1e-3, 0.0, y)
    at = np.array([0]), np.array([len(y) - 1])
    one = WindowSource(panel_of(y), layout_of()).windows(*at)
    two = WindowSource(panel_of(y * factor), layout_of()).windows(*at)
    assert two.scale[0] == pytest.approx(one.scale[0] * factor)
    if one.scale[0] > 0:
        for name in ("past", "ahead", "anchors"):
            np.testing.assert_allclose(getattr(two, name), getattr(one, name), rtol=1e-5, atol=1e-6)


def test_when_the_panel_is_cut_then_the_windows_of_a_series_stay(panel):
    whole = WindowSource(panel, layout_of()).windows(np.array([1]), np.array([20]))
    alone = WindowSource(panel.take([1]), layout_of()).windows(np.array([0]), np.array([20]))
    earlier = WindowSource(panel.until(panel.end - 4).take([1]), layout_of()).windows(np.array([0]), np.array([20]))
    for a, b, c in zip(whole, alone, earlier, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
