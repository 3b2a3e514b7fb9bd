"""The LSTM: refusals without TensorFlow, and (marked deep) training, forecasting and keeping it with TensorFlow."""

import builtins
import json
import pickle
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from demand.errors import FitError, OriginError, SettingsError, VersionUnreadable
from demand.panel import Panel
from models.base import FitContext, ForecastSpec
from models.catalog import load_fitted
from models.config import ModelConfig
from models.fitted_network import WEIGHTS
from models.lstm import FittedLstm, Lstm
from models.lstm_training import METRICS, Pool, Split, Trainer, TrainingSettings

HORIZON = 7
SPEC = ForecastSpec(HORIZON)
CONTEXT = FitContext(season=7, seed=3, threads=1)
TINY = Lstm(
    units=(6, 4), return_sequences=(True, False), time_steps=10, epochs=2, steps_per_epoch=3, batch_size=4,
    recurrent_dropout=0.0,
)  # fmt: skip
CONFIG = Path(__file__).parents[2] / "conf" / "model" / "lstm.yaml"


def configured(**changes):
    values = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    for key, value in changes.items():
        group = "training_params" if key in Lstm.training_params else "hyperparameters"
        values[group][key] = value
    return ModelConfig(**values)


def weekly(n_series=6, n=120, seed=0, **columns):
    rng = np.random.default_rng(seed)
    week = 1 + 0.5 * np.sin(2 * np.pi * np.arange(n) / 7)
    y = np.concatenate([10 * (i + 1) * week * rng.gamma(16, 1 / 16, n) for i in range(n_series)])
    ids = np.array([f"s{i:02d}" for i in range(n_series)])
    return Panel(ids, np.arange(n_series + 1) * n, y, 20_000, "D", **columns)


def training(**changes):
    values = {name: getattr(Lstm(), name) for name in Lstm.training_params}
    return TrainingSettings(**(values | changes))


# ---- without TensorFlow ---------------------------------------------------------------------------------------------


def test_when_configured_as_shipped_then_the_recipe_has_the_contracts_values():
    recipe = Lstm.from_config(configured())
    assert recipe == Lstm()
    assert (recipe.units, recipe.time_steps, recipe.forecast_horizon) == ((128, 64, 32), 30, 90)
    assert len(configured().as_json()) == 13


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"stateful": True}, "stateful"),
        ({"return_sequences": [True, False, False]}, "return_sequences"),
        ({"return_sequences": [True, False]}, "return_sequences"),
        ({"units": []}, "units"),
        ({"loss": "mape"}, "loss"),
        ({"optimizer": "adan"}, "optimizer"),
        ({"activation": "thanh"}, "activation"),
        ({"metrics": ["mean"]}, "metrics"),
        ({"dropout": 1.0}, "dropout"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_when_a_value_cannot_act_then_it_is_refused_by_name(changes, named):
    with pytest.raises(SettingsError, match=named):
        Lstm.from_config(configured(**changes))


def test_when_a_key_is_misspelt_then_the_nearest_is_named():
    with pytest.raises(SettingsError, match="did you mean 'units'"):
        Lstm.from_config(configured(unit=[8]))


@pytest.mark.parametrize(("features", "named"), [(("demand", "prise"), "price"), (("price",), "demand")])
def test_when_features_are_unknown_or_lack_demand_then_refused(features, named):
    with pytest.raises(SettingsError, match=named):
        replace(TINY, features=features)


def test_when_the_horizon_is_longer_than_configured_then_the_key_is_named():
    with pytest.raises(SettingsError, match="forecast_horizon"):
        replace(TINY, forecast_horizon=6).fit(weekly(), SPEC, CONTEXT)


def test_when_there_are_fewer_windows_than_needed_then_insufficient_data():
    with pytest.raises(FitError, match="Insufficient data") as caught:
        TINY.fit(weekly(1, 40), SPEC, replace(CONTEXT, min_rows=25))
    assert caught.value.facts["windows"] == 40 - HORIZON - 10 + 1


def test_when_tensorflow_is_missing_then_the_error_names_it(monkeypatch):
    def without_tensorflow(name, *args, real=builtins.__import__, **kwargs):
        if name.split(".")[0] in ("tensorflow", "keras"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_tensorflow)
    with pytest.raises(FitError, match="TensorFlow") as caught:
        TINY.fit(weekly(), SPEC, CONTEXT)
    assert caught.value.facts["package"] == "tensorflow-cpu"


def test_when_the_recipe_is_imported_then_tensorflow_is_not():
    import subprocess

    code = "import sys, models.lstm; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=CONFIG.parents[2]).returncode == 0


def test_when_split_then_training_targets_end_before_validation_origins():
    lengths = np.array([100, 60, 12])
    first, last = np.array([9, 9, 2]), lengths - 1 - HORIZON
    split = Split.newest(lengths, first, last, HORIZON, 0.2)
    cut = lengths - 1 - max(HORIZON, round(0.2 * 60))  # as position in each series: the same period for all
    for pool, low, high in ((split.training, None, cut - HORIZON), (split.validation, cut, lengths - 1 - HORIZON)):
        for series, a, b in zip(pool.series, pool.first, pool.last, strict=True):
            assert b <= high[series]
            assert low is None or a >= low[series]
    assert split.everything.size == (last - first + 1).sum()
    assert split.training.size + split.validation.size < split.everything.size


def test_when_nothing_is_to_be_set_apart_then_all_windows_train():
    split = Split.newest(np.array([50]), np.array([9]), np.array([40]), HORIZON, 0.0)
    assert split.validation.size == 0
    assert split.training.size == split.everything.size == 32


def test_when_drawn_then_windows_lie_in_the_pool_and_only_shuffle_orders_them():
    pool = Pool.of(np.array([3, 9, 5]), np.array([20, 8, 60]))
    start = np.array([0, 0, 10])
    batches = {}
    for shuffle in (True, False):
        settings = training(shuffle=shuffle, steps_per_epoch=4, batch_size=2, windows_per_series=3)
        batches[shuffle] = list(pool.epoch(np.random.default_rng(1), settings, start))
    for series, origins in batches[True]:
        assert len(series) == 6
        assert set(series) == {0, 2}
        assert ((origins >= np.array([3, 9, 5])[series]) & (origins <= np.array([20, 8, 60])[series])).all()
    periods = {k: np.concatenate([start[s] + o for s, o in v]).tolist() for k, v in batches.items()}
    assert periods[False] == sorted(periods[True])
    assert periods[True] != periods[False]


def test_when_metrics_are_measured_then_by_definition_and_mape_only_where_sold():
    target, point = np.array([[2.0, 0.0, 4.0]]), np.array([[1.0, 3.0, 4.0]])
    found = {name: measure(target, point) for name, measure in METRICS.items()}
    assert found == pytest.approx({"mae": 4 / 3, "mse": 10 / 3, "rmse": (10 / 3) ** 0.5, "mape": 0.25})
    assert METRICS["mape"](np.zeros((1, 2)), np.ones((1, 2))) is None


# ---- with TensorFlow ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    return TINY.fit(weekly(), SPEC, CONTEXT)


def same(one, two):
    return (
        one.mean.tobytes() == two.mean.tobytes()
        and one.quantiles.tobytes() == two.quantiles.tobytes()
        and one.reason.tolist() == two.reason.tolist()
    )


@pytest.mark.deep
def test_when_fitted_then_the_forecast_is_whole_ordered_and_not_negative(fitted, small_panel):
    forecast = fitted.forecast(small_panel)
    short = small_panel.lengths < 2
    assert forecast.ids.tolist() == small_panel.ids.tolist()
    assert (forecast.made == ~short).all()
    assert set(forecast.reason[short]) == {"history too short"}
    rows = forecast.take(np.flatnonzero(forecast.made))
    assert np.isfinite(rows.mean).all()
    assert (rows.quantiles >= 0).all()
    assert (np.diff(rows.quantiles, axis=2) >= 0).all()
    assert (forecast.mean[small_panel.ids == "all_zero"] == 0).all()
    assert (forecast.quantiles[small_panel.ids == "all_zero"] == 0).all()


@pytest.mark.deep
def test_when_fitted_twice_with_one_seed_then_same_bytes_and_another_seed_differs(fitted):
    again = TINY.fit(weekly(), SPEC, CONTEXT)
    other = TINY.fit(weekly(), SPEC, replace(CONTEXT, seed=4))
    assert same(again.forecast(weekly()), fitted.forecast(weekly()))
    assert not same(other.forecast(weekly()), fitted.forecast(weekly()))


@pytest.mark.deep
def test_when_saved_and_loaded_then_same_bytes_and_no_code_in_the_files(fitted, tmp_path):
    fitted.save(tmp_path)
    loaded = load_fitted(tmp_path)
    assert isinstance(loaded, FittedLstm)
    assert same(loaded.forecast(weekly()), fitted.forecast(weekly()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", WEIGHTS]
    card = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    assert card["kind"] == "lstm"
    assert card["facts"]["windows"] == fitted.facts["windows"]


@pytest.mark.deep
def test_when_a_stored_file_is_changed_then_refused(fitted, tmp_path):
    fitted.save(tmp_path)
    content = bytearray((tmp_path / WEIGHTS).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / WEIGHTS).write_bytes(bytes(content))
    with pytest.raises(VersionUnreadable, match="weights"):
        FittedLstm.load(tmp_path)
    card = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    card["shape"]["activation"] = "os.system"
    (tmp_path / "card.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(VersionUnreadable, match="card"):
        FittedLstm.load(tmp_path)


@pytest.mark.deep
def test_when_the_weights_are_of_another_shape_then_refused(fitted):
    fewer = {name: value for name, value in fitted.weights.items() if name != "w00"}
    broken = pickle.loads(pickle.dumps(fitted))
    broken.weights = fewer
    with pytest.raises(VersionUnreadable, match="do not fit"):
        broken.forecast(weekly())


@pytest.mark.deep
def test_when_shipped_to_a_worker_then_same_bytes(fitted):
    before = fitted.forecast(weekly())
    assert same(pickle.loads(pickle.dumps(fitted)).forecast(weekly()), before)


@pytest.mark.deep
def test_when_the_panel_is_cut_then_each_series_keeps_its_forecast(fitted):
    panel = weekly()
    whole = fitted.forecast(panel)
    for i in range(panel.n_series):
        alone = fitted.forecast(panel.take([i]))
        np.testing.assert_allclose(alone.quantiles[0], whole.quantiles[i], rtol=1e-5)


@pytest.mark.deep
def test_when_the_future_is_poisoned_then_fit_and_forecast_at_the_origin_stay(fitted):
    panel = weekly()
    longer = weekly(n=140)
    y = longer.y.reshape(6, 140).copy()
    y[:, :120] = panel.y.reshape(6, 120)
    y[:, 120:] *= 1e6
    poisoned = replace(longer, y=y.ravel(), end=panel.end + 20).until(panel.end)
    assert same(fitted.forecast(poisoned), fitted.forecast(panel))
    assert same(TINY.fit(poisoned, SPEC, CONTEXT).forecast(panel), fitted.forecast(panel))


@pytest.mark.deep
def test_when_the_history_moves_on_or_the_calendar_changes_then_it_follows_or_refuses(fitted):
    longer = weekly(n=130)
    forecast = fitted.forecast(longer)
    assert forecast.origin == longer.end
    assert not same(forecast, fitted.forecast(weekly()))
    with pytest.raises(OriginError, match="calendar"):
        fitted.forecast(replace(longer, freq="W-SUN"))


@pytest.mark.deep
def test_when_no_time_is_left_then_time_budget_and_when_a_little_then_the_best_so_far(monkeypatch):
    import models.lstm_training as lstm_training

    with pytest.raises(FitError, match="time_budget"):
        TINY.fit(weekly(), SPEC, replace(CONTEXT, max_seconds=1e-9))
    clock = iter([time.monotonic()] * 4 + [np.inf] * 9)
    monkeypatch.setattr(lstm_training, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    fitted = TINY.fit(weekly(), SPEC, CONTEXT)
    assert fitted.facts["stopped_by"] == "time_budget"
    assert fitted.facts["steps"] == 4
    assert fitted.facts["best"]["epoch"] == 1


@pytest.mark.deep
@pytest.mark.parametrize(
    "changes",
    [
        {"units": (5, 4)}, {"dropout": 0.5}, {"recurrent_dropout": 0.3}, {"activation": "relu"},
        {"recurrent_activation": "hard_sigmoid"}, {"use_bias": False}, {"return_sequences": (True, True)},
        {"time_steps": 12}, {"epochs": 1}, {"batch_size": 3}, {"learning_rate": 0.05}, {"optimizer": "rmsprop"},
        {"loss": "mae"}, {"shuffle": False}, {"steps_per_epoch": 4}, {"windows_per_series": 3},
        {"features": ("demand", "season")}, {"validation_split": 0.5},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_when_a_parameter_changes_then_the_forecast_changes(fitted, changes):
    other = replace(TINY, **changes).fit(weekly(), SPEC, CONTEXT)
    assert not same(other.forecast(weekly()), fitted.forecast(weekly()))


@pytest.mark.deep
def test_when_validation_gets_worse_then_patience_rate_and_frequency_act_as_configured(monkeypatch):
    def facts(**changes):
        losses = iter([3.0, 1.0, *np.arange(2.0, 20.0)])  # the second validation is the best
        monkeypatch.setattr(Trainer, "_score", lambda self, windows, target: {"loss": next(losses)})
        recipe = replace(TINY, epochs=8, steps_per_epoch=1, early_stopping_patience=3, **changes)
        return recipe.fit(weekly(), SPEC, CONTEXT).facts

    usual = facts(reduce_lr_patience=100)
    assert (usual["stopped_by"], usual["best"]["epoch"]) == ("early_stopping", 2)
    assert usual["steps"] == 5 + usual["refit_epochs"]
    assert usual["learning_rate"] == pytest.approx(0.001)
    assert facts(reduce_lr_patience=1)["learning_rate"] == pytest.approx(0.001 / 2**3)
    rare = facts(validation_freq=3)
    assert (rare["stopped_by"], rare["best"]["epoch"]) == ("epochs", 6)


@pytest.mark.deep
def test_when_metrics_are_named_then_the_card_tells_them(fitted):
    assert {"mae", "mape"} <= set(fitted.facts["best"])
    assert set(replace(TINY, metrics=("rmse",)).fit(weekly(), SPEC, CONTEXT).facts["best"]) == {"loss", "epoch", "rmse"}


@pytest.mark.deep
def test_when_price_is_carried_then_it_acts_and_when_not_then_the_row_says_so(fitted):
    panel = weekly()
    assert set(fitted.forecast(panel).note) == {
        "price left out: not in the data it was fitted on; inventory_level left out: not in the data it was fitted on"
    }
    price = np.random.default_rng(5).uniform(5, 10, len(panel.y))
    priced = replace(panel, past={"price": price, "inventory_level": price * 3})
    with_price = TINY.fit(priced, SPEC, CONTEXT)
    assert set(with_price.forecast(priced).note) == {""}
    other = replace(priced, past={"price": price[::-1].copy(), "inventory_level": price * 3})
    assert not same(with_price.forecast(other), with_price.forecast(priced))
    assert "price taken as unchanged" in with_price.forecast(panel).note[0]


@pytest.mark.deep
@pytest.mark.slow
def test_when_there_is_a_weekly_pattern_then_it_beats_the_last_value_and_covers_the_truth():
    panel = weekly(n_series=30, n=200)
    recipe = replace(TINY, epochs=30, steps_per_epoch=8, batch_size=16)
    history = panel.until(panel.end - HORIZON)
    forecast = recipe.fit(history, SPEC, CONTEXT).forecast(history)
    truth = panel.tail(HORIZON)
    error = np.abs(truth - forecast.median).sum() / truth.sum()
    naive = np.abs(truth - history.tail(1)).sum() / truth.sum()
    assert error < 0.7 * naive
    covered = ((truth >= forecast.quantile(0.1)) & (truth <= forecast.quantile(0.9))).mean()
    assert 0.6 < covered < 0.95
