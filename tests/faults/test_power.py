"""The stand-in for a disk whose power goes loses what was not synced, and only that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Each is done in a process that then loses its power; `sync` is what write_whole does for a folder.
HEAD = """
import os, sys
from pathlib import Path
from tests.faults.power import Disk

here, disk, on = Path(sys.argv[1]) / "here", Disk(Path(sys.argv[1]) / "spare"), [True]

def audited(event, arguments):
    if on[0] and event in ("open", "os.rename", "os.link", "os.mkdir", "os.remove"):
        on[0] = False
        disk.before(event, arguments)
        on[0] = True

def sync(path):
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    disk.synced(handle)
    os.close(handle)

def write(path, text, synced):
    with open(path, "w") as file:
        file.write(text)
    if synced:
        sync(path)

sys.addaudithook(audited)
"""
TAIL = """
on[0] = False
disk.lose()
"""
CASES = {
    "nothing is synced": ("write(here / 'new', 'whole', False)", {"old": "old"}),
    "only the file": ("write(here / 'new', 'whole', True)", {"old": "old"}),
    "only the folder": ("write(here / 'new', 'whole', False); sync(here)", {"old": "old", "new": "wh"}),
    "both": ("write(here / 'new', 'whole', True); sync(here)", {"old": "old", "new": "whole"}),
    "a rename that is not": (
        "write(here / 'part', 'whole', True); sync(here); os.replace(here / 'part', here / 'old')",
        {"old": "old", "part": "whole"},
    ),
    "a rename that is": (
        "write(here / 'part', 'whole', True); os.replace(here / 'part', here / 'old'); sync(here)", {"old": "whole"},
    ),
    "a rename of bytes that are not": (
        "write(here / 'part', 'whole', False); os.replace(here / 'part', here / 'old'); sync(here)", {"old": "wh"},
    ),
    "a link that is not": ("os.link(here / 'old', here / 'new')", {"old": "old"}),
    "a removal that is not": ("os.remove(here / 'old')", {"old": "old"}),
    "a removal that is": ("os.remove(here / 'old'); sync(here)", {}),
    "an older file written anew": ("write(here / 'old', 'more', False)", {"old": "mo"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_when_the_power_goes_then_what_was_synced_is_there_and_nothing_else(tmp_path, case):
    code, left = CASES[case]
    for name in ("here", "spare"):
        (tmp_path / name).mkdir()
    (tmp_path / "here" / "old").write_text("old")
    subprocess.run([sys.executable, "-c", HEAD + code + TAIL, str(tmp_path)], cwd=ROOT, check=True, timeout=60)
    assert {name: (tmp_path / "here" / name).read_text() for name in os.listdir(tmp_path / "here")} == left
