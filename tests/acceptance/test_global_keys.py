"""Each of the global keys acts: a whole job with the key changed shows something else.

A new key needs an entry in ACTS, or in ELSEWHERE the test that shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.cluster import Done
from jobs.keys import GLOBAL_KEYS
from tests.acceptance.made import Ran, fleet, frame_of, run_job, strict_json, written

MODEL = "only=[xgboost]"
AUTO = "features.auto_feature_engineering=true"


@dataclass(frozen=True)
class Act:
    """What is told beside the key, the key's new value, and what is looked at afterwards."""

    key: str
    sees: Callable[[Ran, str], Any]
    beside: Sequence[str] = (MODEL,)
    job: str = "train"
    sales: str = "plain"


def report_parts(ran: Ran, printed: str) -> dict[str, bool]:
    """Which halves of the report's part on trend and season are on the page."""
    page = (ran.folder / "report.html").read_text(encoding="utf-8")
    return {"trend": "Trend of the whole fleet" in page, "season": "Season of the whole fleet" in page}


def models(ran: Ran, printed: str) -> set[str]:
    return set(ran.board.index)


def columns(ran: Ran, printed: str) -> list[str]:
    return list(ran.table("forecasts").columns)


def forecasts(ran: Ran, printed: str) -> bytes:
    return ran.table("forecasts").to_csv(index=False).encode()


def steps(ran: Ran, printed: str) -> int:
    return int(ran.table("forecast").groupby("unique_id").size().max())


def origins(ran: Ran, printed: str) -> int:
    return int(ran.table("forecasts")["cutoff"].nunique())


def unusual(ran: Ran, printed: str) -> Any:
    found = ran.json("cleaning")["outliers"]
    return found["method"], found["count"], found["by_style"]


def features(ran: Ran, printed: str) -> list[str]:
    (path,) = ran.folder.glob("models/xgboost/*/importances.json")
    return sorted(strict_json(path))


def learned(ran: Ran, printed: str) -> Any:
    """The features and what was left of them: names in the fitted model's card."""
    (path,) = ran.folder.glob("models/xgboost/*/model/card.json")
    return strict_json(path)["features"]


def excuses(ran: Ran, printed: str) -> Any:
    return ran.json("summary")["failed"]


def served(ran: Ran, printed: str) -> str:
    return str(ran.json("summary")["served"])


def ranking(ran: Ran, printed: str) -> Any:
    return ran.json("backtest")["summary"]["ranked_by"], ran.board.index.tolist()


def said_aloud(ran: Ran, printed: str) -> int:
    return printed.count(" INFO ")


def folders(ran: Ran, printed: str) -> set[str]:
    return {path.name for path in ran.folder.parents[1].iterdir()}


ACTS = {
    "enable_ml": Act(
        "enable_ml=false",
        models,
        ("models.prophet.enabled=false", "models.lstm.enabled=false", "models.tide.enabled=false"),
    ),
    "min_training_samples": Act("min_training_samples=90000", excuses),
    "max_training_samples": Act("max_training_samples=60", forecasts),
    "handle_missing_data": Act("cleaning.handle_missing_data=forward_fill", forecasts, sales="blanks"),
    "outlier_detection": Act("cleaning.outlier_detection=false", unusual, ("enable_ml=false",)),
    "outlier_method": Act("cleaning.outlier_method=zscore", unusual, ("enable_ml=false",)),
    "outlier_threshold": Act("cleaning.outlier_threshold=0.3", unusual, ("enable_ml=false",)),
    "auto_feature_engineering": Act("features.auto_feature_engineering=true", learned),
    "create_lag_features": Act("features.create_lag_features=false", learned, (MODEL, AUTO)),
    "create_rolling_features": Act("features.create_rolling_features=false", learned, (MODEL, AUTO)),
    "create_time_features": Act("features.create_time_features=false", learned, (MODEL, AUTO)),
    "lag_periods": Act("features.lag_periods=[9,11]", learned, (MODEL, AUTO)),
    "rolling_windows": Act("features.rolling_windows=[5]", learned, (MODEL, AUTO)),
    "polynomial_features": Act("features.polynomial_features=true", features, (MODEL, AUTO)),
    "interaction_features": Act("features.interaction_features=true", features, (MODEL, AUTO)),
    "auto_model_selection": Act("selection.auto_model_selection=false", served, (MODEL,), sales="noise"),
    "model_selection_metric": Act("selection.model_selection_metric=rmsse", ranking, ("enable_ml=false",)),
    "cross_validation_folds": Act("cross_validation_folds=3", origins, ("enable_ml=false",)),
    "log_level": Act("log_level=INFO", said_aloud, ("enable_ml=false",)),
    "default_forecast_horizon": Act(
        "default_forecast_horizon=5", steps, ("enable_ml=false", "horizon=null"), sales="long"
    ),
    "confidence_intervals": Act("confidence_intervals=false", columns, ("enable_ml=false",)),
    "confidence_level": Act("confidence_level=0.6", columns, ("enable_ml=false",)),
    "seasonal_decomposition": Act(
        "report.seasonal_decomposition=false", report_parts, ("enable_ml=false",), job="pipeline"
    ),
    "trend_analysis": Act("report.trend_analysis=false", report_parts, ("enable_ml=false",), job="pipeline"),
    "model_registry": Act("storage.model_registry=models", folders, ("enable_ml=false",)),
    "training_registry": Act("storage.training_registry=training_results", folders, ("enable_ml=false",)),
}
AT_ONCE = ("tests.acceptance.test_global_keys", "test_when_tasks_may_run_at_once_then_never_more_than_told")
ELSEWHERE = {
    "cache_predictions": (
        "tests.serve_app.test_service",
        "test_when_predictions_are_not_cached_then_each_is_computed_with_the_same_bytes",
    ),
    "cache_ttl_hours": (
        "tests.serve_app.test_service", "test_when_the_time_of_the_cache_is_up_then_it_is_computed_anew",
    ),
    "log_predictions": (
        "tests.serve_app.test_service", "test_when_predictions_are_not_logged_then_there_is_no_log",
    ),
    "rollback_on_failure": (
        "tests.jobs.test_promote", "test_when_a_promoted_release_is_ill_then_the_one_before_serves_again",
    ),
    "auto_retrain": (
        "tests.jobs.test_rounds", "test_when_auto_retrain_is_false_then_what_is_due_is_recorded_and_nothing_starts",
    ),
    "hyperparameter_tuning": ("tests.jobs.test_tuned", "test_when_tuning_is_off_then_models_run_as_configured"),
    "tuning_method": ("tests.jobs.test_tune", "test_when_the_method_changes_then_other_parameters_are_tried"),
    "tuning_iterations": (
        "tests.jobs.test_tune", "test_when_a_number_of_trials_is_told_then_exactly_so_many_are_counted",
    ),
    "parallel_training": AT_ONCE,
    "max_parallel_jobs": AT_ONCE,
    "track_performance": ("tests.jobs.test_monitor", "test_when_track_performance_is_off_then_nothing_is_scored"),
    "performance_window_days": (
        "tests.jobs.test_monitor", "test_when_the_window_is_changed_then_the_table_holds_its_days",
    ),
    "alert_on_degradation": (
        "tests.jobs.test_monitor", "test_when_alert_on_degradation_is_off_then_it_is_measured_but_not_alarmed",
    ),
    "degradation_threshold": (
        "tests.jobs.test_monitor", "test_when_the_threshold_is_raised_then_the_same_rise_is_no_degradation",
    ),
    "a_b_testing": (
        "tests.serve_app.test_trying",
        "test_when_a_challenger_is_tried_then_its_styles_are_its_everywhere_and_the_total_is_the_champion_s",
    ),
    "canary_deployment": (
        "tests.serve_app.test_trying",
        "test_when_the_challenger_fails_then_the_champion_answers_and_a_canary_goes_back_for_good",
    ),
    "model_versioning": (
        "tests.jobs.test_publish", "test_when_versions_are_not_kept_then_only_champion_and_newest_stay",
    ),
}  # fmt: skip


def sales(kind: str, path: Path) -> Path:
    frame = frame_of(fleet(400 if kind == "long" else 60))
    if kind == "blanks":
        frame.loc[np.arange(20, len(frame), 9), "y"] = np.nan
    if kind == "noise":
        rng = np.random.default_rng(1)
        frame = frame_of({f"s{i}": rng.gamma(4, 5, 60) for i in range(6)})
    return written(frame, path)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """What the same job shows with the key at its default; each is run once."""
    kept: dict[Any, tuple[Ran, str]] = {}

    def of(act: Act, capsys: pytest.CaptureFixture[str]) -> tuple[Ran, str]:
        key = (act.job, act.sales, tuple(act.beside))
        if key not in kept:
            root = tmp_path_factory.mktemp("usual")
            ran = run_job(act.job, root, sales(act.sales, root / "in" / "sales.parquet"), *act.beside)
            assert ran.code == 0
            kept[key] = ran, capsys.readouterr().err
        return kept[key]

    return of


def test_when_the_keys_are_counted_then_each_is_shown_to_act():
    assert ACTS.keys() | ELSEWHERE.keys() == GLOBAL_KEYS.keys()
    assert not ACTS.keys() & ELSEWHERE.keys()
    for name, act in ACTS.items():
        assert act.key.partition("=")[0] == GLOBAL_KEYS[name].path
    for module, test in ELSEWHERE.values():
        assert callable(getattr(import_module(module), test))


@pytest.mark.slow
@pytest.mark.parametrize("name", ACTS)
def test_when_a_key_is_changed_then_the_job_shows_something_else(name, usual, tmp_path, capsys):
    act = ACTS[name]
    before = act.sees(*usual(act, capsys))
    source = sales(act.sales, tmp_path / "in" / "sales.parquet")
    ran = run_job(act.job, tmp_path / "out", source, *act.beside, act.key)
    assert ran.code == (1 if name == "min_training_samples" else 0)  # then the model asked for declines
    after = act.sees(ran, capsys.readouterr().err)
    assert after != before
    expected = {
        "outlier_detection": ("iqr", 0, {}),
        "cross_validation_folds": before + 1 if name == "cross_validation_folds" else None,
        "default_forecast_horizon": 5,
        "auto_model_selection": "ensemble",
        "confidence_intervals": ["unique_id", "cutoff", "ds", "model", "mean", "q0.5", "made_by"],
        "confidence_level": ["unique_id", "cutoff", "ds", "model", "mean", "q0.1", "q0.2", "q0.5", "q0.8", "q0.9",
                             "made_by"],
        "seasonal_decomposition": {"trend": True, "season": False},
        "trend_analysis": {"trend": False, "season": True},
        "model_registry": {"models", "runs"},
        "training_registry": {"registry", "training_results"},
    }  # fmt: skip
    if name in expected:
        assert after == expected[name]
    if name == "min_training_samples":
        assert "Insufficient data" in after["xgboost"]


def test_when_tasks_may_run_at_once_then_never_more_than_told(tmp_path, monkeypatch):
    """`parallel_training` hands the tasks to the cluster, `max_parallel_jobs` says how many it may have at a time."""
    flights: list[int] = []

    def fan_out(function, calls, in_flight, retries, start_timeout_s):
        flights.append(in_flight)
        for call in calls:
            yield Done(call, value=function(*call.arguments))

    monkeypatch.setattr("jobs.fleet.require", lambda settings: None)
    monkeypatch.setattr("jobs.race.cluster", lambda settings: nullcontext(3))
    monkeypatch.setattr("jobs.race.put", lambda value: value)
    monkeypatch.setattr("jobs.race.widest_node", lambda: 3)
    monkeypatch.setattr("jobs.race.fan_out", fan_out)
    source = written(frame_of(fleet(60)), tmp_path / "sales.parquet")
    seen = []
    for number, told in enumerate(
        (("parallel_training=false",), ("parallel_training=true",), ("parallel_training=true", "max_parallel_jobs=2"))
    ):
        flights.clear()
        ran = run_job("backtest", tmp_path / str(number), source, "enable_ml=false", *told)
        assert ran.code == 0
        seen.append((list(flights), forecasts(ran, "")))
    assert [found for found, _ in seen] == [[], [3], [2]]
    assert len({table for _, table in seen}) == 1  # the same result
