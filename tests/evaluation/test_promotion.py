"""The gate's checks: each on a case built so that the answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from demand.panel import Panel
from evaluation.promotion import Contender, beats, believable, not_worse, same_past
from models.base import Forecast, ForecastSpec

N, T, H, CUTOFFS = 20, 60, 7, (39, 46)


@pytest.fixture(scope="module")
def panel() -> Panel:
    rng = np.random.default_rng(4)
    y = rng.gamma(9, 3.0, (N, T))
    return Panel(np.array([f"s{i:02d}" for i in range(N)]), np.arange(N + 1) * T, y.ravel(), T - 1, "D")


def forecast(panel: Panel, cutoff: int, off: float, seed: int = 1) -> Forecast:
    """The truth after `cutoff` (or the last values of the panel), off by a noise of `off` times the mean demand."""
    rng = np.random.default_rng(seed + cutoff)
    known = panel.until(cutoff)
    truth = panel.window(cutoff + 1, H) if cutoff + H <= panel.end else panel.tail(H)
    mean = np.maximum(truth + off * 27.0 * rng.normal(size=(known.n_series, H)), 0)
    return Forecast.build(known, ForecastSpec(H, (0.5,)), "ensemble", mean, mean[:, :, None])


def contender(
    panel: Panel, off: float, name: str = "release 1", cutoffs=CUTOFFS, seed: int = 1, **changes
) -> Contender:
    scored = {"ensemble": [forecast(panel, c, off, seed) for c in cutoffs],
              "mean": [forecast(panel, c, 0.5, 77) for c in cutoffs]}  # fmt: skip
    one = Contender(name, "ensemble", scored, forecast(panel, panel.end, off, seed), panel, 7, 0.8)
    return replace(one, **changes)


def test_when_it_is_better_on_the_same_cells_then_it_beats_the_baseline_and_says_by_how_much(panel):
    (check,) = beats(contender(panel, 0.1), ["mean"], "absolute", 42)
    assert check.passed
    assert check.words.startswith("ensemble beats mean beyond chance: WAPE 0.0")
    assert f"{N * 2} series x origins, p = 0.000" in check.words
    assert check.test["n"] == N * 2
    (check,) = beats(contender(panel, 0.5), ["mean"], "absolute", 42)
    assert not check.passed
    assert "does not beat mean beyond chance" in check.words


def test_when_it_is_significantly_worse_than_the_champion_then_it_is_held_back_and_else_not(panel):
    asked = ((0.3, "release 1", 1), (0.3, "release 2", 5), (0.42, "release 3", 9))
    good, alike, bad = (contender(panel, off, name, seed=seed) for off, name, seed in asked)
    assert not_worse(alike, good, "absolute", 42).passed
    worse = not_worse(bad, good, "absolute", 42)
    assert not worse.passed
    assert worse.words.startswith("worse than release 1: WAPE ")
    assert "p_worse = 0.0" in worse.words
    assert "paired test on the same origins" in worse.words
    assert not_worse(good, bad, "absolute", 42).passed


def test_when_only_some_origins_and_series_are_shared_then_those_are_compared_with_the_newer_truth(panel):
    old = contender(panel, 0.3, cutoffs=(39,))
    fewer = panel.take(np.arange(15))
    new = contender(fewer, 0.3, "release 2", seed=5)
    check = not_worse(new, old, "absolute", 42)
    assert check.passed
    assert check.test["n"] == 15
    corrected = replace(panel, y=panel.y * 1.1, end=panel.end)
    assert not_worse(replace(new, panel=corrected), old, "absolute", 42).words != check.words


def test_when_few_series_differ_then_no_test_is_made_up_and_the_difference_itself_decides(panel):
    few = panel.take(np.arange(3))
    check = not_worse(contender(few, 0.5, "release 2"), contender(few, 0.1), "absolute", 42)
    assert not check.passed
    assert "3 series differ, too few for a test: 0.03 higher is worse" in check.words
    same = contender(few, 0.1)
    assert not_worse(same, same, "absolute", 42).passed


def test_when_a_single_style_is_forecast_a_thousand_times_too_high_then_no_test_hides_it(panel):
    good = contender(panel, 0.3)
    one = [replace(f, quantiles=f.quantiles * np.where(f.ids == "s03", 1000, 1)[:, None, None])
           for f in good.scored["ensemble"]]  # fmt: skip
    bad = replace(contender(panel, 0.3, "release 2", seed=2), scored={**good.scored, "ensemble": one})
    check = not_worse(bad, contender(panel, 0.3, seed=3), "absolute", 42)
    assert not check.passed
    assert "in however few styles" in check.words


def test_when_no_origin_is_shared_then_the_yardstick_is_each_ones_own_naive_and_says_so(panel):
    old = contender(panel, 0.3, cutoffs=(38, 45))
    new = contender(panel, 0.3, "release 2")
    check = not_worse(replace(new, relative_wape=0.82), old, "absolute", 42)
    assert check.passed
    assert "0.820 against 0.800 (no common origin: WAPE over the seasonal naive's" in check.words
    assert not not_worse(replace(new, relative_wape=0.84), old, "absolute", 42).passed
    undefined = not_worse(replace(new, relative_wape=None), old, "absolute", 42)
    assert undefined.passed
    assert "cannot be compared" in undefined.words


@pytest.mark.parametrize("times", [1000.0, 0.001])
def test_when_one_styles_past_was_rescaled_then_it_is_named_and_a_small_correction_passes(panel, times):
    old = contender(panel, 0.3)
    y = panel.y.copy()
    y[3 * T : 4 * T] *= times
    check = same_past(contender(replace(panel, y=y), 0.3, "release 2"), old)
    assert not check.passed
    assert "for 1 of 20 styles: s03 (" in check.words
    corrected = panel.y.copy()
    corrected[3 * T] *= 1.5
    assert same_past(contender(replace(panel, y=corrected), 0.3, "release 2"), old).passed


def test_when_most_of_the_volume_is_lost_then_the_same_days_do_not_hold_it(panel):
    check = same_past(contender(replace(panel, y=panel.y * 0.3), 0.3, "release 2"), contender(panel, 0.3))
    assert not check.passed
    assert "the same days hold 0.3 times the demand that release 1 knew" in check.words


def test_when_a_forecast_is_beyond_any_demand_there_was_then_it_is_not_believed(panel):
    old, new = contender(panel, 0.1), contender(panel, 0.1, "release 2")
    assert believable(new, old).passed
    live = replace(new.live, mean=new.live.mean * np.where(new.live.ids == "s05", 1000, 1)[:, None])
    check = believable(replace(new, live=live), old)
    assert not check.passed
    assert check.words == "1 of 20 styles are forecast beyond ten times any demand release 1 knew: s05"
