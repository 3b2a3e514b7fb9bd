"""What moves a forecast: contributions add up, to what the model really says; what is not read moves nothing."""

from dataclasses import replace

import numpy as np
import pytest

from demand.errors import ModelError, VersionUnreadable
from demand.panel import Panel
from features.groups import GROUPS, column_groups
from features.settings import FeatureSettings
from models.base import FitContext, ForecastSpec
from models.drivers import Reliance, checked_gap, read_drivers, write_drivers
from models.lstm_windows import WindowLayout, Windows, WindowSource
from models.network_drivers import dealt, input_groups, reliance_of
from models.xgboost import FittedXGBoost, XGBoost
from models.xgboost_drivers import ROWS, contributions, explained_steps

SPEC = ForecastSpec(6, (0.1, 0.5, 0.9))
CONTEXT = FitContext(season=7, features=FeatureSettings())


def fleet(days: int = 90, n: int = 10) -> Panel:
    """Daily series with a week's season; every third is sparse, the last one never sold."""
    rng, t = np.random.default_rng(3), np.arange(days)
    rows = []
    for k in range(n):
        level = 10.0 * 3 ** rng.normal() * (1 + 0.5 * np.sin(2 * np.pi * (t + k) / 7)) * rng.gamma(9, 1 / 9, days)
        rows.append(level if k % 3 else np.ceil(level) * (rng.random(days) < 0.15))
    rows[-1] = np.zeros(days)
    return Panel(np.array([f"s{k}" for k in range(n)]), np.arange(n + 1) * days, np.concatenate(rows), 20_000, "D")


@pytest.fixture(scope="module")
def panel() -> Panel:
    return fleet()


def fit(panel: Panel, **changes: object) -> FittedXGBoost:
    return XGBoost(**{"n_estimators": 15, "max_depth": 3, **changes}).fit(panel, SPEC, CONTEXT)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def fitted(panel: Panel) -> FittedXGBoost:
    return fit(panel)


@pytest.mark.parametrize("objective", ["reg:squarederror", "reg:squaredlogerror"])
def test_when_demand_is_learned_in_units_then_base_and_effects_sum_to_the_live_forecast(panel, objective):
    model = fit(panel, objective=objective)
    found = model.drivers(panel)
    assert found.link == "sum"
    assert found.steps == (1, 2, 3, 4, 5, 6)
    said = model.forecast(panel).mean.mean(axis=1)
    np.testing.assert_allclose(found.base + found.effects.sum(axis=1), said, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.forecast, said, rtol=1e-12)
    assert sum(found.shares().values()) == pytest.approx(1)
    assert found.effects[:-1].any(axis=1).all()


@pytest.mark.parametrize("objective", ["count:poisson", "reg:tweedie"])
def test_when_the_booster_works_on_logs_then_base_times_effects_is_the_live_forecast(panel, objective):
    model = fit(panel, objective=objective)
    found = model.drivers(panel)
    assert found.link == "product"
    said = np.exp(np.log(model.forecast(panel.take(np.arange(9))).mean).mean(axis=1))
    np.testing.assert_allclose((found.base * found.effects.prod(axis=1))[:9], said, rtol=1e-4)
    assert sum(found.shares().values()) == pytest.approx(1)


def test_when_a_style_never_sold_then_it_has_base_0_and_no_effect(panel, fitted):
    found = fitted.drivers(panel)
    assert found.base[-1] == found.forecast[-1] == 0
    assert not found.effects[-1].any()
    assert (fit(panel, objective="count:poisson").drivers(panel).effects[-1] == 1).all()


def test_when_styles_are_explained_together_or_alone_then_the_numbers_are_the_same(panel, fitted):
    whole, one = fitted.drivers(panel), fitted.drivers(panel.take(np.array([4])))
    np.testing.assert_allclose(one.effects[0], whole.effects[4], rtol=1e-9)


def test_when_contributions_are_grouped_then_they_are_those_of_a_slow_twin(panel, fitted):
    groups = column_groups(fitted.recipe)
    assert len(groups) == len(fitted.recipe.names)
    assert set(groups) <= set(GROUPS)
    x = np.random.default_rng(0).normal(size=(5, len(groups))).astype(np.float32)
    each, bias = contributions(fitted.learned.point, x)
    by_group = np.array([[sum(each[r, f] for f in range(len(groups)) if groups[f] == g) for g in GROUPS]
                         for r in range(5)])  # fmt: skip
    margin = fitted.learned.point.inplace_predict(x)
    np.testing.assert_allclose(by_group.sum(axis=1) + bias, margin, rtol=1e-4)


def test_when_columns_are_named_then_each_is_in_the_group_a_planner_expects(panel, fitted):
    told = dict(zip(fitted.recipe.names, column_groups(fitted.recipe), strict=True))
    expected = {
        "demand_lag_1": "level", "demand_lag_7": "season", "demand_rolling_mean_7": "level", "age": "age",
        "demand_rolling_std_7": "variation", "growth": "trend", "periods_since_sale": "gaps", "month": "calendar",
        "is_holiday": "calendar", "same_season_1": "season", "step": "distance",
    }  # fmt: skip
    assert {name: told[name] for name in expected} == expected


def test_when_products_are_features_then_they_belong_to_their_first_factor(panel):
    context = replace(CONTEXT, features=FeatureSettings(polynomial_features=True, interaction_features=True))
    model = XGBoost(n_estimators=3, max_depth=2).fit(panel, SPEC, context)
    told = dict(zip(model.recipe.names, column_groups(model.recipe), strict=True))
    assert told["demand_lag_7_poly_2"] == "season"
    assert told["demand_rolling_mean_7_x_month"] == "level"


def test_when_a_contribution_is_tampered_with_then_the_check_fails():
    parts = np.array([[1.0, 2.0], [3.0, -1.0]])
    assert checked_gap(parts, np.array([3.0, 2.0])) == 0
    with pytest.raises(ModelError, match="do not add up"):
        checked_gap(parts + np.array([[0, 0], [0, 0.01]]), np.array([3.0, 2.0]))
    with pytest.raises(ModelError, match="do not add up"):
        checked_gap(parts, np.array([3.0, np.nan]))


def test_when_the_booster_is_not_the_one_that_predicts_then_no_drivers_are_told(panel, fitted, monkeypatch):
    def off(booster, x):
        each, bias = contributions(booster, x)
        return each, bias + 0.05

    monkeypatch.setattr("models.xgboost_drivers.contributions", off)
    with pytest.raises(ModelError, match="do not add up"):
        fitted.drivers(panel)


def test_when_the_future_is_poisoned_then_the_drivers_stay(panel):
    cutoff = panel.end - 20
    poisoned = replace(panel, y=np.where(panel.periods > cutoff, (panel.y + 1) * 1e6, panel.y))
    one, other = (fit(p.until(cutoff)).drivers(p.until(cutoff)) for p in (panel, poisoned))
    np.testing.assert_array_equal(one.effects, other.effects)


def test_when_a_fleet_is_large_then_steps_are_sampled_and_never_styles():
    assert explained_steps(6, 10).tolist() == [1, 2, 3, 4, 5, 6]
    assert explained_steps(90, 100_000).tolist() == [23, 68]
    assert len(explained_steps(90, 400)) == ROWS // 400
    assert explained_steps(1, 10**6).tolist() == [1]


def test_when_drivers_are_written_then_they_are_read_again_bit_for_bit(fitted, panel, tmp_path):
    found = fitted.drivers(panel)
    assert read_drivers(tmp_path) is None
    write_drivers(tmp_path, found)
    again = read_drivers(tmp_path)
    for name in ("ids", "base", "effects", "forecast"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    assert (again.groups, again.steps, again.gap) == (found.groups, found.steps, found.gap)
    write_drivers(tmp_path, Reliance("tide", {"level": 0.5}, 7))
    assert read_drivers(tmp_path).change == {"level": 0.5}
    write_drivers(tmp_path, ModelError("no", found=1))
    assert str(read_drivers(tmp_path)) == str(ModelError("no", found=1))
    (tmp_path / "drivers.json").write_text('{"method": "shap"}')
    with pytest.raises(VersionUnreadable):
        read_drivers(tmp_path)


# ---- networks -------------------------------------------------------------------------------------------------------


class Reads:
    """In a network's place: its mean is one channel of the anchors."""

    kind = "tide"

    def __init__(self, layout: WindowLayout, channel: int) -> None:
        self.layout, self.channel = layout, channel

    def mean_of(self, windows: Windows) -> np.ndarray:
        return np.asarray(windows.anchors[:, :, self.channel] * windows.scale[:, None])


LAYOUTS = [
    WindowLayout(20, 6, (7,)),
    WindowLayout(20, 6, (7, 28), ("demand", "season", "trend", "price"), ("price",)),
    WindowLayout(20, 6, (7,), ("demand",)),
    WindowLayout(20, 6, (7,), ("demand", "season")),
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_when_inputs_are_grouped_then_every_channel_has_a_group(panel, layout):
    source = WindowSource(panel, layout)
    windows = source.windows(np.arange(3), panel.lengths[:3] - 1)
    groups = input_groups(layout, source.calendar_table.shape[1])
    for name, found in groups.items():
        assert len(found) == getattr(windows, name).shape[-1], name
        assert set(found) <= set(GROUPS)


def test_when_a_group_is_dealt_out_then_only_its_channels_move(panel):
    layout = LAYOUTS[0]
    source = WindowSource(panel, layout)
    windows = source.windows(np.arange(9), panel.lengths[:9] - 1)
    groups = input_groups(layout, source.calendar_table.shape[1])
    deal = np.roll(np.arange(9), 1)
    moved = dealt(windows, groups, "trend", deal)
    for name, found in groups.items():
        before, after = getattr(windows, name), getattr(moved, name)
        for channel, group in enumerate(found):
            expected = before[deal, ..., channel] if group == "trend" else before[..., channel]
            np.testing.assert_array_equal(after[..., channel], expected)


def test_when_a_network_reads_one_group_then_permuting_any_other_changes_nothing_at_all(panel):
    found = reliance_of(Reads(LAYOUTS[0], 0), panel)
    assert found.styles == 9  # the one that never sold has no say
    assert found.change["level"] > 0.05
    assert {name: value for name, value in found.change.items() if name != "level"} == dict.fromkeys(
        set(found.change) - {"level"}, 0.0
    )


def test_when_a_single_style_sold_then_nothing_can_be_exchanged(panel):
    with pytest.raises(ModelError, match="exchanged"):
        reliance_of(Reads(LAYOUTS[0], 0), panel.take(np.array([1, 9])))


@pytest.mark.slow
def test_when_a_real_network_is_asked_twice_then_it_rests_on_the_same(panel):
    from models.tide import Tide

    model = Tide(encoder=(8,), decoder=8, time_steps=8, steps=4, batch_size=16).fit(panel, SPEC, CONTEXT)
    found = model.drivers(panel)
    assert found.change["level"] > 0
    assert found.change == model.drivers(panel).change
