"""The pooled booster: what it promises beyond the contract that every forecaster keeps."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demand.errors import FitError, OriginError, SchemaError, SettingsError, VersionUnreadable
from demand.panel import Panel
from features.settings import FeatureSettings
from models.base import FitContext, ForecastSpec
from models.config import ModelConfig
from models.xgboost import FittedXGBoost, XGBoost
from models.xgboost_boosters import Deadline, Part, Trained, train
from models.xgboost_rows import plan_origins
from models.xgboost_training import validation_cut

SPEC = ForecastSpec(4, (0.05, 0.1, 0.5, 0.9, 0.95))
NAMED = ("lag_1", "lag_7", "rolling_mean_7", "rolling_mean_30", "dayofweek", "price", "inventory_level")
SMALL: dict[str, Any] = {"n_estimators": 10, "max_depth": 3, "features": NAMED}
CONTEXT = FitContext(season=7, features=FeatureSettings(auto_feature_engineering=False, country=""))
FULL = replace(CONTEXT, features=FeatureSettings())


def fleet(days: int = 100, n: int = 12, seed: int = 3, noise: float = 0.15) -> Panel:
    """Daily series with a weekly season, of different level; every third is sparse."""
    rng = np.random.default_rng(seed)
    t = np.arange(days)
    rows = []
    for k in range(n):
        week = 1 + 0.5 * np.sin(2 * np.pi * (t + k) / 7)
        level = 10.0 * 3 ** rng.normal()
        dense = level * week * rng.gamma(1 / noise**2, noise**2, days)
        rows.append(dense if k % 3 else np.ceil(dense) * (rng.random(days) < 0.15))
    indptr = np.arange(n + 1) * days
    return Panel(np.array([f"s{k:03}" for k in range(n)]), indptr, np.concatenate(rows), 20_000, "D")


@pytest.fixture(scope="module")
def panel() -> Panel:
    return fleet()


@pytest.fixture(scope="module")
def fitted(panel: Panel) -> FittedXGBoost:
    return XGBoost(**SMALL).fit(panel, SPEC, CONTEXT)


def forecasts(panel: Panel, context: FitContext = CONTEXT, **changes: object) -> np.ndarray:
    """Mean and quantiles of a small recipe with these changes, in one array [N, H, 1 + Q]."""
    made = XGBoost(**{**SMALL, **changes}).fit(panel, SPEC, context).forecast(panel)
    return np.concatenate([made.mean[:, :, None], made.quantiles], axis=2)


# ---- what it answers ------------------------------------------------------------------------------------------------


def test_when_demand_has_a_season_then_the_seasonal_naive_is_beaten():
    panel = fleet(days=120, n=20, seed=5)
    panel = panel.take(np.flatnonzero(np.arange(20) % 3))  # the sparse ones have no season to see
    history = panel.until(panel.end - 14)
    made = XGBoost(n_estimators=30, max_depth=4).fit(history, ForecastSpec(14), FULL).forecast(history)
    actual = panel.window(history.end + 1, 14)
    naive = np.tile(history.tail(7), 2)
    assert np.abs(made.median - actual).sum() < 0.9 * np.abs(naive - actual).sum()
    assert abs((made.mean - actual).sum()) < 0.1 * actual.sum()


def test_when_a_fleet_grows_then_the_forecast_leaves_the_range_of_the_past():
    t = np.arange(84)
    season = 1 + 0.3 * np.sin(2 * np.pi * t / 12)
    rows = [(50 + 10 * k) * 1.02**t * season for k in range(8)]
    panel = Panel(np.array([f"s{k}" for k in range(8)]), np.arange(9) * 84, np.concatenate(rows), 600, "MS")
    history = panel.until(panel.end - 12)
    context = replace(FULL, season=12)
    made = XGBoost(n_estimators=30, max_depth=4).fit(history, ForecastSpec(12), context).forecast(history)
    actual = panel.window(history.end + 1, 12)
    assert (actual.max(axis=1) > 1.1 * history.tail(72).max(axis=1)).all()
    assert np.abs(made.median - actual).sum() < 0.05 * actual.sum()


def test_when_demand_is_mostly_zero_then_the_median_is_zero_and_the_mean_is_not():
    rng = np.random.default_rng(0)
    y = np.where(rng.random((100, 40)) < 0.1, 5.0, 0.0)
    y[:, 10] = 5.0
    panel = Panel(np.array([f"s{k:03}" for k in range(100)]), np.arange(101) * 40, y.ravel(), 600, "MS")
    made = XGBoost(n_estimators=30, max_depth=4).fit(panel, ForecastSpec(6), replace(FULL, season=12)).forecast(panel)
    assert np.median(made.median) < 0.02
    assert 0.3 < made.mean.mean() < 0.7  # 10 % of 5


def test_when_series_are_zero_short_or_unseen_then_each_has_a_row(panel: Panel, fitted: FittedXGBoost):
    y = np.concatenate([np.zeros(40), [7.0], np.full(30, 4.0), panel.y[100:200]])
    odd = Panel(np.array(["a", "b", "c", "d"]), np.array([0, 40, 41, 71, 171]), y, 20_050, "D")
    made = fitted.forecast(odd)
    assert made.made.all()
    assert (made.mean[0] == 0).all()
    assert (made.quantiles >= 0).all()
    assert (np.diff(made.quantiles, axis=2) >= 0).all()
    assert (made.mean[1:] > 0).any(axis=1).all()


def test_when_the_future_is_poisoned_then_fit_and_forecast_stay(panel: Panel):
    cutoff = panel.end - 20
    later = panel.periods > cutoff
    poisoned = replace(panel, y=np.where(later, (panel.y + 1) * 1e6, panel.y))
    np.testing.assert_array_equal(forecasts(panel.until(cutoff)), forecasts(poisoned.until(cutoff)))


def test_when_demand_is_counted_in_another_unit_then_the_forecast_is_too(panel: Panel):
    doubled = forecasts(replace(panel, y=panel.y * 2))
    np.testing.assert_allclose(doubled, 2 * forecasts(panel), rtol=1e-4, atol=1e-4)


def test_when_levels_widen_then_the_intervals_widen(fitted: FittedXGBoost, panel: Panel):
    made = fitted.forecast(panel)
    assert (made.quantile(0.95) - made.quantile(0.05)).mean() > (made.quantile(0.9) - made.quantile(0.1)).mean() > 0


def test_when_series_are_forecast_in_parts_then_the_rows_are_the_same(
    fitted: FittedXGBoost, panel: Panel, monkeypatch: pytest.MonkeyPatch
):
    whole = fitted.forecast(panel)
    monkeypatch.setattr("models.xgboost.ROWS_AT_ONCE", 20)
    monkeypatch.setattr("features.view.CELLS", 2000)
    np.testing.assert_array_equal(fitted.forecast(panel).quantiles, whole.quantiles)
    some = fitted.forecast(panel.take(np.array([2, 5])))
    np.testing.assert_array_equal(some.mean, whole.mean[[2, 5]])


# ---- every parameter acts or is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"n_estimators": 3},
        {"max_depth": 1},
        {"learning_rate": 0.5},
        {"objective": "reg:absoluteerror"},
        {"objective": "reg:tweedie"},
        {"objective": "count:poisson"},
        {"gamma": 50.0},
        {"min_child_weight": 500.0},
        {"max_delta_step": 0.05},
        {"subsample": 0.4},
        {"colsample_bytree": 0.3},
        {"colsample_bylevel": 0.3},
        {"colsample_bynode": 0.3},
        {"reg_alpha": 50.0},
        {"reg_lambda": 500.0},
        {"base_score": 3.0},
        {"random_state": 7},
        {"features": ("lag_40",)},
    ],
    ids=lambda change: "-".join(map(str, *change.items())),
)
def test_when_a_parameter_changes_then_the_forecast_does(panel: Panel, change: dict[str, Any]):
    assert not np.array_equal(forecasts(panel), forecasts(panel, **change))


def test_when_the_booster_is_dart_then_the_model_says_so(panel: Panel):
    made = XGBoost(**SMALL, booster="dart").fit(panel, SPEC, CONTEXT)
    assert json.loads(made.learned.point.save_config())["learner"]["gradient_booster"]["name"] == "dart"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"scale_pos_weight": 2.0}, "scale_pos_weight"),
        ({"objective": "binary:logistic"}, "objective"),
        ({"eval_metric": ("auc",)}, "eval_metric"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"features": ("lagg_7",)}, "lag_7"),
        ({"objective": "reg:tweedie", "base_score": 0.0}, "base_score"),
    ],
)
def test_when_a_parameter_cannot_act_then_it_is_refused(change: dict, word: str):
    with pytest.raises(SettingsError, match=word):
        XGBoost(**change)


def test_when_the_configuration_is_read_then_its_names_are_the_fields():
    config = ModelConfig(
        "demand_forecast_xgboost", "regression", "xgboost",
        {"max_depth": 4, "scale_pos_weight": 1}, {"eval_metric": ["mae"], "early_stopping_rounds": 5},
        features=("lag_1", "month"), validation_split=0.3,
    )  # fmt: skip
    made = XGBoost.from_config(config)
    assert (made.max_depth, made.eval_metric, made.early_stopping_rounds) == (4, ("mae",), 5)
    assert (made.features, made.validation_split) == (("lag_1", "month"), 0.3)
    with pytest.raises(SettingsError, match="max_depth"):
        XGBoost.from_config(replace(config, hyperparameters={"max_dpth": 4}))


def test_when_threads_are_asked_for_then_the_context_is_the_limit():
    context = FitContext(season=7, threads=2)
    assert [XGBoost(n_jobs=n).threads(context) for n in (-1, 1, 2, 8)] == [2, 1, 2, 2]


def test_when_metrics_are_chosen_then_the_card_has_their_values(panel: Panel):
    facts = XGBoost(**SMALL, eval_metric=("rmse", "mae", "mphe")).fit(panel, SPEC, CONTEXT).learned.facts
    assert set(facts["validation"]) == {"rmse", "mae", "mphe", "quantile"}


def test_when_the_run_is_verbose_then_rounds_are_printed(panel: Panel, capfd: pytest.CaptureFixture):
    XGBoost(**SMALL).fit(panel, SPEC, CONTEXT)
    assert capfd.readouterr().out == ""
    XGBoost(**SMALL, verbose=True).fit(panel, SPEC, CONTEXT)
    assert "validation-mae" in capfd.readouterr().out


# ---- stopping early -------------------------------------------------------------------------------------------------


def test_when_validation_is_cut_then_no_learning_target_reaches_it():
    origin = np.repeat(np.arange(100, 160), 50)
    older, newer = validation_cut(origin, horizon=10, share=0.2) or pytest.fail("there is room for the cut")
    assert origin[newer].min() == 148
    assert origin[older].max() + 10 <= origin[newer].min()


def boosted(
    rounds: int = 60, patience: int = 5, metrics: tuple[str, ...] = ("rmse", "mae"), seconds: float = 60
) -> Trained:
    """A weak signal under heavy-tailed noise, learned with an eye on other such rows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 3)).astype(np.float32)
    y = np.abs(x[:, 0]) * rng.gamma(0.3, 3.0, 600)
    params = XGBoost().booster_params(1, 1, 64) | {"objective": "reg:squarederror", "eval_metric": list(metrics)}
    old, new = Part(x[:300], y[:300]), Part(x[300:], y[300:])
    return train(params, rounds, old, Deadline.after(seconds), 1.0, validation=new, patience=patience)


def test_when_validation_no_longer_improves_then_boosting_stops_at_the_best_round():
    hasty, patient = boosted(patience=1), boosted(patience=40)
    assert hasty.rounds <= patient.rounds < 60
    assert hasty.booster.num_boosted_rounds() == hasty.rounds
    assert boosted(patience=0).rounds == 60


def test_when_another_metric_comes_first_then_it_decides_when_to_stop():
    assert boosted(metrics=("rmse", "mae")).rounds != boosted(metrics=("mae", "rmse")).rounds


def test_when_early_stopping_is_off_then_every_round_is_made(panel: Panel):
    changes: list[dict[str, Any]] = [{"early_stopping_rounds": 0}, {"validation_split": 0.0}]
    for change in changes:
        facts = XGBoost(**SMALL, **change).fit(panel, SPEC, CONTEXT).learned.facts
        assert facts["rounds"] == facts["quantile_rounds"] == SMALL["n_estimators"]
        assert facts["early_stopping"] == "off: not asked for"


def test_when_stopping_comes_too_early_to_matter_then_the_least_rounds_are_made():
    noise = fleet(seed=1, noise=1.5)
    facts = XGBoost(n_estimators=80, features=NAMED, early_stopping_rounds=1).fit(noise, SPEC, CONTEXT).learned.facts
    assert 30 <= facts["rounds"] < 80


def test_when_more_is_held_back_then_more_rows_validate(panel: Panel):
    held = [
        XGBoost(**SMALL, validation_split=share).fit(panel, SPEC, CONTEXT).learned.facts["validation_rows"]
        for share in (0.1, 0.4)
    ]
    assert held[0] < held[1]


# ---- limits ---------------------------------------------------------------------------------------------------------


def test_when_there_are_too_few_rows_then_the_fit_is_refused_with_both_numbers(panel: Panel):
    few = panel.take(np.array([0])).until(panel.end - 90)
    with pytest.raises(FitError, match=r"Insufficient data .*expected='at least 100 training rows', found=\d+"):
        XGBoost().fit(few, SPEC, CONTEXT)


def test_when_nothing_was_ever_sold_then_the_fit_is_refused(panel: Panel):
    with pytest.raises(FitError, match="Insufficient data"):
        XGBoost().fit(replace(panel, y=np.zeros_like(panel.y)), SPEC, CONTEXT)


def test_when_rows_are_limited_then_the_newest_stay_with_every_series(panel: Panel):
    limited = XGBoost(**SMALL).fit(panel, SPEC, replace(CONTEXT, max_rows=400)).learned.facts
    full = XGBoost(**SMALL).fit(panel, SPEC, CONTEXT).learned.facts
    assert limited["rows_available"] <= 400
    assert limited["oldest_origin"] > full["oldest_origin"]
    assert limited["series_used"] == panel.n_series


def test_when_rows_are_limited_to_one_origin_then_origins_are_still_planned(panel: Panel, fitted: FittedXGBoost):
    origins, rows = plan_origins(panel, fitted.recipe, 4, max_rows=1)
    assert list(origins) == [panel.end - 1]
    assert rows == panel.n_series


def test_when_time_is_up_before_the_first_round_then_the_fit_fails_by_name(panel: Panel):
    with pytest.raises(FitError, match="time_budget"):
        XGBoost(**SMALL).fit(panel, SPEC, replace(CONTEXT, max_seconds=1e-9))


def test_when_time_is_over_in_the_first_round_then_early_stopping_has_seen_it_and_that_round_is_kept():
    made = boosted(patience=5, seconds=0)
    assert (made.rounds, made.booster.num_boosted_rounds()) == (1, 1)
    assert made.scores.keys() == {"rmse", "mae"}


def test_when_time_runs_out_while_boosting_then_the_best_state_so_far_is_kept(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Deadline, "passed", lambda self, share=1.0: share < 1)  # every share of the time is over
    monkeypatch.setattr(Deadline, "check", lambda self: None)
    made = XGBoost(n_estimators=50, features=NAMED, early_stopping_rounds=0).fit(panel, SPEC, CONTEXT)
    assert made.learned.facts["stopped_by_time"] is True
    assert made.learned.facts["rounds"] == 1
    assert made.forecast(panel).made.all()


# ---- kept on disk ---------------------------------------------------------------------------------------------------


def test_when_it_is_saved_then_the_loaded_model_answers_to_the_bit(fitted: FittedXGBoost, panel: Panel, tmp_path: Path):
    fitted.save(tmp_path)
    loaded = FittedXGBoost.load(tmp_path)
    before, after = fitted.forecast(panel), loaded.forecast(panel)
    np.testing.assert_array_equal(before.mean, after.mean)
    np.testing.assert_array_equal(before.quantiles, after.quantiles)
    assert loaded.importances() == fitted.importances()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", "mean.ubj", "quantiles.ubj"]


@pytest.mark.parametrize("name", ["mean.ubj", "quantiles.ubj"])
def test_when_a_booster_was_changed_then_it_is_refused_before_parsing(fitted: FittedXGBoost, tmp_path: Path, name: str):
    fitted.save(tmp_path)
    raw = bytearray((tmp_path / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(VersionUnreadable, match=name):
        FittedXGBoost.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(VersionUnreadable, match=name):
        FittedXGBoost.load(tmp_path)


def test_when_the_card_lacks_a_part_then_it_is_refused(fitted: FittedXGBoost, tmp_path: Path):
    fitted.save(tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    for part in ("spec", "features", "anchor", "label", "spread", "sha256"):
        (tmp_path / "card.json").write_text(json.dumps({k: v for k, v in card.items() if k != part}))
        with pytest.raises(VersionUnreadable):
            FittedXGBoost.load(tmp_path)


def test_when_the_same_seed_is_used_then_the_bytes_are_the_same_and_another_differs(
    fitted: FittedXGBoost, panel: Panel, tmp_path: Path
):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    fitted.save(tmp_path / "a")
    XGBoost(**SMALL).fit(panel, SPEC, CONTEXT).save(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert not np.array_equal(forecasts(panel), forecasts(panel, context=replace(CONTEXT, seed=1)))


# ---- what it says about itself --------------------------------------------------------------------------------------


def test_when_importances_are_asked_for_then_they_name_the_columns_and_sum_to_one(fitted: FittedXGBoost):
    shares = fitted.importances()
    assert tuple(shares) == fitted.recipe.names
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= 0


def test_when_a_configured_column_is_missing_then_forecast_and_card_say_so(
    fitted: FittedXGBoost, panel: Panel, tmp_path: Path
):
    assert set(fitted.left_out) == {"price", "inventory_level"}
    assert all("price left out" in note for note in fitted.forecast(panel).note)
    fitted.save(tmp_path)
    assert "price" in json.loads((tmp_path / "card.json").read_text())["left_out"]


def test_when_the_panel_carries_a_price_then_it_acts_and_must_be_there(panel: Panel):
    rng = np.random.default_rng(0)
    priced = replace(panel, past={"price": np.repeat(rng.random(panel.n_series), panel.lengths)})
    made = XGBoost(**SMALL).fit(priced, SPEC, CONTEXT)
    assert "price" in made.recipe.names
    with pytest.raises(SchemaError, match="price"):
        made.forecast(panel)


def test_when_the_calendar_differs_then_the_model_cannot_roll(fitted: FittedXGBoost, panel: Panel):
    with pytest.raises(OriginError, match="calendar"):
        fitted.forecast(replace(panel, freq="B"))


@pytest.mark.slow
def test_when_the_fleet_is_of_the_agreed_size_then_the_forecast_takes_less_than_a_second():
    import time

    panel = fleet(days=730, n=500)
    made = XGBoost(n_estimators=100).fit(panel, ForecastSpec(90), replace(FULL, threads=2))
    started = time.process_time()
    made.forecast(panel)
    assert time.process_time() - started < 2.0  # CPU seconds of all threads
