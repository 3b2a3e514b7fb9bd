"""Exit codes and status words agree with what happened, for every job: ok 0, something failed 1, refused 2."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobs.own_folder import CONF
from models.catalog import BASELINES
from tests.acceptance.made import Ran, frame_of, run_job, strict_json, written

pytestmark = pytest.mark.slow

RACES = [pytest.param("pipeline", marks=pytest.mark.slow), pytest.param("train", marks=pytest.mark.slow), "backtest"]
LIGHT = ("only=[arima]", "folds.inner=1")
REFUSALS = {
    "no such file": ("source.path=nowhere.parquet", "StorageError", "nowhere.parquet"),
    "unknown key": ("horizn=7", "SettingsError", "horizon"),
    "impossible value": ("horizon=0", "SettingsError", "horizon"),
}

EACH_REFUSAL = ["no such file", *(pytest.param(what, marks=pytest.mark.slow) for what in list(REFUSALS)[1:])]


def sales(days: int = 60, **more: np.ndarray) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    week = 1 + 0.4 * np.sin(2 * np.pi * np.arange(days) / 7)
    return frame_of({"a": 30 * week * rng.gamma(9, 1 / 9, days), "b": rng.poisson(2.0, days).astype(float), **more})


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return written(sales(), tmp_path_factory.mktemp("source") / "sales.parquet")


def words(ran: Ran) -> dict[str, str]:
    """What the files of a run say about each model, after checking that they say the same."""
    summary, backtest = ran.json("summary"), ran.json("backtest")
    said = {name: entry["status"] for name, entry in backtest["results"].items()}
    comparison = backtest["summary"]["model_comparison"]
    assert {name: row["status"] for name, row in comparison.items()} == said
    not_made = set(summary["failed"]) | set(summary["skipped"])
    assert {name for name, word in said.items() if word == "failed"} == set(summary["failed"])
    assert {name for name, word in said.items() if word == "skipped"} == set(summary["skipped"])
    assert all(backtest["results"][name]["error"] for name in not_made)
    assert summary["models_failed"] == len(summary["failed"])
    assert summary["models_skipped"] == len(summary["skipped"])
    assert summary["models_attempted"] == len(said)
    assert summary["models_succeeded"] == len(said) - len(not_made)
    styles = summary["styles"]
    assert styles["in"] == styles["ok"] + styles["fell_back"] + styles["rejected"]
    assert backtest["status"] == ("partial" if summary["failed"] else "success")
    return said


def history(root: Path) -> dict[str, str]:
    lines = (root / "registry" / "history.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    assert all(bool(entry.get("error")) is (entry["status"] != "success") for entry in entries)
    return {entry["model_type"]: entry["status"] for entry in entries}


def test_when_the_jobs_are_listed_then_each_is_tested_here():
    assert {path.stem for path in CONF.glob("*.yaml")} - {"base"} == {
        "pipeline", "train", "backtest", "forecast", "ingest", "config", "releases", "rollback", "promote", "evaluate",
        "serve", "token", "retrain", "schedule", "monitor", "finetune", "substitutes", "replenish", "tune",
        "automl",
    }  # fmt: skip


@pytest.mark.parametrize("job", RACES)
def test_when_every_model_ran_then_the_code_is_0_and_every_word_says_success(job, source, tmp_path, capsys):
    ran = run_job(job, tmp_path, source, *LIGHT)
    assert ran.code == 0
    assert set(words(ran).values()) == {"success"}
    assert "Failed" not in capsys.readouterr().out
    if job == "backtest":
        assert not (tmp_path / "registry").exists()
    else:
        assert set(history(tmp_path).values()) == {"success"}
        assert strict_json(tmp_path / "registry" / "aliases" / "champion.json")["release"] == 1


@pytest.mark.parametrize("job", RACES)
def test_when_a_requested_model_made_no_row_then_the_code_is_1_and_it_alone_is_called_failed(job, tmp_path, capsys):
    flat = written(frame_of({"a": np.full(60, 3.0), "b": np.full(60, 5.0)}), tmp_path / "flat.parquet")
    ran = run_job(job, tmp_path, flat, *LIGHT)
    assert ran.code == 1
    said = words(ran)
    said.pop("ensemble")  # of the two baselines among its members
    assert said == {**dict.fromkeys(BASELINES, "success"), "arima": "failed"}
    assert ran.json("summary")["failed"] == {"arima": "demand is constant"}
    assert "Failed    arima: demand is constant" in capsys.readouterr().out
    if job != "backtest":
        told = history(tmp_path)
        assert told.pop("ensemble") == "success"
        assert told == said
        assert set(ran.table("forecast")["unique_id"]) == {"a", "b"}  # the baseline is served all the same


@pytest.mark.slow
def test_when_a_model_breaks_unasked_then_the_code_is_1_and_when_it_declines_it_is_skipped(tmp_path, monkeypatch):
    from models.arima import Arima

    told = (
        "models.prophet.enabled=false",
        "models.lstm.enabled=false",
        "models.tide.enabled=false",
        "models.xgboost.enabled=false",
    )
    flat = written(frame_of({"a": np.full(60, 3.0), "b": np.full(60, 5.0)}), tmp_path / "flat.parquet")
    declined = run_job("train", tmp_path / "declined", flat, *told)
    assert declined.code == 0
    assert words(declined)["arima"] == "skipped"
    assert declined.json("summary")["skipped"] == {"arima": "demand is constant"}

    assert history(tmp_path / "declined")["arima"] == "skipped"

    def broken(self, history, spec, context):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Arima, "fit", broken)
    ran = run_job("backtest", tmp_path / "broke", flat, *told)
    assert ran.code == 1
    assert words(ran)["arima"] == "failed"
    assert "a bug" in ran.json("summary")["failed"]["arima"]


@pytest.mark.slow
def test_when_the_champion_forecasts_then_0_and_1_when_a_member_cannot_be_used_and_2_on_another_calendar(
    tmp_path, capsys
):
    told = ("only=[xgboost]", "folds.inner=1", "columns.past=[price]", "models.xgboost.features=[lag_1,price]")
    frame = sales()
    frame["price"] = np.random.default_rng(0).gamma(20, 0.2, len(frame))
    whole = written(frame, tmp_path / "whole.parquet")
    assert run_job("pipeline", tmp_path / "s", whole, *told).code == 0
    ran = run_job("forecast", tmp_path / "s", whole, *told, "run_id=well")
    manifest = strict_json(tmp_path / "s" / "runs" / "well" / "manifest.json")
    assert (ran.code, manifest["unusable"], manifest["job"]) == (0, {}, "forecast")

    bare = written(frame.drop(columns="price"), tmp_path / "bare.parquet")
    ran = run_job("forecast", tmp_path / "s", bare, "run_id=less")
    less = tmp_path / "s" / "runs" / "less"
    assert ran.code == 1
    assert set(strict_json(less / "manifest.json")["unusable"]) == {"xgboost"}
    assert "Left out  xgboost" in capsys.readouterr().out
    assert set(pd.read_parquet(less / "outcomes.parquet")["unique_id"]) == {"a", "b"}

    ran = run_job("forecast", tmp_path / "s", whole, *told, "freq=W-SUN", "run_id=other")
    assert ran.code == 2
    assert "another calendar" in capsys.readouterr().err
    assert not (tmp_path / "s" / "runs" / "other").exists()


def test_when_a_rule_at_level_error_fails_then_ingest_ends_with_1_and_with_0_when_all_hold(source, tmp_path):
    assert run_job("ingest", tmp_path / "fine", source).code == 0
    (path,) = (tmp_path / "fine" / "quality").glob("*.json")
    assert not any(one["level"] == "error" and one["passed"] is False for one in strict_json(path)["findings"])
    rule = "+cleaning.rules.quality_score={limit: 101, level: error}"
    assert run_job("ingest", tmp_path / "strict", source, rule).code == 1
    (path,) = (tmp_path / "strict" / "quality").glob("*.json")
    assert [one["passed"] for one in strict_json(path)["findings"] if one["level"] == "error"] == [False]


@pytest.mark.parametrize("job", ["pipeline", "train", "backtest", "ingest", "forecast", "monitor", "tune", "automl"])
@pytest.mark.parametrize("what", EACH_REFUSAL)
def test_when_the_job_is_refused_then_the_code_is_2_one_message_says_why_and_nothing_is_written(
    job, what, source, tmp_path, capsys
):
    if job in ("forecast", "monitor") and what == "no such file":
        assert run_job("train", tmp_path / "s", source, "enable_ml=false", "run_id=before").code == 0
        capsys.readouterr()
    told, kind, named = REFUSALS[what]
    of_one = {"tune": ("model=arima",), "automl": ("budget=10m",)}.get(job, ())
    before = sorted(tmp_path.rglob("*"))
    assert run_job(job, tmp_path / "s", source, told, *of_one).code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"{kind}: ")
    assert named in shown.err
    assert "Traceback" not in shown.err
    assert sorted(tmp_path.rglob("*")) == before


def test_when_the_configuration_is_valid_then_0_and_files_and_when_not_then_2_and_none(source, tmp_path):
    assert run_job("config", tmp_path / "s", source).code == 0
    assert strict_json(tmp_path / "s" / "config.json")["global"]["log_level"] == "WARNING"
    assert run_job("config", tmp_path / "t", source, "models.arima.validation_split=0.95").code == 2
    assert not (tmp_path / "t").exists()
