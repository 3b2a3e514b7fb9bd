"""Nothing at or before an origin moves when the future changes: every declared feature, one by one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demand.panel import Panel
from features.build import FeatureRecipe, design
from features.catalog import FAMILIES, Family
from features.settings import FeatureSettings

HORIZON = 9
EVERYTHING = FeatureSettings(polynomial_features=True, interaction_features=True)
WITH_FLEET_SCALE = 0.5


def fleet(days: int = 120, n: int = 6, seed: int = 0) -> Panel:
    """Daily series of different lengths with a price, a plan that reaches beyond the end, and a static group."""
    rng = np.random.default_rng(seed)
    lengths = np.array([days, days, days - 30, days - 70, days, 60])[:n]
    total, ahead = int(lengths.sum()), HORIZON
    y = np.round(rng.gamma(0.8, 10.0, total)) * (rng.random(total) < 0.6)
    return Panel(
        ids=np.array([f"s{k}" for k in range(n)]),
        indptr=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        y=y,
        end=20_000,
        freq="D",
        past={"price": rng.random(total)},
        future={"promotion": rng.random(total + n * ahead)},
        ahead=ahead,
        static={"group": np.array([f"g{k % 2}" for k in range(n)])},
    )


def recipe_of(panel: Panel) -> FeatureRecipe:
    made = FeatureRecipe.of(panel, EVERYTHING, ("rolling_median_5", "rolling_max_5"), season=7)
    return replace(made, plan=replace(made.plan, least_scale=WITH_FLEET_SCALE))


def family_columns(made: FeatureRecipe, family: Family, panel: Panel, origin: int) -> np.ndarray:
    matrix = design(panel, made, [origin], HORIZON)
    names = family.names(made.plan)
    assert names, f"{family.name} has no column here: the test would see nothing"
    return matrix.x[:, [matrix.names.index(name) for name in names]]


def poisoned(panel: Panel, origin: int, factor: float = 1e6) -> Panel:
    """Everything after the origin that is not known ahead, times a million."""
    later = panel.periods > origin
    past = {name: np.where(later, values * factor, values) for name, values in panel.past.items()}
    return replace(panel, y=np.where(later, (panel.y + 1) * factor, panel.y), past=past)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@settings(max_examples=8)
@given(back=st.integers(1, 80), seed=st.integers(0, 5))
def test_when_the_future_is_poisoned_then_no_feature_at_the_origin_moves(family: Family, back: int, seed: int):
    panel = fleet(seed=seed)
    made, origin = recipe_of(panel), panel.end - back
    clean = family_columns(made, family, panel, origin)
    np.testing.assert_array_equal(family_columns(made, family, poisoned(panel, origin), origin), clean)
    np.testing.assert_array_equal(family_columns(made, family, panel.until(origin), origin), clean)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_when_one_series_changes_then_no_other_series_moves(family: Family):
    panel = fleet()
    made, origin = recipe_of(panel), panel.end - 10
    changed = replace(panel, y=np.where(panel.series_of == 1, panel.y * 1e6 + 3, panel.y))
    before, after = (family_columns(made, family, p, origin) for p in (panel, changed))
    others = np.repeat(np.arange(panel.n_series), HORIZON) != 1
    moved = (before[others] != after[others]) & ~(np.isnan(before[others]) & np.isnan(after[others]))
    assert family.fleet_level or not moved.any()


def test_when_the_current_target_changes_then_its_own_row_does_not_move():
    panel = fleet()
    made, origin = recipe_of(panel), panel.end - HORIZON
    whole = design(panel, made, [origin], HORIZON)
    for step in (1, HORIZON):
        y = np.where(panel.periods == origin + step, panel.y + 1e6, panel.y)
        changed = design(replace(panel, y=y), made, [origin], HORIZON)
        np.testing.assert_array_equal(changed.x, whole.x)


def test_when_the_newest_value_changes_then_the_features_do_move():
    """The control: the tests above would pass for features that look at nothing."""
    panel = fleet()
    made = recipe_of(panel)
    changed = replace(panel, y=np.where(panel.periods == panel.end, panel.y + 50, panel.y))
    before, after = (design(p, made, [panel.end], HORIZON).x for p in (panel, changed))
    names = np.array(made.names)
    moved = {str(name) for name in names[((before != after) & ~(np.isnan(before) & np.isnan(after))).any(axis=0)]}
    assert {"demand_lag_1", "demand_rolling_mean_7", "demand_rolling_std_7", "same_season_1", "log_scale"} <= moved
    assert not {"month", "is_holiday", "price", "promotion", "group", "step", "age"} & moved
