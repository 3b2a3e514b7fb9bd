"""Changing the target of a row moves no feature of that row: every column of the catalog, every step, every origin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from demand.panel import Panel
from features.build import DesignMatrix, FeatureRecipe, design
from features.catalog import FAMILIES, STATISTICS
from features.settings import FeatureSettings

HORIZON = 8
EVERYTHING = FeatureSettings(polynomial_features=True, interaction_features=True)


def dressed(freq: str, periods: int) -> Panel:
    """Five series, one of them young, with a price, a plan and a static fact."""
    rng = np.random.default_rng(6)
    lengths = np.array([periods, periods, periods - 20, periods, 25])
    total = int(lengths.sum())
    return Panel(
        ids=np.array([f"s{k}" for k in range(5)]),
        indptr=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        y=np.round(rng.gamma(0.8, 10.0, total)) * (rng.random(total) < 0.7),
        end={"D": 20_000, "W-SUN": 2_850, "MS": 660}[freq],
        freq=freq,
        past={"price": rng.random(total)},
        future={"promotion": rng.random(total + 5 * HORIZON)},
        ahead=HORIZON,
        static={"group": np.array(["a", "b", "a", "b", "c"])},
    )


def moved(before: DesignMatrix, after: DesignMatrix, rows: np.ndarray) -> set[str]:
    """The columns that differ in these rows."""
    x, y = before.x[rows], after.x[rows]
    return {name for name, column in zip(before.names, ((x != y) & ~(np.isnan(x) & np.isnan(y))).T, strict=True)
            if column.any()}  # fmt: skip


@pytest.mark.parametrize(("freq", "periods", "season"), [("D", 150, 7), ("W-SUN", 150, 52), ("MS", 60, 12)])
def test_when_a_target_changes_then_no_feature_of_its_row_moves(freq, periods, season):
    panel = dressed(freq, periods)
    named = tuple(f"rolling_{statistic}_5" for statistic in STATISTICS)
    recipe = FeatureRecipe.of(panel, EVERYTHING, named, season=season)
    assert {family.name for family in recipe.families} == {family.name for family in FAMILIES}
    origins = np.arange(panel.end - HORIZON - 20, panel.end - 1)
    before = design(panel, recipe, origins, HORIZON)
    period = before.origin + before.step
    for when in (panel.end - HORIZON, panel.end - 3, panel.end - 1):
        assert set(before.step[period == when]) == set(range(1, HORIZON + 1))
        changed = replace(panel, y=np.where(panel.periods == when, panel.y * 1e3 + 1e3, panel.y))
        after = design(changed, recipe, origins, HORIZON)
        assert moved(before, after, period == when) == set()
        assert moved(before, after, before.origin < when) == set()  # nor does any row of an origin before it
        late = before.origin >= when
        if late.any():  # the control: those that know it do move
            assert {"demand_lag_1", "demand_rolling_mean_5", "log_scale"} & moved(before, after, late)
