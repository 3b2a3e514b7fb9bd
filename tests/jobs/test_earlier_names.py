"""Files under their earlier names: the values of the run's own files, beside runs and registry."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from demand.errors import StorageError
from jobs import backtest, compose, train
from jobs.earlier_names import KEEP_HISTORY, write_earlier_names
from jobs.fleet import registry_of, write_config
from tests.jobs.stand_in import golden_here


def read(path: Path):
    return json.loads(path.read_text())


@pytest.fixture
def wrote(judged):
    """A run with everything that is converted, nothing released."""
    fleet, *_ = judged
    write_config(fleet.run, fleet.settings)
    fleet.run.write_json("summary.json", {"run_id": "r", "trained_at": "2025-09-01T23:59:59Z"})
    fleet.run.write_json("backtest.json", {"status": "success"})
    return fleet


def test_when_nothing_is_released_then_only_what_the_run_wrote_is_there(wrote):
    folder = write_earlier_names(wrote.run, wrote.settings)
    assert folder == Path(wrote.settings.storage.root) / "earlier"
    names = {"ml_config.json", "training_summary_20250901_235959.json", "backtest_results_20250901_235959.json"}
    assert {path.name for path in folder.iterdir()} == names
    assert read(folder / "ml_config.json") == wrote.run.json("config.json")
    assert len(read(folder / "ml_config.json")["global"]) == 43


def test_when_the_history_is_long_then_the_newest_hundred_are_a_list_in_their_order(wrote):
    registry_of(wrote.settings).append_history([{"release": k} for k in range(KEEP_HISTORY + 5)])
    folder = write_earlier_names(wrote.run, wrote.settings)
    assert read(folder / "training_history.json") == [{"release": k} for k in range(5, KEEP_HISTORY + 5)]


def test_when_two_runs_began_in_the_same_second_then_both_keep_their_files_and_a_resumed_one_its_name(wrote):
    folder = write_earlier_names(wrote.run, wrote.settings)
    wrote.run.write_json("summary.json", {"run_id": "other", "trained_at": "2025-09-01T23:59:59Z"})
    for _ in range(2):  # the second time as after a resumption
        write_earlier_names(wrote.run, wrote.settings)
        runs = {path.name: read(path)["run_id"] for path in folder.glob("training_summary_*")}
        assert runs == {"training_summary_20250901_235959.json": "r", "training_summary_20250902_000000.json": "other"}


def test_when_the_folder_cannot_be_made_then_it_says_so(wrote, tmp_path):
    (tmp_path / "earlier").write_text("not a folder")
    with pytest.raises(StorageError, match="cannot be written"):
        write_earlier_names(wrote.run, wrote.settings)


@pytest.fixture
def asked_here():
    """Golden predictions are asked in this process."""
    with golden_here():
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("asked_here")
def test_when_the_key_is_set_then_train_and_backtest_write_them_and_else_nothing_does(tmp_path, capsys):
    sales = tmp_path / "sales.csv"
    rows = [f"{name},2025-{1 + k // 28:02d}-{1 + k % 28:02d},{1 + k % 5}" for name in "ab" for k in range(84)]
    sales.write_text("\n".join(["unique_id,ds,y", *rows]) + "\n")
    told = ["experiment=smoke", f"source.path={sales}", f"storage.root={tmp_path / 'storage'}", "only=[mean]",
            "parallel_training=false", "progress=false",
            # nor are members trained that the first release lacks
            *(f"models.{kind}.enabled=false" for kind in ("arima", "prophet", "lstm", "xgboost", "ensemble")),
            ]  # fmt: skip
    earlier, storage = tmp_path / "storage" / "earlier", tmp_path / "storage"
    assert train.body(compose.load("train", [*told, "run_id=before"])) == 0
    assert not earlier.exists()
    assert train.body(compose.load("train", [*told, "run_id=a", "export.earlier_names=true"])) == 0
    assert str(earlier) in capsys.readouterr().out
    run = storage / "runs" / "a"
    (when,) = [path.stem.removeprefix("training_summary_") for path in earlier.glob("training_summary_*.json")]
    assert read(earlier / f"training_summary_{when}.json") == read(run / "summary.json")
    assert read(earlier / f"backtest_results_{when}.json") == read(run / "backtest.json")
    assert (earlier / f"backtest_results_{when}.png").read_bytes() == (run / "backtest.png").read_bytes()
    assert read(earlier / "ml_config.json") == read(run / "config.json")
    deployed = read(earlier / "production" / "model_registry.json")
    assert deployed == read(storage / "registry" / "registry.json")
    assert deployed["mean"]["metrics"]["baseline"]["name"] == "seasonal_naive"
    lines = [json.loads(line) for line in (storage / "registry" / "history.jsonl").read_text().splitlines()]
    assert read(earlier / "training_history.json") == lines
    assert backtest.body(compose.load("backtest", [*told, "run_id=b", "export.earlier_names=true"])) == 0
    assert len(list(earlier.glob("backtest_results_*.json"))) == len(list(earlier.glob("backtest_results_*.png"))) == 2
    again = replace(compose.load("train", told), resume="a")
    assert train.body(again) == 0  # the run remembers that it was asked for them, and writes the same names
    assert len(list(earlier.glob("training_summary_*.json"))) == 2
