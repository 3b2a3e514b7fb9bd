"""A run's folder: named once, whole or not there, and an odd name never leaves the storage."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from demand.durable import write_whole, write_whole_folder
from demand.errors import SettingsError, StorageError
from jobs.run_folder import STAGING, RunFolder

ROOT = Path(__file__).resolve().parents[2]


def begin(run: RunFolder, job: str = "pipeline") -> None:
    run.write_json("manifest.json", {"job": job})


def test_when_a_run_is_new_then_it_has_a_name_of_its_own(tmp_path):
    runs = [RunFolder.create(tmp_path / "runs", None, begin) for _ in range(5)]
    assert len({run.run_id for run in runs}) == 5
    assert all(re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", run.run_id) for run in runs)
    assert all((run.path / "batches").is_dir() for run in runs)
    assert list((tmp_path / "runs" / STAGING).iterdir()) == []


def test_when_the_name_is_taken_then_it_is_refused_and_nothing_changes(tmp_path):
    run = RunFolder.create(tmp_path, "monday", begin)
    with pytest.raises(SettingsError, match="Use resume="):
        RunFolder.create(tmp_path, "monday", lambda new: begin(new, "backtest"))
    assert run.json("manifest.json") == {"job": "pipeline"}


def test_when_the_name_is_taken_while_the_run_is_begun_then_the_later_is_refused_and_nothing_changes(tmp_path):
    def slowly(new: RunFolder) -> None:
        begin(new, "backtest")
        RunFolder.create(tmp_path, "monday", begin)

    with pytest.raises(SettingsError, match="Use resume="):
        RunFolder.create(tmp_path, "monday", slowly)
    assert RunFolder.existing(tmp_path, "monday").json("manifest.json") == {"job": "pipeline"}
    assert list((tmp_path / STAGING).iterdir()) == []


@pytest.mark.parametrize("there", ["a file", "a folder"])
def test_when_something_else_has_the_name_then_it_is_said_what_lies_there_and_nothing_changes(tmp_path, there):
    if there == "a file":
        (tmp_path / "monday").write_text("mine")
    else:
        (tmp_path / "monday").mkdir()
        (tmp_path / "monday" / "notes.txt").write_text("mine")
    with pytest.raises(SettingsError, match="taken by something that is no run") as error:
        RunFolder.create(tmp_path, "monday", begin)
    assert error.value.facts["holds"] == (None if there == "a file" else ["notes.txt"])
    assert "mine" in {path.read_text() for path in tmp_path.rglob("*") if path.is_file()}


def test_when_a_run_cannot_be_begun_then_its_name_is_free_and_nothing_is_left(tmp_path):
    def fails(new: RunFolder) -> None:
        begin(new)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        RunFolder.create(tmp_path, "monday", fails)
    assert [path.name for path in tmp_path.rglob("*")] == [STAGING]
    (tmp_path / "monday").mkdir()  # an empty folder is nobody's
    assert RunFolder.create(tmp_path, "monday", begin).json("manifest.json") == {"job": "pipeline"}


DIES = """
import os, sys
from pathlib import Path
from jobs.run_folder import RunFolder
def dies(run):
    run.write_json("cleaning.json", {})
    os._exit(9)
RunFolder.create(Path(sys.argv[1]), "monday", dies)
"""


def test_when_a_run_is_killed_while_it_is_begun_then_its_name_is_free_and_its_leftovers_are_removed(tmp_path):
    assert subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], cwd=ROOT).returncode == 9
    assert list(tmp_path.rglob("cleaning.json"))
    with pytest.raises(SettingsError, match="no such run"):
        RunFolder.existing(tmp_path, "monday")
    run = RunFolder.create(tmp_path, "monday", begin)
    assert run.json("manifest.json") == {"job": "pipeline"}
    assert not list(tmp_path.rglob("cleaning.json"))


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "/tmp/x", "-x", "a b", "a\n", "x" * 82, "ä"])
def test_when_a_name_is_odd_then_it_is_refused(tmp_path, name):
    for use in (RunFolder.existing, lambda root, name: RunFolder.create(root, name or "..", begin)):
        with pytest.raises(SettingsError):
            use(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_when_there_is_nothing_to_resume_then_the_newest_runs_are_named(tmp_path):
    for name in ("r1", "r2"):
        RunFolder.create(tmp_path, name, begin)
    (tmp_path / "r3").mkdir()
    assert RunFolder.existing(tmp_path, "r2").run_id == "r2"
    for missing in ("r3", "r4"):
        with pytest.raises(SettingsError) as error:
            RunFolder.existing(tmp_path, missing)
        assert error.value.facts["runs"] == ["r2", "r1"]


def test_when_the_storage_cannot_be_made_then_it_says_so(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match="cannot be written"):
        RunFolder.create(tmp_path / "file" / "runs", None, begin)


def test_when_another_process_works_on_the_run_then_the_second_is_refused_until_the_first_has_ended(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom jobs.run_folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).held():\n    print('held', flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE) as first:
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(SettingsError, match="another process"), RunFolder(tmp_path).held():
            pass
        first.kill()  # as when a driver is killed: nothing is left that keeps the run
    with RunFolder(tmp_path).held():
        pass


def test_when_a_value_is_not_strict_json_then_no_file_appears(tmp_path):
    run = RunFolder(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.write_json("summary.json", {"wape": float("nan")})
    assert not list(tmp_path.iterdir())
    run.write_json("summary.json", {"wape": None})
    assert json.loads(run.file("summary.json").read_text()) == {"wape": None}


def test_when_writing_fails_in_the_middle_then_the_older_file_stays_and_nothing_is_left_beside_it(tmp_path):
    path = write_whole(tmp_path / "a.txt", lambda part: part.write_text("old"))

    def fails(part):
        part.write_text("new, hal")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, fails)
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_when_filling_a_folder_fails_then_the_older_one_stays(tmp_path):
    folder = write_whole_folder(tmp_path / "model", lambda part: (part / "a").write_text("old"))

    def fails(part):
        (part / "a").write_text("new")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_whole_folder(folder, fails)
    assert (folder / "a").read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["model"]
    write_whole_folder(folder, lambda part: (part / "b").write_text("new"))
    assert [one.name for one in folder.iterdir()] == ["b"]
