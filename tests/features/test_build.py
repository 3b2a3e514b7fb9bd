import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from demand.errors import SettingsError
from demand.panel import Panel
from features.build import FeatureRecipe, design
from features.settings import FeatureSettings
from features.view import views

CONTRACT = ("lag_1", "lag_7", "rolling_mean_7", "rolling_std_7", "month", "quarter", "dayofweek", "day", "weekofyear")
PLAIN = FeatureSettings(auto_feature_engineering=False)


@pytest.fixture
def dressed(small_panel: Panel) -> Panel:
    """The small panel with a price known up to the origin, a promotion known ahead, and static facts."""
    rng = np.random.default_rng(1)
    ahead, n, total = 10, small_panel.n_series, len(small_panel.y)
    return replace(
        small_panel,
        past={"price": rng.random(total)},
        future={"promotion": rng.random(total + n * ahead)},
        ahead=ahead,
        static={"colour": np.array(["red", None, "blue"] * (n // 3), dtype=object), "gauge": np.arange(float(n))},
    )


def recipe(panel: Panel, settings: FeatureSettings | None = None, names: tuple[str, ...] = ()) -> FeatureRecipe:
    return FeatureRecipe.of(panel, settings or FeatureSettings(), names, season=7)


def column(panel: Panel, made: FeatureRecipe, name: str, origin: int, horizon: int = 3) -> np.ndarray:
    """[N, H] of one column at one origin; all series must have started."""
    matrix = design(panel, made, [origin], horizon)
    return matrix.x[:, matrix.names.index(name)].reshape(-1, horizon)


def test_when_settings_are_the_defaults_then_the_contracts_columns_are_there(small_panel: Panel):
    names = recipe(small_panel).names
    expected = [f"demand_lag_{k}" for k in (1, 7, 14, 30)]
    expected += [f"demand_rolling_{s}_{w}" for s in ("mean", "std") for w in (7, 14, 30)]
    expected += ["month", "quarter", "dayofweek", "day", "weekofyear", "is_weekend", "is_holiday", "step"]
    assert set(expected) <= set(names)
    assert len(set(names)) == len(names)


def test_when_features_are_not_automatic_then_only_the_configured_names_remain(small_panel: Panel):
    made = recipe(small_panel, PLAIN, CONTRACT)
    expected = {"step", *CONTRACT} - {"lag_1", "lag_7", "rolling_mean_7", "rolling_std_7"}
    expected |= {"demand_lag_1", "demand_lag_7", "demand_rolling_mean_7", "demand_rolling_std_7"}
    assert set(made.names) == expected


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({"create_lag_features": False}, "demand_lag_7"),
        ({"create_rolling_features": False}, "demand_rolling_mean_7"),
        ({"create_time_features": False}, "month"),
        ({"create_time_features": False}, "is_holiday"),
        ({"lag_periods": (1, 2)}, "demand_lag_30"),
        ({"rolling_windows": (7,)}, "demand_rolling_mean_14"),
        ({"country": ""}, "is_holiday"),
    ],
)
def test_when_a_switch_is_turned_then_its_columns_vanish(small_panel: Panel, change: dict[str, Any], gone: str):
    assert gone in recipe(small_panel).names
    assert gone not in recipe(small_panel, FeatureSettings(**change)).names


def test_when_products_are_asked_for_then_they_appear_under_their_names(small_panel: Panel):
    made = recipe(small_panel, FeatureSettings(polynomial_features=True, interaction_features=True))
    origin = small_panel.end
    mean = column(small_panel, made, "demand_rolling_mean_7", origin)
    np.testing.assert_array_equal(column(small_panel, made, "demand_rolling_mean_7_poly_2", origin), mean**2)
    month = column(small_panel, made, "month", origin)
    np.testing.assert_array_equal(column(small_panel, made, "demand_rolling_mean_7_x_month", origin), mean * month)
    assert not [name for name in recipe(small_panel).names if "_poly_" in name or "_x_" in name]


@pytest.mark.parametrize(("wrong", "near"), [("lagg_7", "lag_7"), ("is_hollyday", "is_holiday"), ("lag_0", "lag_1")])
def test_when_a_feature_is_unknown_then_the_nearest_is_named(small_panel: Panel, wrong: str, near: str):
    with pytest.raises(SettingsError, match=near):
        recipe(small_panel, names=("month", wrong))


def test_when_the_panel_has_no_price_then_it_is_left_out_by_name(small_panel: Panel, dressed: Panel):
    assert "price" not in recipe(small_panel, names=("price",)).names
    assert recipe(small_panel, names=("price",)).left_out == {"price": "the panel has no such column"}
    assert "price" in recipe(dressed, PLAIN, ("price",)).names
    assert recipe(dressed, names=("price",)).left_out == {}


def test_when_holidays_are_asked_for_without_a_country_then_they_are_left_out(small_panel: Panel):
    made = recipe(small_panel, FeatureSettings(country=""), ("is_holiday",))
    assert "is_holiday" in made.left_out
    assert "is_holiday" not in made.names


def test_when_a_column_is_known_to_the_origin_then_its_last_value_serves_every_step(dressed: Panel):
    made = recipe(dressed)
    found = column(dressed, made, "price", dressed.end)
    expected = dressed.window(dressed.end, 1, "price").astype(np.float32)
    np.testing.assert_array_equal(found, np.repeat(expected, 3, axis=1))


def test_when_a_column_is_planned_then_each_step_has_its_own_value_and_then_the_last(dressed: Panel):
    made = recipe(dressed)
    found = column(dressed, made, "promotion", dressed.end, horizon=12)
    plan = dressed.window(dressed.end + 1, 12, "promotion").astype(np.float32)
    np.testing.assert_array_equal(found[:, :10], plan[:, :10])
    last = dressed.window(dressed.end, 1, "promotion").astype(np.float32)[:, 0]
    np.testing.assert_array_equal(found[:, 10], last)


def test_when_static_facts_are_text_then_they_become_stable_codes(dressed: Panel):
    made = recipe(dressed)
    np.testing.assert_array_equal(column(dressed, made, "colour", dressed.end)[:3, 0], [1, -1, 0])
    np.testing.assert_array_equal(column(dressed, made, "gauge", dressed.end)[:, 0], np.arange(dressed.n_series))
    repainted = replace(dressed, static={**dressed.static, "colour": np.full(dressed.n_series, "green", dtype=object)})
    assert (column(repainted, made, "colour", dressed.end) == -1).all()


def test_when_lags_are_counted_then_lag_one_is_the_last_known_value_of_every_step(small_panel: Panel):
    made = recipe(small_panel, PLAIN, ("lag_1", "lag_3"))
    (view,) = views(small_panel, [small_panel.end], 3, made.plan.spans, made.plan.least_scale)
    at = list(small_panel.ids).index("smooth")
    scale = view.scale[at]
    tail = small_panel.series(at)[-3:]
    np.testing.assert_allclose(column(small_panel, made, "demand_lag_1", small_panel.end)[at], tail[2] / scale)
    np.testing.assert_allclose(column(small_panel, made, "demand_lag_3", small_panel.end)[at], tail[0] / scale)


def test_when_a_recipe_is_stored_then_it_comes_back_equal(dressed: Panel):
    made = recipe(dressed, FeatureSettings(polynomial_features=True), ("price", "inventory_level"))
    again = FeatureRecipe.from_json(json.loads(json.dumps(made.as_json())))
    assert again == made
    assert again.names == made.names


def test_when_training_and_serving_meet_at_an_origin_then_the_rows_are_the_same(dressed: Panel):
    made = recipe(dressed)
    origins = [dressed.end - 40, dressed.end - 20]
    training = design(dressed, made, origins, 5)
    serving = design(dressed.until(origins[1]), made, [origins[1]], 5)
    chosen = training.origin == origins[1]
    assert chosen.sum() == len(serving.x) > 0
    np.testing.assert_array_equal(training.x[chosen], serving.x)


def test_when_the_panel_is_cut_anywhere_then_the_rows_are_the_same(dressed: Panel, monkeypatch: pytest.MonkeyPatch):
    made = recipe(dressed)
    origins = [dressed.end - 30, dressed.end]
    whole = design(dressed, made, origins, 4)
    monkeypatch.setattr("features.view.CELLS", 2500)  # a few series at a time
    parts = design(dressed, made, origins, 4)
    order, cut = (np.lexsort((m.step, m.series, m.origin)) for m in (whole, parts))
    np.testing.assert_array_equal(whole.x[order], parts.x[cut])
