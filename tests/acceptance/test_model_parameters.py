"""Every parameter of every model acts, or is refused: one line a parameter, and a new parameter needs its line.

`Acts` is tried here on a small panel, `Refused` is tried here, `Shown` names the test of the model's own file that
changes it (those that need minutes of fits are not done twice).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from demand.errors import SettingsError
from demand.panel import Panel
from features.settings import FeatureSettings
from models.base import FitContext, Forecast, ForecastSpec
from models.catalog import FORECASTERS, recipe_class
from models.config import ModelConfig
from models.ensemble import EnsembleSettings
from tests.acceptance.made import fleet, frame_of, run_job, written

SPEC = ForecastSpec(7, (0.1, 0.5, 0.9))
PLAIN = FeatureSettings(auto_feature_engineering=False, country="")


@dataclass(frozen=True)
class Acts:
    value: Any
    base: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    value: Any


@dataclass(frozen=True)
class Shown:
    """In tests/models/test_<kind>.py; where that test is parametrised over changes, the parameter is among them."""

    test: str
    changes: bool = False


CHANGES = Shown("test_when_a_parameter_changes_then_the_forecast_changes", changes=True)
MEAN = Shown("test_when_a_parameter_changes_then_the_mean_does", changes=True)
INTERVAL = Shown(
    "test_when_a_parameter_of_the_interval_changes_then_the_quantiles_do_and_the_mean_does_not", changes=True
)
PATIENCE = Shown("test_when_validation_gets_worse_then_patience_rate_and_frequency_act_as_configured")
PLAIN_ARIMA = {"p": 1, "d": 0, "q": 1, "seasonal": False, "maxiter": 30}
SEASONAL = {"p": 1, "d": 0, "q": 0, "seasonal": True, "seasonal_order": (0, 1, 0, 7), "maxiter": 15}
FOURIER = {**SEASONAL, "max_seasonal_period": 2}
TREES = {"n_estimators": 8, "max_depth": 3, "n_jobs": 1, "features": ("lag_1", "lag_7", "rolling_mean_7", "dayofweek")}

PROOF: dict[str, dict[str, Acts | Refused | Shown]] = {
    "zero": {},
    "mean": {},
    "naive": {},
    "seasonal_naive": {"season": Acts(5)},
    "moving_average": {"window": Acts(3)},
    "exponential_smoothing": {
        "trend": Acts(False), "seasonal": Acts(False), "season": Acts(5), "combined": Acts(1), "sharpness": Acts(40.0),
        "max_history": Acts(40),
    },
    "tsb": {"combined": Acts(1), "sharpness": Acts(0.5), "max_history": Acts(40)},
    "arima": {
        "p": Acts(2, PLAIN_ARIMA), "d": Acts(1, PLAIN_ARIMA), "q": Acts(0, PLAIN_ARIMA),
        "seasonal": Acts(False, SEASONAL), "seasonal_order": Acts((0, 1, 1, 7), SEASONAL),
        "trend": Acts("c", PLAIN_ARIMA), "method": Acts("nm", PLAIN_ARIMA), "maxiter": Acts(1, PLAIN_ARIMA),
        "likelihood": Acts("exact", PLAIN_ARIMA), "max_history": Acts(30, PLAIN_ARIMA),
        "max_seasonal_period": Acts(2, SEASONAL), "fourier_pairs": Acts(1, FOURIER),
        "enforce_stationarity": Shown("test_when_stationarity_is_enforced_then_an_explosive_series_is_not_carried_on"),
        "enforce_invertibility": Shown(
            "test_when_invertibility_is_enforced_then_the_moving_average_stays_within_bounds"
        ),
        "disp": Shown("test_when_disp_is_set_then_the_search_tells_how_it_ended"),
    },
    "prophet": {
        "changepoint_prior_scale": MEAN, "seasonality_prior_scale": MEAN, "seasonality_mode": MEAN,
        "changepoint_range": MEAN, "yearly_seasonality": MEAN, "weekly_seasonality": MEAN, "growth": MEAN,
        "n_changepoints": MEAN, "interval_width": INTERVAL, "uncertainty_samples": INTERVAL,
        "include_history": INTERVAL, "daily_seasonality": Refused(True),
        "holidays_prior_scale": Shown(
            "test_when_public_holidays_move_demand_then_they_are_forecast_with_their_prior_scale"
        ),
    },
    "lstm": {
        **dict.fromkeys(
            ("units", "dropout", "recurrent_dropout", "activation", "recurrent_activation", "use_bias",
             "return_sequences", "time_steps", "epochs", "batch_size", "learning_rate", "optimizer", "loss", "shuffle",
             "steps_per_epoch", "windows_per_series", "features", "validation_split"), CHANGES,
        ),
        "stateful": Refused(True),
        "forecast_horizon": Shown("test_when_the_horizon_is_longer_than_configured_then_the_key_is_named"),
        "metrics": Shown("test_when_metrics_are_named_then_the_card_tells_them"),
        "early_stopping_patience": PATIENCE, "reduce_lr_patience": PATIENCE, "validation_freq": PATIENCE,
    },
    "tide": dict.fromkeys(
        ("encoder", "decoder", "dropout", "time_steps", "steps", "batch_size", "steps_ahead", "learning_rate",
         "features"), CHANGES,
    ),
    "xgboost": {
        "n_estimators": Acts(3, TREES), "max_depth": Acts(1, TREES), "learning_rate": Acts(0.5, TREES),
        "objective": Acts("reg:tweedie", TREES), "booster": Acts("dart", TREES), "gamma": Acts(50.0, TREES),
        "min_child_weight": Acts(300.0, TREES), "max_delta_step": Acts(0.05, TREES), "subsample": Acts(0.4, TREES),
        "colsample_bytree": Acts(0.3, TREES), "colsample_bylevel": Acts(0.3, TREES),
        "colsample_bynode": Acts(0.3, TREES), "reg_alpha": Acts(50.0, TREES), "reg_lambda": Acts(500.0, TREES),
        "base_score": Acts(3.0, TREES), "random_state": Acts(7, TREES), "features": Acts(("lag_9",), TREES),
        "validation_split": Acts(0.5, TREES), "scale_pos_weight": Refused(2.0),
        "without_features": Acts(("demand_lag_1",), TREES),
        "n_jobs": Shown("test_when_threads_are_asked_for_then_the_context_is_the_limit"),
        "eval_metric": Shown("test_when_metrics_are_chosen_then_the_card_has_their_values"),
        "early_stopping_rounds": Shown("test_when_early_stopping_is_off_then_every_round_is_made"),
        "verbose": Shown("test_when_the_run_is_verbose_then_rounds_are_printed"),
    },
}  # fmt: skip
TRIED = [(kind, name) for kind, proofs in PROOF.items() for name, proof in proofs.items() if isinstance(proof, Acts)]
IMPOSSIBLE = [(k, name) for k, proofs in PROOF.items() for name, proof in proofs.items() if isinstance(proof, Refused)]


def configured(kind: str, values: Mapping[str, Any]) -> Any:
    """The recipe of these values, told as the configuration tells them."""
    cls = recipe_class(kind)
    own: dict[str, Any] = {"features": (), "validation_split": 0.2}
    groups: dict[str, Any] = {"hyperparameters": {}, "training_params": {}}
    own |= {name: value for name, value in values.items() if name in own}
    for name, value in values.items():
        if name not in own:
            groups["training_params" if name in cls.training_params else "hyperparameters"][name] = value
    return cls.from_config(ModelConfig(kind, "timeseries", kind, **groups, **own))


def panel() -> Panel:
    rows = fleet(120)
    return Panel.from_frame(frame_of({name: rows[name] for name in ("dying", "erratic", "intermittent", "trend")}), "D")


def answer(kind: str, values: Mapping[str, Any]) -> Forecast:
    history = panel()
    found: Forecast = (
        configured(kind, values).fit(history, SPEC, FitContext(7, 5, min_rows=20, features=PLAIN)).forecast(history)
    )
    return found


@pytest.mark.parametrize("kind", FORECASTERS)
def test_when_a_model_has_a_parameter_then_it_is_listed_here(kind):
    assert {one.name for one in fields(recipe_class(kind))} == PROOF[kind].keys()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), TRIED)
def test_when_a_parameter_changes_then_the_forecast_changes(kind, name):
    proof = PROOF[kind][name]
    before, after = answer(kind, proof.base), answer(kind, {**proof.base, name: proof.value})
    assert before.made.any()
    assert after.made.any()
    same = [np.array_equal(getattr(before, n), getattr(after, n), equal_nan=True) for n in ("mean", "quantiles")]
    assert not all(same)


@pytest.mark.parametrize(("kind", "name"), IMPOSSIBLE)
def test_when_a_parameter_cannot_act_then_it_is_refused_by_name(kind, name):
    with pytest.raises(SettingsError) as caught:
        configured(kind, {name: PROOF[kind][name].value})
    assert str(caught.value.facts["key"]).endswith(name)


def test_when_a_parameter_is_shown_elsewhere_then_that_test_changes_it():
    for kind, proofs in PROOF.items():
        for name, proof in proofs.items():
            if not isinstance(proof, Shown):
                continue
            test: Any = getattr(import_module(f"tests.models.test_{kind}"), proof.test)
            if proof.changes:
                marks = [mark for mark in test.pytestmark if mark.name == "parametrize"]
                assert any(name in change for mark in marks for change in mark.args[1]), (kind, name)
            else:
                assert name in inspect.getsource(test), (kind, name)


# ---- the ensemble ---------------------------------------------------------------------------------------------------

MEMBERS = "models.ensemble.hyperparameters.models=[mean,naive]"
HALVES = "models.ensemble.hyperparameters.weights=[0.5,0.5]"
OWN = (MEMBERS, HALVES)
ENSEMBLE: dict[str, tuple[str, ...] | Refused | Shown] = {
    "models": ("hyperparameters.models=[mean,tsb]",),
    "weights": ("hyperparameters.weights=[0.9,0.1]", "training_params.optimize_weights=false"),
    "voting": Refused("hyperparameters.voting=hard"),
    "aggregation": ("hyperparameters.aggregation=median",),
    "confidence_threshold": ("hyperparameters.confidence_threshold=0.01",),
    "extra_members": ("hyperparameters.extra_members=[]",),
    "retrain_base_models": Shown("test_when_base_models_are_not_retrained_then_only_what_is_due_trains"),
    "optimize_weights": ("training_params.optimize_weights=false",),
    "weight_optimization_method": ("training_params.weight_optimization_method=inverse_error",),
}


def ensemble_of(root, *told: str):
    """The exit code, the ensemble's rows and which styles are marked, of a backtest with baselines as members."""
    told = tuple(f"models.ensemble.{text}" for text in told)
    light = ("only=[ensemble]", "models.arima.enabled=false", "models.xgboost.enabled=false")
    keys = {text.partition("=")[0] for text in told}
    own = [text for text in OWN if text.partition("=")[0] not in keys]
    ran = run_job("backtest", root, written(frame_of(fleet(60)), root / "in" / "sales.parquet"), *light, *own, *told)
    if ran.code:
        return ran.code, None, None
    table = ran.table("forecasts").query("model == 'ensemble'")
    return ran.code, table.to_csv(index=False), ran.table("outcomes")["low_confidence"].tolist()


def test_when_the_ensemble_has_a_parameter_then_it_is_listed_here():
    assert {one.name for one in fields(EnsembleSettings)} == ENSEMBLE.keys()


@pytest.mark.slow
def test_when_a_parameter_of_the_ensemble_changes_then_the_job_shows_it_or_refuses_it(tmp_path):
    usual = ensemble_of(tmp_path / "usual")
    fixed = ensemble_of(tmp_path / "fixed", "training_params.optimize_weights=false")
    assert usual[0] == fixed[0] == 0
    for name, told in ENSEMBLE.items():
        if isinstance(told, Shown):  # it acts where models are trained again
            assert callable(getattr(import_module("tests.jobs.test_carry"), told.test)), name
            continue
        if isinstance(told, Refused):
            assert ensemble_of(tmp_path / name, told.value)[0] == 2, name
            continue
        found = ensemble_of(tmp_path / name, *told)
        assert found[0] == 0, name
        part = 2 if name == "confidence_threshold" else 1
        assert found[part] != (fixed if name == "weights" else usual)[part], name
