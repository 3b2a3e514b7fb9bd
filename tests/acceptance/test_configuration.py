"""A configuration comes back the same from a new process; a key nobody knows is refused, with the nearest."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from demand.errors import SettingsError
from jobs import compose
from jobs.keys import GLOBAL_KEYS
from jobs.settings import Settings, as_plain, config_hash
from models.config import ModelConfig
from tests.acceptance.made import fleet, frame_of, run_job, strict_json, written

ROOT = Path(__file__).parents[2]


def misspelt(key: str) -> str:
    """The key without the two letters before its last one; a short one with a letter more."""
    return f"{key[:-3]}{key[-1]}" if len(key.rpartition(".")[2]) > 4 else f"{key}x"


def refusal(told: list[str]) -> str:
    with pytest.raises(SettingsError) as caught:
        compose.load("pipeline", told)
    return " ".join([str(caught.value), str(caught.value.facts)])


@pytest.mark.slow
@pytest.mark.parametrize("path", [key.path for key in GLOBAL_KEYS.values()])
def test_when_a_global_key_is_misspelt_then_it_is_refused_and_the_right_one_is_named(path):
    assert path in refusal([f"{misspelt(path)}=1"])


@pytest.mark.slow
@pytest.mark.parametrize("name", [one.name for one in fields(ModelConfig)])
def test_when_a_field_of_a_model_is_misspelt_then_the_right_one_is_named(name):
    assert name in refusal([f"models.arima.{misspelt(name)}=1"])


def test_when_a_model_is_unknown_then_the_nearest_is_named():
    assert "xgboost" in refusal(["only=[xgbost]"])
    assert "prophet" in refusal(["models.prophte.enabled=false"])


@pytest.mark.slow
def test_when_a_configuration_is_written_then_a_new_process_reads_the_same_and_a_run_keeps_it(tmp_path):
    """config.yaml of one process, taken up by another: equal settings, equal hash, the same bytes again."""
    told = [
        "seed=7",
        "features.lag_periods=[1,2,3]",
        "models.xgboost.hyperparameters.max_depth=3",
        "confidence_level=0.8",
    ]

    def fresh(storage: Path, arguments: list[str]) -> dict[str, Any]:
        command = [sys.executable, "-m", "jobs.config", f"storage.root={storage}", *arguments]
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
        found: dict[str, Any] = yaml.safe_load((storage / "config.yaml").read_text(encoding="utf-8"))
        return found

    first = fresh(tmp_path / "first", told)
    here = compose.load("config", [*told, f"storage.root={tmp_path / 'first'}"])
    assert Settings.from_mapping(first) == here
    assert first == as_plain(here)

    own = tmp_path / "own" / "experiment"
    own.mkdir(parents=True)
    text = "# @package _global_\n" + yaml.safe_dump(
        {k: v for k, v in first.items() if k in ("seed", "features", "models", "confidence_level")}
    )
    (own / "kept.yaml").write_text(text, encoding="utf-8")
    second = fresh(tmp_path / "second", ["--config-dir", str(own.parent), "experiment=kept"])
    assert config_hash(Settings.from_mapping(second)) == config_hash(here)
    jsons = [strict_json(tmp_path / name / "config.json") for name in ("first", "second")]
    assert [one.pop("updated_at") for one in jsons]
    assert jsons[0] == jsons[1]
    assert jsons[0]["global"]["lag_periods"] == [1, 2, 3]
    assert set(jsons[0]["global"]) == set(GLOBAL_KEYS)

    ran = run_job(
        "backtest", tmp_path, written(frame_of(fleet(60)), tmp_path / "s.parquet"), "enable_ml=false", *told[:1]
    )
    kept = Settings.from_mapping(yaml.safe_load((ran.folder / "config.yaml").read_text(encoding="utf-8")))
    assert kept.seed == 7
    assert config_hash(kept) == ran.json("manifest")["config_hash"]
