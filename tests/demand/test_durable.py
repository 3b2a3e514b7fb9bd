"""Staging: nobody loses a folder in the making, and nobody finds those of the dead."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demand import durable
from demand.durable import STALE_S, append_whole, collect_leftovers, staged

ROOT = Path(__file__).resolve().parents[2]
HOLDS = """
import sys, time
from pathlib import Path
from demand.durable import staged
with staged(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_when_lines_are_appended_then_all_or_none_and_a_cut_one_is_ended_first(tmp_path, monkeypatch):
    path = tmp_path / "log"
    append_whole(path, b"one\n")
    assert path.stat().st_mode & 0o777 == 0o600
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, lines: write(handle, lines[:2]))
    with pytest.raises(OSError, match="space"):
        append_whole(path, b"two\n")
    monkeypatch.undo()
    assert path.read_bytes() == b"one\n"
    path.write_bytes(b"one\ntw")  # its process died
    append_whole(path, b"three\n")
    assert path.read_bytes() == b"one\ntw\nthree\n"


def age(folder: Path, seconds: float) -> None:
    """As if nothing below `folder` had been touched for so long."""
    then = time.time() - seconds
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (then, then))


@pytest.fixture
def holder(tmp_path):
    """(process, folder): another process in the middle of staging."""
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE) as process:
        yield process, Path(process.stdout.readline().decode().strip())
        process.kill()


def test_when_the_body_ends_or_fails_then_nothing_is_left(tmp_path):
    with staged(tmp_path / "staging") as folder:
        (folder / "a").write_text("a")
        os.rename(folder, tmp_path / "whole")
    assert (tmp_path / "whole" / "a").read_text() == "a"

    def fails():
        with staged(tmp_path / "staging") as folder:
            (folder / "a").write_text("a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert list((tmp_path / "staging").iterdir()) == []


def test_when_another_process_is_alive_then_its_folder_stays_however_old_it_is(tmp_path, holder):
    _, folder = holder
    age(tmp_path, 100 * STALE_S)
    with staged(tmp_path):
        pass
    assert (folder / "half").read_text() == "half"


def test_when_its_process_is_killed_then_the_next_one_removes_the_folder_at_once(tmp_path, holder):
    process, folder = holder
    process.kill()
    process.wait()
    assert folder.is_dir()
    with staged(tmp_path) as mine:
        assert sorted(path.name for path in tmp_path.iterdir()) == [mine.name, f"{mine.name}.lock"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("known", [True, False], ids=["of another boot", "of nobody"])
def test_when_an_owner_cannot_be_asked_then_only_what_was_left_alone_for_an_hour_is_removed(tmp_path, known):
    folder = tmp_path / "abc"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "half").write_text("half")
    if known:
        (tmp_path / "abc.lock").write_text("another machine")
    age(tmp_path, STALE_S + 60)
    (folder / "models" / "half").touch()  # somebody writes deep inside
    collect_leftovers(tmp_path)
    assert (folder / "models" / "half").exists()
    age(tmp_path, STALE_S + 60)
    collect_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_when_the_kernel_has_no_name_then_locks_are_not_trusted_but_age_is(tmp_path, holder, monkeypatch):
    process, folder = holder
    process.kill()
    process.wait()
    monkeypatch.setattr(durable, "_BOOT_ID", tmp_path / "nowhere")
    (folder.with_suffix(".lock")).write_text("")
    collect_leftovers(tmp_path)
    assert folder.is_dir()
    age(tmp_path, STALE_S + 60)
    collect_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []
