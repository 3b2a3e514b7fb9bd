"""Looks are filed whole, whoever files them at the same time and whatever a killed writer left."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from demand.errors import SettingsError, StorageError
from evaluation.monitoring_folder import MonitoringFolder, new_id
from models.files import write_json

WRITER = """
import sys
from pathlib import Path
from evaluation.monitoring_folder import MonitoringFolder
from models.files import write_json
folder, me = MonitoringFolder(Path(sys.argv[1])), sys.argv[2]
for k in range(12):
    name = f"{me}-{k}"
    line = {"monitor_id": name, "text": "x" * 500}
    folder.add(name, lambda made: write_json(made / "monitoring.json", line), line, line)
"""


def filed(folder, name, line=None):
    line = {"monitor_id": name} if line is None else line
    return folder.add(name, lambda made: write_json(made / "monitoring.json", line), line, line)


def test_when_several_processes_file_at_once_then_each_look_is_there_once_and_whole(tmp_path):
    started = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), f"p{k}"]) for k in range(4)]
    assert [one.wait(timeout=120) for one in started] == [0] * 4
    folder = MonitoringFolder(tmp_path)
    names = [line["monitor_id"] for line in folder.history()]
    assert sorted(names) == sorted(f"p{k}-{i}" for k in range(4) for i in range(12))
    for k in range(4):
        mine = [name for name in names if name.startswith(f"p{k}-")]
        assert mine == [f"p{k}-{i}" for i in range(12)]
    assert json.loads(folder.latest_path.read_text())["monitor_id"] == names[-1]
    assert all((tmp_path / name / "monitoring.json").is_file() for name in names)


def test_when_a_killed_writer_left_half_a_line_then_the_next_one_stands_alone(tmp_path, caplog):
    folder = MonitoringFolder(tmp_path)
    filed(folder, "a")
    with folder.history_path.open("a") as file:
        file.write('{"monitor_id": "torn')
    filed(folder, "b")
    with caplog.at_level(logging.WARNING):
        assert [line["monitor_id"] for line in folder.history()] == ["a", "b"]
    assert "line 2 is not whole" in caplog.text


def test_when_a_name_is_taken_or_a_number_is_none_then_nothing_is_added(tmp_path):
    folder = MonitoringFolder(tmp_path)
    filed(folder, "a")
    for taken in ("a", "latest.json", "history.jsonl", "staging"):
        with pytest.raises(SettingsError, match="filed before"):
            filed(folder, taken)
    with pytest.raises(ValueError):
        filed(folder, "b", {"wape": float("nan")})
    assert [line["monitor_id"] for line in folder.history()] == ["a"]
    assert not (tmp_path / "b").exists()


def test_when_the_storage_cannot_be_written_then_the_error_says_where(tmp_path):
    (tmp_path / "monitoring").write_text("a file")
    with pytest.raises(StorageError):
        filed(MonitoringFolder(tmp_path / "monitoring"), "a")


def test_when_ids_are_made_then_they_sort_by_time():
    first, second = (new_id(datetime(2025, 8, day, tzinfo=UTC)) for day in (9, 10))
    assert first < second
    assert new_id(datetime(2025, 8, 9, tzinfo=UTC)) != first
