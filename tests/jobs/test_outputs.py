"""What a run says of models without a row, and of styles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from demand.panel import Panel
from jobs import compose
from jobs.entries import failed_models, without_rows
from jobs.outputs import counts, write_planner_files
from jobs.race import Race
from models.base import Forecast, ForecastSpec
from models.fallback import nothing

SPEC = ForecastSpec(3)


@pytest.fixture
def panel() -> Panel:
    days = pd.date_range("2024-01-01", periods=5)
    frame = pd.DataFrame({"unique_id": np.repeat(["=A", "B"], 5), "ds": np.tile(days, 2), "y": np.arange(10.0)})
    return Panel.from_frame(frame, "D")


def race(panel: Panel, **reasons: str) -> Race:
    raw = {kind: {panel.end: nothing(panel, SPEC, reason)} for kind, reason in reasons.items()}
    return Race(raw, {}, [])


def test_when_a_model_declines_the_data_then_it_is_skipped_and_not_failed(panel: Panel) -> None:
    declined = race(panel, arima="12 periods are too few", xgboost="FitError: Insufficient data (expected=100)")
    assert set(without_rows(declined)) == {"arima", "xgboost"}
    assert failed_models(declined, compose.load("backtest", [])) == {}


def test_when_a_model_breaks_or_was_asked_for_then_it_failed(panel: Panel) -> None:
    broken = race(panel, arima="12 periods are too few", lstm="ValueError: shapes differ")
    assert set(failed_models(broken, compose.load("backtest", []))) == {"lstm"}
    assert set(failed_models(broken, compose.load("backtest", ["only=[arima]"]))) == {"arima", "lstm"}


def test_when_styles_are_counted_then_the_outcomes_add_up() -> None:
    outcomes = pd.DataFrame({"status": ["ok", "ok", "fell_back", "rejected"]})
    assert counts(outcomes) == {"in": 4, "ok": 2, "fell_back": 1, "rejected": 1}


def test_when_a_style_begins_like_a_formula_then_the_csv_holds_text_and_the_parquet_the_name(
    panel: Panel, tmp_path: Path
) -> None:
    live = Forecast.build(panel, SPEC, "mean", np.ones((2, 3)), np.ones((2, 3, 3)))
    parquet, csv = write_planner_files(replace(live, level=np.array([0, 2])), tmp_path, "mean")
    assert set(pd.read_csv(csv)["unique_id"]) == {"'=A", "B"}
    table = pd.read_parquet(parquet)
    assert set(table["unique_id"]) == {"=A", "B"}
    assert set(table.loc[table["unique_id"] == "B", "fallback_level"]) == {2}
