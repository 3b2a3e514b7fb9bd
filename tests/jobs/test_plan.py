"""The plan: every series, model and origin once; budgets spent without looking ahead; the same on every run."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.errors import SettingsError, ShortHistoryError
from demand.panel import Panel
from jobs.plan import _affordable, _even_batches, fits_at, plan, plan_origins
from jobs.settings import FoldSettings
from models.catalog import BASELINES, recipe_class
from tests.jobs.stand_in import Level, LevelFromLastFit


class PooledXgboost(LevelFromLastFit):
    """A second pooled kind that is fitted anew at every origin."""

    kind = "xgboost"
    refit_often = True


RECIPES = {kind: recipe_class(kind)() for kind in ("mean", "seasonal_naive")} | {
    "arima": Level(planned_s=0.5),
    "lstm": LevelFromLastFit(),
    "xgboost": PooledXgboost(),
}
COSTS = {"local_cpu_seconds": 30.0, "batch_seconds": 4.0, "pooled_cpus": 1}


@pytest.fixture(scope="module")
def origins(fleet_panel):
    return plan_origins(fleet_panel, 7, FoldSettings(n=3, inner=2), live=True)


def test_when_planned_twice_then_the_plans_are_the_same(fleet_panel, origins):
    one, two = (plan(fleet_panel, RECIPES, origins, 7, **COSTS) for _ in range(2))
    assert one.tasks == two.tasks
    assert one.chosen.keys() == two.chosen.keys()
    assert all(np.array_equal(one.chosen[kind], two.chosen[kind]) for kind in one.chosen)


@pytest.mark.parametrize("batch_seconds", [0.5, 4.0, 1e6])
def test_when_planned_then_each_series_model_and_origin_is_in_exactly_one_task(fleet_panel, origins, batch_seconds):
    tasks = plan(fleet_panel, RECIPES, origins, 7, **{**COSTS, "batch_seconds": batch_seconds}).tasks
    assert len({task.name for task in tasks}) == len(tasks)
    count: dict[tuple[str, int, int], int] = {}
    for task in tasks:
        for kind in task.kinds:
            for series in range(*task.series):
                for cutoff in task.origins:
                    count[kind, series, cutoff] = count.get((kind, series, cutoff), 0) + 1
    cutoffs = [fold.cutoff for fold in origins.all]
    everything = {(kind, s, c) for kind in RECIPES for s in range(fleet_panel.n_series) for c in cutoffs}
    assert set(count) == everything
    assert set(count.values()) == {1}


def test_when_a_model_is_not_refitted_often_then_it_fits_first_first_scored_and_live_only(origins):
    cutoffs = [fold.cutoff for fold in origins.all]
    level, often = LevelFromLastFit(), PooledXgboost()
    assert [fits_at(origins, level, c) for c in cutoffs] == [True, False, True, False, False, True]
    assert all(fits_at(origins, often, c) for c in cutoffs)


def test_when_the_budget_is_short_then_the_largest_styles_known_at_the_first_origin_get_it(fleet_panel, origins):
    chosen = plan(fleet_panel, RECIPES, origins, 7, **{**COSTS, "local_cpu_seconds": 6.0}).chosen["arima"]
    fits = 3  # first, first scored, live
    assert chosen.sum() == 6.0 // (0.5 * fits)
    known = fleet_panel.until(origins.all[0].cutoff)
    volume = {name: known.series(i).sum() for i, name in enumerate(known.ids)}
    ranked = sorted(fleet_panel.ids, key=lambda name: -volume.get(name, 0.0))
    assert set(fleet_panel.ids[chosen]) == set(ranked[: int(chosen.sum())])


def test_when_the_future_changes_then_the_plan_does_not(fleet_panel, origins):
    late = fleet_panel.periods > origins.all[0].cutoff
    poisoned = replace(fleet_panel, y=np.where(late, fleet_panel.y * 1e6 + 1e6, fleet_panel.y))
    costs = {**COSTS, "local_cpu_seconds": 6.0}
    one, two = plan(fleet_panel, RECIPES, origins, 7, **costs), plan(poisoned, RECIPES, origins, 7, **costs)
    assert one.tasks == two.tasks
    assert np.array_equal(one.chosen["arima"], two.chosen["arima"])


def test_when_batches_are_cut_then_each_is_about_as_long_as_asked(fleet_panel, origins):
    tasks = [t for t in plan(fleet_panel, RECIPES, origins, 7, **COSTS).tasks if t.kind == "local"]
    assert len(tasks) > 3
    assert all(task.cost_s <= 4.0 + 1.5 for task in tasks)  # never more than one series over
    assert sum(task.cost_s for task in tasks) == pytest.approx(1.5 * 20)  # 30 s buy 20 series at 3 fits of 0.5 s


@given(st.lists(st.integers(0, 500), min_size=1, max_size=40), st.integers(10, 1000))
def test_when_any_costs_are_cut_then_the_batches_tile_the_series(costs, seconds):
    costs, seconds = [cost / 100 for cost in costs], seconds / 100
    batches = _even_batches(np.array(costs), seconds)
    assert batches[0][0] == 0
    assert batches[-1][1] == len(costs)
    assert all(a < b for a, b in batches)
    assert all(one[1] == two[0] for one, two in itertools.pairwise(batches))
    # One series may take a batch over its length; a batch is never as long as two.
    assert all(sum(costs[a:b]) <= seconds + max(costs) for a, b in batches)


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 9)), min_size=1, max_size=40), st.integers(0, 5000))
def test_when_a_budget_is_spent_then_it_is_never_overspent_and_no_larger_style_is_left_out(styles, budget):
    cost, volume = np.array(styles).T
    chosen = _affordable(cost, volume, budget)
    assert cost[chosen].sum() <= budget + 1e-9
    if chosen.any() and not chosen.all():
        assert volume[chosen].min() >= volume[~chosen].max()


def test_when_series_are_many_then_array_models_get_batches_of_bounded_size(monkeypatch):
    monkeypatch.setattr("jobs.plan.ARRAY_BATCH", 100)
    n = 250
    panel = Panel(np.array([f"{i:05d}" for i in range(n)]), np.arange(n + 1) * 30, np.ones(n * 30), 500, "D")
    origins = plan_origins(panel, 2, FoldSettings(n=1, inner=0), live=False)
    tasks = plan(panel, {"mean": RECIPES["mean"]}, origins, 7, **COSTS).tasks
    assert [task.series for task in tasks] == [(0, 100), (100, 200), (200, 250)]


def test_when_the_history_is_short_then_inner_origins_are_left_out_and_scored_ones_refused():
    panel = Panel(np.array(["a"]), np.array([0, 30]), np.ones(30), 500, "D")
    origins = plan_origins(panel, 5, FoldSettings(n=2, inner=2), live=True)
    assert len(origins.scored) == 2
    assert [fold.cutoff for fold in origins.inner] == [480, 485]
    with pytest.raises(ShortHistoryError):
        plan_origins(panel, 5, FoldSettings(n=6, inner=0), live=True)


def test_when_inner_and_scored_origins_are_planned_then_their_windows_do_not_overlap(fleet_panel):
    for gap in (0, 3):
        origins = plan_origins(fleet_panel, 7, FoldSettings(n=2, inner=3, gap=gap), live=True)
        ends = [fold.cutoff + fold.horizon for fold in origins.inner]
        assert max(ends) == origins.scored[0].cutoff - gap
        assert origins.live[0].cutoff == fleet_panel.end
        assert [fold.cutoff for fold in origins.all] == sorted(fold.cutoff for fold in origins.all)


def test_when_no_model_is_enabled_then_the_plan_is_refused(fleet_panel, origins):
    with pytest.raises(SettingsError, match="no model"):
        plan(fleet_panel, {}, origins, 7, **COSTS)


def test_when_all_baselines_are_planned_then_they_share_one_task(fleet_panel, origins):
    recipes = {kind: recipe_class(kind)() for kind in BASELINES}
    (task,) = plan(fleet_panel, recipes, origins, 7, **COSTS).tasks
    assert set(task.kinds) == set(BASELINES)
