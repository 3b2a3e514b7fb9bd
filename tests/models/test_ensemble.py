"""Members become one forecast: quantiles never cross, a member without weight never touches a row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.errors import SettingsError
from models.base import Forecast, ForecastSpec
from models.ensemble import KIND, EnsembleSettings, combine, middle_mean
from tests.evaluation.made import panel_of

LEVELS = (0.1, 0.5, 0.9)
H = 3


def history_of(n):
    return panel_of({f"S{i:03d}": np.ones(10) for i in range(n)})


def member(history, rng, missing=()):
    n = history.n_series
    mean = rng.gamma(1.0, 50.0, (n, H))
    quantiles = np.sort(rng.gamma(1.0, 50.0, (n, H, len(LEVELS))), axis=2)
    return Forecast.build(history, ForecastSpec(H, LEVELS), "mean", mean, quantiles,
                          reasons=dict.fromkeys(missing, "not made"))  # fmt: skip


@st.composite
def mixes(draw):
    """A history, members with gaps, weights that are 0 wherever a member has no row."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, m = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    history = history_of(n)
    members, weights = [], np.zeros((n, m))
    for k in range(m):
        missing = np.flatnonzero(rng.random(n) < 0.3)
        members.append(member(history, rng, missing.tolist()))
        weights[:, k] = rng.random(n) * (rng.random(n) < 0.8)
        weights[missing, k] = 0.0
    return history, members, weights


def middle_twin(values, shares):
    """The mean of the weighted values between a quarter and three quarters of the weight, by a walk along them."""
    walked = total = 0.0
    for value, share in sorted(zip(values, shares, strict=True)):
        total += max(0.0, min(walked + share, 0.75) - max(walked, 0.25)) * value
        walked += share
    return total / 0.5


def twin(members, weights, i, aggregation, trimmed=False):
    """Row i by loops over members, steps and levels: mean [H] and quantiles [H][Q], None without a member."""
    inside = [k for k in range(len(members)) if weights[i, k] > 0]
    if not inside:
        return None
    total = sum(weights[i, k] for k in inside)

    def mix(value_of):
        values = [value_of(members[k]) for k in inside]
        if aggregation == "median":
            ranked, middle = sorted(values), len(values) // 2
            return ranked[middle] if len(values) % 2 else (ranked[middle - 1] + ranked[middle]) / 2
        if trimmed:
            return middle_twin(values, [weights[i, k] / total for k in inside])
        return sum(weights[i, k] / total * value for k, value in zip(inside, values, strict=True))

    mean = [mix(lambda f, h=h: f.mean[i, h]) for h in range(H)]
    return mean, [[mix(lambda f, h=h, q=q: f.quantiles[i, h, q]) for q in range(len(LEVELS))] for h in range(H)]


@given(mixes(), st.sampled_from(["weighted_mean", "mean", "stacking", "median"]), st.booleans())
def test_when_members_are_combined_then_it_equals_the_slow_twin_and_quantiles_never_cross(mix, aggregation, trim):
    history, members, weights = mix
    trimmed = np.arange(history.n_series) % 2 == 0 if trim and aggregation != "median" else None
    forecast = combine(history, ForecastSpec(H, LEVELS), members, weights, aggregation, trimmed)
    for i in range(history.n_series):
        slow = twin(members, weights, i, aggregation, trimmed is not None and bool(trimmed[i]))
        if slow is None:
            assert not forecast.made[i]
            assert forecast.reason[i] == "no member made this row"
            continue
        assert forecast.made_by[i] == KIND
        np.testing.assert_allclose(forecast.mean[i], slow[0], rtol=1e-9)
        np.testing.assert_allclose(forecast.quantiles[i], slow[1], rtol=1e-9)
        assert (np.diff(forecast.quantiles[i], axis=1) >= 0).all()
        assert (forecast.quantiles[i] >= 0).all()


@pytest.mark.parametrize("aggregation", ["weighted_mean", "median"])
@pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("trimmed", [None, np.ones(4, dtype=bool)])
def test_when_a_member_has_no_weight_then_whatever_it_says_changes_no_bit(aggregation, garbage, trimmed):
    history, rng = history_of(4), np.random.default_rng(1)
    one, two, spoilt = (member(history, rng) for _ in range(3))
    weights = np.tile([0.3, 0.7, 0.0], (4, 1))
    spoilt = replace(spoilt, mean=np.full_like(spoilt.mean, garbage), quantiles=np.full_like(spoilt.quantiles, garbage))
    spec = ForecastSpec(H, LEVELS)
    with_it = combine(history, spec, [one, two, spoilt], weights, aggregation, trimmed)
    without = combine(history, spec, [one, two], weights[:, :2], aggregation, trimmed)
    assert with_it.mean.tobytes() == without.mean.tobytes()
    assert with_it.quantiles.tobytes() == without.quantiles.tobytes()
    assert with_it.made.all()


@pytest.mark.parametrize("trimmed", [None, np.ones(3, dtype=bool)])
def test_when_one_member_has_all_the_weight_then_the_ensemble_is_that_member(trimmed):
    history, rng = history_of(3), np.random.default_rng(2)
    one, two = member(history, rng), member(history, rng)
    all_on_one = np.tile([1.0, 0.0], (3, 1))
    forecast = combine(history, ForecastSpec(H, LEVELS), [one, two], all_on_one, "weighted_mean", trimmed)
    assert forecast.mean.tobytes() == one.mean.tobytes()
    assert forecast.quantiles.tobytes() == one.quantiles.tobytes()


def test_when_one_member_of_three_is_far_off_then_the_middle_mean_hardly_feels_it():
    values, shares = np.array([[1.0], [2.0], [1e6]]), np.array([0.4, 0.4, 0.2])
    assert middle_mean(values, shares)[0] == pytest.approx((0.15 * 1 + 0.35 * 2) / 0.5)


def test_when_settings_are_the_issues_defaults_then_weights_are_normalised_over_who_takes_part():
    settings = EnsembleSettings()
    members = ("arima", "prophet", "lstm", "xgboost", "tide", "exponential_smoothing", "seasonal_naive")
    assert settings.members == members
    np.testing.assert_allclose(settings.configured_weights(settings.members), [0.2, 0.25, 0.35, 0.2, 0, 0, 0])
    np.testing.assert_allclose(settings.configured_weights(["arima", "lstm"]), [0.2 / 0.55, 0.35 / 0.55])
    np.testing.assert_allclose(settings.configured_weights(["seasonal_naive", "tsb"]), [0.5, 0.5])


@pytest.mark.parametrize("wrong", [
    {"voting": "hard"},
    {"models": ("arima",), "weights": (0.5, 0.5)},
    {"models": ("arima",), "weights": (0.0,)},
    {"models": ("arima", "arima"), "weights": (0.5, 0.5)},
    {"models": ("arimaa",), "weights": (1.0,)},
    {"models": ("arima",), "weights": (1.0,), "extra_members": ("arima",)},
])  # fmt: skip
def test_when_settings_make_no_sense_then_they_are_refused(wrong):
    with pytest.raises(SettingsError):
        EnsembleSettings(**wrong)
