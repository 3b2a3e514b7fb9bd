"""The yardsticks, each beside a loop over series and origins that does the same slowly."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from demand.panel import Panel
from models.base import FitContext, ForecastSpec
from models.baselines import Mean, MovingAverage, Naive, SeasonalNaive, Zero
from models.intervals import (
    HALF_TRUST,
    SPREAD_NOTE,
    anchor_steps,
    empirical_quantiles,
    interpolate_steps,
    mixture_quantiles,
    recent_periods,
)

LEVELS = (0.1, 0.5, 0.9)
RULES = (Zero(), Mean(), Naive(), SeasonalNaive(), MovingAverage(), MovingAverage(window=3), SeasonalNaive(season=4))


def panel_of(*series, freq="D"):
    indptr = np.concatenate([[0], np.cumsum([len(y) for y in series])]).astype(np.int64)
    ids = np.array([f"s{i:02d}" for i in range(len(series))])
    return Panel(ids, indptr, np.concatenate(series).astype(float), 20_000, freq)


def dense(n, seed=0):
    return 50 + 10 * np.sin(np.arange(n)) + np.random.default_rng(seed).gamma(4, 3, n)


def run(recipe, panel, horizon=9, season=7, levels=LEVELS):
    return recipe.fit(panel, ForecastSpec(horizon, levels), FitContext(season)).forecast(panel)


# ---- slow twins -----------------------------------------------------------------------------------------------------


def slow_point(recipe, y, season, step):
    """The rule for one series, in words: y known, `step` periods ahead."""
    if isinstance(recipe, Zero):
        return 0.0
    if isinstance(recipe, Mean):
        return sum(y) / len(y)
    if isinstance(recipe, Naive):
        return y[-1]
    if isinstance(recipe, SeasonalNaive):
        s = recipe.season or season
        if len(y) < s:
            return y[-1]
        position = len(y) - s + (step - 1) % s
        return y[position]
    window = y[-(recipe.window or season) :]
    return sum(window) / len(window)


def slow_errors(recipe, y, season, step, horizon):
    """actual - forecast of the same rule, from every origin of the newest periods."""
    own = getattr(recipe, "season", None) or season
    kept = recent_periods(own, horizon)
    errors = []
    for target in range(max(0, len(y) - kept), len(y)):
        origin = target - step  # position of the last known value
        if origin < 0:
            continue
        if isinstance(recipe, SeasonalNaive) and len(y) >= own:
            source = target - own * -(-step // own)
            if source < 0:
                continue
            errors.append(y[target] - y[source])
        elif isinstance(recipe, SeasonalNaive):
            errors.append(y[target] - y[origin])
        else:
            errors.append(y[target] - slow_point(recipe, y[: origin + 1], season, step))
    return errors


def slow_quantile(values, level):
    """Hyndman and Fan's type 6, shrunk to a Student t around 0."""
    n = len(values)
    place = min(max(level * (n + 1), 1), n)
    low = int(np.floor(place))
    ordered = sorted(values)
    found = ordered[low - 1] + (place - low) * (ordered[min(low, n - 1)] - ordered[low - 1])
    spread = np.sqrt(np.mean(np.square(values)))
    weight = n / (n + HALF_TRUST)
    return weight * found + (1 - weight) * spread * student.ppf(level, max(n - 1, 2))


@pytest.mark.parametrize("recipe", RULES, ids=repr)
def test_when_a_rule_forecasts_a_fleet_then_each_mean_is_that_of_the_loop(recipe):
    series = [dense(100), dense(30, 1), dense(5, 2), dense(2, 3), dense(1, 4), np.zeros(40), dense(400, 5)]
    forecast = run(recipe, panel_of(*series))
    for i, y in enumerate(series):
        expected = [slow_point(recipe, y, 7, step) for step in range(1, 10)]
        assert np.allclose(forecast.mean[i], expected), f"series {i}"


@pytest.mark.parametrize("recipe", [rule for rule in RULES if not isinstance(rule, Mean)], ids=repr)
def test_when_demand_is_regular_then_quantiles_are_the_rules_own_errors(recipe):
    series = [dense(100), dense(44, 1), dense(300, 2)]
    forecast = run(recipe, panel_of(*series), horizon=9)
    for i, y in enumerate(series):
        for step in anchor_steps(9):
            errors = slow_errors(recipe, y, 7, int(step), 9)
            point = slow_point(recipe, y, 7, int(step))
            low, high = (max(0.0, point + slow_quantile(errors, level)) for level in (0.1, 0.9))
            if recipe.point_is_median:
                low, high = min(low, point), max(high, point)
                assert forecast.quantile(0.5)[i, step - 1] == pytest.approx(point)
            assert forecast.quantile(0.1)[i, step - 1] == pytest.approx(low)
            assert forecast.quantile(0.9)[i, step - 1] == pytest.approx(high)


def test_when_the_mean_states_quantiles_then_they_are_those_of_the_whole_demand():
    series = [dense(77), np.array([3.0, 0, 0, 0, 5, 0, 0, 0, 1, 0]), np.array([4.0])]
    forecast = run(Mean(), panel_of(*series))
    for i, y in enumerate(series):
        assert np.allclose(forecast.quantiles[i], np.quantile(y, LEVELS, method="weibull"))


# ---- honest in hard cases -------------------------------------------------------------------------------------------


def test_when_demand_is_sparse_then_the_median_of_the_moving_average_is_zero_and_its_mean_is_not():
    y = np.zeros(200)
    y[::5] = 10.0
    forecast = run(MovingAverage(window=50), panel_of(y))
    assert (forecast.median == 0).all()
    assert np.allclose(forecast.mean, 2.0)
    assert ((forecast.quantile(0.9) > 9) & (forecast.quantile(0.9) <= 10)).all()


def test_when_the_point_is_the_yardstick_then_its_median_is_the_point_also_for_sparse_demand():
    y = np.where(np.arange(100) % 4 == 0, 8.0, 0.0)
    for recipe in (Zero(), Naive(), SeasonalNaive(season=4)):
        forecast = run(recipe, panel_of(y))
        assert np.array_equal(forecast.median, forecast.mean)


def test_when_there_is_no_error_to_learn_from_then_the_row_says_that_its_spread_is_assumed():
    for recipe in (Naive(), SeasonalNaive(), MovingAverage()):
        forecast = run(recipe, panel_of([6.0]))
        assert SPREAD_NOTE in forecast.note[0]
        assert np.allclose(forecast.mean, 6.0)
        assert forecast.quantile(0.9)[0, 0] == pytest.approx(6 + 6 * 1.2816, rel=1e-3)


def test_when_a_history_is_shorter_than_a_season_then_the_seasonal_naive_says_that_it_is_naive():
    forecast = run(SeasonalNaive(), panel_of(dense(6), dense(9)))
    assert "less than one season" in forecast.note[0]
    assert forecast.note[1] == ""
    assert len(set(forecast.mean[0])) == 1
    assert np.allclose(forecast.mean[1], np.resize(dense(9)[2:], 9))


def test_when_a_random_walk_is_forecast_then_the_naive_interval_widens_with_the_step_and_covers():
    rng = np.random.default_rng(1)
    walks = [500 + np.cumsum(rng.normal(0, 1, 400)) for _ in range(200)]
    history = panel_of(*[walk[:380] for walk in walks])
    forecast = run(Naive(), history, horizon=20)
    width = (forecast.quantile(0.9) - forecast.quantile(0.1)).mean(axis=0)
    assert (np.diff(width)[[0, 5, 12]] > 0).all()
    actual = np.array([walk[380:] for walk in walks])
    inside = (actual >= forecast.quantile(0.1)) & (actual <= forecast.quantile(0.9))
    assert 0.7 < inside.mean() < 0.9


def test_when_values_are_very_large_then_the_forecast_is_still_finite():
    rng = np.random.default_rng(2)
    forecast = run(MovingAverage(), panel_of(np.full(30, 1e300), rng.normal(0, 1e300, 30), np.full(30, 1e-300)))
    assert forecast.made.all()


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.floats(1e-3, 1e3))
def test_when_demand_is_scaled_then_forecasts_and_quantiles_scale_with_it(values, factor):
    y = np.array(values)
    for recipe in (Mean(), Naive(), SeasonalNaive(), MovingAverage()):
        one, scaled = run(recipe, panel_of(y)), run(recipe, panel_of(y * factor))
        assert np.allclose(one.mean * factor, scaled.mean, rtol=1e-6, atol=1e-6)
        assert np.allclose(one.quantiles * factor, scaled.quantiles, rtol=1e-6, atol=1e-6)


@given(st.integers(1, 40), st.integers(0, 10_000))
def test_when_the_fleet_is_cut_into_batches_then_not_a_bit_changes(size, seed):
    rng = np.random.default_rng(seed)
    panel = panel_of(*[rng.gamma(0.5, 9, rng.integers(1, 120)) for _ in range(6)])
    for recipe in (Mean(), SeasonalNaive(), MovingAverage()):
        whole = run(recipe, panel)
        parts = np.concatenate([run(recipe, part).quantiles for part in panel.batches(size)])
        assert np.array_equal(whole.quantiles, parts)


def test_when_the_history_moves_on_then_the_rule_follows_it_without_a_new_fit():
    panel = panel_of(dense(60))
    fitted = Naive().fit(panel, ForecastSpec(3), FitContext(7))
    later = replace(panel, y=np.append(panel.y, 999.0), indptr=np.array([0, 61]), end=panel.end + 1)
    assert np.allclose(fitted.forecast(later).mean, 999.0)


# ---- the pieces -----------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(0.01, 0.99))
def test_when_empirical_quantiles_are_asked_then_they_are_numpys_weibull_ones(values, level):
    padded = np.array([[np.nan, *values, np.nan]])
    expected = np.quantile(values, level, method="weibull")
    assert empirical_quantiles(padded, (level,))[0, 0] == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_when_demand_is_a_mixture_then_its_quantiles_are_those_of_many_draws():
    rng = np.random.default_rng(0)
    sizes = rng.gamma(4, 5, 2000)
    draws = np.where(rng.random(200_000) < 0.3, rng.choice(sizes, 200_000), 0.0)
    found = mixture_quantiles(sizes[None, :], np.array([0.3]), np.array([sizes.mean()]), (0.5, 0.75, 0.9, 0.99))
    assert np.allclose(found[0], np.quantile(draws, (0.5, 0.75, 0.9, 0.99)), rtol=0.03)


def test_when_steps_are_interpolated_then_anchors_keep_their_value_and_the_rest_lies_between():
    anchors = anchor_steps(30)
    values = np.arange(len(anchors), dtype=float)[None, :, None]
    found = interpolate_steps(values, 30)[0, :, 0]
    assert np.allclose(found[anchors - 1], np.arange(len(anchors)))
    assert (np.diff(found) > 0).all()
