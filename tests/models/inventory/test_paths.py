"""Demand paths: what they keep of the past and of the forecast, and that batches and the future change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demand.calendar import Calendar
from demand.errors import DataError
from demand.panel import Panel
from models.base import Forecast, ForecastSpec
from models.inventory.paths import LEVEL_PERIODS, Days, extended, forecast_paths, past_paths

LEVELS = (0.1, 0.5, 0.9)


def panel_of(*series, freq="D", end="2025-08-31") -> Panel:
    lengths = [len(one) for one in series]
    ids = np.array([f"s{i}" for i in range(len(series))])
    last = int(Calendar(freq).containing(np.datetime64(end)))
    return Panel(ids, np.concatenate([[0], np.cumsum(lengths)]), np.concatenate(series).astype(float), last, freq)


def forecast_of(history: Panel, quantiles: np.ndarray, mean: np.ndarray) -> Forecast:
    return Forecast.build(history, ForecastSpec(mean.shape[1], LEVELS), "made", mean, quantiles)


def slow_levels(past: list[float], memory: int) -> list[float]:
    """Before each period and now, period by period."""
    mean, levels = sum(past) / len(past), []
    for k in range(len(past) + 1):
        weights = [(1 - 1 / memory) ** (k - 1 - t) for t in range(k)]
        total = sum(w * y for w, y in zip(weights, past[:k], strict=True))
        levels.append((total + memory * mean) / (sum(weights) + memory))
    return levels


def slow_past_paths(past: list[float], periods: int, n_paths: int, longest: int) -> list[list[float]]:
    length, levels = len(past), slow_levels(past, max(LEVEL_PERIODS, periods))
    paths = []
    for s in range(n_paths):
        back = int((s + 0.5) / n_paths * max(longest - periods + 1, 1))
        first = (length - periods - back) % length
        moved = levels[-1] / levels[first] if levels[first] > 0 else 1.0
        paths.append([past[(first + step) % length] * moved for step in range(periods)])
    totals = [sum(path) for path in paths]
    mean, n = sum(totals) / n_paths, max(length / periods, 2)
    wide = [max(mean + ((n + 1) / (n - 1)) ** 0.5 * (total - mean), 0) for total in totals]
    scale = mean / (sum(wide) / n_paths) if mean > 0 else 1.0
    return [
        [y * w * scale / total if total > 0 else 0.0 for y in path]
        for path, w, total in zip(paths, wide, totals, strict=True)
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(1, 8), st.integers(1, 6), st.integers(0, 9))
def test_when_the_past_is_read_then_each_path_is_a_window_at_todays_level_and_batches_agree(
    lengths, periods, n_paths, seed
):
    rng = np.random.default_rng(seed)
    pasts = [rng.poisson(0.2 + 3 * i, length).astype(float) for i, length in enumerate(lengths)]
    history, longest = panel_of(*pasts), max(lengths)
    paths = past_paths(history, periods, n_paths)
    for i, past in enumerate(pasts):
        twin = slow_past_paths(past.tolist(), periods, n_paths, longest)
        assert paths[i] == pytest.approx(np.array(twin))
        alone = past_paths(history.take([i]), periods, n_paths, longest)
        assert np.array_equal(alone[0], paths[i])


def test_when_demand_has_grown_then_paths_are_at_its_level_of_today():
    """Half of a past at 2 a period, half at 8: a window's mean of 5 is the demand of no time."""
    grown = past_paths(panel_of(np.repeat([2.0, 8.0], 50)), 4, 200)[0].mean()
    shrunk = past_paths(panel_of(np.repeat([8.0, 2.0], 50)), 4, 200)[0].mean()
    steady = past_paths(panel_of(np.full(100, 8.0)), 4, 200)
    assert 5.5 < grown <= 8.5
    assert 2 <= shrunk < 4.5
    assert steady == pytest.approx(8.0)


def test_when_the_past_is_short_then_its_few_windows_are_spread_as_wide_as_what_comes():
    """Of many items with a past of three windows, as many as it says find more demand than on the 9 in 10 paths."""
    rng = np.random.default_rng(6)
    past, future = rng.gamma(4.0, 2.5, (2_000, 12)), rng.gamma(4.0, 2.5, (2_000, 4)).sum(axis=1)
    totals = past_paths(panel_of(*past), 4, 64).sum(axis=2)
    raw = np.lib.stride_tricks.sliding_window_view(past, 4, axis=1).sum(axis=2)
    missed, missed_raw = ((future > np.quantile(t, 0.9, axis=1)).mean() for t in (totals, raw))
    assert abs(missed - 0.1) < abs(missed_raw - 0.1) - 0.03


def test_when_a_forecast_is_sampled_then_mean_and_quantiles_are_its_own():
    rng = np.random.default_rng(0)
    history = panel_of(rng.gamma(2, 5, 400), rng.poisson(0.3, 400))
    quantiles = np.array([[[4.0, 10.0, 22.0]], [[0.0, 0.0, 1.0]]]).repeat(5, axis=1)
    forecast = forecast_of(history, quantiles, np.array([[11.0] * 5, [0.4] * 5]))
    paths = forecast_paths(forecast, history, 5, 400)
    assert paths.mean(axis=1).sum(axis=1) == pytest.approx([55.0, 2.0])
    smooth = paths[0, :, 2]
    scale = 55.0 / forecast_paths(forecast_of(history, quantiles, quantiles[:, :, 1]), history, 5, 400)[0].mean() / 5
    assert np.median(smooth) == pytest.approx(10 * scale * 10 / 11, rel=0.15)
    assert (smooth > 0).all()


def test_when_the_past_keeps_together_then_so_do_the_paths():
    wave = np.tile(np.repeat([1.0, 9.0], 20), 10) + np.random.default_rng(1).normal(0, 0.1, 400)
    history = panel_of(wave, wave[::-1].copy(), wave * 3)
    quantiles = np.full((3, 10, 3), [2.0, 5.0, 8.0])
    totals = forecast_paths(forecast_of(history, quantiles, np.full((3, 10), 5.0)), history, 10, 200).sum(axis=2)
    assert np.corrcoef(totals[0], totals[2])[0, 1] > 0.99
    # Steps that were drawn apart would give a total of a third of this spread.
    assert totals[0].std() > 2 * 5 * 0.24 * np.sqrt(10)


def test_when_a_forecast_is_extended_then_its_last_season_repeats():
    history = panel_of(np.arange(30.0))
    mean = np.arange(10.0)[None, :] + 1
    forecast = forecast_of(history, np.repeat(mean[:, :, None], 3, axis=2), mean)
    assert extended(forecast, 20)[0][0].tolist() == [*range(1, 11), *range(4, 11), *range(4, 7)]


def test_when_a_period_is_spread_then_its_days_share_it_and_weekends_of_working_days_have_none():
    months = Days.after(Calendar("MS"), int(Calendar("MS").containing(np.datetime64("2025-01-01"))), 40)
    assert months.step.tolist() == [0] * 28 + [1] * 12
    assert months.spread(np.array([28.0, 31.0])).tolist() == [1.0] * 40
    friday = int(Calendar("B").containing(np.datetime64("2025-08-29")))
    assert Days.after(Calendar("B"), friday, 3).share.tolist() == [0.0, 0.0, 1.0]


def test_when_demand_is_unknown_then_paths_are_refused():
    with pytest.raises(DataError, match="unknown demand"):
        past_paths(panel_of([1.0, np.nan, 2.0]), 2, 3)
