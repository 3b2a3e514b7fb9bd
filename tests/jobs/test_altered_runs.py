"""A resumed run trusts nothing that is not as it was written; what would replace other data is refused beforehand."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from jobs import backtest, entry, forecast, pipeline
from models.files import read_json
from models.registry import Registry

pytestmark = pytest.mark.slow


def sales(path, ids=("A", "B", "C"), days=90, seed=4):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "unique_id": np.repeat(ids, days),
        "ds": np.tile(pd.date_range("2025-01-01", periods=days).astype(str), len(ids)),
        "y": rng.poisson(6, days * len(ids)),
    })  # fmt: skip
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def told(tmp_path):
    return [
        "experiment=smoke", "only=[naive]", f"source.path={sales(tmp_path / 'sales.csv')}",
        f"storage.root={tmp_path / 'storage'}", "parallel_training=false", "progress=false",
    ]  # fmt: skip


def resumed(told):
    return entry.exit_code(
        "backtest", backtest.body, [told[3], "parallel_training=false", "progress=false", "resume=r"]
    )


@pytest.fixture
def run(told, tmp_path):
    assert entry.exit_code("backtest", backtest.body, [*told, "run_id=r"]) == entry.OK
    return tmp_path / "storage" / "runs" / "r"


def numbers(run):
    return {name: (run / name).read_bytes() for name in ("forecasts.parquet", "leaderboard.parquet", "backtest.json")}


def test_when_a_batch_was_altered_then_it_is_done_again_and_the_numbers_stay(told, run, capsys):
    before = numbers(run)
    batch = next((run / "batches").glob("*.parquet"))
    data = bytearray(batch.read_bytes())
    data[len(data) // 3] ^= 1
    batch.write_bytes(data)
    assert resumed(told) == entry.OK
    assert "is not as it was written: done again" in capsys.readouterr().err
    assert numbers(run) == before


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"sha256": "0"}'])
def test_when_the_report_of_a_batch_is_damaged_then_it_is_done_again(told, run, damage):
    before = numbers(run)
    next((run / "timings").glob("*.json")).write_bytes(damage)
    assert resumed(told) == entry.OK
    assert numbers(run) == before


def test_when_a_foreign_batch_lies_there_then_it_does_not_count(told, run):
    before = numbers(run)
    shutil.copy(next((run / "batches").glob("*.parquet")), run / "batches" / "arrays-0000777.parquet")
    assert resumed(told) == entry.OK
    assert numbers(run) == before


def test_when_the_settings_of_a_run_were_edited_then_resuming_it_is_refused(told, run, capsys):
    before = numbers(run)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("horizon: 7", "horizon: 5", 1))
    assert resumed(told) == entry.REFUSED
    assert "settings were changed after it began" in " ".join(capsys.readouterr().err.split())
    assert numbers(run) == before


@pytest.mark.parametrize("where", ["sales.csv", "notes.txt", "s3://bucket/x.parquet", "folder", "sales.csv/x.parquet"])
def test_when_the_copy_cannot_be_written_or_would_replace_data_then_it_is_known_before_the_work(
    told, tmp_path, where, capsys
):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "folder").mkdir()
    place = where if "://" in where else tmp_path / where
    before = (tmp_path / "sales.csv").read_bytes()
    assert entry.exit_code("backtest", backtest.body, [*told, f"output.forecasts={place}"]) == entry.REFUSED
    assert "output.forecasts" in capsys.readouterr().err
    assert not (tmp_path / "storage").exists()
    assert (tmp_path / "sales.csv").read_bytes() == before
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_when_the_copy_is_written_again_then_the_older_parquet_is_replaced(told, tmp_path):
    out = tmp_path / "new" / "out.parquet"
    for _ in range(2):
        assert entry.exit_code("backtest", backtest.body, [*told, f"output.forecasts={out}"]) == entry.OK
    assert set(pd.read_parquet(out)["unique_id"]) == {"A", "B", "C"}


def test_when_there_is_hardly_any_time_then_the_baselines_are_themselves(told, run, tmp_path):
    assert entry.exit_code("backtest", backtest.body, [*told, "run_id=late", "max_seconds=0.001"]) == entry.OK
    late = tmp_path / "storage" / "runs" / "late"
    for name in ("leaderboard.parquet", "forecasts.parquet"):
        assert (late / name).read_bytes() == (run / name).read_bytes()


def test_when_another_fleet_is_released_then_it_is_not_held_back_by_the_old_champion(told, tmp_path, capsys):
    assert entry.exit_code("pipeline", pipeline.body, told) == entry.OK
    other = sales(tmp_path / "other.csv", ("X", "Y"), seed=9)
    strange = [*told[:2], f"source.path={other}", *told[3:]]
    assert entry.exit_code("forecast", forecast.body, [*strange[2:]]) == entry.REFUSED
    assert "none of the styles of the champion's release" in " ".join(capsys.readouterr().err.split())
    assert entry.exit_code("pipeline", pipeline.body, strange) == entry.OK
    registry = Registry(tmp_path / "storage" / "registry")
    assert registry.alias("champion") == 2
    assert registry.history()[-1]["promotion"].endswith("another fleet: release 1 knows 0% of its styles")


def test_when_the_data_is_older_than_the_release_then_no_forecast_is_made(told, tmp_path, capsys):
    assert entry.exit_code("pipeline", pipeline.body, told) == entry.OK
    short = sales(tmp_path / "short.csv", days=80)
    old = [f"source.path={short}", *told[3:]]
    assert entry.exit_code("forecast", forecast.body, old) == entry.REFUSED
    assert "ends before the release was trained" in " ".join(capsys.readouterr().err.split())
    fresh = sales(tmp_path / "fresh.csv", ("A", "B", "C", "new"), days=100)
    assert entry.exit_code("forecast", forecast.body, [f"source.path={fresh}", *told[3:]]) == entry.OK
    said = capsys.readouterr().out
    assert "trained 10 periods ago: run jobs.train" in said
    newest = max((tmp_path / "storage" / "runs").glob("2*"), key=lambda path: path.stat().st_mtime)
    assert read_json(newest / "manifest.json")["job"] == "forecast"
