"""The typed tree: wrong values are refused with their key, right ones arrive typed and survive a file."""

from __future__ import annotations

import copy
import json
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import get_type_hints

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from demand.calendar import Calendar
from demand.errors import SettingsError
from jobs import compose
from jobs.checks import check, warnings
from jobs.keys import GLOBAL_KEYS
from jobs.settings import (
    Settings,
    as_config_json,
    as_plain,
    chosen_models,
    config_hash,
    horizon_periods,
    mask,
    scored_periods,
    season_periods,
    spec_levels,
)
from models.catalog import BASELINES, CLOSED_LIST, EXTRA, FORECASTERS, recipe_class

THIRTEEN = {
    "name", "type", "algorithm", "hyperparameters", "training_params", "validation_split", "test_split", "features",
    "target", "enabled", "retrain_frequency_days", "min_accuracy_threshold", "max_training_time_seconds",
}  # fmt: skip


@pytest.fixture(scope="module")
def plain():
    return compose.plain_values("train", [])


@pytest.fixture(scope="module")
def default(plain):
    return Settings.from_mapping(plain)


def changed(plain, **values):
    """The default values with others at dotted keys ("." written as "__")."""
    tree = copy.deepcopy(plain)
    for path, value in values.items():
        *sections, last = path.split("__")
        node = tree
        for section in sections:
            node = node[section]
        node[last] = value
    return tree


def test_when_the_shipped_files_are_read_then_they_repeat_the_defaults_of_the_code(plain):
    for name, kind in get_type_hints(Settings).items():
        if is_dataclass(kind) and name not in ("source", "finetune"):  # one of jobs.finetune alone: test_compose
            code = as_lists({f.name: getattr(kind(), f.name) for f in fields(kind)})
            assert {**plain[name]} == code, name
    assert set(plain) == {f.name for f in fields(Settings)} - {
        "show", "due_on", "release", "reason", "name", "role", "days", "revoke", "job", "once", "dry", "until",
        "promoted_model", "styles", "finetune", "alias", "yarn", "top", "decisions", "budget",
    }  # fmt: skip


def as_lists(value):
    return json.loads(json.dumps(value))


def test_when_models_are_configured_then_the_closed_list_and_the_baselines_are_there_with_13_fields(default):
    assert set(default.models) == {*BASELINES, *EXTRA, *CLOSED_LIST}
    for config in as_config_json(default)["models"].values():
        assert set(config) == THIRTEEN


def test_when_targets_are_listed_then_they_are_the_stated_ones(default):
    shown = as_config_json(default)["benchmarks"]
    assert {kind: tuple(row.values()) for kind, row in shown.items()} == {
        "arima": (0.15, 100, 30),
        "prophet": (0.12, 90, 45),
        "lstm": (0.10, 80, 300),
        "xgboost": (0.11, 85, 60),
        "ensemble": (0.09, 75, 120),
    }


@pytest.mark.parametrize(
    ("kind", "threshold", "seconds", "days"),
    [("arima", 0.75, 300, 7), ("prophet", 0.8, 300, 7), ("lstm", 0.85, 600, 14), ("xgboost", 0.82, 300, 1),
     ("yarn_substitution", 0.9, 300, 30), ("inventory_optimization", 0.78, 300, 14), ("ensemble", 0.88, 300, 7)],
)  # fmt: skip
def test_when_the_seven_are_read_then_their_limits_are_the_stated_ones(default, kind, threshold, seconds, days):
    config = default.models[kind]
    limits = (config.min_accuracy_threshold, config.max_training_time_seconds, config.retrain_frequency_days)
    assert limits == (threshold, seconds, days)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("horizon", 0, "horizon"),
        ("horizon", True, "horizon"),
        ("horizon", 5.5, "horizon"),
        ("horizon", "5", "horizon"),
        ("plot", "yes", "plot"),
        ("seed", -1, "seed"),
        ("log_level", "loud", "log_level"),
        ("freq", "fortnight", "freq"),
        ("confidence_level", 95, "confidence_level"),
        ("confidence_level", float("nan"), "confidence_level"),
        ("levels", [0.1, 0.9], "0.5"),
        ("max_parallel_jobs", 0, "max_parallel_jobs"),
        ("max_parallel_jobs", "many", "max_parallel_jobs"),
        ("min_training_samples", 20_000_000, "max_training_samples"),
        ("features__lag_periods", [True], "features.lag_periods"),
        ("features__lag_periods", ["1"], "features.lag_periods"),
        ("features__create_lag_features", "no", "features.create_lag_features"),
        ("folds__n", 0, "folds.n"),
        ("folds__mode", "random", "folds.mode"),
        ("cleaning__gaps", "one", "cleaning.gaps"),
        ("selection__model_selection_metric", "accuracy", "model_selection_metric"),
        ("storage__model_registry", "/elsewhere", "storage.model_registry"),
        ("storage__training_registry", "../runs", "storage.training_registry"),
        ("models__arima__enabled", "maybe", "models.arima.enabled"),
        ("models__arima__min_accuracy_threshold", 75, "models.arima.min_accuracy_threshold"),
        ("models__arima__validation_split", 0.95, "validation_split"),
        ("folds__mode", "holdout", "a holdout has one origin"),
        ("schedule__retries", -1, "schedule.retries"),
        ("schedule__retry_wait_s", -1, "schedule.retry_wait_s"),
        ("schedule__catchup_days", 0, "schedule.catchup_days"),
        ("schedule__timeout_s", 0, "schedule.timeout_s"),
        ("due", ["arma"], "did you mean 'arima'"),
        ("tuning__tuning_iterations", 51, "tuning_iterations"),
        ("models", 3, "models"),
        ("source", None, "source"),
        ("only", ["xgbost"], "did you mean 'xgboost'"),
        ("show", "arma", "did you mean 'arima'"),
        ("hoziron", 3, "did you mean 'horizon'"),
        ("folds__stp", 3, "did you mean 'step'"),
        ("models__xgbost", {}, "did you mean 'xgboost'"),
        ("benchmarks__xgbost", {}, "did you mean 'xgboost'"),
    ],
)
def test_when_a_value_is_wrong_then_it_is_refused_and_the_key_is_named(plain, path, value, named):
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping(changed(plain, **{path: value}))
    assert named in str(caught.value)


def test_when_several_values_are_wrong_then_all_are_told_at_once(plain):
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping(changed(plain, horizon=0, folds__n=0, log_level="loud", models__arima__test_split=2))
    text = " ".join(caught.value.facts["faults"])
    assert caught.value.facts["count"] == 4
    assert all(key in text for key in ("horizon", "folds.n", "log_level", "models.arima.test_split"))


def test_when_a_section_is_missing_then_it_is_named(plain):
    with pytest.raises(SettingsError, match="cleaning"):
        Settings.from_mapping({name: value for name, value in plain.items() if name != "cleaning"})


def test_when_a_run_is_both_new_and_resumed_then_it_is_refused(plain):
    with pytest.raises(SettingsError, match="not both"):
        Settings.from_mapping(changed(plain, run_id="a", resume="b"))


def test_when_a_run_id_looks_like_a_number_then_it_is_still_a_name(plain):
    assert Settings.from_mapping(changed(plain, run_id=20250902)).run_id == "20250902"


def test_when_a_count_is_written_as_1e7_then_it_is_a_count(plain):
    settings = Settings.from_mapping(changed(plain, max_training_samples=1e7))
    assert settings.max_training_samples == 10_000_000
    assert type(settings.max_training_samples) is int


def test_when_only_folds_n_is_changed_then_the_global_key_tells_the_same(plain):
    settings = Settings.from_mapping(changed(plain, folds__n=2))
    assert as_config_json(settings)["global"]["cross_validation_folds"] == 2


def test_when_folds_and_the_global_key_disagree_then_it_is_refused(plain):
    with pytest.raises(SettingsError, match="disagree"):
        Settings.from_mapping(changed(plain, folds__n=3, cross_validation_folds=4))


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        ({"confidence_level": 0.8}, (0.1, 0.5, 0.9)),
        ({"confidence_level": 0.9}, (0.05, 0.1, 0.5, 0.9, 0.95)),
        ({"confidence_intervals": False}, (0.5,)),
        ({"levels": [0.75, 0.5, 0.25]}, (0.25, 0.5, 0.75)),
    ],
)
def test_when_confidence_changes_then_the_levels_do(plain, values, levels):
    assert spec_levels(Settings.from_mapping(changed(plain, **values))) == levels


def test_when_levels_are_named_without_intervals_then_it_is_refused(plain):
    with pytest.raises(SettingsError, match="cannot act"):
        Settings.from_mapping(changed(plain, levels=[0.5], confidence_intervals=False))


def test_when_periods_are_configured_then_they_win_over_the_calendar(plain):
    calendar = Calendar("W-SUN")
    own = Settings.from_mapping(changed(plain, horizon=8, season=13, folds__test_size=4))
    assert (horizon_periods(own, calendar), season_periods(own, calendar)) == (8, 13)
    assert scored_periods(own, calendar, 99) == 4
    usual = Settings.from_mapping(plain)
    assert (horizon_periods(usual, calendar), season_periods(usual, calendar)) == (13, 52)
    assert scored_periods(usual, calendar, 99) == 13


def test_when_a_holdout_is_asked_for_then_the_models_test_split_says_how_much_is_scored(plain):
    calendar = Calendar("W-SUN")
    held = Settings.from_mapping(changed(plain, folds__mode="holdout", folds__n=1, cross_validation_folds=1))
    assert scored_periods(held, calendar, 200) == 20
    own = changed(plain, folds__mode="holdout", folds__n=1, cross_validation_folds=1, folds__test_size=7)
    assert scored_periods(Settings.from_mapping(own), calendar, 200) == 7
    apart = changed(
        plain, folds__mode="holdout", folds__n=1, cross_validation_folds=1, models__arima__test_split=0.2
    )  # fmt: skip
    with pytest.raises(SettingsError, match="test_split must be the same"):
        scored_periods(Settings.from_mapping(apart), calendar, 200)


def test_when_one_model_is_asked_for_then_it_runs_beside_the_baselines(plain):
    assert chosen_models(Settings.from_mapping(changed(plain, only=["xgboost"]))) == (*BASELINES, "xgboost")


def test_when_the_ensemble_is_asked_for_then_its_enabled_members_come_with_it(plain):
    settings = Settings.from_mapping(changed(plain, only=["ensemble"], models__lstm__enabled=False))
    assert chosen_models(settings)[-5:] == ("arima", "prophet", "xgboost", "tide", "ensemble")


def test_when_nothing_is_asked_for_then_models_that_cannot_train_yet_are_left_out(default):
    assert set(chosen_models(default)) == {*FORECASTERS, "ensemble"}


@pytest.mark.parametrize(
    "values", [{"only": ["lstm"], "models__lstm__enabled": False}, {"only": ["lstm"], "enable_ml": False}]
)
def test_when_a_model_that_is_off_is_asked_for_then_it_is_refused(plain, values):
    with pytest.raises(SettingsError, match="lstm"):
        Settings.from_mapping(changed(plain, **values))


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("models__xgboost__hyperparameters__max_dpth", 3, "did you mean 'max_depth'"),
        ("models__xgboost__hyperparameters__scale_pos_weight", 2, "scale_pos_weight"),
        ("models__xgboost__features", ["lag_1x"], "did you mean 'lag_1'"),
        ("models__naive__features", ["lag_1"], "models.naive.features"),
        ("models__naive__target", "price", "models.naive.target"),
        ("models__xgboost__test_split", 0.3, "holdout"),
        ("models__arima__validation_split", 0.3, "holds nothing back"),
        ("models__xgboost__algorithm", "prophet", "models.xgboost.algorithm"),
        ("models__ensemble__hyperparameters__voting", "hard", "voting"),
        ("models__ensemble__hyperparameters__models", ["arma"], "arma|same number"),
        ("models__yarn_substitution__hyperparameters__max_dpth", 3, "did you mean 'max_depth'"),
        ("models__yarn_substitution__features", ["denier"], "color_similarity"),
        ("models__yarn_substitution__test_split", 0.2, "cv_folds"),
        ("models__yarn_substitution__target", "demand", "is_substitutable"),
        ("models__yarn_substitution__algorithm", "boosting", "models.yarn_substitution.algorithm"),
        ("models__inventory_optimization__hyperparameters__max_dpth", 3, "did you mean 'max_depth'"),
        ("models__inventory_optimization__features", ["stock"], "current_inventory"),
        ("models__inventory_optimization__test_split", 0.2, "half of the items"),
        ("models__inventory_optimization__target", "demand", "optimal_order_quantity"),
    ],
)
def test_when_a_model_value_is_impossible_or_cannot_act_then_it_is_refused(plain, path, value, named):
    settings = Settings.from_mapping(changed(plain, **{path: value}))
    with pytest.raises(SettingsError, match=named):
        check(settings)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"cleaning__outlier_detection": False}, "nothing is capped"),
        ({"cleaning__outlier_method": "isolation_forest"}, "limits of each style"),
    ],
)
def test_when_capping_could_not_act_or_not_style_by_style_then_it_is_refused(plain, values, named):
    settings = Settings.from_mapping(changed(plain, cleaning__outlier_action="cap", **values))
    with pytest.raises(SettingsError, match=named):
        check(settings)
    check(Settings.from_mapping(changed(plain, cleaning__outlier_action="cap")))


@pytest.mark.parametrize("kind", FORECASTERS)
def test_when_the_shipped_model_is_read_then_its_recipe_accepts_it(default, kind):
    assert recipe_class(kind).from_config(default.models[kind]).kind == kind


def test_when_arima_has_a_constant_trend_and_differences_then_it_is_refused(plain):
    settings = Settings.from_mapping(changed(plain, models__arima__hyperparameters__trend="c"))
    with pytest.raises(SettingsError, match="trend"):
        check(settings)


def test_when_nothing_is_odd_then_there_is_no_warning(default):
    assert warnings(default, cpus=2) == []


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("models__arima__min_accuracy_threshold", 0.96, "models.arima.min_accuracy_threshold"),
        ("models__arima__retrain_frequency_days", 31, "models.arima.retrain_frequency_days"),
        ("max_parallel_jobs", 3, "max_parallel_jobs"),
        ("schedule__daily", [], "xgboost is enabled but in no cadence"),
        ("models__lstm__enabled", False, "lstm is a member of the ensemble but not enabled"),
    ],
)
def test_when_something_deserves_a_look_then_exactly_one_warning_names_it(plain, path, value, named):
    settings = Settings.from_mapping(changed(plain, **{path: value}))
    check(settings)
    (warning,) = warnings(settings, cpus=2)
    assert named in warning


def test_when_settings_go_through_a_file_then_they_are_the_same(plain):
    settings = Settings.from_mapping(
        changed(plain, source__as_of="2025-09-01", features__lag_periods=[3], only=["arima"], run_id="a b")
    )
    text = yaml.safe_dump(as_plain(settings))
    again = Settings.from_mapping(yaml.safe_load(text))
    assert again == settings
    assert config_hash(again) == config_hash(settings)


def test_when_the_config_file_is_made_then_it_is_strict_json_with_the_five_parts(default):
    content = as_config_json(default, now=datetime(2025, 9, 2, 12, tzinfo=UTC))
    assert json.loads(json.dumps(content, allow_nan=False)) == as_lists(content)
    assert list(content) == ["global", "models", "schedule", "benchmarks", "updated_at"]
    assert list(content["global"]) == list(GLOBAL_KEYS)
    assert content["schedule"]["daily"] == ["xgboost"]
    assert content["updated_at"] == "2025-09-02T12:00:00Z"


@pytest.mark.parametrize("path", ["seed", "horizon", "models__arima__hyperparameters__p", "cluster__pooled_cpus"])
def test_when_something_that_moves_numbers_changes_then_the_hash_changes(plain, default, path):
    assert config_hash(Settings.from_mapping(changed(plain, **{path: 7}))) != config_hash(default)


@pytest.mark.parametrize(
    ("path", "value"), [("storage__root", "/x"), ("max_parallel_jobs", 2), ("log_level", "DEBUG"), ("resume", "a")]
)
def test_when_only_where_or_how_loudly_changes_then_the_hash_stays(plain, default, path, value):
    assert config_hash(Settings.from_mapping(changed(plain, **{path: value}))) == config_hash(default)


@given(user=st.text("abc", max_size=8), secret=st.text("abz:@/!09", min_size=3).filter(lambda s: "a" in s))
def test_when_an_address_holds_a_password_then_no_text_shows_it(user, secret):
    shown = mask({"path": [f"postgresql://{user}:{secret}@host/db?sslpassword=b&password=xyz&n=1"]})["path"][0]
    assert shown == f"postgresql://{user}:***@host/db?sslpassword=***&password=***&n=1"
