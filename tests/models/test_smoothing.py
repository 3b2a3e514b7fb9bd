"""Exponential smoothing and TSB beside one-series loops, and what they must be good at."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.panel import Panel
from models.base import FitContext, ForecastSpec
from models.baselines import SeasonalNaive
from models.holt_winters import SEASONS, candidates
from models.smoothing import ExponentialSmoothing, Tsb
from models.smoothing_search import (
    average_weights,
    groups,
    holt_winters_losses,
    holt_winters_replay,
    tsb_candidates,
    tsb_losses,
)

SPEC = ForecastSpec(12)


def panel_of(*series, freq="MS"):
    indptr = np.concatenate([[0], np.cumsum([len(y) for y in series])]).astype(np.int64)
    ids = np.array([f"s{i:02d}" for i in range(len(series))])
    return Panel(ids, indptr, np.concatenate(series).astype(float), 600, freq)


def monthly(n, seed=0, growth=1.0, noise=0.03):
    t = np.arange(n)
    rng = np.random.default_rng(seed)
    season = 1 + 0.3 * np.sin(2 * np.pi * t / 12) + 0.1 * np.cos(4 * np.pi * t / 12)
    return (100 + growth * t) * season * (1 + noise * rng.standard_normal(n))


def sparse(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.gamma(4, 3, n) * (rng.random(n) < 0.25)


def run(recipe, panel, spec=SPEC, season=12):
    return recipe.fit(panel, spec, FitContext(season)).forecast(panel)


# ---- slow twin of the recursions ------------------------------------------------------------------------------------


def slow_states(y, alpha, beta, phi, gamma, trended, kind, s):
    """Level, trend and season by period modulo s, after each period of one series."""
    if kind == "none":
        level, trend, season = float(np.mean(y[: max(s, 6)])), 0.0, None
    else:
        slope = (np.mean(y[s : 2 * s]) - np.mean(y[:s])) / s
        base = np.mean(y[:s]) - slope * (s + 1) / 2
        line = base + slope * np.arange(1, 2 * s + 1)
        index = y[: 2 * s] - line if kind == "additive" else y[: 2 * s] / line
        index = (index[:s] + index[s:]) / 2
        season = list(index - index.mean() if kind == "additive" else np.maximum(index / index.mean(), 0.01))
        level, trend = (base, slope) if trended else (base + slope * (s + 1) / 2, 0.0)
    floor = max(abs(level if not trended else base + slope * (s + 1) / 2) * 1e-3, 1e-12) if season else 0.0
    after = []
    for t, value in enumerate(y):
        prior = level + phi * trend
        if kind == "none":
            error = value - prior
        elif kind == "additive":
            error = value - prior - season[t % s]
            season[t % s] += gamma * (1 - alpha) * error
        else:
            prior = max(prior, floor)
            missed = value - prior * season[t % s]
            error = missed / season[t % s]
            season[t % s] = max(season[t % s] + gamma * (1 - alpha) * missed / prior, 0.01)
        level, trend = prior + alpha * error, phi * trend + alpha * beta * error
        after.append((level, trend, None if season is None else list(season)))
    return after


def slow_forecast(state, t, h, phi, kind, s):
    level, trend, season = state
    value = level + trend * sum(phi**i for i in range(1, h + 1))
    if kind == "none":
        return value
    return value + season[(t + h) % s] if kind == "additive" else value * season[(t + h) % s]


def one_group(panel, season, horizon, seasonal=True):
    (group,) = groups(panel, season, horizon, 1100, seasonal)
    return group


@pytest.mark.parametrize("kind", SEASONS)
def test_when_candidates_are_scored_then_each_loss_is_that_of_the_loop(kind):
    series = [monthly(50, 1), monthly(41, 2), monthly(29, 3)]
    group = one_group(panel_of(*series), 12, 6)
    grid = candidates(trend=True)
    losses = holt_winters_losses(group, grid, 12, 6)
    parameters, season_of = grid
    picked = np.flatnonzero(season_of == SEASONS.index(kind))[::17]
    for (row, i), g in itertools.product(enumerate(group.rows), picked):
        y, p = series[i], parameters.at(g)
        states = slow_states(y, p.alpha, p.beta, p.phi, p.gamma, p.trended, kind, 12)
        expected = 0.0
        for h in (1, 3, 6):
            errors = [
                abs(y[t + h] - max(slow_forecast(states[t], t, h, p.phi, kind, 12), 0.0)) for t in range(23, len(y) - h)
            ]
            expected += np.mean(errors) if errors else 0.0
        assert losses[row, g] == pytest.approx(expected), f"series {i}, candidate {g}"


def test_when_candidates_are_averaged_then_point_and_errors_are_the_weighted_loops():
    series = [monthly(50, 1), monthly(60, 2)]
    group = one_group(panel_of(*series), 12, 6)
    grid = candidates(trend=True)
    parameters, season_of = grid
    chosen = np.array([[0, 60, 200, 340], [5, 100, 210, 300]])
    weight = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])
    point, errors = holt_winters_replay(group, grid, chosen, weight, 12, 6, np.array([1, 4]))
    for row, i in enumerate(group.rows):
        y = series[i]

        def mixed(t, h, y=y, row=row):
            total = 0.0
            for g, w in zip(chosen[row], weight[row], strict=True):
                p, kind = parameters.at(g), SEASONS[season_of[g]]
                states = slow_states(y, p.alpha, p.beta, p.phi, p.gamma, p.trended, kind, 12)
                total += w * slow_forecast(states[t], t, h, p.phi, kind, 12)
            return total

        assert np.allclose(point[row], [mixed(len(y) - 1, h) for h in range(1, 7)])
        for k, h in enumerate((1, 4)):
            assert errors[k, row, -1] == pytest.approx(y[-1] - mixed(len(y) - 1 - h, h))
            assert np.isfinite(errors[k, row]).sum() == len(y) - 23 - h  # origins after the warm-up only


def test_when_the_tsb_grid_is_scored_then_each_loss_is_that_of_the_loop():
    series = [sparse(60, 1), sparse(40, 2), np.zeros(30)]
    group = next(iter(groups(panel_of(*series), 12, 6, 1100, False)))
    chance_constants, size_constants = tsb_candidates()
    losses = tsb_losses(group, chance_constants, size_constants, 6)
    for (row, i), g in itertools.product(enumerate(group.rows), (0, 7, 20, 35)):
        y = series[i]
        chance, size = ((y[:6] > 0).sum() + 0.5) / 7, 0.0
        made = []
        for value in y:
            chance += chance_constants[g] * ((value > 0) - chance)
            if value > 0:
                size = size + size_constants[g] * (value - size) if size > 0 else value
            made.append(chance * size)
        first = len(y) // 3 - 1
        expected = sum(np.mean([(y[t + h] - made[t]) ** 2 for t in range(first, len(y) - h)]) for h in (1, 3, 6))
        assert losses[row, g] == pytest.approx(expected)


# ---- the choice -----------------------------------------------------------------------------------------------------


def test_when_weights_are_made_then_they_sum_to_one_the_best_weighs_most_and_the_impossible_nothing():
    losses = np.array([[3.0, 1.0, np.inf, 2.0], [0.0, 0.0, 0.0, 0.0], [np.inf, 5.0, np.inf, np.inf]])
    chosen, weight = average_weights(losses, 3, 2.0)
    assert np.allclose(weight.sum(axis=1), 1.0)
    assert list(chosen[0]) == [1, 3, 0]
    assert np.allclose(weight[0], np.array([1, 1 / 4, 1 / 9]) / (1 + 1 / 4 + 1 / 9))
    assert np.allclose(weight[1], 1 / 3)
    assert list(weight[2]) == [1.0, 0.0, 0.0]


def test_when_demand_holds_a_zero_then_no_multiplicative_season_is_tried():
    y = monthly(60)
    y[40] = 0.0
    group = one_group(panel_of(y), 12, 6)
    grid = candidates(trend=True)
    losses = holt_winters_losses(group, grid, 12, 6)
    assert np.isinf(losses[0, grid[1] == SEASONS.index("multiplicative")]).all()
    assert np.isfinite(losses[0, grid[1] == SEASONS.index("additive")]).all()


def test_when_a_history_has_less_than_two_seasons_and_five_periods_then_no_season_is_tried():
    for length, seasonal in ((28, False), (29, True)):
        group = one_group(panel_of(monthly(length)), 12, 6)
        assert group.seasonal is seasonal
        forecast = run(ExponentialSmoothing(), panel_of(monthly(length)))
        assert bool(np.ptp(np.diff(forecast.mean[0])) > 10) is seasonal


def test_when_seasonal_is_off_then_no_season_is_forecast():
    panel = panel_of(monthly(80))
    assert np.ptp(run(ExponentialSmoothing(), panel).mean) > 40
    assert np.ptp(run(ExponentialSmoothing(seasonal=False, trend=False), panel).mean) == pytest.approx(0, abs=1e-9)


def test_when_trend_is_off_then_growth_is_not_carried_on():
    y = np.arange(1.0, 61.0)
    with_trend = run(ExponentialSmoothing(seasonal=False), panel_of(y)).mean[0]
    without = run(ExponentialSmoothing(seasonal=False, trend=False), panel_of(y)).mean[0]
    assert with_trend[-1] > 68
    assert without[-1] < 61


def test_when_only_the_newest_periods_are_used_then_older_ones_do_not_matter():
    y = monthly(120)
    other = y.copy()
    other[:50] *= 7
    recipe = ExponentialSmoothing(max_history=70)
    assert np.array_equal(run(recipe, panel_of(y)).mean, run(recipe, panel_of(other)).mean)
    assert not np.array_equal(run(ExponentialSmoothing(), panel_of(y)).mean,
                              run(ExponentialSmoothing(), panel_of(other)).mean)  # fmt: skip


def test_when_another_season_is_set_then_it_is_used():
    t = np.arange(80)
    y = 50 + 20 * (t % 4)
    forecast = run(ExponentialSmoothing(season=4), panel_of(y), ForecastSpec(8), season=12)
    assert np.allclose(forecast.mean[0], 50 + 20 * (np.arange(80, 88) % 4), atol=3)


def test_when_one_candidate_is_combined_then_it_is_the_best_one():
    panel = panel_of(monthly(70))
    group = one_group(panel, 12, 12)
    grid = candidates(trend=True)
    best = int(np.argmin(holt_winters_losses(group, grid, 12, 12)[0]))
    fitted = ExponentialSmoothing(combined=1).fit(panel, SPEC, FitContext(12))
    assert fitted.arrays["chosen"].tolist() == [[best]]
    assert fitted.arrays["weight"].tolist() == [[1.0]]


# ---- what it is for -------------------------------------------------------------------------------------------------


def test_when_demand_grows_with_a_season_then_the_error_is_half_that_of_the_seasonal_naive():
    whole = [monthly(120, seed, growth=0.5 + 0.2 * seed) for seed in range(12)]
    panel = panel_of(*[y[:108] for y in whole])
    actual = np.array([y[108:] for y in whole])
    error = [np.abs(run(recipe, panel).median - actual).sum() for recipe in (ExponentialSmoothing(), SeasonalNaive())]
    assert error[0] < 0.5 * error[1]


def test_when_demand_is_regular_then_the_interval_covers_about_its_share():
    whole = [monthly(132, seed, noise=0.08) for seed in range(60)]
    forecast = run(ExponentialSmoothing(), panel_of(*[y[:120] for y in whole]))
    actual = np.array([y[120:] for y in whole])
    inside = (actual >= forecast.quantile(0.1)) & (actual <= forecast.quantile(0.9))
    assert 0.65 < inside.mean() < 0.92


def test_when_a_style_stops_selling_then_tsb_fades_and_its_median_is_zero():
    y = np.concatenate([sparse(100, 3), np.zeros(40)])
    before, after = run(Tsb(), panel_of(y[:100])), run(Tsb(), panel_of(y))
    assert after.mean[0, 0] < 0.5 * before.mean[0, 0]
    assert (after.median == 0).all()


def test_when_demand_is_sparse_then_the_mean_is_about_unbiased_and_the_quantile_at_most_the_largest_sale():
    rng = np.random.default_rng(4)
    series = [rng.gamma(4, 3, 150) * (rng.random(150) < 0.25) for _ in range(100)]
    for recipe in (Tsb(), ExponentialSmoothing()):
        forecast = run(recipe, panel_of(*series))
        assert forecast.mean.mean() == pytest.approx(3.0, rel=0.15)
        assert (forecast.median == 0).mean() > 0.95


@given(st.integers(1, 30), st.integers(0, 10_000))
def test_when_any_short_history_comes_then_there_is_a_finite_row(length, seed):
    rng = np.random.default_rng(seed)
    y = np.where(rng.random(length) < 0.3, 0.0, rng.gamma(0.5, 100, length) - 5)
    for recipe in (ExponentialSmoothing(combined=5), Tsb()):
        assert run(recipe, panel_of(y), ForecastSpec(5)).made.all()


def test_when_squares_leave_the_range_of_a_float_then_the_row_says_so():
    rng = np.random.default_rng(0)
    forecast = run(ExponentialSmoothing(), panel_of(rng.normal(0, 1e300, 40), monthly(60)))
    assert forecast.made[1]
    assert forecast.made[0] or forecast.reason[0] == "non-finite forecast"
