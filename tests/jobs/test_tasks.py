"""One batch: what a worker writes, and how a model's failure becomes rows with reasons and nothing else."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from demand.errors import StorageError
from demand.panel import Panel
from evaluation.folds import Fold
from jobs.race import run_race
from jobs.run_folder import RunFolder
from models.base import Forecast, ForecastSpec
from models.catalog import BASELINES, FORECASTERS, load_fitted
from models.files import read_arrays
from models.forecast_files import read_forecasts, write_forecasts
from tests.jobs.conftest import race_of, same_forecasts
from tests.jobs.stand_in import ENTRY, Level, LevelFromLastFit


def test_when_forecasts_are_written_then_they_come_back_bit_for_bit(tmp_path, small_panel):
    rng = np.random.default_rng(3)
    spec = ForecastSpec(4, (0.025, 0.5, 0.9))
    rows = []
    for kind in ("mean", "arima"):
        for cutoff in (small_panel.end - 9, small_panel.end):
            history = Fold(cutoff, 4).history(small_panel)
            shape = (history.n_series, 4)
            made = Forecast.build(
                history, spec, kind, rng.random(shape) / 3, rng.random((*shape, 3)) * 1e9,
                reasons={0: "not enough: 1 < 2"}, notes={1: "no season, 織"},
            )  # fmt: skip
            rows.append((kind, replace(made, level=rng.integers(0, 4, history.n_series))))
    write_forecasts(tmp_path / "batch.parquet", rows)
    back = read_forecasts(tmp_path / "batch.parquet")
    assert [kind for kind, _ in back] == [kind for kind, _ in rows]
    for (_, one), (_, two) in zip(rows, back, strict=True):
        assert (one.origin, one.freq, one.levels) == (two.origin, two.freq, two.levels)
        for name in ("mean", "quantiles", "level"):
            assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
        for name in ("ids", "made_by", "reason", "note"):
            assert getattr(one, name).tolist() == getattr(two, name).tolist()


def test_when_there_is_nothing_to_write_then_nothing_comes_back(tmp_path):
    write_forecasts(tmp_path / "empty.parquet", [])
    assert read_forecasts(tmp_path / "empty.parquet") == []


def test_when_a_series_raises_then_it_alone_has_no_row_and_the_others_do_not_change(tmp_path, fleet_panel, smoke):
    calm = race_of(fleet_panel, smoke, Level(), batch_seconds=1e6).run(tmp_path / "calm")
    broken = race_of(fleet_panel, smoke, Level(raises_on=("S007",)), batch_seconds=1e6).run(tmp_path / "broken")
    others = fleet_panel.ids[fleet_panel.ids != "S007"]
    assert same_forecasts(calm, broken, others)
    for forecast in broken.raw["arima"].values():
        row = forecast.ids.tolist().index("S007")
        assert not forecast.made[row]
        assert forecast.reason[row] == "ZeroDivisionError: no level for S007"
        assert np.isnan(forecast.mean[row]).all()
    assert same_forecasts(calm, broken) is False  # the comparison itself can fail


def test_when_a_series_holds_garbage_then_the_others_do_not_change_by_a_bit(tmp_path, fleet_panel, smoke):
    values = fleet_panel.y.copy()
    mine = fleet_panel.series_of == 9
    values[mine] = np.where(np.arange(mine.sum()) % 3 == 0, 1e300, np.where(np.arange(mine.sum()) % 3 == 1, -1e12, 0.0))
    kinds = tuple(BASELINES)
    clean = race_of(fleet_panel, smoke, kinds=kinds).run(tmp_path / "clean")
    spoilt = race_of(replace(fleet_panel, y=values), smoke, kinds=kinds).run(tmp_path / "spoilt")
    others = fleet_panel.ids[fleet_panel.ids != fleet_panel.ids[9]]
    assert same_forecasts(clean, spoilt, others)
    assert not same_forecasts(clean, spoilt)


def test_when_nothing_can_be_fitted_then_the_model_is_rows_with_the_reason(tmp_path, fleet_panel, smoke):
    race = race_of(fleet_panel, smoke, Level(needs=10_000)).run(tmp_path / "run")
    for forecast in race.raw["arima"].values():
        assert not forecast.made.any()
        assert all(reason.startswith("FitError: nothing long enough") for reason in forecast.reason)
    assert all(forecast.made.any() for forecast in race.raw["mean"].values())


def test_when_the_library_of_a_model_is_missing_then_the_model_is_rows_with_the_reason(tmp_path, fleet_panel, smoke):
    class NeedsMore(Level):
        def fit(self, history: Panel, spec: ForecastSpec, context):
            import_module("a_library_nobody_has")

    race = race_of(fleet_panel, smoke, NeedsMore()).run(tmp_path / "run")
    for forecast in race.raw["arima"].values():
        assert set(forecast.reason) == {"ModuleNotFoundError: No module named 'a_library_nobody_has'"}


def test_when_a_series_is_born_between_origins_then_it_is_fitted_where_it_appears(tmp_path, fleet_panel, smoke):
    races = race_of(fleet_panel, smoke)
    fitted_at = races.plan.origins.scored[0].cutoff
    rolled = races.plan.origins.scored[1].cutoff
    started = fleet_panel.start
    born_between = fleet_panel.ids[(started > fitted_at) & (started <= rolled)]
    assert born_between.tolist() == ["S021"]  # 9 days old at the end, so 2 at the rolled origin
    forecast = races.run(tmp_path / "run").raw["arima"][rolled]
    assert forecast.made.all()
    assert "S021" in forecast.ids


def test_when_a_newborn_series_cannot_be_fitted_then_the_older_ones_keep_their_rows(tmp_path, fleet_panel, smoke):
    races = race_of(fleet_panel, smoke, Level(needs=20), batch_seconds=1e6)
    rolled = races.plan.origins.scored[1].cutoff
    forecast = races.run(tmp_path / "run").raw["arima"][rolled]
    at = dict(zip(forecast.ids.tolist(), forecast.made.tolist(), strict=True))
    assert at.pop("S021") is False
    assert all(at.values())


def test_when_a_fit_cannot_roll_then_its_series_are_fitted_anew_at_that_origin(tmp_path, fleet_panel, smoke):
    race = race_of(fleet_panel, smoke, Level(rolls=False)).run(tmp_path / "run")
    rolling = race_of(fleet_panel, smoke, Level()).run(tmp_path / "rolling")
    assert same_forecasts(race, rolling)  # the stand-in learns nothing that ages


def test_when_the_time_of_the_run_is_over_then_only_baselines_run_and_others_say_so(tmp_path, fleet_panel, smoke):
    journal = tmp_path / "journal"
    journal.mkdir()
    races = race_of(fleet_panel, smoke, Level(journal=str(journal)))
    race = races.run(tmp_path / "late", max_seconds=1e-9)
    for forecast in race.raw["arima"].values():
        assert not forecast.made.any()
        assert all(reason.startswith("time_budget") for reason in forecast.reason)
    for kind in ("mean", "seasonal_naive"):  # without them there is nothing to compare with
        assert all(forecast.made.any() for forecast in race.raw[kind].values())
    assert not list(journal.iterdir())
    races.run(tmp_path / "in-time", max_seconds=3600.0)
    assert list(journal.iterdir())


def test_when_the_time_ends_between_origins_then_what_was_fitted_still_rolls_forward(
    tmp_path, fleet_panel, smoke, monkeypatch
):
    races = race_of(fleet_panel.take(np.arange(3)), smoke, batch_seconds=1e6)
    answers = iter([False, False, True])  # asked before each fit: first, first scored, live
    monkeypatch.setattr("jobs.tasks._late", lambda work: next(answers))
    tasks = tuple(task for task in races.plan.tasks if task.kind == "local")
    only = replace(races, recipes={"arima": races.recipes["arima"]}, plan=replace(races.plan, tasks=tasks))
    race = only.run(tmp_path / "run")
    first, scored, rolled, live = (race.raw["arima"][fold.cutoff] for fold in races.plan.origins.all)
    assert first.made.all()
    assert scored.made.all()
    assert rolled.made.all()
    assert set(live.reason) == {"time_budget: max_seconds was reached before this fit"}


def test_when_a_style_is_beyond_the_budget_then_its_row_says_so(tmp_path, fleet_panel, smoke):
    races = race_of(fleet_panel, smoke, local_cpu_seconds=1.0)
    chosen = races.plan.chosen["arima"]
    assert 0 < chosen.sum() < len(chosen)
    forecast = races.run(tmp_path / "run").raw["arima"][fleet_panel.end]
    assert np.array_equal(forecast.made, chosen)
    assert set(forecast.reason[~chosen]) == {"budget: larger styles come first"}


def test_when_the_live_fit_is_kept_then_it_says_which_series_it_knows_and_forecasts_the_same(
    tmp_path, fleet_panel, smoke, monkeypatch
):
    monkeypatch.setitem(FORECASTERS, "arima", ENTRY)
    races = race_of(fleet_panel, smoke, Level(raises_on=("S007",)), batch_seconds=1e6)
    race = races.run(tmp_path / "run")
    live = race.raw["arima"][fleet_panel.end]
    kept: list[str] = []
    for folder in sorted((tmp_path / "run" / "models" / "arima").iterdir()):
        ids = read_arrays(folder / "series.npz")["ids"]
        rows = fleet_panel.index_of(ids)
        history = fleet_panel.take(rows)
        again = load_fitted(folder / "model").forecast(history)
        assert again.mean.tobytes() == live.take(rows).mean.tobytes()
        kept += ids.tolist()
    assert sorted(kept) == sorted(set(fleet_panel.ids.tolist()) - {"S007"})  # each once, the broken one not


def test_when_a_pooled_fit_rolls_forward_then_series_it_cannot_serve_are_rows_with_reasons(
    tmp_path, fleet_panel, smoke
):
    race = race_of(fleet_panel, smoke, LevelFromLastFit()).run(tmp_path / "run")
    origins = race_of(fleet_panel, smoke).plan.origins
    forecast = race.raw["arima"][origins.scored[1].cutoff]
    at = dict(zip(forecast.ids.tolist(), forecast.reason.tolist(), strict=True))
    assert at.pop("S021") == "not seen in the fit"
    assert set(at.values()) == {""}


def test_when_the_folder_cannot_be_written_then_the_task_says_so_and_leaves_nothing(tmp_path, fleet_panel, smoke):
    (tmp_path / "file").write_text("not a folder")
    races = race_of(fleet_panel, smoke)
    with pytest.raises(StorageError):
        run_race(
            races.panel, races.recipes, races.plan, races.question, races.settings, RunFolder(tmp_path / "file" / "run")
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_when_a_worker_runs_a_task_then_it_may_use_as_many_numeric_threads_as_planned(tmp_path, fleet_panel, smoke):
    from threadpoolctl import threadpool_info

    seen = []

    class Looks(Level):
        def fit(self, history, spec, context):
            seen.append(([pool["num_threads"] for pool in threadpool_info()], context.threads))
            return super().fit(history, spec, context)

    race_of(fleet_panel, smoke, Looks(), batch_seconds=1e6).run(tmp_path / "run")
    assert seen
    assert all(threads == 1 and set(pools) == {1} for pools, threads in seen)


def test_when_a_task_ends_then_it_reports_its_seconds_and_memory(tmp_path, race24):
    race = race24.run(tmp_path / "run")
    assert {report["task"] for report in race.timings} == {task.name for task in race24.plan.tasks}
    assert all(report["peak_mb"] > 10 for report in race.timings)
