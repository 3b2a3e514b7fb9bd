"""The 43 global keys: all there, typed, acting."""

from __future__ import annotations

import logging

import pytest

from demand.calendar import Calendar
from jobs import compose, entry
from jobs.keys import GLOBAL_KEYS, value_at
from jobs.settings import as_config_json, chosen_models, horizon_periods, spec_levels

# Every key: another value than the default, and the typed value it becomes.
CHANGED = {
    "enable_ml": ("false", False),
    "auto_retrain": ("false", False),
    "parallel_training": ("false", False),
    "max_parallel_jobs": ("4", 4),
    "min_training_samples": ("7", 7),
    "max_training_samples": ("100000", 100_000),
    "handle_missing_data": ("forward_fill", "forward_fill"),
    "outlier_detection": ("false", False),
    "outlier_method": ("zscore", "zscore"),
    "outlier_threshold": ("2.5", 2.5),
    "auto_feature_engineering": ("false", False),
    "create_lag_features": ("false", False),
    "create_rolling_features": ("false", False),
    "create_time_features": ("false", False),
    "lag_periods": ("[1,2]", (1, 2)),
    "rolling_windows": ("[4]", (4,)),
    "polynomial_features": ("true", True),
    "interaction_features": ("true", True),
    "auto_model_selection": ("false", False),
    "model_selection_metric": ("rmsse", "rmsse"),
    "cross_validation_folds": ("3", 3),
    "log_level": ("DEBUG", "DEBUG"),
    "default_forecast_horizon": ("28", 28),
    "confidence_intervals": ("false", False),
    "confidence_level": ("0.8", 0.8),
    "track_performance": ("false", False),
    "performance_window_days": ("7", 7),
    "alert_on_degradation": ("false", False),
    "degradation_threshold": ("0.2", 0.2),
    "seasonal_decomposition": ("false", False),
    "trend_analysis": ("false", False),
    "model_versioning": ("false", False),
    "rollback_on_failure": ("false", False),
    "model_registry": ("models", "models"),
    "training_registry": ("training_results", "training_results"),
    "cache_predictions": ("false", False),
    "cache_ttl_hours": ("1.5", 1.5),
    "log_predictions": ("false", False),
    "a_b_testing": ("true", True),
    "canary_deployment": ("true", True),
    "hyperparameter_tuning": ("false", False),
    "tuning_method": ("grid", "grid"),
    "tuning_iterations": ("10", 10),
}


@pytest.fixture(scope="module")
def default():
    return compose.load("train", [])


@pytest.fixture(scope="module")
def changed():
    return compose.load("train", [f"{GLOBAL_KEYS[name].path}={text}" for name, (text, _) in CHANGED.items()])


def test_when_the_keys_are_counted_then_there_are_43_and_each_is_tested_here():
    assert len(GLOBAL_KEYS) == 43
    assert CHANGED.keys() == GLOBAL_KEYS.keys()


def test_when_nothing_is_changed_then_every_key_has_the_stated_default(default):
    assert {name: value_at(default, key.path) for name, key in GLOBAL_KEYS.items()} == {
        name: key.default for name, key in GLOBAL_KEYS.items()
    }


@pytest.mark.parametrize("name", CHANGED)
def test_when_a_key_is_changed_then_the_typed_value_and_the_config_file_follow(changed, default, name):
    typed = CHANGED[name][1]
    path = GLOBAL_KEYS[name].path
    assert value_at(changed, path) == typed
    assert type(value_at(changed, path)) is type(typed)
    assert value_at(default, path) != typed
    shown = as_config_json(changed)["global"][name]
    assert shown == (list(typed) if isinstance(typed, tuple) else typed)


def test_when_enable_ml_is_false_then_only_baselines_run(changed, default):
    assert "xgboost" in chosen_models(default)
    assert "ensemble" in chosen_models(default)
    assert set(chosen_models(changed)) == {k for k, c in changed.models.items() if c.type == "baseline"}


def test_when_the_confidence_level_or_intervals_change_then_the_quantile_levels_do(changed, default):
    assert spec_levels(default) == (0.025, 0.1, 0.5, 0.9, 0.975)
    assert spec_levels(changed) == (0.5,)


@pytest.mark.parametrize(("freq", "periods"), [("D", 90), ("B", 64), ("W-MON", 13), ("MS", 3)])
def test_when_the_default_horizon_is_90_days_then_it_is_converted_to_periods(default, freq, periods):
    assert horizon_periods(default, Calendar(freq)) == periods


def test_when_the_number_of_folds_changes_then_that_many_origins_are_scored(changed, default):
    assert (default.folds.n, changed.folds.n) == (5, 3)


def test_when_blank_cells_are_filled_forward_then_the_folds_fill_forward_too(changed, default):
    assert (default.folds.blanks, changed.folds.blanks) == ("interpolate", "forward_fill")


def test_when_the_log_level_changes_then_more_or_fewer_lines_appear(capsys):
    lines = {}
    for level in ("DEBUG", "INFO", "ERROR"):
        entry.start_logging(level)
        log = logging.getLogger("jobs.anything")
        for say in (log.debug, log.info, log.warning, log.error):
            say("a line")
        lines[level] = capsys.readouterr().err.count("a line")
    assert lines == {"DEBUG": 4, "INFO": 3, "ERROR": 1}
