"""Prophet: seasons only where the history allows, quantiles from its own paths, and that every parameter acts."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from demand.errors import OriginError, SettingsError
from demand.panel import Panel
from features.settings import FeatureSettings
from models.base import FitContext, ForecastSpec
from models.catalog import load_fitted
from models.config import ModelConfig
from models.prophet import ProphetRecipe, _seed, _stretch_of

CONFIG = Path(__file__).parents[2] / "conf" / "model" / "prophet.yaml"
SPEC = ForecastSpec(10)
NO_HOLIDAYS = FitContext(7, features=FeatureSettings(country=""))
FAST = ProphetRecipe(uncertainty_samples=0, n_changepoints=3, yearly_seasonality=False)
END = 20_300  # a day in August 2025


def panel_of(*series, freq="D", end=END):
    indptr = np.concatenate([[0], np.cumsum([len(y) for y in series])]).astype(np.int64)
    ids = np.array([f"s{i:02d}" for i in range(len(series))])
    return Panel(ids, indptr, np.concatenate(series).astype(float), end, freq)


def daily(n=120, seed=0, level=50.0):
    t = np.arange(END - n + 1, END + 1)
    return level * (1 + 0.4 * np.sin(2 * np.pi * t / 7)) * np.random.default_rng(seed).gamma(60, 1 / 60, n)


def run(recipe, panel, spec=SPEC, context=NO_HOLIDAYS):
    return recipe.fit(panel, spec, context).forecast(panel)


def configured(**changes):
    values = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    for name, value in changes.items():
        values["training_params" if name in ProphetRecipe.training_params else "hyperparameters"][name] = value
    return ProphetRecipe.from_config(ModelConfig(**values))


# ---- without a fit ---------------------------------------------------------------------------------------------------


def test_when_shipped_values_are_read_then_they_are_the_contracts():
    recipe = configured()
    assert (recipe.changepoint_prior_scale, recipe.seasonality_prior_scale, recipe.holidays_prior_scale) == (
        0.05,
        10,
        10,
    )
    assert (recipe.seasonality_mode, recipe.changepoint_range, recipe.n_changepoints) == ("multiplicative", 0.8, 25)
    assert (recipe.growth, recipe.interval_width) == ("linear", 0.95)
    assert (recipe.include_history, recipe.uncertainty_samples) == (True, 1000)


@pytest.mark.parametrize(("length", "freq", "yearly", "weekly"), [
    (730, "D", False, True), (731, "D", True, True), (104, "W-SUN", False, False), (105, "W-SUN", True, False),
    (23, "MS", False, False), (24, "MS", True, False), (600, "B", True, True),
])  # fmt: skip
def test_when_the_history_is_of_some_length_then_seasons_are_on_only_where_it_allows(length, freq, yearly, weekly):
    panel = panel_of(np.ones(length), freq=freq)
    pairs_year, pairs_week, note = ProphetRecipe()._seasons(length, panel.calendar)
    assert (pairs_year > 0, pairs_week > 0) == (yearly, weekly)
    assert ("no yearly season" in note) is not yearly
    assert ("no weekly season" in note) is not weekly


def test_when_a_year_has_few_periods_then_no_more_pairs_are_fitted_than_can_be_told_apart():
    assert ProphetRecipe()._seasons(60, panel_of(np.ones(60), freq="MS").calendar)[0] == 6
    assert ProphetRecipe()._seasons(200, panel_of(np.ones(200), freq="W-SUN").calendar)[0] == 10
    assert ProphetRecipe(yearly_seasonality=4)._seasons(60, panel_of(np.ones(60), freq="MS").calendar)[0] == 4


def test_when_seasons_are_off_then_there_is_nothing_to_note():
    recipe = ProphetRecipe(yearly_seasonality=False, weekly_seasonality=False)
    assert recipe._seasons(30, panel_of(np.ones(30)).calendar) == (0, 0, "")


@pytest.mark.parametrize(("values", "hint"), [
    ({"growth": "logistic"}, "linear or flat"), ({"daily_seasonality": True}, "Set daily_seasonality to false"),
    ({"include_history": False}, "interval_width null"), ({"interval_width": None}, "include_history"),
    ({"interval_width": 95}, "interval_width"), ({"uncertainty_samples": -1}, "uncertainty_samples"),
])  # fmt: skip
def test_when_a_value_cannot_act_then_it_is_refused_with_what_to_change(values, hint):
    with pytest.raises(SettingsError, match=hint):
        configured(**values)


def test_when_residuals_are_as_wide_as_assumed_then_quantiles_are_not_stretched():
    residuals = np.random.default_rng(0).normal(0, 3.0, 100_000)
    assert _stretch_of(residuals, 3.0, 0.8) == pytest.approx(1.0, abs=0.02)
    assert _stretch_of(residuals, 1.5, 0.8) == pytest.approx(2.0, abs=0.04)
    assert _stretch_of(np.zeros(10), 0.0, 0.8) == 1.0


def test_when_a_seed_is_made_then_it_depends_on_the_series_and_the_run_only():
    assert _seed(42, "a") == _seed(42, "a")
    assert len({_seed(42, "a"), _seed(42, "b"), _seed(43, "a")}) == 3


def test_when_a_history_is_too_short_or_there_is_no_time_then_the_row_has_that_reason():
    panel = panel_of(daily(9), daily(60))
    forecast = run(FAST, panel, context=replace(NO_HOLIDAYS, max_seconds=0.0))
    assert forecast.reason.tolist() == ["9 periods are too few for Prophet: needs 10", "time_budget"]


# ---- with a fit ------------------------------------------------------------------------------------------------------


def test_when_a_week_repeats_then_the_forecast_repeats_it():
    whole = daily(134)
    forecast = run(FAST, panel_of(whole[:120], end=END - 14), ForecastSpec(14))
    assert np.abs(forecast.mean[0] - whole[120:]).sum() < 0.15 * whole[120:].sum()
    assert "no yearly" not in forecast.note[0]


def test_when_the_origin_moves_then_it_refuses_and_says_to_fit_again():
    panel = panel_of(daily(40))
    fitted = FAST.fit(panel, SPEC, NO_HOLIDAYS)
    with pytest.raises(OriginError, match="Fit it again"):
        fitted.forecast(replace(panel, end=panel.end + 1))


def test_when_demand_is_zero_constant_or_negative_then_there_is_a_row_all_the_same():
    returns = daily(60)
    returns[::5] = -20.0
    forecast = run(FAST, panel_of(np.zeros(60), np.full(60, 7.0), returns))
    assert forecast.made.all()
    assert np.allclose(forecast.mean[0], 0.0)
    assert np.allclose(forecast.mean[1], 7.0)


def test_when_the_library_fails_in_one_series_then_the_others_are_forecast(monkeypatch):
    import prophet

    original = prophet.Prophet.fit

    def sometimes(self, frame, **options):
        if len(frame) == 41:
            raise RuntimeError("Optimization terminated abnormally")
        return original(self, frame, **options)

    monkeypatch.setattr(prophet.Prophet, "fit", sometimes)
    forecast = run(FAST, panel_of(daily(40), daily(41)))
    assert forecast.made.tolist() == [True, False]
    assert forecast.reason[1] == "RuntimeError: Optimization terminated abnormally"


def test_when_the_optimiser_runs_out_of_time_then_the_reason_is_the_time_budget(monkeypatch):
    import prophet

    def slow(self, frame, **options):
        raise TimeoutError(f"after {options['timeout']}")

    monkeypatch.setattr(prophet.Prophet, "fit", slow)
    assert run(FAST, panel_of(daily(40))).reason.tolist() == ["time_budget"]


def test_when_it_is_used_then_loggers_and_the_global_generator_are_as_before():
    logger = logging.getLogger("cmdstanpy")
    run(FAST, panel_of(daily(30)))  # the library sets its level when first used
    before = logger.level
    state = np.random.get_state()[1].copy()
    run(replace(FAST, uncertainty_samples=20), panel_of(daily(30)))
    assert logger.level == before
    assert np.array_equal(np.random.get_state()[1], state)


@pytest.mark.slow
@pytest.mark.parametrize("change", [
    {"changepoint_prior_scale": 5.0}, {"seasonality_prior_scale": 0.01}, {"seasonality_mode": "additive"},
    {"changepoint_range": 0.4}, {"yearly_seasonality": True}, {"weekly_seasonality": False}, {"growth": "flat"},
    {"n_changepoints": 1}, {"yearly_seasonality": 3},
], ids=str)  # fmt: skip
def test_when_a_parameter_changes_then_the_mean_does(change):
    n = 800
    t = np.arange(n)
    y = daily(n) * (1 + 0.3 * np.sin(2 * np.pi * t / 365.25)) * np.where(t < 500, 1 + t / 500, 2 - (t - 500) / 600)
    base = {"uncertainty_samples": 0, "n_changepoints": 10, "yearly_seasonality": False}
    panel = panel_of(y)
    one, other = run(ProphetRecipe(**base), panel), run(ProphetRecipe(**base | change), panel)
    assert not np.allclose(one.mean, other.mean, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("change", [
    {"interval_width": 0.3}, {"uncertainty_samples": 300}, {"include_history": False, "interval_width": None},
], ids=str)  # fmt: skip
def test_when_a_parameter_of_the_interval_changes_then_the_quantiles_do_and_the_mean_does_not(change):
    rng = np.random.default_rng(0)
    panel = panel_of(50 + 5 * rng.standard_t(2, 150))  # heavy tails: not the noise that Prophet assumes
    base = ProphetRecipe(yearly_seasonality=False, n_changepoints=3, uncertainty_samples=0)
    one, other = run(base, panel), run(replace(base, **change), panel)
    assert np.allclose(one.mean, other.mean)
    assert not np.allclose(one.quantiles, other.quantiles, rtol=1e-3)


@pytest.mark.slow
def test_when_public_holidays_move_demand_then_they_are_forecast_with_their_prior_scale():
    import holidays

    n = 1100
    first = np.datetime64("1970-01-01") + np.timedelta64(END - n + 1, "D")
    dates = first + np.arange(n + 40).astype("timedelta64[D]")
    days_off = holidays.country_holidays("US", years=range(2022, 2027))
    off = np.array([date in days_off for date in dates.tolist()])
    y = np.where(off, 20.0, 100.0) + np.random.default_rng(0).normal(0, 1, n + 40)
    spec = ForecastSpec(40)
    in_country = FitContext(7, features=FeatureSettings(country="US"))
    with_them, without = (run(FAST, panel_of(y[:n]), spec, c) for c in (in_country, NO_HOLIDAYS))
    tight = run(replace(FAST, holidays_prior_scale=0.001), panel_of(y[:n]), spec, in_country)
    day_off = off[n:]
    assert day_off.any()
    assert with_them.mean[0][day_off].max() < 45
    assert without.mean[0][day_off].min() > 70
    assert tight.mean[0][day_off].min() > with_them.mean[0][day_off].max()


@pytest.mark.slow
def test_when_the_country_is_unknown_then_the_setting_is_refused():
    context = FitContext(7, features=FeatureSettings(country="Atlantis"))
    with pytest.raises(SettingsError, match="Atlantis"):
        FAST.fit(panel_of(daily(30)), SPEC, context)


@pytest.mark.slow
def test_when_demand_is_regular_then_the_interval_covers_about_its_share():
    whole = [daily(154, seed) for seed in range(12)]
    history = panel_of(*[y[:140] for y in whole], end=END - 14)
    forecast = run(replace(FAST, uncertainty_samples=300), history, ForecastSpec(14))
    actual = np.array([y[140:] for y in whole])
    inside = (actual >= forecast.quantile(0.1)) & (actual <= forecast.quantile(0.9))
    assert 0.68 < inside.mean() < 0.92


@pytest.mark.slow
def test_when_half_a_year_is_known_then_leaving_the_yearly_season_out_helps():
    """The trap of section 16: a yearly season fitted to half a year of data."""
    import prophet

    whole = daily(210)
    history = panel_of(whole[:180], end=END - 30)
    ours = run(FAST, history, ForecastSpec(30)).mean[0]
    frame = history.to_frame().rename(columns={"unique_id": "id"})[["ds", "y"]]
    forced = prophet.Prophet(yearly_seasonality=10, seasonality_mode="multiplicative", uncertainty_samples=0).fit(frame)
    ahead = forced.make_future_dataframe(30, include_history=False)
    theirs = forced.predict(ahead)["yhat"].to_numpy()
    assert np.abs(ours - whole[180:]).sum() < np.abs(theirs - whole[180:]).sum()


@pytest.mark.slow
def test_when_a_fit_is_stored_then_it_is_json_and_numbers_and_answers_the_same(tmp_path):
    panel = panel_of(daily(60), daily(5))
    fitted = replace(FAST, uncertainty_samples=40).fit(panel, SPEC, NO_HOLIDAYS)
    fitted.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arrays.npz", "card.json", "models.json"]
    loaded, ours = load_fitted(tmp_path).forecast(panel), fitted.forecast(panel)
    assert np.array_equal(loaded.quantiles, ours.quantiles, equal_nan=True)
