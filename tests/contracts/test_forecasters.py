"""One contract, one suite, every entry of the catalog: a new model is held to it without a line here.

The recipes are as small as their class allows, so that the suite stays fast; what a model is good at is tested in its
own file. Models that need TensorFlow are marked `deep`, those that call an optimiser a series `slow`.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from demand.errors import OriginError, SettingsError
from demand.panel import Panel
from models.base import FitContext, FittedForecaster, Forecast, Forecaster, ForecastSpec
from models.catalog import BASELINES, FORECASTERS, load_fitted, recipe_class
from models.config import ModelConfig

CONF = Path(__file__).parents[2] / "conf" / "model"
SPEC = ForecastSpec(7, (0.1, 0.5, 0.9))
CONTEXT = FitContext(season=7, seed=5, min_rows=20)

SMALL: dict[str, dict[str, Any]] = {
    "arima": {"p": 1, "q": 0, "seasonal_order": (0, 1, 1, None), "maxiter": 15},
    "prophet": {"uncertainty_samples": 50, "n_changepoints": 5},
    "xgboost": {"n_estimators": 15, "max_depth": 3, "n_jobs": 1, "early_stopping_rounds": 0},
    "lstm": {
        "units": (4,), "return_sequences": (False,), "time_steps": 8, "epochs": 1, "steps_per_epoch": 2,
        "batch_size": 8, "recurrent_dropout": 0.0,
    },
    "tide": {"encoder": (8,), "decoder": 8, "time_steps": 8, "steps": 3, "batch_size": 16},
}  # fmt: skip
MARKS = {"lstm": [pytest.mark.deep], "tide": [pytest.mark.deep], "prophet": [pytest.mark.slow]}
# a value of each recipe that must not get through its constructor
IMPOSSIBLE = {
    "seasonal_naive": ({"season": 0}, {"season": "weekly"}),
    "moving_average": ({"window": 0}, {"window": 2.5}),
    "exponential_smoothing": ({"combined": 0}, {"sharpness": -1.0}, {"max_history": 0}, {"trend": "maybe"}),
    "tsb": ({"combined": 0}, {"combined": 37}, {"sharpness": float("nan")}),
    "arima": ({"p": -1}, {"d": 3}, {"trend": "c"}, {"maxiter": 0}, {"method": "guess"}, {"seasonal_order": (1, 1)}),
    "prophet": (
        {"growth": "logistic"}, {"daily_seasonality": True}, {"interval_width": 1.0}, {"uncertainty_samples": -1},
        {"include_history": False}, {"changepoint_prior_scale": 0.0},
    ),
    "lstm": ({"units": ()}, {"epochs": 0}, {"dropout": 1.5}, {"loss": "applause"}),
    "tide": ({"encoder": ()}, {"decoder": 0}, {"dropout": 1.0}, {"steps": 0}, {"batch_size": 0}),
    "xgboost": ({"max_depth": 0}, {"subsample": 1.5}, {"booster": "rocket"}, {"scale_pos_weight": 2.0}),
}  # fmt: skip


def each(kinds=tuple(FORECASTERS)):
    return pytest.mark.parametrize("kind", [pytest.param(kind, marks=MARKS.get(kind, [])) for kind in kinds])


def small(kind: str) -> Forecaster:
    return recipe_class(kind)(**SMALL.get(kind, {}))


def pools(kind: str) -> bool:
    return recipe_class(kind).pools_series


def fleet(seed: int = 3) -> Panel:
    """10 daily series of up to 80 days: a plain one, one a trap each, and the awkward ones."""
    rng = np.random.default_rng(seed)
    day = np.arange(80)
    week = 1 + 0.4 * np.sin(2 * np.pi * day / 7)
    rows = {
        "all_zero": np.zeros(80),
        "constant": np.full(80, 5.0),
        "few_days": rng.gamma(4, 5.0, 3),
        "intermittent": rng.gamma(16, 1.0, 80) * (rng.random(80) < 0.3),
        "late": 30 * week[30:] * rng.gamma(16, 1 / 16, 50),
        "length_1": np.array([12.0]),
        "returns": np.where(rng.random(80) < 0.1, -40.0, 20 * rng.gamma(4, 0.25, 80)),
        "smooth": 100 * week * rng.gamma(25, 1 / 25, 80),
        "spike": np.where(day == 60, 3000.0, 10 + rng.random(80)),
        "trend": (20 + 0.5 * day) * week * rng.gamma(25, 1 / 25, 80),
    }
    indptr = np.concatenate([[0], np.cumsum([len(y) for y in rows.values()])]).astype(np.int64)
    panel = Panel(np.array(list(rows)), indptr, np.concatenate(list(rows.values())), 20_300, "D")
    for array in (panel.ids, panel.indptr, panel.y):
        array.flags.writeable = False  # as from an object store: nobody may write into a history
    return panel


@lru_cache
def fitted_on_fleet(kind: str) -> tuple[Panel, FittedForecaster, Forecast]:
    panel = fleet()
    fitted = small(kind).fit(panel, SPEC, CONTEXT)
    return panel, fitted, fitted.forecast(panel)


def same(a: Forecast, b: Forecast) -> bool:
    """Equal to the bit, NaN included."""
    arrays = all(
        np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name in ("mean", "quantiles"))
        for name in ("ids", "mean", "quantiles", "made_by", "level", "reason", "note")
    )
    return arrays and (a.origin, a.freq, a.levels) == (b.origin, b.freq, b.levels)


def stored(fitted: FittedForecaster, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    fitted.save(folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# ---- the catalog ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORECASTERS)
def test_when_the_catalog_names_a_model_then_it_can_be_imported_and_bears_that_name(kind):
    assert recipe_class(kind).kind == kind
    assert issubclass(recipe_class(kind), Forecaster)


@pytest.mark.parametrize("kind", FORECASTERS)
def test_when_the_shipped_configuration_is_read_then_it_has_the_13_keys_and_gives_the_default_recipe(kind):
    values = yaml.safe_load((CONF / f"{kind}.yaml").read_text(encoding="utf-8"))
    assert sorted(values) == sorted(field.name for field in fields(ModelConfig))
    assert values["algorithm"] == kind
    assert recipe_class(kind).from_config(ModelConfig(**values)) == recipe_class(kind)()


@pytest.mark.parametrize("kind", FORECASTERS)
def test_when_a_parameter_is_unknown_then_it_is_refused_by_name(kind):
    config = ModelConfig(kind, "timeseries", kind, hyperparameters={"horoscope": 1})
    with pytest.raises(SettingsError, match="horoscope"):
        recipe_class(kind).from_config(config)


def test_when_a_recipe_has_parameters_then_impossible_values_of_it_are_listed_here():
    with_parameters = {kind for kind in FORECASTERS if fields(recipe_class(kind))}
    assert with_parameters == set(IMPOSSIBLE)


@pytest.mark.parametrize(("kind", "values"), [(kind, values) for kind in IMPOSSIBLE for values in IMPOSSIBLE[kind]])
def test_when_a_value_is_impossible_then_the_recipe_cannot_be_configured(kind, values):
    cls = recipe_class(kind)
    groups = {"hyperparameters": {}, "training_params": {}}
    for name, value in values.items():
        groups["training_params" if name in cls.training_params else "hyperparameters"][name] = value
    with pytest.raises(SettingsError):
        cls.from_config(ModelConfig(kind, "timeseries", kind, **groups))


# ---- the answer -----------------------------------------------------------------------------------------------------


@each()
def test_when_a_forecast_is_made_then_it_has_a_row_a_series_in_the_historys_order(kind):
    panel, _, forecast = fitted_on_fleet(kind)
    assert np.array_equal(forecast.ids, panel.ids)
    assert forecast.mean.shape == (panel.n_series, SPEC.horizon)
    assert forecast.quantiles.shape == (panel.n_series, SPEC.horizon, len(SPEC.levels))
    assert (forecast.origin, forecast.freq, forecast.levels) == (panel.end, panel.freq, SPEC.levels)


@each()
def test_when_a_row_is_made_then_it_is_finite_ordered_never_negative_and_signed(kind):
    _, _, forecast = fitted_on_fleet(kind)
    made = forecast.made
    assert made[[7, 9]].all()  # "smooth" and "trend": what every model is for
    assert np.isfinite(forecast.mean[made]).all()
    assert (forecast.mean[made] >= 0).all()
    assert np.isfinite(forecast.quantiles[made]).all()
    assert (forecast.quantiles[made] >= 0).all()
    assert (np.diff(forecast.quantiles[made], axis=2) >= 0).all()
    assert set(forecast.made_by[made]) == {kind}
    assert (forecast.reason[made] == "").all()
    assert (forecast.level == 0).all()


@each()
def test_when_a_row_is_not_made_then_it_holds_no_number_and_a_reason(kind):
    _, _, forecast = fitted_on_fleet(kind)
    missing = ~forecast.made
    assert np.isnan(forecast.mean[missing]).all()
    assert np.isnan(forecast.quantiles[missing]).all()
    assert (forecast.reason[missing] != "").all()


@each(tuple(BASELINES))
def test_when_it_is_a_baseline_then_every_series_gets_a_row(kind):
    assert fitted_on_fleet(kind)[2].made.all()


@each()
def test_when_a_series_never_sold_then_no_demand_is_forecast_for_it(kind):
    _, _, forecast = fitted_on_fleet(kind)
    if forecast.made[0]:
        assert np.allclose(forecast.quantile(0.5)[0], 0.0)
        if not pools(kind):
            assert np.allclose(forecast.mean[0], 0.0)
            assert np.allclose(forecast.quantiles[0], 0.0)
    else:
        assert forecast.reason[0] != ""


@each(tuple(kind for kind in FORECASTERS if not pools(kind) and kind != "zero"))
def test_when_demand_is_constant_then_that_value_is_forecast_or_the_row_says_why_not(kind):
    _, _, forecast = fitted_on_fleet(kind)
    if forecast.made[1]:
        assert np.allclose(forecast.mean[1], 5.0, rtol=1e-3)
        assert np.allclose(forecast.quantile(0.5)[1], 5.0, rtol=1e-3)
    else:
        assert forecast.reason[1] == "demand is constant"


@each()
def test_when_other_quantiles_are_asked_then_those_are_answered(kind):
    panel = fleet()
    spec = ForecastSpec(3, (0.025, 0.25, 0.5, 0.975))
    forecast = small(kind).fit(panel, spec, CONTEXT).forecast(panel)
    assert forecast.quantiles.shape == (panel.n_series, 3, 4)
    assert forecast.made[7]
    assert (forecast.quantile(0.975)[7] > forecast.quantile(0.025)[7]).all()


# ---- the past only --------------------------------------------------------------------------------------------------


@each()
def test_when_the_future_is_poisoned_then_neither_the_fit_nor_the_forecast_moves(kind, tmp_path):
    panel = fleet()
    origin = panel.end - SPEC.horizon
    y = np.where(panel.periods > origin, panel.y * 1e6 + 1e6, panel.y)
    poisoned = replace(panel, y=y)
    answers, files = [], []
    for name, whole in (("as_it_was", panel), ("poisoned", poisoned)):
        history = whole.until(origin)
        fitted = small(kind).fit(history, SPEC, CONTEXT)
        answers.append(fitted.forecast(history))
        files.append(stored(fitted, tmp_path / name))
    assert same(*answers)
    assert files[0] == files[1]


@each(tuple(kind for kind in FORECASTERS if kind != "zero"))
def test_when_the_newest_period_changes_then_the_forecast_knows_it(kind):
    """The row at the origin is known: a model that starts one period too early is blind to it."""
    panel = fleet()
    last = panel.indptr[1:] - 1
    changed = panel.y.copy()
    changed[last] += 0.5 * np.abs(changed[last]) + 1.0
    forecasts = [small(kind).fit(p, SPEC, CONTEXT).forecast(p) for p in (panel, replace(panel, y=changed))]
    assert not np.array_equal(forecasts[0].mean[7], forecasts[1].mean[7])


@each()
def test_when_the_history_has_moved_on_then_the_fit_rolls_there_or_refuses(kind):
    panel, _, _ = fitted_on_fleet(kind)
    earlier = panel.until(panel.end - SPEC.horizon)
    fitted = small(kind).fit(earlier, SPEC, CONTEXT)
    if recipe_class(kind).rolls_forward:
        rolled = fitted.forecast(panel)
        assert rolled.origin == panel.end
        assert rolled.made[[7, 9]].all()
        assert np.array_equal(rolled.ids, panel.ids)
    else:
        with pytest.raises(OriginError):
            fitted.forecast(panel)


# ---- series apart ---------------------------------------------------------------------------------------------------


@each(tuple(kind for kind in FORECASTERS if not pools(kind)))
def test_when_series_are_fitted_apart_then_shards_join_into_the_whole(kind):
    panel, _, whole = fitted_on_fleet(kind)
    parts = [small(kind).fit(part, SPEC, CONTEXT).forecast(part) for part in panel.batches(3)]
    assert same(Forecast.join(parts), whole)


@each(tuple(kind for kind in FORECASTERS if not pools(kind)))
def test_when_there_is_no_series_then_there_is_no_row(kind):
    empty = fleet().take([])
    forecast = small(kind).fit(empty, SPEC, CONTEXT).forecast(empty)
    assert forecast.mean.shape == (0, SPEC.horizon)


@each()
def test_when_a_series_was_not_seen_in_the_fit_then_it_is_a_row_all_the_same(kind):
    panel = fleet()
    seen = small(kind).fit(panel.take([1, 2, 3, 4, 5, 6, 8, 9]), SPEC, CONTEXT)
    forecast = seen.forecast(panel)
    assert np.array_equal(forecast.ids, panel.ids)
    assert forecast.made[9]
    for row in (0, 7):
        assert forecast.made[row] or forecast.reason[row] != ""


@each()
def test_when_the_rows_come_in_another_order_then_the_forecast_is_the_same(kind):
    panel, _, whole = fitted_on_fleet(kind)
    shuffled = panel.to_frame().sample(frac=1.0, random_state=1)
    other = Panel.from_frame(shuffled, "D")
    assert same(small(kind).fit(other, SPEC, CONTEXT).forecast(other), whole)


# ---- kept and repeated ----------------------------------------------------------------------------------------------


@each()
def test_when_a_fit_is_saved_then_the_loaded_one_forecasts_the_same_bits(kind, tmp_path):
    panel, fitted, forecast = fitted_on_fleet(kind)
    files = stored(fitted, tmp_path / "kept")
    assert not any(name.endswith((".pkl", ".pickle", ".joblib")) for name in files)
    loaded = load_fitted(tmp_path / "kept")
    assert loaded.kind == kind
    assert loaded.spec == SPEC
    assert same(loaded.forecast(panel), forecast)
    assert stored(loaded, tmp_path / "again") == files


@each()
def test_when_the_seed_is_the_same_then_so_is_every_byte(kind, tmp_path):
    panel, fitted, forecast = fitted_on_fleet(kind)
    again = small(kind).fit(panel, SPEC, CONTEXT)
    assert same(again.forecast(panel), forecast)
    assert stored(again, tmp_path / "one") == stored(fitted, tmp_path / "other")


@each()
def test_when_a_forecast_is_asked_twice_then_it_is_the_same_and_nothing_was_changed(kind):
    panel, fitted, forecast = fitted_on_fleet(kind)
    before = panel.y.copy()
    assert same(fitted.forecast(panel), forecast)
    assert np.array_equal(panel.y, before)


@each()
def test_when_importances_are_asked_then_they_sum_to_one_or_there_are_none(kind):
    importances = fitted_on_fleet(kind)[1].importances()
    assert not importances or sum(importances.values()) == pytest.approx(1.0)


@each()
def test_when_the_cost_of_a_fit_is_asked_then_it_is_a_constant_that_grows_with_the_length(kind):
    recipe = small(kind)
    costs = [recipe.seconds_per_fit(length, 7) for length in (30, 100, 400)]
    assert costs == sorted(costs)
    assert all(0 <= cost < 60 for cost in costs)
